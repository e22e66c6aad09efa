//! Published schemas of texts in formats that standards define: what a program can check before it
//! sends them.

use formats::{Currency, email};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};

/// An address.
pub fn email_address() -> Schema {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("A plain ASCII address; letters of any case are one address"))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Email)))
        .pattern(Some(email::PATTERN))
        .max_length(Some(email::MAX_LEN))
        .examples(["ada@example.com"]);
    Schema::Object(schema.build())
}

/// A currency that can be chosen today.
pub fn currency_of_today() -> Schema {
    currencies("A currency of today (ISO 4217)", Currency::of_today())
}

/// A currency of an amount from any time.
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
