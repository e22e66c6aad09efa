//! Runs one instance as far as it goes now: loads its stream, decides, calls its actions, appends.
//!
//! What is decided is kept in memory until it must be durable: before a call to the outside, with
//! the events of an inside action, and at the end. So a step is one append: the outcome of one and
//! the request of the next, with the events of an inside action.
//!
//! Every append names the exact version of the instance's stream. If somebody else drove the
//! instance meanwhile, the append is refused, and the driver loads it again.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use event_store::{StoreError, UpcastingError, UpcastingLog};
use service_kit::clock::SharedClock;
use uuid::Uuid;

use crate::action::Work;
use crate::definition::{Definition, Place};
use crate::event::{Parked, Resumed, SagaEvent};
use crate::instance::{Due, Input, Instance, Signal, Status};
use crate::probe::Probe;
use crate::sagas::{Begun, Saga, Sagas};

mod append;
mod calls;
mod load;

pub(crate) use append::Appended;
pub(crate) use load::{Loaded, load};

/// How often an instance is loaded again because somebody else drives it.
const MAX_RELOADS: u32 = 8;

/// What an instance is to be told.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// How it begins, if it has not begun.
    pub start: Option<Begun>,
    /// Signals in the order of their positions.
    pub signals: Vec<(i64, Signal)>,
}

/// Where an instance rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// The version of its stream.
    pub version: i64,
    /// Where it stands; [`Status::Absent`] if it never began.
    pub status: Status,
    /// When it has something to do without any input.
    pub due_at: Option<DateTime<Utc>>,
    /// The version of its definition; 0 if it never began.
    pub definition: i32,
    /// What it is about, in 1 to 128 bytes; empty if it never began.
    pub key: String,
    /// The steps that are not settled, in a few words.
    pub waits_for: String,
    /// Why it is undone or parked.
    pub reason: Option<String>,
    /// Whether it is parked because no process has its definition.
    pub lacks_definition: bool,
    /// The position of the last signal that it received.
    pub last_signal: i64,
    /// Whether this drive appended anything to its stream.
    pub moved: bool,
}

/// Why an instance could not be driven now.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The log did not answer.
    #[error("the log gave no answer")]
    Store(#[source] StoreError),
    /// The instance's events break a rule of the log, so no append of them can succeed.
    #[error(transparent)]
    Invalid(StoreError),
    /// The instance's stream cannot be read.
    #[error(transparent)]
    Log(#[from] UpcastingError),
    /// A stored event of the instance cannot be read.
    #[error("an event of the saga cannot be read")]
    Event(#[from] aggregate::UnreadableEvent),
    /// The program does not have the saga or the version of its definition.
    #[error("this program does not have version {1} of the saga {0}")]
    NoDefinition(String, i32),
    /// Others drive it at the same time.
    #[error("others drive the saga at the same time")]
    Contended,
    /// Driving it panicked. The panic's message is on standard error.
    #[error("driving the saga panicked")]
    Panicked,
    /// An append was refused for another reason than a version.
    #[error("the log refused the saga's append: {0}")]
    Refused(event_store::Refusal),
    /// An event cannot be written as JSON.
    #[error("an event cannot be written")]
    Json(#[from] serde_json::Error),
}

impl From<StoreError> for DriveError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Invalid(_) => Self::Invalid(error),
            other => Self::Store(other),
        }
    }
}

/// Drives instances. It is cheap to clone.
#[derive(Clone)]
pub struct Driver {
    pub(crate) log: UpcastingLog,
    pub(crate) sagas: Sagas,
    pub(crate) clock: SharedClock,
    pub(crate) probe: Option<Arc<dyn Probe>>,
}

/// The result of one pass over an instance.
enum Pass {
    Rests,
    /// Somebody else drove it: load it again.
    Again,
}

impl Driver {
    /// A driver of these sagas over this log.
    pub const fn new(log: UpcastingLog, sagas: Sagas, clock: SharedClock) -> Self {
        Self { log, sagas, clock, probe: None }
    }

