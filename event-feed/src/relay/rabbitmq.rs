//! The second target: RabbitMQ's durable topic exchange `events`.
//!
//! RabbitMQ cannot tell which event it got last, so the relay keeps a cursor. A batch is confirmed
//! by the server before the cursor moves. After any doubt the connection is dropped, and the cursor
//! says what to send again: each event arrives at least once, and readers drop what they know by
//! epoch and position.
//!
//! *Order.* The events of a connection arrive in its order. Only one connection publishes at a
//! time, because it holds a queue that RabbitMQ gives to one connection only. A new leader waits for
//! the end of the old one's connection, at most two heartbeats. One case remains: a queue that
//! refuses a single message of a batch, as one with a maximum length does, gets later events of the
//! batch first.
//!
//! *Loss.* Who deletes the server's data also deletes the exchange [`MARK`], which only the relay
//! declares. Without it, the relay begins again, one refill window before the head. The cursor moves
//! back before the mark is declared, so a crash in between repeats that. The queues of
//! [`RabbitMq::queues`] are declared before the first event, so they get all of them.
//!
//! An event that no queue wants is confirmed and dropped. That is a topic exchange's way to leave
//! out what nobody subscribed to, so messages are not `mandatory`.

use std::fmt;
use std::time::Duration;

use event_store::{Epoch, EventRef, Position, RecordedEvent};
use postgres_kit::Term;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::resume::{ResumeError, Resumed, Resuming};
use super::target::{EncodedBatch, NotPublished, RelayTarget, TargetError};
use crate::rabbitmq::{
    EXCHANGE, Encoded, Link, LinkError, MARK, NotConfirmed, Outgoing, PUBLISHER, Queue,
    RabbitAddress, declare_exchange, declare_mark, declare_queue, encoded,
};

/// The maximum number of unconfirmed messages.
const MAX_BATCH: usize = 500;
/// The maximum number of bytes of them.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// How long a run of calls may take.
const RUN_LIMIT: Duration = Duration::from_secs(5);
/// The name of the connections, for the server's operators.
const NAME: &str = "event-relay";

/// RabbitMQ as a relay target.
pub struct RabbitMq {
    address: RabbitAddress,
    queues: Vec<Queue>,
    links: Mutex<Links>,
}

/// The connections of one relay.
#[derive(Default)]
struct Links {
    /// The connection that publishes. Only a leader has it.
    publisher: Option<Link>,
    /// A standby's connection.
    watcher: Option<Link>,
}

impl Links {
    async fn close(&mut self) {
        for link in [self.publisher.take(), self.watcher.take()].into_iter().flatten() {
            link.close().await;
        }
    }

    /// A connection to ask with.
    async fn any(&mut self, address: &RabbitAddress) -> Result<&Link, LinkError> {
        if self.publisher.is_none() && !self.watcher.as_ref().is_some_and(Link::is_connected) {
            self.watcher = Some(Link::open(address, NAME).await?);
        }
        self.publisher.as_ref().or(self.watcher.as_ref()).ok_or(LinkError::Silent("connect"))
    }
}

impl fmt::Debug for RabbitMq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, queues, links: _ } = self;
        f.debug_struct("RabbitMq").field("address", address).field("queues", queues).finish()
    }
}

impl From<LinkError> for TargetError {
    fn from(error: LinkError) -> Self {
        Self(error.to_string())
    }
}

impl From<LinkError> for ResumeError {
    fn from(error: LinkError) -> Self {
        Self::Target(error.into())
    }
}

impl From<NotConfirmed> for NotPublished {
    fn from(error: NotConfirmed) -> Self {
        Self { kind: error.label(), why: error.to_string() }
    }
}

impl RabbitMq {
    /// Creates the target. It declares these queues, and publishes no event before they exist.
    pub fn new(address: RabbitAddress, queues: Vec<Queue>) -> Self {
        Self { address, queues, links: Mutex::default() }
    }

    /// The queues that lose no event, even if the server's data is deleted.
    pub fn queues(&self) -> &[Queue] {
        &self.queues
    }

