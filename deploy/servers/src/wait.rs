//! Waits for tests. Each has a limit, and a failed wait reports what was awaited and for how long.

use std::fs::File;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use crate::ServerError;

/// How long a test waits for something that is immediate in a healthy run.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// How often a condition is checked.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits for a future.
///
/// # Panics
/// If it does not complete within [`PATIENCE`].
pub async fn in_time<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    within(PATIENCE, what, awaited).await
}

/// Waits for a future with this limit.
///
/// # Panics
/// If it does not complete within the limit.
#[allow(clippy::panic, reason = "a test's wait: failing loudly is its error handling")]
pub async fn within<T>(limit: Duration, what: &str, awaited: impl Future<Output = T>) -> T {
    timeout(limit, awaited).await.unwrap_or_else(|_| panic!("{}", late(limit, what)))
}

/// Waits until a condition holds.
///
/// # Panics
/// If it does not hold within [`PATIENCE`].
pub async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    until_within(PATIENCE, what, holds).await;
}

/// Waits until a condition holds, with this limit. A check that is still running at the end counts
/// as false.
///
/// # Panics
/// If it does not hold within the limit.
pub async fn until_within(limit: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !timeout_at(deadline, holds()).await.unwrap_or(false) {
        assert!(Instant::now() < deadline, "{}", late(limit, what));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn late(limit: Duration, what: &str) -> String {
    format!("waited {limit:?} in vain: {what}")
}

/// Locks a file, waiting at most `limit` for another holder. Closing the file releases the lock.
///
/// # Errors
/// Another process still holds the lock, or the file cannot be locked.
pub async fn locked(file: File, what: &'static str, limit: Duration) -> Result<File, ServerError> {
    let deadline = Instant::now() + limit;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::Error(source)) => {
                return Err(ServerError::File { action: "lock", path: what.into(), source });
            }
            Err(std::fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(ServerError::Late { what: what.to_owned(), seconds: limit.as_secs() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use super::{in_time, locked, until, within};

    const SHORT: Duration = Duration::from_millis(50);

    /// The panic message of a failed wait, under a paused clock that skips idle time.
    fn failure(wait: impl Future<Output = ()>) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| runtime.block_on(wait))).unwrap_err();
        *panicked.downcast::<String>().unwrap()
    }

    #[test]
    fn a_wait_in_vain_says_for_what_and_for_how_long() {
        let never = || std::future::pending::<()>();
        assert_eq!(failure(within(SHORT, "a letter", never())), "waited 50ms in vain: a letter");
        assert_eq!(failure(in_time("a letter", never())), "waited 60s in vain: a letter");
        assert_eq!(failure(until("it rains", async || false)), "waited 60s in vain: it rains");
        let silent = async || std::future::pending::<bool>().await;
        assert_eq!(failure(until("it answers", silent)), "waited 60s in vain: it answers");
    }

    #[tokio::test]
    async fn a_lock_that_another_holds_is_not_awaited_for_ever() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let held = locked(file.reopen().unwrap(), "the turn", SHORT).await.unwrap();
        let error = locked(file.reopen().unwrap(), "the turn", SHORT).await.unwrap_err();
        assert!(error.to_string().contains("the turn"), "{error}");
        drop(held);
        locked(file.reopen().unwrap(), "the turn", SHORT).await.unwrap();
    }
}
