//! A text for an issue: what was found, and on what it runs, without anything that is the owner's alone.

use url::Url;

use super::{Finding, text};
use crate::config::Settings;

/// The report in Markdown, with what is the owner's put out of sight: names that stand in the settings, with all sites in
/// them, and names that were found. Where there are no settings to know them by, whatever is quoted.
pub fn markdown(settings: Option<&Settings>, found: &[Finding], scan: &[String]) -> String {
    let unquoted = |finding: &Finding| {
        let mut finding = finding.clone();
        // A database says with which user and to which one it was not let in.
        if settings.is_none() || finding.check == "store" {
            finding.said = without_quoted(&finding.said);
        }
        finding
    };
    let mut hidden = settings.map(names_in).unwrap_or_default();
    let found_names = found.iter().flat_map(|finding| &finding.names);
    hidden.extend(found_names.map(|name| (name.clone(), "NAME")));
    // The longest first: a name may hold another.
    hidden.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    let mut body = text(&found.iter().map(unquoted).collect::<Vec<_>>());
    let mut scanned = scan.join("\n");
    for (name, word) in hidden.iter().filter(|(name, _)| !name.is_empty()) {
        body = body.replace(name, word);
        scanned = scanned.replace(name, word);
    }
    let body = without_addresses(&body);
    let scanned = without_addresses(&scanned);
    let how = settings.map(how).unwrap_or_default();
    let scan = if scanned.is_empty() {
        String::new()
    } else {
        format!("\n### Scan\n```\n{scanned}\n```\n")
    };
    format!(
        "### saoma {} on {} {}\n{how}\n### Doctor\n```\n{body}\n```\n{scan}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
    )
}

/// The names that stand in the settings, each with the word for it.
fn names_in(settings: &Settings) -> Vec<(String, &'static str)> {
    let wechat = &settings.wechat;
    let mut names = vec![
        (settings.public_url.clone(), "PUBLIC_URL"),
        (settings.host(), "HOST"),
        (wechat.appid.clone(), "APPID"),
        (wechat.secret.reveal().to_owned(), "SECRET"),
        (settings.store.to_string(), "STORE"),
    ];
    // SQLite's errors name the file alone.
    names.extend(settings.store.after("sqlite:").map(|file| (file.to_owned(), "STORE")));
    if settings.tickets.reveal() != "memory" {
        names.push((settings.tickets.to_string(), "TICKETS"));
    }
    // The certificates of its authority lie somewhere.
    let roots = settings.tickets.reveal().split_once("sslrootcert=");
    let roots = roots.and_then(|(_, file)| file.split('&').next());
    names.extend(roots.map(|file| (file.to_owned(), "TICKETS")));
    names.extend(settings.owned_domains.iter().map(|domain| (domain.clone(), "DOMAIN")));
    // WeChat's own is nobody's secret.
    if !wechat.is_real() {
        names.push((wechat.base_url.clone(), "BASE_URL"));
        names.extend(host_of(&wechat.base_url).map(|host| (host, "BASE_URL")));
    }
    for site in &settings.sites {
        let urls = site.redirect_uris.iter().chain(&site.origins).chain(&site.forward_auth);
        names.extend(urls.filter_map(|url| Some((host_of(url)?, "SITE"))));
        names.extend(site.email.split_once('@').map(|(_, domain)| (domain.to_owned(), "DOMAIN")));
    }
    names
}

/// The name in a URL. Addresses are no names: [`without_addresses`] takes those away, but for this machine's own.
fn host_of(url: &str) -> Option<String> {
    Some(Url::parse(url).ok()?.domain()?.to_owned())
}

/// Without what stands between quotation marks or backticks.
fn without_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut inside, mut escaped) = (None, false);
    for c in text.chars() {
        match inside {
            None => {
                out.push(c);
                inside = Some(c).filter(|c| matches!(c, '"' | '`'));
            }
            Some(mark) if c == mark && !escaped => {
                out.extend(['…', c]);
                inside = None;
            }
            Some(_) => {}
        }
        escaped = c == '\\' && !escaped;
    }
    out
}

/// The settings that decide how it goes, none of which is the owner's alone.
fn how(settings: &Settings) -> String {
    let wechat = &settings.wechat;
    let store = settings.store.scheme();
    let tickets = settings.tickets.scheme();
    format!(
        "token {:?}, code {:?}, env_version {:?}, check_path {}, pool {}, store {store}, tickets {tickets}, sites {}, trusted proxies {}\n",
        wechat.token,
        wechat.code,
        wechat.env_version,
        wechat.check_path,
        wechat.pool,
        settings.sites.len(),
        settings.trusted_proxies.len(),
    )
}

