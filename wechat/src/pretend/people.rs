//! Persons, their js_codes and their sessions (wechat-api.md section 4).
//!
//! Where the documents are silent: an expired js_code is 40029.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::clock::Moment;
use super::reply::{No, Yes, no};

const CODE_LIFE: Duration = Duration::from_secs(300);
/// How long after its end a js_code is still known for what it was.
const CODE_MEMORY: Duration = Duration::from_secs(3_600);
const TWO_HOURS: Duration = Duration::from_secs(7_200);
const EXCHANGES_A_MINUTE: u32 = 100;

#[derive(Default)]
pub(super) struct People {
    codes: HashMap<String, IssuedCode>,
    sessions: HashMap<String, Session>,
    /// Persons that WeChat judges risky.
    pub(super) risky: BTreeSet<String>,
    swept: Moment,
}

struct IssuedCode {
    person: String,
    unionid: Option<String>,
    born: Moment,
    used: bool,
}

struct Session {
    key: String,
    seen: Moment,
    minute: (u64, u32),
}

/// 28 characters that begin with `o` and stay the same for a person at a mini program.
pub(super) fn openid(appid: &str, person: &str) -> String {
    format!("o{:.27}", digest(&[appid, "\n", person]))
}

/// What binds a person's identities at one Open Platform account.
pub(super) fn unionid(person: &str) -> String {
    format!("o{:.27}", digest(&["unionid\n", person]))
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

impl People {
    pub(super) fn js_code(
        &mut self,
        person: &str,
        unionid: Option<&str>,
        now: Moment,
        dice: &mut fastrand::Rng,
    ) -> String {
        self.sweep(now);
        let text: String = (0..32).map(|_| dice.alphanumeric()).collect();
        let code = IssuedCode {
            person: person.to_owned(),
            unionid: unionid.map(str::to_owned),
            born: now,
            used: false,
        };
        self.codes.insert(text.clone(), code);
        text
    }

    /// `/sns/jscode2session`, the credentials already checked.
    pub(super) fn exchange(
        &mut self,
        appid: &str,
        js_code: &str,
        now: Moment,
        dice: &mut fastrand::Rng,
    ) -> Result<Yes, No> {
        let code = self
            .codes
            .get_mut(js_code)
            .filter(|code| now < code.born + CODE_LIFE || code.used)
            .ok_or_else(|| no(40029, "invalid code"))?;
        if code.used {
            return Err(no(40163, "code been used"));
        }
        code.used = true;
        if self.risky.contains(&code.person) {
            return Err(no(40226, "code blocked"));
        }
        let openid = openid(appid, &code.person);
        let session = self.sessions.entry(openid.clone()).or_insert_with(|| Session {
            key: String::new(),
            seen: now,
            minute: (0, 0),
        });
        let minute = now.as_secs() / 60;
        if session.minute.0 != minute {
            session.minute = (minute, 0);
        }
        session.minute.1 += 1;
        if session.minute.1 > EXCHANGES_A_MINUTE {
            return Err(no(45011, super::quotas::MINUTE_TEXT));
        }
        session.seen = now;
        session.key = fresh_key(dice);
        Ok(Yes::Json(match &code.unionid {
            None => json!({"session_key": session.key, "openid": openid}),
            Some(unionid) => {
                json!({"session_key": session.key, "openid": openid, "unionid": unionid})
            }
        }))
    }

    pub(super) fn session_key(&self, openid: &str) -> Option<String> {
        self.sessions.get(openid).map(|session| session.key.clone())
    }

    /// `/wxa/checksession` and `/wxa/resetusersessionkey`: does the signature belong to the key
    /// that counts?
    pub(super) fn check(&self, openid: &str, signature: &str, sig_method: &str) -> Result<(), No> {
        if sig_method != "hmac_sha256" {
            return Err(no(87008, "invalid sig_method"));
        }
        let session = self
            .sessions
            .get(openid)
            .ok_or_else(|| no(87007, "session_key is not existed or expired"))?;
        let expected = Hmac::<Sha256>::new_from_slice(session.key.as_bytes())
            .map(|mac| hex::encode(mac.finalize().into_bytes()));
        if expected.is_ok_and(|expected| expected == signature) {
            Ok(())
        } else {
            Err(no(87009, "invalid signature"))
        }
    }

    pub(super) fn reset(&mut self, openid: &str, dice: &mut fastrand::Rng) -> Yes {
        let key = fresh_key(dice);
        if let Some(session) = self.sessions.get_mut(openid) {
            session.key.clone_from(&key);
        }
        let answer = json!({"errcode": 0, "errmsg": "ok", "openid": openid, "session_key": key});
        Yes::Json(answer)
    }

    /// Has this person used the mini program within two hours? `None`: there is no such person.
    pub(super) fn is_active(&self, openid: &str, now: Moment) -> Option<bool> {
        self.sessions.get(openid).map(|session| now < session.seen + TWO_HOURS)
    }

    fn sweep(&mut self, now: Moment) {
        if now > self.swept + CODE_MEMORY {
            self.swept = now;
            self.codes.retain(|_, code| now < code.born + CODE_MEMORY);
        }
    }
}

/// The base64 of 16 bytes.
fn fresh_key(dice: &mut fastrand::Rng) -> String {
    STANDARD.encode(dice.u128(..).to_be_bytes())
}
