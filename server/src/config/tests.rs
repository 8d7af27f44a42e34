use super::*;

const ENOUGH: &str = "public_url = \"https://login.example.com\"\n[wechat]\nappid = \"wx1234567890abcdef\"\nsecret = \"s\"\n";

fn load(toml: &str, env: &[(&str, &str)]) -> Result<Settings, Faults> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saoma.toml");
    std::fs::write(&path, toml).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::load(Some(&path), env)
}

fn fault(toml: &str, env: &[(&str, &str)]) -> String {
    load(toml, env).unwrap_err().to_string()
}

#[test]
fn three_settings_are_enough_and_the_rest_is_as_the_page_says() {
    let settings = load(ENOUGH, &[]).unwrap();
    assert_eq!(settings.ticket.life, Duration::from_secs(120));
    assert_eq!(settings.session.life, Duration::from_secs(30 * 24 * 3600));
    assert_eq!(settings.wechat.pool, 16);
    assert_eq!(settings.host(), "login.example.com");
}

#[test]
fn the_example_site_in_the_page_can_be_used_as_it_stands() {
    let (_, example) = DEFAULTS.split_once("# [[site]]").unwrap();
    let example = example.replace("\n# ", "\n");
    let settings = load(&format!("{ENOUGH}[[site]]{example}"), &[]).unwrap();
    assert_eq!(settings.sites[0].id, "blog");
}

#[test]
fn what_is_missing_is_said_with_what_to_write() {
    let said = fault("", &[]);
    for setting in ["public_url is missing", "wechat.appid is missing", "wechat.secret is missing"]
    {
        assert!(said.contains(setting), "{said}");
    }
}

#[test]
fn an_unknown_key_stops_the_start_and_names_the_nearest() {
    let said = fault(&format!("{ENOUGH}[ticket]\nlive = \"2m\"\n"), &[]);
    assert!(said.contains("ticket.live is no setting; did you mean ticket.life?"), "{said}");
    let said = fault(ENOUGH, &[("SAOMA_WECHAT__SECRT", "x")]);
    assert!(
        said.contains("SAOMA_WECHAT__SECRT is no setting; did you mean wechat.secret?"),
        "{said}"
    );
    let said =
        fault(&format!("{ENOUGH}[[site]]\nid = \"a\"\nname = \"A\"\nredirect_uri = []\n"), &[]);
    assert!(
        said.contains("site.redirect_uri is no setting; did you mean site.redirect_uris?"),
        "{said}"
    );
}

#[test]
fn sites_cannot_be_set_in_the_environment() {
    let site = "[[site]]\nid = \"a\"\nname = \"A\"\nredirect_uris = [\"https://a.example/cb\"]\n";
    for file in [ENOUGH.to_owned(), format!("{ENOUGH}{site}")] {
        for name in ["SAOMA_SITE__SECRET", "SAOMA_SITE__SECRET_FILE"] {
            let said = fault(&file, &[(name, "/nowhere")]);
            assert!(said.contains(&format!("{name} sets nothing")), "{said}");
            assert!(said.contains("saoma site add"), "{said}");
        }
    }
}

#[test]
fn plain_http_is_for_this_machine_alone() {
    let at = |url| load(&ENOUGH.replace("https://login.example.com", url), &[]);
    for url in [
        "http://127.0.0.1:8080",
        "http://localhost",
        "http://saoma.localhost:8080",
        "http://[::1]:80",
    ] {
        assert!(at(url).is_ok(), "{url}");
    }
    for url in [
        "http://login.example.com",
        "http://localhost.example.com",
        "https://a.example/login",
        "ftp://a.example",
        "a.example",
    ] {
        assert!(at(url).unwrap_err().to_string().contains("public_url"), "{url}");
    }
}

