//! Tickets in this process's memory: the embedded default.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher as _, Hash, RandomState},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use hashbrown::HashTable;

use super::{
    Error, Expired, Parked, Picture, Seen, Tickets,
    packed::Packed,
    spill::{Spill, Spilled},
};
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
    /// Where pictures lie; none: in memory.
    spill: Option<Spill>,
}

#[derive(Default)]
struct Held {
    shelf: Shelf,
    digits: HashMap<String, Hashed>,
    claims: HashMap<Hashed, Timestamp>,
    counters: HashMap<String, Counter>,
    kept: HashMap<Hashed, (Timestamp, Bytes)>,
    /// The names of what is kept, the oldest first.
    keeping: VecDeque<Hashed>,
    /// When to look at a ticket again for forgetting it. Lives are alike, so the queue is nearly in order; who comes up
    /// early goes to the back.
    leaving: VecDeque<(Timestamp, Place)>,
}

/// Where a ticket stands on the shelf. The round tells it from an earlier one in the same place.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    slot: u32,
    round: u32,
}

/// The tickets, and where each is by its names. Both indexes hold places alone, which is what makes them small.
#[derive(Default)]
struct Shelf {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_id: HashTable<u32>,
    by_scene: HashTable<u32>,
    hasher: RandomState,
    rounds: u32,
}

struct Entry {
    packed: Packed,
    version: u32,
    round: u32,
    picture: Shown,
}

/// A ticket's picture. In two ways and not three, so that it takes no more room than the larger of them.
#[derive(Clone)]
enum Shown {
    /// In memory, where no disk took it, if there is one.
    Here(Option<Box<Picture>>),
    /// On the disk: a page looks at it once, seldom twice, and waits for minutes.
    There(Spilled),
}

struct Counter {
    until: Timestamp,
    n: u32,
}

impl Memory {
    /// An empty store that tells `waiting` of changes.
    pub fn new(waiting: Arc<Waiting>) -> Self {
        Self { held: Mutex::default(), waiting, spill: None }
    }

    /// The same, with pictures on the disk that has this file: /tmp may be memory, which they are to be kept out of.
    #[must_use]
    pub fn spilling_beside(self, file: &Path) -> Self {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let spill = Spill::new(folder.unwrap_or(Path::new(".")).to_owned());
        Self { spill: Some(spill), ..self }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A poisoned lock means a panic between two map operations, none of which leaves half a change.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a picture where it is to lie.
    fn shown(&self, picture: Option<Picture>) -> Shown {
        let Some(picture) = picture else { return Shown::Here(None) };
        match self.spill.as_ref().map(|spill| spill.put(&picture)) {
            Some(Ok(spilled)) => return Shown::There(spilled),
            Some(Err(error)) => {
                tracing::debug!(name: "tickets.spill", %error, "a picture stays in memory");
            }
            None => {}
        }
        Shown::Here(Some(Box::new(picture)))
    }
}

impl Shown {
    fn read(self) -> Result<Option<Picture>, Error> {
        match self {
            Self::Here(picture) => Ok(picture.map(|picture| *picture)),
            Self::There(spilled) => {
                let read = spilled.read().map(Some);
                read.map_err(|error| Error(format!("a picture cannot be read back: {error}")))
            }
        }
    }
}

impl Entry {
    fn is_of(&self, id: Hashed) -> bool {
        self.packed.id() == Some(id)
    }

    fn seen(&self) -> Result<Seen, Error> {
        Ok(Seen { ticket: self.packed.open()?, version: u64::from(self.version) })
    }
}

fn index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

impl Shelf {
    fn hash(&self, name: impl Hash) -> u64 {
        self.hasher.hash_one(name)
    }

    fn entry(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(index(slot))?.as_ref()
    }

    /// What stands in a place, if that is still the one that was put there.
    fn at(&self, place: Place) -> Option<&Entry> {
        self.entry(place.slot).filter(|entry| entry.round == place.round)
    }

    fn slot_of(&self, id: Hashed) -> Option<u32> {
        let is_it = |slot: &u32| self.entry(*slot).is_some_and(|entry| entry.is_of(id));
        self.by_id.find(self.hash(id.as_bytes()), is_it).copied()
    }

    fn by_id(&self, id: Hashed) -> Option<&Entry> {
        self.entry(self.slot_of(id)?)
    }

