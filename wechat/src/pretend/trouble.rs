//! Trouble on order: the next calls of a path go wrong.

use std::time::Duration;

use serde::Deserialize;

/// What goes wrong with the next calls of a path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trouble {
    /// The path, or `*` for any of WeChat's.
    pub path: String,
    /// WeChat refuses with this code. The call has no effect.
    pub errcode: Option<i64>,
    /// The text of that refusal, without the request id.
    pub errmsg: Option<String>,
    /// An HTTP status, as from a proxy in between. The call has no effect.
    pub status: Option<u16>,
    /// This body in place of an answer. The call has no effect.
    pub body: Option<String>,
    /// The call has its effect, but the connection is cut in the middle of the answer.
    #[serde(default)]
    pub cut: bool,
    /// The answer comes this much later, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// How many calls go wrong; one if nothing is said.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

impl Trouble {
    /// Trouble on the next call of this path; say what kind with the methods below.
    #[must_use]
    pub fn on(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            errcode: None,
            errmsg: None,
            status: None,
            body: None,
            cut: false,
            delay_ms: 0,
            times: once(),
        }
    }

    /// WeChat refuses with this code.
    #[must_use]
    pub fn errcode(mut self, errcode: i64) -> Self {
        self.errcode = Some(errcode);
        self
    }

    /// An HTTP status, as from a proxy in between.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// This body in place of an answer.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The connection is cut in the middle of the answer.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.cut = true;
        self
    }

    /// The answer comes this much later.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// This many calls go wrong.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }
}

#[derive(Default)]
pub(super) struct Troubles(Vec<Trouble>);

impl Troubles {
    pub(super) fn add(&mut self, trouble: Trouble) {
        if trouble.times > 0 {
            self.0.push(trouble);
        }
    }

    /// The oldest trouble that was ordered for this path, once less from now on.
    pub(super) fn next(&mut self, path: &str) -> Option<Trouble> {
        let at = self.0.iter().position(|trouble| trouble.path == path || trouble.path == "*")?;
        let trouble = self.0.get_mut(at)?;
        trouble.times -= 1;
        let now = trouble.clone();
        if now.times == 0 {
            self.0.remove(at);
        }
        Some(now)
    }
}
