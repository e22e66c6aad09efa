//! Personal data: encrypted in the log, readable with the keys, and erased for good for everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use event_store::encryption::{
    LedgerEntry, MemoryKeys, StoredKey, SubjectKeyStore, Vault, VaultOptions, WrappedKey,
};
use event_store::erasure::{
    EraseError, EraseRequest, Reconciled, erase, is_settled, prove, reconcile,
};
use event_store::{
    Append, EventRef, EventStore, ExpectedVersion, Filter, Head, MemoryStore, NewEvent, Position,
    Refusal, Registry, StoreError, StreamName, UpcastingLog, Version,
};
use event_store::{EncryptingStore, KeyError};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::keys::{keys_database, master, postgres_keys};
use crate::support::{
    append_to, appended, connect, database, key, metadata, next, one, refused, repeated,
    reservation, stream, take,
};

const ADA: Uuid = Uuid::from_u128(0xada);
const BOB: Uuid = Uuid::from_u128(0xb0b);
const SECRET: &str = "Ada Lovelace";

fn vault(keys: &Arc<dyn SubjectKeyStore>) -> Arc<Vault> {
    Vault::new(Arc::clone(keys), master(&[1]), VaultOptions::default())
}

/// A log and its keys, with the decrypting view of the log.
struct World {
    log: Arc<dyn EventStore>,
    keys: Arc<dyn SubjectKeyStore>,
    encrypted: EncryptingStore,
}

impl World {
    fn over(log: Arc<dyn EventStore>, keys: Arc<dyn SubjectKeyStore>) -> Self {
        let encrypted = EncryptingStore::new(Arc::clone(&log), vault(&keys));
        Self { log, keys, encrypted }
    }

    fn in_memory() -> Self {
        Self::over(Arc::new(MemoryStore::new()), Arc::new(MemoryKeys::new()))
    }

    /// Opens the same log and keys as another process.
    fn another_process(&self) -> Self {
        Self::over(Arc::clone(&self.log), Arc::clone(&self.keys))
    }

    async fn erase(&self, subject: Uuid) -> Result<LedgerEntry, EraseError> {
        erase(self.log.as_ref(), self.keys.as_ref(), &request(subject)).await
    }

    /// Returns the names in the log as they are read.
    async fn names(&self) -> Vec<Value> {
        let events = self.encrypted.read(&Filter::All, Position::START, 1_000).await.unwrap();
        events
            .iter()
            .filter_map(|event| event.decode::<Value>().unwrap().get("name").cloned())
            .map(|field| field["$personal"].clone())
            .collect()
    }
}

fn request(subject: Uuid) -> EraseRequest {
    EraseRequest { subject, by: "ops-7".to_owned() }
}

fn named(subject: Uuid, name: &str) -> NewEvent {
    let data = json!({"id": 1.50, "name": {"$subject": subject, "$personal": name}, "tail": [1]});
    NewEvent::json("thing.named".parse().unwrap(), 1, &data, metadata()).unwrap()
}

fn naming(subject: Uuid, name: &str) -> Append {
    append_to(stream(subject), ExpectedVersion::Any, vec![named(subject, name)])
}

#[tokio::test]
async fn a_check_tells_of_an_erased_subject_and_makes_no_key_for_a_new_one() {
    let World { log, keys, encrypted } = World::in_memory();
    appended(encrypted.append(naming(ADA, SECRET)).await.unwrap());
    erase(log.as_ref(), keys.as_ref(), &request(ADA)).await.unwrap();
    let upcasting = UpcastingLog::new(
        Arc::new(encrypted),
        Arc::new(Registry::new([("thing.named", 1)], []).unwrap()),
    );
    // It must read the erasure first: until then it has a cached key, as an append has.
    upcasting.store().read(&Filter::All, Position::START, 10).await.unwrap();
    assert_eq!(
        upcasting.check(&naming(ADA, SECRET)).await.unwrap(),
        Some(Refusal::SubjectErased { subject: ADA })
    );
    assert_eq!(upcasting.check(&naming(BOB, "Bob")).await.unwrap(), None);
    assert!(keys.find(&[BOB]).await.unwrap()[0].is_none());
}

