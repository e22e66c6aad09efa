//! Continues from a state without any more faults. Each state on the way is one that the checker
//! meets, too, so its verdict is kept, and each state costs one step.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use saga::instance::Status;

use super::book::Time;
use super::driver::{Log, must_append};
use super::properties::is_complete;
use super::state::{Driver, Due, Request, State};
use super::{Action, Mood, Whole, tables};

/// How a run without faults ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Completed or compensated, with nothing left to do.
    Ends,
    /// Completed without all effects, or compensated with some.
    EffectsLeft,
    /// Nobody has anything to do, and it has not ended, or something waits that nobody takes.
    Stuck,
    /// It goes on and on.
    Endless,
}

/// More than enough steps to end, with a compensation that is retried by a person.
const MOST_STEPS: usize = 150;

#[derive(Default)]
pub(super) struct Verdicts(Mutex<HashMap<u64, Verdict>>);

impl Whole {
    /// How a run without faults from here ends.
    pub(super) fn healed(&self, state: &State) -> Verdict {
        let mut known = self.verdicts.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut state, mut way) = (state.clone(), Vec::new());
        let verdict = loop {
            let print = print(&state);
            if let Some(verdict) = known.get(&print) {
                break *verdict;
            }
            way.push(print);
            match self.well(&state) {
                Some(_) if way.len() > MOST_STEPS => break Verdict::Endless,
                Some(action) => {
                    if self.step(&mut state, action).is_none() {
                        break Verdict::Stuck;
                    }
                }
                None => break self.verdict(&state),
            }
        };
        known.extend(way.into_iter().map(|print| (print, verdict)));
        verdict
    }

    fn verdict(&self, state: &State) -> Verdict {
        let is_left = |step| {
            let effect = state.effect(step);
            effect.made != effect.undone
        };
        match state.stream.status() {
            _ if state.row.is_some() || !state.signals.is_empty() => Verdict::Stuck,
            Status::Completed if is_complete(self, state) => Verdict::Ends,
            Status::Compensated if !self.book.steps().any(is_left) => Verdict::Ends,
            Status::Completed | Status::Compensated => Verdict::EffectsLeft,
            _ => Verdict::Stuck,
        }
    }

    /// The next step without a fault: the drivers go on, the others answer, time passes, and a
    /// person has a parked saga go on.
    pub(super) fn well(&self, state: &State) -> Option<Action> {
        let drivers = || state.drivers.iter().enumerate();
        drivers()
            .find_map(|(who, driver)| self.next_of(state, who, driver))
            .or_else(|| state.network.first().map(|request| Action::Lose(*request)))
            .or_else(|| state.accepted.first().map(|call| Action::Settle(*call, true)))
            .or_else(|| state.unwritten.map(|_| Action::Write))
            .or_else(|| (!state.is_folded()).then_some(Action::Fold))
            .or_else(|| tables::is_stray(state).then_some(Action::Sweep))
            .or_else(|| tables::is_claimable(state, self.mutant).then_some(Action::Claim(0)))
            .or_else(|| next_time(state).map(|_| Action::Pass))
            .or_else(|| (state.stream.status() == Status::Parked).then_some(Action::Resume))
    }

    fn next_of(&self, state: &State, who: usize, driver: &Driver) -> Option<Action> {
        match driver {
            Driver::Idle => None,
            Driver::Claimed(_) => Some(Action::Load(who)),
            Driver::Rested(..) => Some(Action::Release(who)),
            Driver::Driving(_, loaded) if !loaded.calls.is_empty() => {
                if must_append(loaded, self.mutant) {
                    return Some(Action::Append(who, Log::Answers));
                }
                let of_it = |request: &&Request| request.who == Some(who);
                let request = state.network.iter().find(of_it)?;
                Some(Action::Arrive(*request, Mood::Well))
            }
            Driver::Driving(_, loaded) if loaded.is_inside() => {
                Some(Action::Inside(who, Log::Answers))
            }
            Driver::Driving(..) => Some(Action::Append(who, Log::Answers)),
        }
    }
}

/// When the next timer fires that is not due yet.
pub(super) fn next_time(state: &State) -> Option<Time> {
    let row = state.row.as_ref().and_then(|row| match row.due {
        Due::At(at) => Some(at),
        Due::Never | Due::Someday => None,
    });
    row.into_iter().chain(state.stream.due_at).filter(|at| *at > state.clock).min()
}

fn print(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}
