//! What of an address is one caller's.

use std::{net::IpAddr, num::NonZeroU32};

/// What counts as one address, in as little room as it needs: an IPv4 address, or a /64 of IPv6, since a phone or a rented
/// machine has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Network(NonZeroU32, u32);

impl Network {
    /// The network of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // Nobody has the networks that begin with so small a number (RFC 4291 section 2.4), so that none is taken for
            // these.
            IpAddr::V4(address) => Self(NonZeroU32::MIN, address.to_bits()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments().map(u32::from);
                Self(NonZeroU32::new(a << 16 | b).unwrap_or(NonZeroU32::MIN), c << 16 | d)
            }
        }
    }

    /// The /56 of an IPv6 address, which many a household has. None: of IPv4 it has one address, which counts already.
    pub(crate) fn household(address: IpAddr) -> Option<Self> {
        let Self(first, second) = Self::of(address);
        address.to_canonical().is_ipv6().then_some(Self(first, second & !0xff))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_64_of_ipv6_is_one_address_and_a_mapped_one_is_its_ipv4() {
        let of = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::3"), of("2001:db8:1:3::3"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
        assert_ne!(of("192.0.2.1"), of("2001:db8::1"));
    }
}
