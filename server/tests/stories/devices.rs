//! Terminals and televisions: digits on their screen, typed into the mini program (RFC 8628).

use std::collections::BTreeMap;

use reqwest::Method;
use saoma::{
    secret::Hashed,
    try_it::actors::{Page, Reply},
};
use serde_json::{Value, json};

use crate::{site::basic, support::Saoma};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A device that has begun.
struct Device<'a> {
    saoma: &'a Saoma,
    site: &'static str,
    told: Value,
}

impl<'a> Device<'a> {
    async fn begins(saoma: &'a Saoma, site: &'static str) -> Self {
        let told = begins(saoma, site, &[("scope", "openid profile")]).await.good().unwrap();
        Self { saoma, site, told }
    }

    fn code(&self) -> &str {
        self.told["device_code"].as_str().unwrap()
    }

    /// The eight digits, as a person types them.
    fn digits(&self) -> String {
        self.told["user_code"].as_str().unwrap().replace('-', "")
    }

    /// Asks whether it is signed in.
    async fn asks(&self) -> Reply {
        asks(self.saoma, self.site, self.code()).await
    }
}

async fn post(saoma: &Saoma, path: &str, site: &str, form: &[(&str, &str)]) -> Reply {
    let known = saoma.app.sites.get(site).unwrap();
    let mut form: BTreeMap<&str, &str> = form.iter().copied().collect();
    let request = saoma.http.post(format!("{}{path}", saoma.url));
    let request = if known.is_public() {
        form.insert("client_id", site);
        request
    } else {
        request.header("authorization", basic(site, known.secret.reveal()))
    };
    Reply::of(request.form(&form)).await.unwrap()
}

async fn begins(saoma: &Saoma, site: &str, form: &[(&str, &str)]) -> Reply {
    post(saoma, "/oauth2/device_authorization", site, form).await
}

async fn asks(saoma: &Saoma, site: &str, code: &str) -> Reply {
    post(saoma, "/oauth2/token", site, &[("grant_type", GRANT), ("device_code", code)]).await
}

#[tokio::test]
async fn a_terminal_is_signed_in_by_digits() {
    let saoma = Saoma::starts().await;
    let device = Device::begins(&saoma, "tv").await;
    assert_eq!(device.told["verification_uri"], format!("{}/device", saoma.url));
    assert_eq!((&device.told["expires_in"], &device.told["interval"]), (&json!(600), &json!(5)));
    assert_eq!(
        device.told.get("verification_uri_complete"),
        None,
        "digits are typed, never led to"
    );
    let shown = device.told["user_code"].as_str().unwrap();
    assert_eq!((shown.len(), shown.find('-')), (9, Some(4)), "{shown}");
    assert_eq!(device.asks().await.problem(), "400 authorization_pending");

    let phone = saoma.phone("ann");
    let asked = phone.types(&device.digits()).await.unwrap();
    assert_eq!(asked.shown["kind"], "device");
    assert_eq!(
        asked.shown["site"],
        json!({
            "name": "TV", "host": "tv.example.com", "logo": null,
            "operator": null, "contact": null, "privacy_url": null,
        })
    );
    assert_eq!(asked.shown["page"]["host"], "tv.example.com", "there is no page of saoma's");
    assert_eq!(asked.shown["scopes"], json!(["profile"]));
    assert!(asked.shown["why"].as_array().unwrap().contains(&json!("device")));
    saoma.passes(5);
    assert_eq!(device.asks().await.problem(), "400 authorization_pending", "typed is not approved");
    phone.approves_with(&asked, &json!({ "scopes": ["profile"] })).await.unwrap();

    saoma.passes(5);
    let given = device.asks().await;
    assert_eq!(given.header("cache-control"), "no-store");
    let tokens = given.good().unwrap();
    assert_eq!(tokens["scope"], "openid profile");
    let site = saoma.site("tv");
    let who = site.asks_who(tokens["access_token"].as_str().unwrap()).await.good().unwrap();
    assert!(!who["sub"].as_str().unwrap().is_empty() && who["preferred_username"].is_string());
    assert_eq!(device.asks().await.problem(), "400 invalid_grant", "a device code is good once");
    assert_eq!(site.asks_who(tokens["access_token"].as_str().unwrap()).await.status, 200);
}

#[tokio::test]
async fn who_asks_too_early_waits_five_seconds_longer_each_time() {
    let saoma = Saoma::starts().await;
    let device = Device::begins(&saoma, "tv").await;
    let pending = "400 authorization_pending";
    for (seconds, told) in [
        (0, pending),
        (5, pending),
        (3, "400 slow_down"),
        // Ten from now on.
        (5, "400 slow_down"),
        // Fifteen.
        (15, pending),
        (10, "400 slow_down"),
        (20, pending),
        (20, pending),
    ] {
        saoma.passes(seconds);
        assert_eq!(device.asks().await.problem(), told, "after {seconds} s");
    }
    let other = Device::begins(&saoma, "tv").await;
    assert_eq!(other.asks().await.problem(), pending, "each device has an interval of its own");
    // However often it asked: a decision is told at once.
    let phone = saoma.phone("ann");
    phone.approves(&phone.types(&device.digits()).await.unwrap()).await.unwrap();
    assert_eq!(device.asks().await.status, 200);
}

