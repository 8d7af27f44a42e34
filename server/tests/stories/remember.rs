//! Signed-in browsers: when the scan may be skipped, and saoma's own page.

use reqwest::Method;
use saoma::{
    grant::Request,
    login::skip,
    secret::Hashed,
    try_it::actors::{Browser, Phone},
};
use serde_json::{Value, json};

use crate::{
    site::Site,
    support::{Saoma, claims, goes_next, param},
};

/// A sign-in by scan with "remember this browser" ticked.
async fn remembers(saoma: &Saoma, browser: &Browser, site: &Site, phone: &Phone) -> Value {
    let approval = json!({ "remember": true, "scopes": ["profile", "wechat"] });
    saoma.signs_in_with(browser, site, phone, &approval).await
}

/// Where a browser is sent that must not be shown a page.
async fn asks_silently(browser: &Browser, site: &Site) -> String {
    let reply = browser.get(&site.asks_with(&[("prompt", "none")])).await.unwrap();
    assert_eq!(reply.status, 303, "{}", reply.text());
    reply.header("location").to_owned()
}

#[tokio::test]
async fn a_remembered_browser_skips_the_scan() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    let first = remembers(&saoma, &browser, &blog, &phone).await;
    saoma.passes(3600 * 24);

    let reply = browser.get(&blog.asks()).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.header("cache-control")), (303, "no-store"));
    let next = reply.header("location");
    assert!(next.starts_with("https://blog.example.com/callback?"), "{next}");
    let again = blog.redeems(&param(next, "code")).await.good().unwrap();
    let id_token = |tokens: &Value| tokens["id_token"].as_str().unwrap().to_owned();
    let algorithm = jsonwebtoken::Algorithm::RS256;
    let first = blog.checks(&id_token(&first), algorithm).await;
    let again = blog.checks(&id_token(&again), algorithm).await;
    assert_eq!((&first["sub"], &first["sid"]), (&again["sub"], &again["sid"]));
    assert_eq!(first["auth_time"], again["auth_time"], "the phone approved when it did");

    let next = asks_silently(&browser, &blog).await;
    assert!(blog.redeems(&param(&next, "code")).await.good().is_ok());
    assert_eq!(saoma.wechat.pretend.count("/sns/jscode2session"), 1);
}

#[tokio::test]
async fn a_browser_skips_nothing_that_a_phone_did_not_approve_there() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    let nobody = asks_silently(&browser, &blog).await;
    assert_eq!(param(&nobody, "error"), "login_required");
    assert_eq!(param(&nobody, "iss"), saoma.url);

    saoma.signs_in(&browser, &blog, &phone).await;
    let unticked = asks_silently(&browser, &blog).await;
    assert_eq!(param(&unticked, "error"), "login_required", "remember was not ticked");

    remembers(&saoma, &browser, &blog, &phone).await;
    let elsewhere = asks_silently(&browser, &saoma.site("shop")).await;
    assert_eq!(param(&elsewhere, "error"), "login_required", "one site opens no other");
    let other_browser = asks_silently(&saoma.browser(), &blog).await;
    assert_eq!(param(&other_browser, "error"), "login_required");
    let more = browser
        .get(&blog.asks_with(&[("prompt", "none"), ("scope", "openid email")]))
        .await
        .unwrap();
    assert_eq!(
        param(more.header("location"), "error"),
        "login_required",
        "more is asked than was ticked"
    );
    for prompt in ["login", "consent", "select_account"] {
        assert!(browser.opens(&blog.asks_with(&[("prompt", prompt)])).await.is_ok(), "{prompt}");
    }
}

#[tokio::test]
async fn sites_of_one_group_share_the_sign_in() {
    let saoma = Saoma::starts().await;
    let (forum, chat, browser) = (saoma.site("forum"), saoma.site("chat"), saoma.browser());
    let first = remembers(&saoma, &browser, &forum, &saoma.phone("ann")).await;
    let next = asks_silently(&browser, &chat).await;
    let second = chat.redeems(&param(&next, "code")).await.good().unwrap();
    let who = async |site: &Site, tokens: &Value| {
        let who = site.asks_who(tokens["access_token"].as_str().unwrap()).await.good().unwrap();
        who["sub"].as_str().unwrap().to_owned()
    };
    assert_eq!(who(&forum, &first).await, who(&chat, &second).await);
}

