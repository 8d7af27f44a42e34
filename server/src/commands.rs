//! What the commands that change a server do: they write to the store, and running nodes see it within two seconds.

pub mod backup;
pub mod import;
pub mod keys;
pub mod person;
mod progress;
pub mod sites;

pub use progress::during;

/// A line for people, or why the command did nothing.
pub type Said = Result<String, String>;
