//! Whose a ticket is: the browser or the page that opened it, and nobody else's.

use reqwest::Method;
use saoma::try_it::actors::{Browser, Reply};
use serde_json::json;

use crate::support::{Saoma, claims};

#[tokio::test]
async fn two_tabs_of_one_browser_live_side_by_side() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let (blog, shop) = (saoma.site("blog"), saoma.site("shop"));
    let (one, asked_one) = saoma.scans(&browser, &blog, &phone).await;
    let (two, asked_two) = saoma.scans(&browser, &shop, &phone).await;
    phone.approves(&asked_two).await.unwrap();
    phone.approves(&asked_one).await.unwrap();
    assert!(blog.redeems(&claims(&browser, &one).await).await.good().is_ok());
    assert!(shop.redeems(&claims(&browser, &two).await).await.good().is_ok());
}

/// Every call that a page makes of its ticket.
async fn all_calls(browser: &Browser, ticket: &str) -> Vec<Reply> {
    let mut replies = Vec::new();
    for below in ["", "?after=waiting&wait=25", "/code", "/events"] {
        replies.push(browser.get(&format!("/api/tickets/{ticket}{below}")).await.unwrap());
    }
    for verb in ["claim", "renew", "digits", "cancel"] {
        let page = saoma::try_it::actors::Page { ticket: ticket.to_owned() };
        replies.push(browser.calls(&page, verb).await.unwrap());
    }
    replies
}

#[tokio::test]
async fn another_browsers_ticket_looks_like_one_that_never_was() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let stranger = saoma.browser();
    stranger.opens(&saoma.site("blog").asks()).await.unwrap();
    let unknown = all_calls(&stranger, "0000000000000000000000").await;
    assert!(unknown.iter().all(|reply| reply.problem() == "404 no_such_ticket"));

    let (page, asked) = saoma.scans(&browser, &saoma.site("blog"), &phone).await;
    let waiting = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    let (decided, tapped) = saoma.scans(&browser, &saoma.site("blog"), &phone).await;
    phone.approves(&tapped).await.unwrap();
    let scene = asked.scene;
    let foreign = [
        ("waiting", waiting.ticket),
        ("scanned", page.ticket),
        ("decided", decided.ticket),
        ("a scene", scene),
    ];
    for (which, ticket) in foreign {
        for (seen, expected) in all_calls(&stranger, &ticket).await.iter().zip(&unknown) {
            assert_eq!((seen.status, &seen.body), (expected.status, &expected.body), "{which}");
            assert_eq!(without_date(seen), without_date(expected), "{which}");
        }
        let socket = stranger.watches_as(&ticket, Some(&saoma.url)).await.err();
        assert_eq!(socket.as_deref(), Some("404"), "{which}: before any upgrade");
    }
}

fn without_date(reply: &Reply) -> reqwest::header::HeaderMap {
    let mut headers = reply.headers.clone();
    headers.remove("date");
    headers
}

#[tokio::test]
async fn a_browser_without_its_cookie_sees_nothing_of_its_own_ticket() {
    let saoma = Saoma::starts().await;
    let page = saoma.browser().opens(&saoma.site("blog").asks()).await.unwrap();
    let fresh = saoma.browser();
    for reply in all_calls(&fresh, &page.ticket).await {
        assert_eq!(reply.problem(), "404 no_such_ticket", "{}", reply.url);
    }
    assert_eq!(fresh.watches(&page).await.err().as_deref(), Some("404"));
}

#[tokio::test]
async fn an_origin_that_nobody_registered_is_refused_before_the_ticket_is_looked_up() {
    let saoma = Saoma::starts().await;
    let browser = saoma.browser();
    let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
    let element = saoma.site("blog").embeds().await;
    let near_misses = [
        "https://evil.example",
        "null",
        "http://blog.example.com",
        "https://blog.example.com:8443",
        "https://blog.example.com.evil.example",
        "https://BLOG.example.com",
        "https://blog.example.com/",
    ];
    for ticket in [page.ticket.as_str(), &element.page.ticket, "0000000000000000000000"] {
        for origin in near_misses {
            let socket = browser.watches_as(ticket, Some(origin)).await.err();
            assert_eq!(socket.as_deref(), Some("403"), "{origin}");
            for verb in ["claim", "renew", "digits", "cancel"] {
                let url = format!("/api/tickets/{ticket}/{verb}");
                let refused =
                    browser.posts(&url, &json!({ "key": element.key }), origin).await.unwrap();
                assert_eq!(refused.problem(), "403 origin_not_allowed", "{verb} from {origin}");
                assert_eq!(refused.header("access-control-allow-origin"), "");
            }
        }
        assert_eq!(browser.watches_as(ticket, None).await.err().as_deref(), Some("403"));
        for verb in ["claim", "renew", "digits", "cancel"] {
            let url = format!("{}/api/tickets/{ticket}/{verb}", saoma.url);
            let request = saoma.http.post(url).json(&json!({ "key": element.key }));
            let refused = Reply::of(request).await.unwrap();
            assert_eq!(refused.problem(), "403 origin_not_allowed", "{verb} from nowhere");
            let url = format!("{}/api/tickets/{ticket}/{verb}", saoma.url);
            let refused = Reply::of(saoma.http.post(url).json(&json!([]))).await.unwrap();
            assert_eq!(refused.problem(), "403 origin_not_allowed", "{verb}, whatever is sent");
        }
    }
}

