//! Two servers beside each other: what a build, or a crowd, does to the cost of a login.

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

/// How often each has its turn.
const TURNS: u32 = 24;

/// How long a turn is: short, because a machine's pace changes within a minute by more than most changes do.
const TURN: Duration = Duration::from_secs(1);

/// What one of them did in its turns.
#[derive(Default)]
pub(super) struct Done {
    logins: u64,
    seconds: f64,
    used: Duration,
}

impl Done {
    pub(super) fn logins_per_s(&self) -> f64 {
        number(self.logins) / self.seconds
    }
}

/// Whole logins at both, in turns of a second; neither is always the first.
pub(super) async fn in_turns(both: [&Server; 2], size: Size, turns: u32) -> Result<[Done; 2]> {
    let turn = size.time(TURN);
    for server in both {
        crowd::stream(server.address, SITE, 2 * turn).await?;
    }
    let mut done = [Done::default(), Done::default()];
    for n in 0..turns {
        let mut sides: Vec<_> = both.into_iter().zip(&mut done).collect();
        if n % 2 == 1 {
            sides.reverse();
        }
        for (server, done) in sides {
            let before = server.cpu()?;
            let stream = crowd::stream(server.address, SITE, turn).await?;
            done.logins += stream.logins;
            done.seconds += stream.seconds;
            done.used += server.cpu()?.saturating_sub(before);
        }
    }
    Ok(done)
}

/// Measures saoma as it is built and the one in this file.
pub(crate) async fn compare(other: PathBuf) -> Result<()> {
    let bench = Bench::new(Size::Whole).await?;
    let mut this = bench.server(bench.setup(Kind::Saoma)).await?;
    let other = Setup { binary: Some(other), ..bench.setup(Kind::Saoma) };
    let mut other = bench.server(other).await?;
    let done = in_turns([&this, &other], bench.size, TURNS).await?;
    for (name, done) in ["this one", "the other"].into_iter().zip(done) {
        let Done { logins, used, .. } = done;
        let each = digits(used.as_secs_f64() * 1e6 / number(logins.max(1)));
        say(&format!("{name}: {logins} logins in {TURNS} turns, {each} µs of processor time each"));
    }
    // Their ports are free for who measures again at once.
    this.stop().await?;
    other.stop().await
}
