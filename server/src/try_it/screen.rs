//! The phone to hold, as a page in another tab, and the camera that it looks at the screen with.
//!
//! The camera is a layer around saoma that notes which codes browsers have been shown; everything else the phone does goes
//! over HTTP, as the mini program's calls would.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use askama::Template;
use axum::{
    Form, Router,
    extract::{Query, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{Next, from_fn_with_state},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Addresses,
    actors::{self, Asked, Told},
};
use crate::{app::SharedApp, error, http::lang_of, lang::Lang, secret::Hashed, ticket::Stage};

/// What lies before the phone's camera.
pub(super) struct Screen {
    app: SharedApp,
    addresses: Addresses,
    shown: Mutex<VecDeque<Hashed>>,
}

impl Screen {
    pub(super) fn new(app: SharedApp, addresses: Addresses) -> Self {
        Self { app, addresses, shown: Mutex::default() }
    }

    fn note(&self, ticket: Hashed) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|known| *known != ticket);
        shown.push_front(ticket);
        shown.truncate(8);
    }

    /// The codes that can be scanned now, the latest first.
    async fn codes(&self) -> Vec<Code> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut codes = Vec::new();
        for ticket in shown {
            let Ok(Some(seen)) = self.app.tickets.by_id(ticket).await else { continue };
            let now = self.app.world.now();
            if !seen.ticket.is_expired(now) && matches!(seen.ticket.stage, Stage::Waiting) {
                let site = self.app.sites.get(&seen.ticket.request.site);
                codes.push(Code {
                    scene: seen.ticket.scene,
                    site: site.map(|site| site.name.clone()).unwrap_or_default(),
                    age: now.since(seen.ticket.opened).as_secs(),
                });
            }
        }
        codes
    }
}

/// saoma, with the camera looking on.
pub(super) fn watched(screen: Arc<Screen>, saoma: Router) -> Router {
    saoma.layer(from_fn_with_state(screen, look))
}

async fn look(State(screen): State<Arc<Screen>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let ticket = path.strip_prefix("/api/tickets/").and_then(|rest| rest.strip_suffix("/code"));
    if let Some(ticket) = ticket.filter(|_| response.status().is_success()) {
        screen.note(Hashed::of(ticket));
    }
    response
}

struct Code {
    scene: String,
    site: String,
    age: u64,
}

#[derive(Template, Default)]
#[template(path = "try/phone.html")]
struct Page {
    lang: &'static str,
    person: String,
    codes: Vec<Code>,
    scene: String,
    asked: Option<Question>,
    done: Option<&'static str>,
    problem: Option<String>,
    demo: String,
}

