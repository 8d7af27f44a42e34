//! The modules of `oidcc-basic-certification-test-plan`, each under its own name.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::provider::{NOW, Provider, Tokens, pkce, rp};

#[tokio::test]
async fn oidcc_server() {
    let provider = Provider::starts().await;
    let (browser, phone) = (provider.browser(), provider.phone("ann"));
    let answered = provider.signs_in(&browser, &phone, &[], json!({})).await;
    assert_eq!(answered.to, "https://rp.example.com/callback");
    assert_eq!(
        (&answered.params["state"], &answered.params["iss"]),
        (&"st4te".to_owned(), &provider.url)
    );
    let tokens = Tokens::of(provider.redeems(answered.code()).await);
    assert_eq!(tokens.body["expires_in"], 3600);
    assert_eq!(tokens.body["scope"], "openid");
    assert_eq!(tokens.body.get("refresh_token"), None);
    let claims = provider.reads(&tokens.id).await;
    assert_eq!(claims["nonce"], "n0nce");
    let now = NOW.seconds();
    assert_eq!(
        json!([claims["iat"], claims["auth_time"], claims["exp"]]),
        json!([now, now, now + 600])
    );
    assert_eq!(json!([claims["acr"], claims["amr"]]), json!(["urn:saoma:scan", ["mca", "user"]]));
    assert_eq!(claims["at_hash"], saoma::keys::at_hash(&tokens.access));
    assert!(claims["sub"].as_str().is_some_and(|sub| sub.len() == 22 && sub.is_ascii()));
}

#[tokio::test]
async fn oidcc_response_type_missing() {
    let provider = Provider::starts().await;
    let answered = provider.is_answered(&provider.browser(), &[("response_type", "")]).await;
    assert_eq!(answered.error(), "invalid_request");
    assert_eq!(
        (&answered.params["state"], &answered.params["iss"]),
        (&"st4te".to_owned(), &provider.url)
    );
    let answered =
        provider.is_answered(&provider.browser(), &[("response_type", "id_token")]).await;
    assert_eq!(answered.error(), "unsupported_response_type");
}

#[tokio::test]
async fn oidcc_idtoken_signature() {
    let mut es256 = rp();
    es256.alg = saoma::site::Alg::ES256;
    for site in [rp(), es256] {
        let alg = site.alg;
        let provider = Provider::with(vec![site]).await;
        let tokens = provider.signed_in(&provider.browser(), "openid").await;
        let header = jsonwebtoken::decode_header(&tokens.id).unwrap();
        assert_eq!(format!("{:?}", header.alg), format!("{alg:?}"));
        provider.reads(&tokens.id).await;
    }
}

#[tokio::test]
async fn oidcc_idtoken_unsigned() {
    let provider = Provider::starts().await;
    let discovery = provider.get("/.well-known/openid-configuration", None).await.body;
    let algs = discovery["id_token_signing_alg_values_supported"].as_array().unwrap();
    assert!(!algs.contains(&json!("none")) && algs.contains(&json!("RS256")));
}

#[tokio::test]
async fn oidcc_userinfo_get() {
    let provider = Provider::starts().await;
    let tokens = provider.signed_in(&provider.browser(), "openid").await;
    let told = provider.userinfo(&tokens.access).await;
    assert_eq!(told.headers["cache-control"], "no-store");
    let sub = provider.reads(&tokens.id).await["sub"].clone();
    assert_eq!(told.body, json!({ "sub": sub }));
}

#[tokio::test]
async fn oidcc_userinfo_post_header() {
    let provider = Provider::starts().await;
    let tokens = provider.signed_in(&provider.browser(), "openid").await;
    let url = format!("{}/oauth2/userinfo", provider.url);
    let told = reqwest::Client::new().post(url).bearer_auth(&tokens.access).send().await.unwrap();
    assert_eq!(told.status(), StatusCode::OK);
}

