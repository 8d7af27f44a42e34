//! A site: an application that people sign in to, as an OAuth client registered with saoma.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::{
    admission::Admit,
    config::EnvVersion,
    person::is_group,
    risk,
    secret::{Hashed, Secret},
};

/// The site that saoma itself is, for the person's own page at `/`. Nobody can register it.
pub const SELF: &str = "saoma";

/// One `[[site]]` of the settings, or one that `saoma site add` keeps in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The OAuth `client_id`.
    pub id: String,
    /// The name that phones show. Never taken from a request.
    pub name: String,
    /// Where answers may go; compared exactly.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Pages that may carry the element.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Where the browser may go after signing out.
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
    /// Told when a login ends; empty: nobody.
    #[serde(default)]
    pub backchannel_logout_uri: String,
    /// Empty: a public site, which PKCE alone protects. As written in the settings; never kept in the store.
    #[serde(default = "no_secret", skip_serializing)]
    pub secret: Secret,
    /// More secrets that are as good, so that one can be replaced while the other still works.
    #[serde(default, skip_serializing)]
    pub secrets: Vec<Secret>,
    /// What the store keeps of the secrets that `saoma site secret` made.
    #[serde(default)]
    pub hashes: Vec<Hashed>,
    /// Sites of one group share `sub` and sign-in; empty: the site alone is its group.
    #[serde(default)]
    pub group: String,
    /// What its id_tokens are signed with.
    #[serde(default)]
    pub alg: Alg,
    /// Whether a request without PKCE is taken.
    #[serde(default)]
    pub pkce: Pkce,
    /// How strict it is about the way a code was opened.
    #[serde(default)]
    pub risk: risk::Policy,
    /// Which version of the mini program its codes open; none: as `wechat.env_version`.
    #[serde(default, deserialize_with = "version_if_any", serialize_with = "version_or_empty")]
    pub env_version: Option<EnvVersion>,
    /// What its access tokens look like.
    #[serde(default)]
    pub access_token: AccessToken,
    /// Whether what userinfo would say stands in the id_token too, for software that asks nowhere else.
    #[serde(default)]
    pub id_token_claims: bool,
    /// The made-up address of scope `email`, such as "{username}@users.example.com"; empty: none.
    #[serde(default)]
    pub email: String,
    /// What `name` says: the nickname that a person may change, or the fixed user name.
    #[serde(default)]
    pub name_claim: NameClaim,
    /// Whether back-channel logout may reach a private address.
    #[serde(default)]
    pub backchannel_private: bool,
    /// Whom it lets in, beside the owners.
    #[serde(default)]
    pub admit: Admit,
    /// The groups of people whom it lets in.
    #[serde(default)]
    pub admit_groups: Vec<String>,
}

/// In the settings no version is written as an empty text.
fn version_if_any<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<EnvVersion>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    EnvVersion::deserialize(serde::de::value::StringDeserializer::new(text)).map(Some)
}

fn version_or_empty<S: serde::Serializer>(
    version: &Option<EnvVersion>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match version {
        Some(version) => version.serialize(serializer),
        None => serializer.serialize_str(""),
    }
}

fn no_secret() -> Secret {
    Secret::from(String::new())
}

/// What an id_token is signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Alg {
    /// RSA with SHA-256: what every application knows.
    #[default]
    RS256,
    /// P-256: smaller and quicker to sign.
    ES256,
}

/// Whether an authorization request must carry a PKCE challenge. Public sites and embedded pages must always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Pkce {
    /// Refused without.
    #[default]
    #[serde(rename = "required")]
    Required,
    /// For confidential sites whose software knows no PKCE; enforced once sent.
    #[serde(rename = "if-sent")]
    IfSent,
}

/// What an access token looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessToken {
    /// Random: only saoma can say what it is good for, and it ends the moment it is revoked.
    #[default]
    Opaque,
    /// A JWT (RFC 9068), which others can check without asking, and go on believing until it expires.
    Jwt,
}

