//! Every setting: its name, its default, and what is wrong when it is wrong.
//!
//! One TOML file, with `SAOMA_*` of the environment over it. Defaults stand in `saoma.toml`, which is embedded and is the
//! documentation; an unknown key stops the start, because a misspelt limit is no limit.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::Path,
    time::Duration,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use url::Url;

use crate::{
    log,
    neighbours::Neighbour,
    risk::Matching,
    secret::Secret,
    site::{self, Site},
};

mod in_force;

pub use in_force::{InForce, Line, Source};

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

/// Which of WeChat's two token endpoints is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenEndpoint {
    /// `stable_token`: asking again gives the same token.
    Stable,
    /// `token`: asking again kills the one before.
    Plain,
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

/// Which version of the mini program a code opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvVersion {
    /// What everybody has.
    Release,
    /// For members, before review.
    Trial,
    /// For developers.
    Develop,
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

/// Everything that is wrong with the settings, each with what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.0 {
            writeln!(f, "- {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl From<String> for Faults {
    fn from(fault: String) -> Self {
        Self(vec![fault])
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
            Some(path) => std::fs::read_to_string(path).map_err(|error| {
                format!("cannot read {}: {error}; give the file with --config", path.display())
            })?,
            None => String::new(),
        };
        let name =
            file.map_or_else(|| "the settings".to_owned(), |path| path.display().to_string());
        let given: Table =
            written.parse().map_err(|error| format!("{name} is not TOML: {error}"))?;
        let mut table = defaults();
        let mut faults = unknown_keys(&given);
        let mut sources: BTreeMap<String, Source> =
            paths(&given).into_iter().map(|path| (path, Source::File(name.clone()))).collect();
        merge(&mut table, given);
        faults.extend(overlay(&mut table, env, &mut sources));
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        let in_force = InForce::of(&table, &sources);
        let mut settings: Self =
            serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
                format!("{} is wrong: {}", error.path(), error.inner().to_string().trim_end())
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
    pub fn wants_restart(&self, other: &Self) -> Vec<&'static str> {
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
        all.filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
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

    /// The host that the address bar reads on saoma's own pages.
    pub fn host(&self) -> String {
        let url = Url::parse(&self.public_url).ok();
        url.and_then(|url| url.host_str().map(ToOwned::to_owned)).unwrap_or_default()
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        match Url::parse(&self.public_url) {
            _ if self.public_url.is_empty() => faults.push(
                "public_url is missing: write where people reach saoma, such as public_url = \"https://login.example.com\"".to_owned(),
            ),
            Ok(url) if !is_bare(&url) => faults.push(format!(
                "public_url = {:?} must be an origin: scheme, host and port alone, without a path",
                self.public_url
            )),
            Ok(url) if url.scheme() == "https" || (url.scheme() == "http" && site::is_loopback(&url)) => {}
            Ok(_) => faults.push(format!(
                "public_url = {:?} must begin with https://; http is for this machine alone (http://127.0.0.1:8080)",
                self.public_url
            )),
            Err(error) => faults.push(format!("public_url = {:?} is no URL: {error}", self.public_url)),
        }
        match Url::parse(&self.console.url) {
            _ if self.console.url.is_empty() => {}
            Ok(url) if !is_bare(&url) => faults.push(format!(
                "console.url = {:?} must be an origin: scheme, host and port alone, without a path",
                self.console.url
            )),
            Ok(url)
                if url.scheme() == "https"
                    || (url.scheme() == "http" && site::is_loopback(&url)) => {}
            Ok(_) => faults.push(format!(
                "console.url = {:?} must begin with https://; http is for this machine alone",
                self.console.url
            )),
            Err(error) => {
                faults.push(format!("console.url = {:?} is no URL: {error}", self.console.url));
            }
        }
        let console = &self.console;
        if console.life > Duration::from_secs(7 * 24 * 3600) || console.idle > console.life {
            faults.push("console.life must be 7d at most, and console.idle no longer than it: who has the console has everything".to_owned());
        }
        if self.wechat.appid.is_empty() {
            faults.push("wechat.appid is missing: copy it from the mini program's console (开发管理 > 开发设置), or set SAOMA_WECHAT__APPID; to try saoma without one, run `saoma try`".to_owned());
        }
        if self.wechat.secret.is_empty() {
            faults.push("wechat.secret is missing: copy the AppSecret from the mini program's console, or set SAOMA_WECHAT__SECRET or SAOMA_WECHAT__SECRET_FILE".to_owned());
        }
        if !["sqlite", "postgres", "postgresql"].contains(&self.store.scheme()) {
            faults.push(format!(
                "store = {:?}: write sqlite: and a file, such as \"sqlite:saoma.db\", or postgres://user:password@host/database",
                self.store
            ));
        }
        let kinds = ["redis", "rediss", "valkey", "valkeys"];
        if self.tickets.reveal() != "memory" && !kinds.contains(&self.tickets.scheme()) {
            faults.push(format!(
                "tickets = {:?}: write \"memory\", or redis://:password@host:6379 (rediss:// by TLS)",
                self.tickets
            ));
        }
        if self.wechat.code != CodeInterface::Unlimited && self.wechat.pool > 0 {
            faults.push("wechat.pool must be 0 with codes \"a\" and \"c\": WeChat makes 100,000 of them for ever, too few to fetch ahead".to_owned());
        }
        if self.wechat.pool > 2_000 {
            faults.push(
                "wechat.pool must be at most 2000: WeChat makes 5,000 codes a minute".to_owned(),
            );
        }
        if self.wechat.env_version != EnvVersion::Release && self.wechat.check_path {
            faults.push("wechat.check_path must be false where env_version is not \"release\": WeChat refuses codes for pages it has not published".to_owned());
        }
        let life = self.ticket.life;
        if !(Duration::from_secs(20)..=Duration::from_secs(600)).contains(&life) {
            faults.push("ticket.life must lie between 20s and 10m: longer invites phishing, shorter cannot be scanned".to_owned());
        }
        if self.limits.off && !self.is_loopback() {
            faults.push(
                "limits.off = true is for a public_url on this machine alone; remove it".to_owned(),
            );
        }
        for Neighbour { name, secret } in &self.neighbours.secrets {
            if name.is_empty() || secret.reveal().len() < 32 {
                faults.push(format!("neighbours.secrets: {name:?} needs a name and a secret of 32 characters or more, such as the output of `openssl rand -base64 32`"));
            }
        }
        faults.extend(self.tls_faults());
        if let Err(fault) = log::check_level(&self.log.level) {
            faults.push(format!("log.level: {fault}"));
        }
        if self.retention.audit < self.retention.network {
            faults.push("retention.audit must be at least retention.network: an audit line without its address is what is kept longer".to_owned());
        }
        if self.limits.codes > wechat::QuotaUse::UNLIMITED_A_MINUTE {
            faults.push("limits.codes must be at most 5000: WeChat makes no more in a minute and refuses everybody when asked for more".to_owned());
        }
        if !self.keys.secret.is_empty() && self.keys.secret.reveal().len() < 32 {
            faults.push("keys.secret is too short: write 32 characters or more, such as the output of `openssl rand -base64 32`".to_owned());
        }
        if self.keys.rotate < Duration::from_secs(7 * 24 * 3600) {
            faults.push("keys.rotate must be 7d or more: sites keep what they have read of the keys for a while".to_owned());
        }
        if self.tokens.access > Duration::from_secs(24 * 3600) {
            faults.push("tokens.access must be 24h at most; let sites refresh instead".to_owned());
        }
        let device_life = self.ticket.device_life;
        if !(Duration::from_secs(60)..=Duration::from_secs(1800)).contains(&device_life) {
            faults.push("ticket.device_life must lie between 1m and 30m: longer invites guessing, shorter cannot be typed".to_owned());
        }
        faults.extend(site::protected_twice(self.sites.iter(), &self.public_url));
        let mut ids = std::collections::BTreeSet::new();
        for site in &self.sites {
            faults.extend(site.faults());
            if !ids.insert(&site.id) {
                faults.push(format!("two sites have id = {:?}; give one another", site.id));
            }
        }
        faults
    }
}

