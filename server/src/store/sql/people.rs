//! People: whose an identity is, what they show, and forgetting them.

use futures_util::future::try_join;

use super::{
    Db, Dialect, Held, admissions, audit_log, logins, operator,
    rows::{PERSON, all, one, person},
    values,
};
use crate::{
    audit,
    forgetting::SHADE,
    person::{self, Found, Identity, KnownIdentity, Newcomer, Person},
    secret::Hashed,
    store::{Arrival, Decide, Error, Login, Profile, Shadow},
    world::Timestamp,
};

pub(super) async fn appids(db: &dyn Db) -> Result<Vec<String>, Error> {
    let sql = "SELECT DISTINCT appid FROM identities ORDER BY appid";
    all(db, sql, values![], |row| row.get("appid")).await
}

pub(super) async fn by_id(db: &dyn Db, id: &str) -> Result<Option<Person>, Error> {
    let sql = format!("SELECT {PERSON} FROM persons p WHERE p.id = ?1");
    one(db, &sql, values![id], person).await
}

/// Whose the identity of `?1`, `?2` and `?3` is. Part of one statement, so that two who are being made one meanwhile are found
/// as they were or as they are.
const WHOSE: &str = "coalesce(
    (SELECT person FROM identities WHERE appid = ?1 AND openid = ?2),
    (SELECT o.id FROM identities i JOIN persons o ON o.id = i.person
     WHERE i.unionid = ?3 ORDER BY o.since, o.id LIMIT 1))";

pub(super) async fn of(db: &dyn Db, identity: &Identity) -> Result<Option<Person>, Error> {
    let Identity { appid, openid, unionid } = identity;
    let sql = format!("SELECT {PERSON} FROM persons p WHERE p.id = {WHOSE}");
    one(db, &sql, values![appid, openid, unionid], person).await
}

/// Whose identity this is from now on: made, joined or merged as `person::find` says. Nobody else settles or forgets the
/// same person until the transaction ends.
pub(super) async fn settle(
    db: &dyn Db,
    identity: &Identity,
    newcomer: &Newcomer,
    now: Timestamp,
) -> Result<String, Error> {
    hold(db, identity).await?;
    let (known, by_unionid) = find_and_hold(db, identity).await?;
    let mut ages = Vec::new();
    if let (Some(known), Some(by_unionid)) = (&known, &by_unionid) {
        for id in [&known.person, by_unionid] {
            ages.push((by_id(db, id).await?.map(|person| person.since), id.clone()));
        }
    }
    let age = |wanted: &str| ages.iter().find(|(_, id)| id == wanted);
    let is_older = |one: &str, other: &str| age(one) < age(other);
    let found =
        person::find(identity.unionid.as_deref(), known.as_ref(), by_unionid.as_deref(), is_older);
    let id = match found {
        Found::Person(id) => return Ok(id),
        Found::Nobody => {
            let insert = "INSERT INTO persons (id, username, since) VALUES (?1, ?2, ?3)";
            db.send(insert, values![&newcomer.id, &newcomer.username, now]).await?;
            newcomer.id.clone()
        }
        Found::LearnsUnionid(id) | Found::Joins(id) => id,
        Found::Merges { stays, goes } => {
            merge(db, &stays, &goes).await?;
            stays
        }
    };
    is_of(db, identity, &id).await?;
    Ok(id)
}

/// Makes an identity this person's. A unionid that is known stays known.
pub(super) async fn is_of(db: &dyn Db, identity: &Identity, person: &str) -> Result<(), Error> {
    let Identity { appid, openid, unionid } = identity;
    db.send(
        "INSERT INTO identities (appid, openid, unionid, person) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (appid, openid) DO UPDATE
         SET unionid = coalesce(excluded.unionid, identities.unionid), person = excluded.person",
        values![appid, openid, unionid, person],
    )
    .await
}

/// Nobody else settles this identity, or another of its unionid, until the transaction ends.
pub(super) async fn hold(db: &dyn Db, identity: &Identity) -> Result<(), Error> {
    let mut names = vec![Held::Identity(&identity.appid, &identity.openid)];
    names.extend(identity.unionid.as_deref().map(Held::Unionid));
    db.hold(&names).await
}

