//! Carries out the task of an operation, with the functions that the command lines call.
//!
//! It may run again because a process died in the middle, or after the effect and before the
//! record. So each kind first finds out what is done already.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use event_store::StoreError;
use postgres_kit::Connection;
use serde::Serialize;
use serde_json::{Value, json};
use service_kit::input::Integer;
use sqlx::PgConnection;
use uuid::Uuid;

use super::executor::{OpenError, Reach};
use super::{
    DropArguments, ParkedRetryArguments, ParkedSkipArguments, RebuildArguments, SwitchArguments,
    Task, VerifyArguments,
};
use crate::chain;
use crate::generation::{self, SchemaError};
use crate::ops::parked::{
    self, Decision, ParkedError, RETRY_WAIT_SECONDS, Retried, SkipError, Wanted,
};
use crate::ops::rebuild::{self, End, RebuildError, Rebuilt, Request};
use crate::ops::switch::{self, PATIENCE_SECONDS};
use crate::ops::verify::{self, Scope, VerifyError};
use crate::ops::{self, Progress};
use crate::pause;
use crate::projection::AnyProjection;
use crate::replay::{MIB, ROW_MEMORY_MIB, ReplayError};

/// How long a pause waits until every process has stopped projecting. A process may have a batch in
/// flight, or hang until its lease runs out.
const REST_WAIT: Duration = Duration::from_secs(30);

/// The work of one attempt.
#[derive(Clone)]
pub(super) struct Job {
    /// The id of the operation.
    pub(super) id: Uuid,
    pub(super) task: Task,
    pub(super) projection: Arc<dyn AnyProjection>,
    pub(super) by: String,
    pub(super) reason: String,
    /// Whether there was an earlier attempt, so that the work may be done already.
    pub(super) again: bool,
}

/// How the work ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It is done. The value is the result.
    Done(Value),
    /// It stopped early on request. The value says what is done.
    Stopped(Value),
    /// It failed: the reason, and the result if there is one.
    Failed(String, Option<Value>),
    /// It failed for a reason that may pass, such as a database that is away.
    Trouble(String),
}

/// An error, and whether a retry may succeed.
pub(super) struct Failure {
    text: String,
    passes: bool,
}

impl From<Failure> for Ended {
    fn from(Failure { text, passes }: Failure) -> Self {
        if passes { Self::Trouble(text) } else { Self::Failed(text, None) }
    }
}

/// Carries out the task.
pub(super) async fn run(reach: &Reach, job: &Job, progress: &dyn Progress) -> Ended {
    let done = match &job.task {
        Task::Rebuild(of) => rebuild(reach, job, of, progress).await,
        Task::Verify(of) => verify(reach, job, of, progress).await,
        Task::Switch(of) => switch(reach, job, of, progress).await,
        Task::Drop(of) => drop_generation(reach, job, of).await,
        Task::Pause(_) => pause(reach, job).await,
        Task::Resume(_) => resume(reach, job).await,
        Task::ParkedRetry(of) => parked_retry(reach, job, of).await,
        Task::ParkedSkip(of) => parked_skip(reach, job, of).await,
    };
    done.unwrap_or_else(Ended::from)
}

async fn rebuild(
    reach: &Reach,
    job: &Job,
    of: &RebuildArguments,
    progress: &dyn Progress,
) -> Result<Ended, Failure> {
    let mut connection = ops::read_model(&reach.options).await?;
    let begun = rebuild::begun_by(&mut connection, job.id, !of.no_switch).await?;
    connection.close().await;
    if let Some(rebuild::Begun { generation, ended: Some(end) }) = begun {
        return Ok(Ended::Done(value(&Rebuilt { generation, compared: None, end })?));
    }
    let throttle = of.throttle.and_then(|rate| u32::try_from(rate.get()).ok());
    let request = Request {
        resume: of.resume || begun.is_some(),
        partitions: of.partitions.and_then(number),
        throttle: throttle.and_then(NonZeroU32::new),
        switch: !of.no_switch,
        compare: !of.no_compare,
        despite_differences: of.despite_differences,
        patience: patience(of.patience),
        memory: memory(of.memory),
        reveal: false,
        operation: Some(job.id),
    };
    let operations = reach.open().await?;
    let rebuilt = rebuild::rebuild(&operations, &job.projection, &request, progress)
        .await
        .map_err(|error| of_rebuild(&error, job.again))?;
    let result = value(&rebuilt)?;
    Ok(match rebuilt.end {
        End::Switched(_) | End::Built => Ended::Done(result),
        End::Paused(_) => Ended::Stopped(result),
        End::Differs => {
            let name = job.projection.name();
            Ended::Failed(format!("the rows of {name} are not what the log makes"), Some(result))
        }
    })
}

