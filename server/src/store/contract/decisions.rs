//! Decisions, the codes that redeem them, and the tokens those give.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{
    MINUTE, NOW, approval, code, decide, denial, identity, is_live, person, sign_in, token,
};
use crate::{
    secret::Hashed,
    store::{Redemption, Revoke, Store, Token, TokenKind, untold},
};

pub(super) async fn holds<S: Store>(fresh: impl AsyncFn() -> S) {
    a_decision_is_found_by_each_of_its_names(fresh().await).await;
    of_fifty_decisions_the_first_wins(Arc::new(fresh().await)).await;
    of_fifty_redemptions_one_consumes_and_the_others_revoke(Arc::new(fresh().await)).await;
    a_burnt_code_gives_nothing(fresh().await).await;
    a_code_nobody_knows_revokes_nothing(fresh().await).await;
    a_token_lives_as_long_as_its_time_and_its_login(fresh().await).await;
    of_fifty_who_refresh_one_rotates(Arc::new(fresh().await)).await;
    a_family_is_revoked_with_all_its_tokens(fresh().await).await;
}

async fn a_decision_is_found_by_each_of_its_names(store: impl Store) {
    let ann = identity("wx1", "ann", None);
    let yes = decide(&store, approval("yes", &ann)).await;
    let no = decide(&store, denial("no", &ann)).await;
    let yes_at = yes.decision.at;
    assert_eq!((yes.login.is_some(), no.login.is_some()), (true, false));
    for decided in [&yes, &no] {
        let (ticket, scene) = (decided.decision.ticket, &decided.decision.scene);
        assert_eq!(store.decision_by_ticket(ticket).await.unwrap().as_ref(), Some(decided));
        assert_eq!(store.decision_by_scene(scene).await.unwrap().as_ref(), Some(decided));
    }
    assert_eq!(store.decision_by_code(code("yes")).await.unwrap(), Some(yes));
    assert_eq!(store.decision_by_code(code("no")).await.unwrap(), None, "a no has no code");
    assert_eq!(store.decision_by_ticket(Hashed::of("other")).await.unwrap(), None);
    assert_eq!(store.decision_by_scene("other").await.unwrap(), None);
    let lines = store.audit_since(yes_at, 10).await.unwrap();
    assert_eq!(lines.len(), 2, "each decision stands in the audit log: {lines:?}");
    assert_eq!(
        store.audit_since(yes_at, 1).await.unwrap().first(),
        lines.first(),
        "the oldest first"
    );
    assert_eq!(store.audit_since(yes_at + Duration::from_secs(3600), 10).await.unwrap(), []);
    assert_eq!(store.appids().await.unwrap(), ["wx1"]);
    store.ping().await.unwrap();
}

async fn of_fifty_decisions_the_first_wins<S: Store>(store: Arc<S>) {
    let mut racers = JoinSet::new();
    for n in 0..50 {
        let store = store.clone();
        let racer = identity("wx1", &format!("racer {n}"), None);
        racers.spawn(async move {
            let mut decide =
                if n % 2 == 0 { approval("race", &racer) } else { denial("race", &racer) };
            decide.newcomer.id = format!("person {n}");
            decide.newcomer.username = format!("u{n}");
            store.decide(decide, untold()).await.unwrap()
        });
    }
    let told = racers.join_all().await;
    let stands = store.decision_by_ticket(Hashed::of("race")).await.unwrap().unwrap();
    assert!(told.iter().all(|decided| *decided == stands), "everybody hears of the first");
    for n in 0..50 {
        let racer = identity("wx1", &format!("racer {n}"), None);
        let made = stands.decision.is_approved() && stands.decision.identity == racer;
        assert_eq!(
            person(&*store, &racer).await.is_some(),
            made,
            "the others have written nothing"
        );
    }
}

async fn of_fifty_redemptions_one_consumes_and_the_others_revoke<S: Store>(store: Arc<S>) {
    let login = sign_in(&*store, approval("race", &identity("wx1", "ann", None))).await;
    let mut racers = JoinSet::new();
    for n in 0..50 {
        let token = Token { family: Hashed::of("race"), ..token(&format!("token {n}"), &login.id) };
        let store = store.clone();
        racers.spawn(async move { store.redeem(code("race"), vec![token], NOW).await.unwrap() });
    }
    let told = racers.join_all().await;
    let consumed = told.iter().filter(|told| **told == Redemption::Consumed).count();
    assert_eq!(consumed, 1);
    for n in 0..50 {
        assert!(!is_live(&*store, &format!("token {n}")).await, "what the one got is revoked");
    }
    let stands = store.decision_by_code(code("race")).await.unwrap().unwrap();
    assert_eq!(stands.redeemed, Some(NOW));
}

