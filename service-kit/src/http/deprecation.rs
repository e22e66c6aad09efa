//! What the answers of a deprecated version say: since when it is deprecated (RFC 9745), when it
//! may be turned off (RFC 8594), and where its successor is.

use axum::http::header::{HeaderName, LINK};
use axum::http::{HeaderMap, HeaderValue};
use chrono::{DateTime, Utc};

pub(super) const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
pub(super) const SUNSET: HeaderName = HeaderName::from_static("sunset");
/// The form of a date in HTTP (RFC 9110 §5.6.7).
const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// The deprecation of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deprecation {
    /// Since when the version is deprecated. It may be in the future.
    pub since: DateTime<Utc>,
    /// From when the version may be turned off.
    pub sunset: Option<DateTime<Utc>>,
    /// The URL of a page that says how to move to the successor.
    pub migration: Option<String>,
    /// The path of the successor's description.
    pub successor: &'static str,
}

impl Deprecation {
    /// The header fields of every answer.
    pub(super) fn headers(&self) -> HeaderMap {
        let Self { since, sunset, migration, successor } = self;
        let sunset = sunset.map(|at| (SUNSET, at.format(HTTP_DATE).to_string()));
        let page = migration.as_ref().map(|url| (LINK, format!("<{url}>; rel=\"deprecation\"")));
        let successor = (LINK, format!("<{successor}>; rel=\"successor-version\""));
        let since = (DEPRECATION, format!("@{}", since.timestamp()));
        let mut headers = HeaderMap::new();
        for (name, text) in [Some(since), sunset, page, Some(successor)].into_iter().flatten() {
            // The values are numbers, dates, a path of this API and a URL that was checked.
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.append(name, value);
            }
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_fields_have_the_forms_of_their_standards() {
        let at = |text: &str| text.parse().unwrap();
        let deprecation = Deprecation {
            since: at("2023-06-30T23:59:59Z"),
            sunset: Some(at("2024-12-01T01:02:03Z")),
            migration: Some("https://a.example.com/v2".to_owned()),
            successor: "/openapi/v2.json",
        };
        let headers = deprecation.headers();
        // The examples of RFC 9745 and RFC 8594.
        assert_eq!(headers[DEPRECATION], "@1688169599");
        assert_eq!(headers[SUNSET], "Sun, 01 Dec 2024 01:02:03 GMT");
        let links: Vec<_> = headers.get_all(LINK).iter().collect();
        assert_eq!(
            links,
            [
                "<https://a.example.com/v2>; rel=\"deprecation\"",
                "</openapi/v2.json>; rel=\"successor-version\"",
            ]
        );
        let alone = Deprecation { sunset: None, migration: None, ..deprecation }.headers();
        assert!(!alone.contains_key(SUNSET));
        assert_eq!(alone.get_all(LINK).iter().count(), 1);
    }
}
