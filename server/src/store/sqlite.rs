//! SQLite: the embedded default.
//!
//! One thread writes. It takes whatever has gathered, runs each piece in a savepoint, commits once with
//! `synchronous=FULL`, and only then answers: many decisions share one trip to the disk, and none is told before it is
//! safe. Readers have connections of their own; WAL lets them go on while the writer writes.

use std::{
    collections::HashMap,
    io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc::Sender},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{FutureExt as _, future::BoxFuture};
use rusqlite::{
    Connection, OpenFlags, Statement, ToSql,
    config::DbConfig,
    types::{ToSqlOutput, ValueRef},
};
use tokio::sync::{Semaphore, oneshot};
use tracing::Instrument as _;

use super::{
    Error,
    sql::{
        Columns, Database, Db, Dialect, Held, Row, Value, Writes, is_not_newer, is_of_this_version,
        steps_after,
    },
};
use crate::{metrics::Times, world::Stopwatch};

use writer::Job;

pub mod backup;
#[cfg(test)]
pub(super) mod upgrade;
mod writer;

/// Every step of the schema, in order; the database remembers in `user_version` how many it has taken. What is kept as JSON
/// is part of it: another shape takes a step, if only a comment (`store/shapes.rs`).
const MIGRATIONS: &[&str] = &[
    include_str!("sqlite/0001.sql"),
    include_str!("sqlite/0002.sql"),
    include_str!("sqlite/0003.sql"),
    include_str!("sqlite/0004.sql"),
    include_str!("sqlite/0005.sql"),
    include_str!("sqlite/0006.sql"),
    include_str!("sqlite/0007.sql"),
    include_str!("sqlite/0008.sql"),
    include_str!("sqlite/0009.sql"),
];

/// How many readers may look at once.
const READERS: usize = 4;

/// How many statements a connection keeps as it parsed them.
const STATEMENTS: usize = 256;

/// A SQLite database.
pub struct Sqlite {
    writer: Sender<Job>,
    readers: Arc<Readers>,
    times: Times,
    writes: Writes,
    /// Which file was opened.
    file: FileId,
}

struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Handle>>,
    free: Semaphore,
}

/// A connection as statements see it. One piece of work has it at a time; the locks only let it be named by a future.
struct Handle {
    connection: Mutex<Connection>,
    /// The names of the columns of statements that were asked before: SQLite measures each name anew whenever it is asked.
    columns: Mutex<HashMap<String, Columns>>,
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Away(error.to_string())
    }
}

impl Sqlite {
    /// Opens the database, makes it if it is not there, and brings its schema up to date.
    ///
    /// # Errors
    /// If the file cannot be opened or written, was made by a newer saoma, or is another application's.
    pub fn open(path: &Path) -> Result<Self, Error> {
        keep_private(path)?;
        is_ours(path)?;
        let mut connection = connect(path, OpenFlags::default())?;
        migrate(&mut connection, MIGRATIONS)?;
        Self::of(path, connection)
    }

    /// Opens a database that is there, beside a server that may be running on it, and changes no schema; none if there is
    /// no such file.
    ///
    /// # Errors
    /// If the file cannot be opened or written, or is of another version of saoma.
    pub fn beside(path: &Path) -> Result<Option<Self>, Error> {
        if !path.exists() {
            return Ok(None);
        }
        keep_private(path)?;
        is_ours(path)?;
        let connection = connect(path, OpenFlags::default())?;
        let taken: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        is_of_this_version(usize::try_from(taken).unwrap_or(usize::MAX), MIGRATIONS.len())?;
        Self::of(path, connection).map(Some)
    }

    fn of(path: &Path, connection: Connection) -> Result<Self, Error> {
        let beside = connect(path, OpenFlags::default())?;
        let writer = writer::start(connection.into(), beside.into())?;
        let readers = Readers {
            path: path.to_owned(),
            idle: Mutex::default(),
            free: Semaphore::new(READERS),
        };
        let file = file_id(path)
            .map_err(|error| Error::Unusable(format!("{}: {error}", path.display())))?;
        let (times, writes) = (Times::default(), Writes::default());
        Ok(Self { writer, readers: Arc::new(readers), times, writes, file })
    }
}

