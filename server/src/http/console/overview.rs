//! The overview: how sign-ins go, and how WeChat does.

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use bytes::Bytes;
use serde::Deserialize;
use wechat::{Api, QuotaUse};

use super::{
    super::{caller::Asked, reply::html},
    Act, Desk, number, span,
};
use crate::{
    app::{App, SharedApp},
    audit::Entry,
    console::{
        access::by,
        overview::{self, Overview, Range, Times, Totals},
        plot::{Columns, percent, share},
    },
    counts::STEPS,
    error::Error,
    lang::Lang,
    secret::Hashed,
    world::Timestamp,
};

#[derive(Deserialize)]
pub(in crate::http) struct Which {
    range: Option<String>,
}

#[derive(Template)]
#[template(path = "console/overview.html")]
struct Page {
    desk: Desk,
    ranges: Vec<RangeLink>,
    tiles: Vec<Tile>,
    columns: Columns,
    /// How wide the numbers of its scale are, in pixels.
    scale_width: usize,
    /// Of each column: its label, whether it is written on a wide and on a narrow screen, and its numbers.
    labels: Vec<Label>,
    funnel: Vec<Stage>,
    ends: Vec<Ending>,
    steps: Vec<StepPlot>,
    /// The same as rows of a table.
    step_rows: Vec<(String, Vec<u64>)>,
    week: Vec<Day>,
    hour_rows: Vec<(usize, Vec<u64>)>,
    health: Health,
}

struct RangeLink {
    word: &'static str,
    name: &'static str,
    chosen: bool,
}

/// A figure with a name.
struct Tile {
    name: &'static str,
    figure: String,
    note: String,
}

struct Label {
    name: String,
    wide: bool,
    narrow: bool,
    scans: u64,
    remembered: u64,
}

/// A stage of the funnel.
struct Stage {
    name: &'static str,
    n: u64,
    width: String,
    of_all: String,
    /// What leads to it from the stage before: the corners of a shape in a box of 100 by 100.
    from: Option<String>,
}

/// How those end that are not signed in.
struct Ending {
    name: &'static str,
    n: u64,
    width: String,
    of_all: String,
    class: &'static str,
}

/// How long one step took.
struct StepPlot {
    name: &'static str,
    half: String,
    most: String,
    columns: Columns,
    labels: Vec<(String, u64)>,
}

struct Day {
    name: &'static str,
    hours: Vec<Cell>,
}

/// One hour of one day of the week.
struct Cell {
    hour: usize,
    n: u64,
    /// How dark, from 0 to 5.
    level: u8,
    x: String,
    width: String,
}

