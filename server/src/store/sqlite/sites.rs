//! Sites that commands registered, and the logouts that sites are still to be told of.

use rusqlite::{Connection, params};

use super::{
    keys::changed,
    logins,
    rows::{all, json, moment, parsed},
};
use crate::{
    site::Site,
    store::{Error, Logout},
    world::Timestamp,
};

/// How many logouts one round tells: more wait for the next, so that one slow site holds up nobody for long.
const ROUND: i64 = 64;

pub(super) fn every(connection: &Connection) -> Result<Vec<Site>, Error> {
    all(connection, "SELECT body FROM sites ORDER BY id", [], |row| {
        parsed(&row.get::<_, String>("body")?)
    })
}

pub(super) fn put(connection: &Connection, site: &Site) -> Result<(), Error> {
    connection.execute(
        "INSERT INTO sites (id, body) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        [&site.id, &json(site)?],
    )?;
    changed(connection)
}

pub(super) fn remove(connection: &Connection, id: &str, now: Timestamp) -> Result<bool, Error> {
    let removed = connection.execute("DELETE FROM sites WHERE id = ?1", [id])? > 0;
    if removed {
        // Who registers the same id again starts with a clean door.
        connection.execute("DELETE FROM admissions WHERE site = ?1", [id])?;
        logins::end(connection, "l.site = ?1", &[&id], now)?;
        changed(connection)?;
    }
    Ok(removed)
}

pub(super) fn take_logouts(
    connection: &Connection,
    now: Timestamp,
    again: Timestamp,
) -> Result<Vec<Logout>, Error> {
    let sql = "UPDATE logouts SET next = ?2, tries = tries + 1
               WHERE id IN (SELECT id FROM logouts WHERE next <= ?1 ORDER BY next LIMIT ?3)
               RETURNING id, login, site, sub, ended, tries - 1 AS tries";
    all(connection, sql, params![now.millis(), again.millis(), ROUND], |row| {
        Ok(Logout {
            id: row.get("id")?,
            login: row.get("login")?,
            site: row.get("site")?,
            sub: row.get("sub")?,
            ended: moment(row, "ended")?,
            tries: row.get("tries")?,
        })
    })
}

pub(super) fn settle_logout(
    connection: &Connection,
    id: i64,
    again: Option<Timestamp>,
) -> Result<(), Error> {
    match again {
        None => connection.execute("DELETE FROM logouts WHERE id = ?1", [id])?,
        Some(at) => connection
            .execute("UPDATE logouts SET next = ?2 WHERE id = ?1", params![id, at.millis()])?,
    };
    Ok(())
}
