//! A server that is asked to read its settings again: sites and the log's level change, all else waits, and what is wrong
//! changes nothing.

use crate::{process::Process, support::until};

const WIKI: &str = r#"
[[site]]
id = "fresh"
name = "A fresh site"
redirect_uris = ["https://fresh.example.com/callback"]
"#;

/// How the log names the sites that changed.
const FRESH: &str = "sites=fresh";

async fn answers(saoma: &Process, site: &str) -> u16 {
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let asks = format!(
        "/oauth2/authorize?client_id={site}&response_type=code&scope=openid&state=s&nonce=n\
         &redirect_uri=https%3A%2F%2F{site}.example.com%2Fcallback&code_challenge={challenge}&code_challenge_method=S256"
    );
    saoma.browser().get(&asks).await.unwrap().status.as_u16()
}

#[tokio::test]
async fn sites_come_and_go_without_a_restart_and_a_waiting_page_does_not_notice() {
    let mut saoma = Process::starts("info").await;
    let before = saoma.settings();
    let browser = saoma.browser();
    let page = browser.opens("/login").await.unwrap();
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(watch.sees_state().await.unwrap(), "waiting");
    assert_eq!(answers(&saoma, "fresh").await, 400);
    saoma.is_given(&format!("{before}{WIKI}"));
    until(|| saoma.log().contains(FRESH)).await;
    assert_eq!(answers(&saoma, "fresh").await, 200);
    saoma.is_given(&before);
    until(|| saoma.log().matches(FRESH).count() == 2).await;
    assert_eq!(answers(&saoma, "fresh").await, 400);
    let scene = crate::support::reads_scene(&browser, &page).await;
    saoma.phone("ann").scans(&scene, 1047).await.unwrap();
    assert_eq!(watch.sees_state().await.unwrap(), "scanned");
    saoma.is_asked_to_stop().await;
    assert!(saoma.log().contains("INFO server.stopping"), "{}", saoma.log());
    assert!(saoma.log().contains("INFO server.stopped"), "{}", saoma.log());
    let store = rusqlite::Connection::open(saoma.database()).unwrap();
    let audited: u32 = store
        .query_row("SELECT count(*) FROM audit WHERE what = 'settings.reloaded'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(audited, 2);
}

#[tokio::test]
async fn settings_that_are_wrong_change_nothing_and_say_why() {
    let saoma = Process::starts("info").await;
    let before = saoma.settings();
    saoma.is_given(&format!("{before}{WIKI}scret = \"x\"\n"));
    until(|| saoma.log().contains("settings.refused")).await;
    assert!(saoma.log().contains("site.scret is no setting; did you mean site.secret?"));
    assert_eq!(answers(&saoma, "fresh").await, 400);
    assert_eq!(answers(&saoma, "blog").await, 200);
}

#[tokio::test]
async fn what_wants_a_restart_is_named() {
    let saoma = Process::starts("info").await;
    let changed = saoma.settings().replace("pool = 0", "pool = 3");
    saoma.is_given(&format!("{changed}[ticket]\nlife = \"1m\"\n"));
    until(|| saoma.log().contains("settings.restart_needed")).await;
    assert!(saoma.log().contains("waits=\"wechat.pool ticket.life\""), "{}", saoma.log());
}

#[tokio::test]
async fn the_level_of_the_log_follows_the_settings_unless_the_command_line_fixed_it() {
    let saoma = Process::starts_with("", "[log]\nlevel = \"info\"").await;
    let loud = saoma.settings().replace("level = \"info\"", "level = \"info,saoma::http=debug\"");
    saoma.browser().get("/healthz").await.unwrap();
    assert!(!saoma.log().contains("request.answered"));
    saoma.is_given(&loud);
    until(|| saoma.log().contains("settings.reloaded")).await;
    saoma.browser().get("/healthz").await.unwrap();
    until(|| saoma.log().contains("request.answered")).await;
    assert!(saoma.log().contains("route=/healthz"), "{}", saoma.log());

    // The last that is heard before it grows quiet says so.
    saoma.is_given(&saoma.settings().replace("info,saoma::http=debug", "error"));
    until(|| saoma.log().contains("level=error")).await;
    assert!(saoma.log().contains("WARN settings.level"), "{}", saoma.log());

    // Its start is heard, and of reloads only what went wrong.
    let quiet = "warn,saoma=info,saoma::reload=error";
    let fixed = Process::starts_with(quiet, "[log]\nlevel = \"info\"").await;
    fixed.is_given(&fixed.settings().replace("level = \"info\"", "level = \"debug\""));
    // Errors come through at any level: this one says that the reload before it is over.
    fixed.is_given("nonsense = 1\n");
    until(|| fixed.log().contains("settings.refused")).await;
    assert!(!fixed.log().contains("settings.reloaded"));
}

#[tokio::test]
async fn the_file_of_regions_is_read_again_and_a_broken_one_changes_nothing() {
    const REGIONS: &[u8] = include_bytes!("../../../fuzz/corpus/region/xdb-small");
    let mut saoma = Process::starts("info").await;
    let file = saoma.database().with_file_name("regions.xdb");
    std::fs::write(&file, REGIONS).unwrap();
    saoma.is_asked_to_stop().await;
    let settings = format!("region_db = \"{}\"\n{}", file.display(), saoma.settings());
    std::fs::write(file.with_file_name("saoma.toml"), &settings).unwrap();
    saoma.starts_again().await;
    std::fs::write(&file, "half of a file").unwrap();
    saoma.is_given(&settings);
    until(|| saoma.log().contains("region.refused")).await;
    assert!(!saoma.log().contains("region.read"));
    std::fs::write(&file, REGIONS).unwrap();
    saoma.is_given(&settings);
    until(|| saoma.log().contains("region.read")).await;
}
