//! Sockets that cost almost nothing.
//!
//! After its upgrade a waiting page has nothing to say, so it needs no task and no buffer: only its descriptor and a few
//! bytes beside its ticket. All of them hang on one epoll, which itself is one descriptor of the runtime's; one task turns
//! the wheel of pings and expiries and reads what little comes. What is not a whole frame yet stays in the kernel.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hashbrown::HashTable;
use rustix::{
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    io::Errno,
    net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown},
};
use tokio::{
    io::unix::AsyncFd,
    net::TcpStream,
    sync::{Notify, mpsc},
};

use super::{
    Told,
    frame::{self, Said},
    wheel::{Tick, Wheel},
};
use crate::{
    limits::Place,
    secret::Hashed,
    world::{Timestamp, World},
};

/// A page is asked whether it is there after 45 to 55 s, each at its own time, and has ten to answer. Proxies cut what is
/// silent for a minute.
const QUIET: (u64, u32) = (45_000, 10_000);
const PATIENCE: Duration = Duration::from_secs(10);
/// How many control frames a page may send on one socket: far more than pings in the longest life of a ticket.
const CHATTER: u8 = 64;
/// How many events are taken at once, and how many sockets that are due: who tells a page its news waits for these, and
/// with them all that the writer would do next.
const EVENTS: usize = 8;
/// How much is looked at of what a page sends: the largest frame that is answered is far below.
const GLANCE: usize = 2048;

/// Tickets to be looked at, as they come up.
pub(crate) type Looks = mpsc::UnboundedReceiver<Hashed>;

/// The parked sockets of a server.
pub(crate) struct Parked {
    epoll: AsyncFd<OwnedFd>,
    inner: Mutex<Inner>,
    looks: mpsc::UnboundedSender<Hashed>,
    /// All are to be looked at.
    all: Notify,
}

struct Inner {
    /// Which slot is whose: only the slots, since each of them has its ticket.
    by_ticket: HashTable<u32>,
    hasher: RandomState,
    /// A slot has one tenant after the other. An event or a timer of an earlier one does the next no harm: nothing has come
    /// from it, and it is not due.
    slots: Vec<Option<Socket>>,
    free: Vec<u32>,
    wheel: Wheel<u32>,
}

/// There may be a million of these, so that each byte counts.
struct Socket {
    descriptor: OwnedFd,
    ticket: Hashed,
    /// What the page was told last, as a hash: enough to see whether there is news.
    told: u32,
    /// When the state changes by the clock.
    ends: Tick,
    /// When its pulse is felt next.
    quiet: Tick,
    pulse: Pulse,
    /// When the wheel brings it up; what comes up earlier was put in before something nearer was.
    timer: Tick,
    chatter: u8,
    look: Look,
    /// Its place among the sockets that may wait; given back with it.
    _place: Place,
}

/// Whether a page is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pulse {
    /// It has not been asked lately.
    Quiet,
    /// It has been asked and has not answered.
    Asked,
    /// It has answered.
    Answered,
}

/// What came of telling a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    /// It knows what it was to be told.
    Told,
    /// No socket waits on this ticket.
    Nobody,
    /// What was read may be out of date already: look again at once.
    Stale,
}

/// Whether somebody reads its ticket: one at a time, so that an older reading never overtakes a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Nobody.
    Idle,
    /// Somebody will, or does.
    Wanted,
    /// Somebody does, and what was read may be out of date already.
    Stale,
}