#[test]
fn the_environment_goes_over_the_file_and_a_secret_may_come_from_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "from a file\n").unwrap();
    let settings = load(
        ENOUGH,
        &[
            ("SAOMA_WECHAT__SECRET_FILE", file.to_str().unwrap()),
            ("SAOMA_WECHAT__POOL", "3"),
            ("SAOMA_TRUSTED_PROXIES", "[\"10.0.0.0/8\", \"::1\"]"),
            ("SAOMA_CONFIG", "elsewhere"),
            ("HOME", "/"),
        ],
    )
    .unwrap();
    assert_eq!(settings.wechat.secret.reveal(), "from a file");
    assert_eq!((settings.wechat.pool, settings.trusted_proxies.len()), (3, 2));
}

#[test]
fn what_is_in_force_says_where_it_came_from_and_keeps_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "hush hush").unwrap();
    let env =
        [("SAOMA_WECHAT__SECRET_FILE", file.to_str().unwrap()), ("SAOMA_TICKET__LIFE", "90s")];
    let settings = load(ENOUGH, &env).unwrap();
    let line =
        |name: &str| settings.in_force.0.iter().find(|line| line.name == name).cloned().unwrap();
    assert!(
        matches!(line("public_url").source, Source::File(path) if path.ends_with("saoma.toml"))
    );
    assert_eq!(line("ticket.life").source, Source::Environment("SAOMA_TICKET__LIFE".to_owned()));
    assert_eq!(line("ticket.life").value, "\"90s\"");
    assert_eq!(line("session.life").source, Source::Default);
    assert!(matches!(line("wechat.secret").source, Source::SecretFile(_)));
    assert!(!format!("{:?}", settings.in_force).contains("hush"));
}

#[test]
fn code_c_opens_the_published_version_alone() {
    let c = format!("{ENOUGH}code = \"c\"\npool = 0\n");
    let site = "[[site]]\nid = \"a\"\nname = \"A\"\nredirect_uris = [\"https://a.example/cb\"]\nenv_version = ";
    assert!(load(&format!("{c}{site}\"release\"\n"), &[]).is_ok());
    let said = fault(&format!("{c}check_path = false\nenv_version = \"trial\"\n"), &[]);
    assert!(said.contains("published version alone; write \"unlimited\" or \"a\""), "{said}");
    let said = fault(&format!("{c}{site}\"develop\"\n"), &[]);
    assert!(said.contains("site \"a\": wechat.code = \"c\" opens"), "{said}");
}

#[test]
fn what_follows_from_another_setting_need_not_be_written() {
    let in_force = |settings: &Settings, name: &str| {
        let mut lines = settings.in_force.0.iter();
        lines.find(|line| line.name == name).map(|line| line.value.clone()).unwrap()
    };
    for code in ["a", "c"] {
        let settings = load(&format!("{ENOUGH}code = \"{code}\"\n"), &[]).unwrap();
        assert_eq!((settings.wechat.pool, in_force(&settings, "wechat.pool").as_str()), (0, "0"));
        assert!(settings.wechat.check_path);
    }
    for version in ["trial", "develop"] {
        let settings = load(ENOUGH, &[("SAOMA_WECHAT__ENV_VERSION", version)]).unwrap();
        assert!(!settings.wechat.check_path);
        assert_eq!(in_force(&settings, "wechat.check_path"), "false");
        assert_eq!(settings.wechat.pool, 16);
    }
    let said = fault(&format!("{ENOUGH}code = \"a\"\npool = 16\n"), &[]);
    assert!(said.contains("wechat.pool must be 0"), "{said}");
    let trial = [("SAOMA_WECHAT__ENV_VERSION", "trial"), ("SAOMA_WECHAT__CHECK_PATH", "true")];
    assert!(fault(ENOUGH, &trial).contains("wechat.check_path must be false"));
}

#[test]
fn made_up_addresses_are_at_the_public_host_where_that_could_be_a_mail_domain() {
    let (blog, mut wiki) = (Site::new("blog", "My blog"), Site::new("wiki", "Wiki"));
    wiki.email = "{username}@users.example.com".to_owned();
    for (url, domain) in [
        ("https://login.example.com:8443", "login.example.com"),
        ("https://192.0.2.1", "saoma.invalid"),
        ("https://[2001:db8::1]", "saoma.invalid"),
        ("http://localhost:8080", "saoma.invalid"),
        ("https://intranet", "saoma.invalid"),
    ] {
        let settings = load(&ENOUGH.replace("https://login.example.com", url), &[]).unwrap();
        assert_eq!(settings.email_of(&blog), format!("{{username}}@{domain}"));
        assert_eq!(settings.email_of(&wiki), wiki.email, "its own rules");
    }
}

