//! The scene: what a mini program code of kind B carries, and all that it can carry.

use std::fmt;
use std::str::FromStr;

/// What a mini program code carries: 1 to 32 characters out of digits, letters and
/// ``!#$&'()*+,/:;=?@-._~``.
///
/// WeChat refuses anything else with 40129 or 40169 (wechat-api.md section 2); here it is refused
/// before any call.
///
/// ```
/// let scene = wechat::Scene::new("Vw3kT9xQ2mB7rLpZ0aYcNd")?;
/// assert_eq!(scene.as_ref(), "Vw3kT9xQ2mB7rLpZ0aYcNd");
/// assert!(wechat::Scene::new("100%").is_err());
/// # Ok::<(), wechat::InvalidScene>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scene(String);

/// Why a text cannot be a [`Scene`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScene {
    /// It has no character at all, or more than 32; the number is its length.
    #[error("a scene has 1 to 32 characters, this one has {0}")]
    Length(usize),
    /// It has a character that no scene may have.
    #[error("a scene is made of digits, letters and !#$&'()*+,/:;=?@-._~, not {0:?}")]
    Character(char),
}

impl Scene {
    /// The most characters that a scene may have.
    pub const MAX: usize = 32;

    /// Reads a scene.
    ///
    /// # Errors
    /// [`InvalidScene`] when it is empty, too long or has a foreign character.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidScene> {
        let text = text.into();
        if let Some(foreign) = text.chars().find(|&c| !may_stand_in_a_scene(c)) {
            return Err(InvalidScene::Character(foreign));
        }
        if text.is_empty() || text.len() > Self::MAX {
            return Err(InvalidScene::Length(text.len()));
        }
        Ok(Self(text))
    }

    /// The scene's characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn may_stand_in_a_scene(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$&'()*+,/:;=?@-._~".contains(c)
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Scene {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Scene {
    type Err = InvalidScene;
    fn from_str(text: &str) -> Result<Self, InvalidScene> {
        Self::new(text)
    }
}

impl TryFrom<String> for Scene {
    type Error = InvalidScene;
    fn try_from(text: String) -> Result<Self, InvalidScene> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_of_the_published_set_may_stand_in_a_scene_and_no_other() {
        let allowed =
            "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!#$&'()*+,/:;=?@-._~";
        for c in (0..=0x2ff).filter_map(char::from_u32) {
            assert_eq!(Scene::new(c).is_ok(), allowed.contains(c), "{c:?}");
        }
    }

    #[test]
    fn a_scene_has_one_to_thirty_two_characters() {
        assert_eq!(Scene::new(""), Err(InvalidScene::Length(0)));
        assert!(Scene::new("x").is_ok());
        assert!(Scene::new("x".repeat(32)).is_ok());
        assert_eq!(Scene::new("x".repeat(33)), Err(InvalidScene::Length(33)));
        assert_eq!(Scene::new("扫码"), Err(InvalidScene::Character('扫')));
    }
}
