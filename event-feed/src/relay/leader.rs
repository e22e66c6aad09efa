//! One leader's work: find where the stream ends, read what comes after, publish it; after any
//! error, from the start.

use std::sync::Arc;

use event_store::store::is_last_page;
use event_store::{Epoch, EventRef, EventStore, Filter, Head, Position, RecordedEvent, StoreError};
use service_kit::Pulse;
use tokio::time::{Instant, timeout};

use super::jetstream::publish::{MAX_BATCH, MAX_BATCH_BYTES, PublishError, PublishMode, publish};
use super::jetstream::resume::{LostCommits, Resume, ResumeError};
use super::jetstream::stream::{Broker, BrokerError};
use super::lag::Lag;
use super::term::{Keeper, LeaseLost};
use super::{RelaySettings, metrics};
use crate::beacon::{BEACON_SUBJECT, Beacon};
use crate::message::{Encoded, encode};
use crate::nats::{NatsHandle, REQUEST_TIMEOUT};

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// Published events; there are more, or are likely to be by now.
    More,
    /// Has published all that was there when it was read. What is appended later comes with a
    /// wake-up of its own.
    Idle,
}

/// Why a round did not come to its end. The next one begins with the stream's own last sequence.
#[derive(Debug, thiserror::Error)]
pub(super) enum RelayError {
    #[error("the lease is lost")]
    Lost,
    #[error("event store: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("publishing: {0}")]
    Publish(#[from] PublishError),
    #[error("the log has another event at position {0} than the stream")]
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
            ResumeError::Broker(error) => Self::Broker(error),
            ResumeError::Store(error) => Self::Store(error),
            ResumeError::Lost(lost) => lost.into(),
            ResumeError::LostCommits(found) => found.into(),
        }
    }
}

/// Events after one that is published, or about to be.
struct Page {
    after: EventRef,
    events: Vec<RecordedEvent>,
    /// Whether there may be more.
    full: bool,
}

/// The state between rounds.
pub(super) struct Leader<'a> {
    nats: &'a NatsHandle,
    store: Arc<dyn EventStore>,
    keeper: &'a Keeper,
    broker: Broker,
    lag: &'a Lag,
    pulse: &'a Pulse,
    settings: &'a RelaySettings,
    /// Where the stream ends; unknown at first and after error.
    at: Option<EventRef>,
    /// What was read while the batch before was published.
    ahead: Option<Page>,
    head: Option<Head>,
    told_at: Option<Instant>,
    looked_at: Instant,
    mode: PublishMode,
}

impl<'a> Leader<'a> {
    pub(super) fn new(
        nats: &'a NatsHandle,
        store: Arc<dyn EventStore>,
        keeper: &'a Keeper,
        (lag, pulse): (&'a Lag, &'a Pulse),
        settings: &'a RelaySettings,
    ) -> Self {
        Self {
            nats,
            store,
            keeper,
            broker: Broker::new(nats.clone(), settings.limits.clone()),
            lag,
            pulse,
            settings,
            at: None,
            ahead: None,
            head: None,
            told_at: None,
            looked_at: Instant::now(),
            mode: settings.publish,
        }
    }

