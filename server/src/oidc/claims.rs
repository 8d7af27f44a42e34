//! What a site is told of a person, and in which token.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::OauthError;
use crate::{
    app::App,
    grant::{Scope, Scopes},
    keys, login,
    person::Person,
    secret::{Hashed, Secret},
    site::{AccessToken, NameClaim, Site},
    store::{self, LiveToken, Login, Token, TokenKind},
    world::Timestamp,
};

/// How long an id_token may be used to sign in with: it is read at once.
const ID_TOKEN_LIFE: Duration = Duration::from_secs(600);

/// The use of a login is noted once in this time.
const NOTED: Duration = Duration::from_secs(600);

/// A phone scanned, and its person tapped.
pub(super) const ACR_SCAN: &str = "urn:saoma:scan";
/// The browser was remembered: OIDC Core's word for a long-lived cookie, which proves no presence (section 2).
pub(super) const ACR_REMEMBERED: &str = "0";

/// An access token for `token`, whose text a JWT carries as its `jti`.
///
/// # Errors
/// If it cannot be signed.
pub(super) fn access_token(
    app: &App,
    site: &Site,
    login: &Login,
    text: &Secret,
    token: &Token,
) -> Result<Secret, OauthError> {
    if site.access_token == AccessToken::Opaque {
        return Ok(text.clone());
    }
    // RFC 9068 section 2.2. The audience is saoma, where it is used; an id_token's is the site, so neither passes for the other.
    let claims = json!({
        "iss": app.settings.public_url,
        "aud": app.settings.public_url,
        "sub": login.sub,
        "client_id": site.id,
        "iat": token.made.seconds(),
        "exp": token.expires.seconds(),
        "auth_time": login.since.seconds(),
        "jti": text.reveal(),
        "scope": token.scopes.to_string(),
    });
    Ok(Secret::from(app.keys.sign(site.alg, "at+jwt", &claims, app.world.now())?))
}

/// Under what the store knows an access token of this text: a `jti` is no token by itself.
pub(super) fn access_hash(site: &Site, text: &Secret) -> Hashed {
    match site.access_token {
        AccessToken::Opaque => text.hashed(),
        AccessToken::Jwt => Hashed::of(format!("jti:{}", text.reveal())),
    }
}

/// Under what the store knows what a caller presents as an access or refresh token.
pub(super) fn presented(app: &App, token: &Secret) -> Hashed {
    let signed = app.keys.verify(token.reveal(), "at+jwt");
    match signed.as_ref().and_then(|claims| claims.get("jti")).and_then(Value::as_str) {
        Some(jti) => Hashed::of(format!("jti:{jti}")),
        None => token.hashed(),
    }
}

/// What an id_token says beside the bare identity.
pub(super) struct Session<'a> {
    pub(super) nonce: Option<&'a str>,
    /// How the person was proven; none where that is long ago, at a refresh.
    pub(super) acr: Option<&'static str>,
    pub(super) access: &'a Secret,
    pub(super) scopes: &'a Scopes,
}

/// An id_token (OIDC Core 2).
///
/// # Errors
/// If the store does not answer, or it cannot be signed.
pub(super) async fn id_token(
    app: &App,
    site: &Site,
    login: &Login,
    session: Session<'_>,
) -> Result<String, OauthError> {
    let now = app.world.now();
    let mut claims = Map::new();
    if site.id_token_claims
        && let Some(person) = app.store.person(&login.person).await?
    {
        claims = of_person(app, site, login, &person, session.scopes);
    }
    let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    claim("iss", json!(app.settings.public_url));
    claim("sub", json!(login.sub));
    claim("aud", json!(site.id));
    claim("iat", json!(now.seconds()));
    claim("exp", json!((now + ID_TOKEN_LIFE).seconds()));
    claim("auth_time", json!(login.since.seconds()));
    // A second device in the person's hand, and a tap on it (RFC 8176: multiple channels, user presence).
    claim("amr", json!(["mca", "user"]));
    claim("at_hash", json!(keys::at_hash(session.access.reveal())));
    claim("sid", json!(login.id));
    if let Some(acr) = session.acr {
        claim("acr", json!(acr));
    }
    if let Some(nonce) = session.nonce {
        claim("nonce", json!(nonce));
    }
    Ok(app.keys.sign(site.alg, "JWT", &claims, now)?)
}

/// How the person of a login was proven to a site at `at`.
pub(super) fn acr(login: &Login, at: Timestamp) -> &'static str {
    if login.since == at { ACR_SCAN } else { ACR_REMEMBERED }
}

/// The living access token that was presented.
///
/// # Errors
/// `invalid_token`.
pub async fn bearer(app: &App, token: &Secret) -> Result<LiveToken, OauthError> {
    let live = app.store.live_token(presented(app, token), app.world.now()).await?;
    let live = live.filter(|live| live.token.kind == TokenKind::Access).ok_or_else(|| {
        OauthError::new("invalid_token", "the access token is unknown, has expired or was revoked")
    })?;
    note_use(app, &live.login).await?;
    Ok(live)
}

/// Notes that a login is in use, once in a while: its person looks for a stranger's there.
///
/// # Errors
/// What the store says.
pub(super) async fn note_use(app: &App, login: &Login) -> Result<(), store::Error> {
    let now = app.world.now();
    if now.since(login.last_seen) < NOTED {
        return Ok(());
    }
    app.store.login_seen(&login.id, now).await
}

/// What userinfo says (OIDC Core 5.3): of each scope what was ticked, and nothing else.
///
/// # Errors
/// `invalid_token` if the site is no more.
pub fn claims(app: &App, live: &LiveToken) -> Result<Value, OauthError> {
    let gone = || OauthError::new("invalid_token", "the site of the access token is no more");
    let site = app.sites.get(&live.login.site).ok_or_else(gone)?;
    Ok(Value::Object(of_person(app, &site, &live.login, &live.person, &live.token.scopes)))
}

pub(super) fn of_person(
    app: &App,
    site: &Site,
    login: &Login,
    person: &Person,
    scopes: &Scopes,
) -> Map<String, Value> {
    let mut claims = Map::new();
    let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    claim("sub", json!(login.sub));
    if scopes.has(Scope::Profile) {
        let name = match site.name_claim {
            NameClaim::Nickname => person.name(),
            NameClaim::Username => person.username.clone(),
        };
        claim("name", json!(name));
        claim("preferred_username", json!(person.username));
        if let Some(path) = login::face_of(person).avatar {
            claim("picture", json!(format!("{}{path}", app.settings.public_url)));
        }
        if !person.groups.is_empty() {
            claim("groups", json!(person.groups));
        }
    }
    if scopes.has(Scope::Email) {
        let email = app.settings.email_of(site).replacen("{username}", &person.username, 1);
        // Only of a domain that somebody wrote down for it is it known that nobody else has an address there.
        let domain = site.email.split_once('@').map(|(_, domain)| domain);
        claim("email", json!(email));
        claim("email_verified", json!(domain.is_some_and(|domain| app.settings.owns(domain))));
    }
    if scopes.has(Scope::Wechat) {
        claim("wechat_openid", json!(login.identity.openid));
        if let Some(unionid) = &login.identity.unionid {
            claim("wechat_unionid", json!(unionid));
        }
    }
    claims
}