#[tokio::test]
async fn signing_out_ends_what_was_signed_in_to_without_a_scan_too() {
    let saoma = Saoma::starts().await;
    let (forum, chat, browser) = (saoma.site("forum"), saoma.site("chat"), saoma.browser());
    let first = remembers(&saoma, &browser, &forum, &saoma.phone("ann")).await;
    let mut access = Vec::new();
    let mut sids = Vec::new();
    for _ in 0..3 {
        let next = asks_silently(&browser, &chat).await;
        let tokens = chat.redeems(&param(&next, "code")).await.good().unwrap();
        let id_token = tokens["id_token"].as_str().unwrap();
        sids.push(chat.checks(id_token, jsonwebtoken::Algorithm::RS256).await["sid"].clone());
        access.push(tokens["access_token"].as_str().unwrap().to_owned());
    }
    assert!(sids.iter().all(|sid| *sid == sids[0]), "one sign-in, however often a page asks");
    assert!(chat.asks_who(&access[0]).await.good().is_ok());
    let hint = first["id_token"].as_str().unwrap();
    let out = browser.get(&format!("/oauth2/logout?id_token_hint={hint}")).await.unwrap();
    assert!(out.status.is_success(), "{}", out.status);
    for access in &access {
        assert_eq!(chat.asks_who(access).await.problem(), "401 invalid_token");
    }
}

#[tokio::test]
async fn a_sign_in_that_skips_no_scan_any_more_is_ended_by_nobody_unasked() {
    let saoma = Saoma::starts().await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    let tokens = remembers(&saoma, &browser, &blog, &saoma.phone("ann")).await;
    let id_token = tokens["id_token"].as_str().unwrap();
    let who = blog.checks(id_token, jsonwebtoken::Algorithm::RS256).await;
    saoma.passes(30 * 24 * 3600);
    assert_eq!(param(&asks_silently(&browser, &blog).await, "error"), "login_required");
    let lives =
        async || saoma.app.store.login(who["sid"].as_str().unwrap()).await.unwrap().is_some();
    let page = browser.get("/oauth2/logout?client_id=blog").await.unwrap();
    assert!(page.text().contains("action=\"/oauth2/logout/confirm\""), "{}", page.text());
    assert!(lives().await, "a link on anybody's page ends nothing");
    browser.submits("/oauth2/logout/confirm", &[("client_id", "blog")]).await.unwrap();
    assert!(!lives().await);
}

#[tokio::test]
async fn what_came_without_a_scan_vouches_for_nothing() {
    let saoma = Saoma::starts().await;
    let (forum, chat, browser) = (saoma.site("forum"), saoma.site("chat"), saoma.browser());
    let first = remembers(&saoma, &browser, &forum, &saoma.phone("ann")).await;
    let next = asks_silently(&browser, &chat).await;
    assert!(chat.redeems(&param(&next, "code")).await.good().is_ok());
    // The phone ends what it had approved.
    let id_token = first["id_token"].as_str().unwrap();
    let who = forum.checks(id_token, jsonwebtoken::Algorithm::RS256).await;
    let login = saoma.app.store.login(who["sid"].as_str().unwrap()).await.unwrap().unwrap();
    saoma.app.store.end_login(&login.person, &login.id, saoma.app.world.now()).await.unwrap();
    for site in [&forum, &chat] {
        assert_eq!(param(&asks_silently(&browser, site).await, "error"), "login_required");
    }
}

