//! Decisions, the logins they make, and the tokens those give.

use rusqlite::{Connection, params};

use super::{
    account, admissions, people,
    rows::{LOGIN, PERSON, all, decided, json, login, one, person, token},
};
use crate::{
    audit,
    person::Identity,
    secret::Hashed,
    store::{
        Decide, Decided, Error, LiveToken, Login, LoginOf, Redemption, Revoke, Token, TokenKind,
    },
    ticket::{Denied, Verdict},
    tickets::Parked,
    world::Timestamp,
};

pub(super) fn decide(connection: &Connection, decide: &Decide) -> Result<Decided, Error> {
    let decision = &decide.decision;
    if let Some(first) = decided(connection, "ticket", decision.ticket.as_bytes())? {
        return Ok(first);
    }
    let mut asker = None;
    let (made, what) = match &decision.verdict {
        Verdict::Approved { .. } => (Some(open(connection, decide)?), "ticket.approved"),
        Verdict::Denied(Denied::ByPerson) => (None, "ticket.denied"),
        Verdict::Denied(Denied::WrongMatch) => (None, "ticket.wrong_match"),
        Verdict::Denied(Denied::NotAdmitted) => (None, "ticket.not_admitted"),
        Verdict::Denied(Denied::OwnerAsked) => {
            asker = Some(admissions::ask(connection, decide)?);
            (None, "ticket.owner_asked")
        }
    };
    let code = made.is_some().then_some(*decide.code.as_bytes());
    connection
        .prepare_cached(
            "INSERT INTO decisions (ticket, scene, code, login, body, at, claim_until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            decision.ticket.as_bytes(),
            decision.scene,
            code,
            made.as_ref().map(|login| &login.id),
            json(decision)?,
            decision.at.millis(),
            decision.claim_until.millis(),
        ])?;
    let person = match made.as_ref().map(|login| &login.person).or(asker.as_ref()) {
        Some(person) => Some(person.clone()),
        None => people::of(connection, &decision.identity)?.map(|person| person.id),
    };
    let is_new = person.as_ref() == Some(&decide.newcomer.id);
    let entry = audit::Entry::of_decision(decision, what, person);
    if is_new {
        account::name_scans(connection, &entry)?;
    }
    write_audit(connection, &entry)?;
    tracing::debug!(name: "decision.written", ticket = ?decision.ticket, "a decision goes with the next commit");
    Ok(Decided { decision: decision.clone(), login: made, redeemed: None })
}

/// The login that an approval makes or goes on with.
fn open(connection: &Connection, decide: &Decide) -> Result<Login, Error> {
    let Decide { decision, session, group, newcomer, sub, .. } = decide;
    let Verdict::Approved { scopes, .. } = &decision.verdict else {
        return Err(Error("only an approval opens a login".to_owned()));
    };
    let (id, since) = match &decide.login {
        LoginOf::New { id, since } => (id, *since),
        LoginOf::Again(id) => {
            connection
                .prepare_cached("UPDATE logins SET last_seen = ?2 WHERE id = ?1 AND ended IS NULL")?
                .execute(params![id, decision.at.millis()])?;
            return living(connection, id)?
                .ok_or_else(|| Error("the login to go on with has ended".to_owned()));
        }
    };
    let (identity, now) = (&decision.identity, decision.at);
    let link = decision.request.link.map(|hash| admissions::take(connection, hash, identity, now));
    let link = link.transpose()?;
    let person = people::settle(connection, identity, newcomer, now)?;
    if let Some(link) = &link {
        admissions::give(connection, link, &person, identity, now)?;
    }
    let sub = people::sub(connection, group, &person, &decision.identity, sub)?;
    account::consent(connection, &person, &decision.request.site, scopes, decision.at)?;
    if let (Some((new, until)), crate::ticket::Owner::Browser { session: Some(old), .. }) =
        (session, &decision.owner)
    {
        // The same person again: what other sites this browser may enter goes along; somebody else's does not.
        connection
            .prepare_cached(
                "UPDATE logins SET session = ?1, session_until = ?2 WHERE session = ?3 AND person = ?4 AND ended IS NULL",
            )?
            .execute(params![new.as_bytes(), until.millis(), old.as_bytes(), person])?;
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
    connection
        .prepare_cached(
            "INSERT INTO logins (id, person, site, group_name, sub, scopes, appid, openid, browser, cookie, session,
             session_until, since, last_seen) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            login.id,
            login.person,
            login.site,
            group,
            login.sub,
            login.scopes.to_string(),
            decision.identity.appid,
            decision.identity.openid,
            json(&login.browser)?,
            decision.owner.browser().map(|hash| *hash.as_bytes()),
            session.map(|(hash, _)| *hash.as_bytes()),
            session.map(|(_, until)| until.millis()),
            login.since.millis(),
            login.last_seen.millis(),
        ])?;
    Ok(login)
}

