//! The console's links and sessions, the counts, and the audit log page by page.

use rusqlite::{Connection, Row, params, params_from_iter, types::Value};

use super::{
    account, logins,
    rows::{PERSON, all, hash, json, moment, one, person},
};
use crate::{
    audit,
    counts::{Count, What},
    person::OWNER,
    secret::Hashed,
    store::{ConsoleLink, ConsoleSession, Counted, Error, Lines, Opens, Operator},
    world::Timestamp,
};

pub(super) fn keep_console_link(connection: &Connection, link: &ConsoleLink) -> Result<(), Error> {
    connection.execute(
        "INSERT INTO console_links (hash, opens, until) VALUES (?1, ?2, ?3)",
        params![link.hash.as_bytes(), link.opens.as_str(), link.until.millis()],
    )?;
    Ok(())
}

pub(super) fn console_link_stands(
    connection: &Connection,
    link: Hashed,
    opens: Opens,
    now: Timestamp,
) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM console_links WHERE hash = ?1 AND opens = ?2 AND until > ?3";
    let params = params![link.as_bytes(), opens.as_str(), now.millis()];
    Ok(one(connection, sql, params, |_| Ok(()))?.is_some())
}

pub(super) fn take_console_link(
    connection: &Connection,
    link: Hashed,
    opens: Opens,
    now: Timestamp,
) -> Result<bool, Error> {
    let taken = connection.execute(
        "DELETE FROM console_links WHERE hash = ?1 AND opens = ?2 AND until > ?3",
        params![link.as_bytes(), opens.as_str(), now.millis()],
    )?;
    Ok(taken > 0)
}

pub(super) fn has_owner(connection: &Connection) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM persons p, json_each(p.groups) g WHERE g.value = ?1 AND p.blocked = 0 LIMIT 1";
    Ok(one(connection, sql, [OWNER], |_| Ok(()))?.is_some())
}

pub(super) fn claim_ownership(
    connection: &Connection,
    link: Hashed,
    id: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    if has_owner(connection)? || !take_console_link(connection, link, Opens::Ownership, now)? {
        return Ok(false);
    }
    let sql = format!("SELECT {PERSON} FROM persons p WHERE p.id = ?1 AND p.blocked = 0");
    let Some(found) = one(connection, &sql, [id], person)? else {
        return Err(Error("who claims is not there".to_owned()));
    };
    let mut groups = found.groups;
    groups.push(OWNER.to_owned());
    groups.sort();
    groups.dedup();
    connection
        .execute("UPDATE persons SET groups = ?2 WHERE id = ?1", params![id, json(&groups)?])?;
    // Whoever else holds such a link is too late.
    connection
        .execute("DELETE FROM console_links WHERE opens = ?1", [Opens::Ownership.as_str()])?;
    let entry = audit::Entry {
        at: now,
        what: "owner.claimed".to_owned(),
        person: Some(id.to_owned()),
        site: None,
        address: None,
        detail: serde_json::json!({ "by": id }),
    };
    logins::write_audit(connection, &entry)?;
    Ok(true)
}

pub(super) fn open(connection: &Connection, session: &ConsoleSession) -> Result<(), Error> {
    // The same again where an answer was lost on its way.
    connection.execute(
        "INSERT INTO console_sessions (hash, login, made, seen, until) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        params![
            session.hash.as_bytes(),
            session.login,
            session.made.millis(),
            session.seen.millis(),
            session.until.millis(),
        ],
    )?;
    Ok(())
}

pub(super) fn operator(
    connection: &Connection,
    session: Hashed,
    now: Timestamp,
    idle_since: Timestamp,
) -> Result<Option<Operator>, Error> {
    let sql = format!(
        "SELECT s.hash, s.login, s.made, s.seen, s.until, {PERSON}
         FROM console_sessions s LEFT JOIN logins l ON l.id = s.login LEFT JOIN persons p ON p.id = l.person
         WHERE s.hash = ?1 AND s.until > ?2 AND s.seen > ?3 AND (s.login IS NULL OR
             (l.id IS NOT NULL AND l.ended IS NULL AND p.blocked = 0
              AND EXISTS (SELECT 1 FROM json_each(p.groups) WHERE value = ?4)))"
    );
    let params = params![session.as_bytes(), now.millis(), idle_since.millis(), OWNER];
    one(connection, &sql, params, |row| {
        let session = console_session(row)?;
        let person = if session.login.is_some() { Some(person(row)?) } else { None };
        Ok(Operator { session, person })
    })
}

fn console_session(row: &Row<'_>) -> Result<ConsoleSession, Error> {
    Ok(ConsoleSession {
        hash: hash(row, "hash")?,
        login: row.get("login")?,
        made: moment(row, "made")?,
        seen: moment(row, "seen")?,
        until: moment(row, "until")?,
    })
}

