//! One-time links: the page that takes the secret out of its own address, the code to scan for it, and what comes after.

use askama::Template;
use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    response::{IntoResponse, Redirect, Response},
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    caller::{Asked, Caller, host_of, posted},
    pages,
    reply::{error_page, html},
};
use crate::{
    app::SharedApp,
    error::{Code, Error},
    grant::Request,
    links::{self, Gives},
    oidc::{Authorize, Prompt},
    secret::Secret,
    site,
};

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage {
    lang: &'static str,
    server_name: String,
}

#[derive(Template)]
#[template(path = "let_in.html")]
struct LetInPage {
    lang: &'static str,
    site_name: String,
    site_host: String,
    site_url: Option<String>,
}

pub(super) async fn page(State(app): State<SharedApp>, caller: Caller) -> Response {
    let server_name = app.settings.host();
    pages::shown(&app, html(&LinkPage { lang: caller.lang.tag(), server_name }))
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Typed {
    code: String,
}

/// The secret came by POST. It is kept here for a few minutes, and this browser alone goes on by a name that stands for it.
pub(super) async fn open(
    State(app): State<SharedApp>,
    caller: Caller,
    form: Result<Form<Typed>, FormRejection>,
) -> Response {
    let (cookies, cookie) = pages::known_by(&app, &caller);
    let kept = async {
        pages::check_own(&app, &caller)?;
        let typed = posted(form)?;
        // Whole addresses are pasted too.
        let code = typed.code.trim().rsplit('#').next().unwrap_or_default().to_owned();
        links::begin(&app, &Secret::from(code), &cookie).await
    };
    match kept.await {
        Ok(name) => {
            let next = format!("/link/scan?kept={}", name.reveal());
            (cookies, Redirect::to(&next)).into_response()
        }
        Err(error) => error_page(caller.lang, &error),
    }
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Begun {
    kept: String,
}

/// The code to scan for what the link gives.
pub(super) async fn scan(
    State(app): State<SharedApp>,
    caller: Caller,
    asked: Result<Asked<Begun>, Error>,
) -> Response {
    let shown = async {
        let Asked(begun) = asked?;
        let cookie = caller.cookie.as_ref().ok_or(Code::LinkOver)?;
        let link = links::begun(&app, &Secret::from(begun.kept), cookie).await?;
        let site = app.sites.get(site::SELF).ok_or(Code::UnknownSite)?;
        let own = &app.settings.public_url;
        let back = match &link.gives {
            Gives::Site(id) => format!("{own}/link/let-in?site={id}"),
            Gives::Server | Gives::Person { .. } => format!("{own}/"),
        };
        let request = Request { link: Some(link.hash), ..Request::bare(site::SELF, back) };
        let authorize =
            Authorize { site, request, prompt: Prompt::Scan, max_age: None, lang: None };
        let title = pages::offer(&app, caller.lang, &link.gives).await?;
        pages::show_code_for(&app, &caller, authorize, Some(title)).await
    };
    match shown.await {
        Ok(response) => response,
        Err(error) => error_page(caller.lang, &error),
    }
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct LetIn {
    site: String,
}

/// An invitation has been taken: the site is a click away.
pub(super) async fn let_in(
    State(app): State<SharedApp>,
    caller: Caller,
    asked: Result<Asked<LetIn>, Error>,
) -> Response {
    let site = asked.and_then(|Asked(asked)| {
        app.sites.get(&asked.site).ok_or_else(|| Error::from(Code::UnknownSite))
    });
    match site {
        Ok(site) => {
            let uri = site.address().and_then(|uri| url::Url::parse(uri).ok());
            let url = uri.map(|uri| uri.origin().ascii_serialization()).filter(|url| url != "null");
            let page = LetInPage {
                lang: caller.lang.tag(),
                site_name: site.name.clone(),
                site_host: url.as_deref().map(host_of).unwrap_or_default(),
                site_url: url,
            };
            pages::shown(&app, html(&page))
        }
        Err(error) => error_page(caller.lang, &error),
    }
}
