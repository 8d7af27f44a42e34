//! What every [`TokenStore`] has to keep to, as one function that its tests call.
#![expect(clippy::expect_used, reason = "this is a test that other crates call")]

use std::sync::Arc;
use std::time::Duration;

use super::{Lease, StoredToken, TokenStore};
use crate::secret::AccessToken;

fn stored(token: &str, seconds: u64) -> StoredToken {
    let life = Duration::from_secs(seconds);
    StoredToken { token: AccessToken::new(token), life, left: life }
}

async fn held(store: &dyn TokenStore, key: &str) -> Option<String> {
    store.read(key).await.expect("read").map(|held| held.token.expose().to_owned())
}

async fn take(store: &dyn TokenStore, key: &str, seconds: u64) -> Option<Lease> {
    store.lease(key, Duration::from_secs(seconds)).await.expect("lease")
}

/// Holds a store to its contract. It must be empty; `pass` lets time pass for it, by moving a held
/// clock or by waiting.
///
/// # Panics
/// Panics where the store breaks the contract, as tests do.
pub async fn holds(store: Arc<dyn TokenStore>, pass: impl AsyncFn(Duration)) {
    let store = &*store;
    let second = Duration::from_secs(1);

    // An empty store has nothing and gives the lease to the first who asks.
    assert_eq!(held(store, "a").await, None);
    let lease = take(store, "a", 60).await.expect("nobody holds the lease");
    assert_eq!(take(store, "a", 60).await, None, "one holder at a time");
    assert!(take(store, "b", 60).await.is_some(), "keys are apart");

    // The holder stores, and thereby gives the lease back.
    assert!(store.put("a", lease.clone(), stored("first", 100)).await.expect("put"));
    assert_eq!(held(store, "a").await.as_deref(), Some("first"));
    assert_eq!(held(store, "b").await, None, "keys are apart");
    let again = take(store, "a", 60).await.expect("put gives the lease back");

    // A lease counts once, and another's gives no rights.
    assert!(!store.put("a", lease.clone(), stored("late", 100)).await.expect("put"));
    store.release("a", lease).await.expect("release");
    assert_eq!(held(store, "a").await.as_deref(), Some("first"));
    assert_eq!(take(store, "a", 60).await, None, "an old lease does not free a new one");
    store.release("a", again).await.expect("release");

    // A lease ends by itself, and whoever overslept it stores nothing.
    let slow = take(store, "a", 1).await.expect("the lease was given back");
    pass(second * 2).await;
    let quick = take(store, "a", 60).await.expect("a lease ends by itself");
    assert_ne!(slow, quick, "each lease is another");
    assert!(!store.put("a", slow.clone(), stored("slow", 100)).await.expect("put"));
    store.release("a", slow).await.expect("release");
    assert!(store.put("a", quick, stored("quick", 100)).await.expect("put"));
    assert_eq!(held(store, "a").await.as_deref(), Some("quick"));

    // Only the token that is meant is dropped.
    store.forget("a", &AccessToken::new("first")).await.expect("forget");
    assert_eq!(held(store, "a").await.as_deref(), Some("quick"));
    store.forget("a", &AccessToken::new("quick")).await.expect("forget");
    assert_eq!(held(store, "a").await, None);

    // A token ends with its life, and tells how much of it is left.
    let lease = take(store, "a", 60).await.expect("free");
    assert!(store.put("a", lease, stored("short", 5)).await.expect("put"));
    pass(second * 2).await;
    let short = store.read("a").await.expect("read").expect("it lives");
    assert_eq!(short.life, second * 5);
    assert!(short.left <= second * 3 && short.left > Duration::ZERO, "{:?}", short.left);
    pass(second * 4).await;
    assert_eq!(held(store, "a").await, None);

    // Of many who ask at once, one gets the lease.
    let asked = (0..20).map(|_| store.lease("c", second * 60));
    let mut leases = 0;
    for lease in join(asked).await {
        leases += usize::from(lease.expect("lease").is_some());
    }
    assert_eq!(leases, 1);
}

/// Polls all of them in turn until each is done.
async fn join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, output) in &mut pending {
            if output.is_none()
                && let std::task::Poll::Ready(done) = future.as_mut().poll(cx)
            {
                *output = Some(done);
            }
        }
        if pending.iter().all(|(_, output)| output.is_some()) {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}
