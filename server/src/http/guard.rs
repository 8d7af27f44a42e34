//! What holds for whole families of URLs: response headers, and which other origins may read an answer.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::{app::SharedApp, error::Code, error::Error};

/// Sets on every answer what no page may do without.
pub(super) async fn headers(
    State(app): State<SharedApp>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
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
    response
}

/// The policy of saoma's own pages: scripts, styles, pictures and connections of its own, nothing inline, in nobody's frame.
pub(super) fn page_policy(app: &SharedApp, form_action: &str) -> HeaderValue {
    // Older Safari does not count a WebSocket to the same host as 'self'.
    let socket = app.settings.public_url.replacen("http", "ws", 1);
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' {socket}; \
         form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// Which origin the request names; `null` and odd bytes are an origin that nobody registered.
fn origin_of(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(header::ORIGIN).cloned()
}

/// For pages that carry the element: an origin that nobody registered is refused before any look-up, where one is sent.
/// Whether it is the right site's is for the handler, which knows the ticket.
pub(super) async fn cors(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    let Some(origin) = origin_of(request.headers()) else {
        return next.run(request).await;
    };
    let text = origin.to_str().unwrap_or_default();
    let own = text == app.settings.public_url;
    if !own && !app.sites.any_allows_origin(text) {
        return Error::from(Code::OriginNotAllowed).into_response();
    }
    allow(request, next, origin, "GET, POST").await
}

/// For public sites whose pages redeem the code themselves: token, userinfo and revoke may be read by their origins.
pub(super) async fn site_cors(
    State(app): State<SharedApp>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let for_everybody = path == "/jwks";
    let for_sites = ["/token", "/userinfo", "/revoke"].contains(&path);
    match origin_of(request.headers()) {
        Some(_) if for_everybody => {
            allow(request, next, HeaderValue::from_static("*"), "GET").await
        }
        Some(origin)
            if for_sites && app.sites.any_allows_origin(origin.to_str().unwrap_or_default()) =>
        {
            allow(request, next, origin, "GET, POST").await
        }
        _ => next.run(request).await,
    }
}

async fn allow(
    request: Request,
    next: Next,
    origin: HeaderValue,
    methods: &'static str,
) -> Response {
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response =
        if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        let allowed = HeaderValue::from_static("Content-Type, Authorization");
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}
