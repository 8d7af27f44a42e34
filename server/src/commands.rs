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

use progress::during;

/// A line for people, or why the command did nothing.
pub type Said = Result<String, String>;
