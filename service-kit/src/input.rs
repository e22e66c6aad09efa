//! Strict parsers for client input: one per kind of value, used in paths, queries and bodies.
//!
//! Each parser accepts exactly what its published schema allows, so a value has one form, and
//! answers do not depend on a library's leniency. Accepted values survive a round trip through JSON
//! and through a Postgres column. Errors name formats, never Rust types.

use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

mod id;
mod integer;
mod media_type;
pub mod schema;
mod time;

pub use id::{Id, InvalidId};
pub use integer::{Integer, InvalidInteger};
pub use media_type::MediaType;
pub use time::{Day, InvalidTime, Time};

/// A value in a query parameter, where everything is text. It uses the type's own parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Text<T>(pub T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer).map(Self)
    }
}

/// Parses a text with the type's own parser.
fn from_text<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_str(TextVisitor(PhantomData))
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: FromStr<Err: Display>> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}
