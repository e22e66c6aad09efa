//! The commands that do one thing and end.

use std::io::Write as _;

use event_store::{EventStore, PostgresStore};
use service_kit::clock;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::cli::{Cli, Command, MigrateArgs, StartOverArgs, StatusArgs};
use crate::error::CommandError;
use crate::explain::explain;
use crate::parked::{account, parked};
use crate::process::{connect_options, run, store_options};
use crate::rebuild::rebuild;
use crate::rebuild::switch::{drop_generation, switch_back};
use crate::status::Status;
use crate::verify::verify;
use crate::{generation, projections, tool};

/// Does what the command line says.
///
/// # Errors
/// It could not be done; the message says why.
pub async fn execute(cli: Cli) -> Result<(), CommandError> {
    match cli.command {
        Command::Run(args) => run(*args).await,
        Command::Status(args) => status(&args).await,
        Command::Account(args) => account(args).await,
        Command::Parked(args) => parked(args).await,
        Command::Verify(args) => verify(*args).await,
        Command::Explain(args) => explain(*args).await,
        Command::Rebuild(args) => rebuild(*args).await,
        Command::SwitchBack(args) => switch_back(*args).await,
        Command::Drop(args) => drop_generation(args).await,
        Command::Migrate(args) => migrate(&args).await,
        Command::StartOver(args) => start_over(&args).await,
    }
}

async fn status(args: &StatusArgs) -> Result<(), CommandError> {
    let options = connect_options(&args.read_model.get()?)?;
    let mut connection = PgConnection::connect_with(&options).await?;
    generation::check(&mut connection).await?;
    let store = match args.event_store.optional()? {
        Some(url) => PostgresStore::connect(store_options(&url)?).await.ok(),
        None => None,
    };
    let store = store.as_ref().map(|store| store as &dyn EventStore);
    let status = Status::read(&mut connection, store, clock::system().now()).await?;
    let text = if args.json { serde_json::to_string_pretty(&status)? + "\n" } else { status.to_string() };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

async fn migrate(args: &MigrateArgs) -> Result<(), CommandError> {
    let options = connect_options(&args.read_model.get()?)?;
    generation::migrate(&options, &projections::all()).await?;
    Ok(())
}

async fn start_over(args: &StartOverArgs) -> Result<(), CommandError> {
    let name = &args.projection;
    let projection = tool::projection(name)?;
    if !args.yes && !confirmed(name)? {
        return Err(CommandError::NotConfirmed);
    }
    let options = connect_options(&args.read_model.get()?)?;
    let generation = generation::start_over(&options, projection.as_ref()).await?;
    writeln!(std::io::stdout(), "{name} begins again as generation {generation}. A running projector fills it.")?;
    Ok(())
}

fn confirmed(name: &str) -> std::io::Result<bool> {
    write!(std::io::stderr(), "Queries will see {name} empty until it has caught up. Type its name to go on: ")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == name)
}
