//! The token endpoint: codes redeemed, refresh tokens rotated, tokens revoked and looked into.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::{
    OauthError,
    claims::{self, Session, access_hash, access_token, id_token, presented},
};
use crate::{
    admission::Door,
    app::App,
    audit,
    grant::{self, ResponseMode, Scope, Scopes},
    login,
    secret::{Hashed, Secret},
    site::Site,
    store::{Decided, LiveToken, Login, Redemption, Revoke, Token, TokenKind},
    world::Timestamp,
};

/// How long after its use a refresh token still gives what it gave then: the answer may have been lost on its way
/// (threats.md row 53).
const GRACE: Duration = Duration::from_secs(10);

/// What a site sends to redeem a code.
#[derive(Debug)]
pub struct Redeem {
    /// The authorization code.
    pub code: Secret,
    /// Once more, to the letter.
    pub redirect_uri: Option<String>,
    /// The PKCE verifier.
    pub verifier: Option<String>,
}

/// Redeems a code: consumed before anything is minted; of many racing redemptions one wins, and the others revoke what it
/// gave (RFC 6749 section 4.1.2). A wrong verifier burns the code.
///
/// # Errors
/// `invalid_grant`.
pub async fn redeem(app: &App, site: &Site, sent: Redeem) -> Result<Tokens, OauthError> {
    let (code, decided) = checked(app, site, sent).await?;
    give(app, site, code, &decided).await
}

/// A code's hash and the approval that it stands for, if it may be redeemed with what was sent.
///
/// # Errors
/// As [`redeem`].
pub(super) async fn checked(
    app: &App,
    site: &Site,
    sent: Redeem,
) -> Result<(Hashed, Decided), OauthError> {
    let code = sent.code.hashed();
    let now = app.world.now();
    let decided = app.store.decision_by_code(code).await?.ok_or_else(gone)?;
    let request = &decided.decision.request;
    // The bridge's codes have no proof of who began the sign-in, so they are good nowhere else.
    if request.response_mode == ResponseMode::Rainbow {
        return Err(gone());
    }
    if decided.redeemed.is_some() {
        // Told apart from a first redemption only by the store, which revokes what the first gave, if it is this site's.
        if request.site == site.id {
            app.store.redeem(code, Vec::new(), now).await?;
        }
        return Err(gone());
    }
    let until = login::redeemable_until(app, &decided).await?;
    let (redirect_uri, verifier) = (sent.redirect_uri.as_deref(), sent.verifier.as_deref());
    let checked = grant::check_redemption(request, &site.id, redirect_uri, verifier, until, now);
    if let Err(error) = checked {
        if error.burns() {
            app.store.redeem(code, Vec::new(), now).await?;
        }
        return Err(error.into());
    }
    Ok((code, decided))
}

/// What is said of a code that gives nothing any more.
pub(super) fn gone() -> OauthError {
    OauthError::new("invalid_grant", "the code is unknown or has been used")
}

/// The living login of an approval, of the person whom the site asked for, and what of it this approval gives.
///
/// # Errors
/// `invalid_grant`.
pub(super) fn login_of(decided: &Decided) -> Result<(&Login, &Scopes), OauthError> {
    let expects = decided.decision.request.expects.as_ref();
    let login = decided.login.as_ref().filter(|login| {
        login.ended.is_none() && expects.is_none_or(|expected| *expected == login.sub)
    });
    login.zip(decided.decision.granted()).ok_or_else(gone)
}

/// The tokens of an approval, whose code is consumed before they are minted.
///
/// # Errors
/// `invalid_grant` if somebody has had them, or may not.
pub(super) async fn give(
    app: &App,
    site: &Site,
    code: Hashed,
    decided: &Decided,
) -> Result<Tokens, OauthError> {
    let now = app.world.now();
    let (request, (login, scopes)) = (&decided.decision.request, login_of(decided)?);
    let family = Family { site, login, id: decided.decision.ticket, since: now };
    let (access, refresh) = (Secret::new(&app.world), Secret::new(&app.world));
    let first = family.access(app, &access, scopes.clone(), now);
    let refreshes = scopes.has(Scope::OfflineAccess);
    let second = refreshes.then(|| family.refresh(app, &refresh, scopes.clone(), now));
    let given = std::iter::once(first.clone()).chain(second).collect();
    if app.store.redeem(code, given, now).await? == Redemption::Reused {
        return Err(gone());
    }
    let at = decided.decision.at;
    app.metrics.sign_ins.redeemed(&site.id, at, now);
    let acr = Some(claims::acr(login, at));
    let refresh = refreshes.then_some(&refresh);
    family.answer(app, &access, &first, refresh, request.nonce.as_deref(), acr).await
}

