//! How often a path may be called, by the minute and by WeChat's day.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::clock::{Moment, day, month};
use super::reply::{No, no};

pub(super) const MINUTE_TEXT: &str = "api minute-quota reach limit, must slower, retry next minute";
pub(super) const DAY_TEXT: &str = "reach max api daily quota limit";
const CLEARS_A_MONTH: u32 = 10;
const CODE_B: &str = "/wxa/getwxacodeunlimit";

/// How often a path may be called. `None`: as often as one likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Limit {
    /// In a minute.
    pub minute: Option<u32>,
    /// In a day that begins at midnight in China.
    pub day: Option<u32>,
}

pub(super) struct Quotas {
    limits: BTreeMap<String, Limit>,
    counts: BTreeMap<String, Count>,
    clears: (u64, u32),
}

#[derive(Default)]
struct Count {
    minute: (u64, u32),
    day: (u64, u32),
}

impl Default for Quotas {
    fn default() -> Self {
        let limit = |minute, day| Limit { minute, day };
        // wechat-api.md sections 1.1, 2, 4.2 and 9.
        let limits = [
            ("/cgi-bin/token", limit(None, Some(2_000))),
            ("/cgi-bin/stable_token", limit(Some(10_000), Some(500_000))),
            (CODE_B, limit(Some(5_000), None)),
            // WeChat counts new codes; here the same one counts whenever it is asked for.
            ("/wxa/getwxacode", limit(None, Some(10_000))),
            ("/wxa/resetusersessionkey", limit(Some(60_000), None)),
            ("/wxa/msg_sec_check", limit(Some(4_000), Some(2_000_000))),
        ];
        let limits = limits.map(|(path, limit)| (path.to_owned(), limit)).into();
        Self { limits, counts: BTreeMap::new(), clears: (0, 0) }
    }
}

impl Quotas {
    pub(super) fn set(&mut self, path: &str, limit: Limit) {
        self.limits.insert(path.to_owned(), limit);
    }

    /// Counts one call, or refuses it.
    pub(super) fn spend(&mut self, path: &str, now: Moment) -> Result<(), No> {
        let limit = self.limits.get(path).copied().unwrap_or_default();
        let count = self.counts.entry(path.to_owned()).or_default();
        let (minute, day) = (now.as_secs() / 60, day(now));
        if count.minute.0 != minute {
            count.minute = (minute, 0);
        }
        if count.day.0 != day {
            count.day = (day, 0);
        }
        if limit.day.is_some_and(|limit| count.day.1 >= limit) {
            return Err(no(45009, DAY_TEXT));
        }
        if limit.minute.is_some_and(|limit| count.minute.1 >= limit) {
            // Code B was seen to word the end of its minute as the end of a day.
            return Err(if path == CODE_B { no(45009, DAY_TEXT) } else { no(45011, MINUTE_TEXT) });
        }
        count.minute.1 += 1;
        count.day.1 += 1;
        Ok(())
    }

    /// Limit and use of today. A path without a limit counts as having ten million calls a day.
    pub(super) fn today(&self, path: &str, now: Moment) -> (u32, u32) {
        let limit = self.limits.get(path).and_then(|limit| limit.day).unwrap_or(10_000_000);
        let used = self.counts.get(path).filter(|count| count.day.0 == day(now));
        (limit, used.map_or(0, |count| count.day.1))
    }

    /// Fills the day again, for one path or for all.
    pub(super) fn clear(&mut self, path: Option<&str>, now: Moment) -> Result<(), No> {
        if self.clears.0 != month(now) {
            self.clears = (month(now), 0);
        }
        if self.clears.1 >= CLEARS_A_MONTH {
            return Err(no(48006, "forbid to clear quota because of reaching the limit"));
        }
        self.clears.1 += 1;
        for (counted, count) in &mut self.counts {
            if path.is_none_or(|path| path == counted) {
                count.day.1 = 0;
            }
        }
        Ok(())
    }
}
