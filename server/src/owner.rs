//! What an owner decides on their phone: who of those that ask may sign in.

use crate::{
    app::App,
    error::{Code, Error},
    login,
    person::Person,
    secret::Hashed,
    store::{Asker, Change},
};

/// So many wishes are shown at once; what is answered makes room for the next.
pub const SHOWN: u32 = 50;

/// The owner whose phone this is. To anybody else there is nothing here.
async fn owner(app: &App, token: Hashed) -> Result<Person, Error> {
    let holder = app.store.phone(token, app.world.now()).await?.ok_or(Code::Unauthorized)?;
    match app.store.person_of(&holder).await? {
        Some(person) if person.blocked => Err(Code::PersonBlocked.into()),
        Some(person) if person.is_owner() => Ok(person),
        _ => Err(Code::NotFound.into()),
    }
}

/// Who asks to be let in, who asked last first.
///
/// # Errors
/// [`Code::NotFound`] to who owns nothing here.
pub async fn asks(app: &App, token: Hashed) -> Result<Vec<Asker>, Error> {
    owner(app, token).await?;
    Ok(app.store.askers(SHOWN).await?)
}

/// The owner lets somebody in to a site, or keeps them out of it. Needs a fresh js_code besides the token, so that a stolen
/// token alone opens no door.
///
/// # Errors
/// [`Code::NotFound`] if this person does not ask for that site, or the caller owns nothing here.
pub async fn answer(
    app: &App,
    token: Hashed,
    js_code: wechat::JsCode,
    (username, site): (&str, &str),
    yes: bool,
) -> Result<(), Error> {
    let owner = owner(app, token).await?;
    login::holder_again(app, token, js_code).await?;
    let asker = app.store.person_named(username).await?.ok_or(Code::NotFound)?;
    if app.store.word(&asker.id, site).await? != Some(crate::admission::Word::Asked) {
        return Err(Code::NotFound.into());
    }
    let site = site.to_owned();
    let change = if yes { Change::Admit(site) } else { Change::Refuse(site) };
    app.store.change(&asker.id, change, &owner.id, app.world.now()).await?;
    Ok(())
}
