//! The relays: lease, resume, read, check, publish. The broker stores only what follows its last
//! sequence.

use super::state::{Message, Phase, Publish, Remake, State, Stream};
use super::{Action, Mutant};

/// The number of events per page.
const PAGE: usize = 2;
/// The number of events before the head at which a recreated stream begins.
const WINDOW: usize = 1;
/// The maximum number of concurrent publishes.
const UNDER_WAY: usize = 2;

pub(super) fn actions(state: &State, actions: &mut Vec<Action>) {
    for (who, phase) in state.relays.iter().enumerate() {
        let can_send = state.network.len() < UNDER_WAY;
        match phase {
            Phase::StandingBy
                if state.store.leader.is_none() || state.store.leader == Some(who) =>
            {
                actions.push(Action::Take(who));
            }
            Phase::StandingBy => {}
            Phase::At { last, .. } if last.position >= state.store.log.len() => {}
            Phase::Checked { .. } if !can_send => {}
            Phase::Waiting { .. } => actions.push(Action::TimeOut(who)),
            _ => actions.push(Action::Work(who)),
        }
        if *phase != Phase::StandingBy && state.left.crashes > 0 {
            actions.push(Action::CrashRelay(who));
        }
    }
    if state.store.leader.is_some() && state.left.expiries > 0 {
        actions.push(Action::Expire);
    }
    for publish in &state.network {
        actions.push(Action::Arrive(publish.request, true));
        actions.push(Action::Arrive(publish.request, false));
        actions.push(Action::Lose(publish.request));
    }
    if state.left.broker_losses > 0 && state.stream.is_some() {
        actions.push(Action::LoseStream);
        if state.stream.as_ref().is_some_and(|stream| !stream.messages.is_empty()) {
            actions.push(Action::LoseTail);
        }
    }
}

/// Takes the free lease in the next term.
pub(super) fn take(state: &mut State, who: usize) {
    state.store.term += 1;
    state.store.leader = Some(who);
    state.relays[who] = Phase::Resuming { term: state.store.term };
}

/// One step of a leader.
pub(super) fn work(state: &mut State, who: usize, mutant: Option<Mutant>) {
    let holds = |term: u8| {
        (state.store.leader == Some(who) && state.store.term == term)
            || mutant == Some(Mutant::NoLeaseCheck)
    };
    let next = match state.relays[who].clone() {
        Phase::Resuming { term } => resume(state, term, mutant),
        Phase::Remaking { term, epoch, last, step: Remake::Check } if holds(term) => {
            Phase::Remaking { term, epoch, last, step: Remake::Delete }
        }
        Phase::Remaking { term, epoch, last, step: Remake::Delete } => {
            state.stream = None;
            Phase::Remaking { term, epoch, last, step: Remake::Create }
        }
        // The other relay was faster: the stream exists.
        Phase::Remaking { term, step: Remake::Create, .. } if state.stream.is_some() => {
            Phase::Resuming { term }
        }
        Phase::Remaking { term, epoch, last, step: Remake::Create } => {
            state.streams += 1;
            let stream = Stream {
                made: state.streams,
                epoch,
                before_first: last.position,
                messages: Vec::new(),
            };
            state.stream = Some(stream);
            Phase::At { term, epoch, last }
        }
        // Each read includes the last published event, and a new connection proves the epoch.
        Phase::At { term, epoch, last }
            if state.store.mark(last.position) == last && state.store.epoch == epoch =>
        {
            let page = state.store.after(last.position, PAGE);
            Phase::Read { term, epoch, last, page }
        }
        Phase::Read { term, epoch, last, page } if holds(term) => {
            Phase::Checked { term, epoch, last, page }
        }
        Phase::Checked { term, epoch, last, page } => {
            state.requests += 1;
            let messages = page.iter().map(|mark| Message { mark: *mark, epoch }).collect();
            state.network.insert(Publish {
                request: state.requests,
                expected: last.position,
                messages,
            });
            Phase::Waiting { term, epoch, page, request: state.requests }
        }
        // The lease is lost, or the log is another one.
        Phase::Remaking { .. }
        | Phase::Read { .. }
        | Phase::At { .. }
        | Phase::StandingBy
        | Phase::Waiting { .. } => Phase::StandingBy,
    };
    state.relays[who] = next;
}

/// The stream's last sequence is the checkpoint, once its message is proved to be the log's event
/// at that position.
fn resume(state: &State, term: u8, mutant: Option<Mutant>) -> Phase {
    let (epoch, head) = (state.store.epoch, state.store.head());
    let anew = Phase::Remaking {
        term,
        epoch,
        last: state.store.mark(head.position.saturating_sub(WINDOW)),
        step: Remake::Check,
    };
    let Some(stream) = &state.stream else { return anew };
    let last = state.store.mark(stream.last());
    let message = stream.at(stream.last());
    // An event of the current epoch that is in the stream but not in the log was lost, so the relay
    // waits for a person.
    let lost = match message {
        Some(message) => message.epoch == epoch && message.mark != last,
        None => stream.last() > head.position,
    };
    if stream.epoch == epoch && lost && mutant != Some(Mutant::ResumeUnproved) {
        return Phase::Resuming { term };
    }
    let proved = message.is_none_or(|message| message == Message { mark: last, epoch })
        || mutant == Some(Mutant::ResumeUnproved);
    let ours = (stream.epoch == epoch || mutant == Some(Mutant::ResumeUnproved))
        && stream.last() <= head.position
        && proved;
    if ours { Phase::At { term, epoch, last } } else { anew }
}

/// A publish reaches the broker, which checks the expected last sequence. The answer may be lost.
pub(super) fn arrive(
    state: &mut State,
    request: u8,
    answered: bool,
    mutant: Option<Mutant>,
) -> Option<()> {
    let publish = state.network.iter().find(|publish| publish.request == request)?.clone();
    state.network.remove(&publish);
    let guarded = mutant != Some(Mutant::NoExpectedSequence);
    let stored = match &mut state.stream {
        Some(stream) if stream.last() == publish.expected || !guarded => {
            stream.messages.extend(publish.messages);
            true
        }
        _ => false,
    };
    for relay in state.relays.iter_mut().filter(|_| answered) {
        if let Phase::Waiting { term, epoch, page, request: waiting } = relay.clone()
            && waiting == request
        {
            let last = page.last().copied().unwrap_or_default();
            *relay =
                if stored { Phase::At { term, epoch, last } } else { Phase::Resuming { term } };
        }
    }
    Some(())
}

/// No answer came in time, so only the stream is trusted.
pub(super) fn time_out(state: &mut State, who: usize) {
    if let Phase::Waiting { term, .. } = state.relays[who] {
        state.relays[who] = Phase::Resuming { term };
    }
}
