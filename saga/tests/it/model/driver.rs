//! A driver, as `driver.rs` and its modules: it loads the instance, decides, appends before a call
//! to the outside, appends the effect of an inside action with its outcome, and rests.

use std::collections::BTreeSet;

use saga::event::SagaEvent;
use saga::instance::Status;

use super::book::{Book, Called, Decided, Known, Noted, Reply, Told};
use super::judge::Fault;
use super::state::{Driver, Entry, Job, Loaded, Request, State};
use super::{Mutant, Whole};

/// Whether the driver hears the log's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    Answers,
    /// The append may be in the log. The driver fails, and gives the instance back.
    Silent,
}

/// Loads the instance, and tells it everything that the driver knows.
pub(super) fn load(whole: &Whole, state: &mut State, who: usize) -> Option<()> {
    let Driver::Claimed(job) = state.drivers[who].clone() else { return None };
    let mut loaded = Loaded {
        version: state.version,
        known: state.stream.clone(),
        pending: Vec::new(),
        calls: BTreeSet::new(),
    };
    if loaded.known.status() == Status::Absent && !job.begun {
        state.drivers[who] = Driver::Rested(job, loaded, false);
        return Some(());
    }
    let begun = job.begun.then_some(Told::Start);
    let signals = job.signals.iter().map(|(at, said)| Told::Signal(*at, *said));
    for told in begun.into_iter().chain(signals).chain([Told::Tick]) {
        loaded.decide(&whole.book, told, state);
    }
    go_on(whole, state, who, job, loaded);
    Some(())
}

/// Appends what is pending.
pub(super) fn append(whole: &Whole, state: &mut State, who: usize, log: Log) -> Option<()> {
    let Driver::Driving(job, loaded) = state.drivers[who].clone() else { return None };
    flush(whole, state, who, (job, loaded), None, log);
    Some(())
}

/// Calls an inside action. Its effect and its outcome are one append.
pub(super) fn inside(whole: &Whole, state: &mut State, who: usize, log: Log) -> Option<()> {
    let Driver::Driving(job, mut loaded) = state.drivers[who].clone() else { return None };
    let call = *loaded.known.inside.first()?;
    loaded.decide(&whole.book, Told::Answered(call.step, call.part, Reply::Done), state);
    if whole.mutant == Some(Mutant::EffectApart) {
        state.take_effect(&call);
        go_on(whole, state, who, job, loaded);
    } else {
        flush(whole, state, who, (job, loaded), Some(call), log);
    }
    Some(())
}

/// An inside action that is refused, or cannot be done now.
pub(super) fn inside_fails(
    whole: &Whole,
    state: &mut State,
    who: usize,
    reply: Reply,
) -> Option<()> {
    let Driver::Driving(job, mut loaded) = state.drivers[who].clone() else { return None };
    let call = *loaded.known.inside.first()?;
    loaded.decide(&whole.book, Told::Answered(call.step, call.part, reply), state);
    go_on(whole, state, who, job, loaded);
    Some(())
}

/// A call to the outside has ended.
pub(super) fn answered(
    whole: &Whole,
    state: &mut State,
    who: usize,
    call: &Called,
    reply: Reply,
) -> Option<()> {
    let Driver::Driving(job, mut loaded) = state.drivers[who].clone() else { return None };
    loaded.calls.remove(call);
    loaded.decide(&whole.book, Told::Answered(call.step, call.part, reply), state);
    go_on(whole, state, who, job, loaded);
    Some(())
}

/// Whether the driver appends before it takes the next answer.
pub(super) fn must_append(loaded: &Loaded, mutant: Option<Mutant>) -> bool {
    let is_first = loaded.calls.is_empty() || mutant != Some(Mutant::CallFirst);
    !loaded.pending.is_empty() && is_first
}

