//! Pages for people: the one with the code, and the answer that takes the browser back to its site. `home.rs` has their own.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use axum_extra::extract::CookieJar;
use url::Url;

use super::{
    caller::{Caller, Piece},
    cookies,
    guard::as_page,
    reply::{error_page, html, miniprogram},
};
use crate::{
    app::{App, SharedApp},
    error::{Code, Error},
    grant::ResponseMode,
    lang::Lang,
    links::{self, Gives},
    login::{self, Opener},
    oidc::{self, Answer, Authorize},
    person::Person,
    secret::{Hashed, Secret},
    site::{self, Site},
    store::Login,
    ticket::Kind,
};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    lang: &'static str,
    ticket: String,
    code_url: String,
    /// What is said in place of "Sign in to ..", where a link was opened.
    title: Option<String>,
    site: Arc<Site>,
    site_host: String,
    site_logo: Option<String>,
    on_phone: bool,
    in_wechat: bool,
    has_code: bool,
    cancel_url: Option<String>,
    /// What the mini program is called.
    miniprogram: Option<String>,
}

/// The page with the code.
pub(super) async fn show_code(
    app: &SharedApp,
    caller: &Caller,
    authorize: Authorize,
) -> Result<Response, Error> {
    show_code_for(app, caller, authorize, None).await
}

/// The same, under another title than the site's.
pub(super) async fn show_code_for(
    app: &SharedApp,
    caller: &Caller,
    authorize: Authorize,
    title: Option<String>,
) -> Result<Response, Error> {
    let site = authorize.site.clone();
    let redirect_uri = authorize.request.redirect_uri.clone();
    let own = site.id == site::SELF;
    let (cookies, opening) = open_hosted(app, caller, authorize).await?;
    let parsed = Url::parse(&redirect_uri).ok();
    let page = LoginPage {
        lang: caller.lang.tag(),
        code_url: format!("/api/tickets/{}/code", opening.ticket.reveal()),
        ticket: opening.ticket.reveal().to_owned(),
        title,
        site_host: parsed
            .as_ref()
            .and_then(|url| url.host_str().map(ToOwned::to_owned))
            .unwrap_or_default(),
        site_logo: site.logo.path(&site.id),
        site,
        on_phone: caller.is_on_phone(),
        in_wechat: caller.is_in_wechat(),
        has_code: opening.has_code,
        miniprogram: miniprogram(app, caller.lang),
        cancel_url: if own {
            Some("/".to_owned())
        } else {
            parsed.map(|url| url.origin().ascii_serialization())
        }
        .filter(|url| url != "null"),
    };
    Ok((cookies, shown(app, html(&page))).into_response())
}

/// What a one-time link gives, for who is about to scan or to tap.
pub(super) async fn offer(app: &App, lang: Lang, gives: &Gives) -> Result<String, Error> {
    let named = links::named(app, gives).await?;
    Ok(match (lang, gives) {
        (Lang::Zh, Gives::Server) => format!("成为 {named} 的站长"),
        (Lang::En, Gives::Server) => format!("Become the owner of {named}"),
        (Lang::Zh, Gives::Site(_)) => format!("邀请你登录 {named}"),
        (Lang::En, Gives::Site(_)) => format!("You are invited to {named}"),
        (Lang::Zh, Gives::Person { .. }) => format!("把这个微信接到 {named}"),
        (Lang::En, Gives::Person { .. }) => format!("Connect this WeChat to {named}"),
    })
}

/// The cookie by which this browser is known, a fresh one if it has none.
pub(super) fn known_by(app: &App, caller: &Caller) -> (CookieJar, Secret) {
    let cookie = caller.cookie.clone().unwrap_or_else(|| Secret::new(&app.world));
    (cookies::give([cookies::public(app).browser(&cookie)]), cookie)
}

/// Opens a ticket for the hosted page.
async fn open_hosted(
    app: &SharedApp,
    caller: &Caller,
    authorize: Authorize,
) -> Result<(CookieJar, login::Opening), Error> {
    let (cookies, cookie) = known_by(app, caller);
    let session = caller.session.as_ref().map(Secret::hashed);
    let opener = Opener::Browser { cookie: cookie.hashed(), session };
    let kind = if caller.is_on_phone() { Kind::OnPhone } else { Kind::Page };
    let (site, request) = (&authorize.site, authorize.request);
    let opening = login::open(app, site, request, opener, kind, caller.browser()).await?;
    Ok((cookies, opening))
}

