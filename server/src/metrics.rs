//! What is counted, for those who watch a server from outside.
//!
//! Each thing that happens has one method here, called where it happens; what stands at a moment is asked for when somebody
//! looks (`now.rs`). Counting takes a read lock and an atomic addition, and never waits. docs/metrics.md names and explains
//! every metric, and a test keeps it so. No label ever names a person, an address or a secret.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::prometheus_text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

use crate::{
    risk::{Ask, Entry},
    ticket::{Denied, Kind, Verdict},
    tickets::Expired,
};

mod now;
#[cfg(target_os = "linux")]
mod process;

pub use now::Now;
pub use prometheus_text::CONTENT_TYPE;

type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Histograms<const N: usize> = Family<Labels<N>, Histogram>;
type Fraction = Gauge<f64, AtomicU64>;

/// Seconds of requests, of the store and of calls: from what memory takes to what a person notices.
const QUICK: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Seconds of what a person does: reach for the phone, read, tap.
const HUMAN: [f64; 13] = [0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 30.0, 60.0, 120.0, 240.0];

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
    pub fn word(self) -> &'static str {
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

impl From<&Verdict> for Outcome {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Approved { .. } => Self::Approved,
            Verdict::Denied(Denied::ByPerson) => Self::Denied,
            Verdict::Denied(Denied::WrongMatch) => Self::WrongMatch,
            Verdict::Denied(Denied::NotAdmitted) => Self::NotAdmitted,
            Verdict::Denied(Denied::OwnerAsked) => Self::OwnerAsked,
        }
    }
}

/// A step of a sign-in, whose duration is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// From the opening, or the last renewal, to the first scan.
    Scan,
    /// From the scan to the decision.
    Decide,
    /// From the decision to the page's first claim.
    Claim,
    /// From the decision to the redemption by the site.
    Redeem,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Scan, Self::Decide, Self::Claim, Self::Redeem];

    /// As the label names it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Decide => "decide",
            Self::Claim => "claim",
            Self::Redeem => "redeem",
        }
    }
}

/// Which limits were reached, and how often.
#[derive(Clone, Default)]
pub struct Hits(Counters<1>);

impl Hits {
    /// One more was refused by this limit, named as its setting below `[limits]`.
    pub fn hit(&self, limit: &'static str) {
        self.0.get_or_create(&[label("limit", limit)]).inc();
    }
}

/// How long a store takes.
#[derive(Clone)]
pub struct Times(Histograms<1>);

impl Default for Times {
    fn default() -> Self {
        Self(Family::new_with_constructor(quick))
    }
}

impl Times {
    /// A piece of work of this kind ("read", "write"; a write includes its trip to the disk) took so long.
    pub fn took(&self, kind: &'static str, time: Duration) {
        self.0.get_or_create(&[label("kind", kind)]).observe(time.as_secs_f64());
    }
}

/// The calls of WeChat's API: cloned into the client's listener.
#[derive(Clone)]
pub struct Upstream {
    calls: Histograms<1>,
    errors: Counters<2>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self { calls: Family::new_with_constructor(quick), errors: Family::default() }
    }
}

impl Upstream {
    /// One call over the network, as the client tells of it.
    pub fn called(&self, call: &wechat::Call<'_>) {
        let path = || label("path", call.api.path());
        self.calls.get_or_create(&[path()]).observe(call.took.as_secs_f64());
        if let Some(error) = call.error {
            self.errors.get_or_create(&[path(), ("error", word_of(error))]).inc();
        }
    }
}

/// WeChat's errcode, or what kept the answer from coming.
fn word_of(error: &wechat::Error) -> Cow<'static, str> {
    match error {
        wechat::Error::Refused(refusal) => refusal.errcode.to_string().into(),
        wechat::Error::Unreachable { .. } => "unreachable".into(),
        wechat::Error::Unreadable { .. } => "unreadable".into(),
        _ => "other".into(),
    }
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    opened: Counters<1>,
    renewed: Counter,
    scans: Counters<2>,
    sign_ins: Counters<1>,
    site_sign_ins: Counters<1>,
    steps: Histograms<1>,
    /// How often each step was done, and the milliseconds in all: a histogram cannot be read back.
    totals: [[AtomicU64; 2]; 4],
    tokens: Counters<1>,
    refusals: Counters<1>,
    requests: Histograms<3>,
    logouts: Counters<1>,
    gauges: now::Gauges,
}

