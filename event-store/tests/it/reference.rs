//! The reference for random histories: an obviously correct event store. It is one list of events,
//! and every query scans it from the start. It shares only the interface types with the stores and
//! has no batches or optimisations.

use std::collections::BTreeMap;

use event_store::event::STREAM_CLOSED;
use event_store::{
    Append, AppendOutcome, Appended, Epoch, ExpectedVersion, Filter, Idempotency, NewEvent,
    Position, RecordedEvent, Refusal, ReservationChange, StreamName, Tag, Version,
};
use uuid::Uuid;

/// The outcome of an append, reduced to what tests compare.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    Appended(Done),
    Repeated(Done, String),
    Refused(Refusal),
}

/// The result of a successful append.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Done {
    pub(crate) last: i64,
    pub(crate) last_id: Option<Uuid>,
    pub(crate) count: i64,
    pub(crate) versions: Vec<(StreamName, i64)>,
}

impl From<Appended> for Done {
    fn from(appended: Appended) -> Self {
        Self {
            last: appended.last.position.0,
            last_id: appended.last.event_id,
            count: appended.count.into(),
            versions: appended
                .versions
                .into_iter()
                .map(|(stream, version)| (stream, version.0))
                .collect(),
        }
    }
}

impl From<AppendOutcome> for Outcome {
    fn from(outcome: AppendOutcome) -> Self {
        match outcome {
            AppendOutcome::Appended(appended) => Self::Appended(appended.into()),
            AppendOutcome::Repeated { appended, answer } => {
                Self::Repeated(appended.into(), answer.get().to_owned())
            }
            AppendOutcome::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

/// An event of the list.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    pub(crate) position: i64,
    pub(crate) stream: StreamName,
    pub(crate) version: i64,
    pub(crate) event: NewEvent,
}

impl Logged {
    /// Whether the store's event equals this one.
    pub(crate) fn is(&self, read: &RecordedEvent) -> bool {
        let (ours, data) = (&self.event, self.event.data.get());
        (read.position.0, &read.stream, read.version.0)
            == (self.position, &self.stream, self.version)
            && (read.id, &read.event_type, read.schema_version)
                == (ours.id, &ours.event_type, ours.schema_version)
            && (read.data.get(), &read.tags, &read.metadata) == (data, &ours.tags, &ours.metadata)
    }

    fn matches(&self, types: &[event_store::EventType], tags: &[Tag]) -> bool {
        (types.is_empty() || types.contains(&self.event.event_type))
            && tags.iter().all(|tag| self.event.tags.contains(tag))
    }

    fn passes(&self, filter: &Filter) -> bool {
        match filter {
            Filter::All => true,
            Filter::Category(category) => self.stream.category() == category,
            Filter::Types(types) => types.contains(&self.event.event_type),
            Filter::Query(query) => {
                query.items.is_empty()
                    || query.items.iter().any(|item| self.matches(&item.types, &item.tags))
            }
        }
    }
}

/// The log from some position on. Earlier events do not matter, since each history has its own
/// names.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    epoch: Epoch,
    /// The head when this history began.
    base: (i64, Option<Uuid>),
    pub(crate) events: Vec<Logged>,
    /// The holder of each value, by scope and hash.
    reservations: BTreeMap<(String, [u8; 32]), StreamName>,
    /// For each key: the request hash, the result and the stored answer.
    keys: BTreeMap<[u8; 32], ([u8; 32], Done, String)>,
    /// The result of each append with events, by its events.
    made: Vec<(Vec<Told>, Done)>,
}

impl Reference {
    pub(crate) fn new(epoch: Epoch, base: (i64, Option<Uuid>)) -> Self {
        Self {
            epoch,
            base,
            events: Vec::new(),
            reservations: BTreeMap::new(),
            keys: BTreeMap::new(),
            made: Vec::new(),
        }
    }

    /// Returns the last position and the id of the event there.
    pub(crate) fn head(&self) -> (i64, Option<Uuid>) {
        self.events.last().map_or(self.base, |last| (last.position, Some(last.event.id)))
    }

    pub(crate) fn version(&self, stream: &StreamName) -> i64 {
        self.events
            .iter()
            .filter(|logged| logged.stream == *stream)
            .fold(0, |version, _| version + 1)
    }

    pub(crate) fn has_event(&self, id: Uuid) -> bool {
        self.events.iter().any(|logged| logged.event.id == id)
    }

    pub(crate) fn read(&self, filter: &Filter, after: Position, limit: usize) -> Vec<&Logged> {
        self.events
            .iter()
            .filter(|logged| logged.position > after.0 && logged.passes(filter))
            .take(limit)
            .collect()
    }

    pub(crate) fn stream(&self, stream: &StreamName) -> Vec<&Logged> {
        self.events.iter().filter(|logged| logged.stream == *stream).collect()
    }

    /// Returns the result of a key lookup before load and decide.
    pub(crate) fn repeated(&self, idempotency: &Idempotency) -> Option<Outcome> {
        let (request, done, answer) = self.keys.get(&idempotency.key)?;
        Some(if *request == idempotency.request_hash {
            Outcome::Repeated(done.clone(), answer.clone())
        } else {
            Outcome::Refused(Refusal::KeyReused)
        })
    }

