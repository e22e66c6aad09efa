//! A setting with the URL under which others reach something.

/// An absolute URL, to which paths are added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// The error for a text that is not such a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an absolute URL such as https://api.example.com")]
pub struct PublicUrlError;

impl PublicUrl {
    /// The URL without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let uri: axum::http::Uri = text.parse().map_err(|_| PublicUrlError)?;
        let absolute = text.is_ascii()
            && matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some()
            && uri.query().is_none();
        if absolute { Ok(Self(text.trim_end_matches('/').to_owned())) } else { Err(PublicUrlError) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_public_url_is_absolute_and_loses_its_last_slash() {
        assert_eq!(
            "https://api.example.com/".parse::<PublicUrl>().unwrap().as_str(),
            "https://api.example.com"
        );
        for text in ["", "/api", "api.example.com", "ftp://x", "https://x/?a=b", "https://x/é"] {
            assert_eq!(text.parse::<PublicUrl>(), Err(PublicUrlError), "{text}");
        }
    }
}
