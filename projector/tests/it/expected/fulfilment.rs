//! The rows of orders that are paid, shipped, delivered, cancelled after their confirmation, or
//! refunded.

use domain::order::CancelReason;
use domain::order::event::{
    OrderDelivered, OrderEvent, OrderPaid, OrderPaymentRequested, OrderRefunded,
    OrderSaleCancelled, OrderShipped,
};
use domain::value::{Evidence, Reason};
use serde_json::{Value, json};

use super::users::{self, registered};
use super::{ORDER, PRODUCT, Story, USER, at, confirmed, money, order, placed, story, with};
use crate::support::Happening;

const DAY: &str = "1997-05-05T00:00:00Z";

fn note() -> (Reason, Option<Evidence>) {
    (Reason::parse("seen").unwrap(), Some(Evidence::parse("pay_7").unwrap()))
}

pub(super) fn sold() -> Happening {
    confirmed(200, 2, DAY)
}

fn payment_requested() -> Happening {
    let (order_id, user_id, amount) = (ORDER, USER, money(200, "USD"));
    order(OrderEvent::PaymentRequested(OrderPaymentRequested { order_id, user_id, amount }))
}

pub(super) fn paid() -> Happening {
    let ((reason, evidence), ordered_at) = (note(), at(DAY));
    let (order_id, user_id, amount) = (ORDER, USER, money(200, "USD"));
    order(OrderEvent::Paid(OrderPaid { order_id, user_id, amount, ordered_at, reason, evidence }))
}

pub(super) fn shipped() -> Happening {
    let (reason, evidence) = note();
    order(OrderEvent::Shipped(OrderShipped { order_id: ORDER, user_id: USER, reason, evidence }))
}

pub(super) fn delivered() -> Happening {
    let (reason, evidence) = note();
    let (order_id, user_id) = (ORDER, USER);
    order(OrderEvent::Delivered(OrderDelivered { order_id, user_id, reason, evidence }))
}

pub(super) fn refunded(amount: i64, so_far: i64, ends_order: bool) -> Happening {
    let (reason, evidence) = note();
    order(OrderEvent::Refunded(OrderRefunded {
        order_id: ORDER,
        user_id: USER,
        amount: money(amount, "USD"),
        refunded: money(so_far, "USD"),
        ends_order,
        ordered_at: at(DAY),
        reason,
        evidence,
    }))
}

pub(super) fn sale_cancelled() -> Happening {
    order(OrderEvent::SaleCancelled(OrderSaleCancelled {
        order_id: ORDER,
        user_id: USER,
        total: money(200, "USD"),
        units: 2,
        ordered_at: at(DAY),
        reason: Some(CancelReason::OutOfStock),
        products: vec![PRODUCT],
    }))
}

/// All fields of both objects.
pub(super) fn merged(mut one: Value, other: Value) -> Value {
    if let (Some(one), Value::Object(other)) = (one.as_object_mut(), other) {
        one.extend(other);
    }
    one
}

/// What an event changes in a row.
pub(super) type Step = (Happening, Value);

/// One story for each step, with all steps before it. `first` is the row that the steps begin with.
pub(super) fn steps(
    projection: &'static str,
    before: &[Happening],
    first: Value,
    steps: Vec<Step>,
) -> Vec<Story> {
    let (mut happened, mut row, mut stories) = (before.to_vec(), first, Vec::new());
    for (event, changed) in steps {
        happened.push(event);
        row = with(&row, changed);
        stories.push(story(projection, happened.clone(), row.clone()));
    }
    stories
}

fn of_orders() -> Vec<Story> {
    let first = super::of_orders().remove(0).row;
    // Each step is the next event of the stream and of the log.
    let step = |nth: i64, event: Happening, changed: Value| {
        let (time, place) = (format!("@{nth}"), json!(nth));
        let moved = json!({"updated_at": time, "version": place, "position": place});
        (event, merged(moved, changed))
    };
    let confirmed = || step(2, sold(), json!({"status": "confirmed", "confirmed_at": "@2"}));
    let pays = |nth: i64| {
        let time = format!("@{nth}");
        step(nth, paid(), json!({"status": "paid", "paid_at": time, "paid_minor": 200}))
    };
    let refunds = |nth: i64, so_far: i64| {
        let event = refunded(100, so_far, so_far == 200);
        step(nth, event, json!({"refunded_at": format!("@{nth}"), "refunded_minor": so_far}))
    };
    let (last, ended) = refunds(8, 200);
    let fulfilled = vec![
        confirmed(),
        step(3, payment_requested(), json!({"payment_requested_at": "@3"})),
        pays(4),
        step(5, shipped(), json!({"status": "shipped", "shipped_at": "@5"})),
        step(6, delivered(), json!({"status": "delivered", "delivered_at": "@6"})),
        refunds(7, 100),
        (last, merged(ended, json!({"status": "refunded"}))),
    ];
    let cancelled = vec![
        confirmed(),
        pays(3),
        step(
            4,
            sale_cancelled(),
            json!({"status": "cancelled", "cancelled_at": "@4", "cancel_reason": "out_of_stock",
                "cancel_products": [PRODUCT]}),
        ),
    ];
    let before = [placed()];
    let stories = steps("orders", &before, first.clone(), fulfilled);
    stories.into_iter().chain(steps("orders", &before, first, cancelled)).collect()
}

