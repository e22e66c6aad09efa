//! The status of each append of a batch, with the names of the SQL enum
//! `event_store.append_status`.

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Postgres, Type};

/// Lists every status with its SQL name.
macro_rules! statuses {
    ($($(#[$doc:meta])* $status:ident = $name:literal,)+) => {
        /// The status of one append. The migration describes the values that go with each status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Status {
            $($(#[$doc])* $status,)+
        }

        impl Status {
            /// Returns the status of this name; `None` when the function is newer than this
            /// program.
            pub(super) fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$status),)+
                    _ => None,
                }
            }

            #[cfg(test)]
            const NAMES: &'static [&'static str] = &[$($name),+];
        }
    };
}

statuses! {
    /// The append succeeded now.
    Appended = "appended",
    /// An earlier send of the same batch had appended it.
    SentAgain = "sent_again",
    /// An earlier append used its idempotency key with the same request.
    Repeated = "repeated",
    /// Another request used its idempotency key.
    KeyReused = "key_reused",
    /// The log has another epoch.
    OtherEpoch = "other_epoch",
    /// The log already has one of its event ids.
    DuplicateEvent = "duplicate_event",
    /// A stream does not have the required version.
    WrongVersion = "wrong_version",
    /// An event breaks a condition.
    ConditionBroken = "condition_broken",
    /// Another stream holds a value that it takes.
    Reserved = "reserved",
    /// One of its streams is closed.
    StreamClosed = "stream_closed",
    /// One of its subjects is erased.
    SubjectErased = "subject_erased",
}

// The procedures return status names as text. The enum type has a different OID in each database,
// and every connection would have to look it up.
impl Type<Postgres> for Status {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Status {
    fn array_type_info() -> PgTypeInfo {
        <String as PgHasArrayType>::array_type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Status {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let name = <&str as Decode<Postgres>>::decode(value)?;
        Self::named(name)
            .ok_or_else(|| format!("event_store.append answered with the status {name}").into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const APPEND: &str =
        include_str!("../../../../migrations/event_store/20261122100400_append.sql");

    /// Returns the texts in single quotes of a line, without its comment.
    fn quoted(line: &str) -> impl Iterator<Item = &str> {
        line.split("--").next().unwrap().split('\'').skip(1).step_by(2)
    }

    #[test]
    fn sql_and_rust_name_the_same_statuses() {
        let (_, after) = APPEND.split_once("TYPE event_store.append_status AS ENUM (").unwrap();
        let (values, function) = after.split_once("\n);").unwrap();
        let named: Vec<&str> = values.lines().flat_map(quoted).collect();
        assert_eq!(named, Status::NAMES);

        // plpgsql resolves a name only when it executes the line.
        let uses = function.lines().filter(|line| line.contains("o_status"));
        let used: Vec<&str> = uses.flat_map(quoted).collect();
        let unknown: Vec<_> = used.iter().filter(|name| Status::named(name).is_none()).collect();
        assert!(unknown.is_empty(), "the function uses {unknown:?}, which are no statuses");
        let unused: Vec<_> = named.iter().filter(|name| !used.contains(name)).collect();
        assert!(unused.is_empty(), "the function never answers {unused:?}");
    }
}
