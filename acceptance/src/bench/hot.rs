//! `bench hot`: commands on one aggregate, compared with the same clients' commands on different
//! ones, with one command API and with two.
//!
//! Each client sends one command after another: an adjustment of a product's stock without
//! `If-Match`. All must succeed. With several clients on one product, this measures what `bench
//! append` cannot: each command is decided on the result of the one before. The targets compare
//! with a single client, which shows what the product sustains one command at a time. Clients,
//! processes and database share the machine.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use clap::Args;
use reqwest::StatusCode;
use serde_json::json;

use super::figure::{Figure, Target, table, write_json};
use super::round::{Round, Schedule, run as round, values};
use super::say;
use super::system::{Running, System};
use crate::{Client, Service};

const BENCH: &str = "hot";
/// The numbers of concurrent clients, each with the target for its rate on one product with one
/// process, compared with a single client's.
const CLIENTS: [(usize, Option<Target>); 4] =
    [(1, None), (8, Some(Target::AtLeast(1.0))), (64, Some(Target::AtLeast(5.0))), (300, None)];
const PROCESSES: usize = 2;

/// The arguments of `bench hot`.
#[derive(Debug, Args)]
pub struct HotBench {
    /// The server on which to create the benchmark's database. The role must be allowed to create
    /// databases.
    #[arg(long, env = "EVENT_STORE_URL", hide_env_values = true)]
    url: String,
    #[command(flatten)]
    schedule: Schedule,
    /// A file to which the results are also written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Whether the clients' commands target the same product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    OneProduct,
    ProductEach,
}

type Doing = Pin<Box<dyn Future<Output = anyhow::Result<u64>> + Send>>;
type Worker = Box<dyn FnMut() -> Doing + Send>;

/// The rounds with one number of clients: on one product, and on one each.
#[derive(Default)]
struct Rounds {
    one: Vec<Round>,
    each: Vec<Round>,
}

/// Runs the benchmark.
///
/// # Errors
/// A server or process fails, or a command is not done.
pub async fn run(bench: HotBench) -> anyhow::Result<bool> {
    let system = System::create(&bench.url).await?;
    say(&format!("{}\n", system.database.settings().await?))?;
    let mut running = Vec::new();
    let mut figures = Vec::new();
    for processes in 1..=PROCESSES {
        running.push(system.launch(Service::CommandApi).await?);
        // The benchmark uses only the command APIs.
        let clients = running
            .iter()
            .map(|api| System::client(api, api))
            .collect::<anyhow::Result<Vec<_>>>()?;
        figures.extend(measure(&bench.schedule, &clients, processes).await?);
    }
    for process in running {
        Running::stop(process).await?;
    }
    system.drop().await?;
    say(&table(&figures))?;
    if let Some(path) = &bench.json {
        write_json(path, &figures)?;
    }
    Ok(figures.iter().all(|figure| figure.reached != Some(false)))
}

async fn measure(
    schedule: &Schedule,
    apis: &[Client],
    processes: usize,
) -> anyhow::Result<Vec<Figure>> {
    let mut rounds: [Rounds; CLIENTS.len()] = Default::default();
    let most = CLIENTS.iter().map(|(clients, _)| *clients).max().unwrap_or(1);
    round(schedule.warmup_seconds, workers(apis, most, Spread::ProductEach).await?).await?;
    for _ in 0..schedule.rounds {
        for ((clients, _), rounds) in CLIENTS.iter().zip(&mut rounds) {
            for (spread, done) in
                [(Spread::OneProduct, &mut rounds.one), (Spread::ProductEach, &mut rounds.each)]
            {
                done.push(
                    round(schedule.round_seconds, workers(apis, *clients, spread).await?).await?.0,
                );
            }
        }
    }
    let alone = values(&rounds[0].one, |round| round.rate);
    let figures = CLIENTS.iter().zip(&rounds).flat_map(|((clients, target), rounds)| {
        let case = format!("processes={processes} clients={clients}");
        let figure = |metric, unit, of: fn(&Round) -> f64| {
            let beside = values(&rounds.each, of);
            Figure::new(BENCH, &case, metric, unit, &values(&rounds.one, of)).against(
                "a product each",
                &beside,
                None,
            )
        };
        let rate = Figure::new(
            BENCH,
            &case,
            "rate",
            "commands/s",
            &values(&rounds.one, |round| round.rate),
        );
        // Two processes compete, which costs time. They only need to make progress.
        let target = target.filter(|_| processes == 1);
        [
            rate.against("one client", &alone, target),
            figure("rate", "commands/s", |round| round.rate),
            figure("p50", "ms", |round| round.p50),
            figure("p99", "ms", |round| round.p99),
        ]
    });
    Ok(figures.collect())
}

/// Creates this many clients, spread over the command APIs.
async fn workers(apis: &[Client], clients: usize, spread: Spread) -> anyhow::Result<Vec<Worker>> {
    let mut products: Vec<Arc<str>> = Vec::new();
    let mut workers: Vec<Worker> = Vec::new();
    for (number, api) in (0..clients).zip(apis.iter().cycle()) {
        if spread == Spread::ProductEach || number == 0 {
            let body = json!({"name": "cd", "unit_price": "14.67", "currency": "USD", "stock": 0});
            let added = api.post("/api/v1/products", &body).await?.expect(StatusCode::CREATED)?;
            products.push(format!("/api/v1/products/{}/stock", added.id()?).into());
        }
        let Some(path) = products.last().cloned() else { continue };
        let api = api.clone();
        workers.push(Box::new(move || {
            let (api, path) = (api.clone(), Arc::clone(&path));
            Box::pin(async move {
                api.post(&path, &json!({"delta": 1})).await?.expect(StatusCode::OK)?;
                Ok(1)
            })
        }));
    }
    Ok(workers)
}
