//! What every store must do: run by each implementation's own tests.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{
    Arrival, Change, Decide, Decided, Import, Imported, Login, LoginOf, Profile, Redemption,
    Revoke, Shadow, Store, StoredKey, Token, TokenKind, untold,
};
use crate::{
    admission::Word,
    audit,
    grant::Scopes,
    person::{Identity, Newcomer, Person},
    risk::{Ask, Level, Risk},
    secret::Hashed,
    site::{Alg, Site},
    ticket::{Decision, Denied, Owner, Verdict},
    tickets::{Parked, contract::ticket},
    world::Timestamp,
};

mod admissions;
mod console;
mod people;

/// Runs every rule against a fresh store each.
pub(crate) async fn holds<S: Store>(fresh: impl AsyncFn() -> S) {
    a_decision_is_found_by_each_of_its_names(fresh().await).await;
    of_fifty_decisions_the_first_wins(Arc::new(fresh().await)).await;
    of_fifty_redemptions_one_consumes_and_the_others_revoke(Arc::new(fresh().await)).await;
    a_burnt_code_gives_nothing(fresh().await).await;
    a_code_nobody_knows_revokes_nothing(fresh().await).await;
    a_token_lives_as_long_as_its_time_and_its_login(fresh().await).await;
    a_person_is_found_again_and_keeps_their_sub(fresh().await).await;
    a_unionid_joins_and_changes_no_sub(fresh().await).await;
    two_who_are_one_keep_every_sub_a_group_knows(fresh().await).await;
    three_who_are_one_keep_every_sub_too(fresh().await).await;
    a_session_carries_over_for_the_same_person_alone(fresh().await).await;
    a_login_that_goes_on_is_the_same_login(fresh().await).await;
    a_login_ends_with_its_tokens_and_for_its_own_person_alone(fresh().await).await;
    a_session_ends_with_all_its_logins(fresh().await).await;
    who_is_known_with_which_browser_and_where(fresh().await).await;
    a_browser_that_was_not_the_persons_is_known_no_more(fresh().await).await;
    who_is_kept_out_leaves_a_shadow(fresh().await).await;
    a_phone_token_has_its_time(fresh().await).await;
    a_person_shows_what_they_chose(fresh().await).await;
    who_is_forgotten_is_nowhere(fresh().await).await;
    tickets_are_parked_once(fresh().await).await;
    keys_come_oldest_first(fresh().await).await;
    a_server_secret_is_made_once(fresh().await).await;
    of_fifty_who_refresh_one_rotates(Arc::new(fresh().await)).await;
    a_family_is_revoked_with_all_its_tokens(fresh().await).await;
    sites_are_kept_changed_and_forgotten_with_their_logins(fresh().await).await;
    a_logout_is_taken_by_one_and_again_only_later(fresh().await).await;
    what_is_over_is_pruned_and_what_is_not_stays(fresh().await).await;
    people_come_along_with_the_names_that_sites_know(fresh().await).await;
    people::holds(&fresh).await;
    admissions::holds(&fresh).await;
    console::holds(&fresh).await;
}

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);

/// The person behind `openid` at the mini program `appid`.
pub(crate) fn identity(appid: &str, openid: &str, unionid: Option<&str>) -> Identity {
    Identity {
        appid: appid.to_owned(),
        openid: openid.to_owned(),
        unionid: unionid.map(ToOwned::to_owned),
    }
}

/// An approval of the ticket called `name`, with every name that it would need made from that.
pub(crate) fn approval(name: &str, identity: &Identity) -> Decide {
    let ticket = ticket(name, NOW);
    let decision = Decision {
        ticket: ticket.id,
        scene: ticket.scene,
        owner: ticket.owner,
        request: ticket.request,
        kind: ticket.kind,
        browser: ticket.browser,
        identity: identity.clone(),
        token: Hashed::of(format!("token of {name}")),
        risk: Risk { ask: Ask::Tap, level: Level::Low, why: [].into() },
        verdict: Verdict::Approved { scopes: Scopes::parse("openid profile"), remember: false },
        at: NOW,
        claim_until: NOW + 2 * MINUTE,
    };
    Decide {
        decision,
        code: code(name),
        session: None,
        group: "blog".to_owned(),
        newcomer: Newcomer { id: format!("person of {name}"), username: format!("u{name}") },
        sub: format!("sub of {name}"),
        login: LoginOf::New { id: format!("login of {name}"), since: NOW },
    }
}

