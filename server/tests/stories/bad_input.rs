//! Whatever is sent, the answer is a clear 4xx with a stable code, and nothing is lost.

use reqwest::{Method, RequestBuilder};
use saoma::try_it::actors::{Asked, Reply};
use serde_json::{Value, json};

use crate::{site::Embedded, support::Saoma};

/// A saoma with a waiting and a scanned ticket, to be talked badly to.
struct Victim {
    saoma: Saoma,
    element: Embedded,
    asked: Asked,
    token: String,
}

impl Victim {
    async fn new() -> Self {
        // What it is that is wrong is to be said, however often.
        let saoma = Saoma::starts_with(&[("SAOMA_LIMITS__SCANS_PER_PERSON", "1000")]).await;
        let (blog, phone) = (saoma.site("blog"), saoma.phone("ann"));
        let (_, asked) = saoma.scans(&saoma.browser(), &blog, &phone).await;
        let element = blog.embeds().await;
        let body = json!({ "js_code": phone.logs_in().await.unwrap() });
        let opened = phone.calls(Method::POST, "session", None, &body).await.unwrap().json();
        let token = opened["token"].as_str().unwrap().to_owned();
        Self { saoma, element, asked, token }
    }

    /// Every call under `/api` that takes a body: what it is, and what would be a good body.
    fn calls(&self) -> Vec<(Method, String, Value)> {
        let (ticket, scene) = (&self.element.page.ticket, &self.asked.scene);
        let post = Method::POST;
        let key = json!({ "key": self.element.key });
        let scan = json!({ "js_code": "no code of anybody", "entry": 1047, "protocol": 1 });
        vec![
            (post.clone(), "/api/tickets".to_owned(), self.saoma.site("blog").opening()),
            (post.clone(), format!("/api/tickets/{ticket}/claim"), key.clone()),
            (post.clone(), format!("/api/tickets/{ticket}/renew"), key.clone()),
            (post.clone(), format!("/api/tickets/{ticket}/digits"), key.clone()),
            (post.clone(), format!("/api/tickets/{ticket}/cancel"), key),
            (post.clone(), format!("/api/phone/tickets/{scene}/scan"), scan.clone()),
            (post.clone(), "/api/phone/codes/12345678/scan".to_owned(), scan),
            (
                post.clone(),
                format!("/api/phone/tickets/{scene}/approve"),
                json!({ "match": "42", "remember": true, "scopes": ["profile"] }),
            ),
            (post.clone(), format!("/api/phone/tickets/{scene}/deny"), json!({})),
            (post, "/api/phone/session".to_owned(), json!({ "js_code": "no code of anybody" })),
            (
                Method::PUT,
                "/api/phone/profile".to_owned(),
                json!({ "nickname": "Ann", "avatar": "" }),
            ),
            (
                Method::DELETE,
                "/api/phone/me".to_owned(),
                json!({ "js_code": "no code of anybody" }),
            ),
        ]
    }

    /// A call with all the right to it, so that only what is sent is wrong.
    fn call(&self, method: &Method, path: &str) -> RequestBuilder {
        let token = if path.contains("/tickets/") { &self.asked.token } else { &self.token };
        let request = self.saoma.http.request(method.clone(), format!("{}{path}", self.saoma.url));
        let request = if path.starts_with("/api/phone") {
            request.bearer_auth(token)
        } else {
            request.header("origin", "https://blog.example.com")
        };
        request.header("accept-language", "en")
    }

    async fn says(&self, method: &Method, path: &str, body: impl Into<reqwest::Body>) -> Reply {
        let request = self.call(method, path).header("content-type", "application/json");
        Reply::of(request.body(body)).await.unwrap()
    }

    /// Both tickets stand as they stood, and can be gone on with.
    async fn is_unharmed(&self) {
        let url = format!("/api/tickets/{}", self.element.page.ticket);
        let state = self.element.browser.get(&url).await.unwrap().json();
        assert_eq!(state["state"], "waiting");
        self.saoma.phone("ann").approves(&self.asked).await.unwrap();
    }
}

