//! Stories of whole sign-ins: browsers, phones and sites against a real saoma and a pretend WeChat, over real HTTP.
//!
//! The clock is held: time passes when a story says so. `support.rs` has who plays, one file a topic has the stories.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a story that cannot go on has failed"
)]

mod admission;
mod applications;
mod bad_input;
mod claims;
mod clocks;
mod console;
mod console_pages;
mod counted;
#[cfg(target_os = "linux")]
mod crashes;
mod devices;
mod home;
#[cfg(target_os = "linux")]
mod neighbours;
mod openapi;
mod operators;
mod owners;
mod phones;
#[cfg(target_os = "linux")]
mod process;
mod profile;
mod races;
mod rainbow;
#[cfg(target_os = "linux")]
mod reload;
mod remember;
mod requests;
mod sign_in;
#[path = "../shared/signing.rs"]
mod signing;
mod site;
mod starting;
mod stops;
mod support;
mod surface;
#[cfg(target_os = "linux")]
mod tls;
#[cfg(target_os = "linux")]
mod upkeep;
mod upstream;
mod watching;
