//! A timer wheel: what is due in which fifth of a second.

use std::time::Duration;

use crate::world::Timestamp;

/// How long a tick is: what is due in one comes up when it is over.
pub(crate) const TICK: Duration = Duration::from_millis(200);

/// How many ticks the wheel spans, two minutes and a little. What is due later comes up early, and is put in again.
const SLOTS: u32 = 640;

/// How long before it was made a wheel begins to count: further than any clock is set back.
const BEFORE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How many ticks a clock may go back before the wheel goes with it: less is waited out.
const SLACK: u32 = 5;

/// A moment as the wheel counts it, in ticks: half of what a timestamp takes, and good for 27 years, ten of them before the
/// wheel was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u32);

impl Tick {
    /// Later than all others.
    pub(super) const NEVER: Self = Self(u32::MAX);
}

/// Entries by the tick they are due in. Nothing is ever taken out early: who comes up decides whether it still matters.
pub(super) struct Wheel<T> {
    slots: Vec<Vec<(Tick, T)>>,
    began: Timestamp,
    /// The first tick that has not come up.
    next: u32,
}

impl<T> Wheel<T> {
    /// An empty wheel that stands at `now`.
    pub(super) fn new(now: Timestamp) -> Self {
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        let mut wheel = Self { slots, began: now.before(BEFORE), next: 0 };
        wheel.next = wheel.at(now).0;
        wheel
    }

    /// The first tick that is not before this moment.
    pub(super) fn tick(&self, at: Timestamp) -> Tick {
        tick(at.since(self.began).as_millis().div_ceil(TICK.as_millis()))
    }

    /// The last tick that is not after this moment.
    pub(super) fn at(&self, now: Timestamp) -> Tick {
        tick(now.since(self.began).as_millis() / TICK.as_millis())
    }

    /// Whether the clock was set back: the wheel would stand still until it has caught up.
    pub(super) fn is_ahead_of(&self, now: Tick) -> bool {
        now.0.saturating_add(SLACK) < self.next
    }

    /// Goes back to `now`, empty: what was put in was due by another clock.
    pub(super) fn go_back(&mut self, now: Tick) {
        self.slots.iter_mut().for_each(Vec::clear);
        self.next = now.0;
    }

    /// Puts an entry in for `due`.
    pub(super) fn put(&mut self, due: Tick, entry: T) {
        let tick = due.0.clamp(self.next, self.next.saturating_add(SLOTS - 1));
        if let Some(slot) = self.slots.get_mut(index(tick)) {
            slot.push((due, entry));
        }
    }

    /// Turns to `now` and takes what is due.
    pub(super) fn turn(&mut self, now: Tick) -> Vec<T> {
        // A clock that jumped past a whole round passes every slot once.
        let passed = (self.next..=now.0).take(index(SLOTS - 1) + 1);
        let mut up = Vec::new();
        for tick in passed {
            up.extend(self.slots.get_mut(index(tick)).map(std::mem::take).unwrap_or_default());
        }
        self.next = self.next.max(now.0.saturating_add(1));
        let mut due = Vec::with_capacity(up.len());
        for (at, entry) in up {
            // Further off than the wheel spans.
            if at > now { self.put(at, entry) } else { due.push(entry) }
        }
        due
    }
}

/// So many ticks, and never [`Tick::NEVER`].
fn tick(ticks: u128) -> Tick {
    Tick(u32::try_from(ticks).unwrap_or(u32::MAX).min(u32::MAX - 1))
}

fn index(tick: u32) -> usize {
    usize::try_from(tick % SLOTS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn put<T>(wheel: &mut Wheel<T>, due: i64, entry: T) {
        wheel.put(wheel.tick(at(due)), entry);
    }

    fn turn<T>(wheel: &mut Wheel<T>, now: i64) -> Vec<T> {
        wheel.turn(wheel.at(at(now)))
    }

    #[test]
    fn an_entry_comes_up_in_the_tick_that_begins_when_it_is_due_and_never_before() {
        let mut wheel = Wheel::new(at(10_000));
        put(&mut wheel, 12_400, "a");
        put(&mut wheel, 12_401, "b");
        assert_eq!(turn(&mut wheel, 12_399), [] as [&str; 0]);
        assert_eq!(turn(&mut wheel, 12_400), ["a"]);
        assert_eq!(turn(&mut wheel, 12_599), [] as [&str; 0]);
        assert_eq!(turn(&mut wheel, 12_600), ["b"]);
        assert_eq!(turn(&mut wheel, 14_000), [] as [&str; 0]);
    }

    #[test]
    fn what_is_further_off_than_the_wheel_spans_is_neither_early_nor_lost() {
        let mut wheel = Wheel::new(at(0));
        put(&mut wheel, 1_000_400, "far");
        let came_up = (1..=5_100).find(|tick| !turn(&mut wheel, tick * 200).is_empty());
        assert_eq!(came_up, Some(5_002), "at 1000.4 s");
    }

    #[test]
    fn what_is_put_in_after_a_step_back_comes_up_by_the_clock_as_it_is_now() {
        let mut wheel = Wheel::new(at(100_000_000));
        assert!(!wheel.is_ahead_of(wheel.at(at(99_999_500))), "that is waited out");
        let back = wheel.at(at(1_000_000));
        assert!(wheel.is_ahead_of(back));
        put(&mut wheel, 100_001_000, "by the clock before");
        wheel.go_back(back);
        put(&mut wheel, 1_001_000, "soon");
        assert_eq!(turn(&mut wheel, 1_000_999), [] as [&str; 0]);
        assert_eq!(turn(&mut wheel, 1_001_000), ["soon"]);
        assert!(wheel.tick(at(i64::MAX)) < Tick::NEVER);
    }

    #[test]
    fn a_clock_that_jumps_or_goes_back_loses_nothing() {
        let mut wheel = Wheel::new(at(100_000));
        put(&mut wheel, 101_000, "soon");
        put(&mut wheel, 160_000, "later");
        assert_eq!(turn(&mut wheel, 90_000), [] as [&str; 0]);
        let mut up = turn(&mut wheel, 10_000_000);
        up.sort_unstable();
        assert_eq!(up, ["later", "soon"]);
        put(&mut wheel, 1, "overdue");
        assert_eq!(turn(&mut wheel, 10_000_001), [] as [&str; 0], "its tick has come up already");
        assert_eq!(turn(&mut wheel, 10_000_200), ["overdue"]);
    }
}
