//! `saoma site`: what applications people sign in to, and whom each lets in.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use super::{Said, person};
use crate::{
    admission::Admit,
    audit,
    config::Settings,
    links::Gives,
    site::{
        Logo, Site, Sites, beside,
        keeping::{Keeping, Refusal},
    },
    store::SharedStore,
    world::World,
};

mod add;

pub use add::{New, add};

/// `saoma site`.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Register a site, and say what to paste into the application.
    Add(Box<New>),
    /// List all sites, those of the settings among them.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one.
    Show {
        /// Its client_id.
        id: String,
    },
    /// Forget one, and end every sign-in there.
    Remove {
        /// Its client_id.
        id: String,
    },
    /// Say whom one lets in beside the owners.
    Admit {
        /// Its client_id.
        id: String,
        /// Everybody, named people, invited ones, or whom an owner says yes to.
        #[arg(value_enum)]
        whom: Admit,
        /// A group of people whom it lets in; may be given several times.
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
    },
    /// Give one a picture, shown on the phone and beside the code.
    Logo {
        /// Its client_id.
        id: String,
        /// A square PNG or JPEG; none takes the picture away.
        file: Option<String>,
    },
    /// Say where one is told when a login ends (back-channel logout).
    Backchannel {
        /// Its client_id.
        id: String,
        /// The address; none: it is told no more.
        uri: Option<String>,
        /// The address may be a private one.
        #[arg(long, requires = "uri")]
        private: bool,
    },
    /// Invite people to one: print one-time links, each for one person.
    Invite {
        /// Its client_id.
        id: String,
        /// How many.
        #[arg(long, default_value_t = 1)]
        count: u32,
        /// How long the links wait.
        #[command(flatten)]
        life: person::Life,
    },
    /// Let plugins that speak the rainbow protocol (彩虹聚合登录) sign people in to one: print a fresh key.
    Rainbow {
        /// Its client_id.
        id: String,
        /// Shut the bridge again.
        #[arg(long)]
        off: bool,
    },
    /// Make a fresh secret for one.
    Secret {
        /// Its client_id.
        id: String,
        /// End the ones before it.
        #[arg(long)]
        alone: bool,
    },
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
        Command::Add(new) => add(settings, store, world, *new).await,
        Command::List { json } => list(settings, store, json).await,
        Command::Show { id } => show(settings, store, &id).await,
        Command::Remove { id } => remove(settings, store, world, &id).await,
        Command::Admit { id, whom, groups } => {
            admit(settings, store, world, &id, (whom, groups)).await
        }
        Command::Logo { id, file } => logo(settings, store, world, &id, file.as_deref()).await,
        Command::Backchannel { id, uri, private } => {
            backchannel(settings, store, world, &id, (uri.unwrap_or_default(), private)).await
        }
        Command::Invite { id, count, life } => {
            invite(settings, store, world, &id, (count, life.time)).await
        }
        Command::Rainbow { id, off } => rainbow(settings, store, world, &id, off).await,
        Command::Secret { id, alone } => secret(settings, store, world, &id, alone).await,
    }
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// All sites, those of the settings among them.
///
/// # Errors
/// What the store says.
pub async fn list(settings: &Settings, store: &SharedStore, json: bool) -> Said {
    let kept = store.sites().await.map_err(said)?;
    let mut text = String::from("ID                    WHERE     NAME\n");
    let settled: BTreeSet<_> = settings.sites.iter().map(|site| site.id.as_str()).collect();
    let place = |id: &str| if settled.contains(id) { "settings" } else { "store" };
    let all = beside(&settings.sites, &kept).into_iter().map(|site| (site, place(&site.id)));
    if json {
        let rows = all.map(|(site, place)| {
            serde_json::json!({ "id": site.id, "name": site.name, "where": place, "public": site.is_public() })
        });
        return Ok(format!("{:#}", serde_json::Value::Array(rows.collect())));
    }
    for (site, place) in all {
        let _ = writeln!(text, "{:<21} {place:<9} {}", site.id, site.name);
    }
    Ok(text)
}

