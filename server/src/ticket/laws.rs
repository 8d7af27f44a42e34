//! What holds whatever is done to a ticket, by whom and when: thousands of made-up lives of one.

use proptest::{prelude::*, sample::select};

use super::{tests::*, *};
use crate::risk::{Matching, Policy, tests::any_signals};

/// One thing that somebody does to a ticket.
#[derive(Debug, Clone)]
enum Deed {
    Scan { who: u8, risk: Box<Risk> },
    Approve { token: u8, number: Typed, remember: bool, scopes: Vec<&'static str> },
    Deny { token: u8 },
    Renew,
    Digits,
    Wait { millis: u64 },
}

/// What is typed where a number is asked for.
#[derive(Debug, Clone, Copy)]
enum Typed {
    Nothing,
    TheNumber,
    Other,
}

fn deed() -> impl Strategy<Value = Deed> {
    let risk = (any_signals(), select(vec![Policy::Low, Policy::Normal, Policy::High]))
        .prop_map(|(signals, policy)| Box::new(Risk::of(signals, policy, Matching::Auto)));
    let scopes = proptest::collection::vec(
        select(vec!["openid", "profile", "email", "wechat", "offline_access", "more"]),
        0..4,
    );
    let typed = select(vec![Typed::Nothing, Typed::TheNumber, Typed::Other]);
    prop_oneof![
        3 => (0..3_u8, risk).prop_map(|(who, risk)| Deed::Scan { who, risk }),
        3 => (0..6_u8, typed, any::<bool>(), scopes)
            .prop_map(|(token, number, remember, scopes)| Deed::Approve { token, number, remember, scopes }),
        1 => (0..6_u8).prop_map(|token| Deed::Deny { token }),
        1 => Just(Deed::Renew),
        1 => Just(Deed::Digits),
        2 => (0..150_000_u64).prop_map(|millis| Deed::Wait { millis }),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    select(vec![Kind::Page, Kind::OnPhone, Kind::Device])
}

fn scan_of(ticket: &Ticket) -> Option<&Scan> {
    match &ticket.stage {
        Stage::Scanned(scan) => Some(scan),
        Stage::Waiting => None,
    }
}

/// The token that the scan with this number was given.
fn token(scan: u8) -> Hashed {
    Hashed::of(format!("token {scan}"))
}

/// A scan may only make what stands worse, and never somebody else's.
fn holds_after_a_scan(before: &Ticket, after: &Ticket, risk: &Risk, now: Timestamp) {
    let scan = scan_of(after).expect("a scan has scanned");
    assert!(now < before.expires, "nothing is scanned late");
    assert!(scan.risk.ask >= risk.ask && scan.risk.why.is_superset(&risk.why));
    assert_eq!(scan.number.is_some(), scan.risk.ask == Ask::Match, "a number exactly where asked");
    match scan_of(before) {
        None => assert_eq!(after.expires, now + LIFE, "as long again, from the scan"),
        Some(first) => {
            assert!(scan.identity.is_same(&first.identity), "the first phone keeps it");
            assert!(scan.risk.ask >= first.risk.ask, "the worst stays");
            assert!(first.risk.level == Level::Low || scan.risk.level == Level::Raised);
            assert!(scan.risk.why.is_superset(&first.risk.why));
            assert_eq!(after.expires, before.expires, "no time is bought");
            if first.number.is_some() && scan.number.is_some() {
                assert_eq!(scan.number, first.number, "the number that the page shows stays");
            }
        }
    }
}

/// Nothing is approved that its own phone may not approve, in time, with the number, and nothing is given that was not
/// asked for and ticked.
fn holds_of_a_decision(
    ticket: &Ticket,
    decision: &Decision,
    by: Hashed,
    typed: Option<&str>,
    now: Timestamp,
) {
    let scan = scan_of(ticket).expect("only what was scanned is decided");
    assert!(by == scan.token && decision.token == by, "by the token of the last scan alone");
    assert!(now < ticket.expires, "in time");
    assert!(decision.identity == scan.identity, "in the name of who scanned");
    assert_eq!((decision.ticket, &decision.owner), (ticket.id, &ticket.owner));
    let Verdict::Approved { scopes, remember } = &decision.verdict else { return };
    assert_ne!(scan.risk.ask, Ask::Refuse, "what is refused is approved by nobody");
    if scan.risk.ask == Ask::Match {
        assert_eq!(typed, scan.number.as_deref(), "with the number on the page");
    }
    assert!(scopes.within(&ticket.request.scopes), "nothing that was not asked for");
    if *remember {
        assert_eq!(scan.risk.level, Level::Low);
        assert!(ticket.kind != Kind::Device && ticket.owner.browser().is_some());
    }
    let decided = (decision.again(by, true), decision.again(by, false));
    assert_eq!(decided, (Ok(()), Err(Refusal::AlreadyDecided)), "decided is final");
    assert_eq!(decision.again(Hashed::of("another"), true), Err(Refusal::NotTheToken));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_in_whatever_order_the_laws_of_a_ticket_hold(
        kind in kind(), embedded in any::<bool>(), deeds in proptest::collection::vec(deed(), 1..24),
    ) {
        let world = world();
        let mut now = START;
        let mut ticket = ticket(kind);
        if embedded {
            let origin = "https://blog.example.com".to_owned();
            ticket.owner = Owner::Page { key: Hashed::of("key"), origin };
        }
        let (mut scans, mut renewed) = (0_u8, 0_u8);
        for deed in deeds {
            let before = ticket.clone();
            match deed {
                Deed::Wait { millis } => now = now + Duration::from_millis(millis),
                Deed::Scan { who, risk } => {
                    let identity = Identity { appid: "wx1".to_owned(), openid: format!("o{who}"), unionid: None };
                    let scanner = Scanner { identity, token: token(scans), risk: (*risk).clone(), face: None };
                    scans += 1;
                    match before.clone().scan(scanner, now, LIFE, &world) {
                        Ok(after) => {
                            holds_after_a_scan(&before, &after, &risk, now);
                            ticket = after;
                        }
                        Err(refusal) => {
                            let late = before.is_expired(now);
                            let taken = scan_of(&before).is_some_and(|scan| scan.identity.openid != format!("o{who}"));
                            prop_assert!(late || taken, "refused without a reason: {refusal:?}");
                        }
                    }
                }
                Deed::Approve { token: nth, number, remember, scopes } => {
                    let shown = scan_of(&before).and_then(|scan| scan.number.clone());
                    let typed = match number {
                        Typed::Nothing => None,
                        Typed::TheNumber => shown.clone(),
                        Typed::Other => Some(if shown.as_deref() == Some("17") { "18" } else { "17" }.to_owned()),
                    };
                    let ticked = scopes.iter().map(|scope| (*scope).to_owned()).collect();
                    let approval = Approval { number: typed.clone(), remember, scopes: ticked };
                    if let Ok(decision) = before.clone().approve(token(nth), &approval, now) {
                        holds_of_a_decision(&before, &decision, token(nth), typed.as_deref(), now);
                        break;
                    }
                }
                Deed::Deny { token: nth } => {
                    if let Ok(decision) = before.clone().deny(token(nth), now) {
                        prop_assert!(!decision.is_approved());
                        prop_assert_eq!(decision.again(token(nth), true), Err(Refusal::AlreadyDecided));
                        prop_assert!(scan_of(&before).is_some_and(|scan| scan.token == token(nth)));
                        break;
                    }
                }
                Deed::Renew => {
                    let fresh = Fresh { id: Hashed::of([renewed]), key: Some(Hashed::of("new")), scene: "n".repeat(22) };
                    let held = scan_of(&before).is_some() && !before.is_expired(now);
                    match before.clone().renew(fresh, now, LIFE) {
                        Ok(after) => {
                            renewed += 1;
                            prop_assert!(!held, "what a phone holds is not renewed away");
                            prop_assert!(after.renewals == renewed && renewed <= MAX_RENEWALS);
                            prop_assert!(after.id != before.id && after.scene == "n".repeat(22));
                            prop_assert!(scan_of(&after).is_none() && after.digits.is_none());
                            prop_assert_eq!(&after.request, &before.request);
                            prop_assert_eq!(after.owner.origin(), before.owner.origin());
                            prop_assert_eq!(after.owner.browser(), before.owner.browser());
                            ticket = after;
                        }
                        Err(_) => prop_assert!(held || before.renewals >= MAX_RENEWALS),
                    }
                }
                Deed::Digits => {
                    if let Ok(after) = before.clone().with_digits("12345678".to_owned(), now) {
                        prop_assert!(!before.is_expired(now) && scan_of(&before).is_none());
                        ticket = after;
                    }
                }
            }
            let json = serde_json::to_string(&ticket).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Ticket>(&json).unwrap(), &ticket, "kept as it stands");
        }
    }

    #[test]
    fn when_its_time_is_over_nothing_is_left_but_to_renew(
        kind in kind(), entry in select(vec![1047_u32, 1048, 1007]), late in 0..10_000_000_u64,
    ) {
        let taken = ticket(kind).scan(phone("ann", "token", entry), START, LIFE, &world()).unwrap();
        let number = scan_of(&taken).and_then(|scan| scan.number.clone());
        let now = taken.expires + Duration::from_millis(late);
        let approval = Approval { number, ..Approval::default() };
        prop_assert_eq!(taken.clone().approve(Hashed::of("token"), &approval, now).unwrap_err(), Refusal::Expired);
        prop_assert_eq!(taken.clone().deny(Hashed::of("token"), now).unwrap_err(), Refusal::Expired);
        prop_assert_eq!(taken.clone().with_digits("1".repeat(8), now).unwrap_err(), Refusal::Expired);
        let again = taken.scan(phone("ann", "2", entry), now, LIFE, &world());
        prop_assert_eq!(again.unwrap_err(), Refusal::Expired);
    }
}
