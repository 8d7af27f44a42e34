//! The operators' console: who comes in, and who does not.

use reqwest::{Method, header};
use saoma::{
    console::access,
    http,
    person::OWNER,
    secret::Hashed,
    site,
    store::{Change, Lines, Opens, Search},
    try_it::actors::{Browser, Page, Phone, Reply},
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::Saoma;

/// The operators' listener of a saoma.
pub(crate) struct Console<'a> {
    saoma: &'a Saoma,
    pub(crate) url: String,
}

impl<'a> Console<'a> {
    pub(crate) async fn of(saoma: &'a Saoma) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = http::operators(saoma.app.clone());
        tokio::spawn(http::serve(listener, router, std::future::pending()));
        Self { saoma, url }
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(&self.url).unwrap()
    }

    /// The link that a start without an owner prints, without the address.
    async fn ownership(&self) -> String {
        secret_of(&access::offer_ownership(&self.saoma.app).await.unwrap().unwrap())
    }

    /// What `saoma console link` prints.
    async fn link(&self) -> String {
        let app = &self.saoma.app;
        let link = access::make_link(&app.settings, &app.store, &app.world, Opens::Console);
        secret_of(&link.await.unwrap())
    }

    /// A phone scans the code of a page and types the number that the page shows.
    async fn approves(&self, browser: &Browser, page: &Page, phone: &Phone) {
        let asked = phone.scans(&self.saoma.scene(&page.ticket).await, 1047).await.unwrap();
        assert_eq!(asked.shown["ask"], "match", "the console always asks for the number");
        let shown = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
        phone.approves_with(&asked, &json!({ "match": shown["match"] })).await.unwrap();
    }

    /// Where a page goes once its phone has decided.
    pub(crate) async fn goes_next(&self, browser: &Browser, page: &Page) -> String {
        let claimed = browser.calls(page, "claim").await.unwrap().good().unwrap();
        claimed["redirect_to"].as_str().unwrap().to_owned()
    }

    /// This person's phone opens the console in a fresh browser.
    pub(crate) async fn enters(&self, person: &str) -> Browser {
        let (browser, phone) = (self.browser(), self.saoma.phone(person));
        let page = browser.opens("/console/sign-in").await.unwrap();
        self.approves(&browser, &page, &phone).await;
        assert_eq!(self.goes_next(&browser, &page).await, "/console");
        browser
    }

    /// The first owner, just come in.
    pub(crate) async fn claims(&self, person: &str) -> Browser {
        let browser = self.browser();
        let link = self.ownership().await;
        let shown = browser.submits("/console/link", &[("link", &link)]).await.unwrap();
        assert_eq!(shown.header("location"), "/console/sign-in");
        let page = browser.opens("/console/sign-in").await.unwrap();
        self.approves(&browser, &page, &self.saoma.phone(person)).await;
        assert_eq!(self.goes_next(&browser, &page).await, "/console");
        browser
    }

    /// Every line of the audit log, as "what by whom".
    pub(crate) async fn log(&self) -> Vec<String> {
        let asked = Lines { most: 1000, ..Lines::default() };
        let lines = self.saoma.app.store.audit_lines(&asked).await.unwrap();
        let told = |line: &saoma::audit::Entry| {
            format!("{} {}", line.what, line.detail["by"].as_str().unwrap_or("-"))
        };
        lines.iter().map(|(_, line)| told(line)).collect()
    }

    pub(crate) async fn person(&self, name: &str) -> saoma::person::Person {
        let openid = self.saoma.wechat.pretend.openid(name);
        let appid = crate::support::APPID.to_owned();
        let identity = saoma::person::Identity { appid, openid, unionid: None };
        self.saoma.app.store.person_of(&identity).await.unwrap().unwrap()
    }
}

fn secret_of(link: &str) -> String {
    link.split_once("/console/link#").unwrap().1.to_owned()
}

