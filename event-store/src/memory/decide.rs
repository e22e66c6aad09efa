//! Decides one append on the in-memory log: the checks in the order of the stored function, then
//! the additions.

use uuid::Uuid;

use super::{Log, UsedKey};
use crate::append::prepared::Prepared;
use crate::append::{AppendOutcome, Appended, Idempotency, Refusal, StreamAppend};
use crate::event::{EventRef, NewEvent, Position, RecordedEvent};
use crate::stream::Version;
use crate::subject::subject_stream;

impl Log {
    pub(super) fn append(&mut self, prepared: Prepared) -> AppendOutcome {
        if let Some(appended) = self.appended_before(&prepared) {
            return AppendOutcome::Appended(appended);
        }
        if let Some(outcome) = prepared.append.idempotency.as_ref().and_then(|i| self.repeated(i)) {
            return outcome;
        }
        match self.refusal(&prepared) {
            Some(refusal) => AppendOutcome::Refused(refusal),
            None => AppendOutcome::Appended(self.add(prepared)),
        }
    }

    pub(super) fn repeated(&self, idempotency: &Idempotency) -> Option<AppendOutcome> {
        let kept = self.keys.get(&idempotency.key)?;
        let same = kept.request_hash == idempotency.request_hash;
        Some(if same { kept.outcome.clone() } else { AppendOutcome::Refused(Refusal::KeyReused) })
    }

    /// Returns the result of this very append if it was made before: the same events at successive
    /// positions in the same streams.
    fn appended_before(&self, prepared: &Prepared) -> Option<Appended> {
        let (first, _) = prepared.events().next()?;
        let start = *self.ids.get(&first.id)?;
        let wanted =
            prepared.append.streams.iter().flat_map(|s| s.events.iter().map(|e| (&s.stream, e)));
        let mut last = None;
        for (offset, (stream, event)) in wanted.enumerate() {
            let found = self.events.get(start + offset)?;
            let same = found.id == event.id
                && found.stream == *stream
                && found.event_type == event.event_type
                && found.data.get() == event.data.get();
            if !same {
                return None;
            }
            last = Some(found.mark());
        }
        let last = last?;
        let version_at = |s: &StreamAppend| {
            self.stream(&s.stream).rev().find(|e| e.position <= last.position).map(|e| e.version)
        };
        let versions = prepared
            .append
            .streams
            .iter()
            .map(|s| (s.stream.clone(), version_at(s).unwrap_or(Version::NONE)));
        Some(self.outcome(prepared, last, versions.collect()))
    }

    fn outcome(
        &self,
        prepared: &Prepared,
        last: EventRef,
        versions: Vec<(crate::StreamName, Version)>,
    ) -> Appended {
        let count = prepared.texts.iter().fold(0, |count, _| count + 1);
        Appended { epoch: self.epoch, last, count, versions }
    }

    fn refusal(&self, prepared: &Prepared) -> Option<Refusal> {
        let append = &prepared.append;
        if append.epoch.is_some_and(|e| e != self.epoch) {
            return Some(Refusal::Epoch { actual: self.epoch });
        }
        let taken =
            prepared.events().map(|(e, _)| e.id).filter(|id| self.ids.contains_key(id)).min();
        if let Some(id) = taken {
            return Some(Refusal::DuplicateEvent { id });
        }
        let erased = |subject: &&Uuid| {
            subject_stream(**subject).is_ok_and(|told| self.version(&told) > Version::NONE)
        };
        if let Some(subject) = prepared.subjects.iter().find(erased) {
            return Some(Refusal::SubjectErased { subject: *subject });
        }
        append
            .streams
            .iter()
            .find_map(|s| s.refusal(self.stream(&s.stream).next_back()))
            .or_else(|| self.condition_refusal(prepared))
            .or_else(|| self.reservation_refusal(prepared))
    }

    fn condition_refusal(&self, prepared: &Prepared) -> Option<Refusal> {
        prepared.append.conditions.iter().enumerate().find_map(|(index, condition)| {
            let breaks = self.after(condition.after).find(|e| condition.query.matches_event(e))?;
            Some(Refusal::Condition { index, position: breaks.position })
        })
    }

    fn reservation_refusal(&self, prepared: &Prepared) -> Option<Refusal> {
        let held = prepared
            .reservations
            .iter()
            .filter_map(|step| step.refusal(self.reservations.get(&step.reservation)));
        held.min_by_key(|(index, _)| *index)
            .map(|(index, owner)| Refusal::Reservation { index, owner })
    }

    fn add(&mut self, prepared: Prepared) -> Appended {
        let recorded_at = self.now();
        for stream in &prepared.append.streams {
            for event in &stream.events {
                let version = Version(self.version(&stream.stream).0 + 1);
                let place = self.events.len();
                self.streams.entry(stream.stream.clone()).or_default().push(place);
                self.ids.insert(event.id, place);
                self.events.push(RecordedEvent {
                    position: Position(self.head().position.0 + 1),
                    stream: stream.stream.clone(),
                    version,
                    fragment: 0,
                    id: event.id,
                    event_type: event.event_type.clone(),
                    schema_version: event.schema_version,
                    data: event.data.clone(),
                    tags: event.tags.clone(),
                    metadata: event.metadata.clone(),
                    recorded_at,
                    bytes: bytes_of(event),
                });
            }
        }
        for step in &prepared.reservations {
            if step.release.is_some()
                && self.reservations.get(&step.reservation) == step.release.as_ref()
            {
                self.reservations.remove(&step.reservation);
            }
            if let Some(owner) = &step.take {
                self.reservations.insert(step.reservation.clone(), owner.clone());
            }
        }
        let versions = prepared
            .append
            .streams
            .iter()
            .map(|s| (s.stream.clone(), self.version(&s.stream)))
            .collect();
        let appended = self.outcome(&prepared, self.head(), versions);
        if let Some(Idempotency { key, request_hash, answer }) = prepared.append.idempotency {
            let outcome = AppendOutcome::Repeated { appended: appended.clone(), answer };
            self.keys.insert(key, UsedKey { request_hash, outcome });
        }
        appended
    }
}

/// Counts an event's bytes as Postgres does.
fn bytes_of(event: &NewEvent) -> u32 {
    let metadata = serde_json::to_vec(&event.metadata).map_or(0, |text| text.len());
    u32::try_from(event.data.get().len() + metadata).unwrap_or(u32::MAX)
}
