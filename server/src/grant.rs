//! The authorization request and the code that answers it: PKCE, redirect, expiry.
//!
//! Pure rules; `oidc.rs` speaks them over HTTP's words, `login.rs` carries the request through the scan.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    secret::Hashed,
    site::{Pkce, Site},
    world::Timestamp,
};

/// How long an authorization code may be redeemed after the first claim.
pub const CODE_LIFE: Duration = Duration::from_secs(60);

/// Which wording of the kinds below the phone shows. Consent is given to a wording: raise this with the mini program's.
pub const CONSENT_TEXT: &str = "2";

/// What a site asked for: kept with the ticket until a phone has decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The `client_id`.
    pub site: String,
    /// Where the answer goes; one that the site registered.
    pub redirect_uri: String,
    /// What it would like to know.
    pub scopes: Scopes,
    /// Handed back as it came.
    #[serde(default)]
    pub state: Option<String>,
    /// Goes into the id_token.
    #[serde(default)]
    pub nonce: Option<String>,
    /// The PKCE challenge, S256: the hash of the verifier.
    #[serde(default)]
    pub code_challenge: Option<Hashed>,
    /// How the answer travels.
    #[serde(default)]
    pub response_mode: ResponseMode,
    /// The `sub` of the one person whom the site will take, out of its `id_token_hint`.
    #[serde(default)]
    pub expects: Option<String>,
    /// The one-time link whose gift an approval takes; only at saoma's own page.
    #[serde(default)]
    pub link: Option<Hashed>,
}

impl Request {
    /// For the bare identity, and nothing of what a site may add.
    pub fn bare(site: &str, redirect_uri: impl Into<String>) -> Self {
        Self {
            site: site.to_owned(),
            redirect_uri: redirect_uri.into(),
            scopes: Scopes::parse(Scope::Openid.as_str()),
            state: None,
            nonce: None,
            code_challenge: None,
            response_mode: ResponseMode::Query,
            expects: None,
            link: None,
        }
    }
}

/// How the answer travels to the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseMode {
    /// In the query of a redirect.
    #[default]
    Query,
    /// In a form that the browser posts (OAuth 2.0 Form Post Response Mode).
    FormPost,
    /// In the query, as the rainbow protocol words it; its code is good at that bridge alone.
    Rainbow,
}

/// One kind of thing a site may get to know.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Who it is, as a bare `sub`. Always there, never asked for by tick.
    Openid,
    /// Name and picture.
    Profile,
    /// A made-up address.
    Email,
    /// WeChat's own openid and unionid.
    Wechat,
    /// Refresh tokens.
    OfflineAccess,
}

impl Scope {
    /// All there are, in the order people are shown them.
    pub const ALL: [Self; 5] =
        [Self::Openid, Self::Profile, Self::Email, Self::Wechat, Self::OfflineAccess];

    /// The word in OAuth's `scope`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Openid => "openid",
            Self::Profile => "profile",
            Self::Email => "email",
            Self::Wechat => "wechat",
            Self::OfflineAccess => "offline_access",
        }
    }
}

/// A set of scopes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Reads OAuth's space-separated list; words nobody knows are passed over (OIDC Core 3.1.2.1).
    pub fn parse(text: &str) -> Self {
        let words: BTreeSet<&str> = text.split(' ').collect();
        Self(Scope::ALL.into_iter().filter(|scope| words.contains(scope.as_str())).collect())
    }

    /// Whether `scope` is among them.
    pub fn has(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Scope> {
        self.0.iter().copied()
    }

    /// What a person ticks: all but the bare identity.
    pub fn ticked(&self) -> impl Iterator<Item = Scope> {
        self.0.iter().copied().filter(|scope| *scope != Scope::Openid)
    }

    /// What is granted of these when a person ticked `words`: nothing beyond `openid` that was not both asked and ticked.
    pub fn granted<S: AsRef<str>>(&self, words: &[S]) -> Self {
        let ticked = |scope: &Scope| words.iter().any(|word| word.as_ref() == scope.as_str());
        Self(
            self.0
                .iter()
                .copied()
                .filter(|scope| *scope == Scope::Openid || ticked(scope))
                .collect(),
        )
    }

    /// Whether all of these are among `others`.
    pub fn within(&self, others: &Self) -> bool {
        self.0.is_subset(&others.0)
    }
}

impl std::fmt::Display for Scopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<_> = self.0.iter().map(|scope| scope.as_str()).collect();
        f.write_str(&words.join(" "))
    }
}

