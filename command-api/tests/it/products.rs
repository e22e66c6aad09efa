//! Tests of `/api/v1/products`.

use serde_json::json;
use uuid::Uuid;

use crate::support::{QUERY_URL, Shop};

#[tokio::test]
async fn a_product_is_added_with_a_decimal_price_in_its_currency() {
    let shop = Shop::new();
    let body = json!({"name": "cd", "unit_price": "1467", "currency": "JPY"});
    let reply = shop.post("/api/v1/products", body).await;
    let id = reply.made();
    assert_eq!(reply.header("location"), format!("{QUERY_URL}/api/v1/products/{id}"));
    let expected = json!({"product_id": id, "name": "cd", "unit_price": {"minor": 1467,
        "currency": "JPY"}, "stock": 0});
    assert_eq!(shop.log().await, [("product.added".to_owned(), expected)]);
}

#[tokio::test]
async fn a_price_without_a_currency_is_in_the_products_own() {
    let shop = Shop::new();
    let product = shop.product("14.67").await;
    let path = format!("/api/v1/products/{product}");
    assert_eq!(shop.patch(&path, json!({"unit_price": "9.99"})).await.ok()["version"], 2);
    assert_eq!(
        shop.patch(&path, json!({"unit_price": "900", "currency": "JPY", "name": "disc"}))
            .await
            .ok()["version"],
        4
    );
    shop.patch(&path, json!({"unit_price": "9.99"}))
        .await
        .wrong(&[("/unit_price", "money/too-precise")]);
    let log = shop.log().await;
    assert_eq!(log[1].1["unit_price"], json!({"minor": 999, "currency": "USD"}));
    assert_eq!(log[3].1["unit_price"], json!({"minor": 900, "currency": "JPY"}));
}

#[tokio::test]
async fn stock_moves_and_is_never_negative() {
    let shop = Shop::new();
    let path = format!("/api/v1/products/{}/stock", shop.product("1.00").await);
    assert_eq!(shop.post(&path, json!({"delta": -10})).await.ok()["version"], 2);
    shop.post(&path, json!({"delta": -1})).await.problem(409, "product/not-enough-stock");
    shop.post(&path, json!({"delta": i64::MAX})).await.problem(409, "product/stock-too-large");
    assert_eq!(shop.post(&path, json!({"delta": 3})).await.ok()["version"], 3);
}

#[tokio::test]
async fn units_that_arrive_are_added_to_the_stock() {
    let shop = Shop::new();
    let product = shop.product("1.00").await;
    let path = format!("/api/v1/products/{product}/stock/receive");
    assert_eq!(shop.post(&path, json!({"quantity": 5})).await.ok()["version"], 2);
    let expected = json!({"product_id": product, "units": 5, "stock": 15});
    assert_eq!(shop.log().await.pop(), Some(("product.stock_received".to_owned(), expected)));
    for quantity in [0, -1, 1_000_000_000_001_i64] {
        let refused = shop.post(&path, json!({"quantity": quantity})).await;
        refused.wrong(&[("/quantity", "quantity/out-of-range")]);
    }
    let most = shop.post(&path, json!({"quantity": 1_000_000_000_000_i64})).await;
    most.problem(409, "product/stock-too-large");
}

#[tokio::test]
async fn what_is_not_sold_is_not_found() {
    let shop = Shop::new();
    let path = format!("/api/v1/products/{}", Uuid::now_v7());
    shop.patch(&path, json!({"name": "B"})).await.problem(404, "not-found");
    shop.post(&format!("{path}/stock"), json!({"delta": 1})).await.problem(404, "not-found");
    shop.post(&format!("{path}/stock/receive"), json!({"quantity": 1}))
        .await
        .problem(404, "not-found");
}
