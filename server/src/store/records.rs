//! What a store takes and gives.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    admission::Word,
    grant::{Scope, Scopes},
    person::{Identity, Newcomer, Person},
    secret::Hashed,
    site::Alg,
    ticket::{Browser, Decision},
    world::Timestamp,
};

/// A browser's session, as the browser shows it. What its own cookie is made from lies in the store, so that it counts only
/// beside the cookie by which the browser is known, which does not: a copy of the store opens no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrowserSession {
    /// The hash of the session's cookie.
    pub hash: Hashed,
    /// The hash of the browser's.
    pub cookie: Hashed,
}

/// A decision to be written, with all the names that would be needed if it is the first.
#[derive(Debug, Clone)]
pub struct Decide {
    /// Yes or no.
    pub decision: Decision,
    /// The hash of the authorization code.
    pub code: Hashed,
    /// The browser's session that an approval belongs to: its hash, and until when it may skip scans by this approval. One
    /// that itself skipped a scan ends with the session, and vouches for nothing.
    pub session: Option<(Hashed, Timestamp)>,
    /// The group whose `sub` is used.
    pub group: String,
    /// Who it would be, if nobody knows the identity.
    pub newcomer: Newcomer,
    /// The `sub`, if the group does not know the person yet.
    pub sub: String,
    /// The login that an approval makes, or goes on with.
    pub login: LoginOf,
    /// What stood between the person and the site when that was looked at.
    pub word: Option<Word>,
}

/// Which login an approval belongs to.
#[derive(Debug, Clone)]
pub enum LoginOf {
    /// One of its own.
    New {
        /// Its id.
        id: String,
        /// When the phone approved: earlier than the decision where a browser skips the scan.
        since: Timestamp,
    },
    /// One that this browser has at this site already.
    Again(String),
}

/// A decision as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Yes or no.
    pub decision: Decision,
    /// What an approval made.
    pub login: Option<Login>,
    /// When the code was redeemed, or burnt by a wrong proof.
    pub redeemed: Option<Timestamp>,
}

/// One sign-in of a person at a site, until somebody ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// A row name ([`World::row_name`](crate::world::World::row_name)).
    pub id: String,
    /// Who.
    pub person: String,
    /// The site's `client_id`.
    pub site: String,
    /// Who the person is to the site.
    pub sub: String,
    /// What the site may know.
    pub scopes: Scopes,
    /// With which WeChat identity.
    pub identity: Identity,
    /// In which browser.
    pub browser: Browser,
    /// When a phone approved it.
    pub since: Timestamp,
    /// When a token of it was last used, to ten minutes.
    pub last_seen: Timestamp,
    /// The browser's session that it ends with.
    pub session: Option<Hashed>,
    /// Who ended it and when; none while it lives.
    pub ended: Option<Timestamp>,
}

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// For userinfo.
    Access,
    /// For new access tokens.
    Refresh,
    /// The cookie of an application behind a proxy, which knows no OpenID Connect.
    Application,
}

impl TokenKind {
    /// Its name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
            Self::Application => "application",
        }
    }

    /// The one of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Access, Self::Refresh, Self::Application]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// A token as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The hash of the token.
    pub hash: Hashed,
    /// What it is good for.
    pub kind: TokenKind,
    /// The login it belongs to.
    pub login: String,
    /// What it may be used for.
    pub scopes: Scopes,
    /// All that came of one code are one family, named by its ticket.
    pub family: Hashed,
    /// When the family began.
    pub since: Timestamp,
    /// When it was made.
    pub made: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// When a refresh token gave the next.
    pub used: Option<Timestamp>,
}

/// Tokens to be revoked.
#[derive(Debug, Clone)]
pub enum Revoke {
    /// One.
    Token(Hashed),
    /// All that came of one code.
    Family {
        /// The family.
        id: Hashed,
        /// Whose it is.
        login: String,
    },
}

/// A login that ended, and whose site is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logout {
    /// Names this row.
    pub id: i64,
    /// The login.
    pub login: String,
    /// Where it was.
    pub site: String,
    /// Who the person is to the site.
    pub sub: String,
    /// When it ended.
    pub ended: Timestamp,
    /// How often its site has been told in vain.
    pub tries: u32,
}

