//! "Not me": what a person sees on the phone afterwards, and how they end it, withdraw it, take it along, have it forgotten.

use std::time::Duration;

use reqwest::Method;
use rusqlite::{Connection, types::ValueRef};
use saoma::{
    commands::person,
    secret::Hashed,
    store::{Change, Search},
    try_it::actors::{Phone, Reply},
};
use serde_json::{Value, json};

use crate::stage::Play;

async fn asks(phone: &Phone, token: &str, what: &str) -> Value {
    phone.calls(Method::GET, what, Some(token), &json!({})).await.unwrap().good().unwrap()
}

async fn ends(phone: &Phone, token: &str, what: &str, body: &Value) -> Reply {
    phone.calls(Method::DELETE, what, Some(token), body).await.unwrap()
}

#[tokio::test]
async fn every_attempt_is_listed_with_what_came_of_it() {
    let play = Play::new().await;
    let browser = play.browser("192.0.2.1");
    let phone = play.phone("ann", "192.0.2.1");
    let scan = |entry| {
        let (play, browser, phone) = (&play, &browser, &phone);
        async move {
            let (_, scene) = play.page(browser).await;
            play.app.world.advance(Duration::from_secs(1));
            phone.scans(&scene, entry).await.unwrap()
        }
    };
    phone.approves(&scan(1047).await).await.unwrap();
    phone.denies(&scan(1047).await).await.unwrap();
    let missed = scan(1048).await;
    assert_eq!(missed.shown["ask"], "match");
    let miss = phone.approves_with(&missed, &json!({ "match": "x" })).await;
    assert_eq!(miss.unwrap_err(), "403 wrong_match");
    let card = scan(1007).await;
    assert_eq!(card.shown["ask"], "refuse");
    assert_eq!(phone.approves(&card).await.unwrap_err(), "403 refused");
    scan(1047).await;
    let token = play.session(&phone).await;
    let outcomes = |told: &Value| {
        let told = told["attempts"].as_array().unwrap();
        told.iter().map(|one| one["outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let now = asks(&phone, &token, "attempts").await;
    assert_eq!(outcomes(&now), ["wrong_match", "denied", "approved"], "the last two still wait");
    play.app.world.advance(Duration::from_secs(121));
    let later = asks(&phone, &token, "attempts").await;
    assert_eq!(outcomes(&later), ["expired", "refused", "wrong_match", "denied", "approved"]);
    let one = &later["attempts"][0];
    assert!(one["id"].is_string() && one["at"].is_i64());
    assert_eq!(one["browser"]["name"], "Firefox");
    assert_eq!(one["site"]["host"], "127.0.0.1");
    assert_eq!(
        play.phone("bob", "192.0.2.9")
            .calls(Method::GET, "attempts", None, &json!({}))
            .await
            .unwrap()
            .status,
        401
    );
}

#[tokio::test]
async fn not_me_ends_everything_of_that_browser_and_nothing_else() {
    let play = Play::new().await;
    let (stranger, own) = (play.browser("203.0.113.1"), play.browser("192.0.2.1"));
    let phone = play.phone("ann", "192.0.2.1");
    for browser in [&stranger, &stranger, &own] {
        let (page, scene) = play.page(browser).await;
        let asked = phone.scans(&scene, 1047).await.unwrap();
        phone.approves(&asked).await.unwrap();
        browser.calls(&page, "claim").await.unwrap().good().unwrap();
        play.app.world.advance(Duration::from_secs(1));
    }
    let token = play.session(&phone).await;
    let logins = asks(&phone, &token, "logins").await["logins"].as_array().unwrap().clone();
    assert_eq!(logins.len(), 3);
    let one = format!("logins/{}", logins[2]["id"].as_str().unwrap());
    assert_eq!(ends(&phone, &token, &one, &json!({ "not_me": true })).await.status, 204);
    let left = asks(&phone, &token, "logins").await["logins"].as_array().unwrap().clone();
    assert_eq!(left, logins[..1]);
    assert_eq!(ends(&phone, &token, &one, &json!({})).await.status, 204, "it has ended");
    let bob = play.phone("bob", "192.0.2.2");
    let theirs = play.session(&bob).await;
    let mine = format!("logins/{}", left[0]["id"].as_str().unwrap());
    assert_eq!(
        ends(&bob, &theirs, &mine, &json!({})).await.status,
        404,
        "another one's is unknown"
    );
}

#[tokio::test]
async fn after_not_me_that_browser_is_one_that_the_person_never_used() {
    let play = Play::new().await;
    let (stranger, phone) = (play.browser("203.0.113.1"), play.phone("ann", "192.0.2.1"));
    let scans = || async {
        let (page, scene) = play.page(&stranger).await;
        (page, phone.scans(&scene, 1047).await.unwrap())
    };
    let (page, asked) = scans().await;
    phone.approves(&asked).await.unwrap();
    stranger.calls(&page, "claim").await.unwrap().good().unwrap();
    let (_, asked) = scans().await;
    assert_eq!(asked.shown["browser"]["known"], true);
    let token = play.session(&phone).await;
    let logins = asks(&phone, &token, "logins").await;
    let one = format!("logins/{}", logins["logins"][0]["id"].as_str().unwrap());
    assert_eq!(ends(&phone, &token, &one, &json!({ "not_me": true })).await.status, 204);
    let (_, asked) = scans().await;
    assert_eq!(asked.shown["browser"]["known"], false);
}

#[tokio::test]
async fn ending_a_login_ends_its_tokens() {
    let play = Play::new().await;
    let (browser, phone) = (play.browser("192.0.2.1"), play.phone("ann", "192.0.2.1"));
    let access = play.signs_in(&browser, &phone, "blog").await;
    assert_eq!(play.userinfo(&access).await, 200);
    let token = play.session(&phone).await;
    let logins = asks(&phone, &token, "logins").await;
    let one = format!("logins/{}", logins["logins"][0]["id"].as_str().unwrap());
    assert_eq!(ends(&phone, &token, &one, &json!({})).await.status, 204);
    assert_eq!(play.userinfo(&access).await, 401);
}

#[tokio::test]
async fn ending_all_needs_the_person_and_ends_other_phones_too() {
    let play = Play::new().await;
    let (browser, phone) = (play.browser("192.0.2.1"), play.phone("ann", "192.0.2.1"));
    let tokens = [
        play.signs_in(&browser, &phone, "blog").await,
        play.signs_in(&browser, &phone, "shop").await,
    ];
    let (token, stolen) = (play.session(&phone).await, play.session(&phone).await);
    // Who holds a token alone, or is somebody else, ends nothing.
    let bob = play.phone("bob", "192.0.2.2");
    let theirs = json!({ "js_code": bob.logs_in().await.unwrap() });
    assert_eq!(ends(&phone, &stolen, "logins", &theirs).await.problem(), "401 unauthorized");
    assert_eq!(ends(&phone, &stolen, "logins", &json!({})).await.status, 400);
    assert_eq!(play.userinfo(&tokens[0]).await, 200);

    let fresh = json!({ "js_code": phone.logs_in().await.unwrap() });
    assert_eq!(ends(&phone, &token, "logins", &fresh).await.status, 204);
    for access in &tokens {
        assert_eq!(play.userinfo(access).await, 401);
    }
    assert!(asks(&phone, &token, "logins").await["logins"].as_array().unwrap().is_empty());
    let elsewhere = phone.calls(Method::GET, "logins", Some(&stolen), &json!({})).await.unwrap();
    assert_eq!(elsewhere.problem(), "401 unauthorized");
    assert_eq!(ends(&phone, &token, "session", &json!({})).await.status, 204);
    let over = phone.calls(Method::GET, "logins", Some(&token), &json!({})).await.unwrap();
    assert_eq!(over.problem(), "401 unauthorized");
}

#[tokio::test]
async fn a_tickets_token_reads_no_logins_and_a_sessions_cannot_approve() {
    let play = Play::new().await;
    let (browser, phone) = (play.browser("192.0.2.1"), play.phone("ann", "192.0.2.1"));
    let (_, scene) = play.page(&browser).await;
    let mut asked = phone.scans(&scene, 1047).await.unwrap();
    for what in ["logins", "attempts", "consents", "me"] {
        let reply = phone.calls(Method::GET, what, Some(&asked.token), &json!({})).await.unwrap();
        assert_eq!(reply.problem(), "401 unauthorized", "{what}");
    }
    let right = asked.token.clone();
    asked.token = play.session(&phone).await;
    assert_eq!(phone.approves(&asked).await.unwrap_err(), "401 unauthorized");
    asked.token = right;
    phone.approves(&asked).await.unwrap();
}

#[tokio::test]
async fn consent_is_kept_by_kind_and_taken_back_by_site() {
    let play = Play::new().await;
    let (browser, phone) = (play.browser("192.0.2.1"), play.phone("ann", "192.0.2.1"));
    let blog = play.signs_in(&browser, &phone, "blog").await;
    let shop = play.signs_in(&browser, &phone, "shop").await;
    let token = play.session(&phone).await;
    let given = asks(&phone, &token, "consents").await;
    assert_eq!(
        given["consents"][0],
        json!({
            "site": { "id": "blog", "name": "The blog", "host": "blog.example.com" },
            "scopes": ["openid", "profile"], "since": 1_795_000_000,
        })
    );
    assert_eq!(given["consents"].as_array().unwrap().len(), 2);

    play.app.world.advance(Duration::from_secs(60));
    assert_eq!(ends(&phone, &token, "consents/blog", &json!({})).await.status, 204);
    assert_eq!(
        ends(&phone, &token, "consents/blog", &json!({})).await.status,
        204,
        "again is no error"
    );
    assert_eq!((play.userinfo(&blog).await, play.userinfo(&shop).await), (401, 200));
    let left = asks(&phone, &token, "consents").await;
    assert_eq!(left["consents"].as_array().unwrap().len(), 1);
    // What was taken back stays as proof, with its times and the wording.
    let me = asks(&phone, &token, "me").await;
    let kept = me["consents"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["site"] == "blog" && one["kind"] == "profile");
    assert_eq!(
        *kept.unwrap(),
        json!({ "site": "blog", "kind": "profile", "text": "2", "given": 1_795_000_000, "withdrawn": 1_795_000_060 })
    );
    // Asked and given again, it stands again.
    play.signs_in(&browser, &phone, "blog").await;
    assert_eq!(asks(&phone, &token, "consents").await["consents"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_kept_is_taken_along_in_pieces_and_in_measure() {
    let play = Play::with(&[("SAOMA_LIMITS__SCANS_PER_PERSON", "4")]).await;
    let (browser, phone) = (play.browser("192.0.2.1"), play.phone("ann", "192.0.2.1"));
    play.signs_in(&browser, &phone, "blog").await;
    let token = play.session(&phone).await;
    let whole = asks(&phone, &token, "me").await;
    assert_eq!(whole.get("log_before"), None);
    let person = play.app.store.people(&Search { most: 1, ..Search::default() }).await.unwrap();
    let line = |n: usize| saoma::audit::Entry {
        at: play.app.world.now(),
        what: format!("line.{n}"),
        person: Some(person[0].person.id.clone()),
        site: None,
        address: None,
        detail: json!({}),
    };
    let written = (0..1500).map(|n| play.app.store.audit(line(n)));
    futures_util::future::try_join_all(written).await.unwrap();

    let first = asks(&phone, &token, "me").await;
    let rest = asks(&phone, &token, &format!("me?log_before={}", first["log_before"])).await;
    assert_eq!(rest.get("log_before"), None);
    let log = |part: &Value| part["log"].as_array().unwrap().clone();
    assert_eq!(log(&first).len(), 1000, "the latest of them");
    let all: std::collections::BTreeSet<_> =
        [log(&first), log(&rest)].concat().iter().map(|line| line["what"].to_string()).collect();
    assert!((0..1500).all(|n| all.contains(&format!("\"line.{n}\""))), "none is left out");
    assert!(log(&rest).ends_with(&log(&whole)));
    let again = phone.calls(Method::GET, "me", Some(&token), &json!({})).await.unwrap();
    crate::stage::is_held_back(&again);
}

#[tokio::test]
async fn a_copy_of_the_database_opens_no_session() {
    let play = Play::new().await;
    let (browser, phone) = (play.browser("192.0.2.1"), play.phone("ann", "192.0.2.1"));
    let (page, scene) = play.page(&browser).await;
    let asked = phone.scans(&scene, 1047).await.unwrap();
    phone.approves_with(&asked, &json!({ "remember": true, "scopes": ["profile"] })).await.unwrap();
    let claimed = browser.calls(&page, "claim").await.unwrap();
    let db = Connection::open(play.folder.path().join("saoma.db")).unwrap();
    let ticket = db.query_row("SELECT ticket FROM decisions", [], |row| row.get(0)).unwrap();
    // The key to it is in the database, too.
    let session = play.app.keys.derive("session", Hashed::from_bytes(ticket));
    let session = format!("saoma-session={}", session.reveal());
    assert!(claimed.header("set-cookie").starts_with(&session), "it is the very cookie");

    let begins = browser.get(&format!("{}/sign-in", play.at.demo)).await.unwrap();
    let url = format!("{}&prompt=none", begins.header("location"));
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let http = http.build().unwrap();
    for cookies in [session.clone(), format!("{session}; saoma=made-up")] {
        let told = Reply::of(http.get(&url).header("cookie", &cookies)).await.unwrap();
        assert!(told.header("location").contains("error=login_required"), "{cookies}");
    }
    let own = browser.get(&url).await.unwrap();
    assert!(own.header("location").contains("code="), "{}", own.header("location"));
}

#[tokio::test]
async fn after_a_withdrawal_the_browser_scans_again() {
    let play = Play::new().await;
    let (browser, phone) = (play.browser("192.0.2.1"), play.phone("ann", "192.0.2.1"));
    let (page, scene) = play.page(&browser).await;
    let asked = phone.scans(&scene, 1047).await.unwrap();
    phone.approves_with(&asked, &json!({ "remember": true, "scopes": ["profile"] })).await.unwrap();
    browser.calls(&page, "claim").await.unwrap().good().unwrap();
    let skipped = browser.goes_to(&format!("{}/sign-in", play.at.demo)).await.unwrap();
    assert!(skipped.url.as_str().contains("code="), "this browser is remembered: {}", skipped.url);
    let token = play.session(&phone).await;
    let site = asks(&phone, &token, "consents").await["consents"][0]["site"]["id"].clone();
    let path = format!("consents/{}", site.as_str().unwrap());
    assert_eq!(ends(&phone, &token, &path, &json!({})).await.status, 204);
    browser.opens(&format!("{}/sign-in", play.at.demo)).await.expect("a code is shown again");
}

/// Every value of every table, as text; pictures as their bytes.
fn everything(play: &Play) -> Vec<(String, Vec<u8>)> {
    let db = Connection::open(play.folder.path().join("saoma.db")).unwrap();
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let tables: Vec<String> = db
        .prepare(names)
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut all = Vec::new();
    for table in tables {
        let mut statement = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                let value = match row.get_ref(column).unwrap() {
                    ValueRef::Text(text) | ValueRef::Blob(text) => text.to_vec(),
                    ValueRef::Integer(number) => number.to_string().into_bytes(),
                    ValueRef::Real(_) | ValueRef::Null => Vec::new(),
                };
                all.push((table.clone(), value));
            }
        }
    }
    all
}

fn where_is(play: &Play, needle: &[u8]) -> Vec<String> {
    let holds = |value: &[u8]| value.windows(needle.len()).any(|window| window == needle);
    everything(play).into_iter().filter(|(_, value)| holds(value)).map(|(table, _)| table).collect()
}

#[tokio::test]
async fn a_person_takes_everything_along_and_is_forgotten_to_the_last_row() {
    use base64::Engine as _;
    let play = Play::new().await;
    let (browser, phone) = (play.browser("203.0.113.77"), play.phone("ann", "203.0.113.78"));
    let access = play.signs_in(&browser, &phone, "blog").await;
    let (_, scene) = play.page(&browser).await;
    phone.denies(&phone.scans(&scene, 1047).await.unwrap()).await.unwrap();
    let token = play.session(&phone).await;
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(8, 8).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let picture = base64::engine::general_purpose::STANDARD.encode(png.into_inner());
    let shown = json!({ "nickname": "Ann Elk", "avatar": picture });
    let person =
        phone.calls(Method::PUT, "profile", Some(&token), &shown).await.unwrap().good().unwrap();
    let avatar = person["avatar"].as_str().unwrap().to_owned();
    assert_eq!(browser.get(&avatar).await.unwrap().status, 200);

    let me = asks(&phone, &token, "me").await;
    let openid = me["identities"][0]["openid"].as_str().unwrap().to_owned();
    let sub = me["subs"][0]["sub"].as_str().unwrap().to_owned();
    let username = me["username"].as_str().unwrap().to_owned();
    assert_eq!(me["person"]["nickname"], "Ann Elk");
    assert!(me["log"].as_array().unwrap().iter().any(|line| line["address"] == "203.0.113.78"));
    assert_eq!(
        (me["logins"].as_array().unwrap().len(), me["consents"].as_array().unwrap().len()),
        (1, 2)
    );
    let traces = [&openid, &sub, &username, "Ann Elk", "203.0.113.77", "203.0.113.78"];
    for trace in traces {
        assert!(
            !where_is(&play, trace.as_bytes()).is_empty(),
            "{trace} should have been kept somewhere"
        );
    }

    let fresh = json!({ "js_code": phone.logs_in().await.unwrap() });
    assert_eq!(ends(&phone, &token, "me", &fresh).await.status, 204);
    // The site is still to be told of the logout, by the name it knows; then nothing is left.
    crate::stage::seen(|| {
        play.app.world.advance(Duration::from_secs(1));
        where_is(&play, sub.as_bytes()).is_empty()
    })
    .await;
    for trace in traces {
        // A site that has yet to be told of the end is told by the one name that it knows.
        let mut kept = where_is(&play, trace.as_bytes());
        kept.retain(|table| !(table == "logouts" && *trace == sub));
        assert_eq!(kept, Vec::<String>::new(), "{trace} is kept still");
    }
    assert_eq!(play.userinfo(&access).await, 401);
    assert_eq!(browser.get(&avatar).await.unwrap().status, 404);
    let gone = phone.calls(Method::GET, "me", Some(&token), &json!({})).await.unwrap();
    assert_eq!(gone.problem(), "401 unauthorized");
}

#[tokio::test]
async fn addresses_and_the_log_grow_old_and_go() {
    let play = Play::new().await;
    let (browser, phone) = (play.browser("203.0.113.77"), play.phone("ann", "203.0.113.78"));
    play.signs_in(&browser, &phone, "blog").await;
    let lines =
        |play: &Play| everything(play).into_iter().filter(|(table, _)| table == "audit").count();
    let kept = lines(&play);
    assert!(kept > 0);
    let passed = |days: u64| play.app.world.advance(Duration::from_secs(days * 24 * 3600 + 60));
    passed(29);
    assert!(!where_is(&play, b"203.0.113.78").is_empty());
    passed(1);
    // What tidies up looks every hour.
    let hour = || play.app.world.advance(Duration::from_secs(3600));
    crate::stage::seen(|| {
        hour();
        where_is(&play, b"203.0.113").is_empty()
    })
    .await;
    assert_eq!(lines(&play), kept, "the lines stay without them");
    passed(151);
    crate::stage::seen(|| {
        hour();
        lines(&play) == 0
    })
    .await;
}

#[tokio::test]
async fn who_is_kept_out_cannot_be_forgotten_and_come_back_as_somebody_new() {
    let play = Play::new().await;
    let (browser, phone) = (play.browser("192.0.2.1"), play.phone("mallory", "192.0.2.1"));
    play.signs_in(&browser, &phone, "blog").await;
    let token = play.session(&phone).await;
    let (_, scene) = play.page(&browser).await;
    let asked = phone.scans(&scene, 1047).await.unwrap();
    let db = Connection::open(play.folder.path().join("saoma.db")).unwrap();
    assert_eq!(db.execute("UPDATE persons SET blocked = 1", []).unwrap(), 1);
    assert_eq!(phone.approves(&asked).await.unwrap_err(), "403 person_blocked");
    let fresh = json!({ "js_code": phone.logs_in().await.unwrap() });
    assert_eq!(ends(&phone, &token, "me", &fresh).await.problem(), "403 person_blocked");
    let fresh = json!({ "js_code": phone.logs_in().await.unwrap() });
    let opened = phone.calls(Method::POST, "session", None, &fresh).await.unwrap();
    assert_eq!(opened.problem(), "403 person_blocked");
    let (_, scene) = play.page(&browser).await;
    assert_eq!(phone.scans(&scene, 1047).await.unwrap_err(), "403 person_blocked");
    let kept: i64 = db.query_row("SELECT count(*) FROM persons", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1);
}

/// All that is left of somebody who was forgotten, but for the name by which a site is still to be told of a logout.
fn left_of(play: &Play, traces: &[&str]) -> Vec<String> {
    let mut left: Vec<String> =
        traces.iter().flat_map(|trace| where_is(play, trace.as_bytes())).collect();
    left.retain(|table| table != "logouts");
    left
}

#[tokio::test]
async fn who_was_refused_is_so_after_being_forgotten_and_nothing_else_is_left() {
    let play = Play::new().await;
    let (browser, phone) = (play.browser("192.0.2.1"), play.phone("mallory", "192.0.2.1"));
    play.signs_in(&browser, &phone, "blog").await;
    let token = play.session(&phone).await;
    let was = asks(&phone, &token, "me").await;
    let [openid, username, sub] =
        [&was["identities"][0]["openid"], &was["username"], &was["subs"][0]["sub"]]
            .map(|it| it.as_str().unwrap());
    let (store, now) = (&play.app.store, play.app.world.now());
    let person = store.person_named(username).await.unwrap().unwrap();
    let refuse = Change::Refuse("blog".to_owned());
    store.change(&person.id, refuse, "command", now).await.unwrap().unwrap();
    let forgets = async |token: &str| {
        let fresh = json!({ "js_code": phone.logs_in().await.unwrap() });
        assert_eq!(ends(&phone, token, "me", &fresh).await.status, 204);
    };
    forgets(&token).await;
    assert_eq!(left_of(&play, &[openid, username, sub, &person.id]), Vec::<String>::new());

    let (ticket, _) = play.ticket(&browser, "blog").await;
    let asked = phone.scans(&play.scene(&browser, &ticket).await, 1047).await.unwrap();
    assert_eq!(phone.approves(&asked).await.unwrap_err(), "403 not_admitted");
    play.signs_in(&browser, &phone, "shop").await;
    let token = play.session(&phone).await;
    let now = asks(&phone, &token, "me").await;
    assert_eq!(now["admissions"][0]["site"], "blog");
    assert!(now["username"] != was["username"] && now["subs"][0]["sub"] != was["subs"][0]["sub"]);

    // The owner takes it back, and deletion is whole again.
    let again = store.person_named(now["username"].as_str().unwrap()).await.unwrap().unwrap();
    let undo = Change::Unsay("blog".to_owned());
    store.change(&again.id, undo, "command", play.app.world.now()).await.unwrap().unwrap();
    play.signs_in(&browser, &phone, "blog").await;
    forgets(&token).await;
    let kept = everything(&play).into_iter().filter(|(table, _)| table == "identities").count();
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn whom_the_operator_forgets_stays_blocked_until_they_take_it_back() {
    let play = Play::new().await;
    let (browser, phone) = (play.browser("192.0.2.1"), play.phone("mallory", "192.0.2.1"));
    play.signs_in(&browser, &phone, "blog").await;
    let token = play.session(&phone).await;
    let was = asks(&phone, &token, "me").await;
    let name = was["username"].as_str().unwrap().to_owned();
    let runs = async |command| {
        let (settings, store, world) = (&play.app.settings, &play.app.store, &play.app.world);
        person::run(settings, store, world, command).await.unwrap()
    };
    let blocks_and_forgets = async |name: &str| {
        runs(person::Command::Block { name: name.to_owned() }).await;
        runs(person::Command::Forget { name: name.to_owned(), yes: true }).await;
        let search = Search { blocked: Some(true), most: 9, ..Search::default() };
        let blocked = play.app.store.people(&search).await.unwrap();
        assert_eq!(blocked.len(), 1);
        blocked[0].person.username.clone()
    };
    let shadow = blocks_and_forgets(&name).await;
    let openid = was["identities"][0]["openid"].as_str().unwrap();
    assert_eq!(left_of(&play, &[openid, &name]), Vec::<String>::new());
    let (_, scene) = play.page(&browser).await;
    assert_eq!(phone.scans(&scene, 1047).await.unwrap_err(), "403 person_blocked");
    runs(person::Command::Unblock { name: shadow.clone() }).await;
    play.signs_in(&browser, &phone, "blog").await;

    let shadow = blocks_and_forgets(&shadow).await;
    runs(person::Command::Unblock { name: shadow.clone() }).await;
    assert!(play.app.store.person_named(&shadow).await.unwrap().is_none(), "nothing is left");
}

#[tokio::test]
async fn who_opens_the_mini_program_again_and_again_is_held_and_so_is_who_draws_and_draws() {
    let play = Play::with(&[("SAOMA_LIMITS__SCANS_PER_PERSON", "3")]).await;
    let (browser, phone) = (play.browser("192.0.2.1"), play.phone("ann", "192.0.2.1"));
    play.signs_in(&browser, &phone, "blog").await;
    let token = play.session(&phone).await;
    let name = json!({ "nickname": "Ann" });
    for _ in 0..2 {
        let named = phone.calls(Method::PUT, "profile", Some(&token), &name).await.unwrap();
        assert_eq!(named.status, 200);
    }
    crate::stage::is_held_back(
        &phone.calls(Method::PUT, "profile", Some(&token), &name).await.unwrap(),
    );
    let body = json!({ "js_code": phone.logs_in().await.unwrap() });
    crate::stage::is_held_back(&phone.calls(Method::POST, "session", None, &body).await.unwrap());
    play.session(&play.phone("bob", "192.0.2.1")).await;
}
