//! GraphQL queries over HTTP.

pub(crate) mod access;
mod columns;
mod entities;
mod lists;
mod page;
mod statements;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, App, UserSeed, limited, send, send_as};
use crate::switch::SWITCH;

const ANSWER: &str = "application/graphql-response+json; charset=utf-8";

fn request(query: &str, variables: &Value) -> Request<Body> {
    let body = json!({"query": query, "variables": variables});
    let request = Request::post("/graphql").header("content-type", "application/json");
    let request = request.header("accept", "application/graphql-response+json");
    request.body(Body::from(body.to_string())).unwrap()
}

/// The answer to the administrator.
async fn ask(app: &App, query: &str, variables: &Value) -> Answer {
    send(&app.router, request(query, variables)).await
}

/// The answer to somebody with this token.
async fn ask_as(app: &App, token: Option<&str>, query: &str, variables: &Value) -> Answer {
    send_as(&app.router, token, request(query, variables)).await
}

/// The data of an answer without errors.
fn data(answer: &Answer) -> &Value {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, ANSWER));
    assert!(answer.body.get("errors").is_none(), "{:#}", answer.body);
    &answer.body["data"]
}

/// The code and the path of each error.
fn errors(answer: &Answer) -> Vec<(&Value, &Value)> {
    let errors = answer.body["errors"].as_array().into_iter().flatten();
    errors.map(|error| (&error["extensions"]["code"], &error["path"])).collect()
}

#[tokio::test]
async fn a_user_is_shown_with_orders_and_products_and_the_answer_says_its_position() {
    let app = App::silent(2).await;
    let ada = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(ada, "confirmed", 4).await;
    let product = app.add_product(0).await;
    sqlx::query("UPDATE orders_g1.orders SET lines = jsonb_set(lines, '{0,product_id}', $1)")
        .bind(json!(product))
        .execute(&app.writer)
        .await
        .unwrap();
    app.move_to("orders", 99).await;
    let query = "query ($id: ID!) {
        user(id: $id) {
            id email name status createdAt totalSpent { amount currency }
            totalRefunded { amount } totalNet { amount } totalPaid { amount }
            totalPaidBack { amount }
            orders { nodes {
                id status createdAt total { amount currency } refundDue { amount } user { id }
                items { productName quantity unitPrice { amount } product { id available } }
            } }
        }
    }";
    let answer = ask(&app, query, &json!({"id": ada})).await;
    let shown = json!({
        "id": ada, "email": "user-1@example.com", "name": "Ada Lovelace", "status": "ACTIVE",
        "createdAt": "2026-01-01T00:00:00Z", "totalSpent": [{"amount": "87.15", "currency": "USD"}],
        "totalRefunded": [{"amount": "14.67"}], "totalNet": [{"amount": "72.48"}],
        "totalPaid": [{"amount": "80.00"}], "totalPaidBack": [{"amount": "24.67"}],
        "orders": {"nodes": [{
            "id": order, "status": "CONFIRMED", "createdAt": "2026-01-01T00:00:01Z",
            "total": {"amount": "29.34", "currency": "USD"}, "refundDue": {"amount": "0.00"},
            "user": {"id": ada},
            "items": [{"productName": "cd", "quantity": 2, "unitPrice": {"amount": "14.67"},
                "product": {"id": product, "available": 7}}],
        }]},
    });
    assert_eq!(data(&answer)["user"], shown);
    let meta = &answer.body["extensions"]["meta"];
    assert_eq!(
        *meta,
        json!({"requestId": meta["requestId"], "timestamp": "2026-01-01T00:00:00Z",
            "epoch": app.epoch, "position": 99}),
        "users and products are at 100: the whole is complete up to 99"
    );
    assert_eq!(answer.header("x-request-id"), meta["requestId"].as_str().unwrap());
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    let unknown = ask(&app, query, &json!({"id": Uuid::now_v7()})).await;
    assert_eq!(data(&unknown)["user"], Value::Null);
    let malformed = ask(&app, query, &json!({"id": "x"})).await;
    assert_eq!(data(&malformed)["user"], Value::Null);
}

