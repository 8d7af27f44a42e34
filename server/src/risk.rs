//! How a scan came about, and what that asks of the person.
//!
//! Pure rules over signals. They may raise what is asked, never lower it: a signal that reassures could be bought by who
//! attacks. The worst seen on a ticket stays.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ticket::Kind;

/// How WeChat opened the mini program: classes of its scene numbers (wechat-api.md section 6), worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The camera, or our own scan button.
    Live,
    /// Eight digits typed into the mini program.
    Digits,
    /// A long press on a picture.
    LongPress,
    /// A picture out of the album.
    Album,
    /// Anything else, and nothing at all.
    Unknown,
    /// A card that somebody forwarded.
    Card,
}

/// What the mini program says of how it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// By a person.
    By(Entry),
    /// By WeChat's crawler, automation, remote debugging or load tests, which must not take a ticket.
    Robot,
}

impl Opened {
    /// Reads WeChat's scene number, for a warm re-entry that of the cold start.
    pub fn from_number(number: u32) -> Self {
        match number {
            1047 | 1011 | 1025 | 1124 => Self::By(Entry::Live),
            1048 | 1012 | 1031 | 1125 => Self::By(Entry::LongPress),
            1049 | 1013 | 1032 | 1126 => Self::By(Entry::Album),
            1007 | 1008 | 1044 | 1096 => Self::By(Entry::Card),
            1129 | 1030 | 1101 | 1203 => Self::Robot,
            _ => Self::By(Entry::Unknown),
        }
    }
}

/// How strict a site is, mildest first.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// A guestbook.
    Low,
    /// What most sites want.
    #[default]
    Normal,
    /// Where a wrong sign-in costs money.
    High,
}

/// `ticket.match`: whether a number is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matching {
    /// Where the rules below want one.
    #[default]
    Auto,
    /// At every sign-in.
    Always,
    /// At none; what would have asked for one is shown as a risk still.
    Never,
}

/// What the person has to do to approve, mildest first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// One tap.
    Tap,
    /// Type the number that stands on the page.
    Match,
    /// It cannot be approved.
    Refuse,
}

/// How risky it is called on the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing out of the ordinary.
    Low,
    /// Something is, and the phone warns.
    Raised,
}

/// What is out of the ordinary: stable words that the phone turns into sentences.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The code was opened by a long press.
    LongPress,
    /// The code came out of the album.
    Album,
    /// The code came as a forwarded card.
    Card,
    /// Nobody knows how the code was opened.
    UnknownEntry,
    /// Phone and browser are in different regions.
    OtherRegion,
    /// Phone and browser are on different networks.
    OtherNetwork,
    /// This person has not used this browser before.
    NewBrowser,
    /// This person has not signed in to this site before.
    FirstTime,
    /// The page says that it is on the phone itself.
    PageSaysPhone,
    /// Phone and browser run different systems, though the page says it is on the phone.
    OtherSystem,
    /// A terminal or a television asks.
    Device,
}

/// All that is known when a phone scans.
#[derive(Debug, Clone, Copy)]
pub struct Signals {
    /// How the code was opened.
    pub entry: Entry,
    /// What kind of page waits.
    pub kind: Kind,
    /// Phone and browser come from one address.
    pub same_network: bool,
    /// Both regions are known and differ.
    pub other_region: bool,
    /// The browser's system is of the phone's family; only asked of a page that says it is on the phone.
    pub same_system: bool,
    /// This person used this browser before.
    pub known_browser: bool,
    /// This person signed in to this site before.
    pub known_site: bool,
}

/// What a scan asks, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Risk {
    /// What must be done to approve.
    pub ask: Ask,
    /// What the phone calls it.
    pub level: Level,
    /// The reasons, all of them told.
    pub why: BTreeSet<Why>,
}

