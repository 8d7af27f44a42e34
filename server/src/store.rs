//! What is kept for good: decisions, people, logins, tokens, keys.
//!
//! Implementations hold memory, not rules. What must happen together is one call here and one transaction there; what may
//! happen only once is an update that names the state it expects. The neighbour `tickets.rs` keeps what lives minutes.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    admission::Word,
    audit,
    counts::Count,
    links::Link,
    metrics::Times,
    person::{Identity, Person},
    secret::Hashed,
    site::Site,
    tickets::Parked,
    world::{Stopwatch, Timestamp},
};

pub mod backup;
mod console;
#[cfg(test)]
pub(crate) mod contract;
mod import;
pub mod postgres;
mod records;
#[cfg(test)]
mod shapes;
mod sql;
pub mod sqlite;

pub use console::{ConsoleLink, ConsoleSession, Counted, Lines, Opens, Operator};
pub use import::{Import, Imported};
pub use records::{
    Arrival, Asker, BrowserSession, Change, Changed, Consent, Decide, Decided, Listed, LiveToken,
    Login, LoginOf, Logout, Profile, Redemption, Revoke, Said, Seal, Search, Shadow, StoredKey,
    Token, TokenKind,
};
pub use sql::OTHER_VERSION;

/// Why a store did not do what it was asked to. None of it was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, or holds what it should not.
    #[error("the store does not answer: {0}")]
    Away(String),
    /// A file, an address or a schema cannot be used, with what to do instead.
    #[error("{0}")]
    Unusable(String),
    /// A newer saoma has brought the database up to date since this one was started.
    #[error(
        "the database has schema {0}, and this saoma knows {1}: a newer one has brought it up to date; stop this one and start the newer one in its place"
    )]
    MovedOn(usize, usize),
    /// The one-time link was used, or what it gives is gone, a moment ago.
    #[error("the link is over")]
    LinkOver,
    /// The login to go on with ended a moment ago.
    #[error("the login to go on with has ended")]
    LoginEnded,
    /// Nobody would own this server any more.
    #[error("this is the last owner; make another one first")]
    LastOwner,
}

/// What is done as soon as a decision is durable, by who committed it and before anybody else hears of it: its page is not
/// kept waiting until another thread has woken. The stopwatch runs since the commit. Others wait behind it, so it must not.
pub type AtCommit = Box<dyn FnOnce(&Decided, Stopwatch) + Send>;

/// For a decision that no page waits for.
pub fn untold() -> AtCommit {
    Box::new(|_, _| {})
}

