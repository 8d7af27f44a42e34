//! PostgreSQL: what is kept for good where several nodes share it.
//!
//! A pool of connections; each piece of work is one transaction at READ COMMITTED. A commit is on the disk before it is
//! told (`synchronous_commit` is never left off). Nothing waits for ever: a server that is slow, frozen or gone is an error
//! within seconds, and the caller says "try again".

use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut as _, BytesMut};
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, QueueMode, RecyclingMethod,
    Runtime,
};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join, ready},
};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};
use tokio_postgres::{
    NoTls, Statement,
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::Instrument as _;

use super::{
    Error,
    sql::{
        Columns, Database, Db, Dialect, Held, Row, Value, Writes, is_not_newer, is_of_this_version,
        steps_after,
    },
};
use crate::{metrics::Times, secret::Hashed, world::Stopwatch};

mod address;
#[cfg(test)]
mod upgrade;

/// Every step of the schema, in order; `schema_version` remembers how many the database has taken. What is kept as JSON is
/// part of it: another shape takes a step, if only a comment (`store/shapes.rs`).
const MIGRATIONS: &[&str] = &[
    include_str!("postgres/0001.sql"),
    include_str!("postgres/0002.sql"),
    include_str!("postgres/0003.sql"),
    include_str!("postgres/0004.sql"),
    include_str!("postgres/0005.sql"),
    include_str!("postgres/0006.sql"),
];

/// Connections of one node. PostgreSQL allows a hundred in all unless it is told otherwise.
const CONNECTIONS: usize = 16;

/// How long a connection may take to be had.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a piece of work may take; the server gives up a little earlier by itself.
const LIMIT: Duration = Duration::from_secs(6);

/// What every connection is set to: nobody who has died or sleeps holds a lock for long, a commit is durable, and what is as
/// it should be ("already exists, skipping") is no line of the log.
const SESSION: &str = "SET statement_timeout = '5s'; SET idle_in_transaction_session_timeout = '8s';
    SET client_min_messages = 'warning';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// Names the lock under which the schema is changed, among all that use this database.
const SCHEMA_LOCK: i64 = 0x7361_6f6d_6100;

/// A PostgreSQL database.
pub struct Postgres {
    pool: Pool,
    times: Times,
    writes: Writes,
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        // The detail of a database's error quotes rows, and those hold names of people.
        let said = error.as_db_error().map(|db| format!("{} ({})", db.message(), db.code().code()));
        let cause = || std::error::Error::source(&error).map(ToString::to_string);
        Self::Away(said.or_else(cause).unwrap_or_else(|| error.to_string()))
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                error.into()
            }
            PoolError::Timeout(_) => {
                Self::Away("PostgreSQL gives no connection in time".to_owned())
            }
            other => Self::Away(other.to_string()),
        }
    }
}

impl Postgres {
    /// Opens the database of this URL, and brings its schema up to date.
    ///
    /// # Errors
    /// If the URL cannot be used, the server not be reached, or the schema was made by a newer saoma.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let store = Self::of(pool(url)?);
        store.migrate().await?;
        Ok(store)
    }

    /// Whether a database could be asked for by this URL; nobody is asked.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(url: &str) -> Result<(), Error> {
        address::parse(url).map(drop)
    }

    /// Opens a database beside servers that may be running on it, and changes no schema.
    ///
    /// # Errors
    /// If it cannot be reached, or its schema is of another version of saoma.
    pub async fn beside(url: &str) -> Result<Self, Error> {
        let store = Self::of(pool(url)?);
        let client = store.pool.get().await?;
        let table = "SELECT to_regclass('schema_version') IS NOT NULL";
        let taken: i64 = if client.query_one(table, &[]).await?.try_get(0)? {
            client.query_one("SELECT n FROM schema_version", &[]).await?.try_get(0)?
        } else {
            0
        };
        drop(client);
        is_of_this_version(usize::try_from(taken).unwrap_or(usize::MAX), MIGRATIONS.len())?;
        Ok(store)
    }

    fn of(pool: Pool) -> Self {
        Self { pool, times: Times::default(), writes: Writes::default() }
    }

    /// Nodes that start together take turns; a step is taken whole or not at all.
    async fn migrate(&self) -> Result<(), Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute("SET LOCAL statement_timeout = 0").await?;
        transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&SCHEMA_LOCK]).await?;
        transaction
            .batch_execute(
                "CREATE TABLE IF NOT EXISTS schema_version (n BIGINT NOT NULL);
                 INSERT INTO schema_version SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM schema_version)",
            )
            .await?;
        let taken: i64 =
            transaction.query_one("SELECT n FROM schema_version", &[]).await?.try_get(0)?;
        let known = MIGRATIONS.len();
        let taken = usize::try_from(taken).unwrap_or(usize::MAX);
        is_not_newer(taken, known)?;
        for step in steps_after(taken, MIGRATIONS) {
            transaction.batch_execute(step).await?;
        }
        let known = i64::try_from(known).unwrap_or(i64::MAX);
        transaction.execute("UPDATE schema_version SET n = $1", &[&known]).await?;
        Ok(transaction.commit().await?)
    }
}

