//! A partition that this process owns: its connection, its lease, its checkpoint, and the effect of
//! a batch on them.
//!
//! Functions that run a transaction take the partition by value and return it. The runner calls
//! them in spawned tasks, so that no dropped future leaves a transaction open.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use event_store::subject::erased_subject;
use event_store::{Epoch, EventRef, Position, RecordedEvent};
use postgres_kit::Connection;
use postgres_kit::Term;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::acquire::{Again, Stopped};
use super::checkpoint::{self, Checkpoint, Passed, Seen};
use super::erasing::{self, Erasing, Round};
use super::parked::{self, ParkedSet};
use super::passing::Passing;
use super::{Job, MAX_APART, PartitionKey, RunError, lease};
use crate::chain;
use crate::projection::past::StoredPast;
use crate::projection::{Prepared, Reason, TooManyParked, WriteError, apart};

/// How long a transaction of rows may take. It is shorter than a lease; a longer transaction is
/// retried with fewer events.
pub(super) const BATCH_LIMIT: Duration = Duration::from_secs(4);

/// A partition that this process owns.
pub(crate) struct Owned {
    pub(crate) key: Arc<PartitionKey>,
    pub(crate) checkpoint: Checkpoint,
    /// The other columns of the checkpoint, as last written.
    pub(crate) seen: Seen,
    pub(super) parked: ParkedSet,
    pub(super) erasing: Erasing,
    /// The batch that waits until the past of an erased subject is blanked.
    pub(crate) unfinished: Option<Arc<Job>>,
    pub(super) owner: Uuid,
    pub(super) connection: Connection,
}

/// How far a partition came with a batch.
pub(crate) enum Folded {
    Done(Applied),
    /// The batch is irrelevant to the partition, which must still be moved over it.
    Passes(Passing),
}

/// The result of a batch.
pub(crate) struct Applied {
    /// The number of events that took effect.
    pub(crate) handled: usize,
    /// The number of events that are irrelevant to the partition.
    pub(crate) ignored: usize,
    /// The number of (event, key) pairs that were parked.
    pub(crate) parked: usize,
    pub(crate) outcome: Outcome,
}

/// The state of a partition after a batch.
pub(crate) enum Outcome {
    /// It continues.
    Owned(Box<Owned>),
    /// It continues with the same events, once the past of an erased subject is blanked.
    Erasing(Box<Owned>),
    /// It stopped at an event. `oldest` is the time at which that event was recorded.
    Stopped { stopped: Stopped, oldest: Option<DateTime<Utc>> },
    /// Another process has it now.
    Lost,
    /// The batch had no effect. The partition must be acquired again.
    Failed(RunError),
}

impl Owned {
    /// Folds the events after the checkpoint into the rows, at most `most` of them. If a batch is
    /// [unfinished](Self::unfinished), it must be given again.
    pub(crate) async fn apply(mut self: Box<Self>, job: Arc<Job>, most: usize) -> Folded {
        let mut applied = Applied { handled: 0, ignored: 0, parked: 0, outcome: Outcome::Lost };
        let at = self.checkpoint.mark;
        let start = job.events.partition_point(|event| event.position <= at.position);
        let known = start.checked_sub(1).map(|last| job.events[last].mark());
        let events = &job.events[start..];
        if known.is_some_and(|mark| mark.position == at.position && mark != at) {
            applied.outcome = Outcome::Failed(RunError::OtherEvent(at.position));
            return Folded::Done(applied);
        }
        if events.first().is_some_and(|event| event.position != at.position.next()) {
            applied.outcome = Outcome::Failed(RunError::Gap(at.position));
            return Folded::Done(applied);
        }
        let events = &events[..events.len().min(most)];
        let folded = self.fold(&job, (events, most), &mut applied).await;
        self.unfinished = matches!(folded, Ok(Some(Halt::Erases))).then(|| Arc::clone(&job));
        applied.outcome = match folded {
            Ok(None) => Outcome::Owned(self),
            Ok(Some(Halt::Erases)) => Outcome::Erasing(self),
            Ok(Some(Halt::Passes(events))) => {
                return Folded::Passes(Passing { partition: self, events });
            }
            Ok(Some(Halt::Lost)) => Outcome::Lost,
            Ok(Some(Halt::At(position, reason))) => {
                let bad = events.iter().find(|event| event.position == position);
                let what = bad.map_or_else(String::new, |event| format!(" ({})", event.event_type));
                let again = if reason.is::<TooManyParked>() { Again::Room } else { Again::No };
                let reason = format!("event {position}{what}: {}", chain(reason.as_ref()));
                self.stop(reason, bad.map(|event| event.recorded_at), again).await
            }
            Err(error) if postgres_kit::is_transient(&error) => Outcome::Failed(error.into()),
            Err(error) => self.refused(&error, events.first()).await,
        };
        Folded::Done(applied)
    }

