//! The dance: open, scan, decide, claim.
//!
//! Each step reads what stands, asks the pure rules of `ticket.rs`, and writes with one compare-and-swap, or for a decision
//! with one durable insert. Who watches is nudged and looks for itself.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use serde_json::json;
use wechat::{Suggestion, TextCheck, TextScene};

use crate::{
    admission::{self, Door},
    app::App,
    audit,
    error::{Code, Error},
    grant::{CODE_LIFE, Request},
    limits,
    links::{self, Gives},
    person::{Identity, Newcomer, Person},
    risk::{Ask, Entry, Level, Matching, Opened, Risk, Signals},
    secret::{Hashed, Secret},
    site::{self, Site},
    store::{Decide, Decided, Login, LoginOf, Profile},
    ticket::{
        Approval, Browser, Decision, Denied, Face, Fresh, Kind, Owner, Presented, Refusal, Scan,
        Scanner, Stage, Ticket, Verdict,
    },
    tickets::{Picture, Seen},
    world::Timestamp,
};

/// How often a write is tried again that met another one; each loser saw a winner, so this many meet only in an attack.
const TRIES: usize = 8;

/// A ticket as its page gets it.
pub struct Opening {
    /// The ticket id, which only the page has.
    pub ticket: Secret,
    /// The key of an embedded page.
    pub key: Option<Secret>,
    /// How long its code can be scanned.
    pub expires_in: u64,
    /// Whether there is a picture; a page on the phone does without.
    pub has_code: bool,
}

/// Who opens a ticket.
pub enum Opener {
    /// An embedded page of this origin.
    Page {
        /// The origin, one that the site registered.
        origin: String,
    },
    /// The hosted page in the browser of this cookie.
    Browser {
        /// The hash of the cookie.
        cookie: Hashed,
        /// The session it is signed in with, if any.
        session: Option<Hashed>,
    },
    /// A page of the operators' console, in the browser of this cookie.
    Console {
        /// The hash of the cookie.
        cookie: Hashed,
        /// The origin that the console is reached at.
        origin: String,
    },
    /// A terminal or a television (RFC 8628).
    Device,
}

/// Opens a ticket.
///
/// # Errors
/// [`Code::NoCodeNow`] if there is no mini program code, and what the stores say.
pub async fn open(
    app: &App,
    site: &Site,
    request: Request,
    opener: Opener,
    kind: Kind,
    mut browser: Browser,
) -> Result<Opening, Error> {
    browser.region = app.regions.of(browser.address).map(|region| region.name);
    let now = app.world.now();
    admit(app, site, browser.address, now).await?;
    let (scene, picture) = code_for(app, site, kind).await?;
    let has_code = picture.is_some();
    let (id, key, owner) = names(app, opener);
    let life = match kind {
        // The person has yet to find the mini program, and to type.
        Kind::Device => app.settings.ticket.device_life,
        Kind::Page | Kind::OnPhone => app.settings.ticket.life,
    };
    let ticket = Ticket {
        id: id.hashed(),
        scene,
        owner,
        request,
        kind,
        browser,
        opened: now,
        expires: now + life,
        renewals: 0,
        digits: None,
        stage: Stage::Waiting,
    };
    app.tickets.put(ticket, picture).await?;
    app.metrics.sign_ins.opened(&site.id, kind, now);
    Ok(Opening { ticket: id, key, expires_in: life.as_secs(), has_code })
}

/// Whether one more ticket may be opened from here, for this site, and at all: asked before a code is spent on it.
async fn admit(app: &App, site: &Site, address: IpAddr, now: Timestamp) -> Result<(), Error> {
    app.limits.of_address(limits::What::Ticket, address, now)?;
    app.limits.of_ticket(&site.id, app.tickets.how_many().await?, now)
}

fn names(app: &App, opener: Opener) -> (Secret, Option<Secret>, Owner) {
    let id = Secret::from(app.world.base62(22));
    match opener {
        Opener::Browser { cookie, session } => {
            (id, None, Owner::Browser { cookie, session, at: None })
        }
        Opener::Console { cookie, origin } => {
            (id, None, Owner::Browser { cookie, session: None, at: Some(origin) })
        }
        Opener::Device => (id, None, Owner::Device),
        Opener::Page { origin } => {
            let key = Secret::new(&app.world);
            let owner = Owner::Page { key: key.hashed(), origin };
            (id, Some(key), owner)
        }
    }
}

async fn code_for(app: &App, site: &Site, kind: Kind) -> Result<(String, Option<Picture>), Error> {
    let version = site.env_version.unwrap_or(app.settings.wechat.env_version);
    if kind == Kind::Device {
        return Ok((app.world.base62(22), None));
    }
    match app.codes.take(version, &app.world).await {
        Ok(minted) => Ok((minted.scene, Some(minted.picture))),
        // On the phone nothing can be scanned anyway: digits do.
        Err(error) if kind == Kind::OnPhone => {
            tracing::warn!(name: "codes.none", %error, "a page on a phone does without a code");
            Ok((app.world.base62(22), None))
        }
        Err(error) => Err(Error { cause: Some(error.to_string()), ..Code::NoCodeNow.into() }),
    }
}

