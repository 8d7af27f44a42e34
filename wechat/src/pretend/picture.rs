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
    // Which module a row or column of pixels lies in; none in the quiet around the code.
    let module = |at: usize| Some(at.checked_sub(margin)? / scale).filter(|at| *at < modules);
    let channels = if look.see_through { 4 } else { 3 };
    let row = |line: Option<usize>| {
        let mut row = Vec::with_capacity(width * channels);
        for x in 0..width {
            let dot = module(x).zip(line).and_then(|(x, line)| dots.get(line * modules + x));
            let dark = dot == Some(&Color::Dark);
            row.extend(if dark { look.color } else { [255; 3] });
            if look.see_through {
                row.push(if dark { 255 } else { 0 });
            }
        }
        row
    };
    // Every row of pixels within a row of modules is the same.
    let quiet = row(None);
    let lines: Vec<_> = (0..modules).map(|line| row(Some(line))).collect();
    let mut pixels = Vec::with_capacity(width * width * channels);
    for y in 0..width {
        pixels.extend_from_slice(module(y).and_then(|line| lines.get(line)).unwrap_or(&quiet));
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
