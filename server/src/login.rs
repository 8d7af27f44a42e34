//! The dance: open, scan, decide, claim.
//!
//! Each step reads what stands, asks the pure rules of `ticket.rs`, and writes with one compare-and-swap, or for a decision
//! with one durable insert. Who watches is nudged and looks for itself: what stands is here, the steps are in the files.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use futures_util::future::join;

use crate::{
    app::App,
    error::{Code, Error},
    grant::CODE_LIFE,
    secret::Hashed,
    store::Decided,
    ticket::{Decision, Denied, Face, Owner, Presented, Refusal, Stage, Verdict},
    tickets::{Picture, Seen},
    waiting::Told,
    world::Timestamp,
};

mod claim;
mod decide;
mod holder;
mod open;
mod scan;

pub use claim::{Claim, Outcome, claim, redeemable_until};
pub use decide::{approve, deny, skip};
pub(crate) use holder::holder_again;
pub use holder::{end_all, forget, forget_at_home, is_fresh, open_phone, set_profile};
pub use open::{Opener, Opening, cancel, digits, digits_of_device, open, renew};
pub use scan::{Phone, Program, Scanned, System, door_of, face_of, scan, scan_digits};

/// How often a write is tried again that met another one; each loser saw a winner, so this many meet only in an attack.
const TRIES: usize = 8;

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
    fn plain(state: &'static str, ends: Timestamp, now: Timestamp) -> Self {
        let left = ends.since(now).as_millis().div_ceil(1000);
        let expires_in = u64::try_from(left).unwrap_or(0);
        Self { state, expires_in, number: None, reason: None, person: None }
    }

    /// What a page is told of a decision.
    fn of_decision(decision: &Decision, now: Timestamp) -> Self {
        let plain = |state| Self::plain(state, decision.claim_until, now);
        match &decision.verdict {
            Verdict::Approved { .. } => plain("approved"),
            Verdict::Denied(why) => Self { reason: reason(*why), ..plain("denied") },
        }
    }

    /// The same, ready to be sent.
    fn told(&self, ends: Timestamp) -> Told {
        Told {
            text: serde_json::to_string(self).unwrap_or_default(),
            news: self.news(),
            ends,
            is_final: self.is_final(),
        }
    }

    /// Whether nothing more will come.
    pub fn is_final(&self) -> bool {
        !matches!(self.state, "waiting" | "scanned")
    }

    /// What of it is news, as a hash: not the seconds that are left. Never zero, which stands for nothing told yet.
    pub fn news(&self) -> u32 {
        let mut hasher = DefaultHasher::new();
        (self.state, &self.number, &self.person).hash(&mut hasher);
        u32::try_from(hasher.finish() >> 32).unwrap_or_default().max(1)
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
        let plain = |state| State::plain(state, self.ends(), now);
        match self {
            Self::Decided(decided) => State::of_decision(&decided.decision, now),
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

    /// What its page is told, ready to be sent.
    pub fn told(&self, now: Timestamp) -> Told {
        self.state(now).told(self.ends())
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
    // A scanned ticket may have been decided by a phone that another node served, or before that node died.
    let seen = match seen {
        Some(seen) if !app.tickets.is_shared() || matches!(seen.ticket.stage, Stage::Waiting) => {
            return Ok(Standing::Living(Box::new(seen)));
        }
        seen => seen,
    };
    let (decided, claimed) = join(app.store.decision_by_ticket(id), app.tickets.claimed(id)).await;
    let claimed = claimed?;
    match decided? {
        Some(decided) if is_over(&decided, claimed, now) => Err(Refusal::NoSuchTicket.into()),
        Some(decided) => Ok(Standing::Decided(Box::new(decided))),
        None => seen
            .map(|seen| Standing::Living(Box::new(seen)))
            .ok_or_else(|| Refusal::NoSuchTicket.into()),
    }
}

/// Whether a decision can come to nothing any more: its code was redeemed or has ended, or nobody may claim it.
fn is_over(decided: &Decided, claimed: Option<Timestamp>, now: Timestamp) -> bool {
    let ends = match claimed {
        Some(at) if decided.decision.is_approved() => at + CODE_LIFE,
        _ => decided.decision.claim_until,
    };
    decided.redeemed.is_some() || now >= ends
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
