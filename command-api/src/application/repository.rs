//! Loads aggregates from their streams and turns their decisions into appends. Only here `domain`
//! and `event-store` meet.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use domain::aggregate::Aggregate;
use event_store::registry::InvalidRegistry;
use event_store::{
    Append, AppendOutcome, AsOf, CacheLimits, Epoch, EventStore, Idempotency, Refusal, Registry,
    ReservedValue, StateLoader, StreamName, UpcastingLog, stream::Version,
};
use uuid::Uuid;

mod changes;
mod departures;
mod error;
mod line;
mod loaded;
mod state;

use crate::application::erasure_gate::ErasureGate;
pub use changes::{Changes, stream_of};
pub use departures::{Departures, Leave, LeaveError, USER_DEACTIVATED, USER_REACTIVATED};
pub use error::RepositoryError;
pub use line::MAX_IN_LINE;
pub(crate) use line::Turn;
use line::{Leaves, Lines};
pub use loaded::Loaded;
use state::State;

/// The registry of every shape in which an event of the shop or of its sagas was ever written.
///
/// # Errors
/// [`InvalidRegistry`] if a former version has no upcaster.
pub fn registry() -> Result<Registry, InvalidRegistry> {
    let current = domain::history::current().chain(saga::event::shapes());
    Registry::new(current, domain::history::PAST.iter().copied())
}

/// Loads aggregates and appends their changes.
pub struct Repository {
    states: StateLoader,
    lines: Lines,
    /// The last epoch that this process has read. The log refuses an append if it has another epoch
    /// by then.
    epoch: Mutex<Option<Epoch>>,
    /// Names the epoch to work in. Without it, this process reads the epoch from the log itself.
    erasure_gate: Option<ErasureGate>,
    departures: Option<Arc<dyn Departures>>,
}

impl Repository {
    /// A repository on a log, with a cache of recently used aggregates.
    pub fn new(log: UpcastingLog) -> Self {
        Self::over(StateLoader::new(log, CacheLimits::default()))
    }

    /// A repository on an existing state loader.
    pub fn over(states: StateLoader) -> Self {
        let (lines, epoch) = (Lines::default(), Mutex::new(None));
        Self { states, lines, epoch, erasure_gate: None, departures: None }
    }

    /// Limits the repository to the epoch that the erasure gate names.
    #[must_use]
    pub fn only_in(self, erasure_gate: ErasureGate) -> Self {
        Self { erasure_gate: Some(erasure_gate), ..self }
    }

    /// Asks before an append deactivates users, and reports them before the append is answered.
    #[must_use]
    pub fn asking(self, departures: Arc<dyn Departures>) -> Self {
        Self { departures: Some(departures), ..self }
    }

    /// Lets users leave together. Drop the [`Leave`] when they have left. `None` without log-ins.
    ///
    /// # Errors
    /// [`RepositoryError::Leave`].
    pub(crate) async fn let_leave(&self, users: &[Uuid]) -> Result<Option<Leave>, RepositoryError> {
        match &self.departures {
            Some(departures) if !users.is_empty() => Ok(Some(departures.let_leave(users).await?)),
            _ => Ok(None),
        }
    }

    /// The store, to follow the log.
    pub(crate) fn store(&self) -> &Arc<dyn EventStore> {
        self.states.log().store()
    }

    /// The epoch that this process works in. States are loaded and changes appended in this epoch,
    /// or not at all.
    ///
    /// # Errors
    /// [`RepositoryError::Store`] if the epoch cannot be read, or is not known in time.
    pub async fn epoch(&self) -> Result<Epoch, RepositoryError> {
        if let Some(erasure_gate) = &self.erasure_gate {
            return Ok(erasure_gate.epoch().await?);
        }
        match self.known_epoch() {
            Some(epoch) => Ok(epoch),
            None => self.read_epoch().await,
        }
    }

