//! WeChat's time: tokio's clock, an hour to start from, and whatever a test adds.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A moment: the time since 1970 in UTC.
pub(super) type Moment = Duration;

const DAY: u64 = 24 * 60 * 60;
const CHINA: u64 = 8 * 60 * 60;

pub(super) struct Clock {
    started: Moment,
    began: Instant,
    added: Mutex<Duration>,
}

impl Clock {
    pub(super) fn new(started: SystemTime) -> Self {
        let started = started.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started, began: Instant::now(), added: Mutex::default() }
    }

    pub(super) fn now(&self) -> Moment {
        let added = *self.added.lock().unwrap_or_else(PoisonError::into_inner);
        self.started.saturating_add(self.began.elapsed()).saturating_add(added)
    }

    pub(super) fn advance(&self, time: Duration) {
        let mut added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        *added = added.saturating_add(time);
    }
}

/// WeChat's day begins at midnight in China.
pub(super) fn day(now: Moment) -> u64 {
    (now.as_secs() + CHINA) / DAY
}

/// Years and months since 1970 in China, for what may be done so often a month.
pub(super) fn month(now: Moment) -> u64 {
    // Days to civil months: years begin in March, so that the odd day comes last.
    let days = day(now) + 719_468;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    (days / 146_097 * 400 + year_of_era) * 12 + (5 * of_year + 2) / 153
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_and_the_month_turn_at_midnight_in_china() {
        let at = Duration::from_secs;
        // 2026-01-31 15:59:59 UTC is the last second of January in China.
        let last = 1_769_875_199;
        assert_eq!(day(at(last)) + 1, day(at(last + 1)));
        assert_eq!(month(at(last)) + 1, month(at(last + 1)));
        // 2024-02-28 16:00 UTC begins the leap day, which is still February.
        let leap = 1_709_136_000;
        assert_eq!(month(at(leap)), month(at(leap - 1)));
        assert_eq!(month(at(leap + DAY)), month(at(leap)) + 1);
    }
}
