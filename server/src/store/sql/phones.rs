//! The tokens with which the mini program's own pages ask about their person.

use super::{
    Db,
    rows::{identity, one},
    values,
};
use crate::{person::Identity, secret::Hashed, store::Error, world::Timestamp};

pub(super) async fn open(
    db: &dyn Db,
    token: Hashed,
    identity: &Identity,
    expires: Timestamp,
) -> Result<(), Error> {
    db.send(
        "INSERT INTO phones (token, appid, openid, unionid, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
        values![token, &identity.appid, &identity.openid, &identity.unionid, expires],
    )
    .await
}

pub(super) async fn of(
    db: &dyn Db,
    token: Hashed,
    now: Timestamp,
) -> Result<Option<Identity>, Error> {
    let sql = "SELECT appid, openid, unionid FROM phones WHERE token = ?1 AND expires > ?2";
    one(db, sql, values![token, now], identity).await
}

pub(super) async fn close(db: &dyn Db, token: Hashed) -> Result<(), Error> {
    db.send("DELETE FROM phones WHERE token = ?1", values![token]).await
}
