//! A pretend WeChat on a port of its own, a client of it, and what both need to be told.

use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use wechat::pretend::{Pretend, Settings};
use wechat::{Client, ClientBuilder};

pub(crate) const APPID: &str = "wx1234567890abcdef";
pub(crate) const SECRET: &str = "fedcba0987654321fedcba0987654321";

/// The second in which every test begins: noon in China on the first of June 2026.
pub(crate) const START: u64 = 1_780_286_400;

/// A pretend WeChat that listens.
pub(crate) struct World {
    pub(crate) pretend: Pretend,
    pub(crate) url: String,
    http: reqwest::Client,
    _held: Option<HeldClock>,
}

/// Dropping it lets the clock go.
struct HeldClock {
    _held: std::sync::mpsc::Sender<()>,
}

impl Drop for HeldClock {
    fn drop(&mut self) {
        tokio::time::resume();
    }
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
            started: UNIX_EPOCH + Duration::from_secs(START),
            ..Settings::default()
        };
        change(&mut settings);
        let pretend = Pretend::new(settings);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = pretend.router().into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { pretend, url, http, _held: None }
    }

    /// As [`World::start`], on a clock that moves only when a test moves it.
    pub(crate) async fn held() -> Self {
        tokio::time::pause();
        // While a blocking task runs, tokio does not skip ahead to the next timer.
        let (held, released) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || released.recv());
        Self { _held: Some(HeldClock { _held: held }), ..Self::start().await }
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder(APPID, SECRET).base_url(&self.url).seed(7)
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }
}

/// What came back of a plain call, without the client in between.
pub(crate) struct Reply {
    path: String,
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// It is a refusal as WeChat words it: HTTP 200, this code, this text, and a request id whose
    /// first group is `now`.
    pub(crate) fn refuses(&self, errcode: i64, text: &str, now: u64) {
        let json = self.json();
        let errmsg = json["errmsg"].as_str().unwrap();
        assert_eq!((self.status, json["errcode"].as_i64()), (200, Some(errcode)), "{json}");
        let sns = self.path.starts_with("/sns/");
        let rid = errmsg
            .strip_prefix(text)
            .and_then(|rest| rest.strip_prefix(if sns { ", rid: " } else { " rid: " }))
            .unwrap_or_else(|| panic!("{errmsg:?} is not {text:?} and a request id"));
        let groups: Vec<_> = rid.split('-').collect();
        assert_eq!(groups.len(), 3, "{rid}");
        assert!(groups.iter().all(|group| group.len() == 8), "{rid}");
        assert_eq!(u64::from_str_radix(groups[0], 16).unwrap(), now, "{rid}");
        let content_type = if sns { "text/plain" } else { "application/json; encoding=utf-8" };
        assert_eq!(self.header("content-type"), Some(content_type));
    }
}

impl World {
    pub(crate) async fn call(&self, method: &str, target: &str, body: Option<String>) -> Reply {
        let method: reqwest::Method = method.parse().unwrap();
        let mut request = self.http.request(method, format!("{}{target}", self.url));
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.unwrap();
        Reply {
            path: target.split('?').next().unwrap().to_owned(),
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap().to_vec(),
        }
    }

    pub(crate) async fn get(&self, target: &str) -> Reply {
        self.call("GET", target, None).await
    }

    pub(crate) async fn post(&self, target: &str, body: serde_json::Value) -> Reply {
        self.call("POST", target, Some(body.to_string())).await
    }

    /// A stable token, asked for by hand.
    pub(crate) async fn token(&self) -> String {
        let body = serde_json::json!({
            "grant_type": "client_credential", "appid": APPID, "secret": SECRET,
        });
        let reply = self.post("/cgi-bin/stable_token", body).await;
        reply.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// Posts to a path with a good token.
    pub(crate) async fn post_with_token(&self, path: &str, body: serde_json::Value) -> Reply {
        let token = self.token().await;
        self.post(&format!("{path}?access_token={token}"), body).await
    }

    /// Exchanges a js_code by hand.
    pub(crate) async fn exchange(&self, js_code: &str) -> Reply {
        self.get(&format!(
            "/sns/jscode2session?appid={APPID}&secret={SECRET}&js_code={js_code}&grant_type=authorization_code"
        ))
        .await
    }
}