impl Risk {
    /// Judges a scan.
    pub fn of(signals: Signals, policy: Policy, matching: Matching) -> Self {
        let (asked_by_entry, raised_by_entry) = by_entry(signals, policy);
        let mut why: BTreeSet<Why> = by_name(signals.entry).into_iter().collect();
        let mut ask = asked_by_entry;
        let mut raised = raised_by_entry;
        let mut weigh = |seen: bool, reason: Why, raises: bool, asks: Ask| {
            if seen {
                why.insert(reason);
                if raises {
                    raised = true;
                    ask = ask.max(asks);
                }
            }
        };
        let strict = policy == Policy::High;
        let lax = policy == Policy::Low;
        let on_phone = signals.kind == Kind::OnPhone;
        let device = signals.kind == Kind::Device;
        let typed = signals.entry == Entry::Digits;
        // A terminal has no way to show a number: there the warning is all.
        let number = if device { Ask::Tap } else { Ask::Match };
        weigh(signals.other_region, Why::OtherRegion, !lax, number);
        // A phone on mobile data beside a desk on a cable is ordinary; on one and the same phone it is not, and digits are
        // read out over a telephone as easily as off a page.
        let far = strict || on_phone || device || (typed && !lax);
        weigh(!signals.same_network, Why::OtherNetwork, far, number);
        weigh(on_phone && !signals.same_system, Why::OtherSystem, true, Ask::Match);
        weigh(on_phone, Why::PageSaysPhone, false, Ask::Tap);
        weigh(device, Why::Device, strict, Ask::Tap);
        weigh(!signals.known_browser, Why::NewBrowser, strict, number);
        weigh(!signals.known_site, Why::FirstTime, strict, number);
        match (matching, ask) {
            (Matching::Always, Ask::Tap) if !device => ask = Ask::Match,
            (Matching::Never, Ask::Match) => ask = Ask::Tap,
            _ => {}
        }
        Self { ask, level: if raised { Level::Raised } else { Level::Low }, why }
    }

    /// This scan's risk on a ticket that an earlier scan of the same person has marked already: the worse of both.
    pub fn worse(mut self, earlier: &Self) -> Self {
        self.ask = self.ask.max(earlier.ask);
        if earlier.level == Level::Raised {
            self.level = Level::Raised;
        }
        self.why.extend(&earlier.why);
        self
    }
}

fn by_entry(signals: Signals, policy: Policy) -> (Ask, bool) {
    // On the phone itself nobody can scan: a picture saved and opened is the honest way there, but only where network and
    // system say that it is the same phone. Who opens the ticket chooses its kind, so the kind alone lowers nothing.
    let own_phone = signals.kind == Kind::OnPhone && signals.same_network && signals.same_system;
    match (signals.entry, policy) {
        (Entry::Live | Entry::Digits, _) => (Ask::Tap, false),
        (Entry::LongPress | Entry::Album, _) if own_phone => (Ask::Tap, false),
        (Entry::LongPress | Entry::Album | Entry::Unknown, Policy::High) => (Ask::Refuse, true),
        (Entry::LongPress | Entry::Album | Entry::Unknown, _) => (Ask::Match, true),
        (Entry::Card, Policy::Low) => (Ask::Match, true),
        (Entry::Card, _) => (Ask::Refuse, true),
    }
}

