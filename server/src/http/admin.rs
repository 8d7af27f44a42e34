//! What operators and their monitors ask: alive, ready.

use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::app::SharedApp;

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
}

/// Ready: the stores answer and there is a token or a code to go on with.
pub(super) async fn readyz(State(app): State<SharedApp>) -> (StatusCode, Json<Ready>) {
    let (store, tickets) = tokio::join!(app.store.ping(), app.tickets.ping());
    let token = app.wechat.token_status();
    // Codes in hand ride out an upstream that is away.
    let wechat = token.present || app.codes.level() > 0;
    let ready = store.is_ok() && tickets.is_ok() && wechat;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |ok: bool| if ok { "ok" } else { "down" };
    let (store, tickets) = (word(store.is_ok()), word(tickets.is_ok()));
    (status, Json(Ready { ready, store, tickets, wechat: word(wechat) }))
}
