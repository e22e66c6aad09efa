//! `bench NAME`: runs a benchmark, prints a table for people and, with `--json FILE`, results for
//! programs.

use std::process::ExitCode;

use acceptance::bench::append::{self, AppendBench};
use acceptance::bench::commands::{self, CommandsBench, PlainServer};
use acceptance::bench::condition::{self, ConditionBench};
use acceptance::bench::encrypt::{self, EncryptBench};
use acceptance::bench::growth::{self, GrowthBench};
use acceptance::bench::hot::{self, HotBench};
use acceptance::bench::idle::{self, IdleBench};
use acceptance::bench::live::{self, LiveBench};
use acceptance::bench::overload::{self, OverloadBench};
use acceptance::bench::project::{self, ProjectBench};
use acceptance::bench::queries::{self, PlainReads, QueriesBench};
use acceptance::bench::read::{self, ReadBench};
use acceptance::bench::rebuild::{self, RebuildBench};
use acceptance::bench::sagas::{self, SagasBench};
use acceptance::bench::visible::{self, VisibleBench};
use acceptance::bench::waiting::{self, WaitingBench};
use clap::Parser;

/// The process makes many short-lived allocations on several threads, which the system's allocator
/// handles slowly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Benchmarks of the running system, compared with plain references.
#[derive(Debug, Parser)]
enum Bench {
    /// Appends, compared with plain INSERTs.
    Append(AppendBench),
    /// Reads, compared with COPY of the same rows.
    Read(ReadBench),
    /// Appends and stream loads in logs of different sizes.
    Growth(GrowthBench),
    /// Commands over HTTP, compared with plain handlers that write rows.
    Commands(CommandsBench),
    /// The reference of `commands`, which starts it.
    #[command(hide = true)]
    PlainServer(PlainServer),
    /// More commands than the command API can carry out.
    Overload(OverloadBench),
    /// Appends with a condition, compared with plain ones, for tags of different sizes.
    Condition(ConditionBench),
    /// Appends with personal fields, compared with plain fields.
    Encrypt(EncryptBench),
    /// Commands on one aggregate, compared with commands on different ones.
    Hot(HotBench),
    /// A rebuild, compared with one SQL statement that makes the same table.
    Rebuild(RebuildBench),
    /// The sustained rate of projection, and the visibility of commands under load.
    Project(ProjectBench),
    /// Queries over HTTP, compared with plain handlers that read the same rows.
    Queries(QueriesBench),
    /// The reference of `queries`, which starts it.
    #[command(hide = true)]
    PlainReads(PlainReads),
    /// Live updates for thousands of clients.
    Live(LiveBench),
    /// Thousands of queries that wait with consistency tokens.
    Waiting(WaitingBench),
    /// Sagas of order fulfilment, compared with the same commands sent by clients.
    Sagas(SagasBench),
    /// The time from a command to a query that shows it.
    Visible(VisibleBench),
    /// What the idle stack uses.
    Idle(IdleBench),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Bench::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(cli_kit::NOT_IN_ORDER),
        Err(error) => cli_kit::failed("bench", error.as_ref(), cli_kit::FAILED),
    }
}

/// Runs the benchmark. Returns whether it reached its targets.
async fn run(bench: Bench) -> anyhow::Result<bool> {
    Ok(match bench {
        Bench::Append(bench) => append::run(bench).await?,
        Bench::Read(bench) => read::run(bench).await?,
        Bench::Growth(bench) => growth::run(bench).await?,
        Bench::Commands(bench) => commands::run(bench).await?,
        Bench::PlainServer(server) => {
            server.run().await?;
            true
        }
        Bench::Overload(bench) => overload::run(bench).await?,
        Bench::Condition(bench) => condition::run(bench).await?,
        Bench::Encrypt(bench) => encrypt::run(bench).await?,
        Bench::Hot(bench) => hot::run(bench).await?,
        Bench::Rebuild(bench) => rebuild::run(bench).await?,
        Bench::Project(bench) => project::run(bench).await?,
        Bench::Queries(bench) => queries::run(bench).await?,
        Bench::PlainReads(server) => {
            server.run().await?;
            true
        }
        Bench::Live(bench) => live::run(bench).await?,
        Bench::Waiting(bench) => waiting::run(bench).await?,
        Bench::Sagas(bench) => sagas::run(bench).await?,
        Bench::Visible(bench) => visible::run(bench).await?,
        Bench::Idle(bench) => idle::run(bench).await?,
    })
}
