//! What the clock alone does: codes expire, are renewed, and what was decided is over.

use std::time::Duration;

use serde_json::json;

use crate::support::{Saoma, claims, sees_to_the_end};

#[tokio::test]
async fn a_page_sees_expired_the_moment_its_time_is_over() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    let scene = saoma.scene(&page.ticket).await;
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(watch.sees_state().await.unwrap(), "waiting");

    saoma.passes(119);
    let url = format!("/api/tickets/{}", page.ticket);
    let polled = browser.get(&url).await.unwrap().json();
    assert_eq!(polled, json!({ "state": "waiting", "expires_in": 1 }));

    saoma.passes(1);
    assert_eq!(sees_to_the_end(&mut watch).await, ["expired", "closed 1000"]);
    assert_eq!(phone.scans(&scene, 1047).await.unwrap_err(), "410 ticket_expired");
    assert_eq!(browser.calls(&page, "claim").await.unwrap().problem(), "410 ticket_expired");
    let picture = browser.reads_code(&page).await.unwrap_err();
    assert_eq!(picture, "404 no_such_ticket", "an expired code is not shown again");

    saoma.passes(120);
    saoma.app.tickets.purge(saoma.app.world.now()).await.unwrap();
    assert_eq!(phone.scans(&scene, 1047).await.unwrap_err(), "404 no_such_ticket");
}

#[tokio::test]
async fn who_scans_in_the_last_second_has_two_more_minutes_to_decide() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    let page = browser.opens(&blog.asks()).await.unwrap();
    saoma.passes(119);
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    assert_eq!((&asked.shown["age"], &asked.shown["expires_in"]), (&json!(119), &json!(120)));

    saoma.passes(60);
    let again = phone.scans(&asked.scene, 1047).await.unwrap();
    assert_eq!(again.shown["expires_in"], 60, "a second scan does not buy time");

    saoma.passes(59);
    phone.approves(&again).await.unwrap();
    let code = claims(&browser, &page).await;
    assert!(blog.redeems(&code).await.good().is_ok());
}

#[tokio::test]
async fn who_decides_too_late_is_told_so_and_the_page_sees_it_too() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let (page, asked) = saoma.scans(&browser, &saoma.site("blog"), &phone).await;
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(watch.sees_state().await.unwrap(), "scanned");
    saoma.passes(120);
    assert_eq!(watch.sees_state().await.unwrap(), "expired");
    assert_eq!(phone.approves(&asked).await.unwrap_err(), "410 ticket_expired");
    assert_eq!(phone.denies(&asked).await.unwrap_err(), "410 ticket_expired");
}

#[tokio::test]
async fn a_page_renews_its_code_five_times_and_not_six() {
    let saoma = Saoma::starts().await;
    let (blog, phone) = (saoma.site("blog"), saoma.phone("ann"));
    let mut element = blog.embeds().await;
    for _ in 0..5 {
        saoma.passes(121);
        let (old, old_key) = (element.page.ticket.clone(), element.key.clone());
        let old_scene = saoma.scene(&old).await;
        element = element.renews().await;
        assert_ne!(element.page.ticket, old);
        assert_ne!(element.key, old_key);
        let gone = element.browser.get(&format!("/api/tickets/{old}")).await.unwrap();
        assert_eq!(gone.problem(), "404 no_such_ticket", "the old ticket dies");
        assert_eq!(phone.scans(&old_scene, 1047).await.unwrap_err(), "404 no_such_ticket");
    }
    let sixth = element.calls("renew").await;
    assert_eq!(sixth.problem(), "429 too_many_renewals");

    let asked = phone.scans(&saoma.scene(&element.page.ticket).await, 1047).await.unwrap();
    phone.approves(&asked).await.unwrap();
    let claimed = element.calls("claim").await.good().unwrap();
    let code = claimed["params"]["code"].as_str().unwrap();
    assert!(blog.redeems(code).await.good().is_ok(), "the request is the same as at first");
}

#[tokio::test]
async fn the_hosted_page_renews_without_a_key() {
    let saoma = Saoma::starts().await;
    let browser = saoma.browser();
    let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    let mut watch = browser.watches(&page).await.unwrap();
    let renewed = browser.calls(&page, "renew").await.unwrap();
    assert_eq!((renewed.status.as_u16(), renewed.json().get("key")), (201, None));
    assert_ne!(renewed.json()["ticket"], json!(page.ticket));
    assert_eq!(sees_to_the_end(&mut watch).await, ["waiting", "closed 1000"]);
}

