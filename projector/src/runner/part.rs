//! One part in the hands of its owner: a connection of its own, the lease, the checkpoint, and what a batch does to them.
//!
//! Every function here that runs a transaction takes the part by value and gives it back: the runner calls it in a spawned
//! task, so that no dropped future leaves a transaction open.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use event_feed::Term;
use event_store::{Epoch, EventStore, Mark, Position, RecordedEvent};
use postgres_kit::Connection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::checkpoint::{self, Checkpoint, Passed, Seen};
use super::history::{self, History};
use super::parked::{self, ParkedSet};
use super::passing::Passing;
use super::{Job, PartKey, beside, chain, database, lease};
use crate::generation;
use crate::projection::{AnyProjection, Prepared, Reason, TooManyParked, WriteError, apart};

/// Stands for the live generation of a projection that has none.
const NO_GENERATION: i32 = 0;
/// How long one transaction of rows may take: less than a lease lasts. A longer one is tried again with fewer events.
pub(super) const BATCH_LIMIT: Duration = Duration::from_secs(4);

/// How long claiming a part may take, with the questions to the log.
pub(super) const CLAIM_LIMIT: Duration = Duration::from_secs(10);

/// A part and its owner's hold on it.
pub(crate) struct Owned {
    pub(crate) key: Arc<PartKey>,
    pub(crate) checkpoint: Checkpoint,
    /// What the row says besides the position.
    pub(crate) seen: Seen,
    pub(super) parked: ParkedSet,
    owner: Uuid,
    pub(super) connection: Connection,
}

/// An attempt to take a part.
pub(crate) struct Claim {
    pub(crate) options: Arc<PgConnectOptions>,
    pub(crate) owner: Uuid,
    pub(crate) projection: Arc<dyn AnyProjection>,
    /// Which generation beside the live one; `None` for the live one, whichever that is.
    pub(crate) beside: Option<i32>,
    /// Which part of it.
    pub(crate) part: i32,
    /// Where the log's history is proved; without it the caller vouches for it.
    pub(crate) store: Option<Arc<dyn EventStore>>,
    /// A connection that an earlier attempt left.
    pub(crate) connection: Option<Connection>,
    /// Why the projection is stopped, if it is.
    pub(crate) stopped: Option<Stopped>,
}

/// Why a projection is stopped: it is tried again once that is not so any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stopped {
    pub(crate) reason: String,
    /// The live generation with which it stopped: only another one is tried; none at all after a panic.
    pub(crate) generation: Option<i32>,
    /// Whether the same generation is tried again, and when.
    pub(crate) again: Again,
}

/// When a stopped projection is tried again with the same generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// When the process is started again.
    No,
    /// It stopped because of the log's history: when that has changed.
    History,
    /// It stopped since no more events could be parked: when there is room, or somebody asked for some to be tried again.
    Room,
}

/// What became of it.
pub(crate) enum Claimed {
    Owned(Box<Owned>),
    /// Another process has it.
    Elsewhere(Connection),
    /// It can only be stopped, and why.
    Stopped(Stopped),
    /// Nothing has changed since it stopped.
    StillStopped,
}

/// A batch in the hands of a part.
pub(crate) enum Folded {
    Done(Applied),
    /// It has nothing for the part, which is still to be moved over it.
    Passes(Passing),
}

/// What became of a batch.
pub(crate) struct Applied {
    /// How many events took effect or were passed over.
    pub(crate) handled: usize,
    pub(crate) passed_over: usize,
    /// How many (event, key) pairs were parked.
    pub(crate) parked: usize,
    pub(crate) outcome: Outcome,
}

/// How a part is after a batch.
pub(crate) enum Outcome {
    /// It goes on.
    Owned(Box<Owned>),
    /// It stopped at an event, and why.
    Stopped { stopped: Stopped, oldest: Option<DateTime<Utc>> },
    /// Another process has it now.
    Lost,
    /// Postgres did not do it: the part is to be claimed again.
    Failed(sqlx::Error),
}

