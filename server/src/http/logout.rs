//! Signing out at a site's wish: by a hint at once, else after asking.

use askama::Template;
use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    response::{IntoResponse, Redirect, Response},
};
use schemars::JsonSchema;
use serde::Deserialize;
use url::form_urlencoded;

use super::{
    caller::{Asked, Caller, Pairs, posted},
    cookies,
    guard::as_page,
    reply::{html, not_signed_out},
};
use crate::{
    app::SharedApp,
    error::{Code, Error},
    lang::Lang,
    limits::What,
    oidc::{self, Leave, Leaving},
};

#[derive(Deserialize, Default, JsonSchema)]
pub(super) struct Wish {
    id_token_hint: Option<String>,
    client_id: Option<String>,
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
    ui_locales: Option<String>,
    /// Where a wish by POST is kept.
    kept: Option<String>,
}

impl Wish {
    /// The site knows the person's language better than the browser does.
    fn lang(&self) -> Option<Lang> {
        self.ui_locales.as_deref().and_then(Lang::among)
    }

    fn leave(self) -> Leave {
        // A parameter without a value counts as left out (RFC 6749 section 3.1).
        let some = |value: Option<String>| value.filter(|value| !value.is_empty());
        Leave {
            hint: some(self.id_token_hint),
            client_id: some(self.client_id),
            redirect_uri: some(self.post_logout_redirect_uri),
            state: some(self.state),
        }
    }
}

#[derive(Template)]
#[template(path = "logout.html")]
struct LogoutPage<'a> {
    lang: &'a str,
    server_name: String,
    /// The site that asked, while the person has not answered.
    asks: Option<String>,
    done: bool,
    fields: Vec<(&'static str, String)>,
}

pub(super) async fn logout(
    State(app): State<SharedApp>,
    caller: Caller,
    asked: Result<Asked<Wish>, Error>,
) -> Response {
    let mut lang = caller.lang;
    let left = async {
        let Asked(wish) = asked?;
        lang = wish.lang().unwrap_or(lang);
        let wish = match wish.kept.clone() {
            Some(name) => oidc::kept_wish(&app, &name).await?,
            None => wish.leave(),
        };
        let leaving = oidc::leave(&app, &wish, caller.browser_session()).await?;
        Ok::<_, Error>((wish, leaving))
    };
    match left.await {
        Ok((_, Leaving::Done(next))) => gone(&app, lang, next),
        Ok((mut wish, Leaving::Ask { site })) => {
            // The hint has said whom it names; the page asks in that site's name and needs no token.
            wish.client_id = site.as_ref().map(|site| site.id.clone());
            ask(&app, lang, wish, site.map_or_else(String::new, |site| site.name.clone()))
        }
        Err(error) => not_signed_out(lang, &error),
    }
}

/// A wish by POST is kept and answered with a GET, for the same reasons as an authorization request.
pub(super) async fn logout_by_post(
    State(app): State<SharedApp>,
    caller: Caller,
    form: Result<Form<Wish>, FormRejection>,
) -> Response {
    let kept = async {
        app.limits.of_address(What::Keep, caller.address, app.world.now())?;
        let wish = posted(form)?;
        let lang = wish.lang().map(|lang| ("ui_locales", lang.tag()));
        let name = oidc::keep_wish(&app, &wish.leave()).await?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        Ok::<_, Error>(query.append_pair("kept", &name).extend_pairs(lang).finish())
    };
    match kept.await {
        Ok(query) => Redirect::to(&format!("/oauth2/logout?{query}")).into_response(),
        Err(error) => not_signed_out(caller.lang, &error),
    }
}

/// The person has pressed the button on saoma's own page.
pub(super) async fn confirmed(
    State(app): State<SharedApp>,
    caller: Caller,
    form: Result<Form<Pairs>, FormRejection>,
) -> Response {
    let mut lang = caller.lang;
    let left = async {
        if caller.origin.as_deref() != Some(app.settings.public_url.as_str()) {
            return Err(Code::OriginNotAllowed.into());
        }
        let pairs = posted(form)?;
        let value =
            |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        lang = value("ui_locales").as_deref().and_then(Lang::among).unwrap_or(lang);
        let wish = Leave {
            hint: None,
            client_id: value("client_id"),
            redirect_uri: value("post_logout_redirect_uri"),
            state: value("state"),
        };
        oidc::left(&app, &wish, caller.browser_session()).await
    };
    match left.await {
        Ok(next) => gone(&app, lang, next),
        Err(error) => not_signed_out(lang, &error),
    }
}

fn gone(app: &SharedApp, lang: Lang, next: Option<String>) -> Response {
    let cookies = cookies::give([cookies::public(app).no_session()]);
    match next {
        Some(next) => (cookies, Redirect::to(&next)).into_response(),
        None => {
            let server_name = app.settings.host();
            let page = LogoutPage {
                lang: lang.tag(),
                server_name,
                asks: None,
                done: true,
                fields: vec![],
            };
            (cookies, as_page(app, Some("'self'"), html(&page))).into_response()
        }
    }
}

fn ask(app: &SharedApp, lang: Lang, wish: Leave, site: String) -> Response {
    let stays = wish.redirect_uri.is_none().then_some("'self'");
    let fields = [
        ("client_id", wish.client_id),
        ("post_logout_redirect_uri", wish.redirect_uri),
        ("state", wish.state),
        ("ui_locales", Some(lang.tag().to_owned())),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let server_name = app.settings.host();
    let page = LogoutPage { lang: lang.tag(), server_name, asks: Some(site), done: false, fields };
    as_page(app, stays, html(&page))
}
