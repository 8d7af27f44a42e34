//! A database copied while a server runs on it, and put back where none does.

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::{MIGRATIONS, NOT_OURS, OURS, keep_private};
use crate::store::Error;

/// Copies the database at `from` to `to`, which must not be there: everything up to one moment, in one whole file that only
/// its owner may read. Who writes meanwhile is not kept waiting. Says how many bytes it has.
///
/// # Errors
/// If there is no database at `from`, `to` is there already or cannot be written, or the copy is not whole.
pub fn copy(from: &Path, to: &Path) -> Result<u64, Error> {
    if !from.exists() {
        return Err(Error::Unusable(format!("there is no database at {}", from.display())));
    }
    if to.exists() {
        return Err(Error::Unusable(format!(
            "{} is there already; name another file",
            to.display()
        )));
    }
    let part = beside(to, "part");
    // What an earlier try may have left.
    let _ = fs::remove_file(&part);
    keep_private(&part)?;
    let made = vacuum(from, &part).and_then(|()| check(&part).map(drop));
    let moved = made.and_then(|()| settle(&part, to).map_err(|error| failed(to, &error)));
    if moved.is_err() {
        let _ = fs::remove_file(&part);
    }
    moved?;
    fs::metadata(to).map(|file| file.len()).map_err(|error| failed(to, &error))
}

/// How many bytes of a copy stand by now, for who shows its progress; and how many it will have, about.
pub fn progress(from: &Path, to: &Path) -> (u64, u64) {
    let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    (size(&beside(to, "part")), size(from))
}

