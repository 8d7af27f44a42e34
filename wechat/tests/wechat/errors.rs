//! Every row of the error table (wechat-api.md section 12): how the pretend WeChat is brought to
//! it, what it says byte for byte, and whom the client tells to act.

use std::time::Duration;

use serde_json::{Value, json};
use wechat::pretend::{Ban, Confirmation, Limit, Trouble};
use wechat::{
    Act, Api, Code, Error, JsCode, Page, QrCode, Refusal, RestReason, Scene, SessionKey,
    TokenEndpoint, UnlimitedCode,
};

use crate::support::{APPID, Reply, SECRET, START, World};

const CODES: [&str; 3] =
    ["/wxa/getwxacode", "/wxa/getwxacodeunlimit", "/cgi-bin/wxaapp/createwxaqrcode"];
const NOT_LATEST: &str = "invalid credential, access_token is invalid or not latest, could get access_token by getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r";

fn login() -> Page {
    Page::new("pages/login/login").unwrap()
}

fn code() -> UnlimitedCode {
    UnlimitedCode::new(Scene::new("s").unwrap()).page(login())
}

fn js_code(world: &World, person: &str) -> JsCode {
    JsCode::new(world.pretend.js_code(person, None)).unwrap()
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::Refused(refusal) => refusal,
        other => panic!("not refused: {other}"),
    }
}

fn is_for_the_operator(refusal: &Refusal) -> bool {
    matches!(refusal.act(), Act::Operator(_))
}

/// Both token endpoints, asked with these credentials.
async fn ask_both(world: &World, appid: &str, secret: &str) -> [Reply; 2] {
    let body = json!({"grant_type": "client_credential", "appid": appid, "secret": secret});
    let query = format!("grant_type=client_credential&appid={appid}&secret={secret}");
    [
        world.get(&format!("/cgi-bin/token?{query}")).await,
        world.post("/cgi-bin/stable_token", body).await,
    ]
}

/// One body that every code API takes.
fn any_code() -> Value {
    json!({"scene": "s", "path": "pages/login/login?scene=s"})
}

#[tokio::test]
async fn row_minus_1_the_system_is_busy() {
    let world = World::held().await;
    for path in ["/cgi-bin/token", "/sns/jscode2session", "/wxa/getwxacodeunlimit"] {
        world.pretend.trouble(Trouble::on(path).errcode(-1));
        world.get(path).await.refuses(-1, "system error", START);
    }
}

#[tokio::test]
async fn row_minus_1_is_tried_three_times_and_no_more() {
    let world = World::start().await;
    let client = world.client();
    let path = Api::UnlimitedCode.path();
    world.pretend.trouble(Trouble::on(path).errcode(-1).times(2));
    client.code_unlimited(&code()).await.unwrap();
    assert_eq!(world.pretend.count(path), 3);

    world.pretend.trouble(Trouble::on(path).errcode(-1).times(9));
    let refusal = refusal(client.code_unlimited(&code()).await.unwrap_err());
    assert_eq!((refusal.errcode, refusal.act()), (-1, Act::Retry));
    assert_eq!(world.pretend.count(path), 6);
}

#[tokio::test]
async fn row_40001_an_unknown_or_replaced_token() {
    let world = World::held().await;
    for path in CODES {
        world
            .post(&format!("{path}?access_token=41_nobody"), any_code())
            .await
            .refuses(40001, NOT_LATEST, START);
    }
    let old = world.token().await;
    world.pretend.forget_tokens();
    world
        .post(&format!("/wxa/getwxacodeunlimit?access_token={old}"), any_code())
        .await
        .refuses(40001, NOT_LATEST, START);
}

#[tokio::test]
async fn row_40001_is_mended_by_one_fresh_token_and_one_more_try() {
    for endpoint in [TokenEndpoint::Stable, TokenEndpoint::Plain] {
        let world = World::held().await;
        let client = world.builder().token_endpoint(endpoint).build().unwrap();
        client.code_unlimited(&code()).await.unwrap();
        world.pretend.forget_tokens();
        client.code_unlimited(&code()).await.unwrap();
        assert_eq!(world.pretend.count(Api::UnlimitedCode.path()), 3);
        let tokens = ["/cgi-bin/token", "/cgi-bin/stable_token"].map(|p| world.pretend.count(p));
        assert_eq!(tokens.iter().sum::<usize>(), 2);
    }
}

