//! Pictures that come from elsewhere: read within limits, upright, and drawn anew.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, ImageResult, Limits,
    error::ImageFormatHint,
};

mod avatar;
mod greys;

pub(crate) use avatar::avatar;
pub(crate) use greys::four_greys;

/// Reads a picture that is at most `side` pixels wide and high. It comes turned as its camera was held: who draws it anew
/// keeps nothing that could say so (EXIF, "Orientation").
///
/// # Errors
/// If it is of no format that saoma reads, too large, or broken.
pub(crate) fn read(bytes: &[u8], side: u32) -> ImageResult<(ImageFormat, DynamicImage)> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let format = reader.format().ok_or(ImageError::Unsupported(ImageFormatHint::Unknown.into()))?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(side), Some(side));
    // No pixel takes more than eight bytes.
    limits.max_alloc = Some(8 * u64::from(side) * u64::from(side));
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    // What the picture itself takes is no room for its decoder any more.
    limits.reserve(decoder.total_bytes())?;
    decoder.set_limits(limits)?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok((format, picture))
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, ImageEncoder as _, Luma, codecs::jpeg::JpegEncoder};

    use super::*;

    /// Two halves, the left one black, as a camera writes them that was held so.
    fn halves(orientation: u8) -> Vec<u8> {
        let drawn = GrayImage::from_fn(64, 32, |x, _| Luma([if x < 32 { 0 } else { 255 }]));
        let mut jpeg = Vec::new();
        let mut encoder = JpegEncoder::new(&mut jpeg);
        // One entry of TIFF's first directory: tag 0x0112, one SHORT.
        let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        encoder.set_exif_metadata(exif).unwrap();
        encoder.encode_image(&drawn).unwrap();
        jpeg
    }

    #[test]
    fn a_picture_stands_as_its_camera_was_held() {
        for (orientation, size, dark) in
            [(1, (64, 32), (2, 2)), (3, (64, 32), (60, 2)), (6, (32, 64), (2, 2))]
        {
            let (format, read) = read(&halves(orientation), 64).unwrap();
            assert_eq!((format, (read.width(), read.height())), (ImageFormat::Jpeg, size));
            assert!(read.into_luma8().get_pixel(dark.0, dark.1)[0] < 32, "{orientation}");
        }
    }

    #[test]
    fn what_is_too_large_or_no_picture_is_not_read() {
        assert!(read(&halves(1), 63).is_err());
        for no_picture in [
            &b""[..],
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
        ] {
            assert!(read(no_picture, 64).is_err());
        }
    }
}
