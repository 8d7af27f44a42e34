//! Time and dice.
//!
//! Nothing else in the server may ask the machine for either: rules take both as parameters, so that a test can hold the
//! clock still, throw seeded dice, and see the same story every time.

use std::{
    fmt,
    ops::Add,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// A moment, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch: what the stores keep.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch: what JWTs carry.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long from `earlier` to this moment; nothing where the clock went back.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The moment `span` before this one.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.seconds(), self.0.rem_euclid(1000))
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Measures how long the machine takes for something: for metrics and logs, and for [`World::ran`].
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins to measure.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long it has been.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// In the order of their bytes.
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Where time and randomness come from.
pub struct World {
    clock: Clock,
    dice: Dice,
}

enum Clock {
    /// The machine's, so many milliseconds ahead.
    Real { ahead: AtomicI64, began: Stopwatch },
    /// Stands still until a test moves it; sleepers wake as time passes.
    Held(watch::Sender<Held>),
}

/// What a held clock says, and how long it has run: as with a real one, setting it lets no time pass.
#[derive(Clone, Copy)]
struct Held {
    now: Timestamp,
    ran: Duration,
}

enum Dice {
    Real,
    Seeded(Box<Mutex<StdRng>>),
}

impl World {
    /// The machine's clock and the system's randomness.
    pub fn real() -> Self {
        let (ahead, began) = (AtomicI64::new(0), Stopwatch::start());
        Self { clock: Clock::Real { ahead, began }, dice: Dice::Real }
    }

    /// A clock that stands at `now` until [`World::advance`] moves it, and dice that fall the same way for the same `seed`.
    pub fn held(now: Timestamp, seed: u64) -> Self {
        Self {
            clock: Clock::Held(watch::Sender::new(Held { now, ran: Duration::ZERO })),
            dice: Dice::Seeded(Box::new(Mutex::new(StdRng::seed_from_u64(seed)))),
        }
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        match &self.clock {
            Clock::Real { .. } => Timestamp(self.machine_now().0.saturating_add(self.ahead())),
            Clock::Held(held) => held.borrow().now,
        }
    }

    /// What this machine's own clock says.
    pub fn machine_now(&self) -> Timestamp {
        match &self.clock {
            Clock::Real { .. } => real_now(),
            Clock::Held(held) => held.borrow().now,
        }
    }

    /// How long this world has been there, however its clock was set meanwhile.
    pub fn ran(&self) -> Duration {
        match &self.clock {
            Clock::Real { began, .. } => began.elapsed(),
            Clock::Held(held) => held.borrow().ran,
        }
    }

    /// How many milliseconds the clock runs ahead of this machine's own; behind, where negative.
    pub fn ahead(&self) -> i64 {
        match &self.clock {
            Clock::Real { ahead, .. } => ahead.load(Ordering::Relaxed),
            Clock::Held(_) => 0,
        }
    }

    /// Lets the clock run so many milliseconds ahead of this machine's own, as nodes do that share one. A held one stands.
    pub fn run_ahead(&self, millis: i64) {
        if let Clock::Real { ahead, .. } = &self.clock {
            ahead.store(millis, Ordering::Relaxed);
        }
    }

    /// Lets time pass on a held clock; a real one cannot be moved and stays as it is.
    pub fn advance(&self, span: Duration) {
        if let Clock::Held(held) = &self.clock {
            held.send_modify(|held| *held = Held { now: held.now + span, ran: held.ran + span });
        }
    }

    /// Sets a held clock back, as somebody may set a real one; that one stays as it is.
    pub fn set_back(&self, span: Duration) {
        if let Clock::Held(held) = &self.clock {
            held.send_modify(|held| held.now = held.now.before(span));
        }
    }

    /// Sets a held clock forward, with no time passing.
    pub fn set_forward(&self, span: Duration) {
        if let Clock::Held(held) = &self.clock {
            held.send_modify(|held| held.now = held.now + span);
        }
    }

    /// Returns once as much time has passed as the clock lacks of `moment` now, however it is set meanwhile.
    pub async fn sleep_until(&self, moment: Timestamp) {
        let span = moment.since(self.now());
        match &self.clock {
            Clock::Real { .. } => sleep_real(span).await,
            Clock::Held(held) => {
                let until = self.ran() + span;
                // The sender lives as long as this world, so waiting cannot fail while anybody awaits us.
                let _ = held.subscribe().wait_for(|held| held.ran >= until).await;
            }
        }
    }

    /// `N` random bytes, fit for secrets.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match &self.dice {
            Dice::Real => fill_real(&mut bytes),
            Dice::Seeded(dice) => {
                dice.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
            }
        }
        bytes
    }

    /// A number below `end`, each as likely as the other.
    pub fn below(&self, end: u32) -> u32 {
        let end = u64::from(end.max(1));
        // What is left of the range after the last whole multiple would make small numbers likelier: it is thrown again.
        let fair = (1 << 32) / end * end;
        loop {
            let thrown = u64::from(u32::from_le_bytes(self.bytes()));
            if thrown < fair {
                return u32::try_from(thrown % end).unwrap_or(0);
            }
        }
    }

    /// A name for a row, of 22 letters and digits: its moment in milliseconds, and 83 random bits. Names sort as they were
    /// given, so that indexes grow at their end. No secret: it tells when.
    pub fn row_name(&self) -> String {
        const RADIX: u64 = LETTERS.len() as u64;
        let mut left = u64::try_from(self.now().millis()).unwrap_or_default();
        let mut name = [b'0'; 8];
        for place in name.iter_mut().rev() {
            let letter = usize::try_from(left % RADIX).ok().and_then(|at| LETTERS.get(at));
            *place = letter.copied().unwrap_or(b'0');
            left /= RADIX;
        }
        String::from_utf8_lossy(&name).into_owned() + &self.base62(14)
    }

    /// `len` letters and digits, each of 62 as likely as the other: 22 of them are more than 128 bits.
    pub fn base62(&self, len: usize) -> String {
        let mut text = String::with_capacity(len);
        while text.len() < len {
            for byte in self.bytes::<32>() {
                // 248 is the last multiple of 62 in a byte; what is above would make some letters likelier.
                if byte < 248
                    && text.len() < len
                    && let Some(letter) = LETTERS.get(usize::from(byte % 62))
                {
                    text.push(char::from(*letter));
                }
            }
        }
        text
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
fn real_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(millis(since))
}

