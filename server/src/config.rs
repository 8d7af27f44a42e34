//! Every setting: its name, its default, and what is wrong when it is wrong.
//!
//! One TOML file, with `SAOMA_*` of the environment over it. Defaults stand in `saoma.toml`, which is embedded and is the
//! documentation; an unknown key stops the start, because a misspelt limit is no limit.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    path::Path,
    time::Duration,
};

use ipnet::IpNet;
use serde::Deserialize;
use toml::{Table, Value};
use url::Url;

use crate::{
    log,
    neighbours::Neighbour,
    risk::Matching,
    secret::Secret,
    site::{self, Site},
};

mod faults;
mod given;
mod in_force;

pub use faults::Faults;
use given::{defaults, follow, merge, overlay, paths, unknown_keys};
pub use in_force::{InForce, Line, Source};
pub use wechat::{EnvVersion, TokenEndpoint};

/// Every setting with its default and why, as `saoma config` prints it.
pub const DEFAULTS: &str = include_str!("../../saoma.toml");

/// What the server runs by.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "each stands explained in saoma.toml")]
pub struct Settings {
    pub public_url: String,
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub store: Location,
    pub tickets: Location,
    pub trusted_proxies: Vec<Network>,
    pub owned_domains: Vec<String>,
    pub region_db: String,
    pub wechat: Wechat,
    pub ticket: Ticket,
    pub session: Session,
    pub console: Console,
    pub keys: Keys,
    pub retention: Retention,
    pub tokens: Tokens,
    pub limits: Limits,
    pub log: Log,
    pub neighbours: Neighbours,
    pub tls: Tls,
    pub acme: Acme,
    pub miniprogram: Miniprogram,
    #[serde(default, rename = "site")]
    pub sites: Vec<Site>,
    /// The same as text, and where each came from.
    #[serde(skip)]
    pub in_force: InForce,
}

/// `[wechat]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "each stands explained in saoma.toml")]
pub struct Wechat {
    pub appid: String,
    pub secret: Secret,
    pub base_url: String,
    pub token: TokenEndpoint,
    pub code: CodeInterface,
    pub page: String,
    pub check_path: bool,
    pub env_version: EnvVersion,
    pub picture: Pictures,
    pub pool: usize,
}

impl Wechat {
    /// Whether WeChat is to refuse codes for a page that is not published: it knows published pages alone, and a version for
    /// testers has none (41030).
    pub fn checks_path(&self, version: EnvVersion) -> bool {
        self.check_path && version == EnvVersion::Release
    }

    /// Whether this is WeChat itself, and nothing that speaks like it.
    pub fn is_real(&self) -> bool {
        let host = |url: &str| Url::parse(url).ok()?.host_str().map(ToOwned::to_owned);
        host(&self.base_url) == host(wechat::BASE_URL)
    }

    /// What is wrong with the AppID, where WeChat can never have given it.
    pub fn fault_of_appid(&self) -> Option<String> {
        let is_appid = self.appid.strip_prefix("wx").is_some_and(|rest| {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            rest.len() == 16 && rest.bytes().all(plain)
        });
        (!is_appid).then(|| format!(
            "wechat.appid = {:?}: an AppID is wx and 16 small letters and digits; copy it from the mini program's console (开发管理 > 开发设置)",
            self.appid
        ))
    }
}

/// `[ticket]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "each stands explained in saoma.toml")]
pub struct Ticket {
    #[serde(with = "humantime_serde")]
    pub life: Duration,
    #[serde(with = "humantime_serde")]
    pub device_life: Duration,
    pub r#match: Matching,
}

/// `[session]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "each stands explained in saoma.toml")]
pub struct Session {
    #[serde(with = "humantime_serde")]
    pub life: Duration,
    #[serde(with = "humantime_serde")]
    pub application: Duration,
}

/// `[console]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "each stands explained in saoma.toml")]
pub struct Console {
    pub url: String,
    #[serde(with = "humantime_serde")]
    pub life: Duration,
    #[serde(with = "humantime_serde")]
    pub idle: Duration,
}

impl Console {
    /// Where operators reach the console, or where it listens.
    pub fn origin(&self, listen: SocketAddr) -> String {
        if self.url.is_empty() { format!("http://{listen}") } else { self.url.clone() }
    }
}

/// `[keys]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "each stands explained in saoma.toml")]
pub struct Keys {
    pub secret: Secret,
    pub secret_before: Secret,
    #[serde(with = "humantime_serde")]
    pub rotate: Duration,
}

/// `[tokens]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "each stands explained in saoma.toml")]
pub struct Tokens {
    #[serde(with = "humantime_serde")]
    pub access: Duration,
    #[serde(with = "humantime_serde")]
    pub refresh_idle: Duration,
    #[serde(with = "humantime_serde")]
    pub refresh: Duration,
}

/// `[retention]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "each stands explained in saoma.toml")]
pub struct Retention {
    #[serde(with = "humantime_serde")]
    pub network: Duration,
    #[serde(with = "humantime_serde")]
    pub audit: Duration,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "each stands explained in saoma.toml")]
