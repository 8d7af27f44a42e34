//! The pretend WeChat's own controls, over HTTP as a test in any language would use them.

use serde_json::{Value, json};
use wechat::Api;

use crate::support::{SECRET, START, World};

impl World {
    async fn control(&self, name: &str, body: Value) {
        let reply = self.post(&format!("/pretend/{name}"), body).await;
        assert_eq!(reply.status, 204, "{}", String::from_utf8_lossy(&reply.body));
    }
}

#[tokio::test]
async fn wx_login_gives_a_person_a_js_code() {
    let world = World::held().await;
    let js_code = async |body| {
        let reply = world.post("/pretend/js_code", body).await.json();
        reply["js_code"].as_str().unwrap().to_owned()
    };
    let plain = js_code(json!({"person": "alice"})).await;
    let session = world.exchange(&plain).await.json();
    assert_eq!(session["openid"], world.pretend.openid("alice"));
    assert!(session.get("unionid").is_none());

    let named = js_code(json!({"person": "alice", "unionid": "everywhere"})).await;
    assert_eq!(world.exchange(&named).await.json()["unionid"], "everywhere");
    let (one, two) = (
        js_code(json!({"person": "alice", "unionid": true})).await,
        js_code(json!({"person": "alice", "unionid": true})).await,
    );
    let own = world.exchange(&one).await.json()["unionid"].clone();
    assert_eq!(own.as_str().unwrap().len(), 28);
    assert_eq!(world.exchange(&two).await.json()["unionid"], own);
}

#[tokio::test]
async fn trouble_comes_as_often_as_it_was_ordered_and_only_on_its_path() {
    let world = World::held().await;
    let path = Api::Code2Session.path();
    world.control("trouble", json!({"path": path, "errcode": 45011, "times": 2})).await;
    world.control("trouble", json!({"path": path, "status": 502, "body": "<html>"})).await;
    assert!(!world.token().await.is_empty(), "other paths are as ever");
    let text = "api minute-quota reach limit, must slower, retry next minute";
    for _ in 0..2 {
        world.get(path).await.refuses(45011, text, START);
    }
    let gateway = world.get(path).await;
    assert_eq!((gateway.status, &gateway.body[..]), (502, &b"<html>"[..]));
    world.get(path).await.refuses(41002, "appid missing", START);

    world.control("trouble", json!({"path": "*", "body": "garbage", "times": 9})).await;
    assert_eq!(world.get(path).await.body, b"garbage");
    assert_eq!(world.call("DELETE", "/pretend/trouble", None).await.status, 204);
    world.get(path).await.refuses(41002, "appid missing", START);
}

#[tokio::test]
async fn a_cut_connection_loses_the_answer_but_not_the_effect() {
    let world = World::held().await;
    let js_code = world.pretend.js_code("alice", None);
    world.control("trouble", json!({"path": Api::Code2Session.path(), "cut": true})).await;
    let target = format!(
        "{}/sns/jscode2session?appid=wx1234567890abcdef&secret={SECRET}&js_code={js_code}&grant_type=authorization_code",
        world.url
    );
    let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(target).send().await;
    let broken = match answer {
        Ok(answer) => answer.bytes().await.is_err(),
        Err(_) => true,
    };
    assert!(broken);
    world.exchange(&js_code).await.refuses(40163, "code been used", START);
}

#[tokio::test]
async fn tokens_are_forgotten_pages_published_and_time_passes() {
    let world = World::held().await;
    let code = json!({"scene": "s", "page": "pages/new/new"});
    let first = world.token().await;
    let ask = async |token: &str| {
        let target = format!("/wxa/getwxacodeunlimit?access_token={token}");
        world.post(&target, code.clone()).await
    };
    assert_eq!(ask(&first).await.json()["errcode"], 41030);
    world.control("publish", json!({"pages": ["pages/new/new"]})).await;
    assert_eq!(ask(&first).await.header("content-type"), Some("image/jpeg"));
    world.control("forget_tokens", json!({})).await;
    assert_eq!(ask(&first).await.json()["errcode"], 40001);

    let second = world.token().await;
    world.control("clock", json!({"advance_s": 7200})).await;
    ask(&second).await.refuses(42001, "access_token expired", START + 7200);
}

