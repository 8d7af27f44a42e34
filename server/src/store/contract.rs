//! What every store must do: run by each implementation's own tests.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tokio::task::JoinSet;

use super::{
    Arrival, BrowserSession, Decide, Decided, Login, LoginOf, Profile, Seal, Shadow, Store,
    StoredKey, Token, TokenKind, untold,
};
use crate::{
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
mod decisions;
mod logins;
mod operator;
mod people;

/// Runs every rule against a fresh store each.
pub(crate) async fn holds<S: Store>(fresh: impl AsyncFn() -> S) {
    tickets_are_parked_once(fresh().await).await;
    keys_come_oldest_first(fresh().await).await;
    a_server_secret_is_made_once(fresh().await).await;
    what_was_plain_is_sealed_once(fresh().await).await;
    what_grows_old_loses_its_addresses_and_then_goes(fresh().await).await;
    sites_are_kept_changed_and_forgotten_with_their_logins(fresh().await).await;
    a_site_goes_with_all_its_logins_however_many(fresh().await).await;
    of_fifty_who_change_a_site_nobody_undoes_another(Arc::new(fresh().await)).await;
    a_logout_is_taken_by_one_and_again_only_later(fresh().await).await;
    what_is_over_is_pruned_and_what_is_not_stays(fresh().await).await;
    a_decision_from_the_future_keeps_no_other(fresh().await).await;
    what_forgets_follows_the_clock_in_small_steps(fresh().await).await;
    decisions::holds(&fresh).await;
    logins::holds(&fresh).await;
    people::holds(&fresh).await;
    operator::holds(&fresh).await;
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
        word: None,
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

/// An approval that makes this session, in a browser that has `old` already.
fn remembered(name: &str, identity: &Identity, session: &str, old: Option<&str>) -> Decide {
    let mut approval = approval(name, identity);
    approval.session = Some((Hashed::of(session), NOW + 60 * MINUTE));
    let (cookie, session) = (Hashed::of("cookie"), old.map(Hashed::of));
    approval.decision.owner = Owner::Browser { cookie, session, at: None };
    approval
}

fn browser_session(name: &str, cookie: &str) -> BrowserSession {
    BrowserSession { hash: Hashed::of(name), cookie: Hashed::of(cookie) }
}

async fn held(store: &impl Store, session: &str, now: Timestamp) -> Vec<String> {
    held_in(store, session, "cookie", now).await
}

/// The same in another browser.
async fn held_in(store: &impl Store, name: &str, cookie: &str, now: Timestamp) -> Vec<String> {
    let logins = store.session(browser_session(name, cookie), now).await.unwrap();
    let mut names: Vec<String> = logins.into_iter().map(|login| login.id).collect();
    names.sort();
    names
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

async fn tickets_are_parked_once(store: impl Store) {
    let picture = crate::tickets::Picture {
        content_type: "image/png".to_owned(),
        bytes: bytes::Bytes::from_static(&[0, 255, 7]),
    };
    let parked = |name: &str, picture| Parked { ticket: ticket(name, NOW), picture };
    let given = vec![parked("one", Some(picture.clone())), parked("two", None)];
    store.park(given).await.unwrap();
    let mut taken = store.unpark(1).await.unwrap();
    assert_eq!(taken.len(), 1, "no more than are asked for");
    taken.extend(store.unpark(9).await.unwrap());
    taken.sort_by_key(|parked| parked.ticket.scene.clone());
    assert_eq!(taken[0].ticket, ticket("one", NOW));
    assert_eq!(taken[0].picture, Some(picture));
    assert_eq!((&taken[1].ticket, &taken[1].picture), (&ticket("two", NOW), &None));
    assert!(store.unpark(9).await.unwrap().is_empty(), "it is there once");
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

async fn what_was_plain_is_sealed_once(store: impl Store) {
    let plain = StoredKey {
        kid: "k".to_owned(),
        alg: Alg::ES256,
        made: NOW,
        signs_from: NOW,
        private: vec![1],
    };
    store.put_key(plain.clone()).await.unwrap();
    store.make_server_secret("derive", vec![1]).await.unwrap();
    for sealed in [2, 3] {
        let seal = |name: &str| Seal { name: name.to_owned(), was: vec![1], sealed: vec![sealed] };
        store.seal(vec![seal("k"), seal("derive")]).await.unwrap();
    }
    assert_eq!(store.keys().await.unwrap(), [StoredKey { private: vec![2], ..plain }]);
    assert_eq!(store.server_secret("derive").await.unwrap(), Some(vec![2]));
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

async fn a_decision_from_the_future_keeps_no_other(store: impl Store) {
    let ann = identity("wx1", "ann", None);
    let mut ahead = approval("made while the clock was ahead", &ann);
    ahead.decision.claim_until = NOW + 365 * 24 * 60 * MINUTE;
    sign_in(&store, ahead).await;
    sign_in(&store, approval("after it", &ann)).await;
    store.prune(NOW + 71 * MINUTE).await.unwrap();
    assert!(store.decision_by_code(code("after it")).await.unwrap().is_none());
    assert!(
        store.decision_by_code(code("made while the clock was ahead")).await.unwrap().is_some()
    );
}

async fn what_forgets_follows_the_clock_in_small_steps(store: impl Store) {
    let year = 365 * 24 * 60 * MINUTE;
    for (clock, answer) in [
        (NOW, NOW),
        (NOW + year, NOW + MINUTE),
        (NOW + MINUTE + Duration::from_secs(9), NOW + MINUTE + Duration::from_secs(9)),
        (NOW.before(year), NOW.before(year)),
    ] {
        assert_eq!(store.upkeep(clock, MINUTE).await.unwrap(), answer);
    }
}

async fn what_grows_old_loses_its_addresses_and_then_goes(store: impl Store) {
    let ann = identity("wx1", "ann", None);
    let idle = sign_in(&store, approval("idle", &ann)).await;
    let used = sign_in(&store, approval("used", &ann)).await;
    let held = sign_in(&store, remembered("held", &ann, "session", None)).await;
    store.redeem(code("used"), vec![token("access", &used.id)], NOW).await.unwrap();
    let later = NOW + MINUTE;
    store.age(later, NOW).await.unwrap();
    for login in store.logins(&idle.person).await.unwrap() {
        assert!(login.browser.address.is_unspecified(), "{}", login.browser.address);
    }
    let lines = store.audit_since(NOW, 10).await.unwrap();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line.address.is_none()));

    store.age(later, later).await.unwrap();
    assert_eq!(store.audit_since(NOW, 10).await.unwrap(), []);
    let living: Vec<String> =
        store.logins(&idle.person).await.unwrap().into_iter().map(|login| login.id).collect();
    assert_eq!(living.len(), 2, "nothing can use the idle one any more");
    assert!(living.contains(&used.id) && living.contains(&held.id));
}

/// The line about what a command did to a site.
fn noted(what: &str, site: &str) -> audit::Entry {
    audit::Entry::of_operator(NOW, what, audit::COMMAND).at_site(site.to_owned())
}

/// More than are ended at once.
async fn a_site_goes_with_all_its_logins_however_many(store: impl Store) {
    const MANY: u32 = 501;
    let ann = identity("wx1", "ann", None);
    let first = sign_in(&store, approval("0", &ann)).await;
    let sign_ins = (1..MANY).map(|n| {
        let (store, ann) = (&store, &ann);
        async move { decide(store, approval(&n.to_string(), ann)).await }
    });
    futures_util::stream::iter(sign_ins).buffer_unordered(16).collect::<Vec<_>>().await;
    let (added, removed) = (noted("site.added", "blog"), noted("site.removed", "blog"));
    assert!(store.add_site(&Site::new(&first.site, "My blog"), added).await.unwrap());
    assert!(store.remove_site(&first.site, removed).await.unwrap());
    assert_eq!(store.logins(&first.person).await.unwrap(), []);
    let ended = store.audit_since(NOW, 10 * MANY).await.unwrap();
    let ended = ended.iter().filter(|line| line.what == "login.ended");
    assert_eq!(ended.count(), usize::try_from(MANY).unwrap());
}

async fn of_fifty_who_change_a_site_nobody_undoes_another<S: Store>(store: Arc<S>) {
    store.add_site(&Site::new("blog", "My blog"), noted("site.added", "blog")).await.unwrap();
    let mut racers = JoinSet::new();
    for n in 0..50 {
        let store = store.clone();
        racers.spawn(async move {
            loop {
                let seen = store.sites().await.unwrap().remove(0);
                let mut next = seen.clone();
                next.hashes.push(Hashed::of(n.to_string()));
                let entry = noted("site.secret_made", "blog");
                if store.swap_site(&seen, &next, entry).await.unwrap() {
                    return;
                }
            }
        });
    }
    racers.join_all().await;
    let kept = store.sites().await.unwrap().remove(0);
    assert!((0..50).all(|n: u32| kept.hashes.contains(&Hashed::of(n.to_string()))));
    let lines = store.audit_since(NOW, 99).await.unwrap();
    let made = lines.iter().filter(|line| line.what == "site.secret_made");
    assert_eq!(made.count(), 50, "each has its line, and who had to try again no second one");
}

async fn sites_are_kept_changed_and_forgotten_with_their_logins(store: impl Store) {
    let login = sign_in(&store, approval("1", &identity("wx1", "ann", None))).await;
    let mut site = Site::new(&login.site, "My blog");
    site.hashes = vec![Hashed::of("a secret")];
    let before = store.revision().await.unwrap();
    let line = |what: &str| noted(what, &login.site);
    assert!(store.add_site(&site, line("site.added")).await.unwrap());
    let other = Site::new(&login.site, "Somebody else's");
    assert!(!store.add_site(&other, line("site.added")).await.unwrap(), "the id is taken");
    assert_eq!(store.sites().await.unwrap(), [site.clone()]);
    let mut next = site.clone();
    next.name = "Our blog".to_owned();
    assert!(store.swap_site(&site, &next, line("site.changed")).await.unwrap());
    assert_eq!(store.sites().await.unwrap(), [next.clone()]);
    assert!(!store.swap_site(&site, &other, line("site.changed")).await.unwrap(), "seen too early");
    assert_eq!(store.sites().await.unwrap(), [next.clone()]);
    assert!(store.revision().await.unwrap() > before, "running nodes look again");
    assert!(store.remove_site(&site.id, line("site.removed")).await.unwrap());
    assert!(!store.remove_site(&site.id, line("site.removed")).await.unwrap());
    assert!(!store.swap_site(&next, &site, line("site.changed")).await.unwrap(), "it is no more");
    assert_eq!(store.sites().await.unwrap(), []);
    let lines = store.audit_since(NOW, 99).await.unwrap();
    let words = lines.iter().map(|line| line.what.as_str()).filter(|it| it.starts_with("site."));
    assert_eq!(
        words.collect::<Vec<_>>(),
        ["site.added", "site.changed", "site.removed"],
        "what did not happen has no line"
    );
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