#[test]
fn a_code_lives_shorter_than_anybody_can_scan_it_on_this_machine_alone() {
    let lives = |life, device_life| {
        format!("[ticket]\nlife = \"{life}\"\ndevice_life = \"{device_life}\"\n")
    };
    let here = ENOUGH.replace("https://login.example.com", "http://127.0.0.1:8080");
    assert!(load(&format!("{here}{}", lives("1s", "1s")), &[]).is_ok());
    for (life, device_life) in [("500ms", "10m"), ("2m", "0s"), ("11m", "10m"), ("2m", "31m")] {
        assert!(load(&format!("{here}{}", lives(life, device_life)), &[]).is_err());
    }
    let said = fault(&format!("{ENOUGH}{}", lives("19s", "59s")), &[]);
    assert!(
        said.contains("ticket.life must lie") && said.contains("ticket.device_life must lie"),
        "{said}"
    );
    assert!(load(&format!("{ENOUGH}{}", lives("20s", "1m")), &[]).is_ok());
}

#[test]
fn a_wrong_type_names_its_setting() {
    let said = fault(&format!("{ENOUGH}pool = \"many\"\n"), &[]);
    assert!(said.contains("wechat.pool is wrong"), "{said}");
    let said = fault(&format!("{ENOUGH}[limits]\noff = true\n"), &[]);
    assert!(said.contains("limits.off"), "{said}");
}

#[test]
fn secrets_stay_out_of_what_is_said_of_mistakes() {
    let said = fault(&ENOUGH.replace("\"s\"", "hush-hush"), &[]);
    assert!(said.contains("line 4, column 10: ") && said.contains("quoted"), "{said}");
    assert!(!said.contains("hush"), "{said}");
    let said = fault(&ENOUGH.replace("\"s\"", "998877"), &[]);
    assert!(said.contains("wechat.secret is wrong: expected a text in quotes"), "{said}");
    let said = fault(ENOUGH, &[("SAOMA_NEIGHBOURS__SECRETS", "[\"shop:hush, expected hush\"")]);
    assert!(said.contains("neighbours.secrets is wrong: expected a list"), "{said}");
    assert!(!said.contains("hush"), "{said}");
}

#[test]
fn secrets_stay_out_of_debug() {
    let settings = load(&ENOUGH.replace("\"s\"", "\"hush-hush\""), &[]).unwrap();
    assert!(!format!("{settings:?}").contains("hush-hush"));
    for url in [
        "postgres://saoma:hush-hush@db.example.com/saoma?sslmode=verify-full",
        "postgres://saoma@db.example.com/saoma?password=hush-hush",
        "postgres://saoma:a@hush-hush:5432@db.example.com/saoma",
    ] {
        let settings = load(ENOUGH, &[("SAOMA_STORE", url)]).unwrap();
        let shown = format!("{settings:?} {}", settings.store);
        assert!(!shown.contains("hush") && shown.contains("db.example.com"), "{shown}");
    }
}

#[test]
fn what_a_running_server_cannot_take_over_is_named() {
    let settings = load(ENOUGH, &[]).unwrap();
    let changed = load(ENOUGH, &[("SAOMA_CONSOLE__LIFE", "2h"), ("SAOMA_LOG__LEVEL", "debug")]);
    assert_eq!(settings.wants_restart(&changed.unwrap()), ["console.life"]);
    let changed = load(ENOUGH, &[("SAOMA_WECHAT__SECRET", "another"), ("SAOMA_LISTEN", "[::]:80")]);
    let named = settings.wants_restart(&changed.unwrap());
    assert_eq!(named, ["listen", "wechat"], "a secret shows itself nowhere");
}

