//! A model of append, relay and follower. It is checked in every order of their steps, with lost
//! answers, late publishes, a lease that expires under its holder (two concurrent leaders),
//! crashes, a broker that loses its tail or everything, and the promotion of a complete or
//! incomplete standby.
//!
//! The actions correspond to this code:
//!
//! - `Decide`, `Call`: a use case loads and decides. `CALL event_store.append` is one step because
//!   of its lock. If the answer is lost, `batch/sender.rs` sends the batch again.
//! - `Chain` (`command-api/src/application/repository/line.rs`): the next command in line is
//!   decided on what the previous one will leave, and joins its batch.
//! - `Replicate`, `Promote`: streaming replication. The standby becomes the primary, complete or
//!   not.
//! - `BeginEpoch`: a person runs `event-store epoch begin` at any time after events were lost.
//! - `Take`, `Expire` (`lease.rs`): a free lease is taken in the next term. The holder may not know
//!   yet that its lease expired.
//! - `Work`: one step of `relay/{resume,leader}.rs` and `relay/jetstream/publish.rs`: inspect the
//!   stream, recreate it (check the lease, delete, create), read a page, check the lease, send.
//! - `Arrive`, `Lose`, `TimeOut`: a publish reaches the broker, which checks the expected last
//!   sequence, or is lost; or the relay stops waiting.
//! - `LoseStream`, `LoseTail`: what JetStream may do (hazards of its default sync interval).
//! - `ReadStore`, `Join`, `Receive`, `Judge`, `LoseConsumer`: `follower/{catch_up,join,live}.rs`.
//! - `CrashRelay`, `CrashFollower`: the process ends; data in a database stays.
//!
//! The model leaves out several events in one append, tags and streams (event-store's own histories
//! cover them), chains of more than two, the beacon, and all clocks: time is an action that may
//! happen at any moment. Only the properties in `properties.rs` are checked.

use local_servers::test_run;
use stateright::{Checker, HasDiscoveries, Model, Property};

use self::state::{Budget, State};

mod append;
mod follower;
mod properties;
mod relay;
mod state;

/// A step of one of the actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Decide(usize),
    Chain(usize),
    CheckEarly(usize),
    Call(usize, bool),
    Replicate,
    Promote,
    BeginEpoch,
    Take(usize),
    Expire,
    Work(usize),
    TimeOut(usize),
    CrashRelay(usize),
    Arrive(u8, bool),
    Lose(u8),
    LoseStream,
    LoseTail,
    ReadStore,
    Join,
    Receive,
    Judge,
    LoseConsumer,
    CrashFollower,
}

/// A bug planted in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutant {
    /// The append checks its condition before it has the lock.
    CheckBeforeLock,
    /// A chained append checks the previous one's version but not its event.
    ChainByVersion,
    /// The append does not recognise resent events.
    NoDedupe,
    /// A process continues after a lossy promotion without proving continuity.
    WriterGoesOn,
    /// A lossy promotion does not begin a new epoch.
    KeepEpoch,
    /// The relay publishes without the expected last sequence.
    NoExpectedSequence,
    /// The relay continues after the stream's last sequence without comparing the message there.
    ResumeUnproved,
    /// Nobody checks the lease. It is harmless because the broker checks the sequence, as the model
    /// shows.
    NoLeaseCheck,
    /// The follower does not compare its checkpoint with the store.
    NoContinuity,
    /// The follower trusts a stream that has not proved its history. It is harmless as long as
    /// every other history has its own epoch.
    NoProof,
    /// The follower accepts messages of any epoch.
    AnyEpoch,
    /// The follower accepts the next message that comes, whatever is missing before it.
    SkipGaps,
}

struct Whole {
    budget: Budget,
    mutant: Option<Mutant>,
}

