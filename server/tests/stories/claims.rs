//! From the decision to the token: who may claim, who may redeem, and how often.

use saoma::try_it::actors::Reply;
use serde_json::json;

use crate::{
    site::{Site, VERIFIER},
    support::{Saoma, claims, goes_next},
};

/// An approved ticket of this site, claimed: its code.
async fn a_code(saoma: &Saoma, site: &Site) -> String {
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let (page, asked) = saoma.scans(&browser, site, &phone).await;
    phone.approves(&asked).await.unwrap();
    claims(&browser, &page).await
}

#[tokio::test]
async fn there_is_nothing_to_claim_before_the_decision() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    let page = browser.opens(&blog.asks()).await.unwrap();
    assert_eq!(browser.calls(&page, "claim").await.unwrap().problem(), "409 not_decided");
    phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    assert_eq!(browser.calls(&page, "claim").await.unwrap().problem(), "409 not_decided");
}

#[tokio::test]
async fn a_lost_claim_is_answered_again_until_the_code_is_redeemed() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    let (page, asked) = saoma.scans(&browser, &blog, &phone).await;
    phone.approves(&asked).await.unwrap();
    let next = goes_next(&browser, &page).await;
    assert_eq!(goes_next(&browser, &page).await, next);
    assert!(blog.redeems(&crate::support::param(&next, "code")).await.good().is_ok());
    assert_eq!(browser.calls(&page, "claim").await.unwrap().problem(), "404 no_such_ticket");
    let state = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap();
    assert_eq!(state.problem(), "404 no_such_ticket");
    assert_eq!(phone.scans(&asked.scene, 1047).await.unwrap_err(), "404 no_such_ticket");
}

#[tokio::test]
async fn a_late_claim_is_answered_again_for_as_long_as_its_code_is_good() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    for redeems in [true, false] {
        let (page, asked) = saoma.scans(&browser, &blog, &phone).await;
        phone.approves(&asked).await.unwrap();
        saoma.passes(119);
        let next = goes_next(&browser, &page).await;
        saoma.passes(59);
        assert_eq!(goes_next(&browser, &page).await, next, "a lost reply is given again");
        if redeems {
            assert!(blog.redeems(&crate::support::param(&next, "code")).await.good().is_ok());
        } else {
            saoma.passes(1);
        }
        let over = browser.calls(&page, "claim").await.unwrap();
        assert_eq!(over.problem(), "404 no_such_ticket");
    }
}

#[tokio::test]
async fn who_gives_up_twice_is_answered_the_same() {
    let saoma = Saoma::starts().await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    let (element, page) = (blog.embeds().await, browser.opens(&blog.asks()).await.unwrap());
    for time in ["first", "second"] {
        assert_eq!(element.calls("cancel").await.status, 204, "{time}");
        assert_eq!(browser.calls(&page, "cancel").await.unwrap().status, 204, "{time}");
    }
    let foreign = element.calls_as("cancel", "made up", &blog.origin).await;
    assert_eq!(foreign.problem(), "404 no_such_ticket");
    let elsewhere = element.calls_as("cancel", &element.key, "https://shop.example.com").await;
    assert_eq!(elsewhere.problem(), "403 origin_not_allowed");
    let stranger = saoma.browser().calls(&page, "cancel").await.unwrap();
    assert_eq!(stranger.problem(), "404 no_such_ticket");
    assert_eq!(element.calls("renew").await.problem(), "404 no_such_ticket");
    saoma.passes(120);
    assert_eq!(element.calls("cancel").await.problem(), "404 no_such_ticket");
}

#[tokio::test]
async fn an_address_is_made_up_at_every_site_for_who_ticks_it() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    let page = browser.opens(&blog.asks_with(&[("scope", "openid profile email")])).await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    assert_eq!(asked.shown["scopes"], json!(["profile", "email"]));
    let ticked = json!({ "scopes": ["profile", "email"] });
    phone.approves_with(&asked, &ticked).await.unwrap();
    let tokens = blog.redeems(&claims(&browser, &page).await).await.good().unwrap();
    let who = blog.asks_who(tokens["access_token"].as_str().unwrap()).await.good().unwrap();
    let address = format!("{}@saoma.invalid", who["preferred_username"].as_str().unwrap());
    assert_eq!((&who["email"], &who["email_verified"]), (&json!(address), &json!(false)));
}

