//! saoma: sign in with WeChat by scanning, for any website.
//!
//! Pure rules stand in the middle (`ticket`, `person`, `grant`, `risk`, `site`), the dance around them (`login`, `oidc`),
//! technology at the edge (`store`, `tickets`, `http`). ARCHITECTURE.md walks through a login.

pub mod admission;
pub mod app;
pub mod audit;
pub mod backchannel;
pub mod background;
pub mod codes;
pub mod commands;
pub mod config;
pub mod console;
pub mod counts;
pub mod doctor;
pub mod error;
pub mod forgetting;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
pub mod grant;
pub mod http;
pub mod keys;
pub mod lang;
pub mod limits;
pub mod links;
pub mod log;
pub mod login;
pub mod metrics;
pub mod miniprogram;
pub mod neighbours;
mod network;
pub mod oidc;
pub mod owner;
pub mod person;
mod picture;
pub mod presets;
pub mod region;
pub mod reload;
pub mod risk;
pub mod run;
pub mod secret;
#[cfg(test)]
#[path = "../tests/servers/mod.rs"]
#[expect(dead_code, reason = "what breaks servers is for the runs of several nodes")]
mod servers;
pub mod signals;
pub mod site;
pub mod store;
pub mod ticket;
pub mod tickets;
pub mod tls;
pub mod try_it;
pub mod waiting;
pub mod world;
