//! A site's own side: it asks for a sign-in, redeems the code, and checks what it is given.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use reqwest::header;
use saoma::try_it::actors::{Browser, Page, Reply, Watch};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::support::Saoma;

pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const STATE: &str = "the state of the site & more";
pub(crate) const NONCE: &str = "a nonce";

/// One registered site.
pub(crate) struct Site {
    pub(crate) id: String,
    pub(crate) redirect_uri: String,
    /// A page that carries the element; of sites without one nothing.
    pub(crate) origin: String,
    pub(crate) secret: Option<String>,
    saoma: String,
    issuer: String,
    http: reqwest::Client,
}

impl Site {
    pub(crate) fn new(saoma: &Saoma, site: &saoma::site::Site) -> Self {
        Self {
            id: site.id.clone(),
            redirect_uri: site.redirect_uris[0].clone(),
            origin: site.origins.first().cloned().unwrap_or_default(),
            secret: (!site.is_public()).then(|| site.secret.reveal().to_owned()),
            saoma: saoma.url.clone(),
            issuer: saoma.app.settings.public_url.clone(),
            http: saoma.http.clone(),
        }
    }

    /// The address to which it sends a browser that is to sign in.
    pub(crate) fn asks(&self) -> String {
        self.asks_with(&[])
    }

    /// The same with other parameters; an empty one is left out.
    pub(crate) fn asks_with(&self, more: &[(&str, &str)]) -> String {
        let challenge = challenge(VERIFIER);
        let mut params = BTreeMap::from([
            ("client_id", self.id.as_str()),
            ("redirect_uri", &self.redirect_uri),
            ("response_type", "code"),
            ("scope", "openid profile wechat"),
            ("state", STATE),
            ("nonce", NONCE),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        params.extend(more.iter().copied());
        params.retain(|_, value| !value.is_empty());
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
        format!("/oauth2/authorize?{query}")
    }

    /// What its embedded page sends to open a ticket.
    pub(crate) fn opening(&self) -> Value {
        json!({
            "client_id": self.id, "redirect_uri": self.redirect_uri, "scope": "openid profile", "state": STATE,
            "nonce": NONCE, "code_challenge": challenge(VERIFIER), "code_challenge_method": "S256",
        })
    }

    /// Its page with the element opens a ticket.
    pub(crate) async fn embeds(&self) -> Embedded {
        self.embeds_with(&json!({})).await
    }

    /// The same, with other fields.
    pub(crate) async fn embeds_with(&self, more: &Value) -> Embedded {
        let browser = Browser::new(&self.saoma).unwrap();
        let mut opening = self.opening();
        opening.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let reply = browser.posts("/api/tickets", &opening, &self.origin).await.unwrap();
        assert_eq!(reply.status, 201, "{}", reply.text());
        Embedded::of(browser, reply.json(), &self.origin)
    }

    /// Redeems a code, proving who it is in the header if it has a secret.
    pub(crate) async fn redeems(&self, code: &str) -> Reply {
        self.redeems_with(code, &[]).await
    }

    /// The same with other fields; an empty one is left out.
    pub(crate) async fn redeems_with(&self, code: &str, more: &[(&str, &str)]) -> Reply {
        let mut form = BTreeMap::from([
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("client_id", &self.id),
            ("code_verifier", VERIFIER),
        ]);
        form.extend(more.iter().copied());
        form.retain(|_, value| !value.is_empty());
        let request = self.http.post(format!("{}/oauth2/token", self.saoma)).form(&form);
        let request = match &self.secret {
            Some(secret) if !form.contains_key("client_secret") => {
                request.header(header::AUTHORIZATION, basic(&self.id, secret))
            }
            _ => request,
        };
        Reply::of(request).await.unwrap()
    }

    /// Asks whom an access token speaks of.
    pub(crate) async fn asks_who(&self, token: &str) -> Reply {
        let request = self.http.get(format!("{}/oauth2/userinfo", self.saoma)).bearer_auth(token);
        Reply::of(request).await.unwrap()
    }

    /// Checks an id_token as OIDC Core 3.1.3.7 asks, against what saoma publishes, and returns its claims.
    pub(crate) async fn checks(&self, id_token: &str, alg: Algorithm) -> Value {
        let url = format!("{}/.well-known/openid-configuration", self.saoma);
        let discovery = Reply::of(self.http.get(url)).await.unwrap().json();
        let jwks_uri = discovery["jwks_uri"].as_str().unwrap().to_owned();
        let jwks = Reply::of(self.http.get(jwks_uri)).await.unwrap();
        let jwks: JwkSet = serde_json::from_slice(&jwks.body).unwrap();
        let kid = jsonwebtoken::decode_header(id_token).unwrap().kid.unwrap();
        let key = DecodingKey::from_jwk(jwks.find(&kid).unwrap()).unwrap();
        let mut validation = Validation::new(alg);
        validation.set_audience(&[&self.id]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
        // The library asks the machine's clock; the story's stands still.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Value>(id_token, &key, &validation).unwrap().claims;
        assert_eq!(claims["nonce"], NONCE);
        claims
    }
}

/// The S256 challenge of a verifier (RFC 7636 section 4.2).
pub(crate) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

/// Basic authentication as OAuth wants it: both halves form-encoded first (RFC 6749 section 2.3.1).
pub(crate) fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}

/// A page of a site that carries the element.
pub(crate) struct Embedded {
    pub(crate) page: Page,
    pub(crate) key: String,
    pub(crate) opened: Value,
    pub(crate) browser: Browser,
    origin: String,
}

impl Embedded {
    fn of(browser: Browser, opened: Value, origin: &str) -> Self {
        let text = |name: &str| opened[name].as_str().unwrap().to_owned();
        let page = Page { ticket: text("ticket") };
        Self { page, key: text("key"), browser, origin: origin.to_owned(), opened }
    }

    /// A call of the element, as a page of its origin with its key.
    pub(crate) async fn calls(&self, verb: &str) -> Reply {
        self.calls_as(verb, &self.key, &self.origin).await
    }

    /// The same with another key, or on another origin.
    pub(crate) async fn calls_as(&self, verb: &str, key: &str, origin: &str) -> Reply {
        let url = format!("/api/tickets/{}/{verb}", self.page.ticket);
        self.browser.posts(&url, &json!({ "key": key }), origin).await.unwrap()
    }

    /// Takes a renewed ticket in the place of the one it has.
    pub(crate) async fn renews(self) -> Self {
        let reply = self.calls("renew").await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        Self::of(self.browser, reply.json(), &self.origin)
    }

    pub(crate) async fn watches(&self) -> Watch {
        self.browser.watches_as(&self.page.ticket, Some(&self.origin)).await.unwrap()
    }
}
