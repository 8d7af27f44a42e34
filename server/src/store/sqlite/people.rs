//! People: whose an identity is, what they show, and forgetting them.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    admissions, operator,
    rows::{PERSON, one, person},
};
use crate::{
    person::{self, Found, Identity, KnownIdentity, Newcomer, Person},
    secret::Hashed,
    store::{Acquaintance, Error, Profile},
    world::Timestamp,
};

pub(super) fn appids(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut statement =
        connection.prepare("SELECT DISTINCT appid FROM identities ORDER BY appid")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn by_id(connection: &Connection, id: &str) -> Result<Option<Person>, Error> {
    one(connection, &format!("SELECT {PERSON} FROM persons p WHERE p.id = ?1"), [id], person)
}

pub(super) fn of(connection: &Connection, identity: &Identity) -> Result<Option<Person>, Error> {
    match (known(connection, identity)?, by_unionid(connection, identity)?) {
        (Some(known), _) => by_id(connection, &known.person),
        (None, Some(id)) => by_id(connection, &id),
        (None, None) => Ok(None),
    }
}

/// Whose identity this is from now on: made, joined or merged as `person::find` says.
pub(super) fn settle(
    connection: &Connection,
    identity: &Identity,
    newcomer: &Newcomer,
    now: Timestamp,
) -> Result<String, Error> {
    let known = known(connection, identity)?;
    let by_unionid = by_unionid(connection, identity)?;
    let mut ages = Vec::new();
    for id in known.iter().map(|known| &known.person).chain(&by_unionid) {
        ages.push((by_id(connection, id)?.map(|person| person.since), id.clone()));
    }
    let age = |wanted: &str| ages.iter().find(|(_, id)| id == wanted);
    let is_older = |one: &str, other: &str| age(one) < age(other);
    let id = match person::find(
        identity.unionid.as_deref(),
        known.as_ref(),
        by_unionid.as_deref(),
        is_older,
    ) {
        Found::Person(id) => return Ok(id),
        Found::Nobody => {
            connection
                .prepare_cached("INSERT INTO persons (id, username, since) VALUES (?1, ?2, ?3)")?
                .execute(params![newcomer.id, newcomer.username, now.millis()])?;
            newcomer.id.clone()
        }
        Found::LearnsUnionid(id) | Found::Joins(id) => id,
        Found::Merges { stays, goes } => {
            merge(connection, &stays, &goes)?;
            stays
        }
    };
    connection
        .prepare_cached(
            "INSERT INTO identities (appid, openid, unionid, person) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET unionid = coalesce(excluded.unionid, unionid), person = excluded.person",
        )?
        .execute(params![identity.appid, identity.openid, identity.unionid, id])?;
    Ok(id)
}

fn known(connection: &Connection, identity: &Identity) -> Result<Option<KnownIdentity>, Error> {
    let sql = "SELECT person, unionid FROM identities WHERE appid = ?1 AND openid = ?2";
    one(connection, sql, [&identity.appid, &identity.openid], |row| {
        Ok(KnownIdentity { person: row.get("person")?, unionid: row.get("unionid")? })
    })
}

/// The oldest person among those who have this unionid.
fn by_unionid(connection: &Connection, identity: &Identity) -> Result<Option<String>, Error> {
    let Some(unionid) = &identity.unionid else { return Ok(None) };
    let sql = "SELECT p.id FROM identities i JOIN persons p ON p.id = i.person
               WHERE i.unionid = ?1 ORDER BY p.since, p.id LIMIT 1";
    one(connection, sql, [unionid], |row| Ok(row.get("id")?))
}

/// Makes two people one. A group that knows both by different names goes on hearing each name from the identity it knows
/// by it: a `sub` never changes for a site. An identity that has such a name of its own from an earlier merge keeps that.
pub(super) fn merge(connection: &Connection, stays: &str, goes: &str) -> Result<(), Error> {
    let known_to_both = "s.person = ?2 AND s.appid = '' AND EXISTS
        (SELECT 1 FROM subs o WHERE o.group_name = s.group_name AND o.person = ?1 AND o.appid = '')";
    connection.execute(
        &format!(
            "INSERT INTO subs (group_name, person, appid, openid, sub)
             SELECT s.group_name, ?1, i.appid, i.openid, s.sub
             FROM subs s JOIN identities i ON i.person = ?2 WHERE {known_to_both} AND NOT EXISTS
                 (SELECT 1 FROM subs own WHERE own.group_name = s.group_name AND own.person = ?2
                  AND own.appid = i.appid AND own.openid = i.openid)"
        ),
        [stays, goes],
    )?;
    connection.execute(&format!("DELETE FROM subs AS s WHERE {known_to_both}"), [stays, goes])?;
    for table in ["subs", "identities", "logins"] {
        connection
            .execute(&format!("UPDATE {table} SET person = ?1 WHERE person = ?2"), [stays, goes])?;
    }
    connection.execute("UPDATE audit SET person = ?1 WHERE person = ?2", [stays, goes])?;
    // What both gave in the same moment is there already.
    connection
        .execute("UPDATE OR IGNORE consents SET person = ?1 WHERE person = ?2", [stays, goes])?;
    let groups =
        |id: &str| by_id(connection, id).map(|found| found.map_or_else(Vec::new, |one| one.groups));
    operator::set_groups(connection, stays, [groups(stays)?, groups(goes)?].concat())?;
    admissions::merge(connection, stays, goes)?;
    // Whom the operator keeps out stays out, whichever of the two it was.
    connection.execute(
        "UPDATE persons SET blocked = 1 WHERE id = ?1 AND (SELECT blocked FROM persons WHERE id = ?2)",
        [stays, goes],
    )?;
    connection.execute("DELETE FROM persons WHERE id = ?1", [goes])?;
    Ok(())
}

/// Makes an identity this person's; who had it before becomes part of them.
pub(super) fn take_over(
    connection: &Connection,
    identity: &Identity,
    id: &str,
) -> Result<(), Error> {
    if by_id(connection, id)?.is_none() {
        return Err(Error("the person of the link has been forgotten".to_owned()));
    }
    match known(connection, identity)? {
        Some(known) if known.person == id => Ok(()),
        Some(known) => merge(connection, id, &known.person),
        None => {
            connection.execute(
                "INSERT INTO identities (appid, openid, unionid, person) VALUES (?1, ?2, ?3, ?4)",
                params![identity.appid, identity.openid, identity.unionid, id],
            )?;
            Ok(())
        }
    }
}

/// Of a person's identities only this one stays, and those of the same WeChat account in other mini programs. It is heard of
/// by the name under which each group knows the person, even where the group knew it by one of its own before.
pub(super) fn let_go_all_but(
    connection: &Connection,
    id: &str,
    identity: &Identity,
) -> Result<(), Error> {
    connection.execute(
        "DELETE FROM identities WHERE person = ?1 AND NOT (appid = ?2 AND openid = ?3)
         AND (?4 IS NULL OR unionid IS NOT ?4)",
        params![id, identity.appid, identity.openid, identity.unionid],
    )?;
    connection.execute("DELETE FROM subs WHERE person = ?1 AND appid <> ''", [id])?;
    Ok(())
}

/// Who the person is to a group: the name it knows already, or `fresh` from now on.
pub(super) fn sub(
    connection: &Connection,
    group: &str,
    person: &str,
    identity: &Identity,
    fresh: &str,
) -> Result<String, Error> {
    let sql = "SELECT sub FROM subs WHERE group_name = ?1 AND person = ?2
               AND (appid = '' OR (appid = ?3 AND openid = ?4)) ORDER BY appid DESC LIMIT 1";
    let params = [group, person, &identity.appid, &identity.openid];
    if let Some(sub) = one(connection, sql, params, |row| Ok(row.get("sub")?))? {
        return Ok(sub);
    }
    connection
        .prepare_cached("INSERT INTO subs (group_name, person, sub) VALUES (?1, ?2, ?3)")?
        .execute([group, person, fresh])?;
    Ok(fresh.to_owned())
}

pub(super) fn acquaintance(
    connection: &Connection,
    person: &str,
    browser: Option<Hashed>,
    site: &str,
) -> Result<Acquaintance, Error> {
    let sql = "SELECT coalesce(max(cookie = ?2), 0) AS browser, coalesce(max(site = ?3), 0) AS site
               FROM logins WHERE person = ?1";
    let cookie = browser.map(|hash| *hash.as_bytes());
    let found = one(connection, sql, params![person, cookie, site], |row| {
        Ok(Acquaintance { browser: row.get("browser")?, site: row.get("site")? })
    })?;
    Ok(found.unwrap_or_default())
}

pub(super) fn set_profile(
    connection: &Connection,
    id: &str,
    profile: &Profile,
) -> Result<Option<Person>, Error> {
    if let Some(nickname) = &profile.nickname {
        let nickname = Some(nickname).filter(|nickname| !nickname.is_empty());
        connection
            .execute("UPDATE persons SET nickname = ?2 WHERE id = ?1", params![id, nickname])?;
    }
    if let Some((content_type, bytes)) = &profile.avatar {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        connection.execute(
            "UPDATE persons SET avatar_type = ?2, avatar = ?3, avatar_version = avatar_version + 1 WHERE id = ?1",
            params![id, content_type, bytes],
        )?;
    }
    by_id(connection, id)
}

pub(super) fn avatar(
    connection: &Connection,
    username: &str,
) -> Result<Option<(String, Vec<u8>)>, Error> {
    let sql = "SELECT avatar_type, avatar FROM persons WHERE username = ?1 AND avatar IS NOT NULL";
    let found = connection.query_row(sql, [username], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(found.optional()?)
}

pub(super) fn forget(connection: &Connection, id: &str) -> Result<(), Error> {
    connection.execute(
        "DELETE FROM phones WHERE (appid, openid) IN (SELECT appid, openid FROM identities WHERE person = ?1)",
        [id],
    )?;
    // A no makes no login, and names who said it all the same.
    connection.execute(
        "DELETE FROM decisions WHERE login IN (SELECT id FROM logins WHERE person = ?1)
         OR (json_extract(body, '$.identity.appid'), json_extract(body, '$.identity.openid'))
             IN (SELECT appid, openid FROM identities WHERE person = ?1)",
        [id],
    )?;
    // Identities, subs, logins and tokens go along by their foreign keys.
    connection.execute("DELETE FROM persons WHERE id = ?1", [id])?;
    connection.execute(
        "UPDATE audit SET person = NULL, address = NULL, detail = '{}' WHERE person = ?1",
        [id],
    )?;
    Ok(())
}
