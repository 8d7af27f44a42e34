//! What the person who holds the phone may see, change and end: logins, attempts, consents, their profile, themselves.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{
    caller::{Asked, Caller, Piece, Sent, SentIfAny, js_code},
    pages,
    reply::{ShownBrowser, ShownSite, site_shown},
};
use crate::{
    admission::Word,
    app::{App, SharedApp},
    audit,
    error::{Code, Error},
    grant::Scope,
    login::{self, face_of},
    owner,
    person::{Identity, Person},
    picture, site,
    store::{Consent, Lines, Login, Profile, Said},
    ticket::Face,
    world::Timestamp,
};

/// A profile may carry a picture.
pub(super) const PROFILE_BODY: usize = 512 * 1024;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Fresh {
    js_code: String,
}

/// A token for the mini program's own pages.
#[derive(Serialize, JsonSchema)]
pub(super) struct Session {
    token: String,
    expires_in: u64,
    person: Option<Face>,
    /// To owners alone: how many people wait for a yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    asks: Option<usize>,
}

pub(super) async fn session(
    State(app): State<SharedApp>,
    Sent(fresh): Sent<Fresh>,
) -> Result<Json<Session>, Error> {
    let (token, life, person) = login::open_phone(&app, js_code(&fresh.js_code)?).await?;
    let face = person.as_ref().map(face_of);
    let is_owner = person.is_some_and(|person| person.is_owner());
    // Owners alone hear that there is something to decide.
    let asks = if is_owner { Some(app.store.askers(owner::SHOWN).await?.len()) } else { None };
    let (token, expires_in) = (token.reveal().to_owned(), life.as_secs());
    Ok(Json(Session { token, expires_in, person: face, asks }))
}

/// Who holds the phone that calls: asked before a body is read, so that strangers have none of theirs kept.
pub(super) struct Holder {
    /// Who WeChat said it is when these pages were opened.
    identity: Identity,
    /// None if they have approved nothing yet.
    person: Option<Person>,
}

impl FromRequestParts<SharedApp> for Holder {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, Error> {
        let Ok(caller) = Caller::from_request_parts(parts, app).await;
        let found = app.store.phone(caller.token()?, app.world.now()).await?;
        let identity = found.ok_or(Code::Unauthorized)?;
        match app.store.person_of(&identity).await? {
            Some(person) if person.blocked => Err(Code::PersonBlocked.into()),
            person => Ok(Self { identity, person }),
        }
    }
}

/// The same where it costs: so often a minute and no oftener.
pub(super) struct Measured(Holder);

impl FromRequestParts<SharedApp> for Measured {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, Error> {
        let holder = Holder::from_request_parts(parts, app).await?;
        app.limits.of_account(&holder.identity, app.world.now())?;
        Ok(Self(holder))
    }
}

/// Where a person is signed in.
#[derive(Serialize, JsonSchema)]
pub(super) struct Logins {
    logins: Vec<OneLogin>,
}

#[derive(Serialize, JsonSchema)]
struct OneLogin {
    id: String,
    site: ShownSite,
    browser: ShownBrowser,
    since: i64,
    last_seen: i64,
}

pub(super) async fn logins(
    State(app): State<SharedApp>,
    Holder { person, .. }: Holder,
) -> Result<Json<Logins>, Error> {
    let logins = match person {
        Some(person) => logins_of(&app, &person).await?,
        None => Vec::new(),
    };
    Ok(Json(Logins { logins }))
}

async fn logins_of(app: &App, person: &Person) -> Result<Vec<OneLogin>, Error> {
    let shown = |login: Login| OneLogin {
        site: site_shown(app, &login.site, false),
        id: login.id,
        browser: login.browser.into(),
        since: login.since.seconds(),
        last_seen: login.last_seen.seconds(),
    };
    Ok(app.store.logins(&person.id).await?.into_iter().map(shown).collect())
}

#[derive(Deserialize, Default, JsonSchema)]
pub(super) struct Ending {
    /// Somebody else signed in there: everything of that browser ends.
    not_me: Option<bool>,
}

