//! What an owner's phone is told and tells of those who ask to be let in.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    caller::{Caller, Sent, js_code},
    reply::site_shown,
};
use crate::{
    app::SharedApp,
    error::{Code, Error},
    login::face_of,
    owner,
};

pub(super) async fn asks(
    State(app): State<SharedApp>,
    caller: Caller,
) -> Result<Json<Value>, Error> {
    let found = owner::asks(&app, caller.token()?).await?;
    let asks: Vec<_> = found
        .iter()
        .map(|ask| {
            let browser = ask.browser.as_ref();
            let face = face_of(&ask.person);
            json!({
                "person": { "name": ask.person.username, "nickname": face.nickname, "avatar": face.avatar },
                "site": site_shown(&app, &ask.site, true),
                "browser": browser.map(|it| json!({ "name": it.name, "os": it.os, "region": it.region })),
                "at": ask.at.seconds(),
            })
        })
        .collect();
    Ok(Json(json!({ "asks": asks })))
}

#[derive(Deserialize)]
pub(super) struct Answer {
    js_code: String,
    admit: bool,
}

pub(super) async fn answer(
    State(app): State<SharedApp>,
    caller: Caller,
    names: Result<Path<(String, String)>, PathRejection>,
    Sent(sent): Sent<Answer>,
) -> Result<StatusCode, Error> {
    let Path((person, site)) = names.map_err(|_| Code::NotFound)?;
    let js_code = js_code(&sent.js_code)?;
    owner::answer(&app, caller.token()?, js_code, (&person, &site), sent.admit).await?;
    Ok(StatusCode::NO_CONTENT)
}
