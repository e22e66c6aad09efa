//! What every durable consumer of the log needs, be it a projection's runner or a process manager:
//! the next events after its checkpoint, live or catching up, with their personal fields in the
//! clear; and whether this process can have them at all.
//!
//! A consumer of this kind keeps a checkpoint (epoch, position and event id) in the transaction of
//! what it does, fenced by the term of its [`Lease`](crate::Lease). It
//! 1. takes the lease, and finds its checkpoint;
//! 2. proves that the log is the checkpoint's ([`continuity::prove`]);
//! 3. works off [`Consumer::next`] from there, and shows that it lives with each answer: an empty
//!    batch comes after [`FollowerSettings::idle_report`](crate::FollowerSettings::idle_report);
//! 4. after any failure goes back to its checkpoint, and gives its lease up when
//!    [`Consumer::is_able`] says that another process should try.

use std::sync::Arc;
use std::time::Duration;

use event_store::KeyError;
use event_store::encryption::Vault;
use event_store::{EventRef, RecordedEvent};
use tokio::time::Instant;

use crate::follower::{Batch, FollowError, Follower};

pub mod continuity;
mod reveal;

use reveal::Reveal;

/// A process that cannot have the log for this long leaves the work to those who can.
const UNABLE_AFTER: Duration = Duration::from_secs(3);
/// So long after it could not have the log, a process without work takes its share again.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// What [`Consumer::next`] gives.
#[derive(Debug)]
pub enum Next {
    /// The next events, or none. `log_answers`: the log can be had; an empty batch alone does not
    /// say so.
    Batch {
        /// The events, in the clear.
        batch: Batch,
        /// Whether the log can be had.
        log_answers: bool,
    },
    /// The log does not hold the event of the checkpoint. [`continuity::prove`] says why.
    OtherHistory,
    /// The log cannot be read. The next call waits by itself before it asks again.
    LogAway(FollowError),
    /// The keys of personal data cannot be had. Before the next call, wait for [`Consumer::pause`].
    KeysAway(KeyError),
}

/// Reads the log for a durable consumer.
#[derive(Default)]
pub struct Consumer {
    reveal: Reveal,
    /// Since when the log, or the keys to it, cannot be had.
    away_since: Option<Instant>,
}

impl Consumer {
    /// Reveals personal fields with these keys. Without a vault they stay encrypted.
    #[must_use]
    pub fn revealing(vault: Arc<Vault>) -> Self {
        Self { reveal: Reveal::with(vault), away_since: None }
    }

    /// The next 1 to `max` events after the checkpoint `from`, or none after a while. A caller may
    /// drop this at any await: the next call goes on from its checkpoint.
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

    /// Puts the personal fields of these events in the clear. An event that does not open is left
    /// encrypted.
    ///
    /// # Errors
    /// The keys cannot be had.
    pub async fn reveal(&mut self, events: &mut [RecordedEvent]) -> Result<(), KeyError> {
        self.reveal.values_of(events).await
    }

    /// Waits after the keys could not be had, longer each time, with jitter.
    pub async fn pause(&mut self) {
        self.reveal.pause().await;
    }

    /// The keys, for those who reveal on their own.
    pub fn vault(&self) -> Option<Arc<Vault>> {
        self.reveal.vault()
    }

    /// Asks for every key again: others did the work meanwhile, and this process has not seen whom
    /// the log says to be erased.
    pub fn start_over(&self) {
        self.reveal.start_over();
    }

    /// Whether this process can have the log and its keys, as far as it knows, or could a moment
    /// ago.
    pub fn is_able(&self) -> bool {
        self.away_since.is_none_or(|since| since.elapsed() < UNABLE_AFTER)
    }

    /// A process without work reads nothing, so it asks now and then whether the log `answers`.
    pub fn asked(&mut self, answers: bool) {
        match self.away_since {
            // Not at once: it may be the keys that were away, which nothing asks for here.
            Some(since) if answers && since.elapsed() > TRY_AGAIN => self.away_since = None,
            None if !answers => self.away_since = Some(Instant::now()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
