//! Tests of many clients that name versions at once, most of them outdated.
//!
//! Each gets a refusal that is based on a state no older than its request. A busy store does not
//! count as one that is away.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use event_store::{PostgresOptions, PostgresStore};
use local_servers::TestDatabase;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::hot::everybody_waits;
use crate::postgres::{at_once, database, shop};
use crate::support::{Cue, Reply, Shop, ShopOptions, Stage, With, json_request};

const CLIENTS: usize = 200;
/// The number of requests of each client, without pauses.
const ROUNDS: usize = 5;
/// The id of a product that does not exist.
const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

fn path(product: &str) -> String {
    format!("/api/v1/products/{product}")
}

/// A change by a client that has seen this version.
fn rename(shop: &Shop, path: &str, name: &str, seen: i64) -> JoinHandle<Reply> {
    let request = json_request("PATCH", path, &json!({"name": name}))
        .with("if-match", &format!("\"{seen}\""));
    let shop = shop.clone();
    tokio::spawn(async move { shop.send(request).await })
}

/// The version in a refusal.
#[track_caller]
fn newest(refused: &Reply) -> i64 {
    refused.problem(412, "stale-version");
    refused.header("etag").trim_matches('"').parse().unwrap()
}

/// Makes the read of every event slow from now on.
async fn make_reads_slow(database: &TestDatabase) {
    let slow = "ALTER TABLE event_store.events ENABLE ROW LEVEL SECURITY;
        CREATE POLICY slow ON event_store.events FOR SELECT USING (pg_sleep(0.05) IS NOT NULL)";
    let mut owner =
        <sqlx::PgConnection as sqlx::Connection>::connect(database.url()).await.unwrap();
    sqlx::raw_sql(slow).execute(&mut owner).await.unwrap();
}

/// A shop with one connection for reads, and nothing in memory.
async fn narrow_shop(database: &TestDatabase) -> Shop {
    let url = database.url_in_group("event_store_appender").await;
    let options = PostgresOptions::from_url(&url).unwrap().read_connections(1);
    let shop = Shop::over(
        Arc::new(PostgresStore::connect(options).await.unwrap()),
        ShopOptions::default(),
    );
    // It first reads the log, as a process does before it accepts commands.
    shop.patch(&path(NOBODY), json!({"name": "lp"})).await.problem(404, "not-found");
    shop
}

#[tokio::test]
async fn many_who_name_an_old_version_at_once_are_refused_by_one_load() {
    let (stage, _arrivals) = Stage::new();
    let shop = Shop::over(stage.clone(), ShopOptions::default());
    let path = path(&shop.product("1.00").await);
    let before = stage.reads();
    let held = stage.hold_reads().await;
    let clients: Vec<_> = (0..CLIENTS).map(|_| rename(&shop, &path, "lp", 9)).collect();
    everybody_waits().await;
    drop(held);
    for client in clients {
        assert_eq!(newest(&client.await.unwrap()), 1);
    }
    // The load of the first request had begun when the others arrived.
    let loads = stage.reads() - before;
    assert!((1..=2).contains(&loads), "{loads} loads for {CLIENTS} clients");
}

#[tokio::test]
async fn nobody_is_refused_by_a_state_from_before_the_request() {
    let (stage, mut arrivals) = Stage::new();
    let shop = Shop::over(stage.clone(), ShopOptions::default());
    let path = path(&shop.product("1.00").await);
    stage.cue(Cue::GoOn);
    let change = rename(&shop, &path, "lp", 1);
    arrivals.next().await;
    let held = stage.hold_reads().await;
    let early = rename(&shop, &path, "early", 9);
    everybody_waits().await;
    // That request has read version 1, which is no longer the newest.
    stage.go();
    assert_eq!(change.await.unwrap().ok()["version"], 2);
    let late = rename(&shop, &path, "mc", 2);
    everybody_waits().await;
    assert!(!early.is_finished() && !late.is_finished());
    drop(held);
    assert_eq!(newest(&early.await.unwrap()), 1);
    assert_eq!(late.await.unwrap().ok()["version"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_with_an_old_version_are_all_told_so() {
    let database = database().await;
    let path = path(&shop(&database).await.product("1.00").await);
    let shop = narrow_shop(&database).await;
    make_reads_slow(&database).await;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (shop, path) = (shop.clone(), path.clone());
            tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    assert_eq!(newest(&rename(&shop, &path, "lp", 9).await.unwrap()), 1);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_writers_every_refusal_names_a_version_no_older_than_its_request() {
    let database = database().await;
    let shops = [shop(&database).await, narrow_shop(&database).await];
    let path = path(&shops[0].product("1.00").await);
    let acknowledged = Arc::new(AtomicI64::new(1));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (shop, path, acknowledged) =
                (shops[number % 2].clone(), path.clone(), acknowledged.clone());
            tokio::spawn(async move {
                let mut made = Vec::new();
                for round in 0..ROUNDS {
                    let seen = acknowledged.load(Ordering::SeqCst);
                    // Every fifth client names the newest version acknowledged to any client.
                    let named = if number.is_multiple_of(5) { seen } else { seen - 1 };
                    let reply =
                        rename(&shop, &path, &format!("{number} {round}"), named).await.unwrap();
                    if reply.status == 200 {
                        let version = reply.ok()["version"].as_i64().unwrap();
                        assert_eq!(
                            version,
                            named + 1,
                            "it was decided on the version that it named"
                        );
                        acknowledged.fetch_max(version, Ordering::SeqCst);
                        made.push(version);
                    } else {
                        let newest = newest(&reply);
                        assert!(
                            newest >= seen && newest != named,
                            "{newest} was told, {seen} acknowledged, {named} named"
                        );
                    }
                }
                made
            })
        })
        .collect();
    let mut made = Vec::new();
    for client in clients {
        made.extend(client.await.unwrap());
    }
    let last = acknowledged.load(Ordering::SeqCst);
    assert!(last > 1, "nobody won");
    assert_eq!(
        (made.len(), made.into_iter().collect()),
        (usize::try_from(last).unwrap() - 1, (2..=last).collect::<BTreeSet<_>>())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_products_that_must_all_be_loaded_at_once_keep_the_store_busy_and_not_away() {
    // Their loads together take longer than the limit for a silent server.
    const PRODUCTS: usize = 80;
    let database = database().await;
    let warm = shop(&database).await;
    let add = json!({"name": "cd", "unit_price": "1.00", "currency": "USD", "stock": 10});
    let added = at_once(&[warm.clone(), warm], PRODUCTS, |_| {
        json_request("POST", "/api/v1/products", &add)
    })
    .await;
    let paths: Vec<_> = added.iter().map(|reply| path(&reply.made())).collect();
    let cold = narrow_shop(&database).await;
    make_reads_slow(&database).await;
    let change = |number: usize| json_request("PATCH", &paths[number], &json!({"name": "lp"}));
    let changed = at_once(&[cold.clone(), cold], PRODUCTS, change).await;
    for reply in &changed {
        assert_eq!(reply.ok()["version"], 2);
    }
}
