//! Tests of SIGTERM while commands are in progress.

use local_servers::{in_time, test_client, until};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::process::{Process, database};
use crate::support::tokens;

/// The maximum number of connections of the process.
const CONNECTIONS: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_every_connection_taken_a_drain_is_noticed_and_answers_what_was_sent() {
    let database = database().await;
    let limit = CONNECTIONS.to_string();
    let process =
        Process::start(&[("EVENT_STORE_URL", database.url()), ("MAX_CONNECTIONS", &limit)]);
    process.readiness(200).await;
    let mut holder = PgConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT epoch FROM event_store.log FOR UPDATE")
        .execute(&mut holder)
        .await
        .unwrap();
    let body = json!({"name": "cd", "unit_price": "1.00", "currency": "USD", "stock": 10});
    let commands = (0..CONNECTIONS).map(|_| {
        // A separate client has a separate connection.
        let request = test_client()
            .post(format!("{}/api/v1/products", process.api))
            .bearer_auth(tokens::admin())
            .json(&body);
        tokio::spawn(async move { request.send().await.map(|answer| answer.status().as_u16()) })
    });
    let commands: Vec<_> = commands.collect();
    let waiting = "eventstore_append_queue";
    until("all wait for the log", async || {
        process.gauge(waiting).await == Some(CONNECTIONS.into())
    })
    .await;
    process.terminate();
    process.readiness(503).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    for command in commands {
        assert_eq!(
            in_time("an answer", command).await.unwrap().unwrap(),
            201,
            "it was sent before the drain"
        );
    }
    let (code, log) = process.ended();
    assert_eq!(code, Some(0), "{log}");
}
