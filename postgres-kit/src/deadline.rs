//! The deadline of one call, and the error when the server misses it.

use std::io;
use std::time::Duration;

use sqlx::Error;
use tokio::time::timeout;

/// The error of a call that got no answer within `limit`: an I/O error of the kind
/// [`TimedOut`](io::ErrorKind::TimedOut). Nobody knows whether the server did the work.
pub fn silent(limit: Duration) -> Error {
    let what = format!("Postgres did not answer within {} ms", limit.as_millis());
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, what))
}

/// Whether an error means that no answer came in time.
pub fn is_silent(error: &Error) -> bool {
    match error {
        Error::Io(error) => error.kind() == io::ErrorKind::TimedOut,
        Error::PoolTimedOut => true,
        _ => false,
    }
}

/// Waits at most `limit` for `work`, then drops it.
///
/// # Errors
/// Those of `work`; [`silent`]'s if it takes longer.
pub async fn within<T, E: From<Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(silent(limit).into()))
}

/// The error of a call on a connection that was dropped earlier.
pub(crate) fn gone() -> Error {
    Error::Io(io::Error::new(io::ErrorKind::NotConnected, "the connection was dropped earlier"))
}