#[tokio::test]
async fn row_40001_that_goes_on_is_not_tried_a_third_time() {
    for errcode in [40001, 40014, 42001] {
        let world = World::held().await;
        let client = world.client();
        let path = Api::UnlimitedCode.path();
        world.pretend.trouble(Trouble::on(path).errcode(errcode).times(100));
        let refusal = refusal(client.code_unlimited(&code()).await.unwrap_err());
        assert_eq!(refusal.errcode, errcode);
        assert_eq!(world.pretend.count(path), 2);
    }
}

#[tokio::test]
async fn row_40014_a_malformed_token() {
    let world = World::held().await;
    world.pretend.account(|account| account.strict_token_form = true);
    let target = "/wxa/getwxacode?access_token=no-token-at-all";
    world.post(target, any_code()).await.refuses(40014, "invalid access_token", START);
    let target = "/wxa/getwxacode?access_token=41_abcdefghijklmnopqrstuvwxyz";
    world.post(target, any_code()).await.refuses(40001, NOT_LATEST, START);
}

#[tokio::test]
async fn row_42001_a_token_past_its_life() {
    let world = World::held().await;
    let client = world.client();
    let token = world.token().await;
    client.code_unlimited(&code()).await.unwrap();
    world.pretend.advance(Duration::from_secs(7_200));
    world.post(&format!("/wxa/getwxacodeunlimit?access_token={token}"), any_code()).await.refuses(
        42001,
        "access_token expired",
        START + 7_200,
    );
    // The client's own clock has not moved, so it still trusts the token, and mends it.
    client.code_unlimited(&code()).await.unwrap();
}

#[tokio::test]
async fn row_41001_no_token_in_the_query() {
    let world = World::held().await;
    let token = world.token().await;
    for path in CODES {
        let body = json!({"access_token": token, "scene": "s", "path": "p"});
        world.post(path, body).await.refuses(41001, "access_token missing", START);
    }
}

#[tokio::test]
async fn row_40002_a_wrong_grant_type_after_the_appid_is_known() {
    let world = World::held().await;
    for grant_type in ["", "&grant_type=password"] {
        let target = format!("/cgi-bin/token?appid={APPID}&secret={SECRET}{grant_type}");
        world.get(&target).await.refuses(40002, "invalid grant_type", START);
        let target = format!("/cgi-bin/token?appid=wrong{grant_type}");
        world.get(&target).await.refuses(40013, "invalid appid", START);
    }
    let body = json!({"appid": APPID, "secret": SECRET, "grant_type": "password"});
    world.post("/cgi-bin/stable_token", body).await.refuses(40002, "invalid grant_type", START);
    let exchange = format!("/sns/jscode2session?appid={APPID}&secret={SECRET}&js_code=x");
    for wrong in ["", "&grant_type=", "&grant_type=client_credential"] {
        let target = format!("{exchange}{wrong}");
        world.get(&target).await.refuses(40002, "invalid grant_type", START);
    }
}

#[tokio::test]
async fn row_40013_an_unknown_appid() {
    let world = World::held().await;
    for reply in ask_both(&world, "wx0000000000000001", SECRET).await {
        reply.refuses(40013, "invalid appid", START);
    }
    let target = "/sns/jscode2session?appid=wrong";
    world.get(target).await.refuses(40013, "invalid appid", START);

    let stranger = wechat::Client::builder("wrong", SECRET).base_url(&world.url).build().unwrap();
    assert!(is_for_the_operator(&refusal(stranger.access_token().await.unwrap_err())));
}

#[tokio::test]
async fn row_40125_a_wrong_secret() {
    let world = World::held().await;
    for reply in ask_both(&world, APPID, "wrong").await {
        reply.refuses(40125, "invalid appsecret", START);
    }
    let target = format!(
        "/sns/jscode2session?appid={APPID}&secret=wrong&js_code=x&grant_type=authorization_code"
    );
    world.get(&target).await.refuses(40125, "invalid appsecret", START);
}

