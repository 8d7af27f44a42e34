//! Everything in one process, to play with: the pretend WeChat, saoma with its console, a demo site, and a phone to hold.
//!
//! Each speaks real HTTP on a port of its own, as it would on machines of its own.

use std::{io::Write, path::Path, sync::Arc, time::Duration};

use tokio::net::TcpListener;
use wechat::pretend::{self, Pretend};

use crate::{
    app::SharedApp,
    config::{Faults, Settings},
    http,
    world::World,
};

pub mod actors;
mod demo;
pub mod once;
mod screen;

/// An AppID that WeChat never gave anybody.
pub const APPID: &str = "wx0000000000000000";
const SECRET: &str = "a pretend secret";

/// What is said to who would try saoma out with an account of theirs.
pub const REAL_APPID: &str = "`try` plays with a pretend WeChat and takes no real AppID; remove wechat.appid, or run `saoma serve`";

/// Where everything listens.
pub struct Stage {
    /// saoma.
    pub saoma: TcpListener,
    /// The pretend WeChat, and the phone.
    pub wechat: TcpListener,
    /// The demo site.
    pub demo: TcpListener,
    /// The operators' listener, with the console.
    pub console: TcpListener,
}

impl Stage {
    /// Listens on 127.0.0.1: on these ports, or on any that are free where a port is 0.
    ///
    /// # Errors
    /// If a port is taken, with what to do about it.
    pub async fn open(ports: [u16; 4]) -> Result<Self, String> {
        let [saoma, wechat, demo, console] = ports;
        Ok(Self {
            saoma: listen(saoma).await?,
            wechat: listen(wechat).await?,
            demo: listen(demo).await?,
            console: listen(console).await?,
        })
    }

    /// What saoma runs by on this stage: the settings of `file`, if there is one, with their sites beside the demo, but
    /// for where saoma is reached, which WeChat it speaks to, and what it would keep elsewhere.
    ///
    /// # Errors
    /// What is wrong with the file; a real AppID in it, too.
    pub fn settings(&self, file: Option<&Path>, more: &[(&str, &str)]) -> Result<Settings, Faults> {
        if file.is_some_and(names_an_appid) {
            return Err(REAL_APPID.to_owned().into());
        }
        let console = url(&self.console);
        let own = [
            ("SAOMA_PUBLIC_URL".to_owned(), url(&self.saoma)),
            ("SAOMA_LISTEN".to_owned(), url(&self.saoma).trim_start_matches("http://").to_owned()),
            ("SAOMA_ADMIN_LISTEN".to_owned(), console.trim_start_matches("http://").to_owned()),
            ("SAOMA_WECHAT__APPID".to_owned(), APPID.to_owned()),
            ("SAOMA_WECHAT__SECRET".to_owned(), SECRET.to_owned()),
            ("SAOMA_WECHAT__BASE_URL".to_owned(), url(&self.wechat)),
            ("SAOMA_TICKETS".to_owned(), "memory".to_owned()),
            ("SAOMA_CONSOLE__URL".to_owned(), String::new()),
            ("SAOMA_TLS__CERT".to_owned(), String::new()),
            ("SAOMA_TLS__KEY".to_owned(), String::new()),
            ("SAOMA_ACME__ON".to_owned(), "false".to_owned()),
        ];
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut settings = Settings::load(file, own.into_iter().chain(more))?;
        settings.sites.push(demo::site(&url(&self.demo)));
        Ok(settings)
    }

    /// The pretend WeChat of this stage, where the mini program of these settings is published. What its codes hold is the
    /// address of the phone's page.
    pub fn pretend(&self, settings: &Settings) -> Pretend {
        let phone_url = format!("{}/phone?scene={{scene}}&path={{path}}", url(&self.wechat));
        Pretend::new(pretend::Settings {
            appid: APPID.to_owned(),
            secret: SECRET.to_owned(),
            pages: vec![settings.wechat.page.clone()],
            phone_url: Some(phone_url),
            ..pretend::Settings::default()
        })
    }

    /// The addresses, before the listeners are given away.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            saoma: url(&self.saoma),
            wechat: url(&self.wechat),
            demo: url(&self.demo),
            console: url(&self.console),
        }
    }
}

/// Where everything can be reached.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// saoma.
    pub saoma: String,
    /// The pretend WeChat; below `/phone` the phone.
    pub wechat: String,
    /// The demo site.
    pub demo: String,
    /// The console, below `/console`.
    pub console: String,
}

/// Plays until `stop` is done.
///
/// # Errors
/// If saoma cannot stop cleanly.
pub async fn play(
    stage: Stage,
    pretend: &Pretend,
    app: SharedApp,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), crate::run::Error> {
    let addresses = stage.addresses();
    let screen = Arc::new(screen::Screen::new(app.clone(), addresses.clone()));
    let wechat = pretend.router().merge(screen::phone(screen.clone()));
    let demo = demo::router(addresses.clone());
    let console = screen::watched(screen.clone(), http::operators(app.clone()));
    let beside = [(stage.wechat, wechat), (stage.demo, demo), (stage.console, console)];
    let beside = beside.map(|(listener, router)| {
        tokio::spawn(http::serve(listener, router, std::future::pending()))
    });
    let public = screen::watched(screen, http::public(app.clone()));
    let doors =
        crate::run::Doors { public: stage.saoma, router: public, tls: None, operators: None };
    let ended = crate::run::run(app, doors, || (), stop).await;
    beside.iter().for_each(tokio::task::JoinHandle::abort);
    ended
}

/// Plays one sign-in by itself, and says each step.
///
/// # Errors
/// If nobody is signed in by it within a minute, and why.
pub async fn play_once(
    stage: Stage,
    pretend: &Pretend,
    app: SharedApp,
    out: impl Write,
) -> Result<(), String> {
    let addresses = stage.addresses();
    let (done, stop) = tokio::sync::oneshot::channel::<()>();
    let stopped = async move {
        let _ = stop.await;
    };
    let playing = play(stage, pretend, app, stopped);
    let once = async {
        let world = World::real();
        let limit = world.sleep_until(world.now() + Duration::from_secs(60));
        let played = tokio::select! {
            played = once::play(&addresses, &world, out) => played,
            () = limit => Err("a minute has passed and nobody is signed in".to_owned()),
        };
        let _ = done.send(());
        played
    };
    let (ended, played) = tokio::join!(playing, once);
    played.and(ended.map_err(|error| error.to_string()))
}

/// Whether these settings are of a real mini program. What else is wrong with them is said where they are read.
fn names_an_appid(file: &Path) -> bool {
    let written: Option<toml::Table> =
        std::fs::read_to_string(file).ok().and_then(|text| text.parse().ok());
    let appid = written.as_ref().and_then(|table| table.get("wechat")?.get("appid")?.as_str());
    appid.is_some_and(|appid| !appid.is_empty() && appid != APPID)
}

async fn listen(port: u16) -> Result<TcpListener, String> {
    TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| {
        format!("cannot listen on 127.0.0.1:{port}: {error}; stop what uses it, or choose others with --ports")
    })
}

fn url(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|_| String::new(), |address| format!("http://{address}"))
}
