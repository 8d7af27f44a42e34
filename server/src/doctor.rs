//! What can be wrong between an owner's machine and WeChat: looked at in order, each with what to do and where.
//!
//! Looking changes nothing, but that WeChat makes one code and the public page is opened once. `plan` prints the owner's
//! road, `scan` waits for a real phone, `report` makes a text for an issue.

use std::{fmt::Write as _, io::Write, path::Path, time::Duration};

use serde::Serialize;
use wechat::Remedy;

use crate::{
    config::Settings,
    site::{self, Site},
    store::SharedStore,
    world::World,
};

mod here;
mod mail;
mod outside;
pub mod plan;
pub mod report;
pub mod scan;
mod tls;
mod upstream;

pub use mail::Dns;
pub use tls::Roots;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and somebody should know.
    Warning,
    /// Nobody can sign in, or soon nobody will.
    Broken,
    /// Not looked at, because something before it is broken or it does not apply.
    Skipped,
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Todo {
    /// In English.
    pub en: String,
    /// In Chinese.
    pub zh: String,
}

impl From<Remedy> for Todo {
    fn from(remedy: Remedy) -> Self {
        todo(remedy.en, remedy.zh)
    }
}

fn todo(en: impl Into<String>, zh: impl Into<String>) -> Todo {
    Todo { en: en.into(), zh: zh.into() }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check: a stable word.
    pub check: &'static str,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found. No secret, no token, nobody's openid.
    pub said: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<Todo>,
    /// Names in it that are somebody's alone: a report leaves them out.
    #[serde(skip)]
    pub names: Vec<String>,
}

impl Finding {
    fn ok(check: &'static str, said: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, said: said.into(), todo: None, names: Vec::new() }
    }

    fn naming(self, names: impl IntoIterator<Item = String>) -> Self {
        Self { names: names.into_iter().collect(), ..self }
    }

    fn skipped(check: &'static str, said: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skipped, ..Self::ok(check, said) }
    }

    fn warning(check: &'static str, said: impl Into<String>, todo: impl Into<Todo>) -> Self {
        Self { verdict: Verdict::Warning, todo: Some(todo.into()), ..Self::ok(check, said) }
    }

    fn broken(check: &'static str, said: impl Into<String>, todo: impl Into<Todo>) -> Self {
        Self { verdict: Verdict::Broken, todo: Some(todo.into()), ..Self::ok(check, said) }
    }
}

/// What the doctor looks at, and with what.
pub struct Doctor {
    /// What the server runs by.
    pub settings: Settings,
    /// Time.
    pub world: World,
    /// The database: none where there is none yet, or why it cannot be opened.
    pub store: Result<Option<SharedStore>, String>,
    /// Why the Redis of the settings cannot be used, if it cannot: none where tickets live in the server's memory.
    pub redis: Option<Result<(), String>>,
    /// Whose certificates count.
    pub roots: Roots,
    /// Whose word counts on names.
    pub dns: Dns,
    /// How long a page's silent socket is held to see whether it is cut; none: not at all.
    pub hold: Option<Duration>,
}

/// How long a silent socket is held: what cuts sooner than a minute cuts people off. saoma asks every 45 to 55 seconds
/// whether a page is still there.
pub const HOLD: Duration = Duration::from_secs(60);

impl Doctor {
    /// Looks at everything, in order.
    pub async fn examine(&self) -> Vec<Finding> {
        let settings = &self.settings;
        let mut found = vec![Finding::ok("settings", "can be read, and fit together")];
        let sites = self.sites().await;
        let wechat = upstream::look(settings, &sites, &self.world).await;
        // Without WeChat there is no page to try, and that is not the proxy's fault.
        let codes = !is_broken(&wechat);
        let outside = outside::Outside {
            settings,
            roots: &self.roots,
            world: &self.world,
            hold: self.hold,
            codes,
        };
        let (outside, mail, here) = tokio::join!(
            outside.look(),
            mail::look(settings, &sites, self.dns),
            here::look(settings, &self.store, self.redis.as_ref())
        );
        found.extend(wechat);
        found.extend(outside);
        found.extend(mail);
        found.push(here::secrets(&sites));
        found.extend(here);
        found
    }
}

impl Doctor {
    /// All sites: those of the settings, and those that commands registered.
    pub async fn sites(&self) -> Vec<Site> {
        let kept = match &self.store {
            Ok(Some(store)) => store.sites().await.unwrap_or_default(),
            // A database that does not answer is a finding of its own.
            _ => Vec::new(),
        };
        site::beside(self.settings.sites.clone(), kept)
    }

    /// Waits for a real phone; see [`scan::wait`].
    ///
    /// # Errors
    /// If there is no database beside a running server, no page with a code, or nobody decides in time.
    pub async fn scan(&self, picture: &Path, out: impl Write) -> Result<Vec<String>, String> {
        let store = self.store.as_ref().map_err(Clone::clone)?;
        let store = store.as_ref().ok_or(
            "there is no database yet; run this where `saoma serve` runs, with its settings",
        )?;
        scan::wait(&self.settings.public_url, store, &self.world, picture, out).await
    }
}

/// What is found where the settings cannot be used at all: each of their faults.
pub fn unusable(faults: &[String]) -> Vec<Finding> {
    let broken = |fault: &String| {
        Finding::broken(
            "settings",
            fault,
            todo(
                "Change it; `saoma config` prints every setting and why.",
                "请修改；`saoma config` 会打印所有设置及说明。",
            ),
        )
    };
    faults.iter().map(broken).collect()
}

/// Whether anything is broken: what the exit code says.
pub fn is_broken(found: &[Finding]) -> bool {
    found.iter().any(|finding| finding.verdict == Verdict::Broken)
}

/// The findings for people.
pub fn text(found: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { check, verdict, said, todo, .. } in found {
        let mark = match verdict {
            Verdict::Ok => "ok     ",
            Verdict::Warning => "warning",
            Verdict::Broken => "BROKEN ",
            Verdict::Skipped => "-      ",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{mark} {check:<15} {said}");
        if let Some(todo) = todo {
            let _ = writeln!(text, "        -> {}\n        -> {}", todo.en, todo.zh);
        }
    }
    let count = |verdict| found.iter().filter(|finding| finding.verdict == verdict).count();
    let (broken, warnings) = (count(Verdict::Broken), count(Verdict::Warning));
    let _ = match (broken, warnings) {
        (0, 0) => write!(text, "\nNothing is wrong. 一切正常。"),
        (0, _) => write!(
            text,
            "\nNothing is broken, warnings: {warnings}. 没有故障，警告 {warnings} 条。"
        ),
        _ => write!(
            text,
            "\nBroken: {broken}, warnings: {warnings}. 故障 {broken} 项，警告 {warnings} 条。"
        ),
    };
    text
}

/// The findings for programs.
pub fn json(found: &[Finding]) -> serde_json::Value {
    serde_json::json!({ "ok": !is_broken(found), "findings": found })
}
