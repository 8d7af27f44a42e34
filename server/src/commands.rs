//! What commands do beyond `serve` and `try`. Those that change a server write to the store, and running nodes see it within
//! two seconds.

pub mod backup;
pub mod doctor;
pub mod healthcheck;
pub mod import;
pub mod keys;
pub mod person;
mod progress;
pub mod sites;

use std::path::{Path, PathBuf};

use progress::during;

/// A line for people, or why the command did nothing.
pub type Said = Result<String, String>;

/// Why a command does nothing that works on a database which is there.
pub fn no_database(file: &Path) -> String {
    let why = if file.is_relative() {
        format!(
            "store = \"sqlite:{}\" is looked for where the command runs: write the whole path of the server's into the settings",
            file.display()
        )
    } else {
        "the server makes it at its first start; where it has another, name that one in the settings (store)"
            .to_owned()
    };
    format!("there is no database at {}; {why}", whole(file).display())
}

/// A path that says the same in any folder.
pub fn whole(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned())
}
