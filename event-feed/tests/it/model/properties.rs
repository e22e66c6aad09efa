//! The properties that must hold in every state, and the states that must be reachable, so that the
//! properties are not trivially true.

use stateright::Property;

use super::Whole;
use super::state::{EventRef, Phase, State};

pub(super) type Predicate = fn(&Whole, &State) -> bool;

/// What always holds.
pub(super) const ALWAYS: &[(&str, Predicate)] = &[
    ("I2, I5: what was acknowledged is there once, what was refused is not", outcomes_are_true),
    ("I4: nothing came between what an author had read and its event", conditions_hold),
    (
        "P5: a message's sequence is the position of its event; those of one epoch are of one log",
        the_stream_is_the_log,
    ),
    (
        "P6: what was handed out is the beginning of a log, each event once and in order",
        handed_out_in_order,
    ),
    (
        "I10: with no more faults the stream and the follower come to the log's head",
        everything_heals,
    ),
];

/// What is reachable.
pub(super) const SOMETIMES: &[(&str, Predicate)] = &[
    ("two relays believe that they lead, and the stream grows", |_, state| {
        let leading = state.relays.iter().filter(|phase| **phase != Phase::StandingBy).count();
        leading == 2 && state.stream.as_ref().is_some_and(|stream| !stream.messages.is_empty())
    }),
    ("a chain is appended whole, one link behind the other", |_, state| {
        state.store.log.iter().any(|event| event.behind)
    }),
    ("a follower reads a message from the stream", |_, state| {
        state.follower.proven && state.follower.handed.len() > 1
    }),
    ("events are lost by a promotion", |_, state| !state.store.past.is_empty()),
    ("a follower meets another history and stops", |_, state| state.follower.stopped),
    ("a relay has the stream of lost events before it and waits", |_, state| {
        let ahead =
            state.stream.as_ref().is_some_and(|stream| stream.last() > state.store.log.len());
        state.store.lost
            && ahead
            && state.relays.iter().any(|phase| matches!(phase, Phase::Resuming { .. }))
    }),
];

pub(super) fn all() -> Vec<Property<Whole>> {
    let always = ALWAYS.iter().map(|(name, property)| Property::always(name, *property));
    always
        .chain(SOMETIMES.iter().map(|(name, property)| Property::sometimes(name, *property)))
        .collect()
}

fn outcomes_are_true(_: &Whole, state: &State) -> bool {
    let log = &state.store.log;
    let times = |id: u8| log.iter().filter(|event| event.id == id).count();
    let at = |(id, position): &(u8, usize)| {
        log.get(position - 1).is_some_and(|event| event.id == *id) && times(*id) == 1
    };
    state.acknowledged.iter().all(at)
        && state.refused.iter().all(|id| times(*id) == 0)
        && log.iter().all(|event| times(event.id) == 1)
}

fn conditions_hold(_: &Whole, state: &State) -> bool {
    state
        .store
        .log
        .iter()
        .enumerate()
        .all(|(before, event)| event.after == before && event.seen == state.store.mark(before).id)
}

fn the_stream_is_the_log(_: &Whole, state: &State) -> bool {
    state.stream.as_ref().is_none_or(|stream| {
        let in_place = stream
            .messages
            .iter()
            .zip(stream.before_first + 1..)
            .all(|(message, at)| message.mark.position == at);
        let of_one_log = (1..=state.store.epoch).all(|epoch| {
            let of_epoch = stream.messages.iter().filter(|message| message.epoch == epoch);
            state
                .store
                .ever_had(Some(epoch), &of_epoch.map(|message| message.mark).collect::<Vec<_>>())
        });
        in_place && of_one_log
    })
}

fn handed_out_in_order(_: &Whole, state: &State) -> bool {
    let handed: &[EventRef] = &state.follower.handed;
    handed.iter().zip(1..).all(|(mark, position)| mark.position == position)
        && state.store.ever_had(None, handed)
}

/// Continues without faults: pending work is lost or times out, one relay leads, and the follower
/// reads. The checker tries other sequences anyway; only the end result counts.
fn everything_heals(whole: &Whole, state: &State) -> bool {
    let mut state = state.clone();
    if state.store.lost {
        super::append::begin_epoch(&mut state);
    }
    state.network.clear();
    state.store.leader = None;
    super::relay::take(&mut state, 0);
    state.relays[1] = Phase::StandingBy;
    for _ in 0..MOST_STEPS {
        match &state.relays[0] {
            Phase::At { last, .. } if *last == state.store.head() => break,
            Phase::StandingBy => super::relay::take(&mut state, 0),
            Phase::Waiting { request, .. } => {
                let request = *request;
                if super::relay::arrive(&mut state, request, true, whole.mutant).is_none() {
                    super::relay::time_out(&mut state, 0);
                }
            }
            _ => super::relay::work(&mut state, 0, whole.mutant),
        }
    }
    let published = state.stream.as_ref().is_some_and(|stream| {
        let of_this_log = stream
            .messages
            .iter()
            .all(|message| state.store.mark(message.mark.position) == message.mark);
        stream.last() == state.store.log.len() && of_this_log && stream.epoch == state.store.epoch
    });
    for _ in 0..MOST_STEPS {
        if !state.follower.stopped {
            super::follower::read_store(&mut state, whole.mutant);
        }
    }
    // A follower stops if and only if it is in another history.
    let of_this_log =
        state.follower.handed.iter().all(|mark| state.store.mark(mark.position) == *mark);
    let followed = state.follower.last() == state.store.head();
    published && state.follower.stopped != of_this_log && (state.follower.stopped || followed)
}

/// More than enough steps to recreate the stream and publish everything.
const MOST_STEPS: usize = 40;
