//! One access token for everybody: fetched by one flight, shared by all who wait, refreshed before
//! it ends.
//!
//! The flight is a task of its own. Whoever waits for it may go away at any moment; the flight
//! lands all the same, and so the others are never left waiting. Nodes share the token through a
//! [`TokenStore`]: one takes the lease and fetches, the others wait and read.

mod state;
mod store;

#[cfg(feature = "contract")]
pub mod contract;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::error::{Api, Error, Unreachable};
use crate::secret::AccessToken;
use state::{Held, State};
pub use store::{Lease, MemoryStore, StoreError, StoredToken, TokenStore};

/// Longer than a fetch may take, so that nobody loses the lease while fetching.
const LEASE: Duration = Duration::from_secs(12);
const STORE_TIME: Duration = Duration::from_secs(2);
/// Long enough to outlive another node's lease and then fetch.
const FLIGHT_TIME: Duration = Duration::from_secs(30);
const FIRST_LOOK: Duration = Duration::from_millis(50);
const SLOWEST_LOOK: Duration = Duration::from_millis(500);

/// A future that may be sent and stored.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What WeChat gave for our credentials.
pub(crate) struct Fetched {
    pub(crate) token: AccessToken,
    pub(crate) expires_in: Duration,
}

/// Fetches a token from WeChat, within ten seconds.
pub(crate) type Fetch = Box<dyn Fn() -> Boxed<Result<Fetched, Error>> + Send + Sync>;
/// A random share between 0 and 1.
pub(crate) type Dice = Box<dyn Fn() -> f64 + Send + Sync>;

/// Whether there is a token, for a readiness check.
#[derive(Clone, Debug, Default)]
pub struct TokenStatus {
    /// There is a token that WeChat should accept now.
    pub present: bool,
    /// How long ago it was fetched, by whichever node.
    pub age: Option<Duration>,
    /// How long it is still good for.
    pub left: Option<Duration>,
    /// What went wrong last, and how long ago, if nothing has gone right since.
    pub last_error: Option<(Duration, Error)>,
}

/// The token of one account at one endpoint.
pub(crate) struct Tokens {
    key: String,
    store: Arc<dyn TokenStore>,
    fetch: Fetch,
    dice: Dice,
    /// [`Api::StableToken`] or [`Api::Token`].
    api: Api,
    state: Mutex<State>,
}

/// How a flight ended, once it has: with a token, with the one in hand still the best, or badly.
type Landed = Option<Result<Option<Held>, Error>>;

