//! How much of everything: per address, per site, per person, in all.
//!
//! A rate is so many a minute, a place is held for as long as something is open. Neither remembers more callers than fit in
//! a few megabytes.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use crate::{
    config, error::Error, metrics::Hits, network::Network, person::Identity, secret::Hashed,
    world::Timestamp,
};

mod places;
mod rate;

pub use places::{Place, Places};
use rate::Rate;

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
        self.household.as_ref().zip(Network::household(address))
    }

    fn take(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        // What an address is refused is not taken from its household.
        self.each.take(Network::of(address), now)?;
        self.household(address).map_or(Ok(()), |(rate, household)| rate.take(household, now))
    }

    fn look(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        self.each.look(&Network::of(address), now)?;
        self.household(address).map_or(Ok(()), |(rate, household)| rate.look(&household, now))
    }

    fn forget(&self, now: Timestamp) {
        self.each.forget(now);
        if let Some(household) = &self.household {
            household.forget(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);

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
        rate.forget(START + Duration::from_secs(60));
        assert_eq!((rate.each.full().len(), households.full().len()), (0, 0));
    }
}
