//! The three kinds of code: what they take, what they refuse, what they hold
//! (wechat-api.md section 2).
//!
//! Where the documents are silent: an empty or missing scene is 40169, and a width out of bounds is
//! 40189 for all three.

use std::collections::{HashSet, VecDeque};

use serde_json::{Map, Value};

use super::phone::Kind;
use super::picture::Look;
use super::reply::{No, no};

const FOR_EVER: usize = 100_000;
const DRAWN_REMEMBERED: usize = 10_000;
const NOT_JSON: &str = "data format error";

pub(super) struct Codes {
    pages: Vec<String>,
    /// Codes A and C that count: the same parameters once.
    counted: HashSet<String>,
    /// How many more A and C count as used than were drawn here.
    pub(super) used_before: usize,
    drawn: VecDeque<Drawn>,
}

/// A code that was drawn, as a phone reads it.
#[derive(Clone)]
pub(super) struct Drawn {
    pub(super) text: String,
    pub(super) kind: Kind,
    pub(super) page: String,
    /// What the page gets in its `onLoad`: for B `scene=` and the scene, percent-encoded once.
    pub(super) query: String,
    pub(super) env_version: String,
}

/// A request for a code that WeChat takes.
pub(super) struct Order {
    pub(super) drawn: Drawn,
    pub(super) look: Look,
    pub(super) file_name: Option<String>,
    pub(super) warnings: Vec<String>,
    /// What makes it the same code as another, for A and C.
    counts_as: Option<String>,
}

/// Where codes lead: the AppID and the phone page, if there is one.
pub(super) struct Target<'a> {
    pub(super) appid: &'a str,
    pub(super) phone_url: Option<&'a str>,
}

impl Codes {
    pub(super) fn new(pages: Vec<String>) -> Self {
        Self { pages, counted: HashSet::new(), used_before: 0, drawn: VecDeque::new() }
    }

    pub(super) fn publish(&mut self, pages: Vec<String>) {
        self.pages = pages;
    }

    pub(super) fn is_published(&self) -> bool {
        !self.pages.is_empty()
    }

    /// Checks a request for code B.
    pub(super) fn unlimited(
        &self,
        body: &Map<String, Value>,
        target: &Target<'_>,
    ) -> Result<Order, No> {
        let mut warnings = Vec::new();
        let scene = match body.get("scene") {
            None => String::new(),
            Some(Value::String(scene)) => scene.clone(),
            Some(Value::Number(number)) => {
                let scene = through_a_double(&number.to_string());
                warnings
                    .push(format!("scene was sent as a number and became {scene}; send a string"));
                scene
            }
            Some(_) => return Err(no(47001, NOT_JSON)),
        };
        if scene.is_empty() || scene.chars().count() > 32 {
            let text = "invalid length for scene, or the data is not json string";
            return Err(no(40169, text));
        }
        if !scene.chars().all(|c| {
            c.is_ascii_digit() || c.is_ascii_alphabetic() || "!#$&'()*+,/:;=?@-._~".contains(c)
        }) {
            return Err(no(40129, "invalid scene"));
        }
        let page = string(body, "page")?.unwrap_or_default();
        refuse_scancode_time(page, "page or path not allow include scancode_time field")?;
        let check_path = boolean(body, "check_path")?.unwrap_or(true);
        let published = match page {
            "" => self.is_published(),
            page => self.pages.iter().any(|published| published == page),
        };
        if page.starts_with('/') || page.contains('?') || (check_path && !published) {
            return Err(no(41030, "invalid page"));
        }
        let (look, env_version) = look(body)?;
        let page = self.or_home(page);
        let encoded = percent_encoded(&scene);
        let drawn = Drawn {
            text: target.text(&page, &format!("scene={encoded}"), &encoded),
            kind: Kind::MiniProgramCode,
            query: format!("scene={encoded}"),
            page,
            env_version,
        };
        Ok(Order { drawn, look, file_name: Some(format!("_{scene}")), warnings, counts_as: None })
    }

    /// Checks a request for code A.
    pub(super) fn round(
        &self,
        body: &Map<String, Value>,
        target: &Target<'_>,
    ) -> Result<Order, No> {
        let length = "invalid length for path, or the data is not json string";
        let path = path(body, 1_024, length)?;
        refuse_scancode_time(path, "not allow include scancode_time field")?;
        let (look, env_version) = look(body)?;
        Ok(self.counted(path, body, target, Kind::MiniProgramCode, look, env_version))
    }

    /// Checks a request for code C. It has neither version nor colour.
    pub(super) fn square(
        &self,
        body: &Map<String, Value>,
        target: &Target<'_>,
    ) -> Result<Order, No> {
        let length = "invalid length for path  or thedata is not json string";
        let path = path(body, 128, length)?;
        refuse_scancode_time(path, "page or path not allow include scancode_time field")?;
        let look = Look { width: width(body)?, color: [0; 3], see_through: false };
        Ok(self.counted(path, body, target, Kind::Qr, look, "release".to_owned()))
    }