/// A token, the login it belongs to and whose it is, all still alive.
#[derive(Debug, Clone)]
pub struct LiveToken {
    /// The token.
    pub token: Token,
    /// Its login.
    pub login: Login,
    /// Who it speaks of.
    pub person: Person,
}

/// What a redemption did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redemption {
    /// This call consumed the code, and its tokens stand.
    Consumed,
    /// Somebody had consumed it before: what that gave has been revoked (RFC 6749 section 4.1.2).
    Reused,
}

/// A person as they come to a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Who.
    pub person: Person,
    /// What has been said about them there.
    pub word: Option<Word>,
    /// They have signed in with this browser before.
    pub knows_browser: bool,
    /// They have signed in to this site before.
    pub knows_site: bool,
}

/// Which people an operator looks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Part of a user name or nickname, or the whole of an id, an openid or a unionid; empty: everybody.
    pub text: String,
    /// Members of this group alone.
    pub group: Option<String>,
    /// Those who are kept out alone, or the others alone.
    pub blocked: Option<bool>,
    /// Those who come after this one: when the last of the page before was first seen, and their id.
    pub after: Option<(Timestamp, String)>,
    /// So many at most.
    pub most: u32,
}

/// A person in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Who.
    pub person: Person,
    /// When a token of theirs was last used, to ten minutes, or they last signed in; none if they never did.
    pub last_seen: Option<Timestamp>,
    /// In how many places they are signed in.
    pub logins: u32,
}

/// What an operator does to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Puts them in a group; [`OWNER`](crate::person::OWNER) is one.
    Join(String),
    /// Takes them out of a group.
    Leave(String),
    /// Keeps them out: their logins, tokens and phones' tokens end with it.
    Block,
    /// Lets them in again.
    Unblock,
    /// Lets them in to a site.
    Admit(String),
    /// Keeps them out of a site: their logins there end with it.
    Refuse(String),
    /// Takes back what was said about them at a site.
    Unsay(String),
    /// Ends one of their logins, by its id.
    End(String),
}

/// What has been said about a person at a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The site's `client_id`.
    pub site: String,
    /// What.
    pub word: Word,
    /// When.
    pub at: Timestamp,
}

/// Somebody who asks to be let in to a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// Who.
    pub person: Person,
    /// The site's `client_id`.
    pub site: String,
    /// When they last asked.
    pub at: Timestamp,
    /// In which browser they would sign in.
    pub browser: Option<Browser>,
}

/// A person after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// As they are now.
    pub person: Person,
    /// The logins that ended with it.
    pub ended: Vec<Login>,
}

/// A signing key or a secret of the server's own that is to be kept in another way.
#[derive(Debug, Clone)]
pub struct Seal {
    /// Its name.
    pub name: String,
    /// As it is kept.
    pub was: Vec<u8>,
    /// As it is to be.
    pub sealed: Vec<u8>,
}

/// A signing key as kept: the private half encrypted where `keys.secret` is set.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Its name in JWKS.
    pub kid: String,
    /// What it signs.
    pub alg: Alg,
    /// When it was made.
    pub made: Timestamp,
    /// From when on it signs; published before.
    pub signs_from: Timestamp,
    /// The private half.
    pub private: Vec<u8>,
}

/// The private half stays out of logs.
impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("StoredKey");
        shown.field("kid", &self.kid).field("alg", &self.alg).field("made", &self.made);
        shown.field("signs_from", &self.signs_from).finish_non_exhaustive()
    }
}

/// What is left of a person who is forgotten while they are kept out.
#[derive(Debug, Clone)]
pub struct Shadow {
    /// Its names.
    pub newcomer: Newcomer,
    /// What stands in the place of the person's identities.
    pub identities: Vec<Identity>,
}

/// What a person consented to: one kind of thing for one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// The site's `client_id`.
    pub site: String,
    /// The kind.
    pub kind: Scope,
    /// To which wording ([`grant::CONSENT_TEXT`](crate::grant::CONSENT_TEXT)).
    pub text: String,
    /// When it was given.
    pub given: Timestamp,
    /// When it was taken back, if it was.
    pub withdrawn: Option<Timestamp>,
}

/// A change of what a person shows.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// The name; empty: none any more.
    pub nickname: Option<String>,
    /// The picture, as (content type, bytes); no bytes: none any more.
    pub avatar: Option<(String, Vec<u8>)>,
}