pub(super) fn redeem(
    connection: &Connection,
    code: Hashed,
    tokens: &[Token],
    now: Timestamp,
) -> Result<Redemption, Error> {
    let consumed = connection
        .prepare_cached("UPDATE decisions SET redeemed = ?2 WHERE code = ?1 AND redeemed IS NULL")?
        .execute(params![code.as_bytes(), now.millis()])?;
    if consumed == 0 {
        connection.execute(
            "DELETE FROM tokens WHERE family = (SELECT ticket FROM decisions WHERE code = ?1)",
            [code.as_bytes()],
        )?;
        return Ok(Redemption::Reused);
    }
    for token in tokens {
        add_token(connection, token)?;
    }
    Ok(Redemption::Consumed)
}

fn add_token(connection: &Connection, token: &Token) -> Result<(), Error> {
    let kind = match token.kind {
        TokenKind::Access => "access",
        TokenKind::Refresh => "refresh",
    };
    connection
        .prepare_cached(
            "INSERT INTO tokens (hash, kind, login, scopes, family, since, made, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            token.hash.as_bytes(),
            kind,
            token.login,
            token.scopes.to_string(),
            token.family.as_bytes(),
            token.since.millis(),
            token.made.millis(),
            token.expires.millis(),
        ])?;
    Ok(())
}

pub(super) fn rotate(
    connection: &Connection,
    old: Hashed,
    given: &[Token],
    now: Timestamp,
) -> Result<bool, Error> {
    let used = connection
        .prepare_cached("UPDATE tokens SET used = ?2 WHERE hash = ?1 AND used IS NULL")?
        .execute(params![old.as_bytes(), now.millis()])?;
    if used == 0 {
        return Ok(false);
    }
    for token in given {
        add_token(connection, token)?;
        connection
            .prepare_cached("UPDATE logins SET last_seen = ?2 WHERE id = ?1")?
            .execute(params![token.login, now.millis()])?;
    }
    Ok(true)
}

pub(super) fn revoke(connection: &Connection, what: Revoke) -> Result<(), Error> {
    let (sql, hash) = match what {
        Revoke::Token(hash) => ("DELETE FROM tokens WHERE hash = ?1", hash),
        Revoke::Family(family) => ("DELETE FROM tokens WHERE family = ?1", family),
    };
    connection.execute(sql, [hash.as_bytes()])?;
    Ok(())
}

pub(super) fn living(connection: &Connection, id: &str) -> Result<Option<Login>, Error> {
    let sql = format!("SELECT {LOGIN} FROM logins l WHERE l.id = ?1 AND l.ended IS NULL");
    one(connection, &sql, [id], login)
}

pub(super) fn live_token(
    connection: &Connection,
    hash: Hashed,
    now: Timestamp,
) -> Result<Option<LiveToken>, Error> {
    let sql = format!(
        "SELECT t.hash, t.kind, t.scopes, t.family, t.since AS family_since, t.made, t.expires, t.used, {LOGIN}, {PERSON}
         FROM tokens t JOIN logins l ON l.id = t.login JOIN persons p ON p.id = l.person
         WHERE t.hash = ?1 AND t.expires > ?2 AND l.ended IS NULL AND p.blocked = 0"
    );
    one(connection, &sql, params![hash.as_bytes(), now.millis()], |row| {
        Ok(LiveToken { token: token(row)?, login: login(row)?, person: person(row)? })
    })
}

pub(super) fn of_person(connection: &Connection, person: &str) -> Result<Vec<Login>, Error> {
    let sql = format!(
        "SELECT {LOGIN} FROM logins l WHERE l.person = ?1 AND l.ended IS NULL ORDER BY l.since DESC"
    );
    all(connection, &sql, [person], login)
}

pub(super) fn of_session(
    connection: &Connection,
    session: Hashed,
    now: Timestamp,
) -> Result<Vec<Login>, Error> {
    let sql = format!(
        "SELECT {LOGIN} FROM logins l JOIN persons p ON p.id = l.person
         WHERE l.session = ?1 AND l.session_until > ?2 AND l.ended IS NULL AND p.blocked = 0 ORDER BY l.since DESC"
    );
    all(connection, &sql, params![session.as_bytes(), now.millis()], login)
}