impl Settings {
    /// Whether saoma ends TLS by itself.
    pub fn ends_tls(&self) -> bool {
        !self.tls.cert.is_empty() || self.acme.on
    }

    fn tls_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let (tls, acme) = (&self.tls, &self.acme);
        if tls.cert.is_empty() != tls.key.is_empty() {
            faults.push(
                "tls.cert and tls.key belong together: write both, or none where a proxy ends TLS"
                    .to_owned(),
            );
        }
        if acme.on && !tls.cert.is_empty() {
            faults.push("tls.cert and acme.on exclude each other: a certificate comes from files or from an authority".to_owned());
        }
        if acme.on && !cfg!(feature = "acme") {
            faults.push("acme.on wants a saoma that was built with the feature `acme`; or let a tool like certbot renew tls.cert".to_owned());
        }
        if self.ends_tls() && !self.public_url.starts_with("https://") {
            faults.push("public_url must begin with https:// where saoma ends TLS".to_owned());
        }
        if !tls.redirect.is_empty() && tls.redirect.parse::<SocketAddr>().is_err() {
            faults.push(format!(
                "tls.redirect = {:?} must be an address like \"0.0.0.0:80\"",
                tls.redirect
            ));
        }
        faults
    }
}

/// Whether a URL is scheme, host and port alone.
fn is_bare(url: &Url) -> bool {
    let plain = url.username().is_empty() && url.password().is_none();
    plain && url.path() == "/" && url.query().is_none() && url.fragment().is_none()
}

