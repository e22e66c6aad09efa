//! Who may subscribe to what, and for how long.

use access::Grants;
use axum::body::Body;
use axum::http::Request;
use identity::{Moment, Subject};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{PROTOCOL, Server};
use crate::access::matrix::{CALLERS, token_of};
use crate::graphql::access::Filled;
use crate::support::tokens::{expiring, with_role};
use crate::support::{App, UserSeed, send_as};

/// Each field at the root, the operation that shows the same, and the subscription.
pub(crate) const SUBSCRIPTIONS: &[(&str, &str, &str)] = &[
    // One line each.
    ("Subscription.order", "/api/v1/orders/{order}", "order(id: \"{order}\") { event }"),
    ("Subscription.orders", "/api/v1/orders", "orders { event }"),
    ("Subscription.product", "/api/v1/products/{product}", "product(id: \"{product}\") { event }"),
    ("Subscription.products", "/api/v1/products", "products { event }"),
    ("Subscription.sales", "/api/v1/sales/daily", "sales { event }"),
    ("Subscription.user", "/api/v1/users/{user}", "user(id: \"{user}\") { event }"),
    ("Subscription.users", "/api/v1/users", "users { event }"),
];

#[tokio::test]
async fn every_subscription_answers_everybody_as_its_operation_does() {
    let filled = Filled::new().await;
    let server = Server::start(&filled.app.router).await;
    for caller in CALLERS {
        let token = token_of(caller, filled.user);
        let mut socket = server.connect(&[PROTOCOL]).await.unwrap();
        socket.init(token.as_deref()).await;
        if caller == "expired" {
            assert_eq!(socket.closed().await, 4403);
            continue;
        }
        assert_eq!(socket.next().await["type"], "connection_ack", "{caller}");
        for (field, path, query) in SUBSCRIPTIONS {
            let request = Request::get(filled.with_ids(path)).body(Body::empty()).unwrap();
            let rest = send_as(&filled.app.router, token.as_deref(), request).await;
            let query = format!("subscription {{ {} }}", filled.with_ids(query));
            let name = field.trim_start_matches("Subscription.");
            socket.begin(field, &query, &json!({})).await;
            if rest.status == 200 {
                let rows = socket.until(field, name, "COMPLETE").await.len() - 1;
                let shown = rest.body["data"].as_array().map_or(1, Vec::len);
                assert_eq!(rows, shown, "{caller}: {field}");
            } else {
                let code = socket.error(field).await;
                assert_eq!(code, rest.body["code"], "{caller}: {field}");
            }
        }
    }
}

#[tokio::test]
async fn a_subscription_shows_changes_of_the_callers_rows_and_no_others() {
    let app = App::silent(2).await;
    let ada = app.add_user(&UserSeed::number(1)).await;
    let grace = app.add_user(&UserSeed::number(2)).await;
    let hers = app.add_order(ada, "paid", 0).await;
    let others = app.add_order(grace, "paid", 1).await;
    let server = Server::start(&app.router).await;
    let mut socket = server.open(Some(&with_role(ada, "user"))).await;
    let orders = "subscription ($filter: OrderFilter) { orders(filter: $filter) {
        event order { id user { id } }
    } }";
    socket.begin("hers", orders, &json!({})).await;
    assert_eq!(socket.until("hers", "orders", "COMPLETE").await.len(), 2);
    socket.begin("theirs", orders, &json!({"filter": {"userId": grace}})).await;
    assert_eq!(socket.until("theirs", "orders", "COMPLETE").await.len(), 1);
    app.set_status(others, "shipped", 101).await;
    app.set_status(hers, "shipped", 102).await;
    let event = socket.event("hers", "orders").await;
    let row = json!({"id": hers, "user": {"id": ada}});
    assert_eq!(event, json!({"event": "CHANGED", "order": row}));
}

#[tokio::test]
async fn a_socket_is_closed_when_its_token_expires_or_is_revoked_and_others_stay() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let server = Server::start(&app.router).await;
    let (revoked, short) = (with_role(user, "user"), expiring(user, Grants::all(), 10));
    let mut short = server.open(Some(&short)).await;
    let mut revoked = server.open(Some(&revoked)).await;
    let mut staff = server.open(Some(&with_role(Uuid::from_u128(7), "support"))).await;
    let query = "subscription ($id: ID!) { user(id: $id) { event } }";
    for socket in [&mut short, &mut revoked, &mut staff] {
        socket.begin("1", query, &json!({"id": user})).await;
        socket.until("1", "user", "COMPLETE").await;
    }
    assert_eq!(short.closed().await, 4403);
    app.revocations.revoke(Subject::User(user), Moment::of_seconds(identity::now() + 1));
    assert_eq!(revoked.closed().await, 4403);
    app.change("users", user, ("order_count = 9", 101), 101).await;
    assert_eq!(staff.event("1", "user").await, json!({"event": "CHANGED"}));
}

#[tokio::test]
async fn where_the_schema_is_hidden_a_socket_does_not_show_it() {
    use graphql_kit::Introspection;
    use query_api::graphql::Settings;

    let app = App::silent(1).await;
    let settings = Settings { introspection: Introspection::Disabled, graphiql: false };
    let hidden = crate::support::with_graphql(app.pools.clone(), app.watcher.clone(), settings);
    let server = Server::start(&hidden).await;
    let mut socket = server.open(None).await;
    for query in ["{ __schema { types { name } } }", "{ _service { sdl } }"] {
        socket.begin("1", query, &json!({})).await;
        let answer = socket.next().await;
        assert_ne!(answer["type"], "complete", "{answer}");
        let shown = &answer["payload"]["data"];
        assert!(shown.is_null() || shown["__schema"].is_null(), "{answer:#}");
        if answer["type"] == "next" {
            assert_eq!(socket.next().await["type"], Value::from("complete"));
        }
    }
}
