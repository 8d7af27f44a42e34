//! A running server: how it is put together, its listeners, and how it stops.

use std::sync::Arc;

use axum::Router;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join},
};
use tokio::net::TcpListener;
use wechat::Client;

use crate::{
    app::{App, SharedApp},
    background::{self, Background},
    codes::Codes,
    config::Settings,
    http,
    keys::{self, Keys},
    limits::{Limits, Places},
    metrics::{Metrics, Upstream},
    neighbours::Neighbours,
    region::Regions,
    site::Sites,
    store::{self, SharedStore},
    ticket::Stage,
    tickets::{self, Parked, SharedTickets},
    tls::{self, Tls},
    waiting::Waiting,
    world::World,
};

/// How many tickets are written down or taken up at once: a million must not need their room twice, and what cannot be
/// written down is not to be many.
const SHEAF: u32 = 512;

/// Open connections at the operators' listener: consoles and monitors.
const OPERATORS: usize = 256;

/// Why a server cannot start, or stops by itself.
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
    /// What it does by itself.
    #[error(transparent)]
    Broken(#[from] background::Broken),
}

/// Puts a server together from its settings and its stores.
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
    let keys = Keys::load(&store, &settings.keys, &world).await?;
    if !settings.is_loopback() && !keys::plain(&store).await?.is_empty() {
        tracing::warn!(name: "keys.plain", "signing keys are stored plain; set keys.secret to encrypt them");
    }
    let upstream = Upstream::default();
    let wechat = client_of(&settings, &tickets, &upstream)?;
    for site in settings.sites.iter().filter(|site| site.has_short_secret()) {
        if !settings.is_loopback() {
            tracing::warn!(name: "site.secret_short", site = site.id,
                "its secret has less than 32 characters and may be guessed; write the output of `openssl rand -hex 32`");
        }
    }
    let sites = Sites::new(settings.sites.clone(), &settings.public_url);
    sites.keep(store.sites().await?);
    let codes = Codes::new(wechat.clone(), settings.wechat.clone(), sites.versions())
        .at_most(if settings.limits.off { u32::MAX } else { settings.limits.codes });
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

/// What a server would stumble over in the files that its settings name.
pub fn check_files(settings: &Settings) -> Vec<String> {
    let regions = Regions::open(&settings.region_db).map(drop);
    [regions, tls::check(settings)].into_iter().filter_map(Result::err).collect()
}

/// Takes up the tickets that waited when the last server stopped: the next ones are read while these find their places.
/// Those that find none are written down again, for the next start.
async fn take_up(store: &SharedStore, tickets: &SharedTickets) -> Result<(), Error> {
    let mut sheaf = store.unpark(SHEAF).await?;
    while !sheaf.is_empty() {
        let (next, put) = join(store.unpark(SHEAF), put_all(store, tickets, &sheaf)).await;
        sheaf = match (next, put) {
            (Ok(next), Ok(())) => next,
            (next, put) => {
                let mut homeless = if put.is_err() { sheaf } else { Vec::new() };
                let read = next.map(|next| homeless.extend(next));
                store.park(homeless).await?;
                return put.and(read.map_err(Error::from));
            }
        };
    }
    Ok(())
}

async fn put_all(
    store: &SharedStore,
    tickets: &SharedTickets,
    sheaf: &[Parked],
) -> Result<(), Error> {
    for Parked { ticket, picture } in sheaf {
        // Whose phone was answered in the very moment of the stop is known by its decision.
        let is_decided = match ticket.stage {
            Stage::Waiting => false,
            Stage::Scanned(_) => store.decision_by_ticket(ticket.id).await?.is_some(),
        };
        // What was written once more in doubt may be there twice.
        if !is_decided && tickets.by_id(ticket.id).await?.is_none() {
            tickets.put(ticket.clone(), picture.clone()).await?;
        }
    }
    Ok(())
}

/// Writes down what still waits, for the next server: the next ones are gathered while these are written.
async fn write_down(app: &App) -> Result<(), Error> {
    let next = || async { Ok(app.tickets.park(SHEAF).await?) }.boxed();
    let write = |sheaf| async move { Ok(app.store.park(sheaf).await?) }.boxed();
    write_all(next, write).await
}

/// The same for whatever gives sheaves and writes them. One that cannot be written is tried once more, and takes no other
/// along; where the next one cannot be written either, the store is away. Returns the first error that stayed one.
async fn write_all<'a>(
    next: impl Fn() -> BoxFuture<'a, Result<Vec<Parked>, Error>>,
    write: impl Fn(Vec<Parked>) -> BoxFuture<'a, Result<(), Error>>,
) -> Result<(), Error> {
    let (mut sheaf, mut done, mut is_away) = (next().await?, Ok(()), false);
    while !sheaf.is_empty() {
        let twice = async {
            match write(sheaf.clone()).await {
                Ok(()) => Ok(()),
                Err(_) => write(sheaf).await,
            }
        };
        let (written, gathered) = join(twice, next()).await;
        let was_away = std::mem::replace(&mut is_away, written.is_err());
        done = done.and(written);
        if was_away && is_away {
            return done;
        }
        sheaf = gathered?;
    }
    done
}

/// The client of WeChat's API that the settings name.
fn client_of(
    settings: &Settings,
    tickets: &SharedTickets,
    upstream: &Upstream,
) -> Result<Client, wechat::BuildError> {
    let heard = upstream.clone();
    let wechat = Client::builder(&settings.wechat.appid, settings.wechat.secret.reveal())
        .base_url(&settings.wechat.base_url)
        .token_endpoint(settings.wechat.token)
        .on_call(move |call| heard.called(call));
    // Only what speaks like WeChat on this machine makes more codes than it does.
    let wechat = if settings.limits.off { wechat.unlimited_a_minute(u32::MAX) } else { wechat };
    match tickets.token_store() {
        Some(shared) => wechat.token_store(shared).build(),
        None => wechat.build(),
    }
}

