//! What is wrong on this machine.

use std::sync::Arc;

use saoma::{
    commands::sites,
    config::EnvVersion,
    doctor::{Verdict, is_broken, text, unusable},
    secret::Secret,
    site::Site,
    store::sqlite::Sqlite,
    try_it::actors::{Browser, Phone},
};

use crate::stage::{Patient, nobody};

#[tokio::test]
async fn a_database_that_cannot_be_opened() {
    let mut patient = Patient::healthy().await;
    let folder = format!("sqlite:{}", patient.folder().display());
    patient.with(|settings| settings.store = folder.into());
    assert!(patient.broken("store").await.todo.unwrap().en.contains("belong to the user"));
}

#[tokio::test]
async fn what_to_do_about_a_database_is_said_by_what_it_is() {
    let patient = Patient::healthy().await;
    let mut doctor = patient.doctor();
    let mut looked_at = async |store: &str, why: String| {
        doctor.settings.store = store.to_owned().into();
        doctor.store = Err(why);
        let mut found = doctor.examine().await;
        found.retain(|finding| finding.check == "store");
        found.remove(0).todo.unwrap().en
    };
    let postgres = "postgres://saoma@db/saoma";
    let todo = looked_at(postgres, "Connection refused".to_owned()).await;
    assert!(todo.contains("PostgreSQL runs"), "{todo}");

    let path = patient.folder().join("old.db");
    std::fs::write(&path, "").unwrap();
    let Err(error) = Sqlite::beside(&path) else { panic!("an empty file is no database of ours") };
    for store in [postgres, "sqlite:old.db"] {
        let todo = looked_at(store, error.to_string()).await;
        assert!(todo.contains("Restart the server with this saoma"), "{todo}");
    }
}

#[tokio::test]
async fn no_database_yet_is_no_fault_and_none_is_made_by_looking() {
    let mut patient = Patient::healthy().await;
    let path = patient.folder().join("none.db");
    let store = format!("sqlite:{}", path.display());
    patient.with(|settings| settings.store = store.into());
    let found = patient.findings().await;
    assert!(!is_broken(&found), "{}", text(&found));
    assert!(!path.exists());
}

#[tokio::test]
async fn a_secret_of_a_site_that_can_be_guessed() {
    let mut patient = Patient::healthy().await;
    let mut shop = Site::new("shop", "My shop");
    shop.secret = Secret::from("0".repeat(32));
    patient.with(|settings| settings.sites = vec![shop.clone()]);
    let found = patient.findings().await;
    assert!(found.iter().any(|it| it.check == "site_secrets" && it.verdict == Verdict::Ok));
    shop.secrets = vec![Secret::from("only-for-trying".to_owned())];
    patient.with(|settings| settings.sites = vec![shop]);
    let warned = patient.warned("site_secrets").await;
    assert!(warned.said.contains("shop") && !warned.said.contains("only-for-trying"), "{warned:?}");
    assert!(warned.todo.unwrap().en.contains("openssl rand -hex 32"));
    assert_eq!(warned.names, ["shop"], "a report leaves them out");
}

#[tokio::test]
async fn a_registered_site_that_the_settings_stand_before_is_not_judged() {
    let mut patient = Patient::healthy().await;
    let (settings, store, world) = (&patient.settings, &patient.app.store, &patient.app.world);
    let new = sites::New {
        id: "shop".to_owned(),
        name: "My shop".to_owned(),
        redirect_uris: vec!["https://shop.example.com/cb".to_owned()],
        env_version: Some(EnvVersion::Trial),
        ..Default::default()
    };
    sites::add(settings, store, world, new).await.unwrap();
    assert!(patient.warned("page").await.said.contains("the trial version"));
    patient.with(|settings| settings.sites = vec![Site::new("shop", "My shop")]);
    let found = patient.findings().await;
    let page = found.iter().find(|finding| finding.check == "page").unwrap();
    assert_eq!(page.verdict, Verdict::Ok, "{}", text(&found));
    let sites = patient.doctor().sites().await;
    assert_eq!(sites.iter().map(|site| &site.id).collect::<Vec<_>>(), ["shop"]);
}

