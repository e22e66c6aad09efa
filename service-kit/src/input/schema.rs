//! JSON schemas of texts in standard formats, so that clients can validate them before sending.

use formats::{Currency, email};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};

/// The schema of an email address.
pub fn email_address() -> Schema {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("A plain ASCII address; its letters are case-insensitive"))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Email)))
        .pattern(Some(email::PATTERN))
        .max_length(Some(email::MAX_LEN))
        .examples(["ada@example.com"]);
    Schema::Object(schema.build())
}

/// The schema of a currency that is valid today.
pub fn currency_of_today() -> Schema {
    currencies("A currency of today (ISO 4217)", Currency::of_today())
}

/// The schema of a currency that is or was valid.
pub fn currency_of_any_time() -> Schema {
    currencies("A currency that ISO 4217 lists or once listed", Currency::all())
}

fn currencies(description: &str, currencies: impl Iterator<Item = Currency>) -> Schema {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(currencies.map(Currency::code)))
        .examples(["USD"]);
    Schema::Object(schema.build())
}
