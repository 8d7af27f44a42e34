//! Mini program codes, minted ahead.
//!
//! WeChat takes from tens of milliseconds to seconds for a picture. A small pool of unused (scene, picture) pairs lets a
//! page show its code at once and rides out an upstream outage. A pair is handed out once and never again.

use std::{
    collections::{BTreeMap, VecDeque},
    io::Cursor,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use image::{DynamicImage, GrayImage, ImageFormat, Rgba, RgbaImage, imageops::FilterType};
use tokio::sync::{Notify, Semaphore};
use wechat::{Client, Code, Page, QrCode, Scene, UnlimitedCode};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{colorspace::ColorSpace, options::DecoderOptions},
};

use crate::{
    config::{self, CodeInterface, EnvVersion, Pictures},
    picture,
    tickets::Picture,
    world::World,
};

/// A code that nobody has seen yet.
#[derive(Debug, Clone)]
pub struct Minted {
    /// The public name that it carries.
    pub scene: String,
    /// What the page shows.
    pub picture: Picture,
}

/// How many codes are asked for at once, by pages that found none ready and, as many again, ahead of them. At the third of a
/// second that WeChat takes for a picture, as many come in a minute as it makes for one AppID.
const AT_ONCE: usize = 32;

/// Where codes come from.
pub struct Codes {
    client: Client,
    settings: config::Wechat,
    pools: Mutex<BTreeMap<EnvVersion, VecDeque<Minted>>>,
    taken: Notify,
    minting: Semaphore,
    /// How many may be asked for in a minute.
    a_minute: u32,
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// WeChat gave none.
    #[error(transparent)]
    Wechat(#[from] wechat::Error),
    /// The settings make no code that WeChat would take.
    #[error("wechat.page cannot be used: {0}")]
    Request(String),
    /// Too many pages are waiting for one already.
    #[error("too many codes are being fetched")]
    Busy,
    /// As many were asked for in this minute as `limits.codes` allows.
    #[error("limits.codes is reached: no more codes are asked of WeChat in this minute")]
    Spent,
}

impl Error {
    fn unusable(why: impl std::fmt::Display) -> Self {
        Self::Request(why.to_string())
    }
}

impl Codes {
    /// Codes by these settings, with a pool for each version of the mini program that some site opens.
    pub fn new(
        client: Client,
        settings: config::Wechat,
        versions: impl IntoIterator<Item = EnvVersion>,
    ) -> Self {
        let pools = versions
            .into_iter()
            .chain([settings.env_version])
            .map(|version| (version, VecDeque::new()));
        let pools = Mutex::new(pools.collect());
        Self {
            client,
            settings,
            pools,
            taken: Notify::new(),
            minting: Semaphore::new(AT_ONCE),
            a_minute: u32::MAX,
        }
    }

    /// From now on keeps codes of these versions ready too.
    pub fn also_for(&self, versions: impl IntoIterator<Item = EnvVersion>) {
        let mut pools = self.pools();
        for version in versions {
            pools.entry(version).or_default();
        }
        drop(pools);
        self.taken.notify_one();
    }

    /// The same, asking for no more than this in a minute: a flood must leave some to other nodes and to tools.
    #[must_use]
    pub fn at_most(self, a_minute: u32) -> Self {
        Self { a_minute, ..self }
    }

    /// A code for one page: out of the pool, or asked for now where the pool is empty or there is none.
    ///
    /// # Errors
    /// If WeChat gives none, or too many are being asked for.
    pub async fn take(&self, version: EnvVersion, world: &World) -> Result<Minted, Error> {
        let minted = self.pools().get_mut(&version).and_then(VecDeque::pop_front);
        self.taken.notify_one();
        match minted {
            Some(minted) => Ok(minted),
            None => {
                let _place = self.minting.try_acquire().map_err(|_| Error::Busy)?;
                self.mint(version, world).await
            }
        }
    }

    /// How many codes lie ready.
    pub fn level(&self) -> usize {
        self.pools().values().map(VecDeque::len).sum()
    }

    /// How many for each version of the mini program.
    pub fn levels(&self) -> BTreeMap<EnvVersion, usize> {
        self.pools().iter().map(|(version, pool)| (*version, pool.len())).collect()
    }

    /// Whether pages of some version must wait for WeChat, however many codes lie ready for the others.
    pub fn ran_dry(&self) -> bool {
        self.settings.pool > 0 && self.pools().values().any(VecDeque::is_empty)
    }

    /// How many should.
    pub fn wanted(&self) -> usize {
        self.pools().len().saturating_mul(self.settings.pool)
    }