#[tokio::test]
async fn arguments_are_never_part_of_a_statement() {
    let app = App::silent(1).await;
    app.add_user(&UserSeed::number(1)).await;
    for text in ["'; DROP TABLE users_g1.users; --", "\\' OR 1=1 --", "%", "\u{ffff}$1", "NULL"] {
        let query = "query ($text: String, $id: ID!) {
            products(filter: {name: $text}) { nodes { id } }
            node(id: $id) { id } user(id: $id) { id }
        }";
        let answer = ask(&app, query, &json!({"text": text, "id": text})).await;
        assert_eq!(
            *data(&answer),
            json!({"products": {"nodes": []}, "node": null, "user": null}),
            "{text}"
        );
    }
    let nul = "{ products(filter: {name: \"\\u0000\"}) { nodes { id } } }";
    let nul = ask(&app, nul, &json!({})).await;
    assert_eq!((nul.status.as_u16(), &nul.body["code"]), (422, &"value-not-storable".into()));
    assert_eq!(app.get("/api/v1/users").await.ids().len(), 1);
}

#[tokio::test]
async fn an_answer_waits_for_a_token_and_names_what_the_rest_api_names() {
    let app = App::start().await;
    let token = app.token(105);
    let with = |headers: &[(&str, &str)], query: &str| {
        let mut request =
            request("{ users { nodes { id } } products { nodes { id } } }", &json!({}));
        *request.uri_mut() = format!("/graphql{query}").parse().unwrap();
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(axum::http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        send(&app.router, request)
    };
    let early = with(&[("consistency-token", &token), ("prefer", "wait=0")], "").await;
    let code = &early.body["code"];
    assert_eq!((early.status.as_u16(), code), (503, &"not-yet-consistent".into()));
    assert_eq!(early.header("retry-after"), "1");
    let moves = async {
        local_servers::until("somebody waits", async || app.watcher.waiting() == 1).await;
        app.move_to("users", 105).await;
        app.move_to("products", 106).await;
    };
    let parameter = format!("?consistency_token={token}");
    let waits = with(&[("prefer", "wait=9")], &parameter);
    let (shown, ()) = tokio::join!(waits, moves);
    assert_eq!(data(&shown)["users"], json!({"nodes": []}));
    assert_eq!(shown.body["extensions"]["meta"]["position"], 105, "orders were not asked for");
    assert_eq!(shown.header("preference-applied"), "wait=9");
    for (headers, query, status, code) in [
        (&[("consistency-token", "x")][..], "", 400, "consistency-token-invalid"),
        (&[("consistency-token", token.as_str())], "?consistency_token=y", 422, "invalid-content"),
    ] {
        let refused = with(headers, query).await;
        let of_rest = app.get_with(&format!("/api/v1/users{query}"), headers).await;
        assert_eq!(refused.status.as_u16(), status, "{:#}", refused.body);
        assert_eq!(refused.body["code"], of_rest.body["code"], "{code}");
    }
}

#[tokio::test]
async fn an_answer_without_all_events_says_so() {
    let app = App::silent(1).await;
    let ada = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(ada, "paid", 1).await;
    let mark = "INSERT INTO read_model.stale (projection, generation, key, incomplete, absent, \
        since) VALUES ('orders', 1, $1, false, false, 7)";
    sqlx::query(mark).bind(order.to_string()).execute(&app.writer).await.unwrap();
    let user = "query ($id: ID!) { user(id: $id) { id } }";
    let fresh = ask(&app, user, &json!({"id": ada})).await;
    assert_eq!(fresh.body["extensions"]["meta"].get("stale"), None, "{:#}", fresh.body);
    let orders = "query ($id: ID!) { user(id: $id) { orders { nodes { id } } } }";
    let stale = ask(&app, orders, &json!({"id": ada})).await;
    assert_eq!(data(&stale)["user"]["orders"]["nodes"][0]["id"], json!(order));
    assert_eq!(stale.body["extensions"]["meta"]["stale"], true);
}

#[tokio::test]
async fn an_answer_is_made_again_when_the_tables_are_switched_under_its_statements() {
    let app = App::silent(1).await;
    let ada = app.add_user(&UserSeed::number(1)).await;
    let query = "query ($id: ID!) { users { nodes { id } } user(id: $id) { id } }";
    let before = ask(&app, query, &json!({"id": ada})).await;
    assert_eq!(data(&before)["users"]["nodes"].as_array().unwrap().len(), 1);
    sqlx::raw_sql(SWITCH).execute(&app.writer).await.unwrap();
    let after = ask(&app, query, &json!({"id": ada})).await;
    assert_eq!(data(&after)["users"]["nodes"].as_array().unwrap().len(), 2);
    assert_eq!(data(&after)["user"]["id"], json!(ada));
    assert_eq!(after.body["extensions"]["meta"]["position"], 105);
}

#[tokio::test]
async fn without_a_database_questions_are_unavailable_and_the_schema_is_shown() {
    let app = App::silent(1).await;
    app.pools.close().await;
    let away = ask(&app, "{ users { nodes { id } } }", &json!({})).await;
    let code = &away.body["code"];
    assert_eq!((away.status.as_u16(), code), (503, &"read-model-unavailable".into()));
    assert_eq!(away.header("retry-after"), "1");
    let schema = ask(&app, "{ __schema { queryType { name } } }", &json!({})).await;
    assert_eq!(*data(&schema), json!({"__schema": {"queryType": {"name": "Query"}}}));
    let meta = schema.body["extensions"]["meta"].as_object().unwrap();
    assert!(!meta.contains_key("position"), "nothing of the tables is shown");
}

#[tokio::test]
async fn what_costs_too_much_is_refused_before_anything_is_asked() {
    let app = App::silent(1).await;
    let list = "users(first: 100) { nodes { orders(first: 100) { nodes { id } } } }";
    let many = format!("{{ {} }}", "users { nodes { id } } ".repeat(51));
    let deep = format!(
        "{{ order(id: \"x\") {{ {}id{} }} }}",
        "user { orders(first: 1) { nodes { ".repeat(5),
        " } } }".repeat(5)
    );
    let items = "orders(first: 100) { nodes { items { product { id name stock } } } }";
    for (query, told) in [
        (format!("{{ {list} }}"), "values"),
        (format!("{{ {} }}", list.replace("(first: 100)", "(first: $n)")), "values"),
        (format!("{{ {} }}", format!("{items} ").repeat(12)), "values"),
        (many, "fields at its root"),
        (deep, "levels"),
    ] {
        let query = query.replacen('{', "query ($n: Int = 100) {", 1);
        let refused = ask(&app, &query, &json!({})).await;
        assert_eq!(refused.status, 400, "{query} {:#}", refused.body);
        let message = refused.body["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(told), "{message}");
    }
    let body = json!({"query": format!("{{ users {{ nodes {{ id }} }} }}{}", " ".repeat(65_536))});
    let large = Request::post("/graphql").header("content-type", "application/json");
    let large = send(&app.router, large.body(Body::from(body.to_string())).unwrap()).await;
    assert_eq!(large.status, 413);
    let by_get = Request::get("/graphql?query=%7B__typename%7D").body(Body::empty()).unwrap();
    let by_get = send(&app.router, by_get).await;
    assert_eq!(by_get.body["data"]["__typename"], "Query");
}

#[tokio::test]
async fn each_field_at_the_root_counts_as_a_request_of_its_operation() {
    let app = App::silent(1).await;
    let router = limited(app.pools.clone(), app.watcher.clone(), "off, listOrders=1/2");
    let query = "{ orders { nodes { id } } ...f } fragment f on Query { b: orders { nodes { id } } \
        c: orders { nodes { id } } d: orders { nodes { id } } }";
    let refused = send(&router, request(query, &json!({}))).await;
    let code = &refused.body["code"];
    assert_eq!((refused.status.as_u16(), code), (429, &"rate-limited".into()));
    assert!(!refused.header("retry-after").is_empty());
    let others = send(&router, request("{ users { nodes { id } } }", &json!({}))).await;
    assert_eq!(others.status, 200);
}
