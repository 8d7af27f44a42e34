//! What `saoma doctor` looks at, and how it says what it found.

use std::path::PathBuf;

use super::{Out, during};
use crate::{
    config::{Faults, Settings},
    doctor::{self, Dns, Doctor, Roots, plan, report},
    lang::Lang,
    store::SharedStore,
    world::World,
};

/// What it is asked for.
#[derive(Debug, clap::Args)]
pub struct Given {
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
    /// Do not hold a silent WebSocket for a minute.
    #[arg(long)]
    quick: bool,
    /// Wait for one real phone, and print each stage of its sign-in.
    #[arg(long, conflicts_with_all = ["json", "plan"])]
    scan: bool,
    /// Where the code to scan is written.
    #[arg(long, value_name = "FILE", default_value = "saoma-scan.png")]
    picture: PathBuf,
    /// Print a text for an issue: what was found, without names, addresses and secrets.
    #[arg(long, conflicts_with = "json")]
    report: bool,
    /// Print the owner's road from zero, with waiting times.
    #[arg(long)]
    plan: bool,
    /// In which language the road is printed.
    #[arg(long, env = "LANG", hide_env = true, value_parser = |locale: &str| Ok::<_, String>(Lang::of_locale(locale)), default_value = "en")]
    lang: Lang,
}

/// The settings, the store that they name, where there is one yet, and whether their Redis answers, if they name one.
pub type Loaded =
    Result<(Settings, Result<Option<SharedStore>, String>, Option<Result<(), String>>), Faults>;

/// What it has to say, and whether something is broken.
#[derive(Debug)]
pub struct Examined {
    /// For people, or for scripts.
    pub text: Option<String>,
    /// Whether nobody can sign in, or soon nobody will.
    pub is_broken: bool,
}

/// Looks, and where a phone is waited for, tells its stages as they come.
///
/// # Errors
/// If the picture to scan cannot be written.
pub async fn run(given: &Given, loaded: impl Future<Output = Loaded>) -> Result<Examined, String> {
    if given.plan {
        return Ok(Examined { text: Some(plan::text(given.lang)), is_broken: false });
    }
    let (settings, found, scanned) = match loaded.await {
        Err(faults) => (None, doctor::unusable(&faults.0), Vec::new()),
        Ok((settings, store, redis)) => {
            let (world, hold) = (World::real(), (!given.quick).then_some(doctor::HOLD));
            let (roots, dns) = (Roots::Machine, Dns::Machine);
            let doctor = Doctor { settings, world, store, redis, roots, dns, hold };
            let scanned = match given.scan {
                true => doctor.scan(&given.picture, Out).await?,
                false => Vec::new(),
            };
            let found = match given.scan && !given.report {
                true => Vec::new(),
                false => during(&doctor.world, "looking", || None, doctor.examine()).await,
            };
            // What the report must not name.
            let sites = doctor.sites().await;
            (Some(Settings { sites, ..doctor.settings }), found, scanned)
        }
    };
    let text = if given.report {
        Some(report::markdown(settings.as_ref(), &found, &scanned))
    } else if given.json {
        Some(format!("{:#}", doctor::json(&found)))
    } else {
        (!given.scan || settings.is_none()).then(|| doctor::text(&found))
    };
    Ok(Examined { text, is_broken: doctor::is_broken(&found) })
}
