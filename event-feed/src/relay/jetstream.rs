//! The first target: the JetStream stream `EVENTS`. An event's sequence in it *is* its global
//! position (promise P5).
//!
//! The stream reports where it ends, and refuses what does not follow. So neither a crash in a
//! batch nor two concurrent leaders can repeat, skip or reorder events, and the relay needs no
//! cursor.

use std::sync::atomic::{AtomicI64, Ordering};

use event_store::{Epoch, EventRef, Head, RecordedEvent};
use nats_kit::{NatsHandle, REQUEST_TIMEOUT};
use postgres_kit::Term;
use tokio::time::timeout;

use super::resume::{ResumeError, Resumed, Resuming};
use super::target::{EncodedBatch, NotPublished, RelayTarget, TargetError};
use crate::beacon::{BEACON_SUBJECT, Beacon};
use crate::message;

mod publish;
mod resume;
mod stream;

pub use publish::PublishMode;
pub use stream::StreamLimits;

use publish::{PublishError, batch, publish};
use resume::Resume;
use stream::{Broker, BrokerError};

/// A term that never occurs, because terms start at 1.
const NEVER: i64 = 0;

/// The stream's limits and the publish mode.
#[derive(Debug, Clone)]
pub struct JetStreamSettings {
    /// The limits of the stream.
    pub limits: StreamLimits,
    /// How several events are published.
    pub publish: PublishMode,
}

impl Default for JetStreamSettings {
    fn default() -> Self {
        Self {
            limits: StreamLimits { max_messages: 1_000_000, max_bytes: -1, replicas: 1 },
            publish: PublishMode::Atomic,
        }
    }
}

/// The JetStream stream as a relay target.
#[derive(Debug)]
pub struct JetStream {
    nats: NatsHandle,
    broker: Broker,
    mode: PublishMode,
    /// The term in which the broker refused atomic batches.
    pipelined_in: AtomicI64,
}

impl JetStream {
    /// Creates the target for this connection.
    pub fn new(nats: NatsHandle, settings: JetStreamSettings) -> Self {
        let broker = Broker::new(nats.clone(), settings.limits);
        Self { nats, broker, mode: settings.publish, pipelined_in: AtomicI64::new(NEVER) }
    }

    fn mode(&self, term: Term) -> PublishMode {
        if self.pipelined_in.load(Ordering::Relaxed) == term.0 {
            PublishMode::Pipelined
        } else {
            self.mode
        }
    }
}

impl RelayTarget for JetStream {
    type Batch = Vec<message::Encoded>;

    fn name(&self) -> &'static str {
        "nats"
    }

    fn is_connected(&self) -> bool {
        self.nats.is_connected()
    }

    async fn look(&self) -> Result<(), TargetError> {
        self.broker.info().await?;
        Ok(())
    }

    async fn ends_with(&self, last: EventRef) -> Result<bool, TargetError> {
        let info = self.broker.info().await?;
        Ok(info.is_some_and(|info| i64::try_from(info.state.last_sequence) == Ok(last.position.0)))
    }

    async fn resume(&self, resuming: &Resuming<'_>) -> Result<Resumed, ResumeError> {
        let last = Resume { broker: &self.broker, resuming }.run().await?;
        Ok(Resumed::After(last))
    }

    fn encode(&self, events: &[RecordedEvent], epoch: Epoch) -> EncodedBatch<Self::Batch> {
        let batch = batch(events, epoch, self.nats.client().max_payload());
        let stubs = batch.iter().filter(|message| message.is_stub).count();
        EncodedBatch { count: batch.len(), stubs, batch }
    }

    async fn publish(
        &self,
        batch: Self::Batch,
        after: EventRef,
        term: Term,
    ) -> Result<(), NotPublished> {
        let published = publish(&self.nats, self.mode(term), batch, after.position).await;
        if let Err(PublishError::NotAtomic(why)) = &published {
            tracing::warn!(why, "publishing one by one in this term");
            self.pipelined_in.store(term.0, Ordering::Relaxed);
        }
        Ok(published?)
    }

    async fn tell_head(&self, head: Head) -> Result<(), TargetError> {
        if !self.nats.is_connected() {
            return Ok(());
        }
        let beacon = serde_json::to_vec(&Beacon::from(head))
            .map_err(|error| BrokerError::Unfit(error.to_string()))?;
        // Publishing waits while the client's queue is full, as it is when the server is silent.
        let telling = self.nats.client().publish(BEACON_SUBJECT, beacon.into());
        let told = timeout(REQUEST_TIMEOUT, telling)
            .await
            .map_err(|_| BrokerError::Away("no answer in time".to_owned()))?;
        Ok(told.map_err(|error| BrokerError::Away(error.to_string()))?)
    }
}
