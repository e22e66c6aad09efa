//! What came of each append of a batch, as the append function names it: the names of the SQL enum
//! `event_store.append_status`.

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Postgres, Type};

/// Lists every status with its name in SQL.
macro_rules! statuses {
    ($($(#[$doc:meta])* $status:ident = $name:literal,)+) => {
        /// What came of one append. What goes with a status is said in the migration.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Status {
            $($(#[$doc])* $status,)+
        }

        impl Status {
            /// The status of this name; none when the function is newer than this program.
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
    /// It was appended now.
    Appended = "appended",
    /// It was appended before: the batch was sent again.
    SentAgain = "sent_again",
    /// It was appended before under its idempotency key.
    Repeated = "repeated",
    /// Its idempotency key is another request's.
    KeyReused = "key_reused",
    /// The log has another epoch.
    OtherEpoch = "other_epoch",
    /// An event id of it is taken.
    DuplicateEvent = "duplicate_event",
    /// A stream has another version than expected.
    WrongVersion = "wrong_version",
    /// An event breaks a condition.
    ConditionBroken = "condition_broken",
    /// Another stream owns a reservation that it takes.
    Reserved = "reserved",
    /// A stream of it is closed.
    StreamClosed = "stream_closed",
    /// A subject of it is erased.
    SubjectErased = "subject_erased",
}

// The procedures answer with names as text: the type of the enum has another number in each
// database, which every connection would have to ask for.
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

    /// What stands in single quotes in a line, its comment left out.
    fn quoted(line: &str) -> impl Iterator<Item = &str> {
        line.split("--").next().unwrap().split('\'').skip(1).step_by(2)
    }

    #[test]
    fn sql_and_rust_name_the_same_statuses() {
        let (_, after) = APPEND.split_once("TYPE event_store.append_status AS ENUM (").unwrap();
        let (values, function) = after.split_once("\n);").unwrap();
        let named: Vec<&str> = values.lines().flat_map(quoted).collect();
        assert_eq!(named, Status::NAMES);

        // plpgsql looks at a name only when it gets there.
        let uses = function.lines().filter(|line| line.contains("o_status"));
        let used: Vec<&str> = uses.flat_map(quoted).collect();
        let unknown: Vec<_> = used.iter().filter(|name| Status::named(name).is_none()).collect();
        assert!(unknown.is_empty(), "the function uses {unknown:?}, which are no statuses");
        let unused: Vec<_> = named.iter().filter(|name| !used.contains(name)).collect();
        assert!(unused.is_empty(), "the function never answers {unused:?}");
    }
}
