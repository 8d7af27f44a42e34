//! What an operator sees of people, and does to them.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{NOW, approval, code, identity, person, remembered, shadow, sign_in, token};
use crate::{
    admission::Word,
    person::{Identity, OWNER, Person},
    secret::Hashed,
    store::{Change, Changed, Decide, Error, Listed, Search, Store, untold},
    ticket::{Denied, Verdict},
    world::Timestamp,
};

pub(super) async fn holds<S: Store>(fresh: impl AsyncFn() -> S) {
    people_are_found_by_what_an_operator_knows_of_them(fresh().await).await;
    a_long_list_comes_in_pages(fresh().await).await;
    of_fifty_groups_none_is_lost(Arc::new(fresh().await)).await;
    who_leaves_a_group_is_in_the_others(fresh().await).await;
    a_block_ends_everything_at_once(fresh().await).await;
    a_change_is_noted_once_with_who_made_it(fresh().await).await;
    two_who_are_one_are_in_the_groups_of_both(fresh().await).await;
    an_operator_ends_a_login_and_it_is_noted_who(fresh().await).await;
    the_last_owner_stays_but_for_who_has_the_machine_and_for_themselves(fresh().await).await;
    of_two_owners_who_take_it_from_each_other_at_once_one_stays(&fresh).await;
    who_was_shut_out_since_they_were_looked_at_is_not_admitted(fresh().await).await;
    of_twenty_approvals_beside_a_block_none_outlives_it(Arc::new(fresh().await)).await;
}

/// Somebody who signed in for the first time so many seconds after [`NOW`].
async fn comes(store: &impl Store, name: &str, identity: &Identity, seconds: u64) -> Person {
    let mut approval = approval(name, identity);
    approval.decision.at = NOW + Duration::from_secs(seconds);
    sign_in(store, approval).await;
    person(store, identity).await.unwrap()
}

async fn change(store: &impl Store, person: &Person, change: Change) -> Changed {
    store.change(&person.id, change, "command", NOW).await.unwrap().unwrap()
}

fn join(group: &str) -> Change {
    Change::Join(group.to_owned())
}

async fn found(store: &impl Store, search: Search) -> Vec<Listed> {
    store.people(&Search { most: 10, ..search }).await.unwrap()
}

/// The user names of those who are found.
async fn names(store: &impl Store, search: Search) -> Vec<String> {
    found(store, search).await.into_iter().map(|listed| listed.person.username).collect()
}

async fn people_are_found_by_what_an_operator_knows_of_them(store: impl Store) {
    let ann =
        comes(&store, "ann", &identity("wx1", "openid of ann", Some("unionid of ann")), 1).await;
    let bob = comes(&store, "bob", &identity("wx1", "openid of bob", None), 2).await;
    let profile = |name: &str| super::Profile { nickname: Some(name.to_owned()), avatar: None };
    store.set_profile(&ann.id, profile("小安 Ann%_")).await.unwrap();
    change(&store, &bob, join("family")).await;
    change(&store, &bob, Change::Block).await;

    let text = |text: &str| Search { text: text.to_owned(), ..Search::default() };
    assert_eq!(names(&store, Search::default()).await, ["ubob", "uann"], "who came last first");
    for (known, who) in [
        ("UAN", "uann"),
        ("小安", "uann"),
        ("aNN%_", "uann"),
        (ann.id.as_str(), "uann"),
        ("openid of bob", "ubob"),
        ("unionid of ann", "uann"),
    ] {
        assert_eq!(names(&store, text(known)).await, [who], "{known}");
    }
    for unknown in ["openid", "unionid of", "%", "_", "'", "person of", "nobody"] {
        let expected: &[&str] = if "%_".contains(unknown) { &["uann"] } else { &[] };
        assert_eq!(names(&store, text(unknown)).await, expected, "{unknown}");
    }
    let group = |group: &str| Search { group: Some(group.to_owned()), ..Search::default() };
    assert_eq!(names(&store, group("family")).await, ["ubob"]);
    assert_eq!(names(&store, group("fam")).await, [] as [&str; 0]);
    for (blocked, who) in [(true, "ubob"), (false, "uann")] {
        let search = Search { blocked: Some(blocked), ..Search::default() };
        assert_eq!(names(&store, search).await, [who]);
    }
    let listed = found(&store, Search::default()).await;
    let told: Vec<_> = listed.iter().map(|one| (one.last_seen.is_some(), one.logins)).collect();
    assert_eq!(told, [(true, 0), (true, 1)], "bob's ended with the block");

    for name in [ann.id.as_str(), "uann"] {
        assert_eq!(store.person_named(name).await.unwrap().map(|one| one.id), Some(ann.id.clone()));
    }
    // A nickname is what somebody typed: it names nobody.
    assert_eq!(store.person_named("小安 Ann%_").await.unwrap(), None);
}

