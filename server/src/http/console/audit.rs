//! The audit log, filtered and page by page.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use askama::Template;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use super::{
    super::{caller::Asked, reply::html},
    Desk,
};
use crate::{audit, error::Error, lang::Lang, person::Person, store::Lines, world::Timestamp};

/// How many lines a page shows.
const PAGE: u32 = 50;

/// What happened, in words. A word that is not here is shown as it is.
const WORDS: &[(&str, &str, &str)] = &[
    ("ticket.scanned", "扫码", "Scanned"),
    ("ticket.approved", "同意登录", "Approved"),
    ("ticket.denied", "拒绝登录", "Denied"),
    ("ticket.wrong_match", "数字输错", "Wrong number"),
    ("scan.refused", "扫码被拒", "Scan refused"),
    ("login.ended", "登录结束", "Sign-in ended"),
    ("login.not_me", "“不是我”", "“Not me”"),
    ("login.all_ended", "结束所有登录", "All sign-ins ended"),
    ("consent.withdrawn", "撤回授权", "Consent withdrawn"),
    ("token.replayed", "令牌被重用", "Token replayed"),
    ("token.given", "其他服务取走 access_token", "access_token given to another service"),
    ("person.blocked", "停用", "Blocked"),
    ("person.unblocked", "恢复使用", "Unblocked"),
    ("person.joined", "加入组", "Joined a group"),
    ("person.left", "离开组", "Left a group"),
    ("person.admitted", "同意进入站点", "Let in to a site"),
    ("person.refused", "不同意进入站点", "Kept out of a site"),
    ("person.unsaid", "能否进入改由站点规则决定", "Left to a site's own rule"),
    ("person.linked", "两人合为一人", "Two people made one"),
    ("person.imported", "导入用户", "Imported"),
    ("ticket.not_admitted", "站点不允许登录", "Not let in"),
    ("ticket.owner_asked", "等站长同意", "Asked the owner"),
    ("login.ended_by_operator", "由站长结束登录", "Sign-in ended by an operator"),
    ("logout.told", "已通知站点登录结束", "Site told of a logout"),
    ("logout.given_up", "放弃通知站点登录结束", "Site not told of a logout"),
    ("link.made", "生成一次性链接", "One-time link made"),
    ("link.used", "使用一次性链接", "One-time link used"),
    ("person.forgotten", "删除资料", "Forgotten"),
    ("owner.claimed", "成为第一位站长", "First owner"),
    ("console.opened", "进入管理台", "Console opened"),
    ("console.closed", "离开管理台", "Console closed"),
    ("console.refused", "管理台拒绝进入", "Console refused"),
    ("console.link_made", "生成管理台链接", "Console link made"),
    ("console.link_refused", "管理台链接无效", "Console link refused"),
    ("site.added", "添加站点", "Site added"),
    ("site.changed", "修改站点", "Site changed"),
    ("site.secret_made", "新的站点密钥", "Site secret made"),
    ("site.logo_changed", "更换站点图标", "Site logo changed"),
    ("site.door_changed", "修改谁能进入站点", "Who may enter a site changed"),
    ("site.rainbow_opened", "打开站点的彩虹聚合登录", "Rainbow protocol opened for a site"),
    ("site.rainbow_shut", "关闭站点的彩虹聚合登录", "Rainbow protocol shut for a site"),
    ("site.removed", "移除站点", "Site removed"),
    ("site.tried", "试登录站点", "Site tried"),
    ("keys.rotated", "轮换签名密钥", "Keys rotated"),
    ("keys.replaced", "更换打不开的密钥", "Keys that nobody could open replaced"),
    ("quota.asked", "查询微信额度", "Quota asked"),
    ("settings.reloaded", "重新读取设置", "Settings read again"),
    ("backup.made", "备份数据库", "Backup made"),
    ("backup.restored", "恢复备份", "Backup restored"),
];

