//! A pretend WeChat on a port of its own, a client of it, and what both need to be told.
#![expect(clippy::unwrap_used, reason = "a test that cannot begin has failed")]

use std::net::SocketAddr;

use wechat::pretend::{Pretend, Settings};
use wechat::{Client, ClientBuilder};

pub(crate) const APPID: &str = "wx1234567890abcdef";
pub(crate) const SECRET: &str = "fedcba0987654321fedcba0987654321";

/// A pretend WeChat that listens.
pub(crate) struct World {
    pub(crate) pretend: Pretend,
    pub(crate) url: String,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            appid: APPID.to_owned(),
            secret: SECRET.to_owned(),
            seed: Some(7),
            ..Settings::default()
        };
        change(&mut settings);
        let pretend = Pretend::new(settings);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = pretend.router().into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { pretend, url }
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder(APPID, SECRET).base_url(&self.url).seed(7)
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }
}
