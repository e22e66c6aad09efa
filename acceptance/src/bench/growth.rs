//! `bench growth`: the rates of appends and of stream loads in logs of different sizes. Each log is
//! filled through appends, and rounds alternate between the logs. Larger logs are compared with the
//! smallest; all also grow by the appends of the rounds.
//!
//! There are two kinds of loads with the same target. *Newest* reads one of the newest streams, out
//! of as many as the smallest log has, as a busy system does. *Any* reads any stream. Each event of
//! a stream is on a separate page, so a load touches ten pages and an index leaf. The speed of
//! *any* therefore depends on how much of the log fits into memory. So the results include the
//! pages per load, and how many of them came from outside the server's shared buffers.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use event_store::{EventStore, PostgresStore, Version};
use futures::future::BoxFuture;
use rand::Rng as _;

use super::append::subject::{sample, send};
use super::figure::{Figure, Target, table, write_json};
use super::fill::{Fill, FilledLog, STREAM_EVENTS, stream};
use super::round::{Round, run as round};
use super::say;

mod pages;

use pages::Pages;

const BENCH: &str = "growth";
/// The minimum share of the smallest log's rate.
const LEAST: f64 = 0.9;
/// The page size of a read, in events. Every stream has fewer.
const PAGE: u32 = 200;
/// The number of rooms whose tags the events have.
const ROOMS: u64 = 1_000;

/// The arguments of `bench growth`.
#[derive(Debug, Args)]
pub struct GrowthBench {
    /// The server on which to create the benchmark's databases. The role must be allowed to create
    /// databases.
    #[arg(long, env = "EVENT_STORE_URL", hide_env_values = true)]
    url: String,
    /// The number of events in each log, smallest first. The full benchmark is `--events
    /// 100000,1000000,10000000`.
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000])]
    events: Vec<u64>,
    /// The number of concurrent writers, and then of concurrent readers.
    #[arg(long, default_value_t = 64)]
    writers: usize,
    /// The duration of each round in seconds. It is short, so that the smallest log stays small.
    #[arg(long, default_value_t = 1.0)]
    round_seconds: f64,
    /// The duration of the first round of each kind in seconds. It does not count.
    #[arg(long, default_value_t = 1.0)]
    warmup_seconds: f64,
    /// The number of rounds, of which the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A file to which the results are also written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

struct Case {
    events: u64,
    log: FilledLog,
    appends: Vec<Round>,
    newest: Loads,
    any: Loads,
}

/// The results of one kind of load.
#[derive(Default)]
struct Loads {
    rounds: Vec<Round>,
    pages: Vec<Pages>,
}

/// Runs the benchmark. Returns true if every target was reached.
///
/// # Errors
/// The server fails, or a stream does not have the appended events.
pub async fn run(bench: GrowthBench) -> anyhow::Result<bool> {
    ensure!(bench.writers > 0 && !bench.events.is_empty(), "at least one writer and one log");
    let mut cases = Vec::new();
    for &events in &bench.events {
        let log = FilledLog::create(&bench.url, Fill { events, rooms: ROOMS, long: false }).await?;
        cases.push(Case {
            events,
            log,
            appends: Vec::new(),
            newest: Loads::default(),
            any: Loads::default(),
        });
    }
    if let Some(first) = cases.first() {
        say(&format!("{}\n", first.log.settings().await?))?;
    }
    let fewest = cases.iter().map(|case| case.log.streams).min().context("a log")?;
    for number in 0..=bench.rounds {
        let seconds = if number == 0 { bench.warmup_seconds } else { bench.round_seconds };
        for case in &mut cases {
            case.log.at_rest().await?;
            let (appended, _) =
                round(seconds, (0..bench.writers).map(|_| writer(&case.log.store)).collect())
                    .await?;
            // Loads must not pay for writing the pages of the appends.
            case.log.at_rest().await?;
            let streams = case.log.streams;
            let newest = case.loads(streams - fewest..streams, bench.writers, seconds).await?;
            let any = case.loads(0..streams, bench.writers, seconds).await?;
            if number > 0 {
                case.appends.push(appended);
                case.newest.add(newest);
                case.any.add(any);
            }
        }
    }
    let figures = figures(&cases, bench.writers);
    for case in cases {
        case.log.drop().await?;
    }
    say(&table(&figures))?;
    if let Some(path) = &bench.json {
        write_json(path, &figures)?;
    }
    Ok(figures.iter().all(|figure| figure.reached != Some(false)))
}

