//! Mini program codes, minted ahead.
//!
//! WeChat takes from tens of milliseconds to seconds for a picture. A small pool of unused (scene, picture) pairs lets a
//! page show its code at once and rides out an upstream outage. A pair is handed out once and never again.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::{Notify, Semaphore};
use wechat::{Client, Code, Page, QrCode, Scene, UnlimitedCode};

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

/// The same code in a few kilobytes; as it was, if it cannot be read.
async fn small(picture: Picture) -> Picture {
    let bytes = picture.bytes.clone();
    let drawn = tokio::task::spawn_blocking(move || picture::four_greys(&bytes)).await;
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
