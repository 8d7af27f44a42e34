//! Forward auth: what a proxy asks about each request, and the few addresses below `/.saoma/` of an application's own host
//! that the proxy hands through to saoma. docs/forward-auth.md has the proxies' side.

use std::time::Duration;

use askama::Template;
use axum::{
    extract::{FromRequestParts, State},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use axum_extra::extract::cookie::{Cookie, SameSite};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::{
    caller::{Asked, Caller, peer},
    cookies,
    guard::as_page,
    reply::{html, no_store},
};
use crate::{
    app::{App, SharedApp},
    error::{Code, Error},
    lang::Lang,
    oidc::{self, Visitor},
    secret::{Hashed, Secret},
    site::Site,
    ticket::Denied,
};

/// What an application is told of who asks. Every answer that lets a request through carries all of them: one that is
/// missing would let through what a client had written there itself.
const IDENTITY: [&str; 4] = ["remote-user", "remote-name", "remote-email", "remote-groups"];

/// How long a sign-in may take from its beginning; a ticket can be renewed for about as long.
const TO_SIGN_IN: Duration = Duration::from_secs(15 * 60);

/// The cookie of an application's host: who is signed in there.
const APP: &str = "saoma-app";

/// With what the names of the cookies begin that wait there for a sign-in's end.
const START: &str = "saoma-start-";

/// How many sign-ins a browser may have begun at one host. Each is a cookie, and who carries too many is answered by nobody.
const BEGUN_AT_ONCE: usize = 3;

/// The longest address within the application to come back to; who comes from a longer one is led to its front page.
const LONGEST: usize = 1500;

/// A request to an application, as a trusted proxy tells of it.
pub(super) struct Forwarded {
    site: std::sync::Arc<Site>,
    /// Where the application is: scheme, host and port.
    origin: String,
    /// What was asked for there.
    uri: String,
    /// Whether a person's browser goes there, who can be sent to sign in: a GET, and not of a script or a picture.
    navigates: bool,
    /// The cookie of the application's host.
    cookie: Option<Secret>,
}

impl FromRequestParts<SharedApp> for Forwarded {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, Error> {
        Self::read(app, &parts.extensions, &parts.headers)
    }
}

impl Forwarded {
    fn read(app: &App, extensions: &Extensions, headers: &HeaderMap) -> Result<Self, Error> {
        // Anybody can write these headers; a proxy of ours writes them over.
        let peer = peer(extensions);
        if !app.settings.is_trusted_proxy(peer) {
            // For the log alone: the address may be one of an inner network.
            let cause = format!("{peer} asked; if that is your proxy, add it to trusted_proxies");
            return Err(Error { cause: Some(cause), ..Code::ProxyNotTrusted.into() });
        }
        let (scheme, host) =
            (one(headers, "x-forwarded-proto")?, one(headers, "x-forwarded-host")?);
        let (scheme, host) = scheme.zip(host).ok_or_else(|| {
            Error::invalid("the proxy must send X-Forwarded-Proto and X-Forwarded-Host")
        })?;
        let origin = Url::parse(&format!("{scheme}://{host}")).ok();
        let origin = origin.map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        let site = app.sites.protecting(&origin).ok_or(Code::ApplicationNotRegistered)?;
        let uri = one(headers, "x-forwarded-uri")?.unwrap_or_default();
        let is_get = one(headers, "x-forwarded-method")?.is_some_and(|method| method == "GET");
        let mode = headers.get("sec-fetch-mode");
        let navigates = is_get && mode.is_none_or(|mode| mode.as_bytes() == b"navigate");
        let cookie = cookies::value(headers, &cookies::named(&origin, APP));
        let cookie = cookie.map(|value| Secret::from(value.to_owned()));
        Ok(Self { site, origin, uri: uri.to_owned(), navigates, cookie })
    }

    /// Who asks; for a browser that goes there and is nobody's, the proxy's way to say where to begin.
    async fn answer(
        &self,
        app: &App,
        leads: impl FnOnce(String) -> Response,
    ) -> Result<Response, Error> {
        Ok(no_store(match self.visitor(app).await? {
            Some(visitor) => known(&visitor),
            None if self.navigates => leads(self.start()),
            None => StatusCode::UNAUTHORIZED.into_response(),
        }))
    }

    async fn visitor(&self, app: &App) -> Result<Option<Visitor>, Error> {
        match &self.cookie {
            Some(cookie) => oidc::visitor(app, &self.site, &self.origin, cookie).await,
            None => Ok(None),
        }
    }

    /// Where a person begins to sign in, to come back to what they had asked for.
    fn start(&self) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("to", own_path(&self.uri))
            .finish();
        format!("{}/.saoma/start?{query}", self.origin)
    }
}