async fn verify(
    reach: &Reach,
    job: &Job,
    of: &VerifyArguments,
    progress: &dyn Progress,
) -> Result<Ended, Failure> {
    let operations = reach.open().await?;
    let scope = Scope {
        sample: of.sample,
        seed: of.seed.clone(),
        memory: memory(of.memory),
        reveal: false,
    };
    let found = verify::verify(&operations, &job.projection, &scope, progress).await?;
    Ok(Ended::Done(value(&found)?))
}

async fn switch(
    reach: &Reach,
    job: &Job,
    of: &SwitchArguments,
    progress: &dyn Progress,
) -> Result<Ended, Failure> {
    let operations = reach.open().await?;
    let mut connection = ops::read_model(&reach.options).await?;
    let name = job.projection.name();
    let wanted = match of.generation.and_then(number) {
        Some(generation) => Some(generation),
        None => switch::earlier(&mut connection, name).await?,
    };
    // Recorded once, because after the switch the generation before the live one is another.
    let decided = sqlx::query_scalar!(
        "UPDATE read_model.operations
         SET arguments = arguments || jsonb_build_object('generation',
             COALESCE((arguments ->> 'generation')::integer, $2))
         WHERE id = $1 RETURNING (arguments ->> 'generation')::integer",
        job.id,
        wanted
    )
    .fetch_optional(&mut connection)
    .await?;
    connection.close().await;
    let Some(generation) = decided.flatten() else {
        return Err(of_rebuild(&RebuildError::NothingToSwitchBackTo(name.to_owned()), job.again));
    };
    let how = (patience(of.patience), progress);
    let switched = switch::switch_to(&operations, &job.projection, generation, how)
        .await
        .map_err(|error| of_rebuild(&error, job.again))?;
    Ok(Ended::Done(value(&switched)?))
}

async fn drop_generation(reach: &Reach, job: &Job, of: &DropArguments) -> Result<Ended, Failure> {
    let (name, generation) = (job.projection.name(), of.generation.and_then(number).unwrap_or(0));
    let mut connection = ops::read_model(&reach.options).await?;
    let numbered = async |raw: &mut PgConnection| generation::numbered(raw, name, generation).await;
    let is_gone = connection.run(numbered).await?.is_none();
    if !(job.again && is_gone) {
        switch::drop_generation(&mut connection, name, generation)
            .await
            .map_err(|error| of_rebuild(&error, job.again))?;
    }
    Ok(Ended::Done(json!({"generation": generation})))
}

async fn pause(reach: &Reach, job: &Job) -> Result<Ended, Failure> {
    let mut connection = ops::read_model(&reach.options).await?;
    let who = (job.by.as_str(), job.reason.as_str());
    let paused = pause::pause(&mut connection, job.projection.name(), who, REST_WAIT).await?;
    Ok(Ended::Done(value(&paused)?))
}

async fn resume(reach: &Reach, job: &Job) -> Result<Ended, Failure> {
    let mut connection = ops::read_model(&reach.options).await?;
    let ended = pause::resume(&mut connection, job.projection.name()).await?;
    Ok(Ended::Done(json!({"ended": ended})))
}

async fn parked_retry(
    reach: &Reach,
    job: &Job,
    of: &ParkedRetryArguments,
) -> Result<Ended, Failure> {
    let position = of.position.map(Integer::get);
    let wanted = Wanted::new(job.projection.as_ref(), of.key.as_deref(), position)?;
    let mut connection = ops::read_model(&reach.options).await?;
    match parked::retry(&mut connection, &wanted, seconds(of.wait, RETRY_WAIT_SECONDS)).await {
        // An earlier attempt asked for the retry, and it brought every row up to date.
        Err(ParkedError::NothingParked(..)) if job.again => {
            Ok(Ended::Done(value(&Retried::default())?))
        }
        retried => Ok(Ended::Done(value(&retried?)?)),
    }
}