fn by_name(entry: Entry) -> Option<Why> {
    match entry {
        Entry::Live | Entry::Digits => None,
        Entry::LongPress => Some(Why::LongPress),
        Entry::Album => Some(Why::Album),
        Entry::Unknown => Some(Why::UnknownEntry),
        Entry::Card => Some(Why::Card),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    const ENTRIES: [Entry; 6] =
        [Entry::Live, Entry::Digits, Entry::LongPress, Entry::Album, Entry::Unknown, Entry::Card];
    const POLICIES: [Policy; 3] = [Policy::Low, Policy::Normal, Policy::High];

    /// Anything that can be known when a phone scans.
    pub(crate) fn any_signals() -> impl Strategy<Value = Signals> {
        let kinds = vec![Kind::Page, Kind::OnPhone, Kind::Device];
        (select(ENTRIES.to_vec()), select(kinds), any::<[bool; 5]>()).prop_map(
            |(
                entry,
                kind,
                [same_network, other_region, same_system, known_browser, known_site],
            )| {
                Signals {
                    entry,
                    kind,
                    same_network,
                    other_region,
                    same_system,
                    known_browser,
                    known_site,
                }
            },
        )
    }

    fn any_matching() -> impl Strategy<Value = Matching> {
        select(vec![Matching::Auto, Matching::Always, Matching::Never])
    }

    fn is_raised(risk: &Risk) -> u8 {
        u8::from(risk.level == Level::Raised)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_word_of_a_phone_and_no_good_sign_lowers_what_is_asked(
            signals in any_signals(), policy in select(POLICIES.to_vec()), matching in any_matching(),
        ) {
            let judge = |signals| Risk::of(signals, policy, matching);
            let risk = judge(signals);
            // The worse of each sign, everything else as it is.
            for worse in [
                Signals { same_network: false, ..signals },
                Signals { other_region: true, ..signals },
                Signals { same_system: false, ..signals },
                Signals { known_browser: false, ..signals },
                Signals { known_site: false, ..signals },
            ] {
                let worse = judge(worse);
                prop_assert!(worse.ask >= risk.ask && is_raised(&worse) >= is_raised(&risk));
            }
            // Whatever the phone says of how it was opened, it is never asked for less than by the camera.
            let live = judge(Signals { entry: Entry::Live, ..signals });
            prop_assert!(risk.ask >= live.ask && is_raised(&risk) >= is_raised(&live));
            // And a worse entry never asks for less than a better one.
            for entry in ENTRIES.into_iter().filter(|entry| *entry >= signals.entry) {
                let worse = judge(Signals { entry, ..signals });
                prop_assert!(worse.ask >= risk.ask);
            }
        }

        #[test]
        fn a_page_that_says_it_is_on_the_phone_gains_nothing_by_it_alone(
            signals in any_signals(), policy in select(POLICIES.to_vec()),
        ) {
            let page = Risk::of(Signals { kind: Kind::Page, ..signals }, policy, Matching::Auto);
            let phone = Risk::of(Signals { kind: Kind::OnPhone, ..signals }, policy, Matching::Auto);
            prop_assert!(phone.ask >= page.ask || (signals.same_network && signals.same_system));
            prop_assert!(phone.ask == Ask::Refuse || page.ask != Ask::Refuse || policy == Policy::High);
            prop_assert!(phone.why.contains(&Why::PageSaysPhone));
        }

        #[test]
        fn a_stricter_site_never_asks_for_less(signals in any_signals(), matching in any_matching()) {
            let [low, normal, high] = POLICIES.map(|policy| Risk::of(signals, policy, matching));
            prop_assert!(low.ask <= normal.ask && normal.ask <= high.ask);
            prop_assert!(is_raised(&low) <= is_raised(&normal) && is_raised(&normal) <= is_raised(&high));
        }

        #[test]
        fn whatever_is_asked_beyond_a_tap_has_a_reason_that_is_told(
            signals in any_signals(), policy in select(POLICIES.to_vec()),
        ) {
            let risk = Risk::of(signals, policy, Matching::Auto);
            prop_assert!(risk.ask == Ask::Tap || risk.level == Level::Raised);
            prop_assert!(risk.level == Level::Low || !risk.why.is_empty());
            prop_assert_eq!(Risk::of(signals, policy, Matching::Never).ask == Ask::Refuse, risk.ask == Ask::Refuse);
        }

        #[test]
        fn of_two_scans_the_worse_stays_whichever_came_first(
            one in any_signals(), other in any_signals(), policy in select(POLICIES.to_vec()),
        ) {
            let [one, other] = [one, other].map(|signals| Risk::of(signals, policy, Matching::Auto));
            let both = one.clone().worse(&other);
            prop_assert_eq!(&both, &other.clone().worse(&one));
            prop_assert!(both.ask >= one.ask && both.ask >= other.ask);
            prop_assert!(is_raised(&both) >= is_raised(&one).max(is_raised(&other)));
            prop_assert!(both.why.is_superset(&one.why) && both.why.is_superset(&other.why));
            prop_assert_eq!(&both.clone().worse(&one), &both, "a third scan like the first changes nothing");
        }
    }

    const ORDINARY: Signals = Signals {
        entry: Entry::Live,
        kind: Kind::Page,
        same_network: true,
        other_region: false,
        same_system: false,
        known_browser: true,
        known_site: true,
    };

    fn ask(signals: Signals, policy: Policy) -> Ask {
        Risk::of(signals, policy, Matching::Auto).ask
    }

    #[test]
    fn an_ordinary_scan_asks_for_a_tap_and_says_nothing() {
        let risk = Risk::of(ORDINARY, Policy::High, Matching::Auto);
        assert_eq!((risk.ask, risk.level, risk.why.len()), (Ask::Tap, Level::Low, 0));
    }

    #[test]
    fn how_the_code_was_opened_decides_by_policy() {
        use Ask::{Match, Refuse, Tap};
        for (entry, low, normal, high) in [
            (Entry::Live, Tap, Tap, Tap),
            (Entry::Digits, Tap, Tap, Tap),
            (Entry::LongPress, Match, Match, Refuse),
            (Entry::Album, Match, Match, Refuse),
            (Entry::Unknown, Match, Match, Refuse),
            (Entry::Card, Match, Refuse, Refuse),
        ] {
            let signals = Signals { entry, ..ORDINARY };
            let asked =
                [Policy::Low, Policy::Normal, Policy::High].map(|policy| ask(signals, policy));
            assert_eq!(asked, [low, normal, high], "{entry:?}");
        }
    }

    #[test]
    fn every_number_of_wechat_has_its_class() {
        for (numbers, opened) in [
            (&[1047, 1011, 1025, 1124][..], Opened::By(Entry::Live)),
            (&[1048, 1012, 1031, 1125], Opened::By(Entry::LongPress)),
            (&[1049, 1013, 1032, 1126], Opened::By(Entry::Album)),
            (&[1007, 1008, 1044, 1096], Opened::By(Entry::Card)),
            (&[1129, 1030, 1101, 1203], Opened::Robot),
            (&[0, 1000, 1001, 1065, 1089, 1154, 9999], Opened::By(Entry::Unknown)),
        ] {
            for number in numbers {
                assert_eq!(Opened::from_number(*number), opened, "{number}");
            }
        }
    }

    #[test]
    fn a_page_that_says_it_is_on_the_phone_is_believed_only_where_network_and_system_agree() {
        let own =
            Signals { entry: Entry::LongPress, kind: Kind::OnPhone, same_system: true, ..ORDINARY };
        assert_eq!(ask(own, Policy::Normal), Ask::Tap);
        assert_eq!(ask(Signals { same_network: false, ..own }, Policy::Normal), Ask::Match);
        assert_eq!(ask(Signals { same_system: false, ..own }, Policy::Normal), Ask::Match);
        assert_eq!(ask(Signals { entry: Entry::Card, ..own }, Policy::Normal), Ask::Refuse);
    }

    #[test]
    fn digits_that_came_from_elsewhere_ask_for_the_number() {
        let typed = Signals { entry: Entry::Digits, ..ORDINARY };
        let far = Signals { same_network: false, ..typed };
        for (policy, here, elsewhere) in [
            (Policy::Low, Ask::Tap, Ask::Tap),
            (Policy::Normal, Ask::Tap, Ask::Match),
            (Policy::High, Ask::Tap, Ask::Match),
        ] {
            assert_eq!([ask(typed, policy), ask(far, policy)], [here, elsewhere], "{policy:?}");
        }
        assert_eq!(Risk::of(far, Policy::Normal, Matching::Auto).level, Level::Raised);
        let scanned = Signals { entry: Entry::Live, ..far };
        assert_eq!(ask(scanned, Policy::Normal), Ask::Tap, "a camera on mobile data is ordinary");
        let terminal = Signals { kind: Kind::Device, ..far };
        assert_eq!(ask(terminal, Policy::High), Ask::Tap, "a terminal can show no number");
    }

    #[test]
    fn first_time_and_new_browser_are_told_and_raise_nothing_but_at_high() {
        let stranger = Signals { known_browser: false, known_site: false, ..ORDINARY };
        for (policy, level, asked) in [
            (Policy::Low, Level::Low, Ask::Tap),
            (Policy::Normal, Level::Low, Ask::Tap),
            (Policy::High, Level::Raised, Ask::Match),
        ] {
            let risk = Risk::of(stranger, policy, Matching::Auto);
            assert_eq!((risk.level, risk.ask), (level, asked));
            assert!(risk.why.is_superset(&[Why::NewBrowser, Why::FirstTime].into()));
        }
    }

    #[test]
    fn each_sign_alone_asks_as_much_as_it_should_at_each_site() {
        use Ask::{Match, Tap};
        let on_phone = Signals { kind: Kind::OnPhone, same_system: true, ..ORDINARY };
        let device = Signals { kind: Kind::Device, entry: Entry::Digits, ..ORDINARY };
        for (signals, why, low, normal, high) in [
            (Signals { other_region: true, ..ORDINARY }, Why::OtherRegion, Tap, Match, Match),
            (Signals { same_network: false, ..ORDINARY }, Why::OtherNetwork, Tap, Tap, Match),
            (Signals { same_network: false, ..on_phone }, Why::OtherNetwork, Match, Match, Match),
            (Signals { same_system: false, ..on_phone }, Why::OtherSystem, Match, Match, Match),
            (Signals { known_browser: false, ..ORDINARY }, Why::NewBrowser, Tap, Tap, Match),
            (Signals { known_site: false, ..ORDINARY }, Why::FirstTime, Tap, Tap, Match),
            (Signals { other_region: true, ..device }, Why::OtherRegion, Tap, Tap, Tap),
            (device, Why::Device, Tap, Tap, Tap),
            (on_phone, Why::PageSaysPhone, Tap, Tap, Tap),
        ] {
            let judged = POLICIES.map(|policy| Risk::of(signals, policy, Matching::Auto));
            assert_eq!(judged.clone().map(|risk| risk.ask), [low, normal, high], "{why:?}");
            assert!(judged.iter().all(|risk| risk.why.contains(&why)), "{why:?}");
        }
        // Where no number can be shown the warning is all there is.
        let raised =
            |signals| POLICIES.map(|policy| is_raised(&Risk::of(signals, policy, Matching::Auto)));
        assert_eq!(raised(Signals { other_region: true, ..device }), [0, 1, 1]);
        assert_eq!(raised(Signals { same_network: false, ..device }), [1, 1, 1]);
        assert_eq!(raised(device), [0, 0, 1]);
    }

    #[test]
    fn the_setting_of_the_number_holds_over_the_rules_but_never_over_a_refusal() {
        let judge =
            |entry, matching| Risk::of(Signals { entry, ..ORDINARY }, Policy::Normal, matching);
        assert_eq!(judge(Entry::Live, Matching::Always).ask, Ask::Match);
        assert_eq!(judge(Entry::Album, Matching::Never).ask, Ask::Tap);
        assert_eq!(judge(Entry::Album, Matching::Never).level, Level::Raised);
        assert_eq!(judge(Entry::Card, Matching::Never).ask, Ask::Refuse);
    }

    #[test]
    fn no_signal_ever_lowers_what_another_asks() {
        let all = [false, true];
        for entry in [
            Entry::Live,
            Entry::Digits,
            Entry::LongPress,
            Entry::Album,
            Entry::Unknown,
            Entry::Card,
        ] {
            for policy in [Policy::Low, Policy::Normal, Policy::High] {
                for other_region in all {
                    for known_browser in all {
                        let calm = Signals { entry, known_browser, ..ORDINARY };
                        let odd = Signals { other_region, ..calm };
                        assert!(ask(odd, policy) >= ask(calm, policy));
                    }
                }
            }
        }
    }

    #[test]
    fn a_milder_second_scan_launders_nothing() {
        let first = Risk::of(
            Signals { entry: Entry::LongPress, ..ORDINARY },
            Policy::Normal,
            Matching::Auto,
        );
        let second = Risk::of(ORDINARY, Policy::Normal, Matching::Auto).worse(&first);
        assert_eq!(second, first);
    }
}
