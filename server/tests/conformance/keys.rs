//! Signing keys are published before they sign and after, and rotating them loses no sign-in.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc, time::Duration};

use saoma::{
    audit::COMMAND,
    config,
    keys::{self, Keys},
    secret::Secret,
    store::{SharedStore, sqlite::Sqlite},
    world::World,
};

use crate::provider::{Provider, Tokens};

const TERM: Duration = Duration::from_secs(90 * 24 * 3600);

impl Provider {
    async fn published(&self) -> BTreeSet<String> {
        let jwks = self.get("/oauth2/jwks", None).await.body;
        let keys = jwks["keys"].as_array().unwrap().iter();
        keys.filter(|key| key["alg"] == "RS256")
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect()
    }

    /// What `saoma keys rotate` does, in a process of its own.
    async fn rotates(&self) {
        let (store, world) = (self.store(), World::held(self.app.world.now(), 8));
        let keys = Keys::load(&store, &locked("", ""), &world).await.unwrap();
        keys.rotate(&store, &world, COMMAND).await.unwrap();
    }
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

#[tokio::test]
async fn the_next_key_is_published_long_before_it_signs() {
    let provider = Provider::starts().await;
    let both = provider
        .sees(async || Some(provider.published().await).filter(|kids| kids.len() == 2))
        .await;
    let old = provider.signed_in(&provider.browser(), "openid").await.id;
    provider.time_passes(TERM);
    let new = provider.signed_in(&provider.browser(), "openid").await.id;
    assert_ne!(kid(&old), kid(&new));
    assert_eq!(
        both,
        BTreeSet::from([kid(&old), kid(&new)]),
        "whoever read the keys once knows both"
    );
    provider.reads(&old).await;
}

#[tokio::test]
async fn a_command_rotates_the_keys_of_a_running_node_and_nothing_fails() {
    let provider = Provider::starts().await;
    let browser = provider.browser();
    let tokens = provider.signed_in(&browser, "openid offline_access").await;
    let mut last = tokens.clone();
    let mut kids = BTreeSet::from([kid(&tokens.id)]);
    for _ in 0..3 {
        provider.rotates().await;
        // Logins go on while nodes learn of it one after the other.
        for _ in 0..4 {
            provider.is_answered(&browser, &[("prompt", "none")]).await.code();
            last = Tokens::of(provider.refreshes(&last.refresh).await);
            provider.reads(&last.id).await;
        }
        let before = kids.clone();
        last = provider
            .sees(async || {
                let fresh = Tokens::of(provider.refreshes(&last.refresh.clone()).await);
                last = fresh.clone();
                (!before.contains(&kid(&fresh.id))).then_some(fresh)
            })
            .await;
        kids.insert(kid(&last.id));
    }
    assert_eq!(kids.len(), 4);
    // What the very first key signed a moment ago still verifies, and still says who is meant.
    provider.reads(&tokens.id).await;
    let params = [("prompt", "none"), ("id_token_hint", tokens.id.as_str())];
    provider.is_answered(&browser, &params).await.code();
}

/// What a server does with the database's keys at its start.
async fn starts_with(secret: &str, path: &Path) -> Result<(SharedStore, Keys), keys::Error> {
    starts_by(&locked(secret, ""), path).await
}

fn locked(secret: &str, before: &str) -> config::Keys {
    let [secret, secret_before] = [secret, before].map(|text| Secret::from(text.to_owned()));
    config::Keys { secret, secret_before, rotate: TERM }
}

async fn starts_by(
    settings: &config::Keys,
    path: &Path,
) -> Result<(SharedStore, Keys), keys::Error> {
    let store: SharedStore = Arc::new(Sqlite::open(path)?);
    let world = World::held(crate::provider::NOW, 7);
    let keys = Keys::load(&store, settings, &world).await?;
    keys.tend(&store, &world).await?;
    keys.refresh(&store, &world).await?;
    Ok((store, keys))
}

const SECRET: &str = "a long and random text";

#[tokio::test]
async fn keys_at_rest_open_with_their_secret_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saoma.db");
    let (store, first) = starts_with(SECRET, &path).await.unwrap();
    let (_, again) = starts_with(SECRET, &path).await.unwrap();
    assert_eq!(first.jwks(), again.jwks());
    for wrong in ["another text", ""] {
        let refused = starts_with(wrong, &path).await.err().unwrap();
        assert!(refused.to_string().contains("keys.secret"), "{refused}");
    }
    for key in store.keys().await.unwrap() {
        assert!(key.private.starts_with(b"saoma:sealed:"), "a private key lies open");
    }
    let derive = store.server_secret("derive").await.unwrap().unwrap();
    assert!(derive.starts_with(b"saoma:sealed:"), "what codes are derived from lies open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_set_later_encrypts_what_lay_plain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saoma.db");
    let (store, before) = starts_with("", &path).await.unwrap();
    let plain = keys::plain(&store).await.unwrap();
    assert_eq!(plain.len(), 5, "two keys of each kind, and what codes are derived from");
    // It goes on running while three nodes start with the secret at once.
    let nodes = [(); 3].map(|()| starts_with(SECRET, &path));
    for node in futures_util::future::join_all(nodes).await {
        let (store, after) = node.unwrap();
        assert_eq!(keys::plain(&store).await.unwrap(), []);
        assert_eq!(after.jwks(), before.jwks(), "they are the same keys");
    }
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap().path();
        let bytes = fs::read(&file).unwrap();
        for (name, private) in &plain {
            let lies_open = bytes.windows(private.len()).any(|part| part == private);
            assert!(!lies_open, "{name} lies open in {}", file.display());
        }
    }
    let refused = starts_with("", &path).await.err().unwrap().to_string();
    assert!(refused.contains("set keys.secret (SAOMA_KEYS__SECRET)"), "{refused}");
}

