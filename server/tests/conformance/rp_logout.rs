//! The modules of `oidcc-rp-initiated-logout-certification-test-plan`, each under its own name.

use std::time::Duration;

use reqwest::StatusCode;
use saoma::try_it::actors::{Browser, Reply};
use serde_json::json;
use url::Url;

use crate::provider::{Provider, Tokens, rp};

const GOODBYE: &str = "https://rp.example.com/goodbye";

/// Ann, signed in and remembered, and what her browser finds at the end of the session.
struct Session {
    provider: Provider,
    browser: Browser,
    tokens: Tokens,
}

impl Session {
    async fn begins() -> Self {
        Self::begins_at(Provider::starts().await).await
    }

    async fn begins_at(provider: Provider) -> Self {
        let browser = provider.browser();
        let tokens = provider.signed_in(&browser, "openid offline_access").await;
        Self { provider, browser, tokens }
    }

    async fn leaves(&self, params: &[(&str, &str)]) -> Reply {
        let mut url = Url::parse(&format!("{}/oauth2/logout", self.provider.url)).unwrap();
        url.query_pairs_mut().extend_pairs(params);
        self.browser.get(url.as_str()).await.unwrap()
    }

    /// Whether the browser is still signed in, and the refresh token good.
    async fn lives(&self) -> bool {
        let params = [("prompt", "none")];
        let signed_in =
            self.provider.is_answered(&self.browser, &params).await.params.contains_key("code");
        let form = [("token", self.tokens.refresh.as_str())];
        let refresh = self.provider.post_basic("/oauth2/introspect", &form).await;
        assert_eq!(refresh.body["active"], signed_in, "tokens live and die with the session");
        signed_in
    }

    /// The page asks, and its button is pressed.
    async fn presses(&self, page: &Reply) -> Reply {
        let text = page.text();
        assert!(text.contains("action=\"/oauth2/logout/confirm\""), "{text}");
        let tags = text.split("<input").skip(1).filter(|tag| tag.contains("hidden"));
        let value = |tag: &str, name: &str| {
            let (_, rest) = tag.split_once(&format!("{name}=\"")).unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        let fields: Vec<_> = tags.map(|tag| (value(tag, "name"), value(tag, "value"))).collect();
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.browser.submits("/oauth2/logout/confirm", &fields).await.unwrap()
    }
}

fn went_to(reply: &Reply) -> &str {
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text());
    reply.header("location")
}

#[tokio::test]
async fn oidcc_rp_initiated_logout_discovery_endpoint_verification() {
    let provider = Provider::starts().await;
    let said = provider.get("/.well-known/openid-configuration", None).await.body;
    assert_eq!(said["end_session_endpoint"], format!("{}/oauth2/logout", provider.url));
}

#[tokio::test]
async fn oidcc_rp_initiated_logout() {
    let session = Session::begins().await;
    assert!(session.lives().await);
    let params = [
        ("id_token_hint", session.tokens.id.as_str()),
        ("post_logout_redirect_uri", GOODBYE),
        ("state", "bye bye"),
    ];
    let left = session.leaves(&params).await;
    assert_eq!(went_to(&left), format!("{GOODBYE}?state=bye+bye"));
    assert!(!session.lives().await);
}