    /// Keeps the pools full for as long as it is polled.
    pub async fn keep_full(&self, world: &World) {
        let mut pause = Duration::from_millis(500);
        loop {
            match self.fill(world).await {
                Ok(()) => {
                    pause = Duration::from_millis(500);
                    self.taken.notified().await;
                }
                Err(error) => {
                    tracing::warn!(name: "codes.refill", error = %error, level = self.level(), retry_in = ?pause,
                        "cannot fetch mini program codes ahead; `saoma doctor` names the cause");
                    world.sleep_until(world.now() + pause).await;
                    pause = (pause * 2).min(Duration::from_secs(30));
                }
            }
        }
    }

    /// Fetches what the pools lack, and what is taken meanwhile, until nothing is missing. The first that fails ends it; what
    /// was asked for by then still comes.
    async fn fill(&self, world: &World) -> Result<(), Error> {
        let mut coming = FuturesUnordered::new();
        let mut of = BTreeMap::<EnvVersion, usize>::new();
        let mut failed = None;
        loop {
            while failed.is_none()
                && coming.len() < AT_ONCE
                && let Some(version) = self.lacking(&of)
            {
                *of.entry(version).or_default() += 1;
                coming.push(async move { (version, self.mint(version, world).await) });
            }
            tokio::select! {
                next = coming.next() => {
                    let Some((version, minted)) = next else { return failed.map_or(Ok(()), Err) };
                    of.entry(version).and_modify(|coming| *coming -= 1);
                    match minted {
                        Ok(minted) => self.pools().entry(version).or_default().push_back(minted),
                        Err(error) => failed = failed.or(Some(error)),
                    }
                }
                () = self.taken.notified() => {}
            }
        }
    }

    /// A version of whose codes fewer lie ready and are on their way than should.
    fn lacking(&self, coming: &BTreeMap<EnvVersion, usize>) -> Option<EnvVersion> {
        let pools = self.pools();
        let all = |version| {
            pools.get(version).map_or(0, VecDeque::len) + coming.get(version).copied().unwrap_or(0)
        };
        pools.keys().find(|version| all(version) < self.settings.pool).copied()
    }

    async fn mint(&self, version: EnvVersion, world: &World) -> Result<Minted, Error> {
        if self.client.quota().last_minute() >= self.a_minute {
            return Err(Error::Spent);
        }
        let scene = world.base62(22);
        let check_path = self.settings.checks_path(version);
        let picture = draw(&self.client, &self.settings, &scene, version, check_path).await?;
        let content_type = picture.kind.content_type().to_owned();
        let picture = Picture { content_type, bytes: picture.bytes };
        let picture = match self.settings.picture {
            Pictures::AsIs => picture,
            Pictures::Small => small(picture).await,
        };
        Ok(Minted { scene, picture })
    }

    fn pools(&self) -> MutexGuard<'_, BTreeMap<EnvVersion, VecDeque<Minted>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A code with this scene that opens this version. `check_path` says whether WeChat shall refuse a page that is not published,
/// which it does of code B alone.
pub(crate) async fn draw(
    client: &Client,
    settings: &config::Wechat,
    scene: &str,
    version: EnvVersion,
    check_path: bool,
) -> Result<wechat::Picture, Error> {
    let path = format!("{}?scene={scene}", settings.page);
    match settings.code {
        CodeInterface::Unlimited => {
            let scene = Scene::new(scene).map_err(Error::unusable)?;
            let page = Page::new(&settings.page).map_err(Error::unusable)?;
            let code = UnlimitedCode::new(scene).page(page).check_path(check_path);
            Ok(client.code_unlimited(&code.env_version(version)).await?)
        }
        CodeInterface::A => {
            let code = Code::new(path).map_err(Error::unusable)?;
            Ok(client.code(&code.env_version(version)).await?)
        }
        CodeInterface::C => {
            let code = QrCode::new(path).map_err(Error::unusable)?;
            Ok(client.qr_code(&code).await?)
        }
    }
}

/// The widest picture that is kept: twice the width at which the page shows it, for dense screens.
const WIDEST: u32 = 430;

/// The widest and highest that is read at all.
const LARGEST: usize = 2_000;

/// The same code in a few kilobytes; as it was, if it cannot be read.
async fn small(picture: Picture) -> Picture {
    let bytes = picture.bytes.clone();
    let drawn = tokio::task::spawn_blocking(move || four_greys(&bytes)).await;
    match drawn.map_err(Into::into).flatten() {
        Ok(bytes) if bytes.len() < picture.bytes.len() => {
            Picture { content_type: "image/png".to_owned(), bytes: Bytes::from(bytes) }
        }
        Ok(_) => picture,
        Err(error) => {
            tracing::warn!(name: "codes.picture", %error, "a picture cannot be re-encoded and is used as it is");
            picture
        }
    }
}

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
    let picture = picture::read(bytes, LARGEST.try_into()?)?.1.into_rgba8();
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