#[tokio::test]
async fn what_a_phone_has_scanned_cannot_be_renewed_away() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let (page, asked) = saoma.scans(&browser, &saoma.site("blog"), &phone).await;
    assert_eq!(browser.calls(&page, "renew").await.unwrap().problem(), "409 already_scanned");
    assert_eq!(browser.calls(&page, "digits").await.unwrap().problem(), "409 already_scanned");
    phone.approves(&asked).await.unwrap();
    assert_eq!(browser.calls(&page, "renew").await.unwrap().problem(), "409 already_decided");
    assert_eq!(browser.calls(&page, "digits").await.unwrap().problem(), "409 already_decided");
    assert_eq!(browser.calls(&page, "cancel").await.unwrap().problem(), "409 already_decided");
}

#[tokio::test]
async fn a_code_is_good_for_a_minute_from_the_first_claim() {
    let saoma = Saoma::starts().await;
    let (blog, phone) = (saoma.site("blog"), saoma.phone("ann"));
    let claimed = async || {
        let browser = saoma.browser();
        let (page, asked) = saoma.scans(&browser, &blog, &phone).await;
        phone.approves(&asked).await.unwrap();
        saoma.passes(30);
        let code = claims(&browser, &page).await;
        saoma.passes(59);
        assert_eq!(claims(&browser, &page).await, code, "a second claim buys no time");
        (browser, page, code)
    };
    let (_, _, code) = claimed().await;
    assert!(blog.redeems(&code).await.good().is_ok());

    let (browser, page, code) = claimed().await;
    saoma.passes(1);
    assert_eq!(blog.redeems(&code).await.problem(), "400 invalid_grant");
    assert_eq!(browser.calls(&page, "claim").await.unwrap().problem(), "404 no_such_ticket");
}

#[tokio::test]
async fn what_was_decided_can_be_claimed_for_two_minutes_and_ten_where_the_person_is_on_the_phone()
{
    let saoma = Saoma::starts().await;
    let (blog, phone) = (saoma.site("blog"), saoma.phone("ann"));
    for (on_phone, time) in [(false, 120), (true, 600)] {
        for (passed, outcome) in [(time - 1, 200), (time, 404)] {
            let element = blog.embeds_with(&json!({ "on_phone": on_phone })).await;
            let asked = phone.scans(&saoma.scene(&element.page.ticket).await, 1047).await.unwrap();
            let number = saoma.app.tickets.by_scene(&asked.scene).await.unwrap().unwrap();
            let number = match number.ticket.stage {
                saoma::ticket::Stage::Scanned(scan) => scan.number,
                saoma::ticket::Stage::Waiting => None,
            };
            phone.approves_with(&asked, &json!({ "match": number })).await.unwrap();
            saoma.passes(passed);
            let claimed = element.calls("claim").await;
            assert_eq!(claimed.status, outcome, "on_phone {on_phone} after {passed} s");
        }
    }
}

#[tokio::test]
async fn a_page_that_gives_up_takes_its_code_along() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    let scene = saoma.scene(&page.ticket).await;
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(browser.calls(&page, "cancel").await.unwrap().status, 204);
    assert_eq!(sees_to_the_end(&mut watch).await, ["waiting", "closed 1000"]);
    assert_eq!(phone.scans(&scene, 1047).await.unwrap_err(), "404 no_such_ticket");
    assert_eq!(browser.calls(&page, "claim").await.unwrap().problem(), "404 no_such_ticket");
}

#[tokio::test]
async fn who_signs_in_while_the_clock_stands_before_the_first_start_gets_their_tokens() {
    let saoma = Saoma::starts().await;
    saoma.app.world.set_back(Duration::from_secs(2 * 3600));
    let blog = saoma.site("blog");
    let tokens = saoma.signs_in(&saoma.browser(), &blog, &saoma.phone("ann")).await;
    let id_token = tokens["id_token"].as_str().unwrap();
    blog.checks(id_token, jsonwebtoken::Algorithm::RS256).await;
}
