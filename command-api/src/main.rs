//! The process of the command API. Its exit codes are documented in `cli_kit`.

use std::process::ExitCode;

use clap::Parser;
use command_api::config::{Action, Cli, MigrateTarget};
use command_api::{
    administrator, erasure, events, http, migrate, operations, remote, serve, user_access,
};
use service_kit::process;

/// Commands make many short-lived allocations on several threads. The system allocator is slow at
/// that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match process::as_task(run(Cli::parse().action)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let not_in_order = error.is::<erasure::Incomplete>();
            let code = if not_in_order { cli_kit::NOT_IN_ORDER } else { cli_kit::FAILED };
            process::failed("command-api", error.as_ref(), code)
        }
    }
}

async fn run(action: Action) -> anyhow::Result<()> {
    match action {
        Action::Serve(args) => serve::serve(*args).await,
        Action::Migrate(MigrateTarget::EventStore { url }) => {
            Ok(migrate::event_store(&url.get()?).await?)
        }
        Action::Migrate(MigrateTarget::SubjectKeys { url }) => {
            Ok(migrate::subject_keys(&url.get()?).await?)
        }
        Action::Migrate(MigrateTarget::Auth { url }) => Ok(migrate::auth(&url.get()?).await?),
        Action::CreateAdmin(args) => administrator::create_admin(&args).await,
        Action::Access(action) => user_access::run(&action).await,
        Action::EraseSubject(args) => erasure::erase_subject(&args).await,
        Action::RotateMasterKey(args) => erasure::rotate_master_key(&args).await,
        Action::BeginEpoch(args) => remote::begin_epoch(&args).await,
        Action::Operations(args) => remote::operations(&args).await,
        Action::Openapi { version, admin: false } => {
            Ok(cli_kit::print(serde_json::to_string_pretty(&http::document(version))? + "\n")?)
        }
        Action::Openapi { admin: true, .. } => {
            Ok(cli_kit::print(serde_json::to_string_pretty(&operations::document())? + "\n")?)
        }
        Action::Asyncapi => {
            Ok(cli_kit::print(serde_json::to_string_pretty(&events::asyncapi())? + "\n")?)
        }
        Action::Schemas { event_type } => {
            let schemas = events::by_name(event_type.as_deref())?;
            Ok(cli_kit::print(serde_json::to_string_pretty(&schemas)? + "\n")?)
        }
    }
}