pub(super) fn seen(connection: &Connection, session: Hashed, now: Timestamp) -> Result<(), Error> {
    connection.execute(
        "UPDATE console_sessions SET seen = ?2 WHERE hash = ?1",
        params![session.as_bytes(), now.millis()],
    )?;
    Ok(())
}

pub(super) fn close(connection: &Connection, session: Hashed, now: Timestamp) -> Result<(), Error> {
    let of_session = "l.id = (SELECT login FROM console_sessions WHERE hash = ?1)";
    logins::end(connection, of_session, params![session.as_bytes()], now)?;
    connection.execute("DELETE FROM console_sessions WHERE hash = ?1", [session.as_bytes()])?;
    Ok(())
}

/// Sessions whose time is over end with their logins, and links with them.
pub(super) fn prune(connection: &Connection, now: Timestamp) -> Result<(), Error> {
    let over = "l.id IN (SELECT login FROM console_sessions WHERE until < ?1)";
    logins::end(connection, over, params![now.millis()], now)?;
    connection.execute("DELETE FROM console_sessions WHERE until < ?1", [now.millis()])?;
    connection.execute("DELETE FROM console_links WHERE until < ?1", [now.millis()])?;
    Ok(())
}

pub(super) fn add_counts(connection: &Connection, counts: &[Count]) -> Result<(), Error> {
    let mut add = connection.prepare_cached(
        "INSERT INTO counts (hour, site, what, within, n) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET n = n + excluded.n",
    )?;
    for count in counts {
        let n = i64::try_from(count.n).unwrap_or(i64::MAX);
        add.execute(params![count.hour, count.site, count.what.as_str(), count.within, n])?;
    }
    Ok(())
}

pub(super) fn counts(connection: &Connection, asked: &Counted) -> Result<Vec<Count>, Error> {
    // Hours after 1970 alone: whole numbers are cut towards nought.
    let sql = "SELECT (hour + ?4) / ?3 * ?3 - ?4 AS first, CASE WHEN ?6 THEN site ELSE '' END AS at, what, within, sum(n) AS n
               FROM counts WHERE hour >= ?1 AND hour < ?2 AND (?5 IS NULL OR site = ?5)
               AND (?7 = '[]' OR what IN (SELECT value FROM json_each(?7)))
               GROUP BY first, at, what, within ORDER BY first, at, what, within";
    let what: Vec<&str> = asked.what.iter().map(|what| what.as_str()).collect();
    let Counted { since, until, step, shift, site, by_site, .. } = asked;
    let params = params![since, until, step.max(&1), shift, site, by_site, json(&what)?];
    all(connection, sql, params, |row| {
        let word: String = row.get("what")?;
        let what = What::parse(&word)
            .ok_or_else(|| Error(format!("a count is of no known kind: {word}")))?;
        Ok(Count {
            hour: row.get("first")?,
            site: row.get("at")?,
            what,
            within: row.get("within")?,
            n: u64::try_from(row.get::<_, i64>("n")?).unwrap_or(0),
        })
    })
}

pub(super) fn forget_counts(connection: &Connection, before: i64) -> Result<(), Error> {
    connection.execute("DELETE FROM counts WHERE hour < ?1", [before])?;
    Ok(())
}

pub(super) fn lines(
    connection: &Connection,
    asked: &Lines,
) -> Result<Vec<(i64, audit::Entry)>, Error> {
    // Only what is asked for is written out, so that SQLite sees which index serves.
    let mut clauses = vec!["id > 0"];
    let mut values: Vec<Value> = Vec::new();
    let mut only = |clause: &'static str, value: Option<Value>| {
        if let Some(value) = value {
            clauses.push(clause);
            values.push(value);
        }
    };
    let text = |text: &Option<String>| text.clone().map(Value::Text);
    let begins = asked.what.as_ref().filter(|what| what.ends_with('.'));
    if begins.is_some() {
        // The slash comes right after the dot: all that begin with the word lie between the two.
        let end = begins.map(|what| format!("{}/", what.trim_end_matches('.')));
        only("what >= ?", text(&begins.cloned()));
        only("what < ?", text(&end));
    } else {
        only("what = ?", text(&asked.what));
    }
    only("person = ?", text(&asked.person));
    only("site = ?", text(&asked.site));
    only("at >= ?", asked.since.map(|at| Value::Integer(at.millis())));
    only("at < ?", asked.until.map(|at| Value::Integer(at.millis())));
    only("id < ?", asked.before.map(Value::Integer));
    only("id > ?", asked.after.map(Value::Integer));
    values.push(Value::Integer(asked.most.into()));
    let order = if asked.after.is_some() { "ASC" } else { "DESC" };
    let sql = format!(
        "SELECT id, at, what, person, site, address, detail FROM audit WHERE {} ORDER BY id {order} LIMIT ?",
        clauses.join(" AND ")
    );
    let read = |row: &Row<'_>| Ok((row.get("id")?, account::line(row)?));
    let mut found = all(connection, &sql, params_from_iter(values), read)?;
    if asked.after.is_some() {
        found.reverse();
    }
    Ok(found)
}
