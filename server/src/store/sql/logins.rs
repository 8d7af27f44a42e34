//! Logins: those that live, what a browser's session holds of them, and how they end.

use super::{
    Db, Dialect, Value,
    rows::{LOGIN, all, json, login, one},
    values,
};
use crate::{
    secret::Hashed,
    store::{BrowserSession, Error, Login},
    world::Timestamp,
};

pub(super) async fn seen(db: &dyn Db, id: &str, now: Timestamp) -> Result<(), Error> {
    db.send("UPDATE logins SET last_seen = ?2 WHERE id = ?1", values![id, now]).await
}

pub(super) async fn living(db: &dyn Db, id: &str) -> Result<Option<Login>, Error> {
    let sql = format!("SELECT {LOGIN} FROM logins l WHERE l.id = ?1 AND l.ended IS NULL");
    one(db, &sql, values![id], login).await
}

pub(super) async fn has_ended(db: &dyn Db, person: &str, id: &str) -> Result<bool, Error> {
    let sql = "SELECT 1 AS ended FROM logins WHERE id = ?1 AND person = ?2 AND ended IS NOT NULL";
    Ok(one(db, sql, values![id, person], |_| Ok(())).await?.is_some())
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
