//! WeChat's access_token, shared: one node at a time fetches it for all.
//!
//! It is the one secret that stands in Redis as it is: it must be used. It lives two hours at most, and whoever reads it can
//! do what the mini program's server can. Keep Redis to yourself.

use std::time::Duration;

use async_trait::async_trait;
use redis::Script;
use wechat::{
    AccessToken,
    token::{Lease, StoreError, StoredToken, TokenStore},
};

use super::{Error, Link, millis, within};
use crate::secret::Hashed;

pub(super) struct Shared {
    link: Link,
    read: Script,
    lease: Script,
    put: Script,
    release: Script,
    forget: Script,
}

impl Shared {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link,
            read: Script::new(include_str!("token_read.lua")),
            lease: Script::new(include_str!("token_lease.lua")),
            put: Script::new(include_str!("token_put.lua")),
            release: Script::new(include_str!("token_release.lua")),
            forget: Script::new(include_str!("token_forget.lua")),
        }
    }

    async fn run<T: redis::FromRedisValue>(
        &self,
        script: &Script,
        key: &str,
        args: &[&str],
    ) -> Result<T, StoreError> {
        let name = format!("saoma:{{token {}}}", hex::encode(Hashed::of(key).as_bytes()));
        let mut call = script.key(&name);
        call.key(format!("{name}:lease"));
        for arg in args {
            call.arg(*arg);
        }
        let answer = within(call.invoke_async(&mut self.link.clone())).await;
        answer.map_err(|Error(why)| StoreError(why))
    }
}

#[async_trait]
impl TokenStore for Shared {
    async fn read(&self, key: &str) -> Result<Option<StoredToken>, StoreError> {
        let found: Option<(String, u64, i64)> = self.run(&self.read, key, &[]).await?;
        let stored = |(token, life, left): (String, u64, i64)| StoredToken {
            token: AccessToken::new(token),
            life: Duration::from_millis(life),
            left: Duration::from_millis(u64::try_from(left).unwrap_or(0)),
        };
        Ok(found.map(stored))
    }

    async fn lease(&self, key: &str, life: Duration) -> Result<Option<Lease>, StoreError> {
        let lease: Option<String> =
            self.run(&self.lease, key, &[&millis(life).to_string()]).await?;
        Ok(lease.map(Lease))
    }

    async fn put(&self, key: &str, lease: Lease, token: StoredToken) -> Result<bool, StoreError> {
        let [life, left] = [token.life, token.left].map(|span| millis(span).to_string());
        self.run(&self.put, key, &[&lease.0, token.token.expose(), &life, &left]).await
    }

    async fn release(&self, key: &str, lease: Lease) -> Result<(), StoreError> {
        self.run(&self.release, key, &[&lease.0]).await
    }

    async fn forget(&self, key: &str, token: &AccessToken) -> Result<(), StoreError> {
        self.run(&self.forget, key, &[token.expose()]).await
    }
}
