//! Lists whose rows have no position: the page is followed.

use super::events::{Event, Events};
use crate::support::App;

/// The events up to `complete`, shortly: the name, the day and the orders.
async fn short(events: &mut Events) -> Vec<(String, String, i64)> {
    let short = |event: Event| {
        let data = &event.data["data"];
        let day = data["day"].as_str().unwrap_or_default().to_owned();
        (event.name, day, data["orders"].as_i64().unwrap_or_default())
    };
    events.until("complete").await.into_iter().map(short).collect()
}

fn event(name: &str, day: &str, orders: i64) -> (String, String, i64) {
    (name.to_owned(), day.to_owned(), orders)
}

/// Moves on by one position, of two days: a third day is sold on, and the second one changes.
pub(crate) async fn third_day(app: &App) {
    let mut batch = app.writer.begin().await.unwrap();
    for statement in [
        "INSERT INTO daily_sales_g1.daily_sales SELECT (jsonb_populate_record(d, \
            '{\"day\": \"2026-01-03\"}')).* FROM daily_sales_g1.daily_sales AS d \
            WHERE day = '2026-01-02'",
        "UPDATE daily_sales_g1.daily_sales SET orders = 7 WHERE day = '2026-01-02'",
        "UPDATE read_model.checkpoints SET position = 101 WHERE projection = 'daily_sales'",
    ] {
        sqlx::query(statement).execute(&mut *batch).await.unwrap();
    }
    batch.commit().await.unwrap();
}

#[tokio::test]
async fn a_page_of_sums_is_followed_and_each_client_gets_what_differs() {
    let app = App::silent(2).await;
    for day in ["2026-01-01", "2026-01-02"] {
        app.add_day(day, "USD", 100).await;
    }
    let path = "/api/v1/sales/daily?page_size=2";
    let (mut one, mut two) = (Events::of(&app, path).await, Events::of(&app, path).await);
    let page =
        [event("row", "2026-01-02", 1), event("row", "2026-01-01", 1), event("complete", "", 0)];
    for events in [&mut one, &mut two] {
        assert_eq!(short(events).await, page);
    }
    let before = one.last_id();
    assert!(before.starts_with("100.1."), "{before}");
    third_day(&app).await;
    for events in [&mut one, &mut two] {
        let seen = short(events).await;
        let expected = [
            event("left", "2026-01-01", 0),
            event("changed", "2026-01-03", 1),
            event("changed", "2026-01-02", 7),
            event("complete", "", 0),
        ];
        assert_eq!(seen, expected);
        assert!(events.last_id().starts_with("101.1."), "{}", events.last_id());
    }
    // Nothing changed since, and something since the first page.
    let mut same = Events::after(&app.router, path, &one.last_id()).await;
    assert_eq!(same.event().await.unwrap().name, "resumed");
    let mut other = Events::after(&app.router, path, &before).await;
    let reset = other.event().await.unwrap();
    assert_eq!((reset.name.as_str(), reset.code()), ("reset", "page-changed"));
    assert_eq!(short(&mut other).await.len(), 3);
}
