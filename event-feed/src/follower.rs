//! Reads the log in exact order from a checkpoint: live from NATS when it can, from the store when
//! it must.
//!
//! Guarantees, whatever NATS does:
//! - events come out as position `p+1`, `p+2`, … after the checkpoint at `p`, each once, none
//!   missing;
//! - nothing comes out before the event id at the checkpoint was found equal in the store
//!   (continuity), and a history that is another one is an error, never a guess;
//! - memory is bounded, and a dropped future loses nothing.

use std::sync::Arc;
use std::time::Duration;

use event_store::{EventRef, EventStore, Head, RecordedEvent, StoreError};
use tokio::time::Instant;

use crate::nats::NatsHandle;

mod catch_up;
mod join;
mod live;

use catch_up::CatchUp;
use join::Join;
use live::{FromLive, Live};

/// How a follower gets its events at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// From NATS, as they are published.
    Live,
    /// In large pages from the store, because it is behind.
    CatchingUp,
    /// At the head, looking into the store now and then, because NATS cannot be relied on at the
    /// moment.
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
    /// The next events, in order. Empty when nothing came for [`FollowerSettings::idle_report`], or
    /// when the log goes on in a new epoch.
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
    /// The log does not hold the event of the checkpoint at the checkpoint's position: its history
    /// is another one.
    #[error("the log (epoch {}, head {}) has another history than the checkpoint at position {}",
        head.epoch, head.mark.position, checkpoint.position)]
    OtherHistory {
        /// Where the follower stood.
        checkpoint: EventRef,
        /// The log as it is.
        head: Head,
    },
    /// The store gave no answer. When [`FollowError::is_transient`], call again: the follower waits
    /// by itself before it asks again.
    #[error("cannot read the event store")]
    Store(#[from] StoreError),
}

impl FollowError {
    /// Whether calling again may help without anybody's doing.
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
    /// An empty batch is given after this long without an event, so that the caller can show that
    /// it lives.
    pub idle_report: Duration,
    /// How often the store is asked while NATS cannot be relied on.
    pub poll_interval: Duration,
    /// How long to wait after the store failed; doubles up to [`FollowerSettings::retry_most`].
    pub retry_first: Duration,
    /// The longest wait after the store failed.
    pub retry_most: Duration,
    /// The most events that one page from the store holds.
    pub page: u32,
    /// This far behind the head, pages from the store are faster than messages.
    pub catch_up_above: i64,
    /// Not further behind than this, messages are read again. Below
    /// [`FollowerSettings::catch_up_above`], so that nothing flutters.
    pub live_below: i64,
    /// Without a beacon for this long NATS cannot be relied on, and the store is asked.
    pub beacon_silence: Duration,
    /// A beacon told of more and nothing came for this long: the stream may have lost its tail, and
    /// the store is asked.
    pub beacon_grace: Duration,
    /// How long a new consumer may take to show that the stream carries the same history.
    pub join_limit: Duration,
    /// How long to wait before the next consumer; doubles up to
    /// [`FollowerSettings::join_retry_most`].
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

/// Reads the log in order from a checkpoint. See the module's guarantees.
pub struct Follower {
    catch_up: CatchUp,
    join: Option<Join>,
    settings: FollowerSettings,
}

/// What ended a wait.
enum Woken {
    Item(Option<FromLive>),
    Beacon,
    Time,
}

impl Follower {
    /// A follower that starts before the first event; [`Follower::seek`] moves it. Without `nats`
    /// it polls the store.
    ///
    /// Call it inside a tokio runtime: with `nats` it starts two tasks, which end with it.
    pub fn new(
        store: Arc<dyn EventStore>,
        nats: Option<NatsHandle>,
        settings: FollowerSettings,
    ) -> Self {
        let join = nats.map(|nats| Join::new(Live::new(&nats), &settings));
        Self { catch_up: CatchUp::new(store, &settings), join, settings }
    }

    /// Goes on after `mark` from now on, whose event id is compared with the store's before
    /// anything is handed out.
    pub fn seek(&mut self, mark: EventRef) {
        self.catch_up.seek(mark);
        if let Some(join) = &mut self.join {
            join.leave("seeking");
        }
    }

    /// The last event handed out, or the mark of the last [`Follower::seek`].
    pub fn mark(&self) -> EventRef {
        self.catch_up.last
    }

    /// How events come at the moment.
    pub fn mode(&self) -> Mode {
        let live = self.join.as_ref().is_some_and(Join::is_proven);
        match (self.catch_up.behind, live) {
            (true, _) => Mode::CatchingUp,
            (false, true) => Mode::Live,
            (false, false) => Mode::Polling,
        }
    }

    /// Whether nothing tells where the log ends: the store failed when it was asked last, and no
    /// beacon came of late. An empty batch does not say then that there is no more.
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

    /// The next 1 to `max` events, or none after [`FollowerSettings::idle_report`].
    ///
    /// A caller that fails to process a batch calls [`Follower::seek`] with its checkpoint. The
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
                    return Ok(Batch { events, mode: self.mode(), head });
                }
                continue;
            }
            let report_due = Instant::now() >= report_at;
            if let (true, Some(head)) = (report_due, self.catch_up.head) {
                return Ok(Batch { events: Vec::new(), mode: self.mode(), head });
            }
            self.wait(if report_due {
                self.catch_up.due
            } else {
                report_at.min(self.catch_up.due)
            })
            .await;
        }
    }

    /// What came from NATS and follows.
    fn take_live(&mut self, max: usize) -> Option<Batch> {
        let join = self.join.as_mut()?;
        join.join_if_near(&self.catch_up);
        let events = join.take(&mut self.catch_up, max);
        let head = self.catch_up.head.filter(|_| !events.is_empty())?;
        Some(Batch { events, mode: self.mode(), head })
    }

    /// Waits for a message, a beacon or the moment. Nothing is lost when this is dropped.
    async fn wait(&mut self, until: Instant) {
        let Some(join) = &mut self.join else {
            tokio::time::sleep_until(until).await;
            return;
        };
        let woken = tokio::select! {
            // One that waits for the store must not be pushed out by the next.
            item = join.live.items.recv(), if join.held.is_none() => Woken::Item(item),
            heard = join.live.beacons.changed(), if !join.deaf => {
                // The task that hears is gone only when the client is; then the clock alone wakes
                // us.
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