/// What a page is told of its ticket, and nothing else, ever.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct State {
    /// waiting, scanned, approved, denied or expired.
    #[schemars(extend("enum" = ["waiting", "scanned", "approved", "denied", "expired"]))]
    pub state: &'static str,
    /// Seconds to the end of the present state.
    pub expires_in: u64,
    /// The number to type on the phone, where one is asked for.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Why it was denied, where it was not the person who said no: not_admitted or owner_asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["not_admitted", "owner_asked"]))]
    pub reason: Option<&'static str>,
    /// Who scanned; on the hosted page alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<Face>,
}

impl State {
    /// Whether nothing more will come.
    pub fn is_final(&self) -> bool {
        !matches!(self.state, "waiting" | "scanned")
    }
}

/// A ticket as it stands: living, or decided and not yet over.
pub enum Standing {
    /// Waiting, scanned, or expired undecided.
    Living(Box<Seen>),
    /// Approved or denied.
    Decided(Box<Decided>),
}

impl Standing {
    /// Who opened it.
    pub fn owner(&self) -> &Owner {
        match self {
            Self::Living(seen) => &seen.ticket.owner,
            Self::Decided(decided) => &decided.decision.owner,
        }
    }

    /// When it changes by the clock alone, if it does.
    pub fn ends(&self) -> Timestamp {
        match self {
            Self::Living(seen) => seen.ticket.expires,
            Self::Decided(decided) => decided.decision.claim_until,
        }
    }

    /// What its page is told.
    pub fn state(&self, now: Timestamp) -> State {
        let left = self.ends().since(now).as_millis().div_ceil(1000);
        let expires_in = u64::try_from(left).unwrap_or(0);
        let plain = |state| State { state, expires_in, number: None, reason: None, person: None };
        match self {
            Self::Decided(decided) => match &decided.decision.verdict {
                Verdict::Approved { .. } => plain("approved"),
                Verdict::Denied(why) => State { reason: reason(*why), ..plain("denied") },
            },
            Self::Living(seen) if seen.ticket.is_expired(now) => plain("expired"),
            Self::Living(seen) => match &seen.ticket.stage {
                Stage::Waiting => plain("waiting"),
                Stage::Scanned(scan) => {
                    let hosted = seen.ticket.owner.browser().is_some();
                    let person = if hosted { scan.face.clone() } else { None };
                    State { number: scan.number.clone(), person, ..plain("scanned") }
                }
            },
        }
    }
}

/// What a page is told of a no that no person said.
fn reason(why: Denied) -> Option<&'static str> {
    match why {
        Denied::ByPerson | Denied::WrongMatch => None,
        Denied::NotAdmitted => Some("not_admitted"),
        Denied::OwnerAsked => Some("owner_asked"),
    }
}

/// The ticket of this id, as it stands now.
///
/// # Errors
/// [`Code::NoSuchTicket`] if it is unknown, or decided and over.
pub async fn find(app: &App, id: Hashed) -> Result<Standing, Error> {
    let now = app.world.now();
    let seen = app.tickets.by_id(id).await?;
    if let Some(seen) = &seen
        && matches!(seen.ticket.stage, Stage::Waiting)
    {
        return Ok(Standing::Living(Box::new(seen.clone())));
    }
    // A scanned ticket may have been decided by a phone that another node served, or before this node died.
    match app.store.decision_by_ticket(id).await? {
        Some(decided) if is_over(app, &decided, now).await? => Err(Refusal::NoSuchTicket.into()),
        Some(decided) => Ok(Standing::Decided(Box::new(decided))),
        None => seen
            .map(|seen| Standing::Living(Box::new(seen)))
            .ok_or_else(|| Refusal::NoSuchTicket.into()),
    }
}

async fn is_over(app: &App, decided: &Decided, now: Timestamp) -> Result<bool, Error> {
    if decided.redeemed.is_some() || now >= decided.decision.claim_until {
        return Ok(true);
    }
    let claimed = app.tickets.claimed(decided.decision.ticket).await?;
    Ok(decided.decision.is_approved() && claimed.is_some_and(|at| now >= at + CODE_LIFE))
}

/// The same, for who must own it: a stranger gets the answer to an unknown ticket.
///
/// # Errors
/// [`Code::NoSuchTicket`] for strangers too; [`Code::OriginNotAllowed`] from another site's page.
pub async fn find_own(
    app: &App,
    id: Hashed,
    presented: Presented,
    origin: Option<&str>,
) -> Result<Standing, Error> {
    let standing = find(app, id).await?;
    if !standing.owner().is(presented) {
        return Err(Refusal::NoSuchTicket.into());
    }
    check_origin(app, standing.owner(), origin)?;
    Ok(standing)
}

/// Whether a page of `origin` may use this owner's ticket.
///
/// # Errors
/// [`Code::OriginNotAllowed`].
pub fn check_origin(app: &App, owner: &Owner, origin: Option<&str>) -> Result<(), Error> {
    let home = owner.origin().unwrap_or(&app.settings.public_url);
    if origin == Some(home) { Ok(()) } else { Err(Code::OriginNotAllowed.into()) }
}

