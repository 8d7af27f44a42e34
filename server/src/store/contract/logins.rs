//! Logins, the sessions that hold them together, and the browsers and phones they were made with.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{
    MINUTE, NOW, approval, arrival, browser_session, code, held, held_in, identity, is_live,
    remembered, sign_in, token,
};
use crate::{
    person::Identity,
    secret::Hashed,
    store::{Error, Login, LoginOf, Store, untold},
    ticket::Owner,
};

pub(super) async fn holds<S: Store>(fresh: impl AsyncFn() -> S) {
    a_session_carries_over_for_the_same_person_alone(fresh().await).await;
    a_session_counts_in_its_own_browser_alone(fresh().await).await;
    what_vouches_for_nothing_ends_with_its_session(fresh().await).await;
    a_login_that_goes_on_is_the_same_login(fresh().await).await;
    a_login_ends_with_its_tokens_and_for_its_own_person_alone(fresh().await).await;
    what_ended_comes_back_by_no_other_login_of_its_session(fresh().await).await;
    of_four_who_end_at_once_nobody_waits_for_ever(Arc::new(fresh().await)).await;
    a_session_ends_with_all_its_logins(fresh().await).await;
    who_is_known_with_which_browser_and_where(fresh().await).await;
    a_browser_that_was_not_the_persons_is_known_no_more(fresh().await).await;
    a_phone_token_has_its_time(fresh().await).await;
}

async fn a_session_carries_over_for_the_same_person_alone(store: impl Store) {
    let (ann, bob) = (identity("wx1", "ann", None), identity("wx1", "bob", None));
    sign_in(&store, remembered("1", &ann, "first", None)).await;
    sign_in(&store, remembered("2", &ann, "second", Some("first"))).await;
    assert_eq!(held(&store, "second", NOW).await, ["login of 1", "login of 2"]);
    assert!(held(&store, "first", NOW).await.is_empty());
    sign_in(&store, remembered("3", &bob, "bob's", Some("second"))).await;
    assert_eq!(held(&store, "bob's", NOW).await, ["login of 3"]);
    sign_in(&store, approval("4", &ann)).await;
    assert_eq!(held(&store, "second", NOW + 59 * MINUTE).await.len(), 2, "4 is not remembered");
    assert!(held(&store, "second", NOW + 60 * MINUTE).await.is_empty());
}

async fn a_session_counts_in_its_own_browser_alone(store: impl Store) {
    let ann = identity("wx1", "ann", None);
    sign_in(&store, remembered("1", &ann, "first", None)).await;
    assert!(held_in(&store, "first", "another", NOW).await.is_empty());
    // Nor does another browser that shows it take over what it holds, with the person's yes for something else.
    let mut elsewhere = remembered("2", &ann, "second", Some("first"));
    let (cookie, session) = (Hashed::of("another"), Some(Hashed::of("first")));
    elsewhere.decision.owner = Owner::Browser { cookie, session, at: None };
    sign_in(&store, elsewhere).await;
    assert_eq!(held_in(&store, "second", "another", NOW).await, ["login of 2"]);
    assert_eq!(held(&store, "first", NOW).await, ["login of 1"]);
    assert!(store.end_session(browser_session("first", "another"), NOW).await.unwrap().is_empty());
    assert_eq!(store.end_session(browser_session("first", "cookie"), NOW).await.unwrap().len(), 1);
}

async fn what_vouches_for_nothing_ends_with_its_session(store: impl Store) {
    let ann = identity("wx1", "ann", None);
    let vouches = sign_in(&store, remembered("1", &ann, "session", None)).await;
    let mut skipped = approval("2", &ann);
    skipped.session = Some((Hashed::of("session"), NOW));
    let skipped = sign_in(&store, skipped).await;
    assert_eq!(held(&store, "session", NOW).await, ["login of 1"]);
    let at = async |session: &str, site: &str| {
        let found = store.skipped(Hashed::of(session), &vouches.person, site).await.unwrap();
        found.into_iter().map(|login| login.id).collect::<Vec<_>>()
    };
    assert!(at("session", "blog").await.contains(&skipped.id));
    assert!(at("session", "shop").await.is_empty() && at("another", "blog").await.is_empty());
    let ends = store.ends_with(browser_session("session", "cookie")).await.unwrap();
    assert_eq!(ends.len(), 2, "it would end, too");
    let elsewhere = store.ends_with(browser_session("session", "another")).await.unwrap();
    assert!(elsewhere.is_empty());

    sign_in(&store, remembered("3", &ann, "next", Some("session"))).await;
    assert_eq!(held(&store, "next", NOW).await, ["login of 1", "login of 3"], "it came along");
    let ended = store.end_session(browser_session("next", "cookie"), NOW).await.unwrap();
    assert!(ended.iter().any(|login| login.id == skipped.id), "and ends with the others");
}

