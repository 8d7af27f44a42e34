//! What stands between people and sites, and the one-time links that change it.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{NOW, approval, denial, identity, noted, person, remembered, shadow, sign_in};
use crate::{
    admission::Word,
    links::{Gives, Link},
    person::{Identity, Person},
    secret::Hashed,
    site::Site,
    store::{Asker, Change, Decide, Error, Store, untold},
    ticket::{Browser, Denied, Verdict},
    world::Timestamp,
};

pub(super) async fn holds<S: Store>(fresh: impl AsyncFn() -> S) {
    who_asks_is_known_and_waits(fresh().await).await;
    what_was_said_is_not_taken_back_by_asking_again(fresh().await).await;
    who_is_refused_is_signed_in_there_no_more(fresh().await).await;
    of_two_who_are_one_the_stronger_word_stays(fresh().await).await;
    a_site_that_goes_takes_along_what_was_said_there(fresh().await).await;
    a_link_gives_once_and_in_its_time(fresh().await).await;
    of_fifty_who_take_a_link_one_gets_what_it_gives(Arc::new(fresh().await)).await;
    a_second_wechat_is_joined(fresh().await).await;
    a_wechat_that_stands_in_lets_the_others_go(fresh().await).await;
    people_are_made_one_by_an_operators_word(fresh().await).await;
}

/// An approval that has to ask the owner.
fn wish(name: &str, identity: &Identity, seconds: u64) -> Decide {
    let mut decide = denial(name, identity);
    decide.decision.verdict = Verdict::Denied(Denied::OwnerAsked);
    decide.decision.at = NOW + Duration::from_secs(seconds);
    decide
}

async fn change(store: &impl Store, person: &Person, change: Change) {
    store.change(&person.id, change, "command", NOW).await.unwrap().unwrap();
}

async fn word(store: &impl Store, person: &Person) -> Option<Word> {
    store.word(&person.id, "blog").await.unwrap()
}

fn blog(change: fn(String) -> Change) -> Change {
    change("blog".to_owned())
}

async fn who_asks_is_known_and_waits(store: impl Store) {
    let (ann, bob) = (identity("wx1", "ann", None), identity("wx1", "bob", None));
    for (name, who, seconds) in [("ann", &ann, 1), ("bob", &bob, 2), ("ann again", &ann, 3)] {
        let decided = store.decide(wish(name, who, seconds), untold()).await.unwrap();
        assert_eq!((decided.decision.is_approved(), decided.login), (false, None));
    }
    let (ann, bob) = (person(&store, &ann).await.unwrap(), person(&store, &bob).await.unwrap());
    let browser = wish("ann", &identity("wx1", "ann", None), 0).decision.browser;
    // Nobody is shown it: the line of the audit log has it, for as long as addresses are kept.
    let browser = Browser { address: Ipv4Addr::UNSPECIFIED.into(), ..browser };
    let asker = |person: &Person, seconds| Asker {
        person: person.clone(),
        site: "blog".to_owned(),
        at: NOW + Duration::from_secs(seconds),
        browser: Some(browser.clone()),
    };
    assert_eq!(
        store.askers(9).await.unwrap(),
        [asker(&ann, 3), asker(&bob, 2)],
        "who asked last first"
    );
    assert_eq!(store.askers(1).await.unwrap(), [asker(&ann, 3)]);
    assert_eq!(
        (word(&store, &ann).await, store.word(&ann.id, "shop").await.unwrap()),
        (Some(Word::Asked), None)
    );
    let lines = store.audit_of(&ann.id, 9).await.unwrap();
    assert!(lines.iter().all(|(_, line)| line.what == "ticket.owner_asked"), "{lines:?}");
    change(&store, &bob, Change::Block).await;
    change(&store, &ann, blog(Change::Admit)).await;
    assert_eq!(store.askers(9).await.unwrap(), [], "one is let in, one is blocked");
    store.forget(&ann.id, shadow("ann"), None, NOW).await.unwrap();
    assert_eq!(word(&store, &ann).await, None);
}

async fn what_was_said_is_not_taken_back_by_asking_again(store: impl Store) {
    let ann = identity("wx1", "ann", None);
    store.decide(wish("one", &ann, 1), untold()).await.unwrap();
    let whole = person(&store, &ann).await.unwrap();
    for (n, (said, stands)) in
        [(Change::Refuse as fn(String) -> Change, Word::Refused), (Change::Admit, Word::Admitted)]
            .into_iter()
            .enumerate()
    {
        change(&store, &whole, blog(said)).await;
        store.decide(wish(&format!("again {n}"), &ann, 2), untold()).await.unwrap();
        assert_eq!(word(&store, &whole).await, Some(stands));
    }
    let said = store.said(&whole.id).await.unwrap();
    assert_eq!((said.len(), said[0].site.as_str(), said[0].word), (1, "blog", Word::Admitted));
    change(&store, &whole, blog(Change::Unsay)).await;
    assert_eq!(store.said(&whole.id).await.unwrap(), []);
    let lines = store.audit_of(&whole.id, 9).await.unwrap();
    let words: Vec<_> = lines.iter().rev().map(|(_, line)| line.what.as_str()).collect();
    assert_eq!(
        words.iter().filter(|word| word.starts_with("person.")).collect::<Vec<_>>(),
        [&"person.refused", &"person.admitted", &"person.unsaid"]
    );
}

