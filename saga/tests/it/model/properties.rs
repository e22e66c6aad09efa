//! The properties that must hold in every state, and the states that must be reachable, so that the
//! properties are not trivially true.

use saga::instance::{Instance, Leg, Part, Status, StepState};
use stateright::Property;

use super::Whole;
use super::heal::Verdict;
use super::judge::Fault;
use super::state::{Driver, Effect, State};

pub(super) type Predicate = fn(&Whole, &State) -> bool;

pub(super) const ONCE: &str = "no step takes effect twice, and a call keeps its key";
pub(super) const FOLLOWS: &str = "an append follows what it was decided on";
pub(super) const AGAIN: &str = "an attempt is asked for once, and ends once";
pub(super) const TIMERS: &str = "a timer fires once, when it is due";
pub(super) const FIRST: &str = "a call is in the log before it is made";
pub(super) const COMPLETED: &str = "completed: each step took effect once, and none is undone";
pub(super) const COMPENSATED: &str = "compensated: nothing that took effect is left at last";
pub(super) const ENDS: &str = "I11: from here it ends completed or compensated without help";

/// What always holds.
pub(super) const ALWAYS: &[(&str, Predicate)] = &[
    (ONCE, effects_take_place_once),
    (FOLLOWS, |_, state| !state.faults.contains(&Fault::Blind)),
    (AGAIN, |_, state| !state.faults.contains(&Fault::Again)),
    (TIMERS, |_, state| !state.faults.contains(&Fault::Timer)),
    (FIRST, |_, state| !state.faults.contains(&Fault::Unasked)),
    (COMPLETED, completed_is_complete),
    (COMPENSATED, |whole, state| whole.healed(state) != Verdict::EffectsLeft),
    (ENDS, |whole, state| !matches!(whole.healed(state), Verdict::Stuck | Verdict::Endless)),
];

/// What is reachable.
pub(super) const SOMETIMES: &[(&str, Predicate)] = &[
    ("it completes", |_, state| state.stream.status() == Status::Completed),
    ("it is compensated", |_, state| state.stream.status() == Status::Compensated),
    ("it is parked", |_, state| state.stream.status() == Status::Parked),
    ("nobody knows whether a step took effect", |_, state| {
        any_step(&state.stream.instance, |step| {
            matches!(step.action, Leg::Failed { certain: false, .. })
        })
    }),
    ("a step succeeds after it was compensated", |_, state| {
        any_step(&state.stream.instance, |step| step.rounds > 0)
    }),
    ("a step succeeds while it is compensated", |_, state| {
        any_step(&state.stream.instance, |step| step.again)
    }),
    ("two drivers are at work, one of them with an old state", |_, state| {
        let version = |driver: &Driver| match driver {
            Driver::Driving(_, loaded) => Some(loaded.version),
            _ => None,
        };
        let [a, b] = &state.drivers;
        version(a).zip(version(b)).is_some_and(|(a, b)| a != b)
    }),
    ("a driver is overtaken", |_, state| state.overtaken),
    ("a step is called again after it took effect", |_, state| {
        state.stream.instance.steps.iter().any(|(name, step)| {
            let is_again = matches!(step.action, Leg::Requested { attempt: 2, .. });
            is_again && state.effect(name).made > 0
        })
    }),
    ("a signal waits while a driver is at work", |_, state| {
        let busy = state.drivers.iter().any(|driver| matches!(driver, Driver::Driving(..)));
        busy && !state.signals.is_empty()
    }),
];

fn any_step(instance: &Instance, is: impl Fn(&StepState) -> bool) -> bool {
    instance.steps.values().any(is)
}

pub(super) fn all() -> Vec<Property<Whole>> {
    let always = ALWAYS.iter().map(|(name, property)| Property::always(name, *property));
    always
        .chain(SOMETIMES.iter().map(|(name, property)| Property::sometimes(name, *property)))
        .collect()
}

/// The other system is called with one key per action. A compensation gets another one only if its
/// step succeeded again.
fn effects_take_place_once(whole: &Whole, state: &State) -> bool {
    let keys = |step: &str, part| {
        let of_it = state.keys.iter().filter(|call| call.step == step && call.part == part);
        of_it.count()
    };
    whole.book.steps().all(|step| {
        let rounds = state.stream.instance.steps.get(step).map_or(0, |step| step.rounds);
        state.effect(step).made <= 1
            && keys(step, Part::Action) <= 1
            && keys(step, Part::Compensation) <= 1 + rounds as usize
    })
}

fn completed_is_complete(whole: &Whole, state: &State) -> bool {
    state.stream.status() != Status::Completed || is_complete(whole, state)
}

pub(super) fn is_complete(whole: &Whole, state: &State) -> bool {
    whole.book.steps().all(|step| state.effect(step) == Effect { made: 1, undone: 0 })
}
