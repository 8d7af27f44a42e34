//! A server that cannot be right does not start, and says which setting to mend.

use std::{
    fs::{File, Permissions},
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use saoma::try_it::{
    Stage,
    actors::{Browser, Reply},
};
use serde_json::Value;

use crate::process::Process;

/// `saoma` with these arguments and settings, run to its end.
fn saoma(args: &[&str], settings: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("saoma.toml"), settings).unwrap();
    saoma_in(folder.path(), args)
}

/// The same in a folder that has its settings.
fn saoma_in(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_saoma"))
        .args(args)
        .arg("--config")
        .arg(folder.join("saoma.toml"))
        .env_clear()
        .current_dir(folder)
        .output()
        .unwrap()
}

fn text(said: &[u8]) -> String {
    String::from_utf8_lossy(said).into_owned()
}

const ENOUGH: &str = "public_url = \"http://127.0.0.1:8080\"\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
                      [wechat]\nappid = \"wx1234567890abcdef\"\nsecret = \"s\"\n";

const WIKI: [&str; 5] =
    ["site", "add", "wiki", "--name=Wiki", "--redirect-uri=https://wiki.example/cb"];

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
            &ENOUGH.replace("appid = \"wx1234567890abcdef\"\n", ""),
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
        (
            &format!("{ENOUGH}pool = \"many\"\n"),
            vec!["cannot be used (/", "/saoma.toml)", "wechat.pool is wrong"],
        ),
        (&format!("{ENOUGH}[log]\nlevel = \"warning\"\n"), vec!["log.level", "did you mean warn?"]),
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
    let checked = saoma(&["config", "--check"], ENOUGH);
    assert!(checked.status.success() && text(&checked.stdout).contains("/saoma.toml can be used."));
    let in_force = saoma(&["config", "--in-force", "--json"], ENOUGH).stdout;
    let in_force: Vec<serde_json::Value> = serde_json::from_slice(&in_force).unwrap();
    let listen = in_force.iter().find(|row| row["name"] == "listen").unwrap();
    assert!(listen["source"].as_str().unwrap().ends_with("saoma.toml"), "{listen}");
    let default = in_force.iter().find(|row| row["name"] == "store").unwrap();
    assert_eq!(default["source"], "default", "{default}");
    assert_eq!(saoma(&["config", "--check"], "").status.code(), Some(1));
}

#[test]
fn a_check_reads_the_files_that_a_server_would_read() {
    for (settings, words) in [
        (format!("region_db = \"none.mmdb\"\n{ENOUGH}"), "region_db = \"none.mmdb\""),
        (
            ENOUGH.replace("http://127.0.0.1:8080", "https://login.example.com")
                + "[tls]\ncert = \"none.pem\"\nkey = \"none.pem\"\n",
            "tls.cert, tls.key: none.pem",
        ),
        (format!("tickets = \"redis://@\"\n{ENOUGH}"), "no URL of a Redis"),
        (format!("store = \"postgres://a:p@w@db/a\"\n{ENOUGH}"), "percent-encoded"),
    ] {
        let checked = saoma(&["config", "--check"], &settings);
        let said = text(&checked.stderr);
        assert_eq!(checked.status.code(), Some(1), "{settings}");
        assert!(said.contains(words) && said.contains("/saoma.toml)"), "{said}");
    }
}

#[test]
fn where_no_file_was_read_nothing_of_it_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_saoma"));
    let ended = command.arg("serve").env_clear().current_dir(folder.path()).output().unwrap();
    let said = text(&ended.stderr);
    let here = folder.path().join("saoma.toml").display().to_string();
    assert!(said.contains("no file of settings was read") && said.contains(&here), "{said}");
    assert!(said.contains("--config"), "{said}");
}

#[test]
fn a_level_of_the_log_that_is_none_is_refused_on_the_command_line_too() {
    let ended = saoma(&["site", "list", "--log", "verbose"], ENOUGH);
    assert!(text(&ended.stderr).contains("the log level \"verbose\" is none"), "{ended:?}");
    assert!(!ended.status.success());
}

#[test]
fn groups_want_to_be_joined_or_left() {
    let said = text(&saoma(&["person", "group", "ann"], ENOUGH).stderr);
    assert!(said.contains("--join") && said.contains("--leave"), "{said}");
}

#[test]
fn settings_that_may_not_be_read_are_not_taken_for_missing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saoma.toml");
    std::fs::write(&file, ENOUGH).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    // Root reads everything, unless it gives that up.
    let root = File::open(&file).is_ok();
    let program = if root { "setpriv" } else { env!("CARGO_BIN_EXE_saoma") };
    let first = ["--bounding-set=-dac_override,-dac_read_search", env!("CARGO_BIN_EXE_saoma")];
    for named in [&["--config", "saoma.toml"][..], &[]] {
        for command in [&["config", "--check"][..], &["doctor", "--quick"], &["site", "list"]] {
            let mut saoma = Command::new(program);
            saoma.args(first.iter().filter(|_| root)).args(command).args(named);
            let ended = saoma.current_dir(folder.path()).env("SAOMA_LOG", "warn").output().unwrap();
            let said = text(&ended.stderr) + &text(&ended.stdout);
            assert!(said.contains("cannot read saoma.toml: permission denied"), "{said}");
            assert!(said.contains("sudo") && !said.contains("missing"), "{said}");
            assert!(!ended.status.success(), "{said}");
        }
    }
}

