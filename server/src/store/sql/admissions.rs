//! What stands between people and sites, and the one-time links that change it.

use std::net::Ipv4Addr;

use super::{
    Db, audit_log, logins, operator, people,
    rows::{PERSON, all, json, one, parsed, person},
    values,
};
use crate::{
    admission::Word,
    audit,
    links::{Gives, Link},
    person::Identity,
    secret::Hashed,
    store::{Asker, Decide, Error, Login, Said},
    ticket::Browser,
    world::Timestamp,
};

/// A word as a row has it.
pub(super) fn read(text: &str) -> Result<Word, Error> {
    let known = Word::ALL.into_iter().find(|word| word.as_str() == text);
    known.ok_or_else(|| {
        Error::Away(format!("{text:?} is nothing that stands between a person and a site"))
    })
}

pub(super) async fn word(db: &dyn Db, person: &str, site: &str) -> Result<Option<Word>, Error> {
    let sql = "SELECT word FROM admissions WHERE person = ?1 AND site = ?2";
    one(db, sql, values![person, site], |row| read(&row.get::<String>("word")?)).await
}

pub(super) async fn said(db: &dyn Db, person: &str) -> Result<Vec<Said>, Error> {
    let sql = "SELECT site, word, at FROM admissions WHERE person = ?1 ORDER BY site";
    all(db, sql, values![person], |row| {
        Ok(Said {
            site: row.get("site")?,
            word: read(&row.get::<String>("word")?)?,
            at: row.get("at")?,
        })
    })
    .await
}

pub(super) async fn askers(db: &dyn Db, most: u32) -> Result<Vec<Asker>, Error> {
    let sql = format!(
        "SELECT {PERSON}, a.site, a.at, a.browser FROM admissions a JOIN persons p ON p.id = a.person
         WHERE a.word = 'asked' AND NOT p.blocked ORDER BY a.at DESC, a.person LIMIT ?1"
    );
    all(db, &sql, values![most], |row| {
        let browser: Option<String> = row.get("browser")?;
        Ok(Asker {
            person: person(row)?,
            site: row.get("site")?,
            at: row.get("at")?,
            browser: browser.as_deref().map(parsed).transpose()?,
        })
    })
    .await
}

/// Keeps the word, or none any more; whether that changed anything.
pub(super) async fn set(
    db: &dyn Db,
    person: &str,
    site: &str,
    word: Option<Word>,
    now: Timestamp,
) -> Result<bool, Error> {
    let changed = match word {
        Some(word) => {
            let set = "INSERT INTO admissions (person, site, word, at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (person, site) DO UPDATE SET word = excluded.word, at = excluded.at, browser = NULL
                 WHERE admissions.word <> excluded.word";
            db.execute(set, values![person, site, word.as_str(), now]).await?
        }
        None => {
            let unsay = "DELETE FROM admissions WHERE person = ?1 AND site = ?2";
            db.execute(unsay, values![person, site]).await?
        }
    };
    Ok(changed > 0)
}

/// Ends a person's logins at a site.
pub(super) async fn end_at(
    db: &dyn Db,
    person: &str,
    site: &str,
    now: Timestamp,
) -> Result<Vec<Login>, Error> {
    logins::end(db, "l.person = ?1 AND l.site = ?2", values![person, site], now).await
}

/// Notes that the person of this decision asks to be let in; who they are from now on.
pub(super) async fn ask(db: &dyn Db, decide: &Decide) -> Result<String, Error> {
    let Decide { decision, newcomer, .. } = decide;
    let person = people::settle(db, &decision.identity, newcomer, decision.at).await?;
    // Without its address, which nobody is shown: a wish may wait for longer than addresses are kept.
    let browser = Browser { address: Ipv4Addr::UNSPECIFIED.into(), ..decision.browser.clone() };
    // Asking again moves it up the owner's list; it never takes back what somebody has said meanwhile.
    db.send(
        "INSERT INTO admissions (person, site, word, at, browser) VALUES (?1, ?2, 'asked', ?3, ?4)
         ON CONFLICT (person, site) DO UPDATE SET at = excluded.at, browser = excluded.browser
         WHERE admissions.word = 'asked'",
        values![&person, &decision.request.site, decision.at, json(&browser)?],
    )
    .await?;
    Ok(person)
}

