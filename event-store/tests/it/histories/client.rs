//! A client that makes random requests and records each request before it is sent and each answer
//! after it arrives. Whatever kills the client, its answers are on record, and the rest are
//! requests without an answer.
//!
//! Streams form groups that share a tag. Clients work on a group while the log grows by [`GROUP`]
//! events, so that they meet.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_store::{
    Append, AppendCondition, AppendOutcome, EventStore, ExpectedVersion, Filter, Idempotency,
    Position, PostgresStore, RecordedEvent, Refusal, StoreError, StreamAppend, StreamName, Version,
};
use nix::time::{ClockId, clock_gettime};
use rand::Rng;
use rand::rngs::StdRng;
use uuid::Uuid;

use crate::history::{Answer, Asked, Line, Refused, Said, Wanted};
use crate::support::{key, query, tagged};

/// The number of events per group of streams.
const GROUP: i64 = 48;
/// The number of streams of a group.
const STREAMS: u8 = 3;
/// The maximum number of events of a page.
const PAGE: u32 = 2_000;
/// The number of times that an unanswered append is sent again.
const ATTEMPTS: usize = 20;
/// The pause before asking an unresponsive store again.
const PAUSE: Duration = Duration::from_millis(20);

/// The destination of the record's lines, with one write per line.
pub(super) type Record = Arc<Mutex<dyn Write + Send>>;

/// The options of a client.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(super) struct Habits {
    /// Whether it uses idempotency keys.
    pub(super) keys: bool,
    /// Whether every append has a condition.
    pub(super) conditions_only: bool,
}

pub(super) struct Client {
    pub(super) number: u64,
    pub(super) store: PostgresStore,
    pub(super) record: Record,
    pub(super) random: StdRng,
    pub(super) habits: Habits,
    /// The last position that it has read of the whole log.
    tail: i64,
    /// The newest position that it knows.
    known: i64,
    keys: u64,
}

/// A group as it was read.
struct Seen {
    tag: String,
    group: i64,
    events: Vec<RecordedEvent>,
}

impl Client {
    /// Makes a client. `known` is the head at its start, so it works on the groups of the others.
    pub(super) fn new(
        number: u64,
        store: PostgresStore,
        record: Record,
        random: StdRng,
        habits: Habits,
        known: i64,
    ) -> Self {
        Self { number, store, record, random, habits, tail: known, known, keys: 0 }
    }