    /// Loads an aggregate in its current state.
    ///
    /// A state in memory may be old. Newer events are read from the log, and the append checks the
    /// version.
    ///
    /// # Errors
    /// [`RepositoryError`]. An aggregate without events is not an error.
    pub async fn load<A: Aggregate>(
        &self,
        epoch: Epoch,
        id: Uuid,
    ) -> Result<Loaded<A>, RepositoryError> {
        let current = self.states.load::<State<A>>(&stream_of::<A>(id)?, epoch).await?;
        Ok(Loaded::of(id, current))
    }

    /// Waits for this command's turn on an aggregate.
    ///
    /// # Errors
    /// [`RepositoryError`] if too many commands wait, or the wait takes too long.
    pub(crate) async fn turn<A: Aggregate>(&self, id: Uuid) -> Result<Turn, RepositoryError> {
        self.lines.turn(stream_of::<A>(id)?).await
    }

    /// Loads an aggregate as the commands before this turn will leave it.
    ///
    /// # Errors
    /// [`RepositoryError`]. An aggregate without events is not an error.
    pub(crate) async fn load_with_turn<A: Aggregate>(
        &self,
        turn: &mut Turn,
        epoch: Epoch,
        id: Uuid,
    ) -> Result<Loaded<A>, RepositoryError> {
        if let Some(ahead) = turn.ahead::<State<A>>(epoch, &self.states).await? {
            return Ok(Loaded::in_turn(id, ahead, true));
        }
        let current = self.states.load::<State<A>>(&stream_of::<A>(id)?, epoch).await?;
        Ok(Loaded::in_turn(id, current, false))
    }

    /// Loads an aggregate as it was at an earlier time.
    ///
    /// # Errors
    /// [`RepositoryError`]. An aggregate without events is not an error.
    pub async fn load_as_of<A: Aggregate>(
        &self,
        id: Uuid,
        as_of: AsOf,
    ) -> Result<Loaded<A>, RepositoryError> {
        let current = self
            .states
            .load_as_of::<State<A>>(&stream_of::<A>(id)?, self.epoch().await?, as_of)
            .await?;
        Ok(Loaded::of(id, current))
    }

    /// Appends the changes, all or none, in the epoch in which they were decided. With an
    /// idempotency key it does so only once.
    ///
    /// # Errors
    /// [`RepositoryError::Store`]. A refusal is an outcome, not an error.
    pub async fn append(
        &self,
        epoch: Epoch,
        changes: Changes,
        idempotency: Option<Idempotency>,
    ) -> Result<AppendOutcome, RepositoryError> {
        self.append_all(epoch, changes.append, idempotency).await
    }

    /// Appends what several commands decided in this epoch, all or nothing.
    ///
    /// # Errors
    /// The same errors as [`Repository::append`].
    pub(crate) async fn append_all(
        &self,
        epoch: Epoch,
        append: Append,
        idempotency: Option<Idempotency>,
    ) -> Result<AppendOutcome, RepositoryError> {
        let append = Append { idempotency, epoch: Some(epoch), ..append };
        let leaving = departures::leaving(&append);
        let leave = self.let_leave(&leaving).await?;
        let outcome = self.states.log().append(append).await?;
        drop(leave);
        match &outcome {
            AppendOutcome::Appended(_) => self.tell(leaving),
            AppendOutcome::Refused(refusal) => self.learn(refusal),
            AppendOutcome::Repeated { .. } => {}
        }
        Ok(outcome)
    }