/// One site, as JSON; of its secrets how many there are.
///
/// # Errors
/// If there is none of this id.
pub async fn show(settings: &Settings, store: &SharedStore, id: &str) -> Said {
    let site = find(settings, store, id).await?.ok_or_else(|| unknown(id))?;
    let mut shown = serde_json::to_value(&site).map_err(said)?;
    let secrets = site.secrets.iter().chain([&site.secret]).filter(|secret| !secret.is_empty());
    let secrets = secrets.count() + site.hashes.len();
    if let Some(shown) = shown.as_object_mut() {
        shown.remove("hashes");
        shown.remove("rainbow_hashes");
        let logo = site.logo.path(&site.id).map(|path| format!("{}{path}", settings.public_url));
        shown.insert("logo".to_owned(), logo.into());
        shown.insert("email".to_owned(), settings.email_of(&site).into());
        let rainbow = !site.rainbow_key.is_empty() || !site.rainbow_hashes.is_empty();
        shown.insert("rainbow".to_owned(), rainbow.into());
        shown.insert("secrets".to_owned(), secrets.into());
    }
    serde_json::to_string_pretty(&shown).map_err(said)
}

/// Forgets a site; who was signed in there is signed in no more.
///
/// # Errors
/// If the store has none of this id.
pub async fn remove(settings: &Settings, store: &SharedStore, world: &World, id: &str) -> Said {
    let sites = settled(settings);
    let removed = keeping(settings, &sites, store, world).remove(id).await;
    removed.map_err(|why| refused(id, why))?;
    Ok(format!("{id} is no more, and nobody is signed in there."))
}

/// Makes a fresh secret. The ones before it stay good until `alone` is asked for, so that an application can be changed
/// over without a gap.
///
/// # Errors
/// If the store has no confidential site of this id.
pub async fn secret(
    settings: &Settings,
    store: &SharedStore,
    world: &World,
    id: &str,
    alone: bool,
) -> Said {
    let sites = settled(settings);
    let made = keeping(settings, &sites, store, world).secret(id, alone).await;
    let (site, fresh) = made.map_err(|why| refused(id, why))?;
    let others = match site.hashes.len() - 1 {
        0 => "It is the only one.".to_owned(),
        n => format!(
            "{n} before it are still good; `saoma site secret {id} --alone` makes one that ends them."
        ),
    };
    Ok(format!("{}\n\nIt is shown this once: only its hash is kept. {others}", fresh.reveal()))
}

/// Gives a site another picture, or takes it away.
///
/// # Errors
/// If the store has no site of this id, or the file is no picture.
pub async fn logo(
    settings: &Settings,
    store: &SharedStore,
    world: &World,
    id: &str,
    file: Option<&str>,
) -> Said {
    let logo = file.map(Logo::of).transpose()?.unwrap_or_default();
    let sites = settled(settings);
    let hung = keeping(settings, &sites, store, world).logo(id, logo).await;
    let site = hung.map_err(|why| refused(id, why))?;
    Ok(match site.logo.path(id) {
        Some(path) => format!("{id} is shown with {}{path}", settings.public_url),
        None => format!("{id} is shown without a picture."),
    })
}

/// Changes where a site is told when a login ends.
///
/// # Errors
/// If the store has no site of this id, or the address cannot be used.
pub async fn backchannel(
    settings: &Settings,
    store: &SharedStore,
    world: &World,
    id: &str,
    (uri, private): (String, bool),
) -> Said {
    let change = |site: &mut Site| {
        site.backchannel_logout_uri.clone_from(&uri);
        site.backchannel_private = private;
    };
    let sites = settled(settings);
    let changed = keeping(settings, &sites, store, world).change(id, change).await;
    changed.map_err(|why| refused(id, why))?;
    let told = if uri.is_empty() { "no more told of logouts" } else { "told of logouts at " };
    Ok(format!("{id} is {told}{uri}."))
}

/// Opens the rainbow bridge for a site with a fresh key, or shuts it. A new key ends the one before.
///
/// # Errors
/// If the store has no site of this id.
pub async fn rainbow(
    settings: &Settings,
    store: &SharedStore,
    world: &World,
    id: &str,
    off: bool,
) -> Said {
    let sites = settled(settings);
    let turned = keeping(settings, &sites, store, world).rainbow(id, !off).await;
    let fresh = turned.map_err(|why| refused(id, why))?;
    let Some(key) = fresh else {
        return Ok(format!("The rainbow bridge is off for {id}."));
    };
    Ok(format!(
        "base URL   {}/\nappid      {id}\nappkey     {}\n\nThe key is shown this once: only its hash is kept. It travels in addresses and there is no PKCE: \
         where the application speaks OpenID Connect, use that. docs/sites/rainbow.md says more.",
        settings.public_url,
        key.reveal()
    ))
}

