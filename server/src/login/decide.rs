//! The person says yes or no, once and for ever; or a browser that they have let in before needs to ask nobody.

use std::collections::BTreeSet;

use futures_util::future::join;

use super::{
    Claim, Outcome, State,
    scan::{arrival, door, door_to},
};
use crate::{
    admission::{Door, Word},
    app::{App, SharedApp},
    error::{Code, Error},
    grant::{CODE_LIFE, Request},
    links::{self, Gives},
    person::Newcomer,
    risk::{Ask, Level, Risk},
    secret::{Hashed, Secret},
    site::{self, Site},
    store::{self, Arrival, AtCommit, Decide, Login, LoginOf},
    ticket::{Approval, Browser, Decision, Denied, Kind, Owner, Refusal, Verdict},
    world::Timestamp,
};

/// The person says yes, with what they typed and ticked. Durable before this returns.
///
/// # Errors
/// [`Code::Unauthorized`], [`Code::TicketExpired`], [`Code::MatchRequired`], [`Code::WrongMatch`], [`Code::Refused`],
/// [`Code::AlreadyDecided`], [`Code::NoSuchTicket`].
pub async fn approve(
    app: &SharedApp,
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
pub async fn deny(app: &SharedApp, scene: &str, token: Hashed) -> Result<(), Error> {
    decide(app, scene, token, None).await
}

async fn decide(
    app: &SharedApp,
    scene: &str,
    token: Hashed,
    approval: Option<Approval>,
) -> Result<(), Error> {
    let approving = approval.is_some();
    let Some(seen) = app.tickets.by_scene(scene).await? else {
        let decided = app.store.decision_by_scene(scene).await?.ok_or(Refusal::NoSuchTicket)?;
        answered(app, &decided.decision, token, approving).await?;
        // Whose answer was lost asks again; with the node that owed it the page's nudge may be lost, too.
        app.tickets.nudge(decided.decision.ticket).await;
        return Ok(());
    };
    let now = app.world.now();
    let (opened, scanned) =
        (seen.ticket.opened, seen.ticket.expires.before(app.settings.ticket.life));
    let decision = match &approval {
        Some(approval) => seen.ticket.clone().approve(token, approval, now)?,
        None => seen.ticket.clone().deny(token, now)?,
    };
    let arrival = arrival(app, &decision.identity, &decision.request.site, None).await?;
    let site = app.sites.get(&decision.request.site).ok_or(Code::UnknownSite)?;
    let mut turned_away = door_to(app, &site, arrival.as_ref()).await?.turns_away();
    if let Some(link) = decision.request.link.filter(|_| decision.is_approved()) {
        // A link is good for whoever holds it; a no was said to one person by name.
        if let Gives::Site(to) = links::find(app, link).await?.gives
            && let Some(Arrival { person, .. }) = &arrival
            && app.store.word(&person.id, &to).await? == Some(Word::Refused)
        {
            turned_away = Some(Denied::NotAdmitted);
        }
    }
    let decision = decision.turned_away(turned_away);
    let ticket = decision.ticket;
    // At saoma's own page the session is the sign-in itself, and opens nothing else.
    let remember = match &decision.verdict {
        Verdict::Approved { .. } if site.id == site::CONSOLE => false,
        Verdict::Approved { remember, .. } => *remember || site.id == site::SELF,
        Verdict::Denied(_) => false,
    };
    let session = app.keys.derive("session", ticket).hashed();
    let decide = Decide {
        decision,
        code: app.keys.derive("code", ticket).hashed(),
        session: remember.then(|| (session, now + app.settings.session.life)),
        group: site.group().to_owned(),
        newcomer: Newcomer::new(&app.world),
        sub: app.world.base62(22),
        login: LoginOf::New { id: app.world.row_name(), since: now },
        word: arrival.and_then(|arrival| arrival.word),
    };
    let decided = app.store.decide(decide, tells_its_page(app.clone(), now)).await?;
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
    let (removed, ()) = join(app.tickets.remove(&seen.ticket), app.tickets.nudge(ticket)).await;
    if let Err(error) = removed {
        tracing::warn!(name: "tickets.remove", %error, "a decided ticket stays until it expires");
    }
    answered(app, &decided.decision, token, approving).await
}

/// Tells a page of this node at once: it need not wait until somebody has looked. In this order: who is told finds the
/// ticket gone from this node's memory, or asks the store because the memory is not this node's.
fn tells_its_page(app: SharedApp, now: Timestamp) -> AtCommit {
    Box::new(move |decided, since| {
        let decision = &decided.decision;
        app.tickets.let_go(decision.ticket);
        let told = State::of_decision(decision, now).told(decision.claim_until);
        if app.waiting.tell_final(decision.ticket, &told) {
            app.metrics.sign_ins.told(since.elapsed());
        }
    })
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
    let Some(person) = app.store.person(&login.person).await? else { return Ok(None) };
    let word = app.store.word(&person.id, &site.id).await?;
    if door(app, site, Some(&person), word).await? != Door::Open {
        return Ok(None);
    }
    let ticket = Secret::new(&app.world).hashed();
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
    let again = if login.site == site.id {
        Some(login.id.clone())
    } else {
        skipped_before(app, site, &request, login).await?
    };
    let decide = Decide {
        decision,
        code: app.keys.derive("code", ticket).hashed(),
        // It ends with the session and vouches for nothing: only what a phone approved skips a scan.
        session: login.session.map(|session| (session, now)),
        group: site.group().to_owned(),
        newcomer: Newcomer::new(&app.world),
        sub: app.world.base62(22),
        login: match again {
            Some(id) => LoginOf::Again(id),
            None => LoginOf::New { id: app.world.row_name(), since: login.since },
        },
        word,
    };
    match app.store.decide(decide, store::untold()).await {
        // It ended while this was looked at, or they were shut out: nothing is remembered any more.
        Err(store::Error::LoginEnded) => return Ok(None),
        Ok(decided) if !decided.decision.is_approved() => return Ok(None),
        decided => decided?,
    };
    app.tickets.first_claim(ticket, now).await?;
    app.metrics.sign_ins.remembered(&site.id, now);
    let outcome = Outcome::Code(app.keys.derive("code", ticket));
    Ok(Some(Claim { request, outcome, session: None }))
}

/// The login that an earlier skip by the same approval made at a site, if it may do what is asked for now: a page that asks
/// again and again goes on with one.
async fn skipped_before(
    app: &App,
    site: &Site,
    request: &Request,
    by: &Login,
) -> Result<Option<String>, Error> {
    let Some(session) = by.session else { return Ok(None) };
    let before = app.store.skipped(session, &by.person, &site.id).await?;
    let same = |login: &Login| login.since == by.since && request.scopes.within(&login.scopes);
    Ok(before.into_iter().find(same).map(|login| login.id))
}