impl Tokens {
    pub(crate) fn new(
        key: String,
        store: Arc<dyn TokenStore>,
        api: Api,
        fetch: Fetch,
        dice: Dice,
    ) -> Arc<Self> {
        let state = Mutex::new(State::default());
        Arc::new(Self { key, store, fetch, dice, api, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn api(&self) -> Api {
        self.api
    }

    pub(crate) fn status(&self) -> TokenStatus {
        self.state().status(Instant::now())
    }

    /// A token that should work. It comes at once when there is one, though a refresh may then be
    /// under way behind it. Dropping this future harms nobody.
    pub(crate) async fn get(self: &Arc<Self>) -> Result<AccessToken, Error> {
        loop {
            let mut flight = {
                let state = self.state();
                let now = Instant::now();
                if let Some(held) = state.usable(now) {
                    let (token, due) = (held.token.clone(), now >= held.refresh_at);
                    if due && state.flight().is_none() && state.paused(now).is_ok() {
                        self.take_off(state);
                    }
                    return Ok(token);
                }
                match state.flight() {
                    Some(flight) => flight,
                    None => {
                        state.paused(now)?;
                        self.take_off(state)
                    }
                }
            };
            // A flight that kept what was in hand has nothing for us who had none: start another.
            // One that never landed left a pause behind.
            let landed = flight.wait_for(Option::is_some).await.ok().and_then(|l| l.clone());
            match landed {
                Some(Ok(Some(held))) => return Ok(held.token),
                Some(Err(error)) => return Err(error),
                Some(Ok(None)) | None => {}
            }
        }
    }

    /// WeChat refused this token. It is dropped only if it is still the one in use: another caller
    /// may have replaced it already.
    pub(crate) fn reject(&self, token: &AccessToken, error: &Error) {
        let dice = (self.dice)();
        self.state().reject(token, error, Instant::now(), dice);
    }

    /// WeChat accepted this token.
    pub(crate) fn accept(&self, token: &AccessToken) {
        self.state().accept(token);
    }

    /// The state is let go before the task is made: a runtime that is shutting down drops it at once, and with that it lands.
    fn take_off(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> watch::Receiver<Landed> {
        let (landed, flight) = watch::channel(None);
        state.took_off(flight.clone());
        drop(state);
        let landing = Landing { tokens: Arc::clone(self), landed };
        tokio::spawn(async move {
            let outcome = landing.tokens.refresh().await;
            landing.land(outcome);
        });
        flight
    }

    /// Reads the shared token or fetches a new one, so that only one node fetches.
    async fn refresh(&self) -> Result<Option<Held>, Error> {
        let (current, rejected) = {
            let state = self.state();
            (state.usable(Instant::now()).cloned(), state.rejected().cloned())
        };
        let work = self.read_or_fetch(current.as_ref(), rejected.as_ref());
        timeout(FLIGHT_TIME, work).await.unwrap_or_else(|_| {
            Err(StoreError("another node held the lease but brought no token".to_owned()).into())
        })
    }

    async fn read_or_fetch(
        &self,
        current: Option<&Held>,
        rejected: Option<&AccessToken>,
    ) -> Result<Option<Held>, Error> {
        if let Some(rejected) = rejected {
            let forgotten = self.ask(self.store.forget(&self.key, rejected)).await;
            self.or_without(forgotten)?;
        }
        let mut pause = FIRST_LOOK;
        loop {
            if let Some(better) = self.look(current, rejected).await? {
                return Ok(Some(better));
            }
            let lease = self.ask(self.store.lease(&self.key, LEASE)).await;
            match self.or_without(lease)? {
                // The store failed and is done without.
                None => return self.fetch().await.map(|(held, _)| Some(held)),
                Some(Some(lease)) => {
                    return self.fetch_under(lease, current, rejected).await.map(Some);
                }
                // Another node is fetching, and what we hold does for now.
                Some(None) if current.is_some() => return Ok(None),
                Some(None) => {}
            }
            sleep(pause.mul_f64(0.5 + (self.dice)())).await;
            pause = (pause * 2).min(SLOWEST_LOOK);
        }
    }

    /// The store's token, if it is better than the one we hold.
    async fn look(
        &self,
        current: Option<&Held>,
        rejected: Option<&AccessToken>,
    ) -> Result<Option<Held>, Error> {
        let read = self.ask(self.store.read(&self.key)).await;
        let stored = self.or_without(read)?.flatten();
        let now = Instant::now();
        Ok(stored
            .filter(|stored| Some(&stored.token) != rejected)
            .filter(|stored| current.is_none_or(|held| held.token != stored.token))
            .map(|stored| Held::shared(stored, now, (self.dice)()))
            .filter(|held| held.is_usable(now) && now < held.refresh_at))
    }

    async fn fetch_under(
        &self,
        lease: Lease,
        current: Option<&Held>,
        rejected: Option<&AccessToken>,
    ) -> Result<Held, Error> {
        // Somebody may have stored one between our look and our lease.
        let outcome = match self.look(current, rejected).await {
            Ok(Some(better)) => Ok(better),
            Err(error) => Err(error),
            Ok(None) => match self.fetch().await {
                Ok((held, stored)) => {
                    let put = self.ask(self.store.put(&self.key, lease, stored)).await;
                    if let Err(error) = put {
                        tracing::warn!(name: "wechat.token_unshared", %error, "the access token was fetched, but could not be shared");
                    }
                    return Ok(held);
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = self.ask(self.store.release(&self.key, lease)).await {
            tracing::warn!(name: "wechat.lease_kept", %error, "the lease on the access token could not be given back");
        }
        outcome
    }

    async fn fetch(&self) -> Result<(Held, StoredToken), Error> {
        // Its life counts from before the call: WeChat's clock has not waited for the answer.
        let asked = Instant::now();
        let Fetched { token, expires_in } = (self.fetch)().await?;
        let left = (asked + expires_in).saturating_duration_since(Instant::now());
        let stored = StoredToken { token: token.clone(), life: expires_in, left };
        tracing::info!(name: "wechat.token_fetched", life_s = expires_in.as_secs(), "a fresh access token");
        Ok((Held::fresh(token, expires_in, asked, (self.dice)()), stored))
    }

    /// Asks the store, which may not take forever.
    async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        timeout(STORE_TIME, question)
            .await
            .unwrap_or_else(|_| Err(StoreError("no answer from the store in time".to_owned())))
    }

    /// `None` where a failing store can be done without: fetching the stable token twice does no
    /// harm, but each fetch of the plain one kills the other nodes' token.
    fn or_without<T>(&self, answer: Result<T, StoreError>) -> Result<Option<T>, Error> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if self.api == Api::Token => Err(error.into()),
            Err(error) => {
                tracing::warn!(name: "wechat.token_alone", %error, "going on without the shared store of access tokens");
                Ok(None)
            }
        }
    }
}

/// Clears the flight away however it ends, a panic or a vanishing runtime included.
struct Landing {
    tokens: Arc<Tokens>,
    landed: watch::Sender<Landed>,
}

impl Landing {
    fn land(&self, outcome: Result<Option<Held>, Error>) {
        let dice = (self.tokens.dice)();
        let mut state = self.tokens.state();
        if let Err(error) = &outcome
            && state.usable(Instant::now()).is_some()
        {
            tracing::warn!(name: "wechat.token_old", %error, "the access token could not be refreshed; the old one is still good");
        }
        state.landed(&outcome, Instant::now(), dice);
        drop(state);
        self.landed.send_replace(Some(outcome));
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if self.landed.borrow().is_none() {
            let (api, why) = (self.tokens.api, Unreachable::Cut);
            let detail = "the task that fetches the token ended before it was done".to_owned();
            let outcome = Err(Error::Unreachable { api, why, detail });
            self.tokens.state().landed(&outcome, Instant::now(), (self.tokens.dice)());
        }
    }
}
