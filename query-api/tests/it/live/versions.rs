//! Both versions stream the same changes, each in its form.

use serde_json::Value;

use super::events::{Event, Events};
use crate::support::tokens::admin;
use crate::support::{App, UserSeed};

/// What the same request answers without live updates.
async fn shown(app: &App, path: &str) -> Value {
    app.get(path).await.body["data"].clone()
}

#[tokio::test]
async fn clients_of_both_versions_follow_one_row_each_in_the_form_of_its_answer() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed { order_count: 3, ..UserSeed::number(1) }).await;
    let order = app.add_order(user, "pending", 0).await;
    let order = format!("orders/{order}");
    let paths = ["/api/v1", "/api/v2"].map(|prefix| format!("{prefix}/{order}"));
    let mut streams = Vec::new();
    for path in &paths {
        // Two clients of each form share its text.
        for _ in 0..2 {
            let mut events = Events::of(&app, path).await;
            let first = events.until("complete").await;
            assert_eq!(first[0].data["data"], shown(&app, path).await);
            streams.push((path, events));
        }
    }
    let [first, second] = [shown(&app, &paths[0]).await, shown(&app, &paths[1]).await];
    assert_ne!(first["total"], second["total"], "the forms differ");
    let id = streams[2].1.last_id();
    app.set_status(order.trim_start_matches("orders/").parse().unwrap(), "paid", 101).await;
    for (path, events) in &mut streams {
        let event = events.event().await.unwrap();
        assert_eq!(event.short(), ("changed", "paid", 101));
        assert_eq!(event.data["data"], shown(&app, path).await, "{path}");
    }
    // What a client missed has its form, too, and an id belongs to no version.
    for path in &paths {
        let missed = Events::after(&app.router, path, &id).await.until("resumed").await;
        assert_eq!((missed.len(), missed[0].short()), (2, ("changed", "paid", 101)));
        assert_eq!(missed[0].data["data"], shown(&app, path).await, "{path}");
    }
}

#[tokio::test]
async fn clients_of_both_versions_follow_one_page_each_in_the_form_of_its_answer() {
    let app = App::silent(2).await;
    app.add_day("2026-01-01", "USD", 100).await;
    let paths = ["/api/v1", "/api/v2"].map(|prefix| format!("{prefix}/sales/daily?page_size=5"));
    let mut streams = Vec::new();
    for path in &paths {
        let mut events = Events::of(&app, path).await;
        let first = events.until("complete").await;
        assert_eq!(first[0].data["data"], shown(&app, path).await[0]);
        streams.push(events);
    }
    let change = "UPDATE daily_sales_g1.daily_sales SET orders = 7";
    let moved = "UPDATE read_model.checkpoints SET position = 101 WHERE projection = 'daily_sales'";
    let mut batch = app.writer.begin().await.unwrap();
    for statement in [change, moved] {
        sqlx::query(statement).execute(&mut *batch).await.unwrap();
    }
    batch.commit().await.unwrap();
    for (path, events) in paths.iter().zip(&mut streams) {
        let changed = &events.until("complete").await[0];
        assert_eq!(
            (changed.name.as_str(), &changed.data["data"]["orders"]),
            ("changed", &7.into())
        );
        assert_eq!(changed.data["data"], shown(&app, path).await[0], "{path}");
    }
    assert!(streams[0].last_id() != streams[1].last_id(), "an id names the page of its form");
}

#[tokio::test]
async fn the_profile_and_the_preferences_of_a_user_are_followed_as_the_user_is() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let paths = ["profile", "preferences"].map(|part| format!("/api/v2/users/{user}/{part}"));
    let [mut profile, mut preferences] =
        [Events::of(&app, &paths[0]).await, Events::of(&app, &paths[1]).await];
    for events in [&mut profile, &mut preferences] {
        assert_eq!(events.snapshot().await.len(), 1);
    }
    app.change("users", user, ("order_count = 9", 101), 101).await;
    for (path, events) in paths.iter().zip([&mut profile, &mut preferences]) {
        let Event { name, data, .. } = events.event().await.unwrap();
        assert_eq!((name.as_str(), &data["data"]), ("changed", &shown(&app, path).await));
    }
}

#[tokio::test]
async fn the_header_chooses_the_version_of_a_stream_whose_path_names_none() {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;
    let app = App::silent(2).await;
    let product = app.add_product(0).await;
    for (version, path) in [("1", "/api/v1"), ("2", "/api/v2")] {
        let path = format!("{path}/products/{product}");
        let request = Request::get(format!("/api/products/{product}"))
            .header("api-version", version)
            .header("authorization", format!("Bearer {}", admin()))
            .header("accept", "text/event-stream");
        let request = request.body(Body::empty()).unwrap();
        let answer = app.router.clone().oneshot(request).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["api-version"]),
            (200, &version.parse().unwrap())
        );
        let first = &Events::reading(answer).until("complete").await[0];
        assert_eq!(first.data["data"], shown(&app, &path).await);
    }
}
