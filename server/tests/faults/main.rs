//! What several nodes do when things break: real `saoma serve` processes, a real Redis and a real PostgreSQL, people who
//! sign in all the while, and a counting of what must never happen.
//!
//! The short run is everyday's. The long one, thousands of sign-ins over every fault again and again:
//! `FAULTS=long cargo test --workspace --all-features --test faults -- --nocapture`, which is `./dev faults`.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a run that cannot go on has failed, and one that ends says what it saw"
)]

use std::{sync::Arc, time::Duration};

mod counts;
mod people;
#[path = "../servers/mod.rs"]
#[expect(dead_code, unused_imports, reason = "TLS and clusters are for the stores' own tests")]
mod servers;
mod stage;

use counts::Counts;
use stage::Stage;

/// People who sign in at the same time, again and again.
const PEOPLE: u32 = 24;

/// Lets what was broken for so long be mended, and what was mended be used for so long.
const BREAK: Duration = Duration::from_secs(3);
const MEND: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_never_lost_whatever_breaks() {
    let long = std::env::var("FAULTS").is_ok_and(|length| length == "long");
    let rounds = if long { 12 } else { 1 };
    let mut stage = Stage::opens().await;
    let counts = Arc::new(Counts::default());
    let crowd = people::Crowd::comes(PEOPLE, &stage, &counts);
    for round in 0..rounds {
        breaks_everything(&mut stage, &counts, round).await;
    }
    crowd.goes().await;
    let (persons, identities) = stage.persons().await;
    say(&counts.table(long), persons - identities);
    counts.hold();
    assert_eq!(persons, identities, "a person for each WeChat account");
    assert!(persons >= counts.people(), "nobody is missing");
}

/// Every fault once, with people signing in before, during and after.
async fn breaks_everything(stage: &mut Stage, counts: &Counts, round: usize) {
    counts.during("nothing is broken");
    pause(MEND).await;

    counts.during("a node is killed (kill -9)");
    stage.kills(round % 2).await;
    pause(BREAK).await;
    stage.starts(round % 2).await;
    pause(MEND).await;

    counts.during("Redis answers nobody for three seconds (SIGSTOP)");
    stage.redis.pauses();
    pause(BREAK).await;
    stage.redis.goes_on();
    pause(MEND).await;

    counts.during("Redis is stopped and comes back empty");
    stage.redis.stops();
    pause(BREAK).await;
    stage.redis.starts_again();
    pause(MEND).await;

    counts.during("PostgreSQL is stopped and comes back");
    stage.postgres.stops();
    pause(BREAK).await;
    stage.postgres.starts_again();
    pause(MEND).await;

    counts.during("a node is cut off from Redis");
    stage.cuts_off(round % 2);
    pause(BREAK).await;
    stage.joins(round % 2);
    pause(MEND).await;

    counts.during("a node's connections to Redis stand and bring nothing");
    stage.deadens(round % 2);
    pause(MEND).await;

    counts.during("every node is restarted in turn");
    for node in 0..stage.nodes() {
        stage.restarts(node).await;
        pause(Duration::from_secs(1)).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "what is broken stays so for a while of real time")]
async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}

fn say(table: &str, doubled: i64) {
    println!("{table}persons doubled in the database: {doubled}");
}
