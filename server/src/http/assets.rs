//! The page's scripts and styles, out of the binary.

use axum::{
    extract::{Path, rejection::PathRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{error::Code, error::Error, secret::Hashed};

const ELEMENT: &str = include_str!("../../../browser/wechat-login.js");
const JS: &str = "text/javascript; charset=utf-8";

pub(super) async fn element(headers: HeaderMap) -> Response {
    for_everybody(&headers, ELEMENT)
}

pub(super) async fn wx_login(headers: HeaderMap) -> Response {
    for_everybody(&headers, include_str!("../../../browser/wxLogin.js"))
}

/// A page of any origin may load it; what it may then do, the site's origins say.
fn for_everybody(headers: &HeaderMap, script: &'static str) -> Response {
    let mut response = served(headers, JS, script);
    let everybody = header::HeaderValue::from_static("*");
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, everybody);
    let cross = header::HeaderValue::from_static("cross-origin");
    response
        .headers_mut()
        .insert(header::HeaderName::from_static("cross-origin-resource-policy"), cross);
    response
}

pub(super) async fn asset(
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let Path(name) = name.map_err(|_| Code::NotFound)?;
    let (content_type, text) = match name.as_str() {
        "wechat-login.js" => (JS, ELEMENT),
        "page.js" => (JS, include_str!("../../../browser/page.js")),
        "link.js" => (JS, include_str!("../../../browser/link.js")),
        "form-post.js" => (JS, include_str!("../../../browser/form-post.js")),
        "icon.svg" => ("image/svg+xml", include_str!("../../../browser/icon.svg")),
        "page.css" => ("text/css; charset=utf-8", include_str!("../../../browser/page.css")),
        _ => return Err(Code::NotFound.into()),
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
