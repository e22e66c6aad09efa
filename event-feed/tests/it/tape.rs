//! A second relay target, which cannot tell where it ends: a file with one CloudEvents JSON object
//! per line. Its writer fails on request.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use event_feed::cloud_event::{
    Attribute, Attributes, CloudEvent, DecodeError, event_ref, recorded,
};
use event_feed::relay::{
    EncodedBatch, NotPublished, RelayTarget, ResumeError, Resumed, Resuming, TargetError,
};
use event_store::{Epoch, EventRef, PostgresStore, RecordedEvent};
use local_servers::in_time;
use postgres_kit::Term;
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::oneshot;

use crate::support::read_all;

/// The name of the target's cursor, lease and component.
pub(crate) const NAME: &str = "tape";
/// The maximum number of events in one publish.
const BATCH: usize = 40;

/// Where a publish is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// Nothing is written yet.
    BeforeWriting,
    /// Everything is written, and the relay does not know yet.
    Written,
}

/// A publish that is held, or will be.
pub(crate) struct Held {
    reached: oneshot::Receiver<()>,
    release: oneshot::Sender<()>,
}

impl Held {
    /// Waits until the publish is held.
    pub(crate) async fn reached(&mut self) {
        in_time("the held publish", &mut self.reached).await.unwrap();
    }

    /// Releases the publish, if its relay still exists.
    pub(crate) fn release(self) {
        let _ = self.release.send(());
    }
}

struct Gate {
    point: Point,
    reached: oneshot::Sender<()>,
    release: oneshot::Receiver<()>,
}

/// An event as written on the tape.
pub(crate) struct Line {
    pub(crate) term: Term,
    pub(crate) epoch: Epoch,
    pub(crate) mark: EventRef,
    event: RecordedEvent,
}

impl Line {
    pub(crate) fn position(&self) -> i64 {
        self.mark.position.0
    }
}

/// The tape. Clones write to the same file.
#[derive(Clone)]
pub(crate) struct Tape {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    _folder: tempfile::TempDir,
    gate: Mutex<Option<Gate>>,
    /// Makes random publishes fail.
    faults: Mutex<Option<StdRng>>,
    is_away: AtomicBool,
}

impl Tape {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shared = Shared {
            path: folder.path().join("tape"),
            _folder: folder,
            gate: Mutex::new(None),
            faults: Mutex::new(None),
            is_away: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Holds the next publish at this point.
    pub(crate) fn hold_next(&self, point: Point) -> Held {
        let (reached, is_reached) = oneshot::channel();
        let (release, is_released) = oneshot::channel();
        let gate = Gate { point, reached, release: is_released };
        *self.shared.gate.lock().unwrap() = Some(gate);
        Held { reached: is_reached, release }
    }

    /// Sets whether random publishes fail from now on.
    pub(crate) fn set_faults(&self, random: Option<StdRng>) {
        *self.shared.faults.lock().unwrap() = random;
    }

    /// Sets whether the tape is unreachable.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.shared.is_away.store(is_away, Ordering::SeqCst);
    }

