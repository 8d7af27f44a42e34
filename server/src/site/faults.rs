//! What can be wrong with a site, each with what to write instead.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive};

use icu_properties::{
    CodePointSetData, CodePointSetDataBorrowed,
    props::{DefaultIgnorableCodePoint, ExtendedPictographic},
};
use url::Url;

use super::{CONSOLE, Pkce, SELF, Site, is_loopback};
use crate::{admission::Admit, person::is_group};

/// Something wrong with a site, and what to write instead: in English for the log and the command line, whoever reads it, and
/// in Chinese for the form of the console, which shows one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

impl Fault {
    /// The same in both languages.
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.en)
    }
}

impl Site {
    /// What is wrong with it, each with what to write; nothing if it can be used.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let id = &self.id;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if id.is_empty() || id.len() > 64 || !id.chars().all(plain) {
            faults.push(Fault::new(
                format!("client_id {id:?}：请用 1 到 64 个字母、数字或 - _ ."),
                format!("id = {id:?}: use 1 to 64 letters, digits, - _ or ."),
            ));
        }
        if id == SELF || id == CONSOLE {
            faults.push(Fault::new(
                format!("client_id {id:?} 是 saoma 自己的，请换一个"),
                format!("id = {id:?} is saoma's own; choose another"),
            ));
        }
        // Whoever signs in to saoma's own page keeps a session there, whatever the risk was: it must open nothing else.
        if self.group == SELF || self.group == CONSOLE {
            faults.push(Fault::new(
                format!("组 {:?} 是 saoma 自己的，请换一个", self.group),
                format!("site {id:?}: group = {:?} is saoma's own; choose another", self.group),
            ));
        }
        if self.name.trim().is_empty() || self.name.chars().count() > 40 {
            faults.push(Fault::new(
                "名称要有 1 到 40 个字，手机上会显示",
                format!("site {id:?}: name needs 1 to 40 characters; phones show it"),
            ));
        }
        if misleading(&self.name) {
            faults.push(Fault::new(
                "名称里有控制字符或看不见的字符，请去掉",
                format!("site {id:?}: name has control or invisible characters; remove them"),
            ));
        }
        if self.operator.chars().count() > 60 || self.contact.chars().count() > 120 {
            faults.push(Fault::new(
                "运营者最多 60 个字，联系方式最多 120 个字，手机上会显示",
                format!(
                    "site {id:?}: operator may have 60 characters, contact 120; phones show them"
                ),
            ));
        }
        if misleading(&self.operator) || misleading(&self.contact) {
            faults.push(Fault::new(
                "运营者或联系方式里有控制字符或看不见的字符，请去掉",
                format!("site {id:?}: operator or contact has control or invisible characters; remove them"),
            ));
        }
        if !self.privacy_url.is_empty()
            && let Err(why) = check_web_page(&self.privacy_url)
        {
            let url = &self.privacy_url;
            faults.push(why.of(id, ("隐私政策", "privacy_url"), url));
        }
        for uri in &self.redirect_uris {
            if let Err(why) = check_redirect_uri(uri) {
                faults.push(why.of(id, ("回调地址", "redirect_uris"), uri));
            }
        }
        for uri in &self.post_logout_redirect_uris {
            if let Err(why) = check_redirect_uri(uri) {
                faults.push(why.of(id, ("退出后的地址", "post_logout_redirect_uris"), uri));
            }
        }
        if !self.backchannel_logout_uri.is_empty()
            && let Err(why) = check_backchannel_uri(&self.backchannel_logout_uri)
        {
            let uri = &self.backchannel_logout_uri;
            faults.push(why.of(id, ("退出通知地址", "backchannel_logout_uri"), uri));
        }
        if !self.email.is_empty() && !is_email_pattern(&self.email) {
            let email = &self.email;
            faults.push(Fault::new(
                format!("代用邮箱 {email:?} 要写成 {{username}}@users.example.com 这样"),
                format!(
                    "site {id:?}: email = {email:?} must be like {{username}}@users.example.com"
                ),
            ));
        }
        if (1..32).contains(&self.rainbow_key.reveal().len()) {
            faults.push(Fault::new(
                "rainbow_key 太短，请写 32 个字符以上，例如 `openssl rand -hex 32` 的输出",
                format!(
                    "site {id:?}: rainbow_key is too short; write 32 characters or more, such as the output of `openssl rand -hex 32`"
                ),
            ));
        }
        for group in self.admit_groups.iter().filter(|group| !is_group(group)) {
            faults.push(Fault::new(
                format!("可登录的组：{group:?} 不能作组名，请用 1 到 40 个字母、数字或 - _ ."),
                format!(
                    "site {id:?}: admit_groups: {group:?} is no group; use 1 to 40 letters, digits, - _ or ."
                ),
            ));
        }
        if !self.admit_groups.is_empty() && self.admit == Admit::All {
            faults.push(Fault::new(
                "填了可登录的组，但“谁可以登录”选的是所有人：请改选“指定的人和组”，或者清空这些组",
                format!(
                    "site {id:?}: admit_groups names groups, but admit = \"all\" lets everybody in; write admit = \"named\", or leave admit_groups out"
                ),
            ));
        }
        for origin in &self.origins {
            if !is_origin(origin) {
                faults.push(Fault::new(
                    format!("可内嵌的网页：{origin:?} 要用 https（只有本机可用 http），只写域名和端口，例如 https://blog.example.com"),
                    format!(
                        "site {id:?}: origins: {origin:?} must be https (http on loopback), host and port alone, like https://blog.example.com"
                    ),
                ));
            }
        }
        for origin in &self.forward_auth {
            let url = Url::parse(origin).ok().filter(|_| is_origin(origin));
            if !url.is_some_and(|url| url.scheme() == "https" || is_loopback(&url)) {
                faults.push(Fault::new(
                    format!("forward_auth：{origin:?} 只写协议、域名和端口，例如 https://wiki.example.com；只有本机可用 http"),
                    format!(
                        "site {id:?}: forward_auth: {origin:?} must be scheme, host and port alone, like https://wiki.example.com; http is for loopback alone"
                    ),
                ));
            }
        }
        if self.is_public() && self.pkce == Pkce::IfSent {
            faults.push(Fault::new(
                "没有密钥的站点只靠 PKCE 保护：PKCE 请选“必须”",
                format!(
                    "site {id:?}: pkce = \"if-sent\" needs a secret; a public site has PKCE alone"
                ),
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

/// What an address must not be, in both languages.
struct Wrong(&'static str, &'static str);

impl Wrong {
    const NO_URL: Self = Self("不是完整的网址", "is no absolute URL");
    const FRAGMENT: Self =
        Self("带有 #，请去掉它和后面的部分", "has a fragment; remove the # and what follows");
    const USER: Self = Self("里有用户名，请去掉", "has a user name in it; remove it");
    const STAR: Self = Self(
        "里有 *：地址逐字比较，请把每一个都写出来",
        "has a * in it; addresses are compared to the letter: write each one out",
    );
    const PLAIN: Self =
        Self("要用 https；只有本机可用 http", "must be https; http is for loopback alone");

    fn of(&self, id: &str, (zh, en): (&str, &str), url: &str) -> Fault {
        Fault::new(
            format!("{zh}：{url:?} {}", self.0),
            format!("site {id:?}: {en}: {url:?} {}", self.1),
        )
    }
}

/// https anywhere, http on this machine, or a scheme that a native application owns (RFC 8252 section 7.1).
fn check_redirect_uri(uri: &str) -> Result<(), Wrong> {
    let url = Url::parse(uri).map_err(|_| Wrong::NO_URL)?;
    if url.fragment().is_some() {
        return Err(Wrong::FRAGMENT);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Wrong::USER);
    }
    if uri.contains('*') {
        return Err(Wrong::STAR);
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(&url) => Ok(()),
        "http" => Err(Wrong::PLAIN),
        scheme if scheme.contains('.') => Ok(()),
        _ => Err(Wrong(
            "要用 https、本机的 http，或者 com.example.app:/done 这样反写域名的协议",
            "must be https, http on loopback, or a reverse-DNS scheme such as com.example.app:/done",
        )),
    }
}

/// Where a browser can read, and a screen can show all of it.
fn check_web_page(text: &str) -> Result<(), Wrong> {
    let url = Url::parse(text).map_err(|_| Wrong::NO_URL)?;
    match url.scheme() {
        _ if text.len() > 200 => Err(Wrong("超过 200 个字符", "is longer than 200 characters")),
        _ if url.as_str() != text => Err(Wrong(
            "要写成浏览器地址栏里的样子，只用 ASCII",
            "must be written as browsers write it, in ASCII",
        )),
        _ if !url.username().is_empty() || url.password().is_some() => Err(Wrong::USER),
        "https" => Ok(()),
        "http" if is_loopback(&url) => Ok(()),
        _ => Err(Wrong::PLAIN),
    }
}

/// https, or http on this machine; whoever is told of a logout is told over a wire that nobody reads.
fn check_backchannel_uri(uri: &str) -> Result<(), Wrong> {
    let url = Url::parse(uri).map_err(|_| Wrong::NO_URL)?;
    match url.scheme() {
        _ if url.fragment().is_some() => Err(Wrong::FRAGMENT),
        _ if !url.username().is_empty() || url.password().is_some() => Err(Wrong::USER),
        "https" => Ok(()),
        "http" if is_loopback(&url) => Ok(()),
        _ => Err(Wrong::PLAIN),
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
pub fn protected_twice<'a>(sites: impl Iterator<Item = &'a Site>, public_url: &str) -> Vec<Fault> {
    let mut seen = BTreeMap::new();
    let mut faults = Vec::new();
    for (site, origin) in sites.flat_map(|site| site.forward_auth.iter().map(move |it| (site, it)))
    {
        let id = &site.id;
        if origin == public_url {
            faults.push(Fault::new(
                format!("forward_auth：{origin:?} 是 saoma 自己"),
                format!("site {id:?}: forward_auth: {origin:?} is saoma itself"),
            ));
        }
        if let Some(other) = seen.insert(origin, id) {
            faults.push(Fault::new(
                format!("站点 {other:?} 和 {id:?} 的 forward_auth 里都有 {origin:?}，只留一个"),
                format!(
                    "sites {other:?} and {id:?}: both have {origin:?} in forward_auth; keep it in one"
                ),
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
            assert_ne!(Site::new("blog", name).faults(), [] as [Fault; 0], "{name:?}");
        }
        assert_ne!(Site::new("blog", " \u{3000}\u{a0}").faults(), [] as [Fault; 0]);
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
        let is_chinese = |text: &str| text.contains(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        for fault in bad.faults() {
            assert!(is_chinese(&fault.zh) && !is_chinese(&fault.en), "{fault:?}");
        }
        assert_eq!(site(&["https://a.example/cb", "com.example.app:/done"]).faults(), []);
    }
}
