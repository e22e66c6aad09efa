//! The second run: how a throttled rebuild affects the lag of live projection, at a fifth of the
//! peak rate.
//!
//! The peak is the rate of the whole system with one command per append, at most a few thousand
//! events ahead of the projector. Rounds with and without a rebuild alternate, at the same rate.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::{BENCH, RebuildBench};
use crate::bench::figure::{Figure, Target};
use crate::bench::flow::{Flow, Speed};
use crate::bench::lag::{Lag, LagMeter};
use crate::bench::say;
use crate::bench::system::System;
use crate::{POLL, Service};

/// The share of the peak rate.
const SHARE: f64 = 0.2;
/// The maximum factor by which the lag may grow during a rebuild.
const MOST: f64 = 3.0;
/// The maximum lag of the projector behind the writers at the peak, in events.
const MOST_AHEAD: i64 = 5_000;
const FILL_APPEND: usize = 250;
const FILL_LIMIT: Duration = Duration::from_mins(30);
const CATCH_UP_LIMIT: Duration = Duration::from_mins(30);
const START_LIMIT: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Rounds {
    without: Vec<Lag>,
    beside: Vec<Lag>,
    rates: Vec<f64>,
}

/// Runs the rounds and returns the results.
pub(super) async fn run(bench: &RebuildBench) -> anyhow::Result<Vec<Figure>> {
    let system = System::create(&bench.url).await?;
    let mut flow = Flow::new(system.database.url(), FILL_APPEND).await?;
    flow.run(Speed::Full, FILL_LIMIT, bench.live_events).await?;
    let relay = system.launch(Service::EventRelay).await?;
    let projector = system.launch(Service::Projector).await?;
    system.wait_until_caught_up(CATCH_UP_LIMIT).await?;
    let mut flow = flow.with_appends_of(1);
    let round = Duration::from_secs_f64(bench.live_seconds);
    let meter = LagMeter::start(&system).await?;
    let peak = flow.run(Speed::Following(meter.least(), MOST_AHEAD), round, u64::MAX).await?;
    drop(meter);
    let peak = f64::from(u32::try_from(peak.events)?) / peak.seconds;
    say(&format!("peak: {peak:.0} events/s, one command an append"))?;
    let mut rounds = Rounds::default();
    for _ in 0..bench.rounds {
        let (lag, _) = lag(&system, &mut flow, peak, round).await?;
        rounds.without.push(lag);
        let rebuild = Rebuild::begin(&system, bench.throttle).await?;
        let (lag, rate) = lag_beside(&system, &mut flow, (peak, round), rebuild).await?;
        rounds.beside.push(lag);
        rounds.rates.push(rate);
    }
    for process in [projector, relay] {
        process.stop().await?;
    }
    drop(flow);
    system.drop().await?;
    Ok(rounds.figures(bench.throttle))
}

/// The lag of a round, and its actual rate.
async fn lag(
    system: &System,
    flow: &mut Flow,
    peak: f64,
    round: Duration,
) -> anyhow::Result<(Lag, f64)> {
    let before = system.wait_until_caught_up(CATCH_UP_LIMIT).await?;
    let mut meter = LagMeter::start(system).await?;
    let written = flow.run(Speed::PerSecond(peak * SHARE), round, u64::MAX).await?;
    let after = system.wait_until_caught_up(CATCH_UP_LIMIT).await?;
    Ok((
        meter.of((before, after)).await?,
        f64::from(u32::try_from(written.events)?) / written.seconds,
    ))
}

/// The same during a rebuild, which must not end before the round.
async fn lag_beside(
    system: &System,
    flow: &mut Flow,
    (peak, round): (f64, Duration),
    mut rebuild: Rebuild,
) -> anyhow::Result<(Lag, f64)> {
    let measured = lag(system, flow, peak, round).await?;
    ensure!(
        rebuild.child.try_wait()?.is_none(),
        "the rebuild was done before the round: more --live-events, or a lower --throttle"
    );
    rebuild.end(system).await?;
    Ok(measured)
}

struct Rebuild {
    child: tokio::process::Child,
}

impl Rebuild {
    /// Starts a rebuild and waits until it is loading.
    async fn begin(system: &System, throttle: u32) -> anyhow::Result<Self> {
        let mut command = system.command("projector")?;
        command.args([
            "rebuild",
            "orders",
            "--no-compare",
            "--no-switch",
            "--throttle",
            &throttle.to_string(),
        ]);
        let log = std::fs::File::create(system.logs().join("rebuild"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .context("the rebuild")?;
        let rebuild = Self { child };
        crate::until("the rebuild to begin", START_LIMIT, async || {
            Ok(building(system).await?.map(|_| ()))
        })
        .await?;
        Ok(rebuild)
    }

    /// Kills the rebuild and drops its generation.
    async fn end(mut self, system: &System) -> anyhow::Result<()> {
        self.child.kill().await?;
        let generation =
            building(system).await?.context("a generation that is being built")?.to_string();
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        // Its lease expires soon.
        while let Err(error) = system.projector(&["drop", "orders", &generation, "--yes"]).await {
            ensure!(tokio::time::Instant::now() < deadline, "{error:#}");
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

async fn building(system: &System) -> anyhow::Result<Option<i32>> {
    let statement = "SELECT generation FROM read_model.generations WHERE projection = 'orders' \
        AND state = 'building'";
    Ok(sqlx::query_scalar(statement).fetch_optional(&mut system.database.connect().await?).await?)
}

impl Rounds {
    fn figures(&self, throttle: u32) -> Vec<Figure> {
        let case = format!("live at a fifth of the peak, during --throttle {throttle}");
        let values = |lags: &[Lag], of: fn(&Lag) -> f64| lags.iter().map(of).collect::<Vec<_>>();
        let figure = |metric, of: fn(&Lag) -> f64, target| {
            let reference = values(&self.without, of);
            Figure::new(BENCH, &case, metric, "ms", &values(&self.beside, of)).against(
                "without a rebuild",
                &reference,
                target,
            )
        };
        vec![
            Figure::new(BENCH, &case, "offered", "events/s", &self.rates),
            figure("lag p50", |lag| lag.p50, None),
            figure("lag p99", |lag| lag.p99, Some(Target::AtMost(MOST))),
        ]
    }
}
