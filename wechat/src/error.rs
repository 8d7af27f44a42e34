//! What can come of a call, as values that a program can act on.
//!
//! No error carries a URL, a token or the secret: the token stands in the URL of every call.

use std::fmt;
use std::time::Duration;

use crate::refusal::{Act, Refusal};
use crate::token::StoreError;

/// One of WeChat's server APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Api {
    /// `GET /cgi-bin/token`: the plain token.
    Token,
    /// `POST /cgi-bin/stable_token`: the stable token.
    StableToken,
    /// `POST /wxa/getwxacode`: code A, from the 100,000 for ever.
    Code,
    /// `POST /wxa/getwxacodeunlimit`: code B, 5,000 a minute.
    UnlimitedCode,
    /// `POST /cgi-bin/wxaapp/createwxaqrcode`: code C, a square QR, from the same 100,000 as A.
    QrCode,
    /// `GET /sns/jscode2session`: who a js_code stands for.
    Code2Session,
    /// `GET /wxa/checksession`: is this session key still the one?
    CheckSession,
    /// `GET /wxa/resetusersessionkey`: a new session key for a person.
    ResetSessionKey,
    /// `POST /wxa/msg_sec_check`: would WeChat let this text stand?
    CheckText,
    /// `POST /cgi-bin/clear_quota`: all daily quotas back to full, ten times a month.
    ClearQuota,
    /// `POST /cgi-bin/openapi/quota/get`: what is left of one API's quota.
    GetQuota,
    /// `POST /cgi-bin/openapi/rid/get`: what WeChat remembers of one refused call.
    GetRid,
}

impl Api {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 12] = [
        Self::Token,
        Self::StableToken,
        Self::Code,
        Self::UnlimitedCode,
        Self::QrCode,
        Self::Code2Session,
        Self::CheckSession,
        Self::ResetSessionKey,
        Self::CheckText,
        Self::ClearQuota,
        Self::GetQuota,
        Self::GetRid,
    ];

    /// The path below `https://api.weixin.qq.com`.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Token => "/cgi-bin/token",
            Self::StableToken => "/cgi-bin/stable_token",
            Self::Code => "/wxa/getwxacode",
            Self::UnlimitedCode => "/wxa/getwxacodeunlimit",
            Self::QrCode => "/cgi-bin/wxaapp/createwxaqrcode",
            Self::Code2Session => "/sns/jscode2session",
            Self::CheckSession => "/wxa/checksession",
            Self::ResetSessionKey => "/wxa/resetusersessionkey",
            Self::CheckText => "/wxa/msg_sec_check",
            Self::ClearQuota => "/cgi-bin/clear_quota",
            Self::GetQuota => "/cgi-bin/openapi/quota/get",
            Self::GetRid => "/cgi-bin/openapi/rid/get",
        }
    }

    /// Whether the same call may be sent again when its answer was lost. A js_code is spent by the
    /// first call, a reset kills the key that asked for it, and quota is cleared ten times a month.
    #[must_use]
    pub const fn repeatable(self) -> bool {
        !matches!(self, Self::Code2Session | Self::ResetSessionKey | Self::ClearQuota)
    }

    /// Whether it answers with a picture.
    pub(crate) const fn draws(self) -> bool {
        matches!(self, Self::Code | Self::UnlimitedCode | Self::QrCode)
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// Why a call brought no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// WeChat was not reached, or the answer never came. Whether the call took effect is unknown.
    #[error("{api}: {why}: {detail}")]
    Unreachable {
        /// What was called.
        api: Api,
        /// How it failed.
        why: Unreachable,
        /// The cause in the words of the network, without the URL.
        detail: String,
    },
    /// WeChat answered no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// WeChat, or something in between, answered what WeChat never answers.
    #[error("{api}: unreadable answer, HTTP {status}, {len} bytes: {why}")]
    Unreadable {
        /// What was called.
        api: Api,
        /// The HTTP status. WeChat answers 200 even when it refuses.
        status: u16,
        /// The length of the body in bytes. The body itself is left out: it may hold a secret.
        len: usize,
        /// What is wrong with it.
        why: Unreadable,
    },
    /// The call was not made: the API has failed or refused so lately that another call would only
    /// hammer it.
    #[error("{api}: not called for another {}: {why}", Seconds(*.left))]
    Resting {
        /// What would have been called.
        api: Api,
        /// How long until calls are let through again.
        left: Duration,
        /// What made it rest.
        why: RestReason,
    },
    /// The shared token store failed, and the plain token cannot be fetched safely without it.
    #[error("the shared token store failed: {0}")]
    Store(#[from] StoreError),
}

impl Error {
    /// Who must do something about it.
    #[must_use]
    pub fn act(&self) -> Act {
        match self {
            Self::Refused(refusal) => refusal.act(),
            Self::Resting { left, .. } => Act::Later { after: *left },
            Self::Unreachable { .. } | Self::Unreadable { .. } | Self::Store(_) => Act::Retry,
        }
    }

    /// WeChat's refusal, if it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        if let Self::Refused(refusal) = self { Some(refusal) } else { None }
    }

    /// Whether this is the upstream ailing, and not an answer about this call. These are what the
    /// breaker counts and what a second try may mend.
    pub(crate) fn is_ailing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unreadable { .. } => true,
            Self::Refused(refusal) => refusal.errcode == -1,
            Self::Resting { .. } | Self::Store(_) => false,
        }
    }
}

/// How a call failed to get an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreachable {
    /// No connection: name, route, refused, TLS.
    #[error("no connection to WeChat")]
    Connect,
    /// No answer in time.
    #[error("no answer from WeChat in time")]
    Timeout,
    /// The connection broke before the answer was whole.
    #[error("the connection to WeChat broke")]
    Cut,
}

/// What is wrong with an answer that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// An HTTP status other than 200, which comes from something in between.
    #[error("WeChat answers 200 to everything, so this is a proxy or a gateway")]
    Status,
    /// Not JSON where JSON was expected.
    #[error("not JSON")]
    NotJson,
    /// JSON without the fields that belong there.
    #[error("JSON without the expected fields")]
    Fields,
    /// Neither a picture nor JSON where a picture was expected.
    #[error("neither JPEG nor PNG nor JSON")]
    NotAPicture,
    /// Larger than anything WeChat sends.
    #[error("larger than anything WeChat sends")]
    TooLarge,
}

/// Why an API is left alone for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestReason {
    /// Five calls in a row went wrong.
    #[error("it failed five times in a row")]
    Failing,
    /// WeChat said that a quota is used up; the errcode.
    #[error("WeChat said that the quota is used up (errcode {0})")]
    Refused(i64),
    /// Our own count says that the next call would pass the minute's quota.
    #[error("this minute's quota is used up by our own count")]
    Counted,
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}
