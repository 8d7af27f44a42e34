//! The one thread that writes, and the one that brings its log into the database.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread,
    time::Duration,
};

use super::{super::Error, Handle};
use crate::world::Stopwatch;

/// How many pieces of work share one commit at most: beyond this the first would wait for the last.
const BATCH: usize = 256;

/// How many pieces of work in one commit are a crowd. After two such commits in a row the next begins so long after the one
/// before it began: by then it has a crowd, too. A commit costs a trip to the disk, pages that the next one writes again, and
/// all that the readers have in their caches, for few as for many. Who comes alone does not wait, nor do the few who met
/// while the disk was slow (PostgreSQL has the same in `commit_siblings` and `commit_delay`).
const CROWD: usize = 3;
const PACE: Duration = Duration::from_millis(5);

/// After how many commits the log is brought into the database. A thread of its own does it, so that nobody who waits for a
/// commit waits for that, too.
const COMMITS: u32 = 256;

/// From how many pages on the writer itself brings in what is left, so that the log can begin anew: while it goes on writing
/// beside the other thread, there is always something left.
const LONG: i64 = 8192;

/// A piece of work inside the writer's transaction, and what to do once that is committed or lost.
pub(super) type Job = Box<dyn FnOnce(Result<&Handle, Error>) -> Done + Send>;
pub(super) type Done = Box<dyn FnOnce(Result<Stopwatch, Error>) + Send>;

/// Starts both, on a connection each. Work is sent to the writer, who lives until nobody can send any more.
pub(super) fn start(writing: Handle, beside: Handle) -> Result<Sender<Job>, Error> {
    writing.connection().pragma_update(None, "wal_autocheckpoint", 0)?;
    let (writer, jobs) = channel();
    let (tidy, asked) = sync_channel(1);
    let is_long = Arc::new(AtomicBool::new(false));
    let grown = is_long.clone();
    run_aside("sqlite-tidier", move || tidy_all(&beside, &asked, &grown))?;
    run_aside("sqlite-writer", move || write_all(&writing, &jobs, &tidy, &is_long))?;
    Ok(writer)
}

fn run_aside(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started
        .map(drop)
        .map_err(|error| Error::Away(format!("cannot start the thread {name}: {error}")))
}

/// The writer's life: until the last handle is dropped.
fn write_all(handle: &Handle, jobs: &Receiver<Job>, tidy: &SyncSender<()>, is_long: &AtomicBool) {
    let (mut commits, mut crowds) = (0, 0_u32);
    let mut began = Stopwatch::start();
    while let Ok(first) = jobs.recv() {
        if crowds >= 2
            && let Some(rest) = PACE.checked_sub(began.elapsed())
        {
            thread::sleep(rest);
        }
        began = Stopwatch::start();
        let batch = std::iter::once(first).chain(jobs.try_iter().take(BATCH - 1));
        let mut inside = handle.run("BEGIN IMMEDIATE").map(|()| handle);
        let mut done = Vec::new();
        for job in batch {
            done.push(job(inside.clone()));
            // A disk that is full ends the transaction and not only the work: what came next would stand, by a commit of
            // its own, and be told that it failed with the rest.
            if inside.is_ok() && handle.connection().is_autocommit() {
                inside = Err(Error::Away("the transaction was lost; is the disk full?".to_owned()));
            }
        }
        let committed = inside.and_then(|_| handle.run("COMMIT")).map(|()| Stopwatch::start());
        if committed.is_err() {
            // A failed commit may leave the transaction open; the next batch needs a clean start.
            let _ = handle.run("ROLLBACK");
        }
        crowds = if done.len() >= CROWD { crowds.saturating_add(1) } else { 0 };
        done.into_iter().for_each(|tell| tell(committed.clone()));
        commits += 1;
        if commits >= COMMITS {
            commits = 0;
            // Where one is asked for already, one is enough.
            let _ = tidy.try_send(());
        }
        if is_long.swap(false, Ordering::Relaxed) {
            bring_in(handle);
        }
    }
}

/// Brings the log into the database beside the writer, for as long as there is one.
fn tidy_all(handle: &Handle, asked: &Receiver<()>, is_long: &AtomicBool) {
    while asked.recv().is_ok() {
        if bring_in(handle) > LONG {
            is_long.store(true, Ordering::Relaxed);
        }
    }
}

/// Brings in of the log what it can without making anybody wait; returns how many pages it is long.
fn bring_in(handle: &Handle) -> i64 {
    let connection = handle.connection();
    let brought = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1));
    brought.unwrap_or_else(|error| {
        tracing::warn!(name: "store.checkpoint", %error, "the log of the database grows; is the disk full?");
        0
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::OpenFlags;

    use super::{
        super::{Sqlite, connect},
        *,
    };

    #[test]
    fn a_transaction_that_ends_in_the_middle_takes_what_comes_after_along() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saoma.db");
        drop(Sqlite::open(&path).unwrap());
        let handle = Handle::from(connect(&path, OpenFlags::default()).unwrap());
        let (writer, jobs) = channel();
        let (told, heard) = channel();
        for sql in ["UPDATE revision SET n = 1", "ROLLBACK", "UPDATE revision SET n = 3"] {
            let told = told.clone();
            let job: Job = Box::new(move |inside| {
                let worked = inside.and_then(|handle| handle.run(sql));
                Box::new(move |committed| told.send(worked.is_ok() && committed.is_ok()).unwrap())
            });
            writer.send(job).unwrap();
        }
        drop(writer);
        write_all(&handle, &jobs, &sync_channel(1).0, &AtomicBool::new(false));
        drop(told);
        assert_eq!(heard.iter().collect::<Vec<_>>(), [false; 3]);
        let n = handle.connection().query_row("SELECT n FROM revision", [], |row| row.get(0));
        assert_eq!(n, Ok(0), "who was told that it failed finds nothing of it");
    }

    #[test]
    fn what_was_brought_in_beside_the_writer_lets_the_log_begin_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saoma.db");
        drop(Sqlite::open(&path).unwrap());
        let [writer, beside] =
            [(); 2].map(|()| Handle::from(connect(&path, OpenFlags::default()).unwrap()));
        writer.connection().execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
        let write = || {
            for _ in 0..50 {
                writer.run("UPDATE revision SET n = n + 1").unwrap();
            }
            std::fs::metadata(path.with_extension("db-wal")).unwrap().len()
        };
        let grown = write();
        assert!(bring_in(&beside) >= 50);
        assert_eq!(write(), grown);
    }
}
