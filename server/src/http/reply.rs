//! Answers: problem+json for `/api`, pages for people, and errors in the caller's language.

use std::{any::Any, panic::AssertUnwindSafe};

use askama::Template;
use axum::{
    Json,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{Html, IntoResponse, Redirect, Response},
};
use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use url::Url;

use crate::{
    app::App,
    error::{Code, Error, NAME},
    lang::Lang,
    oidc::OauthError,
    person::Person,
    ticket::Browser,
};

/// In which language who sent these is answered.
pub(crate) fn lang_of(headers: &HeaderMap) -> Lang {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    Lang::accepted(accepted.unwrap_or_default())
}

/// An error on its way through the layers, until the language of its caller is known.
#[derive(Clone)]
struct Pending {
    code: Code,
    hint: Option<String>,
}

/// How an address says what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// As problem+json, to programs.
    Problem,
    /// In OAuth's words, to the servers of sites (RFC 6749 section 5.2).
    Oauth,
    /// As a page, to people who want to sign in.
    Page,
    /// As a page, to people who want to sign out.
    SignOut,
    /// As a page, to people who want to be forgotten.
    Forget,
    /// A page at the address of an application, which hands little through to saoma.
    Application,
}

impl Manner {
    /// How errors are said at this path, whichever layer finds them.
    pub(super) fn at(path: &str) -> Self {
        let below = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
        match path {
            "/" | "/login" | "/device" | "/link" | "/oauth2/authorize" => Self::Page,
            "/sign-out" | "/oauth2/logout" => Self::SignOut,
            "/forget" => Self::Forget,
            _ if below(&["/forget/", "/link/", "/connect/", "/tickets/"]) => Self::Page,
            _ if below(&["/.saoma/"]) => Self::Application,
            _ if below(&["/logins/", "/oauth2/logout/"]) => Self::SignOut,
            _ if below(&["/oauth2/"]) => Self::Oauth,
            _ => Self::Problem,
        }
    }
}

/// The code of an answer that is an error, for who counts them.
#[derive(Clone, Copy)]
pub(super) struct Refused(pub(super) &'static str);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let row = self.code.row();
        let status = StatusCode::from_u16(row.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(cause) = &self.cause {
            if status.is_server_error() {
                tracing::error!(name: "request.failed", code = row.code, cause, "a request failed");
            } else {
                tracing::info!(name: "request.refused", code = row.code, cause, "a request was refused");
            }
        }
        let mut response = status.into_response();
        if let Some(after) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        response.extensions_mut().insert(Refused(row.code));
        response.extensions_mut().insert(Pending { code: self.code, hint: self.hint });
        response
    }
}

/// An answer; the body of one that is an error is written in the language and the manner of who asked. A panic costs its own
/// request and no other.
pub(super) async fn spoken(
    lang: Lang,
    manner: Manner,
    answering: impl Future<Output = Response>,
) -> Response {
    let answered = AssertUnwindSafe(answering).catch_unwind().await;
    let mut response = answered.unwrap_or_else(panicked);
    let Some(Pending { code, hint }) = response.extensions_mut().remove::<Pending>() else {
        return response;
    };
    let (parts, _) = response.into_parts();
    // What happened inside has been written down by now.
    let error = Error { code, hint, retry_after: None, cause: None };
    let mut answer = match manner {
        Manner::Problem => problem(lang, error),
        Manner::Oauth => in_oauths_words(error),
        Manner::Page => error_page(lang, &error),
        Manner::SignOut => not_signed_out(lang, &error),
        Manner::Forget => not_deleted(lang, &error),
        Manner::Application => not_at_application(lang, &error),
    };
    *answer.status_mut() = parts.status;
    answer
        .headers_mut()
        .extend(parts.headers.into_iter().filter_map(|(name, value)| Some((name?, value))));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.extensions_mut().insert(Refused(code.row().code));
    answer
}