#[tokio::test]
async fn a_wish_by_post_stands_in_no_url() {
    let session = Session::begins().await;
    let form =
        [("id_token_hint", session.tokens.id.as_str()), ("post_logout_redirect_uri", GOODBYE)];
    let kept = session.browser.submits("/oauth2/logout", &form).await.unwrap();
    let next = went_to(&kept).to_owned();
    assert!(next.starts_with("/oauth2/logout?kept=") && !next.contains(&session.tokens.id));
    assert!(
        session.lives().await,
        "a cross-site POST alone ends nothing: it comes without cookies"
    );
    assert_eq!(went_to(&session.browser.get(&next).await.unwrap()), GOODBYE);
    assert!(!session.lives().await);
    // After two minutes it is gone.
    session.provider.time_passes(Duration::from_secs(120));
    assert_eq!(session.browser.get(&next).await.unwrap().status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_page_that_asks_after_a_wish_by_post_can_be_loaded_again_and_speaks_the_sites_language() {
    let session = Session::begins().await;
    let form =
        [("client_id", "rp"), ("post_logout_redirect_uri", GOODBYE), ("ui_locales", "fr zh-CN")];
    let kept = session.browser.submits("/oauth2/logout", &form).await.unwrap();
    let page = session.browser.get(went_to(&kept)).await.unwrap();
    // The browser asks for English; the site knows better.
    assert!(page.text().contains("Relying party 请你退出"), "{}", page.text());
    let again = session.browser.get(went_to(&kept)).await.unwrap();
    assert_eq!(again.text(), page.text());
    assert!(session.lives().await);
    assert_eq!(went_to(&session.presses(&again).await), GOODBYE);
    assert!(!session.lives().await);
}

#[tokio::test]
async fn whatever_stands_in_the_way_of_signing_out_the_page_says_that_nobody_was() {
    let session = Session::begins().await;
    for (name, value, code) in [
        ("client_id", "unknown", "unknown_site"),
        ("kept", "made-up", "request_over"),
        ("id_token_hint", "nonsense", "hint_refused"),
    ] {
        let told = session.leaves(&[(name, value)]).await;
        assert_eq!(told.status, StatusCode::BAD_REQUEST, "{code}");
        assert!(told.text().contains("<h1>Not signed out</h1>"), "{code}");
        assert!(told.text().contains(code), "{code}");
    }
    let form = [("client_id", "unknown"), ("ui_locales", "en")];
    let told = session.browser.submits("/oauth2/logout/confirm", &form).await.unwrap();
    assert!(told.text().contains("<h1>Not signed out</h1>"));
    assert!(session.lives().await);
}

#[tokio::test]
async fn oidcc_rp_initiated_logout_bad_post_logout_redirect_uri() {
    let session = Session::begins().await;
    for uri in [
        "https://evil.example/",
        "https://rp.example.com/goodbye/",
        "https://rp.example.com/callback",
    ] {
        let params =
            [("id_token_hint", session.tokens.id.as_str()), ("post_logout_redirect_uri", uri)];
        let left = session.leaves(&params).await;
        assert_eq!(left.status, StatusCode::BAD_REQUEST);
        assert!(left.text().contains("post_logout_not_registered"));
        assert!(left.text().contains("<h1>Not signed out</h1>"));
    }
    assert!(session.lives().await);
}

#[tokio::test]
async fn oidcc_rp_initiated_logout_query_added_to_post_logout_redirect_uri() {
    let session = Session::begins().await;
    let added = format!("{GOODBYE}?foo=bar");
    let params =
        [("id_token_hint", session.tokens.id.as_str()), ("post_logout_redirect_uri", &added)];
    assert_eq!(session.leaves(&params).await.status, StatusCode::BAD_REQUEST);
    assert!(session.lives().await);
}

#[tokio::test]
async fn oidcc_rp_initiated_logout_modified_id_token_hint() {
    let session = Session::begins().await;
    // The claims of another person under the signature of this one.
    let mut parts: Vec<_> = session.tokens.id.split('.').map(ToOwned::to_owned).collect();
    let other = session.provider.signed_in(&session.provider.browser(), "openid").await.id;
    parts[1] = other.split('.').nth(1).unwrap().to_owned();
    let hint = parts.join(".");
    let params = [("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", GOODBYE)];
    assert_eq!(session.leaves(&params).await.status, StatusCode::BAD_REQUEST);
    assert!(session.lives().await);
}

#[tokio::test]
async fn oidcc_rp_initiated_logout_bad_id_token_hint() {
    let session = Session::begins().await;
    // Signed by somebody else: with the relying party's secret, and with nothing.
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    let key = jsonwebtoken::EncodingKey::from_secret(crate::provider::SECRET.as_bytes());
    let claims = session.provider.reads(&session.tokens.id).await;
    let hs256 = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    let unsigned =
        format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", hs256.split('.').nth(1).unwrap());
    for hint in [hs256.as_str(), &unsigned, "nonsense", &session.tokens.access] {
        let params = [("id_token_hint", hint), ("post_logout_redirect_uri", GOODBYE)];
        assert_eq!(session.leaves(&params).await.status, StatusCode::BAD_REQUEST, "{hint}");
        // As a hint of who is meant they are refused as well (threats.md row 55).
        let params = [("id_token_hint", hint), ("prompt", "none")];
        let answered = session.provider.is_answered(&session.browser, &params).await;
        assert_eq!(answered.error(), "invalid_request", "{hint}");
    }
    assert!(session.lives().await);
}

#[tokio::test]
async fn oidcc_rp_initiated_logout_no_id_token_hint() {
    let session = Session::begins().await;
    let params = [("client_id", "rp"), ("post_logout_redirect_uri", GOODBYE), ("state", "s")];
    let page = session.leaves(&params).await;
    assert!(page.text().contains("Relying party would like to sign you out"));
    let policy = page.header("content-security-policy");
    assert!(!policy.contains("form-action"), "the site may lead on to another origin: {policy}");
    assert!(session.lives().await, "a GET without a hint changes nothing");
    assert_eq!(went_to(&session.presses(&page).await), format!("{GOODBYE}?state=s"));
    assert!(!session.lives().await);
}

#[tokio::test]
async fn oidcc_rp_initiated_logout_no_params() {
    let session = Session::begins().await;
    let page = session.leaves(&[]).await;
    assert!(session.lives().await);
    assert!(page.header("content-security-policy").contains("form-action 'self';"));
    // Under no-referrer browsers would send the button's form with "Origin: null", and it would be refused.
    assert!(page.text().contains(r#"<meta name="referrer" content="same-origin">"#));
    // Only saoma's own page may press the button.
    let foreign =
        session.browser.posts("/oauth2/logout/confirm", &json!({}), "https://evil.example").await;
    assert_eq!(foreign.unwrap().status, StatusCode::FORBIDDEN);
    assert!(session.lives().await);
    let left = session.presses(&page).await;
    assert!(left.text().contains("Signed out"), "in the language of the page that asked");
    assert!(!session.lives().await);
}

#[tokio::test]
async fn oidcc_rp_initiated_logout_no_post_logout_redirect_uri() {
    let session = Session::begins().await;
    let left = session.leaves(&[("id_token_hint", &session.tokens.id), ("state", "s")]).await;
    assert_eq!(left.status, StatusCode::OK);
    assert!(left.text().contains("Signed out"));
    assert!(!session.lives().await);
}

#[tokio::test]
async fn oidcc_rp_initiated_logout_no_state() {
    let session = Session::begins().await;
    let params =
        [("id_token_hint", session.tokens.id.as_str()), ("post_logout_redirect_uri", GOODBYE)];
    assert_eq!(went_to(&session.leaves(&params).await), GOODBYE);
    assert!(!session.lives().await);
}

#[tokio::test]
async fn oidcc_rp_initiated_logout_only_state() {
    let session = Session::begins().await;
    let page = session.leaves(&[("state", "s")]).await;
    assert!(session.lives().await);
    assert!(session.presses(&page).await.text().contains("Signed out"));
    assert!(!session.lives().await);
}

#[tokio::test]
async fn the_hint_of_somebody_else_asks_first() {
    let session = Session::begins().await;
    let (browser, phone) = (session.provider.browser(), session.provider.phone("bob"));
    let answered = session.provider.signs_in(&browser, &phone, &[], json!({})).await;
    let bobs = Tokens::of(session.provider.redeems(answered.code()).await).id;
    let page = session.leaves(&[("id_token_hint", &bobs)]).await;
    assert!(page.text().contains("Sign out?"));
    assert!(session.lives().await);
}

#[tokio::test]
async fn a_hint_and_a_client_id_that_do_not_agree_are_nobodys_wish() {
    let mut another = rp();
    another.id = "another".to_owned();
    let session = Session::begins_at(Provider::with(vec![rp(), another]).await).await;
    for id in ["another", "unknown"] {
        let params = [("id_token_hint", session.tokens.id.as_str()), ("client_id", id)];
        assert_eq!(session.leaves(&params).await.status, StatusCode::BAD_REQUEST, "{id}");
    }
    assert!(session.lives().await);
}

#[tokio::test]
async fn a_browser_that_was_not_remembered_is_signed_out_by_its_hint() {
    let provider = Provider::starts().await;
    let (browser, phone) = (provider.browser(), provider.phone("ann"));
    let params = [("scope", "openid offline_access")];
    let approval = json!({ "scopes": ["offline_access"] });
    let answered = provider.signs_in(&browser, &phone, &params, approval).await;
    let tokens = Tokens::of(provider.redeems(answered.code()).await);
    let url = format!("/oauth2/logout?id_token_hint={}", tokens.id);
    assert!(browser.get(&url).await.unwrap().text().contains("Signed out"));
    assert_eq!(provider.refreshes(&tokens.refresh).await.problem(), "400 invalid_grant");
    assert_eq!(provider.userinfo(&tokens.access).await.problem(), "401 invalid_token");
}
