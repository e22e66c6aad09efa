//! Checks that the answers to concurrent appends are those of *some* serial order.
//!
//! Positions leave few sequences: an append with events is where its answer says. Only appends
//! without events at one position may have run in any order. An append that changed nothing must
//! have seen one of the states in between.

use event_store::Append;

use crate::reference::{Outcome, Reference, ids};

/// The maximum number of sequences to try for a round's appends at one position.
const MOST_TRIED: usize = 20_000;

/// An append and its outcome.
pub(super) type Answered<'a> = (&'a Append, &'a Outcome);

/// Moves the reference to the state after the round.
///
/// # Errors
/// The reason why no order explains the answers.
pub(super) fn settle(model: &mut Reference, answered: &[Answered<'_>]) -> Result<(), String> {
    let (writers, readers) = apart(model, answered);
    let mut search = Search { writers, readers, tried: 0, why: "no order was tried".to_owned() };
    let all = search.writers.len();
    let mut states = vec![model.clone()];
    let found = search.go_on(&mut states, &mut vec![false; all]);
    *model = found.ok_or(search.why)?;
    Ok(())
}

/// Separates the appends that changed the log, with the head before them, from those that only
/// learned something.
fn apart<'a>(
    model: &Reference,
    answered: &[Answered<'a>],
) -> (Vec<(i64, Answered<'a>)>, Vec<Answered<'a>>) {
    let (mut writers, mut readers): (Vec<(i64, Answered<'a>)>, Vec<_>) = (Vec::new(), Vec::new());
    for one in answered {
        let events = ids(one.0);
        let known = || {
            model.has_event(events[0])
                || writers.iter().any(|(_, (writer, _))| ids(writer).first() == events.first())
        };
        match one.1 {
            Outcome::Appended(done) if events.is_empty() || !known() => {
                writers.push((done.last - done.count, *one));
            }
            _ => readers.push(*one),
        }
    }
    (writers, readers)
}

struct Search<'a> {
    writers: Vec<(i64, Answered<'a>)>,
    readers: Vec<Answered<'a>>,
    tried: usize,
    why: String,
}

impl Search<'_> {
    /// Tries the possible next appends after the last state; returns the state after all of them.
    fn go_on(&mut self, states: &mut Vec<Reference>, done: &mut [bool]) -> Option<Reference> {
        let Some(before) = self
            .writers
            .iter()
            .zip(&*done)
            .filter(|(_, done)| !**done)
            .map(|((before, _), _)| *before)
            .min()
        else {
            return self.explains_readers(states);
        };
        for next in 0..self.writers.len() {
            let (head, (append, outcome)) = self.writers[next];
            if done[next] || head != before || self.tried >= MOST_TRIED {
                continue;
            }
            self.tried += 1;
            let mut state = states.last()?.clone();
            let ours = state.append(append);
            if ours != *outcome {
                self.why = format!(
                    "the store answered {outcome:?}, the reference {ours:?}, to {append:#?}"
                );
                continue;
            }
            states.push(state);
            done[next] = true;
            if let Some(last) = self.go_on(states, done) {
                return Some(last);
            }
            states.pop();
            done[next] = false;
        }
        None
    }

    fn explains_readers(&mut self, states: &[Reference]) -> Option<Reference> {
        for (append, outcome) in &self.readers {
            if !states.iter().any(|state| state.clone().append(append) == **outcome) {
                let at_last = states.last()?.clone().append(append);
                self.why = format!(
                    "in no state the answer is {outcome:?} (in the last one {at_last:?}), to \
                        {append:#?}"
                );
                return None;
            }
        }
        states.last().cloned()
    }
}