/// Why a request for authorization is refused. The site may be told by redirect: its redirect address was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No challenge where one is needed.
    #[error("code_challenge is missing; this site must use PKCE (RFC 7636)")]
    ChallengeMissing,
    /// `plain`, or something nobody knows.
    #[error("code_challenge_method must be S256")]
    MethodNotS256,
    /// A method, and nothing that was made by it.
    #[error("code_challenge_method came without code_challenge; send both, or neither")]
    MethodAlone,
    /// Not the base64url of a SHA-256.
    #[error("code_challenge must be 43 characters of base64url, the SHA-256 of the verifier")]
    ChallengeMalformed,
}

/// The challenge of a request, if it is as PKCE asks (RFC 7636, RFC 9700 section 2.1.1). An embedded page must always send
/// one.
pub fn check_pkce(
    site: &Site,
    embedded: bool,
    challenge: Option<&str>,
    method: Option<&str>,
) -> Result<Option<Hashed>, RequestError> {
    match (challenge, method) {
        (Some(challenge), Some("S256")) => {
            let hash = URL_SAFE_NO_PAD.decode(challenge).ok().and_then(|hash| hash.try_into().ok());
            hash.map(|hash| Some(Hashed::from_bytes(hash))).ok_or(RequestError::ChallengeMalformed)
        }
        // Without a method RFC 7636 means plain, which shows the verifier to who reads the request.
        (Some(_), _) => Err(RequestError::MethodNotS256),
        (None, Some(_)) => Err(RequestError::MethodAlone),
        (None, None) if embedded || site.is_public() || site.pkce == Pkce::Required => {
            Err(RequestError::ChallengeMissing)
        }
        (None, None) => Ok(None),
    }
}

/// Why a code is not redeemed. To the site all of them are `invalid_grant`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedeemError {
    /// It was given to another site.
    #[error("the code was not issued to this client")]
    OtherSite,
    /// Another address than the one it was asked for with.
    #[error("redirect_uri is not the one of the authorization request")]
    OtherRedirect,
    /// The PKCE proof fails.
    #[error("code_verifier does not match code_challenge")]
    WrongVerifier,
    /// A challenge stood in the request, and nothing answers it.
    #[error("code_verifier is missing; the authorization request had a code_challenge")]
    VerifierMissing,
    /// An answer to no challenge.
    #[error("code_verifier came, but the authorization request had no code_challenge")]
    VerifierAlone,
    /// Sixty seconds are over.
    #[error("the code has expired")]
    Expired,
}

impl RedeemError {
    /// Whether it is the proof that fails: then somebody else has the code, and nobody may have it any more.
    pub fn burns(self) -> bool {
        matches!(self, Self::WrongVerifier | Self::VerifierMissing | Self::VerifierAlone)
    }
}

/// Whether `site` may redeem the code of `request` with what it sent (RFC 6749 section 4.1.3, RFC 7636 section 4.6).
pub fn check_redemption(
    request: &Request,
    site: &str,
    redirect_uri: Option<&str>,
    verifier: Option<&str>,
    until: Timestamp,
    now: Timestamp,
) -> Result<(), RedeemError> {
    if request.site != site {
        return Err(RedeemError::OtherSite);
    }
    if now >= until {
        return Err(RedeemError::Expired);
    }
    if redirect_uri != Some(request.redirect_uri.as_str()) {
        return Err(RedeemError::OtherRedirect);
    }
    match (request.code_challenge, verifier) {
        (Some(challenge), Some(verifier)) if verifies(challenge, verifier) => Ok(()),
        (None, None) => Ok(()),
        (Some(_), Some(_)) => Err(RedeemError::WrongVerifier),
        (Some(_), None) => Err(RedeemError::VerifierMissing),
        // Somebody may have stripped the challenge (RFC 9700 section 4.8.2).
        (None, Some(_)) => Err(RedeemError::VerifierAlone),
    }
}

fn verifies(challenge: Hashed, verifier: &str) -> bool {
    let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    (43..=128).contains(&verifier.len())
        && verifier.chars().all(unreserved)
        && Hashed::of(verifier) == challenge
}

