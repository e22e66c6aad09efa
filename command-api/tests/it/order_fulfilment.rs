//! Tests of order fulfilment: the saga over a log in memory, with gateways that misbehave on
//! request.

mod by_hand;
mod gateways;
mod story;
mod troubles;

use std::time::Duration;

use domain::order::OrderStatus;
use saga::instance::Status;
use serde_json::json;

use gateways::Standing;
use story::{STOCK, Story};

/// What stands at the gateways after an order of 20 USD was fulfilled.
pub(crate) fn fulfilled() -> Standing {
    Standing { captured: 2_000, shipped: 1, ..Standing::default() }
}

#[tokio::test]
async fn a_confirmed_order_is_reserved_charged_and_shipped() {
    let story = Story::of(2).await;
    assert_eq!(story.confirmed().await, Status::Completed);
    assert_eq!(story.order_status().await, OrderStatus::Shipped);
    assert_eq!(story.world.standing(), fulfilled());
    assert_eq!(story.world.calls(), ["authorise", "capture", "request"]);
    assert_eq!(story.stock().await, (STOCK - 2, 0));
    let steps = [
        "accept_order",
        "reserve_stock",
        "authorise_payment",
        "capture_payment",
        "record_payment",
        "ship",
        "record_shipment",
    ];
    let each =
        steps.map(|step| ["requested", "succeeded"].map(|how| format!("step_{how} {step} #1")));
    let mut expected = vec![format!("started order_fulfilment v1 {}", story.order)];
    expected.extend(each.into_iter().flatten());
    expected.push("completed".to_owned());
    assert_eq!(story.timeline().await, expected);
    let paid = story.last("order.paid").await.unwrap();
    assert_eq!((&paid["evidence"], &paid["amount"]["minor"]), (&json!("pi_1"), &json!(2_000)));
    assert_eq!(story.last("order.shipped").await.unwrap()["evidence"], "shp_1");
    // Nothing is left to do, whenever somebody looks again.
    assert_eq!(story.later(Duration::from_hours(100 * 24)).await, Status::Completed);
    assert_eq!(story.world.standing(), fulfilled());
}

#[tokio::test]
async fn one_append_per_step_has_the_outcome_of_one_and_the_request_of_the_next() {
    let story = Story::of(2).await;
    let before = story.shop.types().await.len() + 1;
    story.confirmed().await;
    let types = story.shop.types().await.split_off(before);
    let at = |name: &str| types.iter().position(|one| one == name).unwrap();
    assert!(at("product.stock_reserved") < at("order.paid"));
    assert!(at("order.paid") < at("product.stock_shipped"));
}

#[tokio::test]
async fn an_order_without_stock_ends_cancelled_and_says_which_products_lack_units() {
    let story = Story::of(11).await;
    assert_eq!(story.confirmed().await, Status::Compensated);
    assert_eq!(story.order_status().await, OrderStatus::Cancelled);
    let cancelled = story.last("order.sale_cancelled").await.unwrap();
    assert_eq!(cancelled["reason"], "out_of_stock");
    assert_eq!(cancelled["products"], json!([story.product]));
    assert_eq!((story.world.standing(), story.stock().await), (Standing::default(), (STOCK, 0)));
    assert!(story.world.calls().is_empty());
}

#[tokio::test]
async fn an_order_of_which_one_product_lacks_units_reserves_nothing() {
    let story = Story::of(1).await;
    let scarce = story.shop.product("1.00").await;
    let line = json!({"product_id": scarce, "quantity": 11});
    story.shop.post(&story.path("lines"), line).await;
    assert_eq!(story.confirmed().await, Status::Compensated);
    let types = story.shop.types().await;
    assert!(!types.iter().any(|name| name.starts_with("product.stock_")), "{types:?}");
    let cancelled = story.last("order.sale_cancelled").await.unwrap();
    assert_eq!(cancelled["products"], json!([scarce]));
}

#[tokio::test]
async fn an_imported_order_starts_nothing() {
    let story = Story::of(1).await;
    let body = json!({"user_id": story.user, "ordered_at": "1997-01-12T00:00:00Z",
        "currency": "USD",
        "lines": [{"product_id": story.product, "quantity": 1, "unit_price": "1.00"}]});
    let order = story.shop.post("/api/v1/orders/import", body).await.made();
    story.shop.act(&format!("/api/v1/orders/{order}/confirm")).await.ok();
    assert_eq!(story.drive().await.status, Status::Absent);
    assert_eq!(story.last("order.confirmed").await.unwrap()["to_fulfil"], false);
}

#[tokio::test]
async fn an_order_that_costs_nothing_is_shipped_without_a_payment() {
    let story = Story::of(1).await;
    let discount = json!({"id": uuid::Uuid::from_u128(1), "rate": 1_000_000});
    story.shop.put("/api/v1/pricing/discounts", json!({"discounts": [discount]})).await.ok();
    assert_eq!(story.confirmed().await, Status::Completed);
    assert_eq!(story.world.calls(), ["request"]);
    assert_eq!(story.order_status().await, OrderStatus::Shipped);
}

#[tokio::test]
async fn an_order_without_an_address_waits_for_staff_to_hand_it_over() {
    let story = Story::with(2, None).await;
    assert_eq!(story.confirmed().await, Status::Running);
    assert_eq!(story.order_status().await, OrderStatus::Paid);
    story.record("ship").await;
    assert_eq!(story.ends().await, Status::Completed);
    assert_eq!((story.world.standing().shipped, story.stock().await), (0, (STOCK - 2, 0)));
}

#[tokio::test]
async fn an_order_that_nobody_hands_over_is_refunded_and_cancelled() {
    let story = Story::with(2, None).await;
    story.confirmed().await;
    assert_eq!(story.ends().await, Status::Compensated);
    assert_eq!(story.last("order.sale_cancelled").await.unwrap()["reason"], "expired");
    let standing = story.world.standing();
    assert_eq!((standing.captured, standing.refunded), (2_000, 2_000));
    assert_eq!(story.last("order.refunded").await.unwrap()["amount"]["minor"], 2_000);
    assert_eq!(story.stock().await, (STOCK, 0));
}