fn vacuum(from: &Path, to: &Path) -> Result<(), Error> {
    let name =
        to.to_str().ok_or_else(|| Error::Unusable("the file's name is not Unicode".to_owned()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copied = Connection::open_with_flags(from, flags).and_then(|connection| {
        connection.busy_timeout(Duration::from_secs(30))?;
        connection.execute("VACUUM INTO ?1", [name])
    });
    copied.map(drop).map_err(|error| failed(to, &error))
}

/// Puts the copy at `from` in the place of the database at `to`, and what stood there aside: says where. It is brought up to
/// date at the next start, if it is of an older saoma.
///
/// # Errors
/// If `from` is no whole database of saoma's, or a server runs on `to`.
pub fn restore(from: &Path, to: &Path) -> Result<Option<PathBuf>, Error> {
    check(from)?;
    if fs::metadata(with(from, LOG)).is_ok_and(|log| log.len() > 0) {
        let why = "has a -wal beside it, so it was copied out of a running database: take one that `saoma backup` made";
        return Err(Error::Unusable(format!("{} {why}", from.display())));
    }
    if to.exists() {
        drop(alone(to)?);
    }
    let mut places = (1..).map(|n: u32| beside(to, &format!("before-restore-{n}")));
    let aside = places.find(|path| !path.exists() && !with(path, LOG).exists());
    let aside = aside
        .ok_or_else(|| Error::Unusable("there is no name left for what stands there".to_owned()))?;
    let part = beside(to, "part");
    let put = prepare(from, &part).and_then(|()| replace(to, &part, &aside));
    if put.is_err() {
        // Everybody's accounts are in it.
        let _ = fs::remove_file(&part);
    }
    put?;
    Ok(aside.exists().then_some(aside))
}

/// A copy that may take the database's place.
fn prepare(from: &Path, part: &Path) -> Result<(), Error> {
    keep_private(part)?;
    let copied = fs::copy(from, part).map(drop);
    // The copy takes its source's permissions along.
    copied.and_then(|()| private(part)).map_err(|error| failed(part, &error))?;
    shut_doors(part)
}

/// Puts what stood at `to` aside, and the copy in its place: at no moment is there none, of which a start would make an
/// empty one.
fn replace(to: &Path, part: &Path, aside: &Path) -> Result<(), Error> {
    if to.exists() {
        // Not every file system has links.
        let linked = fs::hard_link(to, aside).or_else(|_| fs::copy(to, aside).map(drop));
        linked.map_err(|error| failed(aside, &error))?;
    }
    // A log that a crash or a damaged database left behind would be played into the copy.
    for end in [LOG, "-shm"] {
        let (from, to) = (with(to, end), with(aside, end));
        if from.exists() {
            fs::rename(from, &to).map_err(|error| failed(&to, &error))?;
        }
    }
    settle(part, to).map_err(|error| failed(to, &error))
}

/// One-time links that were used, and operators' sessions that were ended, since the copy was made stay so.
fn shut_doors(path: &Path) -> Result<(), Error> {
    let shut = Connection::open(path).and_then(|connection| {
        for table in ["links", "console_links", "console_sessions"] {
            // An older saoma had none of them.
            let is_there = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
            if connection.query_row(is_there, [table], |row| row.get::<_, u32>(0))? > 0 {
                connection.execute(&format!("DELETE FROM {table}"), [])?;
            }
        }
        Ok(())
    });
    shut.map_err(|error| failed(path, &error))
}

/// Whether this is a whole database of this saoma or an older one: its schema.
fn check(path: &Path) -> Result<usize, Error> {
    let not = |why: &str| Error::Unusable(format!("{} {why}", path.display()));
    if !path.exists() {
        return Err(not("is not there"));
    }
    let unread = |error| not(&format!("cannot be read: {error}"));
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let connection = connection.map_err(unread)?;
    let tables: u32 = connection
        .query_row(OURS, [], |row| row.get(0))
        .map_err(|_| not("is no SQLite database"))?;
    let schema: u32 =
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(unread)?;
    let schema = usize::try_from(schema).unwrap_or(usize::MAX);
    if tables != 3 || schema == 0 {
        return Err(not(NOT_OURS));
    }
    if schema > MIGRATIONS.len() {
        return Err(not(&format!(
            "has schema {schema}, this saoma knows {}: use the newer saoma",
            MIGRATIONS.len()
        )));
    }
    let found: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(unread)?;
    if found == "ok" { Ok(schema) } else { Err(not(&format!("is damaged: {found}"))) }
}

/// Makes sure that nobody else has the database open, and that all of it is in its one file.
fn alone(path: &Path) -> Result<Connection, Error> {
    let opened = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let connection = opened.map_err(|error| failed(path, &error))?;
    let taken = connection.execute_batch(
        "PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; BEGIN EXCLUSIVE; COMMIT; \
         PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE;",
    );
    match taken {
        Ok(()) => Ok(connection),
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
            ) =>
        {
            Err(Error::Unusable(format!("{} is in use: stop the server first", path.display())))
        }
        // Damaged, perhaps: that is what backups are for. It is put aside as it is.
        Err(_) => Ok(connection),
    }
}

/// Gives a file that is whole its name, so that a power cut leaves the old one or the new one.
fn settle(part: &Path, to: &Path) -> io::Result<()> {
    File::open(part)?.sync_all()?;
    fs::rename(part, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn private(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// SQLite's write-ahead log stands beside its database under this name.
const LOG: &str = "-wal";

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    name.into()
}

fn failed(path: &Path, error: &dyn fmt::Display) -> Error {
    Error::Unusable(format!("{}: {error}; is the folder there, and is there room?", path.display()))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use super::*;
    use crate::{
        links::{Gives, Link},
        secret::Hashed,
        store::{
            ConsoleLink, ConsoleSession, Opens, Store as _,
            contract::{NOW, a_life, identity, shadow},
            sqlite::Sqlite,
        },
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn a_copy_made_under_writes_is_whole_and_takes_its_place_back() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copied) = (folder.path().join("saoma.db"), folder.path().join("copy.db"));
        let store = Sqlite::open(&path).unwrap();
        let ann = a_life(&store, "ann").await;
        let stop = Arc::new(AtomicBool::new(false));
        let writing = {
            let (stop, store) = (stop.clone(), Sqlite::open(&path).unwrap());
            tokio::spawn(async move {
                let mut n = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    store.make_server_secret(&format!("n{n}"), vec![0; 512]).await.unwrap();
                    n += 1;
                }
                n
            })
        };
        for n in 0..5 {
            let to = folder.path().join(format!("{n}.db"));
            assert!(copy(&path, &to).unwrap() > 10_000);
        }
        assert!(copy(&path, &copied).is_ok());
        stop.store(true, Ordering::Relaxed);
        assert!(writing.await.unwrap() > 0, "nobody wrote meanwhile");
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&copied).unwrap().permissions())
                & 0o777,
            0o600
        );
        assert_eq!(
            copy(&path, &copied).unwrap_err().to_string(),
            format!("{} is there already; name another file", copied.display()),
            "nothing is wrong with the store"
        );

        // What happens after the copy is not in it.
        store.forget(&ann.id, shadow("ann"), None, NOW).await.unwrap();
        assert!(store.person(&ann.id).await.unwrap().is_none());
        assert!(restore(&copied, &path).unwrap_err().to_string().contains("stop the server"));
        drop(store);
        let aside = loop {
            // The writer's thread closes its connection a moment after its handle is dropped.
            match restore(&copied, &path) {
                Err(error) if error.to_string().contains("stop the server") => {
                    tokio::task::yield_now().await
                }
                restored => break restored.unwrap().unwrap(),
            }
        };
        assert!(aside.exists());
        let store = Sqlite::open(&path).unwrap();
        let back = store.person_of(&identity("wx1", "ann", None)).await.unwrap();
        assert_eq!(back.map(|person| person.id), Some(ann.id));
    }

    #[tokio::test]
    async fn a_log_that_was_left_behind_is_not_played_into_the_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copied) = (folder.path().join("saoma.db"), folder.path().join("copy.db"));
        let store = Sqlite::open(&path).unwrap();
        let ann = a_life(&store, "ann").await;
        copy(&path, &copied).unwrap();
        store.forget(&ann.id, shadow("ann"), None, NOW).await.unwrap();
        let log = fs::read(with(&path, LOG)).unwrap();
        assert!(!log.is_empty());
        let others = folder.path().join("others");
        fs::create_dir(&others).unwrap();
        let path = others.join("saoma.db");
        fs::write(with(&path, LOG), log).unwrap();

        assert_eq!(restore(&copied, &path).unwrap(), None, "there was no database");
        assert!(with(&beside(&path, "before-restore-1"), LOG).exists());
        let back = Sqlite::open(&path).unwrap();
        assert!(back.person(&ann.id).await.unwrap().is_some(), "as the copy has it");
        let running = folder.path().join("saoma.db");
        assert!(restore(&running, &path).unwrap_err().to_string().contains("saoma backup"));
    }

    #[tokio::test]
    async fn a_copy_that_cannot_take_its_place_leaves_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copied) = (folder.path().join("saoma.db"), folder.path().join("copy.db"));
        let store = Sqlite::open(&path).unwrap();
        let until = NOW + Duration::from_secs(60);
        let link = ConsoleLink { hash: Hashed::of("link"), opens: Opens::Ownership, until };
        store.keep_console_link(link).await.unwrap();
        drop(store);
        copy(&path, &copied).unwrap();
        let stuck = "CREATE TRIGGER stuck BEFORE DELETE ON console_links BEGIN SELECT RAISE(FAIL, 'stuck'); END";
        Connection::open(&copied).unwrap().execute_batch(stuck).unwrap();
        let path = folder.path().join("restored.db");
        fs::copy(&copied, &path).unwrap();
        assert!(restore(&copied, &path).unwrap_err().to_string().contains("stuck"));
        let left = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
        let left: Vec<_> =
            left.filter(|name| name.to_string_lossy().starts_with("restored")).collect();
        assert_eq!(left, ["restored.db"], "nobody's accounts lie about");
        let store = Sqlite::open(&path).unwrap();
        let stands = store.console_link_stands(Hashed::of("link"), Opens::Ownership, NOW).await;
        assert!(stands.unwrap());
    }

    #[tokio::test]
    async fn doors_that_were_open_when_the_copy_was_made_are_shut() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copied) = (folder.path().join("saoma.db"), folder.path().join("copy.db"));
        let hash = Hashed::of("secret");
        let (store, until) = (Sqlite::open(&path).unwrap(), NOW + Duration::from_secs(60));
        let link = Link { hash, gives: Gives::Server, by: "command".to_owned(), expires: until };
        store.put_link(link, NOW).await.unwrap();
        store
            .keep_console_link(ConsoleLink { hash, opens: Opens::Ownership, until })
            .await
            .unwrap();
        let session = ConsoleSession { hash, login: None, made: NOW, seen: NOW, until };
        store.open_console(session).await.unwrap();
        copy(&path, &copied).unwrap();
        let path = folder.path().join("restored.db");
        restore(&copied, &path).unwrap();
        let store = Sqlite::open(&path).unwrap();
        assert_eq!(store.link(hash, NOW).await.unwrap(), None);
        assert!(!store.console_link_stands(hash, Opens::Ownership, NOW).await.unwrap());
        let before = NOW.before(Duration::from_secs(60));
        assert!(store.operator(hash, None, NOW, before).await.unwrap().is_none());
    }

    #[test]
    fn what_is_no_database_of_ours_is_not_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let (file, to) = (folder.path().join("file"), folder.path().join("saoma.db"));
        assert!(restore(&file, &to).unwrap_err().to_string().contains("is not there"));
        fs::write(&file, "not a database, but long enough to look like one".repeat(100)).unwrap();
        assert!(restore(&file, &to).unwrap_err().to_string().contains("no SQLite database"));
        fs::remove_file(&file).unwrap();
        Connection::open(&file).unwrap().execute_batch("CREATE TABLE persons (id)").unwrap();
        assert!(restore(&file, &to).unwrap_err().to_string().contains("no database of saoma's"));
        assert!(!to.exists());
    }

    #[test]
    fn a_copy_of_a_newer_saoma_is_refused_and_a_damaged_one_too() {
        let folder = tempfile::tempdir().unwrap();
        let (file, to) = (folder.path().join("copy.db"), folder.path().join("saoma.db"));
        drop(Sqlite::open(&to).unwrap());
        copy(&to, &file).unwrap();
        let whole = fs::read(&file).unwrap();
        Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(restore(&file, &to).unwrap_err().to_string().contains("schema 99"));
        fs::write(&file, whole.get(..whole.len() / 2).unwrap()).unwrap();
        assert!(restore(&file, &to).is_err());
    }
}
