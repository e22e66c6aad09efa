//! `bench overload`: more commands than the command API can carry out.
//!
//! The command API is a process of its own on a durable server. This process makes the load, on
//! the same machine. All commands add products.
//!
//! - *peak* is the best rate of few connections, each of which sends one command after another.
//! - *closed* is the same with 640 connections. A refused client sends its next command at once.
//! - *open* has commands that are due at three times the peak, whatever the answers. If the
//!   connections cannot keep up, the rate that they offered counts; it is printed.
//!
//! After each of the last two it measures how long it takes until commands are as fast as before.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use local_servers::{loopback_client, peak_memory_kib};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::commands::load::Load;
use super::figure::{Figure, Target, table, write_json};
use super::say;
use super::system::{Running, System};
use crate::Service;

pub(super) mod press;

use press::{Ended, Pace, press};

const BENCH: &str = "overload";
/// The numbers of connections to try. The fastest one makes the peak.
const FEW: [usize; 3] = [16, 64, 256];
/// The connections whose rate is the normal one.
const NORMAL: usize = 64;
/// How long to measure each of these numbers.
const PEAK_SECONDS: f64 = 10.0;
/// The connections of the closed loop.
const CLOSED_CONNECTIONS: usize = 640;
/// The connections of the open loop.
const OPEN_CONNECTIONS: usize = 1_000;
/// The rate of the open loop, as a multiple of the peak.
const OPEN_RATE: f64 = 3.0;
/// The share of the peak that is still carried out.
const GOODPUT: f64 = 0.8;
/// The most memory that the process may use, in MiB.
const MOST_MIB: f64 = 256.0;
const KIB_PER_MIB: f64 = 1024.0;
/// The share of the normal rate that counts as normal again.
const NORMAL_SHARE: f64 = 0.9;
/// How long it may take until the rate is normal again.
const RECOVERY: Duration = Duration::from_secs(10);
/// How long this bench waits for that.
const RECOVERY_LIMIT: Duration = Duration::from_mins(1);
/// How long one measurement of the recovery takes.
const RECOVERY_ROUND: f64 = 1.0;
/// How often the process is asked whether it is alive, and how long it may take to answer.
const ALIVE_EVERY: Duration = Duration::from_millis(250);
const ALIVE_LIMIT: Duration = Duration::from_secs(5);

/// The arguments of `bench overload`.
#[derive(Debug, Args)]
pub struct OverloadBench {
    /// The server on which to create the benchmark's database. The role must be allowed to create
    /// databases.
    #[arg(long, env = "EVENT_STORE_URL", hide_env_values = true)]
    url: String,
    /// How many seconds each overload lasts.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// A file to which the results are also written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Runs the benchmark. Returns true if every limit was kept.
///
/// # Errors
/// A server or process fails, or an answer is neither a success nor a 503 with `Retry-After`.
pub async fn run(bench: OverloadBench) -> anyhow::Result<bool> {
    let system = System::create(&bench.url).await?;
    say(&format!("{}\n", system.database.settings().await?))?;
    let api = system.launch(Service::CommandApi).await?;
    let load = Load::prepare(api.address(), OPEN_CONNECTIONS).await?;
    let (mut peak, mut normal) = (0.0_f64, 0.0);
    // The first measurement warms the process up and does not count.
    for connections in [NORMAL].into_iter().chain(FEW) {
        let rate = press(&load, connections, Pace::Closed, PEAK_SECONDS).await?.rate();
        peak = peak.max(rate);
        if connections == NORMAL {
            normal = rate;
        }
    }
    let closed = (CLOSED_CONNECTIONS, Pace::Closed);
    let open = (OPEN_CONNECTIONS, Pace::Open { rate: peak * OPEN_RATE });
    let mut figures = Vec::new();
    for (name, (connections, pace)) in [("closed", closed), ("open", open)] {
        let alive = Alive::watch(api.alive_url())?;
        let ended = press(&load, connections, pace, bench.seconds).await?;
        let slowest = alive.slowest().await?;
        let recovered = recovered(&load, normal).await?;
        let case = format!("{name} connections={connections}");
        figures.extend(of_phase(&case, &ended, peak));
        let seconds = Figure::new(BENCH, &case, "recovery", "s", &[recovered.as_secs_f64()]);
        figures.push(seconds.within(RECOVERY.as_secs_f64()));
        let slowest = slowest.as_secs_f64() * 1_000.0;
        figures.push(Figure::new(BENCH, &case, "slowest livez", "ms", &[slowest]));
    }
    let memory = f64::from(u32::try_from(peak_memory_kib(api.pid())?)?) / KIB_PER_MIB;
    let memory = Figure::new(BENCH, "command API", "peak memory", "MiB", &[memory]);
    figures.push(memory.within(MOST_MIB));
    Running::stop(api).await?;
    system.drop().await?;
    say(&table(&figures))?;
    if let Some(path) = &bench.json {
        write_json(path, &figures)?;
    }
    Ok(figures.iter().all(|figure| figure.reached != Some(false)))
}

fn of_phase(case: &str, ended: &Ended, peak: f64) -> [Figure; 4] {
    let goodput = Figure::new(BENCH, case, "goodput", "commands/s", &[ended.rate()]);
    let of_done = |hundredths| ended.percentile(hundredths);
    [
        goodput.against("peak", &[peak], Some(Target::AtLeast(GOODPUT))),
        Figure::new(BENCH, case, "offered", "commands/s", &[ended.offered()]),
        Figure::new(BENCH, case, "p50", "ms", &[of_done(50)]),
        Figure::new(BENCH, case, "p99", "ms", &[of_done(99)]),
    ]
}

/// Measures until the rate is normal again, and returns how long that took.
async fn recovered(load: &Load, normal: f64) -> anyhow::Result<Duration> {
    let started = Instant::now();
    loop {
        let rate = press(load, NORMAL, Pace::Closed, RECOVERY_ROUND).await?.rate();
        let passed = started.elapsed();
        if rate >= normal * NORMAL_SHARE {
            // The measurement that shows it does not count.
            return Ok(passed.saturating_sub(Duration::from_secs_f64(RECOVERY_ROUND)));
        }
        ensure!(passed < RECOVERY_LIMIT, "{rate:.0} commands/s of {normal:.0} after {passed:?}");
    }
}

/// Asks a process all the time whether it is alive.
struct Alive(JoinHandle<anyhow::Result<()>>, tokio::sync::watch::Receiver<Duration>);

impl Alive {
    fn watch(url: String) -> anyhow::Result<Self> {
        let client = loopback_client(ALIVE_LIMIT)?;
        let (slowest, seen) = tokio::sync::watch::channel(Duration::ZERO);
        let asking = tokio::spawn(async move {
            let mut ticks = interval(ALIVE_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let asked = Instant::now();
                client.get(&url).send().await?.error_for_status()?;
                let took = asked.elapsed();
                slowest.send_if_modified(|longest| {
                    let is_longer = took > *longest;
                    *longest = (*longest).max(took);
                    is_longer
                });
            }
        });
        Ok(Self(asking, seen))
    }

    /// The longest time that an answer took.
    async fn slowest(self) -> anyhow::Result<Duration> {
        let Self(asking, seen) = self;
        if asking.is_finished() {
            asking.await??;
        } else {
            asking.abort();
        }
        let slowest = *seen.borrow();
        Ok(slowest)
    }
}
