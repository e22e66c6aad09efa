//! Personal data inside events. It is marked when it is created, so it can be encrypted per person
//! and erased completely.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A value that belongs to a person. It is either present or erased.
///
/// Projections never compare, count or index it. Its JSON is `{"$subject": "<person's id>",
/// "$personal": <value or null>}`, which a store can recognise without knowing the event.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Personal<T> {
    /// The subject: the person that the data belongs to.
    #[serde(rename = "$subject")]
    subject: Uuid,
    /// The value, or `None` after it was erased.
    #[serde(rename = "$personal")]
    value: Option<T>,
}

impl<T> Personal<T> {
    /// Marks `value` as belonging to `subject`.
    pub const fn new(subject: Uuid, value: T) -> Self {
        Self { subject, value: Some(value) }
    }

    /// The id of the person that the value belongs to.
    pub const fn subject(&self) -> Uuid {
        self.subject
    }

    /// The value, or `None` after it was erased.
    pub const fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// Takes the value out, or returns `None` after it was erased.
    pub fn into_value(self) -> Option<T> {
        self.value
    }
}

impl<T> std::fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.value.is_some() { "Personal(..)" } else { "Personal(erased)" })
    }
}
