//! How much of everything: per address, per site, per person, in all.
//!
//! A rate is a bucket that holds a minute's worth and fills evenly (the generic cell rate algorithm, of which one moment a
//! caller is kept: when the bucket will be full again). It goes by `World`'s clock and forgives one that was set back,
//! which the libraries for it do not. A place is held for as long as something is open. Neither remembers more callers than
//! fit in a few megabytes.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    config, error::Error, metrics::Hits, person::Identity, secret::Hashed, world::Timestamp,
};

const MINUTE: Duration = Duration::from_secs(60);

/// How many callers a rate remembers.
const MOST: usize = 1 << 16;

/// What is limited by address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Anything at all.
    Request,
    /// Opening or renewing a ticket.
    Ticket,
    /// Beginning to watch one.
    Watch,
    /// Asking WeChat who holds a phone.
    Scan,
    /// Asking for digits, or typing them.
    Digits,
    /// Calling the token endpoint and its neighbours.
    Token,
    /// Anything at the console.
    Console,
    /// Having a request kept for later that anybody can make.
    Keep,
}

/// Every limit of a running server.
pub struct Limits {
    off: bool,
    hits: Hits,
    requests: ByAddress,
    tickets: ByAddress,
    site_tickets: Rate<String>,
    tickets_held: usize,
    watches: ByAddress,
    scans: ByAddress,
    person_scans: Rate<Hashed>,
    accounts: Rate<Hashed>,
    skips: Rate<String>,
    kept: ByAddress,
    digits: ByAddress,
    tokens: ByAddress,
    console: ByAddress,
    site_tokens: Rate<String>,
    wrong_secrets: ByAddress,
    /// Open connections.
    pub sockets: Arc<Places>,
    /// Pages that wait.
    pub waiting: Arc<Places>,
}

impl Limits {
    /// Limits by these settings.
    pub fn new(settings: &config::Limits) -> Self {
        let hits = Hits::default();
        let places = || {
            let places = Places::new(settings.sockets, settings.sockets_per_address);
            Arc::new(places.counted(hits.clone()))
        };
        Self {
            off: settings.off,
            requests: ByAddress::of(settings.requests_per_address),
            tickets: ByAddress::and_household(settings.tickets_per_address),
            site_tickets: Rate::of(settings.tickets_per_site),
            tickets_held: settings.tickets_held,
            watches: ByAddress::of(settings.watches_per_address),
            scans: ByAddress::of(settings.scans_per_address),
            person_scans: Rate::of(settings.scans_per_person),
            accounts: Rate::of(settings.scans_per_person),
            skips: Rate::of(settings.skips_per_person),
            kept: ByAddress::and_household(settings.tickets_per_address),
            digits: ByAddress::and_household(settings.digits_per_address),
            tokens: ByAddress::of(settings.tokens_per_address),
            console: ByAddress::of(settings.console_per_address),
            site_tokens: Rate::of(settings.tokens_per_site),
            wrong_secrets: ByAddress::and_household(settings.wrong_secrets_per_address),
            sockets: places(),
            waiting: places(),
            hits,
        }
    }

    /// Which were reached, and how often.
    pub fn hits(&self) -> &Hits {
        &self.hits
    }

    /// Counts one of `what` against an address.
    ///
    /// # Errors
    /// [`Code::TooManyRequests`](crate::error::Code::TooManyRequests), with when to try again.
    pub fn of_address(&self, what: What, address: IpAddr, now: Timestamp) -> Result<(), Error> {
        let (name, rate) = match what {
            What::Request => ("requests_per_address", &self.requests),
            What::Ticket => ("tickets_per_address", &self.tickets),
            What::Watch => ("watches_per_address", &self.watches),
            What::Scan => ("scans_per_address", &self.scans),
            What::Digits => ("digits_per_address", &self.digits),
            What::Token => ("tokens_per_address", &self.tokens),
            What::Console => ("console_per_address", &self.console),
            What::Keep => ("tickets_per_address", &self.kept),
        };
        self.held(name, rate.take(address, now))
    }

    /// Counts a ticket against the site it is for, while there is room for `held` and one more.
    ///
    /// # Errors
    /// As [`Self::of_address`].
    pub fn of_ticket(&self, site: &str, held: usize, now: Timestamp) -> Result<(), Error> {
        // Memory is no rate: this holds where rates are off, too.
        if held >= self.tickets_held {
            self.hits.hit("tickets_held");
            return Err(Error::too_many(Duration::from_secs(5)));
        }
        self.held("tickets_per_site", self.site_tickets.take(site.to_owned(), now))
    }

