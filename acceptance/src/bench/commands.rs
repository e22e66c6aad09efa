//! `bench commands`: commands over HTTP with an access token, compared with plain handlers that
//! check the same token, validate, and write rows.
//!
//! Every client has a connection and users of its own, and sends one command after another. The
//! command API and the reference are processes of their own, each with a database of its own on the
//! same durable server. This process only makes the load. Rounds of both alternate.
//!
//! - *add* adds a product.
//! - *place* places an order of two lines.
//! - *confirm* confirms an order that was placed before the round.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::figure::{Figure, Target, table, write_json};
use super::round::{Round, Schedule, run as round, values};
use super::say;
use super::server::BenchDatabase;
use super::system::{Running, System};
use crate::Service;

pub(super) mod client;
pub(super) mod load;
mod plain;
pub(super) mod process;
pub(super) mod tokens;

pub use plain::PlainServer;

use load::Load;
use process::PlainProcess;

const BENCH: &str = "commands";
/// The numbers of connections by default.
const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];
/// The number of connections with a target for the rate.
const TARGET_CONNECTIONS: usize = 64;
/// How long one command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(20);

/// The arguments of `bench commands`.
#[derive(Debug, Args)]
pub struct CommandsBench {
    /// The server on which to create the benchmark's databases. The role must be allowed to create
    /// databases.
    #[arg(long, env = "EVENT_STORE_URL", hide_env_values = true)]
    url: String,
    /// The numbers of connections.
    #[arg(long = "connections", default_values_t = CONNECTIONS)]
    connections: Vec<usize>,
    #[command(flatten)]
    schedule: Schedule,
    /// A file to which the results are also written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A kind of command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Add,
    Place,
    Confirm,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Add, Self::Place, Self::Confirm];

    const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Place => "place",
            Self::Confirm => "confirm",
        }
    }

    /// The target of the rate, and of the median duration.
    const fn targets(self, connections: usize) -> (Option<Target>, Option<Target>) {
        match (self, connections) {
            (Self::Add, TARGET_CONNECTIONS) => (Some(Target::AtLeast(2.0)), None),
            (_, TARGET_CONNECTIONS) => (Some(Target::AtLeast(1.5)), None),
            (Self::Add, 1) => (None, Some(Target::AtMost(1.5))),
            _ => (None, None),
        }
    }
}

/// Runs the benchmark.
///
/// # Errors
/// A server or process fails, or a command is not done.
pub async fn run(bench: CommandsBench) -> anyhow::Result<bool> {
    let system = System::create(&bench.url).await?;
    say(&format!("{}\n", system.database.settings().await?))?;
    let api = system.launch(Service::CommandApi).await?;
    let plain_database = BenchDatabase::create(&bench.url).await?;
    let plain = {
        let settings = [("PLAIN_URL", plain_database.url())];
        PlainProcess::start("plain-server", &settings, system.logs()).await?
    };
    let most = bench.connections.iter().copied().max().unwrap_or(1);
    let ours = Load::prepare(api.address(), most).await.context("the command API")?;
    let theirs = Load::prepare(plain.address(), most).await.context("the plain handlers")?;
    let mut figures = Vec::new();
    for connections in &bench.connections {
        for kind in Kind::ALL {
            figures.extend(measure(&bench.schedule, kind, *connections, &ours, &theirs).await?);
        }
    }
    Running::stop(api).await?;
    plain.stop().await?;
    system.drop().await?;
    plain_database.drop().await?;
    say(&table(&figures))?;
    if let Some(path) = &bench.json {
        write_json(path, &figures)?;
    }
    Ok(figures.iter().all(|figure| figure.reached != Some(false)))
}

async fn measure(
    schedule: &Schedule,
    kind: Kind,
    connections: usize,
    ours: &Load,
    theirs: &Load,
) -> anyhow::Result<[Figure; 3]> {
    let mut rounds: [Vec<Round>; 2] = Default::default();
    for load in [ours, theirs] {
        once(load, kind, connections, schedule.warmup_seconds).await?;
    }
    for _ in 0..schedule.rounds {
        for (load, done) in [ours, theirs].into_iter().zip(&mut rounds) {
            done.push(once(load, kind, connections, schedule.round_seconds).await?);
        }
    }
    let [our_rounds, their_rounds] = &rounds;
    let case = format!("{} connections={connections}", kind.name());
    let (rate, p50) = kind.targets(connections);
    let figure = |metric, unit, of: fn(&Round) -> f64, target| {
        let theirs = values(their_rounds, of);
        let figure = Figure::new(BENCH, &case, metric, unit, &values(our_rounds, of));
        figure.against("plain handlers", &theirs, target)
    };
    Ok([
        figure("rate", "commands/s", |round| round.rate, rate),
        figure("p50", "ms", |round| round.p50, p50),
        figure("p99", "ms", |round| round.p99, None),
    ])
}

/// One round. Orders to confirm are placed before it, outside the measurement.
async fn once(load: &Load, kind: Kind, connections: usize, seconds: f64) -> anyhow::Result<Round> {
    let workers = load.workers(kind, connections, seconds).await?;
    Ok(round(seconds, workers).await?.0)
}
