//! Commands that are carried out together: one append, or nothing.
//!
//! Each command is decided on the states that the ones before it will leave. Nothing is written
//! until all of them are decided. Then their events, conditions and reservations are one append. In
//! it, the events of one stream stay together, in the sequence of their commands.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::aggregate::Aggregate;
use event_store::{
    Append, AppendCondition, Epoch, NewEvent, Refusal, ReservationChange, ReservedValue, StreamName,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::CommandError;
use super::idempotency::Answer;
use super::repository::{Changes, Loaded, Repository, RepositoryError, stream_of};

/// Commands of one request that are decided, but not carried out.
#[derive(Default)]
pub struct Batch(Mutex<Gathered>);

/// A command of a batch: the ids of its answer, and the version in which it leaves what it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The ids that the answer names.
    #[serde(flatten)]
    pub answer: Answer,
    /// The version of the changed aggregate after the command.
    pub version: i64,
}

/// A whole batch, ready to be appended.
pub(super) struct Whole {
    pub(super) epoch: Epoch,
    pub(super) append: Append,
    pub(super) joined: Vec<Joined>,
    sources: Sources,
}

/// Which command brought what.
#[derive(Default)]
struct Sources {
    streams: HashMap<StreamName, usize>,
    reservations: Vec<usize>,
}

#[derive(Default)]
struct Gathered {
    /// The epoch in which the first command was decided.
    epoch: Option<Epoch>,
    known: HashMap<StreamName, Known>,
    append: Append,
    /// The unique values that the commands so far take.
    taken: HashSet<ReservedValue>,
    joined: Vec<Joined>,
    sources: Sources,
}

/// An aggregate as the commands so far leave it.
struct Known {
    loaded: Box<dyn Any + Send>,
    advance: Advance,
}

/// Adds events to an aggregate and returns its version after them.
type Advance = fn(&mut (dyn Any + Send), &[NewEvent]) -> Result<i64, RepositoryError>;

impl Known {
    fn new<A: Aggregate>(loaded: Loaded<A>) -> Self {
        Self { loaded: Box::new(loaded), advance: advance::<A> }
    }

    fn get<A: Aggregate>(&self) -> Option<Loaded<A>> {
        self.loaded.downcast_ref::<Loaded<A>>().cloned()
    }
}

fn advance<A: Aggregate>(
    loaded: &mut (dyn Any + Send),
    events: &[NewEvent],
) -> Result<i64, RepositoryError> {
    match loaded.downcast_mut::<Loaded<A>>() {
        Some(loaded) => {
            *loaded = loaded.clone().followed_by(events)?;
            Ok(loaded.version.0)
        }
        // `Known::new` gives a loaded aggregate the function of its own type.
        None => Ok(0),
    }
}

impl Batch {
    /// The epoch of the batch. The first command names it.
    pub(super) fn epoch(&self, newest: Epoch) -> Epoch {
        *self.gathered().epoch.get_or_insert(newest)
    }

    /// Loads an aggregate as the commands so far leave it.
    ///
    /// # Errors
    /// The same errors as [`Repository::load`].
    pub(super) async fn load<A: Aggregate>(
        &self,
        repository: &Repository,
        epoch: Epoch,
        id: Uuid,
    ) -> Result<Loaded<A>, RepositoryError> {
        let stream = stream_of::<A>(id)?;
        if let Some(known) = self.gathered().known.get(&stream).and_then(Known::get::<A>) {
            return Ok(known);
        }
        let loaded = repository.load::<A>(epoch, id).await?;
        self.keep(stream, &loaded);
        Ok(loaded)
    }

    /// An aggregate that a command creates.
    ///
    /// # Errors
    /// Never for the id of an aggregate.
    pub(super) fn absent<A: Aggregate>(&self, id: Uuid) -> Result<Loaded<A>, RepositoryError> {
        let loaded = Loaded::absent(id);
        self.keep(stream_of::<A>(id)?, &loaded);
        Ok(loaded)
    }

    fn keep<A: Aggregate>(&self, stream: StreamName, loaded: &Loaded<A>) {
        self.gathered().known.insert(stream, Known::new(loaded.clone()));
    }

    /// Adds the changes of a command.
    ///
    /// # Errors
    /// [`CommandError::EmailTaken`] if an earlier command takes the same address. An event cannot
    /// be read back.
    pub(super) fn add(&self, answer: Answer, changes: Changes) -> Result<Joined, CommandError> {
        let mut gathered = self.gathered();
        let gathered = &mut *gathered;
        let target = changes.target().cloned();
        let Append { streams, conditions, reservations, .. } = changes.into_append();
        let command = gathered.joined.len();
        for change in &reservations {
            gathered.take_up(change)?;
        }
        let mut version = 0;
        for added in streams {
            if let Some(Known { loaded, advance }) = gathered.known.get_mut(&added.stream) {
                let after = advance(&mut **loaded, &added.events)?;
                if target.as_ref() == Some(&added.stream) {
                    version = after;
                }
            }
            gathered.sources.streams.entry(added.stream.clone()).or_insert(command);
            let mut begun = gathered.append.streams.iter_mut();
            match begun.find(|begun| begun.stream == added.stream) {
                Some(begun) => begun.events.extend(added.events),
                None => gathered.append.streams.push(added),
            }
        }
        for condition in conditions {
            if !gathered.append.conditions.iter().any(|known| is_same(known, &condition)) {
                gathered.append.conditions.push(condition);
            }
        }
        gathered.sources.reservations.extend(std::iter::repeat_n(command, reservations.len()));
        gathered.append.reservations.extend(reservations);
        let joined = Joined { answer, version };
        gathered.joined.push(joined);
        Ok(joined)
    }

    /// Takes the whole batch out. `None` if no command was added.
    pub(super) fn take(&self) -> Option<Whole> {
        let Gathered { epoch, append, joined, sources, .. } = std::mem::take(&mut *self.gathered());
        epoch.map(|epoch| Whole { epoch, append, joined, sources })
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    /// Records the values that the batch takes. A taken value stays taken to the end of the batch,
    /// because the store gives a value to one owner only within an append.
    fn take_up(&mut self, change: &ReservationChange) -> Result<(), CommandError> {
        match change {
            // Only e-mail addresses are reserved.
            ReservationChange::Take { reservation, .. }
                if !self.taken.insert(reservation.clone()) =>
            {
                Err(CommandError::EmailTaken)
            }
            ReservationChange::Take { .. } | ReservationChange::Release { .. } => Ok(()),
        }
    }
}

impl Whole {
    /// The index of the first command that changes an aggregate.
    pub(super) fn first_of<A: Aggregate>(&self, id: Uuid) -> Option<usize> {
        let stream = stream_of::<A>(id).ok()?;
        self.sources.streams.get(&stream).copied()
    }

    /// The index of the command that the store refuses, if the refusal is about one command alone.
    pub(super) fn source(&self, refusal: &Refusal) -> Option<usize> {
        match refusal {
            Refusal::Closed { stream } => self.sources.streams.get(stream).copied(),
            Refusal::Reservation { index, .. } => self.sources.reservations.get(*index).copied(),
            _ => None,
        }
    }
}

fn is_same(one: &AppendCondition, other: &AppendCondition) -> bool {
    (&one.query, one.after) == (&other.query, other.after)
}
