//! `saoma site`: what applications people sign in to, and whom each lets in.

use std::{fmt::Write as _, time::Duration};

use super::{Said, person};
use crate::{
    admission::Admit,
    audit,
    config::Settings,
    links::Gives,
    presets,
    secret::Secret,
    site::{Alg, Logo, Pkce, Site, Sites, protected_twice},
    store::SharedStore,
    world::World,
};

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
        Command::Invite { id, count, life } => {
            invite(settings, store, world, &id, (count, life.time)).await
        }
        Command::Rainbow { id, off } => rainbow(settings, store, world, &id, off).await,
        Command::Secret { id, alone } => secret(settings, store, world, &id, alone).await,
    }
}

/// What a site is to be, as typed.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct New {
    /// The client_id: letters, digits, - _ or .; with --app its name, unless given.
    #[arg(default_value = "", hide_default_value = true)]
    pub id: String,
    /// The name that phones show; with --app its title, unless given.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub name: String,
    /// A known application, such as gitea or nextcloud: what it needs is set by itself, and what to paste where is printed.
    #[arg(long, value_name = "APP", requires = "url", conflicts_with = "public")]
    pub app: Option<String>,
    /// Where the application is, such as https://git.example.com.
    #[arg(long, requires = "app")]
    pub url: Option<String>,
    /// Its picture on the phone and beside the code: a square PNG or JPEG.
    #[arg(long, value_name = "FILE")]
    pub logo: Option<String>,
    /// Who runs it, and so gets what people tick.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub operator: String,
    /// How to reach them.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub contact: String,
    /// Where they say what they do with what they get.
    #[arg(long, value_name = "URL", default_value = "")]
    pub privacy_url: String,
    /// Where answers may go, to the letter; may be given several times.
    #[arg(long = "redirect-uri", value_name = "URI", required_unless_present_any = ["app", "device", "forward_auth"])]
    pub redirect_uris: Vec<String>,
    /// A page that carries the element: scheme, host and port; may be given several times.
    #[arg(long = "origin", value_name = "ORIGIN")]
    pub origins: Vec<String>,
    /// Where the browser may go after signing out; may be given several times.
    #[arg(long = "post-logout-redirect-uri", value_name = "URI")]
    pub post_logout_redirect_uris: Vec<String>,
    /// Told when a login ends.
    #[arg(long, value_name = "URI", default_value = "")]
    pub backchannel_logout_uri: String,
    /// Sites of one group share `sub` and sign-in.
    #[arg(long, default_value = "")]
    pub group: String,
    /// A made-up address for scope email, such as {username}@users.example.com.
    #[arg(long, value_name = "PATTERN", default_value = "")]
    pub email: String,
    /// No secret: an application in the browser or on a device, which PKCE alone protects.
    #[arg(long)]
    pub public: bool,
    /// Sign id_tokens with ES256 instead of RS256.
    #[arg(long)]
    pub es256: bool,
    /// The application knows no PKCE.
    #[arg(long, conflicts_with = "public")]
    pub no_pkce: bool,
    /// Name, picture and address in the id_token too.
    #[arg(long)]
    pub id_token_claims: bool,
    /// Tell it the fixed user name as `name`: for an application that keys accounts by a name people could choose.
    #[arg(long)]
    pub pin_name: bool,
    /// An application that knows no OpenID Connect, behind a proxy that asks saoma: its scheme and host.
    #[arg(long = "forward-auth", value_name = "ORIGIN")]
    pub forward_auth: Vec<String>,
    /// Its terminals and televisions may sign people in by digits (RFC 8628).
    #[arg(long)]
    pub device: bool,
    /// Whom it lets in beside the owners: everybody, named people, invited ones, or whom an owner says yes to.
    #[arg(long, value_name = "WHOM", value_enum, default_value = "all")]
    pub admit: Admit,
    /// A group of people whom it lets in; may be given several times.
    #[arg(long = "admit-group", value_name = "GROUP")]
    pub admit_groups: Vec<String>,
    /// Print what the application is told as JSON.
    #[arg(long)]
    pub json: bool,
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Registers a site and says what to paste where; its secret is shown this once.
///
/// # Errors
/// If the id is taken, or something of it cannot be used, with what to write instead.
pub async fn add(settings: &Settings, store: &SharedStore, world: &World, mut new: New) -> Said {
    let app = match (&new.app, &new.url) {
        (Some(app), Some(url)) => {
            let address = presets::address(url).ok_or_else(|| {
                format!(
                    "--url {url:?}: write where the application is, such as https://git.example.com"
                )
            })?;
            Some((presets::named(app)?, address))
        }
        _ => None,
    };
    if let Some((app, _)) = &app {
        let given = |text: String, own: &str| if text.is_empty() { own.to_owned() } else { text };
        new.id = given(new.id, &app.name);
        new.name = given(new.name, app.short_title());
    }
    if find(settings, store, &new.id).await?.is_some() {
        return Err(format!(
            "there is a site {:?} already; `saoma site show {0}` shows it",
            new.id
        ));
    }
    let mut site = Site::new(&new.id, &new.name);
    if let Some(path) = &new.logo {
        site.logo = Logo::of(path)?;
    }
    (site.operator, site.contact) = (new.operator, new.contact);
    site.privacy_url = new.privacy_url;
    site.redirect_uris = new.redirect_uris;
    site.origins = new.origins;
    site.post_logout_redirect_uris = new.post_logout_redirect_uris;
    site.backchannel_logout_uri = new.backchannel_logout_uri;
    site.group = new.group;
    site.email = new.email;
    site.id_token_claims = new.id_token_claims;
    if new.pin_name {
        site.name_claim = crate::site::NameClaim::Username;
    }
    site.device = new.device;
    site.forward_auth = new.forward_auth;
    (site.admit, site.admit_groups) = (new.admit, new.admit_groups);
    site.alg = if new.es256 { Alg::ES256 } else { Alg::RS256 };
    site.pkce = if new.no_pkce { Pkce::IfSent } else { Pkce::Required };
    if let Some((app, url)) = &app {
        app.fit(&mut site, url, settings);
        if site.redirect_uris.is_empty() {
            return Err(format!(
                "{} makes its redirect address itself: copy it from there, and give it with --redirect-uri",
                app.short_title()
            ));
        }
    }
    let secret = (!new.public).then(|| Secret::new(world));
    site.hashes = secret.iter().map(Secret::hashed).collect();
    let kept = store.sites().await.map_err(said)?;
    let all = settings.sites.iter().chain(&kept).chain([&site]);
    let mut faults = site.faults();
    faults.extend(protected_twice(all, &settings.public_url));
    if !faults.is_empty() {
        return Err(faults.join("\n"));
    }
    store.put_site(&site).await.map_err(said)?;
    note(store, world, "site.added", &site.id).await?;
    if new.json {
        let told = serde_json::json!({
            "issuer": settings.public_url,
            "client_id": site.id,
            "client_secret": secret.as_ref().map(Secret::reveal),
            "redirect_uris": site.redirect_uris,
        });
        return Ok(format!("{told:#}"));
    }
    if let (Some((app, url)), Some(secret)) = (&app, &secret) {
        let values = presets::Values {
            issuer: &settings.public_url,
            id: &site.id,
            secret: secret.reveal(),
            url,
        };
        let pasted = app.printed(&values);
        return Ok(format!("{pasted}The secret is shown this once: only its hash is kept.\n"));
    }
    let mut text = paste(settings, &site);
    match &secret {
        Some(secret) => {
            let _ = writeln!(
                text,
                "client_secret   {}\n\nThe secret is shown this once: only its hash is kept.",
                secret.reveal()
            );
        }
        None => text.push_str("client_secret   none; the application must use PKCE\n"),
    }
    Ok(text)
}

