//! Atomic batches of commands: one append, or nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use event_store::{MemoryStore, StoreError};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::tokens::By as _;
use crate::support::{Cue, Reply, Shop, ShopOptions, Stage, With as _, json_request};

const PATH: &str = "/api/v1/commands";

async fn run(shop: &Shop, commands: Value) -> Reply {
    shop.post(PATH, json!({"commands": commands, "atomic": true})).await
}

async fn run_keyed(shop: &Shop, key: &str, commands: &Value) -> Reply {
    let body = json!({"commands": commands, "atomic": true});
    shop.send(json_request("POST", PATH, &body).with("idempotency-key", key)).await
}

/// The status and the code of each result.
fn outcomes(reply: &Reply) -> Vec<(u64, Option<&str>)> {
    let results = reply.ok()["results"].as_array().unwrap();
    let of = |result: &Value| result["status"].as_u64().unwrap();
    results.iter().map(|result| (of(result), result["problem"]["code"].as_str())).collect()
}

const NOT_CARRIED_OUT: (u64, Option<&str>) = (424, Some("command/not-carried-out"));

fn v7() -> String {
    Uuid::now_v7().to_string()
}

fn register(id: &str, email: &str) -> Value {
    json!({"type": "registerUser", "data": {"id": id, "email": email, "name": "Ada"}})
}

fn place(id: &str, user: &str, product: &str, quantity: i64) -> Value {
    json!({"type": "placeOrder", "data": {"id": id, "user_id": user,
        "lines": [{"product_id": product, "quantity": quantity}]}})
}

/// A user, a product with 5 units, an order of 2 and its confirmation.
fn sale(user: &str, product: &str, order: &str) -> Value {
    json!([
        register(user, "ada@example.com"),
        {"type": "addProduct", "data": {"id": product, "name": "cd", "unit_price": "1.50",
            "currency": "USD", "stock": 5}},
        place(order, user, product, 2),
        {"type": "confirmOrder", "id": order},
    ])
}

#[tokio::test]
async fn commands_that_build_on_each_other_are_one_append() {
    let shop = Shop::new();
    let [user, product, order] = [v7(), v7(), v7()];
    let reply = run(&shop, sale(&user, &product, &order)).await;
    assert_eq!(outcomes(&reply), [(201, None), (201, None), (201, None), (200, None)]);
    for (index, (id, version)) in
        [(&user, 1), (&product, 1), (&order, 1), (&order, 2)].iter().enumerate()
    {
        let data = &reply.body["data"]["results"][index]["data"];
        assert_eq!((&data["id"], &data["version"]), (&json!(id), &json!(version)));
    }
    let types = shop.types().await;
    let expected = [
        "user.registered",
        "product.added",
        "order.placed",
        "order.confirmed",
        "user_orders.opened",
    ];
    assert_eq!(types, expected, "the events of one stream stay together");
    assert_eq!(reply.body["meta"]["position"], types.len());
    assert!(reply.body["meta"]["consistency_token"].is_string());
    // The next command finds everything there.
    shop.act(&format!("/api/v1/orders/{order}/cancel")).await.ok();
}

#[tokio::test]
async fn if_one_command_is_refused_none_is_carried_out() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.50").await);
    let before = shop.log().await;
    let order = v7();
    let confirm = json!({"type": "confirmOrder", "id": order});
    let reply = run(
        &shop,
        json!([place(&order, &user, &product, 1), confirm, confirm, {"type": "cancelOrder",
            "id": order}]),
    )
    .await;
    assert_eq!(
        outcomes(&reply),
        [NOT_CARRIED_OUT, NOT_CARRIED_OUT, (409, Some("order/not-pending")), NOT_CARRIED_OUT]
    );
    assert_eq!(reply.body["meta"].get("position"), None);
    // Invalid content, an unknown type and an absent resource, too.
    for (wrong, refused) in [
        (json!({"type": "fly"}), (422, Some("command/unknown-type"))),
        (json!({"type": "confirmOrder", "id": v7()}), (404, Some("not-found"))),
        (
            json!({"type": "changeUser", "id": user, "data": {"name": " "}}),
            (422, Some("invalid-content")),
        ),
    ] {
        let reply = run(&shop, json!([place(&order, &user, &product, 1), wrong])).await;
        assert_eq!(outcomes(&reply), [NOT_CARRIED_OUT, refused]);
    }
    assert_eq!(shop.log().await, before);
}