/// What the claim `name` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameClaim {
    /// The nickname, or a made-up guest name.
    #[default]
    Nickname,
    /// The fixed user name, for applications that key accounts by `name`: a nickname could take over another's account.
    Username,
}

impl Site {
    /// A site with this id and name and nothing else.
    pub fn new(id: &str, name: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            redirect_uris: Vec::new(),
            origins: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            backchannel_logout_uri: String::new(),
            secret: no_secret(),
            secrets: Vec::new(),
            hashes: Vec::new(),
            group: String::new(),
            alg: Alg::default(),
            pkce: Pkce::default(),
            risk: risk::Policy::default(),
            env_version: None,
            access_token: AccessToken::default(),
            id_token_claims: false,
            email: String::new(),
            name_claim: NameClaim::default(),
            backchannel_private: false,
            admit: Admit::default(),
            admit_groups: Vec::new(),
        }
    }

    /// Whether it has no secret and so cannot prove who it is at the token endpoint.
    pub fn is_public(&self) -> bool {
        self.secret.is_empty() && self.secrets.is_empty() && self.hashes.is_empty()
    }

    /// Whether `secret` is one of its own. Every one is compared, whichever matches, so that time tells nothing.
    pub fn knows(&self, secret: &Secret) -> bool {
        let given = secret.hashed();
        let written = self.secrets.iter().chain([&self.secret]).filter(|known| !known.is_empty());
        let known = written.map(Secret::hashed).chain(self.hashes.iter().copied());
        !secret.is_empty() && known.fold(false, |found, known| found | (known == given))
    }

    /// Whom it shares `sub` and sign-in with.
    pub fn group(&self) -> &str {
        if self.group.is_empty() { &self.id } else { &self.group }
    }

    /// Whether an answer may go to `uri`: letter for letter one of those registered (OIDC Core 3.1.2.1), but that a
    /// loopback address registered for a native application may come with any port (RFC 8252 section 7.3).
    pub fn allows_redirect(&self, uri: &str) -> bool {
        self.redirect_uris
            .iter()
            .any(|registered| registered == uri || loopback_twin(registered, uri))
    }

    /// Whether the browser may go to `uri` after signing out: letter for letter one of those registered.
    pub fn allows_post_logout(&self, uri: &str) -> bool {
        self.post_logout_redirect_uris.iter().any(|registered| registered == uri)
    }

    /// Whether a page of `origin` may carry the element.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|registered| registered == origin)
    }

    /// What is wrong with it, each with what to write; nothing if it can be used.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let id = &self.id;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if id.is_empty() || id.len() > 64 || !id.chars().all(plain) {
            faults.push(format!("id = {id:?}: use 1 to 64 letters, digits, - _ or ."));
        }
        if id == SELF {
            faults.push(format!("id = {id:?} is saoma's own; choose another"));
        }
        if self.name.trim().is_empty() || self.name.chars().count() > 40 {
            faults.push(format!("site {id:?}: name needs 1 to 40 characters; phones show it"));
        }
        if self.name.chars().any(misleading) {
            faults.push(format!(
                "site {id:?}: name has control or invisible characters; remove them"
            ));
        }
        for uri in &self.redirect_uris {
            if let Err(why) = check_redirect_uri(uri) {
                faults.push(format!("site {id:?}: redirect_uris: {uri:?} {why}"));
            }
        }
        for uri in &self.post_logout_redirect_uris {
            if let Err(why) = check_redirect_uri(uri) {
                faults.push(format!("site {id:?}: post_logout_redirect_uris: {uri:?} {why}"));
            }
        }
        if !self.backchannel_logout_uri.is_empty()
            && let Err(why) = check_backchannel_uri(&self.backchannel_logout_uri)
        {
            let uri = &self.backchannel_logout_uri;
            faults.push(format!("site {id:?}: backchannel_logout_uri: {uri:?} {why}"));
        }
        if !self.email.is_empty() && !is_email_pattern(&self.email) {
            faults.push(format!(
                "site {id:?}: email = {:?} must be like {{username}}@users.example.com",
                self.email
            ));
        }
        for group in self.admit_groups.iter().filter(|group| !is_group(group)) {
            faults.push(format!(
                "site {id:?}: admit_groups: {group:?} is no group; use 1 to 40 letters, digits, - _ or ."
            ));
        }
        if !self.admit_groups.is_empty() && self.admit == Admit::All {
            faults.push(format!(
                "site {id:?}: admit_groups names groups, but admit = \"all\" lets everybody in; write admit = \"named\", or leave admit_groups out"
            ));
        }
        for origin in &self.origins {
            if !is_origin(origin) {
                faults.push(format!(
                    "site {id:?}: origins: {origin:?} must be scheme, host and port alone, like https://blog.example.com"
                ));
            }
        }
        if self.is_public() && self.pkce == Pkce::IfSent {
            faults.push(format!(
                "site {id:?}: pkce = \"if-sent\" needs a secret; a public site has PKCE alone"
            ));
        }
        faults
    }
}

