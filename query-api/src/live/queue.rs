//! What waits for one client, limited in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;
use uuid::Uuid;

use super::form::Output;
use super::frame::Place;

/// The memory that an event takes in a queue next to its text or value, in bytes.
const OVERHEAD: usize = 128;

/// A message of the hub to a client.
#[derive(Debug)]
pub(super) enum Sent<R> {
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
        output: Output<R>,
    },
    /// The hub shows other tables now, so the client needs a new snapshot.
    Reset,
}

/// The hub's end of a client's queue.
#[derive(Debug)]
pub(super) struct Queue<R> {
    sender: mpsc::UnboundedSender<Sent<R>>,
    bytes: Arc<AtomicUsize>,
    limit: usize,
}

/// The client's end of its queue.
#[derive(Debug)]
pub(super) struct Received<R> {
    receiver: mpsc::UnboundedReceiver<Sent<R>>,
    bytes: Arc<AtomicUsize>,
}

impl<R> Sent<R> {
    fn cost(&self) -> usize {
        match self {
            Self::Change { output, .. } => output.bytes() + OVERHEAD,
            Self::Reset => 0,
        }
    }
}

impl<R> Queue<R> {
    /// A queue that holds so many bytes.
    pub(super) fn new(limit: usize) -> (Self, Received<R>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let bytes = Arc::new(AtomicUsize::new(0));
        (Self { sender, bytes: Arc::clone(&bytes), limit }, Received { receiver, bytes })
    }

    /// Puts a message into the queue. Returns `false` if it is full, or if the client is gone.
    pub(super) fn push(&self, sent: Sent<R>) -> bool {
        let cost = sent.cost();
        let waiting = self.bytes.fetch_add(cost, Ordering::AcqRel);
        waiting + cost <= self.limit && self.sender.send(sent).is_ok()
    }
}

impl<R> Received<R> {
    /// Waits for the next message. `None` after the queue was full.
    pub(super) async fn next(&mut self) -> Option<Sent<R>> {
        let sent = self.receiver.recv().await;
        self.taken(sent)
    }

    /// The next message, if it is there already.
    pub(super) fn try_next(&mut self) -> Option<Sent<R>> {
        let sent = self.receiver.try_recv().ok();
        self.taken(sent)
    }

    fn taken(&self, sent: Option<Sent<R>>) -> Option<Sent<R>> {
        sent.inspect(|sent| {
            self.bytes.fetch_sub(sent.cost(), Ordering::AcqRel);
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;

    use super::*;

    fn change(bytes: usize) -> Sent<()> {
        Sent::Change {
            place: Place { position: 1, id: Uuid::nil() },
            id: Uuid::nil(),
            position: 1,
            always: false,
            output: Output::Text(Bytes::from(vec![b'x'; bytes])),
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
