//! Two builds of saoma beside each other: what a change did to the cost of a login.

use std::{path::PathBuf, time::Duration};

use super::{Bench, Size};
use crate::{
    Result,
    actors::SITE,
    crowd,
    measure::{number, round as digits},
    say,
    server::{Kind, Server, Setup},
};

/// How often each has its turn, and how long that is: short, because a machine's pace changes within a minute by more than
/// most changes do.
const TURNS: u32 = 24;
const TURN: Duration = Duration::from_secs(1);

struct Side {
    name: &'static str,
    server: Server,
    logins: u64,
    used: Duration,
}

/// Measures saoma as it is built and the one in this file.
pub(crate) async fn compare(other: PathBuf) -> Result<()> {
    let bench = Bench::new(Size::Whole).await?;
    let mut sides = Vec::new();
    for (name, binary) in [("this one", None), ("the other", Some(other))] {
        let server = bench.server(Setup { binary, ..bench.setup(Kind::Saoma) }).await?;
        crowd::stream(server.address, SITE, 2 * TURN).await?;
        sides.push(Side { name, server, logins: 0, used: Duration::ZERO });
    }
    for _ in 0..TURNS {
        for side in &mut sides {
            let before = side.server.cpu()?;
            side.logins += crowd::stream(side.server.address, SITE, TURN).await?.logins;
            side.used += side.server.cpu()?.saturating_sub(before);
        }
        // Neither is always the first.
        sides.reverse();
    }
    for Side { name, mut server, logins, used } in sides {
        // Its port is free for who measures again at once.
        server.stop().await?;
        let each = digits(used.as_secs_f64() * 1e6 / number(logins.max(1)));
        say(&format!("{name}: {logins} logins in {TURNS} turns, {each} µs of processor time each"));
    }
    Ok(())
}
