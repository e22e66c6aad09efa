//! `bench NAME`: measures, prints a table for people and, with `--json FILE`, figures for programs.

use std::process::ExitCode;

use acceptance::bench::append::{self, AppendBench};
use clap::Parser;

/// Benches of the running parts beside plain references.
#[derive(Debug, Parser)]
enum Bench {
    /// Appends beside plain INSERTs.
    Append(AppendBench),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let reached = match Bench::parse() {
        Bench::Append(bench) => append::run(bench).await?,
    };
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
