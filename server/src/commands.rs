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

use std::{
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use progress::during;

/// Standard output. Who reads it may have seen enough and hung up, as `head` does: what is said then is said to nobody, and
/// that is no failure.
#[derive(Debug)]
pub struct Out;

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_hung_up(io::stdout().write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_hung_up(io::stdout().flush(), ())
    }
}

fn unless_hung_up<T>(said: io::Result<T>, to_nobody: T) -> io::Result<T> {
    match said {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(to_nobody),
        said => said,
    }
}

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
