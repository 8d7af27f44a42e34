//! What stands between people and sites, and the one-time links that change it.

use rusqlite::{Connection, Row, params};

use super::{
    logins, operator, people,
    rows::{PERSON, all, json, moment, one, parsed, person},
};
use crate::{
    admission::Word,
    audit,
    links::{Gives, Link},
    person::Identity,
    secret::Hashed,
    store::{Asker, Decide, Error, Login, Said},
    world::Timestamp,
};

fn read(row: &Row<'_>) -> Result<Word, Error> {
    let text: String = row.get("word")?;
    let known = Word::ALL.into_iter().find(|word| word.as_str() == text);
    known.ok_or_else(|| {
        Error(format!("{text:?} is nothing that stands between a person and a site"))
    })
}

pub(super) fn word(
    connection: &Connection,
    person: &str,
    site: &str,
) -> Result<Option<Word>, Error> {
    let sql = "SELECT word FROM admissions WHERE person = ?1 AND site = ?2";
    one(connection, sql, [person, site], read)
}

pub(super) fn said(connection: &Connection, person: &str) -> Result<Vec<Said>, Error> {
    let sql = "SELECT site, word, at FROM admissions WHERE person = ?1 ORDER BY site";
    all(connection, sql, [person], |row| {
        Ok(Said { site: row.get("site")?, word: read(row)?, at: moment(row, "at")? })
    })
}

pub(super) fn askers(connection: &Connection, most: u32) -> Result<Vec<Asker>, Error> {
    let sql = format!(
        "SELECT {PERSON}, a.site, a.at, a.browser FROM admissions a JOIN persons p ON p.id = a.person
         WHERE a.word = 'asked' AND p.blocked = 0 ORDER BY a.at DESC, a.person LIMIT ?1"
    );
    all(connection, &sql, [most], |row| {
        let browser: Option<String> = row.get("browser")?;
        Ok(Asker {
            person: person(row)?,
            site: row.get("site")?,
            at: moment(row, "at")?,
            browser: browser.as_deref().map(parsed).transpose()?,
        })
    })
}

/// Keeps the word, or none any more; whether that changed anything.
pub(super) fn set(
    connection: &Connection,
    person: &str,
    site: &str,
    word: Option<Word>,
    now: Timestamp,
) -> Result<bool, Error> {
    let changed = match word {
        Some(word) => connection
            .prepare_cached(
                "INSERT INTO admissions (person, site, word, at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET word = excluded.word, at = excluded.at, browser = NULL
                 WHERE word <> excluded.word",
            )?
            .execute(params![person, site, word.as_str(), now.millis()])?,
        None => connection
            .execute("DELETE FROM admissions WHERE person = ?1 AND site = ?2", [person, site])?,
    };
    Ok(changed > 0)
}

/// Ends a person's logins at a site.
pub(super) fn end_at(
    connection: &Connection,
    person: &str,
    site: &str,
    now: Timestamp,
) -> Result<Vec<Login>, Error> {
    logins::end(connection, "l.person = ?1 AND l.site = ?2", params![person, site], now)
}

/// Notes that the person of this decision asks to be let in; who they are from now on.
pub(super) fn ask(connection: &Connection, decide: &Decide) -> Result<String, Error> {
    let Decide { decision, newcomer, .. } = decide;
    let person = people::settle(connection, &decision.identity, newcomer, decision.at)?;
    // Asking again moves it up the owner's list; it never takes back what somebody has said meanwhile.
    connection
        .prepare_cached(
            "INSERT INTO admissions (person, site, word, at, browser) VALUES (?1, ?2, 'asked', ?3, ?4)
             ON CONFLICT DO UPDATE SET at = excluded.at, browser = excluded.browser WHERE word = 'asked'",
        )?
        .execute(params![
            person,
            decision.request.site,
            decision.at.millis(),
            json(&decision.browser)?
        ])?;
    Ok(person)
}

/// Of two people who are one the stronger word about each site stays.
pub(super) fn merge(connection: &Connection, stays: &str, goes: &str) -> Result<(), Error> {
    let order = Word::ALL.map(Word::as_str).join(" ");
    connection.execute(
        "INSERT INTO admissions (person, site, word, at, browser)
         SELECT ?1, site, word, at, browser FROM admissions WHERE person = ?2
         ON CONFLICT DO UPDATE SET word = excluded.word, at = excluded.at, browser = excluded.browser
         WHERE instr(?3, excluded.word) > instr(?3, word)",
        [stays, goes, &order],
    )?;
    Ok(())
}

pub(super) fn put_link(connection: &Connection, link: &Link, now: Timestamp) -> Result<(), Error> {
    connection.execute(
        "INSERT INTO links (hash, gives, made_by, expires) VALUES (?1, ?2, ?3, ?4)",
        params![link.hash.as_bytes(), json(&link.gives)?, link.by, link.expires.millis()],
    )?;
    note(connection, "link.made", None, link, now)
}

pub(super) fn link(
    connection: &Connection,
    hash: Hashed,
    now: Timestamp,
) -> Result<Option<Link>, Error> {
    let sql = "SELECT gives, made_by, expires FROM links WHERE hash = ?1 AND expires > ?2";
    one(connection, sql, params![hash.as_bytes(), now.millis()], |row| {
        Ok(Link {
            hash,
            gives: parsed(&row.get::<_, String>("gives")?)?,
            by: row.get("made_by")?,
            expires: moment(row, "expires")?,
        })
    })
}

/// Uses a link up; an identity that it makes somebody's is theirs from here on.
pub(super) fn take(
    connection: &Connection,
    hash: Hashed,
    identity: &Identity,
    now: Timestamp,
) -> Result<Link, Error> {
    let found = link(connection, hash, now)?;
    let link = found.ok_or_else(|| Error("the link was used a moment ago".to_owned()))?;
    connection.execute("DELETE FROM links WHERE hash = ?1", [hash.as_bytes()])?;
    if let Gives::Person { id, .. } = &link.gives {
        people::take_over(connection, identity, id)?;
    }
    Ok(link)
}

/// Gives the person what their link gives.
pub(super) fn give(
    connection: &Connection,
    link: &Link,
    person: &str,
    identity: &Identity,
    now: Timestamp,
) -> Result<(), Error> {
    match &link.gives {
        Gives::Server => operator::join(connection, person, crate::person::OWNER)?,
        Gives::Site(site) => {
            set(connection, person, site, Some(Word::Admitted), now)?;
        }
        Gives::Person { instead: true, .. } => {
            operator::end_everything(connection, person, now)?;
            people::let_go_all_but(connection, person, identity)?;
        }
        Gives::Person { instead: false, .. } => {}
    }
    note(connection, "link.used", Some(person), link, now)
}

fn note(
    connection: &Connection,
    what: &str,
    person: Option<&str>,
    link: &Link,
    at: Timestamp,
) -> Result<(), Error> {
    let (about, site) = match &link.gives {
        Gives::Server => (None, None),
        Gives::Site(site) => (None, Some(site.clone())),
        Gives::Person { id, .. } => (Some(id.as_str()), None),
    };
    let entry = audit::Entry {
        at,
        what: what.to_owned(),
        person: person.or(about).map(ToOwned::to_owned),
        site,
        address: None,
        detail: serde_json::json!({ "by": link.by, "gives": link.gives }),
    };
    logins::write_audit(connection, &entry)
}
