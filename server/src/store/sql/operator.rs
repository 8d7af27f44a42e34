//! What an operator sees of people, and does to them.

use serde_json::json;

use super::{
    Db, Held, admissions, audit_log, console, logins, people,
    rows::{self, PERSON, all, one, person},
    values,
};
use crate::{
    admission::Word,
    audit,
    person::{OWNER, Person},
    store::{Change, Changed, Error, Listed, Login, Search},
    world::Timestamp,
};

pub(super) async fn named(db: &dyn Db, name: &str) -> Result<Option<Person>, Error> {
    let sql = format!("SELECT {PERSON} FROM persons p WHERE p.id = ?1 OR p.username = ?1");
    one(db, &sql, values![name], person).await
}

pub(super) async fn search(db: &dyn Db, search: &Search) -> Result<Vec<Listed>, Error> {
    let in_group = db.dialect().in_group("?2");
    // What is taken out of a text and changes it was in it.
    let sql = format!(
        "SELECT {PERSON},
         (SELECT max(last_seen) FROM logins l WHERE l.person = p.id) AS last_seen,
         (SELECT count(*) FROM logins l WHERE l.person = p.id AND l.ended IS NULL) AS logins
         FROM persons p
         WHERE (?1 = '' OR replace(p.username, lower(?1), '') <> p.username
             OR replace(lower(p.nickname), lower(?1), '') <> lower(p.nickname) OR p.id = ?1 OR EXISTS
             (SELECT 1 FROM identities i WHERE i.person = p.id AND (i.openid = ?1 OR i.unionid = ?1)))
         AND (CAST(?2 AS TEXT) IS NULL OR {in_group})
         AND (CAST(?3 AS BOOLEAN) IS NULL OR p.blocked = ?3)
         AND (CAST(?4 AS BIGINT) IS NULL OR p.since < ?4 OR (p.since = ?4 AND p.id > ?5))
         ORDER BY p.since DESC, p.id LIMIT ?6"
    );
    let (since, id) = search.after.as_ref().map(|(since, id)| (*since, id)).unzip();
    let params = values![&search.text, &search.group, search.blocked, since, id, search.most];
    all(db, &sql, params, |row| {
        Ok(Listed {
            person: person(row)?,
            last_seen: row.get("last_seen")?,
            logins: row.get("logins")?,
        })
    })
    .await
}

pub(super) async fn change(
    db: &dyn Db,
    id: &str,
    change: &Change,
    by: &str,
    now: Timestamp,
) -> Result<Option<Changed>, Error> {
    let takes_an_owner = match change {
        Change::Leave(group) => group == OWNER,
        change => *change == Change::Block,
    };
    hold(db, id, takes_an_owner).await?;
    let Some(before) = people::by_id(db, id).await? else { return Ok(None) };
    let mut ended = Vec::new();
    let mut said = false;
    let set = async |site, word| admissions::set(db, id, site, word, now).await;
    match change {
        Change::Join(group) => join(db, id, group).await?,
        Change::Leave(group) => {
            let groups = before.groups.iter().filter(|one| *one != group).cloned();
            set_groups(db, id, groups.collect()).await?;
        }
        Change::Block => {
            db.send("UPDATE persons SET blocked = TRUE WHERE id = ?1", values![id]).await?;
            ended = end_everything(db, id, now).await?;
        }
        Change::Unblock => {
            db.send("UPDATE persons SET blocked = FALSE WHERE id = ?1", values![id]).await?;
        }
        Change::Admit(site) => said = set(site, Some(Word::Admitted)).await?,
        Change::Refuse(site) => {
            said = set(site, Some(Word::Refused)).await?;
            ended = admissions::end_at(db, id, site, now).await?;
        }
        Change::Unsay(site) => said = set(site, None).await?,
        Change::End(login) => {
            let which = "l.id = ?1 AND l.person = ?2";
            ended = logins::end(db, which, values![login, id], now).await?;
            said = !ended.is_empty();
        }
    }
    if takes_an_owner {
        leaves_an_owner(db, &before, by).await?;
    }
    let Some(person) = people::by_id(db, id).await? else { return Ok(None) };
    people::let_shadow_go(db, id).await?;
    if said || person != before {
        let (what, group, site) = match change {
            Change::Join(group) => ("person.joined", Some(group), None),
            Change::Leave(group) => ("person.left", Some(group), None),
            Change::Block => ("person.blocked", None, None),
            Change::Unblock => ("person.unblocked", None, None),
            Change::Admit(site) => ("person.admitted", None, Some(site)),
            Change::Refuse(site) => ("person.refused", None, Some(site)),
            Change::Unsay(site) => ("person.unsaid", None, Some(site)),
            Change::End(_) => ("login.ended_by_operator", None, None),
        };
        let more = match change {
            Change::End(login) => json!({ "login": login }),
            _ => json!({ "group": group }),
        };
        let entry = audit::Entry::of_operator(now, what, by)
            .about(id.to_owned())
            .at_site(site.cloned())
            .with(more);
        audit_log::write(db, &entry).await?;
    }
    Ok(Some(Changed { person, ended }))
}

/// Nobody else changes this person until the transaction ends; nor any owner, where this may take one away.
pub(super) async fn hold(db: &dyn Db, id: &str, takes_an_owner: bool) -> Result<(), Error> {
    let names = [Held::Ownership, Held::Person(id)];
    db.hold(if takes_an_owner { &names } else { &names[1..] }).await
}

/// Refuses to leave nobody who owns this server: whoever shuts the last owner out has shut out everybody. Who has the machine
/// makes another one when they like, and may have to block a stolen phone at once.
pub(super) async fn leaves_an_owner(db: &dyn Db, before: &Person, by: &str) -> Result<(), Error> {
    let was_one = before.is_owner() && !before.blocked;
    if was_one && by != audit::COMMAND && !console::has_owner(db).await? {
        return Err(Error::LastOwner);
    }
    Ok(())
}

pub(super) async fn join(db: &dyn Db, id: &str, group: &str) -> Result<(), Error> {
    let known = people::by_id(db, id).await?.map_or_else(Vec::new, |person| person.groups);
    set_groups(db, id, [known, vec![group.to_owned()]].concat()).await
}

/// Each group once, in the order of the alphabet: sites compare what they are told. Whoever changes groups holds the person.
pub(super) async fn set_groups(
    db: &dyn Db,
    id: &str,
    mut groups: Vec<String>,
) -> Result<(), Error> {
    groups.sort();
    groups.dedup();
    let set = "UPDATE persons SET groups = ?2 WHERE id = ?1";
    db.send(set, values![id, rows::json(&groups)?]).await
}

/// Ends a person's logins with all their tokens, and their phones' tokens.
pub(super) async fn end_everything(
    db: &dyn Db,
    id: &str,
    now: Timestamp,
) -> Result<Vec<Login>, Error> {
    db.send(people::END_PHONES, values![id]).await?;
    logins::end(db, "l.person = ?1", values![id], now).await
}

pub(super) async fn merge(
    db: &dyn Db,
    stays: &str,
    goes: &str,
    by: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    db.hold(&[Held::Person(stays), Held::Person(goes)]).await?;
    let (stay, go) = (people::by_id(db, stays).await?, people::by_id(db, goes).await?);
    let (Some(_), Some(gone)) = (stay, go) else { return Ok(false) };
    if stays == goes {
        return Ok(true);
    }
    people::merge(db, stays, goes).await?;
    let entry = audit::Entry::of_operator(now, "person.linked", by)
        .about(stays.to_owned())
        .with(json!({ "was": gone.username }));
    audit_log::write(db, &entry).await?;
    Ok(true)
}
