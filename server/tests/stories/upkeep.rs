//! Backups made while people sign in, and put back; people brought along.

use crate::{
    process::Process,
    support::{reads_scene, until},
};

/// Signs a person in at saoma's own page.
async fn signs_in(saoma: &Process, person: &str) {
    let browser = saoma.browser();
    let page = browser.opens("/login").await.unwrap();
    let phone = saoma.phone(person);
    let asked = phone.scans(&reads_scene(&browser, &page).await, 1047).await.unwrap();
    phone.approves(&asked).await.unwrap();
    browser.calls(&page, "claim").await.unwrap().good().unwrap();
}

fn audited(saoma: &Process, what: &str) -> u32 {
    let store = rusqlite::Connection::open(saoma.database()).unwrap();
    store.query_row("SELECT count(*) FROM audit WHERE what = ?1", [what], |row| row.get(0)).unwrap()
}

fn people(saoma: &Process) -> u32 {
    let store = rusqlite::Connection::open(saoma.database()).unwrap();
    store.query_row("SELECT count(*) FROM persons", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_backup_is_made_beside_a_running_server_and_brings_its_people_back() {
    let mut saoma = Process::starts("info").await;
    signs_in(&saoma, "ann").await;
    let made = saoma.saoma(&["backup", "copy.db"]);
    assert!(made.status.success(), "{made:?}");
    assert!(made.stderr.is_empty(), "no progress where there is no terminal: {made:?}");
    assert_eq!(audited(&saoma, "backup.made"), 1);
    let again = saoma.saoma(&["backup", "copy.db"]);
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("already"), "{again:?}");
    signs_in(&saoma, "bob").await;
    assert_eq!(people(&saoma), 2);

    let running = saoma.saoma(&["restore", "copy.db"]);
    assert!(String::from_utf8_lossy(&running.stderr).contains("stop the server"), "{running:?}");
    saoma.is_asked_to_stop().await;
    let restored = saoma.saoma(&["restore", "copy.db"]);
    assert!(restored.status.success(), "{restored:?}");
    assert!(saoma.database().with_extension("db.before-restore-1").exists());
    assert_eq!((people(&saoma), audited(&saoma, "backup.restored")), (1, 1));
    saoma.starts_again().await;
    signs_in(&saoma, "ann").await;
    assert_eq!(people(&saoma), 1, "ann is who she was");
}

#[tokio::test]
async fn a_start_on_an_older_database_tells_each_step_that_it_takes() {
    let mut saoma = Process::starts("info").await;
    assert!(!saoma.log().contains("schema.step"), "for a new one nobody waits");
    saoma.is_asked_to_stop().await;
    std::fs::remove_file(saoma.database()).unwrap();
    let older = rusqlite::Connection::open(saoma.database()).unwrap();
    older.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    older.execute_batch(include_str!("../../src/store/sqlite/released/0001.sql")).unwrap();
    drop(older);
    saoma.starts_again().await;
    let log = saoma.log();
    let (step, served) = (log.find("schema.step"), log.rfind("server.started"));
    assert!(step.is_some() && step < served && log.contains("step=2 of="), "{log}");
}

#[tokio::test]
async fn a_dry_run_sees_what_rows_far_apart_say_against_each_other() {
    let saoma = Process::starts("info").await;
    let mut rows = "openid,site,sub\n".to_owned();
    for n in 0..=200 {
        // The last one wants what the first one has.
        rows.push_str(&format!("o{n},shop,{}\n", n % 200));
    }
    let file = saoma.database().with_extension("csv");
    std::fs::write(&file, rows).unwrap();
    let imports = |how: &[&str]| {
        let done = saoma.saoma(&[&["import", file.to_str().unwrap()][..], how].concat());
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        assert!(String::from_utf8_lossy(&done.stderr).contains("were refused: 1"), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    for said in [imports(&["--dry-run"]), imports(&[])] {
        assert!(said.contains("row 201: refused: somebody else has this sub there"), "{said}");
        assert!(said.contains("added: 200, linked: 0, named: 0, known already: 0, refused: 1"));
    }
}

#[tokio::test]
async fn a_server_whose_schema_a_newer_one_has_changed_is_not_ready_and_says_what_to_do() {
    let saoma = Process::starts("info").await;
    let newer = rusqlite::Connection::open(saoma.database()).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    until(|| saoma.log().contains("store.moved_on")).await;
    let ready = saoma.browser().get("/readyz").await.unwrap();
    assert_eq!(ready.status, 503);
    let why = ready.json()["why"].as_str().unwrap().to_owned();
    assert!(why.contains("schema 99") && why.contains("start the newer one"), "{why}");
}

#[tokio::test]
async fn a_server_that_cannot_write_is_not_ready_and_comes_back_by_itself() {
    let saoma = Process::starts("info").await;
    let browser = saoma.browser();
    let store = async || browser.get("/readyz").await.unwrap().json()["store"].clone();
    assert_eq!(store().await, "ok");
    let beside = rusqlite::Connection::open(saoma.database()).unwrap();
    let full = "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END";
    let triggers = format!(
        "CREATE TRIGGER full BEFORE INSERT ON decisions {full}; CREATE TRIGGER full_too BEFORE UPDATE ON revision {full};"
    );
    beside.execute_batch(&triggers).unwrap();
    let page = browser.opens("/login").await.unwrap();
    let ann = saoma.phone("ann");
    let asked = ann.scans(&reads_scene(&browser, &page).await, 1047).await.unwrap();
    assert!(ann.approves(&asked).await.unwrap_err().to_string().contains("unavailable"));
    for _ in 0..2 {
        assert_eq!(store().await, "down");
        assert_eq!(browser.get("/readyz").await.unwrap().status, 503);
    }
    beside.execute_batch("DROP TRIGGER full; DROP TRIGGER full_too").unwrap();
    assert_eq!(store().await, "ok");
    ann.approves(&asked).await.unwrap();
}
