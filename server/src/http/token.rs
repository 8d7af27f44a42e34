//! What a site's own server or its device calls: token, revoke, introspect, userinfo, requests pushed ahead, and devices
//! that begin.

use axum::{
    Form, Json,
    extract::{FromRequest, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use url::form_urlencoded;

use super::{
    caller::{Caller, Pairs},
    reply::{no_store, oauth_error},
};
use crate::{
    app::SharedApp,
    limits::What,
    oidc::{self, ClientAuth, Failure, OauthError, Params, Redeem, Refresh, Tokens},
    secret::Secret,
};

#[derive(Deserialize, JsonSchema)]
pub(super) struct TokenForm {
    #[serde(default, deserialize_with = "none_if_empty")]
    grant_type: Option<String>,
    #[serde(default, deserialize_with = "none_if_empty")]
    code: Option<Secret>,
    #[serde(default, deserialize_with = "none_if_empty")]
    redirect_uri: Option<String>,
    #[serde(default, deserialize_with = "none_if_empty")]
    code_verifier: Option<String>,
    #[serde(default, deserialize_with = "none_if_empty")]
    refresh_token: Option<Secret>,
    #[serde(default, deserialize_with = "none_if_empty")]
    device_code: Option<Secret>,
    #[serde(default, deserialize_with = "none_if_empty")]
    scope: Option<String>,
    #[serde(default, deserialize_with = "none_if_empty")]
    client_id: Option<String>,
    #[serde(default, deserialize_with = "none_if_empty")]
    client_secret: Option<Secret>,
}

/// A parameter without a value counts as left out (RFC 6749 section 3.2): many libraries send every field of their form.
fn none_if_empty<'de, D: Deserializer<'de>, T: From<String>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok((!text.is_empty()).then(|| T::from(text)))
}

/// A form; what is wrong with one is said in OAuth's words.
pub(super) struct Sent<T>(T);

impl<T: DeserializeOwned> FromRequest<SharedApp> for Sent<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &SharedApp) -> Result<Self, Response> {
        let form = Form::from_request(request, app).await;
        form.map(|Form(sent)| Self(sent)).map_err(|wrong| {
            let mut response = oauth_error(&OauthError::new("invalid_request", wrong.body_text()));
            if wrong.status() == StatusCode::PAYLOAD_TOO_LARGE {
                *response.status_mut() = wrong.status();
            }
            response
        })
    }
}

pub(super) async fn token(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    Sent(form): Sent<TokenForm>,
) -> Response {
    answer(give(&app, &headers, form).await)
}