impl Parked {
    /// An empty room, and where it says which tickets to look at.
    fn new(now: Timestamp) -> io::Result<(Self, Looks)> {
        #[expect(
            deprecated,
            reason = "sound for an OwnedFd, whose descriptor neither changes nor closes before it is dropped; its successor is unsafe"
        )]
        let epoll = AsyncFd::new(epoll::create(CreateFlags::CLOEXEC)?)?;
        let (looks, looked) = mpsc::unbounded_channel();
        let inner = Inner {
            by_ticket: HashTable::new(),
            hasher: RandomState::new(),
            slots: Vec::new(),
            free: Vec::new(),
            wheel: Wheel::new(now),
        };
        Ok((Self { epoll, inner: Mutex::new(inner), looks, all: Notify::new() }, looked))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic here could only come from the allocator; what stands is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a socket, which becomes its ticket's live one. Who parks it looks at its ticket next.
    fn park(
        &self,
        ticket: Hashed,
        descriptor: OwnedFd,
        place: Place,
        world: &World,
    ) -> io::Result<()> {
        let mut inner = self.inner();
        if let Some(older) = inner.slot_of(ticket) {
            inner.close(older, Some(4001));
        }
        let quiet = inner.wheel.tick(world.now() + quiet(world));
        let socket = Socket {
            descriptor,
            ticket,
            told: 0,
            ends: quiet,
            quiet,
            pulse: Pulse::Quiet,
            timer: Tick::NEVER,
            chatter: 0,
            look: Look::Wanted,
            _place: place,
        };
        let slot = inner.seat(socket)?;
        inner.name(slot, ticket);
        inner.schedule(slot, quiet);
        let added = inner.socket(slot).map(|socket| {
            let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
            let data = EventData::new_u64(slot.into());
            epoll::add(self.epoll.get_ref(), &socket.descriptor, data, flags)
        });
        if let Some(Err(error)) = added {
            inner.close(slot, None);
            return Err(error.into());
        }
        Ok(())
    }

    /// Asks for a look at a ticket, if a socket waits on it and none is on its way.
    pub(super) fn nudge(&self, ticket: Hashed) {
        if self.wants(ticket) {
            let _ = self.looks.send(ticket);
        }
    }

    /// Whether somebody must be sent to look at a ticket that may have changed; not if somebody does, who is told to look
    /// once more.
    pub(crate) fn wants(&self, ticket: Hashed) -> bool {
        self.inner().of(ticket).is_some_and(|socket| socket.look.nudge())
    }

    /// Asks for a look at every ticket, each when its turn comes: those that are nudged go first.
    pub(super) fn nudge_all(&self) {
        self.all.notify_one();
    }

    /// Waits until all are to be looked at, and says which they are.
    pub(crate) async fn all(&self) -> Vec<Hashed> {
        self.all.notified().await;
        self.inner().sockets().map(|socket| socket.ticket).collect()
    }

    /// A look begins: what is nudged from here on wants another one.
    pub(crate) fn begin(&self, ticket: Hashed) {
        if let Some(socket) = self.inner().of(ticket) {
            socket.look = Look::Wanted;
        }
    }

    /// A look has read a state: the page is told, if it is news to it.
    pub(crate) fn tell(&self, ticket: Hashed, told: &Told) -> Telling {
        let mut inner = self.inner();
        let ends = inner.wheel.tick(told.ends);
        let Some(slot) = inner.slot_of(ticket) else { return Telling::Nobody };
        let Some(socket) = inner.socket_mut(slot) else { return Telling::Nobody };
        // Nothing is newer than a state that is final.
        if socket.look == Look::Stale && !told.is_final {
            return Telling::Stale;
        }
        socket.look = Look::Idle;
        socket.ends = ends;
        let is_news = std::mem::replace(&mut socket.told, told.news) != told.news;
        let more = if told.is_final { SendFlags::MORE } else { SendFlags::empty() };
        if is_news && !socket.sends_with(&frame::text(&told.text), more) {
            inner.close(slot, None);
        } else if told.is_final {
            inner.close(slot, Some(1000));
        } else {
            inner.schedule(slot, ends);
        }
        Telling::Told
    }

    /// The ticket is gone.
    pub(crate) fn gone(&self, ticket: Hashed) {
        let mut inner = self.inner();
        if let Some(slot) = inner.slot_of(ticket) {
            inner.close(slot, Some(1000));
        }
    }

    /// The store was away: look again at `when`.
    pub(crate) fn later(&self, ticket: Hashed, when: Timestamp) {
        let mut inner = self.inner();
        let when = inner.wheel.tick(when);
        let Some(slot) = inner.slot_of(ticket) else { return };
        if let Some(socket) = inner.socket_mut(slot) {
            socket.look = Look::Idle;
            socket.ends = when;
        }
        inner.schedule(slot, when);
    }

    /// Another kind of socket has taken this ticket's place.
    pub(super) fn replaced(&self, ticket: Hashed) {
        let mut inner = self.inner();
        if let Some(slot) = inner.slot_of(ticket) {
            inner.close(slot, Some(4001));
        }
    }

    /// Says goodbye to all: the server stops, and they come back to another.
    pub(crate) fn close_all(&self) {
        let mut inner = self.inner();
        let slots: Vec<u32> = inner.by_ticket.iter().copied().collect();
        slots.into_iter().for_each(|slot| inner.close(slot, Some(1001)));
    }

    /// How many sockets wait.
    pub(super) fn len(&self) -> usize {
        self.inner().by_ticket.len()
    }

    /// Waits until some socket has something to say, and hears it.
    pub(crate) async fn hear(&self) -> io::Result<()> {
        let mut ready = self.epoll.readable().await?;
        let mut events = Vec::with_capacity(EVENTS);
        let waited = epoll::wait(
            self.epoll.get_ref(),
            rustix::buffer::spare_capacity(&mut events),
            Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }),
        );
        match waited {
            Ok(0) => ready.clear_ready(),
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let mut glance = [0; GLANCE];
        let mut inner = self.inner();
        for event in events {
            if let Ok(slot) = u32::try_from(event.data.u64()) {
                inner.hear(slot, &mut glance);
            }
        }
        Ok(())
    }

    /// Turns the wheel to the present: pings who has been quiet, gives up who did not answer, looks at what may have ended. A
    /// few at a time: who has news for a page must not wait until all of them are pinged.
    pub(crate) async fn turn(&self, world: &World) {
        let (now, due) = {
            let mut inner = self.inner();
            let now = inner.wheel.at(world.now());
            if inner.wheel.is_ahead_of(now) {
                inner.go_back(now, world);
            }
            (now, inner.wheel.turn(now))
        };
        for some in due.chunks(EVENTS) {
            self.feel(some, now, world);
            tokio::task::yield_now().await;
        }
    }

    /// Feels the pulse of those that have come up.
    fn feel(&self, due: &[u32], now: Tick, world: &World) {
        let looks: Vec<Hashed> = {
            let mut inner = self.inner();
            due.iter().filter_map(|slot| inner.due(*slot, now, world)).collect()
        };
        looks.into_iter().for_each(|ticket| {
            let _ = self.looks.send(ticket);
        });
    }
}

