//! What an error of Postgres means: the one table of SQLSTATEs (PostgreSQL documentation,
//! appendix A).

use std::borrow::Cow;

/// A table is not there.
pub const UNDEFINED_TABLE: &str = "42P01";
/// A schema is not there.
pub const INVALID_SCHEMA_NAME: &str = "3F000";
/// A lock did not come in time.
pub const LOCK_NOT_AVAILABLE: &str = "55P03";
/// A statement took too long, or somebody cancelled it.
pub const QUERY_CANCELED: &str = "57014";
/// A row has the key of another one.
pub const UNIQUE_VIOLATION: &str = "23505";
/// A row excludes another one.
pub const EXCLUSION_VIOLATION: &str = "23P01";
/// A prepared statement's result has other columns now.
pub const FEATURE_NOT_SUPPORTED: &str = "0A000";
/// A prepared statement is not there any more.
pub const INVALID_SQL_STATEMENT_NAME: &str = "26000";
/// All connections that the server has are taken.
pub const TOO_MANY_CONNECTIONS: &str = "53300";

/// The class of values that do not fit their type.
pub const DATA_EXCEPTION: &str = "22";
/// The class of constraints.
pub const INTEGRITY_CONSTRAINT_VIOLATION: &str = "23";
/// The class of what the server lacks: memory, disk, connections.
pub const INSUFFICIENT_RESOURCES: &str = "53";

/// What follows from a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It certainly changed nothing, and may succeed when sent again.
    Busy,
    /// Whether it changed anything is not known. The connection is gone, or not worth keeping.
    Lost,
    /// Something in the data cannot be stored; it changed nothing.
    Data,
    /// It changed nothing and never will, whatever is sent.
    Unusable,
}

/// The SQLSTATE that the server sent with an error. `None`: the server did not send the error.
pub fn sqlstate(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code)
}

/// Whether an error has one of these SQLSTATEs, or is of one of these classes (two characters).
pub fn has_sqlstate(error: &sqlx::Error, codes_or_classes: &[&str]) -> bool {
    sqlstate(error).is_some_and(|code| {
        codes_or_classes.iter().any(|wanted| {
            if wanted.len() == 2 { code.starts_with(wanted) } else { code == *wanted }
        })
    })
}

/// What a failed call means.
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
        // Io, Tls, Protocol, a crashed worker: whatever was under way may have been done.
        _ => Meaning::Lost,
    }
}

/// What a call means that failed with this SQLSTATE.
pub fn meaning_of_sqlstate(code: &str) -> Meaning {
    match code {
        // Locks, deadlocks and serialisation; a cancelled statement; cannot connect now. Read-only:
        // sessions that write are not, so it is a standby, which may be about to be promoted.
        LOCK_NOT_AVAILABLE | "40001" | "40P01" | QUERY_CANCELED | "57P03" | "25006" => {
            Meaning::Busy
        }
        // The server ended the session, perhaps after the commit: shut down, crashed, database
        // dropped, idle for too long, or its transaction open for too long.
        "57P01" | "57P02" | "57P04" | "57P05" | "25P03" | "25P04" | "40003" => Meaning::Lost,
        // Privileges; a function or a table that is not there.
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

/// Whether trying again later may help without anybody's doing.
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed => true,
        // Connections, states of a session, serialisation and deadlocks, resources, locks, the
        // operator's intervention, the system beneath.
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
