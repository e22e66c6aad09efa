//! The checkpoint of a durable consumer: how far it is in which history, kept by the consumer next
//! to its effects.

use event_store::{Epoch, EventRef};
use postgres_kit::Term;

/// Why the consumer's own database did not do it. Any error will do.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How far a consumer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The epoch of the log at that event; `None` before the first event.
    pub epoch: Option<Epoch>,
    /// The last event that took effect.
    pub at: EventRef,
}

impl Checkpoint {
    /// Before the first event.
    pub const START: Self = Self { epoch: None, at: EventRef::START };
}

/// The move of a checkpoint, as the consumer's transaction must make it: only from `from`, and only
/// if the checkpoint's term is `term`.
///
/// In SQL, for example:
/// ```sql
/// UPDATE checkpoints SET position = $to, event_id = $to_id, epoch = $to_epoch
/// WHERE name = $name AND term = $term AND position = $from
/// ```
/// If this changes no row, another owner has taken over. Roll back, and return
/// [`Committed::Fenced`](super::Committed::Fenced).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// The checkpoint before the batch.
    pub from: Checkpoint,
    /// The checkpoint after the batch.
    pub to: Checkpoint,
    /// The term in which the worker holds its lease.
    pub term: Term,
}

/// Where a durable consumer keeps its checkpoint: in the same database as its effects, so that both
/// commit in one transaction.
pub trait Checkpoints: Send {
    /// Puts `term` on the checkpoint and returns the checkpoint, creating it at
    /// [`Checkpoint::START`] if there is none. From then on, no owner of an earlier term can move
    /// it. Returns `None` if the checkpoint has a later term already.
    ///
    /// The worker calls it again in the same term to find out where it is after a failure.
    ///
    /// # Errors
    /// The database does not answer. The worker retries with backoff.
    fn take(
        &mut self,
        term: Term,
    ) -> impl Future<Output = Result<Option<Checkpoint>, BoxError>> + Send;
}