/// Why a part could not be claimed now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    #[error("the event store failed")]
    Store(#[from] event_store::StoreError),
}

impl Claim {
    /// Takes the live generation's part if nobody has it, and proves that the log is the one that it was built from.
    pub(crate) async fn attempt(self) -> Result<Claimed, ClaimError> {
        // On the heap at once: what holds connections is large.
        postgres_kit::within(CLAIM_LIMIT, Box::pin(self.claim())).await
    }

    async fn claim(self) -> Result<Claimed, ClaimError> {
        let mut connection = match self.connection {
            Some(connection) if connection.is_open() => connection,
            _ => database::connect(&self.options, self.owner).await?,
        };
        let (name, beside) = (self.projection.name(), self.beside);
        let find = async |raw: &mut PgConnection| match beside {
            Some(generation) => beside::find(raw, name, generation).await,
            None => generation::live(raw, name).await,
        };
        let found = connection.run(find).await?;
        let generation = found.as_ref().map_or(NO_GENERATION, |found| found.generation);
        let before = self.stopped.filter(|stopped| stopped.generation == Some(generation));
        if before.as_ref().is_some_and(|stopped| stopped.again == Again::No) {
            return Ok(Claimed::StillStopped);
        }
        if !found.as_ref().is_some_and(|found| found.is_made_by(self.projection.as_ref())) {
            let reason = generation::not_ours(self.projection.as_ref(), found.as_ref());
            return Ok(Claimed::Stopped(Stopped { reason, generation: Some(generation), again: Again::No }));
        }
        let Some(found) = found.filter(|found| self.part < found.parts) else { return Ok(Claimed::Elsewhere(connection)) };
        let key = Arc::new(PartKey::new(self.projection, &found, self.part));
        if before.as_ref().is_some_and(|stopped| stopped.again == Again::Room)
            && connection.run(async |raw: &mut PgConnection| parked::is_full(raw, &key).await).await?
        {
            return Ok(Claimed::StillStopped);
        }
        if let (Some(before), Some(store)) = (before.filter(|stopped| stopped.again == Again::History), &self.store)
            && let Some(found) = connection.run(async |raw: &mut PgConnection| checkpoint::look(raw, &key).await).await?
            && history::of(store.as_ref(), key.projection.name(), found).await? == History::Other(before.reason)
        {
            return Ok(Claimed::StillStopped);
        }
        let lease = lease::of(&key, self.owner);
        let Some(Term(term)) = connection.run(async |raw: &mut PgConnection| lease.take(raw).await).await? else {
            return Ok(Claimed::Elsewhere(connection));
        };
        let taken = connection.run(async |raw: &mut PgConnection| checkpoint::take(raw, &key, term).await).await?;
        let Some(checkpoint) = taken else { return Ok(Claimed::Elsewhere(connection)) };
        let seen = Seen { mode: "starting", head: checkpoint.mark.position };
        let load = async |raw: &mut PgConnection| ParkedSet::load(raw, &key, &[key.part]).await;
        let parked = connection.run(load).await?;
        let mut owned = Box::new(Owned { seen, key, checkpoint, parked, owner: self.owner, connection });
        let Some(store) = self.store else { return Ok(Claimed::Owned(owned)) };
        match history::of(store.as_ref(), owned.key.projection.name(), (checkpoint.epoch, checkpoint.mark)).await? {
            History::Same(epoch) if owned.follow(epoch).await? => Ok(Claimed::Owned(owned)),
            History::Same(_) => Ok(Claimed::Elsewhere(owned.connection)),
            History::Other(reason) => {
                owned.give_up(Some(&reason)).await?;
                Ok(Claimed::Stopped(Stopped { reason, generation: Some(generation), again: Again::History }))
            }
        }
    }
}

