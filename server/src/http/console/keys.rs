//! Signing keys: listed with the part each plays, and rotated.

use askama::Template;
use axum::response::Response;

use super::{super::reply::html, Act, Desk, back};
use crate::{
    console::access::by,
    error::{Code, Error},
    keys::{Role, plain, role_of},
};

#[derive(Template)]
#[template(path = "console/keys.html")]
struct Page {
    desk: Desk,
    keys: Vec<Row>,
    locked: bool,
    every: String,
}

struct Row {
    kid: String,
    alg: String,
    role: &'static str,
    class: &'static str,
    made: String,
    signs_from: String,
}

pub(in crate::http) async fn page(desk: Desk) -> Result<Response, Error> {
    let keys = desk.app.store.keys().await?;
    let (now, l) = (desk.app.world.now(), desk.l);
    let mut rows: Vec<Row> = keys
        .iter()
        .map(|key| {
            let (role, class) = match role_of(key, &keys, now) {
                Role::Next => (l.s("下一把", "next"), "next"),
                Role::Current => (l.s("正在签名", "signs"), "current"),
                Role::Previous => (l.s("上一把", "previous"), "previous"),
                Role::Retired => (l.s("已退役", "retired"), "retired"),
            };
            Row {
                kid: key.kid.clone(),
                alg: format!("{:?}", key.alg),
                role,
                class,
                made: desk.time(key.made),
                signs_from: desk.time(key.signs_from),
            }
        })
        .collect();
    rows.sort_by(|one, other| (&other.alg, &other.signs_from).cmp(&(&one.alg, &one.signs_from)));
    let page = Page {
        keys: rows,
        locked: plain(&desk.app.store).await?.is_empty(),
        every: super::span(l, desk.app.settings.keys.rotate.as_secs()),
        desk,
    };
    Ok(html(&page))
}

/// Lets the next keys sign now; what the ones before them signed goes on being verified for a day at least.
pub(in crate::http) async fn rotate(act: Act) -> Result<Response, Error> {
    let Desk { app, operator, .. } = act.desk;
    app.keys
        .rotate(&app.store, &app.world, by(&operator))
        .await
        .map_err(|error| Error { cause: Some(error.to_string()), ..Code::Unavailable.into() })?;
    Ok(back("/console/keys", "rotated"))
}