async fn a_burnt_code_gives_nothing(store: impl Store) {
    let login = sign_in(&store, approval("burnt", &identity("wx1", "ann", None))).await;
    assert_eq!(store.redeem(code("burnt"), Vec::new(), NOW).await.unwrap(), Redemption::Consumed);
    let late = store.redeem(code("burnt"), vec![token("late", &login.id)], NOW).await.unwrap();
    assert_eq!(late, Redemption::Reused);
    assert!(!is_live(&store, "late").await);
}

async fn a_code_nobody_knows_revokes_nothing(store: impl Store) {
    let login = sign_in(&store, approval("one", &identity("wx1", "ann", None))).await;
    store.redeem(code("one"), vec![token("access", &login.id)], NOW).await.unwrap();
    decide(&store, denial("no", &identity("wx1", "ann", None))).await;
    for unknown in ["no", "never"] {
        let told = store.redeem(code(unknown), vec![token("x", &login.id)], NOW).await.unwrap();
        assert_eq!(told, Redemption::Reused);
    }
    assert!(is_live(&store, "access").await && !is_live(&store, "x").await);
}

async fn a_token_lives_as_long_as_its_time_and_its_login(store: impl Store) {
    let login = sign_in(&store, approval("one", &identity("wx1", "ann", None))).await;
    store.redeem(code("one"), vec![token("access", &login.id)], NOW).await.unwrap();
    let live = async |now| store.live_token(Hashed::of("access"), now).await.unwrap();
    let found = live(NOW + 59 * MINUTE).await.unwrap();
    assert_eq!(found.token, token("access", &login.id));
    assert_eq!((found.login, found.person.id), (login, "person of one".to_owned()));
    assert!(live(NOW + 60 * MINUTE).await.is_none());
}

async fn of_fifty_who_refresh_one_rotates<S: Store>(store: Arc<S>) {
    let login = sign_in(&*store, approval("race", &identity("wx1", "ann", None))).await;
    let refresh = Token { kind: TokenKind::Refresh, ..token("refresh", &login.id) };
    store.redeem(code("race"), vec![refresh.clone()], NOW).await.unwrap();
    let mut racers = JoinSet::new();
    for n in 0..50 {
        let (store, next) = (store.clone(), token(&format!("next {n}"), &login.id));
        racers.spawn(
            async move { store.rotate(refresh.hash, vec![next], NOW + MINUTE).await.unwrap() },
        );
    }
    let rotated = racers.join_all().await;
    assert_eq!(rotated.iter().filter(|won| **won).count(), 1);
    let mut alive = 0;
    for n in 0..50 {
        alive += u32::from(is_live(&*store, &format!("next {n}")).await);
    }
    assert_eq!(alive, 1, "who did not rotate keeps nothing");
    let used = store.live_token(refresh.hash, NOW).await.unwrap().unwrap();
    assert_eq!(used.token.used, Some(NOW + MINUTE), "it stays, so that a second use is noticed");
    assert_eq!(used.login.last_seen, NOW + MINUTE);
}

async fn a_family_is_revoked_with_all_its_tokens(store: impl Store) {
    let ann = identity("wx1", "ann", None);
    let (one, two) = (
        sign_in(&store, approval("one", &ann)).await,
        sign_in(&store, approval("two", &ann)).await,
    );
    store.redeem(code("one"), vec![token("a", &one.id), token("b", &one.id)], NOW).await.unwrap();
    store.redeem(code("two"), vec![token("c", &two.id)], NOW).await.unwrap();
    store.revoke(Revoke::Token(Hashed::of("a"))).await.unwrap();
    assert!(!is_live(&store, "a").await && is_live(&store, "b").await);
    store
        .revoke(Revoke::Family { id: token("b", &one.id).family, login: one.id.clone() })
        .await
        .unwrap();
    assert!(!is_live(&store, "b").await && is_live(&store, "c").await);
}
