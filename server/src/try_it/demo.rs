//! The demo site: an application that knows OpenID Connect and nothing of WeChat.
//!
//! It is written as any site would be, against the discovery document alone, so that it shows what a site has to do.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use askama::Template;
use aws_lc_rs::digest;
use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::Addresses;
use crate::{http::lang_of, lang::Lang, site::Site, world::World};

const ID: &str = "demo";
const COOKIE: &str = "demo";

/// The demo site as saoma knows it: public, so that PKCE alone protects it.
pub(super) fn site(address: &str) -> Site {
    let mut site = Site::new(ID, "Demo site");
    site.redirect_uris = vec![format!("{address}/callback")];
    site.origins = vec![address.to_owned()];
    site.post_logout_redirect_uris = vec![format!("{address}/")];
    // For examples/cli.
    site.device = true;
    site
}

struct Demo {
    addresses: Addresses,
    http: reqwest::Client,
    world: World,
    visitors: Mutex<HashMap<String, Visitor>>,
}

/// What the site remembers of one browser.
#[derive(Clone, Default)]
struct Visitor {
    /// A sign-in that has begun: state, nonce, PKCE verifier.
    begun: Option<Begun>,
    /// Who is signed in.
    person: Option<Value>,
}

#[derive(Clone)]
struct Begun {
    state: String,
    nonce: String,
    verifier: String,
}

impl Demo {
    fn visitors(&self) -> MutexGuard<'_, HashMap<String, Visitor>> {
        self.visitors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn visitor(&self, cookies: &CookieJar) -> Visitor {
        let known =
            cookies.get(COOKIE).and_then(|cookie| self.visitors().get(cookie.value()).cloned());
        known.unwrap_or_default()
    }

    /// Remembers a beginning sign-in in this browser's session, with a fresh session id.
    fn begin(&self, cookies: CookieJar) -> (CookieJar, Begun) {
        let [state, nonce, verifier, id] = [22, 22, 64, 32].map(|len| self.world.base62(len));
        let begun = Begun { state, nonce, verifier };
        let mut visitors = self.visitors();
        if visitors.len() > 1_000 {
            visitors.clear();
        }
        visitors.insert(id.clone(), Visitor { begun: Some(begun.clone()), person: None });
        let cookie = Cookie::build((COOKIE, id)).path("/").http_only(true).same_site(SameSite::Lax);
        (cookies.add(cookie), begun)
    }
}

pub(super) fn router(addresses: Addresses) -> Router {
    let demo = Demo {
        addresses,
        http: reqwest::Client::new(),
        world: World::real(),
        visitors: Mutex::default(),
    };
    Router::new()
        .route("/", get(home))
        .route("/sign-in", get(sign_in))
        .route("/embedded", get(embedded))
        .route("/callback", get(callback))
        .route("/me", get(me))
        .route("/sign-out", post(sign_out))
        .with_state(Arc::new(demo))
}

#[derive(Template)]
#[template(path = "try/demo.html")]
struct Page {
    lang: &'static str,
    title: &'static str,
    saoma: String,
    phone: String,
    embedded: Option<Embedded>,
    person: Option<Shown>,
    problem: Option<String>,
}

/// What the site's server gives the element; the verifier stays with the server.
struct Embedded {
    redirect_uri: String,
    state: String,
    nonce: String,
    challenge: String,
}

struct Shown {
    name: String,
    claims: String,
}

