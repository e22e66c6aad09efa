//! `bench project`: the sustained rate of projection with all projections: live from NATS, and
//! catching up from Postgres, with one process and with two. It also measures how long a command
//! takes to become visible at several shares of one process's sustained rate.
//!
//! Events come through the library's public API with several decisions per append, so that
//! appending is not the limit. In live rounds, writers wait if the projector is more than a few
//! thousand events behind. So it stays live, and its rate is what it sustains. All processes,
//! database, broker and writers share the machine.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::figure::{Figure, median, table, write_json};
use super::flow::{Flow, Speed};
use super::lag::{Lag, LagMeter};
use super::round::{Round, Schedule, run as round};
use super::say;
use super::system::{Running, System};
use crate::{Client, Service, until};

const BENCH: &str = "project";
/// The shares of the sustained rate at which visibility is measured, in percent.
const SHARES: [u32; 3] = [10, 50, 90];
/// The maximum lag of the projector behind the writers, in events. It is below the lag at which the
/// projector reads from Postgres instead of NATS.
const MOST_AHEAD: i64 = 5_000;
/// The number of events per append while the log is filled.
const FILL_APPEND: usize = 250;
/// The number of clients that send commands while visibility is measured.
const PROBES: usize = 4;
const FILL_LIMIT: Duration = Duration::from_mins(30);
const LIVE_LIMIT: Duration = Duration::from_mins(1);
const CATCH_UP_LIMIT: Duration = Duration::from_mins(30);

