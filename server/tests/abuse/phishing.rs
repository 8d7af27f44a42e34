//! Making somebody approve what is not theirs: links, digits and pictures that were sent, nearness that is only claimed.

use reqwest::{Client, Method, StatusCode};
use saoma::try_it::actors::{Browser, Page, Reply};
use serde_json::{Value, json};

use crate::stage::{Play, origin};

const ANDROID: &str = "Mozilla/5.0 (Linux; Android 15; Pixel) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36";

#[tokio::test]
async fn a_link_into_somebody_elses_sign_in_opens_nothing() {
    let play = Play::new().await;
    let (attacker, victim) = (play.browser("192.0.2.1"), play.browser("198.51.100.1"));
    let (page, scene) = play.page(&attacker).await;
    let phone = play.phone("mallory", "192.0.2.1");
    phone.approves(&phone.scans(&scene, 1047).await.unwrap()).await.unwrap();
    for path in [
        format!("/tickets/{}/answer", page.ticket),
        format!("/api/tickets/{}", page.ticket),
        format!("/api/tickets/{}/code", page.ticket),
        format!("/api/tickets/{}/events", page.ticket),
    ] {
        let reply = victim.get(&path).await.unwrap();
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(reply.header("set-cookie"), "", "{path}");
        assert_eq!(reply.header("location"), "", "{path}");
    }
    let claimed = victim.calls(&page, "claim").await.unwrap();
    assert_eq!(claimed.problem(), "404 no_such_ticket");
    let (own, _) = play.page(&victim).await;
    assert_ne!(own.ticket, page.ticket, "the same address shows everybody a ticket of their own");
}

#[tokio::test]
async fn a_session_that_somebody_planted_is_not_the_one_that_a_sign_in_gives() {
    let play = Play::new().await;
    let http = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let planted = "p".repeat(43);
    let cookies = format!("saoma={planted}; saoma-session={planted}");
    let page = http.get(format!("{}/login", play.at.saoma)).header("cookie", &cookies);
    let page = Reply::of(page).await.unwrap().text();
    let (_, rest) = page.split_once("ticket=\"").unwrap();
    let ticket = rest.split('"').next().unwrap();
    let code = http.get(format!("{}/api/tickets/{ticket}/code", play.at.saoma));
    let code = Reply::of(code.header("cookie", &cookies)).await.unwrap();
    let text = saoma::try_it::actors::read_qr(&code.body).unwrap();
    let scene = saoma::try_it::actors::scene_in(&text).unwrap();
    let phone = play.phone("ann", "127.0.0.1");
    phone.approves(&phone.scans(&scene, 1047).await.unwrap()).await.unwrap();
    let claim = http.post(format!("{}/api/tickets/{ticket}/claim", play.at.saoma));
    let claim = claim.header("cookie", &cookies).header("origin", &play.at.saoma).json(&json!({}));
    let claimed = Reply::of(claim).await.unwrap();
    let session = claimed.header("set-cookie").split(['=', ';']).nth(1).unwrap().to_owned();
    assert_eq!(session.len(), 43);
    assert_ne!(session, planted);
    let home = async |session: &str| {
        let request = http.get(format!("{}/", play.at.saoma));
        let cookies = format!("saoma={planted}; saoma-session={session}");
        Reply::of(request.header("cookie", cookies)).await.unwrap().text()
    };
    assert!(home(&session).await.contains("/sign-out"));
    assert!(!home(&planted).await.contains("/sign-out"), "who planted it is not signed in");
}

/// An embedded page asks for digits, and this phone types them.
async fn typed(play: &Play, browser: &Browser, phone_at: &str) -> Value {
    let (ticket, key) = play.ticket(browser, "blog").await;
    let path = format!("/api/tickets/{ticket}/digits");
    let made = browser.posts(&path, &json!({ "key": key }), &origin("blog")).await.unwrap();
    let digits = made.good().unwrap()["digits"].as_str().unwrap().to_owned();
    play.phone("ann", phone_at).types(&digits).await.unwrap().shown
}

#[tokio::test]
async fn digits_read_out_by_somebody_elsewhere_ask_for_the_number_on_the_page() {
    let play = Play::new().await;
    let browser = play.browser("192.0.2.1");
    let here = typed(&play, &browser, "192.0.2.1").await;
    assert_eq!((&here["ask"], &here["risk"]), (&json!("tap"), &json!("low")));
    let elsewhere = typed(&play, &browser, "198.51.100.1").await;
    assert_eq!((&elsewhere["ask"], &elsewhere["risk"]), (&json!("match"), &json!("raised")));
    assert!(elsewhere["why"].to_string().contains("other_network"));
}

/// What is asked of a phone that pressed long on the code of a page that says it is on the phone.
async fn pressed_long(play: &Play, forwarded: Option<&str>) -> Value {
    let mut browser = Browser::calling_itself(&play.at.saoma, ANDROID).unwrap();
    if let Some(forwarded) = forwarded {
        browser.moves_to(forwarded);
    }
    let (_, scene) = play.page(&browser).await;
    let js_code = play.phone("ann", "127.0.0.1").logs_in().await.unwrap();
    let body = json!({ "js_code": js_code, "entry": 1048, "protocol": 1 });
    let url = format!("{}/api/phone/tickets/{scene}/scan", play.at.saoma);
    let request = Client::new().post(url).header("user-agent", ANDROID).json(&body);
    let request = match forwarded {
        Some(forwarded) => request.header("x-forwarded-for", forwarded),
        None => request,
    };
    Reply::of(request).await.unwrap().good().unwrap()
}

