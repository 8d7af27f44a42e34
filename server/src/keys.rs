//! Signing keys: made, published before they sign and after, rotated by the clock, kept encrypted, and used to sign.
//!
//! Besides them the server has one secret of its own, from which what must be the same at every claim is derived.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::{digest, hmac};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    audit, config,
    secret::{Hashed, Secret},
    site::Alg,
    store::{self, Seal, SharedStore, StoredKey},
    world::{Timestamp, World},
};

mod lock;
mod pair;

use lock::Lock;
use pair::Pair;

/// How long a key is published after another has taken its place: longer than anything signed with it is good for, and
/// than anybody keeps an id_token to sign out with in a day's work.
const FAREWELL: Duration = Duration::from_secs(24 * 3600);

/// The name of the server's own secret. A key's name is longer.
const DERIVE: &str = "derive";

/// The keys of a running server.
pub struct Keys {
    ring: RwLock<Arc<Ring>>,
    lock: Lock,
    derive: hmac::Key,
    /// How long each key signs.
    term: Duration,
}

/// Every key that is published, by its name.
type Ring = BTreeMap<String, Key>;

struct Key {
    alg: Alg,
    signs_from: Timestamp,
    pair: Pair,
}

/// Which part a key plays at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Published, so that everybody knows it when its time comes.
    Next,
    /// Signs.
    Current,
    /// Signs no more, and is published as long as something signed with it may be shown.
    Previous,
    /// Over.
    Retired,
}

/// Which part a key plays that signs from `from`, among those of its kind that sign from `others`.
///
/// The latest whose time has come signs. The one before it stays published, and so does every one that was replaced
/// less than a day ago: a key may be rotated twice in a minute, and what the first signed must still verify.
pub fn role(from: Timestamp, others: &[Timestamp], now: Timestamp) -> Role {
    if from > now {
        return Role::Next;
    }
    let mut begun: Vec<Timestamp> = others.iter().copied().filter(|at| *at <= now).collect();
    begun.sort_unstable();
    let mut later = begun.into_iter().filter(|at| *at > from);
    match (later.next(), later.next()) {
        (None, _) => Role::Current,
        (Some(_), None) => Role::Previous,
        (Some(replaced), Some(_)) if now.since(replaced) < FAREWELL => Role::Previous,
        _ => Role::Retired,
    }
}

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not give them.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// They are encrypted with another secret, or with one where none is set.
    #[error(
        "the keys in the database cannot be decrypted: set keys.secret (SAOMA_KEYS__SECRET) to the text they were encrypted with, or keys.secret_before if keys.secret is to be another one from now on; if that text is lost, see `saoma keys replace-locked`"
    )]
    Locked,
    /// A library refused.
    #[error("cannot {0}")]
    Crypto(&'static str),
}

impl Keys {
    /// Loads the keys from the store, making what is not there yet, and encrypting what lay plain before there was a secret,
    /// or was encrypted with the one before it.
    ///
    /// # Errors
    /// If the store does not answer, or holds keys that the settings' secrets do not open.
    pub async fn load(
        store: &SharedStore,
        settings: &config::Keys,
        world: &World,
    ) -> Result<Self, Error> {
        let lock = Lock::new(settings)?;
        for alg in [Alg::RS256, Alg::ES256] {
            if !store.keys().await?.iter().any(|key| key.alg == alg) {
                let now = world.now();
                store.put_key(make(&lock, alg, now, world)?).await?;
            }
        }
        seal(&lock, store).await?;
        let derive = match store.server_secret(DERIVE).await? {
            Some(kept) => kept,
            None => {
                let fresh = lock.close(DERIVE, &world.bytes::<32>())?;
                store.make_server_secret(DERIVE, fresh).await?
            }
        };
        let derive = lock.open(DERIVE, &derive)?;
        let keys = Self {
            ring: RwLock::default(),
            lock,
            derive: hmac::Key::new(hmac::HMAC_SHA256, &derive),
            term: settings.rotate,
        };
        keys.refresh(store, world).await?;
        Ok(keys)
    }

