//! The work of one leader: find where the target ends, read the next events, publish them. After
//! any error, it starts from the beginning.

use std::sync::Arc;

use event_store::store::is_last_page;
use event_store::{Epoch, EventRef, EventStore, Filter, Head, Position, RecordedEvent, StoreError};
use postgres_kit::{Keeper, LeaseLost};
use service_kit::Pulse;
use tokio::time::Instant;

use super::cursor::Cursor;
use super::lag::Lag;
use super::resume::{LostCommits, ResumeError, Resumed, Resuming};
use super::target::{EncodedBatch, NotPublished, RelayTarget, TargetError};
use super::{RelaySettings, metrics};

/// The maximum number of events read, and so published, at once.
const PAGE: u32 = 1_000;

/// The result of one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// It published events, and there are or may be more.
    More,
    /// It published everything that was there when it read. Later events come with their own
    /// wake-up.
    Idle,
}

/// Why a round failed. The next one begins where the target, or its cursor, says.
#[derive(Debug, thiserror::Error)]
pub(super) enum RelayError {
    #[error("the lease is lost")]
    Lost,
    #[error("event store: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("publishing: {0}")]
    NotPublished(#[from] NotPublished),
    #[error("the target does not end with the last published event")]
    Elsewhere,
    #[error("the log's event at position {0} is not the published one")]
    OtherHistory(Position),
    #[error(transparent)]
    LostCommits(#[from] LostCommits),
}

impl From<LeaseLost> for RelayError {
    fn from(_: LeaseLost) -> Self {
        Self::Lost
    }
}

impl From<ResumeError> for RelayError {
    fn from(error: ResumeError) -> Self {
        match error {
            ResumeError::Target(error) => Self::Target(error),
            ResumeError::Store(error) => Self::Store(error),
            ResumeError::Lost(lost) => lost.into(),
            ResumeError::LostCommits(found) => found.into(),
        }
    }
}

/// The events after one that is published or about to be.
struct Page {
    after: EventRef,
    events: Vec<RecordedEvent>,
    /// Whether there may be more.
    full: bool,
}

/// The state between rounds.
pub(super) struct Leader<'a, T> {
    target: &'a T,
    store: Arc<dyn EventStore>,
    keeper: &'a Keeper,
    lag: &'a Lag,
    pulse: &'a Pulse,
    settings: &'a RelaySettings,
    /// The last event of the target; unknown at first and after an error.
    at: Option<EventRef>,
    /// Kept for a target that cannot tell where it ends.
    cursor: Option<Cursor<'a>>,
    /// The page that was read while the previous batch was published.
    ahead: Option<Page>,
    head: Option<Head>,
    told_at: Option<Instant>,
    looked_at: Instant,
}

impl<'a, T: RelayTarget> Leader<'a, T> {
    pub(super) fn new(
        target: &'a T,
        store: Arc<dyn EventStore>,
        keeper: &'a Keeper,
        (lag, pulse): (&'a Lag, &'a Pulse),
        settings: &'a RelaySettings,
    ) -> Self {
        Self {
            target,
            store,
            keeper,
            lag,
            pulse,
            settings,
            at: None,
            cursor: None,
            ahead: None,
            head: None,
            told_at: None,
            looked_at: Instant::now(),
        }
    }

    /// Runs one round. After any error, only the target or its cursor is trusted.
    pub(super) async fn run_once(&mut self) -> Result<Round, RelayError> {
        let round = self.round().await;
        if round.is_err() {
            (self.at, self.ahead) = (None, None);
        }
        round
    }

    async fn round(&mut self) -> Result<Round, RelayError> {
        self.pulse.beat();
        let last = match self.at {
            Some(last) => last,
            None => self.resume().await?,
        };
        self.pulse.beat();
        // A leader that lost the lease publishes no more. One that has not noticed yet does no
        // harm: see the module of the target's port.
        let page = if let Some(page) = self.ahead.take().filter(|page| page.after == last) {
            self.keeper.holds().await?;
            page
        } else {
            let (page, leads) = tokio::join!(read_after(&*self.store, last), self.keeper.holds());
            leads?;
            page?
        };
        self.pulse.beat();
        self.refresh_head().await?;
        if page.events.is_empty() {
            self.progress(last, None);
            self.look_at_target(last).await?;
            return Ok(Round::Idle);
        }
        self.pulse.beat();
        let (last, round) = self.publish(last, page).await?;
        self.at = Some(last);
        Ok(round)
    }

