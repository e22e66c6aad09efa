//! The other system and the network. It keeps the outcome of each idempotency key. Its answer may
//! be lost, come later, or twice, and a call may arrive when nobody waits for it any more. What it
//! does without anybody waiting it says in the log, as a real one does with a webhook.

use saga::instance::Part;

use super::book::{Called, Reply, Said};
use super::driver::answered;
use super::state::{Entry, Request, State};
use super::{Mood, Whole};

/// The call arrives, and its answer comes back if somebody waits for it.
pub(super) fn arrive(whole: &Whole, state: &mut State, request: Request, mood: Mood) -> Option<()> {
    if !state.network.remove(&request) {
        return None;
    }
    let Request { who, call } = request;
    let is_new = !state.outcomes.contains_key(&call.key);
    let reply = handle(state, &call, mood);
    match who {
        Some(who) => answered(whole, state, who, &call, reply)?,
        None if is_new && reply == Reply::Done => tell(state, &call, reply),
        None => {}
    }
    Some(())
}

fn handle(state: &mut State, call: &Called, mood: Mood) -> Reply {
    if mood == Mood::Fails {
        return Reply::Unavailable;
    }
    state.keys.insert(*call);
    if state.accepted.contains(call) {
        return Reply::Pending;
    }
    let done = match (state.outcomes.get(&call.key).copied(), mood) {
        (Some(done), _) => done,
        (None, Mood::Accepts) => {
            state.accepted.insert(*call);
            return Reply::Pending;
        }
        (None, mood) => {
            let done = mood != Mood::Rejects;
            if done {
                state.take_effect(call);
            }
            // What cannot be undone now may be undone later, under the same key.
            if done || call.part == Part::Action {
                state.outcomes.insert(call.key, done);
            }
            done
        }
    };
    match (mood, done) {
        (Mood::LosesAnswer, _) => Reply::Unavailable,
        (_, true) => Reply::Done,
        (_, false) => Reply::Rejected,
    }
}

/// The driver stops waiting. The call may still arrive.
pub(super) fn time_out(whole: &Whole, state: &mut State, request: Request) -> Option<()> {
    let who = request.who?;
    if !state.network.remove(&request) {
        return None;
    }
    state.network.insert(Request { who: None, ..request });
    answered(whole, state, who, &request.call, Reply::Unavailable)
}

/// The other system does what it accepted, or refuses it after all, and says so in the log.
pub(super) fn settle(state: &mut State, call: Called, done: bool) -> Option<()> {
    if !state.accepted.remove(&call) {
        return None;
    }
    if done {
        state.take_effect(&call);
    }
    state.outcomes.insert(call.key, done);
    tell(state, &call, if done { Reply::Done } else { Reply::Rejected });
    Some(())
}

/// Only answers about compensations name their call, because only those have more than one key.
fn tell(state: &mut State, call: &Called, reply: Reply) {
    let Called { step, part, key } = *call;
    let key = (part == Part::Compensation).then_some(key);
    state.say(Said::Answer { step, part, call: key, reply });
}

/// The last event from outside comes once more.
pub(super) fn repeat(state: &mut State) -> Option<()> {
    let last = state.log.iter().rev().find(|entry| !matches!(entry, Entry::Own { .. }))?;
    let last = last.clone();
    state.log.push(last);
    Some(())
}
