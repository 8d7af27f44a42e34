//! What can be wrong with a site, each with what to write instead.

use std::{collections::BTreeMap, ops::RangeInclusive};

use icu_properties::{
    CodePointSetData, CodePointSetDataBorrowed,
    props::{DefaultIgnorableCodePoint, ExtendedPictographic},
};
use url::Url;

use super::{CONSOLE, Pkce, SELF, Site, is_loopback};
use crate::{admission::Admit, person::is_group};

impl Site {
    /// What is wrong with it, each with what to write; nothing if it can be used.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let id = &self.id;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if id.is_empty() || id.len() > 64 || !id.chars().all(plain) {
            faults.push(format!("id = {id:?}: use 1 to 64 letters, digits, - _ or ."));
        }
        if id == SELF || id == CONSOLE {
            faults.push(format!("id = {id:?} is saoma's own; choose another"));
        }
        // Whoever signs in to saoma's own page keeps a session there, whatever the risk was: it must open nothing else.
        if self.group == SELF || self.group == CONSOLE {
            faults.push(format!(
                "site {id:?}: group = {:?} is saoma's own; choose another",
                self.group
            ));
        }
        if self.name.trim().is_empty() || self.name.chars().count() > 40 {
            faults.push(format!("site {id:?}: name needs 1 to 40 characters; phones show it"));
        }
        if misleading(&self.name) {
            faults.push(format!(
                "site {id:?}: name has control or invisible characters; remove them"
            ));
        }
        if self.operator.chars().count() > 60 || self.contact.chars().count() > 120 {
            faults.push(format!(
                "site {id:?}: operator may have 60 characters, contact 120; phones show them"
            ));
        }
        if misleading(&self.operator) || misleading(&self.contact) {
            faults.push(format!(
                "site {id:?}: operator or contact has control or invisible characters; remove them"
            ));
        }
        if !self.privacy_url.is_empty()
            && let Err(why) = check_web_page(&self.privacy_url)
        {
            let url = &self.privacy_url;
            faults.push(format!("site {id:?}: privacy_url: {url:?} {why}"));
        }
        for uri in &self.redirect_uris {
            if let Err(why) = check_redirect_uri(uri) {
                faults.push(format!("site {id:?}: redirect_uris: {uri:?} {why}"));
            }
        }
        for uri in &self.post_logout_redirect_uris {
            if let Err(why) = check_redirect_uri(uri) {
                faults.push(format!("site {id:?}: post_logout_redirect_uris: {uri:?} {why}"));
            }
        }
        if !self.backchannel_logout_uri.is_empty()
            && let Err(why) = check_backchannel_uri(&self.backchannel_logout_uri)
        {
            let uri = &self.backchannel_logout_uri;
            faults.push(format!("site {id:?}: backchannel_logout_uri: {uri:?} {why}"));
        }
        if !self.email.is_empty() && !is_email_pattern(&self.email) {
            faults.push(format!(
                "site {id:?}: email = {:?} must be like {{username}}@users.example.com",
                self.email
            ));
        }
        if (1..32).contains(&self.rainbow_key.reveal().len()) {
            faults.push(format!(
                "site {id:?}: rainbow_key is too short; write 32 characters or more, such as the output of `openssl rand -hex 32`"
            ));
        }
        for group in self.admit_groups.iter().filter(|group| !is_group(group)) {
            faults.push(format!(
                "site {id:?}: admit_groups: {group:?} is no group; use 1 to 40 letters, digits, - _ or ."
            ));
        }
        if !self.admit_groups.is_empty() && self.admit == Admit::All {
            faults.push(format!(
                "site {id:?}: admit_groups names groups, but admit = \"all\" lets everybody in; write admit = \"named\", or leave admit_groups out"
            ));
        }
        for origin in &self.origins {
            if !is_origin(origin) {
                faults.push(format!(
                    "site {id:?}: origins: {origin:?} must be https (http on loopback), host and port alone, like https://blog.example.com"
                ));
            }
        }
        for origin in &self.forward_auth {
            let url = Url::parse(origin).ok().filter(|_| is_origin(origin));
            if !url.is_some_and(|url| url.scheme() == "https" || is_loopback(&url)) {
                faults.push(format!(
                    "site {id:?}: forward_auth: {origin:?} must be scheme, host and port alone, like https://wiki.example.com; http is for loopback alone"
                ));
            }
        }
        if self.is_public() && self.pkce == Pkce::IfSent {
            faults.push(format!(
                "site {id:?}: pkce = \"if-sent\" needs a secret; a public site has PKCE alone"
            ));
        }
        faults
    }

    /// Whether a secret that somebody chose for it is short enough to be guessed.
    pub fn has_short_secret(&self) -> bool {
        let all = self.secrets.iter().chain([&self.secret]);
        all.into_iter().any(|secret| (1..32).contains(&secret.reveal().len()))
    }
}

