//! How each projection changes rows by each event that it handles: whole rows, written down by
//! hand, not computed by the code under test.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::order::CancelReason;
use domain::order::event::{
    OrderCancelled, OrderConfirmed, OrderEvent, OrderLine, OrderLineAdded, OrderLineRemoved,
    OrderPlaced,
};
use domain::product::event::{
    ProductAdded, ProductClassified, ProductEvent, ProductRenamed, ProductRepriced,
    ProductStockAdjusted, ProductStockReceived, ProductStockReleased, ProductStockReserved,
    ProductStockShipped,
};
use domain::value::{ProductName, Quantity, RateClass};
use event_store::subject::SUBJECT_ERASED;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::erasure::World;
use crate::support::life::{at, money};
use crate::support::{
    Happening, append, contents, everything, happening, read_model, runner, vault,
};

mod customers;
mod fulfilment;
mod pricing;
mod search;
mod sums;
mod users;

const USER: Uuid = Uuid::from_u128(1);
const PRODUCT: Uuid = Uuid::from_u128(2);
const ORDER: Uuid = Uuid::from_u128(3);
const FIRST: Uuid = Uuid::from_u128(4);
const SECOND: Uuid = Uuid::from_u128(5);

/// The projection's only row after the last of these events. In it `@n` stands for when event n was
/// recorded.
#[derive(Clone)]
struct Story {
    projection: &'static str,
    happened: Vec<Happening>,
    /// Whether the user is erased after all that.
    erased: bool,
    row: Value,
}

fn story(projection: &'static str, happened: Vec<Happening>, row: Value) -> Story {
    Story { projection, happened, erased: false, row }
}

/// `row` with other values in these columns.
fn with(row: &Value, changed: Value) -> Value {
    let (mut row, Value::Object(changed)) = (row.clone(), changed) else {
        panic!("columns are an object")
    };
    for (column, value) in changed {
        assert!(
            row.as_object_mut().unwrap().insert(column.clone(), value).is_some(),
            "there is no column {column}"
        );
    }
    row
}

#[allow(clippy::needless_pass_by_value, reason = "reads better at every call")]
fn order(event: OrderEvent) -> Happening {
    happening("order", ORDER, &event)
}

#[allow(clippy::needless_pass_by_value, reason = "reads better at every call")]
fn product(event: ProductEvent) -> Happening {
    happening("product", PRODUCT, &event)
}

fn line(line_id: Uuid, quantity: u32, unit_price: i64) -> OrderLine {
    let product_name = ProductName::parse("cd").unwrap();
    let quantity = Quantity::new(quantity).unwrap();
    OrderLine {
        line_id,
        product_id: PRODUCT,
        product_name,
        quantity,
        unit_price: money(unit_price, "USD"),
    }
}

fn placed() -> Happening {
    let (lines, total) = (vec![line(FIRST, 2, 100)], money(200, "USD"));
    order(OrderEvent::Placed(OrderPlaced {
        order_id: ORDER,
        user_id: USER,
        lines,
        total,
        ordered_at: Some(at("1997-05-05T00:00:00Z")),
    }))
}

fn line_added() -> Happening {
    order(OrderEvent::LineAdded(OrderLineAdded {
        order_id: ORDER,
        line: line(SECOND, 3, 50),
        total: money(350, "USD"),
    }))
}

fn confirmed(minor: i64, units: u64, ordered_at: &str) -> Happening {
    let (total, ordered_at) = (money(minor, "USD"), at(ordered_at));
    order(OrderEvent::Confirmed(OrderConfirmed {
        order_id: ORDER,
        user_id: USER,
        total,
        units,
        ordered_at,
        to_fulfil: true,
    }))
}

fn added() -> Happening {
    let (name, unit_price) = (ProductName::parse("cd").unwrap(), money(999, "USD"));
    product(ProductEvent::Added(ProductAdded { product_id: PRODUCT, name, unit_price, stock: 5 }))
}