pub(crate) fn denial(name: &str, identity: &Identity) -> Decide {
    let mut decide = approval(name, identity);
    decide.decision.verdict = Verdict::Denied(Denied::ByPerson);
    decide
}

fn code(name: &str) -> Hashed {
    Hashed::of(format!("code of {name}"))
}

/// An access token of a login, good for an hour.
fn token(name: &str, login: &str) -> Token {
    Token {
        hash: Hashed::of(name),
        kind: TokenKind::Access,
        login: login.to_owned(),
        scopes: Scopes::parse("openid profile"),
        // The family of what a code gives is its ticket.
        family: Hashed::of(login.trim_start_matches("login of ")),
        since: NOW,
        made: NOW,
        expires: NOW + 60 * MINUTE,
        used: None,
    }
}

async fn decide(store: &impl Store, decide: Decide) -> Decided {
    store.decide(decide, untold()).await.unwrap()
}

/// Approves, and returns the login that makes.
async fn sign_in(store: &impl Store, approval: Decide) -> Login {
    decide(store, approval).await.login.unwrap()
}

/// Who comes, and left no shadow.
async fn arrival(
    store: &impl Store,
    identity: &Identity,
    site: &str,
    browser: Option<Hashed>,
) -> Option<Arrival> {
    store.arrival(identity, &shade("nowhere", "nobody"), site, browser).await.unwrap()
}

async fn person(store: &impl Store, identity: &Identity) -> Option<Person> {
    store.person_of(identity).await.unwrap()
}

