//! Access tokens of both endpoints, which keep separate ones (wechat-api.md sections 1.1 and 1.2).
//!
//! Where the documents are silent: the twenty-first forced refresh of a day is refused with 45009,
//! and a token dies at the end of its own life even within the five minutes after a refresh.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use super::clock::{Moment, day};
use super::reply::{No, Yes, no};

const LIFE: Duration = Duration::from_secs(7_200);
const OVERLAP: Duration = Duration::from_secs(300);
const FORCE_GAP: Duration = Duration::from_secs(30);
const FORCES_A_DAY: u32 = 20;
const REMEMBERED: usize = 1_000;

const NOT_LATEST: &str = "invalid credential, access_token is invalid or not latest, could get access_token by getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r";

pub(super) struct Tokens {
    length: usize,
    plain: VecDeque<Issued>,
    stable: VecDeque<Issued>,
    last_force: Option<Moment>,
    forces: (u64, u32),
}

struct Issued {
    text: String,
    until: Moment,
    /// From when on it is no longer the latest, the overlap included.
    replaced: Option<Moment>,
}

impl Tokens {
    pub(super) fn new(length: usize) -> Self {
        let length = length.clamp(32, 4_096);
        Self {
            length,
            plain: VecDeque::new(),
            stable: VecDeque::new(),
            last_force: None,
            forces: (0, 0),
        }
    }

    /// A new token each time; the one before works for five more minutes.
    pub(super) fn plain(&mut self, now: Moment, dice: &mut fastrand::Rng) -> Yes {
        if let Some(last) = self.plain.back_mut() {
            last.replaced.get_or_insert(now + OVERLAP);
        }
        issue(&mut self.plain, self.length, now, dice)
    }

    /// The same token until its last five minutes, then a new one beside it.
    pub(super) fn stable(
        &mut self,
        force: bool,
        now: Moment,
        dice: &mut fastrand::Rng,
    ) -> Result<Yes, No> {
        if force && self.may_force(now)? {
            if let Some(last) = self.stable.back_mut() {
                last.replaced = Some(now);
            }
            return Ok(issue(&mut self.stable, self.length, now, dice));
        }
        if let Some(last) = self.stable.back()
            && last.replaced.is_none()
            && now + OVERLAP < last.until
        {
            return Ok(token(&last.text, last.until - now));
        }
        Ok(issue(&mut self.stable, self.length, now, dice))
    }

    /// Within half a minute of the last it is passed over in silence.
    fn may_force(&mut self, now: Moment) -> Result<bool, No> {
        if self.last_force.is_some_and(|last| now < last + FORCE_GAP) {
            return Ok(false);
        }
        if self.forces.0 != day(now) {
            self.forces = (day(now), 0);
        }
        if self.forces.1 >= FORCES_A_DAY {
            return Err(no(45009, "reach max api daily quota limit"));
        }
        self.forces.1 += 1;
        self.last_force = Some(now);
        Ok(true)
    }

    /// Would WeChat take this token now?
    pub(super) fn judge(&self, text: &str, now: Moment, strict: bool) -> Result<(), No> {
        let issued = self.plain.iter().chain(&self.stable).find(|issued| issued.text == text);
        let Some(issued) = issued else {
            return Err(if strict && !looks_like_a_token(text) {
                no(40014, "invalid access_token")
            } else {
                no(40001, NOT_LATEST)
            });
        };
        if issued.replaced.is_some_and(|replaced| replaced <= now) {
            Err(no(40001, NOT_LATEST))
        } else if issued.until <= now {
            Err(no(42001, "access_token expired"))
        } else {
            Ok(())
        }
    }

    pub(super) fn forget(&mut self) {
        for issued in self.plain.iter_mut().chain(&mut self.stable) {
            issued.replaced = Some(Moment::ZERO);
        }
    }
}

fn issue(line: &mut VecDeque<Issued>, length: usize, now: Moment, dice: &mut fastrand::Rng) -> Yes {
    let mut text = format!("{}_", dice.u8(10..100));
    text.extend((text.len()..length).map(|_| dice.alphanumeric()));
    let yes = token(&text, LIFE);
    line.push_back(Issued { text, until: now + LIFE, replaced: None });
    if line.len() > REMEMBERED {
        line.pop_front();
    }
    yes
}

fn token(text: &str, left: Duration) -> Yes {
    let body: Value = json!({"access_token": text, "expires_in": left.as_secs()});
    Yes::Json(body)
}

fn looks_like_a_token(text: &str) -> bool {
    text.split_once('_').is_some_and(|(number, rest)| {
        !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
            && rest.len() >= 16
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    })
}
