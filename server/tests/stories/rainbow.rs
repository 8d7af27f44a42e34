//! The bridge for plugins that speak the rainbow protocol, used as it should be, and not.

use saoma::{commands::sites, try_it::actors::Reply};
use serde_json::{Value, json};

use crate::support::{Saoma, claims, goes_next, param};

const KEY: &str = "the key of the plugin, 32 characters";
const BACK: &str = "https://plugin.example.com/oauth?type=wx&from=wx";

/// A call of the plugin's own server.
async fn calls(saoma: &Saoma, params: &[(&str, &str)]) -> Value {
    let request = saoma.http.get(format!("{}/connect.php", saoma.url)).query(params);
    let reply = Reply::of(request).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.header("cache-control")), (200, "no-store"));
    reply.json()
}

fn login<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let own = [
        ("act", "login"),
        ("appid", "plugin"),
        ("appkey", KEY),
        ("type", "wx"),
        ("redirect_uri", BACK),
        ("state", "a state & more"),
    ];
    let kept = own.into_iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    kept.chain(more.iter().copied()).collect()
}

fn callback<'a>(code: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let all = login(&[("act", "callback"), ("code", code), ("redirect_uri", ""), ("state", "")]);
    let kept = all.into_iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    kept.chain(more.iter().copied()).collect()
}

/// A sign-in at the plugin; where the browser goes at its end.
async fn signs_in(saoma: &Saoma, person: &str, approval: &Value) -> String {
    let (browser, phone) = (saoma.browser(), saoma.phone(person));
    let url = calls(saoma, &login(&[])).await["url"].as_str().unwrap().to_owned();
    let page = browser.opens(&url).await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    assert_eq!(asked.shown["site"]["host"], "plugin.example.com");
    phone.approves_with(&asked, approval).await.unwrap();
    goes_next(&browser, &page).await
}

#[tokio::test]
async fn a_plugin_signs_somebody_in() {
    let saoma = Saoma::starts().await;
    let said = calls(&saoma, &login(&[])).await;
    assert_eq!(
        (&said["code"], &said["msg"], &said["type"]),
        (&json!(0), &json!("succ"), &json!("wx"))
    );
    assert!(!said["url"].as_str().unwrap().contains(KEY));

    let next = signs_in(&saoma, "ann", &json!({ "scopes": ["profile"] })).await;
    let code = param(&next, "code");
    let expected = format!("from=wx&code={code}&type=wx&state=a+state+%26+more");
    let each_once = format!("https://plugin.example.com/oauth?{expected}");
    assert_eq!(next, each_once, "what the plugin's own address says already comes once");
    let told = calls(&saoma, &callback(&param(&next, "code"), &[])).await;
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    assert_eq!(
        (&told["code"], text("msg"), text("type")),
        (&json!(0), "succ".to_owned(), "wx".to_owned())
    );
    for empty in ["location", "gender", "ip", "faceimg"] {
        assert_eq!(text(empty), "", "{empty}");
    }
    let subs = saoma.me(&saoma.phone("ann")).await["subs"].clone();
    assert_eq!(subs[0], json!({ "group": "plugin", "sub": text("social_uid") }));
    assert!(text("nickname").starts_with("guest u"), "{told}");
    assert!(!told.to_string().contains("openid"));

    // The same person is the same account; who ticks nothing shows nothing.
    let next = signs_in(&saoma, "ann", &json!({})).await;
    let again = calls(&saoma, &callback(&param(&next, "code"), &[("type", "")])).await;
    assert_eq!(again["social_uid"], told["social_uid"]);
    assert_ne!(again["nickname"], told["nickname"]);
    let access = saoma.site("plugin").asks_who(again["access_token"].as_str().unwrap()).await;
    assert_eq!(access.good().unwrap(), json!({ "sub": told["social_uid"] }));
}

