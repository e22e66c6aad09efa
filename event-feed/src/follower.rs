//! Reads the log in exact order from a checkpoint: live from NATS if possible, or else from the
//! store.
//!
//! It guarantees, whatever NATS does:
//! - After a checkpoint at `p`, events come out as positions `p+1`, `p+2`, …, each once, none
//!   missing.
//! - Nothing comes out before the checkpoint's event id was found at its position in the store
//!   (continuity). Another history is an error, never a guess.
//! - Memory is bounded, and a dropped future loses nothing.

use std::sync::Arc;
use std::time::Duration;

use event_store::{EventRef, EventStore, Head, RecordedEvent, StoreError};
use nats_kit::NatsHandle;
use tokio::time::Instant;

mod catch_up;
mod join;
mod live;

use catch_up::CatchUp;
use join::Join;
use live::{FromLive, Live};

/// How a follower currently gets its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// From NATS, as they are published.
    Live,
    /// In large pages from the store, because it is behind.
    CatchingUp,
    /// By polling the store at the head, because NATS is currently unreliable.
    Polling,
}

impl Mode {
    /// The name of the mode: `live`, `catching_up` or `polling`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::CatchingUp => "catching_up",
            Self::Polling => "polling",
        }
    }
}

/// The result of [`Follower::next_batch`].
#[derive(Debug, Clone)]
pub struct Batch {
    /// The next events, in order. Empty if none came for [`FollowerSettings::idle_report`], or if
    /// the log continues in a new epoch.
    pub events: Vec<RecordedEvent>,
    /// How the events came.
    pub mode: Mode,
    /// The newest known head of the log, never before the last event returned.
    pub head: Head,
    /// When the log was last known to have no event after those returned so far, these included.
    /// `None` if that is not known since the last [`Follower::seek`], or if there are more.
    pub complete_at: Option<Instant>,
}

/// Why the follower cannot continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The log does not have the checkpoint's event at the checkpoint's position, so it has another
    /// history.
    #[error("the log (epoch {}, head {}) has another history than the checkpoint at position {}",
        head.epoch, head.mark.position, checkpoint.position)]
    OtherHistory {
        /// The checkpoint of the follower.
        checkpoint: EventRef,
        /// The current head of the log.
        head: Head,
    },
    /// The store did not answer. If [`FollowError::is_transient`], call again; the follower itself
    /// waits before it retries.
    #[error("cannot read the event store")]
    Store(#[from] StoreError),
}

impl FollowError {
    /// Whether calling again may succeed without intervention.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::OtherHistory { .. } => false,
            Self::Store(error) => {
                !matches!(error, StoreError::Invalid(_) | StoreError::Unusable(_))
            }
        }
    }
}

/// The follower's limits and intervals.
#[derive(Debug, Clone)]
pub struct FollowerSettings {
    /// The time without an event after which an empty batch is returned, so that the caller can
    /// show that it is alive.
    pub idle_report: Duration,
    /// How often the store is polled while NATS is unreliable.
    pub poll_interval: Duration,
    /// The wait after a failure of the store. It doubles up to [`FollowerSettings::retry_most`].
    pub retry_first: Duration,
    /// The longest wait after a failure of the store.
    pub retry_most: Duration,
    /// The maximum number of events in one page from the store.
    pub page: u32,
    /// Beyond this lag, in events, pages from the store are faster than messages.
    pub catch_up_above: i64,
    /// Up to this lag, in events, messages are read again. It is below
    /// [`FollowerSettings::catch_up_above`], so that the mode does not flutter.
    pub live_below: i64,
    /// The time without a beacon after which NATS counts as unreliable and the store is asked.
    pub beacon_silence: Duration,
    /// How long to wait for events that a beacon announced. If none come, the stream may have lost
    /// its tail, and the store is asked.
    pub beacon_grace: Duration,
    /// How long a new consumer may take to prove that the stream has the same history.
    pub join_limit: Duration,
    /// The wait before the next consumer. It doubles up to [`FollowerSettings::join_retry_most`].
    pub join_retry_first: Duration,
    /// The longest wait before the next consumer.
    pub join_retry_most: Duration,
}

impl Default for FollowerSettings {
    fn default() -> Self {
        Self {
            idle_report: Duration::from_secs(1),
            poll_interval: Duration::from_millis(250),
            retry_first: Duration::from_millis(100),
            retry_most: Duration::from_secs(5),
            page: 5_000,
            catch_up_above: 20_000,
            live_below: 1_000,
            beacon_silence: Duration::from_secs(3),
            beacon_grace: Duration::from_millis(500),
            join_limit: Duration::from_secs(3),
            join_retry_first: Duration::from_millis(250),
            join_retry_most: Duration::from_secs(10),
        }
    }
}

/// Reads the log in order from a checkpoint, with the guarantees of this module.
pub struct Follower {
    catch_up: CatchUp,
    join: Option<Join>,
    settings: FollowerSettings,
}