    /// Appends like [`Repository::append`], and lets the next command on each aggregate decide
    /// while the append is in flight.
    ///
    /// # Errors
    /// The same errors as [`Repository::append`].
    pub(crate) async fn append_in_turn(
        &self,
        epoch: Epoch,
        mut changes: Changes,
        idempotency: Option<Idempotency>,
        turns: Vec<Turn>,
    ) -> Result<AppendOutcome, RepositoryError> {
        let mut leaves = std::mem::take(&mut changes.leaves);
        let mut append = pin!(self.append(epoch, changes, idempotency));
        // The store takes appends in the order of their first poll.
        let answered = futures::poll!(append.as_mut());
        let links: Vec<_> = turns
            .into_iter()
            .map(|turn| {
                // An aggregate without changes stays as it is.
                let left = leaves.remove(turn.stream()).unwrap_or(Leaves::Same);
                turn.pass_on(epoch, left)
            })
            .collect();
        let outcome = match answered {
            std::task::Poll::Ready(outcome) => outcome,
            std::task::Poll::Pending => append.await,
        };
        for link in links {
            link.settle(&outcome, &self.states);
        }
        outcome
    }

    /// Checks whether the changes would be refused now. Nothing is appended.
    ///
    /// # Errors
    /// [`RepositoryError::Store`] if the store cannot be asked.
    pub async fn check(
        &self,
        epoch: Epoch,
        changes: &Changes,
    ) -> Result<Option<Refusal>, RepositoryError> {
        self.check_all(epoch, changes.append.clone()).await
    }

    /// Checks like [`Repository::check`] for what several commands decided in this epoch.
    ///
    /// # Errors
    /// The same errors as [`Repository::check`].
    pub(crate) async fn check_all(
        &self,
        epoch: Epoch,
        append: Append,
    ) -> Result<Option<Refusal>, RepositoryError> {
        let append = Append { epoch: Some(epoch), ..append };
        self.let_leave(&departures::leaving(&append)).await?;
        let refusal = self.states.log().check(&append).await?;
        if let Some(refusal) = &refusal {
            self.learn(refusal);
        }
        Ok(refusal)
    }

    /// Looks up the outcome of an earlier append with the same idempotency key.
    ///
    /// # Errors
    /// [`RepositoryError::Store`] if the store cannot be asked.
    pub async fn repeated(
        &self,
        idempotency: &Idempotency,
    ) -> Result<Option<AppendOutcome>, RepositoryError> {
        Ok(self.states.log().store().repeated(idempotency).await?)
    }

    /// Looks up the stream that holds a unique value.
    ///
    /// # Errors
    /// [`RepositoryError::Store`] if the store cannot be asked.
    pub async fn reservation_owner(
        &self,
        reserved: &ReservedValue,
    ) -> Result<Option<StreamName>, RepositoryError> {
        let store = self.states.log().store();
        let owners = store.reservation_owners(std::slice::from_ref(reserved)).await?;
        Ok(owners.into_iter().next().flatten())
    }

    /// Who made an aggregate: the actor of the first event of its stream.
    ///
    /// # Errors
    /// [`RepositoryError`] if the store cannot be asked.
    pub async fn maker<A: Aggregate>(&self, id: Uuid) -> Result<Option<String>, RepositoryError> {
        let store = self.states.log().store();
        let first = store.read_stream(&stream_of::<A>(id)?, Version::NONE, 1).await?;
        Ok(first.into_iter().next().and_then(|event| event.metadata.actor))
    }

    fn tell(&self, departed: Vec<Uuid>) {
        if let Some(departures) = &self.departures {
            for user in departed {
                departures.departed(user);
            }
        }
    }

    async fn read_epoch(&self) -> Result<Epoch, RepositoryError> {
        let epoch = self.states.log().store().head().await?.epoch;
        self.set_epoch(epoch);
        Ok(epoch)
    }

    /// Changes to another epoch, if a refusal names one.
    fn learn(&self, refusal: &Refusal) {
        if let Refusal::Epoch { actual } = refusal {
            // States in memory belong to the other epoch. They would not be found under the new
            // one, and only take room.
            self.states.cache().clear();
            match &self.erasure_gate {
                Some(erasure_gate) => erasure_gate.met(*actual),
                None => self.set_epoch(*actual),
            }
        }
    }

    fn known_epoch(&self) -> Option<Epoch> {
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_epoch(&self, epoch: Epoch) {
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner) = Some(epoch);
    }
}
