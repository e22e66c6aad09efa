//! The rows of `order_funnel` and `product_sales`, which the sums of their other tables are over.

use domain::order::CancelReason;
use domain::order::event::{OrderCancelled, OrderEvent, OrderLineRemoved};
use serde_json::{Value, json};

use super::fulfilment::{Step, delivered, paid, refunded, sale_cancelled, shipped, sold, steps};
use super::pricing::priced;
use super::{FIRST, ORDER, PRODUCT, SECOND, Story, USER, line_added, money, order, placed, story};
use crate::support::Happening;

fn cancelled() -> Happening {
    let reason = Some(CancelReason::Customer);
    order(OrderEvent::Cancelled(OrderCancelled { order_id: ORDER, user_id: USER, reason }))
}

fn of_the_funnel() -> Vec<Story> {
    // The order has a date of its own, so it was imported.
    let first = json!({"id": ORDER, "is_import": true, "placed_at": "@1", "confirmed_at": null,
        "paid_at": null, "shipped_at": null, "delivered_at": null, "cancelled_at": null,
        "position": 1});
    let fulfilled: Vec<Step> = vec![
        (sold(), json!({"confirmed_at": "@2", "position": 2})),
        (paid(), json!({"paid_at": "@3", "position": 3})),
        (shipped(), json!({"shipped_at": "@4", "position": 4})),
        (delivered(), json!({"delivered_at": "@5", "position": 5})),
    ];
    let given_up: Vec<Step> = vec![(cancelled(), json!({"cancelled_at": "@2", "position": 2}))];
    let taken_back: Vec<Step> = vec![
        (sold(), json!({"confirmed_at": "@2", "position": 2})),
        (sale_cancelled(), json!({"cancelled_at": "@3", "position": 3})),
    ];
    let after = |changes| steps("order_funnel", &[placed()], first.clone(), changes);
    let begun = story("order_funnel", vec![placed()], first.clone());
    [vec![begun], after(fulfilled), after(given_up), after(taken_back)].concat()
}

fn of_products() -> Vec<Story> {
    let line = |line_id, units: i64, amount_minor: i64| {
        json!({"line_id": line_id, "product_id": PRODUCT, "units": units,
            "amount_minor": amount_minor})
    };
    let lines = |lines: Vec<Value>, position: i64| json!({"lines": lines, "position": position});
    let status = |status: &str, position: i64| json!({"status": status, "position": position});
    let first = json!({"id": ORDER, "status": "open", "currency": "USD",
        "lines": [line(FIRST, 2, 200)], "position": 1});
    let removed = OrderLineRemoved { order_id: ORDER, line_id: SECOND, total: money(200, "USD") };
    let refunded_in_whole: Vec<Step> = vec![
        (line_added(), lines(vec![line(FIRST, 2, 200), line(SECOND, 3, 150)], 2)),
        (order(OrderEvent::LineRemoved(removed)), lines(vec![line(FIRST, 2, 200)], 3)),
        // Its discount is 50 cents. The tax on top is not in the amount of a line.
        (priced(), lines(vec![line(FIRST, 2, 150)], 4)),
        (sold(), status("sold", 5)),
        (refunded(100, 100, false), json!({"position": 6})),
        (refunded(100, 200, true), status("refunded", 7)),
    ];
    let given_up: Vec<Step> = vec![(cancelled(), status("cancelled", 2))];
    let taken_back: Vec<Step> =
        vec![(sold(), status("sold", 2)), (sale_cancelled(), status("cancelled", 3))];
    let after = |changes| steps("product_sales", &[placed()], first.clone(), changes);
    let begun = story("product_sales", vec![placed()], first.clone());
    [vec![begun], after(refunded_in_whole), after(given_up), after(taken_back)].concat()
}

pub(super) fn stories() -> Vec<Story> {
    [of_the_funnel(), of_products()].concat()
}