    fn write_down(&self, said: Said) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
        let at = u64::try_from(now.tv_sec()).unwrap() * 1_000_000_000
            + u64::try_from(now.tv_nsec()).unwrap();
        let mut line = serde_json::to_vec(&Line { client: self.number, at, said }).unwrap();
        line.push(b'\n');
        self.record.lock().unwrap().write_all(&line).unwrap();
    }

    /// Makes requests until `go_on` returns false.
    pub(super) async fn run(&mut self, mut go_on: impl FnMut() -> bool) {
        while go_on() {
            if !self.step().await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Makes one request, or one read and the append decided on it. False when the store gave no
    /// answer.
    async fn step(&mut self) -> bool {
        match self.random.random_range(0..100) {
            _ if self.habits.conditions_only => self.guarded().await,
            0..20 => self.read_group().await.is_some(),
            20..30 => self.read_tail().await,
            30..60 => self.guarded().await,
            60..80 => self.exact().await,
            _ => self.blind().await,
        }
    }

    fn group(&mut self) -> i64 {
        (self.known / GROUP - self.random.random_range(0..2)).max(0)
    }

    async fn read_group(&mut self) -> Option<Seen> {
        let group = self.group();
        let tag = format!("group:{group}");
        self.write_down(Said::Began(Asked::ReadTag(tag.clone())));
        let read =
            self.store.read(&Filter::Query(query(&[], &[&tag])), Position::START, PAGE).await;
        let events = self.note_read(read)?;
        assert!(events.len() < PAGE as usize, "a group fits on a page");
        Some(Seen { tag, group, events })
    }

    async fn read_tail(&mut self) -> bool {
        self.write_down(Said::Began(Asked::ReadLog(self.tail)));
        let read = self.store.read(&Filter::All, Position(self.tail), PAGE).await;
        let full = read.as_ref().is_ok_and(|events| events.len() == PAGE as usize);
        if full {
            // The page is full, so the log may have more. The read is recorded as unanswered.
            self.write_down(Said::Ended(Answer::Unknown("a full page".to_owned())));
            self.tail = read.unwrap().last().unwrap().position.0;
            return true;
        }
        let read = self.note_read(read);
        self.tail = read.iter().flatten().last().map_or(self.tail, |event| event.position.0);
        read.is_some()
    }

    fn note_read(
        &mut self,
        read: Result<Vec<RecordedEvent>, StoreError>,
    ) -> Option<Vec<RecordedEvent>> {
        match read {
            Ok(events) => {
                let found =
                    events.iter().map(|event| (event.position.0, event.id)).collect::<Vec<_>>();
                self.known = self.known.max(found.last().map_or(0, |(position, _)| *position));
                self.write_down(Said::Ended(Answer::Read(found)));
                Some(events)
            }
            Err(error) => {
                self.write_down(Said::Ended(Answer::Failed(format!("{error:?}"))));
                None
            }
        }
    }

    /// Appends to one or two streams of a group, unless the group has changed since the read.
    async fn guarded(&mut self) -> bool {
        let Some(seen) = self.read_group().await else { return false };
        let first = self.random.random_range(0..STREAMS);
        let streams = (first..STREAMS).take(self.random.random_range(1..=2));
        let mut append =
            self.append(seen.group, streams.map(|number| (number, ExpectedVersion::Any)).collect());
        let after = seen.events.last().map_or(Position::START, |event| event.position);
        append.conditions.push(AppendCondition { query: query(&[], &[&seen.tag]), after });
        let all = (0..STREAMS).map(|number| held(&seen, &stream(seen.group, number))).collect();
        self.send(append, Some((seen.tag.clone(), after.0)), all).await
    }

    /// Appends to one stream, unless its version has changed since the read.
    async fn exact(&mut self) -> bool {
        let Some(seen) = self.read_group().await else { return false };
        let number = self.random.random_range(0..STREAMS);
        let read = held(&seen, &stream(seen.group, number));
        let expected = ExpectedVersion::Exact(Version(i64::try_from(read.1.len()).unwrap()));
        let append = self.append(seen.group, vec![(number, expected)]);
        self.send(append, None, vec![read]).await
    }

    /// Appends without any requirement.
    async fn blind(&mut self) -> bool {
        let group = self.group();
        let streams = (0..STREAMS).filter(|number| *number == 0 || self.random.random_bool(0.5));
        let streams = streams.map(|number| (number, ExpectedVersion::Any)).collect();
        let append = self.append(group, streams);
        self.send(append, None, Vec::new()).await
    }

    fn append(&mut self, group: i64, streams: Vec<(u8, ExpectedVersion)>) -> Append {
        let mut append = Append::default();
        for (number, expected) in streams {
            let some = self.random.random_range(1..=2);
            let events =
                (0..some).map(|_| tagged("thing.happened", &[&format!("group:{group}")])).collect();
            append.streams.push(StreamAppend { stream: stream(group, number), expected, events });
        }
        append
    }

    /// Sends an append, mostly until there is an answer. Sometimes it uses a key, and then
    /// sometimes sends twice.
    async fn send(
        &mut self,
        mut append: Append,
        condition: Option<(String, i64)>,
        decided_on: Vec<(String, Vec<Uuid>)>,
    ) -> bool {
        let key = (self.habits.keys && self.random.random_bool(0.3)).then(|| {
            self.keys += 1;
            self.number * 1_000_000 + self.keys
        });
        append.idempotency = key.map(idempotency);
        let streams = append.streams.iter().map(|named| {
            let expected = if let ExpectedVersion::Exact(version) = named.expected {
                Some(version.0)
            } else {
                None
            };
            (
                named.stream.to_string(),
                expected,
                named.events.iter().map(|event| event.id).collect(),
            )
        });
        let wanted = Wanted { streams: streams.collect(), condition, key, decided_on };
        let answered = self.ask(append, wanted).await;
        if let Some(key) = key.filter(|_| answered && self.random.random_bool(0.5)) {
            let group = self.group();
            let again = Append {
                idempotency: Some(idempotency(key)),
                ..self.append(group, vec![(0, ExpectedVersion::Any)])
            };
            let ids = again.streams[0].events.iter().map(|event| event.id).collect();
            let streams = vec![(again.streams[0].stream.to_string(), None, ids)];
            return self.ask(again, Wanted { streams, key: Some(key), ..Wanted::default() }).await;
        }
        answered
    }

    async fn ask(&mut self, append: Append, wanted: Wanted) -> bool {
        let attempts = if self.random.random_bool(0.7) { ATTEMPTS } else { 1 };
        self.write_down(Said::Began(Asked::Append(wanted)));
        let mut answer = Answer::Unknown("never sent".to_owned());
        let mut sent_without_answer = false;
        for _ in 0..attempts {
            answer = answer_of(self.store.append(append.clone()).await, sent_without_answer);
            if !matches!(answer, Answer::Unknown(_)) {
                break;
            }
            sent_without_answer = true;
            tokio::time::sleep(PAUSE).await;
        }
        if let Answer::Appended(last) | Answer::Repeated(last) = answer {
            self.known = self.known.max(last);
        }
        let failed = matches!(answer, Answer::Failed(_));
        self.write_down(Said::Ended(answer));
        !failed
    }
}

fn stream(group: i64, number: u8) -> StreamName {
    StreamName::new("thing", format!("{group}-{number}")).unwrap()
}

fn held(seen: &Seen, stream: &StreamName) -> (String, Vec<Uuid>) {
    let events = seen.events.iter().filter(|event| event.stream == *stream);
    (stream.to_string(), events.map(|event| event.id).collect())
}

fn idempotency(number: u64) -> Idempotency {
    let mut idempotency = key(0, 1, "true");
    idempotency.key[..8].copy_from_slice(&number.to_be_bytes());
    idempotency
}

/// Converts an outcome. An attempt certainly without effect may follow one that had an effect.
fn answer_of(outcome: Result<AppendOutcome, StoreError>, sent_without_answer: bool) -> Answer {
    match outcome {
        Ok(AppendOutcome::Appended(appended)) => Answer::Appended(appended.last.position.0),
        Ok(AppendOutcome::Repeated { appended, .. }) => Answer::Repeated(appended.last.position.0),
        Ok(AppendOutcome::Refused(refusal)) => Answer::Refused(match refusal {
            Refusal::Version { stream, actual, .. } => {
                Refused::Version { stream: stream.to_string(), actual: actual.0 }
            }
            Refusal::Condition { position, .. } => Refused::Condition { position: position.0 },
            other => Refused::Other(format!("{other:?}")),
        }),
        Err(error @ StoreError::OutcomeUnknown(_)) => Answer::Unknown(format!("{error:?}")),
        Err(error) if sent_without_answer => Answer::Unknown(format!("{error:?}")),
        Err(error) => Answer::Failed(format!("{error:?}")),
    }
}
