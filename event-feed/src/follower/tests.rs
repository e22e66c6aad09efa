//! Tests that the follower returns exactly the log whatever a broker delivers, with injected faults
//! and virtual time.

#![allow(clippy::unwrap_used, reason = "tests")]

use event_store::{
    Append, Epoch, ExpectedVersion, Filter, MemoryStore, Metadata, NewEvent, Position,
    StreamAppend, StreamName,
};
use proptest::prelude::*;
use uuid::Uuid;

use super::live::{Fake, Heard, Message, Start};
use super::*;
use crate::message::{Decoded, decode, encode};

const BIG_BROKER: usize = 1024 * 1024;
/// The limit of a test, in virtual time.
const LIMIT: Duration = Duration::from_mins(10);
const BEACON_EVERY: Duration = Duration::from_secs(1);

/// What the broker does with the next message.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    Lose,
    Repeat,
    Overtake,
    Stub,
    Stranger,
    OtherEpoch,
    OtherSequence,
    LoseConsumer,
    Stall,
}

fn fault() -> impl Strategy<Value = Fault> {
    use Fault::{
        Lose, LoseConsumer, None, OtherEpoch, OtherSequence, Overtake, Repeat, Stall, Stranger,
        Stub,
    };
    prop_oneof![
        12 => Just(None),
        1 => Just(Lose),
        1 => Just(Repeat),
        1 => Just(Overtake),
        1 => Just(Stub),
        1 => Just(Stranger),
        1 => Just(OtherEpoch),
        1 => Just(OtherSequence),
        1 => Just(LoseConsumer),
        1 => Just(Stall),
    ]
}

/// Appends `count` events in one append.
async fn append(store: &MemoryStore, count: usize) {
    let metadata = || Metadata::new(Uuid::nil());
    let event =
        |n: usize| NewEvent::json("thing.happened".parse().unwrap(), 1, &n, metadata()).unwrap();
    let streams = vec![StreamAppend {
        stream: StreamName::new("thing", Uuid::now_v7()).unwrap(),
        expected: ExpectedVersion::NoStream,
        events: (0..count).map(event).collect(),
    }];
    store.append(Append { streams, ..Append::default() }).await.unwrap();
}

/// A broker that delivers the log. Each message passes the next fault; after the last fault,
/// messages pass unchanged.
struct Broker {
    store: MemoryStore,
    fake: Fake,
    faults: Vec<Fault>,
    /// Whether every second consumer reads a stream of another history.
    foreign: bool,
}