/// What a site sends to refresh.
#[derive(Debug)]
pub struct Refresh {
    /// The refresh token.
    pub token: Secret,
    /// Fewer scopes for the new access token, if any.
    pub scope: Option<String>,
}

/// Rotates a refresh token. One that comes back was stolen, or its thief's: the whole family ends, but for a few seconds in
/// which the answer may have been lost and is given again, the same successor and no other.
///
/// # Errors
/// `invalid_grant`, `invalid_scope`.
pub async fn refresh(app: &App, site: &Site, sent: Refresh) -> Result<Tokens, OauthError> {
    let unknown = || {
        OauthError::new("invalid_grant", "the refresh token is unknown, has expired or was revoked")
    };
    let now = app.world.now();
    let live = app.store.live_token(sent.token.hashed(), now).await?.ok_or_else(unknown)?;
    if live.token.kind != TokenKind::Refresh || live.login.site != site.id {
        return Err(unknown());
    }
    let scopes = narrowed(&live.token.scopes, sent.scope.as_deref())?;
    if login::door_of(app, site, &live.person).await? != Door::Open {
        return Err(OauthError::new("invalid_grant", "the site lets this person in no more"));
    }
    let LiveToken { token, login, .. } = &live;
    let family = Family { site, login, id: token.family, since: token.since };
    // Both follow from the token, so that a lost answer can be given again though only hashes are kept.
    let access = app.keys.follow("access", &sent.token);
    let next = app.keys.follow("refresh", &sent.token);
    let made = family.access(app, &access, scopes, now);
    let given = vec![made.clone(), family.refresh(app, &next, token.scopes.clone(), now)];
    if token.used.is_none() && app.store.rotate(token.hash, given, now).await? {
        app.metrics.sign_ins.issued("refresh_token");
        return family.answer(app, &access, &made, Some(&next), None, None).await;
    }
    match again(app, &sent.token, access_hash(site, &access), next.hashed(), now).await? {
        Some(made) => family.answer(app, &access, &made, Some(&next), None, None).await,
        None => {
            let family = Revoke::Family { id: token.family, login: token.login.clone() };
            app.store.revoke(family).await?;
            let entry = audit::Entry::new(now, "token.replayed")
                .about(login.person.clone())
                .at_site(site.id.clone())
                .with(json!({ "login": login.id }));
            app.store.audit(entry).await?;
            Err(unknown())
        }
    }
}

/// What a refresh token gave a moment ago, if nobody has used that yet.
async fn again(
    app: &App,
    token: &Secret,
    access: Hashed,
    next: Hashed,
    now: Timestamp,
) -> Result<Option<Token>, OauthError> {
    let used = app.store.live_token(token.hashed(), now).await?.and_then(|live| live.token.used);
    let next = app.store.live_token(next, now).await?;
    let fresh = next.is_some_and(|next| next.token.used.is_none());
    if !fresh || used.is_none_or(|at| now.since(at) > GRACE) {
        return Ok(None);
    }
    Ok(app.store.live_token(access, now).await?.map(|live| live.token))
}

/// The scopes of a new access token: those asked for, never more than were granted (RFC 6749 section 6).
fn narrowed(granted: &Scopes, asked: Option<&str>) -> Result<Scopes, OauthError> {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else { return Ok(granted.clone()) };
    let scopes = Scopes::parse(asked);
    if scopes.has(Scope::Openid) && scopes.within(granted) {
        Ok(scopes)
    } else {
        Err(OauthError::new(
            "invalid_scope",
            "scope must contain openid, and nothing that was not granted",
        ))
    }
}

/// What the token endpoint answers (RFC 6749 section 5.1, OIDC Core 3.1.3.3); never printed.
#[derive(Serialize, JsonSchema)]
pub struct Tokens {
    pub(crate) access_token: String,
    #[schemars(extend("const" = "Bearer"))]
    token_type: &'static str,
    expires_in: u64,
    pub(crate) scope: String,
    pub(crate) id_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

/// All tokens that come of one code.
pub(super) struct Family<'a> {
    pub(super) site: &'a Site,
    pub(super) login: &'a Login,
    pub(super) id: Hashed,
    pub(super) since: Timestamp,
}

