//! Authorization requests that are not as they should be: who is told, the person or the site.

use saoma::try_it::actors::Reply;
use serde_json::json;

use crate::support::{Saoma, claims, param};

impl Saoma {
    /// Nothing was asked of WeChat but the token, which a server fetches at its start.
    fn fetched_nothing(&self) -> bool {
        self.wechat.pretend.calls().iter().all(|call| call.path == "/cgi-bin/stable_token")
    }
}

#[tokio::test]
async fn an_address_that_was_not_registered_gets_no_answer_sent_to_it() {
    let saoma = Saoma::starts().await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    for near_miss in [
        "https://blog.example.com/callback/",
        "https://blog.example.com/callback?x=1",
        "https://blog.example.com/callback#x",
        "https://blog.example.com/Callback",
        "https://blog.example.com/callback/../callback",
        "https://blog.example.com//callback",
        "https://blog.example.com/callback%20",
        "https://blog.example.com/",
        "https://blog.example.com:443/callback",
        "https://blog.example.com:8443/callback",
        "https://BLOG.example.com/callback",
        "https://blog.example.com.evil.example/callback",
        "https://blog.example.com@evil.example/callback",
        "https://ann@blog.example.com/callback",
        "https://evil.example/https://blog.example.com/callback",
        "http://blog.example.com/callback",
        "//blog.example.com/callback",
        "/callback",
        "javascript:alert(1)",
        "https://shop.example.com/callback",
    ] {
        let refused = browser.get(&blog.asks_with(&[("redirect_uri", near_miss)])).await.unwrap();
        assert_eq!(refused.status, 400, "{near_miss}");
        assert_eq!(refused.header("location"), "", "{near_miss}");
        assert!(refused.text().contains("redirect_uri_not_registered"), "{near_miss}");
        assert!(refused.text().contains(near_miss), "{near_miss} can be copied from the page");
        let mut opening = blog.opening();
        opening["redirect_uri"] = json!(near_miss);
        let refused = browser.posts("/api/tickets", &opening, &blog.origin).await.unwrap();
        assert_eq!(refused.problem(), "400 redirect_uri_not_registered", "{near_miss}");
    }
    for nobody in ["nobody", "BLOG"] {
        let refused = browser.get(&blog.asks_with(&[("client_id", nobody)])).await.unwrap();
        assert_eq!((refused.status.as_u16(), refused.header("location")), (400, ""));
        assert!(refused.text().contains("unknown_site"), "{nobody}");
    }
    for name in ["client_id", "redirect_uri"] {
        let refused = browser.get(&blog.asks_with(&[(name, "")])).await.unwrap();
        assert_eq!((refused.status.as_u16(), refused.header("location")), (400, ""));
        assert!(refused.text().contains(&format!("{name} is missing")), "{}", refused.text());
        let twice = format!("{}&{name}=another", blog.asks());
        let refused = browser.get(&twice).await.unwrap();
        assert_eq!((refused.status.as_u16(), refused.header("location")), (400, ""));
        assert!(refused.text().contains(&format!("{name} came twice")), "{}", refused.text());
    }
}

#[tokio::test]
async fn an_address_that_is_not_registered_is_shown_without_harm() {
    let saoma = Saoma::starts().await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    let long = format!("https://evil.example/<b>\u{202e}Call 555 \"now\"</b>{}", "x".repeat(500));
    let page = browser.get(&blog.asks_with(&[("redirect_uri", &long)])).await.unwrap();
    let text = page.text();
    for harm in ["<b>", "\u{202e}", "Call 555", "\"now", &"x".repeat(200), "href=\"https://evil"] {
        assert!(!text.contains(harm), "{harm}");
    }
    assert!(text.contains("https://evil.example/"));
    let form = [("client_id", "blog"), ("redirect_uri", &long)];
    let pushed = browser.submits("/oauth2/par", &form).await.unwrap();
    assert_eq!(pushed.problem(), "400 invalid_request");
    let why = pushed.json()["error_description"].as_str().unwrap().to_owned();
    assert!(why.contains("(https://evil.example/<b>%E2%80%AECall%20555"), "{why}");
    // What RFC 6749 section 5.2 lets stand there.
    let allowed = |c: char| (' '..='~').contains(&c) && !"\"\\".contains(c);
    assert!(why.chars().all(allowed) && why.len() < 500, "{why}");
}