impl Model for Whole {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let epoch = if self.mutant == Some(Mutant::KeepEpoch) { 1 } else { 2 };
        vec![
            State::new(self.budget),
            State::at_work(self.budget),
            State::late_publish(self.budget, epoch),
        ]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        append::actions(state, self.mutant, actions);
        relay::actions(state, actions);
        follower::actions(state, actions);
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
    fn step(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Decide(who) => append::decide(state, who),
            Action::Chain(who) => append::chain(state, who)?,
            Action::CheckEarly(who) => {
                let writer = &mut state.writers[who];
                writer.checked =
                    writer.sent.is_some_and(|event| event.after == state.store.log.len());
                if !writer.checked {
                    state.refused.insert(writer.sent?.id);
                    writer.sent = None;
                }
            }
            Action::Call(who, answered) => append::call(state, who, answered, self.mutant)?,
            Action::Replicate => {
                (state.store.standby, state.store.standby_term) =
                    (state.store.log.len(), state.store.term);
            }
            Action::Promote => append::promote(state, self.mutant),
            Action::BeginEpoch => append::begin_epoch(state),
            Action::Take(who) => relay::take(state, who),
            Action::Expire => {
                state.left.expiries -= 1;
                state.store.leader = None;
            }
            Action::Work(who) => relay::work(state, who, self.mutant),
            Action::TimeOut(who) => relay::time_out(state, who),
            Action::CrashRelay(who) => {
                state.left.crashes -= 1;
                state.relays[who] = state::Phase::StandingBy;
            }
            Action::Arrive(request, answered) => {
                relay::arrive(state, request, answered, self.mutant)?;
            }
            Action::Lose(request) => state.network.retain(|publish| publish.request != request),
            Action::LoseStream => {
                state.left.broker_losses -= 1;
                state.stream = None;
            }
            Action::LoseTail => {
                state.left.broker_losses -= 1;
                state.stream.as_mut()?.messages.pop()?;
            }
            Action::ReadStore => follower::read_store(state, self.mutant),
            Action::Join => follower::join(state)?,
            Action::Receive => follower::receive(state)?,
            Action::Judge => follower::judge(state, self.mutant)?,
            Action::LoseConsumer => state.follower.leave(),
            Action::CrashFollower => follower::crash(state),
        }
        Some(())
    }
}

/// Two of every fault would give too many states. One of each is checked, at every possible moment.
const FULL: Budget = Budget {
    appends: 3,
    lost_answers: 1,
    promotions: 1,
    expiries: 1,
    broker_losses: 1,
    crashes: 1,
};
/// Nothing goes wrong.
const QUIET: Budget = Budget {
    appends: 2,
    lost_answers: 0,
    promotions: 0,
    expiries: 0,
    broker_losses: 0,
    crashes: 0,
};
const LOSSY: Budget = Budget { promotions: 1, ..QUIET };

/// The result of a check.
struct Found {
    broken: Vec<&'static str>,
    unreached: Vec<&'static str>,
}

/// Tries every sequence of up to `depth` steps from each initial state.
fn explore(budget: Budget, mutant: Option<Mutant>, depth: usize) -> Found {
    let began = std::time::Instant::now();
    let enough = if mutant.is_some() { HasDiscoveries::AnyFailures } else { HasDiscoveries::All };
    let checker = Whole { budget, mutant }
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
        eprintln!("  {:?}", found[name].clone().into_actions());
    }
    Found { broken, unreached }
}

#[test]
fn p5_p6_no_sequence_of_steps_breaks_a_promise() {
    let depth = usize::try_from(test_run().count(7, 11)).unwrap();
    let found = explore(FULL, None, depth);
    assert_eq!(found.broken, Vec::<&str>::new());
    assert_eq!(found.unreached, Vec::<&str>::new(), "every promise needs a test");
}

#[test]
fn every_planted_bug_of_the_model_is_caught() {
    let no_appends = Budget { appends: 0, ..QUIET };
    for (mutant, budget, depth) in [
        (Mutant::CheckBeforeLock, QUIET, 10),
        (Mutant::ChainByVersion, Budget { appends: 3, ..QUIET }, 8),
        (Mutant::NoDedupe, Budget { lost_answers: 1, ..QUIET }, 8),
        (Mutant::WriterGoesOn, LOSSY, 10),
        (Mutant::KeepEpoch, no_appends, 14),
        (Mutant::NoExpectedSequence, no_appends, 12),
        (Mutant::ResumeUnproved, LOSSY, 12),
        (Mutant::NoContinuity, LOSSY, 10),
        (Mutant::AnyEpoch, no_appends, 18),
        (Mutant::SkipGaps, Budget { appends: 1, ..QUIET }, 16),
    ] {
        assert!(
            !explore(budget, Some(mutant), depth).broken.is_empty(),
            "{mutant:?} is not caught"
        );
    }
}

/// Two checks are second lines of defence: without them, nothing breaks as long as the first ones
/// hold.
#[test]
fn the_lease_and_the_streams_proof_are_not_what_safety_rests_on() {
    for mutant in [Mutant::NoLeaseCheck, Mutant::NoProof] {
        let budget = Budget { expiries: 1, ..LOSSY };
        assert_eq!(explore(budget, Some(mutant), 8).broken, Vec::<&str>::new(), "{mutant:?}");
    }
}
