//! `openapi.json` and what is served: the same routes, the same shapes.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use saoma::{
    http,
    try_it::actors::{Browser, Reply},
};
use serde_json::{Value, json};

use crate::support::{Saoma, claims};

/// Every route of a router, such as "get /api/tickets/{ticket}", as axum itself shows them.
fn routes(router: &axum::Router) -> BTreeSet<String> {
    let shown = format!("{router:?}");
    let (routes, rest) = shown.split_once("node: Node {").unwrap();
    let (paths, _) = rest.split_once("} }").unwrap();
    let mut methods = BTreeMap::new();
    for route in routes.split("RouteId(").skip(1) {
        let (id, route) = route.split_once(')').unwrap();
        let (_, allowed) = route.split_once("allow_header: Bytes(b\"").unwrap();
        methods.insert(id, allowed.split('"').next().unwrap().to_ascii_lowercase());
    }
    let mut found = BTreeSet::new();
    assert_eq!(paths.matches("RouteId(").count(), methods.len());
    for entry in paths.split("RouteId(").skip(1) {
        let (id, path) = entry.split_once("): \"").unwrap();
        let path = path.split('"').next().unwrap();
        // A GET may always be asked without its body.
        for method in methods[id].split(',').filter(|method| *method != "head") {
            found.insert(format!("{method} {path}"));
        }
    }
    assert!(found.contains("get /healthz"), "axum shows its routes otherwise: {shown}");
    found
}

fn documented(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
    });
    operations.collect()
}

#[tokio::test]
async fn every_route_is_in_the_document_and_the_reverse() {
    let saoma = Saoma::starts().await;
    for (router, document) in [
        (http::public(saoma.app.clone()), http::document()),
        (http::operators(saoma.app.clone()), http::operators_document()),
    ] {
        let (served, documented) = (routes(&router), documented(&document));
        let missing: Vec<_> = served.difference(&documented).collect();
        let gone: Vec<_> = documented.difference(&served).collect();
        assert!(missing.is_empty(), "served, but not in http/openapi/*.rs: {missing:?}");
        assert!(gone.is_empty(), "in http/openapi/*.rs, but not served: {gone:?}");
    }
}

#[tokio::test]
async fn it_is_published_as_the_command_prints_it() {
    let saoma = Saoma::starts().await;
    let published = Reply::of(saoma.http.get(format!("{}/openapi.json", saoma.url))).await.unwrap();
    assert_eq!(published.header("access-control-allow-origin"), "*");
    let command = env!("CARGO_BIN_EXE_saoma");
    let printed = std::process::Command::new(command).arg("openapi").output().unwrap();
    assert!(printed.status.success());
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(published.json(), printed);
    assert_eq!(printed["openapi"], "3.1.0");
}

#[test]
fn every_name_and_reference_in_it_leads_somewhere_and_no_call_is_named_twice() {
    for document in [http::document(), http::operators_document()] {
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name.to_owned()), "{name} stands twice");
                assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
                for scheme in operation["security"].as_array().into_iter().flatten() {
                    let scheme = scheme.as_object().unwrap().keys().next().unwrap();
                    let known = &document["components"]["securitySchemes"][scheme];
                    assert!(known.is_object(), "{method} {path}: {scheme}");
                }
            }
        }
    }
}

fn golden() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.golden.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