/// The reason why a wait ended.
enum Woken {
    Item(Option<FromLive>),
    Beacon,
    Time,
}

impl Follower {
    /// Creates a follower that starts before the first event; [`Follower::seek`] moves it. Without
    /// `nats` it polls the store.
    ///
    /// Call it inside a tokio runtime. With `nats`, it starts two tasks, which end with the
    /// follower.
    pub fn new(
        store: Arc<dyn EventStore>,
        nats: Option<NatsHandle>,
        settings: FollowerSettings,
    ) -> Self {
        let join = nats.map(|nats| Join::new(Live::new(&nats), &settings));
        Self { catch_up: CatchUp::new(store, &settings), join, settings }
    }

    /// Continues after `mark`. Its event id is compared with the store's before any event is
    /// returned.
    pub fn seek(&mut self, mark: EventRef) {
        self.catch_up.seek(mark);
        if let Some(join) = &mut self.join {
            join.leave("seeking");
        }
    }

    /// The last event returned, or the mark of the last [`Follower::seek`].
    pub fn mark(&self) -> EventRef {
        self.catch_up.last
    }

    /// How events currently come.
    pub fn mode(&self) -> Mode {
        let live = self.join.as_ref().is_some_and(Join::is_proven);
        match (self.catch_up.behind, live) {
            (true, _) => Mode::CatchingUp,
            (false, true) => Mode::Live,
            (false, false) => Mode::Polling,
        }
    }

    /// Whether the head of the log is unknown: the last read of the store failed, and there was no
    /// recent beacon. An empty batch then does not mean that there are no more events.
    pub fn is_cut_off(&self) -> bool {
        let hears = |join: &Join| {
            join.is_proven()
                && join
                    .live
                    .heard()
                    .is_some_and(|heard| heard.at.elapsed() < self.settings.beacon_silence)
        };
        self.catch_up.is_failing() && !self.join.as_ref().is_some_and(hears)
    }

    /// Returns the next 1 to `max` events, or none after [`FollowerSettings::idle_report`].
    ///
    /// If a caller fails to process a batch, it calls [`Follower::seek`] with its checkpoint. The
    /// future may be dropped at any await.
    ///
    /// # Errors
    /// [`FollowError`]. The follower stays usable.
    pub async fn next_batch(&mut self, max: usize) -> Result<Batch, FollowError> {
        let report_at = Instant::now() + self.settings.idle_report;
        loop {
            if let Some(events) = self.take_live(max) {
                return Ok(events);
            }
            if self.catch_up.due <= Instant::now() {
                let known = self.catch_up.head.map(|head| head.epoch);
                let (head, events) = self.catch_up.read(max).await?;
                if let Some(join) = &mut self.join {
                    join.compare_with_store(&mut self.catch_up, &events);
                }
                let is_new_epoch = known.is_some_and(|known| known != head.epoch);
                if !events.is_empty() || is_new_epoch {
                    return Ok(self.batch(events, head));
                }
                continue;
            }
            let report_due = Instant::now() >= report_at;
            if let (true, Some(head)) = (report_due, self.catch_up.head) {
                return Ok(self.batch(Vec::new(), head));
            }
            self.wait(if report_due {
                self.catch_up.due
            } else {
                report_at.min(self.catch_up.due)
            })
            .await;
        }
    }

    /// The next events from NATS.
    fn take_live(&mut self, max: usize) -> Option<Batch> {
        let join = self.join.as_mut()?;
        join.join_if_near(&self.catch_up);
        let events = join.take(&mut self.catch_up, max);
        let head = self.catch_up.head.filter(|_| !events.is_empty())?;
        Some(self.batch(events, head))
    }

    fn batch(&self, events: Vec<RecordedEvent>, head: Head) -> Batch {
        Batch { events, mode: self.mode(), head, complete_at: self.catch_up.complete_at }
    }

    /// Waits for a message, a beacon or a moment. Dropping it loses nothing.
    async fn wait(&mut self, until: Instant) {
        let Some(join) = &mut self.join else {
            tokio::time::sleep_until(until).await;
            return;
        };
        let woken = tokio::select! {
            // A message that waits for the store must not be replaced by the next one.
            item = join.live.items.recv(), if join.held.is_none() => Woken::Item(item),
            heard = join.live.beacons.changed(), if !join.deaf => {
                // The listening task ends only with the client. From then on, only the clock wakes
                // the follower.
                join.deaf = heard.is_err();
                Woken::Beacon
            }
            () = tokio::time::sleep_until(until) => Woken::Time,
        };
        match woken {
            Woken::Item(Some(item)) => join.hold(item),
            Woken::Item(None) => self.join = None,
            Woken::Beacon => join.hear(&mut self.catch_up),
            Woken::Time => {}
        }
    }
}

#[cfg(test)]
mod tests;
