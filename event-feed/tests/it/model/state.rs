//! The state of the model: the log and its standby, two appending processes, two relays and their
//! lease, the network, the broker's stream and one follower. Everything is a value, so that the
//! checker can compare states.

use std::collections::BTreeSet;

/// An event, reduced to what matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Event {
    pub(super) id: u8,
    /// What its author had read: the number of events, and the last of them. The append requires
    /// that nothing was appended since.
    pub(super) after: usize,
    pub(super) seen: Option<u8>,
    /// The previous event of the same batch, which must be the last one in the log.
    pub(super) behind: bool,
}

impl Event {
    /// An event decided on what was read.
    pub(super) fn alone(id: u8, read: EventRef) -> Self {
        Self { id, after: read.position, seen: read.id, behind: false }
    }

    /// An event decided on what this one will leave.
    pub(super) fn behind(self, id: u8) -> Self {
        Self { id, after: self.after + 1, seen: Some(self.id), behind: true }
    }
}

/// A position with the event id there; no id before the first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct EventRef {
    pub(super) position: usize,
    pub(super) id: Option<u8>,
}

/// The headers of a message in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Message {
    pub(super) mark: EventRef,
    pub(super) epoch: u8,
}

/// The database: `events` and `log` of the primary, how much of it the standby has, and the lease's
/// row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Store {
    pub(super) log: Vec<Event>,
    pub(super) epoch: u8,
    pub(super) standby: usize,
    pub(super) leader: Option<usize>,
    pub(super) term: u8,
    /// The term on the standby.
    pub(super) standby_term: u8,
    /// Logs that a lossy promotion cut short, with their epochs.
    pub(super) past: Vec<(u8, Vec<Event>)>,
    /// Whether events were lost in the current epoch, so a person must begin another one.
    pub(super) lost: bool,
}

impl Store {
    pub(super) fn head(&self) -> EventRef {
        self.mark(self.log.len())
    }

    pub(super) fn mark(&self, position: usize) -> EventRef {
        EventRef {
            position,
            id: position.checked_sub(1).and_then(|at| self.log.get(at)).map(|event| event.id),
        }
    }

    /// Up to `most` marks after a position.
    pub(super) fn after(&self, position: usize, most: usize) -> Vec<EventRef> {
        (position + 1..=self.log.len()).take(most).map(|position| self.mark(position)).collect()
    }

    /// Whether all marks are in one log of that epoch, now or before it was cut.
    pub(super) fn ever_had(&self, epoch: Option<u8>, marks: &[EventRef]) -> bool {
        let now = (self.epoch, self.log.clone());
        let mut logs = self.past.iter().chain(std::iter::once(&now));
        logs.any(|(of, log)| {
            let has = |mark: &EventRef| {
                mark.position.checked_sub(1).and_then(|at| log.get(at)).map(|event| event.id)
                    == mark.id
            };
            epoch.is_none_or(|epoch| epoch == *of) && marks.iter().all(has)
        })
    }
}

/// A process that appends, with its current batch: one append or a chain of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Writer {
    pub(super) sent: Option<Event>,
    /// Decided on what `sent` will leave.
    pub(super) behind: Option<Event>,
    /// Only in a mutant: the condition was checked before the lock.
    pub(super) checked: bool,
}

/// What a relay is about to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Phase {
    StandingBy,
    /// Leads in this term, and knows nothing of the stream.
    Resuming {
        term: u8,
    },
    /// Will recreate the stream after this mark.
    Remaking {
        term: u8,
        epoch: u8,
        last: EventRef,
        step: Remake,
    },
    /// Knows that the stream belongs to the log, and where it ends.
    At {
        term: u8,
        epoch: u8,
        last: EventRef,
    },
    /// Has read these events, and will check the lease before sending them.
    Read {
        term: u8,
        epoch: u8,
        last: EventRef,
        page: Vec<EventRef>,
    },
    /// May send the events.
    Checked {
        term: u8,
        epoch: u8,
        last: EventRef,
        page: Vec<EventRef>,
    },
    /// Waits for the broker's answer.
    Waiting {
        term: u8,
        epoch: u8,
        page: Vec<EventRef>,
        request: u8,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Remake {
    Check,
    Delete,
    Create,
}

/// A publish that may arrive late.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Publish {
    pub(super) request: u8,
    pub(super) expected: usize,
    pub(super) messages: Vec<Message>,
}

/// The broker's stream: the message at `messages[n]` has the sequence `before_first + n + 1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Stream {
    pub(super) made: u8,
    pub(super) epoch: u8,
    pub(super) before_first: usize,
    pub(super) messages: Vec<Message>,
}

impl Stream {
    pub(super) fn last(&self) -> usize {
        self.before_first + self.messages.len()
    }

