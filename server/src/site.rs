//! A site: an application that people sign in to, as an OAuth client registered with saoma.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::{
    admission::Admit,
    config::EnvVersion,
    risk,
    secret::{Hashed, Secret},
};

mod faults;
pub mod keeping;
mod logo;
mod registry;

pub use faults::{Fault, is_origin, misleading, protected_twice};
pub use logo::{Logo, drawn};
pub use registry::{Sites, beside};

/// The site that saoma itself is, for the person's own page at `/`. Nobody can register it.
pub const SELF: &str = "saoma";

/// The site that the operators' console is. Nobody can register it, nothing is ever sent to it, and no browser skips the
/// scan for it.
pub const CONSOLE: &str = "saoma-console";

/// Where an application behind a proxy gets its answers: below its own host, handed through to saoma.
pub const FORWARD_CALLBACK: &str = "/.saoma/callback";

/// One `[[site]]` of the settings, or one that `saoma site add` keeps in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The OAuth `client_id`.
    pub id: String,
    /// The name that phones show. Never taken from a request.
    pub name: String,
    /// Its picture, beside the name.
    #[serde(default)]
    pub logo: Logo,
    /// Who runs it, and so gets what people tick: a person, a company. Shown to who is about to tick it.
    #[serde(default)]
    pub operator: String,
    /// How to reach them: an address, a telephone number.
    #[serde(default)]
    pub contact: String,
    /// Where they say what they do with it.
    #[serde(default)]
    pub privacy_url: String,
    /// Where answers may go; compared exactly.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Pages that may carry the element.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Where applications are that know no OpenID Connect, behind a proxy that asks saoma about each request.
    #[serde(default)]
    pub forward_auth: Vec<String>,
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
    /// The pattern of the made-up addresses of scope `email`, such as "{username}@users.example.com"; empty: at the public host.
    #[serde(default)]
    pub email: String,
    /// What `name` says: the nickname that a person may change, or the fixed user name.
    #[serde(default)]
    pub name_claim: NameClaim,
    /// Whether its terminals and televisions may sign people in by digits (RFC 8628).
    #[serde(default)]
    pub device: bool,
    /// Whether back-channel logout may reach a private address.
    #[serde(default)]
    pub backchannel_private: bool,
    /// Whom it lets in, beside the owners.
    #[serde(default)]
    pub admit: Admit,
    /// Its key for the rainbow bridge, as written in the settings; empty: the bridge is off.
    #[serde(default = "no_secret", skip_serializing)]
    pub rainbow_key: Secret,
    /// What the store keeps of the keys that `saoma site rainbow` made.
    #[serde(default)]
    pub rainbow_hashes: Vec<Hashed>,
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

impl Alg {
    /// Its name in JWTs, and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::ES256 => "ES256",
        }
    }

    /// The one of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::RS256, Self::ES256].into_iter().find(|alg| alg.as_str() == name)
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
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
            logo: Logo::default(),
            operator: String::new(),
            contact: String::new(),
            privacy_url: String::new(),
            redirect_uris: Vec::new(),
            origins: Vec::new(),
            forward_auth: Vec::new(),
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
            device: false,
            backchannel_private: false,
            rainbow_key: no_secret(),
            rainbow_hashes: Vec::new(),
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

    /// Whether `key` is one of its keys for the rainbow bridge; it has none where the bridge is off.
    pub fn knows_rainbow(&self, key: &Secret) -> bool {
        let given = key.hashed();
        let written = (!self.rainbow_key.is_empty()).then(|| self.rainbow_key.hashed());
        let known = written.into_iter().chain(self.rainbow_hashes.iter().copied());
        !key.is_empty() && known.fold(false, |found, known| found | (known == given))
    }

    /// Where people know it to be: what its registered addresses begin with.
    pub fn address(&self) -> Option<&str> {
        let all = self.redirect_uris.iter().chain(&self.forward_auth).chain(&self.origins);
        all.map(String::as_str).next()
    }

    /// Whom it shares `sub` and sign-in with.
    pub fn group(&self) -> &str {
        if self.group.is_empty() { &self.id } else { &self.group }
    }

    /// Whether an answer may go to `uri`: letter for letter one of those registered (OIDC Core 3.1.2.1), but that a
    /// loopback address registered for a native application, which has no secret, may come with any port (RFC 8252 section
    /// 7.3).
    pub fn allows_redirect(&self, uri: &str) -> bool {
        let is_twin = |registered: &String| loopback_twin(registered, uri);
        self.has_redirect(uri)
            || (self.is_public() && self.redirect_uris.iter().any(is_twin))
            || uri.strip_suffix(FORWARD_CALLBACK).is_some_and(|origin| self.protects(origin))
    }

    /// Whether `uri` is letter for letter one of those registered.
    pub fn has_redirect(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|registered| registered == uri)
    }

    /// Whether the application of `origin` is this site's, behind a proxy that asks saoma.
    pub fn protects(&self, origin: &str) -> bool {
        self.forward_auth.iter().any(|registered| registered == origin)
    }

    /// Whether the browser may go to `uri` after signing out: letter for letter one of those registered.
    pub fn allows_post_logout(&self, uri: &str) -> bool {
        self.post_logout_redirect_uris.iter().any(|registered| registered == uri)
    }

    /// Whether a page of `origin` may carry the element.
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|registered| registered == origin)
    }
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
        let mut server = cli.clone();
        server.secret = Secret::from("a secret of its own".to_owned());
        assert!(server.allows_redirect("http://127.0.0.1/done"));
        assert!(!server.allows_redirect("http://127.0.0.1:53121/done"), "it has one address");
        assert!(!cli.has_redirect("http://127.0.0.1:53121/done"));
    }
}
