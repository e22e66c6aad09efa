//! Tests of values in bodies and paths. Only their published formats are accepted, and nothing that
//! the log cannot store.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Request;
use command_api::http::Version;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::postgres;
use crate::support::{Reply, Shop, json_request};

/// Values at and beyond the bounds of a format, and of other types.
fn extremes() -> Vec<Value> {
    let texts = [
        "",
        " ",
        "\u{0}",
        "a\u{0}",
        "\u{200b}",
        "\u{202e}a",
        "\u{10ffff}",
        "\u{fffe}",
        "\\u0000",
        "'; DROP TABLE events; --",
        "-1",
        "1e400",
        "99999999999999999999.99",
        "0.001",
        "-0.00",
        "USD",
        "DEM",
        "XXX",
        "usd",
        "1998-12-31T23:59:60.9Z",
        "1997 - 01 - 01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "+262142-12-31T23:59:59Z",
        "-262143-01-01T00:00:00Z",
        "1997-01-12T00:00:00.1234567Z",
        "019A0000-0000-7000-8000-00000000000A",
        "urn:uuid:019a0000-0000-7000-8000-00000000000a",
    ];
    let mut values: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
    values.push(json!("x".repeat(10_000)));
    values.extend([
        json!(null),
        json!(true),
        json!([]),
        json!({}),
        json!([[]]),
        json!({"a": "\u{0}"}),
    ]);
    values.extend([
        json!(-1),
        json!(0),
        json!(1.0),
        json!(1.5),
        json!(1e300),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
    ]);
    values
}

/// Rust words that must not reach clients.
const RUST: &[&str] = &[
    "i64",
    "u64",
    "u32",
    "usize",
    "struct",
    "variant",
    "Option",
    "NaiveDate",
    "DateTime",
    "Uuid",
    "sequence",
    "premature end",
    "trailing input",
    "floating point",
    "UUID parsing",
];

/// Resources that exist in the shop, for paths and bodies to name.
pub(crate) struct Things {
    pub(crate) user: String,
    pub(crate) product: String,
    /// A product that no path names, for a body that names a second one.
    other_product: String,
    /// An address of the user.
    pub(crate) address: String,
    /// One of each collection that has resources with an id, by the collection's path.
    pub(crate) of_path: BTreeMap<String, String>,
}

impl Things {
    pub(crate) async fn of(shop: &Shop, document: &Value, number: usize) -> Self {
        let (user, product) =
            (shop.user(&format!("u{number}@example.com")).await, shop.product("1.00").await);
        let order = shop.order(&user, &product).await;
        let known = [("users", &user), ("products", &product), ("orders", &order)];
        let known = known.into_iter().flat_map(|(name, id)| {
            Version::ALL.map(|version| (format!("{}/{name}", version.prefix()), id.clone()))
        });
        let of_path = known.collect();
        let address = shop.address(&user).await;
        let other_product = shop.product("1.00").await;
        let mut things = Self { user, product, other_product, address, of_path };
        for path in document["paths"].as_object().unwrap().keys() {
            let Some((collection, _)) = path.split_once("/{id}") else { continue };
            if !things.of_path.contains_key(collection) {
                let made = things.make(shop, document, collection).await;
                things.of_path.insert(collection.to_owned(), made);
            }
        }
        things
    }

    /// Creates a resource by the POST that the document describes. The numbers in it leave room
    /// for the least one.
    async fn make(&self, shop: &Shop, document: &Value, collection: &str) -> String {
        let content = "/post/requestBody/content/application~1json/schema";
        let schema = document["paths"][collection].pointer(content).unwrap_or_else(|| {
            panic!("POST {collection} does not create one: create it in `Things::of`")
        });
        let mut body = self.valid(document, "", schema);
        for number in body.as_object_mut().unwrap().values_mut().filter(|value| value.is_number()) {
            *number = json!(2);
        }
        shop.post(collection, body).await.made()
    }

    pub(crate) fn at(&self, path: &str) -> String {
        let id = path.split_once("/{id}").map_or("", |(collection, _)| &self.of_path[collection]);
        let part = if path.contains("{address_id}") {
            self.address.clone()
        } else {
            Uuid::now_v7().to_string()
        };
        path.replace("{id}", id).replace("{line_id}", &part).replace("{address_id}", &part)
    }