#[test]
fn the_doctor_asks_the_redis_without_which_no_server_starts() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let redis = format!("tickets = \"redis://:hush@{nobody}/\"\n");
    let settings = format!("{redis}{ENOUGH}base_url = \"http://127.0.0.1:9\"\n");
    let ended = saoma(&["doctor", "--quick"], &settings);
    let said = text(&ended.stdout);
    let line = said.lines().find(|line| line.contains(" redis ")).unwrap_or(&said);
    assert!(line.starts_with("BROKEN") && line.contains(&nobody.to_string()), "{said}");
    assert!(line.contains("refused") && !said.contains("hush"), "{said}");
}

#[test]
fn a_command_in_another_folder_than_the_servers_makes_no_second_database() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("saoma.toml"), ENOUGH).unwrap();
    for command in [
        &["backup", "copy.db"][..],
        &["person", "list"],
        &["site", "list"],
        &["keys", "list"],
        &["console", "link"],
    ] {
        let ended = saoma_in(at, command);
        let said = text(&ended.stderr);
        assert!(!ended.status.success(), "{command:?}");
        let whole = at.join("saoma.db").display().to_string();
        assert!(said.contains(&format!("there is no database at {whole}")), "{said}");
        assert!(said.contains("write the whole path"), "{said}");
    }
    assert_eq!(std::fs::read_dir(at).unwrap().count(), 1, "nothing was made");

    // What may come before the first start says that it made one.
    let added = saoma_in(at, &WIKI);
    assert!(added.status.success(), "{added:?}");
    assert!(text(&added.stderr).contains("there was no database at"), "{added:?}");
    assert!(saoma_in(at, &["person", "list"]).stderr.is_empty());
    let made = saoma_in(at, &["backup", "copy.db"]);
    assert!(text(&made.stdout).contains(&at.join("saoma.db").display().to_string()), "{made:?}");
}

#[test]
fn a_site_is_registered_with_all_that_the_settings_could_say_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("saoma.toml"), ENOUGH).unwrap();
    let more = [
        "--risk=high",
        "--env-version=trial",
        "--access-token=jwt",
        "--backchannel-logout-uri=http://127.0.0.1:9/out",
        "--backchannel-private",
    ];
    let added = saoma_in(at, &[&WIKI[..], &more].concat());
    assert!(text(&added.stdout).contains("openid profile email\n"), "{added:?}");
    let shown = saoma_in(at, &["site", "show", "wiki"]).stdout;
    let shown: Value = serde_json::from_slice(&shown).unwrap();
    for (name, value) in [("risk", "high"), ("env_version", "trial"), ("access_token", "jwt")] {
        assert_eq!(shown[name], value, "{shown:#}");
    }
    assert_eq!(shown["backchannel_private"], true);
    let wrong = saoma_in(at, &[&WIKI[..], &["--env-version=beta"]].concat());
    assert!(text(&wrong.stderr).contains("release, trial or develop"), "{wrong:?}");

    let album = ["site", "add", "album", "--name=Album", "--forward-auth=https://album.example"];
    let said = text(&saoma_in(at, &album).stdout);
    assert!(said.contains("docs/forward-auth.md") && !said.contains("client_secret"), "{said}");
}

#[test]
fn the_mini_program_names_the_sites_that_a_command_registered_too() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let settled = |id: &str| {
        format!(
            "[[site]]\nid = \"{id}\"\nname = \"Of the settings\"\nredirect_uris = [\"https://{id}.example.com/cb\"]\n"
        )
    };
    let settings = ENOUGH.to_owned();
    std::fs::write(at.join("saoma.toml"), &settings).unwrap();
    let sites = || {
        let written = saoma_in(at, &["miniprogram", "--out", "mini"]);
        assert!(written.status.success() && written.stderr.is_empty(), "{written:?}");
        let config = std::fs::read_to_string(at.join("mini/config.ts")).unwrap();
        let line = config.lines().find_map(|line| line.trim().strip_prefix("sites: ")).unwrap();
        (line.trim_end_matches(',').to_owned(), text(&written.stdout))
    };
    let (none, said) = sites();
    assert_eq!(none, "[]");
    assert!(said.contains("names no site yet"), "{said}");
    assert!(!at.join("saoma.db").exists(), "it makes no database");

    for id in ["blog", "wiki"] {
        let address = format!("https://{id}.example.com/cb");
        let add = ["site", "add", id, "--name", "Of a command", "--redirect-uri", &address];
        assert!(saoma_in(at, &add).status.success());
    }
    std::fs::write(at.join("saoma.toml"), settings + &settled("blog")).unwrap();
    let (both, said) = sites();
    assert_eq!(
        both,
        r#"[{"host":"blog.example.com","name":"Of the settings"},{"host":"wiki.example.com","name":"Of a command"}]"#
    );
    assert!(!said.contains("names no site yet"), "{said}");
    // What cannot be read is said, and keeps nobody from the mini program.
    std::fs::write(at.join("saoma.db"), "no database").unwrap();
    // A log that the last command left behind would make it one.
    for beside in ["saoma.db-wal", "saoma.db-shm"] {
        let _ = std::fs::remove_file(at.join(beside));
    }
    let written = saoma_in(at, &["miniprogram", "--out", "mini"]);
    assert!(written.status.success(), "{written:?}");
    assert!(text(&written.stderr).contains("the sites of the settings alone"), "{written:?}");
}

