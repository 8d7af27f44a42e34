//! What every SQL store must do: the contract of all stores, and what only a look into its tables shows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::future::try_join3;
use tokio::task::JoinSet;

use super::{Database, Db, Dialect, Error, Row, values};
use crate::store::{
    Store,
    contract::{self, NOW, a_life, approval, identity, shadow},
    untold,
};

/// Runs every rule against a fresh store each.
pub(crate) async fn holds<D: Database>(fresh: impl AsyncFn() -> D) {
    contract::holds(&fresh).await;
    no_row_of_any_table_names_who_is_forgotten(fresh().await).await;
    who_is_kept_out_stays_out_when_two_turn_out_to_be_one(fresh().await).await;
    of_many_first_approvals_at_once_one_makes_the_person(Arc::new(fresh().await)).await;
    two_become_one_while_both_sign_in(Arc::new(fresh().await)).await;
    every_node_gets_other_logouts(Arc::new(fresh().await)).await;
    what_is_sent_and_fails_takes_all_of_it_back(fresh().await).await;
    what_is_asked_together_is_answered_in_order(fresh().await).await;
    what_follows_a_commit_is_done_before_it_returns_and_only_then(fresh().await).await;
    a_store_that_cannot_be_written_to_says_so_until_it_can(fresh().await).await;
    a_schema_that_a_newer_saoma_has_changed_is_noticed(fresh().await).await;
    one_thing_that_cannot_grow_old_keeps_no_other_young(fresh().await).await;
}

const KEEP: &str = "INSERT INTO server_secrets (name, secret) VALUES (?1, ?2)";

async fn what_is_sent_and_fails_takes_all_of_it_back(store: impl Database) {
    async fn twice(db: &dyn Db) -> Result<(), Error> {
        db.send(KEEP, values!["before", vec![1]]).await?;
        db.send(KEEP, values!["twice", vec![1]]).await?;
        db.send(KEEP, values!["twice", vec![2]]).await
    }
    let why = store.write(|db| Box::pin(twice(db))).await.unwrap_err().to_string();
    assert!(why.to_lowercase().contains("unique"), "the first error is told: {why}");
    assert_eq!(count(&store, "server_secrets").await, 0);
    let one = store.write(|db| Box::pin(async { db.send(KEEP, values!["one", vec![1]]).await }));
    one.await.unwrap();
    assert_eq!(count(&store, "server_secrets").await, 1);
}

/// Also by a connection that has never heard of these statements.
async fn what_is_asked_together_is_answered_in_order(store: impl Database) {
    async fn together(db: &dyn Db) -> Result<(u64, Vec<Row>, u64), Error> {
        let (one, two) = (values!["one", vec![1]], values!["two", vec![2]]);
        let names = "SELECT name FROM server_secrets";
        try_join3(db.execute(KEEP, one), db.rows(names, values![]), db.execute(KEEP, two)).await
    }
    let (one, names, two) = store.write(|db| Box::pin(together(db))).await.unwrap();
    let names: Vec<String> = names.iter().map(|row| row.get("name").unwrap()).collect();
    assert_eq!((one, names, two), (1, vec!["one".to_owned()], 1));
}

