//! The real server is killed, asked to stop, and overheard.

use reqwest::Method;
use saoma::try_it::actors::{Browser, Page, Phone, Reply, Told};
use serde_json::json;
use wechat::pretend::Trouble;

use crate::{
    process::Process,
    site::{VERIFIER, challenge},
    support::{SECRET, claims, goes_next, param, reads_scene, sees_to_the_end},
};

const CALLBACK: &str = "https://blog.example.com/callback";

/// Where the blog sends a browser, here as a plain text: its site is known to another process.
fn asks() -> String {
    let challenge = challenge(VERIFIER);
    format!(
        "/oauth2/authorize?client_id=blog&redirect_uri={CALLBACK}&response_type=code&scope=openid%20wechat&state=s&nonce=n\
         &code_challenge={challenge}&code_challenge_method=S256"
    )
}

async fn redeems(saoma: &Process, code: &str) -> Reply {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("client_id", "blog"),
        ("code_verifier", VERIFIER),
    ];
    let url = format!("{}/oauth2/token", saoma.url);
    Reply::of(reqwest::Client::new().post(url).form(&form)).await.unwrap()
}

/// The page's state after a restart; an error is a ticket that is gone.
async fn state(browser: &Browser, page: &Page) -> Told<String> {
    let state = browser.get(&format!("/api/tickets/{}", page.ticket)).await?.good()?;
    Ok(state["state"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn what_the_phone_was_told_survives_kill_9() {
    let mut saoma = Process::starts("info").await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let page = browser.opens(&asks()).await.unwrap();
    let asked = phone.scans(&reads_scene(&browser, &page).await, 1047).await.unwrap();
    phone.approves(&asked).await.unwrap();
    saoma.is_killed().await;
    saoma.starts_again().await;

    phone
        .approves(&asked)
        .await
        .expect("a lost reply may be asked for again, of the next life too");
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(sees_to_the_end(&mut watch).await, ["approved", "closed 1000"]);
    let code = claims(&browser, &page).await;
    saoma.is_killed().await;
    saoma.starts_again().await;

    assert_eq!(claims(&browser, &page).await, code, "the same claim has the same answer");
    let tokens = redeems(&saoma, &code).await.good().unwrap();
    saoma.is_killed().await;
    saoma.starts_again().await;

    assert_eq!(
        redeems(&saoma, &code).await.problem(),
        "400 invalid_grant",
        "redeemed once is redeemed for ever"
    );
    let token = tokens["access_token"].as_str().unwrap();
    let userinfo =
        reqwest::Client::new().get(format!("{}/oauth2/userinfo", saoma.url)).bearer_auth(token);
    assert_eq!(Reply::of(userinfo).await.unwrap().status, 401, "and the second try revokes");
}

#[tokio::test]
async fn killed_at_any_moment_around_the_tap_nothing_is_half_done() {
    let mut saoma = Process::starts("info").await;
    let (mut decided, mut lost) = (0, 0);
    // The first kill comes before the tap, the last one after its answer.
    let last = 11;
    for moment in 0..=last {
        let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
        let page = browser.opens(&asks()).await.unwrap();
        let asked = phone.scans(&reads_scene(&browser, &page).await, 1047).await.unwrap();
        let told = if moment == 0 {
            saoma.is_killed().await;
            phone.approves(&asked).await
        } else if moment == last {
            let told = phone.approves(&asked).await;
            assert_eq!(told, Ok(()));
            saoma.is_killed().await;
            told
        } else {
            // It comes later from round to round: before the question is read, while it is answered.
            let kill = async {
                for _ in 0..moment * 40 {
                    tokio::task::yield_now().await;
                }
                saoma.is_killed().await;
            };
            tokio::join!(phone.approves(&asked), kill).0
        };
        saoma.starts_again().await;
        match state(&browser, &page).await {
            Ok(state) => {
                assert_eq!(state, "approved");
                decided += 1;
                let code = claims(&browser, &page).await;
                assert!(redeems(&saoma, &code).await.good().is_ok());
                assert_eq!(redeems(&saoma, &code).await.problem(), "400 invalid_grant");
            }
            Err(problem) => {
                assert_eq!(problem, "404 no_such_ticket");
                assert!(told.is_err(), "the phone was told yes, and it is lost");
                lost += 1;
            }
        }
    }
    assert!(decided > 0 && lost > 0, "{decided} were decided, {lost} lost");
}

#[tokio::test]
async fn a_waiting_page_finds_nothing_after_kill_9_and_opens_anew() {
    let mut saoma = Process::starts("info").await;
    let browser = saoma.browser();
    let page = browser.opens(&asks()).await.unwrap();
    saoma.is_killed().await;
    saoma.starts_again().await;
    assert_eq!(state(&browser, &page).await.unwrap_err(), "404 no_such_ticket");
    assert!(browser.opens(&asks()).await.is_ok());
}

#[tokio::test]
async fn who_asks_it_to_stop_loses_no_waiting_page() {
    let mut saoma = Process::starts("info").await;
    let (ann, bob) = (saoma.phone("ann"), saoma.phone("bob"));
    let (one, two) = (saoma.browser(), saoma.browser());
    let (waiting, scanned) = (one.opens(&asks()).await.unwrap(), two.opens(&asks()).await.unwrap());
    let scene = reads_scene(&one, &waiting).await;
    let asked = bob.scans(&reads_scene(&two, &scanned).await, 1047).await.unwrap();
    let minted = saoma.wechat.pretend.count("/wxa/getwxacodeunlimit");
    let picture = one.get(&format!("/api/tickets/{}/code", waiting.ticket)).await.unwrap();
    let mut watch = one.watches(&waiting).await.unwrap();
    assert_eq!(watch.sees_state().await.unwrap(), "waiting");

    saoma.is_asked_to_stop().await;
    saoma.starts_again().await;

    let again = one.get(&format!("/api/tickets/{}/code", waiting.ticket)).await.unwrap();
    assert_eq!(again.body, picture.body, "the same code stands on the page");
    assert_eq!(
        saoma.wechat.pretend.count("/wxa/getwxacodeunlimit"),
        minted,
        "no new one was fetched"
    );
    let mut watch = one.watches(&waiting).await.unwrap();
    assert_eq!(watch.sees_state().await.unwrap(), "waiting");
    let fresh = ann.scans(&scene, 1047).await.unwrap();
    ann.approves(&fresh).await.unwrap();
    bob.approves(&asked).await.expect("a token of before the stop is good after it");
    for (browser, page) in [(&one, &waiting), (&two, &scanned)] {
        let code = claims(browser, page).await;
        assert!(redeems(&saoma, &code).await.good().is_ok());
    }
}

#[tokio::test]
async fn a_start_that_fails_says_why_and_loses_no_waiting_page() {
    let mut saoma = Process::starts("info").await;
    let browser = saoma.browser();
    let page = browser.opens(&asks()).await.unwrap();
    saoma.is_asked_to_stop().await;

    let nowhere = [("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")];
    let ended = saoma.saoma_with(&["serve"], nowhere);
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("WeChat cannot be called") && said.contains("ca-certificates"), "{said}");
    let regions = saoma.saoma_with(&["serve"], [("SAOMA_REGION_DB", "/nowhere")]);
    let said = String::from_utf8(regions.stderr).unwrap();
    assert!(regions.status.code() == Some(1) && said.contains("/nowhere"), "{said}");

    saoma.starts_again().await;
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(watch.sees_state().await.unwrap(), "waiting");
}

#[tokio::test]
async fn counts_that_cannot_be_kept_take_no_waiting_page_along() {
    let mut saoma = Process::starts("info").await;
    let browser = saoma.browser();
    let page = browser.opens(&asks()).await.unwrap();
    let store = rusqlite::Connection::open(saoma.database()).unwrap();
    let refuse =
        "CREATE TRIGGER full BEFORE INSERT ON counts BEGIN SELECT RAISE(FAIL, 'full'); END";
    store.execute_batch(refuse).unwrap();
    saoma.is_asked_to_stop().await;
    assert!(saoma.log().contains("counts.flush"), "{}", saoma.log());
    store.execute_batch("DROP TRIGGER full").unwrap();
    saoma.starts_again().await;
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(watch.sees_state().await.unwrap(), "waiting");
}

#[tokio::test]
async fn not_even_the_most_talkative_log_tells_a_secret() {
    let mut saoma = Process::starts("trace").await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann").with_unionid("ann-everywhere"));
    let mut secrets = vec![SECRET.to_owned(), VERIFIER.to_owned()];

    let page = browser.opens(&asks()).await.unwrap();
    let scene = reads_scene(&browser, &page).await;
    let digits = browser.calls(&page, "digits").await.unwrap().json();
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(watch.sees_state().await.unwrap(), "waiting");
    let js_code = phone.logs_in().await.unwrap();
    let body = json!({ "js_code": js_code, "entry": 1048, "protocol": 1 });
    let path = format!("tickets/{scene}/scan");
    let asked = phone.calls(Method::POST, &path, None, &body).await.unwrap().good().unwrap();
    let session_key = || saoma.wechat.pretend.session_key("ann").unwrap();
    let mut session_keys = vec![session_key()];
    let refused = phone.calls(Method::POST, &path, None, &body).await.unwrap();
    assert_eq!(refused.problem(), "422 js_code_refused");
    let number = watch.sees().await.unwrap()["match"].clone();
    let token = asked["token"].as_str().unwrap();
    let approval = json!({ "match": number, "remember": true, "scopes": ["wechat"] });
    let path = format!("tickets/{scene}/approve");
    phone.calls(Method::POST, &path, Some(token), &approval).await.unwrap().good().unwrap();
    let next = goes_next(&browser, &page).await;
    let code = param(&next, "code");
    let tokens = redeems(&saoma, &code).await.good().unwrap();
    let access = tokens["access_token"].as_str().unwrap();
    let client = reqwest::Client::new();
    let who = client.get(format!("{}/oauth2/userinfo", saoma.url)).bearer_auth(access);
    assert_eq!(Reply::of(who).await.unwrap().status, 200);
    let wrong = client.post(format!("{}/oauth2/token", saoma.url));
    let wrong =
        wrong.form(&[("client_id", "shop"), ("client_secret", "a wrong secret of the shop")]);
    assert_eq!(Reply::of(wrong).await.unwrap().status, 401);

    // The bridge's key stands in an address, and a link's secret in a form.
    let bridge = [("act", "login"), ("appid", "shop"), ("appkey", "a key of the rainbow bridge")];
    let bridge = client.get(format!("{}/connect.php", saoma.url)).query(&bridge);
    assert_eq!(Reply::of(bridge).await.unwrap().json()["code"], -1);
    let link = browser.submits("/link", &[("code", "a made-up secret of a link")]).await.unwrap();
    assert_eq!(link.status, 410);

    let fresh = json!({ "js_code": phone.logs_in().await.unwrap() });
    let session = phone.calls(Method::POST, "session", None, &fresh).await.unwrap().json();
    let session = session["token"].as_str().unwrap();
    session_keys.push(session_key());
    let me = phone.calls(Method::GET, "me", Some(session), &json!({})).await.unwrap();
    assert_eq!(me.status, 200);
    let home = browser.opens("/login").await.unwrap();
    let at_home = phone.scans(&reads_scene(&browser, &home).await, 1047).await.unwrap();
    phone.approves(&at_home).await.unwrap();
    let claimed = browser.calls(&home, "claim").await.unwrap();
    let cookie = claimed.header("set-cookie").split(['=', ';']).nth(1).unwrap().to_owned();
    assert_eq!(cookie.len(), 43, "{}", claimed.header("set-cookie"));
    let upstream = json!({
        "grant_type": "client_credential", "appid": crate::support::APPID, "secret": SECRET,
    });
    let upstream =
        client.post(format!("{}/cgi-bin/stable_token", saoma.wechat.url)).json(&upstream);
    let upstream = Reply::of(upstream).await.unwrap().json();

    // A site's own words, which are kept with its request, and no more than that.
    let asked_for = [
        "a state that only the shop and its browser know",
        "a nonce of the shop and of nobody else",
    ];
    let mut more = everything_else(&saoma, &browser, &phone, asked_for).await;
    session_keys.push(session_key());
    assert!(session_keys.iter().all(|key| key.len() == 24), "{session_keys:?}");
    more.append(&mut session_keys);

    let last = browser.opens(&asks()).await.unwrap();
    let last = reads_scene(&browser, &last).await;
    saoma.wechat.pretend.trouble(Trouble::on("/sns/jscode2session").cut());
    assert_eq!(phone.scans(&last, 1047).await.unwrap_err(), "502 wechat_unreachable");
    saoma.wechat.pretend.trouble(Trouble::on("/wxa/getwxacodeunlimit").cut().times(3));
    assert_eq!(browser.get(&asks()).await.unwrap().status, 503);
    saoma.is_asked_to_stop().await;

    let openid = saoma.wechat.pretend.openid("ann");
    let others = [
        &page.ticket,
        &scene,
        &js_code,
        token,
        &code,
        access,
        session,
        &cookie,
        &openid,
        "ann-everywhere",
        digits["digits"].as_str().unwrap(),
        tokens["id_token"].as_str().unwrap(),
        fresh["js_code"].as_str().unwrap(),
        upstream["access_token"].as_str().unwrap(),
        "a wrong secret of the shop",
        "key+of+the+rainbow",
        "key of the rainbow",
        "made-up secret of a link",
        "a secret of the shop",
        &at_home.token,
        &home.ticket,
    ];
    secrets.extend(others.map(ToOwned::to_owned));
    secrets.extend(more.iter().cloned().chain(asked_for.map(ToOwned::to_owned)));
    let log = saoma.log();
    assert!(log.contains(" TRACE ") || log.contains(" DEBUG "), "it was to be talkative: {log}");
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "a secret stands in the log");
    }
    let database = std::fs::read(saoma.database()).unwrap();
    let kept = [token, &code, access, session, &cookie, &page.ticket];
    for secret in kept.into_iter().chain(more.iter().map(String::as_str)) {
        let found = database.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "a secret stands in the database, not its hash: {secret}");
    }
}

