//! The route table: every URL on one screen.
//!
//! What each does stands in `http/*.rs`, which turn HTTP into calls of `login.rs` and `oidc.rs` and back, and decide nothing.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{delete, get, post},
};
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer};

use crate::{app::SharedApp, limits::What};

mod account;
mod admin;
mod assets;
mod browser;
mod caller;
mod guard;
mod links;
mod logout;
mod oidc;
mod owner;
mod pages;
mod phone;
mod reply;
mod serve;
mod token;
mod watch;

pub use serve::{Door, serve, serve_at};
#[cfg(target_os = "linux")]
pub use watch::attend;

/// Bodies over this are 413. Pictures have a limit of their own.
const BODY: usize = 64 * 1024;

/// What people, pages, phones and sites reach.
pub fn public(app: SharedApp) -> Router {
    let limited = |what| from_fn_with_state((app.clone(), what), guard::limit);

    let tickets = Router::new()
        .route("/", post(browser::open))
        .route("/{ticket}", get(watch::poll).layer(limited(What::Watch)))
        .route("/{ticket}/code", get(browser::code))
        .route("/{ticket}/ws", get(watch::socket).layer(limited(What::Watch)))
        .route("/{ticket}/events", get(watch::events).layer(limited(What::Watch)))
        .route("/{ticket}/claim", post(browser::claim))
        .route("/{ticket}/renew", post(browser::renew))
        .route("/{ticket}/digits", post(browser::digits).layer(limited(What::Digits)))
        .route("/{ticket}/cancel", post(browser::cancel));

    let phone = Router::new()
        .route("/tickets/{scene}/scan", post(phone::scan).layer(limited(What::Scan)))
        .route("/tickets/{scene}/approve", post(phone::approve))
        .route("/tickets/{scene}/deny", post(phone::deny))
        .route(
            "/codes/{digits}/scan",
            post(phone::scan_digits).layer(limited(What::Scan)).layer(limited(What::Digits)),
        )
        .route("/session", post(account::session).layer(limited(What::Scan)))
        .route("/session", delete(account::end_session))
        .route("/attempts", get(account::attempts))
        .route("/consents", get(account::consents))
        .route("/consents/{site}", delete(account::withdraw))
        .route("/logins", get(account::logins))
        .route("/logins", delete(account::end_all).layer(limited(What::Scan)))
        .route("/logins/{id}", delete(account::end_login))
        .route(
            "/profile",
            axum::routing::put(account::set_profile)
                .layer(DefaultBodyLimit::max(account::PROFILE_BODY)),
        )
        .route("/asks", get(owner::asks))
        .route("/asks/{person}/{site}", post(owner::answer).layer(limited(What::Scan)))
        .route("/me", get(account::me))
        .route("/me", delete(account::forget).layer(limited(What::Scan)));

    let site = Router::new()
        .route("/par", post(token::par))
        .route("/token", post(token::token))
        .route("/revoke", post(token::revoke))
        .route("/introspect", post(token::introspect))
        .route("/userinfo", get(token::userinfo).post(token::userinfo_by_post))
        .layer(from_fn_with_state(app.clone(), guard::limit_sites))
        .route("/authorize", get(oidc::authorize).post(oidc::authorize_by_post))
        .route("/logout", get(logout::logout).post(logout::logout_by_post))
        .route("/logout/confirm", post(logout::confirmed))
        .route("/jwks", get(oidc::jwks));

    // Only what is the same for everybody is compressed: secrets and what a caller sends never meet in one (BREACH).
    let assets = Router::new()
        .route("/wechat-login.js", get(assets::element))
        .route("/wxLogin.js", get(assets::wx_login))
        .route("/assets/{name}", get(assets::asset))
        .layer(CompressionLayer::new());

    Router::new()
        .merge(assets)
        .route("/", get(pages::home))
        .route("/login", get(pages::login))
        .route("/link", get(links::page))
        .route("/link", post(links::open).layer(limited(What::Digits)))
        .route("/link/scan", get(links::scan))
        .route("/link/let-in", get(links::let_in))
        .route("/sign-out", post(pages::sign_out))
        .route("/logins/{id}/end", post(pages::end_login))
        .route("/tickets/{ticket}/answer", get(pages::answer))
        .route("/avatars/{name}/{version}", get(pages::avatar))
        .route("/.well-known/openid-configuration", get(oidc::discovery))
        .route("/.well-known/oauth-authorization-server", get(oidc::discovery))
        .route("/healthz", get(admin::healthz))
        .route("/readyz", get(admin::readyz))
        .nest("/api/tickets", tickets)
        .nest("/api/phone", phone)
        .nest("/oauth2", site)
        .fallback(reply::not_found)
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(limited(What::Request))
        .layer(from_fn_with_state(app.clone(), guard::cross_origin))
        .layer(from_fn_with_state(app.clone(), guard::headers))
        .layer(from_fn(reply::in_the_callers_language))
        .layer(CatchPanicLayer::custom(reply::panicked))
        .with_state(app)
}

/// What operators reach, on a listener of its own.
pub fn operators(app: SharedApp) -> Router {
    Router::new()
        .route("/healthz", get(admin::healthz))
        .route("/readyz", get(admin::readyz))
        .fallback(reply::not_found)
        .layer(from_fn_with_state(app.clone(), guard::headers))
        .layer(from_fn(reply::in_the_callers_language))
        .layer(CatchPanicLayer::custom(reply::panicked))
        .with_state(app)
}
