//! Tests of `/api/v1/users`.

use std::sync::Arc;
use std::time::Duration;

use event_store::EncryptingStore;
use event_store::encryption::{LocalMasterKeys, MemoryKeys, Vault, VaultOptions};
use event_store::erasure::{EraseRequest, erase};
use event_store::{EventStore, MemoryStore};
use serde_json::json;
use uuid::Uuid;

use crate::hot::everybody_waits;
use crate::support::{Cue, NOW, QUERY_URL, Shop, ShopOptions, Stage};

const MASTER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[tokio::test]
async fn a_registration_answers_with_id_version_place_and_token() {
    let shop = Shop::new();
    let reply =
        shop.post("/api/v1/users", json!({"email": "Ada@example.com", "name": "Ada"})).await;
    let id = reply.made();
    assert_eq!(id.parse::<Uuid>().unwrap().get_version_num(), 7);
    assert_eq!(reply.body["data"], json!({"id": id, "version": 1}));
    assert_eq!(reply.header("location"), format!("{QUERY_URL}/api/v1/users/{id}"));
    assert_eq!(reply.header("etag"), "\"1\"");
    let head = shop.store.head().await.unwrap();
    let token = reply.token();
    assert_eq!(
        (token.epoch, token.position, Some(token.event_id)),
        (head.epoch.0, 1, head.mark.event_id)
    );
    let meta = &reply.body["meta"];
    assert_eq!(meta["consistency_token"], reply.header("consistency-token"));
    assert_eq!(meta["position"], 1);
    assert_eq!(meta["epoch"], head.epoch.0.to_string());
    assert_eq!(meta["request_id"], reply.header("x-request-id"));
    assert_eq!(meta["timestamp"], NOW);
}

#[tokio::test]
async fn a_user_is_renamed_and_moved_in_one_step() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let path = format!("/api/v1/users/{user}");
    let reply = shop.patch(&path, json!({"email": "ada@lovelace.org", "name": "Ada King"})).await;
    assert_eq!(reply.ok(), &json!({"id": user, "version": 3}));
    assert_eq!(shop.types().await, ["user.registered", "user.renamed", "user.email_changed"]);
}

#[tokio::test]
async fn a_change_to_what_is_already_so_changes_nothing_and_still_answers() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let reply = shop.patch(&format!("/api/v1/users/{user}"), json!({"name": "Ada"})).await;
    assert_eq!(reply.ok()["version"], 1);
    assert_eq!(reply.body["meta"]["position"], 1);
    assert_eq!(shop.types().await, ["user.registered"]);
}

#[tokio::test]
async fn an_address_belongs_to_one_user_whatever_the_case_of_its_letters() {
    let shop = Shop::new();
    shop.user("ada@example.com").await;
    let other = shop.user("grace@example.com").await;
    shop.post("/api/v1/users", json!({"email": "ADA@Example.com", "name": "Eve"}))
        .await
        .problem(409, "user/email-taken");
    let path = format!("/api/v1/users/{other}");
    shop.patch(&path, json!({"email": "Ada@example.com"})).await.problem(409, "user/email-taken");
}

#[tokio::test]
async fn an_address_that_was_changed_is_free_again_and_the_new_one_is_taken() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    shop.patch(&format!("/api/v1/users/{user}"), json!({"email": "ada@lovelace.org"})).await.ok();
    shop.post("/api/v1/users", json!({"email": "ada@lovelace.org", "name": "Eve"}))
        .await
        .problem(409, "user/email-taken");
    shop.user("ada@example.com").await;
}

#[tokio::test]
async fn a_change_of_case_alone_keeps_the_address_taken() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    assert_eq!(
        shop.patch(&format!("/api/v1/users/{user}"), json!({"email": "ADA@example.com"}))
            .await
            .ok()["version"],
        2
    );
    shop.post("/api/v1/users", json!({"email": "ada@example.com", "name": "Eve"}))
        .await
        .problem(409, "user/email-taken");
}

#[tokio::test]
async fn a_deactivated_user_orders_and_changes_no_more_and_frees_the_address() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("14.67").await);
    let path = format!("/api/v1/users/{user}");
    assert_eq!(shop.delete(&path).await.ok()["version"], 2);
    shop.delete(&path).await.problem(409, "user/deactivated");
    shop.patch(&path, json!({"name": "B"})).await.problem(409, "user/deactivated");
    let line = json!([{"product_id": product, "quantity": 1}]);
    shop.post("/api/v1/orders", json!({"user_id": user, "lines": line}))
        .await
        .problem(409, "user/deactivated");
    shop.post(&format!("{path}/orders"), json!({"lines": line}))
        .await
        .problem(409, "user/deactivated");
    shop.user("ada@example.com").await;
}

