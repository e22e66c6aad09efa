//! Tests of the stock that orders take: reserved by their fulfilment, released when cancelled, and
//! taken out at shipment.

use std::fmt::Debug;

use access::{Caller, Principal};
use command_api::application::access::Permit;
use command_api::application::repository::{Repository, registry};
use command_api::application::use_case::ReserveStock;
use command_api::application::{CommandError, Context, Done};
use domain::aggregate::Aggregate;
use domain::{Order, Product};
use event_store::stream::Version;
use event_store::{ExpectedVersion, Refusal, UpcastingLog};
use serde_json::{Value, json};

use crate::support::tokens::By as _;
use crate::support::{Cue, Shop, ShopOptions, Stage, With, json_request};

/// Places an order of these products and quantities.
async fn placed(shop: &Shop, user: &str, lines: &[(&str, u32)]) -> String {
    let line =
        |(product, quantity): &(&str, u32)| json!({"product_id": product, "quantity": quantity});
    let lines: Vec<Value> = lines.iter().map(line).collect();
    shop.post("/api/v1/orders", json!({"user_id": user, "lines": lines})).await.made()
}

fn note() -> Value {
    json!({"reason": "seen on the bank statement"})
}

/// The events of the log after the first `before`.
async fn since(shop: &Shop, before: usize) -> Vec<(String, Value)> {
    shop.log().await.split_off(before)
}

/// Reserves the stock of an order, as its fulfilment does.
async fn reserve(shop: &Shop, order: &str) -> Result<Done, CommandError> {
    let caller = Caller::system(Principal::system("process-manager").unwrap());
    let permit = Permit::of::<ReserveStock>(&shop.application.policy, &caller).unwrap();
    let order_id = order.parse().unwrap();
    let commands = shop.application.commands.get().unwrap();
    commands.run(ReserveStock { order_id }, permit, Context::new(caller)).await
}

#[tokio::test]
async fn a_confirmation_takes_no_stock_and_loads_no_product() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let product = shop.product("1.00").await;
    let order = placed(&shop, &user, &[(&product, 11)]).await;
    let confirmed = shop.act(&format!("/api/v1/orders/{order}/confirm")).await;
    assert_eq!(confirmed.ok(), &json!({"id": order, "version": 2}));
    let events = since(&shop, 4).await;
    assert_eq!((events[0].0.as_str(), events.len()), ("order.confirmed", 1));
    assert_eq!(events[0].1["to_fulfil"], true);
}

#[tokio::test]
async fn the_units_of_each_product_are_reserved_in_one_append_and_once() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let (one, other) = (shop.product("1.00").await, shop.product("2.00").await);
    let order = placed(&shop, &user, &[(&one, 2), (&other, 1), (&one, 3)]).await;
    reserve(&shop, &order).await.unwrap_err();
    shop.act(&format!("/api/v1/orders/{order}/confirm")).await.ok();
    reserve(&shop, &order).await.unwrap();
    let reserved = |product: &str, units: i64| {
        let data = json!({"product_id": product, "order_id": order, "units": units,
            "reserved": units});
        ("product.stock_reserved".to_owned(), data)
    };
    // Ids of products grow, so the first one comes first.
    assert_eq!(since(&shop, 6).await, [reserved(&one, 5), reserved(&other, 1)]);
    reserve(&shop, &order).await.unwrap();
    assert_eq!(shop.log().await.len(), 8, "a repeat changes nothing");
}

/// Checks that a repository with states in memory shows an aggregate as the log does.
async fn is_as_in_the_log<A: Aggregate + Debug>(shop: &Shop, id: &str) {
    let known = shop.application.commands.get().unwrap().repository();
    let log = UpcastingLog::new(shop.store.clone(), std::sync::Arc::new(registry().unwrap()));
    let (fresh, id) = (Repository::new(log), id.parse().unwrap());
    let epoch = fresh.epoch().await.unwrap();
    let [known, read] =
        [known.load::<A>(epoch, id).await.unwrap(), fresh.load::<A>(epoch, id).await.unwrap()];
    assert_eq!(format!("{known:?}"), format!("{read:?}"));
}

#[tokio::test]
async fn states_in_memory_are_as_in_the_log_after_an_append_of_several_streams() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let (one, other) = (shop.product("1.00").await, shop.product("2.00").await);
    let order = placed(&shop, &user, &[(&one, 2), (&other, 1)]).await;
    shop.act(&format!("/api/v1/orders/{order}/confirm")).await.ok();
    reserve(&shop, &order).await.unwrap();
    is_as_in_the_log::<Order>(&shop, &order).await;
    is_as_in_the_log::<Product>(&shop, &one).await;
    is_as_in_the_log::<Product>(&shop, &other).await;
}