/// What the form on a page carries.
async fn token(browser: &Browser) -> String {
    let text = browser.get("/console/keys").await.unwrap().text();
    let (_, rest) = text.split_once("name=\"form\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// Sends a form of the console, with what its page gave.
pub(crate) async fn sends(browser: &Browser, path: &str, form: &[(&str, &str)]) -> Reply {
    let token = token(browser).await;
    let with: Vec<_> = form.iter().copied().chain([("form", token.as_str())]).collect();
    browser.submits(path, &with).await.unwrap()
}

const PAGES: [&str; 11] = [
    "/console",
    "/console?range=24h",
    "/console/sites",
    "/console/sites/new",
    "/console/sites/new/gitea",
    "/console/sites/blog",
    "/console/sites/blog/try",
    "/console/people",
    "/console/audit",
    "/console/keys",
    "/console/settings",
];

const ACTS: [&str; 10] = [
    "/console/quota",
    "/console/sign-out",
    "/console/sites/new",
    "/console/sites/new/gitea",
    "/console/sites/blog",
    "/console/sites/blog/secret",
    "/console/sites/blog/remove",
    "/console/people/ann/block",
    "/console/people/ann/forget",
    "/console/keys/rotate",
];

#[tokio::test]
async fn the_first_owner_comes_with_the_printed_link_and_a_scan() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    let stranger = console.browser();
    let page = stranger.get("/console/sign-in").await.unwrap().text();
    assert!(page.contains("has no owner yet") && !page.contains("<wechat-login"), "{page}");

    let late = console.ownership().await;
    let browser = console.claims("ann").await;
    let overview = browser.get("/console").await.unwrap();
    assert_eq!(overview.status, 200);
    let ann = console.person("ann").await;
    assert!(ann.is_owner());
    let log = console.log().await;
    assert!(log.contains(&format!("owner.claimed {}", ann.id)), "{log:?}");
    assert!(log.contains(&format!("console.opened {}", ann.id)), "{log:?}");

    let refused = stranger.submits("/console/link", &[("link", &late)]).await.unwrap();
    assert_eq!(refused.status, 410, "whoever was quicker is the owner");
    assert!(
        access::offer_ownership(&saoma.app).await.unwrap().is_none(),
        "none is printed any more"
    );
    assert!(stranger.opens("/console/sign-in").await.is_ok(), "now everybody is shown a code");
}

#[tokio::test]
async fn of_two_who_hold_the_link_the_first_to_approve_owns() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    let (one, two) = (console.browser(), console.browser());
    let link = console.ownership().await;
    for browser in [&one, &two] {
        assert_eq!(browser.submits("/console/link", &[("link", &link)]).await.unwrap().status, 303);
    }
    let (ones, twos) = (
        one.opens("/console/sign-in").await.unwrap(),
        two.opens("/console/sign-in").await.unwrap(),
    );
    console.approves(&one, &ones, &saoma.phone("ann")).await;
    console.approves(&two, &twos, &saoma.phone("bob")).await;
    assert_eq!(console.goes_next(&two, &twos).await, "/console");
    assert_eq!(console.goes_next(&one, &ones).await, "/console/sign-in?why=not-owner");
    assert!(console.person("bob").await.is_owner() && !console.person("ann").await.is_owner());
}

#[tokio::test]
async fn an_owner_signs_in_by_scanning_with_the_number_whatever_the_settings_say() {
    let saoma = Saoma::starts_with(&[("SAOMA_TICKET__MATCH", "never")]).await;
    let console = Console::of(&saoma).await;
    console.claims("ann").await;
    let (browser, phone) = (console.browser(), saoma.phone("ann"));
    let page = browser.opens("/console/sign-in").await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    assert_eq!(
        (&asked.shown["ask"], &asked.shown["page"]["host"]),
        (&json!("match"), &json!("127.0.0.1"))
    );
    assert_eq!(phone.approves(&asked).await.unwrap_err(), "400 match_required");
    let shown = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
    let approval = json!({ "match": shown["match"], "remember": true });
    phone.approves_with(&asked, &approval).await.unwrap();
    assert_eq!(console.goes_next(&browser, &page).await, "/console");
    assert_eq!(
        console.goes_next(&browser, &page).await,
        "/console",
        "a lost answer is given again"
    );
    assert!(browser.get("/console").await.unwrap().text().contains("guest u"));

    // What was approved here opens nothing without a scan, and the console is no site that could be asked for.
    let again = console.browser();
    assert_eq!(again.get("/console").await.unwrap().header("location"), "/console/sign-in");
    let ask = format!(
        "/oauth2/authorize?client_id={}&response_type=code&redirect_uri={}/console&scope=openid&prompt=none",
        site::CONSOLE,
        console.url
    );
    assert_eq!(saoma.browser().get(&ask).await.unwrap().status, 400);
    let embedded = json!({ "client_id": site::CONSOLE, "redirect_uri": "x" });
    let opened = saoma.browser().posts("/api/tickets", &embedded, &saoma.url).await.unwrap();
    assert_eq!(opened.problem(), "403 origin_not_allowed");
}

