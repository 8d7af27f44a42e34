//! Who calls: address, origin, cookies, bearer token, browser; and what they send.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};

use axum::{
    Form,
    body::HttpBody as _,
    extract::{
        ConnectInfo, FromRequest, FromRequestParts, Query, Request, rejection::FormRejection,
    },
    http::{Extensions, HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use wechat::JsCode;
use woothee::parser::Parser;

use super::{cookies, reply::lang_of, serve::Late};
use crate::{
    app::{App, SharedApp},
    console::access,
    error::{Code, Error},
    lang::Lang,
    login::System,
    secret::{Hashed, Secret},
    store::{BrowserSession, Login, Operator},
    ticket::{Browser, Presented, UNKNOWN},
};

/// Where the operators' console stands, as their address bar reads it: set by its door, which has checked it.
#[derive(Debug, Clone)]
pub(super) struct AtConsole {
    /// The origin of its pages.
    pub(super) origin: String,
}

/// Who calls, as far as the request tells.
pub(super) struct Caller {
    /// From where, looking through trusted proxies.
    pub(super) address: IpAddr,
    /// Whether that is the caller's address, and not one of a proxy that stands for everybody.
    pub(super) address_is_its_own: bool,
    /// In which language they want to be spoken to.
    pub(super) lang: Lang,
    /// The `Origin` that the browser sent.
    pub(super) origin: Option<String>,
    /// The browser's cookie.
    pub(super) cookie: Option<Secret>,
    /// The cookie of a signed-in session.
    pub(super) session: Option<Secret>,
    /// The bearer token.
    pub(super) bearer: Option<Secret>,
    /// Where the console stands for them, if they came in by the operators' listener.
    pub(super) at: Option<AtConsole>,
    user_agent: String,
}

impl FromRequestParts<SharedApp> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, Infallible> {
        let headers = &parts.headers;
        let at = parts.extensions.get::<AtConsole>().cloned();
        let known = match &at {
            Some(at) => cookies::console(&at.origin),
            None => cookies::public(app),
        };
        let (cookie, session) = known.of(headers);
        let (address, address_is_its_own) = hops(app, &parts.extensions, headers);
        Ok(Self {
            address,
            address_is_its_own,
            lang: lang_of(headers),
            origin: text(headers, header::ORIGIN),
            cookie,
            session,
            bearer: bearer(headers),
            at,
            user_agent: user_agent(headers),
        })
    }
}

impl Caller {
    /// What proves that a ticket is this caller's.
    pub(super) fn presents(&self, key: Option<&Secret>) -> Presented {
        Presented { key: key.map(Secret::hashed), cookie: self.cookie.as_ref().map(Secret::hashed) }
    }

    /// The session that the browser shows, if it shows all that belongs to it.
    pub(super) fn browser_session(&self) -> Option<BrowserSession> {
        let (session, cookie) = self.session.as_ref().zip(self.cookie.as_ref())?;
        Some(BrowserSession { hash: session.hashed(), cookie: cookie.hashed() })
    }

    /// The logins that this session holds.
    pub(super) async fn logins(&self, app: &App) -> Result<Vec<Login>, Error> {
        match self.browser_session() {
            Some(session) => Ok(app.store.session(session, app.world.now()).await?),
            None => Ok(Vec::new()),
        }
    }

    /// The operator whose session of the console this is.
    pub(super) async fn operator(&self, app: &App) -> Result<Option<Operator>, Error> {
        match &self.session {
            Some(session) => {
                access::operator(app, session, self.cookie.as_ref().map(Secret::hashed)).await
            }
            None => Ok(None),
        }
    }

    /// The bearer token's hash.
    pub(super) fn token(&self) -> Result<Hashed, Error> {
        self.bearer.as_ref().map(Secret::hashed).ok_or_else(|| Code::Unauthorized.into())
    }

    /// The browser, as people may be shown it.
    pub(super) fn browser(&self) -> Browser {
        let parsed = Parser::new().parse(&self.user_agent);
        let known = |word: &str| {
            if word.is_empty() || word == "UNKNOWN" { None } else { Some(word.to_owned()) }
        };
        let (name, os) =
            parsed.map(|found| (known(found.name), known(found.os))).unwrap_or_default();
        let name = if self.is_in_wechat() { Some("WeChat".to_owned()) } else { name };
        Browser {
            name: name.unwrap_or_else(|| UNKNOWN.to_owned()),
            os: os.unwrap_or_else(|| UNKNOWN.to_owned()),
            address: self.address,
            region: None,
        }
    }

    /// The system of the phone that calls.
    pub(super) fn system(&self) -> System {
        System::of(&self.user_agent)
    }

    /// Whether the page stands in WeChat's own browser on a phone (frontend.md, "WeChat's browser").
    pub(super) fn is_in_wechat(&self) -> bool {
        let has = |word| self.user_agent.contains(word);
        has("MicroMessenger/") && !has("WindowsWechat") && !has("MacWechat") && !has("wxwork")
    }

    /// Whether the page stands on a phone.
    pub(super) fn is_on_phone(&self) -> bool {
        let has = |word| self.user_agent.contains(word);
        self.is_in_wechat()
            || has("iPhone")
            || (has("Android") && has("Mobile"))
            || has("HarmonyOS") && has("Mobile")
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned)
}

/// What the browser calls itself: no more of it than a browser would say.
fn user_agent(headers: &HeaderMap) -> String {
    const MOST: usize = 512;
    let mut said = text(headers, header::USER_AGENT).unwrap_or_default();
    // Text of a header is ASCII: it can be cut anywhere.
    said.truncate(MOST);
    said
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let value = text(headers, header::AUTHORIZATION)?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
        .then(|| Secret::from(token.to_owned()))
}

/// Who is at the other end of the connection.
pub(super) fn peer(extensions: &Extensions) -> IpAddr {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    peer.unwrap_or(IpAddr::from([0, 0, 0, 0])).to_canonical()
}

/// The right-most hop that no trusted proxy made: what stands further left anybody could have written.
pub(super) fn address(app: &App, extensions: &Extensions, headers: &HeaderMap) -> IpAddr {
    hops(app, extensions, headers).0
}

/// The same, and whether it is the caller's own. It is not where a proxy that nobody named in the settings says that it
/// speaks for others, or a trusted one does not say for whom: then all callers have one address, which means nothing.
fn hops(app: &App, extensions: &Extensions, headers: &HeaderMap) -> (IpAddr, bool) {
    let is_trusted = |ip: &IpAddr| app.settings.is_trusted_proxy(*ip);
    let peer = peer(extensions);
    if !is_trusted(&peer) {
        let speaks_for_others = FORWARDED.iter().any(|name| headers.contains_key(*name));
        return (peer, !speaks_for_others);
    }
    // Byte by byte: what a caller wrote before the proxy's own entry must not hide that one.
    let lines = headers.get_all("x-forwarded-for").iter();
    let hops: Vec<&[u8]> =
        lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).collect();
    let mut nearest = peer;
    for hop in hops.into_iter().rev() {
        let hop = str::from_utf8(hop).ok();
        let Some(ip) = hop.and_then(|hop| hop.trim().parse::<IpAddr>().ok()) else { break };
        nearest = ip.to_canonical();
        if !is_trusted(&nearest) {
            break;
        }
    }
    (nearest, !is_trusted(&nearest))
}

