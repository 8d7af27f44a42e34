//! The three kinds of mini program code, as requests that cannot be written wrongly, and the
//! picture that comes of them (wechat-api.md section 2).

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::scene::Scene;

/// Why a parameter of a code cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// A page begins with a slash or has a query.
    #[error("a page is named without a leading slash and without a query, as in pages/login/login")]
    Page,
    /// A path is empty or too long; the number is the most it may have.
    #[error("a path has 1 to {0} characters")]
    PathLength(usize),
    /// WeChat keeps this name for itself (85096).
    #[error("scancode_time may not stand in a page or a path")]
    ScancodeTime,
    /// A width out of bounds.
    #[error("a width is 280 to 1280 pixels")]
    Width,
    /// No such version of a mini program.
    #[error("a version is release, trial or develop")]
    EnvVersion,
}

fn without_scancode_time(text: String) -> Result<String, InvalidRequest> {
    if text.contains("scancode_time") { Err(InvalidRequest::ScancodeTime) } else { Ok(text) }
}

/// A page of the mini program, as in `pages/login/login`: no leading slash, no query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page(String);

impl Page {
    /// Reads the name of a page.
    ///
    /// # Errors
    /// [`InvalidRequest`] when it is empty, begins with a slash, has a query or WeChat's reserved name.
    pub fn new(page: impl Into<String>) -> Result<Self, InvalidRequest> {
        let page = page.into();
        if page.is_empty() || page.starts_with('/') || page.contains(['?', '#']) {
            return Err(InvalidRequest::Page);
        }
        without_scancode_time(page).map(Self)
    }

    /// The page's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The width of a picture in pixels, 280 to 1280.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Width(u32);

impl Width {
    /// The narrowest.
    pub const MIN: Self = Self(280);
    /// What WeChat draws if nothing is said.
    pub const DEFAULT: Self = Self(430);
    /// The widest.
    pub const MAX: Self = Self(1280);

    /// Takes a width.
    ///
    /// # Errors
    /// [`InvalidRequest::Width`] when it is out of bounds.
    pub const fn new(pixels: u32) -> Result<Self, InvalidRequest> {
        if pixels < Self::MIN.0 || pixels > Self::MAX.0 {
            return Err(InvalidRequest::Width);
        }
        Ok(Self(pixels))
    }

    /// In pixels.
    #[must_use]
    pub const fn pixels(self) -> u32 {
        self.0
    }
}

/// The version of the mini program that a code opens.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum EnvVersion {
    /// The published one.
    #[default]
    Release,
    /// The trial version, for its members alone.
    Trial,
    /// A developer's version, for its members alone.
    Develop,
}

impl EnvVersion {
    /// WeChat's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Trial => "trial",
            Self::Develop => "develop",
        }
    }
}

impl fmt::Display for EnvVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EnvVersion {
    type Err = InvalidRequest;
    fn from_str(word: &str) -> Result<Self, InvalidRequest> {
        match word {
            "release" => Ok(Self::Release),
            "trial" => Ok(Self::Trial),
            "develop" => Ok(Self::Develop),
            _ => Err(InvalidRequest::EnvVersion),
        }
    }
}

/// The colour of a code's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineColor {
    /// Red.
    pub r: u8,
    /// Green.
    pub g: u8,
    /// Blue.
    pub b: u8,
}

/// How a code of kind A or B looks, and which version it opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Look {
    env_version: EnvVersion,
    width: Option<Width>,
    auto_color: bool,
    line_color: Option<LineColor>,
    is_hyaline: bool,
}

impl Look {
    /// What differs from WeChat's defaults, with the JSON types that it insists on (47001).
    fn write(self, body: &mut Map<String, Value>) {
        body.insert("env_version".into(), self.env_version.as_str().into());
        if let Some(width) = self.width {
            body.insert("width".into(), width.pixels().into());
        }
        if self.auto_color {
            body.insert("auto_color".into(), true.into());
        }
        if let Some(LineColor { r, g, b }) = self.line_color {
            body.insert("line_color".into(), json!({"r": r, "g": g, "b": b}));
        }
        if self.is_hyaline {
            body.insert("is_hyaline".into(), true.into());
        }
    }
}