#[tokio::test]
async fn faults_of_the_account_and_limits_are_set_and_taken_back() {
    let world = World::held().await;
    let errcode = async || {
        let body = json!({"grant_type": "client_credential", "appid": "wx1234567890abcdef", "secret": SECRET});
        world.post("/cgi-bin/stable_token", body).await.json()["errcode"].as_i64().unwrap_or(0)
    };
    for (fault, expected) in [
        (json!({"ip_list": ["192.0.2.1"]}), 40164),
        (json!({"secret_frozen": true}), 40243),
        (json!({"confirmation": 89503}), 89503),
        (json!({"banned": 50004}), 50004),
        (json!({}), 0),
    ] {
        world.control("account", fault).await;
        assert_eq!(errcode().await, expected);
    }
    world.control("account", json!({"risky_persons": ["mallory"], "codes_used": 100_000})).await;
    let mallory = world.pretend.js_code("mallory", None);
    world.exchange(&mallory).await.refuses(40226, "code blocked", START);
    let used_up = world.post_with_token("/wxa/getwxacode", json!({"path": "p"})).await;
    used_up.refuses(45029, "qrcode count out of limit", START);

    world.control("limit", json!({"path": "/cgi-bin/stable_token", "day": 0})).await;
    assert_eq!(errcode().await, 45009);
}

#[tokio::test]
async fn every_call_is_listed_and_no_secret_with_it() {
    let world = World::held().await;
    let js_code = world.pretend.js_code("alice", None);
    world.exchange(&js_code).await;
    let token = world.token().await;
    world.post(&format!("/wxa/getwxacode?access_token={token}"), json!({"path": ""})).await;

    let listed = world.get("/pretend/calls").await;
    let text = String::from_utf8(listed.body.clone()).unwrap();
    for secret in [SECRET, &token, &js_code] {
        assert!(!text.contains(secret), "{text}");
    }
    let listed = listed.json();
    let told: Vec<_> = listed["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| (call["path"].as_str().unwrap(), call["errcode"].as_i64().unwrap()))
        .collect();
    assert_eq!(
        told,
        [("/sns/jscode2session", 0), ("/cgi-bin/stable_token", 0), ("/wxa/getwxacode", 40159)]
    );
    assert_eq!(listed["calls"][0]["query"]["js_code"], "***");
    assert_eq!(listed["calls"][1]["body"]["secret"], "***");
}

#[tokio::test]
async fn a_control_that_is_not_understood_says_why() {
    let world = World::held().await;
    let reply = world.post("/pretend/trouble", json!({"path": "/x", "errorcode": -1})).await;
    let text = String::from_utf8(reply.body).unwrap();
    assert_eq!(reply.status, 400);
    assert!(text.contains("errorcode") && text.contains("GET /pretend/"), "{text}");
    assert_eq!(world.get("/cgi-bin/nothing").await.status, 404);
    let help = String::from_utf8(world.get("/pretend/").await.body).unwrap();
    assert!(help.contains("POST /pretend/js_code"));
}

#[tokio::test]
async fn quotas_are_told_cleared_and_cleared_ten_times_a_month() {
    let world = World::held().await;
    let client = world.client();
    for _ in 0..3 {
        client.code(&wechat::Code::new("p").unwrap()).await.unwrap();
    }
    let quota = client.quota_of(Api::Code).await.unwrap();
    assert_eq!((quota.used, quota.daily_limit - quota.used), (3, quota.remain));
    let refused = client.quota_of(Api::Code2Session).await.unwrap_err();
    assert_eq!(refused.refusal().unwrap().errcode, 76022, "not told below /sns");

    for _ in 0..10 {
        client.clear_quota().await.unwrap();
    }
    assert_eq!(client.quota_of(Api::Code).await.unwrap().used, 0);
    let refused = client.clear_quota().await.unwrap_err();
    assert_eq!(refused.refusal().unwrap().errcode, 48006);
    let body = json!({"appid": "wx1234567890abcdef", "appsecret": SECRET});
    let text = "forbid to clear quota because of reaching the limit";
    world.post("/cgi-bin/clear_quota/v2", body).await.refuses(48006, text, START);
}

#[tokio::test]
async fn a_refused_call_is_found_again_by_its_request_id() {
    let world = World::held().await;
    let client = world.client();
    let refused = client.quota_of(Api::Code2Session).await.unwrap_err();
    let rid = refused.refusal().unwrap().rid.clone().unwrap();
    let told = client.rid(&rid).await.unwrap();
    assert_eq!(told["invoke_time"], START);
    assert_eq!(told["client_ip"], "127.0.0.1");
    let unknown = client.rid("00000000-00000000-00000000").await.unwrap_err();
    assert_eq!(unknown.refusal().unwrap().errcode, 76001);
}
