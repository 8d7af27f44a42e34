//! One attempt of one browser to sign in: its states, and the only ways between them.
//!
//! Pure. Every transition consumes the old state and returns the next, or a refusal; who calls it writes the result with
//! one compare-and-swap. What lives minutes is a [`Ticket`], waiting or scanned; what is kept for good is a [`Decision`].
//! Expiry is no state: the clock decides.

use std::{net::IpAddr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    grant::{Request, Scopes},
    lang::Lang,
    person::Identity,
    risk::{Ask, Level, Risk},
    secret::Hashed,
    world::{Timestamp, World},
};

/// How often one page may renew its code: after that somebody must be there to press a button on a fresh page.
pub const MAX_RENEWALS: u8 = 5;

/// A waiting or scanned ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The hash of the ticket id, which the page alone knows.
    pub id: Hashed,
    /// The public name inside the code.
    pub scene: String,
    /// Who may claim it.
    pub owner: Owner,
    /// What the site asked for.
    pub request: Request,
    /// What kind of page waits.
    pub kind: Kind,
    /// The browser, as far as it can be told.
    pub browser: Browser,
    /// When it was opened.
    pub opened: Timestamp,
    /// When the present stage ends.
    pub expires: Timestamp,
    /// How often its page has renewed.
    pub renewals: u8,
    /// Eight digits to type, once the page has asked for them.
    pub digits: Option<String>,
    /// Waiting or scanned.
    pub stage: Stage,
}

/// Who opened a ticket, and alone may claim, renew or cancel it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// An embedded page, by the key in its memory and the origin it stands on.
    Page {
        /// The hash of its key.
        key: Hashed,
        /// Its origin, one that the site registered.
        origin: String,
    },
    /// The hosted page, by the browser's cookie.
    Browser {
        /// The hash of the cookie.
        cookie: Hashed,
        /// The signed-in session this browser had, whose approvals a new one takes over.
        session: Option<Hashed>,
        /// Where the page stands, if not on saoma's own origin: the operators' console.
        #[serde(default)]
        at: Option<String>,
    },
    /// A device, by its device code, which is the ticket id: it has no page to watch, and no browser to be known by.
    Device,
}

/// What a caller presents to prove that a ticket is its own; hashes of what it sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Presented {
    /// The key of an embedded page.
    pub key: Option<Hashed>,
    /// The cookie of the browser.
    pub cookie: Option<Hashed>,
}

impl Owner {
    /// Whether what was presented is this owner's.
    pub fn is(&self, presented: Presented) -> bool {
        match self {
            Self::Page { key, .. } => presented.key == Some(*key),
            Self::Browser { cookie, .. } => presented.cookie == Some(*cookie),
            Self::Device => false,
        }
    }

    /// Whether who presented this may watch the state. An embedded page watches by its ticket id and origin alone: browsers
    /// send no header with a WebSocket, and a key may not stand in a URL.
    pub fn may_watch(&self, presented: Presented) -> bool {
        match self {
            Self::Page { .. } => true,
            Self::Browser { .. } | Self::Device => self.is(presented),
        }
    }

    /// The origin whose pages may use the ticket; none: saoma's own.
    pub fn origin(&self) -> Option<&str> {
        match self {
            Self::Page { origin, .. } => Some(origin),
            Self::Browser { at, .. } => at.as_deref(),
            Self::Device => None,
        }
    }

    /// The hash of the browser's cookie, by which a person's browsers are known again.
    pub fn browser(&self) -> Option<Hashed> {
        match self {
            Self::Page { .. } | Self::Device => None,
            Self::Browser { cookie, .. } => Some(*cookie),
        }
    }
}

/// What kind of page waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A page on another screen than the phone's.
    Page,
    /// A page that says it is on the phone itself.
    OnPhone,
    /// A terminal or a television (RFC 8628).
    Device,
}

/// The word in a name's place where a browser does not say it.
pub const UNKNOWN: &str = "unknown";

/// What is known of a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Browser {
    /// Such as "Firefox", or [`UNKNOWN`].
    pub name: String,
    /// Such as "Windows 10", or [`UNKNOWN`].
    pub os: String,
    /// Where its requests come from.
    pub address: IpAddr,
    /// Its region, if a database knows it.
    pub region: Option<String>,
}