    /// Stops the partition, because Postgres would refuse a retry, too.
    pub(super) async fn refused(
        self,
        error: &sqlx::Error,
        first: Option<&RecordedEvent>,
    ) -> Outcome {
        let at = first.map_or_else(String::new, |event| {
            format!(" the batch that begins with event {}", event.position)
        });
        let reason = format!("the read model's database refused{at}: {error}");
        self.stop(reason, first.map(|event| event.recorded_at), Again::No).await
    }

    /// Folds up to the first event that cannot be folded, and returns that event's position.
    async fn fold(
        &mut self,
        job: &Job,
        (mut events, most): (&[RecordedEvent], usize),
        applied: &mut Applied,
    ) -> sqlx::Result<Option<Halt>> {
        let (mut halt, mut apart) = (None, false);
        loop {
            let prepared =
                self.key.projection.prepare(&job.registry, events, self.key.partitions());
            if let Some((position, _)) = &prepared.unreadable {
                events = before(events, *position);
            }
            let Some(last) = events.last() else {
                return Ok(prepared.unreadable.map(Halt::at).or(halt));
            };
            // The partitions that skip a batch move together to its end, but this partition may
            // have got only the first events of it.
            let is_whole = job.events.last().is_some_and(|end| end.position == last.position);
            // The others do not pass a batch that only this one has not finished, either.
            let is_whole = is_whole && self.unfinished.is_none();
            if prepared.handled == 0 && prepared.unreadable.is_none() && halt.is_none() && is_whole
            {
                return Ok(Some(Halt::Passes(prepared.ignored)));
            }
            let (of, only) = ((&*self.key, &self.checkpoint), self.key.only());
            let erasing = (&mut self.erasing, most);
            match erasing::round(&mut self.connection, of, (&prepared, &only), erasing).await? {
                Round::Done => {}
                Round::More => return Ok(Some(Halt::Erases)),
                Round::Lost => return Ok(Some(Halt::Lost)),
                Round::Refused(position, why) => {
                    events = before(events, position);
                    halt = Some(Halt::At(position, why.into()));
                    continue;
                }
            }
            match self.write(&prepared, job, (events, last.mark()), apart).await {
                Ok(Some(parked)) => {
                    applied.parked = parked;
                    applied.handled = prepared.handled;
                    applied.ignored = prepared.ignored;
                    return Ok(prepared.unreadable.map(Halt::at).or(halt));
                }
                Ok(None) => return Ok(Some(Halt::Lost)),
                Err(WriteError::Database(error)) if apart::is_refusal(&error) => match events {
                    // Most likely a single row. It is found now, and affects only its own key.
                    _ if !apart => {
                        apart = true;
                        events = &events[..events.len().min(MAX_APART)];
                    }
                    [event] => {
                        return Ok(Some(Halt::At(event.position, apart::why(&error).into())));
                    }
                    // No single row is the cause, so the partition must stop. Halving finds the
                    // event.
                    _ => events = &events[..events.len() / 2],
                },
                Err(WriteError::Database(error)) => return Err(error),
                Err(WriteError::Fold(position, reason)) => {
                    events = before(events, position);
                    halt = Some(Halt::At(position, reason));
                }
            }
        }
    }

    /// Writes rows, parked events and checkpoint in one transaction. Returns the number of parked
    /// pairs; `None` if another process has the partition.
    async fn write(
        &mut self,
        prepared: &Prepared,
        job: &Job,
        (events, to): (&[RecordedEvent], EventRef),
        apart: bool,
    ) -> Result<Option<usize>, WriteError> {
        let seen = Seen { mode: job.mode, head: job.head.mark.position };
        let target = (job.head.epoch, to);
        let recorded_at = events.last().map(|event| event.recorded_at);
        let (handled, ignored) = (prepared.handled, prepared.ignored);
        let notes = (seen, Passed { handled, ignored, recorded_at });
        let durable = events.iter().any(|event| erased_subject(event).is_some());
        let parking = self.parked.parking();
        let mut parking = if apart { parking.apart() } else { parking };
        let (key, from) = (&self.key, &self.checkpoint);
        let write = async |raw: &mut PgConnection| {
            let mut transaction = raw.begin().await?;
            if !checkpoint::advance(&mut transaction, key, from, target, notes, durable).await? {
                transaction.rollback().await?;
                return Ok::<_, WriteError>(None);
            }
            let past = StoredPast::Blanked;
            prepared.write(&mut transaction, &key.only(), &mut parking, past).await?;
            let found = parking.take_found();
            parked::record(&mut transaction, key, &found, events).await?;
            transaction.commit().await?;
            Ok(Some(found))
        };
        let found = if prepared.handled == 0 {
            let advance = async |raw: &mut PgConnection| {
                checkpoint::advance(raw, key, from, target, notes, durable).await
            };
            self.connection.run(advance).await?.then(Vec::new)
        } else {
            self.connection.run_within(BATCH_LIMIT, write).await?
        };
        let Some(found) = found else { return Ok(None) };
        self.parked.add(&found);
        self.erasing.took_effect(&prepared.past_erasures(&self.key.only()));
        self.checkpoint = Checkpoint { epoch: Some(target.0), mark: to, ..self.checkpoint };
        self.seen = seen;
        Ok(Some(found.len()))
    }