#[tokio::test]
async fn row_40001_where_a_token_is_asked_for_means_the_credentials() {
    for endpoint in [TokenEndpoint::Stable, TokenEndpoint::Plain] {
        let world = World::held().await;
        world.pretend.trouble(Trouble::on("*").errcode(40001).times(9));
        let client = world.builder().token_endpoint(endpoint).build().unwrap();
        for _ in 0..50 {
            let refusal = refusal(client.code_unlimited(&code()).await.unwrap_err());
            assert!(refusal.errcode == 40001 && is_for_the_operator(&refusal));
            assert!(!refusal.is_stale_token());
        }
        assert_eq!(world.pretend.calls().len(), 1, "like a wrong secret it stops the calls");
    }
}

#[tokio::test]
async fn row_40125_stops_the_calls() {
    let world = World::held().await;
    let client =
        wechat::Client::builder(APPID, "wrong").base_url(&world.url).seed(1).build().unwrap();
    for _ in 0..50 {
        let refusal = refusal(client.code_unlimited(&code()).await.unwrap_err());
        assert!(refusal.errcode == 40125 && is_for_the_operator(&refusal));
    }
    assert_eq!(world.pretend.count("/cgi-bin/stable_token"), 1);
    assert_eq!(world.pretend.count(Api::UnlimitedCode.path()), 0);
}

#[tokio::test]
async fn row_40243_a_frozen_secret() {
    let world = World::held().await;
    world.pretend.account(|account| account.secret_frozen = true);
    for reply in ask_both(&world, APPID, SECRET).await {
        reply.refuses(40243, "appsecret is frozen", START);
    }
    assert!(is_for_the_operator(&refusal(world.client().access_token().await.unwrap_err())));
}

#[tokio::test]
async fn row_40164_an_address_off_the_list_is_told_which_it_is() {
    let world = World::held().await;
    world.pretend.account(|account| account.ip_list = Some(vec!["192.0.2.1".parse().unwrap()]));
    let text = "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist";
    for reply in ask_both(&world, APPID, SECRET).await {
        reply.refuses(40164, text, START);
    }
    world.exchange("x").await.refuses(40164, text, START);

    let refusal = refusal(world.client().access_token().await.unwrap_err());
    assert_eq!(refusal.caller_ip, Some("127.0.0.1".parse().unwrap()));
    assert!(is_for_the_operator(&refusal));

    world.pretend.account(|account| account.ip_list = Some(vec!["127.0.0.1".parse().unwrap()]));
    world.client().access_token().await.unwrap();
}

#[tokio::test]
async fn row_41002_41004_41008_something_is_missing() {
    let world = World::held().await;
    for path in [
        "/cgi-bin/token?grant_type=client_credential",
        "/sns/jscode2session?grant_type=authorization_code",
    ] {
        world.get(path).await.refuses(41002, "appid missing", START);
        world.get(&format!("{path}&appid={APPID}")).await.refuses(
            41004,
            "appsecret missing",
            START,
        );
    }
    let body = json!({"grant_type": "client_credential"});
    world.post("/cgi-bin/stable_token", body).await.refuses(41002, "appid missing", START);
    let body = json!({"grant_type": "client_credential", "appid": APPID});
    world.post("/cgi-bin/stable_token", body).await.refuses(41004, "appsecret missing", START);
    let target =
        format!("/sns/jscode2session?appid={APPID}&secret={SECRET}&grant_type=authorization_code");
    world.get(&target).await.refuses(41008, "missing code", START);
}

#[tokio::test]
async fn row_43002_a_get_where_a_post_belongs() {
    let world = World::held().await;
    world.get("/cgi-bin/stable_token").await.refuses(43002, "require POST method", START);
    let token = world.token().await;
    for path in CODES {
        let target = format!("{path}?access_token={token}");
        world.get(&target).await.refuses(43002, "require POST method", START);
    }
}

