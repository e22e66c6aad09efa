//! `bench condition`: conditional appends compared with plain appends. The condition is that no
//! event with a tag follows the caller's last read position. Equally many writers append the same
//! events in alternating rounds, in logs in which more and more events carry the tag.
//!
//! There are two cases per log. *Broad tag*: every initial event has the tag, and the caller has
//! read up to the last one. *New tag*: no event has the tag, and the caller checks from the
//! beginning of the log.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use event_store::{Append, AppendCondition, EventQuery, Position, PostgresStore, QueryItem, Tag};

use super::append::subject::{sample, send};
use super::figure::{Figure, Target, table, write_json};
use super::fill::{Fill, FilledLog};
use super::round::{Round, Schedule, run as round};
use super::say;

const BENCH: &str = "condition";
const PLAIN: &str = "plain appends";
/// The minimum share of the plain appends' rate.
const LEAST: f64 = 0.5;
/// The minimum share of the rate in the log with the fewest tagged events.
const FLAT: f64 = 0.9;
/// The tag of all initial events of a log.
const BROAD: &str = "room:0";

/// The arguments of `bench condition`.
#[derive(Debug, Args)]
pub struct ConditionBench {
    /// The server on which to create the benchmark's databases. The role must be allowed to create
    /// databases.
    #[arg(long, env = "EVENT_STORE_URL", hide_env_values = true)]
    url: String,
    /// The number of concurrent writers.
    #[arg(long, default_value_t = 64)]
    writers: usize,
    /// The minimum number of tagged events: one log for each number, smallest first.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000])]
    tagged: Vec<u64>,
    #[command(flatten)]
    schedule: Schedule,
    /// A file to which the results are also written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// The condition of an append.
#[derive(Clone, Copy)]
enum Kind {
    Plain,
    /// No event with the broad tag after the initial part of the log.
    Broad(Position),
    /// No event with a new tag.
    New,
}

/// A log and its rounds.
struct Case {
    log: FilledLog,
    plain: Vec<Round>,
    broad: Vec<Round>,
    new: Vec<Round>,
}

/// Runs the benchmark. Returns true if every target was reached.
///
/// # Errors
/// The server fails, or an append is refused.
pub async fn run(bench: ConditionBench) -> anyhow::Result<bool> {
    ensure!(bench.writers > 0 && !bench.tagged.is_empty(), "at least one writer and one log");
    let mut cases = Vec::new();
    for &tagged in &bench.tagged {
        let log =
            FilledLog::create(&bench.url, Fill { events: tagged, rooms: 1, long: false }).await?;
        cases.push(Case { log, plain: Vec::new(), broad: Vec::new(), new: Vec::new() });
    }
    if let Some(first) = cases.first() {
        say(&format!("{}\n", first.log.settings().await?))?;
    }
    let Schedule { round_seconds, warmup_seconds, rounds } = bench.schedule;
    for number in 0..=rounds {
        let seconds = if number == 0 { warmup_seconds } else { round_seconds };
        for case in &mut cases {
            let kinds = [Kind::Plain, Kind::Broad(case.log.last), Kind::New];
            for (kind, into) in
                kinds.into_iter().zip([&mut case.plain, &mut case.broad, &mut case.new])
            {
                let workers = (0..bench.writers).map(|_| writer(&case.log.store, kind)).collect();
                let (done, _) = round(seconds, workers).await?;
                if number > 0 {
                    into.push(done);
                }
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

fn writer(
    store: &PostgresStore,
    kind: Kind,
) -> impl FnMut() -> futures::future::BoxFuture<'static, anyhow::Result<u64>> + Send + use<> {
    let store = store.clone();
    move || {
        let store = store.clone();
        Box::pin(async move {
            let (id, append) = sample()?;
            let conditions = match kind {
                Kind::Plain => Vec::new(),
                Kind::Broad(after) => vec![nothing_with(BROAD.parse()?, after)],
                Kind::New => vec![nothing_with(Tag::new("new", id)?, Position::START)],
            };
            send(&store, Append { conditions, ..append }).await
        })
    }
}

fn nothing_with(tag: Tag, after: Position) -> AppendCondition {
    AppendCondition {
        query: EventQuery { items: vec![QueryItem { types: Vec::new(), tags: vec![tag] }] },
        after,
    }
}

fn figures(cases: &[Case], writers: usize) -> Vec<Figure> {
    let values =
        |rounds: &[Round], of: fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<_>>();
    let [rate, p50]: [fn(&Round) -> f64; 2] = [|round| round.rate, |round| round.p50];
    let mut figures = Vec::new();
    let of_broad: fn(&Case) -> &[Round] = |case| &case.broad;
    for (name, rounds) in [("broad tag", of_broad), ("new tag", |case| &case.new)] {
        for case in cases {
            let name = format!("writers={writers} tagged={} {name}", case.log.last);
            let conditioned =
                Figure::new(BENCH, &name, "rate", "appends/s", &values(rounds(case), rate));
            figures.push(conditioned.clone().against(
                PLAIN,
                &values(&case.plain, rate),
                Some(Target::AtLeast(LEAST)),
            ));
            let slower = Figure::new(BENCH, &name, "p50", "ms", &values(rounds(case), p50));
            figures.push(slower.against(PLAIN, &values(&case.plain, p50), None));
            if let Some(first) = cases.first().filter(|first| first.log.last != case.log.last) {
                let fewest = format!("tagged={}", first.log.last);
                figures.push(conditioned.against(
                    &fewest,
                    &values(rounds(first), rate),
                    Some(Target::AtLeast(FLAT)),
                ));
            }
        }
    }
    figures
}
