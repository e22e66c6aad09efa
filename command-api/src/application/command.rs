//! Runs commands: load, decide, append. A lost race is retried, unless the caller named a version.
//!
//! Commands of this process on one aggregate do not race each other, because they are decided in
//! turn (`repository/line.rs`). A command loses a race if another process appends first, or if the
//! command before it fails. It also loses if its caller names a version that is no longer the
//! newest.
//!
//! Each command is a separate task, so it runs to its end even if the client hangs up. The store
//! recognises a repeat of a keyed command under its lock. If a repeat is refused because the first
//! request already succeeded, a lookup afterwards recognises it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_store::{AppendOutcome, Appended, Epoch, Idempotency, Refusal, StoreError};
use postgres_kit::Pauses;
use service_kit::clock::SharedClock;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use super::access::{Ownership, Permit};
use super::context::Context;
use super::error::CommandError;
use super::idempotency::{Answer, IN_FLIGHT_WAIT, InFlight, Turn};
use super::repository::{Repository, RepositoryError, Turn as AggregateTurn};
use super::telemetry;
use super::use_case::{Decision, Turns, UseCase, Work};

mod decided;
mod dry_run;
mod together;

pub use dry_run::DryRun;
pub use together::{Attempted, Attempts, Begun, Refused, Replayed};

/// The maximum number of commands in progress in this process.
pub const MAX_COMMANDS: usize = 4096;
/// The maximum time of one command.
///
/// Each of its waits is limited too, and most end sooner. After this time the command gives back
/// its place, whatever it waits for. That is before the HTTP server gives up the request.
pub const DEADLINE: Duration = Duration::from_secs(15);
/// The maximum time for retries of a command that loses its races. It is well below [`DEADLINE`],
/// so the caller learns why the command failed.
pub const RACE_LIMIT: Duration = Duration::from_secs(8);
/// The longest pause before another attempt. The pauses double up to it, with jitter.
const MAX_PAUSE: Duration = Duration::from_millis(64);
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// The result of a command that was carried out.
#[derive(Debug, Clone)]
pub struct Done {
    /// The ids that the answer names.
    pub answer: Answer,
    /// The versions and the position after the append.
    pub appended: Appended,
    /// Whether this is the answer to an earlier request with the same key.
    pub replayed: bool,
}

impl Done {
    /// The version of the changed aggregate after the command.
    pub fn version(&self) -> i64 {
        self.appended.versions.first().map_or(0, |(_, version)| version.0)
    }
}

