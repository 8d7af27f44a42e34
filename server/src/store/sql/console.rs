//! The console's links and sessions, the counts, and the audit log page by page.

use super::{
    Db, Dialect, Held, Row, Value, account, logins, operator,
    rows::{PERSON, all, one, person},
    values,
};
use crate::{
    audit,
    counts::{Count, LONGER, What},
    person::OWNER,
    secret::Hashed,
    store::{ConsoleLink, ConsoleSession, Counted, Error, Lines, Opens, Operator},
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
    logins::write_audit(db, &entry).await?;
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
    db.send("DELETE FROM console_sessions WHERE until < ?1", values![now]).await?;
    db.send("DELETE FROM console_links WHERE until < ?1", values![now]).await
}

pub(super) async fn add_counts(db: &dyn Db, counts: &[Count]) -> Result<(), Error> {
    let sql = "INSERT INTO counts (hour, site, what, within, n) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (hour, site, what, within) DO UPDATE SET n = counts.n + excluded.n";
    for count in counts {
        let n = i64::try_from(count.n).unwrap_or(i64::MAX);
        let within = i64::from(count.within);
        let params = values![count.hour, &count.site, count.what.as_str(), within, n];
        db.send(sql, params).await?;
    }
    Ok(())
}

pub(super) async fn counts(db: &dyn Db, asked: &Counted) -> Result<Vec<Count>, Error> {
    let Counted { since, until, step, shift, site, by_site, what } = asked;
    // Both are whole numbers and words of ours: they need no parameters, and PostgreSQL wants the same words in GROUP BY.
    let step = (*step).max(1);
    let first = format!("(hour + {shift}) / {step} * {step} - {shift}");
    let place = if *by_site { "site" } else { "''" };
    let kinds: Vec<String> = what.iter().map(|what| format!("'{}'", what.as_str())).collect();
    let kinds = if kinds.is_empty() {
        String::new()
    } else {
        format!("AND what IN ({})", kinds.join(", "))
    };
    // Hours after 1970 alone: whole numbers are cut towards nought.
    let sql = format!(
        "SELECT {first} AS first, {place} AS place, what, within, CAST(sum(n) AS BIGINT) AS n FROM counts
         WHERE hour >= ?1 AND hour < ?2 AND (CAST(?3 AS TEXT) IS NULL OR site = ?3) {kinds}
         GROUP BY 1, 2, what, within ORDER BY 1, 2, what, within"
    );
    all(db, &sql, values![*since, *until, site], |row| {
        let word: String = row.get("what")?;
        let what = What::parse(&word)
            .ok_or_else(|| Error::Away(format!("a count is of no known kind: {word}")))?;
        let within: i64 = row.get("within")?;
        Ok(Count {
            hour: row.get("first")?,
            site: row.get("place")?,
            what,
            within: u32::try_from(within).unwrap_or(LONGER),
            n: u64::try_from(row.get::<i64>("n")?).unwrap_or(0),
        })
    })
    .await
}

pub(super) async fn forget_counts(db: &dyn Db, before: i64) -> Result<(), Error> {
    db.send("DELETE FROM counts WHERE hour < ?1", values![before]).await
}

/// What is written at every sign-in. It is not in the index of the others: so much of it is never far.
const AT_EVERY_SIGN_IN: [&str; 2] = ["ticket.scanned", "ticket.approved"];

pub(super) async fn lines(db: &dyn Db, asked: &Lines) -> Result<Vec<(i64, audit::Entry)>, Error> {
    // Only what is asked for is written out, so that the database sees which index serves.
    let mut clauses = vec!["id > 0".to_owned()];
    let mut params: Vec<Value> = Vec::new();
    let mut only = |clause: &str, value: Option<Value>| {
        if let Some(value) = value {
            params.push(value);
            clauses.push(format!("{clause} ?{}", params.len()));
        }
    };
    // Words are compared letter by letter, whatever the database's language is.
    let what = match db.dialect() {
        Dialect::Sqlite => "what",
        Dialect::Postgres => "what COLLATE \"C\"",
    };
    let begins = asked.what.as_ref().filter(|what| what.ends_with('.'));
    if let Some(begins) = begins {
        // The slash comes right after the dot: all that begin with the word lie between the two.
        only(&format!("{what} >="), Some(begins.into()));
        only(&format!("{what} <"), Some(format!("{}/", begins.trim_end_matches('.')).into()));
    } else {
        only(&format!("{what} ="), asked.what.as_ref().map(Value::from));
    }
    only("person =", asked.person.as_ref().map(Value::from));
    only("site =", asked.site.as_ref().map(Value::from));
    only("at >=", asked.since.map(Value::from));
    only("at <", asked.until.map(Value::from));
    only("id <", asked.before.map(Value::from));
    only("id >", asked.after.map(Value::from));
    let is_rare =
        |what: &String| !AT_EVERY_SIGN_IN.iter().any(|word| word.starts_with(what.as_str()));
    if asked.what.as_ref().is_some_and(is_rare) {
        // In the words of the index.
        clauses.push(format!("what NOT IN ('{}')", AT_EVERY_SIGN_IN.join("', '")));
    }
    let order = if asked.after.is_some() { "ASC" } else { "DESC" };
    params.push(asked.most.into());
    let sql = format!(
        "SELECT id, at, what, person, site, address, detail FROM audit WHERE {} ORDER BY id {order} LIMIT ?{}",
        clauses.join(" AND "),
        params.len()
    );
    let read = |row: &Row| Ok((row.get("id")?, account::line(row)?));
    let mut found = all(db, &sql, &params, read).await?;
    if asked.after.is_some() {
        found.reverse();
    }
    Ok(found)
}
