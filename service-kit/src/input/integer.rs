//! Integers as JSON Schema defines them.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A 64-bit integer: a JSON number without a fraction. As in JSON Schema, `1`, `1.0` and `1e2` are
/// valid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Integer(i64);

/// The text is not an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an integer")]
pub struct InvalidInteger;

impl Integer {
    /// From this value on, a number with a fraction or an exponent may already be rounded.
    const EXACT: f64 = 9_007_199_254_740_992.0;

    /// Returns the number.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl FromStr for Integer {
    type Err = InvalidInteger;

    /// Parses the text of a JSON number.
    fn from_str(text: &str) -> Result<Self, InvalidInteger> {
        // A JSON parser would skip white space.
        if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
            return Err(InvalidInteger);
        }
        serde_json::from_str(text).map_err(|_| InvalidInteger)
    }
}

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(IntegerVisitor).map(Self)
    }
}

struct IntegerVisitor;

impl Visitor<'_> for IntegerVisitor {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
        i64::try_from(number).map_err(|_| {
            E::invalid_value(Unexpected::Unsigned(number), &"an integer of at most 64 bits")
        })
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i64, E> {
        if number.fract() != 0.0 {
            return Err(E::invalid_value(Unexpected::Float(number), &self));
        }
        if number.abs() >= Integer::EXACT {
            return Err(E::invalid_value(
                Unexpected::Float(number),
                &"an integer written without fraction or exponent",
            ));
        }
        #[allow(clippy::cast_possible_truncation, reason = "it is whole and below 2^53")]
        Ok(number as i64)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_integer_is_any_json_number_without_a_fraction() {
        for (text, number) in [
            ("0", 0),
            ("-0", 0),
            ("7", 7),
            ("1.0", 1),
            ("1e2", 100),
            ("-2.500e1", -25),
            ("9007199254740991.0", 9_007_199_254_740_991),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(text.parse::<Integer>().unwrap().get(), number, "{text}");
            assert_eq!(serde_json::from_str::<Integer>(text).unwrap().get(), number, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            " 1",
            "1 ",
            "+1",
            "01",
            "1.",
            ".5",
            "1.5",
            "0x1",
            "1_000",
            "\u{661}",
            "9007199254740992.0",
            // It would be rounded to the one before.
            "9007199254740993.0",
            "1e19",
            "9223372036854775808",
            "NaN",
        ] {
            assert_eq!(text.parse::<Integer>(), Err(InvalidInteger), "{text}");
        }
        for json in [
            "\"1\"",
            "null",
            "true",
            "[1]",
            "1.5",
            "9223372036854775808",
            "9007199254740994.0",
            "1e400",
        ] {
            assert!(serde_json::from_str::<Integer>(json).is_err(), "{json}");
        }
    }
}