/// Who has this identity, and who has its unionid, held: so long as they change while they are waited for, looked for anew.
async fn find_and_hold(
    db: &dyn Db,
    identity: &Identity,
) -> Result<(Option<KnownIdentity>, Option<String>), Error> {
    let look = || try_join(known(db, identity), by_unionid(db, identity));
    let mut found = look().await?;
    loop {
        let persons = found.0.iter().map(|known| &known.person).chain(&found.1);
        let names: Vec<Held<'_>> = persons.map(|id| Held::Person(id)).collect();
        // SQLite's one writer waits for nobody.
        if names.is_empty() || db.dialect() == Dialect::Sqlite {
            return Ok(found);
        }
        db.hold(&names).await?;
        let again = look().await?;
        if again == found {
            return Ok(found);
        }
        found = again;
    }
}

async fn known(db: &dyn Db, identity: &Identity) -> Result<Option<KnownIdentity>, Error> {
    let sql = "SELECT person, unionid FROM identities WHERE appid = ?1 AND openid = ?2";
    one(db, sql, values![&identity.appid, &identity.openid], |row| {
        Ok(KnownIdentity { person: row.get("person")?, unionid: row.get("unionid")? })
    })
    .await
}

/// The oldest person among those who have this unionid.
async fn by_unionid(db: &dyn Db, identity: &Identity) -> Result<Option<String>, Error> {
    let Some(unionid) = &identity.unionid else { return Ok(None) };
    let sql = "SELECT p.id FROM identities i JOIN persons p ON p.id = i.person
               WHERE i.unionid = ?1 ORDER BY p.since, p.id LIMIT 1";
    one(db, sql, values![unionid], |row| row.get("id")).await
}

/// Makes two people one. A group that knows both by different names goes on hearing each name from the identity it knows
/// by it: a `sub` never changes for a site. An identity that has such a name of its own from an earlier merge keeps that.
pub(super) async fn merge(db: &dyn Db, stays: &str, goes: &str) -> Result<(), Error> {
    let known_to_both = "s.person = ?2 AND s.appid = '' AND EXISTS
        (SELECT 1 FROM subs o WHERE o.group_name = s.group_name AND o.person = ?1 AND o.appid = '')";
    let both = values![stays, goes];
    let keep_names = format!(
        "INSERT INTO subs (group_name, person, appid, openid, sub)
         SELECT s.group_name, ?1, i.appid, i.openid, s.sub
         FROM subs s JOIN identities i ON i.person = ?2 WHERE {known_to_both} AND NOT EXISTS
             (SELECT 1 FROM subs own WHERE own.group_name = s.group_name AND own.person = ?2
              AND own.appid = i.appid AND own.openid = i.openid)"
    );
    db.send(&keep_names, both).await?;
    db.send(&format!("DELETE FROM subs AS s WHERE {known_to_both}"), both).await?;
    for table in ["subs", "identities", "logins", "audit"] {
        let hand_over = format!("UPDATE {table} SET person = ?1 WHERE person = ?2");
        db.send(&hand_over, both).await?;
    }
    // What both gave in the same moment is there already, and goes with who goes.
    db.send(
        "UPDATE consents SET person = ?1 WHERE person = ?2 AND NOT EXISTS
         (SELECT 1 FROM consents o WHERE o.person = ?1 AND o.site = consents.site AND o.kind = consents.kind
          AND o.text = consents.text AND o.given = consents.given)",
        both,
    )
    .await?;
    let mut groups = Vec::new();
    for id in [stays, goes] {
        groups.extend(by_id(db, id).await?.into_iter().flat_map(|person| person.groups));
    }
    operator::set_groups(db, stays, groups).await?;
    admissions::merge(db, stays, goes).await?;
    // Whom the operator keeps out stays out, whichever of the two it was.
    db.send(
        "UPDATE persons SET blocked = TRUE WHERE id = ?1 AND (SELECT blocked FROM persons WHERE id = ?2)",
        both,
    )
    .await?;
    db.send("DELETE FROM persons WHERE id = ?1", values![goes]).await?;
    Ok(())
}

/// Makes an identity this person's; who had it before becomes part of them.
pub(super) async fn take_over(db: &dyn Db, identity: &Identity, id: &str) -> Result<(), Error> {
    let before = known(db, identity).await?;
    let mut names = vec![Held::Person(id)];
    names.extend(before.iter().map(|before| Held::Person(&before.person)));
    db.hold(&names).await?;
    if by_id(db, id).await?.is_none() {
        return Err(Error::LinkOver);
    }
    match known(db, identity).await? {
        Some(known) if known.person == id => Ok(()),
        Some(known) => merge(db, id, &known.person).await,
        None => is_of(db, identity, id).await,
    }
}

