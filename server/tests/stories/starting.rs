//! A server that cannot be right does not start, and says which setting to mend.

use std::process::{Command, Output};

/// `saoma` with these arguments and settings, run to its end.
fn saoma(args: &[&str], settings: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saoma.toml");
    std::fs::write(&file, settings).unwrap();
    Command::new(env!("CARGO_BIN_EXE_saoma"))
        .args(args)
        .arg("--config")
        .arg(&file)
        .env_clear()
        .current_dir(folder.path())
        .output()
        .unwrap()
}

const ENOUGH: &str = "public_url = \"http://127.0.0.1:8080\"\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
                      [wechat]\nappid = \"wx1\"\nsecret = \"s\"\n";

#[test]
fn serve_stops_at_once_and_says_which_setting_and_what_to_write() {
    for (settings, words) in [
        (
            "",
            vec![
                "public_url is missing",
                "wechat.appid is missing",
                "wechat.secret is missing",
                "saoma try",
            ],
        ),
        (
            &ENOUGH.replace("appid = \"wx1\"\n", ""),
            vec!["wechat.appid is missing", "SAOMA_WECHAT__APPID", "saoma try"],
        ),
        (
            &ENOUGH.replace("secret = \"s\"\n", ""),
            vec!["wechat.secret is missing", "SAOMA_WECHAT__SECRET_FILE"],
        ),
        (
            &format!("{ENOUGH}[ticket]\nlive = \"2m\"\n"),
            vec!["ticket.live is no setting", "did you mean ticket.life?"],
        ),
        (
            &format!("{ENOUGH}pol = 3\n"),
            vec!["wechat.pol is no setting", "did you mean wechat.pool?"],
        ),
        (
            &ENOUGH.replace("http://127.0.0.1:8080", "http://login.example.com"),
            vec!["public_url = \"http://login.example.com\"", "https://"],
        ),
        (
            &ENOUGH.replace("http://127.0.0.1:8080", "https://a.example/login"),
            vec!["public_url", "without a path"],
        ),
        (&format!("{ENOUGH}pool = \"many\"\n"), vec!["wechat.pool is wrong"]),
        (&format!("store = \"mysql://\"\n{ENOUGH}"), vec!["store = \"mysql://\"", "sqlite:"]),
        (
            &format!("store = \"sqlite:/nowhere/saoma.db\"\n{ENOUGH}"),
            vec!["/nowhere/saoma.db", "is the folder there"],
        ),
        (
            &ENOUGH.replace("listen = \"127.0.0.1:0\"", "listen = \"192.0.2.1:80\""),
            vec!["192.0.2.1:80"],
        ),
        (
            &format!(
                "{ENOUGH}[[site]]\nid = \"blog\"\nname = \"Blog\"\nredirect_uris = [\"http://blog.example.com/cb\"]\n"
            ),
            vec!["site \"blog\"", "http://blog.example.com/cb", "must be https"],
        ),
        ("this is no TOML", vec!["saoma.toml"]),
    ] {
        let ended = saoma(&["serve"], settings);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{settings}\n{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is not said: {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn config_prints_every_setting_and_checks_the_ones_given() {
    let printed = saoma(&["config"], "");
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert_eq!(printed.trim_end(), saoma::config::DEFAULTS.trim_end());
    assert!(saoma(&["config", "--check"], ENOUGH).status.success());
    assert_eq!(saoma(&["config", "--check"], "").status.code(), Some(1));
}

#[test]
fn try_takes_no_real_appid() {
    let ended = Command::new(env!("CARGO_BIN_EXE_saoma"))
        .args(["try", "--once"])
        .env("SAOMA_WECHAT__APPID", "wx1234567890abcdef")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("SAOMA_WECHAT__APPID") && said.contains("saoma serve"), "{said}");
}

#[test]
fn try_once_plays_a_whole_sign_in() {
    let ended = Command::new(env!("CARGO_BIN_EXE_saoma")).args(["try", "--once"]).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(said.contains("Signed in"), "{said}");
}

#[test]
fn try_takes_the_sites_of_a_file_but_no_real_appid_from_it() {
    const SITE: &str = "[[site]]\nid = \"express\"\nname = \"Express\"\nredirect_uris = ";
    for (settings, word) in [
        ("[wechat]\nappid = \"wx1234567890abcdef\"\n".to_owned(), "remove wechat.appid"),
        (format!("{SITE}[\"http://blog.example.com/callback\"]\n"), "site \"express\""),
        (format!("{SITE}[\"http://127.0.0.1:3000/callback\"]\n"), ""),
    ] {
        let ended = saoma(&["try", "--once"], &settings);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.success(), word.is_empty(), "{said}");
        assert!(said.contains(word), "{word:?} is not said: {said}");
    }
}
