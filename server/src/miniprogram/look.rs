//! How the owner's mini program looks: colours that can be read, and a logo of the right shape.

use std::path::Path;

use image::ImageFormat;

use crate::{config::Miniprogram, site};

/// A colour as `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour([u8; 3]);

impl Colour {
    const WHITE: Self = Self([255; 3]);
    const BLACK: Self = Self([0; 3]);

    /// Reads `#rrggbb`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix('#').filter(|hex| hex.len() == 6)?;
        // `from_str_radix` would take a sign.
        if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let [_, red, green, blue] = u32::from_str_radix(hex, 16).ok()?.to_be_bytes();
        Some(Self([red, green, blue]))
    }

    /// `#rrggbb`.
    pub(super) fn css(self) -> String {
        let [red, green, blue] = self.0;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// WCAG 2.2, "relative luminance".
    fn luminance(self) -> f64 {
        let linear = |level: u8| {
            let level = f64::from(level) / 255.0;
            if level <= 0.04045 { level / 12.92 } else { ((level + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// WCAG 2.2, "contrast ratio": 1 to 21.
    fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance(), other.luminance());
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// White or black, whichever can be read better on it; one of them always reaches 4.58 to 1.
    fn best_on(self) -> Self {
        if self.contrast(Self::WHITE) >= self.contrast(Self::BLACK) {
            Self::WHITE
        } else {
            Self::BLACK
        }
    }
}

/// The owner's colour and what is written on it.
pub(super) fn colours(settings: &Miniprogram) -> Result<(Colour, Colour), String> {
    let read = |setting: &str, text: &str| {
        let unreadable = || {
            format!("miniprogram.{setting} = {text:?}: write it as #rrggbb, such as \"#0b6b50\"")
        };
        Colour::parse(text).ok_or_else(unreadable)
    };
    let accent = read("color", &settings.color)?;
    if settings.on_color.is_empty() {
        return Ok((accent, accent.best_on()));
    }
    let on_accent = read("on_color", &settings.on_color)?;
    let contrast = accent.contrast(on_accent);
    if contrast < 4.5 {
        return Err(format!(
            "miniprogram.on_color = {:?} on color = {:?} has a contrast of {contrast:.2} to 1, and people need 4.5 to read it; remove on_color, or choose {}",
            settings.on_color,
            settings.color,
            accent.best_on().css(),
        ));
    }
    Ok((accent, on_accent))
}

/// The owner's logo as it goes into the package: its file name and bytes.
pub(super) fn logo(path: &Path) -> Result<(&'static str, Vec<u8>), String> {
    let said = |why: String| format!("miniprogram.logo = {:?}: {why}", path.display().to_string());
    let (format, bytes) = site::drawn(path).map_err(said)?;
    Ok((if format == ImageFormat::Png { "logo.png" } else { "logo.jpg" }, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour(text: &str) -> Colour {
        Colour::parse(text).unwrap()
    }

    #[test]
    fn contrast_is_that_of_wcag() {
        let of = |one, other| format!("{:.2}", colour(one).contrast(colour(other)));
        assert_eq!(of("#000000", "#ffffff"), "21.00");
        assert_eq!(of("#ffffff", "#07c160"), "2.38");
        assert_eq!(of("#ffffff", "#07803f"), "5.04");
        assert_eq!(of("#777777", "#ffffff"), "4.48");
    }

    #[test]
    fn white_or_black_can_be_read_on_any_colour() {
        for red in (0..=255).step_by(5) {
            for green in (0..=255).step_by(5) {
                for blue in (0..=255).step_by(15) {
                    let accent = Colour([red, green, blue]);
                    assert!(accent.contrast(accent.best_on()) >= 4.5, "{}", accent.css());
                }
            }
        }
    }

    #[test]
    fn what_is_no_colour_is_said() {
        for text in [
            "",
            "green",
            "#fff",
            "#0b6b5",
            "#0b6b501",
            "0b6b50",
            "#+b6b50",
            "#0b6b5é",
            "#0b6b50; } page {",
        ] {
            assert_eq!(Colour::parse(text), None, "{text}");
        }
        assert_eq!(colour("#0B6b50").css(), "#0b6b50");
    }
}
