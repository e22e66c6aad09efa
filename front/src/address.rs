//! The address of an API, as a setting gives it.

use std::net::IpAddr;

use axum::http::Uri;
use axum::http::uri::{Authority, InvalidUriParts, Parts, PathAndQuery, Scheme};

/// The address of an API: scheme, host and port.
///
/// ```
/// # use front::Address;
/// assert!("http://127.0.0.1:8080".parse::<Address>().is_ok());
/// assert!("https://commands.example.com/".parse::<Address>().is_ok());
/// assert!("127.0.0.1:8080".parse::<Address>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    scheme: Scheme,
    authority: Authority,
}

/// The error for a text that is not such an address. It does not repeat the text, which may hold a
/// password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an address such as http://127.0.0.1:8080, without a password, a path and a query"
)]
pub struct InvalidAddress;

impl Address {
    /// Whether connections to it are encrypted.
    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Whether what is sent to it cannot be read on a network.
    pub(crate) fn is_private(&self) -> bool {
        let host = self.authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_local = host.eq_ignore_ascii_case("localhost")
            || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        self.is_https() || is_local
    }

    /// The URI of a target at this address.
    pub(crate) fn uri(&self, target: &PathAndQuery) -> Result<Uri, InvalidUriParts> {
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(target.clone());
        Uri::from_parts(parts)
    }
}

impl std::str::FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let uri: Uri = text.parse().map_err(|_| InvalidAddress)?;
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let Parts { scheme: Some(scheme), authority: Some(authority), .. } = uri.into_parts()
        else {
            return Err(InvalidAddress);
        };
        let is_http = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
        if is_http && is_bare && !text.contains(['@', '#']) {
            Ok(Self { scheme, authority })
        } else {
            Err(InvalidAddress)
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_address_has_a_host_and_no_more() {
        for (text, is_private) in [
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:80/", true),
            ("http://localhost:80", true),
            ("https://commands.example.com", true),
            ("http://commands:8080", false),
            ("http://localhost.example.com", false),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().is_private(), is_private, "{text}");
        }
        for text in [
            "",
            "/",
            "commands:8080",
            "ftp://commands",
            "http://u:canary@commands",
            "http://u@commands",
            "http://commands/api",
            "http://commands?a",
            "http://commands#a",
        ] {
            let refused = text.parse::<Address>().unwrap_err();
            assert!(!refused.to_string().contains("canary"), "{text}");
        }
    }

    #[test]
    fn a_target_is_put_behind_the_address_as_it_is() {
        let address: Address = "http://127.0.0.1:8080/".parse().unwrap();
        let target = PathAndQuery::from_static("/api/v1/a%2Fb//?c=%20");
        let uri = address.uri(&target).unwrap().to_string();
        assert_eq!(uri, "http://127.0.0.1:8080/api/v1/a%2Fb//?c=%20");
    }
}
