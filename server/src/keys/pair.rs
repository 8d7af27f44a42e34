//! One key pair: made, read, and as JWKS publishes it.

use std::sync::Arc;

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize, PublicKeyComponents},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde_json::{Value, json};

use super::Error;
use crate::site::Alg;

/// A key pair, ready to use.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) private: Private,
    pub(super) public: DecodingKey,
    pub(super) jwk: Value,
}

/// A private key, read once: `jsonwebtoken` would read it again and check it anew for every signature.
#[derive(Clone)]
pub(super) enum Private {
    Rsa(Arc<RsaKeyPair>),
    P256(Arc<EcdsaKeyPair>),
}

impl Private {
    /// Signs as JWS has it (RFC 7518 sections 3.3 and 3.4).
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let (dice, refused) = (SystemRandom::new(), |_| Error::Crypto("sign a JWT"));
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &dice, message, &mut signature).map_err(refused)?;
                Ok(signature)
            }
            Self::P256(pair) => Ok(pair.sign(&dice, message).map_err(refused)?.as_ref().to_vec()),
        }
    }
}

impl Pair {
    /// Reads a private key back.
    pub(super) fn read(kid: &str, alg: Alg, der: &[u8]) -> Result<Self, Error> {
        match alg {
            Alg::RS256 => rsa(kid, der),
            Alg::ES256 => p256(kid, der),
        }
    }
}

/// A fresh private key, as PKCS#8.
pub(super) fn generate(alg: Alg) -> Result<Vec<u8>, Error> {
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

fn rsa(kid: &str, der: &[u8]) -> Result<Pair, Error> {
    let unreadable = |_| Error::Crypto("read an RSA key");
    let pair = RsaKeyPair::from_pkcs8(der).map_err(unreadable)?;
    let public = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    let jwk = json!({
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
        "n": URL_SAFE_NO_PAD.encode(&public.n), "e": URL_SAFE_NO_PAD.encode(&public.e),
    });
    let (n, e) = (URL_SAFE_NO_PAD.encode(&public.n), URL_SAFE_NO_PAD.encode(&public.e));
    let public =
        DecodingKey::from_rsa_components(&n, &e).map_err(|_| Error::Crypto("read an RSA key"))?;
    Ok(Pair { private: Private::Rsa(Arc::new(pair)), public, jwk })
}

fn p256(kid: &str, der: &[u8]) -> Result<Pair, Error> {
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
    let public =
        DecodingKey::from_ec_components(&URL_SAFE_NO_PAD.encode(x), &URL_SAFE_NO_PAD.encode(y))
            .map_err(|_| Error::Crypto("read a P-256 key"))?;
    Ok(Pair { private: Private::P256(Arc::new(pair)), public, jwk })
}
