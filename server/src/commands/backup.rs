//! `saoma backup|restore`.

use std::path::Path;

use serde_json::json;

use super::{Said, during, no_database, whole};
use crate::{audit, config::Settings, store::backup, world::World};

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Copies the database, consistent while a server runs on it. What a copy holds is worth as much as the server's own: it is
/// audited.
///
/// # Errors
/// If there is no database, or no place for the copy.
pub async fn make(settings: &Settings, world: &World, to: &Path) -> Said {
    let from = backup::file(settings.store.reveal())?;
    if !from.exists() {
        return Err(no_database(&from));
    }
    let (of, into) = (from.clone(), to.to_owned());
    let copying = tokio::task::spawn_blocking(move || backup::copy(&of, &into));
    let how_far = || Some(backup::progress(&from, to));
    let bytes = during(world, "copying", how_far, copying).await.map_err(said)?.map_err(said)?;
    write_down(world, &from, "backup.made", json!({ "bytes": bytes })).await;
    Ok(format!(
        "{} holds everything that {} has up to now, {} kB. Keep it as you keep passwords; keys.secret and saoma.toml are not in it.",
        to.display(),
        whole(&from).display(),
        bytes.div_ceil(1024)
    ))
}

/// Puts a copy in the database's place.
///
/// # Errors
/// If it is no whole database of saoma's, or a server runs.
pub async fn restore(settings: &Settings, world: &World, from: &Path) -> Said {
    let to = backup::file(settings.store.reveal())?;
    let (of, into) = (from.to_owned(), to.clone());
    let copying = tokio::task::spawn_blocking(move || backup::restore(&of, &into));
    let how_far = || Some(backup::progress(from, &to));
    let aside = during(world, "copying", how_far, copying).await.map_err(said)?.map_err(said)?;
    write_down(world, &to, "backup.restored", json!({})).await;
    let aside = aside.map_or_else(String::new, |aside| {
        format!(" What stood there is {}; delete it when all is well.", aside.display())
    });
    Ok(format!(
        "{} is what {} holds.{aside} Start the server: it brings the schema up to date.",
        whole(&to).display(),
        from.display()
    ))
}

/// A line in the audit log.
async fn write_down(world: &World, path: &Path, what: &str, detail: serde_json::Value) {
    let entry = audit::Entry::new(world.now(), what).with(detail);
    if let Err(error) = backup::note(path, entry).await {
        tracing::warn!(name: "audit.unwritten", %error, "the audit log does not say so");
    }
}