impl Owned {
    /// Folds the job's events that come after the checkpoint into the rows, but no more than `most` of them.
    pub(crate) async fn apply(mut self: Box<Self>, job: Arc<Job>, most: usize) -> Folded {
        let mut applied = Applied { handled: 0, passed_over: 0, parked: 0, outcome: Outcome::Lost };
        let at = self.checkpoint.mark;
        let start = job.events.partition_point(|event| event.position <= at.position);
        let known = start.checked_sub(1).map(|last| job.events[last].mark());
        let events = &job.events[start..];
        if known.is_some_and(|mark| mark.position == at.position && mark != at) {
            // Claiming anew proves the history, and says what is to be done when it is another one.
            let other = std::io::Error::other(format!("the log has another event at position {}", at.position));
            applied.outcome = Outcome::Failed(sqlx::Error::Io(other));
            return Folded::Done(applied);
        }
        if events.first().is_some_and(|event| event.position != at.position.next()) {
            // The reader was somewhere else: claiming anew makes it go back.
            let gap = std::io::Error::other(format!("the batch does not begin after position {}", at.position));
            applied.outcome = Outcome::Failed(sqlx::Error::Io(gap));
            return Folded::Done(applied);
        }
        let events = &events[..events.len().min(most)];
        applied.outcome = match self.fold(&job, events, &mut applied).await {
            Ok(None) => Outcome::Owned(self),
            Ok(Some(Halt::Passes(events))) => return Folded::Passes(Passing { part: self, events }),
            Ok(Some(Halt::Lost)) => Outcome::Lost,
            Ok(Some(Halt::At(position, reason))) => {
                let bad = events.iter().find(|event| event.position == position);
                let what = bad.map_or_else(String::new, |event| format!(" ({})", event.event_type));
                let again = if reason.is::<TooManyParked>() { Again::Room } else { Again::No };
                let reason = format!("event {position}{what}: {}", chain(reason.as_ref()));
                self.stop(reason, bad.map(|event| event.recorded_at), again).await
            }
            Err(error) if database::is_transient(&error) => Outcome::Failed(error),
            Err(error) => self.refused(&error, events.first()).await,
        };
        Folded::Done(applied)
    }

    /// Stops: Postgres will not do it another time either.
    pub(super) async fn refused(self, error: &sqlx::Error, first: Option<&RecordedEvent>) -> Outcome {
        let at = first.map_or_else(String::new, |event| format!(" the batch that begins with event {}", event.position));
        let reason = format!("the read model's database refused{at}: {error}");
        self.stop(reason, first.map(|event| event.recorded_at), Again::No).await
    }

