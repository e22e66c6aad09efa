//! Reads the log in exact order from a checkpoint: live from NATS when it can, from the store when it must.
//!
//! Guarantees, whatever NATS does:
//! - events come out as position `p+1`, `p+2`, … after the checkpoint at `p`, each once, none missing;
//! - nothing comes out before the event id at the checkpoint was found equal in the store (continuity), and a history
//!   that is another one is an error, never a guess;
//! - memory is bounded, and a dropped future loses nothing.

use std::sync::Arc;
use std::time::Duration;

use event_store::{EventStore, Head, Mark, RecordedEvent, StoreError};
use tokio::time::Instant;

use crate::nats::NatsHandle;

mod catch_up;

use catch_up::CatchUp;

/// How a follower gets its events at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// From NATS, as they are published.
    Live,
    /// In large pages from the store, because it is behind.
    CatchingUp,
    /// At the head, looking into the store now and then, because NATS cannot be relied on at the moment.
    Polling,
}

impl Mode {
    /// `live`, `catching_up` or `polling`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::CatchingUp => "catching_up",
            Self::Polling => "polling",
        }
    }
}

/// What [`Follower::next_batch`] gives.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The next events, in order. Empty when nothing came for [`FollowerSettings::idle_report`].
    pub events: Vec<RecordedEvent>,
    /// How they came.
    pub mode: Mode,
    /// The newest known head of the log, never below the last event handed out.
    pub head: Head,
}

/// Why the follower cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The log does not hold the event of the checkpoint at the checkpoint's position: its history is another one.
    #[error("the log (epoch {}, head {}) has another history than the checkpoint at position {}", head.epoch, head.mark.position, checkpoint.position)]
    OtherHistory {
        /// Where the follower stood.
        checkpoint: Mark,
        /// The log as it is.
        head: Head,
    },
    /// The store gave no answer. When [`FollowError::is_transient`], call again: the follower waits by itself before it asks again.
    #[error("cannot read the event store")]
    Store(#[from] StoreError),
}

impl FollowError {
    /// Whether calling again may help without anybody's doing.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::OtherHistory { .. } => false,
            Self::Store(error) => !matches!(error, StoreError::Invalid(_) | StoreError::Unusable(_)),
        }
    }
}

/// The follower's limits and intervals.
#[derive(Debug, Clone)]
pub struct FollowerSettings {
    /// An empty batch is given after this long without an event, so that the caller can show that it lives.
    pub idle_report: Duration,
    /// How often the store is asked while NATS cannot be relied on.
    pub poll_interval: Duration,
    /// How long to wait after the store failed; doubles up to [`FollowerSettings::retry_most`].
    pub retry_first: Duration,
    /// The longest wait after the store failed.
    pub retry_most: Duration,
    /// The most events that one page from the store holds.
    pub page: u32,
}

impl Default for FollowerSettings {
    fn default() -> Self {
        Self {
            idle_report: Duration::from_secs(1),
            poll_interval: Duration::from_millis(250),
            retry_first: Duration::from_millis(100),
            retry_most: Duration::from_secs(5),
            page: 5_000,
        }
    }
}

/// Reads the log in order from a checkpoint. See the module's guarantees.
pub struct Follower {
    catch_up: CatchUp,
    settings: FollowerSettings,
}

impl Follower {
    /// A follower that starts before the first event; [`Follower::seek`] moves it. Without `nats` it polls the store.
    pub fn new(store: Arc<dyn EventStore>, nats: Option<NatsHandle>, settings: FollowerSettings) -> Self {
        let _ = nats;
        Self { catch_up: CatchUp::new(store, &settings), settings }
    }

    /// Goes on after `mark` from now on, whose event id is compared with the store's before anything is handed out.
    pub fn seek(&mut self, mark: Mark) {
        self.catch_up.seek(mark);
    }

    /// The last event handed out, or the mark of the last [`Follower::seek`].
    pub fn mark(&self) -> Mark {
        self.catch_up.last
    }

    /// The next 1 to `max` events, or none after [`FollowerSettings::idle_report`].
    ///
    /// A caller that fails to process a batch calls [`Follower::seek`] with its checkpoint. The future may be dropped at any await.
    ///
    /// # Errors
    /// [`FollowError`]. The follower stays usable.
    pub async fn next_batch(&mut self, max: usize) -> Result<Batch, FollowError> {
        let report_at = Instant::now() + self.settings.idle_report;
        loop {
            let until = if self.catch_up.head.is_some() { self.catch_up.due.min(report_at) } else { self.catch_up.due };
            tokio::time::sleep_until(until).await;
            if self.catch_up.due <= Instant::now() {
                let (head, events) = self.catch_up.read(max).await?;
                if !events.is_empty() {
                    return Ok(Batch { events, mode: self.mode(), head });
                }
            }
            if Instant::now() >= report_at
                && let Some(head) = self.catch_up.head
            {
                return Ok(Batch { events: Vec::new(), mode: self.mode(), head });
            }
        }
    }

    fn mode(&self) -> Mode {
        if self.catch_up.behind { Mode::CatchingUp } else { Mode::Polling }
    }
}
