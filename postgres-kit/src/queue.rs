//! Who may use a connection of a pool next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Callers wait in the order in which they came. A pool whose calls come to an end is busy, not
/// silent: its callers go on waiting, up to a limit of its own.
#[derive(Debug)]
pub(crate) struct Queue {
    places: Arc<Semaphore>,
    /// How long a caller waits while no call comes to an end.
    silence_limit: Duration,
    /// How long a caller waits in all.
    wait_limit: Duration,
    since: Instant,
    /// When a call last got an answer: microseconds after `since`.
    answered: AtomicU64,
}

/// The right to use one connection.
#[derive(Debug)]
pub(crate) struct Place {
    queue: Arc<Queue>,
    _permit: OwnedSemaphorePermit,
}

impl Queue {
    pub(crate) fn new(places: u32, silence_limit: Duration, wait_limit: Duration) -> Arc<Self> {
        let places = usize::try_from(places).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            places: Arc::new(Semaphore::new(places)),
            silence_limit,
            wait_limit,
            since: Instant::now(),
            answered: AtomicU64::new(0),
        })
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`Error::PoolTimedOut`] after either limit, [`Error::PoolClosed`].
    pub(crate) async fn place(self: &Arc<Self>) -> Result<Place> {
        let began = Instant::now();
        let mut permit = std::pin::pin!(Arc::clone(&self.places).acquire_owned());
        loop {
            let until = self.patience(began);
            match timeout_at(until, permit.as_mut()).await {
                Ok(Ok(permit)) => return Ok(Place { queue: Arc::clone(self), _permit: permit }),
                Ok(Err(_)) => return Err(Error::PoolClosed),
                // Others were answered meanwhile: the wait goes on.
                Err(_) if self.patience(began) > until => {}
                Err(_) => return Err(Error::PoolTimedOut),
            }
        }
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&self) {
        self.places.close();
    }

    /// Until when somebody waits who began then, as things stand.
    fn patience(&self, began: Instant) -> Instant {
        let answered = self.since + Duration::from_micros(self.answered.load(Ordering::Relaxed));
        (answered.max(began) + self.silence_limit).min(began + self.wait_limit)
    }
}

impl Place {
    /// The server has answered a call.
    pub(crate) fn answered(&self) {
        let now = u64::try_from(self.queue.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.queue.answered.fetch_max(now, Ordering::Relaxed);
    }
}
