//! What must not become an advantage when something breaks: a store that does not answer, a clock that goes back.

use std::time::Duration;

use rusqlite::Connection;

use crate::stage::Play;

#[tokio::test]
async fn a_store_that_is_locked_is_told_and_nothing_counts_as_decided() {
    let play = Play::new().await;
    let browser = play.browser("192.0.2.1");
    let phone = play.phone("ann", "192.0.2.1");
    let (page, scene) = play.page(&browser).await;
    let asked = phone.scans(&scene, 1047).await.unwrap();
    let other = Connection::open(play.folder.path().join("saoma.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let told = phone.approves(&asked).await;
    assert_eq!(told.unwrap_err(), "503 unavailable");
    let state = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
    assert_eq!(state["state"], "scanned");
    assert_eq!(browser.calls(&page, "claim").await.unwrap().problem(), "409 not_decided");
    other.execute_batch("ROLLBACK").unwrap();
    phone.approves(&asked).await.expect("the same tap counts once the store is back");
    assert_eq!(browser.calls(&page, "claim").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_code_that_was_spent_stays_spent_whatever_the_clock_says() {
    let play = Play::new().await;
    let browser = play.browser("192.0.2.1");
    let phone = play.phone("ann", "192.0.2.1");
    let once = async |code: &str| {
        let first = play.redeems(&browser, "blog", code).await.good().unwrap();
        let access = first["access_token"].as_str().unwrap().to_owned();
        assert_eq!(play.userinfo(&access).await, 200);
        access
    };
    let code = play.code(&browser, &phone, "blog").await;
    let access = once(&code).await;
    // Somebody sets the clock back: to before the code was there.
    play.app.world.set_back(Duration::from_secs(300));
    let again = play.redeems(&browser, "blog", &code).await;
    assert_eq!(again.problem(), "400 invalid_grant");
    assert_eq!(play.userinfo(&access).await, 401, "who has a code twice has it from a thief");

    // What has ended and is forgotten does not come back with the hour in which it was good.
    let code = play.code(&browser, &phone, "blog").await;
    let access = once(&code).await;
    play.app.world.advance(Duration::from_secs(3600));
    assert_eq!(play.userinfo(&access).await, 401);
    play.app.store.prune(play.app.world.now()).await.unwrap();
    play.app.world.set_back(Duration::from_secs(3600));
    assert_eq!(play.redeems(&browser, "blog", &code).await.problem(), "400 invalid_grant");
    assert_eq!(play.userinfo(&access).await, 401);
}
