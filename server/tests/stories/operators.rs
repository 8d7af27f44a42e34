//! What an operator does to people by command: blocks, second WeChats, recovery, forgetting.

use saoma::{
    admission::Admit,
    commands::{keys, person, sites},
    presets,
    store::Change,
};
use serde_json::{Value, json};

use crate::support::{Saoma, claims};

fn name(me: &Value) -> String {
    me["username"].as_str().unwrap().to_owned()
}

fn link(name: &str) -> person::Command {
    person::Command::Link { name: name.to_owned(), other: None, life: person::Life::default() }
}

fn recover(name: &str) -> person::Command {
    person::Command::Recover { name: name.to_owned(), life: person::Life::default() }
}

#[tokio::test]
async fn a_block_ends_tokens_sessions_and_sign_ins_at_once() {
    let saoma = Saoma::starts().await;
    let (blog, ann, browser) = (saoma.site("blog"), saoma.phone("ann"), saoma.browser());
    let approval = json!({ "remember": true, "scopes": ["profile", "wechat"] });
    let tokens = saoma.signs_in_with(&browser, &blog, &ann, &approval).await;
    let access = tokens["access_token"].as_str().unwrap();
    let me = saoma.me(&ann).await;
    // Caught in the middle: one is scanned, one is approved and not claimed, one is claimed and not redeemed.
    let (_, scanned) = saoma.scans(&saoma.browser(), &blog, &ann).await;
    let other = saoma.browser();
    let (page, asked) = saoma.scans(&other, &blog, &ann).await;
    ann.approves(&asked).await.unwrap();
    let code = claims(&other, &page).await;

    let said = saoma.runs(person::Command::Block { name: name(&me) }).await.unwrap();
    assert!(said.contains("2 logins ended"), "{said}");
    assert_eq!(blog.asks_who(access).await.problem(), "401 invalid_token");
    assert_eq!(blog.redeems(&code).await.problem(), "400 invalid_grant");
    assert_eq!(ann.approves(&scanned).await.unwrap_err(), "403 person_blocked");
    assert!(browser.opens(&blog.asks()).await.is_ok(), "the browser is remembered no more");
    let scene = saoma.scene(&saoma.browser().opens(&blog.asks()).await.unwrap().ticket).await;
    assert_eq!(ann.scans(&scene, 1047).await.unwrap_err(), "403 person_blocked");
    let body = json!({ "js_code": ann.logs_in().await.unwrap() });
    let session = ann.calls(reqwest::Method::POST, "session", None, &body).await.unwrap();
    assert_eq!(session.problem(), "403 person_blocked");

    saoma.runs(person::Command::Unblock { name: name(&me) }).await.unwrap();
    assert_eq!(blog.asks_who(access).await.problem(), "401 invalid_token", "what ended stays so");
    saoma.signs_in(&browser, &blog, &ann).await;
}

