//! What a person shows of themselves.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, ImageResult, imageops::FilterType};

use super::read;

/// How wide and high it is kept.
const SIDE: u32 = 256;

/// The widest and highest that is read at all.
const LARGEST: u32 = 2048;

/// A JPEG of what was sent, drawn anew, so that nothing else than pixels is ever served.
///
/// # Errors
/// As [`read`].
pub(crate) fn avatar(bytes: &[u8]) -> ImageResult<Vec<u8>> {
    let (_, sent) = read(bytes, LARGEST)?;
    let small = sent.resize_to_fill(SIDE, SIDE, FilterType::Triangle).into_rgb8();
    let mut written = Cursor::new(Vec::new());
    DynamicImage::from(small).write_to(&mut written, ImageFormat::Jpeg)?;
    Ok(written.into_inner())
}
