//! How many statements an answer costs: as many as its document has levels and kinds of rows,
//! however many rows there are. Postgres itself counts them.

use super::{ask, data};
use crate::support::described::executed;
use crate::support::{App, UserSeed};
use serde_json::{Value, json};

/// A page with everything below it.
const PAGE: &str = "query ($first: Int) {
    users(first: $first) { edges { cursor node {
        id email
        orders(first: 4) { nodes { id total { amount } user { name } items { product { name } } } }
    } } pageInfo { hasNextPage } }
}";

/// Adds users with three orders each, of ten products.
async fn fill(app: &App, users: i64) {
    for number in 0..10 {
        app.add_product(number).await;
    }
    for number in 0..users {
        let user = app.add_user(&UserSeed::number(number)).await;
        for order in 0..3 {
            app.add_order(user, "paid", order).await;
        }
    }
    let lines = "UPDATE orders_g1.orders SET lines = jsonb_set(lines, '{0,product_id}', to_jsonb(
        (ARRAY(SELECT id FROM products_g1.products ORDER BY id))[1 + abs(hashtext(id::text)) % 10]
    ))";
    sqlx::raw_sql(lines).execute(&app.writer).await.unwrap();
}

/// The number of statements that an answer cost.
async fn cost(app: &App, query: &str, variables: &Value) -> (i64, Value) {
    let count = async || executed(&app.pools.lookup).await + executed(&app.pools.scan).await;
    let before = count().await;
    let answer = ask(app, query, variables).await;
    (count().await - before, data(&answer).clone())
}

#[tokio::test]
async fn a_page_of_users_with_orders_and_products_costs_as_many_statements_as_one_user() {
    let app = App::silent(1).await;
    fill(&app, 60).await;
    let (one, shown) = cost(&app, PAGE, &json!({"first": 1})).await;
    let order = &shown["users"]["edges"][0]["node"]["orders"]["nodes"][2];
    assert!(order["items"][0]["product"]["name"].is_string(), "{shown:#}");
    assert!(order["user"]["name"].is_string(), "{shown:#}");
    // The page, the orders of all users, their users, and the products.
    assert_eq!(one, 4);
    for first in [2, 50, 60] {
        let (many, shown) = cost(&app, PAGE, &json!({"first": first})).await;
        let edges = shown["users"]["edges"].as_array().unwrap();
        assert_eq!((many, edges.len()), (4, first));
        assert!(edges.iter().all(|edge| {
            let orders = edge["node"]["orders"]["nodes"].as_array().unwrap();
            orders.len() == 3 && orders.iter().all(|order| order["items"][0]["product"].is_object())
        }));
    }
}

#[tokio::test]
async fn single_things_under_aliases_are_loaded_together() {
    let app = App::silent(1).await;
    fill(&app, 12).await;
    let users = app.get("/api/v1/users").await.ids();
    let orders = app.get("/api/v1/orders").await.ids();
    let fields = users.iter().take(10).zip(&orders).enumerate().map(|(at, (user, order))| {
        format!("u{at}: user(id: \"{user}\") {{ id }} o{at}: order(id: \"{order}\") {{ id }} ")
    });
    let query = format!("{{ {} }}", fields.collect::<String>());
    let (cost, shown) = cost(&app, &query, &json!({})).await;
    assert_eq!(cost, 2, "the users and the orders");
    for at in 0..10 {
        assert_eq!(shown[format!("u{at}")]["id"], json!(users[at]));
        assert_eq!(shown[format!("o{at}")]["id"], json!(orders[at]));
    }
}

#[tokio::test]
async fn what_an_order_shows_does_not_depend_on_what_is_asked_for_beside_it() {
    let app = App::silent(1).await;
    fill(&app, 5).await;
    let query = "{ users(first: 5) { nodes {
        brief: orders(first: 2) { nodes { id total { amount } createdAt status units refundDue {
            amount } version } }
        whole: orders(first: 2) { nodes { id total { amount } createdAt status units refundDue {
            amount } version orderedAt items { productName } } }
    } } }";
    let (cost, mut shown) = cost(&app, query, &json!({})).await;
    assert_eq!(cost, 2, "the page, and the orders with the columns that both lists need");
    for user in shown["users"]["nodes"].as_array_mut().unwrap() {
        for whole in user["whole"]["nodes"].as_array_mut().unwrap() {
            let whole = whole.as_object_mut().unwrap();
            assert_eq!(whole.remove("items").unwrap()[0]["productName"], "cd");
            assert!(whole.remove("orderedAt").unwrap().is_string());
        }
        assert_eq!(user["brief"], user["whole"]);
    }
}

#[tokio::test]
async fn what_is_about_the_schema_costs_no_statement() {
    let app = App::silent(1).await;
    for query in ["{ __schema { types { name } } }", "{ __typename _service { sdl } }"] {
        assert_eq!(cost(&app, query, &json!({})).await.0, 0, "{query}");
    }
}

#[tokio::test]
async fn lists_of_the_same_orders_below_users_share_a_statement_and_others_do_not() {
    let app = App::silent(1).await;
    fill(&app, 5).await;
    let query = "{ users(first: 5) { nodes {
        a: orders(first: 2) { nodes { id } }
        b: orders(first: 2) { nodes { id total { amount } } }
        c: orders(first: 2, status: PENDING) { nodes { id } }
    } } }";
    let (cost, shown) = cost(&app, query, &json!({})).await;
    assert_eq!(cost, 3, "the page, and two kinds of orders");
    for user in shown["users"]["nodes"].as_array().unwrap() {
        assert_eq!(user["a"]["nodes"].as_array().unwrap().len(), 2);
        assert_eq!(user["a"]["nodes"][1]["id"], user["b"]["nodes"][1]["id"]);
        assert_eq!(user["c"]["nodes"], json!([]));
    }
}