#[tokio::test]
async fn the_key_may_travel_in_a_form() {
    let saoma = Saoma::starts().await;
    let request = saoma.http.post(format!("{}/connect.php?act=login", saoma.url)).form(&login(&[]));
    assert_eq!(Reply::of(request).await.unwrap().json()["code"], 0);
}

#[tokio::test]
async fn a_no_comes_back_without_a_code() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let url = calls(&saoma, &login(&[])).await["url"].as_str().unwrap().to_owned();
    let page = browser.opens(&url).await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    phone.denies(&asked).await.unwrap();
    let next = goes_next(&browser, &page).await;
    assert_eq!(
        (param(&next, "code"), param(&next, "error")),
        (String::new(), "access_denied".to_owned())
    );
    let nobody = calls(&saoma, &callback("", &[])).await;
    assert_eq!(nobody["code"], 2, "nobody has signed in");
    assert_eq!(nobody["msg"], "还没有人登录 / nobody has signed in yet", "whoever reads it");
}

#[tokio::test]
async fn without_the_right_key_there_is_nothing() {
    let saoma = Saoma::starts().await;
    let next = signs_in(&saoma, "ann", &json!({})).await;
    let code = param(&next, "code");
    let (shop, unknown) =
        ("a secret of the shop: with = and &", calls(&saoma, &login(&[("appid", "nobody")])).await);
    for wrong in [
        vec![("appkey", "")],
        vec![("appkey", "another key of 32 characters, or so")],
        vec![("appid", "shop"), ("appkey", shop)],
        vec![("appid", "blog"), ("appkey", "")],
        vec![("appid", "shop")],
    ] {
        assert_eq!(calls(&saoma, &login(&wrong)).await, unknown, "{wrong:?}: the same to all");
        assert_eq!(calls(&saoma, &callback(&code, &wrong)).await, unknown, "{wrong:?}");
    }
    assert_eq!(unknown["code"], -1);
    assert_eq!(calls(&saoma, &callback(&code, &[])).await["code"], 0, "and nothing was used up");
}

#[tokio::test]
async fn keys_are_not_guessed() {
    let saoma = Saoma::starts().await;
    let tries = saoma.app.settings.limits.wrong_secrets_per_address.get();
    for n in 0..tries {
        let said =
            calls(&saoma, &login(&[("appkey", &format!("a guess of 32 characters, say {n}"))]))
                .await;
        assert_eq!(said["code"], -1);
    }
    let request = saoma.http.get(format!("{}/connect.php", saoma.url)).query(&login(&[]));
    assert_eq!(
        Reply::of(request).await.unwrap().status,
        429,
        "not even with the right one, for a while"
    );
}

#[tokio::test]
async fn an_address_is_taken_to_the_letter_and_a_parameter_once() {
    let saoma = Saoma::starts().await;
    for near_miss in [
        "https://plugin.example.com/oauth",
        "https://plugin.example.com/",
        "https://evil.example/",
        "http://127.0.0.1:53121/done",
        "",
        "javascript:alert(1)",
    ] {
        let said = calls(&saoma, &login(&[("redirect_uri", near_miss)])).await;
        assert_eq!(said["code"], -1, "{near_miss}");
        assert_eq!(said.get("url"), None);
    }
    for wrong in [("type", "qq"), ("act", "query"), ("act", "")] {
        assert_eq!(calls(&saoma, &login(&[wrong])).await["code"], -1, "{wrong:?}");
    }
    let mut twice = login(&[]);
    twice.push(("redirect_uri", "https://evil.example/"));
    let said = calls(&saoma, &twice).await["msg"].as_str().unwrap().to_owned();
    assert!(said.ends_with(" / redirect_uri came twice"), "{said}");
    assert_eq!(saoma.browser().get("/connect/made-up").await.unwrap().status, 400);
}

