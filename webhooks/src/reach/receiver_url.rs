//! The URL of a receiver.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

use super::{OutOfReach, Reach};

/// The maximum length of a receiver's URL, in bytes.
pub const MAX_URL_LEN: usize = 2_048;

/// The URL of a receiver: `https`, or `http` in a network that is allowed. It has a host, and
/// neither user nor password nor fragment. Its `Debug` shows only the host, because integrators
/// put secrets into paths and queries.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiverUrl(Url);

/// The error for a text that is no [`ReceiverUrl`]. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a URL such as https://hooks.example.com/in of at most {MAX_URL_LEN} bytes, \
        without user, password or fragment"
)]
pub struct InvalidReceiverUrl;

impl ReceiverUrl {
    /// The URL.
    pub const fn url(&self) -> &Url {
        &self.0
    }

    /// The whole text, for its owner.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it has no TLS.
    pub fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// Checks an address that is written into the URL. A name is checked when it is resolved.
    ///
    /// # Errors
    /// [`OutOfReach`].
    pub fn check(&self, reach: &Reach) -> Result<(), OutOfReach> {
        let Some(host) = self.0.host_str() else { return Err(OutOfReach) };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        // The parser has brought the other ways to write an address into this form.
        match bare.parse() {
            Ok(address) => reach.check(address, self.is_plain()),
            Err(_) => Ok(()),
        }
    }
}

impl FromStr for ReceiverUrl {
    type Err = InvalidReceiverUrl;

    fn from_str(text: &str) -> Result<Self, InvalidReceiverUrl> {
        if text.len() > MAX_URL_LEN {
            return Err(InvalidReceiverUrl);
        }
        let url: Url = text.parse().map_err(|_| InvalidReceiverUrl)?;
        let is_http = matches!(url.scheme(), "https" | "http");
        let has_user = !url.username().is_empty() || url.password().is_some();
        let is_whole = url.host_str().is_some_and(|host| !host.is_empty());
        let is_receiver = is_http && is_whole && !has_user && url.fragment().is_none();
        if is_receiver { Ok(Self(url)) } else { Err(InvalidReceiverUrl) }
    }
}

impl fmt::Debug for ReceiverUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiverUrl({}://{})", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_address_is_recognised_however_it_is_written() {
        for text in [
            "https://127.0.0.1/x",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://[::1]/",
            "https://[::ffff:7f00:1]/",
            "https://%31%32%37.0.0.1/",
            "https://１２７.0.0.1/",
            "https://0/",
        ] {
            let url: ReceiverUrl = text.parse().unwrap();
            assert_eq!(url.check(&Reach::default()), Err(OutOfReach), "{text}");
        }
        for text in ["https://hooks.example.com/a?b=c", "https://1.1.1.1/", "https://[2a00::1]:1/"]
        {
            let url: ReceiverUrl = text.parse().unwrap();
            assert_eq!(url.check(&Reach::default()), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_url_has_a_host_and_holds_no_login_and_is_not_shown() {
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL_LEN));
        for text in [
            "",
            "example.com",
            "https://",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://me@example.com/",
            "https://me:secret@example.com/",
            "https://example.com/#x",
            &long,
        ] {
            assert_eq!(text.parse::<ReceiverUrl>(), Err(InvalidReceiverUrl), "{text}");
        }
        let url: ReceiverUrl = "https://example.com/secret?token=canary".parse().unwrap();
        assert_eq!(format!("{url:?}"), "ReceiverUrl(https://example.com)");
    }
}
