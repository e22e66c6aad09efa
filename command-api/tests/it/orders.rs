//! Tests of `/api/v1/orders` and `/api/v1/users/{id}/orders`.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{NOW, QUERY_URL, Shop};

struct Stocked {
    shop: Shop,
    user: String,
    product: String,
}

async fn stocked() -> Stocked {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("14.67").await);
    Stocked { shop, user, product }
}

/// The last event of an order.
async fn last(shop: &Shop) -> (String, Value) {
    let log = shop.log().await;
    log.into_iter().rfind(|(event_type, _)| event_type.starts_with("order.")).unwrap()
}

#[tokio::test]
async fn an_order_is_placed_at_the_products_price_of_now() {
    let Stocked { shop, user, product } = stocked().await;
    shop.patch(
        &format!("/api/v1/products/{product}"),
        json!({"unit_price": "10.00", "name": "disc"}),
    )
    .await
    .ok();
    let body = json!({"user_id": user, "lines": [{"product_id": product, "quantity": 3},
        {"product_id": product, "quantity": 1}]});
    let reply = shop.post("/api/v1/orders", body).await;
    let id = reply.made();
    assert_eq!(reply.header("location"), format!("{QUERY_URL}/api/v1/orders/{id}"));
    let (event_type, event) = last(&shop).await;
    assert_eq!(event_type, "order.placed");
    assert_eq!((&event["order_id"], &event["user_id"]), (&json!(id), &json!(user)));
    assert_eq!(event["total"], json!({"minor": 4000, "currency": "USD"}));
    assert_eq!(event["lines"][0]["product_name"], "disc");
    assert_eq!(event["lines"][0]["unit_price"]["minor"], 1000);
    assert_ne!(event["lines"][0]["line_id"], event["lines"][1]["line_id"]);
    assert!(event.get("ordered_at").is_none());
}

#[tokio::test]
async fn an_order_can_be_placed_under_its_user() {
    let Stocked { shop, user, product } = stocked().await;
    let body = json!({"lines": [{"product_id": product, "quantity": 1}]});
    let reply = shop.post(&format!("/api/v1/users/{user}/orders"), body).await;
    assert_eq!(reply.header("location"), format!("{QUERY_URL}/api/v1/orders/{}", reply.made()));
}

#[tokio::test]
async fn an_unknown_user_or_product_in_the_body_is_pointed_at() {
    let Stocked { shop, user, product } = stocked().await;
    let nobody = Uuid::now_v7();
    let order = |user: &str, product: &str| {
        json!({"user_id": user,
        "lines": [{"product_id": product, "quantity": 1}]})
    };
    let unknown_user = shop.post("/api/v1/orders", order(&nobody.to_string(), &product)).await;
    unknown_user.wrong(&[("/user_id", "user/unknown")]);
    let two = json!({"user_id": user, "lines": [{"product_id": product, "quantity": 1},
        {"product_id": nobody, "quantity": 1}]});
    shop.post("/api/v1/orders", two).await.wrong(&[("/lines/1/product_id", "product/unknown")]);
    let id = shop.order(&user, &product).await;
    let line = json!({"product_id": nobody, "quantity": 1});
    shop.post(&format!("/api/v1/orders/{id}/lines"), line)
        .await
        .wrong(&[("/product_id", "product/unknown")]);
}

#[tokio::test]
async fn products_of_two_currencies_do_not_go_into_one_order() {
    let Stocked { shop, user, product } = stocked().await;
    let body = json!({"name": "lp", "unit_price": "20.00", "currency": "EUR"});
    let euro = shop.post("/api/v1/products", body).await.made();
    let lines =
        json!([{"product_id": product, "quantity": 1}, {"product_id": euro, "quantity": 1}]);
    shop.post("/api/v1/orders", json!({"user_id": user, "lines": lines}))
        .await
        .wrong(&[("/lines/1", "currency/mixed")]);
    let id = shop.order(&user, &product).await;
    let line = json!({"product_id": euro, "quantity": 1});
    shop.post(&format!("/api/v1/orders/{id}/lines"), line)
        .await
        .wrong(&[("/product_id", "currency/mixed")]);
}

#[tokio::test]
async fn lines_come_and_go_until_the_order_is_confirmed() {
    let Stocked { shop, user, product } = stocked().await;
    let id = shop.order(&user, &product).await;
    let path = format!("/api/v1/orders/{id}");
    let added =
        shop.post(&format!("{path}/lines"), json!({"product_id": product, "quantity": 1})).await;
    assert_eq!(
        (added.status.as_u16(), added.header("location")),
        (201, format!("{QUERY_URL}{path}").as_str())
    );
    assert_eq!(
        (&added.body["data"]["id"], &added.body["data"]["version"]),
        (&json!(id), &json!(2))
    );
    let line = added.body["data"]["line_id"].as_str().unwrap();
    assert_eq!(
        shop.delete(&format!("{path}/lines/{line}")).await.ok(),
        &json!({"id": id, "version": 3})
    );
    shop.delete(&format!("{path}/lines/{line}")).await.problem(404, "not-found");
    assert_eq!(shop.act(&format!("{path}/confirm")).await.ok()["version"], 4);
    let (event_type, event) = last(&shop).await;
    assert_eq!(
        (event_type.as_str(), &event["units"], &event["ordered_at"]),
        ("order.confirmed", &json!(2), &json!(NOW))
    );
    assert_eq!(event["total"]["minor"], 2934);
    shop.post(&format!("{path}/lines"), json!({"product_id": product, "quantity": 1}))
        .await
        .problem(409, "order/not-pending");
    shop.act(&format!("{path}/confirm")).await.problem(409, "order/not-pending");
}

#[tokio::test]
async fn an_empty_order_is_never_confirmed_but_can_be_cancelled() {
    let Stocked { shop, user, product } = stocked().await;
    let id = shop.order(&user, &product).await;
    let path = format!("/api/v1/orders/{id}");
    let line = last(&shop).await.1["lines"][0]["line_id"].as_str().unwrap().to_owned();
    shop.delete(&format!("{path}/lines/{line}")).await.ok();
    shop.act(&format!("{path}/confirm")).await.problem(409, "order/empty");
    shop.act(&format!("{path}/cancel")).await.ok();
    shop.act(&format!("{path}/confirm")).await.problem(409, "order/not-pending");
}

#[tokio::test]
async fn an_action_takes_no_body_or_an_empty_object() {
    let Stocked { shop, user, product } = stocked().await;
    let path = format!("/api/v1/orders/{}/confirm", shop.order(&user, &product).await);
    shop.post(&path, json!({"now": true})).await.wrong(&[("/now", "unknown")]);
    shop.post(&path, json!({})).await.ok();
}

#[tokio::test]
async fn an_order_that_was_never_placed_is_not_found() {
    let Stocked { shop, product, .. } = stocked().await;
    let path = format!("/api/v1/orders/{}", Uuid::now_v7());
    for action in ["confirm", "cancel"] {
        shop.act(&format!("{path}/{action}")).await.problem(404, "not-found");
    }
    shop.post(&format!("{path}/lines"), json!({"product_id": product, "quantity": 1}))
        .await
        .problem(404, "not-found");
    shop.delete(&format!("{path}/lines/{}", Uuid::now_v7())).await.problem(404, "not-found");
}
