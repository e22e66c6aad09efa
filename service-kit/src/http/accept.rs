//! Which media types a client accepts: the header `Accept` (RFC 9110, section 12.5.1).

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// The media ranges of `Accept`. Malformed ones are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaRanges(Vec<Range>);

/// One media range, such as `text/*;q=0.5`. Parameters other than the weight make no difference.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    /// The type, in lower case; `*` for any.
    kind: String,
    /// The subtype, in lower case; `*` for any.
    subtype: String,
    /// The weight in thousandths.
    weight: u32,
}

impl MediaRanges {
    /// Reads the ranges of a request. `None` if it does not have the header: it then accepts
    /// everything.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(ACCEPT).iter().peekable();
        fields.peek()?;
        let fields = fields.filter_map(|field| field.to_str().ok());
        Some(Self(fields.flat_map(|field| field.split(',')).filter_map(Range::read).collect()))
    }

    /// How much the client likes a type such as `text/csv`, in thousandths; 0 if it does not accept
    /// it. Of all ranges that cover the type, the most precise one decides.
    pub fn weight(&self, media_type: &str) -> u32 {
        let covering = self.0.iter().filter(|range| range.covers(media_type));
        covering.max_by_key(|range| range.precision()).map_or(0, |range| range.weight)
    }

    /// Whether the client names this type itself, and not only a range that covers it.
    pub fn names(&self, media_type: &str) -> bool {
        self.0.iter().any(|range| range.precision() == 2 && range.covers(media_type))
    }
}

impl Range {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        if kind == "*" && subtype != "*" {
            return None;
        }
        let mut weight = 1000;
        for part in parts {
            let Some((name, value)) = part.split_once('=') else { continue };
            if name.trim().eq_ignore_ascii_case("q") {
                weight = thousandths(value.trim())?;
            }
        }
        let [kind, subtype] = [kind, subtype].map(str::to_ascii_lowercase);
        Some(Self { kind, subtype, weight })
    }

    fn covers(&self, media_type: &str) -> bool {
        let Some((kind, subtype)) = media_type.split_once('/') else { return false };
        (self.kind == "*" || self.kind == kind) && (self.subtype == "*" || self.subtype == subtype)
    }

    /// How precisely the range names a type: 0 is any, 2 is one.
    fn precision(&self) -> u8 {
        u8::from(self.kind != "*") + u8::from(self.subtype != "*")
    }
}

/// Reads a weight: `0` to `1` with at most three decimals.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_valid = matches!(whole, "0" | "1")
        && decimals.len() <= 3
        && decimals.bytes().all(|byte| byte.is_ascii_digit());
    if !is_valid {
        return None;
    }
    let all: u32 = format!("{whole}{decimals:0<3}").parse().ok()?;
    (all <= 1000).then_some(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_most_precise_range_decides_and_what_is_malformed_counts_for_nothing() {
        let ranges = |text: &'static str| {
            MediaRanges::of(&HeaderMap::from_iter([(ACCEPT, text.parse().unwrap())])).unwrap()
        };
        for (text, weight, is_named) in [
            ("text/csv", 1000, true),
            ("TEXT/CSV; header=present", 1000, true),
            ("text/*;q=0.5, */*;q=0.9", 500, false),
            ("*/*;q=0.25", 250, false),
            ("text/csv;q=0, text/*", 0, true),
            ("text/csv;q=1.5", 0, false),
            ("text/csv;q=0.1234", 0, false),
            ("*/csv", 0, false),
            ("text", 0, false),
            ("text/html", 0, false),
            ("", 0, false),
        ] {
            let ranges = ranges(text);
            let of_csv = (ranges.weight("text/csv"), ranges.names("text/csv"));
            assert_eq!(of_csv, (weight, is_named), "{text}");
        }
        assert_eq!(MediaRanges::of(&HeaderMap::new()), None);
    }
}