#[tokio::test]
async fn an_embedded_ticket_is_claimed_with_its_key_and_no_other() {
    let saoma = Saoma::starts().await;
    let (blog, phone) = (saoma.site("blog"), saoma.phone("ann"));
    let (mine, other) = (blog.embeds().await, blog.embeds().await);
    let asked = phone.scans(&saoma.scene(&mine.page.ticket).await, 1047).await.unwrap();
    phone.approves(&asked).await.unwrap();
    for key in [other.key.as_str(), "", "made up", &mine.page.ticket, &asked.scene, &asked.token] {
        let refused = mine.calls_as("claim", key, &blog.origin).await;
        assert_eq!(refused.problem(), "404 no_such_ticket", "{key}");
    }
    let url = format!("/api/tickets/{}/claim", mine.page.ticket);
    let without = mine.browser.posts(&url, &json!({}), &blog.origin).await.unwrap();
    assert_eq!(without.problem(), "404 no_such_ticket");
    assert!(mine.calls("claim").await.good().is_ok());
}

#[tokio::test]
async fn a_wrong_verifier_burns_the_code() {
    let saoma = Saoma::starts().await;
    let blog = saoma.site("blog");
    let wrong = VERIFIER.replace('d', "e");
    for verifier in [wrong.as_str(), "short", ""] {
        let code = a_code(&saoma, &blog).await;
        let refused = blog.redeems_with(&code, &[("code_verifier", verifier)]).await;
        assert_eq!(refused.problem(), "400 invalid_grant");
        assert_eq!(
            blog.redeems(&code).await.problem(),
            "400 invalid_grant",
            "burnt by {verifier:?}"
        );
    }
}

#[tokio::test]
async fn a_verifier_where_no_challenge_was_sent_is_refused() {
    let saoma = Saoma::starts().await;
    let (wiki, browser, phone) = (saoma.site("wiki"), saoma.browser(), saoma.phone("ann"));
    let none = [("code_challenge", ""), ("code_challenge_method", "")];
    let page = browser.opens(&wiki.asks_with(&none)).await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    phone.approves(&asked).await.unwrap();
    let refused = wiki.redeems(&claims(&browser, &page).await).await;
    assert_eq!(refused.problem(), "400 invalid_grant", "somebody stripped the challenge");
}

#[tokio::test]
async fn who_cannot_prove_who_it_is_burns_nothing() {
    let saoma = Saoma::starts().await;
    let shop = saoma.site("shop");
    let code = a_code(&saoma, &shop).await;
    for wrong in ["a wrong secret", "a secret of the wiki"] {
        let refused = shop.redeems_with(&code, &[("client_secret", wrong)]).await;
        assert_eq!(refused.problem(), "401 invalid_client");
        assert!(refused.header("www-authenticate").starts_with("Basic"));
    }
    let nobody = saoma.site("blog").redeems_with(&code, &[("client_id", "shop")]).await;
    assert_eq!(nobody.problem(), "401 invalid_client", "no secret at all");
    let unknown = saoma.site("blog").redeems_with(&code, &[("client_id", "unknown")]).await;
    assert_eq!(unknown.json(), nobody.json(), "an unknown site looks the same");
    assert!(shop.redeems(&code).await.good().is_ok());
}

#[tokio::test]
async fn a_code_is_for_the_site_and_the_address_it_was_made_for() {
    let saoma = Saoma::starts().await;
    let (blog, wiki) = (saoma.site("blog"), saoma.site("wiki"));
    let code = a_code(&saoma, &blog).await;
    let stolen = wiki.redeems_with(&code, &[("redirect_uri", &blog.redirect_uri)]).await;
    assert_eq!(stolen.problem(), "400 invalid_grant");
    for redirect_uri in ["", "https://blog.example.com/callback/", "https://evil.example/"] {
        let refused = blog.redeems_with(&code, &[("redirect_uri", redirect_uri)]).await;
        assert_eq!(refused.problem(), "400 invalid_grant", "{redirect_uri}");
    }
    assert!(blog.redeems(&code).await.good().is_ok());
}

