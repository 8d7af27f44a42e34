//! Sites: listed, added, changed, removed, given secrets, and tried out with a real sign-in.

use std::time::Duration;

use askama::Template;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::Value;

use super::{
    super::{
        caller::{Caller, Piece, host_of},
        reply::{html, miniprogram},
    },
    Act, Desk, back,
    door::{at, known},
};
use crate::{
    app::SharedApp,
    console::{
        overview, plot,
        sites::{self, Draft, Faults},
    },
    error::{Code, Error},
    grant::{Request, Scopes},
    login::{self, Claim, Opener, Outcome},
    oidc::Redeem,
    presets::{self, Preset},
    secret::{Hashed, Secret},
    site::{Site, Sites},
    ticket::Kind,
};

/// How long the outcome of a try is shown.
const SHOWN: Duration = Duration::from_secs(10 * 60);

#[derive(Template)]
#[template(path = "console/sites.html")]
struct List {
    desk: Desk,
    sites: Vec<Listed>,
}

struct Listed {
    id: String,
    name: String,
    host: String,
    settled: bool,
    public: bool,
    own: bool,
    sign_ins: u64,
    spark: String,
}

pub(in crate::http) async fn list(desk: Desk) -> Result<Response, Error> {
    let counted = overview::by_site(&desk.app, desk.shift()).await?;
    let mut found: Vec<Listed> = desk
        .app
        .sites
        .all()
        .iter()
        .map(|site| {
            let days = counted.get(&site.id).copied().unwrap_or([0; 30]);
            Listed {
                id: site.id.clone(),
                name: site.name.clone(),
                host: site.redirect_uris.first().map(|uri| host_of(uri)).unwrap_or_default(),
                settled: desk.app.sites.is_settled(&site.id),
                public: site.is_public(),
                own: Sites::is_own(&site.id),
                sign_ins: days.iter().sum(),
                spark: plot::spark(&days),
            }
        })
        .collect();
    found.sort_by(|one, other| (one.own, &one.name).cmp(&(other.own, &other.name)));
    Ok(html(&List { sites: found, desk }))
}

#[derive(Template)]
#[template(path = "console/site.html")]
struct Page {
    desk: Desk,
    draft: Draft,
    faults: Faults,
    /// Whether it is still to be added.
    fresh: bool,
    /// Whether it stands in the settings, which no form changes.
    settled: bool,
    own: bool,
    public: bool,
    secrets: usize,
    /// Where it is told of logouts, which no form changes; and whether that may be a private address.
    backchannel: (String, bool),
    /// A secret that was made just now.
    secret: Option<String>,
    issuer: String,
    sign_ins: u64,
    spark: String,
    /// Of a site still to be added: the applications that are known.
    presets: &'static [Preset],
}

impl Page {
    fn of(desk: Desk, site: &Site) -> Self {
        let written = site.secrets.iter().chain([&site.secret]).filter(|one| !one.is_empty());
        Self {
            draft: Draft::of(site),
            faults: Faults::new(),
            fresh: false,
            settled: desk.app.sites.is_settled(&site.id),
            own: Sites::is_own(&site.id),
            public: site.is_public(),
            secrets: written.count() + site.hashes.len(),
            backchannel: (site.backchannel_logout_uri.clone(), site.backchannel_private),
            secret: None,
            issuer: desk.app.settings.public_url.clone(),
            sign_ins: 0,
            spark: String::new(),
            presets: &[],
            desk,
        }
    }

    fn fresh(desk: Desk, draft: Draft, faults: Faults) -> Self {
        let mut page = Self::of(desk, &Site::new("", ""));
        (page.draft, page.faults, page.fresh, page.public) = (draft, faults, true, false);
        page.presets = presets::all();
        page
    }

    /// Whether a choice is the one that was made.
    fn is(&self, value: &str, word: &str) -> bool {
        value == word
    }
}

fn site_of(desk: &Desk, id: &str) -> Result<std::sync::Arc<Site>, Error> {
    desk.app.sites.get(id).ok_or_else(|| Code::NotFound.into())
}