/// The S256 challenge of a verifier, as a request carries it (RFC 7636 section 4.2).
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Hashed::of(verifier).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    // The verifier and challenge of RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn request(verifier: Option<&str>) -> Request {
        let code_challenge = verifier.map(Hashed::of);
        Request { code_challenge, ..Request::bare("blog", "https://blog.example.com/cb") }
    }

    #[test]
    fn a_code_is_for_the_site_the_address_the_verifier_and_the_minute_it_was_made_for() {
        let until = Timestamp::from_millis(60_000);
        let (now, cb) = (Timestamp::from_millis(59_999), Some("https://blog.example.com/cb"));
        let asked = request(Some(VERIFIER));
        let other = VERIFIER.replace('d', "e");
        let redeem = |site, redirect, verifier, now| {
            check_redemption(&asked, site, redirect, verifier, until, now)
        };
        assert_eq!(redeem("blog", cb, Some(VERIFIER), now), Ok(()));
        assert_eq!(redeem("shop", cb, Some(VERIFIER), now), Err(RedeemError::OtherSite));
        assert_eq!(redeem("blog", None, Some(VERIFIER), now), Err(RedeemError::OtherRedirect));
        assert_eq!(
            redeem("blog", Some("https://x.example"), Some(VERIFIER), now),
            Err(RedeemError::OtherRedirect)
        );
        assert_eq!(redeem("blog", cb, None, now), Err(RedeemError::VerifierMissing));
        assert_eq!(redeem("blog", cb, Some(&other), now), Err(RedeemError::WrongVerifier));
        assert_eq!(redeem("blog", cb, Some("short"), now), Err(RedeemError::WrongVerifier));
        assert_eq!(redeem("blog", cb, Some(VERIFIER), until), Err(RedeemError::Expired));
    }

    #[test]
    fn a_verifier_that_can_be_guessed_proves_nothing_though_it_is_the_right_one() {
        let (until, now) = (Timestamp::from_millis(1), Timestamp::from_millis(0));
        let redeem = |verifier: &str| {
            let asked = request(Some(verifier));
            check_redemption(&asked, "blog", Some(&asked.redirect_uri), Some(verifier), until, now)
        };
        for (verifier, expected) in [
            ("a".repeat(42), Err(RedeemError::WrongVerifier)),
            ("a".repeat(43), Ok(())),
            ("-._~".repeat(32), Ok(())),
            ("a".repeat(129), Err(RedeemError::WrongVerifier)),
            ("%".repeat(43), Err(RedeemError::WrongVerifier)),
        ] {
            assert_eq!(redeem(&verifier), expected, "{verifier}");
        }
    }

    #[test]
    fn a_verifier_without_a_challenge_is_a_downgrade() {
        let (until, cb) = (Timestamp::from_millis(1), Some("https://blog.example.com/cb"));
        let now = Timestamp::from_millis(0);
        assert_eq!(check_redemption(&request(None), "blog", cb, None, until, now), Ok(()));
        assert_eq!(
            check_redemption(&request(None), "blog", cb, Some(VERIFIER), until, now),
            Err(RedeemError::VerifierAlone)
        );
    }

    #[test]
    fn pkce_is_s256_and_left_out_only_by_confidential_sites_that_may() {
        let mut site = Site::new("blog", "My blog");
        let check = |site: &Site, embedded, challenge, method| {
            check_pkce(site, embedded, challenge, method)
        };
        assert_eq!(check(&site, false, None, None), Err(RequestError::ChallengeMissing));
        site.pkce = Pkce::IfSent;
        let public = check(&site, false, None, None);
        assert_eq!(public, Err(RequestError::ChallengeMissing), "nothing else protects it");
        site.pkce = Pkce::Required;
        site.secret = Secret::from("secret".to_owned());
        assert_eq!(check(&site, false, None, None), Err(RequestError::ChallengeMissing));
        site.pkce = Pkce::IfSent;
        assert_eq!(check(&site, false, None, None), Ok(None));
        assert_eq!(check(&site, true, None, None), Err(RequestError::ChallengeMissing));
        let made = Some(Hashed::of(VERIFIER));
        assert_eq!(check(&site, false, Some(CHALLENGE), Some("S256")), Ok(made));
        assert_eq!(
            check(&site, false, Some(CHALLENGE), Some("plain")),
            Err(RequestError::MethodNotS256)
        );
        assert_eq!(check(&site, false, Some(CHALLENGE), None), Err(RequestError::MethodNotS256));
        assert_eq!(check(&site, false, None, Some("S256")), Err(RequestError::MethodAlone));
        let of = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        for malformed in ["short", &of(&[0; 31]), &of(&[0; 33]), &format!("{CHALLENGE}=")] {
            assert_eq!(
                check(&site, false, Some(malformed), Some("S256")),
                Err(RequestError::ChallengeMalformed)
            );
        }
    }

    #[test]
    fn nothing_is_granted_that_was_not_both_asked_and_ticked() {
        let asked = Scopes::parse("openid profile wechat unheard-of");
        assert_eq!(asked.to_string(), "openid profile wechat");
        assert_eq!(asked.granted(&["profile", "email"]).to_string(), "openid profile");
        assert_eq!(asked.granted::<&str>(&[]).to_string(), "openid");
    }
}