fn quiet(world: &World) -> Duration {
    Duration::from_millis(QUIET.0 + u64::from(world.below(QUIET.1)))
}

fn index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

impl Inner {
    fn seat(&mut self, socket: Socket) -> io::Result<u32> {
        if let Some(slot) = self.free.pop()
            && let Some(place) = self.slots.get_mut(index(slot))
        {
            *place = Some(socket);
            return Ok(slot);
        }
        let slot = u32::try_from(self.slots.len()).map_err(io::Error::other)?;
        self.slots.push(Some(socket));
        Ok(slot)
    }

    /// Lets a slot be found by its ticket.
    fn name(&mut self, slot: u32, ticket: Hashed) {
        let Self { by_ticket, hasher, slots, .. } = self;
        let of = |slot: &u32| {
            let socket = slots.get(index(*slot)).and_then(Option::as_ref);
            socket.map(|socket| *socket.ticket.as_bytes()).unwrap_or_default()
        };
        by_ticket.insert_unique(hasher.hash_one(ticket.as_bytes()), slot, |slot| {
            hasher.hash_one(of(slot))
        });
    }

    fn slot_of(&self, ticket: Hashed) -> Option<u32> {
        let hash = self.hasher.hash_one(ticket.as_bytes());
        let is_its = |slot: &u32| self.socket(*slot).is_some_and(|socket| socket.ticket == ticket);
        self.by_ticket.find(hash, is_its).copied()
    }

    fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.slots.iter().flatten()
    }

    fn socket(&self, slot: u32) -> Option<&Socket> {
        self.slots.get(index(slot))?.as_ref()
    }

    fn socket_mut(&mut self, slot: u32) -> Option<&mut Socket> {
        self.slots.get_mut(index(slot))?.as_mut()
    }

    /// Ends a socket, with a farewell if there is a code to say. Closing the descriptor takes it off the epoll.
    fn close(&mut self, slot: u32, code: Option<u16>) {
        let Some(socket) = self.slots.get_mut(index(slot)).and_then(Option::take) else { return };
        self.free.push(slot);
        let hash = self.hasher.hash_one(socket.ticket.as_bytes());
        if let Ok(named) = self.by_ticket.find_entry(hash, |named| *named == slot) {
            named.remove();
        }
        if let Some(code) = code {
            // The end that follows goes in the same packet, and so does the last state before it.
            socket.sends_with(&frame::close(code), SendFlags::MORE);
        }
        // Data that was never read would turn the close into a reset, and the farewell would be lost with it.
        let _ = shutdown(&socket.descriptor, Shutdown::Write);
        let mut rest = [0; GLANCE];
        let _ = recv(&socket.descriptor, &mut rest, RecvFlags::DONTWAIT);
    }

    /// Reads what a socket has said, frame by frame.
    fn hear(&mut self, slot: u32, glance: &mut [u8; GLANCE]) {
        loop {
            let Some(socket) = self.socket_mut(slot) else { return };
            let said = match recv(
                &socket.descriptor,
                &mut glance[..],
                RecvFlags::PEEK | RecvFlags::DONTWAIT,
            ) {
                Ok((_, 0)) => return self.close(slot, None),
                Ok((_, n)) => frame::read(glance.get(..n).unwrap_or_default()),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return,
                Err(_) => return self.close(slot, None),
            };
            // Half a frame stays in the kernel; whoever never sends the rest is given up when no pong comes.
            let Some((said, taken)) = said else { return };
            let whole = glance.get_mut(..taken).unwrap_or_default();
            if recv(&socket.descriptor, whole, RecvFlags::DONTWAIT).is_err() {
                return self.close(slot, None);
            }
            socket.chatter = socket.chatter.saturating_add(1);
            match said {
                Said::Close => return self.close(slot, Some(1000)),
                Said::Wrong(code) => return self.close(slot, Some(code)),
                _ if socket.chatter > CHATTER => return self.close(slot, Some(1008)),
                Said::Pong => socket.pulse = Pulse::Answered,
                Said::Ping(payload) => {
                    socket.pulse = Pulse::Answered;
                    if !socket.sends(&frame::pong(&payload)) {
                        return self.close(slot, None);
                    }
                }
            }
        }
    }

    /// Lets the wheel bring a socket up at `when`, unless it comes up before anyway.
    fn schedule(&mut self, slot: u32, when: Tick) {
        let Some(socket) = self.socket_mut(slot).filter(|socket| when < socket.timer) else {
            return;
        };
        socket.timer = when;
        self.wheel.put(when, slot);
    }

    /// A socket has come up on the wheel. Returns its ticket, if that may have changed by the clock.
    fn due(&mut self, slot: u32, now: Tick, world: &World) -> Option<Hashed> {
        let in_time = |span| self.wheel.tick(world.now() + span);
        let (patience, quiet) = (in_time(PATIENCE), in_time(quiet(world).saturating_sub(PATIENCE)));
        let socket = self.socket_mut(slot).filter(|socket| socket.timer <= now)?;
        if socket.quiet <= now {
            match socket.pulse {
                Pulse::Asked => {
                    self.close(slot, None);
                    return None;
                }
                Pulse::Answered => {
                    socket.pulse = Pulse::Quiet;
                    socket.quiet = quiet;
                }
                Pulse::Quiet if socket.sends(&frame::PING) => {
                    socket.pulse = Pulse::Asked;
                    socket.quiet = patience;
                }
                Pulse::Quiet => {
                    self.close(slot, None);
                    return None;
                }
            }
        }
        let over = socket.ends <= now;
        let ask = over && socket.look.nudge();
        let next = if over { socket.quiet } else { socket.quiet.min(socket.ends) };
        let ticket = socket.ticket;
        socket.timer = Tick::NEVER;
        self.schedule(slot, next);
        ask.then_some(ticket)
    }

    /// The clock was set back: whoever waits is asked as if they had just come.
    fn go_back(&mut self, now: Tick, world: &World) {
        self.wheel.go_back(now);
        let slots: Vec<u32> = self.by_ticket.iter().copied().collect();
        for slot in slots {
            let quiet = self.wheel.tick(world.now() + quiet(world));
            let Some(socket) = self.socket_mut(slot) else { continue };
            socket.quiet = quiet;
            socket.timer = Tick::NEVER;
            let next = quiet.min(socket.ends);
            self.schedule(slot, next);
        }
    }

    fn of(&mut self, ticket: Hashed) -> Option<&mut Socket> {
        let slot = self.slot_of(ticket)?;
        self.socket_mut(slot)
    }
}

impl Look {
    /// Something has changed. Returns whether somebody must be sent to look.
    fn nudge(&mut self) -> bool {
        let was_idle = *self == Self::Idle;
        *self = if was_idle { Self::Wanted } else { Self::Stale };
        was_idle
    }
}

impl Socket {
    /// Sends a frame, if the kernel takes all of it at once: who does not read a few bytes is not waited for.
    fn sends(&self, frame: &[u8]) -> bool {
        self.sends_with(frame, SendFlags::empty())
    }