/// What a line says more, in words: the name of each fact, and what it may say. What is not here is shown as it is.
const FACTS: &[(&str, &str, &str)] = &[
    ("ask", "确认方式", "asked for"),
    ("browser", "浏览器", "browser"),
    ("bytes", "字节", "bytes"),
    ("gives", "用途", "gives"),
    ("group", "组", "group"),
    ("how", "方式", "how"),
    ("kind", "类型", "kind"),
    ("login", "登录", "sign-in"),
    ("neighbour", "服务", "service"),
    ("risk", "风险", "risk"),
    ("same_network", "同一网络", "same network"),
    ("sites", "站点数", "sites"),
    ("ticket", "编号", "ticket"),
    ("tries", "次数", "tries"),
    ("was", "原用户名", "was"),
    ("why", "原因", "why"),
];
const SAYINGS: &[(&str, &str, &str, &str)] = &[
    ("ask", "tap", "点按", "a tap"),
    ("ask", "match", "输入数字", "the number"),
    ("ask", "refuse", "不能确认", "refused"),
    ("how", "link", "一次性链接", "one-time link"),
    ("how", "scan", "扫码", "scan"),
    ("how", "added", "新增", "added"),
    ("how", "linked", "绑定", "linked"),
    ("how", "named", "补上昵称", "named"),
    ("kind", "page", "网页", "page"),
    ("kind", "on_phone", "手机网页", "on the phone"),
    ("kind", "device", "设备", "device"),
    ("risk", "low", "低", "low"),
    ("risk", "raised", "偏高", "raised"),
    ("same_network", "true", "是", "yes"),
    ("same_network", "false", "否", "no"),
    ("why", "long_press", "长按打开", "long press"),
    ("why", "album", "来自相册", "out of the album"),
    ("why", "card", "来自转发的卡片", "a forwarded card"),
    ("why", "unknown_entry", "打开方式不明", "opened in an unknown way"),
    ("why", "other_region", "地区不同", "another region"),
    ("why", "other_network", "网络不同", "another network"),
    ("why", "new_browser", "新浏览器", "a new browser"),
    ("why", "first_time", "首次登录", "the first time"),
    ("why", "page_says_phone", "网页称在本机", "the page says it is on the phone"),
    ("why", "other_system", "系统不符", "another system"),
    ("why", "device", "设备登录", "a device"),
];

/// Families of what happens, by the beginning of their words.
const FAMILIES: &[(&str, &str, &str)] = &[
    ("ticket.", "所有扫码与决定", "All scans and decisions"),
    ("login.", "所有登录的结束", "All ends of sign-ins"),
    ("logout.", "所有给站点的登录结束通知", "All logouts told to sites"),
    ("link.", "所有一次性链接", "All one-time links"),
    ("person.", "所有对用户的操作", "Everything done to people"),
    ("site.", "所有站点的改动", "All changes of sites"),
    ("console.", "管理台进出", "In and out of the console"),
    ("backup.", "所有备份与恢复", "All backups"),
];

pub(super) fn word(l: Lang, what: &str) -> String {
    let known = WORDS.iter().find(|(word, ..)| *word == what);
    known.map_or_else(|| what.to_owned(), |(_, zh, en)| l.s(zh, en).to_owned())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::http) struct Filter {
    what: String,
    person: String,
    site: String,
    since: String,
    until: String,
    before: Option<i64>,
    after: Option<i64>,
}

#[derive(Template)]
#[template(path = "console/audit.html")]
struct Page {
    desk: Desk,
    filter: Filter,
    kinds: Vec<Choice>,
    sites: Vec<Choice>,
    rows: Vec<Row>,
    newer: Option<String>,
    older: Option<String>,
    filtered: bool,
    /// Nobody goes by the name that was looked for.
    nobody: bool,
}

struct Choice {
    value: String,
    name: String,
    chosen: bool,
}

/// A line as it is shown.
pub(super) struct Row {
    pub(super) at: String,
    pub(super) word: String,
    pub(super) what: String,
    /// good, bad, or neither.
    pub(super) class: &'static str,
    pub(super) person: Option<(String, String)>,
    pub(super) site: Option<String>,
    pub(super) by: Option<String>,
    pub(super) address: String,
    pub(super) detail: Vec<(String, String)>,
}

