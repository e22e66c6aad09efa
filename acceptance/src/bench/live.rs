//! `bench live`: thousands of clients of live updates on one query API, while events stream in.
//!
//! The query API is a process of its own. This process writes the changes into the read tables, in
//! batches with checkpoints and announcements, as the projector does: on a machine with few cores,
//! commands and the projector would take what the clients need. Most clients follow one order or
//! one user each, the others all orders or all users. Each event changes one row, in turn.
//!
//! Each client checks that it gets every change of what it follows once and in order. So no row is
//! changed again before its last change was delivered: several changes in one step would be sent as
//! one. The delay of a delivery is counted from the commit of the change in the read table.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _};
use local_servers::resident_memory_kib;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::commands::tokens;
use super::crowd::{
    AT_ONCE, CrowdArgs, Moments, percentile, precise, raise_file_limit, say_since, settings,
};
use super::figure::Figure;
use super::queries::fill;
use super::say;
use super::system::{Running, System};
use crate::{Service, cpu_time};

mod feed;
mod follower;
mod plan;

use feed::Feed;
use follower::{Follower, Followers, Seen};
use plan::{Plan, Subject};

const BENCH: &str = "live";
/// The targets: the least deliveries a second, the longest delay, and the most memory of a client.
const DELIVERIES: f64 = 20_000.0;
const DELAY_MS: f64 = 250.0;
const CLIENT_KIB: f64 = 20.0;
/// The share of the wanted rate of events that must be reached.
const RATE_SHARE: f64 = 0.98;
/// The clients that connect before memory is measured for the first time, so that what the process
/// takes once does not count.
const FIRST: usize = 50;
/// How long all clients together may take to get what was written.
const DELIVERY_LIMIT: Duration = Duration::from_mins(1);

/// The arguments of `bench live`.
#[derive(Debug, Args)]
pub struct LiveBench {
    #[command(flatten)]
    crowd: CrowdArgs,
    /// The number of clients that follow everything, with two streams each: all orders, and all
    /// users.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=40))]
    everything: u32,
    /// How often each row is changed.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// What was measured.
struct Measured {
    /// How long the events took.
    took: Duration,
    seen: Vec<(Subject, Seen)>,
    /// The memory of the process in KiB: with the first clients, with all of them, and after all
    /// events.
    memory: [u64; 3],
    /// The cores that the process was busy with, on average.
    cores: f64,
}

/// Runs the benchmark. Returns whether it reached its targets.
///
/// # Errors
/// A server or process fails, or a client did not get what it follows.
pub async fn run(bench: LiveBench) -> anyhow::Result<bool> {
    let clients = bench.crowd.clients();
    raise_file_limit(clients)?;
    let plan = Arc::new(Plan::new(clients, bench.everything, bench.rounds)?);
    let system = System::create(&bench.crowd.url).await?;
    say(&format!(
        "{}\n\n{plan}, {} events/s\n",
        system.database.settings().await?,
        bench.crowd.rate
    ))?;
    fill::write(&system.database, plan.rows(), plan.rows()).await?;
    let api = system.launch_with(Service::QueryApi, &settings(clients)).await?;
    let measured = measure(&bench, &plan, &system, &api).await?;
    Running::stop(api).await?;
    system.drop().await?;
    bench.crowd.report(&figures(&bench, &plan, &measured))
}

async fn measure(
    bench: &LiveBench,
    plan: &Arc<Plan>,
    system: &System,
    api: &Running,
) -> anyhow::Result<Measured> {
    let moments = Arc::new(Moments::new(plan.events()));
    let followers = Followers {
        server: api.address(),
        bearer: tokens::bearer(uuid::Uuid::now_v7())?,
        plan: Arc::clone(plan),
        moments: Arc::clone(&moments),
        progress: Arc::new(plan.progress()),
    };
    let since = Instant::now();
    let mut open = connect(&followers, 0..FIRST).await?;
    let before = resident_memory_kib(api.pid())?;
    open.extend(connect(&followers, FIRST..plan.clients()).await?);
    say_since(format!("{} clients connected", open.len()), since)?;
    let idle = resident_memory_kib(api.pid())?;

    let (stop, stopped) = watch::channel(false);
    let (done, mut all_done) = watch::channel(0_usize);
    let (count, mut tasks) = (open.len(), JoinSet::new());
    for follower in open {
        tasks.spawn(follower.run(done.clone(), stopped.clone()));
    }
    let (busy, since) = (cpu_time(api.pid())?, Instant::now());
    let mut feed = Feed::new(system, plan, &moments, Arc::clone(&followers.progress)).await?;
    let work = async {
        feed.run(&bench.crowd).await?;
        let took = since.elapsed();
        timeout(DELIVERY_LIMIT, all_done.wait_for(|done| *done == count)).await??;
        anyhow::Ok(took)
    };
    let took = tokio::select! {
        took = work => took.context("not all clients got all events"),
        failed = first_failure(&mut tasks) => Err(failed),
    }?;
    let cores =
        cpu_time(api.pid())?.saturating_sub(busy).as_secs_f64() / since.elapsed().as_secs_f64();
    let after = resident_memory_kib(api.pid())?;
    stop.send_replace(true);
    let mut seen = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        seen.push(ended??);
    }
    Ok(Measured { took, seen, memory: [before, idle, after], cores })
}

