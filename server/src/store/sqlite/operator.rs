//! What an operator sees of people, and does to them.

use rusqlite::{Connection, params};

use super::{
    admissions, logins, people,
    rows::{PERSON, all, json, moment_if, one, person},
};
use crate::{
    admission::Word,
    audit,
    person::Person,
    store::{Change, Changed, Error, Listed, Login, Search},
    world::Timestamp,
};

pub(super) fn named(connection: &Connection, name: &str) -> Result<Option<Person>, Error> {
    let sql = format!("SELECT {PERSON} FROM persons p WHERE p.id = ?1 OR p.username = ?1");
    one(connection, &sql, [name], person)
}

pub(super) fn search(connection: &Connection, search: &Search) -> Result<Vec<Listed>, Error> {
    let sql = format!(
        "SELECT {PERSON},
         (SELECT max(last_seen) FROM logins l WHERE l.person = p.id) AS last_seen,
         (SELECT count(*) FROM logins l WHERE l.person = p.id AND l.ended IS NULL) AS logins
         FROM persons p
         WHERE (?1 = '' OR instr(p.username, lower(?1)) OR instr(lower(p.nickname), lower(?1)) OR p.id = ?1 OR EXISTS
             (SELECT 1 FROM identities i WHERE i.person = p.id AND (i.openid = ?1 OR i.unionid = ?1)))
         AND (?2 IS NULL OR EXISTS (SELECT 1 FROM json_each(p.groups) WHERE value = ?2))
         AND (?3 IS NULL OR p.blocked = ?3)
         AND (?4 IS NULL OR p.since < ?4 OR (p.since = ?4 AND p.id > ?5))
         ORDER BY p.since DESC, p.id LIMIT ?6"
    );
    let (since, id) = search.after.as_ref().map(|(since, id)| (since.millis(), id)).unzip();
    let params = params![search.text, search.group, search.blocked, since, id, search.most];
    all(connection, &sql, params, |row| {
        Ok(Listed {
            person: person(row)?,
            last_seen: moment_if(row, "last_seen")?,
            logins: row.get("logins")?,
        })
    })
}

pub(super) fn change(
    connection: &Connection,
    id: &str,
    change: &Change,
    by: &str,
    now: Timestamp,
) -> Result<Option<Changed>, Error> {
    let Some(before) = people::by_id(connection, id)? else { return Ok(None) };
    let mut ended = Vec::new();
    let mut said = false;
    let set = |site, word| admissions::set(connection, id, site, word, now);
    match change {
        Change::Join(group) => join(connection, id, group)?,
        Change::Leave(group) => {
            let groups = before.groups.iter().filter(|one| *one != group).cloned();
            set_groups(connection, id, groups.collect())?;
        }
        Change::Block => {
            connection.execute("UPDATE persons SET blocked = 1 WHERE id = ?1", [id])?;
            ended = end_everything(connection, id, now)?;
        }
        Change::Unblock => {
            connection.execute("UPDATE persons SET blocked = 0 WHERE id = ?1", [id])?;
        }
        Change::Admit(site) => said = set(site, Some(Word::Admitted))?,
        Change::Refuse(site) => {
            said = set(site, Some(Word::Refused))?;
            ended = admissions::end_at(connection, id, site, now)?;
        }
        Change::Unsay(site) => said = set(site, None)?,
    }
    let Some(person) = people::by_id(connection, id)? else { return Ok(None) };
    if said || person != before {
        let (what, group, site) = match change {
            Change::Join(group) => ("person.joined", Some(group), None),
            Change::Leave(group) => ("person.left", Some(group), None),
            Change::Block => ("person.blocked", None, None),
            Change::Unblock => ("person.unblocked", None, None),
            Change::Admit(site) => ("person.admitted", None, Some(site)),
            Change::Refuse(site) => ("person.refused", None, Some(site)),
            Change::Unsay(site) => ("person.unsaid", None, Some(site)),
        };
        let entry = audit::Entry {
            at: now,
            what: what.to_owned(),
            person: Some(id.to_owned()),
            site: site.cloned(),
            address: None,
            detail: serde_json::json!({ "by": by, "group": group }),
        };
        logins::write_audit(connection, &entry)?;
    }
    Ok(Some(Changed { person, ended }))
}

pub(super) fn join(connection: &Connection, id: &str, group: &str) -> Result<(), Error> {
    let known = people::by_id(connection, id)?.map_or_else(Vec::new, |person| person.groups);
    set_groups(connection, id, [known, vec![group.to_owned()]].concat())
}

/// Each group once, in the order of the alphabet: sites compare what they are told.
pub(super) fn set_groups(
    connection: &Connection,
    id: &str,
    mut groups: Vec<String>,
) -> Result<(), Error> {
    groups.sort();
    groups.dedup();
    connection
        .execute("UPDATE persons SET groups = ?2 WHERE id = ?1", params![id, json(&groups)?])?;
    Ok(())
}

/// Ends a person's logins with all their tokens, and their phones' tokens.
pub(super) fn end_everything(
    connection: &Connection,
    id: &str,
    now: Timestamp,
) -> Result<Vec<Login>, Error> {
    connection.execute(
        "DELETE FROM phones WHERE (appid, openid) IN (SELECT appid, openid FROM identities WHERE person = ?1)",
        [id],
    )?;
    logins::end(connection, "l.person = ?1", params![id], now)
}

pub(super) fn merge(
    connection: &Connection,
    stays: &str,
    goes: &str,
    by: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    let (stay, go) = (people::by_id(connection, stays)?, people::by_id(connection, goes)?);
    let (Some(_), Some(gone)) = (stay, go) else { return Ok(false) };
    if stays == goes {
        return Ok(true);
    }
    people::merge(connection, stays, goes)?;
    let entry = audit::Entry {
        at: now,
        what: "person.linked".to_owned(),
        person: Some(stays.to_owned()),
        site: None,
        address: None,
        detail: serde_json::json!({ "by": by, "was": gone.username }),
    };
    logins::write_audit(connection, &entry)?;
    Ok(true)
}