    /// Opens a connection that may publish.
    async fn connect(&self) -> Result<Link, LinkError> {
        let link = Link::open(&self.address, NAME).await?;
        link.lock(PUBLISHER).await?;
        Ok(link)
    }

    async fn declare(&self, link: &Link) -> Result<(), LinkError> {
        let channel = link.extra_channel().await?;
        declare_exchange(&channel).await?;
        for queue in &self.queues {
            declare_queue(&channel, queue).await?;
        }
        declare_mark(&channel).await
    }
}

impl RelayTarget for RabbitMq {
    type Batch = Vec<Encoded>;

    fn name(&self) -> &'static str {
        "rabbitmq"
    }

    async fn look(&self) -> Result<(), TargetError> {
        let mut links = self.links.lock().await;
        let asked = async { links.any(&self.address).await?.has_exchange(MARK).await };
        if let Err(error) = asked.await {
            links.close().await;
            return Err(error.into());
        }
        Ok(())
    }

    async fn ends_with(&self, last: EventRef) -> Result<bool, TargetError> {
        let mut links = self.links.lock().await;
        let marked = links.any(&self.address).await?.has_exchange(MARK).await?;
        Ok(marked || last.position == Position::START)
    }

    async fn resume(&self, resuming: &Resuming<'_>) -> Result<Resumed, ResumeError> {
        let mut links = self.links.lock().await;
        links.close().await;
        let link = in_time(self.connect()).await?;
        // A former leader that waited for the lock must not declare the mark.
        resuming.check_lease().await?;
        let marked = in_time(async {
            let marked = link.has_exchange(MARK).await?;
            if marked {
                self.declare(&link).await?;
            }
            Ok(marked)
        });
        let marked = marked.await?;
        links.publisher = Some(link);
        Ok(if marked { Resumed::ByCursor } else { Resumed::Emptied })
    }

    async fn begin(&self) -> Result<(), TargetError> {
        let links = self.links.lock().await;
        let link = links.publisher.as_ref().ok_or_else(not_connected)?;
        Ok(in_time(self.declare(link)).await?)
    }

    fn encode(&self, events: &[RecordedEvent], epoch: Epoch) -> EncodedBatch<Self::Batch> {
        let mut bytes = 0;
        let mut batch = Vec::with_capacity(events.len().min(MAX_BATCH));
        for event in events.iter().take(MAX_BATCH) {
            let message = encoded(event, epoch);
            bytes += message.bytes;
            if !batch.is_empty() && bytes > MAX_BATCH_BYTES {
                break;
            }
            batch.push(message);
        }
        let stubs = batch.iter().filter(|message| message.is_stub).count();
        EncodedBatch { count: batch.len(), stubs, batch }
    }

    async fn publish(
        &self,
        batch: Self::Batch,
        _after: EventRef,
        _term: Term,
    ) -> Result<(), NotPublished> {
        let mut links = self.links.lock().await;
        // Taken out, so that a publish that is cancelled drops its connection.
        let link = links.publisher.take();
        let link = link.ok_or(NotPublished { kind: "connection", why: not_connected().0 })?;
        let messages = batch.into_iter().map(|message| Outgoing {
            exchange: EXCHANGE.into(),
            routing_key: message.routing_key,
            mandatory: false,
            properties: message.properties,
            payload: message.payload,
        });
        match link.publish(messages.collect()).await {
            Ok(()) => {
                links.publisher = Some(link);
                Ok(())
            }
            Err(error) => {
                link.close().await;
                Err(error.into())
            }
        }
    }

    async fn leave(&self) {
        self.links.lock().await.close().await;
    }
}

/// Limits a run of calls, each of which has its own limit.
async fn in_time<T>(calls: impl Future<Output = Result<T, LinkError>>) -> Result<T, LinkError> {
    timeout(RUN_LIMIT, calls).await.unwrap_or(Err(LinkError::Silent("prepare")))
}

fn not_connected() -> TargetError {
    TargetError("RabbitMQ is not connected".to_owned())
}