async fn a_long_list_comes_in_pages(store: impl Store) {
    for n in 0..7 {
        // Some came in the same moment.
        comes(&store, &format!("p{n}"), &identity("wx1", &format!("p{n}"), None), n / 3).await;
    }
    let (mut seen, mut after): (Vec<String>, Option<(Timestamp, String)>) = (Vec::new(), None);
    loop {
        let page = store.people(&Search { most: 3, after, ..Search::default() }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.person.since, last.person.id.clone()));
        seen.extend(page.into_iter().map(|listed| listed.person.username));
    }
    assert_eq!(seen, ["up6", "up3", "up4", "up5", "up0", "up1", "up2"]);
}

async fn of_fifty_groups_none_is_lost<S: Store>(store: Arc<S>) {
    let ann = comes(&*store, "ann", &identity("wx1", "ann", None), 0).await;
    let mut racers = JoinSet::new();
    for n in 0..50 {
        let (store, id) = (store.clone(), ann.id.clone());
        racers.spawn(async move {
            store.change(&id, join(&format!("g{n:02}")), "command", NOW).await.unwrap();
        });
    }
    racers.join_all().await;
    let groups = store.person(&ann.id).await.unwrap().unwrap().groups;
    assert_eq!(groups, (0..50).map(|n| format!("g{n:02}")).collect::<Vec<_>>());
}

async fn who_leaves_a_group_is_in_the_others(store: impl Store) {
    let ann = comes(&store, "ann", &identity("wx1", "ann", None), 0).await;
    for group in [OWNER, "family", OWNER] {
        change(&store, &ann, join(group)).await;
    }
    let both = store.person(&ann.id).await.unwrap().unwrap();
    assert_eq!(
        (both.groups.as_slice(), both.is_owner()),
        (["family", OWNER].map(str::to_owned).as_slice(), true)
    );
    let left = change(&store, &ann, Change::Leave(OWNER.to_owned())).await.person;
    assert_eq!(
        (left.groups.as_slice(), left.is_owner()),
        (["family".to_owned()].as_slice(), false)
    );
    assert_eq!(store.change("nobody", join("family"), "command", NOW).await.unwrap(), None);
}

async fn a_block_ends_everything_at_once(store: impl Store) {
    let (ann, bob) = (identity("wx1", "ann", None), identity("wx1", "bob", None));
    let login = sign_in(&store, remembered("ann", &ann, "session of ann", None)).await;
    sign_in(&store, remembered("bob", &bob, "session of bob", None)).await;
    for (name, identity) in [("ann", &ann), ("bob", &bob)] {
        let tokens = vec![token(&format!("token of {name}"), &format!("login of {name}"))];
        store.redeem(super::code(name), tokens, NOW).await.unwrap();
        let phone = Hashed::of(format!("phone of {name}"));
        store.open_phone(phone, identity, NOW + Duration::from_secs(60)).await.unwrap();
    }
    let whole = person(&store, &ann).await.unwrap();
    let changed = change(&store, &whole, Change::Block).await;
    assert!(changed.person.blocked);
    assert_eq!(changed.ended.iter().map(|one| &one.id).collect::<Vec<_>>(), [&login.id]);
    for (name, lives) in [("ann", false), ("bob", true)] {
        assert_eq!(super::is_live(&store, &format!("token of {name}")).await, lives, "{name}");
        let session = super::held(&store, &format!("session of {name}"), NOW).await;
        assert_eq!(!session.is_empty(), lives, "{name}");
        let phone = store.phone(Hashed::of(format!("phone of {name}")), NOW).await.unwrap();
        assert_eq!(phone.is_some(), lives, "{name}");
    }
    let told = store.take_logouts(NOW, NOW).await.unwrap();
    assert_eq!(told.iter().map(|logout| &logout.login).collect::<Vec<_>>(), [&login.id]);
    // Whose tap met the block is not admitted, and stays so.
    let late = store.decide(approval("late", &ann), untold()).await.unwrap();
    assert!(!late.decision.is_approved() && late.login.is_none());
    let free = change(&store, &whole, Change::Unblock).await;
    assert_eq!(store.decision_by_code(code("late")).await.unwrap(), None);
    assert_eq!((free.person.blocked, free.ended), (false, Vec::new()));
    assert!(!super::is_live(&store, "token of ann").await, "what has ended stays so");
}

