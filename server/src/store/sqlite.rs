//! SQLite: the embedded default.
//!
//! One thread writes. It takes whatever has gathered, runs each piece in a savepoint, commits once with
//! `synchronous=FULL`, and only then answers: many decisions share one trip to the disk, and none is told before it is
//! safe. Readers have connections of their own; WAL lets them go on while the writer writes.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Semaphore, oneshot};

use super::Error;

mod account;
mod admissions;
mod keys;
mod logins;
mod operator;
mod people;
mod rows;
mod sites;
mod store;

/// Every step of the schema, in order; the database remembers in `user_version` how many it has taken.
const MIGRATIONS: &[&str] = &[
    include_str!("sqlite/0001.sql"),
    include_str!("sqlite/0002.sql"),
    include_str!("sqlite/0003.sql"),
];

/// How many readers may look at once.
const READERS: usize = 4;

/// How many pieces of work share one commit at most: beyond this the first would wait for the last.
const BATCH: usize = 256;

/// After how many commits the log is brought into the database. A thread of its own does it, so that nobody who waits for a
/// commit waits for that, too.
const COMMITS: u32 = 256;

/// From how many pages on the writer itself brings in what is left, so that the log can begin anew: while it goes on writing
/// beside the other thread, there is always something left.
const LONG: i64 = 8192;

/// A SQLite database.
pub struct Sqlite {
    writer: Sender<Job>,
    readers: Arc<Readers>,
}

struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    free: Semaphore,
}

/// A piece of work inside the writer's transaction, and what to do once that is committed or lost.
type Job = Box<dyn FnOnce(Result<&Connection, Error>) -> Done + Send>;
type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

impl Sqlite {
    /// Opens the database, makes it if it is not there, and brings its schema up to date.
    ///
    /// # Errors
    /// If the file cannot be opened or written, or was made by a newer saoma.
    pub fn open(path: &Path) -> Result<Self, Error> {
        keep_private(path)?;
        let mut connection = connect(path, OpenFlags::default())?;
        migrate(&mut connection)?;
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
        let connection = connect(path, OpenFlags::default())?;
        let taken: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if usize::try_from(taken).ok() != Some(MIGRATIONS.len()) {
            return Err(Error(format!(
                "the database has schema {taken}, this saoma knows {}: it is of another version than the server's last start",
                MIGRATIONS.len()
            )));
        }
        Self::of(path, connection).map(Some)
    }

    fn of(path: &Path, connection: Connection) -> Result<Self, Error> {
        connection.execute_batch("PRAGMA wal_autocheckpoint = 0")?;
        let (writer, jobs) = channel();
        let (tidy, asked) = sync_channel(1);
        let beside = connect(path, OpenFlags::default())?;
        let is_long = Arc::new(AtomicBool::new(false));
        let tidied = is_long.clone();
        run_aside("sqlite-tidier", move || tidy_all(&beside, &asked, &tidied))?;
        run_aside("sqlite-writer", move || write_all(&connection, &jobs, &tidy, &is_long))?;
        let readers = Readers {
            path: path.to_owned(),
            idle: Mutex::default(),
            free: Semaphore::new(READERS),
        };
        Ok(Self { writer, readers: Arc::new(readers) })
    }

    /// Runs `work` in the writer's transaction; what it wrote is on the disk when this returns, or none of it is.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = connection.and_then(|connection| in_savepoint(connection, work));
            Box::new(move |committed| {
                // Who asked may have gone away; the work stands all the same.
                let _ = answer.send(committed.and(result));
            })
        });
        self.writer.send(job).map_err(|_| Error("the writer has stopped".to_owned()))?;
        answered.await.map_err(|_| Error("the writer has stopped".to_owned()))?
    }

    /// Looks up a few rows by their keys, right here: that takes some microseconds, less than the way to another thread and
    /// back.
    fn look<T>(&self, look: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        self.readers.with(look)
    }

    /// Runs `look` on a reader's connection, where it may take its time.
    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let readers = self.readers.clone();
        let stopped = |_| Error("the readers have stopped".to_owned());
        let _place = self.readers.free.acquire().await.map_err(stopped)?;
        let looked = tokio::task::spawn_blocking(move || readers.with(look)).await;
        looked.map_err(|error| Error(error.to_string()))?
    }
}

