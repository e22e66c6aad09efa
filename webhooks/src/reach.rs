//! Which addresses a receiver may have. Integrators choose the addresses of their receivers, so
//! without this check they could have the process call what is inside our network.
//!
//! A receiver is reached over https at addresses of the public internet. A deployment can allow
//! networks besides, for development or for receivers of its own; those may also use http. What
//! counts is the address that a name has when the connection is made ([`Resolver`]), so a name
//! that changes its address in between gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

mod receiver_url;
mod resolver;

pub use receiver_url::{InvalidReceiverUrl, MAX_URL_LEN, ReceiverUrl};
pub use resolver::Resolver;

/// The addresses that receivers may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// The networks that are allowed although they are not public.
    allowed: Vec<IpNet>,
}

/// The error for an address that a receiver may not have. It does not say which address it was:
/// that would tell an integrator how names resolve inside our network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its address is not one that webhooks may reach")]
pub struct OutOfReach;

impl Reach {
    /// The public internet, and these networks.
    pub fn with_allowed(networks: Vec<IpNet>) -> Self {
        Self { allowed: networks }
    }

    /// Checks one address. `is_plain` says that the connection has no TLS.
    ///
    /// # Errors
    /// [`OutOfReach`].
    pub fn check(&self, address: IpAddr, is_plain: bool) -> Result<(), OutOfReach> {
        // The same IPv4 address, in whichever form it is written.
        let inner = embedded(address);
        let is_allowed = |address: IpAddr| self.allowed.iter().any(|net| net.contains(&address));
        if is_allowed(address) || inner.is_some_and(|inner| is_allowed(inner.into())) {
            return Ok(());
        }
        let is_public = is_public(address) && inner.is_none_or(|inner| is_public(inner.into()));
        if is_public && !is_plain { Ok(()) } else { Err(OutOfReach) }
    }
}

/// The IPv4 networks that are not public, with the lengths of their prefixes.
const SPECIAL_V4: [([u8; 4], u32); 18] = [
    ([0, 0, 0, 0], 8),       // this network
    ([10, 0, 0, 0], 8),      // private
    ([100, 64, 0, 0], 10),   // shared with a provider
    ([127, 0, 0, 0], 8),     // loopback
    ([169, 254, 0, 0], 16),  // link-local, where clouds have their metadata
    ([172, 16, 0, 0], 12),   // private
    ([192, 0, 0, 0], 24),    // protocol assignments
    ([192, 0, 2, 0], 24),    // documentation
    ([192, 31, 196, 0], 24), // AS112
    ([192, 52, 193, 0], 24), // AMT
    ([192, 88, 99, 0], 24),  // 6to4 relays
    ([192, 168, 0, 0], 16),  // private
    ([192, 175, 48, 0], 24), // AS112
    ([198, 18, 0, 0], 15),   // benchmarks
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 4),     // multicast
    ([240, 0, 0, 0], 4),     // reserved, and broadcast
];

/// Whether an address belongs to the public internet, by the registries of special-purpose
/// addresses (RFC 6890). An address that is not surely public does not.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_in = |(network, length): &([u8; 4], u32)| {
        let beyond = 32 - length;
        address.to_bits() >> beyond == Ipv4Addr::from(*network).to_bits() >> beyond
    };
    !SPECIAL_V4.iter().any(is_in)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Only 2000::/3 is assigned for unicast in the internet. This leaves out loopback, unspecified,
    // unique local, link-local, site-local, multicast, and the forms with an IPv4 address.
    let is_global = segments[0] & 0xe000 == 0x2000;
    let is_special = match (segments[0], segments[1]) {
        // Protocol assignments: Teredo, benchmarks, ORCHID and others.
        (0x2001, second) => second < 0x0200 || second == 0x0db8,
        // 6to4 is judged by its IPv4 address; documentation.
        (0x3fff, second) => second < 0x1000,
        _ => false,
    };
    (is_global && !is_special) || embedded(IpAddr::V6(address)).is_some()
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, translated (NAT64) or
/// 6to4. A local prefix of NAT64 is not public at all.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let segments = address.segments();
    let of = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
