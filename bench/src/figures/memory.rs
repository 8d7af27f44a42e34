//! What a page costs that waits: by slope, so that what a server takes anyway is in no part of it.

use serde_json::{Value, json};

use super::{Bench, pause};
use crate::{
    Result,
    crowd::{self, Crowd},
    measure::{number, round as digits},
    server::{Kind, Server, kernel_memory},
};

const FEW: u32 = 5_000;
const MANY: u32 = 16_000;

pub(super) async fn round(bench: &Bench) -> Result<Value> {
    let page = pages(bench, Kind::Saoma).await?;
    let ticket = tickets(bench).await?;
    let node = pages(bench, Kind::Node).await?;
    Ok(json!({
        "saoma": { "page_bytes": digits(page.user), "ticket_bytes": digits(ticket), "socket_bytes": digits(page.user - ticket),
                   "kernel_bytes": digits(page.kernel), "rss_at_16000": page.rss },
        "node": { "page_bytes": digits(node.user), "kernel_bytes": digits(node.kernel), "rss_at_16000": node.rss },
    }))
}

struct Slope {
    user: f64,
    /// Of both ends, since the client is on the same machine.
    kernel: f64,
    rss: u64,
}

async fn pages(bench: &Bench, kind: Kind) -> Result<Slope> {
    let server = bench.server(bench.setup(kind)).await?;
    let (least, most) = (bench.size.count(FEW), bench.size.count(MANY));
    let mut crowd = Crowd::default();
    crowd.grow(server.address, least).await?;
    let few = settled(&server).await?;
    let kernel = kernel_memory()?;
    crowd.grow(server.address, most).await?;
    let many = settled(&server).await?;
    if crowd.lost() > 0 {
        return Err(format!("{} pages were lost", crowd.lost()).into());
    }
    let between = number(u64::from(most - least));
    Ok(Slope {
        user: (number(many) - number(few)) / between,
        kernel: (number(kernel_memory()?) - number(kernel)) / between,
        rss: server.memory()?.rss,
    })
}

async fn tickets(bench: &Bench) -> Result<f64> {
    let server = bench.server(bench.setup(Kind::Saoma)).await?;
    let (least, most) = (bench.size.count(FEW), bench.size.count(MANY));
    crowd::tickets(server.address, 0, least).await?;
    let few = settled(&server).await?;
    crowd::tickets(server.address, least, most).await?;
    let many = settled(&server).await?;
    Ok((number(many) - number(few)) / number(u64::from(most - least)))
}

/// Its memory once it no longer changes: what limits remember of a page's calls is forgotten within some seconds.
async fn settled(server: &Server) -> Result<u64> {
    let mut last = u64::MAX;
    for _ in 0..6 {
        pause(2_000).await;
        let now = server.memory()?.anonymous;
        if now.abs_diff(last) < 16 * 1024 {
            break;
        }
        last = now;
    }
    Ok(server.memory()?.anonymous)
}
