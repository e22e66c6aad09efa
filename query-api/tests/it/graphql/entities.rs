//! The schema as a subgraph of Apollo Federation, and `node`.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{ask, ask_as, data, errors};
use crate::support::tokens::{token, with_role};
use crate::support::{App, UserSeed};

const ENTITIES: &str = "query ($all: [_Any!]!) {
    _entities(representations: $all) {
        __typename
        ... on User { id email }
        ... on Order { id total { amount } user { id } }
        ... on Product { id name }
    }
}";

/// A user with an order, and a product.
async fn filled() -> (App, Uuid, Uuid, Uuid) {
    let app = App::silent(1).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "paid", 1).await;
    let product = app.add_product(0).await;
    (app, user, order, product)
}

#[tokio::test]
async fn entities_are_resolved_by_id_in_the_order_in_which_a_gateway_asks() {
    let (app, user, order, product) = filled().await;
    let of = |name: &str, id: Uuid| json!({"__typename": name, "id": id});
    let all = json!([
        of("Product", product),
        of("User", user),
        of("Order", Uuid::now_v7()),
        of("Order", order),
        json!({"__typename": "User", "id": "x"}),
        of("User", user),
    ]);
    let answer = ask(&app, ENTITIES, &json!({"all": all})).await;
    let ada = json!({"__typename": "User", "id": user, "email": "user-1@example.com"});
    let expected = json!([
        {"__typename": "Product", "id": product, "name": "product 000"},
        ada,
        null,
        {"__typename": "Order", "id": order, "total": {"amount": "29.34"}, "user": {"id": user}},
        null,
        ada,
    ]);
    assert_eq!(data(&answer)["_entities"], expected);
}

#[tokio::test]
async fn an_entity_that_the_caller_may_not_see_is_null_and_the_others_are_there() {
    let (app, user, order, product) = filled().await;
    let all = json!([
        {"__typename": "User", "id": user},
        {"__typename": "Order", "id": order},
        {"__typename": "Product", "id": product},
    ]);
    let narrow = token(user, "orders:read.own products:read".parse().unwrap());
    let answer = ask_as(&app, Some(&narrow), ENTITIES, &json!({"all": all})).await;
    let entities = &answer.body["data"]["_entities"];
    assert_eq!(entities[0], Value::Null);
    assert_eq!((&entities[1]["id"], &entities[1]["user"]), (&json!(order), &Value::Null));
    assert_eq!(entities[2]["id"], json!(product));
    let codes: Vec<_> = errors(&answer).into_iter().map(|(code, _)| code.clone()).collect();
    assert_eq!(codes, ["insufficient-scope", "insufficient-scope"]);
    let stranger = with_role(Uuid::from_u128(1), "user");
    let answer = ask_as(&app, Some(&stranger), ENTITIES, &json!({"all": all})).await;
    let entities = &data(&answer)["_entities"];
    assert_eq!((&entities[0], &entities[1]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_node_is_whatever_has_the_id() {
    let (app, user, order, product) = filled().await;
    let query = "query ($id: ID!) { node(id: $id) { __typename id ... on User { email } } }";
    for (id, name) in [(user, "User"), (order, "Order"), (product, "Product")] {
        let answer = ask(&app, query, &json!({"id": id})).await;
        let node = &data(&answer)["node"];
        assert_eq!((&node["__typename"], &node["id"]), (&json!(name), &json!(id)));
    }
    let stranger = with_role(Uuid::from_u128(1), "user");
    for (id, there) in [(user, false), (order, false), (product, true)] {
        let answer = ask_as(&app, Some(&stranger), query, &json!({"id": id})).await;
        assert_eq!(data(&answer)["node"].is_object(), there);
        let nobody = ask_as(&app, None, query, &json!({"id": id})).await;
        assert_eq!(data(&nobody)["node"].is_object(), there);
    }
    let other = token(user, "sales:read".parse().unwrap());
    // Everybody may read products, so this caller may, too.
    let answer = ask_as(&app, Some(&other), query, &json!({"id": order})).await;
    assert_eq!(data(&answer)["node"], Value::Null);
}

#[tokio::test]
async fn the_schema_is_a_subgraph_that_resolves_its_entities() {
    let app = App::silent(1).await;
    let answer = ask(&app, "{ _service { sdl } }", &json!({})).await;
    let sdl = data(&answer)["_service"]["sdl"].as_str().unwrap().to_owned();
    assert_eq!(sdl, query_api::graphql::sdl());
    for entity in ["User", "Order", "Product"] {
        let key = format!("type {entity} implements Node @key(fields: \"id\") {{");
        assert!(sdl.contains(&key), "{key}: {sdl}");
    }
    for root in ["user(id: ID!): User", "order(id: ID!): Order", "node(id: ID!): Node"] {
        assert!(sdl.lines().any(|line| line.trim() == root), "{root}");
    }
    for object in ["type UserConnection", "enum OrderStatus", "type Money"] {
        assert!(sdl.contains(object), "{object}");
    }
}