#[tokio::test]
async fn who_sent_the_code_on_cannot_be_approved_by_a_picture() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    console.claims("ann").await;
    let (browser, phone) = (console.browser(), saoma.phone("ann"));
    for entry in [1048, 1049, 1007] {
        let page = browser.opens("/console/sign-in").await.unwrap();
        let asked = phone.scans(&saoma.scene(&page.ticket).await, entry).await.unwrap();
        assert_eq!(asked.shown["ask"], "refuse", "{entry}");
    }
}

#[tokio::test]
async fn who_is_no_owner_is_not_let_in_and_leaves_nothing_but_a_line() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    console.claims("ann").await;
    let (browser, phone) = (console.browser(), saoma.phone("bob"));
    let page = browser.opens("/console/sign-in").await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    let state =
        async || browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
    let number = state().await["match"].clone();
    let told = phone.approves_with(&asked, &json!({ "match": number })).await;
    assert_eq!(told.unwrap_err(), "403 not_admitted");
    assert_eq!(state().await["state"], "denied");
    let next = console.goes_next(&browser, &page).await;
    assert_eq!(next, "/console/sign-in?why=not-owner");
    assert!(browser.get(&next).await.unwrap().text().contains("not an owner"));
    assert_eq!(browser.get("/console").await.unwrap().status, 303);
    let everybody = Search { most: 10, ..Search::default() };
    assert_eq!(saoma.app.store.people(&everybody).await.unwrap().len(), 1, "ann alone");
    assert!(console.log().await.contains(&"ticket.not_admitted -".to_owned()));
}

#[tokio::test]
async fn a_link_from_the_command_line_opens_once_for_an_hour_and_names_nobody() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    console.claims("ann").await;
    let link = console.link().await;
    let browser = console.browser();
    let pasted = format!("{}/console/link#{link}", console.url);
    let opened = browser.submits("/console/link", &[("link", &pasted)]).await.unwrap();
    assert_eq!((opened.status.as_u16(), opened.header("location")), (303, "/console"));
    assert!(!opened.header("location").contains(&link));
    assert!(browser.get("/console").await.unwrap().text().contains("One-time link"));
    let second = console.browser().submits("/console/link", &[("link", &link)]).await.unwrap();
    assert_eq!(second.status, 410, "it is good once");
    assert!(second.text().contains("link_over"));
    let log = console.log().await;
    for line in ["console.link_made command", "console.opened console", "console.link_refused -"] {
        assert!(log.contains(&line.to_owned()), "{line}: {log:?}");
    }
    // However busy: it names nobody, and is for repairs alone.
    for (seconds, status) in [(1800, 200), (1799, 200), (1, 303)] {
        saoma.passes(seconds);
        assert_eq!(browser.get("/console/keys").await.unwrap().status, status);
    }

    let (late, later) = (console.link().await, console.link().await);
    for (seconds, link, status) in [(599, late, 303), (1, later, 410)] {
        saoma.passes(seconds);
        let shown = console.browser().submits("/console/link", &[("link", &link)]).await.unwrap();
        assert_eq!(shown.status, status, "it waits for ten minutes");
    }
}