async fn parked_skip(reach: &Reach, job: &Job, of: &ParkedSkipArguments) -> Result<Ended, Failure> {
    let decision = Decision {
        position: of.position.map_or(0, Integer::get),
        key: of.key.clone(),
        reason: job.reason.clone(),
        by: job.by.clone(),
    };
    let mut connection = ops::read_model(&reach.options).await?;
    let rows = match parked::skip(&mut connection, job.projection.as_ref(), &decision).await {
        Err(error @ ParkedError::Skip(SkipError::NotRefused(_))) if job.again => {
            // An earlier attempt may have recorded the decision: the event is not parked any more.
            match skipped_rows(&mut connection, job, &decision).await? {
                0 => return Err(error.into()),
                rows => usize::try_from(rows).unwrap_or(usize::MAX),
            }
        }
        skipped => skipped?,
    };
    Ok(Ended::Done(json!({"rows": rows})))
}

/// Counts the rows for which this decision is recorded.
async fn skipped_rows(
    connection: &mut Connection,
    job: &Job,
    decision: &Decision,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "rows!" FROM read_model.skips
           WHERE projection = $1 AND position = $2 AND skipped_by = $3 AND reason = $4"#,
        job.projection.name(),
        decision.position,
        decision.by,
        decision.reason
    )
    .fetch_one(connection)
    .await
}

fn value(result: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(result).map_err(|error| Failure { text: error.to_string(), passes: false })
}

fn number(integer: Integer) -> Option<i32> {
    i32::try_from(integer.get()).ok()
}

fn seconds(wanted: Option<Integer>, default: u64) -> Duration {
    let wanted = wanted.and_then(|seconds| u64::try_from(seconds.get()).ok());
    Duration::from_secs(wanted.unwrap_or(default))
}

fn patience(wanted: Option<Integer>) -> Duration {
    seconds(wanted, PATIENCE_SECONDS.into())
}

fn memory(mib: Option<Integer>) -> usize {
    let mib = mib.and_then(|mib| usize::try_from(mib.get()).ok());
    mib.unwrap_or(ROW_MEMORY_MIB).saturating_mul(MIB)
}

fn failure(error: &(dyn std::error::Error + 'static), passes: bool) -> Failure {
    Failure { text: chain(error), passes }
}

/// Classifies an error. `again`: an earlier attempt may still hold the generation briefly.
fn of_rebuild(error: &RebuildError, again: bool) -> Failure {
    let passes = match error {
        RebuildError::Schema(error) => schema_passes(error),
        RebuildError::Replay(error) => replay_passes(error),
        RebuildError::Database(error) => postgres_kit::is_transient(error),
        RebuildError::TakenOver => true,
        RebuildError::Busy(..) => again,
        _ => false,
    };
    failure(error, passes)
}

fn schema_passes(error: &SchemaError) -> bool {
    matches!(error, SchemaError::Database(error) if postgres_kit::is_transient(error))
}

fn store_passes(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_) => true,
        StoreError::Keys(error) => error.is_transient(),
        StoreError::Database(error) => postgres_kit::is_transient(error),
        _ => false,
    }
}

fn replay_passes(error: &ReplayError) -> bool {
    match error {
        ReplayError::Store(error) => store_passes(error),
        ReplayError::Keys(error) => error.is_transient(),
        ReplayError::Database(error) => postgres_kit::is_transient(error),
        _ => false,
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        failure(&error, postgres_kit::is_transient(&error))
    }
}

impl From<SchemaError> for Failure {
    fn from(error: SchemaError) -> Self {
        failure(&error, schema_passes(&error))
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let passes = match &error {
            OpenError::Schema(error) => schema_passes(error),
            OpenError::Store(error) => store_passes(error),
        };
        failure(&error, passes)
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        let passes = match &error {
            VerifyError::Database(error) => postgres_kit::is_transient(error),
            VerifyError::Schema(error) => schema_passes(error),
            VerifyError::Replay(error) => replay_passes(error),
            VerifyError::PartitionBehind(..) | VerifyError::Panicked(_) => false,
        };
        failure(&error, passes)
    }
}

impl From<ParkedError> for Failure {
    fn from(error: ParkedError) -> Self {
        let passes =
            matches!(&error, ParkedError::Database(error) if postgres_kit::is_transient(error));
        failure(&error, passes)
    }
}