#[tokio::test]
async fn another_sites_page_cannot_use_a_ticket_even_with_its_key() {
    let saoma = Saoma::starts().await;
    let element = saoma.site("blog").embeds().await;
    let ticket = &element.page.ticket;
    for origin in ["https://shop.example.com", saoma.url.as_str()] {
        for verb in ["claim", "renew", "digits", "cancel"] {
            let refused = element.calls_as(verb, &element.key, origin).await;
            assert_eq!(refused.problem(), "403 origin_not_allowed", "{verb} from {origin}");
        }
        let socket = element.browser.watches_as(ticket, Some(origin)).await.err();
        assert_eq!(socket.as_deref(), Some("403"), "{origin}");
        for below in ["", "/events", "/code"] {
            let url = format!("{}/api/tickets/{ticket}{below}", saoma.url);
            let request = saoma.http.get(url).header("origin", origin);
            let refused = Reply::of(request).await.unwrap();
            assert_eq!(refused.problem(), "403 origin_not_allowed", "{below} from {origin}");
        }
    }
    let state = element.browser.get(&format!("/api/tickets/{ticket}")).await.unwrap();
    assert_eq!(state.json()["state"], "waiting", "nothing has happened to it");
}

#[tokio::test]
async fn only_a_page_of_the_site_itself_opens_a_ticket_for_it() {
    let saoma = Saoma::starts().await;
    let (blog, browser) = (saoma.site("blog"), saoma.browser());
    for (origin, problem) in [
        ("https://evil.example", "403 origin_not_allowed"),
        ("https://shop.example.com", "403 origin_not_allowed"),
        (saoma.url.as_str(), "403 origin_not_allowed"),
        ("null", "403 origin_not_allowed"),
    ] {
        let refused = browser.posts("/api/tickets", &blog.opening(), origin).await.unwrap();
        assert_eq!(refused.problem(), problem, "{origin}");
    }
    let nowhere = saoma.http.post(format!("{}/api/tickets", saoma.url)).json(&blog.opening());
    assert_eq!(Reply::of(nowhere).await.unwrap().problem(), "403 origin_not_allowed");
    let nothing = saoma.http.post(format!("{}/api/tickets", saoma.url)).json(&json!({}));
    let refused = Reply::of(nothing).await.unwrap().problem();
    assert_eq!(refused, "403 origin_not_allowed", "before a look at what is sent");
}

#[tokio::test]
async fn browsers_are_told_which_page_may_read_an_answer() {
    let saoma = Saoma::starts().await;
    let blog = saoma.site("blog");
    let preflight = async |path: &str, origin: &str| {
        let request = saoma.http.request(Method::OPTIONS, format!("{}{path}", saoma.url));
        let request =
            request.header("origin", origin).header("access-control-request-method", "POST");
        Reply::of(request).await.unwrap()
    };
    for path in ["/api/tickets", "/api/tickets/anything/claim", "/oauth2/token"] {
        let allowed = preflight(path, &blog.origin).await;
        assert_eq!(allowed.status, 204, "{path}");
        assert_eq!(allowed.header("access-control-allow-origin"), blog.origin, "{path}");
        assert_eq!(allowed.header("access-control-allow-credentials"), "", "{path}");
        assert!(allowed.header("vary").contains("Origin"), "{path}");
        let foreign = preflight(path, "https://evil.example").await;
        assert_eq!(foreign.header("access-control-allow-origin"), "", "{path}");
    }
    let shop = saoma.site("shop");
    for path in ["/oauth2/token", "/oauth2/userinfo", "/oauth2/revoke"] {
        let none = preflight(path, &shop.origin).await;
        assert_eq!(none.header("access-control-allow-origin"), "", "{path}: it has a server");
        let request =
            saoma.http.post(format!("{}{path}", saoma.url)).header("origin", &shop.origin);
        let none = Reply::of(request.form(&[("token", "x")])).await.unwrap();
        assert_eq!(none.header("access-control-allow-origin"), "", "{path}");
    }
    let opens = preflight("/api/tickets", &shop.origin).await;
    assert_eq!(opens.header("access-control-allow-origin"), shop.origin, "its pages open tickets");
    for path in ["/oauth2/authorize", "/api/phone/session", "/"] {
        let none = preflight(path, &blog.origin).await;
        assert_eq!(none.header("access-control-allow-origin"), "", "{path}");
    }
    let jwks = saoma
        .http
        .get(format!("{}/oauth2/jwks", saoma.url))
        .header("origin", "https://any.example");
    assert_eq!(Reply::of(jwks).await.unwrap().header("access-control-allow-origin"), "*");
}

#[tokio::test]
async fn nobody_chooses_the_id_of_a_ticket() {
    let saoma = Saoma::starts().await;
    let blog = saoma.site("blog");
    let chosen = json!({ "ticket": "chosen", "id": "chosen", "scene": "chosen", "key": "chosen" });
    let (one, two) = (blog.embeds_with(&chosen).await, blog.embeds_with(&chosen).await);
    assert_ne!(one.page.ticket, two.page.ticket);
    assert_ne!(one.key, two.key);
    for element in [one, two] {
        let scene = saoma.scene(&element.page.ticket).await;
        for (name, len) in [(&element.page.ticket, 22), (&scene, 22), (&element.key, 43)] {
            assert_eq!(name.len(), len, "{name}");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)), "{name}");
        }
        assert_ne!(scene, element.page.ticket, "who reads the code does not know the ticket id");
    }
}
