//! What the projections make of events.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::order::event::{
    OrderCancelled, OrderConfirmed, OrderEvent, OrderLine, OrderLineAdded, OrderLineRemoved,
    OrderPlaced,
};
use domain::product::event::{ProductAdded, ProductEvent, ProductRepriced, ProductStockAdjusted};
use domain::user::event::{UserDeactivated, UserEvent};
use domain::value::{ProductName, Quantity};
use event_store::EventStore;
use local_servers::test_run;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::life::{Life, at, money, registered};
use crate::support::{
    Happening, ask, contents, everything, golden, happening, log_of, projections, read_model,
    replayed, runner,
};

#[test]
fn the_list_of_all_projections_is_the_folder_of_projections() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/projections");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found: BTreeSet<String> =
        entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let listed = projections().into_iter().map(str::to_owned).collect();
    assert_eq!(
        found, listed,
        "a projection is a file and a folder of its name, and a line in all()"
    );
}

const USER: Uuid = Uuid::from_u128(1);
const PRODUCT: Uuid = Uuid::from_u128(2);

#[tokio::test]
async fn p7_every_projection_makes_rows_of_every_event_that_it_handles() {
    let store = log_of(golden::each_type()).await;
    let database = read_model().await;
    runner(Arc::clone(&store) as Arc<dyn EventStore>, database.url()).run_once().await.unwrap();
    let parked: Vec<String> = ask(
        database.url(),
        "SELECT COALESCE(array_agg(format('%s: %s', projection, event_type)), '{}') FROM \
            read_model.parked",
    )
    .await;
    assert!(parked.is_empty(), "refused: {parked:?}");
    let rows = contents(database.url()).await;
    for name in projections() {
        assert!(rows[name].as_array().is_some_and(|rows| !rows.is_empty()), "{name} has no row");
    }
}

/// What the tables hold after these events.
async fn after(happenings: Vec<Happening>) -> Value {
    replayed(log_of(happenings).await).await
}

fn order_line(line: u128, quantity: u32, unit_price: i64, currency: &str) -> OrderLine {
    OrderLine {
        line_id: Uuid::from_u128(line),
        product_id: PRODUCT,
        product_name: ProductName::parse("cd").unwrap(),
        quantity: Quantity::new(quantity).unwrap(),
        unit_price: money(unit_price, currency),
    }
}

fn user_appears() -> Happening {
    happening("user", USER, &registered(USER))
}

fn placed(order: u128, line: OrderLine, ordered_at: Option<DateTime<Utc>>) -> Happening {
    let order_id = Uuid::from_u128(order);
    let total = money(
        line.unit_price.minor() * i64::from(line.quantity.get()),
        line.unit_price.currency().code(),
    );
    happening(
        "order",
        order_id,
        &OrderEvent::Placed(OrderPlaced {
            order_id,
            user_id: USER,
            lines: vec![line],
            total,
            ordered_at,
        }),
    )
}

fn confirmed(order: u128, minor: i64, currency: &str, units: u64, ordered_at: &str) -> Happening {
    let order_id = Uuid::from_u128(order);
    let (total, ordered_at) = (money(minor, currency), at(ordered_at));
    happening(
        "order",
        order_id,
        &OrderEvent::Confirmed(OrderConfirmed {
            order_id,
            user_id: USER,
            total,
            units,
            ordered_at,
            to_fulfil: true,
        }),
    )
}

#[tokio::test]
async fn a_user_row_counts_confirmed_orders_alone_and_sums_each_currency_apart() {
    let rows = after(vec![
        user_appears(),
        placed(10, order_line(1, 2, 1467, "USD"), None),
        placed(11, order_line(2, 1, 500, "EUR"), None),
        placed(12, order_line(3, 1, 999, "USD"), None),
        confirmed(10, 2934, "USD", 2, "1997-02-01T00:00:00Z"),
        confirmed(11, 500, "EUR", 1, "1997-01-01T00:00:00Z"),
    ])
    .await;
    let user = &rows["users"][0];
    assert_eq!(user["order_count"], 2);
    assert_eq!(user["total_spent"], json!({"USD": 2934, "EUR": 500}));
    assert_eq!(
        user["last_order_at"], "1997-02-01T00:00:00+00:00",
        "the latest by date, not the last to arrive"
    );
    assert_eq!(
        (&user["version"], &user["position"]),
        (&json!(1), &json!(6)),
        "the version of its own stream, the position of the last event"
    );
}

#[tokio::test]
async fn a_deactivated_user_keeps_a_row() {
    let rows = after(vec![
        user_appears(),
        happening("user", USER, &UserEvent::Deactivated(UserDeactivated { user_id: USER })),
    ])
    .await;
    let user = &rows["users"][0];
    assert_eq!(
        (&user["status"], &user["name"], &user["version"]),
        (&json!("deactivated"), &json!("Ada"), &json!(2))
    );
    assert_eq!(user["total_spent"], json!({}));
}

