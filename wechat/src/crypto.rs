//! Data that a mini program hands over, signed or encrypted with a person's session key
//! (wechat-api.md sections 4.2 and 4.3).

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::Value;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::secret::SessionKey;

/// Why encrypted data was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidData {
    /// The session key, the iv or the data is not the base64 of what it should be.
    #[error("the session key, the iv or the data is not base64 of the right length")]
    Encoding,
    /// It does not decrypt: most often because the person has signed in anew since, which
    /// replaced the session key.
    #[error("the data does not decrypt with this session key; let the phone sign in again")]
    Key,
    /// It was made for another mini program.
    #[error("the data's watermark names another mini program")]
    Watermark,
}

/// Whether `signature` is WeChat's over `raw_data`: `sha1(raw_data + session_key)` in hex.
///
/// ```
/// use wechat::{SessionKey, crypto};
/// let key = SessionKey::new("HyVFkGl5F5OQWJZZaNzBBg==");
/// assert!(!crypto::is_signed("{}", "75e81ceda165f4ffa64f4068af58c64b8f54b88c", &key));
/// ```
#[must_use]
pub fn is_signed(raw_data: &str, signature: &str, key: &SessionKey) -> bool {
    let mut hash = Sha1::new();
    hash.update(raw_data);
    hash.update(key.expose());
    // In constant time, so that a signature cannot be found byte by byte.
    hex::encode(hash.finalize()).as_bytes().ct_eq(signature.as_bytes()).into()
}

/// The HMAC-SHA256 of `message` in hex, as `checksession` and signed requests want it. The key is
/// the session key's text as it stands, not what its base64 means.
#[must_use]
pub fn hmac_sha256(message: &str, key: &SessionKey) -> String {
    // An HMAC takes a key of any length, so this has no other way to go.
    Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).map_or_else(
        |_| String::new(),
        |mut mac| {
            mac.update(message.as_bytes());
            hex::encode(mac.finalize().into_bytes())
        },
    )
}

