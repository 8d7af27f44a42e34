//! WeChat's side: credentials, IP list, token, page, account, quota, clock.

use std::collections::BTreeSet;

use wechat::{Act, Api, Client, Error, JsCode};

use super::{Finding, Todo, Verdict, todo};
use crate::{
    codes,
    config::{CodeInterface, EnvVersion, Settings},
    site::Site,
    world::World,
};

/// What is looked at here once there is a token.
const AFTER_TOKEN: [&str; 3] = ["page", "account", "quota"];

/// A code that nobody scans: the same every time, so that of codes A and C it counts once.
const SCENE: &str = "saoma-doctor";

pub(super) async fn look(settings: &Settings, sites: &[Site], world: &World) -> Vec<Finding> {
    // The stable token always: taking a plain one would kill the running server's.
    let client = Client::builder(&settings.wechat.appid, settings.wechat.secret.reveal())
        .base_url(&settings.wechat.base_url)
        .build();
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            return vec![Finding::broken(
                "wechat",
                error.to_string(),
                todo(
                    "Correct wechat.base_url, or remove it.",
                    "请更正 wechat.base_url，或将其删除。",
                ),
            )];
        }
    };
    let mut found = Vec::new();
    match client.access_token().await {
        Ok(_) => {
            found.push(Finding::ok("wechat", format!("{} answers", settings.wechat.base_url)));
            found.push(Finding::ok("appid", format!("WeChat knows {}", settings.wechat.appid)));
            found.push(Finding::ok("secret", "WeChat takes the AppSecret"));
            found.push(Finding::ok("ip_list", "WeChat takes calls from this machine's address"));
            found.push(Finding::ok("token", "WeChat gives an access token"));
        }
        Err(error) => {
            found.push(refused(&error, "token"));
            let known = found.first().map(|finding| finding.check);
            let rest = AFTER_TOKEN.iter().filter(|check| Some(**check) != known);
            found.extend(rest.map(|check| Finding::skipped(check, "needs an access token")));
            return found;
        }
    }
    found.extend(sign_in(&client, world).await);
    found.extend(page(&client, settings, sites).await);
    found.push(quota(&client, settings).await);
    found
}

/// A refusal under the name of what is wrong.
fn refused(error: &Error, otherwise: &'static str) -> Finding {
    let refusal = error.refusal();
    let check = match refusal.map(|refusal| refusal.errcode) {
        Some(40013) => "appid",
        Some(40125 | 40243) => "secret",
        // Where a token is asked for there is none that could be stale.
        Some(40001) if otherwise == "token" => "secret",
        Some(40164) => "ip_list",
        Some(89503 | 89506 | 89507) => "token",
        Some(45063 | 48001 | 50002 | 50004 | 50007 | 61024) => "account",
        Some(41030) => "page",
        Some(45009 | 45011 | 45029) => "quota",
        Some(_) => otherwise,
        None => "wechat",
    };
    let said = match refusal.and_then(|refusal| refusal.caller_ip) {
        Some(address) => format!("WeChat sees this machine as {address} and refuses it: {error}"),
        None => error.to_string(),
    };
    Finding::broken(check, said, remedy(error))
}

fn remedy(error: &Error) -> Todo {
    match error.act() {
        Act::Operator(remedy) => {
            let address = error.refusal().and_then(|refusal| refusal.caller_ip);
            match address {
                Some(address) => todo(
                    format!("{} The address is {address}.", remedy.en),
                    format!("{}地址是 {address}。", remedy.zh),
                ),
                None => remedy.into(),
            }
        }
        Act::Later { after } => {
            let minutes = after.as_secs().div_ceil(60);
            todo(
                format!("Wait {minutes} min and look again."),
                format!("请等待 {minutes} 分钟后再检查。"),
            )
        }
        Act::Retry if error.refusal().is_none() => todo(
            "Check that this machine reaches api.weixin.qq.com: name resolution, outgoing firewall, proxy, clock (a wrong clock breaks TLS).",
            "请检查本机能否访问 api.weixin.qq.com：域名解析、出站防火墙、代理、时钟（时钟不准会导致 TLS 失败）。",
        ),
        Act::Retry => {
            todo("WeChat is busy. Look again in a minute.", "微信繁忙，请一分钟后再检查。")
        }
        _ => todo(
            "This should not happen. Please send what `saoma doctor --report` prints.",
            "这不应该发生。请把 `saoma doctor --report` 的输出发给我们。",
        ),
    }
}