#[test]
fn the_examples_of_the_protocol_are_all_in_it_and_of_the_shapes_it_says() {
    let document = http::document();
    let mut seen = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                for (_, media) in answer["content"].as_object().into_iter().flatten() {
                    for (name, example) in media["examples"].as_object().into_iter().flatten() {
                        let wrong = faults(&document, &media["schema"], &example["value"]);
                        assert!(wrong.is_empty(), "{method} {path} {status} {name}: {wrong:?}");
                        seen.insert(name.clone());
                    }
                }
            }
        }
    }
    let mut named: BTreeSet<_> = golden().as_object().unwrap().keys().cloned().collect();
    for list in ["phone.why", "phone.problems"] {
        named.remove(list);
    }
    assert_eq!(named.difference(&seen).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn every_reason_for_doubt_is_in_the_golden_file_where_the_phone_looks_for_its_words() {
    let document = http::document();
    let reasons = document["components"]["schemas"]["Why"]["oneOf"].as_array().unwrap();
    let words: Vec<_> = reasons.iter().map(|reason| reason["const"].clone()).collect();
    assert_eq!(golden()["phone.why"], Value::from(words));
}

#[test]
fn every_problem_of_a_phone_is_in_the_golden_file_where_the_phone_looks_for_its_words() {
    let document = http::document();
    let mut problems = BTreeMap::<String, BTreeSet<String>>::new();
    let paths = document["paths"].as_object().unwrap().iter();
    for (_, item) in paths.filter(|(path, _)| path.starts_with("/api/phone")) {
        for (status, answer) in item.as_object().unwrap().values().flat_map(answers) {
            let shape = &answer["content"]["application/problem+json"]["schema"]["allOf"][1];
            let codes = shape["properties"]["code"]["enum"].as_array().into_iter().flatten();
            let codes = codes.map(|code| code.as_str().unwrap().to_owned());
            problems.entry(status.clone()).or_default().extend(codes);
        }
    }
    problems.retain(|_, codes| !codes.is_empty());
    assert_eq!(golden()["phone.problems"], json!(problems));
}

fn answers(operation: &Value) -> &serde_json::Map<String, Value> {
    operation["responses"].as_object().unwrap()
}

/// What of `value` is not as `schema` of this document has it. It knows the words of JSON Schema that the document uses, and
/// fails on any other rather than pass over it.
fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let of = |schema: &Value, value: &Value| faults(document, schema, value);
    let Some(words) = schema.as_object() else {
        return if schema == &json!(true) { vec![] } else { vec![format!("{value} at {schema}")] };
    };
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
    };
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("type {other} is new here"),
    };
    let mut found = Vec::new();
    for (word, asked) in words {
        let holds = match word.as_str() {
            "title" | "description" | "default" | "format" | "examples" => true,
            "$ref" => {
                let target = document.pointer(asked.as_str().unwrap().trim_start_matches('#'));
                found.extend(of(target.unwrap(), value));
                true
            }
            "allOf" => {
                found.extend(asked.as_array().unwrap().iter().flat_map(|one| of(one, value)));
                true
            }
            "anyOf" => asked.as_array().unwrap().iter().any(|one| of(one, value).is_empty()),
            "oneOf" => {
                let fits = asked.as_array().unwrap().iter().filter(|one| of(one, value).is_empty());
                fits.count() == 1
            }
            "type" if asked.is_array() => texts(asked).iter().any(|name| is(name)),
            "type" => is(asked.as_str().unwrap()),
            "const" => value == asked,
            "enum" => asked.as_array().unwrap().contains(value),
            "minimum" => value.as_i64().is_none_or(|n| n >= asked.as_i64().unwrap()),
            "maximum" => value.as_i64().is_none_or(|n| n <= asked.as_i64().unwrap()),
            "required" => value
                .as_object()
                .is_none_or(|fields| texts(asked).iter().all(|name| fields.contains_key(name))),
            "properties" => {
                for (name, shape) in asked.as_object().unwrap() {
                    if let Some(field) = value.get(name) {
                        found
                            .extend(of(shape, field).into_iter().map(|it| format!("{name}: {it}")));
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = &schema["properties"];
                for (name, field) in value.as_object().into_iter().flatten() {
                    if known.get(name).is_none() {
                        found
                            .extend(of(asked, field).into_iter().map(|it| format!("{name}: {it}")));
                    }
                }
                true
            }
            "items" => {
                found.extend(value.as_array().into_iter().flatten().flat_map(|one| of(asked, one)));
                true
            }
            "uniqueItems" => true,
            other => panic!("{other} is new here: {schema}"),
        };
        if !holds {
            found.push(format!("{value} is not of {word} {asked}"));
        }
    }
    found
}

#[test]
fn the_reader_of_shapes_sees_what_is_wrong() {
    let document = http::document();
    let state = &document["components"]["schemas"]["State"];
    assert_eq!(faults(&document, state, &json!({ "state": "waiting", "expires_in": 1 })).len(), 0);
    for wrong in [
        json!({ "state": "waiting" }),
        json!({ "state": "lost", "expires_in": 1 }),
        json!({ "state": "waiting", "expires_in": "1" }),
        json!({ "state": "waiting", "expires_in": 1, "person": {} }),
        json!([]),
    ] {
        assert_ne!(faults(&document, state, &wrong).len(), 0, "{wrong}");
    }
}

/// Holds one answer to the document: its status is there, its form is there, and its body has the shape.
fn holds(document: &Value, operation: &str, reply: &Reply) {
    let (method, path) = operation.split_once(' ').unwrap();
    let told = &document["paths"][path][method];
    assert!(told.is_object(), "{operation} is not in the document");
    let answer = &told["responses"][reply.status.as_str()];
    assert!(answer.is_object(), "{operation} answered {}: {}", reply.status, reply.text());
    let form = reply.header("content-type").split(';').next().unwrap();
    let media = &answer["content"][form];
    if reply.body.is_empty() && form.is_empty() {
        return;
    }
    assert!(media.is_object(), "{operation} answered {} as {form:?}", reply.status);
    if form.ends_with("json") {
        let wrong = faults(document, &media["schema"], &reply.json());
        assert!(wrong.is_empty(), "{operation}: {wrong:?} in {}", reply.text());
    }
}

/// A browser whose every call is held to the document.
struct Held<'a> {
    document: &'a Value,
    browser: Browser,
}

