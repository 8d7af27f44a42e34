//! Every error a person may read: its code, its status, its sentences. One table.
//!
//! What happened inside stays inside: the cause is logged once, at the edge, and never sent.

use std::{fmt, time::Duration};

use crate::{store, ticket::Refusal, tickets};

/// A stable word for what went wrong, as `code` in problem+json.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each stands explained in the table below")]
pub enum Code {
    InvalidRequest,
    UnsupportedMediaType,
    PayloadTooLarge,
    RequestTimeout,
    NotFound,
    NobodyYet,
    MethodNotAllowed,
    OriginNotAllowed,
    WrongHost,
    NotFromHere,
    UnknownSite,
    RequestOver,
    HintRefused,
    PostLogoutNotRegistered,
    RedirectUriNotRegistered,
    ProxyNotTrusted,
    ApplicationNotRegistered,
    NoSuchTicket,
    TicketExpired,
    TakenByAnotherPhone,
    AlreadyScanned,
    AlreadyDecided,
    NotDecided,
    Unauthorized,
    WrongSecret,
    MatchRequired,
    WrongMatch,
    Refused,
    JsCodeRefused,
    BlockedByWechat,
    PersonBlocked,
    NotAdmitted,
    OwnerAsked,
    LinkOver,
    UpdateRequired,
    TooManyRequests,
    TooManyRenewals,
    NoCodeNow,
    WechatUnreachable,
    Unavailable,
    Internal,
}

/// What stands in the table for the name that the hint says.
pub const NAME: &str = "{name}";

/// What the table says of a code.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The HTTP status.
    pub status: u16,
    /// The stable word.
    pub code: &'static str,
    /// A short English title (RFC 9457).
    pub title: &'static str,
    /// What happened and what to do next, in Chinese.
    pub zh: &'static str,
    /// The same in English.
    pub en: &'static str,
}

macro_rules! table {
    ($($variant:ident $status:literal $code:literal $title:literal $zh:literal $en:literal)*) => {
        impl Code {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// What the table says of it.
            pub fn row(self) -> Row {
                match self {
                    $(Self::$variant => Row { status: $status, code: $code, title: $title, zh: $zh, en: $en },)*
                }
            }
        }
    };
}