/// A page of saoma's own, with its policy.
pub(super) fn shown(app: &SharedApp, page: Response) -> Response {
    as_page(app, Some("'self'"), page)
}

/// Sends an answer to its site: by redirect, or by a page that posts it.
pub(super) fn answered(app: &SharedApp, lang: &str, answer: &Answer) -> Response {
    let mut response = match answer.mode {
        ResponseMode::Query | ResponseMode::Rainbow => {
            Redirect::to(&answer.redirect_to()).into_response()
        }
        ResponseMode::FormPost => form_post(app, lang, answer),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[derive(Template)]
#[template(path = "form_post.html")]
struct FormPost<'a> {
    lang: &'a str,
    action: &'a str,
    fields: Vec<(String, String)>,
    /// Whether it is a code that is posted, and no error.
    approved: bool,
}

/// The page that posts an answer to its site (OAuth 2.0 Form Post Response Mode).
fn form_post(app: &SharedApp, lang: &str, answer: &Answer) -> Response {
    let fields: Vec<_> =
        answer.params.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    let approved = fields.iter().any(|(name, _)| name == "code");
    as_page(app, None, html(&FormPost { lang, action: &answer.redirect_uri, fields, approved }))
}

/// Where the hosted page goes with `response_mode=form_post`, once its ticket is decided.
pub(super) async fn answer(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(ticket): Piece,
) -> Response {
    let own = app.settings.public_url.clone();
    let claimed = login::claim(&app, Hashed::of(ticket), caller.presents(None), Some(&own)).await;
    match claimed {
        Ok(claim) => answered(&app, caller.lang.tag(), &oidc::answer(&app, &claim)),
        Err(error) => error_page(caller.lang, &error),
    }
}

#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage {
    lang: &'static str,
    server_name: String,
    miniprogram: Option<String>,
}

/// Where a device sends people: digits are typed into the mini program, and never here.
pub(super) async fn device(State(app): State<SharedApp>, caller: Caller) -> Response {
    let page = DevicePage {
        lang: caller.lang.tag(),
        server_name: app.settings.host(),
        miniprogram: miniprogram(&app, caller.lang),
    };
    shown(&app, html(&page))
}

/// The latest sign-in to saoma itself in this browser.
pub(super) async fn signed_in(app: &App, caller: &Caller) -> Result<Option<Login>, Error> {
    let logins = caller.logins(app).await?;
    Ok(logins.into_iter().filter(|login| login.site == site::SELF).max_by_key(|login| login.since))
}

/// The same, with who it is.
pub(super) async fn visitor(app: &App, caller: &Caller) -> Result<Option<(Login, Person)>, Error> {
    let Some(own) = signed_in(app, caller).await? else { return Ok(None) };
    Ok(app.store.person(&own.person).await?.map(|person| (own, person)))
}

/// A form of our own page, and nobody else's.
pub(super) fn check_own(app: &SharedApp, caller: &Caller) -> Result<(), Error> {
    let own = caller.origin.as_deref() == Some(app.settings.public_url.as_str());
    if own { Ok(()) } else { Err(Code::OriginNotAllowed.into()) }
}

/// A person's picture, by a name that says nothing and a number that changes with it.
pub(super) async fn avatar(
    State(app): State<SharedApp>,
    names: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Error> {
    let Path((name, _version)) = names.map_err(|_| Code::NotFound)?;
    let (content_type, bytes) = app.store.avatar(&name).await?.ok_or(Code::NotFound)?;
    Ok(picture(&content_type, bytes)?)
}

/// A site's picture, as its operator gave it.
pub(super) async fn logo(
    State(app): State<SharedApp>,
    names: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Error> {
    let Path((id, _version)) = names.map_err(|_| Code::NotFound)?;
    let logo = app.sites.get(&id).and_then(|site| site.logo.picture());
    let (content_type, bytes) = logo.ok_or(Code::NotFound)?;
    Ok(picture(content_type, bytes)?)
}

/// A picture whose address changes with it, for pages anywhere.
fn picture(content_type: &str, bytes: Vec<u8>) -> Result<Response, Code> {
    let content_type = HeaderValue::from_str(content_type).map_err(|_| Code::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400, immutable")),
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("cross-origin"),
        ),
    ];
    Ok((StatusCode::OK, headers, bytes).into_response())
}
