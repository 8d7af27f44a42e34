//! Sites as operators add and change them.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::access::by;
use crate::{
    app::App,
    audit::Entry,
    error::{Code, Error},
    oidc,
    presets::{self, Preset},
    secret::{Hashed, Secret},
    site::{
        Fault, Pkce, Site,
        keeping::{Keeping, Refusal},
    },
    store::Operator,
};

/// A site as typed into a form: every field a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of `Site`, which explains them")]
pub struct Draft {
    pub id: String,
    pub name: String,
    pub operator: String,
    pub contact: String,
    pub privacy_url: String,
    /// One a line, like the three below.
    pub redirect_uris: String,
    pub origins: String,
    pub forward_auth: String,
    pub post_logout_redirect_uris: String,
    pub group: String,
    pub alg: String,
    pub pkce: String,
    pub risk: String,
    pub env_version: String,
    pub access_token: String,
    pub id_token_claims: String,
    pub email: String,
    pub name_claim: String,
    pub device: String,
    pub admit: String,
    pub admit_groups: String,
    /// Of a new site: "public", or else it gets a secret.
    pub kind: String,
}

impl Draft {
    /// What would be typed to get this site.
    pub fn of(site: &Site) -> Self {
        // Every choice is written as the settings write it.
        let word = |value: Result<Value, _>| {
            value.ok().and_then(|value| value.as_str().map(ToOwned::to_owned)).unwrap_or_default()
        };
        let tick = |ticked: bool| if ticked { "on".to_owned() } else { String::new() };
        Self {
            id: site.id.clone(),
            name: site.name.clone(),
            operator: site.operator.clone(),
            contact: site.contact.clone(),
            privacy_url: site.privacy_url.clone(),
            redirect_uris: site.redirect_uris.join("\n"),
            origins: site.origins.join("\n"),
            forward_auth: site.forward_auth.join("\n"),
            post_logout_redirect_uris: site.post_logout_redirect_uris.join("\n"),
            group: site.group.clone(),
            alg: word(serde_json::to_value(site.alg)),
            pkce: word(serde_json::to_value(site.pkce)),
            risk: word(serde_json::to_value(site.risk)),
            env_version: word(serde_json::to_value(site.env_version)),
            access_token: word(serde_json::to_value(site.access_token)),
            id_token_claims: tick(site.id_token_claims),
            email: site.email.clone(),
            name_claim: word(serde_json::to_value(site.name_claim)),
            device: tick(site.device),
            admit: word(serde_json::to_value(site.admit)),
            admit_groups: site.admit_groups.join("\n"),
            kind: if site.is_public() { "public" } else { "confidential" }.to_owned(),
        }
    }

    /// The form of a site that is still to be added.
    pub fn fresh() -> Self {
        let mut site = Site::new("", "");
        site.pkce = Pkce::Required;
        Self { kind: "confidential".to_owned(), ..Self::of(&site) }
    }

    /// Writes what was typed over a site. Where it is told of logouts no form says: whoever holds a session of the console
    /// must not send this server about its inner network.
    fn over(&self, site: &mut Site) {
        site.name = self.name.trim().to_owned();
        site.operator = self.operator.trim().to_owned();
        site.contact = self.contact.trim().to_owned();
        site.privacy_url = self.privacy_url.trim().to_owned();
        site.redirect_uris = lines(&self.redirect_uris);
        site.origins = lines(&self.origins);
        site.forward_auth = lines(&self.forward_auth);
        site.post_logout_redirect_uris = lines(&self.post_logout_redirect_uris);
        site.group = self.group.trim().to_owned();
        choose(&mut site.alg, &self.alg);
        choose(&mut site.pkce, &self.pkce);
        choose(&mut site.risk, &self.risk);
        choose(&mut site.env_version, &self.env_version);
        choose(&mut site.access_token, &self.access_token);
        site.id_token_claims = !self.id_token_claims.is_empty();
        site.email = self.email.trim().to_owned();
        choose(&mut site.name_claim, &self.name_claim);
        site.device = !self.device.is_empty();
        choose(&mut site.admit, &self.admit);
        site.admit_groups = lines(&self.admit_groups);
    }
}

