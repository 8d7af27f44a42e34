//! The table of states in full: every verb in every state, in time and late, by this phone and another.

use super::*;
use crate::risk::{Matching, Opened, Policy, Signals};

pub(super) const LIFE: Duration = Duration::from_secs(120);
pub(super) const START: Timestamp = Timestamp::from_millis(1_000_000);

pub(super) fn world() -> World {
    World::held(START, 1)
}

pub(super) fn ticket(kind: Kind) -> Ticket {
    Ticket {
        id: Hashed::of("ticket"),
        scene: "s".repeat(22),
        owner: Owner::Browser { cookie: Hashed::of("cookie"), session: None, at: None },
        request: Request {
            scopes: Scopes::parse("openid profile"),
            ..Request::bare("blog", "https://blog.example.com/cb")
        },
        kind,
        browser: Browser {
            name: "Firefox".to_owned(),
            os: "Linux".to_owned(),
            address: IpAddr::from([127, 0, 0, 1]),
            region: None,
        },
        opened: START,
        expires: START + LIFE,
        renewals: 0,
        digits: None,
        stage: Stage::Waiting,
    }
}

pub(super) fn phone(openid: &str, token: &str, entry: u32) -> Scanner {
    let Opened::By(entry) = Opened::from_number(entry) else { unreachable!("a person scans") };
    let signals = Signals {
        entry,
        kind: Kind::Page,
        same_network: true,
        other_region: false,
        same_system: true,
        known_browser: true,
        known_site: true,
    };
    Scanner {
        identity: Identity { appid: "wx1".to_owned(), openid: openid.to_owned(), unionid: None },
        token: Hashed::of(token),
        risk: Risk::of(signals, Policy::Normal, Matching::Auto),
        face: None,
    }
}

fn scanned(entry: u32) -> Ticket {
    ticket(Kind::Page).scan(phone("ann", "token", entry), START, LIFE, &world()).unwrap()
}

fn number(ticket: &Ticket) -> Option<String> {
    let Stage::Scanned(scan) = &ticket.stage else { return None };
    scan.number.clone()
}

fn typed(number: Option<String>) -> Approval {
    Approval { number, ..Approval::default() }
}

/// What a verb did, in a word.
fn outcome(result: Result<Decision, Refusal>) -> String {
    match result.map(|decision| decision.verdict) {
        Ok(Verdict::Approved { .. }) => "approved".to_owned(),
        Ok(Verdict::Denied(how)) => format!("denied {how:?}"),
        Err(refusal) => format!("{refusal:?}"),
    }
}

#[test]
fn every_verb_in_every_state_in_time_and_late() {
    let late = START + LIFE + LIFE;
    let in_time = START + Duration::from_secs(60);
    let token = Hashed::of("token");
    let approve =
        |ticket: Ticket, token, now| outcome(ticket.approve(token, &Approval::default(), now));
    let deny = |ticket: Ticket, token, now| outcome(ticket.deny(token, now));
    let scan = |ticket: Ticket, who: &str, now| {
        let scanned = ticket.scan(phone(who, "second", 1047), now, LIFE, &world());
        scanned.map_or_else(|refusal| format!("{refusal:?}"), |_| "scanned".to_owned())
    };
    let renew = |ticket: Ticket, now| {
        let fresh = Fresh { id: Hashed::of("new"), key: None, scene: "n".repeat(22) };
        let renewed = ticket.renew(fresh, now, LIFE);
        renewed.map_or_else(|refusal| format!("{refusal:?}"), |_| "renewed".to_owned())
    };
    let digits = |ticket: Ticket, now| {
        let given = ticket.with_digits("12345678".to_owned(), now);
        given.map_or_else(|refusal| format!("{refusal:?}"), |_| "digits".to_owned())
    };
    let waiting = || ticket(Kind::Page);
    let taken = || scanned(1047);
    for (what, seen, expected) in [
        ("scan, waiting, in time", scan(waiting(), "ann", in_time), "scanned"),
        ("scan, waiting, late", scan(waiting(), "ann", late), "Expired"),
        ("scan, scanned, same phone", scan(taken(), "ann", in_time), "scanned"),
        ("scan, scanned, other phone", scan(taken(), "bob", in_time), "TakenByAnotherPhone"),
        ("scan, scanned, same phone, late", scan(taken(), "ann", late), "Expired"),
        ("scan, scanned, other phone, late", scan(taken(), "bob", late), "Expired"),
        ("approve, waiting", approve(waiting(), token, in_time), "NotTheToken"),
        ("approve, waiting, late", approve(waiting(), token, late), "NotTheToken"),
        ("approve, scanned", approve(taken(), token, in_time), "approved"),
        ("approve, scanned, late", approve(taken(), token, late), "Expired"),
        ("approve, scanned, foreign", approve(taken(), Hashed::of("x"), in_time), "NotTheToken"),
        ("approve, scanned, foreign, late", approve(taken(), Hashed::of("x"), late), "NotTheToken"),
        ("deny, waiting", deny(waiting(), token, in_time), "NotTheToken"),
        ("deny, scanned", deny(taken(), token, in_time), "denied ByPerson"),
        ("deny, scanned, late", deny(taken(), token, late), "Expired"),
        ("deny, scanned, foreign", deny(taken(), Hashed::of("x"), in_time), "NotTheToken"),
        ("renew, waiting", renew(waiting(), in_time), "renewed"),
        ("renew, waiting, late", renew(waiting(), late), "renewed"),
        ("renew, scanned", renew(taken(), in_time), "AlreadyScanned"),
        ("renew, scanned, late", renew(taken(), late), "renewed"),
        ("digits, waiting", digits(waiting(), in_time), "digits"),
        ("digits, waiting, late", digits(waiting(), late), "Expired"),
        ("digits, scanned", digits(taken(), in_time), "AlreadyScanned"),
        ("digits, scanned, late", digits(taken(), late), "Expired"),
    ] {
        assert_eq!(seen, expected, "{what}");
    }
}

