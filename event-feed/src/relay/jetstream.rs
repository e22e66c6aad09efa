//! The first target: the JetStream stream `EVENTS`, whose sequence of an event *is* its global
//! position (promise P5).
//!
//! The stream tells where it ends, and refuses what does not follow: a crash in the middle of a
//! batch or two leaders at once can neither repeat nor skip nor reorder anything. The relay keeps
//! no cursor for it.

use std::sync::atomic::{AtomicI64, Ordering};

use event_store::{Epoch, EventRef, Head, RecordedEvent};
use tokio::time::timeout;

use super::resume::{ResumeError, Resumed, Resuming};
use super::target::{EncodedBatch, NotPublished, RelayTarget, TargetError};
use crate::beacon::{BEACON_SUBJECT, Beacon};
use crate::lease::Term;
use crate::message;
use crate::nats::{NatsHandle, REQUEST_TIMEOUT};

mod publish;
mod resume;
mod stream;

pub use publish::PublishMode;
pub use stream::StreamLimits;

use publish::{PublishError, batch, publish};
use resume::Resume;
use stream::{Broker, BrokerError};

/// No term: they begin with 1.
const NEVER: i64 = 0;

/// The stream's limits, and how it is published to.
#[derive(Debug, Clone)]
pub struct JetStreamSettings {
    /// What the stream may hold.
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

/// The stream as a target of the relay.
#[derive(Debug)]
pub struct JetStream {
    nats: NatsHandle,
    broker: Broker,
    mode: PublishMode,
    /// The term in which the broker took no atomic batch.
    pipelined_in: AtomicI64,
}

impl JetStream {
    /// The stream on this broker.
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
            tracing::warn!(why, "publishing one by one from now on");
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
        // It waits while the client's queue is full, as it is behind a silent server.
        let telling = self.nats.client().publish(BEACON_SUBJECT, beacon.into());
        let told = timeout(REQUEST_TIMEOUT, telling)
            .await
            .map_err(|_| BrokerError::Away("no answer in time".to_owned()))?;
        Ok(told.map_err(|error| BrokerError::Away(error.to_string()))?)
    }
}