    async fn resume(&mut self) -> Result<EventRef, RelayError> {
        let head = self.store.head().await?;
        self.head = Some(head);
        let refill_window = self.settings.refill_window;
        let resuming = Resuming { store: &*self.store, keeper: self.keeper, head, refill_window };
        let (last, cursor) = match self.target.resume(&resuming).await? {
            Resumed::After(last) => (last, None),
            Resumed::ByCursor => {
                let cursor = Cursor::new(self.keeper, self.target.name());
                (cursor.resume(&resuming).await?, Some(cursor))
            }
            Resumed::Emptied => {
                let cursor = Cursor::new(self.keeper, self.target.name());
                let last = cursor.begin(&resuming).await?;
                self.target.begin().await?;
                (last, Some(cursor))
            }
        };
        tracing::info!(position = %last.position, head = %head.mark.position,
            epoch = %head.epoch, "resuming publication");
        (self.at, self.cursor) = (Some(last), cursor);
        self.looked_at = Instant::now();
        Ok(last)
    }

    /// Publishes as many of the events as one batch may hold, and reads ahead meanwhile. Returns
    /// the last published event.
    async fn publish(
        &mut self,
        last: EventRef,
        page: Page,
    ) -> Result<(EventRef, Round), RelayError> {
        let Some(head) = self.head else { return Ok((last, Round::More)) };
        let encoded = self.target.encode(&page.events, head.epoch);
        let count = encoded.count;
        let new_last = page.events.iter().take(count).next_back().map(RecordedEvent::mark);
        let new_last = new_last.ok_or_else(|| TargetError("no event was encoded".to_owned()))?;
        let more = page.full || count < page.events.len();
        let reading =
            async { if more { read_after(&*self.store, new_last).await.ok() } else { None } };
        let publishing = self.hand_over(encoded, last, new_last, head.epoch);
        let (published, ahead) = tokio::join!(publishing, reading);
        published?;
        self.ahead = ahead;
        let left = page.events.get(count).or_else(|| self.ahead.as_ref()?.events.first());
        self.progress(new_last, left.map(|event| event.recorded_at));
        Ok((new_last, if more || count > 1 { Round::More } else { Round::Idle }))
    }

    /// Publishes a batch, and moves the cursor once the target has stored it.
    async fn hand_over(
        &self,
        encoded: EncodedBatch<T::Batch>,
        last: EventRef,
        new_last: EventRef,
        epoch: Epoch,
    ) -> Result<(), RelayError> {
        let EncodedBatch { batch, count, stubs } = encoded;
        if let Err(error) = self.target.publish(batch, last, self.keeper.term()).await {
            metrics::published(self.target.name(), error.kind, count, 0);
            return Err(error.into());
        }
        metrics::published(self.target.name(), "ok", count, stubs);
        if let Some(cursor) = &self.cursor {
            cursor.move_to(epoch, new_last).await?;
        }
        Ok(())
    }

    /// Once per beacon interval, reads the epoch and head and announces them to followers.
    async fn refresh_head(&mut self) -> Result<(), RelayError> {
        if self.told_at.is_some_and(|at| at.elapsed() < self.settings.beacon_interval) {
            return Ok(());
        }
        let head = self.store.head().await?;
        if self.head.is_some_and(|known| known.epoch != head.epoch) {
            return Err(RelayError::OtherHistory(head.mark.position));
        }
        self.head = Some(head);
        self.target.tell_head(head).await?;
        self.told_at = Some(Instant::now());
        Ok(())
    }

    /// Checks an idle target. Otherwise, nobody would notice that the target is gone, lost its end,
    /// or got foreign messages.
    async fn look_at_target(&mut self, last: EventRef) -> Result<(), RelayError> {
        if self.looked_at.elapsed() < self.settings.look_interval {
            return Ok(());
        }
        self.looked_at = Instant::now();
        if self.target.ends_with(last).await? { Ok(()) } else { Err(RelayError::Elsewhere) }
    }

    fn progress(&self, last: EventRef, oldest_left: Option<chrono::DateTime<chrono::Utc>>) {
        let head = self.head.map_or(last.position, |head| head.mark.position.max(last.position));
        self.lag.tell(last.position, head, oldest_left);
    }
}

/// Reads a page of the next events. The read includes the last published event, so every read
/// proves continuity.
async fn read_after(store: &dyn EventStore, last: EventRef) -> Result<Page, RelayError> {
    if last.position == Position::START {
        let events = store.read(&Filter::All, Position::START, PAGE).await?;
        let full = !is_last_page(&events, PAGE);
        return Ok(Page { after: last, events, full });
    }
    let before_last = Position(last.position.0 - 1);
    let mut events = store.read(&Filter::All, before_last, PAGE + 1).await?;
    if events.first().map(RecordedEvent::mark) != Some(last) {
        return Err(RelayError::OtherHistory(last.position));
    }
    let full = !is_last_page(&events, PAGE + 1);
    events.remove(0);
    Ok(Page { after: last, events, full })
}
