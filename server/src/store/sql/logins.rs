//! Decisions, the logins they make, and the tokens those give.

use serde::Serialize;

use super::{
    Db, Dialect, Held, Value, account, admissions, console, people,
    rows::{
        LOGIN, PERSON, all, decided, decided_with, identity, json, login, one, parsed_bytes,
        person, token,
    },
    values,
};
use crate::{
    admission::Word,
    audit,
    person::Identity,
    secret::Hashed,
    store::{
        BrowserSession, Decide, Decided, Error, LiveToken, Login, LoginOf, Redemption, Revoke,
        Token,
    },
    ticket::{Decision, Denied, Ticket, Verdict},
    tickets::{Parked, Picture},
    world::Timestamp,
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
        account::name_scans(db, &entry).await?;
    }
    write_audit(db, &entry).await?;
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
            return living(db, id).await?.ok_or(Error::LoginEnded).map(Some);
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

pub(super) async fn redeem(
    db: &dyn Db,
    code: Hashed,
    tokens: &[Token],
    now: Timestamp,
) -> Result<Redemption, Error> {
    let consume = "UPDATE decisions SET redeemed = ?2 WHERE code = ?1 AND redeemed IS NULL";
    if db.execute(consume, values![code, now]).await? == 0 {
        let family = "SELECT ticket, login FROM decisions WHERE code = ?1";
        let family = one(db, family, values![code], |row| {
            Ok(Revoke::Family { id: row.get("ticket")?, login: row.get("login")? })
        })
        .await?;
        if let Some(family) = family {
            revoke(db, family).await?;
        }
        return Ok(Redemption::Reused);
    }
    for token in tokens {
        add_token(db, token).await?;
    }
    Ok(Redemption::Consumed)
}

async fn add_token(db: &dyn Db, token: &Token) -> Result<(), Error> {
    db.send(
        "INSERT INTO tokens (hash, kind, login, scopes, family, since, made, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        values![
            token.hash,
            token.kind.as_str(),
            &token.login,
            token.scopes.to_string(),
            token.family,
            token.since,
            token.made,
            token.expires,
        ],
    )
    .await
}

pub(super) async fn rotate(
    db: &dyn Db,
    old: Hashed,
    given: &[Token],
    now: Timestamp,
) -> Result<bool, Error> {
    // Who revokes the family meanwhile must find what this gives.
    for token in given {
        db.hold(&[Held::Family(token.family.as_bytes())]).await?;
    }
    let use_up = "UPDATE tokens SET used = ?2 WHERE hash = ?1 AND used IS NULL";
    if db.execute(use_up, values![old, now]).await? == 0 {
        return Ok(false);
    }
    for token in given {
        add_token(db, token).await?;
        seen(db, &token.login, now).await?;
    }
    Ok(true)
}

pub(super) async fn seen(db: &dyn Db, id: &str, now: Timestamp) -> Result<(), Error> {
    db.send("UPDATE logins SET last_seen = ?2 WHERE id = ?1", values![id, now]).await
}

pub(super) async fn revoke(db: &dyn Db, what: Revoke) -> Result<(), Error> {
    match &what {
        Revoke::Token(hash) => db.send("DELETE FROM tokens WHERE hash = ?1", values![*hash]).await,
        Revoke::Family { id, login } => {
            db.hold(&[Held::Family(id.as_bytes())]).await?;
            let delete = "DELETE FROM tokens WHERE login = ?1 AND family = ?2";
            db.send(delete, values![login, *id]).await
        }
    }
}

pub(super) async fn living(db: &dyn Db, id: &str) -> Result<Option<Login>, Error> {
    let sql = format!("SELECT {LOGIN} FROM logins l WHERE l.id = ?1 AND l.ended IS NULL");
    one(db, &sql, values![id], login).await
}

pub(super) async fn has_ended(db: &dyn Db, person: &str, id: &str) -> Result<bool, Error> {
    let sql = "SELECT 1 AS ended FROM logins WHERE id = ?1 AND person = ?2 AND ended IS NOT NULL";
    Ok(one(db, sql, values![id, person], |_| Ok(())).await?.is_some())
}