#[tokio::test]
async fn an_address_that_is_taken_is_the_problem_of_its_command() {
    let shop = Shop::new();
    shop.user("ada@example.com").await;
    let before = shop.log().await;
    let (one, other) = (v7(), v7());
    let taken = (409, Some("user/email-taken"));
    let commands = json!([register(&one, "bob@example.com"), register(&other, "ADA@example.com")]);
    assert_eq!(outcomes(&run(&shop, commands).await), [NOT_CARRIED_OUT, taken]);
    let commands = json!([register(&one, "bob@example.com"), register(&other, "bob@example.com")]);
    assert_eq!(outcomes(&run(&shop, commands).await), [NOT_CARRIED_OUT, taken]);
    assert_eq!(shop.log().await, before);
    // An address that one user gives up is free for the next one.
    let moved = json!({"type": "changeUser", "id": one, "data": {"email": "new@example.com"}});
    let first = run(&shop, json!([register(&one, "bob@example.com")])).await;
    assert_eq!(outcomes(&first), [(201, None)]);
    let reply = run(&shop, json!([moved, register(&other, "bob@example.com")])).await;
    assert_eq!(outcomes(&reply), [(200, None), (201, None)]);
}

#[tokio::test]
async fn a_repeat_with_the_key_of_the_batch_has_the_same_answers() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.50").await);
    let order = shop.order(&user, &product).await;
    let address = json!({"type": "addAddress", "id": user, "data": crate::support::address()});
    let commands = json!([{"type": "confirmOrder", "id": order}, address]);
    let first = run_keyed(&shop, "k", &commands).await;
    assert_eq!(outcomes(&first), [(200, None), (201, None)]);
    let log = shop.log().await;
    let repeat = run_keyed(&shop, "k", &commands).await;
    assert_eq!(shop.log().await, log);
    assert_eq!(repeat.body["meta"]["position"], first.body["meta"]["position"]);
    for index in 0..2 {
        let of = |reply: &Reply| reply.body["data"]["results"][index].clone();
        let (first, repeat) = (of(&first), of(&repeat));
        assert_eq!((&first["status"], &first["data"]), (&repeat["status"], &repeat["data"]));
        assert_eq!((&first["replayed"], &repeat["replayed"]), (&json!(false), &json!(true)));
    }
    run_keyed(&shop, "k", &json!([{"type": "cancelOrder", "id": order}]))
        .await
        .problem(422, "idempotency/key-reused");
    // Without the key it is a new request, which the first one made impossible.
    let refused = (409, Some("order/not-pending"));
    assert_eq!(outcomes(&run(&shop, commands).await), [refused, NOT_CARRIED_OUT]);
}

#[tokio::test]
async fn the_commands_of_an_atomic_batch_have_no_keys_of_their_own() {
    let shop = Shop::new();
    let plain = json!({"type": "cancelOrder", "id": v7()});
    let keyed = json!({"type": "cancelOrder", "id": v7(), "idempotency_key": "a"});
    run(&shop, json!([plain, keyed]))
        .await
        .wrong(&[("/commands/1/idempotency_key", "idempotency/of-batch")]);
    let body = json!({"commands": [plain], "atomic": true});
    let request = json_request("POST", PATH, &body).with("if-match", "\"1\"");
    shop.send(request).await.problem(400, "command/header");
    run(&shop, json!([])).await.wrong(&[("/commands", "too-few")]);
}