    /// Whether the settings' secrets open what the store holds, and which of it `keys.secret_before` alone; changes nothing.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn check(store: &SharedStore, settings: &config::Keys) -> Result<Vec<String>, Error> {
        let lock = Lock::new(settings)?;
        let mut before = Vec::new();
        for (name, kept) in stored(store).await? {
            lock.open(&name, &kept)?;
            if lock::is_sealed(&kept) && !lock.keeps(&name, &kept) {
                before.push(name);
            }
        }
        Ok(before)
    }

    /// Gives up what nobody can open any more, and says what that was: signing keys go, and others are made at the next
    /// start; the server's own secret is drawn anew. What can be opened stays.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn replace_locked(
        store: &SharedStore,
        settings: &config::Keys,
        world: &World,
    ) -> Result<Vec<String>, Error> {
        let lock = Lock::new(settings)?;
        let kept = stored(store).await?.into_iter();
        let locked: Vec<_> = kept.filter(|(name, kept)| lock.open(name, kept).is_err()).collect();
        if locked.is_empty() {
            return Ok(Vec::new());
        }
        // Audited before it holds: what cannot be written down does not happen.
        let entry = audit::Entry::of_operator(world.now(), "keys.replaced", audit::COMMAND);
        store.audit(entry).await?;
        let mut given_up = Vec::new();
        for (name, was) in locked {
            given_up.push(name.clone());
            if name == DERIVE {
                let sealed = lock.close(DERIVE, &world.bytes::<32>())?;
                store.seal(vec![Seal { name, was, sealed }]).await?;
            } else {
                store.drop_key(&name).await?;
            }
        }
        Ok(given_up)
    }

    /// Takes over what the store holds now.
    ///
    /// # Errors
    /// If the store does not answer, or holds keys that cannot be opened; what was known stays.
    pub async fn refresh(&self, store: &SharedStore, world: &World) -> Result<(), Error> {
        let stored = store.keys().await?;
        let known = self.ring();
        let mut ring = Ring::new();
        for key in &stored {
            if role_of(key, &stored, world.now()) == Role::Retired {
                continue;
            }
            let pair = match known.get(&key.kid) {
                Some(known) => known.pair.clone(),
                None => Pair::read(&key.kid, key.alg, &self.lock.open(&key.kid, &key.private)?)?,
            };
            ring.insert(key.kid.clone(), Key { alg: key.alg, signs_from: key.signs_from, pair });
        }
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
        Ok(())
    }

    /// Makes the keys that are to sign next where there are none yet, and forgets those that are over. Of two nodes that do
    /// so at once one is heard: both name the same moment, and the store keeps one key for each.
    ///
    /// # Errors
    /// If the store does not answer or a key cannot be made.
    pub async fn tend(&self, store: &SharedStore, world: &World) -> Result<(), Error> {
        // A node that has not heard of a new secret yet may have made a key with the one before it.
        seal(&self.lock, store).await?;
        let stored = store.keys().await?;
        let now = world.now();
        for alg in [Alg::RS256, Alg::ES256] {
            let last = latest(&stored, alg, now + self.term + self.term).unwrap_or(now);
            if last <= now {
                // After a long stop the term may be over already: the next key is published a while before it signs.
                let from = (last + self.term).max(now + FAREWELL.min(self.term));
                store.put_key(make(&self.lock, alg, from, world)?).await?;
            }
        }
        for key in &stored {
            if role_of(key, &stored, now) == Role::Retired {
                store.drop_key(&key.kid).await?;
            }
        }
        Ok(())
    }

    /// Lets the next keys sign from now on, by an operator's word; what the present ones signed goes on being verified.
    ///
    /// # Errors
    /// If the store does not answer or a key cannot be made.
    pub async fn rotate(&self, store: &SharedStore, world: &World, by: &str) -> Result<(), Error> {
        self.tend(store, world).await?;
        let now = world.now();
        // Audited before it holds: what cannot be written down does not happen.
        store.audit(audit::Entry::of_operator(now, "keys.rotated", by)).await?;
        let stored = store.keys().await?;
        for key in stored.iter().filter(|key| key.signs_from > now) {
            // Two keys cannot begin in the same moment, even where one was made in this one.
            let begun =
                stored.iter().filter(|other| other.alg == key.alg && other.signs_from <= now);
            let last = begun.map(|other| other.signs_from + Duration::from_millis(1)).max();
            let signs_from = last.map_or(now, |last| last.max(now));
            store.put_key(StoredKey { signs_from, ..key.clone() }).await?;
        }
        self.tend(store, world).await?;
        self.refresh(store, world).await
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is published at `/oauth2/jwks` (RFC 7517).
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.ring().values().map(|key| &key.pair.jwk).collect::<Vec<_>>() })
    }

    /// Signs claims as a JWT of type `typ` with the key for `alg` whose time it is. Where the clock was set back behind all of
    /// them it is the first one's: everybody knows it, and who signs in now does not wait until the clock has caught up.
    ///
    /// # Errors
    /// If there is no such key, or the library refuses.
    pub fn sign(
        &self,
        alg: Alg,
        typ: &str,
        claims: &impl Serialize,
        now: Timestamp,
    ) -> Result<String, Error> {
        let ring = self.ring();
        let of_alg = || ring.iter().filter(|(_, key)| key.alg == alg);
        let begun = of_alg().filter(|(_, key)| key.signs_from <= now);
        let current = begun.max_by_key(|(_, key)| key.signs_from);
        let current = current.or_else(|| of_alg().min_by_key(|(_, key)| key.signs_from));
        let (kid, key) = current.ok_or(Error::Crypto("find a signing key"))?;
        let typ = Some(typ.to_owned());
        let header = Header { kid: Some(kid.clone()), typ, ..Header::new(algorithm(alg)) };
        let signed = format!("{}.{}", part(&header)?, part(claims)?);
        let signature = key.pair.private.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The claims of a JWT of type `typ` that these keys signed. The algorithm is the key's, whatever the token says of it:
    /// `none` and HS256 verify nothing (threats.md row 55). Whether it has expired is for the caller to ask.
    pub fn verify(&self, token: &str, typ: &str) -> Option<Map<String, Value>> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let is_typ = header.typ.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(typ));
        let ring = self.ring();
        let key = ring.get(header.kid.as_deref().filter(|_| is_typ)?)?;
        let mut validation = Validation::new(algorithm(key.alg));
        (validation.validate_exp, validation.validate_aud) = (false, false);
        validation.required_spec_claims.clear();
        jsonwebtoken::decode(token, &key.pair.public, &validation).ok().map(|read| read.claims)
    }

    /// A secret that is the same whenever it is asked for, for one ticket and one purpose: a claim may be repeated though
    /// only hashes are kept.
    pub fn derive(&self, purpose: &str, ticket: Hashed) -> Secret {
        self.derived(purpose, ticket.as_bytes())
    }

    /// The same for a secret: what follows a refresh token cannot be told from what the store keeps of it.
    pub fn follow(&self, purpose: &str, secret: &Secret) -> Secret {
        self.derived(purpose, secret.reveal().as_bytes())
    }

    fn derived(&self, purpose: &str, from: &[u8]) -> Secret {
        let mut context = hmac::Context::with_key(&self.derive);
        context.update(purpose.as_bytes());
        context.update(&[0]);
        context.update(from);
        Secret::from(URL_SAFE_NO_PAD.encode(context.sign()))
    }
}