pub struct Limits {
    pub off: bool,
    pub requests_per_address: NonZeroU32,
    pub tickets_per_address: NonZeroU32,
    pub tickets_per_site: NonZeroU32,
    pub tickets_held: usize,
    pub codes: u32,
    pub watches_per_address: NonZeroU32,
    pub scans_per_address: NonZeroU32,
    pub scans_per_person: NonZeroU32,
    pub skips_per_person: NonZeroU32,
    pub digits_per_address: NonZeroU32,
    pub tokens_per_address: NonZeroU32,
    pub tokens_per_site: NonZeroU32,
    pub console_per_address: NonZeroU32,
    pub wrong_secrets_per_address: NonZeroU32,
    pub sockets: usize,
    pub sockets_per_address: usize,
    #[serde(with = "humantime_serde")]
    pub head_time: Duration,
    #[serde(with = "humantime_serde")]
    pub body_time: Duration,
    #[serde(with = "humantime_serde")]
    pub stalled_time: Duration,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "each stands explained in saoma.toml")]
pub struct Log {
    pub level: String,
    pub format: log::Format,
    pub traces: String,
}

/// `[neighbours]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "each stands explained in saoma.toml")]
pub struct Neighbours {
    pub secrets: Vec<Neighbour>,
}

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "each stands explained in saoma.toml")]
pub struct Tls {
    pub cert: String,
    pub key: String,
    pub redirect: String,
}

/// `[acme]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "each stands explained in saoma.toml")]
pub struct Acme {
    pub on: bool,
    pub contact: String,
    pub directory: String,
    pub folder: String,
    pub root: String,
}

/// `[miniprogram]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "each stands explained in saoma.toml")]
pub struct Miniprogram {
    pub name: String,
    pub name_en: String,
    pub color: String,
    pub on_color: String,
    pub logo: String,
    pub operator: String,
    pub contact: String,
    pub filing: String,
    pub version: String,
    pub profile: bool,
}

/// Which of WeChat's three interfaces makes the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum CodeInterface {
    /// B, `getwxacodeunlimit`.
    #[serde(rename = "unlimited")]
    Unlimited,
    /// A, `getwxacode`.
    #[serde(rename = "a")]
    A,
    /// C, `createwxaqrcode`.
    #[serde(rename = "c")]
    C,
}

/// What becomes of WeChat's picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Pictures {
    /// Re-encoded.
    #[serde(rename = "small")]
    Small,
    /// Handed through.
    #[serde(rename = "as-is")]
    AsIs,
}

/// Where a store is: `sqlite:FILE`, `postgres://...`, `redis://...`. It may carry a password, which shows itself nowhere.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Location(String);

impl Location {
    /// All of it, for who connects.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What stands after `scheme`, if it begins with that.
    pub fn after(&self, scheme: &str) -> Option<&str> {
        self.0.strip_prefix(scheme)
    }

    /// What kind of store it is.
    pub fn scheme(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

impl From<String> for Location {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Without the password, and without parameters, which may hold another.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_force::without_password(&self.0))
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// An address or a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let network = text.parse().or_else(|_| text.parse().map(|ip: std::net::IpAddr| ip.into()));
        network.map(Self).map_err(|_| {
            serde::de::Error::custom(format!(
                "{text:?} is neither an address like 127.0.0.1 nor a network like 10.0.0.0/8"
            ))
        })
    }
}