#[tokio::test]
async fn row_44002_an_empty_body() {
    let world = World::held().await;
    let token = world.token().await;
    for path in CODES {
        let target = format!("{path}?access_token={token}");
        world.call("POST", &target, None).await.refuses(44002, "empty post data", START);
    }
    world.call("POST", "/cgi-bin/stable_token", None).await.refuses(
        44002,
        "empty post data",
        START,
    );
}

#[tokio::test]
async fn row_45009_the_day_is_used_up() {
    let world = World::held().await;
    world.pretend.limit("/cgi-bin/stable_token", Limit { minute: None, day: Some(1) });
    world.token().await;
    let text = "reach max api daily quota limit";
    ask_both(&world, APPID, SECRET).await[1].refuses(45009, text, START);

    let client = world.client();
    for _ in 0..20 {
        let refusal = refusal(client.access_token().await.unwrap_err());
        assert!(matches!(refusal.act(), Act::Later { .. }));
    }
    assert_eq!(world.pretend.count("/cgi-bin/stable_token"), 3, "asked once, then left alone");

    // Midnight in China fills it again.
    world.pretend.advance(Duration::from_secs(12 * 3_600));
    tokio::time::advance(Duration::from_secs(600)).await;
    client.access_token().await.unwrap();
}

#[tokio::test]
async fn row_45009_ends_the_day_of_code_a_and_of_sign_ins() {
    let world = World::held().await;
    let client = world.client();
    let a_day = client.quota_of(Api::Code).await.unwrap().daily_limit;
    assert_eq!(a_day, 10_000, "new codes A");
    for api in [Api::Code, Api::Code2Session] {
        world.pretend.limit(api.path(), Limit { minute: None, day: Some(0) });
        let called = async || match api {
            Api::Code => client.code(&Code::new("p").unwrap()).await.map(drop),
            _ => client.code2session(js_code(&world, "alice")).await.map(drop),
        };
        let refused = refusal(called().await.unwrap_err());
        assert_eq!(refused.act(), Act::Later { after: Duration::from_secs(3_600) });
        let resting = called().await.unwrap_err();
        let why = matches!(resting, Error::Resting { why: RestReason::Refused(45009), .. });
        assert!(why, "{resting}");
        assert_eq!(world.pretend.count(api.path()), 1, "it is left alone");
        world.pretend.limit(api.path(), Limit::default());
        tokio::time::advance(Duration::from_secs(600)).await;
        called().await.expect("somebody may have cleared it: every ten minutes it is looked at");
    }
}

#[tokio::test]
async fn row_45009_is_how_code_b_words_the_end_of_its_minute() {
    let world = World::held().await;
    let client = world.client();
    let path = Api::UnlimitedCode.path();
    world.pretend.limit(path, Limit { minute: Some(2), day: None });
    for _ in 0..2 {
        client.code_unlimited(&code()).await.unwrap();
    }
    let refused = refusal(client.code_unlimited(&code()).await.unwrap_err());
    assert_eq!(refused.errcode, 45009);
    assert_eq!(refused.act(), Act::Later { after: Duration::from_secs(60) });

    let resting = client.code_unlimited(&code()).await.unwrap_err();
    assert!(matches!(resting, Error::Resting { why: RestReason::Refused(45009), .. }), "{resting}");
    assert_eq!(world.pretend.count(path), 3, "the minute is waited for, not asked for");
    tokio::time::advance(Duration::from_secs(60)).await;
    client.code_unlimited(&code()).await.unwrap();
}

#[tokio::test]
async fn row_45011_a_person_signs_in_too_often() {
    let world = World::held().await;
    for _ in 0..100 {
        let js_code = world.pretend.js_code("busy", None);
        assert!(world.exchange(&js_code).await.json().get("openid").is_some());
    }
    let text = "api minute-quota reach limit, must slower, retry next minute";
    let again = world.pretend.js_code("busy", None);
    world.exchange(&again).await.refuses(45011, text, START);

    let client = world.client();
    let refusal = refusal(client.code2session(js_code(&world, "busy")).await.unwrap_err());
    assert_eq!(refusal.act(), Act::Later { after: Duration::from_secs(60) });
    client.code2session(js_code(&world, "calm")).await.expect("others are not held up by it");

    world.pretend.advance(Duration::from_secs(60));
    client.code2session(js_code(&world, "busy")).await.unwrap();
}

