//! The projector's process and its operators' command line.

use std::process::ExitCode;

use clap::Parser as _;

/// Many small values live shortly here, on several threads: what the system's own allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = projector::cli::Cli::parse();
    match projector::command::execute(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = anyhow::Error::from(error);
            tracing::error!(error = format!("{error:#}"), "projector failed");
            #[allow(clippy::print_stderr, reason = "the commands that end at once have no log")]
            {
                eprintln!("projector: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
