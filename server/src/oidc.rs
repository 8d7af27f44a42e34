//! OpenID Connect: the rules; HTTP's words for them stand in `http/`.
//!
//! Here is what its parts share: what goes back to a site, what an error is called, how a site proves who it is, and what
//! everybody may read about this provider.

use std::{borrow::Cow, sync::Arc, time::Duration};

use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::{
    app::App,
    error::{Code, Error},
    grant::{RedeemError, Request, ResponseMode},
    keys,
    login::{Claim, Outcome},
    secret::Secret,
    site::{FORWARD_CALLBACK, Site, Sites},
    ticket::Denied,
};

mod authorize;
mod claims;
mod device;
mod forward;
mod logout;
pub mod rainbow;
mod token;

pub use authorize::{
    Authorize, Failure, PARAMETERS, PUSHED_LIFE, Params, Prompt, authorize, check_kept, may_skip,
    push, pushed,
};
pub use claims::{bearer, claims};
pub use device::{DEVICE_GRANT, Device, device, device_asks};
pub use forward::{Begun, Visitor, begin, hand_over, sign_out, visitor};
pub use logout::{Leave, Leaving, keep_wish, kept_wish, leave, left, logout_token};
pub use token::{Introspection, Redeem, Refresh, Tokens, introspect, redeem, refresh, revoke};

/// What goes back to a site's redirect address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Where.
    pub redirect_uri: String,
    /// How.
    pub mode: ResponseMode,
    /// What; `iss` is always among it (RFC 9207), but for the rainbow bridge.
    pub params: Vec<(Cow<'static, str>, String)>,
}

impl Answer {
    fn new(app: &App, redirect_uri: String, mode: ResponseMode, state: Option<&str>) -> Self {
        let mut params = Vec::new();
        if let Some(state) = state {
            params.push((Cow::from("state"), state.to_owned()));
        }
        match mode {
            // What its plugins look for; they know no other issuer than the one they asked.
            ResponseMode::Rainbow => params.insert(0, (Cow::from("type"), "wx".to_owned())),
            ResponseMode::Query | ResponseMode::FormPost => {
                params.push((Cow::from("iss"), app.settings.public_url.clone()));
            }
        }
        Self { redirect_uri, mode, params }
    }

    fn to(app: &App, request: &Request) -> Self {
        let (redirect_uri, state) = (request.redirect_uri.clone(), request.state.as_deref());
        Self::new(app, redirect_uri, request.response_mode, state)
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
        if self.mode == ResponseMode::Rainbow {
            // Its plugins register addresses with `type=wx` in them, and many read a list where a name comes twice.
            let is_ours = |pair: &str| {
                let name = form_urlencoded::parse(pair.as_bytes()).next().unwrap_or_default().0;
                self.params.iter().any(|(ours, _)| *ours == name)
            };
            let own = url.query().unwrap_or_default().split('&').filter(|pair| !is_ours(pair));
            let own = own.collect::<Vec<_>>().join("&");
            url.set_query(Some(&own).filter(|own| !own.is_empty()).map(String::as_str));
        }
        url.query_pairs_mut().extend_pairs(&self.params);
        url.into()
    }
}

/// Somebody may well be signed in, but not with all that was asked for, or not as lately, or as somebody else.
const NOTHING_REMEMBERED: &str =
    "no sign-in that this browser remembers answers this request; ask without prompt=none";

/// The answer that no page could be shown for `prompt=none`.
pub fn login_required(app: &App, request: &Request) -> Answer {
    Answer::to(app, request).error("login_required", NOTHING_REMEMBERED)
}

/// The answer to `prompt=none` where something is wrong here: no page may say so.
pub fn unavailable(app: &App, request: &Request) -> Answer {
    Answer::to(app, request).error("temporarily_unavailable", "try again shortly")
}

/// The answer to what a phone decided.
pub fn answer(app: &App, claim: &Claim) -> Answer {
    let answer = Answer::to(app, &claim.request);
    match &claim.outcome {
        Outcome::Code(code) => answer.with("code", code.reveal()),
        Outcome::Denied(why) => {
            let told = answer.error("access_denied", described(*why));
            // There the answer comes back to saoma, which says why on a page of its own.
            let is_own = claim.request.redirect_uri.ends_with(FORWARD_CALLBACK);
            if is_own { told.with("reason", reason(*why)) } else { told }
        }
        Outcome::OtherPerson => {
            answer.error("login_required", "another person than the one of id_token_hint approved")
        }
    }
}

/// The no that came back as this reason.
pub fn denied(word: &str) -> Option<Denied> {
    let all = [Denied::ByPerson, Denied::WrongMatch, Denied::NotAdmitted, Denied::OwnerAsked];
    all.into_iter().find(|why| reason(*why) == word)
}

