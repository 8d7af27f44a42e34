//! The phone to hold, as a page in another tab, and the camera that it looks at the screen with.
//!
//! The camera is a layer around saoma that notes which codes browsers have been shown; everything else the phone does goes
//! over HTTP, as the mini program's calls would.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use askama::Template;
use axum::{
    Form, Router,
    extract::{Query, Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Addresses,
    actors::{self, Asked, Told},
};
use crate::{app::SharedApp, secret::Hashed, ticket::Stage};

/// What lies before the phone's camera.
pub(super) struct Screen {
    app: SharedApp,
    addresses: Addresses,
    shown: Mutex<VecDeque<Hashed>>,
}

impl Screen {
    pub(super) fn new(app: SharedApp, addresses: Addresses) -> Self {
        Self { app, addresses, shown: Mutex::default() }
    }

    fn note(&self, ticket: Hashed) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|known| *known != ticket);
        shown.push_front(ticket);
        shown.truncate(8);
    }

    /// The codes that can be scanned now, the latest first.
    async fn codes(&self) -> Vec<Code> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut codes = Vec::new();
        for ticket in shown {
            let Ok(Some(seen)) = self.app.tickets.by_id(ticket).await else { continue };
            let now = self.app.world.now();
            if !seen.ticket.is_expired(now) && matches!(seen.ticket.stage, Stage::Waiting) {
                let site = self.app.sites.get(&seen.ticket.request.site);
                codes.push(Code {
                    scene: seen.ticket.scene,
                    site: site.map(|site| site.name.clone()).unwrap_or_default(),
                    age: now.since(seen.ticket.opened).as_secs(),
                });
            }
        }
        codes
    }
}

/// saoma, with the camera looking on.
pub(super) fn watched(screen: Arc<Screen>, saoma: Router) -> Router {
    saoma.layer(from_fn_with_state(screen, look))
}

async fn look(State(screen): State<Arc<Screen>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let ticket = path.strip_prefix("/api/tickets/").and_then(|rest| rest.strip_suffix("/code"));
    if let Some(ticket) = ticket.filter(|_| response.status().is_success()) {
        screen.note(Hashed::of(ticket));
    }
    response
}

struct Code {
    scene: String,
    site: String,
    age: u64,
}

#[derive(Template, Default)]
#[template(path = "try/phone.html")]
struct Page {
    person: String,
    codes: Vec<Code>,
    scene: String,
    asked: Option<Question>,
    done: Option<&'static str>,
    problem: Option<String>,
    demo: String,
}

struct Question {
    scene: String,
    token: String,
    site: String,
    host: String,
    browser: String,
    ask: String,
    risk: String,
    why: String,
    scopes: Vec<String>,
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        match self.render() {
            Ok(text) => Html(text).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

pub(super) fn phone(screen: Arc<Screen>) -> Router {
    Router::new().route("/phone", get(open).post(act)).with_state(screen)
}

#[derive(Deserialize)]
struct Opened {
    scene: Option<String>,
    person: Option<String>,
}

async fn open(State(screen): State<Arc<Screen>>, Query(opened): Query<Opened>) -> Page {
    Page {
        person: opened.person.unwrap_or_else(|| "ann".to_owned()),
        codes: screen.codes().await,
        scene: opened.scene.unwrap_or_default(),
        demo: screen.addresses.demo.clone(),
        ..Page::default()
    }
}

#[derive(Deserialize)]
struct Act {
    person: String,
    act: String,
    #[serde(default)]
    scene: String,
    #[serde(default)]
    digits: String,
    #[serde(default)]
    entry: u32,
    #[serde(default)]
    token: String,
    #[serde(default)]
    number: String,
    remember: Option<String>,
    profile: Option<String>,
}

async fn act(State(screen): State<Arc<Screen>>, Form(act): Form<Act>) -> Page {
    let person = act.person.clone();
    let phone = actors::Phone::of(&person, &screen.addresses.saoma, &screen.addresses.wechat);
    let page = Page { person, demo: screen.addresses.demo.clone(), ..Page::default() };
    let asked = Asked { shown: Value::Null, scene: act.scene.clone(), token: act.token.clone() };
    let outcome: Told<Page> = match act.act.as_str() {
        "scan" => phone.scans(act.scene.trim(), act.entry).await.map(|asked| asks(page, &asked)),
        "type" => {
            // What stands between them does not count, as in the mini program.
            let digits = act.digits.replace(|c: char| !c.is_ascii_digit(), "");
            phone.types(&digits).await.map(|asked| asks(page, &asked))
        }
        "approve" => {
            let number = Some(act.number.trim()).filter(|number| !number.is_empty());
            let scopes: Vec<&str> = act.profile.iter().map(|_| "profile").collect();
            let body =
                json!({ "match": number, "remember": act.remember.is_some(), "scopes": scopes });
            let approved = phone.approves_with(&asked, &body).await;
            approved.map(|()| Page { done: Some("Done. Go back to the page."), ..page })
        }
        _ => phone.denies(&asked).await.map(|()| Page { done: Some("Refused."), ..page }),
    };
    match outcome {
        Ok(page) => page,
        Err(problem) => Page {
            problem: Some(problem),
            person: act.person,
            codes: screen.codes().await,
            demo: screen.addresses.demo.clone(),
            ..Page::default()
        },
    }
}

fn asks(page: Page, asked: &Asked) -> Page {
    let text = |pointer: &str| {
        asked.shown.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let list = |pointer: &str| -> Vec<String> {
        let items = asked.shown.pointer(pointer).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
    };
    let question = Question {
        scene: asked.scene.clone(),
        token: asked.token.clone(),
        site: text("/site/name"),
        host: text("/page/host"),
        browser: format!("{} · {}", text("/browser/name"), text("/browser/os")),
        ask: text("/ask"),
        risk: text("/risk"),
        why: list("/why").join(", "),
        scopes: list("/scopes"),
    };
    Page { asked: Some(question), ..page }
}