pub(in crate::http) async fn fresh(desk: Desk) -> Response {
    html(&Page::fresh(desk, Draft::fresh(), Faults::new()))
}

pub(in crate::http) async fn show(desk: Desk, Piece(id): Piece) -> Result<Response, Error> {
    let site = site_of(&desk, &id)?;
    let counted = overview::by_site(&desk.app, desk.shift()).await?;
    let days = counted.get(&id).copied().unwrap_or([0; 30]);
    let mut page = Page::of(desk, &site);
    (page.sign_ins, page.spark) = (days.iter().sum(), plot::spark(&days));
    Ok(html(&page))
}

pub(in crate::http) async fn add(act: Act) -> Result<Response, Error> {
    let draft: Draft = act.read()?;
    let desk = act.desk;
    match sites::add(&desk.app, &desk.operator, &draft).await? {
        Ok(secret) => {
            let site = site_of(&desk, draft.id.trim())?;
            let mut page = Page::of(Desk { done: "added".to_owned(), ..desk }, &site);
            // Shown in this answer alone, which nobody keeps.
            page.secret = secret.map(|secret| secret.reveal().to_owned());
            Ok(html(&page))
        }
        Err(faults) => Ok(refused(&Page::fresh(desk, draft, faults))),
    }
}

/// The form again, with what was typed and what is wrong with it.
pub(super) fn refused(page: &impl Template) -> Response {
    let mut response = html(page);
    *response.status_mut() = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
    response
}

pub(in crate::http) async fn change(Piece(id): Piece, act: Act) -> Result<Response, Error> {
    let draft: Draft = act.read()?;
    let desk = act.desk;
    match sites::change(&desk.app, &desk.operator, &id, &draft).await? {
        Ok(()) => Ok(back(&format!("/console/sites/{id}"), "saved")),
        Err(faults) => {
            let site = site_of(&desk, &id)?;
            let mut page = Page::of(desk, &site);
            (page.draft, page.faults) = (Draft { id, ..draft }, faults);
            Ok(refused(&page))
        }
    }
}

pub(in crate::http) async fn secret(Piece(id): Piece, act: Act) -> Result<Response, Error> {
    let alone = !act.field("alone").is_empty();
    let desk = act.desk;
    let secret = sites::fresh_secret(&desk.app, &desk.operator, &id, alone).await?;
    let site = site_of(&desk, &id)?;
    let mut page = Page::of(desk, &site);
    page.secret = Some(secret.reveal().to_owned());
    Ok(html(&page))
}

pub(in crate::http) async fn remove(Piece(id): Piece, act: Act) -> Result<Response, Error> {
    sites::remove(&act.desk.app, &act.desk.operator, &id).await?;
    Ok(back("/console/sites", "removed"))
}

#[derive(Template)]
#[template(path = "console/try.html")]
struct Try {
    desk: Desk,
    lang: &'static str,
    id: String,
    name: String,
    host: String,
    ticket: String,
    code_url: String,
    has_code: bool,
    on_phone: bool,
    miniprogram: Option<String>,
}

/// What this browser proves at the redemption of what it tried: the same for every ticket of its, and known to nobody else.
fn verifier(app: &SharedApp, cookie: &Secret) -> String {
    app.keys.follow("console try", cookie).reveal().to_owned()
}

/// Opens a real sign-in to a site, on a page of the console.
pub(in crate::http) async fn try_it(desk: Desk, Piece(id): Piece) -> Result<Response, Error> {
    let site = site_of(&desk, &id)?;
    let redirect_uri = site.redirect_uris.first().filter(|_| !Sites::is_own(&id));
    let redirect_uri = redirect_uri.ok_or(Code::NotFound)?.clone();
    let (cookies, cookie) = known(&desk.app, &desk.caller)?;
    let request = Request {
        scopes: Scopes::parse("openid profile email wechat"),
        code_challenge: Some(Hashed::of(verifier(&desk.app, &cookie))),
        ..Request::bare(&id, &redirect_uri)
    };
    let origin = at(&desk.caller)?.origin.clone();
    let opener = Opener::Console { cookie: cookie.hashed(), origin };
    let on_phone = desk.caller.is_on_phone();
    let kind = if on_phone { Kind::OnPhone } else { Kind::Page };
    let opening =
        login::open(&desk.app, &site, request, opener, kind, desk.caller.browser()).await?;
    let page = Try {
        lang: desk.caller.lang.tag(),
        name: site.name.clone(),
        host: host_of(&redirect_uri),
        code_url: format!("/api/tickets/{}/code", opening.ticket.reveal()),
        ticket: opening.ticket.reveal().to_owned(),
        has_code: opening.has_code,
        on_phone,
        miniprogram: miniprogram(&desk.app, desk.caller.lang),
        id,
        desk,
    };
    Ok((cookies, html(&page)).into_response())
}