/// The picture of a ticket that still waits. Pictures are fetched without an `Origin`, but where one is sent it must be right.
///
/// # Errors
/// [`Code::NoSuchTicket`] once it has been scanned, and for strangers; [`Code::OriginNotAllowed`] from another site's page.
pub async fn picture(
    app: &App,
    id: Hashed,
    presented: Presented,
    origin: Option<&str>,
) -> Result<Picture, Error> {
    let standing = find(app, id).await?;
    if !standing.owner().may_watch(presented) {
        return Err(Refusal::NoSuchTicket.into());
    }
    if origin.is_some() {
        check_origin(app, standing.owner(), origin)?;
    }
    let waiting = match standing {
        Standing::Living(seen) => {
            matches!(seen.ticket.stage, Stage::Waiting) && !seen.ticket.is_expired(app.world.now())
        }
        Standing::Decided(_) => false,
    };
    let picture = if waiting { app.tickets.picture(id).await? } else { None };
    picture.ok_or_else(|| Refusal::NoSuchTicket.into())
}

/// A fresh ticket in the place of one that waits or has expired.
///
/// # Errors
/// [`Code::AlreadyScanned`], [`Code::AlreadyDecided`], [`Code::TooManyRenewals`], [`Code::NoCodeNow`].
pub async fn renew(
    app: &App,
    id: Hashed,
    presented: Presented,
    origin: Option<&str>,
) -> Result<Opening, Error> {
    let Standing::Living(seen) = find_own(app, id, presented, origin).await? else {
        return Err(Refusal::AlreadyDecided.into());
    };
    let now = app.world.now();
    let life = app.settings.ticket.life;
    let fresh_id = Secret::from(app.world.base62(22));
    let is_page = matches!(seen.ticket.owner, Owner::Page { .. });
    let key = is_page.then(|| Secret::new(&app.world));
    let fresh =
        |scene| Fresh { id: fresh_id.hashed(), key: key.as_ref().map(Secret::hashed), scene };
    // Asked before a code is spent on it.
    seen.ticket.clone().renew(fresh(String::new()), now, life)?;
    let site = app.sites.get(&seen.ticket.request.site).ok_or(Code::UnknownSite)?;
    admit(app, &site, seen.ticket.browser.address, now).await?;
    let (scene, picture) = code_for(app, &site, seen.ticket.kind).await?;
    let has_code = picture.is_some();
    let next = seen.ticket.clone().renew(fresh(scene), now, life)?;
    if !app.tickets.replace(&seen, next, picture).await? {
        // Scanned or renewed in between: what stands now is for the page to see.
        return Err(Refusal::AlreadyScanned.into());
    }
    app.metrics.sign_ins.renewed(&site.id, seen.ticket.opened, now);
    app.tickets.nudge(id).await?;
    Ok(Opening { ticket: fresh_id, key, expires_in: life.as_secs(), has_code })
}

/// Eight digits that stand for the ticket, and how long.
///
/// # Errors
/// [`Code::AlreadyScanned`], [`Code::AlreadyDecided`], [`Code::TicketExpired`].
pub async fn digits(
    app: &App,
    id: Hashed,
    presented: Presented,
    origin: Option<&str>,
) -> Result<(String, u64), Error> {
    for _ in 0..TRIES {
        let standing = find_own(app, id, presented, origin).await?;
        if let Some(drawn) = draw_digits(app, &standing).await? {
            return Ok(drawn);
        }
    }
    Err(Code::Unavailable.into())
}

/// The same for a device, which has just opened its ticket.
///
/// # Errors
/// [`Code::TooManyRequests`] if its address has asked for too many.
pub async fn digits_of_device(
    app: &App,
    opening: &Opening,
    address: IpAddr,
) -> Result<(String, u64), Error> {
    app.limits.of_address(limits::What::Digits, address, app.world.now())?;
    for _ in 0..TRIES {
        if let Some(drawn) = draw_digits(app, &find(app, opening.ticket.hashed()).await?).await? {
            return Ok(drawn);
        }
    }
    Err(Code::Unavailable.into())
}

/// Digits for a ticket that waits; none if another write, or another's digits, were in the way.
async fn draw_digits(app: &App, standing: &Standing) -> Result<Option<(String, u64)>, Error> {
    let Standing::Living(seen) = standing else {
        return Err(Refusal::AlreadyDecided.into());
    };
    let now = app.world.now();
    let fresh = format!("{:08}", app.world.below(100_000_000));
    let next = seen.ticket.clone().with_digits(fresh, now)?;
    let digits = next.digits.clone().unwrap_or_default();
    let stands = seen.ticket.digits == next.digits || app.tickets.swap(seen, next).await?;
    Ok(stands.then(|| (digits, standing.state(now).expires_in)))
}