#[tokio::test]
async fn the_printed_link_waits_a_day_and_who_showed_it_has_a_quarter_of_an_hour_to_scan() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    let link = console.ownership().await;
    let (one, two) = (console.browser(), console.browser());
    let day = 24 * 3600;
    for (seconds, browser, status) in [(day - 1, &one, 303), (1, &two, 410)] {
        saoma.passes(seconds);
        let shown = browser.submits("/console/link", &[("link", &link)]).await.unwrap();
        assert_eq!(shown.status, status);
    }
    // One showed it a second ago.
    for (seconds, may_claim) in [(15 * 60 - 2, true), (1, false)] {
        saoma.passes(seconds);
        let page = one.get("/console/sign-in").await.unwrap().text();
        assert_eq!(page.contains("<wechat-login"), may_claim, "{page}");
        assert_eq!(page.contains("has no owner yet"), !may_claim, "{page}");
    }
}

#[tokio::test]
async fn the_use_of_a_session_counts_once_a_minute() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    console.claims("ann").await;
    for (used_after, stays) in [(59, false), (60, true)] {
        let browser = console.enters("ann").await;
        saoma.passes(used_after);
        assert_eq!(browser.get("/console/keys").await.unwrap().status, 200);
        // An hour after it came in, and less than that after its use.
        saoma.passes(3600 - used_after + 1);
        let status = browser.get("/console/keys").await.unwrap().status;
        assert_eq!(status == 200, stays, "{used_after}: {status}");
    }
}

#[tokio::test]
async fn who_guesses_links_is_held_back() {
    let saoma = Saoma::starts_with(&[("SAOMA_LIMITS__WRONG_SECRETS_PER_ADDRESS", "3")]).await;
    let console = Console::of(&saoma).await;
    let browser = console.browser();
    for _ in 0..3 {
        assert_eq!(
            browser.submits("/console/link", &[("link", "guess")]).await.unwrap().status,
            410
        );
    }
    let held = browser.submits("/console/link", &[("link", "guess")]).await.unwrap();
    assert_eq!(held.status, 429);
    assert_ne!(held.header("retry-after"), "");
}

#[tokio::test]
async fn without_a_session_there_is_nothing_to_see_and_nothing_to_do() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    console.claims("ann").await;
    let stranger = console.browser();
    for page in PAGES.into_iter().chain(["/console/people/ann"]) {
        let reply = stranger.get(page).await.unwrap();
        assert_eq!(
            (reply.status.as_u16(), reply.header("location")),
            (303, "/console/sign-in"),
            "{page}"
        );
    }
    for act in ACTS {
        assert_eq!(stranger.submits(act, &[]).await.unwrap().status, 401, "{act}");
    }
}

#[tokio::test]
async fn a_form_counts_only_with_what_its_own_page_gave() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    let ann = console.claims("ann").await;
    let other = console.enters("ann").await;
    let (own, others) = (token(&ann).await, token(&other).await);
    assert_ne!(own, others, "each session has its own");
    for act in ACTS {
        for form in [&[][..], &[("form", "")], &[("form", others.as_str())]] {
            let refused = ann.submits(act, form).await.unwrap();
            assert_eq!(refused.status, 403, "{act} {form:?}");
        }
    }
    for origin in ["https://evil.example", "null", saoma.url.as_str()] {
        let body = json!({});
        let foreign = ann.posts("/console/keys/rotate", &body, origin).await.unwrap();
        assert_eq!(foreign.status, 403, "{origin}");
    }
    let (host, path) = (console.url.trim_start_matches("http://"), "/console/keys/rotate");
    let silent =
        saoma.http.post(format!("{}{path}", console.url)).header("host", host).send().await;
    assert_eq!(silent.unwrap().status(), 403, "and never without an origin");
    let keys = saoma.app.store.keys().await.unwrap();
    assert_eq!(sends(&ann, path, &[]).await.status, 303);
    assert_ne!(saoma.app.store.keys().await.unwrap(), keys, "its own page may");
    let log = console.log().await;
    let by = format!("keys.rotated {}", console.person("ann").await.id);
    assert_eq!(log.iter().filter(|line| **line == by).count(), 1, "{log:?}");
}

