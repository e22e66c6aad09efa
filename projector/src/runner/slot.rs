//! A place in the runner for one part: whether it is owned, waiting or stopped, and what people are told about it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use event_store::{Mark, Position};
use tokio::task::JoinError;
use tokio::time::Instant;

use super::lease::RENEW_EVERY;
use super::part::{Applied, ClaimError, Claimed, Outcome, Owned, chain};
use super::{CLAIM_EVERY, Job, PartKey, RETRY_FIRST, RETRY_MOST, RunError, Standing};
use crate::generation::LiveGeneration;
use crate::projection::AnyProjection;

/// One part as the runner sees it.
pub(crate) struct Slot {
    pub(crate) key: Arc<PartKey>,
    state: State,
    renew_at: Instant,
    /// How often in a row a database failed.
    failures: u32,
    error: Option<RunError>,
    pub(crate) progress: Progress,
}

/// The three states.
pub(crate) enum State {
    Waiting { due: Instant },
    Owned(Box<Owned>),
    Stopped(String),
}

/// How a part gets on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// The last event that took effect, as far as this process knows.
    pub(crate) position: Position,
    /// The newest known position of the log.
    pub(crate) head: Position,
    /// When the oldest event that has not taken effect was recorded, where that is known.
    pub(crate) oldest: Option<DateTime<Utc>>,
    /// When it last moved or had nothing to do.
    pub(crate) moved_at: Instant,
    mode: &'static str,
}

impl Slot {
    pub(crate) fn new(key: Arc<PartKey>, state: State) -> Self {
        let now = Instant::now();
        let progress =
            Progress { position: Position::START, head: Position::START, oldest: None, moved_at: now, mode: "starting" };
        let slot = Self { key, state, renew_at: now, failures: 0, error: None, progress };
        if let State::Stopped(reason) = &slot.state {
            tracing::error!(projection = slot.name(), reason, "stopped");
        }
        slot
    }