#[tokio::test]
async fn an_order_for_which_there_is_not_enough_is_not_shipped_by_hand_and_takes_nothing() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let (plenty, scarce) = (shop.product("1.00").await, shop.product("2.00").await);
    let order = placed(&shop, &user, &[(&plenty, 2), (&scarce, 7), (&scarce, 4)]).await;
    let path = |verb: &str| format!("/api/v1/orders/{order}/{verb}");
    shop.act(&path("confirm")).await.ok();
    shop.post(&path("record-payment"), note()).await.ok();
    let before = shop.log().await;
    for path in [path("ship"), path("ship?dry_run=true")] {
        let refused = shop.post(&path, note()).await;
        refused.problem(409, "order/not-enough-stock");
        let placed = before.iter().rfind(|(name, _)| name == "order.placed").unwrap();
        let line = placed.1["lines"][2]["line_id"].as_str().unwrap();
        let expected = format!("line {line}: 11 of product {scarce} are wanted, 10 are available");
        let error = json!({"pointer": "/lines/2", "code": "stock/not-enough", "detail": expected});
        assert_eq!(refused.body["errors"], json!([error]));
        assert!(refused.body["detail"].as_str().unwrap().ends_with(&expected));
    }
    assert_eq!(shop.log().await, before);
    let Err(CommandError::OutOfStock(lines)) = reserve(&shop, &order).await else {
        panic!("reserved");
    };
    let short: Vec<_> = lines.iter().map(|line| line.product_id.to_string()).collect();
    assert_eq!(short, [scarce.as_str()]);
    shop.post(&format!("/api/v1/products/{scarce}/stock/receive"), json!({"quantity": 1}))
        .await
        .ok();
    shop.post(&path("ship"), note()).await.ok();
}

#[tokio::test]
async fn reserved_units_are_for_nobody_else_until_the_order_is_cancelled() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.00").await);
    let first = placed(&shop, &user, &[(&product, 8)]).await;
    let second = placed(&shop, &user, &[(&product, 3)]).await;
    let act = |order: &str, verb: &str| format!("/api/v1/orders/{order}/{verb}");
    for order in [&first, &second] {
        shop.act(&act(order, "confirm")).await.ok();
    }
    reserve(&shop, &first).await.unwrap();
    reserve(&shop, &second).await.unwrap_err();
    let stock = format!("/api/v1/products/{product}/stock");
    shop.post(&stock, json!({"delta": -3})).await.problem(409, "product/not-enough-stock");
    let before = shop.log().await.len();
    shop.act(&act(&first, "cancel")).await.ok();
    let events = since(&shop, before).await;
    assert_eq!((events[0].0.as_str(), events.len()), ("order.sale_cancelled", 3));
    assert_eq!(events[1].0, "user_orders.closed");
    let released = json!({"product_id": product, "order_id": first, "units": 8, "reserved": 0});
    assert_eq!(events[2], ("product.stock_released".to_owned(), released));
    reserve(&shop, &second).await.unwrap();
    reserve(&shop, &first).await.unwrap_err();
}

#[tokio::test]
async fn a_shipment_takes_the_units_out_of_the_stock_reserved_or_not() {
    for is_reserved in [true, false] {
        let shop = Shop::new();
        let (user, product) = (shop.user("ada@example.com").await, shop.product("1.00").await);
        let order = placed(&shop, &user, &[(&product, 4)]).await;
        let path = |verb: &str| format!("/api/v1/orders/{order}/{verb}");
        shop.act(&path("confirm")).await.ok();
        if is_reserved {
            reserve(&shop, &order).await.unwrap();
        }
        shop.post(&path("record-payment"), note()).await.ok();
        let before = shop.log().await.len();
        shop.post(&path("ship"), note()).await.ok();
        let events = since(&shop, before).await;
        let shipped = json!({"product_id": product, "order_id": order, "units": 4, "stock": 6,
            "reserved": 0});
        assert_eq!(events[0].0, "order.shipped");
        assert_eq!(events[1..], [("product.stock_shipped".to_owned(), shipped)]);
        reserve(&shop, &order).await.unwrap();
        assert_eq!(since(&shop, before).await.len(), 2, "nothing is left to reserve");
    }
}

