//! What grows old: addresses are taken out of it, and what is over is forgotten. Some rows at a time, found by who only reads:
//! taps wait for those that are written, and a year's worth is not given up because it cannot be done at once.

use std::time::Duration;

use super::{
    Db, Dialect,
    rows::{all, json, one},
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
    /// A login that has ended.
    Ended,
    /// A login that nobody has used for so long and nothing can use any more.
    Idle,
}

impl Old {
    pub(super) const ADDRESSES: [Self; 2] = [Self::Address, Self::LoginAddress];
    pub(super) const OVER: [Self; 3] = [Self::Line, Self::Ended, Self::Idle];

    /// How `?2` of them from before `?1` are found. In the order of an index, where there is one: else a database that
    /// expects to find some soon would read all there is when there are none.
    fn look(self) -> String {
        let (old, order) = match self {
            Self::Address => ("audit WHERE at < ?1 AND address IS NOT NULL", "at"),
            Self::LoginAddress => {
                ("logins WHERE since < ?1 AND browser ->> 'address' <> '0.0.0.0'", "since")
            }
            Self::Line => ("audit WHERE at < ?1", "at"),
            Self::Ended => ("logins WHERE ended < ?1", "ended"),
            Self::Idle => (
                "logins WHERE since < ?1 AND ended IS NULL AND last_seen < ?1 AND coalesce(session_until, 0) < ?1
                     AND NOT EXISTS (SELECT 1 FROM tokens WHERE tokens.login = logins.id)",
                "since",
            ),
        };
        format!("SELECT CAST(id AS TEXT) AS name FROM {old} ORDER BY {order} LIMIT ?2")
    }

    /// Names some that are from before then.
    pub(super) async fn find(self, db: &dyn Db, before: Timestamp) -> Result<Vec<String>, Error> {
        all(db, &self.look(), values![before, SOME], |row| row.get("name")).await
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
            (Self::Ended | Self::Idle, _) => ("DELETE FROM logins", "value"),
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

/// What ends by itself.
#[derive(Debug, Clone, Copy)]
pub(super) enum Over {
    Decision,
    Token,
    Phone,
    Link,
    ConsoleLink,
}

impl Over {
    pub(super) const ALL: [Self; 5] =
        [Self::Decision, Self::Token, Self::Phone, Self::Link, Self::ConsoleLink];

    /// Forgets some that are over, the oldest first; whether there may be more.
    pub(super) async fn forget_some(self, db: &dyn Db, now: Timestamp) -> Result<bool, Error> {
        // A code is redeemed within a minute of a claim; an hour more lets a reused one be noticed and its tokens be revoked.
        let old = now.before(Duration::from_secs(3600));
        let (table, key, over, order, at) = match (self, db.dialect()) {
            // They lie in the order in which they came, and end in it, nearly: all before the first that stands are over.
            // One that ends later than any can was made while the clock was ahead, and stands for itself alone.
            (Self::Decision, Dialect::Sqlite) => (
                "decisions",
                "id",
                "claim_until < ?1 AND id < coalesce(
                     (SELECT id FROM decisions WHERE claim_until BETWEEN ?1 AND ?1 + 7200000 ORDER BY id LIMIT 1),
                     9223372036854775807)",
                "id",
                old,
            ),
            (Self::Decision, Dialect::Postgres) => {
                ("decisions", "ticket", "claim_until < ?1", "claim_until", old)
            }
            (Self::Token, _) => ("tokens", "hash", "expires < ?1", "expires", now),
            (Self::Phone, _) => ("phones", "token", "expires < ?1", "expires", now),
            (Self::Link, _) => ("links", "hash", "expires < ?1", "expires", now),
            (Self::ConsoleLink, _) => ("console_links", "hash", "until < ?1", "until", now),
        };
        let some = format!("SELECT {key} FROM {table} WHERE {over} ORDER BY {order} LIMIT {SOME}");
        let these = match db.dialect() {
            Dialect::Sqlite => format!("IN ({some})"),
            // Of many nodes each forgets its own.
            Dialect::Postgres => format!("= ANY (ARRAY ({some} FOR UPDATE SKIP LOCKED))"),
        };
        let sql = format!("DELETE FROM {table} WHERE {key} {these}");
        Ok(db.execute(&sql, values![at]).await? >= u64::from(SOME))
    }
}

/// The moment by which all of this goes: no more than `step` past the last one.
pub(super) async fn upkeep(
    db: &dyn Db,
    now: Timestamp,
    step: Duration,
) -> Result<Timestamp, Error> {
    let sql = "INSERT INTO upkeep (one, at) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE
               SET at = CASE WHEN excluded.at < upkeep.at + ?2 THEN excluded.at ELSE upkeep.at + ?2 END RETURNING at";
    let step = i64::try_from(step.as_millis()).unwrap_or(i64::MAX / 2);
    let at = one(db, sql, values![now, step], |row| row.get("at")).await?;
    at.ok_or_else(|| Error::Away("the moment of upkeep was written and is not there".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        servers::PostgresServer,
        store::{postgres::Postgres, sql::Database as _},
    };

    /// PostgreSQL gives up what takes long, and would then let nothing grow old any more.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_grows_old_is_found_without_reading_all_there_is() {
        let server = PostgresServer::starts();
        let store = Postgres::open(&server.database("saoma")).await.unwrap();
        for (old, index) in [
            (Old::Address, "audit_with_address"),
            (Old::LoginAddress, "logins_with_address"),
            (Old::Line, "audit_by_time"),
            (Old::Ended, "logins_ended"),
            (Old::Idle, "logins_living"),
        ] {
            let explain = format!("EXPLAIN {}", old.look().replace("?1", "0").replace("?2", "9"));
            let plan = store.write(move |db| {
                Box::pin(async move {
                    // The tables are empty: that nothing is faster than to read them is no reason here.
                    db.execute("SET LOCAL enable_seqscan = off", values![]).await?;
                    db.execute("SET LOCAL enable_bitmapscan = off", values![]).await?;
                    all(db, &explain, values![], |row| row.get::<String>("QUERY PLAN")).await
                })
            });
            let plan = plan.await.unwrap().join("\n");
            assert!(plan.contains(index) && !plan.contains("Sort"), "{old:?}: {plan}");
        }
    }
}
