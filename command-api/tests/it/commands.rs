//! Tests of `/api/v1/commands`, and of ids that the caller gives.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Reply, Shop, json_request};

async fn run(shop: &Shop, commands: Value) -> Reply {
    shop.post("/api/v1/commands", json!({"commands": commands})).await
}

/// The status and the code of each result.
fn outcomes(reply: &Reply) -> Vec<(u64, Option<&str>)> {
    let results = reply.ok()["results"].as_array().unwrap();
    let of = |result: &Value| result["status"].as_u64().unwrap();
    results.iter().map(|result| (of(result), result["problem"]["code"].as_str())).collect()
}

fn v7() -> String {
    Uuid::now_v7().to_string()
}

#[tokio::test]
async fn one_batch_makes_a_whole_sale_with_ids_of_the_caller() {
    let shop = Shop::new();
    let (user, product, order) = (v7(), v7(), v7());
    let reply = run(
        &shop,
        json!([
            {"type": "registerUser",
                "data": {"id": user, "email": "ada@example.com", "name": "Ada"}},
            {"type": "addProduct",
                "data": {"id": product, "name": "cd", "unit_price": "1.50", "currency": "USD",
                    "stock": 5}},
            {"type": "placeOrder", "data": {"id": order, "user_id": user,
                "lines": [{"product_id": product, "quantity": 2}]}},
            {"type": "confirmOrder", "id": order},
        ]),
    )
    .await;
    assert_eq!(outcomes(&reply), [(201, None), (201, None), (201, None), (200, None)]);
    let results = &reply.body["data"]["results"];
    for (index, (id, version)) in
        [(&user, 1), (&product, 1), (&order, 1), (&order, 2)].iter().enumerate()
    {
        let data = &results[index]["data"];
        assert_eq!((&data["id"], &data["version"]), (&json!(id), &json!(version)));
    }
    let position = shop.types().await.len();
    assert_eq!(reply.body["meta"]["position"], position);
    assert!(reply.body["meta"]["consistency_token"].is_string());
}

#[tokio::test]
async fn an_id_that_is_taken_is_a_conflict_and_one_of_another_version_is_invalid() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.50").await);
    let order = shop.order(&user, &product).await;
    let before = shop.log().await;
    let line = json!([{"product_id": product, "quantity": 1}]);
    let eve = |id: &str| json!({"id": id, "email": "eve@example.com", "name": "Eve"});
    let cd = |id: &str| json!({"id": id, "name": "cd", "unit_price": "1.00", "currency": "USD"});
    let placed = |id: &str| json!({"id": id, "user_id": user, "lines": line});
    let old = Uuid::from_u128(7).to_string();
    for (path, taken, body, code) in [
        ("/api/v1/users", &user, &eve as &dyn Fn(&str) -> Value, "user/already-registered"),
        ("/api/v1/products", &product, &cd, "product/already-added"),
        ("/api/v1/orders", &order, &placed, "order/already-placed"),
    ] {
        shop.post(path, body(taken)).await.problem(409, code);
        shop.post(path, body(&old)).await.wrong(&[("/id", "id/not-version-7")]);
    }
    let of_user = format!("/api/v1/users/{user}/orders");
    shop.post(&of_user, json!({"id": order, "lines": line}))
        .await
        .problem(409, "order/already-placed");
    shop.post("/api/v1/users", json!({"id": null, "email": "e@example.com", "name": "Eve"}))
        .await
        .wrong(&[("/id", "invalid")]);
    assert_eq!(shop.log().await, before);
    let id = v7();
    assert_eq!(shop.post("/api/v1/users", eve(&id)).await.made(), id);
}

#[tokio::test]
async fn of_two_creations_at_once_with_one_id_one_wins() {
    let shop = Shop::new();
    let id = v7();
    let add = || {
        let (shop, id) = (shop.clone(), id.clone());
        tokio::spawn(async move {
            let cd = json!({"id": id, "name": "cd", "unit_price": "1.00", "currency": "USD"});
            shop.post("/api/v1/products", cd).await
        })
    };
    let adding: Vec<_> = (0..16).map(|_| add()).collect();
    let mut made = 0;
    for reply in adding {
        let reply = reply.await.unwrap();
        if reply.status == 201 {
            made += 1;
        } else {
            reply.problem(409, "product/already-added");
        }
    }
    assert_eq!((made, shop.types().await.len()), (1, 1));
}