    fn by_id_mut(&mut self, id: Hashed) -> Option<&mut Entry> {
        let slot = self.slot_of(id)?;
        self.entries.get_mut(index(slot))?.as_mut()
    }

    fn by_scene(&self, scene: &str) -> Option<&Entry> {
        let is_it =
            |slot: &u32| self.entry(*slot).is_some_and(|entry| entry.packed.scene() == scene);
        self.entry(*self.by_scene.find(self.hash(scene), is_it)?)
    }

    fn put(&mut self, ticket: &Ticket, picture: Shown) -> Result<Place, Error> {
        let packed = Packed::of(ticket)?;
        self.rounds = self.rounds.wrapping_add(1);
        let round = self.rounds;
        let entry = Some(Entry { packed, version: 0, round, picture });
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => u32::try_from(self.entries.len())
                .map_err(|_| Error("there are too many tickets".to_owned()))?,
        };
        match self.entries.get_mut(index(slot)) {
            Some(place) => *place = entry,
            None => self.entries.push(entry),
        }
        let (by_id, by_scene) = (self.hash(ticket.id.as_bytes()), self.hash(ticket.scene.as_str()));
        let (entries, hasher) = (&self.entries, &self.hasher);
        let named = |slot: &u32| entries.get(index(*slot)).and_then(Option::as_ref);
        self.by_id.insert_unique(by_id, slot, |slot| {
            let id = named(slot).and_then(|entry| entry.packed.id());
            hasher.hash_one(id.map(|id| *id.as_bytes()).unwrap_or_default())
        });
        self.by_scene.insert_unique(by_scene, slot, |slot| {
            hasher.hash_one(named(slot).map(|entry| entry.packed.scene()).unwrap_or_default())
        });
        Ok(Place { slot, round })
    }

    fn remove(&mut self, id: Hashed) -> Option<Entry> {
        let slot = self.slot_of(id)?;
        let entry = self.entries.get_mut(index(slot))?.take()?;
        let (by_id, by_scene) = (self.hash(id.as_bytes()), self.hash(entry.packed.scene()));
        for (table, hash) in [(&mut self.by_id, by_id), (&mut self.by_scene, by_scene)] {
            if let Ok(found) = table.find_entry(hash, |found| *found == slot) {
                found.remove();
            }
        }
        self.free.push(slot);
        Some(entry)
    }

    fn len(&self) -> usize {
        self.by_id.len()
    }
}

impl Held {
    fn put(&mut self, ticket: &Ticket, picture: Shown) -> Result<(), Error> {
        let place = self.shelf.put(ticket, picture)?;
        if let Some(digits) = &ticket.digits {
            self.digits.insert(digits.clone(), ticket.id);
        }
        let look = ticket.expires.min(ticket.opened + LOOK) + AFTERLIFE;
        self.leaving.push_back((look, place));
        Ok(())
    }

    fn remove(&mut self, id: Hashed) -> Option<Entry> {
        let entry = self.shelf.remove(id)?;
        // Hardly any ticket has digits: to look is not worth it where none has.
        if !self.digits.is_empty()
            && let Ok(Ticket { digits: Some(digits), .. }) = entry.packed.open()
        {
            self.digits.remove(&digits);
        }
        Some(entry)
    }

    /// Takes out the one that would be looked at next for forgetting it.
    fn take_next(&mut self) -> Option<Entry> {
        loop {
            let (_, place) = self.leaving.pop_front()?;
            if let Some(id) = self.shelf.at(place).and_then(|entry| entry.packed.id()) {
                return self.remove(id);
            }
        }
    }

    fn seen(&self, id: Hashed) -> Result<Option<Seen>, Error> {
        self.shelf.by_id(id).map(Entry::seen).transpose()
    }

    fn stands(&self, seen: &Seen) -> bool {
        let entry = self.shelf.by_id(seen.ticket.id);
        entry.is_some_and(|entry| u64::from(entry.version) == seen.version)
    }

    /// What comes up for forgetting, if its time has come: gone, or put back for later.
    fn forget(&mut self, place: Place, now: Timestamp, expired: &mut Expired) {
        let Some(ticket) = self.shelf.at(place).and_then(|entry| entry.packed.open().ok()) else {
            return;
        };
        let later = ticket.expires + AFTERLIFE;
        if later > now {
            self.leaving.push_back((later.min(now + LOOK + AFTERLIFE), place));
        } else {
            self.remove(ticket.id);
            expired.count(&ticket);
        }
    }
}