impl Broker {
    async fn run(mut self) {
        let mut beacons = tokio::time::interval(BEACON_EVERY);
        let mut at: Option<(Start, i64)> = None;
        loop {
            tokio::select! {
                changed = self.fake.starts.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    at = self.fake.starts.borrow_and_update().map(|start| (start,
                        i64::try_from(start.sequence).unwrap()));
                }
                _ = beacons.tick() => {
                    let head = self.store.head().await.unwrap();
                    self.fake.heard.send_replace(Some(Heard { head, at: Instant::now() }));
                }
            }
            if let Some((start, next)) = at {
                at = self.deliver(start, next).await.map(|next| (start, next));
            }
        }
    }

    /// Delivers the available events. Delivers no more after a fault that ends the consumer.
    async fn deliver(&mut self, start: Start, mut next: i64) -> Option<i64> {
        let head = self.store.head().await.unwrap();
        while next <= head.mark.position.0 {
            let generation = start.generation;
            match self.faults.pop().unwrap_or(Fault::None) {
                Fault::None => self.send(generation, next, |d| d).await,
                Fault::Lose => {}
                Fault::Repeat => {
                    self.send(generation, next, |d| d).await;
                    self.send(generation, next, |d| d).await;
                }
                Fault::Overtake => {
                    self.send(generation, next + 1, |d| d).await;
                    self.send(generation, next, |d| d).await;
                }
                Fault::Stub => self.send(generation, next, |d| Decoded { event: None, ..d }).await,
                Fault::Stranger => {
                    let message = Message::fake(generation, Position(next), None);
                    self.fake.items.send(FromLive::Message(Box::new(message))).await.ok()?;
                }
                Fault::OtherEpoch => {
                    self.send(generation, next, |d| Decoded { epoch: Epoch(Uuid::max()), ..d })
                        .await;
                }
                Fault::OtherSequence => {
                    let decoded = self.decoded(next).await;
                    let message = Message::fake(generation, Position(next + 7), decoded);
                    self.fake.items.send(FromLive::Message(Box::new(message))).await.ok()?;
                }
                Fault::LoseConsumer => {
                    self.fake
                        .items
                        .send(FromLive::Lost(generation, "a fault".to_owned()))
                        .await
                        .ok()?;
                    return None;
                }
                Fault::Stall => return None,
            }
            next += 1;
        }
        Some(next)
    }

    async fn decoded(&self, position: i64) -> Option<Decoded> {
        let event =
            self.store.read(&Filter::All, Position(position - 1), 1).await.unwrap().pop()?;
        let encoded = encode(&event, self.store.head().await.unwrap().epoch, BIG_BROKER);
        Some(decode(&encoded.subject, &encoded.headers, &encoded.payload).unwrap())
    }

    async fn send(&self, generation: u64, position: i64, change: impl FnOnce(Decoded) -> Decoded) {
        let Some(mut decoded) = self.decoded(position).await.map(change) else { return };
        if self.foreign && generation % 2 == 1 {
            let id = Uuid::now_v7();
            decoded.mark.event_id = Some(id);
            decoded.event = decoded.event.map(|event| RecordedEvent { id, ..event });
        }
        let message = Message::fake(generation, Position(position), Some(decoded));
        // The follower may be gone; the test then ends.
        let _ = self.fake.items.send(FromLive::Message(Box::new(message))).await;
    }
}

/// Follows the log to its end while it grows. Returns the events, and whether the follower was ever
/// live.
async fn follow(
    appends: Vec<usize>,
    faults: Vec<Fault>,
    foreign: bool,
    max: usize,
) -> (MemoryStore, Vec<RecordedEvent>, bool) {
    let store = MemoryStore::new();
    append(&store, 1).await;
    let settings = FollowerSettings::default();
    let (live, fake) = Live::fake();
    let mut follower = Follower::new(Arc::new(store.clone()), None, settings.clone());
    follower.join = Some(Join::new(live, &settings));
    let broker = tokio::spawn(Broker { store: store.clone(), fake, faults, foreign }.run());
    let growing = tokio::spawn({
        let store = store.clone();
        async move {
            for count in appends {
                append(&store, count).await;
                tokio::time::sleep(Duration::from_millis(700)).await;
            }
        }
    });
    let (mut seen, mut was_live) = (Vec::new(), false);
    let reading = async {
        while !growing.is_finished() || follower.mark() != store.head().await.unwrap().mark {
            let batch = follower.next_batch(max).await.unwrap();
            was_live |= batch.mode == Mode::Live;
            assert!(batch.events.len() <= max);
            seen.extend(batch.events);
        }
    };
    tokio::time::timeout(LIMIT, reading).await.unwrap();
    broker.abort();
    (store, seen, was_live)
}

fn in_virtual_time<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(u32::try_from(local_servers::test_run().count(64,
        5_000)).unwrap()))]

    #[test]
    fn whatever_the_broker_delivers_the_log_comes_out(
        appends in proptest::collection::vec(1..40_usize, 1..12),
        faults in proptest::collection::vec(fault(), 0..200),
        foreign in any::<bool>(),
        max in 1..60_usize,
    ) {
        in_virtual_time(async {
            let (store, seen, _) = follow(appends, faults, foreign, max).await;
            let log = store.read(&Filter::All, Position::START, 10_000).await.unwrap();
            assert_eq!(format!("{seen:?}"), format!("{log:?}"));
        });
    }
}

#[test]
fn a_faultless_broker_is_followed_live() {
    in_virtual_time(async {
        let (_, seen, was_live) = follow(vec![10; 10], Vec::new(), false, 50).await;
        assert!(was_live && seen.len() == 101);
    });
}

