//! A consumer of a RabbitMQ queue. Its connection is opened again whenever it breaks, and
//! everything that it needs is declared again, so it survives the loss of the server's data.
//!
//! An event is acknowledged after its effects were committed, or after a copy was stored in the
//! queue of retries or of dead letters. If the connection breaks in between, the event comes again.

use std::time::Duration;

use futures::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use postgres_kit::Pauses;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::ATTEMPTS;
use super::policy::{Retries, Step};
use super::receiver::{Incoming, Receiver};
use super::taking::{Drained, Taking};
use crate::rabbitmq::{
    Link, LinkError, NotConfirmed, Queue, RabbitAddress, called, declare_exchange, declare_queue,
    declare_retries, decode, header_of,
};

mod copy;
mod sweep;

use copy::Copy;

/// The first pause after an error. It doubles up to [`RETRY_MOST`].
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// How long opening a connection and declaring everything may take.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// The limits of a consumer.
#[derive(Debug, Clone)]
pub struct RabbitMqConsumerSettings {
    /// How often an event is tried.
    pub retries: Retries,
    /// The maximum number of events that the server sends ahead.
    pub prefetch: u16,
    /// How long the receiver may take for one event.
    pub limit: Duration,
}

impl Default for RabbitMqConsumerSettings {
    fn default() -> Self {
        Self { retries: Retries::default(), prefetch: 32, limit: Duration::from_secs(30) }
    }
}

/// Why a connection ended. The consumer opens another one.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("a copy was not stored: {0}")]
    Copy(#[from] NotConfirmed),
    #[error("RabbitMQ: {0}")]
    Connection(#[from] lapin::Error),
    #[error("RabbitMQ ended the subscription")]
    Cancelled,
    #[error("the process is stopping")]
    Drained,
}

impl From<Drained> for Interrupted {
    fn from(_: Drained) -> Self {
        Self::Drained
    }
}

/// Hands the events of a queue to a receiver. Any number of copies may run; one of them works.
pub struct RabbitMqConsumer<R> {
    address: RabbitAddress,
    queue: Queue,
    prefetch: u16,
    taking: Taking<R>,
}

impl<R: Receiver> RabbitMqConsumer<R> {
    /// Creates a consumer. It declares the queue, its queues of retries and of dead letters, and
    /// the exchange.
    pub fn new(
        address: RabbitAddress,
        queue: Queue,
        settings: RabbitMqConsumerSettings,
        receiver: R,
    ) -> Self {
        let RabbitMqConsumerSettings { retries, prefetch, limit } = settings;
        Self { address, queue, prefetch, taking: Taking::new(receiver, retries, limit) }
    }

    /// Runs until `drain` is cancelled, then finishes the current event.
    pub async fn run(mut self, drain: CancellationToken) {
        let mut pauses = Pauses::new(RETRY_FIRST, RETRY_MOST);
        while !drain.is_cancelled() {
            match self.session(&drain, &mut pauses).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(queue = %self.queue.name, %error, "interrupted: will retry");
                    tokio::select! {
                        () = tokio::time::sleep(pauses.next_pause()) => {}
                        () = drain.cancelled() => return,
                    }
                }
            }
        }
    }

    /// Consumes over one connection until `drain` is cancelled.
    async fn session(
        &mut self,
        drain: &CancellationToken,
        pauses: &mut Pauses,
    ) -> Result<(), Interrupted> {
        let opening = timeout(READY_LIMIT, self.open());
        let link = opening.await.unwrap_or(Err(LinkError::Silent("prepare").into()))?;
        let consumed = self.consume(&link, drain, pauses).await;
        // What was not acknowledged goes back to the queue, in its order.
        link.close().await;
        match consumed {
            Err(Interrupted::Drained) => Ok(()),
            consumed => consumed,
        }
    }

    async fn open(&self) -> Result<Link, Interrupted> {
        let link = Link::open(&self.address, &self.queue.name.to_string()).await?;
        declare_exchange(&link.channel).await?;
        declare_queue(&link.channel, &self.queue).await?;
        let delays = self.taking.delays();
        declare_retries(&link.channel, &self.queue.name, delays).await?;
        let (prefetch, options) = (self.prefetch, BasicQosOptions::default());
        called("limit the events ahead", link.channel.basic_qos(prefetch, options)).await?;
        Ok(link)
    }

    async fn consume(
        &mut self,
        link: &Link,
        drain: &CancellationToken,
        pauses: &mut Pauses,
    ) -> Result<(), Interrupted> {
        let (name, options) = (self.queue.name.events(), BasicConsumeOptions::default());
        let consuming =
            link.channel.basic_consume(name, "".into(), options, FieldTable::default());
        let mut deliveries = called("subscribe", consuming).await?;
        tracing::info!(queue = %self.queue.name, "subscribed");
        loop {
            let delivery = tokio::select! {
                biased;
                () = drain.cancelled() => return Ok(()),
                delivery = deliveries.next() => delivery.ok_or(Interrupted::Cancelled)??,
            };
            self.handle(link, &delivery, drain).await?;
            called("acknowledge", delivery.ack(BasicAckOptions::default())).await?;
            pauses.reset();
        }
    }

    /// Handles one event. After this, it can be acknowledged.
    async fn handle(
        &mut self,
        link: &Link,
        delivery: &Delivery,
        drain: &CancellationToken,
    ) -> Result<(), Interrupted> {
        let attempts = header_of(&delivery.properties, ATTEMPTS);
        let attempts = attempts.and_then(|text| text.parse().ok()).unwrap_or(0);
        // A copy comes from the queue of retries, with another key.
        let key = (attempts == 0).then_some(delivery.routing_key.as_str());
        let decoded = match decode(key, &delivery.properties, &delivery.data) {
            Ok(decoded) => decoded,
            Err(error) => {
                tracing::error!(queue = %self.queue.name, %error, "a message is no event");
                let copy = Copy::foreign(delivery, &error.to_string());
                return Ok(link.publish(vec![copy.to(self.queue.name.dead())]).await?);
            }
        };
        let mut incoming = Incoming::new(decoded, attempts);
        if attempts > 0 {
            self.taking.blank(&mut incoming, drain).await?;
        }
        let (attempts, queue, reason) = match self.taking.step(&incoming, drain).await? {
            Step::Acknowledge => return self.taken(link, &incoming).await,
            Step::Retry { attempts, delay, reason } => {
                (attempts, self.queue.name.retry(delay), reason)
            }
            Step::Bury { attempts, reason } => (attempts, self.queue.name.dead(), reason),
        };
        tracing::warn!(position = %incoming.mark.position, attempts, to = %queue, "set aside");
        let is_erased = self.taking.blank(&mut incoming, drain).await?;
        // The reason may repeat what was in the event.
        let reason = if is_erased { None } else { Some(reason.as_str()) };
        let copy = Copy::of(delivery, &incoming).failed(attempts, reason);
        Ok(link.publish(vec![copy.to(queue)]).await?)
    }

    /// After an erasure was recorded, blanks what waits of its subject.
    async fn taken(&self, link: &Link, incoming: &Incoming) -> Result<(), Interrupted> {
        let Some(subject) = incoming.erased_subject() else { return Ok(()) };
        let delays = self.taking.delays();
        let retries = delays.iter().map(|delay| self.queue.name.retry(*delay));
        for queue in retries.chain([self.queue.name.dead()]) {
            sweep::queue(link, &queue, subject).await?;
        }
        Ok(())
    }
}