/// The interface behind every sign-in, asked with a code that cannot be right: WeChat says so, and tells its time with it.
async fn sign_in(client: &Client, world: &World) -> Vec<Finding> {
    let Ok(made_up) = JsCode::new("saoma-doctor-made-up") else { return Vec::new() };
    let Err(error) = client.code2session(made_up).await else {
        return vec![Finding::broken(
            "sign_in",
            "WeChat took a made-up js_code",
            todo(
                "This is not WeChat. Correct wechat.base_url.",
                "对方不是微信。请更正 wechat.base_url。",
            ),
        )];
    };
    let refusal = error.refusal();
    let mut found = match refusal.map(|refusal| refusal.errcode) {
        Some(40029) => {
            vec![Finding::ok("sign_in", "WeChat says who scans (jscode2session answers)")]
        }
        _ => vec![refused(&error, "sign_in")],
    };
    let theirs = refusal.and_then(|refusal| refusal.rid.as_deref()).and_then(told_at);
    found.extend(theirs.map(|theirs| clock(theirs, world.now().seconds())));
    found
}

/// When WeChat answered, in seconds: the first group of the request id (wechat-api.md section 0).
fn told_at(rid: &str) -> Option<i64> {
    let (first, _) = rid.split_once('-')?;
    i64::from_str_radix(first, 16).ok()
}

fn clock(theirs: i64, ours: i64) -> Finding {
    let off = ours - theirs;
    let said = match off {
        -2..=2 => return Finding::ok("clock", "agrees with WeChat's"),
        3.. => format!("{off} s ahead of WeChat's"),
        _ => format!("{} s behind WeChat's", -off),
    };
    let set = todo(
        "Let the machine keep its time: `timedatectl set-ntp true`, or chrony. Sites refuse tokens from another time.",
        "请开启时间同步：`timedatectl set-ntp true` 或 chrony。时间不准时，网站会拒绝登录令牌。",
    );
    if off.abs() > 30 {
        Finding::broken("clock", said, set)
    } else {
        Finding::warning("clock", said, set)
    }
}

/// Whether WeChat makes a code for the page, for each version of the mini program that some site opens.
async fn page(client: &Client, settings: &Settings, sites: &[Site]) -> Vec<Finding> {
    let own = settings.wechat.env_version;
    let versions: BTreeSet<EnvVersion> =
        sites.iter().filter_map(|site| site.env_version).chain([own]).collect();
    let mut found = Vec::new();
    for version in versions {
        let checked = settings.wechat.checks_path(version);
        let said = match draw(client, settings, version, checked).await {
            Ok(()) => drawn(client, settings, version, checked).await,
            Err(finding) => finding,
        };
        found.push(said);
    }
    let refused = found.iter().any(|finding| finding.check == "account");
    if !refused && found.iter().all(|finding| finding.todo.is_none() || finding.check == "page") {
        found.push(Finding::ok("account", "a mini program that may make codes"));
    }
    found
}

/// What a code that WeChat made says of the page.
async fn drawn(
    client: &Client,
    settings: &Settings,
    version: EnvVersion,
    checked: bool,
) -> Finding {
    let page = &settings.wechat.page;
    if checked {
        return Finding::ok("page", format!("{page} is published"));
    }
    match version {
        EnvVersion::Trial | EnvVersion::Develop => {
            let word = version.as_str();
            if settings.fault_of_version(version).is_some() {
                return Finding::broken(
                    "page",
                    format!(
                        "the {word} version is asked for, and wechat.code = \"c\" opens the published one alone"
                    ),
                    todo(
                        "Set wechat.code = \"unlimited\", or the version of each site in the console back to the usual one.",
                        "请设 wechat.code = \"unlimited\"，或在管理台把各站点的版本改回默认。",
                    ),
                );
            }
            Finding::warning(
                "page",
                format!(
                    "codes open the {word} version: members of the mini program alone can scan them"
                ),
                todo(
                    "Good for trying. For everybody: publish, then env_version = \"release\" and check_path = true.",
                    "适合试用。面向所有人：先发布，再设 env_version = \"release\"、check_path = true。",
                ),
            )
        }
        EnvVersion::Release if settings.wechat.code != CodeInterface::Unlimited => Finding::ok(
            "page",
            "WeChat makes codes; with interfaces A and C it does not look at the page",
        ),
        EnvVersion::Release => match draw(client, settings, version, true).await {
            Ok(()) => Finding::warning(
                "page",
                format!("{page} is published, and check_path is off"),
                todo(
                    "Set wechat.check_path = true: then a mistake in the page's path is seen here and not by people.",
                    "请设 wechat.check_path = true：页面路径有误时会在这里发现，而不是由用户发现。",
                ),
            ),
            // Not published yet, and the settings know it.
            Err(finding) if finding.check == "page" => {
                Finding { verdict: Verdict::Warning, ..finding }
            }
            Err(finding) => finding,
        },
    }
}

