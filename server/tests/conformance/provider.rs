//! The provider under test, a relying party that asks it, and a person with a browser and a phone.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use reqwest::{Client, StatusCode};
use saoma::{
    app::SharedApp,
    http,
    run::{self, Doors},
    secret::{Hashed, Secret},
    site::{Pkce, Site},
    store::{SharedStore, sqlite::Sqlite},
    tickets::memory::Memory,
    try_it::{
        Stage,
        actors::{Browser, Page, Phone, Reply, scene_in},
    },
    waiting::Waiting,
    world::{Timestamp, World},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::signing::signing_keys;

/// When every test begins.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// The relying party's secret, with every character that client_secret_basic must encode.
pub(crate) const SECRET: &str = "s3cret +/=&:%? of the relying party";

/// A provider that listens, on a clock that stands still.
pub(crate) struct Provider {
    pub(crate) url: String,
    pub(crate) app: SharedApp,
    wechat: String,
    folder: TempDir,
    http: Client,
    _stop: tokio::sync::oneshot::Sender<()>,
}

/// A confidential relying party that knows no PKCE: what the suite's modules are.
pub(crate) fn rp() -> Site {
    let mut site = Site::new("rp", "Relying party");
    site.redirect_uris = vec!["https://rp.example.com/callback".to_owned()];
    site.post_logout_redirect_uris = vec!["https://rp.example.com/goodbye".to_owned()];
    site.secret = Secret::from(SECRET.to_owned());
    site.pkce = Pkce::IfSent;
    site.email = "{username}@users.example.com".to_owned();
    site
}

impl Provider {
    pub(crate) async fn starts() -> Self {
        Self::with(vec![rp()]).await
    }

    pub(crate) async fn with(sites: Vec<Site>) -> Self {
        Self::known_as(None, sites).await
    }

    /// The same where the world reaches it at another address than it listens at.
    pub(crate) async fn known_as(public_url: Option<&str>, sites: Vec<Site>) -> Self {
        let stage = Stage::open([0; 4]).await.unwrap();
        let addresses = stage.addresses();
        let mut settings = stage.settings(None, &[]).unwrap();
        let pretend = stage.pretend(&settings);
        settings.sites = sites;
        if let Some(public_url) = public_url {
            settings.public_url = public_url.to_owned();
        }
        // One picture ahead will do, and nobody measures how small it is; a test is one very busy address.
        settings.wechat.pool = 1;
        settings.limits.off = true;
        assert_eq!(settings.sites.iter().flat_map(Site::faults).collect::<Vec<_>>(), []);
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder.path().join("saoma.db"));
        for key in signing_keys(NOW).await {
            store.put_key(key.clone()).await.unwrap();
        }
        let waiting = Arc::new(Waiting::default());
        let tickets = Arc::new(Memory::new(waiting.clone()));
        let world = World::held(NOW, 7);
        let app = run::assemble(settings, world, store, tickets, waiting).await.unwrap();
        tokio::spawn(http::serve(stage.wechat, pretend.router(), std::future::pending()));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let router = http::public(app.clone());
        let stopped = async move {
            let _ = stopped.await;
        };
        let doors = Doors { public: stage.saoma, router, tls: None, operators: None };
        tokio::spawn(run::run(app.clone(), doors, || (), stopped));
        Self {
            url: addresses.saoma,
            wechat: addresses.wechat,
            app,
            folder,
            http: Client::new(),
            _stop: stop,
        }
    }

    /// The database, as a command on the same machine opens it.
    pub(crate) fn store(&self) -> SharedStore {
        open(&self.folder.path().join("saoma.db"))
    }

    pub(crate) fn time_passes(&self, span: Duration) {
        self.app.world.advance(span);
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(&self.url).unwrap()
    }

    pub(crate) fn phone(&self, person: &str) -> Phone {
        Phone::of(person, &self.url, &self.wechat)
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        answered(self.http.post(format!("{}{path}", self.url)).form(form)).await
    }

    pub(crate) async fn get(&self, path: &str, bearer: Option<&str>) -> Answer {
        let request = self.http.get(format!("{}{path}", self.url));
        answered(match bearer {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
        .await
    }

    pub(crate) async fn userinfo(&self, token: &str) -> Answer {
        self.get("/oauth2/userinfo", Some(token)).await
    }

    /// A call with client_secret_basic, both halves form-encoded as RFC 6749 section 2.3.1 has it.
    pub(crate) async fn post_basic(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let encoded: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
        self.post_as_it_is(path, form, &encoded).await
    }

    /// The same with whatever stands in the header after `rp:`.
    pub(crate) async fn post_as_it_is(
        &self,
        path: &str,
        form: &[(&str, &str)],
        secret: &str,
    ) -> Answer {
        let request = self.http.post(format!("{}{path}", self.url)).form(form);
        answered(request.basic_auth("rp", Some(secret))).await
    }

    pub(crate) async fn redeems(&self, code: &str) -> Answer {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", "https://rp.example.com/callback"),
        ];
        self.post_basic("/oauth2/token", &form).await
    }

    /// Ann signs in at a terminal by typing its digits.
    pub(crate) async fn signed_in_at_a_terminal(&self) -> Tokens {
        let begun = self.post_basic("/oauth2/device_authorization", &[("scope", "openid")]).await;
        let phone = self.phone("ann");
        let asked = phone.types(&begun.text("user_code").replace('-', "")).await.unwrap();
        phone.approves(&asked).await.unwrap();
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", begun.text("device_code")),
        ];
        Tokens::of(self.post_basic("/oauth2/token", &form).await)
    }

    pub(crate) async fn refreshes(&self, token: &str) -> Answer {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.post_basic("/oauth2/token", &form).await
    }

    /// The claims of an id_token, checked as a relying party checks them: signature by the published key, issuer, audience.
    pub(crate) async fn reads(&self, token: &str) -> Value {
        self.reads_as(token, "rp", "JWT").await
    }

    pub(crate) async fn reads_as(&self, token: &str, audience: &str, typ: &str) -> Value {
        let header = jsonwebtoken::decode_header(token).unwrap();
        assert_eq!(header.typ.as_deref(), Some(typ));
        let jwks = self.get("/oauth2/jwks", None).await.body;
        let jwks: JwkSet = serde_json::from_value(jwks).unwrap();
        let jwk = jwks.find(header.kid.as_deref().unwrap()).expect("the key is published");
        let mut validation = Validation::new(header.alg);
        assert!([Algorithm::RS256, Algorithm::ES256].contains(&header.alg));
        // The clock stands still; the suite's clock does not.
        validation.validate_exp = false;
        validation.set_audience(&[audience]);
        validation.set_issuer(&[&self.url]);
        let key = DecodingKey::from_jwk(jwk).unwrap();
        jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims
    }

    /// The address of an authorization request with these parameters over the ordinary ones; an empty one is left out.
    pub(crate) fn request(&self, params: &[(&str, &str)]) -> String {
        let mut all = vec![
            ("client_id", "rp"),
            ("redirect_uri", "https://rp.example.com/callback"),
            ("response_type", "code"),
            ("scope", "openid"),
            ("state", "st4te"),
            ("nonce", "n0nce"),
        ];
        all.retain(|(name, _)| !params.iter().any(|(other, _)| other == name));
        all.extend(params.iter().filter(|(_, value)| !value.is_empty()));
        let mut url = Url::parse(&format!("{}/oauth2/authorize", self.url)).unwrap();
        url.query_pairs_mut().extend_pairs(all);
        url.into()
    }

    /// The whole way: the browser opens the request, the phone scans and approves, the browser claims. Where the browser is
    /// sent at the end.
    pub(crate) async fn signs_in(
        &self,
        browser: &Browser,
        phone: &Phone,
        params: &[(&str, &str)],
        approval: Value,
    ) -> Answered {
        let page = browser.opens(&self.request(params)).await.unwrap();
        self.scans_and_approves(browser, phone, &page, approval).await
    }

    pub(crate) async fn scans_and_approves(
        &self,
        browser: &Browser,
        phone: &Phone,
        page: &Page,
        approval: Value,
    ) -> Answered {
        let text = browser.reads_code(page).await.unwrap();
        let asked = phone.scans(&scene_in(&text).unwrap(), 1047).await.unwrap();
        phone.approves_with(&asked, &approval).await.unwrap();
        let claimed = browser.calls(page, "claim").await.unwrap().good().unwrap();
        Answered::at(claimed["redirect_to"].as_str().unwrap())
    }

    /// A sign-in of Ann's with these scopes, all of them ticked, and remembered in this browser.
    pub(crate) async fn signed_in(&self, browser: &Browser, scopes: &str) -> Tokens {
        let ticks: Vec<&str> = scopes.split(' ').collect();
        let approval = json!({ "scopes": ticks, "remember": true });
        let params = [("scope", scopes), ("prompt", "consent")];
        let answered = self.signs_in(browser, &self.phone("ann"), &params, approval).await;
        Tokens::of(self.redeems(answered.code()).await)
    }

    /// A request that is answered without any page, such as one of a remembered browser.
    pub(crate) async fn is_answered(&self, browser: &Browser, params: &[(&str, &str)]) -> Answered {
        let reply = browser.get(&self.request(params)).await.unwrap();
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text());
        Answered::at(reply.header("location"))
    }

    /// Looks at a page again and again until it stands as hoped, for the work that goes on in the background; the held
    /// clock moves by a second each time, and after a minute of it the test fails.
    pub(crate) async fn sees<T>(&self, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        for _ in 0..60 {
            if let Some(seen) = look().await {
                return seen;
            }
            self.time_passes(Duration::from_secs(1));
            self.lets_go_on().await;
        }
        panic!("a minute has passed and nothing came of it");
    }

    /// What goes on in the background goes by the same reactor, the same pool of threads and the same writer: once several
    /// calls of ours have come back from each, its own have come on as well.
    pub(crate) async fn lets_go_on(&self) {
        for _ in 0..5 {
            self.get("/readyz", None).await;
            self.app.store.settle_logout(-1, None).await.unwrap();
        }
    }
}

