//! docs/threat-model.md keeps its word: every row of the catalogue is there, and every test that it names is a test.
#![expect(clippy::unwrap_used, reason = "a page that cannot be read has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file below these folders that ends so.
fn files(folders: &[&str], end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !["node_modules", "target", "out"].contains(&name) {
                left.push(path);
            } else if path.is_file() && name.ends_with(end) {
                found.push(path);
            }
        }
    }
    found
}

/// The names under which a Rust file's tests are spoken of: that of the file, and that of its folder for `tests.rs` and the
/// like.
fn rooms(path: &Path) -> BTreeSet<String> {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap().to_str().unwrap().to_owned();
    let (stem, folder) = (text(path.file_stem()), text(path.parent().unwrap().file_name()));
    if stem == "tests" { [stem, folder].into() } else { [stem].into() }
}

/// Every Rust test, as `room::name`.
fn rust_tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in files(&["server", "wechat"], ".rs") {
        let text = fs::read_to_string(&path).unwrap();
        // In `proptest!` a test's arguments stand on lines of their own.
        for piece in text.split("#[test]").skip(1).chain(text.split("#[tokio::test").skip(1)) {
            let Some((_, rest)) = piece.split_once("fn ") else { continue };
            let name: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.extend(rooms(&path).into_iter().map(|room| format!("{room}::{name}")));
        }
    }
    found
}

/// Every file of JavaScript tests, by its name; several may have one.
fn script_tests() -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for end in [".test.js", ".test.mjs"] {
        for path in files(&["browser/tests", "miniprogram/tests"], end) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            found.entry(name).or_default().push_str(&fs::read_to_string(&path).unwrap());
        }
    }
    found
}

/// The tests that a page names: what stands between backticks and looks like one.
fn named(page: &str) -> Vec<&str> {
    let quoted = page.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.contains("::") || text.contains(".test.")).collect()
}

fn page() -> String {
    fs::read_to_string(root().join("docs/threat-model.md")).unwrap()
}

#[test]
fn every_row_of_the_catalogue_is_answered_once() {
    let page = page();
    let rows: Vec<u32> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next()?.parse().ok())
        .collect();
    assert_eq!(rows, (1..=67).collect::<Vec<_>>());
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let falls_away = line.starts_with("| 40 |");
        let number = line.strip_prefix("| ").unwrap().split(" |").next().unwrap();
        if number.parse::<u32>().is_ok() && !falls_away {
            assert!(!named(line).is_empty(), "row {number} names no test");
            assert_eq!(line.matches(" | ").count(), 4, "row {number} has five columns");
        }
    }
}

#[test]
fn every_flaw_and_every_hole_names_its_test() {
    let page = page();
    for heading in ["## The six flaws", "## Holes seen in public code", "## Further rules"] {
        let (_, section) = page.split_once(heading).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
        let without: Vec<&str> = rows.filter(|row| named(row).is_empty()).collect();
        assert_eq!(without, [] as [&str; 0], "{heading}");
    }
}

#[test]
fn every_test_that_is_named_is_there() {
    let (rust, scripts) = (rust_tests(), script_tests());
    let page = page();
    let missing: Vec<&str> = named(&page)
        .into_iter()
        .filter(|name| *name != "room::name")
        .filter(|name| match name.split_once(": ") {
            Some((file, title)) => {
                !scripts.get(file).is_some_and(|text| text.contains(&format!("test('{title}'")))
            }
            None => !rust.contains(*name),
        })
        .collect();
    assert_eq!(missing, [] as [&str; 0], "docs/threat-model.md names tests that are not there");
}

#[test]
fn what_is_built_comes_from_one_registry_and_is_locked() {
    for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
        let text = fs::read_to_string(root().join(lock)).unwrap();
        let foreign: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("source = "))
            .filter(|line| !line.contains("registry+https://github.com/rust-lang/crates.io-index"))
            .collect();
        assert_eq!(foreign, [] as [&str; 0], "{lock}");
        for banned in ["name = \"rsa\"", "name = \"openssl\"", "name = \"native-tls\""] {
            assert!(!text.lines().any(|line| line == banned), "{banned} in {lock}");
        }
    }
}

#[test]
fn the_fuzzers_are_locked_with_what_the_server_is_built_of() {
    let read = |path: &str| -> toml::Table {
        fs::read_to_string(root().join(path)).unwrap().parse().unwrap()
    };
    let (manifest, lock) = (read("server/Cargo.toml"), read("fuzz/Cargo.lock"));
    let packages = lock["package"].as_array().unwrap();
    let saoma = packages.iter().find(|package| package["name"].as_str() == Some("saoma")).unwrap();
    let locked: BTreeSet<&str> = saoma["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|name| name.as_str()?.split(' ').next())
        .collect();
    let wanted = manifest["dependencies"].as_table().unwrap().iter();
    let wanted = wanted.filter(|(_, what)| what.get("optional").is_none());
    let missing: Vec<&String> = wanted
        .map(|(name, _)| name)
        .filter(|name| *name != "wechat" && !locked.contains(name.as_str()))
        .collect();
    assert_eq!(missing, [] as [&String; 0], "run `cargo metadata` in fuzz/, and commit its lock");
}

#[cfg(unix)]
#[test]
fn a_database_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saoma.db");
    let store = saoma::store::sqlite::Sqlite::open(&path).unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} can be read by others", entry.file_name());
    }
    drop(store);
}