/// What was typed one a line.
fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(ToOwned::to_owned).collect()
}

/// Makes a choice by its word. A word that no form of ours sends chooses nothing: who may sign in must not become "all"
/// because a field was missing.
fn choose<T: DeserializeOwned>(choice: &mut T, word: &str) {
    if let Ok(chosen) = serde_json::from_value(Value::String(word.to_owned())) {
        *choice = chosen;
    }
}

/// What is wrong with what was typed, each with what to write instead.
pub type Faults = Vec<Fault>;

/// Registers a site; its secret, which is told this once, unless it is a public one.
///
/// # Errors
/// What the store says.
pub async fn add(
    app: &App,
    operator: &Operator,
    draft: &Draft,
) -> Result<Result<Option<Secret>, Faults>, Error> {
    let mut site = Site::new(draft.id.trim(), "");
    draft.over(&mut site);
    register(app, operator, site, draft.kind == "public").await
}

async fn register(
    app: &App,
    operator: &Operator,
    site: Site,
    public: bool,
) -> Result<Result<Option<Secret>, Faults>, Error> {
    let id = site.id.clone();
    match keeping(app, operator).add(site, public).await {
        Ok((_, secret)) => Ok(Ok(secret)),
        Err(why) => refused(why, &id).map(Err),
    }
}

/// What is typed where the application is a known one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Known {
    /// The client_id.
    pub id: String,
    /// The name that phones show.
    pub name: String,
    /// Where the application is.
    pub url: String,
    /// Where it makes its redirect address itself: that address.
    pub redirect_uris: String,
}

/// Registers a site with what a known application needs, as `saoma site add --app` does.
///
/// # Errors
/// As [`add`].
pub async fn add_known(
    app: &App,
    operator: &Operator,
    preset: &Preset,
    typed: &Known,
) -> Result<Result<Option<Secret>, Faults>, Error> {
    let Some(url) = presets::address(typed.url.trim()) else {
        return Ok(Err(vec![Fault::new(
            "请写应用的地址，例如 https://git.example.com",
            "url: write where the application is, such as https://git.example.com",
        )]));
    };
    let mut site = Site::new(typed.id.trim(), typed.name.trim());
    preset.fit(&mut site, &url, &app.settings);
    if preset.makes_its_own_address() {
        site.redirect_uris = lines(&typed.redirect_uris);
    }
    register(app, operator, site, false).await
}

/// Changes a site.
///
/// # Errors
/// [`Code::NotFound`] if the store has none of this id, and what the store says.
pub async fn change(
    app: &App,
    operator: &Operator,
    id: &str,
    draft: &Draft,
) -> Result<Result<(), Faults>, Error> {
    match keeping(app, operator).change(id, |site| draft.over(site)).await {
        Ok(_) => Ok(Ok(())),
        Err(why) => refused(why, id).map(Err),
    }
}

/// Makes a fresh secret. Those before it stay good, unless `alone` is asked for.
///
/// # Errors
/// [`Code::NotFound`] if the store has no confidential site of this id, and what the store says.
pub async fn fresh_secret(
    app: &App,
    operator: &Operator,
    id: &str,
    alone: bool,
) -> Result<Secret, Error> {
    match keeping(app, operator).secret(id, alone).await {
        Ok((_, fresh)) => Ok(fresh),
        Err(why) => Err(unfound(why)),
    }
}

/// Forgets a site; who was signed in there is signed in no more.
///
/// # Errors
/// [`Code::NotFound`] if the store has none of this id, and what the store says.
pub async fn remove(app: &App, operator: &Operator, id: &str) -> Result<(), Error> {
    keeping(app, operator).remove(id).await.map_err(unfound)
}

fn keeping<'a>(app: &'a App, operator: &'a Operator) -> Keeping<'a> {
    let App { settings, sites, store, world, .. } = app;
    Keeping { settings, sites, store, world, by: by(operator) }
}

