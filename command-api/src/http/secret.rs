//! A secret in the body of a request: a password or a token. It is wiped when it is dropped, and no
//! error repeats it.

use std::fmt;

use secrecy::SecretString;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A secret text.
#[derive(Debug, Clone)]
pub(super) struct Secret(pub(super) SecretString);

struct SecretVisitor;

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// The error for any value that is not a text. The usual one would repeat the value.
fn no_text<E: Error>() -> E {
    E::custom("expected a text")
}

impl Visitor<'_> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret(SecretString::from(text)))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Secret, E> {
        Ok(Secret(SecretString::from(text)))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
        Err(no_text())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        Err(no_text())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
        Err(no_text())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        Err(no_text())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn only_a_text_is_read_and_no_error_repeats_the_value() {
        let read = |json: &str| serde_json::from_str::<Secret>(json);
        assert_eq!(read("\"hunter\\n2\"").unwrap().0.expose_secret(), "hunter\n2");
        for json in ["4711", "-4711", "47.11", "true", "[\"4711\"]", "{\"4711\": 1}", "null"] {
            let error = read(json).unwrap_err().to_string();
            assert!(!error.contains("47") && !error.contains("true"), "{json}: {error}");
        }
        assert!(!format!("{:?}", read("\"4711\"").unwrap()).contains("4711"));
    }
}