#[tokio::test]
async fn who_cancels_an_order_is_its_reason() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.00").await);
    for (by_owner, reason) in [(true, "customer"), (false, "staff")] {
        let order = placed(&shop, &user, &[(&product, 1)]).await;
        let cancel = json_request("POST", &format!("/api/v1/orders/{order}/cancel"), &json!({}));
        let cancel = if by_owner { cancel.by(&user) } else { cancel };
        shop.send(cancel).await.ok();
        let (_, data) =
            shop.log().await.into_iter().rfind(|(name, _)| name == "order.cancelled").unwrap();
        assert_eq!(data["reason"], reason);
    }
}

#[tokio::test]
async fn an_imported_order_takes_nothing_from_the_stock() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.00").await);
    let body = json!({"user_id": user, "ordered_at": "1997-01-12T00:00:00Z", "currency": "USD",
        "lines": [{"product_id": product, "quantity": 1000, "unit_price": "1.00"}]});
    for last in ["cancel", "ship"] {
        let order = shop.post("/api/v1/orders/import", body.clone()).await.made();
        let path = |verb: &str| format!("/api/v1/orders/{order}/{verb}");
        shop.act(&path("confirm")).await.ok();
        shop.post(&path("record-payment"), note()).await.ok();
        match last {
            "cancel" => shop.act(&path(last)).await.ok(),
            _ => shop.post(&path(last), note()).await.ok(),
        };
    }
    let types = shop.types().await;
    assert!(!types.iter().any(|name| name.starts_with("product.stock")), "{types:?}");
}

#[tokio::test]
async fn who_named_a_version_of_the_order_does_not_hear_of_another_version_of_a_product() {
    let (stage, _arrivals) = Stage::new();
    let shop = Shop::over(std::sync::Arc::clone(&stage) as _, ShopOptions::default());
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.00").await);
    let order = placed(&shop, &user, &[(&product, 1)]).await;
    shop.act(&format!("/api/v1/orders/{order}/confirm")).await.ok();
    shop.post(&format!("/api/v1/orders/{order}/record-payment"), note()).await.ok();
    let moved = |stream: String| {
        Cue::Refuse(Refusal::Version {
            stream: stream.parse().unwrap(),
            expected: ExpectedVersion::Exact(Version(1)),
            actual: Version(2),
        })
    };
    let ship = || {
        let path = format!("/api/v1/orders/{order}/ship");
        json_request("POST", &path, &note()).with("if-match", "\"3\"")
    };
    stage.cue(moved(format!("order-{order}")));
    stage.go();
    shop.send(ship()).await.problem(412, "stale-version");
    stage.cue(moved(format!("product-{product}")));
    stage.cue(Cue::GoOn);
    stage.go();
    stage.go();
    assert_eq!(shop.send(ship()).await.ok()["version"], 4);
}

#[tokio::test]
async fn units_move_between_two_products_or_not_at_all() {
    let shop = Shop::new();
    let (boxes, single) = (shop.product("1.00").await, shop.product("2.00").await);
    let path = format!("/api/v1/products/{boxes}/stock/move");
    let body = |to: &str, quantity: i64| json!({"to_product_id": to, "quantity": quantity});
    let moved = shop.post(&path, body(&single, 4)).await;
    assert_eq!(moved.ok(), &json!({"id": boxes, "version": 2}));
    let events = since(&shop, 2).await;
    let stock = |at: usize| (&events[at].1["product_id"], events[at].1["stock"].as_i64());
    assert_eq!([stock(0), stock(1)], [(&json!(boxes), Some(6)), (&json!(single), Some(14))]);
    shop.post(&path, body(&single, 7)).await.problem(409, "product/not-enough-stock");
    shop.post(&path, body(&boxes, 0))
        .await
        .wrong(&[("/quantity", "quantity/out-of-range"), ("/to_product_id", "product/same")]);
    let absent = uuid::Uuid::now_v7().to_string();
    shop.post(&path, body(&absent, 1)).await.wrong(&[("/to_product_id", "product/unknown")]);
    let from_absent = format!("/api/v1/products/{absent}/stock/move");
    shop.post(&from_absent, body(&single, 1)).await.problem(404, "not-found");
    let stale = json_request("POST", &path, &body(&single, 1)).with("if-match", "\"1\"");
    shop.send(stale).await.problem(412, "stale-version");
    assert_eq!(shop.log().await.len(), 4, "nothing but the first one happened");
}
