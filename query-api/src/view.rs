//! The form in which clients see rows, in every representation.

use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};

pub(crate) mod audit;
pub(crate) mod customer;
pub(crate) mod funnel;
pub(crate) mod history;
pub mod money;
pub(crate) mod order;
pub(crate) mod product;
pub(crate) mod product_sales;
pub(crate) mod sales;
pub(crate) mod search;
pub(crate) mod user;
pub(crate) mod v2;

/// Reads a stored text as a value of an enum. `None` if this program does not know the text,
/// because a newer projector stored it.
pub(crate) fn known<'t, T: Deserialize<'t>>(text: &'t str) -> Option<T> {
    T::deserialize(StrDeserializer::<Error>::new(text)).ok()
}
