//! Forgetting a person, and who it was when they come back.
//!
//! Of somebody who is kept out, of the server or of one site, a shadow is left: that they are, under fresh names, and a keyed
//! hash in the place of each openid. It leads to nobody until WeChat names the same account again, and goes when an owner
//! keeps them out no more.

use crate::{
    app::App,
    keys::Keys,
    person::{Identity, Newcomer},
    secret::Hashed,
    store::{self, Login, Shadow, SharedStore},
    world::World,
};

/// What stands before the hash in the place of an openid; no openid has a colon.
pub const SHADE: &str = "forgotten:";

/// Forgets a person, by somebody's word where it is not their own; the logins that ended with it.
///
/// # Errors
/// What the store says.
pub async fn forget(
    store: &SharedStore,
    keys: &Keys,
    world: &World,
    person: &str,
    by: Option<&str>,
) -> Result<Vec<Login>, store::Error> {
    let identities = store.identities(person).await?;
    let identities = identities.iter().map(|identity| shade(keys, identity)).collect();
    let shadow = Shadow { newcomer: Newcomer::new(world), identities };
    store.forget(person, shadow, by, world.now()).await
}

/// WeChat has named somebody: if they were kept out when they were forgotten, they are again who they were.
///
/// # Errors
/// What the store says.
pub async fn meet(app: &App, identity: &Identity) -> Result<(), store::Error> {
    app.store.meet(identity, &shade(&app.keys, identity)).await
}

/// What stands in the place of this identity once its person is forgotten.
pub fn shade(keys: &Keys, identity: &Identity) -> Identity {
    let name = Hashed::of(format!("{}\n{}", identity.appid, identity.openid));
    let hash = keys.derive("forgotten", name);
    Identity {
        appid: identity.appid.clone(),
        openid: format!("{SHADE}{}", hash.reveal()),
        unionid: None,
    }
}
