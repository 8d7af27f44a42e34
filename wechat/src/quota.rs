//! What is left to call with: our own count, a warning before it is too late, and what WeChat says
//! when asked.
//!
//! Code B may be made 5,000 times a minute; codes A and C together 100,000 times for ever
//! (wechat-api.md section 2).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::call::Success;
use crate::error::{Api, Error, RestReason};

const MINUTE: Duration = Duration::from_secs(60);

/// How much of the quotas that can be lost has been used, as far as this client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaUse {
    /// Codes B asked for in the last 60 seconds, by this client.
    pub unlimited_last_minute: u32,
    /// Codes A and C asked for in the last 60 seconds, by this client.
    pub for_ever_last_minute: u32,
    /// Codes A and C asked for by this client since it was built. The same parameters count once at
    /// WeChat, and every time here.
    pub for_ever_asked: u64,
    /// Codes A and C used since the mini program was born, as WeChat last said (`Num-Used`). It does
    /// not say so to everybody.
    pub for_ever_used: Option<u64>,
}

impl QuotaUse {
    /// How many codes B WeChat makes in a minute.
    pub const UNLIMITED_A_MINUTE: u32 = 5_000;
    /// How many codes A and C together WeChat makes, ever.
    pub const FOR_EVER: u64 = 100_000;

    /// Codes of all three kinds asked for in the last 60 seconds.
    #[must_use]
    pub const fn last_minute(&self) -> u32 {
        self.unlimited_last_minute.saturating_add(self.for_ever_last_minute)
    }
}

/// How one API's calls have gone since the client was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls sent, each retry counted.
    pub sent: u64,
    /// Of these, how many WeChat refused.
    pub refused: u64,
    /// Of these, how many brought no readable answer.
    pub failed: u64,
}

/// What WeChat says is left of one API's quota (`/cgi-bin/openapi/quota/get`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Quota {
    /// Calls that a day allows.
    pub daily_limit: i64,
    /// Calls made today.
    pub used: i64,
    /// Calls left today.
    pub remain: i64,
}

pub(crate) struct Counts {
    counted: Mutex<Counted>,
    unlimited_a_minute: u32,
}

#[derive(Default)]
struct Counted {
    unlimited: LastMinute,
    for_ever: LastMinute,
    warned_of_minute: Option<Instant>,
    for_ever_asked: u64,
    for_ever_used: Option<u64>,
    warned_of_for_ever: u64,
    tallies: BTreeMap<Api, Tally>,
}

/// A sliding minute in steps of a second.
#[derive(Default)]
struct LastMinute {
    steps: VecDeque<(Instant, u32)>,
    sum: u32,
}

impl LastMinute {
    fn sum(&mut self, now: Instant) -> u32 {
        while let Some(&(began, count)) = self.steps.front()
            && now.saturating_duration_since(began) >= MINUTE
        {
            self.steps.pop_front();
            self.sum = self.sum.saturating_sub(count);
        }
        self.sum
    }

    fn add(&mut self, now: Instant) {
        self.sum = self.sum.saturating_add(1);
        match self.steps.back_mut() {
            Some((began, count)) if now.saturating_duration_since(*began) < MINUTE / 60 => {
                *count += 1;
            }
            _ => self.steps.push_back((now, 1)),
        }
    }

    /// How long until the oldest step leaves the minute.
    fn until_room(&self, now: Instant) -> Duration {
        let began = self.steps.front().map_or(now, |&(began, _)| began);
        (began + MINUTE).saturating_duration_since(now)
    }
}