async fn what_follows_a_commit_is_done_before_it_returns_and_only_then(store: impl Database) {
    async fn keep(db: &dyn Db) -> Result<u64, Error> {
        db.execute(KEEP, values!["once", vec![1]]).await
    }
    let done = Arc::new(AtomicU32::new(0));
    let then = || {
        let done = done.clone();
        move |kept: &u64, _| {
            assert_eq!(*kept, 1);
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    store.commit(|db| Box::pin(keep(db)), then()).await.unwrap();
    assert_eq!(done.load(Ordering::Relaxed), 1);
    store.commit(|db| Box::pin(keep(db)), then()).await.unwrap_err();
    assert_eq!(done.load(Ordering::Relaxed), 1, "what failed is followed by nothing");
}

async fn a_store_that_cannot_be_written_to_says_so_until_it_can(store: impl Database) {
    let run =
        async |sql: &'static str| store.write(move |db| Box::pin(db.send(sql, values![]))).await;
    store.ping().await.unwrap();
    run("ALTER TABLE revision RENAME TO away").await.unwrap();
    store.ping().await.unwrap();
    run("UPDATE revision SET n = 1").await.unwrap_err();
    for _ in 0..2 {
        store.ping().await.unwrap_err();
    }
    run("ALTER TABLE away RENAME TO revision").await.unwrap();
    store.ping().await.unwrap();
    let n = store.revision().await.unwrap();
    store.ping().await.unwrap();
    assert_eq!(store.revision().await.unwrap(), n, "where writes arrive, none is made");
}

async fn a_schema_that_a_newer_saoma_has_changed_is_noticed(store: impl Database) {
    let known = store.steps();
    store.ping().await.unwrap();
    let steps_on = store.write(|db| {
        let sql = match db.dialect() {
            Dialect::Sqlite => "PRAGMA user_version = 99",
            Dialect::Postgres => "UPDATE schema_version SET n = 99",
        };
        Box::pin(async move { db.rows(sql, values![]).await.map(drop) })
    });
    steps_on.await.unwrap();
    assert_eq!(store.ping().await, Err(Error::MovedOn(99, known)));
    assert_eq!(store.revision().await, Err(Error::MovedOn(99, known)));
}

async fn one_thing_that_cannot_grow_old_keeps_no_other_young(store: impl Database) {
    let run =
        async |sql: &'static str| store.write(move |db| Box::pin(db.send(sql, values![]))).await;
    let ann = identity("wx1", "ann", None);
    let login = store.decide(approval("one", &ann), untold()).await.unwrap().login.unwrap();
    let (later, year) = (Duration::from_secs(60), Duration::from_secs(365 * 24 * 3600));
    run("ALTER TABLE audit RENAME TO away").await.unwrap();
    store.age(NOW + later, NOW.before(year)).await.unwrap_err();
    let aged = store.login(&login.id).await.unwrap().unwrap();
    assert!(aged.browser.address.is_unspecified(), "{}", aged.browser.address);
    store.age(NOW + later, NOW + later).await.unwrap_err();
    assert_eq!(store.login(&login.id).await.unwrap(), None);
    run("ALTER TABLE away RENAME TO audit").await.unwrap();
    store.age(NOW + later, NOW + later).await.unwrap();
    assert_eq!(count(&store, "audit").await, 0);
}

/// Every row of a query, for a look behind the trait.
async fn look<D: Database>(store: &D, sql: &'static str) -> Vec<Row> {
    store.read(move |db| Box::pin(db.rows(sql, values![]))).await.unwrap()
}

async fn count<D: Database>(store: &D, table: &'static str) -> i64 {
    let sql = format!("SELECT count(*) AS n FROM {table}");
    let rows = store.read(move |db| Box::pin(async move { db.rows(&sql, values![]).await }));
    rows.await.unwrap()[0].get("n").unwrap()
}

async fn no_row_of_any_table_names_who_is_forgotten(store: impl Database) {
    let ann = a_life(&store, "ann").await;
    let traces = [ann.id.as_str(), ann.username.as_str(), "ann", "192.0.2.1"];
    let before = everything(&store).await;
    for trace in traces {
        assert!(before.contains(trace), "{trace} was never there: {before}");
    }
    store.forget(&ann.id, shadow("ann"), None, NOW).await.unwrap();
    // Sites are told that the logins ended by the names that they know; after that those are gone too.
    let later = NOW + Duration::from_secs(60);
    for logout in store.take_logouts(NOW, later).await.unwrap() {
        store.settle_logout(logout.id, None).await.unwrap();
    }
    let after = everything(&store).await;
    for trace in traces {
        assert!(!after.contains(trace), "{trace} is still there: {after}");
    }
    assert!(after.contains("ticket.approved"), "that something happened stays in the audit log");
}

/// Every row of every table, as text.
async fn everything<D: Database>(store: &D) -> String {
    async fn read(db: &dyn Db) -> Result<String, Error> {
        let tables = match db.dialect() {
            Dialect::Sqlite => "SELECT name FROM sqlite_schema WHERE type = 'table'",
            Dialect::Postgres => {
                "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = current_schema()"
            }
        };
        let mut text = String::new();
        for table in db.rows(tables, values![]).await? {
            let table: String = table.get("name")?;
            for row in db.rows(&format!("SELECT * FROM {table}"), values![]).await? {
                text.extend([&table, " ", &row.text(), "\n"]);
            }
        }
        Ok(text)
    }
    store.read(|db| Box::pin(read(db))).await.unwrap()
}

async fn who_is_kept_out_stays_out_when_two_turn_out_to_be_one(store: impl Database) {
    let (here, there) = (identity("wx1", "ann", None), identity("wx2", "ann", Some("one")));
    for (name, identity) in [("older", &here), ("younger", &there)] {
        store.decide(approval(name, identity), untold()).await.unwrap();
    }
    let block = "UPDATE persons SET blocked = TRUE WHERE id = 'person of younger'";
    let blocked = store.write(move |db| Box::pin(db.execute(block, values![])));
    assert_eq!(blocked.await.unwrap(), 1);
    let here = identity("wx1", "ann", Some("one"));
    store.decide(approval("merged", &here), untold()).await.unwrap();
    assert!(store.person_of(&here).await.unwrap().unwrap().blocked);
}

/// Phones of one person at several nodes, all for the first time.
async fn of_many_first_approvals_at_once_one_makes_the_person<D: Database>(store: Arc<D>) {
    let mut racers = JoinSet::new();
    for n in 0..40 {
        let store = store.clone();
        // One WeChat account, seen from three mini programs.
        let there = identity(&format!("wx{}", n % 3), "ann", Some("everywhere"));
        racers.spawn(async move {
            store.decide(approval(&n.to_string(), &there), untold()).await.unwrap()
        });
    }
    let logins: Vec<_> =
        racers.join_all().await.into_iter().filter_map(|decided| decided.login).collect();
    let person = &logins[0].person;
    for login in &logins {
        assert_eq!((&login.person, &login.sub), (person, &logins[0].sub), "whoever asked first");
    }
    assert_eq!(count(&*store, "persons").await, 1);
    assert_eq!(count(&*store, "subs").await, 1);
    assert_eq!(store.logins(person).await.unwrap().len(), 40);
}

/// A merge takes along what is written at the same moment.
async fn two_become_one_while_both_sign_in<D: Database>(store: Arc<D>) {
    for round in 0..10 {
        let names = |what: &str| format!("{what} of round {round}");
        let unionid = names("unionid");
        let (here, there) = (names("here"), names("there"));
        let ann = identity("wx1", &here, None);
        let known = identity("wx1", &here, Some(&unionid));
        let other = identity("wx2", &there, Some(&unionid));
        store.decide(approval(&names("ann"), &ann), untold()).await.unwrap();
        store.decide(approval(&names("other"), &other), untold()).await.unwrap();
        let mut racers = JoinSet::new();
        for n in 0..12 {
            let store = store.clone();
            let identity = [&ann, &other, &known][n % 3].clone();
            let approval = approval(&format!("{} {n}", names("login")), &identity);
            racers.spawn(async move { store.decide(approval, untold()).await.unwrap() });
        }
        racers.join_all().await;
        let person = store.person_of(&known).await.unwrap().unwrap();
        let logins = store.logins(&person.id).await.unwrap();
        assert_eq!(logins.len(), 14, "every login is there, and belongs to the one who stays");
        assert_eq!(store.person_of(&other).await.unwrap().unwrap().id, person.id);
    }
    assert_eq!(count(&*store, "persons").await, 10);
}

async fn every_node_gets_other_logouts<D: Database>(store: Arc<D>) {
    for n in 0..90 {
        let ann = identity("wx1", &format!("ann {n}"), None);
        let login =
            store.decide(approval(&n.to_string(), &ann), untold()).await.unwrap().login.unwrap();
        store.end_login(&login.person, &login.id, NOW).await.unwrap();
    }
    let mut nodes = JoinSet::new();
    for _ in 0..6 {
        let (store, later) = (store.clone(), NOW + Duration::from_secs(60));
        nodes.spawn(async move { store.take_logouts(NOW, later).await.unwrap() });
    }
    let mut taken: Vec<i64> =
        nodes.join_all().await.into_iter().flatten().map(|logout| logout.id).collect();
    let all = taken.len();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), all, "a site is told by one node");
    assert!(look(&*store, "SELECT id FROM logouts WHERE tries > 1").await.is_empty());
}