#[tokio::test]
async fn a_name_that_was_made_to_point_here_is_refused() {
    let settings = [("SAOMA_CONSOLE__URL", "https://console.example.com")];
    let saoma = Saoma::starts_with(&settings).await;
    let console = Console::of(&saoma).await;
    let asks = async |host: &str| {
        let request =
            saoma.http.get(format!("{}/console/sign-in", console.url)).header("host", host);
        request.send().await.unwrap()
    };
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "console.example.com.evil.example",
        "a@b",
        "rebound.example:8081",
    ] {
        assert_eq!(asks(host).await.status(), 421, "{host}");
    }
    for host in ["127.0.0.1:8081", "[::1]:8081", "localhost:8081", "192.0.2.7"] {
        assert_eq!(asks(host).await.status(), 200, "{host}");
    }
    let secure = asks("console.example.com").await;
    let cookie = secure.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    for word in ["__Host-saoma-console=", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(word), "{cookie}");
    }
}

#[tokio::test]
async fn machines_call_the_operators_listener_by_any_name_and_pages_by_none() {
    let settings = [("SAOMA_NEIGHBOURS__SECRETS", "[\"crm:0123456789abcdef0123456789abcdef\"]")];
    let saoma = Saoma::starts_with(&settings).await;
    let console = Console::of(&saoma).await;
    for path in ["/readyz", "/metrics", "/neighbours/token"] {
        let asks = async |headers: &[(&str, &str)]| {
            let request = saoma.http.get(format!("{}{path}", console.url));
            let request = headers
                .iter()
                .fold(request, |request, (name, value)| request.header(*name, *value));
            request.send().await.unwrap().status()
        };
        // What they are answered is their own affair.
        assert_ne!(asks(&[("host", "saoma:8081")]).await, 403, "{path}: Prometheus asks");
        assert_ne!(asks(&[("sec-fetch-site", "none")]).await, 403, "{path}: it is typed");
        for page in [
            ("origin", "https://evil.example"),
            ("origin", console.url.as_str()),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-origin"),
        ] {
            assert_eq!(asks(&[("host", "evil.example"), page]).await, 403, "{path} {page:?}");
        }
    }
}

#[tokio::test]
async fn a_copy_of_the_database_opens_no_console() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    console.claims("ann").await;
    let browser = console.browser();
    let page = browser.opens("/console/sign-in").await.unwrap();
    console.approves(&browser, &page, &saoma.phone("ann")).await;
    let claimed = browser.calls(&page, "claim").await.unwrap();
    // What it is made from is in the database.
    let session = saoma.app.keys.derive("console", Hashed::of(&page.ticket));
    let session = format!("saoma-console-session={}", session.reveal());
    assert!(claimed.header("set-cookie").starts_with(&session));
    for cookies in [session.clone(), format!("{session}; saoma-console=made-up")] {
        let request = saoma.http.get(format!("{}/console/keys", console.url));
        let reply = Reply::of(request.header("cookie", &cookies)).await.unwrap();
        assert_eq!(reply.header("location"), "/console/sign-in", "{cookies}");
    }
    assert_eq!(browser.get("/console/keys").await.unwrap().status, 200);
}

#[tokio::test]
async fn the_public_listener_knows_nothing_of_the_console() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    let ann = console.claims("ann").await;
    for path in
        PAGES.into_iter().chain(["/console/sign-in", "/console/link", "/assets/console.css"])
    {
        let reply = saoma.browser().get(path).await.unwrap();
        assert_eq!(reply.status, 404, "{path}");
    }
    // Nor does it follow a ticket that the console opened, even for who brings the console's cookies.
    let page = ann.opens("/console/sites/blog/try").await;
    let page = page.unwrap();
    let at_the_public_door = ann.get(&format!("{}/api/tickets/{}", saoma.url, page.ticket)).await;
    assert_eq!(at_the_public_door.unwrap().status, 404);
}

