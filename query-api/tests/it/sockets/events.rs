//! What subscriptions show: the same as the streams of server-sent events, and what lies below.

use postgres_kit::Pool;
use serde_json::{Value, json};
use sqlx::{Executor as _, Row as _};
use uuid::Uuid;

use super::opened;
use crate::live::events::Events;
use crate::support::{App, UserSeed};
use crate::switch::SWITCH;

const PAID: &str = "subscription ($after: String) {
    orders(filter: {status: PAID}, lastEventId: $after) {
        event id position left order { id } page { hasNextPage } reason { code }
    }
}";

/// The kind of an event, its row, and its position.
fn short(event: &Value) -> (&str, &str, i64) {
    let row = event["order"]["id"].as_str().or(event["left"].as_str()).unwrap_or_default();
    (event["event"].as_str().unwrap(), row, event["position"].as_i64().unwrap())
}

#[tokio::test]
async fn a_list_is_followed_as_its_filter_says_and_goes_on_behind_any_event() {
    let app = App::silent(3).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let paid = app.add_order(user, "paid", 0).await;
    let pending = app.add_order(user, "pending", 1).await;
    let (_server, mut socket) = opened(&app).await;
    socket.begin("1", PAID, &json!({})).await;
    let snapshot = socket.until("1", "orders", "COMPLETE").await;
    assert_eq!(snapshot.len(), 2, "{snapshot:?}");
    assert_eq!(snapshot[1]["page"], json!({"hasNextPage": false}));
    app.set_status(paid, "shipped", 101).await;
    app.set_status(pending, "paid", 102).await;
    let (paid, pending) = (paid.to_string(), pending.to_string());
    let left = socket.event("1", "orders").await;
    assert_eq!(short(&left), ("LEFT", paid.as_str(), 101));
    let came = socket.event("1", "orders").await;
    assert_eq!(short(&came), ("CHANGED", pending.as_str(), 102));
    // Somebody else goes on behind the first of the two.
    app.set_status(pending.parse().unwrap(), "paid", 103).await;
    socket.event("1", "orders").await;
    socket.begin("2", PAID, &json!({"after": left["id"]})).await;
    let missed = socket.until("2", "orders", "RESUMED").await;
    let missed: Vec<_> = missed.iter().map(short).collect();
    assert_eq!(missed, [("CHANGED", pending.as_str(), 103), ("RESUMED", "", 103)]);
    // And what cannot be gone on behind begins again.
    socket.begin("3", PAID, &json!({"after": "7"})).await;
    let reset = socket.event("3", "orders").await;
    assert_eq!(
        (&reset["event"], &reset["reason"]["code"]),
        (&json!("RESET"), &json!("unknown-event"))
    );
    assert_eq!(socket.until("3", "orders", "COMPLETE").await.len(), 2);
}

#[tokio::test]
async fn an_event_of_a_stream_and_one_of_a_subscription_have_the_same_id() {
    let app = App::silent(3).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "paid", 0).await;
    let path = "/api/v1/orders?status=paid";
    let mut stream = Events::of(&app, path).await;
    stream.snapshot().await;
    let (_server, mut socket) = opened(&app).await;
    socket.begin("1", PAID, &json!({"after": stream.last_id()})).await;
    assert_eq!(socket.event("1", "orders").await["event"], "RESUMED");
    app.set_status(order, "paid", 101).await;
    let event = socket.event("1", "orders").await;
    assert_eq!(event["id"], json!(stream.event().await.unwrap().id));
}

#[tokio::test]
async fn a_page_goes_on_as_a_query_where_the_snapshot_ends() {
    let app = App::silent(2).await;
    for number in 0..3 {
        app.add_product(number).await;
    }
    let (_server, mut socket) = opened(&app).await;
    let products = "subscription { products(first: 2, sort: NAME_ASC) {
        event product { id } page { hasNextPage endCursor }
    } }";
    socket.begin("1", products, &json!({})).await;
    let snapshot = socket.until("1", "products", "COMPLETE").await;
    let page = &snapshot[2]["page"];
    assert_eq!(page["hasNextPage"], true);
    let query = "query ($after: String) { products(first: 2, sort: NAME_ASC, after: $after) {
        nodes { id } pageInfo { hasNextPage }
    } }";
    socket.begin("q", query, &json!({"after": page["endCursor"]})).await;
    let rest = socket.answer("q").await["products"].take();
    assert_eq!(rest["nodes"].as_array().unwrap().len(), 1);
    assert!(snapshot[..2].iter().all(|event| event["product"] != rest["nodes"][0]), "{rest}");
}

#[tokio::test]
async fn erased_and_stale_rows_and_a_switch_are_said() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let (_server, mut socket) = opened(&app).await;
    let query = "subscription ($id: ID!) { user(id: $id) {
        event stale user { id email orderCount } reason { code }
    } }";
    socket.begin("1", query, &json!({"id": user})).await;
    socket.until("1", "user", "COMPLETE").await;
    app.change("users", user, ("email = NULL, name = NULL", 101), 101).await;
    let erased = socket.event("1", "user").await;
    assert_eq!((&erased["event"], &erased["user"]["email"]), (&json!("ERASED"), &Value::Null));
    let mark = "INSERT INTO read_model.stale (projection, generation, key, incomplete, absent, \
        since) VALUES ('users', 1, $1, false, false, 101)";
    sqlx::query(mark).bind(user.to_string()).execute(&app.writer).await.unwrap();
    let stale = socket.event("1", "user").await;
    assert_eq!((&stale["event"], &stale["stale"]), (&json!("STALE"), &json!(true)));
    sqlx::raw_sql(SWITCH).execute(&app.writer).await.unwrap();
    let reset = socket.event("1", "user").await;
    assert_eq!(reset["reason"]["code"], "tables-switched", "{reset}");
    assert_eq!(socket.until("1", "user", "COMPLETE").await.len(), 2);
}

