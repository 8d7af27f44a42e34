//! The client: what it is built from, and one method for each of WeChat's APIs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::call::{CALL_TIME, Call, Listener, Request, Success, Upstream};
use crate::code::{Code, Picture, QrCode, UnlimitedCode};
use crate::crypto;
use crate::error::{Api, Error, Unreachable};
use crate::quota::{Counts, Quota, QuotaUse, Tally};
use crate::refusal::Refusal;
use crate::safety::{TextCheck, Verdict, VerdictAnswer};
use crate::secret::{AccessToken, AppSecret, JsCode, SessionKey};
use crate::session::{Session, SessionAnswer};
use crate::token::{Fetch, Fetched, MemoryStore, TokenStatus, TokenStore, Tokens};

/// Where WeChat itself is.
pub const BASE_URL: &str = "https://api.weixin.qq.com";

/// WeChat's server API for one mini program. Cloning is cheap, and clones share everything: token,
/// connections, breakers, counts.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    credentials: Arc<Credentials>,
    upstream: Arc<Upstream>,
    tokens: Arc<Tokens>,
}

struct Credentials {
    appid: String,
    secret: AppSecret,
}

/// Where the access token comes from (wechat-api.md section 1.1). The two endpoints keep separate
/// tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenEndpoint {
    /// `/cgi-bin/stable_token`: asking again gives the same token, so nodes do not disturb each
    /// other. Use this.
    #[default]
    Stable,
    /// `/cgi-bin/token`: asking again kills the token before it, five minutes later. Several nodes
    /// need a shared [`TokenStore`].
    Plain,
}

/// Why a client cannot be built, or set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The base URL is no http or https URL, or has a query or a user in it.
    #[error("the base URL must be like https://api.weixin.qq.com, not {0:?}")]
    BaseUrl(String),
    /// TLS or the like could not be set up.
    #[error("TLS cannot be set up: {0}; are certificates installed (the package ca-certificates)?")]
    Http(String),
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("appid", &self.appid()).finish_non_exhaustive()
    }
}

/// Builds a [`Client`].
pub struct ClientBuilder {
    appid: String,
    secret: AppSecret,
    base_url: String,
    endpoint: TokenEndpoint,
    store: Option<Arc<dyn TokenStore>>,
    seed: Option<u64>,
    unlimited_a_minute: u32,
    listener: Option<Listener>,
}

impl ClientBuilder {
    /// Where WeChat is: [`BASE_URL`] if nothing is said, or anything that speaks like it.
    #[must_use]
    pub fn base_url(mut self, url: &str) -> Self {
        url.trim_end_matches('/').clone_into(&mut self.base_url);
        self
    }

    /// Which token to use; the stable one if nothing is said.
    #[must_use]
    pub fn token_endpoint(mut self, endpoint: TokenEndpoint) -> Self {
        self.endpoint = endpoint;
        self
    }

    /// Where the token is kept; in this process alone if nothing is said. Clients that share a store
    /// share their token, and only one of them fetches it.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use wechat::{Api, Client, TokenEndpoint};
    /// # use wechat::pretend::{Pretend, Settings};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let pretend = Pretend::new(Settings::default());
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// # let url = format!("http://{}", listener.local_addr()?);
    /// # let router = pretend.router();
    /// # tokio::spawn(async move { axum::serve(listener, router).await });
    /// # let (appid, secret) = (Settings::default().appid, Settings::default().secret);
    /// use wechat::token::MemoryStore;
    ///
    /// let store = Arc::new(MemoryStore::new());
    /// let node = || {
    ///     Client::builder(&appid, &secret)
    ///         .base_url(&url)
    ///         .token_endpoint(TokenEndpoint::Plain)
    ///         .token_store(store.clone())
    ///         .build()
    /// };
    /// let (one, two) = (node()?, node()?);
    /// assert_eq!(one.access_token().await?, two.access_token().await?);
    /// assert_eq!(pretend.count(Api::Token.path()), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn token_store(mut self, store: Arc<dyn TokenStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Makes the jitter of pauses and refreshes the same in every run.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How many codes B are asked for in a minute at most: [`QuotaUse::UNLIMITED_A_MINUTE`] if nothing is
    /// said, which is what WeChat makes. More is for what only speaks like it, in a measurement.
    #[must_use]
    pub fn unlimited_a_minute(mut self, most: u32) -> Self {
        self.unlimited_a_minute = most;
        self
    }

