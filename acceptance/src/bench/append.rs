//! `bench append`: appends through the library's public API, compared with plain INSERTs into
//! tables of the same shape.
//!
//! The references are: (a) one-row INSERTs with one connection per writer, up to 64, and above that
//! the better of 32 and 64 connections; (b) one session that inserts 1,000 rows per statement with
//! `unnest`. Both write the event's row and its tag's row, as an append does. The benchmark also
//! prints `(a) without the tag's row`, which is the barest INSERT to compare with.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use event_store::{PostgresOptions, PostgresStore};

use super::figure::{Figure, Target, table, write_json};
use super::round::{Round, Schedule};
use super::say;
use super::server::BenchDatabase;
use reference::{Bulk, Connections, Reference, Single};
use subject::Subject;

pub(super) mod reference;
pub(super) mod subject;

const BENCH: &str = "append";
/// Above this number of writers, the reference uses the better of two connection counts.
const MOST_CONNECTIONS: usize = 64;
const ALTERNATIVE_CONNECTIONS: usize = 32;
const PLAIN: &str = "(a) one-row INSERT";
const PLAIN_UNTAGGED: &str = "(a) without the tag's row";
const BULK: &str = "(b) 1,000-row INSERT by unnest";

/// The arguments of `bench append`.
#[derive(Debug, Args)]
pub struct AppendBench {
    /// The server on which to create the benchmark's database. The role must be allowed to create
    /// databases and run checkpoints.
    #[arg(long, env = "EVENT_STORE_URL", hide_env_values = true)]
    url: String,
    /// The numbers of concurrent writers.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256, 1_024])]
    writers: Vec<usize>,
    #[command(flatten)]
    schedule: Schedule,
    /// A file to which the results are also written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// The rounds of one case, by kind.
#[derive(Default)]
struct Rounds {
    append: Vec<Round>,
    keyed: Vec<Round>,
    plain: Vec<Round>,
    untagged: Vec<Round>,
    bulk: Vec<Round>,
}

/// Runs the benchmark. Returns true if every target was reached.
///
/// # Errors
/// The server fails, or the final row counts are wrong.
pub async fn run(bench: AppendBench) -> anyhow::Result<bool> {
    let database = BenchDatabase::create(&bench.url).await?;
    event_store::postgres::migrate(database.url()).await?;
    let mut admin = database.connect().await?;
    sqlx::raw_sql(include_str!("append/reference_tables.sql")).execute(&mut admin).await?;
    say(&format!("{}\n", database.settings().await?))?;
    let store = PostgresStore::connect(
        PostgresOptions::from_url(database.url())?.application_name("bench"),
    )
    .await?;

    let mut figures = Vec::new();
    let mut appended = 0;
    for &writers in &bench.writers {
        let (rounds, count) = case(&bench, &database, &store, writers).await?;
        appended += count;
        let new = rounds.figures(writers);
        say(&table(&new))?;
        figures.extend(new);
    }
    reference::check_rows(&mut admin, &store, appended).await?;
    drop((store, admin));
    database.drop().await?;
    say(&format!("all cases\n{}", table(&figures)))?;
    if let Some(path) = &bench.json {
        write_json(path, &figures)?;
    }
    Ok(figures.iter().all(|f| f.reached != Some(false)))
}

/// Warms up every kind and alternates its rounds. Returns the number of acknowledged appends,
/// including those of the warm-up.
async fn case(
    bench: &AppendBench,
    database: &BenchDatabase,
    store: &PostgresStore,
    writers: usize,
) -> anyhow::Result<(Rounds, u64)> {
    ensure!(writers > 0, "a case has at least one writer");
    let Schedule { round_seconds, warmup_seconds, rounds } = bench.schedule;
    let connections = Connections::open(database, writers.min(MOST_CONNECTIONS)).await?;
    let mut append = Subject::new(store, writers, false);
    let mut keyed = Subject::new(store, writers, true);
    let mut plain = best(&connections, writers, Single::Tagged, warmup_seconds).await?;
    let mut untagged = best(&connections, writers, Single::Untagged, warmup_seconds).await?;
    let mut bulk = Bulk::connect(database).await?;
    let (mut measured, mut warm) = (Rounds::default(), Rounds::default());
    for round in 0..=rounds {
        let (seconds, into) =
            if round == 0 { (warmup_seconds, &mut warm) } else { (round_seconds, &mut measured) };
        database.settle().await?;
        into.append.push(append.round(seconds).await?);
        database.settle().await?;
        into.plain.push(plain.round(seconds).await?);
        database.settle().await?;
        into.keyed.push(keyed.round(seconds).await?);
        database.settle().await?;
        into.untagged.push(untagged.round(seconds).await?);
        database.settle().await?;
        into.bulk.push(bulk.round(seconds).await?);
    }
    let appends = [&measured, &warm].into_iter().flat_map(|r| r.append.iter().chain(&r.keyed));
    let count = appends.map(|r| r.count).sum();
    Ok((measured, count))
}

/// The reference with one connection per writer, or with the better connection count above that
/// limit.
async fn best(
    connections: &Connections,
    writers: usize,
    kind: Single,
    seconds: f64,
) -> anyhow::Result<Reference> {
    let mut most = Reference::new(connections, writers.min(MOST_CONNECTIONS), kind);
    if writers <= MOST_CONNECTIONS {
        return Ok(most);
    }
    let mut fewer = Reference::new(connections, ALTERNATIVE_CONNECTIONS, kind);
    let (rate, fewer_rate) = (most.round(seconds).await?.rate, fewer.round(seconds).await?.rate);
    Ok(if fewer_rate > rate { fewer } else { most })
}

fn values(rounds: &[Round], of: fn(&Round) -> f64) -> Vec<f64> {
    rounds.iter().map(of).collect()
}

impl Rounds {
    fn figures(&self, writers: usize) -> Vec<Figure> {
        let case = format!("writers={writers}");
        let keyed_case = format!("writers={writers} keyed");
        let [rate, p50, p99]: [fn(&Round) -> f64; 3] = [|r| r.rate, |r| r.p50, |r| r.p99];
        let figure = |case: &str, metric, unit, rounds: &[Round], of| {
            Figure::new(BENCH, case, metric, unit, &values(rounds, of))
        };
        let at = |n: usize, target| (writers == n).then_some(target);
        let mut figures = vec![
            figure(&case, "rate", "appends/s", &self.append, rate).against(
                PLAIN,
                &values(&self.plain, rate),
                at(64, Target::AtLeast(2.5)),
            ),
            figure(&case, "rate", "appends/s", &self.append, rate).against(
                PLAIN_UNTAGGED,
                &values(&self.untagged, rate),
                None,
            ),
            figure(&case, "rate", "appends/s", &self.append, rate).against(
                BULK,
                &values(&self.bulk, rate),
                at(1_024, Target::AtLeast(0.75)),
            ),
            figure(&case, "p50", "ms", &self.append, p50).against(
                PLAIN,
                &values(&self.plain, p50),
                at(1, Target::AtMost(2.0)),
            ),
            figure(&case, "p50", "ms", &self.append, p50).against(
                PLAIN_UNTAGGED,
                &values(&self.untagged, p50),
                None,
            ),
            figure(&case, "p99", "ms", &self.append, p99).against(
                PLAIN,
                &values(&self.plain, p99),
                None,
            ),
        ];
        for (metric, unit, of) in
            [("rate", "appends/s", rate), ("p50", "ms", p50), ("p99", "ms", p99)]
        {
            figures.push(figure(&keyed_case, metric, unit, &self.keyed, of).against(
                PLAIN,
                &values(&self.plain, of),
                None,
            ));
        }
        figures
    }
}
