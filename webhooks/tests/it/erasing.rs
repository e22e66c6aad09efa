//! Personal data: who gets it, and what is left of it after an erasure.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::receiver::{Received, Receiver, Reply};
use crate::world::{LETTER, World};

fn data_at(all: &[Received], position: i64) -> Vec<Value> {
    let at = all.iter().filter(|one| one.position() == position);
    at.map(|one| one.event()["data"].clone()).collect()
}

#[tokio::test]
async fn retries_and_parked_deliveries_of_an_erased_subject_are_blank_and_all_learn_of_it() {
    let mut world = World::new().await;
    world.limits.pauses = vec![std::time::Duration::from_millis(100); 100];
    let refuses = |_: &Received, _| Reply::Status(500);
    let (personal, plain) = (Receiver::answering(refuses).await, Receiver::new().await);
    let process = world.start();
    let (seeing, blind) =
        (world.subscribe_as(&personal, true).await, world.subscribe(&plain).await);
    let (ada, bob) = (Uuid::now_v7(), Uuid::now_v7());
    for (subject, name) in [(ada, "Ada"), (bob, "Bob")] {
        let data = json!({"to": {"$subject": subject, "$personal": name}});
        world.append_data(LETTER, &data).await;
    }
    personal.got(2).await;
    let ada_was_seen = json!({"to": {"$subject": ada, "$personal": "Ada"}});
    assert_eq!(data_at(&personal.all(), 1)[0], ada_was_seen);
    world.erase(ada).await;
    let before = personal.all().len();
    personal.now(|_, _| Reply::Status(200));
    world.sent(seeing.id, 3).await;
    world.sent(blind.id, 3).await;
    let later = personal.all().split_off(before);
    let blank = json!({"to": {"$subject": ada, "$personal": null}});
    // An attempt that was under way during the erasure may be the first one.
    assert_eq!(data_at(&later, 1).last(), Some(&blank));
    let bob_is_seen = json!({"to": {"$subject": bob, "$personal": "Bob"}});
    assert_eq!(data_at(&personal.all(), 2).last(), Some(&bob_is_seen));
    for receiver in [&personal, &plain] {
        let erased = receiver.all().into_iter().find(|one| one.position() == 3).unwrap().event();
        assert_eq!(erased["type"], "subject.erased");
        assert_eq!(erased["data"]["subject"], json!(ada));
    }
    assert!(plain.all().iter().all(|one| !one.body.contains("Bob") && !one.body.contains("Ada")));
    process.drain().await;
}

#[tokio::test]
async fn no_table_keeps_a_payload() {
    let world = World::new().await;
    let receiver = Receiver::answering(|_, _| Reply::Status(500)).await;
    let subscribed = world.subscribe_as(&receiver, true).await;
    let process = world.start();
    let data = json!({"to": {"$subject": Uuid::now_v7(), "$personal": "Ada-canary"}});
    world.append_data(LETTER, &data).await;
    receiver.got(1).await;
    process.drain().await;
    assert_eq!(world.row(subscribed.id).await.position, 1, "the failure is recorded");
    let kept = "SELECT count(*) FROM (
            SELECT deliveries::text FROM webhooks.deliveries
            UNION ALL SELECT audit::text FROM webhooks.audit
            UNION ALL SELECT feeds::text FROM webhooks.feeds
        ) AS kept (text) WHERE text LIKE '%canary%'";
    assert_eq!(world.number(kept).await, 0);
}
