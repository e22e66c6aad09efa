//! What every durable consumer of the log needs, such as a projection's runner or a process
//! manager.
//!
//! [`Worker`] is a complete consumer: it holds a lease, loads its checkpoint, proves that the log
//! is the checkpoint's, reads live or catches up, reveals personal fields, and hands batches to a
//! [`Handler`], which commits its effects together with the checkpoint.
//!
//! A consumer with other needs, such as the runner with its many partitions, builds on the
//! pieces. It
//! 1. takes its [`Lease`](postgres_kit::Lease), and loads its checkpoint;
//! 2. proves that the log is the checkpoint's ([`continuity::prove`]);
//! 3. handles [`Consumer::next`] from there, fenced by the term of the lease. [`Held`] says when to
//!    renew the lease, and how many events fit into a batch. An empty batch comes after
//!    [`FollowerSettings::idle_report`](crate::FollowerSettings::idle_report), so each answer shows
//!    that the consumer is alive;
//! 4. goes back to its checkpoint after any failure, and gives up the lease when
//!    [`Consumer::is_able`] says that another process should try.

use std::sync::Arc;
use std::time::Duration;

use event_store::KeyError;
use event_store::encryption::Vault;
use event_store::{EventRef, RecordedEvent};
use tokio::time::Instant;

use crate::follower::{Batch, FollowError, Follower};

mod checkpoint;
pub mod continuity;
mod handler;
mod held;
mod reveal;
mod worker;

pub use checkpoint::{Advance, BoxError, Checkpoint, Checkpoints};
pub use handler::{Committed, HandleError, Handler};
pub use held::Held;
pub use worker::{End, StopReason, Worker, WorkerSettings};

use reveal::Reveal;

/// A process that cannot read the log or the keys for this long leaves the work to others.
const UNABLE_AFTER: Duration = Duration::from_secs(3);
/// How long a process without work waits after such a failure before it takes a share again.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// The result of [`Consumer::next`].
#[derive(Debug)]
pub enum Next {
    /// The next events, or none. An empty batch alone does not show that the log can be read.
    Batch {
        /// The events, with their personal fields in the clear.
        batch: Batch,
        /// Whether the log can be read.
        log_answers: bool,
    },
    /// The log does not have the checkpoint's event. [`continuity::prove`] tells why.
    OtherHistory,
    /// The log cannot be read. The next call waits by itself before it retries.
    LogAway(FollowError),
    /// The keys of personal data cannot be read. Before the next call, wait for
    /// [`Consumer::pause`].
    KeysAway(KeyError),
}

/// Reads the log for a durable consumer.
#[derive(Default)]
pub struct Consumer {
    reveal: Reveal,
    /// Since when the log or its keys cannot be read.
    away_since: Option<Instant>,
}

impl Consumer {
    /// Reveals personal fields with these keys. Without a vault they stay encrypted.
    #[must_use]
    pub fn revealing(vault: Arc<Vault>) -> Self {
        Self { reveal: Reveal::with(vault), away_since: None }
    }

    /// Returns the next 1 to `max` events after the checkpoint `from`, or none after a while. The
    /// future may be dropped at any await; the next call continues from its own checkpoint.
    pub async fn next(&mut self, follower: &mut Follower, from: EventRef, max: usize) -> Next {
        if follower.mark() != from {
            follower.seek(from);
        }
        let mut batch = match follower.next_batch(max).await {
            Ok(batch) => batch,
            Err(FollowError::OtherHistory { .. }) => return Next::OtherHistory,
            Err(error) => {
                self.away_since.get_or_insert_with(Instant::now);
                return Next::LogAway(error);
            }
        };
        let log_answers = !batch.events.is_empty() || !follower.is_cut_off();
        if let Err(error) = self.reveal(&mut batch.events).await {
            self.away_since.get_or_insert_with(Instant::now);
            return Next::KeysAway(error);
        }
        if log_answers {
            self.away_since = None;
        }
        Next::Batch { batch, log_answers }
    }

    /// Reveals the personal fields of these events. An event that cannot be decrypted stays
    /// encrypted.
    ///
    /// # Errors
    /// [`KeyError`] if the keys cannot be read. Nothing was changed.
    pub async fn reveal(&mut self, events: &mut [RecordedEvent]) -> Result<(), KeyError> {
        self.reveal.values_of(events).await
    }

    /// Waits after the keys could not be read, with backoff.
    pub async fn pause(&mut self) {
        self.reveal.pause().await;
    }

    /// The vault, for callers that reveal by themselves.
    pub fn vault(&self) -> Option<Arc<Vault>> {
        self.reveal.vault()
    }

    /// Drops all cached keys. Call it when this process takes work over from another one: it has
    /// not seen which subjects were erased meanwhile.
    pub fn start_over(&self) {
        self.reveal.start_over();
    }

    /// Whether this process can read the log and its keys, as far as it knows, or could a moment
    /// ago. If not, it should leave the work to another process.
    pub fn is_able(&self) -> bool {
        self.away_since.is_none_or(|since| since.elapsed() < UNABLE_AFTER)
    }

    /// Records whether the log `answers`. A process without work reads nothing, so it asks from
    /// time to time.
    pub fn asked(&mut self, answers: bool) {
        match self.away_since {
            // Not at once: the keys may have been away, and nothing asks for them here.
            Some(since) if answers && since.elapsed() > TRY_AGAIN => self.away_since = None,
            None if !answers => self.away_since = Some(Instant::now()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
