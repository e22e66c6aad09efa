//! Supervises one attempt at an operation: renews the lease, records the progress, retries while a
//! database is away, and cancels the work on request.

use std::sync::Arc;
use std::time::Duration;

use postgres_kit::Connection;
use serde_json::Value;
use tokio::task::JoinError;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::attempt::{Attempt, Kept};
use super::executor::Reach;
use super::run::{Ended, Job, run};
use super::told::{Stage, Told};
use super::{Kind, MAX_ATTEMPTS};
use crate::ops::rebuild;

/// How often to renew the lease and record the progress.
const KEEP_EVERY: Duration = Duration::from_secs(1);
/// The pause before the first retry. It doubles with each failure.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest pause before a retry.
const RETRY_MOST: Duration = Duration::from_secs(30);
/// How long to wait for the work to stop when the process shuts down.
const DRAIN_PATIENCE: Duration = Duration::from_secs(8);
/// How long to retry recording the end while the database is away.
const FINISH_LIMIT: Duration = Duration::from_mins(5);
/// The maximum number of characters of a recorded error.
const MAX_ERROR: usize = 4_000;

/// Why the work stops early.
#[derive(Debug, Clone, Copy)]
enum Stop {
    /// A person cancelled the operation.
    Cancel,
    /// The process has been shutting down since this time.
    Drain(Instant),
}

/// How the attempt ended.
enum Verdict {
    /// The operation has ended.
    Finished { state: &'static str, result: Option<Value>, error: Option<String> },
    /// Another process can continue the operation.
    Released,
    /// Another attempt has taken over.
    Lost,
}

/// Works on an operation until it ends, or until `drain` and a grace period.
pub(super) async fn attend(
    mut attempt: Attempt,
    job: Result<Job, String>,
    reach: Arc<Reach>,
    drain: CancellationToken,
) {
    let (id, projection) = (attempt.id, attempt.projection.clone());
    tracing::info!(operation = %id, projection, attempt = attempt.number, "operation taken");
    let failed = |error| Verdict::Finished { state: "failed", result: None, error: Some(error) };
    let verdict = match job {
        Err(error) => failed(error),
        Ok(_) if attempt.number > MAX_ATTEMPTS => {
            failed(format!("given up after {MAX_ATTEMPTS} attempts: each process died or stopped"))
        }
        Ok(job) => Attended::new(job, reach).verdict(&mut attempt, &drain).await,
    };
    match verdict {
        Verdict::Finished { state, result, error } => {
            tracing::info!(operation = %id, projection, state, error, "operation finished");
            finish(&mut attempt, state, result.as_ref(), error.as_deref().map(short)).await;
        }
        Verdict::Released => {
            tracing::info!(operation = %id, projection, "operation released to other processes");
        }
        Verdict::Lost => {
            return tracing::warn!(operation = %id, projection, "operation taken over");
        }
    }
    if let Err(error) = attempt.release().await {
        tracing::warn!(operation = %id, %error, "could not give up the lease: it will expire");
    }
}

/// An attempt whose work runs in a task.
struct Attended {
    job: Job,
    reach: Arc<Reach>,
    told: Arc<Told>,
    work: AbortOnDropHandle<Ended>,
    /// The error of the last try, and the progress at that time.
    trouble: Option<(String, Stage)>,
    failures: u32,
    stop: Option<Stop>,
}

impl Attended {
    fn new(job: Job, reach: Arc<Reach>) -> Self {
        let told = Arc::new(Told::default());
        let work = start(&job, &reach, &told, Duration::ZERO);
        Self { job, reach, told, work, trouble: None, failures: 0, stop: None }
    }

    async fn verdict(mut self, attempt: &mut Attempt, drain: &CancellationToken) -> Verdict {
        let mut ticks = tokio::time::interval(KEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = &mut self.work => {
                    let ended = ended.unwrap_or_else(|panic| panicked(&panic));
                    if let Some(verdict) = self.ended(ended) {
                        return verdict;
                    }
                    continue;
                }
                () = drain.cancelled(), if self.stop.is_none() => {
                    self.stop = Some(Stop::Drain(Instant::now()));
                }
                _ = ticks.tick() => {}
            }
            if let Some(verdict) = self.look(attempt).await {
                return verdict;
            }
        }
    }

