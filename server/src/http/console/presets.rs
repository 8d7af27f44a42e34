//! A site added by what is known of its application: what is still to be typed, and then what to paste where.

use askama::Template;
use axum::response::Response;

use super::{
    super::{caller::Piece, reply::html},
    Act, Desk,
    sites::refused,
};
use crate::{
    console::sites::{self, Faults, Known},
    error::{Code, Error},
    presets::{self, Paste, Preset, Values},
    secret::Secret,
};

#[derive(Template)]
#[template(path = "console/preset.html")]
struct Form {
    desk: Desk,
    preset: &'static Preset,
    typed: Known,
    faults: Faults,
}

fn known(name: &str) -> Result<&'static Preset, Error> {
    presets::all().iter().find(|preset| preset.name == name).ok_or_else(|| Code::NotFound.into())
}

pub(in crate::http) async fn form(desk: Desk, Piece(name): Piece) -> Result<Response, Error> {
    let preset = known(&name)?;
    let typed = Known {
        id: preset.name.clone(),
        name: preset.short_title().to_owned(),
        ..Known::default()
    };
    Ok(html(&Form { desk, preset, typed, faults: Faults::new() }))
}

#[derive(Template)]
#[template(path = "console/pasted.html")]
struct Pasted {
    desk: Desk,
    preset: &'static Preset,
    id: String,
    url: String,
    paste: Paste,
}

pub(in crate::http) async fn add(Piece(name): Piece, act: Act) -> Result<Response, Error> {
    let preset = known(&name)?;
    let typed: Known = act.read()?;
    let desk = act.desk;
    match sites::add_known(&desk.app, &desk.operator, preset, &typed).await? {
        Ok(secret) => {
            let url = presets::address(typed.url.trim()).unwrap_or_default();
            let id = typed.id.trim().to_owned();
            // Shown in this answer alone, which nobody keeps.
            let values = Values {
                issuer: &desk.app.settings.public_url,
                id: &id,
                secret: secret.as_ref().map(Secret::reveal).unwrap_or_default(),
                url: &url,
            };
            let paste = preset.paste(&values);
            Ok(html(&Pasted { desk, preset, id, url, paste }))
        }
        Err(faults) => Ok(refused(&Form { desk, preset, typed, faults })),
    }
}
