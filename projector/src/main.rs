//! The projector's process and its operators' command line.

use std::process::ExitCode;

use clap::Parser as _;

/// Many small values live shortly here, on several threads: what the system's own allocator is slow
/// at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = projector::cli::Cli::parse();
    match projector::cli::command::execute(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => service_kit::process::failed("projector", &error, error.exit_code()),
    }
}