    /// Counts a scan against the person who holds the phone.
    ///
    /// # Errors
    /// As [`Self::of_address`].
    pub fn of_person(&self, identity: &Identity, now: Timestamp) -> Result<(), Error> {
        self.held("scans_per_person", self.person_scans.take(name(identity), now))
    }

    /// Counts what a person does in the mini program's own pages that costs: opening them, changing what they show, and
    /// taking along what is kept.
    ///
    /// # Errors
    /// As [`Self::of_address`].
    pub fn of_account(&self, identity: &Identity, now: Timestamp) -> Result<(), Error> {
        self.held("scans_per_person", self.accounts.take(name(identity), now))
    }

    /// Counts a sign-in that skips the scan against its person: each is written down, as one with a scan is.
    ///
    /// # Errors
    /// As [`Self::of_address`].
    pub fn of_skips(&self, person: &str, now: Timestamp) -> Result<(), Error> {
        self.held("skips_per_person", self.skips.take(person.to_owned(), now))
    }

    /// Counts a call against a site that has proved its secret. A public one proves nothing, so that anybody could use up
    /// its share: those are held by address alone.
    ///
    /// # Errors
    /// As [`Self::of_address`].
    pub fn of_site(&self, site: &str, now: Timestamp) -> Result<(), Error> {
        self.held("tokens_per_site", self.site_tokens.take(site.to_owned(), now))
    }

    /// Whether an address may present one more secret.
    ///
    /// # Errors
    /// As [`Self::of_address`].
    pub fn may_guess(&self, address: IpAddr, now: Timestamp) -> Result<(), Error> {
        self.held("wrong_secrets_per_address", self.wrong_secrets.look(address, now))
    }

    /// Counts a refused secret against the address that presented it.
    pub fn guessed_wrong(&self, address: IpAddr, now: Timestamp) {
        // What is over is told to the next guess.
        let _ = self.wrong_secrets.take(address, now);
    }

    fn held(&self, limit: &'static str, taken: Result<(), Duration>) -> Result<(), Error> {
        match taken {
            Err(wait) if !self.off => {
                self.hits.hit(limit);
                Err(Error::too_many(wait))
            }
            _ => Ok(()),
        }
    }

    /// Forgets whose buckets are full again.
    pub fn forget(&self, now: Timestamp) {
        let of_addresses = [
            &self.requests,
            &self.tickets,
            &self.watches,
            &self.scans,
            &self.digits,
            &self.tokens,
            &self.console,
            &self.wrong_secrets,
            &self.kept,
        ];
        of_addresses.into_iter().for_each(|rate| rate.forget(now));
        let of_names = [&self.site_tickets, &self.site_tokens, &self.skips];
        of_names.into_iter().for_each(|rate| rate.forget(now));
        [&self.person_scans, &self.accounts].into_iter().for_each(|rate| rate.forget(now));
    }
}

/// Under what a person is counted.
fn name(identity: &Identity) -> Hashed {
    Hashed::of(format!("{}:{}", identity.appid, identity.openid))
}

/// What counts as one address, in as little room as it needs: an IPv4 address, or a /64 of IPv6, since a phone or a rented
/// machine has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(NonZeroU32, u32);

fn network(address: IpAddr) -> Network {
    match address.to_canonical() {
        // Nobody has the networks that begin with so small a number (RFC 4291 section 2.4), so that none is taken for these.
        IpAddr::V4(address) => Network(NonZeroU32::MIN, address.to_bits()),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments().map(u32::from);
            Network(NonZeroU32::new(a << 16 | b).unwrap_or(NonZeroU32::MIN), c << 16 | d)
        }
    }
}

/// The /56 of an IPv6 address, which many a household has. None: of IPv4 it has one address, which counts already.
fn household(address: IpAddr) -> Option<Network> {
    let Network(first, second) = network(address);
    address.to_canonical().is_ipv6().then_some(Network(first, second & !0xff))
}

/// So many a minute for each address. Where one by itself can be in the way of everybody, its household counts too.
struct ByAddress {
    each: Rate<Network>,
    /// Of a household four times as many: providers give single /64 to strangers, too, who then share a /56.
    household: Option<Rate<Network>>,
}

impl ByAddress {
    fn of(a_minute: NonZeroU32) -> Self {
        Self { each: Rate::of(a_minute), household: None }
    }

    fn and_household(a_minute: NonZeroU32) -> Self {
        let four = NonZeroU32::MIN.saturating_add(3);
        let household = Some(Rate::of(a_minute.saturating_mul(four)));
        Self { household, ..Self::of(a_minute) }
    }

    fn household(&self, address: IpAddr) -> Option<(&Rate<Network>, Network)> {
        self.household.as_ref().zip(household(address))
    }