impl Family<'_> {
    pub(super) fn access(&self, app: &App, text: &Secret, scopes: Scopes, now: Timestamp) -> Token {
        let expires = now + app.settings.tokens.access;
        self.token(TokenKind::Access, access_hash(self.site, text), scopes, now, expires)
    }

    fn refresh(&self, app: &App, text: &Secret, scopes: Scopes, now: Timestamp) -> Token {
        let tokens = &app.settings.tokens;
        let expires = (now + tokens.refresh_idle).min(self.since + tokens.refresh);
        self.token(TokenKind::Refresh, text.hashed(), scopes, now, expires)
    }

    fn token(
        &self,
        kind: TokenKind,
        hash: Hashed,
        scopes: Scopes,
        made: Timestamp,
        expires: Timestamp,
    ) -> Token {
        let (login, family, since) = (self.login.id.clone(), self.id, self.since);
        Token { hash, kind, login, scopes, family, since, made, expires, used: None }
    }

    async fn answer(
        &self,
        app: &App,
        text: &Secret,
        access: &Token,
        refresh: Option<&Secret>,
        nonce: Option<&str>,
        acr: Option<&'static str>,
    ) -> Result<Tokens, OauthError> {
        let token = access_token(app, self.site, self.login, text, access)?;
        let session = Session { nonce, acr, access: &token, scopes: &access.scopes };
        let id_token = id_token(app, self.site, self.login, session).await?;
        Ok(Tokens {
            access_token: token.reveal().to_owned(),
            token_type: "Bearer",
            expires_in: access.expires.since(app.world.now()).as_secs(),
            scope: access.scopes.to_string(),
            id_token,
            refresh_token: refresh.map(|refresh| refresh.reveal().to_owned()),
        })
    }
}

/// Revokes a token of this site (RFC 7009): a refresh token with all its family. One that is unknown is revoked already.
///
/// # Errors
/// `invalid_grant` for another site's.
pub async fn revoke(app: &App, site: &Site, token: &Secret) -> Result<(), OauthError> {
    let Some(live) = app.store.live_token(presented(app, token), app.world.now()).await? else {
        return Ok(());
    };
    if live.login.site != site.id {
        return Err(OauthError::new("invalid_grant", "the token was issued to another client"));
    }
    let what = match live.token.kind {
        TokenKind::Access | TokenKind::Application => Revoke::Token(live.token.hash),
        TokenKind::Refresh => Revoke::Family { id: live.token.family, login: live.token.login },
    };
    Ok(app.store.revoke(what).await?)
}

/// What introspection answers (RFC 7662 section 2.2).
#[derive(Serialize, JsonSchema)]
pub struct Introspection {
    /// Whether it is good for anything, here and now, for who asks.
    active: bool,
    #[serde(flatten)]
    token: Option<TokenTold>,
}

#[derive(Serialize, JsonSchema)]
struct TokenTold {
    scope: String,
    client_id: String,
    token_type: &'static str,
    iat: i64,
    exp: i64,
    sub: String,
    aud: String,
    iss: String,
}

/// What a token is good for (RFC 7662), for the site it was given to; to anybody else it is not active.
///
/// # Errors
/// What the store says.
pub async fn introspect(
    app: &App,
    site: &Site,
    token: &Secret,
) -> Result<Introspection, OauthError> {
    let live = app.store.live_token(presented(app, token), app.world.now()).await?;
    let live = live.filter(|live| live.login.site == site.id && live.token.used.is_none());
    let Some(LiveToken { token, login, .. }) = live else {
        return Ok(Introspection { active: false, token: None });
    };
    let token_type = match token.kind {
        TokenKind::Refresh => "refresh_token",
        TokenKind::Access | TokenKind::Application => "Bearer",
    };
    let told = TokenTold {
        scope: token.scopes.to_string(),
        client_id: login.site,
        token_type,
        iat: token.made.seconds(),
        exp: token.expires.seconds(),
        sub: login.sub,
        aud: app.settings.public_url.clone(),
        iss: app.settings.public_url.clone(),
    };
    Ok(Introspection { active: true, token: Some(told) })
}
