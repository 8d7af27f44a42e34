//! The page's scripts and styles, out of the binary.

use axum::{
    extract::{Path, rejection::PathRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{error::Code, error::Error, secret::Hashed};

const ELEMENT: &str = include_str!("../../../browser/wechat-login.js");
const STYLE: &str = include_str!("../../../browser/page.css");
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

pub(super) async fn element(headers: HeaderMap) -> Response {
    for_everybody(&headers, JS, ELEMENT)
}

/// What editors and TypeScript know of the element.
pub(super) async fn element_types(headers: HeaderMap) -> Response {
    let types = include_str!("../../../browser/wechat-login.d.ts");
    for_everybody(&headers, "text/plain; charset=utf-8", types)
}

/// The same as a custom elements manifest.
pub(super) async fn element_manifest(headers: HeaderMap) -> Response {
    let manifest = include_str!("../../../browser/custom-elements.json");
    for_everybody(&headers, "application/json", manifest)
}

pub(super) async fn wx_login(headers: HeaderMap) -> Response {
    for_everybody(&headers, JS, include_str!("../../../browser/wxLogin.js"))
}

/// A page of any origin may load it; what it may then do, the site's origins say.
fn for_everybody(headers: &HeaderMap, content_type: &'static str, text: &'static str) -> Response {
    let mut response = served(headers, content_type, text);
    let everybody = header::HeaderValue::from_static("*");
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, everybody);
    let cross = header::HeaderValue::from_static("cross-origin");
    response
        .headers_mut()
        .insert(header::HeaderName::from_static("cross-origin-resource-policy"), cross);
    response
}

/// For pages on an application's host, where everything else is the application's.
pub(super) async fn style(headers: HeaderMap) -> Response {
    served(&headers, CSS, STYLE)
}

pub(super) async fn asset(
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let Path(name) = name.map_err(|_| Code::NotFound)?;
    let (content_type, text) = shared(&name).ok_or(Code::NotFound)?;
    Ok(served(&headers, content_type, text))
}

fn shared(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "wechat-login.js" => (JS, ELEMENT),
        "page.js" => (JS, include_str!("../../../browser/page.js")),
        "link.js" => (JS, include_str!("../../../browser/link.js")),
        "times.js" => (JS, include_str!("../../../browser/times.js")),
        "form-post.js" => (JS, include_str!("../../../browser/form-post.js")),
        "icon.svg" => ("image/svg+xml", include_str!("../../../browser/icon.svg")),
        "page.css" => (CSS, STYLE),
        _ => return None,
    })
}

/// The same for the console, which stands on a listener of its own.
pub(super) async fn console_asset(
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let Path(name) = name.map_err(|_| Code::NotFound)?;
    let (content_type, text) = match name.as_str() {
        "console.css" => (CSS, include_str!("../../../browser/console.css")),
        "console.js" => (JS, include_str!("../../../browser/console.js")),
        other => shared(other).ok_or(Code::NotFound)?,
    };
    Ok(served(&headers, content_type, text))
}

/// Cached for an hour and then asked about by its hash: a new saoma reaches every page within that time.
fn served(asked: &HeaderMap, content_type: &'static str, text: &'static str) -> Response {
    let tag = format!("\"{:?}\"", Hashed::of(text));
    let caching =
        [(header::CACHE_CONTROL, "public, max-age=3600".to_owned()), (header::ETAG, tag.clone())];
    if asked.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(header::CONTENT_TYPE, content_type)], text).into_response()
}
