//! Tokens: what a code gives, once, and what a refresh token gives.

use super::{
    Db, Held, logins,
    rows::{LOGIN, PERSON, login, one, person, token},
    values,
};
use crate::{
    secret::Hashed,
    store::{Error, LiveToken, Redemption, Revoke, Token},
    world::Timestamp,
};

pub(super) async fn redeem(
    db: &dyn Db,
    code: Hashed,
    tokens: &[Token],
    now: Timestamp,
) -> Result<Redemption, Error> {
    let consume = "UPDATE decisions SET redeemed = ?2 WHERE code = ?1 AND redeemed IS NULL";
    if db.execute(consume, values![code, now]).await? == 0 {
        let family = "SELECT ticket, login FROM decisions WHERE code = ?1";
        let family = one(db, family, values![code], |row| {
            Ok(Revoke::Family { id: row.get("ticket")?, login: row.get("login")? })
        })
        .await?;
        if let Some(family) = family {
            revoke(db, family).await?;
        }
        return Ok(Redemption::Reused);
    }
    for token in tokens {
        add_token(db, token).await?;
    }
    Ok(Redemption::Consumed)
}

async fn add_token(db: &dyn Db, token: &Token) -> Result<(), Error> {
    db.send(
        "INSERT INTO tokens (hash, kind, login, scopes, family, since, made, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        values![
            token.hash,
            token.kind.as_str(),
            &token.login,
            token.scopes.to_string(),
            token.family,
            token.since,
            token.made,
            token.expires,
        ],
    )
    .await
}

pub(super) async fn rotate(
    db: &dyn Db,
    old: Hashed,
    given: &[Token],
    now: Timestamp,
) -> Result<bool, Error> {
    // Who revokes the family meanwhile must find what this gives.
    for token in given {
        db.hold(&[Held::Family(token.family.as_bytes())]).await?;
    }
    let use_up = "UPDATE tokens SET used = ?2 WHERE hash = ?1 AND used IS NULL";
    if db.execute(use_up, values![old, now]).await? == 0 {
        return Ok(false);
    }
    for token in given {
        add_token(db, token).await?;
        logins::seen(db, &token.login, now).await?;
    }
    Ok(true)
}

pub(super) async fn revoke(db: &dyn Db, what: Revoke) -> Result<(), Error> {
    match &what {
        Revoke::Token(hash) => db.send("DELETE FROM tokens WHERE hash = ?1", values![*hash]).await,
        Revoke::Family { id, login } => {
            db.hold(&[Held::Family(id.as_bytes())]).await?;
            let delete = "DELETE FROM tokens WHERE login = ?1 AND family = ?2";
            db.send(delete, values![login, *id]).await
        }
    }
}

pub(super) async fn live_token(
    db: &dyn Db,
    hash: Hashed,
    now: Timestamp,
) -> Result<Option<LiveToken>, Error> {
    let sql = format!(
        "SELECT t.hash, t.kind, t.scopes, t.family, t.since AS family_since, t.made, t.expires, t.used, {LOGIN}, {PERSON}
         FROM tokens t JOIN logins l ON l.id = t.login JOIN persons p ON p.id = l.person
         WHERE t.hash = ?1 AND t.expires > ?2 AND l.ended IS NULL AND NOT p.blocked"
    );
    one(db, &sql, values![hash, now], |row| {
        Ok(LiveToken { token: token(row)?, login: login(row)?, person: person(row)? })
    })
    .await
}
