//! Signing keys and the server's own secrets.

use rusqlite::{Connection, params};

use super::rows::{all, moment, one};
use crate::{
    site::Alg,
    store::{Error, StoredKey},
};

pub(super) fn all_keys(connection: &Connection) -> Result<Vec<StoredKey>, Error> {
    all(
        connection,
        "SELECT kid, alg, made, signs_from, private FROM signing_keys ORDER BY signs_from, kid",
        [],
        |row| {
            let alg: String = row.get("alg")?;
            Ok(StoredKey {
                kid: row.get("kid")?,
                alg: match alg.as_str() {
                    "RS256" => Alg::RS256,
                    "ES256" => Alg::ES256,
                    other => {
                        return Err(Error(format!("a signing key is of no known kind: {other}")));
                    }
                },
                made: moment(row, "made")?,
                signs_from: moment(row, "signs_from")?,
                private: row.get("private")?,
            })
        },
    )
}

pub(super) fn put(connection: &Connection, key: &StoredKey) -> Result<(), Error> {
    let alg = match key.alg {
        Alg::RS256 => "RS256",
        Alg::ES256 => "ES256",
    };
    connection.execute(
        "INSERT INTO signing_keys (kid, alg, made, signs_from, private) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (kid) DO UPDATE SET signs_from = excluded.signs_from
         ON CONFLICT (alg, signs_from) DO NOTHING",
        params![key.kid, alg, key.made.millis(), key.signs_from.millis(), key.private],
    )?;
    changed(connection)
}

pub(super) fn forget(connection: &Connection, kid: &str) -> Result<(), Error> {
    connection.execute("DELETE FROM signing_keys WHERE kid = ?1", [kid])?;
    changed(connection)
}

/// Running nodes look again when this number has grown.
pub(super) fn changed(connection: &Connection) -> Result<(), Error> {
    connection.execute("UPDATE revision SET n = n + 1", [])?;
    Ok(())
}

pub(super) fn revision(connection: &Connection) -> Result<i64, Error> {
    Ok(connection.query_row("SELECT n FROM revision", [], |row| row.get(0))?)
}

pub(super) fn server_secret(
    connection: &Connection,
    name: &str,
    fresh: &[u8],
) -> Result<Vec<u8>, Error> {
    connection.execute(
        "INSERT INTO server_secrets (name, secret) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![name, fresh],
    )?;
    one(connection, "SELECT secret FROM server_secrets WHERE name = ?1", [name], |row| {
        Ok(row.get("secret")?)
    })?
    .ok_or_else(|| Error(format!("the secret {name} was written and is not there")))
}
