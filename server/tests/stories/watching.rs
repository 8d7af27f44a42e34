//! How a page waits: WebSocket, server-sent events and long poll, which all say the same and never a secret.

use reqwest::header;
use saoma::try_it::actors::Page;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Saoma, claims, sees_to_the_end, until};

#[tokio::test]
async fn a_newer_socket_closes_the_older_for_good() {
    let saoma = Saoma::starts().await;
    let browser = saoma.browser();
    let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    let mut older = browser.watches(&page).await.unwrap();
    assert_eq!(older.sees_state().await.unwrap(), "waiting");
    let mut newer = browser.watches(&page).await.unwrap();
    assert_eq!(older.sees_state().await.unwrap(), "closed 4001");
    assert_eq!(newer.sees_state().await.unwrap(), "waiting");
    saoma.phone("ann").scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    assert_eq!(newer.sees_state().await.unwrap(), "scanned");
}

#[tokio::test]
async fn a_page_has_nothing_to_say() {
    let saoma = Saoma::starts().await;
    let browser = saoma.browser();
    let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    for (said, closed) in [
        (Message::text("hello"), "closed 1008"),
        (Message::binary(vec![0; 10]), "closed 1008"),
        (Message::text("x".repeat(1024)), "closed 1008"),
        (Message::text("x".repeat(1025)), "closed 1009"),
        (Message::binary(vec![0; 5_000]), "closed 1009"),
        (Message::text("x".repeat(100_000)), "closed 1009"),
    ] {
        let mut watch = browser.watches(&page).await.unwrap();
        assert_eq!(watch.sees_state().await.unwrap(), "waiting");
        let len = said.len();
        watch.says(said).await.unwrap();
        assert_eq!(watch.sees_state().await.unwrap(), closed, "{len} bytes");
    }
    let mut watch = browser.watches(&page).await.unwrap();
    watch.says(Message::Ping("?".into())).await.unwrap();
    assert_eq!(watch.sees_state().await.unwrap(), "waiting", "a ping is no speech");
}

#[tokio::test]
async fn a_page_that_lost_its_socket_sees_what_it_missed() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(watch.sees_state().await.unwrap(), "waiting");
    drop(watch);
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(watch.sees_state().await.unwrap(), "scanned");
    drop(watch);
    phone.approves(&asked).await.unwrap();
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(sees_to_the_end(&mut watch).await, ["approved", "closed 1000"]);
    assert!(!claims(&browser, &page).await.is_empty());
}

/// Server-sent events, read as they come.
struct Events {
    response: reqwest::Response,
    buffer: String,
}

impl Events {
    /// The next event's data; none at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.buffer = rest;
                assert!(event.contains("event: state"), "{event}");
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
                return Some(serde_json::from_str(data).unwrap());
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test]
async fn events_and_polls_say_what_the_socket_says() {
    let saoma = Saoma::starts().await;
    let (blog, phone) = (saoma.site("blog"), saoma.phone("ann"));
    let element = blog.embeds().await;
    let url = format!("{}/api/tickets/{}", saoma.url, element.page.ticket);

    let response = saoma.http.get(format!("{url}/events")).send().await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut events = Events { response, buffer: String::new() };
    let mut watch = element.watches().await;
    let (socket, event) = (watch.sees().await.unwrap(), events.next().await.unwrap());
    assert_eq!(socket, event);

    let poll = async |after: &str| {
        let query = [("after", after), ("wait", "25")];
        saoma.http.get(&url).query(&query).send().await.unwrap().json::<Value>().await.unwrap()
    };
    let scene = saoma.scene(&element.page.ticket).await;
    let scan = async { phone.scans(&scene, 1048).await.unwrap() };
    let (polled, asked) = tokio::join!(poll("waiting"), scan);
    let (socket, event) = (watch.sees().await.unwrap(), events.next().await.unwrap());
    assert_eq!((&polled, &event), (&socket, &socket));
    assert_eq!(socket["state"], "scanned");

    let approval = json!({ "match": socket["match"] });
    let approve = async { phone.approves_with(&asked, &approval).await.unwrap() };
    let (polled, ()) = tokio::join!(poll("scanned"), approve);
    let (socket, event) = (watch.sees().await.unwrap(), events.next().await.unwrap());
    assert_eq!((&polled, &event), (&socket, &socket));
    assert_eq!(socket, json!({ "state": "approved", "expires_in": 120 }));
    assert!(events.next().await.is_none(), "the stream ends after a final state");
}

