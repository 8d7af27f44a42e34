//! A saoma that runs, with a pretend WeChat behind it, and the doctor that looks at both.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use saoma::{
    app::SharedApp,
    config::Settings,
    doctor::{Dns, Doctor, Finding, Roots, Verdict},
    http,
    run::{self, Doors, assemble},
    store::{SharedStore, sqlite::Sqlite},
    tickets::memory::Memory,
    waiting::Waiting,
    world::World,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use wechat::pretend::{self, Pretend};

pub(crate) const APPID: &str = "wx1234567890abcdef";
pub(crate) const SECRET: &str = "fedcba0987654321fedcba0987654321";

/// A patient, healthy until a test makes it ill.
pub(crate) struct Patient {
    pub(crate) pretend: Pretend,
    pub(crate) wechat: String,
    pub(crate) settings: Settings,
    pub(crate) app: SharedApp,
    pub(crate) roots: Roots,
    pub(crate) dns: Dns,
    pub(crate) hold: Option<Duration>,
    folder: TempDir,
}

impl Patient {
    pub(crate) async fn healthy() -> Self {
        Self::healthy_with(&[]).await
    }

    /// The same by other settings, as `SAOMA_*` of the environment.
    pub(crate) async fn healthy_with(more: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self::behind(&url, listener, more).await
    }

    /// One that listens here and is reached at `public_url`.
    pub(crate) async fn behind(
        public_url: &str,
        listener: TcpListener,
        more: &[(&str, &str)],
    ) -> Self {
        let pretend = Pretend::new(pretend::Settings {
            appid: APPID.to_owned(),
            secret: SECRET.to_owned(),
            ..pretend::Settings::default()
        });
        let wechat = serves(pretend.router()).await;
        let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin_listen = admin.local_addr().unwrap().to_string();
        let folder = tempfile::tempdir().unwrap();
        let store = format!("sqlite:{}", folder.path().join("saoma.db").display());
        let own = [
            ("SAOMA_PUBLIC_URL", public_url),
            ("SAOMA_ADMIN_LISTEN", &admin_listen),
            ("SAOMA_STORE", &store),
            ("SAOMA_WECHAT__APPID", APPID),
            ("SAOMA_WECHAT__SECRET", SECRET),
            ("SAOMA_WECHAT__BASE_URL", &wechat),
            ("SAOMA_WECHAT__POOL", "1"),
        ];
        let env =
            own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = Settings::load(None, env).unwrap();
        let waiting = Arc::new(Waiting::default());
        let store: SharedStore = Arc::new(Sqlite::open(&folder.path().join("saoma.db")).unwrap());
        let tickets = Arc::new(Memory::new(waiting.clone()));
        let app = assemble(settings.clone(), World::real(), store, tickets, waiting).await.unwrap();
        // So that the server is ready when it is asked.
        app.wechat.access_token().await.unwrap();
        let router = http::public(app.clone());
        let doors = Doors { public: listener, router, tls: None, operators: Some(admin) };
        tokio::spawn(run::run(app.clone(), doors, || (), std::future::pending()));
        let hold = Some(Duration::from_millis(50));
        let (roots, dns) = (Roots::Machine, Dns::At(nobody().await));
        Self { pretend, wechat, settings, app, roots, dns, hold, folder }
    }

    /// The same with a setting changed that the running server need not know of.
    pub(crate) fn with(&mut self, change: impl FnOnce(&mut Settings)) -> &mut Self {
        change(&mut self.settings);
        self
    }

    pub(crate) fn doctor(&self) -> Doctor {
        let path = self.settings.store.after("sqlite:").unwrap();
        let store = Sqlite::beside(path.as_ref())
            .map(|store| store.map(|store| Arc::new(store) as SharedStore))
            .map_err(|error| error.to_string());
        Doctor {
            settings: self.settings.clone(),
            world: World::real(),
            store,
            redis: None,
            roots: self.roots.clone(),
            dns: self.dns,
            hold: self.hold,
        }
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// What the doctor finds, all of it.
    pub(crate) async fn findings(&self) -> Vec<Finding> {
        self.doctor().examine().await
    }

    /// What it finds broken, which must be this one thing, with what to do in both languages.
    pub(crate) async fn broken(&self, check: &str) -> Finding {
        self.alone(check, Verdict::Broken).await
    }

    /// What it warns of under this name, and nothing is broken.
    pub(crate) async fn warned(&self, check: &str) -> Finding {
        let found = self.findings().await;
        assert!(!saoma::doctor::is_broken(&found), "{}", saoma::doctor::text(&found));
        one(&found, check, Verdict::Warning)
    }

    async fn alone(&self, check: &str, verdict: Verdict) -> Finding {
        let found = self.findings().await;
        let ill: Vec<_> = found
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .map(|finding| finding.check)
            .collect();
        assert_eq!(ill, [check], "{}", saoma::doctor::text(&found));
        one(&found, check, verdict)
    }
}

fn one(found: &[Finding], check: &str, verdict: Verdict) -> Finding {
    let is = |finding: &&Finding| finding.check == check && finding.verdict == verdict;
    let finding = found
        .iter()
        .find(is)
        .unwrap_or_else(|| panic!("no {check} {verdict:?} in\n{}", saoma::doctor::text(found)));
    let todo = finding.todo.as_ref().unwrap();
    assert!(!todo.en.is_empty() && !todo.zh.is_empty());
    assert!(!saoma::doctor::text(found).contains(SECRET), "the AppSecret is told");
    finding.clone()
}

/// Serves this on a free port of this machine; its URL.
pub(crate) async fn serves(router: axum::Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(http::serve(listener, router, std::future::pending()));
    url
}

/// A port of this machine where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