#[tokio::test]
async fn a_value_is_encrypted_in_the_log_and_whole_for_who_has_the_keys() {
    let world = World::in_memory();
    appended(world.encrypted.append(naming(ADA, SECRET)).await.unwrap());
    let stored = world.log.read(&Filter::All, Position::START, 10).await.unwrap();
    assert!(!stored[0].data.get().contains("Lovelace"), "{}", stored[0].data.get());
    let read = world.encrypted.read_stream(&stream(ADA), Version::NONE, 10).await.unwrap();
    assert_eq!(
        read[0].data.get(),
        format!(r#"{{"id":1.5,"name":{{"$subject":"{ADA}","$personal":"{SECRET}"}},"tail":[1]}}"#)
    );
    let other = world.another_process();
    assert_eq!(other.names().await, [json!(SECRET)]);
    let back = other.encrypted.read_stream_backward(&stream(ADA), None, 10).await.unwrap();
    assert_eq!(back[0].data.get(), read[0].data.get());
    let live = next(&mut other.encrypted.subscribe(Filter::All, Position::START)).await.unwrap();
    assert_eq!(live.data.get(), read[0].data.get());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_subject_reads_as_erased_everywhere_and_its_reservations_are_free() {
    let (log, keys) = (database().await, keys_database().await);
    let world = World::over(Arc::new(connect(log.url()).await), postgres_keys(keys.url()).await);
    let other = world.another_process();
    let reserving = Append { reservations: vec![take(1, &ADA.to_string())], ..naming(ADA, SECRET) };
    appended(world.encrypted.append(reserving).await.unwrap());
    appended(world.encrypted.append(naming(BOB, "Bob")).await.unwrap());
    assert_eq!(
        other.names().await,
        [json!(SECRET), json!("Bob")],
        "and this process has its key in memory now"
    );

    let entry = world.erase(ADA).await.unwrap();
    assert_eq!((entry.requested_by.as_str(), entry.reservations_released), ("ops-7", 1));
    assert_eq!(entry.erased_at.unwrap().position, Position(3));
    assert_eq!(
        other.names().await,
        [Value::Null, json!("Bob")],
        "it has read of the erasure in the same page"
    );
    assert_eq!(world.another_process().names().await, [Value::Null, json!("Bob")]);
    let refusal = refused(other.encrypted.append(naming(ADA, "Ada again")).await.unwrap());
    assert_eq!(refusal, Refusal::SubjectErased { subject: ADA });
    let heir = Append { reservations: vec![take(1, &BOB.to_string())], ..one("x") };
    appended(other.encrypted.append(heir).await.unwrap());

    let proof = prove(world.log.as_ref(), world.keys.as_ref(), ADA).await.unwrap();
    assert!(proof.holds(), "{proof}");
    assert_eq!(
        (proof.search.events, proof.search.encrypted, proof.search.up_to),
        (1, 1, Position(4))
    );
    let printed = proof.to_string();
    for words in [
        "complete",
        "ops-7",
        "position 3",
        "1 released, 0 left",
        "readable fields    none",
        "read models: backups",
    ] {
        assert!(printed.contains(words), "{words} is not in:\n{printed}");
    }
    assert!(!prove(world.log.as_ref(), world.keys.as_ref(), BOB).await.unwrap().holds());
    assert_eq!(world.erase(ADA).await.unwrap(), entry, "running it again changes nothing");
    assert_eq!(world.log.head().await.unwrap().mark.position, Position(4));
}

#[tokio::test]
async fn a_process_that_only_appends_hears_of_an_erasure_by_itself() {
    let world = World::in_memory();
    appended(world.encrypted.append(naming(ADA, SECRET)).await.unwrap());
    let other = world.another_process();
    other.erase(ADA).await.unwrap();
    let heard = async {
        while !matches!(
            world.encrypted.append(naming(ADA, "x")).await.unwrap(),
            event_store::AppendOutcome::Refused(_)
        ) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), heard)
        .await
        .expect("it hears within its interval");
    assert!(
        world.names().await.iter().all(Value::is_null),
        "values that were encrypted in between read as erased, too"
    );
    assert!(other.another_process().names().await.iter().all(Value::is_null));
}

/// A key store or a log in which one call fails, or every call (`lasting`).
struct Failing<T: ?Sized> {
    inner: Arc<T>,
    /// The number of calls that succeed before the one that fails.
    fails: AtomicU32,
    lasting: bool,
}

impl<T: ?Sized> Failing<T> {
    fn at(inner: Arc<T>, call: u32) -> Self {
        Self { inner, fails: AtomicU32::new(call), lasting: false }
    }

    fn always(inner: Arc<T>) -> Self {
        Self { inner, fails: AtomicU32::new(0), lasting: true }
    }

    fn call(&self) -> Result<(), KeyError> {
        let now = self.lasting || self.fails.fetch_sub(1, Ordering::Relaxed) == 0;
        if now { Err(KeyError::Unavailable(None)) } else { Ok(()) }
    }
}

#[async_trait]
impl SubjectKeyStore for Failing<dyn SubjectKeyStore> {
    async fn find(&self, subjects: &[Uuid]) -> Result<Vec<Option<StoredKey>>, KeyError> {
        self.call()?;
        self.inner.find(subjects).await
    }
    async fn ensure(&self, keys: &[(Uuid, WrappedKey)]) -> Result<Vec<StoredKey>, KeyError> {
        self.call()?;
        self.inner.ensure(keys).await
    }
    async fn destroy(&self, subject: Uuid, requested_by: &str) -> Result<LedgerEntry, KeyError> {
        self.call()?;
        let done = self.inner.destroy(subject, requested_by).await;
        self.call()?;
        done
    }
    async fn record(
        &self,
        subject: Uuid,
        erased_at: EventRef,
        reservations_released: i64,
    ) -> Result<(), KeyError> {
        self.call()?;
        self.inner.record(subject, erased_at, reservations_released).await?;
        self.call()
    }
    async fn entry(&self, subject: Uuid) -> Result<Option<LedgerEntry>, KeyError> {
        self.inner.entry(subject).await
    }
    async fn ledger(&self, after: Uuid, limit: u32) -> Result<Vec<LedgerEntry>, KeyError> {
        self.inner.ledger(after, limit).await
    }
    async fn applied(&self) -> Result<EventRef, KeyError> {
        self.inner.applied().await
    }
    async fn set_applied(&self, mark: EventRef) -> Result<(), KeyError> {
        self.inner.set_applied(mark).await
    }
    async fn known_head(&self) -> Result<Option<Head>, KeyError> {
        self.inner.known_head().await
    }
    async fn set_known_head(&self, head: Head) -> Result<(), KeyError> {
        self.inner.set_known_head(head).await
    }
    async fn not_wrapped_by(
        &self,
        master: &str,
        limit: u32,
    ) -> Result<Vec<(Uuid, WrappedKey)>, KeyError> {
        self.inner.not_wrapped_by(master, limit).await
    }
    async fn rewrap(&self, keys: Vec<(Uuid, WrappedKey, WrappedKey)>) -> Result<u64, KeyError> {
        self.inner.rewrap(keys).await
    }
}

#[tokio::test]
async fn keys_that_are_away_or_another_logs_are_an_error_and_never_an_erasure() {
    let world = World::in_memory();
    appended(world.encrypted.append(naming(ADA, SECRET)).await.unwrap());
    let away =
        World::over(Arc::clone(&world.log), Arc::new(Failing::always(Arc::clone(&world.keys))));
    for (what, unlucky) in [
        ("away", away),
        ("another log's", World::over(Arc::clone(&world.log), Arc::new(MemoryKeys::new()))),
    ] {
        let read = unlucky.encrypted.read(&Filter::All, Position::START, 10).await;
        let Err(StoreError::Keys(error)) = read else { panic!("{what}: {read:?}") };
        assert_eq!(error.is_transient(), what == "away", "{error:?}");
        let mut live = unlucky.encrypted.subscribe(Filter::All, Position::START);
        for _ in 0..2 {
            assert!(
                matches!(next(&mut live).await, Err(StoreError::Keys(_))),
                "{what}: it stays where it is"
            );
        }
    }
    let away =
        World::over(Arc::clone(&world.log), Arc::new(Failing::always(Arc::clone(&world.keys))));
    assert!(matches!(away.encrypted.append(naming(BOB, "Bob")).await,
            Err(StoreError::Keys(error)) if error.is_transient()));
    appended(away.encrypted.append(one("y")).await.unwrap());
    let recovered =
        World::over(Arc::clone(&world.log), Arc::new(Failing::at(Arc::clone(&world.keys), 0)));
    let mut live = recovered.encrypted.subscribe(Filter::All, Position::START);
    assert!(next(&mut live).await.is_err());
    assert_eq!(next(&mut live).await.unwrap().position, Position(1), "the error loses nothing");
    let wrong_master = Vault::new(Arc::clone(&world.keys), master(&[9]), VaultOptions::default());
    let wrong = EncryptingStore::new(Arc::clone(&world.log), wrong_master);
    let read = wrong.read(&Filter::All, Position::START, 10).await;
    assert!(matches!(read, Err(StoreError::Keys(KeyError::MasterKey))), "{read:?}");
}

#[tokio::test]
async fn an_erasure_cut_at_any_call_is_finished_by_running_it_again_or_before_serving() {
    for finished_by_hand in [true, false] {
        let mut cuts = 0;
        loop {
            let world = World::in_memory();
            let reserving =
                Append { reservations: vec![take(1, &ADA.to_string())], ..naming(ADA, SECRET) };
            appended(world.encrypted.append(reserving).await.unwrap());
            let failing: Failing<dyn SubjectKeyStore> = Failing::at(Arc::clone(&world.keys), cuts);
            if erase(world.log.as_ref(), &failing, &request(ADA)).await.is_ok() {
                break;
            }
            if finished_by_hand {
                world.erase(ADA).await.unwrap();
            } else {
                reconcile(world.log.as_ref(), world.keys.as_ref()).await.unwrap();
                if cuts == 0 {
                    // Nothing was started, so there is nothing to finish.
                    world.erase(ADA).await.unwrap();
                }
            }
            let proof = prove(world.log.as_ref(), world.keys.as_ref(), ADA).await.unwrap();
            assert!(proof.holds(), "cut at call {cuts}:\n{proof}");
            assert_eq!(
                world.log.head().await.unwrap().mark.position,
                Position(2),
                "one subject.erased, cut at call {cuts}"
            );
            cuts += 1;
        }
        assert_eq!(cuts, 4, "before and after the key, before and after the note");
    }
}

#[tokio::test]
async fn a_log_restored_from_before_is_told_again_and_restored_keys_are_destroyed_again() {
    let world = World::in_memory();
    let reserving =
        || Append { reservations: vec![take(1, &ADA.to_string())], ..naming(ADA, SECRET) };
    appended(world.encrypted.append(reserving()).await.unwrap());
    let wrapped = world.keys.find(&[ADA]).await.unwrap().remove(0).unwrap();
    let StoredKey::Wrapped(wrapped) = wrapped else { panic!("a key") };
    world.erase(ADA).await.unwrap();
    assert_eq!(
        reconcile(world.log.as_ref(), world.keys.as_ref()).await.unwrap(),
        Reconciled::default(),
        "all is in order"
    );
    assert!(is_settled(world.log.as_ref(), world.keys.as_ref()).await.unwrap());

    let restored = MemoryStore::new();
    let stored = world.log.read_stream(&stream(ADA), Version::NONE, 1).await.unwrap().remove(0);
    let same = NewEvent {
        id: stored.id,
        event_type: stored.event_type,
        schema_version: 1,
        data: stored.data,
        tags: vec![],
        metadata: stored.metadata,
    };
    restored
        .append(Append {
            streams: append_to(stream(ADA), ExpectedVersion::Any, vec![same]).streams,
            ..reserving()
        })
        .await
        .unwrap();
    let restored = World::over(Arc::new(restored), Arc::clone(&world.keys));
    assert_eq!(restored.names().await, [Value::Null], "the key is gone, whatever the log says");
    let done = reconcile(restored.log.as_ref(), restored.keys.as_ref()).await.unwrap();
    assert_eq!(done, Reconciled { destroyed: 0, told: 1 });
    assert!(prove(restored.log.as_ref(), restored.keys.as_ref(), ADA).await.unwrap().holds());

    let old_keys = MemoryKeys::new();
    old_keys.ensure(&[(ADA, wrapped)]).await.unwrap();
    let with_old_keys = World::over(Arc::clone(&world.log), Arc::new(old_keys));
    assert!(!is_settled(with_old_keys.log.as_ref(), with_old_keys.keys.as_ref()).await.unwrap());
    let done = reconcile(with_old_keys.log.as_ref(), with_old_keys.keys.as_ref()).await.unwrap();
    assert_eq!(done, Reconciled { destroyed: 1, told: 0 });
    assert!(is_settled(with_old_keys.log.as_ref(), with_old_keys.keys.as_ref()).await.unwrap());
    let proof = prove(with_old_keys.log.as_ref(), with_old_keys.keys.as_ref(), ADA).await.unwrap();
    assert!(proof.holds() && proof.requested_by.as_deref() == Some("ops-7"), "{proof}");
}

#[tokio::test]
async fn a_repeat_of_a_keyed_append_gets_its_answer_though_the_subject_is_erased_since() {
    let world = World::in_memory();
    let keyed = || Append { idempotency: Some(key(1, 1, "7")), ..naming(ADA, SECRET) };
    appended(world.encrypted.append(keyed()).await.unwrap());
    world.erase(ADA).await.unwrap();
    assert_eq!(repeated(world.another_process().encrypted.append(keyed()).await.unwrap()).1, "7");
}

#[tokio::test]
async fn a_moved_or_changed_encrypted_value_is_named_and_not_taken_for_erased() {
    let world = World::in_memory();
    appended(world.encrypted.append(naming(ADA, SECRET)).await.unwrap());
    let stored = world.log.read(&Filter::All, Position::START, 1).await.unwrap().remove(0);
    let moved = NewEvent { id: Uuid::now_v7(), data: stored.data.clone(), ..named(ADA, "") };
    let brought = world
        .encrypted
        .append(append_to(stream("z"), ExpectedVersion::Any, vec![moved.clone()]))
        .await;
    assert!(
        matches!(brought, Err(StoreError::Invalid(_))),
        "nobody brings an encrypted value along: {brought:?}"
    );
    appended(
        world.log.append(append_to(stream("z"), ExpectedVersion::Any, vec![moved])).await.unwrap(),
    );
    let read = world.encrypted.read(&Filter::All, Position::START, 10).await;
    assert!(
        matches!(&read, Err(StoreError::Unusable(why)) if why.contains("position \
            2") && !why.contains("Ada")),
        "{read:?}"
    );
    assert_eq!(
        world.encrypted.read_stream(&stream(ADA), Version::NONE, 10).await.unwrap().len(),
        1,
        "the others can be read"
    );
    let half = json!({"name": {"$personal": SECRET}});
    let half = NewEvent::json("thing.named".parse().unwrap(), 1, &half, metadata()).unwrap();
    let refused =
        world.encrypted.append(append_to(stream("h"), ExpectedVersion::Any, vec![half])).await;
    assert!(
        matches!(refused, Err(StoreError::Invalid(_))),
        "a value without a subject is not stored readable: {refused:?}"
    );
}

#[tokio::test]
async fn more_reservations_than_one_append_takes_are_all_released() {
    let world = World::in_memory();
    for n in 0..2_u8 {
        let reservations = (0..200).map(|v| event_store::ReservationChange::Take {
            reservation: event_store::ReservedValue {
                scope: format!("thing.{n}").into(),
                hash: [v; 32],
            },
            owner: StreamName::new("other", ADA).unwrap(),
        });
        appended(
            world
                .log
                .append(Append { reservations: reservations.collect(), ..one(n) })
                .await
                .unwrap(),
        );
    }
    let strangers = Append { reservations: vec![take(1, "stranger")], ..one("s") };
    appended(world.log.append(strangers).await.unwrap());
    assert_eq!(world.erase(ADA).await.unwrap().reservations_released, 400);
    assert_eq!(
        world.log.reservations_of("stranger", 10).await.unwrap(),
        [(reservation(1), stream("stranger"))]
    );
}

#[tokio::test]
async fn who_asks_is_an_opaque_id() {
    let world = World::in_memory();
    for by in ["", "two words", "ä", &"x".repeat(129)] {
        let request = EraseRequest { subject: ADA, by: by.to_owned() };
        assert!(
            matches!(
                erase(world.log.as_ref(), world.keys.as_ref(), &request).await,
                Err(EraseError::By)
            ),
            "{by}"
        );
    }
    assert_eq!(world.keys.entry(ADA).await.unwrap(), None);
}