#[tokio::test]
async fn row_45011_an_api_is_called_too_often_in_a_minute() {
    let world = World::held().await;
    world.pretend.limit("/wxa/getwxacode", Limit { minute: Some(0), day: None });
    let text = "api minute-quota reach limit, must slower, retry next minute";
    world.post_with_token("/wxa/getwxacode", any_code()).await.refuses(45011, text, START);
}

#[tokio::test]
async fn row_47001_no_json_or_a_wrong_type() {
    let world = World::held().await;
    let token = world.token().await;
    for path in CODES {
        let target = format!("{path}?access_token={token}");
        for body in ["scene=s&page=p", "[1]", "\"s\"", "{\"scene\":"] {
            let reply = world.call("POST", &target, Some(body.to_owned())).await;
            reply.refuses(47001, "data format error", START);
        }
    }
    for (field, wrong) in [
        ("is_hyaline", json!(1)),
        ("auto_color", json!("true")),
        ("width", json!("430")),
        ("line_color", json!("black")),
        ("env_version", json!(1)),
    ] {
        for path in &CODES[..2] {
            let mut body = any_code();
            body[field] = wrong.clone();
            let target = format!("{path}?access_token={token}");
            world.post(&target, body).await.refuses(47001, "data format error", START);
        }
    }
    let target = format!("/wxa/getwxacodeunlimit?access_token={token}");
    for (field, wrong) in
        [("check_path", json!("false")), ("scene", json!(["s"])), ("page", json!(1))]
    {
        let mut body = any_code();
        body[field] = wrong;
        world.post(&target, body).await.refuses(47001, "data format error", START);
    }
}

#[tokio::test]
async fn row_48001_the_wrong_account() {
    let world = World::held().await;
    world.pretend.account(|account| account.unauthorized = true);
    for path in CODES {
        world.post_with_token(path, any_code()).await.refuses(48001, "api unauthorized", START);
    }
    let refusal = refusal(world.client().code_unlimited(&code()).await.unwrap_err());
    assert!(is_for_the_operator(&refusal));
}

#[tokio::test]
async fn row_50002_50004_50007_the_account_is_barred() {
    for (ban, errcode, text) in [
        (Ban::Limited, 50002, "user limited"),
        (Ban::NoTokens, 50004, "user not allow to use accesstoken, maybe for punishment"),
        (Ban::Frozen, 50007, "user frozen"),
    ] {
        let world = World::held().await;
        let token = world.token().await;
        world.pretend.account(|account| account.banned = Some(ban));
        for reply in ask_both(&world, APPID, SECRET).await {
            reply.refuses(errcode, text, START);
        }
        let target = format!("/wxa/getwxacode?access_token={token}");
        world.post(&target, any_code()).await.refuses(errcode, text, START);
        assert!(is_for_the_operator(&refusal(world.client().access_token().await.unwrap_err())));
    }
}

#[tokio::test]
async fn row_89503_89506_89507_an_administrator_must_confirm() {
    let later = |hours: u64| Act::Later { after: Duration::from_secs(hours * 3_600) };
    for (confirmation, errcode, act) in [
        (Confirmation::Waiting, 89503, None),
        (Confirmation::RefusedForADay, 89506, Some(later(24))),
        (Confirmation::RefusedForAnHour, 89507, Some(later(1))),
    ] {
        let world = World::held().await;
        world.pretend.account(|account| account.confirmation = Some(confirmation));
        let client = world.client();
        let refusal = refusal(client.access_token().await.unwrap_err());
        assert_eq!(refusal.errcode, errcode);
        assert!(refusal.errmsg.contains("管理员"));
        match act {
            Some(act) => assert_eq!(refusal.act(), act),
            None => assert!(is_for_the_operator(&refusal)),
        }
        client.access_token().await.unwrap_err();
        assert_eq!(world.pretend.count("/cgi-bin/stable_token"), 1, "it is waited, not asked");
        if let Act::Later { after } = refusal.act() {
            tokio::time::advance(after - Duration::from_secs(1)).await;
            client.access_token().await.unwrap_err();
            assert_eq!(world.pretend.count("/cgi-bin/stable_token"), 1, "for as long as they said");
            world.pretend.account(|account| account.confirmation = None);
            tokio::time::advance(Duration::from_secs(1)).await;
            client.access_token().await.unwrap();
        }
    }
}

