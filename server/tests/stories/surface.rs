//! What every answer carries, whoever asks: headers, addresses, languages, what is published.

use reqwest::Method;
use saoma::try_it::actors::Reply;
use serde_json::json;

use crate::support::Saoma;

#[tokio::test]
async fn no_page_can_be_framed_nor_run_what_is_not_its_own() {
    let saoma = Saoma::starts().await;
    let browser = saoma.browser();
    let pages =
        [saoma.site("blog").asks(), "/".to_owned(), "/login".to_owned(), "/nowhere".to_owned()];
    for path in pages {
        let page = browser.get(&path).await.unwrap();
        let policy = page.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(page.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(page.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test]
async fn a_name_of_a_person_is_text_and_never_markup() {
    let saoma = Saoma::starts().await;
    let (browser, phone) = (saoma.browser(), saoma.phone("ann"));
    let page = browser.opens("/login").await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    phone.approves(&asked).await.unwrap();
    browser.calls(&page, "claim").await.unwrap().good().unwrap();
    let body = json!({ "js_code": phone.logs_in().await.unwrap() });
    let opened = phone.calls(Method::POST, "session", None, &body).await.unwrap().json();
    let name = json!({ "nickname": "<script>alert(1)</script>\"" });
    phone
        .calls(Method::PUT, "profile", opened["token"].as_str(), &name)
        .await
        .unwrap()
        .good()
        .unwrap();
    let home = browser.get("/").await.unwrap().text();
    assert!(home.contains("&#60;script&#62;") && !home.contains("<script>alert"), "{home}");
}

#[tokio::test]
async fn addresses_are_made_from_public_url_whatever_the_request_says() {
    let saoma = Saoma::starts().await;
    let url = format!("{}/.well-known/openid-configuration", saoma.url);
    let honest = Reply::of(saoma.http.get(&url)).await.unwrap();
    let lie = |request: reqwest::RequestBuilder| {
        let request = request.header("x-forwarded-host", "evil.example");
        let request = request.header("forwarded", "host=evil.example;proto=https");
        request.header("x-forwarded-proto", "https").header("host", "evil.example")
    };
    let poisoned = Reply::of(lie(saoma.http.get(&url))).await.unwrap();
    assert_eq!(honest.body, poisoned.body);
    assert_eq!(honest.json()["issuer"], saoma.url);
    let page =
        Reply::of(lie(saoma.http.get(format!("{}{}", saoma.url, saoma.site("blog").asks()))))
            .await
            .unwrap();
    assert_eq!(page.status, 200, "Host is ignored, never refused");
    assert!(!page.text().contains("evil.example"));
}

#[tokio::test]
async fn an_address_is_believed_from_trusted_proxies_alone() {
    let same_network = async |trusted: &str, page: &str, phone: &str| {
        let saoma = Saoma::starts_with(&[("SAOMA_TRUSTED_PROXIES", trusted)]).await;
        let mut browser = saoma.browser();
        browser.moves_to(page);
        let page = browser.opens(&saoma.site("blog").asks()).await.unwrap();
        let url =
            format!("{}/api/phone/tickets/{}/scan", saoma.url, saoma.scene(&page.ticket).await);
        let js_code = saoma.phone("ann").logs_in().await.unwrap();
        let body = json!({ "js_code": js_code, "entry": 1047, "protocol": 1 });
        let request = saoma.http.post(url).header("x-forwarded-for", phone).json(&body);
        let shown = Reply::of(request).await.unwrap().good().unwrap();
        shown["browser"]["same_network"].as_bool().unwrap()
    };
    let page = "203.0.113.9";
    assert!(
        !same_network("[]", page, page).await,
        "a proxy that nobody named has one address for all, which says nothing"
    );
    let trusted = "[\"127.0.0.1\", \"10.0.0.0/8\"]";
    assert!(same_network(trusted, page, page).await);
    assert!(
        same_network(trusted, page, "198.51.100.1, 203.0.113.9, 10.1.2.3").await,
        "what stands left of it anybody could write"
    );
    assert!(same_network(trusted, page, "乱, 203.0.113.9").await, "in whatever bytes");
    assert!(!same_network(trusted, page, "203.0.113.9, 198.51.100.1").await);
    for nobody in ["garbage", "203.0.113.9, 乱"] {
        assert!(!same_network(trusted, page, nobody).await, "nobody said for whom it speaks");
    }
}

#[tokio::test]
async fn a_neighbours_cookie_in_whatever_bytes_hides_none_of_saomas() {
    let saoma = Saoma::starts().await;
    let url = format!("{}{}", saoma.url, saoma.site("blog").asks());
    let page = saoma.http.get(url).header("cookie", "nick=张三; saoma=the-browsers-own");
    let page = Reply::of(page).await.unwrap();
    assert!(page.header("set-cookie").starts_with("saoma=the-browsers-own;"), "known as before");
}

#[tokio::test]
async fn behind_tls_the_cookies_are_of_this_host_alone() {
    let saoma = Saoma::starts_with(&[("SAOMA_PUBLIC_URL", "https://login.example.com")]).await;
    let page = Reply::of(saoma.http.get(format!("{}{}", saoma.url, saoma.site("blog").asks())))
        .await
        .unwrap();
    let cookie = page.header("set-cookie");
    assert!(cookie.starts_with("__Host-saoma="), "{cookie}");
    for part in ["; HttpOnly", "; Secure", "; SameSite=Lax", "; Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    let value = cookie.split(['=', ';']).nth(1).unwrap();
    assert_eq!(value.len(), 43, "256 bits");
    assert!(!page.text().contains(value), "the page does not say what its cookie is");
    assert!(page.header("strict-transport-security").starts_with("max-age="));
}

#[tokio::test]
async fn what_is_published_is_what_there_is() {
    let saoma = Saoma::starts().await;
    let browser = saoma.browser();
    let oidc = browser.get("/.well-known/openid-configuration").await.unwrap();
    let oauth = browser.get("/.well-known/oauth-authorization-server").await.unwrap();
    assert_eq!(oidc.body, oauth.body);
    let discovery = oidc.json();
    for name in ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"] {
        let reply = browser.get(discovery[name].as_str().unwrap()).await.unwrap();
        assert_ne!(reply.status, 404, "{name}");
    }
    assert_eq!(discovery["code_challenge_methods_supported"], json!(["S256"]));
    let jwks = browser.get(discovery["jwks_uri"].as_str().unwrap()).await.unwrap();
    let said = ["access-control-allow-origin", "vary"].map(|name| jwks.header(name));
    assert_eq!(said, ["*", ""], "whoever keeps it may give it to a page of any origin");
    let jwks = jwks.json();
    for key in jwks["keys"].as_array().unwrap() {
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none(), "a private key is published");
        }
        assert_eq!(key["use"], "sig");
    }
}

#[tokio::test]
async fn an_error_is_told_in_the_callers_language() {
    let saoma = Saoma::starts().await;
    let url = format!("{}/api/tickets/unknown", saoma.url);
    for (language, word) in [("en", "Reload the page"), ("zh-CN", "刷新网页"), ("fr", "刷新网页")]
    {
        let reply =
            Reply::of(saoma.http.get(&url).header("accept-language", language)).await.unwrap();
        assert_eq!(reply.header("content-type"), "application/problem+json");
        let problem = reply.json();
        assert_eq!(
            (&problem["status"], &problem["title"]),
            (&json!(404), &json!("No such ticket"))
        );
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
    }
}

#[tokio::test]
async fn operators_pages_are_not_for_the_public() {
    let saoma = Saoma::starts().await;
    let browser = saoma.browser();
    for path in ["/metrics", "/console", "/admin"] {
        assert_eq!(browser.get(path).await.unwrap().problem(), "404 not_found", "{path}");
    }
}

#[tokio::test]
async fn who_goes_to_an_address_that_is_none_gets_a_page_and_programs_their_json() {
    const NAVIGATION: &str = "text/html,application/xhtml+xml,*/*;q=0.8";
    let saoma = Saoma::starts().await;
    let ask = async |path: &str, accepts: &str, language: &str| {
        let request = saoma.http.get(format!("{}{path}", saoma.url)).header("accept", accepts);
        Reply::of(request.header("accept-language", language)).await.unwrap()
    };
    for path in ["/nowhere", "/devices", "/link/nothing/here/"] {
        for (language, words) in
            [("zh", ["没有这个页面", "回首页"]), ("en", ["no such page", "Home"])]
        {
            let page = ask(path, NAVIGATION, language).await;
            assert_eq!((page.status.as_u16(), page.header("cache-control")), (404, "no-store"));
            assert!(words.iter().all(|word| page.text().contains(word)), "{}", page.text());
        }
    }
    for path in ["/nowhere", "/devices"] {
        assert_eq!(ask(path, "application/json", "en").await.problem(), "404 not_found", "{path}");
    }
    for (path, told) in
        [("/api/nowhere", "404 not_found"), ("/oauth2/nowhere", "404 invalid_request")]
    {
        assert_eq!(ask(path, NAVIGATION, "en").await.problem(), told, "{path}");
    }
    let browser = saoma.browser();
    for path in ["/device", "/login", "/link"] {
        let reply = browser.get(&format!("{path}/")).await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.header("location")), (308, path));
    }
}

