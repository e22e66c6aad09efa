//! Replays: from a position or a time, by type, throttled, resumed after a kill.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use local_servers::until as eventually;
use webhooks::ops::{OperationError, Start, WantedReplay};
use webhooks::tables::{Decision, ReplayRow};

use crate::receiver::{Received, Receiver, Reply};
use crate::world::{BY, LETTER, World};

fn wanted(from: Start, rate: i32) -> WantedReplay {
    WantedReplay { from, types: None, rate, reason: "they lost their disk".to_owned() }
}

async fn replay(world: &World, id: uuid::Uuid) -> ReplayRow {
    world.tables().replays(id, 10).await.unwrap().remove(0)
}

#[tokio::test]
async fn a_replay_sends_its_part_of_the_past_marked_and_under_the_same_ids() {
    let (world, receiver) = (World::new().await, Receiver::new().await);
    let subscribed = world.subscribe(&receiver).await;
    let process = world.start();
    let last = world.append(LETTER, 10).await;
    world.sent(subscribed.id, last).await;
    let before = receiver.all();
    let (operations, wanted) = (world.operations(), wanted(Start::Position(4), 500));
    let id = operations.replay(subscribed.id, wanted, BY).await.unwrap();
    // These come live, and are no part of it.
    world.append(LETTER, 2).await;
    eventually("it is done", async || {
        replay(&world, subscribed.id).await.ended.as_deref() == Some("done")
    })
    .await;
    receiver.got_positions(&[11, 12]).await;
    let again: Vec<_> = receiver.all().into_iter().filter(|one| one.replay().is_some()).collect();
    let positions: Vec<i64> = again.iter().map(Received::position).collect();
    assert_eq!(positions.iter().copied().collect::<BTreeSet<_>>(), (4..=10).collect());
    assert_eq!(positions.len(), 7, "each once");
    for one in &again {
        assert_eq!(one.replay(), Some(id));
        assert_eq!(one.signed_with(&subscribed.secret), 1);
        assert!(before.iter().any(|first| first.id() == one.id()), "the same id as at first");
    }
    process.drain().await;
}

#[tokio::test]
async fn a_replay_keeps_its_rate_and_a_killed_one_goes_on_where_it_was() {
    let (world, receiver) = (World::new().await, Receiver::new().await);
    let subscribed = world.subscribe(&receiver).await;
    let process = world.start();
    let last = world.append(LETTER, 30).await;
    world.sent(subscribed.id, last).await;
    let began = Instant::now();
    let (operations, wanted) = (world.operations(), wanted(Start::Position(1), 10));
    operations.replay(subscribed.id, wanted, BY).await.unwrap();
    eventually("a part is recorded", async || replay(&world, subscribed.id).await.position >= 10)
        .await;
    process.kill().await;
    let at = replay(&world, subscribed.id).await.position;
    let before = receiver.all().len();
    let process = world.start();
    eventually("it is done", async || replay(&world, subscribed.id).await.ended.is_some()).await;
    assert!(began.elapsed() >= Duration::from_secs(2), "30 events at 10 a second");
    let later = receiver.all().split_off(before);
    let first = later.iter().map(Received::position).min().unwrap();
    assert_eq!(first, at + 1, "it goes on after what was recorded");
    let all: BTreeSet<i64> = receiver
        .all()
        .iter()
        .filter(|one| one.replay().is_some())
        .map(Received::position)
        .collect();
    assert_eq!(all, (1..=30).collect());
    process.drain().await;
}

#[tokio::test]
async fn a_replay_begins_at_a_time_and_sends_other_types_if_asked() {
    let (world, receiver) = (World::new().await, Receiver::new().await);
    world.append("parcel.sent", 3).await;
    let subscribed = world.subscribe(&receiver).await;
    let process = world.start();
    let last = world.append(LETTER, 1).await;
    world.sent(subscribed.id, last).await;
    let third: chrono::DateTime<chrono::Utc> = {
        let sql = "SELECT (extract(epoch FROM recorded_at) * 1000000)::bigint \
            FROM event_store.events WHERE position = 3";
        chrono::DateTime::from_timestamp_micros(world.number(sql).await).unwrap()
    };
    let parcels = WantedReplay {
        types: Some(vec!["parcel.sent".to_owned()]),
        ..wanted(Start::Time(third), 100)
    };
    world.operations().replay(subscribed.id, parcels, BY).await.unwrap();
    eventually("it is done", async || replay(&world, subscribed.id).await.ended.is_some()).await;
    let again: Vec<i64> = receiver
        .all()
        .iter()
        .filter(|one| one.replay().is_some())
        .map(Received::position)
        .collect();
    assert_eq!(again, [3]);
    process.drain().await;
}

#[tokio::test]
async fn a_replay_is_cancelled_with_what_waits_and_there_are_only_so_many() {
    let world = World::new().await;
    let receiver = Receiver::answering(|one, _| match one.replay() {
        Some(_) => Reply::Status(500),
        None => Reply::Status(200),
    })
    .await;
    let subscribed = world.subscribe(&receiver).await;
    let process = world.start();
    let last = world.append(LETTER, 2).await;
    world.sent(subscribed.id, last).await;
    let operations = world.operations();
    let start = || operations.replay(subscribed.id, wanted(Start::Position(1), 100), BY);
    let id = start().await.unwrap();
    eventually("it fails", async || world.row(subscribed.id).await.waiting > 0).await;
    for _ in 1..webhooks::limits::MAX_REPLAYS {
        start().await.unwrap();
    }
    let refused = start().await.unwrap_err();
    assert!(matches!(refused, OperationError::Decision(_)), "{refused}");
    for replay in world.tables().replays(subscribed.id, 10).await.unwrap() {
        operations.cancel_replay(replay.id, BY).await.unwrap();
    }
    assert!(operations.cancel_replay(id, BY).await.is_err(), "it has ended");
    eventually("nothing waits", async || {
        let row = world.row(subscribed.id).await;
        row.waiting == 0 && row.parked == 0
    })
    .await;
    let beyond = operations.replay(subscribed.id, wanted(Start::Position(99), 100), BY).await;
    assert!(matches!(beyond, Err(OperationError::Invalid("/from", _))), "{beyond:?}");
    process.drain().await;
}

#[tokio::test]
async fn what_a_finished_replay_could_not_deliver_is_tried_again_when_a_person_asks() {
    let mut world = World::new().await;
    world.limits.pauses = Vec::new();
    let receiver = Receiver::answering(|one, _| match one.replay() {
        Some(_) => Reply::Status(422),
        None => Reply::Status(200),
    })
    .await;
    let subscribed = world.subscribe(&receiver).await;
    let process = world.start();
    let last = world.append(LETTER, 2).await;
    world.sent(subscribed.id, last).await;
    let operations = world.operations();
    let wanted = wanted(Start::Position(2), 100);
    operations.replay(subscribed.id, wanted, BY).await.unwrap();
    eventually("it is done", async || replay(&world, subscribed.id).await.ended.is_some()).await;
    assert_eq!(world.row(subscribed.id).await.parked, 1);
    receiver.now(|_, _| Reply::Status(200));
    world.decide(subscribed.id, Decision::Retry { position: Some(2) }).await;
    world.sent(subscribed.id, last).await;
    assert_eq!(receiver.all().iter().filter(|one| one.replay().is_some()).count(), 2);
    process.drain().await;
}
