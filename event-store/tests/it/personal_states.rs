//! States with personal data. The cache and snapshots only speed up their loads, and an erasure
//! reaches both.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use event_store::EncryptingStore;
use event_store::encryption::{MemoryKeys, SubjectKeyStore, Vault, VaultOptions};
use event_store::erasure::{EraseRequest, erase};
use event_store::subject::subject_stream;
use event_store::{
    CacheLimits, Current, EventStore, ExpectedVersion, MemoryStore, NewEvent, RecordedEvent,
    Registry, SnapshotPolicy, SnapshotStore, StateLoader, StreamName, StreamState, UpcastingLog,
    Version,
};
use local_servers::{test_run, until};
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::keys::{keys_database, master, postgres_keys};
use crate::support::{append_to, appended, connect, database, metadata, plain, random, stream};

const ADA: Uuid = Uuid::from_u128(0xada);
const BOB: Uuid = Uuid::from_u128(0xb0b);
const SECRET: &str = "Ada Lovelace";
const EVERY_EVENT: SnapshotPolicy = SnapshotPolicy { every: 1, slow: Duration::MAX, least: 1 };

thread_local! {
    /// The number of events applied in this test, which has its own thread.
    static APPLIED: Cell<u64> = const { Cell::new(0) };
}

/// The names in a stream without their personal marks: nothing in this state says whose they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Names(Vec<Option<String>>);

impl StreamState for Names {
    type Error = serde_json::Error;
    const SHAPE: Option<i32> = Some(1);

    fn apply(mut self, event: &RecordedEvent) -> Result<Self, serde_json::Error> {
        APPLIED.set(APPLIED.get() + 1);
        let data: Value = event.decode()?;
        self.0.push(data["name"]["$personal"].as_str().map(str::to_owned));
        Ok(self)
    }

    fn write(&self) -> Result<Box<RawValue>, serde_json::Error> {
        to_raw_value(self)
    }

    fn read(state: &RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(state.get())
    }

    fn heap_bytes(&self) -> usize {
        self.0.iter().flatten().map(String::len).sum()
    }
}

/// A process that loads states.
struct Process {
    encrypted: Arc<EncryptingStore>,
    states: StateLoader,
}

/// The log with its snapshots and the keys, which the processes share.
struct Shared<S> {
    store: Arc<S>,
    keys: Arc<dyn SubjectKeyStore>,
}

fn log(store: Arc<dyn EventStore>) -> UpcastingLog {
    UpcastingLog::new(store, Arc::new(Registry::new([("thing.named", 1)], []).unwrap()))
}

impl<S: EventStore + SnapshotStore> Shared<S> {
    fn process(&self, limits: CacheLimits) -> Process {
        self.process_with(limits, VaultOptions::default())
    }

    fn process_with(&self, limits: CacheLimits, options: VaultOptions) -> Process {
        let vault = Vault::new(Arc::clone(&self.keys), master(&[1]), options);
        let encrypted = Arc::new(EncryptingStore::new(Arc::clone(&self.store) as _, vault));
        let states = StateLoader::new(log(Arc::clone(&encrypted) as _), limits);
        Process {
            encrypted,
            states: states.with_snapshots(Arc::clone(&self.store) as _, EVERY_EVENT),
        }
    }
}

fn in_memory() -> Shared<MemoryStore> {
    Shared { store: Arc::new(MemoryStore::new()), keys: Arc::new(MemoryKeys::new()) }
}

fn named(subject: Uuid, name: &str) -> NewEvent {
    let data = json!({"name": {"$subject": subject, "$personal": name}});
    NewEvent::json("thing.named".parse().unwrap(), 1, &data, metadata()).unwrap()
}

fn request(subject: Uuid) -> EraseRequest {
    EraseRequest { subject, by: "ops-7".to_owned() }
}

impl Process {
    async fn name(&self, stream: &StreamName, subject: Uuid, name: &str) {
        appended(
            self.encrypted
                .append(append_to(stream.clone(), ExpectedVersion::Any, vec![named(subject, name)]))
                .await
                .unwrap(),
        );
    }

