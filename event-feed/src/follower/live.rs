//! Reads the stream: one task runs a consumer without acknowledgements and passes on its messages,
//! and another listens for the relay's beacons. Neither judges messages nor guarantees delivery;
//! the follower does both.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use event_store::{Head, Position};
use futures::StreamExt as _;
use nats_kit::NatsHandle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::beacon::{BEACON_SUBJECT, Beacon};
use crate::message::{Decoded, STREAM, decode};

/// The interval of the server's heartbeats. After twice this time in silence, the consumer is
/// dropped.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long one pull lasts.
const PULL_EXPIRES: Duration = Duration::from_secs(10);
/// The maximum number of messages and bytes per pull.
const PULL_MESSAGES: usize = 256;
const PULL_BYTES: usize = 4 * 1024 * 1024;
/// The server forgets an unused consumer after this time.
const FORGET_AFTER: Duration = Duration::from_secs(30);
/// The pause before resubscribing to beacons.
const SUBSCRIBE_AGAIN: Duration = Duration::from_secs(1);
/// The maximum number of messages, and of bytes, that wait for the follower.
const WAITING_MESSAGES: usize = 1_024;
const WAITING_BYTES: usize = 8 * 1024 * 1024;

/// A message of the stream.
pub(super) struct Message {
    /// The start that it belongs to.
    pub(super) generation: u64,
    /// Its sequence in the stream.
    pub(super) sequence: Position,
    /// Its content; `None` if it is not a valid event.
    pub(super) decoded: Option<Decoded>,
    _bytes: Option<OwnedSemaphorePermit>,
}

/// An item from the reading task.
pub(super) enum FromLive {
    Message(Box<Message>),
    /// The consumer of that start ended; the text says why.
    Lost(u64, String),
}

/// Where to start reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) generation: u64,
    pub(super) sequence: u64,
}

/// A beacon, and the time at which it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    pub(super) head: Head,
    pub(super) at: Instant,
}

/// The two tasks. Dropping this ends them.
pub(super) struct Live {
    start: watch::Sender<Option<Start>>,
    pub(super) items: mpsc::Receiver<FromLive>,
    pub(super) beacons: watch::Receiver<Option<Heard>>,
    tasks: [JoinHandle<()>; 2],
}

impl Live {
    pub(super) fn new(nats: &NatsHandle) -> Self {
        let (start, starts) = watch::channel(None);
        let (sender, items) = mpsc::channel(WAITING_MESSAGES);
        let (heard, beacons) = watch::channel(None);
        let reader = Reader {
            nats: nats.clone(),
            items: sender,
            bytes: Arc::new(Semaphore::new(WAITING_BYTES)),
        };
        let tasks = [tokio::spawn(reader.run(starts)), tokio::spawn(hear(nats.clone(), heard))];
        Self { start, items, beacons, tasks }
    }

    /// Creates one whose messages and beacons come from a test.
    #[cfg(test)]
    pub(super) fn fake() -> (Self, Fake) {
        let (start, starts) = watch::channel(None);
        let (sender, items) = mpsc::channel(WAITING_MESSAGES);
        let (heard, beacons) = watch::channel(None);
        let tasks = [tokio::spawn(async {}), tokio::spawn(async {})];
        (Self { start, items, beacons, tasks }, Fake { starts, items: sender, heard })
    }

    /// Starts reading at `first`. Earlier messages belong to an older generation.
    pub(super) fn start(&self, generation: u64, first: Position) {
        let sequence = u64::try_from(first.0).unwrap_or(1).max(1);
        self.start.send_replace(Some(Start { generation, sequence }));
    }

    pub(super) fn stop(&self) {
        self.start.send_replace(None);
    }

    /// The latest beacon.
    pub(super) fn heard(&self) -> Option<Heard> {
        *self.beacons.borrow()
    }
}

/// The broker's side of [`Live::fake`].
#[cfg(test)]
pub(super) struct Fake {
    pub(super) starts: watch::Receiver<Option<Start>>,
    pub(super) items: mpsc::Sender<FromLive>,
    pub(super) heard: watch::Sender<Option<Heard>>,
}

