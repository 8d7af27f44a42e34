//! People: searched, looked at, kept out, let in, made owners, linked and forgotten.

use askama::Template;
use axum::{
    extract::{Path, rejection::PathRejection},
    response::Response,
};
use serde::Deserialize;
use url::form_urlencoded;

use super::{
    super::{
        caller::{Asked, Piece},
        reply::html,
    },
    Act, Desk, audit, back,
};
use crate::{
    console::access::by,
    error::{Code, Error},
    forgetting,
    links::{self, Gives},
    owner,
    person::{OWNER, Person},
    store::{self, Asker, Change, Listed, Login, Search},
    world::Timestamp,
};

/// How many people a page shows.
const PAGE: u32 = 30;
/// How many lines of the audit log a person's page shows.
const LINES: u32 = 20;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::http) struct Filter {
    q: String,
    /// owners, blocked, or everybody.
    who: String,
    /// The last of the page before: when they came, and their id.
    at: Option<i64>,
    id: Option<String>,
}

#[derive(Template)]
#[template(path = "console/people.html")]
struct List {
    desk: Desk,
    filter: Filter,
    people: Vec<Row>,
    next: Option<String>,
    /// Who waits for an owner's yes.
    asks: Vec<Ask>,
}

struct Ask {
    id: String,
    name: String,
    username: String,
    site: String,
    site_name: String,
    at: String,
    browser: String,
}

struct Row {
    id: String,
    name: String,
    username: String,
    since: String,
    last_seen: String,
    logins: u32,
    owner: bool,
    blocked: bool,
    groups: Vec<String>,
}

fn row(desk: &Desk, listed: &Listed) -> Row {
    let Listed { person, last_seen, logins } = listed;
    Row {
        id: person.id.clone(),
        name: desk.name(person),
        username: person.username.clone(),
        since: desk.time(person.since),
        last_seen: last_seen.map_or_else(|| "–".to_owned(), |at| desk.time(at)),
        logins: *logins,
        owner: person.is_owner(),
        blocked: person.blocked,
        groups: other_groups(person),
    }
}

fn other_groups(person: &Person) -> Vec<String> {
    person.groups.iter().filter(|group| *group != OWNER).cloned().collect()
}

pub(in crate::http) async fn list(
    desk: Desk,
    Asked(filter): Asked<Filter>,
) -> Result<Response, Error> {
    let after = filter.at.zip(filter.id.clone());
    let search = Search {
        text: filter.q.trim().to_owned(),
        group: (filter.who == "owners").then(|| OWNER.to_owned()),
        blocked: (filter.who == "blocked").then_some(true),
        after: after.map(|(at, id)| (Timestamp::from_millis(at), id)),
        most: PAGE + 1,
    };
    let mut found = desk.app.store.people(&search).await?;
    let more = found.len() > usize::try_from(PAGE).unwrap_or(0);
    found.truncate(usize::try_from(PAGE).unwrap_or(0));
    let next = found.last().filter(|_| more).map(|last| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("q", &filter.q).append_pair("who", &filter.who);
        query.append_pair("at", &last.person.since.millis().to_string());
        query.append_pair("id", &last.person.id);
        format!("/console/people?{}", query.finish())
    });
    let people = found.iter().map(|listed| row(&desk, listed)).collect();
    let asks = desk.app.store.askers(owner::SHOWN).await?;
    let ask = |asker: Asker| Ask {
        id: asker.person.id.clone(),
        name: desk.name(&asker.person),
        username: asker.person.username.clone(),
        site_name: desk
            .app
            .sites
            .get(&asker.site)
            .map_or_else(|| asker.site.clone(), |site| site.name.clone()),
        site: asker.site,
        at: desk.time(asker.at),
        browser: asker.browser.map(|browser| browser.shown(desk.l)).unwrap_or_default(),
    };
    let asks = asks.into_iter().map(ask).collect();
    Ok(html(&List { people, next, asks, filter, desk }))
}

#[derive(Template)]
#[template(path = "console/person.html")]
struct Page {
    desk: Desk,
    id: String,
    name: String,
    username: String,
    since: String,
    owner: bool,
    blocked: bool,
    myself: bool,
    groups: Vec<String>,
    identities: Vec<(String, String, String)>,
    subs: Vec<(String, String)>,
    logins: Vec<LoginRow>,
    lines: Vec<audit::Row>,
    /// A link that was made just now.
    link: Option<String>,
}

struct LoginRow {
    id: String,
    site: String,
    browser: String,
    address: String,
    since: String,
    last_seen: String,
}

