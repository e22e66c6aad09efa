//! Tests of races over Postgres. Keys, unique addresses and versions hold when many requests arrive
//! at once, also through two processes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use event_store::{PostgresOptions, PostgresStore, postgres};
use local_servers::{TestDatabase, test_run};
use serde_json::json;

use crate::support::{Reply, Shop, ShopOptions, With, json_request};

pub(crate) async fn database() -> TestDatabase {
    let fingerprint = postgres::schema_fingerprint();
    TestDatabase::create("command_api", &fingerprint, |url| async move {
        Ok(postgres::migrate(&url).await?)
    })
    .await
}

pub(crate) async fn shop(database: &TestDatabase) -> Shop {
    // Connect as the process does, in the role that may only append and read.
    let url = database.url_in_group("event_store_appender").await;
    let store = PostgresStore::connect(PostgresOptions::from_url(&url).unwrap()).await.unwrap();
    Shop::over(Arc::new(store), ShopOptions::default())
}

/// Sends all requests at once, alternately to both shops.
pub(crate) async fn at_once(
    shops: &[Shop; 2],
    count: usize,
    request: impl Fn(usize) -> axum::http::Request<axum::body::Body>,
) -> Vec<Reply> {
    let sent: Vec<_> = (0..count)
        .map(|number| {
            let (shop, request) = (shops[number % 2].clone(), request(number));
            tokio::spawn(async move { shop.send(request).await })
        })
        .collect();
    let mut replies = Vec::new();
    for reply in sent {
        replies.push(reply.await.unwrap());
    }
    replies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_one_key_sent_fifty_times_at_once_to_two_processes_has_one_effect_and_one_answer() {
    let database = database().await;
    let shops = [shop(&database).await, shop(&database).await];
    for round in 0..test_run().count(3, 100) {
        let (email, key) = (format!("ada{round}@example.com"), format!("key-{round}"));
        let body = json!({"email": email, "name": "Ada"});
        let request =
            |_| json_request("POST", "/api/v1/users", &body).with("idempotency-key", &key);
        let replies = at_once(&shops, 50, request).await;
        let answers: BTreeSet<_> = replies
            .iter()
            .map(|reply| (reply.made(), reply.body["meta"]["position"].to_string()))
            .collect();
        assert_eq!(answers.len(), 1, "round {round}: {answers:?}");
        let first =
            replies.iter().filter(|reply| reply.header("idempotent-replayed").is_empty()).count();
        assert_eq!(first, 1, "round {round}");
        assert_eq!(shops[0].types().await.len() as u64, round + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_users_who_swap_into_one_address_at_once_do_not_share_it() {
    let database = database().await;
    let shops = [shop(&database).await, shop(&database).await];
    let users = [shops[0].user("ada@example.com").await, shops[0].user("grace@example.com").await];
    let body = json!({"email": "wanted@example.com"});
    let request = |number: usize| {
        json_request("PATCH", &format!("/api/v1/users/{}", users[number % 2]), &body)
    };
    let replies = at_once(&shops, 10, request).await;
    let winners: BTreeSet<_> = replies
        .iter()
        .filter(|reply| reply.status == 200)
        .map(|reply| reply.ok()["id"].to_string())
        .collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(
        shops[0]
            .types()
            .await
            .iter()
            .filter(|event_type| *event_type == "user.email_changed")
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn races_for_one_product_lose_nothing_and_stock_is_never_negative() {
    let database = database().await;
    let shops = [shop(&database).await, shop(&database).await];
    let path = format!("/api/v1/products/{}/stock", shops[0].product("1.00").await);
    let replies = at_once(&shops, 25, |_| json_request("POST", &path, &json!({"delta": -1}))).await;
    let sold = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(sold, 10, "ten were in stock");
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        reply.problem(409, "product/not-enough-stock");
    }
    assert_eq!(shops[0].log().await.pop().unwrap().1["stock"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_comes_after_its_users_deactivation() {
    let database = database().await;
    let shops = [shop(&database).await, shop(&database).await];
    for round in 0..test_run().count(3, 200) {
        let (user, product) = (
            shops[0].user(&format!("ada{round}@example.com")).await,
            shops[0].product("1.00").await,
        );
        let order = json!({"user_id": user, "lines": [{"product_id": product, "quantity": 1}]});
        let request = |number: usize| match number {
            7 => json_request("DELETE", &format!("/api/v1/users/{user}"), &json!({})),
            _ => json_request("POST", "/api/v1/orders", &order),
        };
        for reply in at_once(&shops, 15, request).await {
            assert!(matches!(reply.status.as_u16(), 200 | 201 | 409), "{:#}", reply.body);
        }
        let log = shops[0].log().await;
        let of_user = log
            .iter()
            .filter(|(_, data)| data["user_id"] == user)
            .map(|(event_type, _)| event_type.as_str());
        let after = of_user.skip_while(|event_type| *event_type != "user.deactivated").count();
        assert_eq!(after, 1, "round {round}: nothing of the user comes after the deactivation");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_a_repeat_after_a_restart_answers_as_the_first_did() {
    let database = database().await;
    let body = json!({"email": "ada@example.com", "name": "Ada"});
    let request = || json_request("POST", "/api/v1/users", &body).with("idempotency-key", "k");
    let first = shop(&database).await.send(request()).await;
    let again = shop(&database).await.send(request()).await;
    assert_eq!((first.made(), again.header("idempotent-replayed")), (again.made(), "true"));
    assert_eq!(first.header("consistency-token"), again.header("consistency-token"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_clients_that_hang_up_at_any_moment_and_ask_again_have_one_effect_each() {
    let run = test_run();
    let database = database().await;
    let shop = shop(&database).await;
    let clients = run.count(100, 10_000);
    for client in 0..clients {
        let body = json!({"email": format!("ada{client}@example.com"), "name": "Ada"});
        let request = || {
            json_request("POST", "/api/v1/users", &body)
                .with("idempotency-key", &format!("k{client}"))
        };
        let impatient = tokio::spawn({
            let (shop, request) = (shop.clone(), request());
            async move { shop.send(request).await }
        });
        // The delays are spread evenly over the time of a registration, a millisecond or two.
        tokio::time::sleep(Duration::from_micros(
            run.seed.wrapping_add(client).wrapping_mul(7_919) % 2_000,
        ))
        .await;
        impatient.abort();
        shop.send(request()).await.made();
    }
    shop.drain().await;
    assert_eq!(shop.types().await.len() as u64, clients.min(10_000));
}
