//! Figures that need no crowd: start, opening, whole logins.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Bench, pause};
use crate::{
    Result,
    actors::{Hands, RSA_SITE, SITE},
    crowd,
    measure::{Times, number, round as digits},
    server::{Kind, Server},
};

/// From the start of the process to its first 200, with keys and database there from an earlier one.
pub(super) async fn start(bench: &Bench) -> Result<Value> {
    const TIMES: u32 = 10;
    let mut both = serde_json::Map::new();
    for kind in Kind::BOTH {
        let mut server = bench.server(bench.setup(kind)).await?;
        let mut times = Times::new()?;
        for _ in 0..bench.size.count(TIMES) {
            server = server.restart().await?;
            times.add(server.start);
        }
        both.insert(kind.name().to_owned(), times.json());
    }
    Ok(both.into())
}

/// POST to 201 while codes are there and WeChat takes 3 s for the next: with a rest after each, and without.
pub(super) async fn open(bench: &Bench) -> Result<Value> {
    let mut both = serde_json::Map::new();
    for kind in Kind::BOTH {
        let rested = opened(bench, kind, Some(20)).await?;
        let in_a_row = opened(bench, kind, None).await?;
        both.insert(kind.name().to_owned(), rested.json());
        both.insert(format!("{}_in_a_row", kind.name()), in_a_row.json());
    }
    Ok(both.into())
}

/// A thousand pages, opened one after the other with so many milliseconds between them.
async fn opened(bench: &Bench, kind: Kind, rest: Option<u64>) -> Result<Times> {
    const PAGES: u32 = 1_000;
    bench.stub.takes(Duration::ZERO);
    let mut setup = bench.setup(kind);
    setup.pool = 1_200;
    let server = bench.server(setup).await?;
    bench.stub.takes(Duration::from_secs(3));
    let mut hands = Hands::new(server.address, SITE);
    let mut times = Times::new()?;
    for n in 0..bench.size.count(PAGES) {
        let begun = Instant::now();
        hands.open(n).await?;
        // The first finds nothing warm, not even the connection.
        if n > 0 {
            times.add(begun.elapsed());
        }
        if let Some(millis) = rest {
            pause(millis).await;
        }
    }
    if hands.asked_again > 0 {
        return Err("the pool did not last".into());
    }
    Ok(times)
}

/// Whole logins, each with a code of its own, a scan, a tap, a push, a claim and a redemption.
pub(super) async fn logins(bench: &Bench) -> Result<Value> {
    let mut all = serde_json::Map::new();
    for (name, kind, site) in [
        ("saoma", Kind::Saoma, SITE),
        ("node", Kind::Node, SITE),
        ("saoma_rs256", Kind::Saoma, RSA_SITE),
    ] {
        let server = bench.server(bench.setup(kind)).await?;
        all.insert(name.to_owned(), stream(bench, &server, site).await?);
    }
    Ok(all.into())
}

async fn stream(bench: &Bench, server: &Server, site: &'static str) -> Result<Value> {
    // Caches, connections, just-in-time compilers.
    crowd::stream(server.address, site, bench.size.time(Duration::from_secs(2))).await?;
    let used = server.cpu()?;
    let stream =
        crowd::stream(server.address, site, bench.size.time(Duration::from_secs(8))).await?;
    let used = server.cpu()?.saturating_sub(used);
    Ok(json!({
        "logins_per_s": digits(number(stream.logins) / stream.seconds), "logins": stream.logins,
        "server_cpu_us": digits(used.as_secs_f64() * 1e6 / number(stream.logins)),
        "approve_to_both": stream.approvals.json(), "signatures_verified": stream.verified,
        "asked_again_for_a_code": stream.asked_again,
    }))
}