    fn take(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        // What an address is refused is not taken from its household.
        self.each.take(network(address), now)?;
        self.household(address).map_or(Ok(()), |(rate, household)| rate.take(household, now))
    }

    fn look(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        self.each.look(&network(address), now)?;
        self.household(address).map_or(Ok(()), |(rate, household)| rate.look(&household, now))
    }

    fn forget(&self, now: Timestamp) {
        self.each.forget(now);
        if let Some(household) = &self.household {
            household.forget(now);
        }
    }
}

/// So many a minute for each caller.
struct Rate<K> {
    a_minute: NonZeroU32,
    /// When each caller's bucket will be full again, in microseconds since the epoch.
    full: Mutex<HashMap<K, i64>>,
}

impl<K: Hash + Eq> Rate<K> {
    fn of(a_minute: NonZeroU32) -> Self {
        Self { a_minute, full: Mutex::default() }
    }

    /// Takes one out of the bucket, or says when there will be one.
    fn take(&self, who: K, now: Timestamp) -> Result<(), Duration> {
        let mut full = self.full();
        if full.len() == full.capacity() || full.len() >= MOST {
            make_room(&mut full, now);
        }
        let next = self.next(full.get(&who).copied(), now)?;
        full.insert(who, next);
        Ok(())
    }

    /// Whether there is one in the bucket.
    fn look(&self, who: &K, now: Timestamp) -> Result<(), Duration> {
        self.next(self.full().get(who).copied(), now).map(drop)
    }

    /// When the bucket would be full again after one more.
    fn next(&self, full: Option<i64>, now: Timestamp) -> Result<i64, Duration> {
        let (now, whole) = (micros(now), i64::try_from(MINUTE.as_micros()).unwrap_or(i64::MAX));
        let each = whole / i64::from(self.a_minute.get());
        // A bucket that fills later than an empty one would is of a clock that has been set back since.
        let full = full.filter(|full| *full <= now.saturating_add(whole)).unwrap_or(now).max(now);
        let over = full.saturating_add(each) - now.saturating_add(whole);
        match u64::try_from(over) {
            Ok(over) if over > 0 => Err(Duration::from_micros(over)),
            _ => Ok(full + each),
        }
    }

    fn forget(&self, now: Timestamp) {
        let mut full = self.full();
        full.retain(|_, full| *full > micros(now));
        // What a rush took is given back.
        if full.capacity() / 4 > full.len() {
            let room = full.len() * 2;
            full.shrink_to(room);
        }
    }

    fn full(&self) -> MutexGuard<'_, HashMap<K, i64>> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Before a table grows, those whose buckets are full again are forgotten: most callers come once, and a crowd that comes
/// and goes needs room for those of a few seconds alone. It grows all the same where half of it stays, so that it is not
/// looked through at every call.
///
/// Who can fill the largest table commands so many addresses that what holds each of them holds nothing: then all are
/// forgotten, and what holds is the limits in all.
fn make_room<K: Hash + Eq>(full: &mut HashMap<K, i64>, now: Timestamp) {
    full.retain(|_, full| *full > micros(now));
    if full.len() > MOST / 2 {
        full.clear();
    } else if full.len() > full.capacity() / 2 {
        full.reserve(full.capacity());
    }
}

fn micros(at: Timestamp) -> i64 {
    at.millis().saturating_mul(1000)
}

/// Places for what stays open, so many in all and so many for one address.
pub struct Places {
    most: usize,
    most_of_one: u32,
    taken: Mutex<Taken>,
    hits: Hits,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<Network, u32>,
}

/// A place that somebody has; dropping it gives it back.
pub struct Place {
    places: Arc<Places>,
    network: Option<Network>,
}

impl Places {
    /// So many in all, and so many for one address.
    pub fn new(most: usize, most_of_one: usize) -> Self {
        let most_of_one = u32::try_from(most_of_one).unwrap_or(u32::MAX);
        Self { most, most_of_one, taken: Mutex::default(), hits: Hits::default() }
    }

    /// The same, counting here whom it turns away.
    #[must_use]
    pub fn counted(self, hits: Hits) -> Self {
        Self { hits, ..self }
    }

    /// A place for this address; for none, one that counts only in all: what a trusted proxy opens is not one caller's.
    pub fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        let network = address.map(network);
        let mut taken = self.taken();
        if taken.all >= self.most {
            self.hits.hit("sockets");
            return None;
        }
        if let Some(network) = network {
            let of_one = taken.by.entry(network).or_default();
            if *of_one >= self.most_of_one {
                self.hits.hit("sockets_per_address");
                return None;
            }
            *of_one += 1;
        }
        taken.all += 1;
        Some(Place { places: self.clone(), network })
    }

