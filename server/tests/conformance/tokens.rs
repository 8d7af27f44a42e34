//! Tokens beyond what the suite asks: rotation, replay, revocation, introspection, JWT access tokens, hints, pushed
//! requests.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use saoma::{
    secret::Secret,
    site::{AccessToken, NameClaim, Pkce},
};
use serde_json::json;

use crate::provider::{Provider, SECRET, Tokens, pkce, rp};

const OFFLINE: &str = "openid offline_access";

#[tokio::test]
async fn a_lost_answer_is_given_again_and_is_the_same() {
    let provider = Provider::starts().await;
    let tokens = provider.signed_in(&provider.browser(), OFFLINE).await;
    let first = Tokens::of(provider.refreshes(&tokens.refresh).await);
    provider.time_passes(Duration::from_secs(10));
    let again = Tokens::of(provider.refreshes(&tokens.refresh).await);
    assert_eq!((&first.refresh, &first.access), (&again.refresh, &again.access));
    assert_eq!(again.body["expires_in"], 3590, "it is as old as it was");
    assert_eq!(provider.userinfo(&again.access).await.status, 200);
    Tokens::of(provider.refreshes(&again.refresh).await);
}

#[tokio::test]
async fn a_refresh_token_that_comes_back_ends_its_family() {
    for late in [false, true] {
        let provider = Provider::starts().await;
        let tokens = provider.signed_in(&provider.browser(), OFFLINE).await;
        let thief = Tokens::of(provider.refreshes(&tokens.refresh).await);
        // Either the few seconds are over, or the successor has been used already.
        let newest = if late {
            provider.time_passes(Duration::from_secs(11));
            thief
        } else {
            Tokens::of(provider.refreshes(&thief.refresh).await)
        };
        assert_eq!(provider.refreshes(&tokens.refresh).await.problem(), "400 invalid_grant");
        assert_eq!(provider.refreshes(&newest.refresh).await.problem(), "400 invalid_grant");
        assert_eq!(provider.userinfo(&newest.access).await.problem(), "401 invalid_token");
        assert_eq!(provider.userinfo(&tokens.access).await.problem(), "401 invalid_token");
    }
}

#[tokio::test]
async fn of_many_who_refresh_at_once_all_get_the_same() {
    let provider = Provider::starts().await;
    let tokens = provider.signed_in(&provider.browser(), OFFLINE).await;
    let all = (0..20).map(|_| provider.refreshes(&tokens.refresh));
    let mut given: Vec<_> =
        futures_util::future::join_all(all).await.into_iter().map(Tokens::of).collect();
    given.dedup_by(|one, other| (&one.refresh, &one.access) == (&other.refresh, &other.access));
    assert_eq!(given.len(), 1);
}

#[tokio::test]
async fn a_refresh_token_dies_of_idleness_and_of_age() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const SECOND: Duration = Duration::from_secs(1);
    let provider = Provider::starts().await;
    let idle = provider.signed_in(&provider.browser(), OFFLINE).await;
    let mut busy = provider.signed_in(&provider.browser(), OFFLINE).await;
    // A month is too long, and a second less is not.
    provider.time_passes(30 * DAY - SECOND);
    busy = Tokens::of(provider.refreshes(&busy.refresh).await);
    provider.time_passes(SECOND);
    assert_eq!(provider.refreshes(&idle.refresh).await.problem(), "400 invalid_grant");
    for days in [29, 29, 29, 29, 29] {
        provider.time_passes(days * DAY);
        busy = Tokens::of(provider.refreshes(&busy.refresh).await);
    }
    // 175 days have gone by; at 180 it is over, however busy.
    provider.time_passes(5 * DAY - SECOND);
    busy = Tokens::of(provider.refreshes(&busy.refresh).await);
    provider.time_passes(SECOND);
    assert_eq!(provider.refreshes(&busy.refresh).await.problem(), "400 invalid_grant");
}

#[tokio::test]
async fn a_refresh_may_ask_for_less_and_never_for_more() {
    let provider = Provider::starts().await;
    let tokens = provider.signed_in(&provider.browser(), "openid profile offline_access").await;
    let with = async |scope: &str, token: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)];
        provider.post_basic("/oauth2/token", &form).await
    };
    assert_eq!(with("openid wechat", &tokens.refresh).await.problem(), "400 invalid_scope");
    let less = Tokens::of(with("openid", &tokens.refresh).await);
    assert_eq!(provider.userinfo(&less.access).await.body.get("name"), None);
    let full = Tokens::of(provider.refreshes(&less.refresh).await);
    assert!(provider.userinfo(&full.access).await.body["name"].is_string());
}

