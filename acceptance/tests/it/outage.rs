//! One service is away at a time, and the others continue (P8). The event store and the read model
//! are on separate clusters.

use std::ops::RangeBounds;
use std::time::Duration;

use acceptance::{Answer, Client, Launched, Service, until};
use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use serde_json::json;

/// How long missed events may take to be caught up.
const CATCH_UP_LIMIT: Duration = Duration::from_mins(1);
/// The age of answers while everything works, in seconds: the projector confirms every second that
/// nothing is missing.
const FRESH: f64 = 3.0;
/// An age that answers have only if nobody brings them up to date.
const OLD: f64 = 8.0;

#[tokio::test]
async fn p8_commands_are_taken_without_the_read_side_and_queries_answered_without_the_write_side()
-> Result<()> {
    let mut system = Launched::start().await?;
    let client = system.client()?;
    let first = register(&client, "first").await?;
    client
        .get_after(&format!("/api/v1/users/{}", first.id()?), &first)
        .await?
        .expect(StatusCode::OK)?;

    commands_without_the_read_side(&mut system, &client).await?;
    queries_without_the_write_side(&mut system, &client, &first).await?;

    let log = system.log()?;
    log.wait_until_caught_up(CATCH_UP_LIMIT).await?;
    log.check_dense().await?;
    log.check_stream().await
}

/// Stops NATS, the projector, the query API and the read model's cluster, one after another and
/// finally all at once.
async fn commands_without_the_read_side(system: &mut Launched, client: &Client) -> Result<()> {
    let mut written = Vec::new();

    system.nats.stop().await;
    written.push(register(client, "without-nats").await?);
    // The read side still sees the command, because without the broker it reads the store.
    shown(client, &written[0]).await?;
    system.nats.start_again().await;

    system.stop(Service::Projector).await?;
    written.push(register(client, "without-projector").await?);

    system.stop(Service::QueryApi).await?;
    written.push(register(client, "without-query-api").await?);
    assert!(client.get("/api/v1/users").await.is_err(), "the query API is away");

    system.read_model.stop().await;
    system.stop(Service::EventRelay).await?;
    system.nats.stop().await;
    written.push(register(client, "without-any-of-them").await?);

    system.nats.start_again().await;
    system.read_model.start_again().await;
    for service in [Service::EventRelay, Service::Projector, Service::QueryApi] {
        system.launch(service)?;
        system.wait_until_ready(service).await?;
    }
    for one in &written {
        shown(client, one).await?;
    }
    Ok(())
}

/// Stops the event store's cluster, the relay and NATS.
async fn queries_without_the_write_side(
    system: &mut Launched,
    client: &Client,
    first: &Answer,
) -> Result<()> {
    let path = format!("/api/v1/users/{}", first.id()?);
    let before = client.get(&path).await?.expect(StatusCode::OK)?;
    is_as_old(client, &path, ..FRESH).await?;

    system.event_store.stop().await;
    queries_are_answered(client, &path, &before).await?;
    let refused =
        client.post("/api/v1/users", &json!({"email": "refused@example.com", "name": "R"})).await?;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.body);
    assert!(refused.headers.contains_key("retry-after"), "{:?}", refused.headers);

    system.stop(Service::EventRelay).await?;
    system.nats.stop().await;
    queries_are_answered(client, &path, &before).await?;
    // Nobody can tell whether anything happened since.
    for path in [path.as_str(), "/api/v1/sales/daily"] {
        is_as_old(client, path, OLD..).await?;
    }
    for service in [Service::CommandApi, Service::Projector, Service::QueryApi] {
        assert!(system.runs(service), "{service:?} ended because a service was away");
    }

    system.event_store.start_again().await;
    system.nats.start_again().await;
    system.launch(Service::EventRelay)?;
    for service in [Service::CommandApi, Service::EventRelay, Service::Projector, Service::QueryApi]
    {
        system.wait_until_ready(service).await?;
    }
    let after = register(client, "after").await?;
    shown(client, &after).await?;
    for path in [path.as_str(), "/api/v1/sales/daily"] {
        is_as_old(client, path, ..FRESH).await?;
    }
    Ok(())
}

/// Waits until an answer says an age in this range, in seconds.
async fn is_as_old(client: &Client, path: &str, ages: impl RangeBounds<f64>) -> Result<()> {
    until(&format!("the age of {path}"), CATCH_UP_LIMIT, async || {
        let answer = client.get(path).await?.expect(StatusCode::OK)?;
        let lag = answer.body["meta"]["lag_seconds"].as_f64().context("no age")?;
        ensure!(ages.contains(&lag), "it is {lag} seconds old");
        Ok(Some(()))
    })
    .await
}

async fn queries_are_answered(client: &Client, path: &str, before: &Answer) -> Result<()> {
    let now = client.get(path).await?.expect(StatusCode::OK)?;
    assert_eq!(now.data(), before.data());
    for list in ["/api/v1/users", "/api/v1/orders", "/api/v1/products", "/api/v1/sales/daily"] {
        client.get(list).await?.expect(StatusCode::OK)?;
    }
    Ok(())
}

async fn register(client: &Client, name: &str) -> Result<Answer> {
    let body = json!({"email": format!("{name}@example.com"), "name": name});
    client.post("/api/v1/users", &body).await?.expect(StatusCode::CREATED)
}

/// Waits until the query API shows the result of a command.
async fn shown(client: &Client, made: &Answer) -> Result<()> {
    let path = format!("/api/v1/users/{}", made.id()?);
    until(&format!("{path} is shown"), CATCH_UP_LIMIT, async || {
        let answer = client.get_after(&path, made).await?;
        ensure!(answer.status == StatusCode::OK, "{}: {}", answer.status, answer.body);
        Ok(Some(()))
    })
    .await
}
