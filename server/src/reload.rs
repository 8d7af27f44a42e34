//! Taking over changed settings without a restart: the sites, how much is logged, and what stands in the file of regions.
//!
//! Everything else is read once at the start; what changed of it is named and waits for the next one. Settings that cannot
//! be used change nothing.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    app::App,
    audit,
    config::{Faults, Settings},
    log::Log,
    region::Regions,
};

/// What was taken over.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// Sites of the settings that are new, changed or gone.
    pub sites: Vec<String>,
    /// Settings that changed too, and want a restart.
    pub waits: Vec<String>,
}

/// Takes over the sites of these settings, and logs and audits it.
///
/// # Errors
/// The faults of settings that cannot be used; or what the store says, in whose audit log each change stands.
pub async fn take_over(app: &App, loaded: Result<Settings, Faults>) -> Result<Taken, String> {
    let fresh = loaded.map_err(|faults| faults.to_string())?;
    let before: BTreeSet<_> = app.sites.all().iter().map(|site| site.id.clone()).collect();
    let changed = |id: &String| {
        let now = fresh.sites.iter().find(|site| site.id == *id);
        app.sites.settled_site(id).as_deref() != now
    };
    let named = fresh.sites.iter().map(|site| site.id.clone());
    let all: BTreeSet<_> = before.into_iter().chain(named).collect();
    let sites: Vec<String> = all.into_iter().filter(changed).collect();
    let waits = app.settings.wants_restart(&fresh);
    if !sites.is_empty() {
        // Audited before it holds: what cannot be written down does not happen.
        let entry = audit::Entry::new(app.world.now(), "settings.reloaded");
        let entry = entry.with(json!({ "sites": sites }));
        app.store.audit(entry).await.map_err(|error| error.to_string())?;
    }
    app.sites.settle(fresh.sites, &app.settings.public_url);
    app.codes.also_for(app.sites.versions());
    Ok(Taken { sites, waits })
}

/// The same at a signal: what comes of it goes to the log. The level is taken over unless the command line fixed it.
pub async fn reload(app: &App, log: &Log, level_is_fixed: bool, loaded: Result<Settings, Faults>) {
    let level = loaded.as_ref().ok().map(|fresh| fresh.log.level.clone());
    match take_over(app, loaded).await {
        Ok(Taken { sites, waits }) => {
            if let Some(level) = level.filter(|_| !level_is_fixed)
                && let Err(why) = log.set_level(&level)
            {
                tracing::error!(name: "settings.level_refused", why, "the log's level stays as it was");
            }
            read_regions(app).await;
            tracing::info!(name: "settings.reloaded", sites = sites.join(" "), "the settings were read again");
            if !waits.is_empty() {
                tracing::warn!(name: "settings.restart_needed", waits = waits.join(" "), "these settings changed too, and hold from the next start on");
            }
        }
        Err(faults) => {
            tracing::error!(name: "settings.refused", faults, "the settings cannot be used; those before them stay in force");
        }
    }
}

/// Reads the file of regions again: people put a newer one in its place every month. One that cannot be used changes nothing.
async fn read_regions(app: &App) {
    let path = app.settings.region_db.clone();
    if path.is_empty() {
        return;
    }
    // Some have a hundred megabytes.
    match tokio::task::spawn_blocking(move || Regions::open(&path)).await {
        Ok(Ok(fresh)) => {
            app.regions.take_over(fresh);
            tracing::info!(name: "region.read", "the file of regions was read again");
        }
        Ok(Err(why)) => {
            tracing::error!(name: "region.refused", why, "the file of regions before it stays in force");
        }
        // A panic in it has been logged.
        Err(_) => {}
    }
}
