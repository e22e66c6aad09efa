//! The answer of `event_store.append`: outcomes per member, and the record of an idempotency key.

use std::borrow::Borrow;

use serde_json::value::RawValue;
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Decode, Error, Row, Type};
use uuid::Uuid;

use super::int;
use super::status::Status;
use crate::append::prepared::Prepared;
use crate::append::{AppendOutcome, Appended, Refusal, StreamAppend};
use crate::event::{Epoch, EventRef, Position};
use crate::stream::{StreamName, Version};

/// The answers to a batch.
pub(crate) struct Answers {
    /// The outcome of each member, in order.
    pub(crate) outcomes: Vec<AppendOutcome>,
    /// The epoch of the log.
    pub(crate) epoch: Epoch,
    /// The log's head after the batch.
    pub(crate) head: EventRef,
    /// The time that the call waited for the lock on the log, in seconds.
    pub(crate) waited: f64,
}

/// The columns of an answer; see the migration.
struct Columns {
    epoch: Epoch,
    /// The statuses; `None` when all members were appended now. Then the last three columns are
    /// empty.
    status: Option<Vec<Status>>,
    version: Vec<i64>,
    number: Vec<Option<i64>>,
    index: Vec<Option<i32>>,
    detail: Vec<Option<String>>,
}

fn bad_answer(what: &str) -> Error {
    Error::Decode(format!("event_store.append answered with {what}").into())
}

/// Returns an array of the answer; empty when it is null.
fn array<'r, T>(row: &'r PgRow, column: usize) -> Result<Vec<T>, Error>
where
    Vec<T>: Decode<'r, Postgres> + Type<Postgres>,
{
    Ok(row.try_get::<Option<Vec<T>>, _>(column)?.unwrap_or_default())
}

pub(super) fn read<P: Borrow<Prepared>>(batch: &[P], row: &PgRow) -> Result<Answers, Error> {
    let columns = Columns {
        epoch: Epoch(row.try_get(0)?),
        status: row.try_get(3)?,
        version: array(row, 4)?,
        number: array(row, 5)?,
        index: array(row, 6)?,
        detail: array(row, 7)?,
    };
    let mut head = EventRef { position: Position(row.try_get(1)?), event_id: row.try_get(2)? };
    let mut first_stream = 0;
    let mut outcomes = Vec::with_capacity(batch.len());
    for (member, prepared) in batch.iter().map(Borrow::borrow).enumerate() {
        outcomes.push(columns.outcome(member, first_stream, prepared, &mut head)?);
        first_stream += prepared.append.streams.len();
    }
    let waited = row.try_get::<Option<f64>, _>(8)?.unwrap_or_default().max(0.0);
    Ok(Answers { outcomes, epoch: columns.epoch, head, waited })
}

/// Returns the head of the log after this append.
fn head_after(head: EventRef, prepared: &Prepared) -> Result<EventRef, Error> {
    let Some((last, _)) = prepared.events().last() else { return Ok(head) };
    let count = i64::from(int(prepared.texts.len())?);
    Ok(EventRef { position: Position(head.position.0 + count), event_id: Some(last.id) })
}

impl Columns {
    fn outcome(
        &self,
        member: usize,
        first_stream: usize,
        prepared: &Prepared,
        head: &mut EventRef,
    ) -> Result<AppendOutcome, Error> {
        let status = match &self.status {
            Some(status) => *status.get(member).ok_or_else(|| bad_answer("too few members"))?,
            None => Status::Appended,
        };
        let refusal = match status {
            Status::Appended => {
                *head = head_after(*head, prepared)?;
                let appended = self.appended(first_stream, prepared, *head)?;
                return Ok(AppendOutcome::Appended(appended));
            }
            Status::SentAgain => {
                let last = self.mark_sent_before(member, prepared)?;
                let appended = self.appended(first_stream, prepared, last)?;
                return Ok(AppendOutcome::Appended(appended));
            }
            Status::Repeated => return repeated(self.detail(member)?),
            Status::KeyReused => Refusal::KeyReused,
            Status::OtherEpoch => Refusal::Epoch { actual: self.epoch },
            Status::DuplicateEvent => Refusal::DuplicateEvent {
                id: self.detail(member)?.parse().map_err(|_| bad_answer("no id"))?,
            },
            Status::WrongVersion => {
                let stream = self.stream(member, first_stream, prepared)?;
                let actual = Version(self.number(member)?);
                Refusal::Version {
                    stream: stream.stream.clone(),
                    expected: stream.expected,
                    actual,
                }
            }
            Status::ConditionBroken => Refusal::Condition {
                index: self.index(member)?,
                position: Position(self.number(member)?),
            },
            Status::Reserved => {
                let owner = self.detail(member)?.parse().map_err(|_| bad_answer("no stream"))?;
                Refusal::Reservation { index: self.index(member)?, owner }
            }
            Status::StreamClosed => Refusal::Closed {
                stream: self.stream(member, first_stream, prepared)?.stream.clone(),
            },
            Status::SubjectErased => Refusal::SubjectErased {
                subject: self.detail(member)?.parse().map_err(|_| bad_answer("no subject"))?,
            },
        };
        Ok(AppendOutcome::Refused(refusal))
    }

