//! Copies of what is kept for good, by the store that the settings name.

use std::path::{Path, PathBuf};

use super::{
    Error, Store as _,
    sqlite::{Sqlite, backup},
};
use crate::audit;

/// The database file of a store, as the settings name it.
///
/// # Errors
/// What to do instead, where the store has tools of its own.
pub fn file(store: &str) -> Result<PathBuf, String> {
    store.strip_prefix("sqlite:").map(PathBuf::from).ok_or_else(|| {
        "PostgreSQL has tools of its own for this, which also work while it runs: \
         `pg_dump --format=custom --file=FILE URL`, and `pg_restore --clean --if-exists --dbname=URL FILE`"
            .to_owned()
    })
}

/// Copies the database at `from` to a new file; says how many bytes that has. Blocks.
///
/// # Errors
/// If there is none, there is no place for it, or the copy is not whole.
pub fn copy(from: &Path, to: &Path) -> Result<u64, Error> {
    backup::copy(from, to)
}

/// How many bytes of such a copy stand by now, and about how many it will have.
pub fn progress(from: &Path, to: &Path) -> (u64, u64) {
    backup::progress(from, to)
}

/// Puts a copy in the database's place; says where what stood there is now. Blocks.
///
/// # Errors
/// If it is no whole copy, or a server runs.
pub fn restore(from: &Path, to: &Path) -> Result<Option<PathBuf>, Error> {
    backup::restore(from, to)
}

/// Writes a line in a database's audit log, where it is of this very version: another one is left as it is.
///
/// # Errors
/// If it cannot be written.
pub async fn note(file: &Path, entry: audit::Entry) -> Result<(), Error> {
    match Sqlite::beside(file) {
        Ok(Some(store)) => store.audit(entry).await,
        _ => Ok(()),
    }
}