/// Draws from the library's own randomness for the first time, which takes it some 50 ms of gathering jitter: aside, neither
/// the start nor the first who signs in waits for it.
pub fn warm_up() {
    // If it has none, signing says so.
    let _ = aws_lc_rs::rand::fill(&mut [0; 32]);
}

/// What is stored plain, by name.
///
/// # Errors
/// If the store does not answer.
pub async fn plain(store: &SharedStore) -> Result<Vec<(String, Vec<u8>)>, store::Error> {
    let kept = stored(store).await?.into_iter();
    Ok(kept.filter(|(_, kept)| !lock::is_sealed(kept)).collect())
}

/// Encrypts what lies plain where there is a secret: who sets one later means what is there already, too. The same for what
/// the secret before it encrypted. Of two nodes that do so at once one is heard.
async fn seal(lock: &Lock, store: &SharedStore) -> Result<(), Error> {
    let mut all = Vec::new();
    for (name, was) in stored(store).await? {
        if lock.keeps(&name, &was) {
            continue;
        }
        // A node that still runs with the secret before goes on with what it has read; at a start who needs it says so.
        if let Ok(plain) = lock.open(&name, &was) {
            let sealed = lock.close(&name, &plain)?;
            all.push(Seal { name, was, sealed });
        }
    }
    if !all.is_empty() {
        store.seal(all).await?;
    }
    Ok(())
}

