//! Signing keys, made once for all tests of a program: an RSA key takes longer than a story.

use std::{sync::Arc, time::Duration};

use saoma::{
    config,
    keys::Keys,
    secret::Secret,
    store::{SharedStore, StoredKey, sqlite::Sqlite},
    world::{Timestamp, World},
};
use tokio::sync::OnceCell;

/// Those that a server would have made that began at `now`.
pub(crate) async fn signing_keys(now: Timestamp) -> &'static [StoredKey] {
    static KEYS: OnceCell<Vec<StoredKey>> = OnceCell::const_new();
    let make = || async {
        let folder = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(Sqlite::open(&folder.path().join("keys.db")).unwrap());
        let none = || Secret::from(String::new());
        let rotate = Duration::from_secs(90 * 24 * 3600);
        let settings = config::Keys { secret: none(), secret_before: none(), rotate };
        let world = World::held(now, 1);
        let keys = Keys::load(&store, &settings, &world).await.unwrap();
        // The next ones too, so that no server makes any in the middle of a story.
        keys.tend(&store, &world).await.unwrap();
        store.keys().await.unwrap()
    };
    KEYS.get_or_init(make).await
}