/// The embedded defaults, which a test proves to parse.
fn defaults() -> Table {
    DEFAULTS.parse().unwrap_or_default()
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Keys in the file that no setting has.
fn unknown_keys(given: &Table) -> Vec<String> {
    let known = known_keys();
    let mut faults = Vec::new();
    for path in paths(given) {
        if !known.contains(&path) {
            faults.push(format!("{path} is no setting{}", nearest(&path, &known)));
        }
    }
    faults
}

/// Every setting's dotted name. Those of `[[site]]` stand in the defaults as comments, since there is no default site.
fn known_keys() -> Vec<String> {
    let mut known = paths(&defaults());
    let site: Vec<_> = DEFAULTS
        .split_once("# [[site]]")
        .map(|(_, site)| site)
        .unwrap_or_default()
        .lines()
        .collect();
    let site = site.iter().filter_map(|line| line.strip_prefix("# ")?.split_once(" = "));
    known.extend(site.map(|(key, _)| format!("site.{key}")));
    known
}

fn paths(table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in table {
        let below = match value {
            Value::Table(table) => paths(table),
            Value::Array(rows) => rows.iter().filter_map(Value::as_table).flat_map(paths).collect(),
            _ => Vec::new(),
        };
        let tables = matches!(value, Value::Table(_)) || !below.is_empty();
        if tables {
            found.extend(below.into_iter().map(|path| format!("{key}.{path}")));
        } else {
            found.push(key.clone());
        }
    }
    found
}

fn nearest(path: &str, known: &[String]) -> String {
    let best = known
        .iter()
        .map(|key| (strsim::jaro_winkler(path, key), key))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, key)) if likeness > 0.8 => format!("; did you mean {key}?"),
        _ => "; `saoma config` prints all there are".to_owned(),
    }
}

