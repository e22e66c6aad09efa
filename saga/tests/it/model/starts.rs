//! Where the checker begins: at the beginning, and in the middle of what rarely happens. Each start
//! is reached by the model's own steps.

use saga::instance::{Part, Status};

use super::state::{Budget, Driver, Request, State};
use super::{Action, Mood, Whole};

/// More than enough steps between two points.
const MOST_STEPS: usize = 100;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// It is wanted.
    Fresh,
    /// A step outside is being called.
    Calling,
    /// The driver that calls the step has lost its lease.
    TwoOwners,
    /// The step was accepted, and its outcome comes later.
    Accepted,
    /// It was canceled, and the step is being undone.
    Undoing,
    /// The compensation was refused.
    Parked,
    /// The step is being undone, and its call is still on its way.
    Crossing,
    /// The same, after it was undone, when the fold does not know it yet.
    Ending,
    /// The same, when all know it.
    Late,
}

impl Start {
    pub(super) const ALL: [Self; 9] = [
        Self::Fresh,
        Self::Calling,
        Self::TwoOwners,
        Self::Accepted,
        Self::Undoing,
        Self::Parked,
        Self::Crossing,
        Self::Ending,
        Self::Late,
    ];
}

impl Whole {
    /// The state at that point.
    pub(super) fn at(&self, start: Start, left: Budget) -> State {
        let state = match start {
            Start::Fresh => State::new(&self.book, left),
            Start::Calling => self.calling(),
            Start::TwoOwners => self.after(self.calling(), |_| Action::LoseLease(0)),
            Start::Accepted => {
                let accepted = self.after(self.calling(), |state| arrives(state, Mood::Accepts));
                self.until(accepted, is_at_rest)
            }
            Start::Undoing => self.undoing(),
            Start::Parked => {
                let refused = self.after(self.undoing(), |state| arrives(state, Mood::Rejects));
                self.until(refused, |state| has(state, Status::Parked) && is_at_rest(state))
            }
            Start::Crossing => self.until(self.late(), is_undoing),
            Start::Ending => self.until(self.late(), |state| has(state, Status::Compensated)),
            Start::Late => self
                .until(self.late(), |state| has(state, Status::Compensated) && is_at_rest(state)),
        };
        State { left, overtaken: false, ..state }
    }

    fn calling(&self) -> State {
        let fresh = State::new(&self.book, Budget::default());
        self.until(fresh, |state| !state.network.is_empty())
    }

    fn undoing(&self) -> State {
        let done = self.after(self.calling(), |state| arrives(state, Mood::Well));
        self.until(self.after(done, |_| Action::Cancel), is_undoing)
    }

    /// Nobody waits for the call any more, and the instance was canceled.
    fn late(&self) -> State {
        let late = self.after(self.calling(), |state| Action::TimeOut(first(state)));
        self.after(late, |_| Action::Cancel)
    }

    fn after(&self, mut state: State, action: impl Fn(&State) -> Action) -> State {
        let action = action(&state);
        self.step(&mut state, action).unwrap();
        state
    }

    /// Continues without faults until it is there. What nobody waits for stays on its way.
    fn until(&self, mut state: State, is_there: impl Fn(&State) -> bool) -> State {
        for _ in 0..MOST_STEPS {
            if is_there(&state) {
                return state;
            }
            let mut seen = state.clone();
            seen.network.retain(|request| request.who.is_some());
            seen.accepted.clear();
            let action = self.well(&seen).unwrap();
            self.step(&mut state, action).unwrap();
        }
        panic!("it does not get there: {state:#?}");
    }
}

fn has(state: &State, status: Status) -> bool {
    state.stream.status() == status
}

fn is_at_rest(state: &State) -> bool {
    state.is_folded() && state.drivers.iter().all(|driver| *driver == Driver::Idle)
}

fn is_undoing(state: &State) -> bool {
    let undoes =
        |request: &Request| request.who.is_some() && request.call.part == Part::Compensation;
    state.network.iter().any(undoes)
}

fn first(state: &State) -> Request {
    *state.network.first().unwrap()
}

fn arrives(state: &State, mood: Mood) -> Action {
    Action::Arrive(first(state), mood)
}
