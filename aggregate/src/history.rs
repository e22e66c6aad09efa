//! The types for the history of events: every shape in which an event was ever written.
//!
//! They are plain types, and a reader of the log builds its event store registry from them.

use serde_json::Value;

/// A permanent type string and the version of its payload's shape, from 1.
pub type Shape = (&'static str, i32);

/// An upcaster: turns a payload of a former shape into the events that it has become.
///
/// It returns the type and payload of each event, in order. If the payload does not have the former
/// shape, it returns an error that contains no value of the payload. It must keep fields that it
/// does not know, and must accept erased personal values.
pub type Upcast = fn(Value) -> Result<Vec<(&'static str, Value)>, &'static str>;

/// A former shape, the shapes that it may become, and its upcaster.
pub type Past = (Shape, &'static [Shape], Upcast);
