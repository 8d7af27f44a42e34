//! Applications that speak OpenID Connect, and what each of them needs: `presets.toml`, read for the command, for the console
//! and for docs/sites.

use std::{fmt::Write as _, sync::LazyLock};

use serde::Deserialize;
use url::Url;

use crate::{
    config::Settings,
    site::{NameClaim, Pkce, Site},
};

#[cfg(test)]
mod pages;

const KNOWN: &str = include_str!("../presets.toml");

/// A text of ours in both languages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub struct Text {
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

/// As the file has it: what is the same in both stands once.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Once(String),
    Both { zh: String, en: String },
}

impl From<Written> for Text {
    fn from(written: Written) -> Self {
        match written {
            Written::Once(text) => Self { zh: text.clone(), en: text },
            Written::Both { zh, en } => Self { zh, en },
        }
    }
}

impl Text {
    fn is_empty(&self) -> bool {
        self.en.is_empty()
    }
}

/// One application; its fields stand explained in `presets.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// What is typed after `--app`.
    pub name: String,
    /// What it is called.
    pub title: Text,
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
    /// By what it knows an account again.
    pub key: Text,
    place: Text,
    #[serde(default)]
    fields: Vec<(String, Text)>,
    #[serde(default)]
    config: String,
    #[serde(default)]
    notes: Vec<Text>,
    /// What was read to know this, and when.
    pub read: Text,
    /// What was run here; empty if nobody has yet.
    #[serde(default)]
    pub tried: Text,
}

#[derive(Deserialize)]
struct Presets {
    app: Vec<Preset>,
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

    fn fill_both(&self, text: &Text) -> Text {
        Text { zh: self.fill(&text.zh), en: self.fill(&text.en) }
    }
}

/// What to paste where, with everything filled in.
#[derive(Debug, Clone)]
pub struct Paste {
    /// Where in the application it goes.
    pub place: Text,
    /// Its fields, each with its value.
    pub fields: Vec<(String, Text)>,
    /// A piece of configuration; empty where it has fields.
    pub config: String,
    /// What to mind.
    pub notes: Vec<Text>,
}

/// All applications, in the order of the file.
pub fn all() -> &'static [Preset] {
    static ALL: LazyLock<Vec<Preset>> = LazyLock::new(|| {
        // A test reads it too, and says what is wrong with it.
        toml::from_str(KNOWN).map(|presets: Presets| presets.app).unwrap_or_default()
    });
    &ALL
}

/// The application of this name.
///
/// # Errors
/// Which ones there are.
pub fn named(name: &str) -> Result<&'static Preset, String> {
    all().iter().find(|preset| preset.name == name).ok_or_else(|| {
        let names: Vec<_> = all().iter().map(|preset| preset.name.as_str()).collect();
        format!("--app {name:?} is not known; there are {}. Any other application works too: give its --redirect-uri", names.join(", "))
    })
}

/// Where an application is, without a slash at the end; none if this is no such address.
pub fn address(url: &str) -> Option<String> {
    let parsed = Url::parse(url).ok()?;
    let plain = matches!(parsed.scheme(), "http" | "https")
        && parsed.query().is_none()
        && parsed.fragment().is_none()
        && parsed.username().is_empty();
    plain.then(|| url.trim_end_matches('/').to_owned())
}

impl Preset {
    /// What phones show, unless another name is given.
    pub fn short_title(&self) -> &str {
        self.title.en.split([',', '(']).next().unwrap_or(&self.title.en).trim()
    }

    /// Where in it the values go.
    pub fn place(&self) -> &Text {
        &self.place
    }

    /// Whether its redirect address is for the operator to copy from it.
    pub fn makes_its_own_address(&self) -> bool {
        self.redirects.is_empty()
    }

    /// Whether saoma's own tests run the application itself.
    pub fn is_tried(&self) -> bool {
        !self.tried.is_empty()
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
    pub fn paste(&self, values: &Values<'_>) -> Paste {
        let fields = self.fields.iter();
        Paste {
            place: self.place.clone(),
            fields: fields.map(|(field, text)| (field.clone(), values.fill_both(text))).collect(),
            config: values.fill(self.config.trim()),
            notes: self.notes.iter().map(|note| values.fill_both(note)).collect(),
        }
    }

    /// The same as a command prints it.
    pub fn printed(&self, values: &Values<'_>) -> String {
        let paste = self.paste(values);
        let mut text = format!("Paste into {} at {}:\n\n", self.short_title(), values.url);
        let _ = writeln!(text, "# {}", paste.place.en);
        let widest = paste.fields.iter().map(|(field, _)| field.chars().count()).max().unwrap_or(0);
        for (field, value) in &paste.fields {
            let _ = writeln!(text, "{field:<widest$}  {}", value.en);
        }
        if !paste.config.is_empty() {
            let _ = writeln!(text, "{}", paste.config);
        }
        for note in &paste.notes {
            let _ = write!(text, "\n- {}", note.en);
        }
        let tried = if self.is_tried() { "been tried" } else { "not been tried" };
        let _ = writeln!(
            text,
            "\n\nThis has {tried} by saoma's own tests; docs/sites/{}.md says more.",
            self.name
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_application_can_be_registered_and_is_told_its_own_values() {
        let env = [
            ("SAOMA_PUBLIC_URL", "https://login.example.com"),
            ("SAOMA_WECHAT__APPID", "wx1234567890abcdef"),
            ("SAOMA_WECHAT__SECRET", "s"),
        ];
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = Settings::load(None, env).unwrap();
        toml::from_str::<Presets>(KNOWN).unwrap();
        for preset in all() {
            let mut site = Site::new(&preset.name, preset.short_title());
            site.secret = crate::secret::Secret::from("sesame".to_owned());
            preset.fit(&mut site, "https://app.example.com", &settings);
            assert!(site.faults().is_empty(), "{}", preset.name);
            assert_eq!(site.redirect_uris.is_empty(), preset.makes_its_own_address());
            let values = Values {
                issuer: "https://login.example.com",
                id: "an-id",
                secret: "sesame",
                url: "https://app.example.com",
            };
            let printed = preset.printed(&values);
            for value in ["https://login.example.com", "an-id", "sesame"] {
                assert!(printed.contains(value), "{}: {value}", preset.name);
            }
            let told = format!("{printed}{:?}", preset.paste(&values));
            for hole in ["{issuer}", "{id}", "{secret}", "{url}"] {
                assert!(!told.contains(hole), "{}: {hole}", preset.name);
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
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }
}
