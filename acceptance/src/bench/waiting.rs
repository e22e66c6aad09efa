//! `bench waiting`: thousands of queries that wait with consistency tokens on one query API, while
//! events stream in.
//!
//! The query API is a process of its own. This process moves the checkpoints of all projections and
//! announces them, as the projector does. Each client asks for one order with the token of a
//! position that is to come some seconds later, and asks again as soon as it is answered. So all
//! clients wait at every moment, for positions that come evenly.
//!
//! - *wake-up* is the time from an announcement that arrives to the moment when the query goes on,
//!   as the process itself measures it.
//! - *answer* is the time from sending the announcement to the answer, which reads the row.
//! - *queries next to answers* are all transactions that the database counts, without one for each
//!   answer and those of this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use super::commands::tokens;
use super::crowd::{CrowdArgs, Moments, percentile, precise, raise_file_limit, settings, source};
use super::figure::Figure;
use super::queries::fill;
use super::say;
use super::system::{Running, System, metric};
use crate::{Service, until};

mod client;
mod stream;
mod wakeups;

use client::Client;
use stream::Stream;
use wakeups::wakeups;

const BENCH: &str = "waiting";
/// The number of orders that are asked for.
const ORDERS: i64 = 1_000;
/// The targets: the most queries a second, and the longest time from an announcement to a wake-up.
const QUERIES: f64 = 25.0;
const WAKE_UP_MS: f64 = 50.0;
/// The share of the clients that must wait at every moment.
const WAITING_SHARE: f64 = 0.95;
/// How often to look how many wait.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the last answers may take.
const END_LIMIT: Duration = Duration::from_mins(1);

/// The arguments of `bench waiting`.
#[derive(Debug, Args)]
pub struct WaitingBench {
    #[command(flatten)]
    crowd: CrowdArgs,
    /// How long all clients wait, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// How many seconds a position is still to come when somebody asks for it. Queries wait for at
    /// most 10.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=9))]
    lead_seconds: u32,
}

/// The times of a run.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// How long a position is still to come when somebody asks for it. All clients begin within
    /// this time.
    lead: Duration,
    /// Nobody asks again after this.
    end: Duration,
    /// The last position has come by then.
    over: Duration,
}

/// What was measured.
struct Measured {
    /// The times from sending an announcement to an answer, in microseconds, sorted.
    answers: Vec<u32>,
    /// The least number of queries that waited at once.
    waiting: f64,
    /// The metrics of the process in the end.
    metrics: String,
    /// The number of batches that this process wrote.
    batches: u64,
}

/// Runs the benchmark. Returns whether it reached its targets.
///
/// # Errors
/// A server or process fails, or an answer does not show the position that it waited for.
pub async fn run(bench: WaitingBench) -> anyhow::Result<bool> {
    let clients = bench.crowd.clients();
    raise_file_limit(clients)?;
    let times = Times::new(&bench);
    let system = System::create(&bench.crowd.url).await?;
    say(&format!("{}\n", system.database.settings().await?))?;
    fill::write(&system.database, ORDERS, ORDERS).await?;
    let before = transactions(&system).await?;
    let api = system.launch_with(Service::QueryApi, &settings(clients)).await?;
    let since = Instant::now();
    let measured = measure(&bench, times, &system, &api).await?;
    let lasted = since.elapsed();
    Running::stop(api).await?;
    let all = transactions(&system).await? - before;
    system.drop().await?;
    bench.crowd.report(&figures(&bench, &measured, (all, lasted))?)
}

impl Times {
    fn new(bench: &WaitingBench) -> Self {
        let lead = Duration::from_secs(bench.lead_seconds.into());
        let end = lead + Duration::from_secs(bench.seconds.into());
        Self { lead, end, over: end + lead + LOOK_EVERY }
    }
}

