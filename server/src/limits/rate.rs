//! So many a minute for each caller.
//!
//! A bucket holds a minute's worth and fills evenly (the generic cell rate algorithm, of which one moment a caller is kept:
//! when the bucket will be full again). It goes by `World`'s clock and forgives one that was set back, which the libraries
//! for it do not.

use std::{
    collections::HashMap,
    hash::Hash,
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::world::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);

/// How many callers are remembered.
const MOST: usize = 1 << 16;

/// So many a minute for each caller.
pub(super) struct Rate<K> {
    a_minute: NonZeroU32,
    /// When each caller's bucket will be full again, in microseconds since the epoch.
    full: Mutex<HashMap<K, i64>>,
}

impl<K: Hash + Eq> Rate<K> {
    pub(super) fn of(a_minute: NonZeroU32) -> Self {
        Self { a_minute, full: Mutex::default() }
    }

    /// Takes one out of the bucket, or says when there will be one.
    pub(super) fn take(&self, who: K, now: Timestamp) -> Result<(), Duration> {
        let mut full = self.full();
        if full.len() == full.capacity() || full.len() >= MOST {
            make_room(&mut full, now);
        }
        let next = self.next(full.get(&who).copied(), now)?;
        full.insert(who, next);
        Ok(())
    }

    /// Whether there is one in the bucket.
    pub(super) fn look(&self, who: &K, now: Timestamp) -> Result<(), Duration> {
        self.next(self.full().get(who).copied(), now).map(drop)
    }

    /// When the bucket would be full again after one more.
    fn next(&self, full: Option<i64>, now: Timestamp) -> Result<i64, Duration> {
        let (now, whole) = (micros(now), i64::try_from(MINUTE.as_micros()).unwrap_or(i64::MAX));
        let each = whole / i64::from(self.a_minute.get());
        // A bucket that fills later than an empty one would is of a clock that has been set back since.
        let full = full.filter(|full| *full <= now.saturating_add(whole)).unwrap_or(now).max(now);
        let over = full.saturating_add(each) - now.saturating_add(whole);
        match u64::try_from(over) {
            Ok(over) if over > 0 => Err(Duration::from_micros(over)),
            _ => Ok(full + each),
        }
    }

    pub(super) fn forget(&self, now: Timestamp) {
        let mut full = self.full();
        full.retain(|_, full| *full > micros(now));
        // What a rush took is given back.
        if full.capacity() / 4 > full.len() {
            let room = full.len() * 2;
            full.shrink_to(room);
        }
    }

    pub(super) fn full(&self) -> MutexGuard<'_, HashMap<K, i64>> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Before a table grows, those whose buckets are full again are forgotten: most callers come once, and a crowd that comes
/// and goes needs room for those of a few seconds alone. It grows all the same where half of it stays, so that it is not
/// looked through at every call.
///
/// Who can fill the largest table commands so many addresses that what holds each of them holds nothing: then all are
/// forgotten, and what holds is the limits in all.
fn make_room<K: Hash + Eq>(full: &mut HashMap<K, i64>, now: Timestamp) {
    full.retain(|_, full| *full > micros(now));
    if full.len() > MOST / 2 {
        full.clear();
    } else if full.len() > full.capacity() / 2 {
        full.reserve(full.capacity());
    }
}

fn micros(at: Timestamp) -> i64 {
    at.millis().saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    fn six() -> Rate<u32> {
        Rate::of(NonZeroU32::new(6).unwrap())
    }

    fn taken(rate: &Rate<u32>, who: u32, now: Timestamp) -> usize {
        (0..100).take_while(|_| rate.take(who, now).is_ok()).count()
    }

    #[test]
    fn a_minutes_worth_at_once_and_then_evenly() {
        let rate = six();
        assert_eq!(taken(&rate, 1, START), 6);
        assert_eq!(rate.take(1, START), Err(Duration::from_secs(10)));
        assert_eq!(taken(&rate, 1, START + Duration::from_secs(10)), 1);
        assert_eq!(taken(&rate, 1, START + Duration::from_secs(3600)), 6);
        assert_eq!(taken(&rate, 2, START), 6, "another one's is not touched");
    }

    #[test]
    fn looking_takes_nothing() {
        let rate = six();
        assert!((0..100).all(|_| rate.look(&1, START).is_ok()));
        assert_eq!(taken(&rate, 1, START), 6);
        assert!(rate.look(&1, START).is_err());
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out() {
        let rate = six();
        assert_eq!(taken(&rate, 1, START + Duration::from_secs(3600)), 6);
        assert_eq!(taken(&rate, 1, START), 6);
    }

    #[test]
    fn a_flood_of_callers_fills_no_more_than_its_table() {
        let rate = six();
        for who in 0..300_000 {
            assert!(rate.take(who, START).is_ok());
        }
        assert!(rate.full().len() <= MOST);
        rate.forget(START + MINUTE);
        assert_eq!(rate.full().len(), 0, "who has not come back is forgotten");
    }

    #[test]
    fn a_crowd_that_comes_and_goes_takes_room_for_those_who_are_held_alone() {
        let rate = six();
        // One comes every millisecond, and is held for ten seconds.
        for who in 0..100_000 {
            assert!(rate.take(who, START + Duration::from_millis(who.into())).is_ok());
        }
        assert!(rate.full().capacity() < 40_000, "{}", rate.full().capacity());
    }
}