pub(super) async fn live_token(
    db: &dyn Db,
    hash: Hashed,
    now: Timestamp,
) -> Result<Option<LiveToken>, Error> {
    let sql = format!(
        "SELECT t.hash, t.kind, t.scopes, t.family, t.since AS family_since, t.made, t.expires, t.used, {LOGIN}, {PERSON}
         FROM tokens t JOIN logins l ON l.id = t.login JOIN persons p ON p.id = l.person
         WHERE t.hash = ?1 AND t.expires > ?2 AND l.ended IS NULL AND NOT p.blocked"
    );
    one(db, &sql, values![hash, now], |row| {
        Ok(LiveToken { token: token(row)?, login: login(row)?, person: person(row)? })
    })
    .await
}

pub(super) async fn of_person(db: &dyn Db, person: &str) -> Result<Vec<Login>, Error> {
    let sql = format!(
        "SELECT {LOGIN} FROM logins l WHERE l.person = ?1 AND l.ended IS NULL ORDER BY l.since DESC"
    );
    all(db, &sql, values![person], login).await
}

pub(super) async fn of_session(
    db: &dyn Db,
    session: BrowserSession,
    now: Timestamp,
) -> Result<Vec<Login>, Error> {
    let sql = format!(
        "SELECT {LOGIN} FROM logins l JOIN persons p ON p.id = l.person
         WHERE l.session = ?1 AND l.cookie = ?2 AND l.session_until > ?3 AND l.ended IS NULL AND NOT p.blocked
         ORDER BY l.since DESC"
    );
    all(db, &sql, values![session.hash, session.cookie, now], login).await
}

/// What ends with a session.
const OF_SESSION: &str = "l.session = ?1 AND l.cookie = ?2";

pub(super) async fn ends_with(db: &dyn Db, session: BrowserSession) -> Result<Vec<Login>, Error> {
    let sql = format!("SELECT {LOGIN} FROM logins l WHERE {OF_SESSION} AND l.ended IS NULL");
    all(db, &sql, values![session.hash, session.cookie], login).await
}

pub(super) async fn end_session(
    db: &dyn Db,
    session: BrowserSession,
    now: Timestamp,
) -> Result<Vec<Login>, Error> {
    end(db, OF_SESSION, values![session.hash, session.cookie], now).await
}

pub(super) async fn skipped(
    db: &dyn Db,
    session: Hashed,
    person: &str,
    site: &str,
) -> Result<Vec<Login>, Error> {
    let sql = format!(
        "SELECT {LOGIN} FROM logins l WHERE l.session = ?1 AND l.person = ?2 AND l.site = ?3 AND l.ended IS NULL
         ORDER BY l.since DESC"
    );
    all(db, &sql, values![session, person, site], login).await
}

/// Ends logins with their tokens; the sessions they held lose them.
pub(super) async fn end(
    db: &dyn Db,
    by: &str,
    params: &[Value],
    now: Timestamp,
) -> Result<Vec<Login>, Error> {
    // Held, and in one order: of two who end the same each ends what it finds, and they wait for each other once.
    let (held, detail) = match db.dialect() {
        Dialect::Sqlite => ("", "json_object('login', id)"),
        Dialect::Postgres => ("FOR UPDATE OF l", "jsonb_build_object('login', id)"),
    };
    let sql =
        format!("SELECT {LOGIN} FROM logins l WHERE {by} AND l.ended IS NULL ORDER BY l.id {held}");
    let ended = all(db, &sql, params, login).await?;
    if ended.is_empty() {
        return Ok(ended);
    }
    let ids = json(&ended.iter().map(|login| &login.id).collect::<Vec<_>>())?;
    // All at once: a site may have many thousands.
    let them = format!("IN (SELECT value FROM {})", db.dialect().each());
    let end = format!("UPDATE logins SET ended = ?2, session = NULL WHERE id {them}");
    db.send(&end, values![&ids, now]).await?;
    for sql in [
        format!("DELETE FROM tokens WHERE login {them}"),
        format!(
            "INSERT INTO logouts (login, site, sub, ended, next)
             SELECT id, site, sub, ended, ended FROM logins WHERE id {them} ORDER BY id"
        ),
    ] {
        db.send(&sql, values![&ids]).await?;
    }
    let note = format!(
        "INSERT INTO audit (at, what, person, site, detail)
         SELECT ended, ?2, person, site, {detail} FROM logins WHERE id {them} ORDER BY id"
    );
    db.send(&note, values![&ids, "login.ended"]).await?;
    Ok(ended)
}