/// Everything that is locked, as it is stored, by name: signing keys, and what codes are derived from.
async fn stored(store: &SharedStore) -> Result<Vec<(String, Vec<u8>)>, store::Error> {
    let keys = store.keys().await?.into_iter().map(|key| (key.kid, key.private));
    let derive = store.server_secret(DERIVE).await?.map(|secret| (DERIVE.to_owned(), secret));
    Ok(keys.chain(derive).collect())
}

/// Which part a stored key plays among all that are stored.
pub fn role_of(key: &StoredKey, all: &[StoredKey], now: Timestamp) -> Role {
    let of_alg = all.iter().filter(|other| other.alg == key.alg);
    role(key.signs_from, &of_alg.map(|other| other.signs_from).collect::<Vec<_>>(), now)
}

/// When the last of a kind begins to sign, of those that begin by `latest`. What begins later was made while the clock was
/// ahead: were it waited for, keys would be rotated no more until then. It stays published, and signs when its time comes.
fn latest(all: &[StoredKey], alg: Alg, latest: Timestamp) -> Option<Timestamp> {
    let of_alg = all.iter().filter(|key| key.alg == alg).map(|key| key.signs_from);
    of_alg.filter(|from| *from <= latest).max()
}

fn make(lock: &Lock, alg: Alg, signs_from: Timestamp, world: &World) -> Result<StoredKey, Error> {
    let kid = world.base62(12);
    let private = lock.close(&kid, &pair::generate(alg)?)?;
    Ok(StoredKey { kid, alg, made: world.now(), signs_from, private })
}

/// One part of a JWS in its compact form (RFC 7515 section 3.1).
fn part(value: &impl Serialize) -> Result<String, Error> {
    let json = serde_json::to_vec(value).map_err(|_| Error::Crypto("write a JWT"))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

fn algorithm(alg: Alg) -> Algorithm {
    match alg {
        Alg::RS256 => Algorithm::RS256,
        Alg::ES256 => Algorithm::ES256,
    }
}

/// The left half of a token's SHA-256, as `at_hash` (OIDC Core 3.1.3.6).
pub fn at_hash(token: &str) -> String {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_ref().get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_millis(hours * 3_600_000)
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_after() {
        let all = [at(0), at(100), at(200)];
        let roles = |now| all.map(|from| role(from, &all, at(now)));
        assert_eq!(roles(50), [Role::Current, Role::Next, Role::Next]);
        assert_eq!(roles(100), [Role::Previous, Role::Current, Role::Next]);
        assert_eq!(roles(199), [Role::Previous, Role::Current, Role::Next]);
        assert_eq!(roles(200), [Role::Retired, Role::Previous, Role::Current]);
    }

    #[test]
    fn what_was_signed_a_moment_before_two_rotations_still_verifies() {
        let all = [at(0), at(100), at(101)];
        assert_eq!(role(at(0), &all, at(102)), Role::Previous);
        assert_eq!(role(at(0), &all, at(100 + 24)), Role::Retired);
    }

    #[test]
    fn a_key_that_was_made_while_the_clock_was_ahead_is_not_waited_for() {
        let key = |alg, hours| StoredKey {
            kid: format!("{hours}"),
            alg,
            made: at(0),
            signs_from: at(hours),
            private: Vec::new(),
        };
        let all = [key(Alg::RS256, 100), key(Alg::RS256, 9_000), key(Alg::ES256, 150)];
        assert_eq!(latest(&all, Alg::RS256, at(300)), Some(at(100)));
        assert_eq!(latest(&all, Alg::RS256, at(9_100)), Some(at(9_000)), "its time has come");
        assert_eq!(latest(&all[2..], Alg::ES256, at(100)), None, "the clock is behind all of them");
    }
}
