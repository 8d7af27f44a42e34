//! A timer wheel: what is due in which fifth of a second.

use std::time::Duration;

use crate::world::Timestamp;

/// How long a tick is: what is due in one comes up when it is over.
pub(crate) const TICK: Duration = Duration::from_millis(200);

/// How many ticks the wheel spans, two minutes and a little. What is due later comes up early, and is put in again.
const SLOTS: u32 = 640;

/// A moment as the wheel counts it, in ticks since it was made: half of what a timestamp takes, and good for 27 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u32);

impl Tick {
    /// Later than all others.
    pub(super) const NEVER: Self = Self(u32::MAX);
}

/// Entries by the tick they are due in. Nothing is ever taken out early: who comes up decides whether it still matters.
pub(super) struct Wheel<T> {
    slots: Vec<Vec<(Tick, T)>>,
    made: Timestamp,
    /// The first tick that has not come up.
    next: u32,
}

impl<T> Wheel<T> {
    /// An empty wheel that stands at `now`.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), made: now, next: 0 }
    }

    /// The first tick that is not before this moment.
    pub(super) fn tick(&self, at: Timestamp) -> Tick {
        let ticks = at.since(self.made).as_millis().div_ceil(TICK.as_millis());
        Tick(u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    /// The last tick that is not after this moment.
    pub(super) fn at(&self, now: Timestamp) -> Tick {
        let ticks = now.since(self.made).as_millis() / TICK.as_millis();
        Tick(u32::try_from(ticks).unwrap_or(u32::MAX))
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