/// Ends one login. What else its browser's session holds in the same group goes on, and skips no scan any more: it would
/// bring back what was just ended.
pub(super) async fn end_one(
    db: &dyn Db,
    person: &str,
    id: &str,
    now: Timestamp,
) -> Result<Option<Login>, Error> {
    // Two of one session may end at once: both take all of it, in one order.
    let held = match db.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => "FOR UPDATE OF l",
    };
    let hold = format!(
        "SELECT l.id FROM logins l WHERE (l.id = ?1 OR l.session = (SELECT o.session FROM logins o WHERE o.id = ?1))
         AND l.person = ?2 AND l.ended IS NULL ORDER BY l.id {held}"
    );
    all(db, &hold, values![id, person], |_| Ok(())).await?;
    let ended = end(db, "l.id = ?1 AND l.person = ?2", values![id, person], now).await?;
    let ended = ended.into_iter().next();
    if let Some(session) = ended.as_ref().and_then(|login| login.session) {
        db.send(
            "UPDATE logins SET session_until = ?3 WHERE session = ?2 AND session_until > ?3 AND ended IS NULL
             AND (cookie, group_name) = (SELECT o.cookie, o.group_name FROM logins o WHERE o.id = ?1)",
            values![id, session, now],
        )
        .await?;
    }
    Ok(ended)
}

pub(super) async fn write_audit(db: &dyn Db, entry: &audit::Entry) -> Result<(), Error> {
    db.send(
        "INSERT INTO audit (at, what, person, site, address, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        values![
            entry.at,
            &entry.what,
            &entry.person,
            &entry.site,
            &entry.address,
            entry.detail.to_string(),
        ],
    )
    .await
}

pub(super) async fn open_phone(
    db: &dyn Db,
    token: Hashed,
    identity: &Identity,
    expires: Timestamp,
) -> Result<(), Error> {
    db.send(
        "INSERT INTO phones (token, appid, openid, unionid, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
        values![token, &identity.appid, &identity.openid, &identity.unionid, expires],
    )
    .await
}

pub(super) async fn phone(
    db: &dyn Db,
    token: Hashed,
    now: Timestamp,
) -> Result<Option<Identity>, Error> {
    let sql = "SELECT appid, openid, unionid FROM phones WHERE token = ?1 AND expires > ?2";
    one(db, sql, values![token, now], identity).await
}

pub(super) async fn close_phone(db: &dyn Db, token: Hashed) -> Result<(), Error> {
    db.send("DELETE FROM phones WHERE token = ?1", values![token]).await
}

/// How many tickets are written down before one is waited for: each trip costs as much as writing many, and those that are on
/// their way lie in memory twice.
const ON_THEIR_WAY: usize = 64;

pub(super) async fn park(db: &dyn Db, tickets: &[Parked]) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Body<'a> {
        ticket: &'a Ticket,
    }
    let insert = "INSERT INTO parked (body, picture_type, picture) VALUES (?1, ?2, ?3)";
    for (n, Parked { ticket, picture }) in (1..).zip(tickets) {
        let body = json(&Body { ticket })?.into_bytes();
        let kind = picture.as_ref().map(|picture| picture.content_type.as_str());
        let bytes = picture.as_ref().map(|picture| picture.bytes.as_ref());
        let row = values![body, kind, bytes];
        if n % ON_THEIR_WAY == 0 {
            db.execute(insert, row).await?;
        } else {
            db.send(insert, row).await?;
        }
    }
    Ok(())
}