#[tokio::test]
async fn an_expected_version_is_the_one_that_the_commands_before_leave() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.50").await);
    let order = v7();
    let confirm =
        |version: i64| json!({"type": "confirmOrder", "id": order, "expected_version": version});
    let stale = run(&shop, json!([place(&order, &user, &product, 1), confirm(2)])).await;
    assert_eq!(outcomes(&stale), [NOT_CARRIED_OUT, (412, Some("stale-version"))]);
    let reply = run(&shop, json!([place(&order, &user, &product, 1), confirm(1)])).await;
    assert_eq!(outcomes(&reply), [(201, None), (200, None)]);
}

#[tokio::test]
async fn a_dry_run_tells_what_all_would_do_after_each_other() {
    let shop = Shop::new();
    let [user, product, order] = [v7(), v7(), v7()];
    let body = json!({"commands": sale(&user, &product, &order), "atomic": true});
    let reply = shop.post(&format!("{PATH}?dry_run=true"), body).await;
    assert_eq!(outcomes(&reply), [(200, None); 4]);
    let confirmed = &reply.body["data"]["results"][3]["data"];
    assert_eq!(confirmed["events"][0]["type"], "order.confirmed");
    assert!(shop.types().await.is_empty());
    shop.user("ada@example.com").await;
    let body = json!({"commands": sale(&user, &product, &order), "atomic": true});
    let reply = shop.post(&format!("{PATH}?dry_run=true"), body).await;
    assert_eq!(outcomes(&reply)[0], (409, Some("user/email-taken")));
}

#[tokio::test]
async fn an_order_that_is_placed_and_cancelled_in_one_batch_is_opened_and_closed_by_it() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.50").await);
    let [kept, order] = [v7(), v7()];
    let cancel = json!({"type": "cancelOrder", "id": order});
    let commands =
        json!([place(&kept, &user, &product, 1), place(&order, &user, &product, 1), cancel]);
    let reply = run(&shop, commands).await;
    assert_eq!(outcomes(&reply), [(201, None), (201, None), (200, None)]);
    let about = |order: &str| json!({"user_id": user, "order_id": order});
    let counted = async |shop: &Shop| {
        let log = shop.log().await.into_iter();
        log.filter(|(name, _)| name.starts_with("user_orders.")).collect::<Vec<_>>()
    };
    let mut expected =
        vec![("opened", about(&kept)), ("opened", about(&order)), ("closed", about(&order))];
    let named = |expected: &[(&str, Value)]| {
        let named = |(verb, about): &(&str, Value)| (format!("user_orders.{verb}"), about.clone());
        expected.iter().map(named).collect::<Vec<_>>()
    };
    assert_eq!(counted(&shop).await, named(&expected));
    shop.act(&format!("/api/v1/orders/{kept}/cancel")).await.ok();
    expected.push(("closed", about(&kept)));
    assert_eq!(counted(&shop).await, named(&expected));
}

#[tokio::test]
async fn batches_at_once_for_one_user_all_open_and_close_their_orders() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.50").await);
    let batches: Vec<_> = (0..16)
        .map(|_| {
            let order = v7();
            let commands = json!([place(&order, &user, &product, 1),
                {"type": "cancelOrder", "id": order}]);
            let shop = shop.clone();
            tokio::spawn(async move { run(&shop, commands).await })
        })
        .collect();
    for reply in batches {
        assert_eq!(outcomes(&reply.await.unwrap()), [(201, None), (200, None)]);
    }
    let types = shop.types().await;
    let count = |wanted: &str| types.iter().filter(|name| *name == wanted).count();
    assert_eq!((count("user_orders.opened"), count("user_orders.closed")), (16, 16));
}

