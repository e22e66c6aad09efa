//! The contract of version 1: golden files freeze what an operation answers, once with success and
//! with each typical refusal. Later versions change nothing of it.
//!
//! An operation is frozen by its golden file. `UPDATE_GOLDEN=1` writes the files of all operations:
//! after a change that is meant, and to freeze new ones. Identity is in `auth/contract.rs`.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use chrono::DateTime;
use command_api::http::Version;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::input::{golden, is_updating};
use crate::support::tokens::By as _;
use crate::support::{Reply, Shop, With as _, json_request};
use crate::values::{Things, document};

/// Headers that the layers add to every answer. They are frozen once, in `v1.headers.json`.
const COMMON: [&str; 6] = [
    "access-control-expose-headers",
    "cache-control",
    "content-security-policy",
    "referrer-policy",
    "vary",
    "x-content-type-options",
];
/// Headers that differ from one answer to the next, but are always there.
const VARYING: [&str; 2] = ["traceparent", "x-request-id"];
/// Fields that differ from one answer to the next.
const SECRETS: [&str; 5] =
    ["access_token", "api_key", "consistency_token", "position", "refresh_token"];

/// The answers of an operation, by what was asked.
#[derive(Default)]
pub(crate) struct Answers(Map<String, Value>);

impl Answers {
    pub(crate) fn add(&mut self, case: &str, reply: &Reply) {
        assert!(VARYING.iter().all(|name| !reply.header(name).is_empty()), "{case}");
        let (mut common, mut headers) = (Map::new(), Map::new());
        for (name, value) in &reply.headers {
            let name = name.as_str();
            let text = match name {
                "consistency-token" => "…",
                "content-length" => continue,
                _ if VARYING.contains(&name) => continue,
                _ => value.to_str().unwrap(),
            };
            let target = if COMMON.contains(&name) { &mut common } else { &mut headers };
            let all = target.entry(name).or_insert_with(|| json!([]));
            all.as_array_mut().unwrap().push(json!(text));
        }
        golden("v1.headers", &Value::Object(common));
        let (mut body, mut headers) = (reply.body.clone(), Value::Object(headers));
        settle(&mut body);
        settle(&mut headers);
        let status = reply.status.as_u16();
        let answer = json!({"status": status, "headers": headers, "body": body});
        let before = self.0.insert(case.to_owned(), answer);
        assert!(before.is_none(), "two cases are called {case}");
    }

    pub(crate) fn has(&self, case: &str) -> bool {
        self.0.contains_key(case)
    }

    /// Compares the answers with the golden file of the operation.
    #[track_caller]
    pub(crate) fn check(self, operation: &str) {
        golden(&format!("v1/{operation}"), &Value::Object(self.0));
    }
}

/// Replaces what differs from one run to the next, and the content of events: a dry run shows it in
/// the event's newest version, which is no part of the API's.
fn settle(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("schema_version") {
                fields.insert("schema_version".to_owned(), json!("…"));
                fields.insert("data".to_owned(), json!("…"));
            }
            for (name, value) in fields {
                if SECRETS.contains(&name.as_str()) && !value.is_null() {
                    *value = json!("…");
                }
                settle(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        Value::String(text) if DateTime::parse_from_rfc3339(text).is_ok() => {
            "<time>".clone_into(text);
        }
        Value::String(text) => *text = without_ids(text),
        _ => {}
    }
}

/// The text with a word in the place of each id, except the id that is zero.
fn without_ids(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '-';
    let mut settled = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        // Streams are called `user-ID`.
        let id = word.trim_start_matches('-');
        settled.push_str(&word[..word.len() - id.len()]);
        settled.push_str(match id.parse::<Uuid>() {
            Ok(id) if !id.is_nil() => "<id>",
            _ => id,
        });
        let next = after.chars().next();
        settled.extend(next);
        rest = &after[next.map_or(0, char::len_utf8)..];
    }
    settled
}

