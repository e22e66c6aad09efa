//! The access matrix of GraphQL: each mutation, asked by everybody, answers as the operation of the
//! REST API that runs the same command. What those answer is in the table of `matrix.rs`.
//!
//! The mutations come from the schema. One without a row fails the test.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Two;
use super::matrix::{CALLERS, Subjects, request as rest_request, sent_by};
use crate::auth::matrix::MUTATIONS;
use crate::support::{Reply, Shop};

const RECORD: &str = r#"orderId: "{order}", input: {reason: "seen", evidence: "pay_1"}"#;
const ADDRESS: &str = r#"input: {recipient: "Ada", street: "1 Main St", city: "Vienna",
    postalCode: "1010", country: "AT"}"#;

/// Each mutation, the operation that runs the same command, and the arguments.
const TABLE: &[(&str, &str, &str, &str)] = &[
    // One line each.
    ("addAddress", "post", "/api/v1/users/{id}/addresses", r#"userId: "{user}", {address}"#),
    ("addOrderLine", "post", "/api/v1/orders/{id}/lines", r#"orderId: "{order}", input: {line}"#),
    (
        "addProduct",
        "post",
        "/api/v1/products",
        r#"input: {name: "a", unitPrice: "1.00", currency: "USD"}"#,
    ),
    ("adjustStock", "post", "/api/v1/products/{id}/stock", r#"id: "{product}", delta: 1"#),
    ("cancelOrder", "post", "/api/v1/orders/{id}/cancel", r#"orderId: "{order}""#),
    (
        "changeAddress",
        "put",
        "/api/v1/users/{id}/addresses/{address_id}",
        r#"userId: "{user}", addressId: "{nil}", {address}"#,
    ),
    (
        "classifyProduct",
        "put",
        "/api/v1/products/{id}/rate-class",
        r#"id: "{product}", rateClass: "reduced""#,
    ),
    (
        "classifyUser",
        "put",
        "/api/v1/users/{id}/customer-type",
        r#"id: "{user}", customerType: "business""#,
    ),
    ("confirmOrder", "post", "/api/v1/orders/{id}/confirm", r#"orderId: "{order}""#),
    ("createUser", "post", "/api/v1/users", r#"input: {email: "new@example.com", name: "New"}"#),
    ("deleteUser", "delete", "/api/v1/users/{id}", r#"id: "{user}""#),
    ("deliverOrder", "post", "/api/v1/orders/{id}/deliver", RECORD),
    (
        "moveStock",
        "post",
        "/api/v1/products/{id}/stock/move",
        r#"id: "{product}", toProductId: "{order}", quantity: 1"#,
    ),
    ("placeOrder", "post", "/api/v1/orders", r#"input: {userId: "{user}", lines: [{line}]}"#),
    ("reactivateUser", "post", "/api/v1/users/{id}/reactivate", r#"id: "{user}""#),
    (
        "receiveStock",
        "post",
        "/api/v1/products/{id}/stock/receive",
        r#"id: "{product}", quantity: 1"#,
    ),
    ("recordPayment", "post", "/api/v1/orders/{id}/record-payment", RECORD),
    (
        "refundOrder",
        "post",
        "/api/v1/orders/{id}/refund",
        r#"orderId: "{order}", input: {amount: "1.00", currency: "USD", reason: "seen"}"#,
    ),
    (
        "removeAddress",
        "delete",
        "/api/v1/users/{id}/addresses/{address_id}",
        r#"userId: "{user}", addressId: "{nil}""#,
    ),
    (
        "removeOrderLine",
        "delete",
        "/api/v1/orders/{id}/lines/{line_id}",
        r#"orderId: "{order}", lineId: "{nil}""#,
    ),
    ("requestPayment", "post", "/api/v1/orders/{id}/request-payment", r#"orderId: "{order}""#),
    ("setDiscounts", "put", "/api/v1/pricing/discounts", "input: {discounts: []}"),
    (
        "setShippingAddress",
        "put",
        "/api/v1/orders/{id}/shipping-address",
        r#"orderId: "{order}", {address}"#,
    ),
    ("setTaxes", "put", "/api/v1/pricing/taxes", "input: {countries: []}"),
    ("shipOrder", "post", "/api/v1/orders/{id}/ship", RECORD),
    ("updateProduct", "patch", "/api/v1/products/{id}", r#"id: "{product}", input: {name: "b"}"#),
    ("updateUser", "patch", "/api/v1/users/{id}", r#"id: "{user}", input: {name: "Ada King"}"#),
];

pub(crate) fn graphql(query: &str) -> Request<Body> {
    let request = Request::post("/graphql").header("content-type", "application/json");
    let request = request.header("accept", "application/graphql-response+json");
    request.body(Body::from(json!({"query": query}).to_string())).unwrap()
}

/// The mutation with the ids of these subjects, and one more argument.
fn mutation(two: &Two, field: &str, arguments: &str, about: &str) -> Request<Body> {
    let line = format!(r#"{{productId: "{}", quantity: 1}}"#, two.product);
    let arguments = arguments
        .replace("{address}", ADDRESS)
        .replace("{line}", &line)
        .replace("{user}", &two.ada)
        .replace("{order}", &two.order)
        .replace("{product}", &two.product)
        .replace("{nil}", &Uuid::nil().to_string());
    graphql(&format!("mutation {{ {field}({arguments}, {about}) {{ errors {{ code }} }} }}"))
}

/// The code of a problem; of one about fields, that of the first field.
pub(super) fn rest_code(reply: &Reply) -> Value {
    let refusal = &reply.body["data"]["refusal"];
    let problem = if refusal.is_object() { refusal } else { &reply.body };
    let code = problem["errors"][0]["code"].clone();
    if code.is_null() { problem["code"].clone() } else { code }
}

/// The code with which a field, or the whole request, is refused.
pub(super) fn graphql_code(reply: &Reply, field: &str) -> Value {
    if reply.body["code"].is_string() {
        return reply.body["code"].clone();
    }
    let of_field = reply.body["errors"][0]["extensions"]["code"].clone();
    if of_field.is_null() {
        reply.body["data"][field]["errors"][0]["code"].clone()
    } else {
        of_field
    }
}

async fn fields(shop: &Shop, of: &str) -> BTreeSet<String> {
    let reply = shop.send(graphql(&format!("{{ __schema {{ {of} {{ fields {{ name }} }} }} }}")));
    let reply = reply.await;
    let fields = reply.body["data"]["__schema"][of]["fields"].as_array().unwrap().clone();
    fields.iter().map(|field| field["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_mutation_answers_everybody_as_its_operation_does() {
    let two = Two::new().await;
    let subjects = Subjects::of(&two);
    let document =
        serde_json::to_value(command_api::http::document(command_api::http::Version::V1)).unwrap();
    let rows = TABLE.iter().chain(MUTATIONS).map(|(field, ..)| (*field).to_owned()).collect();
    let mutations = fields(&two.shop, "mutationType").await;
    assert_eq!(mutations, rows, "each mutation has a row here or in the matrix of identity");
    let before = two.shop.log().await;
    for (field, method, path, arguments) in TABLE {
        for caller in CALLERS {
            let rest = rest_request(&two, &document, method, path);
            let rest = two.shop.send(sent_by(caller, &subjects, rest)).await;
            let asked = mutation(&two, field, arguments, "dryRun: true");
            let asked = sent_by(caller, &subjects, asked);
            let reply = two.shop.send(asked).await;
            assert_eq!(
                graphql_code(&reply, field),
                rest_code(&rest),
                "{caller}: {field}: {:#} {:#}",
                reply.body,
                rest.body
            );
        }
    }
    assert_eq!(two.shop.log().await, before, "a dry run changes nothing");
}

#[tokio::test]
async fn every_mutation_has_a_key_and_each_of_what_is_there_an_expected_version() {
    let two = Two::new().await;
    let before = two.shop.log().await;
    for (field, _, path, arguments) in TABLE {
        let code = async |about: &str| {
            let reply = two.shop.send(mutation(&two, field, arguments, about)).await;
            graphql_code(&reply, field)
        };
        let refused = code("idempotencyKey: \"\"").await;
        assert_eq!(refused, "idempotency/malformed-key", "{field}");
        if path.contains("{id}") {
            assert_eq!(code("expectedVersion: 99").await, "stale-version", "{field}");
        }
    }
    assert_eq!(two.shop.log().await, before);
}

#[tokio::test]
async fn what_can_be_queried_shows_only_the_caller() {
    let two = Two::new().await;
    // `_service` is the schema, `_entities` resolves none here, `viewer` is the caller.
    let queries = fields(&two.shop, "queryType").await;
    let expected = ["_service", "viewer"].map(str::to_owned);
    assert_eq!(queries, BTreeSet::from(expected));
}
