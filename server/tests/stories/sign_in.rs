//! The main job: a browser opens, a phone scans, a tap, and the site knows who it is.

use jsonwebtoken::Algorithm;
use saoma::{commands::sites, try_it::actors::Reply};
use serde_json::json;

use crate::{
    site::STATE,
    support::{Saoma, goes_next, param, reads_scene, sees_to_the_end},
};

#[tokio::test]
async fn one_scan_and_one_tap_sign_a_browser_in() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));

    let page = browser.opens(&blog.asks()).await.unwrap();
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(watch.sees().await.unwrap(), json!({ "state": "waiting", "expires_in": 120 }));

    let asked = phone.scans(&reads_scene(&browser, &page).await, 1047).await.unwrap();
    assert_eq!(asked.shown["ask"], "tap");
    let scanned = json!({ "state": "scanned", "expires_in": 120 });
    assert_eq!(watch.sees().await.unwrap(), scanned);

    phone.approves_with(&asked, &json!({ "scopes": ["profile"] })).await.unwrap();
    assert_eq!(sees_to_the_end(&mut watch).await, ["approved", "closed 1000"]);

    let next = goes_next(&browser, &page).await;
    assert!(next.starts_with("https://blog.example.com/callback?"), "{next}");
    assert_eq!((param(&next, "state"), param(&next, "iss")), (STATE.to_owned(), saoma.url.clone()));

    let tokens = blog.redeems(&param(&next, "code")).await.good().unwrap();
    assert_eq!(
        (&tokens["token_type"], &tokens["scope"]),
        (&json!("Bearer"), &json!("openid profile"))
    );
    let claims = blog.checks(tokens["id_token"].as_str().unwrap(), Algorithm::RS256).await;
    let who = blog.asks_who(tokens["access_token"].as_str().unwrap()).await.good().unwrap();
    assert_eq!(who["sub"], claims["sub"]);
    assert!(who["name"].as_str().unwrap().starts_with("guest u"), "{who}");
    let now = saoma.app.world.now().seconds();
    assert_eq!((&claims["iat"], &claims["auth_time"]), (&json!(now), &json!(now)));
}

#[tokio::test]
async fn a_site_is_shown_with_its_picture_and_with_who_runs_it() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("album.png").to_str().unwrap().to_owned();
    image::RgbaImage::from_pixel(300, 300, image::Rgba([9, 90, 60, 255])).save(&file).unwrap();
    let (app, store) = (&saoma.app, saoma.app.store.clone());
    let album = |logo| sites::New {
        id: "album".to_owned(),
        name: "Album".to_owned(),
        logo,
        operator: "Ann <b>".to_owned(),
        contact: "ann@example.com".to_owned(),
        privacy_url: "https://album.example.com/privacy".to_owned(),
        redirect_uris: vec!["https://album.example.com/cb".to_owned()],
        public: true,
        ..sites::New::default()
    };
    let add = async |logo| sites::add(&app.settings, &store, &app.world, album(logo)).await;
    let refused = add(Some("/nowhere.png".to_owned())).await.unwrap_err();
    assert!(refused.contains("/nowhere.png") && refused.contains("cannot be read"), "{refused}");
    add(Some(file)).await.unwrap();
    app.sites.keep(store.sites().await.unwrap());

    let url = saoma.site("album").asks();
    let hosted = browser.goes_to(&url).await.unwrap().text();
    let logo = hosted.split("src=\"").find(|rest| rest.starts_with("/logos/album/")).unwrap();
    let logo = logo.split('"').next().unwrap().to_owned();
    assert!(hosted.contains("ann@example.com") && !hosted.contains("<b>"), "{hosted}");
    assert!(hosted.contains("href=\"https://album.example.com/privacy\""), "{hosted}");
    let picture = browser.get(&logo).await.unwrap();
    assert_eq!((picture.status.as_u16(), picture.header("content-type")), (200, "image/png"));
    assert_eq!(image::load_from_memory(&picture.body).unwrap().width(), 216);

    let (_, asked) = saoma.scans(&browser, &saoma.site("album"), &phone).await;
    let expected = json!({
        "name": "Album", "host": "album.example.com", "logo": logo, "operator": "Ann <b>",
        "contact": "ann@example.com", "privacy_url": "https://album.example.com/privacy",
    });
    assert_eq!(asked.shown["site"], expected);
    let shown = sites::show(&app.settings, &store, "album").await.unwrap();
    assert!(shown.contains(&logo) && !shown.contains("base64"), "{shown}");

    sites::logo(&app.settings, &store, &app.world, "album", None).await.unwrap();
    app.sites.keep(store.sites().await.unwrap());
    assert_eq!(browser.get(&logo).await.unwrap().status, 404);
    assert!(!browser.goes_to(&url).await.unwrap().text().contains("/logos/"));
}

