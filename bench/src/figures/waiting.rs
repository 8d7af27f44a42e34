//! 15,000 pages that wait: what they cost the server while nothing happens, how soon one of them is told, and what they
//! take from everybody else.

use std::{
    io::{Seek as _, SeekFrom, Write as _},
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::spawn_local;

use super::{Bench, Size, against::in_turns, pause};
use crate::{
    Result,
    actors::{Book, Hands, SITE},
    crowd::Crowd,
    measure::{Times, number, round as digits},
    scrape::Buckets,
    server::{Kind, Server},
};

pub(super) const PAGES: u32 = 15_000;
/// How many of them sign in, and how many a second.
const PUSHES: u32 = 1_000;
const A_SECOND: u32 = 100;
/// How many sign in before them and are not timed: just-in-time compilers, connections and statements are warm then.
pub(super) const WARMING: u32 = 200;
/// How many sign in after them, one after the other without a rest.
const IN_A_ROW: u32 = 200;
/// How often in turn people sign in where they wait, and where nobody does.
const TURNS: u32 = 12;
/// For how long nothing happens: a page is pinged once in it.
const IDLE: Duration = Duration::from_secs(55);

pub(super) async fn round(bench: &Bench) -> Result<Value> {
    let mut both = serde_json::Map::new();
    for kind in Kind::BOTH {
        both.insert(kind.name().to_owned(), of(bench, kind).await?);
    }
    Ok(both.into())
}

async fn of(bench: &Bench, kind: Kind) -> Result<Value> {
    let (size, setup) = (bench.size, bench.setup(kind));
    let server = bench.server(setup.clone()).await?;
    let mut crowd = Crowd::default();
    crowd.grow(server.address, size.count(PAGES + WARMING + PUSHES + IN_A_ROW)).await?;
    pause(1_000).await;
    let idle = match kind {
        Kind::Saoma => Some(idle(&server, size.time(IDLE)).await?),
        // It pings nobody, so there is nothing to compare.
        Kind::Node => None,
    };
    let pushed = push(&server, &server, &mut crowd, size, PUSHES).await?;
    let committed_to_frame = match kind {
        Kind::Saoma => Some(told(&server, pushed.logins).await?),
        Kind::Node => None,
    };
    let in_a_row = in_a_row(&server, &mut crowd, size.count(IN_A_ROW)).await?;
    let empty = bench.server(setup).await?;
    let [with, without] = in_turns([&server, &empty], size, TURNS).await?;
    let lost = crowd.lost();
    drop((crowd, server, empty));
    let disk = match kind {
        Kind::Saoma => Some(disk(bench)?),
        Kind::Node => None,
    };
    let (with, without) = (with.logins_per_s(), without.logins_per_s());
    Ok(json!({
        "idle_cpu_percent": idle, "lost": lost, "disk": disk,
        "push": { "logins": pushed.logins, "approve_to_both": pushed.both.json(), "approve_to_page": pushed.told.json(), "commit_to_frame": committed_to_frame },
        "push_in_a_row": in_a_row.json(),
        "logins_per_s_with_them": digits(with), "logins_per_s_without": digits(without),
        "cost_percent": digits((1.0 - with / without) * 100.0),
    }))
}

/// From the commit of a decision to the frame that tells its page, by the server's own count of those that signed in.
async fn told(server: &Server, logins: u64) -> Result<Value> {
    let told = Buckets::read(server, "saoma_told_seconds").await?;
    if told.count() < number(logins) {
        return Err("not every page was told by who had committed".into());
    }
    Ok(json!({
        "count": told.count(), "p50_ms": digits(told.at_ms(0.5)), "p99_ms": digits(told.at_ms(0.99)),
    }))
}

/// How much of a core the server takes while nothing happens but pings.
async fn idle(server: &Server, time: Duration) -> Result<f64> {
    let (begun, used) = (Instant::now(), server.cpu()?);
    tokio::time::sleep(time).await;
    let used = server.cpu()?.saturating_sub(used);
    Ok(digits(used.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0))
}

pub(super) struct Pushed {
    pub(super) both: Times,
    told: Times,
    pub(super) logins: u64,
}

/// Some of those that wait at `server` sign in with phones that call `phone`, at a pace that makes nobody wait for another.
pub(super) async fn push(
    server: &Server,
    phone: &Server,
    crowd: &mut Crowd,
    size: Size,
    pushes: u32,
) -> Result<Pushed> {
    let (warming, pushes) = (size.count(WARMING), size.count(pushes));
    let book = Rc::new(Book::default());
    let every = Duration::from_secs(1) / A_SECOND;
    let begun = Instant::now();
    let mut running = Vec::new();
    for n in 0..warming + pushes {
        let mut held = crowd.take().await?;
        let (book, here, there) = (book.clone(), server.address, phone.address);
        running.push(spawn_local(async move {
            let mut hands = Hands::across(here, there, SITE);
            hands.finish(&held.page, &held.scene, &mut held.socket, n, &book).await
        }));
        tokio::time::sleep_until((begun + every * (n + 1)).into()).await;
    }
    let mut pushed = Pushed { both: Times::new()?, told: Times::new()?, logins: 0 };
    for (n, one) in (0..).zip(running) {
        let times = one.await??;
        if n < warming {
            continue;
        }
        pushed.both.add(times.both());
        pushed.told.add(times.told.saturating_duration_since(times.approve));
    }
    book.verify(&Hands::new(server.address, SITE).keys().await?)?;
    pushed.logins = book.logins();
    Ok(pushed)
}

/// From the tap until phone and page know, where the next begins as soon as the last is signed in: nothing has gone cold.
async fn in_a_row(server: &Server, crowd: &mut Crowd, pushes: u32) -> Result<Times> {
    let (book, mut hands) = (Book::default(), Hands::new(server.address, SITE));
    let mut both = Times::new()?;
    // Newcomers, as those before them were.
    for person in (WARMING + PUSHES..).take(usize::try_from(pushes)?) {
        let mut held = crowd.take().await?;
        let times = hands.finish(&held.page, &held.scene, &mut held.socket, person, &book).await?;
        both.add(times.both());
    }
    book.verify(&hands.keys().await?)?;
    Ok(both)
}

/// What the disk alone takes for as much as one decision writes: nothing durable can be faster.
fn disk(bench: &Bench) -> Result<Value> {
    const WRITES: usize = 500;
    /// A newcomer's decision changes about so many pages of 4 KiB.
    const BYTES: usize = 20 * 4096;
    let path = bench.folder("disk");
    let mut file = std::fs::File::create(&path)?;
    // SQLite writes its log over and over in the same place.
    file.write_all(&vec![0; BYTES * 100])?;
    file.sync_all()?;
    let mut times = Times::new()?;
    for n in 0..WRITES {
        if n % 100 == 0 {
            file.seek(SeekFrom::Start(0))?;
        }
        let begun = Instant::now();
        file.write_all(&[1; BYTES])?;
        file.sync_data()?;
        times.add(begun.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(times.json())
}