impl Metrics {
    /// All metrics, each at its beginning, with those that limits, store and client count by themselves.
    pub fn new(limits: &Hits, store: &Times, upstream: &Upstream) -> Self {
        let mut all = Registry::default();
        #[cfg(target_os = "linux")]
        process::register(&mut all);
        let registry = all.sub_registry_with_prefix("saoma");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which saoma runs", build);
        let opened: Counters<1> = Family::default();
        registry.register("tickets_opened", "Tickets opened, by kind", opened.clone());
        let renewed = Counter::default();
        registry.register(
            "tickets_renewed",
            "Tickets that took an older one's place",
            renewed.clone(),
        );
        let scans: Counters<2> = Family::default();
        let help = "Scans that took a ticket, by how the code was opened and by what was asked";
        registry.register("scans", help, scans.clone());
        let sign_ins: Counters<1> = Family::default();
        registry.register("sign_ins", "Sign-ins that ended, by outcome", sign_ins.clone());
        let site_sign_ins: Counters<1> = Family::default();
        let help = "Sign-ins that were approved or remembered, by site";
        registry.register("site_sign_ins", help, site_sign_ins.clone());
        let steps: Histograms<1> = Family::new_with_constructor(|| Histogram::new(HUMAN));
        registry.register("step_seconds", "How long each step of a sign-in takes", steps.clone());
        let tokens: Counters<1> = Family::default();
        let help = "Answers of the token endpoint that gave tokens, by grant";
        registry.register("tokens_issued", help, tokens.clone());
        let refusals: Counters<1> = Family::default();
        registry.register("refusals", "Answers that are errors, by code", refusals.clone());
        let requests: Histograms<3> = Family::new_with_constructor(quick);
        let help = "How long answers take, by method, route and class of status";
        registry.register("http_request_seconds", help, requests.clone());
        let logouts: Counters<1> = Family::default();
        let help = "Tries to tell a site of a login that ended, by outcome";
        registry.register("logouts", help, logouts.clone());
        registry.register("limits_hit", "Refusals by a limit, by limit", limits.0.clone());
        registry.register("store_seconds", "How long the store takes", store.0.clone());
        let help = "How long calls of WeChat's API take, each retry for itself, by path";
        registry.register("wechat_call_seconds", help, upstream.calls.clone());
        let help = "Calls of WeChat's API that went wrong, by path and errcode";
        registry.register("wechat_errors", help, upstream.errors.clone());
        registry.register("panics", "Panics since the start: each is a bug", PANICS.clone());
        let gauges = now::Gauges::in_registry(registry);
        // What has not happened yet is zero, not absent: a rate needs two points.
        for outcome in Outcome::ALL {
            drop(sign_ins.get_or_create(&[label("outcome", outcome.word())]));
        }
        for step in Step::ALL {
            drop(steps.get_or_create(&[label("step", step.word())]));
        }
        Self {
            registry: all,
            opened,
            renewed,
            scans,
            sign_ins,
            site_sign_ins,
            steps,
            totals: Default::default(),
            tokens,
            refusals,
            requests,
            logouts,
            gauges,
        }
    }

    /// A ticket took an older one's place.
    pub fn renewed(&self) {
        self.renewed.inc();
    }

