//! What an owner's phone is told and tells of those who ask to be let in.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    caller::{Caller, Sent, js_code},
    reply::{ShownBrowser, ShownSite, site_shown},
};
use crate::{
    app::SharedApp,
    error::{Code, Error},
    login::face_of,
    owner,
    store::Asker,
    ticket::Face,
};

/// Who asks to be let in.
#[derive(Serialize, JsonSchema)]
pub(super) struct Asks {
    asks: Vec<OneAsk>,
}

#[derive(Serialize, JsonSchema)]
struct OneAsk {
    person: AskingPerson,
    site: ShownSite,
    browser: Option<ShownBrowser>,
    at: i64,
}

#[derive(Serialize, JsonSchema)]
struct AskingPerson {
    /// The fixed user name.
    name: String,
    nickname: Option<String>,
    avatar: Option<String>,
}

pub(super) async fn asks(
    State(app): State<SharedApp>,
    caller: Caller,
) -> Result<Json<Asks>, Error> {
    let found = owner::asks(&app, caller.token()?).await?;
    let shown = |ask: Asker| {
        let Face { nickname, avatar } = face_of(&ask.person);
        OneAsk {
            person: AskingPerson { name: ask.person.username, nickname, avatar },
            site: site_shown(&app, &ask.site, true),
            browser: ask.browser.map(Into::into),
            at: ask.at.seconds(),
        }
    };
    Ok(Json(Asks { asks: found.into_iter().map(shown).collect() }))
}

#[derive(Deserialize, JsonSchema)]
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