async fn who_is_refused_is_signed_in_there_no_more(store: impl Store) {
    let ann = identity("wx1", "ann", None);
    let here = sign_in(&store, remembered("here", &ann, "session", None)).await;
    let mut elsewhere = approval("elsewhere", &ann);
    elsewhere.decision.request.site = "shop".to_owned();
    let there = sign_in(&store, elsewhere).await;
    let whole = person(&store, &ann).await.unwrap();
    let changed = store.change(&whole.id, blog(Change::Refuse), "command", NOW).await.unwrap();
    assert_eq!(changed.unwrap().ended.into_iter().map(|one| one.id).collect::<Vec<_>>(), [here.id]);
    let left = store.logins(&whole.id).await.unwrap();
    assert_eq!(left.into_iter().map(|one| one.id).collect::<Vec<_>>(), [there.id]);
}

async fn of_two_who_are_one_the_stronger_word_stays(store: impl Store) {
    let (one, two) = (identity("wx1", "ann", None), identity("wx2", "ann", Some("u")));
    for who in [&one, &two] {
        store.decide(wish(&who.appid, who, 0), untold()).await.unwrap();
    }
    let two = person(&store, &two).await.unwrap();
    change(&store, &two, blog(Change::Refuse)).await;
    change(&store, &two, Change::Admit("shop".to_owned())).await;
    let both = approval("both", &identity("wx1", "ann", Some("u")));
    let both = store.decide(both, untold()).await.unwrap();
    assert!(!both.decision.is_approved(), "they turned out to be one who is refused here");
    let whole = person(&store, &one).await.unwrap();
    assert_eq!(word(&store, &whole).await, Some(Word::Refused));
    assert_eq!(store.word(&whole.id, "shop").await.unwrap(), Some(Word::Admitted));
}

async fn a_site_that_goes_takes_along_what_was_said_there(store: impl Store) {
    let ann = identity("wx1", "ann", None);
    store.add_site(&Site::new("blog", "My blog"), noted("site.added", "blog")).await.unwrap();
    store.decide(wish("ann", &ann, 0), untold()).await.unwrap();
    let whole = person(&store, &ann).await.unwrap();
    change(&store, &whole, Change::Refuse("shop".to_owned())).await;
    assert!(store.remove_site("blog", noted("site.removed", "blog")).await.unwrap());
    let said = store.said(&whole.id).await.unwrap();
    assert_eq!(said.into_iter().map(|said| said.site).collect::<Vec<_>>(), ["shop"]);
}

/// A link that waits for a minute.
fn link(name: &str, gives: Gives) -> Link {
    let expires = NOW + Duration::from_secs(60);
    Link { hash: Hashed::of(name), gives, by: "command".to_owned(), expires }
}

/// An approval of who opened the link of this name.
fn opens(name: &str, link: &str, identity: &Identity) -> Decide {
    let mut decide = approval(name, identity);
    decide.decision.request.link = Some(Hashed::of(link));
    decide
}

async fn waits(store: &impl Store, name: &str, now: Timestamp) -> bool {
    store.link(Hashed::of(name), now).await.unwrap().is_some()
}

