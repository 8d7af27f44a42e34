//! Who plays in the stories, and where: a pretend WeChat, a saoma on a port of its own, browsers and phones.

use std::{path::Path, sync::Arc, time::Duration};

use saoma::{
    app::SharedApp,
    config::Settings,
    http,
    run::{self, Doors},
    secret::Hashed,
    store::{SharedStore, sqlite::Sqlite},
    tickets::memory::Memory,
    try_it::actors::{Asked, Browser, Page, Phone, Watch, scene_in},
    waiting::Waiting,
    world::{Timestamp, World},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::MissedTickBehavior};
use wechat::pretend::{self, Pretend};

use crate::{signing::signing_keys, site::Site};

pub(crate) const APPID: &str = "wx1234567890abcdef";
pub(crate) const SECRET: &str = "fedcba0987654321fedcba0987654321";

/// When every story begins.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// The sites of the stories: `blog` is public, `shop` and `bank` have secrets, `bank` is strict and `guestbook` is not,
/// `wiki` knows no PKCE, `tv` and `kiosk` have devices, `intranet` and `charts` know no OpenID Connect, `forum`, `chat` and
/// `vault` are one group, in which `vault` is strict; `family`, `party` and `study` let in named people, invited ones, and whom
/// the owner says yes to; `plugin` speaks the rainbow protocol.
pub(crate) const SITES: &str = r#"
[[site]]
id = "blog"
name = "My blog"
redirect_uris = ["https://blog.example.com/callback"]
origins = ["https://blog.example.com"]

[[site]]
id = "shop"
name = "The shop"
redirect_uris = ["https://shop.example.com/callback"]
origins = ["https://shop.example.com"]
secret = "a secret of the shop: with = and &"
alg = "ES256"

[[site]]
id = "wiki"
name = "Old wiki"
redirect_uris = ["https://wiki.example.com/callback"]
secret = "a secret of the wiki"
pkce = "if-sent"

[[site]]
id = "bank"
name = "The bank"
redirect_uris = ["https://bank.example.com/callback"]
secret = "a secret of the bank"
risk = "high"

[[site]]
id = "guestbook"
name = "Guestbook"
redirect_uris = ["https://guestbook.example.com/callback"]
risk = "low"

[[site]]
id = "tv"
name = "TV"
redirect_uris = ["https://tv.example.com/callback"]
device = true

[[site]]
id = "kiosk"
name = "Kiosk"
secret = "a secret of the kiosk"
device = true

[[site]]
id = "intranet"
name = "Intranet"
forward_auth = ["https://intranet.example.com", "https://files.example.com"]
email = "{username}@users.example.com"

[[site]]
id = "charts"
name = "Charts"
forward_auth = ["http://charts.localhost:3000"]

[[site]]
id = "forum"
name = "Forum"
redirect_uris = ["https://forum.example.com/callback"]
group = "club"

[[site]]
id = "chat"
name = "Chat"
redirect_uris = ["https://chat.example.com/callback"]
group = "club"

[[site]]
id = "family"
name = "Family album"
redirect_uris = ["https://family.example.com/callback"]
admit = "named"
admit_groups = ["family"]
forward_auth = ["https://photos.example.com"]

[[site]]
id = "party"
name = "The party"
redirect_uris = ["https://party.example.com/callback"]
admit = "invited"

[[site]]
id = "study"
name = "The study"
redirect_uris = ["https://study.example.com/callback"]
admit = "ask"

[[site]]
id = "plugin"
name = "A forum with a plugin"
redirect_uris = ["https://plugin.example.com/oauth?type=wx&from=wx", "http://127.0.0.1/done"]
rainbow_key = "the key of the plugin, 32 characters"

[[site]]
id = "vault"
name = "Vault"
redirect_uris = ["https://vault.example.com/callback"]
group = "club"
risk = "high"
"#;

/// A pretend WeChat that listens.
pub(crate) struct Wechat {
    pub(crate) pretend: Pretend,
    pub(crate) url: String,
}

impl Wechat {
    pub(crate) async fn starts() -> Self {
        let pretend = Pretend::new(pretend::Settings {
            appid: APPID.to_owned(),
            secret: SECRET.to_owned(),
            seed: Some(7),
            ..pretend::Settings::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(http::serve(listener, pretend.router(), std::future::pending()));
        Self { pretend, url }
    }
}

/// A saoma that listens, with all that belongs to it.
pub(crate) struct Saoma {
    /// Where it listens.
    pub(crate) url: String,
    pub(crate) app: SharedApp,
    pub(crate) wechat: Wechat,
    /// For calls that no browser and no phone would make.
    pub(crate) http: reqwest::Client,
    settings: Settings,
    folder: TempDir,
    /// Outlives a restart, so that the address stays.
    listener: std::net::TcpListener,
    running: Running,
    starts: u64,
}

struct Running {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), run::Error>>,
}

impl Saoma {
    /// One by the default settings, but that codes are fetched when they are wanted and handed through: most stories look
    /// at one code at most, and `upstream.rs` tells of the pool.
    pub(crate) async fn starts() -> Self {
        Self::starts_with(&[]).await
    }

    /// The same with other settings, as `SAOMA_*` of the environment.
    pub(crate) async fn starts_with(more: &[(&str, &str)]) -> Self {
        let wechat = Wechat::starts().await;
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let file = folder.path().join("saoma.toml");
        std::fs::write(&file, SITES).unwrap();
        let own = [
            ("SAOMA_PUBLIC_URL", url.as_str()),
            ("SAOMA_WECHAT__APPID", APPID),
            ("SAOMA_WECHAT__SECRET", SECRET),
            ("SAOMA_WECHAT__BASE_URL", wechat.url.as_str()),
            ("SAOMA_WECHAT__POOL", "0"),
            ("SAOMA_WECHAT__PICTURE", "as-is"),
        ];
        let env = own.iter().chain(more);
        let env = env.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = Settings::load(Some(&file), env).unwrap_or_else(|faults| panic!("{faults}"));
        let (app, running) = start(&settings, folder.path(), &listener, NOW, 0).await;
        let http =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { url, app, wechat, http, settings, folder, listener, running, starts: 1 }
    }

