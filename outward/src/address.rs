//! The address of a target.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

/// The address that the paths of requests are appended to: `https`, or `http` on this machine, so
/// that nobody on the way reads a secret. It has no user, no password, no query and no fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(Url);

/// The error for a text that is not an [`Address`]. It does not repeat the text, which may hold a
/// password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an address such as https://api.example.com, or http:// on loopback")]
pub struct InvalidAddress;

impl Address {
    /// The address of a path, which begins with a slash and may have a query.
    ///
    /// # Errors
    /// [`InvalidAddress`]: the path does not begin with a slash, or leads elsewhere.
    pub fn at(&self, path: &str) -> Result<Url, InvalidAddress> {
        if !path.starts_with('/') {
            return Err(InvalidAddress);
        }
        let url: Url = format!("{self}{path}").parse().map_err(|_| InvalidAddress)?;
        if url.origin() == self.0.origin() { Ok(url) } else { Err(InvalidAddress) }
    }

    /// Whether it leads to this machine without TLS.
    pub fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// Whether it leads to this machine.
    pub fn is_loopback(&self) -> bool {
        self.0.host_str().is_some_and(is_loopback)
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let url: Url = text.parse().map_err(|_| InvalidAddress)?;
        let host = url.host_str().ok_or(InvalidAddress)?;
        let is_safe = match url.scheme() {
            "https" => true,
            "http" => is_loopback(host),
            _ => false,
        };
        let has_user = !url.username().is_empty() || url.password().is_some();
        let has_more = url.query().is_some() || url.fragment().is_some();
        if is_safe && !has_user && !has_more { Ok(Self(url)) } else { Err(InvalidAddress) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_address_is_https_or_on_this_machine_and_holds_no_secret() {
        for text in ["https://api.example.com", "https://api.example.com/base/", "http://[::1]:1"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text.trim_end_matches('/'));
        }
        for text in [
            "",
            "api.example.com",
            "http://api.example.com",
            "http://127.0.0.1.example.com",
            "http://10.0.0.1",
            "ftp://api.example.com",
            "https://me:secret@api.example.com",
            "https://api.example.com?key=1",
            "https://api.example.com/#x",
        ] {
            assert_eq!(text.parse::<Address>(), Err(InvalidAddress), "{text}");
        }
    }

    #[test]
    fn a_path_stays_at_its_target() {
        let address: Address = "https://api.example.com/base/".parse().unwrap();
        assert_eq!(address.at("/a?b=c").unwrap().as_str(), "https://api.example.com/base/a?b=c");
        for path in ["", "a", "@evil.example.com/", ".evil.example.com"] {
            assert_eq!(address.at(path), Err(InvalidAddress), "{path}");
        }
    }
}
