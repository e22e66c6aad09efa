//! Every shape in which an event was ever written: those of today, and what each former one stands
//! for now.
//!
//! Stored events never change. When an event takes another shape, its version in
//! `<aggregate>/event.rs` goes up by one, the old one is listed in [`PAST`] with what has become of
//! it, and its golden file stays. The lists are in plain types: whoever reads the log makes an
//! event store's registry of them.

pub use aggregate::{Past, Shape, Upcast};

/// The shapes that are written today.
pub fn current() -> impl Iterator<Item = Shape> {
    crate::EVENTS.iter().copied().flatten().copied()
}

/// The former shapes, oldest first. So far every event is written as it was at first. By way of
/// example:
///
/// ```
/// # use domain::history::Past;
/// # use serde_json::json;
/// const PAST: &[Past] = &[
///     // Another shape of the same: `currency` came with version 2.
///     (("letter.stamped", 1), &[("letter.stamped", 2)], |mut data| {
///         let fields = data.as_object_mut().ok_or("it is no object")?;
///         fields.insert("currency".to_owned(), json!("EUR"));
///         Ok(vec![("letter.stamped", data)])
///     }),
///     // Another name.
///     (("letter.posted", 1), &[("letter.sent", 1)], |data| Ok(vec![("letter.sent", data)])),
///     // Two events now.
///     (("letter.moved", 1), &[("letter.taken", 1), ("letter.put", 1)], |data| {
///         Ok(vec![("letter.taken", data.clone()), ("letter.put", data)])
///     }),
///     // Means nothing any more.
///     (("letter.smelled", 1), &[], |_| Ok(Vec::new())),
/// ];
/// # let stamped = json!({"price": 5, "currency": "EUR"});
/// # assert_eq!((PAST[0].2)(json!({"price": 5})), Ok(vec![("letter.stamped", stamped)]));
/// ```
pub const PAST: &[Past] = &[];
