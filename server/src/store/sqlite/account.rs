//! What a person may see, take back and end; and what becomes of it with age.

use rusqlite::{Connection, Row, params};

use super::{
    logins,
    rows::{all, moment, moment_if, parsed},
};
use crate::{
    audit,
    grant::{CONSENT_TEXT, Scopes},
    person::Identity,
    secret::Hashed,
    store::{Consent, Error, Login},
    world::Timestamp,
};

/// Notes what a person lets a site know; what stands already keeps its time.
pub(super) fn consent(
    connection: &Connection,
    person: &str,
    site: &str,
    scopes: &Scopes,
    at: Timestamp,
) -> Result<(), Error> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO consents (person, site, kind, text, given) SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS
         (SELECT 1 FROM consents WHERE person = ?1 AND site = ?2 AND kind = ?3 AND text = ?4 AND withdrawn IS NULL)",
    )?;
    for scope in scopes.iter() {
        insert.execute(params![person, site, scope.as_str(), CONSENT_TEXT, at.millis()])?;
    }
    Ok(())
}

pub(super) fn consents(connection: &Connection, person: &str) -> Result<Vec<Consent>, Error> {
    let sql = "SELECT site, kind, text, given, withdrawn FROM consents WHERE person = ?1 ORDER BY given, site";
    all(connection, sql, [person], |row| {
        let kind: String = row.get("kind")?;
        Ok(Consent {
            site: row.get("site")?,
            kind: parsed(&format!("\"{kind}\""))?,
            text: row.get("text")?,
            given: moment(row, "given")?,
            withdrawn: moment_if(row, "withdrawn")?,
        })
    })
}

pub(super) fn withdraw(
    connection: &Connection,
    person: &str,
    site: &str,
    now: Timestamp,
) -> Result<Vec<Login>, Error> {
    // Before the logins end: they tell the group.
    connection.execute(
        "UPDATE logins SET session = NULL WHERE person = ?1 AND session IS NOT NULL AND group_name IN
         (SELECT group_name FROM logins WHERE person = ?1 AND site = ?2)",
        [person, site],
    )?;
    let ended =
        logins::end(connection, "l.person = ?1 AND l.site = ?2", params![person, site], now)?;
    let withdrawn = connection.execute(
        "UPDATE consents SET withdrawn = ?3 WHERE person = ?1 AND site = ?2 AND withdrawn IS NULL",
        params![person, site, now.millis()],
    )?;
    if withdrawn > 0 {
        note(connection, "consent.withdrawn", person, Some(site), now)?;
    }
    Ok(ended)
}

pub(super) fn end_browser(
    connection: &Connection,
    person: &str,
    login: &str,
    now: Timestamp,
) -> Result<Vec<Login>, Error> {
    let same = "l.person = ?1 AND EXISTS (SELECT 1 FROM logins o WHERE o.id = ?2 AND o.person = ?1 AND o.ended IS NULL
                AND (o.id = l.id OR o.cookie = l.cookie OR o.session = l.session))";
    let ended = logins::end(connection, same, params![person, login], now)?;
    if !ended.is_empty() {
        note(connection, "login.not_me", person, None, now)?;
    }
    Ok(ended)
}

pub(super) fn end_all(
    connection: &Connection,
    person: &str,
    phone: Hashed,
    now: Timestamp,
) -> Result<Vec<Login>, Error> {
    connection.execute(
        "DELETE FROM phones WHERE token <> ?2 AND (appid, openid) IN
         (SELECT appid, openid FROM identities WHERE person = ?1)",
        params![person, phone.as_bytes()],
    )?;
    note(connection, "login.all_ended", person, None, now)?;
    logins::end(connection, "l.person = ?1", params![person], now)
}

/// The scans of this ticket were somebody's who had no name then: what is kept of a person must be found by it.
pub(super) fn name_scans(connection: &Connection, decision: &audit::Entry) -> Result<(), Error> {
    let ticket = decision.detail.get("ticket").and_then(serde_json::Value::as_str);
    connection
        .prepare_cached(
            "UPDATE audit SET person = ?1
             WHERE person IS NULL AND what = 'ticket.scanned' AND json_extract(detail, '$.ticket') = ?2",
        )?
        .execute(params![decision.person, ticket])?;
    Ok(())
}

fn note(
    connection: &Connection,
    what: &str,
    person: &str,
    site: Option<&str>,
    at: Timestamp,
) -> Result<(), Error> {
    let entry = audit::Entry {
        at,
        what: what.to_owned(),
        person: Some(person.to_owned()),
        site: site.map(ToOwned::to_owned),
        address: None,
        detail: serde_json::json!({}),
    };
    logins::write_audit(connection, &entry)
}

pub(super) fn audit_of(
    connection: &Connection,
    person: &str,
    most: u32,
) -> Result<Vec<(i64, audit::Entry)>, Error> {
    let sql = "SELECT id, at, what, person, site, address, detail FROM audit WHERE person = ?1 ORDER BY id DESC LIMIT ?2";
    all(connection, sql, params![person, most], |row| Ok((row.get("id")?, line(row)?)))
}

pub(super) fn audit_since(
    connection: &Connection,
    since: Timestamp,
    most: u32,
) -> Result<Vec<audit::Entry>, Error> {
    let sql = "SELECT at, what, person, site, address, detail FROM audit WHERE at >= ?1 ORDER BY id LIMIT ?2";
    all(connection, sql, params![since.millis(), most], line)
}

pub(super) fn line(row: &Row<'_>) -> Result<audit::Entry, Error> {
    Ok(audit::Entry {
        at: moment(row, "at")?,
        what: row.get("what")?,
        person: row.get("person")?,
        site: row.get("site")?,
        address: row.get("address")?,
        detail: parsed(&row.get::<_, String>("detail")?)?,
    })
}

pub(super) fn identities(connection: &Connection, person: &str) -> Result<Vec<Identity>, Error> {
    let sql =
        "SELECT appid, openid, unionid FROM identities WHERE person = ?1 ORDER BY appid, openid";
    all(connection, sql, [person], |row| {
        Ok(Identity {
            appid: row.get("appid")?,
            openid: row.get("openid")?,
            unionid: row.get("unionid")?,
        })
    })
}

pub(super) fn subs(connection: &Connection, person: &str) -> Result<Vec<(String, String)>, Error> {
    let sql = "SELECT group_name, sub FROM subs WHERE person = ?1 ORDER BY group_name, sub";
    all(connection, sql, [person], |row| Ok((row.get("group_name")?, row.get("sub")?)))
}

pub(super) fn age(
    connection: &Connection,
    network: Timestamp,
    audit: Timestamp,
) -> Result<(), Error> {
    connection.execute(
        "UPDATE audit SET address = NULL WHERE at < ?1 AND address IS NOT NULL",
        [network.millis()],
    )?;
    // An address of noughts is none.
    connection.execute(
        "UPDATE logins SET browser = json_set(browser, '$.address', '0.0.0.0')
         WHERE since < ?1 AND json_extract(browser, '$.address') <> '0.0.0.0'",
        [network.millis()],
    )?;
    connection.execute("DELETE FROM audit WHERE at < ?1", [audit.millis()])?;
    connection.execute("DELETE FROM consents WHERE withdrawn < ?1", [audit.millis()])?;
    connection.execute("DELETE FROM logins WHERE ended < ?1", [audit.millis()])?;
    Ok(())
}
