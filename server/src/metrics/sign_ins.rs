//! What happens on the way of a sign-in, told once and counted twice: for monitors since the process began, and by the hour
//! for the console (`counts.rs`). One call feeds both, so that they cannot tell different stories.

use std::{borrow::Cow, time::Duration};

use prometheus_client::{
    metrics::counter::Counter, metrics::histogram::Histogram, registry::Registry,
};

use super::{Counters, Family, Histograms, label};
use crate::{
    counts::{Counts, What},
    risk::{Ask, Entry},
    store::{self, SharedStore},
    ticket::{Denied, Kind, Verdict},
    tickets::Expired,
    world::Timestamp,
};

/// Seconds of what a person does: those of the counts by the hour (`counts::STEPS`), and finer ones below them for what
/// browsers do by themselves.
const HUMAN: [f64; 13] = [0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 60.0, 120.0, 240.0];

/// Seconds from a commit to a page: what lies between is this process alone.
const AT_ONCE: [f64; 13] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_15, 0.000_2, 0.000_3, 0.000_4, 0.000_6, 0.001, 0.002,
    0.005, 0.025, 0.25,
];

/// How a sign-in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A phone said yes.
    Approved,
    /// A phone said no.
    Denied,
    /// The wrong number was typed.
    WrongMatch,
    /// The site does not let this person in.
    NotAdmitted,
    /// The owner's yes is missing, and was asked for.
    OwnerAsked,
    /// Nobody scanned.
    Expired,
    /// Somebody scanned and did not decide.
    Undecided,
    /// The page gave up.
    Cancelled,
    /// A browser that a phone had approved before skipped the scan.
    Remembered,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Approved,
        Self::Denied,
        Self::WrongMatch,
        Self::NotAdmitted,
        Self::OwnerAsked,
        Self::Expired,
        Self::Undecided,
        Self::Cancelled,
        Self::Remembered,
    ];

    /// As the label names it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::WrongMatch => "wrong_match",
            Self::NotAdmitted => "not_admitted",
            Self::OwnerAsked => "owner_asked",
            Self::Expired => "expired",
            Self::Undecided => "undecided",
            Self::Cancelled => "cancelled",
            Self::Remembered => "remembered",
        }
    }
}

/// What a decision is to monitors and to the counts by the hour.
fn of_verdict(verdict: &Verdict) -> (Outcome, What) {
    match verdict {
        Verdict::Approved { .. } => (Outcome::Approved, What::Approved),
        Verdict::Denied(Denied::ByPerson) => (Outcome::Denied, What::Denied),
        Verdict::Denied(Denied::WrongMatch) => (Outcome::WrongMatch, What::WrongMatch),
        Verdict::Denied(Denied::NotAdmitted) => (Outcome::NotAdmitted, What::TurnedAway),
        Verdict::Denied(Denied::OwnerAsked) => (Outcome::OwnerAsked, What::TurnedAway),
    }
}

/// A ticket's kind, as the label names it.
const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Page => "page",
        Kind::OnPhone => "on_phone",
        Kind::Device => "device",
    }
}

/// The steps of a sign-in, in their order, as the label names them.
const STEPS: [&str; 4] = ["scan", "decide", "claim", "redeem"];

/// Counts sign-ins.
pub struct SignIns {
    opened: Counters<1>,
    renewed: Counter,
    scans: Counters<2>,
    ended: Counters<1>,
    by_site: Counters<1>,
    steps: Histograms<1>,
    tokens: Counters<1>,
    told: Histogram,
    counts: Counts,
}

impl SignIns {
    pub(super) fn in_registry(registry: &mut Registry) -> Self {
        let opened: Counters<1> = Family::default();
        registry.register("tickets_opened", "Tickets opened, by kind", opened.clone());
        let renewed = Counter::default();
        let help = "Tickets that took an older one's place";
        registry.register("tickets_renewed", help, renewed.clone());
        let scans: Counters<2> = Family::default();
        let help = "Scans that took a ticket, by how the code was opened and by what was asked";
        registry.register("scans", help, scans.clone());
        let ended: Counters<1> = Family::default();
        registry.register("sign_ins", "Sign-ins that ended, by outcome", ended.clone());
        let by_site: Counters<1> = Family::default();
        let help = "Sign-ins that were approved or remembered, by site";
        registry.register("site_sign_ins", help, by_site.clone());
        let steps: Histograms<1> = Family::new_with_constructor(|| Histogram::new(HUMAN));
        let help = "How long people take for each step of a sign-in";
        registry.register("step_seconds", help, steps.clone());
        let told = Histogram::new(AT_ONCE);
        let help = "From the commit of a decision to the frame that tells its page, at the node that committed";
        registry.register("told_seconds", help, told.clone());
        let tokens: Counters<1> = Family::default();
        let help = "Answers of the token endpoint that gave tokens, by grant";
        registry.register("tokens_issued", help, tokens.clone());
        // What has not happened yet is zero, not absent: a rate needs two points.
        for kind in [Kind::Page, Kind::OnPhone, Kind::Device] {
            drop(opened.get_or_create(&[label("kind", word(kind))]));
        }
        for outcome in Outcome::ALL {
            drop(ended.get_or_create(&[label("outcome", outcome.word())]));
        }
        for step in STEPS {
            drop(steps.get_or_create(&[label("step", step)]));
        }
        let counts = Counts::default();
        Self { opened, renewed, scans, ended, by_site, steps, tokens, told, counts }
    }

