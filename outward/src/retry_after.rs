//! Reads `Retry-After` (RFC 9110, section 10.2.3).

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// The time that an answer asks its caller to wait: seconds, or a date. A date counts from the
/// answer's own `Date`, so the clocks of the two machines need not agree. Without that, or if the
/// text is neither, nothing is known.
pub(crate) fn retry_after(headers: &HeaderMap, most: Duration) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let wait = text(RETRY_AFTER)?;
    let is_number = !wait.is_empty() && wait.bytes().all(|byte| byte.is_ascii_digit());
    let time = if is_number {
        // Only a number that is far too large does not fit.
        wait.parse().map_or(most, Duration::from_secs)
    } else {
        let until = httpdate::parse_http_date(wait).ok()?;
        let now = httpdate::parse_http_date(text(DATE)?).ok()?;
        // A moment that has passed needs no wait.
        until.duration_since(now).unwrap_or_default()
    };
    Some(time.min(most))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn read(wait: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, wait.parse().unwrap());
        if let Some(date) = date {
            headers.insert(DATE, date.parse().unwrap());
        }
        retry_after(&headers, Duration::from_mins(1)).map(|time| time.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read_and_limited() {
        assert_eq!(read("0", None), Some(0));
        assert_eq!(read(" 7 ", None), Some(7));
        assert_eq!(read("61", None), Some(60));
        assert_eq!(read("99999999999999999999999", None), Some(60));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:47 GMT", Some(NOW)), Some(10));
        assert_eq!(read("Sunday, 06-Nov-94 08:49:47 GMT", Some(NOW)), Some(10));
        assert_eq!(read("Sun Nov  6 08:49:47 1994", Some(NOW)), Some(10));
        assert_eq!(read("Sun, 06 Nov 1994 09:49:37 GMT", Some(NOW)), Some(60));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:36 GMT", Some(NOW)), Some(0));
    }

    #[test]
    fn nothing_is_known_from_a_text_that_is_neither_or_a_date_without_another() {
        for text in ["", "soon", "-1", "1.5", "+3", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(read(text, Some(NOW)), None, "{text}");
        }
        assert_eq!(read("Sun, 06 Nov 1994 08:49:47 GMT", None), None);
        assert_eq!(retry_after(&HeaderMap::new(), Duration::MAX), None);
    }
}
