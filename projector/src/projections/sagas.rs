//! `sagas`: one row per saga, with how far it has come. The streams of sagas have no personal data.

use chrono::{DateTime, Utc};
use event_store::RecordedEvent;
use projection::{Incoming, NoSuchRow, Projection, Reason, Split, add, row};
use saga::SagaEvent;
use saga::event::{Failed, Started};
use serde::Serialize;
use uuid::Uuid;

use super::types_of;

/// The projection of sagas.
pub struct Sagas;

/// An event of a saga, whose id is that of its stream.
#[derive(Debug, Clone)]
pub struct OfSaga {
    id: Uuid,
    event: SagaEvent,
}

row! {
    /// A row of `sagas`.
    #[derive(Debug, Clone, Serialize)]
    pub struct SagaRow in sagas by (id: Uuid) {
        saga: String,
        key: String,
        definition: i32,
        status: String,
        resumes_as: String,
        step: Option<String>,
        failures: i64,
        reason: Option<String>,
        parked_for: Option<String>,
        started_at: DateTime<Utc>,
        ended_at: Option<DateTime<Utc>>,
        updated_at: DateTime<Utc>,
        version: i64,
        position: i64,
    }
}

impl Projection for Sagas {
    const NAME: &'static str = "sagas";
    const FOLD_VERSION: i32 = 2;
    const TABLES: &'static str = include_str!("sagas/tables.sql");
    const INDEXES: &'static str = include_str!("sagas/indexes.sql");
    const SPLIT: Split = Split::ByKey(1);
    type Event = OfSaga;
    type Key = Uuid;
    type Row = SagaRow;

    fn handles() -> Vec<&'static str> {
        types_of::<SagaEvent>()
    }

    fn read(event: &RecordedEvent) -> Option<Result<OfSaga, Reason>> {
        let read = saga::event::read(event).transpose()?;
        let of_stream = |saga_event| -> Result<OfSaga, Reason> {
            Ok(OfSaga { id: event.stream.id().parse::<Uuid>()?, event: saga_event })
        };
        Some(read.map_err(Into::into).and_then(of_stream))
    }

    fn keys(event: &OfSaga) -> Vec<Uuid> {
        vec![event.id]
    }

    fn fold(
        id: &Uuid,
        row: Option<SagaRow>,
        incoming: &Incoming<OfSaga>,
    ) -> Result<SagaRow, Reason> {
        let at = incoming.recorded_at;
        let mut row = match &incoming.event.event {
            SagaEvent::Started(started) => new_row(*id, started, at),
            _ => row.ok_or(NoSuchRow)?,
        };
        row.apply(&incoming.event.event, at)?;
        row.updated_at = at;
        row.version = incoming.version.0;
        row.position = incoming.position.0;
        Ok(row)
    }
}

impl SagaRow {
    fn apply(&mut self, event: &SagaEvent, at: DateTime<Utc>) -> Result<(), Reason> {
        match event {
            SagaEvent::Started(_) | SagaEvent::TimerFired(_) | SagaEvent::SignalReceived(_) => {}
            SagaEvent::StepDelayed(it) => self.step = Some(it.step.clone()),
            SagaEvent::StepRequested(it) | SagaEvent::CompensationRequested(it) => {
                self.step = Some(it.step.clone());
            }
            SagaEvent::StepPending(it) | SagaEvent::CompensationPending(it) => {
                self.step = Some(it.step.clone());
            }
            SagaEvent::StepSucceeded(it) | SagaEvent::CompensationSucceeded(it) => {
                self.step = Some(it.step.clone());
                // A success after the end is undone.
                self.ended_at = None;
                if self.status == "compensated" {
                    "compensating".clone_into(&mut self.status);
                }
            }
            SagaEvent::StepFailed(Failed { step, .. })
            | SagaEvent::CompensationFailed(Failed { step, .. }) => {
                self.step = Some(step.clone());
                self.failures = add(self.failures, 1)?;
            }
            SagaEvent::CompensationSkipped(it) => {
                self.step = Some(it.step.clone());
            }
            SagaEvent::Compensating(it) => {
                // One that is parked is undone when it resumes.
                let status = match self.status.as_str() {
                    "parked" => &mut self.resumes_as,
                    _ => &mut self.status,
                };
                "compensating".clone_into(status);
                self.reason = Some(it.reason.clone());
            }
            SagaEvent::Completed(_) => self.end("completed", at),
            SagaEvent::Compensated(_) => self.end("compensated", at),
            SagaEvent::Parked(it) => {
                self.resumes_as = std::mem::replace(&mut self.status, "parked".to_owned());
                self.parked_for = Some(it.reason.clone());
            }
            SagaEvent::Resumed(_) => {
                self.status.clone_from(&self.resumes_as);
                self.parked_for = None;
            }
        }
        Ok(())
    }

