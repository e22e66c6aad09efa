//! The addresses of an outside issuer.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;
use service_kit::config::is_loopback_host;

/// An address whose answers nobody on the way can change: `https`, or `http` on this machine. It
/// has no password and no fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeUrl {
    text: String,
    url: Url,
}

/// The error for a text that is not a [`SafeUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an address such as https://id.example.com, or http:// on loopback")]
pub struct InvalidUrl;

impl SafeUrl {
    /// The text as it was given: issuers are compared character by character.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parsed address, to send requests to.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Whether it leads to this machine without TLS.
    pub fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }
}

impl FromStr for SafeUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let url: Url = text.parse().map_err(|_| InvalidUrl)?;
        let host = url.host_str().ok_or(InvalidUrl)?;
        let is_safe = match url.scheme() {
            "https" => true,
            "http" => is_loopback_host(host),
            _ => false,
        };
        let is_bare =
            url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if is_safe && is_bare { Ok(Self { text: text.to_owned(), url }) } else { Err(InvalidUrl) }
    }
}

impl fmt::Display for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_on_this_machine_and_holds_no_secret() {
        for text in [
            "https://id.example.com",
            "https://id.example.com/realms/one/",
            "http://127.0.0.1:8080",
            "http://[::1]:8080/keys?policy=a",
            "http://localhost:8080",
        ] {
            assert_eq!(text.parse::<SafeUrl>().map(|url| url.to_string()), Ok(text.to_owned()));
        }
        for text in [
            "",
            "id.example.com",
            "http://id.example.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://10.0.0.1",
            "ftp://id.example.com",
            "file:///etc/passwd",
            "https://me:secret@id.example.com",
            "https://id.example.com/#x",
        ] {
            assert_eq!(text.parse::<SafeUrl>(), Err(InvalidUrl), "{text}");
        }
    }
}
