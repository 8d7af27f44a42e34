//! Who did what, from where, and why it was allowed or refused.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    secret::Hashed,
    ticket::{Browser, Decision, Ticket},
    world::Timestamp,
};

/// Who did it, where it was a command: whoever has the machine.
pub const COMMAND: &str = "command";

/// Who did it, where a one-time link had let them into the console.
pub const CONSOLE: &str = "console";

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What happened: a stable, dotted word such as `ticket.approved`.
    pub what: String,
    /// Which person, where one is known.
    pub person: Option<String>,
    /// Which site, where one is concerned.
    pub site: Option<String>,
    /// From which address: a phone's for a scan, the browser's for a decision.
    pub address: Option<String>,
    /// What else is worth knowing; never a secret, an openid or a token.
    pub detail: Value,
}

impl Entry {
    /// A line of which no more is known than when and what.
    pub fn new(at: Timestamp, what: &str) -> Self {
        let what = what.to_owned();
        Self { at, what, person: None, site: None, address: None, detail: json!({}) }
    }

    /// The line about what a phone decided, with what was asked of it and why.
    pub fn of_decision(decision: &Decision, what: &str, person: Option<String>) -> Self {
        let more = json!({
            "ticket": tag(decision.ticket),
            "ask": decision.risk.ask,
            "risk": decision.risk.level,
            "why": decision.risk.why,
            "kind": decision.kind,
            "browser": shown(&decision.browser),
        });
        Self::new(decision.at, what)
            .about(person)
            .at_site(decision.request.site.clone())
            .from_address(decision.browser.address)
            .with(more)
    }

    /// The line about a scan from this address.
    pub fn of_scan(ticket: &Ticket, phone: IpAddr, what: &str, at: Timestamp) -> Self {
        let browser = shown(&ticket.browser);
        Self::new(at, what)
            .at_site(ticket.request.site.clone())
            .from_address(phone)
            .with(json!({ "ticket": tag(ticket.id), "kind": ticket.kind, "browser": browser }))
    }

    /// The line about what an operator did: `by` is [`COMMAND`], [`CONSOLE`], or the id of an owner.
    pub fn of_operator(at: Timestamp, what: &str, by: &str) -> Self {
        Self::new(at, what).with(json!({ "by": by }))
    }

    /// The same line, about this person.
    #[must_use]
    pub fn about(self, person: impl Into<Option<String>>) -> Self {
        Self { person: person.into(), ..self }
    }

    /// The same line, at this site.
    #[must_use]
    pub fn at_site(self, site: impl Into<Option<String>>) -> Self {
        Self { site: site.into(), ..self }
    }

    /// The same line, from this address.
    #[must_use]
    pub fn from_address(self, address: IpAddr) -> Self {
        Self { address: Some(address.to_string()), ..self }
    }

    /// The same line, with more that is worth knowing.
    #[must_use]
    pub fn with(mut self, more: Value) -> Self {
        if let (Value::Object(detail), Value::Object(more)) = (&mut self.detail, more) {
            detail.extend(more);
        }
        self
    }
}

/// By this the lines of one ticket are found together; it leads back to nothing.
fn tag(ticket: Hashed) -> String {
    format!("{ticket:?}")
}

fn shown(browser: &Browser) -> Value {
    json!({ "name": browser.name, "os": browser.os, "region": browser.region })
}

/// One attempt to sign in with this person's phone, as the person is shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Names it in the list.
    pub id: i64,
    /// The site's `client_id`.
    pub site: String,
    /// The browser: name, os, region.
    pub browser: Value,
    /// When.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an attempt to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[expect(missing_docs, reason = "the words of the protocol, which explains them")]
pub enum Outcome {
    Approved,
    Denied,
    WrongMatch,
    NotAdmitted,
    OwnerAsked,
    Refused,
    Expired,
}

/// The attempts that these lines tell of, the latest first as the lines are. One that still waits for its decision is none
/// yet.
pub fn attempts(lines: &[(i64, Entry)], life: Duration, now: Timestamp) -> Vec<Attempt> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (id, entry) in lines {
        let outcome = match entry.what.as_str() {
            "ticket.approved" => Outcome::Approved,
            "ticket.denied" => Outcome::Denied,
            "ticket.wrong_match" => Outcome::WrongMatch,
            "ticket.not_admitted" => Outcome::NotAdmitted,
            "ticket.owner_asked" => Outcome::OwnerAsked,
            "ticket.scanned" if now.since(entry.at) < life => continue,
            "ticket.scanned" if entry.detail.get("ask") == Some(&json!("refuse")) => {
                Outcome::Refused
            }
            "ticket.scanned" => Outcome::Expired,
            _ => continue,
        };
        let ticket = entry.detail.get("ticket").and_then(Value::as_str).unwrap_or_default();
        // Lines of one ticket: its decision comes after its scans, and so before them here.
        if let Some(site) = &entry.site
            && seen.insert(ticket)
        {
            let browser = entry.detail.get("browser").cloned().unwrap_or_default();
            found.push(Attempt { id: *id, site: site.clone(), browser, at: entry.at, outcome });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: i64, seconds: i64, what: &str, ticket: &str, ask: &str) -> (i64, Entry) {
        let detail = json!({ "ticket": ticket, "ask": ask, "browser": { "name": "Firefox" } });
        let at = Timestamp::from_millis(seconds * 1000);
        let (person, site) = (Some("ann".to_owned()), Some("blog".to_owned()));
        (id, Entry { at, what: what.to_owned(), person, site, address: None, detail })
    }

    #[test]
    fn each_ticket_is_one_attempt_with_what_came_of_it() {
        let lines = [
            line(11, 995, "ticket.owner_asked", "asks", "tap"),
            line(10, 994, "ticket.not_admitted", "closed", "tap"),
            line(9, 990, "ticket.scanned", "open", "tap"),
            line(8, 800, "login.ended", "", ""),
            line(7, 700, "ticket.approved", "yes", "tap"),
            line(6, 690, "ticket.scanned", "yes", "tap"),
            line(5, 500, "ticket.wrong_match", "missed", "match"),
            line(4, 490, "ticket.scanned", "missed", "match"),
            line(3, 300, "ticket.scanned", "card", "refuse"),
            line(2, 200, "ticket.scanned", "left", "tap"),
            line(1, 100, "ticket.denied", "no", "tap"),
        ];
        let now = Timestamp::from_millis(1_000_000);
        let told = attempts(&lines, Duration::from_secs(120), now);
        let told: Vec<_> = told.iter().map(|attempt| (attempt.id, attempt.outcome)).collect();
        assert_eq!(
            told,
            [
                (11, Outcome::OwnerAsked),
                (10, Outcome::NotAdmitted),
                (7, Outcome::Approved),
                (5, Outcome::WrongMatch),
                (3, Outcome::Refused),
                (2, Outcome::Expired),
                (1, Outcome::Denied)
            ]
        );
    }
}
