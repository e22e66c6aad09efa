//! Waiting until a reader has seen all that the log had.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::StoreError;
use crate::event::Position;
use crate::store::EventStore;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Why a wait ended without success.
#[derive(Debug, thiserror::Error)]
pub enum NotCaughtUp {
    /// The log's head could not be asked for.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The time was up.
    #[error("at position {shown} after {waited:?}, and the log's head was {head}")]
    Late {
        /// How far the reader had come.
        shown: Position,
        /// How far the log was when the wait began.
        head: Position,
        /// For how long it was waited.
        waited: Duration,
    },
}

/// Waits until a reader has come to where the log ends now: `shown` says how far it is, and is
/// asked every 10 ms. What is appended meanwhile is not waited for. Answers with how far the reader
/// is.
///
/// # Errors
/// [`NotCaughtUp::Late`] after `limit`, [`NotCaughtUp::Store`] when the head cannot be asked for.
///
/// ```
/// # use std::sync::atomic::{AtomicI64, Ordering};
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use event_store::test_kit::{one, wait_until_caught_up};
/// # use event_store::{EventStore, Filter, MemoryStore, Position};
/// # use futures::StreamExt;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let seen = Arc::new(AtomicI64::new(0));
/// let (mut events, sees) = (store.subscribe(Filter::All, Position::START), Arc::clone(&seen));
/// tokio::spawn(async move {
///     while let Some(Ok(event)) = events.next().await {
///         sees.store(event.position.0, Ordering::Release);
///     }
/// });
/// store.append(one("a")).await?;
/// let shown = async || Position(seen.load(Ordering::Acquire));
/// assert_eq!(wait_until_caught_up(&store, Duration::from_secs(5), shown).await?, Position(1));
/// # Ok(())
/// # }
/// ```
pub async fn wait_until_caught_up(
    store: &dyn EventStore,
    limit: Duration,
    mut shown: impl AsyncFnMut() -> Position,
) -> Result<Position, NotCaughtUp> {
    let head = store.head().await?.mark.position;
    let began = Instant::now();
    loop {
        let at = shown().await;
        if at >= head {
            return Ok(at);
        }
        let waited = began.elapsed();
        if waited >= limit {
            return Err(NotCaughtUp::Late { shown: at, head, waited });
        }
        sleep(LOOK_EVERY).await;
    }
}
