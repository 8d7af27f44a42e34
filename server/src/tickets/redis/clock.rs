//! One clock for all nodes: Redis's. A ticket opened at one node is scanned, claimed and redeemed at others, and its times
//! are written once; where machines' clocks differ, a code would be over before it is redeemed.

use std::time::Duration;

use redis::cmd;

use super::{Error, Link, within};
use crate::world::{Timestamp, World};

/// How often the clocks are compared.
const PAUSE: Duration = Duration::from_secs(10);

/// Differences below this are left alone: clocks that are kept by NTP are closer.
const CLOSE: i64 = 500;

/// Takes over Redis's clock where this machine's differs from it.
pub(super) async fn follow(link: &Link, world: &World) -> Result<(), Error> {
    let asked = world.machine_now();
    let (seconds, micros): (i64, i64) = within(cmd("TIME").query_async(&mut link.clone())).await?;
    let answered = world.machine_now();
    // The answer was true somewhere between the question and now; who waited long for it has learnt little.
    let took = answered.since(asked);
    if took > Duration::from_millis(250) {
        return Ok(());
    }
    let shared = Timestamp::from_millis(seconds.saturating_mul(1000).saturating_add(micros / 1000));
    let ahead = shared.millis() - (asked + took / 2).millis();
    let ahead = if ahead.abs() < CLOSE { 0 } else { ahead };
    if (ahead - world.ahead()).abs() >= CLOSE {
        if ahead != 0 {
            tracing::warn!(name: "clock.differs", ahead_ms = ahead,
                "this machine's clock differs from Redis's, which all nodes go by; keep both by NTP");
        }
        world.run_ahead(ahead);
    }
    Ok(())
}

/// The same again and again, for as long as it is polled.
pub(super) async fn keep_following(link: &Link, world: &World) {
    loop {
        world.sleep_until(world.now() + PAUSE).await;
        // While Redis is away the clock goes on as it was.
        let _ = follow(link, world).await;
    }
}
