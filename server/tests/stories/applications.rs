//! Applications that know no OpenID Connect, behind a proxy that asks saoma about every request. The proxies are real ones in
//! examples/forward-auth; here the stories say what a proxy says.

use std::collections::BTreeMap;

use reqwest::Method;
use saoma::{
    store::Change,
    try_it::actors::{Browser, Phone, Reply},
};
use serde_json::{Value, json};

use crate::support::{Saoma, goes_next};

const IDENTITY: [&str; 4] = ["remote-user", "remote-name", "remote-email", "remote-groups"];

async fn starts() -> Saoma {
    Saoma::starts_with(&[("SAOMA_TRUSTED_PROXIES", "[\"127.0.0.1\"]")]).await
}

/// The host of an application, as one browser sees it through its proxy, with the cookies that it keeps there.
struct Host<'a> {
    saoma: &'a Saoma,
    origin: String,
    cookies: BTreeMap<String, String>,
}

impl<'a> Host<'a> {
    fn at(saoma: &'a Saoma, origin: &str) -> Self {
        Self { saoma, origin: origin.to_owned(), cookies: BTreeMap::new() }
    }

    /// A request of the proxy's to saoma, with what it tells of the browser's and `more`, which the browser wrote.
    async fn proxied(&self, path: &str, more: &[(&str, &str)]) -> Reply {
        self.sends(Method::GET, path, more).await
    }

    async fn sends(&self, method: Method, path: &str, more: &[(&str, &str)]) -> Reply {
        let (proto, host) = self.origin.split_once("://").unwrap();
        let request = self.saoma.http.request(method, format!("{}{path}", self.saoma.url));
        let request = request.header("x-forwarded-proto", proto).header("x-forwarded-host", host);
        let request = request.header("accept-language", "en");
        let cookies: Vec<_> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = request.header("cookie", cookies.join("; "));
        Reply::of(more.iter().fold(request, |request, (name, value)| request.header(*name, *value)))
            .await
            .unwrap()
    }

    /// What saoma says of a request to the application, to a proxy as Caddy.
    async fn asks(&self, method: &str, uri: &str) -> Reply {
        self.asks_with(method, uri, &[]).await
    }

    async fn asks_with(&self, method: &str, uri: &str, more: &[(&str, &str)]) -> Reply {
        let said = [("x-forwarded-method", method), ("x-forwarded-uri", uri)];
        self.proxied("/forward-auth", &[&said[..], more].concat()).await
    }

    /// The browser goes to an address of this host that is saoma's, and keeps the cookies it is given.
    async fn goes_to(&mut self, url: &str) -> Reply {
        let path = url.strip_prefix(&self.origin).unwrap().to_owned();
        let reply = self.proxied(&path, &[]).await;
        self.keeps(reply)
    }

