//! Tests of what goes wrong at the gateways, and of orders that are cancelled in the middle.

use std::time::Duration;

use command_api::application::{OpenOrders, Settlement};
use command_api::port::Code;
use command_api::port::payment::PaymentState;
use command_api::sagas::order_fulfilment::Times;
use domain::order::OrderStatus;
use saga::instance::{Decision, Status};

use super::fulfilled;
use super::gateways::{Fault, Standing};
use super::story::{STOCK, Story};
use crate::support::now;

/// Checks that the order was cancelled for this reason, and that nothing is left of it.
async fn is_undone(story: &Story, reason: &str) {
    assert_eq!(story.order_status().await, OrderStatus::Cancelled);
    let cancelled = story.last("order.sale_cancelled").await.unwrap();
    assert_eq!(cancelled["reason"], reason, "{:#?}", story.timeline().await);
    let Standing { authorised, captured, refunded, shipped } = story.world.standing();
    assert_eq!((authorised, captured - refunded, shipped), (0, 0, 0));
    assert_eq!(story.stock().await, (STOCK, 0));
    let is_paid = story.last("order.paid").await.is_some();
    assert_eq!(story.last("order.refunded").await.is_some(), is_paid, "what was paid");
}

#[tokio::test]
async fn a_declined_payment_releases_the_stock_and_cancels_the_order() {
    for operation in ["authorise", "capture"] {
        let story = Story::of(2).await;
        story.world.meets(&[(operation, Fault::Declined)]);
        assert_eq!(story.confirmed().await, Status::Compensated);
        is_undone(&story, "payment_declined").await;
    }
}

#[tokio::test]
async fn a_shipper_that_rejects_after_the_charge_leads_to_a_refund() {
    let story = Story::of(2).await;
    story.world.meets(&[("request", Fault::Declined)]);
    assert_eq!(story.confirmed().await, Status::Compensated);
    is_undone(&story, "shipping_rejected").await;
    assert_eq!(story.world.standing().refunded, 2_000);
}

#[tokio::test]
async fn whatever_gets_no_answer_is_repeated_and_takes_effect_once() {
    for fault in [Fault::Away, Fault::Lost] {
        let story = Story::of(2).await;
        story.world.meets(&[("authorise", fault), ("capture", fault), ("request", fault)]);
        assert_eq!(story.confirmed().await, Status::Running);
        assert_eq!(story.ends().await, Status::Completed, "{fault:?}");
        assert_eq!((story.world.standing(), story.stock().await), (fulfilled(), (STOCK - 2, 0)));
    }
}

#[tokio::test]
async fn compensations_without_an_answer_are_repeated_and_take_effect_once() {
    for fault in [Fault::Away, Fault::Lost] {
        let story = Story::of(2).await;
        let met = [("request", Fault::Declined), ("refund", fault), ("look_up_payment", fault)];
        story.world.meets(&met);
        story.confirmed().await;
        assert_eq!(story.ends().await, Status::Compensated, "{fault:?}");
        is_undone(&story, "shipping_rejected").await;
        assert_eq!(story.world.standing().refunded, 2_000);
    }
}

#[tokio::test]
async fn a_refund_that_was_refused_waits_for_a_person_and_is_asked_for_again_under_a_new_key() {
    let story = Story::of(2).await;
    story.world.meets(&[("request", Fault::Declined), ("refund", Fault::Declined)]);
    assert_eq!(story.confirmed().await, Status::Parked);
    assert_eq!(story.order_status().await, OrderStatus::Cancelled);
    assert_eq!(story.world.standing().refunded, 0);
    story.decided(Decision::Resume).await;
    assert_eq!(story.ends().await, Status::Compensated);
    is_undone(&story, "shipping_rejected").await;
    assert_eq!(story.world.standing().refunded, 2_000);
}

#[tokio::test]
async fn a_payment_that_the_bank_decides_on_later_is_awaited() {
    let story = Story::of(2).await;
    story.world.meets(&[("authorise", Fault::Pending)]);
    assert_eq!(story.confirmed().await, Status::Running);
    assert_eq!(story.later(Duration::from_mins(1)).await, Status::Running);
    story.world.decides(&PaymentState::Authorised);
    assert_eq!(story.ends().await, Status::Completed);
    assert_eq!(story.world.standing(), fulfilled());
    let refused = Story::of(2).await;
    refused.world.meets(&[("authorise", Fault::Pending)]);
    refused.confirmed().await;
    refused.world.decides(&PaymentState::Declined(Code::new("no_funds")));
    assert_eq!(refused.ends().await, Status::Compensated);
    is_undone(&refused, "payment_declined").await;
}

#[tokio::test]
async fn a_payment_without_an_answer_in_time_is_released_and_the_order_cancelled() {
    let story = Story::of(2).await;
    story.world.meets(&[("authorise", Fault::Pending)]);
    story.confirmed().await;
    assert_eq!(story.ends().await, Status::Compensated);
    is_undone(&story, "payment_unanswered").await;
}

#[tokio::test]
async fn an_undone_payment_is_searched_for_within_the_time_of_its_call_alone_or_not_at_all() {
    let story = Story::of(2).await;
    story.world.meets(&[("authorise", Fault::Pending)]);
    story.confirmed().await;
    assert_eq!(story.ends().await, Status::Compensated);
    let searched = story.world.searched();
    let latest = now() + Times::default().payment;
    assert_eq!(searched.last(), Some(&Some(latest)), "{searched:?}");
    // With its id, nobody has to search.
    let story = Story::of(2).await;
    story.world.meets(&[("capture", Fault::Declined)]);
    assert_eq!(story.confirmed().await, Status::Compensated);
    is_undone(&story, "payment_declined").await;
    assert!(story.world.searched().is_empty());
}

#[tokio::test]
async fn the_customer_cancels_in_the_middle_and_gets_everything_back() {
    // While the payment is awaited.
    let story = Story::of(2).await;
    story.world.meets(&[("authorise", Fault::Pending)]);
    story.confirmed().await;
    story.act("cancel").await;
    assert_eq!(story.ends().await, Status::Compensated);
    is_undone(&story, "staff").await;
    // While the shipper is away, after the payment.
    let story = Story::of(2).await;
    story.world.meets(&[("request", Fault::Lost)]);
    assert_eq!(story.confirmed().await, Status::Running);
    story.act("cancel").await;
    assert_eq!(story.ends().await, Status::Compensated);
    is_undone(&story, "staff").await;
    assert_eq!(story.world.standing().refunded, 2_000);
}

#[tokio::test]
async fn an_erasure_that_cancels_open_orders_ends_the_saga() {
    let story = Story::of(2).await;
    story.world.meets(&[("request", Fault::Away)]);
    story.confirmed().await;
    let application = &story.shop.application;
    let settlement =
        Settlement::new(application.commands.clone(), application.policy.clone()).unwrap();
    let user = story.user.parse().unwrap();
    settlement.settle(user, OpenOrders::Refuse).await.unwrap_err();
    settlement.settle(user, OpenOrders::Cancel).await.unwrap();
    assert_eq!(story.ends().await, Status::Compensated);
    is_undone(&story, "user_erased").await;
}

#[tokio::test]
async fn a_shipment_that_is_on_its_way_waits_for_a_person() {
    let story = Story::of(2).await;
    story.world.meets(&[("request", Fault::Lost)]);
    story.confirmed().await;
    story.world.dispatches();
    story.act("cancel").await;
    assert_eq!(story.ends().await, Status::Parked);
    assert_eq!(story.world.standing().refunded, 0);
}
