//! A paused projection: nobody projects it until somebody resumes it, whatever process dies
//! meanwhile.

use serde_json::Value;

use crate::rebuild::{projected, succeeds};
use crate::support::admin::Admin;
use crate::support::life::Life;
use crate::support::process::Process;
use crate::support::{
    append, ask, contents, postgres_store, replayed, runner, until, until_all_at,
};

const ORDERS: &str = "SELECT min(position) FROM read_model.checkpoints WHERE projection = 'orders'";
const OTHERS: &str =
    "SELECT min(position) FROM read_model.checkpoints WHERE projection <> 'orders'";

async fn until_others_at(url: &str, position: i64) {
    until("every other projection at the head", || async {
        ask::<i64>(url, OTHERS).await == position
    })
    .await;
}

async fn until_ready(process: &Process) {
    until("readiness", || async { process.get("/readyz").await.starts_with("HTTP/1.1 200") }).await;
}

#[tokio::test]
async fn p6_a_paused_projection_stands_still_through_kill_9_and_loses_nothing() {
    let database = projected(521, 100).await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let mut life = Life::new(522);
    let mut process = Process::start(url);
    until_ready(&process).await;
    let address = process.admin();
    let who = ["--by", "clerk-7", "--reason", "a look at the rows", "--admin", &address];
    let said = succeeds(url, &[&["pause", "orders"][..], &who].concat()).await;
    assert!(
        said.contains("orders is paused by clerk-7") && said.contains("position 100"),
        "{said}"
    );

    append(store.as_ref(), life.goes_on(50)).await;
    until_others_at(url, 150).await;
    assert_eq!(ask::<i64>(url, ORDERS).await, 100);
    let status = succeeds(url, &["status", "--json"]).await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let partitions = status["projections"].as_array().unwrap();
    let orders = partitions.iter().find(|found| found["projection"] == "orders").unwrap();
    assert_eq!(
        (&orders["mode"], &orders["paused"]["paused_by"], &orders["paused"]["reason"]),
        (&"paused".into(), &"clerk-7".into(), &"a look at the rows".into()),
        "{status}"
    );
    until_ready(&process).await;
    let verbose = process.get("/readyz?verbose").await;
    assert!(verbose.contains("orders is paused by clerk-7 since "), "{verbose}");

    process.kill_9().await;
    let next = Process::start(url);
    append(store.as_ref(), life.goes_on(50)).await;
    until_others_at(url, 200).await;
    until_ready(&next).await;
    assert_eq!(ask::<i64>(url, ORDERS).await, 100, "a new process leaves it alone too");

    let address = next.admin();
    let who = ["--by", "clerk-8", "--reason", "seen enough", "--admin", &address];
    let said = succeeds(url, &[&["resume", "orders"][..], &who].concat()).await;
    assert!(said.contains("orders goes on; clerk-7 had paused it"), "{said}");
    until_all_at(url, 200).await;
    until_ready(&next).await;
    until("readiness to tell of no pause", || async {
        !next.get("/readyz?verbose").await.contains("is paused")
    })
    .await;
    drop(next);
    assert_eq!(contents(url).await, replayed(store).await);
}

#[tokio::test]
async fn whoever_takes_a_partition_sees_a_pause_that_was_recorded_before() {
    let database = projected(523, 40).await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let process = Process::start(url);
    let admin = Admin::of(&process).await;
    let path = admin.ask("pause", "orders", serde_json::json!({})).await;
    let paused = admin.ended(&path).await;
    assert_eq!(
        (&paused["result"]["at_rest"], &paused["result"]["position"]),
        (&true.into(), &40.into()),
        "{paused}"
    );
    drop(process);
    append(store.as_ref(), Life::new(524).goes_on(20)).await;
    let mut alone = runner(postgres_store(url).await, url);
    alone.run_once().await.unwrap();
    alone.give_up().await;
    assert_eq!((ask::<i64>(url, ORDERS).await, ask::<i64>(url, OTHERS).await), (40, 60));
}
