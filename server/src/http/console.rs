//! The console's pages: what they share. Who may see them is `door.rs`'s, what they show the others'.
//!
//! Every page needs an operator's session, and every change a form that this session was given besides. Requests must call
//! the console by a name it goes by: a page of a stranger's, whose name was made to point here, calls it by another.

use std::collections::BTreeMap;

use axum::{
    Form,
    extract::{FromRequest, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Redirect, Response},
};
use serde::de::DeserializeOwned;
use url::{Host, Url};

use super::{
    caller::{AtConsole, Caller, Pairs, posted},
    cookies, reply,
};
use crate::{
    app::{App, SharedApp},
    console::access,
    error::{Code, Error},
    lang::Lang,
    person::Person,
    secret::Hashed,
    site,
    store::Operator,
    world::Timestamp,
};

pub(super) mod audit;
pub(super) mod door;
pub(super) mod keys;
pub(super) mod overview;
pub(super) mod people;
pub(super) mod presets;
pub(super) mod settings;
pub(super) mod sites;

pub(super) use door::claim;

/// What holds for every request at the console: it is called by a name it goes by, what changes something comes from a page
/// of its own, and no answer is kept, framed, or read by anybody else.
pub(super) async fn guard(
    State(app): State<SharedApp>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(origin) = standing(&app, request.headers()) else {
        return Error::from(Code::WrongHost).into_response();
    };
    let sent = request.headers().get(header::ORIGIN);
    let own = sent.is_some_and(|sent| sent.as_bytes() == origin.as_bytes());
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if (changes || sent.is_some()) && !own {
        return Error::from(Code::NotFromHere).into_response();
    }
    let policy = policy(&origin);
    let is_asset = request.uri().path().starts_with("/assets/");
    request.extensions_mut().insert(AtConsole { origin });
    let mut response = next.run(request).await;
    let mut set = |name, value: &'static str| {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    };
    // Forms need it: under no-referrer browsers send "Origin: null" with them.
    set(header::REFERRER_POLICY, "same-origin");
    set(header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if !is_asset {
        set(header::CACHE_CONTROL, "no-store");
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Scripts, styles and pictures of its own, nothing inline, in nobody's frame.
fn policy(origin: &str) -> HeaderValue {
    let socket = origin.replacen("http", "ws", 1);
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' {socket}; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// The origin that the console is called by, if it goes by that: `console.url`, an address, or this machine. Any other name
/// may be a stranger's that points here (DNS rebinding).
fn standing(app: &App, headers: &HeaderMap) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let own = Url::parse(&app.settings.console.url).ok();
    if own.is_some_and(|own| own.authority().eq_ignore_ascii_case(host)) {
        return Some(app.settings.console.url.clone());
    }
    let url = Url::parse(&format!("http://{host}")).ok()?;
    let is_address = matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_)));
    let is_bare = url.username().is_empty() && url.path() == "/" && url.query().is_none();
    (is_bare && (is_address || site::is_loopback(&url))).then(|| url.origin().ascii_serialization())
}

/// An operator at a page.
pub(super) struct Desk {
    pub(super) app: SharedApp,
    pub(super) caller: Caller,
    pub(super) operator: Operator,
    /// The language.
    pub(super) l: Lang,
    /// What every form carries.
    pub(super) token: String,
    /// How many minutes their clock is before UTC.
    pub(super) offset: i64,
    /// What was just done, as the address says.
    pub(super) done: String,
    /// Which part of the console this is.
    pub(super) here: &'static str,
}

impl Desk {
    /// What the address bar and the head of every page call this server.
    pub(super) fn host(&self) -> String {
        self.app.settings.host()
    }

    /// Who sits here.
    pub(super) fn who(&self) -> String {
        match &self.operator.person {
            Some(person) => self.name(person),
            None => self.l.s("一次性链接", "One-time link").to_owned(),
        }
    }

    /// What the pages call a person.
    pub(super) fn name(&self, person: &Person) -> String {
        reply::name_shown(self.l, person)
    }

    /// Whole hours of the clock's offset: counts are kept by the hour.
    pub(super) fn shift(&self) -> i64 {
        self.offset.div_euclid(60)
    }

    /// A moment on their clock.
    pub(super) fn time(&self, at: Timestamp) -> String {
        self.format(at, "%Y-%m-%d %H:%M")
    }

    /// A moment on their clock, in this form.
    pub(super) fn format(&self, at: Timestamp, form: &str) -> String {
        let local = at.seconds().saturating_add(self.offset * 60);
        jiff::Timestamp::from_second(local).unwrap_or_default().strftime(form).to_string()
    }

    /// What their clock goes by.
    pub(super) fn zone(&self) -> String {
        let (sign, minutes) =
            if self.offset < 0 { ('−', -self.offset) } else { ('+', self.offset) };
        match (minutes / 60, minutes % 60) {
            (0, 0) => "UTC".to_owned(),
            (hours, 0) => format!("UTC{sign}{hours}"),
            (hours, minutes) => format!("UTC{sign}{hours}:{minutes:02}"),
        }
    }

