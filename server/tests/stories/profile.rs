//! The mini program's own pages: where I am signed in, what I show, forget me.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Method;
use saoma::try_it::actors::{Phone, Reply};
use serde_json::{Value, json};
use wechat::pretend::Trouble;

use crate::support::Saoma;

async fn calls(phone: &Phone, method: Method, path: &str, token: &str, body: Value) -> Reply {
    phone.calls(method, path, Some(token), &body).await.unwrap()
}

async fn opens(phone: &Phone) -> String {
    let body = json!({ "js_code": phone.logs_in().await.unwrap() });
    let opened = phone.calls(Method::POST, "session", None, &body).await.unwrap().good().unwrap();
    assert_eq!(opened["expires_in"], 24 * 3600);
    opened["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_person_sees_where_they_are_signed_in_and_ends_one() {
    let saoma = Saoma::starts().await;
    let (blog, ann) = (saoma.site("blog"), saoma.phone("ann"));
    let tokens = saoma.signs_in(&saoma.browser(), &blog, &ann).await;
    let access = tokens["access_token"].as_str().unwrap();
    let token = opens(&ann).await;
    let logins = calls(&ann, Method::GET, "logins", &token, json!({})).await.json();
    let now = saoma.app.world.now().seconds();
    let id = logins["logins"][0]["id"].as_str().unwrap().to_owned();
    let expected = json!({ "logins": [{
        "id": id, "site": { "name": "My blog", "host": "blog.example.com" },
        "browser": { "name": "Firefox", "os": "Linux", "region": null }, "since": now, "last_seen": now,
    }] });
    assert_eq!(logins, expected);

    let bob = saoma.phone("bob");
    let bobs = opens(&bob).await;
    let path = format!("logins/{id}");
    assert_eq!(
        calls(&bob, Method::DELETE, &path, &bobs, json!({})).await.problem(),
        "404 not_found"
    );
    assert!(blog.asks_who(access).await.good().is_ok());

    assert_eq!(calls(&ann, Method::DELETE, &path, &token, json!({})).await.status, 204);
    assert_eq!(blog.asks_who(access).await.problem(), "401 invalid_token");
    assert_eq!(
        calls(&ann, Method::GET, "logins", &token, json!({})).await.json(),
        json!({ "logins": [] })
    );
    // A lost answer is given again, to her alone.
    for body in [json!({}), json!({ "not_me": true }), json!({ "not_me": null })] {
        assert_eq!(calls(&ann, Method::DELETE, &path, &token, body).await.status, 204);
    }
    assert_eq!(
        calls(&bob, Method::DELETE, &path, &bobs, json!({})).await.problem(),
        "404 not_found"
    );
}

#[tokio::test]
async fn who_has_signed_in_nowhere_yet_is_told_so_when_they_choose_a_name() {
    let saoma = Saoma::starts().await;
    let ann = saoma.phone("ann");
    let token = opens(&ann).await;
    let told = calls(&ann, Method::PUT, "profile", &token, json!({ "nickname": "Ann" })).await;
    assert_eq!(told.problem(), "404 nobody_yet");
}

#[tokio::test]
async fn a_login_ended_before_its_code_was_redeemed_gives_no_token() {
    let saoma = Saoma::starts().await;
    let (blog, ann, browser) = (saoma.site("blog"), saoma.phone("ann"), saoma.browser());
    let (page, asked) = saoma.scans(&browser, &blog, &ann).await;
    ann.approves(&asked).await.unwrap();
    let code = crate::support::claims(&browser, &page).await;
    let token = opens(&ann).await;
    let logins = calls(&ann, Method::GET, "logins", &token, json!({})).await.json();
    let path = format!("logins/{}", logins["logins"][0]["id"].as_str().unwrap());
    assert_eq!(calls(&ann, Method::DELETE, &path, &token, json!({})).await.status, 204);
    assert_eq!(blog.redeems(&code).await.problem(), "400 invalid_grant");
}

#[tokio::test]
async fn a_phone_token_ends_after_a_day() {
    let saoma = Saoma::starts().await;
    let ann = saoma.phone("ann");
    let token = opens(&ann).await;
    saoma.passes(24 * 3600 - 1);
    assert_eq!(calls(&ann, Method::GET, "me", &token, json!({})).await.status, 200);
    saoma.passes(1);
    assert_eq!(
        calls(&ann, Method::GET, "me", &token, json!({})).await.problem(),
        "401 unauthorized"
    );
}

#[tokio::test]
async fn a_person_shows_a_name_and_a_picture() {
    let saoma = Saoma::starts().await;
    let (blog, ann) = (saoma.site("blog"), saoma.phone("ann"));
    let profile = json!({ "scopes": ["profile"] });
    let tokens = saoma.signs_in_with(&saoma.browser(), &blog, &ann, &profile).await;
    let token = opens(&ann).await;
    let picture = png(image::RgbImage::from_pixel(40, 20, image::Rgb([200, 0, 0])));
    let sent = json!({ "nickname": "安 Ann", "avatar": picture });
    let shown = calls(&ann, Method::PUT, "profile", &token, sent).await.good().unwrap();
    assert_eq!(shown["nickname"], "安 Ann");

    let who = blog.asks_who(tokens["access_token"].as_str().unwrap()).await.json();
    assert_eq!(who["name"], "安 Ann");
    let picture = saoma.browser().get(who["picture"].as_str().unwrap()).await.unwrap();
    assert_eq!((picture.status.as_u16(), picture.header("content-type")), (200, "image/jpeg"));
    assert_eq!(picture.header("x-content-type-options"), "nosniff");
    let username = who["preferred_username"].as_str().unwrap();
    assert!(
        username.len() == 11 && username.is_ascii(),
        "never made from what was typed: {username}"
    );

    for (wrong, hint) in [
        (json!({ "nickname": "x".repeat(33) }), "nickname"),
        (json!({ "nickname": "a\u{202e}b" }), "nickname"),
        (json!({ "nickname": "a\u{0}b" }), "nickname"),
        (json!({ "avatar": "not base64!" }), "avatar"),
        (
            json!({ "avatar": STANDARD.encode("<svg xmlns='http://www.w3.org/2000/svg'/>") }),
            "avatar",
        ),
    ] {
        let refused = calls(&ann, Method::PUT, "profile", &token, wrong).await;
        assert_eq!(refused.problem(), "400 invalid_request");
        assert!(refused.json()["detail"].as_str().unwrap().contains(hint));
    }
}

#[tokio::test]
async fn a_picture_may_be_so_wide_so_high_and_so_large_and_no_more() {
    // The fourth and later of a minute are a person's, too.
    let saoma = Saoma::starts_with(&[("SAOMA_LIMITS__OFF", "true")]).await;
    let ann = saoma.phone("ann");
    saoma.signs_in(&saoma.browser(), &saoma.site("blog"), &ann).await;
    let token = opens(&ann).await;
    let shows = async |picture: String| {
        calls(&ann, Method::PUT, "profile", &token, json!({ "avatar": picture })).await
    };
    // A bomb is small until it is opened.
    for (width, height, taken) in
        [(2048, 8, true), (2049, 8, false), (8, 2048, true), (8, 2049, false)]
    {
        let said = shows(png(image::RgbImage::new(width, height))).await;
        let told = if taken { "200 " } else { "400 invalid_request" };
        assert_eq!(said.problem(), told, "{width} by {height}");
    }
    let noise = png(image::RgbImage::from_fn(320, 320, noise));
    assert!(noise.len() > 400 * 1024, "it cannot be pressed: {}", noise.len());
    assert_eq!(shows(noise).await.problem(), "200 ");
    assert_eq!(shows("A".repeat(600 * 1024)).await.problem(), "413 payload_too_large");
}

/// A picture as the mini program sends it.
fn png(picture: image::RgbImage) -> String {
    let mut written = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut written, image::ImageFormat::Png).unwrap();
    STANDARD.encode(written.into_inner())
}

