//! Tests of `Idempotency-Key` (promise P9) over the store in memory. `postgres.rs` has those over
//! Postgres.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::support::{Cue, Shop, ShopOptions, Stage, With, json_request};

fn register(email: &str, key: &str) -> Request<Body> {
    json_request("POST", "/api/v1/users", &json!({"email": email, "name": "Ada"}))
        .with("idempotency-key", key)
}

#[tokio::test]
async fn p9_a_repeat_has_no_effect_and_answers_as_the_first_did() {
    let shop = Shop::new();
    let first = shop.send(register("ada@example.com", "key-1")).await;
    shop.user("grace@example.com").await;
    let again = shop.send(register("ada@example.com", "\"key-1\"")).await;
    assert_eq!(first.header("idempotent-replayed"), "");
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!((first.status, &first.body["data"]), (again.status, &again.body["data"]));
    for meta in ["position", "epoch", "consistency_token"] {
        assert_eq!(first.body["meta"][meta], again.body["meta"][meta], "{meta}");
    }
    for header in ["location", "etag", "consistency-token"] {
        assert_eq!(first.header(header), again.header(header), "{header}");
    }
    assert_eq!(shop.types().await.len(), 2);
}

#[tokio::test]
async fn p9_a_repeat_answers_as_the_first_did_even_where_it_would_be_refused_now() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let deactivate = || {
        Request::delete(format!("/api/v1/users/{user}"))
            .body(Body::empty())
            .unwrap()
            .with("idempotency-key", "k")
    };
    let first = shop.send(deactivate()).await;
    let again = shop.send(deactivate()).await;
    assert_eq!(first.ok(), again.ok());
    assert_eq!(again.header("idempotent-replayed"), "true");
}

#[tokio::test]
async fn p9_a_command_that_changes_nothing_is_remembered_too() {
    let shop = Shop::new();
    let path = format!("/api/v1/users/{}", shop.user("ada@example.com").await);
    let rename =
        || json_request("PATCH", &path, &json!({"name": "Ada"})).with("idempotency-key", "k");
    let first = shop.send(rename()).await;
    assert_eq!(first.ok()["version"], 1);
    shop.patch(&path, json!({"name": "B"})).await.ok();
    let again = shop.send(rename()).await;
    assert_eq!((again.ok(), again.header("idempotent-replayed")), (first.ok(), "true"));
    assert_eq!(shop.types().await, ["user.registered", "user.renamed"]);
}

#[tokio::test]
async fn a_key_of_another_request_is_refused() {
    let shop = Shop::new();
    shop.send(register("ada@example.com", "k")).await.made();
    shop.send(register("grace@example.com", "k")).await.problem(422, "idempotency/key-reused");
    assert_eq!(shop.types().await.len(), 1);
}

#[tokio::test]
async fn a_key_that_confirmed_one_order_does_not_confirm_another() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.00").await);
    let orders = [shop.order(&user, &product).await, shop.order(&user, &product).await];
    let confirm = |order: &str| {
        let path = format!("/api/v1/orders/{order}/confirm");
        Request::post(path).body(Body::empty()).unwrap().with("idempotency-key", "k")
    };
    let first = shop.send(confirm(&orders[0])).await;
    first.ok();
    shop.send(confirm(&orders[1])).await.problem(422, "idempotency/key-reused");
    assert_eq!(shop.send(confirm(&orders[0])).await.ok(), first.ok(), "it is still the first's");
    let confirmed =
        shop.log().await.into_iter().filter(|(event_type, _)| event_type == "order.confirmed");
    let confirmed: Vec<_> = confirmed.map(|(_, data)| data["order_id"].clone()).collect();
    assert_eq!(confirmed, [json!(orders[0])]);
}

#[tokio::test]
async fn a_key_means_something_else_for_another_operation() {
    let shop = Shop::new();
    shop.send(register("ada@example.com", "k")).await.made();
    let body = json!({"name": "cd", "unit_price": "1.00", "currency": "USD"});
    shop.send(json_request("POST", "/api/v1/products", &body).with("idempotency-key", "k"))
        .await
        .made();
}

