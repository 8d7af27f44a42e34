//! Persons and their phones, as the pretend WeChat plays them.

use serde_json::json;
use wechat::pretend::{Closed, How, Reentry};
use wechat::{JsCode, Suggestion, TextCheck, TextScene};

use crate::support::{START, World};

#[tokio::test]
async fn a_person_keeps_their_openid_and_gets_another_session_key_at_each_login() {
    let world = World::held().await;
    let mut keys = Vec::new();
    for _ in 0..2 {
        let reply = world.exchange(&world.pretend.js_code("alice", None)).await;
        assert_eq!(reply.header("content-type"), Some("text/plain"), "JSON, whatever it says");
        let session = reply.json();
        assert_eq!(session["openid"], world.pretend.openid("alice"));
        assert_eq!(session["openid"].as_str().unwrap().len(), 28);
        assert_eq!(session["session_key"].as_str().unwrap().len(), 24);
        assert!(session.get("errcode").is_none() && session.get("unionid").is_none());
        keys.push(session["session_key"].clone());
    }
    assert_ne!(keys[0], keys[1]);
    assert_ne!(world.pretend.openid("alice"), world.pretend.openid("bob"));
}

#[tokio::test]
async fn the_session_of_the_last_login_is_the_one_that_counts() {
    let world = World::held().await;
    let client = world.client();
    let phone = world.pretend.phone("alice");
    let login = async || client.code2session(JsCode::new(phone.login()).unwrap()).await.unwrap();
    let (first, second) = (login().await, login().await);
    assert!(!client.check_session(&first.openid, &first.session_key).await.unwrap());
    assert!(client.check_session(&second.openid, &second.session_key).await.unwrap());

    let third = client.reset_session_key(&second.openid, &second.session_key).await.unwrap();
    assert!(!client.check_session(&second.openid, &second.session_key).await.unwrap());
    assert!(client.check_session(&third.openid, &third.session_key).await.unwrap());
}

#[tokio::test]
async fn a_post_of_the_js_code_finds_an_empty_query() {
    let world = World::held().await;
    let body = json!({"appid": "a", "secret": "b", "js_code": "c"});
    world.post("/sns/jscode2session", body).await.refuses(41002, "appid missing", START);
}

#[tokio::test]
async fn the_scene_number_tells_how_a_code_was_opened() {
    let world = World::held().await;
    let token = world.token().await;
    for path in ["/wxa/getwxacodeunlimit", "/wxa/getwxacode", "/cgi-bin/wxaapp/createwxaqrcode"] {
        let body =
            json!({"scene": path.len().to_string(), "path": format!("pages/a?x={}", path.len())});
        world.post(&format!("{path}?access_token={token}"), body).await;
    }
    let start = "weixin://pretend/wx1234567890abcdef";
    let mut phone = world.pretend.phone("alice");
    let b = format!("{start}/pages/login/login?scene=22");
    let (a, c) = (format!("{start}/pages/a?x=15"), format!("{start}/pages/a?x=31"));
    for (text, how, scene) in [
        (&b, How::Camera, 1047),
        (&b, How::LongPress, 1048),
        (&b, How::Album, 1049),
        (&a, How::Camera, 1047),
        (&c, How::Camera, 1011),
        (&c, How::LongPress, 1012),
        (&c, How::Album, 1013),
    ] {
        assert_eq!(phone.open(text, how).unwrap().scene, scene, "{text} by {how:?}");
    }
    let arrival = phone.open(&b, How::Camera).unwrap();
    assert_eq!((arrival.path.as_str(), arrival.query.as_str()), ("pages/login/login", "scene=22"));
    let arrival = phone.open(&a, How::Camera).unwrap();
    assert_eq!((arrival.path.as_str(), arrival.query.as_str()), ("pages/a", "x=15"));
    let elsewhere = phone.open("https://elsewhere.example/", How::Camera);
    assert_eq!(elsewhere, Err(Closed::NoSuchCode));
}

