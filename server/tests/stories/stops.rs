//! A server that is asked to stop writes down who waits, and goes on with them when it starts again.

use std::sync::atomic::{AtomicBool, Ordering};

use saoma::{
    http,
    run::{Doors, run},
    secret::Hashed,
    ticket::Ticket,
    tickets::Parked,
};

use crate::support::{Saoma, claims, sees_to_the_end};

#[tokio::test]
async fn a_stop_costs_a_waiting_page_nothing_but_the_time_it_took() {
    let saoma = Saoma::starts().await;
    let element = saoma.site("blog").embeds().await;
    let digits = element.calls("digits").await.json()["digits"].as_str().unwrap().to_owned();
    saoma.passes(30);
    let saoma = saoma.restarts_after(10).await;
    let mut watch = element.watches().await;
    let state = watch.sees().await.unwrap();
    assert_eq!(state, serde_json::json!({ "state": "waiting", "expires_in": 80 }));
    let phone = saoma.phone("ann");
    let asked = phone.types(&digits).await.unwrap();
    phone.approves(&asked).await.unwrap();
    assert_eq!(sees_to_the_end(&mut watch).await, ["scanned", "approved", "closed 1000"]);
    let claimed = element.calls("claim").await.good().unwrap();
    let code = claimed["params"]["code"].as_str().unwrap();
    assert!(saoma.site("blog").redeems(code).await.good().is_ok());
}

#[tokio::test]
async fn a_crowd_that_waits_is_there_again_to_the_last() {
    const CROWD: usize = 5000;
    let saoma = Saoma::starts().await;
    let page = saoma.browser().opens(&saoma.site("blog").asks()).await.unwrap();
    let tickets = &saoma.app.tickets;
    let one = tickets.by_id(Hashed::of(&page.ticket)).await.unwrap().unwrap().ticket;
    for n in 1..CROWD {
        let (id, scene) = (Hashed::of(n.to_string()), format!("scene-{n}"));
        tickets.put(Ticket { id, scene, ..one.clone() }, None).await.unwrap();
    }
    let saoma = saoma.restarts_after(1).await;
    // Who answers has taken them up.
    assert_eq!(saoma.browser().get("/healthz").await.unwrap().status, 200);
    assert_eq!(saoma.app.tickets.how_many().await.unwrap(), CROWD);
    drop(saoma);
}

#[tokio::test]
async fn a_server_says_that_it_is_ready_once_it_has_taken_up_who_waited() {
    let saoma = Saoma::starts().await;
    let database = rusqlite::Connection::open(saoma.database()).unwrap();
    let runs = async || {
        let public = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (router, ready) = (http::public(saoma.app.clone()), AtomicBool::new(false));
        let doors = Doors { public, router, tls: None, operators: None };
        let says = || ready.store(true, Ordering::Relaxed);
        let ran = run(saoma.app.clone(), doors, says, std::future::ready(())).await;
        (ran.is_ok(), ready.into_inner())
    };
    database.execute_batch("ALTER TABLE parked RENAME TO away").unwrap();
    assert_eq!(runs().await, (false, false), "what waits cannot be read");
    database.execute_batch("ALTER TABLE away RENAME TO parked").unwrap();
    assert_eq!(runs().await, (true, true));
}

#[tokio::test]
async fn a_stop_that_took_too_long_is_an_expired_code_that_can_be_renewed() {
    let saoma = Saoma::starts().await;
    let browser = saoma.browser();
    let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    let saoma = saoma.restarts_after(180).await;
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(sees_to_the_end(&mut watch).await, ["expired", "closed 1000"]);
    assert_eq!(browser.calls(&page, "renew").await.unwrap().status, 201);
    drop(saoma);
}

#[tokio::test]
async fn renewals_are_counted_across_a_stop() {
    let saoma = Saoma::starts().await;
    let mut element = saoma.site("blog").embeds().await;
    for _ in 0..3 {
        element = element.renews().await;
    }
    let saoma = saoma.restarts_after(1).await;
    for _ in 0..2 {
        element = element.renews().await;
    }
    assert_eq!(element.calls("renew").await.problem(), "429 too_many_renewals");
    drop(saoma);
}

#[tokio::test]
async fn what_was_decided_is_claimed_after_a_stop_and_what_was_signed_still_verifies() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    let (page, asked) = saoma.scans(&browser, &blog, &phone).await;
    phone.approves(&asked).await.unwrap();
    let code = claims(&browser, &page).await;
    let other = saoma.signs_in(&saoma.browser(), &blog, &phone).await;
    let saoma = saoma.restarts_after(1).await;
    assert_eq!(claims(&browser, &page).await, code);
    let tokens = blog.redeems(&code).await.good().unwrap();
    for id_token in [&tokens["id_token"], &other["id_token"]] {
        blog.checks(id_token.as_str().unwrap(), jsonwebtoken::Algorithm::RS256).await;
    }
    drop(saoma);
}

#[tokio::test]
async fn a_tap_in_the_moment_of_the_stop_counts_whatever_was_written_down() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));
    let (page, asked) = saoma.scans(&browser, &blog, &phone).await;
    let id = Hashed::of(&page.ticket);
    let scanned = saoma.app.tickets.by_id(id).await.unwrap().unwrap().ticket;
    phone.approves(&asked).await.unwrap();
    // Who stops has taken the ticket before the tap could remove it.
    saoma.app.store.park(vec![Parked { ticket: scanned, picture: None }]).await.unwrap();
    let saoma = saoma.restarts_after(1).await;
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(sees_to_the_end(&mut watch).await, ["approved", "closed 1000"]);
    drop(saoma);
}
