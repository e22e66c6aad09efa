//! Runs commands: load, decide, append, and again when the race was lost and the caller named no
//! version.
//!
//! Commands of this process on one aggregate do not race each other: they are decided in turn
//! (`repository/line.rs`). A race is lost to another process, to the failure of the command before,
//! and by a caller who names a version that is no longer the newest.
//!
//! Each command is a task of its own, so that it goes on to its end when the client hangs up. A
//! repeat of a keyed command is recognised by the store under its lock, or, where it met its own
//! success and was refused, by a look afterwards.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use event_store::{AppendOutcome, Appended, Epoch, Idempotency, Refusal, StoreError};
use postgres_kit::Pauses;
use service_kit::clock::SharedClock;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use super::context::Context;
use super::error::CommandError;
use super::idempotency::{Answer, IN_FLIGHT_WAIT, InFlight, Turn};
use super::repository::{self, Repository, RepositoryError};
use super::telemetry;
use super::use_case::{Decision, TurnSlot, UseCase, Work};

mod dry_run;

pub use dry_run::DryRun;

/// How many commands this process works on at once.
pub const MAX_COMMANDS: usize = 4096;
/// How long a command may take in all. Each of its waits is bounded too, and most end sooner; after
/// this one its place is free again whatever it waited for, and before the HTTP server gives the
/// request up.
pub const DEADLINE: Duration = Duration::from_secs(15);
/// For how long a command that loses its races is decided again. Well below [`DEADLINE`], so that
/// its caller learns why it failed.
pub const RACE_LIMIT: Duration = Duration::from_secs(8);
/// The longest pause before another attempt; the pauses double up to it, with jitter.
const MAX_PAUSE: Duration = Duration::from_millis(64);
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// What a command did.
#[derive(Debug, Clone)]
pub struct Done {
    /// Its ids.
    pub answer: Answer,
    /// Versions and position.
    pub appended: Appended,
    /// Whether this is the answer of an earlier request with the same key.
    pub replayed: bool,
}

impl Done {
    /// The version of the changed aggregate, after the command.
    pub fn version(&self) -> i64 {
        self.appended.versions.first().map_or(0, |(_, version)| version.0)
    }
}

/// Everything that a command needs, shared by all.
pub struct Commands {
    repository: Repository,
    clock: SharedClock,
    in_flight: InFlight,
    in_flight_wait: Duration,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Commands {
    /// Commands against a repository.
    pub fn new(repository: Repository, clock: SharedClock) -> Self {
        Self {
            repository,
            clock,
            in_flight: InFlight::default(),
            in_flight_wait: IN_FLIGHT_WAIT,
            permits: Arc::new(Semaphore::new(MAX_COMMANDS)),
            tasks: TaskTracker::new(),
        }
    }

    /// Waits no longer than this for the first of two requests with one key.
    #[must_use]
    pub fn waiting_for_repeats(mut self, wait: Duration) -> Self {
        self.in_flight_wait = wait;
        self
    }

    /// Works on no more than this many commands at once.
    #[must_use]
    pub fn at_once(mut self, most: usize) -> Self {
        self.permits = Arc::new(Semaphore::new(most));
        self
    }

    /// Where the aggregates are.
    pub const fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Waits for the commands in flight, once no new one can come.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Runs a command to its end, whether or not somebody still waits for it, but for no longer
    /// than [`DEADLINE`]: what came of it is not known then.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn run<U: UseCase>(
        self: &Arc<Self>,
        use_case: U,
        context: Context,
    ) -> Result<Done, CommandError> {
        let permit =
            Arc::clone(&self.permits).try_acquire_owned().map_err(|_| CommandError::Overloaded)?;
        let commands = Arc::clone(self);
        let span = tracing::info_span!("command_api.command.run", command = U::NAME,
            correlation_id = %context.correlation_id, causation_id = %context.causation_id,
            principal = %context.principal);
        let task = async move {
            let _permit = permit;
            let started = Instant::now();
            // It may be in the middle of its append.
            let overdue = |_| Err(StoreError::OutcomeUnknown(None).into());
            let result = timeout(DEADLINE, commands.execute(&use_case, &context))
                .await
                .unwrap_or_else(overdue);
            telemetry::command_ended(U::NAME, &result, started.elapsed());
            result
        };
        let task = self.tasks.spawn(task.instrument(span));
        task.await.unwrap_or_else(|error| Err(CommandError::Died(error)))
    }

    /// The append recognises a repeat, so that a first request pays for no look; what is refused
    /// may be one all the same, on a state that the first has changed.
    async fn execute<U: UseCase>(
        &self,
        use_case: &U,
        context: &Context,
    ) -> Result<Done, CommandError> {
        let Some(keyed) = &context.keyed else { return self.attempts(use_case, context).await };
        let lookup = keyed
            .record(U::NAME, &Answer { id: Uuid::nil(), line_id: None })
            .map_err(RepositoryError::from)?;
        let _turn = self.turn(&lookup).await?;
        if U::LEAVES_TRACES
            && let Some(done) = self.earlier(&lookup).await?
        {
            return Ok(done);
        }
        match self.attempts(use_case, context).await {
            Err(error) if error.is_refusal() || matches!(error, CommandError::LostRace) => {
                self.earlier(&lookup).await?.ok_or(error)
            }
            result => result,
        }
    }