#[tokio::test]
async fn a_code_of_another_version_opens_for_members_and_of_the_release_once_there_is_one() {
    let world = World::held().await;
    for version in ["release", "trial", "develop"] {
        let body = json!({"scene": version, "env_version": version, "check_path": false});
        world.post_with_token("/wxa/getwxacodeunlimit", body).await;
    }
    let text =
        |scene| format!("weixin://pretend/wx1234567890abcdef/pages/login/login?scene={scene}");
    let opens = |person: &str| {
        let mut phone = world.pretend.phone(person);
        ["release", "trial", "develop"].map(|scene| phone.open(&text(scene), How::Camera).err())
    };
    assert_eq!(opens("bob"), [None; 3], "unless somebody says who is a member");
    world.pretend.account(|account| account.members = Some(vec!["alice".to_owned()]));
    assert_eq!(opens("alice"), [None; 3]);
    assert_eq!(opens("bob"), [None, Some(Closed::NotAMember), Some(Closed::NotAMember)]);
    world.pretend.publish([] as [&str; 0]);
    assert_eq!(opens("alice"), [Some(Closed::NotPublished), None, None]);
    for (scene, person, closed) in [
        ("release", "alice", "not_published"),
        ("trial", "bob", "not_a_member"),
        ("another", "bob", "no_such_code"),
    ] {
        let body = json!({"text": text(scene), "how": "camera", "person": person});
        let told = world.post("/pretend/open", body).await;
        assert_eq!(told.status, if closed == "no_such_code" { 404 } else { 403 });
        assert_eq!(told.json(), json!({ "closed": closed }));
    }
}

#[tokio::test]
async fn a_warm_program_comes_back_with_another_number_and_the_same_page() {
    let world = World::held().await;
    world.post_with_token("/wxa/getwxacodeunlimit", json!({"scene": "s"})).await;
    let mut phone = world.pretend.phone("alice");
    assert_eq!(phone.come_back(Reentry::PullDown), None, "it was never open");
    let text = "weixin://pretend/wx1234567890abcdef/pages/login/login?scene=s";
    let arrival = phone.open(text, How::LongPress).unwrap();
    for (from, scene) in [
        (Reentry::AndroidHome, 1048),
        (Reentry::Discover, 1001),
        (Reentry::PullDown, 1089),
        (Reentry::MyPrograms, 1104),
        (Reentry::FloatingWindow, 1131),
        (Reentry::Back, 1038),
    ] {
        let back = phone.come_back(from).unwrap();
        assert_eq!((back.scene, back.query), (scene, arrival.query.clone()), "{from:?}");
    }
}

#[tokio::test]
async fn a_text_is_judged_for_those_who_were_here_within_two_hours() {
    let world = World::held().await;
    let client = world.client();
    let phone = world.pretend.phone("alice");
    let check = |text: &str| TextCheck::new(phone.openid(), TextScene::Profile, text);
    let errcode = |error: wechat::Error| error.refusal().map(|refusal| refusal.errcode);

    let stranger = client.check_text(&check("小明")).await.unwrap_err();
    assert_eq!(errcode(stranger), Some(40003));

    client.code2session(JsCode::new(phone.login()).unwrap()).await.unwrap();
    let verdict = client.check_text(&check("小明").nickname("小明")).await.unwrap();
    assert_eq!((verdict.suggestion, verdict.label), (Suggestion::Pass, 100));
    let sample = "特3456书yuuo莞6543李zxcz蒜7782法fgnv级";
    let verdict = client.check_text(&check(sample)).await.unwrap();
    assert_eq!(verdict.suggestion, Suggestion::Risky);
    let verdict = client.check_text(&check("小明，人工复审")).await.unwrap();
    assert_eq!(verdict.suggestion, Suggestion::Review);

    world.pretend.advance(std::time::Duration::from_secs(7_200));
    let late = client.check_text(&check("小明")).await.unwrap_err();
    assert_eq!(errcode(late), Some(61010));
}

#[tokio::test]
async fn the_first_version_of_the_text_check_answers_yes_or_no() {
    let world = World::held().await;
    let check = async |body| world.post_with_token("/wxa/msg_sec_check", body).await;
    assert_eq!(check(json!({"content": "小明"})).await.json()["errcode"], 0);
    let sample = json!({"content": "特3456书yuuo莞6543李zxcz蒜7782法fgnv级"});
    check(sample).await.refuses(87014, "risky content", START);
    let scene = json!({"content": "a", "version": 2, "scene": 5, "openid": "o"});
    check(scene).await.refuses(40129, "invalid scene", START);
}
