//! Links and sessions of the console, counts by the hour, and the audit log page by page.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{MINUTE, NOW, approval, identity, sign_in};
use crate::{
    audit,
    counts::{Count, LONGER, What},
    person::OWNER,
    secret::Hashed,
    store::{ConsoleLink, ConsoleSession, Counted, Lines, Opens, Store},
    world::Timestamp,
};

pub(super) async fn holds<S: Store>(fresh: impl AsyncFn() -> S) {
    of_fifty_who_use_a_link_one_comes_in(Arc::new(fresh().await)).await;
    of_many_who_claim_the_first_owns(fresh().await).await;
    a_session_lives_as_long_as_its_time_its_use_and_its_person(fresh().await).await;
    a_session_of_a_link_is_nobodys(fresh().await).await;
    counts_are_added_and_added_up(fresh().await).await;
    the_audit_log_is_filtered_and_turned(fresh().await).await;
}

fn link(name: &str, opens: Opens) -> ConsoleLink {
    ConsoleLink { hash: Hashed::of(name), opens, until: NOW + 10 * MINUTE }
}

async fn of_fifty_who_use_a_link_one_comes_in<S: Store>(store: Arc<S>) {
    store.keep_console_link(link("link", Opens::Console)).await.unwrap();
    let stands =
        async |opens, now| store.console_link_stands(Hashed::of("link"), opens, now).await.unwrap();
    assert!(stands(Opens::Console, NOW).await);
    assert!(!stands(Opens::Ownership, NOW).await, "it is good for what it was made for");
    assert!(!stands(Opens::Console, NOW + 10 * MINUTE).await);
    let take =
        async |opens, now| store.take_console_link(Hashed::of("link"), opens, now).await.unwrap();
    assert!(!take(Opens::Ownership, NOW).await && !take(Opens::Console, NOW + 10 * MINUTE).await);
    let mut racers = JoinSet::new();
    for _ in 0..50 {
        let store = store.clone();
        racers.spawn(async move {
            store.take_console_link(Hashed::of("link"), Opens::Console, NOW).await.unwrap()
        });
    }
    assert_eq!(racers.join_all().await.into_iter().filter(|taken| *taken).count(), 1);
}

async fn of_many_who_claim_the_first_owns(store: impl Store) {
    let ann = sign_in(&store, approval("ann", &identity("wx1", "ann", None))).await.person;
    let bob = sign_in(&store, approval("bob", &identity("wx1", "bob", None))).await.person;
    for name in ["one", "two"] {
        store.keep_console_link(link(name, Opens::Ownership)).await.unwrap();
    }
    store.keep_console_link(link("other", Opens::Console)).await.unwrap();
    let claim = async |name: &str, person: &str| {
        store.claim_ownership(Hashed::of(name), person, NOW).await.unwrap()
    };
    assert!(!store.has_owner().await.unwrap());
    assert!(!claim("other", &bob).await, "a link to the console gives no ownership");
    assert!(claim("one", &ann).await);
    assert!(!claim("one", &bob).await && !claim("two", &bob).await, "there is an owner");
    assert!(store.has_owner().await.unwrap());
    assert_eq!(store.person(&ann).await.unwrap().unwrap().groups, [OWNER]);
    assert!(!store.console_link_stands(Hashed::of("two"), Opens::Ownership, NOW).await.unwrap());
    let lines = store.audit_of(&ann, 10).await.unwrap();
    assert!(lines.iter().any(|(_, line)| line.what == "owner.claimed"), "{lines:?}");
}