/// Whether a text holds what cannot be seen: control and bidirectional characters, what Unicode lets screens leave out, and
/// letters that are blank. They make one name look like another, or like none (threats.md row 13). Of those, emoji are made
/// of two: a joiner between two of them, and what asks for a picture in colours.
pub fn misleading(text: &str) -> bool {
    const IGNORED: CodePointSetDataBorrowed<'static> =
        CodePointSetData::new::<DefaultIgnorableCodePoint>();
    const PICTURES: CodePointSetDataBorrowed<'static> =
        CodePointSetData::new::<ExtendedPictographic>();
    const TONES: RangeInclusive<char> = '\u{1f3fb}'..='\u{1f3ff}';
    let picture = |c: Option<char>| c.is_some_and(|c| PICTURES.contains(c));
    let (mut before, mut rest) = (None, text.chars().peekable());
    while let Some(c) = rest.next() {
        let next = rest.peek().copied();
        let seen = match c {
            '\u{fe0f}' => {
                let keycap = before.is_some_and(|c: char| "0123456789#*".contains(c));
                picture(before) || keycap && next == Some('\u{20e3}')
            }
            '\u{200d}' => {
                let ends = before.is_some_and(|c| c == '\u{fe0f}' || TONES.contains(&c));
                (picture(before) || ends) && picture(next)
            }
            // Separators of lines, notes between lines, an empty cell of Braille, and a note without a head.
            '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}' | '\u{2800}' | '\u{1d159}' => false,
            c => !c.is_control() && !IGNORED.contains(c),
        };
        if !seen {
            return true;
        }
        before = Some(c);
    }
    false
}

/// https anywhere, http on this machine, or a scheme that a native application owns (RFC 8252 section 7.1).
fn check_redirect_uri(uri: &str) -> Result<(), &'static str> {
    let url = Url::parse(uri).map_err(|_| "is no absolute URL")?;
    if url.fragment().is_some() {
        return Err("has a fragment; remove the # and what follows");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name in it; remove it");
    }
    if uri.contains('*') {
        return Err("has a * in it; addresses are compared to the letter: write each one out");
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(&url) => Ok(()),
        "http" => Err("must be https; http is for loopback alone"),
        scheme if scheme.contains('.') => Ok(()),
        _ => Err(
            "must be https, http on loopback, or a reverse-DNS scheme such as com.example.app:/done",
        ),
    }
}

/// Where a browser can read, and a screen can show all of it.
fn check_web_page(text: &str) -> Result<(), &'static str> {
    let url = Url::parse(text).map_err(|_| "is no absolute URL")?;
    match url.scheme() {
        _ if text.len() > 200 => Err("is longer than 200 characters"),
        _ if url.as_str() != text => Err("must be written as browsers write it, in ASCII"),
        _ if !url.username().is_empty() || url.password().is_some() => {
            Err("has a user name in it; remove it")
        }
        "https" => Ok(()),
        "http" if is_loopback(&url) => Ok(()),
        _ => Err("must be https; http is for loopback alone"),
    }
}

/// https, or http on this machine; whoever is told of a logout is told over a wire that nobody reads.
fn check_backchannel_uri(uri: &str) -> Result<(), &'static str> {
    let url = Url::parse(uri).map_err(|_| "is no absolute URL")?;
    match url.scheme() {
        _ if url.fragment().is_some() => Err("has a fragment; remove the # and what follows"),
        _ if !url.username().is_empty() || url.password().is_some() => {
            Err("has a user name in it; remove it")
        }
        "https" => Ok(()),
        "http" if is_loopback(&url) => Ok(()),
        _ => Err("must be https; http is for loopback alone"),
    }
}

/// Whether a made-up address can be made from it: one `{username}` before the @, and a plain domain behind.
fn is_email_pattern(pattern: &str) -> bool {
    let Some((local, domain)) = pattern.split_once('@') else { return false };
    let plain = |text: &str, more: &str| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    local.matches("{username}").count() == 1
        && plain(&local.replacen("{username}", "", 1), ".-_+")
        && plain(domain, ".-")
        && domain.split('.').count() > 1
        && domain.split('.').all(|label| !label.is_empty())
}

