//! The phone's calls about a ticket: scan, approve, deny. `account.rs` has the mini program's own pages.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wechat::JsCode;

use super::caller::{Caller, Piece, Sent, host_of, js_code};
use crate::{
    app::App,
    app::SharedApp,
    error::{Code, Error},
    grant::Scope,
    login::{self, Phone, Program, Scanned, face_of},
    risk::{Ask, Entry, Level, Opened, Why},
    ticket::{Approval, Face, Kind},
};

/// The protocol that this server and the mini program speak (docs/protocol.md).
const PROTOCOL: u32 = 1;

#[derive(Deserialize)]
pub(super) struct Scan {
    js_code: String,
    entry: Option<EntryWord>,
    protocol: Option<u32>,
    client: Option<Program>,
}

/// WeChat's scene number, or the word for our own scan button.
#[derive(Deserialize)]
#[serde(untagged)]
enum EntryWord {
    Number(u32),
    Word(String),
}

impl EntryWord {
    /// WeChat's number, where it is one.
    fn number(&self) -> Option<u32> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Word(word) => word.parse().ok(),
        }
    }

    fn opened(this: Option<&Self>) -> Opened {
        match this {
            Some(Self::Number(number)) => Opened::from_number(*number),
            Some(Self::Word(word)) if word == "camera" => Opened::By(Entry::Live),
            Some(Self::Word(word)) => {
                word.parse().map_or(Opened::By(Entry::Unknown), Opened::from_number)
            }
            None => Opened::By(Entry::Unknown),
        }
    }
}

/// What the phone shows before it asks.
#[derive(Serialize)]
pub(super) struct Asked {
    scene: String,
    token: String,
    site: AskingSite,
    page: Page,
    browser: SeenBrowser,
    kind: Kind,
    age: u64,
    expires_in: u64,
    risk: Level,
    why: Vec<Why>,
    ask: Ask,
    scopes: Vec<Scope>,
    person: Option<Face>,
}

#[derive(Serialize)]
struct AskingSite {
    name: String,
    host: String,
    logo: Option<String>,
}

#[derive(Serialize)]
struct Page {
    host: String,
}

#[derive(Serialize)]
struct SeenBrowser {
    name: String,
    os: String,
    region: Option<String>,
    known: bool,
    same_network: bool,
}

fn asked(app: &App, scanned: &Scanned) -> Result<Asked, Error> {
    let ticket = &scanned.ticket;
    let scan = scanned.scan().ok_or(Code::NoSuchTicket)?;
    let site = app.sites.get(&ticket.request.site).ok_or(Code::UnknownSite)?;
    let now = app.world.now();
    Ok(Asked {
        scene: ticket.scene.clone(),
        token: scanned.token.reveal().to_owned(),
        site: AskingSite {
            name: site.name.clone(),
            host: host_of(&ticket.request.redirect_uri),
            logo: None,
        },
        page: Page { host: ticket.owner.origin().map_or_else(|| app.settings.host(), host_of) },
        browser: SeenBrowser {
            name: ticket.browser.name.clone(),
            os: ticket.browser.os.clone(),
            region: ticket.browser.region.clone(),
            known: scanned.known_browser,
            same_network: scanned.same_network,
        },
        kind: ticket.kind,
        age: now.since(ticket.opened).as_secs(),
        expires_in: ticket.expires.since(now).as_secs(),
        risk: scan.risk.level,
        why: scan.risk.why.iter().copied().collect(),
        ask: scan.risk.ask,
        scopes: ticket.request.scopes.ticked().collect(),
        person: scanned.person.as_ref().map(face_of),
    })
}

fn phone(caller: &Caller, scan: &Scan) -> Result<(JsCode, Phone), Error> {
    if scan.protocol.is_some_and(|protocol| protocol < PROTOCOL) {
        return Err(Code::UpdateRequired.into());
    }
    let program = scan.client.clone().unwrap_or_default().cut();
    let number = scan.entry.as_ref().and_then(EntryWord::number);
    let phone = Phone {
        address: caller.address,
        address_is_its_own: caller.address_is_its_own,
        system: caller.system(),
        program,
        number,
    };
    Ok((js_code(&scan.js_code)?, phone))
}

pub(super) async fn scan(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(scene): Piece,
    Sent(scan): Sent<Scan>,
) -> Result<Json<Asked>, Error> {
    let opened = EntryWord::opened(scan.entry.as_ref());
    let (js_code, phone) = phone(&caller, &scan)?;
    let scanned = login::scan(&app, &scene, opened, js_code, &phone).await?;
    Ok(Json(asked(&app, &scanned)?))
}

pub(super) async fn scan_digits(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(digits): Piece,
    Sent(scan): Sent<Scan>,
) -> Result<Json<Asked>, Error> {
    let (js_code, phone) = phone(&caller, &scan)?;
    let scanned = login::scan_digits(&app, &digits, js_code, &phone).await?;
    Ok(Json(asked(&app, &scanned)?))
}

#[derive(Deserialize)]
pub(super) struct Approve {
    r#match: Option<String>,
    #[serde(default)]
    remember: bool,
    #[serde(default)]
    scopes: Vec<String>,
}

pub(super) async fn approve(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(scene): Piece,
    Sent(sent): Sent<Approve>,
) -> Result<Json<Value>, Error> {
    let approval = Approval { number: sent.r#match, remember: sent.remember, scopes: sent.scopes };
    login::approve(&app, &scene, caller.token()?, approval).await?;
    Ok(Json(json!({ "state": "approved" })))
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

pub(super) async fn deny(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(scene): Piece,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<Json<Value>, Error> {
    login::deny(&app, &scene, caller.token()?).await?;
    Ok(Json(json!({ "state": "denied" })))
}