#[test]
fn what_a_setting_should_have_been_is_said_in_words_and_where_it_came_from() {
    for (name, text, words) in [
        ("SAOMA_WECHAT__POOL", "many", "wechat.pool is wrong: expected a whole number"),
        ("SAOMA_TICKET__LIFE", "long", "such as \"90s\""),
        ("SAOMA_LISTEN", "8080", "such as \"127.0.0.1:8080\""),
        ("SAOMA_WECHAT__CHECK_PATH", "yes", "expected true or false"),
        ("SAOMA_LIMITS__TICKETS_PER_SITE", "0", "expected a whole number from 1 on"),
        ("SAOMA_TRUSTED_PROXIES", "[127.0.0.1]", "expected a list"),
    ] {
        let said = fault(ENOUGH, &[(name, text)]);
        assert!(said.contains(words), "{said}");
        assert!(said.contains(&format!("(it comes from {name})")), "{said}");
    }
    for (text, count) in [("127.0.0.1", 1), ("", 0)] {
        let settings = load(ENOUGH, &[("SAOMA_TRUSTED_PROXIES", text)]).unwrap();
        assert_eq!(settings.trusted_proxies.len(), count, "one by itself needs no brackets");
    }
}

#[test]
fn a_secret_comes_from_one_place_and_an_empty_table_is_spelt_right() {
    let both = [("SAOMA_KEYS__SECRET", "x"), ("SAOMA_KEYS__SECRET_FILE", "/nowhere")];
    let said = fault(ENOUGH, &both);
    assert!(said.contains("SAOMA_KEYS__SECRET and SAOMA_KEYS__SECRET_FILE are both set"), "{said}");
    let said = fault(&format!("{ENOUGH}[limit]\n"), &[]);
    assert!(said.contains("[limit] is no table of settings; did you mean limits?"), "{said}");
    assert!(load(&format!("{ENOUGH}[limits]\n"), &[]).is_ok());
}

#[test]
fn a_service_of_kubernetes_that_is_called_saoma_sets_nothing() {
    let told = [
        ("SAOMA_PORT", "tcp://10.0.0.7:8080"),
        ("SAOMA_PORT_8080_TCP_ADDR", "10.0.0.7"),
        ("SAOMA_SERVICE_HOST", "10.0.0.7"),
        ("SAOMA_SERVICE_PORT_HTTP", "8080"),
    ];
    assert_eq!(load(ENOUGH, &told).unwrap().listen, load(ENOUGH, &[]).unwrap().listen);
    assert!(fault(ENOUGH, &[("SAOMA_PORT", "8080")]).contains("SAOMA_PORT is no setting"));
}

#[test]
fn none_at_all_of_what_everybody_needs_is_refused() {
    for setting in [
        "SESSION__LIFE",
        "TOKENS__ACCESS",
        "TOKENS__REFRESH",
        "TOKENS__REFRESH_IDLE",
        "LIMITS__SOCKETS",
        "LIMITS__SOCKETS_PER_ADDRESS",
        "LIMITS__TICKETS_HELD",
        "LIMITS__CODES",
        "LIMITS__BODY_TIME",
    ] {
        let (name, path) = (format!("SAOMA_{setting}"), setting.to_lowercase().replace("__", "."));
        let default = load(ENOUGH, &[]).unwrap().in_force.0;
        let is_time = default.iter().any(|line| line.name == path && line.value.starts_with('"'));
        let (none, least) = if is_time { ("0s", "1s") } else { ("0", "1") };
        assert!(fault(ENOUGH, &[(&name, none)]).contains(&path), "{path}");
        assert!(load(ENOUGH, &[(&name, least)]).is_ok(), "{path}");
    }
}