#[tokio::test]
async fn what_a_person_ended_comes_back_by_a_scan_alone() {
    let saoma = Saoma::starts().await;
    let (forum, chat, blog) = (saoma.site("forum"), saoma.site("chat"), saoma.site("blog"));
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    // Two of one group, each by a scan of its own, and one that is alone.
    let first = remembers(&saoma, &browser, &forum, &phone).await;
    let page = browser.opens(&chat.asks_with(&[("prompt", "login")])).await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    let ticked = json!({ "remember": true, "scopes": ["profile", "wechat"] });
    phone.approves_with(&asked, &ticked).await.unwrap();
    let second = chat.redeems(&claims(&browser, &page).await).await.good().unwrap();
    remembers(&saoma, &browser, &blog, &phone).await;

    let id_token = first["id_token"].as_str().unwrap();
    let who = forum.checks(id_token, jsonwebtoken::Algorithm::RS256).await;
    let body = json!({ "js_code": phone.logs_in().await.unwrap() });
    let opened = phone.calls(Method::POST, "session", None, &body).await.unwrap().json();
    let path = format!("logins/{}", who["sid"].as_str().unwrap());
    phone.calls(Method::DELETE, &path, opened["token"].as_str(), &json!({})).await.unwrap();

    for site in [&forum, &chat] {
        assert_eq!(param(&asks_silently(&browser, site).await, "error"), "login_required");
    }
    let access = second["access_token"].as_str().unwrap();
    assert!(chat.asks_who(access).await.good().is_ok(), "what was not ended goes on");
    assert_ne!(param(&asks_silently(&browser, &blog).await, "code"), "", "and opens its own site");
}

#[tokio::test]
async fn a_sign_in_that_ends_while_a_browser_goes_on_with_it_asks_the_phone_again() {
    let saoma = Saoma::starts().await;
    let (forum, browser) = (saoma.site("forum"), saoma.browser());
    let first = remembers(&saoma, &browser, &forum, &saoma.phone("ann")).await;
    let id_token = first["id_token"].as_str().unwrap();
    let who = forum.checks(id_token, jsonwebtoken::Algorithm::RS256).await;
    let (app, id) = (&saoma.app, who["sid"].as_str().unwrap());
    let login = app.store.login(id).await.unwrap().unwrap();
    // Between the look for it and the write.
    app.store.end_login(&login.person, id, app.world.now()).await.unwrap();
    let site = app.sites.get("forum").unwrap();
    let request = Request::bare("forum", site.redirect_uris[0].as_str());
    let (cookie, of) = (Hashed::of("cookie"), login.browser.clone());
    assert!(skip(app, &site, request, &login, cookie, of).await.unwrap().is_none());
}

#[tokio::test]
async fn who_asks_for_less_without_a_scan_gets_less() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    let everything = blog.asks_with(&[("scope", "openid profile wechat offline_access")]);
    let page = browser.opens(&everything).await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    let ticked = json!({ "remember": true, "scopes": ["profile", "wechat", "offline_access"] });
    phone.approves_with(&asked, &ticked).await.unwrap();
    claims(&browser, &page).await;
    let little = blog.asks_with(&[("prompt", "none"), ("scope", "openid")]);
    let next = browser.get(&little).await.unwrap().header("location").to_owned();
    let tokens = blog.redeems(&param(&next, "code")).await.good().unwrap();
    assert_eq!((&tokens["scope"], tokens.get("refresh_token")), (&json!("openid"), None));
    let who = blog.asks_who(tokens["access_token"].as_str().unwrap()).await.json();
    assert_eq!(who.as_object().unwrap().keys().collect::<Vec<_>>(), ["sub"]);
}

#[tokio::test]
async fn the_phone_sees_when_a_sign_in_was_last_used() {
    let saoma = Saoma::starts().await;
    let (blog, phone) = (saoma.site("blog"), saoma.phone("ann"));
    let tokens = saoma.signs_in(&saoma.browser(), &blog, &phone).await;
    let id_token = tokens["id_token"].as_str().unwrap();
    let who = blog.checks(id_token, jsonwebtoken::Algorithm::RS256).await;
    let used = async |seconds: u64| {
        saoma.passes(seconds);
        blog.asks_who(tokens["access_token"].as_str().unwrap()).await.good().unwrap();
        let login = saoma.app.store.login(who["sid"].as_str().unwrap()).await.unwrap().unwrap();
        login.last_seen.since(login.since).as_secs()
    };
    assert_eq!(used(599).await, 0, "not every use is written down");
    assert_eq!(used(1).await, 600);
}

