//! A phone scans, or its person types the digits: who it is, what the browser risks, and what is asked of them.

use std::{net::IpAddr, time::Duration};

use serde_json::json;

use super::{TRIES, is_over};
use crate::{
    admission::{self, Door, Word},
    app::App,
    audit,
    error::{Code, Error},
    forgetting,
    links::{self, Gives},
    network::Network,
    person::{Identity, Person},
    risk::{Entry, Matching, Opened, Risk, Signals},
    secret::{Hashed, Secret},
    site::{self, Site},
    store::Arrival,
    ticket::{Face, Refusal, Scan, Scanner, Stage, Ticket},
    tickets::Seen,
};

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
        if has("harmony") {
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
            let identity = named(app, js_code).await?;
            take_noted(app, seen, identity, entry, phone).await
        }
        None => {
            let decided = app.store.decision_by_scene(scene).await?.ok_or(Refusal::NoSuchTicket)?;
            let claimed = app.tickets.claimed(decided.decision.ticket).await?;
            if is_over(&decided, claimed, app.world.now()) {
                return Err(Refusal::NoSuchTicket.into());
            }
            let identity = named(app, js_code).await?;
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
    let identity = named(app, js_code).await?;
    let now = app.world.now();
    let tries = format!("digits:{}:{}", identity.appid, identity.openid);
    // Counted before the look-up, and taken back if right: of many at once no sixth may look.
    if app.tickets.count(&tries, 1, WINDOW, now).await? > 5 {
        return Err(Error::too_many(WINDOW));
    }
    // What stands between them is there for the eye (RFC 8628 section 6.1).
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let seen = app.tickets.by_digits(&digits).await?.ok_or(Refusal::NoSuchTicket)?;
    app.tickets.count(&tries, -1, WINDOW, now).await?;
    take_noted(app, seen, identity, Entry::Digits, phone).await
}

/// Who holds this phone, for who asks the store about them without a site: back from their shadow, if they left one.
pub(super) async fn who(app: &App, js_code: wechat::JsCode) -> Result<Identity, Error> {
    let identity = named(app, js_code).await?;
    forgetting::meet(app, &identity).await?;
    Ok(identity)
}

/// Whom WeChat names as who holds this phone. A js_code is sent once, whatever comes back.
async fn named(app: &App, js_code: wechat::JsCode) -> Result<Identity, Error> {
    let session = app.wechat.code2session(js_code).await?;
    let appid = app.settings.wechat.appid.clone();
    Ok(Identity { appid, openid: session.openid, unionid: session.unionid })
}

/// Who comes to a site with this identity: back from their shadow, if they left one. None: nobody knows them yet.
///
/// # Errors
/// [`Code::PersonBlocked`], and what the store says.
pub(super) async fn arrival(
    app: &App,
    identity: &Identity,
    site: &str,
    browser: Option<Hashed>,
) -> Result<Option<Arrival>, Error> {
    let shade = forgetting::shade(&app.keys, identity);
    match app.store.arrival(identity, &shade, site, browser).await? {
        Some(arrival) if arrival.person.blocked => Err(Code::PersonBlocked.into()),
        arrival => Ok(arrival),
    }
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
    let line = audit::Entry::of_scan(&ticket, phone.address, what, app.world.now())
        .about(person.map(|person| person.id))
        .with(more)
        .with(json!({ "entry": entry, "number": phone.number, "program": phone.program }));
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
    let ticket = &seen.ticket;
    let arrival = arrival(app, &identity, &ticket.request.site, ticket.owner.browser()).await?;
    let known_browser = arrival.as_ref().is_some_and(|arrival| arrival.knows_browser);
    let same_network =
        phone.address_is_its_own && Network::of(ticket.browser.address) == Network::of(address);
    let signals = Signals {
        entry,
        kind: ticket.kind,
        same_network,
        other_region: app.regions.differ(ticket.browser.address, address),
        same_system: System::of(&ticket.browser.os) == system && system != System::Other,
        known_browser,
        known_site: arrival.as_ref().is_some_and(|arrival| arrival.knows_site),
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
    let door = door_to(app, &site, arrival.as_ref()).await?;
    let person = arrival.map(|arrival| arrival.person);
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
            app.tickets.nudge(next.id).await;
            return Ok(Scanned {
                door,
                gives,
                ticket: next,
                token,
                person,
                known_browser,
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

/// What a site's door is to a person.
///
/// # Errors
/// What the store says.
pub async fn door_of(app: &App, site: &Site, person: &Person) -> Result<Door, Error> {
    let word = app.store.word(&person.id, &site.id).await?;
    door(app, site, Some(person), word).await
}

/// The same to who comes to it with a phone; nobody knows them before their first approval.
pub(super) async fn door_to(
    app: &App,
    site: &Site,
    arrival: Option<&Arrival>,
) -> Result<Door, Error> {
    let word = arrival.and_then(|arrival| arrival.word);
    door(app, site, arrival.map(|arrival| &arrival.person), word).await
}

/// The same to a person of whom that word is known.
pub(super) async fn door(
    app: &App,
    site: &Site,
    person: Option<&Person>,
    word: Option<Word>,
) -> Result<Door, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mini_program_says_of_itself_is_kept_as_far_as_a_line_should_hold() {
        let says = |n: usize| {
            let word = Some("版".repeat(n));
            let [version, env, wechat, library] =
                [word.clone(), word.clone(), word.clone(), word.clone()];
            Program { version, env, wechat, library, platform: word }
        };
        let kept = |n| serde_json::to_value(says(n).cut()).unwrap();
        let all = |n| serde_json::to_value(says(n)).unwrap();
        assert_eq!(kept(32), all(32));
        assert_eq!(kept(33), all(32));
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