    /// A ticket was opened for this site.
    pub fn opened(&self, site: &str, kind: Kind, now: Timestamp) {
        self.opened.get_or_create(&[label("kind", word(kind))]).inc();
        self.counts.add(site, What::Shown, now);
    }

    /// A ticket took the place of one opened at `opened`.
    pub fn renewed(&self, site: &str, opened: Timestamp, now: Timestamp) {
        self.renewed.inc();
        self.counts.add(site, What::Left, opened);
        self.counts.add(site, What::Shown, now);
    }

    /// A scan took a ticket.
    pub fn scanned(&self, entry: Entry, ask: Ask) {
        let entry = match entry {
            Entry::Live => "camera",
            Entry::Digits => "digits",
            Entry::LongPress => "long_press",
            Entry::Album => "album",
            Entry::Unknown => "unknown",
            Entry::Card => "card",
        };
        let ask = match ask {
            Ask::Tap => "tap",
            Ask::Match => "match",
            Ask::Refuse => "refuse",
        };
        self.scans.get_or_create(&[label("entry", entry), label("ask", ask)]).inc();
    }

    /// It was the first scan of a ticket opened at `opened`.
    pub fn first_scanned(&self, site: &str, opened: Timestamp, now: Timestamp) {
        let took = now.since(opened);
        self.took("scan", took);
        self.counts.add(site, What::Scanned, opened);
        self.counts.took(site, What::ToScan, opened, took);
    }

    /// A ticket opened at `opened` and scanned at `scanned` was decided.
    pub fn decided(
        &self,
        site: &str,
        verdict: &Verdict,
        [opened, scanned]: [Timestamp; 2],
        now: Timestamp,
    ) {
        let (outcome, what) = of_verdict(verdict);
        let took = now.since(scanned);
        self.took("decide", took);
        self.ended(site, outcome);
        self.counts.add(site, what, opened);
        self.counts.took(site, What::ToDecide, opened, took);
    }

    /// A page that waits here was told of a decision, so long after its commit.
    pub fn told(&self, since: Duration) {
        self.told.observe(since.as_secs_f64());
    }

    /// The page of a ticket opened at `opened` gave up.
    pub fn cancelled(&self, site: &str, opened: Timestamp) {
        self.ended(site, Outcome::Cancelled);
        self.counts.add(site, What::Left, opened);
    }

    /// A browser that a phone had approved before skipped the scan.
    pub fn remembered(&self, site: &str, now: Timestamp) {
        self.ended(site, Outcome::Remembered);
        self.counts.add(site, What::Remembered, now);
    }

    /// The page claimed for the first time what was decided at `decided`.
    pub fn claimed(&self, decided: Timestamp, now: Timestamp) {
        self.took("claim", now.since(decided));
    }

    /// The site redeemed what was decided at `decided`.
    pub fn redeemed(&self, site: &str, decided: Timestamp, now: Timestamp) {
        let took = now.since(decided);
        self.issued("authorization_code");
        self.took("redeem", took);
        self.counts.took(site, What::ToRedeem, decided, took);
    }

    /// The token endpoint gave tokens for this grant.
    pub fn issued(&self, grant: &'static str) {
        self.tokens.get_or_create(&[label("grant", grant)]).inc();
    }

    /// So many tickets ended by the clock. By the hour they are what was shown and never decided.
    pub fn expired(&self, expired: Expired) {
        for (outcome, count) in
            [(Outcome::Expired, expired.unscanned), (Outcome::Undecided, expired.undecided)]
        {
            self.ended.get_or_create(&[label("outcome", outcome.word())]).inc_by(count);
        }
    }

    /// Brings what was counted by the hour into the store.
    ///
    /// # Errors
    /// What the store says; what it did not take waits for the next time.
    pub async fn flush(&self, store: &SharedStore) -> Result<(), store::Error> {
        self.counts.flush(store).await
    }

    fn ended(&self, site: &str, outcome: Outcome) {
        self.ended.get_or_create(&[label("outcome", outcome.word())]).inc();
        if matches!(outcome, Outcome::Approved | Outcome::Remembered) {
            self.by_site.get_or_create(&[("site", Cow::from(site.to_owned()))]).inc();
        }
    }

    fn took(&self, step: &'static str, time: Duration) {
        self.steps.get_or_create(&[label("step", step)]).observe(time.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts;

    #[test]
    fn monitors_and_the_console_part_times_at_the_same_bounds() {
        for bound in counts::STEPS {
            assert!(HUMAN.contains(&f64::from(bound)), "{bound} s");
        }
    }
}
