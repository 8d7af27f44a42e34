//! Signing keys and the server's own secrets.

use super::{
    Db, has_not_moved_on,
    rows::{all, one},
    values,
};
use crate::{
    site::Alg,
    store::{Error, Seal, StoredKey},
};

pub(super) async fn all_keys(db: &dyn Db) -> Result<Vec<StoredKey>, Error> {
    let sql =
        "SELECT kid, alg, made, signs_from, private FROM signing_keys ORDER BY signs_from, kid";
    all(db, sql, values![], |row| {
        let alg: String = row.get("alg")?;
        Ok(StoredKey {
            kid: row.get("kid")?,
            alg: Alg::parse(&alg)
                .ok_or_else(|| Error::Away(format!("a signing key is of no known kind: {alg}")))?,
            made: row.get("made")?,
            signs_from: row.get("signs_from")?,
            private: row.get("private")?,
        })
    })
    .await
}

pub(super) async fn put(db: &dyn Db, key: &StoredKey) -> Result<(), Error> {
    let known = "UPDATE signing_keys SET signs_from = ?2 WHERE kid = ?1";
    if db.execute(known, values![&key.kid, key.signs_from]).await? == 0 {
        db.send(
            "INSERT INTO signing_keys (kid, alg, made, signs_from, private) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (alg, signs_from) DO NOTHING",
            values![&key.kid, key.alg.as_str(), key.made, key.signs_from, &key.private],
        )
        .await?;
    }
    changed(db).await
}

pub(super) async fn forget(db: &dyn Db, kid: &str) -> Result<(), Error> {
    db.send("DELETE FROM signing_keys WHERE kid = ?1", values![kid]).await?;
    changed(db).await
}

/// Running nodes look again when this number has grown.
pub(super) async fn changed(db: &dyn Db) -> Result<(), Error> {
    db.send("UPDATE revision SET n = n + 1", values![]).await
}

/// The number, from a database that has taken no more than `steps` of the schema: every node asks for it each second, and so
/// notices when a newer one has changed the schema under it.
pub(super) async fn revision(db: &dyn Db, steps: usize) -> Result<i64, Error> {
    let sql = format!("SELECT n, ({}) AS schema FROM revision", db.dialect().schema());
    let looked = one(db, &sql, values![], |row| Ok((row.get("schema")?, row.get("n")?))).await?;
    let (taken, n): (i64, _) =
        looked.ok_or_else(|| Error::Away("the revision is gone".to_owned()))?;
    has_not_moved_on(usize::try_from(taken).unwrap_or(usize::MAX), steps)?;
    Ok(n)
}

pub(super) async fn server_secret(db: &dyn Db, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let kept = "SELECT secret FROM server_secrets WHERE name = ?1";
    one(db, kept, values![name], |row| row.get("secret")).await
}

pub(super) async fn make_server_secret(
    db: &dyn Db,
    name: &str,
    fresh: &[u8],
) -> Result<Vec<u8>, Error> {
    let insert =
        "INSERT INTO server_secrets (name, secret) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING";
    db.send(insert, values![name, fresh]).await?;
    server_secret(db, name)
        .await?
        .ok_or_else(|| Error::Away(format!("the secret {name} was written and is not there")))
}

/// A key's name and a secret's never meet.
pub(super) async fn seal(db: &dyn Db, keys: &[Seal]) -> Result<(), Error> {
    for Seal { name, was, sealed } in keys {
        for sql in [
            "UPDATE signing_keys SET private = ?3 WHERE kid = ?1 AND private = ?2",
            "UPDATE server_secrets SET secret = ?3 WHERE name = ?1 AND secret = ?2",
        ] {
            db.send(sql, values![name, was, sealed]).await?;
        }
    }
    Ok(())
}
