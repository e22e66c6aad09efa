//! Waits until a reader has caught up with the log.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::StoreError;
use crate::event::Position;
use crate::store::EventStore;

/// The interval between checks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The reason why a wait failed.
#[derive(Debug, thiserror::Error)]
pub enum NotCaughtUp {
    /// The log's head could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The time limit passed.
    #[error("at position {shown} after {waited:?}, and the log's head was {head}")]
    Late {
        /// The position of the reader.
        shown: Position,
        /// The position of the log's head when the wait began.
        head: Position,
        /// The time waited.
        waited: Duration,
    },
}

/// Waits until a reader has reached the log's current head, and returns its position. `shown`
/// returns the reader's position and is called every 10 ms. Events appended meanwhile are not
/// waited for.
///
/// # Errors
/// [`NotCaughtUp::Late`] after `limit`, [`NotCaughtUp::Store`] when the head cannot be read.
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
