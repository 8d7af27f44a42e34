//! What a phone may do, and what it is told: who was first, what is asked of it, what its token is good for.

use reqwest::Method;
use saoma::{
    secret::Hashed,
    try_it::actors::{Asked, Phone},
};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::support::{Saoma, claims, goes_next, param, sees_to_the_end};

#[tokio::test]
async fn the_first_phone_keeps_the_ticket() {
    let saoma = Saoma::starts().await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    let (ann, bob) = (saoma.phone("ann"), saoma.phone("bob"));
    let (page, asked) = saoma.scans(&browser, &blog, &ann).await;
    assert_eq!(bob.scans(&asked.scene, 1047).await.unwrap_err(), "409 taken_by_another_phone");
    ann.approves_with(&asked, &json!({ "scopes": ["wechat"] })).await.unwrap();
    let tokens = blog.redeems(&claims(&browser, &page).await).await.good().unwrap();
    let who = blog.asks_who(tokens["access_token"].as_str().unwrap()).await.json();
    assert_eq!(who["wechat_openid"], saoma.wechat.pretend.openid("ann"));
}

#[tokio::test]
async fn the_same_person_scans_again_and_the_old_token_dies() {
    let saoma = Saoma::starts().await;
    let phone = saoma.phone("ann");
    let (_, first) = saoma.scans(&saoma.browser(), &saoma.site("blog"), &phone).await;
    let second = phone.scans(&first.scene, 1047).await.unwrap();
    assert_ne!(first.token, second.token);
    assert_eq!(phone.approves(&first).await.unwrap_err(), "401 unauthorized");
    phone.approves(&second).await.unwrap();
}

#[tokio::test]
async fn what_is_decided_stays_decided() {
    let saoma = Saoma::starts().await;
    let (blog, ann, bob) = (saoma.site("blog"), saoma.phone("ann"), saoma.phone("bob"));

    let (_, asked) = saoma.scans(&saoma.browser(), &blog, &ann).await;
    ann.approves(&asked).await.unwrap();
    ann.approves(&asked).await.expect("a lost reply may be asked for again");
    assert_eq!(ann.denies(&asked).await.unwrap_err(), "409 already_decided");
    assert_eq!(ann.scans(&asked.scene, 1047).await.unwrap_err(), "409 already_decided");
    assert_eq!(bob.scans(&asked.scene, 1047).await.unwrap_err(), "409 taken_by_another_phone");

    let (_, asked) = saoma.scans(&saoma.browser(), &blog, &ann).await;
    ann.denies(&asked).await.unwrap();
    ann.denies(&asked).await.expect("a lost reply may be asked for again");
    assert_eq!(ann.approves(&asked).await.unwrap_err(), "409 already_decided");
    assert_eq!(ann.scans(&asked.scene, 1047).await.unwrap_err(), "409 already_decided");
}