#[test]
fn a_stage_ends_to_the_millisecond() {
    let end = START + LIFE;
    let last = end.before(Duration::from_millis(1));
    let scan = |now| ticket(Kind::Page).scan(phone("ann", "token", 1047), now, LIFE, &world());
    assert!(scan(last).is_ok());
    assert_eq!(scan(end), Err(Refusal::Expired));
    // The scan buys as long again, counted from the scan; a second scan buys nothing.
    let taken = scan(last).unwrap();
    assert_eq!(taken.expires, last + LIFE);
    assert_eq!(
        taken.scan(phone("ann", "2", 1047), end, LIFE, &world()).unwrap().expires,
        last + LIFE
    );
}

#[test]
fn a_second_scan_by_the_same_person_kills_the_first_token() {
    let again = scanned(1047).scan(phone("ann", "second", 1047), START, LIFE, &world()).unwrap();
    let approve =
        |token| outcome(again.clone().approve(Hashed::of(token), &Approval::default(), START));
    assert_eq!(approve("token"), "NotTheToken");
    assert_eq!(approve("second"), "approved");
}

#[test]
fn the_number_is_drawn_at_the_scan_and_one_miss_denies() {
    assert_eq!(number(&scanned(1047)), None);
    let asked = scanned(1048);
    let shown = number(&asked).unwrap();
    assert_eq!(shown.len(), 2);
    let wrong = if shown == "00" { "01" } else { "00" };
    let approve =
        |number| outcome(asked.clone().approve(Hashed::of("token"), &typed(number), START));
    assert_eq!(approve(None), "MatchRequired");
    assert_eq!(approve(Some(wrong.to_owned())), "denied WrongMatch");
    assert_eq!(approve(Some(" ".to_owned())), "MatchRequired");
    assert_eq!(approve(Some(format!(" {shown} "))), "approved");
    assert_eq!(approve(Some(shown)), "approved");
}

#[test]
fn a_milder_second_scan_keeps_the_number_and_the_worst() {
    let first = scanned(1049);
    let shown = number(&first);
    let second = first.scan(phone("ann", "second", 1047), START, LIFE, &world()).unwrap();
    assert_eq!(number(&second), shown);
    // And a worse one after a mild one draws it then.
    let raised = scanned(1047).scan(phone("ann", "second", 1048), START, LIFE, &world()).unwrap();
    assert!(number(&raised).is_some());
    // What came as a card is refused, number or not.
    let card = scanned(1048).scan(phone("ann", "second", 1007), START, LIFE, &world()).unwrap();
    let approve = card.approve(Hashed::of("second"), &typed(shown), START);
    assert_eq!(outcome(approve), "Refused");
}

