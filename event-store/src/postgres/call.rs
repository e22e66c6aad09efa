//! One call of `event_store.append`, with a batch laid out as parallel arrays. `plain.rs` lays out
//! the common batch, for which the function is shorter. `answer.rs` reads the answers of both.
//!
//! `migrations/event_store/*_append.sql` describes each array.

use std::borrow::Borrow;

use sqlx::Error;
use sqlx::postgres::{PgArguments, PgConnection, Postgres};
use sqlx::query::Query;
use uuid::Uuid;

use crate::append::prepared::{EventText, Prepared};
use crate::event::NewEvent;
use crate::stream::{ExpectedVersion, StreamName};

mod answer;
mod plain;
mod status;

pub(crate) use answer::Answers;

const ANY: i64 = -1;
const STREAM_EXISTS: i64 = -2;

/// Appends a batch and commits. Its members must not affect each other, except for chains
/// (`batch/conflict.rs`).
pub(crate) async fn append<P: Borrow<Prepared>>(
    connection: &mut PgConnection,
    batch: &[P],
) -> Result<Answers, Error> {
    let query = match plain::query(batch) {
        Some(query) => query,
        None => Layout::new(batch)?.query(),
    };
    let row = query.fetch_one(connection).await?;
    answer::read(batch, &row)
}

/// The parallel arrays. Indexes count from 1.
#[derive(Default)]
struct Layout<'a> {
    append_id: Vec<Uuid>,
    epoch: Vec<Option<Uuid>>,
    event_count: Vec<i32>,
    key: Vec<Option<&'a [u8]>>,
    request_hash: Vec<Option<&'a [u8]>>,
    answer: Vec<Option<&'a str>>,
    streams: Streams<'a>,
    events: Events<'a>,
    conditions: Conditions<'a>,
    reservations: Reservations<'a>,
    subjects: Subjects,
}

#[derive(Default)]
struct Streams<'a> {
    name: Vec<&'a str>,
    member: Vec<i32>,
    count: Vec<i32>,
    expected: Vec<i64>,
    behind: Vec<Option<Uuid>>,
}

#[derive(Default)]
struct Events<'a> {
    member: Vec<i32>,
    stream: Vec<i32>,
    nth: Vec<i32>,
    nth_in_stream: Vec<i32>,
    id: Vec<Uuid>,
    event_type: Vec<&'a str>,
    schema: Vec<i32>,
    data: Vec<&'a str>,
    metadata: Vec<&'a str>,
    tags: Vec<&'a str>,
}

#[derive(Default)]
struct Conditions<'a> {
    member: Vec<i32>,
    index: Vec<i32>,
    after: Vec<i64>,
    broken: Vec<Option<i64>>,
    tags: Vec<&'a str>,
    types: Vec<&'a str>,
}

#[derive(Default)]
struct Reservations<'a> {
    member: Vec<i32>,
    index: Vec<i32>,
    scope: Vec<&'a str>,
    hash: Vec<&'a [u8]>,
    release: Vec<Option<&'a str>>,
    take: Vec<Option<&'a str>>,
}

#[derive(Default)]
struct Subjects {
    member: Vec<i32>,
    subject: Vec<Uuid>,
}

/// Converts a count. Batches and appends are bounded, so it fits. If it did not, an error is better
/// than a wrong number.
fn int(number: usize) -> Result<i32, Error> {
    i32::try_from(number).map_err(|error| Error::Encode(Box::new(error)))
}

/// Returns the array, or null when it is empty.
fn filled<T>(array: Vec<T>) -> Option<Vec<T>> {
    (!array.is_empty()).then_some(array)
}

/// Returns the ids of the events that streams must end with, or null when no append names one.
fn behind(named: Vec<Option<Uuid>>) -> Option<Vec<Option<Uuid>>> {
    named.iter().any(Option::is_some).then_some(named)
}

fn expected(version: ExpectedVersion) -> i64 {
    match version {
        ExpectedVersion::Any => ANY,
        ExpectedVersion::StreamExists => STREAM_EXISTS,
        ExpectedVersion::NoStream => 0,
        ExpectedVersion::Exact(version) | ExpectedVersion::Behind { version, .. } => version.0,
    }
}