#[tokio::test]
async fn what_a_milder_site_remembered_opens_no_stricter_one_of_its_group() {
    let saoma = Saoma::starts().await;
    let (forum, vault, browser) = (saoma.site("forum"), saoma.site("vault"), saoma.browser());
    let phone = saoma.phone("ann");
    remembers(&saoma, &browser, &forum, &phone).await;
    let refused = asks_silently(&browser, &vault).await;
    assert_eq!(param(&refused, "error"), "login_required", "the vault would have asked for more");
    // The first time there the vault asks for the number, and remembers nobody; the second time all is known.
    let page = browser.opens(&vault.asks()).await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    let state = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
    phone
        .approves_with(&asked, &json!({ "match": state["match"], "remember": true }))
        .await
        .unwrap();
    claims(&browser, &page).await;
    let still = asks_silently(&browser, &vault).await;
    assert_eq!(param(&still, "error"), "login_required");
    remembers(&saoma, &browser, &vault, &phone).await;
    for site in [&vault, &forum] {
        assert_ne!(param(&asks_silently(&browser, site).await, "code"), "", "{}", site.id);
    }
}

#[tokio::test]
async fn how_old_a_sign_in_may_be_says_the_site() {
    let saoma = Saoma::starts().await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    remembers(&saoma, &browser, &blog, &saoma.phone("ann")).await;
    saoma.passes(60);
    let asks = |age: &str| blog.asks_with(&[("max_age", age)]);
    assert_eq!(browser.get(&asks("60")).await.unwrap().status, 303);
    assert!(browser.opens(&asks("59")).await.is_ok(), "too old: a page with a code");
}

#[tokio::test]
async fn a_sign_in_ends_after_thirty_days() {
    let saoma = Saoma::starts().await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    remembers(&saoma, &browser, &blog, &saoma.phone("ann")).await;
    saoma.passes(30 * 24 * 3600 - 1);
    assert_ne!(param(&asks_silently(&browser, &blog).await, "code"), "");
    saoma.passes(1);
    assert_eq!(param(&asks_silently(&browser, &blog).await, "error"), "login_required");
}

#[tokio::test]
async fn a_risky_sign_in_is_not_remembered() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    let page = browser.opens(&blog.asks()).await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1048).await.unwrap();
    let shown = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
    let approval =
        json!({ "match": shown["match"], "remember": true, "scopes": ["profile", "wechat"] });
    phone.approves_with(&asked, &approval).await.unwrap();
    claims(&browser, &page).await;
    assert_eq!(param(&asks_silently(&browser, &blog).await, "error"), "login_required");
}

#[tokio::test]
async fn an_embedded_sign_in_is_not_remembered() {
    let saoma = Saoma::starts().await;
    let (blog, phone) = (saoma.site("blog"), saoma.phone("ann"));
    let element = blog.embeds().await;
    let asked = phone.scans(&saoma.scene(&element.page.ticket).await, 1047).await.unwrap();
    phone
        .approves_with(&asked, &json!({ "remember": true, "scopes": ["profile", "wechat"] }))
        .await
        .unwrap();
    let claimed = element.calls("claim").await;
    assert_eq!(claimed.header("set-cookie"), "");
    assert_eq!(param(&asks_silently(&element.browser, &blog).await, "error"), "login_required");
}