async fn a_login_that_goes_on_is_the_same_login(store: impl Store) {
    let ann = identity("wx1", "ann", None);
    let first = sign_in(&store, remembered("1", &ann, "session", None)).await;
    let mut again = approval("2", &ann);
    again.login = LoginOf::Again(first.id.clone());
    again.decision.at = NOW + MINUTE;
    let went_on = sign_in(&store, again.clone()).await;
    assert_eq!(went_on, Login { last_seen: NOW + MINUTE, ..first.clone() });
    assert_eq!(store.logins(&first.person).await.unwrap().len(), 1);
    store.end_login(&first.person, &first.id, NOW).await.unwrap();
    again.decision.ticket = Hashed::of("3");
    again.decision.scene = "scene-3".to_owned();
    again.code = code("3");
    assert_eq!(store.decide(again, untold()).await, Err(Error::LoginEnded));
}

async fn a_login_ends_with_its_tokens_and_for_its_own_person_alone(store: impl Store) {
    let (ann, bob) = (identity("wx1", "ann", None), identity("wx1", "bob", None));
    let one = sign_in(&store, remembered("1", &ann, "session", None)).await;
    let mut later = remembered("2", &ann, "session", None);
    later.login = LoginOf::New { id: "login of 2".to_owned(), since: NOW + MINUTE };
    let two = sign_in(&store, later).await;
    let bobs = sign_in(&store, approval("3", &bob)).await;
    for (name, login) in [("1", &one), ("2", &two)] {
        store.redeem(code(name), vec![token(name, &login.id)], NOW).await.unwrap();
    }
    let listed = store.logins(&one.person).await.unwrap();
    assert_eq!(listed, [two.clone(), one.clone()], "the latest first");

    assert_eq!(store.end_login(&bobs.person, &one.id, NOW).await.unwrap(), None);
    assert!(is_live(&store, "1").await);
    let ended = store.end_login(&one.person, &one.id, NOW + MINUTE).await.unwrap();
    assert_eq!(ended.map(|login| login.id), Some(one.id.clone()));
    assert!(!is_live(&store, "1").await && is_live(&store, "2").await);
    assert_eq!(store.logins(&one.person).await.unwrap(), [two]);
    assert_eq!(store.end_login(&one.person, &one.id, NOW).await.unwrap(), None, "it ends once");
    let ended = async |person: &str, login: &str| store.has_ended(person, login).await.unwrap();
    assert!(ended(&one.person, &one.id).await && !ended(&bobs.person, &one.id).await);
    assert!(!ended(&one.person, &bobs.id).await && !ended(&bobs.person, &bobs.id).await);
    let decided = store.decision_by_code(code("1")).await.unwrap().unwrap();
    assert_eq!(decided.login.unwrap().ended, Some(NOW + MINUTE));
}

async fn what_ended_comes_back_by_no_other_login_of_its_session(store: impl Store) {
    let ann = identity("wx1", "ann", None);
    let one = sign_in(&store, remembered("1", &ann, "first", None)).await;
    sign_in(&store, remembered("2", &ann, "session", Some("first"))).await;
    let mut of_another_group = remembered("3", &ann, "session", None);
    of_another_group.group = "club".to_owned();
    sign_in(&store, of_another_group).await;
    sign_in(&store, remembered("4", &ann, "elsewhere", None)).await;
    assert_eq!(held(&store, "session", NOW).await, ["login of 1", "login of 2", "login of 3"]);

    store.end_login(&one.person, &one.id, NOW).await.unwrap();
    assert_eq!(held(&store, "session", NOW).await, ["login of 3"]);
    assert_eq!(held(&store, "elsewhere", NOW).await, ["login of 4"], "another session stands");
    let living = store.logins(&one.person).await.unwrap();
    assert_eq!(living.len(), 3, "nothing else has ended");
    let ended = store.end_session(browser_session("session", "cookie"), NOW).await.unwrap();
    assert_eq!(ended.len(), 2, "and it ends with its session");
}

async fn of_four_who_end_at_once_nobody_waits_for_ever(store: Arc<impl Store>) {
    let ann = identity("wx1", "ann", None);
    for round in 0..20 {
        let session = format!("session {round}");
        let mut logins = Vec::new();
        for n in 0..4 {
            let name = format!("{round} {n}");
            logins.push(sign_in(&*store, remembered(&name, &ann, &session, None)).await);
        }
        let mut racers = JoinSet::new();
        for login in logins {
            let store = store.clone();
            racers.spawn(async move { store.end_login(&login.person, &login.id, NOW).await });
        }
        for ended in racers.join_all().await {
            assert!(ended.unwrap().is_some());
        }
    }
}