/// The arguments of `bench project`.
#[derive(Debug, Args)]
pub struct ProjectBench {
    /// The server on which to create the benchmark's database. The role must be allowed to create
    /// databases.
    #[arg(long, env = "EVENT_STORE_URL", hide_env_values = true)]
    url: String,
    /// The number of events to catch up with.
    #[arg(long, default_value_t = 200_000)]
    events: u64,
    /// The minimum number of events per append in live rounds. If it is low, appending is the limit
    /// and writers never wait.
    #[arg(long, default_value_t = 100)]
    append_events: usize,
    #[command(flatten)]
    schedule: Schedule,
    /// A file to which the results are also written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Default)]
struct Rounds {
    catch_up: [Vec<f64>; 2],
    live: [Vec<f64>; 2],
    /// For each share: the offered rate, the lag, and the durations of commands.
    shares: [Vec<(f64, Lag, Round)>; SHARES.len()],
}

type Doing = Pin<Box<dyn Future<Output = anyhow::Result<u64>> + Send>>;
type Worker = Box<dyn FnMut() -> Doing + Send>;

/// Runs the benchmark. It has no targets.
///
/// # Errors
/// A server or process fails, or an answer does not show the written data.
pub async fn run(bench: ProjectBench) -> anyhow::Result<bool> {
    let system = System::create(&bench.url).await?;
    say(&format!("{}\n", system.database.settings().await?))?;
    let mut rounds = Rounds::default();
    let mut flow = Flow::new(system.database.url(), FILL_APPEND).await?;
    let filled = flow.run(Speed::Full, FILL_LIMIT, bench.events).await?;
    say(&format!("{} events, appended in {:.1} s", filled.events, filled.seconds))?;
    for _ in 0..bench.schedule.rounds {
        for processes in [1, 2] {
            rounds.catch_up[processes - 1].push(catch_up(&system, processes).await?);
        }
    }
    let relay = system.launch(Service::EventRelay).await?;
    let projector = system.launch(Service::Projector).await?;
    system.wait_until_caught_up(CATCH_UP_LIMIT).await?;
    let mut flow = flow.with_appends_of(bench.append_events);
    sustained(&bench, &system, &mut flow, &mut rounds).await?;
    visible(&bench, &system, &mut flow, &mut rounds).await?;
    for process in [projector, relay] {
        process.stop().await?;
    }
    drop(flow);
    system.drop().await?;
    let figures = rounds.figures(bench.append_events);
    say(&table(&figures))?;
    if let Some(path) = &bench.json {
        write_json(path, &figures)?;
    }
    Ok(figures.iter().all(|figure| figure.reached != Some(false)))
}

/// Projects the log from the first event with this many processes. Returns the events per second,
/// including the processes' start.
async fn catch_up(system: &System, processes: usize) -> anyhow::Result<f64> {
    for projection in system.projections().await? {
        system.projector(&["start-over", &projection, "--yes"]).await?;
    }
    system.database.settle().await?;
    let started = Instant::now();
    let mut running = Vec::new();
    for _ in 0..processes {
        running.push(system.launch(Service::Projector).await?);
    }
    let head = system.wait_until_caught_up(CATCH_UP_LIMIT).await?;
    let seconds = started.elapsed().as_secs_f64();
    for process in running {
        process.stop().await?;
    }
    Ok(f64::from(u32::try_from(head)?) / seconds)
}

/// Measures the sustained live rate of one process and of two, in alternating rounds.
async fn sustained(
    bench: &ProjectBench,
    system: &System,
    flow: &mut Flow,
    rounds: &mut Rounds,
) -> anyhow::Result<()> {
    let Schedule { round_seconds, warmup_seconds, rounds: count } = bench.schedule;
    for number in 0..count {
        for processes in [1, 2] {
            let second: Option<Running> =
                if processes == 2 { Some(system.launch(Service::Projector).await?) } else { None };
            wait_until_live(system).await?;
            let meter = LagMeter::start(system).await?;
            let following = || Speed::Following(meter.least(), MOST_AHEAD);
            flow.run(following(), Duration::from_secs_f64(warmup_seconds), u64::MAX).await?;
            let position = || meter.least().load(std::sync::atomic::Ordering::Relaxed);
            let (before, started) = (position(), Instant::now());
            let written =
                flow.run(following(), Duration::from_secs_f64(round_seconds), u64::MAX).await?;
            let projected = f64::from(u32::try_from(position() - before)?);
            let rate = projected / started.elapsed().as_secs_f64();
            say(&format!(
                "live, round {number}, {processes} processes: {rate:.0} events/s; writers waited \
                    {:.0} % of the time; {}",
                written.waited * 100.0,
                modes(system).await?
            ))?;
            rounds.live[processes - 1].push(rate);
            system.wait_until_caught_up(CATCH_UP_LIMIT).await?;
            if let Some(second) = second {
                second.stop().await?;
            }
        }
    }
    Ok(())
}

/// Waits until every projection is at the head and reads from NATS.
async fn wait_until_live(system: &System) -> anyhow::Result<()> {
    system.wait_until_caught_up(CATCH_UP_LIMIT).await?;
    let live = async || {
        let modes = modes(system).await?;
        ensure!(modes.split(", ").all(|mode| mode.ends_with(" live")), modes);
        Ok(Some(()))
    };
    until("events come from NATS", LIVE_LIMIT, live).await
}

/// The modes of the live projections.
async fn modes(system: &System) -> anyhow::Result<String> {
    let statement = "SELECT string_agg(projection || ' ' || mode, ', ' ORDER BY projection, \
        partition) FROM read_model.checkpoints
                     JOIN read_model.generations USING (projection, generation) WHERE live";
    Ok(sqlx::query_scalar(statement).fetch_one(&mut system.database.connect().await?).await?)
}

/// Measures how long commands take to become visible at shares of one process's sustained rate.
async fn visible(
    bench: &ProjectBench,
    system: &System,
    flow: &mut Flow,
    rounds: &mut Rounds,
) -> anyhow::Result<()> {
    let Schedule { round_seconds, warmup_seconds, rounds: count } = bench.schedule;
    let (commands, queries) =
        (system.launch(Service::CommandApi).await?, system.launch(Service::QueryApi).await?);
    let client = System::client(&commands, &queries)?;
    let sustained = median(&rounds.live[0]);
    for _ in 0..count {
        for (at, share) in SHARES.into_iter().enumerate() {
            let speed = Speed::PerSecond(sustained * f64::from(share) / 100.0);
            flow.run(speed.clone(), Duration::from_secs_f64(warmup_seconds), u64::MAX).await?;
            wait_until_live(system).await?;
            let before = system.wait_until_caught_up(CATCH_UP_LIMIT).await?;
            let mut meter = LagMeter::start(system).await?;
            let probes = (0..PROBES).map(|_| probe(&client)).collect();
            let (written, probed) = tokio::try_join!(
                flow.run(speed, Duration::from_secs_f64(round_seconds), u64::MAX),
                round(round_seconds, probes)
            )?;
            let after = system.wait_until_caught_up(CATCH_UP_LIMIT).await?;
            let lag = meter.of((before, after)).await?;
            let offered = f64::from(u32::try_from(written.events)?) / written.seconds;
            rounds.shares[at].push((offered, lag, probed.0));
        }
    }
    for process in [commands, queries] {
        process.stop().await?;
    }
    Ok(())
}

/// Registers a user, then reads it with the registration's token.
fn probe(client: &Client) -> Worker {
    let client = client.clone();
    Box::new(move || {
        let client = client.clone();
        Box::pin(async move {
            let body =
                json!({"email": format!("probe-{}@example.com", Uuid::new_v4()), "name": "Probe"});
            let registered =
                client.post("/api/v1/users", &body).await?.expect(StatusCode::CREATED)?;
            let path = format!("/api/v1/users/{}", registered.id()?);
            let shown = client.get_after(&path, &registered).await?.expect(StatusCode::OK)?;
            ensure!(shown.data()["id"] == registered.data()["id"], "another user was shown");
            Ok(1)
        })
    })
}

impl Rounds {
    fn figures(&self, append_events: usize) -> Vec<Figure> {
        let rate =
            |case: &str, values: &[f64]| Figure::new(BENCH, case, "rate", "events/s", values);
        let mut figures = Vec::new();
        for (what, [one, two]) in [("catching up", &self.catch_up), ("live", &self.live)] {
            figures.push(rate(&format!("{what}, 1 process"), one));
            figures.push(rate(&format!("{what}, 2 processes"), two).against(
                "1 process",
                one,
                None,
            ));
        }
        for (share, rounds) in SHARES.iter().zip(&self.shares) {
            let case = format!("{share} % of live, appends of {append_events}");
            let mut add = |metric, unit, of: fn(&(f64, Lag, Round)) -> f64| {
                let values: Vec<f64> = rounds.iter().map(of).collect();
                figures.push(Figure::new(BENCH, &case, metric, unit, &values));
            };
            add("offered", "events/s", |(offered, ..)| *offered);
            add("command to visible p50", "ms", |(.., probed)| probed.p50);
            add("command to visible p99", "ms", |(.., probed)| probed.p99);
            add("event to projected p50", "ms", |(_, lag, _)| lag.p50);
            add("event to projected p99", "ms", |(_, lag, _)| lag.p99);
        }
        figures
    }
}
