//! `bench idle`: the CPU time of the idle stack, including servers and supervisor, and the peak
//! memory of each process. After an import, the peaks show what the import needed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use local_servers::peak_memory_kib;

use super::figure::{Figure, table, write_json};
use super::say;
use crate::Endpoints;
use crate::usage::{cpu_time, family, started_at};

const BENCH: &str = "idle";
/// The maximum CPU use, in percent of one core.
const MOST_PERCENT: f64 = 3.0;
const MOST_MIB: f64 = 150.0;
const KIB_PER_MIB: f64 = 1024.0;
/// The processes with a memory limit. The size of a server depends on its own settings.
const OURS: [&str; 5] = ["command_api", "query_api", "event_relay", "projector", "front"];
/// How long earlier work may take to be projected.
const CATCH_UP_LIMIT: Duration = Duration::from_mins(1);

/// The arguments of `bench idle`.
#[derive(Debug, Args)]
pub struct IdleBench {
    /// The folder of the running stack.
    #[arg(long, env = "STACK_DIR", default_value = ".stack", value_name = "FOLDER")]
    stack: PathBuf,
    /// How many seconds to watch the stack.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// A file to which the results are also written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A process of the stack, identified by its start time.
struct Watched {
    name: String,
    pid: u32,
    started: u64,
    used: Duration,
}

/// Runs the benchmark. Returns true if every limit was kept.
///
/// # Errors
/// The stack is not running, or it was not idle.
pub async fn run(bench: IdleBench) -> anyhow::Result<bool> {
    let endpoints = Endpoints::read(&bench.stack)
        .context("this bench measures the running stack: `cargo stack up --detach`")?;
    let log = endpoints.log()?;
    let head = log.wait_until_caught_up(CATCH_UP_LIMIT).await?;
    // The benchmark's own connections must not count.
    log.close().await;
    let watched = watch(&endpoints)?;
    let started = tokio::time::Instant::now();
    tokio::time::sleep(Duration::from_secs(bench.seconds)).await;
    let seconds = started.elapsed().as_secs_f64();
    let figures = figures(&watched, seconds)?;
    ensure!(
        endpoints.log()?.head().await? == head,
        "the stack was not idle: events were appended meanwhile"
    );

    say(&table(&figures))?;
    if let Some(path) = &bench.json {
        write_json(path, &figures)?;
    }
    Ok(figures.iter().all(|figure| figure.reached != Some(false)))
}

/// All processes of the stack, with their CPU time so far. A server's children count separately.
fn watch(endpoints: &Endpoints) -> anyhow::Result<Vec<Watched>> {
    let mut watched = Vec::new();
    for (name, pid) in &endpoints.pids {
        for pid in family(*pid)? {
            watched.push(Watched {
                name: name.clone(),
                pid,
                started: started_at(pid)?,
                used: cpu_time(pid)?,
            });
        }
    }
    Ok(watched)
}

fn figures(watched: &[Watched], seconds: f64) -> anyhow::Result<Vec<Figure>> {
    let (mut figures, mut total) = (Vec::new(), 0.0);
    let mut names: Vec<&str> = watched.iter().map(|process| process.name.as_str()).collect();
    names.dedup();
    for name in names {
        let mut percent = 0.0;
        for process in watched.iter().filter(|process| process.name == name) {
            // The time of a backend that has ended since is included in its parent's.
            if started_at(process.pid).is_ok_and(|started| started == process.started) {
                percent += (cpu_time(process.pid)?.saturating_sub(process.used)).as_secs_f64()
                    / seconds
                    * 100.0;
            }
        }
        total += percent;
        figures.push(Figure::new(BENCH, name, "cpu", "% of a core", &[percent]));
    }
    figures.push(
        Figure::new(BENCH, "whole stack", "cpu", "% of a core", &[total]).within(MOST_PERCENT),
    );
    for process in watched.iter().filter(|process| OURS.contains(&process.name.as_str())) {
        let peak = f64::from(u32::try_from(peak_memory_kib(process.pid)?)?) / KIB_PER_MIB;
        figures.push(
            Figure::new(BENCH, &process.name, "peak memory", "MiB", &[peak]).within(MOST_MIB),
        );
    }
    Ok(figures)
}