    /// The address that signs out, as a browser goes there from here or there.
    async fn follows(&mut self, site: &str, mode: &str, dest: &str) -> Reply {
        let said = [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
        let said: Vec<_> = said.into_iter().filter(|(_, word)| !word.is_empty()).collect();
        let reply = self.proxied("/.saoma/sign-out", &said).await;
        self.keeps(reply)
    }

    fn keeps(&mut self, reply: Reply) -> Reply {
        for cookie in reply.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        reply
    }

    /// Begins to sign in, up to saoma's own page.
    async fn begins(&mut self, uri: &str) -> String {
        let sent = self.asks("GET", uri).await;
        assert_eq!(sent.status, 303, "{}", sent.text());
        let begun = self.goes_to(sent.header("location")).await;
        assert_eq!(begun.status, 303, "{}", begun.text());
        begun.header("location").to_owned()
    }

    /// A whole sign-in; where the browser stands at the end.
    async fn signs_in(&mut self, browser: &Browser, phone: &Phone, ticks: &Value) -> String {
        let asked = self.begins("/page?a=1&b=2").await;
        let page = browser.opens(&asked).await.unwrap();
        let shown = phone.scans(&self.saoma.scene(&page.ticket).await, 1047).await.unwrap();
        phone.approves_with(&shown, ticks).await.unwrap();
        let back = self.goes_to(&goes_next(browser, &page).await).await;
        assert_eq!(back.status, 303, "{}", back.text());
        back.header("location").to_owned()
    }

    /// The four headers that the application is told.
    fn told(reply: &Reply) -> [String; 4] {
        assert_eq!(reply.status, 200, "{}", reply.text());
        IDENTITY.map(|name| {
            let mut values = reply.headers.get_all(name).iter();
            let value = String::from_utf8(values.next().unwrap().as_bytes().to_vec());
            assert_eq!(values.next(), None, "and once");
            value.unwrap()
        })
    }
}

fn all() -> Value {
    json!({ "scopes": ["profile", "email"], "remember": true })
}

#[tokio::test]
async fn a_visitor_signs_in_and_the_application_is_told_who_it_is() {
    let saoma = starts().await;
    let mut intranet = Host::at(&saoma, "https://intranet.example.com");
    let sent = intranet.asks("GET", "/page?a=1&b=2").await;
    let start = "https://intranet.example.com/.saoma/start?to=%2Fpage%3Fa%3D1%26b%3D2";
    assert_eq!((sent.status.as_u16(), sent.header("location")), (303, start));
    assert_eq!(sent.header("cache-control"), "no-store");

    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let at = intranet.signs_in(&browser, &phone, &all()).await;
    assert_eq!(at, "https://intranet.example.com/page?a=1&b=2");
    let cookie = ["__Host-saoma-app"];
    assert_eq!(intranet.cookies.keys().collect::<Vec<_>>(), cookie, "one cookie, of this host");
    // What a script of the application writes there may be no ASCII.
    intranet.cookies.insert("Nick".to_owned(), "张三".to_owned());

    for method in ["GET", "POST", "DELETE"] {
        let [user, name, email, groups] = Host::told(&intranet.asks(method, "/page").await);
        assert!(name.starts_with("guest "), "{name}");
        assert_eq!(email, format!("{}@users.example.com", name.replace("guest ", "")));
        assert_eq!((user.len(), groups.as_str()), (22, ""));
    }
    let body = json!({ "js_code": phone.logs_in().await.unwrap() });
    let opened = phone.calls(Method::POST, "session", None, &body).await.unwrap().json();
    let token = opened["token"].as_str();
    let change = json!({ "nickname": "小安" });
    phone.calls(Method::PUT, "profile", token, &change).await.unwrap().good().unwrap();
    let [_, name, ..] = Host::told(&intranet.asks("GET", "/").await);
    assert_eq!(name, "小安", "UTF-8 as it is");
}

#[tokio::test]
async fn what_was_not_ticked_is_empty_and_what_a_client_forges_counts_for_nothing() {
    let saoma = starts().await;
    let mut charts = Host::at(&saoma, "http://charts.localhost:3000");
    let forged = [
        ("remote-user", "root"),
        ("remote-name", "root"),
        ("remote-email", "root@example.com"),
        ("remote-groups", "owner"),
        ("remote_user", "root"),
        ("x-forwarded-user", "root"),
    ];
    let stranger = charts.asks_with("POST", "/", &forged).await;
    assert_eq!(stranger.status, 401);
    assert!(IDENTITY.iter().all(|name| stranger.header(name).is_empty()));
    charts.signs_in(&saoma.browser(), &saoma.phone("ann"), &json!({})).await;
    let [user, name, email, groups] = Host::told(&charts.asks_with("GET", "/", &forged).await);
    assert_eq!(user.len(), 22, "the bare identity");
    assert_eq!([name, email, groups], [""; 3]);
}

#[tokio::test]
async fn an_application_without_a_pattern_of_its_own_is_told_an_address_too() {
    let saoma = starts().await;
    let mut charts = Host::at(&saoma, "http://charts.localhost:3000");
    charts.signs_in(&saoma.browser(), &saoma.phone("ann"), &all()).await;
    let [_, name, email, _] = Host::told(&charts.asks("GET", "/").await);
    // At the public host; here that is an IP address, which has no mail.
    assert_eq!(email, format!("{}@saoma.invalid", name.replace("guest ", "")));
}

#[tokio::test]
async fn only_a_browser_that_goes_there_is_sent_to_sign_in() {
    let saoma = starts().await;
    let intranet = Host::at(&saoma, "https://intranet.example.com");
    for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "get"] {
        let refused = intranet.asks(method, "/").await;
        assert_eq!((refused.status.as_u16(), refused.header("location")), (401, ""), "{method}");
    }
    assert_eq!(intranet.proxied("/forward-auth", &[]).await.status, 401, "no method is no GET");
    for mode in ["cors", "no-cors", "same-origin", "websocket"] {
        let script = intranet.asks_with("GET", "/", &[("sec-fetch-mode", mode)]).await;
        assert_eq!(script.status, 401, "{mode}");
    }
    let person = intranet.asks_with("GET", "/", &[("sec-fetch-mode", "navigate")]).await;
    assert_eq!(person.status, 303);
}

