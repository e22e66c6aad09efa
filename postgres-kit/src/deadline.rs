//! The deadline of one call, and the error of a server that let it pass.

use std::io;
use std::time::Duration;

use sqlx::Error;
use tokio::time::timeout;

/// What a call that got no answer within `limit` fails with: an I/O error of the kind
/// [`TimedOut`](io::ErrorKind::TimedOut). Whether the server did the work is unknown.
pub fn silent(limit: Duration) -> Error {
    let what = format!("Postgres did not answer within {} ms", limit.as_millis());
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, what))
}

/// Whether this is the error of a call that got no answer in time.
pub fn is_silent(error: &Error) -> bool {
    match error {
        Error::Io(error) => error.kind() == io::ErrorKind::TimedOut,
        Error::PoolTimedOut => true,
        _ => false,
    }
}

/// Waits for `work`, for `limit` at most. What `work` holds is dropped when the limit passes.
///
/// # Errors
/// Those of `work`; [`silent`]'s when it takes longer.
pub async fn within<T, E: From<Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(silent(limit).into()))
}

/// What a connection that was dropped before fails with.
pub(crate) fn gone() -> Error {
    Error::Io(io::Error::new(io::ErrorKind::NotConnected, "the connection was given up before"))
}
