//! Coming in: by scanning, by a one-time link; and going out.

use askama::Template;
use axum::{
    Form, Json,
    extract::{State, rejection::FormRejection},
    response::{IntoResponse as _, Redirect, Response},
};
use axum_extra::extract::CookieJar;
use serde::Deserialize;
use serde_json::json;

use super::{
    super::{
        browser::OwnTicket,
        caller::{Asked, AtConsole, Caller, Pairs, posted},
        cookies,
        reply::{html, miniprogram},
    },
    Act, Desk, sites,
};
use crate::{
    app::SharedApp,
    console::access::{self, Arrival, Door},
    error::{Code, Error},
    lang::Lang,
    login,
    secret::Secret,
    site::CONSOLE,
    ticket::Kind,
};

pub(in crate::http) async fn home() -> Redirect {
    Redirect::to("/console")
}

#[derive(Template)]
#[template(path = "console/sign_in.html")]
struct SignIn {
    l: Lang,
    lang: &'static str,
    host: String,
    door: Door,
    not_owner: bool,
    ticket: String,
    code_url: String,
    has_code: bool,
    on_phone: bool,
    miniprogram: Option<String>,
    trouble: Option<&'static str>,
}

#[derive(Deserialize)]
pub(in crate::http) struct Why {
    why: Option<String>,
}

/// Where this caller stands; they came in through the console's guard.
pub(super) fn at(caller: &Caller) -> Result<&AtConsole, Error> {
    caller.at.as_ref().ok_or_else(|| Code::WrongHost.into())
}

/// The browser's cookie, a fresh one if it has none, and the jar that gives it.
pub(super) fn known(app: &SharedApp, caller: &Caller) -> Result<(CookieJar, Secret), Error> {
    let cookie = caller.cookie.clone().unwrap_or_else(|| Secret::new(&app.world));
    let given = cookies::console(&at(caller)?.origin).browser(&cookie);
    Ok((cookies::give([given]), cookie))
}

/// The page with the code.
pub(in crate::http) async fn sign_in(
    State(app): State<SharedApp>,
    caller: Caller,
    Asked(asked): Asked<Why>,
) -> Result<Response, Error> {
    if caller.operator(&app).await?.is_some() {
        return Ok(Redirect::to("/console").into_response());
    }
    let (cookies, cookie) = known(&app, &caller)?;
    let door = access::door(&app, Some(cookie.hashed())).await?;
    let mut page = SignIn {
        l: caller.lang,
        lang: caller.lang.tag(),
        host: app.settings.host(),
        door,
        not_owner: asked.why.as_deref() == Some("not-owner"),
        ticket: String::new(),
        code_url: String::new(),
        has_code: false,
        on_phone: caller.is_on_phone(),
        miniprogram: miniprogram(&app, caller.lang),
        trouble: None,
    };
    if door != Door::Nobody {
        let kind = if page.on_phone { Kind::OnPhone } else { Kind::Page };
        let origin = &at(&caller)?.origin;
        match access::open_ticket(&app, cookie.hashed(), origin, kind, caller.browser()).await {
            Ok(opening) => {
                page.ticket = opening.ticket.reveal().to_owned();
                page.code_url = format!("/api/tickets/{}/code", page.ticket);
                page.has_code = opening.has_code;
            }
            // The page tells of the other way in.
            Err(error) if error.code == Code::NoCodeNow => {
                tracing::warn!(name: "console.no_code", cause = ?error.cause, "the console shows no code; `saoma console link` opens it without one");
                let row = error.code.row();
                page.trouble = Some(page.l.s(row.zh, row.en));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((cookies, html(&page)).into_response())
}

/// The page takes what a phone decided: a session for the console's own ticket, what a site would have been told for one that
/// was tried out.
pub(in crate::http) async fn claim(
    State(app): State<SharedApp>,
    caller: Caller,
    own: OwnTicket,
) -> Result<Response, Error> {
    let goes_to = |next: &str| Json(json!({ "redirect_to": next }));
    if let Some(next) = sites::tried_already(&app, &own.name).await? {
        return Ok(goes_to(&next).into_response());
    }
    let claim = login::claim(&app, own.id, own.presented, Some(&own.origin)).await?;
    if claim.request.site != CONSOLE {
        let next = sites::take_tried(&app, &caller, &own.name, &claim).await?;
        return Ok(goes_to(&next).into_response());
    }
    let cookie = caller.cookie.as_ref().map(Secret::hashed).ok_or(Code::NoSuchTicket)?;
    match access::enter(&app, own.id, &claim, cookie, caller.address).await? {
        Some(session) => {
            let known = cookies::console(&at(&caller)?.origin);
            let cookies = cookies::give([known.session(&session, app.settings.console.life)]);
            Ok((cookies, goes_to("/console")).into_response())
        }
        None => Ok(goes_to("/console/sign-in?why=not-owner").into_response()),
    }
}

#[derive(Template)]
#[template(path = "console/link.html")]
struct LinkPage {
    l: Lang,
    host: String,
}

/// The page that a link leads to. What stands behind its `#` never came here; the page posts it.
pub(in crate::http) async fn link(State(app): State<SharedApp>, caller: Caller) -> Response {
    html(&LinkPage { l: caller.lang, host: app.settings.host() })
}

pub(in crate::http) async fn arrive(
    State(app): State<SharedApp>,
    caller: Caller,
    form: Result<Form<Pairs>, FormRejection>,
) -> Result<Response, Error> {
    let pairs = posted(form)?;
    let link = pairs.into_iter().find(|(name, _)| name == "link").map(|(_, value)| value);
    // The whole address may be pasted, or what stands behind its #.
    let link = link.unwrap_or_default();
    let secret = link.rsplit('#').next().unwrap_or_default().trim().to_owned();
    let (cookies, cookie) = known(&app, &caller)?;
    let arrival =
        access::arrive(&app, &Secret::from(secret), cookie.hashed(), caller.address).await?;
    Ok(match arrival {
        Arrival::In { session, life } => {
            let session = cookies::console(&at(&caller)?.origin).session(&session, life);
            (cookies.add(session), Redirect::to("/console")).into_response()
        }
        Arrival::MayClaim => (cookies, Redirect::to("/console/sign-in")).into_response(),
    })
}

pub(in crate::http) async fn sign_out(act: Act) -> Result<Response, Error> {
    let Desk { app, caller, operator, .. } = act.desk;
    access::leave(&app, &operator, caller.address).await?;
    let cookies = cookies::give([cookies::console(&at(&caller)?.origin).no_session()]);
    Ok((cookies, Redirect::to("/console/sign-in")).into_response())
}