async fn a_session_ends_with_all_its_logins(store: impl Store) {
    let ann = identity("wx1", "ann", None);
    let one = sign_in(&store, remembered("1", &ann, "session", None)).await;
    sign_in(&store, remembered("2", &ann, "session", None)).await;
    let other = sign_in(&store, remembered("3", &ann, "other", None)).await;
    store.redeem(code("1"), vec![token("1", &one.id)], NOW).await.unwrap();
    assert_eq!(
        store.end_session(browser_session("session", "cookie"), NOW).await.unwrap().len(),
        2
    );
    assert!(!is_live(&store, "1").await);
    assert!(held(&store, "session", NOW).await.is_empty());
    assert_eq!(store.logins(&one.person).await.unwrap(), [other]);
    assert!(store.end_session(browser_session("session", "cookie"), NOW).await.unwrap().is_empty());
}

async fn who_is_known_with_which_browser_and_where(store: impl Store) {
    let ann = identity("wx1", "ann", None);
    let nobody = arrival(&store, &ann, "blog", Some(Hashed::of("cookie"))).await;
    assert_eq!(nobody, None, "yet");
    let login = sign_in(&store, approval("1", &ann)).await;
    let known = async |browser: Option<&str>, site: &str| {
        let browser = browser.map(Hashed::of);
        let known = arrival(&store, &ann, site, browser).await.unwrap();
        assert_eq!((known.person.id, known.word), (login.person.clone(), None));
        (known.knows_browser, known.knows_site)
    };
    assert_eq!(known(Some("cookie"), "blog").await, (true, true));
    assert_eq!(known(Some("another"), "shop").await, (false, false));
    assert_eq!(known(None, "blog").await, (false, true));
    let elsewhere = identity("wx2", "ann elsewhere", None);
    assert_eq!(arrival(&store, &elsewhere, "blog", None).await, None);
}

async fn a_browser_that_was_not_the_persons_is_known_no_more(store: impl Store) {
    let (ann, bob) = (identity("wx1", "ann", None), identity("wx1", "bob", None));
    let in_browser = async |name: &str, identity: &Identity, cookie: &str| {
        let mut approval = approval(name, identity);
        let cookie = Hashed::of(cookie);
        approval.decision.owner = Owner::Browser { cookie, session: None, at: None };
        sign_in(&store, approval).await
    };
    let before = in_browser("1", &ann, "strange").await;
    let strange = in_browser("2", &ann, "strange").await;
    in_browser("3", &ann, "own").await;
    in_browser("4", &bob, "strange").await;
    store.end_login(&before.person, &before.id, NOW).await.unwrap();
    let known = async |who: &Identity, browser: &str| {
        let browser = Some(Hashed::of(browser));
        arrival(&store, who, "blog", browser).await.unwrap().knows_browser
    };
    assert!(known(&ann, "strange").await, "to end a login is not to disown its browser");
    store.end_browser(&strange.person, &strange.id, NOW).await.unwrap();
    assert!(!known(&ann, "strange").await, "nor by the login that had ended before");
    assert!(known(&ann, "own").await && known(&bob, "strange").await);
    let over = in_browser("5", &ann, "third").await;
    let living = in_browser("6", &ann, "third").await;
    store.end_login(&over.person, &over.id, NOW).await.unwrap();
    let ended = store.end_browser(&over.person, &over.id, NOW).await.unwrap();
    assert_eq!(ended.iter().map(|login| &login.id).collect::<Vec<_>>(), [&living.id]);
    assert!(!known(&ann, "third").await, "a browser is named by a login that has ended, too");
    assert_eq!(store.end_browser(&over.person, &over.id, NOW).await.unwrap(), []);
    store.end_all(&strange.person, Hashed::of("phone"), NOW).await.unwrap();
    assert!(!known(&ann, "own").await && known(&bob, "strange").await);
}

async fn a_phone_token_has_its_time(store: impl Store) {
    let ann = identity("wx1", "ann", Some("everywhere"));
    store.open_phone(Hashed::of("phone"), &ann, NOW + MINUTE).await.unwrap();
    let phone = async |name: &str, now| store.phone(Hashed::of(name), now).await.unwrap();
    assert_eq!(phone("phone", NOW).await, Some(ann));
    assert_eq!(phone("phone", NOW + MINUTE).await, None);
    assert_eq!(phone("another", NOW).await, None);
}