const BELOW: &str = "subscription { orders { event order { id user { id name } items {
    productName product { id name } } } } }";

/// How often rows were loaded by their ids over the only connection of each kind. The hub, which
/// reads what changed, uses them too.
async fn loads(app: &App) -> i64 {
    let counts = "SELECT coalesce(sum(generic_plans + custom_plans), 0)::bigint
        FROM pg_prepared_statements WHERE statement LIKE '%ANY($1)%'";
    let count = async |pool: &Pool| -> i64 {
        pool.fetch_all(sqlx::raw_sql(counts)).await.unwrap()[0].get(0)
    };
    count(&app.pools.lookup).await + count(&app.pools.scan).await
}

/// Gives an order several lines, each of another product.
async fn give_lines(app: &App, order: Uuid, products: &[Uuid]) {
    let line = |product: &Uuid| {
        json!({"line_id": Uuid::now_v7(), "product_id": product,
        "product_name": "cd", "quantity": 1, "unit_price_minor": 5})
    };
    let lines = Value::from(products.iter().map(line).collect::<Vec<_>>());
    let set = sqlx::query("UPDATE orders_g1.orders SET lines = $2 WHERE id = $1");
    set.bind(order).bind(lines).execute(&app.writer).await.unwrap();
}

#[tokio::test]
async fn what_lies_below_a_row_costs_a_fixed_number_of_statements_and_the_row_none() {
    let app = App::silent(1).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "paid", 0).await;
    let mut products = Vec::new();
    for number in 0..12 {
        products.push(app.add_product(number).await);
    }
    give_lines(&app, order, &products).await;
    let (_server, mut socket) = opened(&app).await;
    socket.begin("1", BELOW, &json!({})).await;
    socket.until("1", "orders", "COMPLETE").await;
    let mut costs = Vec::new();
    for (position, lines) in [(101, 1), (102, 12)] {
        give_lines(&app, order, &products[..lines]).await;
        let before = loads(&app).await;
        app.set_status(order, "paid", position).await;
        let event = socket.event("1", "orders").await;
        let items = event["order"]["items"].as_array().unwrap();
        assert_eq!((items.len(), &event["order"]["user"]["id"]), (lines, &json!(user)));
        assert!(items.iter().all(|item| item["product"]["name"].is_string()), "{event}");
        costs.push(loads(&app).await - before);
    }
    assert_eq!(costs, [2, 2], "the user and the products");
    socket.send(&json!({"type": "complete", "id": "1"})).await;
    socket.begin("2", "subscription { orders { event order { id status } } }", &json!({})).await;
    socket.until("2", "orders", "COMPLETE").await;
    let before = loads(&app).await;
    app.set_status(order, "shipped", 103).await;
    assert_eq!(socket.event("2", "orders").await["order"]["status"], "SHIPPED");
    assert_eq!(loads(&app).await, before);
}

#[tokio::test]
async fn a_read_below_a_row_that_fails_is_an_error_of_its_event_and_the_next_one_is_whole() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "paid", 0).await;
    let (_server, mut socket) = opened(&app).await;
    socket.begin("1", BELOW, &json!({})).await;
    socket.until("1", "orders", "COMPLETE").await;
    let mut locked = app.writer.begin().await.unwrap();
    let lock = "LOCK TABLE users_g1.users IN ACCESS EXCLUSIVE MODE";
    sqlx::query(lock).execute(&mut *locked).await.unwrap();
    app.set_status(order, "paid", 101).await;
    let failed = socket.next().await["payload"].take();
    assert_eq!(failed["data"]["orders"]["order"]["id"], json!(order), "{failed:#}");
    assert_eq!(failed["data"]["orders"]["order"]["user"], Value::Null);
    let error = &failed["errors"][0];
    assert_eq!(error["path"], json!(["orders", "order", "user"]), "{failed:#}");
    assert_eq!(error["extensions"]["status"], 503, "{failed:#}");
    locked.rollback().await.unwrap();
    app.set_status(order, "paid", 102).await;
    let event = socket.event("1", "orders").await;
    assert_eq!(event["order"]["user"]["id"], json!(user));
}

#[tokio::test]
async fn what_lies_below_is_read_again_when_the_tables_are_switched_under_it() {
    let app = App::silent(1).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "paid", 0).await;
    let (_server, mut socket) = opened(&app).await;
    socket.begin("1", BELOW, &json!({})).await;
    socket.until("1", "orders", "COMPLETE").await;
    // The users are others now, and the statements of the connection are out of date.
    sqlx::raw_sql(SWITCH).execute(&app.writer).await.unwrap();
    app.set_status(order, "paid", 101).await;
    let event = socket.event("1", "orders").await;
    assert_eq!(event["order"]["user"]["id"], json!(user));
    app.set_status(order, "paid", 102).await;
    assert_eq!(socket.event("1", "orders").await["event"], "CHANGED");
}