    /// What was just done, if the address says something that is known.
    pub(super) fn notice(&self) -> Option<&str> {
        let said = match self.done.as_str() {
            "added" => ("已添加。", "Added."),
            "saved" => ("已保存。", "Saved."),
            "removed" => ("已移除。", "Removed."),
            "blocked" => {
                ("已停用，此人的所有登录都已结束。", "Blocked. All their sign-ins have ended.")
            }
            "unblocked" => ("已恢复使用。", "No longer blocked."),
            "forgotten" => {
                ("已删除此人的所有资料。", "Forgotten: every row that named them is gone.")
            }
            "ended" => ("已结束这个登录。", "That sign-in has ended."),
            "owner" => ("此人现在是站长。", "They are an owner now."),
            "not-owner" => ("此人不再是站长。", "They are an owner no more."),
            "rotated" => ("新的密钥已开始签名。", "The next keys sign from now on."),
            "last-owner" => (
                "这是最后一位站长，先让另一个人成为站长。",
                "This is the last owner. Make somebody else one first.",
            ),
            "let-in" => ("已同意。", "Let in."),
            "kept-out" => ("已记为不同意。", "Kept out."),
            _ => return None,
        };
        Some(self.l.s(said.0, said.1))
    }

    /// A number as people read it.
    pub(super) fn number(&self, n: &u64) -> String {
        number(*n)
    }
}

/// A number with its thousands apart.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A span of time, as people say it.
pub(super) fn span(l: Lang, seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match l {
        Lang::Zh => match () {
            () if seconds < 60 => format!("{seconds} 秒"),
            () if minutes < 60 => format!("{minutes} 分钟"),
            () if hours < 48 => format!("{hours} 小时 {} 分钟", minutes % 60),
            () => format!("{days} 天"),
        },
        Lang::En => match () {
            () if seconds < 60 => format!("{seconds} s"),
            () if minutes < 60 => format!("{minutes} min"),
            () if hours < 48 => format!("{hours} h {} min", minutes % 60),
            () => format!("{days} days"),
        },
    }
}

/// Who has no session is sent to the door; who sends a form without one is told so.
impl FromRequestParts<SharedApp> for Desk {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, Response> {
        let Ok(caller) = Caller::from_request_parts(parts, app).await;
        let operator = caller.operator(app).await.map_err(Error::into_response)?;
        let Some(operator) = operator else {
            let is_page = parts.method == Method::GET;
            return Err(if is_page {
                Redirect::to("/console/sign-in").into_response()
            } else {
                Error::from(Code::Unauthorized).into_response()
            });
        };
        let query = parts.uri.query().unwrap_or_default();
        let done = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "done");
        // Their browser says it, in minutes; whatever else stands there is nought.
        let offset =
            cookies::value(&parts.headers, "saoma-clock").and_then(|said| said.parse().ok());
        let part = parts.uri.path().trim_start_matches('/').split('/').next().unwrap_or_default();
        let here =
            ["sites", "people", "audit", "keys", "settings"].into_iter().find(|it| *it == part);
        Ok(Self {
            here: here.unwrap_or("overview"),
            token: access::form_token(app, &operator).reveal().to_owned(),
            l: caller.lang,
            app: app.clone(),
            caller,
            operator,
            offset: offset.filter(|minutes: &i64| minutes.abs() <= 14 * 60).unwrap_or(0),
            done: done.map(|(_, word)| word.into_owned()).unwrap_or_default(),
        })
    }
}

/// A form that an operator sent, with the proof that this session was given it.
pub(super) struct Act {
    pub(super) desk: Desk,
    pub(super) form: BTreeMap<String, String>,
}

impl Act {
    /// A field; empty if it was not sent.
    pub(super) fn field(&self, name: &str) -> &str {
        self.form.get(name).map(String::as_str).unwrap_or_default()
    }

    /// All fields as one value.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let json =
            serde_json::to_value(&self.form).map_err(|error| Error::invalid(error.to_string()))?;
        serde_json::from_value(json).map_err(|error| Error::invalid(error.to_string()))
    }
}

impl FromRequest<SharedApp> for Act {
    type Rejection = Response;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let desk = Desk::from_request_parts(&mut parts, app).await?;
        let request = Request::from_parts(parts, body);
        let form = posted::<Pairs>(Form::from_request(request, app).await);
        let form: BTreeMap<_, _> = form.map_err(Error::into_response)?.into_iter().collect();
        let given = form.get("form").map(String::as_str).unwrap_or_default();
        if Hashed::of(given) != Hashed::of(&desk.token) {
            return Err(Error::from(Code::NotFromHere).into_response());
        }
        Ok(Self { desk, form })
    }
}

/// Back to a page, which says what was done.
pub(super) fn back(path: &str, done: &str) -> Response {
    Redirect::to(&format!("{path}?done={done}")).into_response()
}
