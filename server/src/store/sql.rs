//! What a store keeps, in SQL: every statement stands here once, and SQLite and PostgreSQL run it.
//!
//! Statements are written in what both understand: `?1` for a parameter, `->>` for a field of JSON, TRUE and FALSE. Where
//! they differ, [`Dialect`] tells which it is. SQLite has one writer; in PostgreSQL several transactions go on at once and
//! each statement sees what was committed before it began, so that what may happen only once is a statement that names the
//! state it expects, and what must not meet another of its kind asks [`Db::hold`] first.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::Error;
use crate::{metrics::Times, world::Stopwatch};

mod account;
mod admissions;
mod aging;
mod audit_log;
mod console;
#[cfg(test)]
pub(super) mod contract;
mod counts;
mod decisions;
mod import;
mod keys;
mod logins;
mod operator;
mod parked;
mod people;
mod phones;
mod rows;
mod sites;
mod store;
mod tokens;
mod value;

pub(super) use value::{Columns, Row, Value, values};

/// Which database it is, where their words differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The entries of the JSON list that is the first parameter, each as `value`.
    fn each(self) -> &'static str {
        match self {
            Self::Sqlite => "json_each(?1)",
            Self::Postgres => "jsonb_array_elements_text(?1) AS each (value)",
        }
    }

    /// How many steps of the schema the database has taken, as the column `schema`.
    fn schema(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT user_version AS schema FROM pragma_user_version",
            Self::Postgres => "SELECT n AS schema FROM schema_version",
        }
    }

    /// Whether the person `p` is in the group that this parameter names.
    fn in_group(self, group: &str) -> String {
        let groups = match self {
            Self::Sqlite => "json_each(p.groups)",
            Self::Postgres => "jsonb_array_elements_text(p.groups) AS g (value)",
        };
        format!("EXISTS (SELECT 1 FROM {groups} WHERE value = {group})")
    }
}

/// A conversation with a database: a writer's transaction, or a reader's look. Statements run in the order in which their
/// futures are first polled: those that are joined go to PostgreSQL together, and what one of them holds or writes the next
/// one sees.
#[async_trait]
pub(super) trait Db: Send + Sync {
    fn dialect(&self) -> Dialect;

    /// Runs a statement, and says how many rows it touched.
    async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, Error>;

    /// Runs a statement whose answer nobody needs. PostgreSQL is not waited for, so that this costs no trip: an error comes
    /// from what is asked next, and at the latest from the commit.
    async fn send(&self, sql: &str, params: &[Value]) -> Result<(), Error> {
        self.execute(sql, params).await.map(drop)
    }

    /// Runs a statement that gives rows.
    async fn rows(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error>;

    /// Waits until no other transaction holds any of these names, and holds them until this one ends. Who holds some
    /// already may ask for more only of a kind that sorts after them: [`Held`] says the order.
    async fn hold(&self, names: &[Held<'_>]) -> Result<(), Error>;
}

/// What a transaction can keep others away from. Held in this order, so that no two wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Held<'a> {
    /// Who the first owner is.
    Ownership,
    /// Everything under one unionid.
    Unionid(&'a str),
    /// One identity: appid and openid.
    Identity(&'a str, &'a str),
    /// One person, by id.
    Person(&'a str),
    /// All tokens that came of one code.
    Family(&'a [u8]),
}

/// What is said beside a server of a database that is not of this very saoma.
pub const OTHER_VERSION: &str = "it is of another version than the server's last start";

/// Whether a database that has taken so many steps of the schema is of this very saoma, which knows `known` of them.
pub(super) fn is_of_this_version(taken: usize, known: usize) -> Result<(), Error> {
    if taken == known {
        return Ok(());
    }
    Err(Error::Unusable(format!(
        "the database has schema {taken}, this saoma knows {known}: {OTHER_VERSION}"
    )))
}

/// Whether it can be brought up to date: nobody knows what a newer saoma has made of it.
pub(super) fn is_not_newer(taken: usize, known: usize) -> Result<(), Error> {
    if taken <= known {
        return Ok(());
    }
    Err(Error::Unusable(format!(
        "the database has schema {taken}, this saoma knows {known}: install the newer saoma again, or restore a backup"
    )))
}

/// The steps of the schema that a database has not taken yet. Each is told of as its turn comes: with years of rows one may
/// take minutes, and who waits for the start should see that it goes on.
pub(super) fn steps_after(
    taken: usize,
    all: &'static [&'static str],
) -> impl Iterator<Item = &'static str> {
    (1..).zip(all).skip(taken).map(move |(step, sql)| {
        // Of a database that is being made there is nothing to wait for.
        if taken > 0 {
            tracing::info!(name: "schema.step", step, of = all.len(), "the database is brought up to date");
        }
        *sql
    })
}

/// Whether a database that had a schema of this saoma's when it was opened still has it.
pub(super) fn has_not_moved_on(taken: usize, known: usize) -> Result<(), Error> {
    if taken <= known { Ok(()) } else { Err(Error::MovedOn(taken, known)) }
}

/// Whether what is written arrives. A database that answers may have no room left, or let nobody write. After a write that
/// failed, and before the first, nobody knows.
#[derive(Default)]
pub(super) struct Writes {
    arrive: AtomicBool,
}

impl Writes {
    /// Hears how a write ended.
    pub(super) fn ended<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        // Who comes a moment too late is refused by a store that writes.
        if matches!(done, Err(Error::Away(_))) {
            self.arrive.store(false, Ordering::Relaxed);
        }
        done
    }

    /// Where nobody knows, does this write to find out: an idle database is not written to.
    async fn arrive(&self, write: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        if !self.arrive.load(Ordering::Relaxed) {
            write.await?;
            self.arrive.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// A database that runs the statements of this room.
#[async_trait]
pub(super) trait Database: Send + Sync + 'static {
    /// Runs `work` in a transaction; what it wrote is durable when this returns, or none of it is there. As soon as it is,
    /// who committed does `then`, at once and before the caller wakes.
    async fn commit<T, W, N>(&self, work: W, then: N) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a dyn Db) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
        N: FnOnce(&T, Stopwatch) + Send + 'static;

    /// The same, where nothing is to be done at once.
    async fn write<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a dyn Db) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
    {
        self.commit(work, |_, _| {}).await
    }

    /// Runs `work`, which is one statement and so needs no transaction around it; durable when this returns.
    async fn write_one<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a dyn Db) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
    {
        self.write(work).await
    }

    /// Leaves nothing behind of what was overwritten, as far as this is in the database's hands.
    async fn sweep(&self) -> Result<(), Error> {
        Ok(())
    }

    /// How many steps of the schema there are.
    fn steps(&self) -> usize;

    /// How long its work takes.
    fn times(&self) -> &Times;

    /// Whether its writes arrive.
    fn writes(&self) -> &Writes;

    /// Looks at what the database stands on, where that is on this machine: reading goes on without it.
    fn stands(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Runs `look`, which finds a few rows by their keys.
    async fn look<T, W>(&self, look: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a dyn Db) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
    {
        self.read(look).await
    }

    /// Runs `look`, which changes nothing and may take its time.
    async fn read<T, W>(&self, look: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a dyn Db) -> BoxFuture<'a, Result<T, Error>> + Send + 'static;
}