/// An operation, as the document describes it.
struct Operation<'d> {
    id: &'d str,
    method: String,
    path: &'d str,
    schema: Option<&'d Value>,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, described) in item.as_object().unwrap() {
            let content = "/requestBody/content/application~1json/schema";
            found.push(Operation {
                id: described["operationId"].as_str().unwrap(),
                method: method.to_uppercase(),
                path,
                schema: described.pointer(content),
            });
        }
    }
    found
}

/// The requests for one operation of a shop that is ready for it.
struct Asked<'d> {
    operation: &'d Operation<'d>,
    shop: Shop,
    path: String,
    body: Value,
}

impl<'d> Asked<'d> {
    async fn new(document: &Value, operation: &'d Operation<'d>) -> Self {
        let shop = Shop::new();
        let things = Things::of(&shop, document, 0).await;
        let (user, order) = (&things.user, &things.of_path["/api/v1/orders"]);
        let verb = |verb: &str| format!("/api/v1/orders/{order}/{verb}");
        let before: &[&str] = match operation.id {
            "recordPayment" | "requestPayment" => &["confirm"],
            "shipOrder" | "refundOrder" => &["confirm", "record-payment"],
            "deliverOrder" => &["confirm", "record-payment", "ship"],
            _ => &[],
        };
        for step in before {
            let note = if *step == "confirm" { json!({}) } else { json!({"reason": "seen"}) };
            shop.post(&verb(step), note).await.ok();
        }
        let mut path = things.at(operation.path);
        if operation.id == "reactivateUser" {
            shop.delete(&format!("/api/v1/users/{user}")).await.ok();
        }
        if operation.id == "removeOrderLine" {
            let line = json!({"product_id": things.product, "quantity": 1});
            let added = shop.post(&verb("lines"), line).await;
            added.made();
            path = verb(&format!("lines/{}", added.body["data"]["line_id"].as_str().unwrap()));
        }
        let mut body = match operation.schema {
            Some(_) if operation.id == "runCommands" => {
                json!({"commands": [{"type": "cancelOrder", "id": order}]})
            }
            Some(schema) => things.valid(document, "", schema),
            None => Value::Null,
        };
        if operation.id == "refundOrder" {
            body["amount"] = json!("1.00");
        }
        Self { operation, shop, path, body }
    }

    fn request(&self, query: &str, body: &Value) -> Request<Body> {
        self.request_to(&format!("{}{query}", self.path), body)
    }

    fn request_to(&self, path: &str, body: &Value) -> Request<Body> {
        let method = &self.operation.method;
        if body.is_null() {
            return Request::builder()
                .method(method.as_str())
                .uri(path)
                .body(Body::empty())
                .unwrap();
        }
        json_request(method, path, body)
    }

    fn valid(&self) -> Request<Body> {
        self.request("", &self.body)
    }

    /// The requests that are refused, each for one reason.
    fn refused(&self) -> Vec<(&'static str, Request<Body>)> {
        let stranger = Uuid::now_v7().to_string();
        let mut cases = vec![
            ("not signed in", self.valid().by_nobody()),
            ("not allowed", self.valid().by(&stranger)),
            ("a token that is not valid", self.valid().with_token("x")),
            ("an unknown parameter", self.request("?colour=red", &self.body)),
            ("a malformed key", self.valid().with("idempotency-key", "a b")),
            ("a malformed precondition", self.valid().with("if-match", "1")),
            ("an older version", self.valid().with("if-match", "\"99\"")),
            ("another version of the API", self.valid().with("api-version", "2")),
        ];
        if self.operation.path.contains("{id}") {
            let path = self.operation.path.replace("{id}", &stranger);
            let path = path.replace("{line_id}", &stranger).replace("{address_id}", &stranger);
            cases.push(("nothing there", self.request_to(&path, &self.body)));
        }
        if self.operation.schema.is_some() {
            let mut more = self.body.clone();
            more["surprise"] = json!(true);
            let other = |kind: &str, text: &'static str| {
                let mut request = self.valid();
                request.headers_mut().insert("content-type", kind.parse().unwrap());
                *request.body_mut() = Body::from(text);
                request
            };
            cases.extend([
                ("an empty object", self.request("", &json!({}))),
                ("an unknown field", self.request("", &more)),
                ("malformed JSON", other("application/json", "{")),
                ("an array", other("application/json", "[]")),
                ("another media type", other("text/plain", "{}")),
            ]);
        }
        cases
    }
}