table! {
    InvalidRequest 400 "invalid_request" "Invalid request"
        "请求格式不正确。" "The request is not of the right form."
    UnsupportedMediaType 415 "unsupported_media_type" "Unsupported media type"
        "请以 application/json 发送。" "Send application/json."
    PayloadTooLarge 413 "payload_too_large" "Too large"
        "请求内容过大，请减小后再试。" "The request is too large. Send less."
    RequestTimeout 408 "request_timeout" "Request timeout"
        "请求发送得太慢，请重试。" "The request took too long to arrive. Send it again."
    NotFound 404 "not_found" "Not found"
        "没有这个地址。" "There is nothing at this address."
    NobodyYet 404 "nobody_yet" "Nobody yet"
        "这个微信还没有登录过任何网站。请先扫码登录一次。" "Nobody has signed in anywhere with this WeChat yet. Scan and sign in once first."
    MethodNotAllowed 405 "method_not_allowed" "Method not allowed"
        "这个地址不接受该方法。" "This address does not take that method."
    OriginNotAllowed 403 "origin_not_allowed" "Origin not allowed"
        "该网页所在的来源没有登记。请在站点的 origins 中加入它。" "The page's origin is not registered. Add it to the site's origins."
    WrongHost 421 "wrong_host" "Wrong host"
        "管理台不认这个地址。请用 IP 地址或 localhost 打开，或者把这个地址写进 console.url。" "The console does not go by this name. Open it by its IP address or as localhost, or write the address into console.url."
    NotFromHere 403 "not_from_here" "Not from here"
        "这个请求不是从管理台自己的页面发出的，或者页面已经过期。请重新打开页面再试。" "This did not come from a page of the console itself, or the page is too old. Open the page again and repeat it."
    UnknownSite 400 "unknown_site" "Unknown site"
        "没有这个 client_id 的站点。请检查站点设置。" "No site has this client_id. Check the site's settings."
    RequestOver 400 "request_over" "Request over"
        "这次请求已经过期。请回到网站重新开始。" "This request is over. Go back to the site and start again."
    HintRefused 400 "hint_refused" "Hint refused"
        "网站发来的 id_token_hint 无效。请回到网站重试。" "The site sent an id_token_hint that is not good. Go back to the site and try again."
    PostLogoutNotRegistered 400 "post_logout_not_registered" "Post-logout URI not registered"
        "这个 post_logout_redirect_uri 没有登记，没有退出登录。请把它原样加入站点的 post_logout_redirect_uris。" "This post_logout_redirect_uri is not registered, and nobody was signed out. Add it, to the letter, to the site's post_logout_redirect_uris."
    RedirectUriNotRegistered 400 "redirect_uri_not_registered" "Redirect URI not registered"
        "这个 redirect_uri 没有登记。请把它原样加入站点的 redirect_uris。" "This redirect_uri is not registered. Add it, to the letter, to the site's redirect_uris."
    ProxyNotTrusted 403 "proxy_not_trusted" "Proxy not trusted"
        "这个请求不是来自可信的代理。请把代理的地址加入 trusted_proxies。" "This did not come from a trusted proxy. Add the proxy's address to trusted_proxies."
    ApplicationNotRegistered 403 "application_not_registered" "Application not registered"
        "没有站点登记了这个应用的地址。请把它加入站点的 forward_auth。" "No site protects this address. Add it to a site's forward_auth."
    NoSuchTicket 404 "no_such_ticket" "No such ticket"
        "没有这次登录，或者它已经结束。请刷新网页重新开始。" "There is no such sign-in, or it is over. Reload the page to start again."
    TicketExpired 410 "ticket_expired" "Ticket expired"
        "码已过期。请在网页上刷新后重新扫描。" "The code has expired. Renew it on the page and scan again."
    TakenByAnotherPhone 409 "taken_by_another_phone" "Taken by another phone"
        "另一部手机已经扫描了这个码。如果不是你本人，请刷新网页。" "Another phone has scanned this code. If that was not you, reload the page."
    AlreadyScanned 409 "already_scanned" "Already scanned"
        "这个码已被扫描，请在手机上完成。" "This code has been scanned. Finish on the phone."
    AlreadyDecided 409 "already_decided" "Already decided"
        "这次登录已经确认或拒绝过了。" "This sign-in has been approved or denied already."
    NotDecided 409 "not_decided" "Not decided"
        "手机上还没有确认。" "Nobody has decided on the phone yet."
    Unauthorized 401 "unauthorized" "Unauthorized"
        "凭证缺失或已失效。请重新扫描。" "The token is missing or no longer good. Scan again."
    WrongSecret 401 "wrong_secret" "Wrong secret"
        "密钥缺失或不对。请以 Bearer 发送 neighbours.secrets 里冒号后面的部分，不带前面的“名字:”。" "The secret is missing or wrong. Send, as Bearer, what stands behind the colon in neighbours.secrets, without the \"name:\" before it."
    MatchRequired 400 "match_required" "Number required"
        "请输入网页上显示的两位数字。" "Type the two digits that the page shows."
    WrongMatch 403 "wrong_match" "Wrong number"
        "数字不对，这次登录已被拒绝。请只在你自己打开的网页上登录。" "The number was wrong, and this sign-in has been denied. Sign in only on a page that you opened yourself."
    Refused 403 "refused" "Refused"
        "这个码的打开方式有风险，不能用来登录。请直接用相机扫描你自己打开的网页。" "This code was opened in a risky way and cannot sign in. Scan, with the camera, a page that you opened yourself."
    JsCodeRefused 422 "js_code_refused" "WeChat refused the js_code"
        "微信没有接受这次验证，请重试。" "WeChat did not accept the proof. Try again."
    BlockedByWechat 403 "blocked_by_wechat" "Blocked by WeChat"
        "微信阻止了这次登录，请稍后再试或联系微信客服。" "WeChat blocked this sign-in. Try later, or ask WeChat's support."
    PersonBlocked 403 "person_blocked" "Blocked"
        "站长停用了你在这里的账号。请联系站长。" "The owner of this server has blocked you. Ask them."
    NotAdmitted 403 "not_admitted" "Not admitted"
        "这个网站只让指定的人登录。请联系站长。" "This site lets in only people whom its owner has chosen. Ask them."
    OwnerAsked 403 "owner_asked" "The owner has been asked"
        "你的用户名是 {name}。把它告诉站长；站长同意以后，再登录一次。" "Your user name is {name}. Tell the owner; once they agree, sign in again."
    LinkOver 410 "link_over" "Link over"
        "这个链接已经用过或过期了。请向给你链接的人再要一个。" "This link has been used or is too old. Ask whoever gave it to you for another."
    UpdateRequired 426 "update_required" "Update required"
        "小程序版本过旧，请关闭微信后重新打开以更新。" "This mini program is too old. Close WeChat and open it again to update."
    TooManyRequests 429 "too_many_requests" "Too many requests"
        "操作太频繁，请稍后再试。" "That was too often. Try again a little later."
    TooManyRenewals 429 "too_many_renewals" "Too many renewals"
        "码刷新的次数过多，请重新打开网页。" "The code has been renewed too often. Open the page anew."
    NoCodeNow 503 "no_code_now" "No code now"
        "暂时取不到小程序码，请稍后再试。" "There is no mini program code to be had right now. Try again shortly."
    WechatUnreachable 502 "wechat_unreachable" "WeChat unreachable"
        "暂时联系不上微信，请稍后再试。" "WeChat cannot be reached right now. Try again shortly."
    Unavailable 503 "unavailable" "Unavailable"
        "服务暂时不可用，请稍后再试。" "The service is not available right now. Try again shortly."
    Internal 500 "internal" "Internal error"
        "服务器内部出错，已记录。请过一会儿再试。" "Something went wrong inside the server; it has been logged. Try again in a while."
}