#[async_trait]
impl Database for Sqlite {
    fn steps(&self) -> usize {
        MIGRATIONS.len()
    }

    fn times(&self) -> &Times {
        &self.times
    }

    fn writes(&self) -> &Writes {
        &self.writes
    }

    fn stands(&self) -> Result<(), Error> {
        stands(&self.readers.path, self.file)
    }

    async fn commit<T, W, N>(&self, work: W, then: N) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a dyn Db) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
        N: FnOnce(&T, Stopwatch) + Send + 'static,
    {
        self.writes.ended(self.written(|handle| handle.in_savepoint(work), then).await)
    }

    /// A statement that fails takes back its own: a savepoint would only copy each page that it touches.
    async fn write_one<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a dyn Db) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
    {
        self.writes.ended(self.written(|handle| at_once(work(handle)), |_, _| {}).await)
    }

    /// The log holds each page as it was, until it begins anew.
    async fn sweep(&self) -> Result<(), Error> {
        let path = self.readers.path.clone();
        let swept = tokio::task::spawn_blocking(move || {
            let connection = connect(&path, OpenFlags::default())?;
            // Where somebody reads or writes all the while, it begins anew later.
            let brought = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            brought.map_err(Error::from)
        });
        swept.await.map_err(|error| Error::Away(error.to_string()))?
    }

    async fn read<T, W>(&self, look: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a dyn Db) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
    {
        let watch = Stopwatch::start();
        let readers = self.readers.clone();
        let stopped = |_| Error::Away("the readers have stopped".to_owned());
        let _place = self.readers.free.acquire().await.map_err(stopped)?;
        let span = tracing::debug_span!("store.read");
        let looked = tokio::task::spawn_blocking(move || readers.with(look)).instrument(span).await;
        self.times.took("read", watch.elapsed());
        looked.map_err(|error| Error::Away(error.to_string()))?
    }

    /// Right here. It takes some microseconds, less than the way to another thread and back, and where a page of the file is
    /// not in memory, as long as it takes to come in. Nobody's writing is in the way: readers of a WAL wait for no writer.
    async fn look<T, W>(&self, look: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a dyn Db) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
    {
        let watch = Stopwatch::start();
        let looked = self.readers.with(look);
        self.times.took("read", watch.elapsed());
        looked
    }
}

impl Sqlite {
    /// Has the writer do this, commit it and do `then`, and waits for that.
    async fn written<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Handle) -> Result<T, Error> + Send + 'static,
        then: impl FnOnce(&T, Stopwatch) + Send + 'static,
    ) -> Result<T, Error> {
        let watch = Stopwatch::start();
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |handle| {
            let result = handle.and_then(work);
            Box::new(move |committed| {
                let done = committed.and_then(|since| {
                    let value = result?;
                    // It stands whatever becomes of those who are told.
                    let _ = panic::catch_unwind(AssertUnwindSafe(|| then(&value, since)));
                    Ok(value)
                });
                // Who asked may have gone away; the work stands all the same.
                let _ = answer.send(done);
            })
        });
        self.writer.send(job).map_err(|_| Error::Away("the writer has stopped".to_owned()))?;
        let span = tracing::debug_span!("store.write");
        let answer = answered
            .instrument(span)
            .await
            .map_err(|_| Error::Away("the writer has stopped".to_owned()))?;
        self.times.took("write", watch.elapsed());
        answer
    }
}

impl Readers {
    fn with<T>(
        &self,
        look: impl for<'a> FnOnce(&'a dyn Db) -> BoxFuture<'a, Result<T, Error>>,
    ) -> Result<T, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let handle = match idle {
            Some(handle) => handle,
            None => Handle::from(connect(&self.path, flags)?),
        };
        let result = at_once(look(&handle));
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        result
    }
}

/// SQLite answers where it is asked: work on it never waits. A panic costs its own work and no other, since everybody's
/// hangs on the writer's thread; the panic's hook has logged it.
fn at_once<T>(work: BoxFuture<'_, Result<T, Error>>) -> Result<T, Error> {
    let failed = |why: &str| Err(Error::Away(format!("work on SQLite {why}")));
    match panic::catch_unwind(AssertUnwindSafe(|| work.now_or_never())) {
        Ok(Some(done)) => done,
        Ok(None) => failed("waited"),
        Err(_) => failed("panicked"),
    }
}

