//! Finds where publishing continues: after the stream's last sequence, once it is proven that the
//! stream carries this log.
//!
//! The relay keeps no cursor. The stream's `last_seq` is the position of the last published event,
//! and the event id in that message must match the store's. A foreign stream, or one of a past
//! epoch, is recreated with its first sequence one refill window before the head.
//!
//! A stream of the log's current epoch with an event that the log lacks is evidence that the log
//! lost commits. So is a stream of an epoch that the log never had. It is left alone and nothing is
//! published, until a person restores the right server or begins a new epoch. After that, the
//! stream belongs to a past epoch.
//!
//! A stream whose messages have all expired has nothing to compare. Publishing continues if its
//! metadata names the log's epoch and `last_seq` is not beyond the head. Such a stream has no
//! message, so no wrong one, and every later message has the event of its position. Readers do not
//! rely on the stream for continuity: they compare their own checkpoint with the store.

use async_nats::jetstream::stream::{Info, RetentionPolicy, StorageType};
use event_store::{Epoch, EventRef, Position};

use super::stream::{Broker, BrokerError, META_EPOCH};
use crate::message::{STREAM, event_ref_of};
use crate::relay::metrics;
use crate::relay::resume::{ResumeError, Resuming};

/// What the broker's stream turned out to be.
enum Finding {
    /// It carries this log up to this event.
    Ours(EventRef),
    /// It does not exist or carries something else; the text says what.
    Foreign(String),
}

/// The dependencies for inspecting the stream and deciding.
pub(super) struct Resume<'a> {
    pub(super) broker: &'a Broker,
    pub(super) resuming: &'a Resuming<'a>,
}

impl Resume<'_> {
    /// Inspects the stream, recreates it if necessary, and returns the last published event.
    pub(super) async fn run(&self) -> Result<EventRef, ResumeError> {
        self.broker.check_server()?;
        let found = self.broker.info().await?;
        let why = match &found {
            None => "it does not exist".to_owned(),
            Some(info) => match self.judge(info).await? {
                Finding::Ours(last) => {
                    let (epoch, term) = (self.resuming.head().epoch, self.resuming.term());
                    match self.broker.update(info, epoch, term).await {
                        Ok(()) => return Ok(last),
                        Err(BrokerError::Refused(error)) => {
                            format!("cannot update its configuration: {error}")
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                Finding::Foreign(why) => why,
            },
        };
        self.recreate(found.is_some(), &why).await
    }

    async fn judge(&self, info: &Info) -> Result<Finding, ResumeError> {
        let (config, state) = (&info.config, &info.state);
        let foreign = |why: &str| Ok(Finding::Foreign(why.to_owned()));
        let epoch = config.metadata.get(META_EPOCH).and_then(|epoch| epoch.parse().ok().map(Epoch));
        let Some(epoch) = epoch else { return foreign("its metadata names no epoch") };
        if self.is_over(epoch).await? {
            return foreign("its epoch is over");
        }
        let Ok(last) = i64::try_from(state.last_sequence).map(Position) else {
            return foreign("its last sequence is not a position");
        };
        let published = if state.messages == 0 {
            None
        } else {
            self.broker.headers_at(state.last_sequence).await?.map(|h| event_ref_of(&h))
        };
        let published = match published {
            None if state.messages == 0 => None,
            None => return foreign("its last message was removed"),
            Some(Err(_)) => return foreign("its last message is foreign"),
            Some(Ok((_, mark))) if mark.position != last => {
                return foreign("its last message has an event of another position");
            }
            Some(Ok((epoch, _))) if self.is_over(epoch).await? => {
                return foreign("the epoch of its last message is over");
            }
            Some(Ok((_, mark))) => Some(mark),
        };
        let ours = self.resuming.prove(last, published, &place()).await?;
        if config.storage != StorageType::File
            || config.retention != RetentionPolicy::Limits
            || config.sealed
        {
            return foreign("it has another storage or retention, or is sealed");
        }
        if config.mirror.is_some()
            || config.sources.as_ref().is_some_and(|sources| !sources.is_empty())
        {
            return foreign("it copies another stream");
        }
        Ok(Finding::Ours(ours))
    }

    async fn is_over(&self, epoch: Epoch) -> Result<bool, ResumeError> {
        self.resuming.is_over(epoch, &place()).await
    }

    /// Deletes and creates the stream. The lease is checked last, so that a frozen leader that
    /// wakes up here with an old term is stopped.
    async fn recreate(&self, exists: bool, why: &str) -> Result<EventRef, ResumeError> {
        let (head, term) = (self.resuming.head(), self.resuming.term());
        let before_first = self.resuming.before_refill().await?;
        let first = before_first.position.next();
        self.resuming.check_lease().await?;
        tracing::warn!(why, %first, head = %head.mark.position, term = term.0, "making the stream \
            anew");
        if exists {
            self.broker.delete().await?;
        }
        self.broker.create(head.epoch, term, first).await?;
        metrics::stream_made();
        Ok(before_first)
    }
}

/// The name of the stream in messages.
fn place() -> String {
    format!("the stream {STREAM}")
}
