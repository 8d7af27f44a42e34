//! Signing out at a site's wish (OpenID Connect RP-Initiated Logout), and the token that tells other sites of it
//! (Back-Channel Logout). `backchannel.rs` carries it there.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::authorize::keep;
use crate::{
    app::App,
    error::{Code, Error},
    keys,
    secret::Hashed,
    site::Site,
    store::{BrowserSession, Login, Logout},
};

/// How long a site may take to read a logout token (Back-Channel Logout section 2.4 recommends two minutes at most).
const LOGOUT_TOKEN_LIFE: Duration = Duration::from_secs(120);

/// How long a wish to sign out waits for the browser that posted it.
const WISH_LIFE: Duration = Duration::from_secs(120);

/// What an id_token that was made here says of its sign-in.
pub(super) struct Hint {
    pub(super) site: String,
    pub(super) sub: String,
    sid: Option<String>,
}

/// Reads an `id_token_hint`, however old: it proves who is meant, and nothing more.
pub(super) fn read_hint(app: &App, hint: &str) -> Option<Hint> {
    let claims = app.keys.verify(hint, "JWT")?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    let own = text("iss")? == app.settings.public_url;
    own.then_some(Hint { site: text("aud")?, sub: text("sub")?, sid: text("sid") })
}

/// What a site sends along to sign out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Leave {
    /// An id_token of the sign-in that is to end.
    pub hint: Option<String>,
    /// The site, where no hint names it.
    pub client_id: Option<String>,
    /// Where the browser goes afterwards.
    pub redirect_uri: Option<String>,
    /// Handed back as it came.
    pub state: Option<String>,
}

/// Keeps a wish that came by POST for the moment it takes the browser to come by GET.
///
/// # Errors
/// If it cannot be kept now.
pub async fn keep_wish(app: &App, wish: &Leave) -> Result<String, Error> {
    keep(app, wish, WISH_LIFE).await.map(|name| name.reveal().to_owned())
}

/// The wish that was kept. It stays there: the page that asks may be loaded again, and to sign out twice harms nobody.
///
/// # Errors
/// [`Code::RequestOver`].
pub async fn kept_wish(app: &App, name: &str) -> Result<Leave, Error> {
    let kept = app.tickets.kept(Hashed::of(name), app.world.now()).await?;
    let wish = kept.and_then(|json| serde_json::from_slice(&json).ok());
    wish.ok_or_else(|| Code::RequestOver.into())
}

/// How a wish to sign out goes on.
#[derive(Debug)]
pub enum Leaving {
    /// The person is asked: anybody can lead a browser here without a hint.
    Ask {
        /// Which site sent them.
        site: Option<Arc<Site>>,
    },
    /// It is done; where the browser goes, if anywhere.
    Done(Option<String>),
}

/// Signs out where the hint proves that the site may wish it, else says to ask.
///
/// # Errors
/// [`Code::HintRefused`], [`Code::UnknownSite`], [`Code::PostLogoutNotRegistered`]; then nothing is ended.
pub async fn leave(
    app: &App,
    wish: &Leave,
    session: Option<BrowserSession>,
) -> Result<Leaving, Error> {
    let (hint, site) = checked(app, wish)?;
    let logins = match session {
        // All that would end: what skips no scan any more is somebody's sign-in as well.
        Some(session) => app.store.ends_with(session).await?,
        None => Vec::new(),
    };
    let meant = hint.as_ref().is_some_and(|hint| is_meant(app, hint, &logins));
    if !meant && !logins.is_empty() {
        return Ok(Leaving::Ask { site });
    }
    if let Some(session) = session {
        app.store.end_session(session, app.world.now()).await?;
    }
    // A browser that was not to be remembered has no session, and its sign-in ends all the same.
    if let Some(Hint { site, sub, sid: Some(sid) }) = &hint
        && let Some(login) = app.store.login(sid).await?
        && (&login.site, &login.sub) == (site, sub)
    {
        app.store.end_login(&login.person, &login.id, app.world.now()).await?;
    }
    Ok(Leaving::Done(next_address(wish)))
}

/// The person has said yes on saoma's own page.
///
/// # Errors
/// As [`leave`].
pub async fn left(
    app: &App,
    wish: &Leave,
    session: Option<BrowserSession>,
) -> Result<Option<String>, Error> {
    checked(app, wish)?;
    if let Some(session) = session {
        app.store.end_session(session, app.world.now()).await?;
    }
    Ok(next_address(wish))
}

/// Who wishes it, and that the browser may go where they want it to.
fn checked(app: &App, wish: &Leave) -> Result<(Option<Hint>, Option<Arc<Site>>), Error> {
    let hint = match &wish.hint {
        None => None,
        Some(hint) => Some(read_hint(app, hint).ok_or(Code::HintRefused)?),
    };
    let id = match (&wish.client_id, &hint) {
        (Some(id), Some(hint)) if *id != hint.site => return Err(Code::HintRefused.into()),
        (Some(id), _) => Some(id),
        (None, hint) => hint.as_ref().map(|hint| &hint.site),
    };
    let site = match id {
        None => None,
        Some(id) => Some(super::client(app, id).ok_or(Code::UnknownSite)?),
    };
    let registered = |uri: &String| site.as_ref().is_some_and(|site| site.allows_post_logout(uri));
    match &wish.redirect_uri {
        Some(uri) if !registered(uri) => {
            Err(Error::unregistered(Code::PostLogoutNotRegistered, uri))
        }
        _ => Ok((hint, site)),
    }
}

/// Whether the hint speaks of who is signed in here: the very sign-in, or the same person at the same group of sites.
fn is_meant(app: &App, hint: &Hint, logins: &[Login]) -> bool {
    let group = |id: &str| app.sites.get(id).map(|site| site.group().to_owned());
    logins.iter().any(|login| {
        hint.sid.as_ref() == Some(&login.id)
            || (login.sub == hint.sub && group(&login.site) == group(&hint.site))
    })
}

fn next_address(wish: &Leave) -> Option<String> {
    let mut url = Url::parse(wish.redirect_uri.as_deref()?).ok()?;
    if let Some(state) = &wish.state {
        url.query_pairs_mut().append_pair("state", state);
    }
    Some(url.into())
}

/// The token that tells a site of a logout (Back-Channel Logout section 2.4). It never has a nonce, so that it cannot pass
/// for an id_token.
///
/// # Errors
/// If it cannot be signed.
pub fn logout_token(app: &App, site: &Site, logout: &Logout) -> Result<String, keys::Error> {
    let now = app.world.now();
    let claims = json!({
        "iss": app.settings.public_url,
        "aud": site.id,
        "iat": now.seconds(),
        "exp": (now + LOGOUT_TOKEN_LIFE).seconds(),
        "jti": app.world.base62(22),
        "sub": logout.sub,
        "sid": logout.login,
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    app.keys.sign(site.alg, "logout+jwt", &claims, now)
}
