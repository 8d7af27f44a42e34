//! What an owner sees and does in the operators' console.

use saoma::{commands::sites, presets, secret::Secret};
use serde_json::json;
use wechat::pretend::Trouble;

use crate::{
    console::{Console, sends},
    support::{Saoma, param, until},
};

#[tokio::test]
async fn a_site_is_added_changed_given_a_secret_and_removed_and_all_of_it_is_noted() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    let ann = console.claims("ann").await;
    let wrong = sends(
        &ann,
        "/console/sites/new",
        &[("id", "notes"), ("name", "Notes"), ("redirect_uris", "javascript:alert(1)")],
    )
    .await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text().contains("要用 https") && wrong.text().contains("value=\"Notes\""));
    let taken = sends(
        &ann,
        "/console/sites/new",
        &[("id", "blog"), ("name", "Mine"), ("redirect_uris", "https://mine.example.com/cb")],
    )
    .await;
    assert_eq!(taken.status, 422, "there is one of that name");

    let added = sends(
        &ann,
        "/console/sites/new",
        &[
            ("id", "notes"),
            ("name", "Notes <b>"),
            ("redirect_uris", "https://notes.example.com/cb\r\nhttps://notes.example.com/two\r\n"),
            ("kind", "confidential"),
        ],
    )
    .await;
    assert_eq!(added.status, 200);
    let text = added.text();
    assert!(text.contains("Notes &#60;b&#62;") && !text.contains("Notes <b>"), "names are text");
    let (_, rest) = text.split_once("<code id=\"secret\">").unwrap();
    let secret = rest.split('<').next().unwrap().to_owned();
    let site = saoma.app.sites.get("notes").unwrap();
    assert!(site.knows(&saoma::secret::Secret::from(secret.clone())));
    assert_eq!(site.redirect_uris.len(), 2);
    assert!(
        !ann.get("/console/sites/notes").await.unwrap().text().contains(&secret),
        "it is shown once"
    );

    let saved = sends(
        &ann,
        "/console/sites/notes",
        &[
            ("name", "Our notes"),
            ("redirect_uris", "https://notes.example.com/cb"),
            ("risk", "high"),
            ("alg", "ES256"),
        ],
    )
    .await;
    assert_eq!(saved.header("location"), "/console/sites/notes?done=saved");
    let site = saoma.app.sites.get("notes").unwrap();
    assert_eq!((site.name.as_str(), site.risk), ("Our notes", saoma::risk::Policy::High));
    assert!(site.knows(&saoma::secret::Secret::from(secret.clone())), "a change keeps the secret");

    let fresh = sends(&ann, "/console/sites/notes/secret", &[("alone", "on")]).await;
    assert_eq!(fresh.status, 200);
    let site = saoma.app.sites.get("notes").unwrap();
    assert!(!site.knows(&saoma::secret::Secret::from(secret)) && site.hashes.len() == 1);

    assert_eq!(sends(&ann, "/console/sites/notes/remove", &[]).await.status, 303);
    assert!(saoma.app.sites.get("notes").is_none());
    for settled in ["/console/sites/blog/remove", "/console/sites/saoma-console/remove"] {
        assert_eq!(sends(&ann, settled, &[]).await.status, 404, "{settled}");
    }
    let by = console.person("ann").await.id;
    let log = console.log().await;
    for what in ["site.added", "site.changed", "site.secret_made", "site.removed"] {
        assert!(log.contains(&format!("{what} {by}")), "{what}: {log:?}");
    }
}

#[tokio::test]
async fn a_change_in_the_console_brings_no_secret_back_that_a_command_has_just_ended() {
    let saoma = Saoma::starts().await;
    let ann = Console::of(&saoma).await.claims("ann").await;
    let typed = [
        ("name", "Notes"),
        ("redirect_uris", "https://notes.example.com/cb"),
        ("kind", "confidential"),
    ];
    let added = sends(&ann, "/console/sites/new", &[&[("id", "notes")], &typed[..]].concat()).await;
    assert_eq!(added.status, 200);
    let (settings, store, world) = (&saoma.app.settings, &saoma.app.store, &saoma.app.world);
    let leaked = saoma.app.sites.get("notes").unwrap().hashes[0];
    let said = sites::secret(settings, store, world, "notes", true).await.unwrap();
    let fresh = Secret::from(said.lines().next().unwrap().to_owned());
    assert_eq!(saoma.app.sites.get("notes").unwrap().hashes, [leaked], "not looked at again yet");

    let saved = sends(&ann, "/console/sites/notes", &typed).await;
    assert_eq!(saved.header("location"), "/console/sites/notes?done=saved");
    assert_eq!(store.sites().await.unwrap()[0].hashes, [fresh.hashed()]);
    assert_eq!(sends(&ann, "/console/sites/notes/secret", &[]).await.status, 200);
    let hashes = store.sites().await.unwrap().remove(0).hashes;
    assert_eq!((hashes.len(), hashes[0]), (2, fresh.hashed()), "one more, and none of before");
}

