//! What must not be seen: tokens, keys and codes.
//!
//! A secret is made, handed out once and forgotten; what is kept of it is a hash.
//! Neither shows itself in `Debug`, and hashes are compared in constant time.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use aws_lc_rs::{constant_time, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::world::World;

/// A secret text: 256 random bits as base64url where we make it, anything where others do.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Secret(String);

impl Secret {
    /// 256 fresh random bits.
    pub fn new(world: &World) -> Self {
        Self(URL_SAFE_NO_PAD.encode(world.bytes::<32>()))
    }

    /// The text itself, for the one answer or header that carries it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hashed(&self) -> Hashed {
        Hashed::of(&self.0)
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The SHA-256 of a secret of 128 bits or more: enough to know it again, of no use to who reads it.
#[derive(Clone, Copy)]
pub struct Hashed([u8; 32]);

impl Hashed {
    /// The hash of a secret text.
    pub fn of(secret: impl AsRef<[u8]>) -> Self {
        let digest = digest::digest(&digest::SHA256, secret.as_ref());
        let mut hash = [0; 32];
        hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self(hash)
    }

    /// The bytes, as the stores keep them.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A hash read back from a store.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// In constant time: how far two hashes agree must not be measured from outside.
impl PartialEq for Hashed {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Hashed {}

impl Hash for Hashed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// Eight hex digits tell log lines apart and lead back to nothing.
impl fmt::Debug for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text where people may read it, the bare bytes elsewhere.
impl Serialize for Hashed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Hashed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 32]>::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(D::Error::custom)?;
        Ok(Self(bytes.try_into().map_err(|_| D::Error::custom("a hash has 32 bytes"))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_secret_nor_its_hash_shows_itself() {
        let secret = Secret::from("correct horse battery staple".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(format!("{:?}", secret.hashed()), "c4bbcb1f");
        assert_eq!(secret.hashed(), Hashed::of("correct horse battery staple"));
        assert_ne!(secret.hashed(), Hashed::of("correct horse battery stable"));
    }

    #[test]
    fn a_hash_survives_json() {
        let hash = Hashed::of("anything");
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<Hashed>(&json).unwrap(), hash);
    }
}
