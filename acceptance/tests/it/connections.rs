//! All processes of a stack share one Postgres: together they may open no more connections than it
//! has, and under load no process opens more than it says.
//!
//! Each process says in its metrics how many connections it opens at most, from its own settings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use acceptance::{Client, Endpoints, POLL, RunningStack, Traffic};
use anyhow::{Context as _, Result, ensure};
use local_servers::http_get;
use reqwest::StatusCode;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

/// How long the load may take to be answered.
const LIMIT: Duration = Duration::from_mins(2);
/// The number of clients that write, and of each kind that reads.
const CLIENTS: usize = 24;
/// The number of commands that are answered under load.
const COMMANDS: u64 = 600;
/// A list of one row, so that its export is one line of JSON.
const EXPORT: &str = "/api/v1/products?format=ndjson";
/// What the clients read.
const READS: [&str; 4] =
    ["/api/v1/users?page_size=20", "/api/v1/orders", "/api/v1/sales/daily", EXPORT];
/// The texts with which Postgres refuses a connection because it has too many.
const REFUSALS: [&str; 2] = ["too many clients already", "remaining connection slots"];

#[tokio::test]
async fn the_processes_of_a_stack_fit_into_its_postgres_also_under_load() -> Result<()> {
    let stack = RunningStack::start().await?;
    stack.wait_until_ready().await?;
    let endpoints = stack.endpoints()?;
    let most = most_connections(&endpoints).await?;
    let mut observer = PgConnection::connect(&endpoints.postgres).await?;
    let room = room(&mut observer).await?;
    let all: i64 = most.values().sum();
    ensure!(all <= room, "{all} connections and room for {room}: {most:?}");

    let peaks = under_load(&stack, &mut observer).await?;
    for role in ["command_api", "query_api"] {
        ensure!(peaks.contains_key(role), "{role} was not asked: {peaks:?}");
    }
    for (role, peak) in &peaks {
        let most = most.get(role).with_context(|| format!("{role} says no maximum"))?;
        ensure!(peak <= most, "{role} has {peak} connections, and says at most {most}");
    }
    for file in std::fs::read_dir(stack.directory().join("logs"))? {
        let log = std::fs::read_to_string(file?.path())?;
        for refusal in REFUSALS {
            ensure!(!log.contains(refusal), "{refusal}: {}", stack.logs());
        }
    }
    observer.close().await?;
    Ok(())
}

/// How many connections each process opens at most, as it says, by its name.
async fn most_connections(endpoints: &Endpoints) -> Result<BTreeMap<String, i64>> {
    let mut all = BTreeMap::new();
    for (name, admin) in &endpoints.admin {
        let metrics = http_get(format!("{admin}/metrics")).await?.text().await?;
        let lines = metrics.lines().filter(|line| line.starts_with("db_connections_max{"));
        for line in lines {
            let figure = line.rsplit_once(' ').with_context(|| line.to_owned())?.1;
            *all.entry(name.clone()).or_default() +=
                figure.parse::<i64>().with_context(|| line.to_owned())?;
        }
    }
    Ok(all)
}

/// The number of connections that Postgres has for others than its superuser.
async fn room(observer: &mut PgConnection) -> Result<i64> {
    let room = sqlx::query_scalar(
        "SELECT current_setting('max_connections')::bigint
            - current_setting('superuser_reserved_connections')::bigint
            - COALESCE(current_setting('reserved_connections', true)::bigint, 0)",
    );
    Ok(room.fetch_one(observer).await?)
}

/// Lets clients write and read as fast as they are answered. Returns the most connections that each
/// role had meanwhile.
async fn under_load(
    stack: &RunningStack,
    observer: &mut PgConnection,
) -> Result<BTreeMap<String, i64>> {
    let client = stack.client()?;
    let product =
        json!({"name": "Blue Train", "unit_price": "14.67", "currency": "USD", "stock": 12});
    client.post("/api/v1/products", &product).await?.expect(StatusCode::CREATED)?;
    let traffic = Traffic::start(&client, CLIENTS);
    let (stop, mut readers) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for path in READS {
        for _ in 0..CLIENTS {
            readers.spawn(read(client.clone(), path, Arc::clone(&stop)));
        }
    }
    let mut peaks = BTreeMap::new();
    let deadline = tokio::time::Instant::now() + LIMIT;
    while traffic.answered() < COMMANDS {
        ensure!(tokio::time::Instant::now() < deadline, "{} answered", traffic.answered());
        for (role, connections) in connections(observer).await? {
            let peak = peaks.entry(role).or_insert(connections);
            *peak = connections.max(*peak);
        }
        tokio::time::sleep(POLL).await;
    }
    stop.store(true, Ordering::Relaxed);
    traffic.stop().await?;
    let mut read = 0;
    while let Some(ended) = readers.join_next().await {
        read += ended??;
    }
    ensure!(read > 0, "no query was answered");
    stack.log()?.wait_until_caught_up(LIMIT).await?;
    Ok(peaks)
}

/// The number of connections of each role except our own.
async fn connections(observer: &mut PgConnection) -> Result<Vec<(String, i64)>> {
    let connections = sqlx::query_as(
        "SELECT usename::text, count(*) FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND usename <> current_user GROUP BY usename",
    );
    Ok(connections.fetch_all(observer).await?)
}

/// Reads until it is stopped. Returns the number of answers.
async fn read(client: Client, path: &str, stop: Arc<AtomicBool>) -> Result<usize> {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        let answer = client.get(path).await?;
        // There are fewer places for exports than clients. On a machine that is busy otherwise, a
        // query may wait for a connection until it is refused.
        let is_refused = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS]
            .contains(&answer.status);
        if !is_refused {
            answer.expect(StatusCode::OK)?;
            answered += 1;
        }
    }
    Ok(answered)
}
