//! What a person sees of themselves on saoma's own page, takes along, and deletes.

use saoma::try_it::actors::{Browser, Reply};
use serde_json::{Value, json};

use crate::{
    remember::signs_in_at_home,
    support::{Saoma, goes_next},
};

/// Whether somebody is signed in at home in this browser.
async fn knows(browser: &Browser) -> bool {
    !browser.get("/").await.unwrap().text().contains("href=\"/login\"")
}

/// Whether the page that asks shows the button that deletes.
async fn offers(browser: &Browser) -> bool {
    let page = browser.get("/forget").await.unwrap();
    assert_eq!(page.status, 200);
    let (form, scan) =
        (page.text().contains("action=\"/forget\""), page.text().contains("/forget/scan"));
    assert_ne!(form, scan, "one of the two: {}", page.text());
    form
}

#[tokio::test]
async fn a_browser_that_does_not_say_what_it_is_has_no_foreign_word_for_a_name_at_home() {
    let saoma = Saoma::starts().await;
    let firefox = "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0";
    for (agent, told) in [
        ("Something of my own", "<p>unknown browser or device</p>"),
        ("Mozilla/5.0 (Windows NT 10.0)", "<p>Windows 10</p>"),
        (firefox, "<p>Firefox · Windows 10</p>"),
    ] {
        let browser = Browser::calling_itself(&saoma.url, agent).unwrap();
        signs_in_at_home(&saoma, &browser, &saoma.phone("ann")).await;
        let home = browser.get("/").await.unwrap().text();
        assert!(home.contains(told), "{told} is not in {home}");
    }
}

#[tokio::test]
async fn a_person_sees_at_home_what_is_kept_of_them_and_takes_it_along() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    let ticked = json!({ "scopes": ["profile"] });
    let tokens = saoma.signs_in_with(&saoma.browser(), &blog, &phone, &ticked).await;
    let who = blog.asks_who(tokens["access_token"].as_str().unwrap()).await.good().unwrap();
    assert_eq!(browser.get("/me.json").await.unwrap().problem(), "401 unauthorized");

    signs_in_at_home(&saoma, &browser, &phone).await;
    let home = browser.get("/").await.unwrap().text();
    let username = who["preferred_username"].as_str().unwrap();
    for told in [
        username,
        "My blog",
        "blog.example.com",
        "nickname, avatar, user name and groups",
        "/me.json",
    ] {
        assert!(home.contains(told), "{told} is not in {home}");
    }
    let kept = browser.get("/me.json").await.unwrap();
    assert_eq!(kept.header("cache-control"), "no-store");
    assert!(kept.header("content-disposition").starts_with("attachment"));
    let kept = kept.good().unwrap();
    assert_eq!(kept["username"], username);
    let logins = kept["logins"].as_array().unwrap();
    assert!(logins.iter().any(|login| login["site"]["name"] == "My blog"), "{logins:?}");
    assert_eq!(kept["identities"][0]["openid"], saoma.wechat.pretend.openid("ann"));
    let subs = kept["subs"].as_array().unwrap();
    assert!(subs.contains(&json!({ "group": "blog", "sub": who["sub"] })), "{subs:?}");

    for from in ["cross-site", "same-site"] {
        let linked = browser.get_with("/me.json", &[("sec-fetch-site", from)]).await.unwrap();
        assert_eq!(linked.problem(), "403 origin_not_allowed", "{from}");
    }
}

#[tokio::test]
async fn a_person_is_deleted_from_home_after_a_fresh_scan_and_never_without() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    let tokens = saoma.signs_in(&saoma.browser(), &blog, &phone).await;
    let access = tokens["access_token"].as_str().unwrap();
    assert!(!offers(&browser).await, "nobody is signed in");
    signs_in_at_home(&saoma, &browser, &phone).await;
    saoma.passes(299);
    assert!(offers(&browser).await);
    saoma.passes(1);
    assert!(!offers(&browser).await, "five minutes are over");
    let refused = browser.submits("/forget", &[]).await.unwrap();
    assert_eq!((refused.status.as_u16(), refused.header("location")), (303, "/forget"));
    assert!(knows(&browser).await && blog.asks_who(access).await.good().is_ok());

    let page = browser.opens("/forget/scan").await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    phone.approves(&asked).await.unwrap();
    assert_eq!(goes_next(&browser, &page).await, format!("{}/forget", saoma.url));
    assert!(offers(&browser).await);
    for origin in ["https://evil.example", "https://blog.example.com", "null"] {
        let foreign = browser.posts("/forget", &json!({}), origin).await.unwrap();
        assert_eq!(foreign.status, 403, "{origin}");
    }
    let nowhere = saoma.http.post(format!("{}/forget", saoma.url));
    assert_eq!(Reply::of(nowhere).await.unwrap().status, 403);
    assert!(knows(&browser).await && blog.asks_who(access).await.good().is_ok());

    let done = browser.submits("/forget", &[]).await.unwrap();
    assert!(done.status == 200 && done.text().contains("已经删除"), "{}", done.text());
    assert!(done.header("set-cookie").contains("Max-Age=0"), "{}", done.header("set-cookie"));
    assert!(!knows(&browser).await);
    assert_eq!(blog.asks_who(access).await.problem(), "401 invalid_token");
    assert_eq!(browser.submits("/forget", &[]).await.unwrap().header("location"), "/forget");
    let again = saoma.signs_in(&saoma.browser(), &blog, &phone).await;
    let sub = async |tokens: &Value| {
        let id_token = tokens["id_token"].as_str().unwrap();
        blog.checks(id_token, jsonwebtoken::Algorithm::RS256).await["sub"].clone()
    };
    assert_ne!(sub(&again).await, sub(&tokens).await, "who comes back is somebody new");
}

#[tokio::test]
async fn whose_phone_scans_is_who_is_deleted() {
    let saoma = Saoma::starts().await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    let (ann, bob) = (saoma.phone("ann"), saoma.phone("bob"));
    let tokens = saoma.signs_in(&saoma.browser(), &blog, &ann).await;
    signs_in_at_home(&saoma, &browser, &ann).await;
    signs_in_at_home(&saoma, &browser, &bob).await;
    assert_eq!(browser.submits("/forget", &[]).await.unwrap().status, 200);
    let access = tokens["access_token"].as_str().unwrap();
    assert!(blog.asks_who(access).await.good().is_ok(), "ann is not bob's to delete");
}