/// That this is a problem as RFC 9457 has it, with a code of ours, and says something.
fn is_clear(reply: &Reply, problem: &str, what: &str) {
    assert_eq!(reply.problem(), problem, "{what}: {}", reply.text());
    assert_eq!(reply.header("content-type"), "application/problem+json", "{what}");
    assert!(!reply.json()["detail"].as_str().unwrap().is_empty(), "{what}");
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_a_bad_request() {
    let victim = Victim::new().await;
    for (method, path, _) in victim.calls() {
        for (what, body) in [
            ("half a body", b"{\"key\":".to_vec()),
            ("a text", b"\"hello\"".to_vec()),
            ("a number", b"42".to_vec()),
            ("null", b"null".to_vec()),
            ("an array", b"[]".to_vec()),
            ("the fields without their names", b"[null,false,[]]".to_vec()),
            ("two bodies", b"{}{}".to_vec()),
            ("no UTF-8", b"{\"key\":\"\xff\xfe\",\"js_code\":\"\xff\",\"client_id\":\"\xff\",\"match\":\"\xff\",\"nickname\":\"\xff\"} \xff".to_vec()),
            ("a lone surrogate", b"{\"key\":\"\\ud800\",\"js_code\":\"\\ud800\",\"client_id\":\"\\ud800\",\"match\":\"\\ud800\",\"nickname\":\"\\ud800\"} x".to_vec()),
            ("a NUL", b"\0{}".to_vec()),
            ("a deep array", [vec![b'['; 30_000], vec![b']'; 30_000]].concat()),
            ("a deep object", "{\"a\":".repeat(10_000).into_bytes()),
        ] {
            let reply = victim.says(&method, &path, body).await;
            is_clear(&reply, "400 invalid_request", &format!("{what} to {method} {path}"));
            if what == "half a body" {
                let detail = reply.json()["detail"].as_str().unwrap().to_owned();
                assert!(detail.contains("(the body is not JSON: "), "{detail}");
            }
        }
    }
    victim.is_unharmed().await;
}

#[tokio::test]
async fn a_wrong_type_or_a_missing_field_is_named() {
    let victim = Victim::new().await;
    for (method, path, good) in victim.calls() {
        for field in good.as_object().unwrap().keys() {
            let wrongs = [json!({}), json!([[]]), json!(4.5), json!(true), json!(-1)];
            let right_anyway = |wrong: &Value| match field.as_str() {
                "remember" | "on_phone" => wrong.is_boolean(),
                // One that is none of WeChat's is nobody's.
                "entry" => wrong.is_number(),
                _ => false,
            };
            for wrong in wrongs.into_iter().filter(|wrong| !right_anyway(wrong)) {
                let mut body = good.clone();
                body[field] = wrong;
                let reply = victim.says(&method, &path, body.to_string()).await;
                is_clear(&reply, "400 invalid_request", &format!("{body} to {method} {path}"));
                let detail = reply.json()["detail"].as_str().unwrap().to_owned();
                assert!(detail.contains(field.as_str()), "{detail} does not name {field}");
            }
        }
        let needed: &[&str] = match path.as_str() {
            "/api/tickets" => {
                &["client_id", "redirect_uri", "code_challenge", "code_challenge_method"]
            }
            _ if good.get("js_code").is_some() => &["js_code"],
            _ => &[],
        };
        for field in needed {
            let mut body = good.clone();
            body.as_object_mut().unwrap().remove(*field);
            let reply = victim.says(&method, &path, body.to_string()).await;
            is_clear(&reply, "400 invalid_request", &format!("no {field} to {method} {path}"));
            let detail = reply.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(field), "{detail} does not name {field}");
        }
    }
    victim.is_unharmed().await;
}

#[tokio::test]
async fn null_counts_as_left_out() {
    let victim = Victim::new().await;
    let mut opening = victim.saoma.site("blog").opening();
    for name in ["on_phone", "scope", "state", "nonce"] {
        opening[name] = Value::Null;
    }
    let opened = victim.says(&Method::POST, "/api/tickets", opening.to_string()).await;
    assert_eq!(opened.status, 201, "{}", opened.text());
    let nothing = json!({ "match": null, "remember": null, "scopes": null }).to_string();
    let path = format!("/api/phone/tickets/{}/approve", victim.asked.scene);
    let approved = victim.says(&Method::POST, &path, nothing).await;
    assert_eq!(approved.status, 200, "{}", approved.text());
}