/// Lays `SAOMA_*` over the table; says what cannot be laid.
fn overlay(
    table: &mut Table,
    env: impl Iterator<Item = (String, String)>,
    sources: &mut BTreeMap<String, Source>,
) -> Vec<String> {
    let known = known_keys();
    let mut faults = Vec::new();
    for (name, text) in env {
        let Some(rest) =
            name.strip_prefix("SAOMA_").filter(|rest| *rest != "CONFIG" && *rest != "LOG")
        else {
            continue;
        };
        let path = rest.to_ascii_lowercase().replace("__", ".");
        let (path, text) =
            match path.strip_suffix("_file").filter(|path| known.iter().any(|key| key == path)) {
                None => {
                    sources.insert(path.clone(), Source::Environment(name.clone()));
                    (path.clone(), text)
                }
                Some(secret) => match std::fs::read_to_string(&text) {
                    Ok(content) => {
                        sources.insert(secret.to_owned(), Source::SecretFile(text));
                        (secret.to_owned(), content.trim_end_matches(['\r', '\n']).to_owned())
                    }
                    Err(error) => {
                        faults.push(format!("{name}: cannot read {text}: {error}"));
                        continue;
                    }
                },
            };
        if !known.contains(&path) {
            faults.push(format!("{name} is no setting{}", nearest(&path, &known)));
            continue;
        }
        put(table, &path, &text);
    }
    faults
}

