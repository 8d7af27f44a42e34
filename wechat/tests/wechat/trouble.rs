//! WeChat slow, cut, wrong, away, and back again: nothing is stuck, nothing is hammered, nothing
//! leaks.

use std::time::Duration;

use wechat::pretend::Trouble;
use wechat::{
    Api, Client, Error, JsCode, RestReason, Scene, TextCheck, TextScene, UnlimitedCode,
    Unreachable, Unreadable,
};

use crate::support::{APPID, SECRET, World};

const SESSION: &str = "/sns/jscode2session";
const CODE: &str = "/wxa/getwxacodeunlimit";

fn code() -> UnlimitedCode {
    UnlimitedCode::new(Scene::new("s").unwrap())
}

impl World {
    async fn signs_in(&self, client: &Client) -> Result<(), Error> {
        let js_code = JsCode::new(self.pretend.js_code("alice", None)).unwrap();
        client.code2session(js_code).await.map(drop)
    }

    /// Waits until WeChat has seen this many calls of a path. The clock stands still meanwhile.
    async fn sees(&self, path: &str, calls: usize) {
        while self.pretend.count(path) < calls {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_js_code_is_sent_once_whatever_happens() {
    for trouble in [
        Trouble::on(SESSION).errcode(-1),
        Trouble::on(SESSION).status(502).body("<html>Bad Gateway</html>"),
        Trouble::on(SESSION).body("{\"errcode\""),
        Trouble::on(SESSION).body(""),
        Trouble::on(SESSION).body("{\"openid\":\"\",\"session_key\":\"\"}"),
        Trouble::on(SESSION).cut(),
    ] {
        let world = World::held().await;
        world.pretend.trouble(trouble.clone());
        let client = world.client();
        world.signs_in(&client).await.unwrap_err();
        assert_eq!(world.pretend.count(SESSION), 1, "{trouble:?}");
        world.signs_in(&client).await.expect("the next phone is served");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_waited_for_ten_seconds_and_no_longer() {
    let world = World::held().await;
    let client = world.client();
    world.pretend.trouble(Trouble::on(SESSION).delay(Duration::from_secs(3_600)));
    let signing_in = world.signs_in(&client);
    tokio::pin!(signing_in);
    tokio::select! {
        outcome = &mut signing_in => panic!("{outcome:?}"),
        () = world.sees(SESSION, 1) => {}
    }
    tokio::time::advance(Duration::from_millis(9_900)).await;
    assert!(futures_util::poll!(&mut signing_in).is_pending());
    tokio::time::advance(Duration::from_millis(200)).await;
    let error = signing_in.await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { why: Unreachable::Timeout, .. }), "{error}");
}

#[tokio::test]
async fn each_kind_of_nonsense_is_told_for_what_it_is() {
    for (trouble, expected) in [
        (Trouble::on(CODE).status(502).body("<html>"), Unreadable::Status),
        (Trouble::on(CODE).status(302), Unreadable::Status),
        (Trouble::on(CODE).body("{\"errcode\": 1"), Unreadable::NotJson),
        (Trouble::on(CODE).body("{\"errcode\": \"one\"}"), Unreadable::Fields),
        (Trouble::on(CODE).body("{}"), Unreadable::NotAPicture),
        (
            Trouble::on(CODE).body("<html>please log in to the hotel</html>"),
            Unreadable::NotAPicture,
        ),
        (Trouble::on(CODE).body(""), Unreadable::NotAPicture),
        (Trouble::on(CODE).body("x".repeat(5 << 20)), Unreadable::TooLarge),
    ] {
        let world = World::start().await;
        world.pretend.trouble(trouble.times(3));
        let error = world.client().code_unlimited(&code()).await.unwrap_err();
        let Error::Unreadable { api: Api::UnlimitedCode, why, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(why, expected);
        assert_eq!(world.pretend.count(CODE), 3);
    }
}

#[tokio::test]
async fn one_lost_answer_is_made_good_by_asking_again() {
    for trouble in
        [Trouble::on(CODE).cut(), Trouble::on(CODE).status(504), Trouble::on(CODE).errcode(-1)]
    {
        let world = World::start().await;
        world.pretend.trouble(trouble);
        world.client().code_unlimited(&code()).await.unwrap();
        assert_eq!(world.pretend.count(CODE), 2);
    }
}

#[tokio::test]
async fn minutes_of_trouble_are_not_answered_with_a_storm_and_leave_nothing_stuck() {
    for trouble in [
        Trouble::on("*").errcode(-1),
        Trouble::on("*").status(503),
        Trouble::on("*").body("no JSON"),
        Trouble::on("*").cut(),
    ] {
        let world = World::held().await;
        let client = world.client();
        world.pretend.trouble(trouble.times(u32::MAX));
        // Ten sign-ins a second for three minutes.
        let mut resting = 0;
        for _ in 0..1_800 {
            let error = world.signs_in(&client).await.unwrap_err();
            resting += u32::from(matches!(error, Error::Resting { why: RestReason::Failing, .. }));
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        let calls = world.pretend.count(SESSION);
        assert!((8..=20).contains(&calls), "{calls} calls in three minutes");
        assert_eq!(u32::try_from(calls).unwrap() + resting, 1_800);

        world.pretend.calm();
        tokio::time::advance(Duration::from_secs(30)).await;
        world.signs_in(&client).await.expect("WeChat is back, and so are we");
        world.signs_in(&client).await.unwrap();
    }
}

#[tokio::test]
async fn callers_who_go_away_in_the_middle_of_trouble_leave_nothing_stuck() {
    let world = World::held().await;
    let client = world.client();
    world.pretend.trouble(Trouble::on(SESSION).errcode(-1).times(5));
    for _ in 0..5 {
        world.signs_in(&client).await.unwrap_err();
    }
    // The probe itself is left waiting, and its caller hangs up.
    tokio::time::advance(Duration::from_secs(1)).await;
    world.pretend.trouble(Trouble::on(SESSION).delay(Duration::from_secs(3_600)));
    tokio::select! {
        outcome = world.signs_in(&client) => panic!("{outcome:?}"),
        () = world.sees(SESSION, 6) => {}
    }
    world.signs_in(&client).await.expect("the next probe goes through");
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::builder(APPID, SECRET).base_url(&url).build().unwrap();
    let error = client.code2session(JsCode::new("secret-code").unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { why: Unreachable::Connect, .. }), "{error}");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(SECRET) && !shown.contains("secret-code"), "{shown}");
}

#[test]
fn a_base_url_that_cannot_be_is_refused_when_the_client_is_built() {
    for url in
        ["", "api.weixin.qq.com", "ftp://x", "https://x/?a=b", "https://user:pw@x", "http://"]
    {
        assert!(Client::builder(APPID, SECRET).base_url(url).build().is_err(), "{url:?}");
    }
    for url in
        ["https://api.weixin.qq.com/", "http://127.0.0.1:9100", "https://proxy.example/wechat"]
    {
        assert!(Client::builder(APPID, SECRET).base_url(url).build().is_ok(), "{url:?}");
    }
}

/// Everything that is written to the log, of every crate, at the finest level.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_secret_is_ever_logged_or_stands_in_an_error() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (shown, secrets) = runtime.block_on(everything_goes_right_and_wrong());

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("a fresh access token"), "the log was caught");
    for secret in secrets {
        // Tokens are long; half of one is bad enough.
        let part = &secret[..secret.len() / 2];
        assert!(!log.contains(part), "in the log: {part}");
        assert!(!shown.contains(part), "in an error: {part}");
    }
}

/// Calls everything, with and without trouble. Gives every error as it shows, and every secret.
async fn everything_goes_right_and_wrong() -> (String, Vec<String>) {
    let world = World::start().await;
    let mut secrets = vec![SECRET.to_owned()];
    let mut shown = String::new();
    for trouble in [
        None,
        Some(Trouble::on("*").errcode(-1)),
        Some(Trouble::on("*").status(502)),
        Some(Trouble::on("*").cut()),
        Some(Trouble::on("*").body("{\"access_token\":\"")),
    ] {
        let client = world.client();
        let token = client.access_token().await.unwrap();
        shown += &format!("{client:?} {token:?}");
        secrets.push(token.expose().to_owned());
        let mut echo = Trouble::on("/cgi-bin/openapi/rid/get").errcode(47001);
        echo.errmsg = Some(format!("who is {} and {SECRET}", token.expose()));
        world.pretend.trouble(echo);
        shown += &format!("{:?}", client.rid("x").await.unwrap_err());

        if let Some(trouble) = trouble {
            world.pretend.trouble(trouble.times(u32::MAX));
        }
        let text = world.pretend.js_code("alice", None);
        secrets.push(text.clone());
        let js_code = JsCode::new(text).unwrap();
        shown += &format!("{js_code:?}");
        match client.code2session(js_code).await {
            Ok(session) => {
                shown += &format!("{session:?}");
                secrets.push(session.session_key.expose().to_owned());
                let openid = session.openid.as_str();
                client.check_session(openid, &session.session_key).await.unwrap();
            }
            Err(error) => shown += &format!("{error} {error:?}"),
        }
        if let Err(error) = client.code_unlimited(&code()).await {
            shown += &format!("{error} {error:?}");
        }
        let text = TextCheck::new("o", TextScene::Comment, "hello");
        if let Err(error) = client.check_text(&text).await {
            shown += &format!("{error} {error:?}");
        }
        shown += &format!("{:?}", client.token_status());
        world.pretend.calm();
    }
    (shown, secrets)
}