/// Under what the outcome of a try is kept: the ticket's id is known to the page that opened it alone.
fn tried_name(ticket: &str) -> Hashed {
    Hashed::of(format!("console tried {ticket}"))
}

fn tried_path(site: &str, ticket: &str) -> String {
    format!("/console/sites/{site}/tried/{ticket}")
}

/// Where the page of a try goes whose outcome is there already: its answer was lost on the way.
pub(super) async fn tried_already(app: &SharedApp, ticket: &str) -> Result<Option<String>, Error> {
    let kept = app.tickets.kept(tried_name(ticket), app.world.now()).await?;
    let kept: Option<(String, Value)> = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Ok(kept.map(|(site, _)| tried_path(&site, ticket)))
}

/// Redeems what a phone approved for a site that was tried, and keeps what the site would have been told.
pub(super) async fn take_tried(
    app: &SharedApp,
    caller: &Caller,
    ticket: &str,
    claim: &Claim,
) -> Result<String, Error> {
    let operator = caller.operator(app).await?.ok_or(Code::Unauthorized)?;
    let site = app.sites.get(&claim.request.site).ok_or(Code::UnknownSite)?;
    let told = match &claim.outcome {
        Outcome::Code(code) => {
            let cookie = caller.cookie.as_ref().ok_or(Code::NoSuchTicket)?;
            let redeem = Redeem {
                code: code.clone(),
                redirect_uri: Some(claim.request.redirect_uri.clone()),
                verifier: Some(verifier(app, cookie)),
            };
            sites::told(app, &operator, &site, Hashed::of(ticket), redeem).await?
        }
        _ => Value::Null,
    };
    let json =
        serde_json::to_vec(&(&site.id, told)).map_err(|error| Error::invalid(error.to_string()))?;
    let now = app.world.now();
    app.tickets.keep(tried_name(ticket), Bytes::from(json), now, now + SHOWN).await?;
    Ok(tried_path(&site.id, ticket))
}

#[derive(Template)]
#[template(path = "console/tried.html")]
struct Tried {
    desk: Desk,
    id: String,
    name: String,
    denied: bool,
    scope: String,
    /// The id_token and userinfo, claim by claim.
    parts: Vec<(&'static str, Vec<(String, String)>)>,
    json: String,
}

/// What came of a try.
pub(in crate::http) async fn tried(
    desk: Desk,
    names: Result<axum::extract::Path<(String, String)>, axum::extract::rejection::PathRejection>,
) -> Result<Response, Error> {
    let axum::extract::Path((id, ticket)) = names.map_err(|_| Code::NotFound)?;
    let kept = desk.app.tickets.kept(tried_name(&ticket), desk.app.world.now()).await?;
    let kept: Option<(String, Value)> = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let (_, told) = kept.filter(|(site, _)| *site == id).ok_or(Code::NotFound)?;
    let site = site_of(&desk, &id)?;
    let rows = |part: &str| -> Vec<(String, String)> {
        let text =
            |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let found = told.get(part).and_then(Value::as_object);
        found.into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
    };
    let page = Tried {
        name: site.name.clone(),
        denied: told.is_null(),
        scope: told.get("scope").and_then(Value::as_str).unwrap_or_default().to_owned(),
        parts: ["id_token", "userinfo"].into_iter().map(|part| (part, rows(part))).collect(),
        json: serde_json::to_string_pretty(&told).unwrap_or_default(),
        id,
        desk,
    };
    Ok(html(&page))
}