async fn a_change_is_noted_once_with_who_made_it(store: impl Store) {
    let ann = comes(&store, "ann", &identity("wx1", "ann", None), 0).await;
    for what in [join("family"), join("family"), Change::Block, Change::Block, Change::Unblock] {
        change(&store, &ann, what).await;
    }
    let lines = store.audit_of(&ann.id, 50).await.unwrap();
    let lines: Vec<_> = lines.iter().rev().map(|(_, line)| line).collect();
    let noted: Vec<_> = lines.iter().filter(|line| line.what.starts_with("person.")).collect();
    let words: Vec<_> = noted.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(words, ["person.joined", "person.blocked", "person.unblocked"]);
    assert!(noted.iter().all(|line| line.detail["by"] == "command"));
    assert_eq!(noted[0].detail["group"], "family");
}

async fn two_who_are_one_are_in_the_groups_of_both(store: impl Store) {
    let one = comes(&store, "one", &identity("wx1", "ann", None), 0).await;
    let two = comes(&store, "two", &identity("wx2", "ann", Some("u")), 1).await;
    change(&store, &one, join("family")).await;
    change(&store, &two, join(OWNER)).await;
    let whole = comes(&store, "three", &identity("wx1", "ann", Some("u")), 2).await;
    assert_eq!((whole.id, whole.groups), (one.id, vec!["family".to_owned(), OWNER.to_owned()]));
}

async fn an_operator_ends_a_login_and_it_is_noted_who(store: impl Store) {
    let (ann, bob) = (identity("wx1", "ann", None), identity("wx1", "bob", None));
    let login = sign_in(&store, approval("ann", &ann)).await;
    let bob = comes(&store, "bob", &bob, 0).await;
    let ann = person(&store, &ann).await.unwrap();
    let end = || Change::End(login.id.clone());
    assert_eq!(change(&store, &bob, end()).await.ended, [], "it is not his");
    let ended = change(&store, &ann, end()).await.ended;
    assert_eq!(ended.into_iter().map(|one| one.id).collect::<Vec<_>>(), [login.id.as_str()]);
    change(&store, &ann, end()).await;
    let lines = store.audit_since(NOW, 99).await.unwrap();
    let noted: Vec<_> =
        lines.iter().filter(|line| line.what == "login.ended_by_operator").collect();
    assert_eq!(noted.len(), 1, "once");
    assert_eq!(noted[0].person, Some(ann.id));
    assert_eq!(noted[0].detail, serde_json::json!({ "by": "command", "login": login.id }));
}

async fn the_last_owner_stays_but_for_who_has_the_machine_and_for_themselves(store: impl Store) {
    let ann = comes(&store, "ann", &identity("wx1", "ann", None), 0).await;
    let bob = comes(&store, "bob", &identity("wx1", "bob", None), 1).await;
    for one in [&ann, &bob] {
        change(&store, one, join(OWNER)).await;
    }
    // A blocked owner owns nothing.
    change(&store, &bob, Change::Block).await;
    let leave = || Change::Leave(OWNER.to_owned());
    let before = store.audit_since(NOW, 99).await.unwrap().len();
    for shuts_out in [Change::Block, leave()] {
        let refused = store.change(&ann.id, shuts_out, "console", NOW).await;
        assert_eq!(refused, Err(Error::LastOwner));
    }
    let refused = store.forget(&ann.id, shadow("ann"), Some(&bob.id), NOW).await;
    assert_eq!(refused, Err(Error::LastOwner));
    let whole = store.person(&ann.id).await.unwrap().unwrap();
    assert!(whole.is_owner() && !whole.blocked && store.logins(&ann.id).await.unwrap().len() == 1);
    assert_eq!(store.audit_since(NOW, 99).await.unwrap().len(), before, "nothing was done");
    // Bob is shut out already: that takes no owner away.
    store.change(&bob.id, leave(), "console", NOW).await.unwrap().unwrap();

    assert!(change(&store, &ann, Change::Block).await.person.blocked, "a stolen phone, perhaps");
    change(&store, &ann, Change::Unblock).await;
    assert!(store.has_owner().await.unwrap());
    store.forget(&ann.id, shadow("ann"), None, NOW).await.unwrap();
    assert!(!store.has_owner().await.unwrap(), "to be forgotten is a right");
    let lines = store.audit_since(NOW, 99).await.unwrap();
    assert!(lines.iter().all(|line| line.what != "person.forgotten"), "it was nobody else's word");
    store.forget(&bob.id, shadow("bob"), Some("console"), NOW).await.unwrap();
    let lines = store.audit_since(NOW, 99).await.unwrap();
    let forgotten = lines.iter().find(|line| line.what == "person.forgotten").unwrap();
    assert_eq!((&forgotten.person, &forgotten.detail["by"]), (&None, &"console".into()));
}

