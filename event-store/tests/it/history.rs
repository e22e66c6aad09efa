//! A checker of the invariants I1 to I6 and I12 (ARCHITECTURE.md). It decides whether one log
//! explains the requests and answers of concurrent clients. The store itself states the positions,
//! which are a total order. One walk over the log and one over the clients' moments are therefore
//! enough. Apart from sorting the moments, the time is linear.

use std::collections::HashMap;

use event_store::StreamName;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

mod check;
mod tests;

pub(crate) use check::{Violation, check};

/// A line of a client's record, written before each request and after each answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    /// The client's number, which is never used again after its process has died.
    pub(crate) client: u64,
    /// The time in nanoseconds, by a clock that all clients share.
    pub(crate) at: u64,
    pub(crate) said: Said,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Said {
    Began(Asked),
    Ended(Answer),
}

/// A client's request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Asked {
    Append(Wanted),
    /// Read all events with this tag.
    ReadTag(String),
    /// Read the whole log after this position.
    ReadLog(i64),
}

/// An append.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// Per stream: the required version, if any, and the ids of the new events.
    pub(crate) streams: Vec<(String, Option<i64>, Vec<Uuid>)>,
    /// The condition: no event with this tag may exist after this position.
    pub(crate) condition: Option<(String, i64)>,
    pub(crate) key: Option<u64>,
    /// The contents of the streams, by event, if it was appended; its requirements guarantee them.
    pub(crate) decided_on: Vec<(String, Vec<Uuid>)>,
}

/// The answer to a client's request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// Appended; the position of its last event.
    Appended(i64),
    /// An earlier append used the same key; the position of that append's last event.
    Repeated(i64),
    Refused(Refused),
    /// It was certainly not appended.
    Failed(String),
    Unknown(String),
    /// Position and id of each event found. The read is complete up to the end of the log.
    Read(Vec<(i64, Uuid)>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Refused {
    Version { stream: String, actual: i64 },
    Condition { position: i64 },
    Other(String),
}

/// An event of the final log.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) position: i64,
    pub(crate) stream: StreamName,
    pub(crate) version: i64,
    pub(crate) id: Uuid,
    pub(crate) tags: Vec<String>,
}

/// A request and its answer, if there was one.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) client: u64,
    pub(crate) began: u64,
    pub(crate) ended: Option<(u64, Answer)>,
    pub(crate) asked: Asked,
}

/// The history to check.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) log: Vec<Entry>,
    pub(crate) operations: Vec<Operation>,
}

impl History {
    /// Pairs each request of a client with its answer. Ignores a line that a dying process did not
    /// finish.
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

    /// Returns the append if this operation is one.
    pub(crate) fn wanted(&self) -> Option<&Wanted> {
        if let Asked::Append(wanted) = &self.asked { Some(wanted) } else { None }
    }
}

impl Wanted {
    pub(crate) fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.streams.iter().flat_map(|(_, _, ids)| ids.iter().copied())
    }
}