/// The one value of a header; of several it is not known which the proxy wrote.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Error> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    let text = first.map(HeaderValue::to_str).transpose();
    match text {
        Ok(text)
            if second.is_none()
                && text.is_none_or(|text| name == "x-forwarded-uri" || !text.contains(',')) =>
        {
            Ok(text)
        }
        _ => Err(Error::invalid(format!(
            "{name} must come once, with one value; let the proxy write it over"
        ))),
    }
}

/// An address within the application: a path, and no second slash that would make a host of it.
fn own_path(uri: &str) -> &str {
    let plain =
        uri.starts_with('/') && uri.len() <= LONGEST && !uri.contains(['\\', '\r', '\n', '\t']);
    if plain && !uri.starts_with("//") { uri } else { "/" }
}

/// For proxies that hand any answer but 2xx to the browser: Caddy's `forward_auth`, Traefik's `forwardAuth`.
pub(super) async fn check(
    State(app): State<SharedApp>,
    asked: Result<Forwarded, Error>,
) -> Result<Response, Error> {
    asked?.answer(&app, |start| Redirect::to(&start).into_response()).await
}

/// For nginx, whose `auth_request` takes 401 alone for "not signed in": where to begin stands in `Location`.
pub(super) async fn check_for_nginx(
    State(app): State<SharedApp>,
    asked: Result<Forwarded, Error>,
) -> Result<Response, Error> {
    let unauthorized = |start| (StatusCode::UNAUTHORIZED, [(header::LOCATION, start)]);
    asked?.answer(&app, |start| unauthorized(start).into_response()).await
}