    pub(crate) fn name(&self) -> &'static str {
        self.key.projection.name()
    }

    pub(crate) fn standing(&self) -> Standing {
        match &self.state {
            State::Waiting { .. } => Standing::Waiting,
            State::Owned(owned) => Standing::At(owned.checkpoint.mark),
            State::Stopped(reason) => Standing::Stopped(reason.clone()),
        }
    }

    pub(crate) fn is_due(&self) -> bool {
        matches!(self.state, State::Waiting { due } if due <= Instant::now())
    }

    pub(crate) fn mark(&self) -> Option<Mark> {
        if let State::Owned(owned) = &self.state { Some(owned.checkpoint.mark) } else { None }
    }

    /// Takes an owned part out, to be given to a task; the slot waits meanwhile.
    pub(crate) fn take_owned(&mut self) -> Option<Box<Owned>> {
        let waiting = State::Waiting { due: Instant::now() + CLAIM_EVERY };
        match std::mem::replace(&mut self.state, waiting) {
            State::Owned(owned) => Some(owned),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// What failed since the last call.
    pub(crate) fn take_error(&mut self) -> Option<RunError> {
        self.error.take()
    }

    /// The last failure, if the part waits because of one.
    pub(crate) fn failure(&self) -> Option<&RunError> {
        self.error.as_ref()
    }

    pub(crate) fn wait_no_longer(&mut self) {
        if let State::Waiting { due } = &mut self.state {
            *due = Instant::now();
        }
    }

    /// Drops the ownership, so that the part is claimed anew and its history proved again.
    pub(crate) fn claim_again(&mut self) {
        if self.take_owned().is_some() {
            self.wait_no_longer();
        }
    }

    pub(crate) fn claimed(&mut self, result: Result<Result<Claimed, ClaimError>, JoinError>) {
        match result {
            Ok(Ok(Claimed::Owned(owned))) => {
                tracing::info!(projection = self.name(), position = owned.checkpoint.mark.position.0, "owned");
                self.own(owned);
                self.progress.moved_at = Instant::now();
            }
            Ok(Ok(Claimed::Elsewhere)) => {
                self.recovered();
                self.state = State::Waiting { due: Instant::now() + CLAIM_EVERY };
            }
            Ok(Ok(Claimed::Stopped(reason))) => self.stop(reason, None),
            Ok(Err(ClaimError::Database(error))) => self.failed(error.into()),
            Ok(Err(ClaimError::Store(error))) => self.failed(error.into()),
            Err(panic) => self.panicked(&panic),
        }
    }

    /// A batch is about to be folded.
    pub(crate) fn begins(&mut self, job: &Job) {
        self.progress.head = job.head.mark.position;
        self.progress.mode = job.mode;
        let first = job.events.iter().find(|event| event.position > self.progress.position);
        self.progress.oldest = first.map(|event| event.recorded_at);
    }

    /// What became of a batch. Returns the new checkpoint if it moved.
    pub(crate) fn settle(&mut self, applied: Applied, job: &Job) -> Option<Mark> {
        let count = |result: &'static str, events: usize| {
            metrics::counter!("projection_events_total", "projection" => self.name(), "result" => result)
                .increment(events as u64);
        };
        count("applied", applied.handled);
        count("passed_over", applied.passed_over);
        match applied.outcome {
            Outcome::Owned(owned) => {
                let mark = owned.checkpoint.mark;
                let moved = mark.position > self.progress.position;
                self.own(owned);
                if moved || mark.position >= job.head.mark.position {
                    self.progress.moved_at = Instant::now();
                    self.progress.oldest = None;
                }
                return moved.then_some(mark);
            }
            Outcome::Stopped { reason, oldest } => {
                count("refused", 1);
                self.stop(reason, oldest);
            }
            Outcome::Lost => {
                tracing::warn!(projection = self.name(), "another process has taken over");
                self.state = State::Waiting { due: Instant::now() + CLAIM_EVERY };
            }
            Outcome::Failed(error) => self.failed(error.into()),
        }
        None
    }

    /// Nothing is left to do.
    pub(crate) fn at_head(&mut self, job: &Job) {
        self.progress.head = job.head.mark.position;
        self.progress.mode = job.mode;
        if let Some(mark) = self.mark().filter(|mark| mark.position >= job.head.mark.position) {
            self.progress.position = mark.position;
            self.progress.oldest = None;
            self.progress.moved_at = Instant::now();
        }
    }

    pub(crate) async fn keep_lease(&mut self) {
        let changed = matches!(&self.state, State::Owned(owned) if owned.seen.mode != self.progress.mode);
        if !changed && Instant::now() < self.renew_at {
            return;
        }
        let Some(owned) = self.take_owned() else { return };
        match tokio::spawn(owned.keep(self.progress.mode, self.progress.head)).await {
            Ok(Ok(Some(owned))) => {
                self.state = State::Owned(owned);
                self.renew_at = Instant::now() + RENEW_EVERY;
            }
            Ok(Ok(None)) => tracing::warn!(projection = self.name(), "another process has taken over"),
            Ok(Err(error)) => self.failed(error.into()),
            Err(panic) => self.panicked(&panic),
        }
    }

    pub(crate) fn panicked(&mut self, panic: &JoinError) {
        self.stop(format!("the program failed while projecting: {panic}"), None);
    }

    fn own(&mut self, owned: Box<Owned>) {
        self.recovered();
        self.progress.position = owned.checkpoint.mark.position;
        self.progress.head = self.progress.head.max(owned.checkpoint.mark.position);
        self.state = State::Owned(owned);
    }

    fn recovered(&mut self) {
        self.failures = 0;
        self.error = None;
    }

    fn stop(&mut self, reason: String, oldest: Option<DateTime<Utc>>) {
        tracing::error!(projection = self.name(), reason, "stopped");
        self.progress.oldest = oldest.or(self.progress.oldest);
        self.state = State::Stopped(reason);
    }

    fn failed(&mut self, error: RunError) {
        let pause = backoff(self.failures);
        self.failures = self.failures.saturating_add(1);
        tracing::warn!(
            projection = self.name(),
            error = chain(&error),
            retry_ms = pause.as_millis(),
            "failed: will be tried again"
        );
        self.error = Some(error);
        self.state = State::Waiting { due: Instant::now() + pause };
    }
}

/// The wait after so many failures in a row.
fn backoff(failures: u32) -> Duration {
    RETRY_FIRST.saturating_mul(1 << failures.min(16)).min(RETRY_MOST)
}

/// Why a projection whose generation this program did not fold is left alone.
pub(crate) fn unknown_generation(projection: &dyn AnyProjection, live: Option<LiveGeneration>) -> String {
    let name = projection.name();
    match live {
        None => format!("{name} has no generation yet: run `projector migrate`"),
        Some(live) => format!(
            "generation {} of {name} was folded by version {}, and this program folds version {}: \
             run `projector start-over {name}`, or the program that made it",
            live.generation,
            live.fold_version,
            projection.fold_version()
        ),
    }
}
