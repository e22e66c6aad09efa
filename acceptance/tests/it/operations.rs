//! Operators of a running stack: the programs' own commands, run with the stack tool.

use std::time::Duration;

use acceptance::{RunningStack, until};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::sample;

/// Enough for more than one complete digest.
const CUSTOMERS: usize = 200;
/// The number of events in a complete digest.
const DIGEST: i64 = 1_000;
const LIMIT: Duration = Duration::from_mins(1);
/// The position of the event that is tampered with.
const CHANGED: i64 = 7;

#[tokio::test]
async fn the_log_of_a_running_stack_is_digested_and_verified_and_a_changed_event_is_named()
-> Result<()> {
    let stack = RunningStack::start().await?;
    let file = stack.directory().join("purchases.txt");
    sample()?.of_customers(CUSTOMERS, 1).write(&file)?;
    stack.run(&["import", "cdnow", file.to_str().context("a path that is text")?]).await?;
    let head = stack.log()?.wait_until_caught_up(LIMIT).await?;

    let status = until("the log is digested behind its head", LIMIT, async || {
        let status = event_store(&stack, &["status", "--json"]).await?;
        Ok(Some(status)
            .filter(|status| status["digested_to"].as_i64().is_some_and(|to| to >= DIGEST)))
    });
    let status = status.await?;
    assert_eq!((&status["position"], &status["epochs"]), (&json!(head), &json!(1)), "{status}");
    let found = event_store(&stack, &["verify", "--json"]).await?;
    assert_eq!(
        (&found["head"], &found["events"], &found["findings"]),
        (&json!(head), &json!(head), &json!([])),
        "{found}"
    );
    assert_eq!(found["digested_to"], status["digested_to"]);
    ensure!(
        found["reservations"].as_i64() > Some(0) && found["keys"].as_i64() > Some(0),
        "nothing was compared: {found}"
    );
    let shown = stack
        .run(&["run", "event-store", "read", "--after", "6", "--limit", "1", "--json"])
        .await?;
    let event: Value = serde_json::from_str(&shown)?;
    assert_eq!(event["position"], CHANGED);
    let table = stack
        .run(&["run", "event-store", "stream", event["stream"].as_str().context("a stream")?])
        .await?;
    ensure!(table.contains(event["type"].as_str().context("a type")?), "{table}");
    let projections: Value =
        serde_json::from_str(&stack.run(&["run", "projector", "status", "--json"]).await?)?;
    assert_eq!(
        (&projections["head"], &projections["projections"][0]["lag_events"]),
        (&json!(head), &json!(0))
    );

    let mut owner = PgConnection::connect(&stack.endpoints()?.postgres).await?;
    let change =
        "UPDATE event_store.events SET schema_version = schema_version + 1 WHERE position = $1";
    sqlx::query(change).bind(CHANGED).execute(&mut owner).await?;
    let output = stack.output(&["run", "event-store", "verify", "--json"]).await?;
    ensure!(output.status.code() == Some(1), "{}", output.status);
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let positions = found["findings"]
        .as_array()
        .context("findings")?
        .iter()
        .map(|finding| &finding["position"]);
    assert_eq!(positions.collect::<Vec<_>>(), [&json!(CHANGED)], "{found}");
    Ok(())
}

async fn event_store(stack: &RunningStack, arguments: &[&str]) -> Result<Value> {
    Ok(serde_json::from_str(&stack.run(&[&["run", "event-store"], arguments].concat()).await?)?)
}
