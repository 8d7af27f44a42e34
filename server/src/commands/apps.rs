//! Applications that speak OpenID Connect, and what each of them needs: `apps.toml`, read for the command and for docs/sites.

use std::fmt::Write as _;

use serde::Deserialize;
use url::Url;

use crate::{
    config::Settings,
    site::{NameClaim, Pkce, Site},
};

const KNOWN: &str = include_str!("../../apps.toml");

/// One application; its fields stand explained in `apps.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// What is typed after `--app`.
    pub name: String,
    title: String,
    redirects: Vec<String>,
    #[serde(default)]
    post_logout: Vec<String>,
    #[serde(default)]
    backchannel: String,
    #[serde(default)]
    pkce: bool,
    #[serde(default)]
    id_token_claims: bool,
    #[serde(default)]
    pin_name: bool,
    #[serde(default)]
    email: bool,
    key: String,
    place: String,
    #[serde(default)]
    fields: Vec<(String, String)>,
    #[serde(default)]
    config: String,
    #[serde(default)]
    notes: Vec<String>,
    read: String,
    #[serde(default)]
    tried: String,
}

#[derive(Deserialize)]
struct Apps {
    app: Vec<App>,
}

/// What stands in an application's own settings.
pub struct Values<'a> {
    /// saoma's `public_url`.
    pub issuer: &'a str,
    /// The client_id.
    pub id: &'a str,
    /// The client_secret.
    pub secret: &'a str,
    /// Where the application is.
    pub url: &'a str,
}

impl Values<'_> {
    fn fill(&self, text: &str) -> String {
        let holes = [
            ("{issuer}", self.issuer),
            ("{id}", self.id),
            ("{secret}", self.secret),
            ("{url}", self.url),
        ];
        holes.iter().fold(text.to_owned(), |text, (hole, value)| text.replace(hole, value))
    }
}

/// All applications, in the order of the file.
///
/// # Errors
/// If the file is not as it should be, which a test rules out.
pub fn all() -> Result<Vec<App>, String> {
    toml::from_str(KNOWN).map(|apps: Apps| apps.app).map_err(|error| error.to_string())
}

/// The application of this name.
///
/// # Errors
/// Which ones there are.
pub fn named(name: &str) -> Result<App, String> {
    let all = all()?;
    let names: Vec<_> = all.iter().map(|app| app.name.clone()).collect();
    all.into_iter().find(|app| app.name == name).ok_or_else(|| {
        format!("--app {name:?} is not known; there are {}. Any other application works too: give its --redirect-uri", names.join(", "))
    })
}

/// Where an application is, without a slash at the end.
///
/// # Errors
/// What to write instead.
pub fn address(url: &str) -> Result<String, String> {
    let wrong = || {
        format!("--url {url:?}: write where the application is, such as https://git.example.com")
    };
    let parsed = Url::parse(url).map_err(|_| wrong())?;
    let plain = matches!(parsed.scheme(), "http" | "https")
        && parsed.query().is_none()
        && parsed.fragment().is_none()
        && parsed.username().is_empty();
    if plain { Ok(url.trim_end_matches('/').to_owned()) } else { Err(wrong()) }
}

impl App {
    /// What phones show, unless another name is given.
    pub fn short_title(&self) -> &str {
        self.title.split([',', '(']).next().unwrap_or(&self.title).trim()
    }

    /// Sets on a site what this application at `url` needs, beside what is set already.
    pub fn fit(&self, site: &mut Site, url: &str, settings: &Settings) {
        let below = |paths: &[String]| -> Vec<String> {
            paths.iter().map(|path| format!("{url}{path}")).collect()
        };
        site.redirect_uris.extend(below(&self.redirects));
        site.post_logout_redirect_uris.extend(below(&self.post_logout));
        if site.backchannel_logout_uri.is_empty() && !self.backchannel.is_empty() {
            site.backchannel_logout_uri = format!("{url}{}", self.backchannel);
        }
        if !self.pkce {
            site.pkce = Pkce::IfSent;
        }
        site.id_token_claims |= self.id_token_claims;
        if self.pin_name {
            site.name_claim = NameClaim::Username;
        }
        if self.email && site.email.is_empty() {
            site.email = format!("{{username}}@users.{}", settings.host());
        }
    }

    /// What to paste where.
    pub fn paste(&self, values: &Values<'_>) -> String {
        let mut text = format!("Paste into {} at {}:\n\n", self.short_title(), values.url);
        let _ = writeln!(text, "# {}", self.place);
        let widest = self.fields.iter().map(|(field, _)| field.chars().count()).max().unwrap_or(0);
        for (field, value) in &self.fields {
            let _ = writeln!(text, "{field:<widest$}  {}", values.fill(value));
        }
        text.push_str(&values.fill(self.config.trim_start()));
        for note in &self.notes {
            let _ = write!(text, "\n- {}", values.fill(note));
        }
        let tried = if self.tried.is_empty() { "not been tried" } else { "been tried" };
        let _ = writeln!(
            text,
            "\n\nThis has {tried} by saoma's own tests; docs/sites/{}.md says more.",
            self.name
        );
        text
    }

