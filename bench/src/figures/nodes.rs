//! Two nodes that share their tickets through Redis: the page waits at the one, the phone calls the other.

use std::{
    process::Stdio,
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    task::spawn_local,
};

use super::{Bench, pause};
use crate::{
    Result,
    actors::{Book, Hands, SITE},
    crowd::Crowd,
    measure::Times,
    server::{Kind, Server},
};

const PAGES: u32 = 10_000;
const PUSHES: u32 = 1_000;
const A_SECOND: u32 = 100;

pub(super) async fn round(bench: &Bench) -> Result<Value> {
    let redis = Redis::start(17_379).await?;
    let mut setup = bench.setup(Kind::Saoma);
    setup.tickets = redis.url.clone();
    let shared = bench.folder("shared");
    let one = Server::start(setup.clone(), &shared.join("one"), 17_001).await?;
    setup.store = Some(shared.join("one/saoma.db"));
    let other = Server::start(setup, &shared.join("other"), 17_003).await?;
    let mut crowd = Crowd::default();
    crowd.grow(one.address, PAGES + PUSHES).await?;
    pause(1_000).await;
    let book = Rc::new(Book::default());
    let every = Duration::from_secs(1) / A_SECOND;
    let begun = Instant::now();
    let mut running = Vec::new();
    for person in 0..PUSHES {
        let mut held = crowd.take().await?;
        let book = book.clone();
        let (here, there) = (one.address, other.address);
        running.push(spawn_local(async move {
            let mut hands = Hands::across(here, there, SITE);
            hands.finish(&held.page, &held.scene, &mut held.socket, person, &book).await
        }));
        tokio::time::sleep_until((begun + every * (person + 1)).into()).await;
    }
    let mut both = Times::new()?;
    for one in running {
        both.add(one.await??.both());
    }
    Ok(
        json!({ "saoma": { "approve_to_both": both.json(), "lost": crowd.lost(), "logins": book.logins(), "waiting": PAGES } }),
    )
}

struct Redis {
    url: String,
    _process: Child,
}

impl Redis {
    async fn start(port: u16) -> Result<Self> {
        let process = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--save",
                "",
                "--appendonly",
                "no",
                "--bind",
                "127.0.0.1",
            ])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                format!("redis-server: {error}; install it (Debian: apt-get install redis-server)")
            })?;
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok(Self { url: format!("redis://127.0.0.1:{port}"), _process: process });
            }
            pause(20).await;
        }
        Err("redis-server does not answer".into())
    }
}
