//! Who a js_code stands for (wechat-api.md section 4.1).

use serde::Deserialize;

use crate::secret::SessionKey;

/// A person, as WeChat names them to this mini program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The person's name within this mini program; it stays the same.
    pub openid: String,
    /// The person's name across everything bound to one Open Platform account; only where the mini
    /// program is bound.
    pub unionid: Option<String>,
    /// What signs and encrypts the person's data until they sign in again.
    pub session_key: SessionKey,
}

#[derive(Deserialize)]
pub(crate) struct SessionAnswer {
    openid: String,
    unionid: Option<String>,
    session_key: String,
}

impl SessionAnswer {
    /// An empty openid would make everybody one person.
    pub(crate) fn is_whole(&self) -> bool {
        !self.openid.is_empty() && !self.session_key.is_empty()
    }
}

impl From<SessionAnswer> for Session {
    fn from(answer: SessionAnswer) -> Self {
        Self {
            openid: answer.openid,
            unionid: answer.unionid.filter(|unionid| !unionid.is_empty()),
            session_key: SessionKey::new(answer.session_key),
        }
    }
}
