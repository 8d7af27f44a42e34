//! What WeChat says when it says no, and who must do something about it.
//!
//! The codes and texts are those of wechat-api.md sections 1.3, 1.4, 2.2, 4.1 and 12.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::error::Api;

/// WeChat's no: HTTP 200 with an `errcode` that is not 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was called.
    pub api: Api,
    /// WeChat's code.
    pub errcode: i64,
    /// WeChat's text, without the request id, our own secrets masked.
    pub errmsg: String,
    /// The request id, by which WeChat's console and [`crate::Client::rid`] find the call again.
    pub rid: Option<String>,
    /// The address that WeChat saw us call from, where it says so (40164).
    pub caller_ip: Option<IpAddr>,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: WeChat refused with {}: {}", self.api, self.errcode, self.errmsg)?;
        self.rid.as_ref().map_or(Ok(()), |rid| write!(f, " (rid {rid})"))
    }
}

/// Who must act on an error, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Act {
    /// Nobody: it passes by itself, try again in a moment.
    Retry,
    /// The phone: call `wx.login` again and send the new js_code.
    AskPhoneAgain,
    /// Nobody can: WeChat judged this person risky. Say so, do not retry.
    BlockedByWechat,
    /// Nobody, but not before this much time has passed.
    Later {
        /// How long to wait.
        after: Duration,
    },
    /// Whoever runs the mini program, in WeChat's console or in the settings.
    Operator(Remedy),
    /// The phone must sign in anew: its session key is no longer the one.
    SignInAgain,
    /// Whoever wrote the caller: a request that should never have been sent.
    OurBug,
}

/// What an operator has to do, in both languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// In English.
    pub en: &'static str,
    /// In Chinese.
    pub zh: &'static str,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

impl Refusal {
    pub(crate) fn new(api: Api, errcode: i64, errmsg: &str) -> Self {
        let (text, rid) = split_rid(errmsg);
        let text: String = text.chars().filter(|c| !c.is_control()).take(500).collect();
        let caller_ip = if errcode == 40164 { caller_ip(&text) } else { None };
        Self { api, errcode, errmsg: text, rid, caller_ip }
    }

    /// Whether the token is what is wrong, so that a fresh one may mend it. WeChat names three
    /// codes for it (wechat-api.md section 0); where a token is asked for, none is sent.
    #[must_use]
    pub fn is_stale_token(&self) -> bool {
        matches!(self.errcode, 40001 | 40014 | 42001) && !self.asks_for_token()
    }

    fn asks_for_token(&self) -> bool {
        matches!(self.api, Api::Token | Api::StableToken)
    }

    /// Whether a quota is used up, which fills again by itself, or sooner by hand.
    pub(crate) fn is_of_quota(&self) -> bool {
        matches!(self.errcode, 45009 | 45011)
    }

    /// Who must act on it.
    #[must_use]
    pub fn act(&self) -> Act {
        match self.errcode {
            // The plain endpoint's other word for a wrong secret (wechat-api.md section 1.3).
            40001 if self.asks_for_token() => remedy(40125).map_or(Act::OurBug, Act::Operator),
            -1 | 40001 | 40014 | 42001 => Act::Retry,
            40029 | 40163 | 41008 => Act::AskPhoneAgain,
            40226 => Act::BlockedByWechat,
            87007..=87009 => Act::SignInAgain,
            45011 => Act::Later { after: MINUTE },
            // Code B's own limit is of the minute, though the text speaks of the day.
            45009 if self.api == Api::UnlimitedCode => Act::Later { after: MINUTE },
            // WeChat's day ends at midnight in China, or sooner if somebody clears the quota.
            45009 => Act::Later { after: HOUR },
            89507 => Act::Later { after: HOUR },
            89506 => Act::Later { after: 24 * HOUR },
            code => remedy(code).map_or(Act::OurBug, Act::Operator),
        }
    }
}

