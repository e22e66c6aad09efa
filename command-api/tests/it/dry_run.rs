//! Tests of `?dry_run=true`: the answer has what a command would do, and nothing is done.

use event_store::{EventStore as _, Position};
use serde_json::{Value, json};

use crate::support::{Cue, Shop, ShopOptions, Stage, With, json_request};

#[tokio::test]
async fn a_dry_run_tells_the_events_and_appends_nothing() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.50").await);
    let before = shop.log().await;
    let body = json!({"user_id": user, "lines": [{"product_id": product, "quantity": 2}]});
    let told = shop.post("/api/v1/orders?dry_run=true", body.clone()).await;
    let data = told.ok();
    assert_eq!(
        (&data["dry_run"], &data["requirements_hold"], data.get("refusal")),
        (&json!(true), &json!(true), None)
    );
    let events = data["events"].as_array().unwrap();
    assert_eq!(
        (events.len(), &events[0]["type"], &events[0]["schema_version"]),
        (2, &json!("order.placed"), &json!(1))
    );
    assert_eq!(events[1]["type"], "user_orders.opened");
    assert_eq!(events[0]["stream"], format!("order-{}", data["id"].as_str().unwrap()));
    assert_eq!(
        (&events[0]["data"]["user_id"], &events[0]["data"]["total"]["minor"]),
        (&json!(user), &json!(300))
    );
    assert!(
        told.body["meta"]["consistency_token"].is_null()
            && told.header("etag").is_empty()
            && told.header("location").is_empty()
    );
    assert_eq!(shop.log().await, before);
    // The real command does what the dry run announced.
    let order = shop.post("/api/v1/orders?dry_run=false", body).await.made();
    let (_, placed) = shop.log().await.swap_remove(before.len());
    let without_ids = |mut data: Value| {
        data.as_object_mut().unwrap().remove("order_id");
        data["lines"][0].as_object_mut().unwrap().remove("line_id");
        data
    };
    assert_eq!(without_ids(placed), without_ids(events[0]["data"].clone()));
    let confirming = shop.act(&format!("/api/v1/orders/{order}/confirm?dry_run=true")).await;
    assert_eq!(confirming.ok()["events"][0]["type"], "order.confirmed");
}

#[tokio::test]
async fn a_dry_run_tells_which_requirement_does_not_hold() {
    let shop = Shop::new();
    shop.user("ada@example.com").await;
    let body = json!({"email": "Ada@Example.com", "name": "Ada"});
    let told = shop.post("/api/v1/users?dry_run=true", body).await;
    let data = told.ok();
    assert_eq!(
        (&data["requirements_hold"], &data["refusal"]["code"]),
        (&json!(false), &json!("user/email-taken"))
    );
    assert_eq!(data["events"][0]["type"], "user.registered");
    assert_eq!(shop.types().await, ["user.registered"]);
}

#[tokio::test]
async fn a_dry_run_of_what_the_rules_refuse_is_the_same_problem() {
    let shop = Shop::new();
    let order = shop.order(&shop.user("ada@example.com").await, &shop.product("1.50").await).await;
    shop.act(&format!("/api/v1/orders/{order}/cancel")).await.ok();
    shop.act(&format!("/api/v1/orders/{order}/confirm?dry_run=true"))
        .await
        .problem(409, "order/not-pending");
    let stale = json_request(
        "PATCH",
        "/api/v1/users/00000000-0000-0000-0000-000000000000?dry_run=true",
        &json!({"name": "x"}),
    );
    shop.send(stale).await.problem(404, "not-found");
    shop.act(&format!("/api/v1/orders/{order}/confirm?dry_run=perhaps"))
        .await
        .problem(422, "invalid-content");
    shop.act(&format!("/api/v1/orders/{order}/confirm?dryrun=true"))
        .await
        .problem(422, "invalid-content");
}

#[tokio::test]
async fn a_dry_run_leaves_its_idempotency_key_unused() {
    let shop = Shop::new();
    let body = json!({"email": "ada@example.com", "name": "Ada"});
    let request = |path| json_request("POST", path, &body).with("idempotency-key", "k");
    for _ in 0..2 {
        assert_eq!(
            shop.send(request("/api/v1/users?dry_run=true")).await.ok()["requirements_hold"],
            true
        );
    }
    let made = shop.send(request("/api/v1/users")).await;
    made.made();
    assert_eq!(made.header("idempotent-replayed"), "");
}

#[tokio::test]
async fn a_dry_run_never_reaches_an_append() {
    let (stage, mut arrivals) = Stage::new();
    let shop = Shop::over(stage.clone(), ShopOptions::default());
    stage.cue(Cue::GoOn);
    shop.post("/api/v1/users?dry_run=true", json!({"email": "ada@example.com", "name": "Ada"}))
        .await
        .ok();
    assert_eq!(arrivals.count(), 0);
    assert_eq!(stage.head().await.unwrap().mark.position, Position::START);
}