#[tokio::test]
async fn a_page_hears_of_a_yes_whose_phone_hung_up_before_the_answer() {
    let saoma = Saoma::starts().await;
    let browser = saoma.browser();
    let (page, asked) = saoma.scans(&browser, &saoma.site("blog"), &saoma.phone("ann")).await;
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(watch.sees_state().await.unwrap(), "scanned");
    let mut line = TcpStream::connect(saoma.url.trim_start_matches("http://")).await.unwrap();
    let Asked { scene, token, .. } = &asked;
    let yes = format!(
        "POST /api/phone/tickets/{scene}/approve HTTP/1.1\r\nhost: saoma\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    line.write_all(yes.as_bytes()).await.unwrap();
    drop(line);
    assert_eq!(sees_to_the_end(&mut watch).await, ["approved", "closed 1000"]);
}

#[tokio::test]
async fn a_yes_that_is_repeated_lets_the_page_look_again() {
    let saoma = Saoma::starts().await;
    let phone = saoma.phone("ann");
    let (page, asked) = saoma.scans(&saoma.browser(), &saoma.site("blog"), &phone).await;
    phone.approves(&asked).await.unwrap();
    // The node that wrote it down may have died before it said so.
    let mut watcher = saoma.app.waiting.watch(Hashed::of(&page.ticket));
    phone.approves(&asked).await.unwrap();
    assert!(futures_util::poll!(std::pin::pin!(watcher.nudged())).is_ready());
}

#[tokio::test]
async fn a_token_is_good_for_one_ticket_and_one_purpose() {
    let saoma = Saoma::starts().await;
    let (blog, phone) = (saoma.site("blog"), saoma.phone("ann"));
    let (_, one) = saoma.scans(&saoma.browser(), &blog, &phone).await;
    let (_, other) = saoma.scans(&saoma.browser(), &blog, &phone).await;
    let fresh = json!({ "js_code": phone.logs_in().await.unwrap() });
    let session = phone.calls(Method::POST, "session", None, &fresh).await.unwrap().good().unwrap();
    let session = session["token"].as_str().unwrap();
    for (whose, token) in [
        ("nobody's", None),
        ("a made-up one", Some("no token of anybody")),
        ("that of another ticket", Some(other.token.as_str())),
        ("that of the mini program's own pages", Some(session)),
    ] {
        for verb in ["approve", "deny"] {
            let path = format!("tickets/{}/{verb}", one.scene);
            let refused = phone.calls(Method::POST, &path, token, &json!({})).await.unwrap();
            assert_eq!(refused.problem(), "401 unauthorized", "{verb} with {whose}");
            assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"saoma\"");
        }
    }
    for path in ["logins", "me"] {
        let refused = phone.calls(Method::GET, path, Some(&one.token), &json!({})).await.unwrap();
        assert_eq!(refused.problem(), "401 unauthorized", "{path} with the token of a ticket");
    }
    phone.approves(&one).await.unwrap();
}

#[tokio::test]
async fn nobody_approves_what_nobody_has_scanned() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    let path = format!("tickets/{}/approve", saoma.scene(&page.ticket).await);
    let refused = phone.calls(Method::POST, &path, Some("a token"), &json!({})).await.unwrap();
    assert_eq!(refused.problem(), "401 unauthorized");
    let state = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
    assert_eq!(state["state"], "waiting");
}

#[tokio::test]
async fn who_somebody_is_says_wechat_and_never_the_request() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("mallory"));
    let page = browser.opens(&blog.asks()).await.unwrap();
    let victim = saoma.wechat.pretend.openid("ann");
    let scene = saoma.scene(&page.ticket).await;
    let forged = json!({
        "js_code": phone.logs_in().await.unwrap(), "entry": 1047, "protocol": 1,
        "openid": victim, "unionid": victim, "userId": victim, "identity": { "openid": victim },
    });
    let path = format!("tickets/{scene}/scan?openid={victim}");
    let asked = phone.calls(Method::POST, &path, None, &forged).await.unwrap().good().unwrap();
    let token = asked["token"].as_str().unwrap();
    let forged = json!({ "openid": victim, "scopes": ["wechat"] });
    let path = format!("tickets/{scene}/approve");
    phone.calls(Method::POST, &path, Some(token), &forged).await.unwrap().good().unwrap();
    let tokens = blog.redeems(&claims(&browser, &page).await).await.good().unwrap();
    let who = blog.asks_who(tokens["access_token"].as_str().unwrap()).await.json();
    assert_eq!(who["wechat_openid"], saoma.wechat.pretend.openid("mallory"));
}

