//! An erasure concurrent with appends of the subject's data. In any order, no data of the subject
//! follows its `subject.erased`, and no reservation is left for it (P7).

use std::sync::Arc;

use event_store::EncryptingStore;
use event_store::encryption::{SubjectKeyStore, Vault, VaultOptions};
use event_store::erasure::{EraseRequest, erase, prove};
use event_store::subject::erased_subject;
use event_store::{
    Append, AppendOutcome, EventStore, ExpectedVersion, Filter, MemoryStore, NewEvent, Position,
    Refusal, ReservationChange, ReservedValue, StreamName,
};
use local_servers::test_run;
use rand::Rng as _;
use serde_json::json;
use uuid::Uuid;

use crate::keys::{keys_database, master, postgres_keys};
use crate::support::{append_to, appended, connect, database, metadata, random, refused};

/// The number of writers of a subject's data during its erasure.
const WRITERS: u64 = 4;

struct World {
    log: Arc<dyn EventStore>,
    keys: Arc<dyn SubjectKeyStore>,
}

impl World {
    /// Makes one more process. It caches its keys and learns of erasures once a second.
    fn process(&self) -> Arc<EncryptingStore> {
        let vault = Vault::new(Arc::clone(&self.keys), master(&[1]), VaultOptions::default());
        Arc::new(EncryptingStore::new(Arc::clone(&self.log), vault))
    }

    async fn erase(&self, subject: Uuid) {
        let request = EraseRequest { subject, by: "ops-7".to_owned() };
        erase(self.log.as_ref(), self.keys.as_ref(), &request).await.unwrap();
    }

    /// Checks that no event of the subject follows its erasure, and that the proof holds. All its
    /// events are after `after`.
    async fn check(&self, subject: Uuid, after: Position) {
        let events = self.log.read(&Filter::All, after, 10_000).await.unwrap();
        let erased =
            events.iter().position(|event| erased_subject(event) == Some(subject)).unwrap();
        let of_subject = format!("\"$subject\":\"{subject}\"");
        let behind: Vec<_> = events[erased..]
            .iter()
            .filter(|event| event.data.get().contains(&of_subject))
            .collect();
        assert!(behind.is_empty(), "{behind:#?}");
        assert_eq!(self.log.reservations_of(&subject.to_string(), 10).await.unwrap(), []);
        let proof = prove(self.log.as_ref(), self.keys.as_ref(), subject).await.unwrap();
        assert!(proof.holds(), "{proof}");
    }
}

async fn in_postgres() -> (World, [local_servers::TestDatabase; 2]) {
    let (log, keys) = (database().await, keys_database().await);
    let world =
        World { log: Arc::new(connect(log.url()).await), keys: postgres_keys(keys.url()).await };
    (world, [log, keys])
}

fn user(subject: Uuid) -> StreamName {
    StreamName::new("user", subject).unwrap()
}

/// Makes an append that gives the subject another address and its reservation.
fn moving(subject: Uuid, address: u64) -> Append {
    let data =
        json!({"email": {"$subject": subject, "$personal": format!("{address}@example.com")}});
    let event =
        NewEvent::json("user.email_changed".parse().unwrap(), 1, &data, metadata()).unwrap();
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&address.to_be_bytes());
    let reservation = ReservedValue { scope: "user.email".into(), hash };
    let reservations = vec![ReservationChange::Take { reservation, owner: user(subject) }];
    Append { reservations, ..append_to(user(subject), ExpectedVersion::Any, vec![event]) }
}

#[tokio::test]
async fn p7_a_process_that_has_not_heard_of_an_erasure_appends_nothing_behind_it() {
    let (world, _databases) = in_postgres().await;
    let subject = Uuid::from_u128(0xada);
    // This vault never learns of an erasure: it has a cached key and keeps encrypting with it.
    let deaf = Vault::new(Arc::clone(&world.keys), master(&[1]), VaultOptions::default());
    let append = async |mut append: Append| {
        assert_eq!(deaf.encrypt(&mut append).await.unwrap(), None);
        world.log.append(append).await.unwrap()
    };
    appended(append(moving(subject, 1)).await);
    world.erase(subject).await;
    let refusal = Refusal::SubjectErased { subject };
    assert_eq!(refused(append(moving(subject, 2)).await), refusal);
    let without_reservation = Append { reservations: Vec::new(), ..moving(subject, 2) };
    assert_eq!(refused(append(without_reservation).await), refusal);
    appended(append(moving(Uuid::from_u128(0xb0b), 1)).await);
    world.check(subject, Position::START).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_nothing_of_a_subject_comes_behind_its_erasure_however_many_write_of_it_meanwhile() {
    let (world, _databases) = in_postgres().await;
    let processes = [world.process(), world.process()];
    let mut random = random();
    for round in 0..test_run().count(25, 200) {
        let subject = Uuid::from_u128(u128::from(round) + 1);
        let before = world.log.head().await.unwrap().mark.position;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let process = Arc::clone(&processes[usize::try_from(writer % 2).unwrap()]);
                tokio::spawn(async move {
                    // Until the append is refused.
                    for nth in 0.. {
                        match process
                            .append(moving(subject, round * 1_000_000 + writer * 10_000 + nth))
                            .await
                            .unwrap()
                        {
                            AppendOutcome::Appended(_) => {}
                            outcome => return refused(outcome),
                        }
                    }
                    unreachable!("the loop ends with a refusal")
                })
            })
            .collect();
        for _ in 0..random.random_range(0..200) {
            tokio::task::yield_now().await;
        }
        world.erase(subject).await;
        for writer in writers {
            assert_eq!(writer.await.unwrap(), Refusal::SubjectErased { subject });
        }
        world.check(subject, before).await;
    }
}

#[tokio::test]
async fn the_proof_notices_what_another_program_put_behind_an_erasure() {
    let (log, subject) = (Arc::new(MemoryStore::new()), Uuid::from_u128(0xada));
    let world = World {
        log: Arc::clone(&log) as _,
        keys: Arc::new(event_store::encryption::MemoryKeys::new()),
    };
    appended(world.process().append(moving(subject, 1)).await.unwrap());
    let encrypted =
        log.read_stream(&user(subject), event_store::Version::NONE, 1).await.unwrap().remove(0);
    world.erase(subject).await;
    // An append that names no subjects and takes no reservation.
    let data = encrypted.data;
    let late = NewEvent {
        data,
        ..NewEvent::json(encrypted.event_type, 1, &json!({}), metadata()).unwrap()
    };
    appended(log.append(append_to(user(subject), ExpectedVersion::Any, vec![late])).await.unwrap());
    let proof = prove(world.log.as_ref(), world.keys.as_ref(), subject).await.unwrap();
    assert_eq!(
        (proof.holds(), proof.search.behind.as_slice()),
        (false, [Position(3)].as_slice()),
        "{proof}"
    );
    assert!(proof.to_string().contains("fields behind it   AT POSITIONS 3"), "{proof}");
}
