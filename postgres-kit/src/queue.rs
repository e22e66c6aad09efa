//! The queue in front of a pool's connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Callers wait in order of arrival. While calls finish, the pool is busy rather than silent, and
/// callers keep waiting up to a separate limit.
#[derive(Debug)]
pub(crate) struct Queue {
    places: Arc<Semaphore>,
    /// How long a caller waits while no call finishes.
    silence_limit: Duration,
    /// How long a caller waits in total.
    wait_limit: Duration,
    since: Instant,
    /// When a call last got an answer, in microseconds after `since`.
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

    /// Waits for a place in the pool.
    ///
    /// # Errors
    /// [`Error::PoolTimedOut`] after either limit; [`Error::PoolClosed`] after [`Queue::close`].
    pub(crate) async fn place(self: &Arc<Self>) -> Result<Place> {
        let began = Instant::now();
        let mut permit = std::pin::pin!(Arc::clone(&self.places).acquire_owned());
        loop {
            let until = self.patience(began);
            match timeout_at(until, permit.as_mut()).await {
                Ok(Ok(permit)) => return Ok(Place { queue: Arc::clone(self), _permit: permit }),
                Ok(Err(_)) => return Err(Error::PoolClosed),
                // Other calls got answers in the meantime, so this caller keeps waiting.
                Err(_) if self.patience(began) > until => {}
                Err(_) => return Err(Error::PoolTimedOut),
            }
        }
    }

    /// Closes the queue: all waiting and later callers fail.
    pub(crate) fn close(&self) {
        self.places.close();
    }

    /// The current deadline of a caller that began waiting at `began`.
    fn patience(&self, began: Instant) -> Instant {
        let answered = self.since + Duration::from_micros(self.answered.load(Ordering::Relaxed));
        (answered.max(began) + self.silence_limit).min(began + self.wait_limit)
    }
}

impl Place {
    /// Records that the server has answered a call.
    pub(crate) fn answered(&self) {
        let now = u64::try_from(self.queue.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.queue.answered.fetch_max(now, Ordering::Relaxed);
    }
}