impl Browser {
    /// As people read of it: what nobody knows of it is left out.
    pub fn shown(&self, lang: Lang) -> String {
        let words = [&*self.name, &*self.os].into_iter();
        let known: Vec<_> = words.filter(|word| *word != UNKNOWN).collect();
        if known.is_empty() {
            return lang.s("未知浏览器或设备", "unknown browser or device").to_owned();
        }
        known.join(" · ")
    }
}

/// Where a ticket stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// For a phone.
    Waiting,
    /// For the person who holds the phone that scanned.
    Scanned(Box<Scan>),
}

/// The scan that took a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// Who scanned.
    pub identity: Identity,
    /// The hash of the phone's token for this ticket.
    pub token: Hashed,
    /// What is asked, and why.
    pub risk: Risk,
    /// The number that the page shows, where one is asked for.
    pub number: Option<String>,
    /// What the hosted page may show of the person.
    pub face: Option<Face>,
}

/// What a person chose to show.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Face {
    /// The chosen name, if any.
    pub nickname: Option<String>,
    /// The path of the picture on saoma's origin, if any.
    pub avatar: Option<String>,
}

/// Why something cannot be done to a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Unknown, somebody else's, or gone: never told apart.
    #[error("no such ticket")]
    NoSuchTicket,
    /// Its time is over.
    #[error("the ticket has expired")]
    Expired,
    /// Another phone was first.
    #[error("another phone has scanned the code")]
    TakenByAnotherPhone,
    /// It was approved or denied before.
    #[error("the ticket is decided")]
    AlreadyDecided,
    /// A phone has scanned it, so it cannot be renewed or typed any more.
    #[error("a phone has scanned the code")]
    AlreadyScanned,
    /// Nobody has approved or denied it yet.
    #[error("the ticket is not decided")]
    NotDecided,
    /// No token, a foreign one, or one that a later scan replaced.
    #[error("the token is not the one of the last scan")]
    NotTheToken,
    /// The number on the page is asked for and was not given.
    #[error("the number on the page is asked for")]
    MatchRequired,
    /// The number was wrong, and the ticket is denied.
    #[error("the number was wrong")]
    WrongMatch,
    /// Too risky to be approved at all.
    #[error("the scan came about in a way that cannot be approved")]
    Refused,
    /// The site does not let this person in.
    #[error("the site does not let this person in")]
    NotAdmitted,
    /// The owner has been asked to let this person in.
    #[error("the owner must let this person in first")]
    OwnerAsked,
    /// Renewed five times already.
    #[error("the page has renewed too often")]
    TooManyRenewals,
}

/// A phone that scans, with what the outside has found out about it.
#[derive(Debug, Clone)]
pub struct Scanner {
    /// Who WeChat says it is.
    pub identity: Identity,
    /// The hash of a fresh token.
    pub token: Hashed,
    /// What this scan would ask.
    pub risk: Risk,
    /// What the hosted page may show.
    pub face: Option<Face>,
}

