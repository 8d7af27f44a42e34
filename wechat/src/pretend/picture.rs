//! The picture of a code. The real round one is WeChat's own; this one is an ordinary QR, so that
//! anything can read it.

use std::io::Cursor;

use axum::body::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use qrcode::{Color, EcLevel, QrCode};

/// Readers want at least four modules of quiet around a QR (ISO/IEC 18004).
const QUIET: usize = 4;

/// How a code is to look.
pub(super) struct Look {
    pub(super) width: u32,
    pub(super) color: [u8; 3],
    pub(super) see_through: bool,
}

/// Paints `text` as a QR exactly as wide as was asked; JPEG, or PNG if one shall see through it.
/// `None` if the text does not fit.
pub(super) fn paint(text: &str, look: &Look) -> Option<(Bytes, &'static str)> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M)
        .or_else(|_| QrCode::with_error_correction_level(text, EcLevel::L))
        .ok()?;
    let (modules, dots) = (code.width(), code.to_colors());
    let width = usize::try_from(look.width).ok()?;
    let scale = width / (modules + 2 * QUIET);
    let margin = width.checked_sub(scale * modules)? / 2;
    if scale == 0 {
        return None;
    }
    let is_dark = |x: usize, y: usize| {
        let module = |at: usize| at.checked_sub(margin).map(|at| at / scale);
        match (module(x), module(y)) {
            (Some(x), Some(y)) if x < modules && y < modules => {
                dots.get(y * modules + x) == Some(&Color::Dark)
            }
            _ => false,
        }
    };
    let channels = if look.see_through { 4 } else { 3 };
    let mut pixels = Vec::with_capacity(width * width * channels);
    for y in 0..width {
        for x in 0..width {
            let dark = is_dark(x, y);
            pixels.extend(if dark { look.color } else { [255; 3] });
            if look.see_through {
                pixels.push(if dark { 255 } else { 0 });
            }
        }
    }
    let mut file = Cursor::new(Vec::new());
    let content_type = if look.see_through {
        let png = PngEncoder::new(&mut file);
        png.write_image(&pixels, look.width, look.width, ExtendedColorType::Rgba8).ok()?;
        "image/png"
    } else {
        let jpeg = JpegEncoder::new_with_quality(&mut file, 90);
        jpeg.write_image(&pixels, look.width, look.width, ExtendedColorType::Rgb8).ok()?;
        "image/jpeg"
    };
    Some((file.into_inner().into(), content_type))
}
