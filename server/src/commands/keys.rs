//! `saoma keys`: which keys sign, and the next ones before their time.

use std::fmt::Write as _;

use super::{Said, during};
use crate::{
    audit,
    config::Settings,
    keys::{Keys, Role, role_of},
    store::SharedStore,
    world::{Timestamp, World},
};

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// `saoma keys`.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// List the keys with the part each plays.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let the next keys sign from now on.
    Rotate,
    /// Give up the keys that nobody can open because keys.secret is lost; the server must be stopped.
    ///
    /// Others are made at its next start, with the keys.secret that is set now. What only the lost keys could tell is gone:
    /// who was blocked or refused and then deleted comes back as anybody else.
    ReplaceLocked,
}

/// Does it.
///
/// # Errors
/// Why nothing was done, and what to do.
pub async fn run(
    settings: &Settings,
    store: &SharedStore,
    world: &World,
    command: Command,
) -> Said {
    match command {
        Command::List { json } => list(store, world, json).await,
        Command::Rotate => rotate(settings, store, world).await,
        Command::ReplaceLocked => replace_locked(settings, store, world).await,
    }
}

async fn replace_locked(settings: &Settings, store: &SharedStore, world: &World) -> Said {
    let given_up = Keys::replace_locked(store, &settings.keys, world).await.map_err(said)?;
    if given_up.is_empty() {
        return Ok("Nothing was changed: keys.secret opens all of them.".to_owned());
    }
    Ok(format!(
        "Given up: {}.\nStart the server now: it makes what is missing. Whatever the old keys signed is refused from then on; people and sites stay as they are.",
        given_up.join(", ")
    ))
}

/// Every key with the part it plays.
///
/// # Errors
/// What the store says.
pub async fn list(store: &SharedStore, world: &World, json: bool) -> Said {
    let keys = store.keys().await.map_err(said)?;
    let now = world.now();
    let role = |key| match role_of(key, &keys, now) {
        Role::Next => "next",
        Role::Current => "current",
        Role::Previous => "previous",
        Role::Retired => "retired",
    };
    if json {
        let rows = keys.iter().map(|key| {
            let (made, from) = (key.made.seconds(), key.signs_from.seconds());
            serde_json::json!({ "kid": key.kid, "alg": key.alg, "role": role(key), "made": made, "signs_from": from })
        });
        return Ok(format!("{:#}", serde_json::Value::Array(rows.collect())));
    }
    let mut text = String::from("KID           ALG    ROLE      SIGNS FROM\n");
    for key in &keys {
        let role = role(key);
        let _ = writeln!(text, "{:<13} {:?}  {role:<9} {}", key.kid, key.alg, date(key.signs_from));
    }
    Ok(text)
}

/// Lets the next keys sign now.
///
/// # Errors
/// If the store does not answer, or `keys.secret` is not the one the keys were made with.
pub async fn rotate(settings: &Settings, store: &SharedStore, world: &World) -> Said {
    let loaded = Keys::load(store, &settings.keys, world).await.map_err(said)?;
    // An RSA key is two large primes that have to be found.
    during(world, "making keys", || None, loaded.rotate(store, world, audit::COMMAND))
        .await
        .map_err(said)?;
    let listed = list(store, world, false).await?;
    Ok(format!(
        "{listed}\nThe next keys sign from now on; what the ones before them signed goes on being verified for a day at least."
    ))
}

fn date(at: Timestamp) -> String {
    let stamp = jiff::Timestamp::from_second(at.seconds()).unwrap_or_default();
    stamp.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