/// Headers by which proxies say that they speak for others.
const FORWARDED: [&str; 4] = ["x-forwarded-for", "forwarded", "x-real-ip", "via"];

/// Where a page stands that does what needs one: asked first, whatever it sends. Which is right depends on the site.
pub(super) struct Origin(pub(super) String);

impl FromRequestParts<SharedApp> for Origin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &SharedApp) -> Result<Self, Error> {
        text(&parts.headers, header::ORIGIN).map(Self).ok_or_else(|| Code::OriginNotAllowed.into())
    }
}

/// A JSON body. Anything else is a clear 4xx that says which field is wrong.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<SharedApp> for Sent<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, Response> {
        let content_type = text(request.headers(), header::CONTENT_TYPE);
        let is_json = content_type.as_ref().is_some_and(|value| {
            let essence = value.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/json")
        });
        let bytes = Bytes::from_request(request, app).await.map_err(|refused| {
            let too_large = refused.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE;
            let error = if too_large {
                Code::PayloadTooLarge.into()
            } else if is_late(&refused) {
                Code::RequestTimeout.into()
            } else {
                Error::invalid("the body broke off")
            };
            error.into_response()
        })?;
        // No body at all is an object without fields: the hosted page has nothing to send, and a mini program says that it
        // sends JSON even where it sends nothing.
        let bytes = match content_type {
            _ if bytes.is_empty() && (is_json || content_type.is_none()) => {
                Bytes::from_static(b"{}")
            }
            _ if is_json => bytes,
            _ => return Err(Error::from(Code::UnsupportedMediaType).into_response()),
        };
        // An array would pass for an object whose fields come without their names.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(Error::invalid("the body must be a JSON object").into_response());
        }
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let sent = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let (path, why) = (error.path().to_string(), error.inner());
            let hint = match path.as_str() {
                _ if !why.is_data() => not_json(why),
                "." => why.to_string(),
                path => format!("{path}: {why}"),
            };
            Error::invalid(hint).into_response()
        })?;
        json.end().map_err(|error| Error::invalid(not_json(&error)).into_response())?;
        Ok(Self(sent))
    }
}

