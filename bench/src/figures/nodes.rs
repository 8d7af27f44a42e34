//! Two nodes that share their tickets through Redis: the page waits at the one, the phone calls the other.

use serde_json::{Value, json};

use super::{
    Bench, beside, pause,
    waiting::{WARMING, push},
};
use crate::{Result, crowd::Crowd, server::Kind, services::Service};

const PAGES: u32 = 10_000;
const PUSHES: u32 = 1_000;

pub(super) async fn round(bench: &Bench) -> Result<Value> {
    let mut both = serde_json::Map::new();
    for kind in Kind::BOTH {
        both.insert(kind.name().to_owned(), of(bench, kind).await?);
    }
    Ok(both.into())
}

async fn of(bench: &Bench, kind: Kind) -> Result<Value> {
    let redis = Service::redis().await?;
    // Node keeps nothing that outlives its tickets.
    let postgres = match kind {
        Kind::Saoma => Some(Service::postgres(&beside()?).await?),
        Kind::Node => None,
    };
    let mut setup = bench.setup(kind);
    setup.tickets = redis.url.clone();
    setup.store = postgres.as_ref().map(|postgres| postgres.url.clone());
    let one = bench.server(setup.clone()).await?;
    let other = bench.server(setup).await?;
    let pages = bench.size.count(PAGES);
    let mut crowd = Crowd::default();
    crowd.grow(one.address, bench.size.count(PAGES + WARMING + PUSHES)).await?;
    pause(1_000).await;
    let pushed = push(&one, &other, &mut crowd, bench.size, PUSHES).await?;
    Ok(json!({
        "approve_to_both": pushed.both.json(), "lost": crowd.lost(), "logins": pushed.logins, "waiting": pages,
    }))
}