async fn draw(
    client: &Client,
    settings: &Settings,
    version: EnvVersion,
    check_path: bool,
) -> Result<(), Finding> {
    let drawn = codes::draw(client, &settings.wechat, SCENE, version, check_path).await;
    drawn.map(drop).map_err(|error| match error {
        codes::Error::Wechat(error) => refused(&error, "page"),
        unusable => Finding::broken(
            "page",
            unusable.to_string(),
            todo(
                "Write it as it stands in app.json: pages/login/login, no / in front.",
                "请按 app.json 中的写法填写：pages/login/login，前面不加 /。",
            ),
        ),
    })
}

/// What is left to make codes with.
async fn quota(client: &Client, settings: &Settings) -> Finding {
    let api = match settings.wechat.code {
        CodeInterface::Unlimited => Api::UnlimitedCode,
        CodeInterface::A | CodeInterface::C => {
            let used = client.quota().for_ever_used;
            return match used {
                Some(used) if used >= 50_000 => Finding::warning(
                    "quota",
                    format!("{used} of 100,000 codes A and C are used up for ever"),
                    todo(
                        "Set wechat.code = \"unlimited\", which has no such end.",
                        "请设 wechat.code = \"unlimited\"，该接口没有总量限制。",
                    ),
                ),
                Some(used) => Finding::ok("quota", format!("{used} of 100,000 codes A and C used")),
                None => {
                    Finding::skipped("quota", "WeChat does not say how many codes A and C are used")
                }
            };
        }
    };
    match client.quota_of(api).await {
        Ok(quota) if quota.remain <= 0 => Finding::broken(
            "quota",
            format!("all {} codes of today are used", quota.daily_limit),
            todo(
                "Wait for midnight in China, or clear it once in the console (开发管理 > 接口设置); ten times a month.",
                "请等待北京时间零点恢复，或在控制台（开发管理 > 接口设置）清零；每月十次。",
            ),
        ),
        Ok(quota) if quota.remain < quota.daily_limit / 10 => Finding::warning(
            "quota",
            format!("{} of {} codes of today are left", quota.remain, quota.daily_limit),
            todo(
                "See what uses them: `saoma doctor` counts one, each page that waits takes one every two minutes.",
                "请查看用量：`saoma doctor` 用一个，每个等待中的页面每两分钟用一个。",
            ),
        ),
        Ok(quota) => Finding::ok(
            "quota",
            format!("{} of {} codes of today are left", quota.remain, quota.daily_limit),
        ),
        Err(error) => match error.act() {
            Act::Operator(_) => refused(&error, "quota"),
            _ => Finding::skipped("quota", format!("WeChat does not say: {error}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wechats_time_stands_in_its_request_ids() {
        assert_eq!(told_at("6aac005a-50076416-224b40b0"), Some(1_789_657_178));
        assert_eq!(told_at("zz-1-2"), None);
        assert_eq!(told_at(""), None);
    }

    #[test]
    fn a_clock_may_be_a_little_off_but_not_much() {
        let verdict = |ours| clock(1_000, ours).verdict;
        assert_eq!([verdict(1_000), verdict(998), verdict(1_002)], [Verdict::Ok; 3]);
        assert_eq!([verdict(1_020), verdict(980)], [Verdict::Warning; 2]);
        assert_eq!([verdict(1_031), verdict(900)], [Verdict::Broken; 2]);
    }
}
