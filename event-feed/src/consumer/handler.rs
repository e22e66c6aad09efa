//! What a durable consumer does with events.

use event_store::{Position, RecordedEvent};

use super::checkpoint::{Advance, BoxError, Checkpoints};

/// How a batch ended in the consumer's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// The effects and the checkpoint were committed together.
    Done,
    /// The checkpoint could not be moved, so nothing was committed: another owner has taken over.
    Fenced,
}

/// Why a batch had no effect.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// A failure that may pass, such as a database that does not answer. The worker finds out where
    /// its checkpoint is, and retries with backoff.
    #[error("the events could not be handled now")]
    Retry(#[source] BoxError),
    /// The handler will never accept the event at this position. The events before it take effect,
    /// then the worker stops.
    #[error("the event at position {0} was refused")]
    Refused(Position, #[source] BoxError),
}

/// Handles the events of the log for one [`Worker`](super::Worker).
///
/// Each event takes effect exactly once, in the log's order, if its effects and the checkpoint
/// commit in one transaction. Effects elsewhere (an e-mail, a call of another system) take effect
/// at least once.
pub trait Handler: Checkpoints {
    /// Handles these events, and moves the checkpoint as `advance` says, in one transaction.
    ///
    /// The events are upcast, and their personal fields are in the clear; a field of an erased
    /// subject is null. `events` is empty if only the checkpoint moves, because the log goes on in
    /// a new epoch.
    ///
    /// The worker drops the future after [`WorkerSettings::batch_limit`](super::WorkerSettings),
    /// and a program that is killed may drop it at any await. So use connections that survive that,
    /// such as [`postgres_kit::Connection`] and [`postgres_kit::Pool`].
    ///
    /// # Errors
    /// [`HandleError`]. Nothing may be committed then.
    fn handle(
        &mut self,
        events: &[RecordedEvent],
        advance: &Advance,
    ) -> impl Future<Output = Result<Committed, HandleError>> + Send;
}