/// Connects clients, a few at a time.
async fn connect(
    followers: &Followers,
    clients: std::ops::Range<usize>,
) -> anyhow::Result<Vec<Follower>> {
    let open = futures::stream::iter(clients).map(|client| followers.open(client));
    open.buffer_unordered(AT_ONCE).try_collect().await
}

/// Waits until a client fails. They do not end by themselves otherwise.
async fn first_failure(tasks: &mut JoinSet<anyhow::Result<(Subject, Seen)>>) -> anyhow::Error {
    match tasks.join_next().await {
        Some(Ok(Err(error))) => error,
        Some(Err(error)) => error.into(),
        Some(Ok(Ok(_))) | None => anyhow::anyhow!("a client ended too early"),
    }
}

fn figures(bench: &LiveBench, plan: &Plan, measured: &Measured) -> Vec<Figure> {
    let Measured { took, seen, memory: [before, idle, after], cores } = measured;
    let case = format!("{} clients", plan.clients());
    let of = |is_of: fn(Subject) -> bool| -> Vec<u32> {
        let seen = seen.iter().filter(|(subject, _)| is_of(*subject));
        let mut delays: Vec<u32> = seen.flat_map(|(_, seen)| seen.delays.iter().copied()).collect();
        delays.sort_unstable();
        delays
    };
    let everything = of(|subject| !subject.is_row());
    let (rows, all) = (of(Subject::is_row), of(|_| true));
    let seconds = took.as_secs_f64();
    let more = precise((plan.clients() - FIRST) as u64);
    let per_client = |kib: u64| precise(kib.saturating_sub(*before)) / more;
    let figure = |metric, unit, value: f64| Figure::new(BENCH, &case, metric, unit, &[value]);
    let events = figure("events", "events/s", precise(plan.events()) / seconds);
    let deliveries = figure("deliveries", "deliveries/s", precise(all.len() as u64) / seconds);
    let mut figures = vec![
        events.at_least(f64::from(bench.crowd.rate) * RATE_SHARE),
        deliveries.at_least(DELIVERIES),
        figure("p50 of the delay", "ms", percentile(&all, 50)),
        figure("p99 of the delay", "ms", percentile(&all, 99)).within(DELAY_MS),
        figure("longest delay", "ms", percentile(&all, 100)),
        figure("memory, idle", "KiB/client", per_client(*idle)),
        figure("memory, after all events", "KiB/client", per_client(*after)).within(CLIENT_KIB),
        figure("cores of the query API", "cores", *cores),
    ];
    for (case, delays) in [("one row each", rows), ("everything", everything)] {
        let p99 = percentile(&delays, 99);
        figures.push(Figure::new(BENCH, case, "p99 of the delay", "ms", &[p99]));
    }
    figures
}