#[tokio::test]
async fn what_is_wrong_with_a_proof_is_said_as_it_is() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    for (name, why) in [
        ("code_challenge", "code_challenge_method came without code_challenge"),
        ("code_challenge_method", "code_challenge_method must be S256"),
    ] {
        let told = browser.get(&blog.asks_with(&[(name, "")])).await.unwrap();
        let description = param(told.header("location"), "error_description");
        assert!(description.starts_with(why), "{description}");
    }
    let page = browser.opens(&blog.asks()).await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    phone.approves(&asked).await.unwrap();
    let code = claims(&browser, &page).await;
    let missing = blog.redeems_with(&code, &[("code_verifier", "")]).await;
    assert_eq!(missing.problem(), "400 invalid_grant");
    let why = missing.json()["error_description"].as_str().unwrap().to_owned();
    assert!(why.starts_with("code_verifier is missing"), "{why}");
    let again = blog.redeems(&code).await;
    assert_eq!(again.problem(), "400 invalid_grant", "and the code is burnt, as by a wrong one");
}

#[tokio::test]
async fn what_else_is_wrong_is_told_to_the_site() {
    let saoma = Saoma::starts().await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    for (more, error) in [
        (("response_type", ""), "invalid_request"),
        (("response_type", "token"), "unsupported_response_type"),
        (("response_mode", "fragment"), "invalid_request"),
        (("scope", "profile"), "invalid_scope"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("prompt", "none login"), "invalid_request"),
        (("max_age", "soon"), "invalid_request"),
        (("request", "eyJ"), "request_not_supported"),
        (("request_uri", &saoma.wechat.url), "request_uri_not_supported"),
    ] {
        let told = browser.get(&blog.asks_with(&[more])).await.unwrap();
        assert_eq!(told.status, 303, "{more:?}");
        let next = told.header("location");
        assert!(next.starts_with("https://blog.example.com/callback?"), "{next}");
        assert_eq!(param(next, "error"), error, "{more:?}");
        assert_eq!(
            (param(next, "state"), param(next, "iss")),
            (crate::site::STATE.to_owned(), saoma.url.clone())
        );
        assert!(!param(next, "error_description").is_empty());
    }
    assert!(saoma.fetched_nothing(), "a request_uri is never fetched");
}

#[tokio::test]
async fn a_site_with_a_secret_must_send_a_challenge_too_unless_it_says_otherwise() {
    let saoma = Saoma::starts().await;
    let browser = saoma.browser();
    let none = [("code_challenge", ""), ("code_challenge_method", "")];
    let shop = browser.get(&saoma.site("shop").asks_with(&none)).await.unwrap();
    assert_eq!(param(shop.header("location"), "error"), "invalid_request");
    let wiki = browser.get(&saoma.site("wiki").asks_with(&none)).await.unwrap();
    assert_eq!(wiki.status, 200);
    let plain = [("code_challenge_method", "plain")];
    let wiki = browser.get(&saoma.site("wiki").asks_with(&plain)).await.unwrap();
    assert_eq!(param(wiki.header("location"), "error"), "invalid_request");
}

#[tokio::test]
async fn an_embedded_page_must_send_a_challenge_that_hides_its_verifier() {
    let saoma = Saoma::starts().await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    for (field, value) in [
        ("code_challenge", json!(null)),
        ("code_challenge", json!("short")),
        ("code_challenge_method", json!("plain")),
        ("code_challenge_method", json!(null)),
        ("scope", json!("profile")),
        ("state", json!("x".repeat(2049))),
        ("nonce", json!("x".repeat(2049))),
    ] {
        let mut opening = blog.opening();
        opening[field] = value;
        let refused = browser.posts("/api/tickets", &opening, &blog.origin).await.unwrap();
        assert_eq!(refused.problem(), "400 invalid_request", "{field}");
    }
    assert!(saoma.fetched_nothing(), "nothing was fetched for them");
}

#[tokio::test]
async fn a_parameter_that_stands_twice_is_refused() {
    let saoma = Saoma::starts().await;
    let twice = format!("{}&client_id=shop", saoma.site("blog").asks());
    let refused: Reply = saoma.browser().get(&twice).await.unwrap();
    assert_eq!((refused.status.as_u16(), refused.header("location")), (400, ""));
}
