//! What an owner gets written, and what is refused. That it compiles and opens is seen by the tests in `miniprogram/`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::Parser;
use serde_json::Value;

use super::{APP, Given, PROFILE, files, write};
use crate::{
    config::{Faults, Settings},
    lang::Lang,
};

const ENOUGH: &[(&str, &str)] = &[
    ("SAOMA_PUBLIC_URL", "https://login.example.com:8443"),
    ("SAOMA_WECHAT__APPID", "wx0123456789abcdef"),
    ("SAOMA_WECHAT__SECRET", "an AppSecret"),
];

fn settings(more: &[(&str, &str)]) -> Settings {
    let env =
        ENOUGH.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::load(None, env).unwrap()
}

fn written(more: &[(&str, &str)], out: &Path) -> Result<String, Faults> {
    write(&settings(more), out, false, Lang::En)
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The strings of a `config.ts`, read as JSON, which they are.
fn field(out: &Path, name: &str) -> Value {
    let config = fs::read_to_string(out.join("config.ts")).unwrap();
    let line = config.lines().find_map(|line| line.trim().strip_prefix(&format!("{name}: ")));
    serde_json::from_str(line.unwrap().trim_end_matches(',')).unwrap()
}

#[test]
fn everything_that_ships_is_written_and_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("mini");
    let said = written(
        &[
            ("SAOMA_MINIPROGRAM__NAME", "青山登录"),
            ("SAOMA_MINIPROGRAM__FILING", "浙ICP备2026000001号-1X"),
        ],
        &out,
    )
    .unwrap();
    for file in files(&APP) {
        assert!(out.join(file.path()).is_file(), "{}", file.path().display());
    }
    assert_eq!(field(&out, "server"), "https://login.example.com:8443");
    assert_eq!(field(&out, "name"), serde_json::json!({ "zh": "青山登录", "en": "青山登录" }));
    assert_eq!(field(&out, "filing"), "浙ICP备2026000001号-1X");
    assert_eq!(field(&out, "version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(field(&out, "profile"), false);
    let project = json(out.join("project.config.json"));
    assert_eq!(
        (&project["appid"], &project["setting"]["es6"]),
        (&"wx0123456789abcdef".into(), &false.into())
    );
    assert_eq!(json(out.join("app.json"))["window"]["navigationBarTitleText"], "青山登录");
    assert!(
        !out.join("pages/profile").exists(),
        "nothing that wants a privacy guide ships unasked"
    );
    assert!(
        said.contains("\n    https://login.example.com:8443\n"),
        "the request domain stands alone, to the letter: {said}"
    );
    assert!(said.contains("miniprogram-ci@2 upload --pp") && said.contains("IP 白名单"), "{said}");
    assert!(!said.contains("an AppSecret"));
}

#[test]
fn the_owner_is_told_the_lowest_base_library_which_pictures_raise() {
    for (profile, library) in [("false", "2.23.4"), ("true", "2.24.4")] {
        let settings = settings(&[("SAOMA_MINIPROGRAM__PROFILE", profile)]);
        for lang in [Lang::Zh, Lang::En] {
            let folder = tempfile::tempdir().unwrap();
            let said = write(&settings, &folder.path().join("mini"), false, lang).unwrap();
            let line = said.lines().find(|line| line.contains("基础库最低版本")).unwrap();
            assert!(line.contains(library), "{line}");
        }
    }
}

#[test]
fn nothing_that_ships_stays_behind_in_the_source() {
    let on_disk = |folder: &str| -> BTreeSet<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../miniprogram").join(folder);
        let mut open = vec![root.clone()];
        let mut found = BTreeSet::new();
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path)
                } else {
                    found.insert(path.strip_prefix(&root).unwrap().to_owned());
                }
            }
        }
        found
    };
    for (folder, embedded) in [("app", &APP), ("profile", &PROFILE)] {
        let embedded: BTreeSet<PathBuf> =
            files(embedded).iter().map(|file| file.path().to_owned()).collect();
        assert_eq!(embedded, on_disk(folder));
    }
}

#[test]
fn no_name_gets_out_of_its_string() {
    let folder = tempfile::tempdir().unwrap();
    let nasty = "\"'`${x}\\ </script> <!-- {{t}}";
    written(
        &[("SAOMA_MINIPROGRAM__NAME", nasty), ("SAOMA_MINIPROGRAM__OPERATOR", nasty)],
        folder.path(),
    )
    .unwrap();
    assert_eq!(field(folder.path(), "operator"), nasty);
    assert_eq!(json(folder.path().join("app.json"))["window"]["navigationBarTitleText"], nasty);
    let config = fs::read_to_string(folder.path().join("config.ts")).unwrap();
    assert!(!config.contains("</") && !config.contains("<!--"), "{config}");
    let said = written(&[("SAOMA_MINIPROGRAM__NAME", "a\u{202e}b")], folder.path())
        .unwrap_err()
        .to_string();
    assert!(said.contains("miniprogram.name has control or invisible characters"), "{said}");
}

#[test]
fn what_is_not_ours_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    fs::write(out.join("novel.txt"), "chapter one").unwrap();
    let said = written(&[], out).unwrap_err().to_string();
    assert!(said.contains("holds something else") && said.contains("--force"), "{said}");
    assert!(!out.join("app.json").exists());
    write(&settings(&[]), out, true, Lang::En).unwrap();
    assert_eq!(fs::read_to_string(out.join("novel.txt")).unwrap(), "chapter one");
}

