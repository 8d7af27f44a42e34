//! What happened, counted by the hour, for the console; `metrics/sign_ins.rs` tells it and monitors the same.
//!
//! A sign-in adds to a number in memory and nothing else; every few seconds the numbers go to the store in one write. What a
//! node counted since then is lost if it is killed, and nothing else is. A ticket is counted in the hour in which it was
//! opened, whatever happens to it later, so that of the pages shown in an hour those scanned are a part, and of those the
//! ones approved: a funnel that is none would mislead.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    store::{self, SharedStore},
    world::Timestamp,
};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A ticket was opened: a page shows a code, or digits.
    Shown,
    /// A phone scanned it, the first time.
    Scanned,
    /// Its person approved.
    Approved,
    /// A browser that a phone had approved skipped the scan.
    Remembered,
    /// Its person said no.
    Denied,
    /// A wrong number was typed, which is a no.
    WrongMatch,
    /// Its person is not let in there, or not yet.
    TurnedAway,
    /// Its page gave it up: closed, left, or a fresh code in its place.
    Left,
    /// From shown to scanned.
    ToScan,
    /// From scanned to decided.
    ToDecide,
    /// From decided to redeemed by the site.
    ToRedeem,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Shown,
        Self::Scanned,
        Self::Approved,
        Self::Remembered,
        Self::Denied,
        Self::WrongMatch,
        Self::TurnedAway,
        Self::Left,
        Self::ToScan,
        Self::ToDecide,
        Self::ToRedeem,
    ];

    /// Its stable word, as the stores keep it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Scanned => "scanned",
            Self::Approved => "approved",
            Self::Remembered => "remembered",
            Self::Denied => "denied",
            Self::WrongMatch => "wrong_match",
            Self::TurnedAway => "turned_away",
            Self::Left => "left",
            Self::ToScan => "to_scan",
            Self::ToDecide => "to_decide",
            Self::ToRedeem => "to_redeem",
        }
    }

    /// What this word says.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.as_str() == word)
    }
}

/// The upper bounds, in seconds, of the steps in which times are counted; what took longer than the last stands under
/// [`LONGER`]. They are finest where people are: a scan takes some seconds, and nobody waits beyond a ticket's life.
pub const STEPS: [u32; 11] = [1, 2, 3, 5, 8, 12, 20, 30, 60, 120, 240];

/// Longer than any step.
pub const LONGER: u32 = u32::MAX;

/// The step that a time belongs to.
fn step(took: Duration) -> u32 {
    STEPS.into_iter().find(|most| took <= Duration::from_secs((*most).into())).unwrap_or(LONGER)
}

/// So many of one thing in one hour at one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Hours since the Unix epoch.
    pub hour: i64,
    /// The site's `client_id`.
    pub site: String,
    /// What.
    pub what: What,
    /// Of times: the upper bound of the step, in seconds. Else 0.
    pub within: u32,
    /// How many.
    pub n: u64,
}

/// The hour that a moment lies in.
pub fn hour(at: Timestamp) -> i64 {
    at.seconds().div_euclid(3600)
}

/// One kind of thing at one site.
type Kind = (String, What, u32);

/// What is not in the store yet, by the hour.
type Held = BTreeMap<(i64, Kind), u64>;

/// The counts of a running server.
#[derive(Default)]
pub struct Counts {
    held: Mutex<Held>,
    /// Who brings them in does so alone: who comes next finds in the store what was on its way.
    writing: tokio::sync::Mutex<()>,
}

impl Counts {
    /// One thing happened to a ticket opened at `opened`, or at that moment.
    pub fn add(&self, site: &str, what: What, opened: Timestamp) {
        self.add_to(site, what, 0, opened);
    }

    /// A step of a ticket opened at `opened` took so long.
    pub fn took(&self, site: &str, what: What, opened: Timestamp, took: Duration) {
        self.add_to(site, what, step(took), opened);
    }

    fn add_to(&self, site: &str, what: What, within: u32, opened: Timestamp) {
        let kind = (site.to_owned(), what, within);
        *self.held().entry((hour(opened), kind)).or_default() += 1;
    }

    /// Brings what is new into the store. If the store is away it stays for the next time.
    ///
    /// # Errors
    /// What the store says.
    pub async fn flush(&self, store: &SharedStore) -> Result<(), store::Error> {
        let _alone = self.writing.lock().await;
        let fresh = std::mem::take(&mut *self.held());
        if fresh.is_empty() {
            return Ok(());
        }
        let rows = fresh.iter().map(|((hour, (site, what, within)), n)| Count {
            hour: *hour,
            site: site.clone(),
            what: *what,
            within: *within,
            n: *n,
        });
        let written = store.add_counts(rows.collect()).await;
        if written.is_err() {
            let mut held = self.held();
            for (key, n) in fresh {
                *held.entry(key).or_default() += n;
            }
        }
        written
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_belongs_to_the_first_step_that_holds_it() {
        let of = |millis| step(Duration::from_millis(millis));
        assert_eq!([of(0), of(1_000), of(1_001), of(240_000)], [1, 1, 2, 240]);
        assert_eq!(of(240_001), LONGER);
    }

    #[test]
    fn every_word_is_read_back() {
        for what in What::ALL {
            assert_eq!(What::parse(what.as_str()), Some(what));
        }
        assert_eq!(What::parse("other"), None);
    }

    #[test]
    fn things_of_one_hour_and_site_are_one_number() {
        let counts = Counts::default();
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        for opened in [0, 3_599, 3_600] {
            counts.add("blog", What::Shown, at(opened));
        }
        counts.took("blog", What::ToScan, at(0), Duration::from_secs(4));
        let held = counts.held();
        let fresh: Vec<_> =
            held.iter().map(|((hour, (_, what, within)), n)| (*hour, *what, *within, *n)).collect();
        let shown = What::Shown;
        assert_eq!(fresh, [(0, shown, 0, 2), (0, What::ToScan, 5, 1), (1, shown, 0, 1)]);
    }
}