#[tokio::test]
async fn what_a_browser_may_skip_goes_along_for_the_same_person_alone() {
    let saoma = Saoma::starts().await;
    let (blog, shop, browser) = (saoma.site("blog"), saoma.site("shop"), saoma.browser());
    let (ann, bob) = (saoma.phone("ann"), saoma.phone("bob"));
    remembers(&saoma, &browser, &blog, &ann).await;
    remembers(&saoma, &browser, &shop, &ann).await;
    for site in [&blog, &shop] {
        assert_ne!(param(&asks_silently(&browser, site).await, "code"), "", "{}", site.id);
    }
    let page = browser.opens(&shop.asks_with(&[("prompt", "login")])).await.unwrap();
    let asked = bob.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    bob.approves_with(&asked, &json!({ "remember": true, "scopes": ["profile", "wechat"] }))
        .await
        .unwrap();
    claims(&browser, &page).await;
    let next = asks_silently(&browser, &shop).await;
    let tokens = shop.redeems_with(&param(&next, "code"), &[]).await.good().unwrap();
    let who = shop.asks_who(tokens["access_token"].as_str().unwrap()).await.json();
    assert_eq!(who["wechat_openid"], saoma.wechat.pretend.openid("bob"));
    let not_bobs = asks_silently(&browser, &blog).await;
    assert_eq!(param(&not_bobs, "error"), "login_required", "ann's sign-in is not bob's");
}

/// Signs in to saoma's own page.
pub(crate) async fn signs_in_at_home(saoma: &Saoma, browser: &Browser, phone: &Phone) {
    let page = browser.opens("/login").await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    assert_eq!(asked.shown["scopes"], json!([]));
    phone.approves(&asked).await.unwrap();
    assert_eq!(goes_next(browser, &page).await, format!("{}/", saoma.url));
}

#[tokio::test]
async fn a_person_sees_at_home_where_they_are_signed_in_and_signs_out() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    assert!(browser.get("/").await.unwrap().text().contains("href=\"/login\""));
    remembers(&saoma, &browser, &blog, &phone).await;
    let home = browser.get("/").await.unwrap().text();
    assert!(home.contains("href=\"/login\""), "a sign-in at a site opens nothing here");

    signs_in_at_home(&saoma, &browser, &phone).await;
    let home = browser.get("/").await.unwrap().text();
    assert!(home.contains("guest u") && home.contains("My blog"), "{home}");

    let foreign =
        saoma.http.post(format!("{}/sign-out", saoma.url)).header("origin", "https://evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    assert!(browser.get("/").await.unwrap().text().contains("My blog"));

    let out = browser.submits("/sign-out", &[]).await.unwrap();
    assert_eq!((out.status.as_u16(), out.header("location")), (303, "/"));
    assert!(browser.get("/").await.unwrap().text().contains("href=\"/login\""));
    let silent = asks_silently(&browser, &blog).await;
    assert_eq!(param(&silent, "error"), "login_required", "the whole session has ended");
}

#[tokio::test]
async fn a_sign_in_elsewhere_is_ended_from_home() {
    let saoma = Saoma::starts().await;
    let (blog, phone) = (saoma.site("blog"), saoma.phone("ann"));
    let (office, home) = (saoma.browser(), saoma.browser());
    let tokens = remembers(&saoma, &office, &blog, &phone).await;
    let token = tokens["access_token"].as_str().unwrap();
    signs_in_at_home(&saoma, &home, &phone).await;
    let text = home.get("/").await.unwrap().text();
    let ends: Vec<&str> = text
        .split("action=\"")
        .filter_map(|rest| rest.split('"').next())
        .filter(|path| path.ends_with("/end"))
        .collect();
    assert_eq!(ends.len(), 2, "the blog's and its own");
    let who =
        blog.checks(tokens["id_token"].as_str().unwrap(), jsonwebtoken::Algorithm::RS256).await;
    let end = format!("/logins/{}/end", who["sid"].as_str().unwrap());
    assert!(ends.contains(&end.as_str()));

    let stranger = saoma.browser().submits(&end, &[]).await.unwrap();
    assert_eq!(stranger.status, 401);
    let somebody = saoma.browser();
    signs_in_at_home(&saoma, &somebody, &saoma.phone("bob")).await;
    assert_eq!(somebody.submits(&end, &[]).await.unwrap().status, 404, "it is not bob's to end");
    assert!(blog.asks_who(token).await.good().is_ok());

    assert_eq!(home.submits(&end, &[]).await.unwrap().status, 303);
    assert_eq!(blog.asks_who(token).await.problem(), "401 invalid_token");
    assert_eq!(param(&asks_silently(&office, &blog).await, "error"), "login_required");
}
