//! A site's picture. It is the operator's, read from a file of theirs and never fetched; and it is drawn anew, so that nothing
//! but pixels of it reaches a page or a phone.

use std::{io::Cursor, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use image::{
    DynamicImage, ImageError, ImageFormat, error::UnsupportedErrorKind, imageops::FilterType,
};
use serde::{Deserialize, Serialize};

use crate::{picture, secret::Hashed};

/// How wide a picture is kept: shown 72 wide, on screens of up to three pixels to one.
const WIDTH: u32 = 216;

/// How wide the file may be.
const LARGEST: u32 = 8192;

/// The picture of a site; in the settings the path of a file, from [`Logo::read`] on, and in the store, the picture itself as
/// a data URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Logo(String);

impl Logo {
    /// The picture in this file, read.
    ///
    /// # Errors
    /// As [`Logo::read`].
    pub fn of(path: &str) -> Result<Self, String> {
        let mut logo = Self(path.to_owned());
        logo.read()?;
        Ok(logo)
    }

    /// Reads the file whose path it is.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn read(&mut self) -> Result<(), String> {
        if self.0.is_empty() || self.picture().is_some() {
            return Ok(());
        }
        let (format, bytes) =
            drawn(Path::new(&self.0)).map_err(|why| format!("logo = {:?}: {why}", self.0))?;
        self.0 = format!("data:{};base64,{}", format.to_mime_type(), STANDARD.encode(bytes));
        Ok(())
    }

    /// Its content type and bytes, if there is one.
    pub fn picture(&self) -> Option<(&'static str, Vec<u8>)> {
        [ImageFormat::Png, ImageFormat::Jpeg].into_iter().find_map(|format| {
            let content_type = format.to_mime_type();
            let rest = self.0.strip_prefix("data:")?.strip_prefix(content_type)?;
            let bytes = STANDARD.decode(rest.strip_prefix(";base64,")?).ok()?;
            Some((content_type, bytes))
        })
    }

    /// Where saoma serves the one of this site; another picture has another address.
    pub fn path(&self, site: &str) -> Option<String> {
        self.picture()?;
        let mut version = hex::encode(Hashed::of(&self.0).as_bytes());
        version.truncate(12);
        Some(format!("/logos/{site}/{version}"))
    }
}

/// The PNG or JPEG in a file, drawn anew and no larger than it is shown.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn drawn(path: &Path) -> Result<(ImageFormat, Vec<u8>), String> {
    let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let (format, picture) = picture::read(&bytes, LARGEST).map_err(|error| match error {
        ImageError::Unsupported(what) if matches!(what.kind(), UnsupportedErrorKind::Format(_)) => {
            "is neither PNG nor JPEG; save it as one of them".to_owned()
        }
        error => format!("cannot be read: {error}"),
    })?;
    let (width, height) = (picture.width(), picture.height());
    if width != height {
        return Err(format!("is {width} by {height}; cut it square"));
    }
    if width < WIDTH / 3 * 2 {
        return Err(format!(
            "is {width} pixels wide, which looks blurred; give at least {}",
            WIDTH / 3 * 2
        ));
    }
    let small =
        if width > WIDTH { picture.resize(WIDTH, WIDTH, FilterType::Lanczos3) } else { picture };
    let small = match format {
        ImageFormat::Jpeg => DynamicImage::from(small.into_rgb8()),
        _ => DynamicImage::from(small.into_rgba8()),
    };
    let mut written = Cursor::new(Vec::new());
    small.write_to(&mut written, format).map_err(|error| error.to_string())?;
    Ok((format, written.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_read_once_drawn_small_and_found_by_an_address_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logo.jpg");
        image::RgbImage::from_pixel(900, 900, image::Rgb([9, 90, 60])).save(&path).unwrap();
        let path = path.to_str().unwrap();
        let mut logo = Logo::of(path).unwrap();
        let (content_type, bytes) = logo.picture().unwrap();
        let shown = image::load_from_memory(&bytes).unwrap();
        assert_eq!((content_type, shown.width(), shown.height()), ("image/jpeg", WIDTH, WIDTH));
        let before = logo.clone();
        logo.read().unwrap();
        assert_eq!(logo, before);
        assert!(logo.path("blog").unwrap().starts_with("/logos/blog/"));
        image::RgbImage::from_pixel(216, 216, image::Rgb([1, 2, 3])).save(path).unwrap();
        assert_ne!(Logo::of(path).unwrap().path("blog"), logo.path("blog"));
    }

    #[test]
    fn one_that_is_wider_or_higher_than_any_logo_is_not_even_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logo.png");
        let said = |width, height| {
            image::GrayImage::new(width, height).save(&path).unwrap();
            Logo::of(path.to_str().unwrap()).unwrap_err()
        };
        for (width, height) in [(8193, 8), (8, 8193)] {
            let said = said(width, height);
            assert!(said.contains("cannot be read"), "{said}");
        }
        for (width, height) in [(8192, 8), (8, 8192)] {
            let said = said(width, height);
            assert!(said.contains("cut it square"), "it was read: {said}");
        }
    }

    #[test]
    fn nothing_but_pixels_is_a_picture() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logo.svg");
        std::fs::write(&path, "<svg xmlns=\"http://www.w3.org/2000/svg\"><script/></svg>").unwrap();
        let said = Logo::of(path.to_str().unwrap()).unwrap_err();
        assert!(said.contains("neither PNG nor JPEG"), "{said}");
        for text in [
            "",
            "data:image/svg+xml;base64,PHN2Zy8+",
            "data:text/html;base64,PGI+",
            "/etc/logo.png",
        ] {
            let logo = Logo(text.to_owned());
            assert_eq!((logo.picture(), logo.path("blog")), (None, None), "{text}");
        }
    }
}