    /// Lets this hear of every call over the network, for metrics and logs. It must be quick.
    ///
    /// ```
    /// # use std::sync::{Arc, Mutex};
    /// # use wechat::{Api, Client};
    /// # use wechat::pretend::{Pretend, Settings};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let pretend = Pretend::new(Settings::default());
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// # let url = format!("http://{}", listener.local_addr()?);
    /// # let router = pretend.router();
    /// # tokio::spawn(async move { axum::serve(listener, router).await });
    /// # let (appid, secret) = (Settings::default().appid, Settings::default().secret);
    /// let heard = Arc::new(Mutex::new(Vec::new()));
    /// let hears = heard.clone();
    /// let client = Client::builder(&appid, &secret)
    ///     .base_url(&url)
    ///     .on_call(move |call| hears.lock().unwrap().push((call.api, call.error.is_some())))
    ///     .build()?;
    /// client.access_token().await?;
    /// assert_eq!(*heard.lock().unwrap(), [(Api::StableToken, false)]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn on_call(mut self, hear: impl Fn(&Call<'_>) + Send + Sync + 'static) -> Self {
        self.listener = Some(Box::new(hear));
        self
    }

    /// Builds the client. Nothing is called yet.
    ///
    /// # Errors
    /// [`BuildError::BaseUrl`].
    pub fn build(self) -> Result<Client, BuildError> {
        let url = reqwest::Url::parse(&self.base_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .filter(|url| url.query().is_none() && url.fragment().is_none())
            .filter(|url| url.username().is_empty() && url.password().is_none())
            .ok_or_else(|| BuildError::BaseUrl(self.base_url.clone()))?;
        let dice = self.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let counts = Counts::new(self.unlimited_a_minute);
        let upstream = Arc::new(Upstream::new(url, dice, counts, self.listener));
        let credentials = Arc::new(Credentials { appid: self.appid, secret: self.secret });

        let (name, api) = match self.endpoint {
            TokenEndpoint::Stable => ("stable", Api::StableToken),
            TokenEndpoint::Plain => ("plain", Api::Token),
        };
        let key = format!("wechat:{name}:{}", credentials.appid);
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let fetch = fetcher(Arc::clone(&upstream), Arc::clone(&credentials), self.endpoint);
        let rolled = Arc::clone(&upstream);
        let dice = Box::new(move || rolled.roll());
        let tokens = Tokens::new(key, store, api, fetch, dice);
        Ok(Client(Arc::new(Inner { credentials, upstream, tokens })))
    }
}

/// How a token is fetched from either endpoint.
fn fetcher(
    upstream: Arc<Upstream>,
    credentials: Arc<Credentials>,
    endpoint: TokenEndpoint,
) -> Fetch {
    #[derive(Deserialize)]
    struct Answer {
        access_token: String,
        expires_in: u64,
    }

    Box::new(move || {
        let (upstream, credentials) = (Arc::clone(&upstream), Arc::clone(&credentials));
        Box::pin(async move {
            let deadline = Instant::now() + CALL_TIME;
            let (appid, secret) = (credentials.appid.as_str(), credentials.secret.expose());
            let request = match endpoint {
                TokenEndpoint::Plain => Request::get(
                    Api::Token,
                    vec![("grant_type", "client_credential"), ("appid", appid), ("secret", secret)],
                ),
                TokenEndpoint::Stable => {
                    let body = json!({
                        "grant_type": "client_credential", "appid": appid, "secret": secret,
                    });
                    Request::post(Api::StableToken, vec![], &body)
                }
            };
            let answer = upstream.call(&request.hiding(secret), deadline).await?;
            let answer: Answer = answer.json_where(|answer: &Answer| {
                !answer.access_token.is_empty() && answer.expires_in > 0
            })?;
            Ok(Fetched {
                token: AccessToken::new(answer.access_token),
                // WeChat says two hours; a nonsense figure must not reach the clock's end.
                expires_in: Duration::from_secs(answer.expires_in.min(86_400)),
            })
        })
    })
}

