//! The route table: every URL on one screen.
//!
//! What each does stands in `http/*.rs`, which turn HTTP into calls of `login.rs` and `oidc.rs` and back, and decide nothing.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{delete, get, post},
};
use tower::ServiceBuilder;
use tower_http::compression::CompressionLayer;

use crate::{app::SharedApp, limits::What};

mod account;
mod admin;
mod assets;
mod browser;
mod caller;
mod console;
mod cookies;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzed;
mod guard;
mod home;
mod links;
mod logout;
mod neighbours;
mod oidc;
mod openapi;
mod owner;
mod pages;
mod phone;
mod rainbow;
mod reply;
mod serve;
mod token;
mod watch;

pub(crate) use reply::lang_of;

pub use openapi::{document, operators_document};
pub use serve::{Door, serve, serve_at};
#[cfg(target_os = "linux")]
pub use watch::attend;

/// Bodies over this are 413. Pictures have a limit of their own.
const BODY: usize = 64 * 1024;

/// What people, pages, phones and sites reach.
pub fn public(app: SharedApp) -> Router {
    let limited = |what| from_fn_with_state((app.clone(), what), guard::limit);

    let tickets = Router::new()
        .route("/api/tickets", post(browser::open))
        .route("/api/tickets/{ticket}", get(watch::poll).layer(limited(What::Watch)))
        .route("/api/tickets/{ticket}/code", get(browser::code))
        .route("/api/tickets/{ticket}/ws", get(watch::socket).layer(limited(What::Watch)))
        .route("/api/tickets/{ticket}/events", get(watch::events).layer(limited(What::Watch)))
        .route("/api/tickets/{ticket}/claim", post(browser::claim))
        .route("/api/tickets/{ticket}/renew", post(browser::renew))
        .route("/api/tickets/{ticket}/digits", post(browser::digits).layer(limited(What::Digits)))
        .route("/api/tickets/{ticket}/cancel", post(browser::cancel));

    let phone = Router::new()
        .route("/api/phone/tickets/{scene}/scan", post(phone::scan).layer(limited(What::Scan)))
        .route("/api/phone/tickets/{scene}/approve", post(phone::approve))
        .route("/api/phone/tickets/{scene}/deny", post(phone::deny))
        .route(
            "/api/phone/codes/{digits}/scan",
            post(phone::scan_digits).layer(limited(What::Scan)).layer(limited(What::Digits)),
        )
        .route("/api/phone/session", post(account::session).layer(limited(What::Scan)))
        .route("/api/phone/session", delete(account::end_session))
        .route("/api/phone/attempts", get(account::attempts))
        .route("/api/phone/consents", get(account::consents))
        .route("/api/phone/consents/{site}", delete(account::withdraw))
        .route("/api/phone/logins", get(account::logins))
        .route("/api/phone/logins", delete(account::end_all).layer(limited(What::Scan)))
        .route("/api/phone/logins/{id}", delete(account::end_login))
        .route(
            "/api/phone/profile",
            axum::routing::put(account::set_profile)
                .layer(DefaultBodyLimit::max(account::PROFILE_BODY)),
        )
        .route("/api/phone/asks", get(owner::asks))
        .route("/api/phone/asks/{person}/{site}", post(owner::answer).layer(limited(What::Scan)))
        .route("/api/phone/me", get(account::me))
        .route("/api/phone/me", delete(account::forget).layer(limited(What::Scan)))
        .layer(from_fn(guard::carry_through));

    let site = Router::new()
        .route("/oauth2/par", post(token::par))
        .route("/oauth2/device_authorization", post(token::device))
        .route("/oauth2/token", post(token::token))
        .route("/oauth2/revoke", post(token::revoke))
        .route("/oauth2/introspect", post(token::introspect))
        .route("/oauth2/userinfo", get(token::userinfo).post(token::userinfo_by_post))
        .layer(from_fn_with_state(app.clone(), guard::limit_sites))
        .route("/oauth2/authorize", get(oidc::authorize).post(oidc::authorize_by_post))
        .route("/oauth2/logout", get(logout::logout).post(logout::logout_by_post))
        .route("/oauth2/logout/confirm", post(logout::confirmed))
        .route("/oauth2/jwks", get(oidc::jwks));

    // On the hosts of applications, whose proxies hand these through.
    let applications = Router::new()
        .route("/.saoma/start", get(forward::start))
        .route("/.saoma/callback", get(forward::callback))
        .route("/.saoma/sign-out", get(forward::sign_out).post(forward::sign_out_by_post))
        .route("/.saoma/page.css", get(assets::style));

    // Only what is the same for everybody is compressed: secrets and what a caller sends never meet in one (BREACH).
    let assets = Router::new()
        .route("/wechat-login.js", get(assets::element))
        .route("/wechat-login.d.ts", get(assets::element_types))
        .route("/custom-elements.json", get(assets::element_manifest))
        .route("/wxLogin.js", get(assets::wx_login))
        .route("/assets/{name}", get(assets::asset))
        .layer(CompressionLayer::new());

    Router::new()
        .merge(assets)
        .route("/", get(home::home))
        .route("/login", get(home::login))
        .route(
            "/connect.php",
            get(rainbow::connect)
                .post(rainbow::connect)
                .layer(from_fn_with_state(app.clone(), guard::limit_sites)),
        )
        .route("/connect/{name}", get(rainbow::page))
        .route("/device", get(pages::device))
        .route("/link", get(links::page))
        .route("/link", post(links::open).layer(limited(What::Digits)))
        .route("/link/scan", get(links::scan))
        .route("/link/let-in", get(links::let_in))
        .route("/forward-auth", get(forward::check))
        .route("/forward-auth/nginx", get(forward::check_for_nginx))
        .merge(applications)
        .route("/sign-out", post(home::sign_out))
        .route("/logins/{id}/end", post(home::end_login))
        .route("/me.json", get(account::taken_along))
        .route("/forget", get(home::ask_to_forget).post(home::forget))
        .route("/forget/scan", get(home::scan_to_forget))
        .route("/tickets/{ticket}/answer", get(pages::answer))
        .route("/avatars/{name}/{version}", get(pages::avatar))
        .route("/logos/{site}/{version}", get(pages::logo))
        .route("/.well-known/openid-configuration", get(oidc::discovery))
        .route("/.well-known/oauth-authorization-server", get(oidc::discovery))
        .route("/openapi.json", get(openapi::public))
        .route("/healthz", get(admin::healthz))
        .route("/readyz", get(admin::readyz))
        .merge(tickets)
        .merge(phone)
        .merge(site)
        .fallback(reply::no_page)
        .method_not_allowed_fallback(reply::method_not_allowed)
        // In one layer: each by itself would be allocated anew for every request.
        .layer(
            ServiceBuilder::new()
                .layer(from_fn_with_state(app.clone(), guard::public))
                .layer(DefaultBodyLimit::max(BODY)),
        )
        .with_state(app)
}

