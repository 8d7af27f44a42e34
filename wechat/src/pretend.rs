//! The pretend WeChat: real HTTP that answers as api.weixin.qq.com would, errors and oddities
//! included, so that WeChat code can be tested without an account.
//!
//! It knows nothing of this crate's client. What it does is what the published documents and logs
//! say; where they are silent, the module that decides says so.

mod account;
mod calls;
mod clock;
mod codes;
mod control;
mod http;
mod people;
mod phone;
mod picture;
mod quotas;
mod reply;
mod safety;
mod tokens;
mod trouble;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use calls::Calls;
use clock::Clock;
use codes::Codes;
use people::People;
use quotas::Quotas;
use tokens::Tokens;
use trouble::Troubles;

pub use account::{Account, Ban, Confirmation};
pub use calls::Call;
pub use phone::{Arrival, Closed, How, Phone, Reentry};
pub use quotas::Limit;
pub use trouble::Trouble;

/// What the pretend WeChat starts with.
#[derive(Clone)]
pub struct Settings {
    /// The one AppID that it knows.
    pub appid: String,
    /// Its AppSecret.
    pub secret: String,
    /// The pages of the published version; none: the mini program is not yet published.
    pub pages: Vec<String>,
    /// What the codes hold: the URL of a phone page with `{path}` and `{scene}` in it. None:
    /// `weixin://pretend/{appid}/{path}?scene=..`.
    pub phone_url: Option<String>,
    /// How many characters a token has. WeChat asks to keep room for 512.
    pub token_length: usize,
    /// The hour at which it starts. From then on its time goes by tokio's clock and
    /// [`Pretend::advance`].
    pub started: SystemTime,
    /// Makes everything random the same in every run.
    pub seed: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            appid: "wx0000000000000000".to_owned(),
            secret: "00000000000000000000000000000000".to_owned(),
            pages: vec!["pages/login/login".to_owned()],
            phone_url: None,
            token_length: 160,
            started: SystemTime::now(),
            seed: None,
        }
    }
}

/// A pretend WeChat. Clones are the same one.
#[derive(Clone)]
pub struct Pretend(Arc<Shared>);

struct Shared {
    appid: String,
    secret: String,
    phone_url: Option<String>,
    clock: Clock,
    world: Mutex<World>,
}

/// Everything that changes.
struct World {
    dice: fastrand::Rng,
    tokens: Tokens,
    people: People,
    codes: Codes,
    quotas: Quotas,
    account: Account,
    troubles: Troubles,
    calls: Calls,
}

impl Pretend {
    /// A pretend WeChat that nobody has called yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let Settings { appid, secret, pages, phone_url, token_length, started, seed } = settings;
        let world = World {
            dice: seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed),
            tokens: Tokens::new(token_length),
            people: People::default(),
            codes: Codes::new(pages),
            quotas: Quotas::default(),
            account: Account::default(),
            troubles: Troubles::default(),
            calls: Calls::default(),
        };
        let clock = Clock::new(started);
        Self(Arc::new(Shared { appid, secret, phone_url, clock, world: Mutex::new(world) }))
    }

    /// Everything that it answers: WeChat's paths and its own controls under `/pretend/`.
    pub fn router(&self) -> axum::Router {
        http::router(self.clone())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The AppID that it knows.
    #[must_use]
    pub fn appid(&self) -> &str {
        &self.0.appid
    }

    /// What `wx.login` would give this person now. The same `person` always has the same openid;
    /// with a `unionid` the exchange tells it.
    #[must_use]
    pub fn js_code(&self, person: &str, unionid: Option<&str>) -> String {
        let now = self.0.clock.now();
        let World { people, dice, .. } = &mut *self.world();
        people.js_code(person, unionid, now, dice)
    }

    /// The openid of this person at this mini program.
    #[must_use]
    pub fn openid(&self, person: &str) -> String {
        people::openid(&self.0.appid, person)
    }

    /// The session key that the exchange of this person's last js_code told, if there was one: what
    /// must be found nowhere else.
    #[must_use]
    pub fn session_key(&self, person: &str) -> Option<String> {
        self.world().people.session_key(&self.openid(person))
    }

    /// A phone in this person's hand.
    #[must_use]
    pub fn phone(&self, person: &str) -> Phone {
        Phone::new(self.clone(), person)
    }

    /// Makes the next calls go wrong.
    pub fn trouble(&self, trouble: Trouble) {
        self.world().troubles.add(trouble);
    }

    /// Takes back all trouble that has not come to pass.
    pub fn calm(&self) {
        self.world().troubles = Troubles::default();
    }

    /// All tokens die at once, as when somebody resets the AppSecret.
    pub fn forget_tokens(&self) {
        self.world().tokens.forget();
    }

    /// Replaces the pages of the published version.
    pub fn publish(&self, pages: impl IntoIterator<Item = impl Into<String>>) {
        self.world().codes.publish(pages.into_iter().map(Into::into).collect());
    }

    /// Lets time pass for WeChat alone.
    pub fn advance(&self, time: Duration) {
        self.0.clock.advance(time);
    }

    /// Changes what WeChat thinks of the account.
    pub fn account(&self, change: impl FnOnce(&mut Account)) {
        change(&mut self.world().account);
    }

    /// WeChat judges these persons risky and blocks their js_codes (40226).
    pub fn risky_persons(&self, persons: impl IntoIterator<Item = impl Into<String>>) {
        self.world().people.risky = persons.into_iter().map(Into::into).collect();
    }

    /// So many of the 100,000 codes A and C were used before.
    pub fn codes_used(&self, used: usize) {
        self.world().codes.used_before = used;
    }

    /// Sets how often a path may be called.
    pub fn limit(&self, path: &str, limit: Limit) {
        self.world().quotas.set(path, limit);
    }

    /// Every call seen, oldest first, secrets masked. Only the last ten thousand are kept.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.world().calls.list()
    }

    /// How often a path was called.
    #[must_use]
    pub fn count(&self, path: &str) -> usize {
        self.world().calls.count(path)
    }
}
