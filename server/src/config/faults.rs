//! What is wrong with settings, each fault with what to write instead.

use std::{collections::BTreeSet, fmt, net::SocketAddr, time::Duration};

use url::Url;

use super::{CodeInterface, EnvVersion, Settings};
use crate::{
    log,
    neighbours::Neighbour,
    site::{self, Fault},
};

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
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.public_url.is_empty() {
            faults.push("public_url is missing: write where people reach saoma, such as public_url = \"https://login.example.com\"".to_owned());
        }
        let urls = [("public_url", &self.public_url), ("console.url", &self.console.url)];
        let given = urls.into_iter().filter(|(_, url)| !url.is_empty());
        faults.extend(given.filter_map(|(setting, url)| fault_of_origin(setting, url)));
        let console = &self.console;
        if console.life > Duration::from_secs(7 * 24 * 3600) || console.idle > console.life {
            faults.push("console.life must be 7d at most, and console.idle no longer than it: who has the console has everything".to_owned());
        }
        if self.wechat.appid.is_empty() {
            faults.push("wechat.appid is missing: copy it from the mini program's console (开发管理 > 开发设置), or set SAOMA_WECHAT__APPID; to try saoma without one, run `saoma try`".to_owned());
        }
        // A pretend WeChat takes any.
        if self.wechat.is_real() && !self.wechat.appid.is_empty() {
            faults.extend(self.wechat.fault_of_appid());
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
        faults.extend(self.faults_of_addresses());
        faults.extend(self.faults_of_nothing());
        if wechat::Page::new(&self.wechat.page).is_err() {
            faults.push(format!("wechat.page = {:?}: write it as app.json has it, such as \"pages/login/login\": no slash before it, and nothing behind it", self.wechat.page));
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
        faults.extend(self.fault_of_version(self.wechat.env_version).map(|fault| fault.en));
        // On this machine alone it is a test that scans and types, and it does not like to wait.
        let shortest = |secs| Duration::from_secs(if self.is_loopback() { 1 } else { secs });
        if !(shortest(20)..=Duration::from_secs(600)).contains(&self.ticket.life) {
            faults.push("ticket.life must lie between 20s and 10m (from 1s where public_url is this machine): longer invites phishing, shorter cannot be scanned".to_owned());
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
        if !self.log.traces.is_empty() && !cfg!(feature = "otlp") {
            faults.push(
                "log.traces wants a saoma that was built with the feature `otlp`; or leave it empty"
                    .to_owned(),
            );
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
        if self.keys.secret.is_empty() && !self.keys.secret_before.is_empty() {
            faults.push("keys.secret_before is set without keys.secret: write the new secret there, or put this one back in its place".to_owned());
        }
        if self.keys.rotate < Duration::from_secs(7 * 24 * 3600) {
            faults.push("keys.rotate must be 7d or more: sites keep what they have read of the keys for a while".to_owned());
        }
        if self.tokens.access > Duration::from_secs(24 * 3600) {
            faults.push("tokens.access must be 24h at most; let sites refresh instead".to_owned());
        }
        if !(shortest(60)..=Duration::from_secs(1800)).contains(&self.ticket.device_life) {
            faults.push("ticket.device_life must lie between 1m and 30m (from 1s where public_url is this machine): longer invites guessing, shorter cannot be typed".to_owned());
        }
        let twice = site::protected_twice(self.sites.iter(), &self.public_url);
        faults.extend(twice.into_iter().map(|fault| fault.en));
        let mut ids = BTreeSet::new();
        for site in &self.sites {
            faults.extend(site.faults().into_iter().map(|fault| fault.en));
            let fault = site.env_version.and_then(|version| self.fault_of_version(version));
            faults.extend(fault.map(|fault| format!("site {:?}: {fault}", site.id)));
            if !ids.insert(&site.id) {
                faults.push(format!("two sites have id = {:?}; give one another", site.id));
            }
        }
        faults
    }

    /// What is wrong with codes that are to open this version: interface C has no word for one (wechat-api.md section 2).
    pub fn fault_of_version(&self, version: EnvVersion) -> Option<Fault> {
        let unheard = self.wechat.code == CodeInterface::C && version != EnvVersion::Release;
        unheard.then(|| Fault::new(
            "wechat.code = \"c\" 只能打开正式版：小程序版本要用体验版或开发版的话，请把它改成 \"unlimited\" 或 \"a\"",
            "wechat.code = \"c\" opens the published version alone; write \"unlimited\" or \"a\" where env_version is not \"release\"",
        ))
    }

    /// What nobody can be reached at, or listen on.
    fn faults_of_addresses(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (setting, place, example) in [
            ("store", &self.store, "postgres://user:password@host/database"),
            ("tickets", &self.tickets, "redis://:password@host:6379"),
        ] {
            let (text, scheme) = (place.reveal(), place.scheme());
            let at_once = scheme == "sqlite" || text == "memory";
            if !at_once && text.contains(':') && place.after(&format!("{scheme}://")).is_none() {
                faults.push(format!(
                    "{setting} = {place:?}: after {scheme} comes ://, as in {example}"
                ));
            }
        }
        let url = Url::parse(&self.wechat.base_url).ok();
        let is_http = |url: &Url| {
            let plain = url.username().is_empty() && url.password().is_none();
            ["http", "https"].contains(&url.scheme()) && url.has_host() && plain
        };
        let plain = |url: &Url| url.query().is_none() && url.fragment().is_none();
        if !url.as_ref().is_some_and(|url| is_http(url) && plain(url)) {
            faults.push(format!("wechat.base_url = {:?}: write a URL such as https://api.weixin.qq.com; leave it out where nothing stands in for WeChat", self.wechat.base_url));
        }
        let (people, operators) = (self.listen, self.admin_listen);
        let everywhere = [people, operators].iter().any(|at| at.ip().is_unspecified());
        let meet = people.ip() == operators.ip() || everywhere;
        if people.port() != 0 && people.port() == operators.port() && meet {
            faults.push(format!("listen = \"{people}\" and admin_listen = \"{operators}\" are one place; give admin_listen another port"));
        }
        faults
    }

    /// Settings of which none at all lets nobody in, or keeps nobody signed in.
    fn faults_of_nothing(&self) -> Vec<String> {
        let times = [
            ("session.life", self.session.life),
            ("session.application", self.session.application),
            ("tokens.access", self.tokens.access),
            ("tokens.refresh_idle", self.tokens.refresh_idle),
            ("tokens.refresh", self.tokens.refresh),
            ("console.life", self.console.life),
            ("console.idle", self.console.idle),
            ("limits.head_time", self.limits.head_time),
            ("limits.body_time", self.limits.body_time),
            ("limits.stalled_time", self.limits.stalled_time),
        ];
        let limits = &self.limits;
        let counts = [
            ("limits.tickets_held", limits.tickets_held),
            ("limits.codes", usize::try_from(limits.codes).unwrap_or(usize::MAX)),
            ("limits.sockets", limits.sockets),
            ("limits.sockets_per_address", limits.sockets_per_address),
        ];
        let times = times.into_iter().filter(|(_, time)| time.is_zero());
        let times = times.map(|(setting, _)| {
            format!("{setting} is no time at all: write more, or leave it out for the default")
        });
        let counts = counts.into_iter().filter(|(_, count)| *count == 0);
        times
            .chain(counts.map(|(setting, _)| {
                format!("{setting} = 0 lets nobody in: write more, or leave it out for the default")
            }))
            .collect()
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

/// What is wrong with the URL of a setting that must be an origin of https, or of this machine.
fn fault_of_origin(setting: &str, url: &str) -> Option<String> {
    let wrong = match Url::parse(url) {
        Ok(url) if !is_bare(&url) => {
            "must be an origin: scheme, host and port alone, without a path".to_owned()
        }
        Ok(url) if url.scheme() == "https" => return None,
        Ok(url) if url.scheme() == "http" && site::is_loopback(&url) => return None,
        Ok(_) => "must begin with https://; http is for this machine alone (http://127.0.0.1:8080)"
            .to_owned(),
        Err(error) => format!("is no URL: {error}"),
    };
    Some(format!("{setting} = {url:?} {wrong}"))
}

/// Whether a URL is scheme, host and port alone.
fn is_bare(url: &Url) -> bool {
    let plain = url.username().is_empty() && url.password().is_none();
    plain && url.path() == "/" && url.query().is_none() && url.fragment().is_none()
}