    /// One round. After error, whatever it was, nothing is believed but what the stream says.
    pub(super) async fn run_once(&mut self) -> Result<Round, RelayError> {
        let round = self.round().await;
        if let Err(error) = &round {
            (self.at, self.ahead) = (None, None);
            if let RelayError::Publish(PublishError::NotAtomic(why)) = error {
                tracing::warn!(why, "publishing one by one from now on");
                self.mode = PublishMode::Pipelined;
            }
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
        // Whoever has lost the lease publishes nothing more; the broker refuses what one publishes
        // who does not know yet.
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
            self.look_at_stream(last).await?;
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
        let (broker, store, keeper) = (&self.broker, &*self.store, self.keeper);
        let resumed =
            Resume { broker, store, head, keeper, refill_window: self.settings.refill_window }
                .run()
                .await?;
        if resumed.recreated {
            metrics::stream_made();
        }
        tracing::info!(position = %resumed.last.position, head = %head.mark.position,
            epoch = %head.epoch, "publishing goes on");
        self.at = Some(resumed.last);
        self.looked_at = Instant::now();
        Ok(resumed.last)
    }

    /// Publishes as many of the events as one batch may hold, and reads on meanwhile; gives the
    /// last one published.
    async fn publish(
        &mut self,
        last: EventRef,
        page: Page,
    ) -> Result<(EventRef, Round), RelayError> {
        let Some(head) = self.head else { return Ok((last, Round::More)) };
        let messages = batch(&page.events, head.epoch, self.nats.client().max_payload());
        let (count, stubs) =
            (messages.len(), messages.iter().filter(|message| message.is_stub).count());
        let new_last = messages.last().map_or(last, |message| message.mark);
        let more = page.full || count < page.events.len();
        let reading =
            async { if more { read_after(&*self.store, new_last).await.ok() } else { None } };
        let (published, ahead) =
            tokio::join!(publish(self.nats, self.mode, messages, last.position), reading);
        if let Err(error) = published {
            metrics::published(error.label(), count, 0);
            return Err(error.into());
        }
        metrics::published("ok", count, stubs);
        self.ahead = ahead;
        let left = page.events.get(count).or_else(|| self.ahead.as_ref()?.events.first());
        self.progress(new_last, left.map(|event| event.recorded_at));
        Ok((new_last, if more || count > 1 { Round::More } else { Round::Idle }))
    }

    /// Once in a beacon's interval: asks for epoch and head, and tells the followers.
    async fn refresh_head(&mut self) -> Result<(), RelayError> {
        if self.told_at.is_some_and(|at| at.elapsed() < self.settings.beacon_interval) {
            return Ok(());
        }
        let head = self.store.head().await?;
        if self.head.is_some_and(|known| known.epoch != head.epoch) {
            return Err(RelayError::OtherHistory(head.mark.position));
        }
        self.head = Some(head);
        let beacon = serde_json::to_vec(&Beacon::from(head))
            .map_err(|error| BrokerError::Unfit(error.to_string()))?;
        if self.nats.is_connected() {
            // It waits while the client's queue is full, as it is behind a silent server.
            let telling = self.nats.client().publish(BEACON_SUBJECT, beacon.into());
            let told = timeout(REQUEST_TIMEOUT, telling)
                .await
                .map_err(|_| BrokerError::Away("no answer in time".to_owned()))?;
            told.map_err(|error| BrokerError::Away(error.to_string()))?;
        }
        self.told_at = Some(Instant::now());
        Ok(())
    }

    /// With nothing to publish nobody would notice that the stream is gone or that a stranger wrote
    /// into it.
    async fn look_at_stream(&mut self, last: EventRef) -> Result<(), RelayError> {
        if self.looked_at.elapsed() < self.settings.look_interval {
            return Ok(());
        }
        self.looked_at = Instant::now();
        let info = self.broker.info().await?;
        let as_left =
            info.is_some_and(|info| i64::try_from(info.state.last_sequence) == Ok(last.position.0));
        if as_left { Ok(()) } else { Err(PublishError::WrongLastSequence.into()) }
    }

    fn progress(&self, last: EventRef, oldest_left: Option<chrono::DateTime<chrono::Utc>>) {
        let head = self.head.map_or(last.position, |head| head.mark.position.max(last.position));
        self.lag.tell(last.position, head, oldest_left);
    }
}

/// The messages of the first events, as many as one batch may hold.
pub(super) fn batch(events: &[RecordedEvent], epoch: Epoch, max_payload: usize) -> Vec<Encoded> {
    let mut bytes = 0;
    let mut messages = Vec::with_capacity(events.len());
    for event in events {
        let message = encode(event, epoch, max_payload);
        bytes += message.bytes;
        if !messages.is_empty() && bytes > MAX_BATCH_BYTES {
            break;
        }
        messages.push(message);
    }
    messages
}

/// The next events, as many as one batch may hold at most. The read begins with the last published
/// one, so that every read proves continuity.
async fn read_after(store: &dyn EventStore, last: EventRef) -> Result<Page, RelayError> {
    let limit = u32::try_from(MAX_BATCH).unwrap_or(u32::MAX);
    if last.position == Position::START {
        let events = store.read(&Filter::All, Position::START, limit).await?;
        let full = !is_last_page(&events, limit);
        return Ok(Page { after: last, events, full });
    }
    let before_last = Position(last.position.0 - 1);
    let mut events = store.read(&Filter::All, before_last, limit + 1).await?;
    if events.first().map(RecordedEvent::mark) != Some(last) {
        return Err(RelayError::OtherHistory(last.position));
    }
    let full = !is_last_page(&events, limit + 1);
    events.remove(0);
    Ok(Page { after: last, events, full })
}
