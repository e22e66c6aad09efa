//! Tests of times and days: examples, and properties over random texts.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::LazyLock;

use chrono::SubsecRound as _;
use proptest::prelude::*;
use regex::Regex;

use super::*;

static TIME: LazyLock<Regex> = LazyLock::new(|| Regex::new(Time::PATTERN).unwrap());
static DAY: LazyLock<Regex> = LazyLock::new(|| Regex::new(Day::PATTERN).unwrap());

#[test]
fn a_time_is_what_rfc_3339_writes() {
    for (text, utc) in [
        ("1997-01-12T00:00:00Z", "1997-01-12T00:00:00+00:00"),
        ("1997-01-12T00:00:00.5Z", "1997-01-12T00:00:00.500+00:00"),
        ("1997-01-12T00:00:00.000001-00:00", "1997-01-12T00:00:00.000001+00:00"),
        ("1997-01-12T00:00:00+01:30", "1997-01-11T22:30:00+00:00"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999+00:00"),
    ] {
        assert_eq!(text.parse::<Time>().unwrap().get().to_rfc3339(), utc, "{text}");
    }
}

#[test]
fn what_libraries_take_beside_it_is_refused() {
    for text in [
        "1997 - 01 - 01T00:00:00Z",
        "1997-01-12T00:00:00+0100",
        "1997-01-12T00:00:00 UTC",
        "1997-01-12T00:00:00UTC",
        "1997-01-12 00:00:00Z",
        "1997-01-12t00:00:00z",
        "1997-01-12T00:00:00",
        "1997-01-12T00:00Z",
        "1997-01-12T24:00:00Z",
        "1997-01-12T00:00:00,5Z",
        "1997-01-12T00:00:00.Z",
        "1997-01-12T00:00:00.1234567Z",
        "1997-02-29T00:00:00Z",
        "1997-1-12T00:00:00Z",
        "+1997-01-12T00:00:00Z",
        "12997-01-12T00:00:00Z",
        "0000-01-12T00:00:00Z",
        "1997-01-12T00:00:00+24:00",
        "1997-01-12T00:00:00\u{2212}01:00",
        "",
    ] {
        assert_eq!(text.parse::<Time>(), Err(InvalidTime::Time), "{text}");
    }
    for text in ["1998-12-31T23:59:60Z", "1998-12-31T23:59:60.9Z", "1999-01-01T00:59:60+01:00"] {
        assert_eq!(text.parse::<Time>(), Err(InvalidTime::LeapSecond), "{text}");
    }
    for text in ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"] {
        assert_eq!(text.parse::<Time>(), Err(InvalidTime::OutOfRange), "{text}");
    }
}

#[test]
fn a_day_has_one_form() {
    for text in ["0001-01-01", "1996-02-29", "9999-12-31"] {
        assert_eq!(text.parse::<Day>().unwrap().get().to_string(), text);
    }
    for text in [
        "-4714-01-01",
        "0000-01-01",
        "+1997-01-01",
        "1997-1-1",
        "1997 - 01 - 01",
        "1997-02-29",
        "19970101",
        "",
        "1997-01-01T",
    ] {
        assert_eq!(text.parse::<Day>(), Err(InvalidTime::Day), "{text}");
    }
}

/// RFC 3339 times, most of them with one character inserted, removed or changed.
fn nearly_a_time() -> impl Strategy<Value = String> {
    let time = "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,8})?(Z|[+-][0-2][0-9]:[0-6][0-9])";
    (time, any::<prop::sample::Index>(), prop::option::of("[-0-9TZtz:.+ ]{0,2}")).prop_map(
        |(text, at, other)| match other {
            None => text,
            Some(other) => {
                let at = at.index(text.len());
                format!("{}{other}{}", &text[..at], &text[at + 1..])
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    /// The published schema consists of a pattern and a format; the format checks the calendar.
    #[test]
    fn a_time_is_taken_exactly_if_its_published_schema_admits_it(text in nearly_a_time()) {
        let admitted = TIME.is_match(&text)
            && DateTime::parse_from_rfc3339(&text)
                .is_ok_and(|at| (1..=9999).contains(&at.to_utc().year()));
        prop_assert_eq!(text.parse::<Time>().is_ok(), admitted);
        let day = text.get(..10).unwrap_or_default();
        let admitted = DAY.is_match(day) && day.parse::<NaiveDate>().is_ok();
        prop_assert_eq!(day.parse::<Day>().is_ok(), admitted);
    }

    #[test]
    fn a_time_is_unchanged_by_json_and_by_the_microseconds_that_a_column_keeps(
        text in nearly_a_time(),
    ) {
        let Ok(time) = text.parse::<Time>() else { return Ok(()) };
        let json = serde_json::to_string(&time).unwrap();
        prop_assert_eq!(serde_json::from_str::<Time>(&json).unwrap(), time);
        let kept = DateTime::from_timestamp_micros(time.get().timestamp_micros()).unwrap();
        prop_assert_eq!(kept, time.get());
        prop_assert_eq!(kept, kept.trunc_subsecs(6));
    }
}
