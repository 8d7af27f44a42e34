//! Databases of every release before this one, brought up to date as a start does it: `released/` keeps them.

use std::path::Path;

use rusqlite::Connection;

use super::{MIGRATIONS, Sqlite};
use crate::{
    person::Identity,
    secret::{Hashed, Secret},
    store::Store,
    world::Timestamp,
};

/// What each release left behind, and a moment at which it was alive.
pub(in crate::store) const RELEASED: [(&str, Timestamp); 1] =
    [(include_str!("released/0001.sql"), Timestamp::from_millis(1_795_646_200_000))];

/// What each step of the schema was when it was released. A step that databases have taken never changes: what is wrong with
/// it is mended by the next.
const STEPS: [&str; 1] = ["efbee0a3b67aa82609393e62b0df0aacd52596b2c1db68cbd93ace05146f2c32"];

fn laid_down(path: &Path, dump: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    connection.execute_batch(dump).unwrap();
}

/// Every table and index by its name, as SQLite keeps it.
fn schema(path: &Path) -> Vec<(String, String)> {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
    let mut rows = connection.prepare(sql).unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn a_step_that_was_released_never_changes() {
    are_as_released(MIGRATIONS, &STEPS);
}

/// Holds that each step is still what it was when it was released.
pub(in crate::store) fn are_as_released(steps: &[&str], released: &[&str]) {
    for (step, hash) in steps.iter().zip(released) {
        let now = hex::encode(Hashed::of(step).as_bytes());
        assert_eq!(now, *hash, "add a new step instead:\n{step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lives_in_an_older_database_lives_on_after_the_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    let fresh = folder.path().join("fresh.db");
    drop(Sqlite::open(&fresh).unwrap());
    for (n, (dump, now)) in RELEASED.into_iter().enumerate() {
        let path = folder.path().join(format!("{n}.db"));
        laid_down(&path, dump);
        let store = Sqlite::open(&path).unwrap();
        everybody_lives_on(&store, now).await;
        drop(store);

        assert_eq!(schema(&path), schema(&fresh), "an upgraded database and a new one differ");
        let connection = Connection::open(&path).unwrap();
        let whole: String =
            connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(whole, "ok");
        assert!(!connection.prepare("PRAGMA foreign_key_check").unwrap().exists([]).unwrap());
    }
}

/// Who was there at that release is who they were, and can do what they could.
pub(in crate::store) async fn everybody_lives_on(store: &impl Store, now: Timestamp) {
    let ann = Identity {
        appid: "wx1234567890abcdef".to_owned(),
        openid: "oYlCck6EYPm167WublPGxZgSZch_".to_owned(),
        unionid: None,
    };
    let person = store.person_of(&ann).await.unwrap().unwrap();
    assert_eq!(person.nickname.as_deref(), Some("Ann"));
    assert!(!person.blocked);
    let subs = store.subs(&person.id).await.unwrap();
    assert!(subs.contains(&("blog".to_owned(), "gGX7WxMZ807Jj2DmwJMtjb".to_owned())), "{subs:?}");
    assert_eq!(store.logins(&person.id).await.unwrap().len(), 2);
    let refresh = Hashed::of("U5FyYyDcURsmPSx9Ni0g8zmINshqy6Hgi_keN2_Sf2Q");
    let live = store.live_token(refresh, now).await.unwrap().unwrap();
    assert_eq!(live.person.id, person.id);
    let wiki = store.sites().await.unwrap().pop().unwrap();
    assert!(wiki.knows(&Secret::from("6wyhL-keRVolZ0uX0D64QBQ57OMNK1EvCLqvqssNiXM".to_owned())));
    assert_eq!(store.keys().await.unwrap().len(), 4);
    assert_eq!(store.unpark(9).await.unwrap().len(), 1, "the page that waited");
    assert!(store.audit_of(&person.id, 100).await.unwrap().len() > 2);
    store.prune(now).await.unwrap();
}

#[test]
fn an_upgrade_that_fails_leaves_the_database_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saoma.db");
    laid_down(&path, RELEASED[0].0);
    // In the way of the next step.
    let spoilt = MIGRATIONS.iter().skip(1).find_map(|step| step.split("CREATE TABLE ").nth(1));
    let Some(table) = spoilt.and_then(|rest| rest.split_whitespace().next()) else { return };
    let spoil = format!("CREATE TABLE {table} (spoilt)");
    Connection::open(&path).unwrap().execute_batch(&spoil).unwrap();
    let before = schema(&path);
    assert!(Sqlite::open(&path).is_err());
    assert_eq!(schema(&path), before);
}