/// The private column of an order that was cancelled or refunded.
pub(super) fn returns(is_cancelled: bool, refunded_minor: i64) -> Value {
    let order = json!({"is_cancelled": is_cancelled, "refunded_minor": refunded_minor});
    Value::Object([(ORDER.to_string(), order)].into_iter().collect())
}

fn of_users() -> Vec<Story> {
    let first = users::first();
    let step = |nth: i64, event: Happening, changed: Value| {
        (event, merged(json!({"updated_at": format!("@{nth}"), "position": nth}), changed))
    };
    let paid_for = || {
        let counted = json!({"order_count": 1, "total_spent": {"USD": 200},
            "last_order_at": "1997-05-05T00:00:00+00:00"});
        let partly = json!({"total_refunded": {"USD": 50}, "total_paid_back": {"USD": 50},
            "returns": returns(false, 50)});
        vec![
            step(2, sold(), counted),
            step(3, paid(), json!({"total_paid": {"USD": 200}})),
            step(4, refunded(50, 50, false), partly),
        ]
    };
    // A refund in whole leaves the order and its gross amount, and a net of nothing.
    let wholly = json!({"total_refunded": {"USD": 200}, "total_paid_back": {"USD": 200},
        "returns": returns(false, 200)});
    let kept = [paid_for(), vec![step(5, refunded(150, 200, true), wholly)]].concat();
    // A cancelled order counts nowhere, and neither do its refunds, made before or after.
    let not_counted = json!({"order_count": 0, "total_spent": {"USD": 0},
        "total_refunded": {"USD": 0}, "returns": returns(true, 50)});
    let settled = json!({"total_paid_back": {"USD": 200}, "returns": returns(true, 200)});
    let ends =
        vec![step(5, sale_cancelled(), not_counted), step(6, refunded(150, 200, false), settled)];
    let cancelled = [paid_for(), ends].concat();
    let stories = steps("users", &[registered()], first.clone(), kept);
    stories.into_iter().chain(steps("users", &[registered()], first, cancelled)).collect()
}

fn of_daily_sales() -> Vec<Story> {
    let first = json!({"day": "1997-05-05", "currency": "USD", "orders": 0, "units": 0,
        "revenue_minor": 0, "paid_minor": 0, "refunded_minor": 0, "paid_back_minor": 0,
        "returns": {}, "position": 0});
    // All of them count on the day of the sale, whenever they happen.
    let paid_for = || {
        let partly = json!({"refunded_minor": 50, "paid_back_minor": 50,
            "returns": returns(false, 50), "position": 3});
        vec![
            (sold(), json!({"orders": 1, "units": 2, "revenue_minor": 200, "position": 1})),
            (paid(), json!({"paid_minor": 200, "position": 2})),
            (refunded(50, 50, false), partly),
        ]
    };
    let wholly = json!({"refunded_minor": 200, "paid_back_minor": 200,
        "returns": returns(false, 200), "position": 4});
    let kept = [paid_for(), vec![(refunded(150, 200, true), wholly)]].concat();
    let not_counted = json!({"orders": 0, "units": 0, "revenue_minor": 0, "refunded_minor": 0,
        "returns": returns(true, 50), "position": 4});
    let settled = json!({"paid_back_minor": 200, "returns": returns(true, 200), "position": 5});
    let ends = vec![(sale_cancelled(), not_counted), (refunded(150, 200, false), settled)];
    let cancelled = [paid_for(), ends].concat();
    let stories = steps("daily_sales", &[], first.clone(), kept);
    stories.into_iter().chain(steps("daily_sales", &[], first, cancelled)).collect()
}

/// The stories of what follows a confirmation.
pub(super) fn stories() -> Vec<Story> {
    [of_orders(), of_users(), of_daily_sales()].into_iter().flatten().collect()
}
