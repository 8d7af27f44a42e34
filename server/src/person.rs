//! A person, and the WeChat identities that are theirs.
//!
//! A person is found by (appid, openid). A unionid that appears later joins identities; it never splits a person and
//! never changes a `sub` that a site already knows.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::world::{Timestamp, World};

/// The group of those who may see and change everything here. Nobody is in it by being the first who scans.
pub const OWNER: &str = "owner";

/// Whether a group can be called this: sites read the names of groups as roles.
pub fn is_group(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=40).contains(&name.len()) && name.chars().all(plain)
}

/// Who WeChat says scans: from code2Session alone, never from a request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// The mini program that was used.
    pub appid: String,
    /// The person's name in that mini program.
    pub openid: String,
    /// The person's name across the mini programs of one Open Platform account, where there is one.
    pub unionid: Option<String>,
}

impl Identity {
    /// Whether both are one person's use of one mini program; a unionid may have appeared in between.
    pub fn is_same(&self, other: &Self) -> bool {
        self.appid == other.appid && self.openid == other.openid
    }
}

/// Openids are personal data: they stay out of logs.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("appid", &self.appid).finish_non_exhaustive()
    }
}

/// A person, as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// A row name ([`World::row_name`]); known to saoma alone.
    pub id: String,
    /// `preferred_username`: random, fixed for ever, never made from what a person typed.
    pub username: String,
    /// What the person chose to be called, if anything.
    pub nickname: Option<String>,
    /// Bumped at every change of the avatar; none where there is none.
    pub avatar: Option<u32>,
    /// When the person first approved anything.
    pub since: Timestamp,
    /// Set while the operator keeps the person out.
    pub blocked: bool,
    /// The groups that the operator put the person in; "owner" is one of them.
    pub groups: Vec<String>,
}

impl Person {
    /// Whether they own this server.
    pub fn is_owner(&self) -> bool {
        self.groups.iter().any(|group| group == OWNER)
    }

    /// What sites are told as `name`: the nickname, or a made-up guest name, never WeChat's "微信用户".
    pub fn name(&self) -> String {
        self.nickname.clone().unwrap_or_else(|| format!("guest {}", self.username))
    }
}

/// The names that a new person would get: drawn before it is known whether they are needed.
#[derive(Debug, Clone)]
pub struct Newcomer {
    /// The person's id.
    pub id: String,
    /// The `preferred_username`.
    pub username: String,
}

impl Newcomer {
    /// Draws fresh names.
    pub fn new(world: &World) -> Self {
        // Lower case alone: many applications fold user names, and two people must not fold into one.
        let username = format!("u{}", readable(world, 10));
        Self { id: world.row_name(), username }
    }
}

/// `len` letters of an alphabet without look-alikes: people read these names aloud.
fn readable(world: &World, len: usize) -> String {
    const LETTERS: [char; 31] = [
        'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'j', 'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'u',
        'v', 'w', 'x', 'y', 'z', '2', '3', '4', '5', '6', '7', '8', '9',
    ];
    let draw = |_| LETTERS.get(usize::try_from(world.below(31)).unwrap_or(0));
    (0..len).filter_map(draw).collect()
}

/// One identity as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownIdentity {
    /// Whose it is.
    pub person: String,
    /// Its unionid, where one has been seen.
    pub unionid: Option<String>,
}

/// What to do about an identity that has just approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nobody knows it: a new person.
    Nobody,
    /// It is this person's, and nothing is new.
    Person(String),
    /// It is this person's, who now has a unionid.
    LearnsUnionid(String),
    /// A new identity of a person whose unionid is known from another mini program.
    Joins(String),
    /// It and the unionid were taken for two people. The one who was here first stays; the other's logins and `sub`s go along.
    Merges {
        /// Who stays.
        stays: String,
        /// Who becomes part of them.
        goes: String,
    },
}

/// Finds whose an identity is.
///
/// `by_openid` is the identity itself if it is known, `by_unionid` the oldest person among those who have its unionid, and
/// `is_older` says whether the first of two persons was here first.
pub fn find(
    unionid: Option<&str>,
    by_openid: Option<&KnownIdentity>,
    by_unionid: Option<&str>,
    is_older: impl Fn(&str, &str) -> bool,
) -> Found {
    match (by_openid, by_unionid, unionid) {
        (None, None, _) => Found::Nobody,
        (None, Some(person), _) => Found::Joins(person.to_owned()),
        (Some(known), Some(other), _) if known.person != other => {
            let (stays, goes) = if is_older(other, &known.person) {
                (other.to_owned(), known.person.clone())
            } else {
                (known.person.clone(), other.to_owned())
            };
            Found::Merges { stays, goes }
        }
        (Some(known), _, Some(unionid)) if known.unionid.as_deref() != Some(unionid) => {
            Found::LearnsUnionid(known.person.clone())
        }
        (Some(known), _, _) => Found::Person(known.person.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(person: &str, unionid: Option<&str>) -> KnownIdentity {
        KnownIdentity { person: person.to_owned(), unionid: unionid.map(ToOwned::to_owned) }
    }

    /// Alphabetical order stands for age.
    fn found(
        unionid: Option<&str>,
        by_openid: Option<KnownIdentity>,
        by_unionid: Option<&str>,
    ) -> Found {
        find(unionid, by_openid.as_ref(), by_unionid, |one, other| one < other)
    }

    #[test]
    fn a_unionid_joins_and_never_splits() {
        assert_eq!(found(None, None, None), Found::Nobody);
        assert_eq!(found(Some("u"), None, None), Found::Nobody);
        assert_eq!(found(Some("u"), None, Some("ann")), Found::Joins("ann".to_owned()));
        assert_eq!(
            found(None, Some(known("ann", Some("u"))), None),
            Found::Person("ann".to_owned())
        );
        assert_eq!(
            found(Some("u"), Some(known("ann", Some("u"))), Some("ann")),
            Found::Person("ann".to_owned())
        );
        assert_eq!(
            found(Some("u"), Some(known("ann", None)), None),
            Found::LearnsUnionid("ann".to_owned())
        );
    }

    #[test]
    fn two_who_turn_out_to_be_one_become_the_older() {
        let merged = Found::Merges { stays: "ann".to_owned(), goes: "bob".to_owned() };
        assert_eq!(found(Some("u"), Some(known("bob", None)), Some("ann")), merged);
        assert_eq!(found(Some("u"), Some(known("ann", None)), Some("bob")), merged);
    }

    #[test]
    fn names_come_of_dice_alone_and_no_two_fold_into_one() {
        let of = |seed| Newcomer::new(&World::held(crate::world::Timestamp::from_millis(0), seed));
        let newcomers: Vec<_> = (0..1000).map(of).collect();
        for (one, seed) in newcomers.iter().zip(0..) {
            assert_eq!((one.id.len(), one.username.len()), (22, 11));
            assert!(one.username.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
            let again = of(seed);
            assert_eq!(
                (&again.id, &again.username),
                (&one.id, &one.username),
                "nothing else is in it"
            );
        }
        let mut names: Vec<_> = newcomers.iter().map(|one| one.username.to_lowercase()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 1000);
    }
}