#[tokio::test]
async fn a_form_for_sites_and_people_may_be_so_large_and_no_larger() {
    let saoma = Saoma::starts().await;
    let (just, large) = ("x".repeat(63 * 1024), "x".repeat(64 * 1024));
    for path in [
        "/oauth2/token",
        "/oauth2/revoke",
        "/oauth2/introspect",
        "/oauth2/par",
        "/oauth2/device_authorization",
        "/oauth2/userinfo",
        "/oauth2/authorize",
        "/oauth2/logout",
        "/oauth2/logout/confirm",
        "/link",
    ] {
        let posts = async |form: &str| {
            let request = saoma.http.post(format!("{}{path}", saoma.url));
            let request = request.header("origin", &saoma.url).form(&[("x", form)]);
            Reply::of(request).await.unwrap()
        };
        let read = posts(&just).await;
        assert!(read.status != 413 && !read.status.is_server_error(), "{path}: {}", read.text());
        let reply = posts(&large).await;
        assert_eq!(reply.status, 413, "{path}: {}", reply.text());
        if !reply.header("content-type").starts_with("text/html") {
            assert_eq!(reply.problem(), "413 invalid_request", "{path}");
        }
    }
}

#[tokio::test]
async fn only_json_is_taken_and_only_so_much_of_it() {
    let victim = Victim::new().await;
    for (method, path, good) in victim.calls() {
        for content_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/jsonp",
            "x",
        ] {
            let request = victim.call(&method, &path).header("content-type", content_type);
            let reply = Reply::of(request.body(good.to_string())).await.unwrap();
            is_clear(&reply, "415 unsupported_media_type", &format!("{content_type} to {path}"));
        }
        let untyped = Reply::of(victim.call(&method, &path).body(good.to_string())).await.unwrap();
        is_clear(&untyped, "415 unsupported_media_type", &format!("no content type to {path}"));

        let most = if path.ends_with("/profile") { 512 * 1024 } else { 64 * 1024 };
        let large = format!("{{\"x\":\"{}\"}}", "x".repeat(most));
        let reply = victim.says(&method, &path, large).await;
        is_clear(&reply, "413 payload_too_large", &format!("{most} bytes to {path}"));
    }
    victim.is_unharmed().await;
}