#[tokio::test]
async fn a_session_ends_from_the_phone_with_its_time_and_with_the_persons_place() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    console.claims("ann").await;
    let ann = console.person("ann").await;
    let is_in = async |browser: &Browser| browser.get("/console/keys").await.unwrap().status == 200;

    let browser = console.enters("ann").await;
    let phone = saoma.phone("ann");
    let session = json!({ "js_code": phone.logs_in().await.unwrap() });
    let opened =
        phone.calls(Method::POST, "session", None, &session).await.unwrap().good().unwrap();
    let token = opened["token"].as_str().unwrap();
    let logins = phone.calls(Method::GET, "logins", Some(token), &json!({})).await.unwrap().json();
    let names: Vec<_> =
        logins["logins"].as_array().unwrap().iter().map(|login| &login["site"]["name"]).collect();
    assert!(names.iter().all(|name| name.as_str().unwrap().contains("console")), "{names:?}");
    assert!(is_in(&browser).await);
    for login in logins["logins"].as_array().unwrap() {
        let path = format!("logins/{}", login["id"].as_str().unwrap());
        let ended = phone.calls(Method::DELETE, &path, Some(token), &json!({})).await.unwrap();
        assert_eq!(ended.status, 204);
    }
    assert!(!is_in(&browser).await, "ended from the phone");

    let owner = console.enters("ann").await;
    let (now, by) = (saoma.app.world.now(), saoma::audit::COMMAND);
    for (change, stays) in [
        (Change::Join("friends".to_owned()), true),
        (Change::Leave("friends".to_owned()), true),
        (Change::Leave(OWNER.to_owned()), false),
    ] {
        saoma.app.store.change(&ann.id, change.clone(), by, now).await.unwrap();
        assert_eq!(is_in(&owner).await, stays, "{change:?}");
    }
    console.claims("ann").await;

    let idle = console.enters("ann").await;
    saoma.passes(3601);
    assert!(!is_in(&idle).await, "left alone for an hour");

    let busy = console.enters("ann").await;
    for _ in 0..15 {
        saoma.passes(30 * 60);
        assert!(is_in(&busy).await);
    }
    saoma.passes(30 * 60);
    assert!(!is_in(&busy).await, "eight hours are enough");

    let out = console.enters("ann").await;
    assert_eq!(sends(&out, "/console/sign-out", &[]).await.header("location"), "/console/sign-in");
    assert!(!is_in(&out).await);
    saoma.passes(9 * 3600);
    saoma.app.store.prune(saoma.app.world.now()).await.unwrap();
    assert_eq!(
        saoma.app.store.logins(&ann.id).await.unwrap(),
        [],
        "nothing stays on the phone's list"
    );
}

#[tokio::test]
async fn nobody_frames_keeps_or_reads_a_page_of_the_console() {
    let saoma = Saoma::starts().await;
    let console = Console::of(&saoma).await;
    let ann = console.claims("ann").await;
    for path in PAGES.into_iter().chain(["/console/nowhere", "/console/people/nobody"]) {
        let reply = ann.get(path).await.unwrap();
        let policy = reply.header("content-security-policy");
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(reply.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), "", "{path}");
        assert_eq!(reply.header("cross-origin-resource-policy"), "same-origin", "{path}");
    }
    assert_eq!(ann.get("/console/nowhere").await.unwrap().status, 404);
}

#[tokio::test]
async fn an_address_makes_so_many_requests_at_the_console_and_no_more() {
    let saoma = Saoma::starts_with(&[("SAOMA_LIMITS__CONSOLE_PER_ADDRESS", "3")]).await;
    let console = Console::of(&saoma).await;
    let browser = console.browser();
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(browser.get("/console/link").await.unwrap().status.as_u16());
    }
    assert_eq!(told, [200, 200, 200, 429]);
    assert_eq!(saoma.browser().get("/").await.unwrap().status, 200, "it is counted for itself");
    assert_eq!(browser.get("/healthz").await.unwrap().status, 200, "and monitors go on");
}
