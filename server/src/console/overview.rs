//! What the overview shows, out of the counts by the hour.

use crate::{
    app::App,
    counts::{self, Count, LONGER, STEPS, What},
    store::{self, Counted},
};

/// How far back is looked, and in which steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Range {
    /// A day, by the hour.
    Day,
    /// A week, by six hours.
    Week,
    /// Thirty days.
    #[default]
    Month,
    /// Ninety days.
    Quarter,
    /// A year, by the week.
    Year,
}

impl Range {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// As the address writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::Quarter => "90d",
            Self::Year => "1y",
        }
    }

    /// What an address says; a month where it says nothing that is known.
    pub fn parse(word: &str) -> Self {
        Self::ALL.into_iter().find(|range| range.word() == word).unwrap_or_default()
    }

    /// Hours of one step, and how many steps.
    pub const fn steps(self) -> (i64, i64) {
        match self {
            Self::Day => (1, 24),
            Self::Week => (6, 28),
            Self::Month => (24, 30),
            Self::Quarter => (24, 90),
            Self::Year => (24 * 7, 53),
        }
    }
}

/// How many of each thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Pages that showed a code.
    pub shown: u64,
    /// Of these, scanned.
    pub scanned: u64,
    /// Of these, approved.
    pub approved: u64,
    /// Of those scanned, denied.
    pub denied: u64,
    /// Of those scanned, ended by a wrong number.
    pub wrong_match: u64,
    /// Of those scanned, turned away: the site does not let their person in, or not yet.
    pub turned_away: u64,
    /// Pages that gave up.
    pub left: u64,
    /// Sign-ins without a scan, in a browser that a phone had approved.
    pub remembered: u64,
}

impl Totals {
    fn add(&mut self, count: &Count) {
        let part = match count.what {
            What::Shown => &mut self.shown,
            What::Scanned => &mut self.scanned,
            What::Approved => &mut self.approved,
            What::Denied => &mut self.denied,
            What::WrongMatch => &mut self.wrong_match,
            What::TurnedAway => &mut self.turned_away,
            What::Left => &mut self.left,
            What::Remembered => &mut self.remembered,
            What::ToScan | What::ToDecide | What::ToRedeem => return,
        };
        *part += count.n;
    }

    /// Sign-ins, with a scan and without.
    pub fn sign_ins(&self) -> u64 {
        self.approved + self.remembered
    }

    fn decided(&self) -> u64 {
        self.approved + self.denied + self.wrong_match + self.turned_away
    }

    /// Tickets that were neither decided nor are still open, of which there are `open`: their time was over, or their page
    /// was left.
    pub fn expired(&self, open: u64) -> u64 {
        self.shown.saturating_sub(self.decided()).saturating_sub(open)
    }

    /// The same of those that a phone had scanned.
    pub fn undecided(&self) -> u64 {
        self.scanned.saturating_sub(self.decided())
    }
}

/// How long one step of a sign-in took: how often within each of the counted steps, the last without an end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Times(pub [u64; STEPS.len() + 1]);

impl Times {
    fn add(&mut self, count: &Count) {
        let at = if count.within == LONGER {
            Some(STEPS.len())
        } else {
            STEPS.iter().position(|most| *most == count.within)
        };
        if let Some(n) = at.and_then(|at| self.0.get_mut(at)) {
            *n += count.n;
        }
    }

    /// How many in all.
    pub fn all(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Within how many seconds so large a share of them was done, as if they lay evenly within each step; none if there are
    /// none, or if it lies beyond the last step.
    pub fn within(&self, part: f64) -> Option<f64> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of sign-ins, of which a share is asked"
        )]
        let wanted = self.all() as f64 * part;
        let (mut below, mut from) = (0.0, 0.0);
        for (n, to) in self.0.iter().zip(STEPS) {
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            let (n, to) = (*n as f64, f64::from(to));
            if n > 0.0 && below + n >= wanted {
                return Some(from + (to - from) * (wanted - below) / n);
            }
            (below, from) = (below + n, to);
        }
        None
    }
}

/// One step of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The hour it begins with.
    pub hour: i64,
    /// What happened in it.
    pub totals: Totals,
}

/// Everything counted in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// The range, step by step.
    pub steps: Vec<Step>,
    /// All of it.
    pub totals: Totals,
    /// All of the same time before it.
    pub before: Totals,
    /// From shown to scanned.
    pub to_scan: Times,
    /// From scanned to decided.
    pub to_decide: Times,
    /// From decided to redeemed by the site.
    pub to_redeem: Times,
}

