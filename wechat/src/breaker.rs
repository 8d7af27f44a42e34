//! Keeps a failing upstream from being hammered: one breaker for each API.
//!
//! Five failures in a row open it; after a rest that doubles each time, one call goes through as a
//! probe, and its outcome decides. The same rest is taken when WeChat says that a quota is used up.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Api, Error, RestReason};

const FAILURES: u32 = 5;
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// The breakers of every API.
pub(crate) struct Breakers {
    apis: Mutex<BTreeMap<Api, Breaker>>,
}

#[derive(Default)]
struct Breaker {
    failures: u32,
    /// How often it opened without a success in between.
    opened: u32,
    rest: Option<Rest>,
    /// A probe is under way, so that nobody else may call.
    probing: bool,
}

struct Rest {
    until: Instant,
    why: RestReason,
}

/// The right to make one call. Dropped without a verdict, because the caller went away, it counts
/// for nothing and frees the probe's place.
pub(crate) struct Pass<'a> {
    breakers: &'a Breakers,
    api: Api,
    probe: bool,
}

impl Breakers {
    pub(crate) fn new() -> Self {
        Self { apis: Mutex::new(BTreeMap::new()) }
    }

    fn with<T>(&self, api: Api, f: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut apis = self.apis.lock().unwrap_or_else(PoisonError::into_inner);
        f(apis.entry(api).or_default())
    }

    /// Lets a call through, or says how long the API still rests.
    pub(crate) fn pass(&self, api: Api) -> Result<Pass<'_>, Error> {
        let now = Instant::now();
        let probe = self.with(api, |breaker| match &breaker.rest {
            None => Ok(false),
            Some(rest) if now >= rest.until && !breaker.probing => {
                breaker.probing = true;
                Ok(true)
            }
            Some(rest) => {
                let left = rest.until.saturating_duration_since(now).max(FIRST_REST / 10);
                Err(Error::Resting { api, left, why: rest.why })
            }
        })?;
        Ok(Pass { breakers: self, api, probe })
    }

    /// Leaves an API alone for a while.
    pub(crate) fn rest(&self, api: Api, time: Duration, why: RestReason) {
        let until = Instant::now() + time;
        self.with(api, |breaker| breaker.rest = Some(Rest { until, why }));
    }
}

impl Pass<'_> {
    /// WeChat answered, be it with a no.
    pub(crate) fn answered(self) {
        self.breakers.with(self.api, |breaker| {
            breaker.failures = 0;
            breaker.opened = 0;
            breaker.rest = None;
        });
    }

    /// The call went wrong. `dice` is a random share between 0 and 1, which keeps many nodes from
    /// probing at one moment.
    pub(crate) fn failed(self, dice: f64) {
        let now = Instant::now();
        self.breakers.with(self.api, |breaker| {
            breaker.failures = breaker.failures.saturating_add(1);
            if breaker.failures >= FAILURES && (self.probe || breaker.rest.is_none()) {
                let doubled = FIRST_REST.saturating_mul(1 << breaker.opened.min(16));
                let time = doubled.min(LONGEST_REST).mul_f64(0.75 + 0.25 * dice);
                breaker.opened = breaker.opened.saturating_add(1);
                breaker.rest = Some(Rest { until: now + time, why: RestReason::Failing });
            }
        });
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.breakers.with(self.api, |breaker| breaker.probing = false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: Api = Api::UnlimitedCode;

    fn fail(breakers: &Breakers, times: u32) {
        for _ in 0..times {
            breakers.pass(API).unwrap().failed(1.0);
        }
    }

    async fn wait(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_open_it_and_one_success_in_between_does_not() {
        let breakers = Breakers::new();
        fail(&breakers, 4);
        breakers.pass(API).unwrap().answered();
        fail(&breakers, 4);
        assert!(breakers.pass(API).is_ok());
        fail(&breakers, 1);
        let refused = breakers.pass(API).err().unwrap();
        assert!(matches!(refused, Error::Resting { why: RestReason::Failing, .. }), "{refused}");
        assert!(breakers.pass(Api::Code2Session).is_ok(), "other APIs go on");
    }

    #[tokio::test(start_paused = true)]
    async fn after_its_rest_a_single_probe_decides() {
        let breakers = Breakers::new();
        fail(&breakers, 5);
        wait(1).await;
        let probe = breakers.pass(API).unwrap();
        assert!(breakers.pass(API).is_err(), "one probe at a time");
        probe.failed(1.0);
        wait(1).await;
        assert!(breakers.pass(API).is_err(), "the second rest is twice as long");
        wait(1).await;
        breakers.pass(API).unwrap().answered();
        let (_one, _two) = (breakers.pass(API).unwrap(), breakers.pass(API).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_whose_caller_went_away_frees_its_place() {
        let breakers = Breakers::new();
        fail(&breakers, 5);
        wait(1).await;
        drop(breakers.pass(API).unwrap());
        breakers.pass(API).unwrap().answered();
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_never_grows_past_half_a_minute() {
        let breakers = Breakers::new();
        fail(&breakers, 5);
        for _ in 0..40 {
            wait(30).await;
            fail(&breakers, 1);
        }
        wait(30).await;
        breakers.pass(API).unwrap().answered();
    }

    #[tokio::test(start_paused = true)]
    async fn a_used_up_quota_rests_as_long_as_it_was_told() {
        let breakers = Breakers::new();
        breakers.rest(API, Duration::from_secs(60), RestReason::Refused(45011));
        wait(59).await;
        let Err(Error::Resting { left, .. }) = breakers.pass(API).map(drop) else {
            panic!("it rests")
        };
        assert_eq!(left, Duration::from_secs(1));
        wait(1).await;
        assert!(breakers.pass(API).is_ok());
    }
}