fn of_orders() -> Vec<Story> {
    let one = json!({
        "line_id": FIRST, "product_id": PRODUCT, "product_name": "cd", "quantity": 2,
            "unit_price_minor": 100,
    });
    let other = json!({
        "line_id": SECOND, "product_id": PRODUCT, "product_name": "cd", "quantity": 3,
            "unit_price_minor": 50,
    });
    let first = json!({
        "id": ORDER, "user_id": USER, "status": "pending", "currency": "USD", "total_minor": 200,
            "discount_minor": 0, "tax_minor": 0, "shipping_country": null,
            "shipping_region": null, "units": 2, "lines": [one], "paid_minor": 0,
            "refunded_minor": 0,
        "ordered_at": "1997-05-05T00:00:00+00:00", "confirmed_at": null, "cancelled_at": null,
        "cancel_reason": null, "cancel_products": [],
        "payment_requested_at": null, "paid_at": null, "shipped_at": null, "delivered_at": null,
        "refunded_at": null,
        "created_at": "@1", "updated_at": "@1", "version": 1, "position": 1,
    });
    let second = json!({
        "lines": [one, other], "units": 5, "total_minor": 350, "updated_at": "@2", "version": 2,
            "position": 2,
    });
    let second = with(&first, second);
    let removed = OrderLineRemoved { order_id: ORDER, line_id: FIRST, total: money(150, "USD") };
    let third = json!({
        "lines": [other], "units": 3, "total_minor": 150, "updated_at": "@3", "version": 3,
            "position": 3,
    });
    let done = json!({
        "status": "confirmed", "total_minor": 199, "confirmed_at": "@2",
            "ordered_at": "1997-06-06T00:00:00+00:00",
        "updated_at": "@2", "version": 2, "position": 2,
    });
    let undone = json!({
        "status": "cancelled", "cancelled_at": "@2", "cancel_reason": "customer",
        "updated_at": "@2", "version": 2,
            "position": 2,
    });
    let reason = Some(CancelReason::Customer);
    let cancelled = OrderCancelled { order_id: ORDER, user_id: USER, reason };
    let cancelled = order(OrderEvent::Cancelled(cancelled));
    vec![
        story("orders", vec![placed()], first.clone()),
        story("orders", vec![placed(), line_added()], second.clone()),
        story(
            "orders",
            vec![placed(), line_added(), order(OrderEvent::LineRemoved(removed))],
            with(&second, third),
        ),
        story(
            "orders",
            vec![placed(), confirmed(199, 2, "1997-06-06T00:00:00Z")],
            with(&first, done),
        ),
        story("orders", vec![placed(), cancelled], with(&first, undone)),
    ]
}

fn of_products() -> Vec<Story> {
    let first = json!({
        "id": PRODUCT, "name": "cd", "currency": "USD", "unit_price_minor": 999,
        "rate_class": "standard", "stock": 5, "reserved": 0, "created_at": "@1",
        "updated_at": "@1", "version": 1, "position": 1,
    });
    let after = |event: ProductEvent, changed: Value| {
        let row =
            with(&with(&first, json!({"updated_at": "@2", "version": 2, "position": 2})), changed);
        story("products", vec![added(), product(event)], row)
    };
    let name = ProductName::parse("record").unwrap();
    let repriced = ProductRepriced { product_id: PRODUCT, unit_price: money(5, "EUR") };
    let (product_id, order_id) = (PRODUCT, ORDER);
    let classified = ProductClassified { product_id, rate_class: RateClass::Reduced };
    let adjusted = ProductStockAdjusted { product_id, delta: 2, stock: 7 };
    let received = ProductStockReceived { product_id, units: 3, stock: 8 };
    let reserved = ProductStockReserved { product_id, order_id, units: 2, reserved: 4 };
    let released = ProductStockReleased { product_id, order_id, units: 2, reserved: 1 };
    let shipped = ProductStockShipped { product_id, order_id, units: 2, stock: 3, reserved: 1 };
    vec![
        story("products", vec![added()], first.clone()),
        after(
            ProductEvent::Renamed(ProductRenamed { product_id: PRODUCT, name }),
            json!({"name": "record"}),
        ),
        after(ProductEvent::Repriced(repriced), json!({"unit_price_minor": 5, "currency": "EUR"})),
        after(ProductEvent::Classified(classified), json!({"rate_class": "reduced"})),
        after(ProductEvent::StockAdjusted(adjusted), json!({"stock": 7})),
        after(ProductEvent::StockReceived(received), json!({"stock": 8})),
        after(ProductEvent::StockReserved(reserved), json!({"reserved": 4})),
        after(ProductEvent::StockReleased(released), json!({"reserved": 1})),
        after(ProductEvent::StockShipped(shipped), json!({"stock": 3, "reserved": 1})),
    ]
}

