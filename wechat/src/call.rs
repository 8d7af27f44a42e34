//! One HTTP call to WeChat, and how its answer is told apart.
//!
//! The answer's Content-Type means nothing (wechat-api.md section 0): a picture is known by its
//! first bytes, an error by its JSON.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument as _;

use crate::breaker::Breakers;
use crate::client::BuildError;
use crate::code::{Picture, PictureKind};
use crate::error::{Api, Error, RestReason, Unreachable, Unreadable};
use crate::quota::Counts;
use crate::refusal::{Act, Refusal};

/// How long a call may take in all: waiting for a token, retries and all.
pub(crate) const CALL_TIME: Duration = Duration::from_secs(10);
const CONNECT_TIME: Duration = Duration::from_secs(3);
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Pictures reach some 200 kB (wechat-api.md section 2).
const LARGEST_ANSWER: usize = 4 << 20;

/// WeChat, as seen from here.
pub(crate) struct Upstream {
    http: OnceCell<reqwest::Client>,
    base: reqwest::Url,
    breakers: Breakers,
    pub(crate) counts: Counts,
    dice: Mutex<fastrand::Rng>,
    listener: Option<Listener>,
}

/// Hears of every call.
pub(crate) type Listener = Box<dyn Fn(&Call<'_>) + Send + Sync>;

/// One call over the network, each retry for itself, as [`ClientBuilder::on_call`] tells of it.
///
/// [`ClientBuilder::on_call`]: crate::ClientBuilder::on_call
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Call<'a> {
    /// What was called.
    pub api: Api,
    /// How long it took, from the first byte sent to the last one read.
    pub took: Duration,
    /// What went wrong, if anything did.
    pub error: Option<&'a Error>,
}

/// What is sent.
pub(crate) struct Request<'a> {
    pub(crate) api: Api,
    pub(crate) query: Vec<(&'static str, &'a str)>,
    pub(crate) body: Option<String>,
    /// What must not be seen in an error, should the answer repeat it.
    pub(crate) secrets: Vec<&'a str>,
}

impl<'a> Request<'a> {
    pub(crate) fn get(api: Api, query: Vec<(&'static str, &'a str)>) -> Self {
        Self { api, query, body: None, secrets: Vec::new() }
    }

    pub(crate) fn post(api: Api, query: Vec<(&'static str, &'a str)>, body: &Value) -> Self {
        Self { api, query, body: Some(body.to_string()), secrets: Vec::new() }
    }

    pub(crate) fn hiding(mut self, secret: &'a str) -> Self {
        self.secrets.push(secret);
        self
    }
}

/// What came back, read whole.
struct Answer {
    status: u16,
    used: Option<u64>,
    body: Bytes,
}

/// An answer without an error in it.
pub(crate) struct Success {
    api: Api,
    used: Option<u64>,
    body: Bytes,
    json: Option<Value>,
}

impl Upstream {
    pub(crate) fn new(
        base: reqwest::Url,
        dice: fastrand::Rng,
        counts: Counts,
        listener: Option<Listener>,
    ) -> Self {
        let (dice, breakers) = (Mutex::new(dice), Breakers::new());
        Self { http: OnceCell::new(), base, breakers, counts, dice, listener }
    }

    /// The HTTP client, made by whoever wants it first: it reads the machine's certificates, some
    /// hundred files, aside.
    pub(crate) async fn http(&self) -> Result<&reqwest::Client, BuildError> {
        let make = async || {
            let http = set_up(&self.base);
            let made = spawn_blocking(move || http.build()).await;
            made.map_err(|error| in_words(&error))?.map_err(|error| in_words(&error))
        };
        self.http.get_or_try_init(make).await.map_err(BuildError::Http)
    }

    /// A random share between 0 and 1.
    pub(crate) fn roll(&self) -> f64 {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }

    /// Calls, up to three times where that can help, until `deadline`.
    pub(crate) async fn call(
        &self,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Result<Success, Error> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            let error = match self.attempt(request, deadline).await {
                Err(error) if error.is_ailing() && request.api.repeatable() => error,
                outcome => return outcome,
            };
            let jittered = pause.mul_f64(0.5 + self.roll());
            if Instant::now() + jittered >= deadline {
                return Err(error);
            }
            sleep(jittered).await;
            pause *= 2;
        }
        self.attempt(request, deadline).await
    }

    async fn attempt(&self, request: &Request<'_>, deadline: Instant) -> Result<Success, Error> {
        let api = request.api;
        let pass = self.breakers.pass(api)?;
        let began = Instant::now();
        self.counts.admit(api, began)?;
        let span = tracing::debug_span!("wechat.call", otel.kind = "client", url.path = api.path());
        let exchange = self.exchange(request).instrument(span);
        let outcome = match timeout_at(deadline, exchange).await {
            Ok(answer) => answer.and_then(|answer| sort(request, answer)),
            Err(_) => Err(Error::Unreachable {
                api,
                why: Unreachable::Timeout,
                detail: "the call's time was up".to_owned(),
            }),
        };
        self.counts.record(api, &outcome);
        if let Some(hear) = &self.listener {
            hear(&Call { api, took: began.elapsed(), error: outcome.as_ref().err() });
        }
        match &outcome {
            Err(error) if error.is_ailing() => pass.failed(self.roll()),
            _ => pass.answered(),
        }
        if let Err(Error::Refused(refusal)) = &outcome {
            self.heed_quota(refusal);
        }
        outcome
    }

    /// A used-up quota is not asked again until it may have filled, but for the minute of the exchange
    /// of js_codes: that is of one person, not of all.
    fn heed_quota(&self, refusal: &Refusal) {
        let of_one_person = (refusal.api, refusal.errcode) == (Api::Code2Session, 45011);
        if let Act::Later { after } = refusal.act()
            && refusal.is_of_quota()
            && !of_one_person
        {
            // Somebody may clear the quota by hand, so look again every ten minutes.
            let time = after.min(Duration::from_secs(600));
            self.breakers.rest(refusal.api, time, RestReason::Refused(refusal.errcode));
        }
    }

    async fn exchange(&self, request: &Request<'_>) -> Result<Answer, Error> {
        let api = request.api;
        let broke = |error: reqwest::Error| unreachable(request, error);
        let http = self.http().await.map_err(|error| Error::Unreachable {
            api,
            why: Unreachable::Connect,
            detail: error.to_string(),
        })?;
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), api.path()));
        let builder = match &request.body {
            None => http.get(url),
            Some(body) => http
                .post(url)
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(body.clone()),
        };
        let mut response = builder.query(&request.query).send().await.map_err(broke)?;
        let status = response.status().as_u16();
        let used = response
            .headers()
            .get("Num-Used")
            .and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(broke)? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                let (len, why) = (body.len() + chunk.len(), Unreadable::TooLarge);
                return Err(Error::Unreadable { api, status, len, why });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, used, body: body.freeze() })
    }
}

/// How the client must be set up: no redirect may carry a token elsewhere, and nothing is sent twice
/// behind our back.
fn set_up(base: &reqwest::Url) -> reqwest::ClientBuilder {
    let on_this_machine = base
        .host_str()
        .is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]");
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIME)
        .user_agent(concat!("saoma-wechat/", env!("CARGO_PKG_VERSION")));
    // A proxy of the environment leads elsewhere.
    if on_this_machine { http.no_proxy() } else { http }
}

/// Tells success, refusal and nonsense apart.
fn sort(request: &Request<'_>, answer: Answer) -> Result<Success, Error> {
    let api = request.api;
    let Answer { status, used, body } = answer;
    let unreadable = |why| Error::Unreadable { api, status, len: body.len(), why };
    if status != 200 {
        return Err(unreadable(Unreadable::Status));
    }
    let looks_like_json = body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
    let json = if looks_like_json {
        Some(serde_json::from_slice(&body).map_err(|_| unreadable(Unreadable::NotJson))?)
    } else {
        None
    };
    let errcode = json.as_ref().and_then(|json: &Value| json.get("errcode"));
    match errcode.map_or(Some(0), Value::as_i64) {
        Some(0) if api.draws() && PictureKind::sniff(&body).is_none() => {
            Err(unreadable(Unreadable::NotAPicture))
        }
        Some(0) if !api.draws() && json.is_none() => Err(unreadable(Unreadable::NotJson)),
        Some(0) => Ok(Success { api, used, body, json }),
        Some(errcode) => {
            let text = json.as_ref().and_then(|json| json.get("errmsg")?.as_str());
            let text = mask(text.unwrap_or_default(), &request.secrets);
            Err(Refusal::new(api, errcode, &text).into())
        }
        None => Err(unreadable(Unreadable::Fields)),
    }
}