/// An error on its way to a person.
pub struct Error {
    /// Which one.
    pub code: Code,
    /// What exactly, where the sentence of the table is too general: in English what is wrong with the request's form, or the
    /// name of who asks to be let in.
    pub hint: Option<String>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// What happened inside: for the log alone.
    pub cause: Option<String>,
}

impl Error {
    /// An error of the request's form, with what is wrong in it.
    pub fn invalid(hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..Self::from(Code::InvalidRequest) }
    }

    /// Too often; try again after this long.
    pub fn too_many(retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::from(Code::TooManyRequests) }
    }

    /// An address that is not among those registered: shown as it came, so that it can be copied.
    pub fn unregistered(code: Code, uri: &str) -> Self {
        Self { hint: Some(shown(uri)), ..Self::from(code) }
    }

    fn caused(code: Code, cause: impl fmt::Display) -> Self {
        Self { cause: Some(cause.to_string()), ..Self::from(code) }
    }
}

/// An address that anybody may have written, in letters that pass for no others, and no longer than one can read.
fn shown(uri: &str) -> String {
    const MOST: usize = 200;
    let mut text = String::new();
    for c in uri.chars() {
        if text.len() >= MOST {
            return text + "...";
        }
        if c.is_ascii_graphic() && !"\"\\".contains(c) {
            text.push(c);
        } else {
            text.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")));
        }
    }
    text
}

impl From<Code> for Error {
    fn from(code: Code) -> Self {
        let soon = matches!(code, Code::NoCodeNow | Code::WechatUnreachable | Code::Unavailable);
        let retry_after = soon.then_some(Duration::from_secs(5));
        Self { code, hint: None, retry_after, cause: None }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::from(match refusal {
            Refusal::NoSuchTicket => Code::NoSuchTicket,
            Refusal::Expired => Code::TicketExpired,
            Refusal::TakenByAnotherPhone => Code::TakenByAnotherPhone,
            Refusal::AlreadyDecided => Code::AlreadyDecided,
            Refusal::AlreadyScanned => Code::AlreadyScanned,
            Refusal::NotDecided => Code::NotDecided,
            Refusal::NotTheToken => Code::Unauthorized,
            Refusal::MatchRequired => Code::MatchRequired,
            Refusal::WrongMatch => Code::WrongMatch,
            Refusal::Refused => Code::Refused,
            Refusal::NotAdmitted => Code::NotAdmitted,
            Refusal::OwnerAsked => Code::OwnerAsked,
            Refusal::TooManyRenewals => Code::TooManyRenewals,
        })
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        let code = match &error {
            store::Error::Away(_) | store::Error::MovedOn(..) => Code::Unavailable,
            // At the start and in commands alone.
            store::Error::Unusable(_) => Code::Internal,
            store::Error::LinkOver => return Code::LinkOver.into(),
            store::Error::LoginEnded => return Code::Unauthorized.into(),
            store::Error::LastOwner => return Self::invalid(error.to_string()),
        };
        Self::caused(code, error)
    }
}