fn reason(why: Denied) -> &'static str {
    match why {
        Denied::ByPerson => "denied",
        Denied::WrongMatch => "wrong_match",
        Denied::NotAdmitted => "not_admitted",
        Denied::OwnerAsked => "owner_asked",
    }
}

/// What a site is told of a no.
fn described(why: Denied) -> &'static str {
    match why {
        Denied::ByPerson => "the person said no",
        Denied::WrongMatch => "the number typed on the phone was not the one on the page",
        Denied::NotAdmitted => "the owner lets only chosen people in to this site",
        Denied::OwnerAsked => {
            "the owner has been asked to let this person in; sign in again once they have said yes"
        }
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

    /// An error of the request's form.
    fn invalid(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }
}

impl From<RedeemError> for OauthError {
    fn from(error: RedeemError) -> Self {
        Self::new("invalid_grant", error.to_string())
    }
}

impl From<Error> for OauthError {
    fn from(error: Error) -> Self {
        let retry_after = error.retry_after;
        if error.code == Code::TooManyRequests {
            let why = "that was too often; see Retry-After";
            return Self { retry_after, ..Self::new("too_many_requests", why) };
        }
        let row = error.code.row();
        if row.status < 500 {
            let hint = error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            return Self::invalid(format!("{}{hint}", row.en));
        }
        // Where there is none a layer has found the error, and written down why.
        if let Some(cause) = error.cause {
            let code = row.code;
            tracing::error!(name: "oauth.failed", code, cause, "a site could not be answered");
        }
        let retry_after = retry_after.or(Some(Duration::from_secs(5)));
        Self { retry_after, ..Self::new("temporarily_unavailable", "try again shortly") }
    }
}

impl From<crate::store::Error> for OauthError {
    fn from(error: crate::store::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<crate::tickets::Error> for OauthError {
    fn from(error: crate::tickets::Error) -> Self {
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
    /// The header's secret as it stood there. RFC 6749 section 2.3.1 wants it form-encoded, which many libraries leave out
    /// (Authlib, requests): a secret with a `+` or `%` in it would reach nobody otherwise.
    pub unencoded: Option<Secret>,
}

/// The site of this `client_id`. saoma's own page is none, nor is its console: what is approved there opens nothing else.
fn client(app: &App, id: &str) -> Option<Arc<Site>> {
    app.sites.get(id).filter(|site| !Sites::is_own(&site.id))
}

/// The site that this proves.
///
/// # Errors
/// `invalid_client`, the same for an unknown site and a wrong secret.
pub fn authenticate(app: &App, auth: &ClientAuth) -> Result<Arc<Site>, OauthError> {
    let refused = || {
        OauthError::new("invalid_client", "unknown client_id, or a wrong or missing client_secret")
    };
    let site = auth.id.as_deref().and_then(|id| client(app, id)).ok_or_else(refused)?;
    let proven = match &auth.secret {
        None => site.is_public(),
        Some(secret) => {
            site.knows(secret) || auth.unencoded.as_ref().is_some_and(|sent| site.knows(sent))
        }
    };
    if !proven {
        return Err(refused());
    }
    if !site.is_public() {
        app.limits.of_site(&site.id, app.world.now())?;
    }
    Ok(site)
}

/// What `/.well-known/openid-configuration` says (OIDC Discovery 3, RFC 8414).
pub fn discovery(app: &App) -> Value {
    let issuer = &app.settings.public_url;
    let methods = ["client_secret_basic", "client_secret_post", "none"];
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/oauth2/authorize"),
        "token_endpoint": format!("{issuer}/oauth2/token"),
        "userinfo_endpoint": format!("{issuer}/oauth2/userinfo"),
        "jwks_uri": format!("{issuer}/oauth2/jwks"),
        "revocation_endpoint": format!("{issuer}/oauth2/revoke"),
        "introspection_endpoint": format!("{issuer}/oauth2/introspect"),
        "pushed_authorization_request_endpoint": format!("{issuer}/oauth2/par"),
        "device_authorization_endpoint": format!("{issuer}/oauth2/device_authorization"),
        "end_session_endpoint": format!("{issuer}/oauth2/logout"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": ["authorization_code", "refresh_token", DEVICE_GRANT],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "scopes_supported": ["openid", "profile", "email", "wechat", "offline_access"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "acr", "amr", "sid",
            "name", "preferred_username", "picture", "groups", "email", "email_verified", "wechat_openid",
            "wechat_unionid"],
        "acr_values_supported": [claims::ACR_SCAN, claims::ACR_REMEMBERED],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "claims_parameter_supported": false,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "ui_locales_supported": ["zh", "en"],
    })
}
