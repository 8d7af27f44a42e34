//! What stands at one moment: read when somebody asks, so that nobody has to keep it up to date.

use std::{collections::BTreeMap, time::Duration};

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use wechat::{QuotaUse, TokenStatus};

use super::{Family, Fraction, Labels, label};
use crate::{app::App, config::EnvVersion, store};

/// A server at one moment.
pub struct Now {
    /// Tickets whose pages wait.
    pub waiting_pages: usize,
    /// Tickets in the short-lived store; none where it does not answer.
    pub tickets_held: Option<usize>,
    /// Open connections at the public listener, and how many may be.
    pub connections: (usize, usize),
    /// Mini program codes that lie ready for each of its versions.
    pub codes: BTreeMap<EnvVersion, usize>,
    /// How many should, for each.
    pub codes_wanted: usize,
    /// The access token.
    pub token: TokenStatus,
    /// WeChat's quotas, by our own count.
    pub quota: QuotaUse,
    /// Whether the store answers.
    pub store: bool,
    /// That a newer saoma has changed the store's schema, and what to do.
    pub moved_on: Option<String>,
}

impl Now {
    /// Looks.
    pub async fn of(app: &App) -> Self {
        let (store, tickets, held) =
            tokio::join!(app.store.ping(), app.tickets.ping(), app.tickets.how_many());
        Self {
            waiting_pages: app.waiting.len(),
            tickets_held: tickets.and(held).ok(),
            connections: (app.limits.sockets.taken_in_all(), app.limits.sockets.in_all()),
            codes: app.codes.levels(),
            codes_wanted: app.settings.wechat.pool,
            token: app.wechat.token_status(),
            quota: app.wechat.quota(),
            store: store.is_ok(),
            // What else is wrong with a store may name files, and anybody may ask.
            moved_on: store
                .err()
                .filter(|error| matches!(error, store::Error::MovedOn(..)))
                .map(|error| error.to_string()),
        }
    }

    /// Whether there is a token, or a code in hand, which rides out an upstream that is away.
    pub fn wechat(&self) -> bool {
        self.token.present || self.codes.values().any(|ready| *ready > 0)
    }

    /// Whether people can sign in: the stores answer, and there is something to go on with.
    pub fn is_ready(&self) -> bool {
        self.store && self.tickets_held.is_some() && self.wechat()
    }
}

/// The same as metrics.
pub(super) struct Gauges {
    waiting_pages: Gauge,
    tickets_held: Gauge,
    connections: Gauge,
    connections_max: Gauge,
    codes_ready: Family<Labels<1>, Gauge>,
    codes_wanted: Family<Labels<1>, Gauge>,
    token_age: Fraction,
    token_left: Fraction,
    codes_last_minute: Gauge,
    codes_for_ever: Gauge,
    ready: Family<Labels<1>, Gauge>,
}

impl Gauges {
    pub(super) fn in_registry(registry: &mut Registry) -> Self {
        let mut whole = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let waiting_pages = whole("waiting_pages", "Tickets whose pages wait");
        let tickets_held = whole("tickets_held", "Tickets in the short-lived store");
        let connections = whole("connections", "Open connections at the public listener");
        let help = "How many connections may be open there";
        let connections_max = whole("connections_max", help);
        let help = "Codes asked of WeChat in the last minute, of 5000";
        let codes_last_minute = whole("wechat_codes_last_minute", help);
        let help = "Codes A and C used, of 100000 for ever";
        let codes_for_ever = whole("wechat_codes_for_ever", help);
        let mut fraction = |name: &str, help: &str| {
            let gauge = Fraction::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let token_age = fraction("wechat_token_age_seconds", "Age of the access token");
        let help = "How long the access token is still good; 0 where there is none";
        let token_left = fraction("wechat_token_left_seconds", help);
        let mut labelled = |name: &str, help: &str| {
            let gauges: Family<Labels<1>, Gauge> = Family::default();
            registry.register(name, help, gauges.clone());
            gauges
        };
        let help = "Mini program codes that lie ready, by its version";
        let codes_ready = labelled("codes_ready", help);
        let codes_wanted = labelled("codes_wanted", "How many should lie ready, by version");
        let ready = labelled("ready", "1 for each part that is ready, as /readyz says");
        Self {
            waiting_pages,
            tickets_held,
            connections,
            connections_max,
            codes_ready,
            codes_wanted,
            token_age,
            token_left,
            codes_last_minute,
            codes_for_ever,
            ready,
        }
    }

    pub(super) fn show(&self, now: &Now) {
        let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64();
        self.waiting_pages.set(whole(now.waiting_pages));
        self.tickets_held.set(whole(now.tickets_held.unwrap_or_default()));
        self.connections.set(whole(now.connections.0));
        self.connections_max.set(whole(now.connections.1));
        for (version, ready) in &now.codes {
            let version = [label("version", version.as_str())];
            self.codes_ready.get_or_create(&version).set(whole(*ready));
            self.codes_wanted.get_or_create(&version).set(whole(now.codes_wanted));
        }
        self.token_age.set(seconds(now.token.age));
        self.token_left.set(seconds(now.token.left));
        self.codes_last_minute.set(i64::from(now.quota.last_minute()));
        let for_ever = now.quota.for_ever_used.unwrap_or(0).max(now.quota.for_ever_asked);
        self.codes_for_ever.set(i64::try_from(for_ever).unwrap_or(i64::MAX));
        for (part, ready) in [
            ("store", now.store),
            ("tickets", now.tickets_held.is_some()),
            ("wechat", now.wechat()),
        ] {
            self.ready.get_or_create(&[label("part", part)]).set(i64::from(ready));
        }
    }
}
