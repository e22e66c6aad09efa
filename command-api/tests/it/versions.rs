//! Tests of `If-Match`, `ETag` and lost races.

use serde_json::json;
use uuid::Uuid;

use crate::support::{Cue, Shop, ShopOptions, Stage, With, json_request};

#[tokio::test]
async fn a_change_of_the_newest_version_is_made_and_of_an_older_one_refused() {
    let shop = Shop::new();
    let path = format!("/api/v1/users/{}", shop.user("ada@example.com").await);
    let rename = |name: &str, tag: &str| {
        json_request("PATCH", &path, &json!({"name": name})).with("if-match", tag)
    };
    let reply = shop.send(rename("B", "\"1\"")).await;
    assert_eq!((reply.ok()["version"].as_i64(), reply.header("etag")), (Some(2), "\"2\""));
    let stale = shop.send(rename("C", "\"1\"")).await;
    stale.problem(412, "stale-version");
    assert_eq!(stale.header("etag"), "\"2\"");
    shop.send(rename("D", "\"2.118.1.v1\"")).await.ok();
    shop.send(rename("E", "\"1\", \"3\"")).await.ok();
    shop.send(rename("F", "*")).await.ok();
    shop.send(rename("G", "W/\"5\"")).await.problem(412, "stale-version");
    shop.send(rename("G", "\"tampered\"")).await.problem(412, "stale-version");
    shop.send(rename("G", "5")).await.problem(400, "malformed-if-match");
    assert_eq!(shop.types().await.len(), 5);
}

#[tokio::test]
async fn what_is_absent_is_not_found_whatever_version_is_named() {
    let shop = Shop::new();
    let request =
        json_request("PATCH", &format!("/api/v1/users/{}", Uuid::now_v7()), &json!({"name": "B"}));
    shop.send(request.with("if-match", "\"1\"")).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_version_means_nothing_for_what_does_not_exist_yet() {
    let shop = Shop::new();
    let request =
        json_request("POST", "/api/v1/users", &json!({"email": "a@example.com", "name": "A"}));
    shop.send(request.with("if-match", "\"1\"")).await.problem(412, "precondition-failed");
    let request =
        json_request("POST", "/api/v1/users", &json!({"email": "a@example.com", "name": "A"}));
    shop.send(request.with("if-match", "*")).await.problem(412, "precondition-failed");
    assert!(shop.types().await.is_empty());
    let request =
        json_request("POST", "/api/v1/users", &json!({"email": "a@example.com", "name": "A"}));
    shop.send(request.with("if-none-match", "*")).await.made();
}

#[tokio::test]
async fn if_none_match_refuses_every_change_of_a_version_that_it_names() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.00").await);
    let order = shop.order(&user, &product).await;
    let line = json!({"product_id": product, "quantity": 1});
    let before = shop.types().await.len();
    for (method, path, body) in [
        ("PATCH", format!("/api/v1/users/{user}"), json!({"name": "B"})),
        ("PATCH", format!("/api/v1/products/{product}"), json!({"name": "B"})),
        ("POST", format!("/api/v1/products/{product}/stock"), json!({"delta": 1})),
        ("POST", format!("/api/v1/orders/{order}/lines"), line),
        ("POST", format!("/api/v1/orders/{order}/confirm"), json!({})),
        ("POST", format!("/api/v1/orders/{order}/cancel"), json!({})),
        ("DELETE", format!("/api/v1/users/{user}"), json!({})),
    ] {
        for tag in ["*", "\"1\"", "\"1.9.1.v1\"", "W/\"1\"", "\"7\", \"1\""] {
            for path in [path.clone(), format!("{path}?dry_run=true")] {
                let reply =
                    shop.send(json_request(method, &path, &body).with("if-none-match", tag)).await;
                reply.problem(412, "precondition-failed");
                assert_eq!(reply.header("etag"), "\"1\"", "{method} {path} {tag}");
            }
        }
        let reply =
            shop.send(json_request(method, &path, &body).with("if-none-match", "\"1")).await;
        reply.problem(400, "malformed-if-none-match");
    }
    assert_eq!(shop.types().await.len(), before);
    let rename = json_request("PATCH", &format!("/api/v1/users/{user}"), &json!({"name": "B"}))
        .with("if-none-match", "\"2\"");
    shop.send(rename).await.ok();
    let absent =
        json_request("PATCH", &format!("/api/v1/users/{}", Uuid::now_v7()), &json!({"name": "B"}));
    shop.send(absent.with("if-none-match", "*")).await.problem(404, "not-found");
    // Resources have no modification date, so conditions on dates are ignored.
    let rename = json_request("PATCH", &format!("/api/v1/users/{user}"), &json!({"name": "C"}));
    shop.send(rename.with("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")).await.ok();
}

#[tokio::test]
async fn a_lost_race_is_decided_anew_unless_the_caller_named_a_version() {
    for (tag, expected) in [(None, 200), (Some("\"1\""), 412)] {
        let (stage, mut arrivals) = Stage::new();
        let shop = Shop::over(stage.clone(), ShopOptions::default());
        let path = format!("/api/v1/products/{}/stock", shop.product("1.00").await);
        stage.cue(Cue::GoOn);
        let mut request = json_request("POST", &path, &json!({"delta": 1}));
        if let Some(tag) = tag {
            request = request.with("if-match", tag);
        }
        let slow = tokio::spawn({
            let shop = shop.clone();
            async move { shop.send(request).await }
        });
        arrivals.next().await;
        assert_eq!(shop.post(&path, json!({"delta": 2})).await.ok()["version"], 2);
        stage.go();
        let reply = slow.await.unwrap();
        assert_eq!(reply.status, expected, "{:#}", reply.body);
        if expected == 200 {
            assert_eq!(
                shop.log().await.pop().unwrap().1["stock"],
                13,
                "the second saw what the first did"
            );
        }
    }
}

#[tokio::test]
async fn an_order_loses_the_race_against_its_users_deactivation_but_not_against_a_rename() {
    for (change, expected) in [("deactivate", 409), ("rename", 201)] {
        let (stage, mut arrivals) = Stage::new();
        let shop = Shop::over(stage.clone(), ShopOptions::default());
        let (user, product) = (shop.user("ada@example.com").await, shop.product("1.00").await);
        stage.cue(Cue::GoOn);
        let placing = tokio::spawn({
            let (shop, user) = (shop.clone(), user.clone());
            let body = json!({"user_id": user, "lines": [{"product_id": product, "quantity": 1}]});
            async move { shop.post("/api/v1/orders", body).await }
        });
        arrivals.next().await;
        let path = format!("/api/v1/users/{user}");
        if change == "rename" {
            shop.patch(&path, json!({"name": "B"})).await.ok();
        } else {
            shop.delete(&path).await.ok();
        }
        stage.go();
        let reply = placing.await.unwrap();
        assert_eq!(reply.status, expected, "{change}: {:#}", reply.body);
        let orders =
            shop.types().await.iter().filter(|event_type| *event_type == "order.placed").count();
        assert_eq!(orders, usize::from(expected == 201));
    }
}
