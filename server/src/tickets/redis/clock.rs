//! One clock for all nodes: Redis's. A ticket opened at one node is scanned, claimed and redeemed at others, and its times
//! are written once; where machines' clocks differ, a code would be over before it is redeemed.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use redis::cmd;

use super::{Error, Link, within};
use crate::world::{Timestamp, World};

/// How often the clocks are compared.
const PAUSE: Duration = Duration::from_secs(10);

/// Differences below this are left alone: clocks that are kept by NTP are closer.
const CLOSE: i64 = 500;

/// A difference above this is not followed. One of the two clocks is badly wrong, and nobody here can tell which: tokens would
/// be signed for another time, and codes be over at other nodes. So the clock goes on as it was, and this node is not ready:
/// whoever sends it people sends them to one whose clock fits, and whoever looks is told.
const FAR: i64 = 5 * 60 * 1000;

/// Whether this machine's clock and Redis's are too far apart to go on.
#[derive(Default)]
pub(super) struct Apart(AtomicBool);

impl Apart {
    /// # Errors
    /// If they are.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Error(
                "this machine's clock and Redis's are more than five minutes apart: set the wrong one right, and keep both by NTP".to_owned(),
            ));
        }
        Ok(())
    }
}

/// Takes over Redis's clock where this machine's differs from it.
pub(super) async fn follow(link: &Link, world: &World, apart: &Apart) -> Result<(), Error> {
    let asked = world.machine_now();
    let (seconds, micros): (i64, i64) = within(cmd("TIME").query_async(&mut link.clone())).await?;
    let shared = Timestamp::from_millis(seconds.saturating_mul(1000).saturating_add(micros / 1000));
    let ahead = correction(asked, world.machine_now(), shared, world.ahead());
    let is_far = ahead.is_some_and(|ahead| ahead.abs() > FAR);
    if apart.0.swap(is_far, Ordering::Relaxed) != is_far && is_far {
        tracing::error!(name: "clock.apart", ahead_ms = ahead,
            "this machine's clock and Redis's are far apart, and one of them is wrong: this node is not ready until it is set right");
    }
    if let Some(ahead) = ahead.filter(|_| !is_far) {
        if ahead != 0 {
            tracing::warn!(name: "clock.differs", ahead_ms = ahead,
                "this machine's clock differs from Redis's, which all nodes go by; keep both by NTP");
        }
        world.run_ahead(ahead);
    }
    Ok(())
}

/// How many milliseconds to run ahead of this machine's clock from now on, if that is another than it is now. The answer
/// `shared` was true at some moment between the question and its arrival: who waited long for it has learnt little of a
/// small difference, and of a large one all the same enough.
fn correction(asked: Timestamp, answered: Timestamp, shared: Timestamp, now: i64) -> Option<i64> {
    let doubt = (answered.millis() - asked.millis()) / 2;
    let ahead = shared.millis() - (asked.millis() + doubt);
    let ahead = if ahead.abs() < CLOSE { 0 } else { ahead };
    ((ahead - now).abs() >= CLOSE + doubt).then_some(ahead)
}

/// The same again and again, for as long as it is polled.
pub(super) async fn keep_following(link: &Link, world: &World, apart: &Apart) {
    loop {
        world.sleep_until(world.now() + PAUSE).await;
        // While Redis is away the clock goes on as it was.
        let _ = follow(link, world, apart).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_difference_is_followed_however_long_the_answer_took_and_a_small_one_only_where_it_is_sure()
     {
        let at = Timestamp::from_millis;
        let minute_behind = |took| correction(at(0), at(took), at(60_000 + took / 2), 0);
        assert_eq!(minute_behind(2), Some(60_000));
        assert_eq!(minute_behind(3_000), Some(60_000), "a node that starts under load");
        assert_eq!(correction(at(0), at(3_000), at(2_900), 0), None, "true at the very end");
        assert_eq!(correction(at(0), at(2), at(400), 0), None, "as close as NTP keeps them");
        assert_eq!(correction(at(0), at(2), at(-700), 0), Some(-701));
        assert_eq!(correction(at(0), at(2), at(61_000), 60_000), Some(60_999));
        assert_eq!(correction(at(0), at(2), at(100), 60_000), Some(0), "the clock was set right");
    }
}
