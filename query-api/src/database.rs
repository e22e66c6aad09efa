//! The pool of connections to the read tables: read-only, bounded in number and time, and guarded against connections
//! that come back inside a transaction.

use std::str::FromStr as _;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::Row as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};

/// How long a query may wait for a free connection.
pub const ACQUIRE_LIMIT: Duration = Duration::from_secs(1);
/// Closed and opened anew after this long, so that a failed-over address is noticed.
const MAX_LIFETIME: Duration = Duration::from_mins(30);
const IDLE_LIMIT: Duration = Duration::from_mins(5);

/// The URL cannot be used. Never carries it: it holds a password.
#[derive(Debug, thiserror::Error)]
#[error("the database URL is not valid")]
pub struct UrlError;

/// A pool of read-only connections; connects when first used.
///
/// # Errors
/// [`UrlError`].
pub fn pool(url: &SecretString, connections: u32) -> Result<PgPool, UrlError> {
    let options = PgConnectOptions::from_str(url.expose_secret()).map_err(|_| UrlError)?;
    let options = options.application_name("query-api").options([
        ("default_transaction_read_only", "on"),
        ("statement_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "5s"),
        ("client_connection_check_interval", "1s"),
        ("tcp_keepalives_idle", "5"),
        ("tcp_user_timeout", "10s"),
        // Optional filters are `$1 IS NULL OR …`: planned with the values, such a statement uses the right index.
        ("plan_cache_mode", "force_custom_plan"),
    ]);
    Ok(PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_LIMIT)
        .max_lifetime(MAX_LIFETIME)
        .idle_timeout(IDLE_LIMIT)
        .after_release(|connection, _| Box::pin(is_outside_transaction(connection)))
        .connect_lazy_with(options))
}

/// A dropped future can leave a transaction open behind the driver's back; whoever borrows the connection next would
/// run inside it. By the simple protocol: in the extended one the two times always differ.
async fn is_outside_transaction(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    use sqlx::Executor as _;
    let row = connection.fetch_one(sqlx::raw_sql("SELECT now() = statement_timestamp()")).await?;
    row.try_get(0)
}
