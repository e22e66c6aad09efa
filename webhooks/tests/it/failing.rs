//! Receivers that refuse, are silent or away, and what people decide then.

use std::time::{Duration, Instant};

use local_servers::until as eventually;
use webhooks::tables::Decision;

use crate::receiver::{Received, Receiver, Reply};
use crate::world::{BY, LETTER, World, limits};

#[tokio::test]
async fn a_failed_attempt_is_repeated_under_the_same_id_while_later_events_go_on() {
    let world = World::new().await;
    let receiver = Receiver::answering(|one, before| {
        if one.position() == 1 && before < 2 { Reply::Status(500) } else { Reply::Status(200) }
    })
    .await;
    let subscribed = world.subscribe(&receiver).await;
    let process = world.start();
    world.append(LETTER, 1).await;
    receiver.got(1).await;
    let last = world.append(LETTER, 3).await;
    world.sent(subscribed.id, last).await;
    let all = receiver.all();
    let first: Vec<&str> = all.iter().filter(|one| one.position() == 1).map(Received::id).collect();
    assert!(first.len() >= 2 && first.iter().all(|id| *id == first[0]), "{first:?}");
    assert_eq!(world.row(subscribed.id).await.failing_since, None);
    process.drain().await;
}

#[tokio::test]
async fn what_fails_for_good_is_parked_until_a_person_retries_or_skips_it() {
    let world = World::new().await;
    let receiver = Receiver::answering(|one, _| match one.position() {
        1 | 2 => Reply::Status(422),
        _ => Reply::Status(200),
    })
    .await;
    let subscribed = world.subscribe(&receiver).await;
    let process = world.start();
    world.append(LETTER, 3).await;
    eventually("two are parked", async || world.row(subscribed.id).await.parked == 2).await;
    let rows = world.tables().deliveries(subscribed.id, 0, 10).await.unwrap();
    let attempts = i32::try_from(world.limits.pauses.len()).unwrap() + 1;
    for row in &rows {
        assert_eq!((row.attempts, row.status, row.error.as_str()), (attempts, Some(422), "status"));
        assert_eq!((row.next_at, row.r#type.as_str()), (None, LETTER));
    }
    let sent = receiver.positions().iter().filter(|position| **position == 1).count();
    assert_eq!(sent, usize::try_from(attempts).unwrap(), "each attempt once");
    let skip = Decision::Skip { position: 1, reason: "not for them".to_owned() };
    world.decide(subscribed.id, skip).await;
    receiver.now(|_, _| Reply::Status(200));
    world.decide(subscribed.id, Decision::Retry { position: None }).await;
    world.sent(subscribed.id, 3).await;
    let actions = "SELECT count(*) FROM webhooks.audit WHERE by = 'clerk-7' \
        AND action IN ('create', 'skip', 'retry')";
    assert_eq!(world.number(actions).await, 3, "each decision is recorded");
    process.drain().await;
}

#[tokio::test]
async fn a_receiver_that_is_away_costs_a_bounded_number_of_rows_and_holds_up_no_other() {
    let mut world = World::new().await;
    world.limits.max_waiting = 20;
    world.limits.pauses = vec![Duration::from_millis(200); 500];
    world.limits.attempt_limit = Duration::from_millis(500);
    let (silent, well) = (Receiver::answering(|_, _| Reply::Silence).await, Receiver::new().await);
    let (stuck, fine) = (world.subscribe(&silent).await, world.subscribe(&well).await);
    let process = world.start();
    let last = world.append(LETTER, 200).await;
    world.sent(fine.id, last).await;
    assert_eq!(well.positions().len(), 200, "each once");
    silent.got(8).await;
    let row = world.row(stuck.id).await;
    let page = i64::from(world.limits.page);
    assert!(row.waiting <= world.limits.max_waiting + page, "{row:?}");
    assert!(row.position < last, "it stays where it is: {row:?}");
    // It comes back, and gets everything.
    silent.now(|_, _| Reply::Status(200));
    world.sent(stuck.id, last).await;
    silent.got_positions(&(1..=200).collect::<Vec<_>>()).await;
    process.drain().await;
}

#[tokio::test]
async fn a_subscription_with_too_many_parked_deliveries_is_paused_and_loses_nothing() {
    let mut world = World::new().await;
    world.limits.max_parked = 3;
    world.limits.pauses = Vec::new();
    let receiver = Receiver::answering(|_, _| Reply::Status(400)).await;
    let subscribed = world.subscribe(&receiver).await;
    let process = world.start();
    let last = world.append(LETTER, 5).await;
    let why = world.paused(subscribed.id).await;
    assert!(why.contains("parked"), "{why}");
    receiver.now(|_, _| Reply::Status(200));
    world.decide(subscribed.id, Decision::Retry { position: None }).await;
    world.operations().resume(subscribed.id, None, BY).await.unwrap();
    world.sent(subscribed.id, last).await;
    receiver.got_positions(&[1, 2, 3, 4, 5]).await;
    process.drain().await;
}

#[tokio::test]
async fn a_receiver_that_fails_for_too_long_or_is_gone_is_paused_with_the_reason() {
    let mut world = World::new().await;
    world.limits.failing_for = Duration::from_millis(300);
    world.limits.pauses = vec![Duration::from_millis(100); 100];
    let failing = Receiver::answering(|_, _| Reply::Status(500)).await;
    let gone = Receiver::answering(|_, _| Reply::Status(410)).await;
    let (failed, left) = (world.subscribe(&failing).await, world.subscribe(&gone).await);
    let process = world.start();
    world.append(LETTER, 1).await;
    let why = world.paused(failed.id).await;
    assert!(why.contains("every attempt has failed"), "{why}");
    let why = world.paused(left.id).await;
    assert!(why.contains("410"), "{why}");
    gone.now(|_, _| Reply::Status(200));
    world.operations().resume(left.id, None, BY).await.unwrap();
    world.sent(left.id, 1).await;
    process.drain().await;
}

#[tokio::test]
async fn a_receiver_that_asks_to_wait_is_left_alone_for_that_long() {
    let world = World::new().await;
    let receiver = Receiver::answering(|_, before| match before {
        0 => Reply::Later(1),
        _ => Reply::Status(200),
    })
    .await;
    let subscribed = world.subscribe(&receiver).await;
    let process = world.start();
    let began = Instant::now();
    world.append(LETTER, 1).await;
    world.sent(subscribed.id, 1).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(limits().pauses[0] < Duration::from_secs(1));
    process.drain().await;
}

#[tokio::test]
async fn a_paused_subscription_gets_nothing_and_goes_on_where_it_was() {
    let (world, receiver) = (World::new().await, Receiver::new().await);
    let subscribed = world.subscribe(&receiver).await;
    let process = world.start();
    let last = world.append(LETTER, 2).await;
    world.sent(subscribed.id, last).await;
    let pause = Decision::Pause { reason: "maintenance".to_owned() };
    world.decide(subscribed.id, pause).await;
    let other = Receiver::new().await;
    let fine = world.subscribe(&other).await;
    let last = world.append(LETTER, 3).await;
    world.sent(fine.id, last).await;
    // At most what was being sent as it was paused.
    assert_eq!(receiver.positions(), [1, 2]);
    world.operations().resume(subscribed.id, None, BY).await.unwrap();
    world.sent(subscribed.id, last).await;
    receiver.got_positions(&[3, 4, 5]).await;
    let delete = Decision::Delete { reason: "they left".to_owned() };
    world.decide(subscribed.id, delete).await;
    assert!(world.tables().subscription(subscribed.id).await.unwrap().is_none());
    process.drain().await;
}
