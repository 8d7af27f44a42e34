//! People brought along: each row for itself, all in one transaction.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::json;

use super::{logins, people};
use crate::{
    audit,
    store::{Error, Import, Imported},
    world::Timestamp,
};

/// Takes all of them, or with `dry` says what would become of each and takes none.
pub(super) fn all(
    db: &Connection,
    rows: &[Import],
    now: Timestamp,
    dry: bool,
) -> Result<Vec<Imported>, Error> {
    db.execute_batch("SAVEPOINT import")?;
    let done: Result<Vec<_>, _> = rows.iter().map(|row| one_of_them(db, row, now)).collect();
    let end = if dry { "ROLLBACK TO import; RELEASE import" } else { "RELEASE import" };
    db.execute_batch(end)?;
    done
}

/// What is refused leaves no trace of its beginning.
fn one_of_them(db: &Connection, row: &Import, now: Timestamp) -> Result<Imported, Error> {
    db.execute_batch("SAVEPOINT person")?;
    let done = take(db, row, now)?;
    let refused = matches!(done, Imported::Refused(_));
    db.execute_batch(if refused {
        "ROLLBACK TO person; RELEASE person"
    } else {
        "RELEASE person"
    })?;
    Ok(done)
}

fn take(db: &Connection, row: &Import, now: Timestamp) -> Result<Imported, Error> {
    let before = people::of(db, &row.identity)?.map(|person| person.id);
    let had = identities(db, before.as_deref())?;
    let id = match &row.was {
        None => people::settle(db, &row.identity, &row.newcomer, now)?,
        Some(was) => match (people::of(db, was)?, &before) {
            (None, _) => return Ok(Imported::Refused("was_openid is nobody's here")),
            (Some(old), Some(now)) if old.id != *now => {
                return Ok(Imported::Refused(
                    "openid and was_openid are two people's here; `saoma person link` joins them",
                ));
            }
            (Some(old), _) => {
                let identity = &row.identity;
                db.execute(
                    "INSERT INTO identities (appid, openid, unionid, person) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET unionid = coalesce(excluded.unionid, unionid)",
                    params![identity.appid, identity.openid, identity.unionid, old.id],
                )?;
                old.id
            }
        },
    };
    let named = match &row.sub {
        None => false,
        Some((group, sub)) => match name(db, &id, group, sub)? {
            Ok(named) => named,
            Err(why) => return Ok(Imported::Refused(why)),
        },
    };
    if let Some(nickname) = &row.nickname {
        db.execute(
            "UPDATE persons SET nickname = ?2 WHERE id = ?1 AND nickname IS NULL",
            params![id, nickname],
        )?;
    }
    let done = if before.is_none() && id == row.newcomer.id {
        Imported::Added
    } else if identities(db, Some(&id))? > had || before.is_none() {
        Imported::Linked
    } else if named {
        Imported::Named
    } else {
        return Ok(Imported::Known);
    };
    let how = match &done {
        Imported::Added => "added",
        Imported::Linked => "linked",
        _ => "named",
    };
    let (what, person) = ("person.imported".to_owned(), Some(id));
    let detail = json!({ "how": how });
    let entry = audit::Entry { at: now, what, person, site: None, address: None, detail };
    logins::write_audit(db, &entry)?;
    Ok(done)
}

fn identities(db: &Connection, person: Option<&str>) -> Result<u32, Error> {
    let sql = "SELECT count(*) FROM identities WHERE person = ?1";
    Ok(db.query_row(sql, [person], |row| row.get(0))?)
}

/// Keeps the name by which a group knows a person: whether that is news, or why it cannot be.
fn name(
    db: &Connection,
    person: &str,
    group: &str,
    sub: &str,
) -> Result<Result<bool, &'static str>, Error> {
    let holder = "SELECT person FROM subs WHERE group_name = ?1 AND sub = ?2";
    let holder: Option<String> = db.query_row(holder, [group, sub], |row| row.get(0)).optional()?;
    match holder {
        Some(holder) if holder == person => return Ok(Ok(false)),
        Some(_) => return Ok(Err("somebody else has this sub there")),
        None => {}
    }
    let known = "SELECT count(*) FROM subs WHERE group_name = ?1 AND person = ?2 AND appid = ''";
    let known: u32 = db.query_row(known, [group, person], |row| row.get(0))?;
    if known > 0 {
        return Ok(Err("the site knows this person by another sub already"));
    }
    db.execute(
        "INSERT INTO subs (group_name, person, sub) VALUES (?1, ?2, ?3)",
        [group, person, sub],
    )?;
    Ok(Ok(true))
}
