//! How WeChat words its answers: always HTTP 200, a refusal as `errcode` and `errmsg`, the errmsg
//! ending in a request id whose first group is the time (wechat-api.md section 0).

use axum::body::Bytes;
use serde_json::{Value, json};

use super::clock::Moment;

/// A refusal.
#[derive(Clone, Debug)]
pub(super) struct No {
    pub(super) errcode: i64,
    pub(super) text: String,
}

pub(super) fn no(errcode: i64, text: impl Into<String>) -> No {
    No { errcode, text: text.into() }
}

/// A result.
pub(super) enum Yes {
    Json(Value),
    Picture(Painted),
}

/// A picture with the headers that go with it.
pub(super) struct Painted {
    pub(super) bytes: Bytes,
    pub(super) content_type: &'static str,
    pub(super) file_name: Option<String>,
    pub(super) num_used: Option<usize>,
}

pub(super) fn ok() -> Yes {
    Yes::Json(json!({"errcode": 0, "errmsg": "ok"}))
}

/// An answer, ready to be sent.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    pub(super) errcode: i64,
}

const JSON: &str = "application/json; encoding=utf-8";

/// The two families of paths: `/sns` answers as text and puts a comma before the request id.
fn is_sns(path: &str) -> bool {
    path.starts_with("/sns/")
}

pub(super) fn answer(path: &str, outcome: Result<Yes, No>, rid: &str) -> Answer {
    let content_type = if is_sns(path) { "text/plain" } else { JSON };
    let with_type = |content_type: &str| vec![("content-type", content_type.to_owned())];
    match outcome {
        Ok(Yes::Json(json)) => Answer {
            status: 200,
            headers: with_type(content_type),
            body: json.to_string().into(),
            errcode: 0,
        },
        Ok(Yes::Picture(painted)) => Answer {
            status: 200,
            headers: picture_headers(&painted),
            body: painted.bytes,
            errcode: 0,
        },
        Err(No { errcode, text }) => {
            let comma = if is_sns(path) { "," } else { "" };
            let errmsg = format!("{text}{comma} rid: {rid}");
            Answer {
                status: 200,
                headers: with_type(content_type),
                body: json!({"errcode": errcode, "errmsg": errmsg}).to_string().into(),
                errcode,
            }
        }
    }
}

fn picture_headers(painted: &Painted) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("connection", "keep-alive".to_owned()),
        ("cache-control", "no-cache, must-revalidate".to_owned()),
        ("content-type", painted.content_type.to_owned()),
    ];
    if let Some(name) = &painted.file_name {
        headers.push(("content-disposition", format!("attachment; filename=\"{name}\"")));
    }
    if let Some(used) = painted.num_used {
        headers.push(("Num-Used", used.to_string()));
    }
    headers
}

/// A request id: the Unix time in hex, then two groups that look random.
pub(super) fn rid(now: Moment, dice: &mut fastrand::Rng) -> String {
    format!("{:08x}-{:08x}-{:08x}", now.as_secs(), dice.u32(..), dice.u32(..))
}