fn pool(url: &str) -> Result<Pool, Error> {
    let (mut config, tls) = address::parse(url)?;
    if config.get_application_name().is_none() {
        config.application_name("saoma");
    }
    // Where the other side is gone without a word the kernel says so within seconds, and not after a quarter of an hour.
    config.connect_timeout(PATIENCE).tcp_user_timeout(LIMIT);
    config.keepalives_idle(Duration::from_secs(10)).keepalives_interval(PATIENCE);
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = match tls {
        Some(tls) => Manager::from_config(config, MakeRustlsConnect::new(tls), recycling),
        None => Manager::from_config(config, NoTls, recycling),
    };
    Pool::builder(manager)
        .max_size(CONNECTIONS)
        // Few are warm rather than all lukewarm: one that was just used has its statements prepared and planned.
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(PATIENCE))
        .create_timeout(Some(PATIENCE))
        .recycle_timeout(Some(PATIENCE))
        .post_create(Hook::async_fn(|client, _| {
            Box::pin(async move { client.batch_execute(SESSION).await.map_err(HookError::Backend) })
        }))
        .build()
        .map_err(|error| Error::Away(error.to_string()))
}

#[async_trait]
impl Database for Postgres {
    fn steps(&self) -> usize {
        MIGRATIONS.len()
    }

    fn times(&self) -> &Times {
        &self.times
    }

    fn writes(&self) -> &Writes {
        &self.writes
    }

    async fn commit<T, W, N>(&self, work: W, then: N) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a dyn Db) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
        N: FnOnce(&T, Stopwatch) + Send + 'static,
    {
        self.writes.ended(self.committed(work, then).await)
    }

    /// A statement by itself is a transaction: two trips fewer.
    async fn write_one<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a dyn Db) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
    {
        self.writes.ended(self.bare("write", tracing::debug_span!("store.write"), work).await)
    }

    async fn read<T, W>(&self, look: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a dyn Db) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
    {
        self.bare("read", tracing::debug_span!("store.read"), look).await
    }
}

impl Postgres {
    async fn committed<T>(
        &self,
        work: impl for<'a> FnOnce(&'a dyn Db) -> BoxFuture<'a, Result<T, Error>>,
        then: impl FnOnce(&T, Stopwatch),
    ) -> Result<T, Error> {
        let watch = Stopwatch::start();
        let client = self.pool.get().await?;
        let whole = async {
            let mut undo = Undo(Some(&client));
            let talk = Talk::new(&client);
            talk.begin().await?;
            let value = work(&talk).await?;
            undo.0 = None;
            talk.commit().await?;
            then(&value, Stopwatch::start());
            Ok(value)
        };
        let done = timeout(LIMIT, whole).instrument(tracing::debug_span!("store.write")).await;
        self.times.took("write", watch.elapsed());
        in_time(done, client)
    }

    /// Runs statements without a transaction around them.
    async fn bare<T>(
        &self,
        kind: &'static str,
        span: tracing::Span,
        work: impl for<'a> FnOnce(&'a dyn Db) -> BoxFuture<'a, Result<T, Error>>,
    ) -> Result<T, Error> {
        let watch = Stopwatch::start();
        let client = self.pool.get().await?;
        let whole = async {
            let talk = Talk::new(&client);
            let result = work(&talk).await?;
            talk.heard().await?;
            Ok(result)
        };
        let done = timeout(LIMIT, whole).instrument(span).await;
        self.times.took(kind, watch.elapsed());
        in_time(done, client)
    }
}

