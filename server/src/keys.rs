//! Signing keys: made once, kept encrypted, published, and used to sign.
//!
//! Besides them the server has one secret of its own, from which what must be the same at every claim is derived.

use std::collections::BTreeMap;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest,
    encoding::AsDer as _,
    hmac,
    rsa::{KeyPair as RsaKeyPair, KeySize, PublicKeyComponents},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    secret::{Hashed, Secret},
    site::Alg,
    store::{SharedStore, StoredKey},
    world::World,
};

/// The keys of a running server.
pub struct Keys {
    signing: BTreeMap<String, Key>,
    derive: hmac::Key,
}

struct Key {
    alg: Alg,
    private: EncodingKey,
    jwk: Value,
}

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not give them.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// They are encrypted with another secret, or with one where none is set.
    #[error(
        "the signing key {0} cannot be decrypted: set keys.secret (SAOMA_KEYS__SECRET) to the text it was made with"
    )]
    Locked(String),
    /// A library refused.
    #[error("cannot {0}")]
    Crypto(&'static str),
}

impl Keys {
    /// Loads the keys from the store, making what is not there yet.
    ///
    /// # Errors
    /// If the store does not answer, or holds keys that `secret` does not open.
    pub async fn load(store: &SharedStore, secret: &Secret, world: &World) -> Result<Self, Error> {
        let lock = Lock::new(secret)?;
        for alg in [Alg::RS256, Alg::ES256] {
            if !store.keys().await?.iter().any(|key| key.alg == alg) {
                let private = lock.close(&generate(alg)?)?;
                store
                    .add_key(StoredKey { kid: world.base62(12), alg, made: world.now(), private })
                    .await?;
            }
        }
        let mut signing = BTreeMap::new();
        for stored in store.keys().await? {
            let der = lock.open(&stored)?;
            let key = match stored.alg {
                Alg::RS256 => rsa(&stored.kid, &der)?,
                Alg::ES256 => p256(&stored.kid, &der)?,
            };
            signing.insert(stored.kid, key);
        }
        let secret = store.server_secret("derive", world.bytes::<32>().to_vec()).await?;
        Ok(Self { signing, derive: hmac::Key::new(hmac::HMAC_SHA256, &secret) })
    }

    /// What is published at `/oauth2/jwks` (RFC 7517).
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.signing.values().map(|key| &key.jwk).collect::<Vec<_>>() })
    }

    /// Signs claims as a JWT of type `typ` with the key for `alg`.
    ///
    /// # Errors
    /// If there is no such key, or the library refuses.
    pub fn sign(&self, alg: Alg, typ: &str, claims: &impl Serialize) -> Result<String, Error> {
        let found = self.signing.iter().find(|(_, key)| key.alg == alg);
        let (kid, key) = found.ok_or(Error::Crypto("find a signing key"))?;
        let algorithm = match alg {
            Alg::RS256 => Algorithm::RS256,
            Alg::ES256 => Algorithm::ES256,
        };
        let header =
            Header { kid: Some(kid.clone()), typ: Some(typ.to_owned()), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, claims, &key.private).map_err(|_| Error::Crypto("sign a JWT"))
    }

    /// A secret that is the same whenever it is asked for, for one ticket and one purpose: a claim may be repeated though
    /// only hashes are kept.
    pub fn derive(&self, purpose: &str, ticket: Hashed) -> Secret {
        let mut context = hmac::Context::with_key(&self.derive);
        context.update(purpose.as_bytes());
        context.update(&[0]);
        context.update(ticket.as_bytes());
        Secret::from(URL_SAFE_NO_PAD.encode(context.sign()))
    }
}

/// The left half of a token's SHA-256, as `at_hash` (OIDC Core 3.1.3.6).
pub fn at_hash(token: &str) -> String {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_ref().get(..16).unwrap_or_default())
}

fn generate(alg: Alg) -> Result<Vec<u8>, Error> {
    match alg {
        Alg::RS256 => {
            let key = RsaKeyPair::generate(KeySize::Rsa2048)
                .map_err(|_| Error::Crypto("make an RSA key"))?;
            let der = key.as_der().map_err(|_| Error::Crypto("write an RSA key"))?;
            Ok(der.as_ref().to_vec())
        }
        Alg::ES256 => {
            let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .map_err(|_| Error::Crypto("make a P-256 key"))?;
            let der = key.to_pkcs8v1().map_err(|_| Error::Crypto("write a P-256 key"))?;
            Ok(der.as_ref().to_vec())
        }
    }
}

fn rsa(kid: &str, der: &[u8]) -> Result<Key, Error> {
    let unreadable = |_| Error::Crypto("read an RSA key");
    let pair = RsaKeyPair::from_pkcs8(der).map_err(unreadable)?;
    let public = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    let jwk = json!({
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
        "n": URL_SAFE_NO_PAD.encode(&public.n), "e": URL_SAFE_NO_PAD.encode(&public.e),
    });
    // The library reads PKCS#8 from PEM alone; its DER is PKCS#1.
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der)
    );
    let private =
        EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| Error::Crypto("read an RSA key"))?;
    Ok(Key { alg: Alg::RS256, private, jwk })
}

fn p256(kid: &str, der: &[u8]) -> Result<Key, Error> {
    let unreadable = |_| Error::Crypto("read a P-256 key");
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map_err(unreadable)?;
    // An uncompressed point: 4, then x and y of 32 bytes each (SEC 1 section 2.3.3).
    let (x, y) = match pair.public_key().as_ref() {
        [4, point @ ..] if point.len() == 64 => point.split_at(32),
        _ => return Err(Error::Crypto("read a P-256 key")),
    };
    let jwk = json!({
        "kty": "EC", "use": "sig", "alg": "ES256", "kid": kid, "crv": "P-256",
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    });
    Ok(Key { alg: Alg::ES256, private: EncodingKey::from_ec_der(der), jwk })
}

/// What keeps private keys at rest: AES-256-GCM under the SHA-256 of `keys.secret`, or nothing.
struct Lock(Option<RandomizedNonceKey>);

/// Marks a private key as encrypted; a plain one begins with the 0x30 of DER.
const SEALED: u8 = b'E';

impl Lock {
    fn new(secret: &Secret) -> Result<Self, Error> {
        if secret.is_empty() {
            return Ok(Self(None));
        }
        let key = RandomizedNonceKey::new(&AES_256_GCM, Hashed::of(secret.reveal()).as_bytes());
        key.map(|key| Self(Some(key))).map_err(|_| Error::Crypto("use keys.secret"))
    }

    fn close(&self, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let Some(key) = &self.0 else { return Ok(plain.to_vec()) };
        let mut sealed = plain.to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::empty(), &mut sealed)
            .map_err(|_| Error::Crypto("encrypt a key"))?;
        Ok([&[SEALED][..], nonce.as_ref(), &sealed].concat())
    }

    fn open(&self, stored: &StoredKey) -> Result<Vec<u8>, Error> {
        let locked = || Error::Locked(stored.kid.clone());
        let Some(rest) = stored.private.strip_prefix(&[SEALED]) else {
            return Ok(stored.private.clone());
        };
        let key = self.0.as_ref().ok_or_else(locked)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or_else(locked)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| locked())?;
        let mut sealed = sealed.to_vec();
        let plain = key.open_in_place(nonce, Aad::empty(), &mut sealed).map_err(|_| locked())?;
        Ok(plain.to_vec())
    }
}