/// The shared state of all commands.
pub struct Commands {
    repository: Repository,
    clock: SharedClock,
    in_flight: InFlight,
    in_flight_wait: Duration,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Commands {
    /// Commands on the aggregates of a repository.
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

    /// Limits how long a repeat waits for the first request with the same key.
    #[must_use]
    pub fn waiting_for_repeats(mut self, wait: Duration) -> Self {
        self.in_flight_wait = wait;
        self
    }

    /// Limits the number of commands in progress at once.
    #[must_use]
    pub fn at_once(mut self, most: usize) -> Self {
        self.permits = Arc::new(Semaphore::new(most));
        self
    }

    /// The repository of the aggregates.
    pub const fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Waits for the commands in flight. Call it when no new ones can arrive.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Runs a command to its end, even if the caller stops waiting, but for at most [`DEADLINE`].
    ///
    /// # Errors
    /// [`CommandError`] says why the command failed. After [`DEADLINE`] the outcome is unknown.
    pub async fn run<U: UseCase>(
        self: &Arc<Self>,
        use_case: U,
        permit: Permit,
        context: Context,
    ) -> Result<Done, CommandError> {
        let place =
            Arc::clone(&self.permits).try_acquire_owned().map_err(|_| CommandError::Overloaded)?;
        let commands = Arc::clone(self);
        let span = tracing::info_span!("command_api.command.run", command = U::NAME,
            correlation_id = %context.correlation_id, causation_id = %context.causation_id,
            principal = %context.caller.principal);
        let task = async move {
            let _place = place;
            let started = Instant::now();
            // The command may be in the middle of its append.
            let overdue = |_| Err(StoreError::OutcomeUnknown(None).into());
            // Boxed, because what follows moves the task several times before it runs.
            let executed = Box::pin(commands.execute(&use_case, permit, &context));
            let result = timeout(DEADLINE, executed).await.unwrap_or_else(overdue);
            telemetry::command_ended(U::NAME, &result, started.elapsed());
            result
        };
        let task = self.tasks.spawn(task.instrument(span));
        task.await.unwrap_or_else(|error| Err(CommandError::Died(error)))
    }

    /// Runs a command. Its idempotency key is looked up after a refusal or a lost race, and also
    /// before the first attempt if the use case leaves traces.
    ///
    /// The append itself recognises a repeat, so a first request usually needs no lookup. A refused
    /// command may still be a repeat: the first request may have changed the state that refuses it.
    async fn execute<U: UseCase>(
        &self,
        use_case: &U,
        permit: Permit,
        context: &Context,
    ) -> Result<Done, CommandError> {
        let Some(keyed) = &context.keyed else {
            return self.attempts(use_case, permit, context).await;
        };
        let lookup = keyed
            .record(U::NAME, &context.caller.principal, &Answer { id: Uuid::nil(), part: None })
            .map_err(RepositoryError::from)?;
        let _turn = self.turn(&lookup).await?;
        if U::LEAVES_TRACES
            && let Some(done) = self.earlier(&lookup).await?
        {
            return Ok(done);
        }
        match self.attempts(use_case, permit, context).await {
            Err(error) if error.is_refusal() || matches!(error, CommandError::LostRace) => {
                self.earlier(&lookup).await?.ok_or(error)
            }
            result => result,
        }
    }

    async fn attempts<U: UseCase>(
        &self,
        use_case: &U,
        permit: Permit,
        context: &Context,
    ) -> Result<Done, CommandError> {
        let began = tokio::time::Instant::now();
        let mut pauses = Pauses::new(FIRST_PAUSE, MAX_PAUSE);
        loop {
            match self.attempt(use_case, permit, context).await {
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

    /// Decides on the current states, or with turns, on the states that the commands before it
    /// will leave.
    async fn decide<U: UseCase>(
        &self,
        use_case: &U,
        permit: Permit,
        (context, turns): (&Context, Turns),
    ) -> Result<Decided, CommandError> {
        let metadata = context.metadata();
        // Read the epoch before anything is loaded. If the log changes to another history after
        // that, the append is refused.
        let epoch = self.repository.epoch().await?;
        let (repository, precondition, now) =
            (&self.repository, &context.precondition, self.clock.now());
        let (acting_user, ownership) = (context.acting_user(), Ownership::new(permit, use_case));
        let batch = context.batch.clone();
        let epoch = batch.as_ref().map_or(epoch, |batch| batch.epoch(epoch));
        let work = Work {
            repository,
            epoch,
            precondition,
            metadata,
            now,
            acting_user,
            turns,
            ownership,
            batch,
        };
        let decided = match use_case.decide(&work).await {
            Ok(decision) => work.ownership.finish(use_case).map(|()| decision),
            refused => refused,
        };
        let turns = work.turns.into_taken();
        match decided {
            Ok(decision) => Ok(Decided { epoch, decision, turns }),
            Err(error) if error.is_refusal() => {
                // The refusal may depend on appends still in flight. It counts only if they
                // succeed.
                let bases: Vec<_> = turns.into_iter().filter_map(AggregateTurn::end).collect();
                for base in bases {
                    if !base.came_about().await {
                        return Err(CommandError::LostRace);
                    }
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn attempt<U: UseCase>(
        &self,
        use_case: &U,
        permit: Permit,
        context: &Context,
    ) -> Result<Done, CommandError> {
        let names_version = context.precondition.is_named();
        let turns = Turns::of_command(names_version);
        let Decided { epoch, decision: Decision { changes, part }, turns } =
            self.decide(use_case, permit, (context, turns)).await?;
        let target = changes.target().cloned();
        let answer = Answer { id: changes.id(), part };
        let keyed = context
            .keyed
            .as_ref()
            .map(|keyed| keyed.record(U::NAME, &context.caller.principal, &answer))
            .transpose();
        let keyed = keyed.map_err(RepositoryError::from)?;
        match self.repository.append_in_turn(epoch, changes, keyed, turns).await? {
            // The caller learns only of another version of what it named.
            AppendOutcome::Refused(Refusal::Version { stream, .. })
                if !names_version || target.is_some_and(|target| target != stream) =>
            {
                Err(CommandError::LostRace)
            }
            outcome => done(outcome, Some(answer)),
        }
    }
}

/// A command after its decision.
struct Decided {
    /// The epoch that it was decided in.
    epoch: Epoch,
    decision: Decision,
    /// The turns on the changed aggregates.
    turns: Vec<AggregateTurn>,
}

/// Converts the outcome of an append. `answer` is the answer of this request, if it is the one that
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
        // A condition no longer holds, or the log changed to another history. Decide again on the
        // current state.
        Refusal::Condition { .. } | Refusal::Epoch { .. } => CommandError::LostRace,
        // Only e-mail addresses are reserved.
        Refusal::Reservation { .. } => CommandError::EmailTaken,
        Refusal::SubjectErased { .. } => CommandError::Erased,
        Refusal::KeyReused => CommandError::KeyReused,
        Refusal::DuplicateEvent { id } => CommandError::DuplicateEvent { id },
    }
}