/// What was done within its time. A connection that did not answer is not used again.
fn in_time<T>(
    done: Result<Result<T, Error>, tokio::time::error::Elapsed>,
    client: Object,
) -> Result<T, Error> {
    done.unwrap_or_else(|_| {
        drop(Object::take(client));
        Err(Error::Away("PostgreSQL does not answer in time".to_owned()))
    })
}

/// Rolls a transaction back that comes to no commit: it failed, or who wanted it has gone away.
struct Undo<'a>(Option<&'a Object>);

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if let Some(client) = self.0 {
            // Sent at the first poll, and before whatever the connection is used for next.
            let _ = client.batch_execute("ROLLBACK").now_or_never();
        }
    }
}

/// The answer to a statement, on its way.
type Answer<'a> = BoxFuture<'a, Result<(), tokio_postgres::Error>>;

/// What is said on a connection. PostgreSQL answers in the order in which it is asked, so that nobody needs to wait for one
/// answer before asking the next.
struct Talk<'a> {
    client: &'a Object,
    /// Answers that nobody has heard yet. Locked by whose turn it is to ask: a statement that is not prepared yet is not
    /// overtaken.
    unheard: Mutex<Vec<Answer<'a>>>,
}

impl<'a> Talk<'a> {
    fn new(client: &'a Object) -> Self {
        Self { client, unheard: Mutex::default() }
    }

    async fn begin(&self) -> Result<(), Error> {
        let client = self.client;
        let begun = Box::pin(client.batch_execute("BEGIN"));
        Ok(sent(&mut *self.unheard.lock().await, begun)?)
    }

    async fn commit(&self) -> Result<(), Error> {
        self.answer(self.unheard.lock().await, self.client.batch_execute("COMMIT")).await
    }

    /// Waits for every answer that is on its way.
    async fn heard(&self) -> Result<(), Error> {
        self.answer(self.unheard.lock().await, ready(Ok(()))).await
    }

    /// A statement as it was prepared before, or is now. What was asked before it and failed is why it cannot be.
    async fn prepared(&self, turn: &mut Vec<Answer<'a>>, sql: &str) -> Result<Statement, Error> {
        let prepared = self.client.prepare_cached(&dollars(sql)).await;
        if prepared.is_err() {
            hear(std::mem::take(turn)).await?;
        }
        Ok(prepared?)
    }

    /// The answer to what `asking` sends at its first poll, which is now. All answers before it have come when it comes: the
    /// first error is the one that counts, the others only say that there was one.
    async fn answer<T>(
        &self,
        mut turn: MutexGuard<'_, Vec<Answer<'a>>>,
        asking: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        let before = async {
            let before = std::mem::take(&mut *turn);
            drop(turn);
            hear(before).await
        };
        let (answer, before) = join(asking, before).await;
        before?;
        Ok(answer?)
    }
}

/// Waits for these answers; the first error is the one that counts.
async fn hear(answers: Vec<Answer<'_>>) -> Result<(), tokio_postgres::Error> {
    for answer in answers {
        answer.await?;
    }
    Ok(())
}

/// Sends what a future sends at its first poll, and keeps it until its answer is heard.
fn sent<'a>(
    unheard: &mut Vec<Answer<'a>>,
    mut asking: Answer<'a>,
) -> Result<(), tokio_postgres::Error> {
    match (&mut asking).now_or_never() {
        Some(answer) => answer,
        None => {
            unheard.push(asking);
            Ok(())
        }
    }
}

