//! A page, or a device, opens a ticket; renews it, asks for digits, gives it up.

use std::net::IpAddr;

use bytes::Bytes;

use super::{Standing, TRIES, check_origin, find, find_own};
use crate::{
    app::App,
    error::{Code, Error},
    grant::Request,
    limits,
    secret::{Hashed, Secret},
    site::Site,
    ticket::{Browser, Fresh, Kind, Owner, Presented, Refusal, Stage, Ticket},
    tickets::Picture,
    world::Timestamp,
};

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
    app.tickets.nudge(id).await;
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
    let found = match find_own(app, id, presented, origin).await {
        // Whose answer was lost asks again, with the same right to it.
        Err(Error { code: Code::NoSuchTicket, .. }) => {
            let owner = cancelled_by(app, id).await?.filter(|owner| owner.is(presented));
            return check_origin(app, &owner.ok_or(Code::NoSuchTicket)?, origin);
        }
        found => found?,
    };
    match found {
        Standing::Decided(_) => Err(Refusal::AlreadyDecided.into()),
        Standing::Living(seen) => {
            let owner = serde_json::to_vec(&seen.ticket.owner).map_err(|error| Error {
                cause: Some(error.to_string()),
                ..Code::Internal.into()
            })?;
            let now = app.world.now();
            let until = now + app.settings.ticket.life;
            app.tickets.keep(given_up(id), Bytes::from(owner), now, until).await?;
            app.tickets.remove(&seen.ticket).await?;
            app.metrics.sign_ins.cancelled(&seen.ticket.request.site, seen.ticket.opened);
            app.tickets.nudge(id).await;
            Ok(())
        }
    }
}

/// Under what is kept for a while whose a ticket was that its page gave up.
fn given_up(id: Hashed) -> Hashed {
    Hashed::of([b"given up:".as_slice(), id.as_bytes()].concat())
}

/// Whose a ticket was that its page gave up a moment ago.
async fn cancelled_by(app: &App, id: Hashed) -> Result<Option<Owner>, Error> {
    let kept = app.tickets.kept(given_up(id), app.world.now()).await?;
    Ok(kept.and_then(|owner| serde_json::from_slice(&owner).ok()))
}