/// The page gives up.
///
/// # Errors
/// [`Code::AlreadyDecided`].
pub async fn cancel(
    app: &App,
    id: Hashed,
    presented: Presented,
    origin: Option<&str>,
) -> Result<(), Error> {
    match find_own(app, id, presented, origin).await? {
        Standing::Decided(_) => Err(Refusal::AlreadyDecided.into()),
        Standing::Living(seen) => {
            app.tickets.remove(id).await?;
            app.metrics.sign_ins.cancelled(&seen.ticket.request.site, seen.ticket.opened);
            Ok(app.tickets.nudge(id).await?)
        }
    }
}

/// A phone as it comes in.
pub struct Phone {
    /// From where.
    pub address: IpAddr,
    /// Whether that is the phone's address, and not one of a proxy that stands for everybody.
    pub address_is_its_own: bool,
    /// Its system, by its `User-Agent`.
    pub system: System,
    /// What its mini program says of itself, for the audit log alone.
    pub program: Program,
    /// WeChat's scene number as it came, for the audit log alone: the rules go by its class.
    pub number: Option<u32>,
}

/// The mini program, as it says itself: nothing is decided by it.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Program {
    /// Its version.
    pub version: Option<String>,
    /// release, trial or develop.
    pub env: Option<String>,
    /// WeChat's version.
    pub wechat: Option<String>,
    /// The version of WeChat's base library.
    pub library: Option<String>,
    /// android, ios, ohos, or a computer's.
    pub platform: Option<String>,
}

impl Program {
    /// No more of it than a line of the log should hold.
    #[must_use]
    pub fn cut(self) -> Self {
        let short = |text: Option<String>| text.map(|text| text.chars().take(32).collect());
        Self {
            version: short(self.version),
            env: short(self.env),
            wechat: short(self.wechat),
            library: short(self.library),
            platform: short(self.platform),
        }
    }
}

/// A system, as coarse as a phone's and a browser's words for it can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// iPhone, iPad.
    Ios,
    /// Android.
    Android,
    /// HarmonyOS.
    Harmony,
    /// Any other.
    Other,
}

impl System {
    /// Reads it out of a `User-Agent` or a system's name.
    pub fn of(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let has = |word| text.contains(word);
        if has("harmony") || has("openharmony") {
            Self::Harmony
        } else if has("iphone") || has("ipad") || has("ios") {
            Self::Ios
        } else if has("android") {
            Self::Android
        } else {
            Self::Other
        }
    }
}

/// A scan as the phone is answered.
pub struct Scanned {
    /// What the site's door is to who scanned.
    pub door: Door,
    /// What the ticket's one-time link gives, if it has one.
    pub gives: Option<Gives>,
    /// The ticket.
    pub ticket: Ticket,
    /// The phone's token for it.
    pub token: Secret,
    /// Who scanned, if known from before.
    pub person: Option<Person>,
    /// Whether this person used this browser before.
    pub known_browser: bool,
    /// Whether phone and browser come from one address.
    pub same_network: bool,
}

impl Scanned {
    /// The scan that this call has just written.
    pub fn scan(&self) -> Option<&Scan> {
        match &self.ticket.stage {
            Stage::Scanned(scan) => Some(scan),
            Stage::Waiting => None,
        }
    }
}

/// A phone opens the code of `scene`.
///
/// # Errors
/// [`Code::NoSuchTicket`] (also for WeChat's robots), [`Code::TicketExpired`], [`Code::TakenByAnotherPhone`],
/// [`Code::AlreadyDecided`], [`Code::JsCodeRefused`], [`Code::PersonBlocked`], and what WeChat says.
pub async fn scan(
    app: &App,
    scene: &str,
    opened: Opened,
    js_code: wechat::JsCode,
    phone: &Phone,
) -> Result<Scanned, Error> {
    let Opened::By(entry) = opened else {
        return Err(Refusal::NoSuchTicket.into());
    };
    // Looked up first: an unknown scene must not cost an upstream call.
    match app.tickets.by_scene(scene).await? {
        Some(seen) if seen.ticket.is_expired(app.world.now()) => Err(Refusal::Expired.into()),
        Some(seen) => {
            let identity = who(app, js_code).await?;
            take_noted(app, seen, identity, entry, phone).await
        }
        None => {
            let decided = app.store.decision_by_scene(scene).await?.ok_or(Refusal::NoSuchTicket)?;
            if is_over(app, &decided, app.world.now()).await? {
                return Err(Refusal::NoSuchTicket.into());
            }
            let identity = who(app, js_code).await?;
            Err(decided.decision.scanned_again(&identity).into())
        }
    }
}

/// A person types the digits of a ticket. Five wrong ones in ten minutes are the end of it: with eight digits and a few
/// thousand tickets waiting, more would be guessing.
///
/// # Errors
/// As [`scan`], and [`Code::TooManyRequests`].
pub async fn scan_digits(
    app: &App,
    digits: &str,
    js_code: wechat::JsCode,
    phone: &Phone,
) -> Result<Scanned, Error> {
    const WINDOW: Duration = Duration::from_secs(600);
    let identity = who(app, js_code).await?;
    let now = app.world.now();
    let tries = format!("digits:{}:{}", identity.appid, identity.openid);
    // Counted before the look-up, and taken back if right: of many at once no sixth may look.
    if app.tickets.count(&tries, 1, WINDOW, now).await? > 5 {
        return Err(Error::too_many(WINDOW));
    }
    let seen = app.tickets.by_digits(digits).await?.ok_or(Refusal::NoSuchTicket)?;
    app.tickets.count(&tries, -1, WINDOW, now).await?;
    take_noted(app, seen, identity, Entry::Digits, phone).await
}

