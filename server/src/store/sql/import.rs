//! People brought along: each row for itself, all in one transaction.

use serde_json::json;

use super::{Db, Held, audit_log, people, rows::one, values};
use crate::{
    audit,
    store::{Error, Import, Imported},
    world::Timestamp,
};

/// Takes all of them, or with `dry` says what would become of each and takes none.
pub(super) async fn all(
    db: &dyn Db,
    rows: &[Import],
    now: Timestamp,
    dry: bool,
) -> Result<Vec<Imported>, Error> {
    let mut names = Vec::new();
    for Import { identity, was, .. } in rows {
        for identity in std::iter::once(identity).chain(was) {
            names.push(Held::Identity(&identity.appid, &identity.openid));
            names.extend(identity.unionid.as_deref().map(Held::Unionid));
        }
    }
    db.hold(&names).await?;
    run(db, "SAVEPOINT import").await?;
    let mut done = Vec::with_capacity(rows.len());
    for row in rows {
        done.push(one_of_them(db, row, now).await?);
    }
    if dry {
        run(db, "ROLLBACK TO SAVEPOINT import").await?;
    }
    run(db, "RELEASE SAVEPOINT import").await?;
    Ok(done)
}

/// What is refused leaves no trace of its beginning.
async fn one_of_them(db: &dyn Db, row: &Import, now: Timestamp) -> Result<Imported, Error> {
    run(db, "SAVEPOINT person").await?;
    let done = take(db, row, now).await?;
    if matches!(done, Imported::Refused(_)) {
        run(db, "ROLLBACK TO SAVEPOINT person").await?;
    }
    run(db, "RELEASE SAVEPOINT person").await?;
    Ok(done)
}

async fn run(db: &dyn Db, sql: &str) -> Result<(), Error> {
    db.send(sql, values![]).await
}

async fn take(db: &dyn Db, row: &Import, now: Timestamp) -> Result<Imported, Error> {
    let before = people::of(db, &row.identity).await?.map(|person| person.id);
    let had = identities(db, before.as_deref()).await?;
    let id = match &row.was {
        None => people::settle(db, &row.identity, &row.newcomer, now).await?,
        Some(was) => match (people::of(db, was).await?, &before) {
            (None, _) => return Ok(Imported::Refused("was_openid is nobody's here")),
            (Some(old), Some(now)) if old.id != *now => {
                return Ok(Imported::Refused(
                    "openid and was_openid are two people's here; `saoma person link` joins them",
                ));
            }
            (Some(old), _) => {
                people::is_of(db, &row.identity, &old.id).await?;
                old.id
            }
        },
    };
    let named = match &row.sub {
        None => false,
        Some((group, sub)) => match name(db, &id, group, sub).await? {
            Ok(named) => named,
            Err(why) => return Ok(Imported::Refused(why)),
        },
    };
    if let Some(nickname) = &row.nickname {
        let set = "UPDATE persons SET nickname = ?2 WHERE id = ?1 AND nickname IS NULL";
        db.send(set, values![&id, nickname]).await?;
    }
    let done = if before.is_none() && id == row.newcomer.id {
        Imported::Added
    } else if identities(db, Some(&id)).await? > had || before.is_none() {
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
    let entry = audit::Entry::new(now, "person.imported").about(id).with(json!({ "how": how }));
    audit_log::write(db, &entry).await?;
    Ok(done)
}

async fn identities(db: &dyn Db, person: Option<&str>) -> Result<i64, Error> {
    let sql = "SELECT count(*) AS n FROM identities WHERE person = ?1";
    Ok(one(db, sql, values![person], |row| row.get("n")).await?.unwrap_or(0))
}

/// Keeps the name by which a group knows a person: whether that is news, or why it cannot be.
async fn name(
    db: &dyn Db,
    person: &str,
    group: &str,
    sub: &str,
) -> Result<Result<bool, &'static str>, Error> {
    let holder = "SELECT person FROM subs WHERE group_name = ?1 AND sub = ?2";
    let holder: Option<String> =
        one(db, holder, values![group, sub], |row| row.get("person")).await?;
    match holder {
        Some(holder) if holder == person => return Ok(Ok(false)),
        Some(_) => return Ok(Err("somebody else has this sub there")),
        None => {}
    }
    let known = "SELECT sub FROM subs WHERE group_name = ?1 AND person = ?2 AND appid = ''";
    let known: Option<String> =
        one(db, known, values![group, person], |row| row.get("sub")).await?;
    if known.is_some() {
        return Ok(Err("the site knows this person by another sub already"));
    }
    let insert = "INSERT INTO subs (group_name, person, sub) VALUES (?1, ?2, ?3)";
    db.send(insert, values![group, person, sub]).await?;
    Ok(Ok(true))
}
