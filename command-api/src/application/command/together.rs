//! Runs the commands of a batch together: decides each on what the ones before it leave, then
//! appends everything at once.

use std::sync::Arc;

use domain::user::User;
use event_store::{AppendOutcome, Appended, EventRef, Idempotency, Position, Refusal, StoreError};
use postgres_kit::Pauses;
use serde_json::value::RawValue;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::dry_run::DryRun;
use super::{
    Commands, Context, DEADLINE, Decided, Done, FIRST_PAUSE, MAX_PAUSE, RACE_LIMIT, refused,
};
use crate::application::access::Permit;
use crate::application::batch::{Batch, Joined, Whole};
use crate::application::error::CommandError;
use crate::application::idempotency::{Answer, Turn};
use crate::application::repository::{LeaveError, RepositoryError};
use crate::application::telemetry;
use crate::application::use_case::{Decision, Turns, UseCase};

/// The name of a batch, in metrics and as the scope of its idempotency keys.
const NAME: &str = "batch";

/// A batch that begins.
pub enum Begun {
    /// An earlier request with the same key carried it out.
    Replayed(Replayed),
    /// It is to be carried out.
    New(Box<Attempts>),
}

/// What an earlier request with the same key did.
#[derive(Debug)]
pub struct Replayed {
    /// The commands, in their sequence.
    pub joined: Vec<Joined>,
    /// The append.
    pub appended: Appended,
}

/// The attempts to carry out a batch, with what it holds meanwhile: a place among the commands in
/// progress, and its idempotency key.
pub struct Attempts {
    commands: Arc<Commands>,
    context: Context,
    dry_run: bool,
    began: Instant,
    pauses: Pauses,
    _place: OwnedSemaphorePermit,
    turn: Option<Turn>,
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Attempted {
    /// All commands were carried out now.
    Done(Appended),
    /// An earlier request with the same key carried them out.
    Replayed(Replayed),
    /// Nothing was appended, because this is a dry run. All commands could be carried out now.
    DryRun,
    /// Something else came first. Decide all commands again.
    Again,
}

/// Why no command of a batch was carried out.
#[derive(Debug)]
pub enum Refused {
    /// The command with this index was refused when the batch was appended.
    One(usize, CommandError),
    /// The whole batch failed.
    All(CommandError),
}

impl From<CommandError> for Refused {
    fn from(error: CommandError) -> Self {
        Self::All(error)
    }
}

impl From<RepositoryError> for Refused {
    fn from(error: RepositoryError) -> Self {
        Self::All(error.into())
    }
}

impl Commands {
    /// Decides a command of a batch. The answer has no position yet.
    pub(crate) async fn join<U: UseCase>(
        &self,
        use_case: &U,
        permit: Permit,
        context: &Context,
        batch: &Batch,
    ) -> Result<Done, CommandError> {
        let Decided { epoch, decision: Decision { changes, part }, .. } =
            self.decide(use_case, permit, (context, Turns::none())).await?;
        let answer = Answer { id: changes.id(), part };
        let target = changes.target().cloned();
        let version = event_store::stream::Version(batch.add(answer, changes)?.version);
        let last = EventRef { position: Position::START, event_id: None };
        let versions = target.map(|target| (target, version)).into_iter().collect();
        let appended = Appended { epoch, last, count: 0, versions };
        Ok(Done { answer, appended, replayed: false })
    }

    /// Decides a command of a batch, and returns its events.
    pub(super) async fn join_dry_run<U: UseCase>(
        &self,
        use_case: U,
        permit: Permit,
        context: Context,
        batch: &Batch,
    ) -> Result<DryRun, CommandError> {
        let Decided { epoch, decision: Decision { changes, part }, .. } =
            self.decide(&use_case, permit, (&context, Turns::none())).await?;
        let answer = Answer { id: changes.id(), part };
        let events =
            changes.events().map(|(stream, event)| (stream.clone(), event.clone())).collect();
        batch.add(answer, changes)?;
        Ok(DryRun { answer, epoch, events, refusal: None })
    }

    /// Begins a batch, see [`Application::together`](crate::application::Application::together).
    pub(crate) async fn together(
        self: &Arc<Self>,
        context: Context,
        dry_run: bool,
    ) -> Result<Begun, CommandError> {
        let place =
            Arc::clone(&self.permits).try_acquire_owned().map_err(|_| CommandError::Overloaded)?;
        let mut attempts = Attempts {
            commands: Arc::clone(self),
            context,
            dry_run,
            began: Instant::now(),
            pauses: Pauses::new(FIRST_PAUSE, MAX_PAUSE),
            _place: place,
            turn: None,
        };
        if let Some(lookup) = attempts.record(&[])? {
            attempts.turn = Some(self.turn(&lookup).await?);
        }
        Ok(match attempts.earlier().await? {
            Some(earlier) => Begun::Replayed(earlier),
            None => Begun::New(Box::new(attempts)),
        })
    }

