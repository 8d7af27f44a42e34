//! Cookies: what saoma's own are called, how they are written, and how they are read out of what a browser sends.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};

use crate::{app::App, secret::Secret};

/// The longest that browsers keep one.
const LONGEST: Duration = Duration::from_secs(400 * 24 * 3600);

/// What a cookie is called at an origin: with the prefix that keeps other hosts and plain http out, where https is.
pub(super) fn named(origin: &str, what: &str) -> String {
    let prefix = if is_secure(origin) { "__Host-" } else { "" };
    format!("{prefix}{what}")
}

fn is_secure(origin: &str) -> bool {
    origin.starts_with("https://")
}

/// A cookie for an origin. Without any life it takes away the one that is there.
pub(super) fn cookie(
    origin: &str,
    what: &str,
    value: String,
    same_site: SameSite,
    life: Duration,
) -> Cookie<'static> {
    let seconds = i64::try_from(life.as_secs()).unwrap_or(i64::MAX);
    Cookie::build((named(origin, what), value))
        .path("/")
        .http_only(true)
        .secure(is_secure(origin))
        .same_site(same_site)
        .max_age(time::Duration::seconds(seconds))
        .build()
}

/// Goes with an answer, and gives the browser these.
pub(super) fn give(cookies: impl IntoIterator<Item = Cookie<'static>>) -> CookieJar {
    cookies.into_iter().fold(CookieJar::new(), CookieJar::add)
}

/// The cookies that may be saoma's, in the order in which they came. Other hosts of the domain and scripts of an application
/// write there, too, in whatever bytes: theirs are passed over, and hide none of saoma's.
pub(super) fn sent(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let pairs = pairs.filter_map(|pair| str::from_utf8(pair).ok()?.split_once('='));
    let own = |value: &str| value.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
    pairs
        .map(|(name, value)| (name.trim(), value.trim()))
        .filter(move |(_, value)| !value.is_empty() && own(value))
}

/// The value of one of them; of several with its name the last.
pub(super) fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    sent(headers).filter(|(other, _)| *other == name).map(|(_, value)| value).last()
}

/// The two cookies by which a browser is known.
pub(super) struct Known<'a> {
    origin: &'a str,
    browser: &'static str,
    session: &'static str,
    same_site: SameSite,
}

/// Those of the public address.
pub(super) fn public(app: &App) -> Known<'_> {
    let origin = &app.settings.public_url;
    Known { origin, browser: "saoma", session: "saoma-session", same_site: SameSite::Lax }
}

/// Those of the console, which have names of their own: a browser does not tell the ports of one host apart.
pub(super) fn console(origin: &str) -> Known<'_> {
    let (browser, session) = ("saoma-console", "saoma-console-session");
    Known { origin, browser, session, same_site: SameSite::Strict }
}

impl Known<'_> {
    /// The two that a browser sent: its own, and that of its session.
    pub(super) fn of(&self, headers: &HeaderMap) -> (Option<Secret>, Option<Secret>) {
        let secret = |what| {
            let value = value(headers, &named(self.origin, what));
            value.map(|value| Secret::from(value.to_owned()))
        };
        (secret(self.browser), secret(self.session))
    }

    /// The cookie by which a browser owns its tickets and is known again. Given anew with every code, so that no session
    /// outlives it.
    pub(super) fn browser(&self, value: &Secret) -> Cookie<'static> {
        self.cookie(self.browser, value.reveal(), LONGEST)
    }

    /// The cookie of a signed-in session.
    pub(super) fn session(&self, value: &Secret, life: Duration) -> Cookie<'static> {
        self.cookie(self.session, value.reveal(), life)
    }

    /// The same cookie, ended.
    pub(super) fn no_session(&self) -> Cookie<'static> {
        self.cookie(self.session, "", Duration::ZERO)
    }

    fn cookie(&self, what: &str, value: &str, life: Duration) -> Cookie<'static> {
        cookie(self.origin, what, value.to_owned(), self.same_site, life)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let line = |line: &&str| HeaderValue::from_bytes(line.as_bytes()).unwrap();
        lines.iter().map(|it| (header::COOKIE, line(it))).collect()
    }

    #[test]
    fn what_others_wrote_hides_no_cookie_of_ours() {
        let sent = headers(&["nick=张三; saoma=abc-_1 ;x", "y=\t; saoma-session = d.e; z"]);
        assert_eq!(value(&sent, "saoma"), Some("abc-_1"));
        assert_eq!(value(&sent, "saoma-session"), Some("d.e"));
        for nothing in ["", "saoma", "saoma=", "saoma=张三", "saoma=a b", "Saoma=a", "saoma-=a"] {
            assert_eq!(value(&headers(&[nothing]), "saoma"), None, "{nothing}");
        }
    }

    #[test]
    fn cookies_have_a_prefix_and_stay_on_https_where_https_is() {
        let life = Duration::from_secs(60);
        let at = |origin| console(origin).session(&Secret::from("a".to_owned()), life).to_string();
        assert_eq!(
            at("https://id.example.com"),
            "__Host-saoma-console-session=a; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=60"
        );
        assert_eq!(
            at("http://127.0.0.1:8081"),
            "saoma-console-session=a; HttpOnly; SameSite=Strict; Path=/; Max-Age=60"
        );
    }
}
