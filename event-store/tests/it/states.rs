//! Stream states are the same with and without a cache and snapshots.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use event_store::snapshot::MAX_SNAPSHOT_BYTES;
use event_store::{
    Append, AsOf, CacheLimits, Epoch, EventRef, EventStore, ExpectedVersion, Filter, MemoryStore,
    NewEvent, Position, PostgresStore, RecordedEvent, Refusal, Registry, Snapshot, SnapshotPolicy,
    SnapshotStore, StateLoader, StoreError, StreamAppend, StreamName, StreamState, UpcastingLog,
    Version,
};
use local_servers::test_run;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::{
    append_to, appended, connect, database, event, metadata, on_both, plain, random, sqlstate,
    stream,
};

thread_local! {
    /// The number of events applied in this test, which has its own thread.
    static APPLIED: Cell<u64> = const { Cell::new(0) };
}

/// Returns the number of events that the loads in `work` applied.
async fn applied<T>(work: impl Future<Output = T>) -> (u64, T) {
    let before = APPLIED.get();
    let done = work.await;
    (APPLIED.get() - before, done)
}

/// The sum of the numbers in a stream's events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sum<const SHAPE: i32> {
    sum: u64,
    last: u64,
}

#[derive(Deserialize)]
struct Number {
    number: u64,
}

impl<const SHAPE: i32> StreamState for Sum<SHAPE> {
    type Error = serde_json::Error;
    const SHAPE: Option<i32> = if SHAPE == 0 { None } else { Some(SHAPE) };

    fn apply(self, event: &RecordedEvent) -> Result<Self, serde_json::Error> {
        APPLIED.set(APPLIED.get() + 1);
        let Number { number } = event.decode()?;
        Ok(Self { sum: self.sum.wrapping_mul(31).wrapping_add(number), last: number })
    }

    fn write(&self) -> Result<Box<RawValue>, serde_json::Error> {
        to_raw_value(self)
    }

    fn read(state: &RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(state.get())
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

/// A state that holds a person's name but declares that it may be stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Careless {
    #[serde(rename = "$personal")]
    name: String,
}

impl StreamState for Careless {
    type Error = std::convert::Infallible;
    const SHAPE: Option<i32> = Some(1);

    fn apply(self, _: &RecordedEvent) -> Result<Self, Self::Error> {
        Ok(Self { name: "Ada".to_owned() })
    }

    fn write(&self) -> Result<Box<RawValue>, serde_json::Error> {
        to_raw_value(self)
    }

    fn read(state: &RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(state.get())
    }