impl From<tickets::Error> for Error {
    fn from(error: tickets::Error) -> Self {
        Self::caused(Code::Unavailable, error)
    }
}

/// What a failed exchange of a js_code means to the phone (design.md, "js_code"; wechat-api.md section 4.1).
impl From<wechat::Error> for Error {
    fn from(error: wechat::Error) -> Self {
        let code = match error.refusal().map(|refusal| refusal.errcode) {
            Some(40029 | 40163 | 41008) => Code::JsCodeRefused,
            Some(40226) => Code::BlockedByWechat,
            Some(45011) => {
                let cause = Some(error.to_string());
                return Self { cause, ..Self::too_many(Duration::from_secs(60)) };
            }
            _ => Code::WechatUnreachable,
        };
        Self::caused(code, error)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code.row().code)?;
        let more = [&self.hint, &self.cause];
        more.into_iter().flatten().try_for_each(|text| write!(f, ": {text}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_its_own_word_and_says_something_in_both_languages() {
        let mut words = BTreeSet::new();
        for code in Code::ALL {
            let row = code.row();
            assert!(words.insert(row.code), "{} stands twice", row.code);
            assert!((400..600).contains(&row.status));
            assert!(row.code.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            assert!(row.zh.ends_with('。') && row.en.ends_with('.'), "{}", row.code);
        }
    }

    #[test]
    fn the_protocol_names_every_code_by_its_status() {
        let page = include_str!("../../docs/protocol.md");
        let (_, table) = page.split_once("| status | code |").unwrap();
        let mut named = BTreeSet::new();
        for line in table.lines().filter(|line| line.starts_with("| ")) {
            let status: u16 = line.split(['|', ' ']).find_map(|word| word.parse().ok()).unwrap();
            named.extend(line.split('`').skip(1).step_by(2).map(|code| (status, code)));
        }
        let known = Code::ALL.iter().map(|code| (code.row().status, code.row().code)).collect();
        assert_eq!(named, known);
    }

    #[test]
    fn an_address_that_anybody_may_have_written_is_shown_without_harm() {
        for (uri, seen) in [
            ("https://blog.example.com/cb?x=1&y=%20", "https://blog.example.com/cb?x=1&y=%20"),
            (
                "https://a.example/\u{202e}\n \"\\码",
                "https://a.example/%E2%80%AE%0A%20%22%5C%E7%A0%81",
            ),
            ("", ""),
        ] {
            assert_eq!(shown(uri), seen, "{uri:?}");
        }
        assert_eq!(shown(&"a".repeat(200)), "a".repeat(200));
        assert_eq!(shown(&"a".repeat(100_000)), "a".repeat(200) + "...");
    }

    #[test]
    fn what_happened_inside_is_for_the_log() {
        let error = Error::from(store::Error::Away("disk full at /var/lib".to_owned()));
        assert_eq!(error.code, Code::Unavailable);
        assert_eq!(error.hint, None);
        assert!(format!("{error:?}").contains("disk full"));
    }

    #[test]
    fn who_came_a_moment_too_late_is_told_so_and_no_operator_is_woken() {
        for (late, code) in [
            (store::Error::LinkOver, Code::LinkOver),
            (store::Error::LoginEnded, Code::Unauthorized),
        ] {
            let error = Error::from(late);
            assert_eq!((error.code, error.cause), (code, None));
        }
    }
}
