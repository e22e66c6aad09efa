//! Tests of invalid input: problem bodies, which golden files pin, and the limits of requests.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::support::{Shop, With, json_request};

/// Compares with `tests/it/golden/<name>.json`. `UPDATE_GOLDEN=1` writes the file.
#[track_caller]
pub(crate) fn golden(name: &str, found: &Value) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/golden")
        .join(format!("{name}.json"));
    let text = format!("{found:#}\n");
    if is_updating() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{name}: {error}; UPDATE_GOLDEN=1 writes it"));
    assert_eq!(text, expected, "{name} differs from its golden file; UPDATE_GOLDEN=1 updates it");
}

/// Whether golden files are written instead of compared.
pub(crate) fn is_updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

#[tokio::test]
async fn problem_bodies_are_as_pinned() {
    let shop = Shop::new();
    let user = "/api/v1/users/0190b3a2-0000-7000-8000-000000000001";
    let id = |request: Request<Body>| request.with("x-request-id", "req-1");
    shop.post("/api/v1/users", json!({"email": "taken@example.com", "name": "Ada"})).await.made();
    for (name, request) in [
        (
            "invalid-content",
            json_request("POST", "/api/v1/users", &json!({"email": "ada", "name": " "})),
        ),
        (
            "email-taken",
            json_request(
                "POST",
                "/api/v1/users",
                &json!({"email": "taken@example.com", "name": "Eve"}),
            ),
        ),
        ("not-found", json_request("PATCH", user, &json!({"name": "B"}))),
        (
            "malformed-json",
            Request::post("/api/v1/users")
                .header("content-type", "application/json")
                .body("{".into())
                .unwrap(),
        ),
        ("method-not-allowed", Request::put("/api/v1/users").body(Body::empty()).unwrap()),
        ("unsupported-media-type", Request::post("/api/v1/users").body("{}".into()).unwrap()),
        (
            "malformed-key",
            json_request("POST", "/api/v1/users", &json!({})).with("idempotency-key", "a b"),
        ),
        (
            "malformed-if-match",
            json_request("PATCH", user, &json!({"name": "B"})).with("if-match", "1"),
        ),
    ] {
        let reply = shop.send(id(request)).await;
        assert_eq!(reply.header("content-type"), "application/problem+json", "{name}");
        golden(&format!("problem.{name}"), &reply.body);
    }
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once() {
    let shop = Shop::new();
    let body = json!({"name": "", "unit_price": "1,50", "currency": "USD", "stock": -1});
    let expected = [
        ("/name", "name/empty"),
        ("/unit_price", "money/malformed"),
        ("/stock", "stock/out-of-range"),
    ];
    shop.post("/api/v1/products", body).await.wrong(&expected);
    let line = |quantity: i64| json!({"product_id": uuid::Uuid::now_v7(), "quantity": quantity});
    let body =
        json!({"user_id": uuid::Uuid::now_v7(), "lines": [line(1), line(0), line(1_000_001)]});
    let expected = [
        ("/lines/1/quantity", "quantity/out-of-range"),
        ("/lines/2/quantity", "quantity/out-of-range"),
    ];
    shop.post("/api/v1/orders", body).await.wrong(&expected);
}

#[tokio::test]
async fn what_a_body_may_not_say_is_pointed_at() {
    let shop = Shop::new();
    let user = json!({"email": "ada@example.com", "name": "Ada"});
    let with = |field: &str, value: Value| {
        let mut body = user.clone();
        body[field] = value;
        body
    };
    for field in ["role", "tenant_id", "version", "created_at", "customer_type"] {
        shop.post("/api/v1/users", with(field, json!("x")))
            .await
            .wrong(&[(&format!("/{field}"), "unknown")]);
    }
    for (field, value, code) in [
        ("email", Value::Null, "invalid"),
        ("email", json!(7), "invalid"),
        ("email", json!("a@b@c"), "email/malformed"),
        ("email", json!("ada@example.com\u{0}"), "email/malformed"),
        ("email", json!(format!("{}@example.com", "a".repeat(300))), "email/too-long"),
        ("name", json!("a\u{0}b"), "name/control-character"),
        ("name", json!("x".repeat(201)), "name/too-long"),
    ] {
        shop.post("/api/v1/users", with(field, value)).await.wrong(&[(&format!("/{field}"), code)]);
    }
    let nobody = uuid::Uuid::now_v7();
    let order =
        json!({"user_id": nobody, "lines": [{"product_id": nobody, "quantity": 1}, [nobody, 1]]});
    shop.post("/api/v1/orders", order).await.wrong(&[("/lines/1", "invalid")]);
    let path = format!("/api/v1/users/{}", shop.user("ada@example.com").await);
    shop.patch(&path, json!({})).await.wrong(&[("", "nothing-to-change")]);
    shop.patch(&path, json!({"name": null})).await.wrong(&[("/name", "invalid")]);
    let product = format!("/api/v1/products/{}", shop.product("1.00").await);
    shop.patch(&product, json!({})).await.wrong(&[("", "nothing-to-change")]);
    shop.patch(&product, json!({"currency": "EUR"})).await.wrong(&[("/unit_price", "missing")]);
    shop.patch(&product, json!({"unit_price": 9.99})).await.wrong(&[("/unit_price", "invalid")]);
    shop.post(&format!("{product}/stock"), json!({"delta": 1.5}))
        .await
        .wrong(&[("/delta", "invalid")]);
    shop.post("/api/v1/orders", json!({"user_id": "x", "lines": []}))
        .await
        .wrong(&[("/user_id", "invalid")]);
}

#[tokio::test]
async fn an_order_has_a_line_and_at_most_a_hundred() {
    let shop = Shop::new();
    let (user, product) = (shop.user("a@example.com").await, shop.product("1.00").await);
    let order = |lines: usize| {
        let line = json!({"product_id": product, "quantity": 1});
        json!({"user_id": user, "lines": vec![line; lines]})
    };
    shop.post("/api/v1/orders", order(0)).await.wrong(&[("/lines", "too-few")]);
    shop.post("/api/v1/orders", order(101)).await.wrong(&[("/lines", "too-many")]);
    let full = shop.post("/api/v1/orders", order(100)).await.made();
    let line = json!({"product_id": product, "quantity": 1});
    shop.post(&format!("/api/v1/orders/{full}/lines"), line)
        .await
        .problem(409, "order/too-many-lines");
}

#[tokio::test]
async fn an_unknown_query_parameter_is_pointed_at() {
    let shop = Shop::new();
    let body = json!({"email": "ada@example.com", "name": "Ada"});
    shop.post("/api/v1/users?colour=red", body).await.wrong(&[("/colour", "unknown")]);
    let order = format!("/api/v1/orders/{}/confirm?force", uuid::Uuid::now_v7());
    shop.act(&order).await.wrong(&[("/force", "unknown")]);
    assert!(shop.types().await.is_empty());
}

#[tokio::test]
async fn what_is_no_json_or_too_much_of_it_is_refused() {
    let shop = Shop::new();
    let raw = |body: String| {
        Request::post("/api/v1/users")
            .header("content-type", "application/json")
            .body(body.into())
            .unwrap()
    };
    for body in [
        "",
        "{",
        "[1",
        "{\"email\": \"\\ud800\"}",
        "{\"email\": \"a@example.com\", \"name\": \"A\"} {}",
    ] {
        shop.send(raw(body.to_owned())).await.problem(400, "malformed-json");
    }
    for body in ["[]", "[\"ada@example.com\", \"Ada\"]", "null", "7"] {
        shop.send(raw(body.to_owned())).await.wrong(&[("", "invalid")]);
    }
    shop.send(raw("[".repeat(10_000))).await.problem(400, "malformed-json");
    shop.send(raw(format!("\"{}\"", "x".repeat(64 * 1024))))
        .await
        .problem(413, "payload-too-large");
    let form =
        Request::post("/api/v1/users").header("content-type", "application/x-www-form-urlencoded");
    shop.send(form.body("email=a".into()).unwrap()).await.problem(415, "unsupported-media-type");
}

#[tokio::test]
async fn an_unknown_path_or_method_is_a_problem_too() {
    let shop = Shop::new();
    shop.act("/api/v1/customers").await.problem(404, "not-found");
    shop.act("/metrics").await.problem(404, "not-found");
    let reply = shop.delete("/api/v1/orders").await;
    reply.problem(405, "method-not-allowed");
    assert_eq!(reply.header("allow"), "POST");
    let overridden = Request::post("/api/v1/users")
        .header("x-http-method-override", "DELETE")
        .body(Body::empty())
        .unwrap();
    shop.send(overridden).await.problem(415, "unsupported-media-type");
}

#[tokio::test]
async fn pages_of_listed_origins_alone_may_call_and_see_what_they_need() {
    let shop = Shop::new();
    let from =
        |origin: &str| json_request("POST", "/api/v1/users", &json!({})).with("origin", origin);
    let reply = shop.send(from("https://app.example.com")).await;
    assert_eq!(reply.header("access-control-allow-origin"), "https://app.example.com");
    let exposed = reply.header("access-control-expose-headers").to_lowercase();
    for header in [
        "consistency-token",
        "etag",
        "location",
        "retry-after",
        "idempotent-replayed",
        "x-request-id",
    ] {
        assert!(exposed.contains(header), "{header} is not exposed: {exposed}");
    }
    assert_eq!(
        shop.send(from("https://evil.example.com")).await.header("access-control-allow-origin"),
        ""
    );
    assert_eq!(shop.send(from("null")).await.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn the_traces_and_ids_of_a_request_go_into_its_events() {
    let shop = Shop::new();
    let flow = "0190b3a2-0000-7000-8000-00000000000f";
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let body = json!({"email": "ada@example.com", "name": "Ada"});
    let request = json_request("POST", "/api/v1/users", &body).with("x-request-id", flow);
    let reply =
        shop.send(request.with("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"))).await;
    assert_eq!(reply.header("x-request-id"), flow);
    let event =
        &shop.store.read(&event_store::Filter::All, event_store::Position::START, 1).await.unwrap()
            [0];
    assert_eq!(event.metadata.correlation_id.to_string(), flow);
    assert!(event.metadata.traceparent.as_ref().unwrap().contains(trace));
}