#[async_trait]
impl Db for Talk<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        let mut turn = self.unheard.lock().await;
        let statement = self.prepared(&mut turn, sql).await?;
        self.answer(turn, self.client.execute(&statement, &given(params))).await
    }

    async fn send(&self, sql: &str, params: &[Value]) -> Result<(), Error> {
        let mut turn = self.unheard.lock().await;
        let (client, statement) = (self.client, self.prepared(&mut turn, sql).await?);
        let params = params.to_vec();
        let asking = async move { client.execute(&statement, &given(&params)).await.map(drop) };
        Ok(sent(&mut turn, Box::pin(asking))?)
    }

    async fn rows(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let mut turn = self.unheard.lock().await;
        let statement = self.prepared(&mut turn, sql).await?;
        let found = self.answer(turn, self.client.query(&statement, &given(params))).await?;
        let names = statement.columns().iter().map(|column| column.name().to_owned());
        let columns: Columns = names.collect();
        let row = |row: &tokio_postgres::Row| {
            let values = (0..row.len()).map(|at| row.try_get(at)).collect::<Result<_, _>>()?;
            Ok(Row::new(columns.clone(), values))
        };
        found.iter().map(row).collect()
    }

    async fn hold(&self, names: &[Held<'_>]) -> Result<(), Error> {
        let mut names = names.to_vec();
        names.sort_unstable();
        names.dedup();
        for name in names {
            self.send("SELECT pg_advisory_xact_lock(?1)", &[Value::Integer(number(name))]).await?;
        }
        Ok(())
    }
}

/// The parameters of a statement in PostgreSQL's words. No statement of ours has a question mark but for them.
fn dollars(sql: &str) -> String {
    sql.replace('?', "$")
}

