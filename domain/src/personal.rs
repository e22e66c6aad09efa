//! Personal data inside events: marked from the first, so that it can be encrypted per person and
//! truly erased.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A value that belongs to a person: stored or blanked. Never compared, counted or keyed on by a
/// projection.
///
/// Its JSON is `{"$subject": "<person's id>", "$personal": <value or null>}`, which a store can
/// recognise without knowing the event.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Personal<T> {
    /// The subject: the person whose data it is.
    #[serde(rename = "$subject")]
    subject: Uuid,
    /// The value, until it is erased.
    #[serde(rename = "$personal")]
    value: Option<T>,
}

impl<T> Personal<T> {
    /// Marks `value` as belonging to `subject`.
    pub const fn new(subject: Uuid, value: T) -> Self {
        Self { subject, value: Some(value) }
    }

    /// Whose it is.
    pub const fn subject(&self) -> Uuid {
        self.subject
    }

    /// The value, or `None` once it is erased.
    pub const fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// The value, or `None` once it is erased.
    pub fn into_value(self) -> Option<T> {
        self.value
    }
}

impl<T> std::fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.value.is_some() { "Personal(..)" } else { "Personal(erased)" })
    }
}