    /// Moves the checkpoint into the epoch in which the log continues. Returns `false` if another
    /// process has the partition.
    pub(super) async fn follow(&mut self, epoch: Epoch) -> sqlx::Result<bool> {
        if self.checkpoint.epoch.is_none_or(|known| known == epoch) {
            return Ok(true);
        }
        let (key, at) = (&self.key, &self.checkpoint);
        let follow = async |raw: &mut PgConnection| checkpoint::follow(raw, key, at, epoch).await;
        if !self.connection.run(follow).await? {
            return Ok(false);
        }
        tracing::info!(projection = self.key.projection.name(), %epoch, "continues in a new epoch \
            of the log");
        self.checkpoint.epoch = Some(epoch);
        Ok(true)
    }

    /// Whether the log continues in this epoch, and the checkpoint is still in an earlier one.
    pub(crate) fn is_before(&self, epoch: Option<Epoch>) -> bool {
        self.checkpoint.epoch.is_some() && epoch.is_some() && self.checkpoint.epoch != epoch
    }

    /// Renews the lease. Records the mode if it has changed, and the log's new epoch if it is
    /// known. Returns `None` if another process has the partition.
    pub(crate) async fn keep(
        mut self: Box<Self>,
        mode: &'static str,
        head: Position,
        epoch: Option<Epoch>,
    ) -> sqlx::Result<Option<Box<Self>>> {
        if let Some(epoch) = epoch
            && !self.follow(epoch).await?
        {
            return Ok(None);
        }
        let term = self.checkpoint.term;
        let (key, lease) = (&self.key, lease::of(&self.key, self.owner));
        if !self
            .connection
            .run(async |raw: &mut PgConnection| lease.renew(raw, Term(term)).await)
            .await?
        {
            return Ok(None);
        }
        let seen = Seen { mode, head };
        let note =
            async |raw: &mut PgConnection| checkpoint::note(raw, key, term, seen, None).await;
        if mode != self.seen.mode && !self.connection.run(note).await? {
            return Ok(None);
        }
        self.seen = seen;
        Ok(Some(self))
    }

    /// Records that these partitions were complete so long ago.
    pub(crate) async fn confirm(
        &mut self,
        complete: &[(Arc<PartitionKey>, Checkpoint)],
        ago: Duration,
    ) -> sqlx::Result<()> {
        let confirm = async |raw: &mut PgConnection| checkpoint::confirm(raw, complete, ago).await;
        self.connection.run(confirm).await
    }

    /// Gives up the lease, so that another process can take over at once. Records the reason in the
    /// checkpoint if the partition stops.
    pub(crate) async fn give_up(mut self, stopped_by: Option<&str>) -> sqlx::Result<()> {
        let seen =
            Seen { mode: if stopped_by.is_some() { "stopped" } else { "starting" }, ..self.seen };
        let (key, term, lease) =
            (&self.key, self.checkpoint.term, lease::of(&self.key, self.owner));
        let give_up = async |raw: &mut PgConnection| {
            checkpoint::note(raw, key, term, seen, stopped_by).await?;
            lease.give_up(raw, Term(term)).await
        };
        self.connection.run(give_up).await?;
        self.connection.close().await;
        Ok(())
    }

    async fn stop(self, reason: String, oldest: Option<DateTime<Utc>>, again: Again) -> Outcome {
        let generation = Some(self.key.generation);
        match self.give_up(Some(&reason)).await {
            Ok(()) => Outcome::Stopped { stopped: Stopped { reason, generation, again }, oldest },
            Err(error) => Outcome::Failed(error.into()),
        }
    }
}

/// Why folding ended early.
enum Halt {
    At(Position, Reason),
    /// There is nothing to fold. The partition must be moved over this number of events.
    Passes(usize),
    /// The past of an erased subject must be blanked further before the events take effect.
    Erases,
    Lost,
}

impl Halt {
    fn at((position, reason): (Position, Reason)) -> Self {
        Self::At(position, reason)
    }
}

fn before(events: &[RecordedEvent], position: Position) -> &[RecordedEvent] {
    &events[..events.partition_point(|event| event.position < position)]
}
