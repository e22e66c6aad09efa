//! Sagas whose gateway fails 20 % of the requests, does not answer 5 % (half of which take effect),
//! and sends 5 % of its events twice.
//!
//! All of them must end, and nothing may happen twice: the sandbox counts by key and order, the log
//! has the rest.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;

use super::customers::Pace;
use super::shop::Shop;
use super::{BENCH, SagasBench, record};
use crate::bench::crowd::precise;
use crate::bench::figure::Figure;
use crate::bench::say;

/// How long all sagas may take to end.
const LIMIT: Duration = Duration::from_hours(1);
const CASE: &str = "20 % fail, 5 % time out, 5 % twice";

/// Fulfils the orders, and checks how they ended.
pub(super) async fn measure(bench: &SagasBench) -> anyhow::Result<Vec<Figure>> {
    let shop = Shop::open(bench).await?;
    say(&format!("{}\n", shop.settings().await?))?;
    let faults = json!({"error": 0.2, "hang": 0.025, "lost": 0.025, "twice": 0.05,
        "hang_ms": bench.hang_ms});
    shop.gateway.set_faults(&faults).await?;
    let (mut log, from) = shop.log().await?;
    let began = Instant::now();
    let confirmed = shop.customers(Pace::Full, bench.sagas).await?.finish().await?;
    shop.drained(&mut log, (from, confirmed), LIMIT).await?;
    let seconds = began.elapsed().as_secs_f64();

    let found = record::found(&mut log, from).await?;
    ensure!(
        found.sagas == i64::from(bench.sagas) && found.ended() == found.sagas,
        "{} orders were confirmed: {found:?}",
        bench.sagas
    );
    record::is_once(&mut log, from).await?;
    let counts = shop.gateway.counts().await?;
    counts.check(found.parked)?;
    let fulfilled = i64::try_from(counts.fulfilled())?;
    ensure!(
        fulfilled >= found.completed,
        "{fulfilled} orders were fulfilled outside, {} sagas completed",
        found.completed
    );
    let times = record::times(&mut log, from).await?;
    let metrics = shop.metrics().await?;
    let memory = shop.peak_memory_mib()?;
    shop.close().await?;

    let figure = |metric, unit, value: f64| Figure::new(BENCH, CASE, metric, unit, &[value]);
    let count = |metric, value: i64| {
        figure(metric, "sagas", precise(u64::try_from(value).unwrap_or_default()))
    };
    let total = |name, label| total(&metrics, name, label);
    let rate = f64::from(confirmed) / seconds;
    Ok(vec![
        count("completed", found.completed),
        count("compensated", found.compensated),
        count("parked", found.parked),
        figure("rate", "sagas/s", rate),
        figure("p50 to the end", "ms", times.percentile(50)),
        figure("p99 to the end", "ms", times.percentile(99)),
        figure("slowest", "ms", times.percentile(100)),
        figure("requests", "requests", precise(counts.requests())),
        figure("retries of calls", "attempts", total("outward_retries_total", "")),
        figure("denied retries", "attempts", total("outward_retries_denied_total", "")),
        figure("failed attempts a saga", "attempts", found.failed_of_a_saga()),
        figure("breaker trips", "trips", total("circuit_breaker_changes_total", "to=\"open\"")),
        figure("peak memory", "MiB", memory),
    ])
}

/// The sum of the series of a metric that have this label.
fn total(metrics: &str, name: &str, label: &str) -> f64 {
    let series = metrics.lines().filter_map(|line| line.rsplit_once(' '));
    let counted = series
        .filter(|(series, _)| series.split('{').next() == Some(name) && series.contains(label));
    counted.filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
}
