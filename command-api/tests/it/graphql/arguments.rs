//! Every argument of every mutation arrives: the same steps over GraphQL and over REST leave the
//! same events.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{data, request};
use crate::support::{Shop, json_request};

/// A mutation with its arguments, and the method, the path and the body of its operation.
const STEPS: &[(&str, &str, &str)] = &[
    (
        r#"createUser(input: {id: "{user}", email: "ada@example.com", name: "Ada"})"#,
        "POST /api/v1/users",
        r#"{"id": "{user}", "email": "ada@example.com", "name": "Ada"}"#,
    ),
    (
        r#"updateUser(id: "{user}", input: {email: "new@example.com", name: "Ada King",
            profile: {displayName: "Countess", locale: "de-AT", phone: "+43123456789"},
            preferences: {language: "de", currency: "EUR", newsletter: true}})"#,
        "PATCH /api/v1/users/{user}",
        r#"{"email": "new@example.com", "name": "Ada King",
            "profile": {"display_name": "Countess", "locale": "de-AT", "phone": "+43123456789"},
            "preferences": {"language": "de", "currency": "EUR", "newsletter": true}}"#,
    ),
    (
        r#"updateUser(id: "{user}", input: {profile: {locale: null},
            preferences: {language: null}})"#,
        "PATCH /api/v1/users/{user}",
        r#"{"profile": {"locale": null}, "preferences": {"language": null}}"#,
    ),
    (
        r#"classifyUser(id: "{user}", customerType: "reseller")"#,
        "PUT /api/v1/users/{user}/customer-type",
        r#"{"customer_type": "reseller"}"#,
    ),
    (
        r#"addAddress(userId: "{user}", input: {label: "home", recipient: "Ada", street: "Ring 1",
            city: "Wien", postalCode: "1010", country: "AT", region: "9"})"#,
        "POST /api/v1/users/{user}/addresses",
        r#"{"label": "home", "recipient": "Ada", "street": "Ring 1", "city": "Wien",
            "postal_code": "1010", "country": "AT", "region": "9"}"#,
    ),
    (
        r#"changeAddress(userId: "{user}", addressId: "{address}", input: {label: "work",
            recipient: "Eve", street: "Weg 2", city: "Graz", postalCode: "8010", country: "AT",
            region: "6"})"#,
        "PUT /api/v1/users/{user}/addresses/{address}",
        r#"{"label": "work", "recipient": "Eve", "street": "Weg 2", "city": "Graz",
            "postal_code": "8010", "country": "AT", "region": "6"}"#,
    ),
    (
        r#"removeAddress(userId: "{user}", addressId: "{address}")"#,
        "DELETE /api/v1/users/{user}/addresses/{address}",
        "",
    ),
    (
        r#"addProduct(input: {id: "{product}", name: "cd", unitPrice: "1.50", currency: "USD",
            stock: 7})"#,
        "POST /api/v1/products",
        r#"{"id": "{product}", "name": "cd", "unit_price": "1.50", "currency": "USD", "stock": 7}"#,
    ),
    (
        r#"addProduct(input: {id: "{other}", name: "lp", unitPrice: "3.00", currency: "USD"})"#,
        "POST /api/v1/products",
        r#"{"id": "{other}", "name": "lp", "unit_price": "3.00", "currency": "USD"}"#,
    ),
    (
        r#"updateProduct(id: "{product}", input: {name: "dvd", unitPrice: "2.50",
            currency: "USD"})"#,
        "PATCH /api/v1/products/{product}",
        r#"{"name": "dvd", "unit_price": "2.50", "currency": "USD"}"#,
    ),
    (
        r#"classifyProduct(id: "{product}", rateClass: "reduced")"#,
        "PUT /api/v1/products/{product}/rate-class",
        r#"{"rate_class": "reduced"}"#,
    ),
    (
        r#"adjustStock(id: "{product}", delta: -2)"#,
        "POST /api/v1/products/{product}/stock",
        r#"{"delta": -2}"#,
    ),
    (
        r#"receiveStock(id: "{product}", quantity: 5)"#,
        "POST /api/v1/products/{product}/stock/receive",
        r#"{"quantity": 5}"#,
    ),
    (
        r#"moveStock(id: "{product}", toProductId: "{other}", quantity: 3)"#,
        "POST /api/v1/products/{product}/stock/move",
        r#"{"to_product_id": "{other}", "quantity": 3}"#,
    ),
    (
        r#"setDiscounts(input: {discounts: [
            {id: "{discount}", rate: 100000, customerType: "reseller",
                from: "2020-01-01T00:00:00Z", until: "2100-01-01T00:00:00Z"},
            {id: "{amount}", amount: "0.10", currency: "USD"}]})"#,
        "PUT /api/v1/pricing/discounts",
        r#"{"discounts": [
            {"id": "{discount}", "rate": 100000, "customer_type": "reseller",
                "from": "2020-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"},
            {"id": "{amount}", "amount": "0.10", "currency": "USD"}]}"#,
    ),
    (
        r#"setTaxes(input: {countries: [{country: "AT", mode: "inclusive", rates: [
            {rateClass: "standard", rate: 200000}, {rateClass: "reduced", rate: 130000},
            {region: "9", rateClass: "reduced", rate: 100000}]}]})"#,
        "PUT /api/v1/pricing/taxes",
        r#"{"countries": [{"country": "AT", "mode": "inclusive", "rates": [
            {"rate_class": "standard", "rate": 200000}, {"rate_class": "reduced", "rate": 130000},
            {"region": "9", "rate_class": "reduced", "rate": 100000}]}]}"#,
    ),
    (
        r#"placeOrder(input: {id: "{order}", userId: "{user}",
            lines: [{productId: "{product}", quantity: 2}],
            shippingAddress: {recipient: "Ada", street: "Ring 1", city: "Wien",
                postalCode: "1010", country: "AT", region: "9"}})"#,
        "POST /api/v1/orders",
        r#"{"id": "{order}", "user_id": "{user}",
            "lines": [{"product_id": "{product}", "quantity": 2}],
            "shipping_address": {"recipient": "Ada", "street": "Ring 1", "city": "Wien",
                "postal_code": "1010", "country": "AT", "region": "9"}}"#,
    ),
    (
        r#"setShippingAddress(orderId: "{order}", input: {recipient: "Eve", street: "Weg 2",
            city: "Graz", postalCode: "8010", country: "AT", region: "6"})"#,
        "PUT /api/v1/orders/{order}/shipping-address",
        r#"{"recipient": "Eve", "street": "Weg 2", "city": "Graz", "postal_code": "8010",
            "country": "AT", "region": "6"}"#,
    ),
    (
        r#"addOrderLine(orderId: "{order}", input: {productId: "{other}", quantity: 1})"#,
        "POST /api/v1/orders/{order}/lines",
        r#"{"product_id": "{other}", "quantity": 1}"#,
    ),
    (
        r#"removeOrderLine(orderId: "{order}", lineId: "{line}")"#,
        "DELETE /api/v1/orders/{order}/lines/{line}",
        "",
    ),
    (r#"confirmOrder(orderId: "{order}")"#, "POST /api/v1/orders/{order}/confirm", ""),
    (r#"requestPayment(orderId: "{order}")"#, "POST /api/v1/orders/{order}/request-payment", ""),
    (
        r#"recordPayment(orderId: "{order}", input: {reason: "seen", evidence: "pay_1"})"#,
        "POST /api/v1/orders/{order}/record-payment",
        r#"{"reason": "seen", "evidence": "pay_1"}"#,
    ),
    (
        r#"shipOrder(orderId: "{order}", input: {reason: "sent", evidence: "parcel_1"})"#,
        "POST /api/v1/orders/{order}/ship",
        r#"{"reason": "sent", "evidence": "parcel_1"}"#,
    ),
    (
        r#"deliverOrder(orderId: "{order}", input: {reason: "there", evidence: "receipt_1"})"#,
        "POST /api/v1/orders/{order}/deliver",
        r#"{"reason": "there", "evidence": "receipt_1"}"#,
    ),
    (
        r#"refundOrder(orderId: "{order}", input: {amount: "1.25", currency: "USD",
            reason: "broken", evidence: "refund_1"})"#,
        "POST /api/v1/orders/{order}/refund",
        r#"{"amount": "1.25", "currency": "USD", "reason": "broken", "evidence": "refund_1"}"#,
    ),
    (
        r#"placeOrder(input: {id: "{second}", userId: "{user}",
            lines: [{productId: "{product}", quantity: 1}]})"#,
        "POST /api/v1/orders",
        r#"{"id": "{second}", "user_id": "{user}",
            "lines": [{"product_id": "{product}", "quantity": 1}]}"#,
    ),
    (r#"cancelOrder(orderId: "{second}")"#, "POST /api/v1/orders/{second}/cancel", ""),
    (r#"deleteUser(id: "{user}")"#, "DELETE /api/v1/users/{user}", ""),
    (r#"reactivateUser(id: "{user}")"#, "POST /api/v1/users/{user}/reactivate", ""),
];

/// The ids in the steps that the client gives.
struct Given(Vec<(&'static str, String)>);

impl Given {
    fn new() -> Self {
        let names =
            ["{user}", "{product}", "{other}", "{discount}", "{amount}", "{order}", "{second}"];
        Self(names.map(|name| (name, Uuid::now_v7().to_string())).into())
    }

    /// The text with these ids and those that the server of this log made.
    fn fill(&self, text: &str, log: &[(String, Value)]) -> String {
        let made = |event: &str, pointer: &str| {
            let added = log.iter().rev().find(|(found, _)| found == event);
            let id = added.and_then(|(_, payload)| payload.pointer(pointer)?.as_str());
            id.unwrap_or_default().to_owned()
        };
        let text = text.replace("{address}", &made("user.address_added", "/address/address_id"));
        let text = text.replace("{line}", &made("order.line_added", "/line/line_id"));
        self.0.iter().fold(text, |text, (name, id)| text.replace(name, id))
    }
}

/// Removes the ids that the server makes.
fn comparable(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !["address_id", "line_id"].contains(&name.as_str()));
            fields.values_mut().for_each(comparable);
        }
        Value::Array(items) => items.iter_mut().for_each(comparable),
        _ => {}
    }
}

fn operation(target: &str, body: &str) -> Request<Body> {
    let (method, path) = target.split_once(' ').unwrap();
    if body.is_empty() {
        return Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    }
    json_request(method, path, &serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn the_same_steps_leave_the_same_events_as_over_rest() {
    let (given, by_graphql, by_rest) = (Given::new(), Shop::new(), Shop::new());
    let mut run = BTreeSet::new();
    for (mutation, target, body) in STEPS {
        let name = mutation.split('(').next().unwrap();
        run.insert(name.to_owned());
        let log = by_rest.log().await;
        let (target, body) = (given.fill(target, &log), given.fill(body, &log));
        let reply = by_rest.send(operation(&target, &body)).await;
        assert!(reply.status.is_success(), "{target}: {:#}", reply.body);
        let mutation = given.fill(mutation, &by_graphql.log().await);
        let query = format!("mutation {{ {mutation} {{ version errors {{ code field }} }} }}");
        let reply = by_graphql.send(request(&query, &json!({}))).await;
        let payload = &data(&reply)[name];
        assert_eq!(payload["errors"], json!([]), "{mutation}");
        let logs = [by_graphql.log().await, by_rest.log().await].map(|mut log| {
            for (_, payload) in &mut log {
                comparable(payload);
            }
            log
        });
        assert!(logs[0].len() >= run.len());
        assert_eq!(logs[0], logs[1], "{mutation}");
    }
    let query = "{ __schema { mutationType { fields { name args { name } } } } }";
    let reply = by_graphql.send(request(query, &json!({}))).await;
    let all = data(&reply)["__schema"]["mutationType"]["fields"].as_array().unwrap().clone();
    // The others change no events.
    let key = json!({"name": "idempotencyKey"});
    let commands = all.iter().filter(|field| field["args"].as_array().unwrap().contains(&key));
    let commands = commands.map(|field| field["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(run, commands, "each command is among the steps");
}
