//! Tickets in this process's memory: the embedded default.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Error, Expired, Parked, Picture, Seen, Tickets};
use crate::{secret::Hashed, ticket::Ticket, waiting::Waiting, world::Timestamp};

/// How long after its end a ticket is still known, so that its page and phone hear "expired" and not "unknown".
const AFTERLIFE: Duration = Duration::from_secs(120);

/// How long after its opening a ticket is looked at for forgetting it, whatever its life: one that lives longer must not
/// hold up those behind it in the queue.
const LOOK: Duration = Duration::from_secs(120);

/// How many small things are kept at once: at 16 KiB each at most, what strangers may have this process hold.
const MOST_KEPT: usize = 4096;

/// Tickets in memory. One lock guards all: every operation under it is a few map look-ups.
pub struct Memory {
    held: Mutex<Held>,
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Held {
    tickets: HashMap<Hashed, Entry>,
    scenes: HashMap<String, Hashed>,
    digits: HashMap<String, Hashed>,
    claims: HashMap<Hashed, Timestamp>,
    counters: HashMap<String, Counter>,
    kept: HashMap<Hashed, (Timestamp, Bytes)>,
    /// The names of what is kept, the oldest first; some of them are gone already.
    keeping: VecDeque<Hashed>,
    /// When to look at a ticket again for forgetting it. Lives are alike, so the queue is nearly in order; who comes up
    /// early goes to the back.
    leaving: VecDeque<(Timestamp, Hashed)>,
}

struct Entry {
    ticket: Ticket,
    version: u64,
    picture: Option<Picture>,
}

struct Counter {
    until: Timestamp,
    n: u32,
}

impl Memory {
    /// An empty store that tells `waiting` of changes.
    pub fn new(waiting: Arc<Waiting>) -> Self {
        Self { held: Mutex::default(), waiting }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A poisoned lock means a panic between two map operations, none of which leaves half a change.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn put(&mut self, ticket: Ticket, version: u64, picture: Option<Picture>) {
        self.scenes.insert(ticket.scene.clone(), ticket.id);
        if let Some(digits) = &ticket.digits {
            self.digits.insert(digits.clone(), ticket.id);
        }
        let look = ticket.expires.min(ticket.opened + LOOK) + AFTERLIFE;
        self.leaving.push_back((look, ticket.id));
        self.tickets.insert(ticket.id, Entry { ticket, version, picture });
    }

    fn remove(&mut self, id: Hashed) -> Option<Entry> {
        let entry = self.tickets.remove(&id)?;
        self.scenes.remove(&entry.ticket.scene);
        if let Some(digits) = &entry.ticket.digits {
            self.digits.remove(digits);
        }
        Some(entry)
    }

    fn seen(&self, id: Hashed) -> Option<Seen> {
        let entry = self.tickets.get(&id)?;
        Some(Seen { ticket: entry.ticket.clone(), version: entry.version })
    }

    fn stands(&self, seen: &Seen) -> bool {
        self.tickets.get(&seen.ticket.id).is_some_and(|entry| entry.version == seen.version)
    }
}

#[async_trait]
impl Tickets for Memory {
    async fn put(&self, ticket: Ticket, picture: Option<Picture>) -> Result<(), Error> {
        self.held().put(ticket, 0, picture);
        Ok(())
    }

    async fn by_id(&self, id: Hashed) -> Result<Option<Seen>, Error> {
        Ok(self.held().seen(id))
    }

    async fn by_scene(&self, scene: &str) -> Result<Option<Seen>, Error> {
        let held = self.held();
        Ok(held.scenes.get(scene).and_then(|id| held.seen(*id)))
    }

    async fn by_digits(&self, digits: &str) -> Result<Option<Seen>, Error> {
        let held = self.held();
        Ok(held.digits.get(digits).and_then(|id| held.seen(*id)))
    }

    async fn swap(&self, seen: &Seen, next: Ticket) -> Result<bool, Error> {
        let mut held = self.held();
        if !held.stands(seen) {
            return Ok(false);
        }
        if let Some(digits) = &next.digits {
            if held.digits.get(digits).is_some_and(|owner| *owner != next.id) {
                return Ok(false);
            }
            held.digits.insert(digits.clone(), next.id);
        }
        if let Some(entry) = held.tickets.get_mut(&next.id) {
            *entry =
                Entry { ticket: next, version: seen.version + 1, picture: entry.picture.take() };
        }
        Ok(true)
    }

    async fn replace(
        &self,
        seen: &Seen,
        next: Ticket,
        picture: Option<Picture>,
    ) -> Result<bool, Error> {
        let mut held = self.held();
        if !held.stands(seen) {
            return Ok(false);
        }
        held.remove(seen.ticket.id);
        held.put(next, 0, picture);
        Ok(true)
    }

    async fn remove(&self, id: Hashed) -> Result<(), Error> {
        self.held().remove(id);
        Ok(())
    }

