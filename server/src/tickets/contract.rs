//! What every short-lived store must do: run by each implementation's own tests.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::task::JoinSet;

use super::{Picture, Seen, Tickets};
use crate::{
    grant::Request,
    secret::Hashed,
    ticket::{Browser, Kind, Owner, Stage, Ticket},
    world::Timestamp,
};

/// A waiting ticket called `name`, good for two minutes from `now`.
pub(crate) fn ticket(name: &str, now: Timestamp) -> Ticket {
    Ticket {
        id: Hashed::of(name),
        scene: format!("scene-{name}"),
        owner: Owner::Browser { cookie: Hashed::of("cookie"), session: None, at: None },
        request: Request {
            state: Some("state".to_owned()),
            ..Request::bare("blog", "https://blog.example.com/cb")
        },
        kind: Kind::Page,
        browser: Browser {
            name: "Firefox".to_owned(),
            os: "Linux".to_owned(),
            address: [192, 0, 2, 1].into(),
            region: None,
        },
        opened: now,
        expires: now + Duration::from_secs(120),
        renewals: 0,
        digits: None,
        stage: Stage::Waiting,
    }
}

/// Runs every rule against a fresh store each, which keeps so many small things at once.
///
/// # Panics
/// Where the store breaks one.
pub(crate) async fn holds<T: Tickets>(fresh: impl AsyncFn() -> T, most_kept: usize) {
    a_ticket_is_found_by_each_of_its_names(fresh().await).await;
    of_fifty_who_write_one_wins(Arc::new(fresh().await)).await;
    a_renewed_ticket_takes_the_old_ones_place(fresh().await).await;
    digits_belong_to_one_ticket(fresh().await).await;
    a_counter_forgets(fresh().await).await;
    the_first_claim_is_remembered(fresh().await).await;
    what_is_over_is_forgotten(fresh().await).await;
    what_is_kept_can_be_read_until_it_is_over(fresh().await).await;
    where_there_is_no_more_room_the_oldest_goes(fresh().await, most_kept).await;
    as_many_are_held_as_there_are(fresh().await).await;
}

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

async fn seen(store: &impl Tickets, name: &str) -> Option<Seen> {
    store.by_id(Hashed::of(name)).await.expect("the store answers")
}

async fn put(store: &impl Tickets, name: &str) -> Seen {
    store.put(ticket(name, NOW), None).await.expect("the store answers");
    seen(store, name).await.expect("what was put is there")
}

async fn a_ticket_is_found_by_each_of_its_names(store: impl Tickets) {
    let picture =
        Picture { content_type: "image/png".to_owned(), bytes: Bytes::from_static(b"png") };
    let mut given = ticket("one", NOW);
    given.digits = Some("12345678".to_owned());
    store.put(given.clone(), Some(picture.clone())).await.expect("put");
    for found in [
        store.by_id(given.id).await,
        store.by_scene("scene-one").await,
        store.by_digits("12345678").await,
    ] {
        assert_eq!(found.expect("answer").expect("found").ticket, given);
    }
    assert_eq!(store.picture(given.id).await.expect("answer"), Some(picture));
    assert!(store.by_scene("scene-two").await.expect("answer").is_none());
    store.let_go(given.id);
    assert_eq!(
        seen(&store, "one").await.is_some(),
        store.is_shared(),
        "what is shared goes in its time"
    );
    store.remove(&given).await.expect("remove");
    assert!(seen(&store, "one").await.is_none());
    assert!(store.by_scene("scene-one").await.expect("answer").is_none());
    assert!(store.by_digits("12345678").await.expect("answer").is_none());
    assert_eq!(store.picture(given.id).await.expect("answer"), None);
}

async fn of_fifty_who_write_one_wins<T: Tickets>(store: Arc<T>) {
    let before = put(&*store, "race").await;
    let mut racers = JoinSet::new();
    for n in 0..50_u8 {
        let (store, before) = (store.clone(), before.clone());
        racers.spawn(async move {
            let mut next = before.ticket.clone();
            next.renewals = n;
            store.swap(&before, next).await.expect("answer").then_some(n)
        });
    }
    let winners: Vec<u8> = racers.join_all().await.into_iter().flatten().collect();
    let after = seen(&*store, "race").await.expect("it is there");
    assert_eq!(winners, [after.ticket.renewals], "one wins, and it is the one that stands");
}

async fn a_renewed_ticket_takes_the_old_ones_place(store: impl Tickets) {
    let old = put(&store, "old").await;
    assert!(store.replace(&old, ticket("new", NOW), None).await.expect("answer"));
    assert!(seen(&store, "old").await.is_none() && seen(&store, "new").await.is_some());
    assert!(!store.replace(&old, ticket("newer", NOW), None).await.expect("answer"));
    assert!(seen(&store, "newer").await.is_none());
    assert!(
        !store.swap(&old, ticket("old", NOW)).await.expect("answer"),
        "what is gone stays gone"
    );
    assert!(seen(&store, "old").await.is_none());
}