    /// Loads the state, and returns the number of events applied for it.
    async fn load(&self, stream: &StreamName) -> (Current<Names>, u64) {
        let (before, epoch) = (APPLIED.get(), self.encrypted.head().await.unwrap().epoch);
        let current = self.states.load::<Names>(stream, epoch).await.unwrap();
        (current, APPLIED.get() - before)
    }

    async fn names(&self, stream: &StreamName) -> Vec<Option<String>> {
        self.load(stream).await.0.state.0
    }

    fn holds_no_state(&self) -> bool {
        self.states.cache().size().0 == 0
    }
}

fn ada() -> Vec<Option<String>> {
    vec![Some(SECRET.to_owned())]
}

#[tokio::test]
async fn a_state_with_personal_data_stays_in_memory_until_its_subject_is_erased_here_or_elsewhere()
{
    let shared = in_memory();
    let (here, elsewhere) =
        (shared.process(CacheLimits::default()), shared.process(CacheLimits::default()));
    let name = stream("a");
    here.name(&name, ADA, SECRET).await;
    for process in [&here, &elsewhere] {
        assert_eq!(process.names(&name).await, ada());
        let (again, applied) = process.load(&name).await;
        assert_eq!((again.state.0, applied), (ada(), 0), "from memory");
    }
    erase(here.encrypted.as_ref(), shared.keys.as_ref(), &request(ADA)).await.unwrap();
    assert!(here.holds_no_state(), "the state is dropped at once, without a query");
    assert_eq!(here.names(&name).await, [None]);
    until("the other process notices by itself", async || elsewhere.holds_no_state()).await;
    assert_eq!(elsewhere.names(&name).await, [None]);
    // The remaining state has no value of hers, so it may stay.
    assert_eq!(elsewhere.load(&name).await.1, 0);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_hears_nothing_shows_a_value_from_memory_no_longer_than_a_key_lives() {
    let shared = in_memory();
    let lifetime = Duration::from_mins(1);
    let process = shared.process_with(
        CacheLimits::default(),
        VaultOptions { key_lifetime: lifetime, ..VaultOptions::default() },
    );
    let name = stream("a");
    process.name(&name, ADA, SECRET).await;
    assert_eq!(process.names(&name).await, ada());
    // The key is destroyed without an event in the log.
    shared.keys.destroy(ADA, "ops-7").await.unwrap();
    tokio::time::advance(lifetime + Duration::from_secs(1)).await;
    assert_eq!(process.names(&name).await, [None]);
}

#[tokio::test(start_paused = true)]
async fn a_state_in_memory_alone_is_not_shown_either_once_a_key_has_lived_its_time() {
    let shared = in_memory();
    let lifetime = Duration::from_mins(1);
    let process = shared.process_with(
        CacheLimits::default(),
        VaultOptions { key_lifetime: lifetime, ..VaultOptions::default() },
    );
    // Only the check of the keys can notice the erasure. Snapshots are off because storing one
    // checks the keys too.
    let states = StateLoader::new(log(Arc::clone(&process.encrypted) as _), CacheLimits::default());
    let process = Process { states, ..process };
    let name = stream("a");
    process.name(&name, ADA, SECRET).await;
    assert_eq!(process.names(&name).await, ada());
    assert_eq!(process.load(&name).await.1, 0, "from memory");
    shared.keys.destroy(ADA, "ops-7").await.unwrap();
    tokio::time::advance(lifetime + Duration::from_secs(1)).await;
    assert_eq!(process.names(&name).await, [None]);
}

#[tokio::test]
async fn a_state_is_dropped_when_one_of_several_in_it_is_erased_and_the_others_values_stay() {
    let shared = in_memory();
    let process = shared.process(CacheLimits::default());
    let name = stream("a");
    process.name(&name, ADA, SECRET).await;
    process.name(&name, BOB, "Bob").await;
    let both = vec![Some(SECRET.to_owned()), Some("Bob".to_owned())];
    assert_eq!(process.names(&name).await, both);
    erase(process.encrypted.as_ref(), shared.keys.as_ref(), &request(ADA)).await.unwrap();
    assert_eq!(process.names(&name).await, [None, Some("Bob".to_owned())]);
    erase(process.encrypted.as_ref(), shared.keys.as_ref(), &request(BOB)).await.unwrap();
    assert!(process.holds_no_state());
}

#[tokio::test]
async fn without_a_vault_a_state_with_personal_data_is_neither_held_nor_kept() {
    let store = Arc::new(MemoryStore::new());
    let states = StateLoader::new(log(Arc::clone(&store) as _), CacheLimits::default());
    let states = states.with_snapshots(Arc::clone(&store) as _, EVERY_EVENT);
    let epoch = store.head().await.unwrap().epoch;
    let (personal, other) = (stream("a"), stream("b"));
    appended(
        store
            .append(append_to(personal.clone(), ExpectedVersion::Any, vec![named(ADA, SECRET)]))
            .await
            .unwrap(),
    );
    let nobody = NewEvent::json("thing.named".parse().unwrap(), 1, &json!({}), metadata()).unwrap();
    appended(
        store.append(append_to(other.clone(), ExpectedVersion::Any, vec![nobody])).await.unwrap(),
    );
    assert_eq!(states.load::<Names>(&personal, epoch).await.unwrap().state.0, ada());
    assert_eq!(states.cache().size(), (0, 0));
    states.load::<Names>(&other, epoch).await.unwrap();
    // Snapshots are stored in order: once the second is there, the first would be.
    until("the other is kept", async || store.snapshot(&other, 1, epoch).await.unwrap().is_some())
        .await;
    assert!(store.snapshot(&personal, 1, epoch).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_personal_snapshot_is_encrypted_used_by_others_and_unused_after_the_erasure() {
    let (log, keys) = (database().await, keys_database().await);
    let shared =
        Shared { store: Arc::new(connect(log.url()).await), keys: postgres_keys(keys.url()).await };
    let first = shared.process(CacheLimits::default());
    let (name, epoch) = (stream("a"), first.encrypted.head().await.unwrap().epoch);
    // A snapshot is looked up once there is more than one page.
    let many = (0..300).map(|_| named(ADA, SECRET)).collect();
    appended(
        first.encrypted.append(append_to(name.clone(), ExpectedVersion::Any, many)).await.unwrap(),
    );
    first.load(&name).await;
    until("it is kept", async || shared.store.snapshot(&name, 1, epoch).await.unwrap().is_some())
        .await;
    let kept = shared.store.snapshot(&name, 1, epoch).await.unwrap().unwrap();
    assert!(
        kept.state.get().contains(&ADA.to_string()) && !kept.state.get().contains("Lovelace"),
        "{}",
        kept.state
    );

    let next = shared.process(CacheLimits::default());
    let (current, _) = next.load(&name).await;
    assert_eq!(
        (current.version, current.state),
        (Version(300), Names(vec![Some(SECRET.to_owned()); 300]))
    );
    assert_eq!(
        shared.process(CacheLimits::default()).load(&name).await.1,
        200,
        "only the first page was read"
    );

    erase(shared.store.as_ref(), shared.keys.as_ref(), &request(ADA)).await.unwrap();
    let cold = shared.process(CacheLimits::default());
    let (current, _) = cold.load(&name).await;
    assert_eq!((current.version, current.state), (Version(300), Names(vec![None; 300])));
    // A state without her replaces it. It needs no encryption, although the stream has not grown.
    until("it is replaced", async || {
        let kept = shared.store.snapshot(&name, 1, epoch).await.unwrap().unwrap();
        !kept.state.get().contains("$sealed")
    })
    .await;
    assert_eq!(shared.process(CacheLimits::default()).load(&name).await.1, 200);
    let found: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT count(*) FROM event_store.snapshots WHERE state::text LIKE '%{SECRET}%' OR \
            state::text LIKE '%encrypted%'"
    )))
    .fetch_one(&mut plain(log.url()).await)
    .await
    .unwrap();
    assert_eq!(found, 0);
}

