//! A timer wheel: what is due in which second, at eight bytes an entry.

use crate::world::Timestamp;

/// How many seconds the wheel spans. What is due later comes up early, is found not due, and is put in again.
const SLOTS: i64 = 128;

/// Entries by the second they are due in. Nothing is ever taken out early: who comes up decides whether it still matters.
pub(super) struct Wheel<T> {
    slots: Vec<Vec<T>>,
    /// The last second that has been turned past.
    at: i64,
}

impl<T> Wheel<T> {
    /// An empty wheel that stands at `now`.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), at: now.seconds() }
    }

    /// Puts an entry in for the first whole second after `due`, so that it never comes up too early by less than that.
    pub(super) fn put(&mut self, due: Timestamp, entry: T) {
        let second = (due.seconds() + 1).clamp(self.at + 1, self.at + SLOTS - 1);
        let slot = usize::try_from(second.rem_euclid(SLOTS)).unwrap_or(0);
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.push(entry);
        }
    }

    /// Turns to `now` and takes what has come up.
    pub(super) fn turn(&mut self, now: Timestamp) -> Vec<T> {
        let now = now.seconds();
        let mut up = Vec::new();
        // A clock that jumped past a whole round brings up everything, once.
        for second in (self.at + 1..=now).take(usize::try_from(SLOTS).unwrap_or(0)) {
            let slot = usize::try_from(second.rem_euclid(SLOTS)).unwrap_or(0);
            if let Some(slot) = self.slots.get_mut(slot) {
                up.append(slot);
            }
        }
        self.at = self.at.max(now);
        up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn an_entry_comes_up_in_the_second_after_it_is_due() {
        let mut wheel = Wheel::new(at(10_000));
        wheel.put(at(12_500), "a");
        assert_eq!(wheel.turn(at(12_999)), [] as [&str; 0]);
        assert_eq!(wheel.turn(at(13_000)), ["a"]);
        assert_eq!(wheel.turn(at(14_000)), [] as [&str; 0]);
    }

    #[test]
    fn what_is_far_off_comes_up_early_rather_than_late() {
        let mut wheel = Wheel::new(at(0));
        wheel.put(at(1_000_000), "far");
        assert_eq!(wheel.turn(at(127_000)), ["far"]);
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
        assert_eq!(wheel.turn(at(10_001_000)), ["overdue"]);
    }
}