impl From<Connection> for Handle {
    fn from(connection: Connection) -> Self {
        Self { connection: Mutex::new(connection), columns: Mutex::default() }
    }
}

impl Handle {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn columns_of(&self, sql: &str, statement: &Statement<'_>) -> Columns {
        let mut known = self.columns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(columns) = known.get(sql) {
            return columns.clone();
        }
        if known.len() >= STATEMENTS {
            // Some are made up as they are asked.
            known.clear();
        }
        let columns: Columns = statement.column_names().map(ToOwned::to_owned).collect();
        known.insert(sql.to_owned(), columns.clone());
        columns
    }

    /// Runs a statement that gives nothing and was parsed before.
    fn run(&self, sql: &str) -> Result<(), Error> {
        self.connection().prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    fn in_savepoint<T>(
        &self,
        work: impl for<'a> FnOnce(&'a dyn Db) -> BoxFuture<'a, Result<T, Error>>,
    ) -> Result<T, Error> {
        self.run("SAVEPOINT job")?;
        let result = at_once(work(self));
        if result.is_err() {
            self.run("ROLLBACK TO job")?;
        }
        self.run("RELEASE job")?;
        result
    }
}

#[async_trait]
impl Db for Handle {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, Error> {
        let connection = self.connection();
        let touched =
            connection.prepare_cached(sql)?.execute(rusqlite::params_from_iter(params))?;
        Ok(u64::try_from(touched).unwrap_or(u64::MAX))
    }

