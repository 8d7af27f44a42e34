//! One-time links: what an operator hands to somebody, whose scan then gets what the link gives.
//!
//! The secret stands behind the `#` of the address, which browsers send to nobody and write into no log; the page posts it.
//! It is kept hashed, ends with the first approval, and gives nothing to who cannot scan.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    error::{Code, Error},
    secret::{Hashed, Secret},
    store::{self, SharedStore},
    world::{Timestamp, World},
};

/// How long a link waits, unless it is said otherwise: long enough for who reads their messages in the evening.
pub const LIFE: Duration = Duration::from_secs(24 * 3600);

/// What a link gives to the person who opens it and approves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gives {
    /// This server: the person is an owner from then on.
    Server,
    /// A way in to a site.
    Site(String),
    /// A person: the WeChat that scans is theirs too.
    Person {
        /// Whose it becomes.
        id: String,
        /// Whether it stands in for the ones before, which are let go with all that is signed in.
        instead: bool,
    },
}

impl Gives {
    /// Whether it gives so much that the number on the page must be typed, however ordinary the scan.
    pub fn is_grave(&self) -> bool {
        !matches!(self, Self::Site(_))
    }
}

/// A link as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The hash of its secret.
    pub hash: Hashed,
    /// What it gives.
    pub gives: Gives,
    /// Who made it: [`crate::audit::COMMAND`], [`crate::audit::CONSOLE`], or the id of an owner.
    pub by: String,
    /// Until when.
    pub expires: Timestamp,
}

/// Makes a link and returns its address, which is shown this once.
///
/// # Errors
/// What the store says.
pub async fn make(
    store: &SharedStore,
    world: &World,
    public_url: &str,
    (gives, by): (Gives, &str),
    life: Duration,
) -> Result<String, store::Error> {
    let secret = Secret::new(world);
    let now = world.now();
    let link = Link { hash: secret.hashed(), gives, by: by.to_owned(), expires: now + life };
    store.put_link(link, now).await?;
    Ok(format!("{public_url}/link#{}", secret.reveal()))
}

/// The link of this hash, while it waits.
///
/// # Errors
/// [`Code::LinkOver`] if it has been used, is too old, or never was.
pub async fn find(app: &App, hash: Hashed) -> Result<Link, Error> {
    let link = app.store.link(hash, app.world.now()).await?;
    link.ok_or_else(|| Code::LinkOver.into())
}

/// How long a browser that has posted a link's secret may take to scan, reloads included.
const BEGUN: Duration = Duration::from_secs(600);

/// Keeps which link the browser of this cookie has posted, under a name that may stand in an address for a few minutes.
///
/// # Errors
/// [`Code::LinkOver`].
pub async fn begin(app: &App, secret: &Secret, cookie: &Secret) -> Result<Secret, Error> {
    let link = find(app, secret.hashed()).await?;
    let name = Secret::new(&app.world);
    let hash = Bytes::copy_from_slice(link.hash.as_bytes());
    let now = app.world.now();
    app.tickets.keep(of_browser(&name, cookie), hash, now, now + BEGUN).await?;
    Ok(name)
}

/// The link that the browser of this cookie has begun under this name.
///
/// # Errors
/// [`Code::LinkOver`].
pub async fn begun(app: &App, name: &Secret, cookie: &Secret) -> Result<Link, Error> {
    let kept = app.tickets.kept(of_browser(name, cookie), app.world.now()).await?;
    let hash = kept.and_then(|kept| <[u8; 32]>::try_from(kept.as_ref()).ok());
    find(app, Hashed::from_bytes(hash.ok_or(Code::LinkOver)?)).await
}

/// Who read the name in an address or a log has nothing without the cookie.
fn of_browser(name: &Secret, cookie: &Secret) -> Hashed {
    Hashed::of(format!("{} {}", name.reveal(), cookie.reveal()))
}

/// What a link gives, by the name that people know it by: a site's, a person's; of the server its host.
///
/// # Errors
/// What the store says; [`Code::LinkOver`] if the person has been forgotten meanwhile.
pub async fn named(app: &App, gives: &Gives) -> Result<String, Error> {
    Ok(match gives {
        Gives::Server => app.settings.host(),
        Gives::Site(id) => app.sites.get(id).map_or_else(|| id.clone(), |site| site.name.clone()),
        Gives::Person { id, .. } => app.store.person(id).await?.ok_or(Code::LinkOver)?.name(),
    })
}