#[tokio::test]
async fn who_asks_too_early_all_the_time_waits_a_minute_and_no_longer() {
    let saoma = Saoma::starts_with(&[("SAOMA_LIMITS__OFF", "true")]).await;
    let device = Device::begins(&saoma, "tv").await;
    assert_eq!(device.asks().await.problem(), "400 authorization_pending");
    for _ in 0..300 {
        assert_eq!(device.asks().await.problem(), "400 slow_down");
    }
    saoma.passes(59);
    assert_eq!(device.asks().await.problem(), "400 authorization_pending");
    assert_eq!(device.asks().await.problem(), "400 slow_down", "a minute it stays");
}

#[tokio::test]
async fn no_on_the_phone_and_too_late_are_the_end() {
    let saoma = Saoma::starts().await;
    let device = Device::begins(&saoma, "tv").await;
    let phone = saoma.phone("ann");
    let asked = phone.types(&device.digits()).await.unwrap();
    phone.denies(&asked).await.unwrap();
    for _ in 0..2 {
        assert_eq!(device.asks().await.problem(), "400 access_denied");
    }

    let device = Device::begins(&saoma, "tv").await;
    saoma.passes(599);
    assert_eq!(device.asks().await.problem(), "400 authorization_pending");
    saoma.passes(1);
    assert_eq!(device.asks().await.problem(), "400 expired_token");
    assert_eq!(phone.types(&device.digits()).await.unwrap_err(), "410 ticket_expired");

    // Typed at the last moment there is as long to decide as for any code, and then ten minutes to ask.
    let device = Device::begins(&saoma, "tv").await;
    saoma.passes(599);
    let asked = phone.types(&device.digits()).await.unwrap();
    saoma.passes(119);
    phone.approves(&asked).await.unwrap();
    saoma.passes(599);
    assert_eq!(device.asks().await.status, 200);
    let device = Device::begins(&saoma, "tv").await;
    phone.approves(&phone.types(&device.digits()).await.unwrap()).await.unwrap();
    saoma.passes(600);
    assert_eq!(device.asks().await.problem(), "400 invalid_grant");
}

#[tokio::test]
async fn only_sites_that_may_have_devices() {
    let saoma = Saoma::starts().await;
    assert_eq!(begins(&saoma, "blog", &[]).await.problem(), "400 unauthorized_client");
    let device = Device::begins(&saoma, "tv").await;
    assert_eq!(asks(&saoma, "blog", device.code()).await.problem(), "400 unauthorized_client");
    let odd = begins(&saoma, "tv", &[("scope", "profile")]).await;
    assert_eq!(odd.problem(), "400 invalid_scope");
    let bare = begins(&saoma, "tv", &[]).await.good().unwrap();
    assert!(bare["device_code"].is_string(), "scope may be left out (RFC 8628 section 3.1)");

    let url = format!("{}/oauth2/device_authorization", saoma.url);
    let stranger = saoma.http.post(&url).form(&[("client_id", "nobody")]);
    assert_eq!(Reply::of(stranger).await.unwrap().problem(), "401 invalid_client");
    let unproven = saoma.http.post(&url).form(&[("client_id", "kiosk")]);
    assert_eq!(Reply::of(unproven).await.unwrap().problem(), "401 invalid_client");
    let kiosk = Device::begins(&saoma, "kiosk").await;
    assert_eq!(kiosk.asks().await.problem(), "400 authorization_pending");
}

#[tokio::test]
async fn a_device_code_is_good_for_its_own_device_and_for_nothing_else() {
    let saoma = Saoma::starts().await;
    let device = Device::begins(&saoma, "tv").await;
    assert_eq!(asks(&saoma, "kiosk", device.code()).await.problem(), "400 invalid_grant");
    assert_eq!(asks(&saoma, "tv", "nothing").await.problem(), "400 invalid_grant");
    let missing = post(&saoma, "/oauth2/token", "tv", &[("grant_type", GRANT)]).await;
    assert_eq!(missing.problem(), "400 invalid_request");

    // It opens no page, and the id of a page's ticket is no device code.
    let browser = saoma.browser();
    let page = Page { ticket: device.code().to_owned() };
    for verb in ["claim", "renew", "digits", "cancel"] {
        assert_eq!(browser.calls(&page, verb).await.unwrap().problem(), "404 no_such_ticket");
    }
    for below in ["", "/code", "/events"] {
        let reply = browser.get(&format!("/api/tickets/{}{below}", page.ticket)).await.unwrap();
        assert_eq!(reply.problem(), "404 no_such_ticket", "{below}");
    }
    assert_eq!(browser.watches(&page).await.err().unwrap(), "404");
    let page = browser.opens(&saoma.site("tv").asks()).await.unwrap();
    assert_eq!(asks(&saoma, "tv", &page.ticket).await.problem(), "400 invalid_grant");

    // What stands in the store is its hash, and its scene is told to nobody.
    let ticket = saoma.app.tickets.by_id(Hashed::of(device.code())).await.unwrap().unwrap().ticket;
    assert_ne!(ticket.scene, device.code());
    assert!(!device.told.to_string().contains(&ticket.scene));
}