#[tokio::test]
async fn what_is_more_than_one_append_can_hold_is_refused_as_a_whole() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let mut products = Vec::new();
    for _ in 0..100 {
        products.push(shop.product("1.50").await);
    }
    let lines: Vec<_> =
        products.iter().map(|id| json!({"product_id": id, "quantity": 1})).collect();
    let (mut shipments, reason) = (Vec::new(), json!({"reason": "by hand"}));
    for _ in 0..10 {
        let body = json!({"user_id": user, "lines": lines});
        let order = shop.post("/api/v1/orders", body).await.made();
        let path = format!("/api/v1/orders/{order}");
        shop.act(&format!("{path}/confirm")).await.ok();
        shop.post(&format!("{path}/record-payment"), reason.clone()).await.ok();
        shipments.push(json!({"type": "shipOrder", "id": order, "data": reason}));
    }
    let before = shop.log().await;
    // Each has 101 events, and an append has at most 1,000.
    run(&shop, json!(shipments)).await.problem(422, "command/too-much-at-once");
    assert_eq!(shop.log().await, before);
    assert_eq!(outcomes(&run(&shop, json!(shipments[..9])).await), [(200, None); 9]);
}

#[tokio::test]
async fn batches_at_once_on_the_same_resources_all_count() {
    let shop = Shop::new();
    let (one, other) = (shop.product("1.50").await, shop.product("1.50").await);
    let receive = |id: &str| json!({"type": "receiveStock", "id": id, "data": {"quantity": 1}});
    let batches: Vec<_> = (0..16)
        .map(|at| {
            // Half of them in the other sequence.
            let ids = if at % 2 == 0 { [&one, &other] } else { [&other, &one] };
            let commands = json!(ids.map(|id| receive(id)));
            let shop = shop.clone();
            tokio::spawn(async move { run(&shop, commands).await })
        })
        .collect();
    let mut positions = BTreeSet::new();
    for reply in batches {
        let reply = reply.await.unwrap();
        assert_eq!(outcomes(&reply), [(200, None); 2]);
        positions.insert(reply.body["meta"]["position"].as_i64().unwrap());
    }
    assert_eq!(positions.len(), 16);
    let received = shop.types().await;
    assert_eq!(received.iter().filter(|name| *name == "product.stock_received").count(), 32);
}

#[tokio::test]
async fn of_batches_for_the_last_units_one_wins() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let product = v7();
    let add = json!({"type": "addProduct", "data": {"id": product, "name": "cd",
        "unit_price": "1.50", "currency": "USD", "stock": 3}});
    assert_eq!(outcomes(&run(&shop, json!([add])).await), [(201, None)]);
    let batches: Vec<_> = (0..16)
        .map(|_| {
            let order = v7();
            let commands = json!([place(&order, &user, &product, 2),
                {"type": "adjustStock", "id": product, "data": {"delta": -2}}]);
            let shop = shop.clone();
            tokio::spawn(async move { run(&shop, commands).await })
        })
        .collect();
    let mut won = 0;
    for reply in batches {
        let reply = reply.await.unwrap();
        match outcomes(&reply)[..] {
            [(201, None), (200, None)] => won += 1,
            [NOT_CARRIED_OUT, (409, Some("product/not-enough-stock"))] => {}
            ref other => panic!("{other:?}"),
        }
    }
    assert_eq!(won, 1);
    let placed = shop.types().await.iter().filter(|name| *name == "order.placed").count();
    assert_eq!(placed, 1, "an order whose batch was refused is not placed either");
}

/// The request of a batch that registers a user.
fn keyed(email: &str) -> Request<Body> {
    let body = json!({"commands": [register(&v7(), email)], "atomic": true});
    json_request("POST", PATH, &body).with("idempotency-key", "k")
}

#[tokio::test]
async fn a_key_finds_the_batch_whose_answer_the_store_lost() {
    let (stage, _arrivals) = Stage::new();
    let shop = Shop::over(Arc::clone(&stage) as _, ShopOptions::default());
    for with_key in [true, false] {
        stage.cue(Cue::LoseAnswer);
        stage.go();
        if with_key {
            let reply = shop.send(keyed("ada@example.com")).await;
            assert_eq!(outcomes(&reply), [(201, None)]);
            assert_eq!(reply.body["data"]["results"][0]["replayed"], true);
        } else {
            let reply = run(&shop, json!([register(&v7(), "bob@example.com")])).await;
            reply.problem(503, "store/outcome-unknown");
        }
    }
    assert_eq!(shop.types().await, ["user.registered"; 2]);
}

