//! Why the runner could not make progress.

use std::sync::Arc;

use event_store::KeyError;
use event_store::{Position, StoreError};

use crate::projection::Reason;

/// Why events had no effect on a partition. Nothing was committed, and the partition is acquired
/// again from its checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The read model's database failed.
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    /// A statement for several partitions failed, and moved none of them.
    #[error("the read model's database failed")]
    Together(#[source] Arc<sqlx::Error>),
    /// The log could not be read.
    #[error("the event store failed")]
    Store(#[from] StoreError),
    /// The keys of personal data could not be read.
    #[error("the keys of personal data cannot be read")]
    Keys(#[from] KeyError),
    /// The log has another event at this position than the partition knows. Acquiring the partition
    /// again proves the history, and tells what to do.
    #[error("the log has another event at position {0}")]
    OtherEvent(Position),
    /// The batch does not begin right after this position, which is the partition's. Acquiring the
    /// partition again makes the reader go back.
    #[error("the batch does not begin after position {0}")]
    Gap(Position),
    /// A parked event can be neither folded nor parked again.
    #[error("the parked event at position {0} can be neither folded nor parked again")]
    Parked(Position, #[source] Reason),
}

impl RunError {
    /// The error of Postgres, if the read model's database failed.
    pub(crate) fn of_database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Database(error) => Some(error),
            Self::Together(error) => Some(error),
            _ => None,
        }
    }
}