    async fn attempts<U: UseCase>(
        &self,
        use_case: &U,
        context: &Context,
    ) -> Result<Done, CommandError> {
        let began = tokio::time::Instant::now();
        let mut pauses = Pauses::new(FIRST_PAUSE, MAX_PAUSE);
        loop {
            match self.attempt(use_case, context).await {
                Err(CommandError::LostRace) if began.elapsed() < RACE_LIMIT => {
                    telemetry::race_lost(U::NAME);
                }
                result => return result,
            }
            pauses.wait().await;
        }
    }

    async fn turn(&self, lookup: &Idempotency) -> Result<Turn, CommandError> {
        self.in_flight
            .turn(lookup.key, self.in_flight_wait)
            .await
            .map_err(|_| CommandError::KeyInFlight)
    }

    async fn earlier(&self, lookup: &Idempotency) -> Result<Option<Done>, CommandError> {
        self.repository.repeated(lookup).await?.map(|outcome| done(outcome, None)).transpose()
    }

    /// Decides on what is there now or, with a slot for a turn, on what the commands before will
    /// leave.
    async fn decide<U: UseCase>(
        &self,
        use_case: &U,
        context: &Context,
        turn: TurnSlot,
    ) -> Result<Decided, CommandError> {
        let metadata = context.metadata();
        // Before anything is loaded: should the log become another one meanwhile, the append is
        // refused.
        let epoch = self.repository.epoch().await?;
        let (repository, precondition, now) =
            (&self.repository, &context.precondition, self.clock.now());
        let work = Work { repository, epoch, precondition, metadata, now, turn };
        let decided = use_case.decide(&work).await;
        let turn = work.turn.into_turn();
        match (decided, turn) {
            (Ok(decision), turn) => Ok(Decided { epoch, decision, turn }),
            // Refused for what is not there yet: only if it comes about.
            (Err(error), Some(turn)) if error.is_refusal() => match turn.end() {
                None => Err(error),
                Some(base) if base.came_about().await => Err(error),
                Some(_) => Err(CommandError::LostRace),
            },
            (Err(error), _) => Err(error),
        }
    }

    async fn attempt<U: UseCase>(
        &self,
        use_case: &U,
        context: &Context,
    ) -> Result<Done, CommandError> {
        // Who names versions has seen one that is there, and competes with whatever is on its way.
        let turn = if context.precondition.is_named() {
            TurnSlot::Unneeded
        } else {
            TurnSlot::For(Mutex::default())
        };
        let Decided { epoch, decision: Decision { changes, line_id }, turn } =
            self.decide(use_case, context, turn).await?;
        let answer = Answer { id: changes.id(), line_id };
        let keyed = context.keyed.as_ref().map(|keyed| keyed.record(U::NAME, &answer)).transpose();
        let keyed = keyed.map_err(RepositoryError::from)?;
        let outcome = match turn {
            Some(turn) => self.repository.append_in_turn(epoch, changes, keyed, turn).await?,
            None => self.repository.append(epoch, changes, keyed).await?,
        };
        match done(outcome, Some(answer)) {
            Err(CommandError::StaleVersion { .. }) if !context.precondition.is_named() => {
                Err(CommandError::LostRace)
            }
            result => result,
        }
    }
}

/// A command that was decided.
struct Decided {
    /// The history that it was decided in.
    epoch: Epoch,
    decision: Decision,
    /// The turn on the changed aggregate, if it was taken.
    turn: Option<repository::Turn>,
}

/// Reads an outcome; `answer` is what this request would answer with if it is the one that
/// appended.
fn done(outcome: AppendOutcome, answer: Option<Answer>) -> Result<Done, CommandError> {
    match (outcome, answer) {
        (AppendOutcome::Appended(appended), Some(answer)) => {
            Ok(Done { answer, appended, replayed: false })
        }
        (AppendOutcome::Appended(_), None) => Err(StoreError::Unusable(
            "a lookup of an idempotency key appended something".to_owned(),
        )
        .into()),
        (AppendOutcome::Repeated { appended, answer }, _) => {
            let answer = Answer::read(&answer).map_err(CommandError::StoredAnswer)?;
            Ok(Done { answer, appended, replayed: true })
        }
        (AppendOutcome::Refused(refusal), _) => Err(refused(refusal)),
    }
}

fn refused(refusal: Refusal) -> CommandError {
    match refusal {
        Refusal::Version { actual, .. } => CommandError::StaleVersion { actual: actual.0 },
        Refusal::Closed { stream } => CommandError::Closed { stream },
        // What must not have happened elsewhere did, or the log became another one: decide anew on
        // what is there now.
        Refusal::Condition { .. } | Refusal::Epoch { .. } => CommandError::LostRace,
        // E-mail addresses are the only reserved values.
        Refusal::Reservation { .. } => CommandError::EmailTaken,
        Refusal::SubjectErased { .. } => CommandError::Erased,
        Refusal::KeyReused => CommandError::KeyReused,
        Refusal::DuplicateEvent { id } => CommandError::DuplicateEvent { id },
    }
}