/// Who holds this phone, says WeChat. A js_code is sent once, whatever comes back.
async fn who(app: &App, js_code: wechat::JsCode) -> Result<Identity, Error> {
    let session = app.wechat.code2session(js_code).await?;
    let appid = app.settings.wechat.appid.clone();
    Ok(Identity { appid, openid: session.openid, unionid: session.unionid })
}

/// Takes a ticket, and notes what came of it: with what was asked and why, or why not.
async fn take_noted(
    app: &App,
    seen: Seen,
    identity: Identity,
    entry: Entry,
    phone: &Phone,
) -> Result<Scanned, Error> {
    // A flood of scans must not become a flood of lines.
    app.limits.of_person(&identity, app.world.now())?;
    let ticket = seen.ticket.clone();
    let taken = take(app, seen, identity.clone(), entry, phone).await;
    let (what, more) = match &taken {
        Ok(scanned) => {
            let risk = scanned.scan().map(|scan| &scan.risk);
            let told = risk.map(|risk| (risk.ask, risk.level, &risk.why));
            let (ask, level, why) = told.ok_or(Code::NoSuchTicket)?;
            let same_network = scanned.same_network;
            let told =
                json!({ "ask": ask, "risk": level, "why": why, "same_network": same_network });
            ("ticket.scanned", told)
        }
        Err(error) => ("scan.refused", json!({ "why": error.code.row().code })),
    };
    let person = match &taken {
        Ok(scanned) => scanned.person.clone(),
        Err(_) => app.store.person_of(&identity).await?,
    };
    let mut line = audit::Entry::of_scan(&ticket, phone.address, what, app.world.now(), more)
        .by(person.map(|person| person.id));
    if let serde_json::Value::Object(detail) = &mut line.detail {
        detail.insert("entry".to_owned(), json!(entry));
        detail.insert("number".to_owned(), json!(phone.number));
        detail.insert("program".to_owned(), json!(phone.program));
    }
    app.store.audit(line).await?;
    taken
}

async fn take(
    app: &App,
    mut seen: Seen,
    identity: Identity,
    entry: Entry,
    phone: &Phone,
) -> Result<Scanned, Error> {
    let (address, system) = (phone.address, phone.system);
    let person = app.store.person_of(&identity).await?;
    if person.as_ref().is_some_and(|person| person.blocked) {
        return Err(Code::PersonBlocked.into());
    }
    let ticket = &seen.ticket;
    let known = match &person {
        Some(person) => {
            app.store.acquaintance(&person.id, ticket.owner.browser(), &ticket.request.site).await?
        }
        None => crate::store::Acquaintance::default(),
    };
    let same_network = phone.address_is_its_own && is_same_network(ticket.browser.address, address);
    let signals = Signals {
        entry,
        kind: ticket.kind,
        same_network,
        other_region: app.regions.differ(ticket.browser.address, address),
        same_system: System::of(&ticket.browser.os) == system && system != System::Other,
        known_browser: known.browser,
        known_site: known.site,
    };
    let gives = match ticket.request.link {
        Some(link) => Some(links::find(app, link).await?.gives),
        None => None,
    };
    let grave = gives.as_ref().is_some_and(Gives::is_grave);
    // Who gets into the console may change everything: there the number is always asked for.
    let is_console = ticket.request.site == site::CONSOLE;
    let matching = if grave || is_console { Matching::Always } else { app.settings.ticket.r#match };
    let site = app.sites.get(&ticket.request.site).ok_or(Code::UnknownSite)?;
    let door = door_of(app, &site, person.as_ref()).await?;
    let risk = Risk::of(signals, site.risk, matching);
    let token = Secret::new(&app.world);
    let face = person.as_ref().map(face_of);
    let scanner = Scanner { identity, token: token.hashed(), risk, face };
    for _ in 0..TRIES {
        let now = app.world.now();
        let life = app.settings.ticket.life;
        let next = seen.ticket.clone().scan(scanner.clone(), now, life, &app.world)?;
        if app.tickets.swap(&seen, next.clone()).await? {
            app.metrics.sign_ins.scanned(entry, scanner.risk.ask);
            if matches!(seen.ticket.stage, Stage::Waiting) {
                app.metrics.sign_ins.first_scanned(&next.request.site, next.opened, now);
            }
            app.tickets.nudge(next.id).await?;
            return Ok(Scanned {
                door,
                gives,
                ticket: next,
                token,
                person,
                known_browser: known.browser,
                same_network,
            });
        }
        seen = match app.tickets.by_id(seen.ticket.id).await? {
            Some(seen) => seen,
            None => return Err(Refusal::NoSuchTicket.into()),
        };
    }
    Err(Code::Unavailable.into())
}

/// What a site's door is to a person, or to somebody whom nobody knows yet.
///
/// # Errors
/// What the store says.
pub async fn door_of(app: &App, site: &Site, person: Option<&Person>) -> Result<Door, Error> {
    let word = match person {
        Some(person) => app.store.word(&person.id, &site.id).await?,
        None => None,
    };
    // The first owner comes in while there is nobody to let them in; what their browser showed is looked at there.
    if site.id == site::CONSOLE && !app.store.has_owner().await? {
        return Ok(Door::Open);
    }
    Ok(admission::door(site, person, word))
}

/// What others may be shown of a person.
pub fn face_of(person: &Person) -> Face {
    let avatar = person.avatar.map(|version| format!("/avatars/{}/{version}", person.username));
    Face { nickname: person.nickname.clone(), avatar }
}

/// Whether two addresses are one household's: the same IPv4 address, or the same /64 of IPv6.
pub fn is_same_network(one: IpAddr, other: IpAddr) -> bool {
    match (one.to_canonical(), other.to_canonical()) {
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            one.segments().iter().take(4).eq(other.segments().iter().take(4))
        }
        (one, other) => one == other,
    }
}