/// Adds up a range, of one site or of all. `shift` is how many hours the asker's clock is before UTC.
///
/// # Errors
/// What the store says.
pub async fn overview(
    app: &App,
    range: Range,
    shift: i64,
    site: Option<&str>,
) -> Result<Overview, store::Error> {
    // What happened a moment ago is wanted too.
    app.metrics.sign_ins.flush(&app.store).await?;
    let (step, many) = range.steps();
    let last = (counts::hour(app.world.now()) + shift).div_euclid(step);
    let begins = |at: i64| at * step - shift;
    let first = last - many + 1;
    let asked = |since, until, step| Counted {
        since,
        until,
        step,
        shift,
        site: site.map(ToOwned::to_owned),
        by_site: false,
        what: Vec::new(),
    };
    let rows = app.store.counts(&asked(begins(first), begins(last + 1), step)).await?;
    let earlier = app.store.counts(&asked(begins(first - many), begins(first), step)).await?;
    let mut steps: Vec<Step> =
        (first..=last).map(|at| Step { hour: begins(at), totals: Totals::default() }).collect();
    let (mut totals, mut before) = (Totals::default(), Totals::default());
    let (mut to_scan, mut to_decide, mut to_redeem) =
        (Times::default(), Times::default(), Times::default());
    for row in &rows {
        totals.add(row);
        if let Ok(at) = steps.binary_search_by_key(&row.hour, |step| step.hour)
            && let Some(step) = steps.get_mut(at)
        {
            step.totals.add(row);
        }
        match row.what {
            What::ToScan => to_scan.add(row),
            What::ToDecide => to_decide.add(row),
            What::ToRedeem => to_redeem.add(row),
            _ => {}
        }
    }
    earlier.iter().for_each(|row| before.add(row));
    Ok(Overview { steps, totals, before, to_scan, to_decide, to_redeem })
}

/// Sign-ins of the last four weeks by day of the week (Monday first) and hour of the day.
pub type Week = [[u64; 24]; 7];

/// When people sign in, over four weeks.
///
/// # Errors
/// What the store says.
pub async fn week(app: &App, shift: i64) -> Result<Week, store::Error> {
    let until = counts::hour(app.world.now()) + 1;
    let asked = Counted {
        since: until - 28 * 24,
        until,
        step: 1,
        shift,
        site: None,
        by_site: false,
        what: vec![What::Approved, What::Remembered],
    };
    let mut week = Week::default();
    for row in app.store.counts(&asked).await? {
        // The first of January 1970 was a Thursday.
        let (day, hour) =
            ((row.hour + shift).div_euclid(24) + 3, (row.hour + shift).rem_euclid(24));
        let day = usize::try_from(day.rem_euclid(7)).unwrap_or(0);
        let hour = usize::try_from(hour).unwrap_or(0);
        if let Some(n) = week.get_mut(day).and_then(|day| day.get_mut(hour)) {
            *n += row.n;
        }
    }
    Ok(week)
}

/// Sign-ins of each site by the day, for thirty days.
///
/// # Errors
/// What the store says.
pub async fn by_site(
    app: &App,
    shift: i64,
) -> Result<std::collections::BTreeMap<String, [u64; 30]>, store::Error> {
    app.metrics.sign_ins.flush(&app.store).await?;
    let last = (counts::hour(app.world.now()) + shift).div_euclid(24);
    let first = last - 29;
    let asked = Counted {
        since: first * 24 - shift,
        until: (last + 1) * 24 - shift,
        step: 24,
        shift,
        site: None,
        by_site: true,
        what: vec![What::Approved, What::Remembered],
    };
    let mut sites = std::collections::BTreeMap::new();
    for row in app.store.counts(&asked).await? {
        let days: &mut [u64; 30] = sites.entry(row.site).or_insert([0; 30]);
        let day = usize::try_from((row.hour + shift).div_euclid(24) - first).unwrap_or(0);
        if let Some(n) = days.get_mut(day) {
            *n += row.n;
        }
    }
    Ok(sites)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_are_done_within_the_median() {
        // Ten within a second, ten between 5 and 8.
        let mut times = Times::default();
        (times.0[0], times.0[4]) = (10, 10);
        assert_eq!(times.within(0.25), Some(0.5));
        assert_eq!(times.within(0.5), Some(1.0));
        assert_eq!(times.within(0.75), Some(6.5));
        assert_eq!(times.within(1.0), Some(8.0));
        assert_eq!(Times::default().within(0.5), None);
        let mut late = Times::default();
        late.0[STEPS.len()] = 1;
        assert_eq!(late.within(0.5), None, "nobody knows how late");
    }

    #[test]
    fn what_was_shown_and_not_decided_has_expired() {
        let totals = Totals { shown: 10, scanned: 7, approved: 5, denied: 1, ..Totals::default() };
        assert_eq!((totals.expired(0), totals.expired(2), totals.undecided()), (4, 2, 1));
        assert_eq!(Totals::default().expired(3), 0);
    }

    #[test]
    fn an_address_names_a_range() {
        for range in Range::ALL {
            assert_eq!(Range::parse(range.word()), range);
        }
        assert_eq!(Range::parse("for ever"), Range::Month);
    }
}