fn known(visitor: &Visitor) -> Response {
    let mut response = StatusCode::OK.into_response();
    let told = [&visitor.user, &visitor.name, &visitor.email, &visitor.groups];
    for (name, value) in IDENTITY.into_iter().zip(told) {
        // UTF-8 as it is; nothing that ends a header can stand in a name (see `login::set_profile`).
        let value = HeaderValue::from_bytes(value.as_bytes());
        let value = value.unwrap_or(HeaderValue::from_static(""));
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Start {
    /// The path within the application to come back to.
    to: Option<String>,
}

/// On the application's host: the browser is given what proves it at its return, and goes to sign in.
pub(super) async fn start(
    State(app): State<SharedApp>,
    asked: Result<Forwarded, Error>,
    headers: HeaderMap,
    query: Result<Asked<Start>, Error>,
) -> Result<Response, Error> {
    let (asked, Asked(Start { to })) = (asked?, query?);
    let before = begun_before(&headers, &asked.origin);
    let over = before.iter().rev().skip(BEGUN_AT_ONCE - 1);
    let over = over.map(|what| no_cookie(&asked.origin, what));
    let begun = oidc::begin(&app, &asked.site, &asked.origin);
    let to = URL_SAFE_NO_PAD.encode(own_path(to.as_deref().unwrap_or("/")));
    // One for each tab that begins.
    let what = start_of(begun.state.reveal());
    let value = format!("{}.{}.{to}", begun.state.reveal(), begun.verifier.reveal());
    let own = cookie(&asked.origin, &what, value, TO_SIGN_IN);
    let cookies = cookies::give(over.chain([own]));
    Ok(no_store((cookies, Redirect::to(&begun.location)).into_response()))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Back {
    state: Option<String>,
    code: Option<Secret>,
    /// Why there is no code.
    reason: Option<String>,
    iss: Option<String>,
}

/// On the application's host: the browser comes back with an answer, and gets the cookie of this host for it.
pub(super) async fn callback(
    State(app): State<SharedApp>,
    caller: Caller,
    asked: Result<Forwarded, Error>,
    headers: HeaderMap,
    query: Result<Asked<Back>, Error>,
) -> Result<Response, Error> {
    let (asked, Asked(back)) = (asked?, query?);
    let origin = &asked.origin;
    let state = back.state.unwrap_or_default();
    let what = start_of(&state);
    let begun = cookies::value(&headers, &cookies::named(origin, &what)).unwrap_or_default();
    let mut parts = begun.splitn(3, '.');
    let mut part = || parts.next().unwrap_or_default();
    let (own_state, verifier, to) = (part(), part(), part());
    let to = URL_SAFE_NO_PAD.decode(to).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let to = own_path(to.as_deref().unwrap_or("/")).to_owned();
    let failed = |why| {
        let (site, detail) = (asked.site.name.clone(), sentence(caller.lang, why));
        let page = ApplicationPage { lang: caller.lang.tag(), site, detail, again: to.clone() };
        Ok(no_store(shown(&app, &page)))
    };
    // Begun by this browser, and answered by this server (RFC 9207).
    let own = !own_state.is_empty() && Hashed::of(own_state) == Hashed::of(&state);
    if !own || back.iss.as_ref() != Some(&app.settings.public_url) {
        return failed(None);
    }
    let Some(code) = back.code else {
        return failed(back.reason.as_deref().and_then(oidc::denied));
    };
    match oidc::hand_over(&app, &asked.site, origin, code, verifier.to_owned()).await {
        Ok(token) => {
            let life = app.settings.session.application;
            let own = cookie(origin, APP, token.reveal().to_owned(), life);
            let cookies = cookies::give([own, no_cookie(origin, &what)]);
            Ok(no_store((cookies, Redirect::to(&format!("{origin}{to}"))).into_response()))
        }
        Err(error) if error.error == "invalid_grant" => failed(None),
        Err(_) => Err(Code::Unavailable.into()),
    }
}

/// On the application's host: ends the sign-in where a link of the application's led a person here, or they came by
/// themselves. What else leads here is asked about first: a picture on a page, a frame, a link of another host's, and an old
/// browser's request, which does not say.
pub(super) async fn sign_out(
    State(app): State<SharedApp>,
    caller: Caller,
    asked: Result<Forwarded, Error>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let asked = asked?;
    let says = |name: &str, words: &[&str]| {
        headers
            .get(name)
            .is_some_and(|said| words.iter().any(|word| said.as_bytes() == word.as_bytes()))
    };
    let meant = says("sec-fetch-site", &["same-origin", "none"])
        && says("sec-fetch-mode", &["navigate"])
        && says("sec-fetch-dest", &["document"]);
    if meant {
        return signed_out(&app, &asked).await;
    }
    let page = SignOutPage { lang: caller.lang.tag(), site: asked.site.name.clone() };
    // Browsers hold a form's redirects to the policy of the page it stood on.
    let leads_to = format!("'self' {}", app.settings.public_url);
    Ok(no_store(as_page(&app, Some(&leads_to), html(&page))))
}

/// The person has pressed the button on that page.
pub(super) async fn sign_out_by_post(
    State(app): State<SharedApp>,
    caller: Caller,
    asked: Result<Forwarded, Error>,
) -> Result<Response, Error> {
    let asked = asked?;
    if caller.origin.as_ref() != Some(&asked.origin) {
        return Err(Code::OriginNotAllowed.into());
    }
    signed_out(&app, &asked).await
}

/// Ends the sign-in, then lets saoma's own page say what else this browser is signed in to.
async fn signed_out(app: &App, asked: &Forwarded) -> Result<Response, Error> {
    if let Some(token) = &asked.cookie {
        oidc::sign_out(app, &asked.site, &asked.origin, token).await?;
    }
    let ended = cookies::give([no_cookie(&asked.origin, APP)]);
    let next = format!("{}/oauth2/logout?client_id={}", app.settings.public_url, asked.site.id);
    Ok(no_store((ended, Redirect::to(&next)).into_response()))
}

#[derive(Template)]
#[template(path = "application_sign_out.html")]
struct SignOutPage {
    lang: &'static str,
    site: String,
}

#[derive(Template)]
#[template(path = "application.html")]
struct ApplicationPage {
    lang: &'static str,
    site: String,
    detail: &'static str,
    /// Where to try again.
    again: String,
}

/// Why somebody is not signed in; never in words that stood in an address.
fn sentence(lang: Lang, why: Option<Denied>) -> &'static str {
    let of = |code: Code| (code.row().zh, code.row().en);
    let (zh, en) = match why {
        Some(Denied::ByPerson | Denied::WrongMatch) => {
            ("这次登录没有通过手机确认。", "This sign-in was not confirmed on the phone.")
        }
        Some(Denied::NotAdmitted) => of(Code::NotAdmitted),
        Some(Denied::OwnerAsked) => (
            "第一次来，要站长先同意。已经问过了；站长同意以后，再登录一次。",
            "The owner lets new people in, and has been asked. Once they have said yes, sign in again.",
        ),
        None => (
            "这次登录已经过期，或者是在另一个浏览器里开始的。",
            "This sign-in is over, or was begun in another browser.",
        ),
    };
    lang.s(zh, en)
}

fn shown(app: &SharedApp, page: &ApplicationPage) -> Response {
    as_page(app, Some("'self'"), (StatusCode::FORBIDDEN, html(page)))
}

/// What the cookie of a sign-in that has begun is called.
fn start_of(state: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || "-_".contains(*c);
    let tab: String = state.chars().take(8).filter(plain).collect();
    format!("{START}{tab}")
}

/// The sign-ins that a browser has begun: the oldest comes first (RFC 6265 section 5.4).
fn begun_before(headers: &HeaderMap, origin: &str) -> Vec<String> {
    let start = cookies::named(origin, START);
    let tabs = cookies::sent(headers).filter_map(|(name, _)| name.strip_prefix(&start));
    tabs.map(|tab| format!("{START}{tab}")).collect()
}

fn cookie(origin: &str, what: &str, value: String, life: Duration) -> Cookie<'static> {
    cookies::cookie(origin, what, value, SameSite::Lax, life)
}

fn no_cookie(origin: &str, what: &str) -> Cookie<'static> {
    cookie(origin, what, String::new(), Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_out_of_the_application() {
        assert_eq!(own_path("/page?x=1&y=//z"), "/page?x=1&y=//z");
        let long = format!("/{}", "a".repeat(LONGEST));
        for foreign in [
            "",
            "page",
            "//evil.example/",
            "/\\evil.example",
            "https://evil.example/",
            "/\t/evil.example",
            &long,
        ] {
            assert_eq!(own_path(foreign), "/", "{foreign}");
        }
    }

    #[test]
    fn a_header_that_came_twice_is_refused() {
        let headers = |values: &[&'static str]| {
            let name = HeaderName::from_static("x-forwarded-host");
            values
                .iter()
                .map(|it| (name.clone(), HeaderValue::from_static(it)))
                .collect::<HeaderMap>()
        };
        assert_eq!(one(&headers(&["a.example"]), "x-forwarded-host").unwrap(), Some("a.example"));
        assert!(one(&headers(&["a.example", "b.example"]), "x-forwarded-host").is_err());
        assert!(one(&headers(&["a.example, b.example"]), "x-forwarded-host").is_err());
        assert_eq!(one(&headers(&[]), "x-forwarded-host").unwrap(), None);
    }
}