/// Network addresses other than this machine's own name a person or a household.
fn without_addresses(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_hexdigit() || ".:".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let (word, after) = from.split_at(from.find(|c| !is_part(c)).unwrap_or(from.len()));
        out.push_str(&hidden(word));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn hidden(word: &str) -> String {
    let bare = word.trim_end_matches(['.', ':']);
    let as_ip = |text: &str| text.parse::<std::net::IpAddr>().ok();
    let with_port = bare.rsplit_once(':').and_then(|(ip, _)| as_ip(ip));
    match as_ip(bare).or(with_port) {
        Some(ip) if !ip.is_loopback() => {
            format!("ADDRESS{}", word.get(bare.len()..).unwrap_or_default())
        }
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        doctor::{Finding, todo},
        site::Site,
    };

    #[test]
    fn nothing_that_is_the_owners_alone_stands_in_a_report() {
        let env = [
            ("SAOMA_PUBLIC_URL", "https://login.anna.example"),
            ("SAOMA_WECHAT__APPID", "wx00000000000000ab"),
            ("SAOMA_WECHAT__SECRET", "hush-hush"),
            ("SAOMA_STORE", "sqlite:/home/anna/saoma.db"),
            ("SAOMA_TICKETS", "rediss://:hush@redis.anna.example:6379/?sslrootcert=/home/anna/ca"),
            ("SAOMA_OWNED_DOMAINS", "[\"annas.example\"]"),
            ("SAOMA_WECHAT__BASE_URL", "http://wechat.anna.example:9100"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut settings = Settings::load(None, env.into_iter()).unwrap();
        let email = "{username}@anna-mail.example".to_owned();
        settings.sites = vec![Site { email, ..Site::new("blog", "My blog") }];
        let found = [
            Finding::broken(
                "ip_list",
                "WeChat sees this machine as 203.0.113.7 and refuses it",
                todo("Add 203.0.113.7.", "请添加 2001:db8::7。"),
            ),
            Finding::ok("public_url", "saoma answers at https://login.anna.example"),
            Finding::ok("appid", "WeChat knows wx00000000000000ab"),
            Finding::ok("store", "sqlite:/home/anna/saoma.db answers: \"anna\" is let in"),
            Finding::ok("store", "cannot open /home/anna/saoma.db"),
            Finding::ok("redis", format!("{}: sslrootcert=/home/anna/ca: no", settings.tickets)),
            Finding::ok("wechat", "http://wechat.anna.example:9100 answers"),
            Finding::ok("email_domain", "no mail reaches anna-mail.example, users.annas.example"),
            Finding::ok("email_domain", "mail is received by mx.bob.example")
                .naming(["mx.bob.example".to_owned()]),
        ];
        let scan = ["phone 198.51.100.9, browser 127.0.0.1:8080, at login.anna.example".to_owned()];
        let report = markdown(Some(&settings), &found, &scan);
        for private in [
            "anna",
            "bob",
            "203.0.113.7",
            "2001:db8",
            "198.51.100.9",
            "wx00000000000000ab",
            "hush-hush",
        ] {
            assert!(!report.contains(private), "{private} stands in\n{report}");
        }
        for useful in
            ["ip_list", "ADDRESS", "127.0.0.1:8080", "check_path true", env!("CARGO_PKG_VERSION")]
        {
            assert!(report.contains(useful), "{useful} is missing in\n{report}");
        }
    }

    #[test]
    fn of_settings_that_cannot_be_used_nothing_is_quoted() {
        let env = [
            ("SAOMA_PUBLIC_URL", "http://login.anna.example/\"x"),
            ("SAOMA_STORE", "mysql://anna.example/db"),
            ("SAOMA_WECHAT__SECRET_FILE", "/anna/hush-hush"),
        ];
        for env in [&env[..2], &env[2..]] {
            let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let faults = Settings::load(None, env).unwrap_err();
            let report = markdown(None, &crate::doctor::unusable(&faults.0), &[]);
            assert!(!report.contains("anna") && !report.contains("hush"), "{report}");
            assert!(report.contains("public_url") || report.contains("SECRET_FILE"), "{report}");
        }
    }
}
