//! What is known of the token at one moment, and when it may be asked for again. No waiting here.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Landed, StoredToken, TokenStatus};
use crate::error::Error;
use crate::refusal::{Act, Refusal};
use crate::secret::AccessToken;

/// The stable endpoint hands out a new token only in the last five minutes of the old one's life
/// (wechat-api.md section 1.2), so refreshing earlier would bring the same token back. With the
/// jitter, nodes refresh between four and two minutes before the end.
const REFRESH_AHEAD: Duration = Duration::from_secs(240);
/// A token this near to its end is not handed out: it might die on its way.
const LAST_MOMENTS: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// A token in hand.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) token: AccessToken,
    born: Instant,
    until: Instant,
    pub(crate) refresh_at: Instant,
}

impl Held {
    pub(super) fn fresh(token: AccessToken, life: Duration, born: Instant, dice: f64) -> Self {
        let ahead = REFRESH_AHEAD.min(life / 2).mul_f64(0.5 + 0.5 * dice);
        let until = born + life;
        Self { token, born, until, refresh_at: until - ahead }
    }

    pub(super) fn shared(stored: StoredToken, now: Instant, dice: f64) -> Self {
        let age = stored.life.saturating_sub(stored.left);
        let born = now.checked_sub(age).unwrap_or(now);
        let held = Self::fresh(stored.token, stored.life, born, dice);
        // A machine younger than the token cannot look back that far.
        Self { until: now + stored.left, ..held }
    }

    pub(super) fn is_usable(&self, now: Instant) -> bool {
        // A very short life is used to its end.
        now + LAST_MOMENTS.min(self.until.saturating_duration_since(self.born) / 4) < self.until
    }
}

#[derive(Default)]
pub(super) struct State {
    held: Option<Held>,
    flight: Option<watch::Receiver<Landed>>,
    /// After a failure, until when nobody asks again, and what went wrong.
    pause: Option<(Instant, Error)>,
    /// Flights in a row that brought nothing.
    failures: u32,
    /// The token that WeChat refused last: never to be taken from the store again.
    rejected: Option<AccessToken>,
    /// Tokens in a row that WeChat refused without accepting one in between.
    rejections: u32,
    last_error: Option<(Instant, Error)>,
}

impl State {
    pub(super) fn usable(&self, now: Instant) -> Option<&Held> {
        self.held.as_ref().filter(|held| held.is_usable(now))
    }

    pub(super) fn rejected(&self) -> Option<&AccessToken> {
        self.rejected.as_ref()
    }

    pub(super) fn flight(&self) -> Option<watch::Receiver<Landed>> {
        self.flight.clone()
    }

    /// Whether somebody must wait before a flight may start, and what went wrong.
    pub(super) fn paused(&self, now: Instant) -> Result<(), Error> {
        match &self.pause {
            Some((until, error)) if now < *until => Err(error.clone()),
            _ => Ok(()),
        }
    }

    pub(super) fn took_off(&mut self, flight: watch::Receiver<Landed>) {
        self.flight = Some(flight);
    }

    pub(super) fn landed(
        &mut self,
        outcome: &Result<Option<Held>, Error>,
        now: Instant,
        dice: f64,
    ) {
        self.flight = None;
        match outcome {
            Ok(Some(held)) => {
                self.held = Some(held.clone());
                self.failures = 0;
                self.last_error = None;
                // A pause for tokens that WeChat keeps refusing goes on.
                if self.rejections < 2 {
                    self.pause = None;
                }
            }
            Ok(None) => {
                if let Some(held) = &mut self.held {
                    held.refresh_at = now + FIRST_PAUSE;
                }
            }
            Err(error) => {
                self.last_error = Some((now, error.clone()));
                let time = pause_after(error, self.failures, dice);
                self.failures = self.failures.saturating_add(1);
                self.pause = Some((now + time, error.clone()));
            }
        }
    }

    pub(super) fn reject(&mut self, token: &AccessToken, error: &Error, now: Instant, dice: f64) {
        if self.held.as_ref().is_none_or(|held| held.token != *token) {
            return;
        }
        self.held = None;
        self.rejected = Some(token.clone());
        self.last_error = Some((now, error.clone()));
        self.rejections = self.rejections.saturating_add(1);
        // The first refusal is mended by a fresh token at once. When that is refused too, asking
        // on and on mends nothing.
        if let Some(again) = self.rejections.checked_sub(2) {
            self.pause = Some((now + pause_after(error, again, dice), error.clone()));
        }
    }

    pub(super) fn accept(&mut self, token: &AccessToken) {
        if self.held.as_ref().is_some_and(|held| held.token == *token) {
            self.rejections = 0;
        }
    }

    pub(super) fn status(&self, now: Instant) -> TokenStatus {
        let held = self.usable(now);
        TokenStatus {
            present: held.is_some(),
            age: held.map(|held| now.saturating_duration_since(held.born)),
            left: held.map(|held| held.until.saturating_duration_since(now)),
            last_error: self
                .last_error
                .as_ref()
                .map(|(at, error)| (now.saturating_duration_since(*at), error.clone())),
        }
    }
}

/// How long to leave WeChat alone after a failure: what passes by itself is asked for again soon,
/// what somebody must mend first is asked for once a minute.
fn pause_after(error: &Error, failures: u32, dice: f64) -> Duration {
    let doubled = |first: Duration, longest: Duration| {
        first.saturating_mul(1 << failures.min(16)).min(longest)
    };
    let time = match error.act() {
        Act::Operator(_) | Act::OurBug => doubled(Duration::from_secs(10), Duration::from_secs(60)),
        // Somebody may clear the quota by hand, so look again every ten minutes.
        Act::Later { after } if error.refusal().is_some_and(Refusal::is_of_quota) => {
            after.min(Duration::from_secs(600))
        }
        // An administrator has said no for so long. Who talked them round starts the server anew,
        // which asks at once.
        Act::Later { after } => return after,
        _ => doubled(FIRST_PAUSE, Duration::from_secs(30)),
    };
    time.mul_f64(0.75 + 0.25 * dice)
}
