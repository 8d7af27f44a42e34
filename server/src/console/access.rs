//! Who may come in: owners by scanning, the first of them with a link printed at the start, and who has the machine with a
//! link made by `saoma console link` when WeChat is away.
//!
//! A session that came of a scan hangs on its login: the person sees it on their phone among their others and ends it there,
//! and it ends with the person's place among the owners (threats.md, "The console").

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    app::App,
    audit,
    config::Settings,
    error::{Code, Error},
    grant::Request,
    login::{self, Claim, Opener, Opening, Outcome},
    secret::{Hashed, Secret},
    site::CONSOLE,
    store::{self, ConsoleLink, ConsoleSession, Opens, Operator, SharedStore},
    ticket::{Browser, Kind},
    world::World,
};

/// How long the link to ownership waits: until the evening of who has just installed saoma.
const OWNERSHIP: Duration = Duration::from_secs(24 * 3600);
/// How long a link from the command line waits: it is pasted at once.
const LINK: Duration = Duration::from_secs(10 * 60);
/// How long a session of such a link lasts: it names nobody, so it is for repairs alone.
const BY_LINK: Duration = Duration::from_secs(3600);
/// How long who showed the link to ownership has to scan.
const CLAIM: Duration = Duration::from_secs(15 * 60);
/// A session's use is noted once in this time.
const NOTED: Duration = Duration::from_secs(60);

/// Makes a one-time link. Its secret stands behind the `#`, which browsers send to nobody; the page posts it.
///
/// # Errors
/// What the store says.
pub async fn make_link(
    settings: &Settings,
    store: &SharedStore,
    world: &World,
    opens: Opens,
) -> Result<String, store::Error> {
    let secret = Secret::new(world);
    let life = match opens {
        Opens::Ownership => OWNERSHIP,
        Opens::Console => LINK,
    };
    let link = ConsoleLink { hash: secret.hashed(), opens, until: world.now() + life };
    store.keep_console_link(link).await?;
    if opens == Opens::Console {
        let (now, by) = (world.now(), audit::COMMAND);
        store.audit(audit::Entry::of_operator(now, "console.link_made", by)).await?;
    }
    let origin = settings.console.origin(settings.admin_address());
    Ok(format!("{origin}/console/link#{}", secret.reveal()))
}

/// The link to ownership, while nobody owns this server.
///
/// # Errors
/// What the store says.
pub async fn offer_ownership(app: &App) -> Result<Option<String>, store::Error> {
    if app.store.has_owner().await? {
        return Ok(None);
    }
    make_link(&app.settings, &app.store, &app.world, Opens::Ownership).await.map(Some)
}

/// What a link gave.
pub enum Arrival {
    /// The console is open.
    In {
        /// The session.
        session: Secret,
        /// How long it lasts.
        life: Duration,
    },
    /// Whoever scans next in this browser becomes the first owner.
    MayClaim,
}

/// A browser shows the secret of a link. `cookie` names the browser.
///
/// # Errors
/// [`Code::LinkOver`], and [`Code::TooManyRequests`] for who guesses.
pub async fn arrive(
    app: &App,
    link: &Secret,
    cookie: Hashed,
    address: IpAddr,
) -> Result<Arrival, Error> {
    let (hash, now) = (link.hashed(), app.world.now());
    app.limits.may_guess(address, now)?;
    if app.store.console_link_stands(hash, Opens::Ownership, now).await? {
        if app.store.has_owner().await? {
            return Err(Code::LinkOver.into());
        }
        let kept = Bytes::copy_from_slice(hash.as_bytes());
        app.tickets.keep(claims(cookie), kept, now, now + CLAIM).await?;
        return Ok(Arrival::MayClaim);
    }
    if !app.store.take_console_link(hash, Opens::Console, now).await? {
        app.limits.guessed_wrong(address, now);
        note(app, "console.link_refused", None, address, json!({})).await?;
        return Err(Code::LinkOver.into());
    }
    let session = Secret::new(&app.world);
    let until = now + BY_LINK;
    let kept = ConsoleSession { hash: session.hashed(), login: None, made: now, seen: now, until };
    app.store.open_console(kept).await?;
    note(app, "console.opened", None, address, json!({ "by": audit::CONSOLE, "how": "link" }))
        .await?;
    Ok(Arrival::In { session, life: BY_LINK })
}

/// Under what it is kept that a browser may claim ownership.
fn claims(cookie: Hashed) -> Hashed {
    Hashed::of([b"console claims ".as_slice(), cookie.as_bytes()].concat())
}

async fn claimed_with(app: &App, cookie: Hashed) -> Result<Option<Hashed>, Error> {
    let kept = app.tickets.kept(claims(cookie), app.world.now()).await?;
    Ok(kept.and_then(|bytes| bytes.as_ref().try_into().ok()).map(Hashed::from_bytes))
}

