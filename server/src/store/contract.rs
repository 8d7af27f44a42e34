//! What every store must do: run by each implementation's own tests.

use super::Store;

/// Runs every rule against a fresh store each.
pub(crate) async fn holds<S: Store>(fresh: impl Fn() -> S) {
    a_server_secret_is_made_once(fresh()).await;
}

async fn a_server_secret_is_made_once(store: impl Store) {
    let first = store.server_secret("derive", vec![1]).await.unwrap();
    let second = store.server_secret("derive", vec![2]).await.unwrap();
    assert_eq!((first, second), (vec![1], vec![1]));
}