/// Puts a text at a dotted path, as the type that its default has.
fn put(table: &mut Table, path: &str, text: &str) {
    match path.split_once('.') {
        Some((head, rest)) => {
            if let Some(Value::Table(below)) = table.get_mut(head) {
                put(below, rest, text);
            }
        }
        None => {
            let typed = match table.get(path) {
                Some(Value::String(_)) | None => None,
                Some(_) => format!("v = {text}")
                    .parse::<Table>()
                    .ok()
                    .and_then(|mut table| table.remove("v")),
            };
            table.insert(path.to_owned(), typed.unwrap_or_else(|| Value::String(text.to_owned())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOUGH: &str =
        "public_url = \"https://login.example.com\"\n[wechat]\nappid = \"wx1\"\nsecret = \"s\"\n";

    fn load(toml: &str, env: &[(&str, &str)]) -> Result<Settings, Faults> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saoma.toml");
        std::fs::write(&path, toml).unwrap();
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::load(Some(&path), env)
    }

    fn fault(toml: &str, env: &[(&str, &str)]) -> String {
        load(toml, env).unwrap_err().to_string()
    }

    #[test]
    fn three_settings_are_enough_and_the_rest_is_as_the_page_says() {
        let settings = load(ENOUGH, &[]).unwrap();
        assert_eq!(settings.ticket.life, Duration::from_secs(120));
        assert_eq!(settings.session.life, Duration::from_secs(30 * 24 * 3600));
        assert_eq!(settings.wechat.pool, 16);
        assert_eq!(settings.host(), "login.example.com");
    }

    #[test]
    fn the_example_site_in_the_page_can_be_used_as_it_stands() {
        let (_, example) = DEFAULTS.split_once("# [[site]]").unwrap();
        let example = example.replace("\n# ", "\n");
        let settings = load(&format!("{ENOUGH}[[site]]{example}"), &[]).unwrap();
        assert_eq!(settings.sites[0].id, "blog");
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_write() {
        let said = fault("", &[]);
        for setting in
            ["public_url is missing", "wechat.appid is missing", "wechat.secret is missing"]
        {
            assert!(said.contains(setting), "{said}");
        }
    }

    #[test]
    fn an_unknown_key_stops_the_start_and_names_the_nearest() {
        let said = fault(&format!("{ENOUGH}[ticket]\nlive = \"2m\"\n"), &[]);
        assert!(said.contains("ticket.live is no setting; did you mean ticket.life?"), "{said}");
        let said = fault(ENOUGH, &[("SAOMA_WECHAT__SECRT", "x")]);
        assert!(
            said.contains("SAOMA_WECHAT__SECRT is no setting; did you mean wechat.secret?"),
            "{said}"
        );
        let said =
            fault(&format!("{ENOUGH}[[site]]\nid = \"a\"\nname = \"A\"\nredirect_uri = []\n"), &[]);
        assert!(
            said.contains("site.redirect_uri is no setting; did you mean site.redirect_uris?"),
            "{said}"
        );
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        let at = |url| load(&ENOUGH.replace("https://login.example.com", url), &[]);
        for url in [
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://saoma.localhost:8080",
            "http://[::1]:80",
        ] {
            assert!(at(url).is_ok(), "{url}");
        }
        for url in [
            "http://login.example.com",
            "http://localhost.example.com",
            "https://a.example/login",
            "ftp://a.example",
            "a.example",
        ] {
            assert!(at(url).unwrap_err().to_string().contains("public_url"), "{url}");
        }
    }

    #[test]
    fn the_environment_goes_over_the_file_and_a_secret_may_come_from_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "from a file\n").unwrap();
        let settings = load(
            ENOUGH,
            &[
                ("SAOMA_WECHAT__SECRET_FILE", file.to_str().unwrap()),
                ("SAOMA_WECHAT__POOL", "3"),
                ("SAOMA_TRUSTED_PROXIES", "[\"10.0.0.0/8\", \"::1\"]"),
                ("SAOMA_CONFIG", "elsewhere"),
                ("HOME", "/"),
            ],
        )
        .unwrap();
        assert_eq!(settings.wechat.secret.reveal(), "from a file");
        assert_eq!((settings.wechat.pool, settings.trusted_proxies.len()), (3, 2));
    }

    #[test]
    fn what_is_in_force_says_where_it_came_from_and_keeps_its_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "hush hush").unwrap();
        let env =
            [("SAOMA_WECHAT__SECRET_FILE", file.to_str().unwrap()), ("SAOMA_TICKET__LIFE", "90s")];
        let settings = load(ENOUGH, &env).unwrap();
        let line = |name: &str| {
            settings.in_force.0.iter().find(|line| line.name == name).cloned().unwrap()
        };
        assert!(
            matches!(line("public_url").source, Source::File(path) if path.ends_with("saoma.toml"))
        );
        assert_eq!(
            line("ticket.life").source,
            Source::Environment("SAOMA_TICKET__LIFE".to_owned())
        );
        assert_eq!(line("ticket.life").value, "\"90s\"");
        assert_eq!(line("session.life").source, Source::Default);
        assert!(matches!(line("wechat.secret").source, Source::SecretFile(_)));
        assert!(!format!("{:?}", settings.in_force).contains("hush"));
    }

    #[test]
    fn a_wrong_type_names_its_setting() {
        let said = fault(&format!("{ENOUGH}pool = \"many\"\n"), &[]);
        assert!(said.contains("wechat.pool is wrong"), "{said}");
        let said = fault(&format!("{ENOUGH}[limits]\noff = true\n"), &[]);
        assert!(said.contains("limits.off"), "{said}");
    }

    #[test]
    fn secrets_stay_out_of_debug() {
        let settings = load(&ENOUGH.replace("\"s\"", "\"hush-hush\""), &[]).unwrap();
        assert!(!format!("{settings:?}").contains("hush-hush"));
        for url in [
            "postgres://saoma:hush-hush@db.example.com/saoma?sslmode=verify-full",
            "postgres://saoma@db.example.com/saoma?password=hush-hush",
            "postgres://saoma:a@hush-hush:5432@db.example.com/saoma",
        ] {
            let settings = load(ENOUGH, &[("SAOMA_STORE", url)]).unwrap();
            let shown = format!("{settings:?} {}", settings.store);
            assert!(!shown.contains("hush") && shown.contains("db.example.com"), "{shown}");
        }
    }
}
