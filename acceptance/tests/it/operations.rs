//! Operators of a running stack: the programs' own commands, run with the stack tool.

use std::time::Duration;

use acceptance::{RunningStack, until};
use anyhow::{Context, Result, ensure};
use local_servers::{http_get, test_client};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use stack::token::OPERATOR;

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

#[tokio::test]
async fn operations_of_a_stack_take_a_token_which_the_stack_tool_sends_by_itself() -> Result<()> {
    const OPERATIONS: &str = "/admin/v1/operations";
    let stack = RunningStack::start().await?;
    let admin = stack.endpoints()?.admin;
    let (projector, commands) = (&admin["projector"], &admin["command_api"]);
    for port in [projector, commands] {
        let refused = http_get(format!("{port}{OPERATIONS}")).await?;
        ensure!(refused.status() == 401, "{port}: {}", refused.status());
        let scraped = http_get(format!("{port}/metrics")).await?;
        ensure!(scraped.status() == 200, "{port}: {}", scraped.status());
    }
    // The projector pulls the keys when it is ready already.
    let token = stack.run(&["token"]).await?;
    until("the projector knows the keys", LIMIT, async || {
        let request = test_client().get(format!("{projector}{OPERATIONS}"));
        let answer = request.bearer_auth(token.trim()).send().await?;
        Ok(Some(()).filter(|()| answer.status() == 200))
    })
    .await?;
    let user = test_client().get(format!("{projector}{OPERATIONS}"));
    let user_token = stack.run(&["token", "--role", "user"]).await?;
    let refused = user.bearer_auth(user_token.trim()).send().await?;
    ensure!(refused.status() == 403, "{}", refused.status());

    let operator = format!("user:{OPERATOR}");
    let who = ["--by", "clerk-7", "--reason", "a look at the rows"];
    let paused = stack.run(&[&["run", "projector", "pause", "orders"][..], &who].concat()).await?;
    ensure!(paused.contains(&operator) && !paused.contains("clerk-7"), "{paused}");
    stack.run(&[&["run", "projector", "resume", "orders"][..], &who].concat()).await?;
    let listed = stack.run(&["run", "projector", "operations", "--json"]).await?;
    let listed: Value = serde_json::from_str(&listed)?;
    ensure!(listed.as_array().is_some_and(|all| all.len() == 2), "{listed}");
    ensure!(listed[0]["requested_by"] == operator && listed[0]["requested_with"].is_string());

    let person = json!({"email": "leaving@example.com", "name": "Leaving"});
    let person = stack.client()?.post("/api/v1/users", &person).await?;
    let person = person.id()?;
    let erase = ["run", "command-api", "erase-subject", person, "--reason", "ticket 12"];
    let proof = stack.run(&[&erase[..], &["--admin", commands]].concat()).await?;
    ensure!(proof.contains(&operator), "{proof}");
    Ok(())
}

async fn event_store(stack: &RunningStack, arguments: &[&str]) -> Result<Value> {
    Ok(serde_json::from_str(&stack.run(&[&["run", "event-store"], arguments].concat()).await?)?)
}
