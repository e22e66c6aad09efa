//! `bench read`: reads and decodes events through the library's public API, compared with `COPY
//! (SELECT …) TO STDOUT` of the same rows in the same order with the same driver. It reads the
//! whole log, one stream, one type, and one tag.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use clap::Args;
use event_store::{EventQuery, EventStore, Filter, Position, QueryItem, Version, pages};
use futures::{StreamExt, TryStreamExt};
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

use super::figure::{Figure, Target, table, write_json};
use super::fill::{Fill, FilledLog, LONG_STREAM};
use super::round::{Round, Schedule, run as round};
use super::say;

const BENCH: &str = "read";
const COPY: &str = "COPY of the same rows";
/// The minimum share of COPY's rate, for the whole log.
const LEAST: f64 = 0.6;
/// The type and the tag to read. The references' statements contain them, and the long stream, too.
const ONE_TYPE: &str = "bench.kind_3";
const ONE_TAG: &str = "room:3";
const ROOMS: u64 = 10;
/// The number of events per page.
const PAGE: u32 = 1_000;

/// The arguments of `bench read`.
#[derive(Debug, Args)]
pub struct ReadBench {
    /// The server on which to create the benchmark's database. The role must be allowed to create
    /// databases.
    #[arg(long, env = "EVENT_STORE_URL", hide_env_values = true)]
    url: String,
    /// The number of events in the log.
    #[arg(long, default_value_t = 200_000)]
    events: u64,
    #[command(flatten)]
    schedule: Schedule,
    /// A file to which the results are also written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One case: what to read, and the reference.
struct Case {
    name: &'static str,
    what: What,
    copy: &'static str,
    target: Option<Target>,
}

/// What to read through the library.
#[derive(Clone)]
enum What {
    Log(Filter),
    Stream,
}

fn cases() -> anyhow::Result<[Case; 4]> {
    let tag =
        EventQuery { items: vec![QueryItem { types: Vec::new(), tags: vec![ONE_TAG.parse()?] }] };
    let case = |name, what, copy| Case { name, what, copy, target: None };
    let log = case("whole log", What::Log(Filter::All), include_str!("read/log.sql"));
    Ok([
        Case { target: Some(Target::AtLeast(LEAST)), ..log },
        case("one stream", What::Stream, include_str!("read/stream.sql")),
        case(
            "one type in ten",
            What::Log(Filter::Types(vec![ONE_TYPE.parse()?])),
            include_str!("read/type.sql"),
        ),
        case("one tag in ten", What::Log(Filter::Query(tag)), include_str!("read/tag.sql")),
    ])
}

/// Runs the benchmark. Returns true if the target was reached.
///
/// # Errors
/// The server fails, or the two ways read different numbers of events.
pub async fn run(bench: ReadBench) -> anyhow::Result<bool> {
    let log =
        FilledLog::create(&bench.url, Fill { events: bench.events, rooms: ROOMS, long: true })
            .await?;
    say(&format!("{}\n", log.settings().await?))?;
    let store: Arc<dyn EventStore> = Arc::new(log.store.clone());
    let connection = Arc::new(Mutex::new(log.connect().await?));
    let mut figures = Vec::new();
    for case in cases()? {
        let new = measure(&bench.schedule, &store, &connection, &case).await?;
        say(&table(&new))?;
        figures.extend(new);
    }
    drop((store, connection));
    log.drop().await?;
    say(&format!("all cases\n{}", table(&figures)))?;
    if let Some(path) = &bench.json {
        write_json(path, &figures)?;
    }
    Ok(figures.iter().all(|figure| figure.reached != Some(false)))
}

/// Alternates the two ways of reading the same events.
async fn measure(
    schedule: &Schedule,
    store: &Arc<dyn EventStore>,
    connection: &Arc<Mutex<PgConnection>>,
    case: &Case,
) -> anyhow::Result<Vec<Figure>> {
    let expected = copy(&mut *connection.lock().await, case.copy).await?;
    ensure!(expected > 0, "{}: there is nothing to read", case.name);
    let read = {
        let (store, what) = (Arc::clone(store), case.what.clone());
        move || {
            let (store, what) = (Arc::clone(&store), what.clone());
            async move { same(expected, through(store, what).await?) }
        }
    };
    let copied = {
        let (connection, statement) = (Arc::clone(connection), case.copy);
        move || {
            let connection = Arc::clone(&connection);
            async move { same(expected, copy(&mut *connection.lock().await, statement).await?) }
        }
    };
    let (mut reads, mut copies): (Vec<Round>, Vec<Round>) = Default::default();
    for number in 0..=schedule.rounds {
        let seconds = if number == 0 { schedule.warmup_seconds } else { schedule.round_seconds };
        let (one, _) = round(seconds, vec![read.clone()]).await?;
        let (other, _) = round(seconds, vec![copied.clone()]).await?;
        if number > 0 {
            reads.push(one);
            copies.push(other);
        }
    }
    let rates = |rounds: &[Round]| rounds.iter().map(|round| round.rate).collect::<Vec<_>>();
    let figure = Figure::new(BENCH, case.name, "rate", "events/s", &rates(&reads));
    Ok(vec![figure.against(COPY, &rates(&copies), case.target)])
}

fn same(expected: u64, read: u64) -> anyhow::Result<u64> {
    ensure!(read == expected, "{read} events were read, the COPY has {expected}");
    Ok(read)
}

/// Reads to the end through the library.
async fn through(store: Arc<dyn EventStore>, what: What) -> anyhow::Result<u64> {
    let pages = match what {
        What::Log(filter) => pages::of_log(store, filter, Position::START, PAGE).left_stream(),
        What::Stream => {
            pages::of_stream(store, LONG_STREAM.parse()?, Version::NONE, PAGE).right_stream()
        }
    };
    let counted = pages.try_fold(0, |count, page| async move {
        // Otherwise, the cost of an unused event could be optimised away.
        std::hint::black_box(&page);
        Ok(count + page.len())
    });
    Ok(u64::try_from(counted.await.context("the log cannot be read")?)?)
}

/// Drains a COPY. Each message has one row.
async fn copy(connection: &mut PgConnection, statement: &str) -> anyhow::Result<u64> {
    let rows = connection.copy_out_raw(statement).await?;
    let count = rows.try_fold(0, |count, row| async move {
        std::hint::black_box(&row);
        Ok(count + 1)
    });
    count.await.context("the COPY failed")
}
