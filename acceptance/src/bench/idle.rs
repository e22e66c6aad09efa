//! `bench idle`: the processor time that the running stack uses with nothing to do, servers and
//! supervisor included, and the largest that each process has been. After an import it shows what
//! the import needed.

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
/// Of one core.
const MOST_PERCENT: f64 = 3.0;
const MOST_MIB: f64 = 150.0;
const KIB_PER_MIB: f64 = 1024.0;
/// The processes whose size is bounded; how large a server is, is its own settings' affair.
const OURS: [&str; 4] = ["command_api", "query_api", "event_relay", "projector"];
/// How long what was done before may take to be projected.
const CATCH_UP_LIMIT: Duration = Duration::from_mins(1);

/// What `bench idle` takes.
#[derive(Debug, Args)]
pub struct IdleBench {
    /// The folder of the running stack.
    #[arg(long, env = "STACK_DIR", default_value = ".stack", value_name = "FOLDER")]
    stack: PathBuf,
    /// For how many seconds it is watched.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where to write the figures as JSON, too.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A process of the stack, recognised by when it was started.
struct Watched {
    name: String,
    pid: u32,
    started: u64,
    used: Duration,
}

/// Runs the bench. True when every limit was kept.
///
/// # Errors
/// When the stack is not up, or something was done meanwhile.
pub async fn run(bench: IdleBench) -> anyhow::Result<bool> {
    let endpoints = Endpoints::read(&bench.stack)
        .context("this bench measures the running stack: `cargo stack up --detach`")?;
    let log = endpoints.log()?;
    let head = log.wait_until_caught_up(CATCH_UP_LIMIT).await?;
    // Our own connections would be counted as the stack's.
    log.close().await;
    let watched = watch(&endpoints)?;
    let started = tokio::time::Instant::now();
    tokio::time::sleep(Duration::from_secs(bench.seconds)).await;
    let seconds = started.elapsed().as_secs_f64();
    let figures = figures(&watched, seconds)?;
    ensure!(
        endpoints.log()?.head().await? == head,
        "the stack was not idle: something was appended meanwhile"
    );

    say(&table(&figures))?;
    if let Some(path) = &bench.json {
        write_json(path, &figures)?;
    }
    Ok(figures.iter().all(|figure| figure.reached != Some(false)))
}

/// Every process of the stack with what it has used until now. A server's children are counted by
/// themselves.
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
            // A backend that has ended since is in its parent's time of ended children.
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
