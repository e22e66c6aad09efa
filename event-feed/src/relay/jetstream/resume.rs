//! Where publishing goes on: after the stream's last sequence, once it is proven that the stream
//! carries this log.
//!
//! The relay keeps no checkpoint. The stream's `last_seq` is the position of the last event
//! published, and the event id in that message must be the store's. A stream of a stranger or of an
//! epoch that is over is made anew, its first sequence one refill window below the head.
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
use event_store::{Epoch, EventRef, EventStore, Head, Position, StoreError};
use uuid::Uuid;

use super::stream::{Broker, BrokerError, META_EPOCH};
use crate::relay::term::{Keeper, LeaseLost};
use crate::lease::Term;
use crate::message::{STREAM, event_ref_of};

/// Why the relay could not find out where to go on.
#[derive(Debug, thiserror::Error)]
pub(in crate::relay) enum ResumeError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Lost(#[from] LeaseLost),
    #[error(transparent)]
    LostCommits(#[from] LostCommits),
}

/// The stream has what the log lost. Each names the command that goes on.
#[derive(Debug, thiserror::Error)]
pub(in crate::relay) enum LostCommits {
    #[error(
        "the log has {} at position {position}, where the stream {STREAM} has {}: the database \
            was restored, or a standby promoted \
         with commits missing. Nothing is published. Bring the right server back; or, if this log \
         is to go on as it is, run \
         `event-store epoch begin`", event(*.log), event(*.stream)
    )]
    Event { position: Position, stream: Option<Uuid>, log: Option<Uuid> },
    #[error(
        "the stream {STREAM} is of epoch {0}, in which this log never was: it is another log, or \
            a copy from before that epoch. \
         Nothing is published. Name the right server; or, if this log is to go on in its place, \
         run `event-store epoch begin --abandon {0}`"
    )]
    Epoch(Epoch),
}

fn event(id: Option<Uuid>) -> String {
    id.map_or_else(|| "no event".to_owned(), |id| format!("event {id}"))
}

/// What the stream on the broker turned out to be.
enum Finding {
    /// It carries this log up to here.
    Ours(EventRef),
    /// There is none, or it carries something else, and what.
    Foreign(String),
}

/// What is needed to look and to decide.
pub(in crate::relay) struct Resume<'a> {
    pub(in crate::relay) broker: &'a Broker,
    pub(in crate::relay) store: &'a dyn EventStore,
    pub(in crate::relay) head: Head,
    pub(in crate::relay) keeper: &'a Keeper,
    pub(in crate::relay) refill_window: i64,
}

/// Where publishing goes on, and whether the stream had to be made anew.
pub(in crate::relay) struct Resumed {
    pub(in crate::relay) last: EventRef,
    pub(in crate::relay) recreated: bool,
}

impl Resume<'_> {
    /// Looks at the stream, makes it anew if it must be, and says what the last published event is.
    pub(in crate::relay) async fn run(&self) -> Result<Resumed, ResumeError> {
        self.broker.check_server()?;
        let found = self.broker.info().await?;
        let why = match &found {
            None => "there is none".to_owned(),
            Some(info) => match self.judge(info).await? {
                Finding::Ours(last) => {
                    match self.broker.update(info, self.head.epoch, self.term()).await {
                        Ok(()) => return Ok(Resumed { last, recreated: false }),
                        Err(BrokerError::Refused(error)) => {
                            format!("its configuration cannot be mended: {error}")
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                Finding::Foreign(why) => why,
            },
        };
        self.make_anew(found.is_some(), &why).await
    }

    fn term(&self) -> Term {
        self.keeper.term()
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
        // Asked for now: the known head may be older than what another leader has published since.
        let stored = self.store.event_ref_at(last).await?;
        let Some(ours) =
            stored.filter(|stored| published.is_none_or(|published| published == *stored))
        else {
            let (stream, log) =
                (published.and_then(|mark| mark.event_id), stored.and_then(|mark| mark.event_id));
            return Err(LostCommits::Event { position: last, stream, log }.into());
        };
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

    /// Whether the log has left this epoch. One that it never was in is not over.
    async fn is_over(&self, epoch: Epoch) -> Result<bool, ResumeError> {
        if epoch == self.head.epoch {
            return Ok(false);
        }
        if self.store.descends_from(epoch).await? {
            Ok(true)
        } else {
            Err(LostCommits::Epoch(epoch).into())
        }
    }

    /// Deletes and creates. A leader that was frozen and wakes here with a lost term must not get
    /// through: it is checked last.
    async fn make_anew(&self, exists: bool, why: &str) -> Result<Resumed, ResumeError> {
        let head = self.head.mark.position;
        let first = Position((head.0 - self.refill_window + 1).max(1));
        let before_first = Position(first.0 - 1);
        let last = match before_first {
            Position::START => EventRef::START,
            position => self.store.event_ref_at(position).await?.ok_or_else(|| {
                StoreError::Unusable(format!(
                    "there is no event at position {position}, below the head"
                ))
            })?,
        };
        self.keeper.check().await?;
        tracing::warn!(why, %first, %head, term = self.term().0, "making the stream anew");
        if exists {
            self.broker.delete().await?;
        }
        self.broker.create(self.head.epoch, self.term(), first).await?;
        Ok(Resumed { last, recreated: true })
    }
}
