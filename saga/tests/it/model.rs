//! A model of a saga and its process managers. It is checked in every order of their steps: they
//! crash at every point, lose their lease while they go on, and lose the log's answers. The other
//! system's answers are lost, late or repeated, and calls arrive when nobody waits for them. Tables
//! are lost, timers fire, and people cancel.
//!
//! What the instance decides is not modelled: `book.rs` asks the engine's own code
//! (`saga::instance`), so a change of that code changes the model. The world around it is modelled:
//!
//! - `Fold`, `LoseTables`, `FoldAgain` (`work/fold.rs`, `intake.rs`): the fold of the log, one
//!   transaction with its checkpoint.
//! - `Claim`, `Release`, `Sweep`, `LoseLease` (`work/{claim,release}.rs`, `runner/judge.rs`): a
//!   driver takes the row with its signals and gives it back. Its lease may end while it goes on.
//! - `Load`, `Append`, `Inside` (`driver.rs`, `driver/{load,append,calls}.rs`): a driver loads the
//!   instance, decides in memory, appends before it calls, and appends an inside action's effect
//!   with its outcome. Each append names the version that it follows.
//! - `Arrive`, `TimeOut`, `Lose`, `Settle`, `Repeat`: calls of another system, which keeps the
//!   outcome of each idempotency key, and says in the log what it did later.
//! - `Crash`: a process ends; the log and the tables stay. `Pass`: time passes to the next timer.
//!
//! The model leaves out conflicts on the streams of inside actions, fresh definitions, limits, and
//! the fold's own lease: folding again is what an unfenced owner could do. One instance is enough,
//! because instances share nothing. Only the properties in `properties.rs` are checked.

use local_servers::test_run;
use saga::Definition;
use saga::instance::Status;
use stateright::{Checker, HasDiscoveries, Model, Property};

use self::book::{Book, Called, Reply, Said, Told};
use self::driver::Log;
use self::properties::{AGAIN, COMPENSATED, COMPLETED, ENDS, FIRST, FOLLOWS, ONCE, TIMERS};
use self::starts::Start;
use self::state::{Budget, Driver, GHOST, Request, State};

mod book;
mod driver;
mod heal;
mod judge;
mod outside;
mod properties;
mod starts;
mod state;
mod tables;

/// How a call of the other system goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    /// It fails before it did anything.
    Fails,
    /// It is done, and the answer is lost.
    LosesAnswer,
    Rejects,
    /// It is accepted, and done later.
    Accepts,
}

/// A step of one of the actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Fold,
    Write,
    LoseFold,
    LoseTables,
    FoldAgain,
    Claim(usize),
    Load(usize),
    Append(usize, Log),
    Inside(usize, Log),
    InsideFails(usize, Reply),
    Release(usize),
    LoseLease(usize),
    Crash(usize),
    Sweep,
    Arrive(Request, Mood),
    TimeOut(Request),
    Lose(Request),
    Settle(Called, bool),
    Repeat,
    Cancel,
    Resume,
    Pass,
}

/// A bug planted in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutant {
    /// The fold commits its checkpoint before its rows.
    CheckpointFirst,
    /// Each attempt has an idempotency key of its own.
    KeyPerAttempt,
    /// A compensation has the same key in every round.
    OneUndoKey,
    /// The append does not name the version that it follows.
    NoVersion,
    /// A timer's append does not name the version that it follows, so that an old owner fires it.
    OldTimer,
    /// A call is made before its request is in the log.
    CallFirst,
    /// An inside action's effect is appended apart from its outcome.
    EffectApart,
    /// A step whose outcome is not known is not compensated.
    ForgetsUnknown,
    /// A step that was accepted counts as done.
    PendingIsDone,
    /// A success that comes after the end is ignored.
    IgnoresLate,
    /// Signals are deleted when a driver takes them.
    HeardTooEarly,
    /// A driver that gives the instance back does not look at what came meanwhile.
    ReleaseDropsNews,
    /// The fold deletes the row of an ended instance with the signals that wait.
    EndDropsNews,
    /// Nobody respects the owner of a row. It is harmless, because appends name their version.
    NoLease,
}

struct Whole {
    book: Book,
    starts: Vec<Start>,
    budget: Budget,
    mutant: Option<Mutant>,
    verdicts: heal::Verdicts,
}