impl Counts {
    /// Counts that hold back what is over so many codes B a minute.
    pub(crate) fn new(unlimited_a_minute: u32) -> Self {
        Self { counted: Mutex::default(), unlimited_a_minute }
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call that is about to be made, or holds it back when WeChat would refuse it.
    pub(crate) fn admit(&self, api: Api, now: Instant) -> Result<(), Error> {
        let mut counted = self.lock();
        match api {
            Api::UnlimitedCode => {
                let sum = counted.unlimited.sum(now);
                if sum >= self.unlimited_a_minute {
                    let left = counted.unlimited.until_room(now);
                    return Err(Error::Resting { api, left, why: RestReason::Counted });
                }
                counted.unlimited.add(now);
                counted.warn_of_minute(now, self.unlimited_a_minute);
            }
            Api::Code | Api::QrCode => {
                counted.for_ever.sum(now);
                counted.for_ever.add(now);
                counted.for_ever_asked += 1;
            }
            _ => {}
        }
        counted.tallies.entry(api).or_default().sent += 1;
        Ok(())
    }

    pub(crate) fn record(&self, api: Api, outcome: &Result<Success, Error>) {
        let mut counted = self.lock();
        match outcome {
            Ok(success) => counted.for_ever_used = success.used().or(counted.for_ever_used),
            Err(Error::Refused(_)) => counted.tallies.entry(api).or_default().refused += 1,
            Err(_) => counted.tallies.entry(api).or_default().failed += 1,
        }
        if matches!(api, Api::Code | Api::QrCode) {
            counted.warn_of_for_ever();
        }
    }

    pub(crate) fn used(&self) -> QuotaUse {
        let (mut counted, now) = (self.lock(), Instant::now());
        QuotaUse {
            unlimited_last_minute: counted.unlimited.sum(now),
            for_ever_last_minute: counted.for_ever.sum(now),
            for_ever_asked: counted.for_ever_asked,
            for_ever_used: counted.for_ever_used,
        }
    }

    pub(crate) fn tallies(&self) -> BTreeMap<Api, Tally> {
        self.lock().tallies.clone()
    }
}

impl Counted {
    /// Once a minute, from four fifths on.
    fn warn_of_minute(&mut self, now: Instant, limit: u32) {
        let used = self.unlimited.sum;
        let quiet = self.warned_of_minute.is_some_and(|at| now.duration_since(at) < MINUTE);
        if used >= limit / 5 * 4 && !quiet {
            self.warned_of_minute = Some(now);
            tracing::warn!(name: "wechat.quota_minute", used, limit, "codes of the last minute near their limit");
        }
    }

    /// At every further 10,000 from one half on: what is used up does not come back.
    fn warn_of_for_ever(&mut self) {
        let used = self.for_ever_used.unwrap_or(0).max(self.for_ever_asked);
        let step = used / 10_000;
        if step >= 5 && step > self.warned_of_for_ever {
            self.warned_of_for_ever = step;
            let limit = QuotaUse::FOR_EVER;
            tracing::warn!(name: "wechat.quota_for_ever", used, limit,
                "codes A and C do not come back; code B has no such limit");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_five_thousand_and_first_code_of_a_minute_is_held_back_until_there_is_room() {
        let counts = Counts::new(QuotaUse::UNLIMITED_A_MINUTE);
        for _ in 0..5_000 {
            counts.admit(Api::UnlimitedCode, Instant::now()).unwrap();
        }
        tokio::time::advance(Duration::from_secs(20)).await;
        let held = counts.admit(Api::UnlimitedCode, Instant::now()).unwrap_err();
        let Error::Resting { left, why: RestReason::Counted, .. } = held else {
            panic!("{held}");
        };
        assert_eq!(left, Duration::from_secs(40));
        assert_eq!(counts.used().unlimited_last_minute, 5_000);

        tokio::time::advance(left).await;
        counts.admit(Api::UnlimitedCode, Instant::now()).unwrap();
        assert_eq!(counts.used().unlimited_last_minute, 1);
    }

    #[tokio::test]
    async fn who_is_not_asking_wechat_may_ask_for_more() {
        let counts = Counts::new(u32::MAX);
        for _ in 0..=QuotaUse::UNLIMITED_A_MINUTE {
            counts.admit(Api::UnlimitedCode, Instant::now()).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn codes_a_and_c_share_one_count_of_the_minute_too() {
        let counts = Counts::new(QuotaUse::UNLIMITED_A_MINUTE);
        for api in [Api::Code, Api::QrCode, Api::UnlimitedCode] {
            counts.admit(api, Instant::now()).unwrap();
        }
        let used = counts.used();
        assert_eq!((used.for_ever_asked, used.for_ever_last_minute), (2, 2));
        assert_eq!(used.last_minute(), 3);
        tokio::time::advance(MINUTE).await;
        let used = counts.used();
        assert_eq!((used.for_ever_asked, used.last_minute()), (2, 0));
    }
}
