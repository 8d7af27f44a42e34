//! `saoma import`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write as _,
    iter,
    path::PathBuf,
};

use clap::Args;
use serde::Deserialize;

use super::during;
use crate::{
    config::Settings,
    person::{Identity, Newcomer},
    site::{self, Sites},
    store::{Error, Import, Imported, SharedStore},
    world::{Timestamp, World},
};

/// How many rows go in one step: who signs in meanwhile waits for it.
const AT_ONCE: usize = 200;

/// Which people, and whether in earnest.
#[derive(Args)]
pub struct People {
    /// CSV with a header, or JSON: openid, and of appid, unionid, was_openid, was_appid, site, sub, nickname what there is.
    pub file: PathBuf,
    /// Say what would become of each, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Print what became of each as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What became of them.
#[derive(Debug)]
pub struct Done {
    /// For people, or for scripts.
    pub text: String,
    /// How many were refused.
    pub refused: usize,
}

/// A row as the file has it.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Row {
    openid: String,
    appid: String,
    unionid: String,
    was_openid: String,
    was_appid: String,
    site: String,
    sub: String,
    nickname: String,
}

/// Brings people along from another mini program or an older login, and says what became of each.
///
/// # Errors
/// If the file cannot be read, or the store does not answer. A row that contradicts what is there is no error but refused.
pub async fn people(
    settings: &Settings,
    store: &SharedStore,
    world: &World,
    given: &People,
) -> Result<Done, String> {
    let file = given.file.display();
    let text = std::fs::read_to_string(&given.file).map_err(|error| format!("{file}: {error}"))?;
    let rows = read(&text).map_err(|why| format!("{file}: {why}"))?;
    let sites = Sites::new(settings.sites.clone(), &settings.public_url);
    sites.keep(store.sites().await.map_err(|error| error.to_string())?);
    let ready: Vec<Result<Import, &'static str>> =
        rows.iter().map(|row| row.ready(settings, &sites, world)).collect();
    let good: Vec<Import> = ready.iter().filter_map(|row| row.as_ref().ok()).cloned().collect();
    let work = async {
        if given.dry_run {
            return rehearse(store, &good, world.now()).await;
        }
        let mut done = Vec::with_capacity(good.len());
        for rows in good.chunks(AT_ONCE) {
            done.extend(store.import(rows.to_vec(), world.now(), false).await?);
        }
        Ok::<_, Error>(done)
    };
    let done = during(world, "importing", || None, work).await.map_err(|error| {
        let stays = match given.dry_run {
            true => "nothing was changed",
            false => "what was taken by then stays, and the whole file can be imported again",
        };
        format!("{error}; {stays}")
    })?;
    let mut done = done.into_iter();
    let outcomes: Vec<Imported> = ready
        .into_iter()
        .map(|row| row.map_or_else(Imported::Refused, |_| done.next().unwrap_or(Imported::Known)))
        .collect();
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Imported::Refused(_))).count();
    let text = if given.json { as_json(&outcomes) } else { as_text(&outcomes, given.dry_run) };
    Ok(Done { text, refused })
}

/// What would become of each. A step leaves nothing behind for the next to see, so rows that have to do with each other go
/// in one.
async fn rehearse(
    store: &SharedStore,
    rows: &[Import],
    now: Timestamp,
) -> Result<Vec<Imported>, Error> {
    let mut named = Vec::with_capacity(rows.len());
    for row in rows {
        named.push(names(store, row).await?);
    }
    let mut steps: Vec<Vec<usize>> = Vec::new();
    for related in related(named) {
        match steps.last_mut().filter(|step| step.len() + related.len() <= AT_ONCE) {
            Some(step) => step.extend(related),
            None => steps.push(related),
        }
    }
    let mut done = BTreeMap::new();
    for step in steps {
        let some = step.iter().filter_map(|row| rows.get(*row)).cloned().collect();
        done.extend(step.into_iter().zip(store.import(some, now, true).await?));
    }
    Ok(done.into_values().collect())
}

/// What a row speaks of: who somebody is and was, whom saoma knows by that, and what a site calls them.
async fn names(store: &SharedStore, row: &Import) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for identity in iter::once(&row.identity).chain(&row.was) {
        let Identity { appid, openid, unionid } = identity;
        names.push(format!("identity {appid} {openid}"));
        names.extend(unionid.iter().map(|unionid| format!("unionid {unionid}")));
        let person = store.person_of(identity).await?;
        names.extend(person.map(|person| format!("person {}", person.id)));
    }
    names.extend(row.sub.iter().map(|(group, sub)| format!("sub {group} {sub}")));
    Ok(names)
}

