//! What attackers try, a story each, from outside: a running saoma on real sockets, with the pretend WeChat behind it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a story that cannot go on has failed"
)]

mod account;
mod headers;
mod limits;
mod phishing;
mod provider;
mod region;
#[path = "../shared/signing.rs"]
mod signing;
mod sockets;
mod stage;
mod trouble;
