//! 15,000 pages whose server is stopped and started: how soon all of them wait again.

use std::time::Instant;

use serde_json::{Value, json};
use tokio::task::spawn_local;

use super::{Bench, pause, waiting::PAGES};
use crate::{
    Result,
    actors::{Book, Hands, SITE},
    crowd::{Crowd, Held},
    measure::round as digits,
    server::Kind,
    wire::Frame,
};

/// How many connect at once: as many as a machine's backlog takes, and far more than a real crowd that pauses at random.
const AT_ONCE: usize = 128;

pub(super) async fn round(bench: &Bench) -> Result<Value> {
    let server = bench.server(bench.setup(Kind::Saoma)).await?;
    let mut crowd = Crowd::default();
    crowd.grow(server.address, bench.size.count(PAGES)).await?;
    pause(500).await;
    let minted = bench.stub.codes();
    let pages = crowd.disband().await?;
    let address = server.address;
    let begun = Instant::now();
    let (open, opened) = tokio::sync::watch::channel(false);
    let mut running = Vec::new();
    let places = std::rc::Rc::new(tokio::sync::Semaphore::new(AT_ONCE));
    for held in pages {
        let (places, mut opened) = (places.clone(), opened.clone());
        running.push(spawn_local(async move {
            let Held { page, scene, mut socket } = held;
            if socket.next().await? != Frame::Close(1001) {
                return Err("a page was not told that the server goes".into());
            }
            drop(socket);
            // Pages try again after a pause of their own. All of these together would only take the server's processor
            // while it stops and starts.
            opened.wait_for(|opened| *opened).await?;
            let hands = Hands::new(address, SITE);
            let _place = places.acquire().await?;
            let mut socket = hands.watch(&page).await?;
            socket.sees("waiting").await?;
            Ok::<_, crate::Error>(Held { page, scene, socket })
        }));
    }
    let server = server.restart().await?;
    open.send_replace(true);
    let mut back = Vec::new();
    for one in running {
        back.push(one.await??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = server.cpu()?;
    // The pool is filled anew at the start; no page took a code.
    let minted = bench.stub.codes() - minted;
    let book = Book::default();
    let mut hands = Hands::new(server.address, SITE);
    for (person, held) in (0..).zip(back.iter_mut().take(100)) {
        hands.finish(&held.page, &held.scene, &mut held.socket, person, &book).await?;
    }
    Ok(json!({
        "saoma": { "seconds": digits(seconds), "pages": back.len(), "codes_minted": minted, "stop_ms": digits(server.stop.as_secs_f64() * 1e3), "start_ms": digits(server.start.as_secs_f64() * 1e3),
                   "cpu_ms_afterwards": digits(cpu.as_secs_f64() * 1e3),
                   "logins_afterwards": book.logins() },
    }))
}