struct Question {
    scene: String,
    token: String,
    site: String,
    host: String,
    browser: String,
    ask: String,
    raised: bool,
    /// What is out of the ordinary, a sentence each.
    why: Vec<String>,
    /// What may be ticked, each with what it is called.
    scopes: Vec<(String, String)>,
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        match self.render() {
            Ok(text) => Html(text).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

pub(super) fn phone(screen: Arc<Screen>) -> Router {
    Router::new().route("/phone", get(open).post(act)).with_state(screen)
}

#[derive(Deserialize)]
struct Opened {
    scene: Option<String>,
    person: Option<String>,
}

async fn open(
    State(screen): State<Arc<Screen>>,
    headers: HeaderMap,
    Query(opened): Query<Opened>,
) -> Page {
    Page {
        lang: lang_of(&headers).tag(),
        person: opened.person.unwrap_or_else(|| "ann".to_owned()),
        codes: screen.codes().await,
        scene: opened.scene.unwrap_or_default(),
        demo: screen.addresses.demo.clone(),
        ..Page::default()
    }
}

#[derive(Deserialize)]
struct Act {
    person: String,
    act: String,
    #[serde(default)]
    scene: String,
    #[serde(default)]
    digits: String,
    #[serde(default)]
    entry: u32,
    #[serde(default)]
    token: String,
    #[serde(default)]
    number: String,
    remember: Option<String>,
    profile: Option<String>,
}

async fn act(State(screen): State<Arc<Screen>>, headers: HeaderMap, Form(act): Form<Act>) -> Page {
    let lang = lang_of(&headers);
    let person = act.person.clone();
    let phone = actors::Phone::of(&person, &screen.addresses.saoma, &screen.addresses.wechat);
    let page =
        Page { lang: lang.tag(), person, demo: screen.addresses.demo.clone(), ..Page::default() };
    let asked = Asked { shown: Value::Null, scene: act.scene.clone(), token: act.token.clone() };
    let outcome: Told<Page> = match act.act.as_str() {
        "scan" => {
            phone.scans(act.scene.trim(), act.entry).await.map(|asked| asks(lang, page, &asked))
        }
        "type" => {
            // What stands between them does not count, as in the mini program.
            let digits = act.digits.replace(|c: char| !c.is_ascii_digit(), "");
            phone.types(&digits).await.map(|asked| asks(lang, page, &asked))
        }
        "approve" => {
            let number = Some(act.number.trim()).filter(|number| !number.is_empty());
            let scopes: Vec<&str> = act.profile.iter().map(|_| "profile").collect();
            let body =
                json!({ "match": number, "remember": act.remember.is_some(), "scopes": scopes });
            let approved = phone.approves_with(&asked, &body).await;
            approved.map(|()| Page {
                done: Some(either(
                    lang,
                    ("已确认。请回到刚才的网页。", "Done. Go back to the page."),
                )),
                ..page
            })
        }
        _ => phone.denies(&asked).await.map(|()| Page {
            done: Some(either(lang, ("已拒绝，没有人登录。", "Refused. Nobody is signed in."))),
            ..page
        }),
    };
    match outcome {
        Ok(page) => page,
        Err(problem) => Page {
            lang: lang.tag(),
            problem: Some(in_words(lang, problem)),
            person: act.person,
            codes: screen.codes().await,
            demo: screen.addresses.demo.clone(),
            ..Page::default()
        },
    }
}

fn either(lang: Lang, (zh, en): (&'static str, &'static str)) -> &'static str {
    lang.s(zh, en)
}

/// What the mini program says of each reason for doubt.
const WHY: [(&str, &str, &str); 11] = [
    (
        "long_press",
        "你是长按图片打开的。别人发来的码，不要确认。",
        "You opened it by a long press on a picture. If somebody sent you the code, do not confirm.",
    ),
    (
        "album",
        "你是从相册识别的码。别人发来的图片，不要确认。",
        "The code came from your album. If somebody sent you the picture, do not confirm.",
    ),
    (
        "card",
        "你是从聊天里的卡片打开的。不要替别人确认登录。",
        "You opened it from a card in a chat. Never confirm a sign-in for somebody else.",
    ),
    (
        "unknown_entry",
        "打开的方式不常见，不能确定码是你当面扫的。",
        "It was opened in an unusual way; you may not have scanned it from a screen.",
    ),
    ("other_region", "浏览器和手机不在同一个地区。", "Browser and phone are in different regions."),
    (
        "other_network",
        "浏览器和手机不在同一个网络。",
        "Browser and phone are on different networks.",
    ),
    (
        "new_browser",
        "你没有在这个浏览器登录过。",
        "You have not signed in with this browser before.",
    ),
    ("first_time", "你第一次登录这个网站。", "You sign in to this site for the first time."),
    ("page_says_phone", "网页说它就在这台手机上。", "The page says it is on this phone."),
    (
        "other_system",
        "网页说它就在这台手机上，但对不上。",
        "The page says it is on this phone, but that does not fit.",
    ),
    ("device", "这个网站的设备或程序在等待。", "A device or program of this site is waiting."),
];
/// What it calls that which may be ticked.
const SCOPES: [(&str, &str, &str); 4] = [
    (
        "profile",
        "昵称、头像、用户名和所在的组（各网站相同）",
        "Nickname, avatar, user name and groups (the same at every site)",
    ),
    (
        "email",
        "一个代用邮箱地址（不是你的真实邮箱）",
        "A stand-in e-mail address (not your real one)",
    ),
    ("wechat", "微信标识（openid、unionid）", "WeChat identifiers (openid, unionid)"),
    ("offline_access", "不在线时也保持登录", "Stay signed in while you are away"),
];

/// A word's sentence; the word itself where there is none.
fn said(lang: Lang, words: &[(&str, &'static str, &'static str)], word: &str) -> String {
    let known = words.iter().find(|(known, ..)| *known == word);
    known.map_or(word, |(_, zh, en)| either(lang, (zh, en))).to_owned()
}

/// What saoma said, such as "403 wrong_match", as people are told it.
fn in_words(lang: Lang, problem: String) -> String {
    let word = problem.split(' ').next_back().unwrap_or_default();
    let row = error::Code::ALL.iter().map(|code| code.row()).find(|row| row.code == word);
    row.map(|row| either(lang, (row.zh, row.en)))
        .filter(|sentence| !sentence.contains(error::NAME))
        .map_or(problem, ToOwned::to_owned)
}

fn asks(lang: Lang, page: Page, asked: &Asked) -> Page {
    let text = |pointer: &str| {
        asked.shown.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let list = |pointer: &str| -> Vec<String> {
        let items = asked.shown.pointer(pointer).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
    };
    let question = Question {
        scene: asked.scene.clone(),
        token: asked.token.clone(),
        site: text("/site/name"),
        host: text("/page/host"),
        browser: format!("{} · {}", text("/browser/name"), text("/browser/os")),
        ask: text("/ask"),
        raised: text("/risk") == "raised",
        why: list("/why").iter().map(|why| said(lang, &WHY, why)).collect(),
        scopes: list("/scopes")
            .into_iter()
            .map(|scope| (scope.clone(), said(lang, &SCOPES, &scope)))
            .collect(),
    };
    Page { asked: Some(question), ..page }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_word_for_word_what_the_mini_program_says() {
        let words = include_str!("../../../miniprogram/app/lib/words.ts");
        for (word, zh, en) in WHY.iter().chain(&SCOPES) {
            for sentence in [zh, en] {
                let line = format!("      {word}: '{sentence}',\n");
                assert!(words.contains(&line), "{line}");
            }
        }
    }
}
