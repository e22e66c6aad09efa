//! The process `webhooks`: sends events to the receivers of subscriptions, and lets operators
//! manage these. Any number of processes may run; one of them sends.

mod api;
pub mod config;
mod remote;
mod run;

pub use config::{Action, Cli};

use secrecy::ExposeSecret as _;

use crate::tables;

/// The name of the process.
const NAME: &str = "webhooks";

/// Runs the command of the command line.
///
/// # Errors
/// The command failed.
pub async fn execute(cli: Cli) -> anyhow::Result<()> {
    match cli.action {
        Action::Run(args) => run::run(*args).await,
        Action::Migrate(args) => {
            let url = args.tables.address(&args.event_store)?;
            let options = config::connect_options(url.expose_secret())?;
            Ok(tables::schema().migrate(&options).await?)
        }
        Action::Subscriptions(action) => remote::subscriptions(&action).await,
        Action::Deliveries(action) => remote::deliveries(&action).await,
        Action::Replays(action) => remote::replays(&action).await,
        Action::Openapi => {
            Ok(cli_kit::print(serde_json::to_string_pretty(&api::document())? + "\n")?)
        }
    }
}
