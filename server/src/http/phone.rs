//! The phone's calls about a ticket: scan, approve, deny. `account.rs` has the mini program's own pages.

use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;
use wechat::JsCode;

use super::{
    caller::{Caller, Piece, Sent, host_of, js_code},
    pages,
};
use crate::{
    admission::Door,
    app::App,
    app::SharedApp,
    error::{Code, Error},
    grant::Scope,
    lang::Lang,
    login::{self, Phone, Program, Scanned, face_of},
    risk::{Ask, Entry, Level, Opened, Why},
    ticket::{Approval, Face, Kind},
};

/// The protocol that this server and the mini program speak (docs/protocol.md).
const PROTOCOL: u32 = 1;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Scan {
    js_code: String,
    entry: Option<EntryWord>,
    protocol: Option<u32>,
    client: Option<Program>,
}

/// WeChat's scene number, or the word for our own scan button. A number that can be none of WeChat's is a word that nobody
/// knows.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum EntryWord {
    Number(u32),
    Word(String),
}

impl<'de> Deserialize<'de> for EntryWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Number(number) => {
                let known = number.as_u64().and_then(|number| u32::try_from(number).ok());
                Ok(known.map_or_else(|| Self::Word(number.to_string()), Self::Number))
            }
            Value::String(word) => Ok(Self::Word(word)),
            _ => Err(D::Error::custom("expected WeChat's scene number, or a word like \"camera\"")),
        }
    }
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
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Scanned")]
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
    /// What the site's door is to who scanned: open, ask, asked or closed.
    admission: Door,
    /// What else they should know before they tap.
    say: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct AskingSite {
    name: String,
    host: String,
    logo: Option<String>,
    /// Who gets what is ticked, if the operator of this server has said so.
    operator: Option<String>,
    contact: Option<String>,
    privacy_url: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Page {
    host: String,
}

#[derive(Serialize, JsonSchema)]
struct SeenBrowser {
    name: String,
    os: String,
    region: Option<String>,
    known: bool,
    same_network: bool,
}

/// What else the person should know before they tap: what their link gives, or whose yes is missing.
async fn say(app: &App, lang: Lang, scanned: &Scanned) -> Result<Option<String>, Error> {
    if let Some(gives) = &scanned.gives {
        return Ok(Some(pages::offer(app, lang, gives).await?));
    }
    let (zh, en) = match scanned.door {
        Door::Open => return Ok(None),
        Door::Ask => (
            "站长还没有让你登录这个网站。点“确认登录”会去问站长；等站长同意以后，再登录一次。",
            "The owner of this site has to let you in first. Confirming asks them; once they have said yes, sign in again.",
        ),
        Door::Asked => (
            "已经问过站长，还没有答复。等站长同意以后，再登录一次。",
            "The owner has been asked and has not answered yet. Once they have said yes, sign in again.",
        ),
        Door::Closed => {
            let row = Code::NotAdmitted.row();
            (row.zh, row.en)
        }
    };
    Ok(Some(lang.s(zh, en).to_owned()))
}

async fn asked(app: &App, lang: Lang, scanned: &Scanned) -> Result<Asked, Error> {
    let ticket = &scanned.ticket;
    let scan = scanned.scan().ok_or(Code::NoSuchTicket)?;
    let site = app.sites.get(&ticket.request.site).ok_or(Code::UnknownSite)?;
    let now = app.world.now();
    let said = |text: &String| (!text.is_empty()).then(|| text.clone());
    // A device has no address of its own: the site's is the one that it was registered with.
    let registered = || site.address().map(host_of).unwrap_or_default();
    let (host, page) = match ticket.kind {
        Kind::Device => (registered(), registered()),
        Kind::Page | Kind::OnPhone => {
            let page = ticket.owner.origin().map_or_else(|| app.settings.host(), host_of);
            (host_of(&ticket.request.redirect_uri), page)
        }
    };
    Ok(Asked {
        scene: ticket.scene.clone(),
        token: scanned.token.reveal().to_owned(),
        site: AskingSite {
            name: site.name.clone(),
            host,
            logo: site.logo.path(&site.id),
            operator: said(&site.operator),
            contact: said(&site.contact),
            privacy_url: said(&site.privacy_url),
        },
        page: Page { host: page },
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
        admission: scanned.door,
        say: say(app, lang, scanned).await?,
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
    Ok(Json(asked(&app, caller.lang, &scanned).await?))
}

pub(super) async fn scan_digits(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(digits): Piece,
    Sent(scan): Sent<Scan>,
) -> Result<Json<Asked>, Error> {
    let (js_code, phone) = phone(&caller, &scan)?;
    let scanned = login::scan_digits(&app, &digits, js_code, &phone).await?;
    Ok(Json(asked(&app, caller.lang, &scanned).await?))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Approve {
    r#match: Option<String>,
    remember: Option<bool>,
    scopes: Option<Vec<String>>,
}

/// What stands now.
#[derive(Serialize, JsonSchema)]
pub(super) struct Decided {
    #[schemars(extend("enum" = ["approved", "denied"]))]
    state: &'static str,
}

pub(super) async fn approve(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(scene): Piece,
    Sent(sent): Sent<Approve>,
) -> Result<Json<Decided>, Error> {
    let approval = Approval {
        number: sent.r#match,
        remember: sent.remember.unwrap_or_default(),
        scopes: sent.scopes.unwrap_or_default(),
    };
    login::approve(&app, &scene, caller.token()?, approval).await?;
    Ok(Json(Decided { state: "approved" }))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Nothing {}

pub(super) async fn deny(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(scene): Piece,
    Sent(Nothing {}): Sent<Nothing>,
) -> Result<Json<Decided>, Error> {
    login::deny(&app, &scene, caller.token()?).await?;
    Ok(Json(Decided { state: "denied" }))
}
