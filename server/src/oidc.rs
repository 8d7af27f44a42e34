//! OpenID Connect: authorize, token, userinfo. The rules; HTTP's words for them stand in `http/oidc.rs`.

use std::{borrow::Cow, time::Duration};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use crate::{
    app::App,
    error::{Code, Error},
    grant::{self, RedeemError, Request, ResponseMode, Scope, Scopes},
    keys,
    login::{self, Claim},
    secret::{Hashed, Secret},
    site::Site,
    store::{LiveToken, Login, Redemption, Token, TokenKind},
};

/// How long an access token is good for.
const ACCESS_LIFE: Duration = Duration::from_secs(3600);
/// How long an id_token may be used to sign in with: it is read at once.
const ID_TOKEN_LIFE: Duration = Duration::from_secs(600);
/// `state` and `nonce` are kept for a ticket's life and handed back; no application needs more.
const LONGEST: usize = 2048;

/// The parameters of an authorization request (OIDC Core 3.1.2.1); others are passed over.
#[derive(Debug, Clone, Default, Deserialize)]
#[expect(missing_docs, reason = "each is a parameter of OIDC Core by its own name")]
pub struct Params {
    pub client_id: Option<String>,
    pub redirect_uri: Option<String>,
    pub response_type: Option<String>,
    pub response_mode: Option<String>,
    pub scope: Option<String>,
    pub state: Option<String>,
    pub nonce: Option<String>,
    pub code_challenge: Option<String>,
    pub code_challenge_method: Option<String>,
    pub prompt: Option<String>,
    pub max_age: Option<String>,
    pub request: Option<String>,
    pub request_uri: Option<String>,
}

/// An authorization request that may go on.
pub struct Authorize<'a> {
    /// Who asks.
    pub site: &'a Site,
    /// What for.
    pub request: Request,
    /// How the person is to be asked.
    pub prompt: Prompt,
    /// How old a sign-in may be that is used again.
    pub max_age: Option<Duration>,
}

/// What `prompt` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prompt {
    /// A scan, unless this browser may skip it.
    #[default]
    Ordinary,
    /// No page at all.
    None,
    /// A scan in any case: login, consent and select_account all mean a phone.
    Scan,
}

/// Why an authorization request ends at once.
pub enum Failure {
    /// The redirect address cannot be trusted: the person is told on saoma's own page (RFC 6749 section 4.1.2.1).
    Page(Error),
    /// The site is told.
    Answer(Answer),
}

/// What goes back to a site's redirect address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Where.
    pub redirect_uri: String,
    /// How.
    pub mode: ResponseMode,
    /// What; `iss` is always among it (RFC 9207).
    pub params: Vec<(Cow<'static, str>, String)>,
}

impl Answer {
    fn new(app: &App, redirect_uri: String, mode: ResponseMode, state: Option<&String>) -> Self {
        let mut params = Vec::new();
        if let Some(state) = state {
            params.push((Cow::from("state"), state.clone()));
        }
        params.push((Cow::from("iss"), app.settings.public_url.clone()));
        Self { redirect_uri, mode, params }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.params.insert(0, (Cow::from(name), value.into()));
        self
    }

    fn error(self, error: &'static str, description: &str) -> Self {
        self.with("error_description", description).with("error", error)
    }

    /// The redirect address with the answer in its query, beside whatever the site had put there itself.
    pub fn redirect_to(&self) -> String {
        let Ok(mut url) = Url::parse(&self.redirect_uri) else {
            return self.redirect_uri.clone();
        };
        url.query_pairs_mut().extend_pairs(&self.params);
        url.into()
    }
}

/// Refuses what would be kept at length.
///
/// # Errors
/// What to say of it.
pub fn check_lengths(values: &[&Option<String>]) -> Result<(), String> {
    let long = values.iter().any(|value| value.as_ref().is_some_and(|text| text.len() > LONGEST));
    if long { Err(format!("state and nonce may have {LONGEST} bytes at most")) } else { Ok(()) }
}

