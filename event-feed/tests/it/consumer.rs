//! Tests what a durable consumer builds on: its position in the log, the proof of the history, and
//! whether this process can read the log.

use std::sync::Arc;

use event_feed::Follower;
use event_feed::consumer::continuity::{Continuity, prove};
use event_feed::consumer::{Consumer, Next};
use event_store::postgres::{begin_epoch, migrate};
use event_store::{Epoch, EventRef, EventStore as _, Position, PostgresStore};
use local_servers::{ClusterOptions, PostgresCluster, in_time};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::support::{append_to, database, event, eventually, open, quick_follower};

async fn append(store: &PostgresStore, count: usize) -> Position {
    append_to(store, (0..count).map(|n| event(&serde_json::json!({ "n": n }))).collect()).await
}

fn follower(store: &PostgresStore) -> Follower {
    Follower::new(Arc::new(store.clone()), None, quick_follower())
}

/// Returns the positions of the next batch that is not empty, and its last event.
async fn next(
    consumer: &mut Consumer,
    follower: &mut Follower,
    from: EventRef,
) -> (Vec<i64>, EventRef) {
    loop {
        match in_time("the next events", consumer.next(follower, from, 3)).await {
            Next::Batch { batch, log_answers } => {
                assert!(log_answers);
                if let Some(last) = batch.events.last() {
                    let positions = batch.events.iter().map(|event| event.position.0);
                    return (positions.collect(), last.mark());
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_consumer_goes_on_after_its_checkpoint_wherever_it_read_last() {
    let database = database().await;
    let store = open(database.url()).await;
    append(&store, 5).await;
    let (mut consumer, mut follower) = (Consumer::default(), follower(&store));
    let (first, third) = next(&mut consumer, &mut follower, EventRef::START).await;
    assert_eq!(first, [1, 2, 3]);
    assert_eq!(next(&mut consumer, &mut follower, third).await.0, [4, 5]);
    // As after a transaction that failed.
    assert_eq!(next(&mut consumer, &mut follower, third).await.0, [4, 5]);
    assert_eq!(next(&mut consumer, &mut follower, EventRef::START).await.0, [1, 2, 3]);
    let other = EventRef { event_id: Some(Uuid::now_v7()), ..third };
    let answer = in_time("an answer", consumer.next(&mut follower, other, 3)).await;
    assert!(matches!(answer, Next::OtherHistory), "{answer:?}");
}

#[tokio::test]
async fn a_consumer_that_cannot_have_the_log_leaves_the_work_to_others_until_it_can() {
    let mut cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    migrate(&cluster.url()).await.unwrap();
    let store = open(&cluster.url()).await;
    append(&store, 1).await;
    let (mut consumer, mut follower) = (Consumer::default(), follower(&store));
    let (_, at) = next(&mut consumer, &mut follower, EventRef::START).await;
    assert!(consumer.is_able());
    cluster.stop().await;
    let mut refused = 0;
    while consumer.is_able() {
        match in_time("an answer", consumer.next(&mut follower, at, 3)).await {
            Next::LogAway(_) => refused += 1,
            // Before it asks, and between two times that it asks.
            Next::Batch { batch, .. } => assert!(batch.events.is_empty()),
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 0, "it says why");
    cluster.start_again().await;
    eventually("the log answers", async || {
        let answer = consumer.next(&mut follower, at, 3).await;
        matches!(answer, Next::Batch { log_answers: true, .. })
    })
    .await;
    assert!(consumer.is_able());
}

#[tokio::test]
async fn a_checkpoint_is_proved_by_the_event_at_its_position() {
    let database = database().await;
    let store = open(database.url()).await;
    append(&store, 60).await;
    let head = store.head().await.unwrap();
    let (old, unknown) = (head.epoch, Epoch(Uuid::now_v7()));
    let mut admin = PgConnection::connect(database.url()).await.unwrap();
    let lose = "DELETE FROM event_store.tags WHERE position > 40; DELETE FROM event_store.events \
        WHERE position > 40";
    sqlx::raw_sql(lose).execute(&mut admin).await.unwrap();
    let store = open(database.url()).await;
    let kept = store.head().await.unwrap().mark;
    let other = EventRef { event_id: Some(Uuid::now_v7()), ..kept };
    let lost = |found, unknown| Continuity::Lost { found, unknown };
    let same = Continuity::Same(old);
    for (epoch, mark, wanted) in [
        (None, EventRef::START, same),
        (Some(old), kept, same),
        (Some(unknown), kept, same),
        (Some(old), head.mark, lost(None, None)),
        (Some(old), other, lost(Some(kept), None)),
        (Some(unknown), head.mark, lost(None, Some(unknown))),
        (Some(unknown), other, lost(Some(kept), Some(unknown))),
    ] {
        let found = prove(&store, epoch, mark).await.unwrap();
        assert_eq!(found, wanted, "{epoch:?} {mark:?}");
    }
    let new = begin_epoch(&mut admin, "a test", &[]).await.unwrap();
    let store = open(database.url()).await;
    for (epoch, mark, wanted) in [
        (old, kept, Continuity::Same(new)),
        (old, head.mark, Continuity::Over),
        (old, other, Continuity::Over),
        (new, other, lost(Some(kept), None)),
        (unknown, head.mark, lost(None, Some(unknown))),
    ] {
        let found = prove(&store, Some(epoch), mark).await.unwrap();
        assert_eq!(found, wanted, "{epoch} {mark:?}");
    }
}
