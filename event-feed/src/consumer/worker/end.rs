//! How a worker ends, and what it retries.

use std::time::Duration;

use event_store::{Epoch, EventRef, Position, StoreError};
use postgres_kit::Term;

use super::PROVE_LIMIT;
use crate::consumer::checkpoint::BoxError;

/// How [`Worker::run`](super::Worker::run) ended.
#[derive(Debug)]
pub enum End {
    /// On request. The lease is given up.
    Drained,
    /// A person must act first. The lease is given up.
    Stopped(StopReason),
}

/// Why a worker stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopReason {
    /// The log left the checkpoint's epoch, and shares less with it than the consumer has handled.
    #[error("the log has another history since before position {0}: its epoch was abandoned")]
    Over(Position),
    /// The log does not have the checkpoint's event: the database was restored, a standby was
    /// promoted with commits missing, or it is another log.
    #[error("the log does not have the event of the checkpoint at position {}", at.position)]
    OtherHistory {
        /// The checkpoint.
        at: EventRef,
        /// The log's event at that position.
        found: Option<EventRef>,
        /// The checkpoint's epoch, if the log never was in it.
        unknown: Option<Epoch>,
    },
    /// This program cannot read an event: it does not know the event's version, or the payload does
    /// not have the shape of that version.
    #[error(transparent)]
    Unreadable(#[from] event_store::Unreadable),
    /// The handler refused the event at this position.
    #[error("the event at position {0} was refused")]
    Refused(Position, #[source] BoxError),
    /// The handler panicked. The panic's message is on standard error.
    #[error("the handler panicked")]
    Panicked,
}

/// Why the worker could not go on now. It retries.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the lease's database failed")]
    Lease(#[from] sqlx::Error),
    #[error("the checkpoint cannot be loaded")]
    Checkpoint(#[source] BoxError),
    #[error("the log cannot be read")]
    Store(#[from] StoreError),
    #[error("the events could not be handled")]
    Handle(#[source] BoxError),
    #[error("the checkpoint has a later term than {}", .0.0)]
    LaterTerm(Term),
    #[error("the log was read with another history than the checkpoint's")]
    OtherHistory,
    #[error("the handler took longer than {} ms", .0.as_millis())]
    TookTooLong(Duration),
    #[error("the consumer's database or the log took longer than {} s", PROVE_LIMIT.as_secs())]
    Silent,
}