#[tokio::test]
async fn the_answers_of_version_1_are_frozen() {
    let document = document(Version::V1);
    let frozen = frozen();
    for operation in operations(&document) {
        if !is_updating() && !frozen.contains(operation.id) {
            continue;
        }
        let asked = Asked::new(&document, &operation).await;
        let mut answers = Answers::default();
        let before = asked.shop.types().await;
        for (case, request) in asked.refused() {
            let reply = asked.shop.send(request).await;
            let is_batch = operation.id == "runCommands" && reply.status == 200;
            let is_refused = reply.status.is_client_error() || is_batch;
            assert!(is_refused, "{}, {case}: {:#}", operation.id, reply.body);
            answers.add(case, &reply);
        }
        assert_eq!(asked.shop.types().await, before, "{}", operation.id);
        answers
            .add("a dry run", &asked.shop.send(asked.request("?dry_run=true", &asked.body)).await);
        let (first, again) = if operation.id == "runCommands" {
            (asked.valid(), None)
        } else {
            let keyed = || asked.valid().with("idempotency-key", "k");
            (keyed(), Some(keyed()))
        };
        let reply = asked.shop.send(first).await;
        let hint = "what must happen before goes into `Asked::new`";
        assert!(reply.status.is_success(), "{}: {hint}; {:#}", operation.id, reply.body);
        answers.add("success", &reply);
        if let Some(again) = again {
            answers.add("a repeat", &asked.shop.send(again).await);
        }
        // Most resources are in another state by now.
        answers.add("the same once more", &asked.shop.send(asked.valid()).await);
        answers.check(operation.id);
    }
}

#[test]
fn every_golden_file_is_of_an_operation() {
    // Then the other tests are writing them.
    if is_updating() {
        return;
    }
    let document = serde_json::to_value(command_api::http::document(Version::V1)).unwrap();
    let operations = operations(&document);
    let operations: BTreeSet<&str> = operations.iter().map(|operation| operation.id).collect();
    let frozen = frozen();
    assert!(!frozen.is_empty());
    let gone = frozen.iter().filter(|id| !operations.contains(id.as_str())).collect::<Vec<_>>();
    assert!(gone.is_empty(), "version 1 no longer has {gone:?}");
}

/// The ids of the operations that have a golden file.
fn frozen() -> BTreeSet<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/v1");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn ids_and_times_are_no_part_of_the_contract() {
    let id = Uuid::now_v7();
    let mut value = json!({
        "instance": format!("/api/v1/users/{id}/orders"),
        "email": format!("{}@example.com", id.simple()),
        "timestamp": "2026-01-05T12:00:00Z",
        "consistency_token": "x",
        "stream": format!("user-{id}"),
        "items": [id, Uuid::nil()],
        "position": 7,
        "version": 1,
        "words": "added - face",
        "events": [{"type": "user.renamed", "schema_version": 2, "data": {"name": "Ada"}}],
    });
    settle(&mut value);
    let expected = json!({
        "instance": "/api/v1/users/<id>/orders",
        "email": "<id>@example.com",
        "timestamp": "<time>",
        "consistency_token": "…",
        "stream": "user-<id>",
        "items": ["<id>", Uuid::nil()],
        "position": "…",
        "version": 1,
        "words": "added - face",
        "events": [{"type": "user.renamed", "schema_version": "…", "data": "…"}],
    });
    assert_eq!(value, expected);
}