/// The number of transactions on the benchmark's database so far. The server counts for certain
/// what ended connections did.
async fn transactions(system: &System) -> anyhow::Result<i64> {
    let mut connection = system.database.connect().await?;
    until("all connections have ended", END_LIMIT, async || {
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let mut admin = system.database.connect().await?;
        let others: i64 = sqlx::query_scalar(others).fetch_one(&mut admin).await?;
        // This connection, and the one that counts.
        ensure!(others <= 1, "{others} are left");
        Ok(Some(()))
    })
    .await?;
    let count = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = \
        current_database()";
    Ok(sqlx::query_scalar(count).fetch_one(&mut connection).await?)
}

async fn measure(
    bench: &WaitingBench,
    times: Times,
    system: &System,
    api: &Running,
) -> anyhow::Result<Measured> {
    let moments = Arc::new(Moments::new(bench.crowd.due(times.over + times.lead)));
    let mut stream = Stream::new(system, &moments).await?;
    let bearer: Arc<str> = tokens::bearer(Uuid::now_v7())?.into();
    let (mut tasks, ahead) = (JoinSet::new(), bench.crowd.due(times.lead));
    for number in 0..bench.crowd.clients {
        let client = Client {
            server: api.address(),
            source: source(usize::try_from(number)?),
            epoch: stream.epoch(),
            bearer: Arc::clone(&bearer),
            head: stream.head(),
            moments: Arc::clone(&moments),
        };
        // They begin one after another, so that their positions come evenly.
        let begins = times.lead * number / bench.crowd.clients;
        tasks.spawn(client.run(ahead, (begins, times.end)));
    }
    let (batches, waiting) = tokio::try_join!(
        stream.run(&bench.crowd, times.over),
        least_waiting(api, &moments, times),
    )?;
    let mut answers = Vec::new();
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            answers.extend(ended??);
        }
        anyhow::Ok(())
    };
    timeout(END_LIMIT, all).await.context("not all queries were answered")??;
    answers.sort_unstable();
    Ok(Measured { answers, waiting, metrics: api.metrics().await?, batches })
}

/// The least number of queries that wait while all should.
async fn least_waiting(api: &Running, moments: &Moments, times: Times) -> anyhow::Result<f64> {
    let (mut least, mut ticks) = (f64::INFINITY, tokio::time::interval(LOOK_EVERY));
    while moments.now() < times.end {
        ticks.tick().await;
        if moments.now() > times.lead && moments.now() < times.end {
            least = least.min(metric(&api.metrics().await?, "query_waiters")?);
        }
    }
    Ok(least)
}

fn figures(
    bench: &WaitingBench,
    measured: &Measured,
    (all, lasted): (i64, Duration),
) -> anyhow::Result<Vec<Figure>> {
    let Measured { answers, waiting, metrics, batches } = measured;
    let count = i64::try_from(answers.len())?;
    ensure!(count > 0, "nothing was answered");
    let others = all - count - i64::try_from(*batches)?;
    ensure!(others >= 0, "{all} transactions for {count} answers and {batches} batches");
    let wakeups = wakeups(metrics)?;
    let case = format!("{} clients", bench.crowd.clients);
    let figure = |metric, unit, value: f64| Figure::new(BENCH, &case, metric, unit, &[value]);
    let seconds = lasted.as_secs_f64();
    let [others, count] = [others, count].map(|number| precise(number.unsigned_abs()));
    Ok(vec![
        figure("waiting at once, at least", "queries", *waiting)
            .at_least(f64::from(bench.crowd.clients) * WAITING_SHARE),
        figure("queries next to answers", "a second", others / seconds).within(QUERIES),
        figure("p50 of the wake-up, at most", "ms", wakeups.percentile(50)),
        figure("p99 of the wake-up, at most", "ms", wakeups.percentile(99)).within(WAKE_UP_MS),
        figure("answers", "a second", count / seconds),
        figure("p50 of the answer", "ms", percentile(answers, 50)),
        figure("p99 of the answer", "ms", percentile(answers, 99)),
    ])
}