async fn digits_belong_to_one_ticket(store: impl Tickets) {
    let (one, two) = (put(&store, "one").await, put(&store, "two").await);
    let with_digits =
        |seen: &Seen| Ticket { digits: Some("00000001".to_owned()), ..seen.ticket.clone() };
    assert!(store.swap(&one, with_digits(&one)).await.expect("answer"));
    assert!(!store.swap(&two, with_digits(&two)).await.expect("answer"));
    let found = store.by_digits("00000001").await.expect("answer").expect("found");
    assert_eq!(found.ticket.id, one.ticket.id);
}

async fn a_counter_forgets(store: impl Tickets) {
    let window = Duration::from_secs(600);
    let mut stands = Vec::new();
    for (add, later) in [(0, 0), (1, 0), (1, 1), (-1, 2), (3, 599), (0, 601), (1, 601)] {
        let now = NOW + Duration::from_secs(later);
        stands.push(store.count("tries", add, window, now).await.expect("answer"));
    }
    assert_eq!(stands, [0, 1, 2, 1, 4, 0, 1]);
}

async fn the_first_claim_is_remembered(store: impl Tickets) {
    let id = Hashed::of("claimed");
    assert_eq!(store.claimed(id).await.expect("answer"), None);
    let later = NOW + Duration::from_secs(9);
    assert_eq!(store.first_claim(id, NOW).await.expect("answer"), NOW);
    assert_eq!(store.first_claim(id, later).await.expect("answer"), NOW);
    assert_eq!(store.claimed(id).await.expect("answer"), Some(NOW));
}

async fn what_is_over_is_forgotten(store: impl Tickets) {
    put(&store, "over").await;
    let expired = NOW + Duration::from_secs(130);
    store.purge(expired).await.expect("purge");
    assert!(seen(&store, "over").await.is_some(), "expired ones are known for a while");
    store.purge(NOW + Duration::from_secs(241)).await.expect("purge");
    assert!(seen(&store, "over").await.is_none());
}

async fn what_is_kept_can_be_read_until_it_is_over(store: impl Tickets) {
    let (name, until) = (Hashed::of("name"), NOW + Duration::from_secs(60));
    store.keep(name, Bytes::from_static(b"something small"), NOW, until).await.unwrap();
    assert_eq!(store.kept(name, NOW).await.unwrap().unwrap(), "something small");
    assert_eq!(store.kept(Hashed::of("another"), NOW).await.unwrap(), None);
    assert_eq!(store.kept(name, until).await.unwrap(), None);
}

/// Whatever its own end: a flood of what lives long does not drive out what was put there a moment ago.
async fn where_there_is_no_more_room_the_oldest_goes(store: impl Tickets, most: usize) {
    let name = |n: usize| Hashed::of(n.to_be_bytes());
    let at = |n: usize| NOW + Duration::from_millis(n.try_into().unwrap());
    let keep = |n: usize, life: u64| {
        store.keep(name(n), Bytes::from_static(b"kept"), at(n), at(n) + Duration::from_secs(life))
    };
    let flood = futures_util::stream::iter((0..most).map(|n| keep(n, 600)));
    flood.buffer_unordered(128).for_each(async |kept| kept.unwrap()).await;
    let is_kept = async |n: usize| store.kept(name(n), at(n)).await.unwrap().is_some();
    assert!(is_kept(0).await, "there is just room");
    for short in most..most + 3 {
        keep(short, 120).await.unwrap();
    }
    assert!(!is_kept(0).await && !is_kept(2).await, "the oldest made room");
    assert!(is_kept(3).await && is_kept(most).await && is_kept(most + 2).await);
    // What is kept anew is young again, and what is over takes no room.
    store.keep(name(3), Bytes::from_static(b"again"), at(most + 3), at(600_003)).await.unwrap();
    store.purge(at(most + 120_003)).await.unwrap();
    for more in most + 4..most + 7 {
        keep(more, 120).await.unwrap();
    }
    assert!(is_kept(3).await && is_kept(4).await, "three had gone by themselves");
    keep(most + 7, 120).await.unwrap();
    assert!(is_kept(3).await && !is_kept(4).await);
}

async fn as_many_are_held_as_there_are(store: impl Tickets) {
    let one = put(&store, "one").await;
    put(&store, "two").await;
    assert_eq!(store.how_many().await.unwrap(), 2);
    assert!(store.replace(&one, ticket("three", NOW), None).await.unwrap());
    assert_eq!(store.how_many().await.unwrap(), 2);
    store.remove(&ticket("two", NOW)).await.unwrap();
    assert_eq!(store.how_many().await.unwrap(), 1);
    // A scan makes it live longer.
    let three = seen(&store, "three").await.unwrap();
    let longer = Ticket { expires: NOW + Duration::from_secs(400), ..three.ticket.clone() };
    assert!(store.swap(&three, longer).await.unwrap());
    store.purge(NOW + Duration::from_secs(500)).await.unwrap();
    assert_eq!(store.how_many().await.unwrap(), 1);
    assert!(seen(&store, "three").await.is_some());
    store.purge(NOW + Duration::from_secs(521)).await.unwrap();
    assert_eq!(store.how_many().await.unwrap(), 0);
    assert!(seen(&store, "three").await.is_none());
}