/// What plain http gets where saoma ends TLS: the way to https.
pub fn to_https(public_url: &str) -> Router {
    let public_url = public_url.to_owned();
    // 308: what was posted is posted again, and browsers remember it.
    Router::new().fallback(async move |uri: axum::http::Uri| {
        let path = uri.path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
        axum::response::Redirect::permanent(&format!("{public_url}{path}"))
    })
}

/// What operators reach, on a listener of its own.
pub fn operators(app: SharedApp) -> Router {
    // Machines call this host by whatever name they reach it: what tells them from a stranger's page is what browsers send.
    let machines = Router::new()
        .route("/readyz", get(admin::readyz))
        .route("/metrics", get(admin::metrics))
        .route("/neighbours/token", get(neighbours::token).post(neighbours::token))
        .layer(from_fn(guard::no_page));

    Router::new()
        .route("/openapi.json", get(openapi::for_operators))
        .route("/healthz", get(admin::healthz))
        .merge(machines)
        .merge(operators_console(&app))
        .fallback(reply::not_found)
        .layer(from_fn_with_state(app.clone(), guard::operators))
        .with_state(app)
}

/// The console, and what its pages need to show a code and to follow a phone.
fn operators_console(app: &SharedApp) -> Router<SharedApp> {
    let tickets = Router::new()
        .route("/{ticket}", get(watch::poll))
        .route("/{ticket}/code", get(browser::code))
        .route("/{ticket}/ws", get(watch::socket))
        .route("/{ticket}/events", get(watch::events))
        .route("/{ticket}/claim", post(console::claim))
        .route("/{ticket}/renew", post(browser::renew))
        .route("/{ticket}/digits", post(browser::digits))
        .route("/{ticket}/cancel", post(browser::cancel));

    let pages = Router::new()
        .route("/", get(console::overview::page))
        .route("/quota", post(console::overview::ask_quota))
        .route("/sign-in", get(console::door::sign_in))
        .route("/sign-out", post(console::door::sign_out))
        .route("/link", get(console::door::link).post(console::door::arrive))
        .route("/sites", get(console::sites::list))
        .route("/sites/new", get(console::sites::fresh).post(console::sites::add))
        .route("/sites/new/{app}", get(console::presets::form).post(console::presets::add))
        .route("/sites/{id}", get(console::sites::show).post(console::sites::change))
        .route("/sites/{id}/secret", post(console::sites::secret))
        .route("/sites/{id}/remove", post(console::sites::remove))
        .route("/sites/{id}/try", get(console::sites::try_it))
        .route("/sites/{id}/tried/{ticket}", get(console::sites::tried))
        .route("/people", get(console::people::list))
        .route("/people/{id}", get(console::people::show))
        .route("/people/{id}/{act}", post(console::people::act))
        .route("/audit", get(console::audit::page))
        .route("/keys", get(console::keys::page))
        .route("/keys/rotate", post(console::keys::rotate))
        .route("/settings", get(console::settings::page))
        .fallback(reply::not_found);

    Router::new()
        .route("/", get(console::door::home))
        .route("/assets/{name}", get(assets::console_asset))
        .nest("/api/tickets", tickets)
        .nest("/console", pages)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(from_fn_with_state(app.clone(), console::guard))
        .layer(from_fn_with_state((app.clone(), What::Console), guard::limit))
        .layer(from_fn(reply::as_console_pages))
}