impl Settings {
    /// Reads the file, if one is given, with the environment over it, and checks all of it.
    ///
    /// # Errors
    /// Every fault found, in words for the operator.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Faults> {
        let written = match file {
            Some(path) => std::fs::read_to_string(path).map_err(|error| unread(path, &error))?,
            None => String::new(),
        };
        let name =
            file.map_or_else(|| "the settings".to_owned(), |path| path.display().to_string());
        let given: Table = written
            .parse()
            .map_err(|error| format!("{name:?} is not TOML: {}", told(&error, &written)))?;
        let mut table = defaults();
        let mut faults = unknown_keys(&given);
        let mut sources: BTreeMap<String, Source> =
            paths(&given).into_iter().map(|path| (path, Source::File(name.clone()))).collect();
        merge(&mut table, given);
        faults.extend(overlay(&mut table, env, &mut sources));
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        follow(&mut table, &sources);
        let in_force = InForce::of(&table, &sources);
        let mut settings: Self =
            serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
                let path = error.path().to_string();
                let wrong = format!("{path} is wrong: {}", wanted(error.inner().message()));
                match sources.get(path.split('[').next().unwrap_or_default()) {
                    Some(Source::Environment(from) | Source::SecretFile(from)) => {
                        format!("{wrong} (it comes from {from})")
                    }
                    _ => wrong,
                }
            })?;
        settings.in_force = in_force;
        let read =
            |site: &mut Site| site.logo.read().map_err(|why| format!("site {:?}: {why}", site.id));
        let mut faults: Vec<_> =
            settings.sites.iter_mut().filter_map(|site| read(site).err()).collect();
        faults.extend(settings.faults());
        if faults.is_empty() { Ok(settings.normal()) } else { Err(Faults(faults)) }
    }

    /// What differs besides sites and the log's level, which a running server can take over: this wants a restart.
    pub fn wants_restart(&self, other: &Self) -> Vec<String> {
        macro_rules! differing {
            ($($name:ident),*) => {
                [$((stringify!($name), self.$name != other.$name)),*]
            };
        }
        let top = differing!(
            public_url,
            listen,
            admin_listen,
            store,
            tickets,
            trusted_proxies,
            owned_domains,
            region_db,
            wechat,
            ticket,
            session,
            console,
            keys,
            retention,
            tokens,
            limits,
            neighbours,
            tls,
            acme,
            miniprogram
        );
        let log = (self.log.format, &self.log.traces) != (other.log.format, &other.log.traces);
        let all = top.into_iter().chain([("log", log)]);
        let differing = all.filter(|(_, differs)| *differs);
        differing.flat_map(|(name, _)| self.in_force.changed(&other.in_force, name)).collect()
    }

    /// The public origin, as URLs are made from it.
    fn normal(mut self) -> Self {
        for url in [&mut self.public_url, &mut self.console.url] {
            if let Ok(parsed) = Url::parse(url) {
                *url = parsed.origin().ascii_serialization();
            }
        }
        self
    }

    /// Where somebody on this machine finds the operators' listener.
    pub fn admin_address(&self) -> SocketAddr {
        from_here(self.admin_listen)
    }

    /// Whether people reach saoma on this machine alone: then cookies do without Secure.
    pub fn is_loopback(&self) -> bool {
        Url::parse(&self.public_url).is_ok_and(|url| site::is_loopback(&url))
    }

    /// Whether what this address says of others' addresses counts.
    pub fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.0.contains(&address))
    }

    /// Whether nobody but the operator can have an address at `domain`: it is the public host's, or below one of theirs.
    pub fn owns(&self, domain: &str) -> bool {
        let host = self.host();
        let below = |owned: &str| {
            let rest = domain.strip_suffix(owned);
            !owned.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        below(&host) || self.owned_domains.iter().any(|owned| below(owned))
    }

    /// The pattern of a site's made-up addresses: its own, else one at the public host, which may well be without mail.
    pub fn email_of(&self, site: &Site) -> String {
        if site.email.is_empty() {
            format!("{{username}}@{}", self.mail_domain().as_deref().unwrap_or("saoma.invalid"))
        } else {
            site.email.clone()
        }
    }

    /// The public host, where it could be a mail domain: an IP address and a name without a dot are none.
    pub fn mail_domain(&self) -> Option<String> {
        let url = Url::parse(&self.public_url).ok()?;
        url.domain().filter(|name| name.contains('.')).map(ToOwned::to_owned)
    }

    /// The host that the address bar reads on saoma's own pages.
    pub fn host(&self) -> String {
        let url = Url::parse(&self.public_url).ok();
        url.and_then(|url| url.host_str().map(ToOwned::to_owned)).unwrap_or_default()
    }

    /// Whether saoma ends TLS by itself.
    pub fn ends_tls(&self) -> bool {
        !self.tls.cert.is_empty() || self.acme.on
    }
}

/// Where somebody on this machine finds who listens there: one that listens everywhere is at no address that opens.
pub fn from_here(mut listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listen
}

/// Why a file of settings is not read. One that may not be is not one that is not there: then every setting would seem to be
/// missing.
fn unread(path: &Path, error: &io::Error) -> String {
    let path = path.display().to_string();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!(
                "cannot read {path}: permission denied; run this with sudo, or as the user saoma"
            )
        }
        _ => format!("cannot read {path:?}: {error}; give the file with --config"),
    }
}

/// What is wrong with a text and where, without the line itself: it may hold a secret.
fn told(error: &toml::de::Error, written: &str) -> String {
    let before = error.span().and_then(|span| written.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {}", error.message())
}

/// What a setting should have been, in words of a file of settings, and without what it is: that may be a secret.
fn wanted(message: &str) -> String {
    let wanted = match message.rsplit_once(", expected ").map(|(_, wanted)| wanted) {
        None if message.contains("socket address") => {
            "an address with a port, such as \"127.0.0.1:8080\""
        }
        None => return message.to_owned(),
        Some("a string") => "a text in quotes",
        Some("a boolean") => "true or false",
        Some("a sequence") => "a list, such as [\"one\", \"two\"]",
        Some("a duration") => "a time, such as \"90s\", \"2m\" or \"30d\"",
        Some("u32" | "usize") => "a whole number",
        Some("a nonzero u32") => "a whole number from 1 on",
        Some(other) => other,
    };
    format!("expected {wanted}")
}

#[cfg(test)]
mod tests;
