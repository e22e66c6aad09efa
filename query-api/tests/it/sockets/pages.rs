//! The subscription to a list whose rows have no position: the page is followed.

use serde_json::{Value, json};

use super::{Socket, opened};
use crate::live::pages::third_day;
use crate::support::App;

const SALES: &str = "subscription ($after: String, $filter: DailySalesFilter) {
    sales(first: 2, filter: $filter, lastEventId: $after) {
        event id position sales { day orders revenue { amount } } left { day currency }
        page { hasNextPage } reason { code }
    }
}";

/// The events up to `COMPLETE`, shortly: the kind, the day and the orders.
async fn short(socket: &mut Socket, id: &str) -> Vec<Value> {
    let events = socket.until(id, "sales", "COMPLETE").await;
    let day = |event: &Value| match &event["sales"]["day"] {
        Value::Null => event["left"]["day"].clone(),
        day => day.clone(),
    };
    events.iter().map(|one| json!([one["event"], day(one), one["sales"]["orders"]])).collect()
}

#[tokio::test]
async fn a_page_of_sums_is_followed_and_resumed_while_it_is_the_same() {
    let app = App::silent(2).await;
    for day in ["2026-01-01", "2026-01-02"] {
        app.add_day(day, "USD", 100).await;
    }
    let (_server, mut socket) = opened(&app).await;
    socket.begin("1", SALES, &json!({})).await;
    let first = socket.event("1", "sales").await;
    assert_eq!((&first["event"], &first["sales"]["day"]), (&json!("ROW"), &json!("2026-01-02")));
    assert!(first["sales"]["revenue"]["amount"].is_string(), "{first}");
    assert_eq!(socket.event("1", "sales").await["sales"]["day"], "2026-01-01");
    let complete = socket.event("1", "sales").await;
    assert_eq!(
        (&complete["event"], &complete["position"], &complete["page"]["hasNextPage"]),
        (&json!("COMPLETE"), &json!(100), &json!(false))
    );
    third_day(&app).await;
    let expected = [
        json!(["LEFT", "2026-01-01", null]),
        json!(["CHANGED", "2026-01-03", 1]),
        json!(["CHANGED", "2026-01-02", 7]),
    ];
    let mut seen = Vec::new();
    let now = loop {
        let event = socket.event("1", "sales").await;
        if event["event"] == "COMPLETE" {
            break event;
        }
        seen.push(event);
    };
    assert_eq!(seen[0]["left"], json!({"day": "2026-01-01", "currency": "USD"}));
    let seen: Vec<Value> = seen
        .iter()
        .map(|one| {
            let left = one["left"]["day"].as_str();
            let day = one["sales"]["day"].as_str().or(left);
            json!([one["event"], day, one["sales"]["orders"]])
        })
        .collect();
    assert_eq!(seen, expected);
    assert_eq!((&now["position"], &now["page"]["hasNextPage"]), (&json!(101), &json!(true)));
    // Nothing changed since, and something since the first page.
    socket.begin("2", SALES, &json!({"after": now["id"]})).await;
    assert_eq!(socket.event("2", "sales").await["event"], "RESUMED");
    socket.begin("3", SALES, &json!({"after": complete["id"]})).await;
    let reset = socket.event("3", "sales").await;
    assert_eq!(
        (&reset["event"], &reset["reason"]["code"]),
        (&json!("RESET"), &json!("page-changed"))
    );
    assert_eq!(short(&mut socket, "3").await.len(), 3);
}

#[tokio::test]
async fn the_filter_of_sales_counts_and_wrong_arguments_are_named() {
    let app = App::silent(2).await;
    for (day, currency) in [("2026-01-01", "USD"), ("2026-01-02", "EUR"), ("2026-01-02", "USD")] {
        app.add_day(day, currency, 100).await;
    }
    let (_server, mut socket) = opened(&app).await;
    let filter = json!({"filter": {"from": "2026-01-02", "currency": "EUR"}});
    socket.begin("1", SALES, &filter).await;
    let expected = [json!(["ROW", "2026-01-02", 1]), json!(["COMPLETE", null, null])];
    assert_eq!(short(&mut socket, "1").await, expected);
    let backwards = json!({"filter": {"from": "2026-01-02", "to": "2026-01-01"}});
    socket.begin("2", SALES, &backwards).await;
    let refused = socket.next().await;
    let extensions = &refused["payload"][0]["extensions"];
    assert_eq!(refused["type"], "error", "{refused:#}");
    assert_eq!(extensions["code"], "invalid-content");
    assert_eq!(extensions["errors"][0]["field"], json!(["filter", "to"]));
}