/// A pixel that says nothing of its neighbours.
fn noise(x: u32, y: u32) -> image::Rgb<u8> {
    let hash = (x * 320 + y).wrapping_mul(0x9e37_79b1);
    let hash = (hash ^ (hash >> 15)).wrapping_mul(0x85eb_ca6b);
    let [red, green, blue, _] = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35).to_be_bytes();
    image::Rgb([red, green, blue])
}

#[tokio::test]
async fn a_name_is_shown_only_if_wechat_lets_it_stand() {
    // The sample of a risky text in WeChat's own documents.
    const RISKY: &str = "特3456书yuuo莞6543李zxcz蒜7782法fgnv级";
    let saoma = Saoma::starts().await;
    let ann = saoma.phone("ann");
    saoma.signs_in(&saoma.browser(), &saoma.site("blog"), &ann).await;
    let token = opens(&ann).await;
    let named = async |nickname: &str| {
        calls(&ann, Method::PUT, "profile", &token, json!({ "nickname": nickname })).await
    };
    assert_eq!(named(" Ann ").await.good().unwrap()["nickname"], "Ann");
    // Nobody looks at what WeChat leaves to people, so that it does not stand either.
    for not in [RISKY, "小明，人工复审", "\u{3164}", "An\u{34f}n"] {
        let refused = named(not).await;
        assert_eq!(refused.problem(), "400 invalid_request", "{not:?}");
        assert!(refused.json()["detail"].as_str().unwrap().contains("nickname"));
    }
    let path = "/wxa/msg_sec_check";
    saoma.wechat.pretend.trouble(Trouble::on(path).errcode(61010));
    assert_eq!(named("Anna").await.problem(), "401 unauthorized", "a fresh session mends it");
    saoma.wechat.pretend.trouble(Trouble::on(path).cut().times(3));
    assert_eq!(named("Anna").await.problem(), "502 wechat_unreachable", "unasked is unshown");
    let me = calls(&ann, Method::GET, "me", &token, json!({})).await.json();
    assert_eq!(me["person"]["nickname"], "Ann");
    let asked = saoma.wechat.pretend.count(path);
    // What WeChat calls everybody is nobody's name, and costs no call.
    assert_eq!(named("微信用户").await.good().unwrap()["nickname"], Value::Null);
    assert_eq!(saoma.wechat.pretend.count(path), asked);
}

