//! A silent server, as opposed to a dead one. Every call ends in time, other calls continue, and
//! everything recovers soon after the server answers again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use event_store::KeyError;
use event_store::encryption::{
    LedgerEntry, MemoryKeys, StoredKey, SubjectKeyStore, VaultOptions, WrappedKey,
};
use event_store::postgres::PostgresKeys;
use event_store::{
    AppendOutcome, EncryptingStore, EventRef, EventStore, ExpectedVersion, Filter, Head,
    MemoryStore, NewEvent, Position, PostgresStore, StoreError, Vault,
};
use futures::future::join_all;
use local_servers::{ClusterOptions, PostgresCluster, Stopped, in_time, until_within};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::keys::{keys_database, master};
use crate::support::{
    append_to, appended, check_dense, connect, database, metadata, one, options, plain,
    reservation, stream,
};

/// The maximum time of a call on a silent connection: its limit, plus slack for a loaded machine.
const CALL: Duration = Duration::from_secs(8);
/// The maximum time until a process reports that it cannot work.
const NOTICED: Duration = Duration::from_secs(10);
/// The maximum time to recover after the silence.
const HEALED: Duration = Duration::from_secs(5);

fn key(byte: u8) -> WrappedKey {
    WrappedKey { master: "m".to_owned(), bytes: vec![byte; 4] }
}

async fn ensure(keys: &PostgresKeys, subject: u128) -> Result<Vec<StoredKey>, KeyError> {
    keys.ensure(&[(Uuid::from_u128(subject), key(1))]).await
}

/// Returns the backends whose last statement begins like this.
async fn backends(admin: &mut PgConnection, like: &str) -> Vec<i32> {
    let ask = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> \
        pg_backend_pid() AND query LIKE $1";
    sqlx::query_scalar::<_, i32>(ask).bind(format!("{like}%")).fetch_all(admin).await.unwrap()
}

async fn stop(admin: &mut PgConnection, like: &str) -> Stopped {
    Stopped::stop(backends(admin, like).await)
}

