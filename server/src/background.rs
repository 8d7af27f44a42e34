//! What a running server does by itself: other nodes heard, codes and the token fetched ahead, what is over forgotten, sites
//! told.

use std::{io, time::Duration};

use futures_util::FutureExt as _;
use tokio::task::JoinSet;

use crate::{
    app::{App, SharedApp},
    backchannel, counts, keys,
    metrics::HOUSEKEEPING,
    store::Error::MovedOn,
};

/// How long counts are kept: they name nobody, and a year is compared with the one before it.
const COUNTS_KEPT: Duration = Duration::from_secs(800 * 24 * 3600);

/// A part of the server has panicked, or cannot go on.
#[derive(Debug, thiserror::Error)]
#[error(
    "a part of the server broke ({0}), so it has stopped; start it again, and please report this"
)]
pub struct Broken(String);

/// All of it, each part in a task of its own. Dropping this ends them.
pub(crate) struct Background(JoinSet<io::Result<()>>);

impl Background {
    pub(crate) fn start(app: &SharedApp) -> Self {
        let mut parts = JoinSet::new();
        for kind in HOUSEKEEPING {
            app.metrics.tidied(kind, app.world.now());
        }
        #[cfg(target_os = "linux")]
        parts.spawn(crate::http::attend(app.clone()));
        let (hearing, fetching) = (app.clone(), app.clone());
        parts.spawn(async move { hearing.tickets.attend(&hearing.world).await }.map(Ok));
        parts.spawn(async move { fetching.codes.keep_full(&fetching.world).await }.map(Ok));
        parts.spawn(hold_token(app.clone()).map(Ok));
        parts.spawn(purge(app.clone()).map(Ok));
        parts.spawn(age(app.clone()).map(Ok));
        parts.spawn(look_again(app.clone()).map(Ok));
        parts.spawn(tell(app.clone()).map(Ok));
        Self(parts)
    }

    /// Returns when a part panics or cannot go on. The rest would work as if nothing were missing, while pages wait for what
    /// never comes: better that whoever keeps the server running starts it again.
    pub(crate) async fn breaks(&mut self) -> Broken {
        loop {
            match self.0.join_next().await {
                Some(Err(error)) => return Broken(error.to_string()),
                Some(Ok(Err(error))) => return Broken(error.to_string()),
                // It had nothing to do here.
                Some(Ok(Ok(()))) => {}
                None => std::future::pending().await,
            }
        }
    }
}

/// Takes over within a second what commands and other nodes change of keys and sites, and keeps the next keys ready.
async fn look_again(app: SharedApp) {
    const TEND: Duration = Duration::from_secs(3600);
    let (mut seen, mut tended, mut moved_on) = (None, None, false);
    loop {
        let ran = app.world.ran();
        if tended.is_none_or(|at| ran >= at + TEND) {
            match app.keys.tend(&app.store, &app.world).await {
                Ok(()) => {
                    (seen, tended) = (None, Some(ran));
                    app.metrics.tidied("keys", app.world.now());
                }
                Err(error) => {
                    tracing::error!(name: "keys.untended", %error, "no next signing key could be made")
                }
            }
        }
        match refresh(&app, seen).await {
            Ok(revision) => seen = Some(revision),
            Err(keys::Error::Store(error @ MovedOn(..))) => {
                if !std::mem::replace(&mut moved_on, true) {
                    tracing::error!(name: "store.moved_on", %error, "this server is not ready any more");
                }
            }
            Err(error) => {
                tracing::warn!(name: "refresh.failed", %error, "changes of keys and sites wait")
            }
        }
        app.world.sleep_until(app.world.now() + Duration::from_secs(1)).await;
    }
}

async fn refresh(app: &App, seen: Option<i64>) -> Result<i64, keys::Error> {
    let revision = app.store.revision().await?;
    if seen != Some(revision) {
        app.keys.refresh(&app.store, &app.world).await?;
        app.sites.keep(app.store.sites().await?);
        app.codes.also_for(app.sites.versions());
    }
    Ok(revision)
}

/// Keeps an access token in hand, whether or not anybody comes: who comes after a quiet night should not wait for one, and
/// where no codes are made ahead, a balancer that asks whether people can sign in would let nobody come. It is the client that
/// refreshes what ends, shares it among nodes and rests after what went wrong: asking it often asks WeChat no oftener.
async fn hold_token(app: SharedApp) {
    loop {
        if let Err(error) = app.wechat.access_token().await {
            tracing::warn!(name: "token.missing", %error, "there is no access token; `saoma doctor` names the cause");
        }
        app.world.sleep_until(app.world.now() + Duration::from_secs(30)).await;
    }
}

/// Tells sites of logins that ended.
async fn tell(app: SharedApp) {
    loop {
        if let Err(error) = backchannel::round(&app).await {
            tracing::warn!(name: "logout.waits", %error, "sites are told of logouts later");
        }
        app.world.sleep_until(app.world.now() + Duration::from_secs(1)).await;
    }
}

/// Lets go of what lives in memory or for minutes, and writes down what was counted.
async fn purge(app: SharedApp) {
    loop {
        app.world.sleep_until(app.world.now() + Duration::from_secs(5)).await;
        let now = app.world.now();
        match app.tickets.purge(now).await {
            Ok(expired) => app.metrics.sign_ins.expired(expired),
            Err(error) => {
                tracing::warn!(name: "tickets.purge", %error, "expired tickets stay a while longer")
            }
        }
        app.limits.forget(now);
        if let Err(error) = app.metrics.sign_ins.flush(&app.store).await {
            tracing::warn!(name: "counts.flush", %error, "what was counted waits in memory");
        }
    }
}

