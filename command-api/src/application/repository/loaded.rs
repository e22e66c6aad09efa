//! A loaded aggregate: the state for decisions, and the stream version that its append expects.

use domain::aggregate::Aggregate;
use event_store::stream::Version;
use event_store::{Current, ExpectedVersion, NewEvent, Position, StateError};
use uuid::Uuid;

use super::RepositoryError;
use super::line::{Leaves, Next};
use super::state::State;

/// An aggregate in the state in which it was loaded.
#[derive(Debug, Clone)]
pub struct Loaded<A> {
    /// The aggregate's id.
    pub id: Uuid,
    /// The aggregate's state; the default one if it has no events.
    pub state: A,
    /// The version of the aggregate's stream.
    pub version: Version,
    /// The position up to which it has every stored event of its stream.
    pub seen: Position,
    /// More information, if the aggregate was loaded in turn.
    in_turn: Option<InTurn>,
}

/// The place of an aggregate in its stream, if it was loaded in turn.
#[derive(Debug, Clone)]
struct InTurn {
    place: Current<()>,
    /// Whether its last event is still in flight.
    is_ahead: bool,
}

impl<A: Aggregate> Loaded<A> {
    /// An aggregate without events.
    pub fn absent(id: Uuid) -> Self {
        Self {
            id,
            state: A::default(),
            version: Version::NONE,
            seen: Position::START,
            in_turn: None,
        }
    }

    pub(super) fn of(id: Uuid, current: Current<State<A>>) -> Self {
        let (version, seen) = (current.version, current.seen);
        Self { id, state: current.state.0, version, seen, in_turn: None }
    }

    pub(super) fn in_turn(id: Uuid, current: Current<State<A>>, is_ahead: bool) -> Self {
        let place = current.clone().with(());
        Self { in_turn: Some(InTurn { place, is_ahead }), ..Self::of(id, current) }
    }

    /// Decides several commands in a row, each on the state that the one before leaves.
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

    /// The aggregate after these events, which are not stored yet.
    ///
    /// # Errors
    /// An event cannot be read back.
    pub(crate) fn followed_by(self, events: &[NewEvent]) -> Result<Self, RepositoryError> {
        let position = self.seen;
        let State(state) = State(self.state)
            .followed_by(events)
            .map_err(|source| StateError::Apply { position, source })?;
        let version = events.iter().fold(self.version, |version, _| Version(version.0 + 1));
        Ok(Self { state, version, ..self })
    }

    pub(super) const fn expected(&self) -> ExpectedVersion {
        match (&self.in_turn, self.version) {
            (Some(InTurn { place, is_ahead: true }), _) => place.behind(),
            (_, Version::NONE) => ExpectedVersion::NoStream,
            (_, version) => ExpectedVersion::Exact(version),
        }
    }

    /// The state in which these events leave the aggregate.
    pub(super) fn leaves(&self, events: &[NewEvent]) -> Leaves {
        let Some(InTurn { place, .. }) = &self.in_turn else { return Leaves::Unknown };
        if events.is_empty() {
            return Leaves::Same;
        }
        // If an event cannot be read here, the next command finds the error when it reads the log.
        match State(self.state.clone()).followed_by(events) {
            Ok(state) => Leaves::State(Next::of(place.followed_by((), events).with(state))),
            Err(_) => Leaves::Unknown,
        }
    }
}
