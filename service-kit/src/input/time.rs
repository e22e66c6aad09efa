//! Times and days in RFC 3339 format.

use std::borrow::Cow;
use std::str::FromStr;

use chrono::{DateTime, Datelike as _, FixedOffset, NaiveDate, NaiveTime, TimeZone as _, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A point in time: RFC 3339 with upper-case `T` and `Z`, in the years 1 to 9999 of UTC.
///
/// The precision is microseconds, like Postgres's. Texts with more than six decimals are refused,
/// so nothing is lost. RFC 3339 allows the leap second `:60`. It is refused here, because Postgres
/// would store the next day's midnight instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Time(DateTime<Utc>);

/// A day in the years 1 to 9999: `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Day(NaiveDate);

/// Why a text is not a time or a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTime {
    /// The text is not a time.
    #[error("expected a time of RFC 3339 with at most six decimals, such as 1997-01-12T00:00:00Z")]
    Time,
    /// The text is not a day.
    #[error("expected a day as YYYY-MM-DD, such as 1997-01-12")]
    Day,
    /// The time has second 60.
    #[error("leap seconds are not accepted: send second 59 or the next minute")]
    LeapSecond,
    /// The time is before the year 1 or after 9999 once converted to UTC.
    #[error("the time is not in the years 1 to 9999 of UTC")]
    OutOfRange,
}

macro_rules! day_pattern {
    () => {
        "([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    };
}

impl Time {
    /// The accepted texts, as a regular expression of JSON Schema. The format `date-time` rules
    /// out days that a month does not have.
    pub const PATTERN: &'static str = concat!(
        "^",
        day_pattern!(),
        "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
    );

    /// Returns the time in UTC.
    pub const fn get(self) -> DateTime<Utc> {
        self.0
    }
}

impl Day {
    /// The accepted texts, as a regular expression of JSON Schema. The format `date` rules out
    /// days that a month does not have.
    pub const PATTERN: &'static str = concat!("^", day_pattern!(), "$");

    /// Returns the day.
    pub const fn get(self) -> NaiveDate {
        self.0
    }
}

impl FromStr for Day {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let &[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = text.as_bytes() else {
            return Err(InvalidTime::Day);
        };
        let year = number(&[y0, y1, y2, y3])
            .and_then(|year| i32::try_from(year).ok())
            .filter(|year| *year > 0);
        let (Some(year), Some(month), Some(day)) = (year, number(&[m0, m1]), number(&[d0, d1]))
        else {
            return Err(InvalidTime::Day);
        };
        NaiveDate::from_ymd_opt(year, month, day).map(Self).ok_or(InvalidTime::Day)
    }
}

impl FromStr for Time {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let (day, rest) = text.split_once('T').ok_or(InvalidTime::Time)?;
        let Day(day) = day.parse().map_err(|_| InvalidTime::Time)?;
        let Some((&[h0, h1, b':', m0, m1, b':', s0, s1], rest)) =
            rest.as_bytes().split_first_chunk()
        else {
            return Err(InvalidTime::Time);
        };
        let (Some(hour), Some(minute), Some(second)) =
            (number(&[h0, h1]), number(&[m0, m1]), number(&[s0, s1]))
        else {
            return Err(InvalidTime::Time);
        };
        let (micros, rest) = fraction(rest).ok_or(InvalidTime::Time)?;
        let offset = offset(rest).ok_or(InvalidTime::Time)?;
        if second == 60 && hour < 24 && minute < 60 {
            return Err(InvalidTime::LeapSecond);
        }
        let time =
            NaiveTime::from_hms_micro_opt(hour, minute, second, micros).ok_or(InvalidTime::Time)?;
        let at = offset
            .from_local_datetime(&day.and_time(time))
            .single()
            .ok_or(InvalidTime::Time)?
            .to_utc();
        if (1..=9999).contains(&at.year()) { Ok(Self(at)) } else { Err(InvalidTime::OutOfRange) }
    }
}

/// Parses decimal digits.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
    })
}

/// Parses a fraction of a second; returns microseconds and the rest.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(length);
    let missing = 6_u32.checked_sub(u32::try_from(length).ok()?).filter(|_| length > 0)?;
    Some((number(digits)? * 10_u32.pow(missing), rest))
}

fn offset(text: &[u8]) -> Option<FixedOffset> {
    if text == b"Z" {
        return FixedOffset::east_opt(0);
    }
    let &[sign, h0, h1, b':', m0, m1] = text else { return None };
    let (hours, minutes) = (
        number(&[h0, h1]).filter(|hours| *hours < 24)?,
        number(&[m0, m1]).filter(|minutes| *minutes < 60)?,
    );
    let seconds = i32::try_from((hours * 60 + minutes) * 60).ok()?;
    match sign {
        b'+' => FixedOffset::east_opt(seconds),
        b'-' => FixedOffset::west_opt(seconds),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::from_text(deserializer)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::from_text(deserializer)
    }
}

fn schema(description: &str, format: KnownFormat, pattern: &str) -> RefOr<Schema> {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .format(Some(SchemaFormat::KnownFormat(format)));
    schema.pattern(Some(pattern)).into()
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        schema("A time (RFC 3339)", KnownFormat::DateTime, Self::PATTERN)
    }
}

impl PartialSchema for Day {
    fn schema() -> RefOr<Schema> {
        schema("A day (RFC 3339)", KnownFormat::Date, Self::PATTERN)
    }
}

impl ToSchema for Time {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Time")
    }
}

impl ToSchema for Day {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Day")
    }
}

#[cfg(test)]
mod tests;