#[tokio::test]
async fn where_a_site_is_told_of_logouts_no_form_says_but_the_command_line() {
    let saoma = Saoma::starts().await;
    let ann = Console::of(&saoma).await.claims("ann").await;
    let typed = [
        ("name", "Notes"),
        ("redirect_uris", "https://notes.example.com/cb"),
        ("kind", "confidential"),
        ("backchannel_logout_uri", "https://10.0.0.1/admin"),
        ("backchannel_private", "on"),
    ];
    let added = sends(&ann, "/console/sites/new", &[&[("id", "notes")], &typed[..]].concat()).await;
    assert_eq!(added.status, 200);
    assert_eq!(sends(&ann, "/console/sites/notes", &typed).await.status, 303);
    let kept = || {
        let site = saoma.app.sites.get("notes").unwrap();
        (site.backchannel_logout_uri.clone(), site.backchannel_private)
    };
    assert_eq!(kept(), (String::new(), false));

    let (settings, store, world) = (&saoma.app.settings, &saoma.app.store, &saoma.app.world);
    let uri = "https://notes.internal/logout";
    let told = (uri.to_owned(), true);
    let plain = sites::backchannel(settings, store, world, "notes", ("http://a".to_owned(), false));
    assert!(plain.await.unwrap_err().contains("https"));
    sites::backchannel(settings, store, world, "notes", told.clone()).await.unwrap();
    // A change by form, and this node has looked again.
    assert_eq!(sends(&ann, "/console/sites/notes", &typed).await.status, 303);
    assert_eq!(kept(), told);
    let page = ann.get("/console/sites/notes").await.unwrap().text();
    assert!(page.contains(uri) && page.contains("saoma site backchannel notes"), "{page}");
}

/// What stands on a page between two texts.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split_once(before).unwrap().1.split_once(after).unwrap().0
}

#[tokio::test]
async fn a_known_application_gets_all_it_needs_and_its_operator_is_told_what_to_paste_where() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    let ann = console.claims("ann").await;
    let choice = ann.get("/console/sites/new").await.unwrap().text();
    for preset in presets::all() {
        let address = format!("/console/sites/new/{}", preset.name);
        assert!(choice.contains(&format!("href=\"{address}\"")), "{address}");
        assert_eq!(ann.get(&address).await.unwrap().status, 200, "{address}");
    }
    assert_eq!(ann.get("/console/sites/new/none").await.unwrap().status, 404);

    let path = "/console/sites/new/gitea";
    let form = |url| [("id", "git"), ("name", "Our <b> code"), ("url", url)];
    let wrong = sends(&ann, path, &form("git.example.com")).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text().contains("例如 https://git.example.com"), "{}", wrong.text());
    assert!(wrong.text().contains("Our &#60;b&#62; code"), "what was typed stays");

    let added = sends(&ann, path, &form(" https://git.example.com/ ")).await;
    assert_eq!(added.status, 200);
    let text = added.text();
    let (_, rest) = text.split_once("<dt>Client Secret</dt>").unwrap();
    let secret = between(rest, "<code", "</code>").split_once('>').unwrap().1.to_owned();
    let site = saoma.app.sites.get("git").unwrap();
    assert!(site.knows(&saoma::secret::Secret::from(secret.clone())), "the secret is its own");
    assert_eq!(site.redirect_uris, ["https://git.example.com/user/oauth2/wechat/callback"]);
    assert!(site.email.starts_with("{username}@users."), "{}", site.email);
    assert!(text.contains("/.well-known/openid-configuration"), "{text}");
    let shown = ann.get("/console/sites/git").await.unwrap().text();
    assert!(shown.contains("Our &#60;b&#62; code") && !shown.contains(&secret), "shown once");
    assert!(console.log().await.iter().any(|line| line.starts_with("site.added")));
    assert_eq!(sends(&ann, path, &form("https://git.example.com")).await.status, 422, "taken");

    let path = "/console/sites/new/logto";
    let form = [("id", "logto"), ("name", "Logto"), ("url", "https://logto.example.com")];
    let own = sends(&ann, path, &form).await;
    assert!(own.text().contains("回调地址至少要有一个"), "it makes its address itself");
    let uri = ("redirect_uris", "https://logto.example.com/callback/x1");
    let own = sends(&ann, path, &[&form[..], &[uri]].concat()).await;
    assert_eq!(own.status, 200, "{}", own.text());
    assert_eq!(saoma.app.sites.get("logto").unwrap().redirect_uris, [uri.1]);
}

