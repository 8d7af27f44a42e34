//! A code in a few kilobytes.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, Rgba, RgbaImage, imageops::FilterType};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{colorspace::ColorSpace, options::DecoderOptions},
};

use super::read;

/// The widest picture that is kept: twice the width at which the page shows it, for dense screens.
const WIDEST: u32 = 430;

/// The widest and highest that is read at all.
const LARGEST: usize = 2_000;

type Unreadable = Box<dyn std::error::Error + Send + Sync>;

/// A PNG of two bits a pixel: a code is black on white, and two greys between keep its edges round.
pub(crate) fn four_greys(bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut picture = match image::guess_format(bytes)? {
        ImageFormat::Jpeg => grey_jpeg(bytes)?,
        _ => on_white(bytes)?,
    };
    if picture.width() > WIDEST {
        picture = picture.resize(WIDEST, WIDEST, FilterType::Triangle);
    }
    let grey = picture.into_luma8();
    let width = usize::try_from(grey.width())?.max(1);
    let packed: Vec<u8> = grey.chunks(width).flat_map(pack_row).collect();
    let mut written = Vec::new();
    let mut encoder = png::Encoder::new(&mut written, grey.width(), grey.height());
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Two);
    encoder.set_compression(png::Compression::Balanced);
    // Rows of so few colours are as like each other as they are; a filter only hides it (PNG, "Filter selection").
    encoder.set_filter(png::Filter::NoFilter);
    encoder.write_header()?.write_image_data(&packed)?;
    Ok(written)
}

/// What WeChat draws, without its colours: they are not even decoded, and there is no other picture to be made of it.
fn grey_jpeg(bytes: &[u8]) -> Result<DynamicImage, Unreadable> {
    let options = DecoderOptions::default()
        .set_max_width(LARGEST)
        .set_max_height(LARGEST)
        .jpeg_set_out_colorspace(ColorSpace::Luma);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    let levels = decoder.decode()?;
    let (width, height) = decoder.dimensions().ok_or("a picture without a size")?;
    let grey = GrayImage::from_raw(width.try_into()?, height.try_into()?, levels);
    Ok(grey.ok_or("a picture of another size than it says")?.into())
}

/// Any other picture; what is see-through lies on the page's white card.
fn on_white(bytes: &[u8]) -> Result<DynamicImage, Unreadable> {
    let picture = read(bytes, LARGEST.try_into()?)?.1.into_rgba8();
    let mut card = RgbaImage::from_pixel(picture.width(), picture.height(), Rgba([255; 4]));
    image::imageops::overlay(&mut card, &picture, 0, 0);
    Ok(card.into())
}

/// Four pixels a byte, the leftmost in the highest bits; a row begins a new byte (PNG, "Filtering", "Scanlines").
fn pack_row(row: &[u8]) -> impl Iterator<Item = u8> {
    let level = |grey: u8| grey.saturating_add(42) / 85;
    row.chunks(4).map(move |four| {
        four.iter().zip([6, 4, 2, 0]).fold(0, |byte, (grey, shift)| byte | (level(*grey) << shift))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_shrinks_and_keeps_its_black_and_white() {
        let drawn = image::GrayImage::from_fn(430, 430, |x, y| {
            image::Luma([if (x / 10 + y / 10) % 2 == 0 { 250 } else { 5 }])
        });
        let mut jpeg = Vec::new();
        image::DynamicImage::from(drawn.clone())
            .write_to(&mut Cursor::new(&mut jpeg), image::ImageFormat::Jpeg)
            .unwrap();
        let small = four_greys(&jpeg).unwrap();
        assert!(small.len() < jpeg.len() / 4, "{} of {}", small.len(), jpeg.len());
        let read = image::load_from_memory(&small).unwrap().into_luma8();
        for (x, y) in [(5, 5), (15, 5), (425, 425), (405, 425)] {
            let (before, after) = (drawn.get_pixel(x, y).0[0], read.get_pixel(x, y).0[0]);
            assert!(before.abs_diff(after) < 43, "{before} became {after} at {x}, {y}");
        }
    }

    #[test]
    fn what_is_see_through_is_white() {
        let clear = image::RgbaImage::from_pixel(9, 2, image::Rgba([0, 0, 0, 0]));
        let mut png = Vec::new();
        image::DynamicImage::from(clear)
            .write_to(&mut Cursor::new(&mut png), image::ImageFormat::Png)
            .unwrap();
        let small = four_greys(&png).unwrap();
        let read = image::load_from_memory(&small).unwrap().into_luma8();
        assert_eq!(read.into_raw(), [255; 18]);
    }

    #[test]
    fn a_picture_beyond_all_measure_is_not_read() {
        let reads = |width, height, format| {
            let mut bytes = Vec::new();
            image::DynamicImage::new_luma8(width, height)
                .write_to(&mut Cursor::new(&mut bytes), format)
                .unwrap();
            four_greys(&bytes).is_ok()
        };
        for format in [ImageFormat::Jpeg, ImageFormat::Png] {
            assert!(reads(2_000, 8, format) && reads(8, 2_000, format), "{format:?}");
            assert!(!reads(2_001, 8, format) && !reads(8, 2_001, format), "{format:?}");
        }
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        assert!(four_greys(b"{\"errcode\":-1}").is_err());
    }
}