/// What follows when the driver has decided: it waits, appends, calls or rests.
fn go_on(whole: &Whole, state: &mut State, who: usize, job: Job, mut loaded: Loaded) {
    let is_waiting = !loaded.calls.is_empty();
    let calls_first = whole.mutant == Some(Mutant::CallFirst) && !loaded.known.outside.is_empty();
    let must_append = !loaded.pending.is_empty() && !calls_first;
    if is_waiting || must_append {
        state.drivers[who] = Driver::Driving(job, loaded);
    } else if !loaded.known.outside.is_empty() {
        let is_in_log = state.stream == loaded.known;
        if !is_in_log && loaded.version == state.version {
            state.faults.insert(Fault::Unasked);
        }
        loaded.calls = loaded.known.outside.iter().copied().collect();
        for call in &loaded.calls {
            state.network.insert(Request { who: Some(who), call: *call });
        }
        state.drivers[who] = Driver::Driving(job, loaded);
    } else if !loaded.known.inside.is_empty() {
        state.drivers[who] = Driver::Driving(job, loaded);
    } else {
        state.drivers[who] = Driver::Rested(job, loaded, false);
    }
}

/// Appends the pending events with the effect of an inside action, if the stream is as the driver
/// knows it.
fn flush(
    whole: &Whole,
    state: &mut State,
    who: usize,
    (mut job, mut loaded): (Job, Loaded),
    effect: Option<Called>,
    log: Log,
) {
    let fits = loaded.version == state.version;
    if !fits && is_guarded(&loaded, whole.mutant) {
        state.overtaken = true;
        let_go(state, who);
        state.drivers[who] = Driver::Claimed(job);
        return;
    }
    let ahead = if fits {
        loaded.known.clone()
    } else {
        state.faults.insert(Fault::Blind);
        let events = loaded.pending.iter().map(|noted| (*noted.event).clone());
        let Decided { events, known } =
            whole.book.after(&state.stream, events.collect::<Vec<_>>(), state.clock);
        loaded.pending = events;
        known
    };
    state.faults.extend(loaded.pending.iter().filter_map(|noted| noted.fault));
    commit(state, ahead, loaded.pending.iter().map(|noted| &*noted.event));
    if let Some(call) = effect {
        state.take_effect(&call);
    }
    if log == Log::Silent {
        let_go(state, who);
        state.drivers[who] = Driver::Rested(job, loaded, true);
        return;
    }
    (loaded.version, loaded.known) = (state.version, state.stream.clone());
    loaded.pending.clear();
    job.moved = true;
    go_on(whole, state, who, job, loaded);
}

/// Whether the append names the version that it follows.
fn is_guarded(loaded: &Loaded, mutant: Option<Mutant>) -> bool {
    let fires = |it: &Noted| matches!(*it.event, SagaEvent::TimerFired(_));
    match mutant {
        Some(Mutant::NoVersion) => false,
        Some(Mutant::OldTimer) => !loaded.pending.iter().any(fires),
        _ => true,
    }
}

/// Adds events to the stream, which is then in this state.
pub(super) fn commit<'e>(
    state: &mut State,
    ahead: Known,
    events: impl Iterator<Item = &'e SagaEvent>,
) {
    let (mut started, mut ended, mut received) = (false, false, 0);
    for event in events {
        state.version += 1;
        started |= matches!(event, SagaEvent::Started(_));
        ended = event.is_end();
        if let SagaEvent::SignalReceived(it) = event {
            received = u8::try_from(it.position).unwrap();
        }
    }
    state.stream = ahead;
    state.log.push(Entry::Own { version: state.version, started, ended, received });
}

/// Nobody waits for the calls of this driver any more.
pub(super) fn let_go(state: &mut State, who: usize) {
    let network = std::mem::take(&mut state.network);
    let who = Some(who);
    state.network = network
        .into_iter()
        .map(|request| if request.who == who { Request { who: None, ..request } } else { request })
        .collect();
}

impl Loaded {
    fn decide(&mut self, book: &Book, told: Told, state: &State) {
        let Decided { events, known } = book.decide(&self.known, told, state.clock);
        self.known = known;
        self.pending.extend(events);
    }

    /// Whether the next call is that of an inside action.
    pub(super) fn is_inside(&self) -> bool {
        self.known.outside.is_empty() && !self.known.inside.is_empty()
    }
}
