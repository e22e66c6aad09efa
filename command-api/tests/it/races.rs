//! Tests of races over Postgres, through two processes: of many who want the same, one wins, and
//! the others get a clear answer.

use local_servers::test_run;
use serde_json::json;

use crate::postgres::{at_once, database, shop};
use crate::support::{With as _, json_request};

/// Clients want one e-mail address, in different spellings.
async fn race_for_one_address(clients: usize, rounds: u64) {
    let database = database().await;
    let shops = [shop(&database).await, shop(&database).await];
    for round in 0..rounds {
        let request = |number: usize| {
            let name = if number.is_multiple_of(3) { "ADA" } else { "ada" };
            let body = json!({"email": format!("{name}{round}@example.com"), "name": "Ada"});
            json_request("POST", "/api/v1/users", &body)
        };
        let replies = at_once(&shops, clients, request).await;
        let (won, lost): (Vec<_>, Vec<_>) =
            replies.into_iter().partition(|reply| reply.status == 201);
        assert_eq!(won.len(), 1, "round {round}: one address, one user");
        for reply in lost {
            reply.problem(409, "user/email-taken");
        }
    }
}

/// Clients add a line to one version of an order.
async fn race_for_one_version(clients: usize, rounds: u64) {
    let database = database().await;
    let shops = [shop(&database).await, shop(&database).await];
    for round in 0..rounds {
        let user = shops[0].user(&format!("ada{round}@example.com")).await;
        let product = shops[0].product("1.00").await;
        let order = shops[0].order(&user, &product).await;
        let line = json!({"product_id": product, "quantity": 1});
        let request = |_| {
            json_request("POST", &format!("/api/v1/orders/{order}/lines"), &line)
                .with("if-match", "\"1\"")
        };
        let replies = at_once(&shops, clients, request).await;
        let (won, lost): (Vec<_>, Vec<_>) =
            replies.into_iter().partition(|reply| reply.status.is_success());
        assert_eq!(won.len(), 1, "round {round}: one version, one change");
        for reply in lost {
            reply.problem(412, "stale-version");
            assert_eq!(reply.header("etag"), "\"2\"");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_16_who_want_one_address_one_gets_it() {
    race_for_one_address(16, test_run().count(3, 1_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_256_who_want_one_address_one_gets_it() {
    race_for_one_address(256, test_run().count(1, 1_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_16_who_change_one_version_of_an_order_one_does() {
    race_for_one_version(16, test_run().count(3, 1_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_256_who_change_one_version_of_an_order_one_does() {
    race_for_one_version(256, test_run().count(1, 1_000)).await;
}
