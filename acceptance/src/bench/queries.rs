//! `bench queries`: queries over HTTP with an access token, compared with plain handlers that check
//! the same token.
//!
//! The query API and the reference are processes of their own, on the same database. This process
//! only makes the load: each client has a connection of its own and sends one query after another.
//! The rows are written straight into the read tables. Rounds of the subjects alternate.
//!
//! - *row* reads one order by its id, each time another one.
//! - *page* reads the newest 20 orders.
//! - *filtered page* reads 20 orders with one status, at the beginning and, by cursor, deep in the
//!   list.
//! - *graphql* reads the newest 20 users with their last 5 orders.
//!
//! The reference reads the same rows by the plainest statement (*plain*), and by the statement that
//! the API itself runs, with the checkpoint columns that every answer needs (*same statement*).
//!
//! For *graphql*, the library alone is measured too: see `library.rs`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::commands::process::PlainProcess;
use super::figure::{Figure, Target, table, write_json};
use super::round::{Round, Schedule, run as round, values};
use super::say;
use super::system::{Running, System};
use crate::Service;

pub(super) mod fill;
mod library;
mod load;
mod plain;
mod statement;

pub use plain::PlainReads;

use fill::Filled;
use load::{Load, Query};
use statement::statement_of;

const BENCH: &str = "queries";
/// The number of connections that the targets are for.
const CONNECTIONS: usize = 32;

/// The arguments of `bench queries`.
#[derive(Debug, Args)]
pub struct QueriesBench {
    /// The server on which to create the benchmark's database. The role must be allowed to create
    /// databases.
    #[arg(long, env = "EVENT_STORE_URL", hide_env_values = true)]
    url: String,
    /// The number of orders, at least 1,000. There is a user for every ten.
    #[arg(long, default_value_t = 1_000_000,
        value_parser = clap::value_parser!(i64).range(1_000..))]
    rows: i64,
    /// The number of connections.
    #[arg(long, default_value_t = CONNECTIONS)]
    connections: usize,
    #[command(flatten)]
    schedule: Schedule,
    /// A file to which the results are also written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What is compared with what, and the limits.
struct Comparison {
    case: &'static str,
    subject: Query,
    references: Vec<(&'static str, Query, Target)>,
    /// The metric that the limits are for.
    metric: &'static str,
}

/// All comparisons. `deep` is the path of the deep page.
fn comparisons(rows: i64, deep: String) -> [Comparison; 4] {
    use Target::{AtLeast, AtMost};
    let first = Query::page(load::FILTERED.to_owned());
    [
        Comparison {
            case: "row",
            subject: Query::row("/api/v1/orders", rows),
            references: vec![
                ("plain", Query::row("/plain/orders", rows), AtLeast(0.7)),
                ("same statement", Query::row("/same/orders", rows), AtLeast(0.9)),
            ],
            metric: "rate",
        },
        Comparison {
            case: "page",
            subject: Query::page("/api/v1/orders".to_owned()),
            references: vec![
                ("plain", Query::plain_page("/plain/orders"), AtLeast(0.85)),
                ("same statement", Query::plain_page("/same/orders"), AtLeast(0.9)),
            ],
            metric: "rate",
        },
        Comparison {
            case: "filtered page, deep",
            subject: Query::page(deep),
            references: vec![("the first page", first, AtMost(1.5))],
            metric: "p50",
        },
        Comparison {
            case: "graphql",
            subject: Query::graphql(),
            references: vec![("plain", Query::plain_users(), AtLeast(0.5))],
            metric: "rate",
        },
    ]
}

/// Runs the benchmark. Returns whether it reached its targets.
///
/// # Errors
/// A server or process fails, or an answer is not what was asked for.
pub async fn run(bench: QueriesBench) -> anyhow::Result<bool> {
    let system = System::create(&bench.url).await?;
    say(&format!("{}\n", system.database.settings().await?))?;
    let filled = Filled::write(&system.database, bench.rows).await?;
    let api = system.launch(Service::QueryApi).await?;
    let load = Load::new(api.address());
    let row = statement_of(&load, &system.database, &Query::row("/api/v1/orders", 1)).await?;
    let page = Query::page("/api/v1/orders".to_owned());
    let page = statement_of(&load, &system.database, &page).await?;
    let settings = [
        ("PLAIN_URL", system.database.url()),
        ("SAME_ROW", row.as_str()),
        ("SAME_PAGE", page.as_str()),
    ];
    let plain = PlainProcess::start("plain-reads", &settings, system.logs()).await?;
    let deep = load.deep_page(&filled).await.context("the deep page")?;
    let loads = [load, Load::new(plain.address())];
    let mut figures = Vec::new();
    for comparison in comparisons(bench.rows, deep) {
        let measured = measure(&bench, &comparison, &loads).await;
        figures.extend(measured.with_context(|| comparison.case)?);
    }
    Running::stop(api).await?;
    plain.stop().await?;
    system.drop().await?;
    figures.extend(library::measure(&bench).await.context("the library alone")?);
    say(&table(&figures))?;
    if let Some(path) = &bench.json {
        write_json(path, &figures)?;
    }
    Ok(figures.iter().all(|figure| figure.reached != Some(false)))
}

async fn measure(
    bench: &QueriesBench,
    comparison: &Comparison,
    loads: &[Load; 2],
) -> anyhow::Result<Vec<Figure>> {
    let Comparison { case, subject, references, metric } = comparison;
    let others = references.iter().map(|(_, query, _)| query);
    let queries: Vec<&Query> = std::iter::once(subject).chain(others).collect();
    let once = async |query: &Query, seconds: f64| {
        let [ours, theirs] = loads;
        let load = if query.is_ours() { ours } else { theirs };
        let workers = load.workers(query, bench.connections).await?;
        anyhow::Ok(round(seconds, workers).await?.0)
    };
    let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); queries.len()];
    for query in queries.iter().copied() {
        once(query, bench.schedule.warmup_seconds).await?;
    }
    for _ in 0..bench.schedule.rounds {
        for (query, done) in queries.iter().copied().zip(&mut rounds) {
            done.push(once(query, bench.schedule.round_seconds).await?);
        }
    }
    let [ours, theirs @ ..] = rounds.as_slice() else { return Ok(Vec::new()) };
    let mut figures = Vec::new();
    for ((name, _, target), theirs) in references.iter().zip(theirs) {
        let figure = |this, unit, of: fn(&Round) -> f64| {
            let figure = Figure::new(BENCH, case, this, unit, &values(ours, of));
            figure.against(name, &values(theirs, of), (this == *metric).then_some(*target))
        };
        figures.push(figure("rate", "queries/s", |round| round.rate));
        figures.push(figure("p50", "ms", |round| round.p50));
        figures.push(figure("p99", "ms", |round| round.p99));
    }
    Ok(figures)
}