/// The person says yes, with what they typed and ticked. Durable before this returns.
///
/// # Errors
/// [`Code::Unauthorized`], [`Code::TicketExpired`], [`Code::MatchRequired`], [`Code::WrongMatch`], [`Code::Refused`],
/// [`Code::AlreadyDecided`], [`Code::NoSuchTicket`].
pub async fn approve(
    app: &App,
    scene: &str,
    token: Hashed,
    approval: Approval,
) -> Result<(), Error> {
    decide(app, scene, token, Some(approval)).await
}

/// The person says no. Durable before this returns.
///
/// # Errors
/// As [`approve`].
pub async fn deny(app: &App, scene: &str, token: Hashed) -> Result<(), Error> {
    decide(app, scene, token, None).await
}

async fn decide(
    app: &App,
    scene: &str,
    token: Hashed,
    approval: Option<Approval>,
) -> Result<(), Error> {
    let approving = approval.is_some();
    let Some(seen) = app.tickets.by_scene(scene).await? else {
        let decided = app.store.decision_by_scene(scene).await?.ok_or(Refusal::NoSuchTicket)?;
        return answered(app, &decided.decision, token, approving).await;
    };
    let now = app.world.now();
    let (opened, scanned) =
        (seen.ticket.opened, seen.ticket.expires.before(app.settings.ticket.life));
    let decision = match &approval {
        Some(approval) => seen.ticket.approve(token, approval, now)?,
        None => seen.ticket.deny(token, now)?,
    };
    let person = app.store.person_of(&decision.identity).await?;
    if person.as_ref().is_some_and(|person| person.blocked) {
        return Err(Code::PersonBlocked.into());
    }
    let site = app.sites.get(&decision.request.site).ok_or(Code::UnknownSite)?;
    if let Some(link) = decision.request.link.filter(|_| decision.is_approved()) {
        links::find(app, link).await?;
    }
    let decision = decision.turned_away(door_of(app, &site, person.as_ref()).await?.turns_away());
    let ticket = decision.ticket;
    // At saoma's own page the session is the sign-in itself, and opens nothing else.
    let remember = match &decision.verdict {
        Verdict::Approved { .. } if site.id == site::CONSOLE => false,
        Verdict::Approved { remember, .. } => *remember || site.id == site::SELF,
        Verdict::Denied(_) => false,
    };
    let session = app.keys.derive("session", ticket).hashed();
    let decided = app
        .store
        .decide(Decide {
            decision,
            code: app.keys.derive("code", ticket).hashed(),
            session: remember.then(|| (session, now + app.settings.session.life)),
            group: site.group().to_owned(),
            newcomer: Newcomer::new(&app.world),
            sub: app.world.base62(22),
            login: LoginOf::New { id: app.world.base62(22), since: now },
        })
        .await?;
    if decided.decision.at == now && decided.decision.token == token {
        let verdict = &decided.decision.verdict;
        app.metrics.sign_ins.decided(&site.id, verdict, [opened, scanned], now);
    }
    // The site asked for one person and this is another: it gets no code, and nothing stays open.
    if let Some(login) = &decided.login
        && decided.decision.request.expects.as_ref().is_some_and(|sub| *sub != login.sub)
    {
        app.store.end_login(&login.person, &login.id, now).await?;
    }
    // The decision stands; what lives minutes follows. If it fails to, the ticket expires by itself.
    if let Err(error) = app.tickets.remove(ticket).await {
        tracing::warn!(name: "tickets.remove", %error, "a decided ticket stays until it expires");
    }
    if let Err(error) = app.tickets.nudge(ticket).await {
        tracing::warn!(name: "tickets.nudge", %error, "a page learns of its decision only when it looks again");
    }
    answered(app, &decided.decision, token, approving).await
}

/// What a phone is told of the decision that stands. Who had to ask the owner hears the name under which the owner sees them.
async fn answered(
    app: &App,
    decision: &Decision,
    token: Hashed,
    approving: bool,
) -> Result<(), Error> {
    match decision.again(token, approving) {
        Err(Refusal::OwnerAsked) => {
            let person = app.store.person_of(&decision.identity).await?;
            let hint = person.map(|person| person.username);
            Err(Error { hint, ..Error::from(Code::OwnerAsked) })
        }
        answer => Ok(answer?),
    }
}

