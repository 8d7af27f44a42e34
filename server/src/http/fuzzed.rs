//! What of HTTP's words `fuzz.rs` throws bytes at.

use axum::{
    body::Body,
    extract::FromRequestParts as _,
    http::{HeaderMap, HeaderName, Request, header},
};

use super::{account, caller::Caller};
use crate::{app::SharedApp, lang::Lang};

/// The headers that saoma reads, each with this value.
pub(crate) const READ: [HeaderName; 6] = [
    header::ACCEPT_LANGUAGE,
    header::AUTHORIZATION,
    header::COOKIE,
    header::ORIGIN,
    header::USER_AGENT,
    HeaderName::from_static("x-forwarded-for"),
];

/// A caller who sends these headers: their address, as it would be limited by, and what they are called on the phone.
pub(crate) async fn caller(app: &SharedApp, headers: HeaderMap) -> (std::net::IpAddr, String) {
    let mut request = Request::new(Body::empty());
    *request.headers_mut() = headers;
    let (mut parts, _) = request.into_parts();
    let Ok(caller) = Caller::from_request_parts(&mut parts, app).await;
    let browser = caller.browser();
    let _ = (caller.system(), caller.is_on_phone(), Lang::among(&browser.name));
    (caller.address, format!("{} {}", browser.name, browser.os))
}

/// A picture that a person sends as theirs.
pub(crate) fn avatar(base64: &str) -> Option<Vec<u8>> {
    account::picture(base64).ok().map(|(_, bytes)| bytes)
}
