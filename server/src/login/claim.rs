//! The page takes what was decided.

use super::{Standing, find_own};
use crate::{
    app::App,
    error::Error,
    grant::{CODE_LIFE, Request},
    secret::{Hashed, Secret},
    store::Decided,
    ticket::{Denied, Presented, Refusal, Verdict},
    world::Timestamp,
};

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
/// [`Code::NotDecided`](crate::error::Code::NotDecided), [`Code::NoSuchTicket`](crate::error::Code::NoSuchTicket) when it is over.
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
