//! Tests of races for stock over Postgres, through two processes.

use axum::body::Body;
use axum::http::Request;
use local_servers::test_run;
use serde_json::{Value, json};

use crate::postgres::{at_once, database, shop};
use crate::support::{Shop, json_request};

/// A product with this many units.
async fn product(shop: &Shop, stock: i64) -> String {
    let body = json!({"name": "cd", "unit_price": "1.00", "currency": "USD", "stock": stock});
    shop.post("/api/v1/products", body).await.made()
}

/// Places this many orders. `lines` makes the products of an order, with one unit of each.
async fn placed(
    shops: &[Shop; 2],
    user: &str,
    count: usize,
    lines: impl Fn(usize) -> Vec<String>,
) -> Vec<String> {
    let request = |number: usize| {
        let line = |product: String| json!({"product_id": product, "quantity": 1});
        let lines: Vec<Value> = lines(number).into_iter().map(line).collect();
        json_request("POST", "/api/v1/orders", &json!({"user_id": user, "lines": lines}))
    };
    at_once(shops, count, request).await.iter().map(crate::support::Reply::made).collect()
}

/// Makes the request with this verb for each of the orders.
fn each(orders: &[String], verb: &str) -> impl Fn(usize) -> Request<Body> {
    let paths: Vec<String> =
        orders.iter().map(|order| format!("/api/v1/orders/{order}/{verb}")).collect();
    let body = if verb == "confirm" { json!({}) } else { json!({"reason": "seen"}) };
    move |number| json_request("POST", &paths[number], &body)
}

/// Confirms the orders and records their payments. They are then shipped by hand, each from what is
/// available.
async fn paid(shops: &[Shop; 2], orders: &[String]) {
    for verb in ["confirm", "record-payment"] {
        for reply in at_once(shops, orders.len(), each(orders, verb)).await {
            reply.ok();
        }
    }
}

async fn race_for_the_last_unit(clients: usize, rounds: u64) {
    let database = database().await;
    let shops = [shop(&database).await, shop(&database).await];
    for round in 0..rounds {
        // The losers' orders stay open, and a user may have a limited number of those.
        let user = shops[0].user(&format!("ada{round}@example.com")).await;
        let product = product(&shops[0], 1).await;
        let orders = placed(&shops, &user, clients, |_| vec![product.clone()]).await;
        paid(&shops, &orders).await;
        let replies = at_once(&shops, clients, each(&orders, "ship")).await;
        let (won, lost): (Vec<_>, Vec<_>) =
            replies.into_iter().partition(|reply| reply.status == 200);
        assert_eq!(won.len(), 1, "round {round}: one unit, one winner");
        for reply in lost {
            reply.problem(409, "order/not-enough-stock");
            let detail = reply.body["errors"][0]["detail"].as_str().unwrap();
            let rest = format!("1 of product {product} are wanted, 0 are available");
            assert!(detail.ends_with(&rest), "{detail}");
        }
        let path = format!("/api/v1/products/{product}/stock/receive");
        shops[0].post(&path, json!({"quantity": 1})).await.ok();
        let winner = won[0].ok()["id"].clone();
        let loser = orders.iter().find(|order| winner != json!(order)).unwrap();
        let path = format!("/api/v1/orders/{loser}/ship");
        shops[1].post(&path, json!({"reason": "seen"})).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_16_who_ship_orders_of_the_last_unit_one_wins() {
    race_for_the_last_unit(16, test_run().count(3, 1_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_256_who_ship_orders_of_the_last_unit_one_wins() {
    race_for_the_last_unit(256, test_run().count(1, 1_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_of_the_same_products_in_any_sequence_do_not_wait_for_each_other() {
    const ORDERS: usize = 100;
    let database = database().await;
    let shop = shop(&database).await;
    let shops = [shop.clone(), shop.clone()];
    let user = shop.user("ada@example.com").await;
    let units = i64::try_from(ORDERS).unwrap();
    let (one, other) = (product(&shop, units).await, product(&shop, units).await);
    let lines = |number: usize| {
        let mut lines = vec![one.clone(), other.clone()];
        lines.rotate_left(number % 2);
        lines
    };
    let orders = placed(&shops, &user, ORDERS, lines).await;
    paid(&shops, &orders).await;
    let before = batches(database.url()).await;
    for reply in at_once(&shops, ORDERS, each(&orders, "ship")).await {
        assert_eq!(reply.ok()["version"], 4);
    }
    let taken = batches(database.url()).await - before;
    eprintln!("{ORDERS} shipments of two hot products took {taken} batches");
    assert!(taken <= units / 2, "the shipments took {taken} batches, hardly one after the other");
    let log = shop.log().await;
    for product in [one, other] {
        let of_product = log.iter().filter(|(name, data)| {
            name == "product.stock_shipped" && data["product_id"] == product
        });
        let left: Vec<_> = of_product.map(|(_, data)| data["stock"].as_i64()).collect();
        assert_eq!(left, (0..units).rev().map(Some).collect::<Vec<_>>());
    }
}

/// The number of transactions that appended something.
async fn batches(url: &str) -> i64 {
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(url).await.unwrap();
    sqlx::query_scalar("SELECT count(DISTINCT xmin::text) FROM event_store.events")
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_adds_up_whatever_is_confirmed_cancelled_shipped_and_moved_at_once() {
    const ORDERS: usize = 30;
    let database = database().await;
    let shops = [shop(&database).await, shop(&database).await];
    let user = shops[0].user("ada@example.com").await;
    let (one, other) = (product(&shops[0], 20).await, product(&shops[0], 20).await);
    let orders = placed(&shops, &user, ORDERS, |_| vec![other.clone(), one.clone()]).await;
    let note = json!({"reason": "seen"});
    // Each order is confirmed, paid and shipped or cancelled, while units move both ways.
    let request = |number: usize| {
        let (order, step) = (&orders[number % ORDERS], number / ORDERS);
        let path = |verb: &str| format!("/api/v1/orders/{order}/{verb}");
        match step {
            0 => json_request("POST", &path("confirm"), &json!({})),
            1 => json_request("POST", &path("record-payment"), &note),
            2 if number.is_multiple_of(3) => json_request("POST", &path("cancel"), &json!({})),
            2 => json_request("POST", &path("ship"), &note),
            _ => {
                let (from, to) =
                    if number.is_multiple_of(2) { (&one, &other) } else { (&other, &one) };
                let body = json!({"to_product_id": to, "quantity": 1});
                json_request("POST", &format!("/api/v1/products/{from}/stock/move"), &body)
            }
        }
    };
    for reply in at_once(&shops, 4 * ORDERS, request).await {
        assert!(matches!(reply.status.as_u16(), 200 | 409), "{:#}", reply.body);
    }
    let log = shops[0].log().await;
    let (mut stock, mut shipped) = ([20, 20], 0);
    for (name, data) in log.iter().filter(|(name, _)| name.starts_with("product.stock")) {
        let at = usize::from(data["product_id"] == json!(other));
        let units = data["units"].as_i64().unwrap_or_default();
        let change = match name.as_str() {
            "product.stock_adjusted" => data["delta"].as_i64().unwrap(),
            "product.stock_shipped" => -units,
            _ => 0,
        };
        stock[at] += change;
        shipped += if name == "product.stock_shipped" { units } else { 0 };
        if let Some(named) = data["stock"].as_i64() {
            assert_eq!(named, stock[at]);
        }
        assert!(stock[at] >= data["reserved"].as_i64().unwrap_or(0) && stock[at] >= 0, "{name}");
    }
    assert_eq!(stock.iter().sum::<i64>() + shipped, 40, "no unit is lost or made");
}