impl Success {
    fn unreadable(&self, why: Unreadable) -> Error {
        Error::Unreadable { api: self.api, status: 200, len: self.body.len(), why }
    }

    /// What `Num-Used` said.
    pub(crate) fn used(&self) -> Option<u64> {
        self.used
    }

    /// The answer's JSON.
    pub(crate) fn json<T: DeserializeOwned>(mut self) -> Result<T, Error> {
        let json = self.json.take().ok_or_else(|| self.unreadable(Unreadable::NotJson))?;
        serde_json::from_value(json).map_err(|_| self.unreadable(Unreadable::Fields))
    }

    /// The answer's JSON, if it makes sense.
    pub(crate) fn json_where<T: DeserializeOwned>(
        self,
        makes_sense: impl FnOnce(&T) -> bool,
    ) -> Result<T, Error> {
        let nonsense = self.unreadable(Unreadable::Fields);
        self.json().and_then(|json| if makes_sense(&json) { Ok(json) } else { Err(nonsense) })
    }

    /// The answer's picture.
    pub(crate) fn picture(self) -> Result<Picture, Error> {
        let kind = PictureKind::sniff(&self.body)
            .ok_or_else(|| self.unreadable(Unreadable::NotAPicture))?;
        Ok(Picture { kind, used: self.used, bytes: self.body })
    }
}

/// What broke, in words. A `reqwest` error carries the URL, and the URL carries the token.
fn unreachable(request: &Request<'_>, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let why = if error.is_timeout() {
        Unreachable::Timeout
    } else if error.is_connect() {
        Unreachable::Connect
    } else {
        Unreachable::Cut
    };
    let detail = mask(&in_words(&error), &request.secrets);
    Error::Unreachable { api: request.api, why, detail }
}

/// An error with all that led to it.
fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What a fuzzer throws an answer at: every API must tell it apart without a panic, and show no secret that it repeats.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[cfg_attr(not(feature = "fuzzing"), expect(unreachable_pub, reason = "public for fuzzers alone"))]
pub fn answered(status: u16, body: &[u8]) {
    for api in Api::ALL {
        let request = Request::get(api, Vec::new()).hiding("a secret that was sent along");
        let answer = || Answer { status, used: None, body: Bytes::copy_from_slice(body) };
        let shown = match (sort(&request, answer()), sort(&request, answer())) {
            (Ok(picture), Ok(json)) => {
                let picture = picture.picture().map(|picture| picture.kind);
                let session = json.json::<crate::session::SessionAnswer>().map(drop);
                format!("{picture:?} {session:?}")
            }
            (Err(error), _) | (_, Err(error)) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains("a secret that was sent along"), "{shown}");
    }
}

fn mask(text: &str, secrets: &[&str]) -> String {
    secrets
        .iter()
        .filter(|secret| !secret.is_empty())
        .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_is_answered_is_told_apart(
            status in prop_oneof![4 => Just(200_u16), 1 => 100..600_u16],
            head in prop_oneof!["", "\\{", "\\{\"errcode\":", "\u{ff}\u{d8}\u{ff}", "\u{89}PNG\r\n\u{1a}\n"],
            body in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                "[ -~]{0,60}".prop_map(String::into_bytes),
                (any::<i64>(), "\\PC{0,20}").prop_map(|(errcode, errmsg)| {
                    serde_json::json!({"errcode": errcode, "errmsg": errmsg, "openid": "", "result": [errmsg]}).to_string().into_bytes()
                }),
            ],
        ) {
            answered(status, &[head.as_bytes(), &body].concat());
            answered(status, &body);
            let repeats = [&body[..], b" a secret that was sent along"].concat();
            answered(status, &repeats);
            let told = serde_json::json!({ "errcode": 40013, "errmsg": String::from_utf8_lossy(&repeats) });
            answered(status, told.to_string().as_bytes());
        }
    }
}
