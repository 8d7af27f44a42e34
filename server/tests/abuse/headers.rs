//! What every answer must carry, so that no page is framed, sniffed, scripted or read by others.

use saoma::try_it::actors::Reply;
use serde_json::json;

use crate::stage::{Play, asks};

fn is_hardened(what: &str, reply: &Reply) {
    assert_eq!(reply.header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(reply.header("referrer-policy"), "no-referrer", "{what}");
    assert_eq!(reply.header("x-frame-options"), "DENY", "{what}");
    let policy = reply.header("content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{what}: {policy}"
    );
    assert!(policy.contains("base-uri 'none'") && !policy.contains("unsafe"), "{what}: {policy}");
}

#[tokio::test]
async fn no_answer_goes_without_its_headers() {
    let play = Play::new().await;
    let browser = play.browser("192.0.2.1");
    let (page, _) = play.page(&browser).await;
    let ticket = &page.ticket;
    for path in [
        "/".to_owned(),
        "/login".to_owned(),
        "/no-such-page".to_owned(),
        "/oauth2/authorize?client_id=nobody".to_owned(),
        "/oauth2/userinfo".to_owned(),
        "/oauth2/jwks".to_owned(),
        "/.well-known/openid-configuration".to_owned(),
        "/wechat-login.js".to_owned(),
        "/healthz".to_owned(),
        "/api/phone/me".to_owned(),
        format!("/api/tickets/{ticket}"),
        format!("/api/tickets/{ticket}/code"),
        "/avatars/nobody/1".to_owned(),
    ] {
        is_hardened(&path, &browser.get(&path).await.unwrap());
    }
    let opened =
        browser.posts("/api/tickets", &asks("blog"), "https://evil.example").await.unwrap();
    is_hardened("a refused origin", &opened);
    is_hardened(
        "a bad body",
        &browser.posts("/api/phone/session", &json!([]), "null").await.unwrap(),
    );
}

#[tokio::test]
async fn a_page_that_refuses_may_have_its_style() {
    let play = Play::new().await;
    let browser = play.browser("192.0.2.1");
    for path in ["/oauth2/authorize?client_id=nobody", "/oauth2/logout?id_token_hint=nonsense"] {
        let page = browser.get(path).await.unwrap();
        assert!(page.text().contains("/assets/page.css"), "{path}");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("style-src 'self'; img-src 'self'"), "{path}: {policy}");
        assert!(!policy.contains("script-src"), "{path}: {policy}");
    }
}

#[tokio::test]
async fn what_is_secret_is_kept_by_nobody_on_the_way() {
    let play = Play::new().await;
    let browser = play.browser("192.0.2.1");
    let (page, _) = play.page(&browser).await;
    for path in ["", "/code"] {
        let reply = browser.get(&format!("/api/tickets/{}{path}", page.ticket)).await.unwrap();
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
    }
    let hosted = browser.goes_to(&format!("{}/sign-in", play.at.demo)).await.unwrap();
    assert_eq!(hosted.header("cache-control"), "no-store");
    let policy = hosted.header("content-security-policy");
    assert!(
        policy.contains("script-src 'self'") && policy.contains("style-src 'self'"),
        "{policy}"
    );
    assert!(
        !hosted.text().contains("<script>") && !hosted.text().contains(" style="),
        "nothing is inline"
    );
    let reply = play.opens(&browser, "blog").await;
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("access-control-allow-credentials"), "");
}

#[tokio::test]
async fn browsers_are_told_to_stay_on_https_where_it_is() {
    let plain = Play::new().await;
    let reply = plain.browser("192.0.2.1").get("/healthz").await.unwrap();
    assert_eq!(reply.header("strict-transport-security"), "");
    let secure = Play::with(&[("SAOMA_PUBLIC_URL", "https://login.example.com")]).await;
    let browser = secure.browser("192.0.2.1");
    let reply = browser.get("/healthz").await.unwrap();
    assert_eq!(reply.header("strict-transport-security"), "max-age=31536000");
    let page = browser.get("/login").await.unwrap();
    let cookie = page.header("set-cookie");
    for word in ["__Host-saoma=", "HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert!(!cookie.contains("Domain"));
}

#[tokio::test]
async fn whatever_host_a_request_names_the_urls_are_of_the_settings() {
    let play = Play::new().await;
    let http = reqwest::Client::new();
    for name in ["host", "x-forwarded-host", "x-forwarded-proto", "forwarded"] {
        let request = http.get(format!("{}/.well-known/openid-configuration", play.at.saoma));
        let told = request.header(name, "evil.example").send().await.unwrap().text().await.unwrap();
        assert!(told.contains(&play.at.saoma) && !told.contains("evil"), "{name}: {told}");
    }
}