#[tokio::test]
async fn nginx_is_told_by_a_401_where_to_begin() {
    let saoma = starts().await;
    let mut intranet = Host::at(&saoma, "https://intranet.example.com");
    let nginx = async |host: &Host<'_>, method: &str| {
        let said = [("x-forwarded-method", method), ("x-forwarded-uri", "/a")];
        host.proxied("/forward-auth/nginx", &said).await
    };
    let refused = nginx(&intranet, "GET").await;
    let start = "https://intranet.example.com/.saoma/start?to=%2Fa";
    assert_eq!((refused.status.as_u16(), refused.header("location")), (401, start));
    let refused = nginx(&intranet, "POST").await;
    assert_eq!((refused.status.as_u16(), refused.header("location")), (401, ""));
    intranet.signs_in(&saoma.browser(), &saoma.phone("ann"), &all()).await;
    Host::told(&nginx(&intranet, "POST").await);
}

#[tokio::test]
async fn a_proxy_must_be_trusted_and_say_one_thing_of_a_registered_application() {
    let saoma = starts().await;
    let told = async |headers: &[(&str, &str)]| {
        let request = saoma.http.get(format!("{}/forward-auth", saoma.url));
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Reply::of(request).await.unwrap().problem()
    };
    let (proto, host) =
        (("x-forwarded-proto", "https"), ("x-forwarded-host", "intranet.example.com"));
    let other = ("x-forwarded-host", "files.example.com");
    assert_eq!(told(&[proto, host]).await, "401 ");
    assert_eq!(told(&[proto]).await, "400 invalid_request");
    assert_eq!(told(&[proto, host, other]).await, "400 invalid_request");
    let both = ("x-forwarded-host", "intranet.example.com, files.example.com");
    assert_eq!(told(&[proto, both]).await, "400 invalid_request");
    for (proto, host) in [
        ("https", "evil.example"),
        ("http", "intranet.example.com"),
        ("https", "intranet.example.com:8443"),
        ("https", "intranet.example.com.evil.example"),
        ("https", ""),
    ] {
        let said = [("x-forwarded-proto", proto), ("x-forwarded-host", host)];
        assert_eq!(told(&said).await, "403 application_not_registered", "{proto}://{host}");
    }
    assert_eq!(told(&[proto, ("x-forwarded-host", "INTRANET.example.com:443")]).await, "401 ");

    let untrusting = Saoma::starts().await;
    let host = Host::at(&untrusting, "https://intranet.example.com");
    for path in ["/forward-auth", "/forward-auth/nginx"] {
        assert_eq!(host.proxied(path, &[]).await.problem(), "403 proxy_not_trusted", "{path}");
    }
    for path in ["/.saoma/start", "/.saoma/callback", "/.saoma/sign-out"] {
        let said = host.proxied(path, &[]).await;
        assert_eq!(said.status, 403, "{path}");
        let page = said.text();
        assert!(page.contains("<code>proxy_not_trusted</code>"), "{page}");
        assert!(page.contains("href=\"/.saoma/page.css\""), "a style that the host hands on");
        assert!(!page.contains("/assets/"), "and nothing that it does not: {page}");
    }
}