    async fn rows(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(sql)?;
        let columns = self.columns_of(sql, &statement);
        let mut rows = statement.query(rusqlite::params_from_iter(params))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let values = (0..columns.len()).map(|at| value(row.get_ref(at)?));
            found.push(Row::new(columns.clone(), values.collect::<Result<_, _>>()?));
        }
        Ok(found)
    }

    /// The one writer has everything to itself.
    async fn hold(&self, _: &[Held<'_>]) -> Result<(), Error> {
        Ok(())
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(n) => ValueRef::Integer(*n),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn value(column: ValueRef<'_>) -> Result<Value, Error> {
    Ok(match column {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => Value::Integer(n),
        ValueRef::Text(text) => Value::Text(
            std::str::from_utf8(text)
                .map_err(|_| Error::Away("a column holds what is no text".to_owned()))?
                .to_owned(),
        ),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        ValueRef::Real(_) => return Err(Error::Away("no column holds a broken number".to_owned())),
    })
}

/// Makes the file readable to its owner alone before anything is in it: it holds signing keys.
fn keep_private(path: &Path) -> Result<(), Error> {
    let mut file = std::fs::OpenOptions::new();
    file.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    let failed = |error| {
        Error::Unusable(format!(
            "cannot open {}: {error}; is the folder there and may saoma write it?",
            path.display()
        ))
    };
    file.open(path).map(drop).map_err(failed)?;
    #[cfg(unix)]
    stay_in_the_folders_hands(path);
    Ok(())
}

/// A command run by root must not make files that the server, which is somebody else, cannot open.
#[cfg(unix)]
fn stay_in_the_folders_hands(path: &Path) {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = std::fs::metadata(folder.unwrap_or(Path::new(".")));
    if let (Ok(folder), Ok(file)) = (folder, std::fs::metadata(path))
        && file.uid() == 0
        && folder.uid() != 0
    {
        // Who may not has nothing to mend: then the file is their own.
        let _ = chown(path, Some(folder.uid()), Some(folder.gid()));
    }
}

/// Which file it is, whatever its name; where the system has no word for that, all are one.
#[cfg(unix)]
type FileId = (u64, u64);
#[cfg(not(unix))]
type FileId = ();

#[cfg(unix)]
fn file_id(path: &Path) -> io::Result<FileId> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn file_id(path: &Path) -> io::Result<FileId> {
    std::fs::metadata(path).map(drop)
}

/// How much room there must be: what a few sign-ins write.
const ROOM: u64 = 128 * 1024;

/// Whether the file that was opened still stands there, and beside it is room to write. What was taken away, or put in its
/// place, would be seen at the next start, when all that was written since is lost.
fn stands(path: &Path, opened: FileId) -> Result<(), Error> {
    if !file_id(path).is_ok_and(|there| there == opened) {
        return Err(Error::Away(format!(
            "{} is not the file that was opened: it was taken away or another was put there; put it back, or restart saoma",
            path.display()
        )));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if room_in(folder).is_ok_and(|room| room >= ROOM) {
        return Ok(());
    }
    Err(Error::Away(format!(
        "there is no room to write in {}: is the disk full?",
        folder.display()
    )))
}

/// How many bytes fit into a folder. It is asked and not tried out: anybody may ask a server whether it is ready.
#[cfg(unix)]
fn room_in(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    let writable = !disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY);
    Ok(if writable { disk.f_bavail.saturating_mul(disk.f_frsize) } else { 0 })
}

#[cfg(not(unix))]
fn room_in(_: &Path) -> io::Result<u64> {
    Ok(u64::MAX)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Else a statement that a partial index might serve is parsed anew whenever its parameters change.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // NORMAL may lose the last commits in a power cut; a phone has been told of them. What is overwritten or deleted is
    // blanked in its page, which is written anyway: a key that was plain, somebody who wants to be forgotten. And the log
    // does not keep for good the room that a busy hour or an upgrade took.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; \
         PRAGMA secure_delete = FAST; PRAGMA journal_size_limit = 67108864;",
    )?;
    Ok(connection)
}

/// Refuses what another application keeps there, before anything is written into it: a database must be saoma's, or empty.
fn is_ours(path: &Path) -> Result<(), Error> {
    let mut connection = Connection::open(path)?;
    // One look: another saoma may be making all of it at this moment.
    let look = connection.transaction()?;
    let schema: u32 = look.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let one = |sql: &str| look.query_row(sql, [], |row| row.get::<_, u32>(0));
    let ours = if schema == 0 {
        one("SELECT count(*) FROM sqlite_schema WHERE type = 'table'")? == 0
    } else {
        one(OURS)? == 3
    };
    if ours { Ok(()) } else { Err(Error::Unusable(format!("{} {NOT_OURS}", path.display()))) }
}

/// How many it has of three tables that every database of saoma's has.
const OURS: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('persons', 'identities', 'signing_keys')";
const NOT_OURS: &str = "is no database of saoma's";

fn migrate(connection: &mut Connection, all: &'static [&'static str]) -> Result<(), Error> {
    let steps = u32::try_from(all.len()).unwrap_or(u32::MAX);
    if steps == connection.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))? {
        // Nearly every start, which need not wait for the disk.
        return Ok(());
    }
    // To make an index is to sort a table, which may not fit into memory.
    connection.pragma_update(None, "temp_store", "FILE")?;
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let taken: u32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let taken = usize::try_from(taken).unwrap_or(usize::MAX);
    is_not_newer(taken, all.len())?;
    for step in steps_after(taken, all) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", steps)?;
    transaction.commit()?;
    Ok(connection.pragma_update(None, "temp_store", "MEMORY")?)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::{
        super::{
            Store as _,
            sql::{contract, values},
        },
        *,
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn sqlite_keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let n = AtomicU32::new(0);
        contract::holds(async || {
            let n = n.fetch_add(1, Ordering::Relaxed);
            Sqlite::open(&folder.path().join(format!("{n}.db"))).unwrap()
        })
        .await;
    }

    #[tokio::test]
    async fn who_writes_waits_for_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saoma.db");
        drop(Sqlite::open(&path).unwrap());
        for store in [Sqlite::open(&path).unwrap(), Sqlite::beside(&path).unwrap().unwrap()] {
            let look = store.write(|db| Box::pin(db.rows("PRAGMA synchronous", values![])));
            let said: i64 = look.await.unwrap()[0].get("synchronous").unwrap();
            assert_eq!(said, 2, "FULL: a commit is on the disk before anybody is told of it");
        }
    }

    #[tokio::test]
    async fn work_that_fails_takes_back_only_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("saoma.db")).unwrap();
        let insert = |name: &'static str| {
            store.write(move |db| {
                Box::pin(async move {
                    let insert = "INSERT INTO server_secrets VALUES (?1, x'00')";
                    db.execute(insert, values![name]).await?;
                    if name == "bad" { Err(Error::Away("on purpose".to_owned())) } else { Ok(()) }
                })
            })
        };
        let (good, bad, fine) = tokio::join!(insert("good"), insert("bad"), insert("fine"));
        assert!(good.is_ok() && bad.is_err() && fine.is_ok());
        let names = store.read(|db| {
            Box::pin(db.rows("SELECT name FROM server_secrets ORDER BY name", values![]))
        });
        let names: Vec<String> =
            names.await.unwrap().iter().map(|row| row.get("name").unwrap()).collect();
        assert_eq!(names, ["fine", "good"]);
    }

    #[tokio::test]
    async fn a_panic_in_somebodys_work_takes_back_that_work_and_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("saoma.db")).unwrap();
        let insert = "INSERT INTO server_secrets VALUES ('panics', x'00')";
        let panics = store.write(move |db| {
            Box::pin(async move {
                db.execute(insert, values![]).await?;
                if db.dialect() == Dialect::Sqlite { panic!("on purpose") } else { Ok(()) }
            })
        });
        assert!(panics.await.unwrap_err().to_string().contains("panicked"));
        let told = store.commit(
            move |db| Box::pin(async move { db.execute(insert, values![]).await }),
            |_, _| panic!("on purpose"),
        );
        assert_eq!(told.await.unwrap(), 1, "what panicked before has left nothing");
    }

    #[test]
    fn what_another_application_keeps_in_a_file_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.db");
        let notes = Connection::open(&path).unwrap();
        notes.execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
        drop(notes);
        let before = std::fs::read(&path).unwrap();
        for opened in [Sqlite::open(&path).err(), Sqlite::beside(&path).err()] {
            let refused = opened.unwrap().to_string();
            assert!(refused.ends_with("notes.db is no database of saoma's"), "{refused}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
        let notes = Connection::open(&path).unwrap();
        notes.pragma_update(None, "user_version", 3).unwrap();
        assert!(Sqlite::open(&path).is_err(), "it counts its own versions");
    }

    #[tokio::test]
    async fn a_file_that_was_taken_away_or_changed_for_another_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saoma.db");
        let store = Sqlite::open(&path).unwrap();
        store.ping().await.unwrap();
        let away = folder.path().join("away.db");
        std::fs::rename(&path, &away).unwrap();
        assert!(store.ping().await.is_err());
        std::fs::copy(&away, &path).unwrap();
        let said = store.ping().await.unwrap_err().to_string();
        assert!(said.contains("saoma.db is not the file that was opened"), "{said}");
        std::fs::rename(&away, &path).unwrap();
        store.ping().await.unwrap();
    }

    #[test]
    fn a_disk_that_is_full_has_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saoma.db");
        std::fs::write(&path, "").unwrap();
        assert!(stands(&path, file_id(&path).unwrap()).is_ok());
        // Nothing ever fits there.
        let nowhere = Path::new("/proc/version");
        let said = stands(nowhere, file_id(nowhere).unwrap()).unwrap_err().to_string();
        assert!(said.contains("no room to write in /proc") && said.contains("disk full"), "{said}");
    }

    #[test]
    fn a_database_of_a_newer_saoma_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saoma.db");
        drop(Sqlite::open(&path).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let refused = Sqlite::open(&path).err().unwrap().to_string();
        assert!(refused.contains("schema 99"), "{refused}");
    }

    #[tokio::test]
    async fn what_is_over_goes_some_rows_at_a_time_and_what_cannot_go_keeps_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saoma.db");
        let store = Sqlite::open(&path).unwrap();
        let beside = Connection::open(&path).unwrap();
        beside
            .execute_batch(
                "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5000)
                 INSERT INTO phones SELECT CAST(n AS BLOB), 'wx1', 'ann', NULL, n FROM n;
                 INSERT INTO console_links VALUES (x'01', 'console', 1);
                 CREATE TRIGGER stuck BEFORE DELETE ON phones WHEN old.expires = 5000
                 BEGIN SELECT RAISE(ABORT, 'stuck'); END",
            )
            .unwrap();
        let now = crate::world::Timestamp::from_millis(10_000);
        assert!(store.prune(now).await.unwrap_err().to_string().contains("stuck"));
        let left = "SELECT (SELECT count(*) FROM phones), (SELECT count(*) FROM console_links)";
        let left = beside.query_row(left, [], |row| Ok((row.get(0)?, row.get(1)?)));
        assert_eq!(left.unwrap(), (1_000, 0), "the last sheaf, and nothing of what comes after");
    }

    #[test]
    fn the_log_gives_back_its_room() {
        let folder = tempfile::tempdir().unwrap();
        let connection = connect(&folder.path().join("a.db"), OpenFlags::default()).unwrap();
        let limit = connection.query_row("PRAGMA journal_size_limit", [], |row| row.get(0));
        assert_eq!(limit, Ok(64 * 1024 * 1024));
    }

    #[test]
    fn what_has_ended_and_what_was_withdrawn_are_found_by_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saoma.db");
        drop(Sqlite::open(&path).unwrap());
        let connection = connect(&path, OpenFlags::default()).unwrap();
        for (sql, index) in [
            ("SELECT id FROM logins WHERE ended < 9 ORDER BY ended LIMIT 9", "logins_ended"),
            ("DELETE FROM consents WHERE withdrawn < 9", "consents_withdrawn"),
        ] {
            let explain = format!("EXPLAIN QUERY PLAN {sql}");
            let plan = connection.query_row(&explain, [], |row| row.get::<_, String>(3)).unwrap();
            assert!(plan.contains(index), "{plan}");
        }
    }

    #[tokio::test]
    async fn a_parked_row_that_nobody_can_read_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saoma.db");
        let store = Sqlite::open(&path).unwrap();
        let beside = Connection::open(&path).unwrap();
        beside.execute_batch("INSERT INTO parked (body) VALUES (x'7b'), (x'ff')").unwrap();
        let ticket = crate::tickets::contract::ticket("one", crate::store::contract::NOW);
        store.park(vec![crate::tickets::Parked { ticket, picture: None }]).await.unwrap();
        // None would mean that there is no more.
        assert_eq!(store.unpark(2).await.unwrap().len(), 1);
        assert!(store.unpark(2).await.unwrap().is_empty());
    }

    #[test]
    fn an_upgrade_sorts_on_the_disk_and_whoever_works_after_it_in_memory() {
        const STEPS: &[&str] =
            &["CREATE TABLE seen AS SELECT temp_store AS place FROM pragma_temp_store"];
        let folder = tempfile::tempdir().unwrap();
        let mut connection = connect(&folder.path().join("a.db"), OpenFlags::default()).unwrap();
        migrate(&mut connection, STEPS).unwrap();
        let ask = |sql| connection.query_row(sql, [], |row| row.get::<_, u8>(0)).unwrap();
        assert_eq!((ask("SELECT place FROM seen"), ask("PRAGMA temp_store")), (1, 2));
    }

    #[tokio::test]
    async fn an_upgrade_takes_addresses_from_who_asks_and_knows_where_time_has_come_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saoma.db");
        let mut old = connect(&path, OpenFlags::default()).unwrap();
        migrate(&mut old, &MIGRATIONS[..8]).unwrap();
        old.execute_batch(
            "INSERT INTO persons (id, username, since) VALUES ('p', 'u', 1);
             INSERT INTO admissions VALUES ('p', 'blog', 'asked', 1, '{\"name\":\"Firefox\",\"address\":\"192.0.2.1\"}');
             INSERT INTO audit (at, what, detail) VALUES (900, 'test', '{}'), (500, 'test', '{}')",
        )
        .unwrap();
        let store = Sqlite::open(&path).unwrap();
        let kept = "SELECT browser FROM admissions";
        let kept: String = old.query_row(kept, [], |row| row.get(0)).unwrap();
        assert_eq!(kept, r#"{"name":"Firefox","address":"0.0.0.0"}"#);
        let moment = crate::world::Timestamp::from_millis;
        let step = Duration::from_millis(7);
        assert_eq!(store.upkeep(moment(9_000), step).await.unwrap(), moment(507));
        assert_eq!(store.upkeep(moment(510), step).await.unwrap(), moment(510));
        assert_eq!(store.upkeep(moment(100), step).await.unwrap(), moment(100), "set back");
    }
}
