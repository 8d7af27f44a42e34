//! The page's calls: open, code, claim, renew, digits, cancel. `watch.rs` has the waiting.

use std::{borrow::Cow, collections::BTreeMap};

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts as _, Request as HttpRequest, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    caller::{Caller, Origin, Piece, Sent},
    cookies,
};
use crate::{
    app::{App, SharedApp},
    error::{Code, Error},
    grant::{self, Request, ResponseMode, Scopes},
    login::{self, Claim, Opener, Opening, Outcome},
    oidc,
    secret::{Hashed, Secret},
    site,
    ticket::{Kind, Presented},
};

#[derive(Deserialize, JsonSchema)]
pub(super) struct Open {
    client_id: String,
    redirect_uri: String,
    scope: Option<String>,
    state: Option<String>,
    nonce: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    on_phone: Option<bool>,
}

/// What proves a page: nothing for the hosted one, whose cookie does.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Proof {
    key: Option<Secret>,
}

/// A call that changes a ticket: which one, and what may prove that it is the caller's.
pub(super) struct OwnTicket {
    /// Its id in plain, as it stands in the address.
    pub(super) name: String,
    pub(super) id: Hashed,
    pub(super) presented: Presented,
    /// Such a call needs one; which is right depends on the ticket.
    pub(super) origin: String,
}

impl FromRequest<SharedApp> for OwnTicket {
    type Rejection = Response;

    async fn from_request(request: HttpRequest, app: &SharedApp) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let Ok(caller) = Caller::from_request_parts(&mut parts, app).await;
        let piece = Piece::from_request_parts(&mut parts, app).await;
        let Piece(name) = piece.map_err(IntoResponse::into_response)?;
        let origin = Origin::from_request_parts(&mut parts, app).await;
        let Origin(origin) = origin.map_err(IntoResponse::into_response)?;
        let sent = Sent::from_request(HttpRequest::from_parts(parts, body), app).await;
        let Sent(Proof { key }) = sent?;
        let presented = caller.presents(key.as_ref());
        Ok(Self { id: Hashed::of(&name), name, presented, origin })
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Opened {
    ticket: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    expires_in: u64,
    /// None where there is no code to show: on the phone itself, while WeChat is away.
    code_url: Option<String>,
    ws_url: String,
    events_url: String,
    poll_url: String,
}

impl From<Opening> for Opened {
    fn from(opening: Opening) -> Self {
        let ticket = opening.ticket.reveal();
        let path = |below: &str| format!("/api/tickets/{ticket}{below}");
        Self {
            code_url: opening.has_code.then(|| path("/code")),
            ws_url: path("/ws"),
            events_url: path("/events"),
            poll_url: path(""),
            key: opening.key.map(|key| key.reveal().to_owned()),
            expires_in: opening.expires_in,
            ticket: ticket.to_owned(),
        }
    }
}

pub(super) async fn open(
    State(app): State<SharedApp>,
    caller: Caller,
    Origin(origin): Origin,
    Sent(open): Sent<Open>,
) -> Result<Response, Error> {
    let site = app.sites.get(&open.client_id).ok_or(Code::UnknownSite)?;
    if !site.allows_origin(&origin) {
        return Err(Code::OriginNotAllowed.into());
    }
    if !site.allows_redirect(&open.redirect_uri) {
        let code = Code::RedirectUriNotRegistered;
        return Err(Error::unregistered(code, &open.redirect_uri));
    }
    let (challenge, method) =
        (open.code_challenge.as_deref(), open.code_challenge_method.as_deref());
    let code_challenge = grant::check_pkce(&site, true, challenge, method)
        .map_err(|error| Error::invalid(error.to_string()))?;
    let scopes = Scopes::parse(open.scope.as_deref().unwrap_or("openid"));
    if !scopes.has(grant::Scope::Openid) {
        return Err(Error::invalid("scope: must contain openid"));
    }
    oidc::check_kept(&[open.state.as_deref(), open.nonce.as_deref()]).map_err(Error::invalid)?;
    let request = Request {
        site: site.id.clone(),
        redirect_uri: open.redirect_uri,
        scopes,
        state: open.state,
        nonce: open.nonce,
        code_challenge,
        response_mode: ResponseMode::Query,
        expects: None,
        link: None,
    };
    let kind = if open.on_phone.unwrap_or_default() { Kind::OnPhone } else { Kind::Page };
    let opening =
        login::open(&app, &site, request, Opener::Page { origin }, kind, caller.browser()).await?;
    Ok(created(opening))
}

fn created(opening: Opening) -> Response {
    (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(Opened::from(opening)))
        .into_response()
}

pub(super) async fn code(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(ticket): Piece,
) -> Result<Response, Error> {
    let (presented, origin) = (caller.presents(None), caller.origin.as_deref());
    let picture = login::picture(&app, Hashed::of(ticket), presented, origin).await?;
    let headers = [
        (header::CONTENT_TYPE, picture.content_type),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        // An `<img>` of any site may show it: who has the ticket id may see the code.
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            "cross-origin".to_owned(),
        ),
    ];
    Ok((headers, picture.bytes).into_response())
}

