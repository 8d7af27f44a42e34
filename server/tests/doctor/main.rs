//! `saoma doctor` against a pretend WeChat: each fault is provoked, and must be named, alone, and with what to do.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a story that cannot go on has failed")]

mod here;
mod mail;
mod outside;
mod scan;
mod stage;
mod tls;
mod upstream;
