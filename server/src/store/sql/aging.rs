//! What grows old: addresses are taken out of it, and what is over is forgotten. Some rows at a time, found by who only reads:
//! taps wait for those that are written, and a year's worth is not given up because it cannot be done at once.

use super::{
    Db, Dialect,
    rows::{all, json},
    values,
};
use crate::{store::Error, world::Timestamp};

/// How many rows at a time.
const SOME: u32 = 2_000;

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Old {
    /// An address in the audit log.
    Address,
    /// An address in a login. One of noughts is none.
    LoginAddress,
    /// A line of the audit log.
    Line,
    /// A login that has ended, or that nobody has used for so long and nothing can use any more.
    Login,
}

impl Old {
    pub(super) const ADDRESSES: [Self; 2] = [Self::Address, Self::LoginAddress];
    pub(super) const OVER: [Self; 2] = [Self::Line, Self::Login];

    /// Names some that are from before then.
    pub(super) async fn find(self, db: &dyn Db, before: Timestamp) -> Result<Vec<String>, Error> {
        let old = match self {
            Self::Address => "audit WHERE at < ?1 AND address IS NOT NULL",
            Self::LoginAddress => "logins WHERE since < ?1 AND browser ->> 'address' <> '0.0.0.0'",
            Self::Line => "audit WHERE at < ?1",
            Self::Login => {
                "logins WHERE ended < ?1 OR (ended IS NULL AND last_seen < ?1 AND coalesce(session_until, 0) < ?1
                     AND NOT EXISTS (SELECT 1 FROM tokens WHERE tokens.login = logins.id))"
            }
        };
        let sql = format!("SELECT CAST(id AS TEXT) AS name FROM {old} LIMIT ?2");
        all(db, &sql, values![before, SOME], |row| row.get("name")).await
    }

    /// Does with those what is due.
    pub(super) async fn change(self, db: &dyn Db, names: &[String]) -> Result<(), Error> {
        let (change, id) = match (self, db.dialect()) {
            (Self::Address, _) => ("UPDATE audit SET address = NULL", "CAST(value AS BIGINT)"),
            (Self::LoginAddress, Dialect::Sqlite) => {
                ("UPDATE logins SET browser = json_set(browser, '$.address', '0.0.0.0')", "value")
            }
            (Self::LoginAddress, Dialect::Postgres) => (
                "UPDATE logins SET browser = jsonb_set(browser, '{address}', '\"0.0.0.0\"')",
                "value",
            ),
            (Self::Line, _) => ("DELETE FROM audit", "CAST(value AS BIGINT)"),
            (Self::Login, _) => ("DELETE FROM logins", "value"),
        };
        let each = db.dialect().each();
        let sql = format!("{change} WHERE id IN (SELECT {id} FROM {each})");
        db.send(&sql, values![json(&names)?]).await
    }
}

/// Forgets consents that were withdrawn before then.
pub(super) async fn consents(db: &dyn Db, before: Timestamp) -> Result<(), Error> {
    db.send("DELETE FROM consents WHERE withdrawn < ?1", values![before]).await
}
