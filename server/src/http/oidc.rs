//! What a browser carries between a site and saoma: authorization requests and their answers, and signing out.

use axum::{
    Form, Json,
    extract::{State, rejection::FormRejection},
    http::header,
    response::{IntoResponse, Redirect, Response},
};
use url::form_urlencoded;

use super::{
    caller::{Asked, Caller, Pairs, posted},
    pages,
    reply::{error_page, error_page_of_form, log_cause},
};
use crate::{
    app::SharedApp,
    error::Error,
    lang::Lang,
    limits::What,
    login,
    oidc::{self, Authorize, Failure, Params, Prompt},
};

pub(super) async fn authorize(
    State(app): State<SharedApp>,
    mut caller: Caller,
    asked: Result<Asked<Pairs>, Error>,
) -> Response {
    let params = match asked {
        Ok(Asked(pairs)) => oidc::pushed(&app, Params::read(pairs)).await,
        Err(error) => Err(error),
    };
    let params = match params {
        Ok(params) => params,
        Err(error) => return error_page(caller.lang, &error),
    };
    let authorize = match oidc::authorize(&app, &params) {
        Ok(authorize) => authorize,
        Err(Failure::Page(error)) => return error_page(caller.lang, &error),
        Err(Failure::Refused(_, answer)) => {
            return pages::answered(&app, caller.lang.tag(), &answer);
        }
    };
    // The site knows the person's language better than the browser does (OIDC Core 3.1.2.1).
    caller.lang = authorize.lang.as_deref().and_then(Lang::among).unwrap_or(caller.lang);
    let silent = authorize.prompt == Prompt::None;
    let unavailable = silent.then(|| oidc::unavailable(&app, &authorize.request));
    match (show(&app, &caller, authorize).await, unavailable) {
        (Ok(response), _) => response,
        // No page, whatever is wrong: the site is told (OIDC Core 3.1.2.1).
        (Err(error), Some(answer)) => {
            log_cause(&error);
            pages::answered(&app, caller.lang.tag(), &answer)
        }
        (Err(error), None) => error_page(caller.lang, &error),
    }
}

/// A request by POST is kept, and answered with a GET that names it: only to that one do browsers send Lax cookies along,
/// and what was posted so as to stand in no URL stands in none. One that cannot go on is answered at once: anybody can post,
/// and what is kept takes room.
pub(super) async fn authorize_by_post(
    State(app): State<SharedApp>,
    caller: Caller,
    form: Result<Form<Pairs>, FormRejection>,
) -> Response {
    let kept = app.limits.of_address(What::Keep, caller.address, app.world.now());
    let sent = match kept.and_then(|()| posted(form)) {
        Ok(pairs) => Params::read(pairs),
        Err(error) => return error_page_of_form(caller.lang, &error),
    };
    let named = sent.get("request_uri").map(ToOwned::to_owned);
    let params = match oidc::pushed(&app, sent).await {
        Ok(params) => params,
        Err(error) => return error_page_of_form(caller.lang, &error),
    };
    match oidc::authorize(&app, &params) {
        Ok(_) => {}
        Err(Failure::Page(error)) => return error_page_of_form(caller.lang, &error),
        Err(Failure::Refused(_, answer)) => {
            return pages::answered(&app, caller.lang.tag(), &answer);
        }
    }
    let kept = match named {
        // One that was pushed before, or it would have been refused: it is kept already.
        Some(request_uri) => Ok(request_uri),
        None => oidc::push(&app, &params).await,
    };
    match kept {
        Ok(request_uri) => {
            let client_id = params.get("client_id").unwrap_or_default();
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("client_id", client_id)
                .append_pair("request_uri", &request_uri)
                .finish();
            Redirect::to(&format!("/oauth2/authorize?{query}")).into_response()
        }
        Err(error) => error_page_of_form(caller.lang, &error),
    }
}

/// Shows the page, unless the browser may skip it.
async fn show(app: &SharedApp, caller: &Caller, authorize: Authorize) -> Result<Response, Error> {
    let now = app.world.now();
    let logins = caller.logins(app).await?;
    let skips = oidc::may_skip(app, &authorize, &logins).zip(caller.cookie.as_ref());
    let held = skips.map(|(login, _)| app.limits.of_skips(&login.person, now));
    let skips = match (held, authorize.prompt) {
        // No page may be shown, and that nobody is signed in would be wrong: the site is to try again.
        (Some(Err(error)), Prompt::None) => return Err(error),
        // Who skips too often can scan.
        (Some(Err(_)), _) => None,
        _ => skips,
    };
    if let Some((login, cookie)) = skips {
        // It costs as much as a ticket: a durable write, and a code.
        app.limits.of_address(What::Ticket, caller.address, now)?;
        let (site, request, browser) =
            (&authorize.site, authorize.request.clone(), caller.browser());
        let claim = login::skip(app, site, request, login, cookie.hashed(), browser).await?;
        if let Some(claim) = claim {
            return Ok(pages::answered(app, caller.lang.tag(), &oidc::answer(app, &claim)));
        }
    }
    if authorize.prompt == Prompt::None {
        let answer = oidc::login_required(app, &authorize.request);
        return Ok(pages::answered(app, caller.lang.tag(), &answer));
    }
    pages::show_code(app, caller, authorize).await
}

/// Whoever keeps an answer for others keeps one that every origin may read.
const FOR_EVERYBODY: [(header::HeaderName, &str); 2] =
    [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (header::CACHE_CONTROL, "public, max-age=300")];

pub(super) async fn jwks(State(app): State<SharedApp>) -> Response {
    (FOR_EVERYBODY, Json(app.keys.jwks())).into_response()
}

pub(super) async fn discovery(State(app): State<SharedApp>) -> Response {
    (FOR_EVERYBODY, Json(oidc::discovery(&app))).into_response()
}