impl Model for Whole {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        self.starts.iter().map(|start| self.at(*start, self.budget)).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if !state.is_folded() {
            actions.push(if state.unwritten.is_some() { Action::Write } else { Action::Fold });
        }
        for who in 0..state.drivers.len() {
            self.actions_of(state, who, actions);
        }
        if tables::is_stray(state) {
            actions.push(Action::Sweep);
        }
        for request in &state.network {
            self.actions_on(state, *request, actions);
        }
        for call in &state.accepted {
            actions.push(Action::Settle(*call, true));
            if state.left.moods > 0 {
                actions.push(Action::Settle(*call, false));
            }
        }
        if heal::next_time(state).is_some() {
            actions.push(Action::Pass);
        }
        if state.left.faults > 0 {
            actions.extend([Action::LoseTables, Action::FoldAgain, Action::Repeat]);
            if state.unwritten.is_some() {
                actions.push(Action::LoseFold);
            }
        }
        if state.left.people > 0 {
            actions.push(Action::Cancel);
            if state.stream.status() == Status::Parked {
                actions.push(Action::Resume);
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        self.step(&mut state, action)?;
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

impl Whole {
    fn actions_of(&self, state: &State, who: usize, actions: &mut Vec<Action>) {
        let may_fail = state.left.faults > 0;
        match &state.drivers[who] {
            Driver::Idle if tables::is_claimable(state, self.mutant) => {
                actions.push(Action::Claim(who));
            }
            Driver::Idle => return,
            Driver::Claimed(_) => actions.push(Action::Load(who)),
            Driver::Rested(..) => actions.push(Action::Release(who)),
            Driver::Driving(_, loaded) if loaded.calls.is_empty() && loaded.is_inside() => {
                actions.push(Action::Inside(who, Log::Answers));
                if may_fail {
                    actions.push(Action::Inside(who, Log::Silent));
                }
                if state.left.moods > 0 {
                    let replies = [Reply::Rejected, Reply::Unavailable];
                    actions.extend(replies.map(|reply| Action::InsideFails(who, reply)));
                }
            }
            Driver::Driving(_, loaded) if driver::must_append(loaded, self.mutant) => {
                actions.push(Action::Append(who, Log::Answers));
                if may_fail {
                    actions.push(Action::Append(who, Log::Silent));
                }
            }
            Driver::Driving(..) => {}
        }
        if may_fail && state.drivers[who] != Driver::Idle {
            actions.push(Action::Crash(who));
            let is_owner = |row: &state::Row| row.driver == Some(tables::id_of(who));
            if state.row.as_ref().is_some_and(is_owner) {
                actions.push(Action::LoseLease(who));
            }
        }
    }

    fn actions_on(&self, state: &State, request: Request, actions: &mut Vec<Action>) {
        let Some(who) = request.who else {
            actions.extend([Action::Lose(request), Action::Arrive(request, Mood::Well)]);
            return;
        };
        if let Driver::Driving(_, loaded) = &state.drivers[who]
            && driver::must_append(loaded, self.mutant)
        {
            return;
        }
        actions.push(Action::Arrive(request, Mood::Well));
        if state.left.moods > 0 {
            let moods = [Mood::Fails, Mood::LosesAnswer, Mood::Rejects, Mood::Accepts];
            actions.extend(moods.map(|mood| Action::Arrive(request, mood)));
            actions.push(Action::TimeOut(request));
        }
    }

    fn step(&self, state: &mut State, action: Action) -> Option<()> {
        let Budget { faults, moods, people } = &mut state.left;
        match action {
            Action::LoseFold
            | Action::LoseTables
            | Action::FoldAgain
            | Action::LoseLease(_)
            | Action::Crash(_)
            | Action::Repeat
            | Action::Append(_, Log::Silent)
            | Action::Inside(_, Log::Silent) => *faults = faults.saturating_sub(1),
            Action::InsideFails(..) | Action::TimeOut(_) | Action::Settle(_, false) => {
                *moods = moods.saturating_sub(1);
            }
            Action::Arrive(_, mood) if mood != Mood::Well => *moods = moods.saturating_sub(1),
            Action::Cancel | Action::Resume => *people = people.saturating_sub(1),
            _ => {}
        }
        match action {
            Action::Fold => tables::fold(state, self.mutant),
            Action::Write => tables::write(state, state.unwritten?, self.mutant),
            Action::LoseFold => state.unwritten = None,
            Action::LoseTables => {
                (state.row, state.folded, state.unwritten) = (None, 0, None);
                state.signals.clear();
            }
            Action::FoldAgain => (state.folded, state.unwritten) = (0, None),
            Action::Claim(who) => tables::claim(state, who, self.mutant)?,
            Action::Load(who) => driver::load(self, state, who)?,
            Action::Append(who, log) => driver::append(self, state, who, log)?,
            Action::Inside(who, log) => driver::inside(self, state, who, log)?,
            Action::InsideFails(who, reply) => driver::inside_fails(self, state, who, reply)?,
            Action::Release(who) => tables::release(state, who, self.mutant)?,
            Action::LoseLease(_) | Action::Sweep => tables::sweep(state),
            Action::Crash(who) => {
                driver::let_go(state, who);
                state.drivers[who] = Driver::Idle;
                let row = state.row.as_mut();
                if let Some(row) = row.filter(|row| row.driver == Some(tables::id_of(who))) {
                    row.driver = Some(GHOST);
                }
            }
            Action::Arrive(request, mood) => outside::arrive(self, state, request, mood)?,
            Action::TimeOut(request) => outside::time_out(self, state, request)?,
            Action::Lose(request) => _ = state.network.remove(&request),
            Action::Settle(call, done) => outside::settle(state, call, done)?,
            Action::Repeat => outside::repeat(state)?,
            Action::Cancel => state.say(Said::Cancel),
            Action::Resume => {
                let decided = self.book.decide(&state.stream, Told::Resume, state.clock);
                let events = decided.events.iter().map(|noted| &*noted.event);
                driver::commit(state, decided.known, events);
            }
            Action::Pass => state.clock = heal::next_time(state)?,
        }
        Some(())
    }
}

/// One of everything that may go wrong, at every possible moment.
const FULL: Budget = Budget { faults: 1, moods: 1, people: 1 };
/// Nothing goes wrong.
const QUIET: Budget = Budget { faults: 0, moods: 0, people: 0 };

/// The result of a check.
struct Found {
    broken: Vec<&'static str>,
    unreached: Vec<&'static str>,
}

/// Tries every sequence of up to `depth` steps from each start.
fn explore(
    (definition, starts): (Definition, &[Start]),
    budget: Budget,
    mutant: Option<Mutant>,
    depth: usize,
    enough: HasDiscoveries,
) -> Found {
    let began = std::time::Instant::now();
    let book = Book::new(definition, mutant);
    let (starts, verdicts) = (starts.to_vec(), heal::Verdicts::default());
    let checker = Whole { book, starts, budget, mutant, verdicts }
        .checker()
        .threads(2)
        .target_max_depth(depth)
        .finish_when(enough)
        .spawn_bfs()
        .join();
    let (states, seconds) = (checker.unique_state_count(), began.elapsed().as_secs_f64());
    let found = checker.discoveries();
    let name = mutant.map_or_else(|| "the model".to_owned(), |mutant| format!("{mutant:?}"));
    let of = |properties: &[(&'static str, properties::Predicate)], is_found| {
        properties
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| found.contains_key(name) == is_found)
            .collect::<Vec<_>>()
    };
    let (broken, unreached) = (of(properties::ALWAYS, true), of(properties::SOMETIMES, false));
    eprintln!(
        "{name}: {states} states to depth {} in {seconds:.1} s; broken: {broken:?}",
        checker.max_depth()
    );
    for name in &broken {
        eprintln!("  {name}: {:?}", found[name].clone().into_actions());
    }
    Found { broken, unreached }
}

#[test]
fn i11_no_sequence_of_steps_breaks_a_promise() {
    let depth = usize::try_from(test_run().count(10, 16)).unwrap();
    let mut unreached: Option<Vec<&str>> = None;
    for definition in [book::in_a_row(), book::together()] {
        let at = (definition, &Start::ALL[..]);
        let found = explore(at, FULL, None, depth, HasDiscoveries::All);
        assert_eq!(found.broken, Vec::<&str>::new());
        unreached = Some(match unreached {
            None => found.unreached,
            Some(names) => names.into_iter().filter(|it| found.unreached.contains(it)).collect(),
        });
    }
    assert_eq!(unreached, Some(Vec::new()), "every promise needs a test");
}

#[test]
fn every_planted_bug_of_the_model_is_caught_by_its_property() {
    let crash = Budget { faults: 1, ..QUIET };
    let late = Budget { moods: 1, ..QUIET };
    let refused = Budget { people: 1, ..late };
    for (mutant, start, budget, depth, property) in [
        (Mutant::CheckpointFirst, Start::Fresh, crash, 6, ENDS),
        (Mutant::KeyPerAttempt, Start::Calling, late, 16, ONCE),
        (Mutant::OneUndoKey, Start::Late, QUIET, 6, COMPENSATED),
        (Mutant::NoVersion, Start::TwoOwners, QUIET, 10, FOLLOWS),
        (Mutant::NoVersion, Start::TwoOwners, QUIET, 12, AGAIN),
        (Mutant::OldTimer, Start::TwoOwners, QUIET, 16, TIMERS),
        (Mutant::CallFirst, Start::Calling, late, 10, FIRST),
        (Mutant::EffectApart, Start::Fresh, crash, 12, ONCE),
        (Mutant::ForgetsUnknown, Start::Calling, late, 14, COMPENSATED),
        (Mutant::PendingIsDone, Start::Calling, late, 18, COMPLETED),
        (Mutant::IgnoresLate, Start::Late, QUIET, 6, COMPENSATED),
        (Mutant::HeardTooEarly, Start::Late, crash, 10, COMPENSATED),
        (Mutant::ReleaseDropsNews, Start::Undoing, refused, 8, ENDS),
        (Mutant::EndDropsNews, Start::Ending, QUIET, 6, ENDS),
    ] {
        let at = (book::in_a_row(), &[start][..]);
        let enough = HasDiscoveries::AnyOf([property].into());
        let found = explore(at, budget, Some(mutant), depth, enough);
        assert!(found.broken.contains(&property), "{mutant:?} is not caught: {property}");
    }
}

/// The lease is a second line of defence: without it, nothing breaks, because appends name the
/// version that they follow.
#[test]
fn the_lease_is_not_what_safety_rests_on() {
    let budget = Budget { moods: 1, ..QUIET };
    let at = (book::in_a_row(), &[Start::Fresh, Start::Calling][..]);
    let found = explore(at, budget, Some(Mutant::NoLease), 10, HasDiscoveries::AnyFailures);
    assert_eq!(found.broken, Vec::<&str>::new());
}