fn of_daily_sales() -> Vec<Story> {
    let row = json!({"day": "1997-05-05", "currency": "USD", "orders": 2, "units": 7,
        "revenue_minor": 550, "paid_minor": 0, "refunded_minor": 0, "paid_back_minor": 0,
        "returns": {}, "position": 2});
    let happened =
        vec![confirmed(350, 5, "1997-05-05T00:00:00Z"), confirmed(200, 2, "1997-05-05T23:59:59Z")];
    vec![story("daily_sales", happened, row)]
}

fn stories() -> Vec<Story> {
    let plain = [users::stories(), of_orders(), of_products(), of_daily_sales()];
    let others = fulfilment::stories().into_iter().chain(pricing::stories());
    let others = others.chain(customers::stories()).chain(sums::stories()).chain(search::stories());
    plain.into_iter().flatten().chain(others).collect()
}

/// The row with the times at which the events were recorded.
fn timed(row: &Value, recorded: &[String]) -> Value {
    let mut row = row.clone();
    for value in row.as_object_mut().unwrap().values_mut() {
        let number = value.as_str().and_then(|text| text.strip_prefix('@')?.parse::<usize>().ok());
        if let Some(number) = number {
            *value = recorded[number - 1].clone().into();
        }
    }
    row
}

#[tokio::test]
async fn p7_each_projection_makes_of_each_event_the_row_that_is_written_down_here() {
    for Story { projection, happened, erased, row } in stories() {
        let types: Vec<String> =
            happened.iter().map(|(_, event)| event.event_type.to_string()).collect();
        let world = World::new();
        append(&world.encrypted, happened).await;
        let database = read_model().await;
        let mut live = runner(Arc::clone(&world.log), database.url()).revealing(vault(&world.keys));
        if erased {
            live.run_once().await.unwrap();
            world.erase(USER).await;
        }
        live.run_once().await.unwrap();
        let events = everything(world.log.as_ref()).await;
        // As Postgres keeps and shows times: to the microsecond.
        let recorded = events
            .iter()
            .map(|event| event.recorded_at.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string());
        let recorded: Vec<String> = recorded.collect();
        let rows = &contents(database.url()).await[projection];
        assert_eq!(
            shown(rows),
            shown(&json!([timed(&row, &recorded)])),
            "{projection} after {types:?}, erased: {erased}"
        );
    }
}

/// Times without zeros at the end of their fractions, which Postgres leaves out.
fn shown(rows: &Value) -> Value {
    let mut rows = rows.clone();
    for value in rows
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .flat_map(|row| row.as_object_mut().unwrap().values_mut())
    {
        if let Some((time, "+00:00")) =
            value.as_str().map(|text| text.split_at(text.len().saturating_sub(6)))
            && time.contains('.')
        {
            *value = format!("{}+00:00", time.trim_end_matches('0').trim_end_matches('.')).into();
        }
    }
    rows
}

#[test]
fn every_event_that_a_projection_handles_has_an_expected_row() {
    let stories = stories();
    let written = stories.iter().map(|story| {
        let last = story.happened.last().unwrap();
        (
            story.projection,
            if story.erased { SUBJECT_ERASED.to_owned() } else { last.1.event_type.to_string() },
        )
    });
    let written: BTreeSet<(&str, String)> = written.collect();
    // One of which nothing is written down here has what its golden events make (projections.rs).
    let is_here = |name: &str| written.iter().any(|(projection, _)| *projection == name);
    let all = projector::projections::all();
    for projection in all.iter().filter(|projection| is_here(projection.name())) {
        let name = projection.name();
        for event_type in projection.handles() {
            assert!(
                written.contains(&(name, event_type.to_owned())),
                "{name} handles {event_type}: write its expected row"
            );
        }
        if !projection.personal().is_empty() {
            assert!(
                written.contains(&(name, SUBJECT_ERASED.to_owned())),
                "{name} keeps personal fields: write its blanked row"
            );
        }
    }
}