#[test]
fn a_browser_is_remembered_only_after_an_ordinary_scan_on_the_hosted_page() {
    let approved = |ticket: Ticket, remember| {
        let approval = Approval { remember, number: number(&ticket), scopes: Vec::new() };
        match ticket.approve(Hashed::of("token"), &approval, START).unwrap().verdict {
            Verdict::Approved { remember, .. } => remember,
            Verdict::Denied(how) => panic!("{how:?}"),
        }
    };
    let remembered = |ticket| approved(ticket, true);
    assert!(remembered(scanned(1047)));
    assert!(!approved(scanned(1047), false), "where nobody wished it");
    assert!(!remembered(scanned(1048)), "after a raised risk");
    let mut embedded = scanned(1047);
    let origin = "https://blog.example.com".to_owned();
    embedded.owner = Owner::Page { key: Hashed::of("key"), origin };
    assert!(!remembered(embedded), "for an embedded page");
    let device = ticket(Kind::Device).scan(phone("ann", "token", 1047), START, LIFE, &world());
    assert!(!remembered(device.unwrap()), "for a device");
}

#[test]
fn five_renewals_and_no_sixth() {
    let mut page = ticket(Kind::Page);
    for n in 1..=MAX_RENEWALS {
        let fresh = Fresh { id: Hashed::of([n]), key: None, scene: "n".repeat(22) };
        page = page.renew(fresh, START, LIFE).unwrap();
        assert_eq!((page.renewals, page.id), (n, Hashed::of([n])));
    }
    let fresh = Fresh { id: Hashed::of("x"), key: None, scene: "n".repeat(22) };
    assert_eq!(page.renew(fresh, START, LIFE), Err(Refusal::TooManyRenewals));
}

#[test]
fn a_decision_answers_the_same_verb_the_same_way_and_another_one_late() {
    let token = Hashed::of("token");
    let yes = scanned(1047).approve(token, &Approval::default(), START).unwrap();
    let no = scanned(1047).deny(token, START).unwrap();
    let missed = scanned(1048).approve(token, &typed(Some("x".to_owned())), START).unwrap();
    for (what, seen, expected) in [
        ("approve after yes", yes.again(token, true), Ok(())),
        ("deny after yes", yes.again(token, false), Err(Refusal::AlreadyDecided)),
        ("approve after no", no.again(token, true), Err(Refusal::AlreadyDecided)),
        ("deny after no", no.again(token, false), Ok(())),
        ("approve after a miss", missed.again(token, true), Err(Refusal::WrongMatch)),
        ("deny after a miss", missed.again(token, false), Err(Refusal::AlreadyDecided)),
        ("foreign token", yes.again(Hashed::of("x"), true), Err(Refusal::NotTheToken)),
    ] {
        assert_eq!(seen, expected, "{what}");
    }
    assert_eq!(yes.scanned_again(&phone("ann", "t", 1047).identity), Refusal::AlreadyDecided);
    assert_eq!(yes.scanned_again(&phone("bob", "t", 1047).identity), Refusal::TakenByAnotherPhone);
}

#[test]
fn time_to_claim_is_two_minutes_and_ten_on_the_phone() {
    for (kind, seconds) in [(Kind::Page, 120), (Kind::OnPhone, 600)] {
        let taken = ticket(kind).scan(phone("ann", "token", 1047), START, LIFE, &world()).unwrap();
        let decision = taken.approve(Hashed::of("token"), &Approval::default(), START).unwrap();
        assert_eq!(decision.claim_until.since(START), Duration::from_secs(seconds));
    }
}

#[test]
fn only_the_browser_or_the_page_that_opened_it_owns_it() {
    let hosted = Owner::Browser { cookie: Hashed::of("cookie"), session: None, at: None };
    let page = Owner::Page { key: Hashed::of("key"), origin: "https://a.example".to_owned() };
    let key = |text| Presented { key: Some(Hashed::of(text)), cookie: None };
    let cookie = |text| Presented { key: None, cookie: Some(Hashed::of(text)) };
    assert!(hosted.is(cookie("cookie")) && page.is(key("key")));
    for stranger in [Presented::default(), key("cookie"), cookie("key"), cookie("other")] {
        assert!(!hosted.is(stranger) && !page.is(stranger), "{stranger:?}");
        assert!(!hosted.may_watch(stranger));
    }
    assert!(page.may_watch(Presented::default()));
}
