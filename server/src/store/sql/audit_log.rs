//! The lines of the audit log.

use super::{
    Db, Dialect, Row, Value,
    rows::{all, parsed},
    values,
};
use crate::{
    audit,
    store::{Error, Lines},
    world::Timestamp,
};

pub(super) async fn write(db: &dyn Db, entry: &audit::Entry) -> Result<(), Error> {
    db.send(
        "INSERT INTO audit (at, what, person, site, address, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        values![
            entry.at,
            &entry.what,
            &entry.person,
            &entry.site,
            &entry.address,
            entry.detail.to_string(),
        ],
    )
    .await
}

/// The scans of this ticket were somebody's who had no name then: what is kept of a person must be found by it.
pub(super) async fn name_scans(db: &dyn Db, decision: &audit::Entry) -> Result<(), Error> {
    let ticket = decision.detail.get("ticket").and_then(serde_json::Value::as_str);
    db.send(
        "UPDATE audit SET person = ?1
         WHERE person IS NULL AND what = 'ticket.scanned' AND detail ->> 'ticket' = ?2",
        values![&decision.person, ticket],
    )
    .await
}

pub(super) async fn of_person(
    db: &dyn Db,
    person: &str,
    most: u32,
) -> Result<Vec<(i64, audit::Entry)>, Error> {
    let sql = "SELECT id, at, what, person, site, address, detail FROM audit WHERE person = ?1 ORDER BY id DESC LIMIT ?2";
    all(db, sql, values![person, most], |row| Ok((row.get("id")?, line(row)?))).await
}

pub(super) async fn since(
    db: &dyn Db,
    since: Timestamp,
    most: u32,
) -> Result<Vec<audit::Entry>, Error> {
    let sql = "SELECT at, what, person, site, address, detail FROM audit WHERE at >= ?1 ORDER BY id LIMIT ?2";
    all(db, sql, values![since, most], line).await
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
    let read = |row: &Row| Ok((row.get("id")?, line(row)?));
    let mut found = all(db, &sql, &params, read).await?;
    if asked.after.is_some() {
        found.reverse();
    }
    Ok(found)
}

fn line(row: &Row) -> Result<audit::Entry, Error> {
    Ok(audit::Entry {
        at: row.get("at")?,
        what: row.get("what")?,
        person: row.get("person")?,
        site: row.get("site")?,
        address: row.get("address")?,
        detail: parsed(&row.get::<String>("detail")?)?,
    })
}
