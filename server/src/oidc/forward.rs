//! Forward auth: applications that know no OpenID Connect, behind a proxy that asks saoma about every request.
//!
//! saoma is the relying party here, too. The application's host gets a cookie of its own, handed over once by an
//! authorization code, so that no cookie is shared between hosts. What the cookie stands for is a token of the login: it
//! ends when the person ends the login, and is good at that host alone.

use serde_json::Value;
use url::form_urlencoded;

use super::{
    OauthError,
    claims::{note_use, of_person},
    token::{self, Redeem},
};
use crate::{
    admission::Door,
    app::App,
    error::Error,
    grant::{self, Scope},
    login,
    secret::{Hashed, Secret},
    site::{FORWARD_CALLBACK, Site},
    store::{LiveToken, Redemption, Token, TokenKind},
};

/// Who asks for something, as the application is told in headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Who it is to this site and its group: the `sub`, which never changes and is no other site's.
    pub user: String,
    /// What else was ticked on the phone; empty where it was not.
    pub name: String,
    /// The made-up address.
    pub email: String,
    /// The groups that the operator put the person in, with commas between them.
    pub groups: String,
}

/// Who is signed in at the application of `origin`, by the cookie of its host.
///
/// # Errors
/// What the store says.
pub async fn visitor(
    app: &App,
    site: &Site,
    origin: &str,
    cookie: &Secret,
) -> Result<Option<Visitor>, Error> {
    let Some(live) = live(app, site, origin, cookie).await? else { return Ok(None) };
    note_use(app, &live.login).await?;
    if login::door_of(app, site, &live.person).await? != Door::Open {
        return Ok(None);
    }
    let claims = of_person(app, site, &live.login, &live.person, &live.token.scopes);
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let groups = claims.get("groups").and_then(Value::as_array).into_iter().flatten();
    let groups: Vec<_> = groups.filter_map(Value::as_str).collect();
    Ok(Some(Visitor {
        user: live.login.sub,
        name: text("name"),
        email: text("email"),
        groups: groups.join(","),
    }))
}

async fn live(
    app: &App,
    site: &Site,
    origin: &str,
    cookie: &Secret,
) -> Result<Option<LiveToken>, Error> {
    let live = app.store.live_token(kept_as(origin, cookie), app.world.now()).await?;
    Ok(live.filter(|live| live.token.kind == TokenKind::Application && live.login.site == site.id))
}

/// Under what the store knows the cookie of a host: what one application sees of its visitors opens no other.
fn kept_as(origin: &str, cookie: &Secret) -> Hashed {
    Hashed::of(format!("{origin} {}", cookie.reveal()))
}

/// A sign-in that begins.
pub struct Begun {
    /// Comes back with the answer.
    pub state: Secret,
    /// The PKCE verifier; like the state for the browser's cookie alone.
    pub verifier: Secret,
    /// Where the browser goes.
    pub location: String,
}

/// Begins a sign-in at the application of `origin`.
pub fn begin(app: &App, site: &Site, origin: &str) -> Begun {
    let (state, verifier) = (Secret::new(&app.world), Secret::new(&app.world));
    let scopes = [Scope::Openid, Scope::Profile, Scope::Email].map(Scope::as_str);
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", &site.id)
        .append_pair("redirect_uri", &format!("{origin}{FORWARD_CALLBACK}"))
        .append_pair("response_type", "code")
        .append_pair("scope", &scopes.join(" "))
        .append_pair("state", state.reveal())
        .append_pair("code_challenge", &grant::challenge(verifier.reveal()))
        .append_pair("code_challenge_method", "S256")
        .finish();
    let location = format!("{}/oauth2/authorize?{query}", app.settings.public_url);
    Begun { state, verifier, location }
}

/// Redeems the code that came back, for the cookie of the application's host.
///
/// # Errors
/// `invalid_grant`.
pub async fn hand_over(
    app: &App,
    site: &Site,
    origin: &str,
    code: Secret,
    verifier: String,
) -> Result<Secret, OauthError> {
    let redirect_uri = Some(format!("{origin}{FORWARD_CALLBACK}"));
    let sent = Redeem { code, redirect_uri, verifier: Some(verifier) };
    let (code, decided) = token::checked(app, site, sent).await?;
    let (login, scopes) = token::login_of(&decided)?;
    let (now, cookie) = (app.world.now(), Secret::new(&app.world));
    let token = Token {
        hash: kept_as(origin, &cookie),
        kind: TokenKind::Application,
        login: login.id.clone(),
        scopes: scopes.clone(),
        family: decided.decision.ticket,
        since: now,
        made: now,
        expires: now + app.settings.session.application,
        used: None,
    };
    match app.store.redeem(code, vec![token], now).await? {
        Redemption::Consumed => Ok(cookie),
        Redemption::Reused => Err(token::gone()),
    }
}

/// Ends the login that the cookie of a host stands for.
///
/// # Errors
/// What the store says.
pub async fn sign_out(app: &App, site: &Site, origin: &str, cookie: &Secret) -> Result<(), Error> {
    if let Some(LiveToken { login, .. }) = live(app, site, origin, cookie).await? {
        app.store.end_login(&login.person, &login.id, app.world.now()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_of_one_host_is_unknown_at_another() {
        let cookie = Secret::from("the same text".to_owned());
        let (wiki, grafana) = ("https://wiki.example.com", "https://grafana.example.com");
        assert_eq!(kept_as(wiki, &cookie), kept_as(wiki, &cookie));
        assert_ne!(kept_as(wiki, &cookie), kept_as(grafana, &cookie));
        assert_ne!(kept_as(wiki, &cookie), cookie.hashed(), "nor is it an access token");
    }
}
