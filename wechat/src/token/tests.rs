//! The token under random drops, failures and refusals. The clock is held: nothing here waits for
//! real.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;
use crate::refusal::Refusal;

/// WeChat's side of the token, which does as it is told and counts.
struct Wechat {
    asked: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    away: AtomicBool,
    /// How long each fetch takes, in milliseconds, and whether it succeeds; over and over.
    script: Vec<(u64, bool)>,
    life: Duration,
}

impl Wechat {
    fn new(script: Vec<(u64, bool)>, life_s: u64) -> Arc<Self> {
        Arc::new(Self {
            asked: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            away: AtomicBool::new(false),
            script,
            life: Duration::from_secs(life_s),
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn fetch(&self) -> Result<Fetched, Error> {
        let at = self.asked.fetch_add(1, Ordering::SeqCst);
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        let (delay, works) = self.script[at % self.script.len()];
        sleep(Duration::from_millis(delay)).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        if works && !self.away.load(Ordering::SeqCst) {
            Ok(Fetched { token: AccessToken::new(format!("token-{at}")), expires_in: self.life })
        } else {
            Err(refused(-1))
        }
    }

    /// A node that takes its token from here.
    fn node(self: &Arc<Self>, api: Api, store: &Arc<dyn TokenStore>, seed: u64) -> Arc<Tokens> {
        let (wechat, dice) = (Arc::clone(self), Mutex::new(fastrand::Rng::with_seed(seed)));
        Tokens::new(
            "key".to_owned(),
            Arc::clone(store),
            api,
            Box::new(move || {
                let wechat = Arc::clone(&wechat);
                Box::pin(async move { wechat.fetch().await })
            }),
            Box::new(move || dice.lock().unwrap().f64()),
        )
    }
}

/// Where a token was asked for.
fn refused(errcode: i64) -> Error {
    Refusal::new(Api::StableToken, errcode, "").into()
}

/// Where one was used.
fn stale(errcode: i64) -> Error {
    Refusal::new(Api::UnlimitedCode, errcode, "").into()
}

fn memory() -> Arc<dyn TokenStore> {
    Arc::new(MemoryStore::new())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_share_one_fetch() {
    let wechat = Wechat::new(vec![(80, true)], 7200);
    let tokens = wechat.node(Api::StableToken, &memory(), 1);
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let tokens = Arc::clone(&tokens);
            tokio::spawn(async move { tokens.get().await.unwrap() })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap().expose(), "token-0");
    }
    assert_eq!(wechat.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_caller_may_go_away_and_the_others_still_get_their_token() {
    let wechat = Wechat::new(vec![(1_000, true)], 7200);
    let tokens = wechat.node(Api::StableToken, &memory(), 1);
    assert!(timeout(Duration::from_millis(10), tokens.get()).await.is_err(), "it went away");
    assert_eq!(tokens.get().await.unwrap().expose(), "token-0");
    assert_eq!(wechat.asked(), 1, "what the first began was not thrown away");
}

/// On a thread of its own: where it is held up, it is so for ever.
#[test]
fn who_asks_while_everything_stops_is_told_so_and_holds_nobody_up() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let stopped = runtime.handle().clone();
    drop(runtime);
    let (told, hears) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _inside = stopped.enter();
        let tokens = Wechat::new(vec![(0, true)], 7200).node(Api::StableToken, &memory(), 1);
        let asking = std::pin::pin!(tokens.get());
        let answer = asking.poll(&mut Context::from_waker(Waker::noop()));
        told.send(answer.map(|answer| answer.is_err())).unwrap();
    });
    assert_eq!(hears.recv_timeout(seconds(20)), Ok(Poll::Ready(true)));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_refreshed_behind_its_users_before_it_ends() {
    let wechat = Wechat::new(vec![(500, true)], 7200);
    let tokens = wechat.node(Api::StableToken, &memory(), 1);
    tokens.get().await.unwrap();

    tokio::time::advance(seconds(7200 - 241)).await;
    assert_eq!(tokens.get().await.unwrap().expose(), "token-0");
    sleep(seconds(1)).await;
    assert_eq!(wechat.asked(), 1, "too early: WeChat would give the same token");

    tokio::time::advance(seconds(120)).await;
    assert_eq!(tokens.get().await.unwrap().expose(), "token-0", "nobody waits for the refresh");
    sleep(seconds(1)).await;
    assert_eq!(tokens.get().await.unwrap().expose(), "token-1");
    assert_eq!(wechat.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn nodes_do_not_all_refresh_at_one_moment() {
    let mut moments = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let held = Held::fresh(
            AccessToken::new("t"),
            seconds(7200),
            Instant::now(),
            f64::from(seed) / 20.0,
        );
        let before_end = seconds(7200).saturating_sub(held.refresh_at - Instant::now());
        assert!((seconds(120)..=seconds(240)).contains(&before_end), "{before_end:?}");
        moments.insert(held.refresh_at);
    }
    assert_eq!(moments.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn while_a_refresh_fails_the_old_token_serves_to_its_end() {
    let wechat = Wechat::new(vec![(10, true)], 7200);
    let tokens = wechat.node(Api::StableToken, &memory(), 1);
    tokens.get().await.unwrap();
    wechat.away.store(true, Ordering::SeqCst);

    tokio::time::advance(seconds(7200 - 110)).await;
    for _ in 0..100 {
        assert_eq!(tokens.get().await.unwrap().expose(), "token-0");
        sleep(seconds(1)).await;
    }
    assert!(wechat.asked() < 15, "not hammered: {}", wechat.asked());
    let status = tokens.status();
    assert!(status.present && status.last_error.is_some());

    sleep(seconds(10)).await;
    assert!(tokens.get().await.is_err(), "its life is over");
    assert!(!tokens.status().present);

    wechat.away.store(false, Ordering::SeqCst);
    sleep(seconds(30)).await;
    tokens.get().await.unwrap();
    assert!(tokens.status().last_error.is_none(), "what went right last counts");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_dropped_only_while_it_is_the_one_in_use() {
    let wechat = Wechat::new(vec![(10, true)], 7200);
    let tokens = wechat.node(Api::StableToken, &memory(), 1);
    let old = tokens.get().await.unwrap();

    tokens.reject(&old, &stale(40001));
    let new = tokens.get().await.unwrap();
    assert_ne!(old, new);
    for _ in 0..50 {
        tokens.reject(&old, &stale(40001));
    }
    assert_eq!(tokens.get().await.unwrap(), new, "late news about the old one changes nothing");
    assert_eq!(wechat.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_refused_one_after_another_are_not_fetched_without_end() {
    let wechat = Wechat::new(vec![(10, true)], 7200);
    let tokens = wechat.node(Api::StableToken, &memory(), 1);
    let began = Instant::now();
    while began.elapsed() < seconds(60) {
        match tokens.get().await {
            Ok(token) => tokens.reject(&token, &stale(40001)),
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
    assert!((5..12).contains(&wechat.asked()), "{}", wechat.asked());

    // One that is accepted ends the caution.
    sleep(seconds(30)).await;
    let token = tokens.get().await.unwrap();
    tokens.accept(&token);
    tokens.reject(&token, &stale(42001));
    assert!(tokens.get().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_are_not_tried_again_and_again() {
    for (errcode, most) in [(40125, 20), (40001, 20), (40164, 20), (45009, 3)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let fetch: Fetch = Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move { Err(refused(errcode)) })
        });
        let tokens = Tokens::new("key".into(), memory(), Api::StableToken, fetch, Box::new(|| 1.0));
        for _ in 0..1_000 {
            let error = tokens.get().await.unwrap_err();
            assert_eq!(error.refusal().unwrap().errcode, errcode);
            sleep(seconds(1)).await;
        }
        let asked = asked.load(Ordering::SeqCst);
        assert!((2..=most).contains(&asked), "{errcode}: {asked} times in 1,000 s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_panics_leaves_nobody_waiting() {
    let first = AtomicBool::new(true);
    let fetch: Fetch = Box::new(move || {
        assert!(!first.swap(false, Ordering::SeqCst), "on purpose");
        Box::pin(async {
            Ok(Fetched { token: AccessToken::new("fine"), expires_in: seconds(7200) })
        })
    });
    let tokens = Tokens::new("key".into(), memory(), Api::StableToken, fetch, Box::new(|| 1.0));
    assert!(matches!(tokens.get().await, Err(Error::Unreachable { .. })));
    sleep(seconds(1)).await;
    assert_eq!(tokens.get().await.unwrap().expose(), "fine");
}

#[test]
fn a_client_outlives_the_runtime_in_which_its_fetch_began() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let wechat = Wechat::new(vec![(1_000, true)], 7200);
    let tokens = wechat.node(Api::StableToken, &memory(), 1);
    runtime().block_on(async {
        assert!(timeout(Duration::from_millis(10), tokens.get()).await.is_err());
    });
    runtime().block_on(async {
        sleep(seconds(30)).await;
        tokens.get().await.unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_takes_the_token_that_others_share() {
    let (wechat, store) = (Wechat::new(vec![(10, true)], 7200), memory());
    let token = wechat.node(Api::Token, &store, 1).get().await.unwrap();
    tokio::time::advance(seconds(3600)).await;
    let newcomer = wechat.node(Api::Token, &store, 2);
    assert_eq!(newcomer.get().await.unwrap(), token);
    assert_eq!(newcomer.status().age, Some(seconds(3600) + Duration::from_millis(10)));
    assert_eq!(wechat.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn ten_nodes_with_one_store_fetch_once_when_the_token_dies() {
    for api in [Api::Token, Api::StableToken] {
        let (wechat, store) = (Wechat::new(vec![(700, true)], 7200), memory());
        let nodes: Vec<_> = (0..10).map(|seed| wechat.node(api, &store, seed)).collect();
        for round in 1..=3 {
            let asked: Vec<_> = nodes
                .iter()
                .map(|node| {
                    let node = Arc::clone(node);
                    tokio::spawn(async move { node.get().await.unwrap() })
                })
                .collect();
            for token in asked {
                let expected = format!("token-{}", round - 1);
                assert_eq!(token.await.unwrap().expose(), expected);
            }
            assert_eq!(wechat.asked(), round);
            for node in &nodes {
                let token = node.get().await.unwrap();
                node.accept(&token);
                node.reject(&token, &stale(40001));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_dies_while_fetching_holds_the_others_up_for_its_lease_alone() {
    let (wechat, store) = (Wechat::new(vec![(10, true)], 7200), memory());
    store.lease("key", LEASE).await.unwrap().unwrap();
    let began = Instant::now();
    wechat.node(Api::Token, &store, 1).get().await.unwrap();
    assert!((LEASE..LEASE + seconds(1)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

/// A store that is away: it fails, or it never answers.
struct Away {
    hangs: bool,
}

impl Away {
    async fn fail<T>(&self) -> Result<T, StoreError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Err(StoreError("connection refused".to_owned()))
    }
}

#[async_trait::async_trait]
impl TokenStore for Away {
    async fn read(&self, _: &str) -> Result<Option<StoredToken>, StoreError> {
        self.fail().await
    }
    async fn lease(&self, _: &str, _: Duration) -> Result<Option<Lease>, StoreError> {
        self.fail().await
    }
    async fn put(&self, _: &str, _: Lease, _: StoredToken) -> Result<bool, StoreError> {
        self.fail().await
    }
    async fn release(&self, _: &str, _: Lease) -> Result<(), StoreError> {
        self.fail().await
    }
    async fn forget(&self, _: &str, _: &AccessToken) -> Result<(), StoreError> {
        self.fail().await
    }
}

#[tokio::test(start_paused = true)]
async fn without_its_store_the_stable_token_is_fetched_and_the_plain_one_is_not() {
    for hangs in [false, true] {
        let (wechat, store) = (Wechat::new(vec![(10, true)], 7200), Arc::new(Away { hangs }));
        let store: Arc<dyn TokenStore> = store;
        let stable = wechat.node(Api::StableToken, &store, 1);
        assert!(stable.get().await.is_ok());
        let plain = wechat.node(Api::Token, &store, 1);
        let error = plain.get().await.unwrap_err();
        assert!(matches!(error, Error::Store(_)), "{error}");
        assert_eq!(wechat.asked(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_memory_store_keeps_the_contract() {
    contract::holds(memory(), async |time| tokio::time::advance(time).await).await;
}

/// A future that is dropped after so many polls, as if its caller went away at that await.
struct Leaves<F> {
    future: Pin<Box<F>>,
    polls: u32,
}

impl<F: Future> Future for Leaves<F> {
    type Output = Option<F::Output>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(left) = self.polls.checked_sub(1) else { return Poll::Ready(None) };
        self.polls = left;
        match self.future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Being polled again and again finds every await to leave at.
            Poll::Pending => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

/// What one caller does in a random life.
#[derive(Clone, Debug)]
struct Caller {
    node: usize,
    arrives_ms: u64,
    /// Stays, or leaves after so many polls, or after so many milliseconds.
    leaves: Leaving,
    /// Says that WeChat refused the token it got.
    refuses: bool,
}

#[derive(Clone, Debug)]
enum Leaving {
    Stays,
    AfterPolls(u32),
    AfterMs(u64),
}

fn caller() -> impl Strategy<Value = Caller> {
    let leaving = prop_oneof![
        2 => Just(Leaving::Stays),
        1 => (0..6_u32).prop_map(Leaving::AfterPolls),
        1 => (0..3_000_u64).prop_map(Leaving::AfterMs),
    ];
    (0..3_usize, 0..20_000_u64, leaving, prop::bool::weighted(0.2)).prop_map(
        |(node, arrives_ms, leaves, refuses)| Caller { node, arrives_ms, leaves, refuses },
    )
}

/// Lets random callers come, go and refuse at three nodes, and then asks each node once more.
async fn live(api: Api, script: Vec<(u64, bool)>, life_s: u64, callers: Vec<Caller>) {
    let (wechat, store) = (Wechat::new(script, life_s), memory());
    let nodes: Vec<_> = (0..3).map(|seed| wechat.node(api, &store, seed)).collect();
    let lives: Vec<_> = callers
        .into_iter()
        .map(|caller| {
            let tokens = Arc::clone(&nodes[caller.node]);
            tokio::spawn(async move {
                sleep(Duration::from_millis(caller.arrives_ms)).await;
                let got = match caller.leaves {
                    Leaving::Stays => Some(tokens.get().await),
                    Leaving::AfterPolls(polls) => {
                        Leaves { future: Box::pin(tokens.get()), polls }.await
                    }
                    Leaving::AfterMs(time) => {
                        timeout(Duration::from_millis(time), tokens.get()).await.ok()
                    }
                };
                match got {
                    Some(Ok(token)) if caller.refuses => tokens.reject(&token, &stale(40001)),
                    Some(Ok(token)) => tokens.accept(&token),
                    Some(Err(_)) | None => {}
                }
            })
        })
        .collect();
    for life in lives {
        timeout(seconds(120), life).await.expect("somebody waits for ever").unwrap();
    }
    assert!(wechat.most_at_once.load(Ordering::SeqCst) <= 1, "two fetched at once");
    // Whatever happened, each node finds back to a token.
    for node in &nodes {
        let found = timeout(seconds(600), async {
            while node.get().await.is_err() {
                sleep(seconds(1)).await;
            }
        });
        found.await.expect("a node is stuck");
        assert!(node.status().present);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_leaves_at_any_await_holds_nobody_up(
        plain in any::<bool>(),
        script in prop::collection::vec((0..4_000_u64, prop::bool::weighted(0.7)), 1..6)
            .prop_filter("WeChat answers in the end", |script| script.iter().any(|&(_, works)| works)),
        life_s in prop_oneof![Just(7_200_u64), 10..60_u64],
        callers in prop::collection::vec(caller(), 1..40),
    ) {
        let api = if plain { Api::Token } else { Api::StableToken };
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(live(api, script, life_s, callers));
    }
}
