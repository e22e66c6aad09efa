//! A log with another history than the one that a subscription was sent from.

use webhooks::ops::OperationError;

use crate::receiver::Receiver;
use crate::world::{BY, LETTER, World};

#[tokio::test]
async fn a_subscription_of_another_history_is_paused_until_a_person_says_where_it_goes_on() {
    let (world, receiver) = (World::new().await, Receiver::new().await);
    let subscribed = world.subscribe(&receiver).await;
    let process = world.start();
    world.append(LETTER, 3).await;
    world.sent(subscribed.id, 3).await;
    process.drain().await;
    // As if the log had been restored from a backup, and gone on with other events.
    world.sql("UPDATE webhooks.feeds SET event_id = gen_random_uuid()").await;
    let process = world.start();
    let why = world.paused(subscribed.id).await;
    assert!(why.contains("another history"), "{why}");
    let beyond = world.operations().resume(subscribed.id, Some(99), BY).await;
    assert!(matches!(beyond, Err(OperationError::Invalid("/after", _))), "{beyond:?}");
    world.operations().resume(subscribed.id, Some(2), BY).await.unwrap();
    world.append(LETTER, 1).await;
    world.sent(subscribed.id, 4).await;
    assert_eq!(receiver.positions(), [1, 2, 3, 3, 4]);
    process.drain().await;
}