/// Control, bidirectional and zero-width characters: they make one name look like another (threats.md row 13).
pub fn misleading(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn loopback_twin(registered: &str, uri: &str) -> bool {
    let (Ok(registered), Ok(given)) = (Url::parse(registered), Url::parse(uri)) else {
        return false;
    };
    // Only spelled as the browser would spell it: a second spelling of the same address is another string to a site.
    given.as_str() == uri
        && registered.scheme() == "http"
        && given.scheme() == "http"
        && is_loopback_ip(&registered)
        && registered.host() == given.host()
        && given.username().is_empty()
        && given.password().is_none()
        && registered.path() == given.path()
        && registered.query() == given.query()
        && given.fragment().is_none()
}

fn is_loopback_ip(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

/// Whether a URL points at this machine: 127.0.0.0/8, ::1, localhost or a name below it.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
        None => false,
    }
}

/// https anywhere, http on this machine, or a scheme that a native application owns (RFC 8252 section 7.1).
fn check_redirect_uri(uri: &str) -> Result<(), &'static str> {
    let url = Url::parse(uri).map_err(|_| "is no absolute URL")?;
    if url.fragment().is_some() {
        return Err("has a fragment; remove the # and what follows");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name in it; remove it");
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(&url) => Ok(()),
        "http" => Err("must be https; http is for loopback alone"),
        scheme if scheme.contains('.') => Ok(()),
        _ => Err(
            "must be https, http on loopback, or a reverse-DNS scheme such as com.example.app:/done",
        ),
    }
}

/// https, or http on this machine; whoever is told of a logout is told over a wire that nobody reads.
fn check_backchannel_uri(uri: &str) -> Result<(), &'static str> {
    let url = Url::parse(uri).map_err(|_| "is no absolute URL")?;
    match url.scheme() {
        _ if url.fragment().is_some() => Err("has a fragment; remove the # and what follows"),
        _ if !url.username().is_empty() || url.password().is_some() => {
            Err("has a user name in it; remove it")
        }
        "https" => Ok(()),
        "http" if is_loopback(&url) => Ok(()),
        _ => Err("must be https; http is for loopback alone"),
    }
}

/// Whether a made-up address can be made from it: one `{username}` before the @, and a plain domain behind.
fn is_email_pattern(pattern: &str) -> bool {
    let Some((local, domain)) = pattern.split_once('@') else { return false };
    let plain = |text: &str, more: &str| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    local.matches("{username}").count() == 1
        && plain(&local.replacen("{username}", "", 1), ".-_+")
        && plain(domain, ".-")
        && domain.split('.').count() > 1
        && domain.split('.').all(|label| !label.is_empty())
}

/// Whether a text is an origin as browsers send it.
pub fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    })
}

/// The registered sites by id: saoma's own, those of the settings, and those that commands keep in the store.
#[derive(Debug, Default)]
pub struct Sites {
    settled: BTreeMap<String, Arc<Site>>,
    kept: RwLock<BTreeMap<String, Arc<Site>>>,
}

