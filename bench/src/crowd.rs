//! Many pages that wait, and many people who sign in at once.

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_local},
};

use crate::{
    Result,
    actors::{Book, Hands, Page, SITE},
    measure::Times,
    stub::scene_in,
    wire::Socket,
};

/// How many people do something at once.
const HANDS: u32 = 64;

/// A page that waits, with its code read by a phone that may scan it.
pub(crate) struct Held {
    pub(crate) page: Page,
    pub(crate) scene: String,
    pub(crate) socket: Socket,
}

/// Pages that wait. Each answers pings by itself.
#[derive(Default)]
pub(crate) struct Crowd {
    waiting: Vec<Waiting>,
}

struct Waiting {
    release: oneshot::Sender<()>,
    page: JoinHandle<Result<Held>>,
}

impl Crowd {
    /// Opens pages until `count` wait.
    pub(crate) async fn grow(&mut self, server: SocketAddr, count: u32) -> Result<()> {
        let begin = u32::try_from(self.waiting.len())?;
        let next = Rc::new(Cell::new(begin));
        let opening: Vec<_> = (0..HANDS)
            .map(|_| {
                let next = next.clone();
                spawn_local(async move {
                    let mut hands = Hands::new(server, SITE);
                    let mut opened = Vec::new();
                    while next.get() < count {
                        let n = next.replace(next.get() + 1);
                        opened.push(hold(open(&mut hands, n).await?));
                    }
                    Ok::<_, crate::Error>(opened)
                })
            })
            .collect();
        for opened in opening {
            self.waiting.extend(opened.await??);
        }
        Ok(())
    }

    /// One of those that wait, to go on with.
    pub(crate) async fn take(&mut self) -> Result<Held> {
        let Waiting { release, page } = self.waiting.pop().ok_or("nobody waits any more")?;
        // Who is gone cannot be released; its own error says why.
        let _ = release.send(());
        page.await?
    }

    /// How many are gone though nobody told them to go.
    pub(crate) fn lost(&self) -> usize {
        self.waiting.iter().filter(|waiting| waiting.page.is_finished()).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// All of them, to do something else with.
    pub(crate) async fn disband(mut self) -> Result<Vec<Held>> {
        let mut all = Vec::new();
        while self.len() > 0 {
            all.push(self.take().await?);
        }
        Ok(all)
    }
}

/// Tickets whose pages have their code and do not watch: what a ticket costs without its socket.
pub(crate) async fn tickets(server: SocketAddr, from: u32, to: u32) -> Result<()> {
    let next = Rc::new(Cell::new(from));
    let opening: Vec<_> = (0..HANDS)
        .map(|_| {
            let next = next.clone();
            spawn_local(async move {
                let mut hands = Hands::new(server, SITE);
                while next.get() < to {
                    let n = next.replace(next.get() + 1);
                    let page = hands.open(n).await?;
                    hands.picture(&page).await?;
                }
                Ok::<_, crate::Error>(())
            })
        })
        .collect();
    for opened in opening {
        opened.await??;
    }
    Ok(())
}

async fn open(hands: &mut Hands, n: u32) -> Result<Held> {
    let page = hands.open(n).await?;
    let scene = scene_in(&hands.picture(&page).await?)?;
    let mut socket = hands.watch(&page).await?;
    socket.sees("waiting").await?;
    Ok(Held { page, scene, socket })
}

fn hold(mut held: Held) -> Waiting {
    let (release, released) = oneshot::channel();
    let page = spawn_local(async move {
        tokio::select! {
            biased;
            _ = released => Ok(held),
            said = held.socket.next() => Err(format!("a waiting page was told {said:?}").into()),
        }
    });
    Waiting { release, page }
}

/// A stream of whole logins, `HANDS` at a time, for a while.
pub(crate) struct Stream {
    pub(crate) logins: u64,
    pub(crate) seconds: f64,
    pub(crate) approvals: Times,
    /// How often there was no code yet.
    pub(crate) asked_again: u32,
    /// How many signatures were verified.
    pub(crate) verified: usize,
}

/// Lets people sign in for so long, each as soon as the one before is done. Each person comes back again and again, as the
/// users of a site do.
pub(crate) async fn stream(
    server: SocketAddr,
    site: &'static str,
    time: Duration,
) -> Result<Stream> {
    const PERSONS: u32 = 2_000;
    let book = Rc::new(Book::default());
    let begun = Instant::now();
    // Far from the pages that wait.
    let next = Rc::new(Cell::new(1_000_000));
    let people: Vec<_> = (0..HANDS)
        .map(|_| {
            let (book, next) = (book.clone(), next.clone());
            spawn_local(async move {
                let mut hands = Hands::new(server, site);
                let mut times = Vec::new();
                while begun.elapsed() < time {
                    let n = next.replace(next.get() + 1);
                    times.push(hands.login(n, n % PERSONS, &book).await?.both());
                }
                Ok::<_, crate::Error>((times, hands.asked_again))
            })
        })
        .collect();
    let mut approvals = Times::new()?;
    let mut asked_again = 0;
    for one in people {
        let (times, again) = one.await??;
        times.into_iter().for_each(|time| approvals.add(time));
        asked_again += again;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let keys = Hands::new(server, site).keys().await?;
    let (logins, verified) = (book.logins(), book.verify(&keys)?);
    Ok(Stream { logins, seconds, approvals, asked_again, verified })
}
