//! The addresses that only this machine can reach.

use std::net::{IpAddr, SocketAddr};

/// A loopback address to listen on. Others are refused: operators' ports have no TLS, and show
/// health and metrics to everybody.
///
/// ```
/// # use service_kit::config::LoopbackAddr;
/// assert!("127.0.0.1:8080".parse::<LoopbackAddr>().is_ok());
/// assert!("0.0.0.0:8080".parse::<LoopbackAddr>().unwrap_err().to_string().contains("loopback"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopbackAddr(SocketAddr);

/// The error for a text that is not `ip:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an address and a port such as 127.0.0.1:8080")]
pub struct Malformed;

/// Why an address is not one that only this machine can reach.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// The text is not `ip:port`.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Other machines could reach the address.
    #[error(
        "{0} is not a loopback address: this port has no TLS, so it listens on loopback only \
            (127.0.0.1 or [::1])"
    )]
    NotLoopback(SocketAddr),
}

impl LoopbackAddr {
    /// Checks that only this machine can reach the address.
    ///
    /// # Errors
    /// [`ListenError::NotLoopback`].
    pub fn new(address: SocketAddr) -> Result<Self, ListenError> {
        if address.ip().is_loopback() {
            Ok(Self(address))
        } else {
            Err(ListenError::NotLoopback(address))
        }
    }

    /// Returns the socket address.
    pub const fn get(self) -> SocketAddr {
        self.0
    }
}

/// Whether the host of a URL is this machine: `localhost`, or a loopback address.
pub fn is_loopback_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Reads `ip:port`, or `localhost:port`.
pub(crate) fn parse(text: &str) -> Result<SocketAddr, Malformed> {
    let text = text
        .strip_prefix("localhost:")
        .map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().map_err(|_| Malformed)
}

impl std::str::FromStr for LoopbackAddr {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        Self::new(parse(text)?)
    }
}

impl std::fmt::Display for LoopbackAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_address_that_others_can_reach_is_refused_with_the_reason() {
        for address in ["0.0.0.0:80", "192.168.1.4:80", "[::]:80"] {
            let refused = address.parse::<LoopbackAddr>().unwrap_err().to_string();
            assert!(refused.contains(address) && refused.contains("no TLS"), "{refused}");
        }
        assert_eq!("localhost:80".parse::<LoopbackAddr>().unwrap().to_string(), "127.0.0.1:80");
        assert!("[::1]:80".parse::<LoopbackAddr>().is_ok());
        assert_eq!("nonsense".parse::<LoopbackAddr>(), Err(Malformed.into()));
    }

    #[test]
    fn a_host_is_this_machine_only_by_its_name_or_a_loopback_address() {
        for here in ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "::1"] {
            assert!(is_loopback_host(here), "{here}");
        }
        for elsewhere in ["", "a.b", "localhost.a.b", "127.0.0.1.a.b", "10.0.0.1", "[::]"] {
            assert!(!is_loopback_host(elsewhere), "{elsewhere}");
        }
    }
}
