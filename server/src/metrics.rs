//! What is counted, for those who watch a server from outside.
//!
//! Each thing that happens has one method here, called where it happens; what stands at a moment is asked for when somebody
//! looks (`now.rs`). Counting takes a read lock and an atomic addition, and never waits. docs/metrics.md names and explains
//! every metric, and a test keeps it so. No label ever names a person, an address or a secret.

use std::{
    borrow::Cow,
    fmt,
    sync::{LazyLock, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::prometheus_text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

use crate::world::Timestamp;

mod now;
#[cfg(target_os = "linux")]
mod process;
mod sign_ins;

pub use now::Now;
pub use prometheus_text::CONTENT_TYPE;
pub use sign_ins::{Outcome, SignIns};

type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Histograms<const N: usize> = Family<Labels<N>, Histogram>;
type Fraction = Gauge<f64, AtomicU64>;

/// Seconds of requests, of the store and of calls: from what memory takes to what a person notices.
const QUICK: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

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
    /// What happens on the way of a sign-in.
    pub sign_ins: SignIns,
    refusals: Counters<1>,
    requests: Histograms<3>,
    logouts: Counters<1>,
    housekeeping: Family<Labels<1>, Gauge>,
    certificate: Ends,
    gauges: now::Gauges,
}

/// What a server does by itself so that it can go on, and nobody notices for weeks when it does not.
pub const HOUSEKEEPING: [&str; 4] = ["prune", "age", "counts", "keys"];

/// When the certificate ends that is served.
#[derive(Debug, Clone, Default)]
pub struct Ends(Gauge);

impl Ends {
    /// It is served until then, in seconds of Unix time.
    pub fn at(&self, seconds: i64) {
        self.0.set(seconds);
    }
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
        let sign_ins = SignIns::in_registry(registry);
        let refusals: Counters<1> = Family::default();
        registry.register("refusals", "Answers that are errors, by code", refusals.clone());
        let requests: Histograms<3> = Family::new_with_constructor(quick);
        let help = "How long answers take, by method, route and class of status";
        registry.register("http_request_seconds", help, requests.clone());
        let logouts: Counters<1> = Family::default();
        let help = "Tries to tell a site of a login that ended, by outcome";
        registry.register("logouts", help, logouts.clone());
        // As in `sign_ins.rs`: the first one given up would go unseen.
        for outcome in ["told", "failed", "given_up"] {
            drop(logouts.get_or_create(&[label("outcome", outcome)]));
        }
        let housekeeping: Family<Labels<1>, Gauge> = Family::default();
        let help = "When what a server does by itself was last done, by kind, in Unix time";
        registry.register("housekeeping_done_seconds", help, housekeeping.clone());
        let certificate = Ends::default();
        let help = "When the certificate ends that was served last, in Unix time; 0 where none was";
        registry.register("tls_not_after_seconds", help, certificate.0.clone());
        registry.register("limits_hit", "Refusals by a limit, by limit", limits.0.clone());
        registry.register("store_seconds", "How long the store takes", store.0.clone());
        let help = "How long calls of WeChat's API take, each retry for itself, by path";
        registry.register("wechat_call_seconds", help, upstream.calls.clone());
        let help = "Calls of WeChat's API that went wrong, by path and errcode";
        registry.register("wechat_errors", help, upstream.errors.clone());
        registry.register("panics", "Panics since the start: each is a bug", PANICS.clone());
        let gauges = now::Gauges::in_registry(registry);
        Self {
            registry: all,
            sign_ins,
            refusals,
            requests,
            logouts,
            housekeeping,
            certificate,
            gauges,
        }
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

    /// One of [`HOUSEKEEPING`] is done; at a start as if all of them were: they are due later.
    pub fn tidied(&self, kind: &'static str, now: Timestamp) {
        self.housekeeping.get_or_create(&[label("kind", kind)]).set(now.seconds());
    }

    /// For who serves a certificate.
    pub fn certificate(&self) -> Ends {
        self.certificate.clone()
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