#[tokio::test]
async fn a_refusal_is_not_remembered() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    shop.send(register("ada@example.com", "k")).await.problem(409, "user/email-taken");
    shop.delete(&format!("/api/v1/users/{user}")).await.ok();
    let now = shop.send(register("ada@example.com", "k")).await;
    now.made();
    assert_eq!(now.header("idempotent-replayed"), "");
}

#[tokio::test]
async fn a_malformed_key_is_a_bad_request() {
    let shop = Shop::new();
    for key in ["", "two words", "\"open", &"x".repeat(256)] {
        shop.send(register("ada@example.com", key)).await.problem(400, "idempotency/malformed-key");
    }
    let twice = register("ada@example.com", "a").with("idempotency-key", "b");
    shop.send(twice).await.problem(400, "idempotency/malformed-key");
    assert!(shop.types().await.is_empty());
}

#[tokio::test]
async fn p9_a_repeat_waits_for_the_first_and_gets_its_answer() {
    let (stage, mut arrivals) = Stage::new();
    let shop = Shop::over(stage.clone(), ShopOptions::default());
    stage.cue(Cue::GoOn);
    let send = |shop: &Shop| {
        let shop = shop.clone();
        tokio::spawn(async move { shop.send(register("ada@example.com", "k")).await })
    };
    let first = send(&shop);
    arrivals.next().await;
    let again = send(&shop);
    tokio::task::yield_now().await;
    stage.go();
    let (first, again) = (first.await.unwrap(), again.await.unwrap());
    assert_eq!(first.made(), again.made());
    assert_eq!(
        (first.header("idempotent-replayed"), again.header("idempotent-replayed")),
        ("", "true")
    );
}

#[tokio::test]
async fn a_repeat_waits_no_longer_than_its_deadline() {
    let (stage, mut arrivals) = Stage::new();
    let options =
        ShopOptions { wait_for_repeats: Duration::from_millis(10), ..ShopOptions::default() };
    let shop = Shop::over(stage.clone(), options);
    stage.cue(Cue::GoOn);
    let first = tokio::spawn({
        let shop = shop.clone();
        async move { shop.send(register("ada@example.com", "k")).await }
    });
    arrivals.next().await;
    let again = shop.send(register("ada@example.com", "k")).await;
    again.problem(409, "idempotency/in-flight");
    assert_eq!(again.header("retry-after"), "1");
    stage.go();
    first.await.unwrap().made();
}

#[tokio::test]
async fn p9_fifty_at_once_have_one_effect_and_one_answer() {
    let shop = Shop::new();
    let sent: Vec<_> = (0..50)
        .map(|_| {
            let shop = shop.clone();
            tokio::spawn(async move { shop.send(register("ada@example.com", "k")).await })
        })
        .collect();
    let mut ids = Vec::new();
    for reply in sent {
        ids.push(reply.await.unwrap().made());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(shop.types().await, ["user.registered"]);
}

/// Stored hashes must match in later versions. So the hash covers the whole path, wherever the
/// router mounts a version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stored_hash_of_a_request_covers_its_method_whole_path_and_body() {
    let database = crate::postgres::database().await;
    let shop = crate::postgres::shop(&database).await;
    let body = json!({"email": "ada@example.com", "name": "Ada"});
    let request = json_request("POST", "/api/v1/users", &body).with("idempotency-key", "k");
    shop.send(request).await.made();
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let same = "SELECT metadata #>> '{append,key,request_hash}' = encode(sha256($1), 'hex')
        FROM event_store.events";
    let request = format!("POST\0/api/v1/users\0{body}");
    let is_same: bool =
        sqlx::query_scalar(same).bind(request.as_bytes()).fetch_one(&pool).await.unwrap();
    pool.close().await;
    assert!(is_same);
}