async fn a_session_lives_as_long_as_its_time_its_use_and_its_person(store: impl Store) {
    let login = sign_in(&store, approval("ann", &identity("wx1", "ann", None))).await;
    store.keep_console_link(link("claim", Opens::Ownership)).await.unwrap();
    let begin = async |name: &str, login: &str| {
        let session = ConsoleSession {
            hash: Hashed::of(name),
            login: Some(login.to_owned()),
            made: NOW,
            seen: NOW,
            until: NOW + 60 * MINUTE,
        };
        store.open_console(session.clone()).await.unwrap();
        session
    };
    let who_in = async |cookie: Option<&str>, name: &str, now: Timestamp| {
        let (session, cookie) = (Hashed::of(name), cookie.map(Hashed::of));
        store.operator(session, cookie, now, now.before(10 * MINUTE)).await.unwrap()
    };
    let who = async |name: &str, now: Timestamp| who_in(Some("cookie"), name, now).await;
    let session = begin("session", &login.id).await;
    begin("session", &login.id).await;
    assert_eq!(who("session", NOW).await, None, "ann is no owner");
    assert!(store.claim_ownership(Hashed::of("claim"), &login.person, NOW).await.unwrap());
    let found = who("session", NOW).await.unwrap();
    assert_eq!((found.session, found.person.unwrap().id), (session, login.person.clone()));
    assert_eq!(who("other", NOW).await, None);
    for elsewhere in [Some("another"), None] {
        assert_eq!(
            who_in(elsewhere, "session", NOW).await,
            None,
            "it is of the browser it began in"
        );
    }

    assert_eq!(who("session", NOW + 10 * MINUTE).await, None, "nobody has used it");
    store.operator_seen(Hashed::of("session"), NOW + 55 * MINUTE).await.unwrap();
    assert!(who("session", NOW + 59 * MINUTE).await.is_some());
    assert_eq!(who("session", NOW + 60 * MINUTE).await, None, "its time is over");

    let second = sign_in(&store, approval("again", &identity("wx1", "ann", None))).await;
    begin("second", &second.id).await;
    store.end_login(&login.person, &second.id, NOW).await.unwrap();
    assert_eq!(who("second", NOW).await, None, "it was ended on the phone");

    let third = sign_in(&store, approval("third", &identity("wx1", "ann", None))).await;
    begin("third", &third.id).await;
    store.close_console(Hashed::of("third"), NOW).await.unwrap();
    assert_eq!(who("third", NOW).await, None);
    assert_eq!(store.login(&third.id).await.unwrap(), None, "the login ends with it");

    store.prune(NOW + 61 * MINUTE).await.unwrap();
    assert_eq!(store.login(&login.id).await.unwrap(), None, "and with its time");
}

async fn a_session_of_a_link_is_nobodys(store: impl Store) {
    let (hash, until) = (Hashed::of("session"), NOW + MINUTE);
    let session = ConsoleSession { hash, login: None, made: NOW, seen: NOW, until };
    store.open_console(session.clone()).await.unwrap();
    let found = store.operator(hash, None, NOW, NOW.before(MINUTE)).await.unwrap().unwrap();
    assert_eq!((found.session, found.person), (session, None));
    store.close_console(hash, NOW).await.unwrap();
    assert_eq!(store.operator(hash, None, NOW, NOW.before(MINUTE)).await.unwrap(), None);
}

