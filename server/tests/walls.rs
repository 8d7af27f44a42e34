//! Keeps the walls of ARCHITECTURE.md, "What never happens", 1 to 6: which room may name which.
#![expect(clippy::unwrap_used, reason = "a source that cannot be read has failed the test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The sources of a room: `room.rs` and what is below `room/`, without their tests.
fn room(name: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (mut files, mut folders) = (vec![root.join(format!("{name}.rs"))], vec![root.join(name)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { folders.push(entry) } else { files.push(entry) }
        }
    }
    files.retain(|file| file.exists() && file.extension().is_some_and(|kind| kind == "rs"));
    files.retain(|file| !file.ends_with("tests.rs") && !file.ends_with("contract.rs"));
    files.retain(|file| !file.parent().is_some_and(|folder| folder.ends_with("contract")));
    assert!(!files.is_empty(), "there is no room {name}");
    files
}

/// Every path that a source names, those of its `use` lines written out.
fn paths(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = format!("\n{}", code.join("\n"));
    let mut found = Vec::new();
    for import in code.split("use ").skip(1).filter_map(|rest| rest.split(';').next()) {
        write_out("", &import.split_whitespace().collect::<String>(), &mut found);
    }
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    found.extend(
        code.split(|c| !is_path(c))
            .filter(|word| *word == "async" || word.contains("::"))
            .map(ToOwned::to_owned),
    );
    found
}

/// `a::{b, c::{d}}` is `a::b` and `a::c::d`.
fn write_out(before: &str, tree: &str, found: &mut Vec<String>) {
    let (mut depth, mut from) = (0, 0);
    for (at, c) in tree.char_indices().chain([(tree.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let item = tree.get(from..at).unwrap_or_default();
                match item.split_once('{') {
                    Some((head, rest)) => write_out(
                        &format!("{before}{head}"),
                        rest.strip_suffix('}').unwrap_or(rest),
                        found,
                    ),
                    None => found.push(format!("{before}{item}")),
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

/// Fails, with all offenders, if a source of this room names one of these, or anything below them.
fn never_names(name: &str, forbidden: &[&str]) {
    for file in room(name) {
        let below =
            |path: &String, wall: &str| path == wall || path.starts_with(&format!("{wall}::"));
        let paths = paths(&file);
        let named: Vec<_> =
            paths.iter().filter(|path| forbidden.iter().any(|wall| below(path, wall))).collect();
        assert!(named.is_empty(), "{} names {named:?}", file.display());
    }
}

const BACKENDS: [&str; 4] = [
    "crate::store::sqlite",
    "crate::tickets::memory",
    "crate::store::postgres",
    "crate::tickets::redis",
];
const DRIVERS: [&str; 3] = ["rusqlite", "tokio_postgres", "redis"];

#[test]
fn wechat_knows_nothing_of_the_server_and_its_two_sides_nothing_of_each_other() {
    never_names("wechat/src", &["saoma"]);
    let pretend = room("wechat/src/pretend");
    let root = pretend[0].parent().unwrap();
    for file in &pretend {
        // As many `super::` as there are walls around it lead out of the room.
        let depth = file.strip_prefix(root).unwrap().components().count();
        let outside = "super::".repeat(depth);
        let out = |path: &&String| {
            path.starts_with(&outside)
                || (path.starts_with("crate::") && !path.starts_with("crate::pretend"))
        };
        assert_eq!(paths(file).iter().find(out), None, "{}", file.display());
    }
    for file in room("wechat/src").iter().filter(|file| !file.to_string_lossy().contains("pretend"))
    {
        let pretend = paths(file).into_iter().find(|path| path.contains("pretend::"));
        assert_eq!(pretend, None, "{}", file.display());
    }
}

#[test]
fn rules_know_no_technology() {
    for pure in ["ticket", "person", "grant", "risk", "admission"] {
        let technology = [
            "axum",
            "hyper",
            "tower",
            "reqwest",
            "tokio",
            "async",
            "crate::store",
            "crate::tickets",
            "crate::app",
            "crate::http",
        ];
        never_names(&format!("server/src/{pure}"), &[&technology[..], &DRIVERS].concat());
    }
}

#[test]
fn the_dance_sees_traits_and_no_http() {
    for dance in ["login", "oidc"] {
        never_names(
            &format!("server/src/{dance}"),
            &[&["axum", "hyper", "crate::http"][..], &BACKENDS, &DRIVERS].concat(),
        );
    }
}

#[test]
fn stores_hold_memory_and_no_rules() {
    for store in ["store", "tickets"] {
        let rules = [
            "crate::login",
            "crate::oidc",
            "crate::risk",
            "crate::http",
            "crate::app",
            "crate::config",
            "axum",
            "reqwest",
        ];
        never_names(&format!("server/src/{store}"), &rules);
    }
}

#[test]
fn http_turns_words_into_calls_and_decides_nothing() {
    let rules = [
        "crate::ticket::Ticket",
        "crate::ticket::Stage",
        "crate::ticket::Refusal",
        "crate::tickets",
        "crate::risk::Risk",
    ];
    never_names("server/src/http", &[&rules[..], &BACKENDS, &DRIVERS].concat());
    // What answers calls is every file but what they share, and `openapi`, which tells of all of them.
    let shared = ["caller", "guard", "reply", "pages", "cookies", "serve"];
    let folder = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http")).unwrap();
    let mut files: Vec<_> = folder
        .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| !["openapi", "fuzzed"].contains(&name.as_str()))
        .collect();
    // A room may have a file and a folder.
    files.sort_unstable();
    files.dedup();
    let siblings: Vec<_> = files.iter().filter(|name| !shared.contains(&name.as_str())).collect();
    assert!(siblings.len() > 14, "{siblings:?}");
    for file in &files {
        let others = siblings.iter().filter(|other| **other != file);
        let others: Vec<_> = others.map(|other| format!("super::{other}")).collect();
        let others: Vec<_> = others.iter().map(String::as_str).collect();
        never_names(
            &format!("server/src/http/{file}"),
            &[&others[..], &["super::openapi"]].concat(),
        );
    }
}

#[test]
fn only_main_names_backends() {
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap() {
        let name = file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        // `fuzz` is built for tests and fuzzers alone.
        let holds_them = ["main", "store", "tickets", "fuzz"].contains(&name.as_str());
        if !holds_them {
            never_names(&format!("server/src/{name}"), &BACKENDS);
        }
    }
}

#[test]
fn the_reader_of_imports_sees_what_it_should() {
    let mut found = Vec::new();
    write_out("", "a::{b,c::{d,e::f},g}", &mut found);
    assert_eq!(found, ["a::b", "a::c::d", "a::c::e::f", "a::g"]);
}
