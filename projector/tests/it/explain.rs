//! `projector explain`: the events that made a row, and the row as it once was.

use serde_json::Value;

use crate::rebuild::{ends_with, fails, projected, succeeds};
use crate::support::ask;

const BUSIEST: &str = "SELECT id::text FROM orders_g1.orders ORDER BY version DESC, id LIMIT 1";

fn lines(said: &str) -> Vec<Value> {
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_row_is_explained_by_its_events_with_the_row_after_each() {
    let database = projected(401, 400).await;
    let url = database.url();
    let key: String = ask(url, BUSIEST).await;
    let steps = lines(&succeeds(url, &["explain", "orders", &key, "--json"]).await);
    let events: i64 = ask(url, "SELECT max(version) FROM orders_g1.orders").await;
    assert_eq!(steps.len(), usize::try_from(events).unwrap(), "every event of its stream");
    let stands: Value =
        ask(url, "SELECT to_jsonb(o) FROM orders_g1.orders AS o ORDER BY version DESC, id LIMIT 1")
            .await;
    let last = &steps.last().unwrap()["row"];
    for column in ["status", "total_minor", "units", "lines", "version", "position"] {
        assert_eq!(last[column], stands[column], "{column}");
    }
    assert_eq!(steps[0]["event_type"], "order.placed");
    let said = succeeds(url, &["explain", "orders", &key]).await;
    assert!(said.contains("order.placed") && said.contains("version: 1 -> 2"), "{said}");
}

#[tokio::test]
async fn a_row_is_shown_as_it_was_at_a_position_and_at_a_time() {
    let database = projected(402, 400).await;
    let url = database.url();
    let key: String = ask(url, BUSIEST).await;
    let steps = lines(&succeeds(url, &["explain", "orders", &key, "--json"]).await);
    let (second, third) = (&steps[1], &steps[2]);
    let just_before = (third["position"].as_i64().unwrap() - 1).to_string();
    for moment in [just_before.as_str(), second["recorded_at"].as_str().unwrap()] {
        let said = succeeds(url, &["explain", "orders", &key, "--as-of", moment]).await;
        let row: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(&row, &second["row"], "as of {moment}");
    }
    let said = fails(url, &["explain", "orders", &key, "--as-of", "2001-01-01T00:00:00Z"]).await;
    assert!(said.contains("no event"), "{said}");
}

#[tokio::test]
async fn personal_values_are_shown_only_when_asked_for() {
    let database = projected(403, 100).await;
    let url = database.url();
    let key: String = ask(url, "SELECT id::text FROM users_g1.users ORDER BY id LIMIT 1").await;
    let said = succeeds(url, &["explain", "users", &key]).await;
    assert!(said.contains("(personal)") && !said.contains("@example.com"), "{said}");
    let said = succeeds(url, &["explain", "users", &key, "--reveal"]).await;
    assert!(said.contains("@example.com"), "{said}");
}

#[tokio::test]
async fn a_key_of_several_columns_is_written_with_slashes_and_a_wrong_one_is_refused() {
    let database = projected(404, 400).await;
    let url = database.url();
    let key: String = ask(
        url,
        "SELECT concat_ws('/', day, currency) FROM daily_sales_g1.daily_sales ORDER BY \
            orders DESC, day, currency LIMIT 1",
    )
    .await;
    let steps = lines(&succeeds(url, &["explain", "daily_sales", &key, "--json"]).await);
    // Each event of the log with this day and currency, told by hand.
    let events: i64 = ask(
        url,
        "SELECT count(*) FROM event_store.events WHERE event_type IN \
            ('order.confirmed', 'order.sale_cancelled', 'order.paid', 'order.refunded') AND \
            (((data->>'ordered_at')::timestamptz AT TIME ZONE 'UTC')::date, \
            coalesce(data->'total', data->'amount')->>'currency') = (SELECT day, currency FROM \
            daily_sales_g1.daily_sales ORDER BY orders DESC, day, currency LIMIT 1)",
    )
    .await;
    assert_eq!(steps.len(), usize::try_from(events).unwrap());
    let said = ends_with(cli_kit::USAGE, url, &["explain", "daily_sales", "yesterday"]).await;
    assert!(said.contains("is not a key of daily_sales"), "{said}");
    let said = fails(url, &["explain", "orders", "00000000-0000-0000-0000-000000000000"]).await;
    assert!(said.contains("no event made a row"), "{said}");
}