#[tokio::test]
async fn a_cookie_opens_the_host_it_was_handed_to_and_no_other() {
    let saoma = starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let mut intranet = Host::at(&saoma, "https://intranet.example.com");
    intranet.signs_in(&browser, &phone, &all()).await;
    let cookie = intranet.cookies["__Host-saoma-app"].clone();
    let mut files = Host::at(&saoma, "https://files.example.com");
    files.cookies.insert("__Host-saoma-app".to_owned(), cookie.clone());
    assert_eq!(files.asks("POST", "/").await.status, 401, "another host of the same site");
    let mut charts = Host::at(&saoma, "http://charts.localhost:3000");
    charts.cookies.insert("saoma-app".to_owned(), cookie.clone());
    assert_eq!(charts.asks("POST", "/").await.status, 401, "another site");
    assert_eq!(saoma.site("blog").asks_who(&cookie).await.status, 401, "it is no access token");
    let tokens = saoma.signs_in(&saoma.browser(), &saoma.site("blog"), &phone).await;
    let access = tokens["access_token"].as_str().unwrap().to_owned();
    intranet.cookies.insert("__Host-saoma-app".to_owned(), access);
    assert_eq!(intranet.asks("POST", "/").await.status, 401, "nor is an access token a cookie");

    // The browser was remembered: at the other host of the site nobody scans.
    let asked = files.begins("/").await;
    let skipped = browser.get(&asked).await.unwrap();
    assert_eq!(skipped.status, 303, "{}", skipped.text());
    let back = files.goes_to(skipped.header("location")).await;
    assert_eq!(back.header("location"), "https://files.example.com/");
    assert_ne!(files.cookies["__Host-saoma-app"], cookie);
    Host::told(&files.asks("GET", "/").await);
}

#[tokio::test]
async fn an_answer_is_taken_by_the_browser_that_began_and_once() {
    let saoma = starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let mut intranet = Host::at(&saoma, "https://intranet.example.com");
    let asked = intranet.begins("/").await;
    let page = browser.opens(&asked).await.unwrap();
    let shown = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    phone.approves(&shown).await.unwrap();
    let back = goes_next(&browser, &page).await;

    let mut victim = Host::at(&saoma, "https://intranet.example.com");
    let stolen = victim.goes_to(&back).await;
    assert_eq!(stolen.status, 403, "another browser's answer signs nobody in");
    assert!(victim.cookies.is_empty() && stolen.text().contains("begun in another browser"));
    assert!(stolen.text().contains("/.saoma/page.css") && !stolen.text().contains("\"/assets"));
    victim.begins("/").await;
    assert_eq!(victim.goes_to(&back).await.status, 403, "nor with a sign-in of its own begun");
    let iss = url::form_urlencoded::byte_serialize(saoma.url.as_bytes()).collect::<String>();
    let other = back.replace(&format!("iss={iss}"), "iss=https%3A%2F%2Fevil.example");
    assert_ne!(other, back);
    assert_eq!(intranet.goes_to(&other).await.status, 403, "another server's answer (RFC 9207)");

    let begun = intranet.cookies.clone();
    assert_eq!(intranet.goes_to(&back).await.status, 303);
    let cookie = intranet.cookies.clone();
    intranet.cookies.extend(begun);
    assert_eq!(intranet.goes_to(&back).await.status, 403, "the same answer again");
    intranet.cookies = cookie;
    let again = intranet.asks("POST", "/").await;
    assert_eq!(again.status, 401, "and what it gave has ended (RFC 6749 section 4.1.2)");
}

#[tokio::test]
async fn two_tabs_sign_in_side_by_side() {
    let saoma = starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let mut intranet = Host::at(&saoma, "https://intranet.example.com");
    let first = intranet.begins("/one").await;
    let second = intranet.begins("/two").await;
    for (asked, uri) in [(first, "/one"), (second, "/two")] {
        let page = browser.opens(&asked).await.unwrap();
        let shown = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
        phone.approves(&shown).await.unwrap();
        let back = intranet.goes_to(&goes_next(&browser, &page).await).await;
        assert_eq!(back.header("location"), format!("https://intranet.example.com{uri}"));
    }
}

#[tokio::test]
async fn who_begins_again_and_again_carries_no_more_than_a_few_cookies() {
    let saoma = starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let mut intranet = Host::at(&saoma, "https://intranet.example.com");
    let uri = format!("/{}", "a".repeat(1400));
    intranet.cookies.insert("Nick".to_owned(), "张三".to_owned());
    for _ in 0..9 {
        intranet.begins(&uri).await;
    }
    let sent: usize = intranet.cookies.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(sent < 7_000, "proxies take 8 KiB: {sent}");
    let at = intranet.signs_in(&browser, &phone, &json!({})).await;
    assert_eq!(at, "https://intranet.example.com/page?a=1&b=2", "the latest goes on");
}