    fn sends_with(&self, frame: &[u8], flags: SendFlags) -> bool {
        send(&self.descriptor, frame, flags | SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            .is_ok_and(|sent| sent == frame.len())
    }
}

/// The room's own way to its parked sockets.
impl super::Waiting {
    /// Opens the room for parked sockets; before that, and where it cannot be opened, sockets have tasks of their own.
    /// Returns where they are, and which tickets to look at; none if it is open already.
    ///
    /// # Errors
    /// If the kernel gives no epoll.
    pub(crate) fn open(&self, now: Timestamp) -> io::Result<Option<(&Parked, Looks)>> {
        let (parked, looks) = Parked::new(now)?;
        let is_first = self.parked.set(parked).is_ok();
        Ok(self.parked().filter(|_| is_first).map(|parked| (parked, looks)))
    }

    /// Where sockets are parked, once that is open.
    pub(crate) fn parked(&self) -> Option<&Parked> {
        self.parked.get()
    }

    /// Takes in a socket as its ticket's live one, to be told what a look finds; back, if the room is not open.
    ///
    /// # Errors
    /// The socket itself with its place, for a task of its own.
    pub(crate) fn park(
        &self,
        ticket: Hashed,
        stream: TcpStream,
        place: Place,
        world: &World,
    ) -> Result<(), (TcpStream, Place)> {
        let Some(parked) = self.parked() else { return Err((stream, place)) };
        if let Some(page) = self.pages().get_mut(&ticket) {
            page.replace_socket();
        }
        // From here on it is gone if anything fails, as a connection that broke would be: the page comes back.
        let parked =
            stream.into_std().and_then(|stream| parked.park(ticket, stream.into(), place, world));
        if let Err(error) = parked {
            tracing::warn!(name: "waiting.park", %error, "a socket cannot be parked");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, os::unix::net::UnixStream, sync::Arc};

    use super::*;
    use crate::limits::Places;

    /// What a page has been sent since it was last asked.
    fn heard(mut page: &UnixStream) -> Vec<u8> {
        let mut bytes = [0; 64];
        page.set_nonblocking(true).unwrap();
        page.read(&mut bytes).map(|n| bytes[..n].to_vec()).unwrap_or_default()
    }

    #[test]
    fn a_waiting_socket_takes_little() {
        assert!(size_of::<Option<Socket>>() <= 72, "{}", size_of::<Option<Socket>>());
    }

    #[tokio::test]
    async fn who_waits_while_the_clock_is_set_back_is_asked_in_time_and_given_up_in_time() {
        let world = World::held(Timestamp::from_millis(1_800_000_000_000), 7);
        let (parked, _looks) = Parked::new(world.now()).unwrap();
        let (page, ours) = UnixStream::pair().unwrap();
        let place = Arc::new(Places::new(1, 1)).take(None).unwrap();
        parked.park(Hashed::of("ticket"), ours.into(), place, &world).unwrap();
        parked.turn(&world).await;
        world.set_back(Duration::from_secs(2 * 3600));
        for (seconds, sent) in [(0, Vec::new()), (56, frame::PING.to_vec()), (11, Vec::new())] {
            world.advance(Duration::from_secs(seconds));
            parked.turn(&world).await;
            assert_eq!(heard(&page), sent, "after {seconds} s");
        }
        assert_eq!(parked.len(), 0);
    }

    #[tokio::test]
    async fn the_timer_of_who_had_a_slot_before_does_nothing_to_the_next() {
        let world = World::held(Timestamp::from_millis(1_800_000_000_000), 7);
        let (parked, _looks) = Parked::new(world.now()).unwrap();
        let places = Arc::new(Places::new(2, 2));
        let waits = |ticket| {
            let (page, ours) = UnixStream::pair().unwrap();
            let place = places.take(None).unwrap();
            parked.park(Hashed::of(ticket), ours.into(), place, &world).unwrap();
            page
        };
        let passes = async |seconds| {
            world.advance(Duration::from_secs(seconds));
            parked.turn(&world).await;
        };
        let first = waits("first");
        passes(30).await;
        parked.gone(Hashed::of("first"));
        assert_eq!(heard(&first), frame::close(1000));
        let second = waits("second");
        assert_eq!(parked.inner().slots.len(), 1, "both had the same");
        passes(26).await;
        assert_eq!(heard(&second), [0; 0], "it was the first one's time");
        passes(30).await;
        assert_eq!(heard(&second), frame::PING);
        passes(11).await;
        assert_eq!(
            (parked.len(), places.taken_in_all()),
            (0, 0),
            "who does not answer is given up"
        );
    }
}
