//! A running server: its listeners, its work in the background, and how it stops.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::Router;
use tokio::net::TcpListener;
use wechat::Client;

use crate::{
    app::{App, SharedApp},
    backchannel,
    codes::Codes,
    config::{EnvVersion, Settings, TokenEndpoint},
    counts, http,
    keys::{self, Keys},
    limits::{Limits, Places},
    metrics::{Metrics, Upstream},
    neighbours::Neighbours,
    region::Regions,
    site::Sites,
    store::{self, SharedStore},
    ticket::Stage,
    tickets::{self, SharedTickets},
    tls::Tls,
    waiting::Waiting,
    world::World,
};

/// Open connections at the operators' listener: consoles and monitors.
const OPERATORS: usize = 256;

/// How long counts are kept: they name nobody, and a year is compared with the one before it.
const COUNTS_KEPT: Duration = Duration::from_secs(800 * 24 * 3600);

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The ticket store.
    #[error(transparent)]
    Tickets(#[from] tickets::Error),
    /// The file of regions.
    #[error("{0}")]
    Regions(String),
    /// The signing keys.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The client of WeChat's API.
    #[error("WeChat cannot be called: {0}")]
    Wechat(#[from] wechat::BuildError),
}

/// Puts a server together from its settings and its stores, and takes up the tickets that waited when the last one stopped.
///
/// # Errors
/// If a store does not answer, keys cannot be opened, or the settings of WeChat's API cannot be used.
pub async fn assemble(
    settings: Settings,
    world: World,
    store: SharedStore,
    tickets: SharedTickets,
    waiting: Arc<Waiting>,
) -> Result<SharedApp, Error> {
    if settings.keys.secret.is_empty() && !settings.is_loopback() {
        tracing::warn!(name: "keys.plain", "signing keys are stored plain; set keys.secret to encrypt them");
    }
    let keys = Keys::load(&store, &settings.keys.secret, settings.keys.rotate, &world).await?;
    let upstream = Upstream::default();
    let wechat = client_of(&settings, &tickets, &upstream)?;
    let versions: BTreeSet<EnvVersion> =
        settings.sites.iter().filter_map(|site| site.env_version).collect();
    let codes = Codes::new(wechat.clone(), settings.wechat.clone(), versions)
        .at_most(if settings.limits.off { u32::MAX } else { settings.limits.codes });
    let sites = Sites::new(settings.sites.clone(), &settings.public_url);
    sites.keep(store.sites().await?);
    for parked in store.unpark().await? {
        // Whose phone was answered in the very moment of the stop is known by its decision.
        let is_decided = match parked.ticket.stage {
            Stage::Waiting => false,
            Stage::Scanned(_) => store.decision_by_ticket(parked.ticket.id).await?.is_some(),
        };
        if !is_decided {
            tickets.put(parked.ticket, parked.picture).await?;
        }
    }
    tickets.purge(world.now()).await?;
    let limits = Limits::new(&settings.limits);
    let metrics = Metrics::new(limits.hits(), store.times(), &upstream);
    let regions = Regions::open(&settings.region_db).map_err(Error::Regions)?;
    Ok(Arc::new(App {
        settings,
        world,
        store,
        tickets,
        waiting,
        wechat,
        codes,
        keys,
        sites,
        limits,
        regions,
        neighbours: Neighbours::default(),
        metrics,
    }))
}

/// The client of WeChat's API that the settings name.
fn client_of(
    settings: &Settings,
    tickets: &SharedTickets,
    upstream: &Upstream,
) -> Result<Client, wechat::BuildError> {
    let endpoint = match settings.wechat.token {
        TokenEndpoint::Stable => wechat::TokenEndpoint::Stable,
        TokenEndpoint::Plain => wechat::TokenEndpoint::Plain,
    };
    let heard = upstream.clone();
    let wechat = Client::builder(&settings.wechat.appid, settings.wechat.secret.reveal())
        .base_url(&settings.wechat.base_url)
        .token_endpoint(endpoint)
        .on_call(move |call| heard.called(call));
    // Only what speaks like WeChat on this machine makes more codes than it does.
    let wechat = if settings.limits.off { wechat.unlimited_a_minute(u32::MAX) } else { wechat };
    match tickets.token_store() {
        Some(shared) => wechat.token_store(shared).build(),
        None => wechat.build(),
    }
}

/// Serves `public`, usually [`http::public`], until `stop` is done, then writes down what still waits.
///
/// # Errors
/// If what waits cannot be written down, or TLS cannot be set up for WeChat's API.
pub async fn run(
    app: SharedApp,
    listener: TcpListener,
    public: Router,
    operators: Option<TcpListener>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    run_behind(app, None, listener, public, operators, stop).await
}

/// The same behind TLS, where that is given.
///
/// # Errors
/// As [`run`].
pub async fn run_behind(
    app: SharedApp,
    tls: Option<Tls>,
    listener: TcpListener,
    public: Router,
    operators: Option<TcpListener>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    let wait = |mut stopped: tokio::sync::watch::Receiver<bool>| async move {
        // The sender outlives every listener.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let background = tokio::spawn(work(app.clone()));
    let door = |places| http::Door::new(&app.settings, places);
    let operators = operators.map(|listener| {
        // A flood at the public door must not keep the operators out.
        let own = door(Arc::new(Places::new(OPERATORS, OPERATORS)));
        let router = http::operators(app.clone());
        tokio::spawn(http::serve_at(own, listener, router, wait(stopped.clone())))
    });
    let signal = async {
        let ended = tokio::select! {
            () = stop => Ok(()),
            error = set_up(&app) => Err(error),
        };
        stopping.send_replace(true);
        ended
    };
    let sockets = door(app.limits.sockets.clone()).with_tls(tls);
    let serving = http::serve_at(sockets, listener, public, wait(stopped));
    let (ended, ()) = tokio::join!(signal, serving);
    background.abort();
    // Beside what is written down: neither waits for the other.
    #[cfg(target_os = "linux")]
    let farewell = tokio::task::spawn_blocking({
        let waiting = app.waiting.clone();
        move || {
            if let Some(parked) = waiting.parked() {
                parked.close_all();
            }
        }
    });
    if let Some(operators) = operators {
        // It was told to stop with the other; a panic in it has been logged.
        let _ = operators.await;
    }
    app.metrics.sign_ins.flush(&app.store).await?;
    app.store.park(app.tickets.park().await?).await?;
    #[cfg(target_os = "linux")]
    let _ = farewell.await;
    ended
}

/// Does beside the first requests what none of them should have to wait for. Returns only with what a server cannot do
/// without.
async fn set_up(app: &App) -> Error {
    if let Err(error) = app.wechat.ready().await {
        return error.into();
    }
    drop(tokio::task::spawn_blocking(keys::warm_up));
    std::future::pending().await
}

/// What goes on by itself: other nodes heard, codes fetched ahead, and what is over forgotten.
async fn work(app: SharedApp) {
    #[cfg(target_os = "linux")]
    let attending = http::attend(app.clone());
    #[cfg(not(target_os = "linux"))]
    let attending = std::future::ready(());
    tokio::join!(
        attending,
        app.tickets.attend(&app.world),
        app.codes.keep_full(&app.world),
        forget(&app),
        look_again(&app),
        tell(&app)
    );
}

/// Takes over within a second what commands and other nodes change of keys and sites, and keeps the next keys ready.
async fn look_again(app: &App) {
    const TEND: Duration = Duration::from_secs(3600);
    let (mut seen, mut tended) = (None, None);
    loop {
        let now = app.world.now();
        if tended.is_none_or(|at| now.since(at) >= TEND) {
            match app.keys.tend(&app.store, &app.world).await {
                Ok(()) => (seen, tended) = (None, Some(now)),
                Err(error) => {
                    tracing::error!(name: "keys.untended", %error, "no next signing key could be made")
                }
            }
        }
        match refresh(app, seen).await {
            Ok(revision) => seen = Some(revision),
            Err(error) => {
                tracing::warn!(name: "refresh.failed", %error, "changes of keys and sites wait")
            }
        }
        app.world.sleep_until(app.world.now() + Duration::from_secs(1)).await;
    }
}

async fn refresh(app: &App, seen: Option<i64>) -> Result<i64, Error> {
    let revision = app.store.revision().await?;
    if seen != Some(revision) {
        app.keys.refresh(&app.store, &app.world).await?;
        app.sites.keep(app.store.sites().await?);
    }
    Ok(revision)
}

/// Tells sites of logins that ended.
async fn tell(app: &App) {
    loop {
        if let Err(error) = backchannel::round(app).await {
            tracing::warn!(name: "logout.waits", %error, "sites are told of logouts later");
        }
        app.world.sleep_until(app.world.now() + Duration::from_secs(1)).await;
    }
}

async fn forget(app: &App) {
    let keep = &app.settings.retention;
    let (mut prune, mut age) = (app.world.now(), app.world.now());
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
        if now >= prune {
            prune = now + Duration::from_secs(300);
            if let Err(error) = app.store.prune(now).await {
                tracing::warn!(name: "store.prune", %error, "old rows stay a while longer");
            }
        }
        if now >= age {
            age = now + Duration::from_secs(3600);
            let aged = app.store.age(now.before(keep.network), now.before(keep.audit)).await;
            if let Err(error) = aged {
                tracing::warn!(name: "store.age", %error, "old addresses stay a while longer");
            }
            let old = counts::hour(now.before(COUNTS_KEPT));
            if let Err(error) = app.store.forget_counts(old).await {
                tracing::warn!(name: "counts.forget", %error, "old counts stay a while longer");
            }
        }
    }
}
