//! What the file and the environment say, before it is known to make sense.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::{DEFAULTS, Source};

/// The embedded defaults, which a test proves to parse.
pub(super) fn defaults() -> Table {
    DEFAULTS.parse().unwrap_or_default()
}

pub(super) fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Settings that follow from others where nobody gave them: of codes A and C none is fetched ahead, and of another version
/// than the published one WeChat knows no pages.
pub(super) fn follow(table: &mut Table, sources: &BTreeMap<String, Source>) {
    let Some(Value::Table(wechat)) = table.get_mut("wechat") else { return };
    let is = |key: &str, word: &str| wechat.get(key).and_then(Value::as_str) == Some(word);
    let follows = [
        ("pool", is("code", "unlimited"), Value::Integer(0)),
        ("check_path", is("env_version", "release"), Value::Boolean(false)),
    ];
    for (key, as_usual, value) in follows {
        if !as_usual && !sources.contains_key(&format!("wechat.{key}")) {
            wechat.insert(key.to_owned(), value);
        }
    }
}

/// Keys in the file that no setting has.
pub(super) fn unknown_keys(given: &Table) -> Vec<String> {
    let known = known_keys();
    let mut faults = Vec::new();
    for path in paths(given) {
        if !known.contains(&path) {
            faults.push(format!("{path} is no setting{}", nearest(&path, &known)));
        }
    }
    // An empty one sets nothing, and is misspelt all the same.
    let tables: BTreeSet<String> =
        known.iter().filter_map(|path| Some(path.split_once('.')?.0.to_owned())).collect();
    let empty = given.iter().filter(|(_, value)| value.as_table().is_some_and(Table::is_empty));
    for (table, _) in empty.filter(|(table, _)| !tables.contains(*table)) {
        let tables: Vec<_> = tables.iter().cloned().collect();
        faults.push(format!("[{table}] is no table of settings{}", nearest(table, &tables)));
    }
    faults
}

/// Every setting's dotted name. Those of `[[site]]` stand in the defaults as comments, since there is no default site.
fn known_keys() -> Vec<String> {
    let mut known = paths(&defaults());
    let site: Vec<_> = DEFAULTS
        .split_once("# [[site]]")
        .map(|(_, site)| site)
        .unwrap_or_default()
        .lines()
        .collect();
    let site = site.iter().filter_map(|line| line.strip_prefix("# ")?.split_once(" = "));
    known.extend(site.map(|(key, _)| format!("site.{key}")));
    known
}

pub(super) fn paths(table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in table {
        let below = match value {
            Value::Table(table) => paths(table),
            Value::Array(rows) => rows.iter().filter_map(Value::as_table).flat_map(paths).collect(),
            _ => Vec::new(),
        };
        let tables = matches!(value, Value::Table(_)) || !below.is_empty();
        if tables {
            found.extend(below.into_iter().map(|path| format!("{key}.{path}")));
        } else {
            found.push(key.clone());
        }
    }
    found
}

fn nearest(path: &str, known: &[String]) -> String {
    let best = known
        .iter()
        .map(|key| (strsim::jaro_winkler(path, key), key))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, key)) if likeness > 0.8 => format!("; did you mean {key}?"),
        _ => "; `saoma config` prints all there are".to_owned(),
    }
}

/// Lays `SAOMA_*` over the table; says what cannot be laid.
pub(super) fn overlay(
    table: &mut Table,
    env: impl Iterator<Item = (String, String)>,
    sources: &mut BTreeMap<String, Source>,
) -> Vec<String> {
    let known = paths(&defaults());
    let mut faults = Vec::new();
    let env: Vec<_> =
        env.filter_map(|(name, text)| Some((setting(&name, &text)?, name, text))).collect();
    let given: BTreeSet<String> = env.iter().map(|(path, ..)| path.clone()).collect();
    for (path, name, text) in env {
        // A name cannot say of which site it would be.
        if path.starts_with("site.") {
            faults.push(format!("{name} sets nothing: sites stand in the file, or are registered with `saoma site add`; remove it"));
            continue;
        }
        let (path, text) =
            match path.strip_suffix("_file").filter(|path| known.iter().any(|key| key == path)) {
                None => {
                    sources.insert(path.clone(), Source::Environment(name.clone()));
                    (path.clone(), text)
                }
                Some(secret) if given.contains(secret) => {
                    let other = name.trim_end_matches("_FILE");
                    faults.push(format!("{other} and {name} are both set: remove one of them"));
                    continue;
                }
                Some(secret) => match std::fs::read_to_string(&text) {
                    Ok(content) => {
                        sources.insert(secret.to_owned(), Source::SecretFile(text));
                        (secret.to_owned(), content.trim_end_matches(['\r', '\n']).to_owned())
                    }
                    Err(error) => {
                        faults.push(format!("{name}: cannot read {text:?}: {error}"));
                        continue;
                    }
                },
            };
        if !known.contains(&path) {
            faults.push(format!("{name} is no setting{}", nearest(&path, &known)));
            continue;
        }
        put(table, &path, &text);
    }
    faults
}

/// The dotted name of what a variable sets, if it is meant for us.
fn setting(name: &str, text: &str) -> Option<String> {
    let rest = name.strip_prefix("SAOMA_")?;
    // Where a Service of Kubernetes is called saoma, every container beside it is told of that in our words.
    let service = rest == "PORT" && text.contains("://")
        || rest.starts_with("PORT_")
        || rest.starts_with("SERVICE_");
    let others = service || ["CONFIG", "LOG"].contains(&rest);
    (!others).then(|| rest.to_ascii_lowercase().replace("__", "."))
}

/// Puts a text at a dotted path, as the type that its default has.
fn put(table: &mut Table, path: &str, text: &str) {
    match path.split_once('.') {
        Some((head, rest)) => {
            if let Some(Value::Table(below)) = table.get_mut(head) {
                put(below, rest, text);
            }
        }
        None => {
            let typed = match table.get(path) {
                Some(Value::String(_)) | None => None,
                // One by itself needs no brackets.
                Some(Value::Array(_)) if !text.starts_with('[') => {
                    let one = (!text.is_empty()).then(|| Value::String(text.to_owned()));
                    Some(Value::Array(one.into_iter().collect()))
                }
                Some(_) => format!("v = {text}")
                    .parse::<Table>()
                    .ok()
                    .and_then(|mut table| table.remove("v")),
            };
            table.insert(path.to_owned(), typed.unwrap_or_else(|| Value::String(text.to_owned())));
        }
    }
}
