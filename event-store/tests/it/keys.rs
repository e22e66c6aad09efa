//! The key store. Postgres and memory keep the same promises. Also the rights of roles, and the
//! rotation of the master key.

use std::sync::Arc;

use event_store::KeyError;
use event_store::encryption::{
    LocalMasterKeys, MasterKeys, MemoryKeys, StoredKey, SubjectKey, SubjectKeyStore, WrappedKey,
    rotate,
};
use event_store::postgres::PostgresKeys;
use event_store::postgres::keys::{migrate, schema_fingerprint};
use event_store::{Epoch, EventRef, Head, Position};
use local_servers::{ClusterOptions, PostgresCluster, TestDatabase};
use sqlx::{AssertSqlSafe, Connection};
use uuid::Uuid;

use crate::support::{plain, sqlstate};

/// Makes a fresh, migrated key database.
pub(crate) async fn keys_database() -> TestDatabase {
    TestDatabase::create("subject_keys", &schema_fingerprint(), |url| async move {
        Ok(migrate(&url).await?)
    })
    .await
}

pub(crate) async fn postgres_keys(url: &str) -> Arc<PostgresKeys> {
    Arc::new(PostgresKeys::connect(url, "keys test").await.unwrap())
}

/// Makes master keys from these bytes, the current one first.
pub(crate) fn master(seeds: &[u8]) -> Arc<LocalMasterKeys> {
    use base64::Engine as _;
    let line = |seed: &u8| base64::engine::general_purpose::STANDARD.encode([*seed; 32]);
    let lines: Vec<String> = seeds.iter().map(line).collect();
    Arc::new(LocalMasterKeys::parse(&lines.join("\n").into()).unwrap())
}

fn wrapped(byte: u8) -> WrappedKey {
    WrappedKey { master: "m".to_owned(), bytes: vec![byte; 4] }
}

fn there(byte: u8) -> StoredKey {
    StoredKey::Wrapped(wrapped(byte))
}

const A: Uuid = Uuid::from_u128(1);
const B: Uuid = Uuid::from_u128(2);
const C: Uuid = Uuid::from_u128(3);
const NEVER_HAD_A_KEY: Uuid = Uuid::from_u128(8);
const LAST: EventRef = EventRef { position: Position(5), event_id: Some(B) };

/// Checks every promise of a key store on an empty one.
async fn contract(keys: &dyn SubjectKeyStore) {
    the_first_key_of_a_subject_stays(keys).await;
    a_destroyed_key_never_comes_back(keys).await;
    the_ledger_adds_up_what_was_released(keys).await;
    the_applied_event_is_remembered(keys).await;
    the_known_head_never_goes_back_in_one_epoch(keys).await;
    only_unchanged_keys_are_wrapped_again(keys).await;
}

async fn the_first_key_of_a_subject_stays(keys: &dyn SubjectKeyStore) {
    assert_eq!(keys.find(&[B, A]).await.unwrap(), [None, None]);
    assert_eq!(
        keys.ensure(&[(A, wrapped(1)), (B, wrapped(2))]).await.unwrap(),
        [there(1), there(2)]
    );
    assert_eq!(
        keys.ensure(&[(C, wrapped(3)), (A, wrapped(9))]).await.unwrap(),
        [there(3), there(1)],
        "the first key stays"
    );
    assert_eq!(
        keys.find(&[C, Uuid::from_u128(9), A]).await.unwrap(),
        [Some(there(3)), None, Some(there(1))]
    );
}

/// Destroys the keys of `A` and [`NEVER_HAD_A_KEY`], which later steps rely on, and checks that no
/// key comes back.
async fn a_destroyed_key_never_comes_back(keys: &dyn SubjectKeyStore) {
    let entry = keys.destroy(A, "ops-1").await.unwrap();
    assert_eq!((entry.subject, entry.requested_by.as_str(), entry.erased_at), (A, "ops-1", None));
    assert_eq!(keys.destroy(A, "ops-2").await.unwrap(), entry, "the first request stays");
    assert_eq!(
        keys.ensure(&[(A, wrapped(7))]).await.unwrap(),
        [StoredKey::Destroyed],
        "the subject never gets another key"
    );
    keys.destroy(NEVER_HAD_A_KEY, "ops-1").await.unwrap();
    assert_eq!(keys.find(&[NEVER_HAD_A_KEY]).await.unwrap(), [Some(StoredKey::Destroyed)]);
}

