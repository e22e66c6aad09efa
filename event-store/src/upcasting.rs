//! The log as if today's program had written all of it, read through a [`Registry`].
//!
//! Filters and conditions over types are widened before they reach the store. The results are
//! upcast and narrowed, so a renamed or split event is still found and a dropped one is not.
//!
//! A condition over a type therefore holds even against appends of an older program that still
//! writes the former type. A [`Registry`] is made of plain types, so a crate can list the former
//! types of a domain without depending on a crate that reads the log.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};

use crate::append::{Append, AppendOutcome, Refusal};
use crate::as_of::AsOf;
use crate::encryption::vault::held::Personal;
use crate::error::StoreError;
use crate::event::{EventRef, Position, RecordedEvent};
use crate::query::{EventQuery, Filter};
use crate::registry::{Registry, Unreadable, WrittenType};
use crate::store::{EventStore, is_last_page};
use crate::stream::{StreamName, Version};

mod check;

/// The maximum number of times that an append is sent again because the event that broke its
/// condition, once upcast, does not match. After that the refusal stands, and the caller decides
/// again, which is always correct.
const MAX_SENT_AGAIN: u32 = 8;
/// The maximum number of stored events to read at a time when checking a condition.
const CONDITION_PAGE: u32 = 500;

/// A store and the registry through which it is read. It is cheap to clone.
#[derive(Clone)]
pub struct UpcastingLog {
    store: Arc<dyn EventStore>,
    registry: Arc<Registry>,
}

/// A page of events of the log, upcast to their current form.
#[derive(Debug, Clone)]
pub struct Page {
    /// The events; the fragments of one stored event are never on two pages.
    pub events: Vec<RecordedEvent>,
    /// The position to continue from: that of the last stored event that was read.
    pub after: Position,
    /// Whether the store had no more events. A page without events need not be the last.
    pub is_last: bool,
}

/// A page of events of a stream, upcast to their current form.
#[derive(Debug, Clone)]
pub struct StreamPage {
    /// The events; the fragments of one stored event are never on two pages.
    pub events: Vec<RecordedEvent>,
    /// The version and reference of the last stored event that was read, even if upcasting dropped
    /// it. `None` when none was read.
    pub last: Option<(Version, EventRef)>,
    /// Whether the stream had no more events.
    pub is_last: bool,
    /// The subjects whose personal values are readable in the stored events.
    pub(crate) personal: Personal,
}

/// The reason why a log could not be read or appended to through its registry.
#[derive(Debug, thiserror::Error)]
pub enum UpcastingError {
    /// The store gave no outcome.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored event has a version that this program does not know, or not the shape of its
    /// version.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl UpcastingLog {
    /// Makes the log in `store`, read through `registry`.
    pub fn new(store: Arc<dyn EventStore>, registry: Arc<Registry>) -> Self {
        Self { store, registry }
    }