#[async_trait]
impl Tickets for Memory {
    async fn put(&self, ticket: Ticket, picture: Option<Picture>) -> Result<(), Error> {
        // The disk is asked outside the lock, here and below.
        let picture = self.shown(picture);
        self.held().put(&ticket, picture)
    }

    async fn by_id(&self, id: Hashed) -> Result<Option<Seen>, Error> {
        self.held().seen(id)
    }

    async fn by_scene(&self, scene: &str) -> Result<Option<Seen>, Error> {
        self.held().shelf.by_scene(scene).map(Entry::seen).transpose()
    }

    async fn by_digits(&self, digits: &str) -> Result<Option<Seen>, Error> {
        let held = self.held();
        held.digits.get(digits).map_or(Ok(None), |id| held.seen(*id))
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
        let packed = Packed::of(&next)?;
        if let Some(entry) = held.shelf.by_id_mut(next.id) {
            entry.packed = packed;
            entry.version = entry.version.wrapping_add(1);
        }
        Ok(true)
    }

    async fn replace(
        &self,
        seen: &Seen,
        next: Ticket,
        picture: Option<Picture>,
    ) -> Result<bool, Error> {
        let picture = self.shown(picture);
        let mut held = self.held();
        if !held.stands(seen) {
            return Ok(false);
        }
        held.remove(seen.ticket.id);
        held.put(&next, picture)?;
        Ok(true)
    }

    fn let_go(&self, id: Hashed) {
        self.held().remove(id);
    }

    async fn remove(&self, ticket: &Ticket) -> Result<(), Error> {
        self.let_go(ticket.id);
        Ok(())
    }

