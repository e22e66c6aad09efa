//! What concurrent clients asked and were answered, and whether one log explains it: a checker of
//! the invariants I1 to I6 and I12 (ARCHITECTURE.md). Positions are a total order that the store
//! itself states, so one walk over the log and one over the clients' moments decide; apart from the
//! sorting of moments the time is linear.

use std::collections::HashMap;

use event_store::StreamName;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

mod check;
mod tests;

pub(crate) use check::{Violation, check};

/// One line that a client writes down: before it asks, and after it was answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Which client; never used again after its process has died.
    pub(crate) client: u64,
    /// Nanoseconds of a clock that all clients share.
    pub(crate) at: u64,
    pub(crate) said: Said,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Said {
    Began(Asked),
    Ended(Answer),
}

/// What a client asks of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Asked {
    Append(Wanted),
    /// The events with this tag, all of them.
    ReadTag(String),
    /// The whole log after this position.
    ReadLog(i64),
}

/// An append.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// Per stream: the version that it must have, if any, and the ids of the events that it gets.
    pub(crate) streams: Vec<(String, Option<i64>, Vec<Uuid>)>,
    /// No event with this tag may stand after this position.
    pub(crate) condition: Option<(String, i64)>,
    pub(crate) key: Option<u64>,
    /// What the streams held, by event, if it was appended: its requirements make sure.
    pub(crate) decided_on: Vec<(String, Vec<Uuid>)>,
}

/// What a client was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// Its last event stands here.
    Appended(i64),
    /// Another one under the same key had been appended, its last event here.
    Repeated(i64),
    Refused(Refused),
    /// It certainly was not appended.
    Failed(String),
    Unknown(String),
    /// Position and id of each event found; none is missing at the end.
    Read(Vec<(i64, Uuid)>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Refused {
    Version { stream: String, actual: i64 },
    Condition { position: i64 },
    Other(String),
}

/// An event of the log as it is in the end.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) position: i64,
    pub(crate) stream: StreamName,
    pub(crate) version: i64,
    pub(crate) id: Uuid,
    pub(crate) tags: Vec<String>,
}

/// A question with its answer, if there was one.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) client: u64,
    pub(crate) began: u64,
    pub(crate) ended: Option<(u64, Answer)>,
    pub(crate) asked: Asked,
}

/// What is checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) log: Vec<Entry>,
    pub(crate) operations: Vec<Operation>,
}

impl History {
    /// Pairs what each client began with what it ended next. A line that a dying process did not
    /// finish is left out.
    pub(crate) fn new(log: Vec<Entry>, lines: Vec<Line>) -> Self {
        let mut operations: Vec<Operation> = Vec::new();
        let mut open = HashMap::new();
        for line in lines {
            match line.said {
                Said::Began(asked) => {
                    open.insert(line.client, operations.len());
                    operations.push(Operation {
                        client: line.client,
                        began: line.at,
                        ended: None,
                        asked,
                    });
                }
                Said::Ended(answer) => {
                    let began = open.remove(&line.client).expect("a client ends what it began");
                    operations[began].ended = Some((line.at, answer));
                }
            }
        }
        Self { log, operations }
    }
}

impl Operation {
    pub(crate) fn answer(&self) -> Option<&Answer> {
        self.ended.as_ref().map(|(_, answer)| answer)
    }

    /// The append that it is, if it is one.
    pub(crate) fn wanted(&self) -> Option<&Wanted> {
        if let Asked::Append(wanted) = &self.asked { Some(wanted) } else { None }
    }
}

impl Wanted {
    pub(crate) fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.streams.iter().flat_map(|(_, _, ids)| ids.iter().copied())
    }
}