#[tokio::test]
async fn a_code_out_of_the_chat_asks_for_the_number_on_the_page() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    let page = browser.opens(&blog.asks()).await.unwrap();
    let mut watch = browser.watches(&page).await.unwrap();
    assert!(watch.sees().await.unwrap().get("match").is_none(), "no number before the scan");

    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1048).await.unwrap();
    assert_eq!((&asked.shown["ask"], &asked.shown["risk"]), (&json!("match"), &json!("raised")));
    assert_eq!(asked.shown["why"][0], "long_press");
    assert!(asked.shown.get("match").is_none(), "the phone is not told the number");
    let number = watch.sees().await.unwrap()["match"].as_str().unwrap().to_owned();
    assert!(number.len() == 2 && number.chars().all(|c| c.is_ascii_digit()), "{number}");

    for none in
        [json!({}), json!({ "match": null }), json!({ "match": "" }), json!({ "match": "  " })]
    {
        let refused = phone.approves_with(&asked, &none).await;
        assert_eq!(refused.unwrap_err(), "400 match_required", "{none}");
    }
    let state = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
    assert_eq!(
        (&state["state"], &state["match"]),
        (&json!("scanned"), &json!(number)),
        "nothing changes"
    );

    let spaced = json!({ "match": format!(" {number}\n") });
    phone.approves_with(&asked, &spaced).await.expect("what is around a number does not count");
    assert_eq!(watch.sees_state().await.unwrap(), "approved");
    assert!(blog.redeems(&claims(&browser, &page).await).await.good().is_ok());
}

#[tokio::test]
async fn a_wrong_number_denies_at_once() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1049).await.unwrap();
    let mut watch = browser.watches(&page).await.unwrap();
    let shown = watch.sees().await.unwrap()["match"].as_str().unwrap().to_owned();
    let wrong = if shown == "00" { "01" } else { "00" };
    let refused = phone.approves_with(&asked, &json!({ "match": wrong })).await;
    assert_eq!(refused.unwrap_err(), "403 wrong_match");
    assert_eq!(sees_to_the_end(&mut watch).await, ["denied", "closed 1000"]);
    let second = phone.approves_with(&asked, &json!({ "match": shown })).await;
    assert_eq!(second.unwrap_err(), "403 wrong_match", "there is no second try");
    let why = param(&goes_next(&browser, &page).await, "error_description");
    assert_eq!(why, "the number typed on the phone was not the one on the page");
    assert_eq!(phone.denies(&asked).await.unwrap_err(), "409 already_decided");
}

#[tokio::test]
async fn how_the_code_was_opened_decides_what_is_asked() {
    // One person scans more in a moment here than anybody may.
    let saoma = Saoma::starts_with(&[("SAOMA_LIMITS__OFF", "true")]).await;
    let phone = saoma.phone("ann");
    // Two sign-ins before, so that at the bank neither browser nor site is new.
    let browser = saoma.browser();
    for site in ["bank", "blog", "guestbook"] {
        let (site, number) = (saoma.site(site), "none");
        let page = browser.opens(&site.asks()).await.unwrap();
        let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
        let state = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
        let number = state["match"].as_str().unwrap_or(number);
        phone.approves_with(&asked, &json!({ "match": number })).await.unwrap();
    }
    for (entry, low, normal, high) in [
        (json!(1047), "tap", "tap", "tap"),
        (json!(1011), "tap", "tap", "tap"),
        (json!("camera"), "tap", "tap", "tap"),
        (json!(1048), "match", "match", "refuse"),
        (json!(1012), "match", "match", "refuse"),
        (json!(1049), "match", "match", "refuse"),
        (json!(1001), "match", "match", "refuse"),
        (json!("anything else"), "match", "match", "refuse"),
        (Value::Null, "match", "match", "refuse"),
        (json!(-1), "match", "match", "refuse"),
        (json!(99_999_999_999_u64), "match", "match", "refuse"),
        (json!(1047.5), "match", "match", "refuse"),
        (json!(1007), "match", "refuse", "refuse"),
        (json!(1096), "match", "refuse", "refuse"),
    ] {
        for (site, ask) in [("guestbook", low), ("blog", normal), ("bank", high)] {
            let page = browser.opens(&saoma.site(site).asks()).await.unwrap();
            let shown = scans_by(&saoma, &phone, &page.ticket, &entry).await;
            assert_eq!(shown.unwrap()["ask"], ask, "{entry} at {site}");
        }
    }
}

