//! WeChat is slow, refuses, or is away; and how codes are fetched.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::join_all;
use saoma::{commands::sites, config::EnvVersion};
use serde_json::json;
use wechat::pretend::Trouble;

use crate::support::{Saoma, claims, reads_scene, until};

const CODE2SESSION: &str = "/sns/jscode2session";
const CODE_B: &str = "/wxa/getwxacodeunlimit";

#[tokio::test]
async fn trouble_at_a_scan_is_told_and_leaves_the_ticket_as_it_was() {
    // One person scans more in a moment here than anybody may.
    let saoma = Saoma::starts_with(&[("SAOMA_LIMITS__OFF", "true")]).await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let on = || Trouble::on(CODE2SESSION);
    for (trouble, told) in [
        (on().errcode(40029), "422 js_code_refused"),
        (on().errcode(40163), "422 js_code_refused"),
        (on().errcode(41008), "422 js_code_refused"),
        (on().errcode(40226), "403 blocked_by_wechat"),
        (on().errcode(45011), "429 too_many_requests"),
        (on().errcode(-1), "502 wechat_unreachable"),
        (on().errcode(40013), "502 wechat_unreachable"),
        (on().errcode(40125), "502 wechat_unreachable"),
        (on().errcode(40164), "502 wechat_unreachable"),
        (on().status(500), "502 wechat_unreachable"),
        (on().status(504).body("<html>gateway"), "502 wechat_unreachable"),
        (on().body("<html>hello"), "502 wechat_unreachable"),
        (on().body("{\"openid\":"), "502 wechat_unreachable"),
        (on().body("{}"), "502 wechat_unreachable"),
        (on().body("{\"openid\":\"\",\"session_key\":\"\"}"), "502 wechat_unreachable"),
        (on().cut(), "502 wechat_unreachable"),
    ] {
        let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
        let scene = saoma.scene(&page.ticket).await;
        let before = saoma.wechat.pretend.count(CODE2SESSION);
        saoma.wechat.pretend.trouble(trouble.clone());
        assert_eq!(phone.scans(&scene, 1047).await.unwrap_err(), told, "{trouble:?}");
        let calls = saoma.wechat.pretend.count(CODE2SESSION) - before;
        assert_eq!(calls, 1, "a js_code is sent once: {trouble:?}");
        let state = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
        assert_eq!(state["state"], "waiting", "{trouble:?}");
        phone.scans(&scene, 1047).await.expect("a fresh try goes through");
    }
}

#[tokio::test]
async fn a_js_code_is_good_once() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    let path = format!("tickets/{}/scan", saoma.scene(&page.ticket).await);
    let body = json!({ "js_code": phone.logs_in().await.unwrap(), "entry": 1047, "protocol": 1 });
    let scan = async || phone.calls(reqwest::Method::POST, &path, None, &body).await.unwrap();
    let first = scan().await.good().unwrap();
    assert_eq!(scan().await.problem(), "422 js_code_refused");
    let token = first["token"].as_str().unwrap();
    let path = path.replace("/scan", "/approve");
    let approved =
        phone.calls(reqwest::Method::POST, &path, Some(token), &json!({})).await.unwrap();
    assert_eq!(approved.status, 200, "the first one's token stands");
}

#[tokio::test]
async fn pages_get_codes_while_wechat_is_away() {
    let saoma = Saoma::starts_with(&[("SAOMA_WECHAT__POOL", "4")]).await;
    until(|| saoma.app.codes.level() == 4).await;
    saoma.wechat.pretend.trouble(Trouble::on("*").status(503).times(1_000));
    let browser = saoma.browser();
    for _ in 0..4 {
        let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
        assert_eq!(reads_scene(&browser, &page).await, saoma.scene(&page.ticket).await);
    }
    let blog = saoma.site("blog");
    let refused = browser.posts("/api/tickets", &blog.opening(), &blog.origin).await.unwrap();
    assert_eq!(refused.problem(), "503 no_code_now");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    let hosted = browser.get(&blog.asks()).await.unwrap();
    assert_eq!((hosted.status.as_u16(), hosted.text().contains("no_code_now")), (503, true));

    let on_phone = blog.embeds_with(&json!({ "on_phone": true })).await;
    assert_eq!(
        on_phone.calls("digits").await.status,
        200,
        "a page on the phone shows digits instead"
    );

    saoma.wechat.pretend.calm();
    // The refill rests longer after each failure, half a minute at most.
    until(|| {
        saoma.passes(1);
        saoma.app.codes.level() == 4
    })
    .await;
}

