//! A timer wheel: what is due in which second.

use crate::world::Timestamp;

/// How many seconds the wheel spans. What is due later comes up early, is found not due, and is put in again.
const SLOTS: i64 = 128;

/// Entries by the second they are due in. Nothing is ever taken out early: who comes up decides whether it still matters.
pub(super) struct Wheel<T> {
    slots: Vec<Vec<(Timestamp, T)>>,
    /// The second that it stands in, part of which may be over.
    at: i64,
}

impl<T> Wheel<T> {
    /// An empty wheel that stands at `now`.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), at: now.seconds() }
    }

    /// Puts an entry in for `due`.
    pub(super) fn put(&mut self, due: Timestamp, entry: T) {
        let second = due.seconds().clamp(self.at, self.at + SLOTS - 1);
        if let Some(slot) = self.slots.get_mut(index(second)) {
            slot.push((due, entry));
        }
    }

    /// Turns to `now` and takes what is due, to the millisecond.
    pub(super) fn turn(&mut self, now: Timestamp) -> Vec<T> {
        // A clock that jumped past a whole round passes every slot once.
        let passed = (self.at..=now.seconds()).take(index(SLOTS - 1) + 1);
        let mut up = Vec::new();
        for second in passed {
            let slot = self.slots.get_mut(index(second)).map(std::mem::take).unwrap_or_default();
            up.extend(slot);
        }
        self.at = self.at.max(now.seconds());
        let (due, early): (Vec<_>, Vec<_>) = up.into_iter().partition(|(due, _)| *due <= now);
        // Later in this second, or further off than the wheel spans.
        early.into_iter().for_each(|(due, entry)| self.put(due, entry));
        due.into_iter().map(|(_, entry)| entry).collect()
    }
}

fn index(second: i64) -> usize {
    usize::try_from(second.rem_euclid(SLOTS)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn an_entry_comes_up_the_moment_it_is_due() {
        let mut wheel = Wheel::new(at(10_000));
        wheel.put(at(12_500), "a");
        assert_eq!(wheel.turn(at(12_499)), [] as [&str; 0]);
        assert_eq!(wheel.turn(at(12_500)), ["a"]);
        assert_eq!(wheel.turn(at(14_000)), [] as [&str; 0]);
    }

    #[test]
    fn what_is_further_off_than_the_wheel_spans_is_neither_early_nor_lost() {
        let mut wheel = Wheel::new(at(0));
        wheel.put(at(1_000_500), "far");
        let came_up = (1..=2_100).find(|half| !wheel.turn(at(half * 500)).is_empty());
        assert_eq!(came_up, Some(2_001), "at 1000.5 s");
    }

    #[test]
    fn a_clock_that_jumps_or_goes_back_loses_nothing() {
        let mut wheel = Wheel::new(at(100_000));
        wheel.put(at(101_000), "soon");
        wheel.put(at(160_000), "later");
        assert_eq!(wheel.turn(at(90_000)), [] as [&str; 0]);
        let mut up = wheel.turn(at(10_000_000));
        up.sort_unstable();
        assert_eq!(up, ["later", "soon"]);
        wheel.put(at(1), "overdue");
        assert_eq!(wheel.turn(at(10_000_001)), ["overdue"]);
    }
}