/// Checks an authorization request.
///
/// # Errors
/// A page where the redirect address is not to be trusted, else an answer to the site.
pub fn authorize(app: &App, params: Params) -> Result<Authorize<'_>, Failure> {
    let page = |code: Code| Failure::Page(code.into());
    let site = params
        .client_id
        .as_deref()
        .and_then(|id| app.sites.get(id))
        .ok_or_else(|| page(Code::UnknownSite))?;
    let redirect_uri = params.redirect_uri.filter(|uri| site.allows_redirect(uri));
    let redirect_uri = redirect_uri.ok_or_else(|| page(Code::RedirectUriNotRegistered))?;
    let mode = match params.response_mode.as_deref() {
        None | Some("query") => Some(ResponseMode::Query),
        Some("form_post") => Some(ResponseMode::FormPost),
        Some(_) => None,
    };
    check_lengths(&[&params.state, &params.nonce])
        .map_err(|why| Failure::Page(Error::invalid(why)))?;
    let answer =
        Answer::new(app, redirect_uri.clone(), mode.unwrap_or_default(), params.state.as_ref());
    let refuse =
        |error, description: &str| Err(Failure::Answer(answer.clone().error(error, description)));
    if params.request.is_some() {
        return refuse("request_not_supported", "request objects are not supported");
    }
    if params.request_uri.is_some() {
        return refuse("request_uri_not_supported", "request_uri is not supported");
    }
    let Some(response_mode) = mode else {
        return refuse("invalid_request", "response_mode must be query or form_post");
    };
    match params.response_type.as_deref() {
        Some("code") => {}
        Some(_) => return refuse("unsupported_response_type", "response_type must be code"),
        None => return refuse("invalid_request", "response_type is missing"),
    }
    let scopes = Scopes::parse(params.scope.as_deref().unwrap_or_default());
    if !scopes.has(Scope::Openid) {
        return refuse("invalid_scope", "scope must contain openid");
    }
    let (challenge, method) =
        (params.code_challenge.as_deref(), params.code_challenge_method.as_deref());
    if let Err(error) = grant::check_pkce(site, false, challenge, method) {
        return refuse("invalid_request", &error.to_string());
    }
    let prompt = match prompt(params.prompt.as_deref().unwrap_or_default()) {
        Ok(prompt) => prompt,
        Err(description) => return refuse("invalid_request", description),
    };
    let max_age = match params.max_age.as_deref().map(str::parse) {
        None => None,
        Some(Ok(seconds)) => Some(Duration::from_secs(seconds)),
        Some(Err(_)) => return refuse("invalid_request", "max_age must be a number of seconds"),
    };
    let request = Request {
        site: site.id.clone(),
        redirect_uri,
        scopes,
        state: params.state,
        nonce: params.nonce,
        code_challenge: params.code_challenge,
        response_mode,
    };
    Ok(Authorize { site, request, prompt, max_age })
}

fn prompt(words: &str) -> Result<Prompt, &'static str> {
    let words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        [] => Ok(Prompt::Ordinary),
        ["none"] => Ok(Prompt::None),
        words if words.contains(&"none") => Err("prompt=none goes with no other"),
        _ => Ok(Prompt::Scan),
    }
}

/// The answer that no page could be shown for `prompt=none`.
pub fn login_required(app: &App, request: &Request) -> Answer {
    Answer::new(app, request.redirect_uri.clone(), request.response_mode, request.state.as_ref())
        .error("login_required", "nobody is signed in here")
}

/// The answer to what a phone decided.
pub fn answer(app: &App, claim: &Claim) -> Answer {
    let request = &claim.request;
    let answer = Answer::new(
        app,
        request.redirect_uri.clone(),
        request.response_mode,
        request.state.as_ref(),
    );
    match &claim.code {
        Some(code) => answer.with("code", code.reveal()),
        None => answer.error("access_denied", "the person said no"),
    }
}

/// An error of the token endpoint and its neighbours (RFC 6749 section 5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthError {
    /// OAuth's word.
    pub error: &'static str,
    /// What is wrong, for who writes the application.
    pub description: String,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl OauthError {
    /// An error by OAuth's word.
    pub fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self { error, description: description.into(), retry_after: None }
    }
}

