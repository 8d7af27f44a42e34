//! The two sides never import each other: each is held to the published facts on its own, so that
//! one misreading cannot hide in both.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.into_iter().chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

#[test]
fn the_client_and_the_pretend_wechat_never_import_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut client, mut pretend) = (0, 0);
    for path in sources(&root).iter().filter(|path| path.extension().is_some_and(|e| e == "rs")) {
        let text = fs::read_to_string(path).unwrap();
        let is_pretend = path.strip_prefix(&root).unwrap().to_str().unwrap().starts_with("pretend");
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            assert!(!line.contains("saoma::"), "{}: {line}", path.display());
            if is_pretend {
                assert!(!line.contains("crate::"), "{}: {line}", path.display());
            } else if !path.ends_with("lib.rs") {
                assert!(!line.contains("pretend"), "{}: {line}", path.display());
            }
        }
        *(if is_pretend { &mut pretend } else { &mut client }) += 1;
    }
    assert!(client > 10 && pretend > 10, "{client} and {pretend} files were read");
}