#[tokio::test]
async fn row_40029_an_unknown_or_expired_js_code() {
    let world = World::held().await;
    world.exchange("nobody").await.refuses(40029, "invalid code", START);

    let client = world.client();
    let (fresh, old) = (js_code(&world, "alice"), js_code(&world, "alice"));
    world.pretend.advance(Duration::from_secs(299));
    client.code2session(fresh).await.unwrap();
    world.pretend.advance(Duration::from_secs(1));
    let refusal = refusal(client.code2session(old).await.unwrap_err());
    assert_eq!((refusal.errcode, refusal.act()), (40029, Act::AskPhoneAgain));
}

#[tokio::test]
async fn row_40163_a_js_code_is_good_once() {
    let world = World::held().await;
    let text = world.pretend.js_code("alice", None);
    let client = world.client();
    client.code2session(JsCode::new(text.clone()).unwrap()).await.unwrap();
    world.exchange(&text).await.refuses(40163, "code been used", START);
    let again = client.code2session(JsCode::new(text).unwrap()).await.unwrap_err();
    assert_eq!(refusal(again).act(), Act::AskPhoneAgain);
}

#[tokio::test]
async fn row_40226_a_risky_person() {
    let world = World::held().await;
    world.pretend.risky_persons(["mallory"]);
    let text = world.pretend.js_code("mallory", None);
    world.exchange(&text).await.refuses(40226, "code blocked", START);

    let client = world.client();
    let blocked = refusal(client.code2session(js_code(&world, "mallory")).await.unwrap_err());
    assert_eq!(blocked.act(), Act::BlockedByWechat);
    client.code2session(js_code(&world, "alice")).await.unwrap();
}

/// A code asked for by hand, since the client's types cannot ask wrongly.
async fn refuses_code(world: &World, path: &str, body: Value, errcode: i64, text: &str) {
    world.post_with_token(path, body).await.refuses(errcode, text, START);
}

#[tokio::test]
async fn row_40097_a_version_that_is_none() {
    let world = World::held().await;
    for path in &CODES[..2] {
        let mut body = any_code();
        body["env_version"] = json!("preview");
        refuses_code(&world, path, body, 40097, "invalid args").await;
    }
}

#[tokio::test]
async fn row_40129_a_scene_with_a_foreign_character() {
    let world = World::held().await;
    for scene in ["100%", "扫码", "a b", "a\"b", "<a>"] {
        let body = json!({"scene": scene});
        refuses_code(&world, "/wxa/getwxacodeunlimit", body, 40129, "invalid scene").await;
    }
}

#[tokio::test]
async fn row_40159_a_path_too_long_or_none() {
    let world = World::held().await;
    for (path, most, text) in [
        (CODES[0], 1024, "invalid length for path, or the data is not json string"),
        (CODES[2], 128, "invalid length for path  or thedata is not json string"),
    ] {
        for body in [json!({}), json!({"path": ""}), json!({"path": "x".repeat(most + 1)})] {
            refuses_code(&world, path, body, 40159, text).await;
        }
        let body = json!({"path": "x".repeat(most)});
        assert_eq!(
            world.post_with_token(path, body).await.header("content-type"),
            Some("image/jpeg")
        );
    }
}

#[tokio::test]
async fn row_40169_a_scene_too_long_or_none() {
    let world = World::held().await;
    let text = "invalid length for scene, or the data is not json string";
    for body in [json!({"scene": "x".repeat(33)}), json!({"scene": ""}), json!({})] {
        refuses_code(&world, "/wxa/getwxacodeunlimit", body, 40169, text).await;
    }
}

