//! The payment provider and the shipper are down for a while. The circuit breaker opens, nothing
//! piles up beyond its bounds, and all orders are fulfilled afterwards without help.

use std::path::Path;
use std::time::Duration;

use acceptance::{RunningStack, until};
use anyhow::{Context as _, Result, ensure};
use local_servers::{http_get, resident_memory_kib, test_run};
use serde_json::Value;
use tokio::time::Instant;

use crate::fulfilment::shop::Shop;

/// The number of orders that are confirmed during the outage: more than are driven at once.
const ORDERS: usize = 48;
/// `SAGAS_AT_ONCE` of the process manager.
const AT_ONCE: f64 = 8.0;
const AT_ONCE_TEXT: &str = "8";
/// The attempts that open a breaker, how many probes there are then, and how often.
const OPENING: f64 = 10.0;
const PROBES: f64 = 3.0;
const PROBING_EVERY: Duration = Duration::from_secs(10);
/// The most failed attempts of one saga: their pauses double from half a second.
const FAILED_OF_A_SAGA: i64 = 12;
/// By how much the process may grow, in KiB.
const GROWTH_KIB: u64 = 32 * 1024;
/// How long the breaker may take to open, or to close after the outage. A saga looks again after a
/// minute at most.
const BREAKER_LIMIT: Duration = Duration::from_mins(3);
const COUNTRY: &str = "AT";
const TARGET: &str = "{target=\"payment_sandbox\"}";
const OPEN: f64 = 2.0;
const CLOSED: f64 = 0.0;

/// What the process manager says of itself.
struct Manager<'a>(&'a RunningStack);

impl Manager<'_> {
    async fn page(&self, path: &str) -> Result<String> {
        let endpoints = self.0.endpoints()?;
        let admin = endpoints.admin.get("process_manager").context("the process manager")?;
        Ok(http_get(format!("{admin}{path}")).await?.error_for_status()?.text().await?)
    }

    /// The value of a series; 0 if it is not there yet.
    async fn figure(&self, series: &str) -> Result<f64> {
        let metrics = self.page("/metrics").await?;
        let mut lines = metrics.lines().filter_map(|line| line.rsplit_once(' '));
        let found = lines.find(|(name, _)| *name == series);
        found.map_or(Ok(0.0), |(_, value)| value.parse().context("a number"))
    }

    async fn breaker_becomes(&self, state: f64) -> Result<()> {
        until(&format!("the breaker is {state}"), BREAKER_LIMIT, async || {
            let now = self.figure(&format!("circuit_breaker_state{TARGET}")).await?;
            Ok(((now - state).abs() < 0.5).then_some(()))
        })
        .await
    }

    async fn attempts(&self) -> Result<f64> {
        self.figure(&format!("outward_attempt_duration_seconds_count{TARGET}")).await
    }

    /// Fails if the process drives too many sagas, has grown too much, or is not ready.
    async fn is_within_bounds(&self, memory: u64) -> Result<()> {
        self.page("/readyz").await.context("the process manager is not ready")?;
        let driven = self.figure("saga_driven").await?;
        ensure!(driven <= AT_ONCE, "{driven} sagas are driven at once");
        let now = resident_memory_kib(self.0.pid("process-manager")?)?;
        ensure!(now <= memory + GROWTH_KIB, "{now} KiB, {memory} KiB before");
        Ok(())
    }
}

#[tokio::test]
async fn while_a_target_is_down_nothing_piles_up_and_all_drains_by_itself_afterwards() -> Result<()>
{
    let outage = Duration::from_secs(test_run().count(15, 60));
    let stack = RunningStack::start_with(&[("SAGAS_AT_ONCE", Path::new(AT_ONCE_TEXT))]).await?;
    let (manager, log) = (Manager(&stack), stack.log()?);
    let shop = Shop::open(&stack, 1_000).await?;
    let first = shop.confirmed(1, COUNTRY).await?;
    shop.ended(&first).await?;
    let memory = resident_memory_kib(stack.pid("process-manager")?)?;
    let (attempts, failed) = (manager.attempts().await?, log.count("saga.step_failed").await?);
    ensure!(attempts > 0.0, "the first order was charged without an attempt");

    stack.run(&["stop", "sandbox"]).await?;
    let began = Instant::now();
    let mut orders = Vec::new();
    for _ in 0..ORDERS {
        orders.push(shop.confirmed(1, COUNTRY).await?);
    }
    manager.breaker_becomes(OPEN).await?;
    let mut looks = 0;
    while began.elapsed() < outage {
        manager.is_within_bounds(memory).await?;
        looks += 1;
        tokio::time::sleep(acceptance::POLL).await;
    }
    ensure!(looks > 0, "the breaker opened after the outage");
    // A call that was under way when the breaker opened may still fail.
    let probing = began.elapsed().as_secs_f64() / PROBING_EVERY.as_secs_f64() + 1.0;
    let most = OPENING + AT_ONCE + PROBES * probing;
    let sent = manager.attempts().await? - attempts;
    ensure!(sent <= most, "{sent} attempts, at most {most} were expected");
    let tried = log.count("saga.step_failed").await? - failed;
    let most = i64::try_from(ORDERS)? * FAILED_OF_A_SAGA;
    ensure!((1..=most).contains(&tried), "{tried} failed attempts in the log");

    stack.run(&["start", "sandbox"]).await?;
    for order in &orders {
        ensure!(shop.ended(order).await?["status"] == "shipped", "{order} is not shipped");
        let count = shop.count(order).await?;
        ensure!((count.captured, count.refunded, count.shipped) == (1, 0, 1), "{order}: {count:?}");
    }
    manager.breaker_becomes(CLOSED).await?;
    manager.is_within_bounds(memory).await?;
    shop.is_conserved(i64::try_from(ORDERS)? + 1).await?;
    let left = stack.run(&["run", "process-manager", "sagas", "list", "--json"]).await?;
    ensure!(serde_json::from_str::<Vec<Value>>(&left)?.is_empty(), "{left}");
    ensure!(shop.effects_of_keys().await?.values().all(|count| *count <= 1), "a key twice");
    stack.down().await
}
