//! Schemas of texts in standard formats, so that clients can validate them before sending. Each has
//! a name in the OpenAPI documents, so that generated clients have one type for it.

use std::borrow::Cow;

use formats::{Currency, email};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::conditional;
use crate::signing::MAX_SIGNED_CHARS;

/// The schema of an e-mail address. Name it with `#[schema(value_type = EmailAddress)]`.
#[derive(Debug)]
pub struct EmailAddress;

/// The schema of a currency that is valid today. Documents name it `Currency`.
#[derive(Debug)]
pub struct CurrencyOfToday;

/// The schema of a currency that is or was valid.
#[derive(Debug)]
pub struct CurrencyOfAnyTime;

/// The schema of `If-Match` and `If-None-Match`.
#[derive(Debug)]
pub struct EntityTags;

/// The schema of a text that an answer gave, and that means something to this system alone: a
/// cursor or a consistency token.
#[derive(Debug)]
pub struct OpaqueText;

impl PartialSchema for EmailAddress {
    fn schema() -> RefOr<Schema> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("A plain ASCII address; its letters are case-insensitive"))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Email)))
            .pattern(Some(email::PATTERN))
            .max_length(Some(email::MAX_LEN))
            .examples(["ada@example.com"]);
        schema.into()
    }
}

impl ToSchema for EmailAddress {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("EmailAddress")
    }
}

impl PartialSchema for CurrencyOfToday {
    fn schema() -> RefOr<Schema> {
        currencies("A currency of today (ISO 4217)", Currency::of_today())
    }
}

impl ToSchema for CurrencyOfToday {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Currency")
    }
}

impl PartialSchema for CurrencyOfAnyTime {
    fn schema() -> RefOr<Schema> {
        currencies("A currency that ISO 4217 lists or once listed", Currency::all())
    }
}

impl ToSchema for CurrencyOfAnyTime {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("CurrencyOfAnyTime")
    }
}

impl PartialSchema for EntityTags {
    fn schema() -> RefOr<Schema> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("`*`, or quoted tags with commas between them"))
            .pattern(Some(conditional::PATTERN))
            .examples(["\"3\""]);
        schema.into()
    }
}

impl ToSchema for EntityTags {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("EntityTags")
    }
}

impl PartialSchema for OpaqueText {
    fn schema() -> RefOr<Schema> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("A text as an answer gave it"))
            .max_length(Some(MAX_SIGNED_CHARS))
            .pattern(Some("^[A-Za-z0-9_-]+$"));
        schema.into()
    }
}

impl ToSchema for OpaqueText {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("OpaqueText")
    }
}

fn currencies(description: &str, currencies: impl Iterator<Item = Currency>) -> RefOr<Schema> {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(currencies.map(Currency::code)))
        .examples(["USD"]);
    schema.into()
}
