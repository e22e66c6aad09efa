//! `bench rebuild`: `projector rebuild orders`, compared with one set-based SQL statement that
//! makes the same table from the same events.
//!
//! Both end with the same keys and indexes, created after loading, and an analysed table. The
//! statement runs twice: without Postgres's parallel workers, and with their default. It has 64 MiB
//! of `work_mem` and no JIT, which would cost more than it gains. The rebuild is timed as people
//! run it, from start to end of the program, without comparison and switch. Afterwards, the two
//! tables are compared row by row.
//!
//! A second run (`rebuild/beside.rs`) measures how a throttled rebuild affects live projection.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use sqlx::{Connection as _, PgConnection};

use super::figure::{Figure, Target, table, write_json};
use super::say;
use super::server::BenchDatabase;
use crate::program;

mod beside;
mod fill;

const BENCH: &str = "rebuild";
const STATEMENT: &str = include_str!("rebuild/statement.sql");
const SERIAL: &str = "one SQL statement, parallel workers off";
const PARALLEL: &str = "one SQL statement, parallel workers at default";
/// The minimum share of the statement's speed.
const LEAST: f64 = 0.7;
/// The maximum memory of the program, in MiB.
const MOST_MEMORY: f64 = 300.0;
/// The number of the first rebuilt generation. Numbers are never reused.
const FIRST_REBUILT: usize = 2;
/// How often the program's memory is measured.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The arguments of `bench rebuild`.
#[derive(Debug, Args)]
pub struct RebuildBench {
    /// The server on which to create the benchmark's database. The role must be allowed to create
    /// databases.
    #[arg(long, env = "EVENT_STORE_URL", hide_env_values = true)]
    url: String,
    /// The number of events in the log.
    #[arg(long, default_value_t = 1_000_000)]
    events: u32,
    /// The number of rounds, of which the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The number of events in the log for the rounds with live commands.
    #[arg(long, default_value_t = 400_000)]
    live_events: u64,
    /// The duration of each round with live commands, in seconds.
    #[arg(long, default_value_t = 10.0)]
    live_seconds: f64,
    /// The rate of the rebuild during these rounds, in events per second.
    #[arg(long, default_value_t = 10_000)]
    throttle: u32,
    /// A file to which the results are also written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Default)]
struct Rounds {
    rebuild: Vec<f64>,
    memory: Vec<f64>,
    serial: Vec<f64>,
    parallel: Vec<f64>,
}

/// Runs the benchmark. Returns true if every target was reached.
///
/// # Errors
/// A server or program fails, or the tables differ.
pub async fn run(bench: RebuildBench) -> anyhow::Result<bool> {
    let database = BenchDatabase::create(&bench.url).await?;
    event_store::postgres::migrate(database.url()).await?;
    projector(&database, &["migrate"]).await?;
    say(&format!("{}\n", database.settings().await?))?;
    let mut admin = database.connect().await?;
    fill::fill(&mut admin, usize::try_from(bench.events)?).await?;
    // VACUUM cannot run in a transaction, so it is a separate message.
    sqlx::raw_sql("VACUUM (ANALYZE) event_store.events").execute(&mut admin).await?;
    sqlx::raw_sql("CREATE SCHEMA reference; SET work_mem = '64MB'; SET jit = off")
        .execute(&mut admin)
        .await?;
    let mut rounds = Rounds::default();
    for number in 0..bench.rounds {
        let (seconds, memory) = rebuilt(&database, &mut admin).await?;
        let serial =
            stated(&mut admin, "SET max_parallel_workers_per_gather = 0", number == 0).await?;
        if number == 0 {
            equal(&mut admin).await?;
        }
        let parallel =
            stated(&mut admin, "RESET max_parallel_workers_per_gather", number == 0).await?;
        let rate = |seconds: f64| f64::from(bench.events) / seconds;
        rounds.rebuild.push(rate(seconds));
        rounds.memory.push(memory);
        rounds.serial.push(rate(serial));
        rounds.parallel.push(rate(parallel));
        projector(&database, &["drop", "orders", &(number + FIRST_REBUILT).to_string(), "--yes"])
            .await?;
    }
    admin.close().await?;
    database.drop().await?;
    let mut figures = rounds.figures(&format!("events={}", bench.events));
    figures.extend(beside::run(&bench).await?);
    say(&table(&figures))?;
    if let Some(path) = &bench.json {
        write_json(path, &figures)?;
    }
    Ok(figures.iter().all(|figure| figure.reached != Some(false)))
}

impl Rounds {
    fn figures(&self, case: &str) -> Vec<Figure> {
        let rate = || Figure::new(BENCH, case, "rate", "events/s", &self.rebuild);
        vec![
            rate().against(SERIAL, &self.serial, Some(Target::AtLeast(LEAST))),
            rate().against(PARALLEL, &self.parallel, Some(Target::AtLeast(LEAST))),
            Figure::new(BENCH, case, "peak memory", "MiB", &self.memory).within(MOST_MEMORY),
        ]
    }
}

/// How long one run may take.
const LIMIT: Duration = Duration::from_mins(30);

/// Runs the program. Returns its peak memory in MiB.
async fn projector(database: &BenchDatabase, arguments: &[&str]) -> anyhow::Result<f64> {
    let mut command = tokio::process::Command::new(program("projector")?);
    command
        .args(arguments)
        .env_clear()
        .env("EVENT_STORE_URL", database.url())
        .env("READ_MODEL_URL", database.url());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("the projector")?;
    let pid = child.id().context("a process that has just been started")?;
    let (mut peak, mut looks) = (0, tokio::time::interval(LOOK_EVERY));
    let mut late = std::pin::pin!(tokio::time::sleep(LIMIT));
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            () = &mut late => anyhow::bail!("projector {arguments:?} did not end within {} s",
                LIMIT.as_secs()),
            // The program may have ended since.
            _ = looks.tick() => {
                peak = local_servers::peak_memory_kib(pid).unwrap_or(peak).max(peak);
            }
        }
    };
    ensure!(status.success(), "projector {arguments:?}: {status}");
    Ok(f64::from(u32::try_from(peak)?) / 1_024.0)
}

