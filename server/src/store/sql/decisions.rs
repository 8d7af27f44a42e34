//! Decisions, and the logins that they make.

use super::{
    Db, account, admissions, audit_log, logins, people,
    rows::{decided, decided_with, json, one},
    values,
};
use crate::{
    admission::Word,
    audit,
    secret::Hashed,
    store::{Decide, Decided, Error, Login, LoginOf},
    ticket::{Decision, Denied, Verdict},
};

pub(super) async fn decide(db: &dyn Db, decide: &Decide) -> Result<Decided, Error> {
    let decision = &decide.decision;
    let (LoginOf::New { id: login, .. } | LoginOf::Again(login)) = &decide.login;
    let approves = decision.is_approved();
    // Before anything else: who comes second waits here until the first has committed.
    let insert = "INSERT INTO decisions (ticket, scene, code, login, body, at, claim_until)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (ticket) DO NOTHING";
    let params = values![
        decision.ticket,
        &decision.scene,
        approves.then_some(decide.code),
        approves.then_some(login),
        json(decision)?,
        decision.at,
        decision.claim_until,
    ];
    if db.execute(insert, params).await? == 0 {
        let first = decided(db, "ticket", decision.ticket).await?;
        return first.ok_or_else(|| Error::Away("a decision stands and is not there".to_owned()));
    }
    let made = if approves { open(db, decide).await? } else { None };
    let decision = match &made {
        None if approves => &turn_away(db, decision).await?,
        _ => decision,
    };
    let person = match &made {
        Some(login) => Some(login.person.clone()),
        None if decision.verdict == Verdict::Denied(Denied::OwnerAsked) => {
            Some(admissions::ask(db, decide).await?)
        }
        None => people::of(db, &decision.identity).await?.map(|person| person.id),
    };
    let is_new = person.as_ref() == Some(&decide.newcomer.id);
    let what = match &decision.verdict {
        Verdict::Approved { .. } => "ticket.approved",
        Verdict::Denied(Denied::ByPerson) => "ticket.denied",
        Verdict::Denied(Denied::WrongMatch) => "ticket.wrong_match",
        Verdict::Denied(Denied::NotAdmitted) => "ticket.not_admitted",
        Verdict::Denied(Denied::OwnerAsked) => "ticket.owner_asked",
    };
    let entry = audit::Entry::of_decision(decision, what, person);
    if is_new {
        audit_log::name_scans(db, &entry).await?;
    }
    audit_log::write(db, &entry).await?;
    Ok(Decided { decision: decision.clone(), login: made, redeemed: None })
}

/// An approval that came too late to let anybody in.
async fn turn_away(db: &dyn Db, decision: &Decision) -> Result<Decision, Error> {
    let decision = decision.clone().turned_away(Some(Denied::NotAdmitted));
    let sql = "UPDATE decisions SET body = ?2, code = NULL, login = NULL WHERE ticket = ?1";
    db.send(sql, values![decision.ticket, json(&decision)?]).await?;
    Ok(decision)
}

/// The login that an approval makes or goes on with; none: the person has been shut out since they were looked at.
async fn open(db: &dyn Db, decide: &Decide) -> Result<Option<Login>, Error> {
    let Decide { decision, session, group, newcomer, .. } = decide;
    let Verdict::Approved { scopes, .. } = &decision.verdict else {
        return Err(Error::Away("only an approval opens a login".to_owned()));
    };
    let (id, since) = match &decide.login {
        LoginOf::New { id, since } => (id, *since),
        LoginOf::Again(id) => {
            let again = "UPDATE logins SET last_seen = ?2 WHERE id = ?1 AND ended IS NULL";
            db.send(again, values![id, decision.at]).await?;
            return logins::living(db, id).await?.ok_or(Error::LoginEnded).map(Some);
        }
    };
    let (identity, now) = (&decision.identity, decision.at);
    let link = match decision.request.link {
        Some(hash) => {
            people::hold(db, identity).await?;
            Some(admissions::take(db, hash, identity, now).await?)
        }
        None => None,
    };
    let person = people::settle(db, identity, newcomer, now).await?;
    if is_shut_out(db, decide, &person).await? {
        return Ok(None);
    }
    if let Some(link) = &link {
        admissions::give(db, link, &person, identity, now).await?;
    }
    let sub = people::sub(db, decide, &person).await?;
    if let (Some((new, until)), crate::ticket::Owner::Browser { cookie, session: Some(old), .. }) =
        (session, &decision.owner)
    {
        // The same person again: what other sites this browser may enter goes along; somebody else's does not. What vouches
        // no more, or never did, comes along to end with the rest.
        db.send(
            "UPDATE logins SET session = ?1,
                 session_until = CASE WHEN session_until > ?5 THEN ?2 ELSE session_until END
             WHERE session = ?3 AND cookie = ?6 AND person = ?4 AND ended IS NULL",
            values![*new, *until, *old, &person, now, *cookie],
        )
        .await?;
    }
    let login = Login {
        id: id.clone(),
        person,
        site: decision.request.site.clone(),
        sub,
        scopes: scopes.clone(),
        identity: decision.identity.clone(),
        browser: decision.browser.clone(),
        since,
        last_seen: decision.at,
        session: session.map(|(hash, _)| hash),
        ended: None,
    };
    let insert = "INSERT INTO logins (id, person, site, group_name, sub, scopes, appid, openid, browser, cookie, session,
         session_until, since, last_seen) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let params = values![
        &login.id,
        &login.person,
        &login.site,
        group,
        &login.sub,
        login.scopes.to_string(),
        &decision.identity.appid,
        &decision.identity.openid,
        json(&login.browser)?,
        decision.owner.browser(),
        login.session,
        session.map(|(_, until)| until),
        login.since,
        login.last_seen,
    ];
    db.send(insert, params).await?;
    account::consent(db, &login.person, &login.site, scopes, decision.at).await?;
    Ok(Some(login))
}

/// Whether a person has been blocked, or refused at the site, since they were looked at. They are held: who shuts them out
/// from here on finds the login and ends it.
async fn is_shut_out(db: &dyn Db, decide: &Decide, person: &str) -> Result<bool, Error> {
    // Of who has just been made nobody can have said anything.
    if person == decide.newcomer.id {
        return Ok(false);
    }
    let sql = "SELECT p.blocked, a.word FROM persons p
               LEFT JOIN admissions a ON a.person = p.id AND a.site = ?2 WHERE p.id = ?1";
    let said = one(db, sql, values![person, &decide.decision.request.site], |row| {
        let word = row.get::<Option<String>>("word")?;
        Ok((row.get("blocked")?, word.as_deref().map(admissions::read).transpose()?))
    })
    .await?;
    Ok(match said {
        Some((is_blocked, word)) => {
            is_blocked || word == Some(Word::Refused) && decide.word != word
        }
        None => false,
    })
}

/// The decision with this code. Who is blocked has no login by it: a block ends those that are there, but not those of somebody
/// who turns out to be one with a person who was blocked before.
pub(super) async fn by_code(db: &dyn Db, code: Hashed) -> Result<Option<Decided>, Error> {
    let theirs =
        "d.login AND NOT EXISTS (SELECT 1 FROM persons p WHERE p.id = l.person AND p.blocked)";
    decided_with(db, "code", code, theirs).await
}