async fn a_link_gives_once_and_in_its_time(store: impl Store) {
    let gives = Gives::Site("shop".to_owned());
    for link in [link("invitation", gives.clone()), link("owner", Gives::Server)] {
        store.put_link(link.clone(), NOW).await.unwrap();
        assert_eq!(store.link(link.hash, NOW).await.unwrap(), Some(link));
    }
    let ann = identity("wx1", "ann", None);
    // A no uses nothing up.
    let mut no = opens("no", "owner", &ann);
    no.decision.verdict = Verdict::Denied(Denied::ByPerson);
    store.decide(no, untold()).await.unwrap();
    sign_in(&store, opens("one", "owner", &ann)).await;
    sign_in(&store, opens("two", "invitation", &ann)).await;
    let whole = person(&store, &ann).await.unwrap();
    assert!(whole.is_owner());
    assert_eq!(store.word(&whole.id, "shop").await.unwrap(), Some(Word::Admitted));
    store.put_link(link("another", gives), NOW).await.unwrap();
    change(&store, &whole, Change::Refuse("shop".to_owned())).await;
    sign_in(&store, opens("three", "another", &ann)).await;
    assert_eq!(store.word(&whole.id, "shop").await.unwrap(), Some(Word::Refused), "a no stands");
    let bob = identity("wx1", "bob", None);
    let late = store.decide(opens("late", "owner", &bob), untold()).await;
    assert_eq!(late, Err(Error::LinkOver), "it was good once");
    assert_eq!(person(&store, &bob).await, None, "and nothing is kept of who came late");

    store.put_link(link("old", Gives::Server), NOW).await.unwrap();
    let after = NOW + Duration::from_secs(60);
    assert!(waits(&store, "old", after.before(Duration::from_millis(1))).await);
    assert!(!waits(&store, "old", after).await);
    let lines = store.audit_since(NOW, 99).await.unwrap();
    let of_links = |word: &str| lines.iter().filter(|line| line.what == word).count();
    assert_eq!((of_links("link.made"), of_links("link.used")), (4, 3));
}

async fn of_fifty_who_take_a_link_one_gets_what_it_gives<S: Store>(store: Arc<S>) {
    store.put_link(link("owner", Gives::Server), NOW).await.unwrap();
    let mut racers = JoinSet::new();
    for n in 0..50 {
        let store = store.clone();
        let who = identity("wx1", &format!("racer {n}"), None);
        racers.spawn(async move {
            store.decide(opens(&format!("r{n}"), "owner", &who), untold()).await.err()
        });
    }
    let (took, late): (Vec<_>, Vec<_>) =
        racers.join_all().await.into_iter().partition(Option::is_none);
    assert_eq!(took.len(), 1);
    assert!(late.iter().all(|why| *why == Some(Error::LinkOver)), "{late:?}");
}

async fn a_second_wechat_is_joined(store: impl Store) {
    let (old, new) = (identity("wx1", "ann", None), identity("wx1", "anns other", None));
    let first = sign_in(&store, approval("first", &old)).await;
    let gives = Gives::Person { id: first.person.clone(), instead: false };
    store.put_link(link("join", gives), NOW).await.unwrap();
    let joined = sign_in(&store, opens("second", "join", &new)).await;
    assert_eq!((&joined.person, &joined.sub), (&first.person, &first.sub));
    assert_eq!(store.identities(&first.person).await.unwrap().len(), 2);
    assert_eq!(store.logins(&first.person).await.unwrap().len(), 2, "the first goes on");
}

async fn a_wechat_that_stands_in_lets_the_others_go(store: impl Store) {
    let (old, new) = (identity("wx1", "ann", None), identity("wx1", "anns new", None));
    let first = sign_in(&store, remembered("first", &old, "session", None)).await;
    // The new WeChat has been here as somebody else, whom the site knows by another name.
    let stranger = sign_in(&store, approval("stranger", &new)).await;
    store.open_phone(Hashed::of("phone"), &old, NOW + Duration::from_secs(60)).await.unwrap();
    let gives = Gives::Person { id: first.person.clone(), instead: true };
    store.put_link(link("recover", gives), NOW).await.unwrap();
    let back = sign_in(&store, opens("back", "recover", &new)).await;
    assert_eq!((&back.person, &back.sub), (&first.person, &first.sub), "the account that was lost");
    assert_eq!(store.logins(&first.person).await.unwrap(), [back], "and nothing else is signed in");
    assert_eq!(store.identities(&first.person).await.unwrap(), [new]);
    assert_eq!(person(&store, &old).await, None, "who finds the old phone is nobody");
    assert_eq!(store.person(&stranger.person).await.unwrap(), None);
    assert_eq!(store.phone(Hashed::of("phone"), NOW).await.unwrap(), None);
    assert!(super::held(&store, "session", NOW).await.is_empty());
}

async fn people_are_made_one_by_an_operators_word(store: impl Store) {
    let (one, two) = (identity("wx1", "ann", None), identity("wx1", "bob", None));
    let (ann, bob) = (
        sign_in(&store, approval("ann", &one)).await,
        sign_in(&store, approval("bob", &two)).await,
    );
    assert!(!store.merge(&ann.person, "nobody", "command", NOW).await.unwrap());
    assert!(store.merge(&ann.person, &bob.person, "command", NOW).await.unwrap());
    for who in [&one, &two] {
        assert_eq!(person(&store, who).await.unwrap().id, ann.person);
    }
    let again = sign_in(&store, approval("again", &two)).await;
    assert_eq!(again.sub, bob.sub, "a site goes on knowing each by its own name");
    let lines = store.audit_of(&ann.person, 99).await.unwrap();
    assert!(lines.iter().any(|(_, line)| line.what == "person.linked"));
}
