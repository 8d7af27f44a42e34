//! `/oauth2` and `/.well-known`: what an application and its browser say (OpenID Connect).

use schemars::JsonSchema;

use super::Book;
use crate::{
    error::Code::{
        HintRefused, InvalidRequest, NoCodeNow, OriginNotAllowed, PayloadTooLarge,
        PostLogoutNotRegistered, RedirectUriNotRegistered, RequestOver, UnknownSite,
    },
    http::{logout, token},
    oidc::{self, Device, Introspection, Tokens},
};

pub(super) fn oidc(book: &mut Book) {
    book.chapter("oidc", "What an application and its browser say (OpenID Connect).");
    let unusable =
        [InvalidRequest, UnknownSite, RedirectUriNotRegistered, RequestOver, PayloadTooLarge];
    book.get("/oauth2/authorize", "Sign in to a site (OIDC Core 3.1.2)")
        .says("Answers the site at once where no page is needed or the request is wrong, in its `response_mode`: by redirect, or by a page that posts.")
        .texts(&oidc::PARAMETERS)
        .shows("The page with the code, or the page that posts the answer")
        .leads("The answer, to the site's redirect_uri")
        .shows_errors(&unusable)
        .shows_errors(&[NoCodeNow]);
    book.post("/oauth2/authorize", "The same; kept, and answered with a GET that names it")
        .form_of(&oidc::PARAMETERS)
        .leads("To the GET")
        .shows_errors(&unusable);
    let parameters: Vec<&str> = oidc::PARAMETERS.into_iter().chain(["client_secret"]).collect();
    book.post("/oauth2/par", "Push a request ahead (RFC 9126)")
        .needs(&["site"])
        .form_of(&parameters)
        .answers::<token::Pushed>(201, &[])
        .oauth_errors(400, &["invalid_request", "invalid_scope", "unsupported_response_type"])
        .of_sites();
    book.post("/oauth2/token", "Redeem a code, or rotate a refresh token (RFC 6749 section 3.2)")
        .needs(&["site"])
        .form::<token::TokenForm>()
        .answers::<Tokens>(200, &[])
        .oauth_errors(
            400,
            &[
                "invalid_request",
                "invalid_grant",
                "invalid_scope",
                "unsupported_grant_type",
                "unauthorized_client",
                "authorization_pending",
                "slow_down",
                "access_denied",
                "expired_token",
            ],
        )
        .of_sites();
    book.post("/oauth2/device_authorization", "A terminal or a television begins (RFC 8628)")
        .needs(&["site"])
        .form::<token::DeviceForm>()
        .answers::<Device>(200, &[])
        .oauth_errors(400, &["invalid_request", "invalid_scope", "unauthorized_client"])
        .of_sites();
    book.post("/oauth2/revoke", "Revoke a token; a refresh token with all its family (RFC 7009)")
        .needs(&["site"])
        .form::<token::OneToken>()
        .done(200)
        .oauth_errors(400, &["invalid_request", "invalid_grant"])
        .of_sites();
    book.post("/oauth2/introspect", "What a token is good for (RFC 7662)")
        .needs(&["site"])
        .form::<token::OneToken>()
        .answers::<Introspection>(200, &[])
        .oauth_errors(400, &["invalid_request"])
        .of_sites();
    book.get("/oauth2/userinfo", "Who signed in (OIDC Core 5.3)")
        .needs(&["access_token"])
        .answers::<Userinfo>(200, &[])
        .oauth_errors(401, &["invalid_token"])
        .of_tokens();
    book.post("/oauth2/userinfo", "The same, with the token in the header or in the form")
        .needs(&["access_token"])
        .form::<token::BodyToken>()
        .answers::<Userinfo>(200, &[])
        .oauth_errors(400, &["invalid_request"])
        .oauth_errors(401, &["invalid_token"])
        .too_large()
        .of_tokens();
    book.get("/oauth2/jwks", "The public keys that tokens are signed with")
        .answers::<Jwks>(200, &[]);
    book.get("/oauth2/logout", "Sign out at a site's wish (RP-Initiated Logout)")
        .query::<logout::Wish>()
        .shows("The page that asks, or that says it is done")
        .leads("To post_logout_redirect_uri")
        .shows_errors(&[
            InvalidRequest,
            UnknownSite,
            HintRefused,
            PostLogoutNotRegistered,
            RequestOver,
        ]);
    book.post("/oauth2/logout", "The same; kept, and answered with a GET that names it")
        .form::<logout::Wish>()
        .leads("To the GET")
        .shows_errors(&[InvalidRequest, PayloadTooLarge]);
    book.post("/oauth2/logout/confirm", "The person has pressed the button")
        .origin()
        .form_of(&["client_id", "post_logout_redirect_uri", "state", "ui_locales"])
        .shows("The page that says it is done")
        .leads("To post_logout_redirect_uri")
        .shows_errors(&[
            InvalidRequest,
            PayloadTooLarge,
            UnknownSite,
            PostLogoutNotRegistered,
            OriginNotAllowed,
        ]);
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        book.get(path, "What this provider can do (OIDC Discovery, RFC 8414)")
            .answers::<Discovery>(200, &[]);
    }
}

impl super::Call<'_> {
    /// What any call of a site's own server may be answered.
    fn of_sites(self) -> Self {
        self.oauth_errors(401, &["invalid_client"]).too_large().of_tokens()
    }

    fn too_large(self) -> Self {
        self.oauth_errors(413, &["invalid_request"])
    }

    fn of_tokens(self) -> Self {
        self.oauth_errors(429, &["too_many_requests"])
            .oauth_errors(500, &["server_error"])
            .oauth_errors(503, &["temporarily_unavailable"])
    }
}

/// An error in OAuth's words (RFC 6749 section 5.2).
#[derive(JsonSchema)]
#[expect(dead_code, reason = "`token.rs` writes it out of `oidc::OauthError`")]
pub(super) struct OauthProblem {
    error: String,
    error_description: String,
}

/// Of each scope what was ticked, and nothing else.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "`oidc/claims.rs` writes it, and into id_tokens too")]
struct Userinfo {
    sub: String,
    #[schemars(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    preferred_username: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    picture: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<String>>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    wechat_openid: Option<String>,
    #[schemars(skip_serializing_if = "Option::is_none")]
    wechat_unionid: Option<String>,
}

/// Public keys (RFC 7517).
#[derive(JsonSchema)]
#[expect(dead_code, reason = "`keys.rs` writes it")]
struct Jwks {
    keys: Vec<Jwk>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "`keys.rs` writes it")]
struct Jwk {
    kid: String,
    kty: String,
    alg: String,
    r#use: String,
}

/// What every client must find; there is more.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "`oidc.rs` writes it")]
struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: String,
    jwks_uri: String,
    response_types_supported: Vec<String>,
    subject_types_supported: Vec<String>,
    id_token_signing_alg_values_supported: Vec<String>,
}
