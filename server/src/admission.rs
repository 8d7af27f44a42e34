//! Who may sign in to a site: everybody, named people, invited ones, or whom the owner lets in.
//!
//! Pure. A person proves who they are by a scan; whether that opens this door is decided here, at every sign-in and every
//! refresh, so that a change of mind holds from the next one on.

use serde::{Deserialize, Serialize};

use crate::{
    person::Person,
    site::{self, Site},
    ticket::Denied,
};

/// Whom a site lets in, beside the owners of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Admit {
    /// Everybody.
    #[default]
    All,
    /// Members of its `admit_groups`, and people whom a command let in.
    Named,
    /// The same, and who comes with an invitation.
    Invited,
    /// The same, and anybody else may ask: an owner says yes or no.
    Ask,
}

/// What stands between one person and one site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// The person has asked to be let in.
    Asked,
    /// Let in, by a command, an invitation or an owner's yes.
    Admitted,
    /// Kept out of this site, whomever else it lets in.
    Refused,
}

impl Word {
    /// All there are, the weaker first: of two people who turn out to be one the stronger word stays.
    pub const ALL: [Self; 3] = [Self::Asked, Self::Admitted, Self::Refused];

    /// As the store writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Admitted => "admitted",
            Self::Refused => "refused",
        }
    }
}

/// What the door of a site is to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// They may sign in.
    Open,
    /// Not yet; their approval asks the owner.
    Ask,
    /// They have asked, and nobody has answered.
    Asked,
    /// They may not.
    Closed,
}

impl Door {
    /// How an approval ends at this door; none if it goes through.
    pub fn turns_away(self) -> Option<Denied> {
        match self {
            Self::Open => None,
            Self::Ask | Self::Asked => Some(Denied::OwnerAsked),
            Self::Closed => Some(Denied::NotAdmitted),
        }
    }
}

/// What a site's door is to a person, of whom `word` is known there; nobody knows a person before their first approval.
pub fn door(site: &Site, person: Option<&Person>, word: Option<Word>) -> Door {
    let member = |person: &Person| {
        person.is_owner() || person.groups.iter().any(|group| site.admit_groups.contains(group))
    };
    match (word, site.admit) {
        // Everybody may see what is kept of them.
        _ if site.id == site::SELF => Door::Open,
        // The owner could take it back with one command, so nobody can lock them out.
        _ if person.is_some_and(Person::is_owner) => Door::Open,
        (Some(Word::Refused), _) => Door::Closed,
        (Some(Word::Admitted), _) | (_, Admit::All) => Door::Open,
        _ if person.is_some_and(member) => Door::Open,
        (Some(Word::Asked), Admit::Ask) => Door::Asked,
        (None, Admit::Ask) => Door::Ask,
        (_, Admit::Named | Admit::Invited) => Door::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{person::OWNER, world::Timestamp};

    fn site(admit: Admit) -> Site {
        let mut site = Site::new("blog", "My blog");
        (site.admit, site.admit_groups) = (admit, vec!["family".to_owned()]);
        site
    }

    fn person(groups: &[&str]) -> Person {
        Person {
            id: "ann".to_owned(),
            username: "uann".to_owned(),
            nickname: None,
            avatar: None,
            since: Timestamp::from_millis(0),
            blocked: false,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        }
    }

    #[test]
    fn a_stranger_gets_as_far_as_the_site_says() {
        for (admit, expected) in [
            (Admit::All, Door::Open),
            (Admit::Named, Door::Closed),
            (Admit::Invited, Door::Closed),
            (Admit::Ask, Door::Ask),
        ] {
            assert_eq!(door(&site(admit), None, None), expected, "{admit:?}");
            assert_eq!(door(&site(admit), Some(&person(&["friends"])), None), expected);
        }
        let asked = door(&site(Admit::Ask), Some(&person(&[])), Some(Word::Asked));
        assert_eq!(asked, Door::Asked);
        // The site has become stricter since they asked.
        assert_eq!(door(&site(Admit::Named), Some(&person(&[])), Some(Word::Asked)), Door::Closed);
    }

    #[test]
    fn a_member_an_owner_and_who_was_let_in_come_through_every_door() {
        for admit in [Admit::All, Admit::Named, Admit::Invited, Admit::Ask] {
            let site = site(admit);
            for group in ["family", OWNER] {
                assert_eq!(door(&site, Some(&person(&[group])), None), Door::Open, "{group}");
            }
            assert_eq!(door(&site, Some(&person(&[])), Some(Word::Admitted)), Door::Open);
        }
    }

    #[test]
    fn who_is_refused_is_so_everywhere_but_an_owner_nowhere() {
        for admit in [Admit::All, Admit::Named, Admit::Invited, Admit::Ask] {
            let refused =
                |groups: &[&str]| door(&site(admit), Some(&person(groups)), Some(Word::Refused));
            assert_eq!((refused(&[]), refused(&["family"])), (Door::Closed, Door::Closed));
            assert_eq!(refused(&[OWNER]), Door::Open);
        }
    }

    #[test]
    fn the_own_page_is_open_to_everybody() {
        let mut own = site(Admit::Named);
        own.id = site::SELF.to_owned();
        assert_eq!(door(&own, Some(&person(&[])), Some(Word::Refused)), Door::Open);
    }
}