/// Forgets what is over or too old in the store. Years of old rows may take it long, and hold up nothing else.
async fn age(app: SharedApp) {
    let mut upkeep = Upkeep::default();
    let mut pause = Duration::from_secs(5);
    loop {
        app.world.sleep_until(app.world.now() + pause).await;
        upkeep.round(&app).await;
        pause = Duration::from_secs(300);
    }
}

/// What forgets goes by a moment of its own, kept in the store, that follows the clock: at once where it was set back, and
/// forward by no more than a day for each hour that a server runs. What a clock that is years ahead for a while would have it
/// delete is not to be had back; after a long stop it is some hours late, and nobody notices.
#[derive(Default)]
struct Upkeep {
    /// When this round and the last aging began, by how long the world has been there.
    began: Duration,
    aged: Option<Duration>,
    is_behind: bool,
}

impl Upkeep {
    /// How much faster than time it may go.
    const HASTE: u32 = 24;

    async fn round(&mut self, app: &App) {
        const AGE: Duration = Duration::from_secs(3600);
        let keep = &app.settings.retention;
        let ran = app.world.ran();
        let passed = ran.saturating_sub(std::mem::replace(&mut self.began, ran));
        let clock = app.world.now();
        let now = match app.store.upkeep(clock, passed.saturating_mul(Self::HASTE)).await {
            Ok(now) => now,
            Err(error) => {
                tracing::warn!(name: "store.upkeep", %error, "old rows stay a while longer");
                return;
            }
        };
        self.tell(clock.since(now));
        match app.store.prune(now).await {
            Ok(()) => app.metrics.tidied("prune", clock),
            Err(error) => {
                tracing::warn!(name: "store.prune", %error, "old rows stay a while longer")
            }
        }
        if self.aged.is_none_or(|at| ran >= at + AGE) {
            self.aged = Some(ran);
            let aged = app.store.age(now.before(keep.network), now.before(keep.audit)).await;
            match aged {
                Ok(()) => app.metrics.tidied("age", clock),
                Err(error) => {
                    tracing::warn!(name: "store.age", %error, "old addresses stay a while longer")
                }
            }
            let old = counts::hour(now.before(COUNTS_KEPT));
            match app.store.forget_counts(old).await {
                Ok(()) => app.metrics.tidied("counts", clock),
                Err(error) => {
                    tracing::warn!(name: "counts.forget", %error, "old counts stay a while longer")
                }
            }
        }
    }

    /// Says once when the clock is far ahead.
    fn tell(&mut self, behind: Duration) {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let was_behind = std::mem::replace(&mut self.is_behind, behind > DAY);
        if self.is_behind && !was_behind {
            let hours = behind.as_secs() / 3600;
            tracing::warn!(name: "upkeep.behind", hours,
                "the clock is that far past what was last forgotten by: if saoma was off for so long all is well, else set the clock right; what is old goes by a day for each hour of running");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_breaks_is_noticed_and_one_that_has_nothing_to_do_is_not() {
        let mut parts = JoinSet::new();
        parts.spawn(std::future::ready(Ok(())));
        parts.spawn(std::future::pending());
        let mut background = Background(parts);
        assert!(futures_util::poll!(std::pin::pin!(background.breaks())).is_pending());
        background.0.spawn(async { panic!("on purpose") });
        assert!(background.breaks().await.to_string().contains("on purpose"));
        background.0.spawn(std::future::ready(Err(io::Error::other("no more"))));
        assert!(background.breaks().await.to_string().contains("no more"));
    }

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// A server with a line in its audit log, after its first round.
    async fn kept(folder: &std::path::Path) -> (SharedApp, Upkeep) {
        let (app, _) = crate::fuzz::set(folder).await;
        let mut upkeep = Upkeep::default();
        upkeep.round(&app).await;
        note(&app, "test.line").await;
        (app, upkeep)
    }

    async fn note(app: &App, what: &str) {
        let entry = crate::audit::Entry::of_operator(app.world.now(), what, "test");
        app.store.audit(entry).await.unwrap();
    }

    async fn has(app: &App, what: &str) -> bool {
        let since = crate::world::Timestamp::from_millis(0);
        let lines = app.store.audit_since(since, 99).await.unwrap();
        lines.iter().any(|line| line.what == what)
    }

    #[tokio::test]
    async fn a_clock_that_is_years_ahead_for_an_hour_takes_nothing_along() {
        let folder = tempfile::tempdir().unwrap();
        let (app, mut upkeep) = kept(folder.path()).await;
        app.world.set_forward(1000 * DAY);
        for _ in 0..12 {
            app.world.advance(Duration::from_secs(300));
            upkeep.round(&app).await;
        }
        // And a process that began with it.
        Upkeep::default().round(&app).await;
        assert!(has(&app, "test.line").await);
    }

    #[tokio::test]
    async fn what_is_old_goes_some_time_after_a_server_was_off_for_years() {
        let folder = tempfile::tempdir().unwrap();
        let (app, mut upkeep) = kept(folder.path()).await;
        app.world.set_forward(1000 * DAY);
        for _ in 0..42 {
            app.world.advance(DAY);
            upkeep.round(&app).await;
        }
        assert!(!has(&app, "test.line").await);
    }

    #[tokio::test]
    async fn what_is_old_goes_though_the_clock_was_ahead_before() {
        let folder = tempfile::tempdir().unwrap();
        let (app, mut upkeep) = kept(folder.path()).await;
        app.world.set_forward(1000 * DAY);
        app.world.advance(Duration::from_secs(3600));
        upkeep.round(&app).await;
        app.world.set_back(2000 * DAY);
        note(&app, "test.old").await;
        app.world.set_forward(1000 * DAY);
        app.world.advance(Duration::from_secs(3600));
        upkeep.round(&app).await;
        assert!(has(&app, "test.line").await && !has(&app, "test.old").await);
    }
}
