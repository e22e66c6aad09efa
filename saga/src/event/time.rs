//! Times as the log's columns store them: whole microseconds, no leap seconds.

use chrono::{DateTime, Utc};
use serde::{Deserialize as _, Deserializer};

/// Reads a time in whole microseconds.
pub(super) fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<DateTime<Utc>, D::Error> {
    DateTime::deserialize(from).map(rounded)
}

/// Reads a time in whole microseconds that may be absent.
pub(super) fn optional<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    Ok(Option::deserialize(from)?.map(rounded))
}

/// A leap second counts as the first of the next minute.
fn rounded(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}
