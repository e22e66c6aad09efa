//! The state machine of one partition in the runner: waiting, owned or stopped, with the progress
//! that is reported.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use event_feed::consumer::Held;
use event_store::EventRef;
use postgres_kit::Connection;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::acquire::{AcquireError, Acquired, Again, Stopped};
use super::backoff::backoff;
use super::lease::{LEASE, RENEW_EVERY};
use super::parked::{self, AgainError};
use super::partition::{Applied, Outcome, Owned};
use super::{ACQUIRE_EVERY, Job, MAX_BATCH, PartitionKey, RETRY_MOST, RunError, Standing};
use crate::chain;
use crate::generation;
use crate::projection::AnyProjection;

mod confirm;
mod end;
mod erase;
mod place;
mod progress;
mod take;

use erase::Pace;
pub(crate) use progress::Progress;

/// How often a stopped partition is checked: another generation may have become live, or the log
/// may have the right history again.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// One partition as the runner sees it.
pub(crate) struct Slot {
    projection: Arc<dyn AnyProjection>,
    /// The standby generation; `None` for the live one.
    standby: Option<i32>,
    partition: i32,
    /// The code that folds it, as processes name it to each other.
    fold: String,
    /// The lease of the partition and the number of partitions, as last seen.
    stands_for: Option<(String, i32)>,
    /// Whether this process may take it now.
    may_acquire: bool,
    /// Whether the projection is paused. Then no process may take it.
    is_paused: bool,
    /// Whether this process knows the state of the partition. At the start it does not.
    is_known: bool,
    state: State,
    pace: Pace,
    /// The clock of the lease, and the size of the next batch.
    held: Held,
    /// The number of failures in a row.
    failures: u32,
    error: Option<RunError>,
    pub(crate) progress: Progress,
}

/// The states of a partition. *Acquiring* leads from waiting or stopped to owned.
pub(crate) enum State {
    /// It is acquired when it is due. A standby keeps its connection.
    Waiting {
        due: Instant,
        connection: Option<Connection>,
    },
    /// An attempt to acquire it is running. `from` is the reason if it was stopped before. Dropping
    /// the task ends its connection, and with it the lease.
    Acquiring {
        task: AbortOnDropHandle<Result<Acquired, AcquireError>>,
        from: Option<Stopped>,
    },
    Owned(Box<Owned>),
    /// It is checked again when it is due, because another generation may have become live, or the
    /// log may have another history.
    Stopped {
        stopped: Stopped,
        due: Instant,
    },
}

