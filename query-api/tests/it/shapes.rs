//! Tests of the form of answers: the envelope, money as decimal strings, headers.

use serde_json::{Value, json};

use crate::support::{App, UserSeed, moment};

#[tokio::test]
async fn a_user_is_shown_with_sums_by_currency() {
    let app = App::start().await;
    let user = app.add_user(&UserSeed { order_count: 3, ..UserSeed::number(3) }).await;
    let answer = app.get(&format!("/api/v1/users/{user}")).await;
    let wanted = json!({
        "data": {
            "id": user, "email": "user-3@example.com", "name": "Ada Lovelace", "status": "active",
                "customer_type": "consumer",
                "profile": {"display_name": null, "locale": null, "phone": null},
                "preferences": {"language": null, "currency": null, "newsletter": false},
                "addresses": [], "order_count": 3,
            "total_spent": {"USD": "87.15"}, "total_refunded": {"USD": "14.67"},
                "total_net": {"USD": "72.48"}, "total_paid": {"USD": "80.00"},
                "total_paid_back": {"USD": "24.67"}, "last_order_at": moment(1),
                "created_at": moment(1), "updated_at": moment(1), "version": 3
        },
        "meta": {"request_id": "test-request", "timestamp": moment(0), "epoch": app.epoch,
            "position": 100}
    });
    assert_eq!(answer.body, wanted);
}

#[tokio::test]
async fn a_user_is_shown_with_profile_preferences_and_addresses() {
    let app = App::start().await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let (first, second) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
    let texts = |id: uuid::Uuid, city: Option<&str>| {
        json!({"id": id, "label": null, "recipient": "Ada", "street": "Ring 1", "city": city,
            "postal_code": "1010", "country": "AT", "region": null})
    };
    let addresses = json!([texts(second, Some("Wien")), texts(first, None)]);
    sqlx::query(
        "UPDATE users_g1.users SET display_name = 'Countess', locale = 'en-GB', \
            phone = '+442079460000', language = 'en', currency = 'GBP', newsletter = true, \
            customer_type = 'reseller', addresses = $2
         WHERE id = $1",
    )
    .bind(user)
    .bind(&addresses)
    .execute(&app.writer)
    .await
    .unwrap();
    let answer = app.get(&format!("/api/v1/users/{user}")).await;
    let data = &answer.body["data"];
    assert_eq!(
        (&data["profile"], &data["preferences"], &data["customer_type"]),
        (
            &json!({"display_name": "Countess", "locale": "en-GB", "phone": "+442079460000"}),
            &json!({"language": "en", "currency": "GBP", "newsletter": true}),
            &json!("reseller")
        )
    );
    assert_eq!(data["addresses"], addresses);
}

#[tokio::test]
async fn an_order_is_shown_with_its_lines_and_prices() {
    let app = App::start().await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "confirmed", 0).await;
    let answer = app.get(&format!("/api/v1/orders/{order}")).await;
    let data = &answer.body["data"];
    assert_eq!(
        (&data["total"], &data["currency"], &data["units"]),
        (&json!("29.34"), &json!("USD"), &json!(2))
    );
    assert_eq!((&data["discount"], &data["tax"]), (&json!("2.00"), &json!("2.00")));
    assert_eq!((&data["shipping_country"], &data["shipping_region"]), (&json!("US"), &Value::Null));
    assert_eq!(
        (&data["paid"], &data["refunded"], &data["refund_due"]),
        (&json!("29.34"), &json!("14.67"), &json!("0.00"))
    );
    let cancelled = app.add_order(user, "cancelled", 1).await;
    let cancelled = app.get(&format!("/api/v1/orders/{cancelled}")).await;
    assert_eq!(cancelled.body["data"]["refund_due"], "14.67");
    let line = &data["lines"][0];
    assert_eq!(
        (&line["unit_price"], &line["currency"], &line["quantity"]),
        (&json!("14.67"), &json!("USD"), &json!(2))
    );
    let product = app.add_product(0).await;
    let answer = app.get(&format!("/api/v1/products/{product}")).await;
    assert_eq!(
        (&answer.body["data"]["unit_price"], &answer.body["data"]["stock"]),
        (&json!("14.67"), &json!(10))
    );
    assert_eq!(answer.body["data"]["rate_class"], "reduced");
    assert_eq!(
        (&answer.body["data"]["reserved"], &answer.body["data"]["available"]),
        (&json!(3), &json!(7))
    );
}