async fn the_ledger_adds_up_what_was_released(keys: &dyn SubjectKeyStore) {
    keys.record(A, LAST, 2).await.unwrap();
    keys.record(A, LAST, 1).await.unwrap();
    let noted = keys.entry(A).await.unwrap().unwrap();
    assert_eq!((noted.erased_at, noted.reservations_released), (Some(LAST), 3));
    assert_eq!(keys.entry(B).await.unwrap(), None);
    let subjects = async |after, limit| {
        keys.ledger(after, limit)
            .await
            .unwrap()
            .into_iter()
            .map(|entry| entry.subject)
            .collect::<Vec<_>>()
    };
    assert_eq!(subjects(Uuid::nil(), 10).await, [A, NEVER_HAD_A_KEY]);
    assert_eq!(subjects(Uuid::nil(), 1).await, [A]);
    assert_eq!(subjects(A, 10).await, [NEVER_HAD_A_KEY]);
}

async fn the_applied_event_is_remembered(keys: &dyn SubjectKeyStore) {
    assert_eq!(keys.applied().await.unwrap(), EventRef::START);
    keys.set_applied(LAST).await.unwrap();
    assert_eq!(keys.applied().await.unwrap(), LAST);
}

async fn the_known_head_never_goes_back_in_one_epoch(keys: &dyn SubjectKeyStore) {
    let head = |epoch, position: i64| Head {
        epoch: Epoch(Uuid::from_u128(epoch)),
        mark: EventRef {
            position: Position(position),
            event_id: Some(Uuid::from_u128(position.unsigned_abs().into())),
        },
    };
    keys.set_known_head(Head { epoch: Epoch(A), mark: EventRef::START }).await.unwrap();
    assert_eq!(keys.known_head().await.unwrap(), None, "an empty log has nothing to lose");
    for (noted, known) in [
        (head(1, 5), head(1, 5)),
        (head(1, 4), head(1, 5)),
        (head(1, 6), head(1, 6)),
        (head(2, 3), head(2, 3)),
    ] {
        keys.set_known_head(noted).await.unwrap();
        assert_eq!(keys.known_head().await.unwrap(), Some(known), "{noted:?}");
    }
}

async fn only_unchanged_keys_are_wrapped_again(keys: &dyn SubjectKeyStore) {
    let new = WrappedKey { master: "n".to_owned(), bytes: vec![1] };
    assert_eq!(keys.not_wrapped_by("n", 1).await.unwrap(), [(B, wrapped(2))]);
    let changes = vec![
        (B, wrapped(2), new.clone()),
        (C, wrapped(9), new.clone()),
        (A, wrapped(1), new.clone()),
    ];
    assert_eq!(
        keys.rewrap(changes).await.unwrap(),
        1,
        "neither one that has changed nor one that is destroyed"
    );
    assert_eq!(
        keys.find(&[A, B, C]).await.unwrap(),
        [StoredKey::Destroyed, StoredKey::Wrapped(new), there(3)].map(Some)
    );
}

#[tokio::test]
async fn keys_in_memory_keep_the_contract() {
    contract(&MemoryKeys::new()).await;
}