#[test]
fn what_would_start_and_serve_nobody_is_refused() {
    for (name, text) in [
        ("wechat.appid", "nonsense"),
        ("wechat.appid", "wx..."),
        ("wechat.appid", "wx1"),
        ("wechat.appid", "wx0123456789ABCDEF"),
        ("wechat.page", "/pages/login/login"),
        ("wechat.page", "pages/login/login?a=1"),
        ("wechat.base_url", "nonsense"),
        ("tickets", "redis:6379"),
        ("store", "postgres:saoma"),
        ("log.level", "warning"),
        ("admin_listen", "127.0.0.1:8080"),
        ("admin_listen", "0.0.0.0:8080"),
    ] {
        let variable = format!("SAOMA_{}", name.to_uppercase().replace('.', "__"));
        let said = fault(ENOUGH, &[(&variable, text)]);
        assert!(said.contains(name) && said.lines().count() == 1, "{name} = {text}: {said}");
    }
    assert!(load(ENOUGH, &[("SAOMA_ADMIN_LISTEN", "127.0.0.2:8080")]).is_ok());
    #[cfg(not(feature = "otlp"))]
    assert!(fault(ENOUGH, &[("SAOMA_LOG__TRACES", "http://127.0.0.1:4318")]).contains("otlp"));
}

#[test]
fn each_bound_of_a_setting_is_named_and_holds_to_the_last_second_and_character() {
    let long = "x".repeat(32);
    let neighbour = format!("shop:{long}");
    let short = &neighbour[..neighbour.len() - 1];
    let mut wrong = Vec::new();
    for (name, refused, taken) in [
        ("console.life", "7days 1s", "7days"),
        ("console.idle", "8h 1s", "8h"),
        ("wechat.pool", "2001", "2000"),
        ("retention.audit", "29days 23h", "30days"),
        ("limits.codes", "5001", "5000"),
        ("keys.secret", &long[..31], &long),
        ("neighbours.secrets", &format!("[\"{short}\"]"), &format!("[\"{neighbour}\"]")),
        ("neighbours.secrets", &format!("[\":{long}\"]"), &format!("[\"s:{long}\"]")),
        ("keys.rotate", "6days 23h", "7days"),
        ("tokens.access", "24h 1s", "24h"),
        ("tls.redirect", "80", "0.0.0.0:80"),
        ("public_url", "https://login.example.com/saoma", "https://login.example.com/"),
    ] {
        let variable = format!("SAOMA_{}", name.to_uppercase().replace('.', "__"));
        let said = load(ENOUGH, &[(&variable, refused)]).map(drop).map_err(|said| said.to_string());
        let is_named = |said: &String| said.contains(name) && said.lines().count() == 1;
        if !said.as_ref().is_err_and(is_named) {
            wrong.push(format!("{name} = {refused}: {said:?}"));
        }
        if let Err(said) = load(ENOUGH, &[(&variable, taken)]) {
            wrong.push(format!("{name} = {taken}: {said}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn what_does_not_go_together_is_refused_and_each_by_itself_is_not() {
    let site = |id: &str| {
        format!(
            "[[site]]\nid = \"{id}\"\nname = \"A\"\nredirect_uris = [\"https://a.example/cb\"]\n"
        )
    };
    let said = fault(&format!("{ENOUGH}{}{}", site("a"), site("a")), &[]);
    assert!(said.contains("two sites have id = \"a\"") && said.lines().count() == 1, "{said}");
    assert!(load(&format!("{ENOUGH}{}{}", site("a"), site("b")), &[]).is_ok());

    let (cert, key) = (("SAOMA_TLS__CERT", "cert.pem"), ("SAOMA_TLS__KEY", "key.pem"));
    for half in [cert, key] {
        assert!(fault(ENOUGH, &[half]).contains("tls.cert and tls.key belong together"));
    }
    assert!(load(ENOUGH, &[cert, key]).is_ok());
    let here = [cert, key, ("SAOMA_PUBLIC_URL", "http://127.0.0.1:8080")];
    assert!(fault(ENOUGH, &here).contains("https:// where saoma ends TLS"));
    let acme = ("SAOMA_ACME__ON", "true");
    assert!(fault(ENOUGH, &[cert, key, acme]).contains("tls.cert and acme.on exclude each other"));
    let alone = load(ENOUGH, &[acme]).map(drop).map_err(|said| said.to_string());
    if cfg!(feature = "acme") {
        assert_eq!(alone, Ok(()));
    } else {
        assert!(alone.unwrap_err().contains("the feature `acme`"));
    }
}