    fn appended(
        &self,
        first_stream: usize,
        prepared: &Prepared,
        last: EventRef,
    ) -> Result<Appended, Error> {
        let before = self.version.get(first_stream..first_stream + prepared.append.streams.len());
        let before = before.ok_or_else(|| bad_answer("too few versions"))?;
        let versions = prepared.append.streams.iter().zip(before).map(|(s, before)| {
            let added = i64::from(int(s.events.len())?);
            Ok((s.stream.clone(), Version(before + added)))
        });
        Ok(Appended {
            epoch: self.epoch,
            last,
            count: u32::try_from(prepared.texts.len())
                .map_err(|error| Error::Decode(Box::new(error)))?,
            versions: versions.collect::<Result<_, Error>>()?,
        })
    }

    /// Returns the last event of an append that an earlier send of the batch had made.
    fn mark_sent_before(&self, member: usize, prepared: &Prepared) -> Result<EventRef, Error> {
        let position = Position(self.number(member)?);
        let event_id = match prepared.events().last() {
            Some((last, _)) => Some(last.id),
            None => self
                .detail
                .get(member)
                .and_then(Option::as_deref)
                .map(|id| id.parse().map_err(|_| bad_answer("no id")))
                .transpose()?,
        };
        Ok(EventRef { position, event_id })
    }

    fn stream<'p>(
        &self,
        member: usize,
        first_stream: usize,
        prepared: &'p Prepared,
    ) -> Result<&'p StreamAppend, Error> {
        let nth = self.index(member)?.checked_sub(first_stream + 1);
        nth.and_then(|n| prepared.append.streams.get(n)).ok_or_else(|| bad_answer("no such stream"))
    }

    fn number(&self, member: usize) -> Result<i64, Error> {
        self.number.get(member).copied().flatten().ok_or_else(|| bad_answer("no number"))
    }

    fn index(&self, member: usize) -> Result<usize, Error> {
        let index =
            self.index.get(member).copied().flatten().ok_or_else(|| bad_answer("no index"))?;
        usize::try_from(index).map_err(|_| bad_answer("a negative index"))
    }

    fn detail(&self, member: usize) -> Result<&str, Error> {
        self.detail.get(member).and_then(Option::as_deref).ok_or_else(|| bad_answer("no detail"))
    }
}

/// The record that is stored with an idempotency key.
#[derive(serde::Deserialize)]
struct Record {
    epoch: Epoch,
    position: Position,
    event_id: Option<Uuid>,
    count: u32,
    streams: Vec<StreamName>,
    versions: Vec<Version>,
    answer: Box<RawValue>,
}

impl From<Record> for AppendOutcome {
    fn from(record: Record) -> Self {
        let appended = Appended {
            epoch: record.epoch,
            last: EventRef { position: record.position, event_id: record.event_id },
            count: record.count,
            versions: record.streams.into_iter().zip(record.versions).collect(),
        };
        Self::Repeated { appended, answer: record.answer }
    }
}

fn repeated(detail: &str) -> Result<AppendOutcome, Error> {
    let record: Record =
        serde_json::from_str(detail).map_err(|error| Error::Decode(Box::new(error)))?;
    Ok(record.into())
}