#[tokio::test]
async fn a_second_wechat_is_the_same_person() {
    let saoma = Saoma::starts().await;
    let (blog, ann, second) = (saoma.site("blog"), saoma.phone("ann"), saoma.phone("anns second"));
    let sub = |tokens: &Value| tokens["access_token"].as_str().unwrap().to_owned();
    let first = sub(&saoma.signs_in(&saoma.browser(), &blog, &ann).await);
    let said = saoma.runs(link(&name(&saoma.me(&ann).await))).await.unwrap();
    saoma.opens_link(&said, &second).await.unwrap();
    let by_second = sub(&saoma.signs_in(&saoma.browser(), &blog, &second).await);
    let who = async |token: &str| blog.asks_who(token).await.good().unwrap()["sub"].clone();
    assert_eq!(who(&first).await, who(&by_second).await);
    assert_eq!(saoma.me(&second).await["identities"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn who_lost_their_wechat_comes_back_with_another_and_the_lost_one_is_nobody() {
    let saoma = Saoma::starts().await;
    let (blog, lost, fresh) = (saoma.site("blog"), saoma.phone("lost"), saoma.phone("fresh"));
    let before = saoma.signs_in(&saoma.browser(), &blog, &lost).await;
    let old = before["access_token"].as_str().unwrap();
    let sub = blog.asks_who(old).await.good().unwrap()["sub"].clone();
    let me = name(&saoma.me(&lost).await);
    let said = saoma.runs(recover(&me)).await.unwrap();
    saoma.opens_link(&said, &fresh).await.unwrap();
    assert_eq!(blog.asks_who(old).await.problem(), "401 invalid_token");
    let after = saoma.signs_in(&saoma.browser(), &blog, &fresh).await;
    let told = blog.asks_who(after["access_token"].as_str().unwrap()).await.good().unwrap();
    assert_eq!(told["sub"], sub, "the account that was lost");
    let finder = saoma.signs_in(&saoma.browser(), &blog, &lost).await;
    let told = blog.asks_who(finder["access_token"].as_str().unwrap()).await.good().unwrap();
    assert_ne!(told["sub"], sub, "who finds the phone is somebody new");
    assert!(saoma.begins_link(&said).await.is_err(), "and the link is over");
}

#[tokio::test]
async fn a_blocked_wechat_takes_no_link_and_a_blocked_person_gets_none() {
    let saoma = Saoma::starts().await;
    let (ann, mallory) = (saoma.phone("ann"), saoma.phone("mallory"));
    let (person, blocked) = (saoma.knows(&ann).await, saoma.knows(&mallory).await);
    let said = saoma.runs(link(&person.username)).await.unwrap();
    saoma.changes(&blocked, Change::Block).await;
    assert_eq!(saoma.opens_link(&said, &mallory).await.unwrap_err(), "403 person_blocked");
    let refused = saoma.runs(recover(&blocked.username)).await.unwrap_err();
    assert!(refused.contains("unblock"), "{refused}");
}

#[tokio::test]
async fn people_are_listed_shown_made_one_and_forgotten() {
    let saoma = Saoma::starts().await;
    let (ann, bob) = (saoma.phone("ann"), saoma.phone("bob"));
    let (a, b) = (saoma.knows(&ann).await, saoma.knows(&bob).await);
    let list = |text: &str| {
        person::Command::List(person::Listing {
            text: text.to_owned(),
            most: 50,
            ..Default::default()
        })
    };
    let listed = saoma.runs(list("")).await.unwrap();
    assert!(listed.contains(&a.username) && listed.contains(&b.username), "{listed}");
    assert!(!saoma.runs(list(&a.username)).await.unwrap().contains(&b.username));
    let shown =
        saoma.runs(person::Command::Show { name: a.username.clone(), json: false }).await.unwrap();
    assert!(shown.contains("login       blog since"), "{shown}");
    let scripted = person::Command::Show { name: a.username.clone(), json: true };
    let scripted: Value = serde_json::from_str(&saoma.runs(scripted).await.unwrap()).unwrap();
    assert_eq!(scripted["username"], a.username);
    assert_eq!(scripted["logins"][0]["site"], "blog", "{scripted}");
    let all = person::Listing { most: 50, json: true, ..Default::default() };
    let all: Value =
        serde_json::from_str(&saoma.runs(person::Command::List(all)).await.unwrap()).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
    assert!(all[0]["last_seen"].is_i64() && all[0]["logins"] == 1, "{all}");
    let openids = saoma.app.store.identities(&a.id).await.unwrap();
    assert!(
        !shown.contains(&openids[0].openid),
        "WeChat's own name of a person is not for a screen"
    );

    let merge = |stays: &str, goes: &str| person::Command::Link {
        name: stays.to_owned(),
        other: Some(goes.to_owned()),
        life: person::Life::default(),
    };
    assert!(saoma.runs(merge(&a.username, "nobody")).await.is_err());
    saoma.runs(merge(&a.username, &b.username)).await.unwrap();
    assert_eq!(name(&saoma.me(&bob).await), a.username);

    let forget = |yes| person::Command::Forget { name: a.username.clone(), yes };
    assert!(saoma.runs(forget(false)).await.unwrap_err().contains("--yes"));
    saoma.runs(forget(true)).await.unwrap();
    assert_eq!(saoma.app.store.person(&a.id).await.unwrap(), None);
    let lines = saoma.app.store.audit_since(crate::support::NOW, 999).await.unwrap();
    assert!(lines.iter().any(|line| line.what == "person.forgotten" && line.person.is_none()));
}

#[tokio::test]
async fn a_known_application_is_registered_with_what_it_needs() {
    let saoma = Saoma::starts().await;
    let (settings, store, world) = (&saoma.app.settings, &saoma.app.store, &saoma.app.world);
    let new = |app: &str| sites::New {
        app: Some(app.to_owned()),
        url: Some("https://files.example.com/".to_owned()),
        ..sites::New::default()
    };
    let said = sites::add(settings, store, world, new("openlist")).await.unwrap();
    assert!(said.contains(&saoma.url) && said.contains("SSO client id"), "{said}");
    let kept = store.sites().await.unwrap();
    let site = kept.iter().find(|site| site.id == "openlist").unwrap();
    assert_eq!(
        site.redirect_uris[0],
        "https://files.example.com/api/auth/sso_callback?method=sso_get_token"
    );
    assert_eq!(
        (site.name.as_str(), site.id_token_claims, site.hashes.len()),
        ("OpenList", true, 1)
    );
    assert_eq!(site.name_claim, saoma::site::NameClaim::Username);
    let say = async |whom, groups: &[&str]| {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        sites::admit(settings, store, world, "openlist", (whom, groups)).await
    };
    let said = say(Admit::Ask, &["family"]).await.unwrap();
    assert!(said.contains("members of family, and whom an owner says yes to"), "{said}");
    assert!(say(Admit::All, &["family"]).await.unwrap_err().contains("admit_groups"));
    let kept = store.sites().await.unwrap();
    assert_eq!(kept.iter().find(|site| site.id == "openlist").unwrap().admit, Admit::Ask);
    let lines = store.audit_since(crate::support::NOW, 99).await.unwrap();
    let words: Vec<_> = lines.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(words, ["site.added", "site.door_changed"]);
    let logto = sites::add(settings, store, world, new("logto")).await.unwrap_err();
    assert!(logto.contains("--redirect-uri"), "{logto}");
    assert!(sites::add(settings, store, world, new("gitae")).await.unwrap_err().contains("gitea"));
    let scripted = sites::New { json: true, ..new("gitea") };
    let scripted = sites::add(settings, store, world, scripted).await.unwrap();
    let scripted: Value = serde_json::from_str(&scripted).unwrap();
    assert_eq!(scripted["client_id"], "gitea", "{scripted}");
    assert!(scripted["client_secret"].as_str().unwrap().len() > 20, "{scripted}");
    assert!(presets::all().len() >= 17);
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let saoma = Saoma::starts().await;
    let (ann, bob) = (saoma.has_owner().await, saoma.phone("bob"));
    let (ann, bob) = (saoma.me(&ann).await, saoma.knows(&bob).await);
    let (settings, store, world) = (&saoma.app.settings, &saoma.app.store, &saoma.app.world);
    let new = |id: &str| sites::New {
        id: id.to_owned(),
        name: "Notes".to_owned(),
        redirect_uris: vec!["https://notes.example.com/cb".to_owned()],
        ..sites::New::default()
    };
    sites::add(settings, store, world, new("notes")).await.unwrap();
    let before = store.sites().await.unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'full'); END";
    let database = rusqlite::Connection::open(saoma.database()).unwrap();
    database.execute_batch(full).unwrap();
    for done in [
        sites::add(settings, store, world, new("more")).await,
        sites::secret(settings, store, world, "notes", true).await,
        sites::admit(settings, store, world, "notes", (Admit::Named, Vec::new())).await,
        sites::rainbow(settings, store, world, "notes", false).await,
        sites::remove(settings, store, world, "notes").await,
        saoma.runs(person::Command::Block { name: name(&ann) }).await,
        saoma.runs(person::Command::Forget { name: bob.username.clone(), yes: true }).await,
        keys::rotate(settings, store, world).await,
    ] {
        assert!(done.as_ref().is_err_and(|why| why.contains("full")), "{done:?}");
    }
    assert_eq!(store.sites().await.unwrap(), before);
    assert_eq!(store.person(&bob.id).await.unwrap(), Some(bob));
    assert!(store.has_owner().await.unwrap());
    database.execute_batch("DROP TRIGGER full").unwrap();
}

#[tokio::test]
async fn who_has_the_machine_may_block_the_last_owner_and_hears_that_nobody_is_left() {
    let saoma = Saoma::starts().await;
    let ann = saoma.has_owner().await;
    let me = name(&saoma.me(&ann).await);
    let group = |join: &[&str], leave: &[&str]| {
        let all = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        person::Command::Group { name: me.clone(), join: all(join), leave: all(leave) }
    };
    let said = saoma.runs(person::Command::Block { name: me.clone() }).await.unwrap();
    assert!(said.contains("saoma person owner"), "{said}");
    let said = saoma.runs(group(&[], &["owner"])).await.unwrap();
    assert!(!said.contains("Nobody owns"), "that changed nothing: {said}");
    saoma.runs(person::Command::Unblock { name: me.clone() }).await.unwrap();
    let said = saoma.runs(group(&["owner"], &[])).await.unwrap();
    assert!(!said.contains("Nobody owns"), "{said}");
    assert!(saoma.runs(group(&[], &["owner"])).await.unwrap().contains("Nobody owns"));
    saoma.runs(group(&["owner"], &[])).await.unwrap();
    let forget = person::Command::Forget { name: me.clone(), yes: true };
    assert!(saoma.runs(forget).await.unwrap().contains("Nobody owns this server now"));
}
