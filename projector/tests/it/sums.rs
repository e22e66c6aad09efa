//! Tables of sums next to the rows of a projection, which triggers maintain: by hand, and against
//! the rows after any batches and after a rebuild.

use std::sync::Arc;

use domain::order::event::{
    OrderConfirmed, OrderEvent, OrderLine, OrderPaid, OrderPlaced, OrderRefunded,
    OrderSaleCancelled,
};
use domain::value::{ProductName, Quantity, Reason};
use event_store::{EventStore, RecordedEvent};
use local_servers::test_run;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::rebuild::{projected, succeeds};
use crate::support::life::{Life, at, money};
use crate::support::{
    Happening, append, ask, everything, happening, log_of, postgres_store, read_model, runner,
};

const USER: Uuid = Uuid::from_u128(1);
const CD: Uuid = Uuid::from_u128(2);
const RECORD: Uuid = Uuid::from_u128(3);
const DAY: &str = "1997-05-05T00:00:00Z";

/// How many sums are not those of the rows, in both tables.
const DIFFERING: &str = "SELECT (SELECT count(*) FROM read_model.product_sales_totals AS kept
    FULL JOIN (
        SELECT (l->>'product_id')::uuid AS product_id, currency, count(DISTINCT id) AS orders,
            sum((l->>'units')::bigint) AS units,
            sum((l->>'amount_minor')::bigint) AS revenue_minor,
            count(DISTINCT id) FILTER (WHERE status = 'refunded') AS refunded_orders,
            coalesce(sum((l->>'units')::bigint) FILTER (WHERE status = 'refunded'), 0)
                AS refunded_units,
            coalesce(sum((l->>'amount_minor')::bigint) FILTER (WHERE status = 'refunded'), 0)
                AS refunded_minor
        FROM read_model.product_sales CROSS JOIN jsonb_array_elements(lines) AS l
        WHERE status IN ('sold', 'refunded') GROUP BY 1, 2) AS found USING (product_id, currency)
    WHERE (kept.orders, kept.units, kept.revenue_minor, kept.refunded_orders, kept.refunded_units,
            kept.refunded_minor)
        IS DISTINCT FROM (found.orders, found.units, found.revenue_minor, found.refunded_orders,
            found.refunded_units, found.refunded_minor))
    + (SELECT count(*) FROM read_model.order_funnel_days AS kept
    FULL JOIN (
        SELECT (placed_at AT TIME ZONE 'UTC')::date AS day, count(*) AS placed,
            count(confirmed_at) AS confirmed, count(paid_at) AS paid,
            count(shipped_at) AS shipped, count(delivered_at) AS delivered,
            count(cancelled_at) AS cancelled,
            coalesce(sum(round(extract(epoch FROM confirmed_at - placed_at) * 1000)), 0)
                AS confirm_ms,
            coalesce(sum(round(extract(epoch FROM paid_at - confirmed_at) * 1000)), 0) AS pay_ms,
            coalesce(sum(round(extract(epoch FROM shipped_at - paid_at) * 1000)), 0) AS ship_ms,
            coalesce(sum(round(extract(epoch FROM delivered_at - shipped_at) * 1000)), 0)
                AS deliver_ms
        FROM read_model.order_funnel WHERE NOT is_import GROUP BY 1) AS found USING (day)
    WHERE (kept.placed, kept.confirmed, kept.paid, kept.shipped, kept.delivered, kept.cancelled,
            kept.confirm_ms, kept.pay_ms, kept.ship_ms, kept.deliver_ms)
        IS DISTINCT FROM (found.placed, found.confirmed, found.paid, found.shipped,
            found.delivered, found.cancelled, found.confirm_ms, found.pay_ms, found.ship_ms,
            found.deliver_ms))";

const TOTALS: &str = "SELECT coalesce(jsonb_agg(to_jsonb(t) - 'key' ORDER BY key), '[]')
    FROM read_model.product_sales_totals AS t";
/// The sums over all days, because a test may run at midnight.
const DAYS: &str = "SELECT to_jsonb(d) FROM (
    SELECT sum(placed)::bigint AS placed, sum(confirmed)::bigint AS confirmed,
        sum(paid)::bigint AS paid, sum(shipped)::bigint AS shipped,
        sum(delivered)::bigint AS delivered, sum(cancelled)::bigint AS cancelled,
        sum(confirm_ms)::bigint AS confirm_ms, sum(pay_ms)::bigint AS pay_ms,
        sum(ship_ms)::bigint AS ship_ms, sum(deliver_ms)::bigint AS deliver_ms
    FROM read_model.order_funnel_days) AS d";

#[allow(clippy::needless_pass_by_value, reason = "reads better at every call")]
fn order(event: OrderEvent) -> Happening {
    happening("order", event.order_id(), &event)
}

fn line(line_id: u128, product_id: Uuid, quantity: u32, unit_price: i64) -> OrderLine {
    OrderLine {
        line_id: Uuid::from_u128(line_id),
        product_id,
        product_name: ProductName::parse("music").unwrap(),
        quantity: Quantity::new(quantity).unwrap(),
        unit_price: money(unit_price, "USD"),
    }
}

fn placed(number: u128, lines: Vec<OrderLine>) -> Happening {
    order(OrderEvent::Placed(OrderPlaced {
        order_id: Uuid::from_u128(number),
        user_id: USER,
        lines,
        total: money(0, "USD"),
        ordered_at: None,
    }))
}

fn confirmed(number: u128) -> Happening {
    order(OrderEvent::Confirmed(OrderConfirmed {
        order_id: Uuid::from_u128(number),
        user_id: USER,
        total: money(0, "USD"),
        units: 0,
        ordered_at: at(DAY),
        to_fulfil: true,
    }))
}

