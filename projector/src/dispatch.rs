//! Runs the command of the command line.

use std::io::Write as _;

use service_kit::process::as_task;

use crate::cli::account::account;
use crate::cli::error::CommandError;
use crate::cli::explain::explain;
use crate::cli::operations::operations;
use crate::cli::parked::parked;
use crate::cli::pause::{pause, resume};
use crate::cli::reach::connect_options;
use crate::cli::rebuild::rebuild;
use crate::cli::status::status;
use crate::cli::switch::{drop_generation, switch_back};
use crate::cli::verify::verify;
use crate::cli::{Cli, Command, MigrateArgs, StartOverArgs, confirmed};
use crate::operations as operations_api;
use crate::process::run;
use crate::{cli, projections};
use projection::generation;

/// Runs the command of the command line.
///
/// # Errors
/// [`CommandError`]: the command failed.
pub async fn execute(cli: Cli) -> Result<(), CommandError> {
    match cli.command {
        Command::Run(args) => as_task(run(*args)).await,
        Command::Status(args) => status(&args).await,
        Command::Account(args) => account(args).await,
        Command::Parked(args) => parked(args).await,
        Command::Verify(args) => verify(*args).await,
        Command::Explain(args) => explain(*args).await,
        Command::Rebuild(args) => rebuild(*args).await,
        Command::SwitchBack(args) => switch_back(*args).await,
        Command::Drop(args) => drop_generation(args).await,
        Command::Pause(args) => pause(args).await,
        Command::Resume(args) => resume(args).await,
        Command::Operations(args) => operations(args).await,
        Command::Migrate(args) => migrate(&args).await,
        Command::Openapi => openapi(),
        Command::StartOver(args) => start_over(&args).await,
    }
}

fn openapi() -> Result<(), CommandError> {
    Ok(cli_kit::print(serde_json::to_string_pretty(&operations_api::document())? + "\n")?)
}

async fn migrate(args: &MigrateArgs) -> Result<(), CommandError> {
    let options = connect_options(&args.read_model.get()?)?;
    generation::migrate(&options, &projections::all()).await?;
    Ok(())
}

async fn start_over(args: &StartOverArgs) -> Result<(), CommandError> {
    let name = &args.projection;
    let projection = cli::projection(name)?;
    let warning = format!("Queries will see {name} empty until it has caught up.");
    if !args.yes && !confirmed(name, &warning)? {
        return Err(CommandError::NotConfirmed);
    }
    let options = connect_options(&args.read_model.get()?)?;
    let generation = generation::start_over(&options, projection.as_ref(), args.partitions).await?;
    writeln!(
        cli_kit::stdout(),
        "{name} begins again as generation {generation}. A running projector fills it."
    )?;
    Ok(())
}
