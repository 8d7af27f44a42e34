//! A whole saoma for one story: its clock stands still until told, and callers come from whatever address they say.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::Method;
use saoma::{
    app::SharedApp,
    config::Settings,
    http::{self, Door},
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
use tokio::{net::TcpListener, sync::oneshot};

use crate::signing::signing_keys;

/// The verifier and challenge of RFC 7636 appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// When every story begins.
const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

/// A running saoma, a pretend WeChat and a demo site.
pub(crate) struct Play {
    pub(crate) app: SharedApp,
    pub(crate) at: Addresses,
    pub(crate) folder: tempfile::TempDir,
    _stop: oneshot::Sender<()>,
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
        let stage = Stage::open([0; 4]).await.unwrap();
        let mut settings: Settings = stage.settings(None, more).unwrap();
        settings.sites.extend([site("blog", ""), site("shop", "")]);
        settings.sites.push(site("bank", "a secret that only the bank's server knows"));
        let store: SharedStore = Arc::new(Sqlite::open(&folder.path().join("saoma.db")).unwrap());
        for key in signing_keys(NOW).await {
            store.put_key(key.clone()).await.unwrap();
        }
        let waiting = Arc::new(Waiting::default());
        let tickets: SharedTickets = Arc::new(Memory::new(waiting.clone()));
        let world = World::held(NOW, 7);
        let app = assemble(settings, world, store, tickets, waiting).await.unwrap();
        let (pretend, at) = (stage.pretend(&app.settings), stage.addresses());
        let (stop, stopped) = oneshot::channel::<()>();
        let playing = app.clone();
        tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.await;
            };
            try_it::play(stage, &pretend, playing, stopped).await.unwrap();
        });
        Self { app, at, folder, _stop: stop }
    }

    /// One more way into the same server, behind a door that is in some way another than the usual one.
    pub(crate) async fn door(&self, other: impl FnOnce(Door) -> Door) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let usual = Door::new(&self.app.settings, self.app.limits.sockets.clone());
        let router = http::public(self.app.clone());
        tokio::spawn(http::serve_at(other(usual), listener, router, std::future::pending()));
        address
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

    /// How often the pretend WeChat was asked for a code, of whatever kind.
    pub(crate) async fn codes_asked(&self) -> usize {
        let browser = Browser::new(&self.at.wechat).unwrap();
        let calls = browser.get("/pretend/calls").await.unwrap().text();
        let apis = ["/wxa/getwxacode", "/cgi-bin/wxaapp/createwxaqrcode"];
        apis.iter().map(|api| calls.matches(api).count()).sum()
    }

    /// Somebody signs in at a site whose page carries the element, and ticks all it asks for: the access token.
    pub(crate) async fn signs_in(&self, browser: &Browser, phone: &Phone, site: &str) -> String {
        let code = self.code(browser, phone, site).await;
        let tokens = self.redeems(browser, site, &code).await.good().unwrap();
        tokens["access_token"].as_str().unwrap().to_owned()
    }

    /// The same until the site has its code.
    pub(crate) async fn code(&self, browser: &Browser, phone: &Phone, site: &str) -> String {
        let (ticket, key) = self.ticket(browser, site).await;
        let asked = phone.scans(&self.scene(browser, &ticket).await, 1047).await.unwrap();
        phone.approves_with(&asked, &json!({ "scopes": ["profile"] })).await.unwrap();
        let path = format!("/api/tickets/{ticket}/claim");
        let claimed = browser.posts(&path, &json!({ "key": key }), &origin(site)).await.unwrap();
        claimed.good().unwrap()["params"]["code"].as_str().unwrap().to_owned()
    }

    /// The site hands in its code.
    pub(crate) async fn redeems(&self, browser: &Browser, site: &str, code: &str) -> Reply {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", site),
            ("code", code),
            ("redirect_uri", &format!("{}/cb", origin(site))),
            ("code_verifier", VERIFIER),
        ];
        browser.submits("/oauth2/token", &form).await.unwrap()
    }

    /// The scene in the code of an embedded page.
    pub(crate) async fn scene(&self, browser: &Browser, ticket: &str) -> String {
        let page = Page { ticket: ticket.to_owned() };
        try_it::actors::scene_in(&browser.reads_code(&page).await.unwrap()).unwrap()
    }

    /// What userinfo says to this token: its status.
    pub(crate) async fn userinfo(&self, token: &str) -> u16 {
        let request = reqwest::Client::new().get(format!("{}/oauth2/userinfo", self.at.saoma));
        request.bearer_auth(token).send().await.unwrap().status().as_u16()
    }

    /// The token of the mini program's own pages.
    pub(crate) async fn session(&self, phone: &Phone) -> String {
        let body = json!({ "js_code": phone.logs_in().await.unwrap() });
        let made = phone.calls(Method::POST, "session", None, &body).await.unwrap();
        made.good().unwrap()["token"].as_str().unwrap().to_owned()
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

/// What comes in a minute: more than any machine needs, and a story in which it does not come fails where it would hang.
pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.unwrap()
}

/// Waits until the server has noticed what its peer did.
pub(crate) async fn seen(noticed: impl Fn() -> bool) {
    let world = World::real();
    let limit = world.now() + Duration::from_secs(60);
    while !noticed() {
        assert!(world.now() < limit, "it was not noticed");
        world.sleep_until(world.now() + Duration::from_millis(5)).await;
    }
}
