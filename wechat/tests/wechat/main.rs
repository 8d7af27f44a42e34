//! The client and the pretend WeChat, over real HTTP.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod client;
mod codes;
mod control;
mod docs;
mod errors;
mod phone;
mod rooms;
mod support;
mod tokens;
mod trouble;
