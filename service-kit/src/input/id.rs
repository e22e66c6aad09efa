//! Ids: UUIDs in their canonical form only.

use std::borrow::Cow;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

/// A UUID as every answer writes it: 32 lower-case hexadecimal digits in five groups.
///
/// RFC 9562 lets readers accept upper case. This one does not, because a resource has one address.
/// Caches, idempotency keys and cursors compare addresses as text and must never see two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Id(Uuid);

/// The text is not a canonical UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a UUID of lower-case digits, such as 0190b3a2-0000-7000-8000-000000000001")]
pub struct InvalidId;

impl Id {
    /// The accepted texts, as a regular expression of JSON Schema.
    pub const PATTERN: &'static str =
        "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    const LENGTH: usize = 36;

    /// Returns the UUID.
    pub const fn get(self) -> Uuid {
        self.0
    }
}

impl FromStr for Id {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let canonical = text.len() == Self::LENGTH
            && text.bytes().enumerate().all(|(at, byte)| match byte {
                b'-' => Self::HYPHENS.contains(&at),
                b'0'..=b'9' | b'a'..=b'f' => !Self::HYPHENS.contains(&at),
                _ => false,
            });
        if !canonical {
            return Err(InvalidId);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidId)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::from_text(deserializer)
    }
}

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("A UUID, in lower case"))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
            .pattern(Some(Self::PATTERN));
        schema.into()
    }
}

impl ToSchema for Id {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Id")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_id_has_one_form() {
        let text = "0190b3a2-0000-7000-8000-00000000000f";
        assert_eq!(text.parse::<Id>().unwrap().get().to_string(), text);
        for other in [
            "0190B3A2-0000-7000-8000-00000000000F",
            "0190b3a20000700080000000000000 0f",
            "0190b3a200007000800000000000000f",
            "urn:uuid:0190b3a2-0000-7000-8000-00000000000f",
            "{0190b3a2-0000-7000-8000-00000000000f}",
            " 0190b3a2-0000-7000-8000-00000000000f",
            "0190b3a2-0000-7000-80000-0000000000f",
            "0190b3a2-0000-7000-8000-00000000000g",
            "0190b3a2-0000-7000-8000-00000000000\u{ff16}",
            "",
        ] {
            assert_eq!(other.parse::<Id>(), Err(InvalidId), "{other}");
        }
    }
}