const NEXT: &str = "another long and random text";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_changed_and_the_one_before_it_opens_nothing_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saoma.db");
    let world = World::held(crate::provider::NOW, 9);
    let (store, older) = starts_with(SECRET, &path).await.unwrap();
    let was = store.server_secret("derive").await.unwrap();
    let both = locked(NEXT, SECRET);
    let nodes = [(); 3].map(|()| starts_by(&both, &path));
    for node in futures_util::future::join_all(nodes).await {
        assert_eq!(node.unwrap().1.jwks(), older.jwks(), "they are the same keys");
    }
    assert_ne!(store.server_secret("derive").await.unwrap(), was);
    // A node that has not been restarted goes on with what it has read, and makes keys of its own.
    older.refresh(&store, &world).await.unwrap();
    world.advance(2 * TERM);
    older.tend(&store, &world).await.unwrap();
    let made = Keys::check(&store, &locked(NEXT, SECRET)).await.unwrap();
    assert_eq!(made.len(), 2, "one of each kind: {made:?}");
    let (_, newer) = starts_by(&locked(NEXT, SECRET), &path).await.unwrap();
    assert!(Keys::check(&store, &locked(NEXT, "")).await.unwrap().is_empty());
    newer.tend(&store, &world).await.unwrap();

    starts_with(NEXT, &path).await.unwrap();
    assert!(matches!(starts_with(SECRET, &path).await, Err(keys::Error::Locked)));
}

#[tokio::test]
async fn who_has_lost_the_secret_begins_anew_and_what_can_be_opened_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saoma.db");
    let world = World::held(crate::provider::NOW, 9);
    let (store, lost) = starts_with(SECRET, &path).await.unwrap();
    let refused = starts_with(NEXT, &path).await.err().unwrap().to_string();
    assert!(refused.contains("saoma keys replace-locked"), "{refused}");
    let given_up = Keys::replace_locked(&store, &locked(NEXT, ""), &world).await.unwrap();
    assert_eq!(given_up.len(), 5, "two keys of each kind, and what codes are derived from");
    let (_, fresh) = starts_with(NEXT, &path).await.unwrap();
    assert_ne!(fresh.jwks(), lost.jwks());
    let again = Keys::replace_locked(&store, &locked(NEXT, ""), &world).await.unwrap();
    assert!(again.is_empty(), "{again:?}");
    assert_eq!(starts_with(NEXT, &path).await.unwrap().1.jwks(), fresh.jwks());
}