#[tokio::test]
async fn what_is_too_large_is_told_as_everything_else_is() {
    let saoma = Saoma::starts().await;
    let large = "x".repeat(64 * 1024);
    let request = saoma.http.post(format!("{}/connect.php", saoma.url));
    let reply = Reply::of(request.form(&[("act", "login"), ("state", &large)])).await.unwrap();
    assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (200, &json!(-1)));
    assert_eq!(reply.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_code_is_good_once_for_a_minute_and_for_one_appid() {
    let saoma = Saoma::starts().await;
    let fails = async |code: &str| calls(&saoma, &callback(code, &[])).await["code"] == -1;
    let next = signs_in(&saoma, "ann", &json!({})).await;
    let code = param(&next, "code");
    let told = calls(&saoma, &callback(&code, &[])).await;
    let token = told["access_token"].as_str().unwrap().to_owned();
    let plugin = saoma.site("plugin");
    assert!(plugin.asks_who(&token).await.good().is_ok());
    assert!(fails(&code).await, "once");
    assert_eq!(
        plugin.asks_who(&token).await.problem(),
        "401 invalid_token",
        "and what it gave is revoked"
    );

    let next = signs_in(&saoma, "bob", &json!({})).await;
    saoma.passes(60);
    assert!(fails(&param(&next, "code")).await, "a minute");
    assert!(fails("made up").await);
}

#[tokio::test]
async fn codes_of_the_bridge_and_of_openid_connect_never_meet() {
    let saoma = Saoma::starts().await;
    // The plugin's site has no secret, so at the token endpoint it would be a public one.
    let next = signs_in(&saoma, "ann", &json!({})).await;
    let plugin = saoma.site("plugin");
    for verifier in ["", crate::site::VERIFIER] {
        let refused =
            plugin.redeems_with(&param(&next, "code"), &[("code_verifier", verifier)]).await;
        assert_eq!(refused.problem(), "400 invalid_grant", "no proof of who began it");
    }
    let (browser, phone) = (saoma.browser(), saoma.phone("bob"));
    let (page, asked) = saoma.scans(&browser, &plugin, &phone).await;
    phone.approves(&asked).await.unwrap();
    let code = claims(&browser, &page).await;
    assert_eq!(calls(&saoma, &callback(&code, &[])).await["code"], -1);
    assert!(plugin.redeems(&code).await.good().is_ok(), "and it was not used up");
}

#[tokio::test]
async fn a_key_by_command_is_shown_once_kept_hashed_and_taken_back() {
    let saoma = Saoma::starts().await;
    let (settings, store, world) = (&saoma.app.settings, &saoma.app.store, &saoma.app.world);
    let redirect_uris = vec![BACK.to_owned()];
    let (id, name) = ("plugin2".to_owned(), "Another plugin".to_owned());
    let new = sites::New { id, name, redirect_uris, ..sites::New::default() };
    sites::add(settings, store, world, new).await.unwrap();
    let said = sites::rainbow(settings, store, world, "plugin2", false).await.unwrap();
    let key = said.lines().find_map(|line| line.strip_prefix("appkey")).unwrap().trim().to_owned();
    saoma.app.sites.keep(store.sites().await.unwrap());
    let with = [("appid", "plugin2"), ("appkey", key.as_str())];
    assert_eq!(calls(&saoma, &login(&with)).await["code"], 0);
    let kept = format!(
        "{:?} {}",
        store.sites().await.unwrap(),
        serde_json::to_string(&store.sites().await.unwrap()).unwrap()
    );
    let shown = sites::show(settings, store, "plugin2").await.unwrap();
    for text in [&kept, &shown, &format!("{:?}", settings.sites)] {
        assert!(!text.contains(&key) && !text.contains(KEY), "{text}");
    }
    assert!(shown.contains("\"rainbow\": true"));
    sites::rainbow(settings, store, world, "plugin2", true).await.unwrap();
    saoma.app.sites.keep(store.sites().await.unwrap());
    assert_eq!(calls(&saoma, &login(&with)).await["code"], -1);
    let settled = sites::rainbow(settings, store, world, "plugin", true).await.unwrap_err();
    assert!(settled.contains("stands in the settings"), "{settled}");
}