async fn is_live(store: &impl Store, name: &str) -> bool {
    store.live_token(Hashed::of(name), NOW).await.unwrap().is_some()
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

async fn a_person_is_found_again_and_keeps_their_sub(store: impl Store) {
    let (ann, bob) = (identity("wx1", "ann", None), identity("wx1", "bob", None));
    assert_eq!(person(&store, &ann).await, None);
    let first = sign_in(&store, approval("1", &ann)).await;
    let again = sign_in(&store, approval("2", &ann)).await;
    let mut elsewhere = approval("3", &ann);
    elsewhere.group = "shop".to_owned();
    let elsewhere = sign_in(&store, elsewhere).await;
    let bobs = sign_in(&store, approval("4", &bob)).await;
    assert_eq!([&first.person, &again.person, &elsewhere.person], ["person of 1"; 3]);
    let subs = [&first.sub, &again.sub, &elsewhere.sub, &bobs.sub];
    assert_eq!(subs, ["sub of 1", "sub of 1", "sub of 3", "sub of 4"]);
    let found = person(&store, &ann).await.unwrap();
    assert_eq!((found.username.as_str(), found.since, found.nickname), ("u1", NOW, None));
    assert_eq!(store.person("person of 4").await.unwrap().unwrap().username, "u4");
    assert!(store.person("person of 2").await.unwrap().is_none(), "nobody was made in vain");
}

async fn a_unionid_joins_and_changes_no_sub(store: impl Store) {
    let first = sign_in(&store, approval("1", &identity("wx1", "ann", None))).await;
    let with = identity("wx1", "ann", Some("everywhere"));
    assert_eq!(sign_in(&store, approval("2", &with)).await.sub, first.sub);
    let other_program = identity("wx2", "ann there", Some("everywhere"));
    assert_eq!(person(&store, &other_program).await.unwrap().id, first.person);
    let joined = sign_in(&store, approval("3", &other_program)).await;
    assert_eq!((joined.person, joined.sub), (first.person.clone(), first.sub.clone()));
    let without = sign_in(&store, approval("4", &identity("wx1", "ann", None))).await;
    assert_eq!((&without.person, &without.sub), (&first.person, &first.sub), "it never splits");
    let found = store.logins(&without.person).await.unwrap();
    let unionid =
        found.iter().find(|login| login.id == without.id).unwrap().identity.unionid.clone();
    assert_eq!(unionid, with.unionid, "and is not forgotten");
}

/// Signs in at a site of `group`, `age` minutes after the story began.
async fn at(store: &impl Store, name: &str, identity: &Identity, group: &str, age: u32) -> Login {
    let mut approval = approval(name, identity);
    approval.group = group.to_owned();
    approval.decision.at = NOW + age * MINUTE;
    sign_in(store, approval).await
}

async fn two_who_are_one_keep_every_sub_a_group_knows(store: impl Store) {
    let (ann, bob) = (identity("wx1", "ann", None), identity("wx2", "bob", Some("one")));
    let anns = at(&store, "ann", &ann, "both", 0).await;
    let bobs = at(&store, "bob", &bob, "both", 1).await;
    let only = at(&store, "only", &bob, "bob's alone", 2).await;
    assert_ne!(anns.person, bobs.person);
    store.redeem(code("bob"), vec![token("bob's", &bobs.id)], NOW).await.unwrap();

    let ann = identity("wx1", "ann", Some("one"));
    let merged = at(&store, "merged", &ann, "both", 3).await;
    assert_eq!((&merged.person, &merged.sub), (&anns.person, &anns.sub), "the older stays");
    let again = at(&store, "again", &bob, "both", 4).await;
    assert_eq!((&again.person, &again.sub), (&anns.person, &bobs.sub), "bob is bob to this group");
    assert_eq!(at(&store, "ann there", &ann, "bob's alone", 5).await.sub, only.sub);
    assert!(store.person(&bobs.person).await.unwrap().is_none());
    assert_eq!(store.logins(&anns.person).await.unwrap().len(), 6, "every login went along");
    assert!(is_live(&store, "bob's").await, "and nobody was signed out");
}

async fn three_who_are_one_keep_every_sub_too(store: impl Store) {
    let cat = identity("wx3", "cat", None);
    let (ann, bob) = (identity("wx1", "ann", None), identity("wx2", "bob", Some("one")));
    let cats = at(&store, "cat", &cat, "all", 0).await;
    let anns = at(&store, "ann", &ann, "all", 1).await;
    let bobs = at(&store, "bob", &bob, "all", 2).await;
    let ann = identity("wx1", "ann", Some("one"));
    at(&store, "ann and bob", &ann, "all", 3).await;
    let cat = identity("wx3", "cat", Some("one"));
    at(&store, "all three", &cat, "all", 4).await;
    for (name, identity, sub) in
        [("a", &ann, anns.sub), ("b", &bob, bobs.sub), ("c", &cat, cats.sub)]
    {
        let login = at(&store, name, identity, "all", 5).await;
        assert_eq!((login.person, login.sub), (cats.person.clone(), sub));
    }
}

/// An approval that makes this session, in a browser that has `old` already.
fn remembered(name: &str, identity: &Identity, session: &str, old: Option<&str>) -> Decide {
    let mut approval = approval(name, identity);
    approval.session = Some((Hashed::of(session), NOW + 60 * MINUTE));
    let (cookie, session) = (Hashed::of("cookie"), old.map(Hashed::of));
    approval.decision.owner = Owner::Browser { cookie, session, at: None };
    approval
}

async fn held(store: &impl Store, session: &str, now: Timestamp) -> Vec<String> {
    let logins = store.session(Hashed::of(session), now).await.unwrap();
    let mut names: Vec<String> = logins.into_iter().map(|login| login.id).collect();
    names.sort();
    names
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
    assert!(store.decide(again, untold()).await.is_err(), "what has ended does not go on");
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
    assert_eq!(held(&store, "session", NOW).await, ["login of 2"]);
    assert_eq!(store.logins(&one.person).await.unwrap(), [two]);
    assert_eq!(store.end_login(&one.person, &one.id, NOW).await.unwrap(), None, "it ends once");
    let decided = store.decision_by_code(code("1")).await.unwrap().unwrap();
    assert_eq!(decided.login.unwrap().ended, Some(NOW + MINUTE));
}

async fn a_session_ends_with_all_its_logins(store: impl Store) {
    let ann = identity("wx1", "ann", None);
    let one = sign_in(&store, remembered("1", &ann, "session", None)).await;
    sign_in(&store, remembered("2", &ann, "session", None)).await;
    let other = sign_in(&store, remembered("3", &ann, "other", None)).await;
    store.redeem(code("1"), vec![token("1", &one.id)], NOW).await.unwrap();
    assert_eq!(store.end_session(Hashed::of("session"), NOW).await.unwrap().len(), 2);
    assert!(!is_live(&store, "1").await);
    assert!(held(&store, "session", NOW).await.is_empty());
    assert_eq!(store.logins(&one.person).await.unwrap(), [other]);
    assert!(store.end_session(Hashed::of("session"), NOW).await.unwrap().is_empty());
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

async fn a_person_shows_what_they_chose(store: impl Store) {
    let id = sign_in(&store, approval("1", &identity("wx1", "ann", None))).await.person;
    let set = async |nickname: Option<&str>, avatar: Option<&[u8]>| {
        let avatar = avatar.map(|bytes| ("image/jpeg".to_owned(), bytes.to_vec()));
        let profile = Profile { nickname: nickname.map(ToOwned::to_owned), avatar };
        let shown = store.set_profile(&id, profile).await.unwrap().unwrap();
        (shown.nickname, shown.avatar)
    };
    let ann = Some("Ann".to_owned());
    assert_eq!(set(Some("Ann"), None).await, (ann.clone(), None));
    let (_, first) = set(None, Some(b"one")).await;
    let (name, second) = set(None, Some(b"two")).await;
    assert!(first.is_some() && second.is_some() && first != second, "a new picture, a new address");
    assert_eq!(name, ann, "what is not given stays");
    let picture = store.avatar("u1").await.unwrap().unwrap();
    assert_eq!(picture, ("image/jpeg".to_owned(), b"two".to_vec()));
    assert_eq!(set(Some(""), Some(b"")).await, (None, None));
    assert_eq!(store.avatar("u1").await.unwrap(), None);
    assert_eq!(store.avatar("nobody").await.unwrap(), None);
    assert!(store.set_profile("nobody", Profile::default()).await.unwrap().is_none());
}

/// Somebody with everything that a person can leave behind, besides a bystander who has the same.
pub(crate) async fn a_life(store: &impl Store, openid: &str) -> Person {
    let here = identity("wx1", openid, Some(&format!("{openid} everywhere")));
    let there = identity("wx2", &format!("{openid} there"), here.unionid.as_deref());
    let named = |what: &str| format!("{openid}'s {what}");
    let first = sign_in(store, remembered(&named("first"), &here, &named("session"), None)).await;
    let access = token(&named("access"), &first.id);
    store.redeem(code(&named("first")), vec![access], NOW).await.unwrap();
    sign_in(store, approval(&named("second"), &there)).await;
    decide(store, denial(&named("denied"), &here)).await;
    for identity in [&here, &there] {
        let phone = Hashed::of(named(&identity.appid));
        store.open_phone(phone, identity, NOW + MINUTE).await.unwrap();
    }
    let nickname = Some(format!("{openid} the Great"));
    let avatar = Some(("image/jpeg".to_owned(), named("face").into_bytes()));
    store.set_profile(&first.person, Profile { nickname, avatar }).await.unwrap().unwrap()
}

/// What would be left of somebody who is kept out.
pub(crate) fn shadow(name: &str) -> Shadow {
    let newcomer = Newcomer { id: format!("shadow of {name}"), username: format!("u-{name}") };
    Shadow { newcomer, identities: vec![shade("wx1", name), shade("wx2", name)] }
}

fn shade(appid: &str, name: &str) -> Identity {
    identity(appid, &format!("forgotten:{name}"), None)
}

async fn who_is_kept_out_leaves_a_shadow(store: impl Store) {
    let (ann, bob) = (a_life(&store, "ann").await, a_life(&store, "bob").await);
    let change = async |id: &str, change| {
        store.change(id, change, "command", NOW).await.unwrap().unwrap();
    };
    change(&ann.id, Change::Block).await;
    change(&ann.id, Change::Admit("shop".to_owned())).await;
    change(&bob.id, Change::Refuse("blog".to_owned())).await;
    for (who, name) in [(&ann, "ann"), (&bob, "bob")] {
        store.forget(&who.id, shadow(name), NOW).await.unwrap();
        assert!(store.person(&who.id).await.unwrap().is_none());
        let here = identity("wx1", name, None);
        assert!(store.person_of(&here).await.unwrap().is_none(), "it is nobody's until they meet");
        store.meet(&here, &shade("wx1", "another")).await.unwrap();
        assert!(store.person_of(&here).await.unwrap().is_none());
        store.meet(&here, &shade("wx1", name)).await.unwrap();
        let back = store.person_of(&here).await.unwrap().unwrap();
        assert_eq!((back.id, back.nickname), (format!("shadow of {name}"), None));
        assert_eq!(back.blocked, name == "ann");
        let said = store.said(&format!("shadow of {name}")).await.unwrap();
        let refused = said.iter().filter(|said| said.word == Word::Refused).count();
        assert_eq!((said.len(), refused), if name == "ann" { (0, 0) } else { (1, 1) });
    }
    // In the other mini program somebody has come up under the same openid before they met: they are one, and kept out.
    let there = identity("wx2", "bob there", None);
    let come_up = sign_in(&store, approval("come up", &there)).await;
    let met = store.arrival(&there, &shade("wx2", "bob"), "blog", None).await.unwrap().unwrap();
    assert_eq!((met.person.id.as_str(), met.word), ("shadow of bob", Some(Word::Refused)));
    assert_eq!(store.person_of(&there).await.unwrap(), Some(met.person));
    assert!(store.person(&come_up.person).await.unwrap().is_none());
    // Who has been met is no shadow, and one whom nobody keeps out is gone.
    change("shadow of bob", Change::Unsay("blog".to_owned())).await;
    assert!(store.person("shadow of bob").await.unwrap().is_some());
    let cat = a_life(&store, "cat").await;
    change(&cat.id, Change::Block).await;
    store.forget(&cat.id, shadow("cat"), NOW).await.unwrap();
    change("shadow of cat", Change::Unblock).await;
    assert!(store.person("shadow of cat").await.unwrap().is_none());
}

async fn who_is_forgotten_is_nowhere(store: impl Store) {
    let (ann, bob) = (a_life(&store, "ann").await, a_life(&store, "bob").await);
    let ended = store.forget(&ann.id, shadow("ann"), NOW).await.unwrap();
    assert_eq!(ended.len(), 2, "whom the sites may have to be told of");

    for (person, name, there) in [(&ann, "ann", false), (&bob, "bob", true)] {
        let named = |what: &str| format!("{name}'s {what}");
        assert_eq!(store.person(&person.id).await.unwrap().is_some(), there);
        assert_eq!(is_live(&store, &named("access")).await, there);
        assert_eq!(!held(&store, &named("session"), NOW).await.is_empty(), there);
        assert_eq!(store.avatar(&person.username).await.unwrap().is_some(), there);
        assert_eq!(!store.logins(&person.id).await.unwrap().is_empty(), there);
        for appid in ["wx1", "wx2"] {
            let phone = store.phone(Hashed::of(named(appid)), NOW).await.unwrap();
            assert_eq!(phone.is_some(), there);
        }
        for decision in ["first", "second", "denied"] {
            let found = store.decision_by_ticket(Hashed::of(named(decision))).await.unwrap();
            assert_eq!(found.is_some(), there, "{name}'s {decision}");
        }
    }
    let back = sign_in(&store, approval("back", &identity("wx1", "ann", None))).await;
    assert_eq!((back.person.as_str(), back.sub.as_str()), ("person of back", "sub of back"));
}

async fn tickets_are_parked_once(store: impl Store) {
    let picture = crate::tickets::Picture {
        content_type: "image/png".to_owned(),
        bytes: bytes::Bytes::from_static(&[0, 255, 7]),
    };
    let parked = |name: &str, picture| Parked { ticket: ticket(name, NOW), picture };
    let given = vec![parked("one", Some(picture.clone())), parked("two", None)];
    store.park(given).await.unwrap();
    let mut taken = store.unpark().await.unwrap();
    taken.sort_by_key(|parked| parked.ticket.scene.clone());
    assert_eq!(taken[0].ticket, ticket("one", NOW));
    assert_eq!(taken[0].picture, Some(picture));
    assert_eq!((&taken[1].ticket, &taken[1].picture), (&ticket("two", NOW), &None));
    assert!(store.unpark().await.unwrap().is_empty(), "it is there once");
}

async fn keys_come_oldest_first(store: impl Store) {
    let key = |kid: &str, alg, made| StoredKey {
        kid: kid.to_owned(),
        alg,
        made,
        signs_from: made,
        private: kid.as_bytes().to_vec(),
    };
    let (older, newer) = (key("z", Alg::ES256, NOW), key("a", Alg::RS256, NOW + MINUTE));
    for key in [&newer, &older] {
        store.put_key(key.clone()).await.unwrap();
    }
    assert_eq!(store.keys().await.unwrap(), [older.clone(), newer]);
    let rival = StoredKey { kid: "y".to_owned(), ..older.clone() };
    store.put_key(rival).await.unwrap();
    assert_eq!(store.keys().await.unwrap().len(), 2, "of two that begin at once the first stays");
    let (before, later) = (store.revision().await.unwrap(), older.signs_from + 2 * MINUTE);
    store.put_key(StoredKey { signs_from: later, ..older.clone() }).await.unwrap();
    assert_eq!(store.keys().await.unwrap()[1].signs_from, later);
    store.drop_key("z").await.unwrap();
    assert_eq!(store.keys().await.unwrap().len(), 1);
    assert!(store.revision().await.unwrap() > before, "running nodes look again");
}

async fn a_server_secret_is_made_once(store: impl Store) {
    assert_eq!(store.server_secret("derive").await.unwrap(), None);
    let first = store.make_server_secret("derive", vec![1]).await.unwrap();
    let second = store.make_server_secret("derive", vec![2]).await.unwrap();
    assert_eq!((first, second), (vec![1], vec![1]));
    assert_eq!(store.server_secret("derive").await.unwrap(), Some(vec![1]));
}

async fn what_is_over_is_pruned_and_what_is_not_stays(store: impl Store) {
    let ann = identity("wx1", "ann", None);
    let login = sign_in(&store, approval("1", &ann)).await;
    store.redeem(code("1"), vec![token("access", &login.id)], NOW).await.unwrap();
    store.open_phone(Hashed::of("phone"), &ann, NOW + 60 * MINUTE).await.unwrap();
    let entry = audit::Entry {
        at: NOW,
        what: "test.line".to_owned(),
        person: None,
        site: None,
        address: None,
        detail: serde_json::json!({}),
    };
    store.audit(entry).await.unwrap();

    store.prune(NOW + 59 * MINUTE).await.unwrap();
    assert!(store.decision_by_code(code("1")).await.unwrap().is_some(), "a reused code is noticed");
    assert!(is_live(&store, "access").await);
    assert!(store.phone(Hashed::of("phone"), NOW).await.unwrap().is_some());

    store.prune(NOW + 63 * MINUTE).await.unwrap();
    assert!(store.decision_by_code(code("1")).await.unwrap().is_none());
    assert!(!is_live(&store, "access").await);
    assert!(store.phone(Hashed::of("phone"), NOW).await.unwrap().is_none());
    assert!(person(&store, &ann).await.is_some());
    assert_eq!(
        store.logins(&login.person).await.unwrap(),
        [login],
        "a login ends when somebody ends it"
    );

    let mut late = approval("late", &ann);
    late.decision.claim_until = NOW + 10 * MINUTE;
    sign_in(&store, late).await;
    sign_in(&store, approval("2", &ann)).await;
    store.prune(NOW + 69 * MINUTE).await.unwrap();
    assert!(store.decision_by_code(code("late")).await.unwrap().is_some());
    store.prune(NOW + 71 * MINUTE).await.unwrap();
    for name in ["late", "2"] {
        assert!(store.decision_by_code(code(name)).await.unwrap().is_none(), "{name}");
    }
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

async fn sites_are_kept_changed_and_forgotten_with_their_logins(store: impl Store) {
    let login = sign_in(&store, approval("1", &identity("wx1", "ann", None))).await;
    let mut site = Site::new(&login.site, "My blog");
    site.hashes = vec![Hashed::of("a secret")];
    let before = store.revision().await.unwrap();
    store.put_site(&site).await.unwrap();
    assert_eq!(store.sites().await.unwrap(), [site.clone()]);
    site.name = "Our blog".to_owned();
    store.put_site(&site).await.unwrap();
    assert_eq!(store.sites().await.unwrap(), [site.clone()]);
    assert!(store.revision().await.unwrap() > before, "running nodes look again");
    assert!(store.remove_site(&site.id, NOW).await.unwrap());
    assert!(!store.remove_site(&site.id, NOW).await.unwrap());
    assert_eq!(
        store.login(&login.id).await.unwrap(),
        None,
        "nobody is signed in to what is no more"
    );
}

async fn a_logout_is_taken_by_one_and_again_only_later(store: impl Store) {
    let login = sign_in(&store, approval("1", &identity("wx1", "ann", None))).await;
    assert_eq!(store.login(&login.id).await.unwrap().as_ref(), Some(&login));
    store.end_login(&login.person, &login.id, NOW).await.unwrap();
    let taken = store.take_logouts(NOW, NOW + MINUTE).await.unwrap();
    let told: Vec<_> =
        taken.iter().map(|logout| (&logout.login, &logout.sub, logout.tries)).collect();
    assert_eq!(told, [(&login.id, &login.sub, 0)]);
    assert_eq!(
        store.take_logouts(NOW, NOW + MINUTE).await.unwrap(),
        [],
        "another node gets nothing"
    );
    store.settle_logout(taken[0].id, Some(NOW + 5 * MINUTE)).await.unwrap();
    assert_eq!(store.take_logouts(NOW + 4 * MINUTE, NOW).await.unwrap(), []);
    let again = store.take_logouts(NOW + 5 * MINUTE, NOW + 6 * MINUTE).await.unwrap();
    assert_eq!(again[0].tries, 1);
    store.settle_logout(again[0].id, None).await.unwrap();
    assert_eq!(store.take_logouts(NOW + 60 * MINUTE, NOW).await.unwrap(), []);
}

async fn people_come_along_with_the_names_that_sites_know(store: impl Store) {
    let row = |openid: &str, was: Option<&str>, sub: Option<(&str, &str)>| Import {
        identity: identity("wx2", openid, None),
        was: was.map(|openid| identity("wx1", openid, None)),
        sub: sub.map(|(group, sub)| (group.to_owned(), sub.to_owned())),
        nickname: Some("Imported".to_owned()),
        newcomer: Newcomer { id: format!("new {openid}"), username: format!("u{openid}") },
    };
    let import = async |rows: Vec<Import>, dry| store.import(rows, NOW, dry).await.unwrap();
    sign_in(&store, approval("ann", &identity("wx1", "ann", None))).await;
    let ann = store.person_of(&identity("wx1", "ann", None)).await.unwrap().unwrap();

    // From another AppID: the new openid is Ann's, who keeps every name that sites know.
    let moves = vec![row("ann there", Some("ann"), None), row("x", Some("nobody"), None)];
    let said = [Imported::Linked, Imported::Refused("was_openid is nobody's here")];
    assert_eq!(import(moves.clone(), true).await, said);
    assert!(store.person_of(&identity("wx2", "ann there", None)).await.unwrap().is_none(), "dry");
    assert_eq!(import(moves.clone(), false).await, said);
    let there = store.person_of(&identity("wx2", "ann there", None)).await.unwrap().unwrap();
    assert_eq!(there.id, ann.id);
    assert_eq!(import(moves, false).await[0], Imported::Known, "again, it changes nothing");

    // From an older login: Bob comes as who his site knows, and signs in as that.
    let bob = || row("bob", None, Some(("shop", "bob@old")));
    assert_eq!(import(vec![bob()], false).await, [Imported::Added]);
    assert_eq!(import(vec![bob()], false).await, [Imported::Known]);
    let login = sign_in(
        &store,
        Decide { group: "shop".to_owned(), ..approval("bob", &identity("wx2", "bob", None)) },
    )
    .await;
    assert_eq!(login.sub, "bob@old");
    let known = store.person(&login.person).await.unwrap().unwrap();
    assert_eq!(known.nickname.as_deref(), Some("Imported"));

    // What contradicts is refused and leaves nothing behind, and the rest goes in.
    let rows = vec![
        row("carl", None, Some(("shop", "bob@old"))),
        row("bob", None, Some(("shop", "another"))),
        row("bob", Some("ann"), None),
        row("dora", None, Some(("shop", "dora@old"))),
    ];
    let done = import(rows, false).await;
    assert!(done[..3].iter().all(|done| matches!(done, Imported::Refused(_))), "{done:?}");
    assert_eq!(done[3], Imported::Added);
    assert!(store.person_of(&identity("wx2", "carl", None)).await.unwrap().is_none());
    let audited = store.audit_since(Timestamp::from_millis(0), 1000).await.unwrap();
    let imported = audited.iter().filter(|entry| entry.what == "person.imported").count();
    assert_eq!(imported, 3, "Ann, Bob and Dora, once each");
}