fn paid(number: u128) -> Happening {
    order(OrderEvent::Paid(OrderPaid {
        order_id: Uuid::from_u128(number),
        user_id: USER,
        amount: money(1, "USD"),
        ordered_at: at(DAY),
        reason: Reason::parse("seen").unwrap(),
        evidence: None,
    }))
}

fn refunded(number: u128, ends_order: bool) -> Happening {
    order(OrderEvent::Refunded(OrderRefunded {
        order_id: Uuid::from_u128(number),
        user_id: USER,
        amount: money(1, "USD"),
        refunded: money(1, "USD"),
        ends_order,
        ordered_at: at(DAY),
        reason: Reason::parse("seen").unwrap(),
        evidence: None,
    }))
}

fn sale_cancelled(number: u128) -> Happening {
    order(OrderEvent::SaleCancelled(OrderSaleCancelled {
        order_id: Uuid::from_u128(number),
        user_id: USER,
        total: money(0, "USD"),
        units: 0,
        ordered_at: at(DAY),
        reason: None,
        products: Vec::new(),
    }))
}

/// Three confirmed orders of two products: one is paid, and refunded in part; one is refunded in
/// whole; one is cancelled, with everything that was sold of its second product. A fourth one is
/// pending.
fn some_sales() -> Vec<Happening> {
    vec![
        placed(11, vec![line(1, CD, 2, 100), line(2, CD, 1, 90)]),
        placed(12, vec![line(3, CD, 4, 10)]),
        placed(13, vec![line(4, CD, 1, 1_000), line(5, RECORD, 5, 7)]),
        placed(14, vec![line(6, RECORD, 9, 9)]),
        confirmed(11),
        confirmed(12),
        confirmed(13),
        paid(11),
        refunded(11, false),
        refunded(12, true),
        sale_cancelled(13),
    ]
}

/// The time between two events, in milliseconds, half of one up. Rows have microseconds.
fn ms_between(events: &[RecordedEvent], earlier: usize, later: usize) -> i64 {
    let micros = |nth: usize| events[nth - 1].recorded_at.timestamp_micros();
    (micros(later) - micros(earlier) + 500).div_euclid(1_000)
}

#[tokio::test]
async fn p7_the_sums_of_products_and_days_are_those_that_are_written_down_here() {
    // With each event in a batch of its own, and with all in one.
    for size in [1, 100] {
        let store = log_of(some_sales()).await;
        let database = read_model().await;
        let epoch = store.head().await.unwrap().epoch;
        let events = everything(store.as_ref()).await;
        for batch in events.chunks(size) {
            projector::project(database.url(), epoch, batch.to_vec()).await.unwrap();
        }
        // The record is in a cancelled order and in a pending one, so it was not sold.
        let cds = json!({"product_id": CD, "currency": "USD", "orders": 2, "units": 7,
            "revenue_minor": 330, "refunded_orders": 1, "refunded_units": 4,
            "refunded_minor": 40});
        assert_eq!(ask::<Value>(database.url(), TOTALS).await, json!([cds]), "{size}");
        let confirm = [(1, 5), (2, 6), (3, 7)];
        let confirm_ms: i64 =
            confirm.map(|(earlier, later)| ms_between(&events, earlier, later)).iter().sum();
        let days = json!({"placed": 4, "confirmed": 3, "paid": 1, "shipped": 0, "delivered": 0,
            "cancelled": 1, "confirm_ms": confirm_ms, "pay_ms": ms_between(&events, 5, 8),
            "ship_ms": 0, "deliver_ms": 0});
        assert_eq!(ask::<Value>(database.url(), DAYS).await, days, "{size}");
        assert_eq!(ask::<i64>(database.url(), DIFFERING).await, 0, "{size}");
    }
}

#[tokio::test]
async fn p7_sums_are_those_of_the_rows_after_any_batches_and_after_a_rebuild() {
    let run = test_run();
    for round in 0..run.count(2, 40) {
        let seed = run.seed.wrapping_add(round);
        let database = projected(seed, 300).await;
        let url = database.url();
        assert_eq!(ask::<i64>(url, DIFFERING).await, 0, "seed {seed}");
        for name in ["product_sales", "order_funnel"] {
            let said = succeeds(url, &["rebuild", name]).await;
            assert!(said.contains("queries see generation 2"), "{said}");
            let said = succeeds(url, &["verify", name]).await;
            assert!(said.contains("no difference"), "{said}");
        }
        assert_eq!(ask::<i64>(url, DIFFERING).await, 0, "rebuilt, seed {seed}");
        let shown = "SELECT count(*) FROM pg_views WHERE schemaname = 'read_model' AND viewname IN \
            ('product_sales_totals', 'order_funnel_days') AND definition LIKE '%\\_g2.%'";
        assert_eq!(ask::<i64>(url, shown).await, 2, "they are switched with their rows");
        let store: Arc<dyn EventStore> = postgres_store(url).await;
        let mut life = Life::new(seed ^ 1);
        for _ in 0..3 {
            append(store.as_ref(), life.goes_on(40)).await;
            let mut runner = runner(Arc::clone(&store), url);
            runner.run_once().await.unwrap();
            runner.give_up().await;
        }
        assert_eq!(ask::<i64>(url, DIFFERING).await, 0, "live again, seed {seed}");
        let sold = "SELECT count(*) FROM read_model.product_sales_totals";
        assert!(ask::<i64>(url, sold).await > 0, "seed {seed}");
    }
}