#[tokio::test]
async fn p7_after_an_erasure_neither_memory_nor_snapshots_give_a_value_away() {
    let (shared, mut random) = (in_memory(), random());
    let tight = CacheLimits { states: 3, bytes: 3_000 };
    let processes = [
        shared.process(tight),
        shared.process(CacheLimits::default()),
        shared.process(CacheLimits::default()),
    ];
    let mut erased = Vec::new();
    for round in 0..test_run().count(100, 2_000) {
        let (name, subject) =
            (stream(random.random_range(0..6)), Uuid::from_u128(random.random_range(0..40)));
        let process = &processes[random.random_range(0..3)];
        match random.random_range(0..12) {
            0 if erased.len() < 39 => {
                erase(shared.store.as_ref(), shared.keys.as_ref(), &request(subject))
                    .await
                    .unwrap();
                erased.push(subject);
                for process in &processes {
                    // It reads the erasure.
                    process
                        .encrypted
                        .read_stream(&subject_stream(subject).unwrap(), Version::NONE, 1)
                        .await
                        .unwrap();
                }
            }
            1..5 if !erased.contains(&subject) => {
                let events = (0..random.random_range(1..50))
                    .map(|_| named(subject, &subject.to_string()))
                    .collect();
                appended(
                    process
                        .encrypted
                        .append(append_to(name.clone(), ExpectedVersion::Any, events))
                        .await
                        .unwrap(),
                );
            }
            _ => {}
        }
        let (found, naive) = (process.load(&name).await.0, processes[0].encrypted.as_ref());
        let events = naive.read_stream(&name, Version::NONE, 10_000).await.unwrap();
        let expected =
            events.iter().fold(Names::default(), |names, event| names.apply(event).unwrap());
        assert_eq!(found.state, expected, "round {round}");
        let shown = |subject: &Uuid| found.state.0.contains(&Some(subject.to_string()));
        assert!(!erased.iter().any(shown), "round {round}: a value of an erased person");
    }
    assert!(!erased.is_empty());
}