#[tokio::test]
async fn row_40189_a_width_out_of_bounds() {
    let world = World::held().await;
    for path in CODES {
        for width in [json!(279), json!(1281), json!(-1), json!(430.5)] {
            let mut body = any_code();
            body["width"] = width;
            refuses_code(&world, path, body, 40189, "invalid width").await;
        }
    }
}

#[tokio::test]
async fn row_41030_a_page_that_is_not_published() {
    let world = World::held().await;
    let ask = async |page: &str, check_path: bool| {
        let body = json!({"scene": "s", "page": page, "check_path": check_path});
        world.post_with_token("/wxa/getwxacodeunlimit", body).await
    };
    ask("pages/other/other", true).await.refuses(41030, "invalid page", START);
    assert_eq!(ask("pages/other/other", false).await.header("content-type"), Some("image/jpeg"));
    for check_path in [true, false] {
        ask("/pages/login/login", check_path).await.refuses(41030, "invalid page", START);
        ask("pages/login/login?a=b", check_path).await.refuses(41030, "invalid page", START);
    }
}

#[tokio::test]
async fn row_41030_is_the_usual_first_one_and_for_the_operator_to_mend() {
    let world = World::held().await;
    let client = world.client();
    world.pretend.publish(Vec::<String>::new());
    let refusal = refusal(client.code_unlimited(&code()).await.unwrap_err());
    assert!(refusal.errcode == 41030 && is_for_the_operator(&refusal));
    client.code_unlimited(&code().check_path(false)).await.expect("the way out until then");
    world.pretend.publish(["pages/login/login"]);
    client.code_unlimited(&code()).await.unwrap();
}

#[tokio::test]
async fn row_45029_the_hundred_thousand_are_used_up() {
    let world = World::held().await;
    let client = world.client();
    client.code(&Code::new("pages/a?x=1").unwrap()).await.unwrap();
    world.pretend.codes_used(99_999);
    let new = client.code(&Code::new("pages/a?x=2").unwrap()).await;
    let refusal_a = refusal(new.unwrap_err());
    assert!(refusal_a.errcode == 45029 && is_for_the_operator(&refusal_a));
    let refusal_c = refusal(client.qr_code(&QrCode::new("pages/a").unwrap()).await.unwrap_err());
    assert_eq!(refusal_c.errcode, 45029);

    client.code(&Code::new("pages/a?x=1").unwrap()).await.expect("the same code counts once");
    client.code_unlimited(&code()).await.expect("code B knows no such limit");
}

#[tokio::test]
async fn row_85096_a_reserved_name() {
    let world = World::held().await;
    let long = "page or path not allow include scancode_time field";
    let body = json!({"scene": "s", "page": "p?scancode_time=1", "check_path": false});
    refuses_code(&world, CODES[1], body, 85096, long).await;
    let body = json!({"path": "p?scancode_time=1"});
    refuses_code(&world, CODES[0], body.clone(), 85096, "not allow include scancode_time field")
        .await;
    refuses_code(&world, CODES[2], body, 85096, long).await;
}

#[tokio::test]
async fn row_87009_87008_a_session_key_that_is_no_longer_the_one() {
    let world = World::held().await;
    let client = world.client();
    let session = client.code2session(js_code(&world, "alice")).await.unwrap();
    let (openid, key) = (session.openid.as_str(), &session.session_key);
    assert!(client.check_session(openid, key).await.unwrap());
    let stale = SessionKey::new("AAAAAAAAAAAAAAAAAAAAAA==");
    assert!(!client.check_session(openid, &stale).await.unwrap());
    let reset = refusal(client.reset_session_key(openid, &stale).await.unwrap_err());
    assert_eq!((reset.errcode, reset.act()), (87009, Act::SignInAgain));

    let token = world.token().await;
    let ask = async |rest: &str| {
        world.get(&format!("/wxa/checksession?access_token={token}&openid={openid}&{rest}")).await
    };
    ask("signature=0&sig_method=hmac_sha256").await.refuses(87009, "invalid signature", START);
    ask("signature=0&sig_method=md5").await.refuses(87008, "invalid sig_method", START);
}