/// Applications that two sites protect, or that are saoma itself: whose visitors they are could not be said.
pub fn protected_twice<'a>(sites: impl Iterator<Item = &'a Site>, public_url: &str) -> Vec<String> {
    let mut seen = BTreeMap::new();
    let mut faults = Vec::new();
    for (site, origin) in sites.flat_map(|site| site.forward_auth.iter().map(move |it| (site, it)))
    {
        let id = &site.id;
        if origin == public_url {
            faults.push(format!("site {id:?}: forward_auth: {origin:?} is saoma itself"));
        }
        if let Some(other) = seen.insert(origin, id) {
            faults.push(format!(
                "sites {other:?} and {id:?}: both have {origin:?} in forward_auth; keep it in one"
            ));
        }
    }
    faults
}

/// Whether a text is an origin as browsers send it, of pages that nobody on the way can change: they hold a ticket's key.
pub fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        safe && !text.contains('*') && url.origin().ascii_serialization() == text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_with_a_ticket_stands_where_nobody_on_the_way_can_change_it() {
        for origin in [
            "https://blog.example.com",
            "https://blog.example.com:8443",
            "http://127.0.0.1:3000",
            "http://localhost:5173",
        ] {
            assert!(is_origin(origin), "{origin}");
        }
        for not in [
            "http://blog.example.com",
            "https://blog.example.com/",
            "https://blog.example.com:443",
            "https://BLOG.example.com",
            "https://user@blog.example.com",
            "https://*.example.com",
            "ws://blog.example.com",
            "null",
            "*",
            "",
        ] {
            assert!(!is_origin(not), "{not}");
        }
    }

    #[test]
    fn what_cannot_be_seen_stands_in_no_name() {
        for name in [
            "Ann",
            "安娜",
            "Zoë",
            "Zoe\u{308}",
            "آنا",
            "अन्ना",
            "안나",
            "O'Hara (2)",
            "^_^",
            "❤",
            "❤\u{fe0f}",
            "1\u{fe0f}\u{20e3}",
            "👩🏽\u{200d}💻",
            "🏳\u{fe0f}\u{200d}🌈",
            "👨\u{200d}👩\u{200d}👧",
            "🇨🇳",
            "👍🏿",
            "a 🙂 b",
        ] {
            assert!(!misleading(name), "{name:?}");
        }
        for name in [
            "\u{3164}",
            "\u{115f}",
            "\u{1160}",
            "\u{ffa0}",
            "\u{2800}",
            "\u{1d159}",
            "a\u{34f}",
            "a\u{fe0f}",
            "a\u{fe00}",
            "a\u{e0100}",
            "1\u{fe0f}",
            "❤\u{fe0f}\u{fe0f}",
            "\u{fe0f}",
            "a\u{200d}b",
            "❤\u{200d}",
            "\u{200d}❤",
            "❤\u{200d}\u{200d}❤",
            "a\u{200b}",
            "a\u{200c}b",
            "\u{ad}",
            "\u{61c}",
            "\u{180e}",
            "\u{180b}",
            "\u{202e}a",
            "\u{2066}a",
            "\u{2060}",
            "\u{2028}",
            "\u{feff}",
            "\u{fff9}",
            "\u{17b4}",
            "\u{1d173}",
            "\u{e0061}",
            "\u{e0fff}",
            "a\nb",
            "\u{7f}",
            "\u{85}",
        ] {
            assert!(misleading(name), "{name:?}");
            assert_ne!(Site::new("blog", name).faults(), [] as [String; 0], "{name:?}");
        }
        assert_ne!(Site::new("blog", " \u{3000}\u{a0}").faults(), [] as [String; 0]);
    }

    #[test]
    fn a_site_that_cannot_work_says_what_to_write() {
        let site = |redirect_uris: &[&str]| Site {
            redirect_uris: redirect_uris.iter().map(|uri| (*uri).to_owned()).collect(),
            ..Site::new("blog", "My blog")
        };
        let mut bad =
            site(&["javascript:alert(1)", "http://blog.example.com/x", "https://a.example/#x"]);
        bad.name = "Bank\u{202e}gnaB".to_owned();
        bad.origins = vec!["https://a.example/".to_owned()];
        bad.pkce = Pkce::IfSent;
        assert_eq!(bad.faults().len(), 6, "{:#?}", bad.faults());
        bad.group = SELF.to_owned();
        assert_eq!(bad.faults().len(), 7, "saoma's own session opens nothing else");
        bad.operator = "The bank\u{200b}".to_owned();
        bad.privacy_url = "javascript:alert(1)".to_owned();
        assert_eq!(bad.faults().len(), 9, "{:#?}", bad.faults());
        assert_eq!(site(&["https://*.example.com/cb", "https://a.example/*"]).faults().len(), 2);
        assert_eq!(
            site(&["https://a.example/cb", "com.example.app:/done"]).faults(),
            [] as [String; 0]
        );
    }
}
