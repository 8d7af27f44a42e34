//! Whose an identity is, by which names sites know them, and forgetting them.

use super::{
    MINUTE, NOW, a_life, approval, code, held, identity, is_live, person, shade, shadow, sign_in,
    token,
};
use crate::{
    admission::Word,
    person::{Identity, Newcomer},
    secret::Hashed,
    store::{Change, Decide, Import, Imported, Login, Profile, Store, untold},
    world::Timestamp,
};

pub(super) async fn holds<S: Store>(fresh: impl AsyncFn() -> S) {
    a_person_is_found_again_and_keeps_their_sub(fresh().await).await;
    a_unionid_joins_and_changes_no_sub(fresh().await).await;
    two_who_are_one_keep_every_sub_a_group_knows(fresh().await).await;
    three_who_are_one_keep_every_sub_too(fresh().await).await;
    a_code_is_nobodys_who_turns_out_to_be_kept_out(fresh().await).await;
    a_person_shows_what_they_chose(fresh().await).await;
    who_is_kept_out_leaves_a_shadow(fresh().await).await;
    who_is_forgotten_is_nowhere(fresh().await).await;
    people_come_along_with_the_names_that_sites_know(fresh().await).await;
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

async fn a_code_is_nobodys_who_turns_out_to_be_kept_out(store: impl Store) {
    let (ann, bob) = (identity("wx1", "ann", None), identity("wx2", "bob", Some("one")));
    at(&store, "ann", &ann, "both", 0).await;
    let bobs = at(&store, "bob", &bob, "both", 1).await;
    store.change(&bobs.person, Change::Block, "command", NOW).await.unwrap().unwrap();
    assert!(store.decision_by_code(code("ann")).await.unwrap().unwrap().login.is_some());
    // WeChat says that ann is bob before her code is redeemed.
    let merged = approval("merged", &identity("wx1", "ann", Some("one")));
    assert!(store.decide(merged, untold()).await.unwrap().login.is_none());
    assert!(store.decision_by_code(code("ann")).await.unwrap().unwrap().login.is_none());
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

async fn who_is_kept_out_leaves_a_shadow(store: impl Store) {
    let (ann, bob) = (a_life(&store, "ann").await, a_life(&store, "bob").await);
    let change = async |id: &str, change| {
        store.change(id, change, "command", NOW).await.unwrap().unwrap();
    };
    change(&ann.id, Change::Block).await;
    change(&ann.id, Change::Admit("shop".to_owned())).await;
    change(&bob.id, Change::Refuse("blog".to_owned())).await;
    for (who, name) in [(&ann, "ann"), (&bob, "bob")] {
        store.forget(&who.id, shadow(name), None, NOW).await.unwrap();
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
    store.forget(&cat.id, shadow("cat"), None, NOW).await.unwrap();
    change("shadow of cat", Change::Unblock).await;
    assert!(store.person("shadow of cat").await.unwrap().is_none());
}

async fn who_is_forgotten_is_nowhere(store: impl Store) {
    let (ann, bob) = (a_life(&store, "ann").await, a_life(&store, "bob").await);
    let ended = store.forget(&ann.id, shadow("ann"), None, NOW).await.unwrap();
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