#[tokio::test]
async fn a_device_is_never_remembered_nor_lets_a_remembered_browser_in() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let approval = json!({ "remember": true });
    saoma.signs_in_with(&browser, &saoma.site("tv"), &phone, &approval).await;
    let device = Device::begins(&saoma, "tv").await;
    assert_eq!(device.asks().await.problem(), "400 authorization_pending");
    let asked = phone.types(&device.digits()).await.unwrap();
    phone.approves_with(&asked, &approval).await.unwrap();
    assert_eq!(device.asks().await.status, 200);
    let body = json!({ "js_code": phone.logs_in().await.unwrap() });
    let opened = phone.calls(Method::POST, "session", None, &body).await.unwrap().json();
    let token = opened["token"].as_str();
    let logins = phone.calls(Method::GET, "logins", token, &json!({})).await.unwrap().json();
    let logins = logins["logins"].as_array().unwrap().clone();
    assert_eq!(logins.len(), 2);
    let mut sessions = Vec::new();
    for login in &logins {
        let login = saoma.app.store.login(login["id"].as_str().unwrap()).await.unwrap().unwrap();
        sessions.push(login.session.is_some());
    }
    assert_eq!(sessions.iter().filter(|remembered| **remembered).count(), 1, "the browser's alone");
}

#[tokio::test]
async fn the_person_ends_a_device_from_the_phone() {
    let saoma = Saoma::starts().await;
    let phone = saoma.phone("ann");
    let device = Device::begins(&saoma, "tv").await;
    phone.approves(&phone.types(&device.digits()).await.unwrap()).await.unwrap();
    let access = device.asks().await.good().unwrap()["access_token"].as_str().unwrap().to_owned();
    let body = json!({ "js_code": phone.logs_in().await.unwrap() });
    let opened = phone.calls(Method::POST, "session", None, &body).await.unwrap().json();
    let token = opened["token"].as_str();
    let logins = phone.calls(Method::GET, "logins", token, &json!({})).await.unwrap().json();
    let path = format!("logins/{}", logins["logins"][0]["id"].as_str().unwrap());
    let ended = phone.calls(Method::DELETE, &path, token, &json!({})).await.unwrap();
    assert_eq!(ended.status, 204);
    assert_eq!(saoma.site("tv").asks_who(&access).await.status, 401);
}

#[tokio::test]
async fn of_many_who_ask_at_once_one_is_given_tokens() {
    let saoma = Saoma::starts().await;
    let device = Device::begins(&saoma, "tv").await;
    let phone = saoma.phone("ann");
    phone.approves(&phone.types(&device.digits()).await.unwrap()).await.unwrap();
    let all = futures_util::future::join_all((0..20).map(|_| device.asks())).await;
    let given = all.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(given, 1);
    assert!(all.iter().all(|reply| reply.status == 200 || reply.problem() == "400 invalid_grant"));
}

#[tokio::test]
async fn a_device_waits_through_a_restart() {
    let saoma = Saoma::starts().await;
    let device = Device::begins(&saoma, "tv").await;
    let (code, digits) = (device.code().to_owned(), device.digits());
    let saoma = saoma.restarts_after(30).await;
    let phone = saoma.phone("ann");
    phone.approves(&phone.types(&digits).await.unwrap()).await.unwrap();
    assert_eq!(asks(&saoma, "tv", &code).await.status, 200);
}

#[tokio::test]
async fn digits_are_limited_for_devices_too() {
    let saoma = Saoma::starts_with(&[("SAOMA_LIMITS__DIGITS_PER_ADDRESS", "2")]).await;
    for _ in 0..2 {
        Device::begins(&saoma, "tv").await;
    }
    let third = begins(&saoma, "tv", &[]).await;
    assert_eq!(third.problem(), "429 too_many_requests");
    assert!(!third.header("retry-after").is_empty());
}

#[tokio::test]
async fn the_page_says_where_to_type_and_takes_no_digits_itself() {
    let saoma = Saoma::starts().await;
    let url = format!("{}/device?user_code=12345678", saoma.url);
    for (language, word) in [("en", "mini program"), ("zh-CN", "登录小程序")] {
        let page =
            Reply::of(saoma.http.get(&url).header("accept-language", language)).await.unwrap();
        let text = page.text();
        assert!(page.status == 200 && text.contains(word), "{text}");
        assert!(!text.contains("<input") && !text.contains("<form") && !text.contains("12345678"));
    }
    let discovery = saoma.browser().get("/.well-known/openid-configuration").await.unwrap().json();
    let endpoint = discovery["device_authorization_endpoint"].as_str().unwrap();
    assert_eq!(endpoint, format!("{}/oauth2/device_authorization", saoma.url));
    assert!(discovery["grant_types_supported"].as_array().unwrap().contains(&json!(GRANT)));
}