    /// A ticket was opened.
    pub fn opened(&self, kind: Kind) {
        let kind = match kind {
            Kind::Page => "page",
            Kind::OnPhone => "on_phone",
            Kind::Device => "device",
        };
        self.opened.get_or_create(&[label("kind", kind)]).inc();
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

    /// A sign-in at this site ended.
    pub fn ended(&self, site: &str, outcome: Outcome) {
        self.sign_ins.get_or_create(&[label("outcome", outcome.word())]).inc();
        if matches!(outcome, Outcome::Approved | Outcome::Remembered) {
            self.site_sign_ins.get_or_create(&[("site", Cow::from(site.to_owned()))]).inc();
        }
    }

    /// So many tickets ended by the clock.
    pub fn expired(&self, expired: Expired) {
        for (outcome, count) in
            [(Outcome::Expired, expired.unscanned), (Outcome::Undecided, expired.undecided)]
        {
            self.sign_ins.get_or_create(&[label("outcome", outcome.word())]).inc_by(count);
        }
    }

    /// A step of a sign-in took so long.
    pub fn took(&self, step: Step, time: Duration) {
        self.steps.get_or_create(&[label("step", step.word())]).observe(time.as_secs_f64());
        let [count, millis] = self.totals(step);
        count.fetch_add(1, Ordering::Relaxed);
        millis.fetch_add(u64::try_from(time.as_millis()).unwrap_or(0), Ordering::Relaxed);
    }

    /// The token endpoint gave tokens for this grant.
    pub fn issued(&self, grant: &'static str) {
        self.tokens.get_or_create(&[label("grant", grant)]).inc();
    }

    /// An answer was an error of this code.
    pub fn refused(&self, code: &'static str) {
        self.refusals.get_or_create(&[label("code", code)]).inc();
    }

    /// A request was answered: `route` as the route table writes it, `status` as its class ("2xx").
    pub fn answered(
        &self,
        method: &'static str,
        route: &str,
        status: &'static str,
        time: Duration,
    ) {
        let route = ("route", Cow::from(route.to_owned()));
        let labels = [label("method", method), route, label("status", status)];
        self.requests.get_or_create(&labels).observe(time.as_secs_f64());
    }

    /// A site was told of a logout ("told"), will be told again ("failed"), or is told no more ("given_up").
    pub fn told_of_logout(&self, outcome: &'static str) {
        self.logouts.get_or_create(&[label("outcome", outcome)]).inc();
    }

    /// How many sign-ins have ended so since the start.
    pub fn sign_ins(&self, outcome: Outcome) -> u64 {
        self.sign_ins.get_or_create(&[label("outcome", outcome.word())]).get()
    }

    /// How often a step has been done since the start, and how long that took in all.
    pub fn step(&self, step: Step) -> (u64, Duration) {
        let [count, millis] = self.totals(step);
        (count.load(Ordering::Relaxed), Duration::from_millis(millis.load(Ordering::Relaxed)))
    }

    fn totals(&self, step: Step) -> &[AtomicU64; 2] {
        let [scan, decide, claim, redeem] = &self.totals;
        match step {
            Step::Scan => scan,
            Step::Decide => decide,
            Step::Claim => claim,
            Step::Redeem => redeem,
        }
    }

    /// Everything in Prometheus's text format, with what stands now.
    ///
    /// # Errors
    /// If a metric cannot be written down.
    pub fn text(&self, now: &Now) -> Result<String, fmt::Error> {
        self.gauges.show(now);
        let mut text = String::with_capacity(16 * 1024);
        prometheus_text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn label(name: &'static str, value: &'static str) -> (&'static str, Cow<'static, str>) {
    (name, Cow::Borrowed(value))
}

fn quick() -> Histogram {
    Histogram::new(QUICK)
}

/// Panics of the whole process: a hook knows no server.
static PANICS: LazyLock<Counter> = LazyLock::new(Counter::default);

/// From now on panics are counted, and written to the log in its own form.
pub fn count_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PANICS.inc();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        let thread = std::thread::current();
        let trace = std::backtrace::Backtrace::capture();
        tracing::error!(name: "panic", place, thread = thread.name(), %trace, "a bug: {message}; please report it");
    }));
}

#[cfg(test)]
mod tests;