#[tokio::test]
async fn a_code_redeemed_twice_takes_back_what_the_first_gave() {
    let saoma = Saoma::starts().await;
    let (blog, wiki) = (saoma.site("blog"), saoma.site("wiki"));
    let code = a_code(&saoma, &blog).await;
    let tokens = blog.redeems(&code).await;
    assert_eq!(tokens.header("cache-control"), "no-store");
    let token = tokens.good().unwrap()["access_token"].as_str().unwrap().to_owned();
    assert!(blog.asks_who(&token).await.good().is_ok());

    let other = wiki.redeems_with(&code, &[("redirect_uri", &blog.redirect_uri)]).await;
    assert_eq!(other.problem(), "400 invalid_grant");
    assert!(blog.asks_who(&token).await.good().is_ok(), "another site cannot revoke it");

    assert_eq!(blog.redeems(&code).await.problem(), "400 invalid_grant");
    let refused = blog.asks_who(&token).await;
    assert_eq!(refused.problem(), "401 invalid_token");
    assert!(refused.header("www-authenticate").contains("error=\"invalid_token\""));
}

#[tokio::test]
async fn an_access_token_ends_after_an_hour_and_is_taken_from_its_header_alone() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    let tokens = saoma.signs_in(&browser, &blog, &phone).await;
    let token = tokens["access_token"].as_str().unwrap();
    let url = format!("{}/oauth2/userinfo", saoma.url);
    let query = saoma.http.get(format!("{url}?access_token={token}")).send().await.unwrap();
    assert_eq!(query.status(), 401);
    let twice = saoma.http.post(&url).bearer_auth(token).form(&[("access_token", token)]);
    let twice = Reply::of(twice).await.unwrap();
    assert_eq!(twice.problem(), "400 invalid_request");
    assert!(twice.header("www-authenticate").contains("error=\"invalid_request\""));
    let id_token = tokens["id_token"].as_str().unwrap();
    assert_eq!(
        blog.asks_who(id_token).await.problem(),
        "401 invalid_token",
        "an id_token opens nothing"
    );
    saoma.passes(3599);
    let who = blog.asks_who(token).await;
    assert_eq!((who.status.as_u16(), who.header("cache-control")), (200, "no-store"));
    saoma.passes(1);
    assert_eq!(blog.asks_who(token).await.problem(), "401 invalid_token");
}

#[tokio::test]
async fn the_token_endpoint_says_what_is_wrong_with_a_request() {
    let saoma = Saoma::starts().await;
    let blog = saoma.site("blog");
    for (more, problem) in [
        (("grant_type", ""), "400 invalid_request"),
        (("grant_type", "password"), "400 unsupported_grant_type"),
        (("code", ""), "400 invalid_request"),
        (("client_id", ""), "401 invalid_client"),
        (("code", "made up"), "400 invalid_grant"),
    ] {
        let refused = blog.redeems_with("x", &[more]).await;
        assert_eq!(refused.problem(), problem, "{more:?}");
        assert!(!refused.json()["error_description"].as_str().unwrap().is_empty());
    }
    let both = saoma.site("shop");
    let url = format!("{}/oauth2/token", saoma.url);
    let basic = crate::site::basic("shop", both.secret.as_deref().unwrap());
    let form = [("grant_type", "authorization_code"), ("code", "x"), ("client_secret", "x")];
    let twice =
        saoma.http.post(&url).header("authorization", basic).form(&form).send().await.unwrap();
    assert_eq!(twice.status(), 400, "credentials in the header and in the body");
    let json = saoma.http.post(&url).json(&json!({ "grant_type": "authorization_code" }));
    assert!(json.send().await.unwrap().status().is_client_error());
}
