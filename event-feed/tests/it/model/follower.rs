//! The follower: it reads pages from the store and messages from a proven stream, and resolves
//! every doubt with the store.

use super::state::{Message, State};
use super::{Action, Mutant};

/// The number of events per page.
const PAGE: usize = 2;

pub(super) fn actions(state: &State, actions: &mut Vec<Action>) {
    let follower = &state.follower;
    if follower.stopped {
        return;
    }
    let news = follower.last().position < state.store.log.len()
        || follower.epoch != Some(state.store.epoch);
    if news
        || follower.held.is_some()
        || follower.last() != state.store.mark(follower.last().position)
    {
        actions.push(Action::ReadStore);
    }
    match (&state.stream, follower.joined) {
        (Some(_), None) if follower.last().position > 0 && follower.epoch.is_some() => {
            actions.push(Action::Join);
        }
        (Some(stream), Some((made, next))) if stream.made == made => {
            let there = stream.last() >= next.max(stream.before_first + 1);
            if there && follower.received.is_none() && follower.held.is_none() {
                actions.push(Action::Receive);
            }
        }
        (_, Some(_)) => actions.push(Action::LoseConsumer),
        _ => {}
    }
    if follower.received.is_some() {
        actions.push(Action::Judge);
    }
    if state.left.crashes > 0 && (follower.joined.is_some() || follower.epoch.is_some()) {
        actions.push(Action::CrashFollower);
    }
}

/// Reads a page from the store that includes the last event returned, which must be unchanged.
pub(super) fn read_store(state: &mut State, mutant: Option<Mutant>) {
    let follower = &mut state.follower;
    let last = follower.last();
    if state.store.mark(last.position) != last && mutant != Some(Mutant::NoContinuity) {
        follower.leave();
        follower.stopped = true;
        return;
    }
    let page = state.store.after(last.position, PAGE);
    follower.epoch = Some(state.store.epoch);
    if let Some((_, message)) = follower.held.take() {
        if page.contains(&message.mark) {
            follower.proven = true;
        } else if page.iter().any(|mark| mark.position == message.mark.position)
            || page.len() < PAGE
        {
            follower.leave();
        }
    }
    follower.handed.extend(page);
}

/// Creates a consumer that starts at the last event returned, inclusive.
pub(super) fn join(state: &mut State) -> Option<()> {
    let made = state.stream.as_ref()?.made;
    let next = state.follower.last().position;
    (state.follower.joined, state.follower.proven) = (Some((made, next)), false);
    Some(())
}

pub(super) fn receive(state: &mut State) -> Option<()> {
    let (stream, (made, next)) = (state.stream.as_ref()?, state.follower.joined?);
    let sequence = next.max(stream.before_first + 1);
    state.follower.received = Some((sequence, stream.at(sequence)?));
    state.follower.joined = Some((made, sequence + 1));
    Some(())
}

/// Decides what a message means after the events returned so far.
pub(super) fn judge(state: &mut State, mutant: Option<Mutant>) -> Option<()> {
    let follower = &mut state.follower;
    let (sequence, message) = follower.received.take()?;
    let Message { mark, epoch } = message;
    let last = follower.last();
    let other_epoch = follower.epoch != Some(epoch) && mutant != Some(Mutant::AnyEpoch);
    if mark.position != sequence || other_epoch {
        follower.leave();
    } else if sequence < last.position {
        // Already returned.
    } else if sequence == last.position {
        if mark == last { follower.proven = true } else { follower.leave() }
    } else {
        let follows =
            sequence == last.position + 1 && (follower.proven || mutant == Some(Mutant::NoProof));
        if follows || mutant == Some(Mutant::SkipGaps) {
            follower.handed.push(mark);
        } else {
            follower.held = Some((sequence, message));
        }
    }
    Some(())
}

/// Crashes: rows and checkpoint stay in the database, and knowledge of store and stream is lost.
pub(super) fn crash(state: &mut State) {
    state.left.crashes -= 1;
    state.follower.leave();
    state.follower.epoch = None;
}