#[tokio::test]
async fn a_refresh_token_is_no_access_token_and_the_other_way_round() {
    let provider = Provider::starts().await;
    let tokens = provider.signed_in(&provider.browser(), OFFLINE).await;
    assert_eq!(provider.userinfo(&tokens.refresh).await.problem(), "401 invalid_token");
    assert_eq!(provider.userinfo(&tokens.id).await.problem(), "401 invalid_token");
    assert_eq!(provider.refreshes(&tokens.access).await.problem(), "400 invalid_grant");
    Tokens::of(provider.refreshes(&tokens.refresh).await);
}

#[tokio::test]
async fn a_revoked_refresh_token_takes_all_with_it_an_access_token_only_itself() {
    let provider = Provider::starts().await;
    let tokens = provider.signed_in(&provider.browser(), OFFLINE).await;
    let revoke =
        async |token: &str| provider.post_basic("/oauth2/revoke", &[("token", token)]).await;
    assert_eq!(revoke("never heard of").await.status, 200);
    assert_eq!(revoke(&tokens.access).await.status, 200);
    assert_eq!(provider.userinfo(&tokens.access).await.status, 401);
    let fresh = Tokens::of(provider.refreshes(&tokens.refresh).await);
    assert_eq!(revoke(&fresh.refresh).await.status, 200);
    assert_eq!(provider.userinfo(&fresh.access).await.status, 401);
    assert_eq!(provider.refreshes(&fresh.refresh).await.problem(), "400 invalid_grant");
    let nobody = provider.post("/oauth2/revoke", &[("token", "x"), ("client_id", "rp")]).await;
    assert_eq!(nobody.problem(), "401 invalid_client");
}

#[tokio::test]
async fn a_site_may_look_into_its_own_tokens_and_no_others() {
    let mut other = rp();
    (other.id, other.secret) =
        ("other".to_owned(), "another secret, long enough".to_owned().into());
    let provider = Provider::with(vec![rp(), other]).await;
    let tokens = provider.signed_in(&provider.browser(), OFFLINE).await;
    let own = provider.post_basic("/oauth2/introspect", &[("token", &tokens.access)]).await;
    let sub = provider.reads(&tokens.id).await["sub"].clone();
    let facts =
        json!([own.body["active"], own.body["client_id"], own.body["sub"], own.body["token_type"]]);
    assert_eq!(facts, json!([true, "rp", sub, "Bearer"]));
    let foreign = [
        ("token", tokens.access.as_str()),
        ("client_id", "other"),
        ("client_secret", "another secret, long enough"),
    ];
    let inactive = json!({ "active": false });
    assert_eq!(provider.post("/oauth2/introspect", &foreign).await.body, inactive);
    assert_eq!(provider.post("/oauth2/revoke", &foreign).await.problem(), "400 invalid_grant");
    assert_eq!(provider.userinfo(&tokens.access).await.status, 200);
    let used = Tokens::of(provider.refreshes(&tokens.refresh).await);
    let old = provider.post_basic("/oauth2/introspect", &[("token", &tokens.refresh)]).await;
    let new = provider.post_basic("/oauth2/introspect", &[("token", &used.refresh)]).await;
    assert_eq!((old.body, new.body["active"].clone()), (inactive, json!(true)));
}

#[tokio::test]
async fn another_site_does_nothing_with_a_refresh_token() {
    let mut another = rp();
    another.id = "another".to_owned();
    let provider = Provider::with(vec![rp(), another]).await;
    let tokens = provider.signed_in(&provider.browser(), OFFLINE).await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens.refresh.as_str()),
        ("client_id", "another"),
        ("client_secret", SECRET),
    ];
    assert_eq!(provider.post("/oauth2/token", &form).await.problem(), "400 invalid_grant");
    assert_eq!(provider.refreshes(&tokens.refresh).await.status, 200, "nor is it used up");
}

