//! Sites that commands registered, and the logouts that sites are still to be told of.

use super::{
    Db, audit_log,
    keys::changed,
    logins,
    rows::{all, json, one, parsed},
    values,
};
use crate::{
    audit,
    site::Site,
    store::{Error, Logout},
    world::Timestamp,
};

/// How many logouts one round tells: more wait for the next, so that one slow site holds up nobody for long.
const ROUND: i64 = 64;

/// How many logins of a site that goes are ended at once.
const SHEAF: u32 = 500;

pub(super) async fn every(db: &dyn Db) -> Result<Vec<Site>, Error> {
    all(db, "SELECT body FROM sites ORDER BY id", values![], |row| {
        parsed(&row.get::<String>("body")?)
    })
    .await
}

pub(super) async fn add(db: &dyn Db, site: &Site, entry: &audit::Entry) -> Result<bool, Error> {
    let add = "INSERT INTO sites (id, body) VALUES (?1, ?2) ON CONFLICT (id) DO NOTHING";
    let added = db.execute(add, values![&site.id, json(site)?]).await? > 0;
    if added {
        noted(db, entry).await?;
    }
    Ok(added)
}

pub(super) async fn swap(
    db: &dyn Db,
    seen: &Site,
    next: &Site,
    entry: &audit::Entry,
) -> Result<bool, Error> {
    let kept = "SELECT body FROM sites WHERE id = ?1";
    let Some(body) = one(db, kept, values![&seen.id], |row| row.get::<String>("body")).await?
    else {
        return Ok(false);
    };
    // Compared as read: an earlier saoma wrote fewer fields.
    if parsed::<Site>(&body)? != *seen {
        return Ok(false);
    }
    let swap = "UPDATE sites SET body = ?3 WHERE id = ?1 AND body = ?2";
    let swapped = db.execute(swap, values![&seen.id, body, json(next)?]).await? > 0;
    if swapped {
        noted(db, entry).await?;
    }
    Ok(swapped)
}

async fn noted(db: &dyn Db, entry: &audit::Entry) -> Result<(), Error> {
    audit_log::write(db, entry).await?;
    changed(db).await
}

/// Removes a site with its logins; whether it was there. None: it has so many that some have been ended, and it still stands.
pub(super) async fn remove(
    db: &dyn Db,
    id: &str,
    entry: &audit::Entry,
) -> Result<Option<bool>, Error> {
    let now = entry.at;
    if db.rows("SELECT id FROM sites WHERE id = ?1", values![id]).await?.is_empty() {
        return Ok(Some(false));
    }
    let some = "l.id IN (SELECT o.id FROM logins o WHERE o.site = ?1 AND o.ended IS NULL ORDER BY o.id LIMIT ?2)";
    let ended = logins::end(db, some, values![id, SHEAF], now).await?;
    if u32::try_from(ended.len()) == Ok(SHEAF) {
        return Ok(None);
    }
    let removed = db.execute("DELETE FROM sites WHERE id = ?1", values![id]).await? > 0;
    if removed {
        // Who registers the same id again starts with a clean door.
        db.send("DELETE FROM admissions WHERE site = ?1", values![id]).await?;
        // Who signed in meanwhile.
        logins::end(db, "l.site = ?1", values![id], now).await?;
        noted(db, entry).await?;
    }
    Ok(Some(removed))
}

pub(super) async fn take_logouts(
    db: &dyn Db,
    now: Timestamp,
    again: Timestamp,
) -> Result<Vec<Logout>, Error> {
    // `next` is asked again at the row: another node may have taken it while this one waited for it.
    let sql = "UPDATE logouts SET next = ?2, tries = tries + 1
               WHERE next <= ?1 AND id IN (SELECT id FROM logouts WHERE next <= ?1 ORDER BY next, id LIMIT ?3)
               RETURNING id, login, site, sub, ended, tries - 1 AS tries";
    all(db, sql, values![now, again, ROUND], |row| {
        Ok(Logout {
            id: row.get("id")?,
            login: row.get("login")?,
            site: row.get("site")?,
            sub: row.get("sub")?,
            ended: row.get("ended")?,
            tries: row.get("tries")?,
        })
    })
    .await
}

pub(super) async fn settle_logout(
    db: &dyn Db,
    id: i64,
    again: Option<Timestamp>,
) -> Result<(), Error> {
    let settled = match again {
        None => db.execute("DELETE FROM logouts WHERE id = ?1", values![id]).await,
        Some(at) => db.execute("UPDATE logouts SET next = ?2 WHERE id = ?1", values![id, at]).await,
    };
    settled.map(drop)
}