#[tokio::test]
async fn a_page_that_sends_people_to_the_mini_program_says_what_it_is_called() {
    let unnamed = Saoma::starts().await;
    let page = unnamed.browser().get("/device").await.unwrap().text();
    assert!(page.contains("its sign-in mini program"), "{page}");
    let saoma = Saoma::starts_with(&[("SAOMA_MINIPROGRAM__NAME", "青山登录")]).await;
    for path in ["/device".to_owned(), saoma.site("blog").asks()] {
        let page = saoma.browser().get(&path).await.unwrap().text();
        assert!(page.contains("“青山登录”"), "{page}");
    }
}

#[tokio::test]
async fn who_meets_a_site_set_up_wrong_hears_whom_to_tell() {
    let saoma = Saoma::starts().await;
    let asked = saoma.site("blog").asks();
    let words = "show this page to whoever runs the site";
    let unknown = saoma.browser().get(&asked.replace("client_id=blog", "client_id=blag")).await;
    assert!(unknown.unwrap().text().contains(words));
    let nowhere = asked.replace("redirect_uri=", "redirect_url=");
    let page = saoma.browser().get(&nowhere).await.unwrap().text();
    assert!(page.contains("<code>invalid_request</code>") && page.contains(words), "{page}");
    let over = saoma.browser().get("/link/scan?kept=nothing").await.unwrap();
    assert!(!over.text().contains(words), "{}", over.text());
}
