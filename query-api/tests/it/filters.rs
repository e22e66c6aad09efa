//! Tests of filters: which rows they match, and that anything else is refused.

use crate::support::{App, UserSeed};

#[tokio::test]
async fn users_are_filtered_by_status_and_address() {
    let app = App::start().await;
    let active = app.add_user(&UserSeed::number(1)).await;
    let gone = app.add_user(&UserSeed { status: "deactivated", ..UserSeed::number(2) }).await;
    let erased = app.add_user(&UserSeed { email: None, ..UserSeed::number(3) }).await;
    assert_eq!(app.get("/api/v1/users?status=deactivated").await.ids(), [gone.to_string()]);
    assert_eq!(
        app.get("/api/v1/users?email=user-1%40example.com").await.ids(),
        [active.to_string()]
    );
    assert_eq!(app.get("/api/v1/users?email=nobody%40example.com").await.ids(), [""; 0]);
    assert_eq!(
        app.get("/api/v1/users?status=active&page=1").await.body["meta"]["page"]["total_items"],
        2
    );
    assert_eq!(
        app.get(&format!("/api/v1/users/{erased}")).await.body["data"]["email"],
        serde_json::Value::Null
    );
}

#[tokio::test]
async fn orders_are_filtered_by_user_and_status() {
    let app = App::start().await;
    let (one, other) =
        (app.add_user(&UserSeed::number(1)).await, app.add_user(&UserSeed::number(2)).await);
    let pending = app.add_order(one, "pending", 1).await;
    let confirmed = app.add_order(one, "confirmed", 4).await;
    app.add_order(other, "confirmed", 7).await;
    assert_eq!(
        app.get(&format!("/api/v1/orders?user_id={one}")).await.ids(),
        [confirmed.to_string(), pending.to_string()]
    );
    assert_eq!(
        app.get(&format!("/api/v1/orders?user_id={one}&status=pending")).await.ids(),
        [pending.to_string()]
    );
    assert_eq!(
        app.get(&format!("/api/v1/users/{one}/orders?status=confirmed")).await.ids(),
        [confirmed.to_string()]
    );
    let first = app.get(&format!("/api/v1/users/{one}/orders?page=1")).await;
    assert_eq!(first.body["meta"]["page"]["total_items"], 2);
    assert_eq!(
        app.get(&format!("/api/v1/users/{}/orders", uuid::Uuid::now_v7())).await.status,
        404
    );
}

#[tokio::test]
async fn products_are_filtered_by_name_and_days_by_range_and_currency() {
    let app = App::start().await;
    app.add_product(1).await;
    let second = app.add_product(4).await;
    assert_eq!(app.get("/api/v1/products?name=product%20001").await.ids(), [second.to_string()]);
    for (day, currency) in
        [("2026-01-01", "USD"), ("2026-01-02", "USD"), ("2026-01-02", "EUR"), ("2026-01-03", "USD")]
    {
        app.add_day(day, currency, 8715).await;
    }
    let days = app.get("/api/v1/sales/daily?from=2026-01-02&to=2026-01-02&currency=USD").await;
    assert_eq!(
        days.body["data"],
        serde_json::json!([{"day": "2026-01-02", "currency": "USD", "orders": 1, "units": 2,
            "revenue": "87.15", "refunded": "0.15", "net": "87.00", "paid": "87.15",
            "paid_back": "1.15"}])
    );
}

#[tokio::test]
async fn what_is_not_on_the_allow_list_is_refused_and_pointed_at() {
    let app = App::start().await;
    for (path, pointer) in [
        ("/api/v1/users?stauts=active", "/stauts"),
        ("/api/v1/users?status=sleeping", "/status"),
        ("/api/v1/users?sort=email", "/sort"),
        ("/api/v1/users?sort=name%3Bdrop%20table%20users", "/sort"),
        ("/api/v1/users?email=a&email=b", "/email"),
        ("/api/v1/orders?user_id=17", "/user_id"),
        ("/api/v1/sales/daily?from=yesterday", "/from"),
        ("/api/v1/users/019a0000-0000-7000-8000-000000000000?sort=name", "/sort"),
        ("/api/v1/users?email=a%00b", "/email"),
    ] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, 422, "{path} {answer:?}");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{path}");
    }
    // Text that looks like SQL is treated as text.
    let answer = app.get("/api/v1/products?name=%27%20OR%201%3D1%20--").await;
    assert_eq!((answer.status.as_u16(), answer.ids().len()), (200, 0));
}
