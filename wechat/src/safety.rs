//! Would WeChat let this text stand? (`msg_sec_check` version 2, wechat-api.md section 9)

use serde::Deserialize;
use serde_json::{Value, json};

/// Where a text is to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextScene {
    /// In somebody's profile.
    Profile,
    /// In a comment.
    Comment,
    /// In a forum.
    Forum,
    /// In a log.
    Log,
}

/// A text to be checked. Its author must have used the mini program within two hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextCheck {
    openid: String,
    scene: TextScene,
    content: String,
    nickname: Option<String>,
    title: Option<String>,
    signature: Option<String>,
}

impl TextCheck {
    /// The most characters that WeChat looks at.
    pub const MAX: usize = 2_500;

    /// Checks `content`, written by the person with this openid. What goes past
    /// [`TextCheck::MAX`] characters is cut off.
    #[must_use]
    pub fn new(openid: impl Into<String>, scene: TextScene, content: &str) -> Self {
        let content = content.chars().take(Self::MAX).collect();
        Self { openid: openid.into(), scene, content, nickname: None, title: None, signature: None }
    }

    /// The author's nickname, to be checked with it.
    #[must_use]
    pub fn nickname(mut self, nickname: impl Into<String>) -> Self {
        self.nickname = Some(nickname.into());
        self
    }

    /// The text's title, to be checked with it.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// The author's signature line, to be checked with it. WeChat looks at it for profiles alone.
    #[must_use]
    pub fn signature(mut self, signature: impl Into<String>) -> Self {
        self.signature = Some(signature.into());
        self
    }

    pub(crate) fn body(&self) -> Value {
        let scene = match self.scene {
            TextScene::Profile => 1,
            TextScene::Comment => 2,
            TextScene::Forum => 3,
            TextScene::Log => 4,
        };
        let mut body = json!({
            "version": 2, "openid": self.openid, "scene": scene, "content": self.content,
        });
        let extras =
            [("nickname", &self.nickname), ("title", &self.title), ("signature", &self.signature)];
        if let Value::Object(body) = &mut body {
            for (name, value) in extras {
                if let Some(value) = value {
                    body.insert(name.to_owned(), value.as_str().into());
                }
            }
        }
        body
    }
}

/// What WeChat thinks of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it suggests to do.
    pub suggestion: Suggestion,
    /// What kind of text it sees; 100 is ordinary.
    pub label: i64,
    /// Names this check to WeChat.
    pub trace_id: Option<String>,
}

/// What WeChat suggests to do with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suggestion {
    /// Let it stand.
    Pass,
    /// Let a person look at it.
    Review,
    /// Do not let it stand.
    Risky,
}

#[derive(Deserialize)]
pub(crate) struct VerdictAnswer {
    result: ResultPart,
    trace_id: Option<String>,
}

#[derive(Deserialize)]
struct ResultPart {
    suggest: Suggestion,
    label: i64,
}

impl From<VerdictAnswer> for Verdict {
    fn from(answer: VerdictAnswer) -> Self {
        let ResultPart { suggest, label } = answer.result;
        Self { suggestion: suggest, label, trace_id: answer.trace_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wechat_is_sent_no_more_of_a_text_than_it_looks_at() {
        let sent = |n| {
            let check = TextCheck::new("o", TextScene::Profile, &"字".repeat(n));
            check.body()["content"].as_str().unwrap().chars().count()
        };
        assert_eq!((sent(2_500), sent(2_501)), (2_500, 2_500));
    }
}
