//! People brought along from another mini program, or from an older login.

use crate::person::{Identity, Newcomer};

/// One of them.
#[derive(Debug, Clone)]
pub struct Import {
    /// With which identity the person signs in from now on.
    pub identity: Identity,
    /// With which one they did before, where that one is known here.
    pub was: Option<Identity>,
    /// Who the person is to a group of sites: group and `sub`.
    pub sub: Option<(String, String)>,
    /// What to call them, if they have not said so themselves.
    pub nickname: Option<String>,
    /// Who it would be, if nobody knows them.
    pub newcomer: Newcomer,
}

/// What became of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// A new person.
    Added,
    /// A person who was known has a new identity.
    Linked,
    /// A person who was known is called as a site calls them.
    Named,
    /// Nothing is new.
    Known,
    /// It contradicts what is there, and nothing of it was taken: why.
    Refused(&'static str),
}