#[tokio::test]
async fn a_poll_waits_no_longer_than_it_was_told() {
    let saoma = Saoma::starts().await;
    let browser = saoma.browser();
    let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    let url = format!("/api/tickets/{}", page.ticket);
    let at_once = browser.get(&format!("{url}?after=scanned&wait=25")).await.unwrap();
    assert_eq!(
        (at_once.json()["state"].as_str(), at_once.header("cache-control")),
        (Some("waiting"), "no-store")
    );
    for (wait, longest) in [("10", 10), ("9999999", 25)] {
        let address = format!("{url}?after=waiting&wait={wait}");
        let polling = browser.get(&address);
        tokio::pin!(polling);
        // Begun before the clock moves, else it would end later.
        tokio::select! {
            _ = &mut polling => panic!("nothing has changed"),
            () = until(|| !saoma.app.waiting.is_empty()) => {}
        }
        saoma.passes(longest);
        assert_eq!(polling.await.unwrap().json()["state"], "waiting", "{wait}");
    }
}

#[tokio::test]
async fn a_page_is_told_states_and_nothing_else() {
    let saoma = Saoma::starts().await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    let phone = saoma.phone("ann").with_unionid("ann everywhere");
    saoma.signs_in(&browser, &blog, &phone).await;
    let page = browser.opens(&blog.asks()).await.unwrap();
    let mut watch = browser.watches(&page).await.unwrap();
    let mut frames = vec![watch.sees().await.unwrap()];
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1048).await.unwrap();
    frames.push(watch.sees().await.unwrap());
    phone
        .approves_with(&asked, &json!({ "match": frames[1]["match"], "remember": true }))
        .await
        .unwrap();
    frames.push(watch.sees().await.unwrap());

    let names =
        |frame: &Value| frame.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(names(&frames[0]), "expires_in state");
    assert_eq!(
        names(&frames[1]),
        "expires_in match person state",
        "the hosted page shows who scanned"
    );
    assert_eq!(names(&frames[1]["person"]), "avatar nickname");
    assert_eq!(names(&frames[2]), "expires_in state");
    let told = serde_json::to_string(&frames).unwrap();
    let code = claims(&browser, &page).await;
    let openid = saoma.wechat.pretend.openid("ann");
    for secret in
        [asked.token.as_str(), &asked.scene, &code, &openid, "ann everywhere", &page.ticket]
    {
        assert!(!told.contains(secret), "{told}");
    }
}

#[tokio::test]
async fn an_embedded_page_is_not_told_who_scanned() {
    let saoma = Saoma::starts().await;
    let (blog, phone) = (saoma.site("blog"), saoma.phone("ann"));
    saoma.signs_in(&saoma.browser(), &blog, &phone).await;
    let element = blog.embeds().await;
    let mut watch = element.watches().await;
    watch.sees().await.unwrap();
    phone.scans(&saoma.scene(&element.page.ticket).await, 1047).await.unwrap();
    let seen = watch.sees().await.unwrap();
    assert_eq!(seen, json!({ "state": "scanned", "expires_in": 120 }));
}

#[tokio::test]
async fn the_code_is_shown_until_it_is_scanned_and_never_kept_by_a_cache() {
    let saoma = Saoma::starts().await;
    let browser = saoma.browser();
    let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    let url = format!("/api/tickets/{}/code", page.ticket);
    let (first, again) = (browser.get(&url).await.unwrap(), browser.get(&url).await.unwrap());
    assert_eq!((first.status.as_u16(), first.header("content-type")), (200, "image/jpeg"));
    assert_eq!(first.header("cache-control"), "no-store");
    assert_eq!(first.body, again.body, "a reload shows the same code");
    saoma.phone("ann").scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    assert_eq!(browser.get(&url).await.unwrap().problem(), "404 no_such_ticket");
}

#[tokio::test]
async fn who_asks_for_a_socket_without_an_upgrade_is_told_so() {
    let saoma = Saoma::starts().await;
    let element = saoma.site("blog").embeds().await;
    let Page { ticket } = &element.page;
    let url = format!("{}/api/tickets/{ticket}/ws", saoma.url);
    let plain =
        saoma.http.get(url).header("origin", "https://blog.example.com").send().await.unwrap();
    assert_eq!(plain.status(), 400);
}

#[tokio::test]
async fn a_page_that_answers_no_ping_is_given_up() {
    let saoma = Saoma::starts_with(&[("SAOMA_TICKET__LIFE", "10m")]).await;
    let browser = saoma.browser();
    let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(watch.sees_state().await.unwrap(), "waiting");
    // The library answers a ping when it reads; this page no longer does, as one whose machine sleeps.
    until(|| {
        saoma.passes(1);
        saoma.app.waiting.is_empty()
    })
    .await;
    let state = browser.get(&format!("/api/tickets/{}", page.ticket)).await.unwrap().json();
    assert_eq!(state["state"], "waiting", "only the socket has gone, not the ticket");
}
