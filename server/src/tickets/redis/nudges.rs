//! "Look again", from node to node.
//!
//! One stream that every node reads; what it holds is a ticket's name and no state. A page is in its node's room before its
//! first look (`waiting.rs`), so that a nudge finds it whichever node sends it and whenever it comes. Nudges are numbered:
//! a node that misses one, or has lost Redis for a while, lets all of its pages look once. A nudge that cannot be sent is
//! kept and sent as soon as Redis is back.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{Script, cmd};

use super::{Error, Link, within};
use crate::{secret::Hashed, waiting::Waiting, world::World};

/// How long Redis waits for news before it says that there is none: less than an answer may take.
const QUIET: usize = 1000;

/// Both in one slot of a cluster.
const STREAM: &str = "saoma:{nudges}";
const COUNTER: &str = "saoma:{nudges}:n";

pub(super) struct Nudges {
    ear: Link,
    waiting: Arc<Waiting>,
    /// Tells this node's own nudges from others'.
    node: String,
    unsent: Mutex<HashSet<Hashed>>,
    script: Script,
}

/// How far this node has heard.
struct Heard {
    id: String,
    n: u64,
}

/// A nudge in the stream: its id, and a flat list of names and values.
type Entry = (String, Vec<Vec<u8>>);

/// What XREAD answers: for each stream that has some its entries.
type News = Option<Vec<(String, Vec<Entry>)>>;

impl Nudges {
    pub(super) fn new(ear: Link, waiting: Arc<Waiting>, world: &World) -> Self {
        let script = Script::new(include_str!("nudge.lua"));
        Self { ear, waiting, node: world.base62(12), unsent: Mutex::default(), script }
    }

    /// Nudges this node's pages at once and the others' by the stream. Never fails: what cannot be sent now is sent later.
    pub(super) async fn send(&self, link: &Link, id: Hashed) {
        self.waiting.nudge(id);
        if self.tell(link, id).await.is_err() {
            self.unsent().insert(id);
        }
    }

    async fn tell(&self, link: &Link, id: Hashed) -> Result<(), Error> {
        let mut call = self.script.key(STREAM);
        call.key(COUNTER).arg(id.as_bytes()).arg(&self.node);
        within(call.invoke_async(&mut link.clone())).await
    }

    /// Hears nudges for as long as it is polled.
    pub(super) async fn hear(&self, link: &Link, world: &World) {
        let mut heard = None;
        let mut told = false;
        loop {
            match self.round(link, &mut heard).await {
                Ok(()) => told = false,
                Err(error) => {
                    heard = None;
                    if !told {
                        tracing::warn!(name: "redis.away", %error, "pages of this node hear nothing of other nodes until Redis is back");
                    }
                    told = true;
                    world.sleep_until(world.now() + Duration::from_millis(250)).await;
                }
            }
        }
    }

    async fn round(&self, link: &Link, heard: &mut Option<Heard>) -> Result<(), Error> {
        self.send_unsent(link).await?;
        let Some(so_far) = heard else {
            *heard = Some(self.begin().await?);
            self.waiting.nudge_all();
            return Ok(());
        };
        let mut read = cmd("XREAD");
        read.arg("COUNT")
            .arg(1024)
            .arg("BLOCK")
            .arg(QUIET)
            .arg("STREAMS")
            .arg(STREAM)
            .arg(&so_far.id);
        let news: News = within(read.query_async(&mut self.ear.clone())).await?;
        for (id, fields) in news.into_iter().flatten().flat_map(|(_, entries)| entries) {
            let mut values = fields.into_iter().skip(1).step_by(2);
            let (n, ticket, by) = (values.next(), values.next(), values.next());
            let n = n.and_then(|n| String::from_utf8(n).ok()).and_then(|n| n.parse().ok());
            if n != Some(so_far.n + 1) {
                self.waiting.nudge_all();
            }
            *so_far = Heard { id, n: n.unwrap_or(0) };
            if let Some(ticket) = ticket.and_then(|ticket| ticket.try_into().ok())
                && by.as_deref() != Some(self.node.as_bytes())
            {
                self.waiting.nudge(Hashed::from_bytes(ticket));
            }
        }
        Ok(())
    }

    /// Where the stream stands now: both in one moment, or a nudge between them would look like one that was missed.
    async fn begin(&self) -> Result<Heard, Error> {
        let mut look = redis::pipe();
        look.atomic().cmd("GET").arg(COUNTER);
        look.cmd("XREVRANGE").arg(STREAM).arg("+").arg("-").arg("COUNT").arg(1);
        let (n, last): (Option<u64>, Vec<Entry>) =
            within(look.query_async(&mut self.ear.clone())).await?;
        let id = last.into_iter().next().map_or_else(|| "0-0".to_owned(), |(id, _)| id);
        Ok(Heard { id, n: n.unwrap_or(0) })
    }

    async fn send_unsent(&self, link: &Link) -> Result<(), Error> {
        let unsent: Vec<Hashed> = self.unsent().iter().copied().collect();
        for id in unsent {
            self.tell(link, id).await?;
            self.unsent().remove(&id);
        }
        Ok(())
    }

    fn unsent(&self) -> std::sync::MutexGuard<'_, HashSet<Hashed>> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