#[tokio::test]
async fn a_site_may_have_access_tokens_that_others_can_check() {
    let mut site = rp();
    site.access_token = AccessToken::Jwt;
    let provider = Provider::with(vec![site]).await;
    let tokens = provider.signed_in(&provider.browser(), OFFLINE).await;
    let claims = provider.reads_as(&tokens.access, &provider.url, "at+jwt").await;
    assert_eq!(json!([claims["client_id"], claims["scope"]]), json!(["rp", OFFLINE]));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    assert_eq!(provider.userinfo(&tokens.access).await.body["sub"], claims["sub"]);
    // Its jti is in everybody's sight and opens nothing.
    assert_eq!(provider.userinfo(claims["jti"].as_str().unwrap()).await.status, 401);
    let fresh = Tokens::of(provider.refreshes(&tokens.refresh).await);
    assert_eq!(provider.userinfo(&fresh.access).await.status, 200);
    provider.post_basic("/oauth2/revoke", &[("token", &fresh.access)]).await;
    assert_eq!(provider.userinfo(&fresh.access).await.problem(), "401 invalid_token");
    assert_eq!(provider.userinfo(&tokens.access).await.status, 200);
}

#[tokio::test]
async fn a_site_may_have_claims_in_the_id_token_and_a_name_that_never_changes() {
    let mut site = rp();
    (site.id_token_claims, site.name_claim) = (true, NameClaim::Username);
    site.email = "wx-{username}@mail.login.example.com".to_owned();
    let provider = Provider::with(vec![site]).await;
    let tokens = provider.signed_in(&provider.browser(), "openid profile email").await;
    let claims = provider.reads(&tokens.id).await;
    let username = claims["preferred_username"].as_str().unwrap();
    assert_eq!(claims["name"], username);
    assert_eq!(claims["email"], format!("wx-{username}@mail.login.example.com"));
    assert_eq!(claims["aud"], "rp");
}

#[tokio::test]
async fn whoever_else_approves_for_a_hint_gets_nothing_and_leaves_nothing() {
    let provider = Provider::starts().await;
    let browser = provider.browser();
    let hint = provider.signed_in(&provider.browser(), "openid").await.id;
    let params = [("id_token_hint", hint.as_str()), ("prompt", "login")];
    let approval = json!({ "remember": true });
    let bob = provider.phone("bob");
    let answered = provider.signs_in(&browser, &bob, &params, approval.clone()).await;
    assert_eq!(answered.error(), "login_required");
    let silent = provider.is_answered(&browser, &[("prompt", "none")]).await;
    assert_eq!(silent.error(), "login_required", "Bob is not remembered either");
    let js_code = json!({ "js_code": bob.logs_in().await.unwrap() });
    let session = bob.calls(Method::POST, "session", None, &js_code).await.unwrap().json();
    let token = session["token"].as_str();
    let logins = bob.calls(Method::GET, "logins", token, &json!({})).await.unwrap().json();
    assert_eq!(logins["logins"], json!([]), "nor signed in anywhere");
    provider.signs_in(&browser, &provider.phone("ann"), &params, approval).await.code();
}

#[tokio::test]
async fn a_remembered_browser_of_another_person_is_not_who_the_hint_means() {
    let provider = Provider::starts().await;
    let (browser, bob) = (provider.browser(), provider.phone("bob"));
    let hint = provider.signed_in(&provider.browser(), "openid").await.id;
    provider.signs_in(&browser, &bob, &[], json!({ "remember": true })).await.code();
    provider.is_answered(&browser, &[("prompt", "none")]).await.code();
    let params = [("prompt", "none"), ("id_token_hint", hint.as_str())];
    let answered = provider.is_answered(&browser, &params).await;
    assert_eq!(answered.error(), "login_required");
    // Bob is signed in here: that nobody is would be no help to who writes the site.
    assert_eq!(
        answered.params["error_description"],
        "no sign-in that this browser remembers answers this request; ask without prompt=none"
    );
}

#[tokio::test]
async fn a_parameter_that_comes_twice_is_refused() {
    let provider = Provider::starts().await;
    let browser = provider.browser();
    for name in ["scope", "state", "nonce", "prompt", "response_type", "code_challenge"] {
        let url = format!("{}&{name}=a&{name}=b", provider.request(&[(name, "")]));
        let reply = browser.get(&url).await.unwrap();
        assert!(reply.header("location").contains("error=invalid_request"), "{name}");
        assert!(name != "state" || !reply.header("location").contains("state="));
    }
    for name in ["client_id", "redirect_uri"] {
        let url = format!("{}&{name}=rp", provider.request(&[]));
        assert_eq!(browser.get(&url).await.unwrap().status, StatusCode::BAD_REQUEST, "{name}");
    }
}

