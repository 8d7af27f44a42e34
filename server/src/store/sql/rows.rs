//! Rows to what they stand for. A row that cannot be is an error, never a guess.

use serde::{Serialize, de::DeserializeOwned};

use super::{Db, Row, Value, has_not_moved_on, values};
use crate::{
    grant::Scopes,
    person::{Identity, Person},
    store::{Decided, Error, Login, Token, TokenKind},
};

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Away(error.to_string()))
}

pub(super) fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(unlike)
}

pub(super) fn parsed_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(unlike)
}

fn unlike(error: serde_json::Error) -> Error {
    Error::Away(format!("a row is not as it should be: {error}"))
}

pub(super) const PERSON: &str = "p.id AS person_id, p.username, p.nickname, \
    CASE WHEN p.avatar IS NULL THEN NULL ELSE p.avatar_version END AS avatar_version, p.since AS person_since, p.blocked, p.groups";

pub(super) fn person(row: &Row) -> Result<Person, Error> {
    Ok(Person {
        id: row.get("person_id")?,
        username: row.get("username")?,
        nickname: row.get("nickname")?,
        avatar: row.get("avatar_version")?,
        since: row.get("person_since")?,
        blocked: row.get("blocked")?,
        groups: parsed(&row.get::<String>("groups")?)?,
    })
}

pub(super) fn identity(row: &Row) -> Result<Identity, Error> {
    Ok(Identity {
        appid: row.get("appid")?,
        openid: row.get("openid")?,
        unionid: row.get("unionid")?,
    })
}

pub(super) const LOGIN: &str = "l.id AS login_id, l.person, l.site, l.sub, l.scopes AS login_scopes, l.browser, \
    l.since, l.last_seen, l.session, l.ended, l.appid, l.openid, \
    (SELECT unionid FROM identities i WHERE i.appid = l.appid AND i.openid = l.openid) AS unionid";

pub(super) fn login(row: &Row) -> Result<Login, Error> {
    Ok(Login {
        id: row.get("login_id")?,
        person: row.get("person")?,
        site: row.get("site")?,
        sub: row.get("sub")?,
        scopes: Scopes::parse(&row.get::<String>("login_scopes")?),
        identity: identity(row)?,
        browser: parsed(&row.get::<String>("browser")?)?,
        since: row.get("since")?,
        last_seen: row.get("last_seen")?,
        session: row.get("session")?,
        ended: row.get("ended")?,
    })
}

pub(super) fn token(row: &Row) -> Result<Token, Error> {
    let kind: String = row.get("kind")?;
    Ok(Token {
        hash: row.get("hash")?,
        kind: TokenKind::parse(&kind)
            .ok_or_else(|| Error::Away(format!("a token is of no known kind: {kind}")))?,
        login: row.get("login_id")?,
        scopes: Scopes::parse(&row.get::<String>("scopes")?),
        family: row.get("family")?,
        since: row.get("family_since")?,
        made: row.get("made")?,
        expires: row.get("expires")?,
        used: row.get("used")?,
    })
}

/// A decision with its login, found by one of its names.
pub(super) async fn decided(
    db: &dyn Db,
    by: &str,
    name: impl Into<Value>,
) -> Result<Option<Decided>, Error> {
    decided_with(db, by, name, "d.login").await
}

/// The same with the login that `is_its` picks.
pub(super) async fn decided_with(
    db: &dyn Db,
    by: &str,
    name: impl Into<Value>,
    is_its: &str,
) -> Result<Option<Decided>, Error> {
    let sql = format!(
        "SELECT d.body, d.redeemed, {LOGIN} FROM decisions d LEFT JOIN logins l ON l.id = {is_its} WHERE d.{by} = ?1"
    );
    let name = name.into();
    one(db, &sql, &[name], |row| {
        let login = match row.get::<Option<String>>("login_id")? {
            Some(_) => Some(login(row)?),
            None => None,
        };
        let decision = parsed(&row.get::<String>("body")?)?;
        Ok(Decided { decision, login, redeemed: row.get("redeemed")? })
    })
    .await
}

/// The one row of a query, if there is one.
pub(super) async fn one<T>(
    db: &dyn Db,
    sql: &str,
    params: &[Value],
    value: impl FnOnce(&Row) -> Result<T, Error> + Send,
) -> Result<Option<T>, Error> {
    let rows = db.rows(sql, params).await?;
    rows.first().map(value).transpose()
}

/// Every row of a query.
pub(super) async fn all<T>(
    db: &dyn Db,
    sql: &str,
    params: &[Value],
    value: impl Fn(&Row) -> Result<T, Error> + Send,
) -> Result<Vec<T>, Error> {
    db.rows(sql, params).await?.iter().map(value).collect()
}

/// Whether the database answers at all, and has taken no more than `steps` of the schema.
pub(super) async fn answers(db: &dyn Db, steps: usize) -> Result<(), Error> {
    let taken = one(db, db.dialect().schema(), values![], |row| row.get::<i64>("schema")).await?;
    has_not_moved_on(taken.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX), steps)
}
