//! Tests of streams that older programs wrote, with former event versions. The aggregates can still
//! be read and changed.

use std::sync::Arc;

use domain::history::{self, Past};
use event_store::{
    Append, EventStore, ExpectedVersion, Filter, MemoryStore, Metadata, NewEvent, Position,
    Registry, StreamAppend, StreamName, Tag,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Cue, Shop, ShopOptions, Stage, json_request};

/// A history of event versions that the shop might have had.
const PAST: &[Past] = &[
    (("user.signed_up", 1), &[("user.registered", 1)], |data| Ok(vec![("user.registered", data)])),
    (("user.closed", 1), &[("user.deactivated", 1)], |data| Ok(vec![("user.deactivated", data)])),
    // Orders used to be bought in one step. Later they were placed and then confirmed.
    (("order.bought", 1), &[("order.placed", 1), ("order.confirmed", 2)], |mut data| {
        let mut take = |field: &str| {
            data.as_object_mut().and_then(|fields| fields.remove(field)).ok_or("a part is missing")
        };
        Ok(vec![("order.placed", take("placed")?), ("order.confirmed", take("confirmed")?)])
    }),
    (("order.viewed", 1), &[], |_| Ok(Vec::new())),
];

fn shop(store: Arc<dyn EventStore>) -> Shop {
    let past = history::PAST.iter().chain(PAST).copied();
    let registry = Registry::new(history::current(), past).unwrap();
    Shop::reading_through(registry, store, ShopOptions::default())
}

/// Appends an event as another program would.
async fn write(store: &dyn EventStore, stream: &str, event_type: &str, tag: &str, data: &Value) {
    let metadata = Metadata::new(Uuid::nil());
    let event = NewEvent::json(event_type.parse().unwrap(), 1, data, metadata)
        .unwrap()
        .tagged(tag.parse::<Tag>().unwrap());
    let streams = vec![StreamAppend {
        stream: stream.parse::<StreamName>().unwrap(),
        expected: ExpectedVersion::Any,
        events: vec![event],
    }];
    store.append(Append { streams, ..Append::default() }).await.unwrap();
}

/// A log that the current shop has written.
struct Written {
    user: String,
    product: String,
    order: String,
    events: Vec<(String, Value)>,
}

impl Written {
    async fn new() -> Self {
        let shop = Shop::new();
        let (user, product) = (shop.user("ada@example.com").await, shop.product("1.50").await);
        let order = shop.order(&user, &product).await;
        shop.act(&format!("/api/v1/orders/{order}/confirm")).await.ok();
        Self { user, product, order, events: shop.log().await }
    }

    fn data(&self, event_type: &str) -> &Value {
        &self.events.iter().find(|(name, _)| name == event_type).unwrap().1
    }

    /// Writes the same log as older programs would have written it.
    async fn by_older_programs(&self, store: &dyn EventStore) {
        let (user, product, order) = (&self.user, &self.product, &self.order);
        write(
            store,
            &format!("user-{user}"),
            "user.signed_up",
            &format!("user:{user}"),
            self.data("user.registered"),
        )
        .await;
        let added = self.data("product.added");
        write(
            store,
            &format!("product-{product}"),
            "product.added",
            &format!("product:{product}"),
            added,
        )
        .await;
        let bought =
            json!({"placed": self.data("order.placed"), "confirmed": self.data("order.confirmed")});
        write(store, &format!("order-{order}"), "order.bought", &format!("order:{order}"), &bought)
            .await;
    }
}

#[tokio::test]
async fn aggregates_are_what_their_older_events_have_become() {
    let (written, store) = (Written::new().await, Arc::new(MemoryStore::new()));
    written.by_older_programs(store.as_ref()).await;
    let shop = shop(store);
    shop.act(&format!("/api/v1/orders/{}/confirm", written.order))
        .await
        .problem(409, "order/not-pending");
    let renamed = shop
        .patch(&format!("/api/v1/users/{}", written.user), json!({"name": "Ada Lovelace"}))
        .await;
    assert_eq!(renamed.ok()["version"], 2);
    shop.order(&written.user, &written.product).await;
}

#[tokio::test]
async fn an_event_that_means_nothing_any_more_still_counts_as_a_version() {
    let (written, store) = (Written::new().await, Arc::new(MemoryStore::new()));
    written.by_older_programs(store.as_ref()).await;
    let shop = shop(Arc::clone(&store) as _);
    let order = shop.order(&written.user, &written.product).await;
    write(
        store.as_ref(),
        &format!("order-{order}"),
        "order.viewed",
        &format!("order:{order}"),
        &json!({}),
    )
    .await;
    let confirmed = shop.act(&format!("/api/v1/orders/{order}/confirm")).await;
    assert_eq!(confirmed.ok()["version"], 3);
}

#[tokio::test]
async fn a_condition_sees_what_an_older_program_appends_meanwhile() {
    let (written, (stage, mut arrivals)) = (Written::new().await, Stage::new());
    written.by_older_programs(stage.as_ref()).await;
    let shop = shop(Arc::clone(&stage) as _);
    stage.cue(Cue::GoOn);
    let placing = tokio::spawn({
        let (shop, user, product) = (shop.clone(), written.user.clone(), written.product.clone());
        let body = json!({"user_id": user, "lines": [{"product_id": product, "quantity": 1}]});
        async move { shop.send(json_request("POST", "/api/v1/orders", &body)).await }
    });
    arrivals.next().await;
    let user = &written.user;
    write(
        stage.as_ref(),
        &format!("user-{user}"),
        "user.closed",
        &format!("user:{user}"),
        &json!({"user_id": user}),
    )
    .await;
    stage.go();
    placing.await.unwrap().problem(409, "user/deactivated");
    let log = stage.read(&Filter::Category("order".to_owned()), Position::START, 10).await.unwrap();
    assert_eq!(log.len(), 1, "only the earlier order");
}