    pub(super) fn at(&self, sequence: usize) -> Option<Message> {
        self.messages.get(sequence.checked_sub(self.before_first + 1)?).copied()
    }
}

/// A reader of the log: what it has returned, and its state with the stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Follower {
    /// The rows and the checkpoint, which survive a crash.
    pub(super) handed: Vec<EventRef>,
    /// The epoch that it last read from the store.
    pub(super) epoch: Option<u8>,
    /// The stream that it reads, and the next sequence.
    pub(super) joined: Option<(u8, usize)>,
    pub(super) proven: bool,
    /// A received message that was not judged yet, and one that waits for the store.
    pub(super) received: Option<(usize, Message)>,
    pub(super) held: Option<(usize, Message)>,
    /// Whether the log has another history than its checkpoint. It then reports that and stops.
    pub(super) stopped: bool,
}

impl Follower {
    pub(super) fn last(&self) -> EventRef {
        self.handed.last().copied().unwrap_or_default()
    }

    pub(super) fn leave(&mut self) {
        (self.joined, self.proven, self.received, self.held) = (None, false, None, None);
    }
}

/// How many faults and steps may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    pub(super) appends: u8,
    pub(super) lost_answers: u8,
    pub(super) promotions: u8,
    pub(super) expiries: u8,
    pub(super) broker_losses: u8,
    pub(super) crashes: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) writers: [Writer; 2],
    pub(super) relays: [Phase; 2],
    pub(super) network: BTreeSet<Publish>,
    pub(super) requests: u8,
    pub(super) stream: Option<Stream>,
    pub(super) streams: u8,
    pub(super) follower: Follower,
    /// The answers to callers: appended at a position, or refused.
    pub(super) acknowledged: BTreeSet<(u8, usize)>,
    pub(super) refused: BTreeSet<u8>,
    pub(super) next_id: u8,
    pub(super) left: Budget,
}

impl State {
    pub(super) fn new(left: Budget) -> Self {
        let (log, past) = (Vec::new(), Vec::new());
        Self {
            store: Store {
                log,
                epoch: 1,
                standby: 0,
                leader: None,
                term: 0,
                standby_term: 0,
                past,
                lost: false,
            },
            writers: [Writer::default(); 2],
            relays: [Phase::StandingBy, Phase::StandingBy],
            network: BTreeSet::new(),
            requests: 0,
            stream: None,
            streams: 0,
            follower: Follower::default(),
            acknowledged: BTreeSet::new(),
            refused: BTreeSet::new(),
            next_id: 1,
            left,
        }
    }

    /// A common state: two events, of which the standby has the first. One relay leads and has
    /// published both. The follower has returned both and reads the stream.
    pub(super) fn at_work(left: Budget) -> Self {
        let mut state = Self::new(left);
        let log = vec![
            Event::alone(1, EventRef::default()),
            Event::alone(2, EventRef { position: 1, id: Some(1) }),
        ];
        state.store =
            Store { log, standby: 1, leader: Some(0), term: 1, standby_term: 1, ..state.store };
        let marks = state.store.after(0, 2);
        let messages = marks.iter().map(|mark| Message { mark: *mark, epoch: 1 }).collect();
        state.stream = Some(Stream { made: 1, epoch: 1, before_first: 0, messages });
        state.relays[0] = Phase::At { term: 1, epoch: 1, last: state.store.head() };
        state.follower = Follower {
            handed: marks,
            epoch: Some(1),
            joined: Some((1, 3)),
            proven: true,
            ..Follower::default()
        };
        (state.streams, state.next_id) = (1, 3);
        state.acknowledged = [(1, 1), (2, 2)].into();
        state
    }

    /// A state after a lossy promotion: events 2 and 3 are lost, and 4 is in place of 2. The old
    /// stream exists, a publish of 3 is still pending, and the follower has read the new log up to
    /// its first event.
    pub(super) fn late_publish(left: Budget, epoch: u8) -> Self {
        let mut state = Self::at_work(left);
        let lost = Event::alone(3, EventRef { position: 2, id: Some(2) });
        let old = [state.store.log.clone(), vec![lost]].concat();
        state.store.log = vec![old[0], Event::alone(4, EventRef { position: 1, id: Some(1) })];
        state.store = Store { past: vec![(1, old)], epoch, leader: None, ..state.store };
        let late = EventRef { position: 3, id: Some(3) };
        state.network =
            [Publish { request: 1, expected: 2, messages: vec![Message { mark: late, epoch: 1 }] }]
                .into();
        state.relays[0] = Phase::Waiting { term: 1, epoch: 1, page: vec![late], request: 1 };
        state.follower =
            Follower { handed: state.store.after(0, 1), epoch: Some(epoch), ..Follower::default() };
        (state.requests, state.next_id) = (1, 5);
        state.acknowledged = [(1, 1), (4, 2)].into();
        state
    }
}
