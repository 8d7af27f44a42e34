//! Floods: each is held to its share, says when to come back, and leaves everybody else theirs.

use std::time::Duration;

use reqwest::Method;
use saoma::try_it::actors::{Browser, Phone, Reply};
use serde_json::json;

use crate::stage::{Play, is_held_back, origin, seen};

#[tokio::test]
async fn who_opens_one_ticket_after_the_other_is_held_and_others_go_on() {
    let play = Play::with(&[("SAOMA_LIMITS__TICKETS_PER_ADDRESS", "3")]).await;
    let (attacker, neighbour) = (play.browser("192.0.2.1"), play.browser("192.0.2.2"));
    for _ in 0..3 {
        play.ticket(&attacker, "blog").await;
    }
    let held = play.opens(&attacker, "blog").await;
    is_held_back(&held);
    assert_eq!(held.header("retry-after"), "20");
    assert_eq!(held.header("access-control-expose-headers"), "Retry-After");
    play.ticket(&neighbour, "blog").await;

    play.app.world.advance(Duration::from_secs(20));
    play.ticket(&attacker, "blog").await;
    is_held_back(&play.opens(&attacker, "blog").await);
}

#[tokio::test]
async fn the_hosted_page_and_a_renewal_count_as_tickets_too() {
    let play = Play::with(&[("SAOMA_LIMITS__TICKETS_PER_ADDRESS", "2")]).await;
    let browser = play.browser("192.0.2.1");
    let (page, _) = play.page(&browser).await;
    assert_eq!(browser.calls(&page, "renew").await.unwrap().status, 201);
    let page = browser.goes_to(&format!("{}/sign-in", play.at.demo)).await.unwrap();
    assert_eq!(page.status, 429);
    assert!(page.text().contains("too_many_requests") && !page.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_whole_64_of_ipv6_is_one_address() {
    let play = Play::with(&[("SAOMA_LIMITS__TICKETS_PER_ADDRESS", "2")]).await;
    let mut browser = play.browser("2001:db8::1");
    for (address, opens) in [
        ("2001:db8::1", true),
        ("2001:db8::2", true),
        ("2001:db8::3", false),
        ("2001:db8:0:1::1", true),
    ] {
        browser.moves_to(address);
        let reply = play.opens(&browser, "blog").await;
        assert_eq!(reply.status.is_success(), opens, "{address}");
    }
}

#[tokio::test]
async fn who_has_a_whole_56_of_ipv6_leaves_the_site_to_others() {
    let play = Play::with(&[("SAOMA_LIMITS__TICKETS_PER_ADDRESS", "2")]).await;
    let mut browser = play.browser("2001:db8::1");
    let mut opened = 0;
    for network in 0..20 {
        browser.moves_to(&format!("2001:db8:0:1{network:02x}::1"));
        let reply = play.opens(&browser, "blog").await;
        if reply.status.is_success() { opened += 1 } else { is_held_back(&reply) }
    }
    assert_eq!(opened, 8, "four times what an address may");
    browser.moves_to("2001:db8:0:200::1");
    play.ticket(&browser, "blog").await;
}

#[tokio::test]
async fn a_whole_56_of_ipv6_guesses_and_fills_no_more_than_four_addresses_may() {
    let digits = [("code", "made-up")];
    let secret = [("client_id", "bank"), ("client_secret", "guess"), ("code", "x")];
    let grant = [&secret[..], &[("grant_type", "authorization_code")]].concat();
    let mut wrong = Vec::new();
    for (limit, path, form) in [
        ("TICKETS", "/oauth2/logout", &[][..]),
        ("DIGITS", "/link", &digits[..]),
        ("WRONG_SECRETS", "/oauth2/token", &grant[..]),
    ] {
        let play = Play::with(&[(&format!("SAOMA_LIMITS__{limit}_PER_ADDRESS"), "2")]).await;
        let mut browser = play.browser("2001:db8::1");
        let mut let_through = 0;
        for network in 0..20 {
            browser.moves_to(&format!("2001:db8:0:1{network:02x}::1"));
            let status = browser.submits(path, form).await.unwrap().status;
            let_through += usize::from(status != 429);
        }
        if let_through != 8 {
            wrong.push(format!("{limit}: {let_through}"));
        }
        browser.moves_to("2001:db8:0:200::1");
        assert_ne!(browser.submits(path, form).await.unwrap().status, 429, "{limit}");
    }
    assert_eq!(wrong, [""; 0]);
}

/// Every route that one limit of an address holds, each by itself.
#[tokio::test]
async fn each_route_that_costs_is_counted_and_each_address_has_its_own_count() {
    const SCANS: [(Method, &str); 6] = [
        (Method::POST, "/api/phone/tickets/0123456789abcdefghijkl/scan"),
        (Method::POST, "/api/phone/codes/00000000/scan"),
        (Method::POST, "/api/phone/session"),
        (Method::DELETE, "/api/phone/logins"),
        (Method::POST, "/api/phone/asks/somebody/blog"),
        (Method::DELETE, "/api/phone/me"),
    ];
    const DIGITS: [(Method, &str); 3] = [
        (Method::POST, "/api/tickets/any/digits"),
        (Method::POST, "/api/phone/codes/00000000/scan"),
        (Method::POST, "/link"),
    ];
    const WATCHES: [(Method, &str); 3] = [
        (Method::GET, "/api/tickets/any"),
        (Method::GET, "/api/tickets/any/ws"),
        (Method::GET, "/api/tickets/any/events"),
    ];
    const TOKENS: [(Method, &str); 8] = [
        (Method::POST, "/oauth2/par"),
        (Method::POST, "/oauth2/device_authorization"),
        (Method::POST, "/oauth2/token"),
        (Method::POST, "/oauth2/revoke"),
        (Method::POST, "/oauth2/introspect"),
        (Method::GET, "/oauth2/userinfo"),
        (Method::POST, "/oauth2/userinfo"),
        (Method::GET, "/connect.php"),
    ];
    let http = reqwest::Client::new();
    let mut wrong = Vec::new();
    for (limit, routes) in
        [("SCANS", &SCANS[..]), ("DIGITS", &DIGITS), ("WATCHES", &WATCHES), ("TOKENS", &TOKENS)]
    {
        let play = Play::with(&[(&format!("SAOMA_LIMITS__{limit}_PER_ADDRESS"), "2")]).await;
        for (n, (method, path)) in (1..).zip(routes) {
            let asks = async |address: String| {
                let request = http.request(method.clone(), format!("{}{path}", play.at.saoma));
                let reply = Reply::of(request.header("x-forwarded-for", address)).await.unwrap();
                reply.status.as_u16()
            };
            let mut said = Vec::new();
            for host in [n, n, n, 100 + n] {
                said.push(asks(format!("192.0.2.{host}")).await == 429);
            }
            if said != [false, false, true, false] {
                wrong.push(format!("{limit}: {method} {path}: {said:?}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[tokio::test]
async fn who_takes_along_what_is_kept_again_and_again_is_held_as_a_person() {
    let play = Play::with(&[("SAOMA_LIMITS__SCANS_PER_PERSON", "2")]).await;
    let mut browser = play.browser("192.0.2.1");
    let phone = play.phone("ann", "198.51.100.1");
    let page = browser.opens("/login").await.unwrap();
    let scene = play.scene(&browser, &page.ticket).await;
    phone.approves(&phone.scans(&scene, 1047).await.unwrap()).await.unwrap();
    assert_eq!(browser.calls(&page, "claim").await.unwrap().status, 200);
    for host in 1..=2 {
        // From as many addresses as they like.
        browser.moves_to(&format!("192.0.2.{host}"));
        assert_eq!(browser.get("/me.json").await.unwrap().status, 200);
    }
    browser.moves_to("192.0.2.3");
    is_held_back(&browser.get("/me.json").await.unwrap());
    play.app.world.advance(Duration::from_secs(30));
    assert_eq!(browser.get("/me.json").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_flood_at_one_site_leaves_the_others_theirs() {
    let play = Play::with(&[("SAOMA_LIMITS__TICKETS_PER_SITE", "3")]).await;
    let mut elsewhere = play.browser("192.0.2.9");
    for host in 1..=3 {
        elsewhere.moves_to(&format!("192.0.2.{host}"));
        play.ticket(&elsewhere, "blog").await;
    }
    elsewhere.moves_to("192.0.2.9");
    is_held_back(&play.opens(&elsewhere, "blog").await);
    play.ticket(&elsewhere, "shop").await;
}

#[tokio::test]
async fn a_flood_of_tickets_from_everywhere_fills_no_more_than_its_room() {
    let play =
        Play::with(&[("SAOMA_LIMITS__TICKETS_HELD", "5"), ("SAOMA_LIMITS__OFF", "true")]).await;
    let mut browser = play.browser("192.0.2.1");
    for host in 1..=5 {
        browser.moves_to(&format!("192.0.2.{host}"));
        play.ticket(&browser, "blog").await;
    }
    is_held_back(&play.opens(&browser, "shop").await);
    assert_eq!(play.app.tickets.how_many().await.unwrap(), 5);
    // Two minutes to live, and two in which their pages hear "expired".
    play.app.world.advance(Duration::from_secs(241));
    play.app.tickets.purge(play.app.world.now()).await.unwrap();
    play.ticket(&browser, "shop").await;
}

#[tokio::test]
async fn a_flood_cannot_spend_the_minute_of_codes_that_wechat_gives() {
    let play = Play::with(&[("SAOMA_LIMITS__CODES", "12"), ("SAOMA_WECHAT__POOL", "4")]).await;
    let mut refused = 0;
    let mut botnet = play.browser("192.0.2.1");
    for host in 1..=30 {
        botnet.moves_to(&format!("192.0.2.{host}"));
        let reply = play.opens(&botnet, "blog").await;
        if !reply.status.is_success() {
            assert_eq!(reply.problem(), "503 no_code_now");
            assert!(!reply.header("retry-after").is_empty());
            refused += 1;
        }
    }
    let asked = play.codes_asked().await;
    assert!((12..=12 + 4).contains(&asked), "{asked} codes were asked for");
    // What was fetched is shown, but for what still lies in the pool.
    let shown = 30 - refused;
    assert!(asked - 4 <= shown && shown <= asked, "{shown} of {asked} codes were shown");
}

#[tokio::test]
async fn a_flood_cannot_spend_the_codes_that_wechat_makes_once_for_ever() {
    for kind in ["a", "c"] {
        let more = [("SAOMA_LIMITS__CODES", "12"), ("SAOMA_WECHAT__CODE", kind)];
        let play = Play::with(&more).await;
        let mut botnet = play.browser("192.0.2.1");
        for host in 1..=30 {
            botnet.moves_to(&format!("192.0.2.{host}"));
            let reply = play.opens(&botnet, "blog").await;
            if host > 12 {
                assert_eq!(reply.problem(), "503 no_code_now");
            } else {
                assert!(reply.status.is_success(), "{}", reply.text());
            }
        }
        assert_eq!(play.codes_asked().await, 12, "{kind}");
    }
}

#[tokio::test]
async fn who_begins_to_watch_again_and_again_is_held() {
    let play = Play::with(&[("SAOMA_LIMITS__WATCHES_PER_ADDRESS", "3")]).await;
    let browser = play.browser("192.0.2.1");
    let (ticket, _) = play.ticket(&browser, "blog").await;
    let poll = format!("/api/tickets/{ticket}");
    for _ in 0..3 {
        assert_eq!(browser.get(&poll).await.unwrap().status, 200);
    }
    is_held_back(&browser.get(&poll).await.unwrap());
    is_held_back(&browser.get(&format!("{poll}/events")).await.unwrap());
    assert_eq!(play.browser("192.0.2.2").get(&poll).await.unwrap().status, 200);
}

#[tokio::test]
async fn pages_that_wait_have_places_by_address_and_give_them_back() {
    let play = Play::with(&[("SAOMA_LIMITS__SOCKETS_PER_ADDRESS", "2")]).await;
    let browser = play.browser("192.0.2.1");
    let (first, _) = play.page(&browser).await;
    let (second, _) = play.page(&browser).await;
    let one = browser.watches(&first).await.unwrap();
    let two = browser.watches(&second).await.unwrap();
    let (third, _) = play.page(&browser).await;
    assert_eq!(browser.watches(&third).await.err().unwrap(), "429");
    let mut browser = browser;
    browser.moves_to("192.0.2.2");
    assert!(browser.watches(&third).await.is_ok(), "another address has its own");
    browser.moves_to("192.0.2.1");
    drop(one);
    seen(|| play.app.limits.waiting.taken_in_all() == 1).await;
    assert!(browser.watches(&third).await.is_ok());
    drop(two);
}

#[tokio::test]
async fn who_asks_wechat_about_phones_without_end_is_held_before_wechat_is_asked() {
    let play = Play::with(&[("SAOMA_LIMITS__SCANS_PER_ADDRESS", "2")]).await;
    let phone = play.phone("ann", "192.0.2.1");
    let unknown = "0123456789abcdefghijkl";
    assert_eq!(phone.scans(unknown, 1047).await.err().unwrap(), "404 no_such_ticket");
    assert_eq!(session(&phone).await.problem(), "422 js_code_refused");
    is_held_back(&session(&phone).await);
    assert_eq!(phone.scans(unknown, 1047).await.err().unwrap(), "429 too_many_requests");
    let calls = Browser::new(&play.at.wechat).unwrap().get("/pretend/calls").await.unwrap().text();
    assert_eq!(calls.matches("/sns/jscode2session").count(), 1);
}

async fn session(phone: &Phone) -> Reply {
    let made_up = json!({ "js_code": "made-up" });
    phone.calls(Method::POST, "session", None, &made_up).await.unwrap()
}

#[tokio::test]
async fn a_person_who_is_sent_code_after_code_has_time_to_think() {
    let play = Play::with(&[("SAOMA_LIMITS__SCANS_PER_PERSON", "2")]).await;
    let browser = play.browser("192.0.2.1");
    let (ann, bob) = (play.phone("ann", "198.51.100.1"), play.phone("bob", "198.51.100.1"));
    for _ in 0..2 {
        let (_, scene) = play.page(&browser).await;
        ann.scans(&scene, 1047).await.unwrap();
    }
    let (_, scene) = play.page(&browser).await;
    assert_eq!(ann.scans(&scene, 1047).await.err().unwrap(), "429 too_many_requests");
    bob.scans(&scene, 1047).await.unwrap();
}

#[tokio::test]
async fn digits_are_asked_for_and_typed_in_measure() {
    let play = Play::with(&[("SAOMA_LIMITS__DIGITS_PER_ADDRESS", "2")]).await;
    let browser = play.browser("192.0.2.1");
    let (ticket, key) = play.ticket(&browser, "blog").await;
    let path = format!("/api/tickets/{ticket}/digits");
    let ask =
        || async { browser.posts(&path, &json!({ "key": key }), &origin("blog")).await.unwrap() };
    assert_eq!(ask().await.status, 200);
    assert_eq!(ask().await.status, 200);
    is_held_back(&ask().await);
    let phone = play.phone("ann", "198.51.100.1");
    for expected in ["404 no_such_ticket", "404 no_such_ticket", "429 too_many_requests"] {
        assert_eq!(phone.types("00000000").await.err().unwrap(), expected);
    }
}

#[tokio::test]
async fn five_wrong_digits_are_the_end_even_where_rates_are_off() {
    let play = Play::with(&[("SAOMA_LIMITS__OFF", "true")]).await;
    let browser = play.browser("192.0.2.1");
    let (ticket, key) = play.ticket(&browser, "blog").await;
    let path = format!("/api/tickets/{ticket}/digits");
    let made = browser.posts(&path, &json!({ "key": key }), &origin("blog")).await.unwrap();
    let digits = made.json()["digits"].as_str().unwrap().to_owned();
    let wrong = if digits == "00000000" { "00000001" } else { "00000000" };
    // From as many addresses as they like: the guard is of the person.
    let mut ann = play.phone("ann", "198.51.100.1");
    for host in 1..=5 {
        ann.moves_to(&format!("198.51.100.{host}"));
        assert_eq!(ann.types(wrong).await.err().unwrap(), "404 no_such_ticket");
    }
    assert_eq!(ann.types(&digits).await.err().unwrap(), "429 too_many_requests");
    play.phone("bob", "198.51.100.6").types(&digits).await.unwrap();
    play.app.world.advance(Duration::from_secs(600));
    let late = ann.types(&digits).await.err().unwrap();
    assert_eq!(late, "404 no_such_ticket", "ann may try again, ten minutes later");
}

#[tokio::test]
async fn the_token_endpoint_holds_back_in_oauths_words() {
    let play = Play::with(&[("SAOMA_LIMITS__TOKENS_PER_ADDRESS", "2")]).await;
    let backend = play.browser("192.0.2.1");
    let form = [("grant_type", "authorization_code"), ("client_id", "blog"), ("code", "made-up")];
    for _ in 0..2 {
        assert_eq!(
            backend.submits("/oauth2/token", &form).await.unwrap().problem(),
            "400 invalid_grant"
        );
    }
    let held = backend.submits("/oauth2/token", &form).await.unwrap();
    assert_eq!(held.problem(), "429 too_many_requests");
    assert!(held.json()["error_description"].is_string() && !held.header("retry-after").is_empty());
    assert_eq!(backend.get("/oauth2/userinfo").await.unwrap().status, 429);
    assert_eq!(backend.get("/oauth2/jwks").await.unwrap().status, 200, "keys are for everybody");
}

#[tokio::test]
async fn a_site_that_proved_its_secret_has_its_share_of_tokens() {
    let play = Play::with(&[("SAOMA_LIMITS__TOKENS_PER_SITE", "2")]).await;
    let secret = "a secret that only the bank's server knows";
    let form = |site, secret| {
        [
            ("grant_type", "authorization_code"),
            ("client_id", site),
            ("client_secret", secret),
            ("code", "made-up"),
        ]
    };
    let mut backend = play.browser("192.0.2.1");
    for host in 1..=2 {
        backend.moves_to(&format!("192.0.2.{host}"));
        let reply = backend.submits("/oauth2/token", &form("bank", secret)).await.unwrap();
        assert_eq!(reply.problem(), "400 invalid_grant");
    }
    backend.moves_to("192.0.2.3");
    let held = backend.submits("/oauth2/token", &form("bank", secret)).await.unwrap();
    assert_eq!(held.problem(), "429 too_many_requests");
    // Nobody else can use up a site's share: a wrong secret counts against its address alone.
    let wrong = backend.submits("/oauth2/token", &form("bank", "guess")).await.unwrap();
    assert_eq!(wrong.problem(), "401 invalid_client");
}

#[tokio::test]
async fn guessing_a_sites_secret_ends_soon_and_locks_nobody_else_out() {
    let play = Play::with(&[("SAOMA_LIMITS__WRONG_SECRETS_PER_ADDRESS", "3")]).await;
    let (guesser, backend) = (play.browser("192.0.2.1"), play.browser("192.0.2.2"));
    let form = |secret| {
        [
            ("grant_type", "authorization_code"),
            ("client_id", "bank"),
            ("client_secret", secret),
            ("code", "made-up"),
        ]
    };
    for _ in 0..3 {
        assert_eq!(guesser.submits("/oauth2/token", &form("guess")).await.unwrap().status, 401);
    }
    let right = "a secret that only the bank's server knows";
    let held = guesser.submits("/oauth2/token", &form(right)).await.unwrap();
    assert_eq!(held.problem(), "429 too_many_requests", "not even a right one is looked at");
    let reply = backend.submits("/oauth2/token", &form(right)).await.unwrap();
    assert_eq!(reply.problem(), "400 invalid_grant");
}

#[tokio::test]
async fn nobody_can_say_they_come_from_elsewhere_unless_their_proxy_is_trusted() {
    let limit = ("SAOMA_LIMITS__TICKETS_PER_ADDRESS", "10");
    let play = Play::exactly(&[limit]).await;
    let mut opened = 0;
    let mut browser = play.browser("192.0.2.1");
    for host in 1..=100 {
        browser.moves_to(&format!("192.0.2.{host}"));
        let reply = play.opens(&browser, "blog").await;
        opened += usize::from(reply.status.is_success());
    }
    assert_eq!(opened, 10);
    // Through a trusted proxy the right-most hop counts that is none: the caller wrote the others.
    let play = Play::with(&[limit]).await;
    let (mut opened, mut browser) = (0, play.browser("203.0.113.9"));
    for host in 1..=20 {
        browser.moves_to(&format!("192.0.2.{host}, 203.0.113.9"));
        let reply = play.opens(&browser, "blog").await;
        opened += usize::from(reply.status.is_success());
    }
    assert_eq!(opened, 10);
}

#[tokio::test]
async fn anything_at_all_has_its_measure() {
    let play = Play::with(&[("SAOMA_LIMITS__REQUESTS_PER_ADDRESS", "5")]).await;
    let browser = play.browser("192.0.2.1");
    for _ in 0..5 {
        assert_eq!(browser.get("/no-such-page").await.unwrap().status, 404);
    }
    is_held_back(&browser.get("/no-such-page").await.unwrap());
    assert_eq!(play.browser("192.0.2.2").get("/oauth2/jwks").await.unwrap().status, 200);
}

#[tokio::test]
async fn whichever_limit_is_reached_everybody_is_told_in_their_own_words() {
    let play = Play::with(&[("SAOMA_LIMITS__REQUESTS_PER_ADDRESS", "1")]).await;
    let browser = play.browser("192.0.2.1");
    assert_eq!(browser.get("/no-such-page").await.unwrap().status, 404);
    let form = [("grant_type", "authorization_code"), ("client_id", "blog"), ("code", "x")];
    for held in [
        browser.submits("/oauth2/token", &form).await.unwrap(),
        browser.get("/oauth2/userinfo").await.unwrap(),
        browser.get("/oauth2/jwks").await.unwrap(),
    ] {
        assert_eq!(held.problem(), "429 too_many_requests");
        assert_eq!(held.json()["error"], "too_many_requests", "{}", held.text());
        assert!(held.json()["error_description"].is_string());
        assert_eq!(held.header("content-type"), "application/json");
        assert_eq!(held.header("cache-control"), "no-store");
        assert!(!held.header("retry-after").is_empty());
    }
    let (authorize, scan) = ("/oauth2/authorize?client_id=blog", "/forget/scan");
    for path in ["/", "/login", "/link/scan", authorize, "/oauth2/logout", "/forget", scan] {
        let page = browser.get(path).await.unwrap();
        assert_eq!(page.status, 429, "{path}");
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        assert!(page.text().contains("too_many_requests"), "{path}");
        assert!(page.header("content-security-policy").contains("style-src 'self'"), "{path}");
        assert!(!page.header("retry-after").is_empty(), "{path}");
    }
    is_held_back(&browser.get("/api/tickets/any").await.unwrap());
}

#[tokio::test]
async fn an_office_behind_one_address_signs_in_without_noticing() {
    let play = Play::new().await;
    let office = play.browser("192.0.2.1");
    for person in 0..12 {
        let (page, scene) = play.page(&office).await;
        let phone = play.phone(&format!("person{person}"), "192.0.2.1");
        let asked = phone.scans(&scene, 1047).await.unwrap();
        phone.approves(&asked).await.unwrap();
        assert_eq!(office.calls(&page, "claim").await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn who_asks_whether_the_server_is_alive_is_not_turned_away_with_the_crowd() {
    let play = Play::with(&[("SAOMA_LIMITS__REQUESTS_PER_ADDRESS", "2")]).await;
    let crowd = play.browser("192.0.2.1");
    for _ in 0..2 {
        crowd.get("/api/tickets/any").await.unwrap();
    }
    is_held_back(&crowd.get("/api/tickets/any").await.unwrap());
    for _ in 0..3 {
        assert_eq!(crowd.get("/healthz").await.unwrap().status, 200);
        assert_ne!(crowd.get("/readyz").await.unwrap().status, 429);
    }
}
