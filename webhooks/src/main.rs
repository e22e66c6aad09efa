//! The process that sends webhooks, and its operators' command line.

use std::process::ExitCode;

use clap::Parser as _;
use service_kit::process;
use webhooks::process::{Cli, execute};

/// Messages make many short-lived allocations on several threads. The system allocator is slow at
/// that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match process::as_task(execute(Cli::parse())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => process::failed("webhooks", error.as_ref(), cli_kit::FAILED),
    }
}
