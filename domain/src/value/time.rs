//! Times as the system stores them: in whole microseconds, without leap seconds.
//!
//! A time in an event may be more precise than a Postgres column: it may have nanoseconds and the
//! second 60. `read` and `read_option` read every time in an event. A row that is computed in
//! memory then equals one that was stored in its column in between.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};

/// The time as a Postgres column stores it. Fractions of a microsecond are cut off, and a leap
/// second becomes the first second of the next day.
pub fn kept(at: DateTime<Utc>) -> DateTime<Utc> {
    // Every time that chrono can parse is within the range of its microseconds.
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}

/// Reads the time of a stored event.
pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    DateTime::deserialize(deserializer).map(kept)
}

/// Reads the time of a stored event that may be absent.
pub(crate) fn read_option<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    Ok(Option::deserialize(deserializer)?.map(kept))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_time_is_what_its_column_would_keep() {
        for (stored, is_kept) in [
            ("1998-12-31T23:59:60.9Z", "1999-01-01T00:00:00.900Z"),
            ("1998-12-31T23:59:60Z", "1999-01-01T00:00:00Z"),
            ("1998-12-31T23:59:59.999999999Z", "1998-12-31T23:59:59.999999Z"),
            ("1969-12-31T23:59:59.0000009Z", "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(
                kept(stored.parse().unwrap()),
                is_kept.parse::<DateTime<Utc>>().unwrap(),
                "{stored}"
            );
        }
    }
}