/// A scan that says of its entry whatever it likes.
async fn scans_by(
    saoma: &Saoma,
    phone: &Phone,
    ticket: &str,
    entry: &Value,
) -> Result<Value, String> {
    let path = format!("tickets/{}/scan", saoma.scene(ticket).await);
    let body = json!({ "js_code": phone.logs_in().await.unwrap(), "entry": entry, "protocol": 1 });
    phone.calls(Method::POST, &path, None, &body).await.unwrap().good()
}

#[tokio::test]
async fn a_forwarded_card_can_be_denied_but_not_approved() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1007).await.unwrap();
    assert_eq!(asked.shown["ask"], "refuse");
    for body in [json!({}), json!({ "match": "00" })] {
        assert_eq!(phone.approves_with(&asked, &body).await.unwrap_err(), "403 refused");
    }
    let state = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
    assert_eq!(state["state"], "scanned");

    let milder = phone.scans(&asked.scene, 1047).await.unwrap();
    assert_eq!(milder.shown["ask"], "refuse", "a milder second scan launders nothing");
    assert_eq!(phone.approves(&milder).await.unwrap_err(), "403 refused");
    phone.denies(&milder).await.unwrap();
}

#[tokio::test]
async fn a_robot_takes_no_ticket_and_costs_no_call() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    for entry in [1129, 1030, 1101, 1203] {
        let refused = scans_by(&saoma, &phone, &page.ticket, &json!(entry)).await;
        assert_eq!(refused.unwrap_err(), "404 no_such_ticket", "{entry}");
    }
    assert_eq!(saoma.wechat.pretend.count("/sns/jscode2session"), 0);
    assert!(scans_by(&saoma, &phone, &page.ticket, &json!(1047)).await.is_ok());
}

#[tokio::test]
async fn an_unknown_scene_costs_no_call() {
    let saoma = Saoma::starts().await;
    let phone = saoma.phone("ann");
    let refused = phone.scans("0000000000000000000000", 1047).await;
    assert_eq!(refused.unwrap_err(), "404 no_such_ticket");
    assert_eq!(saoma.wechat.pretend.count("/sns/jscode2session"), 0);
}

#[tokio::test]
async fn the_number_may_be_asked_for_always_or_never() {
    for (setting, camera, album) in [("always", "match", "match"), ("never", "tap", "tap")] {
        let saoma = Saoma::starts_with(&[("SAOMA_TICKET__MATCH", setting)]).await;
        let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
        for (entry, ask) in [(1047, camera), (1049, album)] {
            let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
            let asked = phone.scans(&saoma.scene(&page.ticket).await, entry).await.unwrap();
            assert_eq!(asked.shown["ask"], ask, "{setting}, {entry}");
        }
    }
}

#[tokio::test]
async fn digits_are_typed_where_nothing_can_be_scanned() {
    let saoma = Saoma::starts().await;
    let (blog, phone) = (saoma.site("blog"), saoma.phone("ann"));
    let element = blog.embeds().await;
    saoma.passes(20);
    let made = element.calls("digits").await.good().unwrap();
    assert_eq!(made["expires_in"], 100);
    let digits = made["digits"].as_str().unwrap();
    assert!(digits.len() == 8 && digits.chars().all(|c| c.is_ascii_digit()), "{digits}");
    assert_eq!(element.calls("digits").await.json(), made, "the same ones when asked again");

    let (first, last) = digits.split_at(4);
    let asked = phone.types(&format!("{first}-{last}")).await.unwrap();
    assert_eq!(asked.shown["ask"], "tap");
    let late = saoma.phone("bob").types(&format!("{first} {last}")).await;
    assert_eq!(late.unwrap_err(), "409 taken_by_another_phone");
    phone.approves(&asked).await.unwrap();
    let claimed = element.calls("claim").await.good().unwrap();
    assert!(blog.redeems(claimed["params"]["code"].as_str().unwrap()).await.good().is_ok());
}