/// The rows by their numbers: those that have a name in common, with those that have one in common with them, together and
/// in their order.
fn related(named: Vec<Vec<String>>) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut group_of: HashMap<String, usize> = HashMap::new();
    for (row, names) in named.into_iter().enumerate() {
        let met: BTreeSet<usize> =
            names.iter().filter_map(|name| group_of.get(name).copied()).collect();
        let group = met.first().copied().unwrap_or(row);
        let mut rows = groups.remove(&group).unwrap_or_default();
        // What knew nothing of each other until this row.
        for other in met.iter().filter(|other| **other != group) {
            rows.extend(groups.remove(other).unwrap_or_default());
            group_of.values_mut().filter(|of| *of == other).for_each(|of| *of = group);
        }
        rows.push(row);
        rows.sort_unstable();
        groups.insert(group, rows);
        group_of.extend(names.into_iter().map(|name| (name, group)));
    }
    groups.into_values().collect()
}

fn read(text: &str) -> Result<Vec<Row>, String> {
    // A file out of a spreadsheet may begin with a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with(['[', '{']) {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    reader.deserialize().collect::<Result<_, _>>().map_err(|error| error.to_string())
}

impl Row {
    fn ready(
        &self,
        settings: &Settings,
        sites: &Sites,
        world: &World,
    ) -> Result<Import, &'static str> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let openid = some(&self.openid).ok_or("openid is missing")?;
        let appid = some(&self.appid).unwrap_or_else(|| settings.wechat.appid.clone());
        let identity = Identity { appid, openid, unionid: some(&self.unionid) };
        let was = match (some(&self.was_openid), some(&self.was_appid)) {
            (None, None) => None,
            (Some(openid), Some(appid)) => Some(Identity { appid, openid, unionid: None }),
            _ => return Err("was_openid and was_appid belong together"),
        };
        let sub = match (some(&self.site), some(&self.sub)) {
            (None, None) => None,
            (Some(site), Some(sub)) => {
                if sub.len() > 255 || !sub.is_ascii() {
                    return Err(
                        "sub must be ASCII, 255 characters at most (OpenID Connect Core 2)",
                    );
                }
                let known =
                    sites.get(&site).ok_or("site is no client_id; `saoma site list` shows them")?;
                Some((known.group().to_owned(), sub))
            }
            _ => return Err("site and sub belong together"),
        };
        let nickname = some(&self.nickname);
        if nickname.as_ref().is_some_and(|name| name.chars().count() > 32 || site::misleading(name))
        {
            return Err("nickname: 32 characters at most, none of them invisible");
        }
        Ok(Import { identity, was, sub, nickname, newcomer: Newcomer::new(world) })
    }
}

fn word(outcome: &Imported) -> (&'static str, Option<&'static str>) {
    match outcome {
        Imported::Added => ("added", None),
        Imported::Linked => ("linked", None),
        Imported::Named => ("named", None),
        Imported::Known => ("known", None),
        Imported::Refused(why) => ("refused", Some(why)),
    }
}

fn as_json(outcomes: &[Imported]) -> String {
    let rows = outcomes.iter().enumerate().map(|(n, outcome)| {
        let (outcome, why) = word(outcome);
        serde_json::json!({ "row": n + 1, "outcome": outcome, "why": why })
    });
    format!("{:#}", serde_json::Value::Array(rows.collect()))
}

fn as_text(outcomes: &[Imported], dry: bool) -> String {
    let mut text = String::new();
    for (n, outcome) in outcomes.iter().enumerate() {
        if let Imported::Refused(why) = outcome {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "row {}: refused: {why}", n + 1);
        }
    }
    let count = |wanted: &str| outcomes.iter().filter(|outcome| word(outcome).0 == wanted).count();
    let _ = write!(
        text,
        "added: {}, linked: {}, named: {}, known already: {}, refused: {}{}",
        count("added"),
        count("linked"),
        count("named"),
        count("known"),
        count("refused"),
        if dry { "; nothing was changed" } else { "" }
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_file_say_the_same() {
        let csv = "\u{feff}openid, unionid ,nickname\no1,,\"Ann, the first\"\n o2 ,u2,\n";
        let json =
            r#"[{"openid":"o1","nickname":"Ann, the first"},{"openid":"o2","unionid":"u2"}]"#;
        assert_eq!(read(csv).unwrap(), read(json).unwrap());
        assert!(read("openid,name\no1,x\n").unwrap_err().contains("name"));
        assert!(read("[{\"openid\": 1}]").is_err());
    }

    #[test]
    fn rows_that_have_to_do_with_each_other_go_together() {
        let named = |names: [&str; 5]| {
            names.map(|names| names.split(' ').map(ToOwned::to_owned).collect()).to_vec()
        };
        let groups = related(named(["ann", "bob", "ann carl", "dora", "eve bob carl"]));
        assert_eq!(groups, [vec![0, 1, 2, 4], vec![3]]);
        assert_eq!(related(named(["a", "b", "c", "d", "e"])).len(), 5);
    }
}
