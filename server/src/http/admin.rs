//! What operators and their monitors ask: alive, ready.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    app::SharedApp,
    error::{Code, Error},
    metrics::{self, Now},
};

/// Alive: the process answers.
pub(super) async fn healthz() -> &'static str {
    "ok"
}

/// What a server needs to go on, each "ok" or "down".
#[derive(Serialize, JsonSchema)]
pub(super) struct Ready {
    ready: bool,
    store: &'static str,
    tickets: &'static str,
    wechat: &'static str,
    /// Where it is for operators to mend: what is wrong, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// Ready: the stores answer and there is a token or a code to go on with.
pub(super) async fn readyz(State(app): State<SharedApp>) -> (StatusCode, Json<Ready>) {
    let now = Now::of(&app).await;
    let ready = now.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |ok: bool| if ok { "ok" } else { "down" };
    let body = Ready {
        ready,
        store: word(now.store),
        tickets: word(now.tickets_held.is_some()),
        wechat: word(now.wechat()),
        why: now.moved_on,
    };
    (status, Json(body))
}

/// Everything that is counted, for Prometheus.
pub(super) async fn metrics(State(app): State<SharedApp>) -> Result<impl IntoResponse, Error> {
    let now = Now::of(&app).await;
    let text = app.metrics.text(&now).map_err(|error| Error {
        cause: Some(format!("metrics: {error}")),
        ..Code::Internal.into()
    })?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text))
}
