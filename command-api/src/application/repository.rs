//! Loads aggregates from their streams and turns what they decide into appends: the one place where
//! `domain` meets `event-store`.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use domain::aggregate::Aggregate;
use event_store::registry::InvalidRegistry;
use event_store::{
    Append, AppendOutcome, AsOf, CacheLimits, Epoch, Idempotency, Refusal, Registry, StateLoader,
    UpcastingLog,
};
use uuid::Uuid;

mod changes;
mod error;
mod line;
mod loaded;
mod state;

use crate::application::erasure_gate::ErasureGate;
pub use changes::{Changes, stream_of};
pub use error::RepositoryError;
pub use line::MAX_IN_LINE;
pub(crate) use line::Turn;
use line::{Leaves, Lines};
pub use loaded::Loaded;
use state::State;

/// Every shape in which an event of the shop was ever written.
///
/// # Errors
/// [`InvalidRegistry`]: a former version has no upcaster.
pub fn registry() -> Result<Registry, InvalidRegistry> {
    Registry::new(domain::history::current(), domain::history::PAST.iter().copied())
}

/// The streams of the aggregates.
pub struct Repository {
    states: StateLoader,
    lines: Lines,
    /// The epoch that this process read last. An append is refused when the log has another epoch
    /// by then.
    epoch: Mutex<Option<Epoch>>,
    /// Names the epoch to work in, where this process does not find it out alone.
    erasure_gate: Option<ErasureGate>,
}

impl Repository {
    /// The repository over a log, with a cache of aggregates used last.
    pub fn new(log: UpcastingLog) -> Self {
        Self::over(StateLoader::new(log, CacheLimits::default()))
    }

    /// The repository over whatever loads states.
    pub fn over(states: StateLoader) -> Self {
        Self { states, lines: Lines::default(), epoch: Mutex::new(None), erasure_gate: None }
    }

    /// Works only in the history that the erasure gate names.
    #[must_use]
    pub fn only_in(self, erasure_gate: ErasureGate) -> Self {
        Self { erasure_gate: Some(erasure_gate), ..self }
    }

    /// The history that this process works on: states are loaded, and changes appended, in this one
    /// or not at all.
    ///
    /// # Errors
    /// [`RepositoryError::Store`].
    pub async fn epoch(&self) -> Result<Epoch, RepositoryError> {
        if let Some(erasure_gate) = &self.erasure_gate {
            return Ok(erasure_gate.epoch().await?);
        }
        match self.known_epoch() {
            Some(epoch) => Ok(epoch),
            None => self.read_epoch().await,
        }
    }

    /// An aggregate as its stream says now. What is in memory may be old: what is newer is read,
    /// and the append checks the version.
    ///
    /// # Errors
    /// [`RepositoryError`]; an aggregate without events is no error.
    pub async fn load<A: Aggregate>(
        &self,
        epoch: Epoch,
        id: Uuid,
    ) -> Result<Loaded<A>, RepositoryError> {
        let current = self.states.load::<State<A>>(&stream_of::<A>(id)?, epoch).await?;
        Ok(Loaded::of(id, current))
    }

    /// An aggregate as the commands before will leave it, once it is this one's turn to change it.
    ///
    /// # Errors
    /// [`RepositoryError`]; an aggregate without events is no error.
    pub(crate) async fn load_in_turn<A: Aggregate>(
        &self,
        epoch: Epoch,
        id: Uuid,
    ) -> Result<(Turn, Loaded<A>), RepositoryError> {
        let mut turn = self.lines.turn(stream_of::<A>(id)?).await?;
        if let Some(ahead) = turn.ahead::<State<A>>(epoch, &self.states).await? {
            return Ok((turn, Loaded::in_turn(id, ahead, true)));
        }
        let current = self.states.load::<State<A>>(&stream_of::<A>(id)?, epoch).await?;
        Ok((turn, Loaded::in_turn(id, current, false)))
    }

    /// An aggregate as it was then.
    ///
    /// # Errors
    /// [`RepositoryError`]; an aggregate without events is no error.
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

    /// Makes the changes, all or none, in the history in which they were decided; with an
    /// idempotency key, once.
    ///
    /// # Errors
    /// [`RepositoryError::Store`]; a refusal is an outcome.
    pub async fn append(
        &self,
        epoch: Epoch,
        changes: Changes,
        idempotency: Option<Idempotency>,
    ) -> Result<AppendOutcome, RepositoryError> {
        let outcome = self
            .states
            .log()
            .append(Append { idempotency, epoch: Some(epoch), ..changes.append })
            .await?;
        if let AppendOutcome::Refused(refusal) = &outcome {
            self.learn(refusal);
        }
        Ok(outcome)
    }

    /// As [`Repository::append`], in turn: the next command on the aggregate is decided as soon as
    /// the append is on its way.
    ///
    /// # Errors
    /// As [`Repository::append`].
    pub(crate) async fn append_in_turn(
        &self,
        epoch: Epoch,
        mut changes: Changes,
        idempotency: Option<Idempotency>,
        turn: Turn,
    ) -> Result<AppendOutcome, RepositoryError> {
        let leaves = std::mem::replace(&mut changes.leaves, Leaves::Unknown);
        let mut append = pin!(self.append(epoch, changes, idempotency));
        // The store takes appends in the order in which they are polled first.
        let answered = futures::poll!(append.as_mut());
        let link = turn.pass_on(epoch, leaves);
        let outcome = match answered {
            std::task::Poll::Ready(outcome) => outcome,
            std::task::Poll::Pending => append.await,
        };
        link.settle(&outcome, &self.states);
        outcome
    }

    /// What would refuse the changes now. Nothing is appended.
    ///
    /// # Errors
    /// [`RepositoryError::Store`].
    pub async fn check(
        &self,
        epoch: Epoch,
        changes: &Changes,
    ) -> Result<Option<Refusal>, RepositoryError> {
        let append = Append { epoch: Some(epoch), ..changes.append.clone() };
        let refusal = self.states.log().check(&append).await?;
        if let Some(refusal) = &refusal {
            self.learn(refusal);
        }
        Ok(refusal)
    }

    /// What came of an earlier append under the same idempotency key.
    ///
    /// # Errors
    /// [`RepositoryError::Store`].
    pub async fn repeated(
        &self,
        idempotency: &Idempotency,
    ) -> Result<Option<AppendOutcome>, RepositoryError> {
        Ok(self.states.log().store().repeated(idempotency).await?)
    }

    async fn read_epoch(&self) -> Result<Epoch, RepositoryError> {
        let epoch = self.states.log().store().head().await?.epoch;
        self.set_epoch(epoch);
        Ok(epoch)
    }

    /// Goes over to another history when a refusal tells of it.
    fn learn(&self, refusal: &Refusal) {
        if let Refusal::Epoch { actual } = refusal {
            // What is in memory is of the other history. It would not be found under the new epoch,
            // and takes room.
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
