//! The console's links and sessions, and who owns the server.

use super::{
    Db, Held, Row, audit_log, logins, operator,
    rows::{PERSON, one, person},
    values,
};
use crate::{
    audit,
    person::OWNER,
    secret::Hashed,
    store::{ConsoleLink, ConsoleSession, Error, Opens, Operator},
    world::Timestamp,
};

pub(super) async fn keep_link(db: &dyn Db, link: &ConsoleLink) -> Result<(), Error> {
    let sql = "INSERT INTO console_links (hash, opens, until) VALUES (?1, ?2, ?3)";
    db.send(sql, values![link.hash, link.opens.as_str(), link.until]).await
}

pub(super) async fn link_stands(
    db: &dyn Db,
    link: Hashed,
    opens: Opens,
    now: Timestamp,
) -> Result<bool, Error> {
    let sql = "SELECT hash FROM console_links WHERE hash = ?1 AND opens = ?2 AND until > ?3";
    let found = one(db, sql, values![link, opens.as_str(), now], |_| Ok(())).await?;
    Ok(found.is_some())
}

pub(super) async fn take_link(
    db: &dyn Db,
    link: Hashed,
    opens: Opens,
    now: Timestamp,
) -> Result<bool, Error> {
    let sql = "DELETE FROM console_links WHERE hash = ?1 AND opens = ?2 AND until > ?3";
    Ok(db.execute(sql, values![link, opens.as_str(), now]).await? > 0)
}

pub(super) async fn has_owner(db: &dyn Db) -> Result<bool, Error> {
    let is_owner = db.dialect().in_group("?1");
    let sql = format!("SELECT p.id FROM persons p WHERE NOT p.blocked AND {is_owner} LIMIT 1");
    Ok(one(db, &sql, values![OWNER], |_| Ok(())).await?.is_some())
}

pub(super) async fn claim_ownership(
    db: &dyn Db,
    link: Hashed,
    id: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    // Two who claim at once take the same link or wait here for each other's.
    db.hold(&[Held::Ownership, Held::Person(id)]).await?;
    if has_owner(db).await? || !take_link(db, link, Opens::Ownership, now).await? {
        return Ok(false);
    }
    let sql = format!("SELECT {PERSON} FROM persons p WHERE p.id = ?1 AND NOT p.blocked");
    if one(db, &sql, values![id], person).await?.is_none() {
        return Err(Error::Away("who claims is not there".to_owned()));
    }
    operator::join(db, id, OWNER).await?;
    // Whoever else holds such a link is too late.
    let sql = "DELETE FROM console_links WHERE opens = ?1";
    db.send(sql, values![Opens::Ownership.as_str()]).await?;
    let entry = audit::Entry::of_operator(now, "owner.claimed", id).about(id.to_owned());
    audit_log::write(db, &entry).await?;
    Ok(true)
}

pub(super) async fn open(db: &dyn Db, session: &ConsoleSession) -> Result<(), Error> {
    // The same again where an answer was lost on its way.
    let sql =
        "INSERT INTO console_sessions (hash, login, made, seen, until) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT DO NOTHING";
    let ConsoleSession { hash, login, made, seen, until } = session;
    db.send(sql, values![*hash, login, *made, *seen, *until]).await
}

pub(super) async fn operator(
    db: &dyn Db,
    session: Hashed,
    cookie: Option<Hashed>,
    now: Timestamp,
    idle_since: Timestamp,
) -> Result<Option<Operator>, Error> {
    let sql = format!(
        "SELECT s.hash, s.login, s.made, s.seen, s.until, {PERSON}
         FROM console_sessions s LEFT JOIN logins l ON l.id = s.login LEFT JOIN persons p ON p.id = l.person
         WHERE s.hash = ?1 AND s.until > ?2 AND s.seen > ?3 AND (s.login IS NULL OR
             (l.cookie = ?5 AND l.ended IS NULL AND NOT p.blocked AND {}))",
        db.dialect().in_group("?4")
    );
    one(db, &sql, values![session, now, idle_since, OWNER, cookie], |row| {
        let session = console_session(row)?;
        let person = if session.login.is_some() { Some(person(row)?) } else { None };
        Ok(Operator { session, person })
    })
    .await
}

fn console_session(row: &Row) -> Result<ConsoleSession, Error> {
    Ok(ConsoleSession {
        hash: row.get("hash")?,
        login: row.get("login")?,
        made: row.get("made")?,
        seen: row.get("seen")?,
        until: row.get("until")?,
    })
}

pub(super) async fn seen(db: &dyn Db, session: Hashed, now: Timestamp) -> Result<(), Error> {
    let sql = "UPDATE console_sessions SET seen = ?2 WHERE hash = ?1";
    db.send(sql, values![session, now]).await
}

pub(super) async fn close(db: &dyn Db, session: Hashed, now: Timestamp) -> Result<(), Error> {
    let of_session = "l.id = (SELECT login FROM console_sessions WHERE hash = ?1)";
    logins::end(db, of_session, values![session], now).await?;
    db.send("DELETE FROM console_sessions WHERE hash = ?1", values![session]).await
}

/// Sessions whose time is over end with their logins, and links with them.
pub(super) async fn prune(db: &dyn Db, now: Timestamp) -> Result<(), Error> {
    let over = "l.id IN (SELECT login FROM console_sessions WHERE until < ?1)";
    logins::end(db, over, values![now], now).await?;
    db.send("DELETE FROM console_sessions WHERE until < ?1", values![now]).await
}
