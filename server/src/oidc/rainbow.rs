//! The bridge for plugins that speak the "rainbow" aggregate-login protocol (彩虹聚合登录), which many Chinese site builders
//! carry: off, unless a site has a key for it.
//!
//! The protocol has no PKCE, sends the key with each call, and tells no answer from a forged one but by the code. So a code of
//! its own kind is good at this bridge alone, for one site, once, for a minute, and addresses are compared to the letter.

use std::{fmt::Display, sync::Arc};

use serde_json::{Value, json};

use super::{
    authorize::{Authorize, PUSHED_LIFE, Prompt, check_kept, keep},
    token::Family,
};
use crate::{
    app::App,
    error::{Code, Error},
    grant::{Request, ResponseMode, Scope, Scopes},
    login,
    secret::Secret,
    site::Site,
    store::Redemption,
};

/// What a site's own server sends.
#[derive(Debug, Default)]
pub struct Sent {
    /// The site's `client_id`.
    pub appid: String,
    /// Its key for this bridge.
    pub appkey: Option<Secret>,
    /// How people sign in: "wx", or left out.
    pub kind: String,
    /// Where the browser goes afterwards.
    pub redirect_uri: String,
    /// Handed back as it came.
    pub state: Option<String>,
    /// What the browser brought.
    pub code: Option<Secret>,
}

/// Why a site gets nothing.
#[derive(Debug)]
pub enum Refused {
    /// The appid is unknown, its bridge is off, or the key is wrong: the same to all of them.
    Key,
    /// Nobody has signed in yet: there is no code.
    NotYet,
    /// Something else is not as it should be.
    Wrong(String),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        if error.code == Code::InvalidRequest {
            return Self::wrong("请求有误", error.hint.unwrap_or_default());
        }
        tracing::error!(name: "rainbow.failed", cause = ?error, "a site could not be answered");
        Self::wrong("服务暂时不可用，请稍后再试", "not available right now; try again shortly")
    }
}

impl Refused {
    /// What plugins show as it comes, mostly to Chinese: nothing in the protocol says in which language.
    pub fn wrong(zh: impl Display, en: impl Display) -> Self {
        Self::Wrong(format!("{zh} / {en}"))
    }
}

impl From<crate::store::Error> for Refused {
    fn from(error: crate::store::Error) -> Self {
        Error::from(error).into()
    }
}

/// The site whose key was sent.
fn authenticate(app: &App, sent: &Sent) -> Result<Arc<Site>, Refused> {
    let site = app.sites.get(&sent.appid).ok_or(Refused::Key)?;
    let key = sent.appkey.as_ref().ok_or(Refused::Key)?;
    if !site.knows_rainbow(key) {
        return Err(Refused::Key);
    }
    app.limits.of_site(&site.id, app.world.now())?;
    if !matches!(sent.kind.as_str(), "" | "wx") {
        return Err(Refused::wrong("type 只能是 wx", "type must be wx"));
    }
    Ok(site)
}

/// A site's server asks for a sign-in: the address to which it sends the browser.
///
/// # Errors
/// Why not.
pub async fn login(app: &App, sent: Sent) -> Result<String, Refused> {
    let site = authenticate(app, &sent)?;
    if !site.has_redirect(&sent.redirect_uri) {
        let Error { code, hint, .. } =
            Error::unregistered(Code::RedirectUriNotRegistered, &sent.redirect_uri);
        let (row, hint) = (code.row(), hint.unwrap_or_default());
        return Err(Refused::wrong(row.zh, format!("{} ({hint})", row.en)));
    }
    check_kept(&[sent.state.as_deref()])
        .map_err(|why| Refused::wrong("state 太长，或含有控制字符", why))?;
    let request = Request {
        scopes: Scopes::parse("openid profile"),
        state: sent.state,
        response_mode: ResponseMode::Rainbow,
        ..Request::bare(&site.id, sent.redirect_uri)
    };
    let name = keep(app, &request, PUSHED_LIFE).await?;
    Ok(format!("{}/connect/{}", app.settings.public_url, name.reveal()))
}

/// The sign-in that a browser was sent to make.
///
/// # Errors
/// [`Code::RequestOver`].
pub async fn begun(app: &App, name: &Secret) -> Result<Authorize, Error> {
    let kept = app.tickets.kept(name.hashed(), app.world.now()).await?;
    let request: Option<Request> = kept.and_then(|json| serde_json::from_slice(&json).ok());
    let request = request.ok_or(Code::RequestOver)?;
    let site = app.sites.get(&request.site).ok_or(Code::UnknownSite)?;
    Ok(Authorize { site, request, prompt: Prompt::Scan, max_age: None, lang: None })
}

/// A site's server asks who signed in. The code is consumed before anything is told.
///
/// # Errors
/// Why not.
pub async fn callback(app: &App, sent: Sent) -> Result<Value, Refused> {
    let site = authenticate(app, &sent)?;
    let code = sent.code.ok_or(Refused::NotYet)?.hashed();
    let unknown = || {
        Refused::wrong(
            "code 不存在、已过期或已用过",
            "the code is unknown, too old, or has been used",
        )
    };
    let now = app.world.now();
    let decided = app.store.decision_by_code(code).await?.ok_or_else(unknown)?;
    let request = &decided.decision.request;
    if request.site != site.id || request.response_mode != ResponseMode::Rainbow {
        return Err(unknown());
    }
    let login = decided.login.as_ref().filter(|login| login.ended.is_none());
    let (login, scopes) = login.zip(decided.decision.granted()).ok_or_else(unknown)?;
    if now >= login::redeemable_until(app, &decided).await? {
        return Err(unknown());
    }
    let person = app.store.person(&login.person).await?.ok_or_else(unknown)?;
    let family = Family { site: &site, login, id: decided.decision.ticket, since: now };
    let access = Secret::new(&app.world);
    let token = family.access(app, &access, scopes.clone(), now);
    // A code that comes twice revokes what it gave the first time, here as at the token endpoint.
    if app.store.redeem(code, vec![token], now).await? == Redemption::Reused {
        return Err(unknown());
    }
    let shows = scopes.has(Scope::Profile);
    let avatar = login::face_of(&person).avatar.filter(|_| shows);
    let short: String = login.sub.chars().take(6).collect();
    Ok(json!({
        "code": 0,
        "msg": "succ",
        "type": "wx",
        "access_token": access.reveal(),
        "social_uid": login.sub,
        "faceimg": avatar.map(|path| format!("{}{path}", app.settings.public_url)).unwrap_or_default(),
        "nickname": if shows { person.name() } else { format!("guest {short}") },
        "location": "",
        "gender": "",
        "ip": "",
    }))
}