    fn end(&mut self, status: &str, at: DateTime<Utc>) {
        status.clone_into(&mut self.status);
        self.step = None;
        self.ended_at = Some(at);
    }
}

fn new_row(id: Uuid, started: &Started, at: DateTime<Utc>) -> SagaRow {
    SagaRow {
        id,
        saga: started.saga.clone(),
        key: started.key.clone(),
        definition: started.definition,
        status: "running".to_owned(),
        resumes_as: "running".to_owned(),
        step: None,
        failures: 0,
        reason: None,
        parked_for: None,
        started_at: at,
        ended_at: None,
        updated_at: at,
        version: 0,
        position: 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use event_store::{Position, Version};
    use projection::Origin;
    use saga::event::{Compensated, Compensating, Parked, Resumed, Succeeded};
    use serde_json::Value;

    use super::*;

    const ID: Uuid = Uuid::from_u128(7);

    fn row_after(events: Vec<SagaEvent>) -> SagaRow {
        let started = Started {
            saga: "order_fulfilment".to_owned(),
            definition: 1,
            key: "17".to_owned(),
            data: Value::Null,
            expires_at: None,
        };
        let mut row = None;
        for (count, event) in (1..).zip(std::iter::once(SagaEvent::Started(started)).chain(events))
        {
            let (position, version) = (Position(count), Version(count));
            let (recorded_at, origin) = (DateTime::UNIX_EPOCH, Origin::default());
            let event = OfSaga { id: ID, event };
            let incoming = Incoming { event, position, version, fragment: 0, recorded_at, origin };
            row = Some(Sagas::fold(&ID, row, &incoming).unwrap());
        }
        row.unwrap()
    }

    fn undone() -> Vec<SagaEvent> {
        let reason = || "no stock".to_owned();
        vec![
            SagaEvent::Compensating(Compensating {
                reason: reason(),
                details: Value::Null,
                step: None,
                by: None,
            }),
            SagaEvent::Compensated(Compensated { reason: reason() }),
        ]
    }

    #[test]
    fn a_late_success_after_the_end_goes_on() {
        let row = row_after(undone());
        assert_eq!((row.status.as_str(), row.ended_at.is_some()), ("compensated", true));
        let late = Succeeded { step: "charge".to_owned(), attempt: 1, data: Value::Null };
        let row = row_after(undone().into_iter().chain([SagaEvent::StepSucceeded(late)]).collect());
        assert_eq!((row.status.as_str(), row.ended_at), ("compensating", None));
    }

    #[test]
    fn a_parked_saga_goes_on_as_what_it_was() {
        let parked = || {
            SagaEvent::Parked(Parked {
                reason: "away".to_owned(),
                lacks_definition: false,
                by: None,
            })
        };
        let compensating = || undone().remove(0);
        let row = row_after(vec![compensating(), parked()]);
        assert_eq!((row.status.as_str(), row.parked_for.as_deref()), ("parked", Some("away")));
        let resumed = SagaEvent::Resumed(Resumed { by: "clerk-7".to_owned() });
        let row = row_after(vec![compensating(), parked(), resumed]);
        assert_eq!((row.status.as_str(), row.parked_for), ("compensating", None));
        assert_eq!(row.reason.as_deref(), Some("no stock"));
    }

    #[test]
    fn one_that_is_cancelled_while_it_is_parked_stays_parked_and_is_undone_when_it_resumes() {
        let parked = SagaEvent::Parked(Parked {
            reason: "away".to_owned(),
            lacks_definition: false,
            by: None,
        });
        let waits = vec![parked, undone().remove(0)];
        let row = row_after(waits.clone());
        assert_eq!((row.status.as_str(), row.parked_for.as_deref()), ("parked", Some("away")));
        let resumed = SagaEvent::Resumed(Resumed { by: "clerk-7".to_owned() });
        let row = row_after(waits.into_iter().chain([resumed]).collect());
        assert_eq!((row.status.as_str(), row.parked_for), ("compensating", None));
    }
}