pub(super) async fn end_login(
    State(app): State<SharedApp>,
    Holder { person, .. }: Holder,
    Piece(id): Piece,
    SentIfAny(ending): SentIfAny<Ending>,
) -> Result<StatusCode, Error> {
    let person = person.ok_or(Code::NotFound)?;
    let now = app.world.now();
    let ended = if ending.not_me.unwrap_or_default() {
        app.store.end_browser(&person.id, &id, now).await?
    } else {
        app.store.end_login(&person.id, &id, now).await?.into_iter().collect()
    };
    // Whose answer was lost asks again.
    if ended.is_empty() && !app.store.has_ended(&person.id, &id).await? {
        return Err(Code::NotFound.into());
    }
    Ok(StatusCode::NO_CONTENT)
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

/// The latest attempts to sign in with this phone.
#[derive(Serialize, JsonSchema)]
pub(super) struct Attempts {
    attempts: Vec<OneAttempt>,
}

#[derive(Serialize, JsonSchema)]
struct OneAttempt {
    id: String,
    site: ShownSite,
    /// As the audit log keeps it: name, os, region.
    browser: Value,
    at: i64,
    outcome: audit::Outcome,
}

pub(super) async fn attempts(
    State(app): State<SharedApp>,
    Holder { person, .. }: Holder,
) -> Result<Json<Attempts>, Error> {
    let lines = match person {
        Some(person) => app.store.audit_of(&person.id, ATTEMPTS).await?,
        None => Vec::new(),
    };
    let found = audit::attempts(&lines, app.settings.ticket.life, app.world.now());
    let shown = |attempt: audit::Attempt| OneAttempt {
        id: attempt.id.to_string(),
        site: site_shown(&app, &attempt.site, false),
        browser: attempt.browser,
        at: attempt.at.seconds(),
        outcome: attempt.outcome,
    };
    Ok(Json(Attempts { attempts: found.into_iter().map(shown).collect() }))
}

/// What sites may know of a person.
#[derive(Serialize, JsonSchema)]
pub(super) struct Consents {
    consents: Vec<OneConsent>,
}

#[derive(Serialize, JsonSchema)]
struct OneConsent {
    /// By its id it is taken back.
    site: ShownSite,
    scopes: BTreeSet<Scope>,
    since: i64,
}

pub(super) async fn consents(
    State(app): State<SharedApp>,
    Holder { person, .. }: Holder,
) -> Result<Json<Consents>, Error> {
    let given = match person {
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
    let shown = |(id, (since, scopes)): (&str, (Timestamp, BTreeSet<Scope>))| OneConsent {
        site: site_shown(&app, id, true),
        scopes,
        since: since.seconds(),
    };
    Ok(Json(Consents { consents: sites.into_iter().map(shown).collect() }))
}

pub(super) async fn withdraw(
    State(app): State<SharedApp>,
    Holder { person, .. }: Holder,
    Piece(site): Piece,
) -> Result<StatusCode, Error> {
    if let Some(person) = person {
        app.store.withdraw(&person.id, &site, app.world.now()).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct NewProfile {
    nickname: Option<String>,
    /// The picture in base64; empty: none any more.
    avatar: Option<String>,
}

pub(super) async fn set_profile(
    State(app): State<SharedApp>,
    Measured(Holder { identity, person }): Measured,
    Sent(sent): Sent<NewProfile>,
) -> Result<Json<Face>, Error> {
    let person = person.ok_or(Code::NobodyYet)?;
    let avatar = match sent.avatar {
        Some(text) => Some(drawn_anew(text).await?),
        None => None,
    };
    let profile = Profile { nickname: sent.nickname, avatar };
    let changed = login::set_profile(&app, &person, &identity, profile).await?;
    Ok(Json(face_of(&changed)))
}

/// One picture at a time, and where nobody else waits for it: it may cost a second, which is nobody's but its sender's.
async fn drawn_anew(base64: String) -> Result<(String, Vec<u8>), Error> {
    static BRUSH: Semaphore = Semaphore::const_new(1);
    let failed = |cause: &dyn std::fmt::Display| Error {
        cause: Some(cause.to_string()),
        ..Code::Unavailable.into()
    };
    let _brush = BRUSH.acquire().await.map_err(|error| failed(&error))?;
    let drawn = tokio::task::spawn_blocking(move || picture(&base64)).await;
    drawn.map_err(|error| failed(&error))?
}

/// A picture as saoma keeps it; of nothing there is none any more.
pub(super) fn picture(base64: &str) -> Result<(String, Vec<u8>), Error> {
    let bytes = STANDARD.decode(base64).map_err(|_| Error::invalid("avatar: not base64"))?;
    if bytes.is_empty() {
        return Ok((String::new(), Vec::new()));
    }
    let drawn = picture::avatar(&bytes);
    let drawn = drawn.map_err(|_| Error::invalid("avatar: neither PNG nor JPEG, or too large"))?;
    Ok(("image/jpeg".to_owned(), drawn))
}

/// All that is kept of a person.
#[derive(Serialize, JsonSchema)]
pub(super) struct Kept {
    person: Option<Face>,
    identities: Vec<Identity>,
    logins: Vec<OneLogin>,
    /// Not there before the first approval.
    #[serde(flatten)]
    more: Option<KeptMore>,
}

#[derive(Serialize, JsonSchema)]
struct KeptMore {
    username: String,
    since: i64,
    subs: Vec<KeptSub>,
    consents: Vec<KeptConsent>,
    groups: Vec<String>,
    admissions: Vec<KeptAdmission>,
    /// The latest lines of the audit log.
    log: Vec<KeptLine>,
    /// Where there are earlier lines: what to ask with, to be given those.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_before: Option<i64>,
}

/// Who the person is to a group of sites.
#[derive(Serialize, JsonSchema)]
struct KeptSub {
    group: String,
    sub: String,
}

#[derive(Serialize, JsonSchema)]
struct KeptConsent {
    site: String,
    kind: Scope,
    /// The version of the wording.
    text: String,
    given: i64,
    withdrawn: Option<i64>,
}

/// What was said of the person at a site's door.
#[derive(Serialize, JsonSchema)]
struct KeptAdmission {
    site: String,
    word: Word,
    at: i64,
}

/// A line of the audit log.
#[derive(Serialize, JsonSchema)]
struct KeptLine {
    at: i64,
    what: String,
    site: Option<String>,
    address: Option<String>,
    detail: Value,
}

/// So many lines of the audit log at once.
const KEPT_LINES: usize = 1000;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Part {
    /// What an answer before gave: its log goes on from there.
    log_before: Option<i64>,
}

/// All that is kept of a person, in an answer they can take along (GDPR 15 and 20, PIPL 45).
pub(super) async fn me(
    State(app): State<SharedApp>,
    Measured(Holder { identity, person }): Measured,
    Asked(part): Asked<Part>,
) -> Result<Json<Kept>, Error> {
    let Some(person) = person else {
        let identities = vec![identity];
        return Ok(Json(Kept { person: None, identities, logins: Vec::new(), more: None }));
    };
    Ok(Json(all_kept(&app, &person, part.log_before).await?))
}

/// All that is kept of the person, to take along; to their own page alone. Under SameSite=Lax a link elsewhere would do.
pub(super) async fn taken_along(
    State(app): State<SharedApp>,
    caller: Caller,
    Asked(part): Asked<Part>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let from = headers.get("sec-fetch-site").map(|from| from.as_bytes());
    if from.is_some_and(|from| ![b"same-origin".as_slice(), b"none"].contains(&from)) {
        return Err(Code::OriginNotAllowed.into());
    }
    let (own, person) = pages::visitor(&app, &caller).await?.ok_or(Code::Unauthorized)?;
    app.limits.of_account(&own.identity, app.world.now())?;
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"saoma.json\""),
    ];
    Ok((headers, Json(all_kept(&app, &person, part.log_before).await?)).into_response())
}

/// All that is kept of somebody who has approved something; their log from the newest line on, or from the one before this.
async fn all_kept(app: &App, person: &Person, log_before: Option<i64>) -> Result<Kept, Error> {
    let identities = app.store.identities(&person.id).await?;
    let subs = app.store.subs(&person.id).await?.into_iter();
    let given = app.store.consents(&person.id).await?.into_iter();
    // One more than is told says that there are more.
    let most = u32::try_from(KEPT_LINES + 1).unwrap_or(u32::MAX);
    let asked =
        Lines { person: Some(person.id.clone()), before: log_before, most, ..Lines::default() };
    let mut lines = app.store.audit_lines(&asked).await?;
    let goes_on = lines.len() > KEPT_LINES;
    lines.truncate(KEPT_LINES);
    let consent = |one: Consent| KeptConsent {
        site: one.site,
        kind: one.kind,
        text: one.text,
        given: one.given.seconds(),
        withdrawn: one.withdrawn.map(Timestamp::seconds),
    };
    let said = app.store.said(&person.id).await?.into_iter();
    let admission =
        |said: Said| KeptAdmission { site: said.site, word: said.word, at: said.at.seconds() };
    let line = |(_, line): (i64, audit::Entry)| KeptLine {
        at: line.at.seconds(),
        what: line.what,
        site: line.site,
        address: line.address,
        detail: line.detail,
    };
    let more = KeptMore {
        username: person.username.clone(),
        since: person.since.seconds(),
        subs: subs.map(|(group, sub)| KeptSub { group, sub }).collect(),
        consents: given.map(consent).collect(),
        groups: person.groups.clone(),
        admissions: said.map(admission).collect(),
        log_before: lines.last().map(|(id, _)| *id).filter(|_| goes_on),
        log: lines.into_iter().map(line).collect(),
    };
    let logins = logins_of(app, person).await?;
    Ok(Kept { person: Some(face_of(person)), identities, logins, more: Some(more) })
}

pub(super) async fn forget(
    State(app): State<SharedApp>,
    caller: Caller,
    Sent(fresh): Sent<Fresh>,
) -> Result<StatusCode, Error> {
    login::forget(&app, caller.token()?, js_code(&fresh.js_code)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