#[tokio::test]
async fn a_try_runs_a_real_sign_in_shows_what_the_site_would_be_told_and_ends_it() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    let ann = console.claims("ann").await;
    let page = ann.opens("/console/sites/shop/try").await.unwrap();
    let phone = saoma.phone("bob");
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    assert_eq!(asked.shown["site"]["name"], "The shop");
    assert_eq!(asked.shown["page"]["host"], "127.0.0.1", "where the code really stands");
    phone.approves_with(&asked, &json!({ "scopes": ["profile", "wechat"] })).await.unwrap();
    let next = console.goes_next(&ann, &page).await;
    assert_eq!(console.goes_next(&ann, &page).await, next, "a lost answer is given again");
    let told = ann.get(&next).await.unwrap().text();
    let openid = saoma.wechat.pretend.openid("bob");
    for claim in ["preferred_username", "wechat_openid", &openid, "urn:saoma:scan", "at_hash"] {
        assert!(told.contains(claim), "{claim}: {told}");
    }
    assert!(!told.contains("access_token"), "tokens are shown to nobody");
    let bob = console.person("bob").await;
    assert_eq!(saoma.app.store.logins(&bob.id).await.unwrap(), [], "nobody is signed in anywhere");
    let by = console.person("ann").await.id;
    assert!(console.log().await.contains(&format!("site.tried {by}")));
    let stranger = console.browser();
    assert_eq!(stranger.get(&next).await.unwrap().status, 303);

    let page = ann.opens("/console/sites/shop/try").await.unwrap();
    let stolen = console.browser().calls(&page, "claim").await.unwrap();
    assert_eq!(stolen.problem(), "404 no_such_ticket", "another browser's ticket is none");
}

#[tokio::test]
async fn a_person_is_found_kept_out_let_in_made_an_owner_and_forgotten() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    let ann = console.claims("ann").await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    saoma.signs_in(&browser, &blog, &saoma.phone("bob")).await;
    let bob = console.person("bob").await;
    let found = ann.get(&format!("/console/people?q={}", bob.username)).await.unwrap().text();
    assert!(found.contains(&bob.id) && !found.contains(&console.person("ann").await.id));
    let page = format!("/console/people/{}", bob.id);
    let shown = ann.get(&page).await.unwrap().text();
    assert!(shown.contains("My blog") && shown.contains("ticket.approved"), "{shown}");

    let login = saoma.app.store.logins(&bob.id).await.unwrap().remove(0);
    assert_eq!(sends(&ann, &format!("{page}/end"), &[("login", &login.id)]).await.status, 303);
    assert_eq!(saoma.app.store.logins(&bob.id).await.unwrap(), []);
    assert_eq!(sends(&ann, &format!("{page}/block"), &[]).await.status, 303);
    assert!(console.person("bob").await.blocked);
    assert_eq!(sends(&ann, &format!("{page}/unblock"), &[]).await.status, 303);
    assert!(!console.person("bob").await.blocked);
    assert_eq!(sends(&ann, &format!("{page}/own"), &[]).await.status, 303);
    let bobs = console.enters("bob").await;

    let anns = format!("/console/people/{}", console.person("ann").await.id);
    assert_eq!(sends(&bobs, &format!("{anns}/disown"), &[]).await.status, 303);
    assert_eq!(ann.get("/console").await.unwrap().status, 303, "who is no owner is out at once");
    for act in ["block", "disown", "forget"] {
        let last = sends(&bobs, &format!("{page}/{act}"), &[]).await;
        assert_eq!(
            param(&format!("http://x{}", last.header("location")), "done"),
            "last-owner",
            "{act}"
        );
    }
    assert!(console.person("bob").await.is_owner());
    assert_eq!(sends(&bobs, &format!("{anns}/forget"), &[]).await.status, 303);
    assert_eq!(bobs.get(&anns).await.unwrap().status, 404);
    let log = console.log().await;
    for what in ["person.blocked", "person.unblocked", "person.joined", "login.ended_by_operator"] {
        assert!(log.iter().any(|line| line.starts_with(what)), "{what}: {log:?}");
    }
    assert!(log.contains(&format!("person.forgotten {}", bob.id)), "{log:?}");
}