    /// Folds up to the first event that cannot be, and says which that is.
    async fn fold(&mut self, job: &Job, mut events: &[RecordedEvent], applied: &mut Applied) -> sqlx::Result<Option<Halt>> {
        let (mut halt, mut apart) = (None, false);
        loop {
            let prepared = self.key.projection.prepare(&job.registry, events, self.key.parts());
            if let Some((position, _)) = &prepared.unreadable {
                events = before(events, *position);
            }
            let Some(last) = events.last() else { return Ok(prepared.unreadable.map(Halt::at).or(halt)) };
            // Others pass with it to the end of the batch, which this one may not have been given whole.
            let is_whole = job.events.last().is_some_and(|end| end.position == last.position);
            if prepared.handled == 0 && prepared.unreadable.is_none() && halt.is_none() && is_whole {
                return Ok(Some(Halt::Passes(prepared.passed_over)));
            }
            match self.write(&prepared, job, (events, last.mark()), apart).await {
                Ok(Some(parked)) => {
                    applied.parked = parked;
                    applied.handled = prepared.handled;
                    applied.passed_over = prepared.passed_over;
                    return Ok(prepared.unreadable.map(Halt::at).or(halt));
                }
                Ok(None) => return Ok(Some(Halt::Lost)),
                Err(WriteError::Database(error)) if apart::is_refusal(&error) => match events {
                    // A row, most likely: it is found, and hurts its own key alone.
                    _ if !apart => apart = true,
                    [event] => return Ok(Some(Halt::At(event.position, apart::why(&error).into()))),
                    // No row by itself: it can only stop, before the event that is found in halves.
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

    /// Rows, what is parked, and checkpoint, in one transaction. Returns how much was parked; `None`: fenced off.
    async fn write(
        &mut self,
        prepared: &Prepared,
        job: &Job,
        (events, to): (&[RecordedEvent], Mark),
        apart: bool,
    ) -> Result<Option<usize>, WriteError> {
        let seen = Seen { mode: job.mode, head: job.head.mark.position };
        let target = (job.head.epoch, to);
        let notes = (seen, Passed { handled: prepared.handled, passed_over: prepared.passed_over });
        let parking = self.parked.parking();
        let mut parking = if apart { parking.apart() } else { parking };
        let (key, from) = (&self.key, &self.checkpoint);
        let write = async |raw: &mut PgConnection| {
            let mut transaction = raw.begin().await?;
            if !checkpoint::advance(&mut transaction, key, from, target, notes).await? {
                transaction.rollback().await?;
                return Ok::<_, WriteError>(None);
            }
            prepared.write(&mut transaction, &key.only(), &mut parking).await?;
            let found = parking.take_found();
            parked::record(&mut transaction, key, &found, events).await?;
            transaction.commit().await?;
            Ok(Some(found))
        };
        let found = if prepared.handled == 0 {
            let advance = async |raw: &mut PgConnection| checkpoint::advance(raw, key, from, target, notes).await;
            self.connection.run(advance).await?.then(Vec::new)
        } else {
            self.connection.run_within(BATCH_LIMIT, write).await?
        };
        let Some(found) = found else { return Ok(None) };
        self.parked.add(&found);
        self.checkpoint = Checkpoint { epoch: Some(target.0), mark: to, ..self.checkpoint };
        self.seen = seen;
        Ok(Some(found.len()))
    }

    /// Goes over to the epoch in which the log was found to go on after the checkpoint. `false`: fenced off.
    async fn follow(&mut self, epoch: Epoch) -> sqlx::Result<bool> {
        if self.checkpoint.epoch.is_none_or(|known| known == epoch) {
            return Ok(true);
        }
        let (key, at) = (&self.key, &self.checkpoint);
        let follow = async |raw: &mut PgConnection| checkpoint::follow(raw, key, at, epoch).await;
        if !self.connection.run(follow).await? {
            return Ok(false);
        }
        tracing::info!(projection = self.key.projection.name(), %epoch, "goes on in a new epoch of the log");
        self.checkpoint.epoch = Some(epoch);
        Ok(true)
    }

    /// Whether the log has gone on in this epoch, and the checkpoint has not yet.
    pub(crate) fn is_before(&self, epoch: Option<Epoch>) -> bool {
        self.checkpoint.epoch.is_some() && epoch.is_some() && self.checkpoint.epoch != epoch
    }

    /// Keeps the lease, and tells how the events come where that has changed, and in which epoch the log goes on, where that is known.
    /// `Ok(None)`: the part is another process's.
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
        if !self.connection.run(async |raw: &mut PgConnection| lease.renew(raw, Term(term)).await).await? {
            return Ok(None);
        }
        let seen = Seen { mode, head };
        let note = async |raw: &mut PgConnection| checkpoint::note(raw, key, term, seen, None).await;
        if mode != self.seen.mode && !self.connection.run(note).await? {
            return Ok(None);
        }
        self.seen = seen;
        Ok(Some(self))
    }

    /// Ends the ownership, so that another process can take over at once.
    pub(crate) async fn give_up(mut self, stopped_by: Option<&str>) -> sqlx::Result<()> {
        let seen = Seen { mode: if stopped_by.is_some() { "stopped" } else { "starting" }, ..self.seen };
        let (key, term, lease) = (&self.key, self.checkpoint.term, lease::of(&self.key, self.owner));
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
            Err(error) => Outcome::Failed(error),
        }
    }
}

/// Why a fold ended early.
enum Halt {
    At(Position, Reason),
    /// There is nothing to fold; so many events are to be passed over.
    Passes(usize),
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