async fn counts_are_added_and_added_up(store: impl Store) {
    let count =
        |hour, site: &str, what, within, n| Count { hour, site: site.to_owned(), what, within, n };
    let given = vec![
        count(100, "blog", What::Shown, 0, 3),
        count(101, "blog", What::Shown, 0, 2),
        count(101, "shop", What::Shown, 0, 5),
        count(124, "blog", What::Shown, 0, 1),
        count(101, "blog", What::ToScan, 5, 1),
        count(101, "blog", What::ToScan, LONGER, 1),
    ];
    store.add_counts(given).await.unwrap();
    store.add_counts(vec![count(100, "blog", What::Shown, 0, 4)]).await.unwrap();
    let all = Counted {
        since: 100,
        until: 125,
        step: 24,
        shift: 0,
        site: None,
        by_site: false,
        what: vec![What::Shown],
    };
    let ask = async |asked: Counted| {
        let rows = store.counts(&asked).await.unwrap();
        rows.into_iter().map(|row| (row.hour, row.site, row.n)).collect::<Vec<_>>()
    };
    let of = |hour, site: &str, n| (hour, site.to_owned(), n);
    // A day begins at 96 and at 120.
    assert_eq!(ask(all.clone()).await, [of(96, "", 14), of(120, "", 1)]);
    // Eight hours before UTC a day begins at 88 and at 112.
    let there = Counted { shift: 8, ..all.clone() };
    assert_eq!(ask(there).await, [of(88, "", 14), of(112, "", 1)]);
    let by_site = Counted { by_site: true, until: 124, ..all.clone() };
    assert_eq!(ask(by_site).await, [of(96, "blog", 9), of(96, "shop", 5)]);
    let shop = Counted { site: Some("shop".to_owned()), step: 1, ..all.clone() };
    assert_eq!(ask(shop).await, [of(101, "", 5)]);
    let times = Counted { what: vec![What::ToScan], ..all.clone() };
    let rows = store.counts(&times).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.within).collect::<Vec<_>>(), [5, LONGER]);
    let everything = store.counts(&Counted { what: Vec::new(), ..all.clone() }).await.unwrap();
    assert_eq!(everything.iter().map(|row| row.n).sum::<u64>(), 17);
    store.forget_counts(101).await.unwrap();
    assert_eq!(ask(all).await, [of(96, "", 7), of(120, "", 1)]);
}

async fn the_audit_log_is_filtered_and_turned(store: impl Store) {
    for n in 0..10_u32 {
        let entry = audit::Entry {
            at: NOW + n * MINUTE,
            what: if n % 2 == 0 { "site.added" } else { "ticket.scanned" }.to_owned(),
            person: (n < 4).then(|| "ann".to_owned()),
            site: (n >= 5).then(|| "blog".to_owned()),
            address: None,
            detail: serde_json::json!({ "n": n }),
        };
        store.audit(entry).await.unwrap();
    }
    let most = Lines { most: 100, ..Lines::default() };
    let ask = async |asked: Lines| store.audit_lines(&asked).await.unwrap();
    let numbers = |lines: &[(i64, audit::Entry)]| {
        lines.iter().map(|(_, line)| line.detail["n"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let text = |text: &str| Some(text.to_owned());
    let all = ask(most.clone()).await;
    assert_eq!(numbers(&all), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0], "the latest first");
    let only = async |asked: Lines| numbers(&ask(asked).await);
    assert_eq!(only(Lines { what: text("site.added"), ..most.clone() }).await, [8, 6, 4, 2, 0]);
    assert_eq!(only(Lines { what: text("site."), ..most.clone() }).await, [8, 6, 4, 2, 0]);
    for at_every_sign_in in ["ticket.", "ticket.scanned"] {
        let what = text(at_every_sign_in);
        assert_eq!(only(Lines { what, ..most.clone() }).await, [9, 7, 5, 3, 1]);
    }
    assert_eq!(only(Lines { what: text("site"), ..most.clone() }).await, [] as [u64; 0]);
    assert_eq!(only(Lines { person: text("ann"), ..most.clone() }).await, [3, 2, 1, 0]);
    assert_eq!(only(Lines { site: text("blog"), ..most.clone() }).await, [9, 8, 7, 6, 5]);
    let (since, until) = (Some(NOW + 2 * MINUTE), Some(NOW + 4 * MINUTE));
    assert_eq!(only(Lines { since, until, ..most.clone() }).await, [3, 2]);

    let first = ask(Lines { most: 3, ..Lines::default() }).await;
    assert_eq!(numbers(&first), [9, 8, 7]);
    let before = Some(first[2].0);
    let second = ask(Lines { most: 3, before, ..Lines::default() }).await;
    assert_eq!(numbers(&second), [6, 5, 4]);
    let after = Some(second[0].0);
    let back = ask(Lines { most: 2, after, ..Lines::default() }).await;
    assert_eq!(numbers(&back), [8, 7], "the two next to it, the latest first");
}
