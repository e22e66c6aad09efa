//! Loads aggregates from their streams and turns what they decide into appends: the one place where
//! `domain` meets `event-store`.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use domain::aggregate::{Aggregate, DomainEvent, UnreadableEvent};
use event_store::registry::InvalidRegistry;
use event_store::stream::Version;
use event_store::{
    Append, AppendCondition, AppendOutcome, AsOf, CacheLimits, Current, Epoch, EventQuery,
    EventType, ExpectedVersion, Idempotency, InvalidName, Metadata, NewEvent, Position, QueryItem,
    Refusal, Registry, ReservationChange, StateLoader, StoreError, StreamAppend, StreamName, Tag,
    Unreadable, UpcastingError, UpcastingLog,
};
use uuid::Uuid;

mod line;
mod state;

use crate::erasure_gate::ErasureGate;
pub use line::MAX_IN_LINE;
pub(crate) use line::Turn;
use line::{Leaves, Lines, Next};
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
    /// The history that this process has read last: an append is refused when the log has become
    /// another one meanwhile.
    epoch: Mutex<Option<Epoch>>,
    /// Who says which history that is, where it is not for this process alone to find out.
    erasure_gate: Option<ErasureGate>,
}

/// Why a stream could not be loaded or an append not be made.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The store gave no outcome.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored event is of a version that this program does not know, or not of the shape of its
    /// version.
    #[error(transparent)]
    Unknown(#[from] Unreadable),
    /// An event of a known version does not have its shape.
    #[error("the event at position {position} cannot be read")]
    Unreadable {
        /// Where.
        position: Position,
        /// Why.
        #[source]
        source: UnreadableEvent,
    },
    /// A stream has an event of a type that its aggregate does not know.
    #[error(
        "the event at position {position} has type {event_type}, which is not one of its stream's"
    )]
    Foreign {
        /// Where.
        position: Position,
        /// Its type.
        event_type: EventType,
    },
    /// A new event cannot be written as JSON.
    #[error("a new event cannot be written as JSON")]
    Encode(#[from] serde_json::Error),
    /// Too many commands on one aggregate wait for their turn, or one waited too long.
    #[error("too many commands wait for their turn on one aggregate")]
    Crowded,
    /// A stream, a type or a tag has a name that the store does not take.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl From<UpcastingError> for RepositoryError {
    fn from(error: UpcastingError) -> Self {
        match error {
            UpcastingError::Store(error) => Self::Store(error),
            UpcastingError::Unreadable(unreadable) => Self::Unknown(unreadable),
        }
    }
}

/// An aggregate as it was when it was loaded.
#[derive(Debug, Clone)]
pub struct Loaded<A> {
    /// Which.
    pub id: Uuid,
    /// Its state; the default one when it has no events.
    pub state: A,
    /// The version of its stream.
    pub version: Version,
    /// The position of its last event; of the last one that is stored, where it was loaded in turn.
    pub position: Position,
    /// What else is known of it when it was loaded in turn.
    in_turn: Option<InTurn>,
}

/// Where in its stream an aggregate stands that was loaded in turn.
#[derive(Debug, Clone)]
struct InTurn {
    place: Current<()>,
    /// Whether its last event is still on its way.
    is_ahead: bool,
}

impl<A: Aggregate> Loaded<A> {
    /// One that nothing has happened to yet.
    pub fn absent(id: Uuid) -> Self {
        Self {
            id,
            state: A::default(),
            version: Version::NONE,
            position: Position::START,
            in_turn: None,
        }
    }

    fn of(id: Uuid, current: Current<State<A>>) -> Self {
        let (version, position) = (current.version, current.last.position);
        Self { id, state: current.state.0, version, position, in_turn: None }
    }

    fn in_turn(id: Uuid, current: Current<State<A>>, is_ahead: bool) -> Self {
        let place = current.clone().with(());
        Self { in_turn: Some(InTurn { place, is_ahead }), ..Self::of(id, current) }
    }

