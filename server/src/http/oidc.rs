//! The site's calls: authorize, token, userinfo, jwks, discovery.

use std::time::Duration;

use axum::{
    Form, Json,
    extract::{State, rejection::FormRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use axum_extra::extract::CookieJar;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{
    caller::{Asked, Caller},
    pages,
    reply::error_page,
};
use crate::{
    app::SharedApp,
    error::Error,
    login,
    oidc::{self, Authorize, ClientAuth, Failure, OauthError, Params, Prompt, Redeem},
    secret::Secret,
};

pub(super) async fn authorize(
    State(app): State<SharedApp>,
    caller: Caller,
    cookies: CookieJar,
    asked: Result<Asked<Params>, Error>,
) -> Response {
    let lang = caller.lang;
    let params = match asked {
        Ok(Asked(params)) => params,
        Err(error) => return error_page(lang, &error),
    };
    let authorize = match oidc::authorize(&app, params) {
        Ok(authorize) => authorize,
        Err(Failure::Page(error)) => return error_page(lang, &error),
        Err(Failure::Answer(answer)) => return pages::answered(&app, lang.tag(), &answer),
    };
    match show(&app, &caller, cookies, authorize).await {
        Ok(response) => response,
        Err(error) => error_page(lang, &error),
    }
}

/// A request by POST is answered with the same by GET: only to that one do browsers send Lax cookies along.
pub(super) async fn authorize_by_post(
    caller: Caller,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Response {
    match form {
        Ok(Form(fields)) => {
            let query: String =
                form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            Redirect::to(&format!("/oauth2/authorize?{query}")).into_response()
        }
        Err(refused) => error_page(caller.lang, &Error::invalid(refused.body_text())),
    }
}

/// Shows the page, unless the browser may skip it.
async fn show(
    app: &SharedApp,
    caller: &Caller,
    cookies: CookieJar,
    authorize: Authorize<'_>,
) -> Result<Response, Error> {
    let logins = match &caller.session {
        Some(session) => app.store.session(session.hashed(), app.world.now()).await?,
        None => Vec::new(),
    };
    if let (Some(login), Some(cookie)) = (oidc::may_skip(app, &authorize, &logins), &caller.cookie)
    {
        let (site, browser) = (authorize.site, caller.browser());
        let claim =
            login::skip(app, site, authorize.request, login, cookie.hashed(), browser).await?;
        return Ok(pages::answered(app, caller.lang.tag(), &oidc::answer(app, &claim)));
    }
    if authorize.prompt == Prompt::None {
        let answer = oidc::login_required(app, &authorize.request);
        return Ok(pages::answered(app, caller.lang.tag(), &answer));
    }
    pages::show_code(app, caller, cookies, authorize).await
}

#[derive(Deserialize)]
pub(super) struct TokenForm {
    grant_type: Option<String>,
    code: Option<Secret>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
}

pub(super) async fn token(
    State(app): State<SharedApp>,
    headers: HeaderMap,
    form: Result<Form<TokenForm>, FormRejection>,
) -> Response {
    let redeemed = match form {
        Ok(Form(form)) => redeem(&app, &headers, form).await,
        Err(refused) => Err(OauthError::new("invalid_request", refused.body_text())),
    };
    match redeemed {
        Ok(tokens) => no_store(Json(tokens).into_response()),
        Err(error) => refused(&error),
    }
}

async fn redeem(
    app: &SharedApp,
    headers: &HeaderMap,
    form: TokenForm,
) -> Result<Value, OauthError> {
    let auth = client_auth(headers, form.client_id, form.client_secret)?;
    let site = oidc::authenticate(app, &auth)?;
    match form.grant_type.as_deref() {
        Some("authorization_code") => {
            let code =
                form.code.ok_or_else(|| OauthError::new("invalid_request", "code is missing"))?;
            let sent =
                Redeem { code, redirect_uri: form.redirect_uri, verifier: form.code_verifier };
            oidc::redeem(app, site, sent).await
        }
        Some(_) => {
            Err(OauthError::new("unsupported_grant_type", "grant_type must be authorization_code"))
        }
        None => Err(OauthError::new("invalid_request", "grant_type is missing")),
    }
}

/// The site's id and secret, from the header or the form but not both (RFC 6749 section 2.3.1). In the header both are
/// form-encoded before they are put together.
fn client_auth(
    headers: &HeaderMap,
    id: Option<String>,
    secret: Option<Secret>,
) -> Result<ClientAuth, OauthError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(ClientAuth { id, secret });
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
    let header_secret = form_decoded(header_secret);
    let secret = (!header_secret.is_empty()).then(|| Secret::from(header_secret));
    Ok(ClientAuth { id: Some(header_id), secret })
}

/// Undoes `application/x-www-form-urlencoded` for one value.
fn form_decoded(text: &str) -> String {
    let mut pairs = form_urlencoded::parse(text.as_bytes());
    let (name, value) = pairs.next().unwrap_or_default();
    // A secret may hold an unencoded `=`; an `&` would have had to be encoded.
    if text.contains('=') { format!("{name}={value}") } else { name.into_owned() }
}

/// An OAuth error as JSON (RFC 6749 section 5.2).
pub(super) fn refused(error: &OauthError) -> Response {
    let status = match error.error {
        "invalid_client" | "invalid_token" => StatusCode::UNAUTHORIZED,
        "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
        "too_many_requests" => StatusCode::TOO_MANY_REQUESTS,
        "server_error" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    let body = Json(json!({ "error": error.error, "error_description": error.description }));
    let mut response = no_store((status, body).into_response());
    let challenge = match error.error {
        "invalid_client" => Some(HeaderValue::from_static("Basic realm=\"saoma\"")),
        "invalid_token" => {
            Some(HeaderValue::from_static("Bearer realm=\"saoma\", error=\"invalid_token\""))
        }
        _ => None,
    };
    if let Some(challenge) = challenge {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    let soon = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(5));
    if let Some(after) = error.retry_after.or(soon) {
        let after = HeaderValue::from(after.as_secs().max(1));
        response.headers_mut().insert(header::RETRY_AFTER, after);
    }
    response
}

fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) async fn userinfo(State(app): State<SharedApp>, caller: Caller) -> Response {
    let Some(token) = &caller.bearer else {
        // Nothing was sent, so nothing is wrong with it (RFC 6750 section 3.1).
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"saoma\"")];
        return no_store((StatusCode::UNAUTHORIZED, challenge).into_response());
    };
    match oidc::bearer(&app, token.hashed()).await {
        Ok(live) => no_store(Json(oidc::claims(&app, &live)).into_response()),
        Err(error) => refused(&error),
    }
}

pub(super) async fn jwks(State(app): State<SharedApp>) -> Response {
    ([(header::CACHE_CONTROL, "public, max-age=300")], Json(app.keys.jwks())).into_response()
}

pub(super) async fn discovery(State(app): State<SharedApp>) -> Response {
    let everybody = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    (everybody, Json(oidc::discovery(&app))).into_response()
}