async fn give(app: &SharedApp, headers: &HeaderMap, form: TokenForm) -> Result<Tokens, OauthError> {
    let auth = client_auth(headers, form.client_id, form.client_secret)?;
    let site = oidc::authenticate(app, &auth)?;
    let missing = |name| OauthError::new("invalid_request", format!("{name} is missing"));
    match form.grant_type.as_deref() {
        Some("authorization_code") => {
            let code = form.code.ok_or_else(|| missing("code"))?;
            let sent =
                Redeem { code, redirect_uri: form.redirect_uri, verifier: form.code_verifier };
            oidc::redeem(app, &site, sent).await
        }
        Some("refresh_token") => {
            let token = form.refresh_token.ok_or_else(|| missing("refresh_token"))?;
            oidc::refresh(app, &site, Refresh { token, scope: form.scope }).await
        }
        Some(oidc::DEVICE_GRANT) => {
            let code = form.device_code.ok_or_else(|| missing("device_code"))?;
            oidc::device_asks(app, &site, &code).await
        }
        Some(_) => Err(OauthError::new(
            "unsupported_grant_type",
            "grant_type must be authorization_code, refresh_token or that of RFC 8628",
        )),
        None => Err(missing("grant_type")),
    }
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct DeviceForm {
    #[serde(default, deserialize_with = "none_if_empty")]
    scope: Option<String>,
    #[serde(default, deserialize_with = "none_if_empty")]
    client_id: Option<String>,
    #[serde(default, deserialize_with = "none_if_empty")]
    client_secret: Option<Secret>,
}

/// A device begins (RFC 8628 section 3.1).
pub(super) async fn device(
    State(app): State<SharedApp>,
    caller: Caller,
    headers: HeaderMap,
    Sent(sent): Sent<DeviceForm>,
) -> Response {
    let begun = async {
        let auth = client_auth(&headers, sent.client_id, sent.client_secret)?;
        let site = oidc::authenticate(&app, &auth)?;
        oidc::device(&app, &site, sent.scope.as_deref(), caller.browser()).await
    };
    answer(begun.await)
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct OneToken {
    #[serde(default, deserialize_with = "none_if_empty")]
    token: Option<Secret>,
    #[serde(default, deserialize_with = "none_if_empty")]
    client_id: Option<String>,
    #[serde(default, deserialize_with = "none_if_empty")]
    client_secret: Option<Secret>,
}

pub(super) async fn revoke(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    Sent(sent): Sent<OneToken>,
) -> Response {
    let revoked = async {
        let auth = client_auth(&headers, sent.client_id, sent.client_secret)?;
        let site = oidc::authenticate(&app, &auth)?;
        let token =
            sent.token.ok_or_else(|| OauthError::new("invalid_request", "token is missing"))?;
        oidc::revoke(&app, &site, &token).await
    };
    match revoked.await {
        Ok(()) => no_store(StatusCode::OK.into_response()),
        Err(error) => oauth_error(&error),
    }
}

pub(super) async fn introspect(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    Sent(sent): Sent<OneToken>,
) -> Response {
    let looked = async {
        let auth = client_auth(&headers, sent.client_id, sent.client_secret)?;
        // Who has no secret cannot prove that a token is theirs to ask about (RFC 7662 section 2.1).
        if auth.secret.is_none() {
            return Err(OauthError::new("invalid_client", "introspection needs a client_secret"));
        }
        let site = oidc::authenticate(&app, &auth)?;
        let token =
            sent.token.ok_or_else(|| OauthError::new("invalid_request", "token is missing"))?;
        oidc::introspect(&app, &site, &token).await
    };
    answer(looked.await)
}

/// What a pushed request is called from now on (RFC 9126 section 2.2).
#[derive(Serialize, JsonSchema)]
pub(super) struct Pushed {
    request_uri: String,
    expires_in: u64,
}

/// A pushed authorization request (RFC 9126).
pub(super) async fn par(
    State(app): State<SharedApp>,
    caller: Caller,
    headers: HeaderMap,
    Sent(pairs): Sent<Pairs>,
) -> Response {
    let pushed = async {
        let value = |name: &str| {
            let mut found = pairs.iter().filter(|(key, value)| key == name && !value.is_empty());
            found.next().map(|(_, value)| value.clone())
        };
        let secret = value("client_secret").map(Secret::from);
        let auth = client_auth(&headers, value("client_id"), secret)?;
        let site = oidc::authenticate(&app, &auth)?;
        if site.is_public() {
            // It has proved nothing: anybody can push in its name.
            app.limits.of_address(What::Keep, caller.address, app.world.now())?;
        }
        let named = [("client_id".to_owned(), site.id.clone())];
        let params = pairs.into_iter().filter(|(name, _)| name != "client_id").chain(named);
        let params = Params::read(params);
        match oidc::authorize(&app, &params) {
            Ok(_) => {}
            Err(Failure::Page(error)) => return Err(error.into()),
            Err(Failure::Refused(error, _)) => return Err(error),
        }
        let request_uri = oidc::push(&app, &params).await?;
        Ok(Pushed { request_uri, expires_in: oidc::PUSHED_LIFE.as_secs() })
    };
    match pushed.await {
        Ok(body) => no_store((StatusCode::CREATED, Json(body)).into_response()),
        Err(error) => oauth_error(&error),
    }
}

fn answer(answer: Result<impl Serialize, OauthError>) -> Response {
    match answer {
        Ok(body) => no_store(Json(body).into_response()),
        Err(error) => oauth_error(&error),
    }
}

#[derive(Deserialize, Default, JsonSchema)]
pub(super) struct BodyToken {
    #[serde(default, deserialize_with = "none_if_empty")]
    access_token: Option<Secret>,
}

/// The token comes in the header alone: a URL is written down wherever it passes (RFC 6750 section 5.3).
pub(super) async fn userinfo(State(app): State<SharedApp>, caller: Caller) -> Response {
    tell(&app, caller.bearer).await
}

/// The same, or in the body (RFC 6750 section 2.2).
pub(super) async fn userinfo_by_post(
    State(app): State<SharedApp>,
    caller: Caller,
    sent: Result<Sent<BodyToken>, Response>,
) -> Response {
    let body = match sent {
        Ok(Sent(body)) => body,
        Err(refused) if refused.status() == StatusCode::PAYLOAD_TOO_LARGE => return refused,
        // A body that is no form holds no token.
        Err(_) => BodyToken::default(),
    };
    if caller.bearer.is_some() && body.access_token.is_some() {
        let why = "the access token stands in the header and in the body; send one";
        let challenge =
            [(header::WWW_AUTHENTICATE, "Bearer realm=\"saoma\", error=\"invalid_request\"")];
        return (challenge, oauth_error(&OauthError::new("invalid_request", why))).into_response();
    }
    tell(&app, caller.bearer.or(body.access_token)).await
}

async fn tell(app: &SharedApp, token: Option<Secret>) -> Response {
    let Some(token) = token else {
        // Nothing was sent, so nothing is wrong with it (RFC 6750 section 3.1).
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"saoma\"")];
        return no_store((StatusCode::UNAUTHORIZED, challenge).into_response());
    };
    answer(oidc::bearer(app, &token).await.and_then(|live| oidc::claims(app, &live)))
}

/// The site's id and secret, from the header or the form but not both (RFC 6749 section 2.3.1). In the header both are
/// form-encoded before they are put together.
fn client_auth(
    headers: &HeaderMap,
    id: Option<String>,
    secret: Option<Secret>,
) -> Result<ClientAuth, OauthError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(ClientAuth { id, secret, unencoded: None });
    };
    let refused = || {
        OauthError::new(
            "invalid_client",
            "the Authorization header is not Basic with client_id:client_secret",
        )
    };
    let value = value.to_str().map_err(|_| refused())?;
    let (scheme, encoded) = value.split_once(' ').ok_or_else(refused)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(refused());
    }
    let decoded =
        STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(refused)?;
    let (header_id, header_secret) = decoded.split_once(':').ok_or_else(refused)?;
    let header_id = form_decoded(header_id);
    if secret.is_some() || id.is_some_and(|id| id != header_id) {
        return Err(OauthError::new(
            "invalid_request",
            "client credentials stand in the header and in the body; send one",
        ));
    }
    let given = |text: String| (!text.is_empty()).then(|| Secret::from(text));
    let (secret, unencoded) = (given(form_decoded(header_secret)), given(header_secret.to_owned()));
    Ok(ClientAuth { id: Some(header_id), secret, unencoded })
}

/// Undoes `application/x-www-form-urlencoded` for one value.
fn form_decoded(text: &str) -> String {
    let mut pairs = form_urlencoded::parse(text.as_bytes());
    let (name, value) = pairs.next().unwrap_or_default();
    // A secret may hold an unencoded `=`; an `&` would have had to be encoded.
    if text.contains('=') { format!("{name}={value}") } else { name.into_owned() }
}
