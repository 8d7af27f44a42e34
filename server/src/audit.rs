//! Who did what, from where, and why it was allowed or refused.

use serde::{Deserialize, Serialize};

use crate::{ticket::Decision, world::Timestamp};

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
    /// From which address.
    pub address: Option<String>,
    /// What else is worth knowing; never a secret, an openid or a token.
    pub detail: serde_json::Value,
}

impl Entry {
    /// The line about what a phone decided, with what was asked of it and why.
    pub fn of_decision(decision: &Decision, what: &str, person: Option<String>) -> Self {
        Self {
            at: decision.at,
            what: what.to_owned(),
            person,
            site: Some(decision.request.site.clone()),
            address: Some(decision.browser.address.to_string()),
            detail: serde_json::json!({
                "ask": decision.risk.ask,
                "risk": decision.risk.level,
                "why": decision.risk.why,
                "kind": decision.kind,
                "browser": { "name": decision.browser.name, "os": decision.browser.os },
            }),
        }
    }
}
