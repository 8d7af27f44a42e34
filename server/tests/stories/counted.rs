//! What operators can count: every step of a sign-in, every end of one, every refusal, and nobody's name.

use saoma::{
    console::overview::{Range, Totals, overview},
    metrics::Now,
    world::Timestamp,
};
use serde_json::json;
use wechat::pretend::Trouble;

use crate::support::{Saoma, claims, until};

impl Saoma {
    /// What `/metrics` shows.
    async fn metrics(&self) -> String {
        self.app.metrics.text(&Now::of(&self.app).await).unwrap()
    }
}

fn shows(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "no {line} in\n{text}");
    }
}

#[tokio::test]
async fn a_sign_in_is_counted_and_timed_from_its_opening_to_its_redemption() {
    let saoma = Saoma::starts().await;
    let (browser, site, phone) = (saoma.browser(), saoma.site("blog"), saoma.phone("ann"));
    let page = browser.opens(&site.asks()).await.unwrap();
    shows(&saoma.metrics().await, &["saoma_tickets_held 1"]);
    saoma.passes(7);
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    // The same person scans again: one more scan, and the step is the first one's.
    let asked_again = phone.scans(&asked.scene, 1047).await.unwrap();
    saoma.passes(4);
    phone.approves(&asked_again).await.unwrap();
    saoma.passes(1);
    let code = claims(&browser, &page).await;
    saoma.passes(1);
    assert_eq!(claims(&browser, &page).await, code, "a claim that is asked for again");
    site.redeems(&code).await.good().unwrap();
    let text = saoma.metrics().await;
    shows(
        &text,
        &[
            "saoma_tickets_opened_total{kind=\"page\"} 1",
            "saoma_scans_total{entry=\"camera\",ask=\"tap\"} 2",
            "saoma_sign_ins_total{outcome=\"approved\"} 1",
            "saoma_site_sign_ins_total{site=\"blog\"} 1",
            "saoma_step_seconds_sum{step=\"scan\"} 7.0",
            "saoma_step_seconds_count{step=\"scan\"} 1",
            "saoma_step_seconds_sum{step=\"decide\"} 4.0",
            "saoma_step_seconds_sum{step=\"claim\"} 1.0",
            "saoma_step_seconds_count{step=\"claim\"} 1",
            "saoma_step_seconds_sum{step=\"redeem\"} 2.0",
            "saoma_tokens_issued_total{grant=\"authorization_code\"} 1",
            "saoma_wechat_call_seconds_count{path=\"/sns/jscode2session\"} 2",
            "saoma_ready{part=\"store\"} 1",
            "saoma_http_request_seconds_count{method=\"POST\",route=\"/api/tickets/{ticket}/claim\",status=\"2xx\"} 2",
        ],
    );
    for secret in [page.ticket.as_str(), &asked.scene, &code, "127.0.0.1", "ann"] {
        assert!(!text.contains(secret), "{secret} stands in the metrics");
    }
}

#[tokio::test]
async fn every_end_of_a_sign_in_has_its_own_count() {
    let saoma = Saoma::starts().await;
    let (site, phone) = (saoma.site("blog"), saoma.phone("ann"));
    let browser = saoma.browser();
    let (page, asked) = saoma.scans(&browser, &site, &phone).await;
    phone.denies(&asked).await.unwrap();
    drop(page);
    let other = saoma.browser();
    let page = other.opens(&site.asks()).await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1048).await.unwrap();
    let state = other.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
    let wrong = if state["match"] == "00" { "01" } else { "00" };
    assert!(phone.approves_with(&asked, &json!({ "match": wrong })).await.is_err());
    let element = site.embeds().await;
    assert_eq!(element.calls("cancel").await.status, 204);
    let remembering = saoma.browser();
    saoma
        .signs_in_with(
            &remembering,
            &site,
            &phone,
            &json!({ "remember": true, "scopes": ["profile", "wechat"] }),
        )
        .await;
    remembering.get(&site.asks()).await.unwrap();
    saoma.browser().opens(&site.asks()).await.unwrap();
    saoma.scans(&saoma.browser(), &site, &phone).await;
    saoma.passes(600);
    let over = saoma.app.tickets.purge(saoma.app.world.now()).await.unwrap();
    saoma.app.metrics.sign_ins.expired(over);
    shows(
        &saoma.metrics().await,
        &[
            "saoma_sign_ins_total{outcome=\"denied\"} 1",
            "saoma_sign_ins_total{outcome=\"wrong_match\"} 1",
            "saoma_sign_ins_total{outcome=\"cancelled\"} 1",
            "saoma_sign_ins_total{outcome=\"remembered\"} 1",
            "saoma_sign_ins_total{outcome=\"approved\"} 1",
            "saoma_sign_ins_total{outcome=\"expired\"} 1",
            "saoma_sign_ins_total{outcome=\"undecided\"} 1",
            "saoma_refusals_total{code=\"wrong_match\"} 1",
        ],
    );
    // The console plots the same sign-ins: what monitors count is in its totals, and nothing else is.
    let seen = overview(&saoma.app, Range::Day, 0, None).await.unwrap();
    let told = Totals {
        shown: 6,
        scanned: 4,
        approved: 1,
        denied: 1,
        wrong_match: 1,
        turned_away: 0,
        left: 1,
        remembered: 1,
    };
    assert_eq!(seen.totals, told);
    assert_eq!((seen.totals.expired(0), seen.totals.undecided()), (3, 1));
    let text = saoma.metrics().await;
    let steps = [("scan", seen.to_scan), ("decide", seen.to_decide), ("redeem", seen.to_redeem)];
    for (step, times) in steps {
        let count = format!("saoma_step_seconds_count{{step=\"{step}\"}} {}", times.all());
        shows(&text, &[&count]);
    }
}