fn given(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// The number by which a name is locked. Two names of one number wait for each other in vain, once in 2^64.
fn number(name: Held<'_>) -> i64 {
    let hash = match name {
        Held::Ownership => Hashed::of("ownership"),
        Held::Unionid(unionid) => Hashed::of(format!("unionid {unionid}")),
        Held::Identity(appid, openid) => Hashed::of(format!("identity {appid} {openid}")),
        Held::Person(id) => Hashed::of(format!("person {id}")),
        Held::Family(family) => Hashed::of([b"family ", family].concat()),
    };
    let first = hash.as_bytes().first_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(first)
}

/// As the statement wants it: its types are the columns', which the schema gives.
impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self, ty) {
            (Self::Null, _) => return Ok(IsNull::Yes),
            (Self::Integer(n), &Type::INT8) => out.put_i64(*n),
            (Self::Integer(n), &Type::INT4) => out.put_i32(i32::try_from(*n)?),
            (Self::Integer(n), &Type::BOOL) => out.put_u8(u8::from(*n != 0)),
            // The version of the format, before the text.
            (Self::Text(text), &Type::JSONB) => {
                out.put_u8(1);
                out.put_slice(text.as_bytes());
            }
            (Self::Text(text), _) => out.put_slice(text.as_bytes()),
            (Self::Blob(bytes), &Type::BYTEA) => out.put_slice(bytes),
            (Self::Integer(_) | Self::Blob(_), ty) => {
                return Err(format!("a parameter is wanted as {ty}").into());
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(
        ty: &Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match *ty {
            Type::INT8 => Self::Integer(i64::from_sql(ty, raw)?),
            Type::INT4 => Self::Integer(i32::from_sql(ty, raw)?.into()),
            Type::BOOL => Self::Integer(bool::from_sql(ty, raw)?.into()),
            Type::BYTEA => Self::Blob(raw.to_vec()),
            Type::JSONB => {
                Self::Text(String::from_utf8(raw.get(1..).unwrap_or_default().to_vec())?)
            }
            _ => Self::Text(String::from_utf8(raw.to_vec())?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        const KNOWN: [Type; 8] = [
            Type::INT8,
            Type::INT4,
            Type::BOOL,
            Type::BYTEA,
            Type::JSONB,
            Type::TEXT,
            Type::VARCHAR,
            Type::NAME,
        ];
        KNOWN.contains(ty)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::{
        super::{Store as _, sql::contract},
        *,
    };
    use crate::servers::PostgresServer;

    #[tokio::test(flavor = "multi_thread")]
    async fn postgres_keeps_the_contract() {
        let server = PostgresServer::starts();
        let n = AtomicU32::new(0);
        contract::holds(async || {
            let name = format!("t{}", n.fetch_add(1, Ordering::Relaxed));
            Postgres::open(&server.database(&name)).await.unwrap()
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_commit_is_durable_whatever_the_database_is_set_to() {
        let server = PostgresServer::starts();
        let url = server.database("saoma");
        // What waits for less than this machine's disk is mended; what waits for another machine, too, is left.
        for (set, kept) in [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")] {
            let store = Postgres::open(&url).await.unwrap();
            let set = format!("ALTER DATABASE saoma SET synchronous_commit = {set}");
            store.write(move |db| Box::pin(async move { db.send(&set, &[]).await })).await.unwrap();
            let store = Postgres::open(&url).await.unwrap();
            let said = store.write(|db| Box::pin(db.rows("SHOW synchronous_commit", &[])));
            let said: String = said.await.unwrap()[0].get("synchronous_commit").unwrap();
            assert_eq!(said, kept);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_spoken_to_by_tls_and_comes_back_after_a_stop() {
        let mut server = PostgresServer::starts();
        let url = server.database("saoma");
        let trusted =
            format!("{url}?sslmode=verify-full&sslrootcert={}", server.certificate().display());
        let store = Postgres::open(&trusted).await.unwrap();
        store.ping().await.unwrap();
        let untrusted = Postgres::open(&format!("{url}?sslmode=verify-full")).await;
        assert!(untrusted.is_err(), "nobody vouches for its certificate");
        server.stops();
        assert!(store.ping().await.is_err());
        server.starts_again();
        store.ping().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_goes_away_in_the_middle_leaves_nothing_and_the_connection_as_it_was() {
        let server = PostgresServer::starts();
        let store = Postgres::open(&server.database("saoma")).await.unwrap();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let write = store.write(|db| {
            Box::pin(async {
                db.execute("UPDATE revision SET n = 99", &[]).await?;
                begun.send(()).unwrap();
                std::future::pending::<Result<(), Error>>().await
            })
        });
        tokio::select! {
            _ = write => unreachable!("it waits for ever"),
            begun = has_begun => begun.unwrap(),
        }
        let connections = store.pool.status().size;
        let before = store.revision().await.unwrap();
        store.write(|db| Box::pin(db.send("UPDATE revision SET n = n + 1", &[]))).await.unwrap();
        assert_eq!((before, store.revision().await.unwrap()), (0, 1));
        assert_eq!(store.pool.status().size, connections, "the same one went on");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_first_error_is_the_one_that_is_told() {
        let server = PostgresServer::starts();
        let store = Postgres::open(&server.database("saoma")).await.unwrap();
        let failed = store.write(|db| {
            Box::pin(async {
                db.send("INSERT INTO server_secrets VALUES ('n', 'x'), ('n', 'y')", &[]).await?;
                db.rows("SELECT 'a statement that nobody prepared before'", &[]).await
            })
        });
        let told = failed.await.unwrap_err().to_string();
        assert!(told.contains("server_secrets_pkey"), "{told}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nodes_that_start_together_make_one_schema() {
        let server = PostgresServer::starts();
        let url = server.database("saoma");
        assert!(Postgres::beside(&url).await.is_err(), "nothing is there yet");
        let started = futures_util::future::join_all((0..8).map(|_| Postgres::open(&url))).await;
        for store in started {
            store.unwrap().ping().await.unwrap();
        }
        let store = Postgres::beside(&url).await.unwrap();
        let newer = store.write(|db| Box::pin(db.execute("UPDATE schema_version SET n = 99", &[])));
        newer.await.unwrap();
        let refused = Postgres::open(&url).await.err().unwrap().to_string();
        assert!(refused.contains("schema 99"), "{refused}");
        assert!(Postgres::beside(&url).await.is_err());
    }
}