    /// A value that is valid for this schema.
    pub(crate) fn valid(&self, document: &Value, name: &str, schema: &Value) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let schema = document.pointer(reference.trim_start_matches('#')).unwrap();
            return self.valid(document, name, schema);
        }
        if let Some(either) = schema["oneOf"].as_array() {
            let object = either.iter().find(|one| one["type"] != "null").unwrap();
            return self.valid(document, name, object);
        }
        // A pattern of its own has an example, and so has an object whose fields exclude others.
        if let Some(example) = schema.get("example")
            && (schema["pattern"].is_string() || schema["type"] == "object")
        {
            return example.clone();
        }
        let types = &schema["type"];
        let not_null = |types: &Vec<Value>| types.iter().find(|one| *one != "null").cloned();
        let kind = types.as_array().and_then(not_null).unwrap_or_else(|| types.clone());
        match (kind.as_str(), schema["format"].as_str()) {
            (Some("object"), _) => {
                let fields = schema["properties"].as_object().unwrap();
                let valid = fields
                    .iter()
                    .map(|(name, schema)| (name.clone(), self.valid(document, name, schema)));
                Value::Object(valid.collect())
            }
            (Some("array"), _) => json!([self.valid(document, name, &schema["items"])]),
            (Some("integer"), _) => json!(1),
            (Some("boolean"), _) => json!(true),
            (_, Some("uuid")) if name == "id" => json!(Uuid::now_v7()),
            (_, Some("uuid")) => json!(match name {
                "user_id" => &self.user,
                "to_product_id" => &self.other_product,
                _ => &self.product,
            }),
            (_, Some("date-time")) => json!("1997-01-12T00:00:00Z"),
            (_, Some("email")) => json!(format!("{}@example.com", Uuid::now_v7().simple())),
            _ if name == "currency" => json!("USD"),
            _ if name == "unit_price" => json!("1.00"),
            _ if schema["enum"].is_array() => {
                schema["examples"].get(0).unwrap_or(&schema["enum"][0]).clone()
            }
            _ if schema.get("const").is_some() => schema["const"].clone(),
            (Some("string"), _) => json!("Ada"),
            other => panic!("{name}: what is a value of {other:?}?"),
        }
    }
}

/// The JSON pointers of all values in a body.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| pointers(value, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| pointers(value, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

/// The document without identity, whose values need accounts (`auth/`). Its shop has none.
pub(crate) fn document(version: Version) -> Value {
    let mut document = serde_json::to_value(command_api::http::document(version)).unwrap();
    let identity = format!("{}/auth/", version.prefix());
    document["paths"].as_object_mut().unwrap().retain(|path, _| !path.starts_with(&identity));
    document
}

/// A schema with all that it refers to in place.
fn resolved(document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return resolved(document, document.pointer(reference.trim_start_matches('#')).unwrap());
    }
    match schema {
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| (name.clone(), resolved(document, value)));
            Value::Object(fields.collect())
        }
        Value::Array(items) => items.iter().map(|item| resolved(document, item)).collect(),
        other => other.clone(),
    }
}

/// The bodies of a version, without those that the version before has under the same path: they
/// are read by the same code.
fn new_bodies(version: Version) -> Vec<(String, String, Value)> {
    let document = document(version);
    let mut found = bodies(&document);
    if version == Version::V2 {
        let before = self::document(Version::V1);
        let known: Vec<_> = bodies(&before)
            .into_iter()
            .map(|(method, path, schema)| (method, path, resolved(&before, &schema)))
            .collect();
        found.retain(|(method, path, schema)| {
            let path = path.replacen(version.prefix(), Version::V1.prefix(), 1);
            !known.contains(&(method.clone(), path, resolved(&document, schema)))
        });
    }
    assert!(!found.is_empty());
    found
}

/// Every operation with a body: its method, path and body schema.
fn bodies(document: &Value) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        // Its bodies are those of the other operations, under other names (commands.rs).
        if path.ends_with("/commands") {
            continue;
        }
        for (method, operation) in item.as_object().unwrap() {
            if let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema")
            {
                found.push((method.to_uppercase(), path.clone(), schema.clone()));
            }
        }
    }
    assert!(found.len() >= 8, "{found:?}");
    found
}

