//! What the commands write, a running node sees within two seconds.

use std::time::Duration;

use saoma::{
    commands::{keys, sites},
    world::World,
};
use serde_json::json;

use crate::provider::{Answer, Provider, Tokens};

fn shop() -> sites::New {
    sites::New {
        id: "shop".to_owned(),
        name: "The shop".to_owned(),
        redirect_uris: vec!["https://shop.example.com/callback".to_owned()],
        no_pkce: true,
        ..sites::New::default()
    }
}

/// The last word of the line that begins with `name`.
fn told<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find(|line| line.starts_with(name)).expect(name);
    line.split_whitespace().last().unwrap()
}

impl Provider {
    async fn adds(&self, new: sites::New) -> Result<String, String> {
        sites::add(&self.app.settings, &self.store(), &World::real(), new).await
    }

    /// Ann signs in to the shop, which redeems the code with this secret.
    async fn shops(&self, secret: &str) -> Answer {
        let uri = "https://shop.example.com/callback";
        let params = [("client_id", "shop"), ("redirect_uri", uri)];
        let answered = self.signs_in(&self.browser(), &self.phone("ann"), &params, json!({})).await;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", answered.code()),
            ("redirect_uri", uri),
            ("client_id", "shop"),
            ("client_secret", secret),
        ];
        self.post("/oauth2/token", &form).await
    }

    /// Two seconds go by, in which running nodes look at the store.
    async fn looks_again(&self, until: impl Fn() -> bool) {
        self.sees(async || until().then_some(())).await;
    }
}

#[tokio::test]
async fn a_site_is_added_given_secrets_and_removed_while_the_server_runs() {
    let provider = Provider::starts().await;
    let (app, store, world) = (&provider.app, provider.store(), World::real());
    let begun = app.world.now();
    let said = provider.adds(shop()).await.unwrap();
    assert_eq!((told(&said, "issuer"), told(&said, "client_id")), (provider.url.as_str(), "shop"));
    let first = told(&said, "client_secret").to_owned();
    provider.looks_again(|| app.sites.get("shop").is_some()).await;
    assert!(app.world.now().since(begun) <= Duration::from_secs(2));
    let tokens = Tokens::of(provider.shops(&first).await);

    // A second secret works beside the first, until one is asked for that stands alone.
    let word = |said: String| said.lines().next().unwrap().to_owned();
    let second = word(sites::secret(&app.settings, &store, &world, "shop", false).await.unwrap());
    provider.looks_again(|| app.sites.get("shop").unwrap().hashes.len() == 2).await;
    for secret in [&first, &second] {
        Tokens::of(provider.shops(secret).await);
    }
    let third = word(sites::secret(&app.settings, &store, &world, "shop", true).await.unwrap());
    provider.looks_again(|| app.sites.get("shop").unwrap().hashes.len() == 1).await;
    for secret in [&first, &second] {
        assert_eq!(provider.shops(secret).await.problem(), "401 invalid_client");
    }
    Tokens::of(provider.shops(&third).await);

    // What is shown and what is kept holds no secret.
    let shown = sites::show(&app.settings, &store, "shop").await.unwrap();
    assert!(shown.contains("\"secrets\": 1") && !shown.contains(&third));
    assert!(!format!("{:?}", store.sites().await.unwrap()).contains(&third));

    sites::remove(&app.settings, &store, &world, "shop").await.unwrap();
    provider.looks_again(|| app.sites.get("shop").is_none()).await;
    assert_eq!(provider.userinfo(&tokens.access).await.problem(), "401 invalid_token");
}

#[tokio::test]
async fn a_site_that_cannot_work_is_not_added() {
    let provider = Provider::starts().await;
    let mut wrong = shop();
    wrong.redirect_uris = vec!["http://shop.example.com/callback".to_owned()];
    assert!(provider.adds(wrong).await.unwrap_err().contains("must be https"));
    let mut taken = shop();
    taken.id = "rp".to_owned();
    assert!(provider.adds(taken).await.unwrap_err().contains("there is a site \"rp\" already"));
    let own = sites::New { id: "saoma".to_owned(), ..shop() };
    assert!(provider.adds(own).await.unwrap_err().contains("saoma's own"));
    assert_eq!(provider.store().sites().await.unwrap(), []);
}

#[tokio::test]
async fn what_the_settings_say_no_command_changes() {
    let provider = Provider::starts().await;
    let (settings, store, world) = (&provider.app.settings, provider.store(), World::real());
    let removed = sites::remove(settings, &store, &world, "rp").await.unwrap_err();
    assert!(removed.contains("stands in the settings"), "{removed}");
    assert!(sites::secret(settings, &store, &world, "rp", false).await.is_err());
    let listed = sites::list(settings, &store, false).await.unwrap();
    assert!(listed.contains("rp                    settings  Relying party"), "{listed}");
    let shown = sites::show(settings, &store, "rp").await.unwrap();
    assert!(!shown.contains(crate::provider::SECRET) && shown.contains("\"secrets\": 1"));
}

#[tokio::test]
async fn a_public_site_gets_no_secret() {
    let provider = Provider::starts().await;
    let public = sites::New { public: true, no_pkce: false, ..shop() };
    assert!(provider.adds(public).await.unwrap().contains("client_secret   none"));
    let (settings, world) = (&provider.app.settings, World::real());
    let refused = sites::secret(settings, &provider.store(), &world, "shop", false).await;
    assert!(refused.unwrap_err().contains("public site"));
}

#[tokio::test]
async fn keys_are_listed_with_the_part_each_plays() {
    let provider = Provider::starts().await;
    let (settings, store) = (&provider.app.settings, provider.store());
    let parts = |text: &str| {
        let role = |line: &str| line.split_whitespace().nth(2).unwrap_or_default().to_owned();
        let count = |part| text.lines().filter(|line| role(line) == part).count();
        [count("next"), count("current"), count("previous")]
    };
    provider.sees(async || (store.keys().await.unwrap().len() == 4).then_some(())).await;
    let world = World::held(provider.app.world.now(), 9);
    assert_eq!(parts(&keys::list(&store, &world, false).await.unwrap()), [2, 2, 0]);
    world.advance(Duration::from_secs(1));
    let rotated = keys::rotate(settings, &store, &world).await.unwrap();
    assert_eq!(parts(&rotated), [2, 2, 2]);
}