    /// Its page in docs/sites.
    pub fn page(&self) -> String {
        let values = Values {
            issuer: "https://login.example.com",
            id: &self.name,
            secret: "the secret that the command shows",
            url: "https://app.example.com",
        };
        let mut text = format!("# {}\n\n", self.title);
        let _ = if self.tried.is_empty() {
            writeln!(text, "**Not tried here yet.**\nWritten from {}.\n", self.read)
        } else {
            writeln!(text, "Tried here: {}.\nWritten from {}.\n", self.tried, self.read)
        };
        let more = if self.redirects.is_empty() {
            " --redirect-uri https://app.example.com/callback/..."
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "```sh\nsaoma site add --app {} --url {}{more}\n```\n\nregisters it and prints the values below with your own in them.\n\n## What to paste\n\n{}\n",
            self.name, values.url, self.place
        );
        if !self.fields.is_empty() {
            text.push_str("| field | value |\n|---|---|\n");
            for (field, value) in &self.fields {
                let value = values.fill(value).replace('|', "\\|");
                let _ = writeln!(text, "| {field} | `{value}` |");
            }
            text.push('\n');
        }
        if !self.config.is_empty() {
            let _ = writeln!(text, "```\n{}\n```\n", values.fill(self.config.trim()));
        }
        text.push_str("## What saoma does for it\n\n");
        for path in &self.redirects {
            let _ = writeln!(text, "- Answers go to `{}{path}`, to the letter.", values.url);
        }
        if !self.backchannel.is_empty() {
            let _ = writeln!(
                text,
                "- It is told of ended logins at `{}{}`.",
                values.url, self.backchannel
            );
        }
        let _ = writeln!(text, "- It knows an account again by: {}.", self.key);
        text.push_str(if self.pkce {
            "- It sends a PKCE challenge, and is refused without one.\n"
        } else {
            "- It may come without a PKCE challenge (`pkce = \"if-sent\"`): its secret alone protects the code.\n"
        });
        if self.id_token_claims {
            text.push_str("- Name, picture, groups and address stand in the id_token too (`id_token_claims = true`).\n");
        }
        if self.pin_name {
            text.push_str("- `name` is the fixed user name (`name_claim = \"username\"`): a nickname could take over another's account.\n");
        }
        if self.email {
            text.push_str("- It gets a made-up address, `{username}@users.` and saoma's host, once the person has ticked it on the phone (`email = ...`).\n");
        }
        if !self.notes.is_empty() {
            text.push_str("\n## Mind\n\n");
            for note in &self.notes {
                let _ = writeln!(text, "- {}", values.fill(note));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    fn folder() -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sites"))
    }

    /// Compares a page with what it should say; with `SAOMA_WRITE` set it writes it.
    fn says(name: &str, text: &str) {
        let path = folder().join(name);
        if std::env::var_os("SAOMA_WRITE").is_some() {
            fs::write(&path, text).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(written, text, "{name}: run SAOMA_WRITE=1 cargo test -p saoma --lib apps::");
    }

    #[test]
    fn the_pages_say_what_the_command_says() {
        let apps = all().unwrap();
        for app in &apps {
            says(&format!("{}.md", app.name), &app.page());
        }
        let mut rows = String::new();
        for app in &apps {
            let tried = if app.tried.is_empty() { "not yet" } else { "yes" };
            let _ = writeln!(rows, "| [{}]({}.md) | `--app {1}` | {tried} |", app.title, app.name);
        }
        let index = fs::read_to_string(folder().join("README.md")).unwrap();
        let (before, rest) = index.split_once("| application | |").unwrap();
        let (_, after) = rest.split_once("\n\n").unwrap();
        let table = "| application | | tried here |\n|---|---|---|";
        says("README.md", &format!("{before}{table}\n{rows}\n{after}"));
        let pages = fs::read_dir(folder()).unwrap().count();
        assert_eq!(
            pages,
            apps.len() + 2,
            "a page of nothing: README.md and rainbow.md are the others"
        );
    }

    #[test]
    fn every_application_can_be_registered_and_is_told_its_own_values() {
        let env = [
            ("SAOMA_PUBLIC_URL", "https://login.example.com"),
            ("SAOMA_WECHAT__APPID", "wx1"),
            ("SAOMA_WECHAT__SECRET", "s"),
        ];
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = Settings::load(None, env).unwrap();
        for app in all().unwrap() {
            let mut site = Site::new(&app.name, app.short_title());
            site.secret = crate::secret::Secret::from("sesame".to_owned());
            app.fit(&mut site, "https://app.example.com", &settings);
            assert_eq!(site.faults(), [] as [&str; 0], "{}", app.name);
            assert_eq!(site.redirect_uris.is_empty(), app.redirects.is_empty());
            let values = Values {
                issuer: "https://login.example.com",
                id: "an-id",
                secret: "sesame",
                url: "https://app.example.com",
            };
            let pasted = app.paste(&values);
            for value in ["https://login.example.com", "an-id", "sesame"] {
                assert!(pasted.contains(value), "{}: {value}", app.name);
            }
            for hole in ["{issuer}", "{id}", "{secret}", "{url}"] {
                assert!(!pasted.contains(hole), "{}: {hole}", app.name);
            }
            assert!(settings.owns("users.login.example.com"), "so the address counts as verified");
        }
    }

    #[test]
    fn what_is_not_known_is_said_with_what_is() {
        assert!(named("gitae").unwrap_err().contains("gitea"));
        assert_eq!(address("https://git.example.com/sub/").unwrap(), "https://git.example.com/sub");
        for wrong in [
            "git.example.com",
            "ftp://a.example",
            "https://a.example/?x",
            "https://u@a.example",
            "",
        ] {
            assert!(address(wrong).unwrap_err().contains("--url"), "{wrong}");
        }
    }
}