#[tokio::test]
async fn an_embedded_page_signs_in_and_redeems_by_itself() {
    let saoma = Saoma::starts().await;
    let (blog, phone) = (saoma.site("blog"), saoma.phone("ann"));

    let element = blog.embeds().await;
    let ticket = &element.page.ticket;
    let expected = json!({
        "ticket": ticket, "key": element.key, "expires_in": 120,
        "code_url": format!("/api/tickets/{ticket}/code"), "ws_url": format!("/api/tickets/{ticket}/ws"),
        "events_url": format!("/api/tickets/{ticket}/events"), "poll_url": format!("/api/tickets/{ticket}"),
    });
    assert_eq!(element.opened, expected);

    let mut watch = element.watches().await;
    let scene = reads_scene(&element.browser, &element.page).await;
    let asked = phone.scans(&scene, 1047).await.unwrap();
    assert_eq!(
        asked.shown["page"]["host"], "blog.example.com",
        "the page stands on the site itself"
    );
    phone.approves(&asked).await.unwrap();
    assert_eq!(sees_to_the_end(&mut watch).await.last().unwrap(), "closed 1000");

    let claimed = element.calls("claim").await;
    assert_eq!(claimed.header("access-control-allow-origin"), blog.origin);
    assert_eq!(claimed.header("access-control-allow-credentials"), "");
    let claimed = claimed.good().unwrap();
    let code = claimed["params"]["code"].as_str().unwrap();
    let params = json!({ "code": code, "state": STATE, "iss": saoma.url });
    assert_eq!(claimed["params"], params);
    assert_eq!(param(claimed["redirect_to"].as_str().unwrap(), "code"), code);

    let tokens = blog.redeems(code).await.good().unwrap();
    blog.checks(tokens["id_token"].as_str().unwrap(), Algorithm::RS256).await;
}

#[tokio::test]
async fn a_site_with_a_secret_proves_itself_in_the_header_or_in_the_form() {
    let saoma = Saoma::starts().await;
    let (shop, phone) = (saoma.site("shop"), saoma.phone("ann"));
    let secret = shop.secret.clone().unwrap();
    let forms = [vec![], vec![("client_secret", secret.as_str())]];
    for form in forms {
        let browser = saoma.browser();
        let (page, asked) = saoma.scans(&browser, &shop, &phone).await;
        phone.approves(&asked).await.unwrap();
        let code = crate::support::claims(&browser, &page).await;
        let tokens = shop.redeems_with(&code, &form).await.good().unwrap();
        let id_token = tokens["id_token"].as_str().unwrap();
        let claims = shop.checks(id_token, Algorithm::ES256).await;
        assert_eq!(claims["aud"], "shop");
    }
}

#[tokio::test]
async fn a_site_without_pkce_signs_in_where_it_says_so() {
    let saoma = Saoma::starts().await;
    let (wiki, browser, phone) = (saoma.site("wiki"), saoma.browser(), saoma.phone("ann"));
    let none = [("code_challenge", ""), ("code_challenge_method", "")];
    let page = browser.opens(&wiki.asks_with(&none)).await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    phone.approves(&asked).await.unwrap();
    let code = crate::support::claims(&browser, &page).await;
    assert!(wiki.redeems_with(&code, &[("code_verifier", "")]).await.good().is_ok());
}