    /// Decides what follows from the end of the work. `None` if it is retried.
    fn ended(&mut self, ended: Ended) -> Option<Verdict> {
        let finished = |state, result, error| Some(Verdict::Finished { state, result, error });
        match (ended, self.stop) {
            (Ended::Done(result), _) => finished("succeeded", Some(result), None),
            (Ended::Failed(error, result), _) => finished("failed", result, Some(error)),
            (Ended::Stopped(_) | Ended::Trouble(_), Some(Stop::Drain(_))) => {
                Some(Verdict::Released)
            }
            (Ended::Stopped(result), _) => finished("cancelled", Some(result), None),
            (Ended::Trouble(error), Some(Stop::Cancel)) => finished("cancelled", None, Some(error)),
            (Ended::Trouble(error), None) => {
                let doubled = RETRY_FIRST.saturating_mul(2_u32.saturating_pow(self.failures));
                let pause = doubled.min(RETRY_MOST);
                tracing::warn!(
                    operation = %self.job.id,
                    error,
                    retry_ms = pause.as_millis(),
                    "operation failed for now: will retry"
                );
                self.failures = self.failures.saturating_add(1);
                self.trouble = Some((error, self.told.stage()));
                self.job.again = true;
                self.work = start(&self.job, &self.reach, &self.told, pause);
                None
            }
        }
    }

    /// Renews the lease, records the progress, and checks whether to stop.
    async fn look(&mut self, attempt: &mut Attempt) -> Option<Verdict> {
        let stage = self.told.stage();
        // The work has made progress since the error.
        if self.trouble.as_ref().is_some_and(|(_, then)| *then != stage) {
            (self.trouble, self.failures) = (None, 0);
        }
        let trouble = self.trouble.as_ref().map(|(error, _)| short(error));
        match attempt.keep(&stage, trouble).await {
            Ok(Kept::Held { cancel_wanted: false }) => {}
            Ok(Kept::Held { cancel_wanted: true }) => self.stop = Some(Stop::Cancel),
            Ok(Kept::Lost) => return Some(Verdict::Lost),
            Err(error) => {
                tracing::warn!(operation = %self.job.id, %error, "could not record the progress");
                return attempt.is_late().then_some(Verdict::Lost);
            }
        }
        self.end_early(attempt).await
    }

    /// Stops the work early if that was asked for. A rebuild saves its work, a verification has
    /// none to save, and the other kinds are short.
    async fn end_early(&mut self, attempt: &mut Attempt) -> Option<Verdict> {
        let stop = self.stop?;
        let id = self.job.id;
        match (self.job.task.kind(), stop) {
            (Kind::Rebuild, _) => {
                let pause =
                    async |connection: &mut Connection| rebuild::pause_of(connection, id).await;
                if let Err(error) = attempt.with(pause).await {
                    tracing::warn!(operation = %id, %error, "could not ask the rebuild to pause");
                }
            }
            // A retry that was asked for goes on. Only the wait for its outcome ends.
            (Kind::Verify | Kind::ParkedRetry, Stop::Cancel) => {
                return Some(Verdict::Finished { state: "cancelled", result: None, error: None });
            }
            (Kind::Verify, Stop::Drain(_)) => return Some(Verdict::Released),
            _ => {}
        }
        match stop {
            Stop::Drain(since) if since.elapsed() > DRAIN_PATIENCE => Some(Verdict::Released),
            _ => None,
        }
    }
}

/// Starts the work after a pause, in a task of its own, so that a panic ends only the task.
fn start(
    job: &Job,
    reach: &Arc<Reach>,
    told: &Arc<Told>,
    after: Duration,
) -> AbortOnDropHandle<Ended> {
    let (job, reach, told) = (job.clone(), Arc::clone(reach), Arc::clone(told));
    AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::time::sleep(after).await;
        run(&reach, &job, told.as_ref()).await
    }))
}

fn panicked(panic: &JoinError) -> Ended {
    Ended::Failed(format!("the program failed: {panic}"), None)
}

/// Records the end, and retries while the database is away.
async fn finish(attempt: &mut Attempt, state: &str, result: Option<&Value>, error: Option<&str>) {
    let until = Instant::now() + FINISH_LIMIT;
    while let Err(failure) = attempt.finish(state, result, error).await {
        tracing::warn!(operation = %attempt.id, error = %failure, "could not record the end");
        if Instant::now() >= until {
            // The next attempt finds out what is done.
            return;
        }
        tokio::time::sleep(RETRY_FIRST).await;
    }
}

/// Cuts an error to [`MAX_ERROR`] characters.
fn short(error: &str) -> &str {
    error.char_indices().nth(MAX_ERROR).map_or(error, |(end, _)| &error[..end])
}
