//! The person's own page at `/`: where they are signed in, what is kept of them; sign out, delete.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};

use super::{
    caller::{Caller, Piece},
    cookies,
    pages::{check_own, show_code, show_code_for, shown, signed_in, visitor},
    reply::{ShownSite, error_page, html, name_shown, not_deleted, not_signed_out, site_shown},
};
use crate::{
    app::{App, SharedApp},
    error::{Code, Error},
    grant::{Request, Scope},
    lang::Lang,
    login::{self, face_of},
    oidc::{Authorize, Prompt},
    person::Person,
    site::{self, Sites},
    store::Login,
    world::Timestamp,
};

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    lang: &'static str,
    server_name: String,
    person: Option<HomePerson>,
    logins: Vec<HomeLogin>,
}

struct HomePerson {
    nickname: String,
    avatar: Option<String>,
    username: String,
    since: Moment,
    knowing: Vec<Knowing>,
}

/// A site that knows the person, and what they let it know.
struct Knowing {
    site: ShownSite,
    what: Vec<&'static str>,
}

struct HomeLogin {
    id: String,
    site: ShownSite,
    browser: String,
    since: Moment,
    last_seen: Moment,
    this: bool,
}

pub(super) async fn home(State(app): State<SharedApp>, caller: Caller) -> Response {
    match home_page(&app, &caller).await {
        Ok(page) => shown(&app, html(&page)),
        Err(error) => error_page(caller.lang, &error),
    }
}

async fn home_page(app: &App, caller: &Caller) -> Result<HomePage, Error> {
    let (lang, server_name) = (caller.lang.tag(), app.settings.host());
    let Some((own, person)) = visitor(app, caller).await? else {
        return Ok(HomePage { lang, server_name, person: None, logins: Vec::new() });
    };
    let logins = app.store.logins(&person.id).await?;
    let shown = |login: Login| HomeLogin {
        this: login.id == own.id,
        site: site_shown(app, &login.site, false),
        browser: login.browser.shown(caller.lang),
        since: Moment::of(caller.lang, login.since),
        last_seen: Moment::of(caller.lang, login.last_seen),
        id: login.id,
    };
    let knowing = knowing(app, caller.lang, &person).await?;
    let person = HomePerson {
        nickname: name_shown(caller.lang, &person),
        avatar: face_of(&person).avatar,
        since: Moment::of(caller.lang, person.since),
        username: person.username,
        knowing,
    };
    Ok(HomePage {
        lang,
        server_name,
        person: Some(person),
        logins: logins.into_iter().map(shown).collect(),
    })
}

/// The sites that know a person.
async fn knowing(app: &App, lang: Lang, person: &Person) -> Result<Vec<Knowing>, Error> {
    let given = app.store.consents(&person.id).await?;
    let mut sites: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    // Signing in to saoma itself is no site's business.
    for consent in given.into_iter().filter(|it| it.withdrawn.is_none() && !Sites::is_own(&it.site))
    {
        sites.entry(consent.site).or_default().extend(word(lang, consent.kind));
    }
    let knows = |(id, what): (String, _)| Knowing { site: site_shown(app, &id, false), what };
    Ok(sites.into_iter().map(knows).collect())
}

/// What a site is let know, as the phone calls it; a bare identity has no name.
fn word(lang: Lang, kind: Scope) -> Option<&'static str> {
    let (zh, en) = match kind {
        Scope::Openid => return None,
        Scope::Profile => {
            ("昵称、头像、用户名和所在的组", "nickname, avatar, user name and groups")
        }
        Scope::Email => ("代用邮箱地址", "a stand-in e-mail address"),
        Scope::Wechat => ("微信标识", "WeChat identifiers"),
        Scope::OfflineAccess => ("不在线时也保持登录", "signed in while you are away"),
    };
    Some(lang.s(zh, en))
}

/// A time as scripts read it, and as people do who have none: on a clock that most of them live by.
struct Moment {
    at: String,
    said: String,
}

impl Moment {
    fn of(lang: Lang, at: Timestamp) -> Self {
        const BEIJING: i64 = 8 * 3600;
        let (ahead, form) = match lang {
            Lang::Zh => (BEIJING, "%Y-%m-%d %H:%M 北京时间"),
            Lang::En => (0, "%Y-%m-%d %H:%M UTC"),
        };
        let stamp = |seconds| jiff::Timestamp::from_second(seconds).unwrap_or_default();
        let said = stamp(at.seconds().saturating_add(ahead)).strftime(form).to_string();
        Self { at: stamp(at.seconds()).to_string(), said }
    }
}