/// Decrypts `encryptedData` (AES-128-CBC, PKCS#7) and believes it only if its watermark names this
/// mini program.
///
/// # Errors
/// [`InvalidData`] says whether it is the encoding, the key or the watermark.
pub fn decrypt(
    appid: &str,
    key: &SessionKey,
    iv: &str,
    encrypted_data: &str,
) -> Result<Value, InvalidData> {
    #[derive(Deserialize)]
    struct Watermarked {
        watermark: Watermark,
    }
    #[derive(Deserialize)]
    struct Watermark {
        appid: String,
    }

    let decode = |text: &str| STANDARD.decode(text).map_err(|_| InvalidData::Encoding);
    let (key, iv, data) = (decode(key.expose())?, decode(iv)?, decode(encrypted_data)?);
    let cipher = cbc::Decryptor::<aes::Aes128>::new_from_slices(&key, &iv)
        .map_err(|_| InvalidData::Encoding)?;
    let plain = cipher.decrypt_padded_vec::<Pkcs7>(&data).map_err(|_| InvalidData::Key)?;
    let json: Value = serde_json::from_slice(&plain).map_err(|_| InvalidData::Key)?;
    let marked: Watermarked =
        serde_json::from_value(json.clone()).map_err(|_| InvalidData::Watermark)?;
    if marked.watermark.appid == appid { Ok(json) } else { Err(InvalidData::Watermark) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPID: &str = "wx4f4bc4dec97d474b";
    const KEY: &str = "tiihtNczf5v6AKRyjwEUhQ==";
    const IV: &str = "r7BXXKkLb8qrSNn05n0qiA==";

    #[test]
    fn the_official_signature_is_believed_and_a_changed_one_is_not() {
        let raw_data = r#"{"nickName":"Band","gender":1,"language":"zh_CN","city":"Guangzhou","province":"Guangdong","country":"CN","avatarUrl":"http://wx.qlogo.cn/mmopen/vi_32/1vZvI39NWFQ9XM4LtQpFrQJ1xlgZxx3w7bQxKARol6503Iuswjjn6nIGBiaycAjAtpujxyzYsrztuuICqIM5ibXQ/0"}"#;
        let key = SessionKey::new("HyVFkGl5F5OQWJZZaNzBBg==");
        assert!(is_signed(raw_data, "75e81ceda165f4ffa64f4068af58c64b8f54b88c", &key));
        assert!(!is_signed(raw_data, "75e81ceda165f4ffa64f4068af58c64b8f54b88d", &key));
        assert!(!is_signed(raw_data, "", &key));
    }

    #[test]
    fn the_official_hmac_uses_the_key_as_it_stands() {
        let key = SessionKey::new("o0q0otL8aEzpcZL/FT9WsQ==");
        assert_eq!(
            hmac_sha256(r#"{"foo":"bar"}"#, &key),
            "654571f79995b2ce1e149e53c0a33dc39c0a74090db514261454e8dbe432aa0b"
        );
    }

    #[test]
    fn the_official_encrypted_data_is_read() {
        let data = concat!(
            "CiyLU1Aw2KjvrjMdj8YKliAjtP4gsMZMQmRzooG2xrDcvSnxIMXFufNstNGTyaGS9uT5geRa0W4oTOb1WT7fJlAC",
            "+oNPdbB+3hVbJSRgv+4lGOETKUQz6OYStslQ142dNCuabNPGBzlooOmB231qMM85d2/fV6ChevvXvQP8Hkue1poO",
            "FtnEtpyxVLW1zAo6/1Xx1COxFvrc2d7UL/lmHInNlxuacJXwu0fjpXfz/YqYzBIBzD6WUfTIF9GRHpOn/Hz7saL8",
            "xz+W//FRAUid1OksQaQx4CMs8LOddcQhULW4ucetDf96JcR3g0gfRK4PC7E/r7Z6xNrXd2UIeorGj5Ef7b1pJAYB",
            "6Y5anaHqZ9J6nKEBvB4DnNLIVWSgARns/8wR2SiRS7MNACwTyrGvt9ts8p12PKFdlqYTopNHR1Vf7XjfhQlVsAJd",
            "NiKdYmYVoKlaRv85IfVunYzO0IKXsyl7JCUjCpoG20f0a04COwfneQAGGwd5oa+T8yO5hzuyDb/XcxxmK01EpqOy",
            "uxINew==",
        );
        let person = decrypt(APPID, &SessionKey::new(KEY), IV, data).unwrap();
        assert_eq!(person["openId"], "oGZUI0egBJY1zhBYw2KhdUfwVJJE");
        assert_eq!(person["watermark"]["timestamp"], 1_477_314_187);
    }

    fn encrypt(plain: &str) -> String {
        use aes::cipher::BlockModeEncrypt;
        let (key, iv) = (STANDARD.decode(KEY).unwrap(), STANDARD.decode(IV).unwrap());
        let cipher = cbc::Encryptor::<aes::Aes128>::new_from_slices(&key, &iv).unwrap();
        STANDARD.encode(cipher.encrypt_padded_vec::<Pkcs7>(plain.as_bytes()))
    }

    #[test]
    fn encrypted_data_is_read_back_and_believed_only_with_our_watermark() {
        let key = SessionKey::new(KEY);
        let data = encrypt(&format!(r#"{{"openId":"o1","watermark":{{"appid":"{APPID}"}}}}"#));
        assert_eq!(decrypt(APPID, &key, IV, &data).unwrap()["openId"], "o1");
        assert_eq!(decrypt("wx0000", &key, IV, &data), Err(InvalidData::Watermark));
        let unmarked = encrypt(r#"{"openId":"o1"}"#);
        assert_eq!(decrypt(APPID, &key, IV, &unmarked), Err(InvalidData::Watermark));
    }

    #[test]
    fn data_that_does_not_decrypt_says_why() {
        let key = SessionKey::new(KEY);
        let data = encrypt("{}");
        let other = SessionKey::new("HyVFkGl5F5OQWJZZaNzBBg==");
        assert_eq!(decrypt(APPID, &other, IV, &data), Err(InvalidData::Key));
        assert_eq!(decrypt(APPID, &key, "", &data), Err(InvalidData::Encoding));
        assert_eq!(decrypt(APPID, &key, IV, "***"), Err(InvalidData::Encoding));
        assert_eq!(decrypt(APPID, &key, IV, "AAAA"), Err(InvalidData::Key));
    }
}