impl From<RedeemError> for OauthError {
    fn from(error: RedeemError) -> Self {
        Self::new("invalid_grant", error.to_string())
    }
}

impl From<Error> for OauthError {
    fn from(error: Error) -> Self {
        if error.code == Code::TooManyRequests {
            let after = error.retry_after.unwrap_or_default();
            return Self {
                retry_after: Some(after),
                ..Self::new("too_many_requests", "that was too often; see Retry-After")
            };
        }
        tracing::error!(name: "oauth.failed", cause = ?error, "a site could not be answered");
        Self::new("temporarily_unavailable", "try again shortly")
    }
}

impl From<crate::store::Error> for OauthError {
    fn from(error: crate::store::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<keys::Error> for OauthError {
    fn from(error: keys::Error) -> Self {
        tracing::error!(name: "keys.failed", %error, "an id_token could not be signed");
        Self::new("server_error", "the id_token could not be signed")
    }
}

/// How a site proves who it is.
#[derive(Debug, Clone, Default)]
pub struct ClientAuth {
    /// Its `client_id`.
    pub id: Option<String>,
    /// Its secret, in the header or the form.
    pub secret: Option<Secret>,
}

/// The site that this proves.
///
/// # Errors
/// `invalid_client`, the same for an unknown site and a wrong secret.
pub fn authenticate<'a>(app: &'a App, auth: &ClientAuth) -> Result<&'a Site, OauthError> {
    let refused = || {
        OauthError::new("invalid_client", "unknown client_id, or a wrong or missing client_secret")
    };
    let site = auth.id.as_deref().and_then(|id| app.sites.get(id)).ok_or_else(refused)?;
    let proven = match &auth.secret {
        None => site.is_public(),
        Some(secret) => !site.is_public() && secret.hashed() == site.secret.hashed(),
    };
    if !proven {
        return Err(refused());
    }
    if !site.is_public() {
        app.limits.of_site(&site.id, app.world.now())?;
    }
    Ok(site)
}

/// What a site sends to redeem a code.
#[derive(Debug)]
pub struct Redeem {
    /// The authorization code.
    pub code: Secret,
    /// Once more, to the letter.
    pub redirect_uri: Option<String>,
    /// The PKCE verifier.
    pub verifier: Option<String>,
}

/// Redeems a code: consumed before anything is minted; of many racing redemptions one wins, and the others revoke what it
/// gave (RFC 6749 section 4.1.2). A wrong verifier burns the code.
///
/// # Errors
/// `invalid_grant`.
pub async fn redeem(app: &App, site: &Site, sent: Redeem) -> Result<Value, OauthError> {
    let unknown = || OauthError::new("invalid_grant", "the code is unknown or has been used");
    let code = sent.code.hashed();
    let now = app.world.now();
    let decided = app.store.decision_by_code(code).await?.ok_or_else(unknown)?;
    let (Some(login), request) = (&decided.login, &decided.decision.request) else {
        return Err(unknown());
    };
    if decided.redeemed.is_some() {
        // Told apart from a first redemption only by the store, which revokes what the first gave, if it is this site's.
        if request.site == site.id {
            app.store.redeem(code, Vec::new(), now).await?;
        }
        return Err(unknown());
    }
    let until = login::redeemable_until(app, &decided).await?;
    let (redirect_uri, verifier) = (sent.redirect_uri.as_deref(), sent.verifier.as_deref());
    let checked = grant::check_redemption(request, &site.id, redirect_uri, verifier, until, now);
    if let Err(error) = checked {
        if error == RedeemError::WrongVerifier {
            app.store.redeem(code, Vec::new(), now).await?;
        }
        return Err(error.into());
    }
    if login.ended.is_some() {
        return Err(unknown());
    }
    let access = Secret::new(&app.world);
    let token = Token {
        hash: access.hashed(),
        kind: TokenKind::Access,
        login: login.id.clone(),
        scopes: login.scopes.clone(),
        made: now,
        expires: now + ACCESS_LIFE,
    };
    if app.store.redeem(code, vec![token], now).await? == Redemption::Reused {
        return Err(unknown());
    }
    let id_token = id_token(app, site, login, request.nonce.as_deref(), &access)?;
    Ok(json!({
        "access_token": access.reveal(),
        "token_type": "Bearer",
        "expires_in": ACCESS_LIFE.as_secs(),
        "scope": login.scopes.to_string(),
        "id_token": id_token,
    }))
}

