//! The bulkhead: a target that is slow must not take up all of a process.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::Reason;

/// How many calls to a target there may be.
#[derive(Debug, Clone, Copy)]
pub struct BulkheadSettings {
    /// The maximum number of attempts under way, and so of connections.
    pub at_once: usize,
    /// The maximum number of calls that wait for one of them to end.
    pub waiting: usize,
}

impl Default for BulkheadSettings {
    fn default() -> Self {
        Self { at_once: 32, waiting: 128 }
    }
}

/// The bulkhead of one target.
#[derive(Debug)]
pub(crate) struct Bulkhead {
    settings: BulkheadSettings,
    places: Semaphore,
    waiting: AtomicUsize,
}

/// Counts a call as waiting, as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Bulkhead {
    pub(crate) fn new(settings: BulkheadSettings) -> Self {
        let places = Semaphore::new(settings.at_once);
        Self { settings, places, waiting: AtomicUsize::new(0) }
    }

    /// Takes a place, in order of arrival. It is free again when the permit is dropped.
    ///
    /// # Errors
    /// [`Reason::Busy`]: too many calls wait already.
    pub(crate) async fn enter(&self) -> Result<SemaphorePermit<'_>, Reason> {
        if let Ok(place) = self.places.try_acquire() {
            return Ok(place);
        }
        let BulkheadSettings { at_once, waiting } = self.settings;
        let busy = || Reason::Busy { at_once, waiting };
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let counted = Waiting(&self.waiting);
        if before >= waiting {
            return Err(busy());
        }
        // Nobody closes the semaphore.
        let place = self.places.acquire().await.map_err(|_| busy());
        drop(counted);
        place
    }

    /// The numbers of attempts under way and of calls that wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        let under_way = self.settings.at_once.saturating_sub(self.places.available_permits());
        (under_way, self.waiting.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use polled::poll_once;

    use super::*;

    /// Polls a future once.
    mod polled {
        use std::pin::Pin;
        use std::task::{Context, Poll, Waker};

        pub(super) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
            future.poll(&mut Context::from_waker(Waker::noop()))
        }
    }

    #[test]
    fn calls_beyond_the_places_wait_and_those_beyond_the_queue_are_refused() {
        let bulkhead = Bulkhead::new(BulkheadSettings { at_once: 1, waiting: 1 });
        let mut first = std::pin::pin!(bulkhead.enter());
        let std::task::Poll::Ready(Ok(place)) = poll_once(first.as_mut()) else {
            panic!("the first one has a place")
        };
        let mut second = Box::pin(bulkhead.enter());
        assert!(poll_once(second.as_mut()).is_pending());
        assert_eq!(bulkhead.load(), (1, 1));
        let mut third = Box::pin(bulkhead.enter());
        let std::task::Poll::Ready(Err(refused)) = poll_once(third.as_mut()) else {
            panic!("the third one is refused")
        };
        assert!(matches!(refused, Reason::Busy { at_once: 1, waiting: 1 }), "{refused}");
        assert_eq!(bulkhead.load(), (1, 1));
        // A caller that gives up leaves the queue.
        drop(second);
        assert_eq!(bulkhead.load(), (1, 0));
        let mut fourth = Box::pin(bulkhead.enter());
        assert!(poll_once(fourth.as_mut()).is_pending());
        drop(place);
        assert!(poll_once(fourth.as_mut()).is_ready());
    }
}
