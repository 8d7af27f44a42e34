//! The access token for other services of the same mini program.
//!
//! WeChat keeps one token for each AppID. Services that each fetch their own end each other's (the plain endpoint) or use up
//! each other's quota (the stable one); so one keeps it, and the others ask that one (wechat-api.md section 1).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::json;
use wechat::AccessToken;

use crate::{
    app::App,
    audit,
    error::{Code, Error},
    secret::{Hashed, Secret},
};

/// One of them, as `neighbours.secrets` names it: `name:secret`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// For the audit log.
    pub name: String,
    /// What it proves itself with.
    pub secret: Secret,
}

impl<'de> Deserialize<'de> for Neighbour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The text is not repeated: half of it is a secret.
        let (name, secret) = text
            .split_once(':')
            .ok_or_else(|| D::Error::custom("write name:secret, such as \"shop:\" and a secret"))?;
        Ok(Self { name: name.to_owned(), secret: Secret::from(secret.to_owned()) })
    }
}

/// Which token each was given last: it may ask as often as it likes, and the audit log says it once.
#[derive(Default)]
pub struct Neighbours(Mutex<HashMap<String, Hashed>>);

/// Gives the token to a neighbour who proves itself, with how long it is good for.
///
/// # Errors
/// [`Code::NotFound`] where there are no neighbours, [`Code::WrongSecret`], [`Code::TooManyRequests`]
/// after many, and what WeChat says.
pub async fn give(
    app: &App,
    presented: Option<&Secret>,
    address: IpAddr,
) -> Result<(AccessToken, Duration), Error> {
    let neighbours = &app.settings.neighbours.secrets;
    if neighbours.is_empty() {
        return Err(Code::NotFound.into());
    }
    let now = app.world.now();
    app.limits.may_guess(address, now)?;
    let presented = presented.map(Secret::hashed);
    let Some(neighbour) =
        neighbours.iter().find(|neighbour| presented == Some(neighbour.secret.hashed()))
    else {
        app.limits.guessed_wrong(address, now);
        return Err(Code::WrongSecret.into());
    };
    let token = app.wechat.access_token().await?;
    let left = app.wechat.token_status().left.unwrap_or_default();
    let given = Hashed::of(token.expose());
    if app.neighbours.is_news(&neighbour.name, given) {
        let entry = audit::Entry::new(now, "token.given")
            .from_address(address)
            .with(json!({ "neighbour": neighbour.name }));
        // What cannot be written down is not given.
        app.store.audit(entry).await?;
        app.neighbours.remember(&neighbour.name, given);
    }
    Ok((token, left))
}

impl Neighbours {
    fn is_news(&self, name: &str, token: Hashed) -> bool {
        self.given().get(name) != Some(&token)
    }

    fn remember(&self, name: &str, token: Hashed) {
        self.given().insert(name.to_owned(), token);
    }

    fn given(&self) -> MutexGuard<'_, HashMap<String, Hashed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
