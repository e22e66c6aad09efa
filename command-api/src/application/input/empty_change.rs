//! How a change that names no field ends.

use super::{FieldPath, Fields, InvalidValue};

/// Whether a change may name no field. Each version of the API decides that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyChange {
    /// It is refused, because the caller probably made a mistake.
    #[default]
    Refused,
    /// It changes nothing, like any merge patch without a field (RFC 7396).
    Accepted,
}

impl EmptyChange {
    /// Notes that a change is empty. `names` lists the fields that it could name.
    pub fn check(self, fields: &mut Fields, names: &'static str) {
        if self == Self::Refused {
            fields.refuse(FieldPath::whole(), InvalidValue::NothingToChange { fields: names });
        }
    }
}