/// A browser that a phone has approved skips the scan: the same as an approval by that phone, made now, of a sign-in made
/// then. What is claimed at once needs no session; the browser keeps the one it has. None: the site lets the person in no
/// more, and a phone has to be told so.
///
/// # Errors
/// What the store says.
pub async fn skip(
    app: &App,
    site: &Site,
    request: Request,
    login: &Login,
    cookie: Hashed,
    browser: Browser,
) -> Result<Option<Claim>, Error> {
    let now = app.world.now();
    let person = app.store.person(&login.person).await?;
    if door_of(app, site, person.as_ref()).await? != Door::Open {
        return Ok(None);
    }
    let ticket = Secret::new(&app.world).hashed();
    let same_site = login.site == site.id;
    let decision = Decision {
        ticket,
        scene: app.world.base62(22),
        owner: Owner::Browser { cookie, session: None, at: None },
        kind: Kind::Page,
        browser,
        identity: login.identity.clone(),
        token: Secret::new(&app.world).hashed(),
        risk: Risk { ask: Ask::Tap, level: Level::Low, why: BTreeSet::new() },
        verdict: Verdict::Approved { scopes: request.scopes.clone(), remember: true },
        at: now,
        claim_until: now + CODE_LIFE,
        request: request.clone(),
    };
    let login = if same_site {
        LoginOf::Again(login.id.clone())
    } else {
        LoginOf::New { id: app.world.base62(22), since: login.since }
    };
    let decide = Decide {
        decision,
        code: app.keys.derive("code", ticket).hashed(),
        session: None,
        group: site.group().to_owned(),
        newcomer: Newcomer::new(&app.world),
        sub: app.world.base62(22),
        login,
    };
    app.store.decide(decide).await?;
    app.tickets.first_claim(ticket, now).await?;
    app.metrics.sign_ins.remembered(&site.id, now);
    let outcome = Outcome::Code(app.keys.derive("code", ticket));
    Ok(Some(Claim { request, outcome, session: None }))
}

/// What came of a ticket.
#[derive(Debug)]
pub enum Outcome {
    /// The authorization code.
    Code(Secret),
    /// It was no.
    Denied(Denied),
    /// The site asked for one person, and another one approved.
    OtherPerson,
}

/// What a claim gives the page that opened the ticket.
pub struct Claim {
    /// What the site had asked for.
    pub request: Request,
    /// What it is told.
    pub outcome: Outcome,
    /// The cookie of a session that this approval made.
    pub session: Option<Secret>,
}

/// The page takes what was decided. Writes nothing durable, so it may be repeated.
///
/// # Errors
/// [`Code::NotDecided`], [`Code::NoSuchTicket`] when it is over.
pub async fn claim(
    app: &App,
    id: Hashed,
    presented: Presented,
    origin: Option<&str>,
) -> Result<Claim, Error> {
    let decided = match find_own(app, id, presented, origin).await? {
        Standing::Decided(decided) => decided,
        Standing::Living(seen) if seen.ticket.is_expired(app.world.now()) => {
            return Err(Refusal::Expired.into());
        }
        Standing::Living(_) => return Err(Refusal::NotDecided.into()),
    };
    let request = decided.decision.request.clone();
    let login = match (decided.decision.verdict, decided.login) {
        (Verdict::Approved { .. }, Some(login)) => login,
        (Verdict::Denied(why), _) => {
            return Ok(Claim { request, outcome: Outcome::Denied(why), session: None });
        }
        (Verdict::Approved { .. }, None) => return Err(Refusal::NoSuchTicket.into()),
    };
    if request.expects.as_ref().is_some_and(|sub| *sub != login.sub) {
        return Ok(Claim { request, outcome: Outcome::OtherPerson, session: None });
    }
    let now = app.world.now();
    if app.tickets.first_claim(id, now).await? == now {
        app.metrics.sign_ins.claimed(decided.decision.at, now);
    }
    Ok(Claim {
        request,
        outcome: Outcome::Code(app.keys.derive("code", id)),
        session: login.session.map(|_| app.keys.derive("session", id)),
    })
}

/// Until when the code of an approval may be redeemed: a minute from the first claim; where that is forgotten because the
/// node that knew it is gone, a minute from the last moment at which it could have been claimed.
///
/// # Errors
/// What the short-lived store says.
pub async fn redeemable_until(app: &App, decided: &Decided) -> Result<Timestamp, Error> {
    let claimed = app.tickets.claimed(decided.decision.ticket).await?;
    Ok(claimed.unwrap_or(decided.decision.claim_until) + CODE_LIFE)
}