#[tokio::test]
async fn keys_in_postgres_keep_the_contract() {
    let database = keys_database().await;
    contract(postgres_keys(database.url()).await.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_want_a_key_for_one_subject_at_once_get_the_same() {
    let database = keys_database().await;
    let stores = futures::future::join_all((0..4).map(|_| postgres_keys(database.url()))).await;
    let subject = Uuid::from_u128(1);
    let calls = (0..40_u8).map(|n| {
        let store = Arc::clone(&stores[usize::from(n) % stores.len()]);
        async move { store.ensure(&[(subject, wrapped(n))]).await.unwrap().remove(0) }
    });
    let got = futures::future::join_all(calls).await;
    assert!(got.iter().all(|key| *key == got[0]), "{got:?}");
}

#[tokio::test]
async fn a_rotated_master_key_opens_every_key_and_the_old_one_can_go() {
    let keys = MemoryKeys::new();
    let old = master(&[1]);
    let subjects: Vec<(Uuid, SubjectKey)> =
        (1..=2_500).map(|n| (Uuid::from_u128(n), SubjectKey::random())).collect();
    let under_old = old.wrap(&subjects).await.unwrap();
    let pairs: Vec<_> = subjects.iter().map(|(subject, _)| *subject).zip(under_old).collect();
    keys.ensure(&pairs).await.unwrap();
    keys.destroy(Uuid::from_u128(7), "ops").await.unwrap();

    assert!(
        matches!(rotate(&keys, master(&[2]).as_ref()).await, Err(KeyError::MasterKey)),
        "the old key must be given, too"
    );
    assert_eq!(rotate(&keys, master(&[2, 1]).as_ref()).await.unwrap(), 2_499);
    assert_eq!(rotate(&keys, master(&[2, 1]).as_ref()).await.unwrap(), 0);

    let new = master(&[2]);
    for (subject, key) in &subjects {
        match keys.find(&[*subject]).await.unwrap().remove(0).unwrap() {
            StoredKey::Wrapped(wrapped) => {
                assert_eq!(
                    new.unwrap(&[(*subject, wrapped)]).await.unwrap()[0].expose(),
                    key.expose()
                );
            }
            StoredKey::Destroyed => assert_eq!(*subject, Uuid::from_u128(7)),
        }
    }
}

#[tokio::test]
async fn a_reader_of_keys_changes_nothing_and_nobody_deletes() {
    let database = keys_database().await;
    let writer = PostgresKeys::connect(&database.url_in_group("subject_keys_writer").await, "test")
        .await
        .unwrap();
    let subject = Uuid::from_u128(1);
    writer.ensure(&[(subject, wrapped(1))]).await.unwrap();
    writer.destroy(Uuid::from_u128(2), "ops").await.unwrap();
    writer.set_applied(EventRef { position: Position(1), event_id: Some(subject) }).await.unwrap();
    let reader = PostgresKeys::connect(&database.url_in_group("subject_keys_reader").await, "test")
        .await
        .unwrap();
    assert_eq!(reader.find(&[subject]).await.unwrap(), [Some(there(1))]);
    assert!(matches!(reader.ensure(&[(subject, wrapped(1))]).await, Err(KeyError::Database(_))));
    assert!(reader.destroy(subject, "ops").await.is_err());
    for group in ["subject_keys_writer", "subject_keys_reader", "event_store_appender"] {
        let mut connection = plain(&database.url_in_group(group).await).await;
        for table in ["keys", "erasures", "applied", "known_head"] {
            let delete = AssertSqlSafe(format!("DELETE FROM subject_keys.{table}"));
            let error = sqlx::query(delete).execute(&mut connection).await.unwrap_err();
            assert_eq!(sqlstate(&error), "42501", "{group} {table}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_away_are_unavailable_and_a_schema_that_is_another_is_named() {
    let mut cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    let absent = PostgresKeys::connect(&cluster.url(), "test").await.err().unwrap();
    assert!(
        matches!(&absent, KeyError::Unusable(why) if why.contains("migrate subject-keys")),
        "{absent:?}"
    );
    migrate(&cluster.url()).await.unwrap();
    migrate(&cluster.url()).await.unwrap();
    let keys = postgres_keys(&cluster.url()).await;
    cluster.kill().await;
    let error = keys.find(&[Uuid::from_u128(1)]).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    let error = PostgresKeys::connect(&cluster.url(), "test").await.err().unwrap();
    assert!(error.is_transient(), "{error:?}");
    cluster.start_again().await;
    assert_eq!(keys.find(&[Uuid::from_u128(1)]).await.unwrap(), [None]);
    plain(&cluster.url()).await.close().await.unwrap();
}
