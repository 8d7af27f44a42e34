//! Where the token is kept: in this process alone, or where several nodes share it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::secret::AccessToken;

/// Keeps tokens for all nodes that share it, and lets one of them at a time fetch a new one.
///
/// A `key` names one account's token at one endpoint; the plain and the stable token of an account
/// are two. Every method may be cut short by a timeout and must then have either happened or not.
/// What an implementation has to keep to is written as a test in `token::contract`.
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// The token under `key`, if there is one whose life is not over.
    async fn read(&self, key: &str) -> Result<Option<StoredToken>, StoreError>;

    /// Asks to be the one that fetches. `None`: another holds the lease. A lease ends by itself
    /// after `life`, so that a node that dies holds nobody up for longer.
    async fn lease(&self, key: &str, life: Duration) -> Result<Option<Lease>, StoreError>;

    /// Stores a token for as long as it lives and gives the lease back. False, and nothing is
    /// stored, when the lease is no longer ours: another node may have fetched since.
    async fn put(&self, key: &str, lease: Lease, token: StoredToken) -> Result<bool, StoreError>;

    /// Gives the lease back without a token, if it is still ours.
    async fn release(&self, key: &str, lease: Lease) -> Result<(), StoreError>;

    /// Drops the token under `key`, but only if it is this one.
    async fn forget(&self, key: &str, token: &AccessToken) -> Result<(), StoreError>;
}

/// A token as it is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredToken {
    /// The token.
    pub token: AccessToken,
    /// How long it was good for when it was fetched.
    pub life: Duration,
    /// How long it is good for from now on.
    pub left: Duration,
}

/// The right to fetch, for a while. The text tells one holder from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease(pub String);

/// A store that could not do what it was asked to. The text is for the operator and must hold no
/// token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// Keeps tokens in this process. Clients that share one share their tokens.
#[derive(Default)]
pub struct MemoryStore(Mutex<HashMap<String, Slot>>);

#[derive(Default)]
struct Slot {
    token: Option<(AccessToken, Duration, Instant)>,
    lease: Option<(u64, Instant)>,
    leases: u64,
}

impl Slot {
    fn holds(&self, lease: &Lease, now: Instant) -> bool {
        self.lease.is_some_and(|(id, until)| now < until && id.to_string() == lease.0)
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TokenStore for MemoryStore {
    async fn read(&self, key: &str) -> Result<Option<StoredToken>, StoreError> {
        let now = Instant::now();
        let slots = self.slots();
        let held = slots.get(key).and_then(|slot| slot.token.as_ref());
        Ok(held.filter(|(_, _, until)| now < *until).map(|(token, life, until)| StoredToken {
            token: token.clone(),
            life: *life,
            left: *until - now,
        }))
    }

    async fn lease(&self, key: &str, life: Duration) -> Result<Option<Lease>, StoreError> {
        let now = Instant::now();
        let mut slots = self.slots();
        let slot = slots.entry(key.to_owned()).or_default();
        if slot.lease.is_some_and(|(_, until)| now < until) {
            return Ok(None);
        }
        slot.leases += 1;
        slot.lease = Some((slot.leases, now + life));
        Ok(Some(Lease(slot.leases.to_string())))
    }

    async fn put(&self, key: &str, lease: Lease, token: StoredToken) -> Result<bool, StoreError> {
        let now = Instant::now();
        let mut slots = self.slots();
        let slot = slots.entry(key.to_owned()).or_default();
        let ours = slot.holds(&lease, now);
        if ours {
            slot.token = Some((token.token, token.life, now + token.left));
            slot.lease = None;
        }
        Ok(ours)
    }

    async fn release(&self, key: &str, lease: Lease) -> Result<(), StoreError> {
        let now = Instant::now();
        if let Some(slot) = self.slots().get_mut(key).filter(|slot| slot.holds(&lease, now)) {
            slot.lease = None;
        }
        Ok(())
    }

    async fn forget(&self, key: &str, token: &AccessToken) -> Result<(), StoreError> {
        if let Some(slot) = self.slots().get_mut(key) {
            slot.token = slot.token.take().filter(|(held, _, _)| held != token);
        }
        Ok(())
    }
}