fn problem(lang: Lang, error: Error) -> Response {
    let row = error.code.row();
    let sentence = match lang {
        Lang::Zh => row.zh,
        Lang::En => row.en,
    };
    let detail = match error.hint {
        Some(name) if sentence.contains(NAME) => sentence.replace(NAME, &name),
        Some(hint) => format!("{sentence} ({hint})"),
        None => sentence.to_owned(),
    };
    let body = json!({
        "type": "about:blank", "title": row.title, "status": row.status, "code": row.code, "detail": detail,
    });
    let mut response =
        ([(header::CONTENT_TYPE, "application/problem+json")], Json(body)).into_response();
    if error.code == Code::Unauthorized {
        // Every 401 says what would do (RFC 9110 section 15.5.2), and no browser asks anybody for a bearer token.
        let challenge = HeaderValue::from_static("Bearer realm=\"saoma\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// An OAuth error as JSON (RFC 6749 section 5.2).
pub(super) fn oauth_error(error: &OauthError) -> Response {
    let status = match error.error {
        "invalid_client" | "invalid_token" => StatusCode::UNAUTHORIZED,
        "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
        "too_many_requests" => StatusCode::TOO_MANY_REQUESTS,
        "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    let body = Json(json!({ "error": error.error, "error_description": error.description }));
    let mut response = no_store((status, body).into_response());
    response.extensions_mut().insert(Refused(error.error));
    let challenge = match error.error {
        "invalid_client" => Some(HeaderValue::from_static("Basic realm=\"saoma\"")),
        "invalid_token" => {
            Some(HeaderValue::from_static("Bearer realm=\"saoma\", error=\"invalid_token\""))
        }
        _ => None,
    };
    if let Some(challenge) = challenge {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(after) = error.retry_after {
        let seconds = HeaderValue::from(after.as_secs().max(1));
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// Kept by nobody on the way; RFC 6749 section 5.1 wants it said in HTTP/1.0's words too.
pub(super) fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// The same of one that a layer found, whose answer says already how long to wait.
fn in_oauths_words(error: Error) -> Response {
    oauth_error(&match error.code {
        Code::Internal => OauthError::new("server_error", Code::Internal.row().en),
        _ => OauthError { retry_after: None, ..OauthError::from(error) },
    })
}

/// The policy of a page that only says something: its style is all that it needs.
const MESSAGE_POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "console/error.html")]
struct ConsoleError<'a> {
    lang: &'a str,
    title: &'a str,
    detail: &'a str,
    code: &'a str,
    hint: Option<String>,
}

/// Writes an error below `/console` as a page, in the language of who asked.
pub(super) async fn as_console_pages(request: Request, next: Next) -> Response {
    let lang = lang_of(request.headers());
    let is_page = request.uri().path().starts_with("/console");
    let mut response = next.run(request).await;
    if !is_page {
        return response;
    }
    let Some(Pending { code, hint }) = response.extensions_mut().remove::<Pending>() else {
        return response;
    };
    let row = code.row();
    let (title, detail) = match lang {
        Lang::Zh => ("无法完成", row.zh),
        Lang::En => (row.title, row.en),
    };
    let page = ConsoleError { lang: lang.tag(), title, detail, code: row.code, hint };
    let mut page = html(&page);
    *page.status_mut() = response.status();
    let headers = std::mem::take(response.headers_mut());
    page.headers_mut().extend(headers.into_iter().filter_map(|(name, value)| Some((name?, value))));
    if !page.headers().contains_key(header::CONTENT_SECURITY_POLICY) {
        // It was turned away before the console's guard.
        page.headers_mut()
            .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(MESSAGE_POLICY));
    }
    page
}

/// A site as its people know it.
#[derive(Serialize, JsonSchema)]
pub(super) struct ShownSite {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    pub(super) name: String,
    pub(super) host: String,
}

/// The site as its people know it; one that is registered no more by its id.
pub(super) fn site_shown(app: &App, id: &str, with_id: bool) -> ShownSite {
    let site = app.sites.get(id);
    let uri = site.as_ref().and_then(|site| Url::parse(site.address()?).ok());
    let host = uri.as_ref().and_then(|uri| uri.host_str()).unwrap_or_default().to_owned();
    let name = site.as_ref().map_or(id, |site| &site.name).to_owned();
    ShownSite { id: with_id.then(|| id.to_owned()), name, host }
}

/// A browser as its person is shown it.
#[derive(Serialize, JsonSchema)]
pub(super) struct ShownBrowser {
    name: String,
    os: String,
    region: Option<String>,
}

impl From<Browser> for ShownBrowser {
    fn from(browser: Browser) -> Self {
        let Browser { name, os, region, .. } = browser;
        Self { name, os, region }
    }
}

/// What the mini program is called where the settings say it: people look for it by that name.
pub(super) fn miniprogram(app: &App, lang: Lang) -> Option<String> {
    let own = &app.settings.miniprogram;
    let names = match lang {
        Lang::Zh => [&own.name, &own.name_en],
        Lang::En => [&own.name_en, &own.name],
    };
    names.into_iter().find(|name| !name.is_empty()).cloned()
}

/// A person as a page calls them: a guest is called so in the page's language. What sites are told is [`Person::name`].
pub(super) fn name_shown(lang: Lang, person: &Person) -> String {
    match (lang, &person.nickname) {
        (Lang::Zh, None) => format!("访客 {}", person.username),
        _ => person.name(),
    }
}

/// Pages whose address people type or paste, now and then with a slash too many.
const TYPED: [&str; 3] = ["/device", "/login", "/link"];

pub(super) async fn not_found() -> Error {
    Code::NotFound.into()
}

/// What is at no public address. People get a page, or are taken to the one that they meant.
pub(super) async fn no_page(request: Request) -> Result<Response, Error> {
    let path = request.uri().path();
    let is_page = !["/api/", "/oauth2/"].iter().any(|family| path.starts_with(family));
    let accepts = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let navigates = accepts.is_some_and(|accept| accept.contains("text/html"));
    if *request.method() != Method::GET || !is_page {
        return Err(Code::NotFound.into());
    }
    if let Some(typed) = path.strip_suffix('/').filter(|path| TYPED.contains(path)) {
        return Ok(Redirect::permanent(typed).into_response());
    }
    if !navigates {
        return Err(Code::NotFound.into());
    }
    let lang = lang_of(request.headers());
    Ok(titled(lang, "没有这个页面", "There is no such page", &Code::NotFound.into(), Way::Home))
}

pub(super) async fn method_not_allowed() -> Error {
    Code::MethodNotAllowed.into()
}

/// What a panic is answered with. Its text goes to the log by the hook that every panic passes.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!(name: "panics", "a request panicked; please report it with the lines above");
    Error::from(Code::Internal).into_response()
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    lang: &'a str,
    title: &'a str,
    detail: &'a str,
    code: &'a str,
    hint: Option<String>,
    /// Whether it is for who runs the site to mend.
    for_owner: bool,
    again: bool,
    home: bool,
    /// At an application's address, where its own pages are.
    elsewhere: bool,
}

/// Where a page that says what went wrong leads on to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The same again, where that may go better.
    Again,
    /// saoma's own page.
    Home,
    /// Nowhere.
    None,
    /// The same again, at an application's own address.
    There,
}

/// An error as a page, for people whose browser stands at saoma's own address.
pub(super) fn error_page(lang: Lang, error: &Error) -> Response {
    titled(lang, "无法登录", "Cannot sign in", error, Way::Again)
}

/// The same where a form was sent: to ask for its address again sends no form.
pub(super) fn error_page_of_form(lang: Lang, error: &Error) -> Response {
    titled(lang, "无法登录", "Cannot sign in", error, Way::None)
}

/// The same, for who wanted to sign out.
pub(super) fn not_signed_out(lang: Lang, error: &Error) -> Response {
    titled(lang, "没有退出登录", "Not signed out", error, Way::Home)
}

/// The same, for who wanted to be forgotten.
pub(super) fn not_deleted(lang: Lang, error: &Error) -> Response {
    titled(lang, "没有删除", "Not deleted", error, Way::Home)
}

/// The same at the address of an application.
fn not_at_application(lang: Lang, error: &Error) -> Response {
    titled(lang, "无法登录", "Cannot sign in", error, Way::There)
}

fn titled(lang: Lang, zh: &str, en: &str, error: &Error, way: Way) -> Response {
    let row = error.code.row();
    let (title, detail) = match lang {
        Lang::Zh => (zh, row.zh),
        Lang::En => (en, row.en),
    };
    log_cause(error);
    let page = ErrorPage {
        lang: lang.tag(),
        title,
        detail,
        code: row.code,
        hint: error.hint.clone(),
        for_owner: matches!(
            error.code,
            Code::InvalidRequest
                | Code::UnknownSite
                | Code::RedirectUriNotRegistered
                | Code::Internal
        ),
        again: matches!(way, Way::Again | Way::There) && error.retry_after.is_some(),
        home: way == Way::Home,
        elsewhere: way == Way::There,
    };
    let status = StatusCode::from_u16(row.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, html(&page)).into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(MESSAGE_POLICY));
    response.extensions_mut().insert(Refused(row.code));
    if let Some(after) = error.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    response
}

