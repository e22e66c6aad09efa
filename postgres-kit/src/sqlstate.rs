//! Classifies Postgres errors by SQLSTATE (PostgreSQL documentation, appendix A).

use std::borrow::Cow;

/// A table does not exist.
pub const UNDEFINED_TABLE: &str = "42P01";
/// A schema does not exist.
pub const INVALID_SCHEMA_NAME: &str = "3F000";
/// A lock was not acquired in time.
pub const LOCK_NOT_AVAILABLE: &str = "55P03";
/// A statement was cancelled or exceeded its timeout.
pub const QUERY_CANCELED: &str = "57014";
/// A row with the same unique key exists.
pub const UNIQUE_VIOLATION: &str = "23505";
/// A row conflicts with an exclusion constraint.
pub const EXCLUSION_VIOLATION: &str = "23P01";
/// A feature is not supported; also sent when a prepared statement's result columns changed.
pub const FEATURE_NOT_SUPPORTED: &str = "0A000";
/// A prepared statement does not exist any more.
pub const INVALID_SQL_STATEMENT_NAME: &str = "26000";
/// All connections of the server are taken.
pub const TOO_MANY_CONNECTIONS: &str = "53300";

/// The class of errors about values that do not fit their type.
pub const DATA_EXCEPTION: &str = "22";
/// The class of constraint violations.
pub const INTEGRITY_CONSTRAINT_VIOLATION: &str = "23";
/// The class of exhausted resources: memory, disk, connections.
pub const INSUFFICIENT_RESOURCES: &str = "53";

/// What a failed call implies for a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It changed nothing, and a retry may succeed.
    Busy,
    /// It is unknown whether it changed anything. The connection is gone or should be dropped.
    Lost,
    /// The data cannot be stored. It changed nothing.
    Data,
    /// It changed nothing, and no retry can succeed.
    Unusable,
}

/// The SQLSTATE of an error, or `None` if the error did not come from the server.
pub fn sqlstate(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code)
}

/// Whether an error has one of these SQLSTATEs or belongs to one of these classes (two characters).
pub fn has_sqlstate(error: &sqlx::Error, codes_or_classes: &[&str]) -> bool {
    sqlstate(error).is_some_and(|code| {
        codes_or_classes.iter().any(|wanted| {
            if wanted.len() == 2 { code.starts_with(wanted) } else { code == *wanted }
        })
    })
}

/// Classifies the error of a failed call.
pub fn meaning(error: &sqlx::Error) -> Meaning {
    match error {
        sqlx::Error::Database(database) => {
            database.code().map_or(Meaning::Lost, |code| meaning_of_sqlstate(&code))
        }
        sqlx::Error::PoolTimedOut => Meaning::Busy,
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::Configuration(_) => Meaning::Unusable,
        sqlx::Error::Encode(_) => Meaning::Data,
        // Io, Tls, Protocol, a crashed worker: the server may have done the work.
        _ => Meaning::Lost,
    }
}

/// Classifies a SQLSTATE.
pub fn meaning_of_sqlstate(code: &str) -> Meaning {
    match code {
        // Locks, deadlocks and serialisation; a cancelled statement; cannot connect now. Read-only:
        // our writing sessions are read-write, so this is a standby, which may soon be promoted.
        LOCK_NOT_AVAILABLE | "40001" | "40P01" | QUERY_CANCELED | "57P03" | "25006" => {
            Meaning::Busy
        }
        // The server ended the session, perhaps after the commit: shut down, crashed, database
        // dropped, idle too long, or transaction open too long.
        "57P01" | "57P02" | "57P04" | "57P05" | "25P03" | "25P04" | "40003" => Meaning::Lost,
        // Missing privileges; a function or table that does not exist.
        "42501" | "42883" | UNDEFINED_TABLE | INVALID_SCHEMA_NAME => Meaning::Unusable,
        _ => match code.get(..2) {
            // Out of connections, memory or disk.
            Some(INSUFFICIENT_RESOURCES) => Meaning::Busy,
            Some("08" | "58" | "XX") | None => Meaning::Lost,
            Some("28" | "3D") => Meaning::Unusable,
            Some(_) => Meaning::Data,
        },
    }
}

/// Whether a retry may succeed without anybody's intervention.
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed => true,
        // Connections, session states, serialisation and deadlocks, resources, locks, operator
        // intervention, system errors.
        error => has_sqlstate(error, &["08", "25", "40", INSUFFICIENT_RESOURCES, "55", "57", "58"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_nobody_named_has_the_meaning_of_its_class() {
        for (code, means) in [
            (TOO_MANY_CONNECTIONS, Meaning::Busy),
            ("08006", Meaning::Lost),
            ("XX000", Meaning::Lost),
            ("28P01", Meaning::Unusable),
            (UNIQUE_VIOLATION, Meaning::Data),
            ("", Meaning::Lost),
        ] {
            assert_eq!(meaning_of_sqlstate(code), means, "{code}");
        }
    }

    #[test]
    fn what_the_server_did_not_send_has_no_sqlstate() {
        let away = sqlx::Error::PoolTimedOut;
        assert!(sqlstate(&away).is_none() && !has_sqlstate(&away, &["08"]));
        assert!(is_transient(&away) && !is_transient(&sqlx::Error::RowNotFound));
    }
}
