//! What holds for whole families of URLs: response headers, and which other origins may read an answer.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tracing::Instrument as _;

use super::{
    caller,
    reply::{self, Manner, Refused},
};
use crate::{
    app::{App, SharedApp},
    error::{Code, Error},
    lang::Lang,
    limits::What,
    world::Stopwatch,
};

/// Lets through as many requests of an address as `what` allows.
pub(super) async fn limit(
    State((app, what)): State<(SharedApp, What)>,
    request: Request,
    next: Next,
) -> Response {
    limited(&app, what, request, next).await
}

async fn limited(app: &App, what: What, request: Request, next: Next) -> Response {
    let address = caller::address(app, request.extensions(), request.headers());
    match app.limits.of_address(what, address, app.world.now()) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            hint_at_proxies(app, &request);
            error.into_response()
        }
    }
}

/// Carries a phone's request through even where the phone hangs up in the middle: a lift, a tunnel. What is written down by
/// then must still reach the page that waits for it.
pub(super) async fn carry_through(request: Request, next: Next) -> Response {
    Carried(Some(Box::pin(next.run(request).in_current_span()))).await
}

/// An answer in the making, which makes itself where nobody waits for it any more.
struct Carried(Option<BoxFuture<'static, Response>>);

impl Future for Carried {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        // Taken out: one that panics is not gone on with.
        let Some(mut answering) = self.0.take() else { return Poll::Pending };
        let answer = answering.as_mut().poll(context);
        if answer.is_pending() {
            self.0 = Some(answering);
        }
        answer
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        if let (Some(answering), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(answering);
        }
    }
}

/// The same for what sites call, in OAuth's words; and an address whose secrets are refused again and again may present no
/// more for a while. Tokens are not counted: none can be guessed, and a site's server that hands on what strangers give it
/// would be shut out by them.
pub(super) async fn limit_sites(
    State(app): State<SharedApp>,
    request: Request,
    next: Next,
) -> Response {
    let address = caller::address(&app, request.extensions(), request.headers());
    let now = app.world.now();
    let limits = &app.limits;
    let guesses = !request.uri().path().ends_with("/userinfo");
    let held = limits.of_address(What::Token, address, now);
    let held = held.and_then(|()| if guesses { limits.may_guess(address, now) } else { Ok(()) });
    if let Err(error) = held {
        hint_at_proxies(&app, &request);
        return error.into_response();
    }
    let response = next.run(request).await;
    if guesses && response.status() == StatusCode::UNAUTHORIZED {
        limits.guessed_wrong(address, app.world.now());
    }
    response
}

/// Behind a proxy that is not named in the settings everybody has one address, which soon is too busy.
fn hint_at_proxies(app: &App, request: &Request) {
    static SAID: AtomicBool = AtomicBool::new(false);
    let peer = caller::peer(request.extensions());
    let forwarded = request.headers().contains_key("x-forwarded-for");
    if forwarded && !app.settings.is_trusted_proxy(peer) && !SAID.swap(true, Ordering::Relaxed) {
        tracing::warn!(name: "limits.proxy", %peer,
            "a limit per address was reached by requests with X-Forwarded-For; if {peer} is your own proxy, add it to trusted_proxies");
    }
}

/// All that holds around every public route, from the outside in. It is one layer: axum boxes each, and for every request
/// clones it anew with all that it wraps.
pub(super) async fn public(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    // Counts and times every answer.
    let watch = Stopwatch::start();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    // The route as the table writes it: an address would name tickets.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    // What a caller says of a trace of its own is not believed: each request begins one.
    let span = tracing::debug_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty
    );
    let (lang, manner) = (reply::lang_of(request.headers()), Manner::at(request.uri().path()));
    // In a box: each of those it is handed through would carry the room for it, and copy it.
    let answering = Box::pin(cross_origin(&app, request, next));
    let response = safely(&app, lang, manner, answering).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    let status = match response.status().as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    let took = watch.elapsed();
    app.metrics.answered(method, route, status, took);
    let refused = response.extensions().get::<Refused>().map(|refused| refused.0);
    if let Some(code) = refused {
        app.metrics.refused(code);
    }
    tracing::debug!(name: "request.answered", method, route, status = response.status().as_u16(), refused,
        took_ms = took.as_millis(), "a request was answered");
    response
}

