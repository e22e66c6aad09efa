//! Tests that the examples of bodies in the document are bodies that the API takes.

use axum::body::Body;
use axum::http::Request;
use command_api::http::Version;
use serde_json::{Value, json};

use crate::support::Shop;

/// The statuses of a body that cannot be read or is not valid.
const NOT_TAKEN: [u16; 3] = [400, 415, 422];

/// The ids of resources that exist, by the names of the fields that refer to them.
struct Existing {
    user: String,
    product: String,
    other_product: String,
    order: String,
    address: String,
}

impl Existing {
    async fn of(shop: &Shop) -> Self {
        let (user, product) = (shop.user("eve@example.com").await, shop.product("1.00").await);
        let order = shop.order(&user, &product).await;
        let address = shop.address(&user).await;
        let other_product = shop.product("1.00").await;
        Self { user, product, other_product, order, address }
    }

    fn at(&self, path: &str) -> String {
        let id = match path.split('/').nth(3) {
            Some("users") => &self.user,
            Some("products") => &self.product,
            _ => &self.order,
        };
        path.replace("{id}", id).replace("{address_id}", &self.address)
    }

    /// Names resources that exist in an example.
    fn name_in(&self, example: &mut Value) {
        match example {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match name.as_str() {
                        "user_id" => *value = json!(self.user),
                        "product_id" => *value = json!(self.product),
                        "to_product_id" => *value = json!(self.other_product),
                        _ => self.name_in(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.name_in(item)),
            _ => {}
        }
    }
}

#[tokio::test]
async fn every_example_of_a_body_is_taken() {
    let shop = Shop::new();
    let existing = Existing::of(&shop).await;
    for version in Version::ALL {
        let document = serde_json::to_value(command_api::http::document(version)).unwrap();
        assert!(send_examples(&shop, &existing, &document).await > 0);
    }
}

/// Sends each example of a document, and returns their number. Identity needs accounts and mailed
/// tokens, and this shop has none.
async fn send_examples(shop: &Shop, existing: &Existing, document: &Value) -> usize {
    let mut sent = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let contents = operation["requestBody"]["content"].as_object();
            for (kind, content) in contents.into_iter().flatten() {
                if path.contains("/auth/") {
                    continue;
                }
                let mut example = content["example"].clone();
                existing.name_in(&mut example);
                let request = Request::builder()
                    .method(method.to_uppercase().as_str())
                    .uri(format!("{}?dry_run=true", existing.at(path)))
                    .header("content-type", kind)
                    .body(Body::from(example.to_string()))
                    .unwrap();
                let reply = shop.send(request).await;
                let is_taken = !NOT_TAKEN.contains(&reply.status.as_u16());
                assert!(is_taken, "{method} {path} ({kind}) {example}: {:#}", reply.body);
                sent += 1;
            }
        }
    }
    sent
}
