//! Tickets that a graceful stop wrote down.

use serde::Serialize;

use super::{
    Db, Dialect, Row,
    rows::{json, parsed_bytes},
    values,
};
use crate::{
    store::Error,
    ticket::Ticket,
    tickets::{Parked, Picture},
};

/// How many tickets are written down before one is waited for: each trip costs as much as writing many, and those that are on
/// their way lie in memory twice.
const ON_THEIR_WAY: usize = 64;

pub(super) async fn park(db: &dyn Db, tickets: &[Parked]) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Body<'a> {
        ticket: &'a Ticket,
    }
    let insert = "INSERT INTO parked (body, picture_type, picture) VALUES (?1, ?2, ?3)";
    for (n, Parked { ticket, picture }) in (1..).zip(tickets) {
        let body = json(&Body { ticket })?.into_bytes();
        let kind = picture.as_ref().map(|picture| picture.content_type.as_str());
        let bytes = picture.as_ref().map(|picture| picture.bytes.as_ref());
        let row = values![body, kind, bytes];
        if n % ON_THEIR_WAY == 0 {
            db.execute(insert, row).await?;
        } else {
            db.send(insert, row).await?;
        }
    }
    Ok(())
}

pub(super) async fn unpark(db: &dyn Db, most: u32) -> Result<Vec<Parked>, Error> {
    let take = match db.dialect() {
        // Of many nodes each takes its own.
        Dialect::Postgres => {
            "DELETE FROM parked WHERE ctid = ANY (ARRAY
                 (SELECT ctid FROM parked LIMIT ?1 FOR UPDATE SKIP LOCKED))
             RETURNING 0 AS place, body, picture_type, picture"
        }
        // The one writer has the table to itself, and need not keep what it takes in another one.
        Dialect::Sqlite => {
            "SELECT rowid AS place, body, picture_type, picture FROM parked ORDER BY rowid LIMIT ?1"
        }
    };
    let mut taken = Vec::new();
    // Nothing would mean that there is no more.
    while taken.is_empty() {
        let rows = db.rows(take, values![most]).await?;
        let Some(last) = rows.last() else { break };
        if db.dialect() == Dialect::Sqlite {
            let last: i64 = last.get("place")?;
            db.send("DELETE FROM parked WHERE rowid <= ?1", values![last]).await?;
        }
        for row in rows {
            match read(row) {
                Ok(parked) => taken.push(parked),
                // Its page asks for a new code, and everybody else goes on.
                Err(error) => {
                    tracing::warn!(name: "parked.unreadable", %error, "one who waited has to begin anew")
                }
            }
        }
    }
    Ok(taken)
}

fn read(mut row: Row) -> Result<Parked, Error> {
    // An earlier saoma wrote the picture there, too.
    let parked: Parked = parsed_bytes(&row.take("body")?.unwrap_or_default())?;
    let picture = match (row.get("picture_type")?, row.take("picture")?) {
        (Some(content_type), Some(bytes)) => Some(Picture { content_type, bytes: bytes.into() }),
        _ => parked.picture,
    };
    Ok(Parked { picture, ..parked })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::{
        super::{Held, Value},
        *,
    };
    use crate::{store::contract::NOW, tickets::contract::ticket};

    /// Counts what is sent to it, and how often it is waited for.
    #[derive(Default)]
    struct Trips {
        sent: AtomicU32,
        waited: AtomicU32,
    }

    #[async_trait::async_trait]
    impl Db for Trips {
        fn dialect(&self) -> Dialect {
            Dialect::Postgres
        }

        async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, Error> {
            self.waited.fetch_add(1, Ordering::Relaxed);
            self.send(sql, params).await.map(|()| 1)
        }

        async fn send(&self, _: &str, _: &[Value]) -> Result<(), Error> {
            self.sent.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        async fn rows(&self, _: &str, _: &[Value]) -> Result<Vec<Row>, Error> {
            Ok(Vec::new())
        }

        async fn hold(&self, _: &[Held<'_>]) -> Result<(), Error> {
            Ok(())
        }
    }

    /// A stop has little time, and the database may be far away.
    #[tokio::test]
    async fn five_hundred_who_wait_are_written_down_in_a_few_trips() {
        let parked = Parked { ticket: ticket("one", NOW), picture: None };
        let trips = Trips::default();
        park(&trips, &vec![parked; 512]).await.unwrap();
        assert_eq!((trips.sent.into_inner(), trips.waited.into_inner()), (512, 8));
    }
}