/// Rebuilds. Returns the duration in seconds and the memory in MiB.
async fn rebuilt(database: &BenchDatabase, admin: &mut PgConnection) -> anyhow::Result<(f64, f64)> {
    sqlx::raw_sql("CHECKPOINT").execute(admin).await?;
    let started = Instant::now();
    let memory = projector(database, &["rebuild", "orders", "--no-compare", "--no-switch"]).await?;
    Ok((started.elapsed().as_secs_f64(), memory))
}

/// Runs the statement and creates the indexes. Returns the duration in seconds.
async fn stated(
    admin: &mut PgConnection,
    setting: &'static str,
    shown: bool,
) -> anyhow::Result<f64> {
    sqlx::raw_sql("DROP TABLE IF EXISTS reference.orders; CHECKPOINT").execute(&mut *admin).await?;
    sqlx::raw_sql(setting).execute(&mut *admin).await?;
    if shown {
        let plan: Vec<String> =
            sqlx::query_scalar(concat!("EXPLAIN ", include_str!("rebuild/statement.sql")))
                .fetch_all(&mut *admin)
                .await?;
        say(&format!("{setting}:\n{}\n", plan.join("\n")))?;
    }
    let started = Instant::now();
    sqlx::raw_sql(STATEMENT).execute(&mut *admin).await?;
    sqlx::raw_sql(include_str!("rebuild/indexes.sql")).execute(admin).await?;
    Ok(started.elapsed().as_secs_f64())
}

/// Checks that both tables hold the same rows.
async fn equal(admin: &mut PgConnection) -> anyhow::Result<()> {
    let (rows, differing): (i64, i64) =
        sqlx::query_as(include_str!("rebuild/compare.sql")).fetch_one(admin).await?;
    ensure!(rows > 0 && differing == 0, "{differing} of {rows} rows differ between the tables");
    say(&format!("{rows} rows, the same in both tables\n"))?;
    Ok(())
}
