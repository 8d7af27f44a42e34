//! What keeps keys and the server's own secret at rest.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

use super::Error;
use crate::secret::{Hashed, Secret};

/// What keeps private keys at rest: AES-256-GCM under the SHA-256 of `keys.secret`, or nothing.
pub(super) struct Lock(Option<RandomizedNonceKey>);

/// Marks what is encrypted. A plain key begins with the 0x30 of DER, and that 32 random bytes begin like this is as likely
/// as guessing them in part.
const SEALED: &[u8] = b"saoma:sealed:1:";

/// Whether this is what a lock with a secret wrote down.
pub(super) fn is_sealed(stored: &[u8]) -> bool {
    stored.starts_with(SEALED)
}

impl Lock {
    /// The lock that `keys.secret` turns; no secret: an open one.
    pub(super) fn new(secret: &Secret) -> Result<Self, Error> {
        if secret.is_empty() {
            return Ok(Self(None));
        }
        let key = RandomizedNonceKey::new(&AES_256_GCM, Hashed::of(secret.reveal()).as_bytes());
        key.map(|key| Self(Some(key))).map_err(|_| Error::Crypto("use keys.secret"))
    }

    /// Whether there is a secret.
    pub(super) fn is_shut(&self) -> bool {
        self.0.is_some()
    }

    /// What is written down under this name, and opens under no other.
    pub(super) fn close(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let Some(key) = &self.0 else { return Ok(plain.to_vec()) };
        let mut sealed = plain.to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(name.as_bytes()), &mut sealed)
            .map_err(|_| Error::Crypto("encrypt a key"))?;
        Ok([SEALED, nonce.as_ref(), &sealed].concat())
    }

    /// What was written down under this name.
    pub(super) fn open(&self, name: &str, stored: &[u8]) -> Result<Vec<u8>, Error> {
        let locked = || Error::Locked;
        let Some(rest) = stored.strip_prefix(SEALED) else {
            return Ok(stored.to_vec());
        };
        let key = self.0.as_ref().ok_or_else(locked)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or_else(locked)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| locked())?;
        let mut sealed = sealed.to_vec();
        let name = Aad::from(name.as_bytes());
        let plain = key.open_in_place(nonce, name, &mut sealed).map_err(|_| locked())?;
        Ok(plain.to_vec())
    }
}
