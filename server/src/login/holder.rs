//! Who holds the phone, in the mini program's own pages: what they show, end and have forgotten.

use std::time::Duration;

use wechat::{Suggestion, TextCheck, TextScene};

use super::scan::who;
use crate::{
    app::App,
    error::{Code, Error},
    forgetting,
    person::{Identity, Person},
    secret::{Hashed, Secret},
    site,
    store::{Login, Profile},
};

/// Opens the mini program's own pages for the person who holds this phone: a token that cannot approve.
///
/// # Errors
/// What WeChat and the store say.
pub async fn open_phone(
    app: &App,
    js_code: wechat::JsCode,
) -> Result<(Secret, Duration, Option<Person>), Error> {
    const LIFE: Duration = Duration::from_secs(24 * 3600);
    let identity = who(app, js_code).await?;
    app.limits.of_account(&identity, app.world.now())?;
    let person = app.store.person_of(&identity).await?;
    if person.as_ref().is_some_and(|person| person.blocked) {
        return Err(Code::PersonBlocked.into());
    }
    let token = Secret::new(&app.world);
    app.store.open_phone(token.hashed(), &identity, app.world.now() + LIFE).await?;
    Ok((token, LIFE, person))
}

/// Forgets the person who holds this phone; needs a fresh js_code of theirs besides the token.
///
/// # Errors
/// [`Code::Unauthorized`] if the js_code is somebody else's, [`Code::PersonBlocked`].
pub async fn forget(app: &App, token: Hashed, js_code: wechat::JsCode) -> Result<(), Error> {
    let identity = holder_again(app, token, js_code).await?;
    forget_person(app, app.store.person_of(&identity).await?).await
}

/// How long after a phone's yes its browser may do what cannot be undone.
const FRESH: Duration = Duration::from_secs(300);

/// Whether a phone approved a sign-in a moment ago: then the person is there, and not their browser alone.
pub fn is_fresh(app: &App, login: &Login) -> bool {
    app.world.now().since(login.since) < FRESH
}

/// Forgets the person of a sign-in at saoma's own page, which a phone must have approved a moment ago.
///
/// # Errors
/// [`Code::Unauthorized`] if it has not, [`Code::PersonBlocked`].
pub async fn forget_at_home(app: &App, own: &Login) -> Result<(), Error> {
    if own.site != site::SELF || !is_fresh(app, own) {
        return Err(Code::Unauthorized.into());
    }
    forget_person(app, app.store.person(&own.person).await?).await
}

async fn forget_person(app: &App, person: Option<Person>) -> Result<(), Error> {
    match person {
        // They may not so much as look at these pages; forgetting them is for the operator.
        Some(person) if person.blocked => Err(Code::PersonBlocked.into()),
        Some(person) => {
            forgetting::forget(&app.store, &app.keys, &app.world, &person.id, None).await?;
            Ok(())
        }
        None => Ok(()),
    }
}

/// Ends all of a person's logins, and other phones' tokens; needs a fresh js_code of theirs besides the token.
///
/// # Errors
/// [`Code::Unauthorized`] if the js_code is somebody else's.
pub async fn end_all(app: &App, token: Hashed, js_code: wechat::JsCode) -> Result<(), Error> {
    let now = app.world.now();
    let identity = holder_again(app, token, js_code).await?;
    if let Some(person) = app.store.person_of(&identity).await? {
        app.store.end_all(&person.id, token, now).await?;
    }
    Ok(())
}

/// Who holds this phone, by its token and once more by a fresh js_code: a stolen token alone ends nothing for good.
pub(crate) async fn holder_again(
    app: &App,
    token: Hashed,
    js_code: wechat::JsCode,
) -> Result<Identity, Error> {
    let holder = app.store.phone(token, app.world.now()).await?.ok_or(Code::Unauthorized)?;
    let identity = who(app, js_code).await?;
    if holder.is_same(&identity) { Ok(identity) } else { Err(Code::Unauthorized.into()) }
}

/// What WeChat calls everybody who has not said otherwise (wechat-api.md section 9): no name, and never shown as one.
const NOBODYS_NAME: &str = "微信用户";

/// Changes what a person shows. WeChat is asked about a name before anybody sees it, as its rules want.
///
/// # Errors
/// [`Code::InvalidRequest`] for a name that misleads, is too long or that WeChat does not let stand; [`Code::Unauthorized`]
/// where WeChat has not seen the person for two hours, which a fresh session mends; and what WeChat says.
pub async fn set_profile(
    app: &App,
    person: &Person,
    identity: &Identity,
    mut profile: Profile,
) -> Result<Person, Error> {
    profile.nickname = profile.nickname.map(|nickname| nickname.trim().to_owned());
    profile.nickname =
        profile.nickname.map(|it| if it == NOBODYS_NAME { String::new() } else { it });
    if let Some(nickname) = profile.nickname.as_ref().filter(|nickname| !nickname.is_empty()) {
        if nickname.chars().count() > 32 || site::misleading(nickname) {
            return Err(Error::invalid("nickname: 32 characters at most, none of them invisible"));
        }
        let check = TextCheck::new(&identity.openid, TextScene::Profile, nickname);
        match app.wechat.check_text(&check).await {
            Ok(verdict) if verdict.suggestion == Suggestion::Pass => {}
            Ok(_) => {
                return Err(Error::invalid(
                    "nickname: WeChat does not let it stand; choose another",
                ));
            }
            Err(error) if error.refusal().is_some_and(|refusal| refusal.errcode == 61010) => {
                return Err(Code::Unauthorized.into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    let changed = app.store.set_profile(&person.id, profile).await?;
    changed.ok_or_else(|| Code::Unauthorized.into())
}