#[tokio::test]
async fn an_order_row_follows_its_lines_and_its_end() {
    let order_id = Uuid::from_u128(10);
    let rows = after(vec![
        user_appears(),
        placed(10, order_line(1, 2, 100, "USD"), Some(at("1997-05-05T00:00:00Z"))),
        happening(
            "order",
            order_id,
            &OrderEvent::LineAdded(OrderLineAdded {
                order_id,
                line: order_line(2, 3, 50, "USD"),
                total: money(350, "USD"),
            }),
        ),
        happening(
            "order",
            order_id,
            &OrderEvent::LineRemoved(OrderLineRemoved {
                order_id,
                line_id: Uuid::from_u128(1),
                total: money(150, "USD"),
            }),
        ),
        confirmed(10, 150, "USD", 3, "1997-05-05T00:00:00Z"),
        placed(11, order_line(3, 1, 1, "USD"), None),
        happening(
            "order",
            Uuid::from_u128(11),
            &OrderEvent::Cancelled(OrderCancelled {
                order_id: Uuid::from_u128(11),
                user_id: USER,
                reason: None,
            }),
        ),
    ])
    .await;
    let order = &rows["orders"][0];
    assert_eq!(
        (&order["status"], &order["units"], &order["total_minor"]),
        (&json!("confirmed"), &json!(3), &json!(150))
    );
    assert_eq!(
        order["lines"],
        json!([{"line_id": Uuid::from_u128(2), "product_id": PRODUCT, "product_name": "cd",
            "quantity": 3, "unit_price_minor": 50}])
    );
    assert_eq!(
        (&order["ordered_at"], &order["version"]),
        (&json!("1997-05-05T00:00:00+00:00"), &json!(4))
    );
    assert_eq!(order["confirmed_at"], order["updated_at"]);
    let cancelled = &rows["orders"][1];
    assert_eq!(
        (&cancelled["status"], &cancelled["ordered_at"]),
        (&json!("cancelled"), &Value::Null)
    );
}

#[tokio::test]
async fn a_product_row_shows_the_newest_price_and_stock() {
    let added = ProductAdded {
        product_id: PRODUCT,
        name: ProductName::parse("cd").unwrap(),
        unit_price: money(999, "USD"),
        stock: 5,
    };
    let rows = after(vec![
        happening("product", PRODUCT, &ProductEvent::Added(added)),
        happening(
            "product",
            PRODUCT,
            &ProductEvent::Repriced(ProductRepriced {
                product_id: PRODUCT,
                unit_price: money(5, "EUR"),
            }),
        ),
        happening(
            "product",
            PRODUCT,
            &ProductEvent::StockAdjusted(ProductStockAdjusted {
                product_id: PRODUCT,
                delta: 2,
                stock: 7,
            }),
        ),
    ])
    .await;
    let product = &rows["products"][0];
    assert_eq!(
        (&product["unit_price_minor"], &product["currency"], &product["stock"]),
        (&json!(5), &json!("EUR"), &json!(7))
    );
}

#[tokio::test]
async fn a_day_of_sales_ends_at_midnight_utc() {
    let rows = after(vec![
        user_appears(),
        placed(10, order_line(1, 2, 100, "USD"), None),
        placed(11, order_line(2, 1, 100, "USD"), None),
        placed(12, order_line(3, 1, 30, "EUR"), None),
        confirmed(10, 200, "USD", 2, "1997-01-01T23:59:59.999999Z"),
        confirmed(11, 100, "USD", 1, "1997-01-02T00:00:00Z"),
        confirmed(12, 30, "EUR", 1, "1997-01-01T12:00:00Z"),
    ])
    .await;
    let sales: Vec<_> = rows["daily_sales"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (&row["day"], &row["currency"], &row["orders"], &row["units"], &row["revenue_minor"])
        })
        .collect();
    assert_eq!(
        sales,
        [
            (&json!("1997-01-01"), &json!("EUR"), &json!(1), &json!(1), &json!(30)),
            (&json!("1997-01-01"), &json!("USD"), &json!(1), &json!(2), &json!(200)),
            (&json!("1997-01-02"), &json!("USD"), &json!(1), &json!(1), &json!(100)),
        ]
    );
}

#[tokio::test]
async fn p7_any_split_of_the_log_into_batches_folds_to_the_same_rows() {
    let run = test_run();
    for round in 0..run.count(3, 200) {
        let seed = run.seed.wrapping_add(round);
        let store = log_of(Life::new(seed).goes_on(400)).await;
        let whole = replayed(Arc::clone(&store) as Arc<dyn EventStore>).await;
        let database = read_model().await;
        let epoch = store.head().await.unwrap().epoch;
        let mut rest = everything(store.as_ref()).await;
        let mut random = StdRng::seed_from_u64(seed);
        while !rest.is_empty() {
            let size = if random.random_ratio(1, 2) {
                random.random_range(1..4)
            } else {
                random.random_range(1..120)
            };
            let later = rest.split_off(size.min(rest.len()));
            projector::project(database.url(), epoch, rest).await.unwrap();
            rest = later;
        }
        assert_eq!(contents(database.url()).await, whole, "seed {seed}");
    }
}

#[tokio::test]
async fn p6_events_that_come_twice_take_effect_once() {
    let store = log_of(Life::new(7).goes_on(200)).await;
    let database = read_model().await;
    let epoch = store.head().await.unwrap().epoch;
    let events = everything(store.as_ref()).await;
    projector::project(database.url(), epoch, events[..150].to_vec()).await.unwrap();
    projector::project(database.url(), epoch, events[..180].to_vec()).await.unwrap();
    projector::project(database.url(), epoch, events).await.unwrap();
    runner(Arc::clone(&store) as Arc<dyn EventStore>, database.url()).run_once().await.unwrap();
    assert_eq!(contents(database.url()).await, replayed(store).await);
}

#[test]
fn a_random_life_has_every_event_that_a_projection_handles() {
    let life = Life::new(5).goes_on(20_000);
    let lived: BTreeSet<String> =
        life.iter().map(|(_, event)| event.event_type.to_string()).collect();
    for projection in projector::projections::all() {
        for event_type in projection.handles() {
            assert!(lived.contains(event_type), "{event_type} never happens");
        }
    }
}
