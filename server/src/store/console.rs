//! What the operators' console keeps and asks: who may come in, what was counted, and the audit log page by page.

use crate::{counts::What, person::Person, secret::Hashed, world::Timestamp};

/// What a one-time link is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opens {
    /// Whoever holds it and scans becomes the first owner, while there is none.
    Ownership,
    /// The console, without a phone: for when WeChat is away.
    Console,
}

impl Opens {
    /// As the stores keep it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ownership => "ownership",
            Self::Console => "console",
        }
    }
}

/// A one-time link into the console, as kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsoleLink {
    /// The hash of what stands in it.
    pub hash: Hashed,
    /// What it is good for.
    pub opens: Opens,
    /// Until when.
    pub until: Timestamp,
}

/// An operator's session in the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleSession {
    /// The hash of its cookie.
    pub hash: Hashed,
    /// The login that it came from, which the person can end on their phone; none where it came from a link.
    pub login: Option<String>,
    /// When it began.
    pub made: Timestamp,
    /// When it was last used, to the minute.
    pub seen: Timestamp,
    /// When it ends, used or not.
    pub until: Timestamp,
}

/// A session that lives, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The session.
    pub session: ConsoleSession,
    /// Who; none where it came from a link.
    pub person: Option<Person>,
}

/// Which counts are asked for, and how they are added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// From this hour on.
    pub since: i64,
    /// Up to this hour, and not it.
    pub until: i64,
    /// How many hours are added up.
    pub step: i64,
    /// How many hours the asker's clock is before UTC: days begin at their midnight.
    pub shift: i64,
    /// Of one site alone.
    pub site: Option<String>,
    /// Each site for itself; else all together, under no name.
    pub by_site: bool,
    /// Of these kinds alone; none: all.
    pub what: Vec<What>,
}

/// Which lines of the audit log are asked for, the latest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    /// What happened: a whole word, or its beginning where it ends with a dot.
    pub what: Option<String>,
    /// About this person.
    pub person: Option<String>,
    /// About this site.
    pub site: Option<String>,
    /// From this moment on.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// The page after the line of this number.
    pub before: Option<i64>,
    /// The page before the line of this number; the one next to it, still the latest first.
    pub after: Option<i64>,
    /// So many at most.
    pub most: u32,
}
