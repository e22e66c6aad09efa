//! The access matrix of GraphQL: each field at the root, and each that leads from one resource to
//! another, asked by everybody, answers as the operation of the REST API that shows the same. What
//! those answer is in the table of `access/matrix.rs`.
//!
//! The fields come from the schema. One without a row fails the test.

use std::collections::BTreeSet;

use query_api::http::Version;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ask, ask_as, data};
use crate::access::matrix::{CALLERS, token_of};
use crate::sockets::access::SUBSCRIPTIONS;
use crate::support::described::document;
use crate::support::tokens::token;
use crate::support::{App, UserSeed, private, send_as};

/// Each field that shows rows of a resource, the operation that shows the same, and the query.
const TABLE: &[(&str, &str, &str)] = &[
    // One line each.
    ("Query.node", "/api/v1/products/{product}", "node(id: \"{product}\") { id }"),
    ("Query.order", "/api/v1/orders/{order}", "order(id: \"{order}\") { id }"),
    ("Query.orders", "/api/v1/orders", "orders { nodes { id } }"),
    ("Query.product", "/api/v1/products/{product}", "product(id: \"{product}\") { id }"),
    ("Query.products", "/api/v1/products", "products { nodes { id } }"),
    ("Query.sales", "/api/v1/sales/daily", "sales { nodes { day } }"),
    ("Query.user", "/api/v1/users/{user}", "user(id: \"{user}\") { id }"),
    ("Query.users", "/api/v1/users", "users { nodes { id } }"),
];
/// The fields that lead from one resource to another: the permission that shows the first one
/// alone, the query, and the place of the field.
const BETWEEN: &[(&str, &str, &str, &str)] = &[
    // One line each.
    ("Order.user", "orders:read", "order(id: \"{order}\") { id user { id } }", "/order/user"),
    (
        "User.orders",
        "users:read",
        "user(id: \"{user}\") { id orders { nodes { id } } }",
        "/user/orders",
    ),
];
/// Fields that lead to products, which everybody may read.
const PUBLIC: &[&str] = &["OrderItem.product"];

pub(crate) struct Filled {
    pub(crate) app: App,
    pub(crate) user: Uuid,
    order: Uuid,
    product: Uuid,
}

impl Filled {
    pub(crate) async fn new() -> Self {
        let app = App::silent(2).await;
        let user = app.add_user(&UserSeed::number(1)).await;
        let other = app.add_user(&UserSeed::number(2)).await;
        let order = app.add_order(user, "paid", 1).await;
        app.add_order(other, "paid", 2).await;
        let product = app.add_product(0).await;
        app.add_day("2026-01-01", "USD", 100).await;
        Self { app, user, order, product }
    }

    pub(crate) fn with_ids(&self, text: &str) -> String {
        let Self { user, order, product, .. } = self;
        [("{user}", user), ("{order}", order), ("{product}", product)]
            .into_iter()
            .fold(text.to_owned(), |text, (name, id)| text.replace(name, &id.to_string()))
    }
}

