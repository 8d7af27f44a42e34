//! Rows to values and back. A row that cannot be is an error, never a guess.

use rusqlite::{OptionalExtension as _, Params, Row, params};
use serde::{Serialize, de::DeserializeOwned};

use super::Connection;
use crate::{
    grant::Scopes,
    person::{Identity, Person},
    secret::Hashed,
    store::{Decided, Error, Login, Token, TokenKind},
    world::Timestamp,
};

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error(error.to_string()))
}

pub(super) fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text)
        .map_err(|error| Error(format!("a row is not as it should be: {error}")))
}

pub(super) fn moment(row: &Row<'_>, column: &str) -> Result<Timestamp, rusqlite::Error> {
    row.get(column).map(Timestamp::from_millis)
}

pub(super) fn moment_if(row: &Row<'_>, column: &str) -> Result<Option<Timestamp>, rusqlite::Error> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

pub(super) fn hash(row: &Row<'_>, column: &str) -> Result<Hashed, rusqlite::Error> {
    row.get(column).map(Hashed::from_bytes)
}

pub(super) const PERSON: &str = "p.id AS person_id, p.username, p.nickname, \
    CASE WHEN p.avatar IS NULL THEN NULL ELSE p.avatar_version END AS avatar_version, p.since AS person_since, p.blocked, p.groups";

pub(super) fn person(row: &Row<'_>) -> Result<Person, Error> {
    Ok(Person {
        id: row.get("person_id")?,
        username: row.get("username")?,
        nickname: row.get("nickname")?,
        avatar: row.get("avatar_version")?,
        since: moment(row, "person_since")?,
        blocked: row.get("blocked")?,
        groups: parsed(&row.get::<_, String>("groups")?)?,
    })
}

pub(super) const LOGIN: &str = "l.id AS login_id, l.person, l.site, l.sub, l.scopes AS login_scopes, l.browser, \
    l.since, l.last_seen, l.session, l.ended, l.appid, l.openid, \
    (SELECT unionid FROM identities i WHERE i.appid = l.appid AND i.openid = l.openid) AS unionid";

pub(super) fn login(row: &Row<'_>) -> Result<Login, Error> {
    Ok(Login {
        id: row.get("login_id")?,
        person: row.get("person")?,
        site: row.get("site")?,
        sub: row.get("sub")?,
        scopes: Scopes::parse(&row.get::<_, String>("login_scopes")?),
        identity: Identity {
            appid: row.get("appid")?,
            openid: row.get("openid")?,
            unionid: row.get("unionid")?,
        },
        browser: parsed(&row.get::<_, String>("browser")?)?,
        since: moment(row, "since")?,
        last_seen: moment(row, "last_seen")?,
        session: row.get::<_, Option<[u8; 32]>>("session")?.map(Hashed::from_bytes),
        ended: moment_if(row, "ended")?,
    })
}

pub(super) fn token(row: &Row<'_>) -> Result<Token, Error> {
    let kind: String = row.get("kind")?;
    Ok(Token {
        hash: hash(row, "hash")?,
        kind: match kind.as_str() {
            "access" => TokenKind::Access,
            "refresh" => TokenKind::Refresh,
            "application" => TokenKind::Application,
            other => return Err(Error(format!("a token is of no known kind: {other}"))),
        },
        login: row.get("login_id")?,
        scopes: Scopes::parse(&row.get::<_, String>("scopes")?),
        family: hash(row, "family")?,
        since: moment(row, "family_since")?,
        made: moment(row, "made")?,
        expires: moment(row, "expires")?,
        used: moment_if(row, "used")?,
    })
}

/// A decision with its login, found by one of its names.
pub(super) fn decided(
    connection: &Connection,
    by: &str,
    name: impl rusqlite::ToSql,
) -> Result<Option<Decided>, Error> {
    let sql = format!(
        "SELECT d.body, d.redeemed, {LOGIN} FROM decisions d LEFT JOIN logins l ON l.id = d.login WHERE d.{by} = ?1"
    );
    one(connection, &sql, params![name], |row| {
        let login = match row.get::<_, Option<String>>("login_id")? {
            Some(_) => Some(login(row)?),
            None => None,
        };
        let decision = parsed(&row.get::<_, String>("body")?)?;
        Ok(Decided { decision, login, redeemed: moment_if(row, "redeemed")? })
    })
}

/// The one row of a query, if there is one.
pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    value: impl FnOnce(&Row<'_>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let found =
        connection.prepare_cached(sql)?.query_row(params, |row| Ok(value(row))).optional()?;
    found.transpose()
}

/// Every row of a query.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    value: impl Fn(&Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| Ok(value(row)))?;
    rows.map(|row| row?).collect()
}