/// Writes down what happened inside where a page was asked for.
pub(super) fn log_cause(error: &Error) {
    if let Some(cause) = &error.cause {
        let code = error.code.row().code;
        tracing::error!(name: "request.failed", code, cause, "a page could not be shown");
    }
}

/// A page of a template.
pub(super) fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => ([(header::CACHE_CONTROL, "no-store")], Html(text)).into_response(),
        Err(error) => {
            let cause = Some(error.to_string());
            Error { cause, ..Code::Internal.into() }.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log;

    #[test]
    fn what_a_layer_finds_where_sites_ask_is_written_down_once() {
        let log = log::tests::written(log::Format::Text, || {
            let cause = Some("disk full".to_owned());
            let found = Error { cause, ..Code::Unavailable.into() }.into_response();
            let answer = spoken(Lang::En, Manner::Oauth, std::future::ready(found)).now_or_never();
            assert_eq!(answer.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
        });
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains("disk full"), "{log}");
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_request_and_tells_nothing() {
        async fn breaks() -> Response {
            panic!("a secret of the inside");
        }
        let answer = async |response: Response| {
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(response.into_body(), 65536).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        };
        let (status, body) = answer(spoken(Lang::En, Manner::Problem, breaks()).await).await;
        assert_eq!(status, 500);
        assert!(body.contains("internal") && !body.contains("secret"), "{body}");
        let (status, body) = answer(spoken(Lang::En, Manner::Oauth, breaks()).await).await;
        assert_eq!(status, 500);
        assert!(body.contains("server_error") && !body.contains("secret"), "{body}");
        let fine = async { "fine".into_response() };
        let works = spoken(Lang::En, Manner::Problem, fine).await;
        assert_eq!(answer(works).await, (200, "fine".to_owned()));
    }

    #[tokio::test]
    async fn trying_again_is_offered_where_it_may_help_and_sends_no_form() {
        let text = async |page: Response| {
            let body = axum::body::to_bytes(page.into_body(), 65536).await.unwrap();
            String::from_utf8(body.to_vec()).unwrap()
        };
        let again = "<a class=\"main\" href=\"\">";
        for error in [Code::NoCodeNow.into(), Error::too_many(std::time::Duration::from_secs(9))] {
            assert!(text(error_page(Lang::Zh, &error)).await.contains(again), "{error:?}");
            assert!(!text(error_page_of_form(Lang::Zh, &error)).await.contains(again));
            assert!(!text(not_signed_out(Lang::Zh, &error)).await.contains(again));
        }
        assert!(!text(error_page(Lang::Zh, &Code::LinkOver.into())).await.contains(again));
    }

    #[tokio::test]
    async fn who_must_ask_the_owner_reads_the_name_to_tell() {
        for (lang, words) in
            [(Lang::Zh, "你的用户名是 uxwwzh2z8p7。"), (Lang::En, "is uxwwzh2z8p7.")]
        {
            let hint = Some("uxwwzh2z8p7".to_owned());
            let error = Error { hint, ..Code::OwnerAsked.into() };
            let response = spoken(lang, Manner::Problem, async { error.into_response() }).await;
            let body = axum::body::to_bytes(response.into_body(), 65536).await.unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            assert!(body.contains(words) && !body.contains(NAME), "{body}");
        }
    }
}