/// What a claim gives: an embedded page its parameters, the hosted one only where to go next.
#[derive(Serialize, JsonSchema)]
pub(super) struct Claimed {
    redirect_to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<BTreeMap<Cow<'static, str>, String>>,
}

pub(super) async fn claim(State(app): State<SharedApp>, own: OwnTicket) -> Result<Response, Error> {
    let claim = login::claim(&app, own.id, own.presented, Some(&own.origin)).await?;
    let answer = oidc::answer(&app, &claim);
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    if own.presented.key.is_some() {
        let redirect_to = answer.redirect_to();
        let params = Some(answer.params.into_iter().collect());
        return Ok((no_store, Json(Claimed { redirect_to, params })).into_response());
    }
    let life = app.settings.session.life;
    let session =
        claim.session.as_ref().map(|session| cookies::public(&app).session(session, life));
    let redirect_to = next_address(&app, &claim, &answer, &own.name);
    Ok((no_store, cookies::give(session), Json(Claimed { redirect_to, params: None }))
        .into_response())
}

/// Where the hosted page goes next.
fn next_address(app: &App, claim: &Claim, answer: &oidc::Answer, ticket: &str) -> String {
    if claim.request.site == site::SELF {
        // saoma redeems no code of its own, so none stands in the address.
        let approved = matches!(claim.outcome, Outcome::Code(_));
        let home = || format!("{}/", app.settings.public_url);
        return if approved { claim.request.redirect_uri.clone() } else { home() };
    }
    match claim.request.response_mode {
        ResponseMode::Query | ResponseMode::Rainbow => answer.redirect_to(),
        ResponseMode::FormPost => format!("{}/tickets/{ticket}/answer", app.settings.public_url),
    }
}

pub(super) async fn renew(State(app): State<SharedApp>, own: OwnTicket) -> Result<Response, Error> {
    Ok(created(login::renew(&app, own.id, own.presented, Some(&own.origin)).await?))
}

/// What is typed into the mini program.
#[derive(Serialize, JsonSchema)]
pub(super) struct Digits {
    digits: String,
    expires_in: u64,
}

pub(super) async fn digits(
    State(app): State<SharedApp>,
    own: OwnTicket,
) -> Result<Response, Error> {
    let (digits, expires_in) =
        login::digits(&app, own.id, own.presented, Some(&own.origin)).await?;
    let body = Json(Digits { digits, expires_in });
    Ok(([(header::CACHE_CONTROL, "no-store")], body).into_response())
}

pub(super) async fn cancel(
    State(app): State<SharedApp>,
    own: OwnTicket,
) -> Result<StatusCode, Error> {
    login::cancel(&app, own.id, own.presented, Some(&own.origin)).await?;
    Ok(StatusCode::NO_CONTENT)
}