#[tokio::test]
async fn who_is_forgotten_comes_back_as_somebody_new() {
    let saoma = Saoma::starts().await;
    let (blog, ann, bob) = (saoma.site("blog"), saoma.phone("ann"), saoma.phone("bob"));
    let sub = async || {
        let tokens = saoma.signs_in(&saoma.browser(), &blog, &ann).await;
        let access = tokens["access_token"].as_str().unwrap().to_owned();
        (blog.asks_who(&access).await.json()["sub"].clone(), access)
    };
    let (before, access) = sub().await;
    let token = opens(&ann).await;
    assert_eq!(
        calls(&ann, Method::DELETE, "me", &token, json!({})).await.problem(),
        "400 invalid_request"
    );
    let bobs = json!({ "js_code": bob.logs_in().await.unwrap() });
    assert_eq!(calls(&ann, Method::DELETE, "me", &token, bobs).await.problem(), "401 unauthorized");
    assert!(
        blog.asks_who(&access).await.good().is_ok(),
        "nothing is forgotten without a fresh proof"
    );

    let fresh = json!({ "js_code": ann.logs_in().await.unwrap() });
    assert_eq!(calls(&ann, Method::DELETE, "me", &token, fresh).await.status, 204);
    assert_eq!(blog.asks_who(&access).await.problem(), "401 invalid_token");
    assert_eq!(
        calls(&ann, Method::GET, "me", &token, json!({})).await.problem(),
        "401 unauthorized"
    );
    let (after, _) = sub().await;
    assert_ne!(before, after);
}