#[tokio::test]
async fn oidcc_userinfo_post_body() {
    let provider = Provider::starts().await;
    let tokens = provider.signed_in(&provider.browser(), "openid").await;
    let told = provider.post("/oauth2/userinfo", &[("access_token", &tokens.access)]).await;
    assert_eq!(told.status, 200);
    // In a URL it would be written down wherever it passes.
    let in_url = format!("/oauth2/userinfo?access_token={}", tokens.access);
    assert_eq!(provider.get(&in_url, None).await.status, 401);
    assert_eq!(provider.post(&in_url, &[]).await.status, 401);
}

#[tokio::test]
async fn oidcc_ensure_request_without_nonce_succeeds_for_code_flow() {
    let provider = Provider::starts().await;
    let (browser, phone) = (provider.browser(), provider.phone("ann"));
    let answered = provider.signs_in(&browser, &phone, &[("nonce", "")], json!({})).await;
    let tokens = Tokens::of(provider.redeems(answered.code()).await);
    assert_eq!(provider.reads(&tokens.id).await.get("nonce"), None);
}

/// The claims of a sign-in with these scopes, all of them ticked, beside `sub`.
async fn claims_of(scopes: &str) -> Value {
    let provider = Provider::starts().await;
    let tokens = provider.signed_in(&provider.browser(), scopes).await;
    let mut claims = provider.userinfo(&tokens.access).await.body;
    claims.as_object_mut().unwrap().remove("sub").unwrap();
    claims
}

#[tokio::test]
async fn oidcc_scope_profile() {
    let claims = claims_of("openid profile").await;
    let username = claims["preferred_username"].as_str().unwrap();
    assert!(username.len() == 11 && username.starts_with('u'));
    assert_eq!(
        claims,
        json!({ "preferred_username": username, "name": format!("guest {username}") })
    );
}

