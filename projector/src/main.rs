//! The projector's process and its operators' command line.

use std::process::ExitCode;

use clap::Parser as _;

/// The process makes many short-lived allocations on several threads, which the system's allocator
/// handles slowly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = projector::cli::Cli::parse();
    match projector::dispatch::execute(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => service_kit::process::failed("projector", &error, error.exit_code()),
    }
}