macro_rules! looks {
    ($name:ident) => {
        impl $name {
            /// Which version it opens; the published one if nothing is said.
            #[must_use]
            pub fn env_version(mut self, version: EnvVersion) -> Self {
                self.look.env_version = version;
                self
            }

            /// How wide; [`Width::DEFAULT`] if nothing is said.
            #[must_use]
            pub fn width(mut self, width: Width) -> Self {
                self.look.width = Some(width);
                self
            }

            /// Lets WeChat choose the colour of the lines.
            #[must_use]
            pub fn auto_color(mut self, auto: bool) -> Self {
                self.look.auto_color = auto;
                self
            }

            /// The colour of the lines; black if nothing is said. It counts only without
            /// `auto_color`.
            #[must_use]
            pub fn line_color(mut self, color: LineColor) -> Self {
                self.look.line_color = Some(color);
                self
            }

            /// A see-through ground, which comes as PNG.
            #[must_use]
            pub fn is_hyaline(mut self, hyaline: bool) -> Self {
                self.look.is_hyaline = hyaline;
                self
            }
        }
    };
}

/// Code B, `getwxacodeunlimit`: a round code that carries a scene. As many as one likes, 5,000 a
/// minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnlimitedCode {
    scene: Scene,
    page: Option<Page>,
    check_path: bool,
    look: Look,
}
looks!(UnlimitedCode);

impl UnlimitedCode {
    /// A code for this scene that opens the home page of the published version.
    #[must_use]
    pub fn new(scene: Scene) -> Self {
        Self { scene, page: None, check_path: true, look: Look::default() }
    }

    /// The page it opens; the home page if nothing is said.
    #[must_use]
    pub fn page(mut self, page: Page) -> Self {
        self.page = Some(page);
        self
    }

    /// Whether WeChat shall refuse (41030) a page that the published version has not. True if
    /// nothing is said; false for a mini program that is not yet published.
    #[must_use]
    pub fn check_path(mut self, check: bool) -> Self {
        self.check_path = check;
        self
    }

    pub(crate) fn body(&self) -> Value {
        let mut body = Map::new();
        // A string, always: WeChat turns a number into a double and gives another scene back.
        body.insert("scene".into(), self.scene.as_str().into());
        if let Some(page) = &self.page {
            body.insert("page".into(), page.as_str().into());
        }
        body.insert("check_path".into(), self.check_path.into());
        self.look.write(&mut body);
        Value::Object(body)
    }
}

/// Code A, `getwxacode`: a round code that carries a path with its query. A and C together are
/// 100,000 for ever; the same parameters count once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    path: String,
    look: Look,
}
looks!(Code);

impl Code {
    /// A code that opens this path, `pages/login/login?scene=..` for example.
    ///
    /// # Errors
    /// [`InvalidRequest`] when the path is empty, longer than 1024 characters or holds
    /// `scancode_time`.
    pub fn new(path: impl Into<String>) -> Result<Self, InvalidRequest> {
        Ok(Self { path: path_up_to(path.into(), 1024)?, look: Look::default() })
    }

    pub(crate) fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("path".into(), self.path.as_str().into());
        self.look.write(&mut body);
        Value::Object(body)
    }
}

/// Code C, `createwxaqrcode`: a square QR that carries a path with its query and opens the
/// published version. It counts as A does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QrCode {
    path: String,
    width: Option<Width>,
}

impl QrCode {
    /// A QR that opens this path.
    ///
    /// # Errors
    /// [`InvalidRequest`] when the path is empty, longer than 128 characters or holds
    /// `scancode_time`.
    pub fn new(path: impl Into<String>) -> Result<Self, InvalidRequest> {
        Ok(Self { path: path_up_to(path.into(), 128)?, width: None })
    }

    /// How wide; [`Width::DEFAULT`] if nothing is said.
    #[must_use]
    pub fn width(mut self, width: Width) -> Self {
        self.width = Some(width);
        self
    }

