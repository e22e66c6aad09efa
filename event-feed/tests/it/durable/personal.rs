//! What a consumer sees of personal fields.

use event_store::EncryptingStore;
use event_store::encryption::{
    LocalMasterKeys, MasterKeys, MemoryKeys, SubjectKeyStore, Vault, VaultOptions,
};
use event_store::erasure::{EraseRequest, erase};
use event_store::{
    Append, EventStore, ExpectedVersion, Filter, Position, StreamAppend, StreamName,
};

use super::*;

/// A master key of 32 equal bytes.
const MASTER: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

#[tokio::test]
async fn personal_fields_arrive_revealed_and_those_of_an_erased_subject_blanked() {
    let setup = Setup::new().await;
    let keys: Arc<dyn SubjectKeyStore> = Arc::new(MemoryKeys::new());
    let master: Arc<dyn MasterKeys> =
        Arc::new(LocalMasterKeys::parse(&MASTER.to_owned().into()).unwrap());
    let vault = || Vault::new(Arc::clone(&keys), Arc::clone(&master), VaultOptions::default());
    let log: Arc<dyn EventStore> = Arc::new(setup.world.store.clone());
    let encrypting = EncryptingStore::new(Arc::clone(&log), vault());
    let (ada, bob) = (Uuid::now_v7(), Uuid::now_v7());
    for (subject, name) in [(ada, "Ada"), (bob, "Bob")] {
        let data = json!({ "name": { "$subject": subject, "$personal": name } });
        let stream = StreamName::new("thing", subject).unwrap();
        let named =
            StreamAppend { stream, expected: ExpectedVersion::Any, events: vec![event(&data)] };
        encrypting.append(Append { streams: vec![named], ..Append::default() }).await.unwrap();
    }
    // This process knows the keys from earlier, and does not see them destroyed.
    let warm = vault();
    let mut known = log.read(&Filter::All, Position::START, 10).await.unwrap();
    warm.reveal(&mut known).await.unwrap();
    assert!(known[0].data.get().contains("Ada"));
    let request = EraseRequest { subject: ada, by: "ops-7".to_owned() };
    erase(log.as_ref(), keys.as_ref(), &request).await.unwrap();
    // One event at a time: the erasure comes after the values, in a page of its own.
    let single = WorkerSettings { batch: 1, ..settings() };
    let worker = setup.worker_with(setup.tally(), SHORT, &Health::new(), single).revealing(warm);
    let worker = Running::start(worker);
    setup.handled(3).await;
    let payloads = payloads(setup.own.url()).await;
    assert!(payloads[0].contains(r#""$personal":null"#), "{}", payloads[0]);
    assert!(payloads[1].contains(r#""$personal":"Bob""#), "{}", payloads[1]);
    worker.drain().await;
}
