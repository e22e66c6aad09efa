//! Tests of `/api/v1/orders/import`.

use std::sync::Arc;

use event_store::MemoryStore;
use serde_json::{Value, json};

use crate::support::{Shop, ShopOptions};

fn import(user: &str, product: &str) -> Value {
    json!({
        "user_id": user, "ordered_at": "1997-01-12T00:00:00Z", "currency": "USD",
        "lines": [
            {"product_id": product, "quantity": 1, "unit_price": "14.67"},
            {"product_id": product, "quantity": 1, "unit_price": "14.66"},
        ],
    })
}

#[tokio::test]
async fn an_import_keeps_its_own_prices_and_counts_for_its_own_day() {
    let shop = Shop::new();
    let (user, product) = (shop.user("cdnow-00001@example.com").await, shop.product("99.00").await);
    let order = shop.post("/api/v1/orders/import", import(&user, &product)).await.made();
    shop.act(&format!("/api/v1/orders/{order}/confirm")).await.ok();
    let log = shop.log().await;
    let ((_, placed), (_, confirmed)) = (&log[2], &log[3]);
    assert_eq!(placed["total"], json!({"minor": 2933, "currency": "USD"}));
    assert_eq!(placed["lines"][0]["product_name"], "cd");
    assert_eq!(placed["ordered_at"], "1997-01-12T00:00:00Z");
    assert_eq!((&confirmed["ordered_at"], &confirmed["units"]), (&placed["ordered_at"], &json!(2)));
    assert_eq!(confirmed["total"], placed["total"]);
    assert_eq!(log.len(), 4, "the units of an import left the stock of another system");
}

#[tokio::test]
async fn a_free_order_is_an_order() {
    let shop = Shop::new();
    let (user, product) = (shop.user("a@example.com").await, shop.product("1.00").await);
    let mut body = import(&user, &product);
    body["lines"] = json!([{"product_id": product, "quantity": 2, "unit_price": "0.00"}]);
    let order = shop.post("/api/v1/orders/import", body).await.made();
    shop.act(&format!("/api/v1/orders/{order}/confirm")).await.ok();
    assert_eq!(shop.log().await[3].1["total"]["minor"], 0);
}

#[tokio::test]
async fn an_import_is_checked_as_closely_as_an_order() {
    let shop = Shop::new();
    let (user, product) = (shop.user("a@example.com").await, shop.product("1.00").await);
    let with = |pointer: &str, value: Value| {
        let mut body = import(&user, &product);
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    for (pointer, value, code) in [
        ("/ordered_at", json!("2026-01-05T12:00:01Z"), "in-the-future"),
        ("/ordered_at", json!("1899-12-31T23:59:59Z"), "too-early"),
        ("/ordered_at", json!("yesterday"), "invalid"),
        ("/currency", json!("usd"), "currency/unknown"),
        ("/lines/1/unit_price", json!("-1.00"), "money/negative"),
        ("/lines/1/unit_price", json!("1.001"), "money/too-precise"),
        ("/lines/0/quantity", json!(0), "quantity/out-of-range"),
        ("/lines", json!([]), "too-few"),
    ] {
        shop.post("/api/v1/orders/import", with(pointer, value)).await.wrong(&[(pointer, code)]);
    }
    let nobody = json!(uuid::Uuid::now_v7());
    shop.post("/api/v1/orders/import", with("/user_id", nobody.clone()))
        .await
        .wrong(&[("/user_id", "user/unknown")]);
    let unknown_product =
        shop.post("/api/v1/orders/import", with("/lines/1/product_id", nobody)).await;
    unknown_product.wrong(&[("/lines/1/product_id", "product/unknown")]);
}

#[tokio::test]
async fn an_import_that_is_not_enabled_is_not_there() {
    let shop = Shop::over(
        Arc::new(MemoryStore::new()),
        ShopOptions { order_import: false, ..ShopOptions::default() },
    );
    let (user, product) = (shop.user("a@example.com").await, shop.product("1.00").await);
    shop.post("/api/v1/orders/import", import(&user, &product)).await.problem(404, "not-found");
    shop.post("/api/v1/orders/import", json!("nonsense")).await.problem(404, "not-found");
}
