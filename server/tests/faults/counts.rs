//! What was seen, and what must never be.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::{Mutex, MutexGuard},
};

/// What is counted during one fault.
#[derive(Default, Clone, Copy)]
struct Row {
    logins: u64,
    /// The phone was told yes, and the page that waited never could claim it.
    lost: u64,
    /// A code that gave tokens more than once.
    twice: u64,
    /// A page that was not told within its time.
    hanging: u64,
    /// Answers of 500 and the like, and 503 that does not say when to come again.
    wrong: u64,
    /// Answers of 503 with Retry-After.
    busy: u64,
    /// Connections that broke.
    broken: u64,
    /// Pages that had to open anew before anybody had approved.
    anew: u64,
    /// Redemptions whose answer was lost, so that the site had to ask the person again.
    doubtful: u64,
}

#[derive(Default)]
pub(crate) struct Counts(Mutex<All>);

#[derive(Default)]
struct All {
    now: &'static str,
    order: Vec<&'static str>,
    rows: BTreeMap<&'static str, Row>,
    /// Who each person is to the site: for ever one name.
    subs: BTreeMap<String, BTreeSet<String>>,
    examples: Vec<String>,
}

impl Counts {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap()
    }

    pub(crate) fn during(&self, what: &'static str) {
        let mut all = self.all();
        all.now = what;
        if !all.order.contains(&what) {
            all.order.push(what);
        }
    }

    fn row(&self, change: impl FnOnce(&mut Row)) {
        let mut all = self.all();
        let now = all.now;
        change(all.rows.entry(now).or_default());
    }

    pub(crate) fn login(&self, person: &str, sub: &str) {
        self.row(|row| row.logins += 1);
        self.all().subs.entry(person.to_owned()).or_default().insert(sub.to_owned());
    }

    pub(crate) fn busy(&self) {
        self.row(|row| row.busy += 1);
    }

    pub(crate) fn broken(&self) {
        self.row(|row| row.broken += 1);
    }

    pub(crate) fn anew(&self) {
        self.row(|row| row.anew += 1);
    }

    pub(crate) fn doubtful(&self) {
        self.row(|row| row.doubtful += 1);
    }

    pub(crate) fn lost(&self, how: String) {
        self.row(|row| row.lost += 1);
        self.example(how);
    }

    pub(crate) fn twice(&self, how: String) {
        self.row(|row| row.twice += 1);
        self.example(how);
    }

    pub(crate) fn hanging(&self, how: String) {
        self.row(|row| row.hanging += 1);
        self.example(how);
    }

    pub(crate) fn wrong(&self, how: String) {
        self.row(|row| row.wrong += 1);
        self.example(how);
    }

    fn example(&self, how: String) {
        let mut all = self.all();
        let now = all.now;
        all.examples.push(format!("while {now}: {how}"));
    }

    /// How many people have signed in.
    pub(crate) fn people(&self) -> i64 {
        i64::try_from(self.all().subs.len()).unwrap()
    }

    /// The table as docs/scale.md has it.
    pub(crate) fn table(&self, long: bool) -> String {
        let all = self.all();
        let mut text = format!("\n{} run\n\n", if long { "long" } else { "short" });
        text += "| while | sign-ins | lost | redeemed twice | hanging | wrong answers | 503 with Retry-After | broken connections | pages opened anew | redemptions in doubt |\n";
        text += "|---|---|---|---|---|---|---|---|---|---|\n";
        let mut sum = Row::default();
        let mut line = |name: &str, row: &Row| {
            let Row { logins, lost, twice, hanging, wrong, busy, broken, anew, doubtful } = row;
            let _ = writeln!(
                text,
                "| {name} | {logins} | {lost} | {twice} | {hanging} | {wrong} | {busy} | {broken} | {anew} | {doubtful} |"
            );
        };
        for name in &all.order {
            let row = all.rows.get(name).copied().unwrap_or_default();
            line(name, &row);
            sum.logins += row.logins;
            sum.lost += row.lost;
            sum.twice += row.twice;
            sum.hanging += row.hanging;
            sum.wrong += row.wrong;
            sum.busy += row.busy;
            sum.broken += row.broken;
            sum.anew += row.anew;
            sum.doubtful += row.doubtful;
        }
        line("**all**", &sum);
        let doubled = all.subs.values().filter(|subs| subs.len() > 1).count();
        let people = all.subs.len();
        let _ = writeln!(text, "\n{people} people; known by two names: {doubled}");
        text
    }

    /// Fails if anything happened that must not.
    pub(crate) fn hold(&self) {
        let all = self.all();
        assert!(all.examples.is_empty(), "{:#?}", all.examples);
        let doubled: Vec<_> = all.subs.iter().filter(|(_, subs)| subs.len() > 1).collect();
        assert!(doubled.is_empty(), "{doubled:?}");
        let logins: u64 = all.rows.values().map(|row| row.logins).sum();
        assert!(logins > 100, "only {logins} sign-ins: that shows nothing");
        // Not only where something was counted: a fault that nothing came through is the worst.
        for name in &all.order {
            let row = all.rows.get(name).copied().unwrap_or_default();
            assert!(row.logins > 0, "nobody could sign in while {name}, nor after it");
        }
    }
}
