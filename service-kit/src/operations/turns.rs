//! Limits how many requests hold a connection to the record at once.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::answer::RETRY_LATER;
use crate::Problem;

/// The maximum number of requests that hold a connection to the record at once.
const MAX_CONNECTIONS: u32 = 4;
/// How long a request waits for its turn.
const TURN_LIMIT: Duration = Duration::from_secs(5);

/// Gives requests their turn to hold a connection to the record of operations.
#[derive(Debug)]
pub struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(MAX_CONNECTIONS as usize))
    }
}

impl Turns {
    /// The maximum number of requests that hold a connection to the record at once.
    pub const MOST: u32 = MAX_CONNECTIONS;

    /// Waits for a turn, which ends when it is dropped.
    ///
    /// # Errors
    /// 503 if none was free in time.
    pub async fn take(&self) -> Result<SemaphorePermit<'_>, Problem> {
        let turn = tokio::time::timeout(TURN_LIMIT, self.0.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| {
            let title = "Too many requests wait for the record of operations";
            Problem::shed("too-many-requests", title, RETRY_LATER)
        })
    }
}
