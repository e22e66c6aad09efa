//! What arrives when everything works, and after a kill.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use local_servers::until as eventually;
use serde_json::json;
use uuid::Uuid;

use crate::receiver::{Received, Receiver, Reply};
use crate::world::{BY, LETTER, World};

#[tokio::test]
async fn events_of_its_types_arrive_signed_and_without_what_is_private() {
    let (world, receiver) = (World::new().await, Receiver::new().await);
    world.append("parcel.sent", 2).await;
    let person = Uuid::now_v7();
    let data = json!({"n": 7, "to": {"$subject": person, "$personal": "Ada"}});
    world.append_data(LETTER, &data).await;
    let process = world.start();
    let subscribed = world.subscribe(&receiver).await;
    world.append(LETTER, 20).await;
    let last = world.append("parcel.sent", 1).await;
    let received = receiver.got(21).await;
    world.sent(subscribed.id, last - 1).await;
    assert_eq!(receiver.all().len(), 21, "each once");
    for one in &received {
        assert_eq!(one.signed_with(&subscribed.secret), 1);
        assert_eq!(one.headers["content-type"], "application/cloudevents+json");
        assert_eq!(one.event()["type"], LETTER);
        assert_eq!(one.replay(), None);
        assert!(!one.body.contains("canary"), "who acted is private: {}", one.body);
    }
    let first = received.iter().find(|one| one.position() == 3).unwrap().event();
    assert_eq!(first["data"], json!({"n": 7}), "personal fields are left out");
    assert_eq!(first["specversion"], "1.0");
    let ids: BTreeSet<&str> = received.iter().map(Received::id).collect();
    assert_eq!(ids.len(), 21);
    assert_eq!(world.number("SELECT count(*) FROM webhooks.deliveries").await, 0);
    process.drain().await;
}

#[tokio::test]
async fn a_process_killed_after_a_delivery_repeats_it_under_the_same_id_and_loses_none() {
    let (world, answers) = (World::new().await, Arc::new(AtomicBool::new(false)));
    let answering = Arc::clone(&answers);
    let receiver = Receiver::answering(move |_, _| {
        if answering.load(Ordering::Relaxed) { Reply::Status(200) } else { Reply::Silence }
    })
    .await;
    let last = world.append(LETTER, 30).await;
    let process = world.start();
    let subscribed = world.subscribe(&receiver).await;
    let before = receiver.got(8).await;
    // It has the messages, and the process does not know.
    process.kill().await;
    answers.store(true, Ordering::Relaxed);
    let process = world.start();
    world.sent(subscribed.id, last).await;
    let all = receiver.all();
    let positions: BTreeSet<i64> = all.iter().map(Received::position).collect();
    assert_eq!(positions, (1..=30).collect());
    for one in &before {
        let same = all.iter().filter(|other| other.position() == one.position());
        let ids: Vec<&str> = same.map(Received::id).collect();
        assert!(ids.len() >= 2 && ids.iter().all(|id| *id == one.id()), "{ids:?}");
    }
    process.drain().await;
}

#[tokio::test]
async fn of_two_processes_one_sends_and_the_other_takes_over() {
    let (world, receiver) = (World::new().await, Receiver::new().await);
    let subscribed = world.subscribe(&receiver).await;
    let first = world.start();
    let last = world.append(LETTER, 5).await;
    world.sent(subscribed.id, last).await;
    let second = world.start();
    let last = world.append(LETTER, 5).await;
    world.sent(subscribed.id, last).await;
    assert_eq!(receiver.positions().len(), 10, "each once");
    first.kill().await;
    let last = world.append(LETTER, 5).await;
    world.sent(subscribed.id, last).await;
    eventually("it is ready", async || second.health.report().ready).await;
    assert_eq!(receiver.positions().into_iter().collect::<BTreeSet<_>>(), (1..=15).collect());
    second.drain().await;
}

#[tokio::test]
async fn after_a_rotation_both_secrets_sign_until_the_old_one_ends() {
    let (world, receiver) = (World::new().await, Receiver::new().await);
    let subscribed = world.subscribe(&receiver).await;
    let process = world.start();
    let new = world.operations().rotate(subscribed.id, BY).await.unwrap();
    let new = secrecy::ExposeSecret::expose_secret(&new).to_owned();
    world.append(LETTER, 1).await;
    let received = receiver.got(1).await;
    assert_eq!(received[0].signed_with(&subscribed.secret), 1);
    assert_eq!(received[0].signed_with(&new), 1);
    world.sql("UPDATE webhooks.subscriptions SET old_until = clock_timestamp()").await;
    world.append(LETTER, 1).await;
    let received = receiver.got(2).await;
    assert_eq!(received[1].signed_with(&subscribed.secret), 0);
    assert_eq!(received[1].signed_with(&new), 1);
    process.drain().await;
}