/// What a browser without a session finds at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Owners scan.
    Scan,
    /// Whoever scans becomes the first owner.
    Claim,
    /// There is no owner yet, and this browser has not shown the link.
    Nobody,
}

/// Which door this browser finds.
///
/// # Errors
/// What the stores say.
pub async fn door(app: &App, cookie: Option<Hashed>) -> Result<Door, Error> {
    if app.store.has_owner().await? {
        return Ok(Door::Scan);
    }
    match cookie {
        Some(cookie) if claimed_with(app, cookie).await?.is_some() => Ok(Door::Claim),
        _ => Ok(Door::Nobody),
    }
}

/// Opens a ticket for the console itself, in the browser of this cookie, on a page at `origin`.
///
/// # Errors
/// As [`login::open`].
pub async fn open_ticket(
    app: &App,
    cookie: Hashed,
    origin: &str,
    kind: Kind,
    browser: Browser,
) -> Result<Opening, Error> {
    let site = app.sites.get(CONSOLE).ok_or(Code::UnknownSite)?;
    let request = Request::bare(CONSOLE, format!("{origin}/console"));
    let opener = Opener::Console { cookie, origin: origin.to_owned() };
    login::open(app, &site, request, opener, kind, browser).await
}

/// A phone has decided about a ticket of the console: a session, if its person is an owner or becomes the first. The same
/// session again if it is asked for again. None: they are not, and what they approved has ended.
///
/// # Errors
/// What the stores say.
pub async fn enter(
    app: &App,
    ticket: Hashed,
    claim: &Claim,
    cookie: Hashed,
    address: IpAddr,
) -> Result<Option<Secret>, Error> {
    let Outcome::Code(_) = claim.outcome else { return Ok(None) };
    let decided = app.store.decision_by_ticket(ticket).await?.ok_or(Code::NoSuchTicket)?;
    let login = decided.login.filter(|login| login.ended.is_none()).ok_or(Code::NoSuchTicket)?;
    let now = app.world.now();
    let session = app.keys.derive("console", ticket);
    let made = decided.decision.at;
    let kept = ConsoleSession {
        hash: session.hashed(),
        login: Some(login.id.clone()),
        made,
        seen: now,
        until: made + app.settings.console.life,
    };
    let person = app.store.person(&login.person).await?.ok_or(Code::NoSuchTicket)?;
    let is_owner = person.is_owner()
        || match claimed_with(app, cookie).await? {
            Some(link) => app.store.claim_ownership(link, &person.id, now).await?,
            None => false,
        };
    if !is_owner || person.blocked {
        app.store.end_login(&person.id, &login.id, now).await?;
        note(app, "console.refused", Some(&person.id), address, json!({})).await?;
        return Ok(None);
    }
    let again = operator(app, &session, Some(cookie)).await?.is_some();
    app.store.open_console(kept).await?;
    if !again {
        let detail = json!({ "by": person.id, "how": "scan" });
        note(app, "console.opened", Some(&person.id), address, detail).await?;
    }
    Ok(Some(session))
}

/// Whose session this is in the browser of this cookie, if it lives.
///
/// # Errors
/// What the store says.
pub async fn operator(
    app: &App,
    session: &Secret,
    cookie: Option<Hashed>,
) -> Result<Option<Operator>, Error> {
    let now = app.world.now();
    let idle_since = now.before(app.settings.console.idle);
    let found = app.store.operator(session.hashed(), cookie, now, idle_since).await?;
    if let Some(operator) = &found
        && now.since(operator.session.seen) >= NOTED
    {
        app.store.operator_seen(operator.session.hash, now).await?;
    }
    Ok(found)
}

/// What every form of a session carries, so that no page elsewhere can make one.
pub fn form_token(app: &App, operator: &Operator) -> Secret {
    app.keys.derive("console form", operator.session.hash)
}

/// Who an operator is to the audit log: a person's id, or [`audit::CONSOLE`] where a link let them in.
pub fn by(operator: &Operator) -> &str {
    operator.person.as_ref().map_or(audit::CONSOLE, |person| &person.id)
}

/// An operator leaves.
///
/// # Errors
/// What the store says.
pub async fn leave(app: &App, operator: &Operator, address: IpAddr) -> Result<(), Error> {
    app.store.close_console(operator.session.hash, app.world.now()).await?;
    note(app, "console.closed", None, address, json!({ "by": by(operator) })).await
}

async fn note(
    app: &App,
    what: &str,
    person: Option<&str>,
    address: IpAddr,
    detail: Value,
) -> Result<(), Error> {
    let entry = audit::Entry::new(app.world.now(), what)
        .about(person.map(ToOwned::to_owned))
        .from_address(address)
        .with(detail);
    Ok(app.store.audit(entry).await?)
}