#[tokio::test]
async fn codes_are_made_ahead_for_a_site_that_a_command_registers_too() {
    let saoma = Saoma::starts_with(&[("SAOMA_WECHAT__POOL", "2")]).await;
    until(|| saoma.app.codes.level() == 2).await;
    let (settings, store, world) = (&saoma.app.settings, &saoma.app.store, &saoma.app.world);
    let new = sites::New {
        id: "fresh".to_owned(),
        name: "Fresh".to_owned(),
        redirect_uris: vec!["https://fresh.example.com/cb".to_owned()],
        env_version: Some(EnvVersion::Trial),
        ..Default::default()
    };
    sites::add(settings, store, world, new).await.unwrap();
    let both = BTreeMap::from([(EnvVersion::Release, 2), (EnvVersion::Trial, 2)]);
    until(|| {
        saoma.passes(1);
        saoma.app.codes.levels() == both
    })
    .await;
    let saoma = saoma.restarts_after(1).await;
    until(|| saoma.app.codes.levels() == both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_pages_at_once_get_two_hundred_codes() {
    let saoma = Saoma::starts_with(&[("SAOMA_WECHAT__POOL", "200")]).await;
    until(|| saoma.app.codes.level() == 200).await;
    let blog = saoma.site("blog");
    let elements = join_all((0..200).map(|_| blog.embeds())).await;
    let mut seen = BTreeSet::new();
    for element in &elements {
        let scene = saoma.scene(&element.page.ticket).await;
        let url = format!("/api/tickets/{}/code", element.page.ticket);
        let picture = element.browser.get(&url).await.unwrap();
        assert_eq!(picture.status, 200);
        for name in [element.page.ticket.clone(), element.key.clone(), scene] {
            assert!(seen.insert(name.into_bytes()), "a name was given twice");
        }
        assert!(seen.insert(picture.body), "a code was handed out twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_while_wechat_is_slow_is_asked_for_at_once() {
    let saoma = Saoma::starts_with(&[("SAOMA_WECHAT__POOL", "20")]).await;
    until(|| saoma.app.codes.level() == 20).await;
    let (blog, wechat) = (saoma.site("blog"), &saoma.wechat.pretend);
    let asked = wechat.count(CODE_B);
    wechat.trouble(Trouble::on(CODE_B).delay(Duration::from_secs(3600)).times(100));
    for _ in 0..15 {
        blog.embeds().await;
    }
    until(|| wechat.count(CODE_B) == asked + 15).await;
}

#[tokio::test]
async fn what_is_no_picture_is_never_served_as_one() {
    let saoma = Saoma::starts().await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    for trouble in [
        Trouble::on(CODE_B).errcode(-1).times(3),
        Trouble::on(CODE_B).errcode(41030),
        Trouble::on(CODE_B).body("{\"errcode\":40097,\"errmsg\":\"invalid args\"}"),
        Trouble::on(CODE_B).body("<html>a proxy's page").times(3),
        Trouble::on(CODE_B).body("").times(3),
    ] {
        saoma.wechat.pretend.trouble(trouble.clone());
        let refused = browser.posts("/api/tickets", &blog.opening(), &blog.origin).await.unwrap();
        assert_eq!(refused.problem(), "503 no_code_now", "{trouble:?}");
        saoma.wechat.pretend.calm();
        let element = blog.embeds().await;
        assert!(!reads_scene(&element.browser, &element.page).await.is_empty());
    }
}

#[tokio::test]
async fn codes_a_and_c_carry_the_scene_in_the_path() {
    for (code, path) in [("a", "/wxa/getwxacode"), ("c", "/cgi-bin/wxaapp/createwxaqrcode")] {
        let saoma = Saoma::starts_with(&[("SAOMA_WECHAT__CODE", code)]).await;
        let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
        let page = browser.opens(&blog.asks()).await.unwrap();
        let scene = reads_scene(&browser, &page).await;
        assert_eq!(scene, saoma.scene(&page.ticket).await);
        let calls = saoma.wechat.pretend.calls();
        let call = calls.iter().find(|call| call.path == path).unwrap();
        assert_eq!(call.body["path"], format!("pages/login/login?scene={scene}"));
        let asked = phone.scans(&scene, 1047).await.unwrap();
        phone.approves(&asked).await.unwrap();
        assert!(blog.redeems(&claims(&browser, &page).await).await.good().is_ok());
    }
}

#[tokio::test]
async fn code_b_carries_the_scene_as_text_and_names_the_page() {
    let saoma = Saoma::starts().await;
    let page = saoma.browser().opens(&saoma.site("blog").asks()).await.unwrap();
    let calls = saoma.wechat.pretend.calls();
    let call = calls.iter().find(|call| call.path == CODE_B).unwrap();
    let scene = saoma.scene(&page.ticket).await;
    let expected = json!({
        "scene": scene, "page": "pages/login/login", "check_path": true, "env_version": "release",
    });
    assert_eq!(call.body, expected);
    assert!(call.warnings.is_empty(), "{:?}", call.warnings);
}

#[tokio::test]
async fn a_refused_token_leads_to_one_fresh_one_and_one_retry() {
    for endpoint in [("stable", "/cgi-bin/stable_token"), ("plain", "/cgi-bin/token")] {
        let (setting, path) = endpoint;
        let saoma = Saoma::starts_with(&[("SAOMA_WECHAT__TOKEN", setting)]).await;
        let (browser, wechat) = (saoma.browser(), &saoma.wechat.pretend);
        for _ in 0..3 {
            browser.opens(&saoma.site("blog").asks()).await.unwrap();
        }
        assert_eq!(
            (wechat.count(path), wechat.count(CODE_B)),
            (1, 3),
            "{setting}: one token for all"
        );

        wechat.forget_tokens();
        browser.opens(&saoma.site("blog").asks()).await.unwrap();
        assert_eq!(
            (wechat.count(path), wechat.count(CODE_B)),
            (2, 5),
            "{setting}: one refused, one retried"
        );

        wechat.trouble(Trouble::on(CODE_B).errcode(40001).times(100));
        let blog = saoma.site("blog");
        let refused = browser.posts("/api/tickets", &blog.opening(), &blog.origin).await.unwrap();
        assert_eq!(refused.problem(), "503 no_code_now");
        assert_eq!(wechat.count(CODE_B), 7, "{setting}: never a loop");
    }
}

#[tokio::test]
async fn a_server_is_ready_before_anybody_comes_unless_wechat_is_away() {
    let saoma = Saoma::starts().await;
    until(|| saoma.app.wechat.token_status().present).await;
    assert_eq!(saoma.browser().get("/readyz").await.unwrap().json()["ready"], true);

    saoma.wechat.pretend.trouble(Trouble::on("*").status(503).times(1_000));
    let saoma = saoma.restarts_after(1).await;
    until(|| saoma.app.wechat.token_status().last_error.is_some()).await;
    let browser = saoma.browser();
    let ready = browser.get("/readyz").await.unwrap();
    assert_eq!((ready.status.as_u16(), ready.json()["wechat"].as_str()), (503, Some("down")));
    assert_eq!(browser.get("/healthz").await.unwrap().status, 200);

    saoma.wechat.pretend.calm();
    until(|| {
        saoma.passes(1);
        saoma.app.wechat.token_status().present
    })
    .await;
    assert_eq!(browser.get("/readyz").await.unwrap().json()["ready"], true);
}
