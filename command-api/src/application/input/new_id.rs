//! The id of something that a command creates: made here, or given by the caller.

use uuid::{Uuid, Variant};

use super::{Fields, InvalidValue};

/// The id of something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewId {
    /// The id was made here, so nothing has it yet.
    Made(Uuid),
    /// The caller gave the id, so something may have it already.
    Given(Uuid),
}

impl NewId {
    /// Makes an id.
    pub fn make() -> Self {
        Self::Made(Uuid::now_v7())
    }

    /// The id.
    pub const fn get(self) -> Uuid {
        match self {
            Self::Made(id) | Self::Given(id) => id,
        }
    }

    /// Reads the id that the caller gave in the field `id`, or makes one. Ids grow with time, so
    /// that the database finds new ones together: only version 7 (RFC 9562) is accepted.
    pub fn read(given: Option<Uuid>, fields: &mut Fields) -> Self {
        let Some(id) = given else { return Self::make() };
        if id.get_version_num() != 7 || id.get_variant() != Variant::RFC4122 {
            fields.refuse("id", InvalidValue::NotVersion7);
        }
        Self::Given(id)
    }
}