/// Of a person's identities only this one stays, and those of the same WeChat account in other mini programs. It is heard of
/// by the name under which each group knows the person, even where the group knew it by one of its own before.
pub(super) async fn let_go_all_but(
    db: &dyn Db,
    id: &str,
    identity: &Identity,
) -> Result<(), Error> {
    let Identity { appid, openid, unionid } = identity;
    db.send(
        "DELETE FROM identities WHERE person = ?1 AND NOT (appid = ?2 AND openid = ?3)
         AND (CAST(?4 AS TEXT) IS NULL OR unionid IS DISTINCT FROM ?4)",
        values![id, appid, openid, unionid],
    )
    .await?;
    db.send("DELETE FROM subs WHERE person = ?1 AND appid <> ''", values![id]).await
}

/// Who the person is to the group of sites that is signed in to: the name it knows already, or a fresh one from now on.
pub(super) async fn sub(db: &dyn Db, decide: &Decide, person: &str) -> Result<String, Error> {
    let Decide { group, newcomer, sub: fresh, decision, .. } = decide;
    // Who has just been made is known to nobody.
    if person != newcomer.id {
        let sql = "SELECT sub FROM subs WHERE group_name = ?1 AND person = ?2
                   AND (appid = '' OR (appid = ?3 AND openid = ?4)) ORDER BY appid DESC LIMIT 1";
        let params = values![group, person, &decision.identity.appid, &decision.identity.openid];
        if let Some(sub) = one(db, sql, params, |row| row.get("sub")).await? {
            return Ok(sub);
        }
    }
    let insert = "INSERT INTO subs (group_name, person, sub) VALUES (?1, ?2, ?3)";
    db.send(insert, values![group, person, fresh]).await?;
    Ok(fresh.clone())
}

/// Whether a shadow stands under `shade`, and who comes.
pub(super) async fn arrival(
    db: &dyn Db,
    identity: &Identity,
    shade: &Identity,
    site: &str,
    browser: Option<Hashed>,
) -> Result<(bool, Option<Arrival>), Error> {
    let Identity { appid, openid, unionid } = identity;
    // Without a browser nobody's logins are gone through for it.
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM identities WHERE appid = ?4 AND openid = ?5) AS is_shaded, {PERSON},
             (SELECT word FROM admissions WHERE person = p.id AND site = ?6) AS word,
             EXISTS (SELECT 1 FROM logins WHERE person = p.id AND cookie = ?7 AND ?7 IS NOT NULL) AS knows_browser,
             EXISTS (SELECT 1 FROM logins WHERE person = p.id AND site = ?6) AS knows_site
         FROM (SELECT 1 AS one) AS here LEFT JOIN persons p ON p.id = {WHOSE}"
    );
    let params = values![appid, openid, unionid, &shade.appid, &shade.openid, site, browser];
    let found = one(db, &sql, params, |row| {
        let is_somebody = row.get::<Option<String>>("person_id")?.is_some();
        let arrival = is_somebody.then(|| {
            Ok::<_, Error>(Arrival {
                person: person(row)?,
                word: row
                    .get::<Option<String>>("word")?
                    .as_deref()
                    .map(admissions::read)
                    .transpose()?,
                knows_browser: row.get("knows_browser")?,
                knows_site: row.get("knows_site")?,
            })
        });
        Ok((row.get("is_shaded")?, arrival.transpose()?))
    });
    Ok(found.await?.unwrap_or_default())
}

pub(super) async fn set_profile(
    db: &dyn Db,
    id: &str,
    profile: &Profile,
) -> Result<Option<Person>, Error> {
    if let Some(nickname) = &profile.nickname {
        let nickname = Some(nickname).filter(|nickname| !nickname.is_empty());
        let set = "UPDATE persons SET nickname = ?2 WHERE id = ?1";
        db.send(set, values![id, nickname]).await?;
    }
    if let Some((content_type, bytes)) = &profile.avatar {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        db.send(
            "UPDATE persons SET avatar_type = ?2, avatar = ?3, avatar_version = avatar_version + 1 WHERE id = ?1",
            values![id, content_type, bytes],
        )
        .await?;
    }
    by_id(db, id).await
}