fn open(path: &Path) -> SharedStore {
    Arc::new(Sqlite::open(path).unwrap())
}

/// What came back to a relying party's server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }

    /// The status and OAuth's word, such as "400 invalid_grant".
    pub(crate) fn problem(&self) -> String {
        format!("{} {}", self.status, self.text("error"))
    }
}

async fn answered(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default();
    Answer { status, headers, body }
}

/// What came back to a relying party's redirect address.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) to: String,
    pub(crate) params: HashMap<String, String>,
}

impl Answered {
    pub(crate) fn at(url: &str) -> Self {
        let url = Url::parse(url).unwrap();
        let params = url.query_pairs().into_owned().collect();
        let to = url[..url::Position::AfterPath].to_owned();
        Self { to, params }
    }

    /// What saoma's own page posts, for response_mode=form_post.
    pub(crate) fn posted(reply: &Reply) -> Self {
        let text = reply.text();
        let value = |tag: &str, name: &str| {
            let (_, rest) = tag.split_once(&format!("{name}=\"")).unwrap();
            rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&")
        };
        let form = text.split_once("<form").expect("a form").1;
        let inputs = form.split("<input").skip(1).filter(|tag| tag.contains("hidden"));
        let params = inputs.map(|tag| (value(tag, "name"), value(tag, "value"))).collect();
        Self { to: value(form, "action"), params }
    }

    pub(crate) fn code(&self) -> &str {
        assert_eq!(self.params.get("error"), None);
        &self.params["code"]
    }

    pub(crate) fn error(&self) -> &str {
        assert_eq!(self.params.get("code"), None);
        &self.params["error"]
    }
}

/// What the token endpoint gave.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) id: String,
    pub(crate) refresh: String,
    pub(crate) body: Value,
}

impl Tokens {
    pub(crate) fn of(answer: Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["pragma"], "no-cache");
        assert_eq!(answer.text("token_type"), "Bearer");
        let text = |name: &str| answer.text(name).to_owned();
        Self {
            access: text("access_token"),
            id: text("id_token"),
            refresh: text("refresh_token"),
            body: answer.body,
        }
    }
}

/// A PKCE verifier and its challenge.
pub(crate) fn pkce() -> (&'static str, String) {
    let verifier =
        "a verifier of the relying party, long enough to be one".replace([' ', ','], "-");
    let challenge = URL_SAFE_NO_PAD.encode(Hashed::of(&verifier).as_bytes());
    (Box::leak(verifier.into_boxed_str()), challenge)
}