impl Held<'_> {
    async fn gets(&self, operation: &str, url: &str) -> Reply {
        let reply = self.browser.get(url).await.unwrap();
        holds(self.document, operation, &reply);
        reply
    }
}

#[tokio::test]
async fn pages_answer_as_it_says() {
    let saoma = Saoma::starts().await;
    let document = http::document();
    let held = Held { document: &document, browser: saoma.browser() };
    let (browser, phone, blog) = (&held.browser, saoma.phone("ann"), saoma.site("blog"));
    held.gets("get /", "/").await;
    held.gets("get /login", "/login").await;
    held.gets("get /me.json", "/me.json").await;
    held.gets("get /forget", "/forget").await;
    held.gets("get /forget/scan", "/forget/scan").await;
    held.gets("get /oauth2/authorize", &blog.asks()).await;
    held.gets("get /oauth2/authorize", "/oauth2/authorize?client_id=nobody").await;
    for (operation, url) in [
        ("get /.well-known/openid-configuration", "/.well-known/openid-configuration"),
        ("get /.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server"),
        ("get /oauth2/jwks", "/oauth2/jwks"),
        ("get /oauth2/userinfo", "/oauth2/userinfo"),
        ("get /oauth2/logout", "/oauth2/logout"),
        ("get /oauth2/logout", "/oauth2/logout?id_token_hint=nonsense"),
        ("get /openapi.json", "/openapi.json"),
        ("get /healthz", "/healthz"),
        ("get /readyz", "/readyz"),
        ("get /wechat-login.js", "/wechat-login.js"),
        ("get /wechat-login.d.ts", "/wechat-login.d.ts"),
        ("get /custom-elements.json", "/custom-elements.json"),
        ("get /assets/{name}", "/assets/page.css"),
        ("get /assets/{name}", "/assets/nothing"),
        ("get /avatars/{name}/{version}", "/avatars/nobody/1"),
        ("get /tickets/{ticket}/answer", "/tickets/nothing/answer"),
        ("get /api/tickets/{ticket}", "/api/tickets/nothing"),
        ("get /api/tickets/{ticket}", "/api/tickets/nothing?wait=x"),
        ("get /api/tickets/{ticket}/events", "/api/tickets/nothing/events"),
        ("get /api/tickets/{ticket}/ws", "/api/tickets/nothing/ws"),
    ] {
        held.gets(operation, url).await;
    }
    let page = browser.opens(&blog.asks()).await.unwrap();
    let path = format!("/api/tickets/{}", page.ticket);
    held.gets("get /api/tickets/{ticket}/code", &format!("{path}/code")).await;
    held.gets("get /api/tickets/{ticket}", &path).await;
    for verb in ["digits", "claim"] {
        let reply = browser.calls(&page, verb).await.unwrap();
        holds(&document, &format!("post /api/tickets/{{ticket}}/{verb}"), &reply);
    }
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    held.gets("get /api/tickets/{ticket}", &path).await;
    for verb in ["digits", "renew"] {
        let reply = browser.calls(&page, verb).await.unwrap();
        holds(&document, &format!("post /api/tickets/{{ticket}}/{verb}"), &reply);
    }
    phone.approves(&asked).await.unwrap();
    held.gets("get /api/tickets/{ticket}", &path).await;
    for verb in ["claim", "cancel", "renew"] {
        let reply = browser.calls(&page, verb).await.unwrap();
        holds(&document, &format!("post /api/tickets/{{ticket}}/{verb}"), &reply);
    }
    let page = browser.opens(&blog.asks()).await.unwrap();
    for verb in ["renew", "cancel"] {
        let reply = browser.calls(&page, verb).await.unwrap();
        holds(&document, &format!("post /api/tickets/{{ticket}}/{verb}"), &reply);
    }
}