impl Readers {
    fn with<T>(&self, look: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(
                &self.path,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?,
        };
        let result = look(&connection);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }
}

/// Makes the file readable to its owner alone before anything is in it: it holds signing keys.
fn keep_private(path: &Path) -> Result<(), Error> {
    let mut file = std::fs::OpenOptions::new();
    file.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    let failed = |error| {
        Error(format!(
            "cannot open {}: {error}; is the folder there and may saoma write it?",
            path.display()
        ))
    };
    file.open(path).map(drop).map_err(failed)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    // NORMAL may lose the last commits in a power cut; a phone has been told of them.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let taken: u32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let taken = usize::try_from(taken).unwrap_or(usize::MAX);
    if taken > MIGRATIONS.len() {
        return Err(Error(format!(
            "the database has schema {taken}, this saoma knows {}: install the newer saoma again, or restore a backup",
            MIGRATIONS.len()
        )));
    }
    for step in MIGRATIONS.iter().skip(taken) {
        transaction.execute_batch(step)?;
    }
    let steps = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    transaction.pragma_update(None, "user_version", steps)?;
    Ok(transaction.commit()?)
}

fn run_aside(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|error| Error(format!("cannot start the thread {name}: {error}")))
}

/// The writer's life: until the last handle is dropped.
fn write_all(
    connection: &Connection,
    jobs: &Receiver<Job>,
    tidy: &SyncSender<()>,
    is_long: &AtomicBool,
) {
    let mut commits = 0;
    while let Ok(first) = jobs.recv() {
        let batch = std::iter::once(first).chain(jobs.try_iter().take(BATCH - 1));
        let inside = run(connection, "BEGIN IMMEDIATE").map(|()| connection);
        let done: Vec<Done> = batch.map(|job| job(inside.clone())).collect();
        let committed = inside.and_then(|_| run(connection, "COMMIT"));
        if committed.is_err() {
            // A failed commit may leave the transaction open; the next batch needs a clean start.
            let _ = connection.execute_batch("ROLLBACK");
        }
        tracing::debug!(name: "store.committed", jobs = done.len(), "what has gathered is on the disk");
        done.into_iter().for_each(|tell| tell(committed.clone()));
        commits += 1;
        if commits >= COMMITS {
            commits = 0;
            // Where one is asked for already, one is enough.
            let _ = tidy.try_send(());
        }
        if is_long.swap(false, Ordering::Relaxed) {
            bring_in(connection);
        }
    }
}

/// Brings the log into the database beside the writer, for as long as there is one.
fn tidy_all(connection: &Connection, asked: &Receiver<()>, is_long: &AtomicBool) {
    while asked.recv().is_ok() {
        if bring_in(connection) > LONG {
            is_long.store(true, Ordering::Relaxed);
        }
    }
}

/// Brings in of the log what it can without making anybody wait; returns how many pages it is long.
fn bring_in(connection: &Connection) -> i64 {
    let brought = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1));
    brought.unwrap_or_else(|error| {
        tracing::warn!(name: "store.checkpoint", %error, "the log of the database grows; is the disk full?");
        0
    })
}