#[test]
fn a_tail_that_the_stream_has_lost_comes_from_the_store_within_two_seconds() {
    in_virtual_time(async {
        let store = MemoryStore::new();
        append(&store, 5).await;
        let (live, fake) = Live::fake();
        let settings = FollowerSettings::default();
        let mut follower = Follower::new(Arc::new(store.clone()), None, settings.clone());
        follower.join = Some(Join::new(live, &settings));
        let broker = tokio::spawn(
            Broker { store: store.clone(), fake, faults: Vec::new(), foreign: false }.run(),
        );
        while follower.next_batch(10).await.unwrap().mode != Mode::Live {}
        // The broker stops delivering, but beacons continue.
        broker.abort();
        append(&store, 1).await;
        let head = store.head().await.unwrap();
        let since = Instant::now();
        if let Some(join) = &mut follower.join {
            let (live, fake) = Live::fake();
            fake.heard.send_replace(Some(Heard { head, at: Instant::now() }));
            join.live = live;
        }
        while follower.mark() != head.mark {
            follower.next_batch(10).await.unwrap();
        }
        assert!(since.elapsed() <= Duration::from_secs(2), "{:?}", since.elapsed());
    });
}

/// A follower that has joined and trusts the stream, and a broker that the test controls.
async fn joined(store: &MemoryStore) -> (Follower, Fake, u64) {
    let (live, mut fake) = Live::fake();
    let settings = FollowerSettings::default();
    let mut follower = Follower::new(Arc::new(store.clone()), None, settings.clone());
    follower.join = Some(Join::new(live, &settings));
    let head = store.head().await.unwrap();
    while follower.mark() != head.mark {
        follower.next_batch(1_000).await.unwrap();
    }
    fake.heard.send_replace(Some(Heard { head, at: Instant::now() }));
    while fake.starts.borrow_and_update().is_none() {
        follower.next_batch(1_000).await.unwrap();
        fake.heard.send_replace(Some(Heard { head, at: Instant::now() }));
    }
    let generation = fake.starts.borrow().map(|start| start.generation).unwrap();
    let proof = decoded(store, head.mark.position).await;
    send(&fake, generation, proof).await;
    while follower.next_batch(1_000).await.unwrap().mode != Mode::Live {}
    (follower, fake, generation)
}

async fn decoded(store: &MemoryStore, position: Position) -> Decoded {
    let event = store.read(&Filter::All, Position(position.0 - 1), 1).await.unwrap().remove(0);
    let encoded = encode(&event, store.head().await.unwrap().epoch, BIG_BROKER);
    decode(&encoded.subject, &encoded.headers, &encoded.payload).unwrap()
}

async fn send(fake: &Fake, generation: u64, decoded: Decoded) {
    let message = Message::fake(generation, decoded.mark.position, Some(decoded));
    assert!(fake.items.send(FromLive::Message(Box::new(message))).await.is_ok());
}

#[test]
fn a_message_of_another_epoch_is_not_handed_out_although_it_follows() {
    in_virtual_time(async {
        let store = MemoryStore::new();
        append(&store, 5).await;
        let (mut follower, fake, generation) = joined(&store).await;
        // The stream continues like another copy of the log.
        let Decoded { mark, event, .. } = decoded(&store, Position(5)).await;
        let mark = EventRef { position: mark.position.next(), event_id: Some(Uuid::now_v7()) };
        let event = event.map(|event| RecordedEvent {
            position: mark.position,
            id: mark.event_id.unwrap(),
            ..event
        });
        send(&fake, generation, Decoded { epoch: Epoch(Uuid::max()), mark, event }).await;
        let batch = follower.next_batch(10).await.unwrap();
        assert!(batch.events.is_empty() && batch.mode != Mode::Live, "{batch:?}");
        append(&store, 1).await;
        let own = store.head().await.unwrap().mark;
        while follower.mark() != own {
            follower.next_batch(10).await.unwrap();
        }
    });
}

