//! `bench`: measures. A bench of a library gets a durable cluster of its own; a bench of the whole needs the running stack.

use std::process::{ExitCode, Stdio};

use anyhow::Context;
use local_servers::{ClusterOptions, PostgresCluster};

use crate::choose;
use crate::cli::BenchArgs;
use crate::layout::Layout;
use crate::tree::cargo;

/// Wrong usage.
const USAGE: u8 = 2;

/// A bench's name, the package that has it, and whether it measures the running stack.
const BENCHES: [(&str, &str, bool); 2] = [("append", "acceptance", false), ("visible", "acceptance", true)];

/// Runs the benches one after another.
pub async fn run(layout: &Layout, args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let mut chosen = Vec::new();
    for name in &args.names {
        let Some(bench) = BENCHES.into_iter().find(|(known, ..)| known == name) else {
            let names: Vec<&str> = BENCHES.iter().map(|(name, ..)| *name).collect();
            eprintln!("stack: there is no bench {name:?}; say one of {}", names.join(", "));
            return Ok(ExitCode::from(USAGE));
        };
        chosen.push(bench);
    }
    let mut code = ExitCode::SUCCESS;
    for (name, package, on_stack) in chosen {
        if !one(layout, args, name, package, on_stack).await? {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

async fn one(layout: &Layout, args: &BenchArgs, name: &str, package: &str, on_stack: bool) -> anyhow::Result<bool> {
    let mut command = cargo(layout);
    command.args(["run", "--quiet", "--locked", "--release", "--package", package, "--bin", &format!("bench-{name}"), "--"]);
    if let Some(file) = &args.json_file {
        command.arg("--json").arg(std::path::absolute(file)?);
    }
    command.args(&args.args);
    let cluster = if on_stack {
        crate::endpoints::Endpoints::read(layout)?;
        command.env("STACK_DIR", &layout.state);
        None
    } else {
        let servers = choose::for_tests(layout, args.bundled)?;
        let options = ClusterOptions {
            binaries: Some(servers.postgres),
            directory: Some(layout.servers.clone()),
            durable: true,
            ..ClusterOptions::default()
        };
        let cluster = PostgresCluster::start(options).await.context("the bench's cluster cannot be started")?;
        command.env("BENCH_POSTGRES_URL", cluster.url());
        Some(cluster)
    };
    command.stdin(Stdio::null());
    let status = tokio::process::Command::from(command).kill_on_drop(true).status().await.context("cargo cannot be run")?;
    drop(cluster);
    Ok(status.success())
}