    /// The content of the tape.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let Ok(text) = std::fs::read_to_string(&self.shared.path) else { return Vec::new() };
        // The last line may be incomplete.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(line).collect()
    }

    /// The positions on the tape, starting at line `first`.
    pub(crate) fn positions_from(&self, first: usize) -> Vec<i64> {
        self.lines().iter().skip(first).map(Line::position).collect()
    }

    /// Checks that each event from `first` to the head is on the tape exactly as in the log, and
    /// that first occurrences are in order. Returns the number of repeated events.
    pub(crate) async fn has_all_in_order(&self, store: &PostgresStore, first: i64) -> usize {
        let log = read_all(store, event_store::Position(first - 1)).await;
        let lines = self.lines();
        let (mut next, mut repeats) = (first, 0);
        for line in &lines {
            let position = line.position();
            assert!((first..=next).contains(&position), "{position} came instead of {next}");
            let stored = &log[usize::try_from(position - first).unwrap()];
            assert_eq!(format!("{:?}", line.event), format!("{stored:?}"));
            assert_eq!(line.mark, stored.mark());
            if position == next {
                next += 1;
            } else {
                repeats += 1;
            }
        }
        assert_eq!(next, first + i64::try_from(log.len()).unwrap(), "the last events are missing");
        repeats
    }

    async fn pass(&self, point: Point) {
        let at_gate = |gate: &mut Gate| gate.point == point;
        let gate = self.shared.gate.lock().unwrap().take_if(at_gate);
        if let Some(Gate { reached, release, .. }) = gate {
            reached.send(()).unwrap();
            // A test that ends without releasing it also releases it.
            drop(in_time("the release of the held publish", release).await);
        }
    }

    /// Fails like a broken connection: part of the batch may be stored.
    fn write(&self, lines: &[String], term: Term) -> Result<(), NotPublished> {
        let fault = {
            let mut faults = self.shared.faults.lock().unwrap();
            faults.as_mut().map_or(NO_FAULT, |random| random.random_range(0..6))
        };
        let count = match fault {
            0 => 0,
            1 => lines.len() / 2,
            _ => lines.len(),
        };
        let mut text = String::new();
        for line in &lines[..count] {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}\t{line}", term.0);
        }
        let mut file =
            OpenOptions::new().create(true).append(true).open(&self.shared.path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        if fault <= 2 { Err(failed("the connection broke")) } else { Ok(()) }
    }
}

const NO_FAULT: u8 = u8::MAX;

fn failed(why: &str) -> NotPublished {
    NotPublished { kind: "connection", why: why.to_owned() }
}

impl RelayTarget for Tape {
    type Batch = Vec<String>;

    fn name(&self) -> &'static str {
        NAME
    }

    async fn look(&self) -> Result<(), TargetError> {
        if self.shared.is_away.load(Ordering::SeqCst) {
            Err(TargetError("the tape is away".to_owned()))
        } else {
            Ok(())
        }
    }

    async fn resume(&self, _: &Resuming<'_>) -> Result<Resumed, ResumeError> {
        self.look().await?;
        Ok(Resumed::ByCursor)
    }

    fn encode(&self, events: &[RecordedEvent], epoch: Epoch) -> EncodedBatch<Self::Batch> {
        let batch: Vec<String> =
            events.iter().take(BATCH).map(|event| json(CloudEvent::new(event, epoch))).collect();
        EncodedBatch { count: batch.len(), batch, stubs: 0 }
    }

    async fn publish(
        &self,
        batch: Self::Batch,
        _: EventRef,
        term: Term,
    ) -> Result<(), NotPublished> {
        if self.look().await.is_err() {
            return Err(failed("the tape is away"));
        }
        self.pass(Point::BeforeWriting).await;
        self.write(&batch, term)?;
        self.pass(Point::Written).await;
        Ok(())
    }
}

/// Encodes an event in CloudEvents' structured mode.
fn json(event: CloudEvent<'_>) -> String {
    let values = event.values(&Attribute::IDENTIFYING).chain(event.values(&Attribute::LABELS));
    let mut object: BTreeMap<&str, Box<RawValue>> = values
        .map(|(attribute, value)| (attribute.name(), to_raw_value(&value).unwrap()))
        .collect();
    object.insert("data", RawValue::from_string(event.data().to_owned()).unwrap());
    serde_json::to_string(&object).unwrap()
}

struct Object(BTreeMap<String, Box<RawValue>>);

impl Attributes for Object {
    fn get(&self, attribute: Attribute) -> Result<Option<Cow<'_, str>>, DecodeError> {
        let value = self.0.get(attribute.name()).map(|value| serde_json::from_str(value.get()));
        let text: Option<String> =
            value.transpose().map_err(|_| DecodeError::Invalid(attribute))?;
        Ok(text.map(Cow::Owned))
    }
}

fn line(text: &str) -> Line {
    let (term, json) = text.split_once('\t').unwrap();
    let object = Object(serde_json::from_str(json).unwrap());
    let (epoch, mark) = event_ref(&object).unwrap();
    let event = recorded(&object, object.0["data"].get().as_bytes()).unwrap();
    Line { term: Term(term.parse().unwrap()), epoch, mark, event }
}