#[tokio::test]
async fn an_empty_list_says_its_position_too() {
    let app = App::start().await;
    let answer = app.get("/api/v1/orders").await;
    assert_eq!(answer.body["data"], json!([]));
    assert_eq!(answer.body["meta"]["position"], 100);
    assert_eq!(
        answer.body["meta"]["page"],
        json!({"page_size": 20, "next_cursor": null, "has_more": false})
    );
}

#[tokio::test]
async fn before_the_first_event_the_position_is_zero_and_there_is_no_epoch() {
    let app = App::start().await;
    sqlx::query("UPDATE read_model.checkpoints SET epoch = NULL, position = 0, event_id = NULL")
        .execute(&app.writer)
        .await
        .unwrap();
    let answer = app.get("/api/v1/users").await;
    assert_eq!(
        (&answer.body["meta"]["position"], answer.body["meta"].get("epoch")),
        (&json!(0), None)
    );
}

#[tokio::test]
async fn every_answer_wears_the_common_headers() {
    let app = App::start().await;
    for path in ["/api/v1/users", "/api/v1/users?x=1", "/nowhere"] {
        let answer = app.get_with(path, &[("origin", "http://localhost:3000")]).await;
        assert_eq!(answer.header("x-request-id"), "test-request");
        assert_eq!(answer.header("traceparent").len(), 55);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("access-control-allow-origin"), "http://localhost:3000");
        assert!(answer.header("access-control-expose-headers").contains("etag"), "{answer:?}");
        let stranger = app.get_with(path, &[("origin", "https://evil.example")]).await;
        assert_eq!(stranger.header("access-control-allow-origin"), "");
    }
}

#[tokio::test]
async fn what_lacks_events_says_so_and_is_not_what_a_cache_has_of_the_whole() {
    let app = App::start().await;
    let (marked, other) =
        (app.add_user(&UserSeed::number(1)).await, app.add_user(&UserSeed::number(2)).await);
    let tag = app.get(&format!("/api/v1/users/{marked}")).await.header("etag").to_owned();
    let mark = |key: String, absent: bool| {
        let writer = &app.writer;
        async move {
            let statement = "INSERT INTO read_model.stale (projection, generation, key, \
                incomplete, absent, since)
                             VALUES ('users', 1, $1, false, $2, 7)";
            sqlx::query(statement).bind(key).bind(absent).execute(writer).await.unwrap();
        }
    };
    mark(marked.to_string(), false).await;
    let stale = app.get_with(&format!("/api/v1/users/{marked}"), &[("if-none-match", &tag)]).await;
    assert_eq!((stale.status.as_u16(), &stale.body["meta"]["stale"]), (200, &json!(true)));
    assert_eq!(app.get(&format!("/api/v1/users/{other}")).await.body["meta"].get("stale"), None);
    assert_eq!(
        app.get("/api/v1/users").await.body["meta"]["stale"],
        true,
        "one event of the page is there"
    );
    assert_eq!(
        app.get("/api/v1/users?email=user-2@example.com").await.body["meta"].get("stale"),
        None,
        "no event of the page is there"
    );
    assert_eq!(
        app.get("/api/v1/orders").await.body["meta"].get("stale"),
        None,
        "another projection"
    );
    mark(uuid::Uuid::from_u128(1).to_string(), true).await;
    let page = app.get("/api/v1/users?email=user-2@example.com").await;
    assert_eq!(page.body["meta"]["stale"], true, "a row that does not exist yet might match");
}