/// A day on the operator's clock, as a date field sends it.
fn day(desk: &Desk, text: &str) -> Option<Timestamp> {
    let date: jiff::civil::Date = text.parse().ok()?;
    let midnight = date.at(0, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    let seconds = midnight.as_second().checked_sub(desk.offset * 60)?;
    seconds.checked_mul(1000).map(Timestamp::from_millis)
}

pub(in crate::http) async fn page(
    desk: Desk,
    Asked(filter): Asked<Filter>,
) -> Result<Response, Error> {
    let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let (mut person, mut nobody) = (None, false);
    if let Some(name) = text(&filter.person) {
        let found = desk.app.store.person_named(&name).await?;
        nobody = found.is_none();
        person = Some(found.map_or(name, |person| person.id));
    }
    let asked = Lines {
        what: text(&filter.what),
        person,
        site: text(&filter.site),
        since: day(&desk, &filter.since),
        // The whole of the last day.
        until: day(&desk, &filter.until).map(|day| day + Duration::from_secs(24 * 3600)),
        before: filter.before,
        after: filter.after,
        most: PAGE + 1,
    };
    let mut lines = desk.app.store.audit_lines(&asked).await?;
    // One more than is shown tells whether there is a page after this one, in the direction in which it was turned.
    let more = lines.len() > usize::try_from(PAGE).unwrap_or(0);
    if more {
        let extra = if asked.after.is_some() { 0 } else { lines.len() - 1 };
        lines.remove(extra);
    }
    let (has_newer, has_older) = match (filter.before, filter.after) {
        (_, Some(_)) => (more, true),
        (Some(_), None) => (true, more),
        (None, None) => (false, more),
    };
    let link = |turn: &str, id: i64| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("what", &filter.what),
            ("person", &filter.person),
            ("site", &filter.site),
            ("since", &filter.since),
            ("until", &filter.until),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair(turn, &id.to_string());
        format!("/console/audit?{}", query.finish())
    };
    let newest = lines.first().map(|(id, _)| *id);
    let oldest = lines.last().map(|(id, _)| *id);
    let newer = newest.filter(|_| has_newer).map(|id| link("after", id));
    let older = oldest.filter(|_| has_older).map(|id| link("before", id));
    let l = desk.l;
    let choice = |value: &str, name: String, chosen: &str| Choice {
        chosen: value == chosen,
        value: value.to_owned(),
        name,
    };
    let kinds = FAMILIES.iter().chain(WORDS);
    let kinds = kinds.map(|(word, zh, en)| choice(word, l.s(zh, en).to_owned(), &filter.what));
    let sites = desk.app.sites.all();
    let sites = sites.iter().map(|site| choice(&site.id, site.name.clone(), &filter.site));
    let page = Page {
        kinds: kinds.collect(),
        sites: sites.collect(),
        rows: rows(&desk, &lines).await?,
        newer,
        older,
        filtered: [&filter.what, &filter.person, &filter.site, &filter.since, &filter.until]
            .iter()
            .any(|text| !text.is_empty()),
        nobody,
        filter,
        desk,
    };
    Ok(html(&page))
}

/// Lines with the names of whom they speak of.
pub(super) async fn rows(desk: &Desk, lines: &[(i64, audit::Entry)]) -> Result<Vec<Row>, Error> {
    let by = |entry: &audit::Entry| {
        entry.detail.get("by").and_then(Value::as_str).map(ToOwned::to_owned)
    };
    let named =
        lines.iter().flat_map(|(_, entry)| entry.person.clone().into_iter().chain(by(entry)));
    let mut people: BTreeMap<String, Option<Person>> = BTreeMap::new();
    for id in named.collect::<BTreeSet<_>>() {
        let person = desk.app.store.person(&id).await?;
        people.insert(id, person);
    }
    let name = |id: &str| {
        let known = people.get(id).and_then(Option::as_ref);
        known.map_or_else(|| id.to_owned(), |person| desk.name(person))
    };
    let row = |(_, entry): &(i64, audit::Entry)| Row {
        at: desk.time(entry.at),
        word: word(desk.l, &entry.what),
        what: entry.what.clone(),
        class: class(&entry.what),
        person: entry.person.as_ref().map(|id| (id.clone(), name(id))),
        site: entry.site.clone(),
        by: by(entry).map(|id| match id.as_str() {
            audit::COMMAND => desk.l.s("命令行", "command line").to_owned(),
            audit::CONSOLE => desk.l.s("一次性链接", "one-time link").to_owned(),
            id => name(id),
        }),
        address: entry.address.clone().unwrap_or_default(),
        detail: detail(desk.l, &entry.detail),
    };
    Ok(lines.iter().map(row).collect())
}