impl Demo {
    fn page(&self, lang: Lang, (zh, en): (&'static str, &'static str)) -> Page {
        let phone = format!("{}/phone", self.addresses.wechat);
        Page {
            lang: lang.tag(),
            title: lang.s(zh, en),
            saoma: self.addresses.saoma.clone(),
            phone,
            embedded: None,
            person: None,
            problem: None,
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        match self.render() {
            Ok(text) => Html(text).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

type Shared = State<Arc<Demo>>;

async fn home(State(demo): Shared, headers: HeaderMap, cookies: CookieJar) -> Page {
    let page = demo.page(lang_of(&headers), ("演示网站", "Demo site"));
    Page { person: demo.visitor(&cookies).person.as_ref().map(shown), ..page }
}

fn shown(claims: &Value) -> Shown {
    let name = claims
        .get("name")
        .or_else(|| claims.get("sub"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    Shown {
        name: name.to_owned(),
        claims: serde_json::to_string_pretty(claims).unwrap_or_default(),
    }
}

/// The ordinary way: to saoma's own page and back.
async fn sign_in(State(demo): Shared, cookies: CookieJar) -> Response {
    let redirect_uri = format!("{}/callback", demo.addresses.demo);
    let (cookies, begun) = demo.begin(cookies);
    let query = [
        ("client_id", ID),
        ("redirect_uri", &redirect_uri),
        ("response_type", "code"),
        ("scope", "openid profile"),
        ("state", &begun.state),
        ("nonce", &begun.nonce),
        ("code_challenge", &challenge(&begun.verifier)),
        ("code_challenge_method", "S256"),
    ];
    match Url::parse_with_params(&format!("{}/oauth2/authorize", demo.addresses.saoma), query) {
        Ok(url) => (cookies, Redirect::to(url.as_str())).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The other way: the element inside the site's own page.
async fn embedded(State(demo): Shared, headers: HeaderMap, cookies: CookieJar) -> Response {
    let (cookies, begun) = demo.begin(cookies);
    let embedded = Embedded {
        redirect_uri: format!("{}/callback", demo.addresses.demo),
        challenge: challenge(&begun.verifier),
        state: begun.state,
        nonce: begun.nonce,
    };
    let page = demo.page(lang_of(&headers), ("在这里登录", "Sign in here"));
    (cookies, Page { embedded: Some(embedded), ..page }).into_response()
}

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

#[derive(Deserialize)]
struct Returned {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

async fn callback(
    State(demo): Shared,
    headers: HeaderMap,
    cookies: CookieJar,
    Query(returned): Query<Returned>,
) -> Response {
    let lang = lang_of(&headers);
    let begun = demo.visitor(&cookies).begun;
    let redeemed = async {
        let begun = begun.ok_or("this browser did not begin a sign-in here")?;
        if returned.state.as_deref() != Some(&begun.state) {
            return Err("state is not the one this browser was given".to_owned());
        }
        // Another provider's answer must not be taken for saoma's (RFC 9207).
        if returned.iss.as_deref() != Some(&demo.addresses.saoma) {
            return Err("the answer comes from another provider".to_owned());
        }
        if let Some(error) = returned.error {
            return Err(match (error.as_str(), lang) {
                ("access_denied", Lang::Zh) => {
                    "手机上没有确认，没有人登录。（access_denied）".to_owned()
                }
                ("access_denied", Lang::En) => {
                    "It was not confirmed on the phone; nobody is signed in. (access_denied)"
                        .to_owned()
                }
                _ => error,
            });
        }
        redeem(&demo, &begun, &returned.code.ok_or("no code came back")?).await
    };
    match redeemed.await {
        Ok(claims) => {
            if let Some(cookie) = cookies.get(COOKIE) {
                let visitor = Visitor { begun: None, person: Some(claims) };
                demo.visitors().insert(cookie.value().to_owned(), visitor);
            }
            Redirect::to("/me").into_response()
        }
        Err(problem) => {
            let page = Page {
                problem: Some(problem),
                ..demo.page(lang, ("没有登录", "Not signed in"))
            };
            (StatusCode::BAD_REQUEST, page).into_response()
        }
    }
}

/// Redeems the code and checks the id_token: signature, issuer, audience, life, nonce (OIDC Core 3.1.3.7).
async fn redeem(demo: &Demo, begun: &Begun, code: &str) -> Result<Value, String> {
    let saoma = &demo.addresses.saoma;
    let discovery =
        fetch(demo.http.get(format!("{saoma}/.well-known/openid-configuration"))).await?;
    let endpoint = |name: &str| {
        let found = discovery.get(name).and_then(Value::as_str);
        found.map(ToOwned::to_owned).ok_or_else(|| format!("discovery has no {name}"))
    };
    let redirect_uri = format!("{}/callback", demo.addresses.demo);
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &redirect_uri),
        ("client_id", ID),
        ("code_verifier", &begun.verifier),
    ];
    let tokens = fetch(demo.http.post(endpoint("token_endpoint")?).form(&form)).await?;
    let text =
        |name: &str| tokens.get(name).and_then(Value::as_str).ok_or_else(|| format!("no {name}"));
    let jwks = fetch(demo.http.get(endpoint("jwks_uri")?)).await?;
    check(saoma, &jwks, text("id_token")?, &begun.nonce)?;
    fetch(demo.http.get(endpoint("userinfo_endpoint")?).bearer_auth(text("access_token")?)).await
}

fn check(issuer: &str, jwks: &Value, id_token: &str, nonce: &str) -> Result<(), String> {
    let jwks: JwkSet = serde_json::from_value(jwks.clone()).map_err(|error| error.to_string())?;
    let header = jsonwebtoken::decode_header(id_token).map_err(|error| error.to_string())?;
    let key = header
        .kid
        .and_then(|kid| jwks.find(&kid).cloned())
        .ok_or("the id_token's key is not published")?;
    let key = DecodingKey::from_jwk(&key).map_err(|error| error.to_string())?;
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[ID]);
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let token = jsonwebtoken::decode::<Value>(id_token, &key, &validation)
        .map_err(|error| error.to_string())?;
    if token.claims.get("nonce").and_then(Value::as_str) == Some(nonce) {
        Ok(())
    } else {
        Err("the id_token was made for another sign-in".to_owned())
    }
}

async fn fetch(request: reqwest::RequestBuilder) -> Result<Value, String> {
    let response = request.send().await.map_err(|error| error.to_string())?;
    let status = response.status();
    let json: Value = response.json().await.map_err(|error| error.to_string())?;
    if status.is_success() { Ok(json) } else { Err(json.to_string()) }
}

async fn me(State(demo): Shared, headers: HeaderMap, cookies: CookieJar) -> Response {
    let lang = lang_of(&headers);
    match demo.visitor(&cookies).person {
        Some(person) => {
            let page = demo.page(lang, ("已登录", "Signed in"));
            Page { person: Some(shown(&person)), ..page }.into_response()
        }
        None => {
            let page = demo.page(lang, ("没有人登录", "Nobody is signed in"));
            (StatusCode::UNAUTHORIZED, page).into_response()
        }
    }
}

async fn sign_out(State(demo): Shared, cookies: CookieJar) -> Response {
    if let Some(cookie) = cookies.get(COOKIE) {
        demo.visitors().remove(cookie.value());
    }
    Redirect::to("/").into_response()
}