impl Ticket {
    /// Whether its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires
    }

    /// A phone scans. The first keeps the ticket; the same person again gets a new token and the old one dies.
    ///
    /// # Errors
    /// [`Refusal::Expired`], [`Refusal::TakenByAnotherPhone`].
    pub fn scan(
        mut self,
        scanner: Scanner,
        now: Timestamp,
        life: Duration,
        world: &World,
    ) -> Result<Self, Refusal> {
        if self.is_expired(now) {
            return Err(Refusal::Expired);
        }
        let Scanner { identity, token, risk, face } = scanner;
        let (risk, number) = match &self.stage {
            Stage::Waiting => {
                self.expires = now + life;
                (risk, None)
            }
            Stage::Scanned(first) if !first.identity.is_same(&identity) => {
                return Err(Refusal::TakenByAnotherPhone);
            }
            // A second scan does not buy time, and the number that the page shows stays.
            Stage::Scanned(first) => (risk.worse(&first.risk), first.number.clone()),
        };
        let number = match risk.ask {
            Ask::Match => number.or_else(|| Some(format!("{:02}", world.below(100)))),
            Ask::Tap | Ask::Refuse => None,
        };
        self.stage = Stage::Scanned(Box::new(Scan { identity, token, risk, number, face }));
        Ok(self)
    }

    /// The person approves, with the number where one is asked for. A wrong number is a decision too: no.
    ///
    /// # Errors
    /// [`Refusal::Expired`], [`Refusal::NotTheToken`], [`Refusal::MatchRequired`], [`Refusal::Refused`].
    pub fn approve(
        self,
        token: Hashed,
        approval: &Approval,
        now: Timestamp,
    ) -> Result<Decision, Refusal> {
        let scan = self.held_by(token, now)?.clone();
        // Nothing but spaces is no number, and none of what is around one counts.
        let typed = approval.number.as_deref().map(str::trim).filter(|typed| !typed.is_empty());
        let verdict = match (scan.risk.ask, &scan.number, typed) {
            (Ask::Refuse, ..) => return Err(Refusal::Refused),
            (Ask::Match, _, None) => return Err(Refusal::MatchRequired),
            (Ask::Match, Some(shown), Some(typed)) if Hashed::of(shown) == Hashed::of(typed) => {
                self.approved(&scan, approval)
            }
            (Ask::Match, ..) => Verdict::Denied(Denied::WrongMatch),
            (Ask::Tap, ..) => self.approved(&scan, approval),
        };
        Ok(self.decided(scan, verdict, now))
    }

    /// The person denies.
    ///
    /// # Errors
    /// [`Refusal::Expired`], [`Refusal::NotTheToken`].
    pub fn deny(self, token: Hashed, now: Timestamp) -> Result<Decision, Refusal> {
        let scan = self.held_by(token, now)?.clone();
        Ok(self.decided(scan, Verdict::Denied(Denied::ByPerson), now))
    }

    /// The page asks for a fresh code. The old ticket must be taken away where this one is put.
    ///
    /// # Errors
    /// [`Refusal::AlreadyScanned`], [`Refusal::TooManyRenewals`].
    pub fn renew(self, fresh: Fresh, now: Timestamp, life: Duration) -> Result<Self, Refusal> {
        if matches!(self.stage, Stage::Scanned(_)) && !self.is_expired(now) {
            return Err(Refusal::AlreadyScanned);
        }
        if self.renewals >= MAX_RENEWALS {
            return Err(Refusal::TooManyRenewals);
        }
        let owner = match (self.owner, fresh.key) {
            (Owner::Page { origin, .. }, Some(key)) => Owner::Page { key, origin },
            (owner, _) => owner,
        };
        Ok(Self {
            id: fresh.id,
            scene: fresh.scene,
            owner,
            opened: now,
            expires: now + life,
            renewals: self.renewals + 1,
            digits: None,
            stage: Stage::Waiting,
            ..self
        })
    }

    /// The page asks for digits to type; the same ones if it asks again.
    ///
    /// # Errors
    /// [`Refusal::AlreadyScanned`], [`Refusal::Expired`].
    pub fn with_digits(mut self, fresh: String, now: Timestamp) -> Result<Self, Refusal> {
        match self.stage {
            _ if self.is_expired(now) => Err(Refusal::Expired),
            Stage::Scanned(_) => Err(Refusal::AlreadyScanned),
            Stage::Waiting => {
                self.digits.get_or_insert(fresh);
                Ok(self)
            }
        }
    }

    /// The scan, if it is this token's and in time.
    fn held_by(&self, token: Hashed, now: Timestamp) -> Result<&Scan, Refusal> {
        match &self.stage {
            Stage::Scanned(scan) if scan.token != token => Err(Refusal::NotTheToken),
            Stage::Waiting => Err(Refusal::NotTheToken),
            Stage::Scanned(_) if self.is_expired(now) => Err(Refusal::Expired),
            Stage::Scanned(scan) => Ok(scan),
        }
    }

    fn approved(&self, scan: &Scan, approval: &Approval) -> Verdict {
        // A browser is remembered only where nothing was odd: one phish must not open every site (threats.md, further rules).
        let ordinary = scan.risk.level == Level::Low && self.kind != Kind::Device;
        let hosted = self.owner.browser().is_some();
        Verdict::Approved {
            scopes: self.request.scopes.granted(&approval.scopes),
            remember: approval.remember && ordinary && hosted,
        }
    }

    fn decided(self, scan: Scan, verdict: Verdict, now: Timestamp) -> Decision {
        // On the phone itself the page sleeps while the person is in WeChat, and needs time to be woken; a device asks at
        // intervals that may have grown.
        let to_claim = if self.kind == Kind::Page { 120 } else { 600 };
        Decision {
            ticket: self.id,
            scene: self.scene,
            owner: self.owner,
            request: self.request,
            kind: self.kind,
            browser: self.browser,
            identity: scan.identity,
            token: scan.token,
            risk: scan.risk,
            verdict,
            at: now,
            claim_until: now + Duration::from_secs(to_claim),
        }
    }
}