/// Of two people who are one the stronger word about each site stays.
pub(super) async fn merge(db: &dyn Db, stays: &str, goes: &str) -> Result<(), Error> {
    let strength = |of: &str| {
        let ranks = Word::ALL.iter().enumerate();
        let ranks = ranks.map(|(rank, word)| format!("WHEN '{}' THEN {rank} ", word.as_str()));
        format!("CASE {of}.word {}END", ranks.collect::<String>())
    };
    let sql = format!(
        "INSERT INTO admissions (person, site, word, at, browser)
         SELECT ?1, site, word, at, browser FROM admissions WHERE person = ?2
         ON CONFLICT (person, site) DO UPDATE SET word = excluded.word, at = excluded.at, browser = excluded.browser
         WHERE {} > {}",
        strength("excluded"),
        strength("admissions")
    );
    db.send(&sql, values![stays, goes]).await
}

pub(super) async fn put_link(db: &dyn Db, link: &Link, now: Timestamp) -> Result<(), Error> {
    db.send(
        "INSERT INTO links (hash, gives, made_by, expires) VALUES (?1, ?2, ?3, ?4)",
        values![link.hash, json(&link.gives)?, &link.by, link.expires],
    )
    .await?;
    note(db, "link.made", None, link, now).await
}

pub(super) async fn link(db: &dyn Db, hash: Hashed, now: Timestamp) -> Result<Option<Link>, Error> {
    let sql = "SELECT gives, made_by, expires FROM links WHERE hash = ?1 AND expires > ?2";
    one(db, sql, values![hash, now], |row| {
        Ok(Link {
            hash,
            gives: parsed(&row.get::<String>("gives")?)?,
            by: row.get("made_by")?,
            expires: row.get("expires")?,
        })
    })
    .await
}

/// Uses a link up; an identity that it makes somebody's is theirs from here on.
pub(super) async fn take(
    db: &dyn Db,
    hash: Hashed,
    identity: &Identity,
    now: Timestamp,
) -> Result<Link, Error> {
    let link = link(db, hash, now).await?.ok_or(Error::LinkOver)?;
    // Of two who found it there, one takes it away.
    if db.execute("DELETE FROM links WHERE hash = ?1", values![hash]).await? == 0 {
        return Err(Error::LinkOver);
    }
    if let Gives::Person { id, .. } = &link.gives {
        people::take_over(db, identity, id).await?;
    }
    Ok(link)
}

/// Gives the person what their link gives.
pub(super) async fn give(
    db: &dyn Db,
    link: &Link,
    person: &str,
    identity: &Identity,
    now: Timestamp,
) -> Result<(), Error> {
    match &link.gives {
        Gives::Server => operator::join(db, person, crate::person::OWNER).await?,
        // Who has been refused meanwhile stays out.
        Gives::Site(site) if word(db, person, site).await? == Some(Word::Refused) => {}
        Gives::Site(site) => {
            set(db, person, site, Some(Word::Admitted), now).await?;
        }
        Gives::Person { instead: true, .. } => {
            operator::end_everything(db, person, now).await?;
            people::let_go_all_but(db, person, identity).await?;
        }
        Gives::Person { instead: false, .. } => {}
    }
    note(db, "link.used", Some(person), link, now).await
}

async fn note(
    db: &dyn Db,
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
    let entry = audit::Entry::of_operator(at, what, &link.by)
        .about(person.or(about).map(ToOwned::to_owned))
        .at_site(site)
        .with(serde_json::json!({ "gives": link.gives }));
    audit_log::write(db, &entry).await
}