/// What is said of a body that breaks off or is something else altogether.
fn not_json(error: &serde_json::Error) -> String {
    format!("the body is not JSON: {error}")
}

/// The same where nothing may be sent at all, under whatever content type.
pub(super) struct SentIfAny<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<SharedApp> for SentIfAny<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, Response> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        Sent::from_request(request, app).await.map(|Sent(sent)| Self(sent))
    }
}

/// Whether a body is not here because its time was over.
fn is_late(refused: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(refused), |error| error.source());
    causes.into_iter().any(|error| error.is::<Late>())
}

/// The host of a URL, as the address bar reads it: international names in punycode, so that no letter passes for another.
pub(super) fn host_of(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    parsed.and_then(|url| url.host_str().map(ToOwned::to_owned)).unwrap_or_default()
}

/// What wx.login gave.
pub(super) fn js_code(text: &str) -> Result<JsCode, Error> {
    JsCode::new(text).map_err(|_| Error::invalid("js_code: not what wx.login gives"))
}

/// The query of a URL.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<SharedApp> for Asked<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, Error> {
        let asked = Query::from_request_parts(parts, app).await;
        asked.map(|Query(asked)| Self(asked)).map_err(|error| Error::invalid(error.body_text()))
    }
}

/// A query or a form as it came, in order and with what came twice.
pub(super) type Pairs = Vec<(String, String)>;

/// A form, or what is wrong with it.
pub(super) fn posted<T>(form: Result<Form<T>, FormRejection>) -> Result<T, Error> {
    form.map(|Form(sent)| sent).map_err(|refused| {
        if refused.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Code::PayloadTooLarge.into()
        } else {
            Error::invalid(refused.body_text())
        }
    })
}

/// One piece of a path, such as a ticket id; what is no UTF-8 is nothing that saoma ever gave out.
pub(super) struct Piece(pub(super) String);

impl FromRequestParts<SharedApp> for Piece {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, Error> {
        let piece = axum::extract::Path::<String>::from_request_parts(parts, app).await;
        piece.map(|piece| Self(piece.0)).map_err(|_| Code::NoSuchTicket.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_shown_in_letters_that_pass_for_no_others() {
        for (url, host) in [
            ("https://blog.example.com/callback", "blog.example.com"),
            ("https://аррӏе.com/cb", "xn--80ak6aa92e.com"),
            ("https://bücher.example/cb", "xn--bcher-kva.example"),
            ("https://EXAMPLE.com:8443/cb", "example.com"),
            ("http://127.0.0.1:8000/cb", "127.0.0.1"),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