#[tokio::test]
async fn nobody_is_led_out_of_the_application() {
    let saoma = starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    for foreign in ["//evil.example/", "https://evil.example/", "/\\evil.example", "evil"] {
        let mut intranet = Host::at(&saoma, "https://intranet.example.com");
        let to = url::form_urlencoded::byte_serialize(foreign.as_bytes()).collect::<String>();
        let begun =
            intranet.goes_to(&format!("{}/.saoma/start?to={to}", intranet.origin.clone())).await;
        let page = browser.opens(begun.header("location")).await.unwrap();
        let shown = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
        phone.approves(&shown).await.unwrap();
        let back = intranet.goes_to(&goes_next(&browser, &page).await).await;
        assert_eq!(back.header("location"), "https://intranet.example.com/", "{foreign}");
        saoma.passes(60);
    }
}

#[tokio::test]
async fn a_sign_in_ends_with_its_login_its_life_and_the_persons_leave() {
    let saoma = starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let mut intranet = Host::at(&saoma, "https://intranet.example.com");

    // On the phone.
    intranet.signs_in(&browser, &phone, &json!({})).await;
    let body = json!({ "js_code": phone.logs_in().await.unwrap() });
    let opened = phone.calls(Method::POST, "session", None, &body).await.unwrap().json();
    let token = opened["token"].as_str();
    let logins = phone.calls(Method::GET, "logins", token, &json!({})).await.unwrap().json();
    assert_eq!(
        logins["logins"][0]["site"],
        json!({ "name": "Intranet", "host": "intranet.example.com" })
    );
    let path = format!("logins/{}", logins["logins"][0]["id"].as_str().unwrap());
    phone.calls(Method::DELETE, &path, token, &json!({})).await.unwrap();
    assert_eq!(intranet.asks("POST", "/").await.status, 401);

    // By its age.
    intranet.signs_in(&browser, &phone, &json!({})).await;
    saoma.passes(7 * 24 * 3600 - 1);
    assert_eq!(intranet.asks("POST", "/").await.status, 200);
    saoma.passes(1);
    assert_eq!(intranet.asks("POST", "/").await.status, 401);

    // By the person, in the browser.
    intranet.signs_in(&browser, &phone, &json!({})).await;
    let kept = intranet.cookies.clone();
    let left = intranet.follows("same-origin", "navigate", "document").await;
    assert_eq!(left.header("location"), format!("{}/oauth2/logout?client_id=intranet", saoma.url));
    assert!(intranet.cookies.is_empty());
    intranet.cookies = kept;
    assert_eq!(intranet.asks("POST", "/").await.status, 401, "the cookie is good for nothing");
    let page = browser.get(left.header("location")).await.unwrap();
    assert!(page.text().contains("Signed out"), "{}", page.text());
}

#[tokio::test]
async fn who_is_let_in_no_more_stands_outside_at_the_next_request() {
    let saoma = starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let person = saoma.knows(&phone).await;
    let mut photos = Host::at(&saoma, "https://photos.example.com");
    saoma.changes(&person, Change::Join("family".to_owned())).await;
    photos.signs_in(&browser, &phone, &json!({})).await;
    assert_eq!(photos.asks("POST", "/").await.status, 200);
    saoma.changes(&person, Change::Leave("family".to_owned())).await;
    assert_eq!(photos.asks("POST", "/").await.status, 401);
}

#[tokio::test]
async fn a_picture_a_frame_and_another_hosts_link_sign_nobody_out() {
    let saoma = starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let mut intranet = Host::at(&saoma, "https://intranet.example.com");
    intranet.signs_in(&browser, &phone, &json!({})).await;
    for (site, mode, dest) in [
        ("same-origin", "no-cors", "image"),
        ("same-origin", "navigate", "iframe"),
        ("same-site", "navigate", "document"),
        ("cross-site", "navigate", "document"),
        ("", "", ""),
    ] {
        let asked = intranet.follows(site, mode, dest).await;
        assert_eq!((asked.status.as_u16(), asked.header("set-cookie")), (200, ""), "{site} {dest}");
        assert!(asked.text().contains("Sign out of Intranet?"), "{}", asked.text());
        assert!(asked.header("content-security-policy").contains(&saoma.url), "where it leads");
        assert_eq!(intranet.asks("POST", "/").await.status, 200, "{site} {dest}");
    }
    // The page's button.
    for (origin, status) in [("https://evil.example", 403), ("https://intranet.example.com", 303)] {
        assert_eq!(intranet.asks("POST", "/").await.status, 200, "{origin}");
        let said = intranet.sends(Method::POST, "/.saoma/sign-out", &[("origin", origin)]).await;
        assert_eq!(said.status, status, "{origin}");
    }
    assert_eq!(intranet.asks("POST", "/").await.status, 401);
}

