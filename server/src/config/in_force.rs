//! Which settings are in force, and where each came from. Secrets are masked before they stand here.

use std::{collections::BTreeMap, fmt};

use toml::{Table, Value};

use super::{DEFAULTS, given::paths};

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody gave it.
    Default,
    /// The file of settings, by its path.
    File(String),
    /// A variable of the environment, by its name.
    Environment(String),
    /// A file that a variable of the environment names, by the file's path.
    SecretFile(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) | Self::SecretFile(path) => f.write_str(path),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

/// One setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its dotted name.
    pub name: String,
    /// Its value as TOML; of a secret whether there is one.
    pub value: String,
    /// Where it came from.
    pub source: Source,
}

/// Every setting in force but the sites, in the order of the page that explains them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InForce(pub Vec<Line>);

impl InForce {
    /// Lists a whole table of settings.
    pub(super) fn of(table: &Table, sources: &BTreeMap<String, Source>) -> Self {
        let mut names: Vec<String> = paths(table)
            .into_iter()
            .filter(|name| !name.starts_with("site.") && name != "site")
            .collect();
        let order = order();
        let place = |name: &String| order.iter().position(|known| known == name);
        names.sort_by_key(|name| place(name).unwrap_or(order.len()));
        let line = |name: String| Line {
            value: find(table, &name).map(|value| shown(&name, value)).unwrap_or_default(),
            source: sources.get(&name).cloned().unwrap_or(Source::Default),
            name,
        };
        Self(names.into_iter().map(line).collect())
    }

    /// What of this setting, or of the table of this name, is not the same in `other`: the whole, where what changed is a
    /// secret and shows itself nowhere. The log's level is no part of it.
    pub(super) fn changed(&self, other: &Self, name: &str) -> Vec<String> {
        let table = format!("{name}.");
        let below = |line: &&Line| line.name.starts_with(&table) && line.name != "log.level";
        let other: BTreeMap<_, _> = other.0.iter().map(|line| (&line.name, &line.value)).collect();
        let differs = |line: &&Line| other.get(&line.name) != Some(&&line.value);
        let changed: Vec<_> =
            self.0.iter().filter(below).filter(differs).map(|line| line.name.clone()).collect();
        if changed.is_empty() { vec![name.to_owned()] } else { changed }
    }
}

/// The dotted names of settings, in the order in which the page of defaults explains them.
fn order() -> Vec<String> {
    let (mut table, mut names) = (String::new(), Vec::new());
    for line in DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            table = format!("{name}.");
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            names.push(format!("{table}{name}"));
        }
    }
    names
}

fn find<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        Some((head, rest)) => find(table.get(head)?.as_table()?, rest),
        None => table.get(path),
    }
}

/// A value as it may be seen.
fn shown(name: &str, value: &Value) -> String {
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_secret = ["secret", "password", "token_key"].iter().any(|word| last.contains(word))
        && !last.ends_with("_per_address");
    match value {
        Value::String(text) if is_secret && text.is_empty() => "\"\"".to_owned(),
        Value::Array(none) if is_secret && none.is_empty() => "[]".to_owned(),
        _ if is_secret => "••••••••".to_owned(),
        Value::String(text) => Value::String(without_password(text)).to_string(),
        other => other.to_string(),
    }
}

/// The same address without the password in it: `postgres://saoma:hush@host/db` holds one, and what follows a `?` may.
pub(super) fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (rest, asked) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?…"));
    // A password may hold an @ of its own; the last one ends it.
    match rest.rsplit_once('@') {
        Some((who, place)) => {
            let user = who.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:••••@{place}{asked}")
        }
        None => format!("{scheme}://{rest}{asked}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stand_as_the_page_explains_them() {
        let table: Table = DEFAULTS.parse().unwrap();
        let names: Vec<_> =
            InForce::of(&table, &BTreeMap::new()).0.into_iter().map(|line| line.name).collect();
        assert_eq!(names, order());
        assert_eq!(names.first().unwrap(), "public_url");
    }

    #[test]
    fn what_is_secret_is_not_shown_and_whether_there_is_one_is() {
        let text = |text: &str| Value::String(text.to_owned());
        assert_eq!(shown("wechat.secret", &text("hush")), "••••••••");
        assert_eq!(shown("keys.secret", &text("")), "\"\"");
        assert_eq!(shown("neighbours.secrets", &Value::Array(Vec::new())), "[]");
        assert_eq!(shown("neighbours.secrets", &Value::Array(vec![text("hush")])), "••••••••");
        assert_eq!(shown("limits.wrong_secrets_per_address", &Value::Integer(30)), "30");
        assert_eq!(
            shown("store", &text("postgres://saoma:h@sh@db/saoma")),
            "\"postgres://saoma:••••@db/saoma\""
        );
        assert_eq!(
            shown("store", &text("postgres://saoma@db/saoma?password=hush")),
            "\"postgres://saoma:••••@db/saoma?…\""
        );
        assert_eq!(shown("tickets", &text("redis://:hush@cache")), "\"redis://:••••@cache\"");
        assert_eq!(shown("store", &text("sqlite:saoma.db")), "\"sqlite:saoma.db\"");
    }
}
