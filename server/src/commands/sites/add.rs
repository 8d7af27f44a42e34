//! `saoma site add`: registers a site, and says what to paste into the application.

use std::fmt::Write as _;

use super::{keeping, refused, settled};
use crate::{
    admission::Admit,
    commands::Said,
    config::{EnvVersion, Settings},
    presets,
    risk::Policy,
    secret::Secret,
    site::{AccessToken, Alg, Logo, NameClaim, Pkce, Site},
    store::SharedStore,
    world::World,
};

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
    /// That address may be a private one.
    #[arg(long)]
    pub backchannel_private: bool,
    /// Sites of one group share `sub` and sign-in.
    #[arg(long, default_value = "")]
    pub group: String,
    /// The pattern of its made-up addresses, such as {username}@users.example.com; without, they are at public_url's host.
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
    /// How strict it is about the way a code was opened.
    #[arg(long, value_name = "HOW", value_enum, default_value = "normal")]
    pub risk: Policy,
    /// Which version of the mini program its codes open: release, trial or develop; without, that of the settings.
    #[arg(long, value_name = "VERSION")]
    pub env_version: Option<EnvVersion>,
    /// What its access tokens look like: random, or a JWT (RFC 9068), which others can check without asking.
    #[arg(long, value_name = "KIND", value_enum, default_value = "opaque")]
    pub access_token: AccessToken,
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
    site.backchannel_private = new.backchannel_private;
    (site.risk, site.env_version) = (new.risk, new.env_version);
    site.access_token = new.access_token;
    site.group = new.group;
    site.email = new.email;
    site.id_token_claims = new.id_token_claims;
    if new.pin_name {
        site.name_claim = NameClaim::Username;
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
    let id = site.id.clone();
    let sites = settled(settings);
    let added = keeping(settings, &sites, store, world).add(site, new.public).await;
    let (site, secret) = added.map_err(|why| refused(&id, why))?;
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
    let asks = !site.forward_auth.is_empty() && site.redirect_uris.is_empty() && !site.device;
    match &secret {
        Some(_) if asks => text = of_the_proxy(&site),
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
        "issuer          {issuer}\ndiscovery       {issuer}/.well-known/openid-configuration\nclient_id       {}\nscopes          openid profile email\n",
        site.id,
    )
}

/// The application is told nothing: its proxy asks.
fn of_the_proxy(site: &Site) -> String {
    format!(
        "{}: the proxy before it asks saoma about each request, and needs no secret; docs/forward-auth.md has what to write there.\n",
        site.forward_auth.join(", ")
    )
}