fn assert_in_words_of_json(reply: &Reply, place: &str) {
    for error in reply.body["errors"].as_array().into_iter().flatten() {
        let detail = error["detail"].as_str().unwrap();
        let words: Vec<&&str> = RUST.iter().filter(|word| detail.contains(**word)).collect();
        assert!(words.is_empty(), "{place}: {detail:?} speaks of {words:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_of_any_body_is_let_in_that_the_log_cannot_hold() {
    let database = postgres::database().await;
    let shop = postgres::shop(&database).await;
    let bodies = Version::ALL.into_iter().flat_map(|version| {
        new_bodies(version).into_iter().map(move |body| (document(version), body))
    });
    for (number, (document, (method, path, schema))) in bodies.enumerate() {
        let things = Things::of(&shop, &document, number).await;
        let mut places = Vec::new();
        pointers(&things.valid(&document, "", &schema), "", &mut places);
        for place in places {
            for extreme in extremes() {
                let mut body = things.valid(&document, "", &schema);
                *body.pointer_mut(&place).unwrap() = extreme.clone();
                let reply = shop.send(json_request(&method, &things.at(&path), &body)).await;
                let asked = format!("{method} {path} with {extreme} at {place:?}");
                assert!(reply.status.as_u16() < 500, "{asked}: {:#}", reply.body);
                assert_in_words_of_json(&reply, &asked);
            }
        }
    }
}

#[tokio::test]
async fn a_value_has_the_form_that_its_published_schema_says() {
    let shop = Shop::new();
    let bodies = Version::ALL.into_iter().flat_map(|version| {
        new_bodies(version).into_iter().map(move |body| (document(version), body))
    });
    for (number, (document, (method, path, schema))) in bodies.enumerate() {
        let things = Things::of(&shop, &document, number).await;
        let mut places = Vec::new();
        pointers(&things.valid(&document, "", &schema), "", &mut places);
        for place in places {
            let mut body = things.valid(&document, "", &schema);
            let value = body.pointer_mut(&place).unwrap();
            let bad: Vec<Value> = match value {
                Value::Number(_) => {
                    *value = json!(1.0);
                    let reply = shop.send(json_request(&method, &things.at(&path), &body)).await;
                    assert!(
                        reply.status.is_success(),
                        "{method} {path} {body}: 1.0 is an integer: {:#}",
                        reply.body
                    );
                    vec![json!("1"), json!(1.5), json!(null), json!(1e30)]
                }
                Value::String(text) if text.parse::<Uuid>().is_ok() => {
                    let id: Uuid = text.parse().unwrap();
                    let upper = id.to_string().to_uppercase();
                    vec![
                        json!(upper),
                        json!(id.urn().to_string()),
                        json!(id.braced().to_string()),
                        json!(id.simple().to_string()),
                    ]
                }
                Value::String(text) if text.ends_with('Z') => {
                    let forms = [
                        "1997 - 01 - 12T00:00:00Z",
                        "1997-01-12T00:00:00+0100",
                        "1997-01-12T00:00:00UTC",
                        "1997-01-12 00:00:00Z",
                    ];
                    forms
                        .iter()
                        .chain(&["1998-12-31T23:59:60.9Z", "1997-01-12T00:00:00.0000001Z"])
                        .map(|form| json!(form))
                        .collect()
                }
                _ => continue,
            };
            for bad in bad {
                *body.pointer_mut(&place).unwrap() = bad;
                let reply = shop.send(json_request(&method, &things.at(&path), &body)).await;
                reply.wrong(&[(&place, "invalid")]);
                assert_in_words_of_json(&reply, &format!("{method} {path} {body}"));
            }
        }
    }
}

#[tokio::test]
async fn every_id_and_time_is_published_with_the_pattern_of_its_reader() {
    fn check(schema: &Value, place: &str) {
        if let Some(fields) = schema.as_object() {
            let is_format = ["uuid", "date", "date-time", "email"]
                .iter()
                .any(|format| schema["format"] == *format);
            assert!(
                !is_format || schema["pattern"].is_string(),
                "{place} is read by another reader than the strict one: {schema}"
            );
            fields.iter().for_each(|(name, schema)| check(schema, &format!("{place}/{name}")));
        } else if let Some(items) = schema.as_array() {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| check(item, &format!("{place}/{index}")));
        }
    }
    for version in Version::ALL {
        let document = serde_json::to_value(command_api::http::document(version)).unwrap();
        for (method, path, schema) in bodies(&document) {
            check(&resolved(&document, &schema), &format!("{method} {path}"));
        }
        for (path, item) in document["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                check(&operation["parameters"], path);
            }
        }
    }
}

