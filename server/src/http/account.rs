//! What the person who holds the phone may see, change and end: logins, attempts, consents, their profile, themselves.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json, extract::State, http::StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    caller::{Caller, Piece, Sent, SentIfAny, js_code},
    reply::site_shown,
};
use crate::{
    app::{App, SharedApp},
    audit,
    error::{Code, Error},
    grant::Scope,
    login::{self, face_of},
    owner,
    person::Person,
    site,
    store::Profile,
    world::Timestamp,
};

/// A profile may carry a picture.
pub(super) const PROFILE_BODY: usize = 512 * 1024;

#[derive(Deserialize)]
pub(super) struct Fresh {
    js_code: String,
}

pub(super) async fn session(
    State(app): State<SharedApp>,
    Sent(fresh): Sent<Fresh>,
) -> Result<Json<Value>, Error> {
    let (token, life, person) = login::open_phone(&app, js_code(&fresh.js_code)?).await?;
    let face = person.as_ref().map(face_of);
    let mut answer =
        json!({ "token": token.reveal(), "expires_in": life.as_secs(), "person": face });
    // Owners alone hear that there is something to decide.
    if person.is_some_and(|person| person.is_owner())
        && let Value::Object(answer) = &mut answer
    {
        answer.insert("asks".to_owned(), json!(app.store.askers(owner::SHOWN).await?.len()));
    }
    Ok(Json(answer))
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
            json!({
                "id": login.id,
                "site": site_shown(&app, &login.site, false),
                "browser": { "name": login.browser.name, "os": login.browser.os, "region": login.browser.region },
                "since": login.since.seconds(),
                "last_seen": login.last_seen.seconds(),
            })
        })
        .collect();
    Ok(Json(json!({ "logins": logins })))
}

#[derive(Deserialize, Default)]
pub(super) struct Ending {
    /// Somebody else signed in there: everything of that browser ends.
    #[serde(default)]
    not_me: bool,
}

pub(super) async fn end_login(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(id): Piece,
    SentIfAny(ending): SentIfAny<Ending>,
) -> Result<StatusCode, Error> {
    let person = holder(&app, &caller).await?.ok_or(Code::NotFound)?;
    let now = app.world.now();
    let ended = if ending.not_me {
        app.store.end_browser(&person.id, &id, now).await?
    } else {
        app.store.end_login(&person.id, &id, now).await?.into_iter().collect()
    };
    if ended.is_empty() { Err(Code::NotFound.into()) } else { Ok(StatusCode::NO_CONTENT) }
}

pub(super) async fn end_all(
    State(app): State<SharedApp>,
    caller: Caller,
    Sent(fresh): Sent<Fresh>,
) -> Result<StatusCode, Error> {
    login::end_all(&app, caller.token()?, js_code(&fresh.js_code)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn end_session(
    State(app): State<SharedApp>,
    caller: Caller,
) -> Result<StatusCode, Error> {
    app.store.close_phone(caller.token()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How far back the list of attempts looks, in lines of the audit log.
const ATTEMPTS: u32 = 200;

pub(super) async fn attempts(
    State(app): State<SharedApp>,
    caller: Caller,
) -> Result<Json<Value>, Error> {
    let lines = match holder(&app, &caller).await? {
        Some(person) => app.store.audit_of(&person.id, ATTEMPTS).await?,
        None => Vec::new(),
    };
    let found = audit::attempts(&lines, app.settings.ticket.life, app.world.now());
    let found: Vec<_> = found
        .into_iter()
        .map(|attempt| {
            json!({
                "id": attempt.id.to_string(),
                "site": site_shown(&app, &attempt.site, false),
                "browser": attempt.browser,
                "at": attempt.at.seconds(),
                "outcome": attempt.outcome,
            })
        })
        .collect();
    Ok(Json(json!({ "attempts": found })))
}

pub(super) async fn consents(
    State(app): State<SharedApp>,
    caller: Caller,
) -> Result<Json<Value>, Error> {
    let given = match holder(&app, &caller).await? {
        Some(person) => app.store.consents(&person.id).await?,
        None => Vec::new(),
    };
    let mut sites: BTreeMap<&str, (Timestamp, BTreeSet<Scope>)> = BTreeMap::new();
    // Signing in to saoma itself is no site's business.
    for consent in given.iter().filter(|it| it.withdrawn.is_none() && it.site != site::SELF) {
        let (since, kinds) = sites.entry(&consent.site).or_insert((consent.given, BTreeSet::new()));
        *since = consent.given.min(*since);
        kinds.insert(consent.kind);
    }
    let sites: Vec<_> = sites
        .into_iter()
        .map(|(site, (since, kinds))| {
            // By its id a consent is taken back.
            json!({ "site": site_shown(&app, site, true), "scopes": kinds, "since": since.seconds() })
        })
        .collect();
    Ok(Json(json!({ "consents": sites })))
}

pub(super) async fn withdraw(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(site): Piece,
) -> Result<StatusCode, Error> {
    if let Some(person) = holder(&app, &caller).await? {
        app.store.withdraw(&person.id, &site, app.world.now()).await?;
    }
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

/// All that is kept of a person, in one answer they can take along (GDPR 15 and 20, PIPL 45).
pub(super) async fn me(State(app): State<SharedApp>, caller: Caller) -> Result<Json<Value>, Error> {
    let identity =
        app.store.phone(caller.token()?, app.world.now()).await?.ok_or(Code::Unauthorized)?;
    let Some(person) = holder(&app, &caller).await? else {
        let identity = json!({ "appid": identity.appid, "openid": identity.openid, "unionid": identity.unionid });
        return Ok(Json(json!({ "person": null, "identities": [identity], "logins": [] })));
    };
    let (identities, subs) =
        (app.store.identities(&person.id).await?, app.store.subs(&person.id).await?);
    let (given, lines) =
        (app.store.consents(&person.id).await?, app.store.audit_of(&person.id, u32::MAX).await?);
    let identities: Vec<_> = identities
        .iter()
        .map(|one| json!({ "appid": one.appid, "openid": one.openid, "unionid": one.unionid }))
        .collect();
    let subs: Vec<_> =
        subs.into_iter().map(|(group, sub)| json!({ "group": group, "sub": sub })).collect();
    let given: Vec<_> = given
        .iter()
        .map(|one| {
            json!({
                "site": one.site, "kind": one.kind, "text": one.text, "given": one.given.seconds(),
                "withdrawn": one.withdrawn.map(Timestamp::seconds),
            })
        })
        .collect();
    let said: Vec<_> = app
        .store
        .said(&person.id)
        .await?
        .iter()
        .map(|said| json!({ "site": said.site, "word": said.word, "at": said.at.seconds() }))
        .collect();
    let lines: Vec<_> = lines
        .iter()
        .map(|(_, line)| {
            json!({
                "at": line.at.seconds(), "what": line.what, "site": line.site, "address": line.address,
                "detail": line.detail,
            })
        })
        .collect();
    let Json(logins) = logins(State(app), caller).await?;
    Ok(Json(json!({
        "person": face_of(&person),
        "username": person.username,
        "since": person.since.seconds(),
        "identities": identities,
        "subs": subs,
        "consents": given,
        "groups": person.groups,
        "admissions": said,
        "logins": logins.get("logins"),
        "log": lines,
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