#[tokio::test]
async fn embedded_pages_and_phones_are_answered_as_it_says() {
    let saoma = Saoma::starts().await;
    let document = http::document();
    let (blog, phone) = (saoma.site("blog"), saoma.phone("ann"));
    let browser = saoma.browser();
    let open = "post /api/tickets";
    let opened = browser.posts("/api/tickets", &blog.opening(), &blog.origin).await.unwrap();
    holds(&document, open, &opened);
    for (body, origin) in [
        (json!({}), blog.origin.as_str()),
        (json!({ "client_id": "nobody", "redirect_uri": "" }), blog.origin.as_str()),
        (blog.opening(), "https://evil.example"),
    ] {
        let refused = browser.posts("/api/tickets", &body, origin).await.unwrap();
        assert!(refused.status.is_client_error());
        holds(&document, open, &refused);
    }
    let embedded = blog.embeds().await;
    holds(&document, "post /api/tickets/{ticket}/digits", &embedded.calls("digits").await);
    let post = async |path: &str, token: Option<&str>, body: Value| {
        phone.calls(Method::POST, path, token, &body).await.unwrap()
    };
    let scene = saoma.scene(&embedded.page.ticket).await;
    let js_code = async || phone.logs_in().await.unwrap();
    let scan = "post /api/phone/tickets/{scene}/scan";
    holds(&document, scan, &post("tickets/nothing/scan", None, json!({ "js_code": "x" })).await);
    holds(&document, scan, &post("tickets/nothing/scan", None, json!({ "entry": [] })).await);
    let typed = post("codes/00000000/scan", None, json!({ "js_code": js_code().await })).await;
    holds(&document, "post /api/phone/codes/{digits}/scan", &typed);
    let body = json!({ "js_code": js_code().await, "entry": 1048, "protocol": 1 });
    let scanned = post(&format!("tickets/{scene}/scan"), None, body).await;
    holds(&document, scan, &scanned);
    let (token, path) = (scanned.json()["token"].clone(), format!("tickets/{scene}/approve"));
    let approve = "post /api/phone/tickets/{scene}/approve";
    for (token, body) in [(None, json!({})), (token.as_str(), json!({}))] {
        holds(&document, approve, &post(&path, token, body).await);
    }
    let standing = browser.get(&format!("/api/tickets/{}", embedded.page.ticket)).await.unwrap();
    holds(&document, "get /api/tickets/{ticket}", &standing);
    let yes = json!({ "match": standing.json()["match"], "scopes": ["profile"] });
    let approved = post(&path, token.as_str(), yes).await;
    holds(&document, approve, &approved);
    assert_eq!(approved.status, 200);
    let denied = post(&format!("tickets/{scene}/deny"), token.as_str(), json!({})).await;
    holds(&document, "post /api/phone/tickets/{scene}/deny", &denied);
    holds(&document, "post /api/tickets/{ticket}/claim", &embedded.calls("claim").await);

    let opened = post("session", None, json!({ "js_code": js_code().await })).await;
    holds(&document, "post /api/phone/session", &opened);
    let token = opened.json()["token"].as_str().unwrap().to_owned();
    let nobody = saoma.phone("bob");
    let body = json!({ "js_code": nobody.logs_in().await.unwrap() });
    let other = nobody.calls(Method::POST, "session", None, &body).await.unwrap().json();
    let me = nobody.calls(Method::GET, "me", other["token"].as_str(), &json!({})).await.unwrap();
    holds(&document, "get /api/phone/me", &me);
    // With an attempt that a site's owner let come to nothing.
    for site in ["family", "study"] {
        let (_, asked) = saoma.scans(&saoma.browser(), &saoma.site(site), &phone).await;
        phone.approves(&asked).await.unwrap_err();
    }
    for (method, path, template, body) in [
        (Method::PUT, "profile", "/api/phone/profile", json!({ "nickname": "Ann" })),
        (Method::PUT, "profile", "/api/phone/profile", json!({ "nickname": 7 })),
        (Method::GET, "logins", "/api/phone/logins", json!({})),
        (Method::GET, "attempts", "/api/phone/attempts", json!({})),
        (Method::GET, "consents", "/api/phone/consents", json!({})),
        (Method::GET, "me", "/api/phone/me", json!({})),
        (Method::DELETE, "logins/nothing", "/api/phone/logins/{id}", json!({})),
        (Method::DELETE, "consents/blog", "/api/phone/consents/{site}", json!({})),
        (Method::DELETE, "logins", "/api/phone/logins", json!({ "js_code": js_code().await })),
        (Method::DELETE, "me", "/api/phone/me", json!({ "js_code": js_code().await })),
        (Method::DELETE, "session", "/api/phone/session", json!({})),
    ] {
        let operation = format!("{} {template}", method.as_str().to_ascii_lowercase());
        let reply = phone.calls(method, path, Some(&token), &body).await.unwrap();
        assert!(!reply.status.is_server_error(), "{operation}: {}", reply.text());
        holds(&document, &operation, &reply);
        let stranger = Method::from_bytes(
            operation.split(' ').next().unwrap().to_ascii_uppercase().as_bytes(),
        );
        let reply = phone.calls(stranger.unwrap(), path, None, &body).await.unwrap();
        assert!(reply.status.is_client_error(), "{operation}: {}", reply.status);
        holds(&document, &operation, &reply);
    }
}

