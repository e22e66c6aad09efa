//! Reads pages from the store. Each page begins with the last event returned, which proves
//! continuity.

use std::sync::Arc;
use std::time::Duration;

use event_store::store::is_last_page;
use event_store::{EventRef, EventStore, Filter, Head, Position, RecordedEvent};
use postgres_kit::Pauses;
use tokio::time::Instant;

use super::{FollowError, FollowerSettings};

/// The maximum age of the known head while pages are read.
const HEAD_AGE: Duration = Duration::from_secs(1);

/// The events after the last one returned, and whether there may be more.
struct Page {
    events: Vec<RecordedEvent>,
    full: bool,
}

/// The follower's position, and its schedule for asking the store.
pub(super) struct CatchUp {
    store: Arc<dyn EventStore>,
    /// The last event returned.
    pub(super) last: EventRef,
    /// The newest known head.
    pub(super) head: Option<Head>,
    head_read_at: Option<Instant>,
    /// The time of the next read from the store.
    pub(super) due: Instant,
    /// Whether the last page was full, so there are more events.
    pub(super) behind: bool,
    /// When the log was last known to have no event after the last one returned.
    pub(super) complete_at: Option<Instant>,
    page: u32,
    poll_interval: Duration,
    pauses: Pauses,
    failing: bool,
}

impl CatchUp {
    pub(super) fn new(store: Arc<dyn EventStore>, settings: &FollowerSettings) -> Self {
        Self {
            store,
            last: EventRef::START,
            head: None,
            head_read_at: None,
            due: Instant::now(),
            behind: true,
            complete_at: None,
            page: settings.page,
            poll_interval: settings.poll_interval,
            pauses: Pauses::new(settings.retry_first, settings.retry_most),
            failing: false,
        }
    }

    pub(super) fn seek(&mut self, mark: EventRef) {
        self.last = mark;
        self.behind = true;
        self.complete_at = None;
        self.ask_now();
    }

    pub(super) const fn is_failing(&self) -> bool {
        self.failing
    }

    /// Makes the next read happen at once, unless the store has just failed.
    pub(super) fn ask_now(&mut self) {
        if !self.failing {
            self.due = Instant::now();
        }
    }

    /// Postpones the next read, because nothing is missing.
    pub(super) fn ask_after(&mut self, wait: Duration) {
        if !self.failing && !self.behind {
            self.due = Instant::now() + wait;
        }
    }

    /// Makes the next read happen at this moment or earlier.
    pub(super) fn ask_by(&mut self, moment: Instant) {
        if !self.failing {
            self.due = self.due.min(moment);
        }
    }

    /// Reads the next page (empty at the head) and schedules the next read.
    pub(super) async fn read(
        &mut self,
        max: usize,
    ) -> Result<(Head, Vec<RecordedEvent>), FollowError> {
        let limit = self.page.min(u32::try_from(max).unwrap_or(u32::MAX)).max(1);
        let began = Instant::now();
        match self.read_after_last(limit).await {
            Ok((head, asked_at, Page { events: page, full })) => {
                self.failing = false;
                self.pauses.reset();
                self.behind = full;
                self.complete_at = (!full).then_some(began);
                self.due =
                    if self.behind { Instant::now() } else { Instant::now() + self.poll_interval };
                let newest = page
                    .last()
                    .map(RecordedEvent::mark)
                    .filter(|mark| mark.position > head.mark.position);
                let head = Head { mark: newest.unwrap_or(head.mark), ..head };
                self.head = Some(head);
                self.head_read_at = Some(asked_at);
                if let Some(event) = page.last() {
                    self.last = event.mark();
                }
                Ok((head, page))
            }
            Err(error) => {
                self.failing = true;
                self.due = Instant::now() + self.pauses.next_pause();
                // After a failure, another history may be behind the same address, so read the
                // epoch again.
                self.head_read_at = None;
                Err(error)
            }
        }
    }

    /// Records that the events up to `mark` were returned.
    pub(super) fn advance(&mut self, mark: EventRef) {
        self.last = mark;
        if let Some(head) = &mut self.head
            && head.mark.position < mark.position
        {
            head.mark = mark;
        }
    }

    /// Takes a head from another source. Only a newer one of the same epoch counts.
    pub(super) fn hear_of_head(&mut self, told: Head) {
        if let Some(head) = &mut self.head
            && head.epoch == told.epoch
            && head.mark.position < told.mark.position
        {
            head.mark = told.mark;
        }
    }

    /// Makes the next read also read the epoch and the head.
    pub(super) fn forget_head_age(&mut self) {
        self.head_read_at = None;
    }

    async fn read_after_last(&self, limit: u32) -> Result<(Head, Instant, Page), FollowError> {
        let (head, asked_at) = match (self.head, self.head_read_at) {
            (Some(head), Some(at)) if at.elapsed() < HEAD_AGE => (head, at),
            _ => (self.store.head().await?, Instant::now()),
        };
        if self.last.position == Position::START {
            let events = self.store.read(&Filter::All, Position::START, limit).await?;
            return Ok((head, asked_at, Page { full: !is_last_page(&events, limit), events }));
        }
        let before_last = Position(self.last.position.0 - 1);
        let mut page = self.store.read(&Filter::All, before_last, limit.saturating_add(1)).await?;
        if page.first().map(RecordedEvent::mark) != Some(self.last) {
            return Err(FollowError::OtherHistory {
                checkpoint: self.last,
                head: self.store.head().await?,
            });
        }
        let full = !is_last_page(&page, limit.saturating_add(1));
        page.remove(0);
        Ok((head, asked_at, Page { events: page, full }))
    }
}
