//! What waits for one client, limited in bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use tokio::sync::Notify;
use uuid::Uuid;

use super::frame::Place;

/// The memory that an event takes in a queue next to its text, in bytes.
const OVERHEAD: usize = 128;
/// The number of messages for which an empty queue keeps room.
const KEPT: usize = 8;

/// A message of the hub to a client.
#[derive(Debug, Clone)]
pub(super) enum Sent {
    /// A change of a row.
    Change {
        /// The place up to which the client is complete with this event.
        place: Place,
        /// The row.
        id: Uuid,
        /// The position of the row's last change.
        position: i64,
        /// Whether a client needs it whatever it has read: the row changed behind the position.
        always: bool,
        /// The event as it is sent.
        text: Bytes,
    },
    /// The hub shows other tables now, so the client needs a new snapshot.
    Reset,
}

/// The hub's end of a client's queue. Dropping it ends the queue.
#[derive(Debug)]
pub(super) struct Queue {
    shared: Arc<Shared>,
    limit: usize,
}

/// The client's end of its queue.
#[derive(Debug)]
pub(super) struct Received(Arc<Shared>);

/// A channel of the runtime would allocate room for 32 messages when it is made, about 3 KiB, which
/// most clients never use.
#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Sent>,
    bytes: usize,
    /// Whether nothing more comes: it was full, or one of its ends is gone.
    has_ended: bool,
}

impl Sent {
    fn cost(&self) -> usize {
        match self {
            Self::Change { text, .. } => text.len() + OVERHEAD,
            Self::Reset => 0,
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.waiting().has_ended = true;
        self.news.notify_one();
    }
}

impl Waiting {
    fn take(&mut self) -> Option<Sent> {
        let sent = self.messages.pop_front()?;
        self.bytes -= sent.cost();
        if self.messages.is_empty() && self.messages.capacity() > KEPT {
            self.messages = VecDeque::new();
        }
        Some(sent)
    }
}

impl Queue {
    /// A queue that holds so many bytes.
    pub(super) fn new(limit: usize) -> (Self, Received) {
        let shared = Arc::<Shared>::default();
        (Self { shared: Arc::clone(&shared), limit }, Received(shared))
    }

    /// Puts a message into the queue. Returns `false` if it is full, or if the client is gone.
    pub(super) fn push(&self, sent: Sent) -> bool {
        let mut waiting = self.shared.waiting();
        let bytes = waiting.bytes + sent.cost();
        if waiting.has_ended || bytes > self.limit {
            // What came later would follow a gap.
            waiting.has_ended = true;
            return false;
        }
        waiting.bytes = bytes;
        waiting.messages.push_back(sent);
        drop(waiting);
        self.shared.news.notify_one();
        true
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Received {
    /// Waits for the next message. `None` after the queue was full.
    pub(super) async fn next(&mut self) -> Option<Sent> {
        loop {
            let has_ended = {
                let mut waiting = self.0.waiting();
                if let Some(sent) = waiting.take() {
                    return Some(sent);
                }
                waiting.has_ended
            };
            if has_ended {
                return None;
            }
            self.0.news.notified().await;
        }
    }

    /// The next message, if it is there already.
    pub(super) fn try_next(&mut self) -> Option<Sent> {
        self.0.waiting().take()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(bytes: usize) -> Sent {
        Sent::Change {
            place: Place { position: 1, id: Uuid::nil() },
            id: Uuid::nil(),
            position: 1,
            always: false,
            text: Bytes::from(vec![b'x'; bytes]),
        }
    }

    #[tokio::test]
    async fn a_queue_takes_as_many_bytes_as_it_may_hold_and_what_it_took_comes_out() {
        let (queue, mut received) = Queue::new(2 * (OVERHEAD + 10));
        assert!(queue.push(change(10)) && received.try_next().is_some(), "what left makes room");
        assert!(queue.push(change(10)) && queue.push(change(10)));
        assert!(!queue.push(change(1)), "a full queue is full for good");
        drop(queue);
        assert!(received.next().await.is_some() && received.next().await.is_some());
        assert!(received.next().await.is_none());
    }
}