    async fn earlier_batch(&self, lookup: &Idempotency) -> Result<Option<Replayed>, CommandError> {
        match self.repository.repeated(lookup).await? {
            None => Ok(None),
            Some(AppendOutcome::Repeated { appended, answer }) => {
                Ok(Some(Replayed { joined: stored(&answer)?, appended }))
            }
            Some(AppendOutcome::Refused(refusal)) => Err(refused(refusal)),
            Some(AppendOutcome::Appended(_)) => Err(StoreError::Unusable(
                "a lookup of an idempotency key appended something".to_owned(),
            )
            .into()),
        }
    }

    /// Appends a batch to its end, even if the caller stops waiting.
    async fn append_whole(
        self: &Arc<Self>,
        whole: Whole,
        keyed: Option<Idempotency>,
    ) -> Result<Attempted, Refused> {
        let commands = Arc::clone(self);
        let task = self.tasks.spawn(async move {
            let started = Instant::now();
            let append = commands.repository.append_all(whole.epoch, whole.append.clone(), keyed);
            let overdue = |_| Err(StoreError::OutcomeUnknown(None).into());
            let outcome = timeout(DEADLINE, append).await.unwrap_or_else(overdue);
            telemetry::batch_ended(&outcome, started.elapsed());
            (whole, outcome)
        });
        let (whole, outcome) = task.await.map_err(CommandError::Died)?;
        match outcome.map_err(|error| failed(&whole, error))? {
            AppendOutcome::Appended(appended) => Ok(Attempted::Done(appended)),
            AppendOutcome::Repeated { appended, answer } => {
                Ok(Attempted::Replayed(Replayed { joined: stored(&answer)?, appended }))
            }
            AppendOutcome::Refused(refusal) => Err(refuse(&whole, refusal)),
        }
    }

    async fn check_whole(&self, whole: Whole) -> Result<Attempted, Refused> {
        let check = self.repository.check_all(whole.epoch, whole.append.clone());
        match check.await.map_err(|error| failed(&whole, error))? {
            None => Ok(Attempted::DryRun),
            Some(refusal) => Err(refuse(&whole, refusal)),
        }
    }
}

impl Attempts {
    /// Appends the commands that were decided with this batch in their [`Context`].
    ///
    /// # Errors
    /// [`Refused`] says which command was refused, or why the whole batch failed.
    pub async fn append(&mut self, batch: &Batch) -> Result<Attempted, Refused> {
        let whole = batch.take().ok_or(CommandError::LostRace)?;
        let attempt = if self.dry_run {
            self.commands.check_whole(whole).await
        } else {
            let keyed = self.record(&whole.joined)?;
            self.commands.append_whole(whole, keyed).await
        };
        match attempt {
            Err(Refused::All(CommandError::LostRace)) if self.began.elapsed() < RACE_LIMIT => {
                telemetry::race_lost(NAME);
                self.pauses.wait().await;
                Ok(Attempted::Again)
            }
            Err(refused) => match self.earlier().await? {
                Some(earlier) => Ok(Attempted::Replayed(earlier)),
                None => Err(refused),
            },
            ended => ended,
        }
    }

    /// What an earlier request with the same key did. Ask after a command was refused, because that
    /// request may have changed the state that refuses it.
    ///
    /// # Errors
    /// The store cannot be asked, or the key was used for another request.
    pub async fn earlier(&self) -> Result<Option<Replayed>, CommandError> {
        match self.record(&[])? {
            Some(lookup) => self.commands.earlier_batch(&lookup).await,
            None => Ok(None),
        }
    }

    fn record(&self, joined: &[Joined]) -> Result<Option<Idempotency>, RepositoryError> {
        let keyed = self.context.keyed.as_ref().filter(|_| !self.dry_run);
        let record = keyed.map(|keyed| keyed.record(NAME, &self.context.caller.principal, &joined));
        Ok(record.transpose()?)
    }
}

fn failed(whole: &Whole, error: RepositoryError) -> Refused {
    match error {
        // Each command alone makes a valid append, so it has too many events, streams or bytes.
        RepositoryError::Store(StoreError::Invalid(reason)) => {
            tracing::debug!(reason, "a batch is more than one append can hold");
            Refused::All(CommandError::TooMuchAtOnce)
        }
        RepositoryError::Leave(LeaveError::LastAdministrator { user_id }) => {
            match whole.first_of::<User>(user_id) {
                Some(command) => Refused::One(command, error.into()),
                None => error.into(),
            }
        }
        error => error.into(),
    }
}

fn refuse(whole: &Whole, refusal: Refusal) -> Refused {
    let source = whole.source(&refusal);
    let error = match refusal {
        // Every version was loaded, not named. Decide again on the newest one.
        Refusal::Version { .. } => CommandError::LostRace,
        refusal => refused(refusal),
    };
    match source {
        Some(command) => Refused::One(command, error),
        None => Refused::All(error),
    }
}

fn stored(answer: &RawValue) -> Result<Vec<Joined>, CommandError> {
    serde_json::from_str(answer.get()).map_err(CommandError::StoredAnswer)
}