#[test]
fn a_link_to_a_console_that_listens_everywhere_opens_on_this_machine() {
    for (listens, opens) in
        [("0.0.0.0:8081", "http://127.0.0.1:8081/"), ("[::]:8081", "http://[::1]:8081/")]
    {
        let folder = tempfile::tempdir().unwrap();
        let settings = ENOUGH
            .replace("admin_listen = \"127.0.0.1:0\"", &format!("admin_listen = \"{listens}\""));
        std::fs::write(folder.path().join("saoma.toml"), settings).unwrap();
        assert!(saoma_in(folder.path(), &WIKI).status.success());
        let link = text(&saoma_in(folder.path(), &["console", "link"]).stdout);
        assert!(link.starts_with(opens) && link.contains("ssh -L 8081:"), "{link}");
    }
}

#[test]
fn who_hangs_up_early_is_no_failure() {
    for args in ["openapi", "config", "completions bash", "try --once"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_saoma"));
        let ended = command.args(args.split(' ')).stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && !said.contains("bug"), "{args}: {} {said}", ended.status);
    }
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

#[tokio::test]
async fn try_leaves_alone_what_a_file_says_of_other_machines() {
    let settings = "tickets = \"redis://:hush@127.0.0.1:1\"\n[console]\nurl = \"https://console.example.com\"\n\
                    [tls]\ncert = \"none.pem\"\nkey = \"none.pem\"\n[wechat]\npage = \"pages/scan/scan\"\n";
    let ended = saoma(&["try", "--once"], settings);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saoma.toml");
    std::fs::write(&file, settings).unwrap();
    let stage = Stage::open([0; 4]).await.unwrap();
    let taken = stage.settings(Some(&file), &[]).unwrap();
    assert_eq!(taken.console.url, "", "the link to the console leads to this machine");
}

/// Ended when the test is over.
struct Trying(Child);

impl Drop for Trying {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_console_of_a_try_opens_by_its_link_and_the_phone_at_hand_sees_its_code() {
    let try_it = ["try", "--ports", "0", "0", "0", "0"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_saoma"));
    let mut trying = Trying(command.args(try_it).stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(trying.0.stdout.take().unwrap()).lines();
    // To the end: what it cannot print would be the end of it.
    let said: Vec<String> = lines.map_while(Result::ok).take(10).collect();
    let address = |what: &str| {
        let line = said.iter().find(|line| line.contains(what)).unwrap();
        line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned()
    };
    let link = address("Own the server");
    let (console, secret) = link.split_once("/console/link#").unwrap();
    let browser = Browser::new(console).unwrap();
    let shown = browser.submits("/console/link", &[("link", secret)]).await.unwrap();
    assert_eq!(shown.header("location"), "/console/sign-in");
    let page = browser.opens("/console/sign-in").await.unwrap();
    browser.get(&format!("/api/tickets/{}/code", page.ticket)).await.unwrap();
    let wechat = address("Hold the phone").replace("/phone", "");
    let phone = Browser::new(&wechat).unwrap().get("/phone").await.unwrap().text();
    assert!(phone.contains("Scan the code of"), "{phone}");
    let http = reqwest::Client::new();
    let chinese = http.get(format!("{wechat}/phone")).header("accept-language", "zh-CN");
    let phone = Reply::of(chinese).await.unwrap().text();
    assert!(phone.contains("打开码的方式") && !phone.contains("Scan the code"), "{phone}");
}

#[tokio::test]
async fn what_lies_plain_and_what_can_be_guessed_is_said_at_the_start_until_it_is_mended() {
    let mut saoma = Process::starts_at("info", "", "https://login.example.com").await;
    let said = |saoma: &Process, word: &str| saoma.log().matches(word).count();
    assert_eq!((said(&saoma, "keys.plain"), said(&saoma, "site.secret_short")), (1, 3));
    assert!(!saoma.log().contains("a secret of the"), "the secrets themselves are not told");
    let file = saoma.database().with_file_name("saoma.toml");
    let plain = saoma.settings();
    saoma.is_killed().await;
    let secret = "[keys]\nsecret = \"a text of 32 characters, or of more\"";
    std::fs::write(&file, format!("{plain}\n{secret}")).unwrap();
    saoma.starts_again().await;
    assert_eq!((said(&saoma, "keys.plain"), said(&saoma, "site.secret_short")), (1, 6));
    saoma.is_killed().await;

    std::fs::write(&file, plain).unwrap();
    let ended = saoma.saoma(&["serve"]);
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("set keys.secret (SAOMA_KEYS__SECRET)"), "{said}");
}