#[tokio::test]
async fn people_of_another_mini_program() {
    let patient = Patient::healthy().await;
    let browser = Browser::new(&patient.settings.public_url).unwrap();
    let page = browser.opens("/login").await.unwrap();
    let text = browser.reads_code(&page).await.unwrap();
    let anna = Phone::of("anna", &patient.settings.public_url, &patient.wechat);
    let asked = anna.scans(&saoma::try_it::actors::scene_in(&text).unwrap(), 1047).await.unwrap();
    anna.approves(&asked).await.unwrap();

    let mut doctor = patient.doctor();
    let same = doctor.examine().await;
    assert!(!is_broken(&same));
    doctor.settings.wechat.appid = "wxffffffffffffffff".to_owned();
    let found = doctor.examine().await;
    let finding = found.iter().find(|finding| finding.check == "store_appid").unwrap();
    assert_eq!(finding.verdict, Verdict::Broken);
    assert!(
        finding.said.contains("wx1234567890abcdef") && finding.said.contains("wxffffffffffffffff")
    );
}

#[tokio::test]
async fn keys_that_nobody_can_open_or_anybody() {
    const SECRET: &str = "a secret of thirty-two characters";
    let mut sealed = Patient::healthy_with(&[("SAOMA_KEYS__SECRET", SECRET)]).await;
    assert!(!is_broken(&sealed.findings().await));
    sealed.with(|settings| {
        settings.keys.secret = "quite another one, as long as it".to_owned().into()
    });
    let said = sealed.broken("keys").await.said;
    assert!(said.starts_with("the keys in the database cannot be decrypted"), "{said}");

    sealed.with(|settings| settings.keys.secret_before = SECRET.to_owned().into());
    let found = sealed.findings().await;
    let keys = found.iter().find(|finding| finding.check == "keys").unwrap();
    assert_eq!(keys.verdict, Verdict::Warning);
    assert!(keys.todo.as_ref().unwrap().en.contains("remove keys.secret_before"));

    let patient = Patient::healthy().await;
    let mut plain = patient.doctor();
    plain.settings.public_url = "https://login.example.com".to_owned();
    let found = plain.examine().await;
    let keys = found.iter().find(|finding| finding.check == "keys").unwrap();
    assert_eq!(keys.verdict, Verdict::Warning);
    assert!(keys.todo.as_ref().unwrap().zh.contains("签名密钥没有加密：请设置 keys.secret"));
}

#[tokio::test]
async fn a_redis_that_does_not_answer() {
    let patient = Patient::healthy().await;
    let mut doctor = patient.doctor();
    doctor.settings.tickets = "redis://:hush@127.0.0.1:6379/1".to_owned().into();
    doctor.redis = Some(Err("Redis refuses the user or the password".to_owned()));
    let found = doctor.examine().await;
    let redis = found.iter().find(|finding| finding.check == "redis").unwrap();
    assert_eq!(redis.verdict, Verdict::Broken);
    assert!(redis.said.contains("127.0.0.1:6379") && redis.said.contains("refuses"), "{redis:?}");
    assert!(!text(&found).contains("hush"));
    assert!(redis.todo.as_ref().unwrap().en.contains("`tickets`"));
    doctor.redis = Some(Ok(()));
    assert!(!is_broken(&doctor.examine().await));
}

#[tokio::test]
async fn a_server_that_does_not_run() {
    let mut patient = Patient::healthy().await;
    let mut nobody = nobody().await;
    nobody.set_ip(std::net::Ipv4Addr::UNSPECIFIED.into());
    patient.with(|settings| settings.admin_listen = nobody);
    let warned = patient.warned("tickets").await;
    assert!(warned.todo.unwrap().en.contains("saoma serve"));
    let at = format!("http://127.0.0.1:{}/readyz", nobody.port());
    assert!(warned.said.contains(&at), "where it can be asked: {}", warned.said);
}

#[tokio::test]
async fn a_database_of_another_version_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    std::fs::write(&path, "").unwrap();
    let Err(error) = Sqlite::beside(&path) else { panic!("an empty file is no database of ours") };
    assert!(error.to_string().contains("schema 0"), "{error}");
    drop(Arc::new(Sqlite::open(&path).unwrap()));
    assert!(Sqlite::beside(&path).unwrap().is_some());
}

#[test]
fn settings_that_cannot_be_used_are_each_a_finding() {
    let found =
        unusable(&["public_url is missing".to_owned(), "wechat.appid is missing".to_owned()]);
    assert!(is_broken(&found));
    assert_eq!(found.len(), 2);
    assert!(text(&found).contains("wechat.appid is missing"));
}
