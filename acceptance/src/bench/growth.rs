//! `bench growth`: the rate of appends and of loading streams in logs of different sizes, each
//! filled through append, in rounds that alternate between the logs. What is compared is a large
//! log with the smallest; each also grows by what the rounds append.
//!
//! Two kinds of loads, with the same target: *newest* takes one of the newest streams, as many as
//! the smallest log has, as a system at work does; *any* takes one of all. A stream's events lie on
//! a page each, ten of them and a leaf of the index, so that *any* is as fast as the server's
//! memory holds the log: next to each rate stands how many pages a load takes, and how many of them
//! from outside the server's shared buffers.

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
/// Of the smallest log's rate.
const LEAST: f64 = 0.9;
/// Events of a page: every stream has fewer.
const PAGE: u32 = 200;
/// Rooms whose tags the events have.
const ROOMS: u64 = 1_000;

/// What `bench growth` takes.
#[derive(Debug, Args)]
pub struct GrowthBench {
    /// A server to make the bench's databases on, as a role that may create databases.
    #[arg(long, env = "EVENT_STORE_URL", hide_env_values = true)]
    url: String,
    /// Events of each log, the smallest first. The full bench is `--events
    /// 100000,1000000,10000000`.
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000])]
    events: Vec<u64>,
    /// How many concurrent writers, and how many concurrent readers after them.
    #[arg(long, default_value_t = 64)]
    writers: usize,
    /// Seconds of each round: short, so that the smallest log stays small.
    #[arg(long, default_value_t = 1.0)]
    round_seconds: f64,
    /// Seconds of the first round of each kind, which does not count.
    #[arg(long, default_value_t = 1.0)]
    warmup_seconds: f64,
    /// How many rounds; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Where to write the figures as JSON, too.
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

/// What loads of one kind showed.
#[derive(Default)]
struct Loads {
    rounds: Vec<Round>,
    pages: Vec<Pages>,
}

/// Runs the bench. True when every target was reached.
///
/// # Errors
/// When the server fails, or a stream has other events than were appended.
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
            // So that no load pays for pages that the appends left to be written.
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
    /// One round of loads, and then what some more of them touch.
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

/// Loads any of these streams.
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
