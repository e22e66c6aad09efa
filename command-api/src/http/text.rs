//! Schemas of texts that bodies have. Each says what the domain accepts, as far as a regular
//! expression can, and names the rules for the rest by their codes. So clients can check a text
//! before they send it.

use std::borrow::Cow;

use domain::value::{Country, MAX_NAME_LEN, Reason};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Control characters, ends of lines and paragraphs, and characters that override the direction of
/// writing, in a class of a regular expression.
macro_rules! refused {
    () => {
        r"\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    };
}

/// A line with something other than blanks, and without refused characters.
const LINE: &str = concat!("^[^", refused!(), "]*[^\\s", refused!(), "][^", refused!(), "]*$");
/// A UUID of version 7 as answers write it.
const VERSION_7: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$";

macro_rules! texts {
    ($($(#[doc = $doc:literal])+ $name:ident($builder:expr, $example:literal);)+) => {$(
        $(#[doc = $doc])+
        pub(in crate::http) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let text: ObjectBuilder = $builder;
                let description = concat!($($doc),+).trim();
                text.schema_type(Type::String)
                    .description(Some(description))
                    .examples([$example])
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+};
}

texts! {
    /// The name of a person. It has a visible character (`name/empty`).
    PersonName(line(MAX_NAME_LEN), "Ada Lovelace");
    /// The name that others see. It has a visible character (`name/empty`).
    DisplayName(line(MAX_NAME_LEN), "Countess");
    /// The name of a product. It has a visible character (`name/empty`).
    ProductName(line(MAX_NAME_LEN), "cd");
    /// The name of an address. It has a visible character (`name/empty`).
    AddressLabel(line(MAX_NAME_LEN), "at home");
    /// A person or company that receives. It has a visible character (`name/empty`).
    Recipient(line(MAX_NAME_LEN), "Ada Lovelace");
    /// A street with the number of the house, or a post-office box. It has a visible character
    /// (`name/empty`).
    Street(line(MAX_NAME_LEN), "Ring 1");
    /// A city or town. It has a visible character (`name/empty`).
    City(line(MAX_NAME_LEN), "Wien");
    /// A country, a code of ISO 3166-1 alpha-2.
    CountryCode(ObjectBuilder::new().enum_values(Some(Country::all().map(Country::code))), "AT");
    /// A reason, in one line. It has a visible character (`reason/empty`).
    RecordReason(line(Reason::MAX_LEN), "seen on the bank statement");
}

/// The schema of the id of something new. It has no example: an id is taken once.
pub(in crate::http) struct NewId;

impl PartialSchema for NewId {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("The id of something new: a UUID of version 7, in lower case"))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
            .pattern(Some(VERSION_7))
            .into()
    }
}

impl ToSchema for NewId {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("NewId")
    }
}

fn line(max: usize) -> ObjectBuilder {
    ObjectBuilder::new().min_length(Some(1)).max_length(Some(max)).pattern(Some(LINE))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use domain::value::{NameError, PersonName};
    use regex::Regex;

    use super::*;
    use crate::application::input::{Fields, NewId as Read};

    #[test]
    fn a_line_is_described_as_it_is_read() {
        let line = Regex::new(LINE).unwrap();
        let all = (0..=0x2fff).filter_map(char::from_u32);
        for text in all.flat_map(|one| [format!("a{one}b"), one.to_string()]) {
            match PersonName::parse(&text) {
                Ok(_) => assert!(line.is_match(&text), "{text:?}"),
                // A character that nobody sees is not in the pattern, but named.
                Err(NameError::Empty) if !text.trim().is_empty() => {}
                Err(error) => assert!(!line.is_match(&text), "{text:?}: {error}"),
            }
        }
    }

    #[test]
    fn a_new_id_is_described_as_it_is_read() {
        let described = Regex::new(VERSION_7).unwrap();
        for (text, is_new) in [
            ("0190b3a2-0000-7000-8000-000000000001", true),
            ("0190b3a2-0000-7000-bfff-000000000001", true),
            ("0190b3a2-0000-4000-8000-000000000001", false),
            ("0190b3a2-0000-7000-c000-000000000001", false),
        ] {
            let mut fields = Fields::default();
            Read::read(Some(text.parse().unwrap()), &mut fields);
            assert_eq!(
                (described.is_match(text), fields.check().is_ok()),
                (is_new, is_new),
                "{text}"
            );
        }
    }
}
