//! Webhooks of the running stack: its own grants, keys and tokens, and the shop's events.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use acceptance::{Client, RunningStack, until};
use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "Canarina";

/// The events that a receiver got.
type Received = Arc<Mutex<Vec<Value>>>;

/// A receiver on this machine, with its URL.
async fn receiver() -> Result<(String, Received)> {
    let received = Received::default();
    let keeps = Arc::clone(&received);
    let take = post(move |body: String| async move {
        match serde_json::from_str(&body) {
            Ok(event) => keeps.lock().unwrap().push(event),
            Err(_) => return StatusCode::BAD_REQUEST,
        }
        StatusCode::NO_CONTENT
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/in", listener.local_addr()?);
    let routes = Router::new().route("/in", take);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok((url, received))
}

async fn subscribe(stack: &RunningStack, url: &str, more: &[&str]) -> Result<()> {
    let create = ["run", "webhooks", "subscriptions", "create", "--name", "CRM", "--url", url];
    let create = [&create[..], &["--types", "user.registered"], more].concat();
    // The process may still be fetching the keys of access tokens.
    let made = until("a subscription", LIMIT, async || {
        let output = stack.output(&create).await?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
    })
    .await?;
    ensure!(made.contains("secret: whsec_"), "{made}");
    Ok(())
}

async fn got(received: &Received, what: &str) -> Result<Value> {
    until(what, LIMIT, async || {
        let all = received.lock().unwrap();
        Ok(all.iter().find(|event| event["type"] == what).cloned())
    })
    .await
}

async fn register(client: &Client) -> Result<String> {
    let person = json!({"email": "canary@example.com", "name": NAME});
    let made = client.post("/api/v1/users", &person).await?.expect(StatusCode::CREATED)?;
    Ok(made.data()["id"].as_str().context("an id")?.to_owned())
}

#[tokio::test]
async fn receivers_get_what_they_may_see_and_learn_of_erasures() -> Result<()> {
    let stack = RunningStack::start().await?;
    let ((plain_url, plain), (personal_url, personal)) = (receiver().await?, receiver().await?);
    subscribe(&stack, &plain_url, &[]).await?;
    subscribe(&stack, &personal_url, &["--personal"]).await?;
    let person = register(&stack.client()?).await?;
    let seen = got(&personal, "user.registered").await?;
    ensure!(seen.to_string().contains(NAME), "{seen}");
    let blind = got(&plain, "user.registered").await?;
    ensure!(blind["subject"] == seen["subject"] && !blind.to_string().contains(NAME), "{blind}");
    stack.run(&["run", "command-api", "erase-subject", &person, "--by", "ops-1"]).await?;
    for received in [&plain, &personal] {
        assert_eq!(got(received, "subject.erased").await?["data"]["subject"], json!(person));
    }
    let listed = stack.run(&["run", "webhooks", "subscriptions", "list", "--json"]).await?;
    let rows: Vec<Value> = serde_json::from_str(&listed)?;
    let by = |row: &Value| row["created_by"].as_str().is_some_and(|by| by.starts_with("user:"));
    ensure!(rows.len() == 2 && rows.iter().all(by), "the token names who decided: {listed}");
    stack.down().await
}