/// Waits until `work` succeeds, at most as long as the recovery may take.
async fn heals<T, E: std::fmt::Debug>(mut work: impl AsyncFnMut() -> Result<T, E>) -> T {
    let since = Instant::now();
    loop {
        match work().await {
            Ok(done) => return done,
            Err(error) => assert!(since.elapsed() < HEALED, "it did not recover: {error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_backend_that_adds_keys_is_left_behind() {
    let database = keys_database().await;
    let mut admin = plain(database.url()).await;
    let keys = PostgresKeys::connect(database.url(), "silent keys").await.unwrap();
    ensure(&keys, 1).await.unwrap();
    let stopped = stop(&mut admin, "INSERT INTO subject_keys.keys").await;
    let started = Instant::now();
    let several = (2..10).map(|subject| ensure(&keys, subject));
    for added in in_time("every answer", join_all(several)).await {
        assert_eq!(added.unwrap(), [StoredKey::Wrapped(key(1))], "another connection adds it");
    }
    assert!(started.elapsed() < CALL, "{:?}", started.elapsed());
    drop(stopped);
    heals(async || ensure(&keys, 11).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_a_silent_backend_holds_is_an_answer_in_time_and_other_rows_are_added() {
    let database = keys_database().await;
    let (mut admin, mut holder) = (plain(database.url()).await, plain(database.url()).await);
    let keys = PostgresKeys::connect(database.url(), "silent keys").await.unwrap();
    let begin = "BEGIN; INSERT INTO subject_keys.keys (subject, master, wrapped) VALUES \
        ('00000000-0000-0000-0000-000000000001', 'm', 'x')";
    sqlx::raw_sql(begin).execute(&mut holder).await.unwrap();
    let stopped = stop(&mut admin, "BEGIN; INSERT INTO subject_keys.keys").await;
    let started = Instant::now();
    // More calls than could run one after the other in time.
    for held in join_all((0..40).map(|_| ensure(&keys, 1))).await {
        assert!(matches!(held, Err(KeyError::Unavailable(_))), "{held:?}");
    }
    ensure(&keys, 2).await.unwrap();
    assert!(started.elapsed() < CALL, "{:?}", started.elapsed());
    drop((stopped, holder));
    heals(async || ensure(&keys, 1).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_backends_that_find_keys_cost_one_limit_and_are_replaced() {
    let database = keys_database().await;
    let mut admin = plain(database.url()).await;
    let keys = PostgresKeys::connect(database.url(), "silent keys").await.unwrap();
    ensure(&keys, 1).await.unwrap();
    let subjects = [Uuid::from_u128(1)];
    // As many calls as the pool has connections.
    join_all((0..8).map(|_| keys.find(&subjects))).await;
    let stopped = stop(&mut admin, "SELECT%FROM unnest").await;
    let started = Instant::now();
    let asked = join_all((0..8).map(|_| keys.find(&subjects)));
    for found in in_time("every answer", asked).await {
        assert!(matches!(found, Ok(_) | Err(KeyError::Unavailable(_))), "{found:?}");
    }
    assert!(started.elapsed() < CALL, "{:?}", started.elapsed());
    // The backends are still stopped.
    heals(async || keys.find(&subjects).await).await;
    drop(stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_backends_for_reads_cost_one_limit_and_are_replaced() {
    let database = database().await;
    let store = connect(database.url()).await;
    appended(store.append(one("a")).await.unwrap());
    let mut admin = plain(database.url()).await;
    // As many calls as the pool has connections: only new connections can help.
    join_all((0..8).map(|_| store.head())).await;
    let stopped = stop(&mut admin, "SELECT%FROM event_store.log AS l").await;
    let started = Instant::now();
    for read in join_all((0..20).map(|_| store.head())).await {
        assert!(matches!(read, Ok(_) | Err(StoreError::Unavailable(_))), "{read:?}");
    }
    assert!(started.elapsed() < CALL, "{:?}", started.elapsed());
    // The backends are still stopped.
    heals(async || store.head().await).await;
    assert_eq!(heals(async || store.read(&Filter::All, Position::START, 10).await).await.len(), 1);
    drop(stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_connections_for_reads_are_all_at_work_is_busy_and_ready() {
    let database = database().await;
    let store = connect(database.url()).await;
    let mut holder = plain(database.url()).await;
    sqlx::raw_sql("BEGIN; LOCK TABLE event_store.reservations IN ACCESS EXCLUSIVE MODE")
        .execute(&mut holder)
        .await
        .unwrap();
    let reservations = [reservation(1)];
    // As many reads as there are connections.
    let reads = join_all((0..4).map(|_| store.reservation_owners(&reservations)));
    let ready = async {
        let mut admin = plain(database.url()).await;
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
            AND wait_event_type = 'Lock'";
        until_within(HEALED, "all wait for the lock", async || {
            sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut admin).await.unwrap() == 4
        })
        .await;
        let ready = store.ready().await;
        drop(holder);
        ready
    };
    let (reads, ready) = tokio::join!(reads, ready);
    ready.unwrap();
    for read in reads {
        assert_eq!(read.unwrap(), [None]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_held_in_silence_makes_the_store_not_ready_until_it_is_free() {
    let database = database().await;
    let store = connect(database.url()).await;
    appended(store.append(one("a")).await.unwrap());
    store.ready().await.unwrap();
    let mut holder = plain(database.url()).await;
    sqlx::raw_sql("BEGIN; SELECT epoch FROM event_store.log FOR UPDATE")
        .execute(&mut holder)
        .await
        .unwrap();
    let mut admin = plain(database.url()).await;
    let stopped = stop(&mut admin, "BEGIN; SELECT epoch FROM event_store.log").await;
    let started = Instant::now();
    let outcome = store.append(one("b")).await;
    assert!(
        matches!(outcome, Err(StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_))),
        "{outcome:?}"
    );
    let ready = store.ready().await;
    assert!(
        matches!(ready, Err(StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_))),
        "{ready:?}"
    );
    assert!(started.elapsed() < NOTICED, "{:?}", started.elapsed());
    assert_eq!(store.head().await.unwrap().mark.position, Position(1), "it can be read");
    drop((stopped, holder));
    heals(async || store.ready().await).await;
    assert_eq!(store.head().await.unwrap().mark.position, Position(1), "looking appended nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_noticed_by_every_call_in_time_and_forgiven_soon_after() {
    let cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    event_store::postgres::migrate(&cluster.url()).await.unwrap();
    event_store::postgres::keys::migrate(&cluster.url()).await.unwrap();
    let url = cluster.url();
    let store = PostgresStore::connect(options(&url)).await.unwrap();
    let keys = PostgresKeys::connect(&url, "silent keys").await.unwrap();
    appended(store.append(one("a")).await.unwrap());
    ensure(&keys, 1).await.unwrap();
    cluster.pause();
    let started = Instant::now();
    let (ready, added, applied, append, digested, anew, keys_anew) = tokio::join!(
        store.ready(),
        ensure(&keys, 2),
        keys.applied(),
        store.append(one("b")),
        store.digest(),
        PostgresStore::connect(options(&url)),
        PostgresKeys::connect(&url, "silent keys"),
    );
    let took = started.elapsed();
    assert!(matches!(ready, Err(StoreError::Unavailable(_))), "{ready:?}");
    assert!(matches!(added, Err(KeyError::Unavailable(_))), "{added:?}");
    assert!(matches!(applied, Err(KeyError::Unavailable(_))), "{applied:?}");
    assert!(
        matches!(append, Err(StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_))),
        "{append:?}"
    );
    assert!(matches!(digested, Err(StoreError::Unavailable(_))), "{digested:?}");
    assert!(matches!(anew.err(), Some(StoreError::Unavailable(_))));
    assert!(matches!(keys_anew.err(), Some(KeyError::Unavailable(_))));
    assert!(took < NOTICED + HEALED, "digesting takes longer than allowed: {took:?}");
    let started = Instant::now();
    assert!(store.ready().await.is_err());
    assert!(started.elapsed() < CALL, "{:?}", started.elapsed());
    cluster.resume();
    heals(async || store.ready().await).await;
    heals(async || ensure(&keys, 2).await).await;
    heals(async || store.append(one("c")).await).await;
    check_dense(&store).await;
}

/// A key store that makes no key because it never answers.
struct Silent(MemoryKeys);

#[async_trait]
impl SubjectKeyStore for Silent {
    async fn find(&self, _: &[Uuid]) -> Result<Vec<Option<StoredKey>>, KeyError> {
        std::future::pending().await
    }
    async fn ensure(&self, _: &[(Uuid, WrappedKey)]) -> Result<Vec<StoredKey>, KeyError> {
        std::future::pending().await
    }
    async fn destroy(&self, subject: Uuid, by: &str) -> Result<LedgerEntry, KeyError> {
        self.0.destroy(subject, by).await
    }
    async fn record(
        &self,
        subject: Uuid,
        erased_at: EventRef,
        released: i64,
    ) -> Result<(), KeyError> {
        self.0.record(subject, erased_at, released).await
    }
    async fn entry(&self, subject: Uuid) -> Result<Option<LedgerEntry>, KeyError> {
        self.0.entry(subject).await
    }
    async fn ledger(&self, after: Uuid, limit: u32) -> Result<Vec<LedgerEntry>, KeyError> {
        self.0.ledger(after, limit).await
    }
    async fn applied(&self) -> Result<EventRef, KeyError> {
        self.0.applied().await
    }
    async fn set_applied(&self, mark: EventRef) -> Result<(), KeyError> {
        self.0.set_applied(mark).await
    }
    async fn known_head(&self) -> Result<Option<Head>, KeyError> {
        self.0.known_head().await
    }
    async fn set_known_head(&self, head: Head) -> Result<(), KeyError> {
        self.0.set_known_head(head).await
    }
    async fn not_wrapped_by(
        &self,
        master: &str,
        limit: u32,
    ) -> Result<Vec<(Uuid, WrappedKey)>, KeyError> {
        self.0.not_wrapped_by(master, limit).await
    }
    async fn rewrap(&self, keys: Vec<(Uuid, WrappedKey, WrappedKey)>) -> Result<u64, KeyError> {
        self.0.rewrap(keys).await
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_silent_keys_are_few_and_do_not_wait_long() {
    let vault =
        Vault::new(Arc::new(Silent(MemoryKeys::new())), master(&[1]), VaultOptions::default());
    let task = vault.task();
    let store = Arc::new(EncryptingStore::new(Arc::new(MemoryStore::new()) as _, vault));
    let personal = |subject: u128| {
        let data = json!({"name": {"$subject": Uuid::from_u128(subject), "$personal": "Ada"}});
        let event = NewEvent::json("thing.named".parse().unwrap(), 1, &data, metadata()).unwrap();
        append_to(stream(subject), ExpectedVersion::NoStream, vec![event])
    };
    let waiting = (1..=4_096).map(|subject| {
        let (store, append) = (Arc::clone(&store), personal(subject));
        async move {
            let started = tokio::time::Instant::now();
            (store.append(append).await, started.elapsed())
        }
    });
    let waiting = tokio::spawn(join_all(waiting));
    // Wait until the task that makes keys waits for its first answer.
    for _ in 0..20 {
        if task.pulse.silence() > Duration::ZERO {
            break;
        }
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    let others = store.append(one("nobody")).await.unwrap();
    assert!(matches!(others, AppendOutcome::Appended(_)));
    assert!(task.pulse.silence() > Duration::ZERO, "the task that creates keys makes no progress");
    let (mut at_once, mut waited) = (0, 0);
    for (outcome, took) in waiting.await.unwrap() {
        assert!(matches!(outcome, Err(StoreError::Keys(KeyError::Unavailable(_)))), "{outcome:?}");
        assert!(took < CALL, "{took:?}");
        if took < Duration::from_secs(1) { at_once += 1 } else { waited += 1 }
    }
    assert_eq!((at_once, waited), (4_096 - 1_024, 1_024));
}