#[tokio::test]
async fn repeats_at_once_are_one_batch() {
    let shop = Shop::over(Arc::new(MemoryStore::new()), ShopOptions::default());
    let commands = json!([register(&v7(), "ada@example.com")]);
    let repeats = (0..16).map(|_| run_keyed(&shop, "k", &commands));
    for reply in futures::future::join_all(repeats).await {
        assert_eq!(outcomes(&reply), [(201, None)]);
    }
    assert_eq!(shop.types().await.len(), 1);
}

#[tokio::test]
async fn a_key_belongs_to_its_caller_and_a_dry_run_does_not_use_it() {
    let shop = Shop::new();
    let (ada, grace) = (shop.user("ada@example.com").await, shop.user("g@example.com").await);
    let named = |user: &str, dry_run: &str, name: &str| {
        let command = json!({"type": "changeUser", "id": user, "data": {"name": name}});
        let body = json!({"commands": [command], "atomic": true});
        let request = json_request("POST", &format!("{PATH}{dry_run}"), &body);
        request.with("idempotency-key", "k").by(user)
    };
    let rename = |user: &str, dry_run: &str| named(user, dry_run, "New");
    shop.send(rename(&ada, "?dry_run=true")).await.ok();
    for user in [&ada, &grace] {
        let reply = shop.send(rename(user, "")).await;
        assert_eq!(outcomes(&reply), [(200, None)]);
        assert_eq!(reply.body["data"]["results"][0]["replayed"], false);
    }
    assert_eq!(shop.types().await[2..], ["user.renamed"; 2]);
    // A dry run with a used key neither repeats that answer nor is refused for it.
    let reply = shop.send(named(&ada, "?dry_run=true", "Other")).await;
    assert_eq!(outcomes(&reply), [(200, None)]);
    assert_eq!(reply.body["data"]["results"][0]["replayed"], false);
}

#[tokio::test]
async fn a_user_who_is_deactivated_before_the_append_does_not_order_by_a_batch() {
    let (stage, mut arrivals) = Stage::new();
    let shop = Shop::over(Arc::clone(&stage) as _, ShopOptions::default());
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.50").await);
    stage.cue(Cue::GoOn);
    let batch = tokio::spawn({
        let (shop, commands) = (shop.clone(), json!([place(&v7(), &user, &product, 1)]));
        async move { run(&shop, commands).await }
    });
    arrivals.next().await;
    shop.delete(&format!("/api/v1/users/{user}")).await.ok();
    stage.go();
    assert_eq!(outcomes(&batch.await.unwrap()), [(409, Some("user/deactivated"))]);
    assert!(!shop.types().await.contains(&"order.placed".to_owned()));
}

#[tokio::test]
async fn a_batch_in_progress_takes_a_place_among_the_commands() {
    let (stage, mut arrivals) = Stage::new();
    let options = ShopOptions { commands_at_once: 1, ..ShopOptions::default() };
    let shop = Shop::over(Arc::clone(&stage) as _, options);
    stage.cue(Cue::GoOn);
    let first = tokio::spawn({
        let shop = shop.clone();
        async move { run(&shop, json!([register(&v7(), "ada@example.com")])).await }
    });
    arrivals.next().await;
    let other = run(&shop, json!([register(&v7(), "bob@example.com")])).await;
    other.problem(503, "overloaded");
    stage.go();
    assert_eq!(outcomes(&first.await.unwrap()), [(201, None)]);
    stage.cue(Cue::Fail(StoreError::Unavailable(None)));
    stage.go();
    let failed = run(&shop, json!([register(&v7(), "bob@example.com")])).await;
    failed.problem(503, "store/unavailable");
    let last = run(&shop, json!([register(&v7(), "bob@example.com")])).await;
    assert_eq!(outcomes(&last), [(201, None)], "each gives its place back");
}
