//! `saoma miniprogram`: the phone's side out of the binary, filled in and ready for DevTools or an upload.
//!
//! What ships stands in `miniprogram/app`, the optional page for nickname and avatar in `miniprogram/profile`; here are
//! the five files that an owner's settings change.

use std::{
    fs,
    path::{Path, PathBuf},
};

use include_dir::{Dir, File, include_dir};
use serde_json::{Value, json};
use url::Url;

use crate::{
    config::{Faults, Miniprogram, Settings},
    lang::Lang,
    site::{Site, misleading},
};

mod look;
mod next;

static APP: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../miniprogram/app");
static PROFILE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../miniprogram/profile");

/// How the first line of a `config.ts` begins that this command wrote: by it a folder is known as ours.
const OURS: &str = "// Written by `saoma miniprogram` of saoma ";

/// How many sites the home page names; the rest a guest need not read.
const SITES: usize = 8;

/// What `saoma miniprogram` is given; what is left out comes from the settings.
#[derive(Debug, clap::Args)]
pub struct Given {
    /// The folder to write it into.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Write into a folder that holds something else.
    #[arg(long)]
    pub force: bool,
    /// In which language the next steps are printed.
    #[arg(long, env = "LANG", hide_env = true, value_parser = |locale: &str| Ok::<_, String>(Lang::of_locale(locale)), default_value = "en")]
    pub lang: Lang,
    /// The mini program's AppID, for wechat.appid.
    #[arg(long)]
    appid: Option<String>,
    /// Where phones reach saoma, for public_url.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Its name, as registered with WeChat.
    #[arg(long)]
    name: Option<String>,
    /// Its name in English.
    #[arg(long)]
    name_en: Option<String>,
    /// The colour of the button that says yes, as #rrggbb.
    #[arg(long)]
    color: Option<String>,
    /// What is written on it; white or black if left out.
    #[arg(long)]
    on_color: Option<String>,
    /// A square PNG or JPEG file.
    #[arg(long, value_name = "FILE")]
    logo: Option<String>,
    /// Who runs it, as registered with WeChat.
    #[arg(long)]
    operator: Option<String>,
    /// Where people reach the operator.
    #[arg(long)]
    contact: Option<String>,
    /// The mini program's filing number (备案号).
    #[arg(long)]
    filing: Option<String>,
    /// What WeChat's console calls this upload.
    #[arg(long)]
    version: Option<String>,
    /// Let people give a nickname and an avatar: true or false.
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    profile: Option<bool>,
}

impl Given {
    /// The environment that settings are read from, with what was given over it. The AppSecret is no business of the mini
    /// program's, so whoever makes it on their own computer needs none.
    pub fn over(
        &self,
        env: impl Iterator<Item = (String, String)>,
    ) -> impl Iterator<Item = (String, String)> {
        let given = [
            ("WECHAT__APPID", &self.appid),
            ("PUBLIC_URL", &self.server),
            ("MINIPROGRAM__NAME", &self.name),
            ("MINIPROGRAM__NAME_EN", &self.name_en),
            ("MINIPROGRAM__COLOR", &self.color),
            ("MINIPROGRAM__ON_COLOR", &self.on_color),
            ("MINIPROGRAM__LOGO", &self.logo),
            ("MINIPROGRAM__OPERATOR", &self.operator),
            ("MINIPROGRAM__CONTACT", &self.contact),
            ("MINIPROGRAM__FILING", &self.filing),
            ("MINIPROGRAM__VERSION", &self.version),
            ("MINIPROGRAM__PROFILE", &self.profile.map(|profile| profile.to_string())),
            ("WECHAT__SECRET", &Some("not needed".to_owned())),
        ];
        let given = given.map(|(name, value)| Some((format!("SAOMA_{name}"), value.clone()?)));
        let env = env.filter(|(name, _)| !name.starts_with("SAOMA_WECHAT__SECRET"));
        env.chain(given.into_iter().flatten())
    }
}