#[tokio::test]
async fn an_order_that_is_pending_when_its_user_is_deactivated_can_still_be_confirmed() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("14.67").await);
    let order = shop.order(&user, &product).await;
    shop.delete(&format!("/api/v1/users/{user}")).await.ok();
    shop.act(&format!("/api/v1/orders/{order}/confirm")).await.ok();
}

#[tokio::test]
async fn who_does_not_exist_is_not_found() {
    let shop = Shop::new();
    for id in [Uuid::now_v7().to_string(), "nobody".to_owned(), "%00".to_owned()] {
        let path = format!("/api/v1/users/{id}");
        shop.patch(&path, json!({"name": "B"})).await.problem(404, "not-found");
        shop.delete(&path).await.problem(404, "not-found");
        let order = json!({"lines": [{"product_id": Uuid::now_v7(), "quantity": 1}]});
        shop.post(&format!("{path}/orders"), order).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn no_answer_and_no_log_line_of_the_store_repeats_what_is_personal_outside_its_field() {
    let shop = Shop::new();
    let reply =
        shop.post("/api/v1/users", json!({"email": "canary@example.com", "name": "Canary"})).await;
    assert!(!reply.body.to_string().to_lowercase().contains("canary"));
    let event =
        &shop.store.read(&event_store::Filter::All, event_store::Position::START, 1).await.unwrap()
            [0];
    let outside =
        format!("{:?} {:?} {} {:?}", event.tags, event.metadata, event.stream, event.event_type);
    assert!(!outside.to_lowercase().contains("canary"));
    let data = event.decode::<serde_json::Value>().unwrap();
    assert_eq!(data["email"], json!({"$subject": reply.made(), "$personal": "canary@example.com"}));
}

/// A shop that encrypts personal values with these keys.
fn signed(log: Arc<dyn EventStore>, keys: &Arc<MemoryKeys>, options: VaultOptions) -> Shop {
    let master = LocalMasterKeys::parse(&MASTER_KEY.into()).unwrap();
    let vault = Vault::new(Arc::clone(keys) as _, Arc::new(master), options);
    Shop::over(Arc::new(EncryptingStore::new(log, vault)), ShopOptions::default())
}

#[tokio::test]
async fn nobody_is_decided_on_what_is_on_its_way_of_a_user_who_was_erased_meanwhile() {
    let ((stage, mut arrivals), keys) = (Stage::new(), Arc::new(MemoryKeys::new()));
    // Keys are not cached, so the erasure is known at once.
    let options = VaultOptions { key_lifetime: Duration::ZERO, ..VaultOptions::default() };
    let shop = signed(Arc::clone(&stage) as _, &keys, options);
    let user = shop.user("ada@example.com").await;
    let rename = |name: &'static str| {
        let (shop, path) = (shop.clone(), format!("/api/v1/users/{user}"));
        tokio::spawn(async move { shop.patch(&path, json!({"name": name})).await })
    };
    stage.cue(Cue::GoOn);
    let first = rename("Countess");
    arrivals.next().await;
    let request = EraseRequest { subject: user.parse().unwrap(), by: "ops-7".to_owned() };
    erase(stage.as_ref(), keys.as_ref(), &request).await.unwrap();
    let second = rename("Lady");
    everybody_waits().await;
    assert!(!second.is_finished(), "the decision used erased values");
    stage.go();
    for renamed in [first, second] {
        renamed.await.unwrap().problem(409, "user/erased");
    }
}

#[tokio::test]
async fn a_user_who_was_erased_elsewhere_a_moment_ago_takes_no_other_address() {
    let (log, keys) = (Arc::new(MemoryStore::new()), Arc::new(MemoryKeys::new()));
    let shop = signed(Arc::clone(&log) as _, &keys, VaultOptions::default());
    let user = shop.user("ada@example.com").await;
    // The erasure does not go through this process, which has the key cached and learns of it
    // within a second.
    let request = EraseRequest { subject: user.parse().unwrap(), by: "ops-7".to_owned() };
    erase(log.as_ref(), keys.as_ref(), &request).await.unwrap();
    let changed = shop
        .patch(&format!("/api/v1/users/{user}"), json!({"email": "countess@example.com"}))
        .await;
    changed.problem(409, "user/erased");
    assert_eq!(shop.types().await, ["user.registered", "subject.erased"]);
    for free in ["ada@example.com", "countess@example.com"] {
        shop.user(free).await;
    }
}