#[tokio::test]
async fn a_refused_command_has_its_problem_and_the_later_ones_run() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.50").await);
    let order = shop.order(&user, &product).await;
    let reply = run(
        &shop,
        json!([
            {"type": "cancelOrder", "id": v7()},
            {"type": "changeUser", "id": user, "data": {"name": " ", "email": "no"}},
            {"type": "confirmOrder"},
            {"type": "removeOrderLine", "id": order},
            {"type": "confirmOrder", "id": order, "part_id": order},
            {"type": "fly"},
            {"type": "runCommands", "data": {"commands": []}},
            {"type": "confirmOrder", "id": order, "data": {"at": 1}},
            {"type": "confirmOrder", "id": order, "expected_version": 7},
            {"type": "confirmOrder", "id": order, "idempotency_key": ""},
            {"type": "confirmOrder", "id": order, "expected_version": 1},
        ]),
    )
    .await;
    let target = Some("command/target");
    assert_eq!(
        outcomes(&reply),
        [
            (404, Some("not-found")),
            (422, Some("invalid-content")),
            (422, target),
            (422, target),
            (422, target),
            (422, Some("command/unknown-type")),
            (422, Some("command/unknown-type")),
            (422, Some("invalid-content")),
            (412, Some("stale-version")),
            (400, Some("idempotency/malformed-key")),
            (200, None),
        ]
    );
    let errors = reply.body["data"]["results"][1]["problem"]["errors"].as_array().unwrap();
    let places: Vec<_> = errors.iter().map(|error| &error["pointer"]).collect();
    assert_eq!(places, ["/email", "/name"]);
}

#[tokio::test]
async fn each_command_has_its_own_key() {
    let shop = Shop::new();
    let add = |key: &str, name: &str| {
        json!({"type": "addProduct", "idempotency_key": key,
            "data": {"name": name, "unit_price": "1.00", "currency": "USD"}})
    };
    let first = run(&shop, json!([add("a", "cd"), add("b", "cd")])).await;
    let second = run(&shop, json!([add("b", "cd"), add("a", "cd"), add("c", "cd")])).await;
    let (first, second) = (&first.ok()["results"], &second.ok()["results"]);
    assert_eq!((&second[0]["data"], &second[1]["data"]), (&first[1]["data"], &first[0]["data"]));
    let replayed: Vec<_> = (0..3).map(|index| second[index]["replayed"].as_bool()).collect();
    assert_eq!(replayed, [Some(true), Some(true), Some(false)]);
    assert_eq!(shop.types().await.len(), 3);
    // As a request of its own it is the same command.
    let body = json!({"name": "cd", "unit_price": "1.00", "currency": "USD"});
    let mut alone = json_request("POST", "/api/v1/products", &body);
    alone.headers_mut().insert("idempotency-key", "a".parse().unwrap());
    let alone = shop.send(alone).await;
    assert_eq!(
        (alone.header("idempotent-replayed"), &alone.body["data"]),
        ("true", &first[0]["data"])
    );
    let other = run(&shop, json!([add("a", "lp")])).await;
    assert_eq!(outcomes(&other), [(422, Some("idempotency/key-reused"))]);
}

#[tokio::test]
async fn a_request_has_one_to_a_hundred_commands_and_no_key_of_its_own() {
    let shop = Shop::new();
    run(&shop, json!([])).await.wrong(&[("/commands", "too-few")]);
    let command = json!({"type": "cancelOrder", "id": v7()});
    run(&shop, json!(vec![&command; 101])).await.wrong(&[("/commands", "too-many")]);
    assert_eq!(outcomes(&run(&shop, json!(vec![&command; 100])).await).len(), 100);
    for (name, value) in [("idempotency-key", "a"), ("if-match", "\"1\""), ("if-none-match", "*")] {
        let body = json!({"commands": [command]});
        let mut request = json_request("POST", "/api/v1/commands", &body);
        request.headers_mut().insert(name, value.parse().unwrap());
        shop.send(request).await.problem(400, "command/header");
    }
}

#[tokio::test]
async fn a_dry_run_tells_what_each_command_would_do_now() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.50").await);
    let order = shop.order(&user, &product).await;
    let before = shop.log().await;
    let command = json!({"type": "confirmOrder", "id": order});
    let body = json!({"commands": [command, {"type": "confirmOrder", "id": v7()}]});
    let reply = shop.post("/api/v1/commands?dry_run=true", body).await;
    assert_eq!(outcomes(&reply), [(200, None), (404, Some("not-found"))]);
    let would = &reply.body["data"]["results"][0]["data"];
    assert_eq!(
        (&would["dry_run"], &would["events"][0]["type"]),
        (&json!(true), &json!("order.confirmed"))
    );
    assert_eq!(shop.log().await, before);
}