#[cfg(test)]
impl Message {
    pub(super) fn fake(generation: u64, sequence: Position, decoded: Option<Decoded>) -> Self {
        Self { generation, sequence, decoded, _bytes: None }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

struct Reader {
    nats: NatsHandle,
    items: mpsc::Sender<FromLive>,
    bytes: Arc<Semaphore>,
}

impl Reader {
    async fn run(self, mut starts: watch::Receiver<Option<Start>>) {
        loop {
            let start = *starts.borrow_and_update();
            if let Some(start) = start {
                let lost = tokio::select! {
                    why = self.pump(start) => Some(why),
                    changed = starts.changed() => match changed {
                        Ok(()) => None,
                        Err(_) => return,
                    },
                };
                let Some(why) = lost else { continue };
                if self.items.send(FromLive::Lost(start.generation, why)).await.is_err() {
                    return;
                }
            }
            if starts.changed().await.is_err() {
                return;
            }
        }
    }

    /// Passes on messages until the consumer fails. Returns the reason.
    async fn pump(&self, start: Start) -> String {
        let config = pull::Config {
            description: Some("a follower of the log".to_owned()),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: start.sequence },
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGET_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = match self.nats.jetstream().create_consumer_on_stream(config, STREAM).await {
            Ok(consumer) => consumer,
            Err(error) => return format!("no consumer: {error}"),
        };
        let pull = consumer.stream().heartbeat(HEARTBEAT).expires(PULL_EXPIRES);
        let pull = pull.max_messages_per_batch(PULL_MESSAGES).max_bytes_per_batch(PULL_BYTES);
        let mut messages = match pull.messages().await {
            Ok(messages) => messages,
            Err(error) => return format!("no pull: {error}"),
        };
        while let Some(message) = messages.next().await {
            let message = match message {
                Ok(message) => message,
                Err(error) => return error.to_string(),
            };
            let Some(item) = self.item(start.generation, &message).await else {
                return "a message has no sequence".to_owned();
            };
            if self.items.send(FromLive::Message(Box::new(item))).await.is_err() {
                return "the follower is gone".to_owned();
            }
        }
        "the stream of messages ended".to_owned()
    }

    async fn item(
        &self,
        generation: u64,
        message: &async_nats::jetstream::Message,
    ) -> Option<Message> {
        let sequence = i64::try_from(message.info().ok()?.stream_sequence).ok()?;
        let decoded = message.headers.as_ref().and_then(|headers| {
            let decoded = decode(&message.subject, headers, &message.payload);
            decoded
                .inspect_err(|error| {
                    tracing::warn!(sequence, %error, "a message of the stream \
                is not one of ours");
                })
                .ok()
        });
        let bytes = u32::try_from(message.length.min(WAITING_BYTES)).unwrap_or(u32::MAX);
        let held = Arc::clone(&self.bytes).acquire_many_owned(bytes).await;
        Some(Message { generation, sequence: Position(sequence), decoded, _bytes: held.ok() })
    }
}

/// Keeps the newest beacon, and resubscribes as often as needed. Until the first beacon, the store
/// is polled.
async fn hear(nats: NatsHandle, heard: watch::Sender<Option<Heard>>) {
    loop {
        match nats.client().subscribe(BEACON_SUBJECT).await {
            Ok(beacons) => keep(beacons, &heard).await,
            Err(error) => tracing::warn!(%error, "cannot subscribe to the relay's beacons"),
        }
        tokio::time::sleep(SUBSCRIBE_AGAIN).await;
    }
}

async fn keep(mut beacons: Subscriber, heard: &watch::Sender<Option<Heard>>) {
    while let Some(message) = beacons.next().await {
        match serde_json::from_slice::<Beacon>(&message.payload) {
            Ok(beacon) => {
                heard.send_replace(Some(Heard { head: beacon.into(), at: Instant::now() }));
            }
            Err(error) => tracing::warn!(%error, "cannot read a beacon"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use futures::FutureExt as _;

    use super::*;

    /// A message as the broker sends it. It need not be a valid event here.
    fn message(nats: &NatsHandle, length: usize) -> async_nats::jetstream::Message {
        let message = async_nats::Message {
            subject: "daybook.thing".into(),
            reply: Some("$JS.ACK.LOG.follower.1.7.7.0.0".into()),
            payload: vec![b'x'; length].into(),
            headers: None,
            status: None,
            description: None,
            length,
        };
        async_nats::jetstream::Message { message, context: nats.jetstream() }
    }

    #[tokio::test]
    async fn the_messages_that_wait_for_the_follower_are_bounded_by_their_bytes() {
        const LARGE: usize = 1024 * 1024;
        // No server listens there. Only the client's half is needed.
        let nats = NatsHandle::connect("nats://127.0.0.1:1", "test").await.unwrap();
        let (items, _waiting) = mpsc::channel(WAITING_MESSAGES);
        let bytes = Arc::new(Semaphore::new(WAITING_BYTES));
        let reader = Reader { nats: nats.clone(), items, bytes };
        let large = message(&nats, LARGE);
        let mut held = Vec::new();
        for _ in 0..WAITING_BYTES / LARGE {
            held.push(reader.item(1, &large).now_or_never().flatten().unwrap());
        }
        assert!(reader.item(1, &large).now_or_never().is_none(), "too many messages wait");
        held.pop();
        assert!(reader.item(1, &large).now_or_never().flatten().is_some(), "there is room again");
    }
}