#[tokio::test]
async fn oidcc_scope_email() {
    let claims = claims_of("openid email").await;
    let address = claims["email"].as_str().unwrap();
    assert!(address.starts_with('u') && address.ends_with("@users.example.com"));
    // Nobody said that the domain is the operator's.
    assert_eq!(claims["email_verified"], false);
    assert_eq!(claims.as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn oidcc_scope_address() {
    assert_eq!(claims_of("openid address").await, json!({}), "saoma knows no addresses");
}

#[tokio::test]
async fn oidcc_scope_phone() {
    assert_eq!(claims_of("openid phone").await, json!({}), "saoma never asks for phone numbers");
}

#[tokio::test]
async fn oidcc_scope_all() {
    let claims = claims_of("openid profile email address phone").await;
    let names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["email", "email_verified", "name", "preferred_username"]);
}

#[tokio::test]
async fn oidcc_alternate_happy_flow() {
    // The same with what the suite varies: another scope order, PKCE, client_secret_post.
    let provider = Provider::starts().await;
    let (verifier, challenge) = pkce();
    let params = [
        ("scope", "profile openid"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let (browser, phone) = (provider.browser(), provider.phone("ann"));
    let approval = json!({ "scopes": ["profile"] });
    let answered = provider.signs_in(&browser, &phone, &params, approval).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", answered.code()),
        ("redirect_uri", "https://rp.example.com/callback"),
        ("client_id", "rp"),
        ("client_secret", crate::provider::SECRET),
        ("code_verifier", verifier),
    ];
    let tokens = Tokens::of(provider.post("/oauth2/token", &form).await);
    assert_eq!(tokens.body["scope"], "openid profile");
}

/// A request with a parameter that may make no difference.
async fn succeeds_with(name: &str, value: &str) -> reqwest::header::HeaderMap {
    let provider = Provider::starts().await;
    let (browser, phone) = (provider.browser(), provider.phone("ann"));
    let reply = browser.get(&provider.request(&[(name, value)])).await.unwrap();
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let answered = provider.signs_in(&browser, &phone, &[(name, value)], json!({})).await;
    Tokens::of(provider.redeems(answered.code()).await);
    reply.headers
}

#[tokio::test]
async fn oidcc_display_page() {
    succeeds_with("display", "page").await;
}

#[tokio::test]
async fn oidcc_display_popup() {
    succeeds_with("display", "popup").await;
}

#[tokio::test]
async fn oidcc_login_hint() {
    succeeds_with("login_hint", "ann@example.com").await;
}

#[tokio::test]
async fn oidcc_claims_locales() {
    succeeds_with("claims_locales", "se").await;
}

#[tokio::test]
async fn oidcc_ensure_request_with_acr_values_succeeds() {
    succeeds_with("acr_values", "1 2").await;
}

#[tokio::test]
async fn oidcc_ensure_request_with_unknown_parameter_succeeds() {
    succeeds_with("extra", "foobar").await;
}

#[tokio::test]
async fn oidcc_claims_essential() {
    let claims = r#"{"userinfo":{"name":{"essential":true}},"id_token":{"name":null}}"#;
    succeeds_with("claims", claims).await;
}

#[tokio::test]
async fn oidcc_ui_locales() {
    let provider = Provider::starts().await;
    // The browser asks for English; the site knows better.
    let (browser, url) = (provider.browser(), provider.request(&[("ui_locales", "fr zh-CN en")]));
    assert!(browser.get(&url).await.unwrap().text().contains("<html lang=\"zh-CN\">"));
    let url = provider.request(&[("ui_locales", "se")]);
    assert!(browser.get(&url).await.unwrap().text().contains("<html lang=\"en\">"));
}

#[tokio::test]
async fn oidcc_prompt_login() {
    for prompt in ["login", "consent", "select_account", "login consent"] {
        let provider = Provider::starts().await;
        let browser = provider.browser();
        provider.signed_in(&browser, "openid").await;
        provider.time_passes(Duration::from_secs(60));
        let answered = provider
            .signs_in(&browser, &provider.phone("ann"), &[("prompt", prompt)], json!({}))
            .await;
        let tokens = Tokens::of(provider.redeems(answered.code()).await);
        assert_eq!(provider.reads(&tokens.id).await["auth_time"], NOW.seconds() + 60, "{prompt}");
    }
}

#[tokio::test]
async fn oidcc_prompt_none_not_logged_in() {
    let provider = Provider::starts().await;
    let answered = provider.is_answered(&provider.browser(), &[("prompt", "none")]).await;
    assert_eq!(answered.error(), "login_required");
    assert_eq!(
        (&answered.params["state"], &answered.params["iss"]),
        (&"st4te".to_owned(), &provider.url)
    );
    let answered = provider.is_answered(&provider.browser(), &[("prompt", "none login")]).await;
    assert_eq!(answered.error(), "invalid_request");
}

#[tokio::test]
async fn oidcc_prompt_none_logged_in() {
    let provider = Provider::starts().await;
    let browser = provider.browser();
    let first = provider.reads(&provider.signed_in(&browser, "openid").await.id).await;
    provider.time_passes(Duration::from_secs(3600));
    let answered = provider.is_answered(&browser, &[("prompt", "none")]).await;
    let tokens = Tokens::of(provider.redeems(answered.code()).await);
    let second = provider.reads(&tokens.id).await;
    assert_eq!((&first["sub"], &first["auth_time"]), (&second["sub"], &second["auth_time"]));
    // Honest: nobody held a phone this time.
    assert_eq!(second["acr"], "0");
}

#[tokio::test]
async fn oidcc_max_age_1() {
    let provider = Provider::starts().await;
    let browser = provider.browser();
    provider.signed_in(&browser, "openid").await;
    provider.time_passes(Duration::from_secs(2));
    for max_age in ["1", "0"] {
        let params = [("max_age", max_age), ("prompt", "none")];
        assert_eq!(provider.is_answered(&browser, &params).await.error(), "login_required");
    }
    let answered =
        provider.signs_in(&browser, &provider.phone("ann"), &[("max_age", "1")], json!({})).await;
    let tokens = Tokens::of(provider.redeems(answered.code()).await);
    assert_eq!(provider.reads(&tokens.id).await["auth_time"], NOW.seconds() + 2);
    let odd = provider.is_answered(&browser, &[("max_age", "-1")]).await;
    assert_eq!(odd.error(), "invalid_request");
}

#[tokio::test]
async fn oidcc_max_age_10000() {
    let provider = Provider::starts().await;
    let browser = provider.browser();
    provider.signed_in(&browser, "openid").await;
    provider.time_passes(Duration::from_secs(9_999));
    provider.is_answered(&browser, &[("max_age", "10000")]).await.code();
    provider.time_passes(Duration::from_secs(2));
    let page = browser.opens(&provider.request(&[("max_age", "10000")])).await;
    assert!(page.is_ok(), "the person is asked again");
}

#[tokio::test]
async fn oidcc_id_token_hint() {
    let provider = Provider::starts().await;
    let browser = provider.browser();
    let hint = provider.signed_in(&browser, "openid").await.id;
    provider.time_passes(Duration::from_secs(90 * 24 * 3600 / 10));
    let answered =
        provider.is_answered(&browser, &[("prompt", "none"), ("id_token_hint", &hint)]).await;
    answered.code();
}

#[tokio::test]
async fn oidcc_ensure_post_request_succeeds() {
    let provider = Provider::starts().await;
    let (browser, phone) = (provider.browser(), provider.phone("ann"));
    let url = url::Url::parse(&provider.request(&[])).unwrap();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let form: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let reply = browser.submits("/oauth2/authorize", &form).await.unwrap();
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    let next = reply.header("location");
    assert!(next.starts_with("/oauth2/authorize?client_id=rp&request_uri=urn%3A"), "{next}");
    assert!(!next.contains("st4te") && !next.contains("n0nce"), "what was posted is in the URL");
    let page = browser.opens(next).await.unwrap();
    let answered = provider.scans_and_approves(&browser, &phone, &page, json!({})).await;
    assert_eq!(answered.params["state"], "st4te");
    let tokens = Tokens::of(provider.redeems(answered.code()).await);
    assert_eq!(provider.reads(&tokens.id).await["nonce"], "n0nce");
    // After ten minutes it is gone.
    provider.time_passes(Duration::from_secs(600));
    assert_eq!(browser.get(next).await.unwrap().status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn oidcc_ensure_registered_redirect_uri() {
    let provider = Provider::starts().await;
    for uri in [
        "https://rp.example.com/callback/",
        "https://rp.example.com/callback?x=1",
        "https://evil.example",
    ] {
        let reply =
            provider.browser().get(&provider.request(&[("redirect_uri", uri)])).await.unwrap();
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{uri}");
        assert!(reply.text().contains("redirect_uri_not_registered"));
    }
}

fn unsigned_object() -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "redirect_uri": "https://evil.example/", "state": "forged" });
    format!("{}.{}.", part(json!({ "alg": "none" })), part(claims))
}

#[tokio::test]
async fn oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported() {
    let provider = Provider::starts().await;
    let answered =
        provider.is_answered(&provider.browser(), &[("request", &unsigned_object())]).await;
    assert_eq!(answered.error(), "request_not_supported");
    assert_eq!(answered.params["state"], "st4te");
}

#[tokio::test]
async fn oidcc_ensure_request_object_with_redirect_uri() {
    let provider = Provider::starts().await;
    let params = [("request", unsigned_object()), ("redirect_uri", String::new())];
    let params = params.each_ref().map(|(name, value)| (*name, value.as_str()));
    let reply = provider.browser().get(&provider.request(&params)).await.unwrap();
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "nothing inside the object counts");
}