#[expect(clippy::disallowed_methods, reason = "the one place that sleeps by the machine's clock")]
async fn sleep_real(span: Duration) {
    tokio::time::sleep(span).await;
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for randomness")]
fn fill_real(bytes: &mut [u8]) {
    rand::rng().fill_bytes(bytes);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn ten_thousand_names_are_all_different_and_all_letters_as_likely() {
        let world = World::real();
        let mut seen = BTreeSet::new();
        let mut letters: BTreeMap<char, f64> = BTreeMap::new();
        for _ in 0..10_000 {
            let name = world.base62(22);
            assert_eq!(name.len(), 22);
            name.chars().for_each(|letter| *letters.entry(letter).or_default() += 1.0);
            assert!(seen.insert(name), "a name was given twice");
        }
        assert_eq!(letters.len(), 62);
        // Chi-square with 61 degrees of freedom exceeds 120 once in a hundred thousand fair runs.
        let expected = 220_000.0 / 62.0;
        let chi: f64 = letters.values().map(|n| (n - expected) * (n - expected) / expected).sum();
        assert!(chi < 120.0, "letters are not equally likely: chi-square {chi}");
    }

    #[test]
    fn names_of_rows_sort_as_they_were_given() {
        let world = World::held(Timestamp::from_millis(1_795_646_200_000), 7);
        let mut names = Vec::new();
        for millis in [1, 1, 60, 3_600_000, 100_000_000_000] {
            world.advance(Duration::from_millis(millis));
            names.push(world.row_name());
        }
        assert!(names.is_sorted() && names.iter().all(|name| name.len() == 22), "{names:?}");
        assert_ne!(world.row_name(), world.row_name(), "in one moment, too");
    }

    #[tokio::test]
    async fn a_held_clock_moves_only_when_told_and_wakes_who_sleeps() {
        let world = World::held(Timestamp::from_millis(1_000), 7);
        assert_eq!(world.now(), world.now());
        let nap = world.sleep_until(Timestamp::from_millis(2_000));
        tokio::pin!(nap);
        assert!(futures_util::poll!(nap.as_mut()).is_pending());
        world.advance(Duration::from_secs(1));
        nap.await;
    }

    #[test]
    fn seeded_dice_fall_the_same_way() {
        let (one, other) = (World::held(real_now(), 7), World::held(real_now(), 7));
        assert_eq!(one.base62(22), other.base62(22));
        assert!((0..1000).all(|_| one.below(100) < 100));
    }
}
