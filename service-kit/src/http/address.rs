//! Identifies a request's client: the peer of the connection, or the client that a trusted proxy
//! names in a header.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::HeaderMap;

use super::forwarded::ForwardedHeader;

/// An IPv6 subscriber gets a network of this prefix length, so all its addresses count as one.
const IPV6_SUBSCRIBER_BITS: u8 = 64;

/// The client address that limits count by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ClientKey(IpAddr);

impl ClientKey {
    pub(super) fn of(address: IpAddr) -> Self {
        Self(subscriber(address).0)
    }
}

/// The network that a client's address counts as, with its prefix length in bits: one IPv4 address,
/// or the 64 bits of IPv6 that one subscriber has.
pub fn subscriber(address: IpAddr) -> (IpAddr, u8) {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let network = v6.to_bits() & (u128::MAX << (128 - u32::from(IPV6_SUBSCRIBER_BITS)));
            (IpAddr::V6(Ipv6Addr::from_bits(network)), IPV6_SUBSCRIBER_BITS)
        }
        IpAddr::V6(v6) => (IpAddr::V6(v6), 128),
        v4 @ IpAddr::V4(_) => (v4, 32),
    }
}

/// Proxies that are trusted to name the client. If there are none, their header is ignored.
///
/// ```
/// # use service_kit::http::TrustedProxies;
/// let proxies: TrustedProxies = "10.0.0.0/8, 192.0.2.7".parse().unwrap();
/// assert!(proxies.contains("10.1.2.3".parse().unwrap()));
/// assert!("10.0.0.0/40".parse::<TrustedProxies>().is_err());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

/// The text is not a list of addresses and networks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an IP address nor a network such as 10.0.0.0/8")]
pub struct ProxyError(String);

/// Why proxies name no client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unnamed {
    /// The header is missing, or has no addresses but those of trusted proxies.
    Absent,
    /// The entry of the client is not an address.
    Unreadable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl TrustedProxies {
    /// Whether nobody is trusted.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the networks of the list together have every address of a kind.
    pub(crate) fn has_everybody(&self) -> bool {
        [true, false].into_iter().any(|is_v4| {
            let of_kind = self.0.iter().filter(|network| network.address.is_ipv4() == is_v4);
            // Overlapping ones count twice, but only lists with half of all addresses get so far.
            let share: f64 = of_kind.map(|network| 0.5_f64.powi(network.bits.cast_signed())).sum();
            share >= 1.0
        })
    }

    /// Whether this address belongs to a trusted proxy.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address.to_canonical()))
    }

    /// The client that the proxies name: the last address that is not a trusted proxy's. The client
    /// itself may have made up the addresses before it.
    pub(super) fn client(
        &self,
        header: ForwardedHeader,
        headers: &HeaderMap,
    ) -> Result<IpAddr, Unnamed> {
        for address in header.addresses(headers) {
            let address = address.ok_or(Unnamed::Unreadable)?;
            if !self.contains(address) {
                return Ok(address);
            }
        }
        Err(Unnamed::Absent)
    }
}

impl Unnamed {
    /// The word for it in metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Unreadable => "unreadable",
        }
    }
}

impl std::str::FromStr for TrustedProxies {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let networks =
            words.map(|word| Network::parse(word).ok_or_else(|| ProxyError(word.to_owned())));
        networks.collect::<Result<_, _>>().map(Self)
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address = address.parse::<IpAddr>().ok()?.to_canonical();
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(width), |bits| bits.parse().ok())?;
        let network = (bits <= width).then_some(Self { address, bits })?;
        // An address with more bits than its network has is a mistake.
        let is_first = match address {
            IpAddr::V4(address) => address.to_bits().unbounded_shl(bits) == 0,
            IpAddr::V6(address) => address.to_bits().unbounded_shl(bits) == 0,
        };
        is_first.then_some(network)
    }

    fn contains(self, other: IpAddr) -> bool {
        let same = |ours: u128, theirs: u128, width: u32| {
            let differing = ours ^ theirs;
            self.bits == 0 || differing >> (width - self.bits) == 0
        };
        match (self.address, other) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                same(ours.to_bits().into(), theirs.to_bits().into(), 32)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => same(ours.to_bits(), theirs.to_bits(), 128),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn the_client_is_the_last_address_that_no_trusted_proxy_has() {
        let proxies: TrustedProxies = "10.0.0.0/8, ::1".parse().unwrap();
        for (forwarded, client) in [
            ("192.0.2.1", Ok("192.0.2.1")),
            ("203.0.113.9, 192.0.2.1", Ok("192.0.2.1")),
            ("192.0.2.1, 10.2.3.4", Ok("192.0.2.1")),
            ("192.0.2.1:5000, ::1", Ok("192.0.2.1")),
            ("[2001:db8::1]:80", Ok("2001:db8::1")),
            ("::ffff:192.0.2.1", Ok("192.0.2.1")),
            // What the client wrote is not read.
            ("unknown, \"x, 192.0.2.1", Ok("192.0.2.1")),
            ("192.0.2.1, unknown", Err(Unnamed::Unreadable)),
            ("192.0.2.1, 999.0.0.1, 10.2.3.4", Err(Unnamed::Unreadable)),
            ("192.0.2.1,", Err(Unnamed::Unreadable)),
            ("", Err(Unnamed::Unreadable)),
            ("10.0.0.1", Err(Unnamed::Absent)),
        ] {
            let name = HeaderName::from_static("x-forwarded-for");
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(forwarded))]);
            assert_eq!(
                proxies.client(ForwardedHeader::XForwardedFor, &headers),
                client.map(|text| text.parse().unwrap()),
                "{forwarded}"
            );
        }
        let none = proxies.client(ForwardedHeader::XForwardedFor, &HeaderMap::new());
        assert_eq!(none, Err(Unnamed::Absent));
    }

    #[test]
    fn a_network_holds_the_addresses_under_its_prefix_alone() {
        let proxies: TrustedProxies = "192.0.2.0/25,2001:db8::/33".parse().unwrap();
        for (address, inside) in [
            ("192.0.2.127", true),
            ("192.0.2.128", false),
            ("2001:db8:7fff::1", true),
            ("2001:db8:8000::1", false),
        ] {
            assert_eq!(proxies.contains(address.parse().unwrap()), inside, "{address}");
        }
        for wrong in ["host", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.1/8", "::1/64"] {
            assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_list_of_every_address_is_seen_in_parts_too() {
        for (list, is_everybody) in [
            ("0.0.0.0/0", true),
            ("10.0.0.0/8, ::/0", true),
            ("0.0.0.0/1, 128.0.0.0/1", true),
            ("::/1, 8000::/2, c000::/2", true),
            ("0.0.0.0/1, 128.0.0.0/2", false),
            ("0.0.0.0/1, ::/1", false),
            ("10.0.0.0/8, fd00::/8, ::1", false),
            ("", false),
        ] {
            let proxies: TrustedProxies = list.parse().unwrap();
            assert_eq!(proxies.has_everybody(), is_everybody, "{list}");
        }
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_count_as_one() {
        let key = |text: &str| ClientKey::of(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
