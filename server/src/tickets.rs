//! What lives minutes: waiting and scanned tickets, their pictures, and small counters.
//!
//! Implementations hold memory, not rules: everything that may be done to a ticket stands in `ticket.rs`, and is written
//! here with one compare-and-swap. The neighbour `store.rs` keeps what is kept for good.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    secret::Hashed,
    ticket::{Stage, Ticket},
    world::{Timestamp, World},
};

#[cfg(test)]
pub(crate) mod contract;
pub mod memory;
mod packed;
pub mod redis;
mod spill;

/// The short-lived store cannot be reached, or does not answer sensibly.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the ticket store does not answer: {0}")]
pub struct Error(pub String);

/// A ticket as it was read: writing it back succeeds only if nobody wrote in between.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The ticket.
    pub ticket: Ticket,
    /// Counts its writes.
    pub version: u64,
}

/// The picture of a mini program code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// "image/jpeg" or "image/png".
    pub content_type: String,
    /// What the browser is sent.
    #[serde(with = "as_text")]
    pub bytes: Bytes,
}

impl Picture {
    /// In one piece.
    fn packed(&self) -> Vec<u8> {
        [self.content_type.as_bytes(), b"\0", &self.bytes].concat()
    }

    /// Out of one piece.
    fn unpacked(packed: Bytes) -> Result<Self, Error> {
        let end = packed.iter().position(|byte| *byte == 0);
        let end = end.ok_or_else(|| Error("a picture is not as it should be".to_owned()))?;
        let content_type = String::from_utf8_lossy(packed.get(..end).unwrap_or_default());
        Ok(Self { content_type: content_type.into_owned(), bytes: packed.slice(end + 1..) })
    }
}

/// Bytes in base64, since as the numbers of JSON they would be three times as many; those are read, too.
mod as_text {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Numbers(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        match Written::deserialize(from)? {
            Written::Text(text) => STANDARD.decode(text).map(Bytes::from).map_err(D::Error::custom),
            Written::Numbers(bytes) => Ok(bytes.into()),
        }
    }
}

/// A ticket with its picture, as a graceful stop writes it down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Parked {
    /// The ticket.
    pub ticket: Ticket,
    /// Its picture, where it has one.
    pub picture: Option<Picture>,
}

/// How many tickets ended by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// Nobody had scanned them.
    pub unscanned: u64,
    /// Somebody had, and did not decide.
    pub undecided: u64,
}

impl Expired {
    /// Counts one more.
    fn count(&mut self, ticket: &Ticket) {
        match ticket.stage {
            Stage::Waiting => self.unscanned += 1,
            Stage::Scanned(_) => self.undecided += 1,
        }
    }
}

/// The short-lived store, as `login.rs` uses it.
#[async_trait]
pub trait Tickets: Send + Sync + 'static {
    /// Takes in a new ticket. Its id, scene and digits are fresh random names and meet no other's.
    async fn put(&self, ticket: Ticket, picture: Option<Picture>) -> Result<(), Error>;

    /// The ticket whose id has this hash; expired ones for a while yet.
    async fn by_id(&self, id: Hashed) -> Result<Option<Seen>, Error>;

    /// The ticket of this public name.
    async fn by_scene(&self, scene: &str) -> Result<Option<Seen>, Error>;

    /// The ticket that these eight digits stand for.
    async fn by_digits(&self, digits: &str) -> Result<Option<Seen>, Error>;

    /// Writes the next state of a ticket (the same id and scene), if it still stands as it was seen.
    /// False: somebody else was quicker, or digits are taken; look again.
    async fn swap(&self, seen: &Seen, next: Ticket) -> Result<bool, Error>;

    /// Puts a renewed ticket in the place of the one seen, in one step.
    /// False: somebody else was quicker; look again.
    async fn replace(
        &self,
        seen: &Seen,
        next: Ticket,
        picture: Option<Picture>,
    ) -> Result<bool, Error>;

    /// Lets go of a decided ticket that is in this process's memory, at once: a page that is told of the decision finds it
    /// gone. What nodes share goes by [`Self::remove`].
    fn let_go(&self, id: Hashed);

    /// Forgets a ticket with its picture and digits.
    async fn remove(&self, ticket: &Ticket) -> Result<(), Error>;

    /// The picture of a ticket.
    async fn picture(&self, id: Hashed) -> Result<Option<Picture>, Error>;

    /// Notes when a decided ticket was first claimed, and says when that was.
    async fn first_claim(&self, id: Hashed, now: Timestamp) -> Result<Timestamp, Error>;

    /// When a decided ticket was first claimed, if that is still known.
    async fn claimed(&self, id: Hashed) -> Result<Option<Timestamp>, Error>;

    /// Adds to a counter that forgets after `window`, or takes back, and says what it stands at.
    async fn count(
        &self,
        what: &str,
        add: i32,
        window: Duration,
        now: Timestamp,
    ) -> Result<u32, Error>;

    /// Keeps something small under a secret's hash for a while: whoever has the secret may have it. Where there is no more
    /// room the oldest goes: who is on their way comes within seconds, and a flood must not lock everybody out.
    async fn keep(
        &self,
        name: Hashed,
        value: Bytes,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), Error>;

    /// What is kept under this name.
    async fn kept(&self, name: Hashed, now: Timestamp) -> Result<Option<Bytes>, Error>;

    /// Says "look again" to whichever node holds the page of this ticket. Where it cannot be said the page looks by itself
    /// after a while.
    async fn nudge(&self, id: Hashed);

    /// How many tickets it holds, about: what must stay bounded under a flood.
    async fn how_many(&self) -> Result<usize, Error>;

    /// Forgets what has been over for as long as it lived, and says how many tickets were among it. Where the store forgets
    /// by itself it says none.
    async fn purge(&self, now: Timestamp) -> Result<Expired, Error>;

    /// Takes up to `most` of what still waits out of this node's memory, for a graceful stop; nothing when there is no more,
    /// and where the store outlives the node.
    async fn park(&self, most: u32) -> Result<Vec<Parked>, Error>;

    /// Whether it answers.
    async fn ping(&self) -> Result<(), Error>;

    /// What goes on for as long as it is polled: hears which tickets other nodes have changed, and keeps this node's clock
    /// with theirs. Nothing where there are no others.
    async fn attend(&self, world: &World) {
        let _ = world;
        std::future::pending().await
    }

    /// Whether other nodes write here, too: then a ticket may stand that has been decided, by a node that died before it
    /// could remove it.
    fn is_shared(&self) -> bool {
        false
    }

    /// Where nodes share the access token of WeChat; none where each has its own.
    fn token_store(&self) -> Option<Arc<dyn wechat::token::TokenStore>> {
        None
    }
}

/// The short-lived store behind its trait.
pub type SharedTickets = Arc<dyn Tickets>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_written_as_text_and_read_as_an_earlier_saoma_wrote_it_too() {
        let picture =
            Picture { content_type: "image/png".to_owned(), bytes: vec![0x89, 80].into() };
        let text = serde_json::to_string(&picture).unwrap();
        assert_eq!(text, r#"{"content_type":"image/png","bytes":"iVA="}"#);
        let earlier = r#"{"content_type":"image/png","bytes":[137,80]}"#;
        for written in [text.as_str(), earlier] {
            assert_eq!(serde_json::from_str::<Picture>(written).unwrap(), picture);
        }
        assert!(serde_json::from_str::<Picture>(&text.replace('=', "-")).is_err());
    }
}