impl Case {
    /// Runs one round of loads, then inspects what some more loads touch.
    async fn loads(
        &self,
        streams: Range<u64>,
        readers: usize,
        seconds: f64,
    ) -> anyhow::Result<(Round, Pages)> {
        let workers = (0..readers).map(|_| reader(&self.log.store, streams.clone())).collect();
        let (done, _) = round(seconds, workers).await?;
        Ok((done, pages::of_loads(&mut self.log.connect().await?, streams).await?))
    }
}

impl Loads {
    fn add(&mut self, (round, pages): (Round, Pages)) {
        self.rounds.push(round);
        self.pages.push(pages);
    }
}

fn writer(
    store: &PostgresStore,
) -> impl FnMut() -> BoxFuture<'static, anyhow::Result<u64>> + Send + use<> {
    let store = store.clone();
    move || {
        let store = store.clone();
        Box::pin(async move { send(&store, sample()?.1).await })
    }
}

/// Loads random streams of this range.
fn reader(
    store: &PostgresStore,
    streams: Range<u64>,
) -> impl FnMut() -> BoxFuture<'static, anyhow::Result<u64>> + Send + use<> {
    let store = store.clone();
    move || {
        let (store, streams) = (store.clone(), streams.clone());
        Box::pin(async move {
            let name = stream(rand::rng().random_range(streams))?;
            let events = store
                .read_stream(&name, Version::NONE, PAGE)
                .await
                .context("a stream cannot be loaded")?;
            ensure!(
                u64::try_from(events.len())? == STREAM_EVENTS,
                "{name} has {} events",
                events.len()
            );
            Ok(1)
        })
    }
}

fn figures(cases: &[Case], writers: usize) -> Vec<Figure> {
    let rates = |rounds: &[Round]| rounds.iter().map(|round| round.rate).collect::<Vec<_>>();
    let mut figures = Vec::new();
    let of_appends: fn(&Case) -> &[Round] = |case| &case.appends;
    for (kind, unit, rounds) in [
        ("append", "appends/s", of_appends),
        ("load newest", "streams/s", |case| &case.newest.rounds),
        ("load any", "streams/s", |case| &case.any.rounds),
    ] {
        for case in cases {
            let name = format!("writers={writers} events={} {kind}", case.events);
            let figure = Figure::new(BENCH, &name, "rate", unit, &rates(rounds(case)));
            figures.push(match cases.first().filter(|first| first.events != case.events) {
                None => figure,
                Some(first) => {
                    let smallest = format!("events={}", first.events);
                    figure.against(&smallest, &rates(rounds(first)), Some(Target::AtLeast(LEAST)))
                }
            });
        }
    }
    let of_newest: fn(&Case) -> &Loads = |case| &case.newest;
    for (kind, loads) in [("load newest", of_newest), ("load any", |case| &case.any)] {
        for case in cases {
            let name = format!("writers={writers} events={} {kind}", case.events);
            for (metric, of) in [
                ("pages", (|pages| pages.touched) as fn(&Pages) -> f64),
                ("from outside", |pages| pages.read),
            ] {
                let values: Vec<f64> = loads(case).pages.iter().map(of).collect();
                figures.push(Figure::new(BENCH, &name, metric, "pages/load", &values));
            }
        }
    }
    figures
}