/// The fields of the schema that show rows of a resource, as `Type.field`: those at the root, and
/// those whose type is a resource or a list of one.
async fn fields(app: &App) -> BTreeSet<String> {
    let query =
        "{ __schema { types { name kind fields { name type { name ofType { name } } } } } }";
    let answer = ask(app, query, &json!({})).await;
    let types = data(&answer)["__schema"]["types"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resources: BTreeSet<String> = types
        .iter()
        .map(|one| text(&one["name"]))
        .filter_map(|name| name.strip_suffix("Connection").map(str::to_owned))
        .collect();
    let mut found = BTreeSet::new();
    for object in types.iter().filter(|one| one["kind"] == "OBJECT") {
        let owner = text(&object["name"]);
        // A list leads to its own items, and an event to its own row.
        let own = ["Connection", "Edge", "Event"];
        if owner.starts_with("__") || own.iter().any(|end| owner.ends_with(end)) {
            continue;
        }
        for field in object["fields"].as_array().unwrap() {
            let (name, of) = (text(&field["name"]), &field["type"]);
            let type_name =
                if of["name"].is_null() { text(&of["ofType"]["name"]) } else { text(&of["name"]) };
            let is_resource = resources.contains(type_name.trim_end_matches("Connection"));
            let is_root = owner == "Query" && !name.starts_with('_') || owner == "Subscription";
            if is_root || is_resource {
                found.insert(format!("{owner}.{name}"));
            }
        }
    }
    found
}

#[tokio::test]
async fn every_field_that_shows_rows_has_a_row() {
    let app = App::silent(1).await;
    let rows = TABLE.iter().map(|(field, ..)| *field);
    let rows = rows.chain(BETWEEN.iter().map(|(field, ..)| *field)).chain(PUBLIC.iter().copied());
    let rows = rows.chain(SUBSCRIPTIONS.iter().map(|(field, ..)| *field));
    assert_eq!(fields(&app).await, rows.map(str::to_owned).collect());
}

#[tokio::test]
async fn what_rest_sends_live_updates_of_is_a_subscription_too_and_nothing_else_is() {
    let document = document(Version::V1);
    let is_live = |path: &str| {
        let path = ["user", "order", "product"]
            .iter()
            .fold(path.to_owned(), |path, name| path.replace(&format!("{{{name}}}"), "{id}"));
        let content = &document["paths"][&path]["get"]["responses"]["200"]["content"];
        assert!(content.is_object(), "{path} is no operation");
        content.get("text/event-stream").is_some()
    };
    // `node` is another way to ask for a user, an order or a product.
    let queries = TABLE.iter().filter(|(field, ..)| *field != "Query.node");
    let live: BTreeSet<(&str, &str)> = queries
        .filter(|(_, path, _)| is_live(path))
        .map(|(field, path, _)| (field.trim_start_matches("Query."), *path))
        .collect();
    let subscriptions: BTreeSet<(&str, &str)> = SUBSCRIPTIONS
        .iter()
        .map(|(field, path, _)| (field.trim_start_matches("Subscription."), *path))
        .collect();
    let lacking: Vec<_> = live.difference(&subscriptions).collect();
    assert!(lacking.is_empty(), "REST sends live updates of {lacking:?}, and no subscription does");
    for (field, path) in subscriptions {
        assert!(
            is_live(path),
            "{field} is a subscription, and REST sends no live updates of {path}"
        );
    }
}

#[tokio::test]
async fn every_field_answers_everybody_as_its_operation_does() {
    let filled = Filled::new().await;
    for (field, path, query) in TABLE {
        let (path, query) = (filled.with_ids(path), filled.with_ids(query));
        let name = field.trim_start_matches("Query.");
        for caller in CALLERS {
            let token = token_of(caller, filled.user);
            let rest = axum::http::Request::get(&path).body(axum::body::Body::empty()).unwrap();
            let rest = send_as(&filled.app.router, token.as_deref(), rest).await;
            let query = format!("{{ {query} }}");
            let answer = ask_as(&filled.app, token.as_deref(), &query, &json!({})).await;
            let shown = &answer.body["data"][name];
            let told = format!("{caller}: {field}: {:#} {:#}", answer.body, rest.body);
            match rest.status.as_u16() {
                200 if rest.body["data"].is_array() => {
                    let rows = rest.body["data"].as_array().unwrap().len();
                    assert_eq!(shown["nodes"].as_array().unwrap().len(), rows, "{told}");
                }
                200 => assert_eq!(shown["id"], rest.body["data"]["id"], "{told}"),
                404 => {
                    assert_eq!(data(&answer)[name], Value::Null, "{told}");
                }
                status => {
                    assert_eq!(*shown, Value::Null, "{told}");
                    let extensions = &answer.body["errors"][0]["extensions"];
                    // A token that is not valid refuses the whole request.
                    let code = if answer.status == 200 { extensions } else { &answer.body };
                    assert_eq!(code["code"], rest.body["code"], "{told}");
                    assert_eq!(code["status"], status, "{told}");
                }
            }
        }
    }
}

#[tokio::test]
async fn who_may_see_one_resource_alone_is_not_led_to_another() {
    let filled = Filled::new().await;
    for (field, permission, query, place) in BETWEEN {
        let query = format!("{{ {} }}", filled.with_ids(query));
        let narrow = crate::support::tokens::token(filled.user, permission.parse().unwrap());
        let answer = ask_as(&filled.app, Some(&narrow), &query, &json!({})).await;
        let shown = &answer.body["data"];
        assert_eq!(shown.pointer(place), Some(&Value::Null), "{field}: {:#}", answer.body);
        let (parent, _) = place.rsplit_once('/').unwrap();
        assert!(shown.pointer(parent).unwrap()["id"].is_string(), "{field}: {:#}", answer.body);
        let code = &answer.body["errors"][0]["extensions"]["code"];
        assert_eq!(code, "insufficient-scope", "{field}");
        let whole = ask(&filled.app, &query, &json!({})).await;
        assert!(data(&whole).pointer(place).unwrap().is_object(), "{field}");
    }
}

#[tokio::test]
async fn where_products_are_not_public_they_are_shown_to_nobody_without_the_permission() {
    let filled = Filled::new().await;
    let lines = "UPDATE orders_g1.orders SET lines = jsonb_set(lines, '{0,product_id}', $1)";
    let lines = sqlx::query(lines).bind(json!(filled.product));
    lines.execute(&filled.app.writer).await.unwrap();
    let router = private(filled.app.pools.clone(), filled.app.watcher.clone());
    let answer = async |token: Option<&str>, query: &str| {
        let request = super::request(&filled.with_ids(query), &json!({}));
        send_as(&router, token, request).await.body
    };
    let customer = token(filled.user, "orders:read.own".parse().unwrap());
    let clerk = token(filled.user, "orders:read.own products:read".parse().unwrap());
    let node = "{ node(id: \"{product}\") { id } }";
    let below = "{ order(id: \"{order}\") { items { product { id } } } }";
    for (query, place) in [
        ("{ product(id: \"{product}\") { id } }", "/data/product"),
        ("{ products { nodes { id } } }", "/data/products"),
        (below, "/data/order/items/0/product"),
    ] {
        let refused = answer(Some(&customer), query).await;
        assert_eq!(refused.pointer(place), Some(&Value::Null), "{refused:#}");
        assert_eq!(refused["errors"][0]["extensions"]["code"], "insufficient-scope", "{query}");
        let shown = answer(Some(&clerk), query).await;
        assert!(shown.pointer(place).unwrap().is_object(), "{shown:#}");
        assert_eq!(shown.get("errors"), None, "{query}");
    }
    let hidden = answer(Some(&customer), node).await;
    assert_eq!((&hidden["data"]["node"], hidden.get("errors")), (&Value::Null, None));
    for query in [node, "{ product(id: \"{product}\") { id } }", "{ products { nodes { id } } }"] {
        let refused = answer(None, query).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "sign-in", "{refused:#}");
    }
    let search = axum::http::Request::get("/api/v1/search?q=product");
    let search = search.body(axum::body::Body::empty()).unwrap();
    assert_eq!(send_as(&router, None, search).await.status, 401);
}

#[tokio::test]
async fn what_lies_below_is_narrowed_to_the_caller_too() {
    let filled = Filled::new().await;
    let query = filled.with_ids(
        "{ user(id: \"{user}\") { orders { nodes { id } } }
           order(id: \"{order}\") { user { id } } }",
    );
    // This caller sees everybody's users, but only their own orders: none.
    let grants = "users:read orders:read.own".parse().unwrap();
    let other = crate::support::tokens::token(Uuid::from_u128(1), grants);
    let answer = ask_as(&filled.app, Some(&other), &query, &json!({})).await;
    assert_eq!(*data(&answer), json!({"user": {"orders": {"nodes": []}}, "order": null}));
    // And this one everybody's orders, but only their own user.
    let grants = "users:read.own orders:read".parse().unwrap();
    let other = crate::support::tokens::token(Uuid::from_u128(1), grants);
    let answer = ask_as(&filled.app, Some(&other), &query, &json!({})).await;
    assert_eq!(*data(&answer), json!({"user": null, "order": {"user": null}}));
}
