//! Whether saoma is the OpenID provider that it says it is.
//!
//! Each test of `basic`, `config`, `form_post`, `rp_logout` and `backchannel` is called like the module of the OpenID
//! Foundation's suite that asks the same; docs/conformance.md lists them. The others hold what those do not ask.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails where it breaks"
)]

mod backchannel;
mod basic;
mod commands;
mod config;
mod form_post;
mod keys;
mod provider;
mod rp_logout;
#[path = "../shared/signing.rs"]
mod signing;
mod tokens;