/// A sign-in to saoma itself that leads to `path`; never without a scan.
fn own_sign_in(app: &App, path: &str) -> Result<Authorize, Error> {
    let site = app.sites.get(site::SELF).ok_or(Code::UnknownSite)?;
    let request = Request::bare(site::SELF, format!("{}{path}", app.settings.public_url));
    Ok(Authorize { site, request, prompt: Prompt::Scan, max_age: None, lang: None })
}

/// Signs in to saoma itself.
pub(super) async fn login(State(app): State<SharedApp>, caller: Caller) -> Response {
    let page = async { show_code(&app, &caller, own_sign_in(&app, "/")?).await };
    page.await.unwrap_or_else(|error| error_page(caller.lang, &error))
}

pub(super) async fn sign_out(State(app): State<SharedApp>, caller: Caller) -> Response {
    let ended = async {
        check_own(&app, &caller)?;
        if let Some(session) = caller.browser_session() {
            app.store.end_session(session, app.world.now()).await?;
        }
        Ok::<_, Error>(())
    };
    match ended.await {
        Ok(()) => {
            (cookies::give([cookies::public(&app).no_session()]), Redirect::to("/")).into_response()
        }
        Err(error) => not_signed_out(caller.lang, &error),
    }
}

pub(super) async fn end_login(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(id): Piece,
) -> Response {
    let ended = async {
        check_own(&app, &caller)?;
        let own = signed_in(&app, &caller).await?.ok_or(Code::Unauthorized)?;
        app.store.end_login(&own.person, &id, app.world.now()).await?.ok_or(Code::NotFound)?;
        Ok::<_, Error>(())
    };
    match ended.await {
        Ok(()) => Redirect::to("/").into_response(),
        Err(error) => not_signed_out(caller.lang, &error),
    }
}

#[derive(Template)]
#[template(path = "forget.html")]
struct ForgetPage {
    lang: &'static str,
    server_name: String,
    step: Step,
}

/// How far a person is who wants to be forgotten.
enum Step {
    /// Their phone must say once more that it is they.
    Scan,
    /// It has, a moment ago; this is who would be forgotten.
    Confirm { nickname: String, username: String },
    /// They are.
    Done,
}

fn forget_page(app: &SharedApp, lang: Lang, step: Step) -> Response {
    let page = ForgetPage { lang: lang.tag(), server_name: app.settings.host(), step };
    shown(app, html(&page))
}

/// Where a person asks to be forgotten: the form, once a phone has said a moment ago that it is they.
pub(super) async fn ask_to_forget(State(app): State<SharedApp>, caller: Caller) -> Response {
    match visitor(&app, &caller).await {
        Ok(Some((own, person))) if login::is_fresh(&app, &own) => {
            let nickname = name_shown(caller.lang, &person);
            let step = Step::Confirm { nickname, username: person.username };
            forget_page(&app, caller.lang, step)
        }
        Ok(_) => forget_page(&app, caller.lang, Step::Scan),
        Err(error) => error_page(caller.lang, &error),
    }
}

/// The code to scan before that.
pub(super) async fn scan_to_forget(State(app): State<SharedApp>, caller: Caller) -> Response {
    let title = match caller.lang {
        Lang::Zh => "扫码确认是你本人",
        Lang::En => "Scan to show that it is you",
    };
    let page = async {
        let authorize = own_sign_in(&app, "/forget")?;
        show_code_for(&app, &caller, authorize, Some(title.to_owned())).await
    };
    page.await.unwrap_or_else(|error| error_page(caller.lang, &error))
}

/// Forgets the person, whose own page asks for it; where no phone has said a moment ago that it is they, it is to do so first.
pub(super) async fn forget(State(app): State<SharedApp>, caller: Caller) -> Response {
    let forgotten = async {
        check_own(&app, &caller)?;
        match signed_in(&app, &caller).await? {
            Some(own) if login::is_fresh(&app, &own) => {
                login::forget_at_home(&app, &own).await.map(|()| true)
            }
            _ => Ok(false),
        }
    };
    match forgotten.await {
        Ok(true) => {
            let page = forget_page(&app, caller.lang, Step::Done);
            (cookies::give([cookies::public(&app).no_session()]), page).into_response()
        }
        Ok(false) => Redirect::to("/forget").into_response(),
        Err(error) => not_deleted(caller.lang, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_on_the_clock_of_who_reads_it() {
        let late = Timestamp::from_millis(1_793_643_000_000);
        let [zh, en] = [Lang::Zh, Lang::En].map(|lang| Moment::of(lang, late));
        assert_eq!(zh.at, "2026-11-02T18:10:00Z");
        assert_eq!(zh.said, "2026-11-03 02:10 北京时间");
        assert_eq!((en.at, en.said.as_str()), (zh.at, "2026-11-02 18:10 UTC"));
    }
}