/// What an application is told.
fn paste(settings: &Settings, site: &Site) -> String {
    let issuer = &settings.public_url;
    format!(
        "issuer          {issuer}\ndiscovery       {issuer}/.well-known/openid-configuration\nclient_id       {}\nscopes          openid profile{}\n",
        site.id,
        if site.email.is_empty() { "" } else { " email" },
    )
}

/// All sites, those of the settings among them.
///
/// # Errors
/// What the store says.
pub async fn list(settings: &Settings, store: &SharedStore, json: bool) -> Said {
    let kept = store.sites().await.map_err(said)?;
    let mut text = String::from("ID                    WHERE     NAME\n");
    let settled = settings.sites.iter().map(|site| (site, "settings"));
    let kept = kept.iter().filter(|site| settled_site(settings, &site.id).is_none());
    let all = settled.chain(kept.map(|site| (site, "store")));
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
    changeable(settings, id)?;
    if store.remove_site(id, world.now()).await.map_err(said)? {
        note(store, world, "site.removed", id).await?;
        Ok(format!("{id} is no more, and nobody is signed in there."))
    } else {
        Err(unknown(id))
    }
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
    changeable(settings, id)?;
    let mut site = find(settings, store, id).await?.ok_or_else(|| unknown(id))?;
    if site.is_public() {
        return Err(format!(
            "{id} is a public site, which PKCE alone protects; a secret in a browser would be none"
        ));
    }
    let fresh = Secret::new(world);
    if alone {
        site.hashes.clear();
    }
    site.hashes.push(fresh.hashed());
    store.put_site(&site).await.map_err(said)?;
    note(store, world, "site.secret_made", id).await?;
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
    changeable(settings, id)?;
    let mut site = find(settings, store, id).await?.ok_or_else(|| unknown(id))?;
    site.logo = file.map(Logo::of).transpose()?.unwrap_or_default();
    store.put_site(&site).await.map_err(said)?;
    note(store, world, "site.logo_changed", id).await?;
    Ok(match site.logo.path(id) {
        Some(path) => format!("{id} is shown with {}{path}", settings.public_url),
        None => format!("{id} is shown without a picture."),
    })
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
    changeable(settings, id)?;
    let mut site = find(settings, store, id).await?.ok_or_else(|| unknown(id))?;
    let fresh = (!off).then(|| Secret::new(world));
    site.rainbow_hashes = fresh.iter().map(Secret::hashed).collect();
    store.put_site(&site).await.map_err(said)?;
    note(store, world, if off { "site.rainbow_shut" } else { "site.rainbow_opened" }, id).await?;
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
    changeable(settings, id)?;
    let mut site = find(settings, store, id).await?.ok_or_else(|| unknown(id))?;
    (site.admit, site.admit_groups) = (admit, groups);
    let faults = site.faults();
    if !faults.is_empty() {
        return Err(faults.join("\n"));
    }
    store.put_site(&site).await.map_err(said)?;
    note(store, world, "site.door_changed", id).await?;
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

/// Writes in the audit log what a command did to a site.
async fn note(store: &SharedStore, world: &World, what: &str, id: &str) -> Result<(), String> {
    let entry = audit::Entry {
        at: world.now(),
        what: what.to_owned(),
        person: None,
        site: Some(id.to_owned()),
        address: None,
        detail: serde_json::json!({ "by": "command" }),
    };
    store.audit(entry).await.map_err(said)
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

fn settled_site<'a>(settings: &'a Settings, id: &str) -> Option<&'a Site> {
    settings.sites.iter().find(|site| site.id == id)
}

pub(super) async fn find(
    settings: &Settings,
    store: &SharedStore,
    id: &str,
) -> Result<Option<Site>, String> {
    if let Some(site) = settled_site(settings, id) {
        return Ok(Some(site.clone()));
    }
    Ok(store.sites().await.map_err(said)?.into_iter().find(|site| site.id == id))
}

fn changeable(settings: &Settings, id: &str) -> Result<(), String> {
    if Sites::is_own(id) {
        return Err(format!("{id} is saoma itself"));
    }
    match settled_site(settings, id) {
        Some(_) => Err(format!("{id} stands in the settings; change its [[site]] there")),
        None => Ok(()),
    }
}

fn unknown(id: &str) -> String {
    format!("there is no site {id:?}; `saoma site list` shows all")
}