#[tokio::test]
async fn sites_are_answered_as_it_says() {
    let saoma = Saoma::starts().await;
    let document = http::document();
    let (shop, browser, phone) = (saoma.site("shop"), saoma.browser(), saoma.phone("ann"));
    let all = "openid profile email wechat offline_access";
    let page = browser.opens(&shop.asks_with(&[("scope", all)])).await.unwrap();
    let asked = phone.scans(&saoma.scene(&page.ticket).await, 1047).await.unwrap();
    let ticks: Vec<_> = all.split(' ').collect();
    phone.approves_with(&asked, &json!({ "scopes": ticks })).await.unwrap();
    let code = claims(&browser, &page).await;
    let token = "post /oauth2/token";
    let redeemed = shop.redeems(&code).await;
    assert_eq!(redeemed.status, 200);
    holds(&document, token, &redeemed);
    let tokens = redeemed.json();
    let (access, refresh) =
        (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    holds(&document, "get /oauth2/userinfo", &shop.asks_who(access).await);
    holds(&document, "get /oauth2/userinfo", &shop.asks_who("nothing").await);
    let secret = shop.secret.clone().unwrap();
    let post = async |path: &str, form: &[(&str, &str)]| {
        Reply::of(saoma.http.post(format!("{}{path}", saoma.url)).form(form)).await.unwrap()
    };
    let (id, known) = (("client_id", "shop"), ("client_secret", secret.as_str()));
    let of = |token| ("token", token);
    for form in [
        &[id, known, of(access)][..],
        &[id, known, of(refresh)],
        &[id, known, of("nothing")],
        &[id, known],
        &[id, of(access)],
    ] {
        holds(&document, "post /oauth2/introspect", &post("/oauth2/introspect", form).await);
    }
    for form in [
        &[id, known, ("grant_type", "refresh_token"), ("refresh_token", refresh)][..],
        &[id, known, ("grant_type", "refresh_token"), ("refresh_token", "nothing")],
        &[id, known, ("grant_type", "password")],
        &[id, known],
        &[id],
    ] {
        holds(&document, token, &post("/oauth2/token", form).await);
    }
    holds(
        &document,
        "post /oauth2/userinfo",
        &post("/oauth2/userinfo", &[("access_token", access)]).await,
    );
    holds(&document, "post /oauth2/userinfo", &post("/oauth2/userinfo", &[]).await);
    for form in [&[id, known, of(access)][..], &[id, known], &[]] {
        holds(&document, "post /oauth2/revoke", &post("/oauth2/revoke", form).await);
    }
    let redirect = ("redirect_uri", shop.redirect_uri.as_str());
    let challenge = crate::site::challenge(crate::site::VERIFIER);
    let pkce = [("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")];
    let (asks, scope) = (("response_type", "code"), ("scope", "openid"));
    for form in [
        &[id, known, redirect, asks, scope, pkce[0], pkce[1]][..],
        &[id, known, redirect, asks, scope],
        &[id, known],
        &[],
    ] {
        holds(&document, "post /oauth2/par", &post("/oauth2/par", form).await);
        holds(&document, "post /oauth2/authorize", &post("/oauth2/authorize", form).await);
        holds(&document, "post /oauth2/logout", &post("/oauth2/logout", form).await);
    }
    let left = browser.submits("/oauth2/logout/confirm", &[]).await.unwrap();
    holds(&document, "post /oauth2/logout/confirm", &left);
    for path in ["/sign-out", "/logins/nothing/end", "/forget"] {
        let template = path.replace("nothing", "{id}");
        holds(&document, &format!("post {template}"), &browser.submits(path, &[]).await.unwrap());
    }
}
