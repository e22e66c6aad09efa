//! `bench`: runs benchmarks. A library benchmark gets a separate durable cluster; a system
//! benchmark needs the running stack.

use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::Context;
use local_servers::{ClusterOptions, PostgresCluster};
use serde_json::Value;

use crate::cli::BenchArgs;
use crate::endpoints::Endpoints;
use crate::layout::Layout;
use crate::tree::cargo;
use crate::{build, choose};

/// The environment that a benchmark needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    /// A separate cluster with durable commits and Postgres's default settings. With more memory,
    /// first-time page touches during the measurement would make the results noisy.
    OwnCluster,
    /// The same with the memory settings of a dedicated server, for tables larger than the default
    /// buffers.
    LargeCluster,
    /// The running stack.
    Stack,
}

const BENCHES: [(&str, On); 16] = [
    ("append", On::OwnCluster),
    ("read", On::OwnCluster),
    ("growth", On::LargeCluster),
    ("condition", On::OwnCluster),
    ("commands", On::OwnCluster),
    ("overload", On::OwnCluster),
    ("encrypt", On::OwnCluster),
    ("hot", On::OwnCluster),
    ("rebuild", On::OwnCluster),
    ("project", On::OwnCluster),
    ("queries", On::LargeCluster),
    ("live", On::OwnCluster),
    ("waiting", On::OwnCluster),
    ("sagas", On::OwnCluster),
    ("visible", On::Stack),
    ("idle", On::Stack),
];

/// Runs the benchmarks one after another. The exit code is 1 if one missed its target.
pub async fn run(layout: &Layout, args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let mut chosen = Vec::new();
    for name in &args.names {
        let Some(bench) = BENCHES.into_iter().find(|(known, ..)| known == name) else {
            let names: Vec<&str> = BENCHES.iter().map(|(name, ..)| *name).collect();
            eprintln!("stack: there is no bench {name:?}; use one of {}", names.join(", "));
            return Ok(ExitCode::from(cli_kit::USAGE));
        };
        chosen.push(bench);
    }
    let work = tempfile::tempdir_in(&layout.state).context("no folder for the figures")?;
    let (mut figures, mut reached) = (Vec::new(), true);
    for (name, on) in chosen {
        let file = work.path().join(name);
        reached &= one(layout, args, name, on, &file).await?;
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("the bench {name} wrote no figures"))?;
        let more: Vec<Value> = serde_json::from_str(&text)
            .with_context(|| format!("the figures of {name} cannot be read"))?;
        figures.extend(more);
    }
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&figures)?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn one(
    layout: &Layout,
    args: &BenchArgs,
    name: &str,
    on: On,
    figures: &Path,
) -> anyhow::Result<bool> {
    // The benchmark of a process runs it.
    let programs = build::processes(layout, "release")?;
    let mut command = cargo(layout);
    command.env("DAYBOOK_TEST_PROGRAMS", &programs.folder);
    command.args(["run", "--quiet", "--locked", "--release", "--bin", "bench", "--", name]);
    command.arg("--json").arg(figures).args(&args.args);
    let cluster = match on {
        On::Stack => {
            Endpoints::read(layout)?;
            command.env("STACK_DIR", &layout.state);
            None
        }
        On::OwnCluster | On::LargeCluster => {
            let servers = choose::for_tests(layout, args.bundled)?;
            // Some benchmarks start a broker.
            command.env("DAYBOOK_TEST_NATS_SERVER", &servers.nats);
            let binaries = Some(servers.postgres);
            let directory = Some(layout.servers.clone());
            let settings = match on {
                On::LargeCluster => vec![
                    ("shared_buffers".to_owned(), format!("{}MB", shared_buffers_mib()?)),
                    // `queries` reads there which statements the API runs.
                    ("track_activity_query_size".to_owned(), "16384".to_owned()),
                ],
                On::OwnCluster | On::Stack => Vec::new(),
            };
            let options = ClusterOptions { binaries, directory, durable: true, settings };
            let cluster = PostgresCluster::start(options)
                .await
                .context("the bench's cluster cannot be started")?;
            command.env("EVENT_STORE_URL", cluster.url());
            Some(cluster)
        }
    };
    command.stdin(Stdio::null());
    let status = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .status()
        .await
        .context("cargo cannot be run")?;
    drop(cluster);
    Ok(status.success())
}

/// A quarter of the machine's memory, as is usual for a dedicated server. Postgres's default of 128
/// MB is chosen to start anywhere.
fn shared_buffers_mib() -> anyhow::Result<u64> {
    let text =
        std::fs::read_to_string("/proc/meminfo").context("the machine's memory is not known")?;
    let total = text.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    Ok(total.context("the machine's memory is not known")? / 1024 / 4)
}
