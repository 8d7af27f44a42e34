//! A text for an issue: what was found, and on what it runs, without anything that is the owner's alone.

use super::{Finding, text};
use crate::config::Settings;

/// The report in Markdown. Host names, the AppID and addresses are put out of sight; no secret was ever in it.
pub fn markdown(settings: Option<&Settings>, found: &[Finding], scan: &[String]) -> String {
    let mut body = text(found);
    let mut scanned = scan.join("\n");
    if let Some(settings) = settings {
        let host = settings.host();
        let site_hosts =
            settings.sites.iter().flat_map(|site| site.redirect_uris.iter().chain(&site.origins));
        let hosts =
            site_hosts.filter_map(|url| Some(url::Url::parse(url).ok()?.host_str()?.to_owned()));
        let mut hidden: Vec<(String, &str)> = hosts.map(|host| (host, "SITE")).collect();
        hidden.extend([
            (settings.public_url.clone(), "PUBLIC_URL"),
            (host, "HOST"),
            (settings.wechat.appid.clone(), "APPID"),
            (settings.wechat.secret.reveal().to_owned(), "SECRET"),
            (settings.store.to_string(), "STORE"),
        ]);
        // The longest first: a name may hold another.
        hidden.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        for (name, word) in hidden.iter().filter(|(name, _)| !name.is_empty()) {
            body = body.replace(name, word);
            scanned = scanned.replace(name, word);
        }
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
    use crate::doctor::{Finding, todo};

    #[test]
    fn nothing_that_is_the_owners_alone_stands_in_a_report() {
        let env = [
            ("SAOMA_PUBLIC_URL", "https://login.anna.example"),
            ("SAOMA_WECHAT__APPID", "wx00000000000000ab"),
            ("SAOMA_WECHAT__SECRET", "hush-hush"),
            ("SAOMA_STORE", "sqlite:/home/anna/saoma.db"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::load(None, env.into_iter()).unwrap();
        let found = [
            Finding::broken(
                "ip_list",
                "WeChat sees this machine as 203.0.113.7 and refuses it",
                todo("Add 203.0.113.7.", "请添加 2001:db8::7。"),
            ),
            Finding::ok("public_url", "saoma answers at https://login.anna.example"),
            Finding::ok("appid", "WeChat knows wx00000000000000ab"),
            Finding::ok("store", "sqlite:/home/anna/saoma.db answers"),
        ];
        let scan = ["phone 198.51.100.9, browser 127.0.0.1:8080, at login.anna.example".to_owned()];
        let report = markdown(Some(&settings), &found, &scan);
        for private in
            ["anna", "203.0.113.7", "2001:db8", "198.51.100.9", "wx00000000000000ab", "hush-hush"]
        {
            assert!(!report.contains(private), "{private} stands in\n{report}");
        }
        for useful in
            ["ip_list", "ADDRESS", "127.0.0.1:8080", "check_path true", env!("CARGO_PKG_VERSION")]
        {
            assert!(report.contains(useful), "{useful} is missing in\n{report}");
        }
    }
}