    /// Stops as it does when the system asks it to, and starts again at the same address so many seconds later.
    pub(crate) async fn restarts_after(self, seconds: u64) -> Self {
        let Self { running, settings, folder, listener, app, starts, .. } = self;
        running.stop.send(()).unwrap();
        running.ended.await.unwrap().unwrap();
        let now = app.world.now() + Duration::from_secs(seconds);
        let (app, running) = start(&settings, folder.path(), &listener, now, starts).await;
        Self { app, running, settings, folder, listener, starts: starts + 1, ..self }
    }

    /// The file of its store.
    pub(crate) fn database(&self) -> std::path::PathBuf {
        self.folder.path().join("saoma.db")
    }

    /// Time passes.
    pub(crate) fn passes(&self, seconds: u64) {
        self.app.world.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(&self.url).unwrap()
    }

    pub(crate) fn phone(&self, person: &str) -> Phone {
        Phone::of(person, &self.url, &self.wechat.url)
    }

    /// The own side of the site with this id.
    pub(crate) fn site(&self, id: &str) -> Site {
        Site::new(self, &self.app.sites.get(id).unwrap())
    }

    /// What stands in the code of this page. Stories that are about the code read it off the picture instead.
    pub(crate) async fn scene(&self, ticket: &str) -> String {
        self.app.tickets.by_id(Hashed::of(ticket)).await.unwrap().unwrap().ticket.scene
    }

    /// Opens a page and scans it with the camera.
    pub(crate) async fn scans(
        &self,
        browser: &Browser,
        site: &Site,
        phone: &Phone,
    ) -> (Page, Asked) {
        let page = browser.opens(&site.asks()).await.unwrap();
        let asked = phone.scans(&self.scene(&page.ticket).await, 1047).await.unwrap();
        (page, asked)
    }

    /// A whole sign-in by scan and tap; what the token endpoint answers.
    pub(crate) async fn signs_in(&self, browser: &Browser, site: &Site, phone: &Phone) -> Value {
        self.signs_in_with(browser, site, phone, &serde_json::json!({})).await
    }

    /// The same, with what is typed and ticked.
    pub(crate) async fn signs_in_with(
        &self,
        browser: &Browser,
        site: &Site,
        phone: &Phone,
        approval: &Value,
    ) -> Value {
        let (page, asked) = self.scans(browser, site, phone).await;
        phone.approves_with(&asked, approval).await.unwrap();
        let code = claims(browser, &page).await;
        site.redeems(&code).await.good().unwrap()
    }
}

async fn start(
    settings: &Settings,
    folder: &Path,
    listener: &std::net::TcpListener,
    now: Timestamp,
    seed: u64,
) -> (SharedApp, Running) {
    let waiting = Arc::new(Waiting::default());
    let store: SharedStore = Arc::new(Sqlite::open(&folder.join("saoma.db")).unwrap());
    if store.keys().await.unwrap().is_empty() {
        for key in signing_keys(NOW).await {
            store.put_key(key.clone()).await.unwrap();
        }
    }
    let tickets = Arc::new(Memory::new(waiting.clone()));
    let world = World::held(now, seed);
    let app = run::assemble(settings.clone(), world, store, tickets, waiting).await.unwrap();
    let listener = TcpListener::from_std(listener.try_clone().unwrap()).unwrap();
    let (stop, stopped) = oneshot::channel();
    let stopped = async move {
        // A story that ends without a stop takes its server along.
        let _ = stopped.await;
    };
    let router = http::public(app.clone());
    let doors = Doors { public: listener, router, tls: None, operators: None };
    let ended = tokio::spawn(run::run(app.clone(), doors, || (), stopped));
    (app, Running { stop, ended })
}

/// What the code of a page holds, read off its picture.
pub(crate) async fn reads_scene(browser: &Browser, page: &Page) -> String {
    scene_in(&browser.reads_code(page).await.unwrap()).unwrap()
}

/// The hosted page takes what was decided: the code in the address where it goes next.
pub(crate) async fn claims(browser: &Browser, page: &Page) -> String {
    param(&goes_next(browser, page).await, "code")
}

/// Where the hosted page goes once its ticket is decided.
pub(crate) async fn goes_next(browser: &Browser, page: &Page) -> String {
    let claimed = browser.calls(page, "claim").await.unwrap().good().unwrap();
    claimed["redirect_to"].as_str().unwrap().to_owned()
}

/// A parameter of an address; empty if it is not there.
pub(crate) fn param(address: &str, name: &str) -> String {
    let url = url::Url::parse(address).unwrap();
    let found = url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    found.unwrap_or_default()
}

/// All states that a page sees until its socket closes, and how it closes.
pub(crate) async fn sees_to_the_end(watch: &mut Watch) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let state = watch.sees_state().await.unwrap();
        let closed = state.starts_with("closed");
        seen.push(state);
        if closed {
            return seen;
        }
    }
}

/// Waits for what another task is about to do.
pub(crate) async fn until(what: impl Fn() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    // Ticks that were missed do not come all at once: a story may let time pass with each.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let happens = async {
        while !what() {
            tick.tick().await;
        }
    };
    // A minute is more than any machine needs, and less than a build waits.
    assert!(tokio::time::timeout(Duration::from_secs(60), happens).await.is_ok(), "it never came");
}