/// Writes the mini program into a folder, and says how to go on.
///
/// # Errors
/// What cannot be used of the settings, or of the folder, each with what to do.
pub fn write(settings: &Settings, out: &Path, force: bool, lang: Lang) -> Result<String, Faults> {
    let filled = Filled::of(settings)?;
    let ours = is_ours(out);
    if !ours && !force && fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Faults::from(format!(
            "{} holds something else; choose another folder with --out, or add --force to write into it",
            out.display()
        )));
    }
    let failed =
        |error: std::io::Error| Faults::from(format!("cannot write {}: {error}", out.display()));
    if ours {
        clear(out).map_err(failed)?;
    }
    let more = if settings.miniprogram.profile { Some(&PROFILE) } else { None };
    for file in [Some(&APP), more].into_iter().flatten().flat_map(files) {
        if filled.logo.is_some() && file.path() == Path::new("logo.svg") {
            continue;
        }
        let contents = filled.file(file).map_err(Faults::from)?;
        put(out, file.path(), contents.as_deref().unwrap_or(file.contents())).map_err(failed)?;
    }
    if let Some((name, bytes)) = &filled.logo {
        put(out, Path::new(name), bytes).map_err(failed)?;
    }
    Ok(next::text(settings, out, &filled, lang))
}

fn is_ours(out: &Path) -> bool {
    fs::read_to_string(out.join("config.ts")).is_ok_and(|config| config.starts_with(OURS))
}

/// Takes away what an earlier writing may have left and this one does not write: a page that is no longer wanted must not
/// go along, least of all the one with privacy interfaces. What DevTools keeps beside it stays.
fn clear(out: &Path) -> std::io::Result<()> {
    let gone = |done: std::io::Result<()>| match done {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done,
    };
    for folder in ["lib", "pages"] {
        gone(fs::remove_dir_all(out.join(folder)))?;
    }
    for logo in ["logo.svg", "logo.png", "logo.jpg"] {
        gone(fs::remove_file(out.join(logo)))?;
    }
    Ok(())
}

fn put(out: &Path, path: &Path, contents: &[u8]) -> std::io::Result<()> {
    let path = out.join(path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, contents)
}

fn files(dir: &'static Dir<'static>) -> Vec<&'static File<'static>> {
    let below = dir.dirs().flat_map(files);
    dir.files().chain(below).collect()
}

/// What the settings make of the files that they change.
struct Filled {
    appid: String,
    host: String,
    name: String,
    name_en: String,
    version: String,
    config: String,
    brand: String,
    profile: bool,
    logo: Option<(&'static str, Vec<u8>)>,
}

impl Filled {
    fn of(settings: &Settings) -> Result<Self, Faults> {
        let own = &settings.miniprogram;
        let mut faults = faults(settings);
        let colours = look::colours(own).map_err(|fault| faults.push(fault)).ok();
        let logo = match own.logo.as_str() {
            "" => None,
            path => look::logo(Path::new(path)).map_err(|fault| faults.push(fault)).ok(),
        };
        let Some((accent, on_accent)) = colours.filter(|_| faults.is_empty()) else {
            return Err(Faults(faults));
        };
        let (name, name_en) = names(own);
        let host = settings.host();
        let or = |given: &str, otherwise: &str| {
            if given.is_empty() { otherwise.to_owned() } else { given.to_owned() }
        };
        let version = or(&own.version, env!("CARGO_PKG_VERSION"));
        let sites: Vec<Value> = settings.sites.iter().take(SITES).filter_map(site).collect();
        let fields = [
            ("server", json!(settings.public_url)),
            ("name", json!({ "zh": name, "en": name_en })),
            ("sites", json!(sites)),
            ("logo", json!(format!("/{}", logo.as_ref().map_or("logo.svg", |(name, _)| name)))),
            ("operator", json!(or(&own.operator, &host))),
            ("contact", json!(or(&own.contact, &settings.public_url))),
            ("filing", json!(own.filing)),
            ("version", json!(version)),
            ("profile", json!(own.profile)),
        ];
        let fields: String =
            fields.iter().map(|(key, value)| format!("  {key}: {},\n", literal(value))).collect();
        let config = format!(
            "{OURS}{}. Change the settings and write it again: what is changed here is lost then.\nimport type {{ Config }} from './lib/saoma'\n\nexport const config: Config = {{\n{fields}}}\n",
            env!("CARGO_PKG_VERSION")
        );
        let brand = format!(
            "/* Written by `saoma miniprogram`: the owner's colour, and what can be read on it. */\npage {{\n  --accent: {};\n  --on-accent: {};\n}}\n",
            accent.css(),
            on_accent.css()
        );
        let (appid, profile) = (settings.wechat.appid.clone(), own.profile);
        Ok(Self { appid, host, name, name_en, version, config, brand, profile, logo })
    }