fn id_token(
    app: &App,
    site: &Site,
    login: &Login,
    nonce: Option<&str>,
    access: &Secret,
) -> Result<String, OauthError> {
    let now = app.world.now();
    let mut claims = Map::new();
    let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    claim("iss", json!(app.settings.public_url));
    claim("sub", json!(login.sub));
    claim("aud", json!(site.id));
    claim("iat", json!(now.seconds()));
    claim("exp", json!((now + ID_TOKEN_LIFE).seconds()));
    claim("auth_time", json!(login.since.seconds()));
    // A second device in the person's hand, and a tap on it (RFC 8176: multiple channels, user presence).
    claim("amr", json!(["mca", "user"]));
    claim("at_hash", json!(keys::at_hash(access.reveal())));
    claim("sid", json!(login.id));
    if let Some(nonce) = nonce {
        claim("nonce", json!(nonce));
    }
    Ok(app.keys.sign(site.alg, "JWT", &claims)?)
}

/// The living access token behind a bearer token.
///
/// # Errors
/// `invalid_token`.
pub async fn bearer(app: &App, token: Hashed) -> Result<LiveToken, OauthError> {
    let live = app.store.live_token(token, app.world.now()).await?;
    let live = live.filter(|live| live.token.kind == TokenKind::Access);
    live.ok_or_else(|| {
        OauthError::new("invalid_token", "the access token is unknown, has expired or was revoked")
    })
}

/// What userinfo says (OIDC Core 5.3): of each scope what was ticked, and nothing else.
pub fn claims(app: &App, live: &LiveToken) -> Value {
    let mut claims = Map::new();
    let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    claim("sub", json!(live.login.sub));
    let has = |scope| live.token.scopes.has(scope);
    if has(Scope::Profile) {
        claim("name", json!(live.person.name()));
        claim("preferred_username", json!(live.person.username));
        if let Some(path) = login::face_of(&live.person).avatar {
            claim("picture", json!(format!("{}{path}", app.settings.public_url)));
        }
    }
    if has(Scope::Wechat) {
        claim("wechat_openid", json!(live.login.identity.openid));
        if let Some(unionid) = &live.login.identity.unionid {
            claim("wechat_unionid", json!(unionid));
        }
    }
    Value::Object(claims)
}

/// Whether this browser may skip the scan for what a site asks: a living login there or in its group that a phone approved
/// in this browser, young enough, and with everything granted that is asked for.
pub fn may_skip<'a>(
    app: &App,
    authorize: &Authorize<'_>,
    logins: &'a [Login],
) -> Option<&'a Login> {
    if authorize.prompt == Prompt::Scan {
        return None;
    }
    let now = app.world.now();
    let of_group = |login: &&Login| {
        let group = app.sites.get(&login.site).map(Site::group);
        group == Some(authorize.site.group())
    };
    let young = |login: &&Login| authorize.max_age.is_none_or(|age| now.since(login.since) <= age);
    let granted = |login: &&Login| authorize.request.scopes.within(&login.scopes);
    logins.iter().find(|login| of_group(login) && young(login) && granted(login))
}

/// What `/.well-known/openid-configuration` says (OIDC Discovery 3, RFC 8414).
pub fn discovery(app: &App) -> Value {
    let issuer = &app.settings.public_url;
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/oauth2/authorize"),
        "token_endpoint": format!("{issuer}/oauth2/token"),
        "userinfo_endpoint": format!("{issuer}/oauth2/userinfo"),
        "jwks_uri": format!("{issuer}/oauth2/jwks"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "scopes_supported": ["openid", "profile", "wechat"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "amr", "sid",
            "name", "preferred_username", "picture", "wechat_openid", "wechat_unionid"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "claims_parameter_supported": false,
        "ui_locales_supported": ["zh", "en"],
    })
}