/// What is kept for good, as the rest of the server uses it.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes a decision, durable before this returns, with the person, identity, `sub`, login, session and audit row it
    /// makes, with what its one-time link gives, and with the wish of who must ask the owner first. If the ticket was decided before, nothing is written and that decision is returned: the first wins. Who has been
    /// blocked or refused since they were looked at is not admitted: that is then the decision that is written and returned.
    async fn decide(&self, decide: Decide, at_commit: AtCommit) -> Result<Decided, Error>;

    /// The decision about the ticket of this hash.
    async fn decision_by_ticket(&self, ticket: Hashed) -> Result<Option<Decided>, Error>;

    /// The decision about the ticket of this public name.
    async fn decision_by_scene(&self, scene: &str) -> Result<Option<Decided>, Error>;

    /// The approval that this code's hash stands for; without its login, where the person has been blocked since.
    async fn decision_by_code(&self, code: Hashed) -> Result<Option<Decided>, Error>;

    /// Consumes a code and keeps the tokens it gives, in one step; of many racing calls one consumes.
    async fn redeem(
        &self,
        code: Hashed,
        tokens: Vec<Token>,
        now: Timestamp,
    ) -> Result<Redemption, Error>;

    /// Uses up a refresh token and keeps what it gives, in one step. False: it had been used, and nothing is kept.
    async fn rotate(&self, old: Hashed, given: Vec<Token>, now: Timestamp) -> Result<bool, Error>;

    /// Revokes tokens; none is no error.
    async fn revoke(&self, what: Revoke) -> Result<(), Error>;

    /// A token that lives, of a login that lives, of a person who is not blocked.
    async fn live_token(&self, hash: Hashed, now: Timestamp) -> Result<Option<LiveToken>, Error>;

    /// Whose identity this is, by openid or unionid.
    async fn person_of(&self, identity: &Identity) -> Result<Option<Person>, Error>;

    /// A person.
    async fn person(&self, id: &str) -> Result<Option<Person>, Error>;

    /// Whose identity this is, and what they are to a site and a browser, in one look. A shadow that stands under `shade`
    /// gets its identity back first, as by [`Store::meet`].
    async fn arrival(
        &self,
        identity: &Identity,
        shade: &Identity,
        site: &str,
        browser: Option<Hashed>,
    ) -> Result<Option<Arrival>, Error>;

    /// A living login.
    async fn login(&self, id: &str) -> Result<Option<Login>, Error>;

    /// Notes that a login is in use.
    async fn login_seen(&self, id: &str, now: Timestamp) -> Result<(), Error>;

    /// The living logins of a person, the latest first.
    async fn logins(&self, person: &str) -> Result<Vec<Login>, Error>;

    /// Ends a login with its tokens and its session's approval of it, and of what is in its group. None: this person has no
    /// such living login.
    async fn end_login(
        &self,
        person: &str,
        login: &str,
        now: Timestamp,
    ) -> Result<Option<Login>, Error>;

    /// Whether a person's login is over; false: they have none of this name, or it lives, or it is forgotten.
    async fn has_ended(&self, person: &str, login: &str) -> Result<bool, Error>;

    /// The living logins that a browser's session holds: what it may skip the scan for. Empty: not signed in.
    async fn session(&self, session: BrowserSession, now: Timestamp) -> Result<Vec<Login>, Error>;

    /// The living logins of a person at a site that ends with a browser's session, the latest first: those that vouch for
    /// nothing, too.
    async fn skipped(&self, session: Hashed, person: &str, site: &str)
    -> Result<Vec<Login>, Error>;

    /// The living logins that end with a browser's session: those that vouch for nothing, too.
    async fn ends_with(&self, session: BrowserSession) -> Result<Vec<Login>, Error>;

    /// Ends a browser's session and the logins it holds.
    async fn end_session(
        &self,
        session: BrowserSession,
        now: Timestamp,
    ) -> Result<Vec<Login>, Error>;

    /// Keeps a token with which the mini program's own pages may ask about their person.
    async fn open_phone(
        &self,
        token: Hashed,
        identity: &Identity,
        expires: Timestamp,
    ) -> Result<(), Error>;

    /// Whose phone token this is.
    async fn phone(&self, token: Hashed, now: Timestamp) -> Result<Option<Identity>, Error>;

    /// Changes what a person shows: the name, the picture (content type and bytes), each left as it is where none.
    async fn set_profile(&self, person: &str, profile: Profile) -> Result<Option<Person>, Error>;

    /// The picture of the person of this `username`: content type and bytes.
    async fn avatar(&self, username: &str) -> Result<Option<(String, Vec<u8>)>, Error>;

    /// Forgets a person: every row that names them. Who is blocked, or refused at a site, leaves this shadow, which is so.
    /// Where somebody else than they wants it, `by` says who, as in [`Store::change`]; what is refused there is refused here.
    async fn forget(
        &self,
        person: &str,
        shadow: Shadow,
        by: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Login>, Error>;

    /// A shadow gets its identity back, if there is one that stands under `shade`.
    async fn meet(&self, identity: &Identity, shade: &Identity) -> Result<(), Error>;

    /// All signing keys, oldest first.
    async fn keys(&self) -> Result<Vec<StoredKey>, Error>;

    /// Keeps a signing key, or changes when it signs. Of two of one kind that sign from the same moment the first stays.
    async fn put_key(&self, key: StoredKey) -> Result<(), Error>;

    /// Forgets a signing key.
    async fn drop_key(&self, kid: &str) -> Result<(), Error>;

    /// A number that grows whenever keys or sites change. [`Error::MovedOn`]: nobody here knows what it means any more.
    async fn revision(&self) -> Result<i64, Error>;

    /// The sites that commands registered, by id.
    async fn sites(&self) -> Result<Vec<Site>, Error>;

    /// Registers a site, and writes this line with it. False: there is one of this id, and it stays as it is.
    async fn add_site(&self, site: &Site, entry: audit::Entry) -> Result<bool, Error>;

    /// Changes a site that still is as it was seen, and writes this line with it. False: somebody else has changed it.
    async fn swap_site(&self, seen: &Site, next: &Site, entry: audit::Entry)
    -> Result<bool, Error>;

    /// Forgets a site and ends the logins there, and writes this line with it. False: there was none.
    async fn remove_site(&self, id: &str, entry: audit::Entry) -> Result<bool, Error>;

    /// Logins that ended and whose sites are to be told now; nobody else gets these before `again`.
    async fn take_logouts(&self, now: Timestamp, again: Timestamp) -> Result<Vec<Logout>, Error>;

    /// Notes that a site was told of a logout, or when to try again.
    async fn settle_logout(&self, id: i64, again: Option<Timestamp>) -> Result<(), Error>;

    /// The server's own secret of this name, if there is one.
    async fn server_secret(&self, name: &str) -> Result<Option<Vec<u8>>, Error>;

    /// The server's own secret of this name: `fresh` if there was none before.
    async fn make_server_secret(&self, name: &str, fresh: Vec<u8>) -> Result<Vec<u8>, Error>;

    /// Puts what is sealed now in the place of the signing keys and the server's own secrets that are kept under these names,
    /// each if it still is as it was, and leaves as little of that behind as it can.
    async fn seal(&self, keys: Vec<Seal>) -> Result<(), Error>;

    /// Writes one line of the audit log.
    async fn audit(&self, entry: audit::Entry) -> Result<(), Error>;

    /// The lines of the audit log since then, so many at most, the oldest first.
    async fn audit_since(&self, since: Timestamp, most: u32) -> Result<Vec<audit::Entry>, Error>;

    /// The mini programs whose people are kept, by AppID.
    async fn appids(&self) -> Result<Vec<String>, Error>;

    /// Writes down tickets at a graceful stop.
    async fn park(&self, tickets: Vec<Parked>) -> Result<(), Error>;

    /// Takes up to `most` of what a graceful stop wrote down; each is there once, and nothing when there is no more.
    async fn unpark(&self, most: u32) -> Result<Vec<Parked>, Error>;

    /// The moment by which is forgotten what is old: `now`, but no more than `step` past what was answered last, by whichever
    /// node.
    async fn upkeep(&self, now: Timestamp, step: Duration) -> Result<Timestamp, Error>;

    /// Forgets decisions, tokens and sessions that are over.
    async fn prune(&self, now: Timestamp) -> Result<(), Error>;

    /// Ends a login and every other of the same browser: somebody else sits there. Empty: there this person has no living one.
    async fn end_browser(
        &self,
        person: &str,
        login: &str,
        now: Timestamp,
    ) -> Result<Vec<Login>, Error>;

    /// Ends all logins of a person, and the tokens of their phones but for `phone`.
    async fn end_all(
        &self,
        person: &str,
        phone: Hashed,
        now: Timestamp,
    ) -> Result<Vec<Login>, Error>;

    /// Ends a phone's token.
    async fn close_phone(&self, token: Hashed) -> Result<(), Error>;

    /// The latest lines of the audit log about a person, so many at most, the latest first, each with its number.
    async fn audit_of(&self, person: &str, most: u32) -> Result<Vec<(i64, audit::Entry)>, Error>;

    /// What a person consented to, withdrawn or not.
    async fn consents(&self, person: &str) -> Result<Vec<Consent>, Error>;

    /// Takes back what a person consented to at a site: ends the logins there, and no browser skips the scan for its group
    /// any more.
    async fn withdraw(&self, person: &str, site: &str, now: Timestamp)
    -> Result<Vec<Login>, Error>;

    /// The WeChat identities of a person.
    async fn identities(&self, person: &str) -> Result<Vec<Identity>, Error>;

    /// Who a person is to sites: groups with the `sub` each knows.
    async fn subs(&self, person: &str) -> Result<Vec<(String, String)>, Error>;

    /// Takes the addresses out of what is older than `network`, and forgets what is older than `audit` and over: logins that
    /// nobody has used since, too. Step by step; what is not done when it fails is done the next time.
    async fn age(&self, network: Timestamp, audit: Timestamp) -> Result<(), Error>;

    /// Takes people brought along from elsewhere, each row for itself and all in one step; with `dry` says what would become of
    /// each and takes none.
    async fn import(
        &self,
        people: Vec<Import>,
        now: Timestamp,
        dry: bool,
    ) -> Result<Vec<Imported>, Error>;

    /// Keeps a one-time link into the console.
    async fn keep_console_link(&self, link: ConsoleLink) -> Result<(), Error>;

    /// Whether a one-time link is still good for this.
    async fn console_link_stands(
        &self,
        link: Hashed,
        opens: Opens,
        now: Timestamp,
    ) -> Result<bool, Error>;

    /// Uses a one-time link up; of many racing calls one is told true.
    async fn take_console_link(
        &self,
        link: Hashed,
        opens: Opens,
        now: Timestamp,
    ) -> Result<bool, Error>;

    /// Whether anybody owns this server who is not blocked.
    async fn has_owner(&self) -> Result<bool, Error>;

    /// Makes a person the first owner and notes it in the audit log, in one step: uses up this link and every other of its
    /// kind. False: the link is good no more, or somebody was quicker.
    async fn claim_ownership(
        &self,
        link: Hashed,
        person: &str,
        now: Timestamp,
    ) -> Result<bool, Error>;

    /// Begins an operator's session; the same one again is no error.
    async fn open_console(&self, session: ConsoleSession) -> Result<(), Error>;

    /// Whose session this is, if it lives: its time is not over, it was used since `idle_since`, and its person is an owner,
    /// not blocked, has not ended its login, and made it in the browser of this cookie. One that came from a link is drawn at
    /// random, and good wherever it is.
    async fn operator(
        &self,
        session: Hashed,
        cookie: Option<Hashed>,
        now: Timestamp,
        idle_since: Timestamp,
    ) -> Result<Option<Operator>, Error>;

    /// Notes that an operator's session is in use.
    async fn operator_seen(&self, session: Hashed, now: Timestamp) -> Result<(), Error>;

    /// Ends an operator's session with its login.
    async fn close_console(&self, session: Hashed, now: Timestamp) -> Result<(), Error>;

    /// Adds to the counts by the hour.
    async fn add_counts(&self, counts: Vec<Count>) -> Result<(), Error>;

    /// Counts added up as asked, the earliest first; each stands under its first hour.
    async fn counts(&self, asked: &Counted) -> Result<Vec<Count>, Error>;

    /// Forgets the counts of hours before this one.
    async fn forget_counts(&self, before: i64) -> Result<(), Error>;

    /// The lines of the audit log that are asked for, the latest first, each with its number.
    async fn audit_lines(&self, asked: &Lines) -> Result<Vec<(i64, audit::Entry)>, Error>;

    /// The person of this id or `username`.
    async fn person_named(&self, name: &str) -> Result<Option<Person>, Error>;

    /// The people that are looked for, who came last first.
    async fn people(&self, search: &Search) -> Result<Vec<Listed>, Error>;

    /// Does this to a person, and notes in the audit log who did: `by` is [`audit::COMMAND`], [`audit::CONSOLE`], or the id of an
    /// owner. What is so already is noted nowhere. None: there is no such person. [`Error::LastOwner`]: there would be no
    /// owner any more; only a command may do that, since who has the machine can always make another.
    async fn change(
        &self,
        person: &str,
        change: Change,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<Changed>, Error>;

    /// What has been said about a person at a site.
    async fn word(&self, person: &str, site: &str) -> Result<Option<Word>, Error>;

    /// What has been said about a person at all sites.
    async fn said(&self, person: &str) -> Result<Vec<Said>, Error>;

    /// Who asks to be let in, so many at most, who asked last first; nobody who is blocked.
    async fn askers(&self, most: u32) -> Result<Vec<Asker>, Error>;

    /// Keeps a one-time link, and notes in the audit log who made it. A decision whose request names it uses it up.
    async fn put_link(&self, link: Link, now: Timestamp) -> Result<(), Error>;

    /// A one-time link that waits.
    async fn link(&self, hash: Hashed, now: Timestamp) -> Result<Option<Link>, Error>;

    /// Makes two people one by an operator's word: `goes` becomes part of `stays`, with logins and the names that sites
    /// know. False: one of them is not there.
    async fn merge(&self, stays: &str, goes: &str, by: &str, now: Timestamp)
    -> Result<bool, Error>;

    /// Whether it answers.
    async fn ping(&self) -> Result<(), Error>;

    /// How long its work takes.
    fn times(&self) -> &Times;
}

/// The store behind its trait.
pub type SharedStore = Arc<dyn Store>;
