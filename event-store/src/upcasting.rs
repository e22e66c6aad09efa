//! A log as it would be if today's program had written all of it: read through a [`Registry`].
//!
//! Filters and conditions over types are widened before the store sees them, and what comes back is
//! upcast and narrowed, so that a renamed or split event is still found and a dropped one is not.
//!
//! A condition over a type therefore holds even against appends of an older program, which still
//! writes the former type. A [`Registry`] is made of plain types, so the crate that lists the
//! former types of a domain needs no crate that reads the log.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};

use crate::append::{Append, AppendOutcome, Refusal};
use crate::erasure::vault::held::Personal;
use crate::error::StoreError;
use crate::event::{EventRef, Position, RecordedEvent};
use crate::query::{EventQuery, Filter};
use crate::registry::{Registry, Unreadable, WrittenType};
use crate::state::AsOf;
use crate::store::{EventStore, is_last_page};
use crate::stream::{StreamName, Version};

mod check;

/// How often an append is sent again because what seemed to break its condition turned out, upcast,
/// not to. Past it the refusal stands: the caller decides again, which is always right.
const MAX_SENT_AGAIN: u32 = 8;
/// The most stored events that are read at a time to see whether a condition is broken.
const CONDITION_PAGE: u32 = 500;

/// A store and the registry it is read through. Cheap to clone.
#[derive(Clone)]
pub struct UpcastingLog {
    store: Arc<dyn EventStore>,
    registry: Arc<Registry>,
}

/// Some events of the log, as they are written today.
#[derive(Debug, Clone)]
pub struct Page {
    /// The events; the fragments of one stored event are never on two pages.
    pub events: Vec<RecordedEvent>,
    /// Where to read on: the last stored event that was looked at.
    pub after: Position,
    /// Whether the store had no more. A page without events need not be the last.
    pub is_last: bool,
}

/// Some events of a stream, as they are written today.
#[derive(Debug, Clone)]
pub struct StreamPage {
    /// The events; the fragments of one stored event are never on two pages.
    pub events: Vec<RecordedEvent>,
    /// The version of the last stored event that was looked at, which may have become no event, and
    /// which it is; none when there was none.
    pub last: Option<(Version, EventRef)>,
    /// Whether the stream had no more.
    pub is_last: bool,
    /// Whose personal values can be read in the stored events.
    pub(crate) personal: Personal,
}

/// Why a log could not be read or appended to through its registry.
#[derive(Debug, thiserror::Error)]
pub enum UpcastingError {
    /// The store gave no outcome.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored event is of a version that this program does not know, or not of the shape of its
    /// version.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl UpcastingLog {
    /// The log in `store`, read through `registry`.
    pub fn new(store: Arc<dyn EventStore>, registry: Arc<Registry>) -> Self {
        Self { store, registry }
    }

    /// The log as it is stored.
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.store
    }

    /// What it is read through.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// What becomes of up to `limit` stored events after a position that may match the filter, as
    /// far as it matches.
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

    /// What becomes of up to `limit` stored events of a stream with a version above `after`.
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

    /// As [`UpcastingLog::read_stream`], of the stream as it was then.
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
        // Versions, positions and times of a stream only rise.
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
            // As it is stored: what an upcaster makes of a personal field need not look like one.
            personal.add(event.data.get());
            events.extend(self.narrowed(event, &Filter::All)?);
        }
        Ok(StreamPage { events, last, is_last, personal })
    }

    /// Events after a position that match the filter, without an end. An event that cannot be read
    /// is an error, and what follows it comes.
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

    /// Appends; the conditions are those of today's types. See [`EventStore::append`].
    ///
    /// # Errors
    /// [`UpcastingError`]; nothing was appended when an event that may break a condition cannot be
    /// read.
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

    /// The types and versions in the log that this program cannot read: to be said before it
    /// serves.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unreadable(&self) -> Result<Vec<WrittenType>, StoreError> {
        Ok(self.registry.unreadable(self.store.written_types().await?))
    }

    /// The first event from `from` on, itself included, that matches once it is upcast.
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

    /// What a stored event has become, as far as it matches.
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