fn remedy(errcode: i64) -> Option<Remedy> {
    let (en, zh) = match errcode {
        40013 => (
            "The AppID is unknown to WeChat. Copy it from mp.weixin.qq.com > 开发管理 > 开发设置 > 开发者 ID and use that.",
            "微信不认识这个 AppID。请从 mp.weixin.qq.com > 开发管理 > 开发设置 > 开发者 ID 复制。",
        ),
        40125 => (
            "The AppSecret is wrong or was reset. Reset it at mp.weixin.qq.com > 开发管理 > 开发设置 > 开发者 ID and use the new one.",
            "AppSecret 不正确或已被重置。请在 mp.weixin.qq.com > 开发管理 > 开发设置 > 开发者 ID 重置并改用新值。",
        ),
        40164 => (
            "This machine's address is not on the IP list. Add the address named here at mp.weixin.qq.com > 开发管理 > 开发设置 > IP 白名单; it takes 5 to 10 minutes to count.",
            "本机地址不在 IP 白名单中。请在 mp.weixin.qq.com > 开发管理 > 开发设置 > IP 白名单 添加此处所示地址，5 至 10 分钟后生效。",
        ),
        40243 => (
            "The AppSecret is frozen. Thaw it at mp.weixin.qq.com > 开发管理 > 开发设置 > 开发者 ID; it takes 10 minutes to count.",
            "AppSecret 已被冻结。请在 mp.weixin.qq.com > 开发管理 > 开发设置 > 开发者 ID 解冻，10 分钟后生效。",
        ),
        41030 => (
            "The page is not in the published version. Publish the mini program at mp.weixin.qq.com > 版本管理 (passing review is not yet publishing), check the page's path, or set check_path to false until the first release.",
            "已发布的版本中没有该页面。请在 mp.weixin.qq.com > 版本管理 发布小程序（审核通过不等于已发布），检查页面路径，或在首次发布前将 check_path 设为 false。",
        ),
        45029 => (
            "The 100,000 codes A and C of this mini program are used up for good. Use code B, getwxacodeunlimit.",
            "该小程序的 10 万个永久小程序码（A、C 接口）已用完，无法恢复。请改用 B 接口 getwxacodeunlimit。",
        ),
        45063 | 48001 => (
            "These credentials may not call this API: they belong to another kind of account, or the capability was not granted. Use the AppID and AppSecret of the mini program itself; see mp.weixin.qq.com > 开发管理 > 接口设置.",
            "该账号无权调用此接口：凭据属于其他类型的账号，或未获得接口权限。请使用小程序自己的 AppID 与 AppSecret，并查看 mp.weixin.qq.com > 开发管理 > 接口设置。",
        ),
        48006 => (
            "Quota can be cleared ten times a month, and that is used up. Wait for the next month, or for midnight in China when daily quotas fill again.",
            "每月仅可清零调用次数十次，已用完。请等待下个月，或等待每日零点（北京时间）自动恢复。",
        ),
        50002 | 50004 | 50007 => (
            "WeChat has limited or frozen this mini program's account. Read the notices at mp.weixin.qq.com > 通知中心.",
            "该小程序账号已被微信限制或冻结。请查看 mp.weixin.qq.com > 通知中心 的通知。",
        ),
        61024 => (
            "The AppID belongs to a third-party platform. Use the AppID and AppSecret of the mini program itself.",
            "该 AppID 属于第三方平台。请使用小程序自己的 AppID 与 AppSecret。",
        ),
        89503 => (
            "An administrator of the mini program must confirm this call in WeChat. Ask them to open the notice on their phone.",
            "此次调用需要小程序管理员在微信中确认。请管理员在手机上查看通知并确认。",
        ),
        _ => return None,
    };
    Some(Remedy { en, zh })
}

/// Takes the request id off the end of an errmsg. `/cgi-bin` and `/wxa` put it after a blank,
/// `/sns` after a comma and a blank (wechat-api.md section 0).
fn split_rid(errmsg: &str) -> (&str, Option<String>) {
    if let Some((text, rid)) = errmsg.rsplit_once("rid: ") {
        let rid = rid.trim_end();
        let groups: Vec<&str> = rid.split('-').collect();
        let is_group = |g: &&str| g.len() == 8 && g.bytes().all(|b| b.is_ascii_hexdigit());
        if groups.len() == 3 && groups.iter().all(is_group) {
            return (text.trim_end_matches([' ', ',']), Some(rid.to_owned()));
        }
    }
    (errmsg.trim_end(), None)
}

/// `invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist`: the first address that can be read.
fn caller_ip(text: &str) -> Option<IpAddr> {
    text.split([' ', ',']).find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_id_is_read_off_both_families_of_errmsg() {
        let rid = Some("6380622c-50076416-224b40b0".to_owned());
        for (errmsg, text, rid) in [
            ("code been used, rid: 6380622c-50076416-224b40b0", "code been used", rid.clone()),
            ("invalid page rid: 6380622c-50076416-224b40b0", "invalid page", rid),
            (
                "invalid code, hints: [ req_id: KeDcJa ]",
                "invalid code, hints: [ req_id: KeDcJa ]",
                None,
            ),
            ("the grid: none", "the grid: none", None),
            ("system error", "system error", None),
        ] {
            let refusal = Refusal::new(Api::Code2Session, 40029, errmsg);
            assert_eq!((refusal.errmsg.as_str(), refusal.rid), (text, rid));
        }
    }

    #[test]
    fn a_caller_off_the_ip_list_is_told_its_address() {
        let errmsg = "invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist rid: 6380622c-50076416-224b40b0";
        let refusal = Refusal::new(Api::StableToken, 40164, errmsg);
        assert_eq!(refusal.caller_ip, Some("1.2.3.4".parse().unwrap()));

        let only_v6 = "invalid ip 2001:db8::7, not in whitelist rid: 6380622c-50076416-224b40b0";
        let refusal = Refusal::new(Api::StableToken, 40164, only_v6);
        assert_eq!(refusal.caller_ip, Some("2001:db8::7".parse().unwrap()));
    }

    #[test]
    fn a_text_from_upstream_cannot_break_a_log_line_or_fill_a_disk() {
        let refusal =
            Refusal::new(Api::Token, 47001, &format!("a\nb\u{1b}[31m{}", "x".repeat(9000)));
        assert!(!refusal.errmsg.contains(['\n', '\u{1b}']));
        assert_eq!(refusal.errmsg.chars().count(), 500);
    }

    #[test]
    fn every_remedy_says_where_in_both_languages() {
        for code in [
            40013, 40125, 40164, 40243, 41030, 45029, 45063, 48001, 48006, 50002, 50004, 50007,
            61024, 89503,
        ] {
            let Act::Operator(remedy) = Refusal::new(Api::StableToken, code, "").act() else {
                panic!("{code} is the operator's to mend");
            };
            assert!(remedy.en.ends_with('.') && remedy.zh.ends_with('。'), "{code}");
        }
    }
}
