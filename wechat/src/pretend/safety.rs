//! `msg_sec_check` (wechat-api.md section 9). What it finds risky is the sample that WeChat's own
//! documents give. What it leaves to people to look at is a word of ours: they give none.

use serde_json::{Map, Value, json};

use super::clock::Moment;
use super::people::People;
use super::reply::{No, Yes, no, ok};

/// The text that WeChat's documents give as risky.
const SAMPLE: &str = "特3456书yuuo莞6543李zxcz蒜7782法fgnv级";
/// The word that makes it doubt.
const DOUBTFUL: &str = "人工复审";
const MOST: usize = 2_500;
const ORDINARY: u32 = 100;
const VULGAR: u32 = 20_012;

pub(super) fn check(
    body: &Map<String, Value>,
    people: &People,
    now: Moment,
    trace: u64,
) -> Result<Yes, No> {
    let format_error = || no(47001, "data format error");
    let content = match body.get("content") {
        Some(Value::String(content)) => content,
        _ => return Err(format_error()),
    };
    let fields = ["content", "nickname", "title", "signature"];
    let holds = |word: &str| {
        let mut texts = fields.iter().filter_map(|field| body.get(*field)?.as_str());
        texts.any(|text| text.contains(word))
    };
    let risky = holds(SAMPLE);
    if body.get("version").and_then(Value::as_u64) != Some(2) {
        // The first version knows one field and answers yes or no.
        return if risky { Err(no(87014, "risky content")) } else { Ok(ok()) };
    }
    if content.chars().count() > MOST {
        return Err(no(45002, "content size out of limit"));
    }
    let scene = body.get("scene").ok_or_else(|| no(40129, "invalid scene"))?;
    match scene.as_u64().ok_or_else(format_error)? {
        1..=4 => {}
        _ => return Err(no(40129, "invalid scene")),
    }
    let openid = body.get("openid").and_then(Value::as_str).unwrap_or_default();
    match people.is_active(openid, now) {
        None => return Err(no(40003, "invalid openid")),
        Some(false) => return Err(no(61010, "code is expired")),
        Some(true) => {}
    }
    let (suggest, label) = match (risky, holds(DOUBTFUL)) {
        (true, _) => ("risky", VULGAR),
        (false, true) => ("review", VULGAR),
        (false, false) => ("pass", ORDINARY),
    };
    Ok(Yes::Json(json!({
        "errcode": 0, "errmsg": "ok",
        "result": {"suggest": suggest, "label": label},
        "detail": [{"strategy": "content_model", "errcode": 0, "suggest": suggest, "label": label, "prob": 90}],
        "trace_id": format!("{:08x}-{trace:016x}", now.as_secs()),
    })))
}