#[tokio::test]
async fn who_says_no_is_told_so_on_the_applications_own_host() {
    let saoma = starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let mut intranet = Host::at(&saoma, "https://intranet.example.com");
    let asked = intranet.begins("/page?a=1&b=2").await;
    let page = browser.opens(&asked).await.unwrap();
    let shown = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    assert_eq!(shown.shown["site"]["host"], "intranet.example.com");
    phone.denies(&shown).await.unwrap();
    let back = intranet.goes_to(&goes_next(&browser, &page).await).await;
    assert_eq!(back.status, 403);
    let text = back.text();
    assert!(text.contains("was not confirmed on the phone"), "{text}");
    assert!(text.contains("href=\"/.saoma/start?to=/page%3Fa%3D1%26b%3D2\""), "{text}");
    let style = intranet.proxied("/.saoma/page.css", &[]).await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
}

#[tokio::test]
async fn who_is_not_let_in_is_told_why_on_the_applications_own_host() {
    let saoma = starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let person = saoma.knows(&phone).await;
    saoma.changes(&person, saoma::store::Change::Refuse("intranet".to_owned())).await;
    let mut intranet = Host::at(&saoma, "https://intranet.example.com");
    let page = browser.opens(&intranet.begins("/").await).await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    assert_eq!(phone.approves(&asked).await.unwrap_err(), "403 not_admitted");
    let back = intranet.goes_to(&goes_next(&browser, &page).await).await;
    assert_eq!(back.status, 403);
    let why = saoma::error::Code::NotAdmitted.row().en;
    assert!(back.text().contains(why), "{}", back.text());
}

#[tokio::test]
async fn the_cookies_are_of_one_host_and_out_of_reach_of_scripts() {
    let saoma = starts().await;
    let https = Host::at(&saoma, "https://intranet.example.com");
    let cookie = https.proxied("/.saoma/start", &[]).await.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-saoma-start-"), "{cookie}");
    for part in ["; HttpOnly", "; Secure", "; SameSite=Lax", "; Path=/", "; Max-Age=900"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Domain"));
    let http = Host::at(&saoma, "http://charts.localhost:3000");
    let cookie = http.proxied("/.saoma/start", &[]).await.header("set-cookie").to_owned();
    assert!(cookie.starts_with("saoma-start-") && !cookie.contains("Secure"), "{cookie}");
}

#[test]
fn an_application_is_one_sites_and_at_an_origin() {
    let faults = |sites: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("saoma.toml");
        let head = "public_url = \"https://login.example.com\"\nwechat = { appid = \"wx1234567890abcdef\", secret = \"x\" }\n";
        std::fs::write(&file, format!("{head}{sites}")).unwrap();
        let loaded = saoma::config::Settings::load(Some(&file), std::iter::empty());
        loaded.err().map(|faults| faults.to_string()).unwrap_or_default()
    };
    let site = |id: &str, origin: &str| {
        format!("[[site]]\nid = \"{id}\"\nname = \"{id}\"\nforward_auth = [\"{origin}\"]\n")
    };
    assert_eq!(faults(&site("a", "https://wiki.example.com")), "");
    for (origin, why) in [
        ("https://wiki.example.com/", "scheme, host and port alone"),
        ("http://wiki.example.com", "http is for loopback alone"),
        ("wiki.example.com", "scheme, host and port alone"),
        ("https://login.example.com", "is saoma itself"),
    ] {
        assert!(
            faults(&site("a", origin)).contains(why),
            "{origin}: {}",
            faults(&site("a", origin))
        );
    }
    let both = site("a", "https://wiki.example.com") + &site("b", "https://wiki.example.com");
    assert!(faults(&both).contains("keep it in one"), "{}", faults(&both));
}
