//! Appends what was decided, with the unit of work of an inside action.

use aggregate::DomainEvent as _;
use event_store::{
    Append, AppendOutcome, ExpectedVersion, NewEvent, Refusal, StoreError, StreamAppend, Version,
};

use super::load::Loaded;
use super::{DriveError, Driver};
use crate::action::Work;
use crate::event::SagaEvent;
use crate::id;
use crate::probe::{When, timers};

/// How often an append whose outcome is unknown is sent again. Its event ids tell that it is the
/// same.
const MAX_SENT: u32 = 3;

/// The result of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It is in the log.
    Done,
    /// Somebody else drove the instance.
    Overtaken,
    /// Somebody else wrote to a stream of the work.
    Conflict,
    /// The work can never be appended, for this reason.
    Never(&'static str),
    /// The work breaks a rule of the log, which the text names.
    Invalid(String),
}

impl Appended {
    pub(super) const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

impl Driver {
    /// Appends the pending events together with `work`.
    pub(crate) async fn flush(
        &self,
        loaded: &mut Loaded,
        work: Work,
    ) -> Result<Appended, DriveError> {
        if loaded.pending.is_empty() && work.streams.iter().all(|part| part.events.is_empty()) {
            return Ok(Appended::Done);
        }
        let is_alone = work.streams.is_empty()
            && work.conditions.is_empty()
            && work.reservations.is_empty()
            && work.subjects.is_empty();
        let append = append_of(loaded, work)?;
        self.tell(When::Before, &loaded.pending);
        let mut sent = 0;
        let outcome = loop {
            sent += 1;
            match self.log.store().append(append.clone()).await {
                Err(StoreError::OutcomeUnknown(_)) if sent < MAX_SENT => {}
                Err(StoreError::Invalid(why)) if !is_alone => return Ok(Appended::Invalid(why)),
                outcome => break outcome?,
            }
        };
        match outcome {
            AppendOutcome::Appended(_) | AppendOutcome::Repeated { .. } => {
                loaded.version += i64::try_from(loaded.pending.len()).unwrap_or(i64::MAX);
                self.tell(When::After, &loaded.pending);
                loaded.pending.clear();
                Ok(Appended::Done)
            }
            AppendOutcome::Refused(Refusal::Version { stream, .. }) => {
                let is_own = stream == id::stream(loaded.state.id);
                Ok(if is_own { Appended::Overtaken } else { Appended::Conflict })
            }
            AppendOutcome::Refused(
                Refusal::Condition { .. } | Refusal::Reservation { .. } | Refusal::Epoch { .. },
            ) => Ok(Appended::Conflict),
            AppendOutcome::Refused(Refusal::SubjectErased { .. }) => {
                Ok(Appended::Never("the person whose data it brings is erased"))
            }
            AppendOutcome::Refused(Refusal::Closed { .. }) => {
                Ok(Appended::Never("a stream that it writes to is closed"))
            }
            AppendOutcome::Refused(refusal) => Err(DriveError::Refused(refusal)),
        }
    }
}

impl Driver {
    fn tell(&self, when: When, events: &[SagaEvent]) {
        if let Some(probe) = &self.probe {
            timers(events).for_each(|timer| probe.pass(when, timer));
        }
    }
}

fn append_of(loaded: &Loaded, work: Work) -> Result<Append, DriveError> {
    let metadata = loaded.metadata();
    let event = |event: &SagaEvent| {
        #[expect(clippy::expect_used, reason = "the macro checks the names when it compiles")]
        let name = event.event_type().parse().expect("an event type");
        NewEvent::json(name, event.schema_version(), event, metadata.clone())
    };
    let own = StreamAppend {
        stream: id::stream(loaded.state.id),
        expected: match loaded.version {
            0 => ExpectedVersion::NoStream,
            version => ExpectedVersion::Exact(Version(version)),
        },
        events: loaded.pending.iter().map(event).collect::<Result<_, _>>()?,
    };
    // The refusal names the first stream that is not as expected, and an overtaken driver must
    // load its instance again, whatever else changed.
    let streams = std::iter::once(own).chain(work.streams).collect();
    Ok(Append {
        streams,
        conditions: work.conditions,
        reservations: work.reservations,
        subjects: work.subjects,
        epoch: work.epoch,
        ..Append::default()
    })
}
