//! The command API's process. Exit codes: 0 done, 1 failed, 2 usage.

use std::process::ExitCode;

use clap::Parser;
use command_api::config::{Action, Cli, MigrateTarget};
use command_api::{erasure, http, migrate, serve};
use service_kit::process;

/// Many small values live shortly here, on several threads: what the system's own allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match process::as_task(run(Cli::parse().action)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("command-api: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(action: Action) -> anyhow::Result<()> {
    match action {
        Action::Serve(args) => serve::serve(*args).await,
        Action::Migrate(MigrateTarget::EventStore { url }) => Ok(migrate::event_store(&url.get()?).await?),
        Action::Migrate(MigrateTarget::SubjectKeys { url }) => Ok(migrate::subject_keys(&url.get()?).await?),
        Action::Migrate(MigrateTarget::Auth { url }) => Ok(migrate::auth(&url.get()?).await?),
        Action::EraseSubject(args) => erasure::erase_subject(&args).await,
        Action::RotateMasterKey(args) => erasure::rotate_master_key(&args).await,
        Action::Openapi => Ok(serde_json::to_writer_pretty(std::io::stdout().lock(), &http::document())?),
    }
}