/// A state with pending events is used only as long as no subject with values in it is erased.
#[tokio::test]
async fn a_state_ahead_of_the_log_is_not_used_once_a_subject_of_it_is_erased() {
    let shared = in_memory();
    let process = shared.process(CacheLimits::default());
    let stream = stream("a");
    process.name(&stream, ADA, SECRET).await;
    let (current, _) = process.load(&stream).await;
    let next = named(BOB, "Bob");
    let names = Names([current.state.0.clone(), vec![Some("Bob".to_owned())]].concat());
    let ahead = current.followed_by(names, std::slice::from_ref(&next));
    assert_eq!(ahead.behind(), ExpectedVersion::Behind { version: Version(2), event_id: next.id });
    let made = appended(
        process
            .encrypted
            .append(append_to(stream.clone(), current.behind(), vec![next]))
            .await
            .unwrap(),
    );
    assert!(process.states.may_use(&ahead).await.unwrap());
    let epoch = process.encrypted.head().await.unwrap().epoch;
    process.states.confirm(&stream, epoch, ahead.clone(), made.last);
    let (confirmed, applied) = process.load(&stream).await;
    assert_eq!(
        (&confirmed.state, confirmed.last, applied),
        (&ahead.state, made.last, 0),
        "it is kept like a loaded one"
    );
    // Bob's values came with the pending event.
    erase(process.encrypted.as_ref(), shared.keys.as_ref(), &request(BOB)).await.unwrap();
    assert!(!process.states.may_use(&ahead).await.unwrap());
    let unreachable = StateLoader::new(log(Arc::clone(&shared.store) as _), CacheLimits::default());
    assert!(
        !unreachable.may_use(&ahead).await.unwrap(),
        "without a vault no erasure would reach it"
    );
}