    fn heap_bytes(&self) -> usize {
        self.name.len()
    }
}

/// A store of events and of snapshots.
trait Both: EventStore + SnapshotStore {}
impl Both for PostgresStore {}
impl Both for MemoryStore {}

const EAGER: SnapshotPolicy = SnapshotPolicy { every: 10, slow: Duration::MAX, least: 10 };

const NEVER: SnapshotPolicy =
    SnapshotPolicy { every: i64::MAX, slow: Duration::MAX, least: i64::MAX };

fn log<S: Both>(store: &Arc<S>) -> UpcastingLog {
    UpcastingLog::new(
        Arc::clone(store) as _,
        Arc::new(Registry::new([("thing.happened", 1)], []).unwrap()),
    )
}

fn loader<S: Both>(store: &Arc<S>, limits: CacheLimits) -> StateLoader {
    StateLoader::new(log(store), limits)
}

fn without_cache() -> CacheLimits {
    CacheLimits { states: 0, bytes: 0 }
}

async fn grow<S: Both>(store: &Arc<S>, name: &StreamName, count: usize) {
    let events: Vec<NewEvent> = (0..count).map(|_| event("thing.happened")).collect();
    appended(store.append(append_to(name.clone(), ExpectedVersion::Any, events)).await.unwrap());
}

async fn epoch<S: Both>(store: &Arc<S>) -> Epoch {
    store.head().await.unwrap().epoch
}

/// Waits until the stream's snapshot has this version.
async fn until_kept<S: Both>(
    store: &Arc<S>,
    name: &StreamName,
    shape: i32,
    version: i64,
) -> Snapshot {
    let epoch = epoch(store).await;
    let waited = async {
        loop {
            match store.snapshot(name, shape, epoch).await.unwrap() {
                Some(kept) if kept.version == Version(version) => return kept,
                _ => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waited)
        .await
        .expect("the snapshot is kept in time")
}

on_both! {
    a_state_in_memory_needs_only_what_is_newer
    a_snapshot_is_taken_beside_the_load_and_spares_the_next_process_the_events_before_it
    a_slow_load_makes_a_snapshot_early
    a_snapshot_of_another_shape_epoch_or_history_is_passed_over_and_replaced
    a_snapshot_that_is_not_of_its_shape_is_passed_over
    a_snapshot_never_goes_back_and_has_a_limit
    a_state_that_is_not_kept_is_worked_out_each_time
    nothing_personal_is_kept_even_by_mistake
    a_stream_is_loaded_as_of_a_version_a_position_or_a_time
    a_closed_stream_has_the_state_from_before
    states_equal_the_fold_of_their_events_whatever_is_cached_and_kept
}

async fn a_state_in_memory_needs_only_what_is_newer<S: Both>(store: Arc<S>) {
    let (states, epoch, name) =
        (loader(&store, CacheLimits::default()), epoch(&store).await, stream("a"));
    grow(&store, &name, 30).await;
    assert_eq!(applied(states.load::<Sum<1>>(&name, epoch)).await.0, 30);
    assert_eq!(applied(states.load::<Sum<1>>(&name, epoch)).await.0, 0);
    grow(&store, &name, 2).await;
    let (count, warm) = applied(states.load::<Sum<1>>(&name, epoch)).await;
    let cold = loader(&store, without_cache()).load::<Sum<1>>(&name, epoch).await.unwrap();
    assert_eq!((count, warm.unwrap().state, cold.version), (2, cold.state, Version(32)));
    // A state of another epoch is not used.
    assert_eq!(applied(states.load::<Sum<1>>(&name, Epoch(Uuid::nil()))).await.0, 32);
}

async fn a_snapshot_is_taken_beside_the_load_and_spares_the_next_process_the_events_before_it<
    S: Both,
>(
    store: Arc<S>,
) {
    let (epoch, name) = (epoch(&store).await, stream("a"));
    grow(&store, &name, 500).await;
    let first = loader(&store, CacheLimits::default())
        .with_snapshots(Arc::clone(&store) as _, SnapshotPolicy::default());
    let expected = first.load::<Sum<1>>(&name, epoch).await.unwrap();
    until_kept(&store, &name, 1, 500).await;
    grow(&store, &name, 7).await;
    let next = loader(&store, CacheLimits::default())
        .with_snapshots(Arc::clone(&store) as _, SnapshotPolicy::default());
    let (count, found) = applied(next.load::<Sum<1>>(&name, epoch)).await;
    // The first page, and the events after the snapshot.
    assert_eq!((count, found.unwrap().version), (207, Version(507)));
    assert_eq!(expected.version, Version(500));
    // A few more events cause no new snapshot.
    assert_eq!(store.snapshot(&name, 1, epoch).await.unwrap().unwrap().version, Version(500));
}

async fn a_slow_load_makes_a_snapshot_early<S: Both>(store: Arc<S>) {
    let (epoch, name) = (epoch(&store).await, stream("a"));
    let policy = SnapshotPolicy { every: 1_000_000, slow: Duration::ZERO, least: 20 };
    let states =
        loader(&store, CacheLimits::default()).with_snapshots(Arc::clone(&store) as _, policy);
    grow(&store, &name, 20).await;
    states.load::<Sum<1>>(&name, epoch).await.unwrap();
    until_kept(&store, &name, 1, 20).await;
}

async fn a_snapshot_of_another_shape_epoch_or_history_is_passed_over_and_replaced<S: Both>(
    store: Arc<S>,
) {
    let (epoch, name) = (epoch(&store).await, stream("a"));
    grow(&store, &name, 300).await;
    let right = loader(&store, without_cache()).load::<Sum<2>>(&name, epoch).await.unwrap();
    let wrong = |shape, epoch, event_id| Snapshot {
        stream: name.clone(),
        shape,
        epoch,
        version: Version(300),
        last: EventRef { position: Position(300), event_id },
        state: to_raw_value(&Sum::<2> { sum: 666, last: 666 }).unwrap(),
    };
    let there = right.last.event_id;
    for unfit in [
        wrong(1, epoch, there),
        wrong(2, Epoch(Uuid::now_v7()), there),
        wrong(2, epoch, Some(Uuid::now_v7())),
    ] {
        store.keep_snapshot(unfit).await.unwrap();
        assert!(store.snapshot(&name, 2, epoch).await.unwrap().is_none());
        let states = loader(&store, without_cache()).with_snapshots(Arc::clone(&store) as _, NEVER);
        assert_eq!(states.load::<Sum<2>>(&name, epoch).await.unwrap().state, right.state);
    }
    // The last one has the right shape and epoch, so only a later version replaces it.
    grow(&store, &name, 250).await;
    let states = loader(&store, without_cache())
        .with_snapshots(Arc::clone(&store) as _, SnapshotPolicy::default());
    states.load::<Sum<2>>(&name, epoch).await.unwrap();
    until_kept(&store, &name, 2, 550).await;
}

async fn a_snapshot_that_is_not_of_its_shape_is_passed_over<S: Both>(store: Arc<S>) {
    let (epoch, name) = (epoch(&store).await, stream("a"));
    grow(&store, &name, 300).await;
    let right = loader(&store, without_cache()).load::<Sum<1>>(&name, epoch).await.unwrap();
    let state = RawValue::from_string(r#"{"canary": 1}"#.to_owned()).unwrap();
    let unfit = Snapshot {
        stream: name.clone(),
        shape: 1,
        epoch,
        version: right.version,
        last: right.last,
        state,
    };
    store.keep_snapshot(unfit).await.unwrap();
    let states = loader(&store, without_cache())
        .with_snapshots(Arc::clone(&store) as _, SnapshotPolicy::default());
    assert_eq!(states.load::<Sum<1>>(&name, epoch).await.unwrap().state, right.state);
}

async fn a_snapshot_never_goes_back_and_has_a_limit<S: Both>(store: Arc<S>) {
    let (epoch, name) = (epoch(&store).await, stream("a"));
    grow(&store, &name, 5).await;
    let events = store.read(&Filter::All, Position::START, 10).await.unwrap();
    let of = |version: usize, state: Box<RawValue>| {
        let last = events[version - 1].mark();
        Snapshot {
            stream: name.clone(),
            shape: 1,
            epoch,
            version: events[version - 1].version,
            last,
            state,
        }
    };
    for version in [3, 5, 4] {
        store.keep_snapshot(of(version, to_raw_value(&version).unwrap())).await.unwrap();
    }
    let kept = store.snapshot(&name, 1, epoch).await.unwrap().unwrap();
    assert_eq!((kept.version, kept.last, kept.state.get()), (Version(5), events[4].mark(), "5"));
    let large = to_raw_value(&"x".repeat(MAX_SNAPSHOT_BYTES)).unwrap();
    assert!(matches!(store.keep_snapshot(of(5, large)).await, Err(StoreError::Invalid(_))));
}

async fn a_state_that_is_not_kept_is_worked_out_each_time<S: Both>(store: Arc<S>) {
    let (epoch, name) = (epoch(&store).await, stream("a"));
    grow(&store, &name, 30).await;
    let states =
        loader(&store, CacheLimits::default()).with_snapshots(Arc::clone(&store) as _, EAGER);
    for _ in 0..2 {
        assert_eq!(applied(states.load::<Sum<0>>(&name, epoch)).await.0, 30);
    }
    assert_eq!(states.cache().size(), (0, 0));
}

async fn nothing_personal_is_kept_even_by_mistake<S: Both>(store: Arc<S>) {
    let (epoch, names) = (epoch(&store).await, (stream("careless"), stream("careful")));
    grow(&store, &names.0, 20).await;
    grow(&store, &names.1, 20).await;
    let states = loader(&store, without_cache()).with_snapshots(Arc::clone(&store) as _, EAGER);
    states.load::<Careless>(&names.0, epoch).await.unwrap();
    states.load::<Sum<1>>(&names.1, epoch).await.unwrap();
    // Snapshots are stored in order: once the second is there, the first was considered.
    until_kept(&store, &names.1, 1, 20).await;
    assert!(store.snapshot(&names.0, 1, epoch).await.unwrap().is_none());
}

async fn a_stream_is_loaded_as_of_a_version_a_position_or_a_time<S: Both>(store: Arc<S>) {
    let (epoch, name, other) = (epoch(&store).await, stream("a"), stream("b"));
    for _ in 0..3 {
        grow(&store, &name, 150).await;
        grow(&store, &other, 1).await;
    }
    let states =
        loader(&store, CacheLimits::default()).with_snapshots(Arc::clone(&store) as _, EAGER);
    states.load::<Sum<1>>(&name, epoch).await.unwrap();
    until_kept(&store, &name, 1, 450).await;
    let events = store.read_stream(&name, Version::NONE, 1_000).await.unwrap();
    for version in [0, 1, 199, 200, 201, 300, 449, 450] {
        let bound = usize::try_from(version).unwrap();
        let then = &events[..bound];
        let expected =
            then.iter().fold(Sum::<1>::default(), |sum, event| sum.apply(event).unwrap());
        let position = then.last().map_or(Position::START, |event| event.position);
        for as_of in [AsOf::Version(Version(version)), AsOf::Position(position)] {
            let found = states.load_as_of::<Sum<1>>(&name, epoch, as_of).await.unwrap();
            assert_eq!(
                (found.state, found.version),
                (expected.clone(), Version(version)),
                "{as_of:?}"
            );
        }
        if let Some(last) = then.last() {
            // All events recorded at the same time had happened then.
            let found = states
                .load_as_of::<Sum<1>>(&name, epoch, AsOf::Time(last.recorded_at))
                .await
                .unwrap();
            let same_time = events.partition_point(|event| event.recorded_at <= last.recorded_at);
            assert_eq!(found.version, events[same_time - 1].version);
        }
    }
    let (count, found) =
        applied(states.load_as_of::<Sum<1>>(&name, epoch, AsOf::Version(Version(9_999)))).await;
    assert_eq!(
        (count, found.unwrap().version),
        (200, Version(450)),
        "the events before a snapshot are not read here either"
    );
}

async fn a_closed_stream_has_the_state_from_before<S: Both>(store: Arc<S>) {
    let (states, epoch, name) =
        (loader(&store, CacheLimits::default()), epoch(&store).await, stream("a"));
    grow(&store, &name, 3).await;
    let before = states.load::<Sum<1>>(&name, epoch).await.unwrap();
    let closing =
        StreamAppend::closing(name.clone(), ExpectedVersion::Exact(Version(3)), metadata());
    appended(store.append(Append { streams: vec![closing], ..Append::default() }).await.unwrap());
    let closed = states.load::<Sum<1>>(&name, epoch).await.unwrap();
    assert_eq!((closed.state, closed.version), (before.state, Version(4)));
    let more =
        append_to(name.clone(), ExpectedVersion::Exact(Version(4)), vec![event("thing.happened")]);
    let told = states.log().check(&more).await.unwrap();
    assert!(matches!(&told, Some(Refusal::Closed { stream }) if *stream == name), "{told:?}");
    assert_eq!(states.log().unreadable().await.unwrap(), []);
}

async fn states_equal_the_fold_of_their_events_whatever_is_cached_and_kept<S: Both>(store: Arc<S>) {
    let (mut random, epoch) = (random(), epoch(&store).await);
    let tight = CacheLimits { states: 3, bytes: 3_000 };
    let processes = [loader(&store, tight), loader(&store, CacheLimits::default())];
    let processes = processes.map(|states| states.with_snapshots(Arc::clone(&store) as _, EAGER));
    for round in 0..test_run().count(40, 1_000) {
        let name = stream(random.random_range(0..6));
        let grown = if random.random_bool(0.1) { 150 } else { random.random_range(1..4) };
        grow(&store, &name, grown).await;
        let states = &processes[random.random_range(0..2)];
        let found = states.load::<Sum<1>>(&name, epoch).await.unwrap();
        let naive = loader(&store, without_cache()).load::<Sum<0>>(&name, epoch).await.unwrap();
        assert_eq!((found.version, found.last), (naive.version, naive.last), "round {round}");
        assert_eq!(
            (found.state.sum, found.state.last),
            (naive.state.sum, naive.state.last),
            "round {round}"
        );
    }
}

#[tokio::test]
async fn only_an_appender_keeps_snapshots() {
    let database = database().await;
    let store = connect(database.url()).await;
    let events =
        vec![NewEvent::json("thing.happened".parse().unwrap(), 1, &1, metadata()).unwrap()];
    let last =
        appended(store.append(append_to(stream("a"), ExpectedVersion::Any, events)).await.unwrap());
    let kept = |last| Snapshot {
        stream: stream("a"),
        shape: 1,
        epoch: Epoch(Uuid::nil()),
        version: Version(1),
        last,
        state: to_raw_value(&1).unwrap(),
    };
    connect(&database.url_in_group("event_store_appender").await)
        .await
        .keep_snapshot(kept(last.last))
        .await
        .unwrap();
    for group in ["event_store_reader", "event_store_relay"] {
        let url = database.url_in_group(group).await;
        assert!(connect(&url).await.keep_snapshot(kept(last.last)).await.is_err(), "{group}");
        for statement in
            ["DELETE FROM event_store.snapshots", "UPDATE event_store.snapshots SET shape = 2"]
        {
            let error = sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut plain(&url).await)
                .await
                .unwrap_err();
            assert_eq!(sqlstate(&error), "42501", "{group}: {statement}");
        }
    }
}