/// Changes whom a site lets in; logins that stand go on until they end.
///
/// # Errors
/// If the store has no site of this id, or the groups go with no such rule.
pub async fn admit(
    settings: &Settings,
    store: &SharedStore,
    world: &World,
    id: &str,
    (admit, groups): (Admit, Vec<String>),
) -> Said {
    let sites = settled(settings);
    let admitted = keeping(settings, &sites, store, world).admit(id, admit, groups).await;
    let site = admitted.map_err(|why| refused(id, why))?;
    let groups = site.admit_groups.join(", ");
    let whom = match admit {
        Admit::All => return Ok(format!("{id} lets in everybody.")),
        Admit::Named => "people named with `saoma person allow`",
        Admit::Invited => "whoever comes with a link of `saoma site invite`",
        Admit::Ask => "whom an owner says yes to",
    };
    let groups = if groups.is_empty() { groups } else { format!(", members of {groups}") };
    Ok(format!("{id} lets in owners{groups}, and {whom}."))
}

/// Makes invitations to a site: one-time links, each for one person.
///
/// # Errors
/// If there is no such site, or it needs none.
pub async fn invite(
    settings: &Settings,
    store: &SharedStore,
    world: &World,
    id: &str,
    (count, life): (u32, Duration),
) -> Said {
    let site = find(settings, store, id).await?.ok_or_else(|| unknown(id))?;
    match site.admit {
        Admit::Invited | Admit::Ask => {}
        Admit::All => {
            return Err(format!("{id} lets in everybody; write admit = \"invited\" first"));
        }
        Admit::Named => {
            return Err(format!(
                "{id} lets in named people alone; write admit = \"invited\", or name them with `saoma person allow`"
            ));
        }
    }
    if !(1..=100).contains(&count) {
        return Err("--count: 1 to 100".to_owned());
    }
    let mut text = String::new();
    for _ in 0..count {
        let gives = Gives::Site(id.to_owned());
        let url = person::make_link(settings, store, world, gives, life).await?;
        let _ = writeln!(text, "{url}");
    }
    let each = if count == 1 { "It lets" } else { "Each lets" };
    let hours = life.as_secs().div_ceil(3600);
    let _ = writeln!(
        text,
        "\n{each} one person in to {}, is good once and for {hours} hours, and is shown this once.",
        site.name
    );
    Ok(text)
}

pub(super) async fn find(
    settings: &Settings,
    store: &SharedStore,
    id: &str,
) -> Result<Option<Site>, String> {
    let all = beside(settings.sites.clone(), store.sites().await.map_err(said)?);
    Ok(all.into_iter().find(|site| site.id == id))
}

/// The sites that cannot be changed by a command.
fn settled(settings: &Settings) -> Sites {
    Sites::new(settings.sites.clone(), &settings.public_url)
}

fn keeping<'a>(
    settings: &'a Settings,
    sites: &'a Sites,
    store: &'a SharedStore,
    world: &'a World,
) -> Keeping<'a> {
    Keeping { settings, sites, store, world, by: audit::COMMAND }
}

/// Why nothing was done, and what to type instead.
fn refused(id: &str, why: Refusal) -> String {
    match why {
        Refusal::Taken => {
            format!("there is a site {id:?} already; `saoma site show {id}` shows it")
        }
        Refusal::Unknown => unknown(id),
        Refusal::Settled => format!("{id} stands in the settings; change its [[site]] there"),
        Refusal::Own => format!("{id} is saoma itself"),
        Refusal::Public => format!(
            "{id} is a public site, which PKCE alone protects; a secret in a browser would be none"
        ),
        Refusal::Faults(faults) => {
            faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        }
        Refusal::Store(error) => error.to_string(),
    }
}

fn unknown(id: &str) -> String {
    format!("there is no site {id:?}; `saoma site list` shows all")
}