#[tokio::test]
async fn oidcc_request_uri_unsigned_supported_correctly_or_rejected_as_unsupported() {
    let provider = Provider::starts().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/request.jwt", listener.local_addr().unwrap());
    let answered = provider.is_answered(&provider.browser(), &[("request_uri", &uri)]).await;
    assert_eq!(answered.error(), "request_uri_not_supported");
    // Nobody has come to fetch it.
    assert!(futures_util::FutureExt::now_or_never(listener.accept()).is_none());
}

#[tokio::test]
async fn oidcc_codereuse() {
    let provider = Provider::starts().await;
    let answered =
        provider.signs_in(&provider.browser(), &provider.phone("ann"), &[], json!({})).await;
    Tokens::of(provider.redeems(answered.code()).await);
    assert_eq!(provider.redeems(answered.code()).await.problem(), "400 invalid_grant");
}

#[tokio::test]
async fn oidcc_codereuse_30seconds() {
    let provider = Provider::starts().await;
    let (browser, phone) = (provider.browser(), provider.phone("ann"));
    let params = [("scope", "openid offline_access")];
    let approval = json!({ "scopes": ["offline_access"] });
    let answered = provider.signs_in(&browser, &phone, &params, approval).await;
    let tokens = Tokens::of(provider.redeems(answered.code()).await);
    provider.time_passes(Duration::from_secs(30));
    assert_eq!(provider.redeems(answered.code()).await.problem(), "400 invalid_grant");
    assert_eq!(provider.userinfo(&tokens.access).await.problem(), "401 invalid_token");
    assert_eq!(provider.refreshes(&tokens.refresh).await.problem(), "400 invalid_grant");
}

