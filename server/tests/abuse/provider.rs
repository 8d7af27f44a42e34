//! The provider's own addresses: requests pushed and posted, signing out, skipping the scan, saoma's own page.

use std::collections::BTreeMap;

use rusqlite::Connection;
use saoma::try_it::actors::{Browser, Reply};
use serde_json::json;

use crate::stage::{CHALLENGE, Play, is_held_back, origin};

/// An authorization request of this site, with some parameters changed; an empty one is left out.
fn request<'a>(site: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(String, String)> {
    let redirect_uri = format!("{}/cb", origin(site));
    let mut params = BTreeMap::from([
        ("client_id", site),
        ("redirect_uri", &redirect_uri),
        ("response_type", "code"),
        ("scope", "openid"),
        ("state", "s"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    params.extend(more.iter().copied());
    let kept = params.into_iter().filter(|(_, value)| !value.is_empty());
    kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

async fn posts(browser: &Browser, path: &str, form: &[(String, String)]) -> Reply {
    let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.submits(path, &form).await.unwrap()
}

fn query(form: &[(String, String)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    format!("/oauth2/authorize?{query}")
}

#[tokio::test]
async fn what_anybody_can_have_kept_is_little_and_of_use() {
    let play = Play::with(&[("SAOMA_LIMITS__TICKETS_PER_ADDRESS", "4")]).await;
    let (flood, other) = (play.browser("192.0.2.1"), play.browser("192.0.2.2"));
    // What cannot go on is answered at once and takes no room.
    let foreign = request("blog", &[("redirect_uri", "https://evil.example/")]);
    assert_eq!(posts(&flood, "/oauth2/authorize", &foreign).await.status, 400);
    let wrong = posts(&flood, "/oauth2/authorize", &request("blog", &[("scope", "profile")])).await;
    assert!(
        wrong.header("location").starts_with("https://blog.example.com/cb?error=invalid_scope")
    );
    let long = vec![("state".to_owned(), "x".repeat(20_000))];
    let long = posts(&other, "/oauth2/logout", &long).await;
    assert_eq!(long.status, 400, "a wish to sign out is no longer than a request");
    // The rest is counted, whichever door it comes by.
    let good = request("blog", &[]);
    assert_eq!(posts(&flood, "/oauth2/par", &good).await.status, 201);
    let posted = posts(&flood, "/oauth2/authorize", &good).await;
    assert!(posted.header("location").starts_with("/oauth2/authorize?client_id=blog&request_uri="));
    let mut waits = Vec::new();
    for path in ["/oauth2/authorize", "/oauth2/logout", "/oauth2/par"] {
        let held = posts(&flood, path, &good).await;
        assert_eq!(held.status, 429, "{path}");
        waits.push(held.header("retry-after").parse::<u64>().unwrap());
        assert!(path != "/oauth2/par" || held.problem() == "429 too_many_requests");
    }
    assert!(waits[0] > 5 && waits.iter().all(|wait| *wait == waits[0]), "{waits:?}");
    assert_eq!(posts(&other, "/oauth2/par", &good).await.status, 201);
    // A site that proves its secret has its own measure.
    let secret = ("client_secret", "a secret that only the bank's server knows");
    let bank = request("bank", &[secret]);
    assert_eq!(posts(&flood, "/oauth2/par", &bank).await.status, 201);
}

#[tokio::test]
async fn a_pushed_request_is_its_sites_alone_and_says_nothing_by_itself() {
    let play = Play::new().await;
    let browser = play.browser("192.0.2.1");
    let pushed = posts(&browser, "/oauth2/par", &request("blog", &[])).await.good().unwrap();
    let uri = pushed["request_uri"].as_str().unwrap();
    for (client, request_uri) in
        [("shop", uri), ("", uri), ("blog", "urn:ietf:params:oauth:request_uri:made-up")]
    {
        let form = [("client_id", client), ("request_uri", request_uri)];
        let form = form.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let refused = browser.get(&query(&form)).await.unwrap();
        assert_eq!(refused.status, 400, "{client} {request_uri}");
        assert!(refused.text().contains("request_over"), "{client} {request_uri}");
    }
    // What was pushed counts, and nothing beside it in the address.
    let form = [
        ("client_id", "blog"),
        ("request_uri", uri),
        ("scope", "openid wechat"),
        ("state", "mine"),
    ];
    let form = form.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let page = browser.opens(&query(&form)).await.unwrap();
    let phone = play.phone("ann", "192.0.2.1");
    let asked = phone.scans(&play.scene(&browser, &page.ticket).await, 1047).await.unwrap();
    assert_eq!(asked.shown["scopes"], json!([]));
    phone.approves(&asked).await.unwrap();
    let next = browser.calls(&page, "claim").await.unwrap().good().unwrap();
    assert!(next["redirect_to"].as_str().unwrap().contains("state=s&"), "{next}");
}

#[tokio::test]
async fn saomas_own_page_is_no_client() {
    let play = Play::new().await;
    let browser = play.browser("192.0.2.1");
    for (own, path) in [("saoma", "/"), ("saoma-console", "/console")] {
        let uri = format!("{}{path}", play.at.saoma);
        let form = request(own, &[("redirect_uri", &uri), ("prompt", "none")]);
        let page = browser.get(&query(&form)).await.unwrap();
        assert_eq!((page.status.as_u16(), page.text().contains("unknown_site")), (400, true));
        assert_eq!(posts(&browser, "/oauth2/par", &form).await.problem(), "401 invalid_client");
        let form = [("grant_type", "authorization_code"), ("client_id", own), ("code", "x")];
        let refused = browser.submits("/oauth2/token", &form).await.unwrap();
        assert_eq!(refused.problem(), "401 invalid_client");
        let form = [("client_id", own), ("scope", "openid")];
        let device = browser.submits("/oauth2/device_authorization", &form).await.unwrap();
        assert_eq!(device.problem(), "401 invalid_client");
        let left = browser.get(&format!("/oauth2/logout?client_id={own}")).await.unwrap();
        assert_eq!((left.status.as_u16(), left.text().contains("unknown_site")), (400, true));
        let asked = crate::stage::asks(own);
        let opened = browser.posts("/api/tickets", &asked, &play.at.saoma).await.unwrap();
        assert_eq!(opened.problem(), "403 origin_not_allowed");
    }
}

/// A browser in which Ann has signed in to the blog, and had it remembered.
async fn remembered(play: &Play) -> Browser {
    let browser = play.browser("192.0.2.1");
    let page = browser.opens(&query(&request("blog", &[]))).await.unwrap();
    let phone = play.phone("ann", "192.0.2.1");
    let asked = phone.scans(&play.scene(&browser, &page.ticket).await, 1047).await.unwrap();
    phone.approves_with(&asked, &json!({ "remember": true })).await.unwrap();
    browser.calls(&page, "claim").await.unwrap().good().unwrap();
    browser
}

#[tokio::test]
async fn who_may_skip_the_scan_may_not_do_so_without_end() {
    let play = Play::with(&[("SAOMA_LIMITS__TICKETS_PER_ADDRESS", "5")]).await;
    let browser = remembered(&play).await;
    let form = request("blog", &[]);
    for _ in 0..4 {
        assert_eq!(browser.get(&query(&form)).await.unwrap().status, 303);
    }
    let held = browser.get(&query(&form)).await.unwrap();
    assert_eq!(held.status, 429);
    assert!(held.header("retry-after").parse::<u64>().unwrap() > 0);
}

#[tokio::test]
async fn who_skips_the_scan_too_often_is_shown_a_code_and_a_silent_page_is_told_to_wait() {
    let play = Play::with(&[("SAOMA_LIMITS__SKIPS_PER_PERSON", "3")]).await;
    let mut browser = remembered(&play).await;
    let (form, silent) = (request("blog", &[]), request("blog", &[("prompt", "none")]));
    for host in 1..=3 {
        // From as many addresses as they like: it is counted against the person.
        browser.moves_to(&format!("192.0.2.{host}"));
        assert_eq!(browser.get(&query(&form)).await.unwrap().status, 303);
    }
    assert!(browser.opens(&query(&form)).await.is_ok());
    let told = browser.get(&query(&silent)).await.unwrap();
    assert!(told.header("location").contains("error=temporarily_unavailable"), "{}", told.text());
    play.app.world.advance(std::time::Duration::from_secs(20));
    let told = browser.get(&query(&silent)).await.unwrap();
    assert!(told.header("location").contains("code="), "{}", told.text());
}

/// OIDC Core 3.1.2.1: with `prompt=none` no page may be shown, and none that says what is wrong either.
#[tokio::test]
async fn who_asks_for_no_page_is_shown_none_whatever_is_wrong() {
    let play = Play::with(&[("SAOMA_LIMITS__TICKETS_PER_ADDRESS", "3")]).await;
    let browser = remembered(&play).await;
    let form = request("blog", &[("prompt", "none")]);
    let answered = async || {
        let reply = browser.get(&query(&form)).await.unwrap();
        assert_eq!(reply.status, 303, "{}", reply.text());
        reply.header("location").to_owned()
    };
    assert!(answered().await.starts_with("https://blog.example.com/cb?code="));
    let other = Connection::open(play.folder.path().join("saoma.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let away = answered().await;
    other.execute_batch("ROLLBACK").unwrap();
    let too_often = answered().await;
    for told in [away, too_often] {
        let error = "https://blog.example.com/cb?error=temporarily_unavailable&";
        assert!(told.starts_with(error) && told.contains("&state=s&iss=http"), "{told}");
    }
}

#[tokio::test]
async fn every_answer_to_a_site_says_who_gave_it() {
    let play = Play::new().await;
    let browser = play.browser("192.0.2.1");
    let iss = |address: &str| {
        let url = url::Url::parse(address).unwrap();
        assert!(url.as_str().starts_with("https://blog.example.com/cb"), "{url}");
        let found = url.query_pairs().find(|(name, _)| name == "iss");
        found.map(|(_, value)| value.into_owned())
    };
    for wrong in [
        ("scope", "profile"),
        ("response_type", "token"),
        ("response_mode", "fragment"),
        ("code_challenge", ""),
        ("code_challenge_method", "plain"),
        ("max_age", "soon"),
        ("prompt", "none login"),
        ("prompt", "none"),
        ("request", "x.y.z"),
        ("id_token_hint", "nonsense"),
    ] {
        let reply = browser.get(&query(&request("blog", &[wrong]))).await.unwrap();
        assert_eq!(reply.status, 303, "{wrong:?}");
        assert!(reply.header("location").contains("error="), "{wrong:?}");
        assert_eq!(
            iss(reply.header("location")).as_deref(),
            Some(play.at.saoma.as_str()),
            "{wrong:?}"
        );
    }
    for approves in [true, false] {
        let page = browser.opens(&query(&request("blog", &[]))).await.unwrap();
        let phone = play.phone("ann", "192.0.2.1");
        let asked = phone.scans(&play.scene(&browser, &page.ticket).await, 1047).await.unwrap();
        let decided =
            if approves { phone.approves(&asked).await } else { phone.denies(&asked).await };
        decided.unwrap();
        let next = browser.calls(&page, "claim").await.unwrap().good().unwrap();
        let next = next["redirect_to"].as_str().unwrap();
        assert_eq!(iss(next).as_deref(), Some(play.at.saoma.as_str()), "{next}");
    }
}

#[tokio::test]
async fn no_address_in_a_request_is_ever_fetched() {
    let play = Play::new().await;
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let url = format!("http://{}/trap", trap.local_addr().unwrap());
    let browser = play.browser("192.0.2.1");
    for name in [
        "request_uri",
        "request",
        "redirect_uri",
        "logo_uri",
        "jwks_uri",
        "sector_identifier_uri",
        "client_id",
        "login_hint",
        "resource",
        "post_logout_redirect_uri",
    ] {
        let form = request("blog", &[(name, &url)]);
        browser.get(&query(&form)).await.unwrap();
        posts(&browser, "/oauth2/authorize", &form).await;
        posts(&browser, "/oauth2/par", &form).await;
        posts(&browser, "/oauth2/token", &form).await;
        browser.get(&query(&form).replace("authorize", "logout")).await.unwrap();
    }
    let knocked = trap.accept();
    assert_eq!(knocked.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody fetched it");
}

#[tokio::test]
async fn tokens_that_strangers_hand_in_shut_no_site_out() {
    let play = Play::with(&[("SAOMA_LIMITS__WRONG_SECRETS_PER_ADDRESS", "3")]).await;
    // The site's own server, which asks about whatever its visitors bring.
    let http = reqwest::Client::new();
    for n in 0..10 {
        let who = http.get(format!("{}/oauth2/userinfo", play.at.saoma));
        let who = who.header("x-forwarded-for", "192.0.2.1").bearer_auth(format!("made-up-{n}"));
        assert_eq!(Reply::of(who).await.unwrap().problem(), "401 invalid_token");
    }
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "bank"),
        ("client_secret", "a secret that only the bank's server knows"),
        ("code", "made-up"),
    ];
    let redeemed = play.browser("192.0.2.1").submits("/oauth2/token", &form).await.unwrap();
    assert_eq!(redeemed.problem(), "400 invalid_grant");
}

#[tokio::test]
async fn nobody_is_signed_out_by_a_page_that_is_not_saomas() {
    let play = Play::new().await;
    let browser = play.browser("192.0.2.1");
    let page = browser.opens("/login").await.unwrap();
    let phone = play.phone("ann", "192.0.2.1");
    let asked = phone.scans(&play.scene(&browser, &page.ticket).await, 1047).await.unwrap();
    phone.approves(&asked).await.unwrap();
    browser.calls(&page, "claim").await.unwrap().good().unwrap();
    let home = async || browser.get("/").await.unwrap().text();
    let (_, rest) =
        home().await.split_once("/logins/").map(|(a, b)| (a.len(), b.to_owned())).unwrap();
    let login = rest.split('/').next().unwrap().to_owned();
    for path in [
        "/sign-out".to_owned(),
        format!("/logins/{login}/end"),
        "/oauth2/logout/confirm".to_owned(),
    ] {
        for foreign in ["https://evil.example", "https://blog.example.com", "null"] {
            let refused = browser.posts(&path, &json!({}), foreign).await.unwrap();
            assert_eq!(refused.status, 403, "{path} from {foreign}");
        }
        let got = browser.get(&path).await.unwrap();
        assert_eq!(got.status, 405, "{path}");
        assert!(got.text().contains("method_not_allowed"), "{path} is a page for people");
    }
    assert!(home().await.contains("/sign-out"), "still signed in");
    assert_eq!(browser.submits("/sign-out", &[]).await.unwrap().status, 303);
    assert!(!home().await.contains("/sign-out"));
}

#[tokio::test]
async fn who_opens_page_after_page_by_get_is_held_too() {
    let play = Play::with(&[("SAOMA_LIMITS__TICKETS_PER_ADDRESS", "2")]).await;
    let browser = play.browser("192.0.2.1");
    for _ in 0..2 {
        assert_eq!(browser.get(&query(&request("blog", &[]))).await.unwrap().status, 200);
    }
    assert_eq!(browser.get(&query(&request("blog", &[]))).await.unwrap().status, 429);
    is_held_back(&play.opens(&browser, "blog").await);
}

#[tokio::test]
async fn a_hint_speaks_to_the_site_it_was_made_for_and_to_no_other() {
    let play = Play::new().await;
    let browser = play.browser("192.0.2.1");
    let page = browser.opens(&query(&request("blog", &[]))).await.unwrap();
    let phone = play.phone("ann", "192.0.2.1");
    let asked = phone.scans(&play.scene(&browser, &page.ticket).await, 1047).await.unwrap();
    phone.approves(&asked).await.unwrap();
    let next = browser.calls(&page, "claim").await.unwrap().good().unwrap();
    let next = url::Url::parse(next["redirect_to"].as_str().unwrap()).unwrap();
    let code = next.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "blog"),
        ("code", &code),
        ("redirect_uri", "https://blog.example.com/cb"),
        ("code_verifier", crate::stage::VERIFIER),
    ];
    let tokens = browser.submits("/oauth2/token", &form).await.unwrap().good().unwrap();
    let hint = ("id_token_hint", tokens["id_token"].as_str().unwrap());
    let own = browser.get(&query(&request("blog", &[hint]))).await.unwrap();
    assert_eq!(own.status, 200, "its own site may say whom it means");
    let foreign = browser.get(&query(&request("shop", &[hint]))).await.unwrap();
    assert!(foreign.header("location").contains("error=invalid_request"), "{:?}", foreign.headers);
}