    /// Makes one append, all or nothing.
    pub(crate) fn append(&mut self, append: &Append) -> Outcome {
        if let Some(done) = self.made_before(append) {
            return Outcome::Appended(done);
        }
        if let Some(outcome) =
            append.idempotency.as_ref().and_then(|idempotency| self.repeated(idempotency))
        {
            return outcome;
        }
        match self.refusal(append) {
            Some(refusal) => Outcome::Refused(refusal),
            None => Outcome::Appended(self.add(append)),
        }
    }

    /// Returns the result if the same events were appended before.
    fn made_before(&self, append: &Append) -> Option<Done> {
        let told = told(append);
        let made = self.made.iter().find(|(made, _)| *made == told && !told.is_empty());
        made.map(|(_, done)| done.clone())
    }

    fn refusal(&self, append: &Append) -> Option<Refusal> {
        if append.epoch.is_some_and(|epoch| epoch != self.epoch) {
            return Some(Refusal::Epoch { actual: self.epoch });
        }
        if let Some(id) = ids(append).into_iter().filter(|id| self.has_event(*id)).min() {
            return Some(Refusal::DuplicateEvent { id });
        }
        let version = append.streams.iter().find_map(|named| {
            let actual = self.version(&named.stream);
            let met = match named.expected {
                ExpectedVersion::Any => true,
                ExpectedVersion::NoStream => actual == 0,
                ExpectedVersion::StreamExists => actual >= 1,
                ExpectedVersion::Exact(expected) => actual == expected.0,
                ExpectedVersion::Behind { version, event_id } => {
                    actual == version.0
                        && self
                            .stream(&named.stream)
                            .pop()
                            .is_some_and(|last| last.event.id == event_id)
                }
            };
            let last = self.stream(&named.stream).pop();
            if !named.events.is_empty()
                && last.is_some_and(|last| last.event.event_type.as_str() == STREAM_CLOSED)
            {
                return Some(Refusal::Closed { stream: named.stream.clone() });
            }
            let refusal = Refusal::Version {
                stream: named.stream.clone(),
                expected: named.expected,
                actual: Version(actual),
            };
            (!met).then_some(refusal)
        });
        let condition = || {
            append.conditions.iter().enumerate().find_map(|(index, condition)| {
                let breaks = self.read(&Filter::Query(condition.query.clone()), condition.after, 1);
                breaks
                    .first()
                    .map(|logged| Refusal::Condition { index, position: Position(logged.position) })
            })
        };
        version.or_else(condition).or_else(|| self.clone().change_reservations(append).err())
    }

    /// Makes the changes one by one, as written.
    fn change_reservations(&mut self, append: &Append) -> Result<(), Refusal> {
        for (index, change) in append.reservations.iter().enumerate() {
            let (ReservationChange::Take { reservation, .. }
            | ReservationChange::Release { reservation, .. }) = change;
            let value = (reservation.scope.to_string(), reservation.hash);
            let holder = self.reservations.get(&value);
            match change {
                ReservationChange::Release { owner, .. } if holder == Some(owner) => {
                    self.reservations.remove(&value);
                }
                ReservationChange::Release { .. } => {}
                ReservationChange::Take { owner, .. } => match holder {
                    Some(holder) if holder != owner => {
                        return Err(Refusal::Reservation { index, owner: holder.clone() });
                    }
                    _ => drop(self.reservations.insert(value, owner.clone())),
                },
            }
        }
        Ok(())
    }

    fn add(&mut self, append: &Append) -> Done {
        for named in &append.streams {
            for event in &named.events {
                let (position, version) = (self.head().0 + 1, self.version(&named.stream) + 1);
                self.events.push(Logged {
                    position,
                    stream: named.stream.clone(),
                    version,
                    event: event.clone(),
                });
            }
        }
        self.change_reservations(append).unwrap();
        let (last, last_id) = self.head();
        let versions = append
            .streams
            .iter()
            .map(|named| (named.stream.clone(), self.version(&named.stream)))
            .collect();
        let done =
            Done { last, last_id, count: i64::try_from(ids(append).len()).unwrap(), versions };
        self.made.push((told(append), done.clone()));
        if let Some(Idempotency { key, request_hash, answer }) = &append.idempotency {
            self.keys.insert(*key, (*request_hash, done.clone(), answer.get().to_owned()));
        }
        done
    }
}

/// An event as its append gave it: stream, id, type and data.
type Told = (StreamName, Uuid, String, String);

fn told(append: &Append) -> Vec<Told> {
    let events = append
        .streams
        .iter()
        .flat_map(|named| named.events.iter().map(move |event| (named.stream.clone(), event)));
    events
        .map(|(stream, event)| {
            (stream, event.id, event.event_type.to_string(), event.data.get().to_owned())
        })
        .collect()
}

/// Returns the ids of an append's events, in order.
pub(crate) fn ids(append: &Append) -> Vec<Uuid> {
    append.streams.iter().flat_map(|named| &named.events).map(|event| event.id).collect()
}
