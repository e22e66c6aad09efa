//! Tests of what staff record by hand while the saga is at work.

use domain::order::OrderStatus;
use saga::instance::Status;
use serde_json::json;

use super::fulfilled;
use super::gateways::{Fault, Standing};
use super::story::{STOCK, Story};

#[tokio::test]
async fn a_payment_by_hand_ends_the_wait_for_the_bank_and_the_order_is_shipped() {
    let story = Story::of(2).await;
    story.world.meets(&[("authorise", Fault::Pending)]);
    story.confirmed().await;
    story.record("record-payment").await;
    assert_eq!(story.ends().await, Status::Completed);
    let standing = story.world.standing();
    assert_eq!(standing, Standing { shipped: 1, ..Standing::default() }, "nothing is set aside");
    assert_eq!(story.order_status().await, OrderStatus::Shipped);
}

#[tokio::test]
async fn a_payment_by_hand_between_authorisation_and_capture_releases_the_money() {
    let story = Story::of(2).await;
    story.world.meets(&[("capture", Fault::Away)]);
    story.confirmed().await;
    story.record("record-payment").await;
    assert_eq!(story.ends().await, Status::Completed);
    assert_eq!(story.world.standing(), Standing { shipped: 1, ..Standing::default() });
}

#[tokio::test]
async fn a_payment_by_hand_after_the_capture_gives_the_money_back_and_ships_the_order() {
    let story = Story::of(2).await;
    story.world.meets(&[("capture", Fault::Lost)]);
    story.confirmed().await;
    story.record("record-payment").await;
    assert_eq!(story.ends().await, Status::Completed);
    let standing = story.world.standing();
    assert_eq!((standing.captured, standing.refunded, standing.shipped), (2_000, 2_000, 1));
    assert_eq!(story.order_status().await, OrderStatus::Shipped);
    assert_eq!(story.stock().await, (STOCK - 2, 0));
}

#[tokio::test]
async fn a_refund_of_what_was_paid_twice_is_repeated_under_one_key_whatever_comes_later() {
    let story = Story::of(2).await;
    story.world.meets(&[("capture", Fault::Lost), ("refund", Fault::Lost)]);
    story.world.meets(&[("request", Fault::Declined)]);
    story.confirmed().await;
    story.record("record-payment").await;
    assert_eq!(story.ends().await, Status::Compensated);
    let standing = story.world.standing();
    assert_eq!((standing.captured, standing.refunded, standing.shipped), (2_000, 2_000, 0));
    assert_eq!(story.order_status().await, OrderStatus::Cancelled);
}

#[tokio::test]
async fn the_own_payment_that_a_person_recorded_by_hand_stays() {
    let story = Story::of(2).await;
    story.world.meets(&[("capture", Fault::Lost)]);
    story.confirmed().await;
    story.record_with("record-payment", "pi_1").await;
    assert_eq!(story.ends().await, Status::Completed);
    assert_eq!(story.world.standing(), fulfilled());
    assert_eq!(story.order_status().await, OrderStatus::Shipped);
}

#[tokio::test]
async fn a_shipment_by_hand_calls_off_the_shipper() {
    let story = Story::of(2).await;
    story.world.meets(&[("request", Fault::Lost)]);
    story.confirmed().await;
    story.record("ship").await;
    assert_eq!(story.ends().await, Status::Completed);
    assert_eq!(story.world.standing(), Standing { captured: 2_000, ..Standing::default() });
    assert_eq!(story.stock().await, (STOCK - 2, 0));
}

#[tokio::test]
async fn staff_may_do_all_of_it_before_the_saga_begins() {
    let story = Story::of(2).await;
    story.act("confirm").await;
    story.record("record-payment").await;
    story.record("ship").await;
    assert_eq!(story.ends().await, Status::Completed);
    assert_eq!(story.world.standing(), Standing::default());
    assert_eq!(story.stock().await, (STOCK - 2, 0));
}

#[tokio::test]
async fn an_order_that_is_being_refunded_cannot_be_shipped_by_hand() {
    let story = Story::of(2).await;
    story.world.meets(&[("request", Fault::Declined), ("refund", Fault::Away)]);
    assert_eq!(story.confirmed().await, Status::Compensating);
    assert_eq!(story.world.standing().refunded, 0, "the refund waits");
    assert_eq!(story.order_status().await, OrderStatus::Cancelled);
    story.refuses("ship").await;
    assert_eq!(story.ends().await, Status::Compensated);
    assert_eq!(story.world.standing().refunded, 2_000);
    assert_eq!(story.last("order.refunded").await.unwrap()["amount"]["minor"], 2_000);
    assert_eq!(story.stock().await, (STOCK, 0));
}

#[tokio::test]
async fn an_order_whose_payment_is_not_recorded_is_closed_before_its_money_is_given_back() {
    let story = Story::of(2).await;
    // It is given up before the saga knows that the money was taken.
    story.world.meets(&[("capture", Fault::Lost), ("look_up_payment", Fault::Away)]);
    assert_eq!(story.confirmed().await, Status::Running);
    story.give_up("the customer called").await;
    assert_eq!(story.drive().await.status, Status::Compensating);
    assert_eq!(story.world.standing().refunded, 0, "the refund waits");
    story.refuses("record-payment").await;
    assert_eq!(story.ends().await, Status::Compensated);
    assert_eq!(story.world.standing().refunded, 2_000);
    assert_eq!(story.order_status().await, OrderStatus::Cancelled);
}

#[tokio::test]
async fn an_order_that_was_shipped_by_hand_before_it_could_be_cancelled_keeps_its_payment() {
    let story = Story::of(2).await;
    // The saga has asked the shipper, does not know the outcome, and is given up then.
    story.world.meets(&[("request", Fault::Away), ("look_up_shipment", Fault::Away)]);
    assert_eq!(story.confirmed().await, Status::Running);
    story.give_up("the shipper is on strike").await;
    story.record("ship").await;
    assert_eq!(story.ends().await, Status::Compensated);
    let standing = story.world.standing();
    assert_eq!((standing.captured, standing.refunded), (2_000, 0));
    assert_eq!(story.order_status().await, OrderStatus::Shipped);
    assert_eq!(story.stock().await, (STOCK - 2, 0));
}

#[tokio::test]
async fn an_order_that_costs_nothing_and_is_paid_by_hand_is_shipped() {
    let story = Story::of(1).await;
    let discount = json!({"id": uuid::Uuid::from_u128(1), "rate": 1_000_000});
    story.shop.put("/api/v1/pricing/discounts", json!({"discounts": [discount]})).await.ok();
    story.act("confirm").await;
    story.record("record-payment").await;
    assert_eq!(story.ends().await, Status::Completed);
    assert_eq!(story.world.calls(), ["request"]);
    assert_eq!(story.order_status().await, OrderStatus::Shipped);
}
