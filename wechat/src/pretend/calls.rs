//! Every call seen, secrets masked.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::Value;

const KEPT: usize = 10_000;
const SECRETS: [&str; 6] =
    ["access_token", "secret", "appsecret", "js_code", "signature", "session_key"];

/// One call, as WeChat saw it.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// When, in Unix seconds of the pretend WeChat's time.
    pub at: u64,
    /// The HTTP method.
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The query, secrets masked.
    pub query: Value,
    /// The JSON body, secrets masked; `null` if there was none or it was no JSON.
    pub body: Value,
    /// The HTTP status of the answer; 0 while there is none, or if the caller did not wait for it.
    pub status: u16,
    /// The errcode of the answer; 0 for a success.
    pub errcode: i64,
    /// The request id of the answer.
    pub rid: String,
    /// Whether it went wrong on order.
    pub trouble: bool,
    /// What the real WeChat would pass over in silence, but what the caller should mend.
    pub warnings: Vec<String>,
}

#[derive(Default)]
pub(super) struct Calls {
    list: VecDeque<Call>,
    counts: BTreeMap<String, usize>,
}

impl Calls {
    pub(super) fn add(&mut self, call: Call) {
        *self.counts.entry(call.path.clone()).or_default() += 1;
        self.list.push_back(call);
        if self.list.len() > KEPT {
            self.list.pop_front();
        }
    }

    /// Writes down how the call with this request id was answered.
    pub(super) fn answered(&mut self, rid: &str, status: u16, errcode: i64, warnings: Vec<String>) {
        if let Some(call) = self.list.iter_mut().rev().find(|call| call.rid == rid) {
            call.status = status;
            call.errcode = errcode;
            call.warnings = warnings;
        }
    }

    pub(super) fn list(&self) -> Vec<Call> {
        self.list.iter().cloned().collect()
    }

    pub(super) fn count(&self, path: &str) -> usize {
        self.counts.get(path).copied().unwrap_or(0)
    }

    pub(super) fn by_rid(&self, rid: &str) -> Option<&Call> {
        self.list.iter().rev().find(|call| call.rid == rid)
    }
}

/// Hides the secrets of an object, however deep it lies.
pub(super) fn masked(value: Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(
            object
                .into_iter()
                .map(|(name, value)| {
                    let hidden = SECRETS.contains(&name.as_str());
                    (name, if hidden { "***".into() } else { masked(value) })
                })
                .collect(),
        ),
        other => other,
    }
}