#[tokio::test]
async fn a_request_may_be_pushed_ahead() {
    let provider = Provider::starts().await;
    let (verifier, challenge) = pkce();
    let form = [
        ("response_type", "code"),
        ("redirect_uri", "https://rp.example.com/callback"),
        ("scope", "openid"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let pushed = provider.post_basic("/oauth2/par", &form).await;
    assert_eq!((pushed.status, &pushed.body["expires_in"]), (201, &json!(600)));
    let params = [
        ("request_uri", pushed.text("request_uri")),
        ("scope", "openid wechat"),
        ("redirect_uri", "https://evil.example"),
    ];
    let answered =
        provider.signs_in(&provider.browser(), &provider.phone("ann"), &params, json!({})).await;
    assert_eq!(answered.to, "https://rp.example.com/callback", "only what was pushed counts");
    let redeem = [
        ("grant_type", "authorization_code"),
        ("code", answered.code()),
        ("redirect_uri", "https://rp.example.com/callback"),
        ("code_verifier", verifier),
    ];
    let tokens = Tokens::of(provider.post_basic("/oauth2/token", &redeem).await);
    assert_eq!(tokens.body["scope"], "openid");
    // Pushed requests are checked when they are pushed, by a site that proves who it is.
    let mut wrong = form;
    wrong[1].1 = "https://evil.example";
    assert_eq!(provider.post_basic("/oauth2/par", &wrong).await.problem(), "400 invalid_request");
    let nobody =
        provider.post("/oauth2/par", &[("client_id", "rp"), ("client_secret", "no")]).await;
    assert_eq!(nobody.problem(), "401 invalid_client");
}

#[tokio::test]
async fn a_site_is_told_what_is_wrong_with_a_request_it_pushes_and_what_to_do() {
    let provider = Provider::starts().await;
    let long = "x".repeat(17 * 1024);
    for (wrong, told) in [
        (
            ("redirect_uri", "https://evil.example"),
            "This redirect_uri is not registered. Add it, to the letter, to the site's redirect_uris. (https://evil.example)",
        ),
        (
            ("state", &long),
            "The request is not of the right form. (state and nonce may have 2048 bytes at most)",
        ),
        (("login_hint", &long), "The request is not of the right form. (the request is too long)"),
    ] {
        let mut form = vec![("response_type", "code"), ("scope", "openid"), wrong];
        if wrong.0 != "redirect_uri" {
            form.push(("redirect_uri", "https://rp.example.com/callback"));
        }
        let refused = provider.post_basic("/oauth2/par", &form).await;
        assert_eq!(refused.problem(), "400 invalid_request", "{}", wrong.0);
        assert_eq!(refused.text("error_description"), told);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_has_the_same_word_pushed_ahead_and_in_a_browser() {
    let provider = Provider::starts().await;
    for (name, value, word) in [
        ("request", "e30.e30.", "request_not_supported"),
        ("request_uri", "https://rp.example.com/request", "request_uri_not_supported"),
        ("response_type", "token", "unsupported_response_type"),
        ("scope", "profile", "invalid_scope"),
        ("max_age", "soon", "invalid_request"),
    ] {
        let mut form = vec![
            ("client_id", "rp"),
            ("redirect_uri", "https://rp.example.com/callback"),
            ("response_type", "code"),
            ("scope", "openid"),
        ];
        form.retain(|(own, _)| *own != name);
        form.push((name, value));
        let refused = provider.post_basic("/oauth2/par", &form).await;
        assert_eq!(refused.problem(), format!("400 {word}"), "{name}");
        let asked = provider.browser().submits("/oauth2/authorize", &form).await.unwrap();
        let location = asked.header("location");
        assert!(location.contains(&format!("error={word}&")), "{name}: {location}");
    }
}

#[tokio::test]
async fn a_pushed_request_may_be_named_by_post_as_well() {
    let mut another = rp();
    another.id = "another".to_owned();
    let provider = Provider::with(vec![rp(), another]).await;
    let (browser, phone) = (provider.browser(), provider.phone("ann"));
    let form = [
        ("response_type", "code"),
        ("redirect_uri", "https://rp.example.com/callback"),
        ("scope", "openid"),
    ];
    let pushed = provider.post_basic("/oauth2/par", &form).await;
    let names = |id| [("client_id", id), ("request_uri", pushed.text("request_uri"))];
    let foreign = browser.submits("/oauth2/authorize", &names("another")).await.unwrap();
    assert_eq!(foreign.status, StatusCode::BAD_REQUEST);
    assert!(foreign.text().contains("request_over"));
    let sent_on = browser.submits("/oauth2/authorize", &names("rp")).await.unwrap();
    assert_eq!(sent_on.status, StatusCode::SEE_OTHER, "{}", sent_on.text());
    let page = browser.opens(sent_on.header("location")).await.unwrap();
    let answered = provider.scans_and_approves(&browser, &phone, &page, json!({})).await;
    Tokens::of(provider.redeems(answered.code()).await);
}

/// RFC 6749 section 3.2. Many libraries send every field of their form, whether they have a value for it or not.
#[tokio::test]
async fn a_parameter_without_a_value_was_not_sent() {
    let mut page = rp();
    (page.id, page.secret, page.pkce) =
        ("page".to_owned(), Secret::from(String::new()), Pkce::Required);
    page.device = true;
    let provider = Provider::with(vec![rp(), page]).await;
    let (browser, phone) = (provider.browser(), provider.phone("ann"));
    // A site without a secret sends none.
    let (verifier, challenge) = pkce();
    let params = [
        ("client_id", "page"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    let answered = provider.signs_in(&browser, &phone, &params, json!({})).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", answered.code()),
        ("redirect_uri", "https://rp.example.com/callback"),
        ("code_verifier", verifier),
        ("client_id", "page"),
        ("client_secret", ""),
    ];
    Tokens::of(provider.post("/oauth2/token", &form).await);
    let form = [("client_id", "page"), ("client_secret", "")];
    assert_eq!(provider.post("/oauth2/device_authorization", &form).await.status, 200);
    // A site that sent no challenge has no verifier, and one whose secret stands in the header sends none beside it.
    let answered = provider.signs_in(&browser, &phone, &[], json!({})).await;
    let nothing = [("client_id", ""), ("client_secret", "")];
    let form = [
        ("grant_type", "authorization_code"),
        ("code", answered.code()),
        ("redirect_uri", "https://rp.example.com/callback"),
        ("code_verifier", ""),
    ];
    let tokens = provider.post_basic("/oauth2/token", &[&form[..], &nothing].concat()).await;
    let tokens = Tokens::of(tokens);
    let form = [("token", tokens.access.as_str())];
    let looked = provider.post_basic("/oauth2/introspect", &[&form[..], &nothing].concat()).await;
    assert_eq!(looked.body["active"], true);
    let form = [
        ("response_type", "code"),
        ("redirect_uri", "https://rp.example.com/callback"),
        ("scope", "openid"),
    ];
    let pushed = provider.post_basic("/oauth2/par", &[&form[..], &nothing].concat()).await;
    assert_eq!(pushed.status, 201);
    // Nor is an empty secret one.
    let form = [("token", tokens.access.as_str()), ("client_id", "rp"), ("client_secret", "")];
    let unproven = provider.post("/oauth2/introspect", &form).await;
    assert_eq!(unproven.text("error_description"), "introspection needs a client_secret");
}

#[tokio::test]
async fn a_site_proves_itself_in_one_way_at_a_time() {
    let provider = Provider::starts().await;
    let both = [("grant_type", "authorization_code"), ("code", "x"), ("client_secret", SECRET)];
    let answer = provider.post_basic("/oauth2/token", &both).await;
    assert_eq!(answer.problem(), "400 invalid_request");
    // A confidential site does not become a public one by leaving out its secret.
    let none = provider
        .post("/oauth2/token", &[("grant_type", "authorization_code"), ("client_id", "rp")]);
    assert_eq!(none.await.problem(), "401 invalid_client");
    let unknown = provider.post_basic("/oauth2/token", &[("grant_type", "password")]).await;
    assert_eq!(unknown.problem(), "400 unsupported_grant_type");
}

/// Many libraries leave the encoding of RFC 6749 section 2.3.1 out, and know no better secret.
#[tokio::test]
async fn a_secret_that_the_header_carries_unencoded_is_known_all_the_same() {
    let provider = Provider::starts().await;
    let tokens = provider.signed_in(&provider.browser(), OFFLINE).await;
    let form = [("token", tokens.access.as_str())];
    let unencoded = provider.post_as_it_is("/oauth2/introspect", &form, SECRET).await;
    assert_eq!(unencoded.body["active"], true);
    let other = provider.post_as_it_is("/oauth2/introspect", &form, "s3cret +").await;
    assert_eq!(other.problem(), "401 invalid_client");
}
