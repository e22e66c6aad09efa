//! The meaning of Postgres errors for the caller. It adds the SQLSTATEs that our functions raise to
//! the table in [`postgres_kit::sqlstate`](mod@postgres_kit::sqlstate).

pub(crate) use postgres_kit::Meaning;
use postgres_kit::SchemaError;
use postgres_kit::sqlstate::{
    INSUFFICIENT_RESOURCES, QUERY_CANCELED, TOO_MANY_CONNECTIONS, meaning_of_sqlstate, sqlstate,
};

use crate::error::StoreError;

/// SQLSTATE: the append function ran under an isolation level other than read committed, or with a
/// search path that its caller chose.
const WRONG_SESSION: &str = "DB001";
/// SQLSTATE: appends of one batch affect each other.
const BATCH_AFFECTS_ITSELF: &str = "DB002";
/// SQLSTATE: the log has a gap, which a digest must not cover.
const GAP: &str = "DB003";
/// SQLSTATE: the append function ran on a server that can lose acknowledged data
/// (`event_store.unsafe_setting`).
const UNSAFE: &str = "DB004";

/// Returns the meaning of a failed call of the append procedure. The procedure commits before it
/// returns. So an error that can follow a COMMIT does not show whether the batch was appended.
pub(crate) fn meaning_of_append(error: &sqlx::Error) -> Meaning {
    match error {
        sqlx::Error::Database(database)
            if database.code().is_some_and(|code| may_follow_commit(&code)) =>
        {
            Meaning::Lost
        }
        error => meaning(error),
    }
}

/// Whether the server can raise this error after the procedure's COMMIT, while it forms and sends
/// the answer. Such errors are a cancel and a lack of memory or disk. The end of a session is
/// [`Meaning::Lost`] for every call. Errors of a lock or a write are not included, since nothing is
/// locked or written after the COMMIT. Neither is "too many connections", which only a new
/// connection can get.
fn may_follow_commit(code: &str) -> bool {
    code == QUERY_CANCELED
        || (code.starts_with(INSUFFICIENT_RESOURCES) && code != TOO_MANY_CONNECTIONS)
}

/// Makes the error of a call that certainly changed nothing and never will.
pub(crate) fn unusable(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(database) if database.code().as_deref() == Some(UNSAFE) => {
            StoreError::Unsafe(database.message().to_owned())
        }
        error => StoreError::Database(error),
    }
}

/// Returns the meaning of a failed call.
pub(crate) fn meaning(error: &sqlx::Error) -> Meaning {
    match sqlstate(error) {
        Some(code) => meaning_of_code(&code),
        None => postgres_kit::meaning(error),
    }
}

fn meaning_of_code(code: &str) -> Meaning {
    match code {
        WRONG_SESSION | UNSAFE => Meaning::Unusable,
        BATCH_AFFECTS_ITSELF | GAP => Meaning::Data,
        code => meaning_of_sqlstate(code),
    }
}

/// Converts the error of a read.
pub(crate) fn read_error(error: sqlx::Error) -> StoreError {
    match meaning(&error) {
        Meaning::Busy | Meaning::Lost => StoreError::Unavailable(Some(error)),
        Meaning::Unusable => match error {
            sqlx::Error::Configuration(reason) => StoreError::Unusable(reason.to_string()),
            error => StoreError::Database(error),
        },
        Meaning::Data => StoreError::Database(error),
    }
}

impl From<SchemaError> for StoreError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Database(error) => read_error(error),
            SchemaError::Migrate { source, .. } => Self::Unusable(source.to_string()),
            error => Self::Unusable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_migrations_raise_the_sqlstates_that_are_named_here() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/event_store");
        let mut raised = BTreeSet::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let codes = text.split("ERRCODE = '").skip(1);
            raised.extend(codes.map(|code| code.split('\'').next().unwrap().to_owned()));
        }
        let ours = [WRONG_SESSION, BATCH_AFFECTS_ITSELF, GAP, UNSAFE];
        assert_eq!(raised, ours.map(str::to_owned).into());
    }

    #[test]
    fn what_can_arrive_after_the_commit_is_never_taken_for_an_append_that_changed_nothing() {
        // A cancel, lack of memory or disk, the end of a session, internal errors.
        for code in [
            "57014", "53200", "53100", "53400", "57P01", "57P02", "57P04", "57P05", "25P03",
            "25P04", "08006", "58030", "XX000",
        ] {
            let meaning =
                if may_follow_commit(code) { Meaning::Lost } else { meaning_of_code(code) };
            assert_eq!(meaning, Meaning::Lost, "{code}");
        }
        // Errors of a lock, a first write or a new connection come before the COMMIT.
        for code in ["55P03", "40P01", "40001", "25006", "53300", "57P03"] {
            assert!(!may_follow_commit(code) && meaning_of_code(code) == Meaning::Busy, "{code}");
        }
        assert_eq!(meaning_of_code("57014"), Meaning::Busy, "a cancelled read can be repeated");
    }
}