    fn counted(
        &self,
        path: &str,
        body: &Map<String, Value>,
        target: &Target<'_>,
        kind: Kind,
        look: Look,
        env_version: String,
    ) -> Order {
        let (page, query) = path.split_once('?').unwrap_or((path, ""));
        let page = self.or_home(page.trim_start_matches('/'));
        let scene = query.split('&').find_map(|pair| pair.strip_prefix("scene="));
        let drawn = Drawn {
            text: target.text(&page, query, scene.unwrap_or_default()),
            kind,
            page,
            query: query.to_owned(),
            env_version,
        };
        let counts_as = Some(format!("{kind:?} {}", Value::Object(body.clone())));
        Order { drawn, look, file_name: None, warnings: Vec::new(), counts_as }
    }

    fn or_home(&self, page: &str) -> String {
        let home = || self.pages.first().cloned().unwrap_or_else(|| "pages/index/index".to_owned());
        if page.is_empty() { home() } else { page.to_owned() }
    }

    /// Counts an order, and says how many A and C are used now. B counts nothing.
    pub(super) fn count(&mut self, order: &Order) -> Result<Option<usize>, No> {
        if let Some(same) = &order.counts_as
            && !self.counted.contains(same)
        {
            if self.used() >= FOR_EVER {
                return Err(no(45029, "qrcode count out of limit"));
            }
            self.counted.insert(same.clone());
        }
        self.drawn.push_back(order.drawn.clone());
        if self.drawn.len() > DRAWN_REMEMBERED {
            self.drawn.pop_front();
        }
        Ok((order.counts_as.is_some() && order.drawn.kind == Kind::MiniProgramCode)
            .then(|| self.used()))
    }

    fn used(&self) -> usize {
        self.used_before + self.counted.len()
    }

    /// The code that holds this text.
    pub(super) fn read(&self, text: &str) -> Option<&Drawn> {
        self.drawn.iter().rev().find(|drawn| drawn.text == text)
    }
}

impl Target<'_> {
    fn text(&self, page: &str, query: &str, scene: &str) -> String {
        match self.phone_url {
            Some(url) => url.replace("{path}", page).replace("{scene}", scene),
            None if query.is_empty() => format!("weixin://pretend/{}/{page}", self.appid),
            None => format!("weixin://pretend/{}/{page}?{query}", self.appid),
        }
    }
}

fn look(body: &Map<String, Value>) -> Result<(Look, String), No> {
    let env_version = string(body, "env_version")?.unwrap_or("release");
    if !matches!(env_version, "release" | "trial" | "develop") {
        return Err(no(40097, "invalid args"));
    }
    let auto_color = boolean(body, "auto_color")?.unwrap_or(false);
    let color = match body.get("line_color") {
        None | Some(Value::Null) => [0; 3],
        Some(Value::Object(color)) => [shade(color, "r")?, shade(color, "g")?, shade(color, "b")?],
        Some(_) => return Err(no(47001, NOT_JSON)),
    };
    let look = Look {
        width: width(body)?,
        color: if auto_color { [0; 3] } else { color },
        see_through: boolean(body, "is_hyaline")?.unwrap_or(false),
    };
    Ok((look, env_version.to_owned()))
}

/// A decimal from 0 to 255, as a number or as a string.
fn shade(color: &Map<String, Value>, name: &str) -> Result<u8, No> {
    let number = match color.get(name) {
        None | Some(Value::Null) => Some(0),
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        Some(_) => return Err(no(47001, NOT_JSON)),
    };
    number.and_then(|number| u8::try_from(number).ok()).ok_or_else(|| no(40097, "invalid args"))
}

fn width(body: &Map<String, Value>) -> Result<u32, No> {
    let width = match body.get("width") {
        None | Some(Value::Null) => return Ok(430),
        Some(Value::Number(number)) => number.as_u64().and_then(|width| u32::try_from(width).ok()),
        Some(_) => return Err(no(47001, NOT_JSON)),
    };
    width.filter(|width| (280..=1280).contains(width)).ok_or_else(|| no(40189, "invalid width"))
}

fn path<'a>(body: &'a Map<String, Value>, most: usize, text: &str) -> Result<&'a str, No> {
    let path = string(body, "path")?.unwrap_or_default();
    if (1..=most).contains(&path.chars().count()) { Ok(path) } else { Err(no(40159, text)) }
}

fn string<'a>(body: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, No> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(no(47001, NOT_JSON)),
    }
}

fn boolean(body: &Map<String, Value>, name: &str) -> Result<Option<bool>, No> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(truth)) => Ok(Some(*truth)),
        Some(_) => Err(no(47001, NOT_JSON)),
    }
}

fn refuse_scancode_time(text: &str, errmsg: &str) -> Result<(), No> {
    if text.contains("scancode_time") { Err(no(85096, errmsg)) } else { Ok(()) }
}

/// What becomes of a scene that was sent as a number: WeChat's reader adds up the digits in a
/// double. So 412213075488489472 came back as 412213075488489536, though a double can hold it.
fn through_a_double(digits: &str) -> String {
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        let sum = digits.bytes().fold(0.0, |sum: f64, digit| sum * 10.0 + f64::from(digit - b'0'));
        format!("{sum:.0}")
    } else {
        digits.to_owned()
    }
}

/// As `encodeURIComponent` does it, since the page undoes it with `decodeURIComponent`.
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(b).to_string(),
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' => {
                char::from(b).to_string()
            }
            b => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_sent_as_a_number_comes_back_as_it_was_seen_to() {
        assert_eq!(through_a_double("412213075488489472"), "412213075488489536");
        assert_eq!(through_a_double("1234"), "1234");
    }
}