    /// Runs the instance until it waits or has ended.
    ///
    /// The future may be dropped at any await. What was appended stays; the next driver goes on
    /// from there.
    ///
    /// # Errors
    /// [`DriveError`]. What was appended before stays.
    pub async fn drive(&self, instance: Uuid, job: &Job) -> Result<Rest, DriveError> {
        let mut moved = false;
        for _ in 0..MAX_RELOADS {
            let mut loaded = load(&self.log, instance).await?;
            if loaded.state.status == Status::Absent && job.start.is_none() {
                return Ok(loaded.rest(moved));
            }
            let Some((saga, definition)) = self.definition_of(&loaded.state, job) else {
                let (saga, version) = loaded.state.origin.map_or_else(
                    || (job.start.as_ref().map(|it| it.saga.clone()).unwrap_or_default(), 0),
                    |origin| (origin.saga, origin.definition),
                );
                return Err(DriveError::NoDefinition(saga, version));
            };
            if let Some(start) = job.start.as_ref().filter(|_| loaded.origin.is_none()) {
                loaded.origin = Some(start.origin.clone());
            }
            let before = loaded.version;
            let pass = self.pass(&mut loaded, saga, &definition, job).await;
            moved |= loaded.version > before;
            match pass? {
                Pass::Rests => return Ok(loaded.rest(moved)),
                Pass::Again => {}
            }
        }
        Err(DriveError::Contended)
    }

    /// Parks an instance whose definition no process has. It resumes by itself once a process has
    /// it again.
    pub(crate) async fn park_foreign(
        &self,
        instance: Uuid,
        saga: &str,
        version: i32,
    ) -> Result<Rest, DriveError> {
        let mut loaded = load(&self.log, instance).await?;
        if matches!(loaded.state.status, Status::Running | Status::Compensating) {
            let reason = format!("no process has version {version} of the saga {saga}");
            loaded.push(vec![SagaEvent::Parked(Parked {
                reason,
                lacks_definition: true,
                by: None,
            })]);
        }
        let moved = !loaded.pending.is_empty();
        match self.flush(&mut loaded, Work::default()).await? {
            Appended::Done => Ok(loaded.rest(moved)),
            _ => Err(DriveError::Contended),
        }
    }

    /// The saga and the definition of an instance, or of one that is to begin.
    fn definition_of(&self, state: &Instance, job: &Job) -> Option<(&Saga, Arc<Definition>)> {
        match (&state.origin, &job.start) {
            (Some(origin), _) => {
                let saga = self.sagas.get(&origin.saga)?;
                Some((saga, Arc::clone(saga.definitions.get(&origin.definition)?)))
            }
            (None, Some(start)) => {
                let saga = self.sagas.get(&start.saga)?;
                Some((saga, Arc::clone(saga.newest())))
            }
            (None, None) => None,
        }
    }

    async fn pass(
        &self,
        loaded: &mut Loaded,
        saga: &Saga,
        definition: &Definition,
        job: &Job,
    ) -> Result<Pass, DriveError> {
        let now = self.clock.now();
        if let Some(begun) = &job.start {
            let (saga, start) = (begun.saga.clone(), begun.start.clone());
            let input = Input::Start { saga, key: start.key, data: start.data };
            loaded.decide(definition, input, now);
        }
        if loaded.state.lacks_definition {
            let by = "definition".to_owned();
            loaded.push(vec![SagaEvent::Resumed(Resumed { by })]);
        }
        for (position, signal) in &job.signals {
            let input = Input::Signal { position: *position, signal: signal.clone() };
            loaded.decide(definition, input, now);
        }
        loaded.decide(definition, Input::Tick, now);
        loop {
            let calls = loaded.state.calls(definition);
            let outside = calls.iter().filter(|due| due.place == Place::Outside);
            let outside: Vec<Due> = outside.cloned().collect();
            let went_on = if outside.is_empty() {
                let Some(due) = calls.into_iter().next() else {
                    let is_flushed = self.flush(loaded, Work::default()).await?.is_done();
                    return Ok(if is_flushed { Pass::Rests } else { Pass::Again });
                };
                self.inside(loaded, saga, definition, due).await?
            } else {
                // The request must be in the log before the call.
                self.flush(loaded, Work::default()).await?.is_done()
                    && self.outside(loaded, saga, definition, outside).await?
            };
            if !went_on {
                return Ok(Pass::Again);
            }
        }
    }
}
