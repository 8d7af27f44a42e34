//! The access token: WeChat's rules for both endpoints, and what the client makes of them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wechat::token::MemoryStore;
use wechat::{Api, Client, TokenEndpoint};

use crate::support::{APPID, SECRET, START, World};

const STABLE: &str = "/cgi-bin/stable_token";
const PLAIN: &str = "/cgi-bin/token";

impl World {
    async fn plain(&self) -> Value {
        let query = format!("grant_type=client_credential&appid={APPID}&secret={SECRET}");
        self.get(&format!("{PLAIN}?{query}")).await.json()
    }

    async fn stable(&self, force_refresh: bool) -> Value {
        let body = json!({
            "grant_type": "client_credential", "appid": APPID, "secret": SECRET,
            "force_refresh": force_refresh,
        });
        self.post(STABLE, body).await.json()
    }

    async fn takes(&self, token: &Value) -> bool {
        let target =
            format!("/wxa/getwxacode?access_token={}", token["access_token"].as_str().unwrap());
        let reply = self.post(&target, json!({"path": "pages/a"})).await;
        reply.header("content-type") == Some("image/jpeg")
    }

    fn passes(&self, seconds: u64) {
        self.pretend.advance(Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn both_endpoints_answer_with_a_token_for_two_hours_and_no_errcode() {
    let world = World::held().await;
    for token in [world.plain().await, world.stable(false).await] {
        assert_eq!(token["expires_in"], 7200);
        assert!(token["access_token"].as_str().unwrap().len() > 100);
        assert_eq!(token.as_object().unwrap().len(), 2);
    }
    let long = World::with(|settings| settings.token_length = 512).await;
    assert_eq!(long.plain().await["access_token"].as_str().unwrap().len(), 512);
}

#[tokio::test]
async fn each_plain_token_kills_the_one_before_it_five_minutes_later() {
    let world = World::held().await;
    let first = world.plain().await;
    let second = world.plain().await;
    assert_ne!(first, second);
    world.passes(299);
    assert!(world.takes(&first).await && world.takes(&second).await);
    world.passes(1);
    assert!(!world.takes(&first).await && world.takes(&second).await);
}

#[tokio::test]
async fn the_stable_token_stays_the_same_until_its_last_five_minutes() {
    let world = World::held().await;
    let first = world.stable(false).await;
    world.passes(7200 - 301);
    let again = world.stable(false).await;
    assert_eq!(again["access_token"], first["access_token"]);
    assert_eq!(again["expires_in"], 301, "what is left, never less than 300");

    world.passes(1);
    let second = world.stable(false).await;
    assert_ne!(second["access_token"], first["access_token"]);
    assert_eq!(second["expires_in"], 7200);
    world.passes(299);
    assert!(world.takes(&first).await && world.takes(&second).await, "both work to the end");
    world.passes(1);
    assert!(!world.takes(&first).await && world.takes(&second).await);
}

#[tokio::test]
async fn the_two_endpoints_do_not_disturb_each_other() {
    let world = World::held().await;
    let stable = world.stable(false).await;
    let plain = world.plain().await;
    world.plain().await;
    world.stable(true).await;
    world.passes(299);
    assert!(world.takes(&plain).await, "a forced refresh is of the stable token alone");
    world.passes(1);
    assert!(!world.takes(&plain).await);
    assert!(!world.takes(&stable).await);
    assert!(world.takes(&world.stable(false).await).await);
}

#[tokio::test]
async fn a_forced_refresh_kills_at_once_but_not_twice_in_half_a_minute() {
    let world = World::held().await;
    let first = world.stable(false).await;
    let second = world.stable(true).await;
    assert!(!world.takes(&first).await && world.takes(&second).await);
    world.passes(29);
    let third = world.stable(true).await;
    assert_eq!(third["access_token"], second["access_token"], "passed over in silence");
    world.passes(1);
    assert_ne!(world.stable(true).await["access_token"], second["access_token"]);
}

#[tokio::test]
async fn a_day_has_twenty_forced_refreshes() {
    let world = World::held().await;
    for _ in 0..20 {
        assert_eq!(world.stable(true).await["expires_in"], 7200);
        world.passes(30);
    }
    assert_eq!(world.stable(true).await["errcode"], 45009);
    assert!(world.stable(false).await.get("access_token").is_some());
    // From noon it is half a day to midnight in China.
    world.passes(12 * 3600);
    assert_eq!(world.stable(true).await["expires_in"], 7200);
}

#[tokio::test]
async fn a_day_has_two_thousand_plain_tokens() {
    let world = World::held().await;
    for _ in 0..2_000 {
        assert!(world.plain().await.get("access_token").is_some());
    }
    let query = format!("{PLAIN}?grant_type=client_credential&appid={APPID}&secret={SECRET}");
    world.get(&query).await.refuses(45009, "reach max api daily quota limit", START);
}

#[tokio::test]
async fn the_client_lives_through_a_day_of_tokens_without_one_refusal() {
    for endpoint in [TokenEndpoint::Stable, TokenEndpoint::Plain] {
        let world = World::held().await;
        let client = world.builder().token_endpoint(endpoint).build().unwrap();
        for _ in 0..24 * 30 {
            client.quota_of(Api::Code).await.unwrap();
            // The refresh goes on behind the call; it lands before the next two minutes are over.
            while client.token_status().left.unwrap() < Duration::from_secs(120) {
                tokio::task::yield_now().await;
            }
            tokio::time::advance(Duration::from_secs(120)).await;
        }
        let tally = client.tallies()[&Api::GetQuota];
        assert_eq!((tally.sent, tally.refused, tally.failed), (720, 0, 0));
        let tokens = world.pretend.count(PLAIN) + world.pretend.count(STABLE);
        assert!((12..=16).contains(&tokens), "{tokens} tokens in a day");
    }
}

/// Two nodes of one service.
fn nodes(world: &World, endpoint: TokenEndpoint) -> [Client; 2] {
    let store = Arc::new(MemoryStore::new());
    [1, 2].map(|seed| {
        let builder = world.builder().token_endpoint(endpoint).seed(seed);
        builder.token_store(store.clone()).build().unwrap()
    })
}

#[tokio::test]
async fn nodes_that_share_a_store_share_the_plain_token() {
    let world = World::start().await;
    let nodes = nodes(&world, TokenEndpoint::Plain);
    for node in &nodes {
        node.quota_of(Api::Code).await.unwrap();
    }
    assert_eq!(world.pretend.count(PLAIN), 1, "the second found a good one");

    for round in 2..=4 {
        world.pretend.forget_tokens();
        let calls: Vec<_> = (0..40)
            .map(|at| {
                let node = nodes[at % 2].clone();
                tokio::spawn(async move { node.quota_of(Api::Code).await })
            })
            .collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!(world.pretend.count(PLAIN), round, "all forty of both nodes share one fetch");
    }
}

#[tokio::test]
async fn a_client_says_whether_it_has_a_token() {
    let world = World::held().await;
    let client = world.client();
    assert!(!client.token_status().present);

    world.pretend.account(|account| account.secret_frozen = true);
    client.access_token().await.unwrap_err();
    let (ago, error) = client.token_status().last_error.unwrap();
    assert_eq!((ago, error.refusal().unwrap().errcode), (Duration::ZERO, 40243));

    world.pretend.account(|account| account.secret_frozen = false);
    tokio::time::advance(Duration::from_secs(60)).await;
    client.access_token().await.unwrap();
    let status = client.token_status();
    assert!(status.present && status.last_error.is_none());
    assert_eq!(status.left, Some(Duration::from_secs(7200)));
}