pub(super) async fn avatar(
    db: &dyn Db,
    username: &str,
) -> Result<Option<(String, Vec<u8>)>, Error> {
    let sql = "SELECT avatar_type, avatar FROM persons WHERE username = ?1 AND avatar IS NOT NULL";
    one(db, sql, values![username], |row| Ok((row.get("avatar_type")?, row.get("avatar")?))).await
}

pub(super) async fn forget(
    db: &dyn Db,
    id: &str,
    shadow: &Shadow,
    by: Option<&str>,
    now: Timestamp,
) -> Result<Vec<Login>, Error> {
    operator::hold(db, id, by.is_some()).await?;
    let Some(before) = by_id(db, id).await? else { return Ok(Vec::new()) };
    let ended = logins::end(db, "l.person = ?1", values![id], now).await?;
    cast(db, id, shadow, now).await?;
    for sql in [
        END_PHONES,
        // A no makes no login, and names who said it all the same.
        "DELETE FROM decisions WHERE login IN (SELECT id FROM logins WHERE person = ?1)
         OR (body -> 'identity' ->> 'appid', body -> 'identity' ->> 'openid')
             IN (SELECT appid, openid FROM identities WHERE person = ?1)",
        // Identities, subs, logins and tokens go along by their foreign keys.
        "DELETE FROM persons WHERE id = ?1",
        "UPDATE audit SET person = NULL, address = NULL, detail = '{}' WHERE person = ?1",
    ] {
        db.send(sql, values![id]).await?;
    }
    // Whoever wants to be forgotten has a right to it, as the last owner too.
    if let Some(by) = by {
        operator::leaves_an_owner(db, &before, by).await?;
        // Who it was is forgotten; that it was done is not.
        let entry = audit::Entry::of_operator(now, "person.forgotten", by);
        audit_log::write(db, &entry).await?;
    }
    Ok(ended)
}

/// Ends the tokens of all phones of the person `?1`.
pub(super) const END_PHONES: &str = "DELETE FROM phones WHERE (appid, openid) IN (SELECT appid, openid FROM identities WHERE person = ?1)";

const IS_REFUSED: &str =
    "EXISTS (SELECT 1 FROM admissions a WHERE a.person = p.id AND a.word = 'refused')";

/// Leaves the shadow of a person who is kept out.
async fn cast(db: &dyn Db, id: &str, shadow: &Shadow, now: Timestamp) -> Result<(), Error> {
    let Shadow { newcomer, identities } = shadow;
    let insert = format!(
        "INSERT INTO persons (id, username, since, blocked)
         SELECT CAST(?2 AS TEXT), CAST(?3 AS TEXT), CAST(?4 AS BIGINT), p.blocked
         FROM persons p WHERE p.id = ?1 AND (p.blocked OR {IS_REFUSED})"
    );
    let names = values![id, &newcomer.id, &newcomer.username, now];
    if db.execute(&insert, names).await? == 0 {
        return Ok(());
    }
    let hand_over = "UPDATE admissions SET person = ?2 WHERE person = ?1 AND word = 'refused'";
    db.send(hand_over, values![id, &newcomer.id]).await?;
    for Identity { appid, openid, .. } in identities {
        let insert = "INSERT INTO identities (appid, openid, person) VALUES (?1, ?2, ?3)";
        db.send(insert, values![appid, openid, &newcomer.id]).await?;
    }
    Ok(())
}

/// Gives a shadow its identity back; who has that identity by now becomes part of it.
pub(super) async fn meet(db: &dyn Db, identity: &Identity, shade: &Identity) -> Result<(), Error> {
    hold(db, identity).await?;
    let Some(shadow) = known(db, shade).await? else { return Ok(()) };
    let delete = "DELETE FROM identities WHERE appid = ?1 AND openid = ?2";
    db.send(delete, values![&shade.appid, &shade.openid]).await?;
    take_over(db, identity, &shadow.person).await
}

/// A shadow that is kept out of nothing any more is gone.
pub(super) async fn let_shadow_go(db: &dyn Db, id: &str) -> Result<(), Error> {
    let sql = format!(
        "DELETE FROM persons AS p WHERE p.id = ?1 AND NOT p.blocked AND NOT {IS_REFUSED}
         AND EXISTS (SELECT 1 FROM identities i WHERE i.person = p.id)
         AND NOT EXISTS (SELECT 1 FROM identities i WHERE i.person = p.id AND i.openid NOT LIKE '{SHADE}%')"
    );
    db.send(&sql, values![id]).await
}
