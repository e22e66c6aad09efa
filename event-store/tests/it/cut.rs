//! Lost answers: a batch whose connection was cut is sent again and takes effect once (A3; I2, I5).

use std::collections::HashMap;

use event_store::{AppendOutcome, EventStore, Filter, Position, StoreError};
use local_servers::test_run;
use rand::Rng;
use uuid::Uuid;

use crate::proxy::{Cut, Proxy};
use crate::support::{check_dense, connect, database, key, one, options, random};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_p9_an_append_whose_answer_was_lost_has_one_effect_and_the_right_answer() {
    let database = database().await;
    let proxy = Proxy::start(database.url()).await;
    let store = connect(proxy.url()).await;
    let mut random = random();
    let mut acknowledged = HashMap::<Uuid, Position>::new();
    let rounds = test_run().count(12, 1_000);
    for round in 0..rounds {
        let cut = [Cut::BeforeTheCall, Cut::BeforeTheAnswer, Cut::InsideTheAnswer]
            [random.random_range(0..3)];
        proxy.cut_next(cut);
        let several = (0..random.random_range(1..6)).map(|writer| {
            let mut append = one(format!("{round}-{writer}"));
            if writer % 2 == 1 {
                let mut idempotency = key(0, 1, "\"done\"");
                idempotency.key[..16].copy_from_slice(append.streams[0].events[0].id.as_bytes());
                append.idempotency = Some(idempotency);
            }
            let (id, store) = (append.streams[0].events[0].id, store.clone());
            async move { (id, store.append(append).await) }
        });
        for (id, outcome) in futures::future::join_all(several).await {
            match outcome {
                Ok(AppendOutcome::Appended(appended)) => {
                    assert_eq!(appended.last.event_id, Some(id));
                    acknowledged.insert(id, appended.last.position);
                }
                other => panic!("{cut:?}: {other:?}"),
            }
        }
    }
    assert!(proxy.cuts() >= usize::try_from(rounds).unwrap(), "every round cuts the connection");
    let head = check_dense(&store).await;
    assert_eq!(usize::try_from(head.0).unwrap(), acknowledged.len(), "each took effect once");
    let mut after = Position::START;
    while after < head {
        for event in store.read(&Filter::All, after, 1_000).await.unwrap() {
            assert_eq!(acknowledged.get(&event.id), Some(&event.position));
            after = event.position;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_stays_without_an_answer_says_so_and_is_there_at_most_once() {
    let database = database().await;
    for cut in [Cut::BeforeTheAnswer, Cut::InsideTheAnswer, Cut::BeforeTheCall] {
        let proxy = Proxy::start(database.url()).await;
        let deadline = std::time::Duration::from_secs(1);
        let store =
            event_store::PostgresStore::connect(options(proxy.url()).append_deadline(deadline))
                .await
                .unwrap();
        while store.append(one("b")).await.is_err() {}
        let before = check_dense(&connect(database.url()).await).await;
        // All further connections fail, so the store cannot send it again. Whether the call arrived
        // is unknown here.
        proxy.cut_next_and_all_after(cut);
        let append = one("a");
        let first = store.append(append.clone()).await;
        assert!(matches!(first, Err(StoreError::OutcomeUnknown(_))), "{cut:?}: {first:?}");
        // The store sent nothing of a second append.
        let second = store.append(one("a")).await;
        assert!(matches!(second, Err(StoreError::Unavailable(_))), "{cut:?}: {second:?}");
        // Repeating the same append is recognised, whatever the first attempt did.
        let patient = connect(database.url()).await;
        assert!(matches!(patient.append(append).await, Ok(AppendOutcome::Appended(_))));
        assert_eq!(check_dense(&patient).await, before.next());
    }
}
