//! What a token of an outside issuer says.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// All claims of a token. A claim that is there twice is refused: two readers could differ on which
/// one counts.
#[derive(Debug)]
pub(super) struct Said(Value);

/// The name of a claim. If it begins with `/`, it is a JSON pointer (RFC 6901) into the claims:
/// `/realm_access/roles`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimName(String);

/// The error for a text that is no [`ClaimName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a claim is not empty")]
pub struct InvalidClaimName;

impl Said {
    /// The claim, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The claim as text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// The claim as seconds since 1970 in UTC. A fraction or a text is not a time.
    pub(super) fn time(&self, name: &str) -> Option<i64> {
        self.get(name)?.as_i64()
    }

    /// The claim that a setting names.
    pub(super) fn find(&self, name: &ClaimName) -> Option<&Value> {
        if name.0.starts_with('/') { self.0.pointer(&name.0) } else { self.get(&name.0) }
    }
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Claims;

        impl<'de> Visitor<'de> for Claims {
            type Value = Said;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("claims")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
                let mut claims = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if claims.insert(name, value).is_some() {
                        return Err(A::Error::custom("a claim is there twice"));
                    }
                }
                Ok(Said(Value::Object(claims)))
            }
        }

        deserializer.deserialize_map(Claims)
    }
}

impl FromStr for ClaimName {
    type Err = InvalidClaimName;

    fn from_str(text: &str) -> Result<Self, InvalidClaimName> {
        if text.is_empty() { Err(InvalidClaimName) } else { Ok(Self(text.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn said(text: &str) -> Option<Said> {
        serde_json::from_str(text).ok()
    }

    #[test]
    fn a_claim_is_found_by_its_name_or_by_a_pointer() {
        let said = said(r#"{"a.b": 1, "https://x/y": 2, "c": {"d": [3, 4]}}"#).unwrap();
        let find = |name: &str| said.find(&name.parse().unwrap()).cloned();
        assert_eq!(find("a.b"), Some(json!(1)));
        assert_eq!(find("https://x/y"), Some(json!(2)));
        assert_eq!(find("/c/d"), Some(json!([3, 4])));
        for absent in ["a", "/a", "c.d", "/c/e", "/"] {
            assert_eq!(find(absent), None, "{absent}");
        }
        assert_eq!("".parse::<ClaimName>(), Err(InvalidClaimName));
    }

    #[test]
    fn claims_are_an_object_that_says_nothing_twice() {
        assert!(said(r#"{"a": 1, "b": {"a": 1}}"#).is_some());
        for text in [r#"{"a": 1, "a": 1}"#, "[]", "1", "null", "\"x\"", ""] {
            assert!(said(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_time_is_a_whole_number() {
        let said = said(r#"{"a": 7, "b": 7.0, "c": "7", "d": 1e300, "e": null}"#).unwrap();
        assert_eq!(said.time("a"), Some(7));
        for other in ["b", "c", "d", "e", "f"] {
            assert_eq!(said.time(other), None, "{other}");
        }
    }
}
