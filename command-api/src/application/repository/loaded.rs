//! An aggregate as it was loaded: what commands are decided on, and what an append of their events
//! expects of its stream.

use domain::aggregate::Aggregate;
use event_store::stream::Version;
use event_store::{Current, ExpectedVersion, NewEvent, Position};
use uuid::Uuid;

use super::line::{Leaves, Next};
use super::state::State;

/// An aggregate as it was when it was loaded.
#[derive(Debug, Clone)]
pub struct Loaded<A> {
    /// The aggregate's id.
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

    pub(super) fn of(id: Uuid, current: Current<State<A>>) -> Self {
        let (version, position) = (current.version, current.last.position);
        Self { id, state: current.state.0, version, position, in_turn: None }
    }

    pub(super) fn in_turn(id: Uuid, current: Current<State<A>>, is_ahead: bool) -> Self {
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

    pub(super) const fn expected(&self) -> ExpectedVersion {
        match (&self.in_turn, self.version) {
            (Some(InTurn { place, is_ahead: true }), _) => place.behind(),
            (_, Version::NONE) => ExpectedVersion::NoStream,
            (_, version) => ExpectedVersion::Exact(version),
        }
    }

    /// What these events leave it as.
    pub(super) fn leaves(&self, events: &[NewEvent]) -> Leaves {
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