impl Client {
    /// Begins to build a client for the mini program with this AppID and AppSecret.
    #[must_use]
    pub fn builder(appid: impl Into<String>, secret: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            appid: appid.into(),
            secret: AppSecret(secret.into()),
            base_url: BASE_URL.to_owned(),
            endpoint: TokenEndpoint::default(),
            store: None,
            seed: None,
            unlimited_a_minute: QuotaUse::UNLIMITED_A_MINUTE,
            listener: None,
        }
    }

    /// The mini program's AppID.
    #[must_use]
    pub fn appid(&self) -> &str {
        &self.0.credentials.appid
    }

    /// Reads the machine's certificates and sets TLS up by them, which the first call would have to
    /// wait for.
    ///
    /// # Errors
    /// [`BuildError::Http`]; each call would fail by it.
    pub async fn ready(&self) -> Result<(), BuildError> {
        self.0.upstream.http().await.map(drop)
    }

    /// Code B: a round code that carries a scene.
    ///
    /// # Errors
    /// [`Error`], of which 41030 (the page is not published) is the usual first one.
    pub async fn code_unlimited(&self, code: &UnlimitedCode) -> Result<Picture, Error> {
        self.post(Api::UnlimitedCode, &code.body()).await?.picture()
    }

    /// Code A: a round code that carries a path, out of 100,000 for ever.
    ///
    /// # Errors
    /// [`Error`]; 45029 when the 100,000 are used up.
    pub async fn code(&self, code: &Code) -> Result<Picture, Error> {
        self.post(Api::Code, &code.body()).await?.picture()
    }

    /// Code C: a square QR that carries a path, out of the same 100,000 as A.
    ///
    /// # Errors
    /// [`Error`]; 45029 when the 100,000 are used up.
    pub async fn qr_code(&self, code: &QrCode) -> Result<Picture, Error> {
        self.post(Api::QrCode, &code.body()).await?.picture()
    }

    /// Who a js_code stands for. It takes the code whole and sends it once, whatever happens: after
    /// a lost answer ask the phone for a fresh one.
    ///
    /// # Errors
    /// [`Error`]; 40029 and 40163 mean a fresh code, 40226 that WeChat blocked the person.
    pub async fn code2session(&self, js_code: JsCode) -> Result<Session, Error> {
        let Credentials { appid, secret } = &*self.0.credentials;
        let request = Request::get(
            Api::Code2Session,
            vec![
                ("appid", appid),
                ("secret", secret.expose()),
                ("js_code", js_code.expose()),
                ("grant_type", "authorization_code"),
            ],
        );
        let request = request.hiding(secret.expose()).hiding(js_code.expose());
        let answer = self.0.upstream.call(&request, Instant::now() + CALL_TIME).await?;
        let answer: SessionAnswer = answer.json_where(SessionAnswer::is_whole)?;
        Ok(answer.into())
    }

    /// Whether this session key is still the person's.
    ///
    /// # Errors
    /// [`Error`]; a key that is no longer the one is not an error but `false`.
    pub async fn check_session(&self, openid: &str, key: &SessionKey) -> Result<bool, Error> {
        match self.with_session_key(Api::CheckSession, openid, key).await {
            Ok(_) => Ok(true),
            Err(Error::Refused(refusal)) if matches!(refusal.errcode, 87007 | 87009) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the person a new session key; the old one dies, the new one ends when the old one
    /// would have.
    ///
    /// # Errors
    /// [`Error`]; 87009 when the old key is no longer the one.
    pub async fn reset_session_key(
        &self,
        openid: &str,
        key: &SessionKey,
    ) -> Result<Session, Error> {
        let answer = self.with_session_key(Api::ResetSessionKey, openid, key).await?;
        Ok(answer.json_where(SessionAnswer::is_whole)?.into())
    }

    /// Would WeChat let this text stand?
    ///
    /// # Errors
    /// [`Error`]; 61010 when the person has not used the mini program within two hours.
    pub async fn check_text(&self, text: &TextCheck) -> Result<Verdict, Error> {
        let answer: VerdictAnswer = self.post(Api::CheckText, &text.body()).await?.json()?;
        Ok(answer.into())
    }

    /// Fills all daily quotas again. WeChat allows it ten times a month.
    ///
    /// # Errors
    /// [`Error`]; 48006 when the ten times are over.
    pub async fn clear_quota(&self) -> Result<(), Error> {
        self.post(Api::ClearQuota, &json!({"appid": self.appid()})).await.map(drop)
    }

    /// What WeChat says is left of one API's quota today. It does not say so of those below `/sns`.
    ///
    /// # Errors
    /// [`Error`]; 76022 for an API that it does not tell of.
    pub async fn quota_of(&self, api: Api) -> Result<Quota, Error> {
        #[derive(Deserialize)]
        struct Answer {
            quota: Quota,
        }
        let body = json!({"cgi_path": api.path()});
        let answer: Answer = self.post(Api::GetQuota, &body).await?.json()?;
        Ok(answer.quota)
    }

    /// What WeChat remembers of a refused call, as it tells it. The answer may hold what was sent:
    /// show it to nobody but the operator.
    ///
    /// # Errors
    /// [`Error`]; 76001 when there is no such call.
    pub async fn rid(&self, rid: &str) -> Result<serde_json::Value, Error> {
        #[derive(Deserialize)]
        struct Answer {
            request: serde_json::Value,
        }
        let answer: Answer = self.post(Api::GetRid, &json!({"rid": rid})).await?.json()?;
        Ok(answer.request)
    }

    /// The access token itself, for an API that this client does not know. It also makes sure that
    /// there is one, at a start for example.
    ///
    /// # Errors
    /// [`Error`]; 40013, 40125 and 40164 are for the operator to mend.
    pub async fn access_token(&self) -> Result<AccessToken, Error> {
        let deadline = Instant::now() + CALL_TIME;
        self.token_by(self.0.tokens.api(), deadline).await
    }

    /// Whether there is a token. It calls nobody.
    #[must_use]
    pub fn token_status(&self) -> TokenStatus {
        self.0.tokens.status()
    }

    /// How much of the quotas is used, by our own count. It calls nobody.
    #[must_use]
    pub fn quota(&self) -> QuotaUse {
        self.0.upstream.counts.used()
    }

    /// How many calls were sent, refused, failed. It calls nobody.
    #[must_use]
    pub fn tallies(&self) -> BTreeMap<Api, Tally> {
        self.0.upstream.counts.tallies()
    }

    async fn with_session_key(
        &self,
        api: Api,
        openid: &str,
        key: &SessionKey,
    ) -> Result<Success, Error> {
        let signature = crypto::hmac_sha256("", key);
        let query =
            [("openid", openid), ("signature", signature.as_str()), ("sig_method", "hmac_sha256")];
        self.with_token(api, &query, None).await
    }

    async fn post(&self, api: Api, body: &serde_json::Value) -> Result<Success, Error> {
        self.with_token(api, &[], Some(body)).await
    }

    /// Calls with a token; if WeChat says that the token is what is wrong, once more with a fresh
    /// one, and never a third time.
    async fn with_token(
        &self,
        api: Api,
        query: &[(&'static str, &str)],
        body: Option<&serde_json::Value>,
    ) -> Result<Success, Error> {
        let deadline = Instant::now() + CALL_TIME;
        let outcome = self.once_with_token(api, query, body, deadline).await;
        match outcome {
            Err(Error::Refused(refusal)) if refusal.is_stale_token() => {
                self.once_with_token(api, query, body, deadline).await
            }
            outcome => outcome,
        }
    }

    /// Calls with a token, and learns from the outcome whether the token is good.
    async fn once_with_token(
        &self,
        api: Api,
        query: &[(&'static str, &str)],
        body: Option<&serde_json::Value>,
        deadline: Instant,
    ) -> Result<Success, Error> {
        let token = self.token_by(api, deadline).await?;
        let mut full = vec![("access_token", token.expose())];
        full.extend_from_slice(query);
        let request = match body {
            None => Request::get(api, full),
            Some(body) => Request::post(api, full, body),
        };
        let secret = self.0.credentials.secret.expose();
        let request = request.hiding(token.expose()).hiding(secret);
        let outcome = self.0.upstream.call(&request, deadline).await;
        match &outcome {
            Err(error) if error.refusal().is_some_and(Refusal::is_stale_token) => {
                self.0.tokens.reject(&token, error);
            }
            Err(error) if error.is_ailing() => {}
            Ok(_) | Err(Error::Refused(_)) => self.0.tokens.accept(&token),
            Err(_) => {}
        }
        outcome
    }

    async fn token_by(&self, api: Api, deadline: Instant) -> Result<AccessToken, Error> {
        timeout_at(deadline, self.0.tokens.get()).await.unwrap_or_else(|_| {
            let detail = "no access token in time".to_owned();
            Err(Error::Unreachable { api, why: Unreachable::Timeout, detail })
        })
    }
}