    /// The underlying store, without upcasting.
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.store
    }

    /// The registry through which the log is read.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Reads up to `limit` stored events after a position that may match the filter, upcasts them
    /// and returns the fragments that match.
    ///
    /// # Errors
    /// [`UpcastingError`].
    pub async fn read(
        &self,
        filter: &Filter,
        after: Position,
        limit: u32,
    ) -> Result<Page, UpcastingError> {
        let stored = self.store.read(&self.registry.widen(filter), after, limit).await?;
        let is_last = is_last_page(&stored, limit);
        let after = stored.last().map_or(after, |event| event.position);
        let mut events = Vec::with_capacity(stored.len());
        for event in stored {
            events.extend(self.narrowed(event, filter)?);
        }
        Ok(Page { events, after, is_last })
    }

    /// Reads and upcasts up to `limit` stored events of a stream with a version above `after`.
    ///
    /// # Errors
    /// [`UpcastingError`].
    pub async fn read_stream(
        &self,
        stream: &StreamName,
        after: Version,
        limit: u32,
    ) -> Result<StreamPage, UpcastingError> {
        let stored = self.store.read_stream(stream, after, limit).await?;
        let is_last = is_last_page(&stored, limit);
        self.stream_page(stored, is_last)
    }

    /// Reads as [`UpcastingLog::read_stream`], but the stream as of a past moment.
    ///
    /// # Errors
    /// [`UpcastingError`].
    pub async fn read_stream_as_of(
        &self,
        stream: &StreamName,
        after: Version,
        limit: u32,
        as_of: AsOf,
    ) -> Result<StreamPage, UpcastingError> {
        let mut stored = self.store.read_stream(stream, after, limit).await?;
        // Versions, positions and times of a stream never decrease.
        let included = stored.partition_point(|event| as_of.includes(event));
        let is_last = included < stored.len() || is_last_page(&stored, limit);
        stored.truncate(included);
        self.stream_page(stored, is_last)
    }

    fn stream_page(
        &self,
        stored: Vec<RecordedEvent>,
        is_last: bool,
    ) -> Result<StreamPage, UpcastingError> {
        let last = stored.last().map(|event| (event.version, event.mark()));
        let (mut events, mut personal) = (Vec::with_capacity(stored.len()), Personal::default());
        for event in stored {
            // Use the stored payload: an upcaster may turn a personal field into something else.
            personal.add(event.data.get());
            events.extend(self.narrowed(event, &Filter::All)?);
        }
        Ok(StreamPage { events, last, is_last, personal })
    }

    /// Subscribes to the events after a position that match the filter. The subscription never
    /// ends. An unreadable event is an error, and the events after it still follow.
    pub fn subscribe(
        &self,
        filter: Filter,
        after: Position,
    ) -> BoxStream<'static, Result<RecordedEvent, UpcastingError>> {
        let log = self.clone();
        let stored = self.store.subscribe(self.registry.widen(&filter), after);
        let events = stored.flat_map(move |event| {
            let narrowed = event
                .map_err(UpcastingError::from)
                .and_then(|event| Ok(log.narrowed(event, &filter)?));
            stream::iter(match narrowed {
                Ok(events) => events.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
        });
        events.boxed()
    }

    /// Appends, with conditions over today's types. See [`EventStore::append`].
    ///
    /// # Errors
    /// [`UpcastingError`]. Nothing was appended when an event that may break a condition is
    /// unreadable.
    pub async fn append(&self, append: Append) -> Result<AppendOutcome, UpcastingError> {
        if append.conditions.is_empty() || self.registry.is_plain() {
            return Ok(self.store.append(append).await?);
        }
        let asked: Vec<EventQuery> =
            append.conditions.iter().map(|condition| condition.query.clone()).collect();
        let mut widened = append;
        for condition in &mut widened.conditions {
            condition.query = self.registry.widen_query(&condition.query);
        }
        for _ in 0..MAX_SENT_AGAIN {
            let outcome = self.store.append(widened.clone()).await?;
            let AppendOutcome::Refused(Refusal::Condition { index, position }) = outcome else {
                return Ok(outcome);
            };
            let (Some(query), Some(condition)) =
                (asked.get(index), widened.conditions.get_mut(index))
            else {
                return Ok(outcome);
            };
            match self.first_match(query, position).await? {
                Match::At(position) => {
                    return Ok(AppendOutcome::Refused(Refusal::Condition { index, position }));
                }
                Match::NoneUpTo(position) => condition.after = position,
            }
        }
        Ok(self.store.append(widened).await?)
    }

    /// Returns the types and versions in the log that this program cannot read. Report them before
    /// serving.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unreadable(&self) -> Result<Vec<WrittenType>, StoreError> {
        Ok(self.registry.unreadable(self.store.written_types().await?))
    }

    /// Returns the first event at or after `from` that matches once it is upcast.
    async fn first_match(
        &self,
        query: &EventQuery,
        from: Position,
    ) -> Result<Match, UpcastingError> {
        let filter = Filter::Query(query.clone());
        let mut after = Position(from.0 - 1);
        loop {
            let page = self.read(&filter, after, CONDITION_PAGE).await?;
            if let Some(event) = page.events.first() {
                return Ok(Match::At(event.position));
            }
            after = page.after.max(from);
            if page.is_last {
                return Ok(Match::NoneUpTo(after));
            }
        }
    }

    /// Returns the fragments of a stored event that match.
    fn narrowed(
        &self,
        event: RecordedEvent,
        filter: &Filter,
    ) -> Result<Vec<RecordedEvent>, Unreadable> {
        let mut fragments = match self.registry.upcast(&event)? {
            std::borrow::Cow::Owned(fragments) => fragments,
            std::borrow::Cow::Borrowed(_) => vec![event],
        };
        fragments.retain(|fragment| filter.matches(fragment));
        Ok(fragments)
    }
}

/// Whether, and where, a condition is broken.
enum Match {
    At(Position),
    NoneUpTo(Position),
}
