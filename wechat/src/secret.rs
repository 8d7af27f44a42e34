//! Secrets that pass through: none shows itself in `Debug`, and none has a `Display`.

use std::fmt;

macro_rules! redacted {
    ($name:ident, $vis:vis) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(***)"))
            }
        }

        impl $name {
            /// The secret itself. Keep it out of logs, URLs and errors.
            #[must_use]
            $vis fn expose(&self) -> &str {
                &self.0
            }
        }
    };
}

/// What opens WeChat's server API for some two hours. It stands in the URL of every call, which is
/// why no error and no log of this crate carries a URL.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(String);
redacted!(AccessToken, pub);

impl AccessToken {
    /// Takes a token as WeChat or a store gave it.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }
}

/// What WeChat shares with us about one person's session. Signing in by openid does not need it:
/// drop it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey(String);
redacted!(SessionKey, pub);

impl SessionKey {
    /// Takes a session key as WeChat gave it: the base64 of 16 bytes.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }
}

/// The AppSecret.
#[derive(Clone)]
pub(crate) struct AppSecret(pub(crate) String);
redacted!(AppSecret, pub(crate));

/// What `wx.login` gave the phone: good for five minutes and for one exchange.
///
/// It cannot be cloned and the exchange takes it whole, so it cannot be sent twice: a second use is
/// refused (40163), and a lost answer has used it up all the same.
pub struct JsCode(String);
redacted!(JsCode, pub);

/// Why a text cannot be a [`JsCode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a js_code has 1 to 512 visible ASCII characters")]
pub struct InvalidJsCode;

impl JsCode {
    /// Takes what a phone sent. The bounds are ours, wide of anything seen: they keep garbage from
    /// being carried to WeChat.
    ///
    /// # Errors
    /// [`InvalidJsCode`] when it is empty, longer than 512 characters or not visible ASCII.
    pub fn new(code: impl Into<String>) -> Result<Self, InvalidJsCode> {
        let code = code.into();
        let fits = (1..=512).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(code)) } else { Err(InvalidJsCode) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_shows_itself() {
        let shown = format!(
            "{:?} {:?} {:?} {:?}",
            AccessToken::new("hush"),
            SessionKey::new("hush"),
            AppSecret("hush".into()),
            JsCode::new("hush").unwrap()
        );
        assert_eq!(shown, "AccessToken(***) SessionKey(***) AppSecret(***) JsCode(***)");
    }

    #[test]
    fn a_js_code_is_short_visible_ascii() {
        assert!(JsCode::new("0a1B").is_ok());
        for odd in ["", "two words", "码", "a\nb", &"x".repeat(513)] {
            assert!(JsCode::new(odd).is_err(), "{odd:?}");
        }
    }
}