#[test]
fn written_again_it_keeps_nothing_that_is_no_longer_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    written(&[("SAOMA_MINIPROGRAM__PROFILE", "true")], out).unwrap();
    assert!(out.join("pages/profile/profile.wxml").is_file());
    assert_eq!(
        json(out.join("app.json"))["pages"].as_array().unwrap().last().unwrap(),
        "pages/profile/profile"
    );
    fs::write(out.join("project.private.config.json"), "{}").unwrap();
    written(&[], out).unwrap();
    assert!(!out.join("pages/profile").exists());
    assert!(out.join("project.private.config.json").exists(), "what DevTools keeps there stays");
}

#[test]
fn colours_that_cannot_be_read_are_refused_with_what_can() {
    let folder = tempfile::tempdir().unwrap();
    let brand = |more: &[(&str, &str)]| {
        written(more, folder.path())
            .map(|_| fs::read_to_string(folder.path().join("brand.wxss")).unwrap())
    };
    let yellow = brand(&[("SAOMA_MINIPROGRAM__COLOR", "#ffd54f")]).unwrap();
    assert!(
        yellow.contains("--accent: #ffd54f;") && yellow.contains("--on-accent: #000000;"),
        "{yellow}"
    );
    let said = brand(&[
        ("SAOMA_MINIPROGRAM__COLOR", "#07c160"),
        ("SAOMA_MINIPROGRAM__ON_COLOR", "#ffffff"),
    ])
    .unwrap_err()
    .to_string();
    assert!(
        said.contains("2.38 to 1") && said.contains("4.5") && said.contains("#000000"),
        "{said}"
    );
    let said = brand(&[("SAOMA_MINIPROGRAM__COLOR", "red; } page {")]).unwrap_err().to_string();
    assert!(said.contains("#rrggbb"), "{said}");
}

#[test]
fn a_logo_is_drawn_anew_small_and_square() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, width, height| {
        let path = folder.path().join(name);
        image::RgbImage::from_pixel(width, height, image::Rgb([200, 30, 30])).save(&path).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let out = folder.path().join("mini");
    for (name, as_written) in [("big.png", "logo.png"), ("big.jpg", "logo.jpg")] {
        written(&[("SAOMA_MINIPROGRAM__LOGO", &file(name, 900, 900))], &out).unwrap();
        assert_eq!(field(&out, "logo"), format!("/{as_written}"));
        let logo = image::open(out.join(as_written)).unwrap();
        assert_eq!((logo.width(), logo.height()), (216, 216));
        let logos = fs::read_dir(&out).unwrap().filter(|entry| {
            entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("logo.")
        });
        assert_eq!(logos.count(), 1, "the others are gone");
    }
    let refused =
        |path: &str| written(&[("SAOMA_MINIPROGRAM__LOGO", path)], &out).unwrap_err().to_string();
    assert!(refused(&file("wide.png", 300, 200)).contains("cut it square"));
    assert!(refused(&file("tiny.png", 20, 20)).contains("at least 144"));
    fs::write(folder.path().join("logo.gif"), "GIF89a").unwrap();
    assert!(
        refused(folder.path().join("logo.gif").to_str().unwrap()).contains("neither PNG nor JPEG")
    );
    assert!(refused("/nowhere/logo.png").contains("cannot be read"));
}

#[test]
fn flags_go_over_the_settings_and_no_secret_is_needed() {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        given: Given,
    }
    let line = [
        "saoma",
        "--out",
        "x",
        "--appid",
        "wxaaaaaaaaaaaaaaaa",
        "--server",
        "https://a.example",
        "--name",
        "A",
        "--name-en",
        "B",
        "--profile",
        "--version",
        "2.0.1",
    ];
    let given = Line::parse_from(line).given;
    let env = [("SAOMA_MINIPROGRAM__NAME", "C"), ("SAOMA_WECHAT__SECRET_FILE", "/nowhere")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = Settings::load(None, given.over(env.into_iter())).unwrap();
    assert_eq!(settings.public_url, "https://a.example");
    assert_eq!(settings.wechat.appid, "wxaaaaaaaaaaaaaaaa");
    let own = settings.miniprogram;
    assert_eq!(
        (own.name.as_str(), own.name_en.as_str(), own.version.as_str()),
        ("A", "B", "2.0.1")
    );
    assert!(own.profile);
}

#[test]
fn a_wrong_appid_is_seen_before_wechat_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    for appid in ["wx1", "wx0123456789ABCDEF", "wx0123456789abcdef0"] {
        let stand_in = ("SAOMA_WECHAT__BASE_URL", "http://127.0.0.1:9100");
        let given = [("SAOMA_WECHAT__APPID", appid), stand_in];
        let said = written(&given, folder.path()).unwrap_err().to_string();
        assert!(said.contains("wechat.appid"), "{said}");
    }
}

#[test]
fn the_way_on_is_told_in_chinese_where_the_machine_speaks_it() {
    let folder = tempfile::tempdir().unwrap();
    let said = write(&settings(&[]), folder.path(), false, Lang::of_locale("zh_CN.UTF-8")).unwrap();
    assert!(said.contains("\n    https://login.example.com:8443\n"), "{said}");
    assert!(said.contains("miniprogram-ci@2 upload --pp") && said.contains("注意："), "{said}");
    assert!(!said.contains("Then either") && !said.contains("Note:"), "{said}");
}
