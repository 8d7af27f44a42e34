//! Fills a database with a busy month, so that the console can be looked at as its operators will see it: people who sign
//! in more at noon than at night and less on Sundays, sites that differ, a few who are kept out, and one bad evening.
//!
//! `cargo run --example busy_month -- FILE` makes the file; the same every time but for the present moment, at which the
//! month ends. No server may have the file open.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a tool of the tests, which may fail loudly"
)]

use std::{collections::BTreeSet, net::IpAddr, path::Path, time::Duration};

use futures_util::future::join_all;
use saoma::{
    admission::Admit,
    audit,
    counts::{self, Count, LONGER, STEPS, What},
    grant::{Request, Scopes},
    person::{Identity, Newcomer, OWNER},
    risk::{Ask, Level, Risk, Why},
    secret::{Hashed, Secret},
    site::{Alg, Site},
    store::{Change, Decide, LoginOf, Profile, SharedStore, sqlite::Sqlite, untold},
    ticket::{Browser, Decision, Denied, Kind, Owner, Verdict},
    world::{Timestamp, World},
};
use serde_json::json;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The sites: id, name, and how large a part of all sign-ins is theirs, in hundredths.
const SITES: [(&str, &str, u64); 5] = [
    ("blog", "小明的博客", 42),
    ("photos", "家庭相册 Immich", 21),
    ("git", "Gitea", 18),
    ("notes", "Shared notes for the whole team", 14),
    ("forum", "老友论坛", 5),
];

const NAMES: [&str; 24] = [
    "小明",
    "阿珍",
    "老王",
    "Lily",
    "陈皮",
    "木木",
    "Old Tom",
    "🐱 喵",
    "张三丰",
    "Ann",
    "李雷",
    "韩梅梅",
    "大熊",
    "Nana",
    "海边的卡夫卡",
    "不吃香菜",
    "Kevin",
    "春天",
    "一只很长很长的名字的猫咪同学",
    "Zoe",
    "面包",
    "豆豆",
    "Bob",
    "老李",
];

const BROWSERS: [(&str, &str); 6] = [
    ("Chrome", "Windows 10"),
    ("Firefox", "Linux"),
    ("Safari", "Mac OSX"),
    ("Edge", "Windows 10"),
    ("Chrome", "Android"),
    ("Safari", "iPhone"),
];

const REGIONS: [&str; 5] = ["广东 深圳", "上海", "北京", "浙江 杭州", "四川 成都"];

struct Month {
    store: SharedStore,
    dice: World,
    now: Timestamp,
}

#[tokio::main]
async fn main() {
    let file = std::env::args().nth(1).expect("cargo run --example busy_month -- FILE");
    let now = World::real().now();
    let store: SharedStore =
        std::sync::Arc::new(Sqlite::open(Path::new(&file)).expect("the file opens"));
    let month = Month { store, dice: World::held(now, 7), now };
    month.sites().await;
    month.people().await;
    month.counts().await;
    month.lines().await;
}

impl Month {
    fn below(&self, end: u64) -> u64 {
        self.dice.below(u32::try_from(end).unwrap_or(u32::MAX)).into()
    }

    fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.below(from.len() as u64)).unwrap_or(0)]
    }

    async fn sites(&self) {
        for (id, name, _) in SITES {
            let mut site = Site::new(id, name);
            site.redirect_uris = vec![format!("https://{id}.example.com/callback")];
            if id != "blog" {
                site.hashes = vec![Secret::new(&self.dice).hashed()];
            }
            if id == "git" {
                site.alg = Alg::ES256;
            }
            if id == "forum" {
                site.admit = Admit::Ask;
            }
            let (what, by) = ("site.added", audit::COMMAND);
            let line = audit::Entry::of_operator(self.now, what, by).at_site(id.to_owned());
            self.store.add_site(&site, line).await.expect("a site is kept");
        }
    }

    fn browser(&self) -> Browser {
        let (name, os) = *self.pick(&BROWSERS);
        let host = u8::try_from(self.below(250)).unwrap_or(0) + 1;
        Browser {
            name: name.to_owned(),
            os: os.to_owned(),
            address: IpAddr::from([203, 0, 113, host]),
            region: Some((*self.pick(&REGIONS)).to_owned()),
        }
    }

    fn identity(person: usize) -> Identity {
        let openid = format!("o6_bmjrPTlm6_2sgVt7hM{person:07}");
        Identity { appid: "wx0123456789abcdef".to_owned(), openid, unionid: None }
    }

    fn decide(&self, person: usize, site: &str, at: Timestamp, verdict: Verdict) -> Decide {
        let ticket = Secret::new(&self.dice).hashed();
        let risky = self.below(12) == 0;
        let why: BTreeSet<Why> =
            if risky { [Why::LongPress, Why::NewBrowser].into() } else { [Why::FirstTime].into() };
        let risk = Risk {
            ask: if risky { Ask::Match } else { Ask::Tap },
            level: if risky { Level::Raised } else { Level::Low },
            why,
        };
        let decision = Decision {
            ticket,
            scene: self.dice.base62(22),
            owner: Owner::Browser {
                cookie: Hashed::of(format!("{person}")),
                session: None,
                at: None,
            },
            request: Request {
                scopes: Scopes::parse("openid profile"),
                ..Request::bare(site, format!("https://{site}.example.com/callback"))
            },
            kind: Kind::Page,
            browser: self.browser(),
            identity: Self::identity(person),
            token: Secret::new(&self.dice).hashed(),
            risk,
            verdict,
            at,
            claim_until: at + Duration::from_secs(120),
        };
        Decide {
            decision,
            code: Secret::new(&self.dice).hashed(),
            session: None,
            group: site.to_owned(),
            newcomer: Newcomer::new(&self.dice),
            sub: self.dice.base62(22),
            login: LoginOf::New { id: self.dice.base62(22), since: at },
            word: None,
        }
    }

    /// A hundred and forty people, who came one after the other.
    async fn people(&self) {
        let mut decisions = Vec::new();
        for person in 0..140_usize {
            let ago = Duration::from_secs(self.below(30 * 24 * 60) * 60 + 60);
            let (site, ..) = SITES[usize::try_from(self.below(4)).unwrap_or(0)];
            let yes =
                Verdict::Approved { scopes: Scopes::parse("openid profile"), remember: false };
            decisions.push(self.decide(person, site, self.now.before(ago), yes));
        }
        // The earliest first, as they would have come; each batch is one trip to the disk.
        decisions.sort_by_key(|decide| decide.decision.at);
        join_all(decisions.into_iter().map(|decide| self.store.decide(decide, untold()))).await;
        for n in 0..110_usize {
            let Some(person) = self.store.person_of(&Self::identity(n)).await.expect("a look-up")
            else {
                continue;
            };
            let nickname = Some(NAMES[n % NAMES.len()].to_owned());
            let profile = Profile { nickname, avatar: None };
            self.store.set_profile(&person.id, profile).await.expect("a name is kept");
            let change = match n {
                0 => Change::Join(OWNER.to_owned()),
                3 | 5 | 8 => Change::Join("family".to_owned()),
                17 | 60 => Change::Block,
                _ => continue,
            };
            self.store
                .change(&person.id, change, "command", self.now.before(3 * DAY))
                .await
                .expect("a change");
        }
        for (n, ago) in [(120, 50), (121, 400), (122, 2000)] {
            let at = self.now.before(Duration::from_secs(ago * 60));
            let wish = self.decide(n, "forum", at, Verdict::Denied(Denied::OwnerAsked));
            self.store.decide(wish, untold()).await.expect("a wish is kept");
        }
    }

    /// How busy an hour is, in thousandths of the busiest: by the hour of the day in China, and by the day of the week.
    fn busy(hour: i64) -> u64 {
        const DAY: [u64; 24] = [
            90, 50, 30, 20, 20, 40, 110, 240, 520, 800, 900, 760, 640, 700, 880, 920, 840, 700,
            560, 680, 900, 1000, 640, 260,
        ];
        let local = hour + 8;
        let of_day = DAY[usize::try_from(local.rem_euclid(24)).unwrap_or(0)];
        let weekday = (local.div_euclid(24) + 3).rem_euclid(7);
        let of_week = [100, 104, 98, 101, 112, 64, 52][usize::try_from(weekday).unwrap_or(0)];
        of_day * of_week / 100
    }

    /// Fourteen months by the hour, so that a year can be looked at beside the one before it.
    async fn counts(&self) {
        let last = counts::hour(self.now);
        let mut rows = Vec::new();
        for back in 0..420 * 24_i64 {
            let hour = last - back;
            // It has been growing.
            let grown = 1000 - u64::try_from(back).unwrap_or(0) * 700 / (420 * 24);
            // One evening WeChat was away, and people waited for nothing.
            let bad = (24 * 9..24 * 9 + 5).contains(&back);
            for (site, _, part) in SITES {
                let shown = Self::busy(hour) * grown * part * (80 + self.below(40)) / 400_000_000;
                if shown == 0 {
                    continue;
                }
                self.hour(&mut rows, hour, site, shown, bad);
            }
        }
        for rows in rows.chunks(5_000) {
            self.store.add_counts(rows.to_vec()).await.expect("counts are kept");
        }
    }

    fn hour(&self, rows: &mut Vec<Count>, hour: i64, site: &str, shown: u64, bad: bool) {
        let part = |of: u64, thousandths: u64| {
            // A part of few is one or none, as the dice say.
            (of * thousandths + self.below(1000)) / 1000
        };
        let scanned = part(shown, if bad { 180 } else { 760 }).min(shown);
        let denied = part(scanned, 18).min(scanned);
        let wrong_match = part(scanned - denied, 6).min(scanned - denied);
        let approved = part(scanned - denied - wrong_match, if bad { 500 } else { 965 });
        let approved = approved.min(scanned - denied - wrong_match);
        let mut add = |what, within, n| {
            if n > 0 {
                rows.push(Count { hour, site: site.to_owned(), what, within, n });
            }
        };
        add(What::Shown, 0, shown);
        add(What::Scanned, 0, scanned);
        add(What::Approved, 0, approved);
        add(What::Denied, 0, denied);
        add(What::WrongMatch, 0, wrong_match);
        add(What::Left, 0, part(shown - scanned, 400));
        add(What::Remembered, 0, part(approved, 320));
        // In the steps of counts.rs: of a thousand how many took so long.
        let scan: [u64; 12] = [0, 10, 40, 170, 270, 210, 140, 80, 50, 20, 8, 2];
        let decide: [u64; 12] = [30, 180, 230, 260, 150, 70, 40, 20, 12, 5, 2, 1];
        let redeem: [u64; 12] = [930, 40, 15, 8, 3, 2, 1, 1, 0, 0, 0, 0];
        for (what, all, shape) in [
            (What::ToScan, scanned, scan),
            (What::ToDecide, approved + denied + wrong_match, decide),
            (What::ToRedeem, approved, redeem),
        ] {
            let mut left = all;
            for (step, thousandths) in STEPS.iter().copied().chain([LONGER]).zip(shape) {
                let n = part(all, thousandths).min(left);
                left -= n;
                add(what, step, n);
            }
        }
    }

    /// What else stands in the log.
    async fn lines(&self) {
        let mut lines = Vec::new();
        for n in 0..600_u64 {
            let ago = Duration::from_secs(n * 4_300 + self.below(3_000));
            let (site, ..) = *self.pick(&SITES);
            let browser = self.browser();
            let shown = json!({ "name": browser.name, "os": browser.os, "region": browser.region });
            let n_th = usize::try_from(self.below(110)).unwrap_or(0);
            let identity = Self::identity(n_th);
            let person = self.store.person_of(&identity).await.expect("a look-up");
            let person = person.map(|person| person.id);
            let tag = format!("{:?}", Secret::new(&self.dice).hashed());
            let (what, detail) = match n % 9 {
                0 => (
                    "scan.refused",
                    json!({ "why": "taken_by_another_phone", "browser": shown, "ticket": tag }),
                ),
                1 => ("login.ended", json!({ "login": self.dice.base62(22) })),
                2 => (
                    "ticket.wrong_match",
                    json!({ "ask": "match", "risk": "raised", "why": ["long_press"], "browser": shown, "ticket": tag }),
                ),
                _ => (
                    "ticket.scanned",
                    json!({ "ask": "tap", "risk": "low", "why": ["first_time"], "browser": shown, "ticket": tag, "entry": "live", "number": 1047 }),
                ),
            };
            lines.push(audit::Entry {
                at: self.now.before(ago),
                what: what.to_owned(),
                person,
                site: Some(site.to_owned()),
                address: Some(browser.address.to_string()),
                detail,
            });
        }
        lines.sort_by_key(|line| line.at);
        join_all(lines.into_iter().map(|line| self.store.audit(line))).await;
    }
}