/// Where a server is reached.
pub struct Doors {
    /// By everybody.
    pub public: TcpListener,
    /// What is answered there, usually [`http::public`].
    pub router: Router,
    /// How that is encrypted, where no proxy does it.
    pub tls: Option<Tls>,
    /// By operators.
    pub operators: Option<TcpListener>,
}

/// Takes up the tickets that waited when the last server stopped, says that it is `ready`, serves until `stop` is done, then
/// writes down what still waits.
///
/// # Errors
/// If what waits cannot be taken up or written down, TLS cannot be set up for WeChat's API, or a part of the server broke.
pub async fn run(
    app: SharedApp,
    doors: Doors,
    ready: impl FnOnce(),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let Doors { public, router, tls, operators } = doors;
    // Not before all that can refuse a start has had its say: what is taken up is written down at the stop of a server that
    // ran.
    if let Err(error) = take_up(&app.store, &app.tickets).await {
        // Those that had found a place in this process's memory, too.
        return write_down(&app).await.and(Err(error));
    }
    app.tickets.purge(app.world.now()).await?;
    ready();
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    let wait = |mut stopped: tokio::sync::watch::Receiver<bool>| async move {
        // The sender outlives every listener.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let mut background = Background::start(&app);
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
            broken = background.breaks() => Err(broken.into()),
        };
        stopping.send_replace(true);
        ended
    };
    let sockets = door(app.limits.sockets.clone()).with_tls(tls);
    let serving = http::serve_at(sockets, public, router, wait(stopped));
    let (ended, ()) = tokio::join!(signal, serving);
    drop(background);
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
    if let Err(error) = app.metrics.sign_ins.flush(&app.store).await {
        tracing::warn!(name: "counts.flush", %error, "what was counted last is lost");
    }
    let written = write_down(&app).await;
    #[cfg(target_os = "linux")]
    let _ = farewell.await;
    // Why it stopped comes first.
    ended.and(written)
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{tickets::contract::ticket, world::Timestamp};

    /// What is written down of six sheaves where the writes of these numbers fail, and whether that was told.
    async fn written(fail: &[usize]) -> (Vec<String>, bool) {
        let waiting = Mutex::new(('a'..='f').rev().collect::<Vec<_>>());
        let (tries, down) = (Mutex::new(0), Mutex::new(Vec::new()));
        let next = || {
            let name = waiting.lock().unwrap().pop();
            let parked = |name: char| Parked {
                ticket: ticket(&name.to_string(), Timestamp::from_millis(0)),
                picture: None,
            };
            async move { Ok(name.map(parked).into_iter().collect()) }.boxed()
        };
        let write = |sheaf: Vec<Parked>| {
            let mut tries = tries.lock().unwrap();
            *tries += 1;
            let fails = fail.contains(&*tries);
            if !fails {
                let scenes = sheaf.into_iter().map(|one| one.ticket.scene.replace("scene-", ""));
                down.lock().unwrap().extend(scenes);
            }
            let failed = || store::Error::Away("on purpose".to_owned()).into();
            async move { if fails { Err(failed()) } else { Ok(()) } }.boxed()
        };
        let done = write_all(next, write).await.is_ok();
        (down.into_inner().unwrap(), done)
    }

    #[tokio::test]
    async fn a_sheaf_that_cannot_be_written_down_takes_no_other_along() {
        let all = ["a", "b", "c", "d", "e", "f"];
        assert_eq!(written(&[]).await, (all.map(str::to_owned).into(), true));
        let (down, done) = written(&[2, 5]).await;
        assert_eq!((down, done), (all.map(str::to_owned).into(), true), "each at the second try");
        let (down, done) = written(&[2, 3, 6, 7]).await;
        assert_eq!((down, done), (["a", "c", "d", "f"].map(str::to_owned).into(), false));
        let (down, done) = written(&[2, 3, 4, 5, 6, 7]).await;
        assert_eq!(
            (down, done),
            (vec!["a".to_owned()], false),
            "nobody waits for a store that is away"
        );
    }

    #[tokio::test]
    async fn what_cannot_be_taken_up_is_there_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saoma.db");
        let store: SharedStore = Arc::new(store::sqlite::Sqlite::open(&path).unwrap());
        let scanned = |name: &str| {
            let mut ticket = ticket(name, Timestamp::from_millis(0));
            let identity = crate::person::Identity {
                appid: "wx1".to_owned(),
                openid: "ann".to_owned(),
                unionid: None,
            };
            let risk = crate::risk::Risk {
                ask: crate::risk::Ask::Tap,
                level: crate::risk::Level::Low,
                why: [].into(),
            };
            let token = crate::secret::Hashed::of(name);
            let scan = crate::ticket::Scan { identity, token, risk, number: None, face: None };
            ticket.stage = Stage::Scanned(Box::new(scan));
            Parked { ticket, picture: None }
        };
        let count = SHEAF + 1;
        let parked = (0..count).map(|n| scanned(&n.to_string())).collect();
        store.park(parked).await.unwrap();
        let tickets: SharedTickets = Arc::new(crate::tickets::memory::Memory::new(Arc::default()));
        let beside = rusqlite::Connection::open(&path).unwrap();
        beside.execute_batch("ALTER TABLE decisions RENAME TO away").unwrap();
        assert!(take_up(&store, &tickets).await.is_err());
        beside.execute_batch("ALTER TABLE away RENAME TO decisions").unwrap();
        take_up(&store, &tickets).await.unwrap();
        assert_eq!(tickets.how_many().await.unwrap(), usize::try_from(count).unwrap());
    }
}