#[tokio::test]
async fn oidcc_server_client_secret_post() {
    let provider = Provider::starts().await;
    let answered =
        provider.signs_in(&provider.browser(), &provider.phone("ann"), &[], json!({})).await;
    let form = |secret: &'static str| {
        [
            ("grant_type", "authorization_code"),
            ("code", answered.code()),
            ("redirect_uri", "https://rp.example.com/callback"),
            ("client_id", "rp"),
            ("client_secret", secret),
        ]
    };
    let wrong = provider.post("/oauth2/token", &form("another")).await;
    assert_eq!(wrong.problem(), "401 invalid_client");
    assert!(wrong.headers["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    // A wrong secret burns nothing: whoever has none could end every sign-in.
    Tokens::of(provider.post("/oauth2/token", &form(crate::provider::SECRET)).await);
}

#[tokio::test]
async fn oidcc_refresh_token() {
    let provider = Provider::starts().await;
    let tokens = provider.signed_in(&provider.browser(), "openid offline_access").await;
    let first = provider.reads(&tokens.id).await;
    provider.time_passes(Duration::from_secs(1800));
    let fresh = Tokens::of(provider.refreshes(&tokens.refresh).await);
    let second = provider.reads(&fresh.id).await;
    for same in ["iss", "sub", "aud", "auth_time", "sid"] {
        assert!(!first[same].is_null(), "{same}");
        assert_eq!(first[same], second[same]);
    }
    assert_eq!((second["iat"].as_i64(), second.get("nonce")), (Some(NOW.seconds() + 1800), None));
    assert!(fresh.access != tokens.access && fresh.refresh != tokens.refresh);
    assert_eq!(provider.userinfo(&fresh.access).await.status, 200);
}

#[tokio::test]
async fn oidcc_ensure_request_with_valid_pkce_succeeds() {
    let provider = Provider::starts().await;
    let (browser, phone) = (provider.browser(), provider.phone("ann"));
    let (verifier, challenge) = pkce();
    let params = [("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")];
    let redeem =
        async |verifier: &str| {
            let answered = provider.signs_in(&browser, &phone, &params, json!({})).await;
            let form = [
                ("grant_type", "authorization_code"),
                ("code", answered.code()),
                ("redirect_uri", "https://rp.example.com/callback"),
                ("code_verifier", verifier),
            ];
            let first = provider.post_basic("/oauth2/token", &form).await;
            let right = form.map(|(name, value)| {
                if name == "code_verifier" { (name, self::pkce().0) } else { (name, value) }
            });
            (first, provider.post_basic("/oauth2/token", &right).await)
        };
    let (good, _) = redeem(verifier).await;
    Tokens::of(good);
    // A wrong verifier burns the code, so that nobody can try a second one.
    let (wrong, right) = redeem(&verifier.replace('v', "w")).await;
    assert_eq!(
        (wrong.problem(), right.problem()),
        ("400 invalid_grant".into(), "400 invalid_grant".into())
    );
    let params = [("code_challenge", verifier), ("code_challenge_method", "plain")];
    let plain = provider.is_answered(&browser, &params).await;
    assert_eq!(plain.error(), "invalid_request");
}