    async fn picture(&self, id: Hashed) -> Result<Option<Picture>, Error> {
        Ok(self.held().tickets.get(&id).and_then(|entry| entry.picture.clone()))
    }

    async fn first_claim(&self, id: Hashed, now: Timestamp) -> Result<Timestamp, Error> {
        Ok(*self.held().claims.entry(id).or_insert(now))
    }

    async fn claimed(&self, id: Hashed) -> Result<Option<Timestamp>, Error> {
        Ok(self.held().claims.get(&id).copied())
    }

    async fn count(
        &self,
        what: &str,
        add: i32,
        window: Duration,
        now: Timestamp,
    ) -> Result<u32, Error> {
        let mut held = self.held();
        match held.counters.get_mut(what) {
            Some(counter) if counter.until > now => {
                counter.n = counter.n.saturating_add_signed(add);
                Ok(counter.n)
            }
            _ => {
                let n = u32::try_from(add).unwrap_or(0);
                if n > 0 {
                    held.counters.insert(what.to_owned(), Counter { until: now + window, n });
                }
                Ok(n)
            }
        }
    }

    async fn keep(&self, name: Hashed, value: Bytes, until: Timestamp) -> Result<(), Error> {
        let mut held = self.held();
        // The oldest goes: who is on their way comes within seconds, and a flood must not lock everybody out.
        while held.kept.len() >= MOST_KEPT || held.keeping.len() >= 2 * MOST_KEPT {
            let Some(oldest) = held.keeping.pop_front() else { break };
            held.kept.remove(&oldest);
        }
        held.keeping.push_back(name);
        held.kept.insert(name, (until, value));
        Ok(())
    }

    async fn kept(&self, name: Hashed, now: Timestamp) -> Result<Option<Bytes>, Error> {
        let held = self.held();
        let kept = held.kept.get(&name).filter(|(until, _)| *until > now);
        Ok(kept.map(|(_, value)| value.clone()))
    }

    async fn take(&self, name: Hashed, now: Timestamp) -> Result<Option<Bytes>, Error> {
        let taken = self.held().kept.remove(&name).filter(|(until, _)| *until > now);
        Ok(taken.map(|(_, value)| value))
    }

    async fn nudge(&self, id: Hashed) -> Result<(), Error> {
        self.waiting.nudge(id);
        Ok(())
    }

    async fn how_many(&self) -> Result<usize, Error> {
        Ok(self.held().tickets.len())
    }

    async fn purge(&self, now: Timestamp) -> Result<Expired, Error> {
        // A claim is asked for within ten minutes of the decision and redeemed within one: an hour is ample.
        let old = now.before(Duration::from_secs(3600));
        let mut held = self.held();
        let mut expired = Expired::default();
        while let Some((_, id)) = held.leaving.front().copied().filter(|(at, _)| *at <= now) {
            held.leaving.pop_front();
            match held.tickets.get(&id).map(|entry| entry.ticket.expires + AFTERLIFE) {
                Some(later) if later > now => {
                    held.leaving.push_back((later.min(now + LOOK + AFTERLIFE), id));
                }
                Some(_) => held.remove(id).iter().for_each(|entry| expired.count(&entry.ticket)),
                None => {}
            }
        }
        held.kept.retain(|_, (until, _)| *until > now);
        let Held { kept, keeping, .. } = &mut *held;
        keeping.retain(|name| kept.contains_key(name));
        held.counters.retain(|_, counter| counter.until > now);
        held.claims.retain(|_, at| *at > old);
        Ok(expired)
    }

    async fn park(&self) -> Result<Vec<Parked>, Error> {
        let held = std::mem::take(&mut *self.held());
        let parked = |entry: Entry| Parked { ticket: entry.ticket, picture: entry.picture };
        Ok(held.tickets.into_values().map(parked).collect())
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flood_of_requests_to_be_kept_drives_out_the_oldest_and_fills_no_more_than_its_room()
    {
        let memory = Memory::new(Arc::new(Waiting::default()));
        let (now, until) = (Timestamp::from_millis(0), Timestamp::from_millis(600_000));
        let name = |n: u32| Hashed::of(n.to_be_bytes());
        for n in 0..20_000 {
            memory.keep(name(n), Bytes::from_static(b"kept"), until).await.unwrap();
            if n % 3 == 0 {
                memory.take(name(n), now).await.unwrap().unwrap();
            }
        }
        assert_eq!(memory.kept(name(1), now).await.unwrap(), None, "the oldest made room");
        assert_eq!(memory.kept(name(19_999), now).await.unwrap().unwrap(), "kept");
        assert!(memory.held().kept.len() <= MOST_KEPT);
        assert!(memory.held().keeping.len() <= 2 * MOST_KEPT);
        memory.purge(until).await.unwrap();
        assert!(memory.held().keeping.is_empty());
    }

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        super::super::contract::holds(async || Memory::new(Arc::new(Waiting::default()))).await;
    }
}