impl<'a> Layout<'a> {
    fn new<P: Borrow<Prepared>>(batch: &'a [P]) -> Result<Self, Error> {
        let mut layout = Self::default();
        let any_epoch = batch.iter().any(|p| p.borrow().append.epoch.is_some());
        let any_key = batch.iter().any(|p| p.borrow().append.idempotency.is_some());
        for (index, prepared) in batch.iter().map(Borrow::borrow).enumerate() {
            let member = int(index + 1)?;
            layout.append_id.push(prepared.append_id);
            layout.event_count.push(int(prepared.texts.len())?);
            if any_epoch {
                layout.epoch.push(prepared.append.epoch.map(|e| e.0));
            }
            if any_key {
                let idempotency = prepared.append.idempotency.as_ref();
                layout.key.push(idempotency.map(|i| i.key.as_slice()));
                layout.request_hash.push(idempotency.map(|i| i.request_hash.as_slice()));
                layout.answer.push(idempotency.map(|i| i.answer.get()));
            }
            layout.add_events(member, prepared)?;
            layout.add_conditions(member, prepared)?;
            layout.add_reservations(member, prepared)?;
            layout.subjects.member.extend(prepared.subjects.iter().map(|_| member));
            layout.subjects.subject.extend(&prepared.subjects);
        }
        Ok(layout)
    }

    fn add_events(&mut self, member: i32, prepared: &'a Prepared) -> Result<(), Error> {
        let mut texts = prepared.texts.iter();
        let mut nth = 0;
        for stream in &prepared.append.streams {
            self.streams.name.push(stream.stream.as_str());
            self.streams.member.push(member);
            self.streams.count.push(int(stream.events.len())?);
            self.streams.expected.push(expected(stream.expected));
            self.streams.behind.push(stream.expected.event_id());
            let stream_index = int(self.streams.name.len())?;
            for ((event, text), in_stream) in stream.events.iter().zip(&mut texts).zip(1..) {
                nth += 1;
                self.events.member.push(member);
                self.events.stream.push(stream_index);
                self.events.nth.push(nth);
                self.events.nth_in_stream.push(in_stream);
                self.add_event(event, text);
            }
        }
        Ok(())
    }

    fn add_event(&mut self, event: &'a NewEvent, text: &'a EventText) {
        self.events.id.push(event.id);
        self.events.event_type.push(event.event_type.as_str());
        self.events.schema.push(event.schema_version);
        self.events.data.push(event.data.get());
        self.events.metadata.push(&text.metadata);
        self.events.tags.push(&text.tags);
    }

    fn add_conditions(&mut self, member: i32, prepared: &'a Prepared) -> Result<(), Error> {
        for check in &prepared.checks {
            self.conditions.member.push(member);
            self.conditions.index.push(int(check.condition)?);
            self.conditions.after.push(check.after);
            self.conditions.broken.push(check.broken);
            self.conditions.tags.push(&check.tags);
            self.conditions.types.push(&check.types);
        }
        Ok(())
    }

    fn add_reservations(&mut self, member: i32, prepared: &'a Prepared) -> Result<(), Error> {
        for step in &prepared.reservations {
            self.reservations.member.push(member);
            self.reservations.index.push(int(step.index)?);
            self.reservations.scope.push(&step.reservation.scope);
            self.reservations.hash.push(&step.reservation.hash);
            self.reservations.release.push(step.release.as_ref().map(StreamName::as_str));
            self.reservations.take.push(step.take.as_ref().map(StreamName::as_str));
        }
        Ok(())
    }

    fn query(self) -> Query<'static, Postgres, PgArguments> {
        // Not query_file!: the checked macros use EXPLAIN, which cannot describe the result of a
        // CALL.
        sqlx::query(include_str!("../../sql/append.sql"))
            .bind(filled(self.append_id))
            .bind(filled(self.epoch))
            .bind(filled(self.event_count))
            .bind(filled(self.key))
            .bind(filled(self.request_hash))
            .bind(filled(self.answer))
            .bind(filled(self.streams.name))
            .bind(filled(self.streams.member))
            .bind(filled(self.streams.count))
            .bind(filled(self.streams.expected))
            .bind(behind(self.streams.behind))
            .bind(filled(self.events.member))
            .bind(filled(self.events.stream))
            .bind(filled(self.events.nth))
            .bind(filled(self.events.nth_in_stream))
            .bind(filled(self.events.id))
            .bind(filled(self.events.event_type))
            .bind(filled(self.events.schema))
            .bind(filled(self.events.data))
            .bind(filled(self.events.metadata))
            .bind(filled(self.events.tags))
            .bind(filled(self.conditions.member))
            .bind(filled(self.conditions.index))
            .bind(filled(self.conditions.after))
            .bind(filled(self.conditions.broken))
            .bind(filled(self.conditions.tags))
            .bind(filled(self.conditions.types))
            .bind(filled(self.reservations.member))
            .bind(filled(self.reservations.index))
            .bind(filled(self.reservations.scope))
            .bind(filled(self.reservations.hash))
            .bind(filled(self.reservations.release))
            .bind(filled(self.reservations.take))
            .bind(filled(self.subjects.member))
            .bind(filled(self.subjects.subject))
    }
}