/// What to write instead, where it is the form that is refused.
fn refused(why: Refusal, id: &str) -> Result<Faults, Error> {
    match why {
        Refusal::Faults(faults) => Ok(faults),
        Refusal::Taken => Ok(vec![Fault::new(
            format!("已经有 client_id 为 {id:?} 的站点，请换一个"),
            format!("there is a site {id:?} already; choose another id"),
        )]),
        why => Err(unfound(why)),
    }
}

/// No page of the console offers to change what cannot be changed.
fn unfound(why: Refusal) -> Error {
    match why {
        Refusal::Store(error) => error.into(),
        _ => Code::NotFound.into(),
    }
}

/// What a site would have been told at the end of a sign-in that the console tried: the claims of the id_token and the
/// answer of userinfo. The tokens themselves are shown to nobody.
///
/// # Errors
/// What the token endpoint would say to the site, and what the store says.
pub async fn told(
    app: &App,
    operator: &Operator,
    site: &Site,
    ticket: Hashed,
    redeem: oidc::Redeem,
) -> Result<Value, Error> {
    let decided = app.store.decision_by_ticket(ticket).await?;
    let refused =
        |error: oidc::OauthError| Error::invalid(format!("{}: {}", error.error, error.description));
    let answer = oidc::redeem(app, site, redeem).await.map_err(refused)?;
    let id_token = app.keys.verify(&answer.id_token, "JWT").map(Value::Object);
    let access = Secret::from(answer.access_token);
    let live = oidc::bearer(app, &access).await.map_err(refused)?;
    let userinfo = oidc::claims(app, &live).map_err(refused)?;
    // It was tried out, and nobody is signed in anywhere.
    if let Some(login) = decided.and_then(|decided| decided.login) {
        app.store.end_login(&login.person, &login.id, app.world.now()).await?;
    }
    let entry = Entry::of_operator(app.world.now(), "site.tried", by(operator))
        .about(live.person.id.clone())
        .at_site(site.id.clone());
    app.store.audit(entry).await?;
    Ok(json!({ "scope": answer.scope, "id_token": id_token, "userinfo": userinfo }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admission::Admit,
        risk::Policy,
        site::{Alg, NameClaim},
    };

    #[test]
    fn what_is_read_out_of_a_site_and_typed_in_again_is_the_same_site() {
        let mut site = Site::new("blog", "My blog");
        site.redirect_uris =
            vec!["https://a.example/1".to_owned(), "https://a.example/2".to_owned()];
        (site.alg, site.risk, site.name_claim) = (Alg::ES256, Policy::High, NameClaim::Username);
        (site.operator, site.contact) = ("Ann".to_owned(), "ann@example.com".to_owned());
        site.privacy_url = "https://a.example/privacy".to_owned();
        (site.id_token_claims, site.email) = (true, "{username}@users.example.com".to_owned());
        (site.device, site.forward_auth) = (true, vec!["https://wiki.example.com".to_owned()]);
        let mut again = Site::new("blog", "");
        Draft::of(&site).over(&mut again);
        assert_eq!(again, site);
        // But where it is told of logouts, which no form changes.
        site.backchannel_logout_uri = "https://a.example/logout".to_owned();
        Draft::fresh().over(&mut site);
        assert_eq!(site.backchannel_logout_uri, "https://a.example/logout");
    }

    #[test]
    fn a_word_that_no_form_sends_chooses_nothing() {
        let draft = Draft { alg: "none".to_owned(), pkce: "never".to_owned(), ..Draft::fresh() };
        let mut site = Site::new("blog", "");
        draft.over(&mut site);
        assert_eq!((site.alg, site.pkce), (Alg::RS256, Pkce::Required), "a new site's usual ones");
        let mut site = Site::new("family", "");
        (site.alg, site.admit) = (Alg::ES256, Admit::Named);
        let typed = Draft::of(&site);
        let draft = Draft { alg: "none".to_owned(), admit: String::new(), ..typed };
        draft.over(&mut site);
        assert_eq!((site.alg, site.admit), (Alg::ES256, Admit::Named));
    }
}
