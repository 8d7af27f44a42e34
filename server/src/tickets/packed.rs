//! A ticket as memory keeps it: a few hundred bytes in one piece. Most of what a server holds is tickets that nobody looks
//! at for minutes; as Rust keeps a struct of texts, each would take three times as much.

use super::Error;
use crate::{secret::Hashed, ticket::Ticket};

/// A packed ticket. Its id and its scene come first, so that they can be read alone.
pub(super) struct Packed(Box<[u8]>);

impl Packed {
    pub(super) fn of(ticket: &Ticket) -> Result<Self, Error> {
        // Elsewhere first: what grows where it stays leaves holes behind that nothing fits.
        let packed = postcard::to_extend(ticket, Vec::with_capacity(1024)).map_err(unusable)?;
        Ok(Self(packed.as_slice().into()))
    }

    /// The ticket again.
    pub(super) fn open(&self) -> Result<Ticket, Error> {
        postcard::from_bytes(&self.0).map_err(unusable)
    }

    /// Its id alone.
    pub(super) fn id(&self) -> Option<Hashed> {
        self.0.first_chunk().copied().map(Hashed::from_bytes)
    }

    /// Its public name alone.
    pub(super) fn scene(&self) -> &str {
        let names = postcard::take_from_bytes::<(Hashed, &str)>(&self.0);
        names.map(|((_, scene), _)| scene).unwrap_or_default()
    }
}

fn unusable(error: postcard::Error) -> Error {
    Error(format!("a ticket cannot be packed: {error}"))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::*;
    use crate::{
        grant::{Request, ResponseMode},
        person::Identity,
        risk::{Ask, Level, Risk, Why},
        ticket::{Browser, Face, Kind, Owner, Scan, Stage},
        tickets::contract::ticket,
        world::Timestamp,
    };

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn full() -> Ticket {
        let plain = ticket("full", NOW);
        let (nickname, avatar) = (Some("安".to_owned()), Some("/avatars/a/1".to_owned()));
        let scan = Scan {
            identity: Identity {
                appid: "wx1".to_owned(),
                openid: "o1".to_owned(),
                unionid: Some("u1".to_owned()),
            },
            token: Hashed::of("token"),
            risk: Risk {
                ask: Ask::Match,
                level: Level::Raised,
                why: BTreeSet::from([Why::Album, Why::FirstTime]),
            },
            number: Some("42".to_owned()),
            face: Some(Face { nickname, avatar }),
        };
        Ticket {
            owner: Owner::Page {
                key: Hashed::of("key"),
                origin: "https://blog.example.com".to_owned(),
            },
            request: Request {
                nonce: Some("nonce".to_owned()),
                code_challenge: Some(Hashed::of("verifier")),
                expects: Some("sub".to_owned()),
                response_mode: ResponseMode::FormPost,
                ..plain.request
            },
            kind: Kind::OnPhone,
            browser: Browser {
                address: "2001:db8::1".parse().unwrap(),
                region: Some("浙江".to_owned()),
                ..plain.browser
            },
            opened: NOW,
            expires: NOW + Duration::from_secs(1),
            renewals: 3,
            digits: Some("12345678".to_owned()),
            stage: Stage::Scanned(Box::new(scan)),
            ..plain
        }
    }

    #[test]
    fn nothing_of_a_ticket_is_lost() {
        for ticket in [ticket("plain", NOW), full()] {
            let packed = Packed::of(&ticket).unwrap();
            assert_eq!(packed.id(), Some(ticket.id));
            assert_eq!(packed.scene(), ticket.scene);
            assert_eq!(packed.open().unwrap(), ticket);
        }
    }

    #[test]
    fn a_waiting_ticket_takes_little() {
        let packed = Packed::of(&Ticket { stage: Stage::Waiting, ..full() }).unwrap();
        assert!(packed.0.len() < 350, "{}", packed.0.len());
    }
}