/// Runs a statement that was parsed before.
fn run(connection: &Connection, sql: &str) -> Result<(), Error> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    run(connection, "SAVEPOINT job")?;
    let result = work(connection);
    if result.is_err() {
        run(connection, "ROLLBACK TO job")?;
    }
    run(connection, "RELEASE job")?;
    result
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Store as _,
            contract::{self, NOW, a_life, approval, identity},
        },
        *,
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn sqlite_keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let n = std::sync::atomic::AtomicU32::new(0);
        contract::holds(|| {
            let n = n.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Sqlite::open(&folder.path().join(format!("{n}.db"))).unwrap()
        })
        .await;
    }

    #[tokio::test]
    async fn work_that_fails_takes_back_only_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("saoma.db")).unwrap();
        let insert = |name: &'static str| {
            store.write(move |connection| {
                connection.execute("INSERT INTO server_secrets VALUES (?1, x'00')", [name])?;
                if name == "bad" { Err(Error("on purpose".to_owned())) } else { Ok(()) }
            })
        };
        let (good, bad, fine) = tokio::join!(insert("good"), insert("bad"), insert("fine"));
        assert!(good.is_ok() && bad.is_err() && fine.is_ok());
        let names = store.read(|connection| {
            let mut names = connection.prepare("SELECT name FROM server_secrets ORDER BY name")?;
            let names = names.query_map([], |row| row.get::<_, String>(0))?;
            Ok(names.collect::<Result<Vec<_>, _>>()?)
        });
        assert_eq!(names.await.unwrap(), ["fine", "good"]);
    }

    #[tokio::test]
    async fn no_row_of_any_table_names_who_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("saoma.db")).unwrap();
        let ann = a_life(&store, "ann").await;
        let traces = [ann.id.as_str(), ann.username.as_str(), "ann", "192.0.2.1"];
        let before = everything(&store).await;
        for trace in traces {
            assert!(before.contains(trace), "{trace} was never there: {before}");
        }
        store.forget(&ann.id, NOW).await.unwrap();
        // Sites are told that the logins ended by the names that they know; after that those are gone too.
        let later = NOW + Duration::from_secs(60);
        for logout in store.take_logouts(NOW, later).await.unwrap() {
            store.settle_logout(logout.id, None).await.unwrap();
        }
        let after = everything(&store).await;
        for trace in traces {
            assert!(!after.contains(trace), "{trace} is still there: {after}");
        }
        assert!(
            after.contains("ticket.approved"),
            "that something happened stays in the audit log"
        );
    }

    #[tokio::test]
    async fn who_is_kept_out_stays_out_when_two_turn_out_to_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("saoma.db")).unwrap();
        let (here, there) = (identity("wx1", "ann", None), identity("wx2", "ann", Some("one")));
        for (name, identity) in [("older", &here), ("younger", &there)] {
            store.decide(approval(name, identity)).await.unwrap();
        }
        let block = |db: &Connection| {
            Ok(db.execute("UPDATE persons SET blocked = 1 WHERE id = 'person of younger'", [])?)
        };
        assert_eq!(store.write(block).await.unwrap(), 1);
        let here = identity("wx1", "ann", Some("one"));
        store.decide(approval("merged", &here)).await.unwrap();
        assert!(store.person_of(&here).await.unwrap().unwrap().blocked);
    }

    #[test]
    fn what_was_brought_in_beside_the_writer_lets_the_log_begin_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saoma.db");
        drop(Sqlite::open(&path).unwrap());
        let [writer, beside] = [(); 2].map(|()| connect(&path, OpenFlags::default()).unwrap());
        writer.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
        let write = || {
            for _ in 0..50 {
                run(&writer, "UPDATE revision SET n = n + 1").unwrap();
            }
            std::fs::metadata(path.with_extension("db-wal")).unwrap().len()
        };
        let grown = write();
        assert!(bring_in(&beside) >= 50);
        assert_eq!(write(), grown);
    }

    /// Every row of every table, as text.
    async fn everything(store: &Sqlite) -> String {
        let read = store.read(|connection| {
            let mut tables =
                connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
            let tables =
                tables.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
            let mut text = String::new();
            for table in tables {
                let mut rows = connection.prepare(&format!("SELECT * FROM {table}"))?;
                let columns = rows.column_count();
                let mut rows = rows.query([])?;
                while let Some(row) = rows.next()? {
                    text.push_str(&table);
                    for column in 0..columns {
                        use rusqlite::types::ValueRef::{Blob, Integer, Null, Real, Text};
                        let value = match row.get_ref(column)? {
                            Text(bytes) | Blob(bytes) => {
                                String::from_utf8_lossy(bytes).into_owned()
                            }
                            Integer(n) => n.to_string(),
                            Real(n) => n.to_string(),
                            Null => String::new(),
                        };
                        text.extend([" | ", &value]);
                    }
                    text.push('\n');
                }
            }
            Ok(text)
        });
        read.await.unwrap()
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
}