/// Ends logins with their tokens; the sessions they held lose them.
pub(super) fn end(
    connection: &Connection,
    by: &str,
    params: &[&dyn rusqlite::ToSql],
    now: Timestamp,
) -> Result<Vec<Login>, Error> {
    let sql = format!("SELECT {LOGIN} FROM logins l WHERE {by} AND l.ended IS NULL");
    let living = all(connection, &sql, params, login)?;
    for login in &living {
        connection.execute("DELETE FROM tokens WHERE login = ?1", [&login.id])?;
        connection.execute(
            "UPDATE logins SET ended = ?2, session = NULL WHERE id = ?1",
            params![login.id, now.millis()],
        )?;
        connection.execute(
            "INSERT INTO logouts (login, site, sub, ended, next) VALUES (?1, ?2, ?3, ?4, ?4)",
            params![login.id, login.site, login.sub, now.millis()],
        )?;
        write_audit(
            connection,
            &audit::Entry {
                at: now,
                what: "login.ended".to_owned(),
                person: Some(login.person.clone()),
                site: Some(login.site.clone()),
                address: None,
                detail: serde_json::json!({ "login": login.id }),
            },
        )?;
    }
    Ok(living)
}

pub(super) fn write_audit(connection: &Connection, entry: &audit::Entry) -> Result<(), Error> {
    connection
        .prepare_cached("INSERT INTO audit (at, what, person, site, address, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            entry.at.millis(),
            entry.what,
            entry.person,
            entry.site,
            entry.address,
            entry.detail.to_string(),
        ])?;
    Ok(())
}

pub(super) fn open_phone(
    connection: &Connection,
    token: Hashed,
    identity: &Identity,
    expires: Timestamp,
) -> Result<(), Error> {
    connection.execute(
        "INSERT INTO phones (token, appid, openid, unionid, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            token.as_bytes(),
            identity.appid,
            identity.openid,
            identity.unionid,
            expires.millis()
        ],
    )?;
    Ok(())
}

pub(super) fn phone(
    connection: &Connection,
    token: Hashed,
    now: Timestamp,
) -> Result<Option<Identity>, Error> {
    let sql = "SELECT appid, openid, unionid FROM phones WHERE token = ?1 AND expires > ?2";
    one(connection, sql, params![token.as_bytes(), now.millis()], |row| {
        Ok(Identity {
            appid: row.get("appid")?,
            openid: row.get("openid")?,
            unionid: row.get("unionid")?,
        })
    })
}

pub(super) fn park(connection: &Connection, tickets: &[Parked]) -> Result<(), Error> {
    let mut insert = connection.prepare("INSERT INTO parked (body) VALUES (?1)")?;
    for parked in tickets {
        // With its picture each is some kilobytes, which as text would be four times as many.
        insert.execute([postcard::to_allocvec(parked).map_err(unusable)?])?;
    }
    Ok(())
}

pub(super) fn unpark(connection: &Connection) -> Result<Vec<Parked>, Error> {
    let parked = all(connection, "SELECT body FROM parked", [], |row| {
        postcard::from_bytes(&row.get::<_, Vec<u8>>("body")?).map_err(unusable)
    })?;
    connection.execute("DELETE FROM parked", [])?;
    Ok(parked)
}

fn unusable(error: postcard::Error) -> Error {
    Error(format!("a ticket cannot be written down: {error}"))
}

pub(super) fn prune(connection: &Connection, now: Timestamp) -> Result<(), Error> {
    // A code is redeemed within a minute of a claim; an hour more lets a reused one be noticed and its tokens be revoked.
    let old = now.before(std::time::Duration::from_secs(3600)).millis();
    connection.execute("DELETE FROM decisions WHERE claim_until < ?1", [old])?;
    connection.execute("DELETE FROM tokens WHERE expires < ?1", [now.millis()])?;
    connection.execute("DELETE FROM phones WHERE expires < ?1", [now.millis()])?;
    connection.execute("DELETE FROM links WHERE expires < ?1", [now.millis()])?;
    Ok(())
}

/// The decision with this code.
pub(super) fn by_code(connection: &Connection, code: Hashed) -> Result<Option<Decided>, Error> {
    decided(connection, "code", code.as_bytes())
}
