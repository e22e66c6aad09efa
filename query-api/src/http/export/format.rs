//! The format of a list: pages of JSON, or an export. `Accept` or the parameter `format` says
//! which.

use axum::http::HeaderMap;
use serde::Deserialize;
use service_kit::http::MediaRanges;
use utoipa::ToSchema;

/// The format of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Format {
    /// A page of it as JSON, with the envelope.
    Json,
    /// All of it as CSV (RFC 4180).
    Csv,
    /// All of it as JSON, one row on each line.
    Ndjson,
}

impl Format {
    /// The formats of exports.
    pub(in crate::http) const EXPORTS: [Self; 2] = [Self::Csv, Self::Ndjson];

    /// The media type.
    pub(in crate::http) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// What an answer in this format is, for people.
    pub(in crate::http) const fn about(self) -> &'static str {
        match self {
            Self::Json => "A page of the list",
            Self::Csv => {
                "All rows, with a header row. Fields of objects are columns of their own, such as \
                    `profile.locale`; lists and sums by currency are JSON; null is empty. A text \
                    that a spreadsheet may take for a formula has `'` in front"
            }
            Self::Ndjson => {
                "All rows. Each is a line, with what it is in `data` of the JSON answer"
            }
        }
    }

    /// The end of a file's name, without the dot.
    pub(super) const fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    /// The format that the client likes best. One that it does not name itself is never exported: a
    /// client that takes anything, such as a browser, means a page. So does one that accepts none
    /// of these formats.
    pub(in crate::http) fn accepted(headers: &HeaderMap) -> Self {
        let Some(ranges) = MediaRanges::of(headers) else { return Self::Json };
        let mut best = (ranges.weight(Self::Json.media_type()), Self::Json);
        let mut is_named = ranges.names(Self::Json.media_type());
        for format in Self::EXPORTS {
            let weight = ranges.weight(format.media_type());
            let is_better = weight > best.0 || (weight == best.0 && !is_named);
            if ranges.names(format.media_type()) && weight > 0 && is_better {
                (best, is_named) = ((weight, format), true);
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use axum::http::header::ACCEPT;

    use super::*;

    #[test]
    fn only_who_names_an_export_and_likes_it_best_gets_one() {
        for (accept, format) in [
            (None, Format::Json),
            (Some("*/*"), Format::Json),
            (Some("text/html, application/xhtml+xml, */*;q=0.8"), Format::Json),
            (Some("text/*"), Format::Json),
            (Some("image/png"), Format::Json),
            (Some("text/csv"), Format::Csv),
            (Some("text/csv, */*"), Format::Csv),
            (Some("text/csv;q=0.5, */*"), Format::Json),
            (Some("text/csv, application/json"), Format::Json),
            (Some("text/csv, application/json;q=0.9"), Format::Csv),
            (Some("text/csv;q=0, application/x-ndjson"), Format::Ndjson),
            (Some("application/x-ndjson, text/csv"), Format::Csv),
            (Some("application/x-ndjson, text/csv;q=0.9"), Format::Ndjson),
            (Some("text/csv;q=0"), Format::Json),
        ] {
            let headers = accept.map(|accept| (ACCEPT, accept.parse().unwrap()));
            assert_eq!(Format::accepted(&HeaderMap::from_iter(headers)), format, "{accept:?}");
        }
    }
}
