//! The operators' console: who may come in, and what its pages show. HTTP's words for it stand in `http/console/`.
//!
//! It stands on the operators' listener alone. Whoever is in it may change everything, so it opens to named people by a scan
//! with a number, and to who holds a one-time link that this machine printed.

pub mod access;
pub mod overview;
pub mod plot;
pub mod sites;