#[tokio::test]
async fn behind_a_proxy_that_the_settings_do_not_name_nobody_is_near() {
    let direct = Play::exactly(&[]).await;
    let near = pressed_long(&direct, None).await;
    assert_eq!((&near["kind"], &near["ask"]), (&json!("on_phone"), &json!("tap")));
    // All callers have the proxy's address: that phone and page share it says nothing.
    let proxied = pressed_long(&direct, Some("203.0.113.9")).await;
    assert_eq!(proxied["browser"]["same_network"], json!(false));
    assert_eq!(proxied["ask"], "match");
    // The same of a trusted proxy that does not say for whom it speaks.
    let silent = pressed_long(&Play::new().await, None).await;
    assert_eq!(
        (&silent["browser"]["same_network"], &silent["ask"]),
        (&json!(false), &json!("match"))
    );
}

#[tokio::test]
async fn what_the_phone_reports_cannot_be_milder_than_the_worst_it_reported() {
    let play = Play::new().await;
    let browser = play.browser("192.0.2.1");
    let phone = play.phone("ann", "192.0.2.1");
    let (page, scene) = play.page(&browser).await;
    assert_eq!(phone.scans(&scene, 1007).await.unwrap().shown["ask"], "refuse");
    let digits = browser.calls(&page, "digits").await.unwrap();
    assert_eq!(digits.problem(), "409 already_scanned", "digits are no way round a refusal");
    for entry in [1048, 1047, 1011] {
        let again = phone.scans(&scene, entry).await.unwrap();
        assert_eq!(
            (&again.shown["ask"], &again.shown["risk"]),
            (&json!("refuse"), &json!("raised"))
        );
        assert!(again.shown["why"].to_string().contains("card"));
        assert_eq!(phone.approves(&again).await.unwrap_err(), "403 refused");
    }
}

#[tokio::test]
async fn one_scan_signs_in_one_browser_and_no_other() {
    let play = Play::new().await;
    let mut pages: Vec<(Browser, Page)> = Vec::new();
    let mut scenes = Vec::new();
    for n in 1..=8 {
        let browser = play.browser(&format!("192.0.2.{n}"));
        let (page, scene) = play.page(&browser).await;
        pages.push((browser, page));
        scenes.push(scene);
    }
    let phone = play.phone("ann", "192.0.2.3");
    phone.approves(&phone.scans(&scenes[2], 1047).await.unwrap()).await.unwrap();
    for (n, (browser, page)) in pages.iter().enumerate() {
        let claimed = browser.calls(page, "claim").await.unwrap();
        let expected = if n == 2 { StatusCode::OK } else { StatusCode::CONFLICT };
        assert_eq!(claimed.status, expected, "page {n}");
    }
}

#[tokio::test]
async fn what_goes_back_to_a_site_is_code_state_and_iss_alone() {
    let play = Play::new().await;
    let browser = play.browser("192.0.2.1");
    let phone = play.phone("ann", "192.0.2.1");
    let (ticket, key) = play.ticket(&browser, "blog").await;
    let asked = phone.scans(&play.scene(&browser, &ticket).await, 1047).await.unwrap();
    phone.approves_with(&asked, &json!({ "scopes": ["profile"] })).await.unwrap();
    let path = format!("/api/tickets/{ticket}/claim");
    let claimed = browser.posts(&path, &json!({ "key": key }), &origin("blog")).await.unwrap();
    let claimed = claimed.good().unwrap();
    let names: Vec<_> = claimed["params"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["code", "iss", "state"]);
    let url = url::Url::parse(claimed["redirect_to"].as_str().unwrap()).unwrap();
    let query: Vec<_> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(query, ["code", "state", "iss"]);
}

#[tokio::test]
async fn two_people_of_one_name_are_two_accounts() {
    let play = Play::new().await;
    let mut seen = Vec::new();
    for person in ["ann", "mallory"] {
        let phone = play.phone(person, "192.0.2.1");
        let browser = play.browser("192.0.2.1");
        let access = play.signs_in(&browser, &phone, "blog").await;
        let session = play.session(&phone).await;
        let name = json!({ "nickname": "Ann" });
        let named = phone.calls(Method::PUT, "profile", Some(&session), &name).await.unwrap();
        assert_eq!(named.status, 200, "{}", named.text());
        let who = Client::new().get(format!("{}/oauth2/userinfo", play.at.saoma));
        seen.push(Reply::of(who.bearer_auth(access)).await.unwrap().json());
    }
    assert_eq!((&seen[0]["name"], &seen[1]["name"]), (&json!("Ann"), &json!("Ann")));
    for claim in ["sub", "preferred_username"] {
        assert_ne!(seen[0][claim], seen[1][claim], "{claim}");
    }
}