    async fn picture(&self, id: Hashed) -> Result<Option<Picture>, Error> {
        let picture = self.held().shelf.by_id(id).map(|entry| entry.picture.clone());
        picture.map_or(Ok(None), Shown::read)
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

    async fn keep(
        &self,
        name: Hashed,
        value: Bytes,
        _: Timestamp,
        until: Timestamp,
    ) -> Result<(), Error> {
        let mut held = self.held();
        if held.kept.remove(&name).is_some() {
            held.keeping.retain(|other| *other != name);
        }
        while held.kept.len() >= MOST_KEPT {
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

    async fn nudge(&self, id: Hashed) {
        self.waiting.nudge(id);
    }

    async fn how_many(&self) -> Result<usize, Error> {
        Ok(self.held().shelf.len())
    }

    async fn purge(&self, now: Timestamp) -> Result<Expired, Error> {
        // A claim is asked for within ten minutes of the decision and redeemed within one: an hour is ample.
        let old = now.before(Duration::from_secs(3600));
        let mut held = self.held();
        let mut expired = Expired::default();
        // What stands further ahead than anything is put was put there before the clock was set back: it goes where it belongs
        // by now, and holds up nobody behind it.
        let furthest = now + LOOK + AFTERLIFE;
        let is_up = |at: Timestamp| at <= now || at > furthest;
        while let Some((_, place)) = held.leaving.front().copied().filter(|(at, _)| is_up(*at)) {
            held.leaving.pop_front();
            held.forget(place, now, &mut expired);
        }
        held.kept.retain(|_, (until, _)| *until > now);
        let Held { kept, keeping, .. } = &mut *held;
        keeping.retain(|name| kept.contains_key(name));
        held.counters.retain(|_, counter| counter.until > now);
        held.claims.retain(|_, at| *at > old);
        Ok(expired)
    }

    async fn park(&self, most: u32) -> Result<Vec<Parked>, Error> {
        let taken: Vec<Entry> = {
            let mut held = self.held();
            std::iter::from_fn(|| held.take_next()).take(index(most)).collect()
        };
        let parked = |entry: Entry| {
            let (ticket, picture) = (entry.packed.open()?, entry.picture.read()?);
            Ok(Parked { ticket, picture })
        };
        taken.into_iter().map(parked).collect()
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::contract::{self, ticket},
        *,
    };

    #[tokio::test]
    async fn what_was_opened_before_the_clock_was_set_back_holds_up_nobody() {
        let memory = Memory::new(Arc::new(Waiting::default()));
        let before = Timestamp::from_millis(1_700_000_000_000);
        let now = before.before(Duration::from_secs(7200));
        for (name, at) in [("before", before), ("after", now)] {
            memory.put(ticket(name, at), None).await.unwrap();
        }
        let left = async |seconds| {
            memory.purge(now + Duration::from_secs(seconds)).await.unwrap();
            memory.how_many().await.unwrap()
        };
        assert_eq!((left(5).await, left(241).await), (2, 1));
        assert!(memory.by_id(Hashed::of("before")).await.unwrap().is_some());
        assert_eq!(left(7200 + 480).await, 0, "and goes in its own time");
    }

    #[tokio::test]
    async fn a_flood_of_requests_to_be_kept_drives_out_the_oldest_and_fills_no_more_than_its_room()
    {
        let memory = Memory::new(Arc::new(Waiting::default()));
        let (now, until) = (Timestamp::from_millis(0), Timestamp::from_millis(600_000));
        let name = |n: u32| Hashed::of(n.to_be_bytes());
        for n in 0..20_000 {
            memory.keep(name(n), Bytes::from_static(b"kept"), now, until).await.unwrap();
        }
        assert_eq!(memory.kept(name(1), now).await.unwrap(), None, "the oldest made room");
        assert_eq!(memory.kept(name(19_999), now).await.unwrap().unwrap(), "kept");
        assert!(memory.held().kept.len() <= MOST_KEPT);
        assert!(memory.held().keeping.len() <= MOST_KEPT);
        memory.purge(until).await.unwrap();
        assert!(memory.held().keeping.is_empty());
    }

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        contract::holds(async || Memory::new(Arc::new(Waiting::default())), MOST_KEPT).await;
    }

    #[tokio::test]
    async fn memory_that_spills_keeps_it_too() {
        let folder = tempfile::tempdir().unwrap();
        let fresh = async || {
            Memory::new(Arc::new(Waiting::default()))
                .spilling_beside(&folder.path().join("saoma.db"))
        };
        contract::holds(fresh, MOST_KEPT).await;
    }

    #[tokio::test]
    async fn a_picture_lies_on_the_disk_and_can_be_seen_again() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::new(Arc::new(Waiting::default()))
            .spilling_beside(&folder.path().join("saoma.db"));
        let ticket = ticket("shown", Timestamp::from_millis(0));
        let id = ticket.id;
        let picture =
            Picture { content_type: "image/png".to_owned(), bytes: Bytes::from_static(b"PNG") };
        memory.put(ticket, Some(picture.clone())).await.unwrap();
        for _ in 0..2 {
            assert_eq!(memory.picture(id).await.unwrap().as_ref(), Some(&picture));
            let held = memory.held();
            assert!(matches!(held.shelf.by_id(id).unwrap().picture, Shown::There(_)));
        }
        let parked = memory.park(1).await.unwrap();
        assert_eq!(parked[0].picture.as_ref(), Some(&picture), "a stop writes it down");
    }

    #[tokio::test]
    async fn a_stop_takes_everything_that_waits_a_few_at_a_time() {
        let memory = Memory::new(Arc::new(Waiting::default()));
        for name in ["first", "second", "over", "third"] {
            memory.put(ticket(name, Timestamp::from_millis(0)), None).await.unwrap();
        }
        memory.let_go(Hashed::of("over"));
        let mut scenes = Vec::new();
        for left in [1, 0, 0] {
            let parked = memory.park(2).await.unwrap();
            scenes.extend(parked.into_iter().map(|parked| parked.ticket.scene));
            assert_eq!(memory.how_many().await.unwrap(), left);
        }
        assert_eq!(scenes, ["scene-first", "scene-second", "scene-third"]);
    }

    #[tokio::test]
    async fn what_is_forgotten_leaves_nothing_behind() {
        let memory = Memory::new(Arc::new(Waiting::default()));
        let at = |second: u64| Timestamp::from_millis(0) + Duration::from_secs(second);
        for n in 0..1000 {
            memory.put(ticket(&n.to_string(), at(n)), None).await.unwrap();
            memory.remove(&ticket(&n.saturating_sub(1).to_string(), at(n))).await.unwrap();
            memory.purge(at(n)).await.unwrap();
        }
        memory.purge(at(10_000)).await.unwrap();
        let held = memory.held();
        assert_eq!((held.shelf.len(), held.leaving.len()), (0, 0));
        assert!(held.shelf.entries.len() < 5, "places are used again");
    }
}