    /// What follows from several commands, each meeting the state that the one before led to.
    ///
    /// # Errors
    /// The first refusal.
    pub fn decide(
        &self,
        commands: impl IntoIterator<Item = A::Command>,
    ) -> Result<Vec<A::Event>, A::Error> {
        let (mut state, mut events) = (self.state.clone(), Vec::new());
        for command in commands {
            let decided = state.decide(command)?;
            state = decided.iter().cloned().fold(state, A::evolve);
            events.extend(decided);
        }
        Ok(events)
    }

    const fn expected(&self) -> ExpectedVersion {
        match (&self.in_turn, self.version) {
            (Some(InTurn { place, is_ahead: true }), _) => place.behind(),
            (_, Version::NONE) => ExpectedVersion::NoStream,
            (_, version) => ExpectedVersion::Exact(version),
        }
    }

    /// What these events leave it as.
    fn leaves(&self, events: &[NewEvent]) -> Leaves {
        let Some(InTurn { place, .. }) = &self.in_turn else { return Leaves::Unknown };
        if events.is_empty() {
            return Leaves::Same;
        }
        // What cannot be read is said when it is read from the log: by the next one that is
        // decided.
        match State(self.state.clone()).followed_by(events) {
            Ok(state) => Leaves::State(Next::of(place.followed_by((), events).with(state))),
            Err(_) => Leaves::Unknown,
        }
    }
}

/// What a command changes: events of its aggregate, what must still hold elsewhere, and the unique
/// values it takes or gives back.
#[derive(Debug)]
pub struct Changes {
    id: Uuid,
    append: Append,
    leaves: Leaves,
}

impl Changes {
    /// `events` happen to the aggregate, unless something else has happened to it since it was
    /// loaded.
    ///
    /// # Errors
    /// [`RepositoryError::Encode`], [`RepositoryError::Name`].
    pub fn to<A: Aggregate>(
        loaded: &Loaded<A>,
        events: &[A::Event],
        metadata: &Metadata,
    ) -> Result<Self, RepositoryError> {
        let events =
            events.iter().map(|event| new_event(event, metadata)).collect::<Result<Vec<_>, _>>()?;
        let leaves = loaded.leaves(&events);
        let stream = stream_of::<A>(loaded.id)?;
        let append = Append {
            streams: vec![StreamAppend { stream, expected: loaded.expected(), events }],
            ..Append::default()
        };
        Ok(Self { id: loaded.id, append, leaves })
    }

    /// Only if no event of this type happened to `other` since it was loaded.
    ///
    /// # Errors
    /// [`RepositoryError::Name`].
    pub fn unless<A: Aggregate>(
        mut self,
        event_type: &str,
        other: &Loaded<A>,
    ) -> Result<Self, RepositoryError> {
        let item = QueryItem {
            types: vec![event_type.parse()?],
            tags: vec![Tag::new(A::Event::CATEGORY, other.id)?],
        };
        self.append.conditions.push(AppendCondition {
            query: EventQuery { items: vec![item] },
            after: other.position,
        });
        Ok(self)
    }

    /// Takes or gives back unique values.
    #[must_use]
    pub fn reserving(mut self, reservations: impl IntoIterator<Item = ReservationChange>) -> Self {
        self.append.reservations.extend(reservations);
        self
    }

    /// Every event, with the stream that it would be appended to.
    pub fn events(&self) -> impl Iterator<Item = (&StreamName, &NewEvent)> {
        self.append
            .streams
            .iter()
            .flat_map(|stream| stream.events.iter().map(move |event| (&stream.stream, event)))
    }

    /// Which aggregate changes.
    pub const fn id(&self) -> Uuid {
        self.id
    }
}

/// The stream of an aggregate.
///
/// # Errors
/// [`InvalidName`], when the aggregate's category is not one.
pub fn stream_of<A: Aggregate>(id: Uuid) -> Result<StreamName, InvalidName> {
    StreamName::new(A::Event::CATEGORY, id)
}

fn new_event<E: DomainEvent>(event: &E, metadata: &Metadata) -> Result<NewEvent, RepositoryError> {
    let new = NewEvent::json(
        event.event_type().parse()?,
        event.schema_version(),
        event,
        metadata.clone(),
    )?;
    event
        .tags()
        .into_iter()
        .try_fold(new, |new, (key, value)| Ok(new.tagged(Tag::new(key, value)?)))
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

    /// Works only in the history that is erasure_gate.
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
