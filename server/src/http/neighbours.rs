//! What other services of the same mini program ask, on the operators' listener alone.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::caller::Caller;
use crate::{app::SharedApp, error::Error, neighbours};

pub(super) async fn token(State(app): State<SharedApp>, caller: Caller) -> Result<Response, Error> {
    let (token, left) = neighbours::give(&app, caller.bearer.as_ref(), caller.address).await?;
    let body = Json(json!({ "access_token": token.expose(), "expires_in": left.as_secs() }));
    Ok(([(header::CACHE_CONTROL, "no-store")], body).into_response())
}