#[test]
fn a_beacon_of_another_epoch_ends_the_trust_in_the_stream_though_nothing_was_appended() {
    in_virtual_time(async {
        let store = MemoryStore::new();
        append(&store, 5).await;
        let (mut follower, fake, _) = joined(&store).await;
        let head = Head { epoch: Epoch(Uuid::max()), ..store.head().await.unwrap() };
        fake.heard.send_replace(Some(Heard { head, at: Instant::now() }));
        let batch = follower.next_batch(10).await.unwrap();
        assert!(batch.events.is_empty() && batch.mode != Mode::Live, "{batch:?}");
    });
}

#[test]
fn a_batch_of_large_events_is_bounded_by_bytes_however_it_comes() {
    const LARGE: usize = 400 * 1024;
    const MOST: usize = event_store::store::MAX_PAGE_BYTES + LARGE + 1024;
    let bytes =
        |events: &[RecordedEvent]| events.iter().map(|event| event.data.get().len()).sum::<usize>();
    in_virtual_time(async {
        let store = MemoryStore::new();
        append(&store, 1).await;
        let (mut follower, fake, generation) = joined(&store).await;
        for _ in 0..60 {
            let metadata = Metadata::new(Uuid::nil());
            let event =
                NewEvent::json("thing.happened".parse().unwrap(), 1, &"x".repeat(LARGE), metadata)
                    .unwrap();
            let stream = StreamName::new("thing", Uuid::now_v7()).unwrap();
            let streams = vec![StreamAppend {
                stream,
                expected: ExpectedVersion::NoStream,
                events: vec![event],
            }];
            store.append(Append { streams, ..Append::default() }).await.unwrap();
        }
        for position in 2..=61 {
            send(&fake, generation, decoded(&store, Position(position)).await).await;
        }
        let live = follower.next_batch(1_000).await.unwrap();
        assert!(
            live.mode == Mode::Live && live.events.len() > 1 && bytes(&live.events) <= MOST,
            "{}",
            bytes(&live.events)
        );
        follower.seek(EventRef::START);
        let mut read = 0;
        while read < 61 {
            let batch = follower.next_batch(1_000).await.unwrap();
            assert!(bytes(&batch.events) <= MOST, "{}", bytes(&batch.events));
            read += batch.events.len();
        }
    });
}

#[test]
fn what_came_is_complete_as_of_the_last_look_at_the_head_and_not_while_there_is_more() {
    in_virtual_time(async {
        let store = MemoryStore::new();
        append(&store, 5).await;
        let settings = FollowerSettings::default();
        let mut polling = Follower::new(Arc::new(store.clone()), None, settings);
        let began = Instant::now();
        let some = polling.next_batch(3).await.unwrap();
        assert_eq!((some.events.len(), some.complete_at), (3, None));
        let rest = polling.next_batch(10).await.unwrap();
        assert!(rest.events.len() == 2 && rest.complete_at >= Some(began), "{rest:?}");
        let idle = polling.next_batch(10).await.unwrap();
        assert!(idle.events.is_empty() && idle.complete_at > rest.complete_at, "{idle:?}");
        polling.seek(EventRef::START);
        assert_eq!(polling.next_batch(3).await.unwrap().complete_at, None);

        let (mut live, fake, _) = joined(&store).await;
        live.next_batch(10).await.unwrap();
        let (head, at) = (store.head().await.unwrap(), Instant::now());
        fake.heard.send_replace(Some(Heard { head, at }));
        let idle = live.next_batch(10).await.unwrap();
        assert!(idle.mode == Mode::Live && idle.complete_at == Some(at), "{idle:?}");
    });
}

#[test]
fn a_beacon_that_may_have_waited_on_its_way_does_not_tell_the_head_of_its_time() {
    in_virtual_time(async {
        let mut join = Join::new(Live::fake().0, &FollowerSettings::default());
        let start = Instant::now();
        let is_fresh = [0, 1_000, 1_100, 2_100, 9_000, 10_000]
            .map(|at| join.is_fresh(start + Duration::from_millis(at)));
        assert_eq!(is_fresh, [false, true, false, true, false, true]);
    });
}