pub(super) async fn unpark(db: &dyn Db, most: u32) -> Result<Vec<Parked>, Error> {
    let take = match db.dialect() {
        // Of many nodes each takes its own.
        Dialect::Postgres => {
            "DELETE FROM parked WHERE ctid = ANY (ARRAY
                 (SELECT ctid FROM parked LIMIT ?1 FOR UPDATE SKIP LOCKED))
             RETURNING 0 AS place, body, picture_type, picture"
        }
        // The one writer has the table to itself, and need not keep what it takes in another one.
        Dialect::Sqlite => {
            "SELECT rowid AS place, body, picture_type, picture FROM parked ORDER BY rowid LIMIT ?1"
        }
    };
    let mut taken = Vec::new();
    let mut last = None;
    for mut row in db.rows(take, values![most]).await? {
        last = Some(row.get::<i64>("place")?);
        // An earlier saoma wrote the picture there, too.
        let parked: Parked = parsed_bytes(&row.take("body")?.unwrap_or_default())?;
        let picture = match (row.get("picture_type")?, row.take("picture")?) {
            (Some(content_type), Some(bytes)) => {
                Some(Picture { content_type, bytes: bytes.into() })
            }
            _ => parked.picture,
        };
        taken.push(Parked { picture, ..parked });
    }
    if let Some(last) = last.filter(|_| db.dialect() == Dialect::Sqlite) {
        db.send("DELETE FROM parked WHERE rowid <= ?1", values![last]).await?;
    }
    Ok(taken)
}

pub(super) async fn prune(db: &dyn Db, now: Timestamp) -> Result<(), Error> {
    // A code is redeemed within a minute of a claim; an hour more lets a reused one be noticed and its tokens be revoked.
    let old = now.before(std::time::Duration::from_secs(3600));
    let decisions = match db.dialect() {
        Dialect::Postgres => "DELETE FROM decisions WHERE claim_until < ?1",
        // They lie in the order in which they came: one that ends late keeps those behind it for as long.
        Dialect::Sqlite => {
            "DELETE FROM decisions WHERE id < coalesce(
                 (SELECT id FROM decisions WHERE claim_until >= ?1 ORDER BY id LIMIT 1), 9223372036854775807)"
        }
    };
    db.send(decisions, values![old]).await?;
    db.send("DELETE FROM tokens WHERE expires < ?1", values![now]).await?;
    db.send("DELETE FROM phones WHERE expires < ?1", values![now]).await?;
    db.send("DELETE FROM links WHERE expires < ?1", values![now]).await?;
    console::prune(db, now).await
}

/// The decision with this code. Who was blocked between the tap and this look has no login by it: the block has ended those
/// that were there then.
pub(super) async fn by_code(db: &dyn Db, code: Hashed) -> Result<Option<Decided>, Error> {
    let theirs =
        "d.login AND NOT EXISTS (SELECT 1 FROM persons p WHERE p.id = l.person AND p.blocked)";
    decided_with(db, "code", code, theirs).await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::{super::Row, *};
    use crate::{store::contract::NOW, tickets::contract::ticket};

    /// Counts what is sent to it, and how often it is waited for.
    #[derive(Default)]
    struct Trips {
        sent: AtomicU32,
        waited: AtomicU32,
    }

    #[async_trait::async_trait]
    impl Db for Trips {
        fn dialect(&self) -> Dialect {
            Dialect::Postgres
        }

        async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, Error> {
            self.waited.fetch_add(1, Ordering::Relaxed);
            self.send(sql, params).await.map(|()| 1)
        }

        async fn send(&self, _: &str, _: &[Value]) -> Result<(), Error> {
            self.sent.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        async fn rows(&self, _: &str, _: &[Value]) -> Result<Vec<Row>, Error> {
            Ok(Vec::new())
        }

        async fn hold(&self, _: &[Held<'_>]) -> Result<(), Error> {
            Ok(())
        }
    }

    /// A stop has little time, and the database may be far away.
    #[tokio::test]
    async fn five_hundred_who_wait_are_written_down_in_a_few_trips() {
        let parked = Parked { ticket: ticket("one", NOW), picture: None };
        let trips = Trips::default();
        park(&trips, &vec![parked; 512]).await.unwrap();
        assert_eq!((trips.sent.into_inner(), trips.waited.into_inner()), (512, 8));
    }
}
