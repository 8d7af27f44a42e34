//! Other services of the same mini program ask for the token, and nobody else gets it.

use saoma::try_it::actors::Reply;

use crate::{console::Console, process::Process, support::Saoma};

const SECRET: &str = "a secret of the shop, of which nobody knows";

#[tokio::test]
async fn a_neighbour_gets_the_one_token_and_the_log_of_the_owner_says_so_once() {
    let more = format!("[neighbours]\nsecrets = [\"shop:{SECRET}\"]");
    let mut saoma = Process::starts_with("info", &more).await;
    let url = format!("{}/neighbours/token", saoma.operators());
    let http = reqwest::Client::new();
    let asks = async |secret: &str| {
        Reply::of(http.get(&url).header("authorization", format!("Bearer {secret}"))).await.unwrap()
    };
    // What cannot be written down is not given, and is no old news afterwards.
    let store = rusqlite::Connection::open(saoma.database()).unwrap();
    let refuse = "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'full'); END";
    store.execute_batch(refuse).unwrap();
    assert_eq!(asks(SECRET).await.status, 503);
    store.execute_batch("DROP TRIGGER full").unwrap();
    let given = asks(SECRET).await;
    assert_eq!(given.header("cache-control"), "no-store");
    let given = given.good().unwrap();
    assert!(given["expires_in"].as_u64().unwrap() > 6000, "{given}");
    assert_eq!(asks(SECRET).await.json()["access_token"], given["access_token"]);
    assert_eq!(saoma.wechat.pretend.count("/cgi-bin/stable_token"), 1, "asking costs no call");
    assert_eq!(
        asks("a secret of somebody else, who is curious").await.problem(),
        "401 wrong_secret"
    );
    assert_eq!(Reply::of(http.get(&url)).await.unwrap().problem(), "401 wrong_secret");
    let public = url.replace(&saoma.operators(), &saoma.url);
    assert_eq!(Reply::of(http.get(&public).bearer_auth(SECRET)).await.unwrap().status, 404);
    saoma.is_asked_to_stop().await;
    assert!(!saoma.log().contains(given["access_token"].as_str().unwrap()));
    let sql = "SELECT count(*), max(detail) FROM audit WHERE what = 'token.given'";
    let audited: (u32, String) =
        store.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(audited, (1, "{\"neighbour\":\"shop\"}".to_owned()));
}

#[tokio::test]
async fn who_guesses_is_held_back() {
    let saoma = Saoma::starts_with(&[
        ("SAOMA_NEIGHBOURS__SECRETS", &format!("[\"shop:{SECRET}\"]")),
        ("SAOMA_LIMITS__WRONG_SECRETS_PER_ADDRESS", "3"),
    ])
    .await;
    let url = format!("{}/neighbours/token", Console::of(&saoma).await.url);
    let http = reqwest::Client::new();
    let asks = async |secret: &str| Reply::of(http.get(&url).bearer_auth(secret)).await.unwrap();
    assert_eq!(asks(SECRET).await.status, 200);
    for n in 0..3 {
        let guessed = asks(&format!("a guess of somebody who is curious, say {n}")).await;
        assert_eq!(guessed.problem(), "401 wrong_secret");
    }
    let held = asks(SECRET).await;
    assert_eq!(held.problem(), "429 too_many_requests", "not even with the right one, for a while");
    assert_ne!(held.header("retry-after"), "");
}

#[tokio::test]
async fn without_neighbours_there_is_nothing_to_ask() {
    let saoma = Process::starts("info").await;
    let url = format!("{}/neighbours/token", saoma.operators());
    let asked = reqwest::Client::new().get(&url).bearer_auth(SECRET);
    assert_eq!(Reply::of(asked).await.unwrap().problem(), "404 not_found");
}
