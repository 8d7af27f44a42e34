//! The docs say what is there: every page stands in the book, every link leads somewhere, every setting and every error code
//! is explained, every command is one that saoma knows, and what can be run without a server is run.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use saoma::{config::DEFAULTS, error::Code};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap()
}

/// Every Markdown page below a folder; what stands among sources is a template of one.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["node_modules", "target", "dist", "src"].contains(&name.as_str()) {
            if !name.starts_with('.') {
                found.extend(pages(&path));
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    found
}

/// The pages that owners read.
fn docs() -> Vec<PathBuf> {
    let mut found = pages(&root().join("docs"));
    found.extend(["README.md", "README.zh-CN.md"].map(|page| root().join(page)));
    found.sort();
    found
}

/// What the page's links lead to and its pictures come from, but for what lies outside the repository.
fn links(text: &str) -> Vec<String> {
    let named = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let shown = text.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let here = named.chain(shown);
    let here = here.filter(|link| !link.contains("://") && !link.starts_with("mailto:"));
    let files = here.map(|link| link.split(['#', ' ']).next().unwrap_or_default().to_owned());
    files.filter(|file| !file.is_empty()).collect()
}

#[test]
fn every_page_of_the_docs_stands_in_the_book() {
    let listed: BTreeSet<_> = links(&read("docs/SUMMARY.md")).into_iter().collect();
    let docs = root().join("docs");
    let there = pages(&docs).into_iter();
    let there = there.map(|path| path.strip_prefix(&docs).unwrap().display().to_string());
    let there: BTreeSet<_> = there.filter(|page| page != "SUMMARY.md").collect();
    assert_eq!(there, listed);
}

#[test]
fn every_link_leads_to_a_file() {
    let mut dead = Vec::new();
    for page in pages(root()) {
        let folder = page.parent().unwrap();
        let text = fs::read_to_string(&page).unwrap();
        let nowhere = links(&text).into_iter().filter(|link| !folder.join(link).exists());
        dead.extend(nowhere.map(|link| (page.clone(), link)));
    }
    assert_eq!(dead, []);
}

#[test]
fn the_road_from_zero_shows_the_page_and_the_phone_in_its_language() {
    for (page, lang) in [("docs/from-zero.md", "en"), ("docs/from-zero.zh-CN.md", "zh")] {
        let shown = links(&read(page));
        for picture in ["page", "phone-home", "phone-login", "phone-done"] {
            assert!(shown.contains(&format!("images/{picture}.{lang}.png")), "{page}: {picture}");
        }
    }
}

#[test]
fn a_chinese_page_leads_to_chinese_pages_where_there_are_any() {
    let mut astray = Vec::new();
    for page in docs().into_iter().filter(|page| page.to_string_lossy().ends_with(".zh-CN.md")) {
        let folder = page.parent().unwrap();
        let text = fs::read_to_string(&page).unwrap();
        let english = links(&text).into_iter().filter(|link| !link.ends_with(".zh-CN.md"));
        let has_chinese = english.filter(|link| {
            let chinese = link.strip_suffix(".md").map(|bare| format!("{bare}.zh-CN.md"));
            // Each page names its own other language.
            let own = link.replace(".md", ".zh-CN.md");
            !page.ends_with(own.trim_start_matches("../"))
                && chinese.is_some_and(|chinese| folder.join(chinese).exists())
        });
        astray.extend(has_chinese.map(|link| (page.clone(), link)));
    }
    assert_eq!(astray, []);
}

/// The dotted names of all settings, as the page of defaults has them; those of sites stand there as comments.
fn settings() -> Vec<String> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = format!("{name}.");
        } else if line == "# [[site]]" {
            section = "site.".to_owned();
        }
        let line = if section == "site." { line.trim_start_matches("# ") } else { line };
        let key = line.split_once(" = ").map(|(key, _)| key);
        let key = key.filter(|key| !key.contains([' ', '#']));
        found.extend(key.map(|key| format!("{section}{key}")));
    }
    found
}

#[test]
fn every_setting_is_explained_in_chinese() {
    let page = read("docs/settings.zh-CN.md");
    let all = settings();
    assert!(all.contains(&"wechat.secret".to_owned()) && all.contains(&"site.id".to_owned()));
    let missing: Vec<_> = all.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/settings.zh-CN.md lacks {missing:?}");
    assert!(
        read("docs/settings.md").contains("{{#include ../saoma.toml}}"),
        "English has them all"
    );
}

#[test]
fn every_error_code_has_a_cure_in_both_languages() {
    for name in ["docs/errors.md", "docs/errors.zh-CN.md"] {
        let page = read(name);
        let codes = Code::ALL.iter().map(|code| code.row().code);
        let missing: Vec<_> = codes.filter(|code| !page.contains(&format!("`{code}`"))).collect();
        assert!(missing.is_empty(), "{name} lacks {missing:?}");
    }
}