impl Slot {
    /// Creates the slot of a partition of the live generation or of a standby one.
    pub(crate) fn of(
        projection: Arc<dyn AnyProjection>,
        standby: Option<i32>,
        partition: i32,
    ) -> Self {
        let now = Instant::now();
        Self {
            fold: generation::fold_of(projection.as_ref()),
            projection,
            standby,
            partition,
            stands_for: None,
            may_acquire: true,
            is_paused: false,
            is_known: false,
            state: State::Waiting { due: now, connection: None },
            pace: Pace::Common,
            held: Held::new(LEASE, RENEW_EVERY, MAX_BATCH),
            failures: 0,
            error: None,
            progress: Progress::unknown(),
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        match &self.state {
            State::Waiting { .. } | State::Acquiring { from: None, .. } => Standing::Waiting,
            State::Owned(owned) => Standing::At(owned.checkpoint.mark),
            State::Stopped { stopped, .. } | State::Acquiring { from: Some(stopped), .. } => {
                Standing::Stopped(stopped.reason.clone())
            }
        }
    }

    pub(crate) fn mark(&self) -> Option<EventRef> {
        if let State::Owned(owned) = &self.state { Some(owned.checkpoint.mark) } else { None }
    }

    /// The most events of a batch that the partition takes at once.
    pub(crate) const fn most(&self) -> usize {
        self.held.most()
    }

    /// Takes an owned partition out of the slot, to give it to a task. Meanwhile the slot waits.
    pub(crate) fn take_owned(&mut self) -> Option<Box<Owned>> {
        match std::mem::replace(&mut self.state, waiting(ACQUIRE_EVERY, None)) {
            State::Owned(owned) => Some(owned),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Takes the last failure out.
    pub(crate) fn take_error(&mut self) -> Option<RunError> {
        self.error.take()
    }

    /// The last failure, if the partition waits because of one.
    pub(crate) fn failure(&self) -> Option<&RunError> {
        self.error.as_ref()
    }

    /// Makes the next attempt due now.
    pub(crate) fn wait_no_longer(&mut self) {
        self.error = None;
        if let State::Waiting { due, .. } | State::Stopped { due, .. } = &mut self.state {
            *due = Instant::now();
        }
    }

    /// The log has this head.
    pub(crate) const fn sees(&mut self, job: &Job) {
        self.progress.head = job.head.mark.position;
    }

    /// A batch is about to be folded.
    pub(crate) fn begins(&mut self, job: &Job) {
        self.sees(job);
        self.progress.mode = job.mode;
        let first = job.events.iter().find(|event| event.position > self.progress.position);
        self.progress.oldest = first.map(|event| event.recorded_at);
    }

    /// Records the result of a batch. Returns the new checkpoint if it moved.
    pub(crate) fn settle(
        &mut self,
        applied: Applied,
        job: &Job,
    ) -> Option<(Arc<PartitionKey>, EventRef)> {
        let count = |result: &'static str, events: usize| {
            metrics::counter!("projection_events_total", "projection" => self.label(),
                "partition" => self.partition.to_string(), "result" => result)
            .increment(events as u64);
        };
        count("applied", applied.handled);
        count("ignored", applied.ignored);
        count("parked", applied.parked);
        match applied.outcome {
            Outcome::Owned(owned) => {
                let (key, mark) = (Arc::clone(&owned.key), owned.checkpoint.mark);
                let moved = mark.position > self.progress.position;
                self.held.succeeded();
                self.own(owned);
                if moved || mark.position >= job.head.mark.position {
                    self.recovered();
                    self.progress.oldest = None;
                }
                return moved.then_some((key, mark));
            }
            Outcome::Erasing(owned) => {
                self.pace = Pace::Behind;
                self.own(owned);
                self.recovered();
            }
            Outcome::Stopped { stopped, oldest } => {
                count("refused", 1);
                self.stop(stopped, oldest);
            }
            Outcome::Lost => {
                self.taken_over();
            }
            Outcome::Failed(error) => {
                if matches!(&error, RunError::Database(error) if postgres_kit::is_silent(error)) {
                    self.held.took_too_long();
                }
                self.failed(error);
            }
        }
        None
    }

    /// Records that nothing is left to do. `proven` is the last event that was read from the log of
    /// the job's head.
    pub(crate) fn at_head(&mut self, job: &Job, proven: EventRef) {
        if self.mark().is_none() {
            return;
        }
        self.progress.head = job.head.mark.position;
        self.progress.mode = job.mode;
        self.progress.epoch = self.mark().filter(|mark| *mark == proven).map(|_| job.head.epoch);
        if let Some(mark) = self.mark().filter(|mark| mark.position >= job.head.mark.position) {
            self.progress.position = mark.position;
            self.progress.oldest = None;
            self.recovered();
        }
    }

    pub(crate) async fn keep_lease(&mut self) {
        let epoch = self.progress.epoch.take();
        let changed = matches!(&self.state,
            State::Owned(owned) if owned.seen.mode != self.progress.mode || owned.is_before(epoch));
        if !changed && !self.held.is_due() {
            return;
        }
        let Some(owned) = self.take_owned() else { return };
        let began = Instant::now();
        match tokio::spawn(owned.keep(self.progress.mode, self.progress.head, epoch)).await {
            Ok(Ok(Some(owned))) => {
                self.state = State::Owned(owned);
                self.held.kept(began);
            }
            Ok(Ok(None)) => self.taken_over(),
            Ok(Err(error)) => self.failed(error.into()),
            Err(panic) => self.panicked(&panic),
        }
    }

    /// Retries the parked events that are due.
    pub(crate) async fn retry_parked(&mut self, again: &parked::Reread) {
        if !matches!(&self.state, State::Owned(owned) if owned.has_parked_due()) {
            return;
        }
        let Some(mut owned) = self.take_owned() else { return };
        let again = again.clone();
        // In a separate task, so that no dropped future leaves a transaction open.
        let task = tokio::spawn(async move {
            let retried = owned.retry_parked(&again).await;
            (owned, retried)
        });
        match task.await {
            Ok((owned, Ok(()))) => {
                self.progress.parked = owned.parked.pairs;
                self.state = State::Owned(owned);
            }
            Ok((owned, Err(error))) => self.not_retried(owned, error),
            Err(panic) => self.panicked(&panic),
        }
    }

    /// Parked events could not be retried.
    fn not_retried(&mut self, mut owned: Box<Owned>, error: AgainError) {
        match error {
            AgainError::Lost => self.taken_over(),
            AgainError::Database(error) => self.failed(error.into()),
            AgainError::OtherEvent(position) => self.failed(RunError::OtherEvent(position)),
            AgainError::Refused(position, why) => self.failed(RunError::Parked(position, why)),
            error @ (AgainError::Store(_) | AgainError::Keys(_)) => {
                // The live events, which come from NATS, are projected anyway.
                tracing::warn!(
                    projection = self.title(),
                    error = chain(&error),
                    "cannot read parked events: will retry"
                );
                owned.put_off_parked(RETRY_MOST);
                self.progress.parked = owned.parked.pairs;
                self.state = State::Owned(owned);
            }
        }
    }

    /// Makes the next retry of parked events due now.
    pub(crate) fn look_at_parked_now(&mut self) {
        if let State::Owned(owned) = &mut self.state {
            owned.look_at_parked_now();
        }
    }

    pub(crate) fn panicked(&mut self, panic: &JoinError) {
        let reason = format!("the program failed while projecting: {panic}");
        self.stop(Stopped { reason, generation: None, again: Again::No }, None);
    }

    fn own(&mut self, owned: Box<Owned>) {
        self.progress.position = owned.checkpoint.mark.position;
        self.progress.parked = owned.parked.pairs;
        self.progress.head = self.progress.head.max(owned.checkpoint.mark.position);
        self.state = State::Owned(owned);
    }

    /// Records that it moved, made progress within an event, or had nothing to do.
    fn recovered(&mut self) {
        self.failures = 0;
        self.error = None;
        self.progress.moved_at = Instant::now();
    }

    fn taken_over(&mut self) {
        tracing::warn!(projection = self.title(), "another process has taken over");
        self.not_ours();
        self.state = waiting(ACQUIRE_EVERY, None);
    }

    /// Resets the progress: this process does not know what another one does with the partition.
    fn not_ours(&mut self) {
        self.recovered();
        self.progress = Progress::unknown();
    }

    fn stop(&mut self, stopped: Stopped, oldest: Option<DateTime<Utc>>) {
        tracing::error!(projection = self.title(), reason = stopped.reason, "stopped");
        self.progress.oldest = oldest.or(self.progress.oldest);
        self.state = State::Stopped { stopped, due: Instant::now() + LOOK_EVERY };
    }

    fn look_again_later(&mut self) {
        if let State::Stopped { due, .. } = &mut self.state {
            *due = Instant::now() + LOOK_EVERY;
        }
    }

    fn failed(&mut self, error: RunError) {
        let pause = backoff(self.failures, self.held.age());
        self.failures = self.failures.saturating_add(1);
        tracing::warn!(
            projection = self.title(),
            error = chain(&error),
            retry_ms = pause.as_millis(),
            "failed: will retry"
        );
        if matches!(self.state, State::Stopped { .. }) {
            return self.look_again_later();
        }
        self.error = Some(error);
        self.state = waiting(pause, None);
    }
}

fn waiting(pause: Duration, connection: Option<Connection>) -> State {
    State::Waiting { due: Instant::now() + pause, connection }
}