#[tokio::test]
async fn a_site_that_asks_for_form_post_is_posted_to() {
    let saoma = Saoma::starts().await;
    let (shop, browser, phone) = (saoma.site("shop"), saoma.browser(), saoma.phone("ann"));
    let page = browser.opens(&shop.asks_with(&[("response_mode", "form_post")])).await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    phone.approves(&asked).await.unwrap();

    let next = goes_next(&browser, &page).await;
    assert_eq!(next, format!("{}/tickets/{}/answer", saoma.url, page.ticket));
    let posting = browser.goes_to(&next).await.unwrap();
    let policy = posting.header("content-security-policy");
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(!policy.contains("form-action"), "the site may lead on to another origin: {policy}");
    let text = posting.text();
    assert!(text.contains("action=\"https://shop.example.com/callback\""), "{text}");
    let field = |name: &str| {
        let (_, rest) = text.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    assert_eq!(field("state"), "the state of the site &#38; more", "escaped, as HTML wants it");
    assert!(shop.redeems(&field("code")).await.good().is_ok());

    let stranger = saoma.browser().goes_to(&next).await.unwrap();
    assert_eq!(stranger.status, 404);
}

#[tokio::test]
async fn a_request_by_post_shows_the_same_page() {
    let saoma = Saoma::starts().await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    let asks = blog.asks();
    let (path, query) = asks.split_once('?').unwrap();
    let fields: Vec<(String, String)> =
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let form: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let reply = browser.submits(path, &form).await.unwrap();
    assert_eq!(reply.status, 303, "a browser sends its Lax cookies only along with a GET");
    assert!(browser.opens(reply.header("location")).await.is_ok());
}

#[tokio::test]
async fn a_person_says_no_and_the_site_hears_access_denied() {
    let saoma = Saoma::starts().await;
    let (blog, browser, phone) = (saoma.site("blog"), saoma.browser(), saoma.phone("ann"));

    let (page, asked) = saoma.scans(&browser, &blog, &phone).await;
    let mut watch = browser.watches(&page).await.unwrap();
    phone.denies(&asked).await.unwrap();
    let seen = sees_to_the_end(&mut watch).await;
    assert_eq!(seen.last_chunk().unwrap(), &["denied".to_owned(), "closed 1000".to_owned()]);
    let next = goes_next(&browser, &page).await;
    assert_eq!(param(&next, "error"), "access_denied");
    assert_eq!((param(&next, "state"), param(&next, "iss")), (STATE.to_owned(), saoma.url.clone()));
    assert_eq!(param(&next, "code"), "");

    let element = blog.embeds().await;
    let asked = phone.scans(&saoma.scene(&element.page.ticket).await, 1047).await.unwrap();
    phone.denies(&asked).await.unwrap();
    let claimed = element.calls("claim").await.good().unwrap();
    assert_eq!(claimed["params"]["error"], "access_denied");
    assert!(claimed["params"].get("code").is_none());
}

#[tokio::test]
async fn the_phone_shows_what_was_registered_and_what_the_browser_is() {
    let saoma = Saoma::starts().await;
    let (blog, phone) = (saoma.site("blog"), saoma.phone("ann"));
    let (_, asked) = saoma.scans(&saoma.browser(), &blog, &phone).await;
    let mut shown = asked.shown.clone();
    shown.as_object_mut().unwrap().remove("token");
    let expected = json!({
        "scene": asked.scene,
        "site": {
            "name": "My blog", "host": "blog.example.com", "logo": null,
            "operator": null, "contact": null, "privacy_url": null,
        },
        "page": { "host": "127.0.0.1" },
        "browser": { "name": "Firefox", "os": "Linux", "region": null, "known": false, "same_network": true },
        "kind": "page", "age": 0, "expires_in": 120,
        "risk": "low", "why": ["new_browser", "first_time"], "ask": "tap",
        "scopes": ["profile", "wechat"], "person": null, "admission": "open", "say": null,
    });
    assert_eq!(shown, expected, "these fields and no others");
}

#[tokio::test]
async fn a_site_is_told_what_was_ticked_and_nothing_else() {
    let saoma = Saoma::starts().await;
    let (blog, phone) = (saoma.site("blog"), saoma.phone("ann").with_unionid("ann everywhere"));
    let told = async |ticked: serde_json::Value| {
        let approval = json!({ "scopes": ticked });
        let tokens = saoma.signs_in_with(&saoma.browser(), &blog, &phone, &approval).await;
        blog.asks_who(tokens["access_token"].as_str().unwrap()).await.good().unwrap()
    };
    let names = |told: &serde_json::Value| {
        told.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&told(json!([])).await), "sub");
    assert_eq!(names(&told(json!(["email", "offline_access", "made-up"])).await), "sub");
    assert_eq!(names(&told(json!(["profile"])).await), "name preferred_username sub");
    let wechat = told(json!(["wechat"])).await;
    assert_eq!(names(&wechat), "sub wechat_openid wechat_unionid");
    assert_eq!(wechat["wechat_openid"], saoma.wechat.pretend.openid("ann"));
    assert_eq!(wechat["wechat_unionid"], "ann everywhere");
}

#[tokio::test]
async fn a_person_is_one_sub_to_a_site_another_elsewhere_and_the_same_in_a_group() {
    let saoma = Saoma::starts().await;
    let sub = async |site: &str, person: &str| {
        let (site, phone) = (saoma.site(site), saoma.phone(person));
        let tokens = saoma.signs_in(&saoma.browser(), &site, &phone).await;
        let who: Reply = site.asks_who(tokens["access_token"].as_str().unwrap()).await;
        who.json()["sub"].as_str().unwrap().to_owned()
    };
    let at_blog = sub("blog", "ann").await;
    assert_eq!(at_blog, sub("blog", "ann").await);
    assert_ne!(at_blog, sub("shop", "ann").await);
    assert_ne!(at_blog, sub("blog", "bob").await);
    assert_eq!(sub("forum", "ann").await, sub("chat", "ann").await);
    assert_eq!(at_blog.len(), 22);
    assert_ne!(at_blog, saoma.wechat.pretend.openid("ann"));
}

#[tokio::test]
async fn a_unionid_that_appears_later_changes_nothing_for_the_site() {
    let saoma = Saoma::starts().await;
    let blog = saoma.site("blog");
    let sub = async |phone: saoma::try_it::actors::Phone| {
        let tokens = saoma.signs_in(&saoma.browser(), &blog, &phone).await;
        let who = blog.asks_who(tokens["access_token"].as_str().unwrap()).await.good().unwrap();
        who["sub"].as_str().unwrap().to_owned()
    };
    let before = sub(saoma.phone("ann")).await;
    assert_eq!(before, sub(saoma.phone("ann").with_unionid("ann everywhere")).await);
    assert_eq!(before, sub(saoma.phone("ann")).await);
}
