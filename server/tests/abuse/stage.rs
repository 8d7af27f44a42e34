//! A whole saoma for one story: its clock stands still until told, and callers come from whatever address they say.

use std::sync::Arc;

use saoma::{
    app::SharedApp,
    config::Settings,
    run::assemble,
    site::Site,
    store::{SharedStore, sqlite::Sqlite},
    tickets::{SharedTickets, memory::Memory},
    try_it::{
        self, Addresses, Stage,
        actors::{Browser, Page, Phone, Reply},
    },
    waiting::Waiting,
    world::{Timestamp, World},
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};
use wechat::pretend::Pretend;

/// The challenge of RFC 7636 appendix B.
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A running saoma, a pretend WeChat and a demo site.
pub(crate) struct Play {
    pub(crate) app: SharedApp,
    pub(crate) at: Addresses,
    pub(crate) pretend: Pretend,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Play {
    /// With the ordinary settings.
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With some settings changed, as in `("SAOMA_LIMITS__SOCKETS", "3")`.
    pub(crate) async fn with(more: &[(&str, &str)]) -> Self {
        let proxied = [("SAOMA_TRUSTED_PROXIES", "[\"127.0.0.1\"]")];
        Self::exactly(&[&proxied, more].concat()).await
    }

    /// The same, but that nobody is trusted to say where a caller comes from.
    pub(crate) async fn exactly(more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage::open([0; 3]).await.unwrap();
        let mut settings: Settings = stage.settings(more).unwrap();
        settings.sites.extend([site("blog", ""), site("shop", "")]);
        settings.sites.push(site("bank", "a secret that only the bank's server knows"));
        let store: SharedStore = Arc::new(Sqlite::open(&folder.path().join("saoma.db")).unwrap());
        let waiting = Arc::new(Waiting::default());
        let tickets: SharedTickets = Arc::new(Memory::new(waiting.clone()));
        let world = World::held(Timestamp::from_millis(1_795_000_000_000), 7);
        let app = assemble(settings, world, store, tickets, waiting).await.unwrap();
        let (pretend, at) = (stage.pretend(), stage.addresses());
        let (stop, stopped) = oneshot::channel();
        let playing = (app.clone(), pretend.clone());
        let running = tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.await;
            };
            try_it::play(stage, &playing.1, playing.0, stopped).await.unwrap();
        });
        let (stop, running) = (Some(stop), Some(running));
        Self { app, at, pretend, stop, running, _folder: folder }
    }

    /// A browser at this address.
    pub(crate) fn browser(&self, address: &str) -> Browser {
        let mut browser = Browser::new(&self.at.saoma).unwrap();
        browser.moves_to(address);
        browser
    }

    /// This person's phone, at this address.
    pub(crate) fn phone(&self, person: &str, address: &str) -> Phone {
        let mut phone = Phone::of(person, &self.at.saoma, &self.at.wechat);
        phone.moves_to(address);
        phone
    }

    /// A hosted page, and the scene in its code.
    pub(crate) async fn page(&self, browser: &Browser) -> (Page, String) {
        let page = browser.opens(&format!("{}/sign-in", self.at.demo)).await.unwrap();
        let text = browser.reads_code(&page).await.unwrap();
        (page, try_it::actors::scene_in(&text).unwrap())
    }

    /// An embedded page of this site asks for a ticket.
    pub(crate) async fn opens(&self, browser: &Browser, site: &str) -> Reply {
        let body = asks(site);
        browser.posts("/api/tickets", &body, &origin(site)).await.unwrap()
    }

    /// The same, which succeeds: its ticket id and key.
    pub(crate) async fn ticket(&self, browser: &Browser, site: &str) -> (String, String) {
        let made = self.opens(browser, site).await.good().unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("ticket"), text("key"))
    }

    /// How often the pretend WeChat was asked for a code.
    pub(crate) async fn codes_asked(&self) -> usize {
        let browser = Browser::new(&self.at.wechat).unwrap();
        let calls = browser.get("/pretend/calls").await.unwrap().text();
        calls.matches("/wxa/getwxacodeunlimit").count()
    }

    /// Stops it, as an operator does.
    pub(crate) async fn stops(mut self) {
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
    }
}

/// What an embedded page of this site asks for.
pub(crate) fn asks(site: &str) -> Value {
    json!({
        "client_id": site, "redirect_uri": format!("{}/cb", origin(site)), "scope": "openid profile", "state": "s",
        "code_challenge": CHALLENGE, "code_challenge_method": "S256",
    })
}

/// Where a site's pages stand.
pub(crate) fn origin(site: &str) -> String {
    format!("https://{site}.example.com")
}

fn site(id: &str, secret: &str) -> Site {
    let origin = origin(id);
    let text = format!(
        "id = \"{id}\"\nname = \"The {id}\"\nredirect_uris = [\"{origin}/cb\"]\norigins = [\"{origin}\"]\nsecret = \"{secret}\"\n"
    );
    toml::from_str(&text).unwrap()
}

/// Holds that an answer is 429, says when to try again, and is a problem in the form of RFC 9457.
pub(crate) fn is_held_back(reply: &Reply) {
    assert_eq!(reply.problem(), "429 too_many_requests");
    assert!(reply.header("retry-after").parse::<u64>().unwrap() > 0);
    assert_eq!(reply.header("content-type"), "application/problem+json");
}