    pub(crate) fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("path".into(), self.path.as_str().into());
        if let Some(width) = self.width {
            body.insert("width".into(), width.pixels().into());
        }
        Value::Object(body)
    }
}

fn path_up_to(path: String, most: usize) -> Result<String, InvalidRequest> {
    if !(1..=most).contains(&path.chars().count()) {
        return Err(InvalidRequest::PathLength(most));
    }
    without_scancode_time(path)
}

/// A picture of a code, as WeChat drew it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The file.
    pub bytes: Bytes,
    /// What kind of file, by its first bytes.
    pub kind: PictureKind,
    /// How many of the 100,000 codes A and C are used, where WeChat says so (`Num-Used`).
    pub used: Option<u64>,
}

/// The kinds of picture that WeChat sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureKind {
    /// JPEG, the usual one.
    Jpeg,
    /// PNG, for see-through ones.
    Png,
}

impl PictureKind {
    /// Its media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }

    pub(crate) fn sniff(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', ..] => Some(Self::Png),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plainest_requests_say_no_more_than_they_must() {
        let b = UnlimitedCode::new(Scene::new("s").unwrap());
        assert_eq!(b.body(), json!({"scene": "s", "check_path": true, "env_version": "release"}));
        let a = Code::new("pages/a?x=1").unwrap();
        assert_eq!(a.body(), json!({"path": "pages/a?x=1", "env_version": "release"}));
        assert_eq!(QrCode::new("pages/a").unwrap().body(), json!({"path": "pages/a"}));
    }

    #[test]
    fn every_parameter_goes_out_with_the_type_that_wechat_insists_on() {
        let b = UnlimitedCode::new(Scene::new("412213075488489472").unwrap())
            .page(Page::new("pages/login/login").unwrap())
            .check_path(false)
            .env_version(EnvVersion::Trial)
            .width(Width::new(1280).unwrap())
            .auto_color(true)
            .line_color(LineColor { r: 1, g: 2, b: 3 })
            .is_hyaline(true);
        let expected = json!({
            "scene": "412213075488489472", "page": "pages/login/login", "check_path": false,
            "env_version": "trial", "width": 1280, "auto_color": true,
            "line_color": {"r": 1, "g": 2, "b": 3}, "is_hyaline": true,
        });
        assert_eq!(b.body(), expected);
    }

    #[test]
    fn what_wechat_would_refuse_cannot_be_built() {
        assert_eq!(Width::new(279), Err(InvalidRequest::Width));
        assert_eq!(Width::new(1281), Err(InvalidRequest::Width));
        for page in ["", "/pages/a", "pages/a?x=1", "pages/a#x"] {
            assert_eq!(Page::new(page), Err(InvalidRequest::Page), "{page:?}");
        }
        assert_eq!(Page::new("pages/scancode_time"), Err(InvalidRequest::ScancodeTime));
        assert_eq!(Code::new("a?scancode_time=1").err(), Some(InvalidRequest::ScancodeTime));
        assert_eq!(Code::new("").err(), Some(InvalidRequest::PathLength(1024)));
        assert!(Code::new("x".repeat(1024)).is_ok());
        assert_eq!(Code::new("x".repeat(1025)).err(), Some(InvalidRequest::PathLength(1024)));
        assert!(QrCode::new("x".repeat(128)).is_ok());
        assert_eq!(QrCode::new("x".repeat(129)).err(), Some(InvalidRequest::PathLength(128)));
        assert_eq!("preview".parse::<EnvVersion>(), Err(InvalidRequest::EnvVersion));
    }

    #[test]
    fn a_picture_is_known_by_its_first_bytes() {
        assert_eq!(PictureKind::sniff(b"\xff\xd8\xff\xe0"), Some(PictureKind::Jpeg));
        assert_eq!(PictureKind::sniff(b"\x89PNG\r\n"), Some(PictureKind::Png));
        assert_eq!(PictureKind::sniff(b"{\"errcode\":1}"), None);
        assert_eq!(PictureKind::sniff(b""), None);
    }
}