impl Sites {
    /// These sites of the settings, and saoma itself at `public_url`.
    pub fn new(sites: impl IntoIterator<Item = Site>, public_url: &str) -> Self {
        let mut own = Site::new(SELF, "saoma");
        own.redirect_uris = vec![format!("{public_url}/")];
        let all = sites.into_iter().chain([own]);
        let settled = all.map(|site| (site.id.clone(), Arc::new(site))).collect();
        Self { settled, kept: RwLock::default() }
    }

    /// Takes over what the store keeps now. A site of the settings stands before one of the same id in the store.
    pub fn keep(&self, sites: Vec<Site>) {
        let kept = sites.into_iter().map(|site| (site.id.clone(), Arc::new(site))).collect();
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// The site of this id.
    pub fn get(&self, id: &str) -> Option<Arc<Site>> {
        let kept = || self.kept.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        self.settled.get(id).cloned().or_else(kept)
    }

    /// Whether the settings name this site, so that no command can change it.
    pub fn is_settled(&self, id: &str) -> bool {
        self.settled.contains_key(id)
    }

    /// Whether any site registered this origin.
    pub fn any_allows_origin(&self, origin: &str) -> bool {
        self.all().iter().any(|site| site.allows_origin(origin))
    }

    /// All of them, by id.
    pub fn all(&self) -> Vec<Arc<Site>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.iter().filter(|(id, _)| !self.settled.contains_key(*id));
        self.settled.values().cloned().chain(kept.map(|(_, site)| site.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(redirect_uris: &[&str]) -> Site {
        let mut site = Site::new("blog", "My blog");
        site.redirect_uris = redirect_uris.iter().map(|uri| (*uri).to_owned()).collect();
        site
    }

    #[test]
    fn a_redirect_address_is_compared_to_the_letter() {
        let blog = site(&["https://blog.example.com/callback"]);
        assert!(blog.allows_redirect("https://blog.example.com/callback"));
        for near_miss in [
            "https://blog.example.com/callback/",
            "https://blog.example.com/callback?x=1",
            "https://blog.example.com/callback#x",
            "https://blog.example.com/Callback",
            "https://blog.example.com/callback/../callback",
            "https://blog.example.com/%63allback",
            "https://blog.example.com:443/callback",
            "https://blog.example.com.evil.example/callback",
            "https://blog.example.com@evil.example/callback",
            "https://evil.example/https://blog.example.com/callback",
            "https://BLOG.example.com/callback",
            "http://blog.example.com/callback",
            "//blog.example.com/callback",
            "https://blog.example.com//callback",
            "https://blog.example.com/callback ",
            "https://blog.example.com\\@evil.example/callback",
            "javascript:alert(1)",
            "",
        ] {
            assert!(!blog.allows_redirect(near_miss), "{near_miss}");
        }
    }

    #[test]
    fn a_native_application_on_loopback_may_come_with_any_port() {
        let cli = site(&["http://127.0.0.1/done"]);
        assert!(cli.allows_redirect("http://127.0.0.1:53121/done"));
        for near_miss in [
            "http://127.0.0.1:53121/other",
            "http://127.0.0.2:53121/done",
            "http://localhost:53121/done",
            "https://127.0.0.1:53121/done",
            "http://user@127.0.0.1:53121/done",
            "http://127.0.0.1:53121/done#x",
            "http://127.1:53121/done",
        ] {
            assert!(!cli.allows_redirect(near_miss), "{near_miss}");
        }
    }

    #[test]
    fn a_site_that_cannot_work_says_what_to_write() {
        let mut bad =
            site(&["javascript:alert(1)", "http://blog.example.com/x", "https://a.example/#x"]);
        bad.name = "Bank\u{202e}gnaB".to_owned();
        bad.origins = vec!["https://a.example/".to_owned()];
        bad.pkce = Pkce::IfSent;
        assert_eq!(bad.faults().len(), 6, "{:#?}", bad.faults());
        assert_eq!(
            site(&["https://a.example/cb", "com.example.app:/done"]).faults(),
            [] as [String; 0]
        );
    }
}
