//! A phone to hold: somebody's WeChat, which opens codes and tells the page how it did so
//! (wechat-api.md section 6).

use serde::{Deserialize, Serialize};

use super::Pretend;

/// What kind of picture a code is, which decides the scene number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A and B, the round ones.
    MiniProgramCode,
    /// C, the square one.
    Qr,
}

/// How a code is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The camera looks at it.
    Camera,
    /// A long press on a picture of it.
    LongPress,
    /// A picture of it, picked from the album in the scanner.
    Album,
}

/// How the mini program is come back to while it is still warm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reentry {
    /// From the list of mini programs (1001).
    Discover,
    /// From the recents that are pulled down (1089).
    PullDown,
    /// From the list of one's own that is pulled down (1104).
    MyPrograms,
    /// From the floating window (1131).
    FloatingWindow,
    /// Back from another mini program (1038).
    Back,
    /// From the home screen of an Android phone, which keeps the number of the last entry.
    AndroidHome,
}

/// What the page learns when the mini program opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Arrival {
    /// The page that opens.
    pub path: String,
    /// What it gets in its `onLoad`, as it stands in the code. Of code B `scene=` and the scene,
    /// still percent-encoded.
    pub query: String,
    /// The scene number that `wx.getEnterOptionsSync` tells, 1047 for example.
    pub scene: u32,
    /// The version that opens.
    pub env_version: String,
}

/// Why a code does not open the mini program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// It was not drawn here, or too long ago.
    NoSuchCode,
    /// It is of the release, and none has been published.
    NotPublished,
    /// It is of the trial or the development version, which members alone may open.
    NotAMember,
}

/// Somebody's WeChat.
#[derive(Clone)]
pub struct Phone {
    pretend: Pretend,
    person: String,
    unionid: Option<String>,
    last: Option<Arrival>,
}

impl Phone {
    pub(super) fn new(pretend: Pretend, person: &str) -> Self {
        Self { pretend, person: person.to_owned(), unionid: None, last: None }
    }

    /// The person has a unionid, since the mini program is bound to an Open Platform account.
    #[must_use]
    pub fn with_unionid(mut self, unionid: impl Into<String>) -> Self {
        self.unionid = Some(unionid.into());
        self
    }

    /// The person's openid at this mini program.
    #[must_use]
    pub fn openid(&self) -> String {
        self.pretend.openid(&self.person)
    }

    /// What `wx.login` gives now.
    #[must_use]
    pub fn login(&self) -> String {
        self.pretend.js_code(&self.person, self.unionid.as_deref())
    }

    /// Opens the code that holds this text.
    ///
    /// # Errors
    /// Why this person does not get to see its page (wechat-api.md section 2.2).
    pub fn open(&mut self, text: &str, how: How) -> Result<Arrival, Closed> {
        let drawn = {
            let world = self.pretend.world();
            let drawn = world.codes.read(text).cloned().ok_or(Closed::NoSuchCode)?;
            match drawn.env_version.as_str() {
                "release" if !world.codes.is_published() => return Err(Closed::NotPublished),
                "release" => {}
                _ if !world.account.is_member(&self.person) => return Err(Closed::NotAMember),
                _ => {}
            }
            drawn
        };
        let scene = match (drawn.kind, how) {
            (Kind::MiniProgramCode, How::Camera) => 1047,
            (Kind::MiniProgramCode, How::LongPress) => 1048,
            (Kind::MiniProgramCode, How::Album) => 1049,
            (Kind::Qr, How::Camera) => 1011,
            (Kind::Qr, How::LongPress) => 1012,
            (Kind::Qr, How::Album) => 1013,
        };
        let arrival =
            Arrival { path: drawn.page, query: drawn.query, scene, env_version: drawn.env_version };
        self.last = Some(arrival.clone());
        Ok(arrival)
    }

    /// Comes back to the mini program while it is warm: the same page, another scene number, which
    /// says nothing of the code. `None`: it was not open.
    pub fn come_back(&mut self, from: Reentry) -> Option<Arrival> {
        let last = self.last.as_mut()?;
        last.scene = match from {
            Reentry::Discover => 1001,
            Reentry::PullDown => 1089,
            Reentry::MyPrograms => 1104,
            Reentry::FloatingWindow => 1131,
            Reentry::Back => 1038,
            Reentry::AndroidHome => last.scene,
        };
        Some(last.clone())
    }
}
