//! The pages that wait.
//!
//! A page watches its ticket and is told "look again", never what changed: nudges may be merged on their way, the last one
//! always arrives. What stands is read from the stores by who was nudged. Sockets on Linux are parked (`parked.rs`); all
//! others, event streams and polls watch with a task of their own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::{secret::Hashed, world::Timestamp};

#[cfg(target_os = "linux")]
pub(crate) mod frame;
#[cfg(target_os = "linux")]
pub(crate) mod parked;
#[cfg(target_os = "linux")]
mod wheel;

#[cfg(target_os = "linux")]
pub(crate) use wheel::TICK;

/// Who waits on which ticket.
#[derive(Default)]
pub struct Waiting {
    pages: Mutex<HashMap<Hashed, Page>>,
    #[cfg(target_os = "linux")]
    parked: std::sync::OnceLock<parked::Parked>,
}

/// A state on its way to a page.
#[derive(Debug)]
pub struct Told {
    /// The text of its frame.
    pub text: String,
    /// A hash of what counts as news in it: not the seconds that are left.
    pub news: u32,
    /// When it changes by the clock.
    pub ends: Timestamp,
    /// Whether nothing comes after it.
    pub is_final: bool,
}

/// All that watch one ticket. The value counts nudges; a watcher only ever learns that it moved.
struct Page {
    nudges: watch::Sender<u64>,
    /// Which WebSocket is the live one: a newer one closes the older.
    socket: u64,
}

/// One watcher of one ticket. Dropping it leaves the room.
pub struct Watcher {
    room: Arc<Waiting>,
    ticket: Hashed,
    nudges: watch::Receiver<u64>,
    /// Which WebSocket this is; none for who only polls.
    socket: Option<u64>,
}

impl Waiting {
    /// Begins to watch a ticket. Look at it after this, not before: else a change in between is missed.
    pub fn watch(self: &Arc<Self>, ticket: Hashed) -> Watcher {
        let mut pages = self.pages();
        let page = pages.entry(ticket).or_insert_with(Page::new);
        Watcher { room: self.clone(), ticket, nudges: page.nudges.subscribe(), socket: None }
    }

    /// The same for a WebSocket, which from now on is the ticket's live one.
    pub fn watch_as_socket(self: &Arc<Self>, ticket: Hashed) -> Watcher {
        #[cfg(target_os = "linux")]
        if let Some(parked) = self.parked.get() {
            parked.replaced(ticket);
        }
        let mut pages = self.pages();
        let page = pages.entry(ticket).or_insert_with(Page::new);
        page.replace_socket();
        let nudges = page.nudges.subscribe();
        Watcher { room: self.clone(), ticket, nudges, socket: Some(page.socket) }
    }

    /// Tells everybody who watches this ticket to look again.
    pub fn nudge(&self, ticket: Hashed) {
        if let Some(page) = self.pages().get(&ticket) {
            page.nudges.send_modify(|n| *n += 1);
        }
        #[cfg(target_os = "linux")]
        if let Some(parked) = self.parked.get() {
            parked.nudge(ticket);
        }
    }

    /// Tells a parked page a state after which nothing comes, without a look: who has just written it need not read it back.
    /// Returns whether there was one.
    pub fn tell_final(&self, ticket: Hashed, told: &Told) -> bool {
        #[cfg(target_os = "linux")]
        let was_there = self
            .parked
            .get()
            .is_some_and(|parked| parked.tell(ticket, told) == parked::Telling::Told);
        #[cfg(not(target_os = "linux"))]
        let was_there = {
            let _ = (ticket, told);
            false
        };
        was_there
    }

    /// Tells everybody to look again, in their own time: after a lost connection to the store.
    pub fn nudge_all(&self) {
        for page in self.pages().values() {
            page.nudges.send_modify(|n| *n += 1);
        }
        #[cfg(target_os = "linux")]
        if let Some(parked) = self.parked.get() {
            parked.nudge_all();
        }
    }

    /// How many tickets are watched.
    pub fn len(&self) -> usize {
        let watched = self.pages().len();
        #[cfg(target_os = "linux")]
        let watched = watched + self.parked.get().map_or(0, parked::Parked::len);
        watched
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn pages(&self) -> MutexGuard<'_, HashMap<Hashed, Page>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    fn new() -> Self {
        Self { nudges: watch::Sender::new(0), socket: 0 }
    }

    /// Whoever was the live socket learns that it no longer is.
    fn replace_socket(&mut self) {
        self.socket += 1;
        self.nudges.send_modify(|n| *n += 1);
    }
}

impl Watcher {
    /// Returns at the next nudge; at once if there was one since the last look.
    pub async fn nudged(&mut self) {
        // The sender stands in the room's map as long as we are counted there.
        let _ = self.nudges.changed().await;
    }

    /// Whether a newer WebSocket has taken this one's place.
    pub fn is_replaced(&self) -> bool {
        let Some(mine) = self.socket else { return false };
        self.room.pages().get(&self.ticket).is_some_and(|page| page.socket != mine)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut pages = self.room.pages();
        // Our own receiver is still counted.
        if pages.get(&self.ticket).is_some_and(|page| page.nudges.receiver_count() <= 1) {
            pages.remove(&self.ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_nudge_between_watching_and_waiting_is_not_lost() {
        let room = Arc::new(Waiting::default());
        let mut watcher = room.watch(Hashed::of("ticket"));
        room.nudge(Hashed::of("ticket"));
        room.nudge(Hashed::of("ticket"));
        watcher.nudged().await;
        assert!(futures_util::poll!(std::pin::pin!(watcher.nudged())).is_pending(), "both are one");
    }

    #[tokio::test]
    async fn another_ones_nudge_wakes_nobody() {
        let room = Arc::new(Waiting::default());
        let mut watcher = room.watch(Hashed::of("mine"));
        room.nudge(Hashed::of("other"));
        assert!(futures_util::poll!(std::pin::pin!(watcher.nudged())).is_pending());
    }

    #[tokio::test]
    async fn a_newer_socket_takes_the_olders_place_and_the_room_empties() {
        let room = Arc::new(Waiting::default());
        let mut older = room.watch_as_socket(Hashed::of("ticket"));
        let newer = room.watch_as_socket(Hashed::of("ticket"));
        older.nudged().await;
        assert!(older.is_replaced() && !newer.is_replaced());
        drop(older);
        assert_eq!(room.len(), 1);
        drop(newer);
        assert!(room.is_empty());
    }
}