#[tokio::test]
async fn unknown_fields_are_passed_over_and_types_may_carry_parameters() {
    let victim = Victim::new().await;
    let path = format!("/api/tickets/{}/digits", victim.element.page.ticket);
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let body = format!("{{\"key\":\"{}\",\"more\":{deep},\"__proto__\":{{}}}}", victim.element.key);
    for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
        let request = victim.call(&Method::POST, &path).header("content-type", content_type);
        assert_eq!(
            Reply::of(request.body(body.clone())).await.unwrap().status,
            200,
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn no_body_at_all_is_an_object_without_fields() {
    let victim = Victim::new().await;
    for (method, path, good) in
        victim.calls().into_iter().filter(|(_, path, _)| path.contains("/phone/"))
    {
        // As a mini program sends it, which names the type in any case.
        let reply = victim.says(&method, &path, "").await;
        if good.get("js_code").is_some() {
            is_clear(&reply, "400 invalid_request", &path);
            assert!(reply.json()["detail"].as_str().unwrap().contains("js_code"), "{path}");
        } else if !path.ends_with("/profile") {
            assert!(reply.status.is_success() || reply.status == 409, "{path}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn odd_names_are_unknown_names() {
    let victim = Victim::new().await;
    let long = "x".repeat(5_000);
    for name in [
        "x",
        "%00",
        "%FF%FE",
        "%2e%2e%2f",
        "..%2f",
        "'%20OR%201=1--",
        "%F0%9F%92%A9",
        "0000000000000000000000",
        &long,
    ] {
        for below in ["", "/code", "/events"] {
            let reply =
                Reply::of(victim.call(&Method::GET, &format!("/api/tickets/{name}{below}")))
                    .await
                    .unwrap();
            is_clear(&reply, "404 no_such_ticket", &format!("{name}{below}"));
        }
        for verb in ["claim", "renew", "digits", "cancel"] {
            let reply =
                victim.says(&Method::POST, &format!("/api/tickets/{name}/{verb}"), "{}").await;
            is_clear(&reply, "404 no_such_ticket", &format!("{verb} {name}"));
        }
        for (verb, body) in [("scan", "{\"js_code\":\"x\"}"), ("approve", "{}"), ("deny", "{}")] {
            let reply = victim
                .says(&Method::POST, &format!("/api/phone/tickets/{name}/{verb}"), body)
                .await;
            is_clear(&reply, "404 no_such_ticket", &format!("{verb} {name}"));
        }
        let reply = victim.says(&Method::DELETE, &format!("/api/phone/logins/{name}"), "").await;
        assert_eq!(reply.status, 404, "{name}: {}", reply.text());
    }
    for query in ["?wait=soon", "?wait=-1", "?after=a&after=b", "?wait=99999999999999999999999"] {
        let path = format!("/api/tickets/{}{query}", victim.element.page.ticket);
        let reply = Reply::of(victim.call(&Method::GET, &path)).await.unwrap();
        is_clear(&reply, "400 invalid_request", query);
    }
    victim.is_unharmed().await;
}

#[tokio::test]
async fn the_wrong_method_or_address_is_told_apart() {
    let victim = Victim::new().await;
    for (_, path, _) in victim.calls() {
        if path.ends_with("/me") {
            continue;
        }
        let reply = Reply::of(victim.call(&Method::PATCH, &path)).await.unwrap();
        is_clear(&reply, "405 method_not_allowed", &path);
        assert!(!reply.header("allow").is_empty(), "{path} does not say what it takes");
    }
    for path in ["/oauth2/token", "/oauth2/par", "/oauth2/jwks"] {
        let reply = Reply::of(victim.call(&Method::PATCH, path)).await.unwrap();
        assert_eq!(
            (reply.status, &reply.json()["error"]),
            (405.try_into().unwrap(), &json!("invalid_request"))
        );
        assert!(!reply.header("allow").is_empty(), "{path} does not say what it takes");
    }
    let nowhere = Reply::of(victim.call(&Method::GET, "/oauth2/nowhere")).await.unwrap();
    assert_eq!(nowhere.problem(), "404 invalid_request");
    for path in ["/api", "/api/", "/api/tickets/a/b/c", "/api/phone", "/nowhere", "//"] {
        let reply = Reply::of(victim.call(&Method::GET, path)).await.unwrap();
        assert_eq!(reply.problem(), "404 not_found", "{path}");
    }
    for path in ["/avatars/%FF/x", "/assets/%FF"] {
        let reply = victim.saoma.browser().get(path).await.unwrap();
        is_clear(&reply, "404 not_found", path);
    }
}

#[tokio::test]
async fn a_js_code_that_wechat_would_never_give_is_not_carried_there() {
    let victim = Victim::new().await;
    let before = victim.saoma.wechat.pretend.count("/sns/jscode2session");
    let path = format!("/api/phone/tickets/{}/scan", victim.asked.scene);
    for js_code in ["", " ", "a b", "a\u{0}b", "码", "a\nb", &"x".repeat(513)] {
        let reply =
            victim.says(&Method::POST, &path, json!({ "js_code": js_code }).to_string()).await;
        is_clear(&reply, "400 invalid_request", js_code);
    }
    assert_eq!(victim.saoma.wechat.pretend.count("/sns/jscode2session"), before);
    victim.is_unharmed().await;
}

#[tokio::test]
async fn a_token_in_an_odd_place_or_shape_is_no_token() {
    let victim = Victim::new().await;
    let url = format!("{}/api/phone/tickets/{}/approve", victim.saoma.url, victim.asked.scene);
    let token = &victim.asked.token;
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Basic abc",
        token,
        &format!("Token {token}"),
        &format!("Bearer {token} x"),
    ] {
        let request = victim.saoma.http.post(&url).header("authorization", value).json(&json!({}));
        is_clear(&Reply::of(request).await.unwrap(), "401 unauthorized", value);
    }
    let query = victim
        .saoma
        .http
        .post(format!("{url}?token={token}&access_token={token}"))
        .json(&json!({ "token": token }));
    is_clear(&Reply::of(query).await.unwrap(), "401 unauthorized", "in the query and the body");
    victim.is_unharmed().await;
}
