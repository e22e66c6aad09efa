//! Every shape in which an event was ever written, in plain types: a reader of the log makes
//! an event store's registry of them.

use serde_json::Value;

/// A permanent type string and the version of its payload's shape, from 1.
pub type Shape = (&'static str, i32);

/// What a payload of a former shape has become: type and payload of each event, in order; or why it
/// is none of that shape, without any value of it. What it does not know it hands on: unknown
/// fields are kept. A personal value may be erased.
pub type Upcast = fn(Value) -> Result<Vec<(&'static str, Value)>, &'static str>;

/// A former shape, the shapes it may have become, and how.
pub type Past = (Shape, &'static [Shape], Upcast);
