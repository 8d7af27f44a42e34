//! `oidcc-formpost-basic-certification-test-plan` runs the basic modules with response_mode=form_post. What differs is how
//! an answer travels: those modules here are the ones whose answers do.

use reqwest::StatusCode;
use saoma::try_it::actors::{Browser, scene_in};
use serde_json::json;

use crate::provider::{Answered, Provider, Tokens};

const FORM_POST: (&str, &str) = ("response_mode", "form_post");

#[tokio::test]
async fn oidcc_server() {
    let provider = Provider::starts().await;
    let (browser, phone) = (provider.browser(), provider.phone("ann"));
    let answered = provider.signs_in(&browser, &phone, &[FORM_POST], json!({})).await;
    assert!(
        answered.to.starts_with(&provider.url) && answered.params.is_empty(),
        "no code in a URL"
    );
    let reply = browser.get(&answered.to).await.unwrap();
    assert_eq!(reply.header("cache-control"), "no-store");
    assert!(reply.header("content-security-policy").starts_with("default-src 'none'; "));
    let posted = Answered::posted(&reply);
    assert_eq!(posted.to, "https://rp.example.com/callback");
    assert_eq!(
        (&posted.params["state"], &posted.params["iss"]),
        (&"st4te".to_owned(), &provider.url)
    );
    Tokens::of(provider.redeems(posted.code()).await);
}

/// What is posted to the site where no phone is asked.
async fn is_answered(provider: &Provider, params: &[(&str, &str)]) -> Answered {
    is_answered_in(provider, &provider.browser(), params).await
}

async fn is_answered_in(
    provider: &Provider,
    browser: &Browser,
    params: &[(&str, &str)],
) -> Answered {
    let params: Vec<_> = params.iter().copied().chain([FORM_POST]).collect();
    let reply = browser.get(&provider.request(&params)).await.unwrap();
    assert_eq!(reply.status, StatusCode::OK);
    Answered::posted(&reply)
}

#[tokio::test]
async fn oidcc_response_type_missing() {
    let provider = Provider::starts().await;
    let answered = is_answered(&provider, &[("response_type", "")]).await;
    assert_eq!((answered.error(), answered.params["state"].as_str()), ("invalid_request", "st4te"));
    assert_eq!(answered.params["iss"], provider.url);
}

#[tokio::test]
async fn oidcc_prompt_none_not_logged_in() {
    let provider = Provider::starts().await;
    assert_eq!(is_answered(&provider, &[("prompt", "none")]).await.error(), "login_required");
}

#[tokio::test]
async fn oidcc_prompt_none_logged_in() {
    let provider = Provider::starts().await;
    let browser = provider.browser();
    let first = provider.reads(&provider.signed_in(&browser, "openid").await.id).await;
    let posted = is_answered_in(&provider, &browser, &[("prompt", "none")]).await;
    assert_eq!(posted.to, "https://rp.example.com/callback");
    let tokens = Tokens::of(provider.redeems(posted.code()).await);
    assert_eq!(provider.reads(&tokens.id).await["sub"], first["sub"]);
}

#[tokio::test]
async fn a_no_on_the_phone_is_posted_as_well() {
    let provider = Provider::starts().await;
    let (browser, phone) = (provider.browser(), provider.phone("ann"));
    let page = browser.opens(&provider.request(&[FORM_POST])).await.unwrap();
    let text = browser.reads_code(&page).await.unwrap();
    phone.denies(&phone.scans(&scene_in(&text).unwrap(), 1047).await.unwrap()).await.unwrap();
    let claimed = browser.calls(&page, "claim").await.unwrap().good().unwrap();
    let next = claimed["redirect_to"].as_str().unwrap();
    assert_eq!(Answered::at(next).params.len(), 0, "nothing of it in a URL");
    let posted = Answered::posted(&browser.get(next).await.unwrap());
    assert_eq!(posted.to, "https://rp.example.com/callback");
    assert_eq!((posted.error(), posted.params["state"].as_str()), ("access_denied", "st4te"));
    assert_eq!(posted.params["iss"], provider.url);
}

#[tokio::test]
async fn oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported() {
    let provider = Provider::starts().await;
    let answered = is_answered(&provider, &[("request", "eyJhbGciOiJub25lIn0.e30.")]).await;
    assert_eq!(answered.error(), "request_not_supported");
}

#[tokio::test]
async fn what_a_site_sends_as_state_is_text_in_the_page_and_never_markup() {
    let provider = Provider::starts().await;
    let state = "\"><script>alert(1)</script>";
    let params = [("prompt", "none"), ("state", state), FORM_POST];
    let reply = provider.browser().get(&provider.request(&params)).await.unwrap();
    assert!(!reply.text().contains("<script>alert"));
    let posted = Answered::posted(&reply);
    assert_eq!(posted.to, "https://rp.example.com/callback");
    assert_eq!(posted.error(), "login_required");
    assert_eq!(posted.params["state"], "&#34;&#62;&#60;script&#62;alert(1)&#60;/script&#62;");
    assert!(!reply.text().contains("Confirmed"), "an error is no yes: {}", reply.text());
}