/// The ways that a first sign-in does not take: a pushed and a posted request, an embedded page, refresh tokens, looking
/// into tokens and revoking them, signing out by a hint, the phone's own pages, and what is refused on the way. Returns
/// every secret that was made or sent, but for what the site asked with.
async fn everything_else(
    saoma: &Process,
    browser: &Browser,
    phone: &Phone,
    [state, nonce]: [&str; 2],
) -> Vec<String> {
    const SHOP: &str = "a secret of the shop: with = and &";
    let mut secrets = Vec::new();
    let mut secret = |text: &str| {
        assert!(text.len() >= 20, "{text:?} is too short to be looked for");
        secrets.push(text.to_owned());
        text.to_owned()
    };
    let http =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let form = async |path: &str, form: &[(&str, &str)]| {
        let request = http.post(format!("{}{path}", saoma.url)).form(form);
        Reply::of(request).await.unwrap()
    };
    let challenge = challenge(VERIFIER);
    let request = [
        ("client_id", "shop"),
        ("redirect_uri", "https://shop.example.com/callback"),
        ("response_type", "code"),
        ("scope", "openid offline_access profile"),
        ("state", state),
        ("nonce", nonce),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    // Posted, to begin with: where it leads stands in a URL, what was posted does not.
    let posted = browser.submits("/oauth2/authorize", &request).await.unwrap();
    secret(&param(&format!("{}{}", saoma.url, posted.header("location")), "request_uri"));
    let own = [&request[..], &[("client_secret", SHOP)]].concat();
    let pushed = form("/oauth2/par", &own).await.good().unwrap();
    let uri = secret(pushed["request_uri"].as_str().unwrap());
    let page = browser
        .opens(&format!("/oauth2/authorize?client_id=shop&request_uri={uri}"))
        .await
        .unwrap();
    secret(&page.ticket);
    let asked = phone.scans(&reads_scene(browser, &page).await, 1047).await.unwrap();
    secret(&asked.token);
    let ticked = json!({ "scopes": ["offline_access", "profile"] });
    phone.approves_with(&asked, &ticked).await.unwrap();
    let code = secret(&claims(browser, &page).await);
    let redeem = [
        ("grant_type", "authorization_code"),
        ("client_id", "shop"),
        ("client_secret", SHOP),
        ("code", &code),
        ("redirect_uri", "https://shop.example.com/callback"),
        ("code_verifier", VERIFIER),
    ];
    let tokens = form("/oauth2/token", &redeem).await.good().unwrap();
    let refresh = secret(tokens["refresh_token"].as_str().unwrap());
    secret(tokens["access_token"].as_str().unwrap());
    let again = [
        ("grant_type", "refresh_token"),
        ("client_id", "shop"),
        ("client_secret", SHOP),
        ("refresh_token", &refresh),
    ];
    let next = form("/oauth2/token", &again).await.good().unwrap();
    let refresh = secret(next["refresh_token"].as_str().unwrap());
    let access = secret(next["access_token"].as_str().unwrap());
    let id_token = secret(next["id_token"].as_str().unwrap());
    for path in ["/oauth2/introspect", "/oauth2/revoke"] {
        for token in [&access, &refresh, &secret("a token that somebody made up")] {
            let fields = [("client_id", "shop"), ("client_secret", SHOP), ("token", token)];
            assert!(form(path, &fields).await.status.is_success(), "{path}");
        }
    }
    let made_up = secret("a code that somebody made up and sent");
    let refused = [("grant_type", "authorization_code"), ("client_id", "blog"), ("code", &made_up)];
    assert_eq!(form("/oauth2/token", &refused).await.status, 400);
    let hint = [("id_token_hint", id_token.as_str()), ("client_id", "shop")];
    assert_eq!(form("/oauth2/logout", &hint).await.status, 303);
    let out = browser.get(&format!("/oauth2/logout?id_token_hint={id_token}")).await.unwrap();
    assert!(out.status.is_success(), "{}", out.status);

    // An embedded page, whose key proves it.
    let opening = json!({
        "client_id": "blog", "redirect_uri": CALLBACK, "scope": "openid", "state": state, "nonce": nonce,
        "code_challenge": challenge, "code_challenge_method": "S256",
    });
    let origin = "https://blog.example.com";
    let opened = browser.posts("/api/tickets", &opening, origin).await.unwrap().good().unwrap();
    let (ticket, key) =
        (secret(opened["ticket"].as_str().unwrap()), secret(opened["key"].as_str().unwrap()));
    for (verb, key) in
        [("digits", &key), ("renew", &secret("a key that somebody made up")), ("cancel", &key)]
    {
        let path = format!("/api/tickets/{ticket}/{verb}");
        browser.posts(&path, &json!({ "key": key }), origin).await.unwrap();
    }

    // The phone's own pages, with what is refused.
    let fresh = async || json!({ "js_code": phone.logs_in().await.unwrap() });
    let opened = phone.calls(Method::POST, "session", None, &fresh().await).await.unwrap().json();
    let session = secret(opened["token"].as_str().unwrap());
    for path in ["logins", "attempts", "consents", "me"] {
        let told = phone.calls(Method::GET, path, Some(&session), &json!({})).await.unwrap();
        assert_eq!(told.status, 200, "{path}");
    }
    let wrong = secret("a phone token that somebody made up");
    let refused = phone.calls(Method::GET, "me", Some(&wrong), &json!({})).await.unwrap();
    assert_eq!(refused.status, 401);
    let odd = secret("a js_code of no shape that WeChat would give");
    let refused =
        phone.calls(Method::POST, "session", None, &json!({ "js_code": odd })).await.unwrap();
    assert!(refused.status.is_client_error());
    let ended =
        phone.calls(Method::DELETE, "logins", Some(&session), &fresh().await).await.unwrap();
    assert_eq!(ended.status, 204);
    secrets
}
