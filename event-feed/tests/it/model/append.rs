//! Appends, and the promotion of the log's standby.

use super::state::{Event, State, Writer};
use super::{Action, Mutant};

/// The possible next steps of a writer and the database.
pub(super) fn actions(state: &State, mutant: Option<Mutant>, actions: &mut Vec<Action>) {
    for (who, writer) in state.writers.iter().enumerate() {
        match writer.sent {
            // A process that knows of lost events accepts nothing until the new epoch has begun.
            Some(_) if state.store.lost && mutant != Some(Mutant::WriterGoesOn) => {}
            None if state.left.appends > 0 => actions.push(Action::Decide(who)),
            None => {}
            Some(_) if mutant == Some(Mutant::CheckBeforeLock) && !writer.checked => {
                actions.push(Action::CheckEarly(who));
            }
            Some(_) => {
                if state.left.appends > 0 && writer.behind.is_none() {
                    actions.push(Action::Chain(who));
                }
                actions.push(Action::Call(who, true));
                if state.left.lost_answers > 0 {
                    actions.push(Action::Call(who, false));
                }
            }
        }
    }
    if state.store.standby < state.store.log.len() || state.store.standby_term < state.store.term {
        actions.push(Action::Replicate);
    }
    if state.left.promotions > 0 {
        actions.push(Action::Promote);
    }
    if state.store.lost {
        actions.push(Action::BeginEpoch);
    }
}

/// Loads and decides, on the condition that nothing has been appended since.
pub(super) fn decide(state: &mut State, who: usize) {
    let head = state.store.head();
    let event = Event::alone(state.next_id, head);
    state.next_id += 1;
    state.left.appends -= 1;
    state.writers[who] = Writer { sent: Some(event), ..Writer::default() };
}

/// The next command in line is decided on what the previous one will leave, and joins its batch.
pub(super) fn chain(state: &mut State, who: usize) -> Option<()> {
    let link = state.writers[who].sent?.behind(state.next_id);
    state.next_id += 1;
    state.left.appends -= 1;
    state.writers[who].behind = Some(link);
    Some(())
}

/// `CALL event_store.append`: lock, look-up, insert and commit are one step, because the lock is
/// held throughout. The appends of a batch are decided in order, and each is refused separately.
pub(super) fn call(
    state: &mut State,
    who: usize,
    answered: bool,
    mutant: Option<Mutant>,
) -> Option<()> {
    let Writer { sent, behind, checked } = state.writers[who];
    let batch: Vec<Event> = std::iter::once(sent?).chain(behind).collect();
    let outcomes: Vec<_> =
        batch.iter().map(|event| (event.id, append(state, *event, checked, mutant))).collect();
    if !answered {
        // The connection was cut after the commit, so the batch is sent again.
        state.left.lost_answers -= 1;
        return Some(());
    }
    for (id, position) in outcomes {
        match position {
            Some(position) => drop(state.acknowledged.insert((id, position))),
            None => drop(state.refused.insert(id)),
        }
    }
    state.writers[who] = Writer::default();
    Some(())
}

/// Decides one append of a batch. Returns its position, or nothing if it is refused.
fn append(state: &mut State, event: Event, checked: bool, mutant: Option<Mutant>) -> Option<usize> {
    let there = state.store.log.iter().position(|logged| logged.id == event.id);
    if let Some(at) = there.filter(|_| mutant != Some(Mutant::NoDedupe)) {
        return Some(at + 1);
    }
    let head = state.store.head();
    // A writer that expects only a version proves what it read by the epoch. A chained append
    // proves the previous one by its event.
    let is_behind =
        !event.behind || head.id == event.seen || mutant == Some(Mutant::ChainByVersion);
    if (head.position != event.after || !is_behind) && !checked {
        return None;
    }
    state.store.log.push(event);
    Some(state.store.log.len())
}

/// The standby takes over with what it has. If events are missing, nobody appends until a person
/// has begun a new epoch. All connections are new: a process that knows of the loss ends with its
/// connection, and the outcome of its last batch is unknown.
pub(super) fn promote(state: &mut State, mutant: Option<Mutant>) {
    state.left.promotions -= 1;
    let store = &mut state.store;
    let lossy = store.standby < store.log.len();
    store.term = store.standby_term;
    store.leader = None;
    if lossy {
        store.past.push((store.epoch, store.log.clone()));
        store.log.truncate(store.standby);
        store.lost = mutant != Some(Mutant::KeepEpoch);
        if mutant != Some(Mutant::WriterGoesOn) {
            state.writers = [Writer::default(); 2];
        }
        // P4 is a promise of the server that has the commits. Events dropped by a lossy promotion
        // do not violate it.
        let log = &state.store.log;
        state.acknowledged.retain(|(id, _)| log.iter().any(|event| event.id == *id));
    }
}

/// A person decides that the log continues as it is.
pub(super) fn begin_epoch(state: &mut State) {
    state.store.epoch += 1;
    state.store.lost = false;
}
