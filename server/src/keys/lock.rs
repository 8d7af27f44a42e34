//! What keeps keys and the server's own secret at rest.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

use super::Error;
use crate::{
    config,
    secret::{Hashed, Secret},
};

/// What keeps private keys at rest: AES-256-GCM under the SHA-256 of `keys.secret`, or nothing.
pub(super) struct Lock {
    own: Option<RandomizedNonceKey>,
    /// Of `keys.secret_before`, which opens and never closes.
    before: Option<RandomizedNonceKey>,
}

/// Marks what is encrypted. A plain key begins with the 0x30 of DER, and that 32 random bytes begin like this is as likely
/// as guessing them in part.
const SEALED: &[u8] = b"saoma:sealed:1:";

/// Whether this is what a lock with a secret wrote down.
pub(super) fn is_sealed(stored: &[u8]) -> bool {
    stored.starts_with(SEALED)
}

impl Lock {
    /// The lock that `keys.secret` turns; no secret: an open one.
    pub(super) fn new(keys: &config::Keys) -> Result<Self, Error> {
        let turned_by = |secret: &Secret| {
            let key = Hashed::of(secret.reveal());
            let key = RandomizedNonceKey::new(&AES_256_GCM, key.as_bytes());
            (!secret.is_empty()).then_some(key).transpose()
        };
        let crypto = |_| Error::Crypto("use keys.secret");
        let own = turned_by(&keys.secret).map_err(crypto)?;
        Ok(Self { own, before: turned_by(&keys.secret_before).map_err(crypto)? })
    }

    /// Whether this is written down as this lock does it now.
    pub(super) fn keeps(&self, name: &str, stored: &[u8]) -> bool {
        match &self.own {
            Some(key) => unlock(key, name, stored).is_some(),
            None => true,
        }
    }

    /// What is written down under this name, and opens under no other.
    pub(super) fn close(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let Some(key) = &self.own else { return Ok(plain.to_vec()) };
        let mut sealed = plain.to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(name.as_bytes()), &mut sealed)
            .map_err(|_| Error::Crypto("encrypt a key"))?;
        Ok([SEALED, nonce.as_ref(), &sealed].concat())
    }

    /// What was written down under this name.
    pub(super) fn open(&self, name: &str, stored: &[u8]) -> Result<Vec<u8>, Error> {
        if !is_sealed(stored) {
            return Ok(stored.to_vec());
        }
        let mut keys = self.own.iter().chain(&self.before);
        keys.find_map(|key| unlock(key, name, stored)).ok_or(Error::Locked)
    }
}

/// What is sealed under this name, if this key has sealed it.
fn unlock(key: &RandomizedNonceKey, name: &str, stored: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = stored.strip_prefix(SEALED)?.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut sealed = sealed.to_vec();
    let plain = key.open_in_place(nonce, Aad::from(name.as_bytes()), &mut sealed).ok()?;
    Some(plain.to_vec())
}
