//! The modules of `oidcc-backchannel-rp-initiated-logout-certification-test-plan`, and what a site that does not hear well
//! is owed.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Form, Router, extract::State, http::StatusCode, routing::post};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use saoma::{backchannel, http, metrics::Now, site::Site};
use serde_json::{Value, json};

use crate::provider::{Provider, rp};

/// A site's server that writes down what it is told, and answers with these statuses, the last of them for ever; with none
/// it never answers.
#[derive(Clone)]
struct Ear {
    heard: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Vec<StatusCode>>>,
}

type Told = Form<std::collections::HashMap<String, String>>;

async fn hear(
    State(ear): State<Ear>,
    Form(told): Told,
) -> (StatusCode, [(&'static str, &'static str); 1]) {
    ear.heard.lock().unwrap().push(told["logout_token"].clone());
    match ear.answer() {
        Some(answer) => (answer, [("location", "/elsewhere")]),
        None => std::future::pending().await,
    }
}

impl Ear {
    async fn listens(answers: &[StatusCode]) -> (Self, String) {
        let ear = Self { heard: Arc::default(), answers: Arc::new(Mutex::new(answers.to_vec())) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/logout", listener.local_addr().unwrap());
        let router = Router::new().route("/logout", post(hear)).route("/elsewhere", post(hear));
        tokio::spawn(http::serve(listener, router.with_state(ear.clone()), std::future::pending()));
        (ear, uri)
    }

    fn answer(&self) -> Option<StatusCode> {
        let mut answers = self.answers.lock().unwrap();
        if answers.len() > 1 { Some(answers.remove(0)) } else { answers.first().copied() }
    }

    /// Holds that it is told so often in all, and not once more, while the clock stands; and that its last answer is known.
    async fn has_heard(&self, times: usize, provider: &Provider) {
        let counted = async || {
            let text = provider.app.metrics.text(&Now::of(&provider.app).await).unwrap();
            let count = |line: &str| line.rsplit(' ').next()?.parse::<usize>().ok();
            let lines = text.lines().filter(|line| line.starts_with("saoma_logouts_total{"));
            lines.filter_map(count).sum::<usize>()
        };
        let told = async {
            while counted().await < times {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), told).await.expect("it was not told");
        provider.lets_go_on().await;
        assert_eq!(self.heard().len(), times);
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn site(uri: &str) -> Site {
    let mut site = rp();
    site.backchannel_logout_uri = uri.to_owned();
    site
}

#[tokio::test]
async fn oidcc_backchannel_logout_discovery_endpoint_verification() {
    let provider = Provider::starts().await;
    let said = provider.get("/.well-known/openid-configuration", None).await.body;
    assert_eq!(said["backchannel_logout_supported"], true);
    assert_eq!(said["backchannel_logout_session_supported"], true);
}

#[tokio::test]
async fn oidcc_backchannel_rp_initiated_logout() {
    let (ear, uri) = Ear::listens(&[StatusCode::OK]).await;
    let provider = Provider::with(vec![site(&uri)]).await;
    let browser = provider.browser();
    let id = provider.signed_in(&browser, "openid").await.id;
    let left = browser.get(&format!("/oauth2/logout?id_token_hint={id}")).await.unwrap();
    assert!(left.text().contains("Signed out"));
    let token = provider.sees(async || ear.heard().pop()).await;
    let (signed_in, told) =
        (provider.reads(&id).await, provider.reads_as(&token, "rp", "logout+jwt").await);
    assert_eq!((&told["sub"], &told["sid"]), (&signed_in["sub"], &signed_in["sid"]));
    let event = "http://schemas.openid.net/event/backchannel-logout";
    assert_eq!(told["events"], json!({ event: {} }));
    assert_eq!(told.get("nonce"), None, "a logout token must not pass for an id_token");
    let as_hint = browser.get(&format!("/oauth2/logout?id_token_hint={token}")).await.unwrap();
    assert_eq!(as_hint.status, StatusCode::BAD_REQUEST, "nor here for a hint");
    assert!(told["jti"].as_str().is_some_and(|jti| jti.len() == 22));
    assert_eq!(told["exp"].as_i64().unwrap() - told["iat"].as_i64().unwrap(), 120);
}

#[tokio::test]
async fn a_login_ended_on_the_phone_is_told_too() {
    let (ear, uri) = Ear::listens(&[StatusCode::NO_CONTENT]).await;
    let provider = Provider::with(vec![site(&uri)]).await;
    provider.signed_in(&provider.browser(), "openid").await;
    let phone = provider.phone("ann");
    let call = async |method, path: &str, token: Option<&str>, body: Value| {
        phone.calls(method, path, token, &body).await.unwrap()
    };
    let js_code = phone.logs_in().await.unwrap();
    let session = call(reqwest::Method::POST, "session", None, json!({ "js_code": js_code })).await;
    let token = session.json()["token"].as_str().unwrap().to_owned();
    let logins = call(reqwest::Method::GET, "logins", Some(&token), json!({})).await.json();
    let id = logins["logins"][0]["id"].as_str().unwrap().to_owned();
    call(reqwest::Method::DELETE, &format!("logins/{id}"), Some(&token), json!({})).await;
    let told = provider.sees(async || ear.heard().pop()).await;
    assert_eq!(provider.reads_as(&told, "rp", "logout+jwt").await["sid"], id);
}

#[tokio::test]
async fn a_site_that_is_down_is_told_again_and_one_that_never_answers_is_given_up() {
    let down = StatusCode::SERVICE_UNAVAILABLE;
    let (ear, uri) = Ear::listens(&[down]).await;
    let provider = Provider::with(vec![site(&uri)]).await;
    let browser = provider.browser();
    let id = provider.signed_in(&browser, "openid").await.id;
    browser.get(&format!("/oauth2/logout?id_token_hint={id}")).await.unwrap();
    provider.sees(async || (ear.heard().len() == 1).then_some(())).await;
    let (minute, hour) = (60, 3600);
    for (again, wait) in (1..).zip([10, minute, 5 * minute, 30 * minute, 3 * hour, 20 * hour]) {
        ear.has_heard(again, &provider).await;
        provider.time_passes(Duration::from_secs(wait - 1));
        assert_eq!(backchannel::round(&provider.app).await.unwrap(), 0, "{wait}");
        ear.has_heard(again, &provider).await;
        provider.time_passes(Duration::from_secs(1));
        backchannel::round(&provider.app).await.unwrap();
        ear.has_heard(again + 1, &provider).await;
    }
    provider.time_passes(Duration::from_secs(30 * 24 * 3600));
    assert_eq!(backchannel::round(&provider.app).await.unwrap(), 0, "then nothing is left to tell");
    assert_eq!(ear.heard().len(), 7, "the first try and six more");
}

#[tokio::test]
async fn a_site_that_does_not_answer_is_told_by_one_node_for_a_minute_and_waited_for_so_long() {
    let (ear, uri) = Ear::listens(&[]).await;
    let provider = Provider::with(vec![site(&uri)]).await;
    let browser = provider.browser();
    let id = provider.signed_in(&browser, "openid").await.id;
    browser.get(&format!("/oauth2/logout?id_token_hint={id}")).await.unwrap();
    provider.sees(async || (!ear.heard().is_empty()).then_some(())).await;
    // This node might have died of it: another one tries when its minute is over.
    provider.time_passes(Duration::from_secs(59));
    assert_eq!(backchannel::round(&provider.app).await.unwrap(), 0);
    provider.time_passes(Duration::from_secs(1));
    let again = tokio::time::timeout(Duration::from_secs(60), backchannel::round(&provider.app));
    assert_eq!(again.await.expect("it is not waited for without end").unwrap(), 1);
    assert_eq!(ear.heard().len(), 2);
}

#[tokio::test]
async fn a_server_that_the_world_reaches_calls_no_private_address_without_the_sites_word() {
    for (private, outcome) in [(false, "failed"), (true, "told")] {
        let (ear, uri) = Ear::listens(&[StatusCode::OK]).await;
        let site = Site { device: true, backchannel_private: private, ..site(&uri) };
        let provider = Provider::known_as(Some("https://login.example.com"), vec![site]).await;
        let id = provider.signed_in_at_a_terminal().await.id;
        let claims = URL_SAFE_NO_PAD.decode(id.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        let store = &provider.app.store;
        let login = store.login(claims["sid"].as_str().unwrap()).await.unwrap().unwrap();
        store.end_login(&login.person, &login.id, provider.app.world.now()).await.unwrap();
        let counted = format!("saoma_logouts_total{{outcome=\"{outcome}\"}} 1");
        provider
            .sees(async || {
                let text = provider.app.metrics.text(&Now::of(&provider.app).await).unwrap();
                text.contains(&counted).then_some(())
            })
            .await;
        assert_eq!(ear.heard().len(), usize::from(private));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (ear, uri) = Ear::listens(&[StatusCode::TEMPORARY_REDIRECT, StatusCode::OK]).await;
    let provider = Provider::with(vec![site(&uri)]).await;
    let browser = provider.browser();
    let id = provider.signed_in(&browser, "openid").await.id;
    browser.get(&format!("/oauth2/logout?id_token_hint={id}")).await.unwrap();
    provider.sees(async || (!ear.heard().is_empty()).then_some(())).await;
    // The answer was no success, and so the same address is told again; nobody went elsewhere with the first token.
    provider.sees(async || (ear.heard().len() == 2).then_some(())).await;
    let heard = ear.heard();
    assert_ne!(heard[0], heard[1], "each try has a token of its own");
}