    /// What a file becomes; none: it stays as it ships.
    fn file(&self, file: &File<'_>) -> Result<Option<Vec<u8>>, String> {
        let text = match file.path().to_str() {
            Some("config.ts") => self.config.clone(),
            Some("brand.wxss") => self.brand.clone(),
            Some("app.json") => changed(file, |app| {
                set(app, &["window", "navigationBarTitleText"], json!(self.name));
                if self.profile
                    && let Some(Value::Array(pages)) = app.get_mut("pages")
                {
                    pages.push(json!("pages/profile/profile"));
                }
            })?,
            Some("project.config.json") => changed(file, |project| {
                set(project, &["appid"], json!(self.appid));
                set(project, &["projectname"], json!(self.host));
                set(project, &["description"], json!(self.name));
            })?,
            _ => return Ok(None),
        };
        Ok(Some(text.into_bytes()))
    }
}

fn changed(file: &File<'_>, change: impl FnOnce(&mut Value)) -> Result<String, String> {
    let broken = |error: serde_json::Error| format!("{}: {error}", file.path().display());
    let mut value = serde_json::from_slice(file.contents()).map_err(broken)?;
    change(&mut value);
    let text = serde_json::to_string_pretty(&value).map_err(broken)?;
    Ok(format!("{text}\n"))
}

fn set(value: &mut Value, path: &[&str], to: Value) {
    match (path, value) {
        ([name], Value::Object(object)) => {
            object.insert((*name).to_owned(), to);
        }
        ([name, rest @ ..], value) => {
            if let Some(below) = value.get_mut(*name) {
                set(below, rest, to);
            }
        }
        _ => {}
    }
}

/// A value as TypeScript: JSON, with what could end a script element or a line taken out of strings, so that no tool which
/// puts the text elsewhere can be misled by a name.
fn literal(value: &Value) -> String {
    value
        .to_string()
        .replace("</", "<\\/")
        .replace("<!--", "<\\u0021--")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

fn names(own: &Miniprogram) -> (String, String) {
    match (own.name.as_str(), own.name_en.as_str()) {
        ("", "") => ("扫码登录".to_owned(), "Sign-in by scan".to_owned()),
        ("", en) => (en.to_owned(), en.to_owned()),
        (zh, "") => (zh.to_owned(), zh.to_owned()),
        (zh, en) => (zh.to_owned(), en.to_owned()),
    }
}

/// A site as the home page names it, if people reach it by a host.
fn site(site: &Site) -> Option<Value> {
    let url =
        site.origins.iter().chain(&site.redirect_uris).find_map(|url| Url::parse(url).ok())?;
    Some(json!({ "name": site.name, "host": url.host_str()? }))
}

/// What is wrong with the words, each with what to write.
fn faults(settings: &Settings) -> Vec<String> {
    let own = &settings.miniprogram;
    // WeChat's tools take no other, whatever stands in for WeChat's API.
    let mut faults: Vec<_> = settings.wechat.fault_of_appid().into_iter().collect();
    let texts = [
        ("name", &own.name, 30),
        ("name_en", &own.name_en, 30),
        ("operator", &own.operator, 60),
        ("contact", &own.contact, 120),
        ("filing", &own.filing, 60),
    ];
    for (setting, text, longest) in texts {
        if text.chars().count() > longest {
            faults.push(format!("miniprogram.{setting} has more than {longest} characters"));
        }
        if misleading(text) {
            faults.push(format!(
                "miniprogram.{setting} has control or invisible characters; remove them"
            ));
        }
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if own.version.len() > 32 || !own.version.chars().all(plain) {
        faults.push(format!(
            "miniprogram.version = {:?}: use up to 32 letters, digits, . - or _",
            own.version
        ));
    }
    faults
}

#[cfg(test)]
mod tests;
