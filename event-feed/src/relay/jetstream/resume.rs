//! Where publishing goes on: after the stream's last sequence, once it is proven that the stream
//! carries this log.
//!
//! The relay keeps no cursor. The stream's `last_seq` is the position of the last event
//! published, and the event id in that message must be the store's. A stream of a stranger or of an
//! epoch that is over is made again, its first sequence one refill window below the head.
//!
//! A stream of the log's own epoch that has an event which the log has not is evidence that the log
//! lost commits, as is one of an epoch that the log never was in. It is left as it is and nothing
//! is published, until a person brings the right server back or begins a new epoch: then the stream
//! is of an epoch that is over.
//!
//! A stream whose messages have all aged out has nothing to compare. It goes on when its metadata
//! name the log's epoch and `last_seq` is not beyond the head: it then holds no message at all, so
//! no wrong one, and every message that it will hold carries the event of its position. Readers do
//! not take the stream's word for continuity: they compare their own checkpoint with the store.

use async_nats::jetstream::stream::{Info, RetentionPolicy, StorageType};
use event_store::{Epoch, EventRef, Position};

use super::stream::{Broker, BrokerError, META_EPOCH};
use crate::message::{STREAM, event_ref_of};
use crate::relay::metrics;
use crate::relay::resume::{ResumeError, Resuming};

/// What the stream on the broker turned out to be.
enum Finding {
    /// It carries this log up to here.
    Ours(EventRef),
    /// There is none, or it carries something else, and what.
    Foreign(String),
}

/// What is needed to look and to decide.
pub(super) struct Resume<'a> {
    pub(super) broker: &'a Broker,
    pub(super) resuming: &'a Resuming<'a>,
}

impl Resume<'_> {
    /// Looks at the stream, makes it again if it must, and says what the last published event is.
    pub(super) async fn run(&self) -> Result<EventRef, ResumeError> {
        self.broker.check_server()?;
        let found = self.broker.info().await?;
        let why = match &found {
            None => "there is none".to_owned(),
            Some(info) => match self.judge(info).await? {
                Finding::Ours(last) => {
                    let (epoch, term) = (self.resuming.head().epoch, self.resuming.term());
                    match self.broker.update(info, epoch, term).await {
                        Ok(()) => return Ok(last),
                        Err(BrokerError::Refused(error)) => {
                            format!("its configuration cannot be mended: {error}")
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
        let Some(epoch) = epoch else { return foreign("it is a stranger's") };
        if self.is_over(epoch).await? {
            return foreign("its epoch is over");
        }
        let Ok(last) = i64::try_from(state.last_sequence).map(Position) else {
            return foreign("its last sequence is no position");
        };
        let published = if state.messages == 0 {
            None
        } else {
            self.broker.headers_at(state.last_sequence).await?.map(|h| event_ref_of(&h))
        };
        let published = match published {
            None if state.messages == 0 => None,
            None => return foreign("its last message was removed"),
            Some(Err(_)) => return foreign("its last message is a stranger's"),
            Some(Ok((_, mark))) if mark.position != last => {
                return foreign("its last message is not of its sequence");
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
            return foreign("it is of another kind");
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

    /// Deletes and creates. A leader that was frozen and wakes here with a lost term must not get
    /// through: it is checked last.
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

/// What has the events, for people.
fn place() -> String {
    format!("the stream {STREAM}")
}