fn class(what: &str) -> &'static str {
    match what {
        "ticket.approved" | "console.opened" | "owner.claimed" => "good",
        "ticket.denied"
        | "ticket.wrong_match"
        | "scan.refused"
        | "login.not_me"
        | "token.replayed"
        | "logout.given_up"
        | "person.blocked"
        | "console.refused"
        | "console.link_refused" => "bad",
        _ => "",
    }
}

/// The rest of a line, one fact after the other.
fn detail(l: Lang, detail: &Value) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    for (name, value) in detail.as_object().into_iter().flatten() {
        let one = |value: &Value| {
            let raw = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            let known = SAYINGS.iter().find(|(fact, word, ..)| fact == name && *word == raw);
            known.map_or(raw, |(.., zh, en)| l.s(zh, en).to_owned())
        };
        let text = |value: &Value| match value {
            Value::Array(list) => list.iter().map(one).collect::<Vec<_>>().join(l.s("、", ", ")),
            value => one(value),
        };
        let known = FACTS.iter().find(|(fact, ..)| fact == name);
        let name = known.map_or(name.as_str(), |(_, zh, en)| l.s(zh, en));
        match value {
            _ if name == "by" => {}
            Value::Null => {}
            Value::Object(below) => {
                let told = below.values().filter(|value| !value.is_null()).map(text);
                let told = told.collect::<Vec<_>>().join(" · ");
                if !told.is_empty() {
                    facts.push((name.to_owned(), told));
                }
            }
            Value::Array(list) if list.is_empty() => {}
            other => facts.push((name.to_owned(), text(other))),
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Files are written with a dot, as audited words are.
    const ENDS: [&str; 13] = [
        "html", "js", "css", "wxss", "svg", "jpg", "png", "db", "lua", "toml", "json", "ts", "txt",
    ];
    /// So are settings, spans and a column.
    const OTHERS: [&str; 5] =
        ["console.url", "d.login", "store.read", "store.write", "tls.redirect"];
    /// Where words stand that nobody audits.
    const ELSEWHERE: [&str; 4] = ["contract", "tests", "openapi", "config"];

    fn is_word(text: &str) -> bool {
        let plain = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        text.split_once('.').is_some_and(|(family, rest)| {
            plain(family) && plain(rest) && !ENDS.contains(&rest) && !OTHERS.contains(&text)
        })
    }

    /// Every word in the sources below a folder, but for the names of events in the log.
    fn words(folder: &Path, found: &mut BTreeSet<String>) {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for path in paths.filter(|path| !path.ends_with(file!())) {
            if ELSEWHERE.iter().any(|name| path.file_stem().is_some_and(|stem| stem == *name)) {
                continue;
            }
            if path.is_dir() {
                words(&path, found);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("mod tests {").next().unwrap();
                let pieces: Vec<_> = code.split('"').collect();
                let pieces = pieces.windows(2).filter(|two| !two[0].ends_with("name: "));
                let pieces = pieces.map(|two| two[1]).filter(|piece| is_word(piece));
                found.extend(pieces.map(ToOwned::to_owned));
            }
        }
    }

    #[test]
    fn what_a_line_says_of_a_sign_in_is_told_in_words() {
        let told = serde_json::json!({
            "ask": "tap", "kind": "page", "risk": "low", "why": ["first_time", "new_browser"], "ticket": "4f",
        });
        let facts = detail(Lang::Zh, &told);
        for (name, what) in [
            ("确认方式", "点按"),
            ("类型", "网页"),
            ("风险", "低"),
            ("原因", "首次登录、新浏览器"),
            ("编号", "4f"),
        ] {
            assert!(facts.contains(&(name.to_owned(), what.to_owned())), "{name}: {facts:?}");
        }
        let golden: Value =
            serde_json::from_str(include_str!("../../../../docs/protocol.golden.json")).unwrap();
        for why in golden["phone.why"].as_array().unwrap() {
            let known = SAYINGS.iter().any(|(fact, word, ..)| *fact == "why" && why == word);
            assert!(known, "{why} has no words");
        }
    }

    #[test]
    fn every_audited_word_is_known_and_no_other() {
        let mut found = BTreeSet::new();
        words(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut found);
        let known: BTreeSet<_> = WORDS.iter().map(|(word, ..)| (*word).to_owned()).collect();
        assert_eq!(found, known);
    }
}