#[tokio::test]
async fn the_audit_log_is_filtered_and_turned_page_by_page() {
    let saoma = Saoma::starts_with(&[("SAOMA_LIMITS__OFF", "true")]).await;
    let console = Console::of(&saoma).await;
    let ann = console.claims("ann").await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    for _ in 0..30 {
        saoma.signs_in(&browser, &blog, &saoma.phone("bob")).await;
    }
    let rows = |text: &str| text.matches("class=\"when\"").count();
    let first = ann.get("/console/audit?site=blog").await.unwrap().text();
    assert_eq!(rows(&first), 50);
    let (_, rest) = first.split_once("rel=\"next\" href=\"").unwrap();
    let older = rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
    let second = ann.get(&older).await.unwrap().text();
    assert_eq!(rows(&second), 10, "thirty scans and thirty approvals");
    assert!(second.contains("rel=\"prev\"") && !second.contains("rel=\"next\""));
    let scans = ann.get("/console/audit?what=ticket.scanned&site=blog").await.unwrap().text();
    assert_eq!(rows(&scans), 30);
    let bobs = format!("/console/audit?person={}", console.person("bob").await.username);
    assert_eq!(
        rows(&ann.get(&bobs).await.unwrap().text()),
        50,
        "found by the name that people read"
    );
    let none = ann.get("/console/audit?until=2020-01-01").await.unwrap().text();
    assert!(none.contains("No such lines"));
    let odd = ann.get("/console/audit?since=yesterday&what=%00&before=x").await.unwrap();
    assert!(odd.status.is_success() || odd.status == 400, "{}", odd.status);
}

#[tokio::test]
async fn the_overview_counts_what_happened() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    let ann = console.claims("ann").await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    saoma.signs_in(&browser, &blog, &saoma.phone("bob")).await;
    let page = browser.opens(&blog.asks()).await.unwrap();
    let phone = saoma.phone("bob");
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    phone.denies(&asked).await.unwrap();
    let seen = saoma::console::overview::overview(&saoma.app, Default::default(), 0, Some("blog"))
        .await
        .unwrap();
    assert_eq!((seen.totals.shown, seen.totals.scanned), (2, 2));
    assert_eq!((seen.totals.approved, seen.totals.denied), (1, 1));
    assert_eq!((seen.to_scan.all(), seen.to_decide.all(), seen.to_redeem.all()), (2, 2, 1));
    assert_eq!(seen.steps.len(), 30);
    let text = ann.get("/console").await.unwrap().text();
    assert!(text.contains("<svg") && text.contains("<table>"), "a table stands beside each plot");
    assert!(text.contains("/sns/jscode2session"), "how WeChat's API does");
}

#[tokio::test]
async fn the_overview_worries_about_a_pool_that_ran_dry_though_another_is_full() {
    let saoma = Saoma::starts_with(&[("SAOMA_WECHAT__POOL", "2")]).await;
    let console = Console::of(&saoma).await;
    let ann = console.claims("ann").await;
    let trial = [
        ("id", "fresh"),
        ("name", "Fresh"),
        ("redirect_uris", "https://fresh.example.com/cb"),
        ("env_version", "trial"),
    ];
    assert_eq!(sends(&ann, "/console/sites/new", &trial).await.status, 200);
    until(|| {
        saoma.passes(1);
        saoma.app.codes.level() == 4
    })
    .await;
    let text = ann.get("/console").await.unwrap().text();
    assert!(text.contains("4 of 4 ready") && !text.contains("class=\"over\""));
    saoma.wechat.pretend.trouble(Trouble::on("*").status(503).times(1_000));
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    for _ in 0..2 {
        browser.opens(&blog.asks()).await.unwrap();
    }
    let text = ann.get("/console").await.unwrap().text();
    assert!(text.contains("2 of 4 ready") && text.contains("class=\"over\""));
}

#[tokio::test]
async fn settings_in_force_are_shown_with_where_they_came_from_and_no_secret_among_them() {
    let saoma = Saoma::starts_with(&[("SAOMA_TICKET__LIFE", "90s")]).await;
    let console = Console::of(&saoma).await;
    let ann = console.claims("ann").await;
    let text = ann.get("/console/settings").await.unwrap().text();
    assert!(text.contains("SAOMA_TICKET__LIFE") && text.contains("90s"), "{text}");
    assert!(!text.contains(crate::support::SECRET));
}
