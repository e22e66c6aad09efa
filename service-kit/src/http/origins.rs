//! The allow-list of web origins that may call the APIs.

use axum::http::{HeaderValue, Uri};

/// Origins that browsers may call from; empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    loopback: bool,
    list: Vec<HeaderValue>,
}

/// The text is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin: expected http(s)://host[:port] or the word loopback")]
pub struct OriginError(String);

impl Origins {
    /// Whether pages of this origin may call.
    pub fn allow(&self, origin: &HeaderValue) -> bool {
        self.list.contains(origin) || (self.loopback && origin.to_str().is_ok_and(is_loopback))
    }
}

impl std::str::FromStr for Origins {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let mut origins = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            if word == "loopback" {
                origins.loopback = true;
                continue;
            }
            let uri = split(word).ok_or_else(|| OriginError(word.to_owned()))?;
            let value = HeaderValue::from_str(&uri).map_err(|_| OriginError(word.to_owned()))?;
            origins.list.push(value);
        }
        Ok(origins)
    }
}

/// Normalises an origin as browsers write it: a scheme and an authority, nothing else.
fn split(origin: &str) -> Option<String> {
    let uri: Uri = origin.parse().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let authority = uri.authority()?.as_str().to_ascii_lowercase();
    let bare = format!("{scheme}://{authority}");
    (origin.eq_ignore_ascii_case(&bare) && !authority.contains('@')).then_some(bare)
}

fn is_loopback(origin: &str) -> bool {
    split(origin).as_deref() == Some(origin)
        && origin.parse::<Uri>().is_ok_and(|uri| {
            uri.scheme_str() == Some("http")
                && matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"))
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn allowed(origins: &str, origin: &'static str) -> bool {
        origins.parse::<Origins>().unwrap().allow(&HeaderValue::from_static(origin))
    }

    #[test]
    fn the_word_loopback_allows_any_port_of_this_machine_and_nothing_else() {
        for origin in
            ["http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:1", "http://localhost"]
        {
            assert!(allowed("loopback", origin), "{origin}");
        }
        for origin in [
            "null",
            "https://evil.example",
            "http://localhost.evil.example",
            "http://x@localhost",
            "http://127.0.0.1.nip.io:1",
        ] {
            assert!(!allowed("loopback", origin), "{origin}");
        }
    }

    #[test]
    fn only_listed_origins_are_allowed() {
        assert!(allowed(
            "https://app.example, https://ops.example:8443",
            "https://ops.example:8443"
        ));
        assert!(!allowed("https://app.example", "http://app.example"));
        assert!(!allowed("", "http://localhost:3000"));
        assert!("app.example".parse::<Origins>().is_err());
        assert!("https://app.example/path".parse::<Origins>().is_err());
    }
}