/// The lines of a page's shell blocks, each in one piece.
fn typed(text: &str) -> Vec<String> {
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(|block| {
        block.replace("\\\n", " ").lines().map(ToOwned::to_owned).collect::<Vec<_>>()
    });
    let lines = lines.map(|line| line.replace("$(date +%F)", "2026-11-25"));
    lines.map(|line| line.trim().trim_start_matches("sudo ").to_owned()).collect()
}

/// What is said of saoma's commands within sentences: `saoma ...` between backquotes.
fn mentioned(text: &str) -> Vec<String> {
    let outside: String = text.split("```").step_by(2).collect();
    let quoted = outside.lines().flat_map(|line| {
        line.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect::<Vec<_>>()
    });
    quoted.filter(|words| words.starts_with("saoma ")).collect()
}

/// The words of a command line of saoma's; none if it is another's.
fn words(line: &str) -> Option<Vec<String>> {
    let rest = line
        .trim_start_matches("./")
        .trim_start_matches("/opt/saoma/")
        .strip_prefix("saoma ")
        .or_else(|| line.strip_prefix("cargo run -- "))?;
    let before = rest.split([';', '|', '&', '>', '<', '#', '…']).next().unwrap_or_default();
    Some(shlex::split(before.trim().trim_end_matches("...")).unwrap())
}

fn saoma() -> Command {
    Command::new(env!("CARGO_BIN_EXE_saoma"))
}

fn said(ran: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    format!("{out}{err}")
}

/// Docker reads `.dockerignore` alone, and Podman that one too.
#[test]
fn the_container_of_the_docs_is_built_of_sources_alone() {
    assert!(read("docs/deploy.md").contains("docker build -t saoma -f Containerfile ."));
    let left_out = read(".dockerignore");
    for what in [".git", "**/target", "**/dist", "**/node_modules", "**/*.db", "**/*.db-*"] {
        assert!(left_out.lines().any(|line| line == what), "{what}");
    }
}

#[test]
fn every_command_in_the_docs_is_one_that_saoma_knows() {
    let (mut unknown, mut seen) = (Vec::new(), BTreeSet::new());
    for page in docs() {
        let text = fs::read_to_string(&page).unwrap();
        let lines = typed(&text).into_iter().chain(mentioned(&text));
        for words in lines.filter_map(|line| words(&line)) {
            if !seen.insert(words.clone()) {
                continue;
            }
            // What is wrong with the words before it is said before the help.
            let ran = saoma().args(&words).arg("--help").output().unwrap();
            if !ran.status.success() {
                let why = said(&ran).lines().next().unwrap_or_default().to_owned();
                unknown.push(format!("{}: saoma {}: {why}", page.display(), words.join(" ")));
            }
        }
    }
    assert!(seen.len() > 40, "the docs name commands");
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

/// What needs a network, a machine of its own or somebody who ends it: `server/tests/stories/process.rs`, `doctor/` and
/// `operate/` run these.
const ELSEWHERE: [&str; 5] = ["doctor", "healthcheck", "pretend", "serve", "try"];

#[test]
fn commands_in_the_docs_do_what_they_say_on_a_fresh_machine() {
    let (mut ran, mut failed) = (0, Vec::new());
    for page in docs() {
        let folder = tempfile::tempdir().unwrap();
        let people = "openid,nickname\noAnn-0000000000000000000000,Ann\n";
        fs::write(folder.path().join("people.csv"), people).unwrap();
        let store = format!("sqlite:{}", folder.path().join("saoma.db").display());
        let saomas = |words: &[String]| {
            saoma()
                .args(words)
                .current_dir(folder.path())
                .env_clear()
                .env("SAOMA_PUBLIC_URL", "https://login.example.com")
                .env("SAOMA_WECHAT__APPID", "wx1234567890abcdef")
                .env("SAOMA_WECHAT__SECRET", "pretend")
                .env("SAOMA_STORE", &store)
                .output()
                .unwrap()
        };
        // The server was started once; a site that no page names makes its database too.
        let began =
            ["site", "add", "began", "--name=B", "--redirect-uri=https://began.example.com/"];
        assert!(saomas(&began.map(ToOwned::to_owned)).status.success());
        for line in typed(&fs::read_to_string(&page).unwrap()) {
            let line = line.replace("/somewhere/safe", &folder.path().display().to_string());
            let Some(words) = words(&line) else { continue };
            if words.first().is_none_or(|first| ELSEWHERE.contains(&first.as_str())) {
                continue;
            }
            let run = saomas(&words);
            // A fresh machine knows nobody, and says so.
            let about_somebody = words[0] == "person" && words.len() > 2;
            let holds = match about_somebody {
                true => said(&run).contains("nobody has the user name"),
                false => run.status.success(),
            };
            ran += 1;
            if !holds {
                failed.push(format!("{}: {line}\n{}", page.display(), said(&run)));
            }
        }
    }
    assert!(ran > 40, "{ran} were run");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