#[tokio::test]
async fn a_resource_has_one_address() {
    let shop = Shop::new();
    let things = Things::of(&shop, &document(Version::V1), 0).await;
    let id: Uuid = things.user.parse().unwrap();
    let rename =
        |id: &str| json_request("PATCH", &format!("/api/v1/users/{id}"), &json!({"name": "Eve"}));
    let others = [
        id.to_string().to_uppercase(),
        id.simple().to_string(),
        id.urn().to_string(),
        format!("%7B{id}%7D"),
    ];
    for other in others.into_iter().chain([format!("%30{}", &things.user[1..])]) {
        shop.send(rename(&other)).await.problem(404, "not-found");
    }
    shop.send(rename(&things.user)).await.ok();
}

#[tokio::test]
async fn a_name_has_something_to_see_and_does_not_turn_the_text_behind_it() {
    let shop = Shop::new();
    let product = |name: &str| json!({"name": name, "unit_price": "1.00", "currency": "USD"});
    for (name, code) in [
        ("\u{200b}\u{2060}", "name/empty"),
        ("\u{3164}", "name/empty"),
        ("cd\u{202e}gpj", "name/direction-override"),
        ("cd\u{2066}", "name/direction-override"),
        ("cd\u{2028}", "name/control-character"),
    ] {
        let name =
            if code == "name/control-character" { format!("{name}x") } else { name.to_owned() };
        shop.post("/api/v1/products", product(&name)).await.wrong(&[("/name", code)]);
        shop.post("/api/v1/users", json!({"email": "a@example.com", "name": name}))
            .await
            .wrong(&[("/name", code)]);
    }
    shop.post("/api/v1/products", product("👩\u{200d}🚀 نامه\u{200c}ای")).await.made();
}

#[tokio::test]
async fn new_prices_take_the_currencies_of_today_and_imports_those_of_their_time_too() {
    let shop = Shop::new();
    let things = Things::of(&shop, &document(Version::V1), 0).await;
    let priced = |currency: &str| json!({"name": "cd", "unit_price": "5.00", "currency": currency});
    for withdrawn in ["DEM", "HRK", "BGN", "ZWL", "CUC"] {
        shop.post("/api/v1/products", priced(withdrawn))
            .await
            .wrong(&[("/currency", "currency/withdrawn")]);
        let price = json!({"unit_price": "5.00", "currency": withdrawn});
        shop.patch(&format!("/api/v1/products/{}", things.product), price)
            .await
            .wrong(&[("/currency", "currency/withdrawn")]);
    }
    for unknown in ["XXX", "XAU", "ABC", "eur"] {
        shop.post("/api/v1/products", priced(unknown))
            .await
            .wrong(&[("/currency", "currency/unknown")]);
    }
    for (currency, price, minor) in
        [("DEM", "14.67", 1467), ("ITL", "1467", 1467), ("EUR", "14.67", 1467)]
    {
        let line = json!({"product_id": things.product, "quantity": 1, "unit_price": price});
        let order = json!({"user_id": things.user, "ordered_at": "1997-01-12T00:00:00Z",
            "currency": currency, "lines": [line]});
        shop.post("/api/v1/orders/import", order).await.made();
        let (_, placed) = shop.log().await.pop().unwrap();
        assert_eq!(placed["total"], json!({"minor": minor, "currency": currency}));
    }
}

#[tokio::test]
async fn one_content_type_is_read_and_it_is_the_published_one() {
    let shop = Shop::new();
    let body = json!({"email": "ada@example.com", "name": "Ada"}).to_string();
    let request = |kind: &str| {
        Request::post("/api/v1/users")
            .header("content-type", kind)
            .body(Body::from(body.clone()))
            .unwrap()
    };
    for kind in [
        "application/merge-patch+json",
        "application/json; charset=latin1",
        "application/jsonx",
        "application/json, a/b",
    ] {
        shop.send(request(kind)).await.problem(415, "unsupported-media-type");
    }
    shop.send(request("Application/JSON; charset=\"UTF-8\"")).await.made();
}