/// The same around what operators reach.
pub(super) async fn operators(
    State(app): State<SharedApp>,
    request: Request,
    next: Next,
) -> Response {
    let lang = reply::lang_of(request.headers());
    safely(&app, lang, Manner::Problem, next.run(request)).await
}

/// Refuses what a page asks for; a person who types the address is answered as a machine is.
pub(super) async fn no_page(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let from = headers.get("sec-fetch-site");
    let is_page =
        headers.contains_key(header::ORIGIN) || from.is_some_and(|from| from.as_bytes() != b"none");
    if is_page { Error::from(Code::NotFromHere).into_response() } else { next.run(request).await }
}

/// An answer as everybody may have it, with what no page may do without.
async fn safely(
    app: &App,
    lang: Lang,
    manner: Manner,
    answering: impl Future<Output = Response>,
) -> Response {
    let mut response = reply::spoken(lang, manner, answering).await;
    set_headers(app, response.headers_mut());
    response
}

fn set_headers(app: &App, headers: &mut HeaderMap) {
    let mut set = |name, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    );
    if app.settings.public_url.starts_with("https://") {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
}

/// A page with the policy of saoma's own: scripts, styles, pictures and connections of its own, nothing inline, in nobody's frame.
/// Where its forms may lead; without, anywhere: browsers hold a form's redirects to it, too, and where a site leads on to
/// from the address that it registered nobody here knows. Nothing but what the page's own template says stands in its forms.
pub(super) fn as_page(
    app: &SharedApp,
    form_action: Option<&str>,
    page: impl IntoResponse,
) -> Response {
    // Older Safari does not count a WebSocket to the same host as 'self'.
    let socket = app.settings.public_url.replacen("http", "ws", 1);
    let form_action = form_action.map(|to| format!("form-action {to}; ")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' {socket}; \
         {form_action}base-uri 'none'; frame-ancestors 'none'"
    );
    let policy = HeaderValue::from_str(&policy);
    let policy = policy.unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let mut response = page.into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// Which other origins may read an answer. Around all routes, so that it meets preflights too, which no route takes.
async fn cross_origin(app: &App, request: Request, next: Next) -> Response {
    // Who asks these restarts what does not answer: a server with much to do would be taken for dead.
    if matches!(request.uri().path(), "/healthz" | "/readyz") {
        return next.run(request).await;
    }
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return limited(app, What::Request, request, next).await;
    };
    let text = origin.to_str().unwrap_or_default();
    match request.uri().path() {
        // Pages that carry the element. One that nobody registered is refused before any look-up; whether it is the right
        // site's is for the handler, which knows the ticket.
        path if path == "/api/tickets" || path.starts_with("/api/tickets/") => {
            if text == app.settings.public_url || app.sites.any_allows_origin(text) {
                allow(app, request, next, origin, "GET, POST").await
            } else {
                Error::from(Code::OriginNotAllowed).into_response()
            }
        }
        // The answer itself says so to everybody, whoever asks: it is kept for others.
        "/oauth2/jwks" if is_preflight(&request) => {
            allow(app, request, next, HeaderValue::from_static("*"), "GET").await
        }
        // Public sites whose pages redeem the code themselves.
        "/oauth2/token" | "/oauth2/userinfo" | "/oauth2/revoke"
            if app.sites.any_public_allows_origin(text) =>
        {
            allow(app, request, next, origin, "GET, POST").await
        }
        _ => limited(app, What::Request, request, next).await,
    }
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

async fn allow(
    app: &App,
    request: Request,
    next: Next,
    origin: HeaderValue,
    methods: &'static str,
) -> Response {
    let preflight = is_preflight(&request);
    let mut response = if preflight {
        StatusCode::NO_CONTENT.into_response()
    } else {
        limited(app, What::Request, request, next).await
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    // The element waits for as long as it is told.
    let exposed = HeaderValue::from_static("Retry-After");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    if preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        let allowed = HeaderValue::from_static("Content-Type, Authorization");
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}
