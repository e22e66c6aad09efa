//! Every shape in which an event of the shop was ever written, and how to upcast the former ones.
//!
//! Stored events never change. When an event needs another shape, raise its version in the
//! aggregate's `stored_events!`, list the old one in [`PAST`] with its upcaster, and keep its
//! golden entry. The lists use plain types, and a reader of the log builds its event store
//! registry from them.

pub use aggregate::{Past, Shape, Upcast};

/// The shapes that are written today.
pub fn current() -> impl Iterator<Item = Shape> {
    crate::EVENTS.iter().copied().flatten().copied()
}

/// The former shapes, oldest first.
///
/// An example of what the list may contain:
///
/// ```
/// # use domain::history::Past;
/// # use serde_json::json;
/// const PAST: &[Past] = &[
///     // The same event with a new field: version 2 added `currency`.
///     (("letter.stamped", 1), &[("letter.stamped", 2)], |mut data| {
///         let fields = data.as_object_mut().ok_or("it is no object")?;
///         fields.insert("currency".to_owned(), json!("EUR"));
///         Ok(vec![("letter.stamped", data)])
///     }),
///     // A new name.
///     (("letter.posted", 1), &[("letter.sent", 1)], |data| Ok(vec![("letter.sent", data)])),
///     // One event became two.
///     (("letter.moved", 1), &[("letter.taken", 1), ("letter.put", 1)], |data| {
///         Ok(vec![("letter.taken", data.clone()), ("letter.put", data)])
///     }),
///     // The event no longer means anything.
///     (("letter.smelled", 1), &[], |_| Ok(Vec::new())),
/// ];
/// # let stamped = json!({"price": 5, "currency": "EUR"});
/// # assert_eq!((PAST[0].2)(json!({"price": 5})), Ok(vec![("letter.stamped", stamped)]));
/// ```
pub const PAST: &[Past] = &[
    // Version 2 added `to_fulfil`. People fulfil what was confirmed before.
    (("order.confirmed", 1), &[("order.confirmed", 2)], |mut data| {
        let fields = data.as_object_mut().ok_or("it is no object")?;
        fields.insert("to_fulfil".to_owned(), false.into());
        Ok(vec![("order.confirmed", data)])
    }),
    // Version 2 added the reason. Events of version 1 have none.
    (("order.cancelled", 1), &[("order.cancelled", 2)], |data| Ok(vec![("order.cancelled", data)])),
    (("order.sale_cancelled", 1), &[("order.sale_cancelled", 2)], |data| {
        Ok(vec![("order.sale_cancelled", data)])
    }),
];