/// What a person sends to approve.
#[derive(Debug, Clone, Default)]
pub struct Approval {
    /// The number typed, if any.
    pub number: Option<String>,
    /// Whether this browser is to be remembered.
    pub remember: bool,
    /// The scopes ticked.
    pub scopes: Vec<String>,
}

/// What a renewed ticket gets anew.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// The hash of its new id.
    pub id: Hashed,
    /// The hash of its new key; none for the hosted page, whose cookie stays.
    pub key: Option<Hashed>,
    /// Its new scene.
    pub scene: String,
}

/// Yes or no, as it is kept for good. The first to be written wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The hash of the ticket id.
    pub ticket: Hashed,
    /// The ticket's public name.
    pub scene: String,
    /// Who may claim it.
    pub owner: Owner,
    /// What the site asked for.
    pub request: Request,
    /// What kind of page waits.
    pub kind: Kind,
    /// The browser that opened it.
    pub browser: Browser,
    /// Who decided.
    pub identity: Identity,
    /// The hash of the phone's token.
    pub token: Hashed,
    /// What was asked, and why.
    pub risk: Risk,
    /// Yes or no.
    pub verdict: Verdict,
    /// When.
    pub at: Timestamp,
    /// Until when the page may claim it.
    pub claim_until: Timestamp,
}

/// Yes or no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Approved {
        /// What the site gets.
        scopes: Scopes,
        /// Whether this browser skips the scan next time.
        remember: bool,
    },
    /// No.
    Denied(Denied),
}

/// How a ticket came to be denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Denied {
    /// The person said no.
    ByPerson,
    /// The wrong number was typed.
    WrongMatch,
    /// The site does not let this person in.
    NotAdmitted,
    /// The owner must let this person in first, and has been asked.
    OwnerAsked,
}

impl Decision {
    /// Whether it was yes.
    pub fn is_approved(&self) -> bool {
        self.granted().is_some()
    }

    /// What a yes gives the site. A browser that skipped the scan may have asked for less than its login may do.
    pub fn granted(&self) -> Option<&Scopes> {
        match &self.verdict {
            Verdict::Approved { scopes, .. } => Some(scopes),
            Verdict::Denied(_) => None,
        }
    }

    /// The same, but that the site's door ends an approval so.
    #[must_use]
    pub fn turned_away(self, why: Option<Denied>) -> Self {
        match why {
            Some(why) if self.is_approved() => Self { verdict: Verdict::Denied(why), ..self },
            _ => self,
        }
    }

    /// The same verb again, by the same token, gets the same answer (a reply may be lost); another verb is late.
    ///
    /// # Errors
    /// [`Refusal::NotTheToken`], [`Refusal::WrongMatch`], [`Refusal::AlreadyDecided`].
    pub fn again(&self, token: Hashed, approving: bool) -> Result<(), Refusal> {
        match (&self.verdict, approving) {
            _ if self.token != token => Err(Refusal::NotTheToken),
            (Verdict::Approved { .. }, true) | (Verdict::Denied(Denied::ByPerson), false) => Ok(()),
            (Verdict::Denied(Denied::WrongMatch), true) => Err(Refusal::WrongMatch),
            (Verdict::Denied(Denied::NotAdmitted), true) => Err(Refusal::NotAdmitted),
            (Verdict::Denied(Denied::OwnerAsked), true) => Err(Refusal::OwnerAsked),
            _ => Err(Refusal::AlreadyDecided),
        }
    }

    /// What a phone is told that scans a decided ticket.
    pub fn scanned_again(&self, identity: &Identity) -> Refusal {
        if self.identity.is_same(identity) {
            Refusal::AlreadyDecided
        } else {
            Refusal::TakenByAnotherPhone
        }
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