fn login_row(desk: &Desk, login: &Login) -> LoginRow {
    let site = desk.app.sites.get(&login.site);
    let region = login.browser.region.as_ref().map(|region| format!(" · {region}"));
    LoginRow {
        id: login.id.clone(),
        site: site.map_or_else(|| login.site.clone(), |site| site.name.clone()),
        browser: login.browser.shown(desk.l) + &region.unwrap_or_default(),
        // An address of noughts has been forgotten.
        address: Some(login.browser.address)
            .filter(|address| !address.is_unspecified())
            .map(|address| address.to_string())
            .unwrap_or_default(),
        since: desk.time(login.since),
        last_seen: desk.time(login.last_seen),
    }
}

pub(in crate::http) async fn show(desk: Desk, Piece(id): Piece) -> Result<Response, Error> {
    person_page(desk, id, None).await
}

/// A one-time link by which another WeChat becomes this person's, and their page with it.
async fn link(desk: Desk, id: String, instead: bool) -> Result<Response, Error> {
    desk.app.store.person(&id).await?.ok_or(Code::NotFound)?;
    let app = desk.app.clone();
    let gives = Gives::Person { id: id.clone(), instead };
    let by = by(&desk.operator).to_owned();
    let url = &app.settings.public_url;
    let made = links::make(&app.store, &app.world, url, (gives, &by), links::LIFE).await?;
    person_page(desk, id, Some(made)).await
}

async fn person_page(desk: Desk, id: String, link: Option<String>) -> Result<Response, Error> {
    let store = &desk.app.store;
    let person = store.person(&id).await?.ok_or(Code::NotFound)?;
    let logins = store.logins(&id).await?;
    let lines = store.audit_of(&id, LINES).await?;
    let identities = store.identities(&id).await?.into_iter();
    let page = Page {
        name: desk.name(&person),
        username: person.username.clone(),
        since: desk.time(person.since),
        owner: person.is_owner(),
        blocked: person.blocked,
        myself: desk.operator.person.as_ref().is_some_and(|me| me.id == id),
        groups: other_groups(&person),
        identities: identities
            .map(|one| (one.appid, one.openid, one.unionid.unwrap_or_default()))
            .collect(),
        subs: store.subs(&id).await?,
        logins: logins.iter().map(|login| login_row(&desk, login)).collect(),
        lines: audit::rows(&desk, &lines).await?,
        link,
        id,
        desk,
    };
    Ok(html(&page))
}

/// What an operator does to a person.
pub(in crate::http) async fn act(
    names: Result<Path<(String, String)>, PathRejection>,
    act: Act,
) -> Result<Response, Error> {
    let Path((id, verb)) = names.map_err(|_| Code::NotFound)?;
    let (login, site) = (act.field("login").to_owned(), act.field("site").to_owned());
    let instead = !act.field("instead").is_empty();
    let desk = act.desk;
    if verb == "link" {
        return link(desk, id, instead).await;
    }
    let Desk { app, operator, .. } = desk;
    let (by, now) = (by(&operator), app.world.now());
    let (people, page) = ("/console/people", format!("/console/people/{id}"));
    let (change, to, done) = match verb.as_str() {
        "block" => (Change::Block, page.as_str(), "blocked"),
        "unblock" => (Change::Unblock, page.as_str(), "unblocked"),
        "own" => (Change::Join(OWNER.to_owned()), page.as_str(), "owner"),
        "disown" => (Change::Leave(OWNER.to_owned()), page.as_str(), "not-owner"),
        "admit" => (Change::Admit(site), people, "let-in"),
        "refuse" => (Change::Refuse(site), people, "kept-out"),
        "end" => (Change::End(login), page.as_str(), "ended"),
        "forget" => {
            app.store.person(&id).await?.ok_or(Code::NotFound)?;
            let forgotten =
                forgetting::forget(&app.store, &app.keys, &app.world, &id, Some(by)).await;
            return match forgotten {
                Err(store::Error::LastOwner) => Ok(back(&page, "last-owner")),
                Err(error) => Err(error.into()),
                Ok(_) => Ok(back(people, "forgotten")),
            };
        }
        _ => return Err(Code::NotFound.into()),
    };
    let ends = matches!(change, Change::End(_));
    match app.store.change(&id, change, by, now).await {
        Err(store::Error::LastOwner) => Ok(back(&page, "last-owner")),
        Err(error) => Err(error.into()),
        Ok(Some(changed)) if !ends || !changed.ended.is_empty() => Ok(back(to, done)),
        Ok(_) => Err(Code::NotFound.into()),
    }
}