/// How WeChat and this node do now.
struct Health {
    token: Verdict,
    gauges: Vec<(&'static str, Gauge)>,
    apis: Vec<ApiRow>,
    asked: Vec<QuotaRow>,
    asked_at: Option<String>,
    sockets: u64,
    since: &'static str,
}

struct Verdict {
    good: bool,
    word: String,
    note: String,
}

struct Gauge {
    text: String,
    width: String,
    /// calm, near, over.
    class: &'static str,
}

struct ApiRow {
    path: &'static str,
    sent: u64,
    refused: u64,
    failed: u64,
}

/// What WeChat says is left of an API.
#[derive(serde::Serialize, serde::Deserialize)]
struct QuotaRow {
    path: String,
    used: i64,
    limit: i64,
}

pub(in crate::http) async fn page(
    desk: Desk,
    Asked(which): Asked<Which>,
) -> Result<Response, Error> {
    let range = Range::parse(which.range.as_deref().unwrap_or_default());
    let app = desk.app.clone();
    let seen = overview::overview(&app, range, desk.shift(), None).await?;
    let week = overview::week(&app, desk.shift()).await?;
    let held = u64::try_from(app.tickets.how_many().await?).unwrap_or(0);
    let health = health(&app, &desk).await?;
    let l = desk.l;
    let steps = vec![
        step(l, l.s("显示 → 扫描", "Shown → scanned"), &seen.to_scan),
        step(l, l.s("扫描 → 决定", "Scanned → decided"), &seen.to_decide),
        step(l, l.s("决定 → 站点收到", "Decided → at the site"), &seen.to_redeem),
    ];
    let numbers: Vec<_> =
        seen.steps.iter().map(|step| vec![step.totals.approved, step.totals.remembered]).collect();
    let columns = Columns::of(&numbers, 200);
    let page = Page {
        scale_width: 12 + 7 * columns.lines.last().map_or(1, |(_, n)| number(*n).len()),
        columns,
        ranges: ranges(l, range),
        hour_rows: (0..24)
            .map(|hour| (hour, week.iter().filter_map(|day| day.get(hour).copied()).collect()))
            .collect(),
        step_rows: step_rows(&steps),
        tiles: tiles(l, &seen, held),
        labels: labels(&desk, range, &seen),
        funnel: funnel(l, &seen.totals),
        ends: ends(l, &seen.totals, held),
        steps,
        week: days(l, &week),
        health,
        desk,
    };
    Ok(html(&page))
}

fn ranges(l: Lang, chosen: Range) -> Vec<RangeLink> {
    let name = |range| match range {
        Range::Day => l.s("24 小时", "24 h"),
        Range::Week => l.s("7 天", "7 days"),
        Range::Month => l.s("30 天", "30 days"),
        Range::Quarter => l.s("90 天", "90 days"),
        Range::Year => l.s("一年", "1 year"),
    };
    let link =
        |range: Range| RangeLink { word: range.word(), name: name(range), chosen: range == chosen };
    Range::ALL.into_iter().map(link).collect()
}

/// Of each bound how many, step by step of a sign-in.
fn step_rows(steps: &[StepPlot]) -> Vec<(String, Vec<u64>)> {
    let bounds = steps.first().map(|step| step.labels.iter().map(|(name, _)| name.clone()));
    let row = |(at, name): (usize, String)| {
        let numbers = steps.iter().filter_map(|step| step.labels.get(at).map(|(_, n)| *n));
        (name, numbers.collect())
    };
    bounds.into_iter().flatten().enumerate().map(row).collect()
}

fn tiles(l: Lang, seen: &Overview, held: u64) -> Vec<Tile> {
    let Overview { totals, before, .. } = seen;
    let change = match (totals.sign_ins(), before.sign_ins()) {
        (_, 0) => l.s("上一周期没有数据", "nothing before to compare").to_owned(),
        (now, then) => {
            let (sign, more) = if now >= then { ('+', now - then) } else { ('−', then - now) };
            let change = format!("{sign}{}", percent_of(more, then));
            match l {
                Lang::Zh => format!("比上一周期 {change}"),
                Lang::En => format!("{change} against the time before"),
            }
        }
    };
    let half = |times: &Times| times.within(0.5).map(|seconds| seconds_text(l, seconds));
    vec![
        Tile { name: l.s("登录", "Sign-ins"), figure: number(totals.sign_ins()), note: change },
        Tile {
            name: l.s("登录成功率", "Of codes shown, signed in"),
            figure: percent_of(totals.approved, totals.shown),
            note: format!("{} / {}", number(totals.approved), number(totals.shown)),
        },
        Tile {
            name: l.s("扫码用时（中位数）", "Half scan within"),
            figure: half(&seen.to_scan).unwrap_or_else(|| "–".to_owned()),
            note: match half(&seen.to_decide) {
                Some(time) => format!("{} {time}", l.s("扫码后确认用时", "and then decide within")),
                None => String::new(),
            },
        },
        Tile {
            name: l.s("等待扫码的页面", "Pages waiting now"),
            figure: number(held),
            note: l.s("此刻正显示着码", "codes on screens").to_owned(),
        },
    ]
}

fn labels(desk: &Desk, range: Range, seen: &Overview) -> Vec<Label> {
    let many = seen.steps.len();
    let label = |(at, step): (usize, &overview::Step)| {
        let begins = Timestamp::from_millis(step.hour.saturating_mul(3_600_000));
        let form = match range {
            Range::Day => "%H:%M",
            Range::Week => "%m-%d %H:%M",
            Range::Month | Range::Quarter => "%m-%d",
            Range::Year => "%Y-%m-%d",
        };
        // Counted from the end: the present is what people look for.
        let back = many - 1 - at;
        let (wide, narrow) = match range {
            Range::Day => (3, 6),
            Range::Week => (4, 8),
            Range::Month => (3, 7),
            Range::Quarter => (10, 21),
            Range::Year => (8, 16),
        };
        let is = |every: usize| back.is_multiple_of(every) && at > 0;
        Label {
            name: desk.format(begins, form),
            wide: is(wide),
            narrow: is(narrow),
            scans: step.totals.approved,
            remembered: step.totals.remembered,
        }
    };
    seen.steps.iter().enumerate().map(label).collect()
}

/// A share, as a percentage.
fn percent_of(part: u64, whole: u64) -> String {
    match share(part, whole) * 100.0 {
        _ if whole == 0 => "–".to_owned(),
        small if small > 0.0 && small < 9.95 => format!("{small:.1}%"),
        share => format!("{share:.0}%"),
    }
}

fn funnel(l: Lang, totals: &Totals) -> Vec<Stage> {
    let stages = [
        (l.s("显示", "Shown"), totals.shown),
        (l.s("扫描", "Scanned"), totals.scanned),
        (l.s("同意", "Approved"), totals.approved),
    ];
    let mut before = None;
    let stage = |(name, n): (&'static str, u64)| {
        let part = share(n, totals.shown).min(1.0);
        let corner = |share: f64| format!("{:.1}", 100.0 * share);
        let from: Option<f64> = before.replace(part);
        Stage {
            name,
            n,
            width: percent(part),
            of_all: percent_of(n, totals.shown),
            from: from.map(|from| format!("0,0 {},0 {},100 0,100", corner(from), corner(part))),
        }
    };
    stages.into_iter().map(stage).collect()
}

fn ends(l: Lang, totals: &Totals, held: u64) -> Vec<Ending> {
    let all = totals.shown;
    let undecided = totals.undecided().min(totals.expired(held));
    let ending = |name, n: u64, class| Ending {
        name,
        n,
        width: percent(share(n, all)),
        of_all: percent_of(n, all),
        class,
    };
    vec![
        ending(
            l.s("无人扫码：过期或离开", "Nobody scanned: expired or left"),
            totals.expired(held) - undecided,
            "expired",
        ),
        ending(l.s("扫码后未决定", "Scanned and not decided"), undecided, "undecided"),
        ending(l.s("拒绝", "Denied"), totals.denied, "denied"),
        ending(l.s("站点不允许登录", "Not let in by the site"), totals.turned_away, "turned"),
        ending(l.s("数字输错", "Wrong number typed"), totals.wrong_match, "wrong"),
    ]
}

fn seconds_text(l: Lang, seconds: f64) -> String {
    match l {
        _ if seconds >= 100.0 => {
            let minutes = seconds / 60.0;
            format!("{minutes:.1} {}", l.s("分钟", "min"))
        }
        Lang::Zh => format!("{} 秒", short(seconds)),
        Lang::En => format!("{} s", short(seconds)),
    }
}

fn short(seconds: f64) -> String {
    if seconds < 9.95 { format!("{seconds:.1}") } else { format!("{seconds:.0}") }
}

fn step(l: Lang, name: &'static str, times: &Times) -> StepPlot {
    let said = |part| match times.within(part) {
        Some(seconds) => seconds_text(l, seconds),
        None if times.all() == 0 => "–".to_owned(),
        None => l.s("4 分钟以上", "over 4 min").to_owned(),
    };
    let bounds = STEPS.iter().map(|most| match most {
        most if *most >= 60 => format!("{} {}", most / 60, l.s("分", "min")),
        most => format!("{most} {}", l.s("秒", "s")),
    });
    let labels = bounds.chain([l.s("更久", "longer").to_owned()]);
    StepPlot {
        name,
        half: said(0.5),
        most: said(0.9),
        columns: Columns::filled(&times.0.iter().map(|n| vec![*n]).collect::<Vec<_>>(), 96),
        labels: labels.zip(times.0).collect(),
    }
}

fn days(l: Lang, week: &overview::Week) -> Vec<Day> {
    let most = week.iter().flatten().copied().max().unwrap_or(0);
    let names = [
        l.s("周一", "Mon"),
        l.s("周二", "Tue"),
        l.s("周三", "Wed"),
        l.s("周四", "Thu"),
        l.s("周五", "Fri"),
        l.s("周六", "Sat"),
        l.s("周日", "Sun"),
    ];
    let level = |n: u64| match share(n, most) {
        _ if n == 0 => 0,
        share if share <= 0.2 => 1,
        share if share <= 0.4 => 2,
        share if share <= 0.6 => 3,
        share if share <= 0.8 => 4,
        _ => 5,
    };
    let day = |(name, hours): (&'static str, &[u64; 24])| Day {
        name,
        hours: hours
            .iter()
            .enumerate()
            .map(|(hour, n)| Cell {
                hour,
                n: *n,
                level: level(*n),
                x: percent(share(u64::try_from(hour).unwrap_or(0), 24)),
                width: percent(1.0 / 24.0 * 0.86),
            })
            .collect(),
    };
    names.into_iter().zip(week).map(day).collect()
}

fn gauge(l: Lang, used: u64, of: u64, unit: &str) -> Gauge {
    let part = share(used, of);
    Gauge {
        text: format!("{} {} {} {unit}", number(used), l.s("/", "of"), number(of)),
        width: percent(part),
        class: match part {
            part if part >= 1.0 => "over",
            part if part >= 0.8 => "near",
            _ => "calm",
        },
    }
}

async fn health(app: &App, desk: &Desk) -> Result<Health, Error> {
    let l = desk.l;
    let status = app.wechat.token_status();
    let said = |time: Option<std::time::Duration>| span(l, time.unwrap_or_default().as_secs());
    let token = match &status.last_error {
        Some((ago, error)) => Verdict {
            good: false,
            word: format!(
                "{} {} {}",
                l.s("出错于", "Failed"),
                said(Some(*ago)),
                l.s("之前", "ago")
            ),
            note: error.to_string(),
        },
        None if status.present => Verdict {
            good: true,
            word: l.s("有效", "Good").to_owned(),
            note: match l {
                Lang::Zh => {
                    format!("{} 前取得，剩余有效期 {}", said(status.age), said(status.left))
                }
                Lang::En => {
                    format!("fetched {} ago, good for {}", said(status.age), said(status.left))
                }
            },
        },
        None => Verdict {
            good: false,
            word: l.s("暂无", "None yet").to_owned(),
            note: l.s("启动后会立即获取", "it is fetched right after the start").to_owned(),
        },
    };
    let [level, wanted] =
        [app.codes.level(), app.codes.wanted()].map(|n| u64::try_from(n).unwrap_or(0));
    let quota = app.wechat.quota();
    let for_ever = quota.for_ever_used.unwrap_or(0).max(quota.for_ever_asked);
    let kept = app.tickets.kept(quota_name(), app.world.now()).await?;
    let asked: Option<(i64, Vec<QuotaRow>)> =
        kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let (asked_at, asked) = asked.unzip();
    let mut pool = gauge(l, level, wanted, l.s("个", "ready"));
    // Of codes in hand it is few that are a worry.
    pool.class = if app.codes.ran_dry() { "over" } else { "calm" };
    let minute = gauge(
        l,
        quota.unlimited_last_minute.into(),
        QuotaUse::UNLIMITED_A_MINUTE.into(),
        l.s("个码", "codes"),
    );
    let mut gauges = vec![
        (l.s("预备的码", "Codes made ahead"), pool),
        (l.s("最近一分钟的额度", "Quota of the last minute"), minute),
    ];
    if for_ever > 0 {
        let used = gauge(l, for_ever, QuotaUse::FOR_EVER, l.s("个码", "codes"));
        gauges.push((l.s("永久额度（码 A 和 C）", "Quota for ever (codes A and C)"), used));
    }
    Ok(Health {
        token,
        gauges,
        apis: app
            .wechat
            .tallies()
            .into_iter()
            .map(|(api, tally)| ApiRow {
                path: api.path(),
                sent: tally.sent,
                refused: tally.refused,
                failed: tally.failed,
            })
            .collect(),
        asked: asked.unwrap_or_default(),
        asked_at: asked_at.map(|at| desk.time(Timestamp::from_millis(at))),
        sockets: u64::try_from(app.waiting.len()).unwrap_or(0),
        since: l.s("自本进程启动", "since this process began"),
    })
}

/// Under what the last answer about quotas is kept.
fn quota_name() -> Hashed {
    Hashed::of("console quota")
}

/// Asks WeChat what is left today: a call of its own for each API, so only when an operator wants to know.
pub(in crate::http) async fn ask_quota(
    State(app): State<SharedApp>,
    act: Act,
) -> Result<Response, Error> {
    let now = app.world.now();
    let mut rows = Vec::new();
    for api in [Api::UnlimitedCode, Api::StableToken, Api::CheckText] {
        match app.wechat.quota_of(api).await {
            Ok(quota) => rows.push(QuotaRow {
                path: api.path().to_owned(),
                used: quota.used,
                limit: quota.daily_limit,
            }),
            // WeChat does not tell of every API (76022).
            Err(wechat::Error::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let json = serde_json::to_vec(&(now.millis(), rows)).unwrap_or_default();
    let until = now + std::time::Duration::from_secs(3600);
    app.tickets.keep(quota_name(), Bytes::from(json), now, until).await?;
    let by = by(&act.desk.operator);
    app.store.audit(Entry::of_operator(now, "quota.asked", by)).await?;
    Ok(Redirect::to("/console#wechat").into_response())
}