#[tokio::test]
async fn five_wrong_tries_end_the_guessing_even_where_limits_are_off() {
    let saoma = Saoma::starts_with(&[("SAOMA_LIMITS__OFF", "true")]).await;
    let (ann, bob) = (saoma.phone("ann"), saoma.phone("bob"));
    let digits = async || {
        let element = saoma.site("blog").embeds().await;
        element.calls("digits").await.json()["digits"].as_str().unwrap().to_owned()
    };
    let right = digits().await;
    let wrong = if right == "00000000" { "00000001" } else { "00000000" };
    for _ in 0..4 {
        assert_eq!(ann.types(wrong).await.unwrap_err(), "404 no_such_ticket");
    }
    ann.types(&digits().await).await.expect("right ones do not count");
    assert_eq!(ann.types(wrong).await.unwrap_err(), "404 no_such_ticket");
    assert_eq!(ann.types(&right).await.unwrap_err(), "429 too_many_requests");
    let body = json!({ "js_code": ann.logs_in().await.unwrap() });
    let refused =
        ann.calls(Method::POST, &format!("codes/{right}/scan"), None, &body).await.unwrap();
    assert_eq!(refused.header("retry-after"), "600");

    bob.types(&right).await.expect("it is one person's limit, not everybody's");
    saoma.passes(600);
    ann.types(&digits().await).await.expect("ten minutes later there are five more");
}

#[tokio::test]
async fn a_page_on_the_phone_is_believed_only_where_network_and_system_agree() {
    let saoma = Saoma::starts().await;
    let android = "Mozilla/5.0 (Linux; Android 15; Pixel) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36";
    let browser = saoma::try_it::actors::Browser::calling_itself(&saoma.url, android).unwrap();
    for (phone_is, ask) in [(android, "tap"), ("MicroMessenger/8.0 (iPhone; iOS 19)", "match")] {
        let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
        let url =
            format!("{}/api/phone/tickets/{}/scan", saoma.url, saoma.scene(&page.ticket).await);
        let js_code = saoma.phone("ann").logs_in().await.unwrap();
        let body = json!({ "js_code": js_code, "entry": 1048, "protocol": 1 });
        let request = saoma.http.post(url).header("user-agent", phone_is).json(&body);
        let shown = saoma::try_it::actors::Reply::of(request).await.unwrap().good().unwrap();
        assert_eq!(
            (&shown["kind"], &shown["ask"]),
            (&json!("on_phone"), &json!(ask)),
            "{phone_is}"
        );
    }
}

#[tokio::test]
async fn a_mini_program_too_old_is_told_to_update() {
    let saoma = Saoma::starts().await;
    let phone = saoma.phone("ann");
    let body = json!({ "js_code": phone.logs_in().await.unwrap(), "entry": 1047, "protocol": 0 });
    let refused = phone.calls(Method::POST, "tickets/x/scan", None, &body).await.unwrap();
    assert_eq!(refused.problem(), "426 update_required");
}

#[tokio::test]
async fn other_websites_cannot_use_the_phones_calls() {
    let saoma = Saoma::starts().await;
    let phone = saoma.phone("ann");
    let (_, asked) = saoma.scans(&saoma.browser(), &saoma.site("blog"), &phone).await;
    let url = format!("{}/api/phone/tickets/{}/approve", saoma.url, asked.scene);
    for origin in [saoma.url.as_str(), "https://blog.example.com", "https://evil.example"] {
        let preflight = saoma.http.request(Method::OPTIONS, &url).header("origin", origin);
        let preflight =
            preflight.header("access-control-request-method", "POST").send().await.unwrap();
        assert!(!preflight.headers().contains_key("access-control-allow-origin"), "{origin}");
    }
    let form = saoma.http.post(&url).bearer_auth(&asked.token).form(&[("remember", "true")]);
    assert_eq!(form.send().await.unwrap().status(), 415, "what a form can send is not taken");
    let plain = saoma
        .http
        .post(&url)
        .bearer_auth(&asked.token)
        .header("content-type", "text/plain")
        .body("{}");
    assert_eq!(plain.send().await.unwrap().status(), 415);
    let cookie =
        saoma.http.post(&url).header("cookie", format!("saoma={}", asked.token)).json(&json!({}));
    assert_eq!(cookie.send().await.unwrap().status(), 401, "a token counts in its header alone");
}
