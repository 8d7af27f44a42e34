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
        "SELECT kid, alg, made, private FROM signing_keys ORDER BY made, kid",
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
                private: row.get("private")?,
            })
        },
    )
}

pub(super) fn add(connection: &Connection, key: &StoredKey) -> Result<(), Error> {
    let alg = match key.alg {
        Alg::RS256 => "RS256",
        Alg::ES256 => "ES256",
    };
    connection.execute(
        "INSERT INTO signing_keys (kid, alg, made, private) VALUES (?1, ?2, ?3, ?4)",
        params![key.kid, alg, key.made.millis(), key.private],
    )?;
    Ok(())
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
