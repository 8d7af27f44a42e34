//! The phone's calls: scan, approve, deny, and the mini program's own pages.

use axum::{Json, extract::State, http::StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wechat::JsCode;

use super::caller::{Caller, Piece, Sent};
use crate::{
    app::App,
    app::SharedApp,
    error::{Code, Error},
    grant::Scope,
    login::{self, Phone, Scanned, face_of},
    person::Person,
    risk::{Ask, Entry, Level, Opened, Why},
    store::Profile,
    ticket::{Approval, Face, Kind},
};

/// A profile may carry a picture.
pub(super) const PROFILE_BODY: usize = 512 * 1024;

/// The protocol that this server and the mini program speak (docs/protocol.md).
const PROTOCOL: u32 = 1;

#[derive(Deserialize)]
pub(super) struct Scan {
    js_code: String,
    entry: Option<EntryWord>,
    protocol: Option<u32>,
}

/// WeChat's scene number, or the word for our own scan button.
#[derive(Deserialize)]
#[serde(untagged)]
enum EntryWord {
    Number(u32),
    Word(String),
}

impl EntryWord {
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

/// The host of a URL, as the address bar reads it: international names in punycode, so that no letter passes for another.
fn host_of(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    parsed.and_then(|url| url.host_str().map(ToOwned::to_owned)).unwrap_or_default()
}

fn phone(caller: &Caller, scan: &Scan) -> Result<Phone, Error> {
    if scan.protocol.is_some_and(|protocol| protocol < PROTOCOL) {
        return Err(Code::UpdateRequired.into());
    }
    Ok(Phone { address: caller.address, js_code: js_code(&scan.js_code)?, system: caller.system() })
}

fn js_code(text: &str) -> Result<JsCode, Error> {
    JsCode::new(text).map_err(|_| Error::invalid("js_code: not what wx.login gives"))
}

pub(super) async fn scan(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(scene): Piece,
    Sent(scan): Sent<Scan>,
) -> Result<Json<Asked>, Error> {
    let opened = EntryWord::opened(scan.entry.as_ref());
    let scanned = login::scan(&app, &scene, opened, phone(&caller, &scan)?).await?;
    Ok(Json(asked(&app, &scanned)?))
}

pub(super) async fn scan_digits(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(digits): Piece,
    Sent(scan): Sent<Scan>,
) -> Result<Json<Asked>, Error> {
    let scanned = login::scan_digits(&app, &digits, phone(&caller, &scan)?).await?;
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

#[derive(Deserialize)]
pub(super) struct Fresh {
    js_code: String,
}

pub(super) async fn session(
    State(app): State<SharedApp>,
    Sent(fresh): Sent<Fresh>,
) -> Result<Json<Value>, Error> {
    let (token, life, person) = login::open_phone(&app, js_code(&fresh.js_code)?).await?;
    let person = person.as_ref().map(face_of);
    Ok(Json(json!({ "token": token.reveal(), "expires_in": life.as_secs(), "person": person })))
}

/// The person whose mini program this is; none if they have approved nothing yet.
async fn holder(app: &App, caller: &Caller) -> Result<Option<Person>, Error> {
    let identity =
        app.store.phone(caller.token()?, app.world.now()).await?.ok_or(Code::Unauthorized)?;
    match app.store.person_of(&identity).await? {
        Some(person) if person.blocked => Err(Code::PersonBlocked.into()),
        found => Ok(found),
    }
}

pub(super) async fn logins(
    State(app): State<SharedApp>,
    caller: Caller,
) -> Result<Json<Value>, Error> {
    let found = match holder(&app, &caller).await? {
        Some(person) => app.store.logins(&person.id).await?,
        None => Vec::new(),
    };
    let logins: Vec<_> = found
        .iter()
        .map(|login| {
            let site = app.sites.get(&login.site);
            let host = site.and_then(|site| site.redirect_uris.first()).map(|uri| host_of(uri));
            json!({
                "id": login.id,
                "site": { "name": site.map_or(&login.site, |site| &site.name), "host": host.unwrap_or_default() },
                "browser": { "name": login.browser.name, "os": login.browser.os, "region": login.browser.region },
                "since": login.since.seconds(),
                "last_seen": login.last_seen.seconds(),
            })
        })
        .collect();
    Ok(Json(json!({ "logins": logins })))
}

pub(super) async fn end_login(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(id): Piece,
) -> Result<StatusCode, Error> {
    let person = holder(&app, &caller).await?.ok_or(Code::NotFound)?;
    app.store.end_login(&person.id, &id, app.world.now()).await?.ok_or(Code::NotFound)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub(super) struct NewProfile {
    nickname: Option<String>,
    /// The picture in base64; empty: none any more.
    avatar: Option<String>,
}

pub(super) async fn set_profile(
    State(app): State<SharedApp>,
    caller: Caller,
    Sent(sent): Sent<NewProfile>,
) -> Result<Json<Value>, Error> {
    let person = holder(&app, &caller).await?.ok_or(Code::NotFound)?;
    let avatar = match sent.avatar {
        Some(text) => Some(picture(&text)?),
        None => None,
    };
    let changed =
        login::set_profile(&app, &person, Profile { nickname: sent.nickname, avatar }).await?;
    Ok(Json(json!(face_of(&changed))))
}

/// A picture as saoma keeps it: drawn anew from what was sent, so that nothing else than pixels is ever served.
fn picture(base64: &str) -> Result<(String, Vec<u8>), Error> {
    const SIDE: u32 = 256;
    let bytes = STANDARD.decode(base64).map_err(|_| Error::invalid("avatar: not base64"))?;
    if bytes.is_empty() {
        return Ok((String::new(), Vec::new()));
    }
    let unreadable = || Error::invalid("avatar: neither PNG nor JPEG, or too large");
    let mut reader = image::ImageReader::new(std::io::Cursor::new(bytes));
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(4096), Some(4096));
    limits.max_alloc = Some(96 * 1024 * 1024);
    reader.limits(limits);
    let read = reader
        .with_guessed_format()
        .map_err(|_| unreadable())?
        .decode()
        .map_err(|_| unreadable())?;
    let small = read.resize_to_fill(SIDE, SIDE, image::imageops::FilterType::Triangle).into_rgb8();
    let mut written = std::io::Cursor::new(Vec::new());
    let jpeg = image::DynamicImage::from(small).write_to(&mut written, image::ImageFormat::Jpeg);
    jpeg.map_err(|_| unreadable())?;
    Ok(("image/jpeg".to_owned(), written.into_inner()))
}

pub(super) async fn me(State(app): State<SharedApp>, caller: Caller) -> Result<Json<Value>, Error> {
    let Some(person) = holder(&app, &caller).await? else {
        return Ok(Json(json!({ "person": null, "logins": [] })));
    };
    let Json(logins) = logins(State(app), caller).await?;
    Ok(Json(json!({
        "person": face_of(&person),
        "username": person.username,
        "since": person.since.seconds(),
        "logins": logins.get("logins"),
    })))
}

pub(super) async fn forget(
    State(app): State<SharedApp>,
    caller: Caller,
    Sent(fresh): Sent<Fresh>,
) -> Result<StatusCode, Error> {
    login::forget(&app, caller.token()?, js_code(&fresh.js_code)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