#[tokio::test]
async fn what_is_done_by_itself_is_noted_and_what_fails_shows_its_age() {
    let saoma = Saoma::starts().await;
    let now = Now::of(&saoma.app).await;
    let was_done = |kind: &str, at: Timestamp| {
        let line = format!("saoma_housekeeping_done_seconds{{kind=\"{kind}\"}} {}", at.seconds());
        saoma.app.metrics.text(&now).unwrap().lines().any(|found| found == line)
    };
    saoma.passes(5);
    let first = saoma.app.world.now();
    until(|| was_done("prune", first) && was_done("counts", first)).await;
    let beside = rusqlite::Connection::open(saoma.database()).unwrap();
    beside.execute_batch("ALTER TABLE decisions RENAME TO away").unwrap();
    saoma.passes(4 * 3600);
    // They come after it.
    until(|| was_done("counts", saoma.app.world.now())).await;
    assert!(was_done("prune", first));
}

#[tokio::test]
async fn what_goes_wrong_upstream_and_who_is_held_back_is_counted() {
    let limit = [("SAOMA_LIMITS__TICKETS_PER_ADDRESS", "2")];
    let saoma = Saoma::starts_with(&limit).await;
    let site = saoma.site("blog");
    saoma.wechat.pretend.trouble(Trouble::on("/sns/jscode2session").errcode(40029));
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let page = browser.opens(&site.asks()).await.unwrap();
    let scene = saoma.scene(&page.ticket).await;
    assert!(phone.scans(&scene, 1047).await.is_err());
    browser.opens(&site.asks()).await.unwrap();
    assert!(browser.opens(&site.asks()).await.is_err());
    shows(
        &saoma.metrics().await,
        &[
            "saoma_wechat_errors_total{path=\"/sns/jscode2session\",error=\"40029\"} 1",
            "saoma_refusals_total{code=\"js_code_refused\"} 1",
            "saoma_limits_hit_total{limit=\"tickets_per_address\"} 1",
            "saoma_refusals_total{code=\"too_many_requests\"} 1",
        ],
    );
}

#[cfg(target_os = "linux")]
mod of_a_process {
    use saoma::try_it::actors::Reply;

    use super::shows;
    use crate::process::Process;

    #[tokio::test]
    async fn metrics_are_for_operators_alone_and_lines_of_json_have_names() {
        let mut saoma = Process::starts_with("info", "[log]\nformat = \"json\"").await;
        let http = reqwest::Client::new();
        let shown = http.get(format!("{}/metrics", saoma.operators()));
        let shown = Reply::of(shown).await.unwrap();
        assert_eq!(shown.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        let text = shown.text();
        shows(&text, &["saoma_panics_total 0", "saoma_ready{part=\"store\"} 1"]);
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
        let public = Reply::of(http.get(format!("{}/metrics", saoma.url))).await.unwrap();
        assert_eq!(public.status, 404);
        saoma.is_asked_to_stop().await;
        let log = saoma.log();
        let events: Vec<serde_json::Value> =
            log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(events.iter().any(|event| event["event"] == "server.started"), "{log}");
        assert!(events.iter().all(|event| event["event"] != "" && event["time"].is_string()));
    }

    /// A collector that keeps what it is sent.
    #[cfg(feature = "otlp")]
    #[tokio::test]
    async fn traces_reach_their_collector() {
        use std::sync::{Arc, Mutex};

        use axum::{Router, body::Bytes, routing::post};

        let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
        let keeps = kept.clone();
        let collect = post(async move |body: Bytes| keeps.lock().unwrap().extend_from_slice(&body));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = format!("[log]\ntraces = \"http://{}\"", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", collect);
        tokio::spawn(saoma::http::serve(listener, router, std::future::pending()));
        let mut saoma = Process::starts_with("info", &to).await;
        let browser = saoma.browser();
        let page = browser.opens("/login").await.unwrap();
        let scene = crate::support::reads_scene(&browser, &page).await;
        saoma.phone("ann").scans(&scene, 1047).await.unwrap();
        // What is still on its way is sent at a stop.
        saoma.is_asked_to_stop().await;
        let sent = String::from_utf8_lossy(&kept.lock().unwrap()).into_owned();
        for name in ["POST /api/phone/tickets/{scene}/scan", "wechat.call", "store.write", "saoma"]
        {
            assert!(sent.contains(name), "no span {name}");
        }
        assert!(!sent.contains(&scene), "an address is in a span");
    }
}