/// Opens the mini program's own pages for the person who holds this phone: a token that cannot approve.
///
/// # Errors
/// What WeChat and the store say.
pub async fn open_phone(
    app: &App,
    js_code: wechat::JsCode,
) -> Result<(Secret, Duration, Option<Person>), Error> {
    const LIFE: Duration = Duration::from_secs(24 * 3600);
    let identity = who(app, js_code).await?;
    app.limits.of_account(&identity, app.world.now())?;
    let person = app.store.person_of(&identity).await?;
    if person.as_ref().is_some_and(|person| person.blocked) {
        return Err(Code::PersonBlocked.into());
    }
    let token = Secret::new(&app.world);
    app.store.open_phone(token.hashed(), &identity, app.world.now() + LIFE).await?;
    Ok((token, LIFE, person))
}

/// Forgets the person who holds this phone; needs a fresh js_code of theirs besides the token.
///
/// # Errors
/// [`Code::Unauthorized`] if the js_code is somebody else's, [`Code::PersonBlocked`].
pub async fn forget(app: &App, token: Hashed, js_code: wechat::JsCode) -> Result<(), Error> {
    let now = app.world.now();
    let identity = holder_again(app, token, js_code).await?;
    match app.store.person_of(&identity).await? {
        // Who is kept out would come back as somebody new; forgetting them is for the operator.
        Some(person) if person.blocked => Err(Code::PersonBlocked.into()),
        Some(person) => Ok(app.store.forget(&person.id, now).await.map(drop)?),
        None => Ok(()),
    }
}

/// Ends all of a person's logins, and other phones' tokens; needs a fresh js_code of theirs besides the token.
///
/// # Errors
/// [`Code::Unauthorized`] if the js_code is somebody else's.
pub async fn end_all(app: &App, token: Hashed, js_code: wechat::JsCode) -> Result<(), Error> {
    let now = app.world.now();
    let identity = holder_again(app, token, js_code).await?;
    if let Some(person) = app.store.person_of(&identity).await? {
        app.store.end_all(&person.id, token, now).await?;
    }
    Ok(())
}

/// Who holds this phone, by its token and once more by a fresh js_code: a stolen token alone ends nothing for good.
pub(crate) async fn holder_again(
    app: &App,
    token: Hashed,
    js_code: wechat::JsCode,
) -> Result<Identity, Error> {
    let holder = app.store.phone(token, app.world.now()).await?.ok_or(Code::Unauthorized)?;
    let identity = who(app, js_code).await?;
    if holder.is_same(&identity) { Ok(identity) } else { Err(Code::Unauthorized.into()) }
}

/// What WeChat calls everybody who has not said otherwise (wechat-api.md section 9): no name, and never shown as one.
const NOBODYS_NAME: &str = "微信用户";

/// Changes what a person shows. WeChat is asked about a name before anybody sees it, as its rules want.
///
/// # Errors
/// [`Code::InvalidRequest`] for a name that misleads, is too long or that WeChat does not let stand; [`Code::Unauthorized`]
/// where WeChat has not seen the person for two hours, which a fresh session mends; and what WeChat says.
pub async fn set_profile(
    app: &App,
    person: &Person,
    identity: &Identity,
    mut profile: Profile,
) -> Result<Person, Error> {
    profile.nickname = profile.nickname.map(|nickname| nickname.trim().to_owned());
    profile.nickname =
        profile.nickname.map(|it| if it == NOBODYS_NAME { String::new() } else { it });
    if let Some(nickname) = profile.nickname.as_ref().filter(|nickname| !nickname.is_empty()) {
        if nickname.chars().count() > 32 || nickname.chars().any(site::misleading) {
            return Err(Error::invalid("nickname: 32 characters at most, none of them invisible"));
        }
        let check = TextCheck::new(&identity.openid, TextScene::Profile, nickname);
        match app.wechat.check_text(&check).await {
            Ok(verdict) if verdict.suggestion == Suggestion::Pass => {}
            Ok(_) => {
                return Err(Error::invalid(
                    "nickname: WeChat does not let it stand; choose another",
                ));
            }
            Err(error) if error.refusal().is_some_and(|refusal| refusal.errcode == 61010) => {
                return Err(Code::Unauthorized.into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    let changed = app.store.set_profile(&person.id, profile).await?;
    changed.ok_or_else(|| Code::Unauthorized.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_household_is_one_address_or_one_64_of_ipv6() {
        let same =
            |one: &str, other: &str| is_same_network(one.parse().unwrap(), other.parse().unwrap());
        assert!(same("192.0.2.1", "192.0.2.1") && same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(same("2001:db8:1:2::3", "2001:db8:1:2:ffff::9"));
        assert!(!same("192.0.2.1", "192.0.2.2") && !same("2001:db8:1:2::3", "2001:db8:1:3::3"));
        assert!(!same("192.0.2.1", "2001:db8::1"));
    }

    #[test]
    fn a_system_is_told_by_its_name_however_a_browser_spells_it() {
        for (text, system) in [
            ("MicroMessenger/8.0 (iPhone; iOS 19)", System::Ios),
            ("iPad", System::Ios),
            ("Mozilla/5.0 (Linux; Android 15; Pixel)", System::Android),
            ("Mozilla/5.0 (Phone; OpenHarmony 5.0)", System::Harmony),
            ("Windows 10", System::Other),
            ("", System::Other),
        ] {
            assert_eq!(System::of(text), system, "{text}");
        }
    }
}