async fn of_two_owners_who_take_it_from_each_other_at_once_one_stays<S: Store>(
    fresh: impl AsyncFn() -> S,
) {
    let store = Arc::new(fresh().await);
    for round in 0..10 {
        let mut ids = Vec::new();
        for name in ["ann", "bob"] {
            let name = format!("{name} {round}");
            let one = comes(&*store, &name, &identity("wx1", &name, None), 0).await;
            change(&*store, &one, join(OWNER)).await;
            ids.push(one.id);
        }
        let mut racers = JoinSet::new();
        for (by, whom) in [(0, 1), (1, 0)] {
            let (store, by, whom) = (store.clone(), ids[by].clone(), ids[whom].clone());
            racers.spawn(async move {
                store.change(&whom, Change::Leave(OWNER.to_owned()), &by, NOW).await.is_ok()
            });
        }
        let done = racers.join_all().await;
        assert_eq!(done.into_iter().filter(|done| *done).count(), 1);
        let owners =
            names(&*store, Search { group: Some(OWNER.to_owned()), ..Search::default() }).await;
        assert_eq!(owners.len(), 1);
        for id in &ids {
            store.forget(id, shadow(&format!("{id} {round}")), None, NOW).await.unwrap();
        }
    }
}

async fn who_was_shut_out_since_they_were_looked_at_is_not_admitted(store: impl Store) {
    let openid = identity("wx1", "ann", None);
    let ann = comes(&store, "first", &openid, 0).await;
    let decide = async |name: &str, site: &str, word| {
        let mut approval = Decide { word, ..approval(name, &openid) };
        approval.decision.request.site = site.to_owned();
        store.decide(approval, untold()).await.unwrap()
    };
    let not_admitted = Verdict::Denied(Denied::NotAdmitted);
    change(&store, &ann, Change::Refuse("shop".to_owned())).await;
    let late = decide("late", "shop", None).await;
    assert_eq!((&late.decision.verdict, &late.login), (&not_admitted, &None));
    assert_eq!(store.decision_by_ticket(Hashed::of("late")).await.unwrap(), Some(late));
    assert_eq!(store.decision_by_code(code("late")).await.unwrap(), None);
    let noted = store.audit_since(NOW, 99).await.unwrap();
    assert!(noted.iter().any(|line| line.what == "ticket.not_admitted"), "{noted:?}");
    assert!(decide("elsewhere", "blog", None).await.login.is_some());
    let known = decide("known", "shop", Some(Word::Refused)).await;
    assert!(known.login.is_some(), "an owner, of whom that was seen");
    change(&store, &ann, Change::Block).await;
    let later = decide("later", "blog", None).await;
    assert_eq!((later.decision.verdict, later.login), (not_admitted, None));
}

async fn of_twenty_approvals_beside_a_block_none_outlives_it<S: Store>(store: Arc<S>) {
    let openid = identity("wx1", "ann", None);
    let ann = comes(&*store, "first", &openid, 0).await;
    let mut racers = JoinSet::new();
    for n in 0..20 {
        let (store, ann) = (store.clone(), ann.clone());
        let approval = approval(&n.to_string(), &openid);
        racers.spawn(async move {
            if n == 10 {
                change(&*store, &ann, Change::Block).await;
            } else {
                store.decide(approval, untold()).await.unwrap();
            }
        });
    }
    racers.join_all().await;
    assert_eq!(store.logins(&ann.id).await.unwrap(), []);
}
