//! What a person may see, take back and end.

use super::{
    Db, admissions, audit_log, logins, people,
    rows::{all, identity, parsed},
    values,
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
pub(super) async fn consent(
    db: &dyn Db,
    person: &str,
    site: &str,
    scopes: &Scopes,
    at: Timestamp,
) -> Result<(), Error> {
    let insert = "INSERT INTO consents (person, site, kind, text, given)
         SELECT ?1, ?2, ?3, ?4, CAST(?5 AS BIGINT) WHERE NOT EXISTS
         (SELECT 1 FROM consents WHERE person = ?1 AND site = ?2 AND kind = ?3 AND text = ?4 AND withdrawn IS NULL)";
    for scope in scopes.iter() {
        db.send(insert, values![person, site, scope.as_str(), CONSENT_TEXT, at]).await?;
    }
    Ok(())
}

pub(super) async fn consents(db: &dyn Db, person: &str) -> Result<Vec<Consent>, Error> {
    let sql = "SELECT site, kind, text, given, withdrawn FROM consents WHERE person = ?1 ORDER BY given, site";
    all(db, sql, values![person], |row| {
        let kind: String = row.get("kind")?;
        Ok(Consent {
            site: row.get("site")?,
            kind: parsed(&format!("\"{kind}\""))?,
            text: row.get("text")?,
            given: row.get("given")?,
            withdrawn: row.get("withdrawn")?,
        })
    })
    .await
}

pub(super) async fn withdraw(
    db: &dyn Db,
    person: &str,
    site: &str,
    now: Timestamp,
) -> Result<Vec<Login>, Error> {
    // Before the logins end: they tell the group.
    db.send(
        "UPDATE logins SET session = NULL WHERE person = ?1 AND session IS NOT NULL AND group_name IN
         (SELECT group_name FROM logins WHERE person = ?1 AND site = ?2)",
        values![person, site],
    )
    .await?;
    let ended = admissions::end_at(db, person, site, now).await?;
    let withdrawn =
        "UPDATE consents SET withdrawn = ?3 WHERE person = ?1 AND site = ?2 AND withdrawn IS NULL";
    if db.execute(withdrawn, values![person, site, now]).await? > 0 {
        note(db, "consent.withdrawn", person, Some(site), now).await?;
    }
    Ok(ended)
}

pub(super) async fn end_browser(
    db: &dyn Db,
    person: &str,
    login: &str,
    now: Timestamp,
) -> Result<Vec<Login>, Error> {
    let same = "l.person = ?1 AND EXISTS (SELECT 1 FROM logins o WHERE o.id = ?2 AND o.person = ?1
                AND (o.id = l.id OR o.cookie = l.cookie OR o.session = l.session))";
    let ended = logins::end(db, same, values![person, login], now).await?;
    // The one that is named may have ended before.
    for id in ended.iter().map(|login| login.id.as_str()).chain([login]) {
        // Logins that ended before would vouch for this browser as well.
        db.send(
            "UPDATE logins SET cookie = NULL
             WHERE person = ?1 AND cookie = (SELECT cookie FROM logins WHERE id = ?2 AND person = ?1)",
            values![person, id],
        )
        .await?;
    }
    if !ended.is_empty() {
        note(db, "login.not_me", person, None, now).await?;
    }
    Ok(ended)
}

pub(super) async fn end_all(
    db: &dyn Db,
    person: &str,
    phone: Hashed,
    now: Timestamp,
) -> Result<Vec<Login>, Error> {
    let others = format!("{} AND token <> ?2", people::END_PHONES);
    db.send(&others, values![person, phone]).await?;
    db.send("UPDATE logins SET cookie = NULL WHERE person = ?1", values![person]).await?;
    note(db, "login.all_ended", person, None, now).await?;
    logins::end(db, "l.person = ?1", values![person], now).await
}

async fn note(
    db: &dyn Db,
    what: &str,
    person: &str,
    site: Option<&str>,
    at: Timestamp,
) -> Result<(), Error> {
    let entry =
        audit::Entry::new(at, what).about(person.to_owned()).at_site(site.map(ToOwned::to_owned));
    audit_log::write(db, &entry).await
}

pub(super) async fn identities(db: &dyn Db, person: &str) -> Result<Vec<Identity>, Error> {
    let sql =
        "SELECT appid, openid, unionid FROM identities WHERE person = ?1 ORDER BY appid, openid";
    all(db, sql, values![person], identity).await
}

pub(super) async fn subs(db: &dyn Db, person: &str) -> Result<Vec<(String, String)>, Error> {
    let sql = "SELECT group_name, sub FROM subs WHERE person = ?1 ORDER BY group_name, sub";
    all(db, sql, values![person], |row| Ok((row.get("group_name")?, row.get("sub")?))).await
}