    /// How many there are.
    pub fn in_all(&self) -> usize {
        self.most
    }

    /// How many are taken.
    pub fn taken_in_all(&self) -> usize {
        self.taken().all
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(network) = self.network
            && let Some(of_one) = taken.by.get_mut(&network)
        {
            *of_one = of_one.saturating_sub(1);
            if *of_one == 0 {
                taken.by.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    fn six() -> Rate<u32> {
        Rate::of(NonZeroU32::new(6).unwrap())
    }

    fn taken(rate: &Rate<u32>, who: u32, now: Timestamp) -> usize {
        (0..100).take_while(|_| rate.take(who, now).is_ok()).count()
    }

    #[test]
    fn a_minutes_worth_at_once_and_then_evenly() {
        let rate = six();
        assert_eq!(taken(&rate, 1, START), 6);
        assert_eq!(rate.take(1, START), Err(Duration::from_secs(10)));
        assert_eq!(taken(&rate, 1, START + Duration::from_secs(10)), 1);
        assert_eq!(taken(&rate, 1, START + Duration::from_secs(3600)), 6);
        assert_eq!(taken(&rate, 2, START), 6, "another one's is not touched");
    }

    #[test]
    fn looking_takes_nothing() {
        let rate = six();
        assert!((0..100).all(|_| rate.look(&1, START).is_ok()));
        assert_eq!(taken(&rate, 1, START), 6);
        assert!(rate.look(&1, START).is_err());
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out() {
        let rate = six();
        assert_eq!(taken(&rate, 1, START + Duration::from_secs(3600)), 6);
        assert_eq!(taken(&rate, 1, START), 6);
    }

    #[test]
    fn a_flood_of_callers_fills_no_more_than_its_table() {
        let rate = six();
        for who in 0..300_000 {
            assert!(rate.take(who, START).is_ok());
        }
        assert!(rate.full().len() <= MOST);
        rate.forget(START + MINUTE);
        assert_eq!(rate.full().len(), 0, "who has not come back is forgotten");
    }

    #[test]
    fn a_crowd_that_comes_and_goes_takes_room_for_those_who_are_held_alone() {
        let rate = six();
        // One comes every millisecond, and is held for ten seconds.
        for who in 0..100_000 {
            assert!(rate.take(who, START + Duration::from_millis(who.into())).is_ok());
        }
        assert!(rate.full().capacity() < 40_000, "{}", rate.full().capacity());
    }

    #[test]
    fn a_64_of_ipv6_is_one_address_and_a_mapped_one_is_its_ipv4() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::3"), of("2001:db8:1:3::3"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
    }

    #[test]
    fn a_household_has_four_addresses_worth_and_no_more() {
        let rate = ByAddress::and_household(NonZeroU32::new(6).unwrap());
        let taken = |address: &str| {
            let address = address.parse().unwrap();
            (0..100).take_while(|_| rate.take(address, START).is_ok()).count()
        };
        assert_eq!(taken("2001:db8:1:200::1"), 6);
        assert_eq!(taken("2001:db8:1:200::2"), 0, "and what it is refused is not the household's");
        assert_eq!(["2001:db8:1:201::", "2001:db8:1:2ff::", "2001:db8:1:27a::"].map(taken), [6; 3]);
        assert_eq!(taken("2001:db8:1:202::"), 0, "the household has had its share");
        assert!(rate.look("2001:db8:1:203::".parse().unwrap(), START).is_err());
        assert_eq!(taken("2001:db8:1:300::"), 6, "the next one has its own");
        assert_eq!(["192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3"].map(taken), [6; 3]);
        let households = rate.household.as_ref().unwrap();
        assert_eq!(households.full().len(), 2, "of IPv4 none is remembered");
        rate.forget(START + MINUTE);
        assert_eq!((rate.each.full().len(), households.full().len()), (0, 0));
    }

    #[test]
    fn places_are_given_back_and_nobody_has_them_all() {
        let places = Arc::new(Places::new(3, 2));
        let [one, other] = [1, 2].map(|last| Some(IpAddr::from([192, 0, 2, last])));
        let first = places.take(one).unwrap();
        let _second = places.take(one).unwrap();
        assert!(places.take(one).is_none(), "two are all that one address gets");
        let _third = places.take(other).unwrap();
        assert!(places.take(None).is_none(), "three are all there are");
        drop(first);
        assert!(places.take(one).is_some());
        assert_eq!(places.taken_in_all(), 2);
        assert_eq!(places.taken().by.len(), 2, "who has none is not remembered");
    }
}
